//! Which pieces one has, and how that is kept between two runs of a fetch.
//!
//! A resume note is written often and may be torn by a crash or edited by anybody, so it carries a
//! checksum and is believed only as a hint: a host checks the pieces on disk against the list before
//! it hands the set to [`Fetch::resume`](super::Fetch::resume).

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use super::{ContentId, HashList, PIECE_LEN};

/// A set of pieces out of a fixed number.
///
/// ```
/// use kadlet_core::content::Bitmap;
///
/// let mut have = Bitmap::new(3);
/// assert!(have.insert(1));
/// assert!(!have.insert(1) && !have.insert(3));
/// assert_eq!(have.missing().collect::<Vec<_>>(), [0, 2]);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bitmap {
    len: u32,
    count: u32,
    /// Piece `i` is bit `i % 64` of word `i / 64`; bits beyond `len` stay clear.
    words: Vec<u64>,
}

impl Bitmap {
    /// No piece out of `len`.
    #[must_use]
    pub fn new(len: u32) -> Self {
        Self { len, count: 0, words: vec![0; len.div_ceil(64) as usize] }
    }

    /// How many pieces there are, had or not.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is no piece to have: the set of an empty file.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many pieces are in the set.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Whether every piece is in the set.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.count == self.len
    }

    /// Whether piece `index` is in the set.
    #[must_use]
    pub fn contains(&self, index: u32) -> bool {
        self.words.get((index / 64) as usize).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Puts piece `index` in; false if it was there or there is no such piece.
    pub fn insert(&mut self, index: u32) -> bool {
        let fresh = index < self.len && !self.contains(index);
        if fresh && let Some(word) = self.words.get_mut((index / 64) as usize) {
            *word |= 1 << (index % 64);
            self.count += 1;
        }
        fresh
    }

    /// Takes piece `index` out; false if it was not in.
    pub fn remove(&mut self, index: u32) -> bool {
        let there = self.contains(index);
        if there && let Some(word) = self.words.get_mut((index / 64) as usize) {
            *word &= !(1 << (index % 64));
            self.count -= 1;
        }
        there
    }

    /// The first piece at or after `from` that is not in the set.
    #[must_use]
    pub fn first_missing(&self, from: u32) -> Option<u32> {
        let first = from / 64;
        // Below `from` nothing counts.
        let mut below = (1_u64 << (from % 64)) - 1;
        for (word, number) in self.words.iter().skip(first as usize).zip(first..) {
            let free = !(word | below);
            below = 0;
            if free != 0 {
                // Only the last word has bits beyond `len`.
                return Some(number * 64 + free.trailing_zeros()).filter(|index| *index < self.len);
            }
        }
        None
    }

    /// The pieces that are not in the set, ascending.
    pub fn missing(&self) -> impl Iterator<Item = u32> {
        let mut from = Some(0);
        core::iter::from_fn(move || {
            let found = self.first_missing(from?);
            from = found.and_then(|index| index.checked_add(1));
            found
        })
    }

    /// The pieces in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.len).filter(|index| self.contains(*index))
    }
}

/// How far a fetch came: what a host keeps beside the partial file. The hash list is kept apart, for
/// it is written once and may be long.
///
/// ```
/// use kadlet_core::content::{Bitmap, ContentId, Resume, PIECE_LEN};
///
/// let mut have = Bitmap::new(2);
/// have.insert(0);
/// let note = Resume { id: ContentId::of(b"as an example"), size: PIECE_LEN + 9, have };
/// assert_eq!(Resume::decode(&note.encode()), Ok(note));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resume {
    /// What is being fetched.
    pub id: ContentId,
    /// Its size in bytes.
    pub size: u64,
    /// The pieces that were verified and written.
    pub have: Bitmap,
}

impl Resume {
    /// Tells a resume note from other small files.
    const MAGIC: [u8; 4] = *b"kadr";
    const VERSION: u8 = 1;
    const CHECKSUM: usize = 8;

