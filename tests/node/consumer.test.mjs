// Consumers: what they send to whom, their states, and the media that really comes out.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { MID, Peer, UUID, audio, createWorker, eventually, mediaCodecs, mediasoup, next, parseRtp, plainCapabilities, record, rejects, rtp, until, video } from './fixtures.mjs';

const { UnsupportedError } = mediasoup.types;

let worker, router;
before(async () => {
  worker = await createWorker();
  router = await worker.createRouter({ mediaCodecs: mediaCodecs() });
});
after(() => worker.close());

describe('consumers of a transport', () => {
  let from, to, sound, picture, hearing, watching;
  before(async () => {
    [from, to] = [await router.createWebRtcTransport({ listenIps: ['127.0.0.1'] }), await router.createWebRtcTransport({ listenIps: ['127.0.0.1'] })];
    [sound, picture] = [await from.produce(audio()), await from.produce(video())];
    const { rtpCapabilities } = router;
    const heard = next(to.observer, 'newconsumer');
    hearing = await to.consume({ producerId: sound.id, rtpCapabilities, appData: { tile: 3 } });
    assert.equal(await heard, hearing);
    watching = await to.consume({ producerId: picture.id, rtpCapabilities, paused: true });
  });
  after(() => { from.close(); to.close(); });

  test('are what their producers are, for what the endpoint can', () => {
    assert.match(hearing.id, UUID);
    assert.deepEqual(
      [hearing, watching].map(({ kind, type, producerId, paused, producerPaused, priority, closed }) => [kind, type, producerId, paused, producerPaused, priority, closed]),
      [['audio', 'simple', sound.id, false, false, 1, false], ['video', 'simple', picture.id, true, false, 1, false]]
    );
    assert.deepEqual(hearing.appData, { tile: 3 });
    assert.deepEqual(hearing.score, { score: 10, producerScore: 0, producerScores: [0] });
    assert.deepEqual([hearing.preferredLayers, hearing.currentLayers], [undefined, undefined]);

    assert.deepEqual([hearing.rtpParameters.mid, watching.rtpParameters.mid], ['0', '1']);
    assert.deepEqual(hearing.rtpParameters.codecs.map(({ mimeType, payloadType, channels }) => [mimeType, payloadType, channels]), [['audio/opus', 100, 2]]);
    assert.deepEqual(watching.rtpParameters.codecs.map(({ mimeType, payloadType }) => [mimeType, payloadType]), [['video/VP8', 101], ['video/rtx', 102]]);
    assert.equal(hearing.rtpParameters.rtcp.cname, 'studio');
    assert.ok(watching.rtpParameters.headerExtensions.some(({ uri }) => uri === MID));
    const [encoding] = watching.rtpParameters.encodings;
    assert.ok(encoding.ssrc > 0 && encoding.rtx.ssrc > 0 && encoding.ssrc !== encoding.rtx.ssrc);
  });

  test('are known to the transport and the router', async () => {
    const dump = await to.dump();
    assert.deepEqual([...dump.consumerIds].sort(), [hearing.id, watching.id].sort());
    const ssrc = ({ rtpParameters }) => rtpParameters.encodings[0].ssrc;
    assert.deepEqual(dump.mapSsrcConsumerId, { [ssrc(hearing)]: hearing.id, [ssrc(watching)]: watching.id });
    assert.deepEqual(dump.mapRtxSsrcConsumerId, { [watching.rtpParameters.encodings[0].rtx.ssrc]: watching.id });
    const { mapConsumerIdProducerId, mapProducerIdConsumerIds } = await router.dump();
    assert.deepEqual(mapConsumerIdProducerId, { [hearing.id]: sound.id, [watching.id]: picture.id });
    assert.deepEqual(mapProducerIdConsumerIds, { [sound.id]: [hearing.id], [picture.id]: [watching.id] });
  });

  test('dump themselves', async () => {
    const dump = await watching.dump();
    assert.deepEqual(
      [dump.id, dump.producerId, dump.kind, dump.type, dump.paused, dump.producerPaused, dump.priority, dump.traceEventTypes],
      [watching.id, picture.id, 'video', 'simple', true, false, 1, '']
    );
    assert.deepEqual(dump.supportedCodecPayloadTypes, [101]);
    assert.equal(dump.consumableRtpEncodings.length, 1);
    assert.equal(dump.consumableRtpEncodings[0].ssrc, picture.consumableRtpParameters.encodings[0].ssrc);
    const [{ ssrc, rtx }] = watching.rtpParameters.encodings;
    assert.deepEqual(dump.rtpParameters.encodings, [{ ssrc, rtx, codecPayloadType: 101 }]);
    assert.deepEqual(dump.rtpParameters.mid, '1');
    const { params, score, rtxStream } = dump.rtpStream;
    assert.deepEqual([params.ssrc, params.payloadType, params.mimeType, params.clockRate, params.rtxSsrc, params.rtxPayloadType], [ssrc, 101, 'video/VP8', 90000, rtx.ssrc, 102]);
    assert.deepEqual([params.useNack, params.usePli, params.useFir], [true, true, true]);
    assert.deepEqual([score, rtxStream.params.ssrc], [10, rtx.ssrc]);
  });

  test('have statistics from the beginning', async () => {
    const [stat] = await watching.getStats();
    assert.deepEqual(
      [stat.type, stat.kind, stat.mimeType, stat.ssrc, stat.rtxSsrc, stat.packetCount, stat.byteCount, stat.score],
      ['outbound-rtp', 'video', 'video/VP8', watching.rtpParameters.encodings[0].ssrc, watching.rtpParameters.encodings[0].rtx.ssrc, 0, 0, 10]
    );
  });

  test('can be paused and resumed, as can their producers', async () => {
    const observed = record(hearing.observer, 'pause', 'resume');
    await hearing.pause();
    await hearing.pause();
    assert.deepEqual([hearing.paused, (await hearing.dump()).paused], [true, true]);
    await hearing.resume();
    assert.deepEqual([hearing.paused, (await hearing.dump()).paused], [false, false]);

    const paused = next(hearing, 'producerpause');
    await sound.pause();
    await paused;
    assert.deepEqual([hearing.paused, hearing.producerPaused, (await hearing.dump()).producerPaused], [false, true, true]);
    const later = await to.consume({ producerId: sound.id, rtpCapabilities: router.rtpCapabilities });
    assert.equal(later.producerPaused, true);
    later.close();

    const resumed = next(hearing, 'producerresume');
    await sound.resume();
    await resumed;
    assert.deepEqual([hearing.producerPaused, (await hearing.dump()).producerPaused], [false, false]);
    assert.deepEqual(observed, ['pause', 'resume', 'pause', 'resume']);
  });

  test('take a priority, a request for a key frame, and what to trace', async () => {
    await watching.setPriority(2);
    assert.deepEqual([watching.priority, (await watching.dump()).priority], [2, 2]);
    await rejects(watching.setPriority(0), TypeError);
    await rejects(watching.setPriority('high'), TypeError);
    await watching.unsetPriority();
    assert.deepEqual([watching.priority, (await watching.dump()).priority], [1, 1]);
    assert.equal(await watching.requestKeyFrame(), undefined);
    assert.equal(await hearing.requestKeyFrame(), undefined);
    await watching.setPreferredLayers({ spatialLayer: 1 });
    assert.equal(watching.preferredLayers, undefined, 'one stream has no layers');
    await watching.enableTraceEvent(['fir', 'keyframe', 'no such type']);
    assert.equal((await watching.dump()).traceEventTypes, 'keyframe,fir');
    await rejects(watching.enableTraceEvent(123), TypeError);
    await rejects(watching.enableTraceEvent([123]), TypeError);
  });

  test('are refused to whom they are no use', async () => {
    const onlyAudio = { codecs: plainCapabilities().codecs.slice(0, 1) };
    const before = await to.dump();
    await rejects(to.consume({ producerId: picture.id, rtpCapabilities: onlyAudio }), UnsupportedError);
    await rejects(to.consume({ producerId: picture.id, rtpCapabilities: { codecs: [] } }), UnsupportedError);
    await rejects(to.consume({ producerId: picture.id, rtpCapabilities: { codecs: 'all' } }), TypeError);
    await rejects(to.consume({ rtpCapabilities: router.rtpCapabilities }), TypeError);
    await rejects(to.consume({ producerId: 'nobody', rtpCapabilities: router.rtpCapabilities }), Error);
    await rejects(to.consume({ producerId: sound.id, rtpCapabilities: router.rtpCapabilities, appData: 'tile' }), TypeError);
    assert.deepEqual(await to.dump(), before);
  });

  test('close by themselves, with their producers, and with their transports', async () => {
    const consume = (transport, producer) => transport.consume({ producerId: producer.id, rtpCapabilities: router.rtpCapabilities });
    const byItself = await consume(to, sound);
    const observed = record(byItself.observer, 'close');
    byItself.on('producerclose', () => assert.fail('the producer is not closed'));
    byItself.on('transportclose', () => assert.fail('the transport is not closed'));
    byItself.close();
    byItself.close();
    assert.deepEqual([byItself.closed, observed], [true, ['close']]);
    for (const method of ['dump', 'getStats', 'pause', 'resume', 'requestKeyFrame']) await rejects(byItself[method](), Error);
    assert.deepEqual((await router.dump()).mapProducerIdConsumerIds[sound.id], [hearing.id]);

    const producer = await from.produce(audio({ mid: 'second', encodings: [{ ssrc: 3333 }] }));
    const [withProducer, events] = [await consume(to, producer), []];
    events.push(record(withProducer, 'producerclose', 'transportclose'), record(withProducer.observer, 'close'));
    const ended = next(withProducer, 'producerclose');
    producer.close();
    await ended;
    assert.deepEqual([withProducer.closed, events], [true, [['producerclose'], ['close']]]);
    assert.ok(!(await to.dump()).consumerIds.includes(withProducer.id));

    const transport = await router.createWebRtcTransport({ listenIps: ['127.0.0.1'] });
    const withTransport = await consume(transport, sound);
    const heard = [record(withTransport, 'producerclose', 'transportclose'), record(withTransport.observer, 'close')];
    transport.close();
    assert.deepEqual([withTransport.closed, heard], [true, [['transportclose'], ['close']]]);
    assert.deepEqual((await router.dump()).mapProducerIdConsumerIds[sound.id], [hearing.id]);
  });
});

