//! Clients that others still name, since they were servers until a moment ago: their network has
//! changed, or it turned out that strangers do not reach them.

use core::net::SocketAddr;

use kadlet_core::record::{Item, Value};
use kadlet_core::wire::native::Native;
use kadlet_core::wire::{Body, List, Message, NodeInfo, Response};
use kadlet_core::{Config, Event, Id, Instant, Node, OperationId, Path, PutOptions};

const SERVER: Id = Id::new([0x70; 20]);
const CLIENT: Id = Id::new([0x71; 20]);

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A node in a network of two: a server that names a client, and the client, which answers as a
/// server does but for the flag. What came of an operation: the ids it ended with, and who stored.
fn run(begin: impl FnOnce(&mut Node, Instant) -> OperationId) -> (Vec<Id>, Vec<Id>) {
    let wire = Native::new("kadlet");
    let mut now = Instant::from_secs(1);
    let mut node = Node::new(Config::default(), Id::new([1; 20]), [2; 32], now);
    let capabilities = Config::default().capabilities;
    let named = [NodeInfo { id: CLIENT, address: at(71), capabilities }];
    node.bootstrap(now, &[Path::direct(at(70))]);
    let (mut begin, mut operation, mut stored) = (Some(begin), None, Vec::new());
    for _ in 0..10_000 {
        while let Some(transmit) = node.poll_transmit() {
            let question = wire.decode(&transmit.payload).expect("a question");
            let is_client = transmit.path.remote == at(71);
            let (who, nodes) = if is_client { (CLIENT, &[][..]) } else { (SERVER, &named[..]) };
            let mut answer = Response::default();
            // A network is joined before there are clients in it.
            answer.nodes = List::new(if begin.is_none() { nodes } else { &[] });
            answer.token = Some(b"token");
            let mut message = Message::new(question.transaction, who, Body::Response(answer));
            (message.client, message.capabilities) = (is_client, Some(capabilities));
            let mut datagram = Vec::new();
            wire.encode(&message, None, &mut datagram);
            node.handle_datagram(now, transmit.path, &datagram).expect("an answer");
        }
        while let Some(event) = node.poll_event() {
            match event {
                Event::Stored { peer, .. } => stored.extend(peer.id),
                Event::Done { operation: done, closest, .. } if operation == Some(done) => {
                    return (closest.iter().map(|contact| contact.id).collect(), stored);
                }
                Event::Done { .. } => {
                    if let Some(begin) = begin.take() {
                        operation = Some(begin(&mut node, now));
                    }
                }
                _ => {}
            }
        }
        now = node.poll_timeout().expect("upkeep").max(now);
        node.handle_timeout(now);
    }
    panic!("it did not end");
}

#[test]
fn a_client_has_no_place_among_the_closest() {
    let near_both = Id::new([0x72; 20]);
    assert_eq!(run(|node, now| node.find_node(now, near_both)).0, [SERVER]);
    // Whoever looks for the client itself finds it.
    assert_eq!(run(|node, now| node.find_node(now, CLIENT)).0, [CLIENT, SERVER]);
}

#[test]
fn nothing_is_stored_with_a_client() {
    let item = Item::Immutable(Value::new(*b"hello").expect("short"));
    let put = |node: &mut Node, now| node.put(now, item, PutOptions::default()).expect("no limits");
    assert_eq!(run(put).1, [SERVER]);
}
