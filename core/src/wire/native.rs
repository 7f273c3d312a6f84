//! The native wire, draft 1: a fixed header, and fields that can grow.
//!
//! docs/protocol.md is the specification; what it says is said here once more in code and nothing
//! else is. The header of 44 bytes never changes, so that any version can tell what a datagram is,
//! whose network it belongs to and whom to answer. The body is a sequence of fields (a tag whose
//! lowest bit says "critical", a length, bytes), each encoded as postcard encodes a
//! `(u16, &[u8])`; what is inside a field is postcard too. Unknown fields are skipped, unknown
//! methods keep their target: that is how versions live together.
//!
//! A decoder of strangers' bytes: no input makes it panic, every number has one form, every length
//! is checked, nothing is left over. It knows no policy, only limits.

use alloc::vec::Vec;
use core::fmt;

use super::{
    Body, ErrorCode, Failure, Hit, List, Malformed, Message, Method, NodeInfo, Peer, Query,
    Response,
};
use crate::id::Id;
pub use crate::record::{MAX_ENTRY_EXTRA, MAX_NAME, MAX_SALT, MAX_VALUE};

mod decode;
mod encode;
mod read;
mod write;

/// Bytes in a datagram at most: what IPv6 carries everywhere (1280) less its own header and UDP's.
pub const MAX_DATAGRAM: usize = 1232;
/// Bytes in the header.
pub const HEADER: usize = 44;
/// Bytes in the further words of a search at most.
pub const MAX_WORDS_TEXT: usize = 255;
/// Bytes in a token at most; ours have 8. With more the largest put would not fit.
pub const MAX_TOKEN: usize = 32;
/// Bytes in a signal at most: a stripped SDP has some 300, and twice that after candidates.
pub const MAX_PAYLOAD: usize = 1024;
/// Bytes of an error's text that we write.
pub const MAX_TEXT: usize = 64;

/// Not ASCII, so no bencode; not below 0xC0, so no STUN, DTLS, TURN or RTP on a shared socket
/// (RFC 7983); not what uTP begins with.
const MAGIC: [u8; 3] = [0xfe, b'K', b'd'];
/// 0 is kept for the frozen wire.
const DRAFT: u8 = 1;
/// Makes network ids out of names.
const NETWORK_CONTEXT: &str = "kadlet draft-1 network";

/// What a message is.
mod kind {
    pub(super) const QUERY: u8 = 0;
    pub(super) const RESPONSE: u8 = 1;
    pub(super) const ERROR: u8 = 2;
}

/// Bits of the header's flags.
mod flag {
    /// The sender answers no queries.
    pub(super) const CLIENT: u8 = 1;
    /// Responses: the question was not understood, the answer is that of find_node.
    pub(super) const UNSUPPORTED: u8 = 2;
    /// Responses: shortened, ask again with the cookie.
    pub(super) const SHORT: u8 = 4;
}

/// Numbers of the methods.
mod code {
    pub(super) const PING: u16 = 1;
    pub(super) const FIND_NODE: u16 = 2;
    pub(super) const GET_PROVIDERS: u16 = 3;
    pub(super) const ANNOUNCE: u16 = 4;
    pub(super) const GET: u16 = 5;
    pub(super) const PUT: u16 = 6;
    pub(super) const SEARCH: u16 = 7;
    pub(super) const PUBLISH: u16 = 8;
    pub(super) const SIGNAL: u16 = 9;
    pub(super) const DIAL_BACK: u16 = 10;
    pub(super) const PROBE: u16 = 11;
    /// Mainline's alone so far: kept, and answered like any unknown one.
    pub(super) const SAMPLE_KEYS: u16 = 12;
}

