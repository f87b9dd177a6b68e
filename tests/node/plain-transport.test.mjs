// PlainTransports: addresses, who may say them, SRTP keys, refusals.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Peer, UUID, audio, createWorker, eventually, mediaCodecs, next, record, rejects, rtp, senderReport } from './fixtures.mjs';

let worker, router;
before(async () => {
  worker = await createWorker();
  router = await worker.createRouter({ mediaCodecs: mediaCodecs() });
});
after(() => worker.close());

const plain = (options = {}) => router.createPlainTransport({ listenIp: '127.0.0.1', ...options });

const KEY_BYTES = { AES_CM_128_HMAC_SHA1_80: 30, AES_CM_128_HMAC_SHA1_32: 30, AEAD_AES_128_GCM: 28, AEAD_AES_256_GCM: 44 };
const keyOf = cryptoSuite => ({ cryptoSuite, keyBase64: Buffer.alloc(KEY_BYTES[cryptoSuite], 7).toString('base64') });

test('it says where it listens, before anybody is known', async () => {
  const heard = next(router.observer, 'newtransport');
  const transport = await plain({ listenIp: { ip: '127.0.0.1', announcedIp: '203.0.113.5' }, rtcpMux: false, appData: { peer: 'ffmpeg' } });
  assert.equal(await heard, transport);
  assert.match(transport.id, UUID);
  assert.deepEqual(transport.appData, { peer: 'ffmpeg' });
  for (const tuple of [transport.tuple, transport.rtcpTuple]) {
    const { localPort } = tuple;
    assert.ok(localPort >= 10000 && localPort <= 29999);
    assert.deepEqual(tuple, { localIp: '203.0.113.5', localPort, protocol: 'udp' });
  }
  assert.notEqual(transport.tuple.localPort, transport.rtcpTuple.localPort);
  assert.deepEqual([transport.srtpParameters, transport.sctpParameters, transport.sctpState], [undefined, undefined, undefined]);

  const dump = await transport.dump();
  assert.deepEqual(
    [dump.id, dump.direct, dump.rtcpMux, dump.comedia, dump.tuple, dump.rtcpTuple],
    [transport.id, false, false, false, transport.tuple, transport.rtcpTuple]
  );
  const [stat] = await transport.getStats();
  assert.deepEqual(
    [stat.type, stat.transportId, stat.rtcpMux, stat.comedia, stat.tuple, stat.bytesReceived, stat.bytesSent],
    ['plain-rtp-transport', transport.id, false, false, transport.tuple, 0, 0]
  );
  transport.close();
});

test('by default RTP and RTCP share a port', async () => {
  const transport = await plain();
  assert.equal(transport.rtcpTuple, undefined);
  const dump = await transport.dump();
  assert.deepEqual([dump.rtcpMux, dump.rtcpTuple], [true, undefined]);
  transport.close();
});

describe('connect()', () => {
  test('tells it the other end', async () => {
    const transport = await plain({ rtcpMux: false });
    await transport.connect({ ip: '127.0.0.1', port: 9002, rtcpPort: 9003 });
    const { tuple, rtcpTuple } = transport;
    assert.deepEqual([tuple.remoteIp, tuple.remotePort, tuple.protocol], ['127.0.0.1', 9002, 'udp']);
    assert.deepEqual([rtcpTuple.remoteIp, rtcpTuple.remotePort, rtcpTuple.protocol], ['127.0.0.1', 9003, 'udp']);
    const dump = await transport.dump();
    assert.deepEqual([dump.tuple, dump.rtcpTuple], [tuple, rtcpTuple]);
    await rejects(transport.connect({ ip: '127.0.0.1', port: 9004, rtcpPort: 9005 }), Error);
    assert.deepEqual(transport.tuple, tuple);
    transport.close();
  });

  test('refuses half an address', async () => {
    const muxed = await plain();
    await rejects(muxed.connect({}), TypeError);
    await rejects(muxed.connect({ ip: '127.0.0.1' }), TypeError);
    await rejects(muxed.connect({ port: 9002 }), TypeError);
    await rejects(muxed.connect({ ip: '127.0.0', port: 9002 }), TypeError);
    await rejects(muxed.connect({ ip: '127.0.0.1', port: 9002, rtcpPort: 9003 }), TypeError);
    await rejects(muxed.connect({ ip: '127.0.0.1', port: 9002, srtpParameters: keyOf('AES_CM_128_HMAC_SHA1_80') }), TypeError);
    await muxed.connect({ ip: '127.0.0.1', port: 9002 });
    muxed.close();
    const separate = await plain({ rtcpMux: false });
    await rejects(separate.connect({ ip: '127.0.0.1', port: 9002 }), TypeError);
    separate.close();
  });
});

