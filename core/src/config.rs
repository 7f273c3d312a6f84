//! Every number of the protocol, with its unit, its reason and its default.

use alloc::string::{String, ToString};
use core::net::IpAddr;
use core::time::Duration;

use crate::contact::{Capabilities, Scope};

mod shared;

pub use shared::Shared;

// ---- routing table ----------------------------------------------------------------------------

/// The numbers of one [`RoutingTable`](crate::RoutingTable).
///
/// What the table can grow to follows from them: every bucket holds at most `k` contacts and
/// `replacements`, and there is one bucket for each level down to `max_depth`, 2^`b` - 1 where
/// the accelerated rule splits.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct TableConfig {
    /// Contacts in a bucket, and how many make a neighbourhood; 1 to 64. 20 as in the paper: that
    /// all of them leave within the hour is then practically impossible (section 2.1). Mainline
    /// uses 8.
    pub k: usize,
    /// Bits a hop gains, the paper's *b* (section 4.2, accelerated lookups); 1 to 8. At 1 the table
    /// is the plain one. Hops fall from log2 n to log2 n / b and contacts grow with 2^b / b.
    pub b: u32,
    /// Levels the table splits down to; at most 64. Who chooses ids chooses depth, so it has an
    /// end; a network needs 2^64 nodes before it needs level 64.
    pub max_depth: u32,
    /// The relaxed rule keeps every contact of the smallest subtree around the own id that holds
    /// `k`, but splits nothing there any more once it holds this many times `k`: ids can be minted
    /// next to ours at will, while with random ids more than 8 k there does not happen.
    pub neighbourhood: usize,
    /// Contacts that wait for a place in one full bucket. 4: they cost as much memory as contacts,
    /// and a bucket seldom loses more between two that come by.
    pub replacements: usize,
    /// Nodes that spoke to us unasked and wait for our ping, in the whole table. Each leaves
    /// with its ping, so 16 last for a burst and a flood fills no memory.
    pub candidates: usize,
    /// Consecutive failures that make a contact stale, so that it gives way to a replacement;
    /// 1 to 15. 5 as in the paper (section 4.1).
    pub stale_after: u8,
    /// Consecutive failures from which a contact is not handed on; at least 1. 1: half of the
    /// addresses in the replies of deployed networks are dead, because others hand on what they
    /// doubt.
    pub doubtful_after: u8,
    /// How long a contact that failed is left alone; doubles with every further failure. 15 s:
    /// as long as the slowest answer takes.
    pub backoff: Duration,
    /// The longest such pause; at most 9 hours, which is what a packed contact can tell. 1 h, so
    /// that a stale contact nobody replaces costs a ping an hour.
    pub max_backoff: Duration,
    /// A contact not heard of for so long is pinged, and a replacement not heard of for so long is
    /// pinged before it is promoted; at most 9 hours. Where contacts are found dead the table waits
    /// shorter, down to a third of it, until one in two hundred is dead when it is pinged. 15 min as
    /// in BEP 5.
    pub questionable_after: Duration,
    /// How long a ping given out by `next_ping` bars others for its bucket, should its outcome
    /// never be reported. 30 s: longer than any request lives.
    pub ping_timeout: Duration,
    /// A bucket that saw no lookup for so long (less up to a quarter, to spread them) is refreshed.
    /// 1 h as in the paper; Mainline: 15 min.
    pub refresh_after: Duration,
    /// The shortest time between two refreshes. 10 s: after a suspension all buckets are due at
    /// once, and a lookup takes a few seconds.
    pub refresh_spacing: Duration,
    /// Contacts of one [`Prefix`](crate::Prefix) in one bucket, replacements included. 2: one owner
    /// of addresses must not own a bucket.
    pub per_prefix_in_bucket: usize,
    /// Contacts of one [`Prefix`](crate::Prefix) in the table. 10, as libtorrent and go-libp2p do
    /// in like manner.
    pub per_prefix_in_table: usize,
    /// Whether these two also hold for addresses that are not public. Off: an office is one prefix,
    /// and a machine with many nodes is one address.
    pub limit_private: bool,
}

