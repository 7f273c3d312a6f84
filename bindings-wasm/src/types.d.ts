/** Of a node or a key: 40 hexadecimal digits, lower case. */
export type Id = string;

/** IP:PORT, IPv6 in brackets. */
export type Address = string;

export type Family = "ipv4" | "ipv6";

/** Where a datagram came from or goes to; without `link` it is link 0. */
export interface Path {
  remote: Address;
  link?: number;
}

/** A node as others are told of it. Capabilities: 1 keeps records, 2 hands on signals. */
export interface Contact {
  id: Id;
  path: Path;
  capabilities: number;
}

/** Somebody who was asked; the id of a bootstrap address is not known before it answers. */
export interface Peer {
  id: Id | undefined;
  path: Path;
}

/** A datagram to be sent now. */
export interface Transmit {
  path: Path;
  payload: Uint8Array;
}

/** A value that the owner of a key pair may replace; `sign` makes them. */
export interface SignedValue {
  publicKey: Uint8Array;
  salt: Uint8Array;
  seq: bigint;
  value: Uint8Array;
  signature: Uint8Array;
  extra: Uint8Array;
}

/** An immutable value is its bytes. */
export type Item = Uint8Array | SignedValue;

/** A file with this name, size in bytes and BLAKE3 hash of its content (32 bytes). */
export interface SearchEntry {
  name: string;
  size: number;
  content: Uint8Array;
  extra?: Uint8Array;
}

/** Why a datagram was dropped: its sender's fault, counted in `Stats.rejected`. */
export type Rejected =
  | "malformed_not_ours"
  | "malformed_other_version"
  | "malformed_other_network"
  | "malformed_too_long"
  | "malformed_truncated"
  | "malformed_trailing"
  | "malformed_bad_number"
  | "malformed_missing"
  | "malformed_bad_field"
  | "malformed_duplicate"
  | "malformed_too_deep"
  | "malformed_critical"
  | "bad_source"
  | "own_id"
  | "unsolicited"
  | "wrong_address"
  | "wrong_id"
  | "rate_limited"
  | "closed";

/** Why a peer refused; `other` is a number of a later version. */
export type ErrorCode =
  | "generic"
  | "server"
  | "protocol"
  | "unknown_method"
  | "value_too_large"
  | "bad_signature"
  | "salt_too_large"
  | "cas_mismatch"
  | "stale_sequence"
  | "bad_token"
  | "no_room"
  | "other";

/** A refusal: the reason's name and number, and the sequence number held, where it matters. */
export interface Refused {
  code: ErrorCode;
  number: number;
  seq: bigint | undefined;
}

export type PeerFailure =
  | "timeout"
  | "path_failed"
  | "wrong_id"
  | "invalid"
  | "ourselves"
  | "no_token"
  | "other_network"
  | Refused;

export type Outcome =
  | "success"
  | "absent"
  | "no_peers"
  | "no_answer"
  | "cancelled"
  | "deadline_exceeded"
  | "overloaded"
  | Refused;

/** What an operation cost; `elapsed` in milliseconds. */
export interface Totals {
  asked: number;
  answered: number;
  failed: number;
  found: number;
  stored: number;
  storeAttempts: number;
  hops: number;
  datagrams: number;
  bytesSent: number;
  bytesReceived: number;
  elapsed: number;
}

/** An operation began. */
export interface Started {
  type: "started";
  operation: number;
}

/** A question of the operation went out. */
export interface Asked {
  type: "asked";
  operation: number;
  peer: Peer;
}

/** An answer came, after `rtt` milliseconds, and named these contacts. */
export interface Answered {
  type: "answered";
  operation: number;
  peer: Peer;
  rtt: number;
  named: Contact[];
}

/** No usable answer will come from this peer. */
export interface Failed {
  type: "failed";
  operation: number;
  peer: Peer;
  reason: PeerFailure;
}

/** Somebody has the content. Transports: 1 HTTP, 2 a WebRTC data channel. */
export interface Provider {
  type: "provider";
  operation: number;
  address: Address;
  transports: number;
  holder: Id;
}

/** A value, checked against its key and signature. */
export interface Value {
  type: "value";
  operation: number;
  item: Item;
  holder: Id;
}

/** A file whose name carries all the words. */
export interface Hit {
  type: "hit";
  operation: number;
  entry: Required<SearchEntry>;
  holder: Id;
}

