"""A node for asyncio: sockets, clock, entropy and a file around `kadlet.Node`.

Nothing global: a node belongs to the loop that runs when it is opened, and is used from that loop's
thread. Times are seconds. Concurrency is the caller's: start as many operations as you like in a
`TaskGroup`. Cancelling a task, leaving an `async for` and `timeout=` stop the traffic in the core.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path as File
from typing import Generic, Self, TypeAlias, TypeVar

from . import _mainline
from ._addresses import Attempt, AttemptResult, numeric, resolve, result_of, split, text_of
from ._driver import Driver, Operation
from ._fetch import Fetched, Fetching, FetchProgress, target_of
from ._id import Id, Key
from ._native import content_key_of, key_of, signed_key_of
from ._shares import Share, SharedFile, Shelf
from ._types import (
    Answered,
    Asked,
    Contact,
    Done,
    Event,
    Failed,
    FetchConfig,
    Health,
    Hit,
    Item,
    Path,
    Peer,
    PeerFailure,
    Provider,
    Sample,
    SearchEntry,
    SignedValue,
    Stats,
    Swarm,
    Totals,
    Value,
)
from .content import Link, safe_file_name
from .errors import (
    BootstrapError,
    ClosedError,
    InvalidRecord,
    QueryTimeout,
    QuorumError,
    ValueTooLarge,
    of_outcome,
)

MAX_VALUE = 896
"""The longest value, bytes: with its signature it fits into one datagram."""

T = TypeVar("T")

LookupStep: TypeAlias = Asked | Answered | Failed | Done
"""One step of a lookup: somebody is asked, answers or fails; the last one names the closest."""


@dataclass(frozen=True, slots=True)
class PutResult:
    """A record that others keep now."""

    key: Id
    """What it is found under."""
    stored: int
    """How many nodes acknowledged it."""
    attempted: int
    """How many were asked to keep it."""
    failures: tuple[tuple[Peer, PeerFailure], ...]
    """Who gave no usable answer on the way, and why."""
    operation: int
    """Names its renewal, if there is one, to `RunningNode.withdraw`."""


class Results(Generic[T]):
    """Results as they arrive, each once; for `async for`.

    Leaving the loop stops the traffic as soon as nobody holds this any more; `async with` or
    `aclose` does so at once. The end without results says that peers answered and nobody has any.
    Could nobody be asked, `NoPeersError` or another `DhtError` is raised instead of the end.
    """

    def __init__(self, operation: Operation, pick: Callable[[Event], T | None]) -> None:
        self._operation = operation
        self._pick = pick
        self._ended = False
        self._found = 0
        self.totals: Totals | None = None
        """What it cost; None before the end."""
        self._done: Done | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._ended:
            try:
                event = await self._operation.next()
            except ClosedError:
                if self._ended:
                    # Another task has left it.
                    break
                raise
            found = self._pick(event)
            if isinstance(event, Done):
                self._ended = True
                self._done, self.totals = event, event.totals
                if found is None and (error := of_outcome(event.outcome, self._found or None)):
                    raise error
            if found is not None:
                self._found += 1
                return found
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stops the traffic."""
        self._ended = True
        self._operation.leave()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self._operation.abandon()


def checked(name: str, value: object, kind: type | tuple[type, ...], expected: str) -> None:
    if not isinstance(value, kind) or isinstance(value, bool) and kind is not bool:
        raise TypeError(f"{name} is {expected}, this is {type(value).__name__}")


def timeout_of(timeout: float | None) -> float | None:
    if timeout is not None:
        checked("timeout", timeout, (int, float), "a number of seconds or None")
        if not timeout >= 0.0:
            raise ValueError(f"timeout is a number of seconds from 0 on, this is {timeout}")
    return timeout


def _sequence(name: str, number: int | None) -> None:
    if number is not None:
        checked(name, number, int, "an int or None")
        if not 0 <= number < 1 << 64:
            raise ValueError(f"{name} is a number from 0 to 2**64 - 1, this is {number}")


def _name_of(file: File, given: str | None) -> str:
    """What a file is called to others: names are UTF-8, which one on the disk need not be."""
    if given is None:
        return os.fsencode(file.name).decode("utf-8", "replace")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise ValueError(f"name is text, this has half of a surrogate pair: {given!a}") from None
    return given


