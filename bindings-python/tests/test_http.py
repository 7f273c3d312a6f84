"""Places at the server of files: who holds one, and for how long."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from kadlet import _http, content
from kadlet._addresses import source_of

from .loops import run


class Zeros:
    """A content of zeros."""

    def __init__(self, size: int) -> None:
        builder = content.HashListBuilder()
        builder.update(bytes(size))
        self.hashes = builder.finish()

    async def read(self, start: int, end: int) -> bytes:
        return bytes(end - start)

    def request(self) -> bytes:
        target = f"/blake3/{self.hashes.id().hex()}"
        return f"GET {target} HTTP/1.1\r\nConnection: close\r\n\r\n".encode()


class Peer:
    """Somebody at this address who asks what he is told to, and what he is answered."""

    def __init__(self, host: str) -> None:
        self.reader = asyncio.StreamReader()
        self.transport = self
        self.heard = b""
        self.gone = False
        self._host = host

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self._host, 1) if name == "peername" else default

    def write(self, data: bytes, /) -> None:
        self.heard += data

    async def drain(self) -> None:
        pass

    def close(self) -> None:
        self.gone = True

    def abort(self) -> None:
        self.gone = True

    def is_closing(self) -> bool:
        return self.gone


class Served:
    """A content at a port of its own, and one connection there, of which the system holds little."""

    def __init__(self, size: int) -> None:
        self.zeros = Zeros(size)
        self.server = _http.Server({self.zeros.hashes.id(): self.zeros}.get)
        self.writers: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        self.socket = socket.socket()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ours = writer.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.server.connected(reader, writer)
        self.writers.put_nowait(writer)

    async def __aenter__(self) -> "Served":
        self._listening = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        loop, address = asyncio.get_running_loop(), self._listening.sockets[0].getsockname()
        await loop.sock_connect(self.socket, address)
        await loop.sock_sendall(self.socket, self.zeros.request())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.socket.close()
        self._listening.close()
        await self.server.close()


LOOPS = [asyncio.SelectorEventLoop, uvloop.new_event_loop]


@pytest.mark.parametrize("loop", LOOPS)
def test_whoever_does_not_read_loses_his_place(
    monkeypatch: pytest.MonkeyPatch, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    monkeypatch.setattr(_http, "STALLED", 0.05)

    async def test() -> None:
        async with Served(content.PIECE_LEN) as served:
            writer = await served.writers.get()
            [place] = served.server._open
            await asyncio.wait([place])
            # Nor does the system go on to offer him the rest.
            await writer.wait_closed()
            assert not served.server._open

    run(test(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_whoever_reads_to_the_end_has_all_of_it(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def test() -> None:
        async with Served(content.PIECE_LEN + 5) as served:
            here, heard = asyncio.get_running_loop(), bytearray()
            while part := await here.sock_recv(served.socket, 64 << 10):
                heard += part
            # The connection's end is the answer's.
            assert heard.partition(b"\r\n\r\n")[2] == bytes(content.PIECE_LEN + 5)

    run(test(), loop)


class Jumping(asyncio.SelectorEventLoop):
    """A loop whose time goes on when it is told to."""

    at = 0.0

    def time(self) -> float:
        return self.at


def test_whoever_reads_slowly_has_all_the_time_again() -> None:
    loop = Jumping()

    class Slow(Peer):
        """Takes each part of an answer when so much time has passed."""

        takes = 0.9 * _http.STALLED

        async def drain(self) -> None:
            loop.at += self.takes
            # Time for what is due by then.
            for _ in range(3):
                await asyncio.sleep(0)

    async def asked(takes: float) -> bytes:
        slow, zeros = Slow("127.0.0.1"), Zeros(20 * _http.PART)
        slow.takes = takes
        server = _http.Server({zeros.hashes.id(): zeros}.get)
        server.connected(slow.reader, slow)
        slow.reader.feed_data(zeros.request())
        slow.reader.feed_eof()
        await asyncio.wait(server._open)
        assert slow.gone and not server._open
        return slow.heard.partition(b"\r\n\r\n")[2]

    async def test() -> None:
        assert await asked(0.9 * _http.STALLED) == bytes(20 * _http.PART)
        assert await asked(1.1 * _http.STALLED) == b""

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(test())


def test_a_source_has_a_quarter_of_the_places() -> None:
    async def test() -> None:
        server = _http.Server(lambda _: None)

        def come(*hosts: str) -> list[Peer]:
            """Those who are taken in."""
            peers = [Peer(host) for host in hosts]
            for peer in peers:
                server.connected(peer.reader, peer)
                assert peer.gone == peer.heard.startswith(b"HTTP/1.1 503 ")
            return [peer for peer in peers if not peer.gone]

        many = come(*(f"8.8.8.{n}" for n in range(100)))
        assert len(many) == _http.OF_ONE_SOURCE
        assert not come("8.8.8.8", "::ffff:8.8.8.9")
        assert come("8.8.9.8", "2001:4860::1", "192.168.1.1"), "others have their places"
        # Whoever leaves makes room for one.
        places = set(server._open)
        many[0].reader.feed_eof()
        await asyncio.wait(places, return_when=asyncio.FIRST_COMPLETED)
        assert many[0].gone
        assert len(come("8.8.8.8", "8.8.8.9")) == 1
        # And so for all of them together, where one prefix is everybody.
        here = come(*["127.0.0.1"] * _http.CONNECTIONS)
        assert len(here) > _http.OF_ONE_SOURCE and len(server._open) == _http.CONNECTIONS
        assert not come("9.9.9.9")
        await server.close()
        assert all(peer.gone for peer in many + here)
        assert not server._open and not server._sources

    run(test())


def test_sources_are_those_of_the_core() -> None:
    def source(host: str) -> str:
        return str(source_of(host))

    assert source("8.8.8.8") == source("::ffff:8.8.8.9") == "8.8.8.0/24"
    assert source("2a00:1:2:3::4") == "2a00:1:2::/48"
    for local in (
        "127.9.9.9",
        "10.1.2.3",
        "100.127.0.1",
        "169.254.1.1",
        "172.31.0.1",
        "192.168.1.1",
        "::1",
        "fd00::1",
        "fe80::1%lo",
        "::ffff:10.0.0.1",
    ):
        assert source_of(local) is None, local
    for public in ("100.128.0.1", "172.32.0.1", "11.0.0.1", "::2", "2001::1"):
        assert source_of(public) is not None, public
