"""What Python's users have, side by side: Kadlet, kademlia and OpenDHT on one machine, at one work.

    python bench.py [--nodes 64] [--values 200] [--seed 1] [IMPLEMENTATION…]

Each implementation runs in a process of its own, its nodes all in that process, over UDP on loopback.
The work, drawn from the seed: every node joins by the first; 200 values of 100 bytes are put by
random nodes; each is read by a random node, one after the other and 32 at once; as many absent keys
are looked for; half of the nodes die without goodbye; every value is read again by random survivors,
8 at once, for one can take seconds. Memory is what a node adds once the first 8 are there: what is
loaded once, whatever the number of nodes, is nobody's share. What is not installed is named and left out. `run.sh` makes an environment with all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

AT_ONCE = 32

AT_ONCE_AFTER = 8
"""Values read at once after half of the nodes died."""

FIRST = 8
"""Nodes after which memory is counted."""


class Implementation(ABC):
    """One library: how its nodes start, keep, read and die."""

    k = 20

    @abstractmethod
    async def start(self, nodes: int) -> None:
        """Adds so many, joined by the very first."""

    @abstractmethod
    async def put(self, node: int, key: bytes, value: bytes) -> bytes:
        """Gives the key to read it by."""

    @abstractmethod
    async def get(self, node: int, key: bytes) -> bytes | None: ...
    @abstractmethod
    async def kill(self, node: int) -> None: ...


class Kadlet(Implementation):
    def __init__(self, k: int) -> None:
        import kadlet

        self.k = k
        table, lookup = kadlet.TableConfig(k=k), kadlet.LookupConfig(k=k)
        self.config = kadlet.Config(table=table, lookup=lookup)
        self.nodes: list[kadlet.RunningNode] = []

    async def start(self, nodes: int) -> None:
        import kadlet

        for _ in range(nodes):
            known = [self.nodes[0].addr] if self.nodes else []
            node = await kadlet.open_node("127.0.0.1:0", known, config=self.config)
            self.nodes.append(node)

    async def put(self, node: int, key: bytes, value: bytes) -> bytes:
        return (await self.nodes[node].put(value)).key

    async def get(self, node: int, key: bytes) -> bytes | None:
        return await self.nodes[node].get(key)

    async def kill(self, node: int) -> None:
        await self.nodes[node].aclose()


class Kademlia(Implementation):
    def __init__(self, k: int) -> None:
        from kademlia.network import Server

        self.make: Callable[[], Any] = lambda: Server(ksize=k)
        self.k = k
        self.nodes: list[Any] = []

    async def start(self, nodes: int) -> None:
        for _ in range(nodes):
            server = self.make()
            await server.listen(0, interface="127.0.0.1")
            if self.nodes:
                first = self.nodes[0].transport.get_extra_info("sockname")
                await server.bootstrap([first])
            self.nodes.append(server)

    async def put(self, node: int, key: bytes, value: bytes) -> bytes:
        await self.nodes[node].set(key.hex(), value)
        return key

    async def get(self, node: int, key: bytes) -> bytes | None:
        return await self.nodes[node].get(key.hex())

    async def kill(self, node: int) -> None:
        self.nodes[node].stop()


class OpenDht(Implementation):
    k = 8

    def __init__(self, k: int) -> None:
        import opendht

        self.dht = opendht
        self.nodes: list[Any] = []
        self.threads = ThreadPoolExecutor(AT_ONCE)

    def _in_thread(self, do: Callable[[], Any]) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self.threads, do)

    async def start(self, nodes: int) -> None:
        for n in range(nodes):
            node = self.dht.DhtRunner()
            config = self.dht.DhtConfig()
            # The limits per source would forbid a network on one address.
            config.setRateLimit(-1, -1)
            node.run(port=0, ipv4="127.0.0.1", config=config)
            if self.nodes:
                node.bootstrap("127.0.0.1", str(self.nodes[0].getBound().getPort()))
            self.nodes.append(node)
        # Joining is not waited for by the library: a key that nobody has is looked up by each.
        for n in range(len(self.nodes) - nodes, len(self.nodes)):
            await self.get(n, os.urandom(20))

    async def put(self, node: int, key: bytes, value: bytes) -> bytes:
        hash, record = self.dht.InfoHash.get(key.hex()), self.dht.Value(value)
        await self._in_thread(lambda: self.nodes[node].put(hash, record))
        return key

    async def get(self, node: int, key: bytes) -> bytes | None:
        hash = self.dht.InfoHash.get(key.hex())
        found = await self._in_thread(lambda: self.nodes[node].get(hash))
        return found[0].data if found else None

    async def kill(self, node: int) -> None:
        await self._in_thread(self.nodes[node].join)


IMPLEMENTATIONS: dict[str, Callable[[], Implementation]] = {
    "kadlet": lambda: Kadlet(20),
    "kadlet k=8": lambda: Kadlet(8),
    "kademlia": lambda: Kademlia(20),
    "opendht": lambda: OpenDht(8),
}


def resident() -> int:
    """Bytes of memory in use."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def summary(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=20)
    return {"p50_ms": statistics.median(times) * 1e3, "p95_ms": cuts[18] * 1e3}


