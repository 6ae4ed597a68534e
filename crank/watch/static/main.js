// The page: finds out what there is to show, builds the cabinet, and runs its clock.

import { Track, setTables } from "./track.js";
import { setAttacks } from "./pose.js";
import { vectorElement } from "./vector.js";
import { MODES, Scene } from "./scene.js";
import { Feelings } from "./feelings.js";
import { Hud, Ticker, make } from "./hud.js";
import { Deck, Playback } from "./deck.js";
import { Sound } from "./sound.js";
import { attractTrack } from "./attract.js";
import { Live } from "./live.js";
import { lobby, sentence } from "./lobby.js";
import { Proof } from "./proof.js";
import { Session } from "./play.js";
import { Input } from "./input.js";
import { TouchPad } from "./touch.js";
import { afterPanel, controlsLine, setupPanel } from "./setup.js";

const TITLE = "AUTONOMOUS WORLD MODEL";
const KEYS_HELP = [
  ["Space", "play, pause"], ["Left, Right", "one frame; with Shift ten"], ["[ and ]", "event before, event after"],
  ["+ and -", "speed"], ["Home, End", "first, last frame"], ["L", "loop: its start, its end, leave it"],
  ["W C D X", "wire, character, data, x-ray"], ["M", "sound"], ["F", "full screen"], ["?", "these keys"],
];

class Cabinet {
  constructor(root) {
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.mode = sessionStorage.getItem("mode") ?? "wire";
    if (!(this.mode in MODES)) this.mode = "wire";
    this.playback = new Playback();
    this.sound = new Sound();
    this.worlds = [];
    this.frameTimes = [];
    this.build(root);
    addEventListener("keydown", (event) => {
      if (event.target instanceof HTMLInputElement && event.target.type !== "range") return;
      if (event.target instanceof HTMLSelectElement) return;
      if (this.playing) { if (event.key === "Escape") this.endPlay("interrupted"); return; }
      if (event.key === " " && event.target instanceof HTMLButtonElement) return;
      if (this.deck.key(event)) event.preventDefault();
    });
    requestAnimationFrame((now) => this.tick(now));
  }

