"""`kadlet.Node` in loops of people's own: the guide's `select` loop, asyncio, trio, and a queue with
no socket at all. Each joins, stores and reads."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import kadlet
import pytest
import trio

from .test_guide import BLOCKS


def guide() -> dict[str, Any]:
    """What "bring your own socket" defines."""
    [code] = [code for code, _ in BLOCKS if "class Host" in code]
    names: dict[str, Any] = {"__name__": "guide"}
    exec(compile(code, "docs/python.md", "exec"), names)
    return names


Until = Callable[[], Any]
Loop = Callable[[list[Any], Until], Any]


def with_select(hosts: list[Any], until: Until) -> Any:
    return guide()["run"](hosts, until)


def with_asyncio(hosts: list[Any], until: Until) -> Any:
    async def run() -> Any:
        loop = asyncio.get_running_loop()
        turned = asyncio.Event()

        def turn(host: Any) -> None:
            host.turn()
            turned.set()

        for host in hosts:
            loop.add_reader(host.socket, turn, host)
        while until() is None:
            timers = [loop.call_later(host.wait(), turn, host) for host in hosts]
            await turned.wait()
            turned.clear()
            for timer in timers:
                timer.cancel()
        for host in hosts:
            loop.remove_reader(host.socket)
        return until()

    return asyncio.run(run())


def with_trio(hosts: list[Any], until: Until) -> Any:
    async def serve(host: Any, scope: trio.CancelScope) -> None:
        while until() is None:
            with trio.move_on_after(host.wait()):
                await trio.lowlevel.wait_readable(host.socket)
            host.turn()
        scope.cancel()

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            for host in hosts:
                nursery.start_soon(serve, host, nursery.cancel_scope)

    trio.run(run)
    return until()


@pytest.mark.parametrize("loop", [with_select, with_asyncio, with_trio])
def test_a_node_runs_in_any_loop(loop: Loop) -> None:
    host = guide()["Host"]
    hosts = [host(), host()]
    first, second = hosts

    def do(host: Any, command: Callable[[float], int]) -> None:
        operation = command(host.now())
        host.drain()
        assert loop(hosts, lambda: host.done(operation)) == "success"

    do(second, lambda now: second.node.bootstrap(now, [first.path]))
    do(second, lambda now: second.node.put(now, b"hello"))
    do(first, lambda now: first.node.get(now, kadlet.key_of(b"hello")))
    assert [e.item for e in first.events if isinstance(e, kadlet.Value)] == [b"hello"]
    for host in hosts:
        host.socket.close()


def test_a_node_runs_without_a_socket() -> None:
    """Addresses mean what the host says: here the place in a list."""
    nodes = [kadlet.Node(kadlet.Config(), bytes([n]) * 20, bytes([n]) * 32, 0.0) for n in (1, 2)]
    paths = [kadlet.Path((f"10.0.0.{n}", 1)) for n in (1, 2)]
    wire: deque[tuple[kadlet.Path, kadlet.Transmit]] = deque()
    now = 0.0

    def run(node: kadlet.Node, operation: int) -> list[kadlet.Event]:
        nonlocal now
        events: list[kadlet.Event] = []
        while not any(isinstance(e, kadlet.Done) and e.operation == operation for e in events):
            for path, sender in zip(paths, nodes):
                while (transmit := sender.poll_transmit()) is not None:
                    wire.append((path, transmit))
            while (event := node.poll_event()) is not None:
                events.append(event)
            if wire:
                path, transmit = wire.popleft()
                receiver = nodes[paths.index(transmit.path)]
                assert receiver.handle_datagram(now, path, transmit.payload) is None
            else:
                now = min(at for at in (n.poll_timeout() for n in nodes) if at is not None)
                for one in nodes:
                    one.handle_timeout(now)
        return events

    first, second = nodes
    run(second, second.bootstrap(now, paths[:1]))
    run(second, second.put(now, b"hello"))
    found = run(first, first.get(now, kadlet.key_of(b"hello")))
    assert [event.item for event in found if isinstance(event, kadlet.Value)] == [b"hello"]


def test_threads_that_share_a_node_never_corrupt_it() -> None:
    """Each call is whole: all operations begin, each has a number of its own and one end."""
    node = kadlet.Node(kadlet.Config(), bytes(20), bytes(32), 0.0)
    peer = kadlet.Path(("127.0.0.1", 1))
    begun: list[int] = []
    ended: list[int] = []
    gate = threading.Barrier(4)

    def work(seed: int) -> None:
        gate.wait()
        for step in range(200):
            begun.append(node.bootstrap(step * 0.01, [peer]))
            node.handle_datagram(step * 0.01, peer, bytes([seed, step]))
            node.poll_transmit()
            node.handle_timeout(step * 0.01)
            while (event := node.poll_event()) is not None:
                if isinstance(event, kadlet.Done):
                    ended.append(event.operation)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    node.shutdown(1e6)
    while (event := node.poll_event()) is not None:
        if isinstance(event, kadlet.Done):
            ended.append(event.operation)
    assert len(begun) == len(set(begun)) == 800
    assert sorted(set(ended) & set(begun)) == sorted(begun) and len(ended) == len(set(ended))
    assert sum(node.stats().rejected.values()) == 800