/** How many peers a swarm has (Mainline, BEP 33), estimated; seeds have all of it. */
export interface Swarm {
  type: "swarm";
  operation: number;
  seeds: number;
  peers: number;
}

/** Some of the `total` keys that a node holds providers of (Mainline, BEP 51). */
export interface Sample {
  type: "sample";
  operation: number;
  peer: Peer;
  keys: Id[];
  total: number;
  interval: number;
}

/** A holder acknowledged a record. */
export interface Stored {
  type: "stored";
  operation: number;
  peer: Peer;
  key: Id;
}

/** The operation ended; nothing of it comes after this. */
export interface Done {
  type: "done";
  operation: number;
  outcome: Outcome;
  closest: Contact[];
  totals: Totals;
}

/** A renewal went otherwise than the time before; without holders it is tried again soon. */
export interface Renewed {
  type: "renewed";
  operation: number;
  outcome: Outcome;
  stored: number;
}

/** A signal from another node. */
export interface Signal {
  type: "signal";
  from: Contact;
  payload: Uint8Array;
}

/** Several nodes agree that this is our address, seen from outside. */
export interface AddressSeen {
  type: "address_seen";
  address: Address;
}

/** Whether strangers reach us. */
export interface Reachable {
  type: "reachable";
  address: Address;
  reachable: boolean;
}

/** Nothing answers any more, or something does again. */
export interface Offline {
  type: "offline";
  offline: boolean;
}

export type Event =
  | Started
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
  | Offline;

/** Contacts came or went: export the state when convenient. */
export interface Contacts {
  type: "contacts";
}

/** Keep this record under this name, with the time at which it was written. */
export interface RecordStored {
  type: "record_stored";
  name: Uint8Array;
  record: Uint8Array;
}

/** Drop what has this name. */
export interface RecordRemoved {
  type: "record_removed";
  name: Uint8Array;
}

/** More changes than the journal holds: replace everything by `Node.exportState`. */
export interface RecordsLost {
  type: "records_lost";
}

export type Change = Contacts | RecordStored | RecordRemoved | RecordsLost;

/** A contact and what the table knows of it; `seen` is a moment, `rtt` milliseconds. */
export interface Entry {
  contact: Contact;
  seen: number;
  rtt: number | undefined;
  failures: number;
  live: boolean;
}

/** One bucket: `depth` leading bits are those of `first`. */
export interface Bucket {
  depth: number;
  first: Id;
  refreshed: number;
  contacts: Entry[];
  replacements: Entry[];
}

/** How far an operation is; `remaining` milliseconds to its deadline. */
export interface OperationProgress {
  totals: Totals;
  inFlight: number;
  remaining: number;
}

/** How the node is. */
export interface Health {
  contacts: Record<Family, number>;
  offline: boolean;
  server: boolean;
  reachable: boolean | undefined;
  networkSize: number | undefined;
  records: number;
  publications: number;
  operations: number;
}

/** Counters since the node was made. */
export interface Stats {
  datagramsIn: number;
  bytesIn: number;
  datagramsOut: number;
  bytesOut: number;
  queriesAnswered: number;
  answers: number;
  timeouts: number;
  rejected: Partial<Record<Rejected, number>>;
  shortened: number;
  transmitsLost: number;
  eventsLost: number;
  operations: number;
}

/** What limits per source made the node drop, by what it would have cost. */
export interface Dropped {
  queries: number;
  stored: number;
  signatures: number;
  candidates: number;
  questions: number;
}

/** What is kept for others, and what became of what was to be kept. */
export interface StoreStats {
  values: number;
  copies: number;
  signed: number;
  providers: number;
  entries: number;
  bytes: number;
  sources: number;
  evicted: number;
  expired: number;
  refusedExpired: number;
  refusedForeign: number;
  refusedStale: number;
  refusedCas: number;
  refusedQuota: number;
  refusedFull: number;
}

/**
 * auto: server on loopback and private networks; on public ones client until a stranger has reached
 * us. client: never in anybody's table. server: in others' tables from the start.
 */
export type Role = "auto" | "client" | "server";

/** Against whose addresses limits per source hold; public spares loopback and private ranges. */
export type Enforce = "nobody" | "public" | "everybody";

/** What is made of ids that do not follow from their node's address (BEP 42). */
export type AddressIds = "ignore" | "prefer" | "enforce";

