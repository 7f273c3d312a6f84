"""The command line of the package: a node, values, files, searches and lookups.

Exit status and `--json` are those of the program (docs/cli.md): 0 done, 1 asked and not done, 2
cannot be started as asked, 3 nobody to ask. On a terminal, and with `rich` installed, lookups, fetches
and nodes are seen live.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from . import errors
from ._addresses import Attempt, numeric, split, text_of
from ._fetch import Fetched, FetchProgress, target_of
from ._id import Id
from ._mainline import MAINLINE
from ._native import bencoded_string, mainline_config
from ._opening import network_name, open_node
from ._output import Failure, Output, Unread, code_of, said
from ._shares import Share
from ._stop import Stop
from ._types import (
    Address,
    Answered,
    Asked,
    Config,
    Done,
    Failed,
    PeerFailure,
    Refused,
    SignedValue,
)
from ._view import FetchView, LookupView, NodeView, view_of
from .content import Link, safe_file_name
from .host import LookupStep, RunningNode

READ_AT_MOST = 1 << 20
"""Bytes read of a value at most: enough to say that it is too long."""

MOST_SECONDS = 86_400.0
"""A day: what takes longer is no question any more."""


class Parser(argparse.ArgumentParser):
    """One that says what is wrong in the form that the caller reads."""

    def error(self, message: str) -> NoReturn:
        raise Failure("usage", f"{message}\n{self.format_usage().rstrip()}")


Command = Callable[[argparse.Namespace, Output], Coroutine[None, None, None]]


def main(arguments: list[str] | None = None) -> int:
    """Runs one command, and gives its exit status."""
    typed = sys.argv[1:] if arguments is None else arguments
    for name in ("stdout", "stderr"):
        # One that was closed is None, and what is for it fails or goes to the other: as for the
        # program, nobody reads it.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
    try:
        return _run(typed)
    except Unread as error:
        return error.status


def _run(typed: list[str]) -> int:
    # For what is wrong with an option, before it is known what the others mean.
    output = Output("--json" in typed, live=False)
    try:
        given = _parser().parse_args(typed)
        output = Output(given.json, not given.plain)
        command: Command = given.command
        asyncio.run(command(given, output))
    except KeyboardInterrupt:
        # Commands that leave nothing to tidy up end as the system has it: a script ends with them.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    except Unread:
        raise
    except Failure as error:
        return output.error(error.code, str(error))
    except Exception as error:
        code, fields = code_of(error)
        return output.error(code, str(error), **fields)
    return 0


def _address(text: str) -> str:
    try:
        split(text, "a bootstrap address")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _network(text: str) -> str:
    try:
        return network_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0.0 < (seconds := float(text)) <= MOST_SECONDS:
            return seconds
    raise argparse.ArgumentTypeError("expected seconds, more than 0 and at most 86400")


def _parser() -> argparse.ArgumentParser:
    # Whether `--json` is there is known before the rest is: as it is spelt, and not a part of it.
    parser = Parser(
        prog="python -m kadlet", description=__doc__.split("\n\n")[0], allow_abbrev=False
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    common = Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON object a line")
    common.add_argument("--plain", action="store_true", help="no live view")
    common.add_argument("--bind", "--listen", metavar="IP:PORT", default="[::]:0", dest="bind")
    common.add_argument(
        "--bootstrap", metavar="HOST:PORT", type=_address, action="append", default=[]
    )
    common.add_argument("--network", metavar="NAME", type=_network)
    text = "longest time for one operation (30)"
    common.add_argument("--timeout", metavar="SECONDS", type=_seconds, default=30.0, help=text)

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, parents=[common], help=text, description=text, allow_abbrev=False
        )
        added.set_defaults(command=command)
        return added

    node = add("node", _node, "a node until it is stopped")
    node.add_argument("--state", metavar="FILE", help="where id and contacts survive a restart")
    share = add("share", _share, "share files until stopped")
    share.add_argument("files", metavar="FILE", nargs="+")
    share.add_argument("--unlisted", action="store_true", help="publish no search words")
    get = add("get", _get, "a value by its key, or a file by its link")
    get.add_argument("what", metavar="KEY|LINK")
    get.add_argument("-o", "--output", metavar="PATH", help="where it goes; nothing is there yet")
    put = add("put", _put, "store a value, at most 896 bytes")
    put.add_argument("value", metavar="VALUE", help="text, @FILE, or - for standard input")
    search = add("search", _search, "files whose names carry all words")
    search.add_argument("words", metavar="WORD", nargs="+")
    lookup = add("lookup", _lookup, "one lookup, and the nodes closest to an id")
    lookup.add_argument("id", metavar="ID", help="40 hexadecimal digits")
    lookup.add_argument("--trace", action="store_true", help="show each step")
    return parser


def _config(given: argparse.Namespace) -> Config:
    config = mainline_config() if given.network == MAINLINE else Config()
    return replace(config, deadline=given.timeout)


@asynccontextmanager
async def _client(
    given: argparse.Namespace, output: Output, contacts: tuple[str, ...] = ()
) -> AsyncIterator[RunningNode]:
    """A node for one question: others need not know it."""
    start = [*given.bootstrap, *contacts]
    if not start:
        raise Failure("no_contacts", "nobody to ask: --bootstrap HOST:PORT names somebody")
    config = replace(_config(given), role="client")
    async with open_node(given.bind, network=given.network, config=config) as node:
        _warn_of_failed(await node.bootstrap(start), output)
        yield node


def _warn_of_failed(attempts: tuple[Attempt, ...], output: Output) -> None:
    """A warning for each address that does not work while others do."""
    # Of a name with several addresses one is enough.
    works = {attempt.given for attempt in attempts if attempt.result == "answered"}
    for attempt in attempts:
        if attempt.given not in works:
            output.warning("bootstrap_failed", str(attempt))


def _own_network(given: argparse.Namespace, what: str) -> None:
    """Refuses what BitTorrent's network does not have."""
    if given.network == MAINLINE:
        raise Failure("usage", f"Mainline has no {what}: leave out --network")


