//! What goes over the WebSocket: binary frames are datagrams, text frames are the relay's notes.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::{Value, json};

use super::counters::Reason;

/// The subprotocol, with its version.
pub(super) const PROTOCOL: &str = "kadlet-relay.1";

/// Longest address before a datagram: family, 16 bytes, port.
pub(super) const LONGEST_ADDRESS: usize = 19;

/// Takes a frame apart into the address of the other end and the datagram.
pub(super) fn decode(frame: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (family, rest) = frame.split_first()?;
    let (ip, rest) = match family {
        4 => {
            let (ip, rest) = rest.split_first_chunk::<4>()?;
            (IpAddr::V4(Ipv4Addr::from(*ip)), rest)
        }
        6 => {
            let (ip, rest) = rest.split_first_chunk::<16>()?;
            (IpAddr::V6(Ipv6Addr::from(*ip)), rest)
        }
        _ => return None,
    };
    let (port, datagram) = rest.split_first_chunk::<2>()?;
    Some((SocketAddr::new(ip, u16::from_be_bytes(*port)), datagram))
}

/// Puts them together.
pub(super) fn encode(other: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(LONGEST_ADDRESS + datagram.len());
    match other.ip() {
        IpAddr::V4(ip) => {
            frame.push(4);
            frame.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            frame.push(6);
            frame.extend(ip.octets());
        }
    }
    frame.extend(other.port().to_be_bytes());
    frame.extend(datagram);
    frame
}

/// How often datagrams were dropped for one reason, and where the last of them was to go.
pub(super) fn dropped(reason: Reason, to: Option<SocketAddr>, count: u32) -> Value {
    let mut note = json!({"type": "dropped", "reason": reason.name(), "count": count});
    if let (Some(to), Some(fields)) = (to, note.as_object_mut()) {
        fields.insert("to".to_owned(), to.to_string().into());
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_an_address_and_a_datagram() {
        for address in ["1.2.3.4:5", "[2001:db8::1]:65535"] {
            let address = address.parse().expect("an address");
            let frame = encode(address, b"datagram");
            assert_eq!(decode(&frame), Some((address, &b"datagram"[..])));
            let header = frame.len() - b"datagram".len();
            for length in 0..header {
                assert_eq!(decode(&frame[..length]), None, "{length} bytes");
            }
        }
        assert_eq!(
            encode("1.2.3.4:258".parse().expect("an address"), b"x"),
            [4, 1, 2, 3, 4, 1, 2, b'x']
        );
        for family in [0, 5, 255] {
            assert_eq!(decode(&[family; 32]), None);
        }
    }
}
