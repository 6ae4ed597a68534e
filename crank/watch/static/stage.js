// The stage as a blueprint: dot grid, ground, platforms, blast zones with their distances.

export const INK = {
  background: "#07080d", line: "226,232,240", cyan: "#22d3ee", magenta: "#ec4899", red: "#f43f5e",
  violet: "#a78bfa", amber: "#f59e0b", green: "#22c55e", white: "#f8fafc", dim: "#7c8aa0",
  players: ["#2ee77a", "#ffb020"],
};
export const SLIM = 430; // points of width, below which what is written over the stage is put together
export const TONES = {
  neutral: "#cbd5e1", movement: "#22d3ee", aerial: "#a78bfa", attack: "#fb7185", damage: "#fbbf24",
  shield: "#4ade80", dodge: "#4ade80", tech: "#4ade80", grab: "#f472b6", grabbed: "#f472b6",
  ledge: "#a5b4fc", special: "#c084fc", landing: "#67e8f9", down: "#fbbf24", broken: "#f43f5e",
  dead: "#94a3b8", respawn: "#e2e8f0", taunt: "#fde68a",
};
export const toneOf = (category) => TONES[category] ?? "#cbd5e1";

const DOT = 10;
const kept = new Map(); // pictures that stay the same from frame to frame

function keep(key, w, h, paint) {
  if (!kept.has(key)) {
    if (kept.size > 24) kept.clear();
    const canvas = document.createElement("canvas");
    canvas.width = w;
    canvas.height = h;
    paint(canvas.getContext("2d"));
    kept.set(key, canvas);
  }
  return kept.get(key);
}

export function drawBackdrop(ctx, view, t, calm) {
  const { w, h, scale } = view;
  ctx.drawImage(keep(`glow ${w} ${h}`, w, h, (c) => {
    const glow = c.createRadialGradient(w / 2, h * 0.42, 0, w / 2, h * 0.42, Math.max(w, h) * 0.75);
    glow.addColorStop(0, "#101a2e");
    glow.addColorStop(0.55, "#0a0e19");
    glow.addColorStop(1, "#06070b");
    c.fillStyle = glow;
    c.fillRect(0, 0, w, h);
  }), 0, 0);
  // Two layers of dots; the far one moves half as much.
  for (const [depth, alpha] of [[0.5, 0.12], [1, 0.24]]) {
    const step = DOT * scale * (depth === 1 ? 1 : 1.5);
    if (step < 9 * view.px) continue;
    const from = (middle, offset) => (((middle - offset) % step) + step) % step;
    const r = Math.max(1, view.px * 1.2);
    const pulse = calm ? 0 : 0.06 * depth * Math.sin(t * 0.02 + depth * 2);
    ctx.fillStyle = `rgba(103,232,249,${alpha + pulse})`;
    for (let x = from(w / 2, view.cx * scale * depth); x < w; x += step) {
      for (let y = from(h / 2, -view.cy * scale * depth); y < h; y += step) ctx.fillRect(x, y, r, r);
    }
  }
}

