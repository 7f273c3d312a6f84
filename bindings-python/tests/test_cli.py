"""`python -m kadlet` as programs and people use it."""

import asyncio
import io
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import kadlet
import pytest
from kadlet import _cli, _output, _view
from kadlet._native import mainline_config
from rich.console import Console

from .loops import LOOPBACK, network, run
from .test_files import not_utf8

NOBODY = "00" * 20

SIGNALS = [signal.SIGINT, signal.SIGTERM]
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
    # Under `nohup` it is ignored, and stays so.
    SIGNALS.append(signal.SIGHUP)


@asynccontextmanager
async def begun(
    *arguments: str | Path,
    bind: str = LOOPBACK,
    json: bool = True,
    out: int | IO[bytes] = PIPE,
    closed: str = "",
    **env: str,
) -> AsyncIterator[Process]:
    """A process; it ends at the end of the block. `closed` in the shell's words: `>&-`."""
    command = [sys.executable, "-m", "kadlet", *map(str, arguments), "--bind", bind]
    command += ["--json"] if json else []
    if closed:
        command = ["sh", "-c", f'exec "$@" {closed}', "sh", *command]
    child = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=out, stderr=PIPE, env=os.environ | env
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def next_of(child: Process) -> dict[str, Any]:
    """The next event."""
    assert child.stdout is not None
    event: dict[str, Any] = json.loads(await child.stdout.readline())
    return event


async def until(child: Process, name: str) -> dict[str, Any]:
    """The next event of this name."""
    assert child.stdout is not None
    async for line in child.stdout:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == name:
            return event
    raise AssertionError(f"it ended without {name}")


async def end(child: Process, given: bytes = b"") -> tuple[int, list[dict[str, Any]], str]:
    """Exit status, what it said to programs until then, and to people."""
    out, err = await child.communicate(given)
    assert child.returncode is not None
    return child.returncode, [json.loads(line) for line in out.splitlines()], err.decode()


async def said(
    *arguments: str | Path, given: bytes = b"", **options: Any
) -> tuple[int, list[dict[str, Any]], str]:
    """Exit status, what it said to programs, and to people."""
    async with begun(*arguments, **options) as child:
        return await end(child, given)


async def refused(*arguments: str | Path, **options: Any) -> tuple[int, str]:
    """Exit status and code of a command that fails, and says so in its last line alone."""
    status, events, err = await said(*arguments, **options)
    assert not err and events[-1]["event"] == "error" and events[-1]["message"], (events, err)
    return status, events[-1]["code"]


def test_every_code_is_one_of_the_program() -> None:
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    table = text.split("\n## `error.code`\n")[1].split("\n## ")[0]
    documented = {code: int(status) for code, status in re.findall(r"\| `(\w+)` \| (\d) ", table)}
    assert len(documented) > 20 and _output.STATUS.items() <= documented.items()


def test_what_it_says_to_programs(tmp_path: Path) -> None:
    async def test() -> None:
        async with network(2) as (node, other):
            at = ["--bootstrap", node.addr]
            source = tmp_path / "A Long Walk.txt"
            source.write_text("left, right")
            share = await other.share(source)
            copy = tmp_path / "copy"
            put, search, lookup, get, absent = await asyncio.gather(
                said("put", "-", *at, given=b"hello"),
                said("search", "walk", *at),
                said("lookup", str(other.id), "--trace", *at),
                said("get", str(share.link), "-o", str(copy)),
                said("get", "00" * 20, *at),
            )
            status, [stored], err = put
            assert (status, stored["event"], err) == (0, "stored", "")
            assert stored["nodes"] == stored["asked"] == 2
            value = await said("get", stored["key"], *at)
            assert value[1] == [
                {
                    "event": "value",
                    "key": stored["key"],
                    "value": b"hello".hex(),
                    "signed": False,
                }
            ]
            status, [hit, done], _ = search
            assert (status, hit["name"], done["hits"]) == (0, source.name, 1)
            assert kadlet.Link.parse(hit["link"]).id == share.id
            status, steps, _ = lookup
            events = [step["event"] for step in steps]
            assert status == 0 and {"asked", "answered", "closest"} <= set(events)
            assert steps[events.index("closest")]["id"] == str(other.id)
            assert steps[-1]["event"] == "done" and steps[-1]["answered"] == 2
            assert get[0] == 0 and get[1][-1]["event"] == "done"
            assert copy.read_text() == "left, right"
            assert absent[0] == 1 and absent[1][-1]["code"] == "not_found"

    run(test())


