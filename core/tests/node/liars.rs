//! Contacts that somebody made up: what they make a node send, and to whom.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;

use kadlet_core::wire::native::Native;
use kadlet_core::wire::{Body, List, Message, NodeInfo, Response};
use kadlet_core::{Capabilities, Config, Event, Id, Instant, Node, Outcome, Path, Rejected};

const TARGET: Id = Id::new([0x77; 20]);
const LIAR: Id = Id::new([0x70; 20]);
const GOOD: Id = Id::new([0x10; 20]);

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// An id that shares all but the last byte with the target.
fn invented(n: u8) -> Id {
    let mut id = [0x77; 20];
    id[19] = n;
    Id::new(id)
}

/// A liar names two addresses under ten ids each, right next to whatever is looked for: at one
/// nobody is, at the other somebody who knows nothing of it. Each is asked once, and the lookup ends.
#[test]
fn an_address_is_asked_once_under_whatever_ids_it_is_named() {
    let wire = Native::new("kadlet");
    let mut now = Instant::from_secs(1);
    let mut node = Node::new(Config::default(), Id::new([1; 20]), [2; 32], now);
    let (liar, dead, good) = (at(7), at(600), at(601));
    let named: Vec<_> = (0..20)
        .map(|n| NodeInfo {
            id: invented(n),
            address: if n % 2 == 0 { dead } else { good },
            capabilities: Capabilities::NONE,
        })
        .collect();
    let mut asked = BTreeMap::new();
    let mut wrong = 0;
    node.bootstrap(now, &[Path::direct(liar)]);
    let mut operation = None;
    for _ in 0..10_000 {
        while let Some(transmit) = node.poll_transmit() {
            let to = transmit.path.remote;
            *asked.entry(to).or_insert(0) += 1;
            let question = wire.decode(&transmit.payload).expect("a question");
            let (who, nodes) = match to {
                _ if to == liar => (LIAR, named.as_slice()),
                _ if to == good => (GOOD, [].as_slice()),
                _ => {
                    // The system says so: a lookup learns at once what it else waits for.
                    node.handle_path_failed(now, transmit.path);
                    continue;
                }
            };
            let mut answer = Response::default();
            // The bootstrap is left alone.
            answer.nodes = List::new(if operation.is_some() { nodes } else { &[] });
            let mut message = Message::new(question.transaction, who, Body::Response(answer));
            message.capabilities = Some(Config::default().capabilities);
            let mut datagram = Vec::new();
            wire.encode(&message, None, &mut datagram);
            match node.handle_datagram(now, transmit.path, &datagram) {
                Ok(()) => assert_eq!(to, liar),
                Err(why) => {
                    assert_eq!((to, why), (good, Rejected::WrongId));
                    wrong += 1;
                }
            }
        }
        while let Some(event) = node.poll_event() {
            let Event::Done { operation: done, outcome, closest, .. } = event else { continue };
            if operation.is_none() {
                asked.clear();
                operation = Some(node.find_node(now, TARGET));
            } else if operation == Some(done) {
                assert_eq!(outcome, Outcome::Success);
                assert_eq!(closest.iter().map(|it| it.id).collect::<Vec<_>>(), [LIAR]);
                assert_eq!(wrong, 1);
                // About what its dead contacts left out, the liar is asked besides.
                assert!(asked.remove(&liar).is_some_and(|times| times <= 5));
                assert_eq!(asked, BTreeMap::from([(dead, 1), (good, 1)]));
                return;
            }
        }
        now = node.poll_timeout().expect("a deadline").max(now);
        node.handle_timeout(now);
    }
    panic!("the lookup does not end");
}