/// Numbers of the fields: one list for all messages. Lists come last, so that they are what is cut
/// when a datagram is full.
mod tag {
    pub(super) const TARGET: u16 = 1;
    pub(super) const CAPABILITIES: u16 = 2;
    pub(super) const COOKIE: u16 = 3;
    pub(super) const OBSERVED: u16 = 4;
    pub(super) const WANT: u16 = 5;
    pub(super) const MASK: u16 = 6;
    pub(super) const TOKEN: u16 = 7;
    pub(super) const PAGE: u16 = 8;
    pub(super) const SEQ: u16 = 9;
    pub(super) const NEWER_THAN: u16 = 10;
    pub(super) const CAS: u16 = 11;
    pub(super) const AGE: u16 = 12;
    pub(super) const LIFETIME: u16 = 13;
    pub(super) const PORT: u16 = 14;
    pub(super) const TRANSPORTS: u16 = 15;
    pub(super) const WORDS: u16 = 16;
    pub(super) const NONCE: u16 = 17;
    pub(super) const ADDRESS: u16 = 18;
    pub(super) const ORIGIN: u16 = 19;
    pub(super) const PAYLOAD: u16 = 20;
    pub(super) const VALUE: u16 = 21;
    pub(super) const SIGNED: u16 = 22;
    pub(super) const ENTRY: u16 = 23;
    pub(super) const ERROR: u16 = 24;
    pub(super) const NODES: u16 = 25;
    pub(super) const PROVIDERS: u16 = 26;
    pub(super) const HITS: u16 = 27;

    /// Tags up to here are known and may stand in a message once.
    pub(super) const LAST_KNOWN: u16 = HITS;

    /// The tags that mean something whatever is asked.
    pub(super) const IN_EVERY_QUERY: u32 =
        bit(TARGET) | bit(CAPABILITIES) | bit(COOKIE) | bit(WANT) | bit(MASK);

    /// A tag's place in a set of known ones; unknown ones have none.
    pub(super) const fn bit(tag: u16) -> u32 {
        if tag <= LAST_KNOWN { 1 << tag } else { 0 }
    }

    /// One of the 1024 tags that will never mean anything: 31, 63, 95 and so on.
    pub(super) const fn reserved(number: u32) -> u16 {
        let [low, high, ..] = number.to_le_bytes();
        u16::from_le_bytes([low, high & 3]) << 5 | 31
    }
}

/// Bytes of a field with `len` bytes inside: tag, length, and those.
const fn field_len(len: usize) -> usize {
    len.saturating_add(if len < 128 { 2 } else { 3 })
}

/// Header, capabilities and cookie: what any message may say.
const ANY: usize = HEADER + field_len(5) + field_len(8);
/// And what any query may say: target, families, mask.
const QUERY: usize = ANY + field_len(Id::LEN) + field_len(1) + field_len(5);
/// Key, signature, sequence number, salt, value with its extra fields.
const SIGNED: usize = field_len(32 + 64 + 10 + (1 + MAX_SALT) + (2 + MAX_VALUE));

// The largest signed put fits, with token, compare-and-swap, age and lifetime,
const _: () = assert!(
    QUERY + field_len(MAX_TOKEN) + field_len(10) + 2 * field_len(5) + SIGNED <= MAX_DATAGRAM
);
// the answer that carries such a value, with the asker's address and any token,
const _: () = assert!(ANY + field_len(19) + field_len(MAX_TOKEN) + SIGNED <= MAX_DATAGRAM);
// the largest search entry,
const _: () = assert!(
    QUERY + field_len(MAX_TOKEN) + field_len((2 + MAX_NAME) + 10 + 32 + MAX_ENTRY_EXTRA)
        <= MAX_DATAGRAM
);
// and the largest signal, with an origin that has an IPv6 address.
const _: () = assert!(QUERY + field_len(Id::LEN + 19 + 5) + field_len(MAX_PAYLOAD) <= MAX_DATAGRAM);

