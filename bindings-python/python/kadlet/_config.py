"""Every number of the protocol, with its reason and its default: those of the core, one to one.

Durations are seconds. Read the docstrings before changing one: `dataclasses.replace` gives a copy
with other values. `tests/test_surface.py` holds names and defaults against the core's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Role: TypeAlias = Literal["auto", "client", "server"]
"""Whether others may rely on us. auto: server on loopback and private networks; on public ones
client until a stranger, asked by one of our contacts, has reached us. client: never in anybody's
table. server: in others' tables from the start."""

AddressIds: TypeAlias = Literal["ignore", "prefer", "enforce"]
"""What is made of ids that do not follow from their node's address (BEP 42). ignore: nothing.
prefer: ours follows from our address once that is known; in a full bucket a node with such an id
takes the place of one without. enforce: nodes without are served and no more; they get no token,
have no place in the table and do not count in lookups."""

Enforce: TypeAlias = Literal["nobody", "public", "everybody"]
"""Against whose addresses limits per source hold; public spares loopback and private ranges."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: so much per second in the long run, so much at once."""

    per_second: int
    """Units per second. 0: only the first burst, ever."""
    burst: int
    """Units at once, after a rest of `burst / per_second` seconds."""


@dataclass(frozen=True, slots=True)
class TableConfig:
    """The numbers of one `RoutingTable`. What the table can grow to follows from them: every
    bucket holds at most `k` contacts and `replacements`, and there is one bucket for each level
    down to `max_depth`, 2^`b` - 1 where the accelerated rule splits."""

    k: int = 20
    """Contacts in a bucket, and how many make a neighbourhood; 1 to 64. 20 as in the paper: that
    all of them leave within the hour is then practically impossible (section 2.1). Mainline uses
    8."""
    b: int = 1
    """Bits a hop gains, the paper's *b* (section 4.2, accelerated lookups); 1 to 8. At 1 the table
    is the plain one. Hops fall from log2 n to log2 n / b and contacts grow with 2^b / b."""
    max_depth: int = 64
    """Levels the table splits down to; at most 64. Who chooses ids chooses depth, so it has an
    end; a network needs 2^64 nodes before it needs level 64."""
    neighbourhood: int = 8
    """The relaxed rule keeps every contact of the smallest subtree around the own id that holds
    `k`, but splits nothing there any more once it holds this many times `k`: ids can be minted
    next to ours at will, while with random ids more than 8 k there does not happen."""
    replacements: int = 4
    """Contacts that wait for a place in one full bucket. 4: they cost as much memory as contacts,
    and a bucket seldom loses more between two that come by."""
    candidates: int = 16
    """Nodes that spoke to us unasked and wait for our ping, in the whole table. Each leaves with
    its ping, so 16 last for a burst and a flood fills no memory."""
    stale_after: int = 5
    """Consecutive failures that make a contact stale, so that it gives way to a replacement; 1 to
    15. 5 as in the paper (section 4.1)."""
    doubtful_after: int = 1
    """Consecutive failures from which a contact is not handed on; at least 1. 1: half of the
    addresses in the replies of deployed networks are dead, because others hand on what they
    doubt."""
    backoff: float = 15.0
    """How long a contact that failed is left alone; doubles with every further failure. 15 s: as
    long as the slowest answer takes."""
    max_backoff: float = 3600.0
    """The longest such pause; at most 9 hours, which is what a packed contact can tell. 1 h, so
    that a stale contact nobody replaces costs a ping an hour."""
    questionable_after: float = 900.0
    """A contact not heard of for so long is pinged, and a replacement not heard of for so long is
    pinged before it is promoted; at most 9 hours. Where contacts are found dead the table waits
    shorter, down to a third of it. 15 min as in BEP 5."""
    ping_timeout: float = 30.0
    """How long a ping given out by `next_ping` bars others for its bucket, should its outcome
    never be reported. 30 s: longer than any request lives."""
    refresh_after: float = 3600.0
    """A bucket that saw no lookup for so long (less up to a quarter, to spread them) is refreshed.
    1 h as in the paper; Mainline: 15 min."""
    refresh_spacing: float = 10.0
    """The shortest time between two refreshes. 10 s: after a suspension all buckets are due at
    once, and a lookup takes a few seconds."""
    per_prefix_in_bucket: int = 2
    """Contacts of one `Prefix` in one bucket, replacements included. 2: one owner of addresses
    must not own a bucket."""
    per_prefix_in_table: int = 10
    """Contacts of one `Prefix` in the table. 10, as libtorrent and go-libp2p do in like manner."""
    limit_private: bool = False
    """Whether these two also hold for addresses that are not public. Off: an office is one prefix,
    and a machine with many nodes is one address."""


