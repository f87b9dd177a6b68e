// One page with mediasoup-client, and the server's side of what it has.

import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";

import { Relay } from "./relay.mjs";
import { Progress, watchPage } from "./watch.mjs";

const LIMIT = 15_000;
const POLL_INTERVAL = 50;

// What both ends have: `server` is the object of the library mediasoup, `evaluate` runs a function in the page with the
// object of mediasoup-client.
class Shared {
  client;
  server;
  #handle;

  constructor(client, server, handle) {
    Object.assign(this, { client, server });
    this.#handle = handle;
  }

  get id() {
    return this.server.id;
  }

  // Runs `body(object, argument)` in the page.
  evaluate(body, argument) {
    return this.#handle.evaluate(body, argument);
  }

  // Waits until `condition(object, argument)` holds in the page; it may be asynchronous.
  async until(what, condition, argument, limit = LIMIT) {
    const end = performance.now() + limit;
    while (!(await this.evaluate(condition, argument))) {
      if (performance.now() > end) assert.fail(`${this.client.name}: not within ${limit} ms: ${what}; ${JSON.stringify(await this.told())}`);
      await setTimeout(POLL_INTERVAL);
    }
  }

  // What the browser's getStats() has of it, as an array of reports.
  reports() {
    return this.evaluate(async (object) => [...(await object.getStats()).values()]);
  }

  // What may explain why nothing came of waiting: the reports without certificates and codecs.
  async told() {
    const told = ({ type }) => ["inbound-rtp", "outbound-rtp", "data-channel", "transport"].includes(type);
    return this.reports().then((reports) => reports.filter(told), (error) => `${error}`);
  }
}

export class ClientTransport extends Shared {
  // What stands between the two, when asked for.
  relay;
  // What the library made on the page's request, by id.
  made = new Map();

  // What the page's transport asks of the server.
  async handle(method, data) {
    switch (method) {
      case "connect":
        return this.server.connect(data);
      case "produce":
        return this.#made(await this.server.produce(data));
      case "produceData":
        return this.#made(await this.server.produceData(data));
      default:
        throw new Error(`no method ${method}`);
    }
  }

  #made(entity) {
    this.made.set(entity.id, entity);
    return { id: entity.id };
  }

  // The candidate pair in use: `localCandidate` and `remoteCandidate` are reports too.
  async path() {
    const reports = new Map((await this.reports()).map((report) => [report.id, report]));
    const { selectedCandidatePairId } = [...reports.values()].find(({ type }) => type === "transport") ?? {};
    // Firefox marks the pair instead.
    const pair = reports.get(selectedCandidatePairId) ?? [...reports.values()].find(({ type, selected }) => type === "candidate-pair" && selected);
    return pair && { ...pair, localCandidate: reports.get(pair.localCandidateId), remoteCandidate: reports.get(pair.remoteCandidateId) };
  }

  // Both ends of it agree on new ICE credentials.
  async restartIce() {
    const iceParameters = await this.server.restartIce();
    await this.evaluate((transport, iceParameters) => transport.restartIce({ iceParameters }), iceParameters);
  }

  connected() {
    return this.until("it is connected", ({ connectionState }) => connectionState === "connected");
  }
}

class Stream extends Shared {
  // What happens during `duration` milliseconds.
  async watch(duration) {
    return new Progress(await this.evaluate(watchPage, duration));
  }

  async #on(method) {
    await this.evaluate((object, method) => object[method](), method);
  }

  // The browser's side alone; the server's is `.server.pause()`.
  pause() {
    return this.#on("pause");
  }

  resume() {
    return this.#on("resume");
  }

  // Closes both sides, as an application does: the page first, which tells its server.
  async close() {
    await this.#on("close");
    this.server.close();
  }
}