/** As it is given: what is left out keeps its value. */
export type Partly<T> = T extends object ? { [K in keyof T]?: Partly<T[K]> | undefined } : T;

/** A token bucket: so much per second in the long run, so much at once. */
export interface Rate {
  /** Units per second. 0: only the first burst, ever. */
  perSecond: number;
  /** Units at once, after a rest of `burst / per_second` seconds. */
  burst: number;
}

/** The numbers of one `RoutingTable`. What the table can grow to follows from them: every bucket holds at most `k` contacts and `replacements`, and there is one bucket for each level down to `max_depth`, 2^`b` - 1 where the accelerated rule splits. */
export interface TableConfig {
  /** Contacts in a bucket, and how many make a neighbourhood; 1 to 64. 20 as in the paper: that all of them leave within the hour is then practically impossible (section 2.1). Mainline uses 8. */
  k: number;
  /** Bits a hop gains, the paper's *b* (section 4.2, accelerated lookups); 1 to 8. At 1 the table is the plain one. Hops fall from log2 n to log2 n / b and contacts grow with 2^b / b. */
  b: number;
  /** Levels the table splits down to; at most 64. Who chooses ids chooses depth, so it has an end; a network needs 2^64 nodes before it needs level 64. */
  maxDepth: number;
  /** The relaxed rule keeps every contact of the smallest subtree around the own id that holds `k`, but splits nothing there any more once it holds this many times `k`: ids can be minted next to ours at will, while with random ids more than 8 k there does not happen. */
  neighbourhood: number;
  /** Contacts that wait for a place in one full bucket. 4: they cost as much memory as contacts, and a bucket seldom loses more between two that come by. */
  replacements: number;
  /** Nodes that spoke to us unasked and wait for our ping, in the whole table. Each leaves with its ping, so 16 last for a burst and a flood fills no memory. */
  candidates: number;
  /** Consecutive failures that make a contact stale, so that it gives way to a replacement; 1 to 15. 5 as in the paper (section 4.1). */
  staleAfter: number;
  /** Consecutive failures from which a contact is not handed on; at least 1. 1: half of the addresses in the replies of deployed networks are dead, because others hand on what they doubt. */
  doubtfulAfter: number;
  /** How long a contact that failed is left alone; doubles with every further failure. 15 s: as long as the slowest answer takes. */
  backoff: number;
  /** The longest such pause; at most 9 hours, which is what a packed contact can tell. 1 h, so that a stale contact nobody replaces costs a ping an hour. */
  maxBackoff: number;
  /** A contact not heard of for so long is pinged, and a replacement not heard of for so long is pinged before it is promoted; at most 9 hours. Where contacts are found dead the table waits shorter, down to a third of it. 15 min as in BEP 5. */
  questionableAfter: number;
  /** How long a ping given out by `next_ping` bars others for its bucket, should its outcome never be reported. 30 s: longer than any request lives. */
  pingTimeout: number;
  /** A bucket that saw no lookup for so long (less up to a quarter, to spread them) is refreshed. 1 h as in the paper; Mainline: 15 min. */
  refreshAfter: number;
  /** The shortest time between two refreshes. 10 s: after a suspension all buckets are due at once, and a lookup takes a few seconds. */
  refreshSpacing: number;
  /** Contacts of one `Prefix` in one bucket, replacements included. 2: one owner of addresses must not own a bucket. */
  perPrefixInBucket: number;
  /** Contacts of one `Prefix` in the table. 10, as libtorrent and go-libp2p do in like manner. */
  perPrefixInTable: number;
  /** Whether these two also hold for addresses that are not public. Off: an office is one prefix, and a machine with many nodes is one address. */
  limitPrivate: boolean;
}

