//! Links: what people paste to each other.
//!
//! `magnet:?xt=urn:blake3:<64 hex>&dn=<name>&xl=<size>&x.pe=<IP:PORT>&x.pe=…`, after the magnet URI
//! scheme and BEP 9. Written in exactly this order and escaped the RFC 3986 way; read in any order,
//! with unknown parameters (trackers, web seeds, other hashes) skipped, hexadecimal digits of either
//! case, every value escaped or not, `+` or `%20` for a space in the name.
//!
//! `dn` and `xl` are what the writer of the link says: the name goes through
//! [`safe_file_name`](super::safe_file_name) before it touches a disk, the size is settled by the
//! hash list.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;

use super::name::prefix;
use super::{ContentId, ParseContentIdError};
use crate::contact::is_usable;

/// A content id with a name, a size and contacts, as far as they are known.
///
/// ```
/// use kadlet_core::content::{ContentId, Link};
///
/// let link = Link::new(ContentId::of(b"hello"))
///     .with_name("hello & welcome.txt")
///     .with_size(5)
///     .with_contact("127.0.0.1:4242".parse()?);
/// let text = link.to_string();
/// assert!(text.ends_with("&dn=hello%20%26%20welcome.txt&xl=5&x.pe=127.0.0.1:4242"));
/// assert_eq!(text.parse(), Ok(link));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Link {
    id: ContentId,
    name: Option<String>,
    size: Option<u64>,
    contacts: Vec<SocketAddr>,
}

impl Link {
    /// Longest text read as a link, in bytes: the longest we write, four times over, so that a link
    /// with other networks' trackers passes.
    pub const MAX_LEN: usize = 8192;

    /// Most contacts kept; one that answers is enough, and they are asked at once.
    pub const MAX_CONTACTS: usize = 16;

    /// Longest name kept, in bytes of UTF-8: what file systems take. Longer ones are cut.
    pub const MAX_NAME: usize = 255;

    /// A link that says the id alone.
    #[must_use]
    pub const fn new(id: ContentId) -> Self {
        Self { id, name: None, size: None, contacts: Vec::new() }
    }

    /// The same with a name, cut at [`MAX_NAME`](Self::MAX_NAME). An empty one is none.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        let name = prefix(name, Self::MAX_NAME);
        self.name = (!name.is_empty()).then(|| name.to_string());
        self
    }

    /// The same with a size in bytes.
    #[must_use]
    pub const fn with_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// The same with one contact more. One that is there already, that no node can be behind, or
    /// beyond [`MAX_CONTACTS`](Self::MAX_CONTACTS) is left out.
    #[must_use]
    pub fn with_contact(mut self, contact: SocketAddr) -> Self {
        // An IPv6 zone means something on the machine that wrote it alone.
        let contact = SocketAddr::new(contact.ip(), contact.port());
        if is_usable(contact)
            && !self.contacts.contains(&contact)
            && self.contacts.len() < Self::MAX_CONTACTS
        {
            self.contacts.push(contact);
        }
        self
    }

    /// The content.
    #[must_use]
    pub const fn id(&self) -> ContentId {
        self.id
    }

    /// What the writer of the link calls the file; not a safe file name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The size in bytes, as the writer of the link says.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// Nodes to join the network through.
    #[must_use]
    pub fn contacts(&self) -> &[SocketAddr] {
        &self.contacts
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "magnet:?xt=urn:blake3:{}", self.id)?;
        if let Some(name) = &self.name {
            f.write_str("&dn=")?;
            for byte in name.bytes() {
                // Unreserved characters stay (RFC 3986, section 2.3).
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        write!(f, "{}", char::from(byte))?;
                    }
                    _ => write!(f, "%{byte:02X}")?,
                }
            }
        }
        if let Some(size) = self.size {
            write!(f, "&xl={size}")?;
        }
        self.contacts.iter().try_for_each(|contact| write!(f, "&x.pe={contact}"))
    }
}

impl FromStr for Link {
    type Err = LinkError;

    /// Reads a link; white space around it is dropped.
    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        if text.len() > Self::MAX_LEN {
            return Err(LinkError::TooLong { len: text.len() });
        }
        let query = match text.split_once('?') {
            Some((scheme, query)) if scheme.eq_ignore_ascii_case("magnet:") => query,
            _ => return Err(LinkError::NoMagnet),
        };
        let (mut id, mut other_topic, mut size, mut name) = (None, None, None, None);
        let mut contacts = Vec::new();
        for parameter in query.split('&') {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match key.to_ascii_lowercase().as_str() {
                key if is_topic(key) => match topic(value)? {
                    Ok(found) if id.is_some_and(|id| id != found) => {
                        return Err(LinkError::TwoIds);
                    }
                    Ok(found) => id = Some(found),
                    Err(other) => other_topic = Some(other),
                },
                "dn" if name.is_none() => name = Some(unescape(value, true, "dn")?),
                "xl" => {
                    let value = unescape(value, false, "xl")?;
                    let found =
                        parse_size(&value).ok_or_else(|| LinkError::Size(excerpt(&value)))?;
                    if size.is_some_and(|size| size != found) {
                        return Err(LinkError::TwoSizes);
                    }
                    size = Some(found);
                }
                "x.pe" => {
                    let value = unescape(value, false, "x.pe")?;
                    let contact = value.parse().ok().filter(|contact| is_usable(*contact));
                    contacts.push(contact.ok_or_else(|| LinkError::Contact(excerpt(&value)))?);
                }
                _ => {}
            }
        }
        let mut link = Self::new(id.ok_or(match other_topic {
            Some(other) => LinkError::OtherTopic(other),
            None => LinkError::NoTopic,
        })?);
        link.size = size;
        if let Some(name) = name {
            link = link.with_name(&name);
        }
        Ok(contacts.into_iter().fold(link, Self::with_contact))
    }
}

