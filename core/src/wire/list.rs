//! Lists inside messages: validated bytes that are read when iterated, or a slice to be written.

use core::fmt;
use core::marker::PhantomData;
use core::net::SocketAddr;

use crate::contact::Capabilities;
use crate::id::Id;

/// A node as a message names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeInfo {
    /// Its id.
    pub id: Id,
    /// Its address.
    pub address: SocketAddr,
    /// What it is said to be able to do; nothing on Mainline.
    pub capabilities: Capabilities,
}

/// A provider as a message names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Where to fetch from.
    pub address: SocketAddr,
    /// How: bits of `Transports`; nothing on Mainline.
    pub transports: u8,
}

/// A search entry as it travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Hit<'a> {
    /// The file's name.
    pub name: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// BLAKE3 of its content.
    pub content: &'a [u8; 32],
    /// Fields of later versions, byte for byte.
    pub extra: &'a [u8],
}

impl<'a> Hit<'a> {
    /// An entry without extra fields.
    #[must_use]
    pub const fn new(name: &'a str, size: u64, content: &'a [u8; 32]) -> Self {
        Self { name, size, content, extra: &[] }
    }
}

/// How one element is taken from the front of validated bytes.
pub(crate) type Take<'a, T> = fn(&mut &'a [u8]) -> Option<T>;

/// A list of `T` inside a message.
pub struct List<'a, T>(Kind<'a, T>);

enum Kind<'a, T> {
    /// Outgoing, or put together by a test.
    Slice(&'a [T]),
    /// Incoming: the wire has walked over the bytes once and knows that `take` will succeed. Two
    /// runs, because Mainline keeps the families apart.
    Bytes { runs: [(&'a [u8], Take<'a, T>); 2], _of: PhantomData<T> },
}

impl<'a, T: Copy> List<'a, T> {
    /// The list of these elements.
    #[must_use]
    pub const fn new(elements: &'a [T]) -> Self {
        Self(Kind::Slice(elements))
    }

    /// The list of what `take` finds in `bytes`, which the wire has validated.
    pub(crate) const fn from_bytes(bytes: &'a [u8], take: Take<'a, T>) -> Self {
        Self::from_runs([(bytes, take), (&[], take)])
    }

    /// The list of what is found in one run and then in the other.
    pub(crate) const fn from_runs(runs: [(&'a [u8], Take<'a, T>); 2]) -> Self {
        Self(Kind::Bytes { runs, _of: PhantomData })
    }

    /// The elements, in the order of the message.
    #[must_use]
    pub fn iter(&self) -> Iter<'a, T> {
        Iter(match &self.0 {
            Kind::Slice(elements) => Kind::Slice(elements),
            Kind::Bytes { runs, .. } => Kind::Bytes { runs: *runs, _of: PhantomData },
        })
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl<'a, T: Copy> IntoIterator for &List<'a, T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Copy> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        Self(self.iter().0)
    }
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self(Kind::Slice(&[]))
    }
}

impl<T: Copy + PartialEq> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Copy + fmt::Debug> fmt::Debug for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Iterates over a [`List`].
pub struct Iter<'a, T>(Kind<'a, T>);

impl<T: Copy> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Kind::Slice(elements) => {
                let (first, rest) = elements.split_first()?;
                *elements = rest;
                Some(*first)
            }
            Kind::Bytes { runs: [first, second], .. } => {
                (first.1)(&mut first.0).or_else(|| (second.1)(&mut second.0))
            }
        }
    }
}
