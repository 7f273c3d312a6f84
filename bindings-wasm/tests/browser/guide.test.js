// The page that README.md gives, served by the relay as it says, with the package beside it.
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Program, browser, folder } from "./setup.js";

const [, html] = /^```html\n(.*?)^```/ms.exec(readFileSync(new URL("../../../README.md", import.meta.url), "utf8"));

test("ten lines of HTML are a running node", async (t) => {
  const web = folder(t);
  const installed = join(web, "node_modules/kadlet");
  for (const part of ["dist", "pkg"]) {
    mkdirSync(join(installed, part), { recursive: true });
    cpSync(new URL(`../../${part}`, import.meta.url), join(installed, part), { recursive: true });
  }
  const page = join(web, "index.html");
  writeFileSync(page, "");
  // The first finds a port, which the page has to name before the relay reads it.
  const first = new Program("relay", "--listen", "127.0.0.1:0", "--allow-private", "--web", web);
  const { url } = await first.said((line) => line.event === "listening");
  await first.stop();
  const { host } = new URL(url);
  assert.ok(html.includes("ws://127.0.0.1:4680/relay"));
  writeFileSync(page, html.replace("127.0.0.1:4680", host));
  const relay = new Program("relay", "--listen", host, "--allow-private", "--web", web);
  t.after(() => relay.stop());
  await relay.said((line) => line.event === "listening");
  const chromium = await browser();
  t.after(() => chromium.close());
  const tab = await chromium.page();
  const said = [];
  // A browser looks for an icon, which ten lines do not have.
  tab.on("console", (message) => message.location().url.endsWith("/favicon.ico") || said.push(message.text()));
  await tab.goto(url);
  await tab.waitForFunction(() => document.querySelector("pre").textContent.includes("\n")).catch((error) => {
    throw new Error(`${error.message}; the console says: ${said.join("; ")}`);
  });
  assert.match(await tab.textContent("pre"), /^[0-9a-f]{40} at 127\.0\.0\.1:\d+\n/);
  assert.deepEqual(said, []);
});
