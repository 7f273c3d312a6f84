//! Compact infos (BEP 5, BEP 32, BEP 51): what the lists of a response are made of.
//!
//! A node is an id and an address, a provider an address, 6 or 18 bytes with the port behind, all
//! in network byte order. Nodes and keys stand one after the other in one string, a string for each
//! family; providers are strings of their own in one list, and with the first client of all one
//! string in it.

use core::net::{IpAddr, SocketAddr};

use crate::contact::{Capabilities, Family};
use crate::id::Id;
use crate::wire::bencode::{Reader, Value};
use crate::wire::{NodeInfo, Peer};

/// Bytes of an address of IPv4 with its port.
pub(super) const COMPACT_V4: usize = 6;

/// Bytes of an address of IPv6 with its port.
pub(super) const COMPACT_V6: usize = 18;

/// The next node of `nodes` or `nodes6`. A list that is no multiple of an entry holds none that
/// could be used: nobody knows where it was cut.
#[inline]
pub(in crate::wire) fn node(family: Family, list: &mut &[u8]) -> Option<NodeInfo> {
    match family {
        Family::V4 => fixed_node::<26>(list),
        Family::V6 => fixed_node::<38>(list),
    }
}

#[inline]
fn fixed_node<const N: usize>(list: &mut &[u8]) -> Option<NodeInfo> {
    let (entry, rest) = whole::<N>(list)?;
    *list = rest;
    let (id, address) = entry.split_first_chunk()?;
    let address = socket_address(address)?;
    Some(NodeInfo { id: Id::new(*id), address, capabilities: Capabilities::NONE })
}

/// The next key of `samples`, which has no families: all come first.
#[inline]
pub(in crate::wire) fn key(_family: Family, list: &mut &[u8]) -> Option<Id> {
    let (key, rest) = whole::<{ Id::LEN }>(list)?;
    *list = rest;
    Some(Id::new(*key))
}

/// The next provider of `values`, which mixes families: all strings come first, and what stands in
/// one string, which is of IPv4 alone, in the place of the other family. Entries that are no address
/// are passed over.
#[inline]
pub(in crate::wire) fn peer(family: Family, list: &mut &[u8]) -> Option<Peer> {
    if family == Family::V6 {
        let (entry, rest) = whole::<COMPACT_V4>(list)?;
        *list = rest;
        return Some(Peer { address: socket_address(entry)?, transports: 0 });
    }
    if let [b'6', b':', a, b, c, d, e, f, rest @ ..] = list {
        *list = rest;
        let address = SocketAddr::from(([*a, *b, *c, *d], u16::from_be_bytes([*e, *f])));
        return Some(Peer { address, transports: 0 });
    }
    let mut reader = Reader::new(list);
    while !reader.rest().is_empty() {
        let entry = reader.value().ok()?;
        *list = reader.rest();
        if let Value::Bytes(entry) = entry
            && let Some(address) = socket_address(entry)
        {
            return Some(Peer { address, transports: 0 });
        }
    }
    None
}

/// An address and a port: 6 bytes or 18.
#[inline]
pub(super) fn socket_address(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_last_chunk()?;
    let ip = match ip.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(ip).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

/// The first entry of a list that consists of whole ones.
#[inline]
fn whole<const N: usize>(list: &[u8]) -> Option<(&[u8; N], &[u8])> {
    list.len().is_multiple_of(N).then(|| list.split_first_chunk())?
}
