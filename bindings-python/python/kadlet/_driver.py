"""Carries events between one `Node` and those who wait for them; how time and datagrams come and go
is a subclass's: `_sockets` for real, `testing` in memory.

The core is called from the loop's thread alone. After each call that changes it, `pump` empties its
polls and sets the timer anew. Nobody's code runs inside `pump`: events go to queues and futures.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol, TypeAlias, TypeVar

from ._http import Connected, Streams
from ._native import Node
from ._state import StateFile
from ._types import (
    Address,
    Answered,
    Asked,
    Contacts,
    Done,
    Event,
    Failed,
    Hit,
    Path,
    Provider,
    Sample,
    Started,
    Stored,
    Swarm,
    Value,
)
from .errors import ClosedError

T = TypeVar("T")

EVENTS = 4096
"""Events kept for a caller that does not keep up; beyond it steps and results are lost, never the
end."""

Trace: TypeAlias = Literal["steps", "failures", "results"]
"""What is wanted of an operation: all that happens, results and failures, or results alone."""

SKIP: dict[Trace, tuple[str, ...]] = {
    "steps": (),
    "failures": ("started", "asked", "answered"),
    "results": ("started", "asked", "answered", "failed"),
}
"""Events that need not be made for that."""

SAVE_EVERY = 60.0
"""Contacts are written down so many seconds after they changed."""


class Operation:
    """The events of one operation, in order; the last one is `Done`."""

    def __init__(self, driver: Driver, number: int, trace: Trace) -> None:
        self.number = number
        self._driver = driver
        self.trace: Trace = trace
        self._events: deque[Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    def push(self, event: Event) -> None:
        """An event of the core's."""
        match event:
            case Done():
                self._ended = True
            case Provider() | Value() | Hit() | Swarm() | Sample() | Stored() if (
                len(self._events) < EVENTS
            ):
                pass
            case Asked() | Answered() if self.trace == "steps" and len(self._events) < EVENTS:
                pass
            case Failed() if self.trace != "results" and len(self._events) < EVENTS:
                pass
            case _:
                return
        self._events.append(event)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
            self._driver.woken()

    async def next(self) -> Event:
        """The next event. If the caller is cancelled meanwhile, the operation is."""
        while not self._events:
            if self._ended:
                raise ClosedError("the operation has ended")
            if self._waiter is not None and not self._waiter.done():
                raise RuntimeError("another task waits for the next result already")
            self._waiter = self._driver.loop.create_future()
            self._driver.wait()
            try:
                await self._waiter
            except BaseException:
                if self._waiter.cancelled():
                    self._driver.woken()
                self.leave()
                raise
        return self._events.popleft()

    def leave(self) -> None:
        """Stops its traffic, if it has not ended."""
        if not self._ended:
            self._ended = True
            self._driver.cancel(self.number)
            # A task that waits hears of the end from us: the core's own word is for nobody now.
            self._wake()

    def abandon(self) -> None:
        """The same from a finaliser, which may run anywhere."""
        if not self._ended and not self._driver.loop.is_closed():
            self._driver.loop.call_soon_threadsafe(self.leave)


class Timer(Protocol):
    """Something that happens later."""

    def cancel(self) -> None:
        """It does not happen, if it has not yet."""


