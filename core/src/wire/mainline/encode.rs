//! KRPC written: keys in order, the buffer grown once.
//!
//! A message is some ten pieces, and what it costs is to find out which and where each goes. So
//! what always stands together is one piece, and what is seldom there is written [`Writer::aside`].

use alloc::vec::Vec;
use core::net::{SocketAddr, SocketAddrV4};

use super::MAX_SEQUENCE;
use crate::contact::Families;
use crate::id::Id;
use crate::wire::bencode::{Writer, write_to};
use crate::wire::{Body, Failure, Item, Message, Method, Query};

mod response;

// What is made room for is cleared first, which costs as well: each kind of message has its own
// bound, and it counts everything but what is named. Lengths have four digits, numbers twenty.

/// A query's bytes besides a token, a value, a name and the tail: 189 in an announcement with
/// everything, and the room for the longest of our names as a whole.
const QUERY_FRAME: usize = 208;

/// The bytes of a signed value besides value and salt: 146 in a put.
const SIGNED_FRAME: usize = 152;

/// An error's bytes besides its text and the tail: 59.
const ERROR_FRAME: usize = 64;

/// The bytes of a message's end besides transaction, version and values: 36.
const TAIL_FRAME: usize = 40;

/// Appends one datagram.
pub(super) fn message(message: &Message<'_>, out: &mut Vec<u8>) {
    match &message.body {
        Body::Query(query) => {
            let bound = query_bound(query).saturating_add(tail_bound(message));
            write_to(out, bound, |out| write_query(message, query, out));
        }
        Body::Response(response) => {
            let any = response::may_be_long(response);
            if !response::write(message, response, any, out) {
                response::write(message, response, true, out);
            }
        }
        Body::Error(failure) => {
            let bound = failure.text.len().saturating_add(ERROR_FRAME);
            let bound = bound.saturating_add(tail_bound(message));
            write_to(out, bound, |out| write_error(message, failure, out));
        }
    }
}

// ---- queries and errors -----------------------------------------------------------------------

/// What stands behind a query's arguments: the method's name, of which so many bytes count.
struct Name {
    text: [u8; 24],
    length: usize,
}

/// `text` is `e1:q` and the name as a string.
const fn name<const N: usize>(text: &[u8; N]) -> Name {
    let mut name = Name { text: [0; 24], length: N };
    let (front, _) = name.text.split_at_mut(N);
    front.copy_from_slice(text);
    name
}

static PING: Name = name(b"e1:q4:ping");
static FIND_NODE: Name = name(b"e1:q9:find_node");
static GET_PEERS: Name = name(b"e1:q9:get_peers");
static ANNOUNCE_PEER: Name = name(b"e1:q13:announce_peer");
static GET: Name = name(b"e1:q3:get");
static PUT: Name = name(b"e1:q3:put");
static SAMPLE_INFOHASHES: Name = name(b"e1:q17:sample_infohashes");

fn query_bound(query: &Query<'_>) -> usize {
    let more = match &query.method {
        Method::Announce { token, .. } => token.len(),
        Method::Put { token, item, .. } => token.len().saturating_add(item_bound(item)),
        Method::Unknown { name, .. } => name.len(),
        _ => 0,
    };
    more.saturating_add(QUERY_FRAME)
}

fn item_bound(item: &Item<'_>) -> usize {
    match item {
        Item::Immutable(value) => value.len(),
        Item::Signed(item) => {
            item.value.len().saturating_add(item.salt.len()).saturating_add(SIGNED_FRAME)
        }
    }
}

#[inline(always)]
fn write_query(message: &Message<'_>, query: &Query<'_>, out: &mut Writer<'_>) {
    out.array(b"d1:ad");
    if let Method::Put { cas: Some(cas), .. } = &query.method {
        out.aside(|out| number(b"3:cas", *cas, out));
    }
    out.arrays(b"2:id20:", message.sender.unwrap_or_default().as_bytes());
    let name = arguments(query, out);
    match (name, &query.method) {
        (Some(name), _) if message.observed.is_none() => out.front(&name.text, name.length),
        (name, method) => out.aside(|out| {
            out.array(b"e");
            observed(message.observed, out);
            match (name, method) {
                (None, Method::Unknown { name, .. }) => {
                    out.array(b"1:q");
                    out.string(name);
                }
                (name, _) => {
                    let Name { text, length } = name.unwrap_or(&PING);
                    out.slice(text.get(1..*length).unwrap_or_default());
                }
            }
        }),
    }
    if message.client {
        out.array(b"2:roi1e");
    }
    tail(message, b"1:y1:qe", out);
}

