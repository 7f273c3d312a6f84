"""A node for asyncio: sockets, clock, entropy and a file around `kadlet.Node`.

Nothing global: a node belongs to the loop that runs when it is opened, and is used from that loop's
thread. Times are seconds. Concurrency is the caller's: start as many operations as you like in a
`TaskGroup`. Cancelling a task, leaving an `async for` and `timeout=` stop the traffic in the core.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path as File
from types import TracebackType
from typing import Generic, Self, TypeAlias, TypeVar

from . import _state
from ._addresses import Attempt, AttemptResult, resolve, result_of, split
from ._driver import Driver, Operation
from ._id import Id, Key
from ._native import Node, content_key_of, key_of, signed_key_of
from ._sockets import SocketDriver, open_links
from ._types import (
    Answered,
    Asked,
    Config,
    Contact,
    Done,
    Event,
    Failed,
    Health,
    Hit,
    Item,
    Path,
    Peer,
    PeerFailure,
    Provider,
    SearchEntry,
    SignedValue,
    Stats,
    Stored,
    Totals,
    Value,
)
from .errors import (
    BootstrapError,
    ClosedError,
    InvalidRecord,
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

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._ended:
            event = await self._operation.next()
            found = self._pick(event)
            if isinstance(event, Done):
                self._ended = True
                self.totals = event.totals
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


def _checked(name: str, value: object, kind: type | tuple[type, ...], expected: str) -> None:
    if not isinstance(value, kind) or isinstance(value, bool) and kind is not bool:
        raise TypeError(f"{name} is {expected}, this is {type(value).__name__}")


def _timeout(timeout: float | None) -> float | None:
    if timeout is not None:
        _checked("timeout", timeout, (int, float), "a number of seconds or None")
        if not timeout >= 0.0:
            raise ValueError(f"timeout is a number of seconds from 0 on, this is {timeout}")
    return timeout


def _sequence(name: str, number: int | None) -> None:
    if number is not None:
        _checked(name, number, int, "an int or None")
        if not 0 <= number < 1 << 64:
            raise ValueError(f"{name} is a number from 0 to 2**64 - 1, this is {number}")


def _item(item: Item) -> None:
    _checked("a value", item, (bytes, SignedValue), "bytes or SignedValue")
    value = item.value if isinstance(item, SignedValue) else item
    if len(value) > MAX_VALUE:
        raise ValueTooLarge(len(value), MAX_VALUE)


class RunningNode:
    """A node that runs. `open_node` makes them.

    Every operation takes `timeout`, in seconds; without one `Config.deadline` is it. `QueryTimeout`
    is a `TimeoutError`. Without contacts operations raise `NoPeersError` at once, and after
    `aclose` everything raises `ClosedError`.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._id = Id(driver.node.id())

    @property
    def id(self) -> Id:
        """Our id."""
        return self._id

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
        timeout = _timeout(timeout)
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
            operation = driver.begin(lambda now: begin(now, paths), timeout, trace=True)
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
            case SignedValue(value=value):
                return value
            case found:
                return found

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
        _checked("a public key", public_key, bytes, "bytes")
        _checked("a salt", salt, bytes, "bytes")
        _sequence("newer_than", newer_than)
        key = Id(signed_key_of(public_key, salt))
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
        again before holders forget it, until `withdraw` or the node's end. Fewer holders than
        `quorum` raise `QuorumError`. Raises `ValueTooLarge` over 896 bytes, `InvalidRecord`,
        `StaleSequence` or another `RefusedError`, or a `DhtError` if nobody took it.
        """
        _item(item)
        _sequence("cas", cas)
        _checked("quorum", quorum, int, "an int")
        try:
            key = Id(key_of(item))
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

        Without a port it is the one of our socket. Transports: 1 HTTP, 2 a WebRTC data channel.
        `renew` as for `put`.
        """
        target = Id(key)
        if port is not None:
            _checked("port", port, int, "an int or None")
            if not 1 <= port <= 65_535:
                raise ValueError(f"a port is a number from 1 to 65535, this is {port}")
        _checked("transports", transports, int, "an int")
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
        _checked("an entry", entry, SearchEntry, "a SearchEntry")
        publish = self._open().node.publish
        # It is kept under each of its words; its content's key is where its providers are.
        key = Id(content_key_of(entry.content))
        return await self._store(key, lambda now: publish(now, entry, renew), 1, timeout)

    def withdraw(self, result: PutResult) -> None:
        """Ends the renewal of something published. Holders forget it in their own time."""
        self._open().cancel(result.operation)

    def providers(self, key: Key, *, timeout: float | None = None) -> Results[Provider]:
        """Who has the content with this key, as they are heard of."""
        target, providers = Id(key), self._open().node.providers
        operation = self._driver.begin(lambda now: providers(now, target), _timeout(timeout))
        return Results(operation, lambda event: event if isinstance(event, Provider) else None)

    def search(self, words: str, *, timeout: float | None = None) -> Results[Hit]:
        """Files whose names carry all these words, as they are heard of.

        Raises ValueError if there is no word in it.
        """
        _checked("a search", words, str, "a str")
        search = self._open().node.search
        operation = self._driver.begin(lambda now: search(now, words), _timeout(timeout))
        return Results(operation, lambda event: event if isinstance(event, Hit) else None)

    def lookup(self, target: Key, *, timeout: float | None = None) -> Results[LookupStep]:
        """One lookup, step by step; the last step is `Done`, with the closest contacts."""
        wanted, find_node = Id(target), self._open().node.find_node
        operation = self._driver.begin(
            lambda now: find_node(now, wanted), _timeout(timeout), trace=True
        )
        return Results(operation, _step)

    async def find_node(self, target: Key, *, timeout: float | None = None) -> tuple[Contact, ...]:
        """The contacts closest to `target` that answered, nearest first."""
        wanted, find_node = Id(target), self._open().node.find_node
        operation = self._driver.begin(lambda now: find_node(now, wanted), _timeout(timeout))
        done, _ = await _finish(operation)
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
            lambda now: get(now, key, salt, newer_than), _timeout(timeout)
        )
        done, events = await _finish(operation)
        values = [event.item for event in events if isinstance(event, Value)]
        # What was found before the time was up is found: the last is the newest.
        if not values and (error := of_outcome(done.outcome)):
            raise error
        return values[-1] if values else None

    async def _store(
        self, key: Id, start: Callable[[float], int], quorum: int, timeout: float | None
    ) -> PutResult:
        timeout = _timeout(timeout)
        try:
            operation = self._driver.begin(start, timeout, trace=True)
        except ValueError as error:
            raise InvalidRecord(str(error)) from None
        done, events = await _finish(operation)
        failures = tuple((e.peer, e.reason) for e in events if isinstance(e, Failed))
        stored, attempted = done.totals.stored, done.totals.store_attempts
        result = PutResult(key, stored, attempted, failures, done.operation)
        # Some holders have it although the time was up for the others.
        if not stored and (failed := of_outcome(done.outcome, result)):
            raise failed
        if stored < quorum:
            raise QuorumError(f"{stored} nodes took it, {quorum} were asked for", result)
        return result


