// A picture that moves and a tone that swells, both quiet: what is sent where there is no camera or microphone.

const PERIOD = 20;
const TICKS_PER_FRAME = 2;
const WIDTH = 640;
const HEIGHT = 360;
// Tiles cut a picture at its sides, down to a shape of 3:4 in the worst case.
const TEXT_WIDTH = HEIGHT * 0.75 - 20;
const LARGEST_TEXT = 44;
const SMALLEST_TEXT = 24;
const SAMPLE_RATE = 48_000;
const SAMPLES_PER_PIECE = 480;

export class Synthetic {
  #name;
  #onBlocked;
  #clock = null;
  #ticks = 0;
  #canvas = null;
  #context = null;
  #audio = null;
  // Writes the samples that are due, or null.
  #generate = null;

  // `onBlocked` is called when the browser lets no tone play before a gesture.
  constructor(name, onBlocked) {
    this.#name = name;
    this.#onBlocked = onBlocked;
  }

  setName(name) {
    this.#name = name;
  }

  videoTrack() {
    if (!this.#canvas) {
      this.#canvas = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
      this.#context = this.#canvas.getContext("2d", { alpha: false });
      this.#draw();
      this.#start();
    }
    return this.#canvas.captureStream(1000 / PERIOD / TICKS_PER_FRAME).getVideoTracks()[0];
  }

  audioTrack() {
    const frequency = 196 * 2 ** ((hueOf(this.#name) % 12) / 12);
    return this.#generatedTrack(frequency) ?? this.#oscillatorTrack(frequency);
  }

  // To be called on a user's gesture.
  async resume() {
    if (this.#audio?.state === "suspended") await this.#audio.resume().catch(() => {});
  }

  close() {
    this.#clock?.terminate();
    this.#audio?.close();
  }

  #start() {
    if (this.#clock) return;
    this.#clock = new Worker("/clock.js");
    this.#clock.onmessage = () => this.#tick();
    this.#clock.postMessage(PERIOD);
  }

  #tick() {
    this.#generate?.();
    this.#ticks += 1;
    if (this.#canvas && this.#ticks % TICKS_PER_FRAME === 0) this.#draw();
  }

  #oscillatorTrack(frequency) {
    this.#audio ??= new AudioContext();
    const oscillator = new OscillatorNode(this.#audio, { frequency });
    const swell = new OscillatorNode(this.#audio, { frequency: 0.5 });
    const depth = new GainNode(this.#audio, { gain: 0.04 });
    const level = new GainNode(this.#audio, { gain: 0.06 });
    const output = new MediaStreamAudioDestinationNode(this.#audio, { channelCount: 1 });
    swell.connect(depth).connect(level.gain);
    oscillator.connect(level).connect(output);
    oscillator.start();
    swell.start();
    setTimeout(() => { if (this.#audio.state === "suspended") this.#onBlocked(); }, 1000);
    return output.stream.getAudioTracks()[0];
  }

  // Where the browser lets the page write samples itself, the tone needs no AudioContext, which would stay silent
  // until a gesture.
  #generatedTrack(frequency) {
    if (!("MediaStreamTrackGenerator" in window && "AudioData" in window)) return null;
    const track = new MediaStreamTrackGenerator({ kind: "audio" });
    const writer = track.writable.getWriter();
    const started = performance.now();
    let written = 0;
    this.#generate = () => {
      // Catch up with the clock piece by piece, but never by more than a tenth of a second.
      const due = Math.floor(((performance.now() - started) / 1000) * SAMPLE_RATE);
      if (due - written > SAMPLE_RATE / 10) written = due - SAMPLES_PER_PIECE;
      while (written + SAMPLES_PER_PIECE <= due) {
        const data = new Float32Array(SAMPLES_PER_PIECE);
        for (let i = 0; i < SAMPLES_PER_PIECE; i++) {
          const t = (written + i) / SAMPLE_RATE;
          data[i] = (0.06 + 0.04 * Math.sin(Math.PI * t)) * Math.sin(2 * Math.PI * frequency * t);
        }
        const timestamp = Math.round((written / SAMPLE_RATE) * 1e6);
        const samples = { format: "f32-planar", sampleRate: SAMPLE_RATE, numberOfFrames: SAMPLES_PER_PIECE, numberOfChannels: 1, timestamp, data };
        writer.write(new AudioData(samples)).catch(() => { this.#generate = null; });
        written += SAMPLES_PER_PIECE;
      }
    };
    this.#start();
    return track;
  }

  #draw() {
    const context = this.#context;
    const hue = hueOf(this.#name);
    const t = performance.now() / 1000;
    const sky = context.createLinearGradient(0, 0, WIDTH, HEIGHT);
    sky.addColorStop(0, `hsl(${hue} 38% 30%)`);
    sky.addColorStop(1, `hsl(${(hue + 50) % 360} 42% 46%)`);
    context.fillStyle = sky;
    context.fillRect(0, 0, WIDTH, HEIGHT);
    for (let i = 0; i < 6; i++) {
      const x = WIDTH * (0.5 + 0.42 * Math.sin(t * (0.23 + i * 0.05) + i * 1.7));
      const y = HEIGHT * (0.5 + 0.4 * Math.cos(t * (0.31 + i * 0.04) + i * 2.3));
      context.fillStyle = `hsl(${(hue + i * 24) % 360} 60% 68% / 26%)`;
      context.beginPath();
      context.arc(x, y, 34 + 16 * Math.sin(t + i), 0, 2 * Math.PI);
      context.fill();
    }
    context.fillStyle = "rgb(255 255 255 / 92%)";
    context.textAlign = "center";
    context.fillText(fit(context, this.#name || "Guest"), WIDTH / 2, HEIGHT / 2);
    context.font = "400 22px system-ui, sans-serif";
    context.fillText(new Date().toLocaleTimeString(), WIDTH / 2, HEIGHT / 2 + 40);
  }
}

// Sets a font in which the text has its place, and cuts the text where none is small enough.
function fit(context, text) {
  const setSize = (size) => { context.font = `600 ${size}px system-ui, sans-serif`; };
  setSize(LARGEST_TEXT);
  const size = Math.floor((LARGEST_TEXT * TEXT_WIDTH) / context.measureText(text).width);
  setSize(Math.min(LARGEST_TEXT, Math.max(SMALLEST_TEXT, size)));
  const characters = [...text];
  let fitting = text;
  while (characters.length > 1 && context.measureText(fitting).width > TEXT_WIDTH) {
    characters.pop();
    fitting = `${characters.join("").trimEnd()}…`;
  }
  return fitting;
}

// A stable colour for a name, in degrees.
export function hueOf(text) {
  let hash = 7;
  for (const character of text) hash = (hash * 31 + character.codePointAt(0)) % 9973;
  return hash % 360;
}