  build(root) {
    const header = make("header", "marquee");
    const home = make("a", "title");
    home.href = location.protocol === "file:" ? "#" : "./";
    home.setAttribute("aria-label", TITLE);
    for (const [className, text] of [["long", TITLE], ["short", "AWM"]]) {
      const lettering = vectorElement(className, 0.7);
      lettering.set(text);
      home.append(lettering.element);
    }
    this.heading = make("div", "heading");
    this.tag = make("span", "mode-tag");
    this.what = make("span", "what");
    this.proofs = [0, 1].map(() => new Proof((frame) => { this.playback.playing = false; this.playback.seek(frame); }, () => { if (this.mode === "xray") this.drawn = null; }));
    this.heading.append(this.tag, ...this.proofs.map((p) => p.root), this.what);
    header.append(home, this.heading);
    this.screen = make("div", "screen");
    this.field = make("div", "worlds");
    this.banner = make("div", "banner");
    this.banner.setAttribute("role", "status");
    this.big = vectorElement("big", 0.66);
    this.small = make("p", "small");
    this.banner.append(this.big.element, this.small);
    this.panel = make("div", "over");
    this.screen.append(this.field, make("div", "glass"), this.banner, this.panel);
    this.deck = new Deck(this.playback, {
      mode: (name) => this.setMode(name),
      sound: () => this.sound.toggle(),
      full: () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen?.()),
      help: () => (this.help.open ? this.help.close() : this.help.showModal()),
      close: () => this.help.close(),
      follow: () => { this.playback.following = true; },
      streaming: () => Boolean(this.lives),
      event: (by) => this.toEvent(by),
    });
    this.ticker = new Ticker((frame) => this.playback.seek(frame));
    const middle = make("div", "middle");
    middle.append(this.screen, this.ticker.root);
    this.help = make("dialog", "help");
    const list = make("dl");
    for (const [key, text] of KEYS_HELP) list.append(make("dt", "", key), make("dd", "", text));
    const close = make("button", "text", "Close");
    close.type = "button";
    close.addEventListener("click", () => this.help.close());
    this.help.append(make("h2", "", "Keys"), list, close);
    this.deck.root.append(controlsLine());
    this.touch = new TouchPad(() => { if (this.playing) this.endPlay("interrupted"); });
    root.append(header, middle, this.touch.root, this.deck.root, this.help);
    const fingers = () => { root.dataset.touch = ""; };
    if (matchMedia("(pointer: coarse)").matches) fingers();
    addEventListener("pointerdown", (event) => { if (event.pointerType === "touch") fingers(); });
    this.root = root;
    root.dataset.mode = this.mode;
    for (const over of [this.panel, this.banner]) over.addEventListener("click", (event) => event.stopPropagation());
    this.screen.addEventListener("click", () => { if (!this.attract && !this.playing) this.playback.toggle(); });
  }

  setMode(name) {
    this.mode = name;
    this.root.dataset.mode = name;
    sessionStorage.setItem("mode", name);
    this.drawn = null;
  }

  toEvent(by) {
    const track = this.worlds[0]?.track;
    if (!track) return;
    const now = this.playback.shown;
    const found = by > 0 ? track.events.find((e) => e.frame > now) : track.events.findLast((e) => e.frame < now);
    if (found) { this.playback.playing = false; this.playback.seek(found.frame); }
  }

  // Shows tracks, one canvas each.
  show(tracks, { attract = false, following = false } = {}) {
    this.attract = attract;
    this.panel.replaceChildren();
    if (attract) for (const proof of this.proofs) proof.end();
    this.root.dataset.state = attract ? "attract" : "match";
    this.root.dataset.worlds = String(tracks.length);
    while (this.worlds.length > tracks.length) this.worlds.pop().root.remove();
    while (this.worlds.length < tracks.length) {
      const root = make("div", "world");
      const canvas = make("canvas", "stage");
      canvas.setAttribute("role", "img");
      const hud = new Hud();
      const feelings = new Feelings();
      const label = make("div", "world-name");
      root.append(canvas, label, feelings.root, hud.root);
      this.field.append(root);
      this.worlds.push({ root, hud, feelings, label, canvas, scene: new Scene(canvas) });
    }
    tracks.forEach((track, i) => {
      const world = this.worlds[i];
      world.track = track;
      world.scene.show(track);
      world.scene.named = tracks.length > 1;
      world.hud.show(track);
      world.feelings.show(track);
      const [a, b] = track.players;
      world.canvas.setAttribute("aria-label", `${a.label} against ${b.label}${track.stage.name ? ` on ${track.stage.name}` : ""}`);
      world.label.textContent = tracks.length > 1 ? `${"AB"[i]}  ${track.name}` : "";
    });
    const p = this.playback;
    p.first = Math.min(...tracks.map((t) => t.base));
    p.last = Math.max(...tracks.map((t) => t.last));
    p.frame = p.first;
    p.loop = null;
    p.following = following;
    p.playing = true;
    this.deck.show(tracks[0]);
    this.ticker.key = "";
    this.drawn = null;
    this.describe(tracks);
  }

  describe(tracks) {
    const [track] = tracks;
    const kinds = { replay: ["Real game", "real"], "agent-vs-agent": ["Model output", "model"], autoregressive: ["Model output", "model"], "played-here": ["You play", "model"], attract: ["Attract", "idle"] };
    const [text, kind] = this.lives && !this.attract ? ["Live", "on-air"] : (kinds[track.mode] ?? ["Recording", "real"]);
    this.tag.textContent = text;
    this.tag.className = `mode-tag ${kind}`;
    const names = tracks.map((t) => t.players.map((p) => p.label).join(" vs ")).filter((n, i, all) => all.indexOf(n) === i);
    this.what.textContent = this.attract ? "" : `${names.join("  |  ")}  ${track.stage.name}`;
    document.title = this.attract ? "AWM" : `${names[0]} - AWM`;
  }

  say(big, small = "", kind = "") {
    this.big.set(big);
    this.small.textContent = small;
    this.banner.className = `banner ${kind}`;
    this.banner.hidden = !big && !small;
    this.after?.remove();
  }

  // Nothing plays: two fighters shadow-box under the title.
  insertCoin(text = "INSERT COIN") {
    this.show([attractTrack()], { attract: true });
    this.say(TITLE, text, "coin");
  }

  fail(text) {
    this.show([attractTrack()], { attract: true });
    this.say("OUT OF ORDER", text, "wrong");
    this.banner.setAttribute("role", "alert");
  }

  tick(now) {
    const seconds = Math.min(0.25, (now - (this.now ?? now)) / 1000);
    if (this.now !== undefined && this.frameTimes.length < 36000) this.frameTimes.push(now - this.now);
    this.now = now;
    const p = this.playback;
    if (this.worlds.length) {
      p.first = Math.min(...this.worlds.map((w) => w.track.base));
      // Live worlds are shown as far as the slowest of them has come.
      p.last = Math[this.lives ? "min" : "max"](...this.worlds.map((w) => w.track.last));
      if (p.last >= 0) this.paint(seconds);
    }
    requestAnimationFrame((next) => this.tick(next));
  }

  paint(seconds) {
    const p = this.playback;
    const calm = this.calm.matches;
    if (this.playing) { this.session.advance(seconds); p.last = this.worlds[0].track.last; if (this.session.outcome) this.endPlay(this.session.outcome); }
    if (!(this.attract && calm)) p.advance(seconds);
    const frame = p.shown;
    const mode = this.attract ? "wire" : this.mode;
    const key = `${frame}:${mode}`;
    if (key !== this.drawn || this.worlds.some((w) => w.scene.stale)) {
      this.drawn = key;
      for (const world of this.worlds) {
        if (world.track.count === 0) continue;
        world.scene.lift = this.attract ? 0 : this.overlap(world);
        const shown = world.track.clamp(frame);
        world.scene.draw(shown, mode, { calm, tags: !this.attract });
        if (!this.attract) world.hud.update(world.track, shown, calm);
        world.feelings.update(shown);
      }
      if (!this.attract) {
        this.ticker.update(this.worlds.map((w) => w.track), frame);
        this.sound.follow(this.worlds[0].track, frame);
      }
    }
    if (!this.attract) this.deck.update(this.mode, this.sound.on);
    // A match that was played here is looked at again: what it came to is not in the way.
    if (this.session) this.root.toggleAttribute("data-again", !this.playing && (p.playing || frame < p.last));
  }

  // The part of the picture that the panels cover.
  overlap(world) {
    if (!world.scene.stale && world.lift !== undefined) return world.lift;
    const high = world.canvas.clientHeight || 1;
    const covered = getComputedStyle(world.hud.root).position === "absolute" ? world.hud.root.offsetHeight : 0;
    return (world.lift = Math.min(0.4, (covered * 0.8) / high));
  }

  // Recordings by name, as `tracks` shows them: this browser computes again what it can.
  prove(tracks, names) {
    tracks.forEach((track, i) => {
      this.proofs[i].letter = tracks.length > 1 ? `${"AB"[i]} ` : "";
      if (track.proof && names.length === tracks.length) this.proofs[i].check(names[i], track);
      else this.proofs[i].none(track);
    });
  }

  // The panel from which a match in the page begins.
  async choose(before) {
    this.insertCoin("LOADING");
    this.root.dataset.page = "play";
    this.cartridge ??= await json("api/cartridge");
    this.code ??= await binary("static/machine.wasm");
    this.say("");
    this.panel.replaceChildren(setupPanel(this.cartridge, (choice) => this.play(choice).catch((e) => this.fail(e.message)), before));
    this.panel.querySelector("button").focus({ preventScroll: true });
  }

  async play(choice) {
    if (choice.trained) choice.policy = await binary(`api/policy?${new URLSearchParams({ hash: this.cartridge.hash, name: choice.agent })}`);
    const [seed] = crypto.getRandomValues(new Uint32Array(1));
    this.session = await Session.of(this.code, this.cartridge, choice, seed, new Input(this.touch));
    this.show([this.session.track], { following: true });
    document.activeElement?.blur();
    this.say("");
    this.playing = true;
    this.root.dataset.playing = "";
  }

  endPlay(outcome) {
    const { session } = this;
    session.end(outcome);
    this.playing = false;
    delete this.root.dataset.playing;
    this.playback.following = false;
    this.playback.playing = false;
    this.deck.show(session.track);
    const winner = session.winner === null ? "NO WINNER" : `${short(session.track.players[session.winner].label)} WINS`;
    this.say(outcome === "interrupted" ? "ENDED" : winner, `${(session.played / 60).toFixed(1)} seconds, computed here`, "result");
    this.after = afterPanel({
      save: () => download("match.json", JSON.stringify(session.toObject())),
      again: () => this.play(session.choice).catch((e) => this.fail(e.message)),
      change: () => this.choose(session.choice).catch((e) => this.fail(e.message)),
    });
    this.banner.append(this.after);
  }

  // Live matches, one from each stream, shown together from their common start on.
  follow(urls) {
    let after;
    const begun = urls.map(() => null), ended = urls.map(() => null);
    this.insertCoin("CONNECTING");
    this.lives = urls.map((url, i) => new Live(url, {
      start: (track, message) => {
        clearTimeout(after);
        begun[i] = { track, id: message.match_id };
        ended[i] = null;
        this.proofs[i].letter = urls.length > 1 ? `${"AB"[i]} ` : "";
        if (message.proof) this.proofs[i].follow(message, track);
        else this.proofs[i].none(track);
        if (begun.some((match) => match?.id !== message.match_id)) return;
        this.show(begun.map((match) => match.track), { following: true });
        this.say(`${short(track.players[0].label)} VS ${short(track.players[1].label)}`, track.stage.name, "versus");
        after = setTimeout(() => this.say(""), message.type ? 3000 : 0);
      },
      frame: (entry) => this.proofs[i].frame(entry),
      end: (message) => {
        this.proofs[i].close(message);
        ended[i] = result(begun[i]?.track, message);
        if (ended.includes(null)) return;
        clearTimeout(after);
        const [{ who, how }] = ended;
        if (ended.length === 1) this.say(who, how, "result");
        else this.say("MATCH OVER", ended.map((e, k) => `${"AB"[k]} ${e.who}, ${e.how}`).join("; "), "result");
        after = setTimeout(() => this.insertCoin("NEXT MATCH SOON"), 5000);
      },
      fail: (text) => { clearTimeout(after); this.fail(text); },
      state: (state) => {
        if (state === "waiting" && this.attract) this.say(TITLE, "WAITING FOR A MATCH", "coin");
        if (state === "lost") { clearTimeout(after); this.insertCoin("CONNECTION LOST, TRYING AGAIN"); }
      },
    }));
  }
}

