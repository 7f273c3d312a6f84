//! The core's time: since the node's own start, and on while the machine sleeps.
//!
//! Tokio's clock stands still meanwhile (CLOCK_MONOTONIC on Linux), and those who hold our records
//! do not: a node that believed that no time had passed would renew them hours after they are gone.

use core::time::Duration;

use kadlet_core::Instant;

/// Counts from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: tokio::time::Instant,
    /// For how long the machine has slept, at some time before and until now.
    slept: fn() -> Duration,
    slept_before: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self::with(slept)
    }

    fn with(slept: fn() -> Duration) -> Self {
        Self { epoch: tokio::time::Instant::now(), slept, slept_before: slept() }
    }

    /// The time, as the core counts it.
    pub(crate) fn now(&self) -> Instant {
        let micros = (self.epoch.elapsed() + self.slept()).as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// When tokio's clock will have come to a time of the core's, if the machine stays awake.
    pub(crate) fn moment(&self, time: Instant) -> tokio::time::Instant {
        self.epoch + Duration::from_micros(time.as_micros()).saturating_sub(self.slept())
    }

    /// Of the machine's sleep since the start. In whole seconds: two clocks are not read at once, and
    /// what lies between is none of it.
    fn slept(&self) -> Duration {
        let since = (self.slept)().saturating_sub(self.slept_before);
        Duration::from_secs((since + Duration::from_millis(500)).as_secs())
    }

    /// When it was started.
    #[cfg(feature = "webrtc")]
    pub(crate) fn epoch(&self) -> std::time::Instant {
        self.epoch.into_std()
    }
}

/// For how long the machine has slept since it was switched on.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn slept() -> Duration {
    use rustix::time::{ClockId, Timespec, clock_gettime};
    let since = |Timespec { tv_sec, tv_nsec }| {
        let nanos = u64::try_from(tv_nsec).unwrap_or(0);
        Duration::from_secs(u64::try_from(tv_sec).unwrap_or(0)) + Duration::from_nanos(nanos)
    };
    let mut slept = Duration::ZERO;
    // What lies between two readings is no sleep: if it is long, they are taken again.
    for _ in 0..4 {
        let ids = [ClockId::Monotonic, ClockId::Boottime, ClockId::Monotonic];
        let [before, all, after] = ids.map(|id| since(clock_gettime(id)));
        slept = all.saturating_sub(before);
        if after.saturating_sub(before) < Duration::from_millis(100) {
            break;
        }
    }
    slept
}

/// On Windows tokio's clock goes on in sleep. On macOS it does not, and nothing is done about it yet.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn slept() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    static SLEPT: AtomicU64 = AtomicU64::new(7_000_300);

    #[test]
    fn a_night_in_which_the_machine_sleeps_counts() {
        let clock = Clock::with(|| Duration::from_millis(SLEPT.load(Ordering::Relaxed)));
        let (before, hour) = (clock.now(), Duration::from_secs(3_600));
        // Read at two moments, the clocks differ by a little.
        SLEPT.fetch_add(1, Ordering::Relaxed);
        assert_eq!(clock.slept(), Duration::ZERO);
        SLEPT.fetch_add(12 * 3_600_000, Ordering::Relaxed);
        assert_eq!(clock.slept(), 12 * hour);
        assert!(clock.now().since(before) >= 12 * hour);
        // What was due in the night is due at once, and what is due in an hour is so by both clocks.
        let now = tokio::time::Instant::now();
        assert!(clock.moment(before + hour) <= now);
        assert!(clock.moment(clock.now() + hour) >= now + hour - Duration::from_micros(1));
    }

    #[test]
    fn the_real_ones_agree_while_nothing_sleeps() {
        let clock = Clock::start();
        let now = clock.now();
        assert!(clock.moment(now) <= tokio::time::Instant::now());
        assert_eq!(clock.slept(), Duration::ZERO);
    }
}
