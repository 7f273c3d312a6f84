"""Files shared and fetched, between nodes of Python and with the program. Waits are for events."""

import asyncio
import errno
import json
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kadlet
import pytest
from kadlet import _partial, _shares, content
from kadlet._partial import Partial

from .loops import LOOPBACK, network, run

MIB = content.PIECE_LEN

GOES_ON = threading.Event()
"""Of something that nobody stops."""


def written(path: Path, size: int, seed: int = 1) -> Path:
    """A file in which no piece is like another."""
    path.write_bytes(
        b"".join(n.to_bytes(4) for n in range(seed, seed + size // 4)) + bytes(size % 4)
    )
    return path


def not_utf8(folder: Path) -> Path:
    """A file whose name is no UTF-8, where the system takes such."""
    path = folder / os.fsdecode(b"walk \xff.txt")
    try:
        path.write_bytes(b"left, right")
    except OSError:
        pytest.skip("names of files are UTF-8 here")
    return path


def test_a_file_is_shared_found_and_fetched_from_several(tmp_path: Path) -> None:
    async def test() -> None:
        source = written(tmp_path / "A Long Walk.bin", 5 * MIB + 3)
        other = tmp_path / "same bytes"
        other.write_bytes(source.read_bytes())
        async with network(4) as nodes:
            first = await nodes[1].share(source)
            second = await nodes[2].share(other, listed=False)
            assert first.id == second.id and first.stored >= 1
            hits = [hit.entry async for hit in nodes[3].search("long walk")]
            assert [(hit.name, hit.size, hit.content) for hit in hits] == [
                ("A Long Walk.bin", 5 * MIB + 3, first.id)
            ]
            # Neither gives all of it before the other gives something.
            files = [node._shelf._contents[first.id].files[0] for node in nodes[1:3]]
            gave = [asyncio.Event(), asyncio.Event()]
            for file, mine, others in zip(files, gave, reversed(gave)):

                async def read(
                    start: int, end: int, file: Any = file, mine: Any = mine, others: Any = others
                ) -> bytes:
                    if mine.is_set():
                        await others.wait()
                    mine.set()
                    return bytes(file._read(start, end))

                file.read = read  # type: ignore[method-assign]
            told: list[kadlet.FetchProgress] = []
            link = str(first.link)
            fetched = await nodes[3].fetch(link, tmp_path / "copy", progress=told.append)
            assert fetched.path.read_bytes() == source.read_bytes()
            assert fetched.size == fetched.fetched == 5 * MIB + 3
            assert len(fetched.providers) == 2 and sum(fetched.providers.values()) == 6
            assert told[-1].done == told[-1].size == fetched.size and told[0].size is None
            assert not list(tmp_path.glob("*.part*"))
            with pytest.raises(FileExistsError):
                await nodes[3].fetch(link, tmp_path / "copy")
            # By the link's own name into a folder.
            folder = tmp_path / "folder"
            for missing in (f"{folder}/", folder / "copy"):
                with pytest.raises(FileNotFoundError, match="no folder .*folder: make it"):
                    await nodes[0].fetch(first.link, missing)
            assert not folder.exists()
            folder.mkdir()
            assert (await nodes[0].fetch(first.link, folder)).path == folder / source.name

    run(test())


def test_an_empty_file_and_one_without_words(tmp_path: Path) -> None:
    async def test() -> None:
        empty, wordless = tmp_path / "empty", tmp_path / "-"
        empty.touch()
        wordless.write_bytes(b"x")
        async with network(2) as (a, b):
            for source in (empty, wordless):
                share = await a.share(source)
                fetched = await b.fetch(share.link, tmp_path / "copy")
                assert fetched.path.read_bytes() == source.read_bytes()
                fetched.path.unlink()

    run(test())


def test_a_share_says_why_it_is_not_found_by_words(tmp_path: Path) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 10)
        async with network(2) as (a, b):
            for name, why in (
                ("walk", None),
                ("-", "no word in the name"),
                ("walk\n", "control characters, this has one at byte 4"),
                ("walk " * 52, "255 bytes, this has 260"),
            ):
                share = await a.share(source, name=name)
                assert share.unlisted is None if why is None else why in str(share.unlisted)
                assert [hit async for hit in b.search("walk")] or name != "walk"
            assert (await a.share(source, name="-", listed=False)).unlisted is None
            assert share.stored, "its link is as good as any"

    run(test())


def test_a_share_that_would_not_be_renewed_is_none(tmp_path: Path) -> None:
    async def test() -> None:
        source = written(tmp_path / "walk", 10)
        config = kadlet.Config(max_publications=1)
        async with kadlet.open_node("127.0.0.1:0", config=config) as node:
            with pytest.raises(kadlet.OverloadedError):
                await node.share(source)
            assert node.health().publications == 0
            assert (await node.share(source, listed=False)).stored == 0
            assert node.health().publications == 1

    run(test())


def test_a_file_name_need_not_be_utf8(tmp_path: Path) -> None:
    async def test() -> None:
        async with network(2) as (a, b):
            source = not_utf8(tmp_path)
            share = await a.share(source)
            assert share.path == source and share.link.name == "walk \N{REPLACEMENT CHARACTER}.txt"
            assert [hit.entry.name async for hit in b.search("walk")] == [share.link.name]
            fetched = await b.fetch(str(share.link), tmp_path)
            assert fetched.path.read_bytes() == source.read_bytes()
            with pytest.raises(ValueError, match=r"surrogate pair: 'walk \\udcff'"):
                await a.share(source, name="walk \udcff")
            assert a.health().publications == 2

    run(test())


def test_who_gives_wrong_bytes_is_dropped_and_named(tmp_path: Path) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 3 * MIB)
        forged = tmp_path / "forged"
        forged.write_bytes(source.read_bytes())
        async with network(3) as (honest, liar, fetcher):
            link = (await liar.share(forged)).link

            async def lie(start: int, end: int) -> bytes:
                return bytes(end - start)

            file = liar._shelf._contents[link.id]
            file.read = lie  # type: ignore[method-assign]
            with pytest.raises(kadlet.NoProvidersError, match="wrong bytes for piece 2") as gone:
                await fetcher.fetch(link, tmp_path / "copy")
            assert [why.is_lie for why in gone.value.rejected.values()] == [True]
            assert not (tmp_path / "copy").exists()
            await honest.share(source)
            fetched = await fetcher.fetch(link, tmp_path / "copy")
            assert fetched.path.read_bytes() == source.read_bytes()
            assert all(why.is_lie for why in fetched.rejected.values())

    run(test())


