// Where a page's state is kept, and what the page does when it cannot be.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { browser, href, joined, network, shot } from "./setup.js";

let net;
let chromium;
before(async () => {
  [net, chromium] = await Promise.all([network(3), browser()]);
});
after(async () => {
  await chromium?.close();
  await net?.stop();
});

const STATE = "page kadlet";
const problem = (page, words) =>
  page.waitForFunction((words) => document.getElementById("problem").textContent.includes(words), words);

/** The bytes that IndexedDB holds under the page's name. */
const kept = (page) =>
  page.evaluate(
    (name) =>
      new Promise((resolve, reject) => {
        const request = indexedDB.open("kadlet", 1);
        request.onerror = () => reject(request.error);
        request.onsuccess = () => {
          const get = request.result.transaction("states").objectStore("states").get(name);
          get.onsuccess = () => resolve(get.result?.length);
        };
      }),
    STATE,
  );

/** Looks something up: the node goes on whatever became of its storage. */
async function works(page) {
  await page.click("#lookup button");
  await page.waitForFunction(() => document.getElementById("lookup-result").textContent.startsWith("Found"));
}

test("the state lies in IndexedDB, and one tab at a time uses it", async () => {
  const one = await chromium.page();
  await joined(one, net);
  await one.waitForFunction(() => kadlet.node().buckets().length > 0);
  assert.ok((await kept(one)) > 12);
  const id = await one.textContent("#own-id");
  const two = await one.context().newPage();
  await two.goto(href(net));
  await problem(two, `another tab uses the state ${STATE}`);
  await two.waitForFunction(() => document.documentElement.dataset.joined !== undefined);
  assert.notEqual(await two.textContent("#own-id"), id);
  await works(two);
  await one.context().close();
});

test("a database that the browser closes is opened anew", async () => {
  const page = await chromium.page();
  await joined(page, net);
  await page.waitForFunction(() => kadlet.node().buckets().length > 0);
  const id = await page.textContent("#own-id");
  assert.ok((await kept(page)) > 12);
  // As when the site's data is cleared in the browser's settings.
  const session = await page.context().newCDPSession(page);
  await session.send("Storage.clearDataForOrigin", { origin: new URL(net.relay.url).origin, storageTypes: "indexeddb" });
  await page.evaluate(() => kadlet.node().close());
  await page.reload();
  await page.waitForFunction(() => document.documentElement.dataset.joined !== undefined);
  assert.equal(await page.textContent("#own-id"), id);
  await page.context().close();
});

test("a tab that holds the database keeps nobody from deleting it, and keeps its state in a new one", async () => {
  const page = await chromium.page();
  await joined(page, net);
  await page.waitForFunction(() => kadlet.node().buckets().length > 0);
  await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const request = indexedDB.deleteDatabase("kadlet");
        request.onsuccess = resolve;
        request.onblocked = () => reject(new Error("the tab keeps it open"));
      }),
  );
  await page.evaluate(() => kadlet.node().close());
  assert.ok((await kept(page)) > 12);
  await page.context().close();
});

test("storage that is full is said, and the node goes on", async () => {
  const page = await chromium.page();
  await page.goto(net.relay.url);
  const session = await page.context().newCDPSession(page);
  await session.send("Storage.overrideQuotaForOrigin", { origin: new URL(net.relay.url).origin, quotaSize: 1 });
  // Another place in the same page: it loads itself again.
  await page.goto(href(net));
  await problem(page, "the state cannot be saved");
  await page.waitForFunction(() => document.documentElement.dataset.joined !== undefined);
  await works(page);
  await shot(page, "14-storage-full");
  await page.context().close();
});

test("without IndexedDB the state lies in localStorage; without either the node says so and goes on", async () => {
  const page = await chromium.page();
  await page.addInitScript(() => {
    // As in private windows of browsers that refuse it.
    IDBFactory.prototype.open = () => {
      throw new DOMException("not in a private window", "SecurityError");
    };
  });
  await joined(page, net);
  await page.waitForFunction((name) => localStorage.getItem(`kadlet:${name}`) !== null, STATE);
  const id = await page.textContent("#own-id");
  await page.reload();
  await page.waitForFunction(() => document.documentElement.dataset.joined !== undefined);
  assert.equal(await page.textContent("#own-id"), id);

  await page.addInitScript(() => {
    Object.defineProperty(globalThis, "localStorage", {
      get() {
        throw new DOMException("not in a private window", "SecurityError");
      },
    });
  });
  await page.reload();
  await problem(page, "the state is not kept: not in a private window");
  await page.waitForFunction(() => document.documentElement.dataset.joined !== undefined);
  assert.notEqual(await page.textContent("#own-id"), id);
  await works(page);
  await page.context().close();
});

test("a state that is damaged is said, and is not overwritten", async () => {
  const page = await chromium.page();
  await joined(page, net);
  await page.evaluate(() => kadlet.node().close());
  await page.evaluate(
    (name) =>
      new Promise((resolve) => {
        const request = indexedDB.open("kadlet", 1);
        request.onsuccess = () => {
          const transaction = request.result.transaction("states", "readwrite");
          transaction.objectStore("states").put(new Uint8Array([1, 2, 3]), name);
          transaction.oncomplete = resolve;
        };
      }),
    STATE,
  );
  await page.reload();
  await problem(page, "what was kept is no state of a node. This page begins anew when");
  assert.equal(await kept(page), 3);
  await page.context().close();
});
