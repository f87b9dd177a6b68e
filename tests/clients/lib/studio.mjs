// A worker of ours under mediasoup's library, a router, and pages with mediasoup-client.

import assert from "node:assert/strict";

import "../../node/worker-bin.mjs";
import * as mediasoup from "mediasoup";

import { ChromiumPage } from "./browser.mjs";
import { Client } from "./client.mjs";
import { FirefoxPage } from "./firefox.mjs";
import { serve } from "./server.mjs";

const video = (mimeType, parameters) => ({ kind: "video", mimeType, clockRate: 90000, parameters });

// Codecs of a router. H264 is constrained baseline, level 3.1.
export const CODECS = {
  opus: { kind: "audio", mimeType: "audio/opus", clockRate: 48000, channels: 2 },
  vp8: video("video/VP8"),
  vp9: video("video/VP9", { "profile-id": 0 }),
  h264: video("video/H264", { "packetization-mode": 1, "profile-level-id": "42e01f", "level-asymmetry-allowed": 1 }),
};

// The longest that a test may take, in milliseconds, unless it says otherwise.
const LIMIT = 60_000;

export class Studio {
  worker;
  router;
  url;
  clients = [];
  #browser;
  #server;
  #workers = [];
  #settings;
  #address;
  #died;

  // Runs `body` with a studio, and ends everything afterwards, at the latest after `limit`. `codecs` are names in
  // CODECS, or codecs; `worker` are settings of the worker, and transports listen on `address`.
  static async run(browser, { codecs = ["opus", "vp8"], worker = {}, address = "127.0.0.1", limit = LIMIT } = {}, body) {
    const studio = new Studio();
    studio.#browser = browser;
    studio.#address = address;
    try {
      studio.#settings = { logLevel: "warn", ...worker };
      studio.worker = await studio.#createWorker();
      studio.router = await studio.createRouter(codecs);
      studio.#server = await serve((method, data) => studio.#handle(method, data));
      studio.url = studio.#server.url;
      await within(limit, body(studio));
      for (const client of studio.clients) client.assertNoErrors();
    } catch (error) {
      error.message += studio.clients.map((client) => client.log()).join("");
      throw error;
    } finally {
      await Promise.all(studio.clients.map((client) => client.close()));
      studio.#server?.close();
      for (const worker of studio.#workers) worker.close();
    }
    assert.equal(studio.#died, undefined, "the worker died");
  }

  // A further router, of a further worker if asked for.
  async createRouter(codecs, { otherWorker = false } = {}) {
    const worker = otherWorker ? await this.#createWorker() : this.worker;
    return worker.createRouter({ mediaCodecs: codecs.map((codec) => CODECS[codec] ?? codec) });
  }

  async #createWorker() {
    const worker = await mediasoup.createWorker(this.#settings);
    worker.on("died", (error) => (this.#died = error));
    this.#workers.push(worker);
    return worker;
  }

  // A page with a device that knows the router, of the browser or of a Firefox of its own.
  async open(name, { router = this.router, firefox = false } = {}) {
    const page = firefox ? new FirefoxPage() : await ChromiumPage.create(this.#browser);
    const client = new Client(name, page, router, this.#address);
    this.clients.push(client);
    await client.open(this.url);
    return client;
  }

  // What the pages ask for: the transports, and a Firefox for itself.
  async #handle(method, { remote, transportId, ...data }) {
    if (remote !== undefined) {
      const { page } = this.clients.find(({ page }) => page.id === remote);
      return page.handle(method, data);
    }
    const transport = this.clients.map(({ transports }) => transports.get(transportId)).find(Boolean);
    assert.ok(transport, `no transport ${transportId}`);
    return transport.handle(method, data);
  }
}

async function within(limit, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${limit} ms`)), limit);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
