//! What a node answers to single questions of docs/protocol.md, asked by a stranger who has nothing
//! but the wire.

use kadlet_core::record::SignedValue;
use kadlet_core::wire::native::Native;
use kadlet_core::wire::{
    Body, ErrorCode, Failure, Item, Message, Method, Query, Response, SignedItem,
};
use kadlet_core::{
    Capabilities, Config, Event, Family, GetQuery, Id, Instant, Node, Outcome, Path,
};

const NOW: Instant = Instant::from_secs(1);
const STRANGER: Id = Id::new([7; 20]);

/// A node that nobody else knows.
struct Asked {
    node: Node,
    wire: Native,
}

impl Asked {
    fn new() -> Self {
        let node = Node::new(Config::default(), Id::new([1; 20]), [2; 32], NOW);
        Self { node, wire: Native::new("kadlet") }
    }

    /// What the answer to a question says: its capabilities, and what `read` makes of the rest.
    fn ask<T>(&mut self, query: Query<'_>, read: impl Fn(Body<'_>) -> T) -> (Capabilities, T) {
        let mut datagram = Vec::new();
        let mut message = Message::new(b"question", STRANGER, Body::Query(query));
        message.client = true;
        self.wire.encode(&message, None, &mut datagram);
        let path = Path::direct("127.0.0.1:7".parse().expect("an address"));
        self.node.handle_datagram(NOW, path, &datagram).expect("a question");
        let transmit = self.node.poll_transmit().expect("an answer");
        assert_eq!(transmit.path, path);
        let answer = self.wire.decode(&transmit.payload).expect("an answer");
        assert_eq!(answer.transaction, b"question");
        (answer.capabilities.unwrap_or(Capabilities::NONE), read(answer.body))
    }

    fn token(&mut self, target: Id) -> Vec<u8> {
        let token = |body: Body<'_>| match body {
            Body::Response(Response { token: Some(token), .. }) => token.to_vec(),
            other => panic!("no token: {other:?}"),
        };
        self.ask(Query::about(target, Method::Get { newer_than: None }), token).1
    }

    /// The error by which a store is refused, if it is.
    fn store(&mut self, target: Id, method: Method<'_>) -> Option<ErrorCode> {
        let refused = |body: Body<'_>| match body {
            Body::Error(Failure { code, .. }) => Some(code),
            Body::Response(_) => None,
            Body::Query(query) => panic!("{query:?}"),
        };
        self.ask(Query::about(target, method), refused).1
    }

    fn put(&mut self, item: Item<'_>, target: Id, lifetime: Option<u32>) -> Option<ErrorCode> {
        let token = self.token(target);
        self.store(target, Method::Put { token: &token, item, cas: None, age: 0, lifetime })
    }
}

fn signed<'a>(key: &'a [u8; 32], salt: &'a [u8], value: &'a [u8]) -> (SignedItem<'a>, Id) {
    let mut item = SignedItem::new(key, 1, value, &[0; 64]);
    item.salt = salt;
    (item, SignedValue::key_of(key, salt))
}

#[test]
fn a_salt_over_its_limit_has_an_error_of_its_own() {
    let mut asked = Asked::new();
    let refusals = [
        (64, 896, ErrorCode::BadSignature),
        (65, 896, ErrorCode::SaltTooLarge),
        (64, 897, ErrorCode::ValueTooLarge),
        (65, 897, ErrorCode::SaltTooLarge),
    ];
    for (salt, value, expected) in refusals {
        let (salt, value) = (vec![1; salt], vec![2; value]);
        let (item, key) = signed(&[3; 32], &salt, &value);
        assert_eq!(asked.put(Item::Signed(item), key, None), Some(expected));
    }
}

/// Its holders could not know when it is no longer true.
#[test]
fn a_signed_value_is_not_taken_as_a_copy() {
    let mut asked = Asked::new();
    let value = SignedValue::sign(&[9; 32], b"", 1, b"hello").expect("short");
    let item = SignedItem::new(value.public_key(), 1, value.value(), value.signature());
    let refused = asked.put(Item::Signed(item), value.key(), Some(600));
    assert_eq!(refused, Some(ErrorCode::Protocol));
    assert_eq!(asked.put(Item::Signed(item), value.key(), None), None);
}

#[test]
fn an_announcement_of_port_0_is_refused_on_the_wire() {
    let mut asked = Asked::new();
    let key = Id::new([5; 20]);
    let token = asked.token(key);
    let announce = |token, port| Method::Announce {
        token,
        port,
        implied_port: false,
        transports: 1,
        seed: false,
    };
    assert_eq!(asked.store(key, announce(&token, Some(0))), Some(ErrorCode::Protocol));
    // Nobody without a token learns anything else.
    assert_eq!(asked.store(key, announce(b"another", Some(0))), Some(ErrorCode::BadToken));
    assert_eq!(asked.store(key, announce(&token, None)), None);
}

/// Whoever is refused must not take the holder for one that keeps nothing.
#[test]
fn an_error_says_what_its_sender_can_do() {
    let mut asked = Asked::new();
    let about_nothing = Query::new(Method::Unknown { code: 500, name: &[] });
    let (capabilities, code) = asked.ask(about_nothing, |body| match body {
        Body::Error(Failure { code, .. }) => code,
        other => panic!("no error: {other:?}"),
    });
    assert_eq!(code, ErrorCode::UnknownMethod);
    assert_eq!(capabilities, Config::default().capabilities);
    assert_ne!(capabilities, Capabilities::NONE);
}

/// Mistake 25: an error reply to an unknown extension counted as a dead node. Who answers with one
/// is found by the lookup, and stays in the table.
#[test]
fn who_answers_with_an_error_is_alive() {
    let Asked { mut node, wire } = Asked::new();
    let path = Path::direct("127.0.0.1:7".parse().expect("an address"));
    let answer_all = |node: &mut Node, with: fn() -> Body<'static>| {
        while let Some(transmit) = node.poll_transmit() {
            let question = wire.decode(&transmit.payload).expect("a question");
            let mut message = Message::new(question.transaction, STRANGER, with());
            message.capabilities = Some(Config::default().capabilities);
            let mut answer = Vec::new();
            wire.encode(&message, None, &mut answer);
            node.handle_datagram(NOW, path, &answer).expect("an answer");
        }
        core::iter::from_fn(|| node.poll_event()).last()
    };
    node.bootstrap(NOW, &[path]);
    answer_all(&mut node, || Body::Response(Response::default()));
    let operation = node.get(NOW, GetQuery::new(STRANGER));
    let end = answer_all(&mut node, || Body::Error(Failure::new(ErrorCode::UnknownMethod)));
    let Some(Event::Done { operation: done, closest, outcome, .. }) = end else {
        panic!("{end:?}")
    };
    assert_eq!((done, outcome), (operation, Outcome::Absent));
    assert_eq!(closest.iter().map(|it| it.id).collect::<Vec<_>>(), [STRANGER]);
    let entry = node.table(Family::V4).get(STRANGER).expect("a contact");
    assert!(entry.live && entry.failures == 0);
}
