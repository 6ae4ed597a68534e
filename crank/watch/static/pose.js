// From a player's action to the joints of a body. Units: a body some 12 high, feet at 0, 0, facing +x.
// A pose is a list: hip x, y, lean, head tilt, front hand x, y, back hand x, y (both from the
// shoulders), front foot x, y, back foot x, y (from the ground), spin about the hip.

import { categoryOf, specialOf } from "./track.js";

const HIPX = 0, HIPY = 1, LEAN = 2, HEAD = 3, SPIN = 12;

const STAND = [0, 5.3, 0.1, 0, 2.7, -1.2, 1.5, -2.1, 1.6, 0, -1.7, 0, 0];
const CROUCH = [0, 3.1, 0.42, -0.2, 2.2, -1.2, 1.1, -1.9, 1.9, 0, -1.7, 0, 0];
const TUCK = [0, 4.1, 0.7, 0.3, 1.4, -2.3, 1.0, -2.6, 1.2, 2.0, -0.4, 1.7, 0];
const RISE = [0, 6.1, 0.05, -0.15, 1.9, 2.9, -1.7, 2.6, 1.3, 2.4, -1.2, 1.5, 0];
const DROP = [0, 5.9, 0.08, 0.1, 2.9, 1.5, -2.6, 1.8, 1.0, 0.6, -1.3, 1.2, 0];
const LIMP = [0, 5.7, -0.1, 0.6, 1.4, -2.7, -1.5, -2.6, 0.7, 0.4, -0.9, 0.7, 0];
const GUARD = [0, 3.9, 0.3, 0.15, 2.1, 0.4, 1.7, -0.8, 1.9, 0, -1.9, 0, 0];
const HURT = [-0.6, 4.9, -0.55, -0.5, 1.6, 1.2, -2.2, -1.0, 1.9, 0, -1.2, 0.2, 0];
const FLUNG = [0, 5.4, -0.9, -0.4, 2.3, 2.6, -1.0, 3.2, 3.0, 3.6, 2.2, 2.2, 0];
const LYING = [0.4, 1.1, -1.5, 0.1, -1.9, -0.5, 1.4, -0.6, 4.6, 0.4, 3.9, 1.1, 0];
const REACH = [0.4, 4.9, 0.4, 0, 4.4, 0.1, 4.0, -0.7, 2.2, 0, -1.9, 0, 0];
const HANG = [-0.6, 6.2, -0.08, -0.3, 1.9, 4.2, 0.9, 4.2, 0.5, 0.2, -0.9, 0.8, 0];
const STAR = [0, 5.2, 0, 0, 3.0, 2.2, -3.0, 2.2, 2.4, 0.2, -2.4, 0.2, 0];
const AIM = [0, 5.2, 0.02, 0, 4.5, 0.2, 2.3, -0.6, 1.9, 0, -1.8, 0, 0];
const DIVE = [0, 5.4, 1.35, -0.5, 3.6, 3.0, 2.9, 3.4, -3.9, 4.8, -4.3, 5.4, 0];
const CHEER = [0, 5.5, -0.1, -0.3, 2.0, 3.9, -1.8, 3.7, 1.6, 0, -1.7, 0, 0];

