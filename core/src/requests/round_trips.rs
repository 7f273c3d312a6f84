//! How long answers take: a histogram of round trips with logarithmic buckets that forgets.
//!
//! Eight buckets per octave tell times apart to 9 %, in constant memory and without floats. When the
//! memory is full all counts are halved, so that what was measured long ago fades.

use core::time::Duration;

/// Exponent of the shortest time told apart: 2^8 µs.
const LOWEST: u32 = 8;
/// Octaves, up to 2^25 µs (33 s): beyond every hard timeout.
const OCTAVES: u32 = 17;
const PER_OCTAVE: u32 = 8;
const BUCKETS: usize = (OCTAVES * PER_OCTAVE) as usize;

#[derive(Clone, Debug)]
pub(super) struct RoundTrips {
    counts: [u16; BUCKETS],
    /// The same by octaves: every question asks for quantiles.
    octaves: [u16; OCTAVES as usize],
    total: u32,
    /// Requests that nobody answered.
    died: u32,
    /// Round trips and deaths after which all counts are halved.
    memory: u32,
}

impl RoundTrips {
    pub(super) fn new(memory: u32) -> Self {
        // Of fewer than two nothing would be left after a halving; more would not fit a count.
        let memory = memory.clamp(2, u16::MAX.into());
        let (counts, octaves) = ([0; BUCKETS], [0; OCTAVES as usize]);
        Self { counts, octaves, total: 0, died: 0, memory }
    }

    pub(super) fn total(&self) -> u32 {
        self.total
    }

    pub(super) fn observe(&mut self, round_trip: Duration) {
        let bucket = bucket(round_trip);
        let octave = self.octaves.get_mut(bucket / PER_OCTAVE as usize);
        if let (Some(count), Some(octave)) = (self.counts.get_mut(bucket), octave) {
            // At most one above the memory, halved at once.
            *count = count.saturating_add(1);
            *octave = octave.saturating_add(1);
            self.total += 1;
        }
        self.fade();
    }

    /// Nobody answered.
    pub(super) fn observe_death(&mut self) {
        self.died += 1;
        self.fade();
    }

    /// How many of so many requests nobody answered.
    pub(super) fn deaths(&self, of: u32) -> u32 {
        let all = u64::from(self.total) + u64::from(self.died);
        // At most `of`.
        (u64::from(self.died) * u64::from(of)).checked_div(all).unwrap_or(0) as u32
    }

    fn fade(&mut self) {
        if self.total.saturating_add(self.died) > self.memory {
            self.died /= 2;
            for count in &mut self.counts {
                *count /= 2;
            }
            let of_octaves = self.counts.chunks(PER_OCTAVE as usize);
            for (octave, counts) in self.octaves.iter_mut().zip(of_octaves) {
                *octave = counts.iter().sum();
            }
            self.total = self.octaves.iter().map(|count| u32::from(*count)).sum();
        }
    }

    /// The time within which `permille` thousandths of the answers came (the upper edge of their
    /// bucket); none before the first.
    pub(super) fn quantile(&self, permille: u32) -> Option<Duration> {
        let total = u64::from(self.total);
        if total == 0 {
            return None;
        }
        let rank = (total * u64::from(permille.min(1000))).div_ceil(1000).max(1);
        let mut seen = 0;
        let mut reaches = |count: &u16| {
            let reached = seen + u64::from(*count) >= rank;
            if !reached {
                seen += u64::from(*count);
            }
            reached
        };
        let octave = self.octaves.iter().position(&mut reaches)?;
        let first = octave * PER_OCTAVE as usize;
        let within = self.counts.get(first..)?.iter().position(reaches)?;
        // At most 136 buckets.
        Some(upper_edge((first + within) as u32))
    }
}

fn bucket(round_trip: Duration) -> usize {
    let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX).max(1 << LOWEST);
    let octave = micros.ilog2();
    // The three bits behind the leading one.
    let eighth = (micros >> (octave - 3)) as u32 & (PER_OCTAVE - 1);
    (((octave - LOWEST) * PER_OCTAVE + eighth) as usize).min(BUCKETS - 1)
}

fn upper_edge(bucket: u32) -> Duration {
    let (octave, eighth) = (LOWEST + bucket / PER_OCTAVE, bucket % PER_OCTAVE);
    Duration::from_micros(u64::from(PER_OCTAVE + eighth + 1) << (octave - 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_quantile_is_the_sorted_one_within_a_bucket(
            mut micros in proptest::collection::vec(300_u64..20_000_000, 1..400),
            permille in 1_u32..=1000,
        ) {
            let mut trips = RoundTrips::new(1_000);
            micros.iter().for_each(|m| trips.observe(Duration::from_micros(*m)));
            micros.sort_unstable();
            let rank = (micros.len() as u64 * u64::from(permille)).div_ceil(1000) as usize;
            let exact = micros[rank - 1];
            let found = trips.quantile(permille).expect("samples").as_micros() as u64;
            prop_assert!(found >= exact && found <= exact + exact / 7, "{found} for {exact}");
        }
    }

    #[test]
    fn no_time_is_out_of_range() {
        let mut trips = RoundTrips::new(8);
        assert_eq!(trips.quantile(500), None);
        for time in [Duration::ZERO, Duration::MAX] {
            trips.observe(time);
        }
        let edges: Vec<_> = [1, 1000].map(|q| trips.quantile(q)).into_iter().flatten().collect();
        assert_eq!(edges, [Duration::from_micros(288), Duration::from_micros(1 << 25)]);
    }

    #[test]
    fn what_was_measured_fades() {
        let mut trips = RoundTrips::new(64);
        (0..64).for_each(|_| trips.observe(Duration::from_secs(2)));
        (0..256).for_each(|_| trips.observe(Duration::from_millis(20)));
        let quantile = trips.quantile(900).expect("samples");
        assert!(quantile < Duration::from_millis(25), "{quantile:?}");
        assert!(trips.total() <= 64);
    }
}