impl Default for TableConfig {
    fn default() -> Self {
        Self {
            k: 20,
            b: 1,
            max_depth: 64,
            neighbourhood: 8,
            replacements: 4,
            candidates: 16,
            stale_after: 5,
            doubtful_after: 1,
            backoff: Duration::from_secs(15),
            max_backoff: Duration::from_secs(3_600),
            questionable_after: Duration::from_secs(900),
            ping_timeout: Duration::from_secs(30),
            refresh_after: Duration::from_secs(3_600),
            refresh_spacing: Duration::from_secs(10),
            per_prefix_in_bucket: 2,
            per_prefix_in_table: 10,
            limit_private: false,
        }
    }
}

// ---- lookup -----------------------------------------------------------------------------------

/// One iterative lookup ([`Lookup`](crate::Lookup)).
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct LookupConfig {
    /// k: how many contacts a lookup looks for, per address family and path. 20 as in the paper:
    /// that all twenty leave within an hour is improbable. At least 1.
    pub k: usize,
    /// α: questions in flight per path, as long as answers bring closer contacts. 4: a tenth faster
    /// under churn than the paper's 3, for a tenth more questions; silent contacts give their slot
    /// back early, so more buys little time. At least 1.
    pub alpha: usize,
    /// d: disjoint paths (S/Kademlia, section 4.4), 1 to 16. Traffic grows linearly with it. 1, which
    /// is the plain lookup of the Kademlia paper.
    pub paths: usize,
    /// Contacts heard of and not yet asked, per path and address family; the farthest gives way. 128:
    /// six full answers, of which a lookup follows up the best few. At least `k` times
    /// `addresses_per_id`, so that none of the k closest is ever dropped.
    pub candidates: usize,
    /// Addresses of one id that wait to be asked. 3: hearsay may give an id a false address or two,
    /// and the true one must find room; more would let one id fill the list.
    pub addresses_per_id: usize,
    /// Questions one path may ask in all. 400: five times a lookup of 20 with half of the contacts
    /// dead; a swarm that names ever closer contacts which do not exist gets no more.
    pub questions: usize,
    /// Contacts beyond the k closest that a widened lookup asks, per family and path. 80, four times
    /// k: a region under a denser attack is cut off here.
    pub region: usize,
    /// Contacts of one [`Prefix`](crate::Prefix) that one lookup follows; 0 for no limit. 4: who holds
    /// one block of addresses does not fill the k closest, but neighbours in one network remain.
    pub per_prefix: usize,
    /// Whether `per_prefix` spares loopback and private addresses, where one prefix is the whole
    /// network. True.
    pub spare_local: bool,
    /// Where some of the k closest failed: so many of those that answered are asked besides about
    /// each subtree of which the dead have crowded somebody out of the answers; 0 for none. 0: of
    /// twenty contacts enough are alive. Mainline: 8, since with half of them dead two of five
    /// lookups would miss somebody without.
    pub beside: usize,
}

impl Default for LookupConfig {
    fn default() -> Self {
        Self {
            k: 20,
            alpha: 4,
            paths: 1,
            candidates: 128,
            addresses_per_id: 3,
            questions: 400,
            region: 80,
            per_prefix: 4,
            spare_local: true,
            beside: 0,
        }
    }
}

/// The network-size estimate ([`Estimate`](crate::Estimate)).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EstimateConfig {
    /// Lookups whose density is remembered; the estimate is their median. 32: the median of samples
    /// that scatter by 23 % (k = 20) scatters by 5 %, and an attacker must sit at 16 random targets.
    pub samples: usize,
    /// Lookups before there is an estimate. 3, of which one that somebody crowds is outvoted: a join
    /// alone makes as many in a network of a hundred, and who joined just now is to store under
    /// protection too.
    pub enough: usize,
    /// Contacts a lookup must have found to be a sample. 5: fewer scatter by more than half.
    pub closest: usize,
}

impl Default for EstimateConfig {
    fn default() -> Self {
        Self { samples: 32, enough: 3, closest: 5 }
    }
}

// ---- requests ---------------------------------------------------------------------------------