async def timed(do: Callable[[], Awaitable[Any]], times: list[float]) -> Any:
    start = time.perf_counter()
    result = await do()
    times.append(time.perf_counter() - start)
    return result


async def measure(name: str, nodes: int, values: int, seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    network = IMPLEMENTATIONS[name]()
    start = time.perf_counter()
    await network.start(FIRST)
    before = resident()
    await network.start(nodes - FIRST)
    out: dict[str, Any] = {"name": name, "k": network.k, "nodes": nodes, "values": values}
    out["join_s"] = time.perf_counter() - start
    out["rss_kb_per_node"] = (resident() - before) / (nodes - FIRST) / 1000

    stored = {}
    times: list[float] = []
    for _ in range(values):
        key, value, node = rng.randbytes(20), rng.randbytes(100), rng.randrange(nodes)
        kept = await timed(lambda: network.put(node, key, value), times)
        stored[kept] = value
    out["put"] = summary(times)

    async def read(among: list[int], times: list[float], at_once: int) -> int:
        found = 0
        todo = iter(stored.items())

        async def worker() -> None:
            nonlocal found
            for key, value in todo:
                node = rng.choice(among)
                got = await timed(lambda node=node, key=key: network.get(node, key), times)
                found += got == value

        await asyncio.gather(*(worker() for _ in range(at_once)))
        return found

    everybody = list(range(nodes))
    times = []
    out["get_found"] = await read(everybody, times, 1)
    out["get"] = summary(times)

    async def at_once(keys: list[bytes]) -> float:
        start = time.perf_counter()
        todo = iter(keys)

        async def worker() -> None:
            for key in todo:
                await network.get(rng.choice(everybody), key)

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
        return len(keys) / (time.perf_counter() - start)

    out["gets_per_s"] = await at_once(list(stored))
    absent = [rng.randbytes(20) for _ in range(values)]
    out["absent_per_s"] = await at_once(absent)
    times = []
    for key in absent:
        assert await timed(lambda: network.get(rng.choice(everybody), key), times) is None
    out["absent"] = summary(times)

    dead = rng.sample(everybody, nodes // 2)
    for node in dead:
        await network.kill(node)
    alive = [node for node in everybody if node not in dead]
    times = []
    out["after_found"] = await read(alive, times, AT_ONCE_AFTER)
    out["after"] = summary(times)
    times = []
    for _ in range(10):
        key, value, node = rng.randbytes(20), rng.randbytes(100), rng.choice(alive)
        await timed(lambda: network.put(node, key, value), times)
    out["after_put"] = summary(times)
    return out


ROWS: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
    ("put p50 / p95, ms", lambda r: pair(r["put"])),
    ("get p50 / p95, ms", lambda r: pair(r["get"])),
    ("found", lambda r: f"{r['get_found']}/{r['values']}"),
    (f"gets/s, {AT_ONCE} at once", lambda r: f"{r['gets_per_s']:.0f}"),
    ("absent p50 / p95, ms", lambda r: pair(r["absent"])),
    (f"absent/s, {AT_ONCE} at once", lambda r: f"{r['absent_per_s']:.0f}"),
    ("half dead: get p50 / p95, ms", lambda r: pair(r["after"])),
    ("half dead: found", lambda r: f"{r['after_found']}/{r['values']}"),
    ("half dead: put p50 / p95, ms", lambda r: pair(r["after_put"])),
    ("resident kB a node", lambda r: f"{r['rss_kb_per_node']:.0f}"),
    ("joining all, s", lambda r: f"{r['join_s']:.1f}"),
]


def pair(times: dict[str, float]) -> str:
    return f"{times['p50_ms']:.2f} / {times['p95_ms']:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="IMPLEMENTATION", default=[*IMPLEMENTATIONS])
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--values", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--here", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(asyncio.run(measure(given.here, given.nodes, given.values, given.seed))))
        # OpenDHT's threads are not waited for.
        sys.stdout.flush()
        os._exit(0)
    results = []
    sizes = ["--nodes", str(given.nodes), "--values", str(given.values), "--seed", str(given.seed)]
    for name in given.names:
        command = [sys.executable, __file__, "--here", name, *sizes]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"{name}: left out: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            continue
        results.append(json.loads(done.stdout.splitlines()[-1]))
        print(done.stdout.splitlines()[-1], file=sys.stderr)
    print(f"{given.nodes} nodes in one process, {given.values} values, seed {given.seed}\n")
    print("| | " + " | ".join(f"{r['name']} (k = {r['k']})" for r in results) + " |")
    print("| --- |" + " --- |" * len(results))
    for title, say in ROWS:
        print(f"| {title} | " + " | ".join(say(r) for r in results) + " |")


if __name__ == "__main__":
    main()