// wind-up, blow, frames until it, until it ends, until all is over; the limb that strikes:
// 0 front hand, 1 back hand, 2 front foot, 3 back foot.
const K = (wind, blow, start, end, total, limb) => ({ wind, blow, start, end, total, limb });
const BACK_HAND = [-0.5, 5.2, -0.25, 0, -1.8, 0.3, 1.6, -1.4, 1.9, 0, -1.8, 0, 0];
const BLOWS = {
  Jab: K(BACK_HAND, [0.5, 5.2, 0.2, 0, 4.7, 0.2, 0.6, -1.9, 2.0, 0, -1.8, 0, 0], 2, 6, 16, 0),
  Ftilt: K([-0.4, 5.2, -0.3, 0, 1.2, -1.4, -1.4, -1.2, 0.6, 3.0, -1.4, 0, 0],
    [0.3, 5.3, -0.5, 0.3, 0.8, -1.6, -2.4, -1.2, 5.6, 6.0, -1.1, 0, 0], 5, 10, 27, 2),
  Utilt: K(CROUCH, [0.2, 5.3, -0.2, -0.4, 1.2, 4.5, -1.6, -1.6, 1.6, 0, -1.7, 0, 0], 5, 11, 24, 0),
  Dtilt: K(CROUCH, [0, 2.6, -0.25, 0.3, 1.4, -1.4, -1.9, -1.2, 5.7, 0.5, -1.5, 0, 0], 6, 10, 28, 2),
  "Dash attack": K([0, 4.8, 0.6, 0, 1.4, -1.0, -1.0, -1.4, 1.8, 0.4, -1.9, 0.8, 0],
    [0.6, 4.6, -0.45, 0.3, 1.6, 1.2, -2.2, 0.4, 5.0, 3.0, -1.6, 0, 0], 4, 15, 36, 2),
  Fsmash: K([-1.1, 4.8, -0.5, 0.2, -3.4, 1.6, -2.0, 1.9, 2.1, 0, -2.2, 0, 0],
    [1.3, 4.7, 0.55, -0.2, 4.8, 0.1, 4.4, -0.7, 2.6, 0, -2.4, 0, 0], 12, 19, 42, 0),
  Usmash: K([0, 3.0, 0.5, 0.2, 1.4, -2.4, 0.6, -2.6, 1.9, 0, -1.9, 0, 0],
    [0, 6.1, -0.5, -0.4, 0.5, 4.7, -1.4, 3.4, 1.2, 0.2, -1.5, 0, 0], 8, 15, 40, 0),
  Dsmash: K([0, 4.4, 0.2, 0.2, 2.2, 2.2, -2.2, 2.2, 1.0, 1.2, -1.0, 1.2, 0],
    [0, 2.5, 0.05, 0, 2.4, 0.8, -2.4, 0.8, 5.2, 0.4, -5.2, 0.4, 0], 6, 12, 46, 2),
  Nair: K(TUCK, [0.2, 5.6, -0.3, 0.1, -2.2, 1.4, -2.6, -0.6, 4.9, 4.6, -0.9, 2.6, 0], 4, 22, 40, 2),
  Fair: K([0, 5.8, -0.3, 0, -1.6, 3.2, -2.2, 1.2, 1.6, 4.8, -1.2, 2.0, 0],
    [0.2, 5.6, 0.35, -0.2, 4.4, -1.0, -1.6, 1.2, 4.6, 4.2, -1.6, 2.2, 0], 7, 20, 40, 0),
  Bair: K(TUCK, [-0.2, 5.7, 0.85, -0.6, 1.6, -1.6, 1.8, 0.6, 0.6, 2.6, -5.9, 5.9, 0], 6, 14, 38, 3),
  Uair: K(TUCK, [0, 6.2, -0.9, -0.2, -2.0, -0.8, -2.8, 0.6, 1.8, 11.4, -0.8, 3.4, 0], 7, 14, 38, 2),
  Dair: K(TUCK, [0, 6.8, -0.2, 0.4, 2.2, 2.8, -2.2, 2.8, 0.5, -0.6, -0.4, 0.3, 0], 6, 24, 44, 2),
  "Getup attack": K(LYING, [0, 2.6, 0.1, 0, 2.2, 0.6, -2.2, 0.6, 5.0, 0.5, -5.0, 0.5, 0], 18, 26, 49, 2),
  "Ledge attack": K(HANG, [1.6, 2.8, 0.3, 0, 4.6, -0.4, 1.2, -1.4, 4.6, 0.6, -1.6, 0, 0], 16, 24, 55, 2),
  Pummel: K(REACH, [0.7, 4.9, 0.5, 0, 3.6, -0.3, 4.5, 0.2, 3.2, 3.8, -1.9, 0, 0], 5, 9, 24, 2),
  Fthrow: K(REACH, [1.2, 4.8, 0.6, 0, 4.8, 0.7, 4.6, -0.3, 2.9, 0, -2.2, 0, 0], 8, 16, 34, 0),
  Bthrow: K(REACH, [-0.9, 4.8, -0.6, 0, -4.4, 1.1, -4.6, 0.3, 1.9, 0, -2.6, 0, 0], 8, 18, 38, 0),
  Uthrow: K([0.3, 3.6, 0.5, 0, 3.0, -1.6, 2.2, -2.0, 2.2, 0, -1.9, 0, 0],
    [0, 5.9, -0.15, -0.5, 1.2, 4.6, -0.2, 4.6, 1.5, 0, -1.6, 0, 0], 8, 18, 36, 0),
  Dthrow: K([0.3, 5.6, 0, 0, 2.6, 3.4, 1.8, 3.4, 2.0, 0, -1.9, 0, 0],
    [0.8, 3.2, 0.9, 0, 2.8, -3.2, 2.2, -3.4, 2.4, 0, -2.2, 0, 0], 8, 22, 44, 0),
};
// A blade's way through the air: angles of the hand from the shoulder, in degrees.
const SLASH = {
  Jab: [-50, 60], Ftilt: [110, -40], Utilt: [-10, 175], Dtilt: [-32, -28], "Dash attack": [120, -40],
  Fsmash: [160, -35], Usmash: [70, 95], Dsmash: [-20, -35], Nair: [200, -20], Fair: [95, -65],
  Bair: [100, 235], Uair: [-10, 200], Dair: [-10, -170], Special: [150, -40],
};

