//! What happens to a datagram on its way: time, loss, duplication, reordering.

use core::time::Duration;

use crate::distribution::{mix, normal};
use crate::draw::Draw;
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
}

impl Rtt {
    /// The internet as DHT nodes meet it: kademlia.md, "The world outside" (mean 178 ms).
    pub const INTERNET: Self = Self::LogNormal { median: Duration::from_millis(156), sigma: 0.514 };

    /// The round-trip time of a pair; who asks whom does not matter.
    fn between(&self, seed: u64, a: NodeIndex, b: NodeIndex) -> Duration {
        match *self {
            Self::Constant(time) => time,
            Self::LogNormal { median, sigma } => {
                let pair = u64::from(a.0.min(b.0)) << 32 | u64::from(a.0.max(b.0));
                let first = mix(seed ^ mix(pair));
                let factor = libm::exp(sigma * normal(first, mix(first)));
                // Some hours at most, whatever is drawn: far below 2^53 microseconds.
                Duration::from_micros((median.as_micros() as f64 * factor) as u64)
            }
        }
    }
}

/// The network between the nodes.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct LinkModel {
    /// Round-trip times; a datagram takes half of one.
    pub rtt: Rtt,
    /// Up to this much more, drawn evenly for each datagram: more than the time between two
    /// datagrams lets the later overtake the earlier.
    pub jitter: Duration,
    /// Datagrams lost, of a million.
    pub loss: u32,
    /// Datagrams that arrive twice, of a million.
    pub duplication: u32,
}

impl Default for LinkModel {
    /// The internet without misfortune: its round-trip times, 5 ms of jitter, nothing lost.
    fn default() -> Self {
        Self { rtt: Rtt::INTERNET, jitter: Duration::from_millis(5), loss: 0, duplication: 0 }
    }
}

impl LinkModel {
    /// The internet with 2 % loss and some duplicates.
    #[must_use]
    pub fn lossy() -> Self {
        Self { loss: 20_000, duplication: 1_000, ..Self::default() }
    }

    /// When copies of a datagram arrive: none, one or two delays.
    pub(crate) fn delays(
        &self,
        seed: u64,
        from: NodeIndex,
        to: NodeIndex,
        draw: &mut Draw,
    ) -> [Option<Duration>; 2] {
        const MILLION: u64 = 1_000_000;
        if draw.below(MILLION) < u64::from(self.loss) {
            return [None, None];
        }
        let way = self.rtt.between(seed, from, to) / 2;
        let jitter = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX);
        let mut delay = || way + Duration::from_micros(draw.below(jitter.saturating_add(1)));
        let first = delay();
        let again = delay();
        let twice = draw.below(MILLION) < u64::from(self.duplication);
        [Some(first), twice.then_some(again)]
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
        assert_eq!(Rtt::INTERNET.between(1, a, b), Rtt::INTERNET.between(1, b, a));
        assert_ne!(Rtt::INTERNET.between(1, a, b), Rtt::INTERNET.between(2, a, b));
    }

    #[test]
    fn loss_and_duplication_are_as_asked() {
        let model = LinkModel { loss: 200_000, duplication: 100_000, ..LinkModel::default() };
        let (mut lost, mut twice) = (0, 0);
        for sent in 0..10_000 {
            let mut draw = Draw::new(4, NodeIndex(0), sent);
            match model.delays(1, NodeIndex(0), NodeIndex(1), &mut draw) {
                [None, _] => lost += 1,
                [_, Some(_)] => twice += 1,
                _ => {}
            }
        }
        assert!((1_900..2_100).contains(&lost), "{lost}");
        assert!((720..880).contains(&twice), "{twice}");
    }
}
