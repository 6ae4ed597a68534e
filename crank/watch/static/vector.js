// A stroke font of capitals and digits on a grid 4 wide and 6 high, for what is written large.
// Each glyph is a list of strokes, each stroke a string of points: column 0..4, row 0..6 from above.

const GLYPHS = {
  A: ["06 02 20 42 46", "04 44"],
  B: ["00 30 41 42 33 03", "33 44 45 36 06 00"],
  C: ["41 30 10 01 05 16 36 45"],
  D: ["00 20 42 44 26 06 00"],
  E: ["40 00 06 46", "03 33"],
  F: ["40 00 06", "03 33"],
  G: ["41 30 10 01 05 16 36 45 43 23"],
  H: ["00 06", "40 46", "03 43"],
  I: ["10 30", "20 26", "16 36"],
  J: ["40 45 36 16 05"],
  K: ["00 06", "40 03 46"],
  L: ["00 06 46"],
  M: ["06 00 23 40 46"],
  N: ["06 00 46 40"],
  O: ["10 30 41 45 36 16 05 01 10"],
  P: ["06 00 30 41 42 33 03"],
  Q: ["10 30 41 45 36 16 05 01 10", "24 46"],
  R: ["06 00 30 41 42 33 03", "23 46"],
  S: ["41 30 10 01 02 13 33 44 45 36 16 05"],
  T: ["00 40", "20 26"],
  U: ["00 05 16 36 45 40"],
  V: ["00 26 40"],
  W: ["00 06 23 46 40"],
  X: ["00 46", "40 06"],
  Y: ["00 23 40", "23 26"],
  Z: ["00 40 06 46"],
  0: ["10 30 41 45 36 16 05 01 10"],
  1: ["11 20 26", "16 36"],
  2: ["01 10 30 41 42 06 46"],
  3: ["01 10 30 41 42 33 44 45 36 16 05", "13 33"],
  4: ["36 30 04 44"],
  5: ["40 00 03 33 44 45 36 06"],
  6: ["40 10 01 05 16 36 45 44 33 03"],
  7: ["00 40 16"],
  8: ["10 30 41 42 33 13 02 01 10", "13 04 05 16 36 45 44 33"],
  9: ["06 36 45 41 30 10 01 02 13 43"],
  "%": ["40 06", "00 10 11 01 00", "35 45 46 36 35"],
  "-": ["13 33"],
  "'": ["20 21"],
  "!": ["20 24", "26 26"],
  ".": ["26 26"],
  ":": ["22 22", "25 25"],
  "/": ["40 06"],
  "+": ["21 25", "03 43"],
};
const ADVANCE = 5.6;

const NARROW_GLYPHS = ":.'!";

const advance = (letter) => (NARROW_GLYPHS.includes(letter) ? 2.6 : ADVANCE);

export function vectorWidth(text) {
  let width = -1.6;
  for (const letter of text) width += advance(letter);
  return Math.max(0, width);
}

// The text as SVG path data, 6 units high, its upper left corner at 0, 0.
export function vectorPath(text) {
  let path = "";
  let x = 0;
  for (const letter of text.toUpperCase()) {
    const left = x - (ADVANCE - advance(letter)) / 2;
    for (const stroke of GLYPHS[letter] ?? []) {
      const points = stroke.split(" ").map((p) => `${(left + Number(p[0])).toFixed(2)} ${p[1]}`);
      path += `M${points.join("L")}`;
    }
    x += advance(letter);
  }
  return path;
}

const SVG = "http://www.w3.org/2000/svg";

// An SVG element that shows a text in strokes; `set(text)` changes it.
export function vectorElement(className, stroke = 0.62) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("class", `vector ${className}`);
  svg.setAttribute("role", "img");
  path.setAttribute("stroke-width", String(stroke));
  svg.append(path);
  let shown = null;
  const set = (text) => {
    if (text === shown) return;
    shown = text;
    svg.setAttribute("aria-label", text);
    svg.setAttribute("viewBox", `-0.6 -0.6 ${vectorWidth(text) + 1.2} 7.2`);
    path.setAttribute("d", vectorPath(text));
  };
  return { element: svg, set };
}

const paths = new Map();

// The same on a canvas, centred at x, y; `size` is the height in the canvas's units.
export function vectorText(ctx, text, x, y, size, color, weight = 0.62) {
  if (!paths.has(text)) {
    if (paths.size > 400) paths.clear();
    paths.set(text, new Path2D(vectorPath(text)));
  }
  const k = size / 6;
  ctx.save();
  ctx.translate(x - (vectorWidth(text) * k) / 2, y - size / 2);
  ctx.scale(k, k);
  ctx.lineCap = ctx.lineJoin = "round";
  ctx.strokeStyle = color;
  const alpha = ctx.globalAlpha;
  ctx.globalAlpha = alpha * 0.22;
  ctx.lineWidth = weight * 3.2;
  ctx.stroke(paths.get(text));
  ctx.globalAlpha = alpha;
  ctx.lineWidth = weight;
  ctx.stroke(paths.get(text));
  ctx.restore();
}
