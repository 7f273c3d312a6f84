//! What one source may cost us.
//!
//! Every limit is a token bucket per source: so much a second, so much at once. A bucket is one
//! number, the moment at which it will be full again (the generic cell rate algorithm, ITU-T
//! I.371): spending moves the moment forward, and spending is refused where the moment would come
//! to lie more than a full bucket ahead. A source whose moment has passed need not be remembered.
//!
//! Sources are counted by prefix, since an owner of addresses has many, and queries by host too, so
//! that one loud host does not silence its neighbours. The memory is bounded. A flood of sources
//! must neither grow it nor buy a loud source a new start: the source that has spent least is
//! forgotten first, so whoever wants a debt forgotten has to pile up more such debts than there is
//! room for.
//!
//! Local addresses are spared by default (mistake 28), except by the global budget for signatures,
//! which protects our processor rather than fairness. What is dropped is counted.

use alloc::collections::binary_heap::{BinaryHeap, PeekMut};
use core::cmp::Reverse;
use core::net::{IpAddr, SocketAddr};

use crate::config::{LimitConfig, Rate, Shared};
use crate::contact::Prefix;
use crate::sorted::Map;
use crate::time::Instant;

/// How long a source with a full bucket is remembered nevertheless, in nanoseconds: one that comes
/// back every few seconds would else be entered anew every time.
const QUIET: u64 = 60 * 1_000_000_000;

/// What is about to be spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cost {
    /// A query to be answered; the source is its sender, or somebody who forges its address.
    Query,
    /// The same of one whose sender shows that the address is its own: whoever forges the address
    /// uses up nothing of this.
    ShownQuery,
    /// So many bytes of stored data in an answer; the source is who asked.
    StoredBytes(u32),
    /// A signature to be checked (37 µs); the source is who sent it.
    Signature,
    /// A question of ours; the source is the address it goes to.
    Question,
    /// A first question to an address that somebody named; the source is that address, and the one
    /// who named it pays as well.
    Candidate {
        /// Who named the address.
        named_by: SocketAddr,
    },
}

/// How much was refused, by what it would have cost.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Dropped {
    /// Queries not answered.
    pub queries: u64,
    /// Answers sent without the stored data.
    pub stored: u64,
    /// Records dropped with their signature unchecked.
    pub signatures: u64,
    /// Named addresses not asked.
    pub candidates: u64,
    /// Questions not sent.
    pub questions: u64,
}

/// The limits of one node, and what each source has spent of them.
///
/// ```
/// use kadlet_core::{Cost, Instant, Limits, config::LimitConfig};
///
/// let mut limits = Limits::new(LimitConfig::default());
/// let loud = "8.8.8.8:53".parse()?;
/// let answered = (0..1_000).filter(|_| limits.allow(Instant::EPOCH, Cost::Query, loud)).count();
/// assert_eq!((answered, limits.dropped().queries), (100, 900));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    config: Shared<LimitConfig>,
    query_hosts: Sources,
    query_prefixes: Sources,
    shown_hosts: Sources,
    shown_prefixes: Sources,
    stored_prefixes: Sources,
    signature_prefixes: Sources,
    candidate_prefixes: Sources,
    candidate_namers: Sources,
    asked_hosts: Sources,
    /// When the budget for signatures is full again.
    signatures: Full,
    dropped: Dropped,
}

impl Limits {
    /// Limits of which nothing is spent.
    #[must_use]
    pub fn new(config: impl Into<Shared<LimitConfig>>) -> Self {
        let config = config.into();
        Self {
            query_hosts: Sources::new(config.max_sources),
            query_prefixes: Sources::new(config.max_sources),
            shown_hosts: Sources::new(config.max_sources),
            shown_prefixes: Sources::new(config.max_sources),
            stored_prefixes: Sources::new(config.max_sources),
            signature_prefixes: Sources::new(config.max_sources),
            candidate_prefixes: Sources::new(config.max_sources),
            candidate_namers: Sources::new(config.max_sources),
            asked_hosts: Sources::new(config.max_sources),
            signatures: Full(0),
            dropped: Dropped { queries: 0, stored: 0, signatures: 0, candidates: 0, questions: 0 },
            config,
        }
    }

    /// Whether limits by source are held against `source`.
    #[must_use]
    pub(crate) fn hold_for(&self, source: SocketAddr) -> bool {
        self.config.enforce.holds_for(source.ip())
    }