/// Outstanding requests and their timeouts ([`Requests`](crate::Requests)).
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct RequestConfig {
    /// Requests outstanding at once. 4096: at a hard timeout of 2 s this is 2,000 silent contacts a
    /// second, more than any lookup schedule; some 500 kB when full.
    pub outstanding: usize,
    /// Bytes of a transaction id, 1 to 8. 8 on the native wire: not to be guessed even by somebody who
    /// sends a million answers. Mainline nodes echo any length, 4 is what its programs expect at most.
    pub transaction_bytes: u8,
    /// The short timeout, after which a lookup asks somebody else meanwhile, before anything was
    /// measured. 500 ms: the median round trip is 156 ms, 99 % are below 520.
    pub short_initial: Duration,
    /// Least short timeout. 50 ms: below it the scheduling of the host is measured, not the network.
    pub short_min: Duration,
    /// Greatest short timeout. 1.5 s: a lookup must go on, whatever the peers do.
    pub short_max: Duration,
    /// The quantile of measured round trips the short timeout follows, in thousandths. 900.
    pub short_quantile: u32,
    /// The short timeout in percent of that quantile. 125: 95 % of the answers come before it.
    pub short_percent: u32,
    /// The silent timeout, after which nobody waits for the answer any more though it still counts, in
    /// percent of the 99th percentile of round trips. 250: one answer in fifty thousand comes later,
    /// and a lookup among dead contacts waits no longer than it must. What is repeated is waited for
    /// until the last repetition is slow.
    pub silent_percent: u32,
    /// Of a thousand requests so many must have died of late before silence is taken for death. 10:
    /// where contacts do not die, a silent one is slow, and is waited for until the hard timeout.
    pub silent_from: u32,
    /// The hard timeout, after which a request is dead, before anything was measured. 5 s.
    pub hard_initial: Duration,
    /// Least hard timeout. 1 s, as TCP's least (RFC 6298): long enough for one lost and repeated packet
    /// of a link below us, and where everybody is near a dead contact holds nobody up for longer.
    pub hard_min: Duration,
    /// Greatest hard timeout. 10 s, the constant of most others.
    pub hard_max: Duration,
    /// The hard timeout in percent of the 99th percentile of round trips. 400.
    pub hard_percent: u32,
    /// How often a slow request is sent again before its hard timeout, at most 4. 3: a datagram or
    /// its answer is lost once in 25 times where one in fifty datagrams is, and a lookup waits for
    /// twenty answers. With three in a row lost it would miss one of them once in 700 times, with
    /// four once in 20,000. On Mainline 0: BEP 5 knows none.
    pub repeats: u8,
    /// Round trips to be measured before the short timeout follows them. 16: the 90th percentile of fewer
    /// is noise.
    pub samples: u32,
    /// Round trips to be measured before the hard timeout follows them. 4: four times the longest of
    /// few says little, but more than no measurement does.
    pub hard_samples: u32,
    /// Round trips after which what was measured counts half. 512: some twenty lookups, so that a new
    /// network is known within minutes.
    pub memory: u32,
    /// Silent requests in a row after which it is we who are offline (rule of kademlia.md). 10.
    pub offline_after: u32,
}

impl Default for RequestConfig {
    fn default() -> Self {
        Self {
            outstanding: 4096,
            transaction_bytes: 8,
            short_initial: Duration::from_millis(500),
            short_min: Duration::from_millis(50),
            short_max: Duration::from_millis(1500),
            short_quantile: 900,
            short_percent: 125,
            silent_percent: 250,
            silent_from: 10,
            hard_initial: Duration::from_secs(5),
            hard_min: Duration::from_secs(1),
            hard_max: Duration::from_secs(10),
            hard_percent: 400,
            repeats: 3,
            samples: 16,
            hard_samples: 4,
            memory: 512,
            offline_after: 10,
        }
    }
}

// ---- tokens and limits ------------------------------------------------------------------------

/// Against whom limits and quotas per source hold.
///
/// Nodes of one machine or one office share their prefix by nature; on the internet a prefix is
/// what one owner usually holds together.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Enforce {
    /// Against nobody: tests, closed networks. Budgets that are not per source hold nevertheless.
    Nobody,
    /// Against public addresses; loopback and private ranges are spared.
    #[default]
    Public,
    /// Against every address.
    Everybody,
}

impl Enforce {
    /// Whether limits hold against this address. An address of no scope is nobody's to spare.
    #[must_use]
    pub fn holds_for(self, ip: IpAddr) -> bool {
        match self {
            Self::Nobody => false,
            Self::Public => !matches!(Scope::of(ip), Some(Scope::Loopback | Scope::Private)),
            Self::Everybody => true,
        }
    }
}

