// A match as it is played: frames, one or several a message, between match_start and match_end.

import { Track, characterName } from "./track.js";

const FALLBACK = { name: "", ground_y: 0, ground_x_range: [-85.57, 85.57], platforms: [],
  blast_zones: { left: -240, right: 240, top: 200, bottom: -140 }, camera_bounds: { left: -160, right: 160, top: 100, bottom: -50 } };
const AGAIN = [500, 1000, 2000, 5000];

export class Live {
  // `on` has start(track, message), frame(entry), end(message), fail(text), state(text).
  constructor(url, on) {
    this.url = url;
    this.on = on;
    this.tries = 0;
    this.track = null;
    this.ended = 0; // matches
    this.missing = 0; // frames that the server left out for this viewer
    this.disordered = 0;
    this.connect();
  }

  connect() {
    this.on.state("connecting");
    const socket = (this.socket = new WebSocket(this.url));
    socket.addEventListener("open", () => { this.tries = 0; this.on.state("waiting"); });
    socket.addEventListener("message", (message) => this.receive(message.data));
    socket.addEventListener("close", () => {
      if (this.closed) return;
      this.on.state("lost");
      setTimeout(() => this.connect(), AGAIN[Math.min(this.tries++, AGAIN.length - 1)]);
    });
  }

  close() {
    this.closed = true;
    this.socket.close();
  }

  receive(text) {
    let content;
    try { content = JSON.parse(text); } catch { return; }
    if (Array.isArray(content)) content.forEach((entry) => this.frame(entry));
    else if (content?.type === "match_start") this.begin(content);
    else if (content?.type === "match_end") { this.ended += 1; this.on.end(content); }
    else if (content?.type === "match_error") this.on.fail(String(content.error));
    else this.frame(content);
  }

  begin(message) {
    const pair = [message.p0, message.p1].map((p) => ({
      label: String(p?.label ?? characterName(p?.character)), character: Number(p?.character ?? 0),
      agent: String(p?.agent ?? ""), rating: String(p?.rating ?? ""),
    }));
    this.track = new Track({ name: String(message.name ?? `match ${message.match_id}`), mode: String(message.mode ?? "live"),
      stage: message.stage_geometry ?? { ...FALLBACK }, players: pair, seeds: Number(message.seed_frames ?? 0), first: Number(message.first_frame ?? 0) });
    this.track.limit = Number(message.max_frames) || undefined;
    this.expected = null;
    this.on.start(this.track, message);
  }

  frame(entry) {
    if (!Array.isArray(entry?.players) || entry.players.length < 2) return;
    if (!this.track) this.begin({ p0: entry.players[0], p1: entry.players[1], match_id: "" });
    const number = entry.number;
    if (Number.isInteger(number)) {
      if (this.track.count === 0) this.track.base = number;
      else if (number < this.expected) { this.disordered += 1; return; }
      // What is missing is shown as a stand-still, so that frame numbers stay true.
      else while (this.expected < number) { this.missing += 1; this.track.append(entry); this.expected += 1; }
      this.expected = number + 1;
    }
    this.track.append(entry);
    this.on.frame(entry);
    for (const event of entry.events ?? []) this.track.events.push(event);
  }
}
