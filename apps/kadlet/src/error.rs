//! What can go wrong on this side of the core, typed by who can do something about it.
//!
//! A peer's fault never shows here: the core counts it. [`StartError`] is about this machine,
//! [`DataError`] about the state folder, [`Error`] about one operation, [`BootstrapError`] about
//! the addresses a node was told to start from.

use core::error::Error as StdError;
use core::fmt;
use core::net::SocketAddr;
use std::io;
use std::path::PathBuf;

use kadlet_core::record::{InvalidQuery, InvalidRecord};
use kadlet_core::wire::ErrorCode;
use kadlet_core::{CommandError, Outcome};

use crate::resolve::Attempt;

/// Why a node did not start. Nothing was left behind.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Another socket has the port.
    AddressInUse {
        /// The address wanted.
        address: SocketAddr,
    },
    /// No interface of this machine has the address.
    AddressUnavailable {
        /// The address wanted.
        address: SocketAddr,
    },
    /// The system does not let this user have the port.
    AddressForbidden {
        /// The address wanted.
        address: SocketAddr,
    },
    /// The process may open no further files.
    NoDescriptors,
    /// Some other refusal of the system.
    Socket {
        /// The address wanted.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The system gave no randomness.
    Entropy,
    /// The state folder.
    Data(DataError),
}

impl StartError {
    /// The name for what the system said about a socket at `address`.
    #[must_use]
    pub fn socket(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse { address },
            io::ErrorKind::AddrNotAvailable => Self::AddressUnavailable { address },
            io::ErrorKind::PermissionDenied => Self::AddressForbidden { address },
            _ if out_of_descriptors(&error) => Self::NoDescriptors,
            _ => Self::Socket { address, error },
        }
    }
}

/// Whether the system says that the process, or the machine, may open no further files. EMFILE and
/// ENFILE have no kind of their own; 24 and 23 on every Unix, 10024 on Windows.
#[must_use]
pub fn out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24 | 10_024))
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressInUse { address } => write!(
                f,
                "port {} on {} is in use: choose another one, or 0 for any free one",
                address.port(),
                address.ip()
            ),
            Self::AddressUnavailable { address } => write!(
                f,
                "{} is not an address of this machine: use one of its own, or {} for all of them",
                address.ip(),
                if address.is_ipv4() { "0.0.0.0" } else { "[::]" }
            ),
            Self::AddressForbidden { address } => write!(
                f,
                "no permission for port {} on {}: ports below 1024 are the administrator's, \
                 choose a higher one",
                address.port(),
                address.ip()
            ),
            Self::NoDescriptors => f.write_str(
                "no file descriptors are left: raise the limit (ulimit -n 4096) or run fewer nodes",
            ),
            Self::Socket { address, error } => write!(f, "no socket on {address}: {error}"),
            Self::Entropy => f.write_str("the system gave no random numbers"),
            Self::Data(error) => error.fmt(f),
        }
    }
}

impl StdError for StartError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Socket { error, .. } => Some(error),
            Self::Data(error) => Some(error),
            _ => None,
        }
    }
}

impl From<DataError> for StartError {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}

/// Why a state folder cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum DataError {
    /// Another process works with it.
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The other process, as far as it said.
        pid: Option<u32>,
    },
    /// A later version of the program wrote it.
    Newer {
        /// The folder.
        dir: PathBuf,
        /// Its version.
        found: u32,
        /// The latest that this program knows.
        known: u32,
    },
    /// Another network's node wrote it.
    OtherNetwork {
        /// The folder.
        dir: PathBuf,
        /// Its network.
        found: String,
        /// The one that was asked for.
        asked: String,
    },
    /// The system refuses.
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// The node is shut down.
    Closed,
    /// The store refuses.
    Store {
        /// The folder.
        dir: PathBuf,
        /// What it said.
        reason: String,
    },
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { dir, pid: Some(pid) } => write!(
                f,
                "{} is in use by process {pid}: stop it, or give another folder",
                dir.display()
            ),
            Self::InUse { dir, pid: None } => {
                write!(f, "{} is in use by another process: give another folder", dir.display())
            }
            Self::Newer { dir, found, known } => write!(
                f,
                "{} was written by a newer kadlet (format {found}, this one knows {known}): \
                 use that one, or give another folder; nothing was changed",
                dir.display()
            ),
            Self::OtherNetwork { dir, found, asked } => write!(
                f,
                "{} is of the network {found:?} and not of {asked:?}: name that network, or give \
                 another folder; nothing was changed",
                dir.display()
            ),
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Closed => f.write_str("the node is shut down"),
            Self::Store { dir, reason } => write!(f, "{}: {reason}", dir.display()),
        }
    }
}