/// `xt`, or `xt.1`, `xt.2`… as links with several topics have it.
fn is_topic(key: &str) -> bool {
    key.strip_prefix("xt").is_some_and(|number| {
        number.is_empty()
            || number.strip_prefix('.').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// The content id of a topic; inside, what it is if it is of another kind.
fn topic(value: &str) -> Result<Result<ContentId, String>, LinkError> {
    const URN: &str = "urn:blake3:";
    let value = unescape(value, false, "xt")?;
    match value.split_at_checked(URN.len()) {
        Some((urn, digits)) if urn.eq_ignore_ascii_case(URN) => {
            digits.parse().map(Ok).map_err(LinkError::Id)
        }
        _ => Ok(Err(excerpt(&value))),
    }
}

/// Decimal digits alone: what `u64`'s own parser takes, less its `+`.
fn parse_size(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

/// Undoes %XX, and `+` where the value is text that people typed.
fn unescape(value: &str, plus: bool, parameter: &'static str) -> Result<String, LinkError> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|d| char::from(d).to_digit(16));
                match (digit(), digit()) {
                    // Two hexadecimal digits make at most 255.
                    (Some(high), Some(low)) => (high << 4 | low) as u8,
                    _ => return Err(LinkError::Escape { parameter }),
                }
            }
            b'+' if plus => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| LinkError::Utf8 { parameter })
}

/// Enough of a stranger's text to recognise it by.
fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Why a text is no link.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LinkError {
    /// Longer than [`Link::MAX_LEN`].
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It does not begin with `magnet:?`.
    NoMagnet,
    /// It names no content at all.
    NoTopic,
    /// It names content of another network only; the beginning of that name.
    OtherTopic(String),
    /// Its content id is none.
    Id(ParseContentIdError),
    /// It names two different contents.
    TwoIds,
    /// Its size is no number of bytes; the beginning of it.
    Size(String),
    /// It gives two different sizes.
    TwoSizes,
    /// A contact is no address that a node can be behind; the beginning of it.
    Contact(String),
    /// A `%` that two hexadecimal digits do not follow.
    Escape {
        /// The parameter it stands in.
        parameter: &'static str,
    },
    /// Bytes that are no UTF-8.
    Utf8 {
        /// The parameter they stand in.
        parameter: &'static str,
    },
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len } => {
                write!(f, "a link has at most {} bytes, this has {len}", Link::MAX_LEN)
            }
            Self::NoMagnet => f.write_str("a link begins with \"magnet:?xt=urn:blake3:\""),
            Self::NoTopic => f.write_str("no content id: \"xt=urn:blake3:\" is missing"),
            Self::OtherTopic(found) => {
                let found = found.escape_default();
                write!(
                    f,
                    "the link is for another network: expected xt=urn:blake3:…, found \"{found}\""
                )
            }
            Self::Id(error) => write!(f, "after xt=urn:blake3: {error}"),
            Self::TwoIds => f.write_str("two different content ids, expected one"),
            Self::Size(found) => {
                let found = found.escape_default();
                write!(f, "xl is the size in bytes, in decimal digits, found \"{found}\"")
            }
            Self::TwoSizes => f.write_str("two different sizes (xl), expected one"),
            Self::Contact(found) => {
                let found = found.escape_default();
                write!(f, "x.pe is IP:PORT or [IPv6]:PORT of a node, found \"{found}\"")
            }
            Self::Escape { parameter } => {
                write!(f, "{parameter}: two hexadecimal digits follow every %")
            }
            Self::Utf8 { parameter } => write!(f, "{parameter}: not UTF-8"),
        }
    }
}

