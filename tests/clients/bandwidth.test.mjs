// Networks that take less than is to be sent: what is sent follows them, down and up again.

import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import { after, before, describe, test } from "node:test";

import { launchChromium } from "./lib/browser.mjs";
import { simulcast, svc } from "./lib/layers.mjs";
import { Studio } from "./lib/studio.mjs";

// Chromium sends two layers of pictures of this size, the lower one half as wide.
const WIDTH = 640;
const SOURCE = { kind: "video", from: "canvas", width: WIDTH, height: 360, frameRate: 15, detail: 0.05 };
// Capacities, in bit/s, and a path with a queue as long as those of many routers.
const WIDE = 2_500_000;
const NARROW = 400_000;
const PATH = { delay: 20, queue: 300 };
// How long pictures may stay away when the capacity falls: to notice, until the queue is empty, and for a key frame through
// what is left of the link. And how long the estimate may take to come back: the simulated network shows that it takes less
// than 5 s, but a busy machine is not as even as that, and a receiver that tells a bound raises it slowly.
const FREEZE = 2500;
const RETURN = 25_000;
const TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

// Waits for a condition, and returns how long that took, in milliseconds. It answers `true`, or what it saw instead.
async function until(what, condition, limit) {
  const start = performance.now();
  for (;;) {
    const seen = await condition();
    const took = performance.now() - start;
    if (seen === true) return took;
    assert.ok(took < limit, `not within ${limit} ms: ${what}; ${JSON.stringify(seen)}`);
    await setTimeout(50);
  }
}

// A producer of two layers, of so many bit/s. A busy machine would make pictures smaller, and widths tell the layers here.
async function produce(client, codec, encodings) {
  const producer = await client.produce(SOURCE, { codec, encodings, codecOptions: { videoGoogleStartBitrate: 2500 } });
  await producer.evaluate(({ rtpSender }) =>
    rtpSender.setParameters({ ...rtpSender.getParameters(), degradationPreference: "maintain-resolution" }));
  return producer;
}

const twoStreams = ([lower, higher]) => [
  { ...simulcast("L1T2")[1], maxBitrate: lower },
  { ...simulcast("L1T2")[2], maxBitrate: higher },
];

const sends = (consumer, layer) => async () => consumer.server.currentLayers?.spatialLayer === layer || (consumer.server.currentLayers ?? null);

const is = ({ server }, condition) => async () => {
  const [{ availableOutgoingBitrate }] = await server.getStats();
  return condition(availableOutgoingBitrate) || availableOutgoingBitrate;
};

