//! Messages: what a datagram says, whichever wire it came by.
//!
//! Bytes become a typed [`Message`] once, and nobody looks at bytes again. The types here are what
//! the native wire and the Mainline wire have in common with each other's extras made optional;
//! the node's table, lookups, tokens and store work on them and never ask which wire it was.
//! This module knows no policy: what is well-formed is decided here, what is wise is not.
//!
//! Everything borrows. A decoded list is a validated run of bytes that is read when iterated; an
//! outgoing list is a slice. Both are the same type, so that `decode(encode(m)) == m` can be said.

// What is read here was written by strangers.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use core::fmt;
use core::net::SocketAddr;

use crate::contact::{Capabilities, Families};
use crate::id::Id;

#[cfg(feature = "mainline")]
pub mod bencode;
mod language;
mod list;
#[cfg(feature = "mainline")]
pub mod mainline;
pub mod native;

pub use language::Wire;
pub use list::{Element, Hit, Iter, List, NodeInfo, Peer};

/// One datagram's content.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Message<'a> {
    /// Chosen by the asker, echoed byte for byte: 1 to 20 bytes (8 on the native wire).
    pub transaction: &'a [u8],
    /// The sender's id; absent only in Mainline's errors.
    pub sender: Option<Id>,
    /// The sender answers no queries and wants to be in nobody's table (BEP 43 `ro`).
    pub client: bool,
    /// What the sender says it can do; on the native wire nothing and none are the same.
    pub capabilities: Option<Capabilities>,
    /// In a query: a cookie the asked node gave out before, proof that its answers arrive here.
    /// In a response: the cookie to show next time.
    pub cookie: Option<[u8; 8]>,
    /// In a response: the asker's address as the answerer saw it.
    pub observed: Option<SocketAddr>,
    /// Mainline: the sender's program and its version (`v`), bytes that mean nothing to others.
    pub version: Option<&'a [u8]>,
    /// What is asked or said.
    pub body: Body<'a>,
}

impl<'a> Message<'a> {
    /// A message of which only the necessary is said.
    #[must_use]
    pub const fn new(transaction: &'a [u8], sender: Id, body: Body<'a>) -> Self {
        Self {
            transaction,
            sender: Some(sender),
            client: false,
            capabilities: None,
            cookie: None,
            observed: None,
            version: None,
            body,
        }
    }
}

/// The three kinds of message.
#[derive(Clone, PartialEq, Debug)]
pub enum Body<'a> {
    /// Wants an answer.
    Query(Query<'a>),
    /// An answer.
    Response(Response<'a>),
    /// An answer too: why there is no better one.
    Error(Failure<'a>),
}

/// A question, and what every find-style question may carry.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Query<'a> {
    /// What is asked.
    pub method: Method<'a>,
    /// The point of the space it is about. Tag 1, for ever: whoever does not know the method
    /// answers with the contacts closest to it.
    pub target: Option<Id>,
    /// Families of the contacts wanted; none given means the family of the packet.
    pub want: Families,
    /// Only contacts that declared all of these bits are wanted in the answer.
    pub mask: Capabilities,
}

impl<'a> Query<'a> {
    /// A question without a target.
    #[must_use]
    pub const fn new(method: Method<'a>) -> Self {
        Self { method, target: None, want: Families::NONE, mask: Capabilities::NONE }
    }

    /// A question about `target`.
    #[must_use]
    pub const fn about(target: Id, method: Method<'a>) -> Self {
        Self { method, target: Some(target), want: Families::NONE, mask: Capabilities::NONE }
    }
}

/// What can be asked.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Method<'a> {
    /// Are you there?
    Ping {
        /// Set by a third node that was asked to show us that we are reachable: the number that we
        /// gave to the node which asked it.
        nonce: Option<u64>,
    },
    /// The contacts closest to the target.
    FindNode,
    /// Who has the content? With the closest contacts and a write token.
    GetProviders {
        /// Where to go on in a long list; 0 at first.
        page: u32,
        /// Mainline: answer with the filters of BEP 33 instead.
        scrape: bool,
        /// Mainline: leave seeds out (BEP 33).
        no_seeds: bool,
    },
    /// The sender has the content.
    Announce {
        /// From this node's answer to `GetProviders`.
        token: &'a [u8],
        /// The port to fetch from; none: the port of this datagram.
        port: Option<u16>,
        /// Mainline: the port of this datagram counts and not `port`, which is there for those who
        /// do not know the flag.
        implied_port: bool,
        /// How it can be fetched (native).
        transports: u8,
        /// Mainline: the sender is complete (BEP 33).
        seed: bool,
    },
    /// The value under a key, with the closest contacts and a write token.
    Get {
        /// Signed values: only if the stored sequence number is greater.
        newer_than: Option<u64>,
    },
    /// Keep this value.
    Put {
        /// From this node's answer to `Get`.
        token: &'a [u8],
        /// The value.
        item: Item<'a>,
        /// Signed values: only if the stored sequence number is this.
        cas: Option<u64>,
        /// Seconds since its publisher last published it: a holder that hands a value on does not
        /// make it younger.
        age: u32,
        /// Seconds it may be kept, for the copy on a lookup's path; none: the type's lifetime.
        lifetime: Option<u32>,
    },
    /// Search entries under a keyword's key, with the closest contacts and a write token.
    Search {
        /// Further words, separated by one space, which the names must carry as well.
        words: &'a str,
        /// Where to go on in a long list; 0 at first.
        page: u32,
    },
    /// Keep this search entry under the target, the key of one of its words.
    Publish {
        /// From this node's answer to `Search`.
        token: &'a [u8],
        /// The entry.
        entry: Hit<'a>,
    },
    /// A few hundred bytes for the node with the target as its id (WebRTC signalling).
    Signal {
        /// Who sends it: the address is filled in by the node that hands it on.
        origin: Option<NodeInfo>,
        /// What it says; the core does not read it.
        payload: &'a [u8],
    },
    /// Have a node that I never contacted ping me with this nonce.
    DialBack {
        /// Shows the asker that the ping was asked for by it.
        nonce: u64,
    },
    /// Ping this address with this nonce: the second leg of `DialBack`.
    Probe {
        /// Whom to ping.
        address: SocketAddr,
        /// What to put into the ping.
        nonce: u64,
    },
    /// Mainline: a sample of the keys held (BEP 51).
    SampleKeys,
    /// A method of a later version.
    Unknown {
        /// Its number (native), or 0 where the wire names methods in words.
        code: u16,
        /// Its name, where the wire has one.
        name: &'a [u8],
    },
}

