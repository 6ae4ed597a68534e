// One fighter on the canvas, in one of four looks: wire, character, data (a quiet wire), x-ray.

import { categoryOf, specialOf } from "./track.js";
import { BONES, BRACES, LIMB_ENDS, activeLimb, joints, poseAt } from "./pose.js";
import { bodyOf } from "./bodies.js";
import { INK } from "./stage.js";

const LIMBS = [
  ["shoulderB", "elbowB", "handB"], ["hipB", "kneeB", "footB"],
  ["hipF", "kneeF", "footF"], ["shoulderF", "elbowF", "handF"],
];

// Everything about a player at a frame that its drawing needs.
export function figure(track, player, frame, shift = 0) {
  const at = track.clamp(frame - shift);
  const s = track.player(player, at);
  const body = bodyOf(s.character);
  const pose = poseAt(track, player, at, body.blade > 0);
  return { s, body, joints: joints(pose, body), category: categoryOf(s.action_state), player };
}

// Enters the frame of a body: one unit is one of the body's, y up, facing +x.
export function enter(ctx, view, fig, jitter = 0) {
  const k = fig.body.scale * view.scale;
  const dx = Math.sin(jitter * 12.9) * 1.5 * view.px;
  const dy = Math.sin(jitter * 78.2) * 1.5 * view.px;
  ctx.save();
  ctx.translate(view.X(fig.s.x) + dx, view.Y(fig.s.y) + dy);
  ctx.scale(fig.s.facing ? k : -k, -k);
  return view.px / k;
}

function line(ctx, points) {
  ctx.beginPath();
  points.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
}

// A shape of a body, as points in the body's frame.
function shapePoints(shape, fig) {
  const j = fig.joints;
  const r = fig.body.head;
  const frames = {
    head: [j.head, -j.tilt, r], back: [j.neck, -j.lean, 1], chest: [j.chest, -j.lean, 1],
    hip: [j.hip, -j.lean * 0.7, 1], ball: [ballCentre(fig), -j.lean * 0.5, 1],
    handF: [j.handF, Math.atan2(j.handF[1] - j.elbowF[1], j.handF[0] - j.elbowF[0]), 1],
  };
  const [[x, y], angle, k] = frames[shape.at];
  const c = Math.cos(angle) * k, s = Math.sin(angle) * k;
  return shape.line.map(([a, b]) => [x + a * c - b * s, y + a * s + b * c]);
}

export function ballCentre(fig) {
  const { hip, lean } = fig.joints;
  return [hip[0] + Math.sin(lean * 0.5) * 1.5, hip[1] + Math.cos(lean * 0.5) * 1.7];
}

export function bladeOf(fig) {
  const { handF, elbowF } = fig.joints;
  const long = fig.body.blade;
  if (!long) return null;
  const blow = fig.category === "attack" || fig.category === "special";
  let angle = Math.atan2(handF[1] - elbowF[1], handF[0] - elbowF[0]) + (blow ? 0 : 0.9);
  return [handF, [handF[0] + Math.cos(angle) * long, handF[1] + Math.sin(angle) * long]];
}

export function strikingPoint(fig) {
  const limb = activeLimb(fig.s, fig.body.blade > 0);
  if (limb < 0) return null;
  return limb === 0 && fig.body.blade ? bladeOf(fig)[1] : fig.joints[LIMB_ENDS[limb]];
}

// The path of the striking limb through the last frames, as a fading ribbon.
export function drawSwoosh(ctx, view, track, player, frame, color) {
  const now = figure(track, player, frame);
  if (!strikingPoint(now)) return;
  const points = [];
  for (let k = 0; k < 5; k++) {
    const fig = k ? figure(track, player, frame, k) : now;
    const tip = strikingPoint(fig);
    if (!tip || fig.s.action_state !== now.s.action_state) break;
    const dir = fig.s.facing ? 1 : -1;
    const k2 = fig.body.scale;
    const inner = fig.body.blade ? fig.joints.handF : fig.joints.hip;
    points.push([fig.s.x + dir * tip[0] * k2, fig.s.y + tip[1] * k2,
      fig.s.x + dir * (tip[0] * 0.6 + inner[0] * 0.4) * k2, fig.s.y + (tip[1] * 0.6 + inner[1] * 0.4) * k2]);
  }
  for (let i = 1; i < points.length; i++) {
    const [a, b] = [points[i - 1], points[i]];
    ctx.globalAlpha = 0.5 * (1 - i / 5);
    ctx.fillStyle = color;
    ctx.beginPath();
    ctx.moveTo(view.X(a[0]), view.Y(a[1]));
    ctx.lineTo(view.X(b[0]), view.Y(b[1]));
    ctx.lineTo(view.X(b[2]), view.Y(b[3]));
    ctx.lineTo(view.X(a[2]), view.Y(a[3]));
    ctx.fill();
  }
  ctx.globalAlpha = 1;
}

