// The installed Firefox, whose page drives itself (page/remote.mjs): Playwright's Firefox is one of its own making.

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { accessSync, constants, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

const NAMES = ["firefox-esr", "firefox"];
const START_LIMIT = 30_000;

// Fake devices without asking, and nothing fetched from the network.
const PREFERENCES = {
  "media.navigator.permission.disabled": true,
  "media.navigator.streams.fake": true,
  "media.autoplay.default": 0,
  "media.autoplay.blocking_policy": 0,
  "media.peerconnection.ice.obfuscate_host_addresses": false,
  "media.gmp-manager.updateEnabled": false,
  "media.gmp-manager.url": "data:,",
  "app.update.enabled": false,
  "app.normandy.enabled": false,
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.homepage_override.mstone": "ignore",
  "browser.aboutwelcome.enabled": false,
  "browser.safebrowsing.malware.enabled": false,
  "browser.safebrowsing.phishing.enabled": false,
  "browser.safebrowsing.update.enabled": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "datareporting.policy.dataSubmissionPolicyBypassNotification": true,
  "extensions.update.enabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "services.settings.server": "data:,",
  "toolkit.telemetry.enabled": false,
};

// Where it is, or nothing.
export function firefoxPath() {
  if (process.env.FIREFOX_BIN) return process.env.FIREFOX_BIN;
  const folders = (process.env.PATH ?? "").split(delimiter);
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return !isSnap(path);
    } catch {
      return false;
    }
  });
}

// A snap's Firefox may not read the profile, nor be in a network of the test's own; Ubuntu's firefox is a script that starts it.
function isSnap(path) {
  return realpathSync(path).startsWith("/snap/") || readFileSync(path).subarray(0, 4096).includes("/snap/");
}

// A page in a process and a profile of its own. It has what Client uses of a page.
export class FirefoxPage {
  // By which its requests are told from those of other pages.
  id = randomUUID();
  errors = [];
  said = [];
  #process;
  #profile = mkdtempSync(join(tmpdir(), "sfu-firefox-"));
  #steps = [];
  #waiting;
  #asked = new Map();
  #next = 0;

  async open(url) {
    const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`);
    writeFileSync(join(this.#profile, "user.js"), lines.join("\n"));
    this.#process = spawn(firefoxPath(), ["--headless", "--no-remote", "--profile", this.#profile, `${url}?remote=${this.id}`], { stdio: "ignore" });
    await this.#within(START_LIMIT, this.evaluate(() => true));
  }

  // What the page asks for; it waits for the answer to "next" until there is a step.
  async handle(method, data) {
    if (method === "error") {
      this.errors.push(data.error);
      return {};
    }
    if (method === "answer") {
      const { resolve, reject } = this.#asked.get(data.id);
      this.#asked.delete(data.id);
      if (data.error === undefined) resolve(data.value);
      else reject(new Error(data.error));
      return {};
    }
    if (this.#steps.length === 0) await new Promise((resolve) => (this.#waiting = resolve));
    return this.#steps.shift() ?? {};
  }

  evaluate(body, argument) {
    return this.#ask({ source: `${body}`, argument });
  }

  async evaluateHandle(body, argument) {
    const on = await this.#ask({ source: `${body}`, argument, keep: true });
    return { evaluate: (body, argument) => this.#ask({ source: `${body}`, argument, on }) };
  }

  #ask(step) {
    const id = (this.#next += 1);
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#steps.push({ id, ...step });
      this.#waiting?.();
    });
  }

  async close() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill("SIGKILL");
      await once(this.#process, "exit");
    }
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  async #within(limit, promise) {
    const signal = AbortSignal.timeout(limit);
    const late = once(signal, "abort").then(() => {
      throw new Error(`Firefox's page did not ask for anything within ${limit} ms`);
    });
    return Promise.race([promise, late]);
  }
}