describe('media', () => {
  let entrance, exit, producer, consumer, speaker, listener, sent;
  before(async () => {
    [speaker, listener] = [await Peer.open(), await Peer.open()];
    entrance = await router.createPlainTransport({ listenIp: '127.0.0.1', comedia: true });
    exit = await router.createPlainTransport({ listenIp: '127.0.0.1' });
    await exit.connect({ ip: '127.0.0.1', port: listener.port });
    producer = await entrance.produce(audio());
    consumer = await exit.consume({ producerId: producer.id, rtpCapabilities: plainCapabilities() });
    sent = 0;
  });
  after(() => {
    for (const closed of [entrance, exit, speaker, listener]) closed.close();
  });

  const payload = n => Buffer.from(`the words number ${n}`);
  const say = () => {
    const packet = rtp({ payloadType: 111, sequenceNumber: (65530 + sent) & 0xffff, timestamp: 960 * sent, ssrc: 1111, payload: payload(sent) });
    speaker.send(packet, entrance.tuple.localPort);
    sent += 1;
  };
  // Only RTP: reports share the port.
  const heard = () => listener.received.filter(packet => packet[1] < 192 || packet[1] > 223).map(parseRtp);
  const hear = async count => {
    await until(listener, () => heard().length >= count);
    return heard();
  };
  // Once the producer has counted all, what was to be forwarded is on its way.
  const arrived = () => eventually(() => producer.getStats(), stats => stats[0]?.packetCount >= sent);

  test('comes out as it went in, under the consumer\'s payload type and SSRC, without a gap', async () => {
    const scored = next(consumer, 'score');
    for (let n = 0; n < 20; n += 1) say();
    const packets = await hear(20);
    assert.deepEqual(packets.map(packet => packet.payload.toString()), packets.map((_, n) => payload(n).toString()));
    const [{ ssrc }] = consumer.rtpParameters.encodings;
    for (const [n, packet] of packets.entries()) {
      assert.deepEqual([packet.payloadType, packet.ssrc], [100, ssrc]);
      assert.equal(packet.sequenceNumber, (packets[0].sequenceNumber + n) & 0xffff);
      assert.equal((packet.timestamp - packets[0].timestamp) >>> 0, 960 * n);
    }
    assert.deepEqual(await scored, { score: 10, producerScore: 10, producerScores: [10] });
    assert.deepEqual(consumer.score, await scored);

    const [outbound, inbound] = await consumer.getStats();
    assert.deepEqual([outbound.type, outbound.packetCount, outbound.ssrc], ['outbound-rtp', 20, ssrc]);
    assert.deepEqual([inbound.type, inbound.packetCount, inbound.ssrc], ['inbound-rtp', 20, 1111]);
    const [{ rtpBytesSent, tuple }] = await exit.getStats();
    assert.ok(rtpBytesSent >= 20 * (12 + 18), `${rtpBytesSent} bytes`);
    assert.equal(tuple.remotePort, listener.port);
  });

  test('stops while the consumer or the producer is paused, and goes on without a gap', async () => {
    let count = heard().length;
    for (const [name, entity] of [['consumer', consumer], ['producer', producer]]) {
      const before = heard().at(-1);
      await entity.pause();
      say();
      await arrived();
      await entity.resume();
      say();
      const packets = await hear(count + 1);
      assert.equal(packets.length, count + 1, `paused ${name}`);
      const last = packets.at(-1);
      assert.equal(last.payload.toString(), payload(sent - 1).toString(), `what was said while the ${name} was paused is not repeated`);
      assert.equal(last.sequenceNumber, (before.sequenceNumber + 1) & 0xffff);
      count += 1;
    }
  });

  test('of an unknown SSRC or payload type goes nowhere', async () => {
    const count = heard().length;
    const stranger = rtp({ payloadType: 111, sequenceNumber: 1, ssrc: 9999, payload: payload('x') });
    const format = rtp({ payloadType: 77, sequenceNumber: (65530 + sent) & 0xffff, timestamp: 960 * sent, ssrc: 1111, payload: payload('y') });
    sent += 1;
    speaker.send(stranger, entrance.tuple.localPort);
    speaker.send(format, entrance.tuple.localPort);
    say();
    const packets = await hear(count + 1);
    assert.equal(packets.length, count + 1);
    assert.equal(packets.at(-1).payload.toString(), payload(sent - 1).toString());
  });

  test('ends with its consumer', async () => {
    const count = heard().length;
    const other = await exit.consume({ producerId: producer.id, rtpCapabilities: plainCapabilities() });
    consumer.close();
    // Once this is answered, the request before it has been done.
    assert.deepEqual((await exit.dump()).consumerIds, [other.id]);
    say();
    const packets = await hear(count + 1);
    assert.equal(packets.length, count + 1);
    assert.equal(packets.at(-1).ssrc, other.rtpParameters.encodings[0].ssrc);
  });
});

