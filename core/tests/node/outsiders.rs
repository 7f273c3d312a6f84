//! What somebody can do who is not in our tables, or is there and lies.

use core::net::SocketAddr;
use core::time::Duration;
use kadlet_core::record::{SearchQuery, SignedValue, Transports};
use kadlet_core::wire::mainline::Mainline;
use kadlet_core::wire::native::Native;
use kadlet_core::wire::{
    Body, Hit, Item as WireItem, List, Message, Method, Peer, Query, Response, SignedItem,
};
use kadlet_core::{Config, Event, Family, Id, Instant, Node, Path, Transmit};

const NOW: Instant = Instant::from_secs(1);
const LIAR: Id = Id::new([0x70; 20]);
const GOOD: Id = Id::new([0x10; 20]);

fn node(config: Config) -> Node {
    Node::new(config, Id::new([1; 20]), [2; 32], NOW)
}

fn path(text: &str) -> Path {
    Path::direct(text.parse().expect("an address"))
}

fn native() -> Native {
    Native::new("kadlet")
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut datagram = Vec::new();
    native().encode(message, None, &mut datagram);
    datagram
}

fn answer(question: &Message<'_>, id: Id, response: Response<'_>) -> Vec<u8> {
    let mut message = Message::new(question.transaction, id, Body::Response(response));
    message.capabilities = Some(Config::default().capabilities);
    encoded(&message)
}

fn asked(node: &mut Node) -> Vec<Transmit> {
    core::iter::from_fn(|| node.poll_transmit()).collect()
}

/// What a command comes to where a liar answers after 1 ms and somebody honest after 20.
fn events_of(
    command: impl FnOnce(&mut Node, Instant),
    fill: impl Fn(bool, &Query<'_>, &mut dyn FnMut(Response<'_>)),
) -> Vec<Event> {
    let (mut node, mut now) = (node(Config::default()), NOW);
    let (liar, good) = (path("127.0.0.1:7"), path("127.0.0.1:8"));
    node.bootstrap(now, &[liar, good]);
    let (mut command, mut events) = (Some(command), Vec::new());
    let mut later: Vec<(Instant, Path, Vec<u8>)> = Vec::new();
    for _ in 0..10_000 {
        for transmit in asked(&mut node) {
            let question = native().decode(&transmit.payload).expect("a question");
            let Body::Query(query) = &question.body else { continue };
            let lies = transmit.path == liar;
            fill(lies, query, &mut |response| {
                let (id, after) = if lies { (LIAR, 1) } else { (GOOD, 20) };
                let due = now + Duration::from_millis(after);
                later.push((due, transmit.path, answer(&question, id, response)));
            });
        }
        events.extend(core::iter::from_fn(|| node.poll_event()));
        if events.iter().any(|it| matches!(it, Event::Done { .. })) {
            let Some(command) = command.take() else { return events };
            events.clear();
            command(&mut node, now);
            continue;
        }
        later.sort_by_key(|(at, ..)| *at);
        let due = node.poll_timeout().expect("a deadline");
        if later.first().is_some_and(|(at, ..)| *at <= due) {
            let (at, path, datagram) = later.remove(0);
            now = now.max(at);
            node.handle_datagram(now, path, &datagram).expect("an answer");
        } else {
            now = now.max(due);
            node.handle_timeout(now);
        }
    }
    panic!("no end");
}

/// A file is what its content is: with another size in the link nobody's would fit.
#[test]
fn a_wrong_size_hides_no_hit() {
    let search = |node: &mut Node, now| {
        node.search(now, SearchQuery::parse("whale").expect("a word"));
    };
    let events = events_of(search, |lies, query, send| {
        let hits = [Hit::new("Blue Whale.ogg", if lies { 1 } else { 1_234 }, &[9; 32])];
        let mut response = Response::default();
        if matches!(query.method, Method::Search { .. }) {
            response.hits = List::new(&hits);
        }
        send(response);
    });
    let size = |event: &Event| match event {
        Event::Hit { entry, .. } => Some(entry.size()),
        _ => None,
    };
    assert_eq!(events.iter().filter_map(size).collect::<Vec<_>>(), [1, 1_234]);
}