export function heartColor(percent) {
  const t = Math.min(1, percent / 150);
  return `rgb(${Math.round(46 + t * 200)},${Math.round(231 - t * 160)},${Math.round(122 + t * 60)})`;
}

export function drawWire(ctx, view, fig, { color, hot, lag, frame, calm, alpha = 1, quiet = false }) {
  const unit = enter(ctx, view, fig, lag && !calm ? frame : 0);
  const j = fig.joints;
  const ink = hot ? "#ffffff" : color;
  const main = Math.max(1.25 * view.px, view.scale * 0.27) * (hot ? 1.35 : 1) * unit * fig.body.thick ** 0.5;
  ctx.lineCap = ctx.lineJoin = "round";
  ctx.globalAlpha = alpha;
  ctx.strokeStyle = ctx.fillStyle = ink;

  const bones = new Path2D();
  for (const [a, b] of fig.body.round ? LIMBS.flatMap(([p, q, r]) => [[p, q], [q, r]]) : BONES) {
    bones.moveTo(...j[a]);
    bones.lineTo(...j[b]);
  }
  const outline = new Path2D();
  for (const shape of fig.body.shapes) {
    shapePoints(shape, fig).forEach((p, i) => (i ? outline.lineTo(...p) : outline.moveTo(...p)));
    outline.closePath();
  }
  const round = fig.body.round;
  const centre = round ? ballCentre(fig) : j.head;
  const skull = new Path2D();
  skull.arc(centre[0], centre[1], round || fig.body.head, 0, Math.PI * 2);

  // The dark inside keeps crossing lines apart.
  ctx.globalAlpha = alpha * 0.72;
  ctx.fillStyle = "#070b12";
  ctx.fill(skull);
  ctx.globalAlpha = alpha;
  ctx.strokeStyle = ink;
  if (!quiet) {
    ctx.globalAlpha = alpha * 0.15;
    ctx.lineWidth = main * 4.6;
    ctx.stroke(bones);
    ctx.stroke(skull);
  }
  ctx.globalAlpha = alpha * 0.34;
  ctx.lineWidth = main * 0.42;
  ctx.beginPath();
  for (const [a, b] of BRACES) { ctx.moveTo(...j[a]); ctx.lineTo(...j[b]); }
  ctx.stroke();
  ctx.globalAlpha = alpha * 0.62;
  ctx.lineWidth = main * 0.6;
  ctx.stroke(outline);
  ctx.globalAlpha = alpha;
  ctx.lineWidth = main;
  ctx.stroke(bones);
  ctx.stroke(skull);
  const blade = bladeOf(fig);
  if (blade) {
    ctx.globalAlpha = alpha * 0.25; ctx.lineWidth = main * 3; line(ctx, blade); ctx.stroke();
    ctx.globalAlpha = alpha; ctx.lineWidth = main * 0.8; ctx.strokeStyle = "#e0f2fe"; line(ctx, blade); ctx.stroke();
    ctx.strokeStyle = ink;
  }
  ctx.fillStyle = ink;
  for (const name of ["elbowF", "handF", "elbowB", "handB", "kneeF", "footF", "kneeB", "footB", "hip", "neck", "shoulderF", "shoulderB"]) {
    ctx.beginPath();
    ctx.arc(j[name][0], j[name][1], main * 0.85, 0, Math.PI * 2);
    ctx.fill();
  }
  // Visor: which way it looks.
  const r = round ? round * 0.7 : fig.body.head;
  const tilt = -j.tilt;
  const eye = (a, b) => [centre[0] + (a * Math.cos(tilt) - b * Math.sin(tilt)) * r, centre[1] + (a * Math.sin(tilt) + b * Math.cos(tilt)) * r];
  ctx.lineWidth = main * 0.9;
  const brow = round ? 0.55 : 0.14;
  line(ctx, [eye(0.25, brow + 0.02), eye(0.78, brow - 0.02)]);
  ctx.stroke();

  const beat = calm ? 0 : Math.sin(frame * 0.1 * (1 + fig.s.percent / 100));
  ctx.fillStyle = heartColor(fig.s.percent);
  ctx.globalAlpha = alpha * 0.3;
  ctx.beginPath(); ctx.arc(j.chest[0], j.chest[1], 0.95 + 0.2 * beat, 0, Math.PI * 2); ctx.fill();
  ctx.globalAlpha = alpha;
  ctx.beginPath(); ctx.arc(j.chest[0], j.chest[1], 0.42 + 0.12 * beat, 0, Math.PI * 2); ctx.fill();
  ctx.restore();
}

