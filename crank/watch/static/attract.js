// Two fighters who shadow-box while nothing plays: a made-up track, the same each time.

import { KEYS, Track, characterName } from "./track.js";
import { chance } from "./effects.js";

const LENGTH = 1800;
const GROUND = { name: "", ground_y: 0, ground_x_range: [-85.57, 85.57], platforms: [],
  blast_zones: { left: -246, right: 246, top: 188, bottom: -140 }, camera_bounds: { left: -160, right: 160, top: 100, bottom: -50 } };
const CAST = [1, 22, 18, 2, 9, 7, 25, 26, 6, 13];
const GROUNDED = [[44, 18], [53, 28], [57, 26], [60, 40], [56, 26], [63, 38]];
const AERIALS = [[65, 38], [66, 36], [67, 34], [68, 34]];
const REACH_X = 11, REACH_Y = 12;

function fighter(character, x, facing) {
  return { percent: 0, x, y: 0, shield_strength: 60, speed_air_x: 0, speed_y: 0, speed_ground_x: 0, speed_attack_x: 0, speed_attack_y: 0,
    state_age: 0, hitlag: 0, stocks: 4, combo_count: 0, facing, on_ground: 1, action_state: 14, jumps_left: 2, character, left: 30, struck: true };
}

function begin(me, action, frames) {
  me.action_state = action;
  me.state_age = 0;
  me.left = frames;
  me.struck = false;
}

function decide(me, other, dice) {
  const away = other.x - me.x;
  me.facing = away > 0 ? 1 : 0;
  const near = Math.abs(away) < 13;
  if (me.on_ground) {
    if (near && dice < 0.62) return begin(me, ...GROUNDED[Math.floor(dice * 97) % GROUNDED.length]);
    if (dice < 0.12) return begin(me, 179, 24);
    if (dice > 0.7) { me.on_ground = 0; me.speed_y = 2.9; me.speed_air_x = Math.sign(away) * (near ? -0.5 : 1.1); return begin(me, 25, 16); }
    if (near && dice > 0.62) { me.facing = 1 - me.facing; return begin(me, 20, 14); }
    return dice < 0.2 ? begin(me, 14, 22) : begin(me, dice < 0.5 ? 21 : 20, 14);
  }
  return begin(me, ...AERIALS[Math.floor(dice * 89) % AERIALS.length]);
}

function move(me) {
  const run = me.action_state === 20 || me.action_state === 21;
  me.speed_ground_x = me.on_ground && run ? (me.facing ? 1.9 : -1.9) : me.speed_ground_x * 0.8;
  me.speed_attack_x *= 0.94; me.speed_attack_y *= 0.9;
  if (me.on_ground) me.x += me.speed_ground_x + me.speed_attack_x;
  else {
    me.speed_y = Math.max(-2.6, me.speed_y - 0.14);
    me.x += me.speed_air_x + me.speed_attack_x;
    me.y += me.speed_y + me.speed_attack_y;
    if (me.y <= 0) { me.y = 0; me.on_ground = 1; me.speed_y = me.speed_air_x = me.speed_attack_y = 0; begin(me, 42, 8); }
  }
  if (Math.abs(me.x) > 78) { me.x = Math.sign(me.x) * 78; me.speed_attack_x *= -0.6; }
}

const DAMAGE = { 44: 3, 53: 9, 56: 10, 57: 8, 60: 16, 63: 14 };

function strike(me, other, index, frame, events) {
  const blow = me.action_state >= 44 && me.action_state <= 68;
  const dx = other.x - me.x;
  if (!blow || me.struck || me.state_age < 6 || me.state_age > 16) return;
  if (Math.abs(dx) > REACH_X || Math.abs(other.y - me.y) > REACH_Y || dx * (me.facing ? 1 : -1) < -4) return;
  me.struck = true;
  const guarded = other.action_state === 179;
  const names = { 44: "Jab", 53: "Ftilt", 56: "Utilt", 57: "Dtilt", 60: "Fsmash", 63: "Usmash", 65: "Nair", 66: "Fair", 67: "Bair", 68: "Uair" };
  const attackName = names[me.action_state];
  const base = { frame, attackerIdx: index, defenderIdx: 1 - index, attackName };
  if (guarded) { begin(other, 181, 14); events.push({ ...base, type: "shield", line: "" }); return; }
  const damage = DAMAGE[me.action_state] ?? 11;
  other.percent = (other.percent + damage) % 160;
  other.on_ground = 0;
  other.speed_attack_x = Math.sign(dx || 1) * (0.5 + damage * 0.11);
  other.speed_y = 1.1 + damage * 0.1;
  other.speed_air_x = 0;
  other.facing = dx > 0 ? 0 : 1;
  me.hitlag = other.hitlag = 5;
  begin(other, damage > 9 ? 88 : 85, 34);
  events.push({ ...base, type: "hit", damage, newPercent: other.percent, line: "" });
}

export function attractTrack(seed = Math.floor(Math.random() * 1000)) {
  const first = CAST[Math.floor(chance(seed, 1) * CAST.length)];
  const second = CAST[(CAST.indexOf(first) + 1 + Math.floor(chance(seed, 2) * (CAST.length - 1))) % CAST.length];
  const pair = [fighter(first, -28, 1), fighter(second, 28, 0)];
  const columns = Object.fromEntries(KEYS.map((key) => [key, [[], []]]));
  const events = [];
  for (let frame = 0; frame < LENGTH; frame++) {
    pair.forEach((me, i) => {
      const other = pair[1 - i];
      if (me.hitlag > 0) { me.hitlag -= 1; return; }
      me.state_age += 1;
      me.left -= 1;
      if (me.left <= 0) decide(me, other, chance(seed * 7919 + frame, i + 3));
      move(me);
      strike(me, other, i, frame, events);
    });
    for (const key of KEYS) pair.forEach((me, i) => columns[key][i].push(me[key]));
  }
  const players = [first, second].map((c) => ({ label: characterName(c), character: c, agent: "", rating: "" }));
  return Track.of({ name: "attract", mode: "attract", stage: { id: 0, ...GROUND }, players, first: 0, seeds: 0, count: LENGTH, columns, events, facts: {} });
}
