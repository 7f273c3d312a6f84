//! Signed values: bytes that the owner of a key pair may replace.
//!
//! After BEP 44: the key follows from public key and salt, so one key pair owns as many places as it
//! has salts; a higher sequence number replaces a lower one. The signature is ed25519, checked
//! strictly (no small-order points, one encoding), so that nobody but the owner can make a second
//! signature that some nodes accept and others refuse. It covers
//!
//! ```text
//! context::SIGNATURE | salt length (1 byte) | salt | sequence number (8, big-endian)
//!                    | value length (2, big-endian) | value | extra fields
//! ```
//!
//! and of a value of Mainline ([`Form::Bencode`]) what BEP 44 says. Extra fields are those of later
//! versions: kept byte for byte, covered, and not understood.

use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::{Field, Form, Hex, InvalidRecord, MAX_SALT, context};
use crate::id::Id;

/// A value and its owner's signature. Whether the signature is right is a separate question, since
/// the answer costs 37 µs: see [`verify`](Self::verify) and [`Verified`].
///
/// ```
/// use kadlet_core::record::SignedValue;
///
/// let secret = [7; 32];
/// let first = SignedValue::sign(&secret, b"feed", 1, b"hello")?;
/// let second = SignedValue::sign(&secret, b"feed", 2, b"world")?;
/// assert!(first.verify() && second.verify());
/// assert_eq!(first.key(), second.key());
/// # Ok::<(), kadlet_core::record::InvalidRecord>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SignedValue {
    public_key: [u8; 32],
    salt: Vec<u8>,
    seq: u64,
    value: Vec<u8>,
    signature: [u8; 64],
    extra: Vec<u8>,
    form: Form,
}

impl SignedValue {
    /// Signs a value with the key pair that follows from `secret` (RFC 8032's 32-byte seed).
    ///
    /// # Errors
    /// Salt or value over their limit.
    pub fn sign(
        secret: &[u8; 32],
        salt: &[u8],
        seq: u64,
        value: &[u8],
    ) -> Result<Self, InvalidRecord> {
        Self::sign_for(Form::Native, secret, salt, seq, value)
    }

    /// [`Self::sign`] in the form of a network.
    ///
    /// # Errors
    /// Salt or value over their limit, or no value of that form.
    pub fn sign_for(
        form: Form,
        secret: &[u8; 32],
        salt: &[u8],
        seq: u64,
        value: &[u8],
    ) -> Result<Self, InvalidRecord> {
        let pair = SigningKey::from_bytes(secret);
        let public_key = pair.verifying_key().to_bytes();
        let mut signed = Self::of(form, public_key, salt, seq, value, [0; 64], [])?;
        signed.signature = pair.sign(&signed.message()).to_bytes();
        Ok(signed)
    }

    /// The signed value with these parts, as they arrived.
    ///
    /// # Errors
    /// Salt over [`MAX_SALT`], or value and extra fields together over [`MAX_VALUE`](super::MAX_VALUE).
    pub fn new(
        public_key: [u8; 32],
        salt: impl Into<Vec<u8>>,
        seq: u64,
        value: impl Into<Vec<u8>>,
        signature: [u8; 64],
        extra: impl Into<Vec<u8>>,
    ) -> Result<Self, InvalidRecord> {
        Self::of(Form::Native, public_key, salt, seq, value, signature, extra)
    }

    /// [`Self::new`] in the form of a network; Mainline knows no extra fields.
    ///
    /// # Errors
    /// Salt or value over their limit, or no value of that form.
    pub fn of(
        form: Form,
        public_key: [u8; 32],
        salt: impl Into<Vec<u8>>,
        seq: u64,
        value: impl Into<Vec<u8>>,
        signature: [u8; 64],
        extra: impl Into<Vec<u8>>,
    ) -> Result<Self, InvalidRecord> {
        let (salt, value, extra) = (salt.into(), value.into(), extra.into());
        let salt_fits = Field::Salt.check(salt.len(), MAX_SALT);
        // Of two faults BEP 44 names the value's, and docs/protocol.md the salt's.
        if form == Form::Native {
            salt_fits?;
        }
        form.check(&value, extra.len())?;
        salt_fits?;
        Ok(Self { public_key, salt, seq, value, signature, extra, form })
    }

    /// The public key that belongs to `secret`.
    #[must_use]
    pub fn public_key_of(secret: &[u8; 32]) -> [u8; 32] {
        SigningKey::from_bytes(secret).verifying_key().to_bytes()
    }

    /// The key under which `public_key` keeps a value with this salt in Kadlet's own networks;
    /// [`Form::signed_key`] is that of any.
    #[must_use]
    pub fn key_of(public_key: &[u8; 32], salt: &[u8]) -> Id {
        Form::Native.signed_key(public_key, salt)
    }

    /// The key that follows from public key and salt.
    #[must_use]
    pub fn key(&self) -> Id {
        self.form.signed_key(&self.public_key, &self.salt)
    }

    /// The networks it is for.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Whether the signature is the owner's. Costs about 37 µs.
    #[must_use]
    pub fn verify(&self) -> bool {
        VerifyingKey::from_bytes(&self.public_key).is_ok_and(|key| {
            key.verify_strict(&self.message(), &Signature::from_bytes(&self.signature)).is_ok()
        })
    }

