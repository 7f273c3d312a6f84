//! Lists inside messages: validated bytes that are read when iterated, or a slice to be written.

use core::fmt;
use core::net::SocketAddr;

use crate::contact::Capabilities;
#[cfg(feature = "mainline")]
use crate::contact::Family;
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

/// What a message can have a list of: nodes, providers, keys, search entries.
///
/// The lifetime stands here and not in a function that a list carries, so that a message with a
/// long-lived list is one with a short-lived list too.
pub trait Element<'a>: Copy {
    /// Takes the next element from the front of a list of the native wire; none at its end.
    fn take(list: &mut &'a [u8]) -> Option<Self>;

    /// Takes the next element from the front of a list of Mainline's wire; none at its end, and
    /// none of what Mainline has no lists of.
    #[cfg(feature = "mainline")]
    fn take_compact(_family: Family, _list: &mut &'a [u8]) -> Option<Self> {
        None
    }
}

/// A list of `T` inside a message.
pub struct List<'a, T>(Kind<'a, T>);

enum Kind<'a, T> {
    /// Outgoing, or put together by a test.
    Slice(&'a [T]),
    /// Incoming: the native wire has walked over the bytes once and knows that every element can
    /// be taken.
    Native(&'a [u8]),
    /// Incoming by Mainline: a list for each family, IPv4 first. Mainline writes them out again as
    /// they came.
    #[cfg(feature = "mainline")]
    Compact([&'a [u8]; 2]),
}

impl<'a, T> List<'a, T> {
    /// The list of these elements.
    #[must_use]
    pub const fn new(elements: &'a [T]) -> Self {
        Self(Kind::Slice(elements))
    }

    /// The list of what is in `bytes`, which the native wire has validated.
    pub(crate) const fn from_native(bytes: &'a [u8]) -> Self {
        Self(Kind::Native(bytes))
    }

    /// The list of what is in one list of Mainline's wire and then in the other.
    #[cfg(feature = "mainline")]
    pub(crate) const fn from_compact(v4: &'a [u8], v6: &'a [u8]) -> Self {
        Self(Kind::Compact([v4, v6]))
    }

    /// The lists of Mainline's wire that it came in.
    #[cfg(feature = "mainline")]
    pub(crate) const fn compact(&self) -> Option<[&'a [u8]; 2]> {
        match self.0 {
            Kind::Compact(lists) => Some(lists),
            Kind::Slice(_) | Kind::Native(_) => None,
        }
    }
}

impl<'a, T: Element<'a>> List<'a, T> {
    /// The elements, in the order of the message.
    #[must_use]
    pub fn iter(&self) -> Iter<'a, T> {
        Iter(self.0.clone())
    }

    /// How many elements there are. Walks over the bytes of a list that came in a datagram.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::Slice(elements) => elements.len(),
            _ => self.iter().count(),
        }
    }

    /// The elements, if they were given and not read: moving them out one by one costs more than
    /// writing them.
    pub(crate) const fn as_slice(&self) -> Option<&'a [T]> {
        match self.0 {
            Kind::Slice(elements) => Some(elements),
            _ => None,
        }
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl<T> Clone for Kind<'_, T> {
    fn clone(&self) -> Self {
        match self {
            Self::Slice(elements) => Self::Slice(elements),
            Self::Native(bytes) => Self::Native(bytes),
            #[cfg(feature = "mainline")]
            Self::Compact(lists) => Self::Compact(*lists),
        }
    }
}

impl<'a, T: Element<'a>> IntoIterator for &List<'a, T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self(Kind::Slice(&[]))
    }
}

impl<'a, T: Element<'a> + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Element<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Iterates over a [`List`].
pub struct Iter<'a, T>(Kind<'a, T>);

impl<'a, T: Element<'a>> Iterator for Iter<'a, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Kind::Slice(elements) => {
                let (first, rest) = elements.split_first()?;
                *elements = rest;
                Some(*first)
            }
            Kind::Native(bytes) => T::take(bytes),
            #[cfg(feature = "mainline")]
            Kind::Compact([v4, v6]) => {
                T::take_compact(Family::V4, v4).or_else(|| T::take_compact(Family::V6, v6))
            }
        }
    }

    /// Looks only once at which kind of list it is: what `for_each` and `count` are made of.
    #[inline]
    fn fold<B, F: FnMut(B, T) -> B>(self, init: B, mut f: F) -> B {
        match self.0 {
            Kind::Slice(elements) => elements.iter().copied().fold(init, f),
            Kind::Native(mut bytes) => {
                let mut folded = init;
                while let Some(element) = T::take(&mut bytes) {
                    folded = f(folded, element);
                }
                folded
            }
            #[cfg(feature = "mainline")]
            Kind::Compact([mut v4, mut v6]) => {
                let mut folded = init;
                while let Some(element) = T::take_compact(Family::V4, &mut v4) {
                    folded = f(folded, element);
                }
                while let Some(element) = T::take_compact(Family::V6, &mut v6) {
                    folded = f(folded, element);
                }
                folded
            }
        }
    }
}
