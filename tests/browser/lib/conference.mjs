// Starts the conference and tells where it is.
//
// The program is $SFU_CONFERENCE_BIN, else whichever of the release and the debug build is newer.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const START_LIMIT = 20_000;
const STOP_LIMIT = 10_000;

export class Conference {
  // https://127.0.0.1:PORT/
  url;
  #process;
  #folder;
  #options;
  #log = [];

  // `options` are further arguments of the program.
  static async start(...options) {
    const conference = new Conference();
    conference.#folder = mkdtempSync(join(tmpdir(), "sfu-browser-test-"));
    conference.#options = options;
    await conference.#start("127.0.0.1:0");
    return conference;
  }

  // Ends the program and starts it again at the same address.
  async restart() {
    await this.#end();
    await this.#start(new URL(this.url).host);
  }

  async #start(listen) {
    const parameters = ["--listen", listen, "--data-dir", this.#folder, "--workers", "1", "--log", "info", ...this.#options];
    this.#process = spawn(program(), parameters, { stdio: ["ignore", "pipe", "pipe"] });
    createInterface({ input: this.#process.stderr }).on("line", (line) => this.#log.push(line));
    this.url = await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no address within ${START_LIMIT} ms\n${this.log()}`)), START_LIMIT);
      this.#process.once("error", reject);
      this.#process.once("exit", (code) => reject(new Error(`exited with ${code} at once\n${this.log()}`)));
      createInterface({ input: this.#process.stdout }).on("line", (line) => {
        const url = /https:\/\/\S+:\d+\//.exec(line);
        if (url) {
          clearTimeout(timer);
          resolve(url[0]);
        }
      });
    });
  }

  // The process ids of the media workers.
  workers() {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).filter((name) => {
      try {
        // "pid (name) state parent ...": the name may hold anything, so count from its end.
        const status = readFileSync(`/proc/${name}/stat`, "utf8");
        return Number(status.slice(status.lastIndexOf(")") + 2).split(" ")[1]) === this.#process.pid;
      } catch {
        return false;
      }
    }).map(Number);
  }

  // What the program wrote to its log.
  log() {
    return this.#log.join("\n");
  }

  // Runs `body` with a conference, and a list that takes the peers which it lets join. Ends all of them. What goes wrong
  // is told with the program's log.
  static async run(options, body) {
    const conference = await Conference.start(...options);
    const peers = [];
    try {
      await body(conference, peers);
    } catch (error) {
      error.message += `\n--- log of the conference ---\n${conference.log()}`;
      throw error;
    } finally {
      await Promise.all(peers.map((peer) => peer.close()));
      await conference.stop();
    }
  }

  async stop() {
    try {
      await this.#end();
    } finally {
      rmSync(this.#folder, { recursive: true, force: true });
    }
  }

  // Asks it to end as Ctrl-C does; it must do so by itself, with its workers.
  async #end() {
    const workers = this.workers();
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const timer = setTimeout(() => this.#process.kill("SIGKILL"), STOP_LIMIT);
      this.#process.kill("SIGINT");
      await once(this.#process, "exit");
      clearTimeout(timer);
    }
    assert.equal(this.#process.signalCode, null, `it did not end by itself\n${this.log()}`);
    assert.equal(this.#process.exitCode, 0, this.log());
    for (const pid of workers) assert.ok(!isAlive(pid), `worker ${pid} is left over`);
  }
}

function isAlive(pid) {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

function program() {
  if (process.env.SFU_CONFERENCE_BIN) return process.env.SFU_CONFERENCE_BIN;
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
  const built = ["release", "debug"].map((profile) => join(target, profile, "sfu-conference")).filter(existsSync);
  assert.ok(built.length > 0, `no sfu-conference in ${target}: cargo build -p sfu-conference`);
  return built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
}