/// Write tokens and cookies ([`Tokens`](crate::Tokens)).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenConfig {
    /// How long a secret makes new tokens. 5 minutes as in BEP 5; at least half of `lifetime` is
    /// used.
    pub rotation: Duration,
    /// How long a token is good. 10 minutes as in BEP 5: a lookup and its stores take seconds, and
    /// an address may change hands.
    pub lifetime: Duration,
    /// Whether a token is for the id that asked for it, and not for its address alone. Yes; Mainline:
    /// no, since some programs draw another id for every store.
    pub bind_id: bool,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self {
            rotation: Duration::from_secs(5 * 60),
            lifetime: Duration::from_secs(10 * 60),
            bind_id: true,
        }
    }
}

/// A token bucket: so much per second in the long run, so much at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Units per second. 0: only the first burst, ever.
    pub per_second: u32,
    /// Units at once, after a rest of `burst / per_second` seconds.
    pub burst: u32,
}

impl Rate {
    /// `per_second` units a second, `burst` at once.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

/// What one source may cost us ([`Limits`](crate::Limits)).
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct LimitConfig {
    /// Against whom the limits per source hold. Public addresses: a network on one machine or in
    /// one office works untuned.
    pub enforce: Enforce,
    /// Queries from one address (IPv6: one /64), whatever the port. 20 a second: a lookup asks a
    /// node once, and a client that runs ten lookups at once meets us in few of them.
    pub queries_per_host: Rate,
    /// Queries from one prefix. 200 a second: ten busy hosts; a household's worth behind one NAT.
    pub queries_per_prefix: Rate,
    /// Bytes of stored data in answers to one prefix. 8 kB a second: an attacker who has shown that
    /// he receives gains nothing by asking us instead of any file server.
    pub stored_bytes_per_prefix: Rate,
    /// Signatures checked, all sources together, whoever is spared. 5,000 a second at 37 µs are a
    /// fifth of a core.
    pub signatures: Rate,
    /// Signatures checked for one prefix. 50 a second: a holder that hands over a few hundred
    /// signed values is done in seconds, and a hundred prefixes must conspire to use the budget.
    pub signatures_per_prefix: Rate,
    /// First questions to addresses of one prefix that others named. 4 a second: with many nodes
    /// led to one victim it is what each of them adds. 16 at once, since a provider's and a
    /// university's nodes do share prefixes.
    pub candidates_per_prefix: Rate,
    /// First questions to addresses that one contact named. A join asks the bootstrap contact for
    /// its own neighbourhood and twenty ranges: 400 names, of which half are known by then.
    pub candidates_per_namer: Rate,
    /// Questions of ours to one address. None: nobody on Kadlet's own networks counts them against
    /// us. Mainline: 3 a second, 10 at once, since libtorrent bans whoever sends 50 packets in 10 s.
    pub questions_per_host: Option<Rate>,
    /// Sources remembered per limit: 4,096 of at most 32 bytes each. Where more are active at once,
    /// those that used least of their limit are forgotten first.
    pub max_sources: u32,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            enforce: Enforce::Public,
            queries_per_host: Rate::new(20, 100),
            queries_per_prefix: Rate::new(200, 1_000),
            stored_bytes_per_prefix: Rate::new(8_000, 8_000),
            signatures: Rate::new(5_000, 1_000),
            signatures_per_prefix: Rate::new(50, 100),
            candidates_per_prefix: Rate::new(4, 16),
            candidates_per_namer: Rate::new(20, 200),
            questions_per_host: None,
            max_sources: 4_096,
        }
    }
}

// ---- store ------------------------------------------------------------------------------------

