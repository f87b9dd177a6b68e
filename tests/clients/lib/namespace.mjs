// A network of the test's own, in which there is an address that is not loopback: Firefox has no candidates on that one.
// It is a network namespace, made by `unshare` (util-linux) and furnished by `ip` (iproute2).

import { spawn, spawnSync } from "node:child_process";

const INSIDE = "SFU_CLIENTS_INSIDE_NAMESPACE";
const FURNISH = [
  "ip link set lo up",
  "ip link add near type veth peer name far",
  "ip address add 192.0.2.1/24 dev near",
  "ip link set near up",
  "ip link set far up",
  // Until a page has the camera, Firefox offers only the address that leads to the rest of the world.
  "ip route add default dev near",
].join(" && ");

export const ADDRESS = "192.0.2.1";

// Whether this process is in such a network.
export const inside = process.env[INSIDE] !== undefined;

const command = (shell) => ["--map-root-user", "--net", "sh", "-ec", `${FURNISH} && ${shell}`];

// Why there can be none, or nothing.
export function unavailable() {
  const { error, status, stderr } = spawnSync("unshare", command("true"), { encoding: "utf8" });
  return error ? `${error}` : status !== 0 && `no network namespace with an address: ${stderr.trim()}`;
}

// Runs the tests of this file in one, and rejects with what they wrote when one fails.
export async function runInside(file) {
  const { NODE_TEST_CONTEXT, ...environment } = process.env;
  const child = spawn("unshare", command(`exec "${process.execPath}" --test-reporter=spec "${file}"`), { env: { ...environment, [INSIDE]: "1" } });
  const written = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => written.push(data));
  const code = await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
  const report = Buffer.concat(written).toString();
  if (code !== 0) throw new Error(`exited with ${code}\n${report}`);
  return report;
}