/** One iterative lookup (`Lookup`). */
export interface LookupConfig {
  /** k: how many contacts a lookup looks for, per address family and path. 20 as in the paper: that all twenty leave within an hour is improbable. At least 1. */
  k: number;
  /** α: questions in flight per path, as long as answers bring closer contacts. 4: a tenth faster under churn than the paper's 3, for a tenth more questions; silent contacts give their slot back early, so more buys little time. At least 1. */
  alpha: number;
  /** d: disjoint paths (S/Kademlia, section 4.4), 1 to 16. Traffic grows linearly with it. 1, which is the plain lookup of the Kademlia paper. */
  paths: number;
  /** Contacts heard of and not yet asked, per path and address family; the farthest gives way. 128: six full answers, of which a lookup follows up the best few. At least `k` times `addresses_per_id`, so that none of the k closest is ever dropped. */
  candidates: number;
  /** Addresses of one id that wait to be asked, per path. 3: hearsay may give an id a false address or two, and the true one must find room; more would let one id fill the list. */
  addressesPerId: number;
  /** Questions one path may ask in all. 400: five times a lookup of 20 with half of the contacts dead; a swarm that names ever closer contacts which do not exist gets no more. */
  questions: number;
  /** Contacts beyond the k closest that a widened lookup asks, per family and path. 80, four times k: a region under a denser attack is cut off here. */
  region: number;
  /** Contacts of one `Prefix` that one lookup follows; 0 for no limit. 4: who holds one block of addresses does not fill the k closest, but neighbours in one network remain. */
  perPrefix: number;
  /** Whether `per_prefix` spares loopback and private addresses, where one prefix is the whole network. True. */
  spareLocal: boolean;
  /** Contacts that may be silent, or somebody else, of those that somebody names in one lookup and of which none answered; then whom such ones alone name is asked last. 0: nobody is judged by whom it names, and contacts that somebody invents can hold a lookup up until its deadline. 4: an honest answer whose first four contacts are dead is rare, and each that answers makes up for three. */
  credit: number;
  /** Where more than a quarter of the k closest are silent or failed: so many of those that answered are asked besides about each subtree of which the dead have crowded somebody out of the answers, and half as many again once the lookup is over; 0 for none. 16: with half of all contacts dead 599 of 600 lookups end with exactly the k closest, 587 with 8, and 349 without. Mainline: 8, as answers there have eight places, and more help no more. */
  beside: number;
}

/** The network-size estimate (`Estimate`). */
export interface EstimateConfig {
  /** Lookups whose density is remembered; the estimate is their median. 32: the median of samples that scatter by 23 % (k = 20) scatters by 5 %, and an attacker must sit at 16 random targets. */
  samples: number;
  /** Lookups before there is an estimate. 3, of which one that somebody crowds is outvoted: a join alone makes as many in a network of a hundred, and who joined just now is to store under protection too. */
  enough: number;
  /** Contacts a lookup must have found to be a sample. 5: fewer scatter by more than half. */
  closest: number;
}

/** Outstanding requests and their timeouts (`Requests`). */
export interface RequestConfig {
  /** Requests outstanding at once. 4096: at the hard timeout of 2 s this is 2,000 silent contacts a second, more than any lookup schedule; some 500 kB when full. */
  outstanding: number;
  /** Bytes of a transaction id, 1 to 8. 8 on the native wire: not to be guessed even by somebody who sends a million answers. Mainline nodes echo any length, 4 is what its programs expect at most. */
  transactionBytes: number;
  /** The short timeout, after which a lookup asks somebody else meanwhile, before anything was measured. 500 ms: the median round trip is 156 ms, 99 % are below 520. */
  shortInitial: number;
  /** Least short timeout. 50 ms: below it the scheduling of the host is measured, not the network. */
  shortMin: number;
  /** Greatest short timeout. 1.5 s: a lookup must go on, whatever the peers do. */
  shortMax: number;
  /** The quantile of measured round trips the short timeout follows, in thousandths. 900. */
  shortQuantile: number;
  /** The short timeout in percent of that quantile. 125: 95 % of the answers come before it. */
  shortPercent: number;
  /** The silent timeout, after which nobody waits for the answer any more though it still counts, in percent of the 99th percentile of round trips. 250: one answer in fifty thousand comes later, and a lookup among dead contacts waits no longer than it must. What is repeated is waited for until the last repetition is slow. */
  silentPercent: number;
  /** Of a thousand requests so many must have died of late before silence is taken for death. 10: where contacts do not die, a silent one is slow, and is waited for until the hard timeout. */
  silentFrom: number;
  /** The hard timeout, after which a request is dead, before anything was measured. 5 s. */
  hardInitial: number;
  /** Least hard timeout. 1 s, as TCP's least (RFC 6298): long enough for one lost and repeated packet of a link below us, and where everybody is near a dead contact holds nobody up for longer. */
  hardMin: number;
  /** Greatest hard timeout. 10 s, the constant of most others. */
  hardMax: number;
  /** The hard timeout in percent of the 99th percentile of round trips. 400. */
  hardPercent: number;
  /** How often a slow request is sent again before its hard timeout, at most 4. 3: a datagram or its answer is lost once in 25 times where one in fifty datagrams is, and a lookup waits for twenty answers. With three in a row lost it would miss one of them once in 700 times, with four once in 20,000. On Mainline 0: BEP 5 knows none. */
  repeats: number;
  /** Round trips to be measured before the short timeout follows them. 16: the 90th percentile of fewer is noise. */
  samples: number;
  /** Round trips to be measured before the hard timeout follows them. 4: four times the longest of few says little, but more than no measurement does. */
  hardSamples: number;
  /** Round trips after which what was measured counts half. 512: some twenty lookups, so that a new network is known within minutes. */
  memory: number;
  /** Silent requests in a row after which it is we who are offline (rule of kademlia.md). 10. */
  offlineAfter: number;
}

