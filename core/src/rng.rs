//! The only randomness: a stream that follows from the seed the host gave.
//!
//! ChaCha with 8 rounds: transaction ids, tokens and node ids must not be guessable by somebody who
//! has seen others of the stream (mistake 21). Nothing samples `usize`, whose width differs between
//! platforms; the same seed gives the same stream everywhere.

use core::fmt;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// A seeded generator.
///
/// ```
/// use kadlet_core::Rng;
///
/// let (mut a, mut b) = (Rng::from_seed([7; 32]), Rng::from_seed([7; 32]));
/// assert_eq!(a.next_u64(), b.next_u64());
/// ```
#[derive(Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The generator that follows from `seed`.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// A generator of its own for one part: what the part draws does not shift what others draw.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::from_seed(self.bytes())
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number drawn from `0..bound`; 0 if `bound` is 0.
    ///
    /// Multiply-shift: for the bounds in use here (below 2^32) the bias is below 2^-32.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        // The high half of a 128-bit product fits 64 bits.
        (wide >> 64) as u64
    }

    /// True once in `n` draws; never if `n` is 0.
    pub fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// `span` less up to a quarter of it, drawn evenly: spreads what would else happen at once.
    pub fn jitter(&mut self, span: core::time::Duration) -> core::time::Duration {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        core::time::Duration::from_micros(micros - self.below(micros / 4 + 1))
    }

    /// Puts `items` into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            // `i` is below the length of a slice, so the draw fits usize.
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

/// A generator that draws seldom, in a seventh of the memory: the words that one draws ahead are
/// made again for every draw.
#[derive(Clone)]
pub(crate) struct Resting {
    seed: [u8; 32],
    /// Words drawn so far; 2^64 of them take longer than anything lasts.
    drawn: u64,
}

impl Resting {
    /// Draws what `rng` would have drawn.
    pub(crate) fn of(rng: &Rng) -> Self {
        Self { seed: rng.0.get_seed(), drawn: rng.0.get_word_pos() as u64 }
    }

    /// Draws from the stream.
    pub(crate) fn draw<T>(&mut self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        let mut rng = Rng::from_seed(self.seed);
        rng.0.set_word_pos(self.drawn.into());
        let drawn = draw(&mut rng);
        self.drawn = rng.0.get_word_pos() as u64;
        drawn
    }
}

/// Secret for the same reason as [`Rng`]'s.
impl fmt::Debug for Resting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resting(..)")
    }
}

/// The state would let a reader of logs predict our transaction ids.
impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rng(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_fixed_for_ever() {
        let mut rng = Rng::from_seed([1; 32]);
        let drawn = [rng.next_u64(), rng.below(1000), rng.fork().next_u64()];
        assert_eq!(drawn, [5_518_247_365_082_443_045, 948, 13_984_286_959_545_216_845]);
    }

    #[test]
    fn one_that_rests_draws_the_same() {
        let mut rng = Rng::from_seed([3; 32]);
        let _ = rng.bytes::<5>();
        let mut resting = Resting::of(&rng);
        for _ in 0..50 {
            assert_eq!(resting.draw(Rng::next_u32), rng.next_u32());
            assert_eq!(resting.draw(Rng::bytes::<16>), rng.bytes::<16>());
            assert_eq!(resting.draw(|rng| rng.below(9)), rng.below(9));
        }
    }

    #[test]
    fn draws_stay_below_their_bound() {
        let mut rng = Rng::from_seed([2; 32]);
        assert!((0..1000).all(|_| rng.below(7) < 7));
        assert_eq!(rng.below(0), 0);
        assert!(!rng.one_in(0));
    }
}