    /// Spends `cost` on `source`, if every limit that it touches has room for it; otherwise spends
    /// nothing, counts it as dropped and returns false.
    #[must_use]
    pub fn allow(&mut self, now: Instant, cost: Cost, source: SocketAddr) -> bool {
        let config = &self.config;
        let held = config.enforce.holds_for(source.ip());
        let (prefix, host) = (Prefix::of(source.ip()).number(), host_of(source.ip()));
        let (allowed, dropped) = match cost {
            Cost::Query | Cost::ShownQuery => {
                let by_host = Meter::new(now, config.queries_per_host, 1);
                let by_prefix = Meter::new(now, config.queries_per_prefix, 1);
                let (hosts, prefixes) = match cost {
                    Cost::ShownQuery => (&mut self.shown_hosts, &mut self.shown_prefixes),
                    _ => (&mut self.query_hosts, &mut self.query_prefixes),
                };
                let allowed = !held || both((hosts, host, by_host), (prefixes, prefix, by_prefix));
                (allowed, &mut self.dropped.queries)
            }
            Cost::StoredBytes(bytes) => {
                let meter = Meter::new(now, config.stored_bytes_per_prefix, bytes);
                let allowed = !held || self.stored_prefixes.spend(prefix, meter);
                (allowed, &mut self.dropped.stored)
            }
            Cost::Signature => {
                let budget = Meter::new(now, config.signatures, 1);
                let meter = Meter::new(now, config.signatures_per_prefix, 1);
                // The budget is looked at first and charged last: what one prefix is refused must
                // not use up what the others may spend.
                let full = budget
                    .spent(self.signatures)
                    .filter(|_| !held || self.signature_prefixes.spend(prefix, meter));
                if let Some(full) = full {
                    self.signatures = full;
                }
                (full.is_some(), &mut self.dropped.signatures)
            }
            Cost::Question => {
                let allowed = !held
                    || config
                        .questions_per_host
                        .is_none_or(|rate| self.asked_hosts.spend(host, Meter::new(now, rate, 1)));
                (allowed, &mut self.dropped.questions)
            }
            Cost::Candidate { named_by } => {
                let by_prefix = Meter::new(now, config.candidates_per_prefix, 1);
                let by_namer = Meter::new(now, config.candidates_per_namer, 1);
                let namer = host_of(named_by.ip());
                let prefixes = (&mut self.candidate_prefixes, prefix, by_prefix);
                let namers = (&mut self.candidate_namers, namer, by_namer);
                let allowed = match (held, config.enforce.holds_for(named_by.ip())) {
                    (true, true) => both(prefixes, namers),
                    (true, false) => prefixes.0.spend(prefixes.1, prefixes.2),
                    (false, true) => namers.0.spend(namers.1, namers.2),
                    (false, false) => true,
                };
                (allowed, &mut self.dropped.candidates)
            }
        };
        *dropped += u64::from(!allowed);
        allowed
    }

    /// What was refused since the start.
    #[must_use]
    pub const fn dropped(&self) -> Dropped {
        self.dropped
    }
}

/// Spends on two limits, or on neither.
fn both(
    (first, a, for_a): (&mut Sources, u64, Meter),
    (second, b, for_b): (&mut Sources, u64, Meter),
) -> bool {
    if let Some(full) = first.full.get_mut(&a) {
        let after = for_a.spent(*full).filter(|_| second.spend(b, for_b));
        *full = after.unwrap_or(*full);
        after.is_some()
    } else {
        for_a.spent(Full(0)).is_some() && second.spend(b, for_b) && first.spend(a, for_a)
    }
}

/// Whom one machine's addresses belong to: an IPv4 address, or the /64 of an IPv6 one, in which a
/// machine may choose freely. The families do not meet: no usable IPv6 address is below 2^32 here.
const fn host_of(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits() as u64,
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
    }
}

/// When a bucket is full again, in nanoseconds since the host's epoch: fine enough for a million
/// bytes a second. The count saturates after 584 years, when every bucket is full.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Full(u64);

/// What one amount means to a bucket of one rate, now.
#[derive(Clone, Copy)]
struct Meter {
    now: u64,
    cost: u64,
    /// How far ahead an empty bucket's moment lies.
    depth: u64,
}

impl Meter {
    fn new(now: Instant, rate: Rate, amount: u32) -> Self {
        let nanos = |units: u32| {
            u64::from(units).saturating_mul(1_000_000_000).checked_div(rate.per_second.into())
        };
        let now = now.as_micros().saturating_mul(1_000);
        match (nanos(amount), nanos(rate.burst)) {
            (Some(cost), Some(depth)) => Self { now, cost, depth },
            // Nothing per second: nothing at all.
            _ => Self { now, cost: 1, depth: 0 },
        }
    }

