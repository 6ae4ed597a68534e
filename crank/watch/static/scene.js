// One world on one canvas: camera, stage, fighters, effects, in the chosen look.

import { Camera } from "./camera.js";
import { INK, SLIM, drawBackdrop, drawStage } from "./stage.js";
import { drawAura, drawBody, drawSwoosh, drawWire, figure, rgba } from "./fighter.js";
import { drawDust, drawEvents, drawTrail, shakeAt } from "./effects.js";
import { drawExtents, drawReadout, drawVectors } from "./xray.js";
import { FIELDS_FROM, TALL, drawFields } from "./fields.js";
import { OVERLAYS } from "./overlays.js";

export const MODES = { wire: "W", character: "C", data: "D", xray: "X" };
const FLASH = 3; // frames for which a blow shows white
const SMALL = 600; // points of width, below which the camera goes closer
const CLOSER = 0.82;
const GONE = 2; // frames for which a dead fighter is still seen

export class Scene {
  constructor(canvas) {
    this.canvas = canvas;
    this.ctx = canvas.getContext("2d", { alpha: false });
    this.lift = 0;
    this.named = false; // its name stands at the top
    this.stale = true;
    new ResizeObserver(() => { this.stale = true; }).observe(canvas);
  }

  show(track) {
    this.track = track;
    this.stale = true;
    this.camera = new Camera(track);
  }

  measure() {
    if (!this.stale) return;
    this.stale = false;
    const dpr = Math.min(3, window.devicePixelRatio || 1);
    const box = this.canvas.getBoundingClientRect();
    this.canvas.width = Math.max(1, Math.round(box.width * dpr));
    this.canvas.height = Math.max(1, Math.round(box.height * dpr));
    const style = getComputedStyle(this.canvas);
    this.px = dpr * Math.max(1, Math.min(2.2, box.width / 1400));
    this.text = (dpr * parseFloat(style.fontSize)) / 15;
    this.font = style.fontFamily;
  }

  view(frame, calm, lift) {
    const { width: w, height: h } = this.canvas;
    const [cx, cy, wide, high] = this.camera.at(frame);
    const near = w < SMALL * this.px ? CLOSER : 1;
    const scale = Math.min(w / (wide * near), (h * (1 - lift)) / high);
    const [sx, sy] = calm ? [0, 0] : shakeAt(this.track, frame);
    const mx = w / 2 + sx * this.px, my = (h * (1 - lift)) / 2 + sy * this.px;
    return {
      w, h, floor: h * (1 - lift), scale, cx, cy, px: this.px, text: this.text, font: this.font,
      X: (x) => mx + (x - cx) * scale,
      Y: (y) => my - (y - cy) * scale,
    };
  }

  draw(frame, mode, { calm = false, tags = true } = {}) {
    this.measure();
    const { ctx, track } = this;
    const tall = this.canvas.width < this.canvas.height * TALL;
    const lift = mode === "data" && tall ? 1 - FIELDS_FROM : this.lift;
    const view = this.view(frame, calm, lift);
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.globalAlpha = 1;
    drawBackdrop(ctx, view, frame, calm);
    drawStage(ctx, view, track.stage, mode === "xray");
    const figures = [0, 1].map((p) => figure(track, p, frame));
    for (const fig of figures) if (mode !== "data") drawTrail(ctx, view, track, fig.player, frame, INK.players[fig.player]);
    for (const fig of figures) if (mode !== "data") drawDust(ctx, view, track, fig.player, frame);
    for (const fig of figures) this.fighter(view, fig, frame, mode, calm, tags);
    if (mode !== "data") drawEvents(ctx, view, track, frame, calm);
    if (mode === "xray") this.legend(view);
    if (mode === "data") drawFields(ctx, view, track, frame, this.lift);
    if (tags) for (const { modes, draw } of OVERLAYS) if (modes.includes(mode)) draw(ctx, view, track, frame, calm);
  }

  gone(player, frame) {
    const track = this.track;
    if (figure(track, player, frame).category !== "dead") return false;
    if (frame - track.base <= track.seeds) return false; // worlds start from action 0
    for (let k = 1; k <= GONE; k++) {
      if (figure(track, player, frame, k).category !== "dead") return false;
    }
    return true;
  }

