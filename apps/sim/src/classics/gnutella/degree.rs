//! How many connections servents keep.

use kadlet_core::Rng;

use crate::distribution::unit;

/// How many connections servents open. As many come from others, so the mean degree is twice that.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Degree {
    /// All about the same: this mean, rounded up or down at random.
    Even {
        /// Connections opened, on average.
        opened: f64,
    },
    /// A few open very many: the chance of m is proportional to m^-exponent.
    PowerLaw {
        /// 2.5 with at most 50 makes a mean degree of 3.5.
        exponent: f64,
        /// At most so many.
        most: u32,
    },
}

impl Degree {
    /// 3.4 connections on average (Ripeanu, Foster and Iamnitchi 2002).
    pub const MEASURED: Self = Self::Even { opened: 1.7 };
    /// The same mean, with the power law seen in the network's first year.
    pub const POWER_LAW: Self = Self::PowerLaw { exponent: 2.5, most: 50 };

    /// For one servent.
    #[must_use]
    pub fn draw(&self, rng: &mut Rng) -> usize {
        let mark = unit(rng.next_u64());
        match *self {
            Self::Even { opened } => {
                let whole = libm::floor(opened);
                whole as usize + usize::from(mark <= opened - whole)
            }
            Self::PowerLaw { exponent, most } => {
                let weight = |m: u32| libm::pow(f64::from(m), -exponent);
                let mut rest = mark * (1..=most).map(weight).sum::<f64>();
                for m in 1..most {
                    rest -= weight(m);
                    if rest <= 0.0 {
                        return m as usize;
                    }
                }
                most as usize
            }
        }
    }
}

/// A random graph in which everybody has exactly so many connections, for what is known of such
/// graphs: stubs are paired at random, and pairs that cannot be (twice the same, or oneself) swap
/// with others.
///
/// # Panics
/// If there is no such graph: an odd number of stubs, or no more places than connections.
#[must_use]
pub fn random_regular(places: u32, degree: u32, rng: &mut Rng) -> Vec<(u32, u32)> {
    assert!((places * degree).is_multiple_of(2) && places > degree, "no such graph");
    let mut stubs: Vec<u32> = (0..places * degree).map(|stub| stub / degree).collect();
    rng.shuffle(&mut stubs);
    loop {
        let mut seen = alloc::collections::BTreeSet::new();
        let mut bad = Vec::new();
        for (number, pair) in stubs.chunks_exact(2).enumerate() {
            let pair = (pair[0].min(pair[1]), pair[0].max(pair[1]));
            if pair.0 == pair.1 || !seen.insert(pair) {
                bad.push(number);
            }
        }
        if bad.is_empty() {
            return seen.into_iter().collect();
        }
        for number in bad {
            let other = rng.below(stubs.len() as u64) as usize;
            stubs.swap(2 * number, other);
        }
    }
}