def test_what_cannot_be_done_is_said_with_a_code(tmp_path: Path) -> None:
    async def test() -> None:
        state, newer = tmp_path / "state", tmp_path / "newer"
        async with (
            kadlet.open_node(LOOPBACK, network="another") as other,
            kadlet.open_node(LOOPBACK, state=state) as node,
        ):
            data = bytearray(state.read_bytes())
            # Behind the file's twelve bytes and the state's four is its version.
            data[16] += 1
            newer.write_bytes(data)
            at = ["--bootstrap", node.addr]
            missing = tmp_path / "missing"
            codes = await asyncio.gather(
                refused("get", NOBODY),
                refused("get", NOBODY, "--network", ""),
                refused("get", NOBODY, "--network", "n" * 65),
                refused("get", "no key"),
                refused("lookup", "no id"),
                refused("lookup"),
                refused("put", "x", "--bootstrap", "nonsense"),
                refused("put", "x", "--timeout", "0"),
                refused("put", "x" * 897, *at),
                refused("put", f"@{missing}", *at),
                refused("search", "!!", *at),
                refused("search", "x", "--network", "mainline"),
                refused("share", state, "--network", "mainline"),
                refused("get", f"magnet:?xt=urn:blake3:{NOBODY * 2:.64}", "--network", "mainline"),
                refused("share", missing),
                refused("node", bind=node.addr),
                refused("node", bind="192.0.2.1:0"),
                refused("node", "--state", state),
                refused("node", "--state", newer),
                refused("node", "--state", missing / "state"),
            )
            assert codes == [
                (3, "no_contacts"),
                (2, "usage"),
                (2, "usage"),
                (2, "usage"),
                (2, "usage"),
                (2, "usage"),
                (2, "usage"),
                (2, "usage"),
                (2, "value_too_long"),
                (2, "io"),
                (2, "no_words"),
                (2, "usage"),
                (2, "usage"),
                (2, "usage"),
                (2, "nothing_shared"),
                (2, "address_in_use"),
                (2, "address_unavailable"),
                (2, "data_in_use"),
                (2, "data_newer"),
                (2, "io"),
            ]
            status, [wrong], _ = await said("get", NOBODY, "--bootstrap", other.addr)
            assert (status, wrong["code"]) == (3, "bootstrap_failed")
            assert wrong["attempts"][0]["result"] == "other_network"
            status, [warning, absent], _ = await said("get", NOBODY, *at, "--bootstrap", other.addr)
            assert (status, absent["code"]) == (1, "not_found"), "one address is enough"
            assert (warning["event"], warning["code"]) == ("warning", "bootstrap_failed")
            assert other.addr in warning["message"]

    run(test())


def test_what_the_system_refuses_a_socket_has_its_code() -> None:
    forbidden = PermissionError(13, "no socket on 0.0.0.0:80: Permission denied")
    assert _output.code_of(forbidden)[0] == "address_forbidden"
    assert _output.code_of(PermissionError(13, "Permission denied", "a file"))[0] == "io"
    assert _output.code_of(OSError(24, "Too many open files"))[0] == "no_descriptors"


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    async def test() -> None:
        target, folder = tmp_path / "file", tmp_path / "folder"
        target.write_text("mine")
        folder.mkdir()
        async with network(2) as (node, other):
            at = ["--bootstrap", node.addr]
            key = str((await other.put(b"hello")).key)
            source = tmp_path / "source"
            source.write_text("hello")
            link = str((await other.share(source)).link)
            assert (await said("get", key, "-o", tmp_path / "new", *at))[0] == 0
            assert (tmp_path / "new").read_bytes() == b"hello"
            assert (await said("get", key, "-o", folder, *at))[0] == 0
            assert (folder / key).read_bytes() == b"hello"
        # Before anything is started: nobody is there any more.
        for what in (key, link):
            assert await refused("get", what, "-o", target, *at) == (2, "target_exists")
            for missing in (f"{tmp_path}/new folder/", tmp_path / "no" / "file"):
                assert await refused("get", what, "-o", missing, *at) == (2, "usage")
        assert target.read_text() == "mine"

    run(test())


