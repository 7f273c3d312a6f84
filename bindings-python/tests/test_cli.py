"""`python -m kadlet` as programs and people use it."""

import asyncio
import io
import json
import sys
from pathlib import Path
from typing import Any

import kadlet
import pytest
from kadlet import _cli, _view
from rich.console import Console

from .loops import LOOPBACK, network, run


async def said(*arguments: str, given: bytes = b"") -> tuple[int, list[dict[str, Any]], str]:
    """Exit status, what it said to programs, and to people."""
    command = [sys.executable, "-m", "kadlet", *arguments, "--json", "--bind", LOOPBACK]
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    out, err = await child.communicate(given)
    assert child.returncode is not None
    return child.returncode, [json.loads(line) for line in out.splitlines()], err.decode()


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
            assert value[1] == [{"event": "value", "key": stored["key"], "value": b"hello".hex()}]
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


def test_what_cannot_be_done_is_said_with_a_code() -> None:
    async def test() -> None:
        async with kadlet.open_node(LOOPBACK, network="another") as other:
            key = "00" * 20
            nobody, wrong, bad = await asyncio.gather(
                said("get", key),
                said("get", key, "--bootstrap", other.addr),
                said("put", "x", "--bootstrap", "nonsense"),
            )
        assert nobody[0] == 3 and nobody[1][-1]["code"] == "no_peers"
        assert wrong[0] == 3 and wrong[1][-1]["code"] == "bootstrap_failed"
        assert wrong[1][-1]["attempts"][0]["result"] == "other_network"
        assert bad[0] == 2 and bad[1][-1]["code"] == "usage"
        assert not any(err for _, _, err in (nobody, wrong, bad))

    run(test())


def test_a_node_says_where_it_is_and_shares() -> None:
    async def test() -> None:
        command = [sys.executable, "-m", "kadlet", "node", "--bind", LOOPBACK, "--json"]
        child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert child.stdout is not None
        listening = json.loads(await child.stdout.readline())
        async with kadlet.open_node(LOOPBACK, [listening["addr"]]) as node:
            assert [c.id.hex() for c in await node.find_node(listening["id"])] == [listening["id"]]
        child.terminate()
        await child.wait()

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
