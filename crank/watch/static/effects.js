// Bursts, trails, labels and the end of a life. Each is a function of the frame number alone, so
// that scrubbing back shows them again.

import { BONES } from "./pose.js";
import { figure, rgba } from "./fighter.js";
import { INK, TONES } from "./stage.js";
import { vectorText } from "./vector.js";

const BURST = 16, LABEL = 34, KO = 80, DUST = 14;

// A number in 0..1 that stays the same for the same arguments.
export function chance(a, b) {
  let h = (a * 374761393 + b * 668265263) | 0;
  h = Math.imul(h ^ (h >>> 13), 1274126177);
  return ((h ^ (h >>> 16)) >>> 0) / 4294967296;
}

export function shakeAt(track, frame) {
  let strength = 0;
  for (const e of track.between(frame - 24, frame)) {
    const age = frame - e.frame;
    if (e.type === "hit") {
      const kb = Math.hypot(track.get("speed_attack_x", e.defenderIdx, e.frame), track.get("speed_attack_y", e.defenderIdx, e.frame));
      strength = Math.max(strength, Math.min(2 * kb, 10) * 0.8 ** age);
    }
    if (e.type === "ko") strength = Math.max(strength, 13 * 0.86 ** age);
  }
  return strength < 0.3 ? [0, 0] : [(chance(frame, 1) - 0.5) * 2 * strength, (chance(frame, 2) - 0.5) * 2 * strength];
}

export function drawTrail(ctx, view, track, player, frame, color) {
  ctx.lineCap = "butt";
  let before = null;
  for (let k = 11; k >= 0; k--) {
    const at = frame - k;
    if (at < track.base) continue;
    const x = track.get("x", player, at), y = track.get("y", player, at) + 5.5;
    if (before && Math.hypot(x - before[0], y - before[1]) < 12) {
      ctx.strokeStyle = rgba(color, 0.26 * (1 - k / 12));
      ctx.lineWidth = (1 - k / 12) * 3.4 * view.scale * Math.min(1, Math.hypot(x - before[0], y - before[1]) / 2.4);
      ctx.beginPath();
      ctx.moveTo(view.X(before[0]), view.Y(before[1]));
      ctx.lineTo(view.X(x), view.Y(y));
      ctx.stroke();
    }
    before = [x, y];
  }
}

export function drawDust(ctx, view, track, player, frame) {
  for (let age = 0; age < DUST; age++) {
    const at = frame - age;
    if (at <= track.base) break;
    const landed = track.get("on_ground", player, at) > track.get("on_ground", player, at - 1);
    const action = track.get("action_state", player, at);
    const started = (action === 20 || action === 27 || action === 28) && track.get("state_age", player, at) <= 1;
    if (!landed && !started) continue;
    const x = track.get("x", player, at), y = track.get("y", player, at);
    const f = age / DUST;
    ctx.fillStyle = `rgba(203,213,225,${0.34 * (1 - f)})`;
    for (let i = 0; i < 7; i++) {
      const side = i % 2 ? 1 : -1;
      const px = x + side * (1 + chance(at, i) * 7) * Math.sqrt(f);
      const py = y + chance(at, i + 9) * 2.4 * f;
      ctx.beginPath();
      ctx.arc(view.X(px), view.Y(py), (0.25 + 0.55 * (1 - f)) * view.scale, 0, 7);
      ctx.fill();
    }
  }
}

export function drawEvents(ctx, view, track, frame, calm) {
  for (const e of track.between(frame - KO, frame)) {
    const age = frame - e.frame;
    if (e.type === "hit" && age < LABEL) hit(ctx, view, track, e, age, isLatest(track, e, frame));
    else if (e.type === "ko") ko(ctx, view, track, e, age, calm);
    else if (e.type === "shield" && age < BURST) ring(ctx, view, track, e, age, "#4ade80");
    else if (e.type === "tech" && age < LABEL) label(ctx, view, track, e, age, "TECH", "#4ade80");
    else if (e.type === "grab" && age < LABEL) label(ctx, view, track, e, age, "GRAB", TONES.grab);
    else if (e.type === "shield-break") label(ctx, view, track, e, age, "BREAK", INK.magenta);
  }
}

