// protoo: requests, responses and notifications as JSON over a WebSocket that comes back by itself.
//
// Events: "open" (each time), "lost" (it will be tried again; detail: {code, reason, delay, failures}: the WebSocket's
// close code and reason, the milliseconds until then, and how many times in a row it has failed), "closed" (for good;
// detail: why), "notification" (detail: {method, data}). Requests of the server go to `onRequest`.

const RETRY_DELAYS = [0, 1000, 2000, 4000, 8000];
const CONNECT_TIMEOUT = 10_000;
const LASTING = 5000;
const REQUEST_TIMEOUT = 20_000;
// The server's way of saying "stay away".
const CLOSED_FOR_GOOD = 4000;
// Our own way of giving up a socket.
export const GIVEN_UP = 3000;

export class RequestError extends Error {
  // The server's `errorCode`, or null when no answer came.
  code;

  constructor(reason, code = null) {
    super(reason);
    this.code = code;
  }
}

export class Protoo extends EventTarget {
  // async (method, data) => data of the response; what it throws becomes an error response.
  onRequest = async (method) => { throw new Error(`unknown request "${method}"`); };

  #url;
  #socket = null;
  #pending = new Map();
  #nextId = 1;
  #failures = 0;
  #timer = null;
  #stopped = false;

  constructor(url) {
    super();
    this.#url = url;
  }

  get connected() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    clearTimeout(this.#timer);
    this.#stopped = false;
    const socket = new WebSocket(this.#url, "protoo");
    this.#socket = socket;
    const patience = setTimeout(() => { if (this.#socket === socket) this.reconnect(); }, CONNECT_TIMEOUT);
    socket.onopen = () => {
      clearTimeout(patience);
      // A connection that does not last counts as a failure too.
      setTimeout(() => { if (this.#socket === socket) this.#failures = 0; }, LASTING);
      this.dispatchEvent(new Event("open"));
    };
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket && typeof data === "string") this.#receive(socket, data);
    };
    socket.onclose = ({ code, reason }) => {
      clearTimeout(patience);
      if (this.#socket === socket) this.#lose(code, reason);
    };
  }

  // Gives up this socket and makes another: for when it is known to be dead before the system notices. In
  // `leastDelay` milliseconds at the earliest.
  reconnect(leastDelay = 0) {
    if (this.#stopped) return;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(GIVEN_UP, "reconnecting");
    this.#lose(GIVEN_UP, "", leastDelay);
  }

  // Tries now instead of when the delay is over.
  hurry() {
    if (this.#timer !== null && !this.#stopped) {
      this.#timer = null;
      this.connect();
    }
  }

  close() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#timer = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
    this.#failPending("The connection was closed.");
  }

  request(method, data = {}, timeout = REQUEST_TIMEOUT) {
    return new Promise((resolve, reject) => {
      if (!this.connected) {
        reject(new RequestError("There is no connection to the server."));
        return;
      }
      const id = this.#nextId++;
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new RequestError(`The server did not answer "${method}" in time.`));
      }, timeout);
      this.#pending.set(id, { resolve, reject, timer });
      this.#socket.send(JSON.stringify({ request: true, id, method, data }));
    });
  }

  #receive(socket, text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    if (message?.request) {
      this.#answer(socket, message);
    } else if (message?.response) {
      const waiting = this.#pending.get(message.id);
      if (!waiting) return;
      this.#pending.delete(message.id);
      clearTimeout(waiting.timer);
      if (message.ok) waiting.resolve(message.data ?? {});
      else waiting.reject(new RequestError(message.errorReason ?? "no reason given", message.errorCode));
    } else if (message?.notification) {
      const detail = { method: message.method, data: message.data ?? {} };
      this.dispatchEvent(new CustomEvent("notification", { detail }));
    }
  }

  async #answer(socket, { id, method, data }) {
    let response;
    try {
      response = { response: true, id, ok: true, data: (await this.onRequest(method, data ?? {})) ?? {} };
    } catch (error) {
      response = { response: true, id, errorCode: 500, errorReason: String(error?.message ?? error) };
    }
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(response));
  }

  #lose(code, reason, leastDelay = 0) {
    clearTimeout(this.#timer);
    this.#socket = null;
    this.#failPending("The connection to the server was lost.");
    if (this.#stopped) return;
    if (code === CLOSED_FOR_GOOD) {
      this.#stopped = true;
      this.dispatchEvent(new CustomEvent("closed", { detail: reason }));
      return;
    }
    const delay = Math.max(leastDelay, RETRY_DELAYS[Math.min(this.#failures, RETRY_DELAYS.length - 1)]);
    this.#failures += 1;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.connect();
    }, delay);
    this.dispatchEvent(new CustomEvent("lost", { detail: { code, reason, delay, failures: this.#failures } }));
  }

  #failPending(reason) {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject, timer } of pending) {
      clearTimeout(timer);
      reject(new RequestError(reason));
    }
  }
}
