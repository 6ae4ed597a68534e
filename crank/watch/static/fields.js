// The data look: every field of both players with its last seconds as a line.

import { KEYS, actionName } from "./track.js";
import { INK } from "./stage.js";

export const TALL = 1.15; // of width to height, below which the fields stand under the stage
export const FIELDS_FROM = 0.34;
const PAST = 240;
const STRIDE = 2;
const SHORT = {
  percent: "PERCENT", x: "X", y: "Y", shield_strength: "SHIELD", speed_air_x: "AIR X", speed_y: "SPEED Y",
  speed_ground_x: "GROUND X", speed_attack_x: "KNOCK X", speed_attack_y: "KNOCK Y", state_age: "STATE AGE",
  hitlag: "HITLAG", stocks: "STOCKS", combo_count: "COMBO", facing: "FACING", on_ground: "ON GROUND",
  action_state: "ACTION", jumps_left: "JUMPS", character: "CHARACTER",
};
const SIGNED = new Set(["x", "y", "speed_air_x", "speed_y", "speed_ground_x", "speed_attack_x", "speed_attack_y"]);
const WHOLE_FIELDS = new Set(["state_age", "hitlag", "combo_count", "facing", "on_ground", "action_state", "jumps_left", "character"]);

export function drawFields(ctx, view, track, frame, lift) {
  const s = view.text;
  const tall = view.w < view.h * TALL;
  const usable = view.h * (1 - lift);
  const top = tall ? view.h * FIELDS_FROM : 10 * s;
  const wide = tall ? view.w / 2 - 9 * s : Math.min(view.w * 0.3, 380 * s);
  const row = Math.min(26 * s, (usable - top - 10 * s) / (KEYS.length + 1.4));
  for (let p = 0; p < 2; p++) {
    const x = p ? view.w - wide - 6 * s : 6 * s;
    column(ctx, view, track, p, frame, x, top, wide, row);
  }
}

function column(ctx, view, track, player, frame, x, top, wide, row) {
  const s = view.text;
  const color = INK.players[player];
  const size = Math.max(8.5 * s, Math.min(12 * s, row * 0.56));
  const pad = 8 * s;
  ctx.fillStyle = "rgba(7,9,15,0.86)";
  ctx.fillRect(x, top, wide, row * (KEYS.length + 1.4));
  ctx.fillStyle = color;
  ctx.fillRect(x, top, wide, 2 * view.px);
  ctx.textBaseline = "middle";
  ctx.font = `700 ${size * 1.1}px ${view.font}`;
  ctx.textAlign = "left";
  const action = track.get("action_state", player, frame);
  const title = `P${player + 1} ${actionName(action, track.get("character", player, frame))}`;
  ctx.fillText(title, x + pad, top + row * 0.75, wide - 2 * pad);
  const narrow = wide < 230 * s;
  const valueAt = x + wide * (narrow ? 0.66 : 0.52);
  const plotAt = x + wide * (narrow ? 0.7 : 0.56);
  const plotWide = x + wide - pad - plotAt;
  KEYS.forEach((key, i) => {
    const y = top + row * (i + 1.4);
    const middle = y + row / 2;
    if (i % 2 === 0) { ctx.fillStyle = "rgba(148,163,184,0.06)"; ctx.fillRect(x, y, wide, row); }
    ctx.font = `${size * 0.9}px ${view.font}`;
    ctx.textAlign = "left";
    ctx.fillStyle = "#94a3b8";
    ctx.fillText(SHORT[key], x + pad, middle, valueAt - x - pad - 30 * s);
    const value = track.get(key, player, frame);
    ctx.font = `${size}px ${view.font}`;
    ctx.textAlign = "right";
    ctx.fillStyle = "#f1f5f9";
    ctx.fillText(WHOLE_FIELDS.has(key) ? value.toFixed(0) : value.toFixed(2), valueAt, middle);
    plot(ctx, track, key, player, frame, plotAt, y + row * 0.14, plotWide, row * 0.72, color, view.px);
  });
}

function plot(ctx, track, key, player, frame, x, y, w, h, color, px) {
  const from = Math.max(track.base, frame - PAST + 1);
  let low = Infinity, high = -Infinity;
  for (let f = from; f <= frame; f++) {
    const v = track.get(key, player, f);
    low = Math.min(low, v); high = Math.max(high, v);
  }
  if (SIGNED.has(key)) { low = Math.min(low, 0); high = Math.max(high, 0); }
  const span = high - low;
  const flat = span < 1e-6;
  const at = (v) => (flat ? y + h * 0.5 : y + h - ((v - low) / span) * h);
  if (SIGNED.has(key) && !flat) {
    ctx.strokeStyle = "rgba(148,163,184,0.28)"; ctx.lineWidth = px;
    ctx.beginPath(); ctx.moveTo(x, at(0)); ctx.lineTo(x + w, at(0)); ctx.stroke();
  }
  ctx.strokeStyle = color;
  ctx.globalAlpha = flat ? 0.35 : 0.95;
  ctx.lineWidth = 1.3 * px;
  ctx.lineJoin = "round";
  ctx.beginPath();
  const step = w / (PAST - 1);
  const start = x + (PAST - 1 - (frame - from)) * step;
  for (let f = frame - STRIDE * Math.floor((frame - from) / STRIDE); f <= frame; f += STRIDE) {
    const px2 = start + (f - from) * step, py = at(track.get(key, player, f));
    ctx.lineTo(px2, py);
  }
  ctx.stroke();
  ctx.globalAlpha = 1;
}
