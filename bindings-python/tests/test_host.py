"""Running nodes on loopback. Every wait is for an event, and bounded."""

import asyncio
import errno
import gc
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kadlet
import pytest
import uvloop
from kadlet import RunningNode, _driver
from kadlet._sockets import SocketDriver
from kadlet._state import StateFile

from .loops import LOOPBACK, network, run

CONTENT = bytes(range(32))


class NoReaders(asyncio.SelectorEventLoop):
    """A loop without `add_reader`, as Windows' default is."""

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:  # type: ignore[override]
        raise NotImplementedError


LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [
    asyncio.SelectorEventLoop,
    NoReaders,
    uvloop.new_event_loop,
]


def silent() -> socket.socket:
    """A socket that never answers."""
    deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    deaf.bind(("127.0.0.1", 0))
    return deaf


class Unplugged:
    """A socket of a machine whose cable was pulled."""

    def sendto(self, *_: Any) -> int:
        raise OSError(errno.ENETUNREACH, "unplugged")


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "no readers", "uvloop"])
def test_what_one_publishes_another_finds(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def test() -> None:
        async with network(5) as nodes:
            first, last = nodes[0], nodes[-1]
            stored = await first.put(b"hello")
            assert stored.stored >= 1 and stored.attempted >= stored.stored
            assert await last.get(stored.key) == b"hello"
            assert await last.get(stored.key.hex()) == b"hello"
            assert await last.get(bytes(20)) is None

            key = kadlet.content_key_of(CONTENT)
            await first.announce(key, 8080)
            assert [p.address async for p in last.providers(key)] == [("127.0.0.1", 8080)]
            entry = kadlet.SearchEntry("A Long Walk.txt", 7, CONTENT)
            assert (await first.publish(entry)).key == key
            assert [hit.entry async for hit in last.search("walk long")] == [entry]
            assert [hit async for hit in last.search("run")] == []

    run(test(), loop)


def test_a_signed_value_is_replaced_by_its_owner_alone() -> None:
    async def test() -> None:
        async with network(3) as (a, b, _):
            one, two = (kadlet.sign(bytes(32), b"feed", n, bytes([n])) for n in (1, 2))
            await a.put(one)
            key = (await a.put(two, cas=1)).key
            assert await b.get_signed(two.public_key, b"feed") == two
            assert await b.get_signed(two.public_key) is None
            assert key == kadlet.signed_key_of(two.public_key, b"feed")
            with pytest.raises(kadlet.StaleSequence) as stale:
                await a.put(one)
            assert stale.value.seq == 2
            with pytest.raises(kadlet.RefusedError) as changed:
                await a.put(kadlet.sign(bytes(32), b"feed", 3, b"3"), cas=1)
            assert changed.value.code == "cas_mismatch" and changed.value.seq == 2
            with pytest.raises(kadlet.QuorumError) as few:
                await a.put(b"value", quorum=100)
            assert await b.get(few.value.result.key) == b"value"

    run(test())


def test_a_lookup_is_seen_step_by_step() -> None:
    async def test() -> None:
        async with network(4) as nodes:
            steps = [step async for step in nodes[0].lookup(nodes[3].id)]
            asked = {s.peer.id for s in steps if isinstance(s, kadlet.Asked)}
            answered = {s.peer.id for s in steps if isinstance(s, kadlet.Answered)}
            assert asked == answered == {node.id for node in nodes[1:]}
            last = steps[-1]
            assert isinstance(last, kadlet.Done) and last.closest[0].id == nodes[3].id
            assert await nodes[0].find_node(nodes[3].id) == last.closest

    run(test())


def test_results_that_another_task_leaves_end() -> None:
    async def test() -> None:
        async with network(2) as (a, _):
            hits = a.search("nothing")
            waiting = asyncio.create_task(anext(hits, None))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another task"):
                await anext(hits)
            await hits.aclose()
            assert await waiting is None

    run(test())


def test_a_node_whose_closing_is_cancelled_is_closed_all_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        state = tmp_path / "state"
        node = await kadlet.open_node(LOOPBACK, state=state)
        node_id = node.id
        closing = asyncio.create_task(node.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await node.aclose()
        async with kadlet.open_node(LOOPBACK, state=state) as again:
            assert again.id == node_id

    run(test())


def test_what_raises_is_not_renewed_unless_it_names_the_renewal() -> None:
    async def test() -> None:
        async with kadlet.open_node(LOOPBACK) as lonely:
            for store in (
                lonely.put(b"x", renew=True),
                lonely.announce(bytes(20), 80, renew=True),
                lonely.publish(kadlet.SearchEntry("some name", 1, bytes(32)), renew=True),
            ):
                with pytest.raises(kadlet.NoPeersError):
                    await store
                assert lonely.health().publications == 0
        async with kadlet.testing.network(2, seed=1) as nodes:
            with pytest.raises(kadlet.QuorumError) as few:
                await nodes[0].put(b"x", renew=True, quorum=9)
            assert nodes[0].health().publications == 1
            nodes[0].withdraw(few.value.result)
            assert nodes[0].health().publications == 0

    run(test())


def test_without_contacts_it_is_said_at_once() -> None:
    async def test() -> None:
        async with kadlet.open_node(LOOPBACK) as node:
            for ask in (node.get(bytes(20)), node.find_node(bytes(20)), node.put(b"x")):
                # One step, without the loop: it waits for nothing.
                with pytest.raises(kadlet.NoPeersError):
                    ask.send(None)
            with pytest.raises(kadlet.NoPeersError):
                async for _ in node.providers(bytes(20)):
                    pytest.fail("nobody can have said so")

    run(test())


def test_a_bootstrap_that_fails_says_what_each_address_answered() -> None:
    async def test() -> None:
        async with kadlet.open_node(LOOPBACK, network="another") as other:
            given = [other.addr, "no-such-host.invalid:1", "198.51.100.1:1"]
            with pytest.raises(kadlet.BootstrapError) as failed:
                await kadlet.open_node(LOOPBACK, given)
            results = {a.given: a.result for a in failed.value.attempts}
            assert results == dict(zip(given, ["other_network", "unresolved", "out_of_reach"]))
            assert all(a in str(failed.value) for a in given)
            assert isinstance(failed.value, ConnectionError)
        with silent() as deaf:
            dead = f"127.0.0.1:{deaf.getsockname()[1]}"
            with pytest.raises(kadlet.BootstrapError, match="did not answer"):
                await kadlet.open_node(LOOPBACK, [dead], timeout=0.01)

    run(test())


def test_a_name_and_one_good_address_suffice() -> None:
    async def test() -> None:
        async with kadlet.open_node(LOOPBACK) as first:
            port = first.addr.rpartition(":")[2]
            given = [f"localhost:{port}", "no-such-host.invalid:1"]
            async with kadlet.open_node(LOOPBACK, given) as second:
                assert second.health().contacts["ipv4"] == 1

    run(test())


@asynccontextmanager
async def waiting() -> AsyncIterator[RunningNode]:
    """A node whose only contact has gone silent: whatever it asks for waits."""
    async with kadlet.open_node(LOOPBACK) as node:
        gone = await kadlet.open_node(LOOPBACK, [node.addr])
        await node.bootstrap([gone.addr])
        await gone.aclose()
        host, _, port = gone.addr.rpartition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
            deaf.bind((host, int(port)))
            yield node


def test_a_timeout_reaches_the_core() -> None:
    async def test() -> None:
        async with waiting() as node:
            with pytest.raises(kadlet.QueryTimeout) as late:
                await node.get(bytes(20), timeout=0.01)
            assert isinstance(late.value, TimeoutError)
            assert node.health().operations == 0

    run(test())


def test_cancelling_and_leaving_reach_the_core() -> None:
    async def test() -> None:
        async with waiting() as node:
            task = asyncio.create_task(node.get(bytes(20)))
            await asyncio.sleep(0)
            assert node.health().operations == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert node.health().operations == 0

            async for step in node.lookup(bytes(20)):
                assert isinstance(step, kadlet.Asked)
                assert node.health().operations == 1
                break
            gc.collect()
            await asyncio.sleep(0)
            assert node.health().operations == 0

            async with node.search("word"):
                assert node.health().operations == 1
            assert node.health().operations == 0

    run(test())


def test_closing_ends_what_is_waited_for() -> None:
    async def test() -> None:
        async with waiting() as node:
            task = asyncio.create_task(node.get(bytes(20)))
            await asyncio.sleep(0)
            await node.aclose()
            await node.aclose()
            with pytest.raises(kadlet.ClosedError):
                await task
            for ask in (node.get(bytes(20)), node.put(b"x"), node.bootstrap(["127.0.0.1:1"])):
                with pytest.raises(kadlet.ClosedError):
                    await ask
            with pytest.raises(kadlet.ClosedError):
                node.search("word")

    run(test())


def test_the_state_is_there_after_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        state = tmp_path / "state"
        async with kadlet.open_node(LOOPBACK) as other:
            async with kadlet.open_node(LOOPBACK, [other.addr], state=state) as node:
                ours = node.id
                key = (await other.put(b"kept")).key
            assert {file.name for file in tmp_path.iterdir()} == {"state", "state.lock"}
            async with kadlet.open_node(LOOPBACK, state=state) as node:
                assert node.id == ours
                assert node.health().operations == 1, "it joins again by the contact it had"
                # The contact is asked as well as the own store.
                assert await node.get(key) == b"kept"
                assert await node.find_node(other.id)
            with silent() as deaf:
                dead = f"127.0.0.1:{deaf.getsockname()[1]}"
                async with kadlet.open_node(LOOPBACK, [dead], state=state, timeout=0.01) as node:
                    assert await node.get(key) == b"kept"

        data = bytearray(state.read_bytes())
        with pytest.raises(kadlet.InvalidState, match="another network"):
            await kadlet.open_node(LOOPBACK, state=state, network="another")
        assert state.read_bytes() == data, "it is left alone"
        data[-1] ^= 1
        state.write_bytes(data)
        with pytest.raises(kadlet.InvalidState, match="damaged"):
            await kadlet.open_node(LOOPBACK, state=state)
        assert state.read_bytes() == data, "it is left alone"

    run(test())


def test_a_state_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    async def test() -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        with pytest.raises(OSError):
            await kadlet.open_node(LOOPBACK, state=folder / "missing" / "state")
        node = await kadlet.open_node(LOOPBACK, state=folder / "state")
        shutil.rmtree(folder)
        with pytest.raises(OSError):
            await node.aclose()
        assert node.closed

    run(test())


def test_one_node_at_a_time_uses_a_state(tmp_path: Path) -> None:
    async def test() -> None:
        state = tmp_path / "state"
        async with kadlet.open_node(LOOPBACK, state=state) as node:
            for _ in range(2):
                with pytest.raises(OSError, match="another node uses this state") as refused:
                    await kadlet.open_node(LOOPBACK, state=state)
                assert refused.value.filename == str(state)
        async with kadlet.open_node(LOOPBACK, state=state) as again:
            assert again.id == node.id
        # Nor does one that could not be opened keep it.
        state.write_bytes(b"damaged")
        for _ in range(2):
            with pytest.raises(kadlet.InvalidState):
                await kadlet.open_node(LOOPBACK, state=state)

    run(test())


def test_the_state_is_written_while_the_node_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        loop, written = asyncio.get_running_loop(), asyncio.Event()
        full = True

        def write(self: StateFile, state: bytes) -> None:
            loop.call_soon_threadsafe(written.set)
            if full:
                raise OSError(errno.ENOSPC, "the disk is full")

        async def until_saved(well: bool) -> None:
            while (node.save_error is None) != well:
                await written.wait()
                written.clear()
                if node._driver._saving is not None:
                    await node._driver._saving

        monkeypatch.setattr(_driver, "SAVE_EVERY", 0.0)
        async with kadlet.open_node(LOOPBACK, state=tmp_path / "state") as node:
            monkeypatch.setattr(StateFile, "write", write)
            async with kadlet.open_node(LOOPBACK, [node.addr]) as second:
                await until_saved(False)
                assert await node.find_node(second.id), "it goes on"
                full = False
                async with kadlet.open_node(LOOPBACK, [node.addr]):
                    await until_saved(True)

    run(test())


def test_both_families_are_one_node() -> None:
    async def test() -> None:
        async with kadlet.open_node("[::]:0") as node:
            families = {addr.startswith("[") for addr in node.addrs}
            ports = {addr.rpartition(":")[2] for addr in node.addrs}
            assert families == {True, False} and len(ports) == 1
            port = ports.pop()
            for bind, address in ((LOOPBACK, "127.0.0.1"), ("[::1]:0", "[::1]")):
                async with kadlet.open_node(bind, [f"{address}:{port}"]) as other:
                    assert sum(other.health().contacts.values()) == 1

    run(test())


def test_a_send_that_fails_ends_nothing() -> None:
    async def test() -> None:
        async with network(2) as (a, b):
            driver = a._driver
            assert isinstance(driver, SocketDriver)
            link = driver._links[0]
            works, link.socket = link.socket, Unplugged()  # type: ignore[assignment]
            steps = []
            with pytest.raises(kadlet.NoAnswerError):
                async for step in a.lookup(b.id):
                    steps.append(step)
            assert [s.reason for s in steps if isinstance(s, kadlet.Failed)] == ["path_failed"]
            assert driver.send_errors >= 1
            link.socket = works
            assert await a.find_node(b.id)

    run(test())


def test_a_taken_port_is_named() -> None:
    async def test() -> None:
        async with kadlet.open_node(LOOPBACK) as node:
            with pytest.raises(OSError, match=node.addr):
                await kadlet.open_node(node.addr)

    run(test())


def test_wrong_arguments_say_what_is_expected() -> None:
    bad: Any = 5
    bad_time: Any = "5"
    for wrong in ("127.0.0.1", "localhost:0", "::1:0", "127.0.0.256:0", "127.0.0.1:70000"):
        with pytest.raises(ValueError):
            kadlet.open_node(wrong)
    for wrong in ("127.0.0.1:0", "0.0.0.0:1", "224.0.0.1:1", "a b:1", ":1", "fd00::1:1"):
        with pytest.raises(ValueError, match="expected HOST:PORT"):
            kadlet.open_node(LOOPBACK, [wrong])
    with pytest.raises(TypeError, match="str"):
        kadlet.open_node(bad)
    with pytest.raises(TypeError, match="list"):
        kadlet.open_node(LOOPBACK, "127.0.0.1:1")
    for name in ("", "n" * 65):
        for given in ({"network": name}, {"config": kadlet.Config(network=name)}):
            with pytest.raises(ValueError, match=f"1 to 64 characters, this has {len(name)}"):
                kadlet.open_node(LOOPBACK, **given)
    with pytest.raises(ValueError, match=r"control characters, this is 'a\\x00'"):
        kadlet.open_node(LOOPBACK, network="a\0")
    kadlet.open_node(LOOPBACK, network="é" * 64)
    with pytest.raises(TypeError, match="Config"):
        kadlet.open_node(LOOPBACK, config=bad)

    async def test() -> None:
        async with kadlet.open_node(LOOPBACK) as node:
            with pytest.raises(TypeError, match="bytes, a hex str or Id"):
                await node.get(bad)
            with pytest.raises(ValueError, match="20 bytes"):
                await node.get(b"short")
            with pytest.raises(ValueError, match="quorum is a number from 0 on, this is -1"):
                await node.put(b"value", quorum=-1)
            for blanks in ("00 " * 20, "00 " * 13 + "0", " " * 40):
                with pytest.raises(ValueError, match="40 hexadecimal digits"):
                    kadlet.Id(blanks)
            with pytest.raises(ValueError, match="hexadecimal"):
                node.providers("not a key")
            with pytest.raises(TypeError, match="bytes or SignedValue"):
                await node.put(bad)
            with pytest.raises(TypeError, match="number of seconds"):
                await node.get(bytes(20), timeout=bad_time)
            with pytest.raises(ValueError, match="from 0 on"):
                await node.get(bytes(20), timeout=float("nan"))
            with pytest.raises(ValueError, match="65535"):
                await node.announce(bytes(20), 65_536)
            with pytest.raises(ValueError, match="letter or digit"):
                node.search("")
            with pytest.raises(kadlet.ValueTooLarge) as large:
                await node.put(bytes(897))
            assert (large.value.size, large.value.limit) == (897, 896)
            with pytest.raises(kadlet.NoPeersError):
                await node.put(bytes(896))
            signed = kadlet.sign(bytes(32), b"", 1, b"one")
            forged = kadlet.SignedValue(signed.public_key, b"", 1, b"two", signed.signature)
            with pytest.raises(kadlet.InvalidRecord, match="signature"):
                await node.put(forged)

    run(test())