/** Write tokens and cookies (`Tokens`). */
export interface TokenConfig {
  /** How long a secret makes new tokens. 5 minutes as in BEP 5; at least half of `lifetime` is used. */
  rotation: number;
  /** How long a token is good. 10 minutes as in BEP 5: a lookup and its stores take seconds, and an address may change hands. */
  lifetime: number;
  /** Whether a token is for the id that asked for it, and not for its address alone. Mainline: no, since some programs draw another id for every store. */
  bindId: boolean;
}

/** What one source may cost us (`Limits`). */
export interface LimitConfig {
  /** Against whom the limits per source hold. Public addresses: a network on one machine or in one office works untuned. */
  enforce: Enforce;
  /** Queries from one address (IPv6: one /64), whatever the port. 20 a second: a lookup asks a node once, and a client that runs ten lookups at once meets us in few of them. */
  queriesPerHost: Rate;
  /** Queries from one prefix. 200 a second: ten busy hosts; a household's worth behind one NAT. */
  queriesPerPrefix: Rate;
  /** Bytes of stored data in answers to one prefix. 8 kB a second: an attacker who has shown that he receives gains nothing by asking us instead of any file server. */
  storedBytesPerPrefix: Rate;
  /** Signatures checked, all sources together, whoever is spared. 5,000 a second at 37 µs are a fifth of a core. */
  signatures: Rate;
  /** Signatures checked for one prefix. 50 a second: a holder that hands over a few hundred signed values is done in seconds, and a hundred prefixes must conspire to use the budget. */
  signaturesPerPrefix: Rate;
  /** First questions to addresses of one prefix that others named. 4 a second: with many nodes led to one victim it is what each of them adds. 16 at once, since a provider's and a university's nodes do share prefixes. */
  candidatesPerPrefix: Rate;
  /** First questions to addresses that one contact named. A join asks the bootstrap contact for its own neighbourhood and twenty ranges: 400 names, of which half are known by then. */
  candidatesPerNamer: Rate;
  /** Questions of ours to one address. null: nobody on Kadlet's own networks counts them against us. Mainline: 3 a second, 10 at once, since libtorrent bans whoever sends 50 packets in 10 s. */
  questionsPerHost: Rate | null;
  /** Sources remembered per limit: 4,096 of at most 32 bytes each. Where more are active at once, those that used least of their limit are forgotten first. */
  maxSources: number;
}