/// The native wire of one network.
///
/// ```
/// use kadlet_core::Id;
/// use kadlet_core::wire::{Body, Message, Method, Query, native::Native};
///
/// let wire = Native::new("example");
/// let ping = Body::Query(Query::new(Method::Ping { nonce: None }));
/// let ping = Message::new(b"12345678", Id::new([7; 20]), ping);
///
/// let mut datagram = Vec::new();
/// wire.encode(&ping, None, &mut datagram);
/// assert_eq!(datagram.len(), 44);
/// assert_eq!(wire.decode(&datagram), Ok(ping));
/// assert!(Native::new("another").decode(&datagram).is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Native {
    /// Magic and network id: how each of its datagrams begins.
    start: [u8; 12],
}

impl Native {
    /// The wire of the network with this name. Networks with different names never merge: each
    /// drops the other's datagrams.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let [m0, m1, m2] = MAGIC;
        let [a, b, c, d, e, f, g, h, ..] = blake3::derive_key(NETWORK_CONTEXT, name.as_bytes());
        Self { start: [m0, m1, m2, DRAFT, a, b, c, d, e, f, g, h] }
    }

    /// The network's id, as it stands in the header of each of its datagrams.
    #[must_use]
    pub const fn network(&self) -> [u8; 8] {
        let [_, _, _, _, network @ ..] = self.start;
        network
    }

    /// Reads one datagram.
    ///
    /// A query whose method is not known, or that has a critical field which is not, becomes
    /// [`Method::Unknown`] with its target: it wants the answer of `FindNode`.
    ///
    /// # Errors
    /// Says why it is none.
    pub fn decode<'a>(&self, datagram: &'a [u8]) -> Result<Message<'a>, Malformed> {
        let (header, fields) = self.header(datagram)?;
        let body = match header.kind {
            kind::QUERY => Body::Query(Query::new(Method::FindNode)),
            kind::RESPONSE => Body::Response(Response {
                method: header.method,
                unsupported: header.flags & flag::UNSUPPORTED != 0,
                short: header.flags & flag::SHORT != 0,
                ..Response::default()
            }),
            kind::ERROR => Body::Error(Failure::new(ErrorCode::Generic)),
            _ => return Err(Malformed::BadField),
        };
        // Filled where it is: a message is large, and moving it costs more than reading it.
        let mut message = Message::new(header.transaction, Id::new(*header.sender), body);
        message.client = header.flags & flag::CLIENT != 0;
        let Message { capabilities, cookie, observed, body, .. } = &mut message;
        let mut common = decode::Common { capabilities, cookie, observed };
        match body {
            Body::Query(query) => decode::query(fields, header.method, query, &mut common)?,
            Body::Response(response) => decode::response(fields, response, &mut common)?,
            Body::Error(failure) => {
                *failure = decode::failure(fields, header.method, &mut common)?;
            }
        }
        Ok(message)
    }

    /// What the frozen header says of a datagram that is no message here: of another network, or of
    /// a draft or version that we do not speak. Whether it is a question, and its transaction.
    #[must_use]
    pub fn foreign<'a>(&self, datagram: &'a [u8]) -> Option<(bool, &'a [u8; 8])> {
        let (start, rest) = datagram.split_first_chunk::<12>()?;
        let ([kind, ..], rest) = rest.split_first_chunk::<4>()?;
        let (transaction, rest) = rest.split_first_chunk::<8>()?;
        let whole = start.starts_with(&MAGIC) && *start != self.start && rest.len() >= Id::LEN;
        whole.then_some((*kind == kind::QUERY, transaction))
    }

    /// Appends one datagram to `out`. `grease` adds a field with one of the reserved tags, chosen
    /// by the number, if there is room.
    ///
    /// Lists are cut at what fits into [`MAX_DATAGRAM`]; who wants to page asks
    /// [`Native::fit_nodes`] and its like before. A message whose other parts exceed their limits
    /// is not written (and is a bug of the caller's, asserted in debug builds). The transaction is
    /// its first 8 bytes.
    pub fn encode(&self, message: &Message<'_>, grease: Option<u32>, out: &mut Vec<u8>) {
        self.write(message, grease, out);
    }

    /// How many bytes [`Native::encode`] appends for this message, without grease.
    #[must_use]
    pub fn encoded_len(&self, message: &Message<'_>) -> usize {
        self.count(message)
    }

    /// How many of the first `nodes` fit into `room` bytes, added to an answer without nodes.
    #[must_use]
    pub fn fit_nodes(nodes: &[NodeInfo], room: usize) -> usize {
        write::fit(&List::new(nodes), tag::NODES, room).0
    }

    /// How many of the first `peers` fit into `room` bytes, added to an answer without providers.
    #[must_use]
    pub fn fit_peers(peers: &[Peer], room: usize) -> usize {
        write::fit(&List::new(peers), tag::PROVIDERS, room).0
    }

    /// How many of the first `hits` fit into `room` bytes, added to an answer without hits.
    #[must_use]
    pub fn fit_hits(hits: &[Hit<'_>], room: usize) -> usize {
        write::fit(&List::new(hits), tag::HITS, room).0
    }

    /// One of the 1024 methods that will never mean anything, chosen by `number`: 31, 63 and so
    /// on. Sent now and then, with a target, so that nobody forgets to answer unknown ones.
    #[must_use]
    pub const fn reserved_method(number: u32) -> u16 {
        tag::reserved(number)
    }

    fn header<'a>(&self, datagram: &'a [u8]) -> Result<(Header<'a>, &'a [u8]), Malformed> {
        let Some((start, rest)) = datagram.split_first_chunk::<12>() else {
            return Err(self.not_ours(datagram));
        };
        if *start != self.start {
            return Err(self.not_ours(datagram));
        }
        if datagram.len() > MAX_DATAGRAM {
            return Err(Malformed::TooLong);
        }
        let short = Malformed::Truncated;
        let ([kind, flags, high, low], rest) = rest.split_first_chunk().ok_or(short)?;
        let (transaction, rest) = rest.split_first_chunk::<8>().ok_or(short)?;
        let (sender, body) = rest.split_first_chunk().ok_or(short)?;
        let method = u16::from_be_bytes([*high, *low]);
        Ok((Header { kind: *kind, flags: *flags, method, transaction, sender }, body))
    }

    /// What is wrong with the start of a datagram that does not begin like ours.
    #[cold]
    fn not_ours(&self, datagram: &[u8]) -> Malformed {
        match datagram.split_first_chunk() {
            Some((magic, _)) if *magic != MAGIC => Malformed::NotOurs,
            None => Malformed::NotOurs,
            Some((_, [draft, ..])) if *draft != DRAFT => Malformed::OtherVersion,
            Some((_, rest)) if rest.len() < 9 => Malformed::Truncated,
            Some(_) => Malformed::OtherNetwork,
        }
    }
}

/// The header, behind magic and network.
struct Header<'a> {
    kind: u8,
    flags: u8,
    method: u16,
    transaction: &'a [u8; 8],
    sender: &'a [u8; Id::LEN],
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, _, _, draft, network @ ..] = self.start;
        let network = u64::from_be_bytes(network);
        write!(f, "Native {{ draft: {draft}, network: {network:016x} }}")
    }
}

impl Method<'_> {
    /// The method's number on the native wire, which answers repeat.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Ping { .. } => code::PING,
            Self::FindNode => code::FIND_NODE,
            Self::GetProviders { .. } => code::GET_PROVIDERS,
            Self::Announce { .. } => code::ANNOUNCE,
            Self::Get { .. } => code::GET,
            Self::Put { .. } => code::PUT,
            Self::Search { .. } => code::SEARCH,
            Self::Publish { .. } => code::PUBLISH,
            Self::Signal { .. } => code::SIGNAL,
            Self::DialBack { .. } => code::DIAL_BACK,
            Self::Probe { .. } => code::PROBE,
            Self::SampleKeys => code::SAMPLE_KEYS,
            Self::Unknown { code, .. } => *code,
        }
    }
}
