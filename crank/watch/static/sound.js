// Sound made in the browser: a hum, blows, the end of a life. Off until somebody turns it on.

export class Sound {
  constructor() {
    this.on = false;
    this.last = -1;
  }

  toggle() {
    this.on = !this.on;
    if (this.on && !this.audio) this.build();
    if (this.audio) {
      this.audio.resume();
      this.out.gain.setTargetAtTime(this.on ? 0.5 : 0, this.audio.currentTime, 0.05);
    }
  }

  build() {
    const audio = (this.audio = new AudioContext());
    this.out = audio.createGain();
    this.out.gain.value = 0;
    const limit = audio.createDynamicsCompressor();
    this.out.connect(limit).connect(audio.destination);
    for (const [frequency, level] of [[55, 0.05], [110.4, 0.02]]) {
      const hum = audio.createOscillator();
      const gain = audio.createGain();
      hum.frequency.value = frequency;
      gain.gain.value = level;
      hum.connect(gain).connect(this.out);
      hum.start();
    }
    const noise = audio.createBuffer(1, audio.sampleRate / 2, audio.sampleRate);
    const samples = noise.getChannelData(0);
    for (let i = 0; i < samples.length; i++) samples[i] = Math.random() * 2 - 1;
    this.noise = noise;
  }

  // Plays the events of the frames since the last call, when they were passed in order.
  follow(track, frame) {
    const from = this.last;
    this.last = frame;
    if (!this.on || frame <= from || frame - from > 12) return;
    for (const e of track.between(from + 1, frame)) {
      if (e.type === "hit") this.blow(e.damage ?? 3);
      else if (e.type === "ko") this.ko();
      else if (e.type === "shield") this.tone(880, 0.08, 0.12);
      else if (e.type === "tech") this.tone(1320, 0.06, 0.1);
    }
  }

  blow(damage) {
    const { audio } = this;
    const t = audio.currentTime;
    const strength = Math.min(1, 0.25 + damage / 22);
    const source = audio.createBufferSource();
    source.buffer = this.noise;
    const filter = audio.createBiquadFilter();
    filter.type = "lowpass";
    filter.frequency.setValueAtTime(1400 + 2600 * strength, t);
    filter.frequency.exponentialRampToValueAtTime(180, t + 0.16);
    const gain = audio.createGain();
    gain.gain.setValueAtTime(strength * 0.8, t);
    gain.gain.exponentialRampToValueAtTime(0.001, t + 0.18);
    source.connect(filter).connect(gain).connect(this.out);
    source.start(t);
    source.stop(t + 0.2);
    this.tone(170 - 70 * strength, 0.14, strength * 0.6, 40);
  }

  ko() {
    this.tone(660, 0.9, 0.5, 40);
    this.tone(990, 0.7, 0.25, 60);
    this.blow(30);
  }

  tone(frequency, seconds, level, to = frequency) {
    const { audio } = this;
    const t = audio.currentTime;
    const source = audio.createOscillator();
    const gain = audio.createGain();
    source.type = "triangle";
    source.frequency.setValueAtTime(frequency, t);
    source.frequency.exponentialRampToValueAtTime(to, t + seconds);
    gain.gain.setValueAtTime(level, t);
    gain.gain.exponentialRampToValueAtTime(0.001, t + seconds);
    source.connect(gain).connect(this.out);
    source.start(t);
    source.stop(t + seconds);
  }
}