    /// The bucket after spending, if there is enough in it.
    fn spent(self, full: Full) -> Option<Full> {
        if self.cost > self.depth {
            return None;
        }
        let after = full.0.max(self.now).saturating_add(self.cost);
        (after <= self.now.saturating_add(self.depth)).then_some(Full(after))
    }
}

/// The sources of one limit that have spent something lately, hosts or prefixes, by number.
///
/// Spending moves a moment forward in the map alone; the heap, which has one place for each source,
/// learns of it when the source comes to its top. What the heap says is thus never later than the
/// truth, and a top that is up to date is the earliest of all. Each correction was paid for by a
/// spending, and nothing is allocated unless there are more sources than there ever were.
#[derive(Clone, Debug)]
struct Sources {
    full: Map<u64, Full>,
    earliest: BinaryHeap<Reverse<(Full, u64)>>,
    max: u32,
}

impl Sources {
    const fn new(max: u32) -> Self {
        Self { full: Map::new(), earliest: BinaryHeap::new(), max }
    }

    fn spend(&mut self, source: u64, meter: Meter) -> bool {
        if let Some(full) = self.full.get_mut(&source) {
            let Some(after) = meter.spent(*full) else { return false };
            *full = after;
            return true;
        }
        let Some(after) = meter.spent(Full(0)) else { return false };
        self.make_room(meter.now);
        self.full.insert(source, after);
        self.earliest.push(Reverse((after, source)));
        true
    }

