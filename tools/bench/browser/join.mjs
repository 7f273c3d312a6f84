// From page load to joined, on loopback: each time a new network of native nodes, and one page.
// cargo build --release -p kadlet; cargo xtask web; KADLET_PROGRAM=target/release/kadlet node tools/bench/browser/join.mjs
import { browser, href, network } from "../../../bindings-wasm/tests/browser/setup.js";

const chromium = await browser();
const times = [];
try {
  for (let n = 0; n < 7; n++) {
    const net = await network(8);
    const page = await chromium.page();
    await page.goto(href(net));
    await page.waitForFunction(() => document.documentElement.dataset.joined !== undefined);
    // Milliseconds since navigation began, as the page itself has them.
    times.push(await page.evaluate(() => Number(document.documentElement.dataset.joined)));
    await page.context().close();
    await net.stop();
  }
} finally {
  await chromium.close();
}
times.sort((a, b) => a - b);
console.log(`page load to joined, ms: least ${times[0]}, median ${times[3]}, most ${times[6]} (n = ${times.length})`);
