//! Bencode written: into room made at once for the whole message.
//!
//! Whoever writes knows a bound of what it will write. With the room made first, a piece costs one
//! check and a copy, and the buffer is allocated once.

use alloc::vec::Vec;
use core::mem::take;

use arrayvec::ArrayVec;

/// Appends `bytes` as a string.
///
/// ```
/// let mut out = Vec::new();
/// kadlet_core::wire::bencode::put_bytes(&mut out, b"spam");
/// assert_eq!(out, b"4:spam");
/// ```
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_to(out, bytes.len().saturating_add(21), |writer| writer.string(bytes));
}

/// Appends what `write` writes, at most `bound` bytes, growing `out` at most once.
#[inline]
pub(in crate::wire) fn write_to(
    out: &mut Vec<u8>,
    bound: usize,
    write: impl FnOnce(&mut Writer<'_>),
) {
    if out.capacity() == 0 {
        // The usual case, and the short way to an allocation: growing has more to ask.
        *out = Vec::with_capacity(bound);
    }
    let start = out.len();
    out.resize(start.saturating_add(bound), 0);
    let mut writer = Writer { rest: out.get_mut(start..).unwrap_or_default() };
    write(&mut writer);
    let unused = writer.rest.len();
    out.truncate(out.len().saturating_sub(unused));
}

/// Writes to the front of bytes that were made long enough for all that comes: one check for each
/// piece and nothing that could grow.
pub(in crate::wire) struct Writer<'o> {
    rest: &'o mut [u8],
}

impl Writer<'_> {
    /// Writes bytes whose number is known when this is compiled.
    ///
    /// Panics if there is no room left, which would mean that the bound forgot a field.
    #[inline]
    pub(in crate::wire) fn array<const N: usize>(&mut self, bytes: &[u8; N]) {
        let (front, rest) =
            take(&mut self.rest).split_first_chunk_mut().expect("the bound counts every field");
        *front = *bytes;
        self.rest = rest;
    }

    /// Writes entries of the same length: room for `count` of them, which the caller fills.
    /// Panics like [`Self::array`].
    #[inline]
    pub(in crate::wire) fn entries<const N: usize>(&mut self, count: usize) -> &mut [[u8; N]] {
        let room = self.room(count.saturating_mul(N));
        room.as_chunks_mut().0
    }

    /// Writes bytes as they are. Panics like [`Self::array`].
    #[inline]
    pub(in crate::wire) fn slice(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    #[inline]
    fn room(&mut self, length: usize) -> &mut [u8] {
        let (front, rest) = take(&mut self.rest)
            .split_at_mut_checked(length)
            .expect("the bound counts every field");
        self.rest = rest;
        front
    }

    /// Writes a string. Panics like [`Self::array`].
    #[inline]
    pub(in crate::wire) fn string(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.slice(bytes);
    }

    /// Writes what comes before a string of `length` bytes. Panics like [`Self::array`].
    #[inline]
    pub(in crate::wire) fn length(&mut self, length: usize) {
        let n = length as u64;
        match n {
            0..10 => self.array(&[digit(n), b':']),
            10..100 => self.array(&[digit(n / 10), digit(n), b':']),
            100..1_000 => self.array(&[digit(n / 100), digit(n / 10), digit(n), b':']),
            _ => {
                self.long_number(n);
                self.array(b":");
            }
        }
    }

    /// Writes an integer. Panics like [`Self::array`].
    #[inline]
    pub(in crate::wire) fn integer(&mut self, number: u64) {
        if number < 10 {
            return self.array(&[b'i', digit(number), b'e']);
        }
        self.array(b"i");
        self.number(number);
        self.array(b"e");
    }

    /// Writes decimal digits. Panics like [`Self::array`].
    fn number(&mut self, n: u64) {
        match n {
            0..10 => self.array(&[digit(n)]),
            10..100 => self.array(&[digit(n / 10), digit(n)]),
            100..1_000 => self.array(&[digit(n / 100), digit(n / 10), digit(n)]),
            _ => self.long_number(n),
        }
    }

    fn long_number(&mut self, number: u64) {
        let mut digits = ArrayVec::<u8, 20>::new();
        let mut rest = number;
        while rest > 0 {
            digits.push(digit(rest));
            rest /= 10;
        }
        digits.reverse();
        self.slice(&digits);
    }
}

/// The last decimal digit of `number`.
#[inline]
const fn digit(number: u64) -> u8 {
    // Below 58, so no bit is lost.
    #[expect(clippy::cast_possible_truncation, reason = "below 58")]
    #[expect(clippy::arithmetic_side_effects, reason = "below 58")]
    let digit = (number % 10 + b'0' as u64) as u8;
    digit
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_written_as_others_write_them(number in any::<u64>(), shift in 0_u32..64) {
            let number = number >> shift;
            let mut out = vec![];
            write_to(&mut out, 20, |writer| writer.number(number));
            prop_assert_eq!(out, number.to_string().into_bytes());
        }

        /// What is there already stays, and nothing of the room that was not needed.
        #[test]
        fn buffers_are_appended_to(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut out = vec![7];
            write_to(&mut out, 300, |writer| writer.slice(&bytes));
            prop_assert_eq!(out, [&[7], bytes.as_slice()].concat());
        }
    }

    #[test]
    #[should_panic(expected = "the bound counts every field")]
    fn a_bound_that_is_too_small_is_our_bug() {
        write_to(&mut vec![], 3, |writer| writer.array(b"four"));
    }
}
