// One person's stay in a room: the signalling, the connection that sends and the one that receives.
//
// The server makes and answers the SDP. What we send is offered by `publish`; what we receive is offered to us by the
// server's request `subscribe`, whenever somebody comes, goes, or begins to send.
//
// Events: "state" (what `state`, `trouble` and `mediaConnected` tell has changed), "peers" (somebody came, left, or
// changed; detail: {joined?, left?} names), "problem" (detail: a sentence about something that has passed).

import { GIVEN_UP, Protoo } from "./protoo.js";

const PEER_CONNECTION = { bundlePolicy: "max-bundle", rtcpMuxPolicy: "require", iceServers: [] };
// How long a path may be silent before it is given a new start.
const DISCONNECTED_PATIENCE = 3000;
const RESTARTS_BEFORE_REJOIN = 3;
// How long a path may take to connect before something seems to be in its way.
const CONNECTING_PATIENCE = 8000;
const REJOIN_DELAY = 2000;
// One attempt may always fail. What makes more of them fail is worth telling.
const FAILURES_TO_TELL = 2;
// How long others may take to come back after everybody has lost the server, before they count as gone.
const ABSENCE_PATIENCE = 4000;
// What the server takes.
const LONGEST_NAME = 200;
const LONGEST_ROOM = 200;
// The codes of errors that trying again will not change.
const REFUSALS = [400, 403];

export class Session extends EventTarget {
  // "connecting", "joined", "reconnecting", "left", "failed"
  state = "connecting";
  // What stands in the way and lasts, or null: {sentence, retryAt, media}. `retryAt` is when it is tried again, in terms
  // of performance.now(), or null; `media` is whether only the path of the media is troubled.
  trouble = null;
  // Whether media flows as far as there is any.
  mediaConnected = false;
  // Once it has failed: why, a sentence.
  failure = null;
  joins = 0;
  // id -> {id, name, audio, video, absent}; audio and video are null or {id, track, paused, mid}. Who is absent has not
  // come back yet after a new join.
  peers = new Map();
  sending = null;
  receiving = null;
  peerId = crypto.randomUUID().slice(0, 8);

  #media;
  #name;
  #tcpOnly;
  #protoo;
  // Counts the joins: what an earlier one still awaits is stale.
  #epoch = 0;
  #transports = { sending: null, receiving: null };
  #producers = { audio: null, video: null };
  // Consumer id -> whether it is paused, as the server has told last: a negotiation takes its time, and what it began with
  // may be out of date at its end.
  #paused = new Map();
  // Negotiations of one connection happen one after the other.
  #queues = { sending: Promise.resolve(), receiving: Promise.resolve() };
  #restarts = 0;
  #restarting = false;
  // Whether media has flowed since the last join.
  #everConnected = false;
  #patience = null;
  #absence = null;
  #onMediaChange = () => this.#mediaChanged();
  #onOnline = () => this.#cameOnline();
  #onOffline = () => this.#setTrouble("This device is offline.");

  constructor({ room, name, media, tcpOnly }) {
    super();
    this.#media = media;
    this.#name = name;
    this.#tcpOnly = tcpOnly;
    const url = new URL("/", location.href.replace(/^http/, "ws"));
    url.search = new URLSearchParams({ roomId: room, peerId: this.peerId });
    this.#protoo = new Protoo(url);
    this.#protoo.onRequest = (method, data) => this.#requested(method, data);
    this.#protoo.addEventListener("open", () => this.#join());
    this.#protoo.addEventListener("lost", ({ detail }) => this.#lost(detail));
    this.#protoo.addEventListener("closed", ({ detail }) => this.#end("failed", closedSentence(detail)));
    this.#protoo.addEventListener("notification", ({ detail }) => this.#notified(detail.method, detail.data));
  }

