//! Several threads in one run: each has a shard, and all of them go forward in windows of virtual
//! time that are no longer than the least delay of a datagram.
//!
//! Within a window nothing that leaves one shard can arrive at another, so each thread runs its
//! shard alone. At the border of the window they hand each other what is to arrive later, agree on
//! the earliest thing that happens anywhere, and open the next window there (conservative
//! synchronisation: Chandy and Misra 1979; bounded lag: Lubachevsky 1989). Where meeting costs more
//! than it brings, one thread runs all shards, window by window ([`Pace`]).

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use kadlet_core::Instant;

use super::pace::{Pace, Way};
use super::passage::Ground;
use super::shard::{Letter, Shard};

/// Shorter windows cost more in meeting than they bring.
const SHORTEST: Duration = Duration::from_micros(200);
/// How often a thread that waits looks before it lets others have the processor.
const LOOKS: u32 = 200;

/// Windows until it is asked again whether threads are worth their meetings.
const STRETCH: u64 = 256;

/// Lets everything happen that happens before `end`; whether windows long enough are possible.
pub(super) fn run_before(
    shards: &mut [Shard],
    ground: &Ground<'_>,
    pace: &mut Pace,
    end: Instant,
) -> bool {
    let window = ground.config.link.least_delay();
    if window < SHORTEST {
        return false;
    }
    let sent = |shards: &[Shard]| shards.iter().map(|shard| shard.counters.sent).sum::<u64>();
    loop {
        let (begun, before) = (std::time::Instant::now(), sent(shards));
        let is_over = match pace.way() {
            Way::Alone => alone(shards, ground, window, end),
            Way::Together => together(shards, ground, window, end),
        };
        pace.note(begun.elapsed(), sent(shards) - before);
        if is_over {
            return true;
        }
    }
}

/// A stretch of windows, all shards by this thread; whether the last reached the end.
fn alone(shards: &mut [Shard], ground: &Ground<'_>, window: Duration, end: Instant) -> bool {
    for _ in 0..STRETCH {
        let starts = shards.iter_mut().filter_map(|shard| shard.queue.next());
        let Some(start) = starts.map(|(at, _)| at).min().filter(|start| *start < end) else {
            return true;
        };
        for shard in &mut *shards {
            shard.run_before(ground, end.min(start + window));
        }
        deliver(shards);
    }
    false
}

/// Hands the shards what others have for them, while no thread does.
pub(super) fn deliver(shards: &mut [Shard]) {
    if shards.len() == 1 {
        return;
    }
    for from in 0..shards.len() {
        for to in 0..shards.len() {
            let mut letters = core::mem::take(&mut shards[from].out.letters[to]);
            for letter in letters.drain(..) {
                shards[to].receive(letter);
            }
            shards[from].out.letters[to] = letters;
        }
    }
}

/// A stretch of windows, each shard by a thread of its own; whether the last reached the end.
fn together(shards: &mut [Shard], ground: &Ground<'_>, window: Duration, end: Instant) -> bool {
    let meeting = Meeting::new(shards.len());
    std::thread::scope(|scope| {
        // Should a thread not begin, those that have are not to wait for it.
        let _alarm = Alarm(&meeting.broken);
        let meeting = &meeting;
        let mut shards = shards.iter_mut().enumerate();
        let first = shards.next();
        for (number, shard) in shards {
            scope.spawn(move || meeting.work(number, shard, ground, window, end));
        }
        // Without a shard there is nothing to run.
        first.is_none_or(|(number, shard)| meeting.work(number, shard, ground, window, end))
    })
}

/// Where threads meet between windows.
struct Meeting {
    shards: usize,
    /// How many have come, over all windows.
    arrived: AtomicU64,
    /// A thread has panicked: nobody may wait for it.
    broken: AtomicBool,
    /// The earliest that each shard knows of. Two of them, used in turn: who is quick writes for
    /// the next window while others still read for this one.
    earliest: [Vec<AtomicU64>; 2],
    /// From each to each.
    letters: Vec<Mutex<Vec<Letter>>>,
}

impl Meeting {
    fn new(shards: usize) -> Self {
        let earliest = || (0..shards).map(|_| AtomicU64::new(u64::MAX)).collect();
        Self {
            shards,
            arrived: AtomicU64::new(0),
            broken: AtomicBool::new(false),
            earliest: [earliest(), earliest()],
            letters: (0..shards * shards).map(|_| Mutex::default()).collect(),
        }
    }

    /// A stretch of a shard's windows; whether the last reached the end.
    fn work(
        &self,
        number: usize,
        shard: &mut Shard,
        ground: &Ground<'_>,
        window: Duration,
        end: Instant,
    ) -> bool {
        let _alarm = Alarm(&self.broken);
        let mut round = 0;
        loop {
            let earliest = &self.earliest[round as usize % 2];
            let posted = self.post(number, shard);
            let own = shard.queue.next().map_or(u64::MAX, |(at, _)| at.as_micros());
            earliest[number].store(own.min(posted), Ordering::SeqCst);
            if !self.meet(round) {
                // The panic goes on when all have returned.
                return true;
            }
            self.collect(number, shard);
            let start = earliest.iter().map(|at| at.load(Ordering::SeqCst)).min();
            let start = Instant::from_micros(start.unwrap_or(u64::MAX));
            if start >= end {
                return true;
            }
            if round == STRETCH {
                return false;
            }
            shard.run_before(ground, end.min(start + window));
            round += 1;
        }
    }

    /// Lays out what is for others; when the first of it arrives.
    fn post(&self, number: usize, shard: &mut Shard) -> u64 {
        let mut earliest = u64::MAX;
        for (to, letters) in shard.out.letters.iter_mut().enumerate() {
            for letter in &*letters {
                earliest = earliest.min(letter.at.as_micros());
            }
            if !letters.is_empty() {
                let place = &self.letters[to * self.shards + number];
                place.lock().unwrap_or_else(PoisonError::into_inner).append(letters);
            }
        }
        earliest
    }

    fn collect(&self, number: usize, shard: &mut Shard) {
        for place in &self.letters[number * self.shards..][..self.shards] {
            for letter in place.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                shard.receive(letter);
            }
        }
    }

    /// Waits until all have come; false if one of them never will.
    fn meet(&self, round: u64) -> bool {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let mut looks = 0;
        while self.arrived.load(Ordering::SeqCst) < (round + 1) * self.shards as u64 {
            if self.broken.load(Ordering::SeqCst) {
                return false;
            }
            looks += 1;
            if looks < LOOKS {
                core::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        true
    }
}

/// Tells the others of a panic.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use kadlet_core::Config;

    use super::*;
    use crate::network::{Network, NodeOptions, SimConfig};
    use crate::{Sessions, report::NotAtRest};

    fn run(threads: usize, way: Way) -> Result<(u64, u64), NotAtRest> {
        let mut config = SimConfig::with_seed(3);
        (config.threads, config.trace) = (threads, true);
        let mut net = Network::new(config);
        net.pace = Pace::only(way);
        net.grow(60, &Config::default())?;
        net.start_churn(Sessions::MEASURED, NodeOptions::new(Config::default()), &[]);
        // Several stretches.
        net.run_for(Duration::from_secs(600));
        Ok((net.trace_hash(), net.counters().sent))
    }

    #[test]
    fn either_way_gives_what_one_shard_gives() -> Result<(), NotAtRest> {
        let one = run(1, Way::Alone)?;
        assert_eq!(run(3, Way::Alone)?, one);
        assert_eq!(run(3, Way::Together)?, one);
        Ok(())
    }
}
