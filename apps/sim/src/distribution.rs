//! Random numbers of a given distribution, the same on every platform: `libm`, and what IEEE 754 makes
//! exact.

use core::f64::consts::TAU;

use kadlet_core::Rng;

/// A number in (0, 1], with 53 bits: never 0, whose logarithm does not exist.
pub(crate) fn unit(bits: u64) -> f64 {
    // 53 bits fit a double exactly.
    ((bits >> 11) + 1) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// A standard normal number from two evenly drawn ones (Box and Muller 1958).
pub(crate) fn normal(a: u64, b: u64) -> f64 {
    // A square root is exact, and one instruction.
    (-2.0 * libm::log(unit(a))).sqrt() * libm::cos(TAU * unit(b))
}

/// Scrambles a number so that neighbours have nothing in common (the finaliser of SplitMix64).
pub(crate) const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The Weibull distribution; with shape 1 the exponential one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Weibull {
    /// Below 1: who has stayed long will stay long.
    pub shape: f64,
    /// In seconds here.
    pub scale: f64,
}

impl Weibull {
    /// How long a newcomer stays.
    pub fn draw(&self, rng: &mut Rng) -> f64 {
        let exponential = -libm::log(unit(rng.next_u64()));
        self.scale * libm::pow(exponential, 1.0 / self.shape)
    }

    /// How much longer somebody stays who is met in a network that has run for ever.
    ///
    /// Whoever is met is met in proportion to the length of its session, at an even moment of it:
    /// the session is `scale · G^(1/shape)` with G from the gamma distribution of 1 + 1/shape.
    pub fn draw_residual(&self, rng: &mut Rng) -> f64 {
        let session = self.scale * libm::pow(gamma(1.0 + 1.0 / self.shape, rng), 1.0 / self.shape);
        session * unit(rng.next_u64())
    }
}

/// A number of the gamma distribution of this shape (at least 1) and scale 1 (Marsaglia and Tsang
/// 2000).
fn gamma(shape: f64, rng: &mut Rng) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = normal(rng.next_u64(), rng.next_u64());
        let v = 1.0 + c * x;
        if v <= 0.0 {
            continue;
        }
        let v = v * v * v;
        if libm::log(unit(rng.next_u64())) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(mut draw: impl FnMut() -> f64) -> f64 {
        (0..20_000).map(|_| draw()).sum::<f64>() / 20_000.0
    }

    #[test]
    fn normal_numbers_have_mean_0_and_variance_1() {
        let mut rng = Rng::from_seed([1; 32]);
        let average = mean(|| normal(rng.next_u64(), rng.next_u64()));
        let variance = mean(|| libm::pow(normal(rng.next_u64(), rng.next_u64()), 2.0));
        assert!(libm::fabs(average) < 0.03, "{average}");
        assert!(libm::fabs(variance - 1.0) < 0.05, "{variance}");
    }

    /// docs/simulator.md, "What the models are": shape 0.5 and scale 5,000 s have a mean of 10,000 s. The
    /// mean residual is E[L²] / 2 E[L] = scale · 4! / (2 · 2!) = 30,000 s.
    #[test]
    fn sessions_have_the_published_mean() {
        let mut rng = Rng::from_seed([2; 32]);
        let sessions = Weibull { shape: 0.5, scale: 5_000.0 };
        let fresh = mean(|| sessions.draw(&mut rng));
        let residual = mean(|| sessions.draw_residual(&mut rng));
        assert!((9_500.0..10_500.0).contains(&fresh), "{fresh}");
        assert!((28_000.0..32_000.0).contains(&residual), "{residual}");
    }

    /// With shape 1 the past does not matter.
    #[test]
    fn exponential_sessions_have_no_memory() {
        let mut rng = Rng::from_seed([3; 32]);
        let sessions = Weibull { shape: 1.0, scale: 3_600.0 };
        let residual = mean(|| sessions.draw_residual(&mut rng));
        assert!((3_500.0..3_700.0).contains(&residual), "{residual}");
    }
}
