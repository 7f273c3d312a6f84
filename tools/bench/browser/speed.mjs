// Lookups a second and memory per node, in Chromium beside Rust on the same machine: a network in
// memory and in virtual time, every node of which is computed by the one thread that is measured.
// cargo xtask wasm; node tools/bench/browser/speed.mjs [NODES]
import { execFileSync } from "node:child_process";
import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { browser } from "../../../bindings-wasm/tests/browser/setup.js";

const nodes = Number(process.argv[2] ?? 200);
const [ROUNDS, LOOKUPS] = [7, 200];
const root = fileURLToPath(new URL("../../../", import.meta.url));
const TYPES = { ".js": "text/javascript", ".wasm": "application/wasm" };

/** Lookups a second of Rust, or undefined if it cannot be had. */
function native() {
  const out = execFileSync("cargo", ["run", "--release", "--quiet", "-p", "kadlet-sim", "--example", "lookups", "--", String(nodes)], {
    cwd: root,
    encoding: "utf8",
  });
  return JSON.parse(out);
}

const server = createServer((request, response) => {
  const path = `${root}bindings-wasm${new URL(request.url, "http://x").pathname}`;
  if (path.includes("..") || !existsSync(path) || !TYPES[extname(path)]) {
    response.writeHead(request.url === "/" ? 200 : 404, { "content-type": "text/html" }).end();
    return;
  }
  response.writeHead(200, { "content-type": TYPES[extname(path)] });
  createReadStream(path).pipe(response);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const chromium = await browser();
try {
  const page = await chromium.page();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const session = await page.context().newCDPSession(page);
  const heap = async () => {
    await session.send("HeapProfiler.collectGarbage");
    return (await session.send("Runtime.getHeapUsage")).usedSize;
  };
  const grow = (nodes) =>
    page.evaluate(async (nodes) => {
      const { network } = await import("/dist/testing.js");
      const { default: init } = await import("/pkg/kadlet.js");
      globalThis.net = await network(nodes, { seed: 1 });
      return (await init()).memory.buffer.byteLength;
    }, nodes);
  const small = { wasm: await grow(2), heap: await heap() };
  await page.evaluate(() => net.close());
  const large = { wasm: await grow(nodes), heap: await heap() };
  const rates = await page.evaluate(
    async ([rounds, lookups]) => {
      const random = () => Array.from(crypto.getRandomValues(new Uint8Array(20)), (byte) => byte.toString(16).padStart(2, "0")).join("");
      const rates = [];
      for (let round = 0; round < rounds; round++) {
        const start = performance.now();
        const some = () => net.nodes[Math.floor(Math.random() * net.nodes.length)].findNode(random());
        for (let n = 0; n < lookups; n += 20) await Promise.all(Array.from({ length: 20 }, some));
        rates.push((1000 * lookups) / (performance.now() - start));
      }
      return rates.sort((a, b) => a - b);
    },
    [ROUNDS, LOOKUPS],
  );
  const rust = native();
  const median = rates[(ROUNDS - 1) / 2];
  const each = (key) => ((large[key] - small[key]) / (nodes - 2) / 1000).toFixed(1);
  console.log(`${nodes} nodes in one page, k = 20: ${median.toFixed(0)} lookups/s (median of ${ROUNDS} times ${LOOKUPS}; ${rates[0].toFixed(0)} to ${rates.at(-1).toFixed(0)})`);
  console.log(`Rust, the same: ${rust.lookups_per_second.toFixed(0)} lookups/s; Chromium has ${((100 * median) / rust.lookups_per_second).toFixed(0)} % of it`);
  console.log(`memory per node: ${each("wasm")} kB of wasm and ${each("heap")} kB of JavaScript`);
} finally {
  await chromium.close();
  server.close();
}
