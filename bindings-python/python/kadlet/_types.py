"""What crosses the boundary: frozen values, to be matched by class and field.

Ids and keys are 20 bytes. Moments and durations are seconds. The order of the fields is the one in
which `src/convert.rs` gives them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ._config import AddressIds as AddressIds
from ._config import Config as Config
from ._config import Enforce as Enforce
from ._config import EstimateConfig as EstimateConfig
from ._config import FetchConfig as FetchConfig
from ._config import LimitConfig as LimitConfig
from ._config import LookupConfig as LookupConfig
from ._config import Rate as Rate
from ._config import RequestConfig as RequestConfig
from ._config import Role as Role
from ._config import StoreConfig as StoreConfig
from ._config import TableConfig as TableConfig
from ._config import TokenConfig as TokenConfig

Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
"""An address as the `socket` module has it: two fields for IPv4, four for IPv6."""

Family: TypeAlias = Literal["ipv4", "ipv6"]


@dataclass(frozen=True, slots=True)
class Path:
    """Where a datagram came from or goes to."""

    remote: Address
    """The other end."""
    link: int = 0
    """Which of our sockets."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A node as others are told of it."""

    id: bytes
    path: Path
    capabilities: int = 0
    """What it says it can do: 1 keeps records, 2 hands on signals."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody who was asked; the id of a bootstrap address is not known before it answers."""

    id: bytes | None
    path: Path


@dataclass(frozen=True, slots=True)
class Transmit:
    """A datagram to be sent now."""

    path: Path
    payload: bytes


@dataclass(frozen=True, slots=True)
class SignedValue:
    """A value that the owner of a key pair may replace; `sign` makes them."""

    public_key: bytes
    salt: bytes
    seq: int
    value: bytes
    signature: bytes
    extra: bytes = b""


Item: TypeAlias = bytes | SignedValue
"""An immutable value is its bytes."""


@dataclass(frozen=True, slots=True)
class SearchEntry:
    """A file with this name, size in bytes and BLAKE3 hash of its content (32 bytes)."""

    name: str
    size: int
    content: bytes
    extra: bytes = b""


Rejected: TypeAlias = Literal[
    "malformed_not_ours",
    "malformed_other_version",
    "malformed_other_network",
    "malformed_too_long",
    "malformed_truncated",
    "malformed_trailing",
    "malformed_bad_number",
    "malformed_missing",
    "malformed_bad_field",
    "malformed_duplicate",
    "malformed_too_deep",
    "malformed_critical",
    "bad_source",
    "own_id",
    "unsolicited",
    "wrong_address",
    "wrong_id",
    "rate_limited",
    "closed",
]
"""Why a datagram was dropped: its sender's fault, counted in `Stats.rejected`."""

ErrorCode: TypeAlias = Literal[
    "generic",
    "server",
    "protocol",
    "unknown_method",
    "value_too_large",
    "bad_signature",
    "salt_too_large",
    "cas_mismatch",
    "stale_sequence",
    "bad_token",
    "no_room",
    "other",
]
"""Why a peer refused; `other` is a number of a later version."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal: the reason's name and number, and the sequence number held, where it matters."""

    code: ErrorCode
    number: int
    seq: int | None


PeerFailure: TypeAlias = (
    Literal[
        "timeout", "path_failed", "wrong_id", "invalid", "ourselves", "no_token", "other_network"
    ]
    | Refused
)

Outcome: TypeAlias = (
    Literal[
        "success", "absent", "no_peers", "no_answer", "cancelled", "deadline_exceeded", "overloaded"
    ]
    | Refused
)


@dataclass(frozen=True, slots=True)
class Totals:
    """What an operation cost."""

    asked: int
    answered: int
    failed: int
    found: int
    stored: int
    store_attempts: int
    hops: int
    datagrams: int
    bytes_sent: int
    bytes_received: int
    elapsed: float


