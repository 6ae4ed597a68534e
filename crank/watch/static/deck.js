// The control deck: clock of the playback, timeline, buttons, keys, touch.

import { make, sized } from "./hud.js";
import { INK } from "./stage.js";

export const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4];

const ICONS = {
  start: "M5 4v12 M16 4L7 10l9 6z", back: "M15 4L7 10l8 6z", play: "M6 3.5v13L17 10z", pause: "M6.5 4v12 M13.5 4v12",
  forward: "M5 4l8 6-8 6z", loop: "M4 9a6 5 0 0 1 11-2 M16 3v4h-4 M16 11a6 5 0 0 1-11 2 M4 17v-4h4",
  sound: "M3 8v4h3l4 3.5v-11L6 8z M13 7q2 3 0 6 M15.5 5q3.5 5 0 10", full: "M3 7V3h4 M13 3h4v4 M17 13v4h-4 M7 17H3v-4",
  help: "M7 7a3 3 0 1 1 4.4 2.6Q10 10.4 10 12 M10 15.6v.2",
};

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

// What time it is in the match: a frame number that moves with the wall clock.
export class Playback {
  constructor() {
    this.frame = 0;
    this.playing = false;
    this.speed = 1;
    this.loop = null; // [from, to], `to` null while only the start is set
    this.first = 0;
    this.last = 0;
    this.following = false; // of a live stream
  }

  advance(seconds) {
    if (this.following) { this.frame = this.last; return; }
    if (!this.playing) return;
    this.frame += seconds * 60 * this.speed;
    const whole = this.loop && this.loop[1] !== null;
    const [from, to] = whole ? this.loop : [this.first, this.last];
    if (this.frame > to + 0.999) this.frame = from;
    if (whole && this.frame < from) this.frame = from;
  }

  get shown() {
    return Math.max(this.first, Math.min(this.last, Math.floor(this.frame)));
  }

  seek(frame) {
    this.following = false;
    this.frame = Math.max(this.first, Math.min(this.last, frame));
  }

  step(frames) {
    this.playing = false;
    this.seek(this.shown + frames);
  }

  toggle() {
    if (this.following) { this.following = false; this.playing = false; return; }
    this.playing = !this.playing;
  }

  faster(by) {
    const at = SPEEDS.indexOf(this.speed);
    this.speed = SPEEDS[(at + by + SPEEDS.length) % SPEEDS.length];
  }

  markLoop() {
    if (!this.loop) this.loop = [this.shown, null];
    else if (this.loop[1] === null) {
      const [a, b] = [this.loop[0], this.shown].sort((p, q) => p - q);
      this.loop = b > a ? [a, b] : null;
    } else this.loop = null;
  }
}

export class Deck {
  constructor(playback, actions) {
    this.playback = playback;
    this.actions = actions;
    this.root = make("div", "deck");
    this.timeline();
    const left = make("div", "group transport");
    this.play = this.button("play", "Play or pause (Space)", () => playback.toggle());
    left.append(
      this.button("start", "To the start (Home)", () => playback.seek(playback.first)),
      this.button("back", "One frame back (Left)", () => playback.step(-1)),
      this.play,
      this.button("forward", "One frame on (Right)", () => playback.step(1)),
    );
    this.speed = make("button", "text speed", "1x");
    this.speed.type = "button";
    this.speed.title = "Speed (+ and -)";
    this.speed.addEventListener("click", () => playback.faster(1));
    this.loop = this.button("loop", "Loop: press at its start, at its end, and to leave it (L)", () => playback.markLoop());
    this.live = make("button", "text live", "Live");
    this.live.type = "button";
    this.live.addEventListener("click", () => actions.follow());
    left.append(this.speed, this.loop, this.live);
    const modes = make("div", "group modes");
    modes.setAttribute("role", "group");
    modes.setAttribute("aria-label", "Look");
    this.modes = {};
    for (const [name, key, text] of [["wire", "W", "Wire"], ["character", "C", "Character"], ["data", "D", "Data"], ["xray", "X", "X-Ray"]]) {
      const button = make("button", "text mode");
      button.type = "button";
      button.title = `${text} (${key})`;
      button.setAttribute("aria-label", text);
      button.append(make("b", "", key), make("span", "", text));
      button.addEventListener("click", () => actions.mode(name));
      this.modes[name] = button;
      modes.append(button);
    }
    const right = make("div", "group extras");
    this.sound = this.button("sound", "Sound (M)", () => actions.sound());
    right.append(this.sound, this.button("full", "Full screen (F)", () => actions.full()), this.button("help", "Keys (?)", () => actions.help()));
    const row = make("div", "buttons");
    row.append(left, modes, right);
    this.root.append(row);
  }

  button(name, title, act) {
    const button = make("button", `icon ${name}`);
    button.type = "button";
    button.title = title;
    button.setAttribute("aria-label", title);
    button.append(icon(name));
    button.addEventListener("click", act);
    return button;
  }