    /// Forgets the source that spent least if there is no room, and otherwise up to two that have
    /// been quiet for a while: the memory shrinks as fast as it grows.
    fn make_room(&mut self, now: u64) {
        let mut forgotten = 0;
        while let Some(mut top) = self.earliest.peek_mut() {
            let Reverse((known, source)) = *top;
            let actual = self.full.get(&source).copied().unwrap_or(known);
            if actual != known {
                *top = Reverse((actual, source));
                continue;
            }
            let room = self.full.len() < (self.max as usize).max(1);
            if room && (actual.0.saturating_add(QUIET) > now || forgotten == 2) {
                return;
            }
            PeekMut::pop(top);
            self.full.remove(&source);
            forgotten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Enforce;

    fn public(n: u32) -> SocketAddr {
        // 20.0.0.0 and up: one address per /24 while n is below 2^20.
        SocketAddr::from(((0x1400_0000 + (n << 8)).to_be_bytes(), 6881))
    }

    fn local(n: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, n], 6881))
    }

    fn limits(change: impl FnOnce(&mut LimitConfig)) -> Limits {
        let mut config = LimitConfig::default();
        change(&mut config);
        Limits::new(config)
    }

    proptest! {
        /// Over any span a source gets at most the burst and the rate, and what the rate allows it
        /// is never refused: the bucket kept in full as the oracle.
        #[test]
        fn a_bucket_is_a_bucket(
            rate in 1_u32..20_000, burst in 1_u32..20_000,
            steps in proptest::collection::vec((0_u64..3_000_000, 0_u32..3_000), 1..100),
        ) {
            let mut limits = limits(|config| {
                config.stored_bytes_per_prefix = Rate::new(rate, burst);
            });
            let (mut now, mut passed) = (0_u64, alloc::vec![]);
            // In units of 10^-6: exact, as the rate is per 10^6 microseconds.
            let (whole, mut level) = (u64::from(burst) * 1_000_000, u64::from(burst) * 1_000_000);
            for (pause, amount) in steps {
                now += pause;
                level = whole.min(level + pause * u64::from(rate));
                let cost = u64::from(amount) * 1_000_000;
                let at = Instant::from_micros(now);
                let allowed = limits.allow(at, Cost::StoredBytes(amount), public(1));
                // Nanoseconds round: at most 2^-30 of a unit per call, in favour of the source.
                let slack = 100 * u64::from(rate) / 1_000 + 1_000_000;
                prop_assert!(allowed || cost > level);
                prop_assert!(!allowed || cost <= level + slack);
                if allowed {
                    level = level.saturating_sub(cost);
                    passed.push((now, u64::from(amount)));
                }
            }
            let total: u64 = passed.iter().map(|(_, amount)| amount).sum();
            prop_assert!(total <= u64::from(burst) + (now * u64::from(rate)).div_ceil(1_000_000) + 1);
        }
    }

    /// A flood of sources neither grows the memory nor buys a loud source a new start.
    #[test]
    fn a_flood_of_sources_forgets_no_loud_one() {
        let mut limits = limits(|config| config.max_sources = 256);
        let loud: alloc::vec::Vec<_> = (0..16).map(|n| public(n * 4_096)).collect();
        let now = Instant::from_secs(1);
        for source in &loud {
            while limits.allow(now, Cost::Query, *source) {}
        }
        for n in 0..50_000 {
            let _ = limits.allow(now, Cost::Query, public(n));
        }
        assert!(limits.query_hosts.full.len() <= 256 && limits.query_prefixes.full.len() <= 256);
        for source in &loud {
            assert!(!limits.allow(now, Cost::Query, *source), "{source} was forgotten");
        }
    }

    #[test]
    fn who_is_quiet_is_forgotten() {
        let mut limits = limits(|_| ());
        for n in 0..1_000 {
            let now = Instant::from_secs(n.into());
            assert!(limits.allow(now, Cost::Query, public(n)));
        }
        assert_eq!(limits.query_hosts.full.len(), 61);
    }

    /// Mistake 28: limits that are constants. Private networks and tests have them off, and what is
    /// dropped is counted.
    /// Whoever forges an address uses up nothing of what its owner may ask, and the owner no more
    /// than is its due.
    #[test]
    fn forged_queries_leave_their_owner_its_own() {
        let mut limits = limits(|_| ());
        let owner = public(1);
        let mut answered =
            |cost| (0..1_000).filter(|_| limits.allow(Instant::EPOCH, cost, owner)).count();
        assert_eq!([Cost::Query, Cost::ShownQuery].map(&mut answered), [100, 100]);
        assert_eq!([Cost::ShownQuery, Cost::Query].map(answered), [0, 0]);
        assert_eq!(limits.dropped().queries, 3_800);
    }

    #[test]
    fn local_addresses_are_spared_unless_told_otherwise() {
        let asked = |enforce, source| {
            let mut limits = limits(|config| config.enforce = enforce);
            let answered =
                (0..10_000).filter(|_| limits.allow(Instant::EPOCH, Cost::Query, source)).count();
            assert_eq!(limits.dropped().queries, 10_000 - answered as u64);
            answered
        };
        assert_eq!(asked(Enforce::Public, local(1)), 10_000);
        assert_eq!(asked(Enforce::Public, "192.168.1.1:1".parse().expect("an address")), 10_000);
        assert_eq!(asked(Enforce::Public, public(1)), 100);
        assert_eq!(asked(Enforce::Everybody, local(1)), 100);
        assert_eq!(asked(Enforce::Nobody, public(1)), 10_000);
    }

    #[test]
    fn a_prefix_is_limited_beyond_its_hosts() {
        let mut limits = limits(|_| ());
        let now = Instant::EPOCH;
        let hosts = (0..=255).map(|host| SocketAddr::from(([20, 0, 0, host], 1)));
        let answered: usize = hosts
            .map(|source| (0..100).filter(|_| limits.allow(now, Cost::Query, source)).count())
            .sum();
        assert_eq!(answered, 1_000);
        // The other ports of a host are the same host.
        assert!(!limits.allow(now, Cost::Query, "20.0.0.1:2".parse().expect("an address")));
    }

    #[test]
    fn signatures_have_one_budget_and_one_per_prefix() {
        let mut limits = limits(|_| ());
        let now = Instant::EPOCH;
        let mut checked =
            |source, n: u32| (0..n).filter(|_| limits.allow(now, Cost::Signature, source)).count();
        // What a prefix is refused is not charged to the others.
        assert_eq!(checked(public(1), 10_000), 100);
        let others: usize = (2..100).map(|n| checked(public(n), 100)).sum();
        assert_eq!(others, 900);
        // The budget is our processor's: local sources are not spared.
        assert_eq!(checked(local(1), 10), 0);
        assert_eq!(limits.dropped().signatures, 9_900 + 9_800 - 900 + 10);
        assert!(limits.allow(now + Duration::from_millis(1), Cost::Signature, local(1)));
    }

    #[test]
    fn candidates_are_limited_by_destination_and_by_who_named_them() {
        let mut limits = limits(|_| ());
        let mut asked =
            |named_by, to| limits.allow(Instant::EPOCH, Cost::Candidate { named_by }, to);
        // Many liars, one victim.
        assert_eq!((0..100).filter(|n| asked(public(1_000 + n), public(1))).count(), 16);
        // One liar, many victims.
        assert_eq!((0..1_000).filter(|n| asked(public(5_000), public(10_000 + n))).count(), 200);
        // A local contact may name what it likes, and local addresses are nobody's victims.
        assert!((0..1_000).all(|n| asked(local(1), public(20_000 + n))));
        assert!((0..1_000).all(|_| asked(local(1), local(2))));
    }

    #[test]
    fn a_limit_of_nothing_lets_nothing_through() {
        let mut limits = limits(|config| config.queries_per_host = Rate::new(0, 10));
        assert!(!limits.allow(Instant::from_micros(u64::MAX), Cost::Query, public(1)));
    }
}
