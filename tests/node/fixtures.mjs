// What the tests share: codecs, parameters, and peers that send and receive RTP.

import './worker-bin.mjs';
import { after } from 'node:test';
import { EventEmitter, once } from 'node:events';
import dgram from 'node:dgram';
import { setImmediate } from 'node:timers/promises';
import assert from 'node:assert/strict';
import * as mediasoup from 'mediasoup';

export { mediasoup };

// The longest that anything waited for may take, in milliseconds.
export const LIMIT = 10_000;

export const MID = 'urn:ietf:params:rtp-hdrext:sdes:mid';
export const AUDIO_LEVEL = 'urn:ietf:params:rtp-hdrext:ssrc-audio-level';

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

// What routers are made with: Opus becomes payload type 100, VP8 101 with its retransmissions 102.
export const mediaCodecs = () => [
  { kind: 'audio', mimeType: 'audio/opus', clockRate: 48000, channels: 2, parameters: { useinbandfec: 1 } },
  { kind: 'video', mimeType: 'video/VP8', clockRate: 90000 }
];

// A producer of Opus without and one of VP8 with retransmissions, with payload types other than the router's.
export const audio = (changes = {}) => ({
  kind: 'audio',
  rtpParameters: {
    mid: 'sound',
    codecs: [{ mimeType: 'audio/opus', payloadType: 111, clockRate: 48000, channels: 2, parameters: { useinbandfec: 1, usedtx: 1 } }],
    headerExtensions: [{ uri: MID, id: 3 }, { uri: AUDIO_LEVEL, id: 5 }],
    encodings: [{ ssrc: 1111, dtx: true }],
    rtcp: { cname: 'studio' },
    ...changes
  }
});
export const video = (changes = {}) => ({
  kind: 'video',
  rtpParameters: {
    codecs: [
      {
        mimeType: 'video/VP8', payloadType: 96, clockRate: 90000,
        rtcpFeedback: [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }, { type: 'ccm', parameter: 'fir' }]
      },
      { mimeType: 'video/rtx', payloadType: 97, clockRate: 90000, parameters: { apt: 96 } }
    ],
    encodings: [{ ssrc: 2222, rtx: { ssrc: 2223 } }],
    ...changes
  }
});

// What an endpoint without retransmissions receives.
export const plainCapabilities = () => ({
  codecs: [
    { kind: 'audio', mimeType: 'audio/opus', preferredPayloadType: 100, clockRate: 48000, channels: 2 },
    { kind: 'video', mimeType: 'video/VP8', preferredPayloadType: 101, clockRate: 90000,
      rtcpFeedback: [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }] }
  ]
});

// A worker that takes its ports below the ephemeral ones, which the tests' own sockets have.
export async function createWorker(settings = {}) {
  return mediasoup.createWorker({ logLevel: 'warn', rtcMinPort: 10000, rtcMaxPort: 29999, ...settings });
}

// Workers that a failed test has left behind would keep this process from ending.
const workers = new Set();
mediasoup.observer.on('newworker', worker => workers.add(worker));
after(() => { for (const worker of workers) worker.close(); });

// What an emitter emits next under that name; fails when it does not.
export async function next(emitter, event) {
  const values = await once(emitter, event, { signal: AbortSignal.timeout(LIMIT) });
  return values.length > 1 ? values : values[0];
}

// The names of events that an emitter has emitted, in order.
export function record(emitter, ...events) {
  const seen = [];
  for (const event of events) emitter.on(event, () => seen.push(event));
  return seen;
}

// Waits until `done`, which packets that a peer receives may change.
export async function until(peer, done) {
  const signal = AbortSignal.timeout(LIMIT);
  while (!done()) await once(peer, 'packet', { signal });
}

// Asks until the answer is `enough`, and returns it; fails when it is not in time.
export async function eventually(ask, enough) {
  const start = Date.now();
  for (;;) {
    const answer = await ask();
    if (enough(answer)) return answer;
    assert.ok(Date.now() - start < LIMIT, `still ${JSON.stringify(answer)}`);
    // An answer that is there at once must not keep everything else from happening.
    await setImmediate();
  }
}

// Rejects with just that class of error, no subclass: applications tell them apart by it.
export async function rejects(promise, type) {
  const error = await promise.then(() => assert.fail(`resolved instead of rejecting with ${type.name}`), error => error);
  assert.equal(error.constructor, type, `${error.name}: ${error.message}`);
  assert.ok(error.message.length > 0);
  return error;
}

// A UDP socket on loopback that gathers what arrives.
export class Peer extends EventEmitter {
  static async open() {
    const peer = new Peer();
    peer.socket = dgram.createSocket('udp4');
    peer.received = [];
    peer.socket.on('message', (message, from) => {
      peer.received.push(message);
      peer.emit('packet', message, from);
    });
    peer.socket.bind(0, '127.0.0.1');
    await once(peer.socket, 'listening');
    peer.socket.unref();
    return peer;
  }

  get port() { return this.socket.address().port; }

  send(packet, port) { this.socket.send(packet, port, '127.0.0.1'); }

  close() { this.socket.close(); }
}

// An RTP packet (RFC 3550, 5.1).
export function rtp({ payloadType, sequenceNumber, timestamp = 0, ssrc, marker = false, payload }) {
  const header = Buffer.alloc(12);
  header[0] = 0x80;
  header[1] = (marker ? 0x80 : 0) | payloadType;
  header.writeUInt16BE(sequenceNumber, 2);
  header.writeUInt32BE(timestamp, 4);
  header.writeUInt32BE(ssrc, 8);
  return Buffer.concat([header, payload]);
}

export function parseRtp(packet) {
  assert.equal(packet[0] >> 6, 2, 'the version of RTP');
  let offset = 12 + 4 * (packet[0] & 0x0f);
  if (packet[0] & 0x10) offset += 4 + 4 * packet.readUInt16BE(offset + 2);
  return {
    payloadType: packet[1] & 0x7f, marker: packet[1] >= 0x80, sequenceNumber: packet.readUInt16BE(2),
    timestamp: packet.readUInt32BE(4), ssrc: packet.readUInt32BE(8), payload: packet.subarray(offset)
  };
}

// An RTCP sender report without report blocks (RFC 3550, 6.4.1).
export function senderReport(ssrc) {
  const packet = Buffer.alloc(28);
  packet.set([0x80, 200]);
  packet.writeUInt16BE(6, 2);
  packet.writeUInt32BE(ssrc, 4);
  return packet;
}