const NAMES = new Map();
export function setAttacks(attacks) {
  for (const [name, ids] of Object.entries(attacks)) for (const id of ids) NAMES.set(id, name);
}

const clamp01 = (v) => Math.max(0, Math.min(1, v));
const ease = (v) => { const t = clamp01(v); return t * t * (3 - 2 * t); };
const mix = (a, b, t) => a.map((v, i) => v + (b[i] - v) * t);
const spun = (pose, angle) => { const out = pose.slice(); out[SPIN] += angle; return out; };

// The blow an action deals, or null; with `from` and `to` in degrees for who carries a blade.
export function blowOf(action, character, blade) {
  const name = NAMES.get(action);
  if (name) {
    const slash = blade && SLASH[name];
    return slash ? { ...BLOWS[name], limb: 0, slash } : BLOWS[name];
  }
  return null;
}

export function activeLimb(s, blade) {
  const blow = blowOf(s.action_state, s.character, blade);
  return blow && s.state_age >= blow.start - 1 && s.state_age <= blow.end ? blow.limb : -1;
}

function attack(blow, age, rest) {
  if (blow.slash) return slash(blow, age, rest);
  if (age < blow.start) return mix(rest, blow.wind, ease(age / Math.max(1, blow.start - 1)));
  if (age < blow.end) return mix(blow.wind, blow.blow, clamp01((age - blow.start + 1) / 2.2));
  return mix(blow.blow, rest, ease((age - blow.end) / Math.max(4, blow.total - blow.end)));
}

function slash(blow, age, rest) {
  const [from, to] = blow.slash;
  const t = age < blow.start ? 0 : clamp01((age - blow.start + 1) / (blow.end - blow.start));
  const angle = ((from + (to - from) * ease(t)) * Math.PI) / 180;
  const reach = blow.slash[0] === -32 ? 4.4 : 3.9;
  const body = mix(blow.wind, blow.blow, t * 0.6);
  body[4] = Math.cos(angle) * reach;
  body[5] = Math.sin(angle) * reach;
  body[8] = rest[8] + 0.5; body[9] = rest[9]; body[10] = rest[10] - 0.4; body[11] = rest[11];
  if (age < blow.start) return mix(rest, body, ease(age / Math.max(1, blow.start - 1)));
  return age < blow.end ? body : mix(body, rest, ease((age - blow.end) / Math.max(6, blow.total - blow.end)));
}

