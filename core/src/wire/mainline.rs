//! The wire of BitTorrent's Mainline DHT: KRPC over bencode (BEP 5, 32, 33, 43, 44, 51).
//!
//! One dictionary is one datagram: a query (`y` = q) with its arguments in `a`, a response (r) with
//! whatever applies in `r`, or an error (e). Decoding is a single pass without allocation and
//! without context: a response does not say to what it responds, so all fields are looked for.
//!
//! Rules, from the BEPs and from what clients in the field do:
//! - What identifies must be right, or the datagram is malformed: `t`, `y`, ids, targets, keys,
//!   signatures, tokens, values. What only informs is ignored where it is not what it should be:
//!   `v`, `ip`, `ro`, `want`, flags, entries of `values`, node lists that are no multiple of an
//!   entry.
//! - Transaction ids are opaque and echoed as they came; answers with another length than the
//!   asker's get a node blacklisted.
//! - Keys are written in order and read in any; unknown ones are ignored; none is given twice.
//! - A method that is not known keeps its `target` or `info_hash`, so that it can be answered with
//!   contacts and new methods can cross old nodes.
//! - A value under BEP 44 travels as the bytes it was received as and is never encoded again: its
//!   key and its signature are over those bytes. They must be canonical bencode, or other clients
//!   would store something else.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use alloc::vec::Vec;

use super::bencode::Reader;
use super::{Malformed, Message};

pub mod bep33;
pub mod bep42;
pub mod bep44;

pub(super) mod compact;
mod decode;
mod encode;
pub mod magnet;

/// The longest datagram read, in bytes. 1,500 is what a client may send; some sent more when paths
/// allowed it, and refusing a good answer gains nothing.
pub const MAX_DATAGRAM: usize = 8_192;

/// Where the public network can be entered: by name and port, kept by several independent people.
pub const ROUTERS: [&str; 4] = [
    "router.bittorrent.com:6881",
    "dht.transmissionbt.com:6881",
    "dht.libtorrent.org:25401",
    "router.utorrent.com:6881",
];

/// The longest datagram sent, in bytes, unless a value is in it: clients that read no more are in
/// use.
pub const MAX_SENT: usize = 1_024;

/// Peers in one answer at most, beside the nodes: an answer of 28 is some five times as long as its
/// question, and whoever forges the asker's address gains no more than that.
pub const MAX_VALUES: usize = 28;

/// The longest transaction id read, in bytes. Clients send 1 to 20; BEP 5 names no limit. It comes
/// back in our answer, which must stay within a packet.
pub const MAX_TRANSACTION: usize = 128;

/// The longest token read in an answer, in bytes; ours have at most 20. The answer counts without
/// a longer one: its sender cannot be written to.
pub const MAX_TOKEN: usize = 128;

/// The longest interval of BEP 51, in seconds: 6 hours.
pub const MAX_SAMPLE_INTERVAL: u32 = 21_600;

/// The highest sequence number of a signed value: others read it into 64 bits with a sign.
pub const MAX_SEQUENCE: u64 = u64::MAX >> 1;

/// Mainline's wire.
///
/// ```
/// use kadlet_core::Id;
/// use kadlet_core::wire::mainline::Mainline;
/// use kadlet_core::wire::{Body, Message, Method, Query};
///
/// let ping = Message::new(b"aa", Id::new(*b"abcdefghij0123456789"), Body::Query(Query::new(
///     Method::Ping { nonce: None },
/// )));
/// let mut datagram = Vec::new();
/// Mainline.encode(&ping, &mut datagram);
/// assert_eq!(datagram, b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe");
/// assert_eq!(Mainline.decode(&datagram)?, ping);
/// # Ok::<(), kadlet_core::wire::Malformed>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Mainline;

impl Mainline {
    /// Reads one datagram. [`Message::client`] is only read from queries.
    ///
    /// # Errors
    /// Says why it is no message. Whether its sender is told so is for [`Self::query_transaction`].
    #[inline]
    pub fn decode<'a>(&self, datagram: &'a [u8]) -> Result<Message<'a>, Malformed> {
        decode::message(datagram)
    }

    /// Appends one datagram to `out`, which grows at most once.
    ///
    /// What Mainline has no words for is left out: capabilities, cookies, masks, pages, hits. A
    /// number above [`MAX_SEQUENCE`] becomes that, which its signature then does not fit. A query that it does not have asks `find_node` about the same target, or `ping` without one.
    pub fn encode(&self, message: &Message<'_>, out: &mut Vec<u8>) {
        encode::message(message, out);
    }

    /// The transaction id of a datagram that [`Self::decode`] refused, if it was a query all the
    /// same: its sender is waiting and is due an error 203 under this id.
    ///
    /// None for what is no bencode or no dictionary (uTP arrives on the same port), for what has no
    /// `y`, for responses and errors: those are met with silence.
    #[must_use]
    pub fn query_transaction<'a>(&self, datagram: &'a [u8]) -> Option<&'a [u8]> {
        let mut reader = Reader::new(datagram.get(..MAX_DATAGRAM).unwrap_or(datagram));
        reader.dictionary().ok()?;
        let (mut transaction, mut is_query) = (None, false);
        while let Some(key) = reader.key().ok()? {
            match key {
                b"t" => transaction = Some(reader.bytes().ok()?),
                b"y" => is_query = reader.bytes().ok()? == b"q",
                _ => reader.skip().ok()?,
            }
        }
        transaction.filter(|t| is_query && (1..=MAX_TRANSACTION).contains(&t.len()))
    }
}
