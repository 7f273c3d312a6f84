//! Whether threads are worth what they cost: measured while they run.
//!
//! What two threads bring depends on how much happens in a window, on the caches, and on who else
//! wants the processors: beside other work a run of two threads took ten times as long as one thread
//! alone. So both ways are tried in turn, and the quicker one is kept for a while. The results are
//! those of one thread either way; only the time until they are there differs.

use core::time::Duration;

/// How a stretch of windows is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// Each shard by a thread of its own; they wait for each other.
    Together,
    /// All shards by the thread that was called.
    Alone,
}

impl Way {
    const fn other(self) -> Self {
        match self {
            Self::Together => Self::Alone,
            Self::Alone => Self::Together,
        }
    }
}

/// A stretch in which less than this passed says nothing yet.
const TRIAL: Duration = Duration::from_nanos(TRIAL_NANOS);
const TRIAL_NANOS: u64 = 10_000_000;
/// The longest until the other way is tried again, in trials of the better one.
const LONGEST: u32 = 1_024;
/// For one part of the time that goes into a trial that is lost, so many go into the better way.
const WORTH: u32 = 16;

/// Which way is the quicker one.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    best: Way,
    /// What the best costs, in nanoseconds a datagram.
    cost: u64,
    trying: bool,
    /// Trials of the best until the other is tried, and how many there are between two.
    left: u32,
    pause: u32,
    spent: Duration,
    datagrams: u64,
}

impl Default for Pace {
    fn default() -> Self {
        let (spent, datagrams) = (Duration::ZERO, 0);
        Self {
            best: Way::Together,
            cost: u64::MAX,
            trying: false,
            left: 1,
            pause: 1,
            spent,
            datagrams,
        }
    }
}

impl Pace {
    /// One way for ever.
    #[cfg(test)]
    pub(super) fn only(way: Way) -> Self {
        Self { best: way, left: u32::MAX, ..Self::default() }
    }

    /// How to run the next stretch.
    pub(super) const fn way(&self) -> Way {
        if self.trying { self.best.other() } else { self.best }
    }

    /// A stretch took so long, in which so many datagrams were sent.
    pub(super) fn note(&mut self, spent: Duration, datagrams: u64) {
        self.spent += spent;
        self.datagrams += datagrams;
        if self.spent < TRIAL {
            return;
        }
        let nanos = u64::try_from(self.spent.as_nanos()).unwrap_or(u64::MAX);
        let cost = nanos / self.datagrams.max(1);
        let trials = u32::try_from(nanos / TRIAL_NANOS).unwrap_or(u32::MAX);
        (self.spent, self.datagrams) = (Duration::ZERO, 0);
        if !self.trying {
            self.cost = cost;
            self.left -= 1;
            self.trying = self.left == 0;
            return;
        }
        self.trying = false;
        if cost < self.cost {
            (self.best, self.cost, self.pause) = (self.best.other(), cost, 1);
        } else {
            self.pause = (self.pause * 2).max(trials.saturating_mul(WORTH)).min(LONGEST);
        }
        self.left = self.pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a thousand stretches of 10 ms each, how many are run together when a datagram costs this.
    fn together(cost: impl Fn(u32, Way) -> u64) -> usize {
        let mut pace = Pace::default();
        let ways = (0..1_000).map(|stretch| {
            let way = pace.way();
            pace.note(TRIAL, 10_000_000 / cost(stretch, way));
            way
        });
        ways.filter(|way| *way == Way::Together).count()
    }

    #[test]
    fn the_quicker_way_is_kept_and_the_other_tried_now_and_then() {
        let quick_together = |_, way| if way == Way::Together { 1_000 } else { 2_000 };
        let share = together(quick_together);
        assert!((980..1_000).contains(&share), "{share}");
        let slow_together = |_, way| if way == Way::Together { 50_000 } else { 2_000 };
        let share = together(slow_together);
        assert!((1..20).contains(&share), "{share}");
    }

    #[test]
    fn it_changes_over_when_the_other_way_becomes_quicker() {
        let share = together(|stretch, way| match (way, stretch < 500) {
            (Way::Together, true) => 1_000,
            (Way::Together, false) => 50_000,
            (Way::Alone, _) => 2_000,
        });
        assert!((450..570).contains(&share), "{share}");
    }

    #[test]
    fn a_short_stretch_decides_nothing() {
        let mut pace = Pace::default();
        pace.note(TRIAL / 2, 1);
        assert_eq!(pace.way(), Way::Together);
        pace.note(TRIAL / 2, 1);
        assert_eq!(pace.way(), Way::Alone);
    }
}