function stride(phase, length, lift, lean, arms) {
  const a = Math.cos(phase), b = Math.sin(phase);
  return [0, 5.2 - 0.35 * Math.abs(b) + lift * 0.08, lean, -lean * 0.6,
    -a * arms + 0.6, -1.3 + Math.abs(a) * 0.6, a * arms + 0.6, -1.3 + Math.abs(a) * 0.6,
    a * length, Math.max(0, b) * lift, -a * length, Math.max(0, -b) * lift, 0];
}

function special(s, t) {
  const speed = Math.hypot(s.speed_air_x, s.speed_y);
  const move = specialOf(s.action_state, s.character);
  const age = s.state_age;
  if (move === "Blaster") return s.on_ground ? AIM : mix(AIM, DROP, 0.35);
  if (move === "Shine" || move === "Counter") return mix(CROUCH, STAR, move === "Shine" ? 0.8 : 0.2);
  if (move === "Illusion" || move === "Phantasm") return s.action_state >= 351 ? DIVE : mix(CROUCH, DIVE, 0.3);
  if (move === "Fire Fox" || move === "Fire Bird") {
    if (s.action_state < 355) return mix(TUCK, STAR, 0.25 + 0.1 * Math.sin(t));
    const angle = Math.atan2(s.speed_y, Math.abs(s.speed_air_x) + 0.01);
    return spun(DIVE, -angle);
  }
  if (!s.on_ground && speed > 1.8) {
    return spun(DIVE, -Math.atan2(s.speed_y, Math.abs(s.speed_air_x) + 0.01));
  }
  return attack(K(mix(CROUCH, BACK_HAND, 0.5), REACH, 10, 20, 44, 0), age, s.on_ground ? STAND : DROP);
}

