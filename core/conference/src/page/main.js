// The page: the lobby, the room, and what the buttons do.

import { exposeHooks } from "./hooks.js";
import { Media } from "./media.js";
import { Notices } from "./notices.js";
import { Panel } from "./plots.js";
import { Session, cutName, cutRoom } from "./session.js";
import { Statistics } from "./statistics.js";
import { Stage } from "./tiles.js";

const SPEAKING_INTERVAL = 200;
const STATISTICS_INTERVAL = 1000;
// A browser that may use the devices opens them sooner; one that takes longer is asking the person.
const ASKING_PATIENCE = 1000;
const LONG_TOAST_TIME = 15_000;
const LOOPBACK = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/;

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const flag = (name) => query.has(name) && !["0", "false"].includes(query.get(name));

class Page {
  session = null;
  media = null;
  lastError = null;
  name = cutName((query.get("name") ?? remembered("name") ?? "").trim());
  room = cutRoom((query.get("room") ?? "").trim());

  #stage = new Stage({ element: $("stage"), inner: $("tiles"), invitation: $("alone") });
  #notices = new Notices({ status: $("status"), text: $("status-text"), countdown: $("status-countdown"), action: $("status-action"), toasts: $("toasts") });
  #panel = new Panel($("stats-body"));
  #statistics = new Statistics();
  #timers = [];
  #lastState = null;
  #askedAt = 0;
  // Where others find this server, if not at the address that this page was opened with.
  #reachable = null;

