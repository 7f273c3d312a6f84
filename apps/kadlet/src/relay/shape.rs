//! What a datagram looks like from outside: the only thing a relay knows of it.
//!
//! Of the native wire the frozen header's size, magic and network; of Mainline a bencoded
//! dictionary that says of what kind it is and which transaction it belongs to. Whatever is
//! something else is not passed, in either direction.

use core::str::FromStr;

use kadlet_core::wire::bencode::Reader;
use kadlet_core::wire::native::{HEADER, MAX_DATAGRAM};

/// The native wire's first bytes, for ever; the draft's number follows.
const MAGIC: [u8; 3] = [0xfe, b'K', b'd'];

/// The core's own limit for what it sends: Mainline has none, and its longest answers come near
/// this.
const MAX_KRPC: usize = 1_500;

/// The network a client says it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Network {
    /// A native network by what stands in its headers.
    Native([u8; 8]),
    /// BitTorrent's.
    Mainline,
}

/// What a client says when it opens a connection: `mainline`, or 16 hexadecimal digits.
impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "mainline" {
            return Ok(Self::Mainline);
        }
        super::text::from_hex(text).map(Self::Native).ok_or(())
    }
}

/// Longest datagram of any network.
pub(super) const LONGEST: usize = MAX_KRPC;

impl Network {
    /// Longest datagram, bytes.
    pub(super) const fn mtu(self) -> usize {
        match self {
            Self::Native(_) => MAX_DATAGRAM,
            Self::Mainline => MAX_KRPC,
        }
    }

    /// Whether a client may send this.
    pub(super) fn sends(self, datagram: &[u8]) -> bool {
        match self {
            Self::Native(network) => is_native(datagram) && datagram[4..12] == network,
            Self::Mainline => is_krpc(datagram),
        }
    }

    /// Whether a client is handed this. Other networks and drafts too: that somebody speaks another
    /// one is told by the header of his answer.
    pub(super) fn receives(self, datagram: &[u8]) -> bool {
        match self {
            Self::Native(_) => is_native(datagram),
            Self::Mainline => is_krpc(datagram),
        }
    }
}

fn is_native(datagram: &[u8]) -> bool {
    (HEADER..=MAX_DATAGRAM).contains(&datagram.len()) && datagram.starts_with(&MAGIC)
}

fn is_krpc(datagram: &[u8]) -> bool {
    datagram.len() <= MAX_KRPC && krpc(datagram).unwrap_or(false)
}

fn krpc(datagram: &[u8]) -> Result<bool, kadlet_core::wire::Malformed> {
    let mut reader = Reader::new(datagram);
    let (mut kind, mut transaction) = (false, false);
    reader.dictionary()?;
    while let Some(key) = reader.key()? {
        match key {
            b"y" => kind = matches!(reader.bytes()?, b"q" | b"r" | b"e"),
            b"t" => transaction = !reader.bytes()?.is_empty(),
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    Ok(kind && transaction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kadlet_core::Id;
    use kadlet_core::wire::mainline::Mainline;
    use kadlet_core::wire::native::Native;
    use kadlet_core::wire::{Body, Message, Method, Query};

    fn ping() -> Message<'static> {
        let query = Query::new(Method::Ping { nonce: None });
        Message::new(b"12345678", Id::ZERO, Body::Query(query))
    }

    #[test]
    fn the_native_wire_passes_by_magic_size_and_network() {
        let mut datagram = Vec::new();
        Native::new("one").encode(&ping(), None, &mut datagram);
        let network = Network::Native(datagram[4..12].try_into().expect("eight bytes"));
        assert!(network.sends(&datagram) && network.receives(&datagram));
        // The draft's number is not the relay's business, nor is whatever else it says.
        let mut later = datagram.clone();
        later[3] ^= 1;
        later[12..].fill(0xff);
        assert!(network.sends(&later) && network.receives(&later));
        let mut other = datagram.clone();
        other[11] ^= 1;
        assert!(!network.sends(&other) && network.receives(&other));
        for at in 0..3 {
            let mut bad = datagram.clone();
            bad[at] ^= 1;
            assert!(!network.sends(&bad) && !network.receives(&bad));
        }
        for bad in [&datagram[..HEADER - 1], &[], b"d1:t2:aa1:y1:re"] {
            assert!(!network.sends(bad) && !network.receives(bad));
        }
        datagram.resize(MAX_DATAGRAM, 0);
        assert!(network.sends(&datagram));
        datagram.push(0);
        assert!(!network.sends(&datagram) && !network.receives(&datagram));
    }

    #[test]
    fn mainline_passes_by_its_dictionary() {
        let mut datagram = Vec::new();
        Mainline.encode(&ping(), &mut datagram);
        let network: Network = "mainline".parse().expect("a network");
        assert!(network.sends(&datagram) && network.receives(&datagram));
        assert!(network.sends(b"d1:t2:aa1:y1:re"));
        for bad in [
            &b"d1:y1:re"[..],
            b"d1:t2:aae",
            b"d1:t0:1:y1:re",
            b"d1:t2:aa1:y1:xe",
            b"d1:t2:aa1:y1:r",
            b"d1:t2:aa1:y1:rex",
            b"li1ee",
            b"GET / HTTP/1.1\r\n\r\n",
            b"",
        ] {
            assert!(!network.sends(bad), "{bad:?}");
        }
        let padding = "x".repeat(MAX_KRPC - b"d1:t2:aa1:x1477:1:y1:re".len());
        let longest = format!("d1:t2:aa1:x{}:{padding}1:y1:re", padding.len());
        assert!(longest.len() == MAX_KRPC && network.sends(longest.as_bytes()));
        let longer = format!("d1:t2:aa1:x{}:{padding}x1:y1:re", padding.len() + 1);
        assert!(!network.sends(longer.as_bytes()));
    }

    #[test]
    fn networks_are_named_by_their_bytes() {
        assert_eq!(
            "00112233445566ff".parse(),
            Ok(Network::Native([0, 17, 34, 51, 68, 85, 102, 255]))
        );
        for bad in ["", "0011", "00112233445566fg", "00112233445566ff0", "Mainline"] {
            assert_eq!(bad.parse::<Network>(), Err(()), "{bad}");
        }
    }
}
