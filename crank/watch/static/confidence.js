// How sure the model was, where this browser computes the match itself: one panel in the x-ray look.

import { actionName } from "./track.js";
import { SURE } from "./machine.js";
import { INK, SLIM } from "./stage.js";

const ROW = 2 * SURE.length;
const SEEN = 240;
const NUMBERS = 0.62; // of a box for its numbers, the rest for the plot beside them

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

// A box for each player: at the right one below the other, on a slim picture side by side at its foot.
export function drawConfidence(ctx, view, track, frame) {
  if (!track.confidence && track.mode !== "agent-vs-agent") return;
  const s = view.text;
  const slim = view.w < SLIM * s;
  const gap = 8 * s;
  const wide = slim ? (view.w - 3 * gap) / 2 : 250 * s;
  const high = (slim ? 44 : 28) * s;
  const x = slim ? gap : view.w - wide - 14 * s;
  const y = slim ? view.floor - high - 22 * s : 30 * s;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  ctx.font = `${10.5 * s}px ${view.font}`;
  ctx.fillStyle = "rgba(7,9,15,0.8)";
  ctx.fillRect(x, y, slim ? view.w - 2 * gap : wide, 16 * s);
  ctx.fillStyle = "#cbd5e1";
  const known = track.confidence?.count > 0;
  const state = known ? "ACTION, HIT" : track.confidence ? "NOT COMPUTED YET" : "NOT KNOWN HERE";
  ctx.fillText(`MODEL CONFIDENCE: ${state}`, x + gap, y + 8 * s, wide);
  if (!known) return;
  for (const player of [0, 1]) {
    const box = { x: x + (slim ? player * (wide + gap) : 0), y: y + 16 * s + (slim ? 0 : player * (high + 3 * s)), wide, high };
    const pad = 4 * s;
    const plot = slim
      ? { x: box.x + gap, y: box.y + 29 * s, wide: wide - 2 * gap, high: high - 32 * s }
      : { x: box.x + wide * NUMBERS, y: box.y + pad, wide: wide * (1 - NUMBERS) - gap, high: high - 2 * pad };
    confidenceNumbers(ctx, view, track, player, frame, box, (slim ? wide : wide * NUMBERS) - 2 * gap);
    confidencePlot(ctx, view, track, player, frame, plot);
  }
}

function confidenceNumbers(ctx, view, track, player, frame, box, room) {
  const s = view.text;
  const x = box.x + 8 * s, first = box.y + 8 * s, second = box.y + 21 * s;
  ctx.fillStyle = "rgba(7,9,15,0.8)";
  ctx.fillRect(box.x, box.y, box.wide, box.high);
  ctx.fillStyle = INK.players[player];
  ctx.fillRect(box.x, box.y, 2 * view.px, box.high);
  const [likely, action, next, nextAction, hit] = SURE.map((name) => track.confidence.get(name, player, frame));
  if (Number.isNaN(likely)) {
    ctx.fillStyle = "#94a3b8";
    ctx.fillText("not computed yet", x, first, room);
    return;
  }
  const character = track.get("character", player, frame);
  ctx.fillText(`${inPercent(likely)} ${actionName(action, character)}`, x, first, room);
  ctx.fillStyle = "#cbd5e1";
  ctx.fillText(`${inPercent(next)} ${actionName(nextAction, character)}`, x, second, room * 0.6);
  if (hit < 0) return;
  ctx.fillStyle = hit > 0.5 ? "#ffffff" : "#f9a8d4";
  ctx.textAlign = "right";
  ctx.fillText(`HIT ${inPercent(hit)}`, x + room, second, room * 0.38);
  ctx.textAlign = "left";
}

function confidencePlot(ctx, view, track, player, frame, { x, y, wide, high }) {
  for (const [key, ink] of [["likely", INK.players[player]], ["hit", INK.magenta]]) {
    ctx.strokeStyle = ink;
    ctx.lineWidth = 1.2 * view.px;
    ctx.beginPath();
    for (let k = SEEN - 1; k >= 0; k -= 2) {
      const value = track.confidence.get(key, player, frame - k);
      if (value >= 0) ctx.lineTo(x + (1 - k / SEEN) * wide, y + (1 - value) * high);
    }
    ctx.stroke();
  }
}
