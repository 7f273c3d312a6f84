"""HTTP/1.1 as far as files need it (docs/content.md), over streams of asyncio.

Nothing of a stranger is read without a limit. A redirect is followed nowhere, a body is read as far
as it was asked for and no farther.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

from ._addresses import Source, source_of
from ._types import Address
from .content import PIECE_LEN, HashList, RequestFailure, WantHashList, WantPiece

HEAD_LIMIT = 16 << 10
"""Longest head of a request or an answer, bytes."""

HEAD_TIMEOUT = 20.0
"""Whoever has sent no whole request head for so long is cut off, seconds."""

CONNECT_TIMEOUT = 5.0
"""A connection that does not come about in this time will not, seconds."""

CONNECTIONS = 256
"""Connections served at once; each may hold a piece in memory."""

OF_ONE_SOURCE = 64
"""Those of one source: as many as a relay has fetches under way, and a quarter of what there is."""

STALLED = 30.0
"""Whoever takes nothing of an answer for so long has gone, seconds; others wait for the place."""

PART = 16 << 10
"""Bytes written at once, each time with all of `STALLED` again: a slow reader is none that has
gone."""

IDLE = 8
"""Connections to one provider that are kept for the next request."""

BLOCK = 64 << 10
"""Bytes read at once."""


class Transport(Protocol):
    """What is below a `Writer`."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def abort(self) -> None: ...


class Writer(Protocol):
    """Where bytes are written to: `asyncio.StreamWriter`, or a pipe in memory."""

    @property
    def transport(self) -> Transport: ...
    def get_extra_info(self, name: str, default: Any = None) -> Any: ...
    def write(self, data: bytes, /) -> None: ...
    async def drain(self) -> None: ...
    def close(self) -> None: ...
    def is_closing(self) -> bool: ...


Streams: TypeAlias = tuple[asyncio.StreamReader, Writer]
Connected: TypeAlias = Callable[[asyncio.StreamReader, Writer], None]


class RequestError(Exception):
    """A request brought nothing; the provider, or the way there."""

    def __init__(self, failure: RequestFailure) -> None:
        super().__init__(failure)
        self.failure: RequestFailure = failure


class Content(Protocol):
    """Something that can be served."""

    hashes: HashList

    async def read(self, start: int, end: int) -> bytes:
        """The bytes of one range, which lies within one piece. OSError if they are not what they
        were."""


