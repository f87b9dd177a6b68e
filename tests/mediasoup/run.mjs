// Runs the tests that the npm package mediasoup@3.12.16 ships compiled, unmodified, on our worker. They pass only if as
// many pass as the package holds: none fails, is skipped, or isn't found.
//
//   npm ci --ignore-scripts && SFU_WORKER_BIN=../../target/debug/sfu-worker node run.mjs [jest's options]

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

// The tests of mediasoup 3.12.16.
const TESTS = 157;

const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const target = process.env.CARGO_TARGET_DIR ?? path.join(here, '../../target');
const workerBin = path.resolve(process.env.SFU_WORKER_BIN ?? path.join(target, 'debug/sfu-worker'));
const testsDir = path.join(path.dirname(require.resolve('mediasoup')), 'tests');

if (!fs.existsSync(workerBin)) {
  fail(`${workerBin} is missing: run \`cargo build -p sfu-worker\`, or name it in SFU_WORKER_BIN`);
}
makeCertificate(path.join(testsDir, 'data'));

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'sfu-mediasoup-'));
try {
  const outputFile = path.join(scratch, 'results.json');
  const { status } = spawnSync(
    process.execPath,
    [require.resolve('jest/bin/jest'), '--config', JSON.stringify(jestConfig(scratch)), '--json', '--outputFile', outputFile,
      ...process.argv.slice(2)],
    // With --json the report for people goes to stderr alone, and stdout would repeat the file.
    { env: { ...process.env, MEDIASOUP_WORKER_BIN: workerBin }, stdio: ['ignore', 'ignore', 'inherit'] }
  );
  if (!fs.existsSync(outputFile)) fail(`jest ended with status ${status} and without results`);
  const results = JSON.parse(fs.readFileSync(outputFile, 'utf8'));
  if (results.numPassedTests !== TESTS || !results.success || status !== 0) {
    fail(`${results.numPassedTests} of mediasoup's ${TESTS} tests passed`);
  }
  console.log(`all of mediasoup's ${TESTS} tests passed`);
} finally {
  fs.rmSync(scratch, { recursive: true });
}

// The tests as they lie in the package. Jest looks for none below node_modules unless it is told to.
function jestConfig(cacheDirectory) {
  return {
    rootDir: testsDir,
    testEnvironment: 'node',
    testRegex: '/test-[^/]*\\.js$',
    testPathIgnorePatterns: [],
    haste: { retainAllFiles: true },
    transform: {},
    cacheDirectory,
    // Each file has a worker process of its own, and waits for it most of the time.
    maxWorkers: 2,
    verbose: true
  };
}

// A certificate and its key, where the tests expect them; the package leaves them out.
function makeCertificate(folder) {
  fs.mkdirSync(folder, { recursive: true });
  const { status, stderr, error } = spawnSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30', '-subj', '/CN=mediasoup',
      '-keyout', path.join(folder, 'dtls-key.pem'), '-out', path.join(folder, 'dtls-cert.pem')],
    { encoding: 'utf8' }
  );
  if (status !== 0) fail(`openssl made no certificate: ${error ?? stderr}`);
}

function fail(reason) {
  console.error(`mediasoup's tests: ${reason}`);
  process.exit(1);
}
