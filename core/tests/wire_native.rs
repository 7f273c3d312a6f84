//! The native wire as others see it: round trips, growth, limits, and bytes that are none of it.
//!
//! docs/protocol.md is the specification, `golden/draft-1` its samples.
#![expect(clippy::unwrap_used, reason = "tests")]

use core::net::{IpAddr, SocketAddr};

use kadlet_core::wire::native::{self, MAX_DATAGRAM, Native};
use kadlet_core::wire::{
    Body, ErrorCode, Failure, Hit, Item, List, Malformed, Message, Method, NodeInfo, Peer, Query,
    Response, SignedItem,
};
use kadlet_core::{Capabilities, Families, Id};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Everything a message may be made of, whatever its kind.
#[derive(Clone, Debug)]
struct Parts {
    choice: u8,
    ids: [[u8; 20]; 2],
    transaction: [u8; 8],
    bits: u8,
    numbers: [u64; 4],
    capabilities: Option<u32>,
    cookie: Option<[u8; 8]>,
    observed: Option<SocketAddr>,
    token: Vec<u8>,
    value: Vec<u8>,
    extra: Vec<u8>,
    salt: Vec<u8>,
    key: [u8; 32],
    signature: Vec<u8>,
    name: String,
    nodes: Vec<NodeInfo>,
    peers: Vec<Peer>,
    sizes: Vec<u64>,
}

/// Numbers of every length: uniform ones are nearly always of the longest.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(|(n, shift)| n >> shift)
}

fn address() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(SocketAddr::from)
}

fn node() -> impl Strategy<Value = NodeInfo> {
    (any::<[u8; 20]>(), address(), number()).prop_map(|(id, address, bits)| NodeInfo {
        id: Id::new(id),
        address,
        capabilities: Capabilities(bits as u32),
    })
}

fn peer() -> impl Strategy<Value = Peer> {
    (address(), any::<u8>()).prop_map(|(address, transports)| Peer { address, transports })
}

fn parts() -> impl Strategy<Value = Parts> {
    let header = (any::<u8>(), any::<[[u8; 20]; 2]>(), any::<[u8; 8]>(), any::<u8>());
    let common = (option::of(any::<u32>()), option::of(any::<[u8; 8]>()), option::of(address()));
    let bytes = (
        vec(any::<u8>(), 0..=native::MAX_TOKEN),
        vec(any::<u8>(), 0..=native::MAX_VALUE - 128),
        vec(any::<u8>(), 0..=128),
        vec(any::<u8>(), 0..=native::MAX_SALT),
        any::<[u8; 32]>(),
        vec(any::<u8>(), 64),
        ".{0,60}",
    );
    let lists = (vec(node(), 0..50), vec(peer(), 0..150), vec(number(), 0..20));
    (header, [number(), number(), number(), number()], common, bytes, lists).prop_map(
        |((choice, ids, transaction, bits), numbers, common, bytes, lists)| {
            let (capabilities, cookie, observed) = common;
            let (token, value, extra, salt, key, signature, name) = bytes;
            let (nodes, peers, sizes) = lists;
            Parts {
                choice,
                ids,
                transaction,
                bits,
                numbers,
                capabilities,
                cookie,
                observed,
                token,
                value,
                extra,
                salt,
                key,
                signature,
                name,
                nodes,
                peers,
                sizes,
            }
        },
    )
}

fn wire() -> Native {
    Native::new("test")
}

impl Parts {
    fn bit(&self, index: u8) -> bool {
        self.bits >> index & 1 == 1
    }