function place(track, e) {
  return [track.get("x", e.defenderIdx, e.frame), track.get("y", e.defenderIdx, e.frame) + 6];
}

function isLatest(track, e, frame) {
  return !track.between(e.frame + 1, frame).some((other) => other.type === "hit" && other.defenderIdx === e.defenderIdx);
}

function hit(ctx, view, track, e, age, labelled) {
  const [wx, wy] = place(track, e);
  const x = view.X(wx), y = view.Y(wy);
  const power = Math.min(1.6, 0.5 + (e.damage ?? 3) / 14);
  const color = INK.players[e.attackerIdx ?? 0];
  if (age < BURST) {
    const f = age / BURST;
    const reach = (2 + 12 * power * Math.sqrt(f)) * view.scale;
    ctx.lineCap = "round";
    for (let i = 0; i < 14; i++) {
      const a = (i / 14) * Math.PI * 2 + chance(e.frame, i) * 0.5;
      const far = reach * (0.55 + 0.6 * chance(e.frame, i + 20));
      const near = far * (0.35 + 0.6 * f);
      ctx.strokeStyle = i % 3 ? `rgba(255,255,255,${1 - f})` : rgba(color, 1 - f);
      ctx.lineWidth = (1 - f) * 0.55 * power * view.scale + 0.5 * view.px;
      ctx.beginPath();
      ctx.moveTo(x + Math.cos(a) * near, y + Math.sin(a) * near);
      ctx.lineTo(x + Math.cos(a) * far, y + Math.sin(a) * far);
      ctx.stroke();
      // Vertices that burst off the joints.
      const d = reach * (0.5 + chance(e.frame, i + 40));
      const size = 0.38 * view.scale * (1 - f);
      ctx.fillStyle = rgba(color, 0.9 * (1 - f));
      ctx.fillRect(x + Math.cos(a + 0.2) * d - size / 2, y + Math.sin(a + 0.2) * d - size / 2, size, size);
    }
    if (age < 3) {
      const wide = 5 * power * view.scale;
      const flash = ctx.createRadialGradient(x, y, 0, x, y, wide);
      flash.addColorStop(0, "rgba(255,255,255,0.8)"); flash.addColorStop(1, "rgba(255,255,255,0)");
      ctx.fillStyle = flash;
      ctx.beginPath(); ctx.arc(x, y, wide, 0, 7); ctx.fill();
    }
    ctx.strokeStyle = rgba(color, 0.8 * (1 - f));
    ctx.lineWidth = 2 * view.px * (1 - f) + 0.4;
    ctx.beginPath(); ctx.arc(x, y, reach * 0.8, 0, 7); ctx.stroke();
  }
  if (!labelled) return;
  const count = e.comboCount ? `  x${e.comboCount}` : "";
  const text = `${e.attackName.toUpperCase()}${count}`;
  float(ctx, view, x, y - (14.5 + age * 0.11) * view.scale, text, age, color, e.comboCount ? 1.25 : 1);
}

function label(ctx, view, track, e, age, text, color) {
  const [wx, wy] = place(track, e);
  float(ctx, view, view.X(wx), view.Y(wy + 13 + age * 0.1), text, Math.min(age, LABEL), color, 1.1);
}

