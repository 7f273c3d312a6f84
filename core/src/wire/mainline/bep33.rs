//! Scrapes (BEP 33): how many hold a torrent, from filters that hold no address.
//!
//! A node answers with two Bloom filters of its stored addresses, complete and not; the asker
//! unites the filters of several nodes, so that a peer known to many counts once, and estimates.
//! The estimate is the only place in the core that uses floating point; the logarithm comes from
//! `libm`, so that it is the same on every platform.

use core::fmt;
use core::net::IpAddr;

use sha1::{Digest, Sha1};

/// Length of a filter in bytes.
pub const LEN: usize = 256;

/// Length of a filter in bits.
const BITS: u32 = 2_048;

/// A Bloom filter of addresses: 2,048 bits, two for each address.
///
/// ```
/// use kadlet_core::wire::mainline::bep33::Filter;
///
/// let mut filter = Filter::default();
/// for last in 1..=100 {
///     filter.insert([192, 0, 2, last].into());
/// }
/// assert!((95.0..105.0).contains(&filter.estimate()));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Filter([u8; LEN]);

impl Filter {
    /// The filter with these bytes, as an answer carries it.
    #[must_use]
    pub const fn new(bytes: [u8; LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }

    /// Adds an address; its port does not matter.
    pub fn insert(&mut self, address: IpAddr) {
        let digest: [u8; 20] = match address {
            IpAddr::V4(ip) => Sha1::digest(ip.octets()),
            IpAddr::V6(ip) => Sha1::digest(ip.octets()),
        }
        .into();
        let [a, b, c, d, ..] = digest;
        for index in [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])] {
            // Mod 2,048: bits 3 to 10 choose the byte, bits 0 to 2 the bit, the least first.
            let byte = usize::from(index >> 3 & 0xff);
            if let Some(byte) = self.0.get_mut(byte) {
                *byte |= 1 << (index & 7);
            }
        }
    }

    /// Adds all that `other` holds.
    pub fn unite(&mut self, other: &Self) {
        for (byte, more) in self.0.iter_mut().zip(other.0) {
            *byte |= more;
        }
    }

    /// How many addresses were added, about. From 0.5 for an empty filter (the BEP's formula) to
    /// 7,800 for a full one, which says no more than "many".
    #[must_use]
    #[expect(clippy::float_arithmetic, reason = "BEP 33's formula; libm is the same everywhere")]
    pub fn estimate(&self) -> f64 {
        let zeros: u32 = self.0.iter().map(|byte| byte.count_zeros()).sum();
        let (zeros, bits) = (f64::from(zeros.clamp(1, BITS - 1)), f64::from(BITS));
        libm::log(zeros / bits) / (2.0 * libm::log(1.0 - 1.0 / bits))
    }
}

impl Default for Filter {
    /// The empty filter.
    fn default() -> Self {
        Self([0; LEN])
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ones: u32 = self.0.iter().map(|byte| byte.count_ones()).sum();
        write!(f, "Filter({ones} of {BITS} bits)")
    }
}
