// Data channels between pages, with and without a relay, and what goes wrong with either.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { decode } from "../../dist/sdp.js";
import { browser, folder, joined, network, Program, relay, shot } from "./setup.js";

async function scene(t, { size = 3, ...options } = {}) {
  const [net, chromium] = await Promise.all([network(size), browser(options)]);
  t.after(async () => {
    await chromium.close();
    await net.stop();
  });
  return { net, chromium };
}

const linked = (page, count = 1) => page.waitForFunction((count) => kadlet.transport().channels >= count, count);
const status = (page, words) =>
  page.waitForFunction((words) => document.getElementById("status-text").textContent.includes(words), words);

/** Opens three nodes in one page, of which the first and the last hold channels to the second alone. */
const CHAIN = async ({ relay, network, bootstrap }) => {
  const open = async (maxChannels, ...more) => {
    const transport = new kadlet.WebRtcTransport(new kadlet.RelayTransport(relay), { maxChannels });
    const node = await kadlet.createNode({ transport, network, bootstrap: [bootstrap, ...more] });
    return { transport, node };
  };
  const b = await open(0);
  b.transport.options.maxChannels = 2;
  const linked = async () => {
    const one = await open(0, b.node.addr);
    // Its only place is taken at once.
    one.transport.options.maxChannels = 1;
    if (!(await one.transport.connect(b.node.addr))) throw new Error("no channel");
    return one;
  };
  const a = await linked();
  const c = await linked();
  Object.assign(globalThis, { a, b, c });
};

test("two pages go straight, and go on when the relay is killed", async (t) => {
  const { net, chromium } = await scene(t);
  const [one, two] = await Promise.all([chromium.page(), chromium.page()]);
  await joined(one, net);
  await joined(two, net);
  await Promise.all([linked(one), linked(two)]);
  await status(one, "direct channels to 1 peer");
  await shot(one, "10-direct");
  await two.evaluate(() => {
    globalThis.told = [];
    for (const type of ["down", "up"]) kadlet.node().addEventListener(type, () => told.push(type));
  });
  await net.relay.stop("SIGKILL");
  await Promise.all([status(one, "The relay is gone"), status(two, "The relay is gone")]);
  const told = () => two.evaluate(() => told);
  assert.deepEqual(await told(), ["down"]);
  assert.match(await two.textContent("#problem"), /the relay at .* was lost/);
  await one.fill("#value", "kept without a relay");
  await one.click("#put button");
  await one.waitForFunction(() => document.getElementById("put-result").textContent.startsWith("Kept by"));
  await two.fill("#key", await one.inputValue("#key"));
  await two.click("#get button");
  await two.waitForFunction(() => document.getElementById("get-result").textContent === "kept without a relay");
  await shot(two, "11-relay-gone");
  // The other one goes too: nothing is left, and the page says so.
  await one.context().close();
  await status(two, "Offline");
  await shot(two, "12-offline");
  // A relay at the same address takes it in again, with nothing lost.
  const id = await two.textContent("#own-id");
  net.relay = await relay(net.relay.addr);
  t.after(() => net.relay.stop());
  await status(two, "Joined");
  assert.equal(await two.textContent("#own-id"), id);
  assert.deepEqual(await told(), ["down", "up"]);
});

test("new peers are met without a relay, by a signal through whoever named them", async (t) => {
  const { net, chromium } = await scene(t, { size: 1 });
  const page = await chromium.page();
  await page.goto(net.relay.url);
  await page.evaluate(CHAIN, { relay: net.relay.relay, network: net.name, bootstrap: net.addr });
  await net.relay.stop("SIGKILL");
  const seen = await page.evaluate(async () => {
    const gone = ({ transport }) => transport.relayed && new Promise((resolve) => transport.addEventListener("channels", () => transport.relayed || resolve()));
    await Promise.all([a, b, c].map(gone));
    a.transport.options.maxChannels = c.transport.options.maxChannels = 8;
    const { key } = await c.node.put(new TextEncoder().encode("from a stranger"));
    const value = await a.node.get(key);
    const met = await a.transport.connect(c.node.addr);
    return { met, value: new TextDecoder().decode(value), channels: a.transport.channels, direct: a.transport.counters.direct };
  });
  assert.deepEqual({ ...seen, direct: seen.direct > 0 }, { met: true, value: "from a stranger", channels: 2, direct: true });
});

