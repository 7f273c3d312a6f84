// A page from https: it needs a relay with a certificate, and may not ask providers itself.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { generate } from "selfsigned";
import { Program, browser, folder, joined, network, shot } from "./setup.js";

/** A certificate that nobody else trusts. */
async function certificate(dir) {
  const [cert, key] = ["cert.pem", "key.pem"].map((name) => join(dir, name));
  const extensions = [{ name: "subjectAltName", altNames: [{ type: 7, ip: "127.0.0.1" }] }];
  const made = await generate([{ name: "commonName", value: "127.0.0.1" }], { keyType: "ec", extensions });
  writeFileSync(cert, made.cert);
  writeFileSync(key, made.private);
  return ["--tls-cert", cert, "--tls-key", key];
}

test("a page from https joins by wss, fetches through the relay, and may not use ws", async (t) => {
  const dir = folder(t);
  const [net, chromium] = await Promise.all([network(3, "kadlet", ...(await certificate(dir))), browser()]);
  t.after(async () => {
    await chromium.close();
    await net.stop();
  });
  assert.match(net.relay.url, /^https:/);
  const page = await chromium.page({ ignoreHTTPSErrors: true });
  await joined(page, net);
  assert.match(await page.inputValue("#relay"), /^wss:/);

  const bytes = randomBytes(1_200_000);
  const file = join(dir, "amber meadow.bin");
  writeFileSync(file, bytes);
  const share = new Program("share", file, "--listen", "127.0.0.1:0", "--bootstrap", net.addr);
  t.after(() => share.stop());
  const { link } = await share.said((line) => line.link !== undefined);
  // In the middle of it the relay knows our session no more, as after a restart, for longer than a
  // provider's nonsense would be borne.
  let refused = 0;
  await page.route(/\/fetch\/.*session=/, async (route) => {
    const begun = await page.evaluate(() => globalThis.done > 0);
    if (begun && refused < 6) refused += 1;
    else return route.continue();
    await route.continue({ url: route.request().url().replace(/session=\w+/, `session=${"0".repeat(32)}`) });
  });
  const digest = await page.evaluate(async (link) => {
    const progress = ({ done }) => (globalThis.done = done);
    const { blob } = await kadlet.node().fetch(link, { progress, config: { backoff: 10 } });
    return Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer())));
  }, link);
  assert.equal(refused, 6);
  assert.deepEqual(Buffer.from(digest), createHash("sha256").update(bytes).digest());
  await shot(page, "15-https");

  const insecure = await chromium.page({ ignoreHTTPSErrors: true });
  await insecure.goto(net.relay.url);
  await insecure.fill("#relay", "ws://relay.example.org/relay");
  await insecure.click("#join button");
  await insecure.waitForFunction(() => document.getElementById("problem").textContent);
  assert.match(await insecure.textContent("#problem"), /a page from https may not connect to ws:.*needs wss/);
});