  start() {
    this.#media.addEventListener("changed", this.#onMediaChange);
    addEventListener("online", this.#onOnline);
    addEventListener("offline", this.#onOffline);
    this.#protoo.connect();
  }

  leave() {
    this.#end("left");
  }

  // Tries now what would be tried again later.
  retry() {
    this.#protoo.hurry();
  }

  // As a network failure would.
  dropSocket() {
    this.#protoo.reconnect();
  }

  // A new start for both paths, with everything else kept.
  async restartIce() {
    const epoch = this.#epoch;
    if (!this.sending || this.joins === 0 || !this.#protoo.connected) return;
    try {
      // The one is offered anew by the server, the other by us.
      await Promise.all([
        this.#protoo.request("restartIce", { transportId: this.#transports.receiving }, 5000),
        this.#publish(epoch, { iceRestart: true }),
      ]);
    } catch {
      // The signalling is dead as well, or the server no longer knows us.
      if (epoch === this.#epoch) this.#protoo.reconnect();
    }
  }

  async #join() {
    const epoch = ++this.#epoch;
    this.#dropConnections();
    this.#everConnected = this.#restarting = false;
    this.#restarts = 0;
    const receiving = new RTCPeerConnection(PEER_CONNECTION);
    const sending = new RTCPeerConnection(PEER_CONNECTION);
    this.receiving = receiving;
    this.sending = sending;
    for (const connection of [sending, receiving]) {
      connection.oniceconnectionstatechange = () => this.#pathChanged(epoch);
      connection.onconnectionstatechange = () => this.#pathChanged(epoch);
    }
    try {
      const sdp = await receivableSdp();
      const forceTcp = this.#tcpOnly;
      const transports = await Promise.all([
        this.#protoo.request("createWebRtcTransport", { forceTcp, producing: true, consuming: false }),
        this.#protoo.request("createWebRtcTransport", { forceTcp, producing: false, consuming: true }),
      ]);
      if (epoch !== this.#epoch) return;
      this.#transports = { sending: transports[0].id, receiving: transports[1].id };
      const { peers } = await this.#protoo.request("join", { displayName: this.#name, device: deviceOf(navigator.userAgent), sdp });
      if (epoch !== this.#epoch) return;
      this.#knowPeers(peers);
      for (const kind of ["audio", "video"]) {
        const track = this.#media[`${kind}Track`];
        const stream = new MediaStream(track ? [track] : []);
        const transceiver = sending.addTransceiver(track ?? kind, { direction: "sendonly", streams: [stream] });
        if (kind === "video") await limitBitrate(transceiver.sender);
      }
      await this.#publish(epoch);
      if (epoch !== this.#epoch) return;
      this.joins += 1;
      this.trouble = this.trouble?.media ? { ...this.trouble, retryAt: null } : null;
      this.#setState("joined");
      this.#pathChanged(epoch);
      if (!this.mediaConnected && !this.#restarting) this.#wait(CONNECTING_PATIENCE, () => this.#tellBlocked());
    } catch (error) {
      if (epoch !== this.#epoch || this.state === "left") return;
      if (REFUSALS.includes(error.code)) {
        this.#end("failed", `The server refused to let you in: ${error.message}.`);
        return;
      }
      this.#setTrouble(`Joining did not work: ${error.message}.`);
      // Not at once again: what failed may need its time.
      this.#protoo.reconnect(REJOIN_DELAY);
    }
  }

  #publish(epoch, options = {}) {
    return this.#negotiate("sending", epoch, async () => {
      const connection = this.sending;
      await connection.setLocalDescription(await connection.createOffer(options));
      const senders = connection.getTransceivers().map(({ mid, sender }) => [mid, sender.getParameters().encodings]);
      const answer = await this.#protoo.request("publish", {
        transportId: this.#transports.sending,
        sdp: connection.localDescription.sdp,
        encodings: Object.fromEntries(senders),
      });
      if (epoch !== this.#epoch) return;
      await connection.setRemoteDescription({ type: "answer", sdp: answer.sdp });
      for (const { id, kind } of answer.producers) this.#producers[kind] ??= { id, paused: false };
      await this.#tellPauses();
    });
  }

  #negotiate(which, epoch, work) {
    const turn = this.#queues[which].catch(() => {}).then(() => (epoch === this.#epoch ? work() : undefined));
    this.#queues[which] = turn;
    return turn;
  }

  async #requested(method, data) {
    if (method !== "subscribe") throw new Error(`unknown request "${method}"`);
    const epoch = this.#epoch;
    this.#paused = new Map(data.consumers.map(({ id, producerPaused }) => [id, producerPaused]));
    let answer = null;
    await this.#negotiate("receiving", epoch, async () => {
      const connection = this.receiving;
      await connection.setRemoteDescription({ type: "offer", sdp: data.sdp });
      await connection.setLocalDescription(await connection.createAnswer());
      answer = { sdp: connection.localDescription.sdp };
      this.#knowConsumers(connection, data.consumers);
    });
    if (!answer) throw new Error("this connection is over");
    return answer;
  }

