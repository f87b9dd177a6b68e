// What is sent: camera and microphone, or a synthetic source where there is none.

import { Synthetic } from "./synthetic.js";

const WANTED = {
  audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } },
};
const KINDS = Object.keys(WANTED);
// Why a device is not used, other than the names of the browser's errors.
const FORCED = "forced";
const UNSUPPORTED = "unsupported";
const SKIPPED = "skipped";
const GONE = "gone";

// Events: "changed" whenever a track, a state or the note has changed; "missing" when a device that was asked for
// cannot be used, which the note then tells; "blocked" when the tone waits for a gesture.
export class Media extends EventTarget {
  audioTrack = null;
  videoTrack = null;
  micOn;
  camOn;
  // Whether the devices are being asked for, perhaps the person.
  opening = false;

  #name;
  #forced;
  #closed = false;
  #synthetic = null;
  // Why the synthetic source is used instead, by kind; else null.
  #missing = { audio: null, video: null };
  // Counts what was asked of each device. A browser may take its time to answer, and an answer to anything but the
  // latest question is given back, so that no camera stays on that nobody asked for.
  #turns = { audio: 0, video: 0 };

  constructor({ name, micOn = true, camOn = true, forceSynthetic = false }) {
    super();
    this.#name = name;
    this.micOn = micOn;
    this.camOn = camOn;
    this.#forced = forceSynthetic;
  }

  // Whether what is sent is made by the page.
  get syntheticAudio() {
    return this.#missing.audio !== null;
  }

  get syntheticVideo() {
    return this.#missing.video !== null;
  }

  get synthetic() {
    return this.syntheticAudio || this.syntheticVideo;
  }

  // A sentence about what is missing, or "".
  get note() {
    const { audio, video } = this.#missing;
    if (audio && audio === video) return sentence(audio, "camera and microphone", "a synthetic picture and tone are");
    const sentences = [video && sentence(video, "camera", "a synthetic picture is"), audio && sentence(audio, "microphone", "a synthetic tone is")];
    return sentences.filter(Boolean).join(" ");
  }

  // Opens the devices; where that fails, the synthetic source takes their place. Never throws. A camera that is off is
  // left alone.
  async open() {
    if (this.#forced) {
      for (const kind of KINDS) this.#replace(kind, FORCED);
      this.#apply();
      return;
    }
    this.opening = true;
    const missing = await this.#ask(this.camOn ? KINDS : ["audio"]);
    this.opening = false;
    this.#apply();
    if (missing) this.dispatchEvent(new Event("missing"));
    // It may have been switched on meanwhile.
    if (this.camOn && !this.videoTrack) await this.#retry("video");
  }

  // Goes on without the devices that the person has not allowed yet.
  skip() {
    if (!this.opening) return;
    this.opening = false;
    for (const kind of KINDS) {
      this.#turns[kind] += 1;
      if (!this[`${kind}Track`]) this.#replace(kind, SKIPPED);
    }
    this.#apply();
  }

  async setMic(on) {
    this.micOn = on;
    this.#apply();
    if (on && this.syntheticAudio) await this.#retry("audio");
  }

  // A camera that is switched off is released, so that its light goes out.
  async setCam(on) {
    this.camOn = on;
    if (!on && !this.syntheticVideo) {
      // While both devices are asked for, the answer still counts for the microphone.
      if (!this.opening) this.#turns.video += 1;
      this.videoTrack?.stop();
      this.videoTrack = null;
    }
    this.#apply();
    if (on && (!this.videoTrack || this.syntheticVideo)) await this.#retry("video");
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
    this.#closed = true;
    for (const kind of KINDS) {
      this.#turns[kind] += 1;
      this[`${kind}Track`]?.stop();
      this[`${kind}Track`] = null;
    }
    this.#synthetic?.close();
    this.#synthetic = null;
  }

  // Who switches on what could not be had before may have made room for it meanwhile.
  async #retry(kind) {
    if (this.#forced || this.#closed || this.opening) return;
    const missing = await this.#ask([kind]);
    this.#apply();
    if (missing) this.dispatchEvent(new Event("missing"));
  }

  // Resolves to whether one of the devices could not be had. They are asked for together, so that the person is asked
  // once; where that fails, perhaps only one of them is there.
  async #ask(kinds) {
    const turns = kinds.map((kind) => [kind, ++this.#turns[kind]]);
    const { tracks, reason } = await openDevices(kinds);
    let missing = false;
    for (const [kind, turn] of turns) {
      const track = tracks.find((candidate) => candidate.kind === kind);
      if (turn !== this.#turns[kind]) {
        track?.stop();
      } else if (track) {
        this.#take(kind, track);
      } else if (kinds.length > 1) {
        missing = (await this.#ask([kind])) || missing;
      } else {
        missing = true;
        this.#replace(kind, reason);
      }
    }
    return missing;
  }

  #take(kind, track) {
    this[`${kind}Track`]?.stop();
    this[`${kind}Track`] = null;
    this.#missing[kind] = null;
    if (kind === "video" && !this.camOn) {
      track.stop();
      return;
    }
    this[`${kind}Track`] = track;
    // A device that is pulled out ends its track.
    track.onended = () => {
      if (this[`${kind}Track`] !== track) return;
      this.#replace(kind, GONE);
      this.#apply();
      this.dispatchEvent(new Event("missing"));
    };
  }

  #replace(kind, reason) {
    const had = this.#missing[kind] && this[`${kind}Track`];
    this.#missing[kind] = reason;
    if (had) return;
    this.#synthetic ??= new Synthetic(this.#name, () => this.dispatchEvent(new Event("blocked")));
    this[`${kind}Track`] = kind === "audio" ? this.#synthetic.audioTrack() : this.#synthetic.videoTrack();
  }

  #apply() {
    if (this.audioTrack) this.audioTrack.enabled = this.micOn;
    if (this.videoTrack) this.videoTrack.enabled = this.camOn;
    this.dispatchEvent(new Event("changed"));
  }
}

// Never throws: without tracks there is a reason.
async function openDevices(kinds) {
  if (!navigator.mediaDevices?.getUserMedia) return { tracks: [], reason: UNSUPPORTED };
  try {
    const stream = await navigator.mediaDevices.getUserMedia(Object.fromEntries(kinds.map((kind) => [kind, WANTED[kind]])));
    return { tracks: stream.getTracks(), reason: null };
  } catch (error) {
    return { tracks: [], reason: error.name };
  }
}

function sentence(reason, devices, instead) {
  if (reason === FORCED) return "A synthetic picture and tone are sent.";
  const anyOf = devices.replace(" and ", " or ");
  const are = devices === anyOf ? "is" : "are";
  const reasons = {
    [UNSUPPORTED]: `This browser gives no access to a ${anyOf} here`,
    [SKIPPED]: `The ${devices} ${are} not in use`,
    [GONE]: `The ${devices} ${are} gone`,
    NotAllowedError: `Access to the ${devices} was denied`,
    NotFoundError: `No ${anyOf} was found`,
    NotReadableError: `Another program uses the ${devices}`,
  };
  return `${reasons[reason] ?? `The ${devices} could not be opened`}, so ${instead} sent.`;
}
