//! What two ends of a data channel have to tell each other, and nothing else of an SDP: it fits
//! into a signal, and what a stranger wrote reaches no other parser (docs/webrtc.md).

use core::fmt::Write as _;
use core::net::{IpAddr, SocketAddr};

use kadlet_core::Scope;

/// More would be a way to have us probe a network.
pub(super) const MAX_CANDIDATES: usize = 8;

/// What a signal carries, bytes.
const MAX_PAYLOAD: usize = 1024;

/// Which half of the exchange it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    Offer,
    Answer,
}

/// Who begins with DTLS (RFC 8842).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Setup {
    ActPass,
    Active,
    Passive,
}

/// How one end is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Host {
    Ip(IpAddr),
    /// The name under which a browser hides an address from pages (RFC 8828).
    Hidden(String),
}

/// A way to reach one end: UDP only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Candidate {
    pub(super) reflexive: bool,
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) priority: u32,
}

/// An offer or an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Description {
    pub(super) kind: Kind,
    /// Names the attempt, 16 hexadecimal digits: an answer carries that of its offer.
    pub(super) session: String,
    pub(super) ufrag: String,
    pub(super) pwd: String,
    /// SHA-256 of the certificate.
    pub(super) fingerprint: [u8; 32],
    pub(super) setup: Setup,
    pub(super) candidates: Vec<Candidate>,
}

impl Description {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, setup) = (kind_word(self.kind), setup_word(self.setup));
        let mut text = format!("kadlet-rtc.2 {kind} {}\n", self.session);
        text += &format!("ice {} {}\nfingerprint ", self.ufrag, self.pwd);
        for byte in self.fingerprint {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text += &format!("\nsetup {setup}");
        for Candidate { reflexive, host, port, priority } in &self.candidates {
            let kind = if *reflexive { "srflx" } else { "host" };
            let host = match host {
                Host::Ip(ip) => ip.to_string(),
                Host::Hidden(name) => name.clone(),
            };
            text += &format!("\n{kind} {host} {port} {priority}");
        }
        text.into_bytes()
    }

    /// Reads a payload strictly; none if anything of it is not as `encode` writes it.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n');
        if payload.len() > MAX_PAYLOAD || !payload.iter().all(printable) {
            return None;
        }
        let mut lines = core::str::from_utf8(payload).ok()?.split('\n');
        let ["kadlet-rtc.2", kind, session] = words(lines.next()?)? else { return None };
        let ["ice", ufrag, pwd] = words(lines.next()?)? else { return None };
        let ["fingerprint", fingerprint] = words(lines.next()?)? else { return None };
        let ["setup", setup] = words(lines.next()?)? else { return None };
        let kind = [Kind::Offer, Kind::Answer].into_iter().find(|it| kind_word(*it) == kind)?;
        let setups = [Setup::ActPass, Setup::Active, Setup::Passive];
        let setup = setups.into_iter().find(|it| setup_word(*it) == setup)?;
        if session.len() != 16 || !is_hex(session) || !is_ice(ufrag) || !is_ice(pwd) {
            return None;
        }
        // Lengths: RFC 8839, section 5.4.
        if !(4..=64).contains(&ufrag.len()) || !(22..=128).contains(&pwd.len()) {
            return None;
        }
        if (kind == Kind::Offer) != (setup == Setup::ActPass) {
            return None;
        }
        let candidates: Vec<_> = lines.map(Candidate::decode).collect::<Option<_>>()?;
        (candidates.len() <= MAX_CANDIDATES).then_some(())?;
        Some(Self {
            kind,
            session: session.to_owned(),
            ufrag: ufrag.to_owned(),
            pwd: pwd.to_owned(),
            fingerprint: digest(fingerprint)?,
            setup,
            candidates,
        })
    }

    /// The candidates that somebody at `address` may name: none of a nearer scope than its own, so
    /// that nobody has us probe our own house. A name that a browser made up is nothing to us: its
    /// owner finds us by our addresses.
    pub(super) fn permitted(
        &self,
        address: SocketAddr,
    ) -> impl Iterator<Item = (SocketAddr, &Candidate)> {
        let own = Scope::of(address.ip()).unwrap_or(Scope::Public);
        self.candidates.iter().filter_map(move |candidate| {
            let Host::Ip(ip) = candidate.host else { return None };
            let permitted = scope_of(ip)?.may_be_named_by(own);
            permitted.then(|| (SocketAddr::new(ip, candidate.port), candidate))
        })
    }
}