/** What is kept for others, and for how long (`Store`). */
export interface StoreConfig {
  /** How long a value lives after its publisher last published it, however often holders hand it on. 48 hours (go-libp2p, rust-libp2p): a publisher may be away for a weekend's day. */
  valueLifetime: number;
  /** How long a provider lives after its publisher last announced it. 13 hours: two renewals may be lost. */
  providerLifetime: number;
  /** How long a search entry lives after its publisher last published it. As providers: a hit without a provider is worth nothing. */
  entryLifetime: number;
  /** How often a publisher renews providers and search entries, at most. 6 hours: a node stays far below one datagram a second even with a thousand files. */
  renew: number;
  /** After how long without receiving it a holder stores a value again with the k closest. 1 hour (Kademlia, section 2.5): long against a lookup, short against half of the holders leaving. On Mainline nothing is handed on: its wire carries no age. */
  republish: number;
  /** The longest time a lookup and its stores take. 2 minutes: k timeouts in a row at the hard limit. Records expire later than a renewal by more than this (mistake 16). */
  lookup: number;
  /** How long a copy on a lookup's path lives at the node next to the key; halves with every node in between (Kademlia, section 4.1; `copy_lifetime`). 6 hours: well below a value's, since nobody renews a copy. */
  copy: number;
  /** Against whom the quotas per source hold; the caps on the whole store hold against all. */
  enforce: Enforce;
  /** Records of all kinds. 65,536 (dht-rpc); with k = 20 and a million records of a network of ten thousand nodes a node holds 2,000. */
  maxRecords: number;
  /** Bytes of all records, each counted with 400 bytes of bookkeeping. 32 MiB. */
  maxBytes: number;
  /** Records from one prefix: a sixty-fourth of the store. */
  maxSourceRecords: number;
  /** Bytes from one prefix: a sixty-fourth of the store. */
  maxSourceBytes: number;
  /** Providers under one key. 1,000: three dozen pages; who needs more has enough with these. */
  maxProviders: number;
  /** Search entries under one keyword. 1,000, in about 250 datagrams: further keywords narrow the answer better than more pages. */
  maxEntries: number;
  /** Changes that wait for the host to make them durable; 0 keeps no journal. A host that drains after every call needs as many as one call makes: 64 expiries and a few evictions. */
  maxChanges: number;
  /** Records looked at by one call of `expire`, `next_republish` or `next_handover`: bounds what one call costs to some 100 µs. */
  workPerCall: number;
}

/** Fetching a file from several providers. */
export interface FetchConfig {
  /** Largest file taken, in bytes. 1 TiB: its hash list is 32 MiB, which a host holds in memory. */
  maxSize: number;
  /** Providers asked or about to be asked; others wait for a place. 64: more never made a fetch faster, and every choice looks at each of them. */
  providers: number;
  /** Distinct addresses one fetch knows: asked, waiting and dropped. 1024: a liar stays known for good, so the number of liars has to end somewhere. Who only failed makes room. */
  known: number;
  /** Requests in flight to one provider, once it has shown that it delivers; 1 before. 4 hide a round trip of 300 ms at 10 MB/s. */
  inFlightPerProvider: number;
  /** Requests in flight altogether. 32: a host that buffers whole pieces holds 32 MiB. */
  inFlight: number;
  /** How much work a provider is given ahead, as time at its measured rate. 1 s outlasts a round trip, and is little to give to others should it vanish. */
  pipeline: number;
  /** How long bytes are counted before they make a new measurement of a provider's rate. */
  sample: number;
  /** Rate taken for granted before the first measurement, in bytes a second: an ordinary line. */
  assumedRate: number;
  /** A request that made no progress for this long is given up. 8 s: longer than lost packets take to be sent again, shorter than a person's patience. */
  stallTimeout: number;
  /** Below this rate, in bytes a second, a request is given up though it still trickles: a provider could else hold a piece for ever. 4 KiB/s: 256 s for a piece. */
  minRate: number;
  /** After this time without an outcome a second provider is asked for the list, and the last pieces are asked of a second provider too. 1 s: several round trips. */
  hedgeAfter: number;
  /** Providers whose hash lists are on trial at once. Each of them may hold a list in memory. */
  trials: number;
  /** Requests in flight for one piece. 2: more would only spend the providers' lines. */
  copies: number;
  /** Failures in a row after which a provider is dropped. */
  failures: number;
  /** Delay after a provider's first failure; doubles with each further one. */
  backoff: number;
  /** Longest such delay. */
  backoffMax: number;
}