test("where no channel comes about the page says so and stays on the relay", async (t) => {
  const { net, chromium } = await scene(t, { loopback: false });
  const [one, two] = await Promise.all([chromium.page(), chromium.page()]);
  // As behind a firewall that lets no UDP out.
  const noUdp = () => {
    const Original = RTCPeerConnection;
    globalThis.RTCPeerConnection = class extends Original {
      constructor(configuration) {
        super({ ...configuration, iceTransportPolicy: "relay" });
      }
    };
  };
  await Promise.all([one, two].map((page) => page.addInitScript(noUdp)));
  await joined(one, net);
  await joined(two, net);
  await one.waitForFunction(() => document.getElementById("channels").textContent.includes("failed"));
  assert.match(await one.textContent("#channels"), /none: \d+ attempts? failed, the relay carries everything/);
  await status(one, "everything goes through the relay");
  await one.click("#lookup button");
  await one.waitForFunction(() => document.getElementById("lookup-result").textContent.startsWith("Found"));
  await shot(one, "13-no-channel");
});

test("pages without any permission dial by hidden addresses, join, and say how their datagrams go", async (t) => {
  const { net, chromium } = await scene(t, { loopback: false });
  const [one, two] = await Promise.all([chromium.page(), chromium.page()]);
  await joined(one, net);
  // What the browser has to say of itself, were there nobody who leaves anything out.
  const hides = await one.evaluate(async () => {
    const connection = new RTCPeerConnection();
    connection.createDataChannel("");
    await connection.setLocalDescription();
    await new Promise((resolve) => {
      const gathered = () => connection.iceGatheringState === "complete" && resolve();
      connection.onicegatheringstatechange = gathered;
      gathered();
    });
    const { sdp } = connection.localDescription;
    connection.close();
    return /^a=candidate:.* udp .*\.local /im.test(sdp);
  });
  await one.evaluate(() => {
    globalThis.signals = [];
    kadlet.node().addEventListener("signal", ({ detail }) => signals.push(new TextDecoder().decode(detail.payload)));
  });
  await joined(two, net);
  // Whether their hidden addresses reach each other is this machine's affair.
  await one.waitForFunction(() => {
    const { channels, counters } = kadlet.transport();
    return channels > 0 || counters.failed > 0;
  });
  const { offered, accepted, malformed } = await one.evaluate(() => kadlet.transport().counters);
  assert.ok(offered + accepted > 0);
  assert.equal(malformed, 0);
  if (hides) {
    const found = await one.waitForFunction(() => signals.find((text) => text.includes(".local ")));
    const hidden = await found.jsonValue();
    assert.ok(decode(new TextEncoder().encode(hidden)).candidates.some(({ host }) => host.endsWith(".local")));
  }
  await one.waitForFunction(() => {
    const { channels } = kadlet.transport();
    return document.getElementById("status-text").textContent.includes(channels ? "direct channels" : "everything goes through the relay");
  });
});

test("a channel whose end does not show that it has its address is none", async (t) => {
  const { net, chromium } = await scene(t);
  const [one, two] = await Promise.all([chromium.page(), chromium.page()]);
  // Who has not got our answer cannot say what stands in it.
  await two.addInitScript(() => {
    const { send } = RTCDataChannel.prototype;
    RTCDataChannel.prototype.send = function (bytes) {
      send.call(this, this.label === "pieces" ? Uint8Array.of(6, 0, 0, 0, 0, 120) : bytes);
    };
  });
  await joined(one, net);
  await joined(two, net);
  await one.waitForFunction(() => kadlet.transport().counters.failed > 0);
  const { channels, counters } = await one.evaluate(() => ({ channels: kadlet.transport().channels, counters: kadlet.transport().counters }));
  assert.deepEqual([channels, counters.opened, counters.direct], [0, 0, 0]);
  await status(one, "everything goes through the relay");
});

test("signals that are none, and a peer that opens 10,000 channels, change nothing", async (t) => {
  const { net, chromium } = await scene(t);
  const [one, two] = await Promise.all([chromium.page(), chromium.page()]);
  await two.addInitScript(() => {
    const Original = RTCPeerConnection;
    globalThis.connections = [];
    globalThis.RTCPeerConnection = class extends Original {
      constructor(...given) {
        super(...given);
        connections.push(this);
      }
    };
  });
  await joined(one, net);
  await joined(two, net);
  await Promise.all([linked(one), linked(two)]);
  const id = await one.textContent("#own-id");
  await two.evaluate(async (id) => {
    const encoder = new TextEncoder();
    const offer = (more) => `kadlet-rtc.2 offer ${"0".repeat(16)}\nice abcd ${"p".repeat(22)}\nfingerprint ${"0".repeat(64)}\nsetup actpass${more}`;
    for (const hostile of ["", "v=0\r\no=- 1 1 IN IP4 1.2.3.4", offer("\r\na=candidate:x"), offer("\nhost 224.0.0.1 5000 1"), offer("\nhost 127.0.0.1 22 1"), offer("\nhost 127.0.0.1 5000 1 x"), offer("\nhost 127.0.0.1 5000 1".repeat(9))]) {
      await kadlet.node().signal(id, encoder.encode(hostile));
    }
  }, id);
  await one.waitForFunction(() => kadlet.transport().counters.malformed === 7);
  const opened = await two.evaluate(() => {
    let count = 0;
    const [open] = connections.filter(({ connectionState }) => connectionState === "connected");
    try {
      for (; count < 10_000; count++) open.createDataChannel(String(count));
    } catch {}
    return count;
  });
  assert.ok(opened > 100);
  await one.waitForFunction(() => kadlet.transport().channels === 0);
  await status(one, "Joined");
  await one.click("#lookup button");
  await one.waitForFunction(() => document.getElementById("lookup-result").textContent.startsWith("Found"));
});

