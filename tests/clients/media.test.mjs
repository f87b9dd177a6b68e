// Sound and pictures between pages.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { launchChromium } from "./lib/browser.mjs";
import { Studio } from "./lib/studio.mjs";
import { assertFlows } from "./lib/watch.mjs";

describe("media", () => {
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
        const [{ packetCount, score }] = await producer.server.getStats();
        assert.ok(packetCount > 0);
        assert.equal(score, 10);
      }
    }),
  );
});