class _Opening:
    """What `open_node` gives: for `async with`, or to be awaited and closed by hand."""

    def __init__(self, open_it: Callable[[], Generator[None, None, RunningNode]]) -> None:
        self._open_it = open_it
        self._node: RunningNode | None = None

    def __await__(self) -> Generator[None, None, RunningNode]:
        return self._open_it()

    async def __aenter__(self) -> RunningNode:
        self._node = await self
        return self._node

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._node is not None:
            await self._node.aclose()


def open_node(
    bind: str = "[::]:0",
    bootstrap: Iterable[str] = (),
    *,
    network: str | None = None,
    state: str | os.PathLike[str] | None = None,
    config: Config | None = None,
    timeout: float | None = None,
) -> _Opening:
    """A node on this address, joined to the network that the bootstrap addresses belong to.

    ```
    async with kadlet.open_node(bootstrap=["node.example:7611"]) as node:
        print(await node.get("0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33"))
    ```

    `bind` is IP:PORT, port 0 any free one; `[::]` is both families. Without bootstrap addresses the
    node starts from the contacts in its state, or is the first of a network. `network` is its name,
    before that in `config`. `state` is a file, written when the node is closed and a minute after
    its contacts changed, each time as a whole; one process at a time may use it. `timeout` is for
    joining, in seconds.

    Raises, when entered or awaited, `BootstrapError` if none of the addresses is a node of the
    network and no contact from the state answers, `InvalidState`, and the system's OSError.
    Wrong arguments raise TypeError and ValueError at once.
    """
    if isinstance(bootstrap, str):
        raise TypeError("bootstrap is a list of HOST:PORT, this is str")
    host, port = split(bind, "bind", any_port=True)
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"bind: {host!r} is no IP address; a name may move") from None
    known = tuple(bootstrap)
    for address in known:
        split(address, "a bootstrap address")
    if config is not None:
        _checked("config", config, Config, "a Config")
    if state is not None:
        _checked("state", state, (str, os.PathLike), "a path")
    settings = config or Config()
    if network is not None:
        _checked("network", network, str, "a str")
        settings = replace(settings, network=network)
    file = None if state is None else File(state)
    _timeout(timeout)

    async def open_it() -> RunningNode:
        seed = os.urandom(32)
        loop = asyncio.get_running_loop()
        saved: Node | None = None
        if file is not None:
            saved = await loop.run_in_executor(None, _state.read, file, settings, seed)
        node = saved or Node(settings, os.urandom(20), seed, 0.0)
        if file is not None and saved is None:
            # That it cannot be written is better said now than when there is something to lose.
            await loop.run_in_executor(None, _state.write, file, node.export_state(0.0))
        try:
            links = open_links(str(ip), port)
        except OSError as error:
            raise OSError(error.errno, f"no socket on {bind}: {error.strerror}") from None
        driver = SocketDriver(node, links, file)
        try:
            await driver.start()
            running = RunningNode(driver)
            await _join(running, driver, known, saved is not None, timeout)
        except BaseException:
            await driver.close()
            raise
        return running

    return _Opening(lambda: open_it().__await__())


async def _join(
    running: RunningNode,
    driver: Driver,
    known: tuple[str, ...],
    restored: bool,
    timeout: float | None,
) -> None:
    if known:
        try:
            await running.bootstrap(known, timeout=timeout)
            return
        except BootstrapError:
            # Contacts from earlier may do where the addresses do not.
            if not restored or not any(driver.node.health().contacts.values()):
                raise
            done, _ = await _finish(driver.begin(lambda now: driver.node.bootstrap(now, [])))
            if of_outcome(done.outcome) is None:
                return
            raise
    elif restored:
        # Whether anybody is there is seen later: a network may start again with us.
        driver.begin(lambda now: driver.node.bootstrap(now, []))


async def _finish(operation: Operation) -> tuple[Done, list[Event]]:
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
