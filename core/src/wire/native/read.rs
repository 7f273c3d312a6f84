//! Reading: postcard's encoding from the front of a slice, made strict, and the fields of a body.
//!
//! postcard itself accepts numbers in more bytes than they need and goes through serde; both cost
//! what a datagram from a stranger must not: a second form of the same message, and time. What is
//! accepted here is exactly what postcard writes (a test compares the two).

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str;

use super::{MAX_ENTRY_EXTRA, MAX_NAME, tag};
use crate::contact::Capabilities;
#[cfg(feature = "mainline")]
use crate::contact::Family;
use crate::id::Id;
#[cfg(feature = "mainline")]
use crate::wire::mainline::compact;
use crate::wire::{Element, Hit, List, Malformed, NodeInfo, Peer, SignedItem};

/// What is left to read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        let (first, rest) = self.0.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(first)
    }

    /// An unsigned number: 7 bits a byte, the lowest first, in no more bytes than it needs.
    #[inline]
    fn number(&mut self) -> Result<u64, Malformed> {
        match self.0 {
            [first @ 0..=0x7f, rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(*first))
            }
            [low @ 0x80..=0xff, high @ 1..=0x7f, rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Result<u64, Malformed> {
        let mut number = u64::from(self.byte()? & 0x7f);
        for shift in (7_u32..64).step_by(7) {
            let byte = self.byte()?;
            // The tenth byte has room for one bit.
            if shift == 63 && byte > 1 {
                return Err(Malformed::BadNumber);
            }
            number |= u64::from(byte & 0x7f).wrapping_shl(shift);
            if byte < 0x80 {
                return if byte == 0 { Err(Malformed::BadNumber) } else { Ok(number) };
            }
        }
        Err(Malformed::BadNumber)
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.number()
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed::BadNumber)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        u16::try_from(self.number()?).map_err(|_| Malformed::BadNumber)
    }

    /// Bytes that say before how many they are.
    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed::Truncated)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// An address; none if it is of a kind that a later version brought, which ends the reading.
    #[inline]
    fn address(&mut self) -> Result<Option<SocketAddr>, Malformed> {
        match self.u32()? {
            0 => {
                let [a, b, c, d, high, low] = *self.array()?;
                let port = u16::from_be_bytes([high, low]);
                Ok(Some((Ipv4Addr::new(a, b, c, d), port).into()))
            }
            1 => {
                let ip = Ipv6Addr::from(*self.array::<16>()?);
                Ok(Some((ip, u16::from_be_bytes(*self.array()?)).into()))
            }
            _ => Ok(None),
        }
    }
}

/// A field's bytes as one thing that ends where they end.
#[inline]
pub(super) fn whole<'a, T>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let mut reader = Reader(bytes);
    let value = read(&mut reader)?;
    if reader.0.is_empty() { Ok(value) } else { Err(Malformed::Trailing) }
}

/// A field that is an address; none if it is of a kind that a later version brought.
pub(super) fn address(bytes: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    let mut reader = Reader(bytes);
    match reader.address()? {
        Some(_) if !reader.0.is_empty() => Err(Malformed::Trailing),
        address => Ok(address),
    }
}

/// A field that is text.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    str::from_utf8(bytes).map_err(|_| Malformed::BadField)
}

/// A node. What follows its last known part was added by a later version.
#[inline]
pub(super) fn node(bytes: &[u8]) -> Result<Option<NodeInfo>, Malformed> {
    let mut reader = Reader(bytes);
    let id = Id::new(*reader.array()?);
    let Some(address) = reader.address()? else { return Ok(None) };
    Ok(Some(NodeInfo { id, address, capabilities: Capabilities(reader.u32()?) }))
}

/// A node as nearly all are written in a list, read in one go: 28 bytes, of which an address of
/// kind 0 (IPv4) is seven, and capabilities in one byte.
#[inline]
fn usual_node(bytes: &[u8; 29]) -> Option<NodeInfo> {
    let [28, element @ ..] = bytes else { return None };
    let (id, [0, a, b, c, d, high, low, bits @ 0..=0x7f]) = element.split_first_chunk::<20>()?
    else {
        return None;
    };
    let address = (Ipv4Addr::new(*a, *b, *c, *d), u16::from_be_bytes([*high, *low])).into();
    Some(NodeInfo { id: Id::new(*id), address, capabilities: Capabilities((*bits).into()) })
}

/// A provider, likewise.
#[inline]
fn peer(bytes: &[u8]) -> Result<Option<Peer>, Malformed> {
    let mut reader = Reader(bytes);
    let Some(address) = reader.address()? else { return Ok(None) };
    Ok(Some(Peer { address, transports: reader.byte()? }))
}

