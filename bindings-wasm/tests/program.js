// The program as the tests have built it: a relay, or a native node.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROGRAM = process.env.KADLET_PROGRAM ?? fileURLToPath(new URL("../../target/debug/kadlet", import.meta.url));

/** Starts it, and gives its first line of JSON with this field; it ends with the test. */
export async function start(t, field, ...args) {
  const child = spawn(PROGRAM, args, { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const stop = async (signal = "SIGKILL") => {
    child.kill(signal);
    await ended;
  };
  t.after(() => stop());
  let words = "";
  child.stderr.on("data", (data) => (words += data));
  const lines = createInterface({ input: child.stdout });
  const line = await Promise.race([
    new Promise((resolve) => {
      lines.on("line", (line) => field in JSON.parse(line) && resolve(line));
    }),
    ended.then(() => Promise.reject(new Error(`kadlet ${args.join(" ")} ended: ${words}`))),
  ]);
  return { ...JSON.parse(line), stop };
}

export const relay = (t, ...args) =>
  start(t, "relay", "relay", "--json", "--allow-private", ...(args.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"]), ...args);