async def asked(share: kadlet.Share, node: kadlet.RunningNode, what: str = "") -> int:
    """The status that a request for the content, or its list, is answered with."""
    assert node._shelf.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", node._shelf.port)
    writer.write(f"GET /blake3/{share.id.hex()}{what} HTTP/1.1\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


def test_a_changed_file_is_withdrawn_and_its_owner_told(tmp_path: Path) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 2 * MIB)
        async with network(2) as (a, b):
            share = await a.share(source)
            assert a.health().publications == 2
            told = asyncio.create_task(a.changed())
            await asyncio.sleep(0)
            assert await asked(share, a, "/hashes") == 200
            before = source.stat()
            with source.open("r+b") as file:
                file.write(b"changed")
            # Whatever its time stamp says.
            os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
            config = kadlet.FetchConfig(failures=1)
            with pytest.raises(kadlet.NoProvidersError, match="the connection broke"):
                await b.fetch(share.link, tmp_path / "copy", config=config)
            assert await told == share
            assert a.health().publications == 0, "it is announced no longer"
            assert await asked(share, a) == await asked(share, a, "/hashes") == 404
            with pytest.raises(kadlet.NoProvidersError, match="does not have the file"):
                await b.fetch(share.link, tmp_path / "copy")
            # What it is now is another content.
            again = await a.share(source)
            a.withdraw(share)
            fetched = await b.fetch(again.link, tmp_path / "now")
            assert fetched.path.read_bytes() == source.read_bytes()
            # Nobody waits, and it is not lost.
            source.unlink()
            with pytest.raises(kadlet.NoProvidersError):
                await b.fetch(again.link, tmp_path / "another")
            assert await a.changed() == again
            unwanted = await a.share(written(source, 10))
            source.unlink()
            with pytest.raises(OSError, match="not shared"):
                await a._shelf._contents[unwanted.id].read(0, 10)
            a.withdraw(unwanted)
            assert not a._changed

    run(test())


