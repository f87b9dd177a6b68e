// One person in a room: a page of the conference in a browser context of its own.

import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";

const JOIN_LIMIT = 30_000;
const MEDIA_LIMIT = 30_000;
const POLL_INTERVAL = 50;
const SAMPLE_INTERVAL = 100;
// A machine that takes longer from the encoder or the page than this many milliseconds is too busy to judge anything.
const MOST_DELAY = 2000;
const LEAST_FRAME_RATE = 5;

export class Peer {
  name;
  page;
  #context;
  #errors = [];
  #query;
  #url;

  // Opens the page and joins. `query` goes to the page, such as {fake: 1} or {transport: "tcp"}.
  static async join(browser, conference, room, name, query = {}) {
    const peer = await Peer.open(browser, conference, room, name, query);
    await peer.isInRoom();
    return peer;
  }

  // Opens the page, which joins unless `query` has another idea. `prepare` gets the empty page before.
  static async open(browser, conference, room, name, query = {}, prepare = () => {}) {
    const peer = new Peer();
    peer.name = name;
    peer.#query = { room, name, join: 1, ...query };
    peer.#url = new URL("/", conference.url);
    peer.#url.search = new URLSearchParams(peer.#query);
    peer.#context = await browser.newContext({ ignoreHTTPSErrors: true, permissions: ["camera", "microphone"] });
    peer.page = await peer.#context.newPage();
    peer.page.on("pageerror", (error) => peer.#errors.push(`${error.stack ?? error}`));
    peer.page.on("console", (message) => {
      if (message.type() === "error") peer.#errors.push(message.text());
    });
    await prepare(peer.page);
    await peer.page.goto(peer.#url.href);
    return peer;
  }

  async isInRoom() {
    await this.until("it is in the room", () => window.sfu?.state === "joined", undefined, JOIN_LIMIT);
  }

  async close() {
    await this.#context.close();
  }

  // Nothing may have gone wrong in the page that nobody expected.
  assertNoErrors() {
    assert.deepEqual(this.#errors, [], `errors in ${this.name}'s page`);
  }

  // Waits until the page shows a sentence that matches, wherever it is meant to be seen.
  async says(pattern, limit) {
    const shown = (source) => new RegExp(source).test(document.body.innerText);
    await this.until(`it says ${pattern}`, shown, pattern.source, limit);
  }

  // Waits until `condition`, a function of the page that may be asynchronous, holds.
  async until(what, condition, argument, limit = 15_000) {
    const end = performance.now() + limit;
    while (!(await this.page.evaluate(condition, argument))) {
      if (performance.now() > end) {
        const seen = await this.page.evaluate(() => ({
          state: window.sfu?.state,
          error: window.sfu?.error,
          peers: window.sfu?.peers,
        }));
        assert.fail(`${this.name}: not within ${limit} ms: ${what}; ${JSON.stringify({ ...seen, errors: this.#errors })}`);
      }
      await setTimeout(POLL_INTERVAL);
    }
  }

  // Waits until exactly these other people are there.
  async sees(...names) {
    const same = (expected) =>
      JSON.stringify(window.sfu.peers.map(({ name }) => name).sort()) === JSON.stringify(expected);
    await this.until(`it sees [${names}]`, same, [...names].sort());
  }

  // Waits until sound and pictures of exactly these people come out of the decoders.
  async receives(...names) {
    await this.sees(...names);
    const decodes = async (expected) => {
      const { receiving } = await window.sfu.stats();
      return expected.every((name) => {
        const of = (kind) => receiving?.streams.find((stream) => stream.name === name && stream.kind === kind);
        return of("video")?.framesDecoded > 0 && of("audio")?.totalAudioEnergy > 0;
      });
    };
    await this.until(`it receives [${names}]`, decodes, names, MEDIA_LIMIT);
  }

  // Waits until everybody's pictures move, which they may have stopped to do.
  async seesMovement(limit) {
    const moves = async () => {
      const frames = async () => (await window.sfu.stats()).receiving.streams.filter(({ kind }) => kind === "video").map(({ framesDecoded }) => framesDecoded);
      const before = await frames();
      await new Promise((resolve) => setTimeout(resolve, 500));
      const after = await frames();
      return after.length === before.length && after.every((count, index) => count > before[index] + 2);
    };
    await this.until("pictures move", moves, undefined, limit);
  }

  stats() {
    return this.page.evaluate(() => window.sfu.stats());
  }

  // What happens during `duration` milliseconds. `received` has for each name and kind of stream what grew by how much;
  // `sent` the same for what is sent, the best of all layers. `gap` is the longest time in milliseconds in which no frame
  // was decoded or encoded. `stall` is how much later than asked for the page came to look.
  watch(duration) {
    return this.page.evaluate(watchPage, { duration, interval: SAMPLE_INTERVAL });
  }
}

// Runs in the page.
async function watchPage({ duration, interval }) {
  const COUNTERS = ["packets", "packetsLost", "framesDecoded", "framesEncoded", "totalAudioEnergy", "totalSamplesDuration"];
  const sample = async () => {
    const { sending, receiving } = await window.sfu.stats();
    const received = receiving.streams.filter(({ name }) => name).map((stream) => [`${stream.name} ${stream.kind}`, stream]);
    return new Map([...received, ...sending.streams.map((stream) => [`own ${stream.kind} ${stream.ssrc}`, stream])]);
  };
  const joins = window.sfu.joins;
  const first = await sample();
  const start = performance.now();
  const frames = ({ framesDecoded, framesEncoded }) => framesDecoded ?? framesEncoded ?? 0;
  const progress = new Map([...first].map(([key, stream]) => [key, { frames: frames(stream), at: start, gap: 0 }]));
  let [last, stall, before] = [first, 0, start];
  while (before < start + duration) {
    await new Promise((resolve) => setTimeout(resolve, interval));
    last = await sample();
    const now = performance.now();
    stall = Math.max(stall, now - before - interval);
    before = now;
    for (const [key, seen] of progress) {
      seen.gap = Math.max(seen.gap, now - seen.at);
      const stream = last.get(key);
      if (stream && frames(stream) !== seen.frames) Object.assign(seen, { frames: frames(stream), at: now });
    }
  }
  const streams = [...progress].map(([key, { gap }]) => {
    const grew = COUNTERS.map((counter) => [counter, (last.get(key)?.[counter] ?? 0) - (first.get(key)[counter] ?? 0)]);
    const { frameWidth, codec } = last.get(key) ?? {};
    return [key, { ...Object.fromEntries(grew), gap, frameWidth, codec }];
  });
  const own = streams.filter(([key]) => key.startsWith("own video")).map(([, stream]) => stream);
  return {
    joins: window.sfu.joins - joins,
    stall,
    received: Object.fromEntries(streams.filter(([key]) => !key.startsWith("own "))),
    sent: { frames: Math.max(...own.map((stream) => stream.framesEncoded)), gap: Math.min(...own.map((stream) => stream.gap)) },
  };
}

// Everybody decodes everybody else's sound and pictures without interruption for `duration` milliseconds: no second
// passes without a frame, beyond what a busy machine takes from the encoder or from the page itself.
export async function assertMediaFlows(peers, { duration = 10_000 } = {}) {
  const others = (peer) => peers.filter((other) => other !== peer);
  await Promise.all(peers.map((peer) => peer.receives(...others(peer).map(({ name }) => name))));
  const watched = new Map();
  await Promise.all(peers.map(async (peer) => watched.set(peer, await peer.watch(duration))));
  for (const peer of peers) {
    const { received, stall, joins } = watched.get(peer);
    assert.equal(joins, 0, `${peer.name} joined anew meanwhile`);
    for (const other of others(peer)) {
      const of = (kind) => received[`${other.name} ${kind}`] ?? assert.fail(`${peer.name} lost ${other.name}'s ${kind}`);
      const [audio, video] = [of("audio"), of("video")];
      const { sent } = watched.get(other);
      const told = `${peer.name} receives ${other.name}: ${JSON.stringify({ audio, video, sent, stall })}`;
      assert.ok(sent.gap + stall <= MOST_DELAY, `the machine is too busy; ${told}`);
      assert.ok(sent.frames >= LEAST_FRAME_RATE * (duration / 1000), told);
      assert.ok(video.framesDecoded >= sent.frames / 2, told);
      assert.ok(video.gap <= 1000 + sent.gap + stall, told);
      // A packet carries 20 ms of sound.
      assert.ok(audio.packets >= duration / 20 / 2, told);
      assert.ok(audio.totalAudioEnergy > 0, told);
      assert.ok(audio.packetsLost + video.packetsLost <= 0.01 * (audio.packets + video.packets), told);
    }
  }
}

// Both connections of each peer use this protocol, and an address of the server that matches.
export async function assertPath(peers, protocol, address) {
  for (const peer of peers) {
    const { sending, receiving } = await peer.stats();
    for (const [which, path] of Object.entries({ sending, receiving })) {
      assert.equal(path.protocol, protocol, `${peer.name} ${which}`);
      assert.match(path.remote, address, `${peer.name} ${which}`);
      assert.equal(path.state, "connected", `${peer.name} ${which}`);
    }
  }
}
