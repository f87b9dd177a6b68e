// What is sent: camera and microphone, or a synthetic source where there is none.

const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };
const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

// Events: "changed" whenever a track, a state or the note has changed; "blocked" when the tone waits for a gesture.
export class Media extends EventTarget {
  audioTrack = null;
  videoTrack = null;
  micOn = true;
  camOn = true;
  // Whether what is sent is made by the page.
  syntheticAudio = false;
  syntheticVideo = false;
  // A sentence about what is missing, or "".
  note = "";

  #name;
  #synthetic = null;

  constructor(name) {
    super();
    this.#name = name;
  }

  get synthetic() {
    return this.syntheticAudio || this.syntheticVideo;
  }

  // Opens the devices; where that fails, the synthetic source takes their place. Never throws.
  async open(forceSynthetic) {
    let stream = null;
    if (forceSynthetic) {
      this.note = "A synthetic picture and tone are sent.";
    } else {
      stream = await this.#openDevices();
    }
    this.audioTrack = stream?.getAudioTracks()[0] ?? null;
    this.videoTrack = stream?.getVideoTracks()[0] ?? null;
    if (!this.audioTrack) {
      this.syntheticAudio = true;
      this.audioTrack = this.#source().audioTrack();
    }
    if (!this.videoTrack) {
      this.syntheticVideo = true;
      this.videoTrack = this.#source().videoTrack();
    }
    this.#watch();
    this.#apply();
  }

  async setMic(on) {
    this.micOn = on;
    this.#apply();
  }

  // A camera that is switched off is released, so that its light goes out.
  async setCam(on) {
    this.camOn = on;
    if (!on && !this.syntheticVideo) {
      this.videoTrack?.stop();
      this.videoTrack = null;
    }
    if (on && !this.videoTrack) {
      try {
        const stream = await navigator.mediaDevices.getUserMedia({ video: VIDEO });
        this.videoTrack = stream.getVideoTracks()[0];
      } catch (error) {
        this.note = sentence(error, "camera");
        this.syntheticVideo = true;
        this.videoTrack = this.#source().videoTrack();
      }
      this.#watch();
    }
    this.#apply();
  }

  setName(name) {
    this.#name = name;
    this.#synthetic?.setName(name);
  }

  // To be called on a user's gesture: a synthetic tone may have waited for one.
  async resume() {
    await this.#synthetic?.resume();
  }

  close() {
    this.audioTrack?.stop();
    this.videoTrack?.stop();
    this.#synthetic?.close();
    this.audioTrack = this.videoTrack = this.#synthetic = null;
    this.syntheticAudio = this.syntheticVideo = false;
  }

  async #openDevices() {
    if (!navigator.mediaDevices?.getUserMedia) {
      this.note = "This browser gives no access to cameras here, so a synthetic picture and tone are sent.";
      return null;
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: AUDIO, video: VIDEO });
      this.note = "";
      return stream;
    } catch (both) {
      // Perhaps only one of the two is there.
      for (const [kind, wanted, missing] of [["audio", AUDIO, "camera"], ["video", VIDEO, "microphone"]]) {
        try {
          const stream = await navigator.mediaDevices.getUserMedia({ [kind]: wanted });
          this.note = sentence(both, missing);
          return stream;
        } catch {
          // The next one, then.
        }
      }
      this.note = sentence(both, "camera and microphone");
      return null;
    }
  }

  #source() {
    this.#synthetic ??= new Synthetic(this.#name, () => this.dispatchEvent(new Event("blocked")));
    return this.#synthetic;
  }

  // A device that is pulled out ends its track.
  #watch() {
    const { audioTrack, videoTrack } = this;
    audioTrack.onended = () => {
      if (this.audioTrack !== audioTrack) return;
      this.note = "The microphone is gone, so a synthetic tone is sent.";
      this.syntheticAudio = true;
      this.audioTrack = this.#source().audioTrack();
      this.#apply();
    };
    videoTrack.onended = () => {
      if (this.videoTrack !== videoTrack) return;
      this.note = "The camera is gone, so a synthetic picture is sent.";
      this.syntheticVideo = true;
      this.videoTrack = this.#source().videoTrack();
      this.#apply();
    };
  }

  #apply() {
    if (this.audioTrack) this.audioTrack.enabled = this.micOn;
    if (this.videoTrack) this.videoTrack.enabled = this.camOn;
    this.dispatchEvent(new Event("changed"));
  }
}

