// Media over each kind of path: a network that loses packets, TCP, one port for many, and several routers.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { launchChromium } from "./lib/browser.mjs";
import { Studio } from "./lib/studio.mjs";
import { assertFlows } from "./lib/watch.mjs";

describe("the network", { concurrency: 2 }, () => {
  let browser;
  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  // Ada's video and sound, watched by Bert.
  const call = async (ada, bert) => {
    const pairs = [];
    for (const kind of ["video", "audio"]) {
      const producer = await ada.produce({ kind });
      pairs.push([producer, await bert.consume(producer)]);
    }
    return pairs;
  };

  for (const [side, lossy] of [["to the worker", "send"], ["from the worker", "recv"]]) {
    test(`packets lost on the way ${side} are sent again, and no picture is missed`, () =>
      Studio.run(browser, {}, async (studio) => {
        const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert")];
        const { relay } = await (lossy === "send" ? ada : bert).transport(lossy, {}, { relayed: true });
        const direction = lossy === "send" ? relay.up : relay.down;
        const producer = await ada.produce({ kind: "video", from: "canvas", frameRate: 20 });
        const consumer = await bert.consume(producer);
        await consumer.plays();
        const pictures = (await consumer.stats()).pliCount;
        direction.loss = 0.1;
        const [sent, received] = await Promise.all([producer.watch(4000), consumer.watch(4000)]);
        direction.loss = 0;
        const told = JSON.stringify({ sent, received, lost: direction.lost, passed: direction.passed });
        assert.ok(direction.lost >= 5, told);
        assert.ok(received.grew("framesDecoded") >= 0.9 * sent.grew("framesEncoded"), told);
        assert.ok(received.gap <= 500 + sent.gap + sent.stall + received.stall, told);
        assert.ok((await consumer.stats()).pliCount - pictures <= 1, "no more than one frame was beyond repair");
        // Who asked for what was lost, and who sent it again.
        const [before] = await producer.server.getStats();
        const [after] = await consumer.server.getStats();
        if (lossy === "send") {
          assert.ok(before.nackCount > 0 && before.packetsRepaired > 0, JSON.stringify(before));
          assert.ok(sent.grew("retransmittedPacketsSent") > 0, told);
          // But for what was on its way again at the end.
          assert.ok(received.grew("packetsLost") <= 2, told);
        } else {
          assert.ok(after.nackCount > 0 && after.packetsRetransmitted > 0, JSON.stringify(after));
          assert.ok(received.grew("retransmittedPacketsReceived") >= 0.8 * received.grew("packetsLost"), told);
        }
      }),
    );
  }

  test("a page whose network has changed goes on after an ICE restart", () =>
    Studio.run(browser, {}, async (studio) => {
      const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert")];
      const { relay, server } = await ada.transport("send", {}, { relayed: true });
      const producer = await ada.produce({ kind: "video" });
      const consumer = await bert.consume(producer);
      await consumer.plays();
      const [path, { remotePort }] = [await ada.send.path(), server.iceSelectedTuple];
      // All that the page has sent from leads nowhere now.
      const dead = relay.browserPorts;
      relay.up.filter = relay.down.filter = (_, port) => !dead.has(port);
      await consumer.watch(300);
      assert.equal((await consumer.watch(500)).grew("framesDecoded"), 0);
      await ada.send.restartIce();
      await consumer.until("pictures come again", async (consumer, before) => {
        return [...(await consumer.getStats()).values()].some(({ type, framesDecoded }) => type === "inbound-rtp" && framesDecoded > before);
      }, (await consumer.stats()).framesDecoded);
      await assertFlows([[producer, consumer]], { duration: 1000 });
      assert.notEqual((await ada.send.path()).localCandidate.port, path.localCandidate.port);
      assert.notEqual(server.iceSelectedTuple.remotePort, remotePort);
      assert.equal(server.dtlsState, "connected");
    }),
  );

  test("over TCP alone", () =>
    Studio.run(browser, {}, async (studio) => {
      const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert")];
      for (const [client, direction] of [[ada, "send"], [bert, "recv"]]) {
        await client.transport(direction, { enableUdp: false, enableTcp: true });
      }
      await assertFlows(await call(ada, bert));
      for (const transport of [ada.send, bert.recv]) {
        const { localCandidate, remoteCandidate } = await transport.path();
        assert.deepEqual([localCandidate.protocol, remoteCandidate.protocol], ["tcp", "tcp"]);
        assert.equal(transport.server.iceSelectedTuple.protocol, "tcp");
      }
    }),
  );

  test("a WebRtcServer serves all pages on one port of each protocol", () =>
    Studio.run(browser, {}, async (studio) => {
      const listenInfos = ["udp", "tcp"].map((protocol) => ({ protocol, ip: "127.0.0.1" }));
      const webRtcServer = await studio.worker.createWebRtcServer({ listenInfos });
      const [ada, bert, cleo] = [await studio.open("Ada"), await studio.open("Bert"), await studio.open("Cleo")];
      const transports = [
        await ada.transport("send", { webRtcServer }),
        await bert.transport("recv", { webRtcServer }),
        await cleo.transport("recv", { webRtcServer, enableUdp: false, enableTcp: true }),
      ];
      const pairs = await call(ada, bert);
      for (const [producer] of [...pairs]) pairs.push([producer, await cleo.consume(producer)]);
      await assertFlows(pairs);
      const { udpSockets, tcpServers, webRtcTransportIds } = await webRtcServer.dump();
      assert.deepEqual(webRtcTransportIds.sort(), transports.map(({ id }) => id).sort());
      const ports = await Promise.all(transports.map(async (transport) => (await transport.path()).remoteCandidate.port));
      assert.deepEqual(ports, [udpSockets[0].port, udpSockets[0].port, tcpServers[0].port]);
    }),
  );

  test("routers of two workers are joined by a pipe", () =>
    Studio.run(browser, {}, async (studio) => {
      const far = await studio.createRouter(["opus", "vp8"], { otherWorker: true });
      const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert", { router: far })];
      const pairs = [];
      for (const kind of ["video", "audio"]) {
        const producer = await ada.produce({ kind });
        const { pipeProducer } = await studio.router.pipeToRouter({ producerId: producer.id, router: far });
        pairs.push([producer, await bert.consume(pipeProducer)]);
      }
      await assertFlows(pairs);
      // Pauses get through, too.
      const [[producer, consumer]] = pairs;
      await producer.server.pause();
      await consumer.watch(300);
      assert.equal((await consumer.watch(500)).grew("framesDecoded"), 0);
      assert.equal(consumer.server.producerPaused, true);
      await producer.server.resume();
      await assertFlows([[producer, consumer]], { duration: 1000 });
    }),
  );
});
