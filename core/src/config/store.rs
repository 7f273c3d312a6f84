//! The numbers of the store: how much, how long, how often.

use core::time::Duration;

use super::Enforce;

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
    /// (Kademlia, section 2.5): long against a lookup, short against half of the holders leaving. On
    /// Mainline nothing is handed on: its wire carries no age.
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
