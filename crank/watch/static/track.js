// One match as columns: what the server sends for a recording, or what a live stream brings.

export const KEYS = [
  "percent", "x", "y", "shield_strength", "speed_air_x", "speed_y", "speed_ground_x",
  "speed_attack_x", "speed_attack_y", "state_age", "hitlag", "stocks", "combo_count", "facing",
  "on_ground", "action_state", "jumps_left", "character",
];
const DEFAULTS = { shield_strength: 60, stocks: 4, facing: 1, on_ground: 1, action_state: 14, jumps_left: 2 };
const LIVE_FRAMES = 28800;

export class Track {
  constructor({ name, mode, stage, players, first = 0, seeds = 0, count = 0, events = [], facts = {}, proof = null, minds = null }) {
    Object.assign(this, { name, mode, stage, players, first, seeds, count, facts, proof, minds });
    this.events = events;
    this.confidence = null; // how sure the model was, where somebody computes that
    this.base = 0; // number of the oldest frame that is kept
    this.size = 0; // frames there is room for
    this.columns = {};
  }

  static of(recording) {
    const track = new Track(recording);
    track.size = recording.count;
    for (const key of KEYS) {
      track.columns[key] = recording.columns[key].map((values) => Float32Array.from(values));
    }
    return track;
  }

  get last() {
    return this.base + this.count - 1;
  }

  clamp(frame) {
    return Math.max(this.base, Math.min(this.last, frame));
  }

  // A field of a player at a frame; the nearest frame where there is none.
  get(key, player, frame) {
    return this.columns[key][player][this.clamp(frame) - this.base];
  }

  player(player, frame) {
    const at = this.clamp(frame) - this.base;
    const values = {};
    for (const key of KEYS) values[key] = this.columns[key][player][at];
    return values;
  }

  // Adds a live frame; of a long stream the older half is forgotten.
  append(frame) {
    if (this.count >= this.size) this.grow();
    for (const key of KEYS) {
      for (let p = 0; p < 2; p++) {
        const value = Number(frame.players[p][key] ?? DEFAULTS[key] ?? 0);
        this.columns[key][p][this.count] =
          key === "facing" || key === "on_ground" ? (value > 0 ? 1 : 0) : value;
      }
    }
    this.count += 1;
  }

  grow() {
    const drop = this.count >= LIVE_FRAMES ? this.count / 2 : 0;
    this.size = Math.min(LIVE_FRAMES, Math.max(1024, this.size * 2));
    for (const key of KEYS) {
      const before = this.columns[key] ?? [new Float32Array(0), new Float32Array(0)];
      this.columns[key] = before.map((old) => {
        const fresh = new Float32Array(this.size);
        fresh.set(old.subarray(drop, this.count));
        return fresh;
      });
    }
    this.count -= drop;
    this.base += drop;
  }

  // The events of frames from..to, both included. They are in the order of their frames.
  between(from, to) {
    return this.events.slice(this.before(from), this.before(to + 1));
  }

  before(frame) {
    let low = 0;
    let high = this.events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.events[middle].frame < frame) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

let tables = { actions: [], categories: [], specials: {}, characters: {}, attacks: {} };
let categories = [];

export function setTables(content) {
  tables = content;
  categories = content.categories.flatMap(([first, last, name]) => Array(last - first + 1).fill(name));
}

export function categoryOf(action) {
  return categories[action] ?? "other";
}

export function specialOf(action, character) {
  const found = (tables.specials[character] ?? []).find(([a, b]) => a <= action && action <= b);
  return found ? found[2] : null;
}

export function actionName(action, character) {
  return tables.actions[action] ?? specialOf(action, character) ?? `Special ${action}`;
}

export function characterName(number) {
  return tables.characters[number] ?? `Character ${number}`;
}