test('a paused video consumer that resumes makes the worker ask for a key frame, and begins with one', async () => {
  const [camera, screen] = [await Peer.open(), await Peer.open()];
  const entrance = await router.createPlainTransport({ listenIp: '127.0.0.1', comedia: true });
  const exit = await router.createPlainTransport({ listenIp: '127.0.0.1' });
  await exit.connect({ ip: '127.0.0.1', port: screen.port });
  const producer = await entrance.produce(video());
  const consumer = await exit.consume({ producerId: producer.id, rtpCapabilities: plainCapabilities(), paused: true });
  let sequenceNumber = 1;
  // A VP8 payload (RFC 7741): the descriptor with the S bit, then the frame whose lowest bit is 0 for a key frame.
  const frame = (key, text) => {
    const payload = Buffer.concat([Buffer.from([0x10, key ? 0x00 : 0x01, 0, 0, 0x9d, 0x01, 0x2a, 16, 0, 16, 0]), Buffer.from(text)]);
    camera.send(rtp({ payloadType: 96, sequenceNumber: sequenceNumber++, timestamp: 3000 * sequenceNumber, ssrc: 2222, marker: true, payload }), entrance.tuple.localPort);
  };
  const scored = next(producer, 'score');
  frame(true, 'nobody looks');
  await scored;
  await consumer.resume();

  // RFC 4585, 6.3.1: payload-specific feedback, PLI, about the media's SSRC.
  const isPli = packet => packet[1] === 206 && (packet[0] & 0x1f) === 1 && packet.readUInt32BE(8) === 2222;
  await until(camera, () => camera.received.some(isPli));
  frame(false, 'no key frame');
  frame(true, 'a key frame');
  frame(false, 'what follows');
  const pictures = () => screen.received.filter(packet => packet[1] < 192 || packet[1] > 223).map(parseRtp);
  await until(screen, () => pictures().length >= 2);
  assert.deepEqual(pictures().map(({ payload }) => payload.subarray(11).toString()), ['a key frame', 'what follows']);
  const [stat] = await producer.getStats();
  assert.ok(stat.pliCount >= 1);
  for (const closed of [camera, screen, entrance, exit]) closed.close();
});
