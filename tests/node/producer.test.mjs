// Producers: what they take, their states, and what they tell of the streams that arrive.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { MID, Peer, UUID, audio, createWorker, eventually, mediaCodecs, mediasoup, next, record, rejects, rtp, video } from './fixtures.mjs';

const { UnsupportedError } = mediasoup.types;

let worker, router;
before(async () => {
  worker = await createWorker();
  router = await worker.createRouter({ mediaCodecs: mediaCodecs() });
});
after(() => worker.close());

describe('producers of a transport', () => {
  let transport, sound, picture;
  before(async () => {
    transport = await router.createWebRtcTransport({ listenIps: ['127.0.0.1'] });
    const heard = next(transport.observer, 'newproducer');
    sound = await transport.produce({ ...audio(), appData: { from: 'microphone' } });
    assert.equal(await heard, sound);
    picture = await transport.produce({ ...video(), paused: true });
  });
  after(() => transport.close());

  test('are what was given, with a common CNAME', () => {
    assert.match(sound.id, UUID);
    assert.deepEqual([sound.kind, sound.type, sound.paused, sound.closed, sound.score], ['audio', 'simple', false, false, []]);
    assert.deepEqual([picture.kind, picture.type, picture.paused, picture.closed, picture.score], ['video', 'simple', true, false, []]);
    assert.deepEqual(sound.appData, { from: 'microphone' });
    assert.equal(sound.rtpParameters.codecs[0].payloadType, 111);
    assert.equal(sound.rtpParameters.rtcp.cname, 'studio');
    assert.equal(picture.rtpParameters.rtcp.cname, 'studio');
    // Inside the router they have its payload types and SSRCs of their own.
    const { codecs, encodings } = picture.consumableRtpParameters;
    assert.deepEqual(codecs.map(({ mimeType, payloadType }) => [mimeType, payloadType]), [['video/VP8', 101], ['video/rtx', 102]]);
    assert.notEqual(encodings[0].ssrc, 2222);
  });

  test('are known to the transport and the router', async () => {
    const dump = await transport.dump();
    assert.deepEqual([...dump.producerIds].sort(), [sound.id, picture.id].sort());
    assert.deepEqual(dump.rtpListener, {
      ssrcTable: { 1111: sound.id, 2222: picture.id, 2223: picture.id }, midTable: { sound: sound.id }, ridTable: {}
    });
    assert.deepEqual(dump.recvRtpHeaderExtensions, { mid: 3 });
    assert.deepEqual((await router.dump()).mapProducerIdConsumerIds, { [sound.id]: [], [picture.id]: [] });
  });

  test('dump what was given, in mediasoup\'s form', async () => {
    const dump = await sound.dump();
    assert.deepEqual([dump.id, dump.kind, dump.type, dump.paused, dump.traceEventTypes, dump.rtpStreams], [sound.id, 'audio', 'simple', false, '', []]);
    assert.deepEqual(dump.rtpParameters, {
      mid: 'sound',
      codecs: [{
        mimeType: 'audio/opus', payloadType: 111, clockRate: 48000, channels: 2, parameters: { useinbandfec: 1, usedtx: 1 }, rtcpFeedback: []
      }],
      headerExtensions: [
        { uri: MID, id: 3, encrypt: false, parameters: {} },
        { uri: 'urn:ietf:params:rtp-hdrext:ssrc-audio-level', id: 5, encrypt: false, parameters: {} }
      ],
      encodings: [{ ssrc: 1111, codecPayloadType: 111, dtx: true }],
      rtcp: { cname: 'studio', reducedSize: true }
    });
    assert.deepEqual(dump.rtpMapping.codecs, [{ payloadType: 111, mappedPayloadType: 100 }]);
    assert.deepEqual(dump.rtpMapping.encodings, [{ rid: null, ssrc: 1111, mappedSsrc: sound.consumableRtpParameters.encodings[0].ssrc }]);

    const { rtpParameters, rtpMapping } = await picture.dump();
    assert.deepEqual(rtpParameters.codecs.map(({ mimeType, payloadType }) => [mimeType, payloadType]), [['video/VP8', 96], ['video/rtx', 97]]);
    assert.deepEqual(rtpParameters.codecs[0].rtcpFeedback, [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }, { type: 'ccm', parameter: 'fir' }]);
    assert.deepEqual(rtpParameters.encodings, [{ ssrc: 2222, rtx: { ssrc: 2223 }, codecPayloadType: 96 }]);
    assert.deepEqual(rtpMapping.codecs, [{ payloadType: 96, mappedPayloadType: 101 }, { payloadType: 97, mappedPayloadType: 102 }]);
  });

  test('have no statistics before anything arrives', async () => {
    assert.deepEqual(await sound.getStats(), []);
    assert.deepEqual(await picture.getStats(), []);
  });

  test('can be paused and resumed, twice as well as once', async () => {
    const observed = record(sound.observer, 'pause', 'resume');
    for (const [method, paused] of [['pause', true], ['pause', true], ['resume', false], ['resume', false]]) {
      assert.equal(await sound[method](), undefined);
      assert.equal(sound.paused, paused);
      assert.equal((await sound.dump()).paused, paused);
    }
    assert.deepEqual(observed, ['pause', 'resume']);
  });

  test('trace what they are asked to', async () => {
    await sound.enableTraceEvent(['pli', 'no such type', 'rtp']);
    assert.equal((await sound.dump()).traceEventTypes, 'rtp,pli');
    await sound.enableTraceEvent([]);
    assert.equal((await sound.dump()).traceEventTypes, '');
    await rejects(sound.enableTraceEvent(123), TypeError);
    await rejects(sound.enableTraceEvent(['rtp', 123]), TypeError);
  });

  test('don\'t share SSRCs, MIDs or ids', async () => {
    const before = await transport.dump();
    await rejects(transport.produce(audio({ mid: 'other' })), Error);
    await rejects(transport.produce(audio({ encodings: [{ ssrc: 1112 }] })), Error);
    await rejects(transport.produce(video({ encodings: [{ ssrc: 2224, rtx: { ssrc: 2223 } }] })), Error);
    await rejects(transport.produce({ ...audio({ mid: 'other', encodings: [{ ssrc: 1112 }] }), id: sound.id }), TypeError);
    const elsewhere = await router.createPlainTransport({ listenIp: '127.0.0.1' });
    await rejects(elsewhere.produce({ ...audio(), id: sound.id }), Error);
    elsewhere.close();
    assert.deepEqual(await transport.dump(), before, 'nothing remains of what was refused');
  });
});