export function drawBody(ctx, view, fig, { color, hot, lag, frame, calm, alpha = 1 }) {
  const unit = enter(ctx, view, fig, lag && !calm ? frame : 0);
  const { joints: j, body } = fig;
  const white = hot;
  const thick = body.thick;
  ctx.lineCap = ctx.lineJoin = "round";
  ctx.globalAlpha = alpha;
  const widths = { arm: 1.0 * thick, leg: 1.28 * thick, torso: 2.15 * thick };
  const rim = body.flat ? 0.9 : Math.max(0.34, 1.4 * unit);

  const limb = (names, upper, lower, end, width, grow, ink) => {
    const [a, b, c] = names.map((n) => j[n]);
    ctx.strokeStyle = ink ?? upper;
    ctx.lineWidth = width + grow;
    line(ctx, [a, b, c]);
    ctx.stroke();
    if (ink) return;
    ctx.strokeStyle = lower;
    ctx.lineWidth = width * 0.96;
    line(ctx, [[(a[0] + b[0] * 3) / 4, (a[1] + b[1] * 3) / 4], b, c]);
    ctx.stroke();
    ctx.fillStyle = end;
    ctx.beginPath();
    ctx.arc(c[0], c[1], width * 0.62, 0, Math.PI * 2);
    ctx.fill();
  };
  const foot = (name, ankle, grow, fill) => {
    const [x, y] = j[name];
    const [kx, ky] = j[ankle];
    const angle = Math.atan2(y - ky, x - kx) + Math.PI / 2;
    ctx.fillStyle = fill;
    ctx.beginPath();
    ctx.ellipse(x + Math.cos(angle) * 0.5, y + widths.leg * 0.5 + Math.sin(angle) * 0.3, widths.leg * 0.98 + grow, widths.leg * 0.52 + grow * 0.7, angle * 0.8, 0, Math.PI * 2);
    ctx.fill();
  };
  const shapes = (behind, grow, ink) => {
    for (const shape of body.shapes) {
      if (Boolean(shape.behind) !== behind) continue;
      line(ctx, shapePoints(shape, fig));
      ctx.closePath();
      if (grow) { ctx.strokeStyle = ink; ctx.lineWidth = grow; ctx.stroke(); }
      else { ctx.fillStyle = white ? "#ffffff" : shape.fill; ctx.fill(); ctx.strokeStyle = "rgba(8,10,18,0.55)"; ctx.lineWidth = 0.14; ctx.stroke(); }
    }
  };
  const torso = (grow, ink) => {
    if (body.round) {
      const c = ballCentre(fig);
      ctx.fillStyle = ink ?? body.skin;
      ctx.beginPath(); ctx.arc(c[0], c[1], body.round + grow / 2, 0, Math.PI * 2); ctx.fill();
      return;
    }
    ctx.strokeStyle = ink ?? body.top;
    ctx.lineWidth = widths.torso + grow;
    const low = [j.hip[0], j.hip[1] + 0.4];
    line(ctx, [low, [(j.neck[0] * 3 + j.hip[0]) / 4, (j.neck[1] * 3 + j.hip[1]) / 4]]);
    ctx.stroke();
    if (!ink) {
      ctx.strokeStyle = body.legs; ctx.lineWidth = widths.torso * 0.92;
      line(ctx, [[j.hip[0], j.hip[1] - 0.1], [j.hip[0], j.hip[1] + 0.15]]); ctx.stroke();
    }
  };
  const skull = (grow, ink) => {
    if (body.round) return;
    ctx.fillStyle = ink ?? body.skin;
    ctx.beginPath(); ctx.arc(j.head[0], j.head[1], body.head + grow / 2, 0, Math.PI * 2); ctx.fill();
  };

  // The rim in the player's colour, then the body over it.
  const edge = white ? "#ffffff" : color;
  shapes(true, rim * 2, edge); shapes(false, rim * 2, edge);
  for (const [i, names] of LIMBS.entries()) limb(names, "", "", "", i === 1 || i === 2 ? widths.leg : widths.arm, rim * 2, edge);
  foot("footB", "kneeB", rim, edge); foot("footF", "kneeF", rim, edge);
  torso(rim * 2, edge); skull(rim * 2, edge);
  const paint = (c) => (white ? "#ffffff" : c);
  shapes(true, 0);
  limb(LIMBS[0], shade(paint(body.top)), shade(paint(body.gloves === body.top ? body.top : body.skin)), shade(paint(body.gloves)), widths.arm, 0);
  limb(LIMBS[1], shade(paint(body.legs)), shade(paint(body.legs)), shade(paint(body.boots)), widths.leg, 0);
  foot("footB", "kneeB", 0, shade(paint(body.boots)));
  const blade = bladeOf(fig);
  torso(0, white ? "#ffffff" : undefined);
  limb(LIMBS[2], paint(body.legs), paint(body.legs), paint(body.boots), widths.leg, 0);
  foot("footF", "kneeF", 0, paint(body.boots));
  skull(0, white ? "#ffffff" : undefined);
  shapes(false, 0);
  face(ctx, fig);
  if (blade) {
    ctx.strokeStyle = "rgba(186,230,253,0.35)"; ctx.lineWidth = 0.9; line(ctx, blade); ctx.stroke();
    ctx.strokeStyle = "#f0f9ff"; ctx.lineWidth = 0.42; line(ctx, blade); ctx.stroke();
    ctx.strokeStyle = "#ca8a04"; ctx.lineWidth = 0.5;
    const [[hx, hy], [tx, ty]] = blade;
    const dx = (tx - hx) / body.blade, dy = (ty - hy) / body.blade;
    line(ctx, [[hx + dx * 0.5 - dy * 0.8, hy + dy * 0.5 + dx * 0.8], [hx + dx * 0.5 + dy * 0.8, hy + dy * 0.5 - dx * 0.8]]); ctx.stroke();
  }
  limb(LIMBS[3], paint(body.top), paint(body.gloves === body.top ? body.top : body.skin), paint(body.gloves), widths.arm, 0);
  ctx.restore();
}