  fighter(view, fig, frame, mode, calm, tags) {
    const { ctx, track } = this;
    if (this.gone(fig.player, frame)) return;
    const color = INK.players[fig.player];
    const struck = track.between(frame - 12, frame).some((e) => e.type === "hit" && e.defenderIdx === fig.player);
    const lag = fig.s.hitlag > 0 && struck;
    const hot = track.between(frame - FLASH, frame).some((e) => e.type === "hit" && e.defenderIdx === fig.player);
    const dodging = fig.category === "dodge" || fig.category === "respawn";
    const alpha = dodging ? 0.6 : 1;
    drawSwoosh(ctx, view, track, fig.player, frame, mode === "character" ? "#f8fafc" : color);
    drawAura(ctx, view, fig, color, frame, calm);
    if (mode === "xray") drawExtents(ctx, view, fig);
    if (mode === "character") drawBody(ctx, view, fig, { color, hot, lag, frame, calm, alpha });
    else drawWire(ctx, view, fig, { color, hot, lag, frame, calm, alpha, quiet: mode === "data" });
    if (mode === "xray") { drawVectors(ctx, view, fig); drawReadout(ctx, view, fig, color); }
    if (tags) this.tag(view, fig, color);
    this.outside(view, fig, color);
  }

  tag(view, fig, color) {
    const { ctx } = this;
    const s = view.text;
    const x = view.X(fig.s.x);
    const top = fig.body.round ? 9.5 : 12.6 * fig.body.torso ** 0.5;
    const y = view.Y(fig.s.y + top * fig.body.scale) - 7 * s;
    ctx.fillStyle = color;
    ctx.beginPath();
    ctx.moveTo(x - 5 * s, y - 6 * s); ctx.lineTo(x + 5 * s, y - 6 * s); ctx.lineTo(x, y);
    ctx.fill();
    ctx.font = `700 ${11 * s}px ${view.font}`;
    ctx.textAlign = "center";
    ctx.textBaseline = "bottom";
    ctx.fillText(`P${fig.player + 1}`, x, y - 7 * s);
  }

  // An arrow at the border for whom the picture does not hold.
  outside(view, fig, color) {
    const { ctx } = this;
    const x = view.X(fig.s.x), y = view.Y(fig.s.y + 6);
    const m = 22 * view.px;
    const bx = Math.max(m, Math.min(view.w - m, x)), by = Math.max(m, Math.min(view.h - m, y));
    if (Math.hypot(bx - x, by - y) < 12 * view.px) return;
    const a = Math.atan2(y - by, x - bx);
    ctx.fillStyle = color;
    ctx.beginPath();
    for (const [turn, r] of [[0, 14], [2.5, 11], [-2.5, 11]]) ctx.lineTo(bx + Math.cos(a + turn) * r * view.px, by + Math.sin(a + turn) * r * view.px);
    ctx.fill();
    ctx.strokeStyle = rgba(color, 0.6);
    ctx.lineWidth = 1.5 * view.px;
    ctx.beginPath(); ctx.arc(bx, by, 19 * view.px, 0, 7); ctx.stroke();
  }

  legend(view) {
    const { ctx } = this;
    const s = view.text;
    const slim = view.w < SLIM * s;
    const rows = [["VELOCITY", INK.cyan], ["KNOCKBACK", INK.red], [slim ? "HURT (EST.)" : "HURT EXTENT (ESTIMATE)", "#fde047"],
      [slim ? "STRIKE (EST.)" : "STRIKE EXTENT (ESTIMATE)", "#fb7185"], ["GROUND DIAMOND", INK.violet]];
    ctx.font = `${10.5 * s}px ${view.font}`;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    rows.forEach(([name, color], i) => {
      const column = slim ? i % 2 : 0;
      const x = 14 * s + column * (view.w / 2), y = ((this.named && slim ? 36 : 18) + (slim ? Math.floor(i / 2) : i) * 16) * s;
      ctx.fillStyle = color;
      ctx.fillRect(x, y - 4 * s, 8 * s, 8 * s);
      ctx.fillStyle = "#cbd5e1";
      ctx.fillText(name, x + 14 * s, y);
    });
  }
}
