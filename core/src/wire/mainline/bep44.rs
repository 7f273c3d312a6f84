//! Values under BEP 44: their keys, and what their signatures are over.
//!
//! Every function takes the value bencoded, as it was received. Encoding it again would change
//! what the publisher signed wherever its encoder differs from ours.

use alloc::vec::Vec;

use sha1::{Digest, Sha1};

use crate::id::Id;
use crate::wire::bencode::write_to;

/// The longest value, in bytes of bencode.
pub const MAX_VALUE: usize = 1_000;

/// The longest salt, in bytes.
pub const MAX_SALT: usize = 64;

/// The key of an immutable value: SHA-1 of its bencode.
///
/// ```
/// use kadlet_core::wire::mainline::bep44;
///
/// let key = bep44::immutable_key(b"12:Hello World!");
/// assert_eq!(key.to_string(), "e5f96f6f38320f0f33959cb4d3d656452117aadb");
/// ```
#[must_use]
pub fn immutable_key(value: &[u8]) -> Id {
    Id::new(Sha1::digest(value).into())
}

/// The key of a signed value: SHA-1 of the public key and the salt. No salt and the empty one are
/// the same.
#[must_use]
pub fn signed_key(public_key: &[u8; 32], salt: &[u8]) -> Id {
    Id::new(Sha1::new().chain_update(public_key).chain_update(salt).finalize().into())
}

/// What the signature of a value is over: salt (if there is one), sequence number and value, as
/// they would stand in a dictionary.
///
/// ```
/// use kadlet_core::wire::mainline::bep44;
///
/// let signed = bep44::signed_bytes(b"foobar", 1, b"12:Hello World!");
/// assert_eq!(signed, b"4:salt6:foobar3:seqi1e1:v12:Hello World!");
/// ```
#[must_use]
pub fn signed_bytes(salt: &[u8], seq: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // 60: the keys, a length and a number.
    let bound = value.len().saturating_add(salt.len()).saturating_add(60);
    write_to(&mut out, bound, |writer| {
        if !salt.is_empty() {
            writer.array(b"4:salt");
            writer.string(salt);
        }
        writer.array(b"3:seq");
        writer.integer(seq);
        writer.array(b"1:v");
        writer.slice(value);
    });
    out
}
