// A network of native nodes, a relay that serves the page, and Chromium; all on loopback.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const root = new URL("../../../", import.meta.url);
const target = process.env.CARGO_TARGET_DIR ?? new URL("target", root).pathname;
const program = process.env.KADLET_PROGRAM ?? join(target, "debug/kadlet");
const executablePath = process.env.KADLET_CHROMIUM ?? "/usr/bin/chromium";
const web = new URL("bindings-wasm/dist/web", root).pathname;
export const screenshots = join(target, "screenshots");
mkdirSync(screenshots, { recursive: true });

/** One process of the program; `said(event)` is its first line of that kind. */
export class Program {
  #lines = [];
  #waiting = [];
  constructor(...args) {
    this.child = spawn(program, ["--json", ...args], { stdio: ["ignore", "pipe", "inherit"] });
    this.ended = new Promise((resolve) => this.child.once("exit", (code) => resolve(code)));
    this.closed = new Promise((resolve) => this.child.stdout.once("close", resolve));
    this.closed.then(() => this.#waiting.splice(0).forEach(({ reject }) => reject(new Error(`${args[0]} ended`))));
    createInterface({ input: this.child.stdout }).on("line", (text) => {
      const line = JSON.parse(text);
      this.#lines.push(line);
      this.#waiting = this.#waiting.filter(({ wanted, resolve }) => !wanted(line) || resolve(line));
    });
  }
  get lines() {
    return this.#lines;
  }
  said(wanted) {
    const line = this.#lines.find(wanted);
    return line ? Promise.resolve(line) : new Promise((resolve, reject) => this.#waiting.push({ wanted, resolve, reject }));
  }
  async stop(signal = "SIGTERM") {
    this.child.kill(signal);
    await this.ended;
  }
}

const listening = (line) => line.event === "listening";

export const node = async (...args) => {
  const one = new Program("node", "--listen", "127.0.0.1:0", ...args);
  one.addr = (await one.said(listening)).addr;
  return one;
};

export const relay = async (listen = "127.0.0.1:0", ...args) => {
  const one = new Program("relay", "--listen", listen, "--allow-private", "--web", web, ...args);
  Object.assign(one, await one.said(listening));
  return one;
};

/** A network of native nodes and a relay. */
export async function network(size, name = "kadlet", ...args) {
  const all = [await node("--network", name)];
  const [{ addr }] = all;
  const others = Array.from({ length: size - 1 }, () => node("--network", name, "--bootstrap", addr));
  all.push(...(await Promise.all(others)));
  const lent = await relay("127.0.0.1:0", ...args);
  return { name, nodes: all, relay: lent, addr, stop: () => Promise.all([...all, lent].map((one) => one.stop())) };
}

/** A browser whose pages may name this machine's own addresses to each other, or not, as real pages. */
export async function browser({ loopback = true } = {}) {
  const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"];
  if (loopback) flags.push("--allow-loopback-in-peer-connection");
  const one = await chromium.launch({ executablePath, args: flags, headless: true });
  return {
    close: () => one.close(),
    /** A page with storage of its own. */
    async page(options = {}) {
      const permissions = loopback ? ["microphone", "camera"] : [];
      const context = await one.newContext({ permissions, viewport: { width: 1200, height: 900 }, ...options });
      const page = await context.newPage();
      page.on("pageerror", (error) => console.error(`in the page: ${error.stack}`));
      return page;
    },
  };
}

export const href = ({ relay, name, addr }, more = {}) =>
  `${relay.url}#${new URLSearchParams({ network: name, bootstrap: addr, join: "1", ...more })}`;

/** Opens the page and waits until it has joined. */
export async function joined(page, net, more) {
  await page.goto(href(net, more));
  await page.waitForFunction(() => document.documentElement.dataset.joined !== undefined || document.querySelector("#problem").textContent);
  const problem = await page.textContent("#problem");
  if (problem) throw new Error(problem);
}

export const shot = (page, name) => page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });

/** A folder that is gone after the test. */
export function folder(t) {
  const path = mkdtempSync(join(tmpdir(), "kadlet-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