@dataclass(frozen=True, slots=True)
class LookupConfig:
    """One iterative lookup (`Lookup`)."""

    k: int = 20
    """k: how many contacts a lookup looks for, per address family and path. 20 as in the paper:
    that all twenty leave within an hour is improbable. At least 1. An answer names at most 20 of
    a family, so that of more a lookup may miss some."""
    alpha: int = 4
    """α: questions in flight per path, as long as answers bring closer contacts. 4: a tenth faster
    under churn than the paper's 3, for a tenth more questions; silent contacts give their slot back
    early, so more buys little time. At least 1."""
    paths: int = 1
    """d: disjoint paths (S/Kademlia, section 4.4), 1 to 16. Traffic grows linearly with it. 1,
    which is the plain lookup of the Kademlia paper."""
    candidates: int = 128
    """Contacts heard of and not yet asked, per path and address family; the farthest gives way.
    128: six full answers, of which a lookup follows up the best few. At least `k` times
    `addresses_per_id`, so that none of the k closest is ever dropped."""
    addresses_per_id: int = 3
    """Addresses of one id that wait to be asked, per path. 3: hearsay may give an id a false
    address or two, and the true one must find room; more would let one id fill the list."""
    questions: int = 400
    """Questions one path may ask in all. 400: five times a lookup of 20 with half of the contacts
    dead; a swarm that names ever closer contacts which do not exist gets no more."""
    region: int = 80
    """Contacts beyond the k closest that a widened lookup asks, per family and path. 80, four
    times k: a region under a denser attack is cut off here."""
    per_prefix: int = 4
    """Contacts of one `Prefix` that one lookup follows; 0 for no limit. 4: who holds one block of
    addresses does not fill the k closest, but neighbours in one network remain."""
    spare_local: bool = True
    """Whether `per_prefix` spares loopback and private addresses, where one prefix is the whole
    network. True."""
    credit: int = 4
    """Contacts that may be silent, or somebody else, of those that somebody names in one lookup and
    of which none answered; then whom such ones alone name is asked last. 0: nobody is judged by
    whom it names, and contacts that somebody invents can hold a lookup up until its deadline. 4: an
    honest answer whose first four contacts are dead is rare, and each that answers makes up for
    three."""
    beside: int = 16
    """Where more than a quarter of the k closest are silent or failed: so many of those that
    answered are asked besides about each subtree of which the dead have crowded somebody out of the
    answers, and half as many again once the lookup is over; 0 for none. 16: with half of all
    contacts dead 599 of 600 lookups end with exactly the k closest, 587 with 8, and 349 without.
    Mainline: 8, as answers there have eight places, and more help no more."""


@dataclass(frozen=True, slots=True)
class EstimateConfig:
    """The network-size estimate (`Estimate`)."""

    samples: int = 32
    """Lookups whose density is remembered; the estimate is their median. 32: the median of samples
    that scatter by 23 % (k = 20) scatters by 5 %, and an attacker must sit at 16 random
    targets."""
    enough: int = 3
    """Lookups before there is an estimate. 3, of which one that somebody crowds is outvoted: a
    join alone makes as many in a network of a hundred, and who joined just now is to store
    under protection too."""
    closest: int = 5
    """Contacts a lookup must have found to be a sample. 5: fewer scatter by more than half."""