  start() {
    $("name").value = this.name;
    $("room").value = this.room || suggestRoom();
    this.#showHint();
    $("room").addEventListener("input", () => this.#showHint());
    for (const id of ["name", "room"]) $(id).addEventListener("input", () => this.#showFieldError(null));
    $("join-form").onsubmit = (event) => {
      event.preventDefault();
      this.#submit();
    };
    for (const id of ["mic", "lobby-mic"]) $(id).onclick = () => this.setMic(!this.media.micOn);
    for (const id of ["cam", "lobby-cam"]) $(id).onclick = () => this.setCam(!this.media.camOn);
    $("leave").onclick = () => this.leave();
    for (const id of ["copy", "alone-copy"]) $(id).onclick = () => this.#copyLink();
    $("alone-link").onfocus = () => $("alone-link").select();
    $("stats-toggle").onclick = () => this.#toggleStatistics();
    $("stats-close").onclick = () => this.#toggleStatistics(false);
    this.#stage.addEventListener("blocked", () => { $("unblock").hidden = false; });
    addEventListener("keydown", (event) => this.#key(event));
    // Any gesture lets sound play.
    for (const gesture of ["click", "keydown"]) addEventListener(gesture, () => this.#unblock());
    addEventListener("pagehide", () => this.session?.leave());
    this.#learnReachable();
    this.#openMedia();
    if (this.room !== (query.get("room") ?? "").trim()) this.#notices.toast("The name of this room is too long, so it was cut.", { time: LONG_TOAST_TIME });
    if (flag("join")) {
      this.name ||= "Guest";
      this.room ||= $("room").value;
      this.join();
    } else {
      this.#showLobby();
    }
  }

  join() {
    if (this.session && this.session.state !== "left" && this.session.state !== "failed") return;
    this.lastError = null;
    this.media.setName(this.name);
    const session = new Session({ room: this.room, name: this.name, media: this.media, tcpOnly: query.get("transport") === "tcp" });
    this.session = session;
    this.#lastState = null;
    this.#showRoom();
    session.addEventListener("state", () => this.#stateChanged());
    session.addEventListener("peers", ({ detail }) => this.#peersChanged(detail));
    session.addEventListener("problem", ({ detail }) => this.#notices.toast(detail));
    this.#timers = [
      setInterval(() => this.#listen(), SPEAKING_INTERVAL),
      setInterval(() => this.#sample(), STATISTICS_INTERVAL),
    ];
    this.#stateChanged();
    this.#peersChanged();
    session.start();
    if (flag("stats")) this.#toggleStatistics(true);
  }

  leave() {
    this.session?.leave();
  }

  async setMic(on) {
    await this.media.setMic(on);
  }

  async setCam(on) {
    await this.media.setCam(on);
  }

  // Devices are opened once, and again after a conversation has ended, with what was muted still muted.
  #openMedia() {
    const { micOn, camOn } = this.media ?? {};
    const media = new Media({ name: this.name, micOn, camOn, forceSynthetic: flag("fake") });
    this.media = media;
    this.#askedAt = performance.now();
    media.addEventListener("changed", () => this.#mediaChanged());
    media.addEventListener("missing", () => this.#tellMissing());
    media.addEventListener("blocked", () => { $("unblock").hidden = false; });
    setTimeout(() => this.#showStatus(), ASKING_PATIENCE);
    media.open();
  }

  // In the lobby the note stands in the preview.
  #tellMissing() {
    if (!$("room-view").hidden) this.#notices.toast(this.media.note, { time: LONG_TOAST_TIME });
  }

  #submit() {
    this.name = $("name").value.trim();
    this.room = $("room").value.trim();
    const missing = !this.name ? "name" : !this.room ? "room" : null;
    if (missing) {
      this.#showFieldError(missing === "name" ? "Tell the others your name." : "Choose a room: any word will do.", missing);
      $(missing).focus();
      return;
    }
    remember("name", this.name);
    this.join();
    // The button that had it is gone.
    $("room-name").focus();
  }

  #showHint() {
    const invited = this.room && $("room").value.trim() === this.room;
    $("lobby-hint").textContent = invited ? `You are invited to the room “${this.room}”.` : "Everyone who opens the same room meets there.";
  }

  // `sentence` is about one field, or about none in particular.
  #showFieldError(sentence, about = null) {
    $("field-error").hidden = !sentence;
    $("field-error").textContent = sentence ?? "";
    for (const id of ["name", "room"]) {
      $(id).setAttribute("aria-invalid", String(id === about));
      if (id === about) $(id).setAttribute("aria-describedby", "field-error");
      else $(id).removeAttribute("aria-describedby");
    }
  }

  // `sentence` is why one is here again, or null.
  #showLobby(sentence = null) {
    document.title = "Conference";
    $("room-view").hidden = true;
    $("lobby").hidden = false;
    this.#showFieldError(sentence);
    // On a phone the keyboard would cover what there is to see first.
    if (matchMedia("(pointer: fine)").matches) $(this.name ? "join" : "name").focus();
    this.#mediaChanged();
  }

  #showRoom() {
    const url = new URL(location.href);
    url.searchParams.set("room", this.room);
    history.replaceState(null, "", url);
    document.title = `${this.room} · Conference`;
    $("room-name").textContent = this.room;
    $("lobby").hidden = true;
    $("room-view").hidden = false;
  }

  #stateChanged() {
    const { state, trouble, failure } = this.session;
    const before = this.#lastState;
    this.#lastState = state;
    if (trouble || failure) this.lastError = failure ?? trouble.sentence;
    if (state === "left" || state === "failed") {
      this.#ended(failure);
      return;
    }
    this.#showStatus();
    $("stage").classList.toggle("stale", state === "reconnecting");
    if (state === "joined" && before !== "joined") announce(`You are in the room ${this.room}.`);
    this.#peersChanged();
  }

  #showStatus() {
    const { session, media } = this;
    if ($("room-view").hidden) this.#notices.show(null);
    else if (session.trouble) this.#notices.show(troubleStatus(session));
    else if (media.opening && performance.now() - this.#askedAt >= ASKING_PATIENCE) {
      const action = { label: "Continue without", run: () => media.skip() };
      this.#notices.show({ sentence: "Allow the camera and microphone, or continue without them.", action });
    } else if (session.state === "connecting") this.#notices.show({ sentence: "Connecting…" });
    else if (session.state === "reconnecting") this.#notices.show({ sentence: "Reconnecting…" });
    else this.#notices.show(session.mediaConnected ? null : { sentence: "Connecting media…" });
  }

  #ended(failure) {
    this.#timers.forEach(clearInterval);
    this.#stage.clear();
    this.#panel.clear();
    this.#toggleStatistics(false);
    $("unblock").hidden = true;
    $("stage").classList.remove("stale");
    this.media.close();
    this.#showLobby(failure);
    this.#showStatus();
    // For the preview.
    this.#openMedia();
  }

  #peersChanged({ joined, left } = {}) {
    const { session, media } = this;
    if (!session || $("room-view").hidden) return;
    if (joined) announce(`${joined} has joined.`);
    if (left) announce(`${left} has left.`);
    const self = {
      id: session.peerId,
      name: this.name,
      self: true,
      mirrored: !media.syntheticVideo,
      synthetic: syntheticWord(media),
      micOn: media.micOn,
      camOn: media.camOn,
      videoTrack: media.videoTrack,
    };
    const others = [...session.peers.values()].map(({ id, name, audio, video }) => ({
      id,
      name,
      micOn: Boolean(audio && !audio.paused),
      camOn: Boolean(video && !video.paused),
      audioTrack: audio?.track,
      videoTrack: video?.track,
    }));
    const alone = others.length === 0 && session.joins > 0;
    if (alone) $("alone-link").value = this.#link();
    this.#stage.show([...others, self], { invite: alone });
    $("head-count").textContent = alone ? "only you" : others.length ? `${others.length + 1} people` : "";
  }