impl StdError for DataError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Why an operation gave no result.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// There was nobody to ask: the node has no contacts.
    NoPeers,
    /// Everybody who was asked stayed silent or failed.
    NoAnswer,
    /// Peers answered, and none of those that could have stored it did.
    Refused {
        /// The reason given most often.
        code: ErrorCode,
        /// The highest sequence number held, with a failed compare-and-swap or a stale number.
        seq: Option<u64>,
    },
    /// Its deadline passed; partial results came before.
    TimedOut,
    /// It was not begun: the node runs as many operations as it may at once
    /// ([`Config::max_operations`](kadlet_core::Config::max_operations)).
    Overloaded,
    /// It was cancelled.
    Cancelled,
    /// The node was shut down.
    Closed,
    /// What was asked for cannot be done.
    Command(CommandError),
    /// The bytes are none that a record can have.
    Record(InvalidRecord),
    /// The text is none that could be searched for.
    Query(InvalidQuery),
}

impl Error {
    /// The error in an outcome, if it is one: that nobody has something is a result.
    pub(crate) const fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Success | Outcome::Absent => None,
            Outcome::NoPeers => Some(Self::NoPeers),
            Outcome::Refused { code, seq } => Some(Self::Refused { code, seq }),
            Outcome::Cancelled => Some(Self::Cancelled),
            Outcome::DeadlineExceeded => Some(Self::TimedOut),
            Outcome::Overloaded => Some(Self::Overloaded),
            // And whatever later versions of the core call no result.
            _ => Some(Self::NoAnswer),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPeers => f.write_str("there is nobody to ask: the node has no contacts"),
            Self::NoAnswer => f.write_str("nobody who was asked gave an answer"),
            Self::Refused { code: ErrorCode::StaleSequence, seq: Some(seq) } => {
                write!(f, "a newer value is stored already: its sequence number is {seq}")
            }
            Self::Refused { code: ErrorCode::CasMismatch, seq: Some(seq) } => {
                write!(f, "the stored value was changed meanwhile: its sequence number is {seq}")
            }
            Self::Refused { code, .. } => write!(f, "every holder refused: {}", reason(*code)),
            Self::TimedOut => f.write_str("the time was up"),
            Self::Overloaded => f.write_str(
                "this node does as much at once, or renews as many records, as it may: ask again when \
                 some of it has ended",
            ),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Closed => f.write_str("the node is shut down"),
            Self::Command(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
            Self::Query(error) => error.fmt(f),
        }
    }
}

/// Why a holder refuses, in words.
const fn reason(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::ValueTooLarge => "the value is too long for them",
        ErrorCode::SaltTooLarge => "the salt is too long for them",
        ErrorCode::BadSignature => "the signature is wrong",
        ErrorCode::CasMismatch => "the stored value was changed meanwhile",
        ErrorCode::StaleSequence => "a newer value is stored already",
        ErrorCode::BadToken => "our address changed while we were writing",
        ErrorCode::NoRoom => "they have no room for more records from this address",
        ErrorCode::Server => "they are in trouble themselves",
        ErrorCode::Protocol | ErrorCode::UnknownMethod => "they do not know such a record",
        _ => "without a reason that this version knows",
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Command(error) => Some(error),
            Self::Record(error) => Some(error),
            Self::Query(error) => Some(error),
            _ => None,
        }
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

impl From<InvalidRecord> for Error {
    fn from(error: InvalidRecord) -> Self {
        Self::Record(error)
    }
}

impl From<InvalidQuery> for Error {
    fn from(error: InvalidQuery) -> Self {
        Self::Query(error)
    }
}

/// None of the addresses led into the network (mistake 29: "0 nodes" without a reason).
#[derive(Clone, PartialEq, Debug)]
pub struct BootstrapError {
    /// Each address that was tried, with what it answered.
    pub attempts: Vec<Attempt>,
}

impl fmt::Display for BootstrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no bootstrap address works")?;
        for (i, attempt) in self.attempts.iter().enumerate() {
            write!(f, "{} {attempt}", if i == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl StdError for BootstrapError {}