function result(track, message) {
  const winner = track?.players[message.winner];
  const how = `${message.reason === "ko" ? "by KO" : "on time"}, stocks ${message.final_stocks?.join(" to ") ?? ""}`;
  return { who: winner ? `${short(winner.label)} WINS` : "NO WINNER", how };
}

function short(name) {
  return name.replace(/[^A-Za-z0-9 .'-]/g, "").toUpperCase();
}

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

async function json(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(await sentence(answer));
  return answer.json();
}

async function binary(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(await sentence(answer));
  return new Uint8Array(await answer.arrayBuffer());
}

function download(name, text) {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function main() {
  const embedded = document.getElementById("match");
  const tables = embedded ? JSON.parse(document.getElementById("tables").textContent) : await json("static/tables.json");
  setTables(tables);
  setAttacks(tables.attacks);
  const cabinet = new Cabinet(document.getElementById("cabinet"));
  globalThis.awm = cabinet;
  const query = new URLSearchParams(location.search);
  try {
    if (embedded) {
      const tracks = (await unpack(embedded.textContent)).tracks.map((t) => Track.of(t));
      cabinet.show(tracks);
      tracks.forEach((track, i) => { if (track.proof) cabinet.proofs[i].say({ state: "unknown", text: "A page in one file holds no cartridge, so nothing is computed again here; awm watch checks the match file." }); });
      cabinet.say("");
    } else if (query.has("match")) {
      cabinet.insertCoin("LOADING");
      const found = await Promise.all(query.getAll("match").slice(0, 2).map((name) => json(`api/match?name=${encodeURIComponent(name)}`)));
      const tracks = found.flatMap((f) => f.tracks).slice(0, 2).map((t) => Track.of(t));
      cabinet.show(tracks);
      cabinet.prove(tracks, query.getAll("match").slice(0, 2));
      cabinet.say("");
      const at = Number(query.get("frame"));
      if (query.has("frame") && Number.isFinite(at)) { cabinet.playback.playing = false; cabinet.playback.seek(at); }
    } else if (query.has("play")) {
      await cabinet.choose();
    } else if (query.has("live")) {
      const stream = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
      cabinet.follow(query.has("beside") ? [stream, `${stream}/beside`] : [stream]);
    } else {
      cabinet.insertCoin();
      cabinet.root.dataset.page = "lobby";
      await lobby(cabinet.root);
    }
  } catch (error) {
    cabinet.fail(error.message);
  }
}

main();
