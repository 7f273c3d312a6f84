//! Contacts that answer and yet do not: in another network's words, with errors, without tokens; and
//! those that are asked in a stranger's name.

use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::record::{Form, Item, Value};
use kadlet_core::wire::mainline::Mainline;
use kadlet_core::wire::native::Native;
use kadlet_core::wire::{
    Body, ErrorCode, Failure, List, Message, Method, NodeInfo, Query, Response, Wire,
};
use kadlet_core::{
    Capabilities, Config, Event, Family, Filter, Id, Instant, Node, Path, PutOptions, Role,
    Transmit,
};

const NOW: Instant = Instant::from_secs(1);

fn path(n: u16) -> Path {
    Path::direct(SocketAddr::from(([127, 0, 0, 1], 1_000 + n)))
}

/// Ids that lie together, far from a node whose own is zero: their bucket never splits.
fn id(n: u16) -> Id {
    let mut id = [0xFF; 20];
    id[18..].copy_from_slice(&n.to_be_bytes());
    Id::new(id)
}

fn encoded(wire: &Wire, message: &Message<'_>) -> Vec<u8> {
    let mut datagram = Vec::new();
    wire.encode(message, None, &mut datagram);
    datagram
}

/// A plain answer of contact `n` to this question.
fn plain(wire: &Wire, question: &Transmit, n: u16) -> Vec<u8> {
    let asked = wire.decode(&question.payload).expect("ours");
    encoded(wire, &Message::new(asked.transaction, id(n), Body::Response(Response::default())))
}

/// A node that has met contacts 1 and 2.
fn acquainted(config: Config, wire: &Wire) -> Node {
    let mut node = Node::new(config, Id::new([0; 20]), [2; 32], NOW);
    node.bootstrap(NOW, &[path(1), path(2)]);
    while let Some(question) = node.poll_transmit() {
        let n = if question.path == path(1) { 1 } else { 2 };
        let answer = plain(wire, &question, n);
        node.handle_datagram(NOW, question.path, &answer).expect("an answer");
    }
    assert_eq!(node.table(Family::V4).len(), 2);
    node
}

/// From now on contact 1 gives this for an answer. It has to go, and the other to be asked as well.
fn is_found_out(config: Config, wire: &Wire, answer: impl Fn(&Message<'_>) -> Vec<u8>) {
    let mut node = acquainted(config, wire);
    let end = NOW + Duration::from_secs(3_600);
    let mut others = 0;
    while let Some(now) = node.poll_timeout().filter(|due| *due <= end) {
        node.handle_timeout(now);
        while let Some(question) = node.poll_transmit() {
            let asked = wire.decode(&question.payload).expect("ours");
            if question.path == path(1) {
                let _ = node.handle_datagram(now, path(1), &answer(&asked));
            } else {
                others += 1;
                let answer = plain(wire, &question, 2);
                node.handle_datagram(now, path(2), &answer).expect("an answer");
            }
        }
    }
    let sound = node.table(Family::V4).closest(id(1), Filter::default());
    assert_eq!(sound.map(|contact| contact.id).collect::<Vec<_>>(), [id(2)]);
    assert!(others >= 3, "{others} questions to the other");
}

/// As a node does that begins anew under the name of another network.
#[test]
fn who_answers_for_another_network_is_no_contact() {
    let other = Native::new("another");
    is_found_out(Config::default(), &Wire::Native(Native::new("kadlet")), |asked| {
        let answer = Body::Response(Response::default());
        encoded(&Wire::Native(other.clone()), &Message::new(asked.transaction, id(1), answer))
    });
}

/// An error says nothing of who sends it (BEP 5).
#[test]
fn who_refuses_every_ping_is_no_contact() {
    is_found_out(Config::mainline(), &Wire::Mainline(Mainline), |asked| {
        let failure = Body::Error(Failure::new(ErrorCode::Generic));
        encoded(&Wire::Mainline(Mainline), &Message::new(asked.transaction, id(1), failure))
    });
}

/// What strangers have us hand on to a contact that says nothing to it is no sign of our own line.
#[test]
fn signals_for_the_silent_do_not_make_us_offline() {
    let wire = Wire::Native(Native::new("kadlet"));
    let mut node = acquainted(Config::default(), &wire);
    for n in 0..20_u16 {
        let query = Query::about(id(1), Method::Signal { origin: None, payload: b"hello" });
        let message = Message::new(b"12345678", id(100 + n), Body::Query(query));
        let _ = node.handle_datagram(NOW, path(100 + n), &encoded(&wire, &message));
    }
    let mut handed_on = 0;
    let end = NOW + Duration::from_secs(30);
    while let Some(now) = node.poll_timeout().filter(|due| *due <= end) {
        node.handle_timeout(now);
        while let Some(question) = node.poll_transmit() {
            handed_on += u32::from(question.path == path(1));
        }
    }
    assert!(handed_on >= 10, "{handed_on}");
    let mut events = core::iter::from_fn(|| node.poll_event());
    assert!(!events.any(|event| matches!(event, Event::Offline { offline: true })));
}

/// Mainline has nodes that only know BEP 5: a value goes to the k closest of those that gave a token
/// (BEP 44), however near the others are.
#[test]
fn a_value_goes_to_those_who_take_values() {
    let wire = Wire::Mainline(Mainline);
    let mut config = Config::mainline();
    config.role = Role::Server;
    config.limits.questions_per_host = None;
    let mut node = Node::new(config, Id::new([0; 20]), [2; 32], NOW);
    let item = Item::Immutable(Value::of(Form::Bencode, *b"5:hello").expect("bencode"));
    // The first eight are the nearest, and take none: half of them refuse, half have no token.
    let ids: Vec<Id> = (0..16_u8)
        .map(|n| {
            let mut id = *item.key().as_bytes();
            id[if n < 8 { 10 } else { 5 }] ^= n + 1;
            Id::new(id)
        })
        .collect();
    let nodes: Vec<NodeInfo> = (0_u16..)
        .zip(&ids)
        .map(|(n, id)| NodeInfo {
            id: *id,
            address: path(n).remote,
            capabilities: Capabilities::NONE,
        })
        .collect();
    let mut stored = Vec::new();
    let mut answer = |node: &mut Node, now: Instant| {
        while let Some(question) = node.poll_transmit() {
            let n = question.path.remote.port() - 1_000;
            let asked = wire.decode(&question.payload).expect("ours");
            let Body::Query(query) = &asked.body else { continue };
            let body = match query.method {
                Method::Put { .. } => {
                    stored.push(n);
                    Body::Response(Response::default())
                }
                Method::Get { .. } if n < 4 => Body::Error(Failure::new(ErrorCode::UnknownMethod)),
                _ => {
                    let mut response = Response::default();
                    response.nodes = List::new(&nodes);
                    response.token = (n >= 8).then_some(b"token");
                    Body::Response(response)
                }
            };
            let said = Message::new(asked.transaction, ids[usize::from(n)], body);
            let _ = node.handle_datagram(now, question.path, &encoded(&wire, &said));
        }
    };
    node.bootstrap(NOW, &[path(15)]);
    answer(&mut node, NOW);
    node.put(NOW, item, PutOptions::default()).expect("a value");
    let end = NOW + Duration::from_secs(60);
    answer(&mut node, NOW);
    while let Some(now) = node.poll_timeout().filter(|due| *due <= end) {
        node.handle_timeout(now);
        answer(&mut node, now);
    }
    stored.sort_unstable();
    assert_eq!(stored, (8..16).collect::<Vec<_>>());
}