    /// ed25519 public key.
    #[must_use]
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// At most 64 bytes; tells apart the values of one key pair.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Sequence number; the highest counts.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The value itself.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// ed25519 signature.
    #[must_use]
    pub const fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// Fields of later versions, byte for byte.
    #[must_use]
    pub fn extra(&self) -> &[u8] {
        &self.extra
    }

    /// Whether both say the same; their signatures may differ.
    pub(crate) fn says_the_same_as(&self, other: &Self) -> bool {
        let said = |v: &Self| (v.public_key, v.seq);
        said(self) == said(other)
            && self.salt == other.salt
            && self.value == other.value
            && self.extra == other.extra
    }

    /// Bytes of salt, value and extra fields together.
    pub(crate) const fn payload_len(&self) -> usize {
        self.salt.len() + self.value.len() + self.extra.len()
    }

    /// What the signature covers.
    pub(super) fn message(&self) -> Vec<u8> {
        #[cfg(feature = "mainline")]
        if self.form == Form::Bencode {
            return crate::wire::mainline::bep44::signed_bytes(&self.salt, self.seq, &self.value);
        }
        // Both lengths are checked by `new`: at most 64 and 896.
        let (salt_len, value_len) = (self.salt.len() as u8, self.value.len() as u16);
        let mut message = Vec::with_capacity(64 + self.payload_len());
        message.extend_from_slice(context::SIGNATURE.as_bytes());
        message.push(salt_len);
        message.extend_from_slice(&self.salt);
        message.extend_from_slice(&self.seq.to_be_bytes());
        message.extend_from_slice(&value_len.to_be_bytes());
        message.extend_from_slice(&self.value);
        message.extend_from_slice(&self.extra);
        message
    }
}

impl fmt::Debug for SignedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedValue")
            .field("public_key", &format_args!("{}", Hex(&self.public_key)))
            .field("salt", &format_args!("{}", Hex(&self.salt)))
            .field("seq", &self.seq)
            .field("value", &format_args!("{}", Hex(&self.value)))
            .finish_non_exhaustive()
    }
}

/// A signed value whose signature has been checked: what a store takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified(SignedValue);

impl Verified {
    /// Checks the signature (37 µs); none if it is not the owner's.
    #[must_use]
    pub fn check(signed: SignedValue) -> Option<Self> {
        signed.verify().then_some(Self(signed))
    }

    /// A value that was checked before it came to where it is read from now.
    pub(crate) const fn trusted(signed: SignedValue) -> Self {
        Self(signed)
    }

    /// The value.
    #[must_use]
    pub const fn as_signed(&self) -> &SignedValue {
        &self.0
    }

    /// The value, without a copy.
    #[must_use]
    pub fn into_signed(self) -> SignedValue {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signed() -> SignedValue {
        SignedValue::sign(&[7; 32], b"salt", 5, b"value").expect("short enough")
    }

    #[test]
    fn every_field_is_covered() {
        let original = signed();
        assert!(original.verify());
        let changed = |change: fn(&mut SignedValue)| {
            let mut other = original.clone();
            change(&mut other);
            other.verify()
        };
        assert!(!changed(|v| v.public_key[0] ^= 1));
        assert!(!changed(|v| v.salt.push(0)));
        assert!(!changed(|v| v.seq += 1));
        assert!(!changed(|v| v.value[0] ^= 1));
        assert!(!changed(|v| v.signature[63] ^= 1));
        assert!(!changed(|v| v.extra.push(0)));
        // The border between neighbours is covered too.
        assert!(!changed(|v| v.extra.extend(v.value.pop())));
        assert!(Verified::check(original.clone()).is_some());
    }

    /// A small-order key "signs" everything: the check that is usual elsewhere accepts this.
    #[test]
    fn weak_keys_sign_nothing() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let forged = SignedValue::new(identity, b"", 1, b"anything", signature, b"");
        assert!(!forged.expect("short enough").verify());
    }

    #[test]
    fn limits_are_named() {
        let too_long = |field, len, limit| InvalidRecord::TooLong { field, len, limit };
        let salt = SignedValue::sign(&[1; 32], &[0; 65], 1, b"").err();
        assert_eq!(salt, Some(too_long(Field::Salt, 65, 64)));
        let value = SignedValue::sign(&[1; 32], b"", 1, &[0; 897]).err();
        assert_eq!(value, Some(too_long(Field::Value, 897, 896)));
        let both = SignedValue::new([0; 32], b"", 1, [0; 896], [0; 64], [0; 1]).err();
        assert_eq!(both, Some(too_long(Field::Value, 897, 896)));
        assert!(SignedValue::sign(&[1; 32], &[0; 64], u64::MAX, &[0; 896]).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_signed_verifies(
            secret: [u8; 32], seq: u64,
            salt in proptest::collection::vec(any::<u8>(), 0..=64),
            value in proptest::collection::vec(any::<u8>(), 0..=896),
        ) {
            let signed = SignedValue::sign(&secret, &salt, seq, &value).expect("short enough");
            prop_assert!(signed.verify());
            prop_assert_eq!(signed.public_key(), &SignedValue::public_key_of(&secret));
            prop_assert_eq!(signed.key(), SignedValue::key_of(signed.public_key(), &salt));
        }
    }
}
