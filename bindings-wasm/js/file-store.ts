// A state in a file, for one node at a time.
import { rmSync } from "node:fs";
import { link, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { StateStore } from "./storage.js";

/** A lock without a name in it is being written, or was left by who died just then: milliseconds. */
const WRITTEN = 10_000;
/** A lock may be taken over by somebody else while we look. */
const ATTEMPTS = 4;

/** What this process holds: its own number in a lock says nothing, for in a container it is 1 each time. */
const ours = new Set<string>();

const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : undefined);

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

/** When a process began, in ticks since the system did (proc(5), field 22); undefined where there is no telling. */
async function startOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The second field is a name, which may have anything in it.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}

/** Who has a lock; undefined if nobody who lives. */
async function holderOf(lock: string): Promise<string | undefined> {
  const [number, start] = (await readFile(lock, "utf8")).trim().split(" ");
  const pid = Number(number);
  if (pid > 0) {
    if (pid === process.pid || !isAlive(pid)) return undefined;
    // After a crash the number is soon another program's.
    const now = start && (await startOf(pid));
    return now && now !== start ? undefined : `process ${pid}`;
  }
  return Date.now() - (await stat(lock)).mtimeMs < WRITTEN ? "another process" : undefined;
}

/** Takes a lock whose holder is gone out of the way, and no other. */
async function clear(lock: string): Promise<void> {
  const aside = `${lock}.${process.pid}`;
  await rename(lock, aside);
  // Somebody was quicker, and this is already theirs.
  if ((await holderOf(aside)) !== undefined) await link(aside, lock).catch(() => {});
  await rm(aside, { force: true });
}

/** Takes a state for this process alone; rejects if another node has it. */
async function hold(path: string): Promise<void> {
  const lock = `${path}.lock`;
  if (ours.has(path)) throw new Error(`another node of this process uses ${path}`);
  ours.add(path);
  try {
    const us = [process.pid, await startOf(process.pid)].join(" ").trim();
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      try {
        return await writeFile(lock, `${us}\n`, { flag: "wx" });
      } catch (error) {
        if (codeOf(error) !== "EEXIST") throw error;
      }
      try {
        const holder = await holderOf(lock);
        if (holder !== undefined) throw new Error(`${holder} uses ${path}; if that is no node, remove ${lock}`);
        await clear(lock);
      } catch (error) {
        // It is gone: its holder has closed, or somebody else cleared it.
        if (codeOf(error) !== "ENOENT") throw error;
      }
    }
    throw new Error(`others use ${path}`);
  } catch (error) {
    ours.delete(path);
    throw error;
  }
}

/**
 * A state in a file; after a crash at any moment it is the old one or the new one. `PATH.lock` keeps other
 * nodes out while it is used; what a dead process left is taken over.
 */
export function fileStore(path: string): StateStore {
  const whole = resolve(path);
  let held: Promise<void> | undefined;
  let holds = false;
  const taken = (): Promise<void> => {
    if (held !== undefined) return held;
    const taking = hold(whole).then(
      () => {
        if (held === taking) holds = true;
      },
      (error: unknown) => {
        if (held === taking) held = undefined;
        throw error;
      },
    );
    return (held = taking);
  };
  return {
    async load() {
      await taken();
      try {
        return new Uint8Array(await readFile(whole));
      } catch (error) {
        if (codeOf(error) === "ENOENT") return undefined;
        throw error;
      }
    },
    async save(state) {
      await taken();
      const beside = `${whole}.${process.pid}.new`;
      await writeFile(beside, state, { flush: true });
      await rename(beside, whole);
    },
    close() {
      const release = (): void => {
        rmSync(`${whole}.lock`, { force: true });
        ours.delete(whole);
      };
      if (holds) release();
      // It is being taken still.
      else void held?.then(release, () => {});
      held = undefined;
      holds = false;
    },
  };
}
