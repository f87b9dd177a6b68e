import { chromium } from "playwright-core";

import { ARGUMENTS, executablePath } from "../../browser/lib/chromium.mjs";

// Screens are shared without asking.
export async function launchChromium() {
  return chromium.launch({ executablePath: executablePath(), args: [...ARGUMENTS, "--auto-select-desktop-capture-source=Entire screen"] });
}