// The pose of a player `s` at the moment `t` (frames), without any memory.
function bare(s, t, blade) {
  const action = s.action_state;
  const age = Math.max(0, s.state_age);
  const breath = Math.sin(t * 0.1) * 0.14;
  const rest = s.on_ground ? STAND : DROP;
  const blow = blowOf(action, s.character, blade);
  if (blow) {
    const pose = attack(blow, age, action === 57 ? CROUCH : rest);
    if (action === 69 && !blow.slash) return spun(pose, age < blow.end ? Math.sin(age * 1.6) * 0.12 : 0);
    return pose;
  }
  const along = s.x * (s.facing ? 1 : -1);
  switch (categoryOf(action)) {
    case "movement":
      if (action >= 39 && action <= 41) return CROUCH;
      if (action === 18 || action === 19) return mix(STAND, CROUCH, 0.4);
      if (action === 20) return mix(stride(along / 3.4, 3.3, 1.8, 0.62, 2.6), DIVE, 0.12);
      if (action === 21 || action === 22) return stride(along / 3.4, 3.5, 2.2, 0.5, 2.8);
      if (action === 23) return [-0.8, 4.6, -0.35, 0.3, 2.4, 0.2, -2.0, 0.6, 2.6, 0.2, -1.2, 0, 0];
      if (action === 244) return DROP;
      if (action >= 245) return mix(STAND, CHEER, 0.35 + 0.25 * Math.sin(t * 0.35));
      return stride(along / 2.3, 1.9, 0.9, 0.14, 1.3);
    case "aerial":
      if (action === 24) return CROUCH;
      if (action === 25 || action === 26) return mix(RISE, DROP, ease((age - 8) / 20));
      if (action === 27 || action === 28) {
        const turn = ease(age / 22) * Math.PI * 2 * (action === 27 ? 1 : -1);
        return spun(mix(TUCK, DROP, ease((age - 14) / 12)), age < 24 ? turn : 0);
      }
      if (action >= 35) return mix(LIMP, DROP, 0.2 + 0.1 * Math.sin(t * 0.2));
      return mix(RISE, DROP, clamp01(0.5 - s.speed_y * 0.3));
    case "landing":
      return mix(CROUCH, STAND, ease(age / (action === 42 ? 8 : 20)) * 0.9);
    case "damage": {
      if (action === 38) return spun(mix(FLUNG, LIMP, 0.4), -t * 0.16);
      const fly = action >= 87 && action <= 91;
      if (fly) {
        const angle = Math.atan2(s.speed_attack_y + s.speed_y, -(Math.abs(s.speed_attack_x) + 0.2));
        const roll = action === 91 ? age * 0.42 : 0.12 * age;
        return spun(FLUNG, (Math.PI - angle) * 0.35 - roll);
      }
      return mix(HURT, s.on_ground ? STAND : FLUNG, clamp01(age / 26) * 0.7);
    }
    case "shield": return mix(GUARD, action === 181 ? HURT : GUARD, 0.35);
    case "down": {
      if (action === 186 || action === 194) return mix(LYING, STAND, ease((age - 6) / 22));
      if ([188, 189, 196, 197].includes(action)) return spun(TUCK, age * 0.25);
      return LYING;
    }
    case "tech":
      if (action === 202 || action === 203 || action === 204) return mix(HANG, TUCK, 0.5);
      return spun(TUCK, (action === 201 ? -1 : 1) * Math.min(age * 0.3, Math.PI * 2));
    case "dodge":
      if (action === 235) return [-1.0, 5.0, -0.5, -0.2, 1.0, 1.4, 0.4, 0.4, 1.4, 0, -1.6, 0, 0];
      if (action === 236) return mix(TUCK, STAR, 0.3);
      return spun(TUCK, (action === 234 ? -1 : 1) * Math.min(age / 24, 1) * Math.PI * 2);
    case "grab":
      return action === 218 ? HURT : mix(STAND, REACH, action === 212 || action === 214 ? ease(age / 6) : 1);
    case "grabbed": {
      if (action >= 239) return spun(mix(FLUNG, LIMP, 0.5), action === 240 ? 0.9 : -0.6);
      return mix(LIMP, HURT, 0.5 + 0.2 * Math.sin(t * 0.7));
    }
    case "ledge":
      if (action <= 253) return spun(HANG, Math.sin(t * 0.08) * 0.04);
      if (action >= 260) return mix(HANG, RISE, ease(age / 12));
      return mix(HANG, CROUCH, ease((age - 10) / 18));
    case "broken": return mix(LIMP, STAND, 0.5 + 0.3 * Math.sin(t * 0.12));
    case "taunt": return mix(STAND, CHEER, ease(age / 15));
    case "special": return special(s, t);
    case "item": return mix(rest, REACH, ease(age / 8));
    case "status": return s.on_ground ? mix(STAND, CHEER, action >= 322 && action <= 324 ? 0.5 : 0) : LIMP;
    default: {
      const pose = rest.slice();
      pose[HIPY] += breath; pose[5] += breath; pose[7] += breath;
      return pose;
    }
  }
}

const WEIGHTS = [0.46, 0.29, 0.16, 0.09];
const past = {};

// The pose at a frame, led by the frames before it, so that nothing jumps and scrubbing shows the
// same as playing. `shift` counts back from that frame.
export function poseAt(track, player, frame, blade, shift = 0) {
  const out = new Array(13).fill(0);
  let spin = 0;
  for (let k = 0; k < WEIGHTS.length; k++) {
    const at = track.clamp(frame - shift - k);
    for (const key of POSE_KEYS) past[key] = track.get(key, player, at);
    const pose = bare(past, at, blade);
    if (k === 0) spin = pose[SPIN];
    for (let i = 0; i < SPIN; i++) out[i] += WEIGHTS[k] * pose[i];
  }
  out[SPIN] = spin;
  return out;
}
const POSE_KEYS = ["x", "facing", "on_ground", "action_state", "state_age", "speed_y", "speed_air_x",
  "speed_attack_x", "speed_attack_y", "character"];

const TORSO = 4.1, UPPER_ARM = 2.35, FORE_ARM = 2.45, THIGH = 2.9, SHIN = 2.95;

