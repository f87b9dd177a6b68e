import { chromium } from "playwright-core";

import { ARGUMENTS, executablePath } from "./chromium.mjs";

export async function launchBrowser() {
  return chromium.launch({ executablePath: executablePath(), args: ARGUMENTS });
}
