// How each character is built: proportions, colours, and shapes on head, back, hips and hands.
// Shapes are closed lines in the frame of their joint: x forwards, y up; on the head the unit is its
// radius, elsewhere one unit of the body. `blade` is a length in the front hand.

const PLAIN = {
  scale: 1, torso: 1, leg: 1, arm: 1, shoulder: 0.75, head: 1.25, thick: 1,
  skin: "#e8b48c", top: "#64748b", legs: "#475569", boots: "#1f2937", gloves: "#cbd5e1",
  hair: null, eye: "#0a0a0f", shapes: [], blade: 0, round: 0,
};

const snout = (fill) => ({ at: "head", fill, line: [[0.55, 0.35], [1.75, -0.15], [1.65, -0.45], [0.5, -0.75]] });
const ears = (fill, tip = 1.15) => [
  { at: "head", fill, line: [[-0.75, 0.55], [-0.62, 0.6 + tip], [-0.1, 0.9]] },
  { at: "head", fill, line: [[0.0, 0.9], [0.35, 0.75 + tip], [0.55, 0.72]] },
];
const cap = (fill) => ({ at: "head", fill, line: [[-1.05, 0.15], [-0.95, 0.85], [-0.2, 1.3], [0.65, 1.1], [0.8, 0.5], [1.55, 0.32], [1.5, 0.12]] });
const cape = (fill, long = 6.2) => ({ at: "back", fill, behind: true, line: [[0.4, 0.6], [-0.6, 0.4], [-1.9, -long * 0.6], [-2.6, -long], [-0.8, -long * 0.92], [0.1, -2.5]] });
const hair = (fill) => ({ at: "head", fill, line: [[-0.2, -0.5], [-1.15, -0.75], [-1.2, 0.35], [-0.55, 1.15], [0.45, 1.15], [1.05, 0.5], [0.35, 0.45], [-0.25, 0.15]] });
const dress = (fill) => ({ at: "hip", fill, line: [[-1.0, 1.6], [1.0, 1.6], [2.6, -4.3], [1.2, -4.7], [0, -4.4], [-1.4, -4.7], [-2.6, -4.2]] });
const tail = (fill, line) => ({ at: "hip", fill, behind: true, line });
const brush = tail("#c8741f", [[-0.4, 0.2], [-2.2, 0.6], [-4.1, 2.2], [-4.7, 3.4], [-3.4, 3.0], [-2.0, 1.6], [-0.4, -0.4]]);
const plumes = tail("#1d4ed8", [[-0.3, 0.3], [-2.6, -0.2], [-3.9, -1.5], [-2.6, -1.2], [-3.1, -2.2], [-1.2, -1.0], [-0.3, -0.5]]);
const moustache = { at: "head", fill: "#3b2413", line: [[0.45, -0.3], [1.1, -0.42], [0.9, -0.62], [0.35, -0.55]] };

