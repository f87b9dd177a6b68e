// The page: the lobby, the room, and what the buttons do.

import { exposeHooks } from "./hooks.js";
import { Media } from "./media.js";
import { Panel } from "./plots.js";
import { Session } from "./session.js";
import { Statistics } from "./statistics.js";
import { Stage, icon } from "./tiles.js";

const SPEAKING_INTERVAL = 200;
const STATISTICS_INTERVAL = 1000;
const TOAST_TIME = 7000;

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const flag = (name) => query.has(name) && !["0", "false"].includes(query.get(name));

class Page {
  session = null;
  media = null;
  lastError = null;
  name = (query.get("name") ?? remembered("name") ?? "").trim();
  room = (query.get("room") ?? "").trim();

  #stage = new Stage($("stage"));
  #panel = new Panel($("stats-body"));
  #statistics = new Statistics();
  #opening = null;
  #timers = [];

  start() {
    $("name").value = this.name;
    $("room").value = this.room || suggestRoom();
    if (this.room) $("lobby-hint").textContent = `You are invited to the room “${this.room}”.`;
    $("join-form").onsubmit = (event) => {
      event.preventDefault();
      this.#submit();
    };
    for (const id of ["mic", "lobby-mic"]) $(id).onclick = () => this.setMic(!this.media?.micOn);
    for (const id of ["cam", "lobby-cam"]) $(id).onclick = () => this.setCam(!this.media?.camOn);
    $("leave").onclick = () => this.leave();
    $("copy").onclick = () => this.#copyLink();
    $("stats-toggle").onclick = () => this.#toggleStatistics();
    $("stats-close").onclick = () => this.#toggleStatistics(false);
    $("unblock").onclick = () => this.#unblock();
    this.#stage.addEventListener("blocked", () => { $("unblock").hidden = false; });
    addEventListener("keydown", (event) => this.#key(event));
    addEventListener("pointerdown", () => this.media?.resume());
    addEventListener("pagehide", () => this.session?.leave());
    this.#openMedia();
    if (flag("join")) {
      this.name ||= "Guest";
      this.room ||= $("room").value;
      this.join();
    } else {
      this.#showLobby();
    }
  }

  async join() {
    if (this.session && this.session.state !== "left" && this.session.state !== "failed") return;
    $("join").disabled = true;
    this.lastError = null;
    await this.#openMedia();
    this.media.setName(this.name);
    this.#showRoom();
    const session = new Session({ room: this.room, name: this.name, media: this.media, tcpOnly: query.get("transport") === "tcp" });
    this.session = session;
    session.addEventListener("state", () => this.#stateChanged());
    session.addEventListener("peers", ({ detail }) => this.#peersChanged(detail));
    session.addEventListener("problem", ({ detail }) => this.#toast(detail, "error"));
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
    await this.media?.setMic(on);
  }

  async setCam(on) {
    await this.media?.setCam(on);
  }

  // Devices are opened once, and again after a conversation has ended.
  #openMedia() {
    if (!this.media) {
      this.media = new Media(this.name);
      this.media.addEventListener("changed", () => this.#mediaChanged());
      this.media.addEventListener("blocked", () => { $("unblock").hidden = false; });
      this.#opening = this.media.open(flag("fake"));
    }
    return this.#opening;
  }

  #submit() {
    this.name = $("name").value.trim();
    this.room = $("room").value.trim();
    for (const [id, value] of [["name", this.name], ["room", this.room]]) $(id).setAttribute("aria-invalid", String(!value));
    const missing = !this.name ? "name" : !this.room ? "room" : null;
    $("field-error").hidden = !missing;
    if (missing) {
      $("field-error").textContent = missing === "name" ? "Tell the others your name." : "Choose a room: any word will do.";
      $(missing).focus();
      return;
    }
    remember("name", this.name);
    this.join();
  }

  #showLobby() {
    document.title = "Conference";
    $("room-view").hidden = true;
    $("lobby").hidden = false;
    $("join").disabled = false;
    $(this.name ? "join" : "name").focus();
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
    const { session } = this;
    const { state } = session;
    const sentences = { connecting: "Connecting…", reconnecting: "Reconnecting…" };
    $("banner").hidden = !sentences[state];
    $("banner").textContent = sentences[state] ?? "";
    $("stage").classList.toggle("stale", state === "reconnecting");
    if (state === "joined") announce(`You are in the room ${this.room}.`);
    if (state === "left" || state === "failed") this.#ended();
    else this.#peersChanged();
  }

  #ended() {
    this.#timers.forEach(clearInterval);
    this.#stage.clear();
    this.#panel.clear();
    this.#toggleStatistics(false);
    $("unblock").hidden = true;
    this.media.close();
    this.media = null;
    // The lobby opens the devices again, for its preview.
    this.#openMedia();
    this.#showLobby();
  }

  #peersChanged({ joined, left } = {}) {
    const { session, media } = this;
    if (!session || !media) return;
    if (joined) announce(`${joined} has joined.`);
    if (left) announce(`${left} has left.`);
    const self = {
      id: session.peerId,
      name: this.name,
      self: true,
      mirrored: !media.syntheticVideo,
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
    this.#stage.show([...others, self]);
    const count = others.length + 1;
    $("head-count").textContent = count === 1 ? "only you" : `${count} people`;
    $("alone").hidden = others.length > 0 || session.state !== "joined";
  }

  #mediaChanged() {
    const { media } = this;
    if (!media) return;
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
    this.#peersChanged();
  }

  async #listen() {
    const { session } = this;
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
    if ($("stats").hidden) return;
    const { session } = this;
    const sample = await this.#statistics.sample(session);
    if (session === this.session && !$("stats").hidden) this.#panel.show(sample);
  }

  #toggleStatistics(open = $("stats").hidden) {
    const button = $("stats-toggle");
    const inside = $("stats").contains(document.activeElement);
    $("stats").hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (open) this.#sample();
    else if (inside) button.focus();
  }

  async #copyLink() {
    const url = new URL("/", location.href);
    url.searchParams.set("room", this.room);
    try {
      await navigator.clipboard.writeText(url.href);
      this.#toast("The link is copied: whoever opens it meets you here.");
    } catch {
      this.#toast(`This is the link to send: ${url.href}`);
    }
  }

  async #unblock() {
    $("unblock").hidden = true;
    await this.media?.resume();
    await this.#stage.play();
  }

  #key(event) {
    const typing = event.target.closest?.("input, textarea, select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat || $("room-view").hidden) return;
    if (event.key === "m") this.setMic(!this.media.micOn);
    else if (event.key === "v") this.setCam(!this.media.camOn);
    else if (event.key === "s") this.#toggleStatistics();
    else if (event.key === "Escape" && !$("stats").hidden) this.#toggleStatistics(false);
  }

  #toast(text, kind = "info") {
    if (kind === "error") this.lastError = text;
    const same = [...$("toasts").children].find((toast) => toast.firstChild.textContent === text);
    same?.remove();
    const toast = document.createElement("div");
    toast.className = `toast ${kind}`;
    toast.setAttribute("role", kind === "error" ? "alert" : "status");
    const sentence = document.createElement("span");
    sentence.textContent = text;
    const close = document.createElement("button");
    close.className = "round small";
    close.type = "button";
    close.setAttribute("aria-label", "Dismiss");
    close.append(icon("i-close"));
    close.onclick = () => toast.remove();
    toast.append(sentence, close);
    $("toasts").append(toast);
    setTimeout(() => toast.remove(), TOAST_TIME);
  }
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
