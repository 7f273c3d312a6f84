//! Round-trip times with the structure of a space: who is near to one is near to its neighbours.
//!
//! Each node has a point in a plane and a height above it, and the round trip between two is the
//! distance of their points plus both heights (Dabek, Cox, Kaashoek and Morris, "Vivaldi", 2004,
//! section 5.4: two dimensions and a height describe the internet nearly as well as any number of
//! dimensions; the plane stands for the wide area, the height for the access line). With times
//! drawn for each pair alone many a detour is shorter than the straight way, and no
//! choice by proximity would help anybody but the one who chose.

use core::time::Duration;

use crate::distribution::{mix, normal};
use crate::host::NodeIndex;

/// Points and heights, drawn for each node from the seed and its number.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Coordinates {
    /// Half of the pairs are nearer.
    pub median: Duration,
}

/// Heights are log-normal, with this median in units of the points' standard deviation in one
/// dimension, and this σ of the logarithm. Chosen so that the times have the spread that
/// docs/simulator.md gives: σ of their logarithm 0.514.
const HEIGHT: f64 = 0.3;
const HEIGHT_SIGMA: f64 = 1.15;

/// The median of the sum in the same units; by drawing 150,000 pairs.
const MEDIAN: f64 = 2.664;

impl Coordinates {
    /// The internet: as the log-normal model has it, median 156 ms.
    pub const INTERNET: Self = Self { median: Duration::from_millis(156) };

    /// The round-trip time of a pair.
    pub(super) fn between(&self, seed: u64, a: NodeIndex, b: NodeIndex) -> Duration {
        let ([x, y, height], [other_x, other_y, other_height]) = (place(seed, a), place(seed, b));
        let (dx, dy) = (x - other_x, y - other_y);
        let sum = libm::sqrt(dx * dx + dy * dy) + height + other_height;
        // Some minutes at most, whatever is drawn: far below 2^53 microseconds.
        Duration::from_micros((self.median.as_micros() as f64 * sum / MEDIAN) as u64)
    }
}

/// A node's point and height.
fn place(seed: u64, node: NodeIndex) -> [f64; 3] {
    let mut state = mix(seed ^ mix(u64::from(node.0)) ^ PLACE);
    let [x, y, height] = [(); 3].map(|()| {
        let first = mix(state);
        state = mix(first);
        normal(first, state)
    });
    [x, y, HEIGHT * libm::exp(HEIGHT_SIGMA * height)]
}

/// Keeps places apart from what else is drawn for a node.
const PLACE: u64 = 0x706c_6163_655f_6f66;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Rtt;

    /// The times themselves are those of the internet: median 156 ms, σ 0.514, mean near 178 ms.
    #[test]
    fn round_trips_have_the_published_spread() {
        let pair = |i: u32| (NodeIndex(2 * i), NodeIndex(2 * i + 1));
        let mut times: Vec<f64> = (0..20_000)
            .map(|i| Coordinates::INTERNET.between(7, pair(i).0, pair(i).1).as_micros() as f64)
            .collect();
        times.sort_by(f64::total_cmp);
        let (median, mean) = (times[10_000], times.iter().sum::<f64>() / 20_000.0);
        let logarithm = |time: &f64| libm::log(time / median);
        let variance = times.iter().map(|time| libm::pow(logarithm(time), 2.0)).sum::<f64>();
        let sigma = libm::sqrt(variance / 20_000.0);
        assert!((153e3..159e3).contains(&median), "median {median}");
        assert!((167e3..182e3).contains(&mean), "mean {mean}");
        assert!((0.50..0.53).contains(&sigma), "sigma {sigma}");
    }

    /// No detour is shorter than the straight way; where each pair is drawn alone many are.
    #[test]
    fn only_a_space_keeps_the_triangle_inequality() {
        let detours = |rtt: Rtt| {
            let time = |a: u32, b: u32| rtt.between(1, NodeIndex(a), NodeIndex(b)).as_micros();
            let triangles = (0..3_000).map(|i| (3 * i, 3 * i + 1, 3 * i + 2));
            // A microsecond is lost in each rounding.
            triangles.filter(|(a, b, c)| time(*a, *b) + time(*b, *c) + 2 < time(*a, *c)).count()
        };
        assert_eq!(detours(Rtt::Coordinates(Coordinates::INTERNET)), 0);
        assert!(detours(Rtt::INTERNET) > 150);
    }

    /// The neighbours of my neighbour are nearer to me than anybody.
    #[test]
    fn who_is_near_to_one_is_near_to_its_neighbours() {
        let time = |a: u32, b: u32| {
            Coordinates::INTERNET.between(2, NodeIndex(a), NodeIndex(b)).as_millis()
        };
        let nearest = |a: u32| (0..2_000).filter(|b| *b != a).min_by_key(|b| time(a, *b));
        let (mut near, mut far) = (0, 0);
        for own in 0..50 {
            let next = nearest(own).and_then(nearest).filter(|it| *it != own).unwrap_or(own + 1);
            near += time(own, next);
            far += time(own, own + 1_000);
        }
        assert!(near * 2 < far, "{near} ms to neighbours' neighbours, {far} ms to anybody");
    }
}
