// What is drawn over the fighters beyond the four looks. Each entry: `modes`, the looks that it belongs
// to, and `draw(ctx, view, track, frame, calm)`, a function of the frame number alone.

import { drawConfidence } from "./confidence.js";

export const OVERLAYS = [{ modes: ["xray"], draw: drawConfidence }];
