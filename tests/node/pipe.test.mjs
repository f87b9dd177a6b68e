// Routers piped together: within one worker and between two, in the clear and over SRTP, with media.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Peer, audio, createWorker, eventually, mediaCodecs, next, parseRtp, plainCapabilities, rejects, rtp, until, video } from './fixtures.mjs';

let workers, routers;
before(async () => {
  workers = [await createWorker(), await createWorker()];
  routers = await Promise.all(workers.map(worker => worker.createRouter({ mediaCodecs: mediaCodecs() })));
});
after(() => workers.forEach(worker => worker.close()));

const frame = (key, text) =>
  Buffer.concat([Buffer.from([0x10, key ? 0x00 : 0x01, 0, 0, 0x9d, 0x01, 0x2a, 16, 0, 16, 0]), Buffer.from(text)]);

for (const options of [{}, { enableSrtp: true }, { enableRtx: true, enableSrtp: true }]) {
  test(`media goes from one worker to the other with ${JSON.stringify(options)}`, async () => {
    // Routers of its own, since two routers have one pair of transports, as the first to pipe wants it.
    const [near, far] = await Promise.all(workers.map(worker => worker.createRouter({ mediaCodecs: mediaCodecs() })));
    const [camera, screen] = [await Peer.open(), await Peer.open()];
    const entrance = await near.createPlainTransport({ listenIp: '127.0.0.1', comedia: true });
    const producer = await entrance.produce(video());
    const { pipeConsumer, pipeProducer } = await near.pipeToRouter({ producerId: producer.id, router: far, ...options });
    assert.deepEqual([pipeConsumer.type, pipeProducer.id, pipeProducer.kind], ['pipe', producer.id, 'video']);
    assert.deepEqual(pipeConsumer.score, { score: 10, producerScore: 10, producerScores: [] });
    const exit = await far.createPlainTransport({ listenIp: '127.0.0.1' });
    await exit.connect({ ip: '127.0.0.1', port: screen.port });
    const consumer = await exit.consume({ producerId: pipeProducer.id, rtpCapabilities: plainCapabilities() });

    for (let number = 0; number < 50; number += 1) {
      const payload = frame(number === 0, `picture ${number}`);
      camera.send(rtp({ payloadType: 96, sequenceNumber: number, timestamp: 3000 * number, ssrc: 2222, payload }), entrance.tuple.localPort);
    }
    const pictures = () => screen.received.filter(packet => packet[1] < 192 || packet[1] > 223).map(parseRtp);
    await until(screen, () => pictures().length >= 50);
    assert.deepEqual(pictures().map(({ payload }) => payload.subarray(11).toString()), Array.from({ length: 50 }, (_, number) => `picture ${number}`));
    assert.ok(pictures().every(({ ssrc }) => ssrc === consumer.rtpParameters.encodings[0].ssrc));

    const [sent, ...others] = await pipeConsumer.getStats();
    assert.deepEqual([sent.type, sent.packetCount, others.length], ['outbound-rtp', 50, 0]);
    const dump = await pipeConsumer.dump();
    assert.deepEqual([dump.type, dump.rtpStreams.length, dump.rtpStream], ['pipe', 1, undefined]);
    assert.equal(dump.rtpStreams[0].rtxStream !== undefined, options.enableRtx === true);

    // A key frame that is wanted at the far end is asked of the camera.
    screen.send(pli(consumer.rtpParameters.encodings[0].ssrc), exit.tuple.localPort);
    await until(camera, () => camera.received.some(packet => packet[1] === 206 && packet.readUInt32BE(8) === 2222));

    // Pauses and the end are told at the far end.
    const paused = next(consumer, 'producerpause');
    await producer.pause();
    await paused;
    const resumed = next(consumer, 'producerresume');
    await producer.resume();
    await resumed;
    const ended = next(consumer, 'producerclose');
    producer.close();
    await ended;
    assert.deepEqual([pipeConsumer.closed, pipeProducer.closed, consumer.closed], [true, true, true]);
    for (const closed of [near, far, camera, screen]) closed.close();
  });
}

// RFC 4585, 6.3.1.
function pli(ssrc) {
  const packet = Buffer.alloc(12);
  packet.set([0x81, 206, 0, 2]);
  packet.writeUInt32BE(ssrc, 8);
  return packet;
}

test('a pipe transport takes its peer by address and key', async () => {
  const [clear, secret] = [await routers[0].createPipeTransport({ listenIp: '127.0.0.1' }), await routers[0].createPipeTransport({ listenIp: '127.0.0.1', enableSrtp: true })];
  assert.equal(clear.srtpParameters, undefined);
  assert.deepEqual([secret.srtpParameters.cryptoSuite, Buffer.from(secret.srtpParameters.keyBase64, 'base64').length], ['AEAD_AES_256_GCM', 44]);
  const [ip, port] = ['127.0.0.1', 9];
  const key = { cryptoSuite: 'AEAD_AES_256_GCM', keyBase64: Buffer.alloc(44, 7).toString('base64') };
  await rejects(clear.connect({ ip }), TypeError);
  await rejects(clear.connect({ ip, port, srtpParameters: key }), TypeError);
  await rejects(secret.connect({ ip, port }), TypeError);
  await rejects(secret.connect({ ip, port, srtpParameters: { ...key, cryptoSuite: 'AEAD_AES_128_GCM' } }), TypeError);
  await rejects(secret.connect({ ip, port, srtpParameters: { ...key, keyBase64: 'AAAA' } }), TypeError);
  await secret.connect({ ip, port, srtpParameters: key });
  assert.deepEqual([secret.tuple.remoteIp, secret.tuple.remotePort], [ip, port]);
  await rejects(secret.connect({ ip, port, srtpParameters: key }), Error);
  const [stat] = await secret.getStats();
  assert.deepEqual([stat.type, stat.tuple.remotePort], ['pipe-transport', port]);
  assert.equal((await clear.dump()).rtx, false);
  for (const transport of [clear, secret]) transport.close();
});

test('what is piped twice is sent once', async () => {
  const entrance = await routers[0].createPlainTransport({ listenIp: '127.0.0.1', comedia: true });
  const sounds = [await entrance.produce(audio()), await entrance.produce(audio({ mid: 'other', encodings: [{ ssrc: 1112 }] }))];
  const before = (await eventually(() => routers[1].dump(), () => true)).transportIds.length;
  for (const sound of sounds) await routers[0].pipeToRouter({ producerId: sound.id, router: routers[1] });
  const dump = await routers[1].dump();
  assert.ok(dump.transportIds.length - before <= 1, 'one pair of transports for all');
  assert.deepEqual(sounds.map(({ id }) => id in dump.mapProducerIdConsumerIds), [true, true]);
  entrance.close();
});
