//! Randomness of one datagram: it follows from the seed, who sends it and how many it sent before,
//! and not from a generator that all share. So what becomes of a datagram does not depend on which
//! others are under way, nor on the order in which threads come by.

use crate::distribution::mix;
use crate::host::NodeIndex;

/// A short stream of random numbers (SplitMix64: Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    /// The stream of the `counter`-th thing that happens to `node`.
    pub(crate) const fn new(seed: u64, node: NodeIndex, counter: u64) -> Self {
        Self(mix(seed ^ mix(node.0 as u64 ^ mix(counter))))
    }

    /// 64 random bits.
    pub(crate) const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number drawn from `0..bound`; 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        // The high half of a 128-bit product fits 64 bits.
        (wide >> 64) as u64
    }

    /// 32 random bytes, for a generator of the core.
    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_neighbours_have_nothing_in_common() {
        let mut seen = alloc::collections::BTreeSet::new();
        for seed in 0..10 {
            for node in 0..10 {
                for counter in 0..10 {
                    let mut draw = Draw::new(seed, NodeIndex(node), counter);
                    assert!(seen.insert(draw.next_u64()) && seen.insert(draw.next_u64()));
                }
            }
        }
    }

    #[test]
    fn draws_stay_below_their_bound_and_reach_it() {
        let mut draw = Draw::new(1, NodeIndex(2), 3);
        let drawn: alloc::collections::BTreeSet<_> = (0..1_000).map(|_| draw.below(7)).collect();
        assert!(drawn.into_iter().eq(0..7));
        assert_eq!(draw.below(0), 0);
    }
}
