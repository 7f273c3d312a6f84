//! Bencode (BEP 3), read from borrowed bytes in one pass.
//!
//! There is no tree: a message's decoder walks over the bytes with a [`Reader`], keeps slices of
//! what it wants and skips the rest. Nothing is allocated, whatever the bytes say.
//!
//! What is refused, because no encoder makes it and parsers have been crashed or misled by it:
//! leading zeros in numbers and lengths, `-0`, lengths beyond the end, a key given twice in one
//! dictionary, keys that are no strings, nesting deeper than [`MAX_DEPTH`], bytes after the end.
//! What is accepted although BEP 3 forbids it: keys out of order, because real clients send them.
//! A value that others will hash must be canonical: [`Raw::canonical`] says whether it is.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use alloc::vec::Vec;

use arrayvec::ArrayVec;

use super::Malformed;

mod write;

pub use write::put_bytes;
pub(super) use write::{Writer, write_parts, write_to};

/// How deep lists and dictionaries may lie in each other inside one value. Messages need 3; 32
/// leaves room for whatever people put into values and bounds the stack that a stranger can use.
pub const MAX_DEPTH: u32 = 32;

/// How many keys a dictionary may have whose keys are out of order. To find one given twice, each
/// is compared with all before it; the longest message has 9.
const MAX_UNSORTED: usize = 32;

/// A value of which the decoder does not know yet what it must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// A string of bytes.
    Bytes(&'a [u8]),
    /// An integer.
    Integer(i64),
    /// A list or a dictionary, or an integer beyond 64 bits.
    Other,
}

/// A value as it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Raw<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Whether this is the only way to write it: all keys in order. Everything else that would
    /// make two ways of writing is refused anyway.
    pub canonical: bool,
}

