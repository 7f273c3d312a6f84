//! KRPC written: keys in order, the buffer grown once.

use alloc::vec::Vec;
use core::net::{SocketAddr, SocketAddrV4};

use super::MAX_SEQUENCE;
use crate::contact::{Families, Family};
use crate::id::Id;
use crate::wire::bencode::{Writer, write_to};
use crate::wire::{
    Body, Element, Failure, Item, List, Message, Method, NodeInfo, Peer, Query, Response, Samples,
};

/// More than all that a message has besides lists, values, tokens, names and filters: the keys,
/// the ids, numbers of 20 digits. A response with everything has 310.
const FRAME: usize = 320;

/// More than all that a signed value has besides its value and salt.
const SIGNED_FRAME: usize = 144;

/// Appends one datagram.
pub(super) fn message(message: &Message<'_>, out: &mut Vec<u8>) {
    write_to(out, bound(message), |out| write(message, out));
}

fn write(message: &Message<'_>, out: &mut Writer<'_>) {
    let sender = message.sender.unwrap_or_default();
    let kind = match &message.body {
        Body::Query(query) => {
            out.array(b"d1:ad");
            let name = arguments(&sender, query, out);
            out.array(b"e");
            observed(message.observed, out);
            field(b"1:q", name, out);
            if message.client {
                out.array(b"2:roi1e");
            }
            b'q'
        }
        Body::Response(response) => {
            out.array(b"d");
            observed(message.observed, out);
            out.array(b"1:rd");
            reply(&sender, response, out);
            out.array(b"e");
            b'r'
        }
        Body::Error(Failure { code, text, .. }) => {
            out.array(b"d1:el");
            out.integer(u64::from(code.number()));
            out.string(text.as_bytes());
            out.array(b"e");
            observed(message.observed, out);
            b'e'
        }
    };
    field(b"1:t", message.transaction, out);
    if let Some(version) = message.version {
        field(b"1:v", version, out);
    }
    out.array(&[b'1', b':', b'y', b'1', b':', kind, b'e']);
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
            list_bound(&response.nodes, [26, 38], |node| node.address.is_ipv4()),
            list_bound(&response.providers, [8, 21], |peer| peer.address.is_ipv4()),
            response
                .samples
                .as_ref()
                .map_or(0, |samples| list_bound(&samples.keys, [Id::LEN, Id::LEN], |_| true)),
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
        Item::Signed(item) => [item.value.len(), item.salt.len(), SIGNED_FRAME]
            .into_iter()
            .fold(0, usize::saturating_add),
    }
}

/// The bytes of a list, of which a short entry takes so many and a long one so many. Exactly: a
/// long bound costs more to clear than a short list to write, and an allocation beyond a kilobyte
/// costs more again.
#[inline]
fn list_bound<'a, T: Element<'a>>(
    list: &List<'a, T>,
    [short, long]: [usize; 2],
    is_short: impl Fn(&T) -> bool,
) -> usize {
    if let Some([first, second]) = list.compact() {
        return first.len().saturating_add(second.len());
    }
    let Some(slice) = list.as_slice() else { return list.len().saturating_mul(long) };
    let shorts = slice.iter().filter(|entry| is_short(entry)).count();
    let longs = slice.len().saturating_sub(shorts);
    shorts.saturating_mul(short).saturating_add(longs.saturating_mul(long))
}

/// The elements where they lie: moving them out one by one costs more than writing them. A list of
/// another wire is read first.
#[inline]
fn elements<'a, T: Element<'a>>(list: &List<'a, T>, read: &'a mut Vec<T>) -> &'a [T] {
    match list.as_slice() {
        Some(slice) => slice,
        None => {
            read.extend(list.iter());
            read
        }
    }
}

/// The content of `a`; returns the method's name.
fn arguments<'a>(sender: &Id, query: &Query<'a>, out: &mut Writer<'_>) -> &'a [u8] {
    if let Method::Put { cas: Some(cas), .. } = &query.method {
        number(b"3:cas", *cas, out);
    }
    id(b"2:id20:", Some(sender), out);
    let target = query.target.as_ref();
    let name: &[u8] = match &query.method {
        Method::GetProviders { scrape, no_seeds, .. } => {
            id(b"9:info_hash20:", target, out);
            flag(b"6:noseedi1e", *no_seeds, out);
            flag(b"6:scrapei1e", *scrape, out);
            b"get_peers"
        }
        Method::Announce { token, port, implied_port, seed, .. } => {
            flag(b"12:implied_porti1e", *implied_port || port.is_none(), out);
            id(b"9:info_hash20:", target, out);
            if let Some(port) = port {
                number(b"4:port", u64::from(*port), out);
            }
            flag(b"4:seedi1e", *seed, out);
            field(b"5:token", token, out);
            b"announce_peer"
        }
        Method::Get { newer_than } => {
            if let Some(seq) = newer_than {
                number(b"3:seq", *seq, out);
            }
            id(b"6:target20:", target, out);
            b"get"
        }
        Method::Put { token, item, .. } => {
            put_arguments(token, item, target, out);
            b"put"
        }
        Method::SampleKeys => {
            id(b"6:target20:", target, out);
            b"sample_infohashes"
        }
        Method::Unknown { name, .. } => {
            id(b"6:target20:", target, out);
            name
        }
        Method::Ping { .. } => b"ping",
        _ => {
            id(b"6:target20:", target, out);
            if target.is_some() { b"find_node" } else { b"ping" }
        }
    };
    want(query.want, out);
    name
}