  timeline() {
    const line = make("div", "timeline");
    this.graph = sized(make("canvas", "graph"));
    this.range = make("input", "scrub");
    this.range.type = "range";
    this.range.min = "0";
    this.range.step = "1";
    this.range.setAttribute("aria-label", "Frame");
    this.range.addEventListener("input", () => this.playback.seek(Number(this.range.value)));
    this.head = make("i", "head");
    line.append(this.graph.canvas, this.head, this.range);
    this.root.append(line);
  }

  show(track) {
    this.track = track;
    this.painted = null;
  }

  update(mode, sound) {
    const p = this.playback;
    const active = p.playing || p.following;
    if (this.play.dataset.state !== String(active)) {
      this.play.dataset.state = String(active);
      this.play.replaceChildren(icon(active ? "pause" : "play"));
    }
    this.speed.textContent = `${p.speed}x`;
    this.loop.classList.toggle("on", Boolean(p.loop && p.loop[1] !== null));
    this.loop.classList.toggle("half", Boolean(p.loop && p.loop[1] === null));
    this.live.hidden = !this.actions.streaming();
    this.live.classList.toggle("on", p.following);
    this.sound.classList.toggle("on", sound);
    for (const [name, button] of Object.entries(this.modes)) button.setAttribute("aria-pressed", String(name === mode));
    this.range.min = String(p.first);
    this.range.max = String(p.last);
    if (Number(this.range.value) !== p.shown) this.range.value = String(p.shown);
    const part = p.last > p.first ? (p.shown - p.first) / (p.last - p.first) : 0;
    this.head.style.transform = `translateX(${(part * this.graph.width).toFixed(1)}px)`;
    this.paint();
  }

  // Both players' percent over the match, with its KOs: drawn anew only when something changed.
  paint() {
    const track = this.track;
    if (!track || track.count < 2 || !this.graph.width) return;
    const p = this.playback;
    const every = p.following ? 30 : 1;
    const key = [Math.floor(track.last / every), track.base, p.loop, this.graph.width, this.graph.height].join();
    if (key === this.painted) return;
    this.painted = key;
    const dpr = Math.min(3, window.devicePixelRatio || 1);
    const { canvas, width, height } = this.graph;
    const w = (canvas.width = Math.max(1, Math.round(width * dpr)));
    const h = (canvas.height = Math.max(1, Math.round(height * dpr)));
    const ctx = canvas.getContext("2d");
    const X = (frame) => ((frame - track.base) / Math.max(1, track.last - track.base)) * w;
    if (p.loop && p.loop[1] !== null) {
      ctx.fillStyle = "rgba(34,211,238,0.18)";
      ctx.fillRect(X(p.loop[0]), 0, Math.max(2, X(p.loop[1]) - X(p.loop[0])), h);
    }
    for (let player = 0; player < 2; player++) {
      ctx.beginPath();
      ctx.moveTo(0, h);
      for (let i = 0; i <= w; i += 2) {
        const frame = track.base + Math.round((i / w) * (track.last - track.base));
        ctx.lineTo(i, h - 2 - (Math.min(160, track.get("percent", player, frame)) / 160) * (h - 8));
      }
      ctx.lineTo(w, h);
      const color = INK.players[player];
      ctx.globalAlpha = 0.13; ctx.fillStyle = color; ctx.fill();
      ctx.globalAlpha = 0.85; ctx.strokeStyle = color; ctx.lineWidth = 1.2 * dpr; ctx.stroke();
      ctx.globalAlpha = 1;
    }
    for (const e of track.events) {
      if (e.type !== "ko") continue;
      ctx.fillStyle = INK.magenta;
      const x = X(e.frame);
      ctx.fillRect(x - 0.75 * dpr, 0, 1.5 * dpr, h);
      ctx.beginPath(); ctx.moveTo(x - 4 * dpr, 0); ctx.lineTo(x + 4 * dpr, 0); ctx.lineTo(x, 6 * dpr); ctx.fill();
    }
  }

  key(event) {
    const p = this.playback;
    const a = this.actions;
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const stride = event.shiftKey ? 10 : 1;
    const acts = {
      " ": () => p.toggle(), k: () => p.toggle(),
      ArrowLeft: () => p.step(-stride), ArrowRight: () => p.step(stride),
      "+": () => p.faster(1), "=": () => p.faster(1), "-": () => p.faster(-1), _: () => p.faster(-1),
      Home: () => p.seek(p.first), End: () => p.seek(p.last),
      "[": () => a.event(-1), "]": () => a.event(1),
      w: () => a.mode("wire"), c: () => a.mode("character"), d: () => a.mode("data"), x: () => a.mode("xray"),
      l: () => p.markLoop(), m: () => a.sound(), f: () => a.full(), "?": () => a.help(), Escape: () => a.close(),
    };
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return false;
    act();
    return true;
  }
}
