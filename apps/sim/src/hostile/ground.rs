//! Ids ground next to a key: the native wire lets everybody choose.

use kadlet_core::{Id, Rng};

/// `count` ids that all lie closer to `key` than any of `nodes` random ones is likely to, at
/// random distances: `bits` of them beyond the prefix that one node in the network shares with it.
#[must_use]
pub fn ids_beside(key: Id, count: usize, nodes: usize, bits: u32, rng: &mut Rng) -> Vec<Id> {
    let prefix = (usize::BITS - nodes.leading_zeros() + bits).min(Id::BITS - 32);
    (0..count).map(|_| key.random_within(prefix, rng)).collect()
}
