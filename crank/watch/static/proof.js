// The badge that says whether this browser, computing the match itself, gets what was recorded.

import { make } from "./hud.js";

const SAID = {
  waiting: () => "Checking",
  checking: (s) => `Checking ${s.checked} / ${s.count}`,
  verified: (s) => `Verified ${s.count} frames`,
  deviates: (s) => (s.frame === null ? "Deviates: digest" : `Deviates at frame ${s.frame}`),
  unknown: () => "Not verified",
};
const MEANS = {
  waiting: "Your browser computes every frame of this match again.",
  checking: "Your browser computes every frame of this match again and compares it.",
};

export class Proof {
  // `seek(frame)` shows a frame.
  constructor(seek) {
    this.root = make("button", "proof");
    this.root.type = "button";
    this.root.hidden = true;
    this.letter = ""; // of the world, where there are two
    this.root.addEventListener("click", () => { if (Number.isInteger(this.said?.frame)) seek(this.said.frame); });
  }

  // Begins to check the recording `name`; `proof` names its cartridge.
  check(name, proof) {
    this.end();
    const url = (path) => new URL(path, document.baseURI).href;
    const asked = new URLSearchParams({ hash: proof.cartridge, context: proof.context });
    this.say({ state: "waiting" });
    this.worker = new Worker(url("static/worker.js"), { type: "module" });
    this.worker.addEventListener("message", (event) => this.say(event.data));
    this.worker.addEventListener("error", () => this.say({ state: "unknown", text: "This browser cannot run the machine." }));
    this.worker.postMessage({
      code: url("static/machine.wasm"), record: url(`api/record?${new URLSearchParams({ name })}`), cartridge: url(`api/cartridge?${asked}`),
    });
  }

  say(said) {
    this.said = said;
    this.root.hidden = false;
    this.root.dataset.state = said.state;
    const text = this.letter + SAID[said.state](said);
    if (this.root.textContent !== text) this.root.textContent = text;
    const why = said.text ?? MEANS[said.state] ?? `Your browser computed ${said.count} frames in ${(said.milliseconds / 1000).toFixed(1)} s and got the same, digest ${said.digest}, in cartridge ${said.cartridge}.`;
    this.root.title = why;
    this.root.setAttribute("aria-label", `${text}. ${why}`);
    if (["verified", "deviates", "unknown"].includes(said.state)) this.worker?.terminate();
  }

  end() {
    this.worker?.terminate();
    this.said = null;
    this.root.hidden = true;
  }
}