@dataclass(frozen=True, slots=True)
class RequestConfig:
    """Outstanding requests and their timeouts (`Requests`)."""

    outstanding: int = 4096
    """Requests outstanding at once. 4096: at the hard timeout of 2 s this is 2,000 silent contacts
    a second, more than any lookup schedule; some 500 kB when full."""
    transaction_bytes: int = 8
    """Bytes of a transaction id, 1 to 8. 8 on the native wire: not to be guessed even by somebody
    who sends a million answers. Mainline nodes echo any length, 4 is what its programs expect at
    most."""
    short_initial: float = 0.5
    """The short timeout, after which a lookup asks somebody else meanwhile, before anything was
    measured. 500 ms: the median round trip is 156 ms, 99 % are below 520."""
    short_min: float = 0.05
    """Least short timeout. 50 ms: below it the scheduling of the host is measured, not the
    network."""
    short_max: float = 1.5
    """Greatest short timeout. 1.5 s: a lookup must go on, whatever the peers do."""
    short_quantile: int = 900
    """The quantile of measured round trips the short timeout follows, in thousandths. 900."""
    short_percent: int = 125
    """The short timeout in percent of that quantile. 125: 95 % of the answers come before it."""
    silent_percent: int = 250
    """The silent timeout, after which nobody waits for the answer any more though it still counts, in
    percent of the 99th percentile of round trips. 250: one answer in fifty thousand comes later,
    and a lookup among dead contacts waits no longer than it must. What is repeated is waited for
    until the last repetition is slow."""
    silent_from: int = 10
    """Of a thousand requests so many must have died of late before silence is taken for death. 10:
    where contacts do not die, a silent one is slow, and is waited for until the hard timeout."""
    hard_initial: float = 5.0
    """The hard timeout, after which a request is dead, before anything was measured. 5 s."""
    hard_min: float = 1.0
    """Least hard timeout. 1 s, as TCP's least (RFC 6298): long enough for one lost and repeated
    packet of a link below us, and where everybody is near a dead contact holds nobody up for
    longer."""
    hard_max: float = 10.0
    """Greatest hard timeout. 10 s, the constant of most others."""
    hard_percent: int = 400
    """The hard timeout in percent of the 99th percentile of round trips. 400."""
    repeats: int = 3
    """How often a slow request is sent again before its hard timeout, at most 4. 3: a datagram or
    its answer is lost once in 25 times where one in fifty datagrams is, and a lookup waits for
    twenty answers. With three in a row lost it would miss one of them once in 700 times, with four
    once in 20,000. On Mainline 0: BEP 5 knows none."""
    samples: int = 16
    """Round trips to be measured before the short timeout follows them. 16: the 90th percentile of
    fewer is noise."""
    hard_samples: int = 4
    """Round trips to be measured before the hard timeout follows them. 4: four times the longest of
    few says little, but more than no measurement does."""
    memory: int = 512
    """Round trips after which what was measured counts half. 512: some twenty lookups, so that a
    new network is known within minutes."""
    offline_after: int = 10
    """Silent requests in a row after which it is we who are offline (rule of kademlia.md). 10."""


@dataclass(frozen=True, slots=True)
class TokenConfig:
    """Write tokens and cookies (`Tokens`)."""

    rotation: float = 300.0
    """How long a secret makes new tokens. 5 minutes as in BEP 5; at least half of `lifetime` is
    used."""
    lifetime: float = 600.0
    """How long a token is good. 10 minutes as in BEP 5: a lookup and its stores take seconds, and
    an address may change hands."""
    bind_id: bool = True
    """Whether a token is for the id that asked for it, and not for its address alone. Mainline: no,
    since some programs draw another id for every store."""


