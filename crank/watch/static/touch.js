// A controller for fingers: a stick on the left, buttons on the right, as many at once as there are.

import { make } from "./hud.js";

const FULL_TILT = 80;
const LOOSE = 0.22; // of the stick's way, in which it stays neutral
const KEYS_OF_GLASS = [["z", "Grab"], ["r", "Shield"], ["x", "Jump"], ["c", "Smash"], ["b", "Special"], ["a", "Attack"]];

export class TouchPad {
  // `end()` ends the match.
  constructor(end) {
    this.down = new Map(); // finger -> name of a button
    this.stick = [0, 0];
    this.root = make("div", "touch");
    this.nub = make("i", "nub");
    const base = make("div", "stick");
    base.setAttribute("aria-label", "Stick");
    base.append(this.nub);
    for (const kind of ["pointerdown", "pointermove"]) base.addEventListener(kind, (event) => this.lean(base, event));
    for (const kind of ["pointerup", "pointercancel"]) base.addEventListener(kind, () => this.push(0, 0));
    const keys = make("div", "glass-keys");
    for (const [name, text] of KEYS_OF_GLASS) keys.append(this.key(name, text));
    const quit = make("button", "text quit", "End");
    quit.type = "button";
    quit.addEventListener("click", end);
    this.root.append(base, quit, keys);
  }

  key(name, text) {
    const button = make("button", `glass-key ${name}`, text);
    button.type = "button";
    button.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      button.setPointerCapture(event.pointerId);
      this.down.set(event.pointerId, name);
      button.classList.add("held");
    });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
      button.addEventListener(kind, (event) => { this.down.delete(event.pointerId); button.classList.remove("held"); });
    }
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    return button;
  }

  lean(base, event) {
    if (event.type === "pointerdown") base.setPointerCapture(event.pointerId);
    if (!base.hasPointerCapture(event.pointerId)) return;
    event.preventDefault();
    const box = base.getBoundingClientRect();
    const radius = box.width / 2;
    const x = (event.clientX - box.left - radius) / radius, y = (box.top + radius - event.clientY) / radius;
    const long = Math.max(1, Math.hypot(x, y));
    this.push(x / long, y / long);
  }

  push(x, y) {
    this.nub.style.transform = `translate(${(x * 60).toFixed(0)}%, ${(-y * 60).toFixed(0)}%)`;
    this.stick = Math.hypot(x, y) < LOOSE ? [0, 0] : [Math.round(x * FULL_TILT), Math.round(y * FULL_TILT)];
  }

  // The names of the buttons that are down; "c" turns the stick into the C-stick.
  get held() {
    return new Set(this.down.values());
  }

  release() {
    this.down.clear();
    this.push(0, 0);
  }
}
