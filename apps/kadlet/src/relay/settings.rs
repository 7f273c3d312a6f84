//! How a relay is to be run.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use core::str::FromStr;
use core::time::Duration;
use std::path::PathBuf;

use super::limits::Limits;

/// How a relay is to be run. What is not said is as safe as it can be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Where HTTP and WebSockets are taken; at least one.
    pub listen: Vec<SocketAddr>,
    /// Where the clients' UDP ports are opened, at most one address of each family; empty: the
    /// addresses of `listen`.
    pub udp: Vec<IpAddr>,
    /// As what others see these addresses, where a router translates them one to one.
    pub external: Vec<IpAddr>,
    /// The ports that clients get. Default: 49152 to 65535, which is what RFC 6335 leaves to
    /// everybody.
    pub ports: RangeInclusive<u16>,
    /// The folder of the page. It is read once.
    pub web: Option<PathBuf>,
    /// What a client has to know.
    pub token: Option<String>,
    /// Files of a certificate chain and its key, in PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// How often it is looked whether these files have changed; connections made after that have the
    /// new certificate. Default: a minute.
    pub tls_reread: Duration,
    /// Pages that may connect. Empty: those that the relay serves at an address or `localhost`.
    /// Whoever is no page says no origin, and is not asked for one.
    pub origins: Vec<Origin>,
    /// Reverse proxies, which say in `X-Forwarded-For` for whom they speak.
    pub proxies: Vec<IpAddr>,
    /// Whether loopback and private addresses may be written to.
    pub allow_private: bool,
    /// How much of everything.
    pub limits: Limits,
}

impl Settings {
    /// A relay at these addresses, and else as it is by default.
    #[must_use]
    pub fn new(listen: Vec<SocketAddr>) -> Self {
        Self {
            listen,
            udp: Vec::new(),
            external: Vec::new(),
            ports: 49_152..=65_535,
            web: None,
            token: None,
            tls: None,
            tls_reread: Duration::from_secs(60),
            origins: Vec::new(),
            proxies: Vec::new(),
            allow_private: false,
            limits: Limits::default(),
        }
    }
}

/// Pages that may connect, as `--origin` says them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// `*`: every page of the world.
    Any,
    /// `https://example.org`: those of one origin.
    Of(String),
}

impl Origin {
    pub(super) fn admits(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Of(ours) => ours.eq_ignore_ascii_case(origin),
        }
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        // A page without an origin of its own (a file, a sandbox) says `null`.
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Of(text.to_owned())),
            _ => {}
        }
        let (scheme, host) = text.split_once("://").ok_or(InvalidOrigin)?;
        let named = !scheme.is_empty() && !host.is_empty();
        if !named || host.contains(['/', '?', '#', '@', ' ', '*']) {
            return Err(InvalidOrigin);
        }
        Ok(Self::Of(text.to_owned()))
    }
}

/// A text that is no origin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidOrigin;

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected scheme and host without a path, such as https://example.org, or *")
    }
}

impl core::error::Error for InvalidOrigin {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_no_path() {
        for good in ["https://example.org", "http://[::1]:8080", "null", "chrome-extension://abc"] {
            assert_eq!(good.parse(), Ok(Origin::Of(good.to_owned())));
        }
        for bad in ["", "example.org", "https://", "https://example.org/", "https://*.org", "://x"]
        {
            assert_eq!(bad.parse::<Origin>(), Err(InvalidOrigin), "{bad}");
        }
        let origin: Origin = "https://Example.org".parse().expect("an origin");
        assert!(origin.admits("https://example.org") && !origin.admits("https://example.org:8443"));
        assert!(Origin::Any.admits("null"));
    }
}