function sentence(error, what) {
  const instead = what === "camera" ? "a synthetic picture is" : what === "microphone" ? "a synthetic tone is" : "a synthetic picture and tone are";
  const reasons = {
    NotAllowedError: `Access to the ${what} was denied`,
    NotFoundError: `No ${what.replace(" and ", " or ")} was found`,
    NotReadableError: `Another program uses the ${what}`,
  };
  return `${reasons[error?.name] ?? `The ${what} could not be opened`}, so ${instead} sent.`;
}

// A picture that moves and a tone that swells, both quiet.
class Synthetic {
  #name;
  #canvas = null;
  #drawing = null;
  #audio = null;
  #generating = null;
  #onBlocked;

  constructor(name, onBlocked) {
    this.#name = name;
    this.#onBlocked = onBlocked;
  }

  setName(name) {
    this.#name = name;
  }

  videoTrack() {
    if (!this.#canvas) {
      this.#canvas = document.createElement("canvas");
      this.#canvas.width = 640;
      this.#canvas.height = 360;
      const context = this.#canvas.getContext("2d", { alpha: false });
      const hue = hueOf(this.#name || String(Math.random()));
      const draw = () => this.#draw(context, hue, performance.now() / 1000);
      draw();
      this.#drawing = setInterval(draw, 40);
    }
    return this.#canvas.captureStream(25).getVideoTracks()[0];
  }

  audioTrack() {
    const frequency = 196 * 2 ** ((hueOf(this.#name || "") % 12) / 12);
    return this.#generatedTrack(frequency) ?? this.#oscillatorTrack(frequency);
  }

  async resume() {
    if (this.#audio?.state === "suspended") await this.#audio.resume().catch(() => {});
  }

  close() {
    clearInterval(this.#drawing);
    clearInterval(this.#generating);
    this.#audio?.close();
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
    const sampleRate = 48_000;
    const started = performance.now();
    let written = 0;
    this.#generating = setInterval(() => {
      // Catch up with the clock in pieces of 10 ms, but never by more than a tenth of a second.
      const due = Math.floor(((performance.now() - started) / 1000) * sampleRate);
      if (due - written > sampleRate / 10) written = due - 480;
      while (written + 480 <= due) {
        const data = new Float32Array(480);
        for (let i = 0; i < 480; i++) {
          const t = (written + i) / sampleRate;
          data[i] = (0.06 + 0.04 * Math.sin(Math.PI * t)) * Math.sin(2 * Math.PI * frequency * t);
        }
        const timestamp = Math.round((written / sampleRate) * 1e6);
        const samples = { format: "f32-planar", sampleRate, numberOfFrames: 480, numberOfChannels: 1, timestamp, data };
        writer.write(new AudioData(samples)).catch(() => clearInterval(this.#generating));
        written += 480;
      }
    }, 10);
    return track;
  }

  #draw(context, hue, t) {
    const { width, height } = context.canvas;
    const sky = context.createLinearGradient(0, 0, width, height);
    sky.addColorStop(0, `hsl(${hue} 38% 30%)`);
    sky.addColorStop(1, `hsl(${(hue + 50) % 360} 42% 46%)`);
    context.fillStyle = sky;
    context.fillRect(0, 0, width, height);
    for (let i = 0; i < 6; i++) {
      const x = width * (0.5 + 0.42 * Math.sin(t * (0.23 + i * 0.05) + i * 1.7));
      const y = height * (0.5 + 0.4 * Math.cos(t * (0.31 + i * 0.04) + i * 2.3));
      context.fillStyle = `hsl(${(hue + i * 24) % 360} 60% 68% / 26%)`;
      context.beginPath();
      context.arc(x, y, 34 + 16 * Math.sin(t + i), 0, 2 * Math.PI);
      context.fill();
    }
    context.fillStyle = "rgb(255 255 255 / 92%)";
    context.textAlign = "center";
    context.font = "600 44px system-ui, sans-serif";
    context.fillText(this.#name || "Guest", width / 2, height / 2, width - 60);
    context.font = "400 22px system-ui, sans-serif";
    context.fillText(new Date().toLocaleTimeString(), width / 2, height / 2 + 40);
  }
}

// A stable colour for a name, in degrees.
export function hueOf(text) {
  let hash = 7;
  for (const character of text) hash = (hash * 31 + character.codePointAt(0)) % 9973;
  return hash % 360;
}