/// A value as it travels.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Item<'a> {
    /// Its key is its hash.
    Immutable(&'a [u8]),
    /// Its key is the hash of public key and salt.
    Signed(SignedItem<'a>),
}

/// A signed value as it travels; whether the signature is right has not been looked at.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct SignedItem<'a> {
    /// ed25519 public key.
    pub public_key: &'a [u8; 32],
    /// At most 64 bytes; Mainline does not repeat it in answers.
    pub salt: &'a [u8],
    /// Sequence number.
    pub seq: u64,
    /// The value.
    pub value: &'a [u8],
    /// Fields of later versions, byte for byte, covered by the signature.
    pub extra: &'a [u8],
    /// ed25519 signature.
    pub signature: &'a [u8; 64],
}

impl<'a> SignedItem<'a> {
    /// A signed value without salt and extra fields.
    #[must_use]
    pub const fn new(
        public_key: &'a [u8; 32],
        seq: u64,
        value: &'a [u8],
        signature: &'a [u8; 64],
    ) -> Self {
        Self { public_key, salt: &[], seq, value, extra: &[], signature }
    }
}

/// An answer: whatever of it applies.
#[derive(Clone, PartialEq, Default, Debug)]
#[non_exhaustive]
pub struct Response<'a> {
    /// What was asked, in the numbers of [`Method::code`]; 0 where the wire does not say.
    pub method: u16,
    /// Contacts close to the target, both families in one list.
    pub nodes: List<'a, NodeInfo>,
    /// Mainline: the families whose contacts were asked for. Their list is sent even if it is
    /// empty: some clients do not bootstrap from an answer without the key.
    pub listed: Families,
    /// To show with a store: at most 20 bytes from us, up to 128 accepted.
    pub token: Option<&'a [u8]>,
    /// Who has the content.
    pub providers: List<'a, Peer>,
    /// The value.
    pub item: Option<Item<'a>>,
    /// The stored sequence number, where the value itself was not wanted.
    pub seq: Option<u64>,
    /// Mainline: the addresses of those who are complete, as a Bloom filter (BEP 33 `BFsd`).
    pub seed_filter: Option<&'a [u8; 256]>,
    /// Mainline: the addresses of those who are not, likewise (`BFpe`).
    pub peer_filter: Option<&'a [u8; 256]>,
    /// Mainline: some of the keys held (BEP 51).
    pub samples: Option<Samples<'a>>,
    /// Search entries.
    pub hits: List<'a, Hit<'a>>,
    /// What to ask for next, where a list was too long for one datagram.
    pub next_page: Option<u32>,
    /// The method was not known; the answer is that of `FindNode`.
    pub unsupported: bool,
    /// Shortened, because the asker's address has not shown that it receives our answers: ask
    /// again with the cookie.
    pub short: bool,
}

