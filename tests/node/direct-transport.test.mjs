// DirectTransports: RTP and RTCP between the application and peers.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Peer, UUID, audio, createWorker, eventually, mediaCodecs, next, parseRtp, plainCapabilities, rejects, rtp, until, video } from './fixtures.mjs';

let worker, router;
before(async () => {
  worker = await createWorker();
  router = await worker.createRouter({ mediaCodecs: mediaCodecs() });
});
after(() => worker.close());

// A transport towards a peer on loopback.
async function towards(peer) {
  const transport = await router.createPlainTransport({ listenIp: '127.0.0.1' });
  await transport.connect({ ip: '127.0.0.1', port: peer.port });
  return transport;
}

// A VP8 payload (RFC 7741) that begins a key frame, or another frame.
const frame = (key, text) =>
  Buffer.concat([Buffer.from([0x10, key ? 0x00 : 0x01, 0, 0, 0x9d, 0x01, 0x2a, 16, 0, 16, 0]), Buffer.from(text)]);

test('it says what it is', async () => {
  const transport = await router.createDirectTransport({ maxMessageSize: 2000, appData: { recorder: true } });
  assert.match(transport.id, UUID);
  const dump = await transport.dump();
  assert.deepEqual([dump.id, dump.direct, dump.maxMessageSize, dump.producerIds], [transport.id, true, 2000, []]);
  const [stat] = await transport.getStats();
  assert.deepEqual([stat.type, stat.bytesReceived, stat.bytesSent], ['direct-transport', 0, 0]);
  await rejects(router.createDirectTransport({ maxMessageSize: -1 }), TypeError);
  const closed = next(transport.observer, 'close');
  transport.close();
  await closed;
});

test('producer.send() reaches peers, whose feedback comes as rtcp', async () => {
  const [peer, transport] = [await Peer.open(), await router.createDirectTransport()];
  const exit = await towards(peer);
  const producer = await transport.produce(video());
  const consumer = await exit.consume({ producerId: producer.id, rtpCapabilities: plainCapabilities() });
  const send = (sequenceNumber, payload) =>
    producer.send(rtp({ payloadType: 96, sequenceNumber, timestamp: 3000 * sequenceNumber, ssrc: 2222, payload }));
  for (let number = 0; number < 50; number += 1) send(number, frame(number === 0, `picture ${number}`));
  const pictures = () => peer.received.filter(packet => packet[1] < 192 || packet[1] > 223).map(parseRtp);
  await until(peer, () => pictures().length >= 50);
  pictures().forEach(({ payload, ssrc, payloadType }, number) => {
    assert.equal(payload.subarray(11).toString(), `picture ${number}`);
    assert.deepEqual([ssrc, payloadType], [consumer.rtpParameters.encodings[0].ssrc, 101]);
  });
  const [stat] = await producer.getStats();
  assert.deepEqual([stat.type, stat.packetCount, stat.packetsLost], ['inbound-rtp', 50, 0]);

  // RFC 4585, 6.2.1: a NACK for the packet that is left out, from the worker to the application.
  const isNack = packet => packet[1] === 205 && (packet[0] & 0x1f) === 1 && packet.readUInt32BE(8) === 2222;
  const nack = new Promise(resolve => transport.on('rtcp', packet => { if (isNack(packet)) resolve(packet); }));
  send(51, frame(false, 'after a gap'));
  assert.equal((await nack).readUInt16BE(12), 50);
  transport.close();
  exit.close();
  peer.close();
});

test('consumers hand over what peers send, and sendRtcp() goes to them', async () => {
  const [peer, transport] = [await Peer.open(), await router.createDirectTransport()];
  const entrance = await router.createPlainTransport({ listenIp: '127.0.0.1', comedia: true });
  const producer = await entrance.produce(video());
  const consumer = await transport.consume({ producerId: producer.id, rtpCapabilities: router.rtpCapabilities });
  const packets = [];
  consumer.on('rtp', packet => { packets.push(parseRtp(packet)); peer.emit('packet'); });
  for (let number = 100; number < 120; number += 1) {
    const payload = frame(number === 100, `picture ${number}`);
    peer.send(rtp({ payloadType: 96, sequenceNumber: number, timestamp: 0, ssrc: 2222, payload }), entrance.tuple.localPort);
  }
  await until(peer, () => packets.length >= 20);
  assert.deepEqual(packets.map(({ payload }) => payload.subarray(11).toString()), Array.from({ length: 20 }, (_, index) => `picture ${index + 100}`));
  const { ssrc } = consumer.rtpParameters.encodings[0];
  assert.ok(packets.every(packet => packet.ssrc === ssrc && packet.payloadType === 101));
  const [stat] = await transport.getStats();
  assert.ok(stat.rtpBytesSent > 20 * 20);

  // RFC 4585, 6.3.1: the application loses the picture, and the peer is asked for a new one.
  const pli = Buffer.alloc(12);
  pli.set([0x81, 206, 0, 2]);
  pli.writeUInt32BE(ssrc, 8);
  transport.sendRtcp(pli);
  await until(peer, () => peer.received.some(packet => packet[1] === 206 && packet.readUInt32BE(8) === 2222));
  transport.close();
  entrance.close();
  peer.close();
});

test('packets over 1600 bytes and what is no RTP are left out', async () => {
  const transport = await router.createDirectTransport();
  const producer = await transport.produce(audio());
  const send = (sequenceNumber, bytes) =>
    producer.send(rtp({ payloadType: 111, sequenceNumber, ssrc: 1111, payload: Buffer.alloc(bytes, 1) }));
  send(1, 1589);
  producer.send(Buffer.from('no RTP, but long enough to be some'));
  producer.send(Buffer.alloc(0));
  send(1, 1588);
  const [stat] = await eventually(() => producer.getStats(), stats => stats.length > 0);
  assert.deepEqual([stat.packetCount, stat.byteCount], [1, 1600]);
  transport.close();
});
