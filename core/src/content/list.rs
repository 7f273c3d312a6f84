//! Hash lists: the hashes of a file's 1 MiB subtrees, enough to check any piece on its own.
//!
//! A file of `size` bytes has ⌈size / 1 MiB⌉ pieces; all are full but the last. The list holds for
//! each piece its BLAKE3 *chaining value* (the non-root hash of the subtree over its bytes, at its
//! offset). Pairs are hashed upwards, the left subtree always taking the largest power of two of
//! pieces that leaves at least one for the right; the topmost pair is hashed as the root and gives
//! the id. Two cases have no pair: the list of a one-piece file is the id itself (its only subtree
//! *is* the root), the list of the empty file is empty and its id is the hash of nothing.
//!
//! A list that hashes to the id is not yet a *true* list: joining two neighbours into their parent
//! gives a shorter list with the same root and another size. What settles the size is the last
//! piece: BLAKE3 hashes the position of every chunk and the length of the last one, so a last piece
//! that matches the list proves both the list's shape and the size. [`Fetch`](super::Fetch)
//! therefore takes the last piece first, from whoever gave the list, and blames nobody else before.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use blake3::Hasher;
use blake3::hazmat::{HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::{ContentId, PIECE_LEN};

type Hash = [u8; 32];

/// The hashes of a file's pieces, with its size; always one that hashes to its [`id`](Self::id).
///
/// As bytes: the size as 8 bytes, little-endian, then 32 bytes for each piece, in order.
///
/// ```
/// use kadlet_core::content::{HashList, HashListBuilder, ListError, PIECE_LEN};
///
/// let file = vec![7; PIECE_LEN as usize + 1];
/// let mut builder = HashListBuilder::new();
/// builder.update(&file);
/// let list = builder.finish();
/// assert_eq!((list.size(), list.pieces()), (PIECE_LEN + 1, 2));
///
/// let bytes = list.encode();
/// assert_eq!(bytes.len(), 8 + 2 * 32);
/// assert_eq!(HashList::decode(&bytes, list.id(), u64::MAX), Ok(list.clone()));
/// assert!(list.verify_piece(1, &[7]));
/// assert!(!list.verify_piece(1, &[8]));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct HashList {
    id: ContentId,
    size: u64,
    hashes: Vec<Hash>,
}

impl HashList {
    /// The largest size any list can speak of: 256 TiB. Its pieces number 2^28, which fits 32 bits.
    pub const MAX_SIZE: u64 = 1 << 48;

    /// Bytes of the size in front of the hashes.
    const HEADER: u64 = 8;

    /// Length of the encoded list of a file of `size` bytes: what a reader may allot.
    #[must_use]
    pub const fn encoded_len(size: u64) -> u64 {
        Self::HEADER + size.div_ceil(PIECE_LEN) * 32
    }

    /// Reads a list and checks it against the id.
    ///
    /// The size is what the giver says until the last piece is verified; see the module's notes.
    ///
    /// # Errors
    /// If the size is above `max_size` or [`MAX_SIZE`](Self::MAX_SIZE), the length does not follow
    /// from the size, or the hashes are not those of `id`.
    pub fn decode(bytes: &[u8], id: ContentId, max_size: u64) -> Result<Self, ListError> {
        let (size, hashes) =
            bytes.split_first_chunk().ok_or(ListError::Truncated { found: bytes.len() })?;
        let size = u64::from_le_bytes(*size);
        let limit = max_size.min(Self::MAX_SIZE);
        if size > limit {
            return Err(ListError::TooLarge { size, limit });
        }
        let expected = Self::encoded_len(size);
        if bytes.len() as u64 != expected {
            return Err(ListError::Length { size, expected, found: bytes.len() as u64 });
        }
        let (hashes, _) = hashes.as_chunks();
        if root(hashes) != id {
            return Err(ListError::NotOfThisId);
        }
        Ok(Self { id, size, hashes: hashes.to_vec() })
    }