describe("bandwidth", { concurrency: 2 }, () => {
  let browser;
  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  // The estimate is what probing may find: no more than the layers need is looked for.
  const follows = (title, { codec, encodings, without, todo, narrow = NARROW, returns = true }) =>
    test(title, { todo }, (context) =>
      Studio.run(browser, { codecs: ["vp8", "vp9"] }, async (studio) => {
        const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert")];
        const recv = await bert.transport("recv", {}, { relayed: true });
        const { down } = recv.relay;
        Object.assign(down, PATH, { capacity: WIDE });
        recv.relay.up.delay = PATH.delay;
        const producer = await produce(ada, codec, encodings);
        const consumer = await bert.consume(producer, { without });
        await until("the higher layer is sent", sends(consumer, 1), 25_000);
        await consumer.shows(WIDTH);
        // The worker knows what each layer takes when it has seen it for so long.
        await setTimeout(2500);

        down.capacity = narrow;
        const watched = Promise.all([producer.watch(4000), consumer.watch(4000)]);
        watched.catch(() => {});
        const figures = { toLower: await until("the lower layer is sent", sends(consumer, 0), 4000) };
        figures.down = await until("the estimate has followed", is(recv, (estimate) => estimate <= narrow * 1.1), 4000);
        await consumer.shows(WIDTH / 2);
        const [sent, received] = await watched;
        if (!returns) return context.diagnostic(JSON.stringify(figures));
        Object.assign(figures, { gap: received.gap, sendersGap: sent.gap, stall: sent.stall + received.stall });
        assert.ok(received.gap <= FREEZE + sent.gap + figures.stall, JSON.stringify(figures));

        down.capacity = WIDE;
        figures.up = await until("the estimate has followed again", is(recv, (estimate) => estimate >= 1.3 * narrow), RETURN);
        // A consumer that was forced down long after it began stays down for ten seconds.
        figures.toHigher = await until("the higher layer is sent again", sends(consumer, 1), RETURN + 12_000);
        await consumer.shows(WIDTH);
        context.diagnostic(JSON.stringify(figures));
      }),
    );

  follows("simulcast follows the capacity of the way to its receiver", { codec: "video/VP8", encodings: twoStreams([150_000, 1_000_000]) });
  // Chromium asks once for what it misses of a higher layer: what is lost again must be sent again unasked, or there is no
  // picture for 3 s.
  follows("SVC does", { codec: "video/VP9", encodings: svc("L2T2") });
  const boundOnly = {
    codec: "video/VP8",
    encodings: twoStreams([100_000, 400_000]),
    without: [TRANSPORT_CC],
    narrow: 180_000,
  };
  follows("what goes to a receiver that tells a bound only follows downwards", { ...boundOnly, returns: false });
  follows("so does what goes to a receiver that tells a bound only", {
    ...boundOnly,
    // More arrives than the bound allows, but libwebrtc raises it by 8 % a second at most, and listens to probes in the first
    // two seconds only: when it has halved it, 234 kbit/s are 15 s away. On a busy machine, where datagrams are held up, it halves
    // it again and again, and where two thirds of what the lowest layer takes are left (some 40 kbit/s) there is no picture
    // until padding has raised it.
    todo: "on a busy machine Chromium halves its bound again and again, and raises it by 8 % a second at most",
  });

  test("two consumers share what there is by priority", () =>
    Studio.run(browser, {}, async (studio) => {
      const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert")];
      const recv = await bert.transport("recv", { initialAvailableOutgoingBitrate: 1_000_000 }, { relayed: true });
      // Enough for a higher layer and a lower one, not for two higher ones.
      Object.assign(recv.relay.down, PATH, { capacity: 1_200_000 });
      const consumers = [];
      for (let index = 0; index < 2; index += 1) {
        const producer = await produce(ada, "video/VP8", twoStreams([100_000, 700_000]));
        consumers.push(await bert.consume(producer));
      }
      for (const [first, second] of [consumers, consumers.toReversed()]) {
        await second.server.setPriority(1);
        await first.server.setPriority(10);
        await until("the first has the higher layer, the second has the lower", async () => {
          const layers = [first, second].map(({ server }) => server.currentLayers?.spatialLayer);
          return (layers[0] === 1 && layers[1] === 0) || layers;
        }, 20_000);
        await Promise.all([first.shows(WIDTH), second.shows(WIDTH / 2)]);
      }
    }));

  test("a sender follows the capacity of its way to the worker, and the bound that the application sets", (context) =>
    Studio.run(browser, {}, async (studio) => {
      const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert")];
      const { relay, server } = await ada.transport("send", {}, { relayed: true });
      Object.assign(relay.up, PATH, { capacity: WIDE });
      const producer = await produce(ada, "video/VP8", [{ maxBitrate: 1_200_000 }]);
      const consumer = await bert.consume(producer);
      await consumer.plays();
      const estimate = async () => (await ada.send.path()).availableOutgoingBitrate;
      const within = (from, to) => async () => ((bitrate) => (bitrate >= from && bitrate <= to) || bitrate)(await estimate());
      const figures = { before: await until("it has come up", within(1_000_000, Infinity), 15_000) };
      relay.up.capacity = NARROW;
      figures.down = await until("it is down", within(30_000, NARROW * 1.6), 8000);
      const [sent, received] = await Promise.all([producer.watch(2000), consumer.watch(2000)]);
      assert.ok(received.gap <= 1500 + sent.gap + sent.stall + received.stall, JSON.stringify({ sent, received }));
      relay.up.capacity = WIDE;
      // How fast it comes up again by itself is Chromium's affair.
      await server.setMaxIncomingBitrate(150_000);
      figures.bound = await until("it is what the application allows", within(30_000, 155_000), 5000);
      await server.setMaxIncomingBitrate(0);
      figures.unbound = await until("it may be more again", within(200_000, Infinity), 20_000);
      context.diagnostic(JSON.stringify(figures));
    }));
});