@dataclass(frozen=True, slots=True)
class Started:
    """An operation began."""

    operation: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of the operation went out."""

    operation: int
    peer: Peer


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer came, after `rtt` seconds, and named these contacts."""

    operation: int
    peer: Peer
    rtt: float
    named: tuple[Contact, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """No usable answer will come from this peer."""

    operation: int
    peer: Peer
    reason: PeerFailure


@dataclass(frozen=True, slots=True)
class Provider:
    """Somebody has the content. Transports: 1 HTTP, 2 a WebRTC data channel."""

    operation: int
    address: Address
    transports: int
    holder: bytes


@dataclass(frozen=True, slots=True)
class Value:
    """A value, checked against its key and signature."""

    operation: int
    item: Item
    holder: bytes


@dataclass(frozen=True, slots=True)
class Hit:
    """A file whose name carries all the words."""

    operation: int
    entry: SearchEntry
    holder: bytes


@dataclass(frozen=True, slots=True)
class Swarm:
    """How many peers a swarm has (Mainline, BEP 33): estimates over all that answered."""

    operation: int
    seeds: int
    """Those that have all of it."""
    peers: int
    """The others."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Some of the keys that a node holds providers of (Mainline, BEP 51)."""

    operation: int
    peer: Peer
    keys: tuple[bytes, ...]
    """Drawn at random."""
    total: int
    """How many it holds in all."""
    interval: float
    """Seconds until it draws others; it is not asked again before."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A holder acknowledged a record."""

    operation: int
    peer: Peer
    key: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """The operation ended; nothing of it comes after this."""

    operation: int
    outcome: Outcome
    closest: tuple[Contact, ...]
    totals: Totals


@dataclass(frozen=True, slots=True)
class Renewed:
    """A renewal went otherwise than the time before; without holders it is tried again soon."""

    operation: int
    outcome: Outcome
    stored: int


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal from another node."""

    from_: Contact
    payload: bytes


@dataclass(frozen=True, slots=True)
class AddressSeen:
    """Several nodes agree that this is our address, seen from outside."""

    address: Address


@dataclass(frozen=True, slots=True)
class Reachable:
    """Whether strangers reach us."""

    address: Address
    reachable: bool


@dataclass(frozen=True, slots=True)
class Offline:
    """Nothing answers any more, or something does again."""

    offline: bool


Event: TypeAlias = (
    Started
    | Asked
    | Answered
    | Failed
    | Provider
    | Value
    | Hit
    | Swarm
    | Sample
    | Stored
    | Done
    | Renewed
    | Signal
    | AddressSeen
    | Reachable
    | Offline
)


@dataclass(frozen=True, slots=True)
class Contacts:
    """Contacts came or went: export the state when convenient."""


@dataclass(frozen=True, slots=True)
class RecordStored:
    """Keep this record under this name, with the time at which it was written."""

    name: bytes
    record: bytes


@dataclass(frozen=True, slots=True)
class RecordRemoved:
    """Drop what has this name."""

    name: bytes


@dataclass(frozen=True, slots=True)
class RecordsLost:
    """More changes than the journal holds: replace everything by `Node.export_state`."""


Change: TypeAlias = Contacts | RecordStored | RecordRemoved | RecordsLost


@dataclass(frozen=True, slots=True)
class Entry:
    """A contact and what the table knows of it."""

    contact: Contact
    seen: float
    rtt: float | None
    failures: int
    live: bool


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket: `depth` leading bits are those of `first`."""

    depth: int
    first: bytes
    refreshed: float
    contacts: tuple[Entry, ...]
    replacements: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class OperationProgress:
    """How far an operation is; `remaining` seconds to its deadline."""

    totals: Totals
    in_flight: int
    remaining: float


@dataclass(frozen=True, slots=True)
class Health:
    """How the node is."""

    contacts: dict[Family, int]
    offline: bool
    server: bool
    reachable: bool | None
    network_size: int | None
    records: int
    publications: int
    operations: int


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters since the node was made."""

    datagrams_in: int
    bytes_in: int
    datagrams_out: int
    bytes_out: int
    queries_answered: int
    answers: int
    timeouts: int
    shortened: int
    transmits_lost: int
    events_lost: int
    operations: int
    rejected: dict[Rejected, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dropped:
    """What limits per source made the node drop, by what it would have cost."""

    queries: int
    stored: int
    signatures: int
    candidates: int
    questions: int


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What is kept for others, and what became of what was to be kept."""

    values: int
    copies: int
    signed: int
    providers: int
    entries: int
    bytes: int
    sources: int
    evicted: int
    expired: int
    refused_expired: int
    refused_foreign: int
    refused_stale: int
    refused_cas: int
    refused_quota: int
    refused_full: int


Admission: TypeAlias = Literal[
    "inserted",
    "updated",
    "replacement",
    "own_id",
    "id_taken",
    "address_taken",
    "prefix_in_bucket",
    "prefix_in_table",
    "full",
]
"""What became of a contact that answered: it is in the table, was there, waits for a place, or is
refused for the reason named."""

Heard: TypeAlias = Literal["touched", "candidate", "ignored"]
"""What became of a node that spoke unasked; a candidate is offered by `next_ping`."""

TableFailure: TypeAlias = int | Literal["ignored", "stale", "dropped"] | Contact
"""What became of a contact that did not answer: how often that was in a row; nothing counted; it
is stale and keeps its place for want of a replacement; it was only a replacement and is gone; it
gave way to this contact."""


@dataclass(frozen=True, slots=True)
class SavedContact:
    """A contact as it is saved over a restart."""

    contact: Contact
    age: float
    """How long ago it was last seen, told up to nine hours."""
    rtt: float | None
    """How long its last answer took."""


@dataclass(frozen=True, slots=True)
class Found:
    """A contact that answered a lookup."""

    contact: Contact
    hop: int
    """How many questions it took to reach it, its own included."""


@dataclass(frozen=True, slots=True)
class LookupProgress:
    """How far a lookup is."""

    asked: int
    answered: int
    failed: int
    in_flight: int
    hops: int
    """The hop of the closest that answered."""
    cut_short: bool
    """Whether a path stopped at its limit of questions."""
