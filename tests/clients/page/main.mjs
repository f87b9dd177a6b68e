// The page: mediasoup-client's Device, and sources and sinks of media. The tests drive it through window.client.

import { Device } from "mediasoup-client";

import { serveRemote } from "./remote.mjs";
import { open } from "./sources.mjs";

class Client {
  device;
  transports = new Map();
  producers = new Map();
  consumers = new Map();
  dataProducers = new Map();
  dataConsumers = new Map();

  async load(routerRtpCapabilities) {
    this.device = new Device();
    await this.device.load({ routerRtpCapabilities });
  }

  // `direction` is "send" or "recv"; `options` are those of Device.createSendTransport().
  createTransport(direction, options) {
    const transport = direction === "send" ? this.device.createSendTransport(options) : this.device.createRecvTransport(options);
    const request = (method, data, accept, refuse) => ask(method, { transportId: transport.id, ...data }).then(accept, refuse);
    transport.on("connect", (data, accept, refuse) => request("connect", data, accept, refuse));
    transport.on("produce", (data, accept, refuse) => request("produce", data, accept, refuse));
    transport.on("producedata", (data, accept, refuse) => request("produceData", data, accept, refuse));
    this.transports.set(transport.id, transport);
    return transport;
  }

  // `codec` is a MIME type; the others are options of Transport.produce().
  async produce(transportId, source, { codec, ...options }) {
    const track = await open(source);
    const codecs = this.device.rtpCapabilities.codecs;
    const chosen = codec && codecs.find(({ mimeType }) => mimeType.toLowerCase() === codec.toLowerCase());
    if (codec && !chosen) throw new Error(`no ${codec} in common with the router`);
    const producer = await this.transports.get(transportId).produce({ track, codec: chosen, ...options });
    this.producers.set(producer.id, producer);
    return producer;
  }

  async replaceTrack(producer, source) {
    await producer.replaceTrack({ track: source && (await open(source)) });
  }

  // Plays what is consumed, for a browser decodes no more than is played.
  async consume(transportId, options) {
    const consumer = await this.transports.get(transportId).consume(options);
    const element = document.createElement(consumer.kind);
    element.autoplay = true;
    element.playsInline = true;
    element.srcObject = new MediaStream([consumer.track]);
    consumer.element = element;
    consumer.observer.on("close", () => element.remove());
    document.body.append(element);
    this.consumers.set(consumer.id, consumer);
    return consumer;
  }

  async produceData(transportId, options) {
    const dataProducer = await this.transports.get(transportId).produceData(options);
    this.dataProducers.set(dataProducer.id, dataProducer);
    return dataProducer;
  }

  // What arrives is kept, as text or as an array of bytes, in the order in which it came.
  async consumeData(transportId, options) {
    const dataConsumer = await this.transports.get(transportId).consumeData(options);
    dataConsumer.binaryType = "arraybuffer";
    dataConsumer.messages = [];
    dataConsumer.on("message", (message) => dataConsumer.messages.push(message));
    this.dataConsumers.set(dataConsumer.id, dataConsumer);
    return dataConsumer;
  }
}

// A request to the test, which has the server's side of everything.
async function ask(method, data) {
  const response = await fetch(`/${method}`, { method: "POST", body: JSON.stringify(data) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.reason);
  return answer;
}

window.client = new Client();
serveRemote();