async def _node(given: argparse.Namespace, output: Output) -> None:
    stop, config = Stop(), _config(given)
    output.stays = True
    opening = open_node(given.bind, network=given.network, state=given.state, config=config)
    async with opening as node:
        _listening(node, output)
        async with stop.until_asked():
            await _join(node, given, output)
            with view_of(NodeView, output.live) as view:
                while True:
                    if view is not None:
                        view.show(node.id, node.addrs, node.health(), node.stats())
                    await asyncio.sleep(1.0)


def _listening(node: RunningNode, output: Output) -> None:
    text = f"listening on {', '.join(node.addrs)}\nid {node.id}"
    output.event("listening", text, addr=node.addr, id=str(node.id), addrs=list(node.addrs))


async def _join(node: RunningNode, given: argparse.Namespace, output: Output) -> None:
    """By the addresses given, or by the contacts of an earlier run."""
    attempts: tuple[Attempt, ...] = ()
    kept = _known(node)
    if given.bootstrap:
        try:
            attempts = await node.bootstrap(given.bootstrap)
        except errors.BootstrapError as error:
            if not kept:
                raise
            attempts = error.attempts
            # Those who were kept may be there.
            if not await _rejoin(node, kept, output):
                _warn_of_failed(attempts, output)
                return
    elif kept:
        if not await _rejoin(node, kept, output):
            return
    else:
        # The first node of its network.
        return
    _warn_of_failed(attempts, output)
    contacts = _known(node)
    text = f"joined: {contacts} contacts"
    output.event("joined", text, contacts=contacts, attempts=said(attempts))


async def _rejoin(node: RunningNode, kept: int, output: Output) -> bool:
    try:
        await node.find_node(node.id)
    except errors.DhtError as error:
        output.warning("no_answer", f"none of {kept} kept contacts: {error}")
        return False
    return True


def _known(node: RunningNode) -> int:
    return sum(node.health().contacts.values())


async def _share(given: argparse.Namespace, output: Output) -> None:
    _own_network(given, "files, it is for torrents")
    stop, config = Stop(), _config(given)
    output.stays = True
    async with open_node(given.bind, network=given.network, config=config) as node:
        _listening(node, output)
        async with stop.until_asked():
            await _join(node, given, output)
            shared = [await _share_one(node, path, given, output) for path in given.files]
            if not any(shared):
                raise Failure("nothing_shared", "nothing could be shared")
            while True:
                await _share_again(node, await node.changed(), given, output)


async def _share_one(
    node: RunningNode, path: str, given: argparse.Namespace, output: Output
) -> bool:
    """What cannot be shared is named, and the others go on."""
    try:
        share = await node.share(path, listed=not given.unlisted)
    except (OSError, ValueError) as error:
        output.warning("not_shared", str(error))
        return False
    _shared(node, share, given, output)
    return True


async def _share_again(
    node: RunningNode, share: Share, given: argparse.Namespace, output: Output
) -> None:
    """A file is not what it was: what it is now is shared instead."""
    path = str(share.path)
    try:
        again = await node.share(path, listed=not given.unlisted)
    except (OSError, ValueError) as error:
        output.warning("withdrawn", str(error))
        return
    # One that was touched has the same bytes.
    if again.id != share.id:
        output.event("changed", f"{path} has changed: what it is now is shared", path=path)
        _shared(node, again, given, output)


def _shared(node: RunningNode, share: Share, given: argparse.Namespace, output: Output) -> None:
    """Says what is shared now, and who could not be told of it."""
    if not share.stored:
        output.warning("not_announced", f"{share.path}: nobody took it; it is tried again")
    if share.unlisted is not None:
        output.warning("not_published", f"{share.path}: {share.unlisted}")
    link, port = str(share.link), node._shelf.port
    http = text_of((split(node.addr, "our address")[0], port or 0))
    text = f"{share.path}\n  {link}"
    size = share.link.size
    output.event("shared", text, path=str(share.path), link=link, size=size, http=http)


