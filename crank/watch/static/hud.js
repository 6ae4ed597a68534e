// The panels of one world: percent, stocks, action, heart-rate line, clock. Plain DOM.

import { actionName, categoryOf } from "./track.js";
import { INK, toneOf } from "./stage.js";
import { vectorElement } from "./vector.js";

export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// A canvas with its size in the page, which is not asked for at every picture: that lays it out anew.
export function sized(canvas) {
  const kept = { canvas, width: 0, height: 0 };
  new ResizeObserver(([entry]) => {
    kept.width = entry.contentRect.width;
    kept.height = entry.contentRect.height;
  }).observe(canvas);
  return kept;
}

// Set only what changed: most frames change little.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function percentColor(percent) {
  const stops = [[0, 46, 231, 122], [50, 190, 230, 80], [80, 255, 176, 32], [120, 244, 80, 150], [170, 255, 255, 255]];
  for (let i = 1; i < stops.length; i++) {
    const [a, b] = [stops[i - 1], stops[i]];
    if (percent <= b[0] || i === stops.length - 1) {
      const t = Math.max(0, Math.min(1, (percent - a[0]) / (b[0] - a[0])));
      return `rgb(${[1, 2, 3].map((k) => Math.round(a[k] + (b[k] - a[k]) * t)).join(",")})`;
    }
  }
}

class Panel {
  constructor(player) {
    this.player = player;
    this.root = make("section", `panel p${player + 1}`);
    this.root.setAttribute("aria-label", `Player ${player + 1}`);
    const who = make("div", "who");
    this.name = make("b", "name");
    this.agent = make("span", "agent");
    who.append(make("i", "badge", `P${player + 1}`), this.name, this.agent);
    this.percent = vectorElement("percent");
    this.percent.element.dataset.role = `percent-${player}`;
    this.stocks = make("div", "stocks");
    this.action = make("div", "action");
    this.shield = make("i", "fill");
    const bar = make("div", "bar");
    bar.append(this.shield);
    this.heart = sized(make("canvas", "heart"));
    const middle = make("div", "vital");
    const right = make("div", "side");
    right.append(this.stocks, this.action, bar);
    middle.append(this.percent.element, right);
    this.root.append(who, middle, this.heart.canvas);
  }

  show(track) {
    const player = track.players[this.player];
    setText(this.name, player.label);
    setText(this.agent, [player.agent, player.rating].filter(Boolean).join("  "));
    this.lives = -1;
    this.most = 1;
  }

  update(track, frame, calm) {
    const s = track.player(this.player, frame);
    const percent = Math.max(0, Math.floor(s.percent + 1e-4));
    this.percent.set(`${percent}%`);
    const style = this.percent.element.style;
    style.color = percentColor(s.percent);
    const hit = track.between(frame - 9, frame).findLast((e) => e.type === "hit" && e.defenderIdx === this.player);
    const jolt = hit && !calm ? 0.16 * (1 - (frame - hit.frame) / 10) : 0;
    style.transform = `scale(${(0.84 + Math.min(s.percent, 150) / 950 + jolt).toFixed(3)})`;
    const lives = Math.max(0, Math.min(8, Math.round(s.stocks)));
    if (lives !== this.lives) {
      this.lives = lives;
      this.most = Math.max(this.most, lives);
      this.stocks.replaceChildren(...Array.from({ length: this.most }, (_, i) => make("i", i < lives ? "on" : "off")));
      this.stocks.setAttribute("aria-label", `${lives} stocks`);
    }
    setText(this.action, actionName(s.action_state, s.character));
    this.action.style.color = toneOf(categoryOf(s.action_state));
    this.shield.style.transform = `scaleX(${Math.max(0, Math.min(1, s.shield_strength / 60)).toFixed(3)})`;
    drawHeart(this.heart, track, this.player, frame);
  }
}

const PULSE = [0, 0.06, 0.14, 0.05, -0.18, 0.95, 1, -0.55, -0.2, 0.02, 0.12, 0.2, 0.12, 0.03];
const FORCE = { neutral: 0.2, movement: 0.3, aerial: 0.35, attack: 0.62, special: 0.62, damage: 1, grab: 0.6, grabbed: 0.9, dead: 1.2, broken: 1.2 };
const SPAN = 200;

