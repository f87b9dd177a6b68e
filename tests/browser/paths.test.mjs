// People hear and see each other, over each kind of path.

import { after, before, describe, test } from "node:test";

import { launchBrowser } from "./lib/browser.mjs";
import { Conference } from "./lib/conference.mjs";
import { Peer, assertMediaFlows, assertPath } from "./lib/peer.mjs";

const IPV4 = ["--announce", "127.0.0.1"];
const IPV6 = ["--announce", "::1"];

const TWO = ["Ada", "Bert"];
const THREE = [...TWO, "Cleo"];

const PATHS = [
  { title: "over UDP", options: IPV4, query: {}, protocol: "udp", address: /^127\.0\.0\.1:/ },
  { title: "with synthetic sources", options: IPV4, query: { fake: 1 }, protocol: "udp", address: /^127\.0\.0\.1:/ },
  { title: "on whatever addresses there are", options: [], query: {}, protocol: "udp", address: /./ },
  { title: "over TCP alone", options: IPV4, query: { transport: "tcp" }, protocol: "tcp", address: /^127\.0\.0\.1:/ },
  { title: "three, over TCP alone", people: THREE, options: IPV4, query: { transport: "tcp" }, protocol: "tcp", address: /^127\.0\.0\.1:/ },
  { title: "over IPv6", options: IPV6, query: {}, protocol: "udp", address: /^\[::1\]:/ },
  { title: "three, over IPv6", people: THREE, options: IPV6, query: {}, protocol: "udp", address: /^\[::1\]:/ },
  { title: "over IPv6 and TCP alone", options: IPV6, query: { transport: "tcp" }, protocol: "tcp", address: /^\[::1\]:/ },
];

describe("people meet", () => {
  let browser;
  before(async () => {
    browser = await launchBrowser();
  });
  after(() => browser?.close());

  for (const { title, people = TWO, options, query, protocol, address } of PATHS) {
    test(title, () =>
      Conference.run(options, async (conference, peers) => {
        for (const name of people) peers.push(await Peer.join(browser, conference, "room", name, query));
        await assertMediaFlows(peers);
        await assertPath(peers, protocol, address);
        peers.forEach((peer) => peer.assertNoErrors());
      }),
    );
  }
});
