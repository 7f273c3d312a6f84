// A page in Chromium, asked from outside: a line with an expression comes in, one with what it came
// to goes out. The last argument is where the page lies; its module is loaded as `kadlet`.
import { createInterface } from "node:readline";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const where = join(process.env.KADLET_JS, "node_modules/playwright-core/index.mjs");
const { chromium } = await import(pathToFileURL(where).href);
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath: process.env.KADLET_CHROMIUM, args: flags });
const page = await browser.newPage();
await page.goto(process.argv[2]);
for await (const line of createInterface(process.stdin)) {
  const said = await page.evaluate(line).then(
    (value) => ({ value: value ?? null }),
    (error) => ({ error: String(error) }),
  );
  console.log(JSON.stringify(said));
}
await browser.close();
