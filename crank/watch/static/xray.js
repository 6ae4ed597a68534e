// What the x-ray look adds: where a body can be hurt, where it strikes, how fast it goes.
// Recordings hold no hit boxes; the extents are those of the drawn body and are marked as estimates.

import { BONES } from "./pose.js";
import { ballCentre, enter, strikingPoint } from "./fighter.js";
import { INK } from "./stage.js";

export function drawExtents(ctx, view, fig) {
  const unit = enter(ctx, view, fig);
  const j = fig.joints;
  const wide = 2.1 * fig.body.thick;
  ctx.lineCap = "round";
  const bones = new Path2D();
  for (const [a, b] of BONES) { bones.moveTo(...j[a]); bones.lineTo(...j[b]); }
  const rings = new Path2D();
  const centre = fig.body.round ? ballCentre(fig) : j.head;
  rings.arc(centre[0], centre[1], (fig.body.round || fig.body.head) + 0.5, 0, Math.PI * 2);
  ctx.globalAlpha = 0.13;
  ctx.strokeStyle = ctx.fillStyle = "#fde047";
  ctx.lineWidth = wide;
  ctx.stroke(bones);
  ctx.fill(rings);
  ctx.globalAlpha = 0.5;
  ctx.lineWidth = 1.1 * unit;
  ctx.stroke(rings);
  for (const [a, b] of BONES.slice(4)) capsule(ctx, j[a], j[b], wide / 2);
  // The diamond that meets the ground.
  const high = j.head[1] + fig.body.head;
  ctx.globalAlpha = 0.75;
  ctx.strokeStyle = INK.violet;
  ctx.setLineDash([3 * unit, 3 * unit]);
  ctx.beginPath(); ctx.moveTo(0, 0); ctx.lineTo(2.6, high / 2); ctx.lineTo(0, high); ctx.lineTo(-2.6, high / 2); ctx.closePath(); ctx.stroke();
  ctx.setLineDash([]);
  const tip = strikingPoint(fig);
  if (tip) {
    const r = fig.body.blade ? 1.6 : 2.3;
    ctx.globalAlpha = 0.42; ctx.fillStyle = INK.red;
    ctx.beginPath(); ctx.arc(tip[0], tip[1], r, 0, Math.PI * 2); ctx.fill();
    ctx.globalAlpha = 1; ctx.strokeStyle = "#fecdd3"; ctx.lineWidth = 1.6 * unit; ctx.stroke();
  }
  ctx.restore();
}

function capsule(ctx, a, b, r) {
  const angle = Math.atan2(b[1] - a[1], b[0] - a[0]);
  ctx.beginPath();
  ctx.arc(a[0], a[1], r, angle + Math.PI / 2, angle + Math.PI * 1.5);
  ctx.arc(b[0], b[1], r, angle - Math.PI / 2, angle + Math.PI / 2);
  ctx.closePath();
  ctx.stroke();
}

export function drawVectors(ctx, view, fig) {
  const { s } = fig;
  const x = view.X(s.x), y = view.Y(s.y + 6 * fig.body.scale);
  const along = s.on_ground ? s.speed_ground_x : s.speed_air_x;
  arrow(ctx, view, x, y, along, s.speed_y, INK.cyan);
  arrow(ctx, view, x, y, s.speed_attack_x, s.speed_attack_y, INK.red);
}

function arrow(ctx, view, x, y, vx, vy, color) {
  const speed = Math.hypot(vx, vy);
  if (speed < 0.3) return;
  const k = 4.5 * view.scale;
  const tx = x + vx * k, ty = y - vy * k;
  const angle = Math.atan2(ty - y, tx - x);
  const head = 8 * view.px;
  ctx.strokeStyle = ctx.fillStyle = color;
  ctx.lineWidth = 2.4 * view.px;
  ctx.lineCap = "round";
  ctx.beginPath(); ctx.moveTo(x, y); ctx.lineTo(tx, ty); ctx.stroke();
  ctx.beginPath();
  ctx.moveTo(tx + Math.cos(angle) * head, ty + Math.sin(angle) * head);
  ctx.lineTo(tx + Math.cos(angle + 2.4) * head, ty + Math.sin(angle + 2.4) * head);
  ctx.lineTo(tx + Math.cos(angle - 2.4) * head, ty + Math.sin(angle - 2.4) * head);
  ctx.fill();
  ctx.font = `${11 * view.text}px ${view.font}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText(speed.toFixed(2), tx + Math.cos(angle) * head * 2.6, ty + Math.sin(angle) * head * 2.2);
}

export function drawReadout(ctx, view, fig, color) {
  const { s } = fig;
  const x = view.X(s.x), y = view.Y(s.y) + (16 + fig.player * 31) * view.text;
  const rows = [`${s.x.toFixed(1)}, ${s.y.toFixed(1)}`, `AGE ${s.state_age.toFixed(0)}  LAG ${s.hitlag.toFixed(0)}  J${s.jumps_left}`];
  ctx.font = `${11 * view.text}px ${view.font}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  rows.forEach((row, i) => {
    const w = ctx.measureText(row).width + 8 * view.text;
    ctx.fillStyle = "rgba(7,8,13,0.78)";
    ctx.fillRect(x - w / 2, y + i * 14 * view.text - 2, w, 14 * view.text);
    ctx.fillStyle = i ? "#a5f3fc" : color;
    ctx.fillText(row, x, y + i * 14 * view.text);
  });
}
