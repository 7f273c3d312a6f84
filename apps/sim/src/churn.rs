//! Nodes that come and go: each stays for a drawn time and is replaced by a stranger at once, so
//! that the size of the network stays the same.

use core::time::Duration;

use kadlet_core::{Instant, Rng};

use crate::distribution::Weibull;

/// How long nodes stay.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sessions(pub Weibull);

impl Sessions {
    /// As measured: docs/simulator.md, "What the models are" (mean 10,000 s).
    pub const MEASURED: Self = Self(Weibull { shape: 0.5, scale: 5_000.0 });

    /// Exponential with a mean of one hour, as in Li et al. 2005.
    pub const HOUR: Self = Self(Weibull { shape: 1.0, scale: 3_600.0 });

    /// When a node that joins now leaves.
    pub(crate) fn end_of_newcomer(&self, now: Instant, rng: &mut Rng) -> Instant {
        after(now, self.0.draw(rng))
    }

    /// When a node leaves that is met now and has been here for as long as it has.
    pub(crate) fn end_of_present(&self, now: Instant, rng: &mut Rng) -> Instant {
        after(now, self.0.draw_residual(rng))
    }
}

fn after(now: Instant, seconds: f64) -> Instant {
    // Saturates far beyond any simulation.
    now + Duration::from_micros((seconds * 1e6) as u64)
}