  #notified(method, data) {
    const peer = this.peers.get(data.peerId ?? data.id);
    const consumer = data.consumerId ? this.#consumer(data.consumerId) : null;
    switch (method) {
      case "newPeer":
        this.peers.set(data.id, { audio: null, video: null, ...peer, id: data.id, name: data.displayName, absent: false });
        this.#peersChanged(peer ? {} : { joined: data.displayName });
        break;
      case "peerClosed":
        if (this.peers.delete(data.peerId)) this.#peersChanged({ left: peer.name });
        break;
      case "peerDisplayNameChanged":
        if (peer) peer.name = data.displayName;
        this.#peersChanged();
        break;
      case "consumerPaused":
      case "consumerResumed":
        this.#paused.set(data.consumerId, method === "consumerPaused");
        if (consumer) consumer.paused = method === "consumerPaused";
        this.#peersChanged();
        break;
      case "consumerClosed":
        for (const other of this.peers.values()) {
          if (other.audio?.id === data.consumerId) other.audio = null;
          if (other.video?.id === data.consumerId) other.video = null;
        }
        this.#peersChanged();
        break;
      case "workerDied":
        this.#problem("The media server had a fault. The room is moving to another one.");
        break;
    }
  }

  #consumer(id) {
    for (const { audio, video } of this.peers.values()) {
      if (audio?.id === id) return audio;
      if (video?.id === id) return video;
    }
    return null;
  }

  // After a new join, who is not in the list may be on the way back as well.
  #knowPeers(list) {
    for (const peer of this.peers.values()) Object.assign(peer, { absent: true, audio: silent(peer.audio), video: silent(peer.video) });
    for (const { id, displayName } of list) {
      this.peers.set(id, { audio: null, video: null, ...this.peers.get(id), id, name: displayName, absent: false });
    }
    clearTimeout(this.#absence);
    this.#absence = setTimeout(() => this.#forgetAbsent(), ABSENCE_PATIENCE);
    this.#peersChanged();
  }

  #forgetAbsent() {
    for (const { id, name, absent } of [...this.peers.values()]) {
      if (!absent) continue;
      this.peers.delete(id);
      this.#peersChanged({ left: name });
    }
  }

  // The server's list is complete: what is not in it is gone.
  #knowConsumers(connection, list) {
    for (const peer of this.peers.values()) if (!peer.absent) peer.audio = peer.video = null;
    for (const { id, mid, peerId, kind, producerPaused } of list) {
      const peer = this.peers.get(peerId);
      const transceiver = connection.getTransceivers().find((candidate) => candidate.mid === mid);
      const paused = this.#paused.get(id) ?? producerPaused;
      if (peer && transceiver) peer[kind] = { id, mid, paused, track: transceiver.receiver.track };
    }
    this.#peersChanged();
  }

  async #mediaChanged() {
    const epoch = this.#epoch;
    const senders = this.sending?.getTransceivers().map(({ sender }) => sender) ?? [];
    await Promise.all([
      senders[0]?.replaceTrack(this.#media.audioTrack),
      senders[1]?.replaceTrack(this.#media.videoTrack),
    ]).catch((error) => this.#problem(`The source could not be changed: ${error.message}`));
    if (epoch === this.#epoch) await this.#tellPauses();
  }

  async #tellPauses() {
    for (const [kind, on] of [["audio", this.#media.micOn], ["video", this.#media.camOn]]) {
      const producer = this.#producers[kind];
      if (!producer || producer.paused === !on) continue;
      producer.paused = !on;
      await this.#protoo.request(on ? "resumeProducer" : "pauseProducer", { producerId: producer.id }).catch(() => {});
    }
  }

  // A path that fails gets a new start; one that goes on failing, a new join.
  #pathChanged(epoch) {
    if (epoch !== this.#epoch || !this.sending) return;
    // Nothing has been offered to a connection without a description.
    const paths = [this.sending, this.receiving].filter(({ remoteDescription }) => remoteDescription);
    const connected = paths.length > 0 && paths.every(({ connectionState }) => connectionState === "connected");
    const changed = this.mediaConnected !== connected;
    this.mediaConnected = connected;
    if (paths.some(encryptionFailed)) {
      this.#setTrouble("The encrypted connection to the server failed.", { media: true });
      this.#protoo.reconnect();
    } else if (paths.some(pathFailed)) {
      // Browsers report one failure several times.
      if (!this.#restarting) this.#restartPath(epoch);
    } else if (paths.some(({ iceConnectionState }) => iceConnectionState === "disconnected")) {
      this.#setState("reconnecting");
      this.#wait(DISCONNECTED_PATIENCE, () => this.#restartPath(epoch));
    } else if (connected && this.joins > 0 && this.#protoo.connected) {
      this.#wait(null);
      this.#restarts = 0;
      this.#restarting = false;
      this.#everConnected = true;
      if (this.trouble?.media) this.trouble = null;
      if (this.state === "reconnecting") this.#requestKeyFrames();
      this.#setState("joined");
    }
    if (changed) this.#stateChanged();
  }

  // What got lost meanwhile is missing from every picture until the next whole one, for which a browser waits seconds
  // before it asks.
  #requestKeyFrames() {
    for (const { video } of this.peers.values()) {
      if (video && !video.paused) this.#protoo.request("requestConsumerKeyFrame", { consumerId: video.id }).catch(() => {});
    }
  }

  #restartPath(epoch) {
    if (epoch !== this.#epoch) return;
    this.#restarts += 1;
    this.#restarting = true;
    // The first time it may have been the network, which has changed.
    if (this.#restarts >= FAILURES_TO_TELL || !this.#everConnected) this.#tellBlocked();
    if (this.#restarts > RESTARTS_BEFORE_REJOIN) {
      this.#protoo.reconnect();
      return;
    }
    this.#setState("reconnecting");
    this.restartIce();
    this.#wait(CONNECTING_PATIENCE, () => {
      if (!this.mediaConnected) this.#restartPath(epoch);
    });
  }

  #tellBlocked() {
    const address = serverAddress(this.sending);
    const ports = address ? `its ports, such as ${address}` : "its ports";
    this.#setTrouble(`No media gets through to the server. A firewall may block ${ports}.`, { media: true });
  }

  // One thing is waited for at a time.
  #wait(time, then) {
    clearTimeout(this.#patience);
    this.#patience = time === null ? null : setTimeout(then, time);
  }

  #cameOnline() {
    if (this.trouble && !this.trouble.media) this.#setTrouble(null);
    if (this.#protoo.connected) this.restartIce();
    else this.#protoo.hurry();
  }

  #lost({ code, reason, delay, failures }) {
    this.#epoch += 1;
    this.#wait(null);
    this.mediaConnected = false;
    if (this.state === "left" || this.state === "failed") return;
    const retryAt = performance.now() + delay;
    if (code === GIVEN_UP && this.trouble) this.trouble = { ...this.trouble, retryAt };
    else if (!navigator.onLine) this.#setTrouble("This device is offline.", { retryAt });
    else if (failures >= FAILURES_TO_TELL) this.#setTrouble(lostSentence(code, reason), { retryAt });
    this.#setState(this.joins ? "reconnecting" : "connecting");
  }

  #end(state, failure = null) {
    if (this.state === "left" || this.state === "failed") return;
    this.#epoch += 1;
    this.#wait(null);
    clearTimeout(this.#absence);
    this.#media.removeEventListener("changed", this.#onMediaChange);
    removeEventListener("online", this.#onOnline);
    removeEventListener("offline", this.#onOffline);
    this.#protoo.close();
    this.#dropConnections();
    this.peers.clear();
    this.trouble = null;
    this.failure = failure;
    this.#setState(state);
  }

  #dropConnections() {
    this.sending?.close();
    this.receiving?.close();
    this.sending = this.receiving = null;
    this.#producers = { audio: null, video: null };
  }

  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.#stateChanged();
  }

  #setTrouble(sentence, { retryAt = null, media = false } = {}) {
    this.trouble = sentence && { sentence, retryAt, media };
    this.#stateChanged();
  }

  #stateChanged() {
    this.dispatchEvent(new Event("state"));
  }

  #peersChanged(detail = {}) {
    this.dispatchEvent(new CustomEvent("peers", { detail }));
  }

  #problem(sentence) {
    this.dispatchEvent(new CustomEvent("problem", { detail: sentence }));
  }
}

