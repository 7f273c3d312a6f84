//! Why a command failed: a word for programs, a sentence for people, an exit status for scripts.

use core::fmt;
use std::io;

use kadlet::core::CommandError;
use kadlet::core::record::{InvalidQuery, InvalidRecord};
use kadlet::core::wire::ErrorCode;
use kadlet::{Attempt, BootstrapError, DataError, Error, StartError};

/// The closed list of `error.code`; docs/cli.md says the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Code {
    // Exit status 1: asked, and not done.
    NotFound,
    Refused,
    StaleSequence,
    CasMismatch,
    NoProviderLeft,
    Interrupted,
    NotAsExpected,
    // Exit status 2: cannot be started as asked.
    Usage,
    ValueTooLong,
    NoWords,
    KeyFile,
    AddressInUse,
    AddressUnavailable,
    AddressForbidden,
    NoDescriptors,
    DataInUse,
    DataNewer,
    TargetExists,
    NothingShared,
    Io,
    // Exit status 3: nobody to ask.
    NoContacts,
    BootstrapFailed,
    NoAnswer,
    Timeout,
    NoNode,
}

impl Code {
    /// Every code, for the test that holds them against the documentation.
    #[cfg(test)]
    const ALL: [Self; 25] = [
        Self::NotFound,
        Self::Refused,
        Self::StaleSequence,
        Self::CasMismatch,
        Self::NoProviderLeft,
        Self::Interrupted,
        Self::NotAsExpected,
        Self::Usage,
        Self::ValueTooLong,
        Self::NoWords,
        Self::KeyFile,
        Self::AddressInUse,
        Self::AddressUnavailable,
        Self::AddressForbidden,
        Self::NoDescriptors,
        Self::DataInUse,
        Self::DataNewer,
        Self::TargetExists,
        Self::NothingShared,
        Self::Io,
        Self::NoContacts,
        Self::BootstrapFailed,
        Self::NoAnswer,
        Self::Timeout,
        Self::NoNode,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::StaleSequence => "stale_sequence",
            Self::CasMismatch => "cas_mismatch",
            Self::NoProviderLeft => "no_provider_left",
            Self::Interrupted => "interrupted",
            Self::NotAsExpected => "not_as_expected",
            Self::Usage => "usage",
            Self::ValueTooLong => "value_too_long",
            Self::NoWords => "no_words",
            Self::KeyFile => "key_file",
            Self::AddressInUse => "address_in_use",
            Self::AddressUnavailable => "address_unavailable",
            Self::AddressForbidden => "address_forbidden",
            Self::NoDescriptors => "no_descriptors",
            Self::DataInUse => "data_in_use",
            Self::DataNewer => "data_newer",
            Self::TargetExists => "target_exists",
            Self::NothingShared => "nothing_shared",
            Self::Io => "io",
            Self::NoContacts => "no_contacts",
            Self::BootstrapFailed => "bootstrap_failed",
            Self::NoAnswer => "no_answer",
            Self::Timeout => "timeout",
            Self::NoNode => "no_node",
        }
    }

    pub(crate) const fn exit_status(self) -> u8 {
        match self {
            Self::NotFound
            | Self::Refused
            | Self::StaleSequence
            | Self::CasMismatch
            | Self::NoProviderLeft
            | Self::Interrupted
            | Self::NotAsExpected => 1,
            Self::NoContacts
            | Self::BootstrapFailed
            | Self::NoAnswer
            | Self::Timeout
            | Self::NoNode => 3,
            _ => 2,
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented_with_its_exit_status() {
        let docs = include_str!("../../../docs/cli.md");
        for code in Code::ALL {
            let row = format!("| `{}` | {} |", code.name(), code.exit_status());
            assert!(docs.contains(&row), "docs/cli.md lacks {row}");
        }
        let (_, list) = docs.split_once("## `error.code`").expect("the section");
        let (list, _) = list.split_once("\n## ").expect("a section after it");
        let documented = list.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(documented, Code::ALL.len(), "docs/cli.md has codes that do not exist");
    }
}
