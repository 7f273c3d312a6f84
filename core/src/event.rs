//! What leaves the machine: datagrams, events, changes worth keeping, and why input was refused.

use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::contact::{Contact, Path};
use crate::id::Id;
use crate::record::{Item, SearchEntry, Transports};
use crate::store::StoreChange;
use crate::wire::{ErrorCode, Malformed};

/// A datagram to be sent now.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "a transmit that is dropped is a datagram that is lost"]
pub struct Transmit {
    /// By which link, and where to.
    pub path: Path,
    /// At most 1232 bytes on the native wire, 1500 on Mainline.
    pub payload: Vec<u8>,
}

/// Names one operation of one node; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OperationId(pub u64);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Somebody who was asked: of a bootstrap address the id is not known before it has answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Asked {
    /// Its id, as far as known.
    pub id: Option<Id>,
    /// Where it was asked.
    pub path: Path,
}

/// Something a host may want to know. Events of one operation come in the order in which things
/// happened: `Started` first, `Done` last, and nothing after `Done`.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// An operation began.
    Started {
        /// Which.
        operation: OperationId,
    },
    /// A question of the operation went out.
    Asked {
        /// Of which operation.
        operation: OperationId,
        /// To whom.
        peer: Asked,
    },
    /// An answer came.
    Answered {
        /// Of which operation.
        operation: OperationId,
        /// From whom.
        peer: Asked,
        /// Time since the question.
        rtt: Duration,
        /// The contacts it named, as it named them.
        named: Vec<Contact>,
    },
    /// No usable answer will come from this peer.
    Failed {
        /// Of which operation.
        operation: OperationId,
        /// From whom.
        peer: Asked,
        /// Why.
        reason: PeerFailure,
    },
    /// Somebody has the content; each address once in an operation, and again if another holder knows of
    /// further ways to reach it: then with all of them.
    Provider {
        /// Of which operation.
        operation: OperationId,
        /// Where to fetch from.
        address: SocketAddr,
        /// How.
        transports: Transports,
        /// Who said so.
        holder: Id,
    },
    /// A value: the only one for an immutable key; for a signed one each is newer than the last.
    Value {
        /// Of which operation.
        operation: OperationId,
        /// Checked against its key, and against its signature if it has one.
        item: Item,
        /// Who held it.
        holder: Id,
    },
    /// A file whose name carries all the words; each content, size and name once in an operation.
    Hit {
        /// Of which operation.
        operation: OperationId,
        /// Its name, its size as its publisher says, and the BLAKE3 hash of its content.
        entry: SearchEntry,
        /// Who said so.
        holder: Id,
    },
    /// How many peers a swarm has (Mainline, BEP 33): estimates over all that answered, from filters
    /// that hold no address. Before the end, if anybody knows any.
    Swarm {
        /// Of which operation.
        operation: OperationId,
        /// Those that have all of it.
        seeds: u32,
        /// The others.
        peers: u32,
    },
    /// Some of the keys that a node holds providers of (Mainline, BEP 51).
    Sample {
        /// Of which operation.
        operation: OperationId,
        /// Whose.
        peer: Asked,
        /// The keys, drawn at random.
        keys: Vec<Id>,
        /// How many it holds in all.
        total: u64,
        /// Until it draws others; it is not asked again before.
        interval: Duration,
    },
    /// A holder acknowledged a record.
    Stored {
        /// Of which operation.
        operation: OperationId,
        /// The holder.
        peer: Asked,
        /// The record's key.
        key: Id,
    },
    /// The operation ended; what it was started for came before this.
    Done {
        /// Which.
        operation: OperationId,
        /// How.
        outcome: Outcome,
        /// The contacts closest to the target that answered, nearest first (at most k a family).
        closest: Vec<Contact>,
        /// What it cost.
        totals: Totals,
    },
    /// A renewal of something published went otherwise than the time before: nobody took it any
    /// more, or somebody did again. It is tried again within minutes until somebody does.
    Renewed {
        /// The operation that published it first.
        operation: OperationId,
        /// How it went.
        outcome: Outcome,
        /// Holders that acknowledged it.
        stored: u32,
    },
    /// A signal from another node, handed on by at most one other.
    Signal {
        /// Who sent it, as far as whoever handed it on can be believed.
        from: Contact,
        /// What it says.
        payload: Vec<u8>,
    },
    /// Several nodes agree that this is our address, seen from outside.
    AddressSeen {
        /// The address.
        address: SocketAddr,
    },
    /// A node that we never contacted reached us, or none of those asked to did.
    Reachable {
        /// By this path of ours; the remote end is our own address as others see it.
        address: SocketAddr,
        /// Whether strangers reach us: the node acts as a server from now on if so.
        reachable: bool,
    },
    /// Nothing answers any more (true), or something does again (false). While it lasts nobody is
    /// removed from the table: it is we who are offline.
    Offline {
        /// Whether we seem to be offline.
        offline: bool,
    },
}