/** All settings of a node. Times are milliseconds. */
export interface Config {
  /** The network's name; null: BitTorrent's Mainline DHT. Networks with different names never merge. */
  network: string | null;
  /** Whether others may rely on us. */
  role: Role;
  /** What is made of ids that do not follow from an address. Mainline: prefer. */
  addressIds: AddressIds;
  /** What we tell others we can do: 1 keeps records, 2 hands on signals. */
  capabilities: number;
  /** Routing tables. */
  table: TableConfig;
  /** Lookups. */
  lookup: LookupConfig;
  /** The estimate of the network's size. */
  estimate: EstimateConfig;
  /** Timeouts. */
  requests: RequestConfig;
  /** Write tokens and cookies. */
  tokens: TokenConfig;
  /** What one source may cost us. */
  limits: LimitConfig;
  /** What we keep for others. */
  store: StoreConfig;
  /** An operation that was given no deadline of its own ends after this long; even a lookup among silent contacts does not need them. */
  deadline: number;
  /** Operations at once; one more ends the oldest refresh, or else is refused. Each holds about 8 kB while it lasts. */
  maxOperations: number;
  /** Our own records are renewed this often, less a random quarter: well below the 13 h that holders keep them, so that one missed renewal loses nothing. */
  renewAfter: number;
  /** Records a node renews for itself; one more is published once. */
  maxPublications: number;
  /** Addresses remembered for having shown that they receive our datagrams, at 40 B; the longest unheard of gives way. */
  maxProven: number;
  /** How long such a proof lasts: as a token does. */
  proofLifetime: number;
  /** Whether answers to addresses without proof are held to three times the question. */
  amplification: Enforce;
  /** How many datagrams may wait to be polled; what is sent beyond that counts as lost. */
  maxTransmits: number;
  /** How many events may wait to be polled; details beyond that are dropped and counted, `Done` never is. */
  maxEvents: number;
  /** Further pages of holders' lists that one operation asks for, all holders together: some 400 search entries, or 2,000 providers. */
  maxPages: number;
  /** Results of one operation kept to tell new ones from known ones. */
  maxFound: number;
  /** Whether records are kept with, and looked for among, all nodes within the distance in which k are expected, and not the k closest alone. */
  region: boolean;
  /** Whether a value that was found is copied to the closest contact that did not have it; pays where a few values are wanted by many. */
  pathCopies: boolean;
  /** One in this many messages carries a field nobody knows, so that nobody forgets to ignore them; 0: none. */
  greaseOneIn: number;
}

/** What people pass around: what the content is (32 bytes), and what its writer says of it. */
export interface Link {
  id: Uint8Array;
  /** What the writer calls it; no safe file name: see `safeFileName`. */
  name?: string | undefined;
  /** Its size in bytes, as the writer says. */
  size?: number | undefined;
  /** Nodes to join the network through, at most 16. */
  contacts?: readonly Address[] | undefined;
}

/** What a magnet link of BitTorrent names: one torrent, or whichever the owner of a key pair has said last (BEP 46). */
export type Torrent =
  | { type: "hash"; hash: Id }
  | { type: "key"; publicKey: Uint8Array; salt: Uint8Array };

/** What is kept beside a partial file: the pieces that are there, ascending. */
export interface Resume {
  id: Uint8Array;
  size: number;
  have: readonly number[];
}

/** Something to ask a provider for: the hash list, of which no more than `maxLen` bytes are read, or a piece. */
export interface Request {
  id: number;
  provider: Address;
  want:
    | { type: "hash_list"; maxLen: number }
    | { type: "piece"; index: number; start: number; end: number };
}

/**
 * What became of bytes handed in: only accepted ones may be used. rejected: they were wrong, and the
 * provider has been dropped. unwanted: nobody waits for them any more.
 */
export type Verdict = "accepted" | "rejected" | "unwanted";

/** Why a request brought nothing; the last two are the machine's own words. */
export type RequestFailure =
  | "unreachable"
  | "disconnected"
  | "not_found"
  | "busy"
  | "malformed"
  | "silent"
  | "too_slow";

/** Why a provider is not asked again. */
export interface Rejection {
  kind: "wrong_list" | "wrong_size" | "too_large" | "wrong_piece" | "not_found" | "failing";
  /** In words, behind the provider's name: “gave wrong bytes for piece 3”. */
  text: string;
  /** Whether it gave wrong bytes, rather than none. */
  isLie: boolean;
}

/** A provider that is not asked again. */
export interface Dropout {
  provider: Address;
  reason: Rejection;
}

export type FetchEvent =
  | { type: "list_verified"; provider: Address; size: number; pieces: number }
  | { type: "piece_verified"; provider: Address; index: number }
  | ({ type: "provider_rejected" } & Dropout)
  | { type: "done" }
  | { type: "failed"; providers: Dropout[] };

/** One provider as a fetch sees it; `rate` in bytes a second, undefined before the first measurement. */
export interface ProviderStats {
  addr: Address;
  verified: number;
  inFlight: number;
  rate: number | undefined;
  failures: number;
}