impl core::error::Error for LinkError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Id(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Link, LinkError> {
        text.parse()
    }

    fn hex() -> String {
        ContentId::of(b"hello").to_string()
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("a test address")
    }

    #[test]
    fn what_was_found_is_shown_without_control_characters() {
        let found = LinkError::Size("1\u{1b}[2J".into()).to_string();
        assert_eq!(found, "xl is the size in bytes, in decimal digits, found \"1\\u{1b}[2J\"");
    }

    #[test]
    fn links_as_other_programs_write_them() {
        let id = ContentId::of(b"hello");
        let plain = Link::new(id);
        let full = plain
            .clone()
            .with_name("a b+ü.txt")
            .with_size(5)
            .with_contact(addr("10.0.0.1:4000"))
            .with_contact(addr("[2a00::1]:5"));
        let (hex, upper) = (hex(), hex().to_uppercase());
        for (text, expected) in [
            (format!("magnet:?xt=urn:blake3:{hex}"), &plain),
            (format!("  MAGNET:?XT=URN:BLAKE3:{upper}\n"), &plain),
            (format!("magnet:?&&xt.1=urn:btih:abc&xt.2=urn:blake3:{hex}&tr=udp%zz&x=&dn="), &plain),
            (format!("magnet:?xt=urn%3Ablake3%3A{hex}&xt=urn:blake3:{upper}"), &plain),
            (
                format!(
                    "magnet:?x.pe=10.0.0.1%3a4000&xl=5&dn=a+b%2B%c3%bc.txt&dn=other&\
                     xt=urn:blake3:{hex}&x.pe=%5B2a00::1%5D:5&xl=5&x.pe=10.0.0.1:4000"
                ),
                &full,
            ),
            (full.to_string(), &full),
        ] {
            assert_eq!(parse(&text).as_ref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn wrong_links_say_what_is_wrong() {
        let good = format!("magnet:?xt=urn:blake3:{}", hex());
        let with = |more: &str| parse(&format!("{good}{more}"));
        assert_eq!(parse(""), Err(LinkError::NoMagnet));
        assert_eq!(parse("http://a/?xt=urn:blake3:00"), Err(LinkError::NoMagnet));
        assert_eq!(parse("magnet:?dn=x"), Err(LinkError::NoTopic));
        assert_eq!(
            parse("magnet:?xt=urn:btih:0123"),
            Err(LinkError::OtherTopic("urn:btih:0123".into()))
        );
        assert_eq!(
            parse("magnet:?xt=urn:blake3:0123"),
            Err(LinkError::Id(ParseContentIdError::Length(4)))
        );
        assert_eq!(with(&format!("&xt=urn:blake3:{}", "0".repeat(64))), Err(LinkError::TwoIds));
        for size in ["", "-1", "+1", "5k", "18446744073709551616", "1%20"] {
            assert!(matches!(with(&format!("&xl={size}")), Err(LinkError::Size(_))), "{size}");
        }
        assert_eq!(with("&xl=1&xl=2"), Err(LinkError::TwoSizes));
        for contact in ["", "host:1", "1.2.3.4", "1.2.3.4:0", "0.0.0.0:1", "::1:2", "1.2.3.4:65536"]
        {
            assert_eq!(
                with(&format!("&x.pe={contact}")),
                Err(LinkError::Contact(contact.into())),
                "{contact}"
            );
        }
        for escape in ["%", "%4", "%4g", "%+1"] {
            assert_eq!(with(&format!("&dn={escape}")), Err(LinkError::Escape { parameter: "dn" }));
        }
        assert_eq!(with("&dn=%ff"), Err(LinkError::Utf8 { parameter: "dn" }));
        let long = "x".repeat(Link::MAX_LEN);
        assert_eq!(with(&long), Err(LinkError::TooLong { len: good.len() + long.len() }));
    }

    #[test]
    fn a_link_is_bounded() {
        let mut link =
            Link::new(ContentId::of(b"")).with_name(&"ü".repeat(1000)).with_size(u64::MAX);
        for port in 1..100 {
            let host = "[2222:2222:2222:2222:2222:2222:2222:2222]";
            link = link.with_contact(addr(&format!("{host}:{}", 60_000 + port)));
        }
        assert_eq!(link.name().map(str::len), Some(254));
        assert_eq!(link.contacts().len(), Link::MAX_CONTACTS);
        assert!(link.to_string().len() <= Link::MAX_LEN / 4 + 256, "{}", link.to_string().len());
        assert_eq!(parse(&link.to_string()), Ok(link));
    }

    proptest! {
        #[test]
        fn text_and_back(
            seed in any::<[u8; 4]>(),
            name in prop::option::of(any::<String>()),
            size in prop::option::of(any::<u64>()),
            contacts in prop::collection::vec(any::<SocketAddr>(), 0..20),
        ) {
            let mut link = Link::new(ContentId::of(&seed));
            if let Some(name) = name {
                link = link.with_name(&name);
            }
            if let Some(size) = size {
                link = link.with_size(size);
            }
            let link = contacts.into_iter().fold(link, Link::with_contact);
            let text = link.to_string();
            prop_assert!(text.is_ascii());
            prop_assert_eq!(parse(&text), Ok(link));
        }

        #[test]
        fn any_text_parses_or_errs(tail in "\\PC{0,100}", query in "[&=%+.:a-z0-9\\[\\]]{0,60}") {
            let _ = parse(&tail);
            let _ = parse(&format!("magnet:?{query}"));
            let _ = parse(&format!("magnet:?xt=urn:blake3:{}&dn={tail}&xl={query}", hex()));
        }
    }
}
