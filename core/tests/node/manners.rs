//! What a member of Mainline keeps to: short datagrams, no question twice, and no word that others
//! could rely on before it is known that they reach us.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::wire::mainline::{Mainline, bep44};
use kadlet_core::wire::{Body, Item, Message, Method, Query, Response};
use kadlet_core::{Config, Families, Family, Id, Instant, LinkId, Node, Path, Role};

use crate::mainline::{Asked, response};

const NOW: Instant = Instant::from_secs(1);
pub(crate) const HASH: Id = Id::new([0x42; 20]);

/// One of many addresses of IPv6, each in a network of its own.
pub(crate) fn v6(n: u8) -> SocketAddr {
    SocketAddr::from(([0x2600, u16::from(n), 0, 0, 0, 0, 0, 1], 6881))
}

/// The contact answers a first question.
fn meet(node: &mut Node, at: SocketAddr, id: Id) {
    let path = Path::direct(at);
    node.bootstrap(NOW, &[path]);
    while let Some(question) = node.poll_transmit() {
        if question.path != path {
            continue;
        }
        let asked = Mainline.decode(&question.payload).expect("ours");
        let answer = Body::Response(Response::default());
        let mut datagram = Vec::new();
        Mainline.encode(&Message::new(asked.transaction, id, answer), &mut datagram);
        assert_eq!(node.handle_datagram(NOW, path, &datagram), Ok(()));
    }
}

/// A node with nine contacts of either family, which a stranger asks.
pub(crate) fn crowded() -> Asked {
    crowded_with(Config::mainline())
}

pub(crate) fn crowded_with(mut config: Config) -> Asked {
    config.role = Role::Server;
    config.limits.questions_per_host = None;
    let mut asked = Asked::at(config, "9.9.9.9:7");
    for n in 1..10_u8 {
        meet(&mut asked.node, SocketAddr::from(([11, n, 1, 1], 6881)), Id::new([n + 50; 20]));
        meet(&mut asked.node, v6(n), Id::new([n + 50; 20]));
    }
    asked
}

/// How many of either family an answer names.
fn named(answer: &[u8]) -> (usize, usize) {
    let nodes: Vec<_> = response(answer).nodes.iter().collect();
    let v4 = nodes.iter().filter(|node| node.address.is_ipv4()).count();
    (v4, nodes.len() - v4)
}

/// Eight contacts of either family and 28 peers of IPv6 would be 1,200 bytes.
#[test]
fn answers_fit_into_a_kilobyte() {
    let mut asked = crowded();
    let ask = |asked: &mut Asked| {
        let method = Method::GetProviders { page: 0, scrape: false, no_seeds: false };
        let mut query = Query::about(HASH, method);
        query.want = Families::BOTH;
        asked.ask(query)
    };
    let answer = ask(&mut asked);
    assert_eq!(named(&answer), (8, 8));
    for n in 100..140 {
        asked.from = Path::direct(v6(n));
        let token = response(&ask(&mut asked)).token.expect("a token").to_vec();
        assert!(token.len() <= 20);
        asked.announce(HASH, &token, false);
    }
    let answer = ask(&mut asked);
    assert!((900..=1_024).contains(&answer.len()), "{}", answer.len());
    let peers = response(&answer).providers.len();
    let (v4, v6) = named(&answer);
    assert!(peers > 20 && v4 > 0 && v6 > 0 && v4 + v6 < 16, "{peers}, {v4} and {v6}");
}

/// A value comes whatever its length; IPv6 makes room for it first.
#[test]
fn contacts_give_way_to_a_value() {
    for (length, some_v6) in [(450, true), (700, false), (996, false)] {
        let mut asked = crowded();
        let value = [format!("{length}:").into_bytes(), vec![b'x'; length]].concat();
        let key = bep44::immutable_key(&value);
        let token = asked.token(key).expect("a token");
        assert_eq!(asked.put(Some(key), Item::Immutable(&value), &token), None);
        let mut query = Query::about(key, Method::Get { newer_than: None });
        query.want = Families::BOTH;
        let answer = asked.ask(query);
        assert_eq!(response(&answer).item, Some(Item::Immutable(&value)));
        assert_eq!(response(&answer).listed, Families::BOTH, "the keys are there");
        let (v4, v6) = named(&answer);
        assert!(answer.len() <= 1_024 || (v4, v6) == (0, 0), "{}", answer.len());
        assert!(answer.len() <= 1_452, "{}", answer.len());
        assert_eq!(v6 > 0, some_v6, "{length}: {v4} and {v6}");
        assert!(v6 == 0 || (v4 == 8 && v6 < 8), "{length}: {v4} and {v6}");
    }
}

/// BEP 43: `ro` = 1 in every question until a stranger has asked, and in none after it.
#[test]
fn who_may_be_unreachable_says_so() {
    let mut asked = Asked::at(Config::mainline(), "9.9.9.9:7");
    let ours = "124.31.75.21:6881".parse().expect("an address");
    asked.node.link_up(NOW, LinkId(0), ours, Families::V4, 1_500);
    let mut said = Vec::new();
    for n in 1..4 {
        asked.node.bootstrap(NOW, &[Path::direct(SocketAddr::from(([11, n, 1, 1], 6881)))]);
        while let Some(question) = asked.node.poll_transmit() {
            said.push(Mainline.decode(&question.payload).expect("ours").client);
        }
        asked.token(HASH);
    }
    assert_eq!(said.first(), Some(&true));
    assert_eq!(said.last(), Some(&false));
    assert!(said.is_sorted_by(|a, b| a >= b), "{said:?}");
}

/// BEP 5 knows no retransmission: nobody hears the same twice, be they silent for ever.
#[test]
fn no_question_is_repeated() {
    let mut config = Config::mainline();
    config.role = Role::Server;
    // Whatever the settings say, the wire has none.
    config.requests.repeats = 3;
    let mut node = Node::new(config, Id::new([1; 20]), [2; 32], NOW);
    let silent: Vec<_> =
        (1..9).map(|n| Path::direct(SocketAddr::from(([11, n, 1, 1], 6881)))).collect();
    node.bootstrap(NOW, &silent);
    let mut transactions = BTreeSet::new();
    let mut last = BTreeMap::new();
    for second in 0..60_u64 {
        node.handle_timeout(NOW + Duration::from_secs(second));
        while let Some(question) = node.poll_transmit() {
            let asked = Mainline.decode(&question.payload).expect("ours");
            assert!(transactions.insert(asked.transaction.to_vec()), "the same once more");
            // Whoever knows nobody tries again to join, later.
            if let Some(before) = last.insert(question.path.remote, second) {
                assert!(second - before >= 10, "{before} and {second}");
            }
        }
    }
    assert_eq!(last.len(), 8);
    assert_eq!(node.table(Family::V4).len(), 0);
}
