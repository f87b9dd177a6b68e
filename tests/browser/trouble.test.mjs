// What goes wrong is told in a sentence, and what can go on goes on.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { launchBrowser } from "./lib/browser.mjs";
import { Conference } from "./lib/conference.mjs";
import { Peer } from "./lib/peer.mjs";

const IPV4 = ["--announce", "127.0.0.1"];

// These run in the page before its own scripts.
function denyDevices() {
  navigator.mediaDevices.getUserMedia = async () => {
    throw new DOMException("", "NotAllowedError");
  };
}

function neverAnswer() {
  navigator.mediaDevices.getUserMedia = () => new Promise(() => {});
}

// Every camera that the browser gives is listed, and takes its time.
function listCameras() {
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  window.cameras = [];
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    const stream = await open(wanted);
    window.cameras.push(...stream.getVideoTracks());
    await new Promise((resolve) => setTimeout(resolve, 200));
    return stream;
  };
}

// As a browser does to a page that nobody looks at.
function throttleTimers() {
  const start = window.setInterval;
  window.setInterval = (work, period) => start(work, Math.max(period, 1000));
}

describe("trouble", () => {
  let browser;
  before(async () => {
    browser = await launchBrowser();
  });
  after(() => browser?.close());

  // `body` gets `open`, which lets Ada open the page of a room with this query and preparation.
  const withPage = (title, options, body) =>
    test(title, () =>
      Conference.run(options, (conference, peers) =>
        body(async ({ room = "room", query, prepare } = {}) => {
          const peer = await Peer.open(browser, conference, room, "Ada", query, prepare);
          peers.push(peer);
          return peer;
        }),
      ),
    );
  const inPage = (script) => (page) => page.addInitScript(script);

  withPage("a denied camera is told of in the room", IPV4, async (open) => {
    const ada = await open({ prepare: inPage(denyDevices) });
    await ada.isInRoom();
    await ada.says(/Access to the camera and microphone was denied/);
    assert.equal(await ada.page.evaluate(() => window.sfu.synthetic), true);
  });

  withPage("who has not answered about the camera is in the room, and can go on without", IPV4, async (open) => {
    const ada = await open({ prepare: inPage(neverAnswer) });
    await ada.isInRoom();
    await ada.says(/Allow the camera and microphone/);
    await ada.page.getByRole("button", { name: "Continue without" }).click();
    await ada.until("something is sent", async () => (await window.sfu.stats()).sending.streams.some(({ framesEncoded }) => framesEncoded > 0));
  });

  withPage("a camera that is denied once is asked for again when it is switched on", IPV4, async (open) => {
    const ada = await open({
      prepare: inPage(() => {
        const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wanted) => {
          if (!window.freed) throw new DOMException("", "NotReadableError");
          return open(wanted);
        };
      }),
    });
    await ada.says(/Another program uses the camera and microphone/);
    await ada.page.evaluate(async () => {
      window.freed = true;
      await Promise.all([window.sfu.setCam(false), window.sfu.setMic(false)]);
      await Promise.all([window.sfu.setCam(true), window.sfu.setMic(true)]);
    });
    assert.equal(await ada.page.evaluate(() => window.sfu.synthetic), false);
  });

  withPage("a camera that is off is off, however often it was switched", IPV4, async (open) => {
    const ada = await open({ prepare: inPage(listCameras) });
    await ada.isInRoom();
    const switched = (...states) => ada.page.evaluate((states) => Promise.all(states.map((on) => window.sfu.setCam(on))), states);
    // Every camera that was opened counts, and a late one comes within the time that listCameras takes.
    const settles = (expected) =>
      ada.until(`${expected} cameras are on`, async (expected) => {
        const live = () => window.cameras.filter(({ readyState }) => readyState === "live").length;
        if (live() !== expected) return false;
        await new Promise((resolve) => setTimeout(resolve, 1000));
        return live() === expected && Boolean(window.sfu.sending.getSenders()[1].track) === Boolean(expected);
      }, expected);
    await switched(false, true, false);
    await settles(0);
    await switched(true, false, true, false, true);
    await settles(1);
    await switched(false, true, false, true, false);
    await settles(0);
  });

  withPage("a synthetic picture keeps its pace where the page's own timers do not", IPV4, async (open) => {
    const ada = await open({ query: { fake: 1 }, prepare: inPage(throttleTimers) });
    await ada.isInRoom();
    const pace = async () => {
      const frames = async () => (await window.sfu.stats()).sending.streams.find(({ kind }) => kind === "video")?.framesEncoded ?? 0;
      const [before, start] = [await frames(), performance.now()];
      await new Promise((resolve) => setTimeout(resolve, 2000));
      return ((await frames()) - before) / ((performance.now() - start) / 1000) > 5;
    };
    await ada.until("more than 5 frames a second are sent", pace);
  });

  withPage("a room whose name is too long is cut, and says so", IPV4, async (open) => {
    const ada = await open({ room: "x".repeat(201), query: { fake: 1 } });
    await ada.isInRoom();
    await ada.says(/name of this room is too long/);
    assert.equal(await ada.page.evaluate(() => window.sfu.room.length), 200);
  });

  withPage("media that does not get through is told of, with where it should go", ["--announce", "203.0.113.7"], async (open) => {
    const ada = await open({ query: { fake: 1 } });
    await ada.says(/firewall may block its ports, such as 203\.0\.113\.7:\d+/, 25_000);
    const told = await ada.page.evaluate(() => document.body.innerText);
    assert.doesNotMatch(told, /encrypted/);
  });

  withPage("a server that cannot be reached is told of, with what is done about it", IPV4, async (open) => {
    let attempts = 0;
    const prepare = (page) => page.routeWebSocket(/./, (socket) => {
      attempts += 1;
      socket.close({ code: 1013, reason: "no media worker is available" });
    });
    const ada = await open({ query: { fake: 1 }, prepare });
    await ada.says(/no media worker is available/);
    await ada.says(/Trying again in 4 s/);
    const before = attempts;
    await ada.page.getByRole("button", { name: "Try now" }).click();
    await ada.says(/Trying again in 8 s/);
    assert.equal(attempts, before + 1);
  });

  withPage("a server that sends one away for good is asked once, and gives its reason", IPV4, async (open) => {
    let attempts = 0;
    const prepare = (page) => page.routeWebSocket(/./, (socket) => {
      attempts += 1;
      socket.close({ code: 4000, reason: "the room is full" });
    });
    const ada = await open({ query: { fake: 1 }, prepare });
    await ada.says(/The server refused to let you in: the room is full/);
    assert.equal(await ada.page.evaluate(() => window.sfu.state), "failed");
    assert.equal(attempts, 1);
  });

  for (const [code, state, pattern] of [[403, "failed", /refused to let you in: no/], [500, "connecting", /Joining did not work: no.*\s+Trying again/]]) {
    withPage(`a request refused with ${code} ends as "${state}"`, IPV4, async (open) => {
      const prepare = (page) => page.routeWebSocket(/./, (socket) => {
        socket.onMessage((text) => socket.send(JSON.stringify({ response: true, id: JSON.parse(text).id, errorCode: code, errorReason: "no" })));
      });
      const ada = await open({ query: { fake: 1 }, prepare });
      await ada.says(pattern);
      assert.equal(await ada.page.evaluate(() => window.sfu.state), state);
    });
  }

  withPage("who is alone is given a link that others can open", IPV4, async (open) => {
    const urls = ["https://localhost:4443/", "https://192.0.2.7:4443/"];
    const prepare = (page) => page.route("**/reachable.json", (route) => route.fulfill({ json: { urls } }));
    const ada = await open({ query: { fake: 1 }, prepare });
    await ada.isInRoom();
    await ada.until("the link is there", () => document.querySelector("#alone-link").value === "https://192.0.2.7:4443/?room=room");
  });
});
