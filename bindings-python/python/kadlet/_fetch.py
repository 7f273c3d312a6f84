"""Fetching one content into one file: the core's fetch machine, driven over HTTP.

Everything happens in the loop's thread: a task for the lookup and one for each request hand what
they hear of to the machine, and do what it says next.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from ._addresses import text_of
from ._driver import Driver, Timer
from ._http import Client, RequestError
from ._partial import Partial
from ._types import FetchConfig, Provider
from .content import (
    Done,
    Failed,
    Fetch,
    ListVerified,
    PieceVerified,
    ProviderRejected,
    Rejection,
    Request,
    WantHashList,
)
from .errors import ClosedError, DhtError, NoProvidersError, QueryTimeout

NOTE_EVERY = 16
"""Pieces between two notes of what is there: a crash costs no more than these."""

HTTP = 1
"""The transport that this side speaks."""


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """How far a fetch is, as often as that changes."""

    size: int | None
    """Bytes in all; None before they are certain."""
    done: int
    """Bytes that are verified and written, those of earlier fetches among them."""
    resumed: int
    """Bytes that an earlier fetch left."""
    providers: dict[str, int]
    """Who has it, and how many pieces each gave."""
    rejected: dict[str, Rejection]
    """Who is not asked any more, and why."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that was fetched."""

    path: Path
    """Where it lies."""
    size: int
    """Its size in bytes."""
    fetched: int
    """Bytes that came over the network; the others were there already."""
    providers: dict[str, int]
    """Who gave how many pieces."""
    rejected: dict[str, Rejection]
    """Who was dropped, and why."""