/// The arguments behind the id; returns the method's name if it is one of ours.
#[inline(always)]
fn arguments(query: &Query<'_>, out: &mut Writer<'_>) -> Option<&'static Name> {
    let target = query.target.as_ref();
    let name = match &query.method {
        Method::GetProviders { scrape, no_seeds, .. } => {
            id(b"9:info_hash20:", target, out);
            flag(b"6:noseedi1e", *no_seeds, out);
            flag(b"6:scrapei1e", *scrape, out);
            Some(&GET_PEERS)
        }
        Method::Announce { token, port, implied_port, seed, .. } => {
            flag(b"12:implied_porti1e", *implied_port || port.is_none(), out);
            id(b"9:info_hash20:", target, out);
            if let Some(port) = port {
                number(b"4:port", u64::from(*port), out);
            }
            flag(b"4:seedi1e", *seed, out);
            out.field(b"5:token", token);
            Some(&ANNOUNCE_PEER)
        }
        Method::Get { newer_than } => {
            if let Some(seq) = newer_than {
                out.aside(|out| number(b"3:seq", *seq, out));
            }
            id(b"6:target20:", target, out);
            Some(&GET)
        }
        Method::Put { token, item, .. } => {
            out.aside(|out| put_arguments(token, item, target, out));
            Some(&PUT)
        }
        Method::Ping { .. } => Some(&PING),
        method => {
            id(b"6:target20:", target, out);
            match method {
                Method::SampleKeys => Some(&SAMPLE_INFOHASHES),
                Method::Unknown { .. } => None,
                _ if target.is_some() => Some(&FIND_NODE),
                _ => Some(&PING),
            }
        }
    };
    if query.want == Families::V4 {
        out.array(b"4:wantl2:n4e");
    } else if query.want == Families::V6 {
        out.array(b"4:wantl2:n6e");
    } else if query.want == Families::BOTH {
        out.array(b"4:wantl2:n42:n6e");
    }
    name
}

fn put_arguments(token: &[u8], item: &Item<'_>, target: Option<&Id>, out: &mut Writer<'_>) {
    let value = match item {
        Item::Immutable(value) => value,
        Item::Signed(item) => {
            out.arrays(b"1:k32:", item.public_key);
            if !item.salt.is_empty() {
                out.array(b"4:salt");
                out.string(item.salt);
            }
            number(b"3:seq", item.seq, out);
            out.arrays(b"3:sig64:", item.signature);
            item.value
        }
    };
    id(b"6:target20:", target, out);
    out.field(b"5:token", token);
    out.array(b"1:v");
    out.slice(value);
}

fn write_error(message: &Message<'_>, failure: &Failure<'_>, out: &mut Writer<'_>) {
    out.array(b"d1:el");
    out.integer(u64::from(failure.code.number()));
    out.string(failure.text.as_bytes());
    out.array(b"e");
    observed(message.observed, out);
    tail(message, b"1:y1:ee", out);
}

// ---- what all have ----------------------------------------------------------------------------

/// The bytes of [`tail`].
#[inline(always)]
fn tail_bound(message: &Message<'_>) -> usize {
    let version = message.version.map_or(0, <[u8]>::len);
    message.transaction.len().saturating_add(version).saturating_add(TAIL_FRAME)
}

/// The end of every message.
#[inline(always)]
fn tail(message: &Message<'_>, kind: &[u8; 7], out: &mut Writer<'_>) {
    out.field(b"1:t", message.transaction);
    if let Some(version) = message.version {
        out.field(b"1:v", version);
    }
    out.array(kind);
}

fn observed(seen: Option<SocketAddr>, out: &mut Writer<'_>) {
    if let Some(seen) = seen {
        out.array(b"2:ip");
        address(seen, out);
    }
}

/// Address and port in network byte order, as a string.
#[inline]
fn address(address: SocketAddr, out: &mut Writer<'_>) {
    match address {
        SocketAddr::V4(at) => out.array(&string_v4(at)),
        SocketAddr::V6(at) => {
            out.array(b"18:");
            out.arrays(&at.ip().octets(), &at.port().to_be_bytes());
        }
    }
}

#[inline]
const fn string_v4(at: SocketAddrV4) -> [u8; 8] {
    // One word instead of eight bytes: a list of fifty is most of its datagram.
    let [a, b, c, d] = at.ip().octets();
    let ip = u32::from_le_bytes([a, b, c, d]) as u64;
    let port = u16::from_le_bytes(at.port().to_be_bytes()) as u64;
    (u64::from_le_bytes(*b"6:\0\0\0\0\0\0") | ip << 16 | port << 48).to_le_bytes()
}

#[inline(always)]
fn number<const N: usize>(key: &[u8; N], number: u64, out: &mut Writer<'_>) {
    out.array(key);
    out.integer(number.min(MAX_SEQUENCE));
}

/// Written only if set. `key` has its value behind it.
#[inline(always)]
fn flag<const N: usize>(key: &[u8; N], set: bool, out: &mut Writer<'_>) {
    if set {
        out.array(key);
    }
}

/// `key` has the length of an id behind it.
#[inline(always)]
fn id<const N: usize>(key: &[u8; N], id: Option<&Id>, out: &mut Writer<'_>) {
    if let Some(id) = id {
        out.arrays(key, id.as_bytes());
    }
}
