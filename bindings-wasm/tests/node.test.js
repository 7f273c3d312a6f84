// Two nodes that share nothing but a queue, and what the boundary promises.
import assert from "node:assert/strict";
import { test } from "node:test";
import { numberOf, textOf } from "../dist/address.js";
import { Node, keyOf, sign } from "./kadlet.js";

const A = "127.0.0.1:1";
const B = "127.0.0.1:2";
const HELLO = new TextEncoder().encode("hello");

const fresh = (n) => new Node({}, String(n).repeat(40), new Uint8Array(32).fill(n), 1000);

// Every datagram arrives after a millisecond.
class Net {
  now = 1000;
  nodes = new Map([[A, fresh(1)], [B, fresh(2)]]);

  run(node, operation) {
    const events = [];
    const wire = [];
    for (;;) {
      for (const [from, sender] of this.nodes) {
        for (let t = sender.pollTransmit(); t; t = sender.pollTransmit()) wire.push({ from, ...t });
      }
      for (let event = node.pollEvent(); event; event = node.pollEvent()) {
        events.push(event);
        if (event.type === "done" && event.operation === operation) return events;
      }
      this.now += 1;
      const datagram = wire.shift();
      if (datagram) {
        const receiver = this.nodes.get(datagram.path.remote);
        const reason = receiver.handleDatagram(this.now, { remote: datagram.from }, datagram.payload);
        assert.equal(reason, undefined);
      } else {
        const deadlines = [...this.nodes.values()].map((one) => one.pollTimeout());
        this.now = Math.max(this.now, Math.min(...deadlines.filter((at) => at !== undefined)));
        for (const one of this.nodes.values()) one.handleTimeout(this.now);
      }
    }
  }
}

function joined() {
  const net = new Net();
  const [a, b] = net.nodes.values();
  assert.equal(net.run(a, a.bootstrap(net.now, [{ remote: B }])).at(-1).outcome, "success");
  return { net, a, b };
}

test("what one puts the other gets", () => {
  const { net, a, b } = joined();
  net.run(a, a.put(net.now, HELLO));
  const found = net.run(b, b.get(net.now, keyOf(HELLO))).filter(({ type }) => type === "value");
  assert.deepEqual(found.map(({ item }) => item), [HELLO]);
});

test("a refusal says what is held", () => {
  const { net, a } = joined();
  const salt = new Uint8Array(0);
  const signed = (seq) => sign(new Uint8Array(32), salt, seq, HELLO);
  net.run(a, a.put(net.now, signed(2n)));
  const { outcome } = net.run(a, a.put(net.now, signed(3n), 1n)).at(-1);
  assert.deepEqual(outcome, { code: "cas_mismatch", number: 301, seq: 2n });
});

test("what is wrong with a datagram is a value", () => {
  const node = fresh(1);
  const reason = node.handleDatagram(1000, { remote: B }, HELLO);
  assert.match(reason, /^malformed_/);
  assert.deepEqual(node.stats().rejected, { [reason]: 1 });
});

test("what is wrong with an argument is an exception", () => {
  const node = fresh(1);
  assert.throws(() => node.handleTimeout(-1), /milliseconds from 0/);
  assert.throws(() => node.handleTimeout(NaN), /milliseconds from 0/);
  assert.throws(() => node.findNode(1000, "short"));
  assert.throws(() => node.bootstrap(1000, [{ remote: "localhost:1" }]), /no address/);
  assert.throws(() => node.put(1000, new Uint8Array(897)), /896/);
  // Cut to 64 bits, -1 would be a number that nothing ever follows.
  for (const seq of [-1n, 2n ** 64n, 1, undefined]) {
    assert.throws(() => sign(new Uint8Array(32), new Uint8Array(0), seq, HELLO), /a bigint from 0 on/);
  }
});

test("a moment comes back as the same microsecond after seventy years", () => {
  const node = fresh(1);
  node.bootstrap(70 * 365 * 86_400e3, [{ remote: B }]);
  const deadline = node.pollTimeout();
  node.handleTimeout(deadline);
  assert.ok(node.pollTimeout() > deadline);
});

test("the quick verbs say what the others say, of IPv4 and of IPv6", () => {
  for (const remotes of [["9.9.255.254:65535", "200.0.0.1:1024"], ["[2a00:1450::1]:7611", "1.0.0.1:7611"]]) {
    const paths = remotes.map((remote) => ({ remote, link: 0 }));
    const [slow, quick] = [fresh(1), fresh(1)];
    for (const node of [slow, quick]) node.bootstrap(1000, paths);
    assert.equal(quick.deadline(), slow.pollTimeout());
    let count = 0;
    for (let out = slow.pollTransmit(); out; out = slow.pollTransmit()) {
      const to = quick.takeTransmit();
      assert.equal(to >= 0 ? textOf(to) : quick.takenAddress(), out.path.remote);
      assert.equal(Number.isNaN(to), out.path.remote.startsWith("["));
      assert.deepEqual(quick.takenPayload(), out.payload);
      assert.deepEqual(quick.takenPayload(), new Uint8Array(0));
      count += 1;
    }
    assert.equal(count, remotes.length);
    assert.equal(quick.takeTransmit(), -1);
  }
  const [{ a }, { a: other }] = [joined(), joined()];
  const changes = [];
  for (let change = a.pollChange(); change; change = a.pollChange()) changes.push(change.type);
  assert.deepEqual(changes, ["contacts"]);
  assert.equal(other.takeChanges(), 1);
  assert.equal(other.takeChanges(), 0);
});

test("what came by the quick verb was sent from there", () => {
  const { a, b } = joined();
  a.findNode(1001, "7".repeat(40));
  const asked = a.pollTransmit();
  for (const from of ["9.9.9.9:65535", "127.0.0.3:1024"]) {
    b.receive(1002, 0, numberOf(from), asked.payload);
    assert.equal(b.pollTransmit().path.remote, from);
  }
});

test("addresses are numbers and back", () => {
  for (const text of ["0.0.0.0:0", "255.255.255.255:65535", "127.0.0.1:7611", "200.1.2.3:40000"]) {
    assert.equal(textOf(numberOf(text)), text);
  }
  for (const text of ["[::1]:1", "1.2.3.256:1", "1.2.3.4:65536", "01.2.3.4:5", "1.2.3.4", "x", ""]) {
    assert.ok(Number.isNaN(numberOf(text)), text);
  }
});