/// A search entry, with what a later version added.
pub(super) fn hit(bytes: &[u8]) -> Result<Hit<'_>, Malformed> {
    let mut reader = Reader(bytes);
    let name = text(reader.bytes()?)?;
    let size = reader.u64()?;
    let content = reader.array()?;
    let extra = reader.0;
    if name.len() > MAX_NAME || extra.len() > MAX_ENTRY_EXTRA {
        return Err(Malformed::BadField);
    }
    Ok(Hit { name, size, content, extra })
}

/// A signed value, with what a later version added.
pub(super) fn signed(bytes: &[u8]) -> Result<SignedItem<'_>, Malformed> {
    let mut reader = Reader(bytes);
    let public_key = reader.array()?;
    let signature = reader.array()?;
    let seq = reader.u64()?;
    let salt = reader.bytes()?;
    let value = reader.bytes()?;
    Ok(SignedItem { public_key, salt, seq, value, extra: reader.0, signature })
}

/// Walks over a list once, so that whoever iterates over it later need not expect errors.
#[inline]
fn validate<'a, T, E>(
    list: &'a [u8],
    read: impl Fn(&'a [u8]) -> Result<T, Malformed>,
) -> Result<List<'a, E>, Malformed> {
    let mut reader = Reader(list);
    while !reader.0.is_empty() {
        read(reader.bytes()?)?;
    }
    Ok(List::from_native(list))
}

pub(super) fn nodes(list: &[u8]) -> Result<List<'_, NodeInfo>, Malformed> {
    let mut rest = list;
    while let Some((element, behind)) = rest.split_first_chunk()
        && usual_node(element).is_some()
    {
        rest = behind;
    }
    validate::<_, NodeInfo>(rest, node)?;
    Ok(List::from_native(list))
}

pub(super) fn peers(list: &[u8]) -> Result<List<'_, Peer>, Malformed> {
    validate(list, peer)
}

pub(super) fn hits(list: &[u8]) -> Result<List<'_, Hit<'_>>, Malformed> {
    validate(list, hit)
}

/// The next element of a validated list; those at addresses of unknown kinds are passed over.
#[inline]
fn next<'a, T>(
    list: &mut &'a [u8],
    read: impl Fn(&'a [u8]) -> Result<Option<T>, Malformed>,
) -> Option<T> {
    let mut reader = Reader(list);
    loop {
        let element = reader.bytes().ok()?;
        *list = reader.0;
        if let Some(element) = read(element).ok()? {
            return Some(element);
        }
    }
}

impl<'a> Element<'a> for NodeInfo {
    #[inline]
    fn take(list: &mut &'a [u8]) -> Option<Self> {
        if let Some((element, behind)) = list.split_first_chunk()
            && let Some(node) = usual_node(element)
        {
            *list = behind;
            return Some(node);
        }
        next(list, node)
    }

    #[cfg(feature = "mainline")]
    #[inline]
    fn take_compact(family: Family, list: &mut &'a [u8]) -> Option<Self> {
        compact::node(family, list)
    }
}

impl<'a> Element<'a> for Peer {
    #[inline]
    fn take(list: &mut &'a [u8]) -> Option<Self> {
        next(list, peer)
    }

    #[cfg(feature = "mainline")]
    #[inline]
    fn take_compact(family: Family, list: &mut &'a [u8]) -> Option<Self> {
        compact::peer(family, list)
    }
}

impl<'a> Element<'a> for Hit<'a> {
    fn take(list: &mut &'a [u8]) -> Option<Self> {
        next(list, |element| hit(element).map(Some))
    }
}

/// Only Mainline lists keys so far; here they would stand one after the other.
impl<'a> Element<'a> for Id {
    fn take(list: &mut &'a [u8]) -> Option<Self> {
        let mut reader = Reader(list);
        let id = reader.array().ok()?;
        *list = reader.0;
        Some(Self::new(*id))
    }

    #[cfg(feature = "mainline")]
    #[inline]
    fn take_compact(family: Family, list: &mut &'a [u8]) -> Option<Self> {
        compact::key(family, list)
    }
}

/// One field of a body.
pub(super) struct Field<'a> {
    /// What it is.
    pub(super) tag: u16,
    /// Whether who does not know it must not act on the message.
    pub(super) critical: bool,
    /// What it says.
    pub(super) bytes: &'a [u8],
}

/// The fields of a body, each known one at most once.
pub(super) struct Fields<'a> {
    reader: Reader<'a>,
    seen: u32,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self { reader: Reader(body), seen: 0 }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.reader.0.is_empty() {
            return Ok(None);
        }
        let key = self.reader.u16()?;
        let bytes = self.reader.bytes()?;
        let (tag, critical) = (key >> 1, key & 1 == 1);
        if tag <= tag::LAST_KNOWN {
            let bit = tag::bit(tag);
            if self.seen & bit != 0 {
                return Err(Malformed::Duplicate);
            }
            self.seen |= bit;
        }
        Ok(Some(Field { tag, critical, bytes }))
    }
}
