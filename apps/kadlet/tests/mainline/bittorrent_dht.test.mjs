// The program and npm's bittorrent-dht in one Mainline: what either says, the other finds.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  sign as signWith,
  verify as verifyWith,
} from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";

// Installed beside the build, not beside this file.
const { Client } = await import(
  join(process.env.KADLET_NPM, "node_modules/bittorrent-dht/index.js")
);
const PROGRAM = process.env.KADLET_PROGRAM;
const sha1 = (text) => createHash("sha1").update(text).digest();
const children = [];
const clients = [];

/** Starts a node; it listens, and has joined, when this resolves. */
async function node(ip, ...bootstrap) {
  const where = bootstrap.flatMap((entry) => ["--bootstrap", entry]);
  const args = ["node", "--json", "--network", "mainline", "--listen", `${ip}:6881`, ...where];
  const child = spawn(PROGRAM, args, { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const wanted = bootstrap.length ? "joined" : "listening";
  const lines = createInterface(child.stdout);
  for (;;) {
    const [line] = await once(lines, "line");
    if (JSON.parse(line).event === wanted) return `${ip}:6881`;
  }
}

/** What a command says, a line each. */
async function run(command, ...args) {
  const where = ["--network", "mainline", "--listen", "127.1.9.1:0", "--bootstrap", "127.1.1.1:6881"];
  const child = spawn(PROGRAM, [command, ...args, "--json", ...where]);
  const lines = [];
  for await (const line of createInterface(child.stdout)) lines.push(JSON.parse(line));
  return lines;
}

function verify(signature, message, key) {
  const jwk = { kty: "OKP", crv: "Ed25519", x: Buffer.from(key).toString("base64url") };
  return verifyWith(null, message, createPublicKey({ key: jwk, format: "jwk" }), signature);
}

async function client(ip, ...bootstrap) {
  const one = new Client({ bootstrap, host: ip, verify });
  clients.push(one);
  one.listen(6881, ip);
  await once(one, "ready");
  return one;
}

const promised = (start) =>
  new Promise((done, fail) => start((error, value) => (error ? fail(error) : done(value))));

/** Asks again until something is there: others need their time. */
async function until(ask) {
  for (let tries = 0; tries < 100; tries++) {
    const found = await ask();
    if (found) return found;
    await new Promise((again) => setTimeout(again, 50));
  }
  throw new Error("nothing came");
}

before(async () => {
  // Each side bootstraps from the other.
  const first = await node("127.1.1.1");
  await client("127.1.5.1", first);
  for (const n of [2, 3, 4]) await node(`127.1.${n}.1`, "127.1.5.1:6881", first);
  for (const n of [6, 7]) await client(`127.1.${n}.1`, `127.1.${n - 4}.1:6881`);
});

after(async () => {
  for (const one of clients) await promised((done) => one.destroy(done));
  for (const child of children) child.kill();
});

test("they are in each other's tables", async () => {
  for (const one of clients) assert.ok(one.toJSON().nodes.length >= 4);
  const [said] = (await run("lookup", "00".repeat(20))).slice(-1);
  assert.equal(said.closest, 7);
});

test("what we announce they find, and the other way round", async () => {
  const ours = sha1("announced by us").toString("hex");
  await run("announce", ours, "--port", "7001");
  const peers = [];
  clients[0].on("peer", (peer, hash) => peers.push([peer.host, peer.port, Buffer.from(hash).toString("hex")]));
  await promised((done) => clients[0].lookup(ours, done));
  assert.deepEqual(peers[0], ["127.1.9.1", 7001, ours]);

  const theirs = sha1("announced by them").toString("hex");
  await promised((done) => clients[1].announce(theirs, 7002, done));
  const found = await run("peers", theirs);
  assert.equal(found[0].addr, "127.1.6.1:7002");
});

test("values cross both ways", async () => {
  const [{ key }] = await run("put", "said by us");
  const read = await promised((done) => clients[2].get(key, done));
  assert.equal(Buffer.from(read.v).toString(), "said by us");
  const hash = await promised((done) => clients[1].put({ v: "said by them" }, done));
  const [found] = await run("value", Buffer.from(hash).toString("hex"));
  assert.equal(Buffer.from(found.string, "hex").toString(), "said by them");
});

test("signed values cross both ways, with salt and sequence numbers", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const secret = Buffer.from(privateKey.export({ format: "jwk" }).d, "base64url");
  const k = Buffer.from(publicKey.export({ format: "jwk" }).x, "base64url");
  const salt = Buffer.from("both ways");
  const file = join(mkdtempSync(join(tmpdir(), "kadlet-")), "secret");
  writeFileSync(file, secret.toString("hex"));
  const sign = (bytes) => signWith(null, bytes, privateKey);
  const hash = await promised((done) =>
    clients[0].put({ k, salt, seq: 4, v: Buffer.from("four"), sign }, done),
  );
  const read = () => run("value", Buffer.from(hash).toString("hex"), "--salt", salt.toString());
  const [found] = await until(async () => ((await read())[0].seq === 4 ? read() : undefined));
  assert.equal(Buffer.from(found.string, "hex").toString(), "four");
  const five = await run("put", "five", "--key", file, "--salt", salt.toString(), "--cas", "4");
  assert.equal(five[0].seq, 5);
  // A client keeps what it once read.
  const options = { salt, cache: false };
  const answer = await promised((done) => clients[2].get(hash, options, done));
  assert.deepEqual([Buffer.from(answer.v).toString(), answer.seq], ["five", 5]);
});
