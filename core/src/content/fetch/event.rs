//! What a fetch asks of its host and tells it.

use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::ops::Range;

use super::super::ListError;

/// Names one request of one fetch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// Something to ask a provider for.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "a request that is not made is only given to others when it times out"]
pub struct Request {
    /// Names the request in what the host says of it.
    pub id: RequestId,
    /// Whom to ask.
    pub provider: SocketAddr,
    /// What for.
    pub want: Want,
}

/// What a request is for.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Want {
    /// The hash list: `GET /blake3/<hex>/hashes`.
    HashList {
        /// The host reads no more than this many bytes and hands in what it has read; whatever is
        /// longer cannot be right.
        max_len: u64,
    },
    /// A piece: `GET /blake3/<hex>` with `Range`.
    Piece {
        /// Its number, from 0.
        index: u32,
        /// The bytes of the file it covers.
        range: Range<u64>,
    },
}

/// What became of the bytes handed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "only accepted bytes may be written"]
pub enum Verdict {
    /// They are what was asked for. Those of a piece belong into the file.
    Accepted,
    /// They are wrong, and the provider has been dropped.
    Rejected,
    /// Nobody waits for them any more: cancelled, timed out, or not what this request is for.
    Unwanted,
}

/// What happened in a fetch.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FetchEvent {
    /// The hash list and with it the size are certain; [`Fetch::list`](super::Fetch::list) has it.
    ListVerified {
        /// Who gave it, and the last piece that proves it.
        provider: SocketAddr,
        /// The size of the file in bytes.
        size: u64,
        /// The number of its pieces.
        pieces: u32,
    },
    /// A piece was verified.
    PieceVerified {
        /// Who gave it.
        provider: SocketAddr,
        /// Its number, from 0.
        index: u32,
    },
    /// A provider is not asked again.
    ProviderRejected {
        /// Who.
        provider: SocketAddr,
        /// Why.
        reason: Rejection,
    },
    /// Every piece is there. The last event.
    Done,
    /// No provider is left and none will come. The last event.
    Failed {
        /// Every provider there was with the reason it was dropped for; empty if there was none.
        providers: Vec<(SocketAddr, Rejection)>,
    },
}

/// Why a provider is not asked again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Rejection {
    /// It gave a hash list that is not the content's.
    WrongList(ListError),
    /// It speaks of another size than the link. One of the two is wrong.
    WrongSize {
        /// The size the link gives, in bytes.
        expected: u64,
        /// The size the provider gives, in bytes.
        claimed: u64,
    },
    /// It says that the file is larger than this fetch may take.
    TooLarge {
        /// The size the provider gives, in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// It gave bytes that are not the piece; or, for the last piece, a list that is not true.
    WrongPiece {
        /// The number of the piece, from 0.
        index: u32,
    },
    /// It does not have the content.
    NotFound,
    /// Requests failed too often in a row; the last one for this reason.
    Failing(RequestFailure),
}

impl Rejection {
    /// Whether the provider gave wrong bytes, rather than none.
    #[must_use]
    pub const fn is_lie(&self) -> bool {
        matches!(self, Self::WrongList(_) | Self::WrongPiece { .. })
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongList(error) => write!(f, "gave a wrong hash list: {error}"),
            Self::WrongSize { expected, claimed } => {
                write!(f, "says the file has {claimed} bytes, the link says {expected}")
            }
            Self::TooLarge { size, limit } => {
                write!(f, "says the file has {size} bytes, the limit is {limit}")
            }
            Self::WrongPiece { index } => write!(f, "gave wrong bytes for piece {index}"),
            Self::NotFound => f.write_str("does not have the file"),
            Self::Failing(failure) => write!(f, "failed too often: {failure}"),
        }
    }
}

/// Why a request brought nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RequestFailure {
    /// No connection came about.
    Unreachable,
    /// The connection ended before the answer did.
    Disconnected,
    /// The provider answered that it does not have the content (404): it is dropped at once.
    NotFound,
    /// The provider answered that it cannot now (429, 503).
    Busy,
    /// The answer was none: not HTTP, a redirect, another range.
    Malformed,
    /// No byte came for [`stall_timeout`](crate::config::FetchConfig::stall_timeout).
    Silent,
    /// Slower than [`min_rate`](crate::config::FetchConfig::min_rate).
    TooSlow,
}

impl fmt::Display for RequestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "no connection",
            Self::Disconnected => "the connection broke",
            Self::NotFound => "it does not have the file",
            Self::Busy => "it is busy",
            Self::Malformed => "its answer makes no sense",
            Self::Silent => "it fell silent",
            Self::TooSlow => "it is too slow",
        })
    }
}

/// Why a fetch cannot begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FetchError {
    /// The file is beyond [`max_size`](crate::config::FetchConfig::max_size).
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The set of pieces to resume from is that of another file.
    WrongBitmap {
        /// Pieces of the file.
        expected: u32,
        /// Pieces the set speaks of.
        found: u32,
    },
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size, limit } => {
                write!(f, "a file of {size} bytes is beyond the limit of {limit}")
            }
            Self::WrongBitmap { expected, found } => {
                write!(f, "the file has {expected} pieces, the set to resume from has {found}")
            }
        }
    }
}

impl core::error::Error for FetchError {}

/// One provider as a fetch sees it, for people to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ProviderStats {
    /// Who.
    pub addr: SocketAddr,
    /// Pieces it gave that were verified.
    pub verified: u32,
    /// Requests in flight to it.
    pub in_flight: u32,
    /// Its measured rate in bytes a second; none before the first measurement.
    pub rate: Option<u64>,
    /// Its failures in a row.
    pub failures: u32,
}