export function drawStage(ctx, view, stage, detailed) {
  const { X, Y, px, scale } = view;
  const [left, right] = stage.ground_x_range;
  const top = Y(stage.ground_y);
  blastZones(ctx, view, stage, detailed);

  // The body of the stage: a tapering block with ribs.
  const deep = Y(stage.ground_y - 42);
  const inset = 0.34 * (right - left) * scale;
  const l = X(left), r = X(right);
  ctx.beginPath();
  ctx.moveTo(l, top);
  ctx.lineTo(r, top);
  ctx.lineTo(r - 3 * scale, Y(stage.ground_y - 7));
  ctx.lineTo(r - inset, deep);
  ctx.lineTo(l + inset, deep);
  ctx.lineTo(l + 3 * scale, Y(stage.ground_y - 7));
  ctx.closePath();
  const fill = ctx.createLinearGradient(0, top, 0, deep);
  fill.addColorStop(0, "rgba(24,36,60,0.98)");
  fill.addColorStop(0.4, "rgba(13,19,34,0.92)");
  fill.addColorStop(1, "rgba(8,10,18,0)");
  ctx.fillStyle = fill;
  ctx.fill();
  // Ribs and layers end at its sides; a clip would cost more than all the rest.
  ctx.lineWidth = px;
  ctx.strokeStyle = "rgba(103,232,249,0.13)";
  ctx.beginPath();
  for (let i = 1; i < 12; i++) {
    const f = i / 12;
    ctx.moveTo(l + (r - l) * f, top);
    ctx.lineTo(l + inset + (r - l - 2 * inset) * f, deep);
  }
  ctx.stroke();
  for (const d of [7, 13, 20, 28, 37]) {
    const y = Y(stage.ground_y - d);
    const side = 3 * scale + ((d - 7) / 35) * (inset - 3 * scale);
    ctx.strokeStyle = `rgba(103,232,249,${0.16 - d * 0.0035})`;
    ctx.beginPath();
    ctx.moveTo(l + side, y);
    ctx.lineTo(r - side, y);
    ctx.stroke();
  }
  neon(ctx, view, l, top, r, top, "226,232,240", 2.2);
  for (const [x, dir] of [[l, 1], [r, -1]]) {
    neon(ctx, view, x, top, x + dir * 3 * scale, Y(stage.ground_y - 7), "34,211,238", 1.6);
    neon(ctx, view, x, top, x + dir * 4 * scale, top, "34,211,238", 3.2);
  }
  for (const platform of stage.platforms) {
    const [a, b] = platform.x_range.map(X);
    const y = Y(platform.y);
    const thin = 1.5 * scale;
    const sheet = ctx.createLinearGradient(0, y, 0, y + thin * 2.5);
    sheet.addColorStop(0, "rgba(34,211,238,0.26)");
    sheet.addColorStop(1, "rgba(34,211,238,0)");
    ctx.fillStyle = sheet;
    ctx.fillRect(a, y, b - a, thin * 2.5);
    neon(ctx, view, a, y, b, y, "165,243,252", 1.8);
    ctx.strokeStyle = "rgba(165,243,252,0.3)";
    ctx.lineWidth = px;
    ctx.beginPath();
    for (let i = 1; i < 8; i++) { const x = a + ((b - a) * i) / 8; ctx.moveTo(x, y); ctx.lineTo(x, y + thin); }
    ctx.stroke();
  }
  if (detailed) dimensions(ctx, view, stage);
}

export function neon(ctx, view, x1, y1, x2, y2, rgb, width) {
  ctx.lineCap = "round";
  for (const [k, alpha] of [[6, 0.07], [3, 0.16], [1, 0.95]]) {
    ctx.strokeStyle = `rgba(${rgb},${alpha})`;
    ctx.lineWidth = width * k * view.px;
    ctx.beginPath();
    ctx.moveTo(x1, y1);
    ctx.lineTo(x2, y2);
    ctx.stroke();
  }
}

function blastZones(ctx, view, stage, detailed) {
  const { X, Y, px } = view;
  const zone = stage.blast_zones;
  ctx.strokeStyle = "rgba(244,63,94,0.5)";
  ctx.lineWidth = 1.2 * px;
  ctx.setLineDash([7 * px, 6 * px]);
  ctx.strokeRect(X(zone.left), Y(zone.top), X(zone.right) - X(zone.left), Y(zone.bottom) - Y(zone.top));
  ctx.setLineDash([]);
  // Distances, at whichever sides are seen.
  ctx.fillStyle = "rgba(251,113,133,0.9)";
  ctx.font = `${10.5 * view.text}px ${view.font}`;
  ctx.textBaseline = "middle";
  const gap = 7 * view.text;
  const seen = (v, limit) => v > 0 && v < limit;
  if (seen(X(zone.left), view.w)) { ctx.textAlign = "left"; ctx.fillText(`L ${zone.left}`, X(zone.left) + gap, view.h * 0.42); }
  if (seen(X(zone.right), view.w)) { ctx.textAlign = "right"; ctx.fillText(`R +${zone.right}`, X(zone.right) - gap, view.h * 0.42); }
  ctx.textAlign = "center";
  if (seen(Y(zone.top), view.h)) ctx.fillText(`TOP +${zone.top}`, view.w / 2, Y(zone.top) + gap * 1.6);
  if (seen(Y(zone.bottom), view.h)) ctx.fillText(`BOTTOM ${zone.bottom}`, view.w / 2, Y(zone.bottom) - gap * 1.6);
  if (detailed) {
    const box = stage.camera_bounds;
    ctx.strokeStyle = "rgba(167,139,250,0.35)";
    ctx.setLineDash([2 * px, 6 * px]);
    ctx.strokeRect(X(box.left), Y(box.top), X(box.right) - X(box.left), Y(box.bottom) - Y(box.top));
    ctx.setLineDash([]);
  }
}

function dimensions(ctx, view, stage) {
  const { X, Y } = view;
  ctx.font = `${10 * view.text}px ${view.font}`;
  ctx.fillStyle = "rgba(165,243,252,0.75)";
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  for (const x of stage.ground_x_range) ctx.fillText(x.toFixed(1), X(x), Y(stage.ground_y) + 9 * view.text);
  for (const { x_range: [a, b], y } of stage.platforms) ctx.fillText(`y ${y}`, X((a + b) / 2), Y(y) + 6 * view.text);
}
