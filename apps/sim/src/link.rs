//! What happens to a datagram on its way: time, loss, duplication, reordering, lines that are too
//! narrow, pairs that cannot reach each other.

mod bandwidth;
mod coordinates;
mod pairs;
mod rtt;

use core::time::Duration;

pub(crate) use bandwidth::Lines;

pub use bandwidth::Bandwidth;
pub use coordinates::Coordinates;
pub use pairs::Pairs;
pub use rtt::Rtt;

use crate::draw::Draw;
use crate::host::NodeIndex;

/// The network between the nodes.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct LinkModel {
    /// Round-trip times; a datagram takes half of one.
    pub rtt: Rtt,
    /// Up to this much more, drawn evenly for each datagram: more than the time between two
    /// datagrams lets the later overtake the earlier.
    pub jitter: Duration,
    /// Datagrams held up by `detour`, of a million, so that later ones overtake them: parallel
    /// links and routes that change (netem's model of reordering).
    pub reordering: u32,
    /// How long those are held up.
    pub detour: Duration,
    /// Datagrams lost, of a million.
    pub loss: u32,
    /// Datagrams that arrive twice, of a million.
    pub duplication: u32,
    /// Pairs that cannot reach each other.
    pub pairs: Pairs,
    /// What each machine's line carries; none for no limit.
    pub bandwidth: Option<Bandwidth>,
}

impl Default for LinkModel {
    /// The internet without misfortune: its round-trip times, 5 ms of jitter, nothing lost.
    fn default() -> Self {
        Self {
            rtt: Rtt::INTERNET,
            jitter: Duration::from_millis(5),
            reordering: 0,
            detour: Duration::from_millis(100),
            loss: 0,
            duplication: 0,
            pairs: Pairs::default(),
            bandwidth: None,
        }
    }
}

impl LinkModel {
    /// The internet with 2 % loss and some duplicates.
    #[must_use]
    pub fn lossy() -> Self {
        Self { loss: 20_000, duplication: 1_000, ..Self::default() }
    }

    /// No datagram takes less: for so long what happens at one machine cannot matter to another,
    /// and threads may go on without each other.
    pub(crate) fn least_delay(&self) -> Duration {
        self.rtt.least() / 2
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
        let (first, again) = (delay(), delay());
        let twice = draw.below(MILLION) < u64::from(self.duplication);
        let held_up = draw.below(MILLION) < u64::from(self.reordering);
        let detour = if held_up { self.detour } else { Duration::ZERO };
        [Some(first + detour), twice.then_some(again)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(model: &LinkModel) -> impl Iterator<Item = [Option<Duration>; 2]> {
        (0..10_000).map(|sent| {
            model.delays(1, NodeIndex(0), NodeIndex(1), &mut Draw::new(4, NodeIndex(0), sent))
        })
    }

    #[test]
    fn loss_and_duplication_are_as_asked() {
        let model = LinkModel { loss: 200_000, duplication: 100_000, ..LinkModel::default() };
        let lost = fates(&model).filter(|fate| fate[0].is_none()).count();
        let twice = fates(&model).filter(|fate| fate[1].is_some()).count();
        assert!((1_900..2_100).contains(&lost), "{lost}");
        assert!((720..880).contains(&twice), "{twice}");
    }

    /// One datagram a millisecond and no jitter: who is held up by 5 ms is overtaken, and nobody
    /// else is.
    #[test]
    fn as_many_are_overtaken_as_asked() {
        let model = LinkModel {
            reordering: 10_000,
            detour: Duration::from_micros(5_500),
            jitter: Duration::ZERO,
            ..LinkModel::default()
        };
        let sent = (0..).map(Duration::from_millis);
        let arrivals: Vec<Duration> =
            fates(&model).zip(sent).filter_map(|(fate, sent)| Some(fate[0]? + sent)).collect();
        let overtaken = arrivals.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!((70..130).contains(&overtaken), "{overtaken} of 10,000");
    }
}
