//! From what a person types to addresses, with the reason where that fails.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use core::time::Duration;

use kadlet_core::{Id, PeerFailure, is_usable};

/// Longest wait for the resolver of the system: its own patience can be half a minute.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// At most this many addresses of one name are tried; a name with more is a round robin.
const ADDRESSES_A_NAME: usize = 8;

/// A host and a port, as typed: `192.168.1.5:4000`, `[fd00::1]:4000` or `node.example:4000`.
///
/// ```
/// use kadlet::HostPort;
///
/// assert!("node.example:4000".parse::<HostPort>().is_ok());
/// assert!("node.example".parse::<HostPort>().is_err(), "no port");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let named = |problem| HostPortError { text: text.to_owned(), problem };
        if let Ok(address) = text.parse::<SocketAddr>() {
            if !is_usable(address) {
                return Err(named("no node can be at this address"));
            }
            return Ok(Self { host: address.ip().to_string(), port: address.port() });
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| named("the port is missing"))?;
        let port = port.parse().map_err(|_| named("the port is no number from 1 to 65535"))?;
        if port == 0 {
            return Err(named("no node can be at port 0"));
        }
        if host.is_empty() {
            return Err(named("the host is missing"));
        }
        if host.contains(':') {
            return Err(named("an IPv6 address is written in brackets"));
        }
        // RFC 1123, with the underscores that people use: whatever else is a typing error.
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
        if !host.chars().all(is_name) || host.len() > 253 {
            return Err(named("the host is no name and no address"));
        }
        // Digits and dots alone are an address with a slip in it; no resolver should be asked.
        if host.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(named("this is no IPv4 address"));
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl HostPort {
    /// The addresses behind it; at once if it is an address.
    ///
    /// # Errors
    /// The resolver's reason.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        if let Ok(ip) = self.host.parse() {
            return Ok(vec![SocketAddr::new(ip, self.port)]);
        }
        let query = tokio::net::lookup_host((self.host.as_str(), self.port));
        let found = tokio::time::timeout(RESOLVE_TIMEOUT, query)
            .await
            .map_err(|_| "the name server does not answer".to_owned())?
            .map_err(|error| error.to_string())?;
        let mut usable: Vec<_> = found.filter(|address| is_usable(*address)).collect();
        usable.dedup();
        usable.truncate(ADDRESSES_A_NAME);
        if usable.is_empty() {
            return Err("the name has no address at which a node could be".to_owned());
        }
        Ok(usable)
    }
}

/// Why a text is no host and port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPortError {
    text: String,
    problem: &'static str,
}

impl fmt::Display for HostPortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}: {}; expected HOST:PORT, such as 192.168.1.5:4000, [fd00::1]:4000 or \
             node.example:4000",
            self.text, self.problem
        )
    }
}

impl core::error::Error for HostPortError {}

/// What became of one address that a node was told to start from.
#[derive(Clone, PartialEq, Debug)]
pub struct Attempt {
    /// As given.
    pub given: HostPort,
    /// The address behind it, once resolved.
    pub address: Option<SocketAddr>,
    /// What happened there.
    pub result: AttemptResult,
}

impl Attempt {
    /// Whether a node of our network answered.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        matches!(self.result, AttemptResult::Answered { .. })
    }
}

/// What happened at one address.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum AttemptResult {
    /// A node answered.
    Answered {
        /// Its id.
        id: Id,
        /// Time from question to answer.
        rtt: Duration,
    },
    /// No usable answer.
    Failed(PeerFailure),
    /// The name has no address, in the resolver's words.
    Unresolved(String),
    /// No socket of ours can write there: another family, or beyond a loopback socket.
    OutOfReach,
    /// The operation ended before it said anything.
    Unanswered,
}

impl AttemptResult {
    /// A word for programs; closed list, see docs/cli.md.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Answered { .. } => "answered",
            Self::Failed(PeerFailure::Timeout) | Self::Unanswered => "timeout",
            Self::Failed(PeerFailure::PathFailed) => "unreachable",
            Self::Failed(PeerFailure::OtherNetwork) => "other_network",
            Self::Failed(PeerFailure::Ourselves) => "ourselves",
            Self::Failed(_) => "not_a_node",
            Self::Unresolved(_) => "unresolved",
            Self::OutOfReach => "out_of_reach",
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.given.fmt(f)?;
        if let Some(address) = self.address
            && address.to_string() != self.given.to_string()
        {
            write!(f, " ({address})")?;
        }
        match &self.result {
            AttemptResult::Answered { rtt, .. } => {
                write!(f, " answered in {} ms", rtt.as_millis())
            }
            AttemptResult::Failed(PeerFailure::Timeout) | AttemptResult::Unanswered => {
                f.write_str(" did not answer")
            }
            AttemptResult::Failed(PeerFailure::PathFailed) => f.write_str(" cannot be reached"),
            AttemptResult::Failed(PeerFailure::OtherNetwork) => {
                f.write_str(" is a node of another network")
            }
            AttemptResult::Failed(PeerFailure::Ourselves) => f.write_str(" is this node itself"),
            AttemptResult::Failed(_) => f.write_str(" gave no answer that a node would give"),
            AttemptResult::Unresolved(reason) => write!(f, " cannot be resolved: {reason}"),
            AttemptResult::OutOfReach => {
                f.write_str(" is out of reach of the address that this node listens on")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
        for good in ["127.0.0.1:4000", "[fd00::1]:4000", "node.example:1", "localhost:65535"] {
            let parsed: HostPort = good.parse().expect(good);
            assert_eq!(parsed.to_string(), good);
        }
        for (bad, problem) in [
            ("127.0.0.1", "port is missing"),
            ("node.example:", "no number"),
            ("node.example:0", "port 0"),
            ("node.example:70000", "no number"),
            (":4000", "host is missing"),
            ("fd00::1:4000", "brackets"),
            ("127.0.0.256:4000", "no IPv4"),
            ("224.0.0.1:4000", "no node can be"),
            ("http://node.example:4000", "brackets"),
            ("a b:4000", "no name"),
        ] {
            let error = bad.parse::<HostPort>().expect_err(bad).to_string();
            assert!(error.contains(problem) && error.contains("expected HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn a_name_that_does_not_exist_has_a_reason() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // RFC 6761: `invalid` resolves nowhere.
        let name: HostPort = "no-such-host.invalid:4000".parse().expect("well-formed");
        assert!(runtime.block_on(name.resolve()).is_err_and(|reason| !reason.is_empty()));
    }
}
