//! The native wire is written by hand and is postcard all the same: the structures of
//! docs/protocol.md, written by postcard itself, give the same bytes.
#![expect(clippy::unwrap_used, reason = "tests")]

use core::net::SocketAddr;

use kadlet_core::wire::native::Native;
use kadlet_core::wire::{
    self, Body, ErrorCode, List, Malformed, Message, Method, NodeInfo, Query, SignedItem,
};
use kadlet_core::{Capabilities, Id};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;

#[derive(Serialize)]
enum Address {
    V4([u8; 4], [u8; 2]),
    V6([u8; 16], [u8; 2]),
}

#[derive(Serialize)]
struct Node {
    id: [u8; 20],
    address: Address,
    capabilities: u32,
}

#[derive(Serialize)]
struct Provider {
    address: Address,
    transports: u8,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    size: u64,
    content: [u8; 32],
}

#[derive(Serialize)]
struct Signed<'a> {
    public_key: [u8; 32],
    signature: [[u8; 32]; 2],
    seq: u64,
    salt: &'a [u8],
    value: &'a [u8],
}

#[derive(Serialize)]
struct Failure<'a> {
    code: u16,
    text: &'a str,
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let port = address.port().to_be_bytes();
        match address {
            SocketAddr::V4(address) => Self::V4(address.ip().octets(), port),
            SocketAddr::V6(address) => Self::V6(address.ip().octets(), port),
        }
    }
}

fn postcard(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap()
}

/// A field is what postcard writes for a number and bytes.
fn field(tag: u16, bytes: &[u8]) -> Vec<u8> {
    postcard(&(tag << 1, bytes))
}

/// A list is its elements, each as postcard writes bytes.
fn list(elements: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    elements.flat_map(|element| postcard(&element.as_slice())).collect()
}

/// A datagram's body as the hand-written encoder writes it.
fn body(body: Body<'_>) -> Vec<u8> {
    let mut datagram = Vec::new();
    Native::new("").encode(&Message::new(b"12345678", Id::ZERO, body), None, &mut datagram);
    datagram.split_off(44)
}

proptest! {
    #[test]
    fn lists(
        addresses in vec(any::<SocketAddr>(), 0..12), id: [u8; 20], bits: u32, size: u64,
        transports: u8, name in ".{0,20}", content: [u8; 32], page: u32, token in vec(any::<u8>(), 0..32),
    ) {
        let plain = |a: &SocketAddr| SocketAddr::new(a.ip(), a.port());
        let addresses: Vec<_> = addresses.iter().map(plain).collect();
        let capabilities = Capabilities(bits);
        let nodes: Vec<_> = addresses
            .iter()
            .map(|address| NodeInfo { id: Id::new(id), address: *address, capabilities })
            .collect();
        let peers: Vec<_> =
            addresses.iter().map(|address| wire::Peer { address: *address, transports }).collect();
        let hits = vec![wire::Hit::new(&name, size, &content); addresses.len().min(3)];
        let mut response = wire::Response::default();
        response.token = Some(&token);
        response.next_page = Some(page);
        response.seq = Some(size);
        response.nodes = List::new(&nodes);
        response.providers = List::new(&peers);
        response.hits = List::new(&hits);

        let mut expected = [field(7, &token), field(8, &postcard(&page)), field(9, &postcard(&size))].concat();
        if !addresses.is_empty() {
            let node = |a: &SocketAddr| postcard(&Node { id, address: (*a).into(), capabilities: bits });
            let peer = |a: &SocketAddr| postcard(&Provider { address: (*a).into(), transports });
            let entry = |_| postcard(&Entry { name: &name, size, content });
            expected.extend(field(25, &list(addresses.iter().map(node))));
            expected.extend(field(26, &list(addresses.iter().map(peer))));
            expected.extend(field(27, &list((0..hits.len()).map(entry))));
        }
        prop_assert_eq!(body(Body::Response(response)), expected);
    }

    #[test]
    fn a_signed_put(
        public_key: [u8; 32], halves: [[u8; 32]; 2], seq: u64, cas: u64, age in 1_u32..,
        salt in vec(any::<u8>(), 0..64), value in vec(any::<u8>(), 0..800),
    ) {
        let signature: [u8; 64] = halves.concat().try_into().unwrap();
        let mut signed = SignedItem::new(&public_key, seq, &value, &signature);
        signed.salt = &salt;
        let query = Query::new(Method::Put {
            token: b"token",
            item: wire::Item::Signed(signed),
            cas: Some(cas),
            age,
            lifetime: Some(age),
        });
        let signed = Signed { public_key, signature: halves, seq, salt: &salt, value: &value };
        prop_assert_eq!(body(Body::Query(query)), [
            field(7, b"token"),
            field(11, &postcard(&cas)),
            field(12, &postcard(&age)),
            field(13, &postcard(&age)),
            field(22, &postcard(&signed)),
        ].concat());
    }

    #[test]
    fn errors(code: u16, text in "[a-z]{0,64}") {
        let mut failure = wire::Failure::new(ErrorCode::from_number(code));
        failure.text = &text;
        let expected = field(24, &postcard(&Failure { code, text: &text }));
        prop_assert_eq!(body(Body::Error(failure)), expected);
    }

    /// Of all the bytes that a number could be read from, only those are one that postcard writes.
    #[test]
    fn numbers_have_one_form(bytes in vec(prop_oneof![0_u8..3, 0x7d_u8..=0x83, any::<u8>()], 0..7), number: u32) {
        let read = |bytes: &[u8]| {
            let mut datagram = Vec::new();
            let find = Body::Query(Query::about(Id::ZERO, Method::FindNode));
            let wire = Native::new("");
            wire.encode(&Message::new(b"12345678", Id::ZERO, find), None, &mut datagram);
            datagram.extend(field(6, bytes));
            wire.decode(&datagram).map(|message| match message.body {
                Body::Query(query) => query.mask.0,
                _ => panic!("not a query"),
            })
        };
        prop_assert_eq!(read(&postcard(&number)), Ok(number));
        match read(&bytes) {
            Ok(number) => prop_assert_eq!(postcard(&number), bytes),
            Err(reason) => prop_assert!(matches!(
                reason,
                Malformed::BadNumber | Malformed::Truncated | Malformed::Trailing
            )),
        }
    }
}