test('wrong parameters are a TypeError, codecs that the router lacks an UnsupportedError', async () => {
  const transport = await router.createWebRtcTransport({ listenIps: ['127.0.0.1'] });
  const [{ rtpParameters: sound }, { rtpParameters: picture }] = [audio(), video()];
  const refused = async (options, type) => rejects(transport.produce(options), type);
  await refused({ ...audio(), kind: 'smell' }, TypeError);
  await refused({ kind: 'audio' }, TypeError);
  await refused({ ...audio(), appData: 'microphone' }, TypeError);
  await refused(audio({ codecs: undefined }), TypeError);
  await refused(audio({ codecs: [] }), TypeError);
  await refused(audio({ codecs: [...sound.codecs, ...sound.codecs] }), TypeError);
  await refused(audio({ headerExtensions: [{ uri: MID, id: 0 }] }), TypeError);
  await refused(audio({ encodings: [{ ssrc: 1111, codecPayloadType: 112 }] }), TypeError);
  await refused(audio({ mid: undefined, encodings: [{}] }), TypeError);
  await refused(video({ codecs: [picture.codecs[0], { ...picture.codecs[1], parameters: {} }] }), TypeError);
  await refused(video({ codecs: [picture.codecs[0], { ...picture.codecs[1], parameters: { apt: 97 } }] }), TypeError);
  await refused(video({ codecs: [{ mimeType: 'video/VP9', payloadType: 96, clockRate: 90000 }] }), UnsupportedError);
  await refused(audio({ codecs: [{ ...sound.codecs[0], channels: 1 }] }), UnsupportedError);
  assert.deepEqual((await transport.dump()).producerIds, []);
  transport.close();
});

test('closing a producer frees what it had, and its transport\'s other producers stay', async () => {
  const transport = await router.createWebRtcTransport({ listenIps: ['127.0.0.1'] });
  const [closed, stays] = [await transport.produce(audio()), await transport.produce(video())];
  const observed = record(closed.observer, 'close');
  closed.on('transportclose', () => assert.fail('the transport is not closed'));
  closed.close();
  closed.close();
  assert.equal(closed.closed, true);
  assert.deepEqual(observed, ['close']);
  for (const method of ['dump', 'getStats', 'pause', 'resume']) await rejects(closed[method](), Error);
  assert.deepEqual((await transport.dump()).producerIds, [stays.id]);
  const again = await transport.produce(audio());
  assert.equal(again.closed, false);

  const events = [record(stays, 'transportclose'), record(stays.observer, 'close')];
  transport.close();
  assert.deepEqual(events, [['transportclose'], ['close']]);
  assert.equal(stays.closed, true);
  assert.deepEqual((await router.dump()).mapProducerIdConsumerIds, {});
});

test('what arrives is counted, scored and traced', async () => {
  const transport = await router.createPlainTransport({ listenIp: '127.0.0.1', comedia: true });
  const producer = await transport.produce(audio());
  await producer.enableTraceEvent(['rtp']);
  const peer = await Peer.open();
  const [score, trace] = [next(producer, 'score'), next(producer, 'trace')];
  const packet = n => rtp({ payloadType: 111, sequenceNumber: 100 + n, timestamp: 960 * n, ssrc: 1111, payload: Buffer.alloc(50, 0xfc) });
  for (let n = 0; n < 10; n += 1) peer.send(packet(n), transport.tuple.localPort);

  assert.deepEqual(await score, [{ encodingIdx: 0, ssrc: 1111, score: 10 }]);
  assert.deepEqual(producer.score, await score);
  const { type, direction, timestamp, info } = await trace;
  assert.deepEqual([type, direction, typeof timestamp], ['rtp', 'in', 'number']);
  assert.deepEqual([info.payloadType, info.sequenceNumber, info.ssrc, info.size, info.payloadSize], [111, 100, 1111, 62, 50]);

  const stats = await eventually(() => producer.getStats(), stats => stats[0]?.packetCount >= 10);
  assert.equal(stats.length, 1);
  const [stat] = stats;
  assert.deepEqual(
    [stat.type, stat.kind, stat.mimeType, stat.ssrc, stat.packetCount, stat.byteCount, stat.packetsLost, stat.packetsRetransmitted, stat.score],
    ['inbound-rtp', 'audio', 'audio/opus', 1111, 10, 620, 0, 0, 10]
  );
  assert.ok(stat.bitrate > 0 && stat.jitter >= 0);

  const { rtpStreams } = await producer.dump();
  assert.deepEqual(rtpStreams.map(({ params, score }) => [params.ssrc, params.payloadType, params.mimeType, params.clockRate, params.cname, score]), [
    [1111, 111, 'audio/opus', 48000, 'studio', 10]
  ]);
  const [{ rtpBytesReceived, bytesReceived }] = await transport.getStats();
  assert.deepEqual([rtpBytesReceived, bytesReceived], [620, 620]);
  peer.close();
  transport.close();
});
