//! Time as the core knows it: what the host says, counted from an epoch of the host's own.

use core::ops::{Add, Sub};
use core::time::Duration;

/// A moment: microseconds since an epoch that the host chooses and keeps, such as its start.
///
/// 64 bits of microseconds last 584,000 years, so nothing wraps. Sums saturate: "in a thousand
/// years" and "never" are the same to a deadline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Instant(u64);

impl Instant {
    /// The host's epoch.
    pub const EPOCH: Self = Self(0);

    /// The moment this many microseconds after the epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The moment this many milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// The moment this many seconds after the epoch.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, saturating after 136 years: what a packed contact keeps.
    #[must_use]
    pub const fn as_secs(self) -> u32 {
        let secs = self.0 / 1_000_000;
        if secs > u32::MAX as u64 { u32::MAX } else { secs as u32 }
    }

    /// How long ago `earlier` was; zero if it is later than `self`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// The moment `before` earlier, not earlier than the epoch.
    fn sub(self, before: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(before.as_micros()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mistake 24: 32-bit milliseconds that wrap (after 49.7 days).
    #[test]
    fn nothing_wraps_after_fifty_days() {
        let day = Duration::from_secs(86_400);
        for days in [49, 50, 20_000] {
            let late = Instant::EPOCH + day * days;
            assert_eq!((late + day).since(late), day);
            assert_eq!(late.since(Instant::EPOCH), day * days);
            assert!(late + day > late);
        }
    }

    #[test]
    fn sums_saturate_and_differences_stop_at_zero() {
        let end = Instant::from_micros(u64::MAX);
        assert_eq!(end + Duration::MAX, end);
        assert_eq!(Instant::EPOCH.since(end), Duration::ZERO);
        assert_eq!(Instant::from_secs(1) - Duration::from_secs(2), Instant::EPOCH);
    }
}
