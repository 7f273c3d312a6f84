"""Content by itself: how a file is named, cut into pieces, checked, and fetched from people one
cannot trust. No sockets, no clock, no files; `RunningNode.share` and `RunningNode.fetch` are the
whole of it for asyncio.

A file's name is its BLAKE3 hash, 32 bytes. A piece is 1 MiB, and checked against the hash list. A
`Fetch` says which piece from whom next: after any call that is given `now` (seconds, as for
`kadlet.Node`), do what `poll_request` and `poll_cancel` say, read `poll_event` and `poll_timeout`.

>>> file = b"a file that somebody shares" * 60_000
>>> builder = HashListBuilder()
>>> builder.update(file)
>>> hashes = builder.finish()
>>> fetch = Fetch(FetchConfig(), hashes.id())
>>> holder = bytes(20)  # of an event `Provider`
>>> fetch.provider_found(0.0, ("10.0.0.1", 8080), holder)
True
>>> fetch.no_more_providers(0.0)
>>> got = bytearray(len(file))
>>> while (request := fetch.poll_request()) is not None:
...     match request.want:  # a host asks over HTTP; this one is the provider too
...         case WantHashList():
...             assert fetch.list_received(0.0, request.id, hashes.encode()) == "accepted"
...         case WantPiece(start=start, end=end):
...             assert fetch.piece_received(0.0, request.id, file[start:end]) == "accepted"
...             got[start:end] = file[start:end]
>>> bytes(got) == file, fetch.is_over()
(True, True)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ._native import (
    Fetch,
    HashList,
    HashListBuilder,
    content_id_of,
    content_key_of,
    decode_resume,
    encode_resume,
    format_link,
    parse_link,
    safe_file_name,
)
from ._types import Address, FetchConfig  # noqa: F401  (the example's)

PIECE_LEN = 1 << 20
"""Length of a piece in bytes; the last one of a file may be shorter."""

MAX_SIZE = 1 << 48
"""The largest file that any hash list can speak of, bytes."""


@dataclass(frozen=True, slots=True)
class Link:
    """What people pass around: what the content is, and what its writer says of it.

    >>> link = Link(content_id_of(b"hello"), "hello & welcome.txt", 5, (("127.0.0.1", 4242),))
    >>> str(link).partition("&")[2]
    'dn=hello%20%26%20welcome.txt&xl=5&x.pe=127.0.0.1:4242'
    >>> Link.parse(str(link)) == link
    True
    """

    id: bytes
    """The BLAKE3 hash of the content, 32 bytes."""
    name: str | None = None
    """What the writer calls it; no safe file name: see `safe_file_name`. At most 255 bytes."""
    size: int | None = None
    """Its size in bytes, as the writer says."""
    contacts: tuple[Address, ...] = ()
    """Nodes to join the network through, at most 16."""

    @staticmethod
    def parse(text: str) -> Link:
        """Reads `magnet:?xt=urn:blake3:…`. Raises ValueError, which says what is wrong."""
        if not isinstance(text, str):
            raise TypeError(f"a link is a str or Link, this is {type(text).__name__}")
        return parse_link(text)

    def __str__(self) -> str:
        return format_link(self)


@dataclass(frozen=True, slots=True)
class Resume:
    """What is kept beside a partial file. `encode_resume` makes bytes of it."""

    id: bytes
    """What is being fetched."""
    size: int
    """Its size in bytes."""
    have: tuple[int, ...]
    """The pieces that are there, ascending."""


@dataclass(frozen=True, slots=True)
class WantHashList:
    """The hash list: `GET /blake3/<hex>/hashes`."""

    max_len: int
    """Read no more than so many bytes, and hand in what was read."""


@dataclass(frozen=True, slots=True)
class WantPiece:
    """A piece: `GET /blake3/<hex>` with `Range`."""

    index: int
    """Its number, from 0."""
    start: int
    """Its first byte in the file."""
    end: int
    """The byte behind its last."""


@dataclass(frozen=True, slots=True)
class Request:
    """Something to ask a provider for."""

    id: int
    """Names the request in what the host says of it."""
    provider: Address
    """Whom to ask."""
    want: WantHashList | WantPiece
    """What for."""


Verdict: TypeAlias = Literal["accepted", "rejected", "unwanted"]
"""What became of bytes handed in: only accepted ones may be written. Rejected: they were wrong, and
the provider has been dropped. Unwanted: nobody waits for them any more."""

RequestFailure: TypeAlias = Literal[
    "unreachable", "disconnected", "not_found", "busy", "malformed", "silent", "too_slow"
]
"""Why a request brought nothing; the last two are the machine's own words."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a provider is not asked again."""

    kind: Literal["wrong_list", "wrong_size", "too_large", "wrong_piece", "not_found", "failing"]
    """The reason."""
    text: str
    """The reason in words, behind the provider's name: “gave wrong bytes for piece 3”."""
    is_lie: bool
    """Whether it gave wrong bytes, rather than none."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class ListVerified:
    """The hash list and with it the size are certain."""

    provider: Address
    size: int
    pieces: int


@dataclass(frozen=True, slots=True)
class PieceVerified:
    """A piece was verified."""

    provider: Address
    index: int


@dataclass(frozen=True, slots=True)
class ProviderRejected:
    """A provider is not asked again."""

    provider: Address
    reason: Rejection


@dataclass(frozen=True, slots=True)
class Done:
    """Every piece is there. The last event."""


@dataclass(frozen=True, slots=True)
class Failed:
    """No provider is left and none will come. The last event."""

    providers: tuple[tuple[Address, Rejection], ...]


FetchEvent: TypeAlias = ListVerified | PieceVerified | ProviderRejected | Done | Failed


@dataclass(frozen=True, slots=True)
class ProviderStats:
    """One provider as a fetch sees it."""

    addr: Address
    verified: int
    """Pieces it gave that were verified."""
    in_flight: int
    """Requests in flight to it."""
    rate: int | None
    """Its measured rate in bytes a second; None before the first measurement."""
    failures: int
    """Its failures in a row."""


__all__ = [
    "MAX_SIZE",
    "PIECE_LEN",
    "Done",
    "Failed",
    "Fetch",
    "FetchEvent",
    "HashList",
    "HashListBuilder",
    "Link",
    "ListVerified",
    "PieceVerified",
    "ProviderRejected",
    "ProviderStats",
    "Rejection",
    "Request",
    "RequestFailure",
    "Resume",
    "Verdict",
    "WantHashList",
    "WantPiece",
    "content_id_of",
    "content_key_of",
    "decode_resume",
    "encode_resume",
    "format_link",
    "parse_link",
    "safe_file_name",
]
