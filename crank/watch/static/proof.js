// The badge that says whether this browser, computing the match itself, gets what was recorded or sent.

import { make } from "./hud.js";
import { Confidence } from "./confidence.js";

const SAID = {
  waiting: () => "Checking",
  checking: (s) => `Checking ${s.checked} / ${s.count}`,
  following: (s) => `Verified to frame ${s.last}`,
  verified: (s) => `Verified ${s.count} frames`,
  deviates: (s) => (s.frame === null ? "Deviates: digest" : `Deviates at frame ${s.frame}`),
  unknown: () => "Not verified",
};
const MEANS = {
  waiting: () => "Your browser computes every frame of this match again.",
  checking: () => "Your browser computes every frame of this match again and compares it.",
  following: (s) => `Your browser computes this match as it is played, in cartridge ${s.cartridge}. Every frame since ${s.first} was the same as what was sent${s.first ? "; those before were computed from the controllers alone" : ""}.`,
  verified: (s) => `Your browser computed ${s.count} frames in ${(s.milliseconds / 1000).toFixed(1)} s and got the same, digest ${s.digest}, in cartridge ${s.cartridge}.`,
};
const OVER = ["verified", "deviates", "unknown"];

export class Proof {
  // `seek(frame)` shows a frame; `told(track)` hears that more is known of how sure the model was.
  constructor(seek, told) {
    this.told = told;
    this.root = make("button", "proof");
    this.root.type = "button";
    this.root.hidden = true;
    this.letter = ""; // of the world, where there are two
    this.root.addEventListener("click", () => { if (Number.isInteger(this.said?.frame)) seek(this.said.frame); });
  }

  // Begins to check the recording `name`, shown as `track`.
  check(name, track) {
    this.begin(track);
    this.worker.postMessage({ recording: { ...this.places(track.proof), record: address("api/record", { name }) } });
  }

  // Begins to follow a live match from its `match_start`; then come its frames and its end.
  follow(start, track) {
    this.begin(track);
    const pads = address("api/pads", { match: start.match_id, world: start.world ?? 1 });
    this.worker.postMessage({ live: { ...this.places(start.proof), pads, seed: start.proof.seed } });
  }

  // A match that nobody can compute again; a real game is none, and needs no word.
  none(track) {
    this.end();
    if (track.mode === "agent-vs-agent") this.say({ state: "unknown", text: "Only a cartridge's match, which the integer machine played, can be computed again." });
  }

  frame(entry) {
    this.worker?.postMessage({ frame: entry });
  }

  close(end) {
    this.worker?.postMessage({ end });
  }

  begin(track) {
    this.end();
    this.track = track;
    track.confidence = new Confidence();
    this.say({ state: "waiting" });
    this.worker = new Worker(address("static/worker.js"), { type: "module" });
    this.worker.addEventListener("message", (event) => this.say(event.data));
    this.worker.addEventListener("error", () => this.say({ state: "unknown", text: "This browser cannot run the machine." }));
  }

  places({ cartridge, context }) {
    return { code: address("static/machine.wasm"), cartridge: address("api/cartridge", { hash: cartridge, context }) };
  }

  say(said) {
    this.said = said;
    if (said.sure?.rows.length) { this.track.confidence.put(said.sure.first, said.sure.rows); this.told(this.track); }
    this.root.hidden = false;
    this.root.dataset.state = said.state;
    const text = this.letter + SAID[said.state](said);
    if (this.root.textContent !== text) this.root.textContent = text;
    const why = said.text ?? MEANS[said.state](said);
    this.root.title = why;
    this.root.setAttribute("aria-label", `${text}. ${why}`);
    if (OVER.includes(said.state)) this.stop();
  }

  stop() {
    this.worker?.terminate();
    this.worker = null;
  }

  end() {
    this.stop();
    this.said = null;
    this.root.hidden = true;
  }
}

function address(path, query = {}) {
  return new URL(Object.keys(query).length ? `${path}?${new URLSearchParams(query)}` : path, document.baseURI).href;
}