function face(ctx, fig) {
  const { joints: j, body } = fig;
  const round = body.round;
  const centre = round ? ballCentre(fig) : j.head;
  const r = round ? round * 0.72 : body.head;
  const tilt = -j.tilt;
  const at = (a, b) => [centre[0] + (a * Math.cos(tilt) - b * Math.sin(tilt)) * r, centre[1] + (a * Math.sin(tilt) + b * Math.cos(tilt)) * r];
  ctx.fillStyle = body.eye;
  for (const a of round ? [0.35, 0.95] : [0.32, 0.74]) {
    const [x, y] = at(a, round ? 0.5 : 0.14);
    ctx.beginPath(); ctx.ellipse(x, y, r * (round ? 0.12 : 0.1), r * 0.2, tilt, 0, Math.PI * 2); ctx.fill();
  }
}

function shade(color) {
  const n = parseInt(color.slice(1), 16);
  const part = (shift) => Math.round(((n >> shift) & 255) * 0.66);
  return `rgb(${part(16)},${part(8)},${part(0)})`;
}

// What surrounds a fighter: shield, respawn platform, the glow of a special move.
export function drawAura(ctx, view, fig, color, t, calm) {
  const { s, joints: j } = fig;
  const unit = enter(ctx, view, fig);
  if (fig.category === "shield") {
    const r = (2.4 + 5.4 * Math.min(1, s.shield_strength / 60)) / Math.max(0.8, fig.body.scale) * 1.02;
    const struck = s.action_state === 181;
    const [x, y] = [j.chest[0] - 0.2, j.chest[1] - 1.2];
    const ball = ctx.createRadialGradient(x, y, r * 0.2, x, y, r);
    ball.addColorStop(0, rgba(color, 0.1)); ball.addColorStop(0.8, rgba(color, struck ? 0.6 : 0.3)); ball.addColorStop(1, rgba(color, 0.08));
    ctx.fillStyle = ball; ctx.strokeStyle = struck ? "#ffffff" : color; ctx.lineWidth = 2 * unit;
    ctx.beginPath(); ctx.arc(x, y, r, 0, Math.PI * 2); ctx.fill(); ctx.stroke();
  }
  if (fig.category === "respawn") {
    ctx.strokeStyle = color; ctx.fillStyle = rgba(color, 0.25); ctx.lineWidth = 1.6 * unit;
    ctx.beginPath(); ctx.ellipse(0, -0.6, 6, 1.1, 0, 0, Math.PI * 2); ctx.fill(); ctx.stroke();
    const beam = ctx.createLinearGradient(0, 0, 0, 30);
    beam.addColorStop(0, rgba(color, 0.22)); beam.addColorStop(1, rgba(color, 0));
    ctx.fillStyle = beam; ctx.fillRect(-5, 0, 10, 30);
  }
  if (fig.category === "special") specialGlow(ctx, fig, unit, t, calm);
  if (fig.category === "broken") {
    ctx.strokeStyle = INK.magenta; ctx.lineWidth = 1.5 * unit;
    for (let i = 0; i < 3; i++) {
      const a = t * 0.08 + (i * Math.PI * 2) / 3;
      ctx.beginPath(); ctx.arc(j.head[0] + Math.cos(a) * 2.4, j.head[1] + 2.2 + Math.sin(a) * 0.6, 0.4, 0, 7); ctx.stroke();
    }
  }
  ctx.restore();
}