/// Some of the keys that a node holds providers of (BEP 51).
#[derive(Clone, PartialEq, Debug)]
pub struct Samples<'a> {
    /// The keys, drawn at random.
    pub keys: List<'a, Id>,
    /// How many keys are held in all.
    pub total: u64,
    /// Seconds until another sample is drawn: 0 to 21,600.
    pub interval: u32,
}

/// Why there is no better answer.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Failure<'a> {
    /// What was asked, in the numbers of [`Method::code`]; 0 where the wire does not say.
    pub method: u16,
    /// The reason.
    pub code: ErrorCode,
    /// For people; at most 64 bytes from us.
    pub text: &'a str,
    /// With `CasMismatch` and `StaleSequence`: the number that is stored (native).
    pub seq: Option<u64>,
}

impl<'a> Failure<'a> {
    /// A failure with the usual text of its code.
    #[must_use]
    pub const fn new(code: ErrorCode) -> Failure<'static> {
        Failure { method: 0, code, text: code.text(), seq: None }
    }
}

/// Reasons, with the numbers of BEP 5 and BEP 44 where those have one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorCode {
    /// 201: something else.
    Generic,
    /// 202: the answerer's own trouble.
    Server,
    /// 203: the query is not what the protocol says, or its token is not good.
    Protocol,
    /// 204: a method that is not known and has no target.
    UnknownMethod,
    /// 205: a value over the limit.
    ValueTooLarge,
    /// 206: a signature that does not verify.
    BadSignature,
    /// 207: a salt over the limit.
    SaltTooLarge,
    /// 301: the stored sequence number is not the one named.
    CasMismatch,
    /// 302: the stored sequence number is greater, or equal with another value.
    StaleSequence,
    /// 401: a token that is not ours or too old: ask for a new one (native).
    BadToken,
    /// 402: no room for records of this source (native).
    NoRoom,
    /// A number of a later version.
    Other(u16),
}

impl ErrorCode {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Generic => 201,
            Self::Server => 202,
            Self::Protocol => 203,
            Self::UnknownMethod => 204,
            Self::ValueTooLarge => 205,
            Self::BadSignature => 206,
            Self::SaltTooLarge => 207,
            Self::CasMismatch => 301,
            Self::StaleSequence => 302,
            Self::BadToken => 401,
            Self::NoRoom => 402,
            Self::Other(number) => number,
        }
    }

    /// The reason with this number.
    #[must_use]
    pub const fn from_number(number: u16) -> Self {
        match number {
            201 => Self::Generic,
            202 => Self::Server,
            203 => Self::Protocol,
            204 => Self::UnknownMethod,
            205 => Self::ValueTooLarge,
            206 => Self::BadSignature,
            207 => Self::SaltTooLarge,
            301 => Self::CasMismatch,
            302 => Self::StaleSequence,
            401 => Self::BadToken,
            402 => Self::NoRoom,
            other => Self::Other(other),
        }
    }

    /// The usual text.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Generic | Self::Other(_) => "error",
            Self::Server => "server error",
            Self::Protocol => "protocol error",
            Self::UnknownMethod => "unknown method",
            Self::ValueTooLarge => "value too large",
            Self::BadSignature => "bad signature",
            Self::SaltTooLarge => "salt too large",
            Self::CasMismatch => "compare-and-swap mismatch",
            Self::StaleSequence => "sequence number not newer",
            Self::BadToken => "bad token",
            Self::NoRoom => "no room",
        }
    }
}

/// Why a datagram is no message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Malformed {
    /// Does not begin like this wire: something else speaks on this port.
    NotOurs,
    /// The native wire in another draft or version.
    OtherVersion,
    /// The native wire of a network with another name.
    OtherNetwork,
    /// Longer than any datagram may be.
    TooLong,
    /// Ends in the middle of something, or something in it says that it is longer than it is.
    Truncated,
    /// Goes on after its end.
    Trailing,
    /// A number in more bytes than it needs, or out of its range.
    BadNumber,
    /// Something that must be there is not.
    Missing,
    /// Something has another type or length than it must have.
    BadField,
    /// The same thing twice.
    Duplicate,
    /// Nested deeper than anything needs.
    TooDeep,
    /// A field of a later version that must be understood, and is not.
    Critical,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOurs => "not a datagram of this protocol",
            Self::OtherVersion => "another draft of this protocol",
            Self::OtherNetwork => "a network with another name",
            Self::TooLong => "longer than a datagram may be",
            Self::Truncated => "truncated",
            Self::Trailing => "bytes after the end",
            Self::BadNumber => "a number out of range or in too many bytes",
            Self::Missing => "a field is missing",
            Self::BadField => "a field of the wrong type or length",
            Self::Duplicate => "a field twice",
            Self::TooDeep => "nested too deeply",
            Self::Critical => "a critical field of a later version",
        })
    }
}

impl core::error::Error for Malformed {}
