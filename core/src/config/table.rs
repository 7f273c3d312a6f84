//! The numbers of a routing table.

use core::time::Duration;

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
