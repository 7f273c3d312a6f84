//! Responses written.
//!
//! Their addresses are of IPv4 alone, nearly always. To make sure of it would be another walk over
//! fifty peers, so it is taken for granted, and a response where it was wrong is written anew.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{SIGNED_FRAME, address, number, observed, string_v4, tail, tail_bound};
use crate::contact::{Families, Family};
use crate::id::Id;
use crate::wire::bencode::{Writer, write_parts};
use crate::wire::{Item, List, Message, NodeInfo, Peer, Response, Samples};

/// A response's bytes besides nodes, samples, values, a token, filters, keys and the tail: 123.
const RESPONSE_FRAME: usize = 128;

/// The bytes of samples besides the keys: 72.
const SAMPLES_FRAME: usize = 80;

/// The bytes of both filters and their keys.
const FILTERS: usize = 536;

/// Whether there is an address longer than IPv4's, as far as a glance shows.
pub(super) fn may_be_long(response: &Response<'_>) -> bool {
    let peers = &response.providers;
    response.listed.contains(Family::V6)
        || peers.as_slice().is_some_and(|it| it.first().is_some_and(|it| it.address.is_ipv6()))
}

/// Says whether all could be written: `any` makes room for addresses of any family.
#[inline(never)]
pub(super) fn write(
    message: &Message<'_>,
    response: &Response<'_>,
    any: bool,
    out: &mut Vec<u8>,
) -> bool {
    let (signed, value) = match &response.item {
        Some(Item::Signed(item)) => (Some(item), Some(item.value)),
        Some(Item::Immutable(value)) => (None, Some(*value)),
        None => (None, None),
    };
    let nodes = Counted::of(&response.nodes, any);
    let mut before = RESPONSE_FRAME
        .saturating_add(nodes.v4.saturating_mul(26))
        .saturating_add(nodes.v6.saturating_mul(38))
        .saturating_add(response.token.map_or(0, <[u8]>::len));
    if signed.is_some() {
        before = before.saturating_add(SIGNED_FRAME);
    }
    if let Some(samples) = &response.samples {
        let keys = samples.keys.len().saturating_mul(Id::LEN);
        before = before.saturating_add(keys).saturating_add(SAMPLES_FRAME);
    }
    if response.peer_filter.is_some() || response.seed_filter.is_some() {
        before = before.saturating_add(FILTERS);
    }
    let after = values_bound(&response.providers, any).saturating_add(tail_bound(message));
    write_parts(
        out,
        (before, |out| write_fields(message, response, &nodes, out)),
        value,
        (after, |out| write_end(message, response, any, out)),
    )
}

/// All that stands before a value.
#[inline(never)]
fn write_fields<'o>(
    message: &Message<'_>,
    response: &Response<'_>,
    counted: &Counted,
    mut out: Writer<'o>,
) -> Option<Writer<'o>> {
    match message.observed {
        None => out.array(b"d1:rd"),
        Some(SocketAddr::V4(at)) => {
            out.arrays(b"d2:ip", &string_v4(at));
            out.array(b"1:rd");
        }
        seen => out.aside(|out| {
            out.array(b"d");
            observed(seen, out);
            out.array(b"1:rd");
        }),
    }
    if response.peer_filter.is_some() || response.seed_filter.is_some() {
        out.aside(|out| {
            filter(b"4:BFpe256:", response.peer_filter, out);
            filter(b"4:BFsd256:", response.seed_filter, out);
        });
    }
    out.arrays(b"2:id20:", message.sender.unwrap_or_default().as_bytes());
    let samples = response.samples.as_ref();
    if let Some(Samples { interval, .. }) = samples {
        out.aside(|out| number(b"8:interval", u64::from(*interval), out));
    }
    let signed = match &response.item {
        Some(Item::Signed(item)) => Some(item),
        _ => None,
    };
    if let Some(item) = signed {
        out.arrays(b"1:k32:", item.public_key);
    }
    let complete = nodes(&response.nodes, response.listed, counted, &mut out);
    if let Some(samples) = samples {
        out.aside(|out| write_samples(samples, out));
    }
    if let Some(seq) = signed.map(|item| item.seq).or(response.seq) {
        number(b"3:seq", seq, &mut out);
    }
    if let Some(item) = signed {
        out.arrays(b"3:sig64:", item.signature);
    }
    if let Some(token) = response.token {
        out.field(b"5:token", token);
    }
    if response.item.is_some() {
        out.array(b"1:v");
    }
    complete.then_some(out)
}

/// All that stands behind a value.
#[inline(never)]
fn write_end<'o>(
    message: &Message<'_>,
    response: &Response<'_>,
    any: bool,
    mut out: Writer<'o>,
) -> Option<Writer<'o>> {
    let complete = values(&response.providers, any, &mut out);
    out.array(b"e");
    tail(message, b"1:y1:re", &mut out);
    complete.then_some(out)
}

/// How many nodes of either family.
struct Counted {
    v4: usize,
    v6: usize,
}

