// Where the camera looks at each frame: computed once along the match, so that scrubbing shows the
// same picture as playing. Kept as centre x, y and the width and height that must be seen.

import { categoryOf } from "./track.js";

const FOLLOW = 0.09, WIDEN = 0.14, NARROW = 0.03;
const LEAST_WIDE = 108, LEAST_HIGH = 54;

export class Camera {
  constructor(track) {
    this.track = track;
    this.done = -1; // number of the last frame that was computed
    this.path = [];
  }

  target(frame) {
    const track = this.track;
    const zone = track.stage.blast_zones;
    let left = Infinity, right = -Infinity, bottom = Infinity, top = -Infinity;
    for (let p = 0; p < 2; p++) {
      if (categoryOf(track.get("action_state", p, frame)) === "dead" && frame > track.base + track.seeds) continue;
      const x = Math.max(zone.left, Math.min(zone.right, track.get("x", p, frame)));
      const y = Math.max(zone.bottom, Math.min(zone.top, track.get("y", p, frame)));
      left = Math.min(left, x); right = Math.max(right, x);
      bottom = Math.min(bottom, y); top = Math.max(top, y + 12);
    }
    if (left > right) { left = -30; right = 30; bottom = 0; top = 40; }
    // Something of the stage is always seen.
    const [edgeL, edgeR] = track.stage.ground_x_range;
    left = Math.min(left, edgeR - 25); right = Math.max(right, edgeL + 25);
    bottom = Math.min(bottom, 8); top = Math.max(top, 16);
    return [(left + right) / 2, (bottom + top) / 2 + 1,
      Math.max(LEAST_WIDE, right - left + 62), Math.max(LEAST_HIGH, top - bottom + 36)];
  }

  // [x, y, width, height] in game units.
  at(frame) {
    const track = this.track;
    const wanted = track.clamp(frame);
    if (this.done < track.base - 1) { this.done = track.base - 1; this.path = []; this.from = track.base; }
    if (this.path.length === 0) this.from = track.base;
    while (this.done < wanted) {
      this.done += 1;
      const to = this.target(this.done);
      const before = this.path.at(-1);
      this.path.push(before ? before.map((v, i) => {
        const rate = i < 2 ? FOLLOW : to[i] > v ? WIDEN : NARROW;
        return v + (to[i] - v) * rate;
      }) : to);
    }
    return this.path[wanted - this.from];
  }
}
