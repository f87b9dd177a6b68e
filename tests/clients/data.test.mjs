// Messages between pages, and between a page and the server.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";

import { launchChromium } from "./lib/browser.mjs";
import { Studio } from "./lib/studio.mjs";

describe("data", { concurrency: 2 }, () => {
  let browser;
  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  test("two people send each other text and bytes, of any size, in order", () =>
    Studio.run(browser, {}, async (studio) => {
      const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert")];
      const bytes = (count) => Array.from({ length: count }, (_, index) => index % 251);
      const messages = ["Hallo", "", [], bytes(1), "grüße ".repeat(1000), bytes(50_000), "Ende"];
      const largest = "x".repeat(262_144);
      for (const [from, to] of [[ada, bert], [bert, ada]]) {
        // Else what waits to be sent has room for the largest message only when nothing else waits.
        await to.transport("recv", { enableSctp: true, sctpSendBufferSize: 1_000_000 });
        const dataProducer = await from.produceData({ label: "chat", protocol: "text" });
        const dataConsumer = await to.consumeData(dataProducer);
        assert.deepEqual(await dataConsumer.evaluate(({ label, protocol }) => [label, protocol]), ["chat", "text"]);
        await dataConsumer.opened();
        for (const message of messages) await dataProducer.sendMessage(message);
        await dataConsumer.receives(messages.length);
        await dataProducer.sendMessage(largest);
        await dataConsumer.receives(messages.length + 1);
        assert.deepEqual(await dataConsumer.messages(), [...messages, largest]);
        const [{ messagesReceived }] = await dataProducer.server.getStats();
        const [{ messagesSent }] = await dataConsumer.server.getStats();
        assert.deepEqual([messagesReceived, messagesSent], [messages.length + 1, messages.length + 1]);
      }
      assert.equal(ada.send.server.sctpState, "connected");
    }),
  );

  test("a page and the server send each other messages by a direct transport", () =>
    Studio.run(browser, {}, async (studio) => {
      const ada = await studio.open("Ada");
      const direct = await studio.router.createDirectTransport();
      const dataProducer = await ada.produceData({ label: "requests" });
      const toServer = await direct.consumeData({ dataProducerId: dataProducer.id });
      const fromServer = await direct.produceData({ label: "answers" });
      const dataConsumer = await ada.consumeData(fromServer);
      await dataConsumer.opened();
      const heard = once(toServer, "message", { signal: AbortSignal.timeout(10_000) });
      await dataProducer.sendMessage("who is there?");
      assert.equal(`${(await heard)[0]}`, "who is there?");
      fromServer.send("nobody");
      await dataConsumer.receives(1);
      assert.deepEqual(await dataConsumer.messages(), ["nobody"]);
    }),
  );

  test("a channel that either side closes is closed, and others go on", () =>
    Studio.run(browser, {}, async (studio) => {
      const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert")];
      const producers = [];
      const consumers = [];
      for (const options of [{ ordered: false, maxRetransmits: 3 }, { ordered: false, maxPacketLifeTime: 2000 }, {}]) {
        producers.push(await ada.produceData(options));
        consumers.push(await bert.consumeData(producers.at(-1)));
        await consumers.at(-1).opened();
      }
      const gone = once(consumers[0].server, "dataproducerclose", { signal: AbortSignal.timeout(10_000) });
      await producers[0].evaluate((dataProducer) => dataProducer.close());
      producers[0].server.close();
      await gone;
      consumers[1].server.close();
      await consumers[1].until("it is closed by the server", ({ readyState }) => readyState === "closed");
      await producers[2].sendMessage("still here");
      await consumers[2].receives(1);
      // The number of a closed channel is free again.
      const again = await ada.produceData();
      const heard = await bert.consumeData(again);
      await heard.opened();
      await again.sendMessage("here again");
      await heard.receives(1);
      assert.deepEqual(await heard.messages(), ["here again"]);
    }),
  );
});