export class ClientProducer extends Stream {
  // The reports of what is sent, of each layer, the smallest first; `codec` is its MIME type.
  async stats() {
    const streams = streamReports(await this.reports(), "outbound-rtp");
    return streams.sort((a, b) => (a.frameWidth ?? 0) - (b.frameWidth ?? 0));
  }

  async replaceTrack(source) {
    const { kind } = this.server;
    await this.evaluate((producer, source) => window.client.replaceTrack(producer, source), source && { kind, ...source });
  }
}

export class ClientConsumer extends Stream {
  // The report of what is received; `codec` is its MIME type.
  async stats() {
    return streamReports(await this.reports(), "inbound-rtp")[0] ?? {};
  }

  // Waits until sound or pictures come out of the decoder.
  plays(limit) {
    const decoded = async (consumer) => {
      const reports = [...(await consumer.getStats()).values()];
      return reports.some(({ type, framesDecoded, totalAudioEnergy }) => type === "inbound-rtp" && (framesDecoded > 0 || totalAudioEnergy > 0));
    };
    return this.until(`${this.server.kind} is decoded`, decoded, undefined, limit);
  }

  // Waits until pictures of this width are decoded.
  async shows(width, limit) {
    const same = async (consumer, width) => [...(await consumer.getStats()).values()].some((report) => report.type === "inbound-rtp" && report.frameWidth === width);
    await this.until(`pictures ${width} wide are decoded`, same, width, limit);
  }
}

class Channel extends Shared {
  opened() {
    return this.until("it is open", ({ readyState }) => readyState === "open");
  }

  told() {
    return this.evaluate(({ readyState, messages }) => ({ readyState, lengths: messages?.map(({ length, byteLength }) => length ?? byteLength) }));
  }
}

export class ClientDataProducer extends Channel {
  // Sends text, or an array of the values of bytes.
  async sendMessage(message) {
    await this.evaluate((dataProducer, message) => dataProducer.send(typeof message === "string" ? message : new Uint8Array(message)), message);
  }
}

export class ClientDataConsumer extends Channel {
  // What has arrived, each as text or as an array of the values of bytes.
  messages() {
    return this.evaluate(({ messages }) => messages.map((message) => (typeof message === "string" ? message : [...new Uint8Array(message)])));
  }

  // Waits until so many have arrived.
  receives(count, limit) {
    return this.until(`${count} messages`, ({ messages }, count) => messages.length >= count, count, limit);
  }
}

export class Client {
  name;
  page;
  router;
  transports = new Map();
  send;
  recv;
  #address;

  constructor(name, page, router, address) {
    Object.assign(this, { name, page, router });
    this.#address = address;
  }

  async open(url) {
    await this.page.open(url);
    await this.page.evaluate((capabilities) => window.client.load(capabilities), this.router.rtpCapabilities);
  }

  async close() {
    await this.page.close();
    await Promise.all([...this.transports.values()].map(({ relay }) => relay?.close()));
  }

  assertNoErrors() {
    assert.deepEqual(this.page.errors, [], `errors in ${this.name}'s page`);
  }

  // What its page wrote, to be told with a failure.
  log() {
    const lines = [...this.page.errors, ...this.page.said];
    return lines.length > 0 ? `\n--- ${this.name}'s page ---\n${lines.slice(-40).join("\n")}` : "";
  }

