// A match in the page: a person against an agent, every frame computed by the browser itself.

import { Machine, UNIT, WIDTH, frameOf } from "./machine.js";
import { KEYS, Track, characterName } from "./track.js";
import { Confidence } from "./confidence.js";

const SECOND = 60;
const MOST_AT_ONCE = 4; // frames that are made up for in one picture; a slower browser plays slower
export const EIGHT_MINUTES_LONG = 28800;
const [PERCENT, STOCKS] = ["percent", "stocks"].map((key) => KEYS.indexOf(key));
const LEAST_HIT = UNIT / 2;

// `choice`: {seat, characters, stage, agent, policy?: bytes}; `cartridge`: what api/cartridge answers;
// `input`: what the person presses.
export class Session {
  static async of(code, cartridge, choice, seed, input) {
    const session = new Session(cartridge, choice, seed, input);
    session.machine = await Machine.of(code, cartridge);
    session.machine.seat(1 - choice.seat, choice.policy ?? choice.agent);
    session.machine.begin(session.start, seed, 0);
    for (let k = 0; k < cartridge.context_len; k++) session.keep(session.machine.seedValues(k));
    return session;
  }

  constructor(cartridge, choice, seed, input) {
    Object.assign(this, { cartridge, choice, seed, input, outcome: null, played: 0, owed: 0 });
    this.start = seedOf(cartridge, choice);
    this.pads = [];
    this.frames = [];
    this.stage = cartridge.stages.find((s) => s.id === choice.stage);
    const labels = choice.characters.map(characterName);
    if (labels[0] === labels[1]) labels.forEach((label, i) => { labels[i] = `${label} ${i + 1}`; });
    const players = choice.characters.map((character, i) => ({ label: labels[i], character, agent: this.agent(i), rating: "" }));
    this.track = new Track({ name: "your match", mode: "played-here", stage: this.stage, players, seeds: cartridge.context_len });
    this.track.confidence = new Confidence();
  }

  agent(player) {
    const { seat, agent, policy } = this.choice;
    return player === seat ? "human" : policy ? `policy:${agent}` : agent;
  }

  // Plays as many frames as `seconds` of the clock ask for.
  advance(seconds) {
    this.owed = Math.min(MOST_AT_ONCE, this.owed + seconds * SECOND);
    for (; this.owed >= 1 && !this.outcome; this.owed -= 1) this.frame(this.input.pad());
  }

  frame(pad) {
    const { machine, choice } = this;
    machine.step(choice.seat === 0 ? [pad, null] : [null, pad]);
    this.pads.push(machine.padBytes());
    this.played += 1;
    this.keep(machine.values());
    this.track.confidence.put(this.track.last, machine.confidence());
    const last = this.frames.at(-1);
    const out = [0, 1].some((p) => last[p * KEYS.length + STOCKS] < UNIT / 2);
    if (out) this.end("ko");
    else if (this.played >= EIGHT_MINUTES_LONG) this.end("timeout");
  }

  keep(values) {
    const before = this.frames.at(-1);
    this.frames.push(values);
    this.track.append(frameOf(values));
    if (before) this.track.events.push(...happened(before, values, this.track));
  }

  end(outcome) {
    this.outcome = outcome;
    this.input.end();
  }

  // 0 or 1, by whole stocks, then by percent; null for nobody.
  get winner() {
    if (this.outcome === "interrupted") return null;
    const [stocks, percent] = [this.whole(STOCKS), this.whole(PERCENT)];
    if (stocks[0] !== stocks[1]) return Number(stocks[1] > stocks[0]);
    if (stocks[0] === 0 || percent[0] === percent[1]) return null;
    return Number(percent[1] < percent[0]);
  }

  whole(key) {
    const last = this.frames.at(-1);
    return [0, 1].map((p) => Math.floor(last[p * KEYS.length + key] / UNIT + 0.5));
  }

  // The object of a match file, as `awm verify` takes it.
  toObject() {
    const { cartridge, choice, stage } = this;
    const digest = this.machine.digest();
    const named = choice.characters.map((id) => ({ id, name: characterName(id) }));
    const sha = (player) => (this.agent(player) === `policy:${choice.agent}` ? cartridge.policies[choice.agent] : null);
    const reasons = { ko: "a player lost the last stock", timeout: "the frames asked for were played", interrupted: "interrupted" };
    const meta = {
      mode: "agent-vs-agent", total_frames: this.frames.length, seed_frames: cartridge.context_len,
      stage: { id: stage.id, name: stage.name }, characters: { p0: named[0], p1: named[1] },
      model_checkpoint: cartridge.name, arch: "mamba2", context_len: cartridge.context_len,
      p0_agent: this.agent(0), p1_agent: this.agent(1),
      weights_sha256: { world: cartridge.hash, p0: sha(0), p1: sha(1) },
      context: cartridge.context, arithmetic: "int8", max_frames: EIGHT_MINUTES_LONG, early_ko: true,
      seed: this.seed, seed_noise: 0, seed_origin: null, button_bias: 0, versions: cartridge.versions,
      outcome: this.outcome, reason: reasons[this.outcome], winner: this.winner,
      final_stocks: this.whole(STOCKS), final_percent: this.whole(PERCENT), digest,
    };
    const { id, ...geometry } = stage;
    const pads = this.pads.map((bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("")).join("");
    return { meta, stage_geometry: geometry, frames: this.frames.map(frameOf), machine: { seed: this.start, pads, digest } };
  }
}

// The cartridge's seed frames with the chosen stage and characters.
function seedOf(cartridge, { stage, characters }) {
  const [, column] = cartridge.columns.character;
  const ints = cartridge.seed.ints.map((pair) => pair.map((row, p) => row.map((v, i) => (i === column ? characters[p] : v))));
  return { ...cartridge.seed, ints, stage: cartridge.seed.stage.map(() => stage) };
}

// What two frames tell: hits and lost stocks. A recording's events come from crank/watch/events.py.
function happened(before, now, track) {
  const found = [];
  const frame = track.last;
  for (let p = 0; p < 2; p++) {
    const at = (key) => p * KEYS.length + key;
    const [me, other] = [track.players[p].label, track.players[1 - p].label];
    const base = { frame, attackerIdx: 1 - p, defenderIdx: p };
    const damage = now[at(PERCENT)] - before[at(PERCENT)];
    if (damage >= LEAST_HIT) {
      const text = (damage / UNIT).toFixed(1);
      found.push({ ...base, type: "hit", damage: damage / UNIT, attackName: `${text}%`, line: `[F ${frame}] ${other} hits ${me} for ${text}%` });
    }
    const whole = (values) => Math.round(values[at(STOCKS)] / UNIT);
    if (whole(now) < whole(before)) {
      const edge = sideOf(track, p);
      found.push({ ...base, type: "ko", edge, line: `[F ${frame}] KO! ${me} is gone at the ${edge}, ${whole(now)} left` });
    }
  }
  return found;
}

function sideOf(track, player) {
  const { left, right, bottom } = track.stage.blast_zones;
  const [x, y] = ["x", "y"].map((key) => track.get(key, player, track.last - 1));
  if (y < bottom) return "bottom";
  return x < left * 0.9 ? "left" : x > right * 0.9 ? "right" : "top";
}