def test_a_copy_that_changed_is_withdrawn_and_the_others_are_served(tmp_path: Path) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 10)
        other = written(tmp_path / "same bytes", 10)
        async with network(2) as (a, b):
            first, second = await a.share(source), await a.share(other)
            source.write_bytes(b"changed")
            fetched = await b.fetch(first.link, tmp_path / "copy")
            assert fetched.path.read_bytes() == other.read_bytes()
            assert await a.changed() == first
            assert a.health().publications == 2, "the other's"
            # Of the same path, and of the same content again.
            written(source, 10)
            third = await a.share(source)
            a.withdraw(first)
            a.withdraw(second)
            assert await asked(third, a) == 200
            a.withdraw(third)
            assert await asked(third, a) == 404

    run(test())


def test_a_lack_of_descriptors_is_no_change(tmp_path: Path) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 10)
        async with kadlet.open_node(LOOPBACK) as node:
            share = await node.share(source)
            copies = node._shelf._contents[share.id]
            works = copies.files[0].read

            async def none_left(start: int, end: int) -> bytes:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

            copies.files[0].read = none_left  # type: ignore[method-assign]
            with pytest.raises(OSError, match="open files"):
                await copies.read(0, 10)
            copies.files[0].read = works  # type: ignore[method-assign]
            assert await copies.read(0, 10) == source.read_bytes()
            assert not node._changed

    run(test())


def test_a_file_that_changes_while_it_is_announced_is_withdrawn(tmp_path: Path) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 10)
        async with network(2) as (a, _):
            sharing = asyncio.create_task(a.share(source))
            while not a._shelf._contents:
                await asyncio.sleep(0)
            [file] = next(iter(a._shelf._contents.values())).files
            # Two find it out at once.
            a._shelf._has_changed(file)
            a._shelf._has_changed(file)
            assert not a._shelf._contents and not a._changed, "nobody knows it by name yet"
            assert await a.changed() == await sharing
            assert a.health().publications == 0 and not a._changed

    run(test())


def test_waiting_for_changes_ends_with_the_node(tmp_path: Path) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 10)
        async with kadlet.open_node(LOOPBACK) as node:
            share = await node.share(source)
            waiting = [asyncio.create_task(node.changed()) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            source.unlink()
            # Two find it out, and it is told once.
            copies = node._shelf._contents[share.id]
            for read in [asyncio.create_task(copies.read(0, 10)) for _ in range(2)]:
                with pytest.raises(OSError, match="not shared"):
                    await read
            assert await waiting[1] == share
        with pytest.raises(kadlet.ClosedError):
            await waiting[2]
        with pytest.raises(kadlet.ClosedError):
            await node.changed()

    run(test())


def test_an_interrupted_fetch_goes_on(tmp_path: Path) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 6 * MIB)
        async with network(2) as (a, b):
            share = await a.share(source)
            target = tmp_path / "copy"

            class Enough(Exception):
                pass

            def progress(now: kadlet.FetchProgress) -> None:
                if now.done >= 3 * MIB:
                    raise Enough

            with pytest.raises(Enough):
                await b.fetch(share.link, target, progress=progress)
            assert not target.exists()
            partial = Partial(target)
            left = partial.resume(share.id, 1 << 40, GOES_ON)
            assert left is not None and len(left[1]) >= 3
            with pytest.raises(OSError, match="another process"):
                await b.fetch(share.link, target)
            partial.close()

            told: list[kadlet.FetchProgress] = []
            fetched = await b.fetch(share.link, target, progress=told.append)
            assert told[0].resumed == told[0].done == len(left[1]) * MIB
            assert fetched.fetched == fetched.size - told[0].resumed
            assert target.read_bytes() == source.read_bytes()

    run(test())


