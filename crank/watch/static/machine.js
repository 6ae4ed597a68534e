// The integer machine in the browser: one instance of machine.wasm, which plays one match.

import { KEYS } from "./track.js";

export const UNIT = 65536;
const PARTS = ["cont", "binary", "ints", "stage", "pads", "next", "digest"];
const SHAPE = ["frames", "cont", "binary", "ints", "actions"];
const SCRIPTED = ["noop", "hold-forward", "random"];
const BY_POLICY = SCRIPTED.length;
const PAD = 8;

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

// What `confidence` says of each of two players, one number each.
export const SURE = ["likely", "action", "next", "nextAction", "hit"];
const FAINT = -25; // a logit so far below the best adds nothing to the sum

// Values of a frame as they are recorded: KEYS of player 0, of player 1, the stage.
export const WIDTH = 2 * KEYS.length + 1;

export class Machine {
  // `code`: bytes of machine.wasm; `cartridge`: what api/cartridge answers.
  static async of(code, cartridge) {
    const { instance } = await WebAssembly.instantiate(code, {});
    return new Machine(instance.exports, cartridge);
  }

  constructor(exports, cartridge) {
    this.exports = exports;
    this.views = {};
    this.refuse(exports.open_world(...this.put(fromBase64(cartridge.image))));
    this.shape = Object.fromEntries(SHAPE.map((name, i) => [name, exports.shape(i)]));
    const last = this.shape.frames - 1;
    this.places = [0, 1].map((player) => KEYS.map((key) => {
      const [array, column] = cartridge.columns[key];
      return [array, (2 * last + player) * this.shape[array] + column];
    }));
    this.agents = [null, null];
    this.units = cartridge.confidence;
  }

  // Bytes into the machine's memory: where they lie, how many.
  put(bytes) {
    const at = this.exports.room(bytes.length);
    if (!at) throw new Error("no memory for the cartridge");
    new Uint8Array(this.exports.memory.buffer, at, bytes.length).set(bytes);
    return [at, bytes.length];
  }

  refuse(text) {
    if (!text) return;
    const bytes = new Uint8Array(this.exports.memory.buffer, text);
    throw new Error(`the machine refuses it: ${new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)))}`);
  }

  // An array of the match; the window's frames, the next pads, the digest.
  part(name) {
    const { buffer } = this.exports.memory;
    if (this.views[name]?.buffer !== buffer) {
      const { frames } = this.shape;
      const wide = { stage: frames, pads: frames * 2 * PAD, next: 2 * PAD, digest: 4 };
      const count = wide[name] ?? frames * 2 * this.shape[name];
      this.views[name] = new Int32Array(buffer, this.exports.part(PARTS.indexOf(name)), count);
    }
    return this.views[name];
  }

  // A player's agent: "noop", "hold-forward", "random", or the image of a policy.
  seat(player, agent) {
    const scripted = SCRIPTED.indexOf(agent);
    if (scripted < 0) this.refuse(this.exports.open_policy(player, ...this.put(agent)));
    this.agents[player] = scripted < 0 ? BY_POLICY : scripted;
  }

  // Starts a match from K seed frames, {cont, binary, ints, stage, pads} of nested arrays.
  begin(seed, low = 0, high = 0) {
    for (const name of PARTS.slice(0, 5)) {
      const values = [seed?.[name]].flat(Infinity);
      const room = this.part(name);
      if (values.length !== room.length || !values.every(Number.isInteger)) {
        throw new Error(`the seed frames do not fit the cartridge: ${name}`);
      }
      room.set(values);
    }
    this.refuse(this.exports.begin(low, high));
  }

  // One frame. `pads`: for each player 8 values, or null for what the player's agent does.
  step(pads) {
    pads.forEach((pad, player) => {
      if (pad) this.part("next").set(pad, player * PAD);
      else this.exports.act(player, this.agents[player]);
    });
    this.exports.step();
  }

  // The newest frame in 2^-16 units, see WIDTH.
  values(out = new Int32Array(WIDTH)) {
    const parts = { cont: this.part("cont"), binary: this.part("binary"), ints: this.part("ints") };
    let at = 0;
    for (const places of this.places) {
      for (const [array, place] of places) out[at++] = array === "cont" ? parts.cont[place] : parts[array][place] * UNIT;
    }
    out[at] = this.part("stage")[this.shape.frames - 1];
    return out;
  }

  // The window's frame k of the seeds, as `values`.
  seedValues(k) {
    const back = this.shape.frames - 1 - k;
    const out = new Int32Array(WIDTH);
    let at = 0;
    for (const places of this.places) {
      for (const [array, place] of places) out[at++] = this.part(array)[place - 2 * back * this.shape[array]] * (array === "cont" ? 1 : UNIT);
    }
    out[at] = this.part("stage")[k];
    return out;
  }

  // How sure the network was of the frame just made: the probability of the action that it chose, of
  // the next best, and of a hit (-1 where it says none). For viewers: nothing of it enters the match.
  confidence(out = new Float32Array(2 * SURE.length)) {
    const { actions } = this.shape;
    const logits = new Int32Array(this.exports.memory.buffer, this.exports.logits(), 2 * actions);
    for (let player = 0; player < 2; player++) {
      const own = logits.subarray(player * actions, (player + 1) * actions);
      let best = 0, next = -1;
      for (let i = 1; i < actions; i++) {
        if (own[i] > own[best]) { next = best; best = i; } else if (next < 0 || own[i] > own[next]) next = i;
      }
      let sum = 0;
      for (const logit of own) {
        const below = (logit - own[best]) * this.units.action;
        if (below > FAINT) sum += Math.exp(below);
      }
      const beside = Math.exp((own[next] - own[best]) * this.units.action) / sum;
      const hit = this.units.hit === null ? -1 : 1 / (1 + Math.exp(-this.exports.hit(player) * this.units.hit));
      out.set([1 / sum, best, beside, next, hit], player * SURE.length);
    }
    return out;
  }

  // The pads of the frame just made, as 16 bytes.
  padBytes() {
    return Uint8Array.from(this.part("next"), (v) => v & 255);
  }

  digest() {
    return Array.from(this.part("digest"), (lane) => (lane >>> 0).toString(16).padStart(8, "0")).join("");
  }
}

// `values` as a viewer's frame.
export function frameOf(values) {
  const players = [0, 1].map((p) => Object.fromEntries(KEYS.map((key, i) => [key, values[p * KEYS.length + i] / UNIT])));
  return { players, stage: values[WIDTH - 1] };
}

// Both players' 8 values from 16 bytes.
export function padsOf(bytes) {
  const value = (v, i) => (i < 4 ? (v << 24) >> 24 : v);
  return [0, 1].map((p) => Array.from(bytes.subarray(p * PAD, (p + 1) * PAD), value));
}