fn put_arguments(token: &[u8], item: &Item<'_>, target: Option<&Id>, out: &mut Writer<'_>) {
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
    id(b"6:target20:", target, out);
    field(b"5:token", token, out);
    out.array(b"1:v");
    out.slice(value);
}

fn want(families: Families, out: &mut Writer<'_>) {
    if families.is_empty() {
        return;
    }
    out.array(b"4:wantl");
    for family in families.iter() {
        out.array(match family {
            Family::V4 => b"2:n4",
            Family::V6 => b"2:n6",
        });
    }
    out.array(b"e");
}

/// The content of `r`.
fn reply(sender: &Id, response: &Response<'_>, out: &mut Writer<'_>) {
    if let Some(filter) = response.peer_filter {
        field(b"4:BFpe", filter, out);
    }
    if let Some(filter) = response.seed_filter {
        field(b"4:BFsd", filter, out);
    }
    id(b"2:id20:", Some(sender), out);
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
        out.array(b"7:samples");
        match keys.compact() {
            Some([entries, _]) => out.string(entries),
            None => {
                out.length(keys.len().saturating_mul(Id::LEN));
                keys.iter().for_each(|key| out.array(key.as_bytes()));
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
        out.array(b"1:v");
        out.slice(value);
    }
    values(&response.providers, out);
}

/// `nodes` and `nodes6`, as they came or put together.
fn nodes(list: &List<'_, NodeInfo>, listed: Families, out: &mut Writer<'_>) {
    if let Some([v4, v6]) = list.compact() {
        if listed.contains(Family::V4) || !v4.is_empty() {
            field(b"5:nodes", v4, out);
        }
        if listed.contains(Family::V6) || !v6.is_empty() {
            field(b"6:nodes6", v6, out);
        }
        return;
    }
    let mut read = Vec::new();
    let list = elements(list, &mut read);
    let v4 = list.iter().filter(|node| node.address.is_ipv4()).count();
    let v6 = list.len().saturating_sub(v4);
    if listed.contains(Family::V4) || v4 > 0 {
        out.array(b"5:nodes");
        out.length(v4.saturating_mul(26));
        let mut entries = out.entries::<26>(v4).iter_mut();
        for node in list {
            if let SocketAddr::V4(at) = &node.address
                && let Some(entry) = entries.next()
            {
                fill(entry, &node.id, at.ip().octets(), at.port());
            }
        }
    }
    if listed.contains(Family::V6) || v6 > 0 {
        out.array(b"6:nodes6");
        out.length(v6.saturating_mul(38));
        let mut entries = out.entries::<38>(v6).iter_mut();
        for node in list {
            if let SocketAddr::V6(at) = &node.address
                && let Some(entry) = entries.next()
            {
                fill(entry, &node.id, at.ip().octets(), at.port());
            }
        }
    }
}

/// A node: an id, an address of `M` bytes and a port in network byte order.
#[inline]
fn fill<const N: usize, const M: usize>(entry: &mut [u8; N], id: &Id, ip: [u8; M], port: u16) {
    if let Some((key, at)) = entry.split_first_chunk_mut()
        && let Some((host, end)) = at.split_first_chunk_mut()
        && let Some(end) = end.first_chunk_mut()
    {
        (*key, *host, *end) = (*id.as_bytes(), ip, port.to_be_bytes());
    }
}

fn values(list: &List<'_, Peer>, out: &mut Writer<'_>) {
    if let Some([entries, _]) = list.compact() {
        if !list.is_empty() {
            out.array(b"6:valuesl");
            out.slice(entries);
            out.array(b"e");
        }
        return;
    }
    let mut read = Vec::new();
    let list = elements(list, &mut read);
    if list.is_empty() {
        return;
    }
    out.array(b"6:valuesl");
    if list.iter().filter(|peer| peer.address.is_ipv4()).count() == list.len() {
        for (entry, peer) in out.entries(list.len()).iter_mut().zip(list) {
            if let SocketAddr::V4(at) = peer.address {
                *entry = string_v4(at);
            }
        }
    } else {
        list.iter().for_each(|peer| address(peer.address, out));
    }
    out.array(b"e");
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
            out.array(&at.ip().octets());
            out.array(&at.port().to_be_bytes());
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

/// `key` is written with its length, which is known when this is compiled.
#[inline]
fn field<const N: usize>(key: &[u8; N], bytes: &[u8], out: &mut Writer<'_>) {
    out.array(key);
    out.string(bytes);
}

#[inline]
fn number<const N: usize>(key: &[u8; N], number: u64, out: &mut Writer<'_>) {
    out.array(key);
    out.integer(number.min(MAX_SEQUENCE));
}

/// Written only if set. `key` has its value behind it.
#[inline]
fn flag<const N: usize>(key: &[u8; N], set: bool, out: &mut Writer<'_>) {
    if set {
        out.array(key);
    }
}

/// `key` has the length of an id behind it.
#[inline]
fn id<const N: usize>(key: &[u8; N], id: Option<&Id>, out: &mut Writer<'_>) {
    if let Some(id) = id {
        out.array(key);
        out.array(id.as_bytes());
    }
}
