//! How somebody outside follows a run, and stops it.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use kadlet_core::Instant;

/// Shared with a run: where its virtual clock stands, how many datagrams it has simulated, and
/// whether it shall stop. It changes no result of a run that is not stopped.
#[derive(Clone, Default, Debug)]
pub struct Watch(Arc<State>);

#[derive(Default, Debug)]
struct State {
    now: AtomicU64,
    end: AtomicU64,
    datagrams: AtomicU64,
    stop: AtomicBool,
}

impl Watch {
    /// The virtual time of the run.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.0.now.load(Ordering::Relaxed))
    }

    /// Datagrams that have been sent in it.
    #[must_use]
    pub fn datagrams(&self) -> u64 {
        self.0.datagrams.load(Ordering::Relaxed)
    }

    /// What part of the run's virtual time has passed, from 0 to 1; none before it is known when
    /// that ends: networks take their time to grow.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let end = self.0.end.load(Ordering::Relaxed);
        // Far below 2^53 microseconds.
        (end > 0).then(|| (self.0.now.load(Ordering::Relaxed) as f64 / end as f64).min(1.0))
    }

    /// The run ends soon and has no result.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }

    /// Whether it was stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.stop.load(Ordering::Relaxed)
    }

    /// The run will end about then.
    pub(crate) fn expect(&self, end: Instant) {
        self.0.end.store(end.as_micros(), Ordering::Relaxed);
    }

    pub(crate) fn note(&self, now: Instant, datagrams: u64) {
        self.0.now.store(now.as_micros(), Ordering::Relaxed);
        self.0.datagrams.store(datagrams, Ordering::Relaxed);
    }
}

/// Two runs are followed by the same or not.
impl PartialEq for Watch {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