    /// The list as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 32 * self.hashes.len());
        bytes.extend_from_slice(&self.size.to_le_bytes());
        for hash in &self.hashes {
            bytes.extend_from_slice(hash);
        }
        bytes
    }

    /// The id of the file.
    #[must_use]
    pub const fn id(&self) -> ContentId {
        self.id
    }

    /// The size of the file in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The number of pieces.
    #[must_use]
    pub const fn pieces(&self) -> u32 {
        // `MAX_SIZE` keeps it below 2^28.
        self.hashes.len() as u32
    }

    /// The bytes of the file that piece `index` covers; none beyond the last piece.
    #[must_use]
    pub fn range(&self, index: u32) -> Option<Range<u64>> {
        let start = u64::from(index) * PIECE_LEN;
        (start < self.size).then(|| start..self.size.min(start + PIECE_LEN))
    }

    /// Whether `bytes` are piece `index`, whole.
    #[must_use]
    pub fn verify_piece(&self, index: u32, bytes: &[u8]) -> bool {
        self.piece_verifier(index).is_some_and(|mut verifier| {
            verifier.update(bytes);
            verifier.finish()
        })
    }

    /// Checks piece `index` as its bytes arrive; none beyond the last piece.
    #[must_use]
    pub fn piece_verifier(&self, index: u32) -> Option<PieceVerifier> {
        let range = self.range(index)?;
        let expected = *self.hashes.get(index as usize)?;
        let mut hasher = Hasher::new();
        hasher.set_input_offset(range.start);
        let left = range.end - range.start;
        Some(PieceVerifier {
            hasher,
            index,
            expected,
            left,
            root: self.hashes.len() == 1,
            fits: true,
        })
    }
}

impl fmt::Debug for HashList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashList")
            .field("id", &self.id)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// The root of the tree over these pieces.
fn root(hashes: &[Hash]) -> ContentId {
    match hashes {
        [] => ContentId::of(&[]),
        [only] => ContentId(*only),
        more => {
            let (left, right) = more.split_at(left_len(more.len()));
            ContentId(*merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash).as_bytes())
        }
    }
}

/// The chaining value over some pieces. Recurses at most 28 deep, the depth of the largest list.
fn subtree(hashes: &[Hash]) -> Hash {
    match hashes {
        // Never reached: both sides of a split of at least two are filled.
        [] => [0; 32],
        [only] => *only,
        more => {
            let (left, right) = more.split_at(left_len(more.len()));
            merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

/// The largest power of two below `n`, for `n` of at least 2.
const fn left_len(n: usize) -> usize {
    n.div_ceil(2).next_power_of_two()
}

/// Hashes a file as its bytes come, in parts of any length, into its list.
///
/// ```
/// use kadlet_core::content::{ContentId, HashListBuilder};
///
/// let mut builder = HashListBuilder::new();
/// builder.update(b"hel");
/// builder.update(b"lo");
/// assert_eq!(builder.finish().id(), ContentId::of(b"hello"));
/// ```
#[derive(Clone)]
pub struct HashListBuilder {
    /// Over the current piece. A full one stays open until a further byte comes: only then is it
    /// certain that it is not the file's only piece, whose hash is the root.
    piece: Hasher,
    filled: u64,
    hashes: Vec<Hash>,
}

impl HashListBuilder {
    /// A builder that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { piece: Hasher::new(), filled: 0, hashes: Vec::new() }
    }

    /// Takes the next bytes of the file.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.filled == PIECE_LEN {
                self.hashes.push(self.piece.finalize_non_root());
                self.piece = Hasher::new();
                self.piece.set_input_offset(self.hashes.len() as u64 * PIECE_LEN);
                self.filled = 0;
            }
            // At most 1 MiB, and at most what is there.
            let take = (PIECE_LEN - self.filled).min(bytes.len() as u64);
            let (now, later) = bytes.split_at(take as usize);
            self.piece.update(now);
            self.filled += take;
            bytes = later;
        }
    }

    /// How many bytes came so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.hashes.len() as u64 * PIECE_LEN + self.filled
    }

    /// The list over all bytes that came.
    #[must_use]
    pub fn finish(mut self) -> HashList {
        let size = self.size();
        if self.filled > 0 {
            self.hashes.push(if self.hashes.is_empty() {
                *self.piece.finalize().as_bytes()
            } else {
                self.piece.finalize_non_root()
            });
        }
        HashList { id: root(&self.hashes), size, hashes: self.hashes }
    }
}