class Fetching:
    """One fetch on its way."""

    def __init__(
        self,
        driver: Driver,
        content: bytes,
        size: int | None,
        path: Path,
        config: FetchConfig,
        progress: Callable[[FetchProgress], None] | None,
    ) -> None:
        self._driver = driver
        self._content = content
        self._path = path
        self._progress = progress
        self._partial = Partial(path)
        self._client = Client(driver.connect)
        self._machine = Fetch(config, content, size)
        self._config = config
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._lookup: asyncio.Task[None] | None = None
        self._lookup_error: DhtError | None = None
        self._timer: Timer | None = None
        self._end: asyncio.Future[None] = driver.loop.create_future()
        self._left = threading.Event()
        """Whether a thread works for nobody any more."""
        self._waiting = False
        self._held: list[tuple[int, bytes]] = []
        self._since_note = 0
        self._resumed = self._done = self._fetched = 0
        self._providers: dict[str, int] = {}
        self._rejected: dict[str, Rejection] = {}

    async def run(self, providers: AsyncIterator[Provider], timeout: float | None) -> Fetched:
        """From the first question to the file under its name."""
        limit: Timer | None = None
        self._driver.on_close.add(self._closed)
        try:
            if timeout is not None:
                limit = self._driver.call_at(self._driver.now() + timeout, self._late)
            try:
                left = await self._driver.in_thread(
                    lambda: self._partial.resume(self._content, self._config.max_size, self._left),
                    self._left,
                )
            except OSError:
                if self._end.done():
                    # It was told to stop: why is said there.
                    self._end.result()
                raise
            if left is not None:
                self._machine = Fetch.resume(self._config, *left)
                ranges = (left[0].range(index) or (0, 0) for index in left[1])
                self._resumed = self._done = sum(end - start for start, end in ranges)
                self._tell()
            self._lookup = self._driver.loop.create_task(self._find(providers))
            self._pump()
            await self._over()
            # An empty file has no piece that would have begun it.
            self._write_held()
            await self._driver.in_thread(self._partial.finish, self._left)
        finally:
            self._driver.on_close.discard(self._closed)
            if limit is not None:
                limit.cancel()
            await self._stop()
        hashes = self._machine.list()
        size = hashes.size() if hashes is not None else 0
        given = {who: pieces for who, pieces in self._providers.items() if pieces}
        return Fetched(self._path, size, self._fetched, given, self._rejected)

    async def _over(self) -> None:
        """Waits for the end."""
        if self._end.done():
            return self._end.result()
        self._waiting = True
        self._driver.wait()
        try:
            await self._end
        finally:
            if self._waiting:
                self._waiting = False
                self._driver.woken()

    async def _find(self, providers: AsyncIterator[Provider]) -> None:
        try:
            async for provider in providers:
                if provider.transports & HTTP:
                    self.found(provider)
        except DhtError as error:
            self._lookup_error = error
        self._machine.no_more_providers(self._driver.now())
        self._pump()

    def found(self, provider: Provider) -> None:
        """Somebody has it."""
        address, namer = provider.address, provider.holder
        if self._machine.provider_found(self._driver.now(), address, namer):
            self._providers[text_of(address)] = 0
            try:
                self._tell()
            except BaseException as error:
                # As anywhere else, a `progress` that raises ends the fetch.
                self._finish(error)
            self._pump()

    async def _ask(self, request: Request) -> None:
        def progressed(count: int) -> None:
            self._machine.progressed(self._driver.now(), request.id, count)

        machine = self._machine
        try:
            data = await self._client.get(request.provider, self._content, request.want, progressed)
        except RequestError as error:
            machine.request_failed(self._driver.now(), request.id, error.failure)
        else:
            now = self._driver.now()
            match request.want:
                case WantHashList():
                    # Whether it was right is told by events.
                    machine.list_received(now, request.id, data)
                case want:
                    if machine.piece_received(now, request.id, data) == "accepted":
                        self._fetched += len(data)
                        self._held.append((want.start, data))
        self._tasks.pop(request.id, None)
        self._pump()

    def _pump(self) -> None:
        """Does what the machine says, until it has nothing to say."""
        if self._end.done():
            return
        try:
            self._write_held()
            self._drain()
        except BaseException as error:
            # A full disk, or a `progress` that raises, ends the fetch.
            self._finish(error)
            return
        while (number := self._machine.poll_cancel()) is not None:
            if (task := self._tasks.pop(number, None)) is not None:
                task.cancel()
        while (request := self._machine.poll_request()) is not None:
            task = self._tasks[request.id] = self._driver.loop.create_task(self._ask(request))
            self._driver.busy()
            task.add_done_callback(lambda _: self._driver.idle())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._end.done() and (deadline := self._machine.poll_timeout()) is not None:
            self._timer = self._driver.call_at(deadline, self._due)

    def _due(self) -> None:
        self._timer = None
        self._machine.handle_timeout(self._driver.now())
        self._pump()

    def _drain(self) -> None:
        while (event := self._machine.poll_event()) is not None:
            match event:
                case ListVerified():
                    self._write_held()
                    self._tell()
                case PieceVerified(provider=provider, index=index):
                    who, hashes = text_of(provider), self._machine.list()
                    start, end = hashes and hashes.range(index) or (0, 0)
                    self._providers[who] = self._providers.get(who, 0) + 1
                    self._done += end - start
                    self._tell()
                case ProviderRejected(provider=provider, reason=reason):
                    self._rejected[text_of(provider)] = reason
                    self._tell()
                case Done():
                    self._finish(None)
                case Failed(providers=providers):
                    self._finish(self._nobody(len(providers)))

    def _nobody(self, dropped: int) -> DhtError:
        if not dropped and self._lookup_error is not None:
            return self._lookup_error
        return NoProvidersError(self._rejected)

    def _write_held(self) -> None:
        """Writes what is certain. The last piece can come before the list is: it proves the list."""
        hashes = self._machine.list()
        if hashes is None:
            return
        if not self._partial.started:
            self._partial.start(hashes)
        for start, data in self._held:
            self._partial.write(start, data)
            self._since_note += 1
        self._held.clear()
        if self._since_note >= NOTE_EVERY:
            self._note()

    def _note(self) -> None:
        self._since_note = 0
        if (note := self._machine.resume_note()) is not None:
            self._partial.note(note)

    def _tell(self) -> None:
        if self._progress is not None:
            hashes = self._machine.list()
            size = None if hashes is None else hashes.size()
            self._progress(
                FetchProgress(
                    size, self._done, self._resumed, dict(self._providers), dict(self._rejected)
                )
            )

    async def _closed(self) -> None:
        self._finish(ClosedError("the node is closed"))

    def _late(self) -> None:
        self._finish(QueryTimeout("the time was up", self._done))

    def _finish(self, error: BaseException | None) -> None:
        if not self._end.done():
            self._left.set()
            if error is None:
                self._end.set_result(None)
            else:
                self._end.set_exception(error)
            if self._waiting:
                # Whoever waits acts before virtual time goes on.
                self._waiting = False
                self._driver.woken()

    async def _stop(self) -> None:
        """Stops the traffic, and notes what is there so that the next fetch goes on from here."""
        self._end.cancel()
        if self._timer is not None:
            self._timer.cancel()
        tasks = [*self._tasks.values()]
        if self._lookup is not None:
            tasks.append(self._lookup)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._client.close()
        if self._partial.started:
            try:
                self._note()
            except OSError:
                # The bytes are there, and decide the next time.
                pass
            self._partial.close()


def target_of(path: str | os.PathLike[str], name: str) -> Path:
    """Where a file of this safe name goes: into a folder, or where it is said."""
    target = Path(path)
    # `new/` means a folder, as it does for cp.
    folder = target if os.fspath(path).endswith(("/", os.sep)) else target.parent
    if target.is_dir():
        target = target / name
    elif not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: make it first, or name another")
    if os.path.lexists(target):
        raise FileExistsError(f"{target} is there already: move it away or name another")
    return target
