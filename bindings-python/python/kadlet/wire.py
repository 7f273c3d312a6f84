"""The wire by itself: what a datagram says (docs/protocol.md), read and written. No policy, no state.

`decode` gives a `Message`, or in a word why the datagram is none: that is its sender's fault, and no
exception. Whether a value fits its key or a signature its value has not been looked at. `encode` raises
ValueError for what no datagram can say. `network` is a name, or None for BitTorrent's Mainline DHT.

>>> ping = Message(b"12345678", bytes(20), Query(Ping()))
>>> datagram = encode(ping, "example")
>>> len(datagram), decode(datagram, "example") == ping
(44, True)
>>> decode(datagram, "another")
'malformed_other_network'
>>> decode(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", None).body.method
Ping(nonce=None)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ._native import decode, encode
from ._types import Address, ErrorCode, Family, Item, Rejected, SearchEntry, SignedValue


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node as a message names it."""

    id: bytes
    address: Address
    capabilities: int = 0


@dataclass(frozen=True, slots=True)
class Peer:
    """A provider as a message names it."""

    address: Address
    transports: int = 0


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? `nonce`: a third node shows us that we are reachable."""

    nonce: int | None = None


@dataclass(frozen=True, slots=True)
class FindNode:
    """The contacts closest to the target."""


@dataclass(frozen=True, slots=True)
class GetProviders:
    """Who has the content? `page` is where to go on in a long list."""

    page: int = 0
    scrape: bool = False
    """Mainline: the filters of BEP 33 instead."""
    no_seeds: bool = False
    """Mainline: leave seeds out."""


@dataclass(frozen=True, slots=True)
class Announce:
    """The sender has the content, at `port` or at that of the datagram."""

    token: bytes
    port: int | None = None
    implied_port: bool = False
    """Mainline: the datagram's port counts."""
    transports: int = 0
    seed: bool = False
    """Mainline: the sender is complete."""


@dataclass(frozen=True, slots=True)
class Get:
    """The value under a key; `newer_than`: only a signed one with a greater sequence number."""

    newer_than: int | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """Keep this value."""

    token: bytes
    item: Item
    cas: int | None = None
    """Only if the stored sequence number is this."""
    age: int = 0
    """Seconds since its publisher last published it."""
    lifetime: int | None = None
    """Seconds it may be kept, for the copy on a lookup's path."""


@dataclass(frozen=True, slots=True)
class Search:
    """Search entries under a keyword's key, whose names carry these further words."""

    words: str = ""
    page: int = 0


@dataclass(frozen=True, slots=True)
class Publish:
    """Keep this search entry under the target."""

    token: bytes
    entry: SearchEntry


@dataclass(frozen=True, slots=True)
class Signal:
    """A few hundred bytes for the node with the target as its id."""

    origin: NodeInfo | None
    """Who sends it; filled in by the node that hands it on."""
    payload: bytes


@dataclass(frozen=True, slots=True)
class DialBack:
    """Have a node that I never contacted ping me with this nonce."""

    nonce: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Ping this address with this nonce."""

    address: Address
    nonce: int


@dataclass(frozen=True, slots=True)
class SampleKeys:
    """Mainline: a sample of the keys held (BEP 51)."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A method of a later version; `name` where the wire has names."""

    code: int
    name: bytes = b""


Method: TypeAlias = (
    Ping
    | FindNode
    | GetProviders
    | Announce
    | Get
    | Put
    | Search
    | Publish
    | Signal
    | DialBack
    | Probe
    | SampleKeys
    | Unknown
)


@dataclass(frozen=True, slots=True)
class Query:
    """A question, and what every find-style question may carry."""

    method: Method
    target: bytes | None = None
    """The point of the space it is about."""
    want: tuple[Family, ...] = ()
    """Families of the contacts wanted; none: that of the packet."""
    mask: int = 0
    """Only contacts that declared all of these bits are wanted."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Some of the keys that a node holds providers of (BEP 51)."""

    keys: tuple[bytes, ...]
    total: int
    """How many keys are held in all."""
    interval: int
    """Seconds until another sample is drawn."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: whatever of it applies."""

    nodes: tuple[NodeInfo, ...] = ()
    """Contacts close to the target."""
    providers: tuple[Peer, ...] = ()
    hits: tuple[SearchEntry, ...] = ()
    token: bytes | None = None
    """To show with a store."""
    item: Item | None = None
    seq: int | None = None
    """The stored sequence number, where the value itself was not wanted."""
    next_page: int | None = None
    unsupported: bool = False
    """The method was not known; the answer is that of `FindNode`."""
    short: bool = False
    """Shortened: ask again with the cookie."""
    method: int = 0
    """The number of what was asked; 0 where the wire does not say."""
    listed: tuple[Family, ...] = ()
    """Mainline: the families whose contacts were asked for."""
    seed_filter: bytes | None = None
    """Mainline: 256 bytes of BEP 33."""
    peer_filter: bytes | None = None
    samples: Samples | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no better answer."""

    code: ErrorCode
    number: int
    """The code on the wire; it is what is written."""
    text: str = ""
    method: int = 0
    seq: int | None = None
    """With `cas_mismatch` and `stale_sequence`: the number that is stored."""


Body: TypeAlias = Query | Response | Failure


@dataclass(frozen=True, slots=True)
class Message:
    """One datagram's content."""

    transaction: bytes
    """Chosen by the asker, echoed byte for byte: 8 bytes, on Mainline 1 to 20."""
    sender: bytes | None
    """The sender's id; absent only in Mainline's errors."""
    body: Body
    client: bool = False
    """The sender answers no queries and wants to be in nobody's table."""
    capabilities: int | None = None
    """What the sender says it can do."""
    cookie: bytes | None = None
    """8 bytes: in a query proof that answers arrive, in a response what to show next time."""
    observed: Address | None = None
    """In a response: the asker's address as the answerer saw it."""
    version: bytes | None = None
    """Mainline: the sender's program."""


__all__ = [
    "Announce",
    "Body",
    "DialBack",
    "Failure",
    "FindNode",
    "Get",
    "GetProviders",
    "Message",
    "Method",
    "NodeInfo",
    "Peer",
    "Ping",
    "Probe",
    "Publish",
    "Put",
    "Query",
    "Rejected",
    "Response",
    "SampleKeys",
    "Samples",
    "Search",
    "SearchEntry",
    "Signal",
    "SignedValue",
    "Unknown",
    "decode",
    "encode",
]
