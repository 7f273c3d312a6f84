//! Which wire a node speaks, and what it says of itself: the node asks here instead of asking which
//! one it is.

use alloc::vec::Vec;
#[cfg(feature = "mainline")]
use core::net::SocketAddr;

#[cfg(feature = "mainline")]
use super::mainline;
use super::{ErrorCode, Hit, Malformed, Message, NodeInfo, Peer, native};
#[cfg(feature = "mainline")]
use crate::id::Id;
use crate::record::Form;

/// Which language a node speaks.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Wire {
    /// Kadlet's own: postcard inside numbered fields (docs/protocol.md).
    Native(native::Native),
    /// BitTorrent's Mainline DHT: KRPC (BEP 5 and its extensions).
    #[cfg(feature = "mainline")]
    Mainline(mainline::Mainline),
}

impl Wire {
    /// Reads one datagram.
    ///
    /// # Errors
    /// Says why it is none; nothing of it is used then.
    pub fn decode<'a>(&self, datagram: &'a [u8]) -> Result<Message<'a>, Malformed> {
        match self {
            Self::Native(native) => native.decode(datagram),
            #[cfg(feature = "mainline")]
            Self::Mainline(mainline) => mainline.decode(datagram),
        }
    }

    /// What the header says of a datagram that is no message here, because it is of another network
    /// or version: whether it is a question, and its transaction.
    #[must_use]
    pub fn foreign<'a>(&self, datagram: &'a [u8]) -> Option<(bool, &'a [u8])> {
        match self {
            Self::Native(native) => native
                .foreign(datagram)
                .map(|(is_query, transaction)| (is_query, transaction.as_slice())),
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => None,
        }
    }

    /// Appends one datagram to `out`. `grease` adds a field that nobody knows, so that nobody
    /// forgets to ignore those.
    pub fn encode(&self, message: &Message<'_>, grease: Option<u32>, out: &mut Vec<u8>) {
        match self {
            Self::Native(native) => native.encode(message, grease, out),
            // Whether others ignore what they do not know is not tried out on a public network.
            #[cfg(feature = "mainline")]
            Self::Mainline(mainline) => mainline.encode(message, out),
        }
    }

    /// How many bytes [`Wire::encode`] appends for this message.
    #[must_use]
    pub fn encoded_len(&self, message: &Message<'_>) -> usize {
        match self {
            Self::Native(native) => native.encoded_len(message),
            #[cfg(feature = "mainline")]
            Self::Mainline(mainline) => {
                let mut datagram = Vec::new();
                mainline.encode(message, &mut datagram);
                datagram.len()
            }
        }
    }

    /// How many of the first `nodes` fit into `room` bytes, added to an answer without nodes.
    #[must_use]
    pub fn fit_nodes(&self, nodes: &[NodeInfo], room: usize) -> usize {
        match self {
            Self::Native(_) => native::Native::fit_nodes(nodes, room),
            // Both keys, `5:nodes` and `6:nodes6`, with a length of up to four digits.
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => {
                fit(room, 25, nodes.iter().map(|n| compact(&n.address).saturating_add(Id::LEN)))
            }
        }
    }

    /// How many of the first `peers` fit into `room` bytes, added to an answer without providers.
    #[must_use]
    pub fn fit_peers(&self, peers: &[Peer], room: usize) -> usize {
        match self {
            Self::Native(_) => native::Native::fit_peers(peers, room),
            // `6:values` and a list of strings: `6:` or `18:` each.
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => {
                let lengths = peers.iter().map(|p| compact(&p.address).saturating_add(3));
                fit(room, 10, lengths.take(mainline::MAX_VALUES))
            }
        }
    }

    /// How many of the first `hits` fit into `room` bytes, added to an answer without hits.
    #[must_use]
    pub fn fit_hits(&self, hits: &[Hit<'_>], room: usize) -> usize {
        match self {
            Self::Native(_) => native::Native::fit_hits(hits, room),
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => 0,
        }
    }

    /// How values are written in its networks.
    #[must_use]
    pub const fn form(&self) -> Form {
        match self {
            Self::Native(_) => Form::Native,
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => Form::Bencode,
        }
    }

    /// The longest datagram that is sent, in bytes, values aside: what is left of them after a
    /// value of Mainline (BEP 44, 1,000 bytes) has no room for more.
    #[must_use]
    pub const fn max_datagram(&self) -> usize {
        match self {
            Self::Native(_) => native::MAX_DATAGRAM,
            // Clients that read no more are in use.
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => mainline::MAX_SENT,
        }
    }

    /// The transaction id of a datagram that [`Wire::decode`] refused and whose sender is waiting for
    /// an answer all the same: it is due an error. On the native wire nobody is.
    #[must_use]
    pub fn waiting<'a>(&self, datagram: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Native(_) => {
                let _ = datagram;
                None
            }
            #[cfg(feature = "mainline")]
            Self::Mainline(mainline) => mainline.query_transaction(datagram),
        }
    }

    /// The reason as this wire says it.
    #[must_use]
    pub const fn error_code(&self, code: ErrorCode) -> ErrorCode {
        match (self, code) {
            #[cfg(feature = "mainline")]
            (Self::Mainline(_), ErrorCode::BadToken) => ErrorCode::Protocol,
            #[cfg(feature = "mainline")]
            (Self::Mainline(_), ErrorCode::NoRoom) => ErrorCode::Server,
            _ => code,
        }
    }

    /// Whether a signature is judged before the sequence number: BEP 44 names the order. Otherwise
    /// the number is, which costs nothing.
    #[must_use]
    pub const fn judges_signatures_first(&self) -> bool {
        match self {
            Self::Native(_) => false,
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => true,
        }
    }

    /// Whether a silent question may be sent again: BEP 5 knows no retransmission.
    #[must_use]
    pub const fn repeats(&self) -> bool {
        match self {
            Self::Native(_) => true,
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => false,
        }
    }

    /// Whether an address can show with its question that it receives our datagrams.
    #[must_use]
    pub const fn has_cookies(&self) -> bool {
        match self {
            Self::Native(_) => true,
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => false,
        }
    }

    /// The highest sequence number of a signed value: bencode's integers have a sign.
    #[must_use]
    pub const fn max_sequence(&self) -> u64 {
        match self {
            Self::Native(_) => u64::MAX,
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => mainline::MAX_SEQUENCE,
        }
    }

    /// Whether beside a value all contacts of IPv6 are left out before one of IPv4 is: how Mainline
    /// makes room for BEP 44.
    #[must_use]
    pub const fn ipv6_gives_way_to_values(&self) -> bool {
        match self {
            Self::Native(_) => false,
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => true,
        }
    }

    /// Whether a contact can be asked to have a third node ping us.
    #[must_use]
    pub const fn dials_back(&self) -> bool {
        match self {
            Self::Native(_) => true,
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => false,
        }
    }

    /// Whether a client answers what it is asked. A read-only node of BEP 43 does not: whoever did
    /// would be taken for one that stays.
    #[must_use]
    pub const fn clients_answer(&self) -> bool {
        match self {
            Self::Native(_) => true,
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => false,
        }
    }

    /// Whether nodes say what they can do, so that one can look for those that can.
    #[must_use]
    pub const fn has_capabilities(&self) -> bool {
        match self {
            Self::Native(_) => true,
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => false,
        }
    }

    /// Which network speaks it, in eight bytes.
    #[must_use]
    pub const fn network(&self) -> [u8; 8] {
        match self {
            Self::Native(native) => native.network(),
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => *b"mainline",
        }
    }

    /// Whether a list is told page by page.
    #[must_use]
    pub const fn has_pages(&self) -> bool {
        match self {
            Self::Native(_) => true,
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => false,
        }
    }

    /// How many bytes our own transaction ids have.
    #[must_use]
    pub const fn transaction_bytes(&self) -> usize {
        match self {
            Self::Native(_) => 8,
            // Some clients drop any other length.
            #[cfg(feature = "mainline")]
            Self::Mainline(_) => 4,
        }
    }
}

/// How many elements fit into what is left of `room` behind what surrounds them.
#[cfg(feature = "mainline")]
fn fit(room: usize, around: usize, lengths: impl Iterator<Item = usize>) -> usize {
    let sums = lengths.scan(around, |sum, length| {
        *sum = sum.saturating_add(length);
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= room).count()
}

/// Bytes of a compact address (BEP 5, BEP 32).
#[cfg(feature = "mainline")]
const fn compact(address: &SocketAddr) -> usize {
    match address {
        SocketAddr::V4(_) => 6,
        SocketAddr::V6(_) => 18,
    }
}
