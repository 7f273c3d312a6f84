//! Identifiers and the XOR metric (Maymounkov and Mazières 2002, section 2.1).
//!
//! Nodes and keys share one space of 160 bits. The distance of two points is their XOR, read as an
//! unsigned big-endian integer; it is symmetric, obeys the triangle inequality, and is
//! unidirectional: for a point and a distance there is exactly one other point.

use core::fmt;
use core::str::FromStr;

use crate::rng::Rng;

/// A point of the 160-bit space: the id of a node, or the key of a record.
///
/// Ordered as an unsigned big-endian integer.
///
/// ```
/// use kadlet_core::Id;
///
/// let id: Id = "00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff".parse()?;
/// assert_eq!(id.distance(id).bucket(), None);
/// # Ok::<(), kadlet_core::ParseIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id([u8; Self::LEN]);

impl Id {
    /// Length in bytes.
    pub const LEN: usize = 20;
    /// Length in bits: also the number of distances a routing table tells apart.
    pub const BITS: u32 = 160;
    /// The origin: all bits zero.
    pub const ZERO: Self = Self([0; Self::LEN]);

    /// The id with these bytes, most significant first.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The id in the first 20 of 32 bytes: how a hash becomes a key.
    #[must_use]
    pub const fn from_hash(hash: &[u8; 32]) -> Self {
        let (head, _) = hash.split_at(Self::LEN);
        match head.first_chunk() {
            Some(bytes) => Self(*bytes),
            None => Self::ZERO,
        }
    }

    /// The id in `bytes`, if they are exactly 20.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// An id drawn uniformly from the whole space.
    pub fn random(rng: &mut Rng) -> Self {
        let mut bytes = [0; Self::LEN];
        rng.fill(&mut bytes);
        Self(bytes)
    }

    /// An id drawn uniformly from those that share exactly the first `prefix` bits with `self`:
    /// bit number `prefix` differs, the bits behind it are random. With `prefix` ≥ 160, `self`.
    ///
    /// This is the refresh target for one bucket; leaving the differing bit unflipped would refresh
    /// our own neighbourhood instead.
    #[must_use]
    pub fn random_beside(self, prefix: u32, rng: &mut Rng) -> Self {
        if prefix >= Self::BITS {
            return self;
        }
        let flipped = self.with_flipped(prefix);
        flipped.random_within(prefix + 1, rng)
    }

    /// An id drawn uniformly from those that share at least the first `prefix` bits with `self`.
    #[must_use]
    pub fn random_within(self, prefix: u32, rng: &mut Rng) -> Self {
        let mut bytes = Self::random(rng).0;
        let whole = (prefix / 8) as usize;
        for (random, own) in bytes.iter_mut().zip(self.0).take(whole) {
            *random = own;
        }
        if let (Some(random), Some(own)) = (bytes.get_mut(whole), self.0.get(whole)) {
            let keep = !(0xff_u8.checked_shr(prefix % 8).unwrap_or(0));
            *random = (own & keep) | (*random & !keep);
        }
        Self(bytes)
    }

    /// `self` with bit `index` inverted, 0 being the most significant.
    #[must_use]
    pub fn with_flipped(mut self, index: u32) -> Self {
        if let Some(byte) = self.0.get_mut((index / 8) as usize) {
            *byte ^= 0x80 >> (index % 8);
        }
        self
    }

    /// Bit `index`, 0 being the most significant; false beyond the last.
    #[must_use]
    pub fn bit(&self, index: u32) -> bool {
        self.0.get((index / 8) as usize).is_some_and(|byte| byte & (0x80 >> (index % 8)) != 0)
    }

    /// How far the two points are from each other.
    #[must_use]
    pub fn distance(&self, other: Self) -> Distance {
        // By index: an iterator costs calls where code is to be small, as in a page.
        let mut xor = self.0;
        let mut at = 0;
        while at < Self::LEN {
            xor[at] ^= other.0[at];
            at += 1;
        }
        Distance(xor)
    }

    /// How many leading bits the two points share: 160 for equal ones.
    #[must_use]
    pub fn common_prefix(&self, other: Self) -> u32 {
        self.distance(other).leading_zeros()
    }

    /// The bytes, most significant first.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl From<[u8; Self::LEN]> for Id {
    fn from(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = ParseIdError;

    /// Reads 40 hexadecimal digits, of either case.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let digits = text.as_bytes();
        if digits.len() != 2 * Self::LEN {
            return Err(ParseIdError::Length(text.chars().count()));
        }
        let mut bytes = [0; Self::LEN];
        for (i, (byte, pair)) in bytes.iter_mut().zip(digits.chunks_exact(2)).enumerate() {
            let digit = |j: usize| {
                pair.get(j)
                    .and_then(|d| char::from(*d).to_digit(16))
                    .ok_or(ParseIdError::Digit { position: 2 * i + j })
            };
            // Two hexadecimal digits make at most 255.
            *byte = (digit(0)? << 4 | digit(1)?) as u8;
        }
        Ok(Self(bytes))
    }
}