function specialGlow(ctx, fig, unit, t, calm) {
  const { s, joints: j } = fig;
  const move = specialOf(s.action_state, s.character);
  if (move === "Shine") {
    const r = 6.2 + (calm ? 0 : Math.sin(t * 0.8) * 0.3);
    for (const [k, alpha] of [[1, 0.9], [0.72, 0.5]]) {
      ctx.beginPath();
      for (let i = 0; i < 6; i++) { const a = (i * Math.PI) / 3; ctx[i ? "lineTo" : "moveTo"](j.chest[0] + Math.cos(a) * r * k, j.chest[1] - 0.8 + Math.sin(a) * r * k); }
      ctx.closePath();
      ctx.fillStyle = "rgba(56,189,248,0.16)"; ctx.fill();
      ctx.strokeStyle = `rgba(125,211,252,${alpha})`; ctx.lineWidth = 2 * unit; ctx.stroke();
    }
    return;
  }
  if (move === "Fire Fox" || move === "Fire Bird") {
    for (let i = 0; i < 12; i++) {
      const a = i * 2.4 + t * 0.35;
      const r = 1.5 + ((i * 37 + t * 3) % 26) / 6;
      ctx.fillStyle = `rgba(251,${120 + (i * 29) % 110},36,${0.5 - r * 0.07})`;
      ctx.beginPath(); ctx.arc(j.chest[0] + Math.cos(a) * r, j.chest[1] + Math.sin(a) * r, 0.9, 0, 7); ctx.fill();
    }
    return;
  }
  const [x, y] = j.handF;
  const glow = ctx.createRadialGradient(x, y, 0, x, y, 2.6);
  glow.addColorStop(0, "rgba(216,180,254,0.85)"); glow.addColorStop(1, "rgba(167,139,250,0)");
  ctx.fillStyle = glow;
  ctx.beginPath(); ctx.arc(x, y, 2.6, 0, Math.PI * 2); ctx.fill();
}

export function rgba(hex, alpha) {
  const n = parseInt(hex.slice(1), 16);
  return `rgba(${n >> 16},${(n >> 8) & 255},${n & 255},${alpha})`;
}
