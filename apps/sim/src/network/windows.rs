//! Several threads in one run: each has a shard, and none is ahead of another by more virtual time
//! than the least delay of a datagram, the window.
//!
//! What leaves one shard arrives at another a window later at the earliest. So a shard may go on
//! until a window after the slowest of the others, once it has what they sent until then
//! (conservative synchronisation: Chandy and Misra 1979; bounded lag: Lubachevsky 1989). Nobody
//! meets: who has more to do just now falls back by a part of a window and the others go on, which
//! they could not do if all had to come to the border of each window. Where threads cost more than
//! they bring, one runs all shards, window by window ([`Pace`]).

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use kadlet_core::Instant;

use super::pace::{Pace, Way};
use super::passage::Ground;
use super::shard::{Letter, Shard};

/// In shorter windows threads cost more than they bring.
const SHORTEST: Duration = Duration::from_micros(200);
/// How often a thread that waits looks before it lets others have the processor.
const LOOKS: u32 = 200;

/// In how many steps a shard goes through a window: others may follow after each.
const STEPS: u32 = 8;

/// Windows until it is asked again whether threads are worth what they cost.
const STRETCH: u32 = 256;

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

/// A stretch of windows, each shard by a thread of its own; whether it reached the end.
fn together(shards: &mut [Shard], ground: &Ground<'_>, window: Duration, end: Instant) -> bool {
    let starts = shards.iter_mut().filter_map(|shard| shard.queue.next());
    let Some(start) = starts.map(|(at, _)| at).min().filter(|start| *start < end) else {
        return true;
    };
    let stretch = end.min(start + window * STRETCH);
    let march = March::new(shards.len(), start, window, stretch);
    std::thread::scope(|scope| {
        // Should a thread not begin, those that have are not to wait for it.
        let _alarm = Alarm(&march.broken);
        let march = &march;
        let mut shards = shards.iter_mut().enumerate();
        let first = shards.next();
        for (number, shard) in shards {
            scope.spawn(move || march.walk(number, shard, ground));
        }
        if let Some((number, shard)) = first {
            march.walk(number, shard, ground);
        }
    });
    // What was sent when its receiver had already gone as far as it may.
    for (number, shard) in shards.iter_mut().enumerate() {
        march.collect(number, shard);
    }
    stretch == end
}

/// How far each shard is, and what they have for each other.
struct March {
    window: Duration,
    /// How far all of them go.
    end: Instant,
    reached: Vec<Reached>,
    /// From each to each.
    letters: Vec<Mutex<Vec<Letter>>>,
    /// A thread has panicked: nobody may wait for it.
    broken: AtomicBool,
}

/// All that happens in a shard before this moment has happened, and what it sent to others then
/// lies there for them. In microseconds; alone on its cache lines, as one writes while others read.
#[repr(align(128))]
struct Reached(AtomicU64);

impl March {
    fn new(shards: usize, start: Instant, window: Duration, end: Instant) -> Self {
        Self {
            window,
            end,
            reached: (0..shards).map(|_| Reached(AtomicU64::new(start.as_micros()))).collect(),
            letters: (0..shards * shards).map(|_| Mutex::default()).collect(),
            broken: AtomicBool::new(false),
        }
    }

    /// Takes a shard to the end.
    fn walk(&self, number: usize, shard: &mut Shard, ground: &Ground<'_>) {
        let _alarm = Alarm(&self.broken);
        let own = &self.reached[number].0;
        let mut here = Instant::from_micros(own.load(Ordering::Relaxed));
        while here < self.end {
            let Some(horizon) = self.wait_beyond(here, number) else {
                return; // The panic goes on when all have returned.
            };
            self.collect(number, shard);
            while here < horizon {
                here = horizon.min(here + self.window / STEPS);
                shard.run_before(ground, here);
                self.post(number, shard);
                own.store(here.as_micros(), Ordering::Release);
            }
        }
    }

    /// How far a shard may go, as soon as that is farther than it has come; none if one of the
    /// others will never get there.
    fn wait_beyond(&self, here: Instant, number: usize) -> Option<Instant> {
        let mut looks = 0;
        loop {
            // Whoever sees how far another is sees all that it has put down before.
            let others = self.reached.iter().enumerate().filter(|(other, _)| *other != number);
            let slowest = others.map(|(_, reached)| reached.0.load(Ordering::Acquire)).min();
            let horizon = slowest.map_or(self.end, |at| Instant::from_micros(at) + self.window);
            if horizon.min(self.end) > here {
                return Some(horizon.min(self.end));
            }
            if self.broken.load(Ordering::Relaxed) {
                return None;
            }
            looks += 1;
            if looks < LOOKS {
                core::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// Lays out what is for others.
    fn post(&self, number: usize, shard: &mut Shard) {
        for (to, letters) in shard.out.letters.iter_mut().enumerate() {
            if !letters.is_empty() {
                let place = &self.letters[to * self.reached.len() + number];
                place.lock().unwrap_or_else(PoisonError::into_inner).append(letters);
            }
        }
    }

    fn collect(&self, number: usize, shard: &mut Shard) {
        let shards = self.reached.len();
        for place in &self.letters[number * shards..][..shards] {
            for letter in place.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                shard.receive(letter);
            }
        }
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
    use crate::{Rtt, Sessions, report::NotAtRest};

    fn run(threads: usize, way: Way, rtt: Rtt) -> Result<(u64, u64), NotAtRest> {
        let mut config = SimConfig::with_seed(3);
        (config.threads, config.trace) = (threads, true);
        config.link.rtt = rtt;
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
        // Where no datagram takes longer than the shortest way, whoever goes too far is too late.
        for rtt in [Rtt::INTERNET, Rtt::Constant(Duration::from_millis(20))] {
            let one = run(1, Way::Alone, rtt)?;
            assert_eq!(run(3, Way::Alone, rtt)?, one);
            assert_eq!(run(3, Way::Together, rtt)?, one);
        }
        Ok(())
    }
}
