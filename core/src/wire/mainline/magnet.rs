//! Magnet links of BitTorrent: what of them says where to look (BEP 9, BEP 46, BEP 53 aside).

use alloc::vec::Vec;
use core::fmt;

use crate::id::Id;

/// Bytes in a salt at most, as in BEP 44.
const MAX_SALT: usize = super::bep44::MAX_SALT;

/// What a link names.
///
/// ```
/// use kadlet_core::wire::mainline::magnet::{self, Torrent};
///
/// let hash = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";
/// let link = format!("magnet:?dn=hello&xt=urn:btih:{hash}");
/// assert_eq!(magnet::parse(&link), Ok(Torrent::Hash(hash.parse()?)));
/// # Ok::<(), kadlet_core::ParseIdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Torrent {
    /// One torrent: its info-hash (`xt=urn:btih:`, 40 hexadecimal digits or 32 of base 32).
    Hash(Id),
    /// Whichever the owner of a key pair has said last (BEP 46, `xs=urn:btpk:` and `s`).
    Key {
        /// ed25519 public key.
        public_key: [u8; 32],
        /// Tells apart what one key pair says.
        salt: Vec<u8>,
    },
}

/// Why a link names no torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BadMagnet {
    /// It does not begin with `magnet:?`.
    NotMagnet,
    /// There is neither `xt=urn:btih:` nor `xs=urn:btpk:` in it.
    NothingNamed,
    /// The info-hash has neither 40 hexadecimal digits nor 32 of base 32.
    BadHash,
    /// The public key does not have 64 hexadecimal digits.
    BadKey,
    /// The salt is no hexadecimal or has more than 64 bytes.
    BadSalt,
}

impl fmt::Display for BadMagnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotMagnet => "a link begins with magnet:?",
            Self::NothingNamed => "no torrent is named: expected xt=urn:btih:… or xs=urn:btpk:…",
            Self::BadHash => {
                "an info-hash has 40 hexadecimal digits, or 32 letters and digits of base 32"
            }
            Self::BadKey => "a public key has 64 hexadecimal digits",
            Self::BadSalt => "a salt is hexadecimal, at most 64 bytes",
        })
    }
}

impl core::error::Error for BadMagnet {}

/// What `link` names; the first of its kind counts, and an info-hash before a key.
///
/// # Errors
/// It is no link, or names nothing that can be looked for.
pub fn parse(link: &str) -> Result<Torrent, BadMagnet> {
    let fields = link.strip_prefix("magnet:?").ok_or(BadMagnet::NotMagnet)?;
    let pairs = fields.split('&').filter_map(|field| field.split_once('='));
    let named = |name: &str, urn: &str| {
        // `xt.1`, `xt.2`… are used where there are several.
        let of = pairs.clone().filter(|(key, _)| key.split('.').next() == Some(name));
        let mut values = of.map(|(_, value)| value);
        values.find_map(|value| {
            let (head, rest) = value.split_at_checked(urn.len())?;
            head.eq_ignore_ascii_case(urn).then_some(rest)
        })
    };
    if let Some(hash) = named("xt", "urn:btih:") {
        let bytes = if hash.len() == 32 { base32(hash) } else { hex(hash) };
        let id = bytes.and_then(|bytes| Id::from_slice(&bytes));
        return id.map(Torrent::Hash).ok_or(BadMagnet::BadHash);
    }
    let key = named("xs", "urn:btpk:").ok_or(BadMagnet::NothingNamed)?;
    let public_key = hex(key).and_then(|key| key.try_into().ok()).ok_or(BadMagnet::BadKey)?;
    let salt =
        pairs.clone().find(|(name, _)| *name == "s").map_or(Ok(Vec::new()), |(_, salt)| {
            hex(salt).filter(|salt| salt.len() <= MAX_SALT).ok_or(BadMagnet::BadSalt)
        })?;
    Ok(Torrent::Key { public_key, salt })
}

/// The torrent in a value of BEP 46: a dictionary whose `ih` has 20 bytes.
#[must_use]
pub fn info_hash_in(value: &[u8]) -> Option<Id> {
    let mut reader = crate::wire::bencode::Reader::new(value);
    reader.dictionary().ok()?;
    while let Some(key) = reader.key().ok()? {
        if key == b"ih" {
            return Id::from_slice(reader.bytes().ok()?);
        }
        reader.skip().ok()?;
    }
    None
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut pairs = text.as_bytes().chunks_exact(2);
    let bytes = pairs.by_ref().map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    let bytes: Option<Vec<u8>> = bytes.collect();
    bytes.filter(|_| pairs.remainder().is_empty())
}

/// RFC 4648, without padding: 8 digits for 5 bytes.
fn base32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for group in text.as_bytes().chunks(8) {
        let mut bits = 0_u64;
        for digit in group {
            let value = match digit.to_ascii_uppercase() {
                letter @ b'A'..=b'Z' => letter.checked_sub(b'A')?,
                number @ b'2'..=b'7' => number.checked_sub(b'2')?.checked_add(26)?,
                _ => return None,
            };
            bits = bits << 5 | u64::from(value);
        }
        let [_, _, _, group @ ..] = bits.to_be_bytes();
        bytes.extend_from_slice(&group);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn both_ways_to_write_a_hash_are_one() {
        // SHA-1 of "hello".
        let hash: Id = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d".parse().expect("an id");
        for text in ["AAF4C61DDCC5E8A2DABEDE0F3B482CD9AEA9434D", "vl2mmho4yxukfwv63yhtwsbm3gxksq2n"]
        {
            let link = format!("magnet:?xl=5&xt.1=URN:btih:{text}&tr=udp://x");
            assert_eq!(parse(&link), Ok(Torrent::Hash(hash)), "{link}");
        }
    }

    #[test]
    fn a_key_may_have_a_salt() {
        let key = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e";
        let Ok(Torrent::Key { public_key, salt }) =
            parse(&format!("magnet:?xs=urn:btpk:{key}&s=6e"))
        else {
            panic!("a key")
        };
        assert_eq!((public_key.first(), salt.as_slice()), (Some(&0x85), b"n".as_slice()));
        assert!(matches!(parse(&format!("magnet:?xs=urn:btpk:{key}")), Ok(Torrent::Key { .. })));
        assert_eq!(parse(&format!("magnet:?xs=urn:btpk:{key}&s=6")), Err(BadMagnet::BadSalt));
        assert_eq!(parse("magnet:?xs=urn:btpk:85"), Err(BadMagnet::BadKey));
    }

    #[test]
    fn what_is_wrong_with_a_link_is_said() {
        assert_eq!(parse("http://x"), Err(BadMagnet::NotMagnet));
        assert_eq!(parse("magnet:?dn=x"), Err(BadMagnet::NothingNamed));
        for hash in ["", "00", "é", "0123456789012345678901234567890123456789x"] {
            assert_eq!(parse(&format!("magnet:?xt=urn:btih:{hash}")), Err(BadMagnet::BadHash));
        }
    }

    #[test]
    fn the_torrent_in_a_value_is_found() {
        let hash = Id::new([7; 20]);
        let value = [b"d2:ab1:x2:ih20:".as_slice(), hash.as_bytes(), b"e"].concat();
        assert_eq!(info_hash_in(&value), Some(hash));
        for none in [b"de".as_slice(), b"d2:ih3:abce", b"5:hello", b"d2:ihi3ee"] {
            assert_eq!(info_hash_in(none), None);
        }
    }
}
