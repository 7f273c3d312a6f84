//! How large the network is, from the density of what lookups find.
//!
//! n ids drawn uniformly lie on the ring of distances like the points of a Poisson process: the
//! distance of the k-th closest to a target that was drawn at random too is n⁻¹ times a value of
//! the gamma distribution of shape k, whose median is k - 1/3 to within 1 %. So one lookup says
//! that neighbours are d_k / (k - 1/3) apart on average (median-unbiased, scatter k^-1/2), and d_k
//! alone says all there is to know: the nearer distances add nothing to it (it is sufficient).
//!
//! The estimate is the median of the last lookups. Ids crowded around one key spoil the lookups for
//! that key and no other, and each target counts once.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::config::EstimateConfig;
use crate::id::{Distance, Id};
use crate::sort::sort_by_key;

/// A network-size estimate.
///
/// ```
/// use kadlet_core::{Estimate, Id, Rng, config::EstimateConfig};
///
/// let mut rng = Rng::from_seed([7; 32]);
/// let mut network: Vec<Id> = (0..1000).map(|_| Id::random(&mut rng)).collect();
///
/// let mut estimate = Estimate::new(EstimateConfig::default());
/// for _ in 0..16 {
///     let target = Id::random(&mut rng);
///     network.sort_by_key(|id| id.distance(target));
///     estimate.observe(target, network.iter().take(20).copied());
/// }
/// assert!(estimate.size().is_some_and(|n| (750..1350).contains(&n)));
/// ```
#[derive(Clone, Debug)]
pub struct Estimate {
    config: EstimateConfig,
    /// Oldest first; each target once.
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    target: Id,
    /// Mean distance between neighbours, in 2^-64 of the space. Never 0.
    spacing: u64,
}

impl Estimate {
    /// An estimate without samples. It keeps at least one.
    #[must_use]
    pub fn new(mut config: EstimateConfig) -> Self {
        config.samples = config.samples.max(1);
        Self { config, samples: VecDeque::new() }
    }

    /// Takes note of a lookup that ran to its end: the closest that answered, in any order, of one
    /// family, without our own id. Targets must have been drawn without looking at the ids: a refresh
    /// or a key, not the id of a node that exists (if that node is among the closest, it is left out).
    pub fn observe(&mut self, target: Id, closest: impl IntoIterator<Item = Id>) {
        let distances = closest.into_iter().map(|id| id.distance(target));
        let (count, farthest) = distances
            .filter(|distance| *distance != Distance::ZERO)
            .fold((0_u64, Distance::ZERO), |(n, far), distance| (n + 1, far.max(distance)));
        if count == 0 || count < self.config.closest as u64 {
            return;
        }
        // d / (n - 1/3), with 3 n - 1 > 0 as n > 0; the quotient is at most 1.5 d: it may overflow
        // for one id alone.
        let spacing = u128::from(farthest.high_bits()) * 3 / u128::from(3 * count - 1);
        let spacing = u64::try_from(spacing).unwrap_or(u64::MAX).max(1);
        self.samples.retain(|sample| sample.target != target);
        if self.samples.len() >= self.config.samples {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { target, spacing });
    }

