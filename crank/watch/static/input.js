// What a person presses, as a pad of the machine: stick x, y, c-stick x, y, triggers, two bytes of buttons.

const FULL = 80, DIAGONAL = 57, SOFT = 0.56, RIPE = 0.3;
const BUTTON = { a: [6, 0], b: [6, 1], x: [6, 2], y: [6, 3], z: [6, 4], l: [7, 2], r: [7, 3], up: [7, 0] };
const DIRECTIONS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1],
  KeyA: [-1, 0], KeyD: [1, 0], KeyW: [0, 1], KeyS: [0, -1],
};
const ACTIONS = { KeyJ: "a", KeyK: "b", KeyL: "x", Space: "x", KeyU: "z", KeyI: "r", KeyT: "up" };
const SMASH = "KeyO";
const SOFTLY = ["ShiftLeft", "ShiftRight"];

export const CONTROLS = [
  ["Arrows or WASD", "move"], ["Shift", "gently"], ["J", "attack"], ["K", "special"], ["L or Space", "jump"],
  ["I", "shield"], ["U", "grab"], ["O + arrow", "smash"], ["Esc", "end"],
];

export class Input {
  // `touch`: a TouchPad, or nothing.
  constructor(touch = null) {
    this.touch = touch;
    touch?.release();
    this.down = new Set();
    this.keydown = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.knows(event.code)) return;
      this.down.add(event.code);
      event.preventDefault();
    };
    this.keyup = (event) => { if (this.down.delete(event.code)) event.preventDefault(); };
    this.release = () => this.down.clear();
    addEventListener("keydown", this.keydown);
    addEventListener("keyup", this.keyup);
    addEventListener("blur", this.release);
  }

  knows(code) {
    return code in DIRECTIONS || code in ACTIONS || code === SMASH || SOFTLY.includes(code);
  }

  end() {
    removeEventListener("keydown", this.keydown);
    removeEventListener("keyup", this.keyup);
    removeEventListener("blur", this.release);
  }

  pad() {
    const pad = new Int32Array(8);
    this.keyboard(pad);
    if (this.touch) fromTouch(this.touch, pad);
    const gamepad = Array.from(navigator.getGamepads?.() ?? []).find((g) => g?.connected);
    if (gamepad) fromGamepad(gamepad, pad);
    return pad;
  }

  keyboard(pad) {
    let x = 0, y = 0;
    for (const code of this.down) {
      const [dx, dy] = DIRECTIONS[code] ?? [0, 0];
      x += dx;
      y += dy;
      if (code in ACTIONS) press(pad, ACTIONS[code]);
    }
    [x, y] = [Math.sign(x), Math.sign(y)];
    const smash = this.down.has(SMASH);
    const soft = !smash && SOFTLY.some((code) => this.down.has(code)) ? SOFT : 1;
    const reach = Math.round((x && y ? DIAGONAL : FULL) * soft);
    pad.set([x * reach, y * reach], smash ? 2 : 0);
    if (this.down.has("KeyI")) pad[5] = 255;
  }
}

function press(pad, name) {
  const [field, bit] = BUTTON[name];
  pad[field] |= 1 << bit;
}

function fromTouch({ stick, held }, pad) {
  const at = held.has("c") ? 2 : 0;
  if (stick[0] || stick[1]) pad.set(stick, at);
  for (const name of held) if (name in BUTTON) press(pad, name);
  if (held.has("r")) pad[5] = 255;
}

// A gamepad of the standard layout; the stronger of it and the keyboard counts.
function fromGamepad(gamepad, pad) {
  const axis = (i, sign) => {
    const value = gamepad.axes[i] ?? 0;
    return Math.abs(value) < RIPE ? 0 : Math.round(sign * Math.max(-1, Math.min(1, value)) * FULL);
  };
  [axis(0, 1), axis(1, -1), axis(2, 1), axis(3, -1)].forEach((value, i) => { if (Math.abs(value) > Math.abs(pad[i])) pad[i] = value; });
  const button = (i) => gamepad.buttons[i]?.value ?? 0;
  ["a", "x", "b", "y", "l", "z"].forEach((name, i) => { if (button(i) > 0.5) press(pad, name); });
  [["l", 6, 4], ["r", 7, 5]].forEach(([name, i, field]) => {
    pad[field] = Math.max(pad[field], Math.round(button(i) * 255));
    if (button(i) > 0.9) press(pad, name);
  });
  if (button(12) > 0.5) press(pad, "up");
}
