// How much a page loads for a node, each bundled, minified and gzipped in the same way.
// cargo xtask wasm; npm --prefix tools/bench/browser ci; node tools/bench/browser/bundles.mjs
import { readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const ours = fileURLToPath(new URL("../../../bindings-wasm/", import.meta.url));
const size = (bytes) => gzipSync(bytes, { level: 9 }).length;

/** Of a program in the page that uses no more than it names. */
async function bundle(contents, more = {}) {
  const stdin = { contents, resolveDir: here };
  const { outputFiles } = await build({
    stdin,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    logLevel: "error",
    ...more,
  });
  return size(outputFiles[0].contents);
}

const wasm = size(readFileSync(`${ours}pkg/kadlet_bg.wasm`));
const script = await bundle(
  `import { createNode } from "${ours}dist/index.js"; createNode({ relay: "wss://relay" });`,
  // What is loaded only by those who join Mainline.
  { external: ["./core.js"] },
);
const rows = [
  ["kadlet: full node, relay, signed values, files", wasm + script],
  ["@libp2p/kad-dht alone", await bundle(`import { kadDHT } from "@libp2p/kad-dht"; console.log(kadDHT({}));`)],
  [
    "@libp2p/kad-dht with what it needs to talk: libp2p, WebSocket, noise, yamux, identify, ping",
    await bundle(`
      import { noise } from "@chainsafe/libp2p-noise";
      import { yamux } from "@chainsafe/libp2p-yamux";
      import { identify } from "@libp2p/identify";
      import { kadDHT } from "@libp2p/kad-dht";
      import { ping } from "@libp2p/ping";
      import { webSockets } from "@libp2p/websockets";
      import { createLibp2p } from "libp2p";
      createLibp2p({
        transports: [webSockets()], connectionEncrypters: [noise()], streamMuxers: [yamux()],
        services: { dht: kadDHT({}), identify: identify(), ping: ping() },
      });`),
  ],
  [
    "bittorrent-dht without UDP and Node.js's own modules, which no page has (it does not run there)",
    await bundle(`import { Client } from "bittorrent-dht"; new Client();`, {
      platform: "node",
      external: builtinModules.flatMap((name) => [name, `node:${name}`]),
    }),
  ],
];
for (const [name, bytes] of rows) console.log(`${(bytes / 1000).toFixed(1).padStart(7)} kB  ${name}`);
console.log(`kadlet: wasm ${(wasm / 1000).toFixed(1)} kB, glue and host ${(script / 1000).toFixed(1)} kB`);
