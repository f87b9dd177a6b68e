// Sound and pictures between pages: both ways, of each codec, of silence, of a screen, and what the statistics say.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";

import { launchChromium } from "./lib/browser.mjs";
import { Studio } from "./lib/studio.mjs";
import { assertFlows } from "./lib/watch.mjs";

// What a microphone has of a quiet room: about -70 dBov.
const NOISE = 0.0005;

describe("media", { concurrency: 2 }, () => {
  let browser;
  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  test("two people hear and see each other", () =>
    Studio.run(browser, {}, async (studio) => {
      const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert")];
      const pairs = [];
      for (const [from, to] of [[ada, bert], [bert, ada]]) {
        for (const kind of ["audio", "video"]) {
          const producer = await from.produce({ kind });
          pairs.push([producer, await to.consume(producer)]);
        }
      }
      await assertFlows(pairs);
      for (const [producer, consumer] of pairs) {
        if (consumer.server.kind === "video") await consumer.shows(320);
        const { codec, frameHeight } = await consumer.stats();
        assert.deepEqual([codec, frameHeight], consumer.server.kind === "video" ? ["video/VP8", 240] : ["audio/opus", undefined]);
        await assertWorkerCounts(producer, consumer);
      }
    }),
  );

  test("a router of many codecs passes on each, to one who watches them all", () =>
    Studio.run(browser, { codecs: ["opus", "vp8", "vp9", "h264"] }, async (studio) => {
      const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert")];
      const pairs = [];
      for (const codec of ["video/VP8", "video/VP9", "video/H264"]) {
        const producer = await ada.produce({ kind: "video", from: "canvas" }, { codec });
        pairs.push([producer, await bert.consume(producer)]);
        assert.equal(producer.server.rtpParameters.codecs[0].mimeType, codec);
      }
      await assertFlows(pairs);
      for (const [producer, consumer] of pairs) {
        const { mimeType } = producer.server.rtpParameters.codecs[0];
        assert.equal((await consumer.stats()).codec, mimeType);
        const [stat] = await consumer.server.getStats();
        assert.equal(stat.mimeType, mimeType);
      }
    }),
  );

  test("who speaks is known from the levels that pages tell", () =>
    Studio.run(browser, { codecs: ["opus"] }, async (studio) => {
      const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert")];
      const levels = await studio.router.createAudioLevelObserver({ maxEntries: 2, threshold: -60, interval: 300 });
      const speaker = await studio.router.createActiveSpeakerObserver({ interval: 100 });
      const heard = (observer, event) => once(observer, event, { signal: AbortSignal.timeout(10_000) }).then(([value]) => value);
      const producers = [];
      for (const client of [ada, bert]) {
        const producer = await client.produce({ kind: "audio", from: "tone", level: NOISE });
        for (const observer of [levels, speaker]) await observer.addProducer({ producerId: producer.id });
        producers.push(producer);
      }
      // Noise is what comes first, or sound that does not change would count as noise.
      for (const { server } of producers) {
        while (!((await server.getStats())[0]?.packetCount > 20)) await setTimeout(50);
      }
      // Who came first counts as the speaker until someone speaks.
      for (const producer of producers.reverse()) {
        const [dominant, volumes] = [heard(speaker, "dominantspeaker"), heard(levels, "volumes")];
        await producer.evaluate(({ track }) => void (track.gain.value = 0.9));
        assert.equal((await volumes)[0].producer, producer.server);
        // The threshold itself counts: where the sound began late in an interval, its mean may be just that.
        assert.ok((await volumes)[0].volume >= -60 && (await volumes)[0].volume < 0);
        assert.equal((await dominant).producer, producer.server);
        const silence = heard(levels, "silence");
        await producer.evaluate(({ track }, noise) => void (track.gain.value = noise), NOISE);
        await silence;
      }
    }),
  );

  test("silence takes a few packets a second with DTX, and sound comes back after it", () =>
    Studio.run(browser, { codecs: ["opus"] }, async (studio) => {
      const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert")];
      const producer = await ada.produce({ kind: "audio", from: "tone", level: 0 }, { codecOptions: { opusDtx: true } });
      const consumer = await bert.consume(producer);
      // Loud at first, so that it is known to arrive.
      const level = (level) => producer.evaluate(({ track }, level) => void (track.gain.value = level), level);
      await level(0.5);
      await consumer.plays();
      await level(0);
      // The encoder takes some time to be sure of the silence.
      const quiet = (packets) => packets < 20;
      let [silent, tries] = [Infinity, 0];
      while (!quiet(silent) && (tries += 1) <= 6) silent = (await consumer.watch(1000)).grew("packetsReceived");
      assert.ok(quiet(silent), `${silent} packets in a second of silence`);
      assert.equal((await producer.server.dump()).rtpStreams[0].params.useDtx, true);
      await level(0.5);
      await assertFlows([[producer, consumer]]);
      assert.ok((await consumer.watch(1000)).grew("packetsReceived") > 30);
      assert.equal(consumer.server.score.producerScore, 10, "silence is no loss");
    }),
  );

  test("a screen is shared", () =>
    Studio.run(browser, {}, async (studio) => {
      const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert")];
      const producer = await ada.produce({ kind: "video", from: "screen" });
      const consumer = await bert.consume(producer);
      await consumer.plays();
      const { width } = await producer.evaluate(({ track }) => track.getSettings());
      await consumer.shows(width);
    }),
  );

  // What both ends have counted, which they may do at other moments.
  async function assertWorkerCounts(producer, consumer) {
    const [received] = await producer.server.getStats();
    const [sent, relayed] = await consumer.server.getStats();
    const about = (actual, expected, what) => assert.ok(Math.abs(actual - expected) <= 0.2 * expected + 10, `${what}: ${actual}, not about ${expected}`);
    assert.equal(received.type, "inbound-rtp");
    assert.equal(sent.type, "outbound-rtp");
    assert.equal(relayed.type, "inbound-rtp");
    assert.equal(relayed.ssrc, received.ssrc);
    for (const stat of [received, sent]) {
      assert.equal(stat.kind, consumer.server.kind);
      assert.equal(stat.score, 10);
      assert.ok(stat.packetsLost <= 2, JSON.stringify(stat));
      assert.ok(stat.bitrate > 5000, JSON.stringify(stat));
    }
    assert.deepEqual([consumer.server.score.score, consumer.server.score.producerScore], [10, 10]);
    about(received.packetCount, (await producer.stats())[0].packetsSent, "packets from the producer");
    about(sent.packetCount, (await consumer.stats()).packetsReceived, "packets to the consumer");
    // RTP's own units: a bound on what loopback can add.
    assert.ok(received.jitter >= 0 && received.jitter < 90_000 / 10, `jitter ${received.jitter}`);
    // It comes with the receiver reports, of which a browser sends one every few seconds.
    const start = performance.now();
    let roundTripTime;
    while (!roundTripTime && performance.now() < start + 10_000) {
      await setTimeout(200);
      [{ roundTripTime }] = await consumer.server.getStats();
    }
    assert.ok(roundTripTime > 0 && roundTripTime < 500, `round trip ${roundTripTime} ms`);
  }
});