def test_what_others_call_part_is_not_touched(tmp_path: Path) -> None:
    hashes = content.HashListBuilder()
    hashes.update(b"hello")
    mine = hashes.finish()
    part, elsewhere = tmp_path / "file.part", tmp_path / "elsewhere"

    def refused() -> None:
        with pytest.raises(OSError, match="name another target"):
            Partial(tmp_path / "file").resume(mine.id(), 1 << 40, GOES_ON)
        with pytest.raises(OSError, match="name another target"):
            Partial(tmp_path / "file").start(mine)

    part.write_bytes(b"somebody's")
    refused()
    assert part.read_bytes() == b"somebody's"
    part.unlink()
    elsewhere.write_bytes(b"")
    part.symlink_to(elsewhere)
    refused()
    part.unlink()
    # What got its name already is not written to, though it still has this one too.
    partial = Partial(tmp_path / "file")
    partial.start(mine)
    partial.write(0, b"hello")
    partial.close()
    os.link(part, tmp_path / "moved")
    assert Partial(tmp_path / "file").resume(mine.id(), 1 << 40, GOES_ON) is None
    partial = Partial(tmp_path / "file")
    partial.start(mine)
    partial.write(0, b"other")
    partial.close()
    assert (tmp_path / "moved").read_bytes() == b"hello"
    # A longer content that lay there leaves nothing behind.
    part.write_bytes(b"hello and more")
    partial = Partial(tmp_path / "file")
    assert partial.resume(mine.id(), 1 << 40, GOES_ON) is not None
    partial.finish()
    assert (tmp_path / "file").read_bytes() == b"hello"


def test_what_is_left_of_another_content_is_left_to_it(tmp_path: Path) -> None:
    lists = []
    for data in (b"hello", b"other"):
        hashes = content.HashListBuilder()
        hashes.update(data)
        lists.append(hashes.finish())
    mine, other = lists
    partial = Partial(tmp_path / "file")
    partial.start(mine)
    partial.write(0, b"hello")
    partial.close()
    with pytest.raises(OSError, match="left of another fetch"):
        Partial(tmp_path / "file").resume(other.id(), 1 << 40, GOES_ON)
    with pytest.raises(OSError, match="left of another fetch"):
        Partial(tmp_path / "file").start(other)
    assert (tmp_path / "file.part").read_bytes() == b"hello"
    # Nobody goes on with a list that is damaged.
    (tmp_path / "file.part.list").write_bytes(mine.encode()[:-1])
    partial = Partial(tmp_path / "file")
    assert partial.resume(other.id(), 1 << 40, GOES_ON) is None
    partial.start(other)
    partial.close()


def test_a_progress_that_raises_at_once_ends_the_fetch(tmp_path: Path) -> None:
    async def test() -> None:
        async with network(2) as (a, b):
            share = await a.share(written(tmp_path / "file", 10))
            told: list[kadlet.FetchProgress] = []

            def progress(now: kadlet.FetchProgress) -> None:
                told.append(now)
                raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await b.fetch(share.link, tmp_path / "copy", progress=progress)
            assert len(told) == 1 and told[0].size is None

    run(test())


def test_a_share_that_is_left_is_served_no_longer(tmp_path: Path) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 10)
        async with network(2) as (a, _):
            task = asyncio.create_task(a.share(source))
            while not a._shelf._contents:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not a._shelf._contents and a.health().publications == 0
            bad: Any = 5
            with pytest.raises(TypeError, match="a str or None"):
                await a.share(source, name=bad)
            assert not a._shelf._contents

    run(test())


