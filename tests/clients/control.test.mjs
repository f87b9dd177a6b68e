// What applications do with producers and consumers while media flows.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";

import { launchChromium } from "./lib/browser.mjs";
import { Studio } from "./lib/studio.mjs";
import { assertFlows } from "./lib/watch.mjs";

const LIMIT = 10_000;

describe("control", { concurrency: 2 }, () => {
  let browser;
  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  // `body` gets a producer of Ada's video and Bert's consumer of it, which plays.
  const watching = (title, body, source = {}) =>
    test(title, () =>
      Studio.run(browser, {}, async (studio) => {
        const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert")];
        const producer = await ada.produce({ kind: "video", ...source });
        const consumer = await bert.consume(producer);
        await consumer.plays();
        await body({ studio, ada, bert, producer, consumer });
      }),
    );
  const next = (emitter, event) => once(emitter, event, { signal: AbortSignal.timeout(LIMIT) });

  watching("either side's pause stops the pictures, and its resumption brings them back with a key frame", async ({ producer, consumer }) => {
    const sides = {
      "the consumer at the server": [() => consumer.server.pause(), () => consumer.server.resume()],
      "the producer at the server": [() => producer.server.pause(), () => producer.server.resume()],
      "the producer in the page": [() => producer.pause(), () => producer.resume()],
    };
    const heard = [];
    for (const event of ["producerpause", "producerresume"]) consumer.server.on(event, () => heard.push(event));
    for (const [side, [pause, resume]] of Object.entries(sides)) {
      await pause();
      // What was on its way has arrived by now.
      await consumer.watch(300);
      const paused = await consumer.watch(500);
      // A track that is disabled in the page goes on as black pictures, one now and then.
      const most = side.endsWith("page") ? 10 : 0;
      assert.ok(paused.grew("framesDecoded") <= most, `${side}: ${JSON.stringify(paused)}`);
      const before = await consumer.stats();
      await resume();
      await assertFlows([[producer, consumer]], { duration: 1000 });
      const { keyFramesDecoded } = await consumer.stats();
      if (!side.endsWith("page")) assert.ok(keyFramesDecoded > before.keyFramesDecoded, `${side}: no key frame`);
    }
    assert.deepEqual(heard, ["producerpause", "producerresume"]);
  });

  watching("who comes later sees something at once, by a key frame that was asked for", async ({ studio, producer }) => {
    const cleo = await studio.open("Cleo");
    await cleo.transport("recv");
    const [sent] = await producer.stats();
    const start = performance.now();
    const consumer = await cleo.consume(producer);
    await consumer.plays();
    const took = performance.now() - start;
    const [now] = await producer.stats();
    assert.ok(now.pliCount + (now.firCount ?? 0) > sent.pliCount + (sent.firCount ?? 0), "the encoder was asked");
    assert.ok(now.keyFramesEncoded > sent.keyFramesEncoded);
    // The encoder would otherwise wait for its next key frame for minutes.
    assert.ok(took < 5000, `${took} ms`);
    const before = await consumer.stats();
    await consumer.server.requestKeyFrame();
    await consumer.until("another key frame", async (consumer, count) => {
      return [...(await consumer.getStats()).values()].some((report) => report.type === "inbound-rtp" && report.keyFramesDecoded > count);
    }, before.keyFramesDecoded);
  });

  watching("another track takes the place of the first, and no track shows nothing", async ({ producer, consumer }) => {
    await consumer.shows(320);
    await producer.replaceTrack({ from: "canvas", width: 256, height: 144 });
    await consumer.shows(256);
    await assertFlows([[producer, consumer]], { duration: 1000 });
    await producer.replaceTrack(null);
    await consumer.watch(300);
    assert.equal((await consumer.watch(500)).grew("framesDecoded"), 0);
    await producer.replaceTrack({ from: "camera" });
    await consumer.shows(320);
    await assertFlows([[producer, consumer]], { duration: 1000 });
  });

  watching("an ICE restart changes the credentials of both sides and interrupts nothing", async ({ ada, bert, producer, consumer }) => {
    const transports = [ada.send, bert.recv];
    const fragments = () => Promise.all(transports.map(async ({ server }) => (await server.dump()).iceParameters.usernameFragment));
    const [before, paths] = [await fragments(), await Promise.all(transports.map((transport) => transport.path()))];
    const flow = assertFlows([[producer, consumer]], { duration: 3000 });
    await Promise.all(transports.map((transport) => transport.restartIce()));
    await flow;
    const now = await fragments();
    for (const [index, transport] of transports.entries()) {
      assert.notEqual(now[index], before[index]);
      await transport.connected();
      const { remoteCandidate } = await transport.path();
      assert.equal(remoteCandidate.usernameFragment, now[index], "the browser uses the new ones");
      assert.notEqual(remoteCandidate.usernameFragment, paths[index].remoteCandidate.usernameFragment);
      assert.equal(transport.server.dtlsState, "connected");
    }
  });

  watching("a page that closes its transport is noticed by the server, and by who consumed from it", async ({ ada, bert, producer, consumer }) => {
    const closed = next(ada.send.server, "dtlsstatechange");
    await ada.send.evaluate((transport) => transport.close());
    assert.deepEqual(await closed, ["closed"]);
    const gone = next(consumer.server, "producerclose");
    ada.send.server.close();
    await gone;
    assert.ok(consumer.server.closed && producer.server.closed);
    assert.deepEqual((await bert.recv.server.dump()).consumerIds, []);
  });

  watching("a server that closes a transport is noticed by the page", async ({ bert, consumer }) => {
    bert.recv.server.close();
    // By DTLS, before it would miss the answers to its ICE checks.
    await consumer.until("DTLS is closed", ({ rtpReceiver }) => rtpReceiver.transport.state === "closed", undefined, 3000);
    assert.ok(consumer.server.closed);
  });

  watching("one producer of several closes, and the others go on", async ({ ada, bert, producer, consumer }) => {
    const second = await ada.produce({ kind: "video", from: "canvas" });
    const other = await bert.consume(second);
    await other.plays();
    const gone = next(other.server, "producerclose");
    await second.close();
    await gone;
    await other.evaluate((consumer) => consumer.close());
    await assertFlows([[producer, consumer]], { duration: 1000 });
    // Its section of the description is used again.
    const third = await ada.produce({ kind: "audio" });
    await assertFlows([[third, await bert.consume(third)], [producer, consumer]], { duration: 1000 });
  });
});