/// Why a text is no id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ParseIdError {
    /// Not 40 digits, but this many characters.
    Length(usize),
    /// Not a hexadecimal digit, at this position (from 0).
    Digit {
        /// Position of the first wrong character, from 0.
        position: usize,
    },
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(n) => {
                write!(f, "an id has 40 hexadecimal digits, this has {n} characters")
            }
            Self::Digit { position } => {
                write!(f, "an id has 40 hexadecimal digits, character {} is none", position + 1)
            }
        }
    }
}

impl core::error::Error for ParseIdError {}

/// The XOR of two points, ordered as an unsigned big-endian integer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Distance([u8; Id::LEN]);

impl Distance {
    /// The distance of a point to itself.
    pub const ZERO: Self = Self([0; Id::LEN]);
    /// The greatest distance there is.
    pub const MAX: Self = Self([0xff; Id::LEN]);

    /// The distance with these bytes, most significant first.
    #[must_use]
    pub const fn new(bytes: [u8; Id::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes, most significant first.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Id::LEN] {
        &self.0
    }

    /// The number of leading zero bits: the length of the prefix two points share.
    #[must_use]
    pub fn leading_zeros(&self) -> u32 {
        let mut zeros = 0;
        for byte in self.0 {
            if byte != 0 {
                return zeros + byte.leading_zeros();
            }
            zeros += 8;
        }
        zeros
    }

    /// The `i` for which the distance lies in [2^i, 2^(i+1)), from 0 to 159; none for zero, whose
    /// logarithm does not exist.
    #[must_use]
    pub fn bucket(&self) -> Option<u32> {
        (Id::BITS - 1).checked_sub(self.leading_zeros())
    }

    /// The 64 most significant bits: enough to estimate densities with.
    #[must_use]
    pub const fn high_bits(&self) -> u64 {
        match self.0.first_chunk() {
            Some(bytes) => u64::from_be_bytes(*bytes),
            None => 0,
        }
    }
}

impl fmt::Debug for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn id() -> impl Strategy<Value = Id> {
        any::<[u8; 20]>().prop_map(Id::new)
    }

    proptest! {
        #[test]
        fn xor_is_a_unidirectional_metric(a in id(), b in id(), c in id()) {
            prop_assert_eq!(a.distance(a), Distance::ZERO);
            prop_assert_eq!(a.distance(b), b.distance(a));
            prop_assert_eq!(a.distance(b) == Distance::ZERO, a == b);
            // d(a,c) = d(a,b) xor d(b,c), which is at most their sum: compare without carries.
            let (ab, bc, ac) = (a.distance(b), b.distance(c), a.distance(c));
            let sum = ab.0.iter().zip(bc.0).rev().fold((0_u16, std::vec![]), |(carry, mut out), (x, y)| {
                let s = u16::from(*x) + u16::from(y) + carry;
                out.insert(0, (s & 0xff) as u8);
                (s >> 8, out)
            });
            prop_assert!(sum.0 > 0 || sum.1.as_slice() >= ac.0.as_slice());
        }

        /// Mistake 5: comparing bucket indices, little-endian numbers or text.
        #[test]
        fn distances_compare_as_big_endian_integers(a in id(), b in id(), t in id()) {
            let wide = |d: Distance| {
                let (hi, lo) = d.0.split_at(16);
                let hi = u128::from_be_bytes(hi.try_into().expect("16 bytes"));
                (hi, u32::from_be_bytes(lo.try_into().expect("4 bytes")))
            };
            prop_assert_eq!(
                a.distance(t).cmp(&b.distance(t)),
                wide(a.distance(t)).cmp(&wide(b.distance(t)))
            );
        }

        /// Mistake 7: a refresh id outside its bucket's range.
        #[test]
        fn a_refresh_id_lies_in_its_bucket(own in id(), prefix in 0_u32..160, seed in any::<u8>()) {
            let id = own.random_beside(prefix, &mut Rng::from_seed([seed; 32]));
            prop_assert_eq!(own.common_prefix(id), prefix);
            prop_assert_eq!(own.distance(id).bucket(), Some(159 - prefix));
        }

        #[test]
        fn a_random_id_within_shares_the_prefix(own in id(), prefix in 0_u32..=160, seed in any::<u8>()) {
            let id = own.random_within(prefix, &mut Rng::from_seed([seed; 32]));
            prop_assert!(own.common_prefix(id) >= prefix);
        }

        #[test]
        fn text_and_back(a in id()) {
            prop_assert_eq!(a.to_string().parse(), Ok(a));
            prop_assert_eq!(a.to_string().to_uppercase().parse(), Ok(a));
        }
    }

    /// Mistake 6: the logarithm of zero.
    #[test]
    fn the_own_id_is_in_no_bucket() {
        let own = Id::new([7; 20]);
        assert_eq!(own.distance(own).bucket(), None);
        assert_eq!(own.random_beside(160, &mut Rng::from_seed([0; 32])), own);
    }

    #[test]
    fn a_wrong_text_says_what_is_wrong() {
        assert_eq!("ab".parse::<Id>(), Err(ParseIdError::Length(2)));
        let wrong = "00000000000000000000000000000000000000g0";
        assert_eq!(wrong.parse::<Id>(), Err(ParseIdError::Digit { position: 38 }));
        assert_eq!("é".repeat(20).parse::<Id>(), Err(ParseIdError::Digit { position: 0 }));
    }
}