@dataclass(frozen=True, slots=True)
class LimitConfig:
    """What one source may cost us (`Limits`)."""

    enforce: Enforce = "public"
    """Against whom the limits per source hold. Public addresses: a network on one machine or in
    one office works untuned."""
    queries_per_host: Rate = Rate(20, 100)
    """Queries from one address (IPv6: one /64), whatever the port. 20 a second: a lookup asks a
    node once, and a client that runs ten lookups at once meets us in few of them."""
    queries_per_prefix: Rate = Rate(200, 1_000)
    """Queries from one prefix. 200 a second: ten busy hosts; a household's worth behind one
    NAT."""
    stored_bytes_per_prefix: Rate = Rate(8_000, 8_000)
    """Bytes of stored data in answers to one prefix. 8 kB a second: an attacker who has shown that
    he receives gains nothing by asking us instead of any file server."""
    signatures: Rate = Rate(5_000, 1_000)
    """Signatures checked, all sources together, whoever is spared. 5,000 a second at 37 µs are a
    fifth of a core."""
    signatures_per_prefix: Rate = Rate(50, 100)
    """Signatures checked for one prefix. 50 a second: a holder that hands over a few hundred
    signed values is done in seconds, and a hundred prefixes must conspire to use the budget."""
    candidates_per_prefix: Rate = Rate(4, 16)
    """First questions to addresses of one prefix that others named. 4 a second: with many nodes
    led to one victim it is what each of them adds. 16 at once, since a provider's and a
    university's nodes do share prefixes."""
    candidates_per_namer: Rate = Rate(20, 200)
    """First questions to addresses that one contact named. A join asks the bootstrap contact for
    its own neighbourhood and twenty ranges: 400 names, of which half are known by then."""
    questions_per_host: Rate | None = None
    """Questions of ours to one address. None: nobody on Kadlet's own networks counts them against
    us. Mainline: 3 a second, 10 at once, since libtorrent bans whoever sends 50 packets in 10 s."""
    max_sources: int = 4_096
    """Sources remembered per limit: 4,096 of at most 32 bytes each. Where more are active at once,
    those that used least of their limit are forgotten first."""


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """What is kept for others, and for how long (`Store`)."""

    value_lifetime: float = 172800.0
    """How long a value lives after its publisher last published it, however often holders hand it
    on. 48 hours (go-libp2p, rust-libp2p): a publisher may be away for a weekend's day."""
    provider_lifetime: float = 46800.0
    """How long a provider lives after its publisher last announced it. 13 hours: two renewals may
    be lost."""
    entry_lifetime: float = 46800.0
    """How long a search entry lives after its publisher last published it. As providers: a hit
    without a provider is worth nothing."""
    renew: float = 21600.0
    """How often a publisher renews providers and search entries, at most. 6 hours: a node stays
    far below one datagram a second even with a thousand files."""
    republish: float = 3600.0
    """After how long without receiving it a holder stores a value again with the k closest. 1 hour
    (Kademlia, section 2.5): long against a lookup, short against half of the holders leaving. On
    Mainline nothing is handed on: its wire carries no age."""
    lookup: float = 120.0
    """The longest time a lookup and its stores take. 2 minutes: k timeouts in a row at the hard
    limit. Records expire later than a renewal by more than this (mistake 16)."""
    copy: float = 21600.0
    """How long a copy on a lookup's path lives at the node next to the key; halves with every node
    in between (Kademlia, section 4.1; `copy_lifetime`). 6 hours: well below a value's, since
    nobody renews a copy."""
    enforce: Enforce = "public"
    """Against whom the quotas per source hold; the caps on the whole store hold against all."""
    max_records: int = 65_536
    """Records of all kinds. 65,536 (dht-rpc); with k = 20 and a million records of a network of
    ten thousand nodes a node holds 2,000."""
    max_bytes: int = 32 << 20
    """Bytes of all records, each counted with 400 bytes of bookkeeping. 32 MiB."""
    max_source_records: int = 1_024
    """Records from one prefix: a sixty-fourth of the store."""
    max_source_bytes: int = 512 << 10
    """Bytes from one prefix: a sixty-fourth of the store."""
    max_providers: int = 1_000
    """Providers under one key. 1,000: three dozen pages; who needs more has enough with these."""
    max_entries: int = 1_000
    """Search entries under one keyword. 1,000, in about 250 datagrams: further keywords narrow the
    answer better than more pages."""
    max_changes: int = 0
    """Changes that wait for the host to make them durable; 0 keeps no journal. A host that drains
    after every call needs as many as one call makes: 64 expiries and a few evictions."""
    work_per_call: int = 64
    """Records looked at by one call of `expire`, `next_republish` or `next_handover`: bounds what
    one call costs to some 100 µs."""


