//! What is measured of one system at one size.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::script::Group;
use crate::classics::{Answer, Cost};

/// All answers of one group.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tally {
    /// Queries asked.
    pub asked: u64,
    /// Those that led to the address of a running node with the file meant.
    pub found: u64,
    /// What they cost, all together.
    pub cost: Cost,
    /// Times to the first such address, of those found, in milliseconds and ascending order.
    pub first: Vec<f64>,
    /// Times to the last result, of the same.
    pub last: Vec<f64>,
    /// Results, and those that named a node which had left.
    pub results: u64,
    /// Of them.
    pub stale: u64,
    /// Nodes that looked, all together.
    pub reached: u64,
    /// Copies of a question that were for nothing.
    pub duplicates: u64,
}

impl Tally {
    /// The share that was found; not a number if nothing was asked.
    #[must_use]
    pub fn success(&self) -> f64 {
        ratio(self.found, self.asked)
    }

    /// Messages a query.
    #[must_use]
    pub fn messages(&self) -> f64 {
        ratio(self.cost.messages, self.asked)
    }

    /// Bytes a query.
    #[must_use]
    pub fn bytes(&self) -> f64 {
        ratio(self.cost.bytes, self.asked)
    }

    /// Nodes a query reached.
    #[must_use]
    pub fn reach(&self) -> f64 {
        ratio(self.reached, self.asked)
    }

    /// Messages that told nobody anything new.
    #[must_use]
    pub fn wasted(&self) -> f64 {
        ratio(self.duplicates, self.asked)
    }

    /// The share of results that name a node which has left.
    #[must_use]
    pub fn stale_share(&self) -> f64 {
        ratio(self.stale, self.results)
    }

    fn add(&mut self, answer: &Answer) {
        self.asked += 1;
        self.found += u64::from(answer.first.is_some());
        self.cost.add(answer.cost);
        let ms = |at: kadlet_core::Instant| at.since(answer.asked).as_secs_f64() * 1e3;
        self.first.extend(answer.first.map(ms));
        // What found nothing ends otherwise than what did: both times are of the same queries.
        self.last.extend(answer.last.filter(|_| answer.first.is_some()).map(ms));
        self.results += u64::from(answer.results);
        self.stale += u64::from(answer.stale);
        self.reached += u64::from(answer.reached);
        self.duplicates += u64::from(answer.duplicates);
    }
}

/// The tallies of some groups.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Answers(BTreeMap<Group, Tally>);

impl Answers {
    pub(super) fn add(&mut self, group: Group, answer: &Answer) {
        self.0.entry(group).or_default().add(answer);
    }

    /// Of one group.
    #[must_use]
    pub fn of(&self, group: Group) -> Tally {
        let mut tally = self.0.get(&group).cloned().unwrap_or_default();
        tally.first.sort_by(f64::total_cmp);
        tally.last.sort_by(f64::total_cmp);
        tally
    }
}

/// What it costs to be there, whether anybody asks or not: joining, publishing, keeping in touch.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Upkeep {
    /// Messages sent per node and hour.
    pub messages: f64,
    /// Bytes sent per node and hour.
    pub bytes: f64,
    /// Bytes sent and received in an hour by the machine that had most, of all that were there for
    /// some of it.
    pub busiest: f64,
    /// Bytes a node remembers: the mean, and the most.
    pub state: f64,
    /// See there.
    pub state_most: f64,
}

impl Upkeep {
    pub(super) fn new(
        cost: Cost,
        busiest: u64,
        (nodes, window): (u32, Duration),
        state: &[u64],
    ) -> Self {
        let hours = window.as_secs_f64() / 3_600.0;
        let per = 1.0 / (f64::from(nodes) * hours);
        Self {
            messages: cost.messages as f64 * per,
            bytes: cost.bytes as f64 * per,
            busiest: busiest as f64 / hours,
            state: ratio(state.iter().sum(), state.len() as u64),
            state_most: state.iter().max().copied().unwrap_or(0) as f64,
        }
    }
}

/// Counts of a simulation are far below 2^53.
pub(super) fn ratio(part: u64, of: u64) -> f64 {
    part as f64 / of as f64
}

/// Where a share lies of which so many cases of all were seen, with 95 % confidence (Wilson 1927).
pub(super) fn wilson(cases: u64, of: u64) -> [f64; 2] {
    const Z: f64 = 1.959_964;
    let (n, p) = (of as f64, ratio(cases, of));
    let (centre, z) = (p + Z * Z / (2.0 * n), Z * Z / n);
    let half = Z * libm::sqrt(p * (1.0 - p) / n + z / (4.0 * n));
    let [from, to] = [-half, half].map(|half| (centre + half) / (1.0 + z));
    // Exactly, where rounding would come close.
    [if cases == 0 { 0.0 } else { from }, if cases == of { 1.0 } else { to }]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newcombe (1998) has 81 of 263, and none of 20, among his examples.
    #[test]
    fn intervals_are_as_published() {
        let rounded = |bounds: [f64; 2]| bounds.map(|bound| libm::round(bound * 1e4) / 1e4);
        assert_eq!(rounded(wilson(81, 263)), [0.2553, 0.3662]);
        assert_eq!(rounded(wilson(0, 20)), [0.0, 0.1611]);
        assert_eq!(rounded(wilson(20, 20)), [0.8389, 1.0]);
        for of in 1..1_000 {
            assert!(wilson(0, of)[0] <= 0.0 && wilson(of, of)[1] >= 1.0, "{of}");
        }
    }
}
