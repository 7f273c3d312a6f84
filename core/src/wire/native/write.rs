//! Writing: postcard's encoding into bytes that were counted before.
//!
//! Everything that can be written can be counted by the same code: a [`Sink`] either adds up or
//! fills. So a datagram takes one allocation of its exact size, lengths are known before the bytes
//! they count, and the two can never disagree.

use core::mem;
use core::net::SocketAddr;

use crate::contact::{Capabilities, Families};
use crate::id::Id;
use crate::wire::{Element, Failure, Hit, List, NodeInfo, Peer, SignedItem};

/// Where bytes go.
pub(super) trait Sink {
    /// `N` bytes that `write` writes where they belong.
    fn chunk<const N: usize>(&mut self, write: impl FnOnce(&mut [u8; N]));

    fn slice(&mut self, bytes: &[u8]);

    /// Content that is `len` bytes long.
    fn content(&mut self, content: &(impl Put + ?Sized), len: usize);

    #[inline]
    fn array<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.chunk(|chunk| *chunk = *bytes);
    }

    /// An unsigned number: 7 bits a byte, the lowest first, in no more bytes than it needs.
    #[inline]
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.array(&[number.to_le_bytes()[0] | 0x80]);
            number >>= 7;
        }
        self.array(&[number.to_le_bytes()[0]]);
    }

    /// How many bytes follow.
    #[inline]
    fn length(&mut self, length: usize) {
        self.number(length as u64);
    }
}

/// Counts.
pub(super) struct Counter(pub(super) usize);

impl Sink for Counter {
    #[inline]
    fn number(&mut self, number: u64) {
        self.0 = self.0.saturating_add(match number {
            0..=0x7f => 1,
            0x80..=0x3fff => 2,
            _ => 64_u32.saturating_sub(number.leading_zeros()).div_ceil(7) as usize,
        });
    }

    #[inline]
    fn chunk<const N: usize>(&mut self, _: impl FnOnce(&mut [u8; N])) {
        self.0 = self.0.saturating_add(N);
    }

    #[inline]
    fn slice(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len());
    }

    #[inline]
    fn content(&mut self, _: &(impl Put + ?Sized), len: usize) {
        self.0 = self.0.saturating_add(len);
    }
}

/// Fills. What does not fit, which a counter excludes, is left out.
pub(super) struct Filler<'o>(pub(super) &'o mut [u8]);

impl Sink for Filler<'_> {
    #[inline]
    fn chunk<const N: usize>(&mut self, write: impl FnOnce(&mut [u8; N])) {
        if let Some((first, rest)) = mem::take(&mut self.0).split_first_chunk_mut() {
            write(first);
            self.0 = rest;
        }
    }

    #[inline]
    fn slice(&mut self, bytes: &[u8]) {
        if let Some((first, rest)) = mem::take(&mut self.0).split_at_mut_checked(bytes.len()) {
            first.copy_from_slice(bytes);
            self.0 = rest;
        }
    }

    #[inline]
    fn content(&mut self, content: &(impl Put + ?Sized), _: usize) {
        content.put(self);
    }
}

/// What can be written.
pub(super) trait Put {
    fn put(&self, out: &mut impl Sink);

    /// How many bytes that takes.
    #[inline]
    fn len(&self) -> usize {
        let mut counter = Counter(0);
        self.put(&mut counter);
        counter.0
    }

    /// Writes it as an element of a list.
    #[inline]
    fn put_element(&self, out: &mut impl Sink) {
        let len = self.len();
        out.length(len);
        out.content(self, len);
    }

    /// How many bytes that takes.
    #[inline]
    fn element_len(&self) -> usize {
        let len = self.len();
        let mut counter = Counter(len);
        counter.length(len);
        counter.0
    }
}

/// A field: tag with the critical bit, length, bytes.
#[inline]
pub(super) fn field(out: &mut impl Sink, tag: u16, content: &(impl Put + ?Sized)) {
    let len = content.len();
    // No field of this draft is critical: whoever reads it knows them all.
    out.number(u64::from(tag) << 1);
    out.length(len);
    out.content(content, len);
}

/// A field that is left out when there is nothing to say.
#[inline]
pub(super) fn maybe(out: &mut impl Sink, tag: u16, content: Option<&(impl Put + ?Sized)>) {
    if let Some(content) = content {
        field(out, tag, content);
    }
}

/// A number; left out as a field where it is 0 by default.
pub(super) struct Number(pub(super) u64);

impl Put for Number {
    #[inline]
    fn put(&self, out: &mut impl Sink) {
        out.number(self.0);
    }
}

impl Put for [u8] {
    #[inline]
    fn put(&self, out: &mut impl Sink) {
        out.slice(self);
    }
}

impl<const N: usize> Put for [u8; N] {
    #[inline]
    fn put(&self, out: &mut impl Sink) {
        out.array(self);
    }
}

impl Put for Id {
    #[inline]
    fn put(&self, out: &mut impl Sink) {
        out.array(self.as_bytes());
    }
}

impl Put for Families {
    #[inline]
    fn put(&self, out: &mut impl Sink) {
        out.array(&[self.bits()]);
    }
}

