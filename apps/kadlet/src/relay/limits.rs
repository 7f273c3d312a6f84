//! How much of everything, each number with its reason, and the measure of a rate.

use core::net::IpAddr;
use core::time::Duration;
use std::time::Instant;

use crate::by_source::is_local;

/// What clients may take of a relay. Rates allow a burst of two seconds' worth.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Clients at once, those within their grace time included. 1,000: what is measured
    /// (docs/benchmarks.md); each holds a port of the machine and two or three descriptors.
    pub clients: usize,
    /// Clients of one source: an IPv4 /24 or an IPv6 /48, as the network itself counts its peers.
    /// 64: a school class behind one address, and one of a thousand cannot take it all.
    pub clients_per_source: usize,
    /// Whether what counts by source spares loopback and private addresses, where one prefix is
    /// everybody. On, as in the core.
    pub spare_local: bool,
    /// Datagrams a second of one client, each way. 500: joining asks 200 nodes within a second or
    /// two, and a lookup 20 to 60; ten of these at once are what a page does.
    pub datagrams_per_second: u32,
    /// Bytes a second of one client, each way. 256 KiB: the datagrams above at the usual size.
    pub bytes_per_second: u32,
    /// How many clients' rates one source may use together. 8: more than that at their limit at
    /// the same moment are no people.
    pub rates_per_source: u32,
    /// Addresses that one client writes to within a minute. 512: two joins and ten lookups, and
    /// nothing to scan networks with.
    pub destinations: usize,
    /// Datagrams to an address that has not answered yet; one more every 10 s. 6: two questions
    /// with two repetitions each, which is what the core asks before it gives up.
    pub unanswered: u8,
    /// The same once it has answered. 64: as many questions as an announcement of many files has
    /// open with one node.
    pub unanswered_known: u8,
    /// A client that sends no datagram for so long is sent away. 70 min: a node that is alive
    /// refreshes its buckets within the hour.
    pub idle: Duration,
    /// A client that says nothing at all for so long is not there; three pings have gone out by
    /// then. 75 s: a ping every 25 s, because what stands between (a reverse proxy, a home router)
    /// closes connections that are quiet for 60 s.
    pub silent: Duration,
    /// How long a session waits for its client to come back. 60 s: a reload, a change of network.
    pub grace: Duration,
    /// How long a port rests before somebody else gets it. 10 min: others forget a contact that
    /// does not answer within that time, so that nobody gets what was meant for another.
    pub port_rest: Duration,
    /// Clients that may serve others on a public network; further ones only ask. 10: as many
    /// contacts as a node's table takes from one prefix, which all clients of a relay share.
    pub serving: usize,
    /// Fetches of one session at once. 4: what a page's fetch has open with several providers.
    pub fetches: usize,
    /// Fetches of one source at once. 16: four pages that fetch all they can, and a quarter of
    /// what there is.
    pub fetches_per_source: usize,
    /// Fetches in all at once. 64: each may hold 64 KiB in memory.
    pub fetches_in_all: usize,
    /// Fetches a second that one session begins, and four times as many of one source. 16: four
    /// times what a page at its full rate asks for, and nothing to weary a stranger's server with.
    pub fetches_per_second: u32,
    /// Bytes a second that one session fetches. 4 MiB: a film, not a mirror.
    pub fetched_bytes_per_second: u32,
    /// STUN requests a second that one source is answered. 20: a page asks once or twice for each
    /// connection it opens. What an answer is longer than its request (12 bytes, 24 over IPv6)
    /// is worth nothing to somebody who forges his address.
    pub stun_per_second: u32,
}

impl Limits {
    /// Fetches a second of one source: of four pages at their full rate.
    pub(super) const fn fetches_per_second_of_source(&self) -> u32 {
        self.fetches_per_second.saturating_mul(4)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 1_000,
            clients_per_source: 64,
            spare_local: true,
            datagrams_per_second: 500,
            bytes_per_second: 256 << 10,
            rates_per_source: 8,
            destinations: 512,
            unanswered: 6,
            unanswered_known: 64,
            idle: Duration::from_secs(70 * 60),
            silent: Duration::from_secs(75),
            grace: Duration::from_secs(60),
            port_rest: Duration::from_secs(10 * 60),
            serving: 10,
            fetches: 4,
            fetches_per_source: 16,
            fetches_in_all: 64,
            fetches_per_second: 16,
            fetched_bytes_per_second: 4 << 20,
            stun_per_second: 20,
        }
    }
}

impl Limits {
    /// Whether whoever is at `ip` is counted by his source. What is no node's address is.
    pub(super) fn count(&self, ip: IpAddr) -> bool {
        !(self.spare_local && is_local(ip))
    }
}