const OWN = {
  0: { scale: 0.92, torso: 0.85, leg: 0.78, arm: 0.85, head: 1.65, thick: 1.25, top: "#dc2626", legs: "#1d4ed8", boots: "#6b3a1d", gloves: "#f8fafc", shapes: [cap("#dc2626"), moustache] },
  1: { scale: 0.98, torso: 0.92, arm: 0.95, head: 1.38, thick: 0.92, skin: "#d98324", top: "#e2e8f0", legs: "#3f6212", boots: "#cbd5e1", gloves: "#334155", shapes: [...ears("#d98324"), snout("#f5e9d6"), brush] },
  2: { scale: 1.22, torso: 1.08, leg: 1.06, shoulder: 1.0, head: 1.12, thick: 1.2, top: "#1e3a8a", legs: "#1e3a8a", boots: "#b45309", gloves: "#b45309", shapes: [
    { at: "head", fill: "#b91c1c", line: [[-1.05, -0.2], [-0.95, 0.8], [0, 1.15], [0.9, 0.75], [1.1, 0.15], [0.3, 0.05], [-0.2, -0.35]] },
    { at: "head", fill: "#facc15", line: [[0.45, 0.35], [1.25, 0.95], [0.75, 0.3]] },
    { at: "back", fill: "#facc15", behind: true, line: [[0.3, 0.8], [-2.1, 0.9], [-3.0, 0.2], [-1.8, 0.2], [0, 0.2]] }] },
  3: { scale: 1.28, torso: 1.12, leg: 0.72, arm: 1.45, shoulder: 1.5, head: 1.55, thick: 1.75, skin: "#c99a6b", top: "#6b3a1d", legs: "#6b3a1d", boots: "#c99a6b", gloves: "#6b3a1d", shapes: [
    { at: "head", fill: "#6b3a1d", line: [[-1.0, -0.6], [-1.1, 0.5], [-0.3, 1.25], [0.7, 1.0], [0.9, 0.4], [0.1, 0.3], [-0.2, -0.5]] }, snout("#c99a6b"),
    { at: "chest", fill: "#dc2626", line: [[0.5, 0.9], [1.5, 0.4], [1.2, -1.8], [0.5, -0.6]] }] },
  4: { scale: 0.82, round: 3.9, torso: 0.7, leg: 0.5, arm: 0.62, head: 0.2, thick: 1.6, skin: "#f9a8d4", top: "#f9a8d4", legs: "#e11d48", boots: "#e11d48", gloves: "#f9a8d4" },
  5: { scale: 1.34, torso: 1.1, leg: 0.78, arm: 1.12, shoulder: 1.5, head: 1.6, thick: 1.85, skin: "#65a30d", top: "#ca8a04", legs: "#65a30d", boots: "#ca8a04", gloves: "#65a30d", shapes: [
    { at: "back", fill: "#14532d", behind: true, line: [[0.4, 1.4], [-1.6, 1.7], [-3.3, 0.2], [-3.7, -2.2], [-2.6, -4.6], [0, -4.8]] },
    { at: "back", fill: "#f5e9d6", behind: true, line: [[-2.4, 1.3], [-3.6, 2.1], [-3.1, 0.5]] },
    { at: "back", fill: "#f5e9d6", behind: true, line: [[-3.5, -0.6], [-4.9, -0.9], [-3.7, -2.0]] },
    { at: "head", fill: "#ea580c", line: [[-0.9, 0.4], [-0.9, 1.3], [0.1, 1.2], [0.5, 0.8]] },
    { at: "head", fill: "#f5e9d6", line: [[-0.2, 0.95], [-0.45, 1.85], [0.25, 1.0]] }, snout("#eab308")] },
  6: { scale: 1.08, head: 1.22, top: "#15803d", legs: "#e7e5d8", boots: "#7c4a1e", gloves: "#7c4a1e", blade: 4.6, shapes: [hair("#d9a441"),
    { at: "head", fill: "#15803d", line: [[0.95, 0.5], [0.3, 1.25], [-0.7, 1.05], [-2.5, -0.2], [-1.0, 0.3]] }] },
  7: { scale: 1.08, leg: 1.08, head: 1.12, thick: 0.9, top: "#3b5b9a", legs: "#3b5b9a", boots: "#94a3b8", gloves: "#e2e8f0", shapes: [hair("#e0b64a"),
    { at: "head", fill: "#e2e8f0", line: [[-1.0, -0.9], [1.0, -0.9], [1.1, -0.05], [-1.0, -0.1]] },
    { at: "head", fill: "#e0b64a", behind: true, line: [[-0.9, 0.2], [-1.9, -0.9], [-1.6, -2.4], [-0.9, -1.0]] }] },
  8: { scale: 0.8, torso: 0.78, leg: 0.7, arm: 0.78, head: 2.05, thick: 1.15, top: "#eab308", legs: "#1d4ed8", boots: "#dc2626", gloves: "#e8b48c", shapes: [cap("#dc2626")] },
  9: { scale: 1.12, head: 1.25, thick: 0.8, top: "#f472b6", legs: "#f472b6", boots: "#db2777", gloves: "#f8fafc", shapes: [dress("#f472b6"), hair("#f4c95d"),
    { at: "head", fill: "#f4c95d", behind: true, line: [[-0.6, 0.7], [-1.5, 0.1], [-1.8, -2.4], [-0.8, -2.1], [-0.5, -0.4]] },
    { at: "head", fill: "#facc15", line: [[-0.45, 1.0], [-0.55, 1.75], [-0.15, 1.35], [0.1, 1.85], [0.35, 1.35], [0.7, 1.7], [0.6, 1.0]] }] },
  10: { scale: 0.78, torso: 0.8, leg: 0.62, arm: 0.75, head: 1.95, thick: 1.5, top: "#2563eb", legs: "#2563eb", boots: "#7c4a1e", gloves: "#7c4a1e", shapes: [
    { at: "head", fill: "#2563eb", line: [[0.5, 1.05], [-0.7, 1.15], [-1.25, 0.2], [-0.8, -0.9], [0.2, -1.0], [-0.1, 0], [0.3, 0.7]] }] },
  12: { scale: 0.78, torso: 0.72, leg: 0.6, arm: 0.7, head: 1.95, thick: 1.5, skin: "#facc15", top: "#facc15", legs: "#facc15", boots: "#eab308", gloves: "#facc15", shapes: [...ears("#facc15", 1.5), { at: "head", fill: "#dc2626", line: [[0.55, -0.25], [0.95, -0.3], [0.85, -0.62], [0.5, -0.58]] },
    tail("#ca8a04", [[-0.4, 0], [-2.2, 0.4], [-2.0, 1.4], [-4.2, 2.0], [-4.0, 4.2], [-2.7, 2.9], [-2.9, 1.9], [-1.4, 1.2], [-0.5, 0.7]])] },
  13: { scale: 1.2, shoulder: 1.3, head: 1.12, thick: 1.4, skin: "#c2410c", top: "#c2410c", legs: "#ca8a04", boots: "#c2410c", gloves: "#15803d", shapes: [
    { at: "head", fill: "#b91c1c", line: [[-1.1, -0.7], [-1.1, 0.5], [-0.3, 1.15], [0.7, 0.9], [1.1, 0.2], [0.9, -0.8]] },
    { at: "head", fill: "#4ade80", line: [[0.25, 0.42], [1.12, 0.3], [1.05, -0.12], [0.5, -0.05]] },
    { at: "chest", fill: "#ca8a04", line: [[-1.9, 1.7], [-0.9, 2.4], [0.3, 1.9], [0.2, 0.6], [-1.6, 0.3]] },
    { at: "handF", fill: "#15803d", line: [[-1.9, 0.75], [0.9, 0.8], [1.3, 0.35], [1.3, -0.35], [0.9, -0.8], [-1.9, -0.75]] }] },
  14: { scale: 1.08, torso: 0.9, leg: 0.86, arm: 0.75, head: 1.45, thick: 1.3, skin: "#4ade80", top: "#4ade80", legs: "#4ade80", boots: "#ea580c", gloves: "#4ade80", shapes: [
    { at: "head", fill: "#4ade80", line: [[0.2, 0.7], [1.5, 0.75], [2.3, 0.1], [2.2, -0.7], [1.2, -1.0], [0.1, -0.8]] },
    { at: "head", fill: "#f8fafc", line: [[0.1, 0.7], [0.35, 1.55], [0.85, 1.4], [0.85, 0.7]] },
    { at: "back", fill: "#dc2626", behind: true, line: [[0.2, -0.8], [-1.3, -0.5], [-1.9, -1.8], [0, -2.6]] },
    tail("#4ade80", [[-0.2, 0.6], [-1.9, 0.2], [-3.2, 0.7], [-1.9, -0.7], [-0.2, -0.6]])] },
  15: { scale: 0.86, round: 3.9, torso: 0.72, leg: 0.46, arm: 0.58, head: 0.2, thick: 1.4, skin: "#fbcfe8", top: "#fbcfe8", legs: "#f9a8d4", boots: "#f9a8d4", gloves: "#fbcfe8", eye: "#0891b2", shapes: [
    { at: "ball", fill: "#fbcfe8", line: [[-3.2, 2.2], [-3.1, 5.2], [-1.1, 3.7]] }, { at: "ball", fill: "#fbcfe8", line: [[1.1, 3.7], [3.1, 5.2], [3.2, 2.2]] },
    { at: "ball", fill: "#f9a8d4", line: [[0.1, 3.7], [2.4, 4.3], [3.1, 2.6], [2.2, 1.6], [2.3, 2.9], [1.2, 3.0]] }] },
  16: { scale: 1.26, torso: 0.95, leg: 1.02, head: 1.3, thick: 0.9, skin: "#c4b5d8", top: "#c4b5d8", legs: "#a78bca", boots: "#c4b5d8", gloves: "#c4b5d8", shapes: [
    { at: "head", fill: "#c4b5d8", line: [[-0.75, 0.6], [-0.7, 1.5], [-0.25, 0.95]] }, { at: "head", fill: "#c4b5d8", line: [[0.2, 0.95], [0.55, 1.55], [0.65, 0.65]] },
    tail("#7c3aed", [[-0.3, 0.4], [-2.6, -1.6], [-4.8, -0.6], [-5.6, 1.8], [-4.6, 0.6], [-3.0, -0.4], [-0.3, -0.6]])] },
  17: { scale: 1.0, torso: 0.95, leg: 0.92, arm: 0.9, head: 1.55, thick: 1.1, top: "#16a34a", legs: "#1e3a8a", boots: "#6b3a1d", gloves: "#f8fafc", shapes: [cap("#16a34a"), moustache] },
  18: { scale: 1.16, leg: 1.08, head: 1.12, thick: 0.92, top: "#2b4a9b", legs: "#334e8c", boots: "#1e293b", gloves: "#1e293b", blade: 5.4, shapes: [hair("#3b6fe0"), cape("#1e2f66", 7.4), { at: "head", fill: "#facc15", line: [[0.4, 0.62], [1.0, 0.62], [0.95, 0.42], [0.4, 0.42]] }] },
  19: { scale: 1.12, head: 1.15, thick: 0.8, top: "#e2d4ee", legs: "#a78bca", boots: "#7c3aed", gloves: "#f8fafc", shapes: [dress("#c9b6dd"), hair("#8a5a2b"), { at: "head", fill: "#8a5a2b", behind: true, line: [[-0.6, 0.7], [-1.5, 0], [-1.7, -2.6], [-0.8, -2.2]] }] },
  20: { scale: 0.86, torso: 0.85, leg: 0.82, arm: 0.85, head: 1.65, top: "#4d9e3f", legs: "#e7e5d8", boots: "#7c4a1e", gloves: "#e8b48c", blade: 3.6, shapes: [hair("#d9a441"), { at: "head", fill: "#4d9e3f", line: [[0.95, 0.5], [0.3, 1.25], [-0.7, 1.05], [-2.4, -0.2], [-1.0, 0.3]] }] },
  21: { scale: 0.92, torso: 0.85, leg: 0.78, arm: 0.85, head: 1.65, thick: 1.25, top: "#f1f5f9", legs: "#e2e8f0", boots: "#6b3a1d", gloves: "#f8fafc", shapes: [hair("#5b3a1d"), moustache, { at: "head", fill: "#cbd5e1", line: [[0.1, 1.1], [0.75, 1.2], [0.85, 0.6], [0.2, 0.5]] }] },
  22: { scale: 1.1, torso: 0.95, leg: 1.06, head: 1.22, thick: 0.92, skin: "#2f5fd0", top: "#cbd5e1", legs: "#991b1b", boots: "#94a3b8", gloves: "#334155", eye: "#f8fafc", shapes: [
    { at: "head", fill: "#f59e0b", line: [[0.7, 0.3], [1.9, -0.25], [1.5, -0.5], [0.65, -0.6]] },
    { at: "head", fill: "#2f5fd0", line: [[-0.4, 0.8], [-1.6, 1.75], [-1.25, 0.9], [-1.8, 0.7], [-1.0, 0.2]] },
    { at: "head", fill: "#dc2626", line: [[0.2, 0.55], [0.95, 0.45], [0.85, 0.05], [0.3, 0.0]] }, plumes] },
  23: { scale: 0.66, torso: 0.72, leg: 0.6, arm: 0.7, head: 2.1, thick: 1.4, skin: "#fde047", top: "#fde047", legs: "#fde047", boots: "#facc15", gloves: "#1f2937", shapes: [...ears("#1f2937", 1.3), { at: "head", fill: "#f472b6", line: [[0.55, -0.25], [0.95, -0.3], [0.85, -0.62], [0.5, -0.58]] }] },
  24: { scale: 0.96, torso: 0.9, leg: 0.9, head: 1.5, thick: 0.62, skin: "#0b0b10", top: "#0b0b10", legs: "#0b0b10", boots: "#0b0b10", gloves: "#0b0b10", eye: "#0b0b10", flat: true, shapes: [{ at: "head", fill: "#0b0b10", line: [[0.8, 0.2], [1.6, 0.2], [1.6, -0.25], [0.8, -0.25]] }] },
  25: { scale: 1.3, torso: 1.12, leg: 1.05, shoulder: 1.3, head: 1.15, thick: 1.4, skin: "#7a8f5a", top: "#3f2d20", legs: "#292018", boots: "#78350f", gloves: "#78350f", eye: "#facc15", shapes: [cape("#5b1a1a", 6.8), hair("#b45309")] },
  26: { scale: 1.12, leg: 1.04, head: 1.16, thick: 0.98, top: "#1e3a8a", legs: "#e2e8f0", boots: "#78350f", gloves: "#78350f", blade: 5.0, shapes: [hair("#b91c1c"), cape("#1e40af", 6.6)] },
};
OWN[11] = { ...OWN[10], top: "#db2777", legs: "#db2777" };

const built = new Map();

export function bodyOf(character) {
  if (!built.has(character)) built.set(character, { ...PLAIN, ...OWN[character] });
  return built.get(character);
}
