// Firefox and Chromium in one room.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { launchChromium } from "./lib/browser.mjs";
import { firefoxPath } from "./lib/firefox.mjs";
import { ADDRESS, inside, runInside, unavailable } from "./lib/namespace.mjs";
import { Studio } from "./lib/studio.mjs";
import { assertFlows } from "./lib/watch.mjs";

if (inside) {
  describe("Firefox", { concurrency: 2 }, withFirefox);
} else {
  const skip = firefoxPath() ? unavailable() : "there is no Firefox: install firefox-esr, or name one in FIREFOX_BIN";
  test("Firefox and Chromium meet", { skip }, async (test) => {
    for (const line of (await runInside(fileURLToPath(import.meta.url))).split("\n")) test.diagnostic(line);
  });
}

function withFirefox() {
  let browser;
  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  const meeting = (title, body) =>
    test(title, () =>
      Studio.run(browser, { address: ADDRESS }, async (studio) => {
        const [fred, ada] = await Promise.all([studio.open("Fred", { firefox: true }), studio.open("Ada")]);
        await body({ fred, ada });
      }),
    );

  meeting("they hear and see each other, and an ICE restart interrupts nothing", async ({ fred, ada }) => {
    const pairs = [];
    for (const [from, to] of [[ada, fred], [fred, ada]]) {
      for (const kind of ["audio", "video"]) {
        const producer = await from.produce({ kind });
        pairs.push([producer, await to.consume(producer)]);
      }
    }
    await assertFlows(pairs);
    const transports = [fred.send, fred.recv];
    const paths = await Promise.all(transports.map((transport) => transport.path()));
    const flow = assertFlows(pairs, { duration: 3000 });
    await Promise.all(transports.map((transport) => transport.restartIce()));
    await flow;
    for (const [index, transport] of transports.entries()) {
      await transport.connected();
      const { usernameFragment } = (await transport.path()).remoteCandidate;
      assert.notEqual(usernameFragment, paths[index].remoteCandidate.usernameFragment);
      assert.equal(usernameFragment, transport.server.iceParameters.usernameFragment);
    }
    // Firefox asks for a key frame by itself, and is asked.
    const [, [seen, fredSees], , [shown, adaSees]] = pairs;
    for (const [producer, consumer] of [[seen, fredSees], [shown, adaSees]]) {
      await consumer.server.pause();
      await consumer.server.resume();
      await assertFlows([[producer, consumer]], { duration: 1000 });
    }
  });

  meeting("simulcast of Firefox is switched for Chromium, and back", async ({ fred, ada }) => {
    const encodings = [4, 2, 1].map((scaleResolutionDownBy) => ({ scaleResolutionDownBy, maxBitrate: 800_000 / scaleResolutionDownBy ** 2 }));
    const producer = await fred.produce({ kind: "video", width: 640, height: 480 }, { encodings });
    assert.equal(producer.server.type, "simulcast");
    const consumer = await ada.consume(producer, { preferredLayers: { spatialLayer: 0 } });
    for (const [spatialLayer, width] of [[0, 160], [1, 320], [0, 160]]) {
      await consumer.server.setPreferredLayers({ spatialLayer });
      await consumer.shows(width);
      await assertFlows([[producer, consumer]], { duration: 1000 });
    }
  });

  meeting("messages go both ways", async ({ fred, ada }) => {
    const texts = Array.from({ length: 20 }, (_, index) => `${index}: ${"grüße ".repeat(index * 50)}`);
    const bytes = Array.from({ length: 100_000 }, (_, index) => index % 251);
    for (const [from, to] of [[fred, ada], [ada, fred]]) {
      const dataProducer = await from.produceData({ ordered: true, label: "chat" });
      const dataConsumer = await to.consumeData(dataProducer);
      await dataConsumer.opened();
      for (const message of [...texts, bytes]) await dataProducer.sendMessage(message);
      await dataConsumer.receives(texts.length + 1);
      assert.deepEqual(await dataConsumer.messages(), [...texts, bytes]);
    }
  });
}