// The heart over the last SPAN frames: a beat at each change of action, its force by what it is.
export function pulses(track, player, frame) {
  const values = new Float32Array(SPAN + 1);
  const first = frame - SPAN;
  for (let at = Math.max(track.base + 1, first - PULSE.length + 1); at <= frame; at++) {
    const action = track.get("action_state", player, at);
    const kind = categoryOf(action);
    const beats = action !== track.get("action_state", player, at - 1);
    if (!beats && (kind !== "dead" || at - track.base <= track.seeds)) continue;
    for (let k = Math.max(0, first - at); k < PULSE.length && at + k <= frame; k++) {
      values[at + k - first] += beats ? PULSE[k] * (FORCE[kind] ?? 0.4) : 0.11 * Math.sin(at * 1.9 + k);
    }
  }
  return values.map((value) => Math.max(-1, Math.min(1.25, value)));
}

function drawHeart({ canvas, width, height }, track, player, frame) {
  const dpr = Math.min(3, window.devicePixelRatio || 1);
  const w = Math.round(width * dpr), h = Math.round(height * dpr);
  if (!w || !h) return;
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const ctx = canvas.getContext("2d");
  ctx.clearRect(0, 0, w, h);
  const middle = h * 0.66;
  ctx.strokeStyle = "rgba(148,163,184,0.18)";
  ctx.lineWidth = dpr;
  ctx.beginPath(); ctx.moveTo(0, middle); ctx.lineTo(w, middle); ctx.stroke();
  ctx.strokeStyle = INK.players[player];
  ctx.lineWidth = 1.6 * dpr;
  ctx.lineJoin = "round";
  ctx.beginPath();
  const end = w - 4 * dpr;
  let y = middle;
  pulses(track, player, frame).forEach((value, i) => {
    y = middle - value * h * 0.5;
    ctx.lineTo((i / SPAN) * end, y);
  });
  ctx.stroke();
  ctx.fillStyle = "#ffffff";
  ctx.beginPath(); ctx.arc(end, y, 2.2 * dpr, 0, 7); ctx.fill();
}

export class Hud {
  constructor() {
    this.panels = [new Panel(0), new Panel(1)];
    this.root = make("div", "hud");
    this.centre = make("div", "centre");
    this.clock = vectorElement("clock", 0.5);
    this.number = make("div", "number");
    this.number.dataset.role = "frame";
    this.place = make("div", "place");
    this.centre.append(this.clock.element, this.number, this.place);
    this.root.append(this.panels[0].root, this.centre, this.panels[1].root);
  }

  show(track) {
    for (const panel of this.panels) panel.show(track);
    setText(this.place, track.stage.name);
  }

  update(track, frame, calm) {
    for (const panel of this.panels) panel.update(track, frame, calm);
    this.clock.set(clockText(track, frame));
    const last = track.limit ?? track.last;
    setText(this.number, `${frame} / ${last}`);
  }
}

const EIGHT_MINUTES = 28800;

// A real game counts down from eight minutes at GO; a world counts up.
export function clockText(track, frame) {
  const replay = track.mode === "replay";
  const number = replay ? Math.max(0, EIGHT_MINUTES - Math.max(0, frame + track.first)) : Math.max(0, frame - track.seeds);
  const seconds = Math.floor(number / 60);
  const pad = (v) => String(v).padStart(2, "0");
  return `${Math.floor(seconds / 60)}:${pad(seconds % 60)}.${pad(Math.floor(((number % 60) * 100) / 60))}`;
}

export class Ticker {
  constructor(seek) {
    this.seek = seek;
    this.root = make("aside", "ticker");
    this.root.setAttribute("aria-label", "Events");
    this.list = make("ol");
    this.root.append(make("h2", "", "Ticker"), this.list);
    this.key = "";
  }

  update(tracks, frame) {
    const key = tracks.map((t) => `${t.events.length}:${t.before(frame + 1)}`).join("|");
    if (key === this.key) return;
    this.key = key;
    const seen = tracks.flatMap((track, world) =>
      track.events.slice(Math.max(0, track.before(frame + 1) - 50), track.before(frame + 1)).map((e) => [e, world]));
    seen.sort((a, b) => b[0].frame - a[0].frame);
    this.list.replaceChildren(...seen.slice(0, 50).map(([e, world]) => this.row(e, tracks.length > 1 ? "AB"[world] : "")));
  }

  row(event, world) {
    const item = make("li", `event ${event.type}`);
    const button = make("button", event.attackerIdx === undefined ? "by none" : `by p${event.attackerIdx + 1}`);
    button.type = "button";
    const [stamp, ...rest] = event.line.split("] ");
    button.append(make("span", "stamp", stamp.replace("[F ", "") + (world ? ` ${world}` : "")), make("span", "text", rest.join("] ")));
    button.addEventListener("click", () => this.seek(Math.max(0, (event.start ?? event.frame) - 30)));
    item.append(button);
    return item;
  }
}