/**
 * What became of a contact that answered: it is in the table, was there, waits for a place, or is
 * refused for the reason named.
 */
export type Admission =
  | "inserted"
  | "updated"
  | "replacement"
  | "own_id"
  | "id_taken"
  | "address_taken"
  | "prefix_in_bucket"
  | "prefix_in_table"
  | "full";

/** What became of a node that spoke unasked; a candidate is offered by `nextPing`. */
export type Heard = "touched" | "candidate" | "ignored";

/**
 * What became of a contact that did not answer: how often that was in a row; nothing counted; it is
 * stale and keeps its place for want of a replacement; it was only a replacement and is gone; it gave
 * way to this contact.
 */
export type TableFailure = number | "ignored" | "stale" | "dropped" | Contact;

/** A contact as it is saved over a restart; it was last seen `age` milliseconds ago. */
export interface SavedContact {
  contact: Contact;
  age: number;
  rtt: number | undefined;
}

/** A contact that answered a lookup, and how many questions it took to reach it. */
export interface Found {
  contact: Contact;
  hop: number;
}

/** How far a lookup is; `cutShort`: a path stopped at its limit of questions. */
export interface LookupProgress {
  asked: number;
  answered: number;
  failed: number;
  inFlight: number;
  hops: number;
  cutShort: boolean;
}

/** A node as a message names it. */
export interface NodeInfo {
  id: Id;
  address: Address;
  capabilities?: number;
}

/** What is asked. Pages are where to go on in a long list; `token` comes from an earlier response. */
export type Method =
  | { type: "ping"; nonce?: bigint | undefined }
  | { type: "find_node" }
  | { type: "get_providers"; page?: number; scrape?: boolean; noSeeds?: boolean }
  | {
      type: "announce";
      token: Uint8Array;
      port?: number | undefined;
      impliedPort?: boolean;
      transports?: number;
      seed?: boolean;
    }
  | { type: "get"; newerThan?: bigint | undefined }
  | {
      type: "put";
      token: Uint8Array;
      item: Item;
      cas?: bigint | undefined;
      age?: number;
      lifetime?: number | undefined;
    }
  | { type: "search"; words?: string; page?: number }
  | { type: "publish"; token: Uint8Array; entry: SearchEntry }
  | { type: "signal"; origin?: NodeInfo | undefined; payload: Uint8Array }
  | { type: "dial_back"; nonce: bigint }
  | { type: "probe"; address: Address; nonce: bigint }
  | { type: "sample_keys" }
  | { type: "unknown"; code: number; name: Uint8Array };

/** A question: about which point of the space, and which contacts are wanted. */
export interface Query {
  type: "query";
  method: Method;
  target?: Id | undefined;
  want?: Family[];
  mask?: number;
}

/** An answer: whatever of it applies. */
export interface Response {
  type: "response";
  nodes?: NodeInfo[];
  providers?: { address: Address; transports?: number }[];
  hits?: SearchEntry[];
  token?: Uint8Array | undefined;
  item?: Item | undefined;
  seq?: bigint | undefined;
  nextPage?: number | undefined;
  unsupported?: boolean;
  short?: boolean;
  method?: number;
  listed?: Family[];
  seedFilter?: Uint8Array | undefined;
  peerFilter?: Uint8Array | undefined;
  samples?: { keys: Id[]; total: number; interval: number } | undefined;
}

/** Why there is no better answer; the number is what is written. */
export interface Failure {
  type: "failure";
  code?: ErrorCode;
  number: number;
  text?: string;
  method?: number;
  seq?: bigint | undefined;
}

/** One datagram's content (docs/protocol.md). */
export interface Message {
  /** Chosen by the asker, echoed byte for byte: 8 bytes, on Mainline 1 to 20. */
  transaction: Uint8Array;
  /** Absent only in Mainline's errors. */
  sender?: Id | undefined;
  body: Query | Response | Failure;
  /** The sender answers no queries and wants to be in nobody's table. */
  client?: boolean;
  capabilities?: number | undefined;
  /** 8 bytes: in a query proof that answers arrive, in a response what to show next time. */
  cookie?: Uint8Array | undefined;
  /** In a response: the asker's address as the answerer saw it. */
  observed?: Address | undefined;
  /** Mainline: the sender's program. */
  version?: Uint8Array | undefined;
}
