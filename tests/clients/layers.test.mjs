// Simulcast and SVC: whatever layers are sent in turn, the receiver's picture goes on.
//
// Each case takes some seconds. To have each switch for longer, such as ten minutes in all, and see the figures:
//
//     LAYERS_SECONDS=100 node --test --test-reporter=spec layers.test.mjs

import { after, before, describe, test } from "node:test";

import { launchChromium } from "./lib/browser.mjs";
import { AV1, assertSmooth, offerAv1, simulcast, svc, switchLayers } from "./lib/layers.mjs";
import { Studio } from "./lib/studio.mjs";

const SECONDS = Number(process.env.LAYERS_SECONDS ?? 5);

const CASES = [
  { title: "simulcast of VP8, two temporal layers each", codec: "video/VP8", encodings: simulcast("L1T2"), temporalLayers: 2 },
  { title: "simulcast of H264", codec: "video/H264", encodings: simulcast("L1T1"), temporalLayers: 1 },
  { title: "simulcast of AV1, two temporal layers each", codec: "video/AV1", encodings: simulcast("L1T2"), temporalLayers: 2 },
  { title: "simulcast of VP9, two temporal layers each", codec: "video/VP9", encodings: simulcast("L1T2"), temporalLayers: 2 },
  { title: "VP9 in L3T3", codec: "video/VP9", encodings: svc("L3T3"), temporalLayers: 3 },
  { title: "VP9 in L3T3_KEY", codec: "video/VP9", encodings: svc("L3T3_KEY"), temporalLayers: 3 },
  { title: "VP9 in S3T3", codec: "video/VP9", encodings: svc("S3T3"), temporalLayers: 3 },
  { title: "AV1 in L3T3", codec: "video/AV1", encodings: svc("L3T3"), temporalLayers: 3 },
  { title: "AV1 in L3T3_KEY", codec: "video/AV1", encodings: svc("L3T3_KEY"), temporalLayers: 3 },
  { title: "AV1 in S2T1", codec: "video/AV1", encodings: svc("S2T1"), spatialLayers: 2, temporalLayers: 1 },
];

const ROUTER = { "video/VP8": "vp8", "video/VP9": "vp9", "video/H264": "h264", "video/AV1": AV1 };

describe("layers", () => {
  let browser;
  before(async () => {
    offerAv1();
    browser = await launchChromium();
  });
  after(() => browser?.close());

  for (const { title, ...options } of CASES) {
    test(title, (context) =>
      Studio.run(browser, { codecs: [ROUTER[options.codec]], limit: 60_000 + SECONDS * 1500 }, async (studio) => {
        const figures = assertSmooth(await switchLayers(studio, { ...options, duration: SECONDS * 1000 }));
        context.diagnostic(JSON.stringify(figures));
      }),
    );
  }
});
