"""Carries datagrams, time and events between one `Node` and one asyncio loop.

The core is called from the loop's thread alone. After each call that changes it, `pump` empties its
polls and sets the timer anew. Nobody's code runs inside `pump`: events go to queues and futures.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path as File

from . import _state
from ._addresses import family_of, numeric
from ._native import Node
from ._types import (
    Address,
    Asked,
    Answered,
    Contacts,
    Done,
    Event,
    Failed,
    Family,
    Hit,
    Path,
    Provider,
    Started,
    Stored,
    Value,
)
from .errors import ClosedError

BATCH = 64
"""Datagrams read in one turn of the loop, so that its other tasks get theirs."""

OUTBOX = 4096
"""Datagrams that wait for room in the system's buffer; what is more is lost, as on the way."""

EVENTS = 4096
"""Events kept for a caller that does not keep up; beyond it steps and results are lost, never the
end."""

RECEIVE_BUFFER = 1 << 20
"""Wanted size of the receive buffer, bytes: what arrives while a busy machine does something else."""

MTU = 1500

SAVE_EVERY = 60.0
"""Contacts are written down so many seconds after they changed."""

PATH_FAILURES = {
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.EADDRNOTAVAIL,
    errno.EACCES,
    errno.EPERM,
    errno.EINVAL,
}
"""What says that a path does not work, rather than that our side is short of something."""


class Link:
    """One socket of one family, and the core's number for it: 0 for IPv4, 1 for IPv6, always, for
    saved contacts carry it."""

    def __init__(self, address: Address) -> None:
        self.family: Family = family_of(address)
        self.number = 0 if self.family == "ipv4" else 1
        kind = socket.AF_INET if self.family == "ipv4" else socket.AF_INET6
        self.socket = socket.socket(kind, socket.SOCK_DGRAM)
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.transport: asyncio.DatagramTransport | None = None
        try:
            self.socket.setblocking(False)
            if self.family == "ipv6":
                # IPv4 peers would come in IPv6 clothes, which the core refuses: they have their own.
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self.socket.bind(address)
        except BaseException:
            self.socket.close()
            raise
        self.bound: Address = self.socket.getsockname()

    def reaches(self, address: Address) -> bool:
        """Whether it can be written to from here: loopback reaches nothing else."""
        ours, theirs = self.bound[0], address[0]
        local = ours.startswith("127.") or ours == "::1"
        outside = not (theirs.startswith("127.") or theirs == "::1")
        return self.family == family_of(address) and not (local and outside)


def open_links(host: str, port: int) -> list[Link]:
    """The sockets for an address: for `::` one of each family, where IPv6 may be missing."""
    if host != "::":
        return [Link(numeric(host, port))]
    v4 = Link(("0.0.0.0", port))
    try:
        # The same port for both is a convenience.
        try:
            return [v4, Link(("::", v4.bound[1], 0, 0))]
        except OSError:
            if port:
                raise
            return [v4, Link(("::", 0, 0, 0))]
    except OSError as error:
        if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return [v4]
        v4.socket.close()
        raise


