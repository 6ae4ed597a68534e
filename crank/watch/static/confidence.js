// How sure the model was, where this browser computes the match itself: one panel in the x-ray look.

import { actionName } from "./track.js";
import { SURE } from "./machine.js";
import { INK } from "./stage.js";

const ROW = 2 * SURE.length;
const SEEN = 240;
const SLIM = 430; // points of width, below which it stands under the legend
const NUMBERS = 0.62; // of a line for its numbers, the rest for the plot

// What is known of each frame of one match; frames come in their order.
export class Confidence {
  constructor() {
    this.first = null; // number of the first frame that is known
    this.count = 0;
    this.rows = new Float32Array(0);
  }

  // Adds the rows of frames `first` and on.
  put(first, rows) {
    this.first ??= first;
    const end = (first - this.first) * ROW + rows.length;
    if (end > this.rows.length) {
      const more = new Float32Array(Math.max(2 * this.rows.length, end, 600 * ROW));
      more.set(this.rows);
      this.rows = more;
    }
    this.rows.set(rows, (first - this.first) * ROW);
    this.count = Math.max(this.count, end / ROW);
  }

  // One of SURE for a player at a frame; NaN where nothing is known.
  get(name, player, frame) {
    const at = frame - this.first;
    if (this.first === null || at < 0 || at >= this.count) return NaN;
    return this.rows[at * ROW + player * SURE.length + SURE.indexOf(name)];
  }
}

const inPercent = (part) => `${Math.round(part * 100)}%`;

export function drawConfidence(ctx, view, track, frame) {
  const s = view.text;
  const narrow = view.w < SLIM * s;
  const wide = Math.min(250 * s, view.w - 28 * s);
  const x = narrow ? 14 * s : view.w - wide - 14 * s;
  const y = (narrow ? 106 : 12) * s;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  ctx.font = `${10.5 * s}px ${view.font}`;
  ctx.fillStyle = "#cbd5e1";
  const known = track.confidence?.count > 0;
  ctx.fillText(known ? "MODEL CONFIDENCE: ACTION, HIT" : "MODEL CONFIDENCE: NOT KNOWN HERE", x, y + 6 * s, wide);
  if (!known) return;
  for (const player of [0, 1]) confidenceLine(ctx, view, track, player, frame, x, y + (15 + player * 31) * s, wide);
}

function confidenceLine(ctx, view, track, player, frame, x, y, wide) {
  const s = view.text;
  const high = 28 * s;
  const color = INK.players[player];
  ctx.fillStyle = "rgba(7,9,15,0.8)";
  ctx.fillRect(x, y, wide, high);
  ctx.fillStyle = color;
  ctx.fillRect(x, y, 2 * view.px, high);
  const [likely, action, next, nextAction, hit] = SURE.map((name) => track.confidence.get(name, player, frame));
  const pad = 8 * s;
  const room = wide * NUMBERS - 2 * pad;
  if (Number.isNaN(likely)) {
    ctx.fillStyle = "#94a3b8";
    ctx.fillText("not computed yet", x + pad, y + high / 2, room);
  } else {
    const character = track.get("character", player, frame);
    ctx.fillText(`${inPercent(likely)} ${actionName(action, character)}`, x + pad, y + high * 0.28, room);
    ctx.fillStyle = "#cbd5e1";
    ctx.fillText(`${inPercent(next)} ${actionName(nextAction, character)}`, x + pad, y + high * 0.74, room * 0.66);
    if (hit >= 0) {
      ctx.fillStyle = hit > 0.5 ? "#ffffff" : "#f9a8d4";
      ctx.textAlign = "right";
      ctx.fillText(`HIT ${inPercent(hit)}`, x + pad + room, y + high * 0.74, room * 0.34);
      ctx.textAlign = "left";
    }
  }
  const from = x + wide * NUMBERS, across = wide * (1 - NUMBERS) - pad, top = y + 3 * s, deep = high - 6 * s;
  for (const [key, ink] of [["likely", color], ["hit", INK.magenta]]) {
    ctx.strokeStyle = ink;
    ctx.lineWidth = 1.2 * view.px;
    ctx.beginPath();
    for (let k = SEEN - 1; k >= 0; k -= 2) {
      const value = track.confidence.get(key, player, frame - k);
      if (value >= 0) ctx.lineTo(from + (1 - k / SEEN) * across, top + (1 - value) * deep);
    }
    ctx.stroke();
  }
}