def test_what_comes_meanwhile_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "file"

    @asynccontextmanager
    async def client(*_: object) -> AsyncIterator[kadlet.RunningNode]:
        async with kadlet.testing.network(2) as (asking, other):
            await other.put(b"hello")
            target.write_text("mine")
            yield asking

    monkeypatch.setattr(_cli, "_client", client)
    key = kadlet.key_of(b"hello").hex()
    assert _cli.main(["get", key, "-o", str(target), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["code"] == "target_exists"
    assert target.read_text() == "mine"


@asynccontextmanager
async def half_silent(*_: object) -> AsyncIterator[kadlet.RunningNode]:
    """A client of a network in memory, where one node answers, and another one never."""
    config = kadlet.Config(deadline=0.25)
    async with kadlet.testing.network(3, config=config) as (client, other, gone):
        for number in (1, 2):
            entry = kadlet.SearchEntry(f"walk {number}", 5, bytes(32))
            assert (await other.publish(entry)).stored
        await gone.aclose()
        yield client


def test_the_time_is_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_cli, "_client", half_silent)

    def main(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
        status = _cli.main([*arguments, "--json"])
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    status, events = main("get", NOBODY)
    assert (status, events[-1]["code"]) == (3, "timeout")
    status, events = main("search", "nothing")
    assert (status, events[-1]["code"]) == (3, "timeout")
    # What came before it is there.
    status, events = main("search", "walk")
    assert [event["event"] for event in events] == ["hit", "hit", "done"]
    assert (status, events[-1]["hits"]) == (0, 2) and events[-1]["asked"]
    status, events = main("lookup", NOBODY)
    assert [event["event"] for event in events] == ["closest", "done", "error"]
    assert (status, events[-1]["code"]) == (3, "timeout")


def test_values_are_said_as_the_program_says_them() -> None:
    async def test() -> None:
        async with network(2) as (node, other):
            at = ["--bootstrap", node.addr]
            signed = kadlet.sign(bytes([1] * 32), b"", 7, b"hello")
            key = str((await other.put(signed)).key)
            [value] = (await said("get", key, *at))[1]
            assert value == {
                "event": "value",
                "key": key,
                "value": b"hello".hex(),
                "signed": True,
                "public_key": signed.public_key.hex(),
                "salt": "",
                "seq": 7,
            }
        async with kadlet.open_node(LOOPBACK, network="mainline") as first:
            at = ["--bootstrap", first.addr, "--network", "mainline"]
            [stored] = (await said("put", "hello", *at, bind="127.0.0.2:0"))[1]
            [value] = (await said("get", stored["key"], *at, bind="127.0.0.2:0"))[1]
            assert value["value"] == b"5:hello".hex() and value["string"] == b"hello".hex()
        given = _cli._parser().parse_args(["node", "--network", "mainline", "--timeout", "60"])
        assert _cli._config(given) == mainline_config(), "it keeps to what is usual there"

    run(test())


def test_a_key_goes_alone_to_standard_output() -> None:
    async def test() -> None:
        async with kadlet.open_node(LOOPBACK) as node:
            async with begun("put", "hello", "--bootstrap", node.addr, json=False) as child:
                out, err = await child.communicate()
            assert out.decode() == f"{kadlet.key_of(b'hello').hex()}\n"
            assert err.decode() == "stored with 1 of 1 nodes\n"

    run(test())


def test_a_name_that_cannot_be_shown_ends_nothing() -> None:
    async def test() -> None:
        async with network(2) as (node, other):
            await other.publish(kadlet.SearchEntry("walk é", 5, bytes(32)))
            words = ["search", "walk", "--bootstrap", node.addr]
            [hit, _] = (await said(*words, PYTHONIOENCODING="ascii"))[1]
            assert hit["name"] == "walk é"
            async with begun(*words, json=False, PYTHONIOENCODING="ascii") as child:
                out, err = await child.communicate()
            assert out.startswith(b"walk ?  5 bytes\n") and not err

    run(test())


def test_whoever_reads_no_more_has_read_enough() -> None:
    async def test() -> None:
        async with network(2) as (node, other):
            entry = kadlet.SearchEntry("walk", 5, bytes(32))
            await other.publish(entry)
            key = str((await other.put(b"hello")).key)
            for command in (["search", "walk"], ["get", key], ["get", NOBODY]):
                for as_json in (True, False):
                    reader, writer = os.pipe()
                    os.close(reader)
                    with os.fdopen(writer, "wb") as closed:
                        at = ["--bootstrap", node.addr]
                        async with begun(*command, *at, out=closed, json=as_json) as child:
                            _, err = await child.communicate()
                    if command[1:] == [NOBODY] and not as_json:
                        # What is said on standard error is read.
                        assert child.returncode == 1
                    else:
                        assert (child.returncode, err) == (0, b"")
            # What does more than talk goes on without.
            reader, writer = os.pipe()
            os.close(reader)
            before = sum(node.health().contacts.values())
            with os.fdopen(writer, "wb") as closed:
                async with begun("node", *at, out=closed) as child:
                    while sum(node.health().contacts.values()) == before:
                        await asyncio.sleep(0.01)
                    child.send_signal(signal.SIGTERM)
                    _, err = await child.communicate()
            assert (child.returncode, err) == (0, b"")
            if os.path.exists("/dev/full"):
                with open("/dev/full", "wb") as full:
                    async with begun("search", "walk", *at, out=full) as child:
                        _, err = await child.communicate()
                assert (child.returncode, err) == (2, b"")

    run(test())


@pytest.mark.skipif(os.name != "posix", reason="the shell closes them")
def test_streams_that_are_closed_end_nothing() -> None:
    async def ended(*arguments: str, **options: Any) -> tuple[int | None, bytes, bytes]:
        async with begun(*arguments, **options) as child:
            out, err = await child.communicate()
        return child.returncode, out, err

    async def test() -> None:
        async with network(2) as (node, other):
            await other.publish(kadlet.SearchEntry("walk", 5, bytes(32)))
            key = str((await other.put(b"hello")).key)
            at = ["--bootstrap", node.addr]
            for as_json in (True, False):
                options: dict[str, Any] = {"closed": ">&-", "json": as_json}
                assert await ended("search", "walk", *at, **options) == (0, b"", b"")
                assert await ended("get", key, *at, **options) == (0, b"", b"")
                assert (await ended("search", "nothing", *at, **options))[0] == 1
            stored = await ended("put", "hello", *at, closed="2>&-", json=False)
            assert stored == (0, f"{key}\n".encode(), b""), "a note is no result"
            status, [error], err = await said("put", "-", *at, closed="<&-")
            assert (status, error["code"], err) == (2, "io", "")
            assert error["message"].startswith("standard input")
            before = sum(node.health().contacts.values())
            async with begun("node", *at, closed="<&- >&- 2>&-") as child:
                while sum(node.health().contacts.values()) == before:
                    await asyncio.sleep(0.01)
                child.send_signal(signal.SIGTERM)
                await child.communicate()
            assert child.returncode == 0

    run(test())


@pytest.mark.parametrize("number", SIGNALS)
def test_a_node_stops_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    async def test() -> None:
        state = tmp_path / "state"
        async with kadlet.open_node(LOOPBACK) as other:
            at = ["--bootstrap", other.addr]
            async with begun("node", "--state", state, *at) as child:
                listening = await until(child, "listening")
                joined = await until(child, "joined")
                assert joined["contacts"] == 1
                assert joined["attempts"][0]["result"] == "answered"
                found = await other.find_node(listening["id"])
                assert listening["id"] in [contact.id.hex() for contact in found]
                child.send_signal(number)
                assert await end(child) == (0, [], "")
            async with kadlet.open_node(LOOPBACK, state=state) as again:
                assert str(again.id) == listening["id"]
                assert sum(again.health().contacts.values()) == 1, "the state was written"
            # It knows whom to ask.
            async with begun("node", "--state", state) as child:
                assert (await until(child, "joined"))["contacts"] == 1
                child.send_signal(number)
                assert await end(child) == (0, [], "")
        async with begun("node", "--state", state, "--timeout", "0.1") as child:
            warning = await until(child, "warning")
            assert warning["code"] == "no_answer", "it stays nevertheless"
            child.send_signal(number)
            assert await end(child) == (0, [], "")

    run(test())


@pytest.mark.parametrize("number", SIGNALS)
def test_a_share_stops_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    async def test() -> None:
        source, wordless = tmp_path / "walk", tmp_path / "-"
        source.write_text("left, right")
        wordless.write_text("right, left")
        unprintable = tmp_path / "walk\x07"
        unprintable.write_text("right, right")
        missing = tmp_path / "missing"
        async with begun("share", missing, source, wordless, unprintable) as child:
            warning = await until(child, "warning")
            assert warning["code"] == "not_shared" and str(missing) in warning["message"]
            # There is nobody else yet.
            assert (await until(child, "warning"))["code"] == "not_announced"
            shared = await until(child, "shared")
            assert shared["path"] == str(source) and shared["http"].startswith("127.0.0.1:")
            assert (await until(child, "warning"))["code"] == "not_announced"
            warning = await until(child, "warning")
            assert warning["code"] == "not_published" and "no word in" in warning["message"]
            await until(child, "shared")
            assert (await until(child, "warning"))["code"] == "not_announced"
            warning = await until(child, "warning")
            assert warning["code"] == "not_published" and "control" in warning["message"]
            await until(child, "shared")
            async with kadlet.open_node(LOOPBACK) as node:
                fetched = await node.fetch(shared["link"], tmp_path / "copy")
                assert [*fetched.providers] == [shared["http"]]
            child.send_signal(number)
            assert await end(child) == (0, [], "")

    run(test())


def test_a_file_name_that_is_not_utf8_ends_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        source, other = not_utf8(tmp_path), tmp_path / "run"
        other.write_text("right, left")
        async with begun("share", source, other) as child:
            assert (await until(child, "shared"))["link"].count("dn=walk%20%EF%BF%BD.txt") == 1
            assert (await until(child, "shared"))["path"] == str(other)
            child.send_signal(signal.SIGINT)
            assert await end(child) == (0, [], "")

    run(test())


def test_what_was_shared_and_has_changed_is_shared_again(tmp_path: Path) -> None:
    async def test() -> None:
        source = tmp_path / "walk"
        source.write_text("left, right")
        async with kadlet.open_node(LOOPBACK) as node:
            async with begun("share", source, "--bootstrap", node.addr) as child:

                async def found_out(link: str) -> None:
                    with pytest.raises(kadlet.NoProvidersError):
                        await node.fetch(link, tmp_path / "none")

                first = await until(child, "shared")
                source.write_text("left, right, left")
                await found_out(first["link"])
                assert await next_of(child) == {"event": "changed", "path": str(source)}
                second = await next_of(child)
                assert (second["event"], second["path"]) == ("shared", str(source))
                assert second["link"] != first["link"] and second["size"] == 17
                fetched = await node.fetch(second["link"], tmp_path / "copy")
                assert fetched.path.read_text() == "left, right, left"
                source.unlink()
                await found_out(second["link"])
                warning = await next_of(child)
                assert (warning["event"], warning["code"]) == ("warning", "withdrawn")
                assert str(source) in warning["message"]
                child.send_signal(signal.SIGINT)
                assert await end(child) == (0, [], "")

    run(test())


def test_what_was_touched_has_not_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def test() -> None:
        source = tmp_path / "walk"
        source.write_text("left, right")
        given = _cli._parser().parse_args(["share", str(source)])
        async with network(2) as (a, b):
            share = await a.share(source)
            os.utime(source, ns=(0, 0))
            with pytest.raises(kadlet.NoProvidersError):
                await b.fetch(share.link, tmp_path / "none")
            output = _output.Output(as_json=True, live=False)
            await _cli._share_again(a, await a.changed(), given, output)
            fetched = await b.fetch(share.link, tmp_path / "copy")
            assert fetched.path.read_text() == "left, right"
            assert a.health().publications == 2

    run(test())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_fetch_that_is_stopped_says_so(tmp_path: Path, number: signal.Signals) -> None:
    async def test() -> None:
        source = tmp_path / "walk"
        source.write_text("left, right")
        async with kadlet.open_node(LOOPBACK) as node:
            share = await node.share(source)
            asked, held = asyncio.Event(), asyncio.Event()

            async def never(start: int, end: int) -> bytes:
                asked.set()
                await held.wait()
                return b""

            node._shelf._contents[share.id].read = never  # type: ignore[method-assign]
            async with begun("get", str(share.link), "-o", tmp_path / "copy") as child:
                await asked.wait()
                child.send_signal(number)
                status, [*_, error], err = await end(child)
            held.set()
            assert (status, error["event"], error["code"], err) == (1, "error", "interrupted", "")

    run(test())


@pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="whoever runs this ignores it"
)
def test_what_leaves_nothing_to_tidy_up_ends_as_the_system_has_it() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.setblocking(False)
            silent.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            async with begun("get", NOBODY, "--bootstrap", address) as child:
                # It waits for an answer.
                await loop.sock_recv(silent, 2048)
                child.send_signal(signal.SIGINT)
                assert await end(child) == (-signal.SIGINT, [], "")

    run(test())


def test_a_lookup_is_drawn_nearest_first() -> None:
    target = kadlet.Id(bytes(20))
    drawn = Console(file=io.StringIO(), width=120, force_terminal=True)
    near, far = (
        kadlet.Peer(bytes([first]) + bytes(19), kadlet.Path(("10.0.0.1", first)))
        for first in (1, 128)
    )
    with _view.LookupView(drawn) as view:
        view.show(target, kadlet.Asked(1, far), 0.0)
        view.show(target, kadlet.Asked(1, near), 0.0)
        view.show(target, kadlet.Answered(1, near, 0.025, ()), 0.025)
        view.show(target, kadlet.Failed(1, far, "timeout"), 0.5)
        rows = Console(file=io.StringIO(), width=120)
        rows.print(view._live.renderable)
    assert isinstance(rows.file, io.StringIO)
    text = rows.file.getvalue()
    assert text.index("10.0.0.1:1 ") < text.index("10.0.0.1:128")
    assert "25.0 ms, named 0" in text and "timeout" in text


def test_fetches_and_nodes_are_drawn() -> None:
    drawn = Console(file=io.StringIO(), width=120, force_terminal=True)
    lies = kadlet.content.Rejection("wrong_piece", "gave wrong bytes for piece 3", True)
    now = kadlet.FetchProgress(2_000_000, 1_000_000, 0, {"10.0.0.1:1": 1}, {"10.0.0.2:1": lies})
    with _view.FetchView(drawn) as fetch:
        fetch.show("name", now)
        drawn.print(fetch._live.renderable)

    async def node() -> None:
        async with kadlet.testing.network(2) as (first, _):
            with _view.NodeView(drawn) as view:
                view.show(first.id, first.addrs, first.health(), first.stats())
                drawn.print(view._live.renderable)

    asyncio.run(node())
    assert isinstance(drawn.file, io.StringIO)
    text = drawn.file.getvalue()
    for words in ("1.0 of 2.0 MB", "gave wrong bytes for piece 3", "1 ipv4", "server"):
        assert words in text


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _cli.main(["--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in ("node", "share", "get", "put", "search", "lookup"))