impl Put for Capabilities {
    #[inline]
    fn put(&self, out: &mut impl Sink) {
        out.number(u64::from(self.0));
    }
}

impl Put for SocketAddr {
    #[inline]
    fn put(&self, out: &mut impl Sink) {
        match self {
            Self::V4(address) => {
                out.array(&[0]);
                out.array(&address.ip().octets());
            }
            Self::V6(address) => {
                out.array(&[1]);
                out.array(&address.ip().octets());
            }
        }
        out.array(&self.port().to_be_bytes());
    }
}

impl Put for NodeInfo {
    #[inline]
    fn put(&self, out: &mut impl Sink) {
        self.id.put(out);
        self.address.put(out);
        self.capabilities.put(out);
    }

    #[inline]
    fn len(&self) -> usize {
        let mut counter = Counter(if self.address.is_ipv4() { 27 } else { 39 });
        self.capabilities.put(&mut counter);
        counter.0
    }

    #[inline]
    fn put_element(&self, out: &mut impl Sink) {
        match (self.address, self.capabilities.0.to_le_bytes()) {
            // Nearly all: one move instead of six.
            (SocketAddr::V4(address), [bits @ 0..=0x7f, 0, 0, 0]) => {
                out.chunk(|element: &mut [u8; 29]| {
                    element[0] = 28;
                    element[1..21].copy_from_slice(self.id.as_bytes());
                    element[21] = 0;
                    element[22..26].copy_from_slice(&address.ip().octets());
                    element[26..28].copy_from_slice(&address.port().to_be_bytes());
                    element[28] = bits;
                });
            }
            _ => {
                let len = self.len();
                out.length(len);
                out.content(self, len);
            }
        }
    }
}

impl Put for Peer {
    #[inline]
    fn put(&self, out: &mut impl Sink) {
        self.address.put(out);
        out.array(&[self.transports]);
    }
}

impl Put for Hit<'_> {
    fn put(&self, out: &mut impl Sink) {
        out.length(self.name.len());
        out.slice(self.name.as_bytes());
        out.number(self.size);
        out.array(self.content);
        out.slice(self.extra);
    }
}

impl Put for SignedItem<'_> {
    fn put(&self, out: &mut impl Sink) {
        out.array(self.public_key);
        out.array(self.signature);
        out.number(self.seq);
        out.length(self.salt.len());
        out.slice(self.salt);
        out.length(self.value.len());
        out.slice(self.value);
        out.slice(self.extra);
    }
}

impl Put for Failure<'_> {
    fn put(&self, out: &mut impl Sink) {
        out.number(u64::from(self.code.number()));
        out.length(self.text.len());
        out.slice(self.text.as_bytes());
    }
}

/// As many of the first elements of a list as there is room for.
pub(super) struct Head<'m, 'a, T> {
    list: &'m List<'a, T>,
    count: usize,
    len: usize,
}

impl<'m, 'a, T: Element<'a> + Put> Head<'m, 'a, T> {
    /// Takes what fits, as the field `tag`, into `room`, and that out of `room`.
    #[inline]
    pub(super) fn of(list: &'m List<'a, T>, tag: u16, room: &mut usize) -> Self {
        let (count, len) = fit(list, tag, *room);
        let head = Self { list, count, len };
        let mut taken = Counter(0);
        head.put_field(&mut taken, tag);
        *room = room.saturating_sub(taken.0);
        head
    }

    /// Writes the field, unless it is empty.
    #[inline]
    pub(super) fn put_field(&self, out: &mut impl Sink, tag: u16) {
        if self.count > 0 {
            field(out, tag, self);
        }
    }
}

impl<'a, T: Element<'a> + Put> Put for Head<'_, 'a, T> {
    #[inline]
    fn put(&self, out: &mut impl Sink) {
        match self.list.as_slice() {
            Some(elements) => {
                for element in elements.iter().take(self.count) {
                    element.put_element(out);
                }
            }
            None => {
                for element in self.list.iter().take(self.count) {
                    element.put_element(out);
                }
            }
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.len
    }
}

/// How many of the first elements fit as the field `tag` into `room`, and their bytes.
#[inline]
pub(super) fn fit<'a, T: Element<'a> + Put>(
    list: &List<'a, T>,
    tag: u16,
    room: usize,
) -> (usize, usize) {
    let mut head = Counter(0);
    head.number(u64::from(tag) << 1);
    let room = room.saturating_sub(head.0);
    match list.as_slice() {
        Some(elements) => {
            let lens = elements.iter().map(Put::element_len);
            // Nearly always all of them do.
            let total = lens.clone().fold(0_usize, usize::saturating_add);
            let mut field = Counter(total);
            field.length(total);
            if field.0 <= room { (elements.len(), total) } else { fit_lens(lens, room) }
        }
        None => fit_lens(list.iter().map(|element| element.element_len()), room),
    }
}

#[inline]
fn fit_lens(lens: impl Iterator<Item = usize>, room: usize) -> (usize, usize) {
    let (mut count, mut total) = (0_usize, 0_usize);
    for len in lens {
        let with = total.saturating_add(len);
        let mut field = Counter(with);
        field.length(with);
        if field.0 > room {
            break;
        }
        total = with;
        count = count.saturating_add(1);
    }
    (count, total)
}
