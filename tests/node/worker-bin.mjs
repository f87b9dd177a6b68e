// Makes mediasoup start our worker. To be imported before mediasoup, which reads the variable when it is loaded.

import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../../target', import.meta.url));
const workerBin = process.env.SFU_WORKER_BIN ?? path.join(target, 'debug/sfu-worker');

if (!fs.existsSync(workerBin)) {
  throw new Error(`${workerBin} is missing: run \`cargo build -p sfu-worker\`, or name it in SFU_WORKER_BIN`);
}
process.env.MEDIASOUP_WORKER_BIN = workerBin;
