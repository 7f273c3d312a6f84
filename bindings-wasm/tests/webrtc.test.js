// What both ends of a data channel tell each other, as docs/webrtc.json has it; the native program
// is tested with the same.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parse } from "../dist/pieces.js";
import { decode, encode, permitted } from "../dist/sdp.js";

const { signals, messages } = JSON.parse(readFileSync(new URL("../../docs/webrtc.json", import.meta.url), "utf8"));
const hex = (text) => new Uint8Array(Buffer.from(text, "hex"));
const hidden = ({ host }) => host.endsWith(".local");
const address = ({ host, port }) => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`);

test("signals are read as the vectors say", () => {
  for (const { why, payload, valid, from, permitted: wanted } of signals) {
    const read = decode(new TextEncoder().encode(payload));
    assert.equal(read !== undefined, valid, why);
    if (read === undefined) continue;
    assert.equal(new TextDecoder().decode(encode(read)), payload, why);
    // A hidden name is nothing to whoever has no multicast.
    assert.deepEqual(permitted(read.candidates, from).filter((one) => !hidden(one)).map(address), wanted, why);
  }
});

test("messages are read as the vectors say", () => {
  for (const { why, message, valid, data, ...wanted } of messages) {
    const read = parse(hex(message));
    assert.equal(read !== undefined, valid, why);
    if (read === undefined) continue;
    assert.deepEqual(read, data === undefined ? wanted : { ...wanted, data: hex(data) }, why);
  }
});
