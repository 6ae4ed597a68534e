// Computes a recorded match again, beside the page, and tells how far it has come.

import { KEYS } from "./track.js";
import { Machine, UNIT, WIDTH, fromBase64, padsOf } from "./machine.js";

const NO_VALUE = -(2 ** 31);
const SLICE = 40; // milliseconds between two reports

async function bytes(url) {
  const answer = await fetch(url);
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.error ?? answer.statusText);
  }
  return answer;
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

async function check({ code, record, cartridge }) {
  const [wasm, match, world] = await Promise.all([
    bytes(code).then((a) => a.arrayBuffer()), bytes(record).then((a) => a.json()), bytes(cartridge).then((a) => a.json()),
  ]);
  const machine = await Machine.of(wasm, world);
  const pads = Uint8Array.from(String(match.pads).match(/../g) ?? [], (pair) => parseInt(pair, 16));
  const recorded = new Int32Array(fromBase64(match.frames).buffer);
  machine.begin(match.seed);
  const seeds = machine.shape.frames;
  const count = pads.length / 16;
  if (!Number.isInteger(count) || match.count !== seeds + count) {
    throw new Error(`it has ${seeds} seed frames and ${count} controllers, but ${match.count} frames`);
  }
  const at = (frame) => recorded.subarray(frame * WIDTH, (frame + 1) * WIDTH);
  let wrong = null;
  for (let k = 0; k < seeds && !wrong; k++) wrong = difference(k, at(k), machine.seedValues(k));
  const computed = new Int32Array(WIDTH);
  const started = performance.now();
  let told = 0;
  for (let t = 0; t < count && !wrong; t++) {
    machine.step(padsOf(pads.subarray(t * 16, t * 16 + 16)));
    wrong = difference(seeds + t, at(seeds + t), machine.values(computed));
    const now = performance.now();
    if (now - told > SLICE) {
      told = now;
      postMessage({ state: "checking", checked: t + 1, count });
    }
  }
  const milliseconds = performance.now() - started;
  const digest = machine.digest();
  if (!wrong && digest !== match.digest) wrong = { frame: null, text: `every frame is equal, but the digest is not: recorded ${match.digest}, computed ${digest}` };
  if (wrong) postMessage({ state: "deviates", ...wrong, count });
  else postMessage({ state: "verified", checked: count, count, digest, milliseconds, cartridge: world.hash, image: world.image_sha256 });
}

addEventListener("message", (event) => {
  check(event.data).catch((error) => postMessage({ state: "unknown", text: error.message }));
});
