//! Pairs that cannot reach each other though others reach both: broken routes, filters between
//! providers, NATs that want their inside to stay inside.

use crate::distribution::mix;
use crate::host::NodeIndex;

/// How many pairs of nodes cannot reach each other, and which: a hash of the seed and the pair, so
/// it costs no memory, holds in both directions and for as long as the network runs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Pairs {
    /// Of a million pairs.
    pub unreachable: u32,
}

impl Pairs {
    /// As on the internet: docs/simulator.md, "What the models are" (4 to 5 %).
    pub const MEASURED: Self = Self { unreachable: 45_000 };

    /// Whether nothing passes between two nodes.
    #[must_use]
    pub fn are_apart(&self, seed: u64, a: NodeIndex, b: NodeIndex) -> bool {
        // Nothing to compute for the usual network.
        self.unreachable > 0 && below_million(seed ^ APART, a, b) < self.unreachable
    }
}

/// Keeps who reaches whom apart from how long it takes.
const APART: u64 = 0x7061_6972_735f_6170;

fn below_million(seed: u64, a: NodeIndex, b: NodeIndex) -> u32 {
    let hash = mix(seed ^ mix(pair(a, b)));
    // The high half of the product: below a million.
    ((u128::from(hash) * 1_000_000) >> 64) as u32
}

/// Names a pair, whoever of the two asks.
pub(crate) fn pair(a: NodeIndex, b: NodeIndex) -> u64 {
    u64::from(a.0.min(b.0)) << 32 | u64::from(a.0.max(b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pair_in_twenty_two_is_apart_in_both_directions() {
        let mut apart = 0;
        for a in 0..200 {
            for b in 0..a {
                let (a, b) = (NodeIndex(a), NodeIndex(b));
                let cut = Pairs::MEASURED.are_apart(5, a, b);
                assert_eq!(cut, Pairs::MEASURED.are_apart(5, b, a));
                apart += u32::from(cut);
            }
        }
        // Of 19,900 pairs.
        assert!((796..=995).contains(&apart), "{apart}");
    }

    /// That others reach both is what makes the relation non-transitive: of any two that are apart,
    /// nine in ten of the others reach both.
    #[test]
    fn who_is_apart_meets_through_others() {
        let cut = |a, b| Pairs::MEASURED.are_apart(6, NodeIndex(a), NodeIndex(b));
        let other = (1..1_000).find(|other| cut(0, *other)).expect("one in twenty-two");
        let between = (1..1_000)
            .filter(|third| *third != other && !cut(0, *third) && !cut(*third, other))
            .count();
        assert!((880..940).contains(&between), "{between} of 998");
    }

    #[test]
    fn by_default_everybody_reaches_everybody() {
        assert!((1..1_000).all(|b| !Pairs::default().are_apart(7, NodeIndex(0), NodeIndex(b))));
    }
}