/// What is kept for others, and for how long ([`Store`](crate::Store)).
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct StoreConfig {
    /// How long a value lives after its publisher last published it, however often holders hand it
    /// on. 48 hours (go-libp2p, rust-libp2p): a publisher may be away for a weekend's day.
    pub value_lifetime: Duration,
    /// How long a provider lives after its publisher last announced it. 13 hours: two renewals may
    /// be lost.
    pub provider_lifetime: Duration,
    /// How long a search entry lives after its publisher last published it. As providers: a hit
    /// without a provider is worth nothing.
    pub entry_lifetime: Duration,
    /// How often a publisher renews providers and search entries, at most. 6 hours: a node stays
    /// far below one datagram a second even with a thousand files.
    pub renew: Duration,
    /// After how long without receiving it a holder stores a value again with the k closest. 1 hour
    /// (Kademlia, section 2.5): long against a lookup, short against half of the holders leaving.
    pub republish: Duration,
    /// The longest time a lookup and its stores take. 2 minutes: k timeouts in a row at the hard
    /// limit. Records expire later than a renewal by more than this (mistake 16).
    pub lookup: Duration,
    /// How long a copy on a lookup's path lives at the node next to the key; halves with every
    /// node in between (Kademlia, section 4.1; [`copy_lifetime`](Self::copy_lifetime)). 6 hours:
    /// well below a value's, since nobody renews a copy.
    pub copy: Duration,
    /// Against whom the quotas per source hold; the caps on the whole store hold against all.
    pub enforce: Enforce,
    /// Records of all kinds. 65,536 (dht-rpc); with k = 20 and a million records of a network of
    /// ten thousand nodes a node holds 2,000.
    pub max_records: u32,
    /// Bytes of all records, each counted with 400 bytes of bookkeeping. 32 MiB.
    pub max_bytes: u64,
    /// Records from one prefix: a sixty-fourth of the store.
    pub max_source_records: u32,
    /// Bytes from one prefix: a sixty-fourth of the store.
    pub max_source_bytes: u64,
    /// Providers under one key. 1,000: three dozen pages; who needs more has enough with these.
    pub max_providers: u32,
    /// Search entries under one keyword. 1,000, in about 250 datagrams: further keywords narrow
    /// the answer better than more pages.
    pub max_entries: u32,
    /// Changes that wait for the host to make them durable; 0 keeps no journal. A host that drains
    /// after every call needs as many as one call makes: 64 expiries and a few evictions.
    pub max_changes: u32,
    /// Records looked at by one call of `expire`, `next_republish` or `next_handover`: bounds what
    /// one call costs to some 100 µs.
    pub work_per_call: u32,
}

impl StoreConfig {
    /// The lifetime of a path copy with `between` nodes between its holder and the key.
    #[must_use]
    pub fn copy_lifetime(&self, between: u32) -> Duration {
        let micros = u64::try_from(self.copy.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros.checked_shr(between).unwrap_or(0))
    }

    /// How often our own records are really published again, given how long they live: as `renew`
    /// says, but always early enough for a second try before they expire (mistake 16).
    #[must_use]
    pub fn renewal(&self, lifetime: Duration) -> Duration {
        self.renew.min(lifetime.saturating_sub(self.lookup) / 2)
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3_600);
        Self {
            value_lifetime: HOUR.saturating_mul(48),
            provider_lifetime: HOUR.saturating_mul(13),
            entry_lifetime: HOUR.saturating_mul(13),
            renew: HOUR.saturating_mul(6),
            republish: HOUR,
            lookup: Duration::from_secs(120),
            copy: HOUR.saturating_mul(6),
            enforce: Enforce::Public,
            max_records: 65_536,
            max_bytes: 32 << 20,
            max_source_records: 1_024,
            max_source_bytes: 512 << 10,
            max_providers: 1_000,
            max_entries: 1_000,
            max_changes: 0,
            work_per_call: 64,
        }
    }
}

// ---- content ----------------------------------------------------------------------------------