test('with comedia the other end is whoever sends first', async () => {
  const transport = await plain({ rtcpMux: false, comedia: true });
  const producer = await transport.produce(audio());
  const [sender, reporter, stranger] = [await Peer.open(), await Peer.open(), await Peer.open()];
  const observed = record(transport.observer, 'tuple', 'rtcptuple');
  const packet = (sequenceNumber, ssrc = 1111) => rtp({ payloadType: 111, sequenceNumber, ssrc, payload: Buffer.from([0xfc]) });

  const tuple = next(transport, 'tuple');
  sender.send(packet(1), transport.tuple.localPort);
  assert.deepEqual(await tuple, {
    localIp: '127.0.0.1', localPort: transport.tuple.localPort, remoteIp: '127.0.0.1', remotePort: sender.port, protocol: 'udp'
  });
  assert.deepEqual(transport.tuple, await tuple);

  const rtcpTuple = next(transport, 'rtcptuple');
  reporter.send(senderReport(1111), transport.rtcpTuple.localPort);
  assert.equal((await rtcpTuple).remotePort, reporter.port);
  assert.equal(transport.rtcpTuple.remotePort, reporter.port);
  assert.deepEqual(observed, ['tuple', 'rtcptuple']);

  // Who comes second is not listened to. The sender's next packet is the proof that the stranger's has been seen.
  const before = (await transport.getStats())[0].rtpBytesReceived;
  stranger.send(packet(2), transport.tuple.localPort);
  sender.send(packet(3), transport.tuple.localPort);
  const [stats] = await eventually(() => transport.getStats(), ([stats]) => stats.rtpBytesReceived !== before);
  assert.equal(stats.rtpBytesReceived - before, 13, 'one packet of 13 bytes');
  assert.equal(transport.tuple.remotePort, sender.port);
  assert.equal((await producer.getStats())[0].packetCount, 2);
  assert.equal((await transport.getStats())[0].rtcpTuple.remotePort, reporter.port);
  for (const peer of [sender, reporter, stranger]) peer.close();
  transport.close();
});

describe('SRTP', () => {
  test('has a key of the right length for each suite', async () => {
    for (const [srtpCryptoSuite, bytes] of Object.entries(KEY_BYTES)) {
      const transport = await plain({ enableSrtp: true, srtpCryptoSuite });
      const { cryptoSuite, keyBase64 } = transport.srtpParameters;
      assert.equal(cryptoSuite, srtpCryptoSuite);
      assert.equal(Buffer.from(keyBase64, 'base64').length, bytes, srtpCryptoSuite);
      assert.deepEqual((await transport.dump()).srtpParameters, transport.srtpParameters);
      await transport.connect({ ip: '127.0.0.1', port: 9002, srtpParameters: keyOf(srtpCryptoSuite) });
      assert.deepEqual(transport.srtpParameters, { cryptoSuite, keyBase64 }, 'its own key stays');
      transport.close();
    }
  });

  test('takes the suite of the other end, with a key that fits it', async () => {
    const transport = await plain({ enableSrtp: true });
    assert.equal(transport.srtpParameters.cryptoSuite, 'AES_CM_128_HMAC_SHA1_80');
    await transport.connect({ ip: '127.0.0.1', port: 9002, srtpParameters: keyOf('AEAD_AES_256_GCM') });
    const { cryptoSuite, keyBase64 } = transport.srtpParameters;
    assert.equal(cryptoSuite, 'AEAD_AES_256_GCM');
    assert.equal(Buffer.from(keyBase64, 'base64').length, 44);
    transport.close();
  });

  test('does without neither suite nor key', async () => {
    await rejects(plain({ enableSrtp: true, srtpCryptoSuite: 'ROT13' }), TypeError);
    const transport = await plain({ enableSrtp: true, comedia: true });
    await rejects(transport.connect({}), TypeError);
    await rejects(transport.connect({ srtpParameters: {} }), TypeError);
    await rejects(transport.connect({ srtpParameters: { cryptoSuite: 'ROT13', keyBase64: 'AAAA' } }), TypeError);
    await rejects(transport.connect({ srtpParameters: { cryptoSuite: 'AES_CM_128_HMAC_SHA1_80', keyBase64: 'AAAA' } }), TypeError);
    await rejects(transport.connect({ srtpParameters: { cryptoSuite: 'AES_CM_128_HMAC_SHA1_80' } }), TypeError);
    await transport.connect({ srtpParameters: keyOf('AES_CM_128_HMAC_SHA1_80') });
    transport.close();
  });
});

test('wrong addresses are a TypeError, and addresses or ports that can\'t be had an Error', async () => {
  const before = await router.dump();
  await rejects(router.createPlainTransport({}), TypeError);
  await rejects(plain({ listenIp: '123' }), TypeError);
  await rejects(plain({ listenIp: ['127.0.0.1'] }), TypeError);
  await rejects(plain({ appData: 'ffmpeg' }), TypeError);
  await rejects(plain({ listenIp: '192.0.2.1' }), Error);
  const taken = await Peer.open();
  await rejects(plain({ port: taken.port }), Error);
  taken.close();
  assert.deepEqual(await router.dump(), before, 'nothing remains of what was refused');
});

test('it has no ICE', async () => {
  const transport = await plain();
  assert.equal(transport.iceParameters, undefined);
  assert.equal(transport.restartIce, undefined);
  await transport.setMaxIncomingBitrate(1_000_000);
  await transport.enableTraceEvent(['probation']);
  assert.equal((await transport.dump()).traceEventTypes, 'probation');
  transport.close();
});
