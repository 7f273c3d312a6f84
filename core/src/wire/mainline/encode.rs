//! KRPC written: keys in order, the buffer grown once.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::contact::{Families, Family};
use crate::id::Id;
use crate::wire::bencode::{put_bytes, put_integer, put_length};
use crate::wire::{
    Body, Element, Failure, Item, List, Message, Method, NodeInfo, Peer, Query, Response, Samples,
};

/// More than all that a message has besides its lists, its value, its token and its filters: the
/// sum of all keys, ids, a key, a signature, a salt and numbers.
const FRAME: usize = 512;

/// Appends one datagram.
pub(super) fn message(message: &Message<'_>, out: &mut Vec<u8>) {
    out.reserve(bound(message));
    let sender = message.sender.unwrap_or_default();
    let kind = match &message.body {
        Body::Query(query) => {
            out.extend_from_slice(b"d1:ad");
            let name = arguments(&sender, query, out);
            out.push(b'e');
            observed(message.observed, out);
            field(b"1:q", name, out);
            if message.client {
                out.extend_from_slice(b"2:roi1e");
            }
            b'q'
        }
        Body::Response(response) => {
            out.push(b'd');
            observed(message.observed, out);
            out.extend_from_slice(b"1:rd");
            reply(&sender, response, out);
            out.push(b'e');
            b'r'
        }
        Body::Error(Failure { code, text, .. }) => {
            out.extend_from_slice(b"d1:el");
            put_integer(out, u64::from(code.number()));
            put_bytes(out, text.as_bytes());
            out.push(b'e');
            observed(message.observed, out);
            b'e'
        }
    };
    field(b"1:t", message.transaction, out);
    if let Some(version) = message.version {
        field(b"1:v", version, out);
    }
    out.extend_from_slice(&[b'1', b':', b'y', b'1', b':', kind, b'e']);
}

/// A number of bytes that the datagram does not exceed.
fn bound(message: &Message<'_>) -> usize {
    let body = match &message.body {
        Body::Query(Query { method, .. }) => match method {
            Method::Announce { token, .. } => token.len(),
            Method::Put { token, item, .. } => token.len().saturating_add(item_bound(item)),
            Method::Unknown { name, .. } => name.len(),
            _ => 0,
        },
        Body::Response(response) => [
            list_bound(&response.nodes, 38),
            list_bound(&response.providers, 21),
            response.samples.as_ref().map_or(0, |samples| list_bound(&samples.keys, Id::LEN)),
            response.token.map_or(0, <[u8]>::len),
            response.item.as_ref().map_or(0, item_bound),
            response.seed_filter.map_or(0, |filter| filter.len()),
            response.peer_filter.map_or(0, |filter| filter.len()),
        ]
        .into_iter()
        .fold(0, usize::saturating_add),
        Body::Error(failure) => failure.text.len(),
    };
    [message.transaction.len(), message.version.map_or(0, <[u8]>::len), FRAME]
        .into_iter()
        .fold(body, usize::saturating_add)
}

fn item_bound(item: &Item<'_>) -> usize {
    match item {
        Item::Immutable(value) => value.len(),
        Item::Signed(item) => item.value.len().saturating_add(item.salt.len()),
    }
}

/// `entry`: the longest entry, in bytes.
fn list_bound<'a, T: Element<'a>>(list: &List<'a, T>, entry: usize) -> usize {
    match list.runs() {
        Some([first, second]) => first.len().saturating_add(second.len()),
        None => list.iter().count().saturating_mul(entry),
    }
}

/// The content of `a`; returns the method's name.
fn arguments<'a>(sender: &Id, query: &Query<'a>, out: &mut Vec<u8>) -> &'a [u8] {
    if let Method::Put { cas: Some(cas), .. } = &query.method {
        number(b"3:cas", *cas, out);
    }
    id(b"2:id", Some(sender), out);
    let target = query.target.as_ref();
    let name: &[u8] = match &query.method {
        Method::GetProviders { scrape, no_seeds, .. } => {
            id(b"9:info_hash", target, out);
            flag(b"6:noseed", *no_seeds, out);
            flag(b"6:scrape", *scrape, out);
            b"get_peers"
        }
        Method::Announce { token, port, implied_port, seed, .. } => {
            flag(b"12:implied_port", *implied_port || port.is_none(), out);
            id(b"9:info_hash", target, out);
            if let Some(port) = port {
                number(b"4:port", u64::from(*port), out);
            }
            flag(b"4:seed", *seed, out);
            field(b"5:token", token, out);
            b"announce_peer"
        }
        Method::Get { newer_than } => {
            if let Some(seq) = newer_than {
                number(b"3:seq", *seq, out);
            }
            id(b"6:target", target, out);
            b"get"
        }
        Method::Put { token, item, .. } => {
            put_arguments(token, item, target, out);
            b"put"
        }
        Method::SampleKeys => {
            id(b"6:target", target, out);
            b"sample_infohashes"
        }
        Method::Unknown { name, .. } => {
            id(b"6:target", target, out);
            name
        }
        Method::Ping { .. } => b"ping",
        _ => {
            id(b"6:target", target, out);
            if target.is_some() { b"find_node" } else { b"ping" }
        }
    };
    want(query.want, out);
    name
}

