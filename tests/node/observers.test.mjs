// RTP observers: who is loud and who speaks, from the levels that packets carry.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { AUDIO_LEVEL, LIMIT, Peer, audio, createWorker, mediaCodecs, next, record, rejects, video } from './fixtures.mjs';

const LEVEL = 5;

let worker, router, entrance, peer;
const people = [];
before(async () => {
  worker = await createWorker();
  router = await worker.createRouter({ mediaCodecs: mediaCodecs() });
  entrance = await router.createPlainTransport({ listenIp: '127.0.0.1', comedia: true });
  peer = await Peer.open();
  for (const ssrc of [1001, 1002, 1003]) {
    const parameters = { mid: `m${ssrc}`, headerExtensions: [{ uri: AUDIO_LEVEL, id: LEVEL }], encodings: [{ ssrc }] };
    people.push(await entrance.produce(audio(parameters)));
  }
});
after(() => { worker.close(); peer.close(); });

// An RTP packet with a level (RFC 6464) in -dBov.
let number = 0;
function sound(ssrc, level) {
  const packet = Buffer.alloc(12 + 8 + 20);
  packet.set([0x90, 111]);
  packet.writeUInt16BE(number & 0xffff, 2);
  packet.writeUInt32BE(960 * number, 4);
  packet.writeUInt32BE(ssrc, 8);
  packet.set([0xbe, 0xde, 0, 1, LEVEL << 4, level, 0, 0], 12);
  return packet;
}

// Lets people make sounds of these levels, every 20 ms, until the event comes.
async function speak(levels, emitter, event, enough = () => true) {
  const timer = setInterval(() => {
    number += 1;
    levels.forEach((level, index) => peer.send(sound(1001 + index, level), entrance.tuple.localPort));
  }, 20);
  try {
    const signal = AbortSignal.timeout(LIMIT);
    for (;;) {
      const [value] = await once(emitter, event, { signal });
      if (enough(value)) return value;
    }
  } finally {
    clearInterval(timer);
  }
}

test('an AudioLevelObserver tells the loudest, and silence after them', async () => {
  const observer = await router.createAudioLevelObserver({ maxEntries: 2, threshold: -60, interval: 250 });
  for (const { id } of people) await observer.addProducer({ producerId: id });
  const volumes = await speak([50, 20, 40], observer, 'volumes', told => told.length === 2);
  assert.deepEqual(volumes.map(({ producer, volume }) => [producer, volume]), [[people[1], -20], [people[2], -40]]);
  await next(observer, 'silence');

  await observer.removeProducer({ producerId: people[1].id });
  const [loudest] = await speak([50, 20, 40], observer, 'volumes', told => told.length === 2);
  assert.equal(loudest.producer, people[2]);
  const { rtpObserverIds, mapProducerIdObserverIds } = await router.dump();
  assert.deepEqual(rtpObserverIds, [observer.id]);
  assert.deepEqual(people.map(({ id }) => mapProducerIdObserverIds[id]), [[observer.id], [], [observer.id]]);

  const silenced = next(observer, 'silence');
  await observer.pause();
  await silenced;
  await observer.resume();
  await speak([50, 20, 40], observer, 'volumes');
  const camera = await entrance.produce(video());
  await rejects(observer.addProducer({ producerId: camera.id }), TypeError);
  camera.close();
  const closed = record(observer.observer, 'close');
  observer.close();
  assert.deepEqual(closed, ['close']);
  assert.deepEqual((await router.dump()).rtpObserverIds, []);
});

test('an ActiveSpeakerObserver tells who speaks', async () => {
  const observer = await router.createActiveSpeakerObserver({ interval: 100 });
  for (const { id } of people) await observer.addProducer({ producerId: id });
  const first = await speak([110, 110, 110], observer, 'dominantspeaker');
  assert.ok(people.includes(first.producer));
  const quiet = people.filter(producer => producer !== first.producer);
  const levels = of => people.map(producer => (producer === of ? 20 : 110));
  assert.equal((await speak(levels(quiet[0]), observer, 'dominantspeaker')).producer, quiet[0]);
  assert.equal((await speak(levels(quiet[1]), observer, 'dominantspeaker')).producer, quiet[1]);
  // Who leaves is dominant no more.
  const followed = next(observer, 'dominantspeaker');
  await observer.removeProducer({ producerId: quiet[1].id });
  assert.notEqual((await followed).producer, quiet[1]);
  observer.close();
});