    fn item(&self) -> Item<'_> {
        if self.bit(0) {
            return Item::Immutable(&self.value);
        }
        let signature = self.signature.first_chunk().unwrap();
        let mut item = SignedItem::new(&self.key, self.numbers[0], &self.value, signature);
        item.salt = &self.salt;
        item.extra = &self.extra;
        Item::Signed(item)
    }

    fn hit(&self, size: u64) -> Hit<'_> {
        let mut hit = Hit::new(&self.name, size, &self.key);
        hit.extra = &self.extra;
        hit
    }

    fn hits(&self) -> Vec<Hit<'_>> {
        self.sizes.iter().map(|size| self.hit(*size)).collect()
    }

    fn method(&self) -> Method<'_> {
        let [a, b, c, d] = self.numbers;
        match self.choice % 12 {
            0 => Method::Ping { nonce: self.bit(1).then_some(a) },
            1 => Method::FindNode,
            2 => Method::GetProviders { page: a as u32, scrape: false, no_seeds: false },
            3 => Method::Announce {
                token: &self.token,
                port: self.bit(1).then_some(b as u16),
                transports: c as u8,
                seed: false,
                implied_port: false,
            },
            4 => Method::Get { newer_than: self.bit(1).then_some(a) },
            5 => Method::Put {
                token: &self.token,
                item: self.item(),
                cas: self.bit(1).then_some(b),
                age: c as u32,
                lifetime: self.bit(2).then_some(d as u32),
            },
            6 => Method::Search { words: &self.name, page: a as u32 },
            7 => Method::Publish { token: &self.token, entry: self.hit(a) },
            8 => Method::Signal {
                origin: self.nodes.first().copied().filter(|_| self.bit(1)),
                payload: &self.value,
            },
            9 => Method::DialBack { nonce: a },
            10 => Method::Probe {
                address: self.observed.unwrap_or(([127, 0, 0, 1], 1).into()),
                nonce: a,
            },
            _ => Method::Unknown { code: Native::reserved_method(a as u32), name: &[] },
        }
    }

    fn message<'a>(&'a self, body: Body<'a>) -> Message<'a> {
        let mut message = Message::new(&self.transaction, Id::new(self.ids[0]), body);
        message.client = self.bit(7);
        // None at all are not said.
        message.capabilities = self.capabilities.filter(|bits| *bits != 0).map(Capabilities);
        message.cookie = self.cookie;
        message.observed = self.observed;
        message
    }

    fn query(&self) -> Message<'_> {
        let mut query = Query::about(Id::new(self.ids[1]), self.method());
        query.want = Families::from_bits(self.bits >> 5);
        query.mask = Capabilities(self.numbers[3] as u32);
        let mut message = self.message(Body::Query(query));
        // Only answers say what address they answer.
        message.observed = None;
        message
    }

    fn failure(&self) -> Message<'_> {
        let mut failure = Failure::new(ErrorCode::from_number(self.numbers[0] as u16));
        failure.method = self.numbers[1] as u16;
        failure.seq = self.bit(1).then_some(self.numbers[2]);
        failure.text = self.name.get(..native::MAX_TEXT).unwrap_or("");
        self.message(Body::Error(failure))
    }

    /// A response without lists.
    fn response(&self) -> Response<'_> {
        let [a, b, ..] = self.numbers;
        let mut response = Response::default();
        response.method = self.choice.into();
        response.token = self.bit(1).then_some(&self.token);
        response.item = self.bit(2).then_some(self.item());
        response.seq = self.bit(3).then_some(a);
        response.next_page = self.bit(4).then_some(b as u32);
        response.unsupported = self.bit(5);
        response.short = self.bit(6);
        response
    }
}

fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut datagram = Vec::new();
    wire().encode(message, None, &mut datagram);
    assert_eq!(datagram.len(), wire().encoded_len(message));
    assert!(datagram.len() <= MAX_DATAGRAM);
    datagram
}

fn round_trip(message: &Message<'_>) {
    let datagram = encode(message);
    assert_eq!(wire().decode(&datagram).as_ref(), Ok(message));
}

/// Whatever bytes are: no panic, and what they say is said by its canonical form too.
fn survive(datagram: &[u8]) {
    let wire = wire();
    let Ok(message) = wire.decode(datagram) else { return };
    let canonical = encode(&message);
    assert!(canonical.len() <= datagram.len());
    if let Body::Query(Query { method: Method::Unknown { code: ..=12, .. }, .. }) = message.body {
        // A critical field made it unknown; without the field it is not.
        return;
    }
    let again = wire.decode(&canonical).unwrap();
    assert_eq!(encode(&again), canonical);
    if !matches!(message.body, Body::Error(_)) {
        // Of an error's text we write no more than 64 bytes.
        assert_eq!(again, message);
    }
}

