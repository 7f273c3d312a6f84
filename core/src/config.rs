//! Every number of the protocol, with its unit, its reason and its default.

use core::time::Duration;

// ---- routing table ----------------------------------------------------------------------------

// ---- lookup -----------------------------------------------------------------------------------

/// One iterative lookup ([`Lookup`](crate::Lookup)).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LookupConfig {
    /// k: how many contacts a lookup looks for, per address family and path. 20 as in the paper:
    /// that all twenty leave within an hour is improbable. At least 1.
    pub k: usize,
    /// α: questions in flight per path, as long as answers bring closer contacts. 3 as in the paper;
    /// silent contacts give their slot back early, so more buys little time. At least 1.
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
}

impl Default for LookupConfig {
    fn default() -> Self {
        Self {
            k: 20,
            alpha: 3,
            paths: 1,
            candidates: 128,
            addresses_per_id: 3,
            questions: 400,
            region: 80,
            per_prefix: 4,
            spare_local: true,
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
    /// Lookups before there is an estimate. 5: one lookup alone, near an attacked key, says nothing.
    pub enough: usize,
    /// Contacts a lookup must have found to be a sample. 5: fewer scatter by more than half.
    pub closest: usize,
}

impl Default for EstimateConfig {
    fn default() -> Self {
        Self { samples: 32, enough: 5, closest: 5 }
    }
}

// ---- requests ---------------------------------------------------------------------------------

/// Outstanding requests and their timeouts ([`Requests`](crate::Requests)).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequestConfig {
    /// Requests outstanding at once. 4096: at the hard timeout of 2 s this is 2,000 silent contacts a
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
    /// The hard timeout, after which a request is dead, before anything was measured. 5 s.
    pub hard_initial: Duration,
    /// Least hard timeout. 2 s: long enough for one lost and repeated packet of a link below us.
    pub hard_min: Duration,
    /// Greatest hard timeout. 10 s, the constant of most others.
    pub hard_max: Duration,
    /// The hard timeout in percent of the 99th percentile of round trips. 400.
    pub hard_percent: u32,
    /// Round trips to be measured before they are believed. 16: the 90th percentile of fewer is noise.
    pub samples: u32,
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
            hard_initial: Duration::from_secs(5),
            hard_min: Duration::from_secs(2),
            hard_max: Duration::from_secs(10),
            hard_percent: 400,
            samples: 16,
            memory: 512,
            offline_after: 10,
        }
    }
}

// ---- tokens and limits ------------------------------------------------------------------------

// ---- store ------------------------------------------------------------------------------------

// ---- content ----------------------------------------------------------------------------------

// ---- node -------------------------------------------------------------------------------------
