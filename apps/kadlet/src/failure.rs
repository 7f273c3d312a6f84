//! Why a command failed: a word for programs, a sentence for people, an exit status for scripts.

use core::fmt;
use std::io;

use kadlet::core::CommandError;
use kadlet::core::record::{InvalidQuery, InvalidRecord};
use kadlet::core::wire::ErrorCode;
use kadlet::{Attempt, BootstrapError, DataError, Error, StartError};

use crate::codes::Code;

/// A command that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// What each address answered, where that is the reason.
    pub(crate) attempts: Vec<Attempt>,
    /// The sequence number that is held, where that is the reason.
    pub(crate) seq: Option<u64>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string(), attempts: Vec::new(), seq: None }
    }

    /// What the system said about `what`.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        if kadlet::out_of_descriptors(error) {
            let named = StartError::NoDescriptors;
            return Self::new(Code::NoDescriptors, format_args!("{what}: {named}"));
        }
        Self::new(Code::Io, format_args!("{what}: {error}"))
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let code = match &error {
            StartError::AddressInUse { .. } => Code::AddressInUse,
            StartError::AddressUnavailable { .. } => Code::AddressUnavailable,
            StartError::AddressForbidden { .. } => Code::AddressForbidden,
            StartError::NoDescriptors => Code::NoDescriptors,
            StartError::Data(DataError::InUse { .. }) => Code::DataInUse,
            StartError::Data(DataError::Newer { .. }) => Code::DataNewer,
            StartError::Data(DataError::OtherNetwork { .. }) => Code::DataOtherNetwork,
            _ => Code::Io,
        };
        Self::new(code, error)
    }
}

impl From<BootstrapError> for Failure {
    fn from(error: BootstrapError) -> Self {
        Self { attempts: error.attempts.clone(), ..Self::new(Code::BootstrapFailed, error) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (code, seq) = match &error {
            Error::NoPeers => (Code::NoContacts, None),
            Error::Refused { code: ErrorCode::StaleSequence, seq } => (Code::StaleSequence, *seq),
            Error::Refused { code: ErrorCode::CasMismatch, seq } => (Code::CasMismatch, *seq),
            Error::Refused { .. } => (Code::Refused, None),
            Error::Overloaded => (Code::Overloaded, None),
            Error::TimedOut => (Code::Timeout, None),
            Error::Record(InvalidRecord::TooLong { .. }) => (Code::ValueTooLong, None),
            Error::Command(CommandError::NoWords) | Error::Query(InvalidQuery::NoWords) => {
                (Code::NoWords, None)
            }
            Error::Command(_) | Error::Record(_) | Error::Query(_) => (Code::Usage, None),
            _ => (Code::NoAnswer, None),
        };
        Self { seq, ..Self::new(code, error) }
    }
}
