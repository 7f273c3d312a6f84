//! The numbers of outstanding requests: timeouts above all.

use core::time::Duration;

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
    /// Silent requests in a row after which it is we who are offline. 10.
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
