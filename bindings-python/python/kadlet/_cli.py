"""The command line of the package: a node, values, files, searches and lookups.

Exit status and `--json` are those of the program (docs/cli.md): 0 done, 1 asked and not done, 2
cannot be started as asked, 3 nobody to ask. On a terminal, and with `rich` installed, lookups, fetches
and nodes are seen live.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import errors
from ._addresses import numeric, split, text_of
from ._fetch import FetchProgress
from ._id import Id
from ._opening import Opening, open_node
from ._types import Address, Answered, Asked, Config, Done, Failed, PeerFailure, Refused
from ._view import FetchView, LookupView, NodeView, view_of
from .content import Link
from .host import LookupStep, RunningNode

NOT_DONE, USAGE, NO_PEERS = 1, 2, 3


class Output:
    """One line for people, or one JSON object a line for programs."""

    def __init__(self, as_json: bool, live: bool) -> None:
        self._json = as_json
        self.live = live and not as_json and sys.stdout.isatty()

    def event(self, name: str, text: str | None, /, **fields: Any) -> None:
        """Something happened; None is told to programs alone."""
        if self._json:
            print(json.dumps({"event": name, **fields}, ensure_ascii=False), flush=True)
        elif text is not None:
            print(text, flush=True)

    def error(self, code: str, message: str, /, **fields: Any) -> None:
        """Why the command ends without result."""
        if self._json:
            self.event("error", None, code=code, message=message, **fields)
        else:
            print(f"error: {message}", file=sys.stderr, flush=True)


class Failure(Exception):
    """A command that could not be done: status, code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


Command = Callable[[argparse.Namespace, Output], Coroutine[None, None, None]]


def main(arguments: list[str] | None = None) -> int:
    """Runs one command, and gives its exit status."""
    given = _parser().parse_args(arguments)
    output = Output(given.json, not given.plain)
    command: Command = given.command
    try:
        asyncio.run(command(given, output))
    except KeyboardInterrupt:
        return NOT_DONE if command is not _node else 0
    except Failure as error:
        output.error(error.code, str(error))
        return error.status
    except Exception as error:
        status, code, fields = _why(error)
        output.error(code, str(error), **fields)
        return status
    return 0


def _why(error: Exception) -> tuple[int, str, dict[str, Any]]:
    """Status, code and further fields for what the package raises."""
    match error:
        case errors.BootstrapError(attempts=attempts):
            said = [
                {
                    "given": a.given,
                    "addr": text_of(a.address) if a.address else None,
                    "result": a.result,
                    "message": str(a),
                }
                for a in attempts
            ]
            return NO_PEERS, "bootstrap_failed", {"attempts": said}
        case errors.NoPeersError():
            return NO_PEERS, "no_peers", {}
        case errors.NoAnswerError():
            return NO_PEERS, "no_answer", {}
        case errors.QueryTimeout():
            return NOT_DONE, "timed_out", {}
        case errors.StaleSequence(seq=seq):
            return NOT_DONE, "stale_sequence", {"seq": seq}
        case errors.RefusedError():
            return NOT_DONE, "refused", {}
        case errors.OverloadedError():
            return NOT_DONE, "overloaded", {}
        case errors.NoProvidersError(rejected=rejected):
            return NOT_DONE, "no_provider_left" if rejected else "not_found", {}
        case errors.ValueTooLarge():
            return USAGE, "value_too_long", {}
        case FileExistsError():
            return USAGE, "target_exists", {}
        case ValueError():
            return USAGE, "usage", {}
        case OSError():
            return USAGE, "io", {}
        case _:
            # Our own mistake: its trace is what helps.
            raise error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kadlet", description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON object a line")
    common.add_argument("--plain", action="store_true", help="no live view")
    common.add_argument("--bind", "--listen", metavar="IP:PORT", default="[::]:0", dest="bind")
    common.add_argument("--bootstrap", metavar="HOST:PORT", action="append", default=[])
    common.add_argument("--network", metavar="NAME")
    common.add_argument("--timeout", metavar="SECONDS", type=float)

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, parents=[common], help=text, description=text)
        added.set_defaults(command=command)
        return added

    node = add("node", _node, "a node until it is stopped")
    node.add_argument("--state", metavar="FILE", help="where id and contacts survive a restart")
    share = add("share", _share, "share files until stopped")
    share.add_argument("files", metavar="FILE", nargs="+")
    share.add_argument("--unlisted", action="store_true", help="publish no search words")
    get = add("get", _get, "a value by its key, or a file by its link")
    get.add_argument("what", metavar="KEY|LINK")
    get.add_argument("-o", "--output", metavar="PATH", help="where the file goes")
    put = add("put", _put, "store a value, at most 896 bytes")
    put.add_argument("value", metavar="VALUE", help="text, @FILE, or - for standard input")
    search = add("search", _search, "files whose names carry all words")
    search.add_argument("words", metavar="WORD", nargs="+")
    lookup = add("lookup", _lookup, "one lookup, and the nodes closest to an id")
    lookup.add_argument("id", metavar="ID", type=Id, help="40 hexadecimal digits")
    lookup.add_argument("--trace", action="store_true", help="show each step")
    return parser