test("native programs fetch what a page shares by a channel, and the other way round", async (t) => {
  const { net, chromium } = await scene(t);
  const page = await chromium.page();
  await joined(page, net);
  const dir = folder(t);
  const here = ["--listen", "127.0.0.1:0", "--no-lan", "--network", net.name, "--bootstrap", net.addr];
  const bytes = Uint8Array.from({ length: 2_500_000 }, (_, at) => at % 251);

  const link = await page.evaluate(async (length) => {
    const shared = await kadlet.node().share(Uint8Array.from({ length }, (_, at) => at % 251), { name: "from a page.bin" });
    return shared.link;
  }, bytes.length);
  const get = new Program("get", link, "-o", join(dir, "fetched"), ...here);
  const done = await get.said(({ event }) => event === "done");
  await get.ended;
  assert.deepEqual(new Uint8Array(readFileSync(join(dir, "fetched"))), bytes);
  assert.deepEqual(done.from, [await page.evaluate(() => kadlet.node().addr)]);

  const file = bytes.reverse();
  writeFileSync(join(dir, "shared.bin"), file);
  const share = new Program("share", join(dir, "shared.bin"), "--webrtc", ...here);
  t.after(() => share.stop());
  const [{ addr }, shared] = await Promise.all([
    share.said(({ event }) => event === "listening"),
    share.said(({ event }) => event === "shared"),
  ]);
  // Neither the page itself nor the relay reaches it over HTTP.
  await page.route(/\/blake3\//, (route) => route.abort());
  const fetched = await page.evaluate(async ([link, length]) => {
    const { blob, providers } = await kadlet.node().fetch(link);
    const bytes = new Uint8Array(await blob.arrayBuffer());
    return { same: bytes.length === length && bytes.every((byte, at) => byte === (length - 1 - at) % 251), providers };
  }, [shared.link, file.length]);
  assert.ok(fetched.same);
  assert.equal(fetched.providers[addr], 3);
  // And goes on with it when the relay is gone.
  await net.relay.stop("SIGKILL");
  await status(page, "The relay is gone");
  assert.equal(await page.evaluate((addr) => kadlet.transport().connect(addr), addr), true);
});

test("50 nodes in one page, and one whose timers are those of a background tab", async (t) => {
  const { net, chromium } = await scene(t, { size: 1 });
  const page = await chromium.page();
  await page.goto(net.relay.url);
  const found = await page.evaluate(async ({ relay, network, bootstrap }) => {
    const open = () => kadlet.createNode({ relay, network, bootstrap: [bootstrap], webrtc: false });
    const nodes = [];
    for (let n = 0; n < 10; n++) nodes.push(...(await Promise.all([open(), open(), open(), open(), open()])));
    const { key } = await nodes[0].put(new TextEncoder().encode("one of fifty"));
    const values = await Promise.all(nodes.map((node) => node.get(key)));
    return values.filter((value) => new TextDecoder().decode(value) === "one of fifty").length;
  }, { relay: net.relay.relay, network: net.name, bootstrap: net.addr });
  assert.equal(found, 50);

  const hidden = await chromium.page();
  await hidden.addInitScript(() => {
    const { setTimeout } = globalThis;
    globalThis.setTimeout = (work, after = 0, ...rest) => setTimeout(work, Math.max(after, 1000), ...rest);
  });
  await joined(hidden, net);
  await hidden.click("#lookup button");
  await hidden.waitForFunction(() => document.getElementById("lookup-result").textContent.startsWith("Found"));
  await hidden.waitForFunction(() => document.querySelectorAll("#tree circle[data-id]").length > 20);
  await shot(hidden, "16-fifty-nodes");
});
