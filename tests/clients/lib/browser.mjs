import { chromium } from "playwright-core";

import { ARGUMENTS, executablePath } from "../../browser/lib/chromium.mjs";

// Screens are shared without asking.
export async function launchChromium() {
  return chromium.launch({ executablePath: executablePath(), args: [...ARGUMENTS, "--auto-select-desktop-capture-source=Entire screen"] });
}

// A page in a context of its own, with what Client uses of it.
export class ChromiumPage {
  errors = [];
  said = [];
  #context;
  #page;

  static async create(browser) {
    const chromium = new ChromiumPage();
    chromium.#context = await browser.newContext({ permissions: ["camera", "microphone"] });
    chromium.#page = await chromium.#context.newPage();
    chromium.#page.on("pageerror", (error) => chromium.errors.push(`${error.stack ?? error}`));
    chromium.#page.on("console", (message) => chromium.said.push(`${message.type()}: ${message.text()}`));
    return chromium;
  }

  open(url) {
    return this.#page.goto(url);
  }

  evaluate(body, argument) {
    return this.#page.evaluate(body, argument);
  }

  evaluateHandle(body, argument) {
    return this.#page.evaluateHandle(body, argument);
  }

  close() {
    return this.#context.close();
  }
}
