//! One provider: how fast it is, how much it may be given ahead, when it may be asked again.
//!
//! The rate is a moving average (weight 1/4 for the newest sample) over the time in which the
//! provider had something to do: idle time would make a fast provider look slow. A provider that has
//! not yet given a verified piece, or whose last request failed, gets one request at a time.

use core::time::Duration;

use super::super::{HashList, PIECE_LEN};
use crate::config::FetchConfig;
use crate::time::Instant;

/// When a provider's turn comes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Turn {
    /// How many others were named before by whoever named it; the fewest, of several.
    pub(super) rank: u32,
    /// Position in the order of discovery.
    pub(super) order: u64,
}

impl Turn {
    /// The rank of those that were tried and found slow.
    pub(super) const LAST: u32 = u32::MAX;
}

/// A provider that is asked, or about to be.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) turn: Turn,
    /// When it was last given a request; none if never.
    pub(super) last_asked: Option<Instant>,
    /// Requests in flight to it.
    pub(super) in_flight: u32,
    /// Its pieces that were verified.
    pub(super) verified: u32,
    /// When the last of them was; the epoch if none was.
    pub(super) last_verified: Instant,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Not asked before.
    pub(super) not_before: Instant,
    /// When its last byte came; the epoch if none did.
    pub(super) last_heard: Instant,
    /// Its hash list, while that is on trial.
    pub(super) candidate: Option<HashList>,
    /// Bytes a second; 0 before the first sample.
    rate: u64,
    sample_start: Instant,
    sample_bytes: u64,
    idle_since: Instant,
}

impl Provider {
    pub(super) const fn new(turn: Turn, now: Instant) -> Self {
        Self {
            turn,
            last_asked: None,
            in_flight: 0,
            verified: 0,
            last_verified: Instant::EPOCH,
            failures: 0,
            not_before: Instant::EPOCH,
            last_heard: Instant::EPOCH,
            candidate: None,
            rate: 0,
            sample_start: now,
            sample_bytes: 0,
            idle_since: now,
        }
    }

    /// Whether it may be given a request now.
    pub(super) fn has_room(&self, config: &FetchConfig, now: Instant) -> bool {
        self.not_before <= now && self.in_flight < self.window(config)
    }

    /// How many requests it may have in flight.
    fn window(&self, config: &FetchConfig) -> u32 {
        if self.verified == 0 || self.failures > 0 {
            return 1;
        }
        let ahead = u128::from(self.rate) * config.pipeline.as_micros() / 1_000_000;
        let pieces = u32::try_from(ahead / u128::from(PIECE_LEN)).unwrap_or(u32::MAX);
        pieces.saturating_add(1).min(config.in_flight_per_provider.max(1))
    }

    /// The measured rate in bytes a second.
    pub(super) fn rate(&self) -> Option<u64> {
        (self.rate > 0).then_some(self.rate)
    }

    /// How long it will take for `bytes`, in microseconds.
    pub(super) fn micros_for(&self, bytes: u64, config: &FetchConfig) -> u64 {
        let rate = self.rate().unwrap_or(config.assumed_rate).max(1);
        bytes.saturating_mul(1_000_000) / rate
    }

    /// A request starts. Time without one does not count for the rate.
    pub(super) fn started(&mut self, now: Instant) {
        if self.in_flight == 0 {
            self.sample_start = self.sample_start + now.since(self.idle_since);
        }
        self.last_asked = Some(now);
        self.in_flight += 1;
    }

    /// A request ended, one way or another.
    pub(super) fn ended(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.idle_since = now;
    }

    /// Bytes came. True if they made a new measurement.
    pub(super) fn heard(&mut self, now: Instant, bytes: u64, config: &FetchConfig) -> bool {
        self.last_heard = now;
        self.sample_bytes = self.sample_bytes.saturating_add(bytes);
        let due = now.since(self.sample_start) >= config.sample;
        if due {
            self.take_sample(now);
        }
        due
    }

    /// A piece of it was verified.
    pub(super) fn delivered(&mut self, now: Instant) {
        self.verified = self.verified.saturating_add(1);
        self.last_verified = now;
        self.failures = 0;
        if self.rate == 0 {
            self.take_sample(now);
        }
    }

    fn take_sample(&mut self, now: Instant) {
        // Saturates far beyond any line: 2^64 bytes a second.
        let micros = now.since(self.sample_start).as_micros().max(1);
        let sample = u128::from(self.sample_bytes) * 1_000_000 / micros;
        let sample = u64::try_from(sample).unwrap_or(u64::MAX);
        self.rate = match self.rate {
            0 => sample,
            // Each summand is at most 3/4 or 1/4 of what fits.
            rate => rate / 4 * 3 + sample / 4,
        }
        .max(1);
        self.sample_start = now;
        self.sample_bytes = 0;
    }

    /// A request failed. Failures within one back-off count once: a broken line ends all of a
    /// provider's requests together.
    pub(super) fn failed(&mut self, now: Instant, config: &FetchConfig) {
        self.candidate = None;
        if now < self.not_before {
            return;
        }
        let doubled = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.rate /= 2;
        self.rest(now, config.backoff.saturating_mul(doubled).min(config.backoff_max));
    }

    /// Not asked for a while.
    pub(super) fn rest(&mut self, now: Instant, delay: Duration) {
        self.not_before = now + delay;
    }
}