def _client(given: argparse.Namespace, contacts: tuple[str, ...] = ()) -> Opening:
    """A node for one question: others need not know it."""
    start = [*given.bootstrap, *contacts]
    if not start:
        raise Failure(NO_PEERS, "no_peers", "nobody to ask: --bootstrap HOST:PORT names somebody")
    config = replace(Config(), role="client")
    return open_node(given.bind, start, network=given.network, config=config)


async def _node(given: argparse.Namespace, output: Output) -> None:
    opening = open_node(given.bind, given.bootstrap, network=given.network, state=given.state)
    async with opening as node:
        _listening(node, output)
        if given.bootstrap:
            contacts = sum(node.health().contacts.values())
            output.event("joined", f"joined: {contacts} contacts", contacts=contacts)
        with view_of(NodeView, output.live) as view:
            while True:
                if view is not None:
                    view.show(node.id, node.addrs, node.health(), node.stats())
                await asyncio.sleep(1.0)


def _listening(node: RunningNode, output: Output) -> None:
    text = f"listening on {', '.join(node.addrs)}\nid {node.id}"
    output.event("listening", text, addr=node.addr, id=str(node.id), addrs=list(node.addrs))


async def _share(given: argparse.Namespace, output: Output) -> None:
    async with open_node(given.bind, given.bootstrap, network=given.network) as node:
        _listening(node, output)
        for path in given.files:
            share = await node.share(path, listed=not given.unlisted, timeout=given.timeout)
            link = str(share.link)
            text = f"{share.path}\n  {link}"
            output.event("shared", text, path=str(share.path), link=link, size=share.link.size)
        await asyncio.get_running_loop().create_future()


async def _get(given: argparse.Namespace, output: Output) -> None:
    if given.what.lower().startswith("magnet:"):
        return await _get_file(given, output)
    key = Id(given.what)
    async with _client(given) as node:
        value = await node.get(key, timeout=given.timeout)
    if value is None:
        raise Failure(NOT_DONE, "not_found", f"peers answered, and nobody has {key}")
    if given.output is not None:
        Path(given.output).write_bytes(value)
        output.event("value", None, key=str(key), value=value.hex())
    elif given.json:
        output.event("value", None, key=str(key), value=value.hex())
    else:
        sys.stdout.buffer.write(value)
        sys.stdout.flush()


async def _get_file(given: argparse.Namespace, output: Output) -> None:
    link = Link.parse(given.what)
    contacts = tuple(text_of(contact) for contact in link.contacts)
    told: set[str] = set()
    async with _client(given, contacts) as node:
        with view_of(FetchView, output.live) as view:

            def progress(now: FetchProgress) -> None:
                for addr in now.providers.keys() - told:
                    told.add(addr)
                    output.event("provider", None, addr=addr)
                for addr, why in now.rejected.items():
                    if (tag := f"rejected {addr}") not in told:
                        told.add(tag)
                        output.event("rejected", None, addr=addr, reason=str(why))
                if view is not None:
                    view.show(link.name or link.id.hex(), now)

            fetched = await node.fetch(link, given.output, progress=progress, timeout=given.timeout)
    for addr, why in fetched.rejected.items():
        if not given.json:
            print(f"dropped {addr}: it {why}", file=sys.stderr)
    text = f"{fetched.path}: {fetched.size} bytes from {len(fetched.providers)} providers"
    output.event(
        "done",
        text,
        path=str(fetched.path),
        bytes=fetched.size,
        fetched=fetched.fetched,
        providers=len(fetched.providers),
        **{"from": list(fetched.providers)},
    )