def _item(item: Item, limit: int) -> None:
    checked("a value", item, (bytes, SignedValue), "bytes or SignedValue")
    value = item.value if isinstance(item, SignedValue) else item
    if len(value) > limit:
        raise ValueTooLarge(len(value), limit)


class RunningNode:
    """A node that runs. `open_node` makes them.

    Every operation takes `timeout`, in seconds; without one `Config.deadline` is it. What stores
    looks for holders in three quarters of it, so that time is left to store. `QueryTimeout` is a
    `TimeoutError`. Without contacts operations raise `NoPeersError` at once, and after
    `aclose` everything raises `ClosedError`.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._mainline = driver.node.config().network is None
        self._shelf = Shelf(self._lost)
        self._listening = asyncio.Lock()
        self._changed: deque[Share] = deque()
        self._news = asyncio.Event()
        driver.on_close.add(self._closing)

    @property
    def id(self) -> Id:
        """Our id; on Mainline another once our address is known (BEP 42)."""
        return Id(self._driver.node.id())

    @property
    def addr(self) -> str:
        """HOST:PORT at which others reach the first socket: never a wildcard."""
        return self._driver.addrs[0]

    @property
    def addrs(self) -> tuple[str, ...]:
        """The same for each socket: there are two where `bind` was `[::]`."""
        return self._driver.addrs

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._driver.closed

    @property
    def save_error(self) -> OSError | None:
        """Why the state could not be written the last time, if so. It is tried again."""
        return self._driver.save_error

    def health(self) -> Health:
        """How the node is."""
        return self._open().node.health()

    def stats(self) -> Stats:
        """Counters of the core."""
        return self._open().node.stats()

    async def bootstrap(
        self, addresses: Iterable[str], *, timeout: float | None = None
    ) -> tuple[Attempt, ...]:
        """Joins a network by these addresses (HOST:PORT), and says what each answered.

        Raises `BootstrapError` if none of them is a node of our network.
        """
        if isinstance(addresses, str):
            raise TypeError("bootstrap is a list of HOST:PORT, this is str")
        given = [(text, *split(text, "a bootstrap address")) for text in addresses]
        timeout = timeout_of(timeout)
        attempts: list[tuple[Attempt, Path | None]] = []
        found = await asyncio.gather(*(resolve(host, port) for _, host, port in given))
        for (text, _, _), (resolved, why) in zip(given, found):
            if not resolved:
                attempts.append((Attempt(text, None, "unresolved", why), None))
            for address in resolved:
                path = self._driver.path_to(address)
                result: AttemptResult = "out_of_reach" if path is None else "timeout"
                attempts.append((Attempt(text, address, result), path))
        paths = [path for _, path in attempts if path is not None]
        begin, driver = self._open().node.bootstrap, self._driver
        if paths:
            operation = driver.begin(lambda now: begin(now, paths), timeout, "steps")
            while not isinstance(event := await operation.next(), Done):
                match event:
                    case Answered(peer=Peer(path=asked)):
                        result = "answered"
                    case Failed(peer=Peer(path=asked), reason=reason):
                        result = result_of(reason)
                    case _:
                        continue
                # The first word counts, and an answer after a silence.
                attempts = [
                    (replace(a, result=result), path)
                    if path == asked and a.result == "timeout"
                    else (a, path)
                    for a, path in attempts
                ]
        self._open()
        said = tuple(attempt for attempt, _ in attempts)
        if not any(attempt.result == "answered" for attempt in said):
            raise BootstrapError(said)
        return said

    async def get(self, key: Key, *, timeout: float | None = None) -> bytes | None:
        """The value under `key`; None if peers answered and nobody has it.

        Raises a `DhtError` if that could not be found out: nobody to ask, no answer, no time.
        """
        match await self._read(Id(key), b"", None, timeout):
            case None:
                return None
            case SignedValue(value=value) | value:
                return _mainline.from_network(value) if self._mainline else value

    async def get_signed(
        self,
        public_key: bytes,
        salt: bytes = b"",
        *,
        newer_than: int | None = None,
        timeout: float | None = None,
    ) -> SignedValue | None:
        """The newest value that the owner of `public_key` (32 bytes) stored under `salt`.

        With `newer_than` only one with a higher sequence number. Raises as `get` does.
        """
        checked("a public key", public_key, bytes, "bytes")
        checked("a salt", salt, bytes, "bytes")
        _sequence("newer_than", newer_than)
        key = Id(signed_key_of(public_key, salt, self._mainline))
        found = await self._read(key, salt, newer_than, timeout)
        return found if isinstance(found, SignedValue) else None

    async def put(
        self,
        item: Item,
        *,
        cas: int | None = None,
        renew: bool = False,
        quorum: int = 1,
        timeout: float | None = None,
    ) -> PutResult:
        """Stores bytes, found by their hash, or a `SignedValue` as `kadlet.sign` makes them.

        With `cas` only over the value that has this sequence number. With `renew` it is stored
        again before holders forget it, until `withdraw` or the node's end, and a signed value until
        this node puts one with a higher number under its key; a store that raises is not, but after
        `QuorumError` and `QueryTimeout`, whose results name it. Fewer holders than `quorum` raise
        `QuorumError`. Raises `ValueTooLarge` over 896 bytes, `InvalidRecord`,
        `StaleSequence` or another `RefusedError`, or a `DhtError` if nobody took it.
        """
        if self._mainline and isinstance(item, bytes):
            item = _mainline.to_network(item)
        _item(item, _mainline.MAX_VALUE if self._mainline else MAX_VALUE)
        _sequence("cas", cas)
        checked("quorum", quorum, int, "an int")
        if quorum < 0:
            raise ValueError(f"quorum is a number from 0 on, this is {quorum}")
        try:
            key = Id(key_of(item, self._mainline))
        except ValueError as error:
            raise InvalidRecord(str(error)) from None
        put = self._open().node.put
        return await self._store(key, lambda now: put(now, item, cas, renew), quorum, timeout)

    async def announce(
        self,
        key: Key,
        port: int | None = None,
        *,
        transports: int = 1,
        renew: bool = False,
        timeout: float | None = None,
    ) -> PutResult:
        """Tells the nodes closest to `key` that its content is to be had from us, at `port`.

        Without a port it is the one of our socket. Transports: 1 HTTP, 2 a WebRTC data channel, on
        Mainline 128 for having all of it (a seed).
        `renew` as for `put`.
        """
        target = Id(key)
        if port is not None:
            checked("port", port, int, "an int or None")
            if not 1 <= port <= 65_535:
                raise ValueError(f"a port is a number from 1 to 65535, this is {port}")
        checked("transports", transports, int, "an int")
        if not 0 <= transports <= 255:
            raise ValueError(f"transports is a number from 0 to 255, this is {transports}")
        announce = self._open().node.announce
        return await self._store(
            target, lambda now: announce(now, target, port, transports, renew), 1, timeout
        )

    async def publish(
        self, entry: SearchEntry, *, renew: bool = False, timeout: float | None = None
    ) -> PutResult:
        """Lets a file be found by every word of its name. `renew` as for `put`."""
        checked("an entry", entry, SearchEntry, "a SearchEntry")
        publish = self._open().node.publish
        # It is kept under each of its words; its content's key is where its providers are.
        key = Id(content_key_of(entry.content))
        return await self._store(key, lambda now: publish(now, entry, renew), 1, timeout)

    async def share(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        listed: bool = True,
        timeout: float | None = None,
    ) -> Share:
        """Hashes a file, serves it over HTTP at a port of its own, and tells others of it.

        With `listed` it is found by the words of its name (from now on name and our address are
        public), unless `Share.unlisted` says why not; without, by its link alone. `timeout` is for
        telling others; that nobody could be told yet is no error: it is tried again until the node is
        closed or `withdraw` is called. A file that changes is served no longer: see `changed`. Without `name` it is the file's, with
        U+FFFD where that is no UTF-8.

        Raises ValueError for a name that no text can be, OSError if it cannot be read, is no file, or
        does not stop changing, OverloadedError if the node renews as many records as it may.
        """
        checked("path", path, (str, os.PathLike), "a path")
        if name is not None:
            checked("name", name, str, "a str or None")
        driver, shelf, file = self._open(), self._shelf, File(os.path.abspath(path))
        limit, name = timeout_of(timeout), _name_of(file, name)
        stop = threading.Event()
        try:
            shared = await driver.in_thread(lambda: SharedFile(file, driver.in_thread, stop))
        finally:
            stop.set()
        content, size = shared.hashes.id(), shared.hashes.size()
        port = await self._serving()
        node, key = self._open().node, content_key_of(content)
        entry = SearchEntry(name, size, content)
        unlisted: str | None = None
        done: list[Done] = []
        shelf.add(shared)
        try:
            announced = driver.begin(lambda now: node.announce(now, key, port, 1, True), limit)
            done.append((await finish(announced))[0])
            if listed:
                try:
                    published = driver.begin(lambda now: node.publish(now, entry, True), limit)
                except ValueError as error:
                    # Its link does without words.
                    unlisted = str(error)
                else:
                    done.append((await finish(published))[0])
            if any(one.outcome == "overloaded" for one in done):
                # Nobody will try again.
                failed = of_outcome("overloaded")
                assert failed is not None
                raise failed
        except BaseException:
            # Nobody has a `Share` by which it could be withdrawn.
            shelf.remove(shared)
            for one in done:
                driver.cancel(one.operation)
            raise
        contacts = tuple(numeric(*split(addr, "an address")) for addr in self.addrs)
        link = Link(content, name, size, contacts)
        operations = tuple(one.operation for one in done)
        share = Share(link, file, done[0].totals.stored, unlisted, operations)
        shelf.announced(shared, share)
        return share

    async def changed(self) -> Share:
        """Waits for a share whose file is not what it was, or cannot be read any more.

        That is found out when somebody wants its bytes. It is withdrawn by then; `share` of its
        path shares what is there now. Each is given once, and none is lost but what `withdraw` is
        called for. `ClosedError` ends the wait when the node is closed. In a network in memory time
        stands still meanwhile: whoever wants the bytes waits for it.
        """
        self._open()
        while not self._changed:
            self._news.clear()
            await self._news.wait()
            self._open()
        return self._changed.popleft()

    def _lost(self, share: Share) -> None:
        for operation in share.operations:
            self._driver.cancel(operation)
        self._changed.append(share)
        self._news.set()

    async def _closing(self) -> None:
        await self._shelf.server.close()
        self._news.set()

    async def fetch(
        self,
        link: str | Link,
        path: str | os.PathLike[str] | None = None,
        *,
        progress: Callable[[FetchProgress], None] | None = None,
        config: FetchConfig | None = None,
        timeout: float | None = None,
    ) -> Fetched:
        """Finds who has the content of a link, fetches it from several at once, verifies every
        piece, and gives the file its name at the end.

        `path` is a file that is not there yet, or a folder for a file of the link's name, which it
        is with `/` at its end; None is the current folder. An interrupted fetch goes on where it was. A node without contacts joins
        by those of the link. `progress` is called in the loop's thread, and ends the fetch if it
        raises.

        Raises ValueError for what is no link, FileExistsError, `NoProvidersError`, another
        `DhtError` if nobody could be asked, and the system's OSError.
        """
        wanted = link if isinstance(link, Link) else Link.parse(link)
        if path is not None:
            checked("path", path, (str, os.PathLike), "a path")
        limit, driver = timeout_of(timeout), self._open()
        name = safe_file_name((wanted.name or "").rstrip("/"), wanted.id)
        target = target_of(path if path is not None else ".", name)
        settings = config or FetchConfig()
        fetching = Fetching(driver, wanted.id, wanted.size, target, settings, progress)
        if wanted.contacts and not any(self.health().contacts.values()):
            await self.bootstrap([text_of(contact) for contact in wanted.contacts], timeout=limit)
        async with self.providers(content_key_of(wanted.id), timeout=limit) as providers:
            return await fetching.run(providers, limit)

    async def _serving(self) -> int:
        """The port at which files are served; listens if it does not yet."""
        async with self._listening:
            if self._shelf.port is None:
                self._shelf.port = await self._open().serve(self._shelf.server.connected)
            return self._shelf.port

    def withdraw(self, published: PutResult | Share) -> None:
        """Ends the renewal of something published, and serves it no longer. Holders forget it in
        their own time."""
        driver = self._open()
        match published:
            case Share(operations=operations):
                self._shelf.withdraw(published)
                # Whoever shares again what has changed is not to bring back what is not wanted.
                with suppress(ValueError):
                    self._changed.remove(published)
            case PutResult(operation=operation):
                operations = (operation,)
            case other:
                checked("what is withdrawn", other, (PutResult, Share), "a PutResult or Share")
        for operation in operations:
            driver.cancel(operation)

    def providers(self, key: Key, *, timeout: float | None = None) -> Results[Provider]:
        """Who has the content with this key, as they are heard of."""
        target, providers = Id(key), self._open().node.providers
        operation = self._driver.begin(lambda now: providers(now, target), timeout_of(timeout))
        return Results(operation, lambda event: event if isinstance(event, Provider) else None)

    async def scrape(self, key: Key, *, timeout: float | None = None) -> Swarm | None:
        """How many have the content with this info-hash, about (Mainline, BEP 33); None if peers
        answered and nobody knows."""
        target, scrape = Id(key), self._open().node.scrape
        operation = self._driver.begin(lambda now: scrape(now, target), timeout_of(timeout))
        done, events = await finish(operation)
        if error := of_outcome(done.outcome):
            raise error
        return next((event for event in events if isinstance(event, Swarm)), None)

    def sample(self, target: Key, *, timeout: float | None = None) -> Results[Sample]:
        """Some of the info-hashes that nodes around `target` know (Mainline, BEP 51). Nobody is
        asked again within the interval it named."""
        wanted, sample = Id(target), self._open().node.sample
        operation = self._driver.begin(lambda now: sample(now, wanted), timeout_of(timeout))
        return Results(operation, lambda event: event if isinstance(event, Sample) else None)

    def search(self, words: str, *, timeout: float | None = None) -> Results[Hit]:
        """Files whose names carry all these words, as they are heard of.

        Raises ValueError if there is no word in it.
        """
        checked("a search", words, str, "a str")
        search = self._open().node.search
        operation = self._driver.begin(lambda now: search(now, words), timeout_of(timeout))
        return Results(operation, lambda event: event if isinstance(event, Hit) else None)

    def lookup(self, target: Key, *, timeout: float | None = None) -> Results[LookupStep]:
        """One lookup, step by step; the last step is `Done`, with the closest contacts."""
        wanted, find_node = Id(target), self._open().node.find_node
        operation = self._driver.begin(
            lambda now: find_node(now, wanted), timeout_of(timeout), trace="steps"
        )
        return Results(operation, _step)

    async def find_node(self, target: Key, *, timeout: float | None = None) -> tuple[Contact, ...]:
        """The contacts closest to `target` that answered, nearest first."""
        wanted, find_node = Id(target), self._open().node.find_node
        operation = self._driver.begin(lambda now: find_node(now, wanted), timeout_of(timeout))
        done, _ = await finish(operation)
        if error := of_outcome(done.outcome, done.closest):
            raise error
        return done.closest

    async def aclose(self) -> None:
        """Closes the node: operations end, sockets close, the state is written.

        Raises OSError if that cannot be; the node is closed nevertheless.
        """
        await self._driver.close()

    def _open(self) -> Driver:
        if self._driver.closed:
            raise ClosedError("the node is closed")
        return self._driver

    async def _read(
        self, key: Id, salt: bytes, newer_than: int | None, timeout: float | None
    ) -> Item | None:
        get = self._open().node.get
        operation = self._driver.begin(
            lambda now: get(now, key, salt, newer_than), timeout_of(timeout)
        )
        done, events = await finish(operation)
        values = [event.item for event in events if isinstance(event, Value)]
        # What was found before the time was up is found: the last is the newest.
        if not values and (error := of_outcome(done.outcome)):
            raise error
        return values[-1] if values else None

    async def _store(
        self, key: Id, start: Callable[[float], int], quorum: int, timeout: float | None
    ) -> PutResult:
        timeout = timeout_of(timeout)
        try:
            operation = self._driver.begin(start, timeout, "failures")
        except ValueError as error:
            raise InvalidRecord(str(error)) from None
        done, events = await finish(operation)
        failures = tuple((e.peer, e.reason) for e in events if isinstance(e, Failed))
        stored, attempted = done.totals.stored, done.totals.store_attempts
        result = PutResult(key, stored, attempted, failures, done.operation)
        # Some holders have it although the time was up for the others.
        if not stored and (failed := of_outcome(done.outcome, result)):
            # Only that one names the renewal, by which it can be withdrawn.
            if not isinstance(failed, QueryTimeout):
                self._driver.cancel(done.operation)
            raise failed
        if stored < quorum:
            raise QuorumError(f"{stored} nodes took it, {quorum} were asked for", result)
        return result


async def finish(operation: Operation) -> tuple[Done, list[Event]]:
    """Waits for the end, and gives what came before it."""
    events: list[Event] = []
    while not isinstance(event := await operation.next(), Done):
        events.append(event)
    return event, events


def _step(event: Event) -> LookupStep | None:
    match event:
        case Done(outcome=outcome):
            return event if of_outcome(outcome) is None else None
        case Asked() | Answered() | Failed():
            return event
        case _:
            return None
