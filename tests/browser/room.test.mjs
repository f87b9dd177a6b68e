// What people do in a room, and what happens to it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { launchBrowser } from "./lib/browser.mjs";
import { Conference } from "./lib/conference.mjs";
import { Peer, assertMediaFlows } from "./lib/peer.mjs";

describe("a room", () => {
  let browser;
  before(async () => {
    browser = await launchBrowser();
  });
  after(() => browser?.close());

  // `body` gets `join`, which lets people of these names join, the list of all that have, and the conference.
  const inRoom = (title, body) =>
    test(title, () =>
      Conference.run(["--announce", "127.0.0.1"], async (conference, peers) => {
        const join = async (...names) => {
          for (const name of names) peers.push(await Peer.join(browser, conference, "room", name));
          return peers.slice(-names.length);
        };
        await body({ join, peers, conference });
      }),
    );

  inRoom("three people all hear and see each other", async ({ join, peers }) => {
    await join("Ada", "Bert", "Cleo");
    await assertMediaFlows(peers);
    for (const peer of peers) {
      assert.equal(await peer.page.locator("article.tile").count(), 3);
      peer.assertNoErrors();
    }
  });

  inRoom("another room is another room", async ({ join, peers, conference }) => {
    const [ada] = await join("Ada");
    const other = await Peer.join(browser, conference, "elsewhere", "Bert");
    peers.push(other);
    const [cleo] = await join("Cleo");
    await ada.receives("Cleo");
    await cleo.receives("Ada");
    await other.sees();
  });

  inRoom("mute stops the sound and the picture, and brings them back", async ({ join, peers }) => {
    const [ada, bert] = await join("Ada", "Bert");
    await bert.receives("Ada");
    const shown = (on) => ({ micOn, camOn }) => micOn === on && camOn === on;
    const tells = (on) =>
      bert.until(
        `knows that Ada is ${on ? "on" : "off"}`,
        (on) => {
          const [{ id, micOn, camOn }] = window.sfu.peers;
          const tile = document.querySelector(`article.tile[data-peer-id="${id}"]`);
          const off = [tile.classList.contains("mic-off"), tile.classList.contains("cam-off")];
          return micOn === on && camOn === on && off.every((is) => is === !on);
        },
        on,
      );

    await tells(true);
    await ada.page.evaluate(() => Promise.all([window.sfu.setMic(false), window.sfu.setCam(false)]));
    await tells(false);
    assert.ok(shown(false)(await ada.page.evaluate(() => ({ micOn: window.sfu.micOn, camOn: window.sfu.camOn }))));
    // What was on its way has arrived by now or does within the first of these seconds.
    await bert.watch(1000);
    const muted = await bert.watch(2000);
    assert.equal(muted.received["Ada audio"].packets, 0);
    assert.equal(muted.received["Ada video"].framesDecoded, 0);

    await ada.page.evaluate(() => Promise.all([window.sfu.setMic(true), window.sfu.setCam(true)]));
    await tells(true);
    await assertMediaFlows(peers, { duration: 5000 });
    peers.forEach((peer) => peer.assertNoErrors());
  });

  inRoom("who leaves is gone, and can come back", async ({ join, peers }) => {
    const [ada, bert, cleo] = await join("Ada", "Bert", "Cleo");
    await ada.receives("Bert", "Cleo");
    // Several times, because what is left over of an earlier stay shows only then.
    for (let time = 0; time < 3; time += 1) {
      await bert.page.evaluate(() => window.sfu.leave());
      await Promise.all([ada.sees("Cleo"), cleo.sees("Ada")]);
      assert.equal(await ada.page.locator("article.tile").count(), 2);
      await bert.page.evaluate(() => window.sfu.join());
      await Promise.all([ada.receives("Bert", "Cleo"), bert.receives("Ada", "Cleo"), cleo.receives("Ada", "Bert")]);
    }
    await assertMediaFlows(peers, { duration: 5000 });
    // Sections of those who left are used again.
    const sections = await ada.page.evaluate(() => window.sfu.receiving.remoteDescription.sdp.match(/^m=/gm).length);
    assert.ok(sections <= 5, `${sections} media sections for two people`);
    peers.forEach((peer) => peer.assertNoErrors());
  });

  inRoom("closing the page is leaving", async ({ join, peers }) => {
    const [ada, bert] = await join("Ada", "Bert");
    await ada.receives("Bert");
    await bert.close();
    peers.pop();
    await ada.sees();
    await join("Bert");
    await assertMediaFlows(peers, { duration: 3000 });
  });

  inRoom("an ICE restart does not interrupt anything", async ({ join, peers }) => {
    const [ada, bert] = await join("Ada", "Bert");
    await Promise.all([ada.receives("Bert"), bert.receives("Ada")]);
    const fragments = () =>
      ada.page.evaluate(() =>
        [window.sfu.sending, window.sfu.receiving].flatMap(({ localDescription, remoteDescription }) =>
          [localDescription, remoteDescription].map(({ sdp }) => /a=ice-ufrag:(\S+)/.exec(sdp)[1]),
        ),
      );
    const before = await fragments();
    const flow = assertMediaFlows(peers);
    await ada.page.evaluate(() => window.sfu.restartIce());
    await flow;
    const now = await fragments();
    before.forEach((fragment, index) => assert.notEqual(now[index], fragment, "new credentials on both sides"));
    assert.equal(await ada.page.evaluate(() => window.sfu.joins), 1, "it did not join anew");
    peers.forEach((peer) => peer.assertNoErrors());
  });

  inRoom("mute outlives leaving and coming back", async ({ join }) => {
    const [ada, bert] = await join("Ada", "Bert");
    await ada.page.evaluate(() => Promise.all([window.sfu.setMic(false), window.sfu.setCam(false)]));
    await ada.page.evaluate(() => window.sfu.leave());
    await ada.page.evaluate(() => window.sfu.join());
    await ada.isInRoom();
    assert.deepEqual(await ada.page.evaluate(() => [window.sfu.micOn, window.sfu.camOn]), [false, false]);
    await bert.until("Ada is back, and silent", () => {
      const [ada, ...more] = window.sfu.peers;
      return more.length === 0 && ada && ada.audio && !ada.micOn && !ada.camOn;
    });
  });

  inRoom("the statistics are drawn", async ({ join }) => {
    const [ada] = await join("Ada", "Bert");
    await ada.receives("Bert");
    await ada.page.click("#stats-toggle");
    // Lines without values touch few rows of a canvas; a curve, and what is filled below it, many.
    const drawn = (expected) =>
      [...document.querySelectorAll(".stats-stream")].filter((stream) => {
        const canvas = stream.querySelector("canvas");
        if (!canvas.width || !canvas.height) return false;
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const rows = Array.from({ length: canvas.height }, (_, row) => data.subarray(row * canvas.width * 4, (row + 1) * canvas.width * 4));
        return rows.filter((row) => row.some((value) => value > 0)).length > canvas.height / 4;
      }).length === expected;
    await ada.until("the bitrates of both people's sound and pictures are drawn", drawn, 4);
  });

  inRoom("a lost WebSocket is made anew", async ({ join, peers }) => {
    const [ada, bert] = await join("Ada", "Bert");
    await Promise.all([ada.receives("Bert"), bert.receives("Ada")]);
    await ada.page.evaluate(() => window.sfu.dropSocket());
    await ada.until("joined again", () => window.sfu.joins === 2 && window.sfu.state === "joined");
    await assertMediaFlows(peers, { duration: 3000 });
  });

  inRoom("a killed worker is replaced, and the people in its room come back by themselves", async ({ join, peers, conference }) => {
    const [ada, bert] = await join("Ada", "Bert");
    await Promise.all([ada.receives("Bert"), bert.receives("Ada")]);
    const [worker, ...more] = conference.workers();
    assert.equal(more.length, 0, "one worker was asked for");
    process.kill(worker, "SIGKILL");
    for (const peer of peers) {
      await peer.until("joined again", () => window.sfu.joins >= 2 && window.sfu.state === "joined", undefined, 30_000);
    }
    await assertMediaFlows(peers, { duration: 3000 });
    const [replacement] = conference.workers();
    assert.notEqual(replacement, worker);
  });

  inRoom("media comes back by itself after a worker has hung for a while", async ({ join, peers, conference }) => {
    const [ada, bert] = await join("Ada", "Bert");
    await Promise.all([ada.receives("Bert"), bert.receives("Ada")]);
    const [worker] = conference.workers();
    process.kill(worker, "SIGSTOP");
    try {
      for (const peer of peers) {
        await peer.until("it has noticed", () => window.sfu.state === "reconnecting", undefined, 20_000);
      }
    } finally {
      process.kill(worker, "SIGCONT");
    }
    for (const peer of peers) await peer.until("it is back", () => window.sfu.state === "joined", undefined, 60_000);
    // Media that had waited for the worker would have the browsers hold back pictures for 3 s.
    await Promise.all(peers.map((peer) => peer.seesMovement(2500)));
    await assertMediaFlows(peers, { duration: 3000 });
  });

  inRoom("people come back by themselves after the server was restarted", async ({ join, peers, conference }) => {
    const [ada, bert] = await join("Ada", "Bert");
    await Promise.all([ada.receives("Bert"), bert.receives("Ada")]);
    await conference.restart();
    for (const peer of peers) {
      await peer.until("joined again", () => window.sfu.joins >= 2 && window.sfu.state === "joined", undefined, 30_000);
    }
    await assertMediaFlows(peers, { duration: 3000 });
  });
});
