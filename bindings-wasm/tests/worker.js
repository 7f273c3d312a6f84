// A node in a worker: datagrams are messages, time is the worker's own.
import { parentPort, workerData } from "node:worker_threads";
import { load } from "../dist/core.js";

const { Node } = await load();
const address = (n) => ({ remote: `127.0.0.1:${n}` });
const seed = new Uint8Array(32).fill(workerData);
const node = new Node({}, String(workerData).repeat(40), seed, performance.now());

let timer;
function drain() {
  for (let out; (out = node.pollTransmit()); ) parentPort.postMessage(out.payload);
  for (let event; (event = node.pollEvent()); ) {
    if (event.type === "done") parentPort.postMessage({ outcome: event.outcome });
  }
  clearTimeout(timer);
  const deadline = node.pollTimeout();
  if (deadline === undefined) return;
  timer = setTimeout(() => {
    node.handleTimeout(performance.now());
    drain();
  }, deadline - performance.now());
}

parentPort.on("message", (datagram) => {
  node.handleDatagram(performance.now(), address(3 - workerData), datagram);
  drain();
});
if (workerData === 1) node.bootstrap(performance.now(), [address(2)]);
drain();