impl Candidate {
    fn decode(line: &str) -> Option<Self> {
        let [kind, host, port, priority] = words(line)?;
        let reflexive = match kind {
            "host" => false,
            "srflx" => true,
            _ => return None,
        };
        let host = match host.parse::<IpAddr>() {
            Ok(ip) => {
                // IPv4 in an IPv6 notation would have to be judged itself.
                (scope_of(ip).is_some() && (ip.is_ipv4() || !host.contains('.'))).then_some(())?;
                Host::Ip(ip)
            }
            Err(_) => is_hidden(host).then(|| Host::Hidden(host.to_owned()))?,
        };
        let port = number(port).filter(|port| *port >= 1024)?;
        let priority = number(priority).filter(|priority| *priority < 1 << 31)?;
        Some(Self { reflexive, host, port: u16::try_from(port).ok()?, priority })
    }
}

/// How far an address reaches; none if no node can be behind it, and for 6to4, which is another
/// notation for an IPv4 address that would have to be judged itself.
pub(super) fn scope_of(ip: IpAddr) -> Option<Scope> {
    match ip {
        IpAddr::V6(six) if six.segments()[0] == 0x2002 => None,
        _ => Scope::of(ip),
    }
}

fn words<const N: usize>(line: &str) -> Option<[&str; N]> {
    let words: Vec<&str> = line.split(' ').collect();
    words.try_into().ok()
}

const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Offer => "offer",
        Kind::Answer => "answer",
    }
}

const fn setup_word(setup: Setup) -> &'static str {
    match setup {
        Setup::ActPass => "actpass",
        Setup::Active => "active",
        Setup::Passive => "passive",
    }
}

/// A decimal number above 0, in the one way to write it.
fn number(text: &str) -> Option<u32> {
    let plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_ice(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

/// A UUID and `.local`.
fn is_hidden(name: &str) -> bool {
    let Some(uuid) = name.strip_suffix(".local") else { return false };
    let parts: Vec<&str> = uuid.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| is_hex(part))
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    (hex.len() == 64 && is_hex(hex)).then_some(())?;
    let mut out = [0; 32];
    for (byte, at) in out.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// What the page's parser is tested with as well.
    fn vectors(of: &str) -> Vec<Value> {
        let all: Value =
            serde_json::from_str(include_str!("../../../../docs/webrtc.json")).expect("JSON");
        all[of].as_array().expect("a list").clone()
    }

    #[test]
    fn payloads_are_read_as_the_vectors_say() {
        for vector in vectors("signals") {
            let payload = vector["payload"].as_str().expect("text");
            let read = Description::decode(payload.as_bytes());
            assert_eq!(read.is_some(), vector["valid"] == true, "{vector}");
            if let Some(read) = read {
                assert_eq!(read.encode(), payload.as_bytes(), "{vector}");
                let from = vector["from"].as_str().expect("an address");
                let permitted: Vec<_> = read
                    .permitted(from.parse().expect("an address"))
                    .map(|(address, _)| address.to_string())
                    .collect();
                assert_eq!(Value::from(permitted), vector["permitted"], "{vector}");
            }
        }
    }

    #[test]
    fn what_is_too_long_or_cut_is_none() {
        let [good] = &vectors("signals")[..1] else { panic!("no vector") };
        let good = good["payload"].as_str().expect("text").as_bytes();
        let head = good.iter().rposition(|byte| *byte == b'\n').expect("lines");
        for length in 0..good.len() {
            let whole = Description::decode(&good[..length]).is_some();
            // A candidate less is one less, and digits of a priority are digits.
            assert!(!whole || good[..length].iter().filter(|byte| **byte == b'\n').count() >= 3);
        }
        for at in 0..head {
            let mut bad = good.to_vec();
            for byte in [0, b'\r', 0x80, 0xff, b'\t'] {
                bad[at] = byte;
                assert_eq!(Description::decode(&bad), None, "byte {at}");
            }
        }
        let long = [good, &b" "[..]].concat();
        assert_eq!(Description::decode(&long), None);
        assert_eq!(Description::decode(&[good, &[b'x'; 1024][..]].concat()), None);
    }
}
