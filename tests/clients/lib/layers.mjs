// Switching layers on and on, and what the receiver makes of it.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { setTimeout } from "node:timers/promises";

import { Progress } from "./watch.mjs";

// The library of mediasoup 3.12 negotiates what this object lists. Its worker had no AV1; ours has, and with the header
// extension by which the layers of AV1 are told. To be called before a router is made.
export function offerAv1() {
  const { supportedRtpCapabilities: offered } = createRequire(import.meta.url)("mediasoup/node/lib/supportedRtpCapabilities.js");
  if (offered.codecs.some(({ mimeType }) => mimeType === AV1.mimeType)) return;
  offered.codecs.push({ ...offered.codecs.find(({ mimeType }) => mimeType === "video/VP8"), mimeType: AV1.mimeType });
  const uri = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
  offered.headerExtensions.push({ kind: "video", uri, preferredId: 9, preferredEncrypt: false, direction: "sendrecv" });
}

export const AV1 = { kind: "video", mimeType: "video/AV1", clockRate: 90000 };

// Three streams, each half as wide as the next, with temporal layers.
export const simulcast = (scalabilityMode) =>
  [4, 2, 1].map((scaleResolutionDownBy, index) => ({ scaleResolutionDownBy, scalabilityMode, maxBitrate: [150_000, 400_000, 1_200_000][index] }));

// One stream of all layers.
export const svc = (scalabilityMode) => [{ scalabilityMode, maxBitrate: 1_500_000 }];

// The width of the highest spatial layer: Chromium sends three of simulcast from 960 on.
export const WIDTH = 960;
const SOURCE = { kind: "video", from: "canvas", width: WIDTH, height: 540, frameRate: 15, detail: 0.02 };

// How long a switch may take. A key frame is asked for at once, and again after a second.
const SWITCH_LIMIT = 5_000;
// How long layers are kept once they are sent.
const HOLD = 700;

// Numbers that look random, the same each time.
function* numbers(seed) {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state >>> 8;
  }
}

async function until(what, condition, limit) {
  const end = performance.now() + limit;
  for (;;) {
    const seen = await condition();
    if (seen === true) return;
    assert.ok(performance.now() < end, `not within ${limit} ms: ${what}; ${JSON.stringify(seen)}`);
    await setTimeout(20);
  }
}