class Operation:
    """The events of one operation, in order; the last one is `Done`."""

    def __init__(self, driver: Driver, number: int, trace: bool) -> None:
        self.number = number
        self._driver = driver
        self._trace = trace
        self._events: deque[Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    def push(self, event: Event) -> None:
        """An event of the core's."""
        match event:
            case Done():
                self._ended = True
            case Provider() | Value() | Hit() | Stored() if len(self._events) < EVENTS:
                pass
            case Asked() | Answered() | Failed() if self._trace and len(self._events) < EVENTS:
                pass
            case _:
                return
        self._events.append(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self) -> Event:
        """The next event. If the caller is cancelled meanwhile, the operation is."""
        while not self._events:
            if self._ended:
                raise ClosedError("the operation has ended")
            self._waiter = self._driver.loop.create_future()
            try:
                await self._waiter
            except BaseException:
                self.leave()
                raise
        return self._events.popleft()

    def leave(self) -> None:
        """Stops its traffic, if it has not ended."""
        if not self._ended:
            self._ended = True
            self._driver.cancel(self.number)

    def abandon(self) -> None:
        """The same from a finaliser, which may run anywhere."""
        if not self._ended and not self._driver.loop.is_closed():
            self._driver.loop.call_soon_threadsafe(self.leave)


class Driver:
    """One running node."""

    def __init__(self, node: Node, links: list[Link], state: File | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.node = node
        self.links = {link.number: link for link in links}
        self.closed = False
        self.send_errors = self.receive_errors = self.sends_lost = 0
        self.save_error: OSError | None = None
        self._start = self.loop.time()
        self._operations: dict[int, Operation] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._state = state
        self._saving: asyncio.Task[None] | None = None
        self._writing: asyncio.Future[None] | None = None
        self._dirty = False

    def now(self) -> float:
        """The core's time: seconds since the node was opened, by the loop's clock."""
        return max(self.loop.time() - self._start, 0.0)

    async def start(self) -> None:
        """Begins to listen."""
        for link in self.links.values():
            self.node.link_up(self.now(), link.number, link.bound, [link.family], MTU)
            try:
                self.loop.add_reader(link.socket, self._readable, link)
            except NotImplementedError:
                # Windows' default loop has none. Elsewhere it is much faster than a protocol.
                await self.loop.create_datagram_endpoint(
                    lambda link=link: _Protocol(self, link),  # type: ignore[misc]
                    sock=link.socket,
                )
        self.pump()

    def begin(
        self, start: Callable[[float], int], timeout: float | None = None, trace: bool = False
    ) -> Operation:
        """Starts an operation of the core: `start` is given the time."""
        if self.closed:
            raise ClosedError("the node is closed")
        number = start(self.now())
        if timeout is not None:
            self.node.set_deadline(self.now(), number, timeout)
        operation = self._operations[number] = Operation(self, number, trace)
        # What it begins with is sent before the caller waits, and it may have ended already.
        self.pump()
        return operation

    def cancel(self, number: int) -> None:
        """Ends an operation, or the renewal of what it published."""
        self._operations.pop(number, None)
        if not self.closed:
            self.node.cancel(self.now(), number)
            self.pump()

    def received(self, link: Link, data: bytes, address: Address) -> None:
        """A datagram came. What is wrong with it is the sender's fault, and counted by the core."""
        self.node.handle_datagram(self.now(), Path(address, link.number), data)

    def pump(self) -> None:
        """Empties the polls and sets the timer."""
        node = self.node
        while (transmit := node.poll_transmit()) is not None:
            self._send(transmit.path, transmit.payload)
        while (event := node.poll_event()) is not None:
            self._dispatch(event)
        while (change := node.poll_change()) is not None:
            if isinstance(change, Contacts):
                self._dirty = True
        if self._dirty and self._state is not None and self._saving is None and not self.closed:
            self._saving = self.loop.create_task(self._save_later(self._state))
        deadline = node.poll_timeout()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None and not self.closed:
            self._timer = self.loop.call_at(self._start + deadline, self._due)

    def _due(self) -> None:
        self._timer = None
        self.node.handle_timeout(self.now())
        self.pump()

    def _dispatch(self, event: Event) -> None:
        match event:
            case Started():
                pass
            case Done(operation=number):
                if (operation := self._operations.pop(number, None)) is not None:
                    operation.push(event)
            case Asked() | Answered() | Failed() | Provider() | Value() | Hit() | Stored():
                if (operation := self._operations.get(event.operation)) is not None:
                    operation.push(event)
            case _:
                pass

    def _readable(self, link: Link) -> None:
        for _ in range(BATCH):
            try:
                data, address = link.socket.recvfrom(2048)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                # It belongs to an earlier send, of which the core learns by silence.
                self.receive_errors += 1
                break
            self.received(link, data, address)
        self.pump()

    def _send(self, path: Path, payload: bytes) -> None:
        link = self.links.get(path.link)
        if link is None:
            # A contact from a time when we had an address of its family.
            self.node.handle_path_failed(self.now(), path)
        elif link.transport is not None:
            link.transport.sendto(payload, path.remote)
        elif link.outbox:
            if len(link.outbox) < OUTBOX:
                link.outbox.append((payload, path.remote))
            else:
                self.sends_lost += 1
        elif not self._send_now(link, payload, path.remote):
            link.outbox.append((payload, path.remote))
            self.loop.add_writer(link.socket, self._writable, link)

    def _send_now(self, link: Link, payload: bytes, remote: Address) -> bool:
        """False if there is no room at the moment."""
        try:
            link.socket.sendto(payload, remote)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self.send_failed(Path(remote, link.number), error)
        return True

    def send_failed(self, path: Path, error: OSError) -> None:
        """The system refused a send. Nothing of that ends the node."""
        self.send_errors += 1
        if error.errno in PATH_FAILURES:
            self.node.handle_path_failed(self.now(), path)

    def _writable(self, link: Link) -> None:
        while link.outbox and self._send_now(link, *link.outbox[0]):
            link.outbox.popleft()
        if not link.outbox:
            self.loop.remove_writer(link.socket)
        self.pump()

    async def _save_later(self, path: File) -> None:
        await asyncio.sleep(SAVE_EVERY)
        try:
            await self._save(path)
            self.save_error = None
        except OSError as error:
            # Tried again when contacts change again, and when the node is closed.
            self.save_error = error
        finally:
            self._saving = None

    async def _save(self, path: File) -> None:
        self._dirty = False
        state = self.node.export_state(self.now())
        self._writing = self.loop.run_in_executor(None, _state.write, path, state)
        await asyncio.shield(self._writing)

    async def close(self) -> None:
        """Ends everything, and writes the state last."""
        if self.closed:
            return
        self.closed = True
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.cancel()
            # A thread cannot be cancelled, and must not put its older state over the last one.
            await asyncio.wait([saving, self._writing] if self._writing else [saving])
        state = self.node.export_state(self.now()) if self._state is not None else b""
        self.node.shutdown(self.now())
        self.pump()
        for link in self.links.values():
            if link.transport is not None:
                link.transport.close()
            else:
                self.loop.remove_reader(link.socket)
                self.loop.remove_writer(link.socket)
                link.socket.close()
        if self._state is not None:
            await self.loop.run_in_executor(None, _state.write, self._state, state)


class _Protocol(asyncio.DatagramProtocol):
    """For loops without `add_reader`."""

    def __init__(self, driver: Driver, link: Link) -> None:
        self._driver = driver
        self._link = link

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._link.transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._driver.received(self._link, data, addr)
        self._driver.pump()

    def error_received(self, exc: OSError) -> None:  # type: ignore[override]
        # Of which send is not said: the core learns by silence.
        self._driver.receive_errors += 1