fn put_arguments(token: &[u8], item: &Item<'_>, target: Option<&Id>, out: &mut Vec<u8>) {
    let value = match item {
        Item::Immutable(value) => value,
        Item::Signed(item) => {
            field(b"1:k", item.public_key, out);
            if !item.salt.is_empty() {
                field(b"4:salt", item.salt, out);
            }
            number(b"3:seq", item.seq, out);
            field(b"3:sig", item.signature, out);
            item.value
        }
    };
    id(b"6:target", target, out);
    field(b"5:token", token, out);
    out.extend_from_slice(b"1:v");
    out.extend_from_slice(value);
}

fn want(families: Families, out: &mut Vec<u8>) {
    if families.is_empty() {
        return;
    }
    out.extend_from_slice(b"4:wantl");
    for family in families.iter() {
        out.extend_from_slice(match family {
            Family::V4 => b"2:n4",
            Family::V6 => b"2:n6",
        });
    }
    out.push(b'e');
}

/// The content of `r`.
fn reply(sender: &Id, response: &Response<'_>, out: &mut Vec<u8>) {
    if let Some(filter) = response.peer_filter {
        field(b"4:BFpe", filter, out);
    }
    if let Some(filter) = response.seed_filter {
        field(b"4:BFsd", filter, out);
    }
    id(b"2:id", Some(sender), out);
    let samples = response.samples.as_ref();
    if let Some(Samples { interval, .. }) = samples {
        number(b"8:interval", u64::from(*interval), out);
    }
    let (signed, value) = match &response.item {
        Some(Item::Signed(item)) => (Some(item), Some(item.value)),
        Some(Item::Immutable(value)) => (None, Some(*value)),
        None => (None, None),
    };
    if let Some(item) = signed {
        field(b"1:k", item.public_key, out);
    }
    nodes(&response.nodes, response.listed, out);
    if let Some(Samples { keys, total, .. }) = samples {
        number(b"3:num", *total, out);
        out.extend_from_slice(b"7:samples");
        match keys.runs() {
            Some([run, _]) => put_bytes(out, run),
            None => {
                put_length(out, keys.iter().count().saturating_mul(Id::LEN));
                keys.iter().for_each(|key| out.extend_from_slice(key.as_bytes()));
            }
        }
    }
    if let Some(seq) = signed.map(|item| item.seq).or(response.seq) {
        number(b"3:seq", seq, out);
    }
    if let Some(item) = signed {
        field(b"3:sig", item.signature, out);
    }
    if let Some(token) = response.token {
        field(b"5:token", token, out);
    }
    if let Some(value) = value {
        out.extend_from_slice(b"1:v");
        out.extend_from_slice(value);
    }
    values(&response.providers, out);
}

/// `nodes` and `nodes6`, as they came or put together.
fn nodes(list: &List<'_, NodeInfo>, listed: Families, out: &mut Vec<u8>) {
    for (family, at) in [(Family::V4, 0), (Family::V6, 1)] {
        let (key, entry): (&[u8], usize) = match family {
            Family::V4 => (b"5:nodes", 26),
            Family::V6 => (b"6:nodes6", 38),
        };
        if let Some(run) = list.runs().and_then(|runs| runs.get(at).copied()) {
            if listed.contains(family) || !run.is_empty() {
                field(key, run, out);
            }
            continue;
        }
        let of_family = || list.iter().filter(move |node| Family::of(&node.address) == family);
        let count = of_family().count();
        if count > 0 || listed.contains(family) {
            out.extend_from_slice(key);
            put_length(out, count.saturating_mul(entry));
            for node in of_family() {
                out.extend_from_slice(node.id.as_bytes());
                address(node.address, out);
            }
        }
    }
}

fn values(list: &List<'_, Peer>, out: &mut Vec<u8>) {
    if list.is_empty() {
        return;
    }
    out.extend_from_slice(b"6:valuesl");
    match list.runs() {
        Some([run, _]) => out.extend_from_slice(run),
        None => list.iter().for_each(|peer| string_of_address(peer.address, out)),
    }
    out.push(b'e');
}

fn observed(seen: Option<SocketAddr>, out: &mut Vec<u8>) {
    if let Some(seen) = seen {
        out.extend_from_slice(b"2:ip");
        string_of_address(seen, out);
    }
}

#[inline]
fn string_of_address(seen: SocketAddr, out: &mut Vec<u8>) {
    out.extend_from_slice(match seen {
        SocketAddr::V4(_) => b"6:",
        SocketAddr::V6(_) => b"18:",
    });
    address(seen, out);
}

/// Address and port in network byte order.
#[inline]
fn address(address: SocketAddr, out: &mut Vec<u8>) {
    match address.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&address.port().to_be_bytes());
}

/// `key` is written with its length: those are known when this is compiled.
#[inline]
fn field(key: &[u8], bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    put_bytes(out, bytes);
}

#[inline]
fn number(key: &[u8], number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    put_integer(out, number);
}

/// Written only if set.
#[inline]
fn flag(key: &[u8], set: bool, out: &mut Vec<u8>) {
    if set {
        number(key, 1, out);
    }
}

#[inline]
fn id(key: &[u8], id: Option<&Id>, out: &mut Vec<u8>) {
    if let Some(id) = id {
        field(key, id.as_bytes(), out);
    }
}