proptest! {
    #[test]
    fn queries_and_errors_come_back_as_they_were(parts in parts()) {
        round_trip(&parts.query());
        round_trip(&parts.failure());
    }

    /// `fit_*` is exact: what it says fits, fits, and one more would not.
    #[test]
    fn responses_come_back_with_as_many_elements_as_fit(parts in parts()) {
        let wire = wire();
        let hits = parts.hits();
        let mut response = parts.response();

        let room = |response: &Response<'_>| {
            MAX_DATAGRAM - wire.encoded_len(&parts.message(Body::Response(response.clone())))
        };
        let written = |response: &Response<'_>, count: usize| {
            let mut response = response.clone();
            response.nodes = List::new(&parts.nodes[..count]);
            let bytes = encode(&parts.message(Body::Response(response)));
            let message = wire.decode(&bytes).unwrap();
            let Body::Response(response) = message.body else { panic!("not a response") };
            response.nodes.iter().count()
        };
        let count = Native::fit_nodes(&parts.nodes, room(&response));
        prop_assert_eq!(written(&response, count), count);
        prop_assert_eq!(written(&response, parts.nodes.len()), count, "cut where fit says");

        let before = room(&response);
        response.nodes = List::new(&parts.nodes[..count]);
        let taken = before - room(&response);
        prop_assert_eq!(Native::fit_nodes(&parts.nodes, taken), count, "it takes what it takes");
        prop_assert!(count == 0 || Native::fit_nodes(&parts.nodes, taken - 1) < count);
        let count = Native::fit_peers(&parts.peers, room(&response));
        response.providers = List::new(&parts.peers[..count]);
        let count = Native::fit_hits(&hits, room(&response));
        response.hits = List::new(&hits[..count]);
        round_trip(&parts.message(Body::Response(response)));
    }

    #[test]
    fn grease_changes_nothing(parts in parts(), number in any::<u32>()) {
        // Some of the responses are full to the last byte.
        let mut response = parts.response();
        response.providers = List::new(&parts.peers);
        response.nodes = List::new(&parts.nodes);
        for message in [parts.query(), parts.message(Body::Response(response))] {
            let plain = encode(&message);
            let mut greased = Vec::new();
            wire().encode(&message, Some(number), &mut greased);
            prop_assert!(greased.len() <= MAX_DATAGRAM);
            prop_assert!(greased.starts_with(&plain));
            prop_assert!(greased.len() > plain.len() || plain.len() + 8 > MAX_DATAGRAM);
            prop_assert_eq!(wire().decode(&greased), wire().decode(&plain));
        }
    }

    #[test]
    fn random_bytes(kind in 0_u8..4, method in 0_u16..14, body in vec(any::<u8>(), 0..1400)) {
        survive(&body);
        let ping = Body::Query(Query::new(Method::Ping { nonce: None }));
        let mut datagram = encode(&Message::new(b"12345678", Id::ZERO, ping));
        datagram[12] = kind;
        datagram[14..16].copy_from_slice(&method.to_be_bytes());
        datagram.extend(body);
        survive(&datagram);
    }

    #[test]
    fn cut_anywhere_or_changed_anywhere(
        parts in parts(),
        at in any::<prop::sample::Index>(),
        changed in any::<u8>(),
    ) {
        let mut response = parts.response();
        let hits = parts.hits();
        response.nodes = List::new(&parts.nodes[..parts.nodes.len().min(5)]);
        response.providers = List::new(&parts.peers);
        response.hits = List::new(&hits);
        let response = parts.message(Body::Response(response));
        for message in [parts.query(), parts.failure(), response] {
            let mut datagram = encode(&message);
            let cut = at.index(datagram.len());
            survive(&datagram[..cut]);
            datagram[cut] = changed;
            survive(&datagram);
        }
    }
}

/// A message with what lives long is one with what lives shortly: an answer can be put together
/// from a question's transaction and a list of the answerer's. Compiling is the test.
const fn _is_covariant<'short>(long: Message<'static>, _: &'short [u8]) -> Message<'short> {
    long
}

#[test]
fn says_whose_it_is() {
    let ping = Body::Query(Query::new(Method::Ping { nonce: None }));
    let datagram = encode(&Message::new(b"12345678", Id::ZERO, ping));
    let with = |at: usize, byte: u8| {
        let mut datagram = datagram.clone();
        datagram[at] = byte;
        wire().decode(&datagram).map(|_| ())
    };
    assert_eq!(with(0, b'd'), Err(Malformed::NotOurs));
    assert_eq!(with(3, 2), Err(Malformed::OtherVersion));
    assert_eq!(with(4, datagram[4] ^ 1), Err(Malformed::OtherNetwork));
    assert_eq!(with(12, 3), Err(Malformed::BadField));
    assert_eq!(with(13, 0xfe), Ok(()), "unknown flags are ignored");
    assert_eq!(wire().decode(b""), Err(Malformed::NotOurs));
    assert_eq!(wire().decode(&datagram[..11]), Err(Malformed::Truncated));
    assert_eq!(wire().decode(&datagram[..43]), Err(Malformed::Truncated));
    let mut long = datagram.clone();
    long.resize(MAX_DATAGRAM + 1, 0);
    assert_eq!(wire().decode(&long), Err(Malformed::TooLong));
}