class Driver(ABC):
    """One running node."""

    def __init__(self, node: Node, addrs: tuple[str, ...], state: StateFile | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.node = node
        self.addrs = addrs
        """Where others reach us: HOST:PORT for each socket."""
        self.closed = False
        self._closing: asyncio.Task[None] | None = None
        self.save_error: OSError | None = None
        self._operations: dict[int, Operation] = {}
        self._traced: dict[Trace, int] = {"steps": 0, "failures": 0, "results": 0}
        self._state = state
        self._saving: asyncio.Task[None] | None = None
        self._writing: asyncio.Future[None] | None = None
        self._dirty = False
        self.on_close: set[Callable[[], Awaitable[None]]] = set()
        """What ends with the node: each is awaited once."""

    @abstractmethod
    def now(self) -> float:
        """The core's time: seconds since the node was opened."""

    @abstractmethod
    def path_to(self, address: Address) -> Path | None:
        """The path there, if one of our sockets reaches it."""

    @abstractmethod
    def set_timer(self, deadline: float | None) -> None:
        """`due` is wanted then, and not at any moment named before; None: never."""

    @abstractmethod
    def send(self, path: Path, payload: bytes) -> None:
        """Sends a datagram, or drops it: nothing of that ends the node."""

    @abstractmethod
    async def connect(self, to: Address) -> Streams:
        """A connection to who provides something. Raises OSError."""

    @abstractmethod
    async def serve(self, connected: Connected) -> int:
        """Listens for connections at our addresses until the node is closed; gives the port."""

    @abstractmethod
    def call_at(self, time: float, do: Callable[[], None]) -> Timer:
        """Something is done then, in the core's time."""

    async def in_thread(self, do: Callable[[], T], stop: threading.Event | None = None) -> T:
        """What waits for the disk is done where the loop does not wait with it. Whoever is cancelled
        meanwhile sets `stop`, if it is given, and waits for the thread: the file is its own until
        then."""
        thread = self.loop.run_in_executor(None, do)
        if stop is None:
            return await thread
        left: asyncio.CancelledError | None = None
        while not thread.done():
            try:
                await asyncio.wait([thread])
            except asyncio.CancelledError as error:
                left = error
                stop.set()
        if left is not None:
            # What became of it is for nobody now.
            thread.exception()
            raise left
        return thread.result()

    def busy(self) -> None:
        """Something begins that takes no virtual time."""

    def idle(self) -> None:
        """It has ended."""

    @abstractmethod
    def close_sockets(self) -> None:
        """Nothing is sent or received after this."""

    def wait(self) -> None:
        """Somebody begins to wait for an event."""

    def woken(self) -> None:
        """Somebody who waited does no longer."""

    def begin(
        self, start: Callable[[float], int], timeout: float | None = None, trace: Trace = "results"
    ) -> Operation:
        """Starts an operation of the core: `start` is given the time."""
        if self.closed:
            raise ClosedError("the node is closed")
        number = start(self.now())
        if timeout is not None:
            self.node.set_deadline(self.now(), number, timeout)
        operation = self._operations[number] = Operation(self, number, trace)
        self._traced[trace] += 1
        # What it begins with is sent before the caller waits, and it may have ended already.
        self.pump()
        return operation

    def cancel(self, number: int) -> None:
        """Ends an operation, or the renewal of what it published."""
        self._ended(number)
        if not self.closed:
            self.node.cancel(self.now(), number)
            self.pump()

    def pump(self) -> None:
        """Empties the polls and sets the timer."""
        node = self.node
        while (transmit := node.poll_transmit()) is not None:
            self.send(transmit.path, transmit.payload)
        traced = self._traced
        skip = SKIP["steps" if traced["steps"] else "failures" if traced["failures"] else "results"]
        while (event := node.poll_event(skip)) is not None:
            self._dispatch(event)
        while (change := node.poll_change()) is not None:
            if isinstance(change, Contacts):
                self._dirty = True
        if self._dirty and self._state is not None and self._saving is None and not self.closed:
            self._saving = self.loop.create_task(self._save_later(self._state))
        self.set_timer(None if self.closed else node.poll_timeout())

    def due(self) -> None:
        """The deadline has come."""
        self.node.handle_timeout(self.now())
        self.pump()

    def _dispatch(self, event: Event) -> None:
        match event:
            case Started():
                pass
            case Done(operation=number):
                if (operation := self._ended(number)) is not None:
                    operation.push(event)
            case (
                Asked()
                | Answered()
                | Failed()
                | Provider()
                | Value()
                | Hit()
                | Swarm()
                | Sample()
                | Stored()
            ):
                if (operation := self._operations.get(event.operation)) is not None:
                    operation.push(event)
            case _:
                pass

    def _ended(self, number: int) -> Operation | None:
        """Takes out an operation, if it is still there."""
        operation = self._operations.pop(number, None)
        if operation is not None:
            self._traced[operation.trace] -= 1
        return operation

    async def _save_later(self, file: StateFile) -> None:
        await asyncio.sleep(SAVE_EVERY)
        try:
            await self._save(file)
            self.save_error = None
        except OSError as error:
            # Tried again when contacts change again, and when the node is closed.
            self.save_error = error
        finally:
            self._saving = None

    async def _save(self, file: StateFile) -> None:
        self._dirty = False
        state = self.node.export_state(self.now())
        self._writing = self.loop.run_in_executor(None, file.write, state)
        await asyncio.shield(self._writing)

    async def close(self) -> None:
        """Ends everything, and writes the state last. Whoever is cancelled meanwhile leaves no half
        of it behind, and whoever calls it again waits for the same end."""
        if self._closing is None:
            self.closed = True
            self.busy()
            self._closing = self.loop.create_task(self._close())
            self._closing.add_done_callback(lambda _: self.idle())
        elif self._closing.done():
            return
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.cancel()
            # A thread cannot be cancelled, and must not put its older state over the last one.
            await asyncio.wait([saving, self._writing] if self._writing else [saving])
        state = self.node.export_state(self.now()) if self._state is not None else b""
        for end in [*self.on_close]:
            await end()
        self.node.shutdown(self.now())
        self.pump()
        self.close_sockets()
        if self._state is not None:
            try:
                await self.loop.run_in_executor(None, self._state.write, state)
            finally:
                self._state.close()