async def head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]] | None:
    """First line and fields of a message; None at the end of the stream or where it is none."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None
    first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            return None
        name = name.lower()
        # What comes twice is a list (RFC 9110, section 5.3).
        fields[name] = f"{fields[name]}, {value.strip()}" if name in fields else value.strip()
    return first, fields


# ---- the fetcher's side -------------------------------------------------------------------------


class Client:
    """Asks providers, and keeps connections for the next request."""

    def __init__(self, connect: Callable[[Address], Awaitable[Streams]]) -> None:
        self._connect_to = connect
        self._idle: dict[Address, list[Streams]] = {}

    async def get(
        self,
        provider: Address,
        content: bytes,
        want: WantHashList | WantPiece,
        progressed: Callable[[int], None],
    ) -> bytes:
        """The bytes of an answer; `progressed` is told how many came. Raises `RequestError`."""
        streams, fresh = await self._connection(provider)
        try:
            try:
                answer = await self._ask(streams, provider, content, want)
            except RequestError:
                # A connection that was kept may have been closed at the other end meanwhile.
                if fresh:
                    raise
                streams[1].close()
                streams = await self._connect(provider)
                answer = await self._ask(streams, provider, content, want)
            body, keep = await self._body(streams[0], *answer, want, progressed)
        except (OSError, EOFError):
            streams[1].close()
            raise RequestError("disconnected") from None
        except BaseException:
            streams[1].close()
            raise
        kept = self._idle.setdefault(provider, [])
        if keep and len(kept) < IDLE:
            kept.append(streams)
        else:
            streams[1].close()
        return body

    def close(self) -> None:
        """Closes what is kept."""
        for kept in self._idle.values():
            for _, writer in kept:
                writer.close()
        self._idle.clear()

    async def _connection(self, to: Address) -> tuple[Streams, bool]:
        kept = self._idle.get(to)
        while kept:
            streams = kept.pop()
            if not streams[0].at_eof() and not streams[1].is_closing():
                return streams, False
        return await self._connect(to), True

    async def _connect(self, to: Address) -> Streams:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await self._connect_to(to)
        except OSError:
            raise RequestError("unreachable") from None

    @staticmethod
    async def _ask(
        streams: Streams, provider: Address, content: bytes, want: WantHashList | WantPiece
    ) -> tuple[str, dict[str, str]]:
        reader, writer = streams
        host = f"[{provider[0]}]" if ":" in provider[0] else provider[0]
        match want:
            case WantHashList():
                path, extra = f"/blake3/{content.hex()}/hashes", ""
            case WantPiece(start=start, end=end):
                path, extra = f"/blake3/{content.hex()}", f"Range: bytes={start}-{end - 1}\r\n"
        request = f"GET {path} HTTP/1.1\r\nHost: {host}:{provider[1]}\r\n{extra}\r\n"
        try:
            writer.write(request.encode("ascii"))
            await writer.drain()
            answer = await head(reader)
        except OSError:
            answer = None
        if answer is None:
            raise RequestError("disconnected")
        return answer

    @staticmethod
    async def _body(
        reader: asyncio.StreamReader,
        line: str,
        fields: dict[str, str],
        want: WantHashList | WantPiece,
        progressed: Callable[[int], None],
    ) -> tuple[bytes, bool]:
        """The body as far as it was asked for, and whether the connection can be used again."""
        status = re.fullmatch(r"HTTP/1\.[01] (\d{3})(?: .*)?", line)
        match status and status[1], want:
            case "200", WantHashList(max_len=room):
                pass
            case "206", WantPiece(start=start, end=end):
                room = end - start
                if not fields.get("content-range", "").startswith(f"bytes {start}-{end - 1}/"):
                    raise RequestError("malformed")
            case "404" | "410", _:
                raise RequestError("not_found")
            case "429" | "503", _:
                raise RequestError("busy")
            case _:
                raise RequestError("malformed")
        length = fields.get("content-length", "")
        if not re.fullmatch(r"\d{1,18}", length) or "transfer-encoding" in fields:
            raise RequestError("malformed")
        left = min(int(length), room)
        whole = left == int(length)
        parts = []
        while left:
            part = await reader.read(min(left, BLOCK))
            if not part:
                raise RequestError("disconnected")
            parts.append(part)
            left -= len(part)
            progressed(len(part))
        body = b"".join(parts)
        if isinstance(want, WantPiece) and len(body) < room:
            raise RequestError("disconnected")
        keep = whole and fields.get("connection", "").lower() != "close"
        return body, keep and line.startswith("HTTP/1.1")


# ---- the provider's side ------------------------------------------------------------------------

CORS = (
    "Access-Control-Allow-Origin: *\r\n"
    "Access-Control-Allow-Headers: range\r\n"
    "Access-Control-Expose-Headers: content-range, content-length\r\n"
    "X-Content-Type-Options: nosniff\r\n"
)
"""Any page may fetch: contents are public, and who fetches them verifies them."""

REASONS = {
    200: "OK",
    204: "No Content",
    206: "Partial Content",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    416: "Range Not Satisfiable",
    503: "Service Unavailable",
}


class Server:
    """Serves contents to whoever connects."""

    def __init__(self, find: Callable[[bytes], Content | None]) -> None:
        self._find = find
        self._open: set[asyncio.Task[None]] = set()
        self._sources: Counter[Source] = Counter()
        self._closed = False

    async def close(self) -> None:
        """Cuts every connection."""
        self._closed = True
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    def connected(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        """Somebody connected."""
        peer = writer.get_extra_info("peername")
        source = source_of(peer[0]) if peer else None
        crowded = source is not None and self._sources[source] >= OF_ONE_SOURCE
        if self._closed:
            writer.close()
        elif crowded or len(self._open) >= CONNECTIONS:
            # So little always finds room: who is sent away holds no place meanwhile.
            writer.write(_answer_head(503, "Connection: close\r\n"))
            writer.close()
        else:
            # A drain then waits until the system has all of it, and not all but 64 KiB.
            writer.transport.set_write_buffer_limits(0)
            # A task of our own: that of asyncio's streams complains of its end when the node is
            # closed.
            task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
            self._open.add(task)
            if source is not None:
                self._sources[source] += 1
            task.add_done_callback(lambda task: self._ended(task, writer, source))

    def _ended(self, task: asyncio.Task[None], writer: Writer, source: Source | None) -> None:
        # To close in good order would wait for whoever takes nothing. What the system has goes out
        # all the same.
        writer.transport.abort()
        self._open.discard(task)
        if source is not None:
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]

    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        """Answers one connection until it ends."""
        try:
            while await self._answer(reader, writer):
                pass
        except OSError:
            # Somebody who goes away in the middle, sends nothing or takes nothing is no event here.
            pass

    async def _answer(self, reader: asyncio.StreamReader, writer: Writer) -> bool:
        """One request; whether another one may follow."""
        async with asyncio.timeout(HEAD_TIMEOUT):
            request = await head(reader)
        if request is None:
            return False
        line, fields = request
        said = re.fullmatch(r"([A-Z]+) (\S+) HTTP/1\.([01])", line)
        # A body is not read, and what follows it could not be told from it.
        bodied = "transfer-encoding" in fields or fields.get("content-length", "0") != "0"
        if said is None or bodied:
            await self._say(writer, 400, "Connection: close\r\n")
            return False
        method, target, minor = said.groups()
        keep = minor == "1" and fields.get("connection", "").lower() != "close"
        match method:
            case "GET" | "HEAD":
                await self._find_and_send(writer, method == "HEAD", target, fields.get("range"))
            case "OPTIONS":
                await self._say(writer, 204)
            case _:
                await self._say(writer, 405, "Allow: GET, HEAD, OPTIONS\r\n")
        return keep

    async def _find_and_send(
        self, writer: Writer, bare: bool, target: str, ranged: str | None
    ) -> None:
        path = re.fullmatch(r"/blake3/([0-9a-fA-F]{64})(/hashes)?", target)
        content = self._find(bytes.fromhex(path[1])) if path else None
        if path is None or content is None:
            await self._say(writer, 404)
            return
        # Bytes under a hash never change, nor does the list that the hash has.
        same = (
            "Content-Type: application/octet-stream\r\n"
            "Cache-Control: public, max-age=31536000, immutable\r\n"
            f'ETag: "{path[1].lower()}"\r\n'
        )
        if path[2]:
            hashes = content.hashes.encode()
            await self._say(writer, 200, same, len(hashes))
            if not bare:
                await _send(writer, hashes)
            return
        size = content.hashes.size()
        start, end, status = 0, size, 200
        if ranged is not None:
            found = parse_range(ranged, size)
            if found is None:
                await self._say(writer, 416, f"Content-Range: bytes */{size}\r\n")
                return
            (start, end), status = found, 206
            same += f"Content-Range: bytes {start}-{end - 1}/{size}\r\n"
        same += "Accept-Ranges: bytes\r\n"
        await self._say(writer, status, same, end - start)
        while start < end and not bare:
            part = min(end, (start // PIECE_LEN + 1) * PIECE_LEN)
            # If it can be read no more, the connection ends before the answer does.
            await _send(writer, await content.read(start, part))
            start = part

    @staticmethod
    async def _say(writer: Writer, status: int, fields: str = "", length: int = 0) -> None:
        await _send(writer, _answer_head(status, fields, length))


def _answer_head(status: int, fields: str = "", length: int = 0) -> bytes:
    text = f"HTTP/1.1 {status} {REASONS[status]}\r\n{CORS}{fields}Content-Length: {length}\r\n\r\n"
    return text.encode("ascii")


async def _send(writer: Writer, data: bytes) -> None:
    """Hands it to the system. TimeoutError if nothing of it is taken for a while."""
    for at in range(0, len(data), PART):
        writer.write(data[at : at + PART])
        async with asyncio.timeout(STALLED):
            await writer.drain()


def parse_range(value: str, size: int) -> tuple[int, int] | None:
    """One range of bytes (RFC 9110, section 14.1.2), the end exclusive; None if it cannot be
    satisfied, or is several."""
    found = re.fullmatch(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", value)
    match found and found.groups():
        case ("", ""):
            return None
        case ("", last):
            start, end = max(size - int(last), 0), size
        case (first, ""):
            start, end = int(first), size
        case (first, last):
            start, end = int(first), min(int(last) + 1, size)
        case _:
            return None
    return (start, end) if start < end else None
