//! Content: how a file is named, cut into pieces, checked and fetched from people one cannot trust.
//!
//! - A file's name is its BLAKE3 hash, [`ContentId`]. BLAKE3 is a tree: the file is cut into
//!   [`PIECE_LEN`] pieces, each the leaf range of one subtree, and the subtrees' hashes,
//!   [`HashList`], are checked against the id by hashing them upwards.
//! - Every piece is checked against the list, so a provider's first wrong piece gives it away.
//! - A [`Link`] is what people pass around: the id, a name, a size and whom to ask first.
//! - [`Fetch`] decides which piece comes from whom next. It opens no connection: the program, the
//!   browser page and Python fetch through the same state machine.
//!
//! The tree is the one of the BLAKE3 paper (O'Connor, Aumasson, Neves and Wilcox-O'Hearn 2020,
//! section 2.1), so the id is what `b3sum` prints. `docs/content.md` has the formats with vectors.

use core::fmt;
use core::str::FromStr;

use crate::id::Id;

mod bitmap;
mod fetch;
mod link;
mod list;
mod name;

pub use bitmap::{Bitmap, Resume, ResumeError};
pub use fetch::{
    Fetch, FetchError, FetchEvent, ProviderStats, Rejection, Request, RequestFailure, RequestId,
    Verdict, Want,
};
pub use link::{Link, LinkError};
pub use list::{HashList, HashListBuilder, ListError, PieceVerifier};
pub use name::safe_file_name;

/// Length of a piece in bytes: 1 MiB, 1024 chunks of BLAKE3, so that every piece is a whole subtree.
///
/// Smaller pieces catch a liar earlier, larger ones make a shorter list; at 1 MiB the list is
/// 1/32,768 of the file and a lie costs a second of an ordinary line.
pub const PIECE_LEN: u64 = 1 << 20;

/// The BLAKE3 key-derivation context of provider keys; every record type has one of its own, so that
/// no key of one type can be made to collide with a key of another.
pub const PROVIDER_KEY_CONTEXT: &str = "kadlet draft-1 provider key";

/// What a file is called: the BLAKE3 hash of its bytes.
///
/// ```
/// use kadlet_core::content::ContentId;
///
/// let id = ContentId::of(b"hello");
/// assert_eq!(
///     id.to_string(),
///     "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f"
/// );
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId([u8; Self::LEN]);

impl ContentId {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// The id with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The id of a file that lies in memory; [`HashListBuilder`] takes it in parts.
    #[must_use]
    pub fn of(file: &[u8]) -> Self {
        Self(*blake3::hash(file).as_bytes())
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The key under which the file's providers are announced: BLAKE3 in its key-derivation mode
    /// over the id, the first 160 bits. Who stores a provider record learns the key, not the id.
    #[must_use]
    pub fn key(&self) -> Id {
        Id::from_hash(&blake3::derive_key(PROVIDER_KEY_CONTEXT, &self.0))
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ContentId {
    type Err = ParseContentIdError;

    /// Reads 64 hexadecimal digits, of either case.
    fn from_str(text: &str) -> Result<Self, ParseContentIdError> {
        let digits = text.as_bytes();
        if digits.len() != 2 * Self::LEN {
            return Err(ParseContentIdError::Length(text.chars().count()));
        }
        let mut bytes = [0; Self::LEN];
        for (i, (byte, pair)) in bytes.iter_mut().zip(digits.chunks_exact(2)).enumerate() {
            let digit = |j: usize| {
                pair.get(j)
                    .and_then(|d| char::from(*d).to_digit(16))
                    .ok_or(ParseContentIdError::Digit { position: 2 * i + j })
            };
            // Two hexadecimal digits make at most 255.
            *byte = (digit(0)? << 4 | digit(1)?) as u8;
        }
        Ok(Self(bytes))
    }
}

/// Why a text is no content id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ParseContentIdError {
    /// Not 64 digits, but this many characters.
    Length(usize),
    /// Not a hexadecimal digit, at this position (from 0).
    Digit {
        /// Position of the first wrong character, from 0.
        position: usize,
    },
}

impl fmt::Display for ParseContentIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(n) => {
                write!(f, "a content id has 64 hexadecimal digits, this has {n} characters")
            }
            Self::Digit { position } => {
                write!(
                    f,
                    "a content id has 64 hexadecimal digits, character {} is none",
                    position + 1
                )
            }
        }
    }
}

impl core::error::Error for ParseContentIdError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn text_and_back() {
        let id = ContentId::of(b"");
        let text = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        assert_eq!("af".parse::<ContentId>(), Err(ParseContentIdError::Length(2)));
        let wrong = "0".repeat(63) + "x";
        assert_eq!(wrong.parse::<ContentId>(), Err(ParseContentIdError::Digit { position: 63 }));
        assert_eq!(
            "é".repeat(32).parse::<ContentId>(),
            Err(ParseContentIdError::Digit { position: 0 })
        );
    }

    #[test]
    fn the_key_is_not_the_id() {
        let id = ContentId::of(b"a");
        assert_ne!(id.key().as_bytes()[..], id.as_bytes()[..20]);
        assert_ne!(id.key(), ContentId::of(b"b").key());
    }
}