impl Event {
    /// The operation it belongs to; none for what happens to the node as a whole, renewals among it.
    #[must_use]
    pub const fn operation(&self) -> Option<OperationId> {
        match self {
            Self::Started { operation }
            | Self::Asked { operation, .. }
            | Self::Answered { operation, .. }
            | Self::Failed { operation, .. }
            | Self::Provider { operation, .. }
            | Self::Value { operation, .. }
            | Self::Hit { operation, .. }
            | Self::Swarm { operation, .. }
            | Self::Sample { operation, .. }
            | Self::Stored { operation, .. }
            | Self::Done { operation, .. } => Some(*operation),
            Self::Renewed { .. }
            | Self::Signal { .. }
            | Self::AddressSeen { .. }
            | Self::Reachable { .. }
            | Self::Offline { .. } => None,
        }
    }
}

/// Why there is no usable answer from one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PeerFailure {
    /// Silent until the hard timeout.
    Timeout,
    /// The host said that the path does not work (connection refused, no route).
    PathFailed,
    /// Answered with an error.
    Refused {
        /// The reason.
        code: ErrorCode,
        /// The sequence number it holds, with `CasMismatch` and `StaleSequence`.
        seq: Option<u64>,
    },
    /// Answered under another id than expected.
    WrongId,
    /// Answered with something that does not fit the question (wrong value, broken signature).
    Invalid,
    /// Is ourselves.
    Ourselves,
    /// Gave no token, so nothing can be stored with it.
    NoToken,
    /// Speaks, but in a network with another name or another version.
    OtherNetwork,
}

/// How an operation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// What was asked for is there: found, stored by at least one holder, joined.
    Success,
    /// Peers answered, and nobody has it.
    Absent,
    /// There was nobody to ask.
    NoPeers,
    /// Everybody who was asked stayed silent or failed.
    NoAnswer,
    /// Peers answered, and every holder that could have stored it refused.
    Refused {
        /// The reason given most often.
        code: ErrorCode,
        /// The highest sequence number held, with `CasMismatch` and `StaleSequence`.
        seq: Option<u64>,
    },
    /// Ended by `cancel`.
    Cancelled,
    /// Ended by its deadline; partial results came before. What a holder had stored by then under the
    /// last of its keys is a [`Success`](Self::Success).
    DeadlineExceeded,
    /// Not begun: as many operations as allowed are running ([`Config::max_operations`]), or as many
    /// records are renewed ([`Config::max_publications`]).
    ///
    /// [`Config::max_operations`]: crate::Config::max_operations
    /// [`Config::max_publications`]: crate::Config::max_publications
    Overloaded,
}

/// What an operation cost.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Totals {
    /// Peers asked.
    pub asked: u32,
    /// Peers that answered.
    pub answered: u32,
    /// Peers that did not.
    pub failed: u32,
    /// Results: providers, values or hits.
    pub found: u32,
    /// Holders that acknowledged a record.
    pub stored: u32,
    /// Holders asked to keep a record.
    pub store_attempts: u32,
    /// The longest chain of answers that led to one of the closest.
    pub hops: u32,
    /// Datagrams sent.
    pub datagrams: u32,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// From start to end.
    pub elapsed: Duration,
}

/// What a host that keeps state safe should write down, so that it need not export everything.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// A record that is kept for others was stored, renewed or dropped.
    Record(StoreChange),
    /// Contacts came or went: export the contacts when convenient.
    Contacts,
}

/// Why a datagram was dropped: the peer's fault, counted, and nothing else was changed by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Rejected {
    /// No message at all.
    Malformed(Malformed),
    /// From an address at which no node can be (port 0, multicast, …).
    BadSource,
    /// Carries our own id: a reflection.
    OwnId,
    /// An answer to nothing we asked, or too late.
    Unsolicited,
    /// An answer from another address than the one asked.
    WrongAddress,
    /// An answer under another id than the one asked.
    WrongId,
    /// The source has used up what it may cost us.
    RateLimited,
    /// We are shut down.
    Closed,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(why) => return write!(f, "malformed: {why}"),
            Self::BadSource => "from an address at which no node can be",
            Self::OwnId => "carries our own id",
            Self::Unsolicited => "an answer to nothing we asked",
            Self::WrongAddress => "an answer from another address than the one asked",
            Self::WrongId => "an answer under another id than the one asked",
            Self::RateLimited => "its source is over its limit",
            Self::Closed => "the node is shut down",
        })
    }
}

impl core::error::Error for Rejected {}
