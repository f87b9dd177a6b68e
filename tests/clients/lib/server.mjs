// Serves the page, and passes its requests on.

import { once } from "node:events";
import http from "node:http";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const LARGEST_REQUEST = 1_000_000;

let bundle;

// mediasoup-client and the page's own code in one script, made once.
async function script() {
  const result = await build({
    entryPoints: [fileURLToPath(new URL("../page/main.mjs", import.meta.url))],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    define: { global: "globalThis" },
  });
  return result.outputFiles[0].contents;
}

// `handle` gets the name and the data of each request, and returns the answer or throws.
export async function serve(handle) {
  bundle ??= script();
  const files = {
    "/": ["text/html; charset=utf-8", '<!doctype html><title>client</title><link rel="icon" href="data:,"><body><script type="module" src="/client.js"></script>'],
    "/client.js": ["text/javascript; charset=utf-8", await bundle],
  };
  const server = http.createServer(async (request, response) => {
    const reply = (status, type, body) => response.writeHead(status, { "content-type": type }).end(body);
    try {
      if (request.method === "POST") {
        const answer = await handle(request.url.slice(1), JSON.parse(await read(request)));
        return reply(200, "application/json", JSON.stringify(answer ?? {}));
      }
      const file = files[request.url.split("?")[0]];
      return file ? reply(200, ...file) : reply(404, "text/plain", "no such page");
    } catch (error) {
      return reply(400, "application/json", JSON.stringify({ reason: `${error}` }));
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function read(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > LARGEST_REQUEST) throw new Error("the request is too large");
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}