  #mediaChanged() {
    const { media } = this;
    for (const id of ["mic", "lobby-mic"]) showSwitch($(id), media.micOn, "mic");
    for (const id of ["cam", "lobby-cam"]) showSwitch($(id), media.camOn, "cam");
    const preview = $("preview");
    const shown = media.camOn && media.videoTrack;
    if ((preview.srcObject?.getVideoTracks()[0] ?? null) !== (media.videoTrack ?? null)) {
      preview.srcObject = media.videoTrack ? new MediaStream([media.videoTrack]) : null;
    }
    const figure = preview.closest("figure");
    figure.toggleAttribute("data-off", !shown);
    figure.classList.toggle("unmirrored", media.syntheticVideo);
    $("preview-note").textContent = media.note || (shown ? "" : media.camOn ? "Waiting for your camera and microphone…" : "Your camera is off.");
    this.#showStatus();
    this.#peersChanged();
  }

  async #listen() {
    const { session } = this;
    // Who is not connected is not heard.
    if (session?.state !== "joined") {
      this.#stage.speak(new Map());
      return;
    }
    const levels = new Map();
    const heard = new Map();
    for (const receiver of session?.receiving?.getReceivers() ?? []) {
      if (receiver.track.kind === "audio") heard.set(receiver.track, receiver.getSynchronizationSources()[0]?.audioLevel ?? 0);
    }
    for (const { id, audio } of session?.peers.values() ?? []) levels.set(id, heard.get(audio?.track) ?? 0);
    const sender = session?.sending?.getSenders().find(({ track }) => track?.kind === "audio");
    for (const entry of (await sender?.getStats())?.values() ?? []) {
      if (entry.type === "media-source") levels.set(session.peerId, entry.audioLevel ?? 0);
    }
    if (session === this.session) this.#stage.speak(levels);
  }

  async #sample() {
    const { session } = this;
    const sample = await this.#statistics.sample(session);
    if (session !== this.session || $("room-view").hidden) return;
    this.#panel.add(sample);
    this.#panel.draw();
  }

  #toggleStatistics(open = $("stats").hidden) {
    const button = $("stats-toggle");
    const inside = $("stats").contains(document.activeElement);
    $("stats").hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (open) this.#panel.draw();
    else if (inside) button.focus();
  }

  // At an address of this very machine, only this machine finds the page.
  async #learnReachable() {
    if (!LOOPBACK.test(location.hostname)) return;
    try {
      const { urls } = await (await fetch("/reachable.json")).json();
      this.#reachable = urls.find((url) => !LOOPBACK.test(new URL(url).hostname)) ?? null;
      this.#peersChanged();
    } catch {
      // Then the link is good for this machine.
    }
  }

  #link() {
    const url = new URL("/", this.#reachable ?? location.href);
    url.searchParams.set("room", this.room);
    return url.href;
  }

  async #copyLink() {
    const link = this.#link();
    try {
      await navigator.clipboard.writeText(link);
      this.#notices.toast("The link is copied: whoever opens it meets you here.");
    } catch {
      this.#notices.toast("This is the link to send:", { link, time: null });
    }
  }

  async #unblock() {
    $("unblock").hidden = true;
    await this.media.resume();
    await this.#stage.play();
  }

  #key(event) {
    const typing = event.target.closest?.("input, textarea, select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat || $("room-view").hidden) return;
    // Where a keyboard has no Latin letters, the keys in their places.
    const key = /^[a-z]$/i.test(event.key) ? event.key.toLowerCase() : event.code.replace(/^Key/, "").toLowerCase();
    if (key === "m") this.setMic(!this.media.micOn);
    else if (key === "v") this.setCam(!this.media.camOn);
    else if (key === "s") this.#toggleStatistics();
    else if (key === "escape" && !$("stats").hidden) this.#toggleStatistics(false);
  }
}

function troubleStatus(session) {
  const { sentence, retryAt } = session.trouble;
  return { sentence, retryAt, action: retryAt === null ? null : { label: "Try now", run: () => session.retry() } };
}

function syntheticWord({ syntheticAudio, syntheticVideo }) {
  if (syntheticAudio && syntheticVideo) return "synthetic";
  return syntheticVideo ? "synthetic picture" : syntheticAudio ? "synthetic tone" : "";
}

function showSwitch(button, on, name) {
  button.setAttribute("aria-pressed", String(on));
  button.querySelector("use").setAttribute("href", on ? `#i-${name}` : `#i-${name}-off`);
}

function announce(text) {
  $("announcer").textContent = text;
}

function suggestRoom() {
  const words = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbor", "indigo", "juniper", "kestrel", "lagoon", "meadow", "north", "orchard", "pebble", "quartz", "river", "summit", "tundra"];
  const pick = () => words[crypto.getRandomValues(new Uint32Array(1))[0] % words.length];
  return `${pick()}-${pick()}`;
}

// Private windows may have no storage.
function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // It is asked for again next time.
  }
}

const page = new Page();
exposeHooks(page);
page.start();