// What this browser can receive, as the offer of a connection that is never made.
async function receivableSdp() {
  const probe = new RTCPeerConnection(PEER_CONNECTION);
  probe.addTransceiver("audio", { direction: "recvonly" });
  probe.addTransceiver("video", { direction: "recvonly" });
  const { sdp } = await probe.createOffer();
  probe.close();
  return sdp;
}

// One layer for everybody: more than this would swamp the slowest.
async function limitBitrate(sender) {
  const parameters = sender.getParameters();
  if (!parameters.encodings?.length) return;
  parameters.encodings[0].maxBitrate = 1_500_000;
  await sender.setParameters(parameters).catch(() => {});
}

// DTLS is judged by itself: when it is ICE that fails, browsers call the whole connection failed as well.
function encryptionFailed(connection) {
  return connection.getTransceivers().some(({ sender, receiver }) => [sender, receiver].some(({ transport }) => transport?.state === "failed"));
}

function pathFailed({ iceConnectionState, connectionState }) {
  return iceConnectionState === "failed" || connectionState === "failed";
}

// Where the server wants the media, "address:port", or null. (A candidate: foundation, component, protocol, priority,
// address, port.)
function serverAddress(connection) {
  const [, address, port] = /^a=candidate:\S+ \d+ \S+ \d+ (\S+) (\d+) /m.exec(connection?.remoteDescription?.sdp ?? "") ?? [];
  if (!address) return null;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

// What has ended may still be shown, as something that does not move.
function silent(stream) {
  return stream && { ...stream, track: null };
}

function lostSentence(code, reason) {
  return reason && code !== GIVEN_UP ? `The server says: ${reason}.` : "The server cannot be reached.";
}

function closedSentence(reason) {
  if (!reason) return "The server ended the conversation.";
  if (reason.startsWith("this peer")) return "You joined again from another window, so this one has left.";
  return `The server refused to let you in: ${reason}.`;
}

// Text that has at most `longest` of what `size` counts, cut between characters.
function cut(text, longest, size) {
  const characters = [...text];
  while (size(characters.join("")) > longest) characters.pop();
  return characters.join("");
}

// As the server will know them.
export const cutName = (name) => cut(name, LONGEST_NAME, (text) => [...text].length);
export const cutRoom = (room) => cut(room, LONGEST_ROOM, (text) => new TextEncoder().encode(text).length);

function deviceOf(userAgent) {
  const found = /(Firefox|Edg|OPR|Chrome|Version)\/([\d.]+)/.exec(userAgent);
  const names = { Edg: "Edge", OPR: "Opera", Version: "Safari" };
  const name = names[found?.[1]] ?? found?.[1] ?? "Unknown browser";
  return { flag: name.toLowerCase(), name, version: found?.[2] ?? "" };
}