  // Makes a transport at both ends, which connects when it is first used. `direction` is "send" or "recv", `options` those
  // of Router.createWebRtcTransport(), which is on loopback and UDP unless they say otherwise; with `relayed`, a Relay
  // stands between, and `settings` are further options of the page's side. It becomes the one that `produce` or `consume`
  // use, which make one when there is none.
  async transport(direction, options = {}, { relayed = false, ...settings } = {}) {
    const address = options.webRtcServer ? {} : { listenIps: [this.#address], enableUdp: true, enableTcp: false };
    const server = await this.router.createWebRtcTransport({ ...address, ...options });
    const { id, iceParameters, dtlsParameters, sctpParameters } = server;
    let { iceCandidates } = server;
    let relay;
    if (relayed) {
      const [candidate] = iceCandidates.filter(({ protocol }) => protocol === "udp");
      relay = await Relay.before(candidate.port);
      iceCandidates = [{ ...candidate, port: relay.port }];
    }
    const parameters = { id, iceParameters, iceCandidates, dtlsParameters, sctpParameters, ...settings };
    const create = ({ direction, parameters }) => window.client.createTransport(direction, parameters);
    const handle = await this.page.evaluateHandle(create, { direction, parameters });
    const transport = new ClientTransport(this, server, handle);
    transport.relay = relay;
    this.transports.set(id, transport);
    this[direction] = transport;
    return transport;
  }

  // Sends a track. `source` says of what (see the README), `options` are those of mediasoup-client's Transport.produce(),
  // but `codec` is a MIME type.
  async produce(source, options = {}) {
    const transport = this.send ?? (await this.transport("send"));
    const produce = ({ id, source, options }) => window.client.produce(id, source, options);
    const handle = await this.page.evaluateHandle(produce, { id: transport.id, source, options });
    return this.#both(ClientProducer, transport, handle);
  }

  // Receives what `producer`, of any client or of the library, sends. `options` are those of Transport.consume() in the
  // library. As an application does, the server's side starts paused and is resumed when the page is ready, unless
  // `options` have `paused`. `without` are URIs of header extensions that the page shall seem not to know.
  async consume(producer, { without = [], ...options } = {}) {
    const transport = this.recv ?? (await this.transport("recv"));
    const rtpCapabilities = await this.page.evaluate(() => window.client.device.recvRtpCapabilities);
    rtpCapabilities.headerExtensions = rtpCapabilities.headerExtensions.filter(({ uri }) => !without.includes(uri));
    const server = await transport.server.consume({ producerId: producer.id, rtpCapabilities, paused: true, ...options });
    const { id, producerId, kind, rtpParameters } = server;
    const consume = ({ transportId, parameters }) => window.client.consume(transportId, parameters);
    const parameters = { id, producerId, kind, rtpParameters };
    const handle = await this.page.evaluateHandle(consume, { transportId: transport.id, parameters });
    if (options.paused === undefined) await server.resume();
    return new ClientConsumer(this, server, handle);
  }

  // Opens a data channel to the server; `options` are those of mediasoup-client's Transport.produceData().
  async produceData(options = {}) {
    const transport = this.send ?? (await this.transport("send", { enableSctp: true }));
    const produce = ({ id, options }) => window.client.produceData(id, options);
    const handle = await this.page.evaluateHandle(produce, { id: transport.id, options });
    return this.#both(ClientDataProducer, transport, handle);
  }

  // Opens a data channel from the server; `options` are those of Transport.consumeData() in the library.
  async consumeData(dataProducer, options = {}) {
    const transport = this.recv ?? (await this.transport("recv", { enableSctp: true }));
    const server = await transport.server.consumeData({ dataProducerId: dataProducer.id, ...options });
    const { id, dataProducerId, sctpStreamParameters, label, protocol } = server;
    const consume = ({ transportId, parameters }) => window.client.consumeData(transportId, parameters);
    const parameters = { id, dataProducerId, sctpStreamParameters, label, protocol };
    const handle = await this.page.evaluateHandle(consume, { transportId: transport.id, parameters });
    return new ClientDataConsumer(this, server, handle);
  }

  async #both(Kind, transport, handle) {
    const id = await handle.evaluate(({ id }) => id);
    return new Kind(this, transport.made.get(id), handle);
  }
}

// The reports of this type, each with the MIME type of its codec.
function streamReports(reports, type) {
  const codecs = new Map(reports.filter(({ type }) => type === "codec").map(({ id, mimeType }) => [id, mimeType]));
  return reports.filter((report) => report.type === type).map((report) => ({ ...report, codec: codecs.get(report.codecId) }));
}
