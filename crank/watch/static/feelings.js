// What a mind felt over the match: four lines a mind, and where they stand now. Plain DOM, a canvas.

import { make } from "./hud.js";
import { INK } from "./stage.js";

const FEELINGS = [["threat", "#fb5c74"], ["curiosity", "#2ee77a"], ["value", "#22d3ee"], ["surprise", "#c084fc"]];
const SECONDS = 10;

// The row of a mind that a frame falls in.
export function rowAt(mind, frame) {
  const row = Math.floor((frame - mind.first) / mind.period);
  return Math.max(0, Math.min(mind.threat.length - 1, row));
}

class Feeling {
  constructor(player) {
    this.root = make("section", `feelings f${player + 1}`);
    this.root.setAttribute("aria-label", `What the mind of player ${player + 1} feels`);
    this.root.append(make("b", "", `P${player + 1} mind`));
    this.lines = FEELINGS.map(([name, color]) => {
      const line = make("div", "feeling");
      const canvas = make("canvas");
      const value = make("span", "value");
      value.dataset.role = `${name}-${player}`;
      value.style.color = color;
      line.append(make("span", "felt", name), canvas, value);
      this.root.append(line);
      return { name, color, canvas, value };
    });
  }

  show(mind) {
    this.mind = mind;
    this.root.hidden = !mind;
    if (!mind) return;
    this.bounds = Object.fromEntries(FEELINGS.map(([name]) => {
      const most = mind[name].reduce((a, b) => Math.max(a, Math.abs(b)), 0.05);
      return [name, name === "value" ? [-most, most] : [0, name === "surprise" ? most : 1]];
    }));
  }

  update(frame) {
    const { mind } = this;
    if (!mind) return;
    const row = rowAt(mind, frame);
    if (row === this.row && this.drawn === mind && this.width === this.lines[0].canvas.clientWidth) return;
    this.row = row;
    this.drawn = mind;
    this.width = this.lines[0].canvas.clientWidth;
    for (const { name, color, canvas, value } of this.lines) {
      value.textContent = mind[name][row].toFixed(2);
      drawLine(canvas, mind, name, color, this.bounds[name], row);
    }
  }
}

// The seconds around now, now in the middle; what is to come is dimmer.
function drawLine(canvas, mind, name, color, [low, high], row) {
  const dpr = Math.min(3, window.devicePixelRatio || 1);
  const w = Math.round(canvas.clientWidth * dpr), h = Math.round(canvas.clientHeight * dpr);
  if (!w || !h) return;
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const ctx = canvas.getContext("2d");
  ctx.clearRect(0, 0, w, h);
  const span = (SECONDS * 60) / mind.period;
  const X = (i) => w / 2 + ((i - row) / span) * w;
  const Y = (v) => h - dpr - ((Math.max(low, Math.min(high, v)) - low) / (high - low)) * (h - 2 * dpr);
  ctx.strokeStyle = "rgba(148,163,184,0.25)";
  ctx.beginPath(); ctx.moveTo(0, Y(0)); ctx.lineTo(w, Y(0)); ctx.stroke();
  const first = Math.max(0, Math.floor(row - span / 2)), last = Math.min(mind[name].length - 1, Math.ceil(row + span / 2));
  ctx.lineWidth = 1.4 * dpr;
  ctx.strokeStyle = color;
  for (const [from, to, alpha] of [[first, row, 1], [row, last, 0.35]]) {
    ctx.globalAlpha = alpha;
    ctx.beginPath();
    for (let i = from; i <= to; i++) ctx.lineTo(X(i), Y(mind[name][i]));
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
  ctx.strokeStyle = INK.white;
  ctx.lineWidth = dpr;
  ctx.beginPath(); ctx.moveTo(w / 2, 0); ctx.lineTo(w / 2, h); ctx.stroke();
}

// Both players' minds over one picture; those who are none are not shown.
export class Feelings {
  constructor() {
    this.root = make("div", "minds");
    this.players = [0, 1].map((player) => new Feeling(player));
    this.root.append(...this.players.map((p) => p.root));
  }

  show(track) {
    this.root.hidden = !track.minds;
    this.players.forEach((p, i) => p.show(track.minds?.[i] ?? null));
  }

  update(frame) {
    if (!this.root.hidden) for (const p of this.players) p.update(frame);
  }
}
