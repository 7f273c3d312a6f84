//! Records: what a network keeps for its nodes.
//!
//! | record | key | says |
//! | --- | --- | --- |
//! | [`Provider`] | of its content | this address has the content |
//! | [`Value`] | hash of the value | these bytes |
//! | [`SignedValue`] | hash of public key and salt | these bytes, until the key's owner says others |
//! | [`SearchEntry`] | hash of a word of its name | a file with this name, size and content exists |
//!
//! Values certify themselves: whoever holds one can hand it on, and whoever gets it can check it.
//! Providers and search entries are somebody's word, renewed by whoever gave it.
//!
//! Keys are the first 160 bits of BLAKE3 in its key-derivation mode, with a context of its own for
//! every type, so that no record of one type can be made to lie under the key of another. Every
//! constructor checks the limits, so a record that exists can be sent: docs/protocol.md has the
//! limits, the contexts and the vectors, and tests/golden/draft-1/records.txt the same for machines.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use crate::id::Id;
#[cfg(feature = "mainline")]
use crate::wire::mainline::bep44;

mod lower;
mod search;
mod signed;
#[cfg(test)]
mod vectors;

pub use search::{
    InvalidQuery, MAX_WORD, MAX_WORDS, SearchEntry, SearchFilter, SearchQuery, Word, Words, words,
};
pub use signed::{SignedValue, Verified};

/// Bytes in a value at most, extra fields of a signed one included: what is left of a datagram of
/// 1232 bytes once a signed put has said the rest.
pub const MAX_VALUE: usize = 896;
/// Bytes in a salt at most, as in BEP 44.
pub const MAX_SALT: usize = 64;
/// Bytes in the name of a search entry at most: what file systems allow.
pub const MAX_NAME: usize = 255;
/// Bytes that later versions may add to a search entry.
pub const MAX_ENTRY_EXTRA: usize = 128;

/// The contexts of the key-derivation mode, and of signatures. The key of a content's providers is
/// derived with [`PROVIDER_KEY_CONTEXT`](crate::content::PROVIDER_KEY_CONTEXT).
pub mod context {
    /// Key of an immutable value, derived from its bytes.
    pub const VALUE: &str = "kadlet draft-1 value";
    /// Key of a signed value, derived from public key (32 bytes) and salt.
    pub const SIGNED_VALUE: &str = "kadlet draft-1 signed value";
    /// Key of a word's search entries, derived from the normalised word in UTF-8.
    pub const KEYWORD: &str = "kadlet draft-1 keyword";
    /// What a signature over a signed value begins with: no other use of the same key pair can
    /// produce a message that begins so.
    pub const SIGNATURE: &str = "kadlet draft-1 signature";
}

/// How a network writes values: what may be one, what its key is, and what a signature is over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[non_exhaustive]
pub enum Form {
    /// Kadlet's own networks: any bytes.
    #[default]
    Native,
    /// Mainline (BEP 44): canonical bencode of any type, at most 1,000 bytes of it. Keys and
    /// signatures are over the bencode as it was received.
    #[cfg(feature = "mainline")]
    Bencode,
}

impl Form {
    /// Bytes in a value at most.
    #[must_use]
    pub const fn max_value(self) -> usize {
        match self {
            Self::Native => MAX_VALUE,
            #[cfg(feature = "mainline")]
            Self::Bencode => bep44::MAX_VALUE,
        }
    }

    /// The key of an immutable value with these bytes.
    #[must_use]
    pub fn value_key(self, bytes: &[u8]) -> Id {
        match self {
            Self::Native => derive(context::VALUE, &[bytes]),
            #[cfg(feature = "mainline")]
            Self::Bencode => bep44::immutable_key(bytes),
        }
    }

    /// The key under which `public_key` keeps a value with this salt.
    #[must_use]
    pub fn signed_key(self, public_key: &[u8; 32], salt: &[u8]) -> Id {
        match self {
            Self::Native => derive(context::SIGNED_VALUE, &[public_key, salt]),
            #[cfg(feature = "mainline")]
            Self::Bencode => bep44::signed_key(public_key, salt),
        }
    }

    fn check(self, bytes: &[u8], extra: usize) -> Result<(), InvalidRecord> {
        Field::Value.check(bytes.len().saturating_add(extra), self.max_value())?;
        match self {
            Self::Native => Ok(()),
            #[cfg(feature = "mainline")]
            Self::Bencode if extra > 0 || !crate::wire::bencode::is_canonical(bytes) => {
                Err(InvalidRecord::NotBencode)
            }
            #[cfg(feature = "mainline")]
            Self::Bencode => Ok(()),
        }
    }
}

fn derive(context: &str, parts: &[&[u8]]) -> Id {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    Id::from_hash(hasher.finalize().as_bytes())
}

