// What happens to a stream in some seconds, and what a user should see then.

import assert from "node:assert/strict";

// A machine that takes longer from the encoder or the page than this many milliseconds is too busy to judge anything.
const MOST_DELAY = 2000;

// Runs in the page, for a Producer or a Consumer: how its counters grew, and the longest time without a frame.
export async function watchPage(stream, duration) {
  const sample = async () => [...(await stream.getStats()).values()].filter(({ type }) => type === "inbound-rtp" || type === "outbound-rtp");
  const frames = (streams) => Math.max(0, ...streams.map(({ framesDecoded, framesEncoded }) => framesDecoded ?? framesEncoded ?? 0));
  const first = await sample();
  const start = performance.now();
  const seen = { frames: frames(first), at: start, gap: 0 };
  let [last, before, stall] = [first, start, 0];
  while (before < start + duration) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    last = await sample();
    const now = performance.now();
    stall = Math.max(stall, now - before - 100);
    before = now;
    seen.gap = Math.max(seen.gap, now - seen.at);
    if (frames(last) !== seen.frames) Object.assign(seen, { frames: frames(last), at: now });
  }
  return { first, last, gap: seen.gap, stall };
}

export class Progress {
  // The longest time in milliseconds in which no frame was encoded or decoded.
  gap;
  // How much later than asked for the page came to look, in milliseconds.
  stall;
  // The last reports.
  streams;
  #first;

  constructor({ first, last, gap, stall }) {
    Object.assign(this, { gap, stall, streams: last });
    this.#first = new Map(first.map((report) => [report.id, report]));
  }

  // By how much a counter of the reports grew, the most of all layers.
  grew(counter) {
    return Math.max(0, ...this.streams.map((report) => (report[counter] ?? 0) - (this.#first.get(report.id)?.[counter] ?? 0)));
  }

  toJSON() {
    const counters = ["packetsReceived", "packetsSent", "packetsLost", "framesDecoded", "framesEncoded", "freezeCount", "totalAudioEnergy"];
    const grew = counters.map((counter) => [counter, this.grew(counter)]).filter(([, growth]) => growth !== 0);
    const { frameWidth, frameHeight } = this.streams[0] ?? {};
    return { ...Object.fromEntries(grew), gap: Math.round(this.gap), stall: Math.round(this.stall), frameWidth, frameHeight };
  }
}

// Whoever consumes sees and hears what is produced, without interruption, for `duration` milliseconds. `pairs` are arrays
// of a ClientProducer and a ClientConsumer of it. `gap` is the longest time without a frame that a person would accept,
// beyond what a busy machine takes from the encoder or the page; `loss` is the share of packets that may stay lost.
export async function assertFlows(pairs, { duration = 2000, gap = 1000, loss = 0.01 } = {}) {
  await Promise.all(pairs.map(([, consumer]) => consumer.plays()));
  const watched = await Promise.all(pairs.map((pair) => Promise.all(pair.map((stream) => stream.watch(duration)))));
  pairs.forEach(([producer, consumer], index) => {
    const [sent, received] = watched[index];
    const told = `${consumer.client.name} receives ${producer.client.name}'s ${consumer.server.kind}: ${JSON.stringify({ sent, received })}`;
    const stall = sent.stall + received.stall;
    assert.ok(received.grew("packetsLost") <= loss * received.grew("packetsReceived"), told);
    if (consumer.server.kind === "video") {
      assert.ok(sent.gap + stall <= MOST_DELAY, `the machine is too busy; ${told}`);
      assert.ok(sent.grew("framesEncoded") >= (2 * duration) / 1000, told);
      assert.ok(received.grew("framesDecoded") >= sent.grew("framesEncoded") / 2, told);
      assert.ok(received.gap <= gap + sent.gap + stall, told);
    } else {
      assert.ok(received.grew("packetsReceived") >= sent.grew("packetsSent") / 2 && received.grew("packetsReceived") > 0, told);
      assert.ok(received.grew("totalAudioEnergy") > 0, told);
    }
  });
}
