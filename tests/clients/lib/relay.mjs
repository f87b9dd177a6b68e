// A network between a browser and a transport of the worker: a UDP socket that passes datagrams on, and loses, delays or
// limits them as the test says, in each direction.

import dgram from "node:dgram";
import { once } from "node:events";

const ADDRESS = "127.0.0.1";

export class Relay {
  // From the browser to the worker, and back.
  up = new Direction();
  down = new Direction();
  #browser;
  // For each port of the browser, the socket that stands for it before the worker.
  #sockets = new Map();

  // Passes on to this port of the worker.
  static async before(workerPort) {
    const relay = new Relay();
    relay.#browser = await open();
    relay.#browser.on("message", async (datagram, { port }) => {
      if (!relay.#sockets.has(port)) relay.#sockets.set(port, relay.#openFor(port));
      const socket = await relay.#sockets.get(port);
      relay.up.pass(datagram, port, (datagram) => socket.send(datagram, workerPort, ADDRESS));
    });
    return relay;
  }

  async #openFor(browserPort) {
    const socket = await open();
    socket.on("message", (datagram) => {
      this.down.pass(datagram, browserPort, (datagram) => this.#browser.send(datagram, browserPort, ADDRESS));
    });
    return socket;
  }

  // Those ports of the browser that it has sent from.
  get browserPorts() {
    return new Set(this.#sockets.keys());
  }

  // The port that the browser sends to.
  get port() {
    return this.#browser.address().port;
  }

  async close() {
    this.up.close();
    this.down.close();
    this.#browser.close();
    for (const socket of await Promise.all(this.#sockets.values())) socket.close();
  }
}

async function open() {
  const socket = dgram.createSocket("udp4");
  socket.bind(0, ADDRESS);
  await once(socket, "listening");
  return socket;
}

class Direction {
  // The share of media packets to lose, 0 to 1. Which ones is the same in each run.
  loss = 0;
  // How long each datagram takes, in milliseconds.
  delay = 0;
  // Bits a second that get through, and what waits at most before the rest is lost, in milliseconds of that rate.
  capacity = Infinity;
  queue = 200;
  // Sees each datagram first, with the browser's port; what it answers `false` to is lost.
  filter = () => true;
  passed = 0;
  lost = 0;
  #random = generator(1);
  #free = 0;
  #timers = new Set();
  #closed = false;

  pass(datagram, port, send) {
    if (this.#closed) return;
    const now = performance.now();
    const start = Math.max(now, this.#free);
    if (!this.filter(datagram, port) || (this.loss > 0 && isRtp(datagram) && this.#random() < this.loss) || start - now > this.queue) {
      this.lost += 1;
      return;
    }
    this.passed += 1;
    this.#free = start + (datagram.length * 8 * 1000) / this.capacity;
    const wait = this.#free - now + this.delay;
    if (wait <= 0) {
      send(datagram);
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      send(datagram);
    }, wait);
    this.#timers.add(timer);
  }

  close() {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}

// RTP, not RTCP, DTLS or STUN (RFC 5761 section 4, RFC 7983 section 7).
export function isRtp(datagram) {
  return datagram[0] >= 128 && datagram[0] < 192 && !(datagram[1] >= 192 && datagram[1] < 224);
}

// Numbers from 0 to 1: the multiplicative generator of Park and Miller.
function generator(seed) {
  let state = seed;
  return () => {
    state = (state * 48271) % 0x7fffffff;
    return state / 0x7fffffff;
  };
}
