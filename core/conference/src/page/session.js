// One person's stay in a room: the signalling, the connection that sends and the one that receives.
//
// The server makes and answers the SDP. What we send is offered by `publish`; what we receive is offered to us by the
// server's request `subscribe`, whenever somebody comes, goes, or begins to send.
//
// Events: "state" (see `state`), "peers" (somebody came, left, or changed; detail: {joined?, left?} names),
// "problem" (detail: a sentence).

import { Protoo } from "./protoo.js";

const PEER_CONNECTION = { bundlePolicy: "max-bundle", rtcpMuxPolicy: "require", iceServers: [] };
// How long a path may be silent before it is given a new start.
const DISCONNECTED_PATIENCE = 3000;
const RESTARTS_BEFORE_REJOIN = 3;

export class Session extends EventTarget {
  // "connecting", "joined", "reconnecting", "left", "failed"
  state = "connecting";
  joins = 0;
  // id -> {id, name, audio, video}; audio and video are null or {id, track, paused, mid}.
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
  // Negotiations of one connection happen one after the other.
  #queues = { sending: Promise.resolve(), receiving: Promise.resolve() };
  #restarts = 0;
  #patience = null;
  #onMediaChange = () => this.#mediaChanged();
  #onOnline = () => this.#cameOnline();
  #onOffline = () => this.#problem("This device is offline.");

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
    this.#protoo.addEventListener("lost", () => this.#lost());
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
      this.#setState("joined");
    } catch (error) {
      if (epoch !== this.#epoch || this.state === "left") return;
      this.#problem(`Joining did not work: ${error.message}`);
      // Not at once again: what failed may need its time.
      setTimeout(() => { if (epoch === this.#epoch) this.#protoo.reconnect(); }, 2000);
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
        this.peers.set(data.id, { audio: null, video: null, ...peer, id: data.id, name: data.displayName });
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

  #knowPeers(list) {
    this.peers = new Map(list.map(({ id, displayName }) => [id, { id, name: displayName, audio: null, video: null }]));
    this.#peersChanged();
  }

  // The server's list is complete: what is not in it is gone.
  #knowConsumers(connection, list) {
    for (const peer of this.peers.values()) peer.audio = peer.video = null;
    for (const { id, mid, peerId, kind, producerPaused } of list) {
      const peer = this.peers.get(peerId);
      const transceiver = connection.getTransceivers().find((candidate) => candidate.mid === mid);
      if (peer && transceiver) peer[kind] = { id, mid, paused: producerPaused, track: transceiver.receiver.track };
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
    const paths = [this.sending, this.receiving];
    clearTimeout(this.#patience);
    if (paths.some(({ iceConnectionState }) => iceConnectionState === "failed")) {
      this.#restartPath(epoch);
    } else if (paths.some(({ connectionState }) => connectionState === "failed")) {
      this.#problem("The encrypted connection to the server failed. Trying again.");
      this.#protoo.reconnect();
    } else if (paths.some(({ iceConnectionState }) => iceConnectionState === "disconnected")) {
      this.#setState("reconnecting");
      this.#patience = setTimeout(() => this.#restartPath(epoch), DISCONNECTED_PATIENCE);
    } else if (this.joins > 0 && this.state === "reconnecting" && this.#protoo.connected) {
      this.#restarts = 0;
      this.#setState("joined");
    }
  }

  #restartPath(epoch) {
    if (epoch !== this.#epoch) return;
    this.#restarts += 1;
    if (this.#restarts > RESTARTS_BEFORE_REJOIN) {
      this.#restarts = 0;
      this.#problem("No media gets through to the server. A firewall may block its ports. Trying again.");
      this.#protoo.reconnect();
      return;
    }
    this.#setState("reconnecting");
    this.restartIce();
    this.#patience = setTimeout(() => {
      if (this.state === "reconnecting") this.#restartPath(epoch);
    }, 8000);
  }

  #cameOnline() {
    if (this.#protoo.connected) this.restartIce();
    else this.#protoo.hurry();
  }

  #lost() {
    this.#epoch += 1;
    clearTimeout(this.#patience);
    if (this.state !== "left" && this.state !== "failed") this.#setState(this.joins ? "reconnecting" : "connecting");
  }

  #end(state, problem) {
    if (this.state === "left" || this.state === "failed") return;
    this.#epoch += 1;
    clearTimeout(this.#patience);
    this.#media.removeEventListener("changed", this.#onMediaChange);
    removeEventListener("online", this.#onOnline);
    removeEventListener("offline", this.#onOffline);
    this.#protoo.close();
    this.#dropConnections();
    this.peers.clear();
    this.#setState(state);
    if (problem) this.#problem(problem);
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

function closedSentence(reason) {
  return reason?.startsWith("this peer") ? "You joined again from another window, so this one has left." : "The server ended the conversation.";
}

function deviceOf(userAgent) {
  const found = /(Firefox|Edg|OPR|Chrome|Version)\/([\d.]+)/.exec(userAgent);
  const names = { Edg: "Edge", OPR: "Opera", Version: "Safari" };
  const name = names[found?.[1]] ?? found?.[1] ?? "Unknown browser";
  return { flag: name.toLowerCase(), name, version: found?.[2] ?? "" };
}