/// Fetching a file from several providers.
///
/// ```
/// let mut config = kadlet_core::config::FetchConfig::default();
/// config.in_flight = 16; // a page holds whole pieces in memory
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FetchConfig {
    /// Largest file taken, in bytes. 1 TiB: its hash list is 32 MiB, which a host holds in memory.
    pub max_size: u64,
    /// Providers asked or about to be asked; others wait for a place. 64: more never made a fetch
    /// faster, and every choice looks at each of them.
    pub providers: usize,
    /// Distinct addresses one fetch ever hears of: asked, waiting and dropped. 1024: a liar stays
    /// known for good, so the number of liars has to end somewhere.
    pub known: usize,
    /// Requests in flight to one provider, once it has shown that it delivers; 1 before. 4 hide a
    /// round trip of 300 ms at 10 MB/s.
    pub in_flight_per_provider: u32,
    /// Requests in flight altogether. 32: a host that buffers whole pieces holds 32 MiB.
    pub in_flight: usize,
    /// How much work a provider is given ahead, as time at its measured rate. 1 s outlasts a round
    /// trip, and is little to give to others should it vanish.
    pub pipeline: Duration,
    /// How long bytes are counted before they make a new measurement of a provider's rate.
    pub sample: Duration,
    /// Rate taken for granted before the first measurement, in bytes a second: an ordinary line.
    pub assumed_rate: u64,
    /// A request that made no progress for this long is given up. 8 s: longer than lost packets
    /// take to be sent again, shorter than a person's patience.
    pub stall_timeout: Duration,
    /// Below this rate, in bytes a second, a request is given up though it still trickles: a
    /// provider could else hold a piece for ever. 4 KiB/s: 256 s for a piece.
    pub min_rate: u64,
    /// After this time without an outcome a second provider is asked for the list, and the last
    /// pieces are asked of a second provider too. 1 s: several round trips.
    pub hedge_after: Duration,
    /// Providers whose hash lists are on trial at once. Each of them may hold a list in memory.
    pub trials: usize,
    /// Requests in flight for one piece. 2: more would only spend the providers' lines.
    pub copies: usize,
    /// Failures in a row after which a provider is dropped.
    pub failures: u32,
    /// Delay after a provider's first failure; doubles with each further one.
    pub backoff: Duration,
    /// Longest such delay.
    pub backoff_max: Duration,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            max_size: 1 << 40,
            providers: 64,
            known: 1024,
            in_flight_per_provider: 4,
            in_flight: 32,
            pipeline: Duration::from_secs(1),
            sample: Duration::from_millis(250),
            assumed_rate: 1 << 20,
            stall_timeout: Duration::from_secs(8),
            min_rate: 4 << 10,
            hedge_after: Duration::from_secs(1),
            trials: 8,
            copies: 2,
            failures: 4,
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
        }
    }
}

// ---- node -------------------------------------------------------------------------------------

/// The network a node belongs to, and with it the wire it speaks.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Network {
    /// Kadlet's own wire, in the network of this name. Networks with different names never merge.
    Native(String),
    /// BitTorrent's Mainline DHT (BEP 5).
    #[cfg(feature = "mainline")]
    Mainline,
}

impl Default for Network {
    fn default() -> Self {
        Self::Native("kadlet".to_string())
    }
}

/// What is made of ids that do not follow from their node's address (BEP 42). An id that does costs
/// an attacker addresses: it is a cost of 21 bits, not a wall.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum AddressIds {
    /// Nothing: any id will do, ours too.
    #[default]
    Ignore,
    /// Ours follows from our address once that is known; in a full bucket a node with such an id
    /// takes the place of one without.
    Prefer,
    /// As [`Prefer`](Self::Prefer), and nodes without are served and no more: they get no token,
    /// have no place in the table and do not count in lookups.
    Enforce,
}

/// Whether others may rely on us.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Role {
    /// Server on loopback and private networks; on public ones client until a stranger, asked by
    /// one of our contacts, has reached us.
    #[default]
    Auto,
    /// Never in anybody's table: asks, and answers what it is asked (on Mainline nothing, BEP 43).
    /// For one-shot commands.
    Client,
    /// In others' tables from the start.
    Server,
}