/// Nobody would fetch from who is said to serve nothing.
#[test]
fn wrong_transports_hide_no_provider() {
    let providers = |node: &mut Node, now| {
        node.providers(now, Id::new([0x77; 20]));
    };
    let events = events_of(providers, |lies, query, send| {
        let transports = if lies { 0 } else { Transports::HTTP.0 };
        let peers = [Peer { address: SocketAddr::from(([127, 0, 0, 1], 80)), transports }];
        let mut response = Response::default();
        if matches!(query.method, Method::GetProviders { .. }) {
            response.providers = List::new(&peers);
        }
        send(response);
    });
    let told = |event: &Event| match event {
        Event::Provider { transports, .. } => Some(*transports),
        _ => None,
    };
    assert_eq!(
        events.iter().filter_map(told).collect::<Vec<_>>(),
        [Transports(0), Transports::HTTP]
    );
    let found = |event: &Event| match event {
        Event::Done { totals, .. } => Some(totals.found),
        _ => None,
    };
    assert_eq!(events.iter().find_map(found), Some(1));
}

/// What is handed on is waited for, and the room for that is our own questions' too.
#[test]
fn signals_for_the_mute_do_not_use_up_our_questions() {
    let mut node = node(Config::default());
    let mute = path("20.1.1.1:7");
    node.bootstrap(NOW, &[mute]);
    for transmit in asked(&mut node) {
        let question = native().decode(&transmit.payload).expect("a question");
        let datagram = answer(&question, LIAR, Response::default());
        node.handle_datagram(NOW, mute, &datagram).expect("an answer");
    }
    assert!(node.table(Family::V4).get(LIAR).is_some());
    // Senders that nobody need own.
    for n in 0..10_000_u32 {
        let from = SocketAddr::from(([30, (n % 10) as u8, 0, (n / 10 % 250) as u8], 1_000));
        let query = Query::about(LIAR, Method::Signal { origin: None, payload: b"x" });
        let message = Message::new(b"question", Id::new([n as u8; 20]), Body::Query(query));
        let _ = node.handle_datagram(NOW, Path::direct(from), &encoded(&message));
    }
    asked(&mut node);
    node.find_node(NOW, Id::new([0x77; 20]));
    assert!(!asked(&mut node).is_empty());
}

/// A NAT lets in whom we wrote to, whether or not its answer came: who comes that way is no stranger.
#[test]
fn whom_we_wrote_to_is_no_stranger_on_mainline() {
    let mut node = node(Config::mainline());
    let (quiet, lively) = (path("20.1.1.1:7"), path("20.2.2.2:7"));
    node.bootstrap(NOW, &[quiet, lively]);
    let mut now = NOW;
    for _ in 0..50 {
        for transmit in asked(&mut node).into_iter().filter(|it| it.path == lively) {
            let question = Mainline.decode(&transmit.payload).expect("a question");
            let body = Body::Response(Response::default());
            let mut datagram = Vec::new();
            Mainline.encode(&Message::new(question.transaction, GOOD, body), &mut datagram);
            node.handle_datagram(now, lively, &datagram).expect("an answer");
        }
        now = now + Duration::from_millis(500);
        node.handle_timeout(now);
    }
    let ask = |node: &mut Node, from| {
        let body = Body::Query(Query::new(Method::Ping { nonce: None }));
        let mut datagram = Vec::new();
        Mainline.encode(&Message::new(b"aa", LIAR, body), &mut datagram);
        node.handle_datagram(now, from, &datagram).expect("a question");
        node.health().server
    };
    assert!(!ask(&mut node, quiet));
    assert!(ask(&mut node, path("20.3.3.3:7")), "a stranger shows it");
}