/// How a provider's content can be fetched, one bit each; unknown bits are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Transports(pub u8);

impl Transports {
    /// In no way that this version knows.
    pub const NONE: Self = Self(0);
    /// Over HTTP with Range, at the provider's address.
    pub const HTTP: Self = Self(1);
    /// Over a WebRTC data channel, signalled through the network.
    pub const DATA_CHANNEL: Self = Self(2);
    /// Mainline: over BitTorrent, and the provider has all of it (BEP 33's `seed`).
    pub const COMPLETE: Self = Self(0x80);

    /// Whether every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// This address has the content under whose key the record lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Provider {
    /// Where to fetch from: the publisher's own address; only the port is its choice.
    pub addr: SocketAddr,
    /// How to fetch.
    pub transports: Transports,
}

/// An immutable value: bytes whose key is their hash.
///
/// ```
/// use kadlet_core::record::Value;
///
/// let value = Value::new(*b"hello")?;
/// assert_eq!(value.key().to_string(), "b35a3a4ce532bf9fea88312f8b549b2d106e0491");
/// # Ok::<(), kadlet_core::record::InvalidRecord>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    // Kept by the thousand: nothing to spare.
    bytes: Box<[u8]>,
    form: Form,
}

impl Value {
    /// The value with these bytes, none included, for Kadlet's own networks.
    ///
    /// # Errors
    /// More than [`MAX_VALUE`] bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidRecord> {
        Self::of(Form::Native, bytes)
    }

    /// The value with these bytes, in the form of a network.
    ///
    /// # Errors
    /// More bytes than [`Form::max_value`], or none of its values.
    pub fn of(form: Form, bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidRecord> {
        let bytes = bytes.into();
        form.check(&bytes, 0)?;
        Ok(Self { bytes: bytes.into(), form })
    }

    /// The key that follows from the bytes.
    #[must_use]
    pub fn key(&self) -> Id {
        self.form.value_key(&self.bytes)
    }

    /// The networks it is for.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes.into()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", Hex(&self.bytes))
    }
}

/// A value of either kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// Its key is its hash.
    Immutable(Value),
    /// Its key is the hash of its owner's public key and its salt.
    Signed(SignedValue),
}

impl Item {
    /// The key it is stored under.
    #[must_use]
    pub fn key(&self) -> Id {
        match self {
            Self::Immutable(value) => value.key(),
            Self::Signed(signed) => signed.key(),
        }
    }

    /// The value itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Immutable(value) => value.as_bytes(),
            Self::Signed(signed) => signed.value(),
        }
    }

    /// The networks it is for.
    #[must_use]
    pub const fn form(&self) -> Form {
        match self {
            Self::Immutable(value) => value.form(),
            Self::Signed(signed) => signed.form(),
        }
    }

    /// The sequence number, if it is signed.
    #[must_use]
    pub const fn seq(&self) -> Option<u64> {
        match self {
            Self::Immutable(_) => None,
            Self::Signed(signed) => Some(signed.seq()),
        }
    }
}

/// Why something cannot be a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InvalidRecord {
    /// A field has more bytes than it may.
    TooLong {
        /// Which.
        field: Field,
        /// How many bytes it has.
        len: usize,
        /// How many it may have.
        limit: usize,
    },
    /// Not one value in canonical bencode: keys in order, no number in more digits than it needs.
    #[cfg(feature = "mainline")]
    NotBencode,
    /// A search entry without a name.
    NoName,
    /// A control character in a name, which would act on the terminals it is shown on.
    ControlCharacter {
        /// Where it begins, in bytes.
        position: usize,
    },
}

impl fmt::Display for InvalidRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { field, len, limit } => {
                write!(f, "{field} may have {limit} bytes, this has {len}")
            }
            #[cfg(feature = "mainline")]
            Self::NotBencode => f.write_str("a value of Mainline is canonical bencode"),
            Self::NoName => f.write_str("a search entry needs a name"),
            Self::ControlCharacter { position } => {
                write!(f, "a name has no control characters, this has one at byte {position}")
            }
        }
    }
}

impl core::error::Error for InvalidRecord {}

/// A field with a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Field {
    /// The bytes of a value, with the extra fields of a signed one.
    Value,
    /// The salt of a signed value.
    Salt,
    /// The name of a search entry.
    Name,
    /// The extra fields of a search entry.
    Extra,
}

impl Field {
    const fn check(self, len: usize, limit: usize) -> Result<(), InvalidRecord> {
        if len > limit {
            return Err(InvalidRecord::TooLong { field: self, len, limit });
        }
        Ok(())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value => "a value",
            Self::Salt => "a salt",
            Self::Name => "a name",
            Self::Extra => "a search entry's extra fields",
        })
    }
}

/// Bytes as hexadecimal digits: values are often binary, and decimal lists are unreadable.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
