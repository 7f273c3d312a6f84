//! How long a question and its answer take between two nodes.

use core::time::Duration;

use super::coordinates::Coordinates;
use super::pairs::pair;
use crate::distribution::{mix, normal};
use crate::host::NodeIndex;

/// Round-trip times between pairs of nodes.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Rtt {
    /// The same for all.
    Constant(Duration),
    /// Log-normal over pairs, and the same whenever the same two talk: what adaptive timeouts
    /// learn stays true.
    LogNormal {
        /// Half of the pairs are nearer.
        median: Duration,
        /// Of the logarithm.
        sigma: f64,
    },
    /// Distances in a space: where proximity matters.
    Coordinates(Coordinates),
}

impl Rtt {
    /// The internet as DHT nodes meet it: docs/simulator.md, "What the models are" (mean 178 ms).
    pub const INTERNET: Self = Self::LogNormal { median: Duration::from_millis(156), sigma: 0.514 };

    /// The round-trip time of a pair; who asks whom does not matter.
    #[must_use]
    pub fn between(&self, seed: u64, a: NodeIndex, b: NodeIndex) -> Duration {
        let drawn = match *self {
            Self::Constant(time) => time,
            Self::LogNormal { median, sigma } => {
                let first = mix(seed ^ mix(pair(a, b)));
                let factor = libm::exp(sigma * normal(first, mix(first)));
                // Some hours at most, whatever is drawn: far below 2^53 microseconds.
                Duration::from_micros((median.as_micros() as f64 * factor) as u64)
            }
            Self::Coordinates(coordinates) => coordinates.between(seed, a, b),
        };
        drawn.max(self.least())
    }

    /// No pair is nearer, whatever is drawn: 9.75 ms with the internet's median, which without
    /// this floor one pair in thirty million would be (4 ms where proximity matters). It leaves
    /// threads the time to run their nodes apart.
    #[must_use]
    pub fn least(&self) -> Duration {
        match *self {
            Self::Constant(time) => time,
            Self::LogNormal { median, .. } => median / 16,
            Self::Coordinates(Coordinates { median }) => median / 40,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_are_those_of_the_internet() {
        let mut times: Vec<_> = (1..10_001)
            .map(|other| Rtt::INTERNET.between(7, NodeIndex(0), NodeIndex(other)).as_millis())
            .collect();
        times.sort_unstable();
        let mean = times.iter().sum::<u128>() / 10_000;
        assert!((152..160).contains(&times[5_000]), "median {}", times[5_000]);
        assert!((174..182).contains(&mean), "mean {mean}");
    }

    #[test]
    fn both_directions_take_as_long() {
        let (a, b) = (NodeIndex(3), NodeIndex(9));
        for rtt in [Rtt::INTERNET, Rtt::Coordinates(Coordinates::INTERNET)] {
            assert_eq!(rtt.between(1, a, b), rtt.between(1, b, a));
            assert_ne!(rtt.between(1, a, b), rtt.between(2, a, b));
        }
    }
}