function limb(x, y, tx, ty, first, second, bend) {
  let dx = tx - x, dy = ty - y;
  let d = Math.hypot(dx, dy) || 1e-6;
  const most = (first + second) * 0.995;
  if (d > most) { dx *= most / d; dy *= most / d; d = most; }
  const a = (first * first - second * second + d * d) / (2 * d);
  const h = Math.sqrt(Math.max(0, first * first - a * a)) * bend;
  return [x + (dx * a) / d - (dy * h) / d, y + (dy * a) / d + (dx * h) / d, x + dx, y + dy];
}

// Joints by name, [x, y] each, for a pose and a body's proportions.
export function joints(pose, body) {
  const legs = body.leg, arms = body.arm;
  const hip = [pose[HIPX], pose[HIPY] * legs];
  const lean = pose[LEAN];
  const up = TORSO * body.torso;
  const neck = [hip[0] + Math.sin(lean) * up, hip[1] + Math.cos(lean) * up];
  const chest = [hip[0] + Math.sin(lean) * up * 0.68, hip[1] + Math.cos(lean) * up * 0.68];
  const tilt = lean * 0.6 + pose[HEAD];
  const rise = 0.55 + body.head;
  const head = [neck[0] + Math.sin(tilt) * rise, neck[1] + Math.cos(tilt) * rise];
  const wide = body.shoulder;
  const across = [Math.cos(lean) * wide, -Math.sin(lean) * wide];
  const middle = [neck[0] - Math.sin(lean) * 0.5, neck[1] - Math.cos(lean) * 0.5];
  const shoulderF = [middle[0] + across[0], middle[1] + across[1]];
  const shoulderB = [middle[0] - across[0], middle[1] - across[1]];
  const hipF = [hip[0] + 0.5 * wide, hip[1] - 0.2];
  const hipB = [hip[0] - 0.5 * wide, hip[1] - 0.2];
  const armF = limb(...shoulderF, middle[0] + pose[4] * arms, middle[1] + pose[5] * arms, UPPER_ARM * arms, FORE_ARM * arms, -1);
  const armB = limb(...shoulderB, middle[0] + pose[6] * arms, middle[1] + pose[7] * arms, UPPER_ARM * arms, FORE_ARM * arms, -1);
  const legF = limb(...hipF, pose[8], pose[9] * legs, THIGH * legs, SHIN * legs, 1);
  const legB = limb(...hipB, pose[10], pose[11] * legs, THIGH * legs, SHIN * legs, 1);
  const found = {
    hip, chest, neck, head, shoulderF, shoulderB, hipF, hipB,
    elbowF: [armF[0], armF[1]], handF: [armF[2], armF[3]],
    elbowB: [armB[0], armB[1]], handB: [armB[2], armB[3]],
    kneeF: [legF[0], legF[1]], footF: [legF[2], legF[3]],
    kneeB: [legB[0], legB[1]], footB: [legB[2], legB[3]],
  };
  const spin = pose[SPIN];
  if (spin) {
    const c = Math.cos(-spin), s = Math.sin(-spin);
    for (const name of Object.keys(found)) {
      const [x, y] = found[name];
      found[name] = [hip[0] + (x - hip[0]) * c - (y - hip[1]) * s, hip[1] + (x - hip[0]) * s + (y - hip[1]) * c];
    }
  }
  found.tilt = tilt + spin;
  found.lean = lean + spin;
  return found;
}

export const BONES = [
  ["hip", "chest"], ["chest", "neck"], ["neck", "shoulderF"], ["neck", "shoulderB"],
  ["shoulderF", "elbowF"], ["elbowF", "handF"], ["shoulderB", "elbowB"], ["elbowB", "handB"],
  ["hip", "hipF"], ["hip", "hipB"], ["hipF", "kneeF"], ["kneeF", "footF"], ["hipB", "kneeB"], ["kneeB", "footB"],
];
export const BRACES = [
  ["shoulderF", "hipB"], ["shoulderB", "hipF"], ["shoulderF", "shoulderB"], ["hipF", "hipB"],
  ["shoulderF", "hipF"], ["shoulderB", "hipB"], ["chest", "elbowF"], ["chest", "elbowB"],
];
export const LIMB_ENDS = ["handF", "handB", "footF", "footB"];
