// The page in a network of native nodes: join, watch, store, search, fetch, share.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Program, browser, folder, joined, network, shot } from "./setup.js";

let net;
let chromium;
before(async () => {
  [net, chromium] = await Promise.all([network(8), browser()]);
});
after(async () => {
  await chromium?.close();
  await net?.stop();
});

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const text = (page, id, starts) =>
  page.waitForFunction(([id, starts]) => document.getElementById(id).textContent.startsWith(starts), [id, starts]);

async function findings(page) {
  // Not a script of the page: its policy would not have it.
  const { violations } = await page.evaluate(`${axe}; axe.run()`);
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join()}`);
}

/** What is written to the disk when the link is clicked. */
async function saved(page, link) {
  const [download] = await Promise.all([page.waitForEvent("download"), link.click()]);
  return readFileSync(await download.path());
}

test("join, tree, lookup, put and get, in light and dark, on a desk and on a phone", async () => {
  const page = await chromium.page();
  await page.goto(net.relay.url);
  assert.deepEqual(await findings(page), []);
  await shot(page, "1-before");
  // By keys alone.
  assert.equal(await page.inputValue("#relay"), net.relay.relay);
  await page.focus("#bootstrap");
  await page.keyboard.type(net.addr);
  await page.keyboard.press("Enter");
  await text(page, "status-text", "Joined");
  await page.waitForFunction(() => document.querySelectorAll("#tree circle[data-id]").length >= 8);
  await shot(page, "2-joined");

  await page.click("#lookup button");
  await text(page, "lookup-result", "Found");
  const rows = await page.locator("#steps tr").allTextContents();
  assert.ok(rows.some((row) => row.includes("named")), rows.join());
  assert.ok((await page.locator("#tree circle.answered").count()) > 0);
  await shot(page, "3-lookup");

  await page.fill("#value", "hello from a page");
  await page.click("#put button");
  await text(page, "put-result", "Kept by");
  const key = await page.inputValue("#key");
  const value = new Program("value", key, "--bootstrap", net.addr);
  const read = await value.said((line) => line.value !== undefined);
  assert.equal(read.value, Buffer.from("hello from a page").toString("hex"));
  await value.ended;
  await page.click("#get button");
  await text(page, "get-result", "hello from a page");
  await page.fill("#key", "0".repeat(40));
  await page.click("#get button");
  await text(page, "get-result", "Peers answered: nobody has it.");

  assert.deepEqual(await findings(page), []);
  await page.emulateMedia({ colorScheme: "dark" });
  assert.deepEqual(await findings(page), []);
  await shot(page, "4-dark");
  await page.setViewportSize({ width: 360, height: 740 });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 360, `${wide} px on a screen of 360`);
  assert.deepEqual(await findings(page), []);
  await shot(page, "5-phone");
  await page.context().close();
});

test("a file that a native node shares is found, fetched from it without the relay, and verified", async (t) => {
  const page = await chromium.page();
  const relayed = [];
  page.on("request", (request) => request.url().includes("/fetch/") && relayed.push(request.url()));
  await joined(page, net);
  const file = join(folder(t), "violet harbour.bin");
  const bytes = randomBytes(2_500_000);
  writeFileSync(file, bytes);
  const share = new Program("share", file, "--listen", "127.0.0.1:0", "--bootstrap", net.addr);
  t.after(() => share.stop());
  await share.said((line) => line.link !== undefined);
  await share.said((line) => line.event === "published" || line.event === "announced" || line.event === "shared");
  for (;;) {
    await page.fill("#words", "harbour violet");
    await page.click("#search button");
    await page.waitForFunction(() => /file/.test(document.querySelector("#search-result").textContent));
    if (await page.locator("#hits li").count()) break;
  }
  await page.click("#hits button");
  const link = page.locator("#hits a");
  await link.waitFor();
  assert.ok(bytes.equals(await saved(page, link)));
  // A page from http asks the provider itself; that it may not would not be seen otherwise.
  assert.deepEqual(relayed, []);
  await shot(page, "6-fetched");
  await page.context().close();
});

test("a file that a page shares goes to another page by a data channel", async (t) => {
  const [one, two] = await Promise.all([chromium.page(), chromium.page()]);
  await Promise.all([joined(one, net), joined(two, net)]);
  const file = join(folder(t), "crimson lantern.bin");
  const bytes = randomBytes(3_000_000);
  writeFileSync(file, bytes);
  await one.setInputFiles("#file", file);
  await one.click("#share button");
  await text(one, "share-result", "crimson lantern.bin is shared");
  // A native node finds it as well.
  const search = new Program("search", "crimson", "lantern", "--bootstrap", net.addr);
  const hit = await search.said((line) => line.name !== undefined);
  assert.deepEqual([hit.name, hit.size], ["crimson lantern.bin", bytes.length]);
  await search.ended;
  await two.fill("#words", "crimson");
  await two.click("#search button");
  await two.locator("#hits button").waitFor();
  await two.click("#hits button");
  const link = two.locator("#hits a");
  await link.waitFor();
  assert.ok(bytes.equals(await saved(two, link)));
  await shot(one, "7-shared");
  await Promise.all([one, two].map((page) => page.context().close()));
});

test("a name that turns its letters round is shown straight, and a list that goes leaves no file in memory", async () => {
  const page = await chromium.page();
  await joined(page, net);
  await page.evaluate(() => {
    const node = kadlet.node();
    const entry = { name: "\u202ecod.\u2066exe\u200f", content: new Uint8Array(32), size: 3 };
    node.search = async function* () {
      yield { entry };
    };
    node.fetch = async () => ({ blob: new Blob(["abc"]), size: 3, name: "cod.exe", providers: {} });
    globalThis.revoked = [];
    const { revokeObjectURL } = URL;
    URL.revokeObjectURL = (url) => (revoked.push(url), revokeObjectURL.call(URL, url));
  });
  const search = async () => {
    await page.fill("#words", "cod");
    await page.click("#search button");
    await text(page, "search-result", "1 file.");
  };
  await search();
  assert.equal(await page.locator("#hits bdi.name").textContent(), "cod.exe");
  assert.equal(await page.locator("#hits button").getAttribute("aria-label"), "Download cod.exe");
  await page.click("#hits button");
  const url = await page.locator("#hits a").getAttribute("href");
  assert.deepEqual(await page.evaluate(() => revoked), []);
  await search();
  await page.waitForFunction(() => revoked.length > 0);
  assert.deepEqual(await page.evaluate(() => revoked), [url]);
  await page.context().close();
});

test("a reload keeps the id and the address, a goodbye gives the address up", async () => {
  const page = await chromium.page();
  await joined(page, net);
  const place = async () => [await page.textContent("#own-id"), await page.textContent("#own-address")];
  const before = await place();
  await page.reload();
  await page.waitForFunction(() => document.documentElement.dataset.joined !== undefined);
  assert.deepEqual(await place(), before);
  await page.evaluate(() => kadlet.node().close());
  await page.reload();
  await page.waitForFunction(() => document.documentElement.dataset.joined !== undefined);
  const [id, address] = await place();
  assert.equal(id, before[0]);
  assert.notEqual(address, before[1]);
  await page.context().close();
});

test("a page that the browser kept joins anew", async () => {
  const page = await chromium.page();
  await joined(page, net);
  const id = await page.textContent("#own-id");
  // As after "Back": a browser that is remote-controlled keeps no pages.
  const loaded = page.waitForEvent("load");
  await page.evaluate(() => {
    dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }));
    dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
  });
  await loaded;
  await page.waitForFunction(() => document.documentElement.dataset.joined !== undefined);
  assert.equal(await page.textContent("#own-id"), id);
  await page.context().close();
});

test("an invitation joins once, whoever clicks meanwhile, and leads to another page of the address at present", async () => {
  const page = await chromium.page();
  let lines = 0;
  page.on("websocket", () => (lines += 1));
  await page.addInitScript(() => addEventListener("DOMContentLoaded", () => document.querySelector("#join button").click()));
  await joined(page, net);
  assert.equal(lines, 1);
  const id = await page.textContent("#own-id");
  // As when the relay lends another one.
  await page.evaluate(() => kadlet.node().emit("up", { addresses: ["127.0.0.1:7", "[::1]:7"] }));
  const [other] = await Promise.all([page.context().waitForEvent("page"), page.click("#invite")]);
  await other.waitForFunction(() => document.querySelector("#bootstrap").value);
  assert.equal(await other.inputValue("#bootstrap"), "127.0.0.1:7,[::1]:7");
  assert.equal(await page.textContent("#own-id"), id);
  // The same words are not read out again.
  const written = await page.evaluate(() => {
    const tell = () => kadlet.node().emit("table");
    const observer = new MutationObserver(() => {});
    tell();
    observer.observe(document.querySelector("#status-text"), { childList: true });
    tell();
    return observer.takeRecords().length;
  });
  assert.equal(written, 0);
  await page.context().close();
});

test("what is wrong with a relay is said", async () => {
  const page = await chromium.page();
  const problem = async (relay) => {
    await page.fill("#relay", relay);
    await page.click("#join button");
    // It was emptied when the form was sent.
    await page.waitForFunction(() => document.querySelector("#problem").textContent);
    assert.equal(await page.textContent("#status-text"), "Not joined.");
    return page.textContent("#problem");
  };
  await page.goto(net.relay.url);
  assert.match(await problem("ws://127.0.0.1:1/relay"), /failed: nothing listens there/);
  assert.match(await problem("ftp://127.0.0.1/"), /begins with ws/);
  assert.match(await problem(`ws://${net.addr}/relay`), /failed/);
  await shot(page, "8-no-relay");
  await page.context().close();
});

test("a policy without wasm is said", async () => {
  const page = await chromium.page();
  await page.route("**/*", async (route) => {
    const response = await route.fetch();
    const headers = { ...response.headers() };
    const policy = headers["content-security-policy"];
    headers["content-security-policy"] = policy.replace(/'wasm-unsafe-eval'/g, "");
    await route.fulfill({ response, headers });
  });
  await page.goto(net.relay.url);
  await page.fill("#bootstrap", net.addr);
  await page.click("#join button");
  await page.waitForFunction(() => document.querySelector("#problem").textContent);
  assert.match(await page.textContent("#problem"), /policy|WebAssembly|Content Security/i);
  await page.context().close();
});