/// The seconds' worth that a rate lets through at once.
const BURST: Duration = Duration::from_secs(2);

/// One rate, kept as the time at which all that was taken will be paid for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    per_second: u32,
    paid: Instant,
}

impl Rate {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second: per_second.max(1), paid: now }
    }

    /// What `amount` costs.
    fn cost(&self, amount: usize) -> Duration {
        let amount = u32::try_from(amount).unwrap_or(u32::MAX);
        Duration::from_secs(1) * amount / self.per_second
    }

    /// Whether `amount` may pass now.
    pub(super) fn has(&self, amount: usize, now: Instant) -> bool {
        let paid = self.paid.max(now) + self.cost(amount);
        paid.duration_since(now) <= BURST
    }

    /// Takes `amount`, which [`Self::has`] allowed.
    pub(super) fn take(&mut self, amount: usize, now: Instant) {
        self.paid = self.paid.max(now) + self.cost(amount);
    }

    /// Takes `amount` in any case, and says how long to wait until it is paid for but the burst.
    pub(super) fn owe(&mut self, amount: usize, now: Instant) -> Duration {
        self.take(amount, now);
        self.paid.saturating_duration_since(now).saturating_sub(BURST)
    }

    /// Whether nothing is owed: then there is nothing to remember.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.paid <= now
    }
}

/// Datagrams and their bytes, one way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    datagrams: Rate,
    bytes: Rate,
}

/// Which of the two rates is used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Over {
    Datagrams,
    Bytes,
}

impl Flow {
    /// `times` the rates of one client.
    pub(super) fn new(limits: &Limits, times: u32, now: Instant) -> Self {
        Self {
            datagrams: Rate::new(limits.datagrams_per_second.saturating_mul(times), now),
            bytes: Rate::new(limits.bytes_per_second.saturating_mul(times), now),
        }
    }

    /// Whether a datagram of `len` bytes may pass.
    pub(super) fn has(&self, len: usize, now: Instant) -> Result<(), Over> {
        if !self.datagrams.has(1, now) {
            return Err(Over::Datagrams);
        }
        if self.bytes.has(len, now) { Ok(()) } else { Err(Over::Bytes) }
    }

    /// It passes.
    pub(super) fn take(&mut self, len: usize, now: Instant) {
        self.datagrams.take(1, now);
        self.bytes.take(len, now);
    }

    /// Whether nothing is owed.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.datagrams.is_idle(now) && self.bytes.is_idle(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_lets_a_burst_through_and_then_its_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(10, start);
        let mut passed = |at: u64| {
            let now = start + Duration::from_millis(at);
            (0..100)
                .take_while(|_| {
                    rate.has(1, now) && {
                        rate.take(1, now);
                        true
                    }
                })
                .count()
        };
        assert_eq!(passed(0), 20);
        assert_eq!(passed(99), 0);
        assert_eq!(passed(100), 1);
        assert_eq!(passed(1_100), 10);
        assert_eq!(passed(60_000), 20);
    }

    #[test]
    fn nobody_is_spared_but_this_machine_and_its_neighbours() {
        let mut limits = Limits::default();
        let local = ["127.0.0.1", "192.168.1.1", "10.0.0.1", "::1", "fd00::1"];
        for ip in local {
            assert!(!limits.count(ip.parse().expect("an address")), "{ip}");
        }
        for ip in ["8.8.8.8", "2600::1", "192.0.2.1", "224.0.0.1", "::ffff:8.8.8.8"] {
            assert!(limits.count(ip.parse().expect("an address")), "{ip}");
        }
        limits.spare_local = false;
        for ip in local {
            assert!(limits.count(ip.parse().expect("an address")), "{ip}");
        }
    }

    #[test]
    fn what_is_owed_is_waited_for() {
        let start = Instant::now();
        let mut rate = Rate::new(1_000, start);
        assert_eq!(rate.owe(2_000, start), Duration::ZERO);
        assert_eq!(rate.owe(500, start), Duration::from_millis(500));
        assert!(!rate.is_idle(start) && rate.is_idle(start + Duration::from_secs(3)));
    }

    #[test]
    fn a_flow_says_which_of_its_rates_is_over() {
        let now = Instant::now();
        let limits =
            Limits { datagrams_per_second: 5, bytes_per_second: 1_000, ..Limits::default() };
        let mut flow = Flow::new(&limits, 1, now);
        flow.take(1_900, now);
        assert_eq!((flow.has(100, now), flow.has(101, now)), (Ok(()), Err(Over::Bytes)));
        for _ in 1..10 {
            flow.take(1, now);
        }
        assert_eq!(flow.has(1, now), Err(Over::Datagrams));
    }
}