    /// The note as bytes: magic `kadr`, version 1, id, size as 8 bytes little-endian, one bit per
    /// piece (piece 0 is bit 0 of the first byte), the first 8 bytes of the BLAKE3 of all that.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + self.have.words.len() * 8);
        bytes.extend_from_slice(&Self::MAGIC);
        bytes.push(Self::VERSION);
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.size.to_le_bytes());
        let bits = self.have.words.iter().flat_map(|word| word.to_le_bytes());
        bytes.extend(bits.take(self.have.len.div_ceil(8) as usize));
        let hash = blake3::hash(&bytes);
        bytes.extend(hash.as_bytes().iter().take(Self::CHECKSUM));
        bytes
    }

    /// Reads a note.
    ///
    /// # Errors
    /// If it is of a newer version or damaged: the fetch starts anew, from the pieces on disk if the
    /// host checks them.
    pub fn decode(bytes: &[u8]) -> Result<Self, ResumeError> {
        let rest = bytes.strip_prefix(&Self::MAGIC).ok_or(ResumeError::Damaged)?;
        let (version, rest) = rest.split_first().ok_or(ResumeError::Damaged)?;
        if *version != Self::VERSION {
            return Err(ResumeError::Version(*version));
        }
        let (body, checksum) =
            bytes.split_last_chunk::<{ Self::CHECKSUM }>().ok_or(ResumeError::Damaged)?;
        if !blake3::hash(body).as_bytes().starts_with(checksum) {
            return Err(ResumeError::Damaged);
        }
        let (id, rest) = rest.split_first_chunk().ok_or(ResumeError::Damaged)?;
        let (size, rest) = rest.split_first_chunk().ok_or(ResumeError::Damaged)?;
        let (bits, _) =
            rest.split_last_chunk::<{ Self::CHECKSUM }>().ok_or(ResumeError::Damaged)?;
        let size = u64::from_le_bytes(*size);
        if size > HashList::MAX_SIZE {
            return Err(ResumeError::Damaged);
        }
        // `MAX_SIZE` keeps the number of pieces below 2^28.
        let pieces = size.div_ceil(PIECE_LEN) as u32;
        if bits.len() != pieces.div_ceil(8) as usize {
            return Err(ResumeError::Damaged);
        }
        let mut have = Bitmap::new(pieces);
        for (byte, first) in bits.iter().zip((0..).step_by(8)) {
            for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
                if !have.insert(first + bit) {
                    return Err(ResumeError::Damaged);
                }
            }
        }
        Ok(Self { id: ContentId(*id), size, have })
    }
}

/// Why bytes are no resume note.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ResumeError {
    /// Written by a program that knows more than this one.
    Version(u8),
    /// Torn, edited, or something else.
    Damaged,
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "a resume note of version {version}, only version 1 is known")
            }
            Self::Damaged => f.write_str("a damaged resume note"),
        }
    }
}

impl core::error::Error for ResumeError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bitmap_is_a_set(len in 0..300_u32, steps in prop::collection::vec((any::<bool>(), 0..320_u32), 0..200)) {
            let (mut bitmap, mut set) = (Bitmap::new(len), BTreeSet::new());
            for (insert, index) in steps {
                if insert {
                    prop_assert_eq!(bitmap.insert(index), index < len && set.insert(index));
                } else {
                    prop_assert_eq!(bitmap.remove(index), set.remove(&index));
                }
                prop_assert_eq!(bitmap.count() as usize, set.len());
                let missing = (index..len).find(|i| !set.contains(i));
                prop_assert_eq!(bitmap.first_missing(index), missing);
            }
            prop_assert!(bitmap.iter().eq(set.iter().copied()));
            prop_assert!(bitmap.missing().eq((0..len).filter(|i| !set.contains(i))));
            prop_assert_eq!(bitmap.is_full(), set.len() == len as usize);
        }

        #[test]
        fn a_note_comes_back_and_a_damaged_one_does_not(
            size in 0..400 * PIECE_LEN,
            indices in prop::collection::vec(0..400_u32, 0..50),
            (at, flip) in (any::<prop::sample::Index>(), 1..=255_u8),
        ) {
            let mut have = Bitmap::new(size.div_ceil(PIECE_LEN) as u32);
            for index in indices {
                have.insert(index);
            }
            let note = Resume { id: ContentId::of(b"x"), size, have };
            let bytes = note.encode();
            prop_assert_eq!(Resume::decode(&bytes), Ok(note));
            let mut damaged = bytes.clone();
            damaged[at.index(bytes.len())] ^= flip;
            prop_assert!(Resume::decode(&damaged).is_err());
            prop_assert!(Resume::decode(&bytes[..at.index(bytes.len())]).is_err());
        }

        #[test]
        fn any_bytes_decode_or_err(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut framed = b"kadr\x01".to_vec();
            framed.extend_from_slice(&bytes);
            let hash = blake3::hash(&framed);
            framed.extend_from_slice(&hash.as_bytes()[..8]);
            let _ = Resume::decode(&framed);
            let _ = Resume::decode(&bytes);
        }
    }

    #[test]
    fn a_note_with_pieces_beyond_the_last_is_damaged() {
        let mut have = Bitmap::new(3);
        have.insert(2);
        let bytes = Resume { id: ContentId::of(b"x"), size: 3 * PIECE_LEN, have }.encode();
        let mut body = bytes[..bytes.len() - Resume::CHECKSUM].to_vec();
        *body.last_mut().expect("the bits") |= 1 << 3;
        let checksum = blake3::hash(&body);
        body.extend_from_slice(&checksum.as_bytes()[..Resume::CHECKSUM]);
        assert_eq!(Resume::decode(&body), Err(ResumeError::Damaged));
    }

    #[test]
    fn a_newer_note_is_named() {
        let mut bytes = Resume { id: ContentId::of(b""), size: 0, have: Bitmap::new(0) }.encode();
        bytes[4] = 2;
        assert_eq!(Resume::decode(&bytes), Err(ResumeError::Version(2)));
    }
}