/// The same where a stranger is asked for its ping.
#[test]
fn whom_we_wrote_to_is_no_stranger() {
    let mut node = node(Config::default());
    let (quiet, lively) = (path("20.1.1.1:7"), path("20.2.2.2:7"));
    node.bootstrap(NOW, &[quiet, lively]);
    let (mut now, mut nonce) = (NOW, None);
    for _ in 0..100 {
        if nonce.is_some() {
            break;
        }
        for transmit in asked(&mut node).into_iter().filter(|it| it.path == lively) {
            let question = native().decode(&transmit.payload).expect("a question");
            if let Body::Query(Query { method: Method::DialBack { nonce: said }, .. }) =
                question.body
            {
                nonce = Some(said);
            }
            let datagram = answer(&question, GOOD, Response::default());
            // The one before may have ended what this was for.
            let _ = node.handle_datagram(now, lively, &datagram);
        }
        now = now + Duration::from_millis(500);
        node.handle_timeout(now);
    }
    let nonce = nonce.expect("a ping is asked for");
    let ask = |node: &mut Node, from| {
        let query = Query::new(Method::Ping { nonce: Some(nonce) });
        let datagram = encoded(&Message::new(b"question", LIAR, Body::Query(query)));
        node.handle_datagram(now, from, &datagram).expect("a question");
        node.health().server
    };
    assert!(!ask(&mut node, quiet));
    assert!(ask(&mut node, path("20.3.3.3:7")), "a stranger shows it");
}

/// Its answer was lost, and the question comes again: it was not somebody else who was quicker.
#[test]
fn a_compare_and_swap_that_is_repeated_is_answered_like_the_first() {
    let mut node = node(Config::default());
    let asker = path("127.0.0.1:7");
    let mut ask = |query: Query<'_>| {
        let datagram = encoded(&Message::new(b"question", LIAR, Body::Query(query)));
        node.handle_datagram(NOW, asker, &datagram).expect("a question");
        let transmit = node.poll_transmit().expect("an answer");
        match native().decode(&transmit.payload).expect("an answer").body {
            Body::Response(response) => Ok(response.token.map(<[u8]>::to_vec)),
            Body::Error(failure) => Err(failure.seq),
            Body::Query(query) => panic!("{query:?}"),
        }
    };
    let sign = |seq| SignedValue::sign(&[9; 32], b"", seq, b"value").expect("short");
    let key = sign(1).key();
    let token = ask(Query::about(key, Method::Get { newer_than: None })).expect("an answer");
    let token = token.expect("a token");
    let mut put = |seq, cas| {
        let it = sign(seq);
        let item = SignedItem::new(it.public_key(), seq, it.value(), it.signature());
        let item = WireItem::Signed(item);
        ask(Query::about(key, Method::Put { token: &token, item, cas, age: 0, lifetime: None }))
            .map(|_| ())
    };
    assert_eq!(put(5, None), Ok(()));
    assert_eq!(put(6, Some(5)), Ok(()));
    assert_eq!(put(6, Some(5)), Ok(()));
    assert_eq!(put(7, Some(5)), Err(Some(6)));
}

/// Whoever counts nanoseconds from 1970 is beyond the end of packed seconds at once.
#[test]
fn the_end_of_packed_seconds_wakes_nobody_for_ever() {
    let start = Instant::from_secs(137 * 365 * 86_400);
    let (mut now, mut calls) = (start, 0);
    let mut node = Node::new(Config::default(), Id::new([1; 20]), [2; 32], now);
    let contact = path("127.0.0.1:7");
    node.bootstrap(now, &[contact]);
    while now < start + Duration::from_secs(600) {
        for transmit in asked(&mut node) {
            let question = native().decode(&transmit.payload).expect("a question");
            let datagram = answer(&question, GOOD, Response::default());
            let _ = node.handle_datagram(now, contact, &datagram);
        }
        now = now.max(node.poll_timeout().expect("a deadline"));
        node.handle_timeout(now);
        calls += 1;
        assert!(calls < 10_000, "a deadline {:?} ago", now.since(start));
    }
}
