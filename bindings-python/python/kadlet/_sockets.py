"""UDP sockets of one asyncio loop for a `Driver`: one for each family."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable

from ._addresses import family_of, numeric, text_of
from ._clock import Alarm, Clock, slept
from ._driver import Driver, Timer
from ._http import Connected, Streams
from ._native import Node
from ._state import StateFile
from ._types import Address, Family, Path

BATCH = 64
"""Datagrams read in one turn of the loop, so that its other tasks get theirs."""

OUTBOX = 4096
"""Datagrams that wait for room in the system's buffer; what is more is lost, as on the way."""

RECEIVE_BUFFER = 1 << 20
"""Wanted size of the receive buffer, bytes: what arrives while a busy machine does something else."""

MTU = 1500

SAME_PORT = 5
"""So often a port is looked for that is free in both families."""

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
        self.outbox: deque[tuple[bytes, Address]] | None = None
        """What waits for room in the system's buffer: rarely anything, and an empty deque has 600
        bytes."""
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

    def reached_at(self) -> Address:
        """Where others reach it: a wildcard is no address that one could type elsewhere."""
        if self.bound[0] not in ("0.0.0.0", "::"):
            return self.bound
        v4 = self.family == "ipv4"
        with socket.socket(self.socket.family, socket.SOCK_DGRAM) as probe:
            try:
                # Connecting a UDP socket sends nothing; it asks for the route.
                probe.connect(("1.1.1.1" if v4 else "2606:4700:4700::1111", 53))
                outward = probe.getsockname()[0]
            except OSError:
                outward = "127.0.0.1" if v4 else "::1"
        return numeric(outward, self.bound[1])

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


class SocketDriver(Driver):
    """A node on sockets, in real time."""

    def __init__(self, node: Node, links: list[Link], state: StateFile | None) -> None:
        super().__init__(node, tuple(text_of(link.reached_at()) for link in links), state)
        self.send_errors = self.receive_errors = self.sends_lost = 0
        self._links = {link.number: link for link in links}
        self._clock = Clock(self.loop, slept)
        self._timer: Timer | None = None
        self._servers: list[asyncio.Server] = []

    def now(self) -> float:
        return self._clock.now()

    def path_to(self, address: Address) -> Path | None:
        for link in self._links.values():
            if link.reaches(address):
                return Path(address, link.number)
        return None

    async def start(self) -> None:
        """Begins to listen."""
        for link in self._links.values():
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

    def set_timer(self, deadline: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self.call_at(deadline, self.due)

    def received(self, link: Link, data: bytes, address: Address) -> None:
        """A datagram came. What is wrong with it is the sender's fault, and counted by the core."""
        self.node.handle_datagram(self.now(), Path(address, link.number), data)

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

    def send(self, path: Path, payload: bytes) -> None:
        link = self._links.get(path.link)
        if link is None:
            # A contact from a time when we had an address of its family.
            self.node.handle_path_failed(self.now(), path)
        elif link.transport is not None:
            link.transport.sendto(payload, path.remote)
        elif link.outbox is not None:
            if len(link.outbox) < OUTBOX:
                link.outbox.append((payload, path.remote))
            else:
                self.sends_lost += 1
        elif not self._send_now(link, payload, path.remote):
            link.outbox = deque([(payload, path.remote)])
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
            link.outbox = None
            self.loop.remove_writer(link.socket)
        self.pump()

    async def connect(self, to: Address) -> Streams:
        return await asyncio.open_connection(_host_of(to), to[1])

    async def serve(self, connected: Connected) -> int:
        for attempt in range(SAME_PORT, 0, -1):
            servers: list[asyncio.Server] = []
            port = 0
            try:
                # Announcements name one port for both families.
                for link in self._links.values():
                    host = _host_of(link.bound)
                    servers.append(await asyncio.start_server(connected, host, port))
                    port = servers[0].sockets[0].getsockname()[1]
                break
            except OSError:
                for server in servers:
                    server.close()
                if attempt == 1:
                    raise
        self._servers += servers
        return port

    def call_at(self, time: float, do: Callable[[], None]) -> Timer:
        return Alarm(self._clock, time, do)

    def close_sockets(self) -> None:
        for server in self._servers:
            server.close()
        for link in self._links.values():
            if link.transport is not None:
                link.transport.close()
            else:
                self.loop.remove_reader(link.socket)
                self.loop.remove_writer(link.socket)
                link.socket.close()


def _host_of(address: Address) -> str:
    """As `getaddrinfo` takes it, with the scope of a link-local address."""
    return f"{address[0]}%{address[3]}" if len(address) == 4 and address[3] else address[0]


class _Protocol(asyncio.DatagramProtocol):
    """For loops without `add_reader`."""

    def __init__(self, driver: SocketDriver, link: Link) -> None:
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
