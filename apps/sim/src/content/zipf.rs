//! Zipf's law: the frequency of the thing of rank r is proportional to (r + offset)^-exponent.

use kadlet_core::Rng;

use crate::distribution::unit;

/// A distribution over `0..len`, the most frequent first.
#[derive(Clone, PartialEq, Debug)]
pub struct Zipf {
    /// The sum of the weights up to and with each, in order.
    sums: Vec<f64>,
}

impl Zipf {
    /// Rank 1 is number 0.
    #[must_use]
    pub fn new(len: u32, exponent: f64) -> Self {
        Self::with_offset(len, exponent, 0.0)
    }

    /// With Mandelbrot's offset, which flattens the beginning.
    #[must_use]
    pub fn with_offset(len: u32, exponent: f64, offset: f64) -> Self {
        Self::of_weights((0..len).map(|i| libm::pow(f64::from(i) + 1.0 + offset, -exponent)))
    }

    /// Any weights, in order.
    pub fn of_weights(weights: impl Iterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let add = |weight| {
            sum += weight;
            sum
        };
        Self { sums: weights.map(add).collect() }
    }

    /// The share of one of them, in 0 to 1.
    #[must_use]
    pub fn share(&self, number: u32) -> f64 {
        let number = number as usize;
        let before = number.checked_sub(1).and_then(|i| self.sums.get(i)).copied().unwrap_or(0.0);
        match (self.sums.get(number), self.sums.last()) {
            (Some(sum), Some(all)) => (sum - before) / all,
            _ => 0.0,
        }
    }

    /// Draws one.
    pub fn draw(&self, rng: &mut Rng) -> u32 {
        let Some(all) = self.sums.last() else { return 0 };
        let mark = unit(rng.next_u64()) * all;
        let number = self.sums.partition_point(|sum| *sum < mark);
        // The length came from a u32.
        number.min(self.sums.len() - 1) as u32
    }
}