    /// How many nodes the network has, without ourselves; none before [`EstimateConfig::enough`]
    /// lookups.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        // The space holds 2^64 units: rounded to the nearest count.
        let spacing = u128::from(self.spacing()?);
        u64::try_from(((1_u128 << 64) + spacing / 2) / spacing).ok()
    }

    /// The distance from any point within which `k` nodes are expected; none before
    /// [`EstimateConfig::enough`] lookups.
    #[must_use]
    pub fn region(&self, k: u32) -> Option<Distance> {
        let reach = u128::from(self.spacing()?) * u128::from(k);
        let Ok(reach) = u64::try_from(reach) else { return Some(Distance::MAX) };
        let mut bytes = *Distance::MAX.as_bytes();
        if let Some(high) = bytes.first_chunk_mut() {
            *high = reach.to_be_bytes();
        }
        Some(Distance::new(bytes))
    }

    /// The median of the samples.
    fn spacing(&self) -> Option<u64> {
        if self.samples.is_empty() || self.samples.len() < self.config.enough {
            return None;
        }
        let mut spacings: Vec<_> = self.samples.iter().map(|sample| sample.spacing).collect();
        sort_by_key(&mut spacings, |spacing| *spacing);
        let (low, high) = ((spacings.len() - 1) / 2, spacings.len() / 2);
        let (low, high) = (*spacings.get(low)?, *spacings.get(high)?);
        Some(low + (high - low) / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use proptest::prelude::*;

    fn network(n: usize, rng: &mut Rng) -> Vec<Id> {
        (0..n).map(|_| Id::random(rng)).collect()
    }

    fn closest(network: &[Id], target: Id, k: usize) -> Vec<Id> {
        let mut ids = network.to_vec();
        if k < ids.len() {
            ids.select_nth_unstable_by_key(k, |id| id.distance(target));
            ids.truncate(k);
        }
        ids
    }

    fn estimate(network: &[Id], lookups: usize, rng: &mut Rng) -> Estimate {
        let mut estimate = Estimate::new(EstimateConfig::default());
        for _ in 0..lookups {
            let target = Id::random(rng);
            estimate.observe(target, closest(network, target, 20));
        }
        estimate
    }

    fn is_near(estimate: Option<u64>, n: u64, percent: u64) -> bool {
        estimate.is_some_and(|e| e * 100 <= n * percent && e * percent >= n * 100)
    }

    #[test]
    fn sixteen_lookups_give_the_size_within_a_third() {
        let mut rng = Rng::from_seed([1; 32]);
        for (n, networks) in [(100, 20), (1_000, 20), (10_000, 10), (100_000, 3)] {
            for _ in 0..networks {
                let network = network(n, &mut rng);
                let size = estimate(&network, 16, &mut rng).size();
                assert!(is_near(size, n as u64, 130), "{size:?} for {n}");
            }
        }
    }

    #[test]
    fn the_region_holds_k_nodes() {
        let mut rng = Rng::from_seed([2; 32]);
        let network = network(5_000, &mut rng);
        let region = estimate(&network, 32, &mut rng).region(20).expect("an estimate");
        let counts = (0..50).map(|_| {
            let target = Id::random(&mut rng);
            network.iter().filter(|id| id.distance(target) <= region).count()
        });
        let mean = counts.sum::<usize>() / 50;
        assert!((17..=23).contains(&mean), "{mean}");
    }

    /// An attack close to a key: its region must stay as wide as k *honest* nodes need.
    #[test]
    fn a_crowd_at_one_key_moves_nothing() {
        let mut rng = Rng::from_seed([3; 32]);
        let mut network = network(2_000, &mut rng);
        let key = Id::random(&mut rng);
        let mut estimate = estimate(&network, 16, &mut rng);
        network.extend((0..40).map(|_| key.random_within(40, &mut rng)));
        for _ in 0..100 {
            estimate.observe(key, closest(&network, key, 20));
        }
        assert!(is_near(estimate.size(), 2_000, 130), "{:?}", estimate.size());
    }

    #[test]
    fn a_few_lookups_or_a_few_contacts_are_no_estimate() {
        let mut rng = Rng::from_seed([4; 32]);
        let network = network(100, &mut rng);
        assert_eq!(estimate(&network, 2, &mut rng).size(), None);
        assert_eq!(estimate(&network, 2, &mut rng).region(20), None);
        assert_eq!(estimate(&network[..4], 16, &mut rng).size(), None);
    }

    proptest! {
        #[test]
        fn nothing_that_answers_can_break_it(
            lookups in proptest::collection::vec(
                (any::<[u8; 20]>(), proptest::collection::vec(any::<[u8; 20]>(), 0..4)), 0..20),
            k in any::<u32>(),
        ) {
            let config = EstimateConfig { samples: 0, enough: 0, closest: 0 };
            let mut estimate = Estimate::new(config);
            for (target, ids) in lookups {
                let target = Id::new(target);
                estimate.observe(target, ids.into_iter().map(Id::new).chain([target]));
                let _ = (estimate.size(), estimate.region(k));
            }
        }
    }
}