async def _put(given: argparse.Namespace, output: Output) -> None:
    match given.value:
        case "-":
            value = sys.stdin.buffer.read()
        case text if text.startswith("@"):
            value = Path(text[1:]).read_bytes()
        case text:
            value = text.encode()
    async with _client(given) as node:
        result = await node.put(value, timeout=given.timeout)
    text = f"{result.key}\nstored with {result.stored} of {result.attempted} nodes"
    key = str(result.key)
    output.event("stored", text, key=key, nodes=result.stored, asked=result.attempted)


async def _search(given: argparse.Namespace, output: Output) -> None:
    async with _client(given) as node:
        hits = node.search(" ".join(given.words), timeout=given.timeout)
        count = 0
        contacts = _contacts(given)
        async for hit in hits:
            count += 1
            link = str(Link(hit.entry.content, hit.entry.name, hit.entry.size, contacts))
            text = f"{hit.entry.name}  {hit.entry.size} bytes\n  {link}"
            name, size = hit.entry.name, hit.entry.size
            output.event("hit", text, name=name, size=size, link=link, holder=hit.holder.hex())
        asked = hits.totals.asked if hits.totals else 0
        output.event("done", None, hits=count, asked=asked)
    if not count:
        raise Failure(NOT_DONE, "not_found", "no file's name carries all these words")


def _contacts(given: argparse.Namespace) -> tuple[Address, ...]:
    """Who a link may name: what was typed, where it is an address already."""
    found: list[Address] = []
    for text in given.bootstrap:
        with suppress(OSError):
            found.append(numeric(*split(text, "a bootstrap address")))
    return tuple(found)


async def _lookup(given: argparse.Namespace, output: Output) -> None:
    async with _client(given) as node:
        start = asyncio.get_running_loop().time()
        steps = node.lookup(given.id, timeout=given.timeout)
        with view_of(LookupView, output.live) as view:
            async for step in steps:
                at = asyncio.get_running_loop().time() - start
                if view is not None:
                    view.show(given.id, step, at)
                if isinstance(step, Done):
                    _closest(given.id, step, output)
                elif given.trace:
                    _step(step, at, output, quiet=view is not None)


def _closest(target: Id, done: Done, output: Output) -> None:
    for contact in done.closest:
        shared = shared_bits(target, contact.id)
        addr = text_of(contact.path.remote)
        text = f"{contact.id.hex()}  {addr}  {shared} bits shared"
        output.event("closest", text, id=contact.id.hex(), addr=addr, shared_bits=shared)
    totals = done.totals
    text = (
        f"{len(done.closest)} closest; {totals.asked} asked, {totals.answered} answered, "
        f"{totals.failed} failed, {totals.hops} hops, {totals.elapsed * 1e3:.1f} ms"
    )
    output.event(
        "done",
        text,
        closest=len(done.closest),
        asked=totals.asked,
        answered=totals.answered,
        failed=totals.failed,
        hops=totals.hops,
        datagrams=totals.datagrams,
        bytes_sent=totals.bytes_sent,
        bytes_received=totals.bytes_received,
        ms=round(totals.elapsed * 1e3, 3),
    )


def _step(step: LookupStep, at: float, output: Output, quiet: bool) -> None:
    if isinstance(step, Done):
        return
    id = step.peer.id.hex() if step.peer.id else None
    addr = text_of(step.peer.path.remote)
    head = f"{at * 1e3:8.1f} ms  "
    fields: dict[str, Any] = {"id": id, "addr": addr}
    match step:
        case Asked():
            name, text = "asked", f"{head}asked     {id or '?'} at {addr}"
        case Answered(rtt=rtt, named=named):
            text = f"{head}answered  {id or '?'} at {addr} after {rtt * 1e3:.1f} ms"
            name, text = "answered", f"{text}: {len(named)} named"
            told = [{"id": c.id.hex(), "addr": text_of(c.path.remote)} for c in named]
            fields |= {"rtt_ms": rtt * 1e3, "named": told}
        case Failed(reason=reason):
            word = reason_word(reason)
            name, text = "failed", f"{head}failed    {id or '?'} at {addr}: {word}"
            fields |= {"reason": word}
    output.event(name, None if quiet else text, **fields, at_ms=at * 1e3)


def reason_word(reason: PeerFailure) -> str:
    """A failure in a word, as docs/cli.md lists them."""
    match reason:
        case Refused():
            return "refused"
        case "path_failed":
            return "unreachable"
        case other:
            return other


def shared_bits(target: bytes, other: bytes) -> int:
    """How many leading bits both have."""
    return 160 - (int.from_bytes(target) ^ int.from_bytes(other)).bit_length()