impl Counted {
    #[inline(always)]
    fn of(list: &List<'_, NodeInfo>, any: bool) -> Self {
        if let Some([v4, v6]) = list.compact() {
            // Whole entries or not: they are written as they came.
            return Self { v4: v4.len().div_ceil(26), v6: v6.len().div_ceil(38) };
        }
        match list.as_slice() {
            Some(list) if !any => Self { v4: list.len(), v6: 0 },
            _ => Self::each(list),
        }
    }

    #[inline(never)]
    fn each(list: &List<'_, NodeInfo>) -> Self {
        let v4 = list.iter().filter(|node| node.address.is_ipv4()).count();
        Self { v4, v6: list.len().saturating_sub(v4) }
    }
}

/// `nodes` and `nodes6`, as they came or put together. Says whether all could be written.
#[inline(always)]
fn nodes(
    list: &List<'_, NodeInfo>,
    listed: Families,
    counted: &Counted,
    out: &mut Writer<'_>,
) -> bool {
    let Counted { v4, v6 } = *counted;
    let mut complete = true;
    match list.as_slice() {
        Some(list) if v6 == 0 => {
            if listed.contains(Family::V4) || v4 > 0 {
                out.array(b"5:nodes");
                out.length(v4.saturating_mul(26));
                for (entry, node) in out.entries::<26>(v4).iter_mut().zip(list) {
                    match &node.address {
                        SocketAddr::V4(at) => fill(entry, &node.id, at.ip().octets(), at.port()),
                        SocketAddr::V6(_) => complete = false,
                    }
                }
            }
            if listed.contains(Family::V6) {
                out.array(b"6:nodes60:");
            }
        }
        _ => out.aside(|out| nodes_of_both(list, listed, counted, out)),
    }
    complete
}

#[inline(never)]
fn nodes_of_both(
    list: &List<'_, NodeInfo>,
    listed: Families,
    counted: &Counted,
    out: &mut Writer<'_>,
) {
    let compact = list.compact();
    let Counted { v4, v6 } = *counted;
    if listed.contains(Family::V4) || v4 > 0 {
        out.array(b"5:nodes");
        match compact {
            Some([nodes, _]) => out.string(nodes),
            None => {
                out.length(v4.saturating_mul(26));
                let mut entries = out.entries::<26>(v4).iter_mut();
                list.iter().for_each(|node| {
                    if let SocketAddr::V4(at) = node.address
                        && let Some(entry) = entries.next()
                    {
                        fill(entry, &node.id, at.ip().octets(), at.port());
                    }
                });
            }
        }
    }
    if listed.contains(Family::V6) || v6 > 0 {
        out.array(b"6:nodes6");
        match compact {
            Some([_, nodes]) => out.string(nodes),
            None => {
                out.length(v6.saturating_mul(38));
                let mut entries = out.entries::<38>(v6).iter_mut();
                list.iter().for_each(|node| {
                    if let SocketAddr::V6(at) = node.address
                        && let Some(entry) = entries.next()
                    {
                        fill(entry, &node.id, at.ip().octets(), at.port());
                    }
                });
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

fn write_samples(samples: &Samples<'_>, out: &mut Writer<'_>) {
    number(b"3:num", samples.total, out);
    out.array(b"7:samples");
    match samples.keys.compact() {
        Some([entries, _]) => out.string(entries),
        None => {
            out.length(samples.keys.len().saturating_mul(Id::LEN));
            samples.keys.iter().for_each(|key| out.array(key.as_bytes()));
        }
    }
}

fn values_bound(list: &List<'_, Peer>, any: bool) -> usize {
    match (list.as_slice(), list.compact()) {
        // With the length of a run.
        (_, Some([entries, run])) => entries.len().saturating_add(run.len()).saturating_add(8),
        (Some(list), _) if !any => list.len().saturating_mul(8),
        _ => list.len().saturating_mul(21),
    }
}

/// Says whether all could be written.
#[inline(always)]
fn values(list: &List<'_, Peer>, any: bool, out: &mut Writer<'_>) -> bool {
    let mut complete = true;
    match list.as_slice() {
        Some([]) => {}
        Some(list) if !any => {
            out.array(b"6:valuesl");
            for (entry, peer) in out.entries(list.len()).iter_mut().zip(list) {
                match peer.address {
                    SocketAddr::V4(at) => *entry = string_v4(at),
                    SocketAddr::V6(_) => complete = false,
                }
            }
            out.array(b"e");
        }
        _ => out.aside(|out| values_of_both(list, out)),
    }
    complete
}

#[inline(never)]
fn values_of_both(list: &List<'_, Peer>, out: &mut Writer<'_>) {
    if list.is_empty() {
        return;
    }
    out.array(b"6:valuesl");
    match list.compact() {
        Some([entries, []]) => out.slice(entries),
        Some([_, run]) => out.string(run),
        None => list.iter().for_each(|peer| address(peer.address, out)),
    }
    out.array(b"e");
}

fn filter<const N: usize>(key: &[u8; N], filter: Option<&[u8; 256]>, out: &mut Writer<'_>) {
    if let Some(filter) = filter {
        out.arrays(key, filter);
    }
}