/// Walks over bencoded bytes from front to back.
///
/// ```
/// use kadlet_core::wire::bencode::Reader;
///
/// let mut reader = Reader::new(b"d4:spaml1:a1:bee");
/// reader.dictionary()?;
/// assert_eq!(reader.key()?, Some(&b"spam"[..]));
/// reader.list()?;
/// assert_eq!((reader.bytes()?, reader.bytes()?), (&b"a"[..], &b"b"[..]));
/// assert!(reader.at_end());
/// assert_eq!(reader.key()?, None);
/// reader.finish()?;
/// # Ok::<(), kadlet_core::wire::Malformed>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Steps into a dictionary; its keys follow by [`Self::key`].
    ///
    /// # Errors
    /// `BadField` if there is none here, `Truncated` at the end of the bytes.
    pub fn dictionary(&mut self) -> Result<(), Malformed> {
        self.expect(b'd')
    }

    /// Steps into a list; its elements follow until [`Self::at_end`].
    ///
    /// # Errors
    /// `BadField` if there is none here, `Truncated` at the end of the bytes.
    pub fn list(&mut self) -> Result<(), Malformed> {
        self.expect(b'l')
    }

    /// The next key of the dictionary the reader is in, or none behind the last, where the reader
    /// steps out. The caller reads or skips the value before it asks for the next key.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    #[inline]
    pub fn key(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        if self.at_end() {
            return Ok(None);
        }
        self.bytes().map(Some)
    }

    /// Whether the list or dictionary the reader is in ends here; steps out of it if so.
    #[inline]
    pub fn at_end(&mut self) -> bool {
        match self.rest.split_first() {
            Some((b'e', rest)) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// A string of bytes.
    ///
    /// # Errors
    /// `BadField` if something else stands here, `BadNumber` if its length has a leading zero or
    /// no end, `Truncated` if it is longer than what is left.
    #[inline(always)]
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        match short_length(self.rest) {
            Some((length, rest)) => self.take(length, rest),
            None => self.long_bytes(),
        }
    }

    /// Strings of 100 bytes and more, and what is no string.
    fn long_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let (length, rest) = match self.rest {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b':', rest @ ..] => {
                let [a, b, c] = [a, b, c].map(|digit| u16::from(digit & 15));
                let tens = a.wrapping_mul(10).wrapping_add(b);
                (usize::from(tens.wrapping_mul(10).wrapping_add(c)), rest)
            }
            _ => length(self.rest)?,
        };
        self.take(length, rest)
    }

    /// An integer.
    ///
    /// # Errors
    /// `BadField` if something else stands here, `BadNumber` if it has a leading zero, no digits
    /// or more than 64 bits.
    pub fn integer(&mut self) -> Result<i64, Malformed> {
        match self.value()? {
            Value::Integer(number) => Ok(number),
            Value::Bytes(_) => Err(Malformed::BadField),
            Value::Other => Err(Malformed::BadNumber),
        }
    }

    /// Whatever stands here. Lists and dictionaries are walked over.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    #[inline(always)]
    pub fn value(&mut self) -> Result<Value<'a>, Malformed> {
        match self.rest.first() {
            Some(b'0'..=b'9') => self.bytes().map(Value::Bytes),
            _ => self.other_value(),
        }
    }

    fn other_value(&mut self) -> Result<Value<'a>, Malformed> {
        match (self.rest.first(), self.short_integer()) {
            (_, Some(number)) => Ok(Value::Integer(number)),
            (Some(b'i'), None) => Ok(parse(self.digits()?).map_or(Value::Other, Value::Integer)),
            _ => self.skip().map(|()| Value::Other),
        }
    }

    /// Walks over one value of any kind.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    #[inline]
    pub fn skip(&mut self) -> Result<(), Malformed> {
        self.walk(0).map(|_canonical| ())
    }

    /// One value of any kind as it was sent.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn raw(&mut self) -> Result<Raw<'a>, Malformed> {
        let start = self.rest;
        let canonical = self.walk(0)?;
        Ok(Raw { bytes: self.since(start), canonical })
    }

    /// The bytes read since [`Self::rest`] was `start`.
    #[must_use]
    pub fn since(&self, start: &'a [u8]) -> &'a [u8] {
        start.get(..start.len().saturating_sub(self.rest.len())).unwrap_or(start)
    }

    /// Says that nothing must follow.
    ///
    /// # Errors
    /// `Trailing` if something does.
    pub const fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }

    /// Takes what stands here if it begins with `expected`, and so many bytes behind it: a key, a
    /// length and a string that most messages have in the same place, compared at once.
    #[inline]
    pub(super) fn expected<const N: usize, const M: usize>(
        &mut self,
        expected: &[u8; N],
    ) -> Option<&'a [u8; M]> {
        let (front, rest) = self.rest.split_first_chunk::<N>()?;
        let (bytes, rest) = rest.split_first_chunk::<M>()?;
        if front != expected {
            return None;
        }
        self.rest = rest;
        Some(bytes)
    }

    /// Steps over what stands here if it begins with `expected`: a key that most messages have in
    /// this place. Keys are written in order, so that asking for the next one costs less than
    /// finding out which of all it is.
    #[inline]
    pub(super) fn passes<const N: usize>(&mut self, expected: &[u8; N]) -> bool {
        match self.rest.split_first_chunk::<N>() {
            Some((front, rest)) if front == expected => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// A string of less than 100 bytes behind `key`, if that stands here.
    #[inline(always)]
    pub(super) fn expected_string<const N: usize>(&mut self, key: &[u8; N]) -> Option<&'a [u8]> {
        let (front, rest) = self.rest.split_first_chunk::<N>()?;
        if front != key {
            return None;
        }
        let (length, rest) = short_length(rest)?;
        let (taken, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// A short number behind `key`, if that stands here: a flag or a port.
    #[inline]
    pub(super) fn expected_number<const N: usize>(&mut self, key: &[u8; N]) -> Option<Value<'a>> {
        let mut behind = *self;
        let number = if behind.passes(key) { behind.short_integer()? } else { return None };
        *self = behind;
        Some(Value::Integer(number))
    }

    /// Walks over strings of 6 bytes, as long as there are any: what most lists of a message hold.
    #[inline]
    pub(super) fn skip_strings_of_6(&mut self) {
        while let [b'6', b':', _, _, _, _, _, _, rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    #[inline]
    fn expect(&mut self, opening: u8) -> Result<(), Malformed> {
        match self.rest.split_first() {
            Some((first, rest)) if *first == opening => {
                self.rest = rest;
                Ok(())
            }
            Some(_) => Err(Malformed::BadField),
            None => Err(Malformed::Truncated),
        }
    }

    #[inline(always)]
    fn take(&mut self, length: usize, rest: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = rest.split_at_checked(length).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// An integer of at most 5 digits without a sign: flags and ports.
    #[inline]
    fn short_integer(&mut self) -> Option<i64> {
        let (number, rest) = self.rest.strip_prefix(b"i")?.split_first()?;
        let (mut number, mut rest) = (i64::from(number.wrapping_sub(b'0')), rest);
        if number > 9 {
            return None;
        }
        for _ in 0..5 {
            match rest.split_first()? {
                (b'e', behind) => {
                    self.rest = behind;
                    return Some(number);
                }
                (digit @ b'0'..=b'9', behind) if number != 0 => {
                    number = number.wrapping_mul(10).wrapping_add(i64::from(digit & 15));
                    rest = behind;
                }
                _ => return None,
            }
        }
        None
    }

    /// The digits of an integer with its sign: `-?(0|[1-9][0-9]*)`, but not `-0`.
    fn digits(&mut self) -> Result<&'a [u8], Malformed> {
        self.expect(b'i')?;
        let end = self.rest.iter().position(|byte| *byte == b'e').ok_or(Malformed::Truncated)?;
        let (number, rest) = self.rest.split_at_checked(end).ok_or(Malformed::Truncated)?;
        let valid = match number {
            [b'0'] => true,
            [b'-', b'1'..=b'9', more @ ..] | [b'1'..=b'9', more @ ..] => {
                more.iter().all(u8::is_ascii_digit)
            }
            _ => false,
        };
        if !valid {
            return Err(Malformed::BadNumber);
        }
        self.rest = rest;
        self.at_end();
        Ok(number)
    }

    /// Walks over one value that lies `depth` levels deep; says whether it is canonical.
    fn walk(&mut self, depth: u32) -> Result<bool, Malformed> {
        match self.rest.first() {
            Some(b'0'..=b'9') => self.bytes().map(|_| true),
            Some(b'i') => self.digits().map(|_| true),
            Some(b'l') if depth < MAX_DEPTH => self.walk_list(depth),
            Some(b'd') if depth < MAX_DEPTH => self.walk_dictionary(depth),
            Some(b'l' | b'd') => Err(Malformed::TooDeep),
            Some(_) => Err(Malformed::BadField),
            None => Err(Malformed::Truncated),
        }
    }

    fn walk_list(&mut self, depth: u32) -> Result<bool, Malformed> {
        self.list()?;
        let mut canonical = true;
        while !self.at_end() {
            canonical &= self.walk(depth.saturating_add(1))?;
        }
        Ok(canonical)
    }

    fn walk_dictionary(&mut self, depth: u32) -> Result<bool, Malformed> {
        self.dictionary()?;
        let body = self.rest;
        let (mut sorted, mut canonical) = (true, true);
        let mut previous: Option<&[u8]> = None;
        while let Some(key) = self.key()? {
            sorted &= previous < Some(key);
            previous = Some(key);
            canonical &= self.walk(depth.saturating_add(1))?;
        }
        if !sorted {
            refuse_duplicates(body)?;
        }
        Ok(canonical && sorted)
    }

    /// Walks over one value that was walked over before: nothing can be wrong with it.
    fn pass(&mut self) -> Result<(), Malformed> {
        let mut depth = 0_u32;
        loop {
            match self.rest.split_first() {
                Some((b'l' | b'd', rest)) => {
                    self.rest = rest;
                    depth = depth.saturating_add(1);
                }
                Some((b'e', rest)) => {
                    self.rest = rest;
                    depth = depth.saturating_sub(1);
                }
                Some((b'i', _)) => self.digits().map(|_| ())?,
                _ => self.bytes().map(|_| ())?,
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// Refuses a dictionary with a key given twice. `body` begins behind its `d` and has been walked
/// over before. Linear if the keys are in order.
///
/// # Errors
/// `Duplicate`, or `BadField` if the keys are out of order and more than 32.
pub(super) fn refuse_duplicates(body: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(body);
    let mut previous: Option<&[u8]> = None;
    let mut sorted = true;
    let mut keys = ArrayVec::<&[u8], MAX_UNSORTED>::new();
    let mut all_kept = true;
    while let Some(key) = reader.key()? {
        sorted &= previous < Some(key);
        previous = Some(key);
        if !sorted && keys.contains(&key) {
            return Err(Malformed::Duplicate);
        }
        all_kept &= keys.try_push(key).is_ok();
        reader.pass()?;
    }
    if sorted || all_kept { Ok(()) } else { Err(Malformed::BadField) }
}

/// The length of a string of less than 100 bytes, and what follows its colon. Nearly all keys have
/// one digit, ids and tokens two.
#[inline(always)]
fn short_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [a @ b'0'..=b'9', b':', rest @ ..] => Some((usize::from(a & 15), rest)),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', b':', rest @ ..] => {
            Some((usize::from((a & 15).wrapping_mul(10).wrapping_add(b & 15)), rest))
        }
        _ => None,
    }
}

/// A string's length, and what follows its colon.
fn length(bytes: &[u8]) -> Result<(usize, &[u8]), Malformed> {
    let (mut length, mut rest) = match bytes.split_first() {
        Some((digit @ b'0'..=b'9', rest)) => (usize::from(digit & 15), rest),
        Some(_) => return Err(Malformed::BadField),
        None => return Err(Malformed::Truncated),
    };
    loop {
        match rest.split_first() {
            Some((b':', rest)) => return Ok((length, rest)),
            Some((digit @ b'0'..=b'9', tail)) if length != 0 => {
                length = length
                    .checked_mul(10)
                    .and_then(|tens| tens.checked_add(usize::from(digit & 15)))
                    .ok_or(Malformed::Truncated)?;
                rest = tail;
            }
            Some(_) => return Err(Malformed::BadNumber),
            None => return Err(Malformed::Truncated),
        }
    }
}

/// The number that these digits are, if 64 bits hold it.
fn parse(digits: &[u8]) -> Option<i64> {
    let (negative, digits) = match digits {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let mut number = 0_i64;
    for digit in digits {
        let digit = i64::from(digit & 15);
        number = number.checked_mul(10)?;
        // Negative numbers are counted downwards: the least has no positive counterpart.
        number = if negative { number.checked_sub(digit)? } else { number.checked_add(digit)? };
    }
    Some(number)
}

/// Whether `bytes` are one canonical value and nothing more: what may be stored under BEP 44.
///
/// ```
/// use kadlet_core::wire::bencode;
///
/// assert!(bencode::is_canonical(b"d1:ai1e1:bi2ee"));
/// assert!(!bencode::is_canonical(b"d1:bi2e1:ai1ee"));
/// ```
#[must_use]
pub fn is_canonical(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    reader.raw().is_ok_and(|raw| raw.canonical) && reader.finish().is_ok()
}

/// Bytes as one value: a string.
///
/// ```
/// use kadlet_core::wire::bencode;
///
/// assert_eq!(bencode::string(b"hello"), b"5:hello");
/// assert_eq!(bencode::as_string(b"5:hello"), Some(b"hello".as_slice()));
/// assert_eq!(bencode::as_string(b"i5e"), None);
/// ```
#[must_use]
pub fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // 20: a length and its colon.
    write_to(&mut out, bytes.len().saturating_add(20), |writer| writer.string(bytes));
    out
}

/// What the value says if it is a string and nothing more.
#[must_use]
pub fn as_string(value: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(value);
    let bytes = reader.bytes().ok()?;
    reader.finish().ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::{format, vec};
    use proptest::prelude::*;

    fn check(bytes: &[u8]) -> Result<bool, Malformed> {
        let mut reader = Reader::new(bytes);
        let raw = reader.raw()?;
        reader.finish()?;
        assert_eq!(raw.bytes, bytes);
        Ok(raw.canonical)
    }

    #[test]
    fn what_is_bencode() {
        for good in ["0:", "3:abc", "i0e", "i-7e", "le", "de", "d1:ad1:bleee", "l0:i5edee"] {
            assert_eq!(check(good.as_bytes()), Ok(true), "{good}");
        }
        // Any number of digits in what is only walked over.
        assert_eq!(check(b"i123456789012345678901234567890e"), Ok(true));
    }

    #[test]
    fn what_is_not() {
        for (bad, why) in [
            ("", Malformed::Truncated),
            ("x", Malformed::BadField),
            ("e", Malformed::BadField),
            ("03:abc", Malformed::BadNumber),
            ("00:", Malformed::BadNumber),
            ("3:ab", Malformed::Truncated),
            ("3", Malformed::Truncated),
            ("3abc", Malformed::BadNumber),
            ("99999999999999999999999:", Malformed::Truncated),
            ("i", Malformed::Truncated),
            ("ie", Malformed::BadNumber),
            ("i01e", Malformed::BadNumber),
            ("i-0e", Malformed::BadNumber),
            ("i-e", Malformed::BadNumber),
            ("i+1e", Malformed::BadNumber),
            ("i1.5e", Malformed::BadNumber),
            ("l", Malformed::Truncated),
            ("d1:a", Malformed::Truncated),
            ("di1e1:ae", Malformed::BadField),
            ("d1:ae", Malformed::BadField),
            ("lee", Malformed::Trailing),
            ("d1:ai1e1:ai1ee", Malformed::Duplicate),
            ("d1:bi1e1:ai1e1:bi1ee", Malformed::Duplicate),
            ("ld1:bi1e1:ad1:x0:1:x0:eee", Malformed::Duplicate),
        ] {
            assert_eq!(check(bad.as_bytes()), Err(why), "{bad}");
        }
    }

    #[test]
    fn keys_out_of_order_are_read_but_not_canonical() {
        assert_eq!(check(b"d1:bi1e1:ai2ee"), Ok(false));
        assert_eq!(check(b"ld1:bi1e1:ai2eee"), Ok(false));
        assert!(!is_canonical(b"ld1:bi1e1:ai2eee"));
        assert!(!is_canonical(b"le "));
    }

    #[test]
    fn many_keys_must_be_in_order() {
        let keys = |mut order: vec::Vec<u32>| {
            order.dedup();
            let body: String = order.iter().map(|n| format!("4:{n:04}i0e")).collect();
            check(format!("d{body}e").as_bytes())
        };
        assert_eq!(keys((0..1000).collect()), Ok(true));
        assert_eq!(keys((0..32).rev().collect()), Ok(false));
        assert_eq!(keys((0..33).rev().collect()), Err(Malformed::BadField));
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |n: usize| format!("{}{}", "l".repeat(n), "e".repeat(n));
        let max = usize::try_from(MAX_DEPTH).expect("small");
        assert_eq!(check(nested(max).as_bytes()), Ok(true));
        assert_eq!(check(nested(max + 1).as_bytes()), Err(Malformed::TooDeep));
        assert_eq!(check("d1:a".repeat(400).as_bytes()), Err(Malformed::TooDeep));
    }

    #[test]
    fn integers_have_64_bits() {
        for number in [0, 1, -1, i64::MAX, i64::MIN] {
            assert_eq!(Reader::new(format!("i{number}e").as_bytes()).integer(), Ok(number));
        }
        assert_eq!(Reader::new(b"i9223372036854775808e").integer(), Err(Malformed::BadNumber));
        assert_eq!(Reader::new(b"1:a").integer(), Err(Malformed::BadField));
    }

    proptest! {
        #[test]
        fn strings_and_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut out = vec![];
            put_bytes(&mut out, &bytes);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.bytes(), Ok(bytes.as_slice()));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        /// Whatever the bytes are: an answer, and no panic.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in "[0-9ilde:-]{0,60}") {
            let _ = check(bytes.as_bytes());
        }
    }
}