def test_a_content_is_served_as_long_as_one_of_its_files_is(tmp_path: Path) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 10)
        other = written(tmp_path / "same bytes", 10)
        async with network(2) as (a, b):
            first, second = await a.share(source), await a.share(other)
            other.unlink()
            await b.fetch(second.link, tmp_path / "one")
            written(other, 10)
            third = await a.share(other)
            a.withdraw(first)
            await b.fetch(third.link, tmp_path / "two")
            a.withdraw(second)
            a.withdraw(third)
            assert not a._shelf._contents

    run(test())


def test_a_copy_that_is_withdrawn_while_it_is_read_ends_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 10)
        other = written(tmp_path / "same bytes", 10)
        async with kadlet.open_node(LOOPBACK) as node:
            first, second = await node.share(source), await node.share(other)
            copies = node._shelf._contents[first.id]

            async def withdrawn(start: int, end: int) -> bytes:
                node.withdraw(first)
                node.withdraw(second)
                raise OSError("it has changed")

            copies.files[0].read = withdrawn  # type: ignore[method-assign]
            assert await copies.read(0, 10) == source.read_bytes()
            # Who asked for more than a piece asks for the next one.
            with pytest.raises(OSError, match="not shared"):
                await copies.read(0, 10)

    run(test())


class Held:
    """Has a thread wait behind the first of its blocks until the test has seen it there."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.there, self.goes_on = asyncio.Event(), threading.Event()
        self.blocks = 0

    def block(self) -> None:
        self.blocks += 1
        self._loop.call_soon_threadsafe(self.there.set)
        self.goes_on.wait()

    async def left(self, doing: Coroutine[Any, Any, object]) -> int:
        """How many blocks are gone through where it is cancelled in the first."""
        task = asyncio.create_task(doing)
        await self.there.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        self.goes_on.set()
        # The thread's end.
        await self._loop.shutdown_default_executor()
        return self.blocks


def test_a_share_that_is_left_is_hashed_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 3 * MIB)
        held = Held()

        class Builder:
            def update(self, block: bytes) -> None:
                held.block()

            def finish(self) -> content.HashList:
                return content.HashListBuilder().finish()

        monkeypatch.setattr(_shares, "HashListBuilder", Builder)
        async with kadlet.open_node(LOOPBACK) as node:
            assert await held.left(node.share(source)) == 1

    run(test())


def looking(patch: pytest.MonkeyPatch) -> asyncio.Event:
    """Has a fetch look at what is there until it is told to stop, and a while longer; the event is
    set when it does."""
    loop, there = asyncio.get_running_loop(), asyncio.Event()

    async def turns() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    def held(stop: threading.Event) -> None:
        loop.call_soon_threadsafe(there.set)
        stop.wait()
        # Whoever does not wait for the thread is through by then.
        asyncio.run_coroutine_threadsafe(turns(), loop).result()
        _shares.unless_stopped(stop)

    patch.setattr(_partial, "unless_stopped", held)
    return there


def test_a_fetch_that_is_left_looks_at_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 3 * MIB)
        async with network(2) as (a, b):
            share = await a.share(source)
            partial = Partial(tmp_path / "copy")
            hashes = a._shelf._contents[share.id].hashes
            partial.start(hashes)
            for index in range(3):
                partial.write(index * MIB, source.read_bytes()[index * MIB : (index + 1) * MIB])
            partial.close()
            with monkeypatch.context() as patch:
                there = looking(patch)
                task = asyncio.create_task(b.fetch(share.link, tmp_path / "copy"))
                await there.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            # And the lock is free at once.
            left = partial.resume(share.id, 1 << 40, GOES_ON)
            assert left is not None and left[1] == [0, 1, 2]
            partial.close()

    run(test())


def test_time_and_the_node_end_a_fetch_that_looks_at_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", MIB)
        async with network(2) as (a, b):
            share = await a.share(source)
            partial = Partial(tmp_path / "copy")
            partial.start(a._shelf._contents[share.id].hashes)
            partial.write(0, source.read_bytes())
            partial.close()
            there = looking(monkeypatch)
            with pytest.raises(kadlet.QueryTimeout):
                await b.fetch(share.link, tmp_path / "copy", timeout=0.01)
            there.clear()
            task = asyncio.create_task(b.fetch(share.link, tmp_path / "copy"))
            await there.wait()
            await b.aclose()
            with pytest.raises(kadlet.ClosedError):
                await task

    run(test())


def test_a_fetch_that_is_left_at_its_end_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 10)
        async with network(2) as (a, b):
            share = await a.share(source)
            loop, there, goes_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
            finish = Partial.finish

            def held(partial: Partial) -> None:
                loop.call_soon_threadsafe(there.set)
                goes_on.wait()
                finish(partial)

            monkeypatch.setattr(Partial, "finish", held)
            task = asyncio.create_task(b.fetch(share.link, tmp_path / "copy"))
            await there.wait()
            try:
                for _ in range(2):
                    task.cancel()
                    for _ in range(20):
                        await asyncio.sleep(0)
                    assert not task.done(), "the thread has the file still"
            finally:
                goes_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (tmp_path / "copy").read_bytes() == source.read_bytes()
            assert not list(tmp_path.glob("*.part*"))

    run(test())


def test_leaving_a_fetch_stops_it(tmp_path: Path) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 3 * MIB)
        async with network(2) as (a, b):
            share = await a.share(source)
            asked, held = asyncio.Event(), asyncio.Event()

            async def never(start: int, end: int) -> bytes:
                asked.set()
                await held.wait()
                return b""

            a._shelf._contents[share.id].read = never  # type: ignore[method-assign]
            with pytest.raises(kadlet.QueryTimeout):
                await b.fetch(share.link, tmp_path / "copy", timeout=0.05)
            await asked.wait()
            asked.clear()
            task = asyncio.create_task(b.fetch(share.link, tmp_path / "copy"))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            asked.clear()
            task = asyncio.create_task(b.fetch(share.link, tmp_path / "copy"))
            await asked.wait()
            await b.aclose()
            with pytest.raises(kadlet.ClosedError):
                await task
            held.set()
            assert len(asyncio.all_tasks()) <= 4, "nothing is left but what is served"

    run(test())


def test_what_cannot_be_shared_or_fetched_is_said(tmp_path: Path) -> None:
    async def test() -> None:
        async with kadlet.open_node(LOOPBACK) as node:
            with pytest.raises(FileNotFoundError):
                await node.share(tmp_path / "missing")
            with pytest.raises(IsADirectoryError, match="folder"):
                await node.share(tmp_path)
            bad: Any = 5
            with pytest.raises(TypeError, match="a path"):
                await node.share(bad)
            with pytest.raises(TypeError, match="str or Link"):
                await node.fetch(bad)
            with pytest.raises(ValueError, match='a link begins with "magnet'):
                await node.fetch("http://example.org")
            source = written(tmp_path / "file", 10)
            share = await node.share(source)
            assert share.stored == 0, "nobody could be told yet"
            with pytest.raises(kadlet.NoPeersError):
                await node.fetch(str(share.link).partition("&x.pe")[0], tmp_path / "copy")
            # Somebody who comes later is told.
            async with kadlet.open_node(LOOPBACK, [node.addr]) as late:
                nobody = content.Link(bytes(32))
                with pytest.raises(kadlet.NoProvidersError, match="nobody offers it"):
                    await late.fetch(nobody, tmp_path / "copy")
                fetched = await late.fetch(share.link, tmp_path / "copy")
                assert fetched.path.read_bytes() == source.read_bytes()
                node.withdraw(share)
                with pytest.raises(kadlet.NoProvidersError, match="nobody offers it"):
                    await late.fetch(share.link, tmp_path / "another")

    run(test())


def test_a_link_is_enough(tmp_path: Path) -> None:
    async def test() -> None:
        source = written(tmp_path / "file", 10)
        async with network(2) as (a, _), kadlet.open_node(LOOPBACK) as stranger:
            share = await a.share(source)
            fetched = await stranger.fetch(str(share.link), tmp_path / "copy")
            assert fetched.path.read_bytes() == source.read_bytes()

    run(test())


def test_files_in_virtual_time(tmp_path: Path) -> None:
    source = written(tmp_path / "file", 2 * MIB + 1)

    async def a_run(target: Path) -> list[object]:
        async with kadlet.testing.network(10, seed=3, loss=0.05) as nodes:
            share = await nodes[1].share(source)
            await nodes[2].share(source)
            # They stay known although nodes forget, and the one that died is done without.
            await nodes.sleep(2 * 86_400.0)
            await nodes[1].aclose()
            fetched = await nodes[9].fetch(share.link, target)
            assert fetched.path.read_bytes() == share.path.read_bytes()
            return [nodes.now, fetched.providers, fetched.rejected, nodes[9].stats()]

    first = asyncio.run(a_run(tmp_path / "one"))
    assert asyncio.run(a_run(tmp_path / "two")) == first


# ---- with the program ---------------------------------------------------------------------------


@asynccontextmanager
async def program(*arguments: str | Path) -> AsyncIterator[asyncio.Queue[dict[str, Any]]]:
    """A `kadlet` process, and what it says; ended at the end of the block."""
    path = os.environ.get("KADLET_PROGRAM")
    if path is None:
        pytest.skip("KADLET_PROGRAM is not set: `cargo xtask python` sets it")
    child = await asyncio.create_subprocess_exec(
        path, "--json", *map(str, arguments), stdout=subprocess.PIPE
    )
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def listen() -> None:
        assert child.stdout is not None
        async for line in child.stdout:
            said.put_nowait(json.loads(line))
        said.put_nowait({"event": "end"})

    listener = asyncio.create_task(listen())
    try:
        yield said
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()
        await listener


async def event(said: "asyncio.Queue[dict[str, Any]]", name: str) -> dict[str, Any]:
    """The next event of this name."""
    while (one := await said.get())["event"] != name:
        assert one["event"] != "end", f"it ended without {name}"
    return one


def test_python_and_the_program_are_one_network(tmp_path: Path) -> None:
    async def test() -> None:
        theirs = written(tmp_path / "Native Song.bin", 3 * MIB + 5)
        ours = written(tmp_path / "Python Song.bin", 2 * MIB + 7, seed=9)
        listen = ["--listen", LOOPBACK, "--no-lan"]
        async with program("node", *listen) as node:
            start = (await event(node, "listening"))["addr"]
            async with (
                program("share", theirs, *listen, "--bootstrap", start) as sharer,
                kadlet.open_node(LOOPBACK, [start]) as python,
            ):
                link = (await event(sharer, "shared"))["link"]
                [hit] = [hit async for hit in python.search("native song")]
                assert (hit.entry.name, hit.entry.size) == (theirs.name, 3 * MIB + 5)
                assert hit.entry.content == content.Link.parse(link).id
                fetched = await python.fetch(link, tmp_path / "from native")
                assert fetched.path.read_bytes() == theirs.read_bytes()

                share = await python.share(ours)
                async with program("search", "python", *listen, "--bootstrap", start) as search:
                    assert (await event(search, "hit"))["name"] == ours.name
                copy = tmp_path / "from python"
                async with program("get", str(share.link), "-o", copy, *listen) as get:
                    assert (await event(get, "done"))["providers"] == 1
                assert copy.read_bytes() == ours.read_bytes()

                stored = await python.put(b"a value of Python's")
                async with program(
                    "value", str(stored.key), *listen, "--bootstrap", start
                ) as value:
                    assert (await event(value, "value"))["value"] == b"a value of Python's".hex()

    run(test())