@dataclass(frozen=True, slots=True)
class FetchConfig:
    """Fetching a file from several providers."""

    max_size: int = 1 << 40
    """Largest file taken, in bytes. 1 TiB: its hash list is 32 MiB, which a host holds in
    memory."""
    providers: int = 64
    """Providers asked or about to be asked; others wait for a place. 64: more never made a fetch
    faster, and every choice looks at each of them."""
    known: int = 1024
    """Distinct addresses one fetch knows: asked, waiting and dropped. 1024: a liar stays known for
    good, so the number of liars has to end somewhere. Who only failed makes room."""
    in_flight_per_provider: int = 4
    """Requests in flight to one provider, once it has shown that it delivers; 1 before. 4 hide a
    round trip of 300 ms at 10 MB/s."""
    in_flight: int = 32
    """Requests in flight altogether. 32: a host that buffers whole pieces holds 32 MiB."""
    pipeline: float = 1.0
    """How much work a provider is given ahead, as time at its measured rate. 1 s outlasts a round
    trip, and is little to give to others should it vanish."""
    sample: float = 0.25
    """How long bytes are counted before they make a new measurement of a provider's rate."""
    assumed_rate: int = 1 << 20
    """Rate taken for granted before the first measurement, in bytes a second: an ordinary line."""
    stall_timeout: float = 8.0
    """A request that made no progress for this long is given up. 8 s: longer than lost packets
    take to be sent again, shorter than a person's patience."""
    min_rate: int = 4 << 10
    """Below this rate, in bytes a second, a request is given up though it still trickles: a
    provider could else hold a piece for ever. 4 KiB/s: 256 s for a piece."""
    hedge_after: float = 1.0
    """After this time without an outcome a second provider is asked for the list, and the last
    pieces are asked of a second provider too. 1 s: several round trips."""
    trials: int = 8
    """Providers whose hash lists are on trial at once. Each of them may hold a list in memory."""
    copies: int = 2
    """Requests in flight for one piece. 2: more would only spend the providers' lines."""
    failures: int = 4
    """Failures in a row after which a provider is dropped."""
    backoff: float = 1.0
    """Delay after a provider's first failure; doubles with each further one."""
    backoff_max: float = 30.0
    """Longest such delay."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a node."""

    network: str | None = "kadlet"
    """The network's name; None: BitTorrent's Mainline DHT. Networks with different names never
    merge."""
    role: Role = "auto"
    """Whether others may rely on us."""
    address_ids: AddressIds = "ignore"
    """What is made of ids that do not follow from an address. Mainline: prefer."""
    capabilities: int = 3
    """What we tell others we can do: 1 keeps records, 2 hands on signals."""
    table: TableConfig = field(default_factory=TableConfig)
    """Routing tables."""
    lookup: LookupConfig = field(default_factory=LookupConfig)
    """Lookups."""
    estimate: EstimateConfig = field(default_factory=EstimateConfig)
    """The estimate of the network's size."""
    requests: RequestConfig = field(default_factory=RequestConfig)
    """Timeouts."""
    tokens: TokenConfig = field(default_factory=TokenConfig)
    """Write tokens and cookies."""
    limits: LimitConfig = field(default_factory=LimitConfig)
    """What one source may cost us."""
    store: StoreConfig = field(default_factory=StoreConfig)
    """What we keep for others."""
    deadline: float = 60.0
    """An operation that was given no deadline of its own ends after so many seconds; even a lookup
    among silent contacts does not need them."""
    max_operations: int = 4_096
    """Operations at once; one more ends the oldest refresh, or else is refused. Each holds about
    8 kB while it lasts."""
    renew_after: float = 18_000.0
    """Our own records are renewed this often, less a random quarter: well below the 13 h that
    holders keep them, so that one missed renewal loses nothing."""
    max_publications: int = 100_000
    """Records a node renews for itself; one more is refused with `OverloadedError`."""
    max_proven: int = 4_096
    """Addresses remembered for having shown that they receive our datagrams, at 40 B; the longest
    unheard of gives way."""
    proof_lifetime: float = 600.0
    """How long such a proof lasts: as a token does."""
    amplification: Enforce = "public"
    """Whether answers to addresses without proof are held to three times the question."""
    max_transmits: int = 65_536
    """How many datagrams may wait to be polled; what is sent beyond that counts as lost."""
    max_events: int = 65_536
    """How many events may wait to be polled; details beyond that are dropped and counted, `Done`
    never is."""
    max_pages: int = 64
    """Further pages of holders' lists that one operation asks for, all holders together: some 400
    search entries, or 2,000 providers."""
    max_found: int = 4_096
    """Results of one operation kept to tell new ones from known ones."""
    region: bool = True
    """Whether records are kept with, and looked for among, all nodes within the distance in which k
    are expected, and not the k closest alone."""
    path_copies: bool = False
    """Whether a value that was found is copied to the closest contact that did not have it; pays
    where a few values are wanted by many."""
    grease_one_in: int = 100
    """One in this many messages carries a field nobody knows, so that nobody forgets to ignore
    them; 0: none."""