async def _get(given: argparse.Namespace, output: Output) -> None:
    if given.what.lower().startswith("magnet:"):
        return await _get_file(given, output)
    key = Id(given.what)
    target = None if given.output is None else _target(given.output, str(key))
    async with _client(given, output) as node:
        item = await node._read(key, b"", None, None)
    if item is None:
        raise Failure("not_found", f"peers answered, and nobody has {key}")
    signed = isinstance(item, SignedValue)
    value = printed = item.value if isinstance(item, SignedValue) else item
    fields: dict[str, Any] = {"key": str(key), "value": value.hex(), "signed": signed}
    if isinstance(item, SignedValue):
        fields |= {"public_key": item.public_key.hex(), "salt": item.salt.hex(), "seq": item.seq}
    if given.network == MAINLINE and (string := bencoded_string(value)) is not None:
        fields["string"] = string.hex()
        printed = string
    if target is None:
        output.value(printed, fields)
        return
    # Nor what has come there meanwhile.
    with open(target, "xb") as file:
        file.write(printed)
    output.event("value", None, **fields)


def _target(given: str, name: str) -> Path:
    """Where it goes. What is wrong with that is said before anything is started."""
    try:
        return target_of(given, name)
    except FileNotFoundError as error:
        raise Failure("usage", str(error)) from None


async def _get_file(given: argparse.Namespace, output: Output) -> None:
    _own_network(given, "files, it is for torrents")
    output.stays = True
    stop = Stop()
    link = Link.parse(given.what)
    name = safe_file_name((link.name or "").rstrip("/"), link.id)
    target = _target(given.output or ".", name)
    contacts = tuple(text_of(contact) for contact in link.contacts)
    told: set[str] = set()
    fetched: Fetched | None = None
    # The node is closed when nobody can ask us to stop any more.
    async with AsyncExitStack() as stack:
        async with stop.until_asked():
            node = await stack.enter_async_context(_client(given, output, contacts))
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

                fetched = await node.fetch(link, target, progress=progress)
    if fetched is None:
        raise Failure("interrupted", "interrupted: the same command goes on where it was")
    for addr, why in fetched.rejected.items():
        output.note(f"dropped {addr}: it {why}")
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
            if sys.stdin is None:
                raise Failure("io", "standard input, of which the value is read, is closed")
            value = sys.stdin.buffer.read(READ_AT_MOST)
        case text if text.startswith("@"):
            with open(text[1:], "rb") as file:
                value = file.read(READ_AT_MOST)
        case text:
            value = text.encode()
    async with _client(given, output) as node:
        result = await node.put(value)
    key = str(result.key)
    output.event("stored", key, key=key, nodes=result.stored, asked=result.attempted)
    output.note(f"stored with {result.stored} of {result.attempted} nodes")


async def _search(given: argparse.Namespace, output: Output) -> None:
    _own_network(given, "search by words")
    async with _client(given, output) as node:
        try:
            hits = node.search(" ".join(given.words))
        except ValueError as error:
            raise Failure("no_words", str(error)) from None
        count = 0
        contacts = _contacts(given)
        try:
            async for hit in hits:
                count += 1
                name, size = hit.entry.name, hit.entry.size
                link = str(Link(hit.entry.content, name, size, contacts))
                text = f"{name}  {size} bytes\n  {link}"
                output.event("hit", text, name=name, size=size, link=link, holder=hit.holder.hex())
        except errors.DhtError:
            # What was found before the time was up is found.
            if not count:
                raise
        asked = hits.totals.asked if hits.totals else 0
        output.event("done", None, hits=count, asked=asked)
    if not count:
        raise Failure("not_found", "no file's name carries all these words")


def _contacts(given: argparse.Namespace) -> tuple[Address, ...]:
    """Who a link may name: what was typed, where it is an address already."""
    found: list[Address] = []
    for text in given.bootstrap:
        with suppress(OSError):
            found.append(numeric(*split(text, "a bootstrap address")))
    return tuple(found)


async def _lookup(given: argparse.Namespace, output: Output) -> None:
    target = Id(given.id)
    async with _client(given, output) as node:
        start = asyncio.get_running_loop().time()
        steps = node.lookup(target)
        with view_of(LookupView, output.live) as view:
            try:
                async for step in steps:
                    at = asyncio.get_running_loop().time() - start
                    if view is not None:
                        view.show(target, step, at)
                    if not isinstance(step, Done) and given.trace:
                        _step(step, at, output, quiet=view is not None)
            finally:
                # Who was closest when the time was up is said too.
                if steps._done is not None:
                    _closest(target, steps._done, output)


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