function float(ctx, view, x, y, text, age, color, size) {
  const fade = age < LABEL - 12 ? 1 : Math.max(0, (LABEL - age) / 12);
  ctx.globalAlpha = fade;
  ctx.font = `700 ${13 * size * view.text}px ${view.font}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.lineJoin = "round";
  ctx.lineWidth = 4 * view.text;
  ctx.strokeStyle = "rgba(7,8,13,0.9)";
  ctx.strokeText(text, x, y);
  ctx.fillStyle = color;
  ctx.fillText(text, x, y);
  ctx.globalAlpha = 1;
}

function ring(ctx, view, track, e, age, color) {
  const [wx, wy] = place(track, e);
  const f = age / BURST;
  ctx.strokeStyle = rgba(color, 1 - f);
  ctx.lineWidth = 3 * view.px * (1 - f) + 0.5;
  ctx.beginPath(); ctx.arc(view.X(wx), view.Y(wy), (5 + 9 * f) * view.scale, 0, 7); ctx.stroke();
}

// A life ends: a column of light from the side it left by, bones that fly apart, two letters.
function ko(ctx, view, track, e, age, calm) {
  const color = INK.players[e.defenderIdx];
  const margin = 6 * view.px;
  const wx = track.get("x", e.defenderIdx, e.frame - 1), wy = track.get("y", e.defenderIdx, e.frame - 1) + 6;
  const f = age / KO;
  const edges = { left: [0, null], right: [view.w, null], top: [null, 0], bottom: [null, view.h] }[e.edge] ?? [null, view.h];
  const [dx, dy] = { left: [1, 0], right: [-1, 0], top: [0, 1], bottom: [0, -1] }[e.edge] ?? [0, -1];
  const x = edges[0] ?? Math.max(margin, Math.min(view.w - margin, view.X(wx)));
  const y = edges[1] ?? Math.max(margin, Math.min(view.h - margin, view.Y(wy)));
  const far = Math.max(view.w, view.h) * (0.25 + 0.5 * Math.min(1, age / 10));
  const wide = (1 - f) ** 2 * 60 * view.px + 2;
  const beam = ctx.createLinearGradient(x, y, x + dx * far, y + dy * far);
  beam.addColorStop(0, rgba(INK.magenta, 0.85 * (1 - f)));
  beam.addColorStop(0.3, rgba(color, 0.5 * (1 - f)));
  beam.addColorStop(1, rgba(color, 0));
  ctx.fillStyle = beam;
  ctx.beginPath();
  ctx.moveTo(x - dy * wide, y - dx * wide);
  ctx.lineTo(x + dy * wide, y + dx * wide);
  ctx.lineTo(x + dx * far + dy * wide * 2.2, y + dy * far + dx * wide * 2.2);
  ctx.lineTo(x + dx * far - dy * wide * 2.2, y + dy * far - dx * wide * 2.2);
  ctx.fill();
  for (let k = 0; k < 2; k++) {
    ctx.strokeStyle = rgba(k ? INK.magenta : "#ffffff", (1 - f) ** 2);
    ctx.lineWidth = (4 - k) * view.px * (1 - f);
    ctx.beginPath(); ctx.arc(x, y, (20 + age * (4.5 + 2.5 * k)) * view.px, 0, 7); ctx.stroke();
  }
  const fig = figure(track, e.defenderIdx, e.frame - 1);
  const k = fig.body.scale * Math.max(view.scale, 4 * view.px);
  ctx.lineCap = "round";
  BONES.forEach(([a, b], i) => {
    const [ax, ay] = fig.joints[a], [bx, by] = fig.joints[b];
    const spread = chance(e.frame, i) * 2.2 - 1.1;
    const speed = (2 + 5 * chance(e.frame, i + 30)) * view.px;
    const px = x + (dx * 1.1 + Math.cos(i * 2.4) * 0.9 + spread * dy) * speed * age * (1 - f * 0.5);
    const py = y + (dy * 1.1 + Math.sin(i * 2.4) * 0.9 + spread * dx) * speed * age * (1 - f * 0.5) + age * age * 0.03 * view.px;
    const turn = (chance(e.frame, i + 60) - 0.5) * age * 0.35;
    const long = Math.hypot(bx - ax, by - ay) * k * 0.5, angle = Math.atan2(by - ay, bx - ax) + turn;
    ctx.strokeStyle = rgba(i % 4 ? color : "#ffffff", 1 - f);
    ctx.lineWidth = 2.6 * view.px;
    ctx.beginPath();
    ctx.moveTo(px - Math.cos(angle) * long, py + Math.sin(angle) * long);
    ctx.lineTo(px + Math.cos(angle) * long, py - Math.sin(angle) * long);
    ctx.stroke();
  });
  if (!calm && age < 4) {
    ctx.fillStyle = `rgba(255,255,255,${0.16 * (1 - age / 4)})`;
    ctx.fillRect(0, 0, view.w, view.h);
  }
  if (age < 66) {
    const grow = calm ? 1 : 1 + 0.7 * Math.max(0, 1 - age / 7);
    ctx.globalAlpha = age < 48 ? 1 : Math.max(0, (66 - age) / 18);
    vectorText(ctx, "KO!", view.w / 2, view.h * 0.2, 64 * view.text * grow, INK.magenta, 0.7);
    ctx.globalAlpha = 1;
  }
}
