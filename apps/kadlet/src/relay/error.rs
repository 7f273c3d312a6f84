//! Why a relay did not start.

use core::fmt;
use std::io;
use std::path::PathBuf;

use crate::error::StartError;

/// Why a relay did not start. Nothing was left behind.
#[derive(Debug)]
#[non_exhaustive]
pub enum RelayError {
    /// An address, a port, or descriptors.
    Start(StartError),
    /// Two addresses of one family where there can be one, or none that is reached from outside.
    Addresses(&'static str),
    /// The certificate or its key.
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The folder of the page.
    Web {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl RelayError {
    pub(super) fn web(path: impl Into<PathBuf>, error: &io::Error) -> Self {
        Self::Web { path: path.into(), problem: error.to_string() }
    }
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::Addresses(problem) => f.write_str(problem),
            Self::Tls { path, problem } | Self::Web { path, problem } => {
                write!(f, "{}: {problem}", path.display())
            }
        }
    }
}

impl core::error::Error for RelayError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Start(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StartError> for RelayError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}