// One page sends in these encodings, another receives while the layers that it prefers change for `duration` milliseconds:
// all of them in turn first, then as numbers from `seed` will have it. Returns what the receiver counted, how many
// switches there were, and the longest that one took, in milliseconds.
export async function switchLayers(studio, { codec, encodings, spatialLayers = 3, temporalLayers, duration, seed = 1 }) {
  const [ada, bert] = [await studio.open("Ada"), await studio.open("Bert")];
  await bert.transport("recv", { initialAvailableOutgoingBitrate: 20_000_000 });
  const producer = await ada.produce(SOURCE, { codec, encodings, codecOptions: { videoGoogleStartBitrate: 2500 } });
  // A busy machine would make pictures smaller, and their widths tell the layers here. (A contentHint of "detail" would say
  // so too, but means a screen, of which Chromium sends other layers.)
  await producer.evaluate(({ rtpSender }) =>
    rtpSender.setParameters({ ...rtpSender.getParameters(), degradationPreference: "maintain-resolution" }));
  const consumer = await bert.consume(producer);
  const sends = async (spatialLayer, temporalLayer) => {
    const now = consumer.server.currentLayers;
    const here = now?.spatialLayer === spatialLayer && now.temporalLayer === temporalLayer;
    return here || { now, score: consumer.server.score };
  };
  // The sender's bandwidth estimate has come up when the highest layer is there.
  await until("the highest layers are sent", () => sends(spatialLayers - 1, temporalLayers - 1), 20_000);
  await consumer.shows(WIDTH);

  const sent = producer.watch(duration);
  const received = consumer.watch(duration);
  // Where a switch fails these fail too, when the pages are closed, and must not hide why.
  for (const watch of [sent, received]) watch.catch(() => undefined);
  const end = performance.now() + duration;
  const random = numbers(seed);
  const [switches, slowest] = [[], { took: 0 }];
  while (performance.now() < end - HOLD) {
    const turn = switches.length < spatialLayers * temporalLayers ? switches.length * 2 + 1 : random.next().value;
    const layer = turn % (spatialLayers * temporalLayers);
    const [spatialLayer, temporalLayer] = [Math.floor(layer / temporalLayers), layer % temporalLayers];
    const start = performance.now();
    assert.equal(await consumer.server.setPreferredLayers({ spatialLayer, temporalLayer }), undefined);
    assert.deepEqual(consumer.server.preferredLayers, { spatialLayer, temporalLayer });
    await until(`layers ${spatialLayer}.${temporalLayer} are sent`, () => sends(spatialLayer, temporalLayer), SWITCH_LIMIT);
    const took = performance.now() - start;
    if (took > slowest.took) Object.assign(slowest, { took, spatialLayer, temporalLayer });
    switches.push([spatialLayer, temporalLayer]);
    await consumer.shows(WIDTH >> (spatialLayers - 1 - spatialLayer), SWITCH_LIMIT);
    await setTimeout(HOLD);
  }
  const encoded = (await sent).grew("framesEncoded") / (encodings.length > 1 ? 1 : spatialLayers);
  // The time between two pictures of the lowest temporal layer.
  const interval = (duration / Math.max(1, encoded)) * 2 ** (temporalLayers - 1);
  return { sent: await sent, received: await received, switches: switches.length, slowest, interval, streams: encodings.length };
}

// The receiver saw pictures all the time, and its decoder complained of none. A key frame may take as long as until it is
// asked for again, and where the lowest temporal layer alone is sent pictures are rare.
const KEY_FRAME_INTERVAL = 1000;
// A machine that takes longer from the encoder or the page than this many milliseconds is too busy to judge anything.
const MOST_DELAY = 2000;

export function assertSmooth({ sent, received, switches, slowest, interval, streams }) {
  assert.ok(received instanceof Progress);
  const counters = ["framesReceived", "framesDecoded", "framesDropped", "keyFramesDecoded", "pliCount", "nackCount", "packetsLost", "retransmittedPacketsReceived", "freezeCount", "totalFreezesDuration"];
  const figures = {
    switches,
    framesEncoded: sent.grew("framesEncoded"),
    slowestSwitch: Math.round(slowest.took),
    lowestInterval: Math.round(interval),
    longestGap: Math.round(received.gap),
    sendersGap: Math.round(sent.gap),
    stall: Math.round(sent.stall + received.stall),
    ...Object.fromEntries(counters.map((counter) => [counter, received.grew(counter)])),
  };
  const told = JSON.stringify(figures);
  assert.ok(sent.gap + figures.stall <= MOST_DELAY, `the machine is too busy; ${told}`);
  assert.ok(switches > 0, told);
  assert.ok(received.gap <= KEY_FRAME_INTERVAL + interval + sent.gap + sent.stall + received.stall, `frozen; ${told}`);
  // What it asks for is a key frame if its decoder fails or misses a frame.
  assert.equal(figures.pliCount, 0, `the decoder wants a key frame; ${told}`);
  assert.ok(figures.framesReceived - figures.framesDecoded - figures.framesDropped <= 5, `not decoded; ${told}`);
  // One number is left out where another stream begins in the middle of a picture, so that this is not taken for whole. The
  // receiver counts it as lost and asks for it in vain; what a busy machine has lost comes again, but for the last of it.
  const leftOut = figures.packetsLost - figures.retransmittedPacketsReceived;
  assert.ok(leftOut <= (streams > 1 ? switches : 2), told);
  return figures;
}
