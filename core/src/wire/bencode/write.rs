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
    make_room(out, bound);
    let write = |mut writer: Writer<'_>| {
        write(&mut writer);
        Some(writer.rest.len())
    };
    fill(out, bound, write);
}

/// Appends what two parts write, at most so many bytes each, and between them `middle`, growing
/// `out` at most once. Says whether both parts did; otherwise nothing is appended.
///
/// Room is cleared when it is made, which a middle of a kilobyte is spared here.
#[inline]
pub(in crate::wire) fn write_parts(
    out: &mut Vec<u8>,
    (before, write_before): (usize, impl for<'o> FnOnce(Writer<'o>) -> Option<Writer<'o>>),
    middle: Option<&[u8]>,
    (after, write_after): (usize, impl for<'o> FnOnce(Writer<'o>) -> Option<Writer<'o>>),
) -> bool {
    let start = out.len();
    let both = before.saturating_add(after);
    make_room(out, both.saturating_add(middle.map_or(0, <[u8]>::len)));
    let written = match middle {
        None => fill(out, both, |writer| Some(write_after(write_before(writer)?)?.rest.len())),
        Some(middle) => fill(out, before, |writer| Some(write_before(writer)?.rest.len()))
            .and_then(|()| {
                out.extend_from_slice(middle);
                fill(out, after, |writer| Some(write_after(writer)?.rest.len()))
            }),
    };
    if written.is_none() {
        out.truncate(start);
    }
    written.is_some()
}

#[inline(always)]
fn make_room(out: &mut Vec<u8>, bytes: usize) {
    if out.capacity() == 0 {
        // The usual case, and the short way to an allocation: growing has more to ask.
        *out = Vec::with_capacity(bytes);
    } else {
        out.reserve(bytes);
    }
}

/// `write` says how many of `bound` bytes it did not need.
#[inline(always)]
fn fill(
    out: &mut Vec<u8>,
    bound: usize,
    write: impl FnOnce(Writer<'_>) -> Option<usize>,
) -> Option<()> {
    let start = out.len();
    out.resize(start.saturating_add(bound), 0);
    let unused = write(Writer { rest: out.get_mut(start..).unwrap_or_default() })?;
    out.truncate(out.len().saturating_sub(unused));
    Some(())
}

/// Writes to the front of bytes that were made long enough for all that comes: one check for each
/// piece and nothing that could grow.
///
/// Pieces whose length is known when this is compiled are a few moves each; any other is a call of
/// `memcpy`, which costs as much as ten of them.
pub(in crate::wire) struct Writer<'o> {
    rest: &'o mut [u8],
}

impl Writer<'_> {
    /// Writes bytes whose number is known when this is compiled.
    ///
    /// Panics if there is no room left, which would mean that the bound forgot a field.
    #[inline(always)]
    pub(in crate::wire) fn array<const N: usize>(&mut self, bytes: &[u8; N]) {
        let (front, rest) =
            take(&mut self.rest).split_first_chunk_mut().expect("the bound counts every field");
        *front = *bytes;
        self.rest = rest;
    }

    /// Writes one array and another. Panics like [`Self::array`].
    #[inline(always)]
    pub(in crate::wire) fn arrays<const N: usize, const M: usize>(
        &mut self,
        first: &[u8; N],
        second: &[u8; M],
    ) {
        let room = self.room(const { N + M });
        if let Some((front, back)) = room.split_first_chunk_mut()
            && let Some(back) = back.first_chunk_mut()
        {
            (*front, *back) = (*first, *second);
        }
    }

    /// Writes the first `length` bytes of an array, for which there must be room as a whole: a
    /// move of known length where the length is not. Panics like [`Self::array`].
    #[inline(always)]
    pub(in crate::wire) fn front<const N: usize>(&mut self, bytes: &[u8; N], length: usize) {
        let whole = self.rest.first_chunk_mut().expect("the bound counts every field");
        *whole = *bytes;
        self.room(length);
    }

    /// Writes entries of the same length: room for `count` of them, which the caller fills.
    /// Panics like [`Self::array`].
    #[inline]
    pub(in crate::wire) fn entries<const N: usize>(&mut self, count: usize) -> &mut [[u8; N]] {
        let room = self.room(count.saturating_mul(N));
        room.as_chunks_mut().0
    }

    /// Writes bytes as they are. Panics like [`Self::array`].
    #[inline(always)]
    pub(in crate::wire) fn slice(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    #[inline(always)]
    fn room(&mut self, length: usize) -> &mut [u8] {
        let (front, rest) = take(&mut self.rest)
            .split_at_mut_checked(length)
            .expect("the bound counts every field");
        self.rest = rest;
        front
    }

    /// Lets what is seldom needed write, so that it need not become part of whoever calls it.
    #[inline(always)]
    pub(in crate::wire) fn aside(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        // A writer of its own, so that this one need not be in memory.
        let mut writer = Writer { rest: take(&mut self.rest) };
        write(&mut writer);
        self.rest = writer.rest;
    }

    /// Writes a string. Panics like [`Self::array`].
    #[inline]
    pub(in crate::wire) fn string(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.slice(bytes);
    }

    /// Writes a string behind its key; quickest with the lengths that transactions, versions and
    /// tokens mostly have. Panics like [`Self::array`].
    #[inline(always)]
    pub(in crate::wire) fn field<const N: usize>(&mut self, key: &[u8; N], bytes: &[u8]) {
        if let Ok(bytes) = <&[u8; 4]>::try_from(bytes) {
            self.array(key);
            self.arrays(b"4:", bytes);
        } else if let Ok(bytes) = <&[u8; 8]>::try_from(bytes) {
            self.array(key);
            self.arrays(b"8:", bytes);
        } else {
            self.array(key);
            self.aside(|writer| writer.string(bytes));
        }
    }

    /// Writes what comes before a string of `length` bytes. Panics like [`Self::array`].
    #[inline(always)]
    pub(in crate::wire) fn length(&mut self, length: usize) {
        let n = length as u64;
        match n {
            0..10 => self.array(&[digit(n), b':']),
            10..100 => self.array(&[digit(n / 10), digit(n), b':']),
            100..1_000 => self.array(&[digit(n / 100), digit(n / 10), digit(n), b':']),
            _ => self.aside(|writer| {
                writer.long_number(n);
                writer.array(b":");
            }),
        }
    }

    /// Writes an integer. Panics like [`Self::array`].
    #[inline]
    pub(in crate::wire) fn integer(&mut self, n: u64) {
        match n {
            0..10 => self.array(&[b'i', digit(n), b'e']),
            1_000..10_000 => {
                let [a, b, c, d] = [n / 1_000, n / 100, n / 10, n].map(digit);
                self.array(&[b'i', a, b, c, d, b'e']);
            }
            10_000..100_000 => {
                let [a, b, c, d, e] = [n / 10_000, n / 1_000, n / 100, n / 10, n].map(digit);
                self.array(&[b'i', a, b, c, d, e, b'e']);
            }
            _ => self.aside(|writer| {
                writer.array(b"i");
                writer.long_number(n);
                writer.array(b"e");
            }),
        }
    }

    #[inline(never)]
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
    use alloc::{format, vec};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_written_as_others_write_them(number in any::<u64>(), shift in 0_u32..64) {
            let number = number >> shift;
            let mut out = vec![];
            write_to(&mut out, 22, |writer| writer.integer(number));
            prop_assert_eq!(out, format!("i{number}e").into_bytes());
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