/// All settings of a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The network, and with it the wire. Default: native, "kadlet".
    pub network: Network,
    /// Whether others may rely on us. Default: found out.
    pub role: Role,
    /// What is made of ids that do not follow from an address. Default: nothing; Mainline: prefer.
    pub address_ids: AddressIds,
    /// What we tell others we can do, beside ping and find_node. Default: store, signal.
    pub capabilities: Capabilities,
    /// Routing tables.
    pub table: Shared<TableConfig>,
    /// Lookups.
    pub lookup: Shared<LookupConfig>,
    /// The estimate of the network's size.
    pub estimate: EstimateConfig,
    /// Timeouts.
    pub requests: Shared<RequestConfig>,
    /// Write tokens and cookies.
    pub tokens: TokenConfig,
    /// What one source may cost us.
    pub limits: Shared<LimitConfig>,
    /// What we keep for others.
    pub store: Shared<StoreConfig>,
    /// An operation that was given no deadline of its own ends after this. Default: 60 s, which
    /// even a lookup among silent contacts does not need.
    pub deadline: Duration,
    /// Operations at once; one more ends the oldest refresh, or else is refused. Default: 4,096:
    /// each holds about 8 kB while it lasts.
    pub max_operations: usize,
    /// Our own records are renewed this often. Default: 5 h, less a random quarter: well below the
    /// 13 h that holders keep them, so that one missed renewal loses nothing (design: 6 h at most).
    pub renew_after: Duration,
    /// Records a node renews for itself; one more is published once. Default: 100,000.
    pub max_publications: usize,
    /// Addresses remembered for having shown that they receive our datagrams. Default: 4,096, at
    /// 40 B; the longest unheard of gives way.
    pub max_proven: usize,
    /// How long such a proof lasts. Default: 10 min, as a token's.
    pub proof_lifetime: Duration,
    /// Whether answers to addresses without proof are held to three times the question. Default:
    /// for public addresses.
    pub amplification: Enforce,
    /// How many datagrams may wait to be polled. Default: 65,536; what is sent beyond that counts
    /// as lost, as it would be in a socket's buffer.
    pub max_transmits: usize,
    /// How many events may wait to be polled. Default: 65,536; details beyond that are dropped and
    /// counted, `Done` never is.
    pub max_events: usize,
    /// Further pages of holders' lists that one operation asks for, all holders together. Default:
    /// 64, which is 40 kB: some 400 search entries, or 2,000 providers.
    pub max_pages: u32,
    /// Results of one operation kept to tell new ones from known ones. Default: 4,096.
    pub max_found: usize,
    /// Whether records are kept with, and looked for among, all nodes within the distance in which
    /// k are expected, and not the k closest alone. Default: yes; where nobody crowds a key it costs
    /// two or three questions more.
    pub region: bool,
    /// Whether a value that was found is copied to the closest contact that did not have it
    /// (section 4.1). Default: no; it pays where a few values are wanted by many.
    pub path_copies: bool,
    /// One in this many messages carries a field nobody knows, so that nobody forgets to ignore
    /// them; 0: none. Default: 100.
    pub grease_one_in: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            network: Network::default(),
            role: Role::Auto,
            address_ids: AddressIds::Ignore,
            capabilities: Capabilities::STORE.union(Capabilities::SIGNAL),
            table: Shared::default(),
            lookup: Shared::default(),
            estimate: EstimateConfig::default(),
            requests: Shared::default(),
            tokens: TokenConfig::default(),
            limits: Shared::default(),
            store: Shared::default(),
            deadline: Duration::from_secs(60),
            max_operations: 4_096,
            renew_after: Duration::from_secs(5 * 3_600),
            max_publications: 100_000,
            max_proven: 4_096,
            proof_lifetime: Duration::from_secs(600),
            amplification: Enforce::Public,
            max_transmits: 65_536,
            max_events: 65_536,
            max_pages: 64,
            max_found: 4_096,
            region: true,
            path_copies: false,
            grease_one_in: 100,
        }
    }
}

#[cfg(feature = "mainline")]
impl Config {
    /// The settings of a node of BitTorrent's Mainline DHT: the same node, with the numbers that its
    /// neighbours there have and expect.
    #[must_use]
    pub fn mainline() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        let mut config = Self { network: Network::Mainline, ..Self::default() };
        config.address_ids = AddressIds::Prefer;
        // BEP 5; α as libtorrent has it.
        config.table.k = 8;
        config.table.refresh_after = 15 * MINUTE;
        config.lookup.k = 8;
        config.lookup.alpha = 5;
        config.lookup.beside = 8;
        // One retransmission more is one packet more towards a ban: BEP 5 knows none.
        config.requests.repeats = 0;
        config.tokens.bind_id = false;
        config.limits.questions_per_host = Some(Rate::new(3, 10));
        // BEP 44, and half of what BEP 5's programs keep peers for.
        config.store.value_lifetime = 120 * MINUTE;
        config.store.republish = 60 * MINUTE;
        config.store.provider_lifetime = 45 * MINUTE;
        config.renew_after = 25 * MINUTE;
        // There are no cookies by which an address could show itself. What answers are held to
        // instead: lists are short, and stored data has a budget by prefix.
        config.amplification = Enforce::Nobody;
        // BEP 44 puts to the k closest that gave a token, and to no others.
        config.region = false;
        config.grease_one_in = 0;
        config
    }
}
