"""A Kademlia distributed hash table: a node for asyncio, and the core's verbs.

`open_node` is a running node. For a loop of your own there is the core: give a `Node` time, bytes
and a seed; it gives back bytes, events and a deadline. It has no sockets, no clock, no threads and
no entropy. After any call that is given `now`, poll until the polls give `None`, and read
`poll_timeout` again. Parts of it are of use alone: `Id`, `RoutingTable`, `Lookup`, `kadlet.wire`,
`kadlet.content`.

The table knows who is close to a key, and who enters:

>>> table = RoutingTable(own=bytes(20), seed=bytes(32))  # a real seed is the system's entropy
>>> near, far = (Contact(bytes([n] * 20), Path(("127.0.0.1", n))) for n in (8, 200))
>>> [table.verified(1.0, contact, rtt=0.02) for contact in (near, far)]
['inserted', 'inserted']
>>> [contact.id[0] for contact in table.closest(bytes([9] * 20), count=20)]
[8, 200]

A lookup says whom to ask; a host would send a question where this one knows the answer:

>>> lookup = Lookup(target=bytes([9] * 20), own=bytes(20), families=["ipv4"])
>>> lookup.start([far])
>>> while isinstance(whom := lookup.next(), Contact):
...     named = [near] if whom == far else []
...     assert lookup.answered(whom.id, whom.path.remote, whom.capabilities, named)
>>> whom, [found.contact.id[0] for found in lookup.closest()]
('done', [8, 200])
"""

from . import content, testing, wire
from ._addresses import Attempt
from ._fetch import Fetched, FetchProgress
from ._id import Id, Key
from ._native import (
    Lookup,
    Node,
    RoutingTable,
    content_id_of,
    content_key_of,
    key_of,
    sign,
    signed_key_of,
)
from ._opening import open_node
from ._shares import Share
from ._types import (
    Address,
    AddressSeen,
    Admission,
    Answered,
    Asked,
    Bucket,
    Change,
    Config,
    Contact,
    Contacts,
    Done,
    Dropped,
    Enforce,
    Entry,
    ErrorCode,
    EstimateConfig,
    Event,
    Failed,
    Family,
    FetchConfig,
    Found,
    Health,
    Heard,
    Hit,
    Item,
    LimitConfig,
    LookupConfig,
    LookupProgress,
    Offline,
    OperationProgress,
    Outcome,
    Path,
    Peer,
    PeerFailure,
    Provider,
    Rate,
    Reachable,
    RecordRemoved,
    RecordsLost,
    RecordStored,
    Refused,
    Rejected,
    Renewed,
    RequestConfig,
    Role,
    SavedContact,
    SearchEntry,
    Signal,
    SignedValue,
    Started,
    Stats,
    StoreConfig,
    Stored,
    StoreStats,
    TableConfig,
    TableFailure,
    TokenConfig,
    Totals,
    Transmit,
    Value,
)
from .content import Link
from .errors import (
    BootstrapError,
    ClosedError,
    DhtError,
    InvalidRecord,
    InvalidState,
    NoAnswerError,
    NoPeersError,
    NoProvidersError,
    OverloadedError,
    QueryTimeout,
    QuorumError,
    RefusedError,
    StaleSequence,
    ValueTooLarge,
)
from .host import LookupStep, PutResult, Results, RunningNode

__all__ = [
    "Address",
    "AddressSeen",
    "Admission",
    "Answered",
    "Asked",
    "Attempt",
    "BootstrapError",
    "Bucket",
    "Change",
    "ClosedError",
    "Config",
    "Contact",
    "Contacts",
    "DhtError",
    "Done",
    "Dropped",
    "Enforce",
    "Entry",
    "ErrorCode",
    "EstimateConfig",
    "Event",
    "Failed",
    "Family",
    "FetchConfig",
    "FetchProgress",
    "Fetched",
    "Found",
    "Health",
    "Heard",
    "Hit",
    "Id",
    "InvalidRecord",
    "InvalidState",
    "Item",
    "Key",
    "LimitConfig",
    "Link",
    "Lookup",
    "LookupConfig",
    "LookupProgress",
    "LookupStep",
    "NoAnswerError",
    "NoPeersError",
    "NoProvidersError",
    "Node",
    "Offline",
    "OperationProgress",
    "Outcome",
    "OverloadedError",
    "Path",
    "Peer",
    "PeerFailure",
    "Provider",
    "PutResult",
    "QueryTimeout",
    "QuorumError",
    "Rate",
    "Reachable",
    "RecordRemoved",
    "RecordStored",
    "RecordsLost",
    "Refused",
    "RefusedError",
    "Rejected",
    "Renewed",
    "RequestConfig",
    "Results",
    "Role",
    "RoutingTable",
    "RunningNode",
    "SavedContact",
    "SearchEntry",
    "Share",
    "Signal",
    "SignedValue",
    "StaleSequence",
    "Started",
    "Stats",
    "StoreConfig",
    "StoreStats",
    "Stored",
    "TableConfig",
    "TableFailure",
    "TokenConfig",
    "Totals",
    "Transmit",
    "Value",
    "ValueTooLarge",
    "content",
    "content_id_of",
    "content_key_of",
    "key_of",
    "open_node",
    "sign",
    "signed_key_of",
    "testing",
    "wire",
]
