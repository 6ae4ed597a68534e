// Computes a match again, beside the page, and tells how far it has come: a recorded one at once, a
// live one frame by frame as it is played.

import { KEYS } from "./track.js";
import { Machine, SURE, UNIT, WIDTH, fromBase64, padsOf } from "./machine.js";

const NO_VALUE = -(2 ** 31);
const SLICE = 40; // milliseconds between two reports
const PAD_BYTES = 16; // of both players in a frame

async function asked(url) {
  const answer = await fetch(url);
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.error ?? answer.statusText);
  }
  return answer;
}

function fromHex(text) {
  return Uint8Array.from(String(text).match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function shown(value, unit) {
  return value === NO_VALUE ? "no number of the machine" : value / unit;
}

// Where the recorded and the computed frame differ, in words; null where they do not.
function difference(frame, recorded, computed) {
  for (let i = 0; i < WIDTH; i++) {
    if (recorded[i] === computed[i]) continue;
    const stage = i === WIDTH - 1;
    const unit = stage ? 1 : UNIT;
    const where = stage ? "stage" : `player ${Math.floor(i / KEYS.length)}, ${KEYS[i % KEYS.length]}`;
    return { frame, text: `frame ${frame}, ${where}: recorded ${shown(recorded[i], unit)}, computed ${shown(computed[i], unit)}` };
  }
  return null;
}

// A viewer's frame in the machine's units, as WIDTH values.
function exact({ players, stage }) {
  const units = (value, unit) => {
    const scaled = typeof value === "number" && Math.abs(value) < 32768 ? value * unit : NaN;
    return Number.isInteger(scaled) ? scaled : NO_VALUE;
  };
  return [...[0, 1].flatMap((p) => KEYS.map((key) => units(players[p][key], UNIT))), units(stage, 1)];
}

// One match, computed from its seed frames on.
class Again {
  static async of({ code, cartridge }, seed) {
    const [wasm, world] = await Promise.all([asked(code).then((a) => a.arrayBuffer()), asked(cartridge).then((a) => a.json())]);
    const machine = await Machine.of(wasm, world);
    machine.begin(seed);
    return new Again(machine, world);
  }

  constructor(machine, world) {
    Object.assign(this, { machine, world, seeds: machine.shape.frames, next: 0, milliseconds: 0, told: 0, sure: [] });
    this.values = new Int32Array(WIDTH);
  }

  // The next frame, as WIDTH values, under the pads of both players; a seed frame has none.
  advance(pads) {
    const number = this.next++;
    if (number < this.seeds) return this.machine.seedValues(number);
    const started = performance.now();
    this.machine.step(padsOf(pads));
    this.milliseconds += performance.now() - started;
    this.sure.push(this.machine.confidence());
    return this.machine.values(this.values);
  }

  // Says how it stands, with the confidence of the frames since the last time; `calmly`: not too often.
  tell(said, calmly = false) {
    const now = performance.now();
    if (calmly && now - this.told < SLICE) return;
    this.told = now;
    const wide = 2 * SURE.length;
    const rows = new Float32Array(wide * this.sure.length);
    this.sure.forEach((row, i) => rows.set(row, i * wide));
    const sure = { first: this.next - this.sure.length, rows };
    this.sure = [];
    const { hash: cartridge } = this.world;
    postMessage({ checked: this.next - this.seeds, milliseconds: this.milliseconds, cartridge, sure, ...said }, [rows.buffer]);
  }

  // The end: every frame was equal, was the digest?
  close(digest, said) {
    const computed = this.machine.digest();
    if (computed === digest) this.tell({ state: "verified", digest, ...said });
    else this.tell({ state: "deviates", frame: null, text: `every frame is equal, but the digest is not: recorded ${digest}, computed ${computed}` });
  }
}

async function recorded({ record, ...places }) {
  const match = await asked(record).then((a) => a.json());
  const again = await Again.of(places, match.seed);
  const pads = fromHex(match.pads);
  const frames = new Int32Array(fromBase64(match.frames).buffer);
  const count = pads.length / PAD_BYTES;
  if (!Number.isInteger(count) || match.count !== again.seeds + count) {
    throw new Error(`it has ${again.seeds} seed frames and ${count} controllers, but ${match.count} frames`);
  }
  for (let frame = 0; frame < match.count; frame++) {
    const at = (frame - again.seeds) * PAD_BYTES;
    const wrong = difference(frame, frames.subarray(frame * WIDTH, (frame + 1) * WIDTH), again.advance(pads.subarray(at, at + PAD_BYTES)));
    if (wrong) return again.tell({ state: "deviates", ...wrong });
    again.tell({ state: "checking", count }, true);
  }
  return again.close(match.digest, { count });
}

// A live match. Who joined late or was left out of frames asks the server for the controllers that
// he missed: those frames are computed, and the next that he sees is compared.
class Following {
  static async of({ pads, seed, ...places }) {
    return new Following(await Again.of(places, seed), pads);
  }

  constructor(again, log) {
    Object.assign(this, { again, log, first: null, ended: false });
  }

  async frame(entry) {
    const { again } = this;
    if (this.ended || entry.number < again.next) return;
    if (entry.number > again.next) await this.catchUp(entry.number);
    this.first ??= entry.number;
    const wrong = difference(entry.number, exact(entry), again.advance(fromHex(entry.pads)));
    this.ended = Boolean(wrong);
    if (wrong) again.tell({ state: "deviates", ...wrong });
    else again.tell({ state: "following", first: this.first, last: entry.number }, true);
  }

  async catchUp(number) {
    const { again } = this;
    const from = Math.max(0, again.next - again.seeds);
    const log = new Uint8Array(await asked(`${this.log}&first=${from}`).then((a) => a.arrayBuffer()));
    while (again.next < number) {
      const at = (again.next - again.seeds - from) * PAD_BYTES;
      again.advance(log.subarray(at, at + PAD_BYTES));
    }
  }

  end({ digest, total_frames: total }) {
    if (this.ended) return;
    this.ended = true;
    if (this.again.next !== total) throw new Error("the end of the match did not come through");
    this.again.close(digest, { count: total - this.again.seeds, first: this.first });
  }
}

let following = null;
let before = Promise.resolve(); // messages are dealt with one after another

async function deal({ recording, live, frame, end }) {
  if (recording) await recorded(recording);
  if (live) following = await Following.of(live);
  if (frame) await following?.frame(frame);
  if (end) following?.end(end);
}

addEventListener("message", ({ data }) => {
  before = before.then(() => deal(data)).catch((error) => {
    following = null;
    postMessage({ state: "unknown", text: error.message });
  });
});
