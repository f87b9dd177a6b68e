// Routers: their capabilities, what they contain, and who can consume what.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { UUID, audio, createWorker, mediaCodecs, mediasoup, next, plainCapabilities, record, rejects, video } from './fixtures.mjs';

const { UnsupportedError } = mediasoup.types;

let worker;
before(async () => { worker = await createWorker(); });
after(() => worker.close());

describe('a router', () => {
  let router;
  before(async () => {
    const heard = next(worker.observer, 'newrouter');
    router = await worker.createRouter({ mediaCodecs: mediaCodecs(), appData: { room: 7 } });
    assert.equal(await heard, router);
  });
  after(() => router.close());

  test('has an id, capabilities and its application\'s data', () => {
    assert.match(router.id, UUID);
    assert.equal(router.closed, false);
    assert.deepEqual(router.appData, { room: 7 });
    assert.deepEqual(
      router.rtpCapabilities.codecs.map(codec => [codec.preferredPayloadType, codec.mimeType, codec.parameters]),
      [[100, 'audio/opus', { useinbandfec: 1 }], [101, 'video/VP8', {}], [102, 'video/rtx', { apt: 101 }]]
    );
  });

  test('dumps who consumes whom', async () => {
    const empty = {
      id: router.id, transportIds: [], rtpObserverIds: [],
      mapProducerIdConsumerIds: {}, mapConsumerIdProducerId: {}, mapProducerIdObserverIds: {},
      mapDataProducerIdDataConsumerIds: {}, mapDataConsumerIdDataProducerId: {}
    };
    assert.deepEqual(await router.dump(), empty);

    const transport = await router.createWebRtcTransport({ listenIps: ['127.0.0.1'] });
    const consumed = await transport.produce(audio());
    const alone = await transport.produce(video());
    const consumer = await transport.consume({ producerId: consumed.id, rtpCapabilities: router.rtpCapabilities });
    const filled = {
      ...empty, transportIds: [transport.id],
      mapProducerIdConsumerIds: { [consumed.id]: [consumer.id], [alone.id]: [] },
      mapConsumerIdProducerId: { [consumer.id]: consumed.id },
      mapProducerIdObserverIds: { [consumed.id]: [], [alone.id]: [] }
    };
    assert.deepEqual(await router.dump(), filled);

    transport.close();
    assert.deepEqual(await router.dump(), empty);
  });

  test('knows who can consume', async () => {
    const transport = await router.createPlainTransport({ listenIp: '127.0.0.1' });
    const [sound, picture] = [await transport.produce(audio()), await transport.produce(video())];
    const onlyAudio = { codecs: plainCapabilities().codecs.slice(0, 1) };
    const can = (producer, rtpCapabilities) => router.canConsume({ producerId: producer.id, rtpCapabilities });
    assert.equal(can(sound, router.rtpCapabilities), true);
    assert.equal(can(picture, router.rtpCapabilities), true);
    assert.equal(can(sound, onlyAudio), true);
    assert.equal(can(picture, onlyAudio), false);
    assert.equal(can(picture, { codecs: [] }), false);
    assert.equal(can({ id: 'nobody' }, router.rtpCapabilities), false);
    picture.close();
    assert.equal(can(picture, router.rtpCapabilities), false, 'a closed producer');
    transport.close();
    assert.equal(can(sound, router.rtpCapabilities), false, 'a closed transport\'s producer');
  });
});

test('bad codecs are refused', async () => {
  await rejects(worker.createRouter({ mediaCodecs: {} }), TypeError);
  await rejects(worker.createRouter({ mediaCodecs: [{ kind: 'audio', mimeType: 'audio/opus' }] }), TypeError);
  await rejects(worker.createRouter({ mediaCodecs: [{ kind: 'audio', mimeType: 'audio/unheard-of', clockRate: 8000 }] }), UnsupportedError);
  await rejects(worker.createRouter({ appData: 'room 7' }), TypeError);
  assert.deepEqual((await worker.dump()).routerIds, []);
});

test('closing a router closes all that is in it', async () => {
  const router = await worker.createRouter({ mediaCodecs: mediaCodecs() });
  const transport = await router.createWebRtcTransport({ listenIps: ['127.0.0.1'] });
  const producer = await transport.produce(audio());
  const consumer = await transport.consume({ producerId: producer.id, rtpCapabilities: router.rtpCapabilities });
  const events = [
    record(router.observer, 'close'), record(transport, 'routerclose'), record(transport.observer, 'close'),
    record(producer, 'transportclose'), record(producer.observer, 'close'), record(consumer, 'transportclose', 'producerclose')
  ];
  router.on('workerclose', () => assert.fail('the worker is not closed'));
  router.close();
  router.close();
  assert.deepEqual(events, [['close'], ['routerclose'], ['close'], ['transportclose'], ['close'], ['transportclose']]);
  for (const entity of [router, transport, producer, consumer]) assert.equal(entity.closed, true);
  await rejects(router.dump(), Error);
  await rejects(router.createPlainTransport({ listenIp: '127.0.0.1' }), Error);
  await rejects(transport.dump(), Error);
  await rejects(producer.pause(), Error);
  await rejects(consumer.getStats(), Error);
  assert.equal(worker.closed, false);
  assert.ok(!(await worker.dump()).routerIds.includes(router.id));
});

test('routers are told apart: what is in one can\'t be consumed in another', async () => {
  const [one, other] = [await worker.createRouter({ mediaCodecs: mediaCodecs() }), await worker.createRouter({ mediaCodecs: mediaCodecs() })];
  const [here, there] = [await one.createPlainTransport({ listenIp: '127.0.0.1' }), await other.createPlainTransport({ listenIp: '127.0.0.1' })];
  const producer = await here.produce(audio());
  await rejects(there.consume({ producerId: producer.id, rtpCapabilities: other.rtpCapabilities }), Error);
  one.close();
  assert.equal((await there.dump()).id, there.id);
  other.close();
});