impl Default for HashListBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HashListBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashListBuilder").field("size", &self.size()).finish_non_exhaustive()
    }
}

/// Checks one piece as its bytes arrive, so that nobody has to hold all of it.
///
/// ```
/// use kadlet_core::content::HashListBuilder;
///
/// let mut builder = HashListBuilder::new();
/// builder.update(b"hello");
/// let list = builder.finish();
///
/// let mut verifier = list.piece_verifier(0).expect("the first piece");
/// verifier.update(b"he");
/// assert_eq!(verifier.remaining(), 3);
/// verifier.update(b"llo");
/// assert!(verifier.finish());
/// ```
#[derive(Clone)]
pub struct PieceVerifier {
    hasher: Hasher,
    index: u32,
    expected: Hash,
    left: u64,
    root: bool,
    fits: bool,
}

impl PieceVerifier {
    /// Takes the next bytes of the piece. More than the piece has make it wrong.
    pub fn update(&mut self, bytes: &[u8]) {
        match self.left.checked_sub(bytes.len() as u64) {
            Some(left) => {
                self.left = left;
                self.hasher.update(bytes);
            }
            None => self.fits = false,
        }
    }

    /// The number of the piece, from 0.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// How many bytes are still to come.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.left
    }

    /// Whether the bytes that came are the piece, whole.
    #[must_use]
    pub fn finish(&self) -> bool {
        if !self.fits || self.left > 0 {
            return false;
        }
        // Constant time is not needed: everybody may know the hashes.
        if self.root {
            self.hasher.finalize().as_bytes() == &self.expected
        } else {
            self.hasher.finalize_non_root() == self.expected
        }
    }

    /// Whether both check against the same hash of the same piece.
    pub(super) fn checks_the_same_as(&self, other: &Self) -> bool {
        (self.index, self.expected, self.root) == (other.index, other.expected, other.root)
    }
}

impl fmt::Debug for PieceVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceVerifier")
            .field("index", &self.index)
            .field("remaining", &self.left)
            .finish_non_exhaustive()
    }
}

/// Why bytes are not the hash list of an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ListError {
    /// Too short to hold even the size.
    Truncated {
        /// Bytes that came.
        found: usize,
    },
    /// A size beyond the limit.
    TooLarge {
        /// The size it speaks of, in bytes.
        size: u64,
        /// The most that is accepted, in bytes.
        limit: u64,
    },
    /// A length that does not follow from the size.
    Length {
        /// The size it speaks of, in bytes.
        size: u64,
        /// The length of such a list, in bytes.
        expected: u64,
        /// Bytes that came.
        found: u64,
    },
    /// The hashes do not hash to the id.
    NotOfThisId,
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { found } => {
                write!(f, "a hash list has at least 8 bytes, this has {found}")
            }
            Self::TooLarge { size, limit } => {
                write!(f, "a file of {size} bytes is beyond the limit of {limit}")
            }
            Self::Length { size, expected, found } => {
                write!(f, "the hash list of {size} bytes has {expected} bytes, this has {found}")
            }
            Self::NotOfThisId => f.write_str("the hash list is not that of the content id"),
        }
    }
}

impl core::error::Error for ListError {}

#[cfg(test)]
mod tests;
