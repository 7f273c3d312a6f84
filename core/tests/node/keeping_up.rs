//! What a node does of its own accord, and with more to do than it may do at once.

use alloc::collections::BTreeSet;
use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::record::{Item, SearchEntry, SignedValue, Value};
use kadlet_core::wire::native::Native;
use kadlet_core::wire::{Body, List, Message, Method, Peer, Query, Response};
use kadlet_core::{
    Announcement, Config, Event, Families, Family, GetQuery, Id, Instant, LinkId, Network, Node,
    OperationId, Outcome, Path, Prefix, PutOptions, Role, StateError,
};

use crate::net::{Net, STEP};

const HOUR: Duration = Duration::from_secs(3_600);

fn is_offline(event: &Event, expected: bool) -> bool {
    matches!(event, Event::Offline { offline } if *offline == expected)
}

/// Started before the node it is to join by: it joins when that one comes, without a command.
#[test]
fn a_silent_bootstrap_address_is_tried_until_it_answers() {
    let mut net = Net::new(31);
    let early = net.add("127.0.0.1:1", Config::default());
    let late = "127.0.0.1:2".parse().expect("an address");
    let (outcome, _) = net.run(early, |node, now| node.bootstrap(now, &[Path::direct(late)]));
    assert_eq!(outcome, Outcome::NoAnswer);
    net.run_for(HOUR);
    net.add("127.0.0.1:2", Config::default());
    let start = net.now;
    net.wait_for(early, |event| is_offline(event, false));
    // At most 160 s between two tries.
    assert!(net.now.since(start) < Duration::from_secs(180), "{:?}", net.now.since(start));
    net.run_for(Duration::from_secs(1));
    for addr in [early, late] {
        assert_eq!(net.node(addr).table(Family::V4).len(), 1, "{addr}");
    }
}

/// Nobody answers us, but somebody speaks to us: then something does arrive.
#[test]
fn a_newcomer_finds_a_node_that_believes_itself_offline() {
    let mut net = Net::new(32);
    let alone = net.add("127.0.0.1:1", Config::default());
    let gone = Path::direct("127.0.0.1:9".parse().expect("an address"));
    let (outcome, _) = net.run(alone, |node, now| node.bootstrap(now, &[gone]));
    assert_eq!(outcome, Outcome::NoAnswer);
    assert!(net.node(alone).health().offline);
    let newcomer = net.add("127.0.0.1:2", Config::default());
    let (outcome, _) = net.run(newcomer, |node, now| node.bootstrap(now, &[Path::direct(alone)]));
    assert_eq!(outcome, Outcome::Success);
    net.run_for(Duration::from_secs(1));
    assert!(!net.node(alone).health().offline);
    assert_eq!(net.node(alone).table(Family::V4).len(), 1);
}

/// Mistake 12, by sends that the system refuses: the table is not emptied while our network is gone.
#[test]
fn a_network_that_is_unreachable_empties_no_table() {
    let (mut net, addrs) = Net::local(33, 30);
    let before = net.node(addrs[0]).table(Family::V4).len();
    let others: Vec<_> = addrs[1..].to_vec();
    for addr in &others {
        net.nodes.remove(addr);
    }
    net.wire.clear();
    for _ in 0..40 {
        let (now, target) = (net.now, Id::random(&mut net.rng));
        let node = net.node(addrs[0]);
        node.find_node(now, target);
        // The host's sends fail at once.
        while let Some(transmit) = node.poll_transmit() {
            node.handle_path_failed(now, transmit.path);
        }
        net.now = now + Duration::from_secs(60);
    }
    let node = net.node(addrs[0]);
    assert!(node.health().offline);
    assert_eq!(node.table(Family::V4).len(), before);
}

/// Published while nobody was there: stored as soon as somebody comes, and said.
#[test]
fn what_nobody_heard_is_published_when_somebody_answers() {
    let mut net = Net::new(34);
    let publisher = net.add("127.0.0.1:1", Config::default());
    let key = Id::new([7; 20]);
    let announcement = Announcement::http(80);
    let (outcome, _) = net.run(publisher, |node, now| node.announce(now, key, announcement));
    assert_eq!(outcome, Outcome::NoPeers);
    let holder = net.add("127.0.0.1:2", Config::default());
    net.run(holder, |node, now| node.bootstrap(now, &[Path::direct(publisher)]));
    let start = net.now;
    net.wait_for(publisher, |event| matches!(event, Event::Renewed { stored: 1, .. }));
    assert!(net.now.since(start) < Duration::from_secs(3), "{:?}", net.now.since(start));
    assert_eq!(net.node(holder).store_stats().providers, 1);
}

/// Published while the network was away, by more than are tried at once: stored when it is back.
#[test]
fn what_was_published_offline_is_stored_when_the_network_is_back() {
    let mut net = Net::new(39);
    let holder = net.add("127.0.0.1:1", Config::default());
    let publisher = net.add("127.0.0.1:2", Config::default());
    net.run(publisher, |node, now| node.bootstrap(now, &[Path::direct(holder)]));
    let away = net.nodes.remove(&holder).expect("it is there");
    let now = net.now;
    for n in 0..100 {
        net.node(publisher).announce(now, Id::new([n; 20]), Announcement::http(80));
    }
    net.wait_for(publisher, |event| is_offline(event, true));
    while net.node(publisher).health().operations > 0 {
        net.step();
    }
    net.nodes.insert(holder, away);
    net.wait_for(publisher, |event| is_offline(event, false));
    let start = net.now;
    let mut stored = 0;
    net.wait_for(publisher, |event| {
        stored += u32::from(matches!(event, Event::Renewed { stored: 1, .. }));
        stored == 100
    });
    assert!(net.now.since(start) < Duration::from_secs(10), "{:?}", net.now.since(start));
    assert_eq!(net.node(holder).store_stats().providers, 100);
}

/// Providers are found at the address that their node has now, not at the one it had.
#[test]
fn what_is_provided_is_announced_anew_from_another_address() {
    let mut net = Net::new(43);
    let holder = net.add("127.0.0.1:1", Config::default());
    let old = net.add("127.0.0.2:2", Config::default());
    let key = Id::new([7; 20]);
    net.run(old, |node, now| node.bootstrap(now, &[Path::direct(holder)]));
    let link_up = |net: &mut Net, addr: SocketAddr| {
        let now = net.now;
        net.node(addr).link_up(now, LinkId(0), addr, Families::V4, 1500);
    };
    link_up(&mut net, old);
    net.run(old, |node, now| node.announce(now, key, Announcement::http(80)));
    let node = net.nodes.remove(&old).expect("it is there");
    let new: SocketAddr = "127.0.0.3:3".parse().expect("an address");
    net.nodes.insert(new, node);
    link_up(&mut net, new);
    let start = net.now;
    // Whatever is answered.
    net.run(new, |node, now| node.find_node(now, key));
    let soon = start + Duration::from_secs(5);
    while net.node(holder).store_stats().providers < 2 && net.now < soon {
        net.step();
    }
    assert_eq!(net.node(holder).store_stats().providers, 2);
    // The same address again is no news.
    let operations = net.node(new).stats().operations;
    link_up(&mut net, new);
    net.now = net.now + Duration::from_secs(120);
    net.run(new, |node, now| node.find_node(now, key));
    let later = net.now + Duration::from_secs(5);
    while net.now < later {
        net.step();
    }
    assert_eq!(net.node(new).stats().operations - operations, 1);
}

/// Refused by all there was: stored within minutes of somebody coming who has room, and said.
#[test]
fn what_nobody_took_is_published_again_soon() {
    let mut net = Net::new(41);
    let mut config = Config::default();
    config.store.max_records = 0;
    let full = net.add("127.0.0.1:1", config);
    let publisher = net.add("127.0.0.1:2", Config::default());
    net.run(publisher, |node, now| node.bootstrap(now, &[Path::direct(full)]));
    let announcement = Announcement::http(80);
    let key = Id::new([7; 20]);
    let (outcome, _) = net.run(publisher, |node, now| node.announce(now, key, announcement));
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
    let holder = net.add("127.0.0.1:3", Config::default());
    net.run(holder, |node, now| node.bootstrap(now, &[Path::direct(publisher)]));
    let start = net.now;
    net.wait_for(publisher, |event| matches!(event, Event::Renewed { stored: 1, .. }));
    assert!(net.now.since(start) < Duration::from_secs(300), "{:?}", net.now.since(start));
    assert_eq!(net.node(holder).store_stats().providers, 1);
}

/// Refused is heard: whoever refuses is not asked again at every answer.
#[test]
fn what_was_refused_is_not_hastened() {
    let mut net = Net::new(40);
    let mut config = Config::default();
    config.store.max_records = 0;
    let holder = net.add("127.0.0.1:1", config);
    let publisher = net.add("127.0.0.1:2", Config::default());
    net.run(publisher, |node, now| node.bootstrap(now, &[Path::direct(holder)]));
    let key = Id::new([7; 20]);
    let announcement = Announcement::http(80);
    let (outcome, _) = net.run(publisher, |node, now| node.announce(now, key, announcement));
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
    let operations = net.node(publisher).stats().operations;
    let lookups = 20;
    for _ in 0..lookups {
        net.run(publisher, |node, now| node.find_node(now, key));
        net.now = net.now + Duration::from_secs(1);
    }
    assert_eq!(net.node(publisher).stats().operations - operations, lookups);
}

/// Cancelling what is renewed stops the renewal that is under way.
#[test]
fn a_cancelled_publication_is_not_stored_by_a_renewal_under_way() {
    let (mut net, addrs) = Net::local(35, 30);
    let mut config = Config::default();
    // Nothing else of its own accord.
    config.table.refresh_after = 48 * HOUR;
    let publisher = net.add("127.0.0.1:2000", config);
    net.run(publisher, |node, now| node.bootstrap(now, &[Path::direct(addrs[0])]));
    let key = Id::new([7; 20]);
    let announcement = Announcement::http(80);
    net.run(publisher, |node, now| node.announce(now, key, announcement));
    let operation = OperationId(net.node(publisher).stats().operations - 1);
    while net.node(publisher).health().operations == 0 {
        net.step();
    }
    let now = net.now;
    assert!(now > Instant::EPOCH + 3 * HOUR, "a renewal is under way");
    assert!(net.node(publisher).cancel(now, operation));
    let health = net.node(publisher).health();
    assert_eq!((health.publications, health.operations), (0, 0));
}

/// An older version that went on being renewed would come back when the newer one expires.
#[test]
fn a_newer_version_ends_the_renewal_of_the_older_ones() {
    let (mut net, addrs) = Net::local(36, 30);
    let publisher = addrs[3];
    let put = |net: &mut Net, salt: &[u8], seq, options| {
        let value = SignedValue::sign(&[9; 32], salt, seq, b"news").expect("short");
        net.run(publisher, |node, now| {
            node.put(now, Item::Signed(value.clone()), options).expect("ours")
        });
        OperationId(net.node(publisher).stats().operations - 1)
    };
    let first = put(&mut net, b"a", 1, PutOptions::renewed());
    put(&mut net, b"b", 1, PutOptions::renewed());
    let second = put(&mut net, b"a", 2, PutOptions::renewed());
    let now = net.now;
    assert_eq!(net.node(publisher).health().publications, 2, "the other feed goes on");
    assert!(!net.node(publisher).cancel(now, first));
    // Put once, it ends it as well; an older one ends nothing, nor one that nobody took.
    put(&mut net, b"a", 1, PutOptions::default());
    put(&mut net, b"a", 9, PutOptions::compare_and_swap(7));
    assert_eq!(net.node(publisher).health().publications, 2);
    put(&mut net, b"a", 3, PutOptions::default());
    assert_eq!(net.node(publisher).health().publications, 1);
    let now = net.now;
    assert!(!net.node(publisher).cancel(now, second));
}

/// Who waits for a place in a bucket and turns out to be a client, or somebody else, is no longer
/// asked whether it is there.
#[test]
fn a_replacement_that_became_a_client_waits_no_longer() {
    let wire = Native::new("kadlet");
    let now = Instant::from_secs(1);
    let mut node = Node::new(Config::default(), Id::new([0; 20]), [2; 32], now);
    let mut met = |n: u8, client: bool| {
        let path = Path::direct(SocketAddr::from(([127, 0, 0, 1], 100 + u16::from(n))));
        node.bootstrap(now, &[path]);
        let question = loop {
            let question = node.poll_transmit().expect("a question");
            if question.path == path {
                break question;
            }
        };
        let asked = wire.decode(&question.payload).expect("ours");
        let answer = Body::Response(Response::default());
        // All close together and far from us, so that one bucket is theirs.
        let mut id = [0xFF; 20];
        id[19] = n;
        let mut answer = Message::new(asked.transaction, Id::new(id), answer);
        answer.client = client;
        let mut datagram = Vec::new();
        wire.encode(&answer, None, &mut datagram);
        node.handle_datagram(now, path, &datagram).expect("an answer");
        let buckets = node.table(Family::V4).buckets();
        buckets.map(|bucket| bucket.replacements().len()).sum::<usize>()
    };
    for n in 0..20 {
        assert_eq!(met(n, false), 0);
    }
    assert_eq!(met(20, false), 1);
    assert_eq!(met(20, true), 0);
}

/// A holder that has ever more pages, and takes its time over each, does not hold up what there is.
#[test]
fn a_list_without_an_end_is_left_in_the_middle() {
    let wire = Native::new("kadlet");
    let mut now = Instant::from_secs(1);
    let mut node = Node::new(Config::default(), Id::new([0; 20]), [2; 32], now);
    let path = Path::direct(SocketAddr::from(([127, 0, 0, 1], 100)));
    node.bootstrap(now, &[path]);
    let begun = now;
    let mut wanted = None;
    let (mut pages, mut due) = (0, None);
    loop {
        while let Some(question) = node.poll_transmit() {
            let asked = wire.decode(&question.payload).expect("ours");
            let Body::Query(query) = &asked.body else { continue };
            let page = match query.method {
                Method::GetProviders { page, .. } => Some(page),
                _ => None,
            };
            pages += usize::from(page.is_some());
            let peers = [Peer { address: SocketAddr::from(([127, 0, 0, 1], 200)), transports: 1 }];
            let mut response = Response::default();
            if let Some(page) = page {
                (response.providers, response.next_page) = (List::new(&peers), Some(page + 1));
            }
            let id = Id::new([9; 20]);
            let answer = Message::new(asked.transaction, id, Body::Response(response));
            let mut datagram = Vec::new();
            wire.encode(&answer, None, &mut datagram);
            due = Some((now + Duration::from_millis(900), datagram));
        }
        let mut outcome = None;
        while let Some(event) = node.poll_event() {
            match event {
                Event::Done { operation, outcome: how, .. } if Some(operation) == wanted => {
                    outcome = Some(how);
                }
                Event::Done { .. } if wanted.is_none() => {
                    wanted = Some(node.providers(now, Id::new([7; 20])));
                }
                _ => {}
            }
        }
        if let Some(outcome) = outcome {
            assert_eq!(outcome, Outcome::Success);
            break;
        }
        let timeout = node.poll_timeout().expect("it does not end");
        match due.take_if(|(at, _)| *at <= timeout) {
            Some((at, datagram)) => {
                now = at;
                node.handle_datagram(now, path, &datagram).expect("an answer");
            }
            None => {
                now = now.max(timeout);
                node.handle_timeout(now);
            }
        }
    }
    assert!(pages > 20 && now < begun + Duration::from_secs(40), "{pages} pages, {now:?}");
}

/// A contact that has us ping ten addresses at which nobody is does not make us believe that we are
/// offline.
#[test]
fn nobody_talks_us_offline() {
    let wire = Native::new("kadlet");
    let begun = Instant::from_secs(1);
    let mut node = Node::new(Config::default(), Id::new([0; 20]), [2; 32], begun);
    let path = Path::direct(SocketAddr::from(([127, 0, 0, 1], 100)));
    node.bootstrap(begun, &[path]);
    let say = |transaction: &[u8], body: Body<'_>| {
        let mut datagram = Vec::new();
        wire.encode(&Message::new(transaction, Id::new([9; 20]), body), None, &mut datagram);
        datagram
    };
    let answered = |node: &mut Node, now| {
        let mut asked = 0;
        while let Some(question) = node.poll_transmit() {
            let said = wire.decode(&question.payload).expect("ours");
            let is_query = matches!(said.body, Body::Query(_));
            asked += u32::from(is_query && question.path != path);
            if is_query && question.path == path {
                let answer = say(said.transaction, Body::Response(Response::default()));
                node.handle_datagram(now, path, &answer).expect("an answer");
            }
        }
        asked
    };
    answered(&mut node, begun);
    for n in 0..20_u16 {
        let address = SocketAddr::from(([127, 0, 0, 1], 200 + n));
        let probe = Query::new(Method::Probe { address, nonce: 7 });
        let datagram = say(&u64::from(n).to_be_bytes(), Body::Query(probe));
        node.handle_datagram(begun, path, &datagram).expect("a question");
    }
    assert_eq!(answered(&mut node, begun), 20);
    // No request lives longer.
    let end = begun + Duration::from_secs(30);
    while let Some(due) = node.poll_timeout().filter(|due| *due <= end) {
        node.handle_timeout(due);
        node.poll_transmit();
    }
    let mut events = core::iter::from_fn(|| node.poll_event());
    assert!(!events.any(|event| is_offline(&event, true)));
    assert!(node.stats().timeouts >= 20);
}

/// With few requests at once everything takes longer, and nothing is lost or blamed on anybody.
#[test]
fn a_full_request_table_delays_and_loses_nothing() {
    let mut net = Net::new(36);
    let addrs: Vec<_> =
        (0..30).map(|n| net.add(&format!("127.0.0.1:{}", 1000 + n), Config::default())).collect();
    for addr in &addrs[1..] {
        net.run(*addr, |node, now| node.bootstrap(now, &[Path::direct(addrs[0])]));
    }
    let mut config = Config::default();
    config.requests.outstanding = 3;
    let narrow = net.add("127.0.0.1:2000", config);
    net.run(narrow, |node, now| node.bootstrap(now, &[Path::direct(addrs[0])]));
    let now = net.now;
    let mut running: BTreeSet<_> = (0..40_u8)
        .map(|n| {
            let item = Item::Immutable(Value::new([n; 8]).expect("short"));
            net.node(narrow).put(now, item, PutOptions::default()).expect("a value")
        })
        .collect();
    let mut stored = 0;
    net.wait_for(narrow, |event| {
        match event {
            Event::Failed { peer, reason, .. } => panic!("{peer:?} is blamed: {reason:?}"),
            Event::Done { operation, totals, .. } if running.remove(operation) => {
                stored += totals.stored;
            }
            _ => {}
        }
        running.is_empty()
    });
    assert_eq!(stored, 40 * 20);
}

/// More commands than operations allowed: refused with an outcome of its own, never silently.
#[test]
fn too_many_operations_are_refused() {
    let mut config = Config::default();
    config.max_operations = 2;
    let mut node = Node::new(config, Id::new([1; 20]), [1; 32], Instant::EPOCH);
    let silent = Path::direct("127.0.0.1:9".parse().expect("an address"));
    for _ in 0..2 {
        node.bootstrap(Instant::EPOCH, &[silent]);
    }
    let refused = node.find_node(Instant::EPOCH, Id::ZERO);
    let done = core::iter::from_fn(|| node.poll_event())
        .find_map(|event| match event {
            Event::Done { operation, outcome, .. } => Some((operation, outcome)),
            _ => None,
        })
        .expect("it is told");
    assert_eq!(done, (refused, Outcome::Overloaded));
}

/// More records to renew than allowed: refused as well. Published once, they would be gone tomorrow.
#[test]
fn too_many_records_to_renew_are_refused() {
    let mut config = Config::default();
    config.max_publications = 2;
    let mut node = Node::new(config, Id::new([1; 20]), [1; 32], Instant::EPOCH);
    let mut announce = |file: u8| {
        node.announce(Instant::EPOCH, Id::new([file; 20]), Announcement::http(80));
        let events: Vec<_> = core::iter::from_fn(|| node.poll_event()).collect();
        let outcome = events.into_iter().find_map(|event| match event {
            Event::Done { outcome, .. } => Some(outcome),
            _ => None,
        });
        (outcome, node.health().publications)
    };
    let nobody = Some(Outcome::NoPeers);
    assert_eq!([announce(1), announce(2)], [(nobody, 1), (nobody, 2)]);
    assert_eq!(announce(3), (Some(Outcome::Overloaded), 2));
}

/// Somebody dead holds a lookup up for longer than there is time: the living keep the record all the
/// same.
#[test]
fn a_store_leaves_itself_time_to_store() {
    let mut net = Net::new(37);
    let publisher = net.add("127.0.0.1:1", Config::default());
    let holder = net.add("127.0.0.1:2", Config::default());
    let dead = net.add("127.0.0.1:3", Config::default());
    for node in [publisher, dead] {
        net.run(node, |node, now| node.bootstrap(now, &[Path::direct(holder)]));
    }
    net.run_for(Duration::from_secs(1));
    net.nodes.remove(&dead);
    let item = Item::Immutable(Value::new(*b"in time").expect("it is short"));
    let (outcome, events) = net.run(publisher, |node, now| {
        let operation = node.put(now, item, PutOptions::default()).expect("it has room");
        assert!(node.set_deadline(now, operation, Duration::from_millis(800)));
        operation
    });
    let stored = events.iter().filter(|event| matches!(event, Event::Stored { .. })).count();
    assert_eq!((outcome, stored), (Outcome::Success, 1));
    // Words share the time they are given together.
    let entry = SearchEntry::new("one two three four five six", 1, [1; 32]).expect("a name");
    let start = net.now;
    let (outcome, events) = net.run(publisher, |node, now| {
        let operation = node.publish(now, entry, false).expect("words");
        node.set_deadline(now, operation, Duration::from_millis(800));
        operation
    });
    let stored = events.iter().filter(|event| matches!(event, Event::Stored { .. })).count();
    assert_eq!((outcome, stored), (Outcome::Success, 6));
    assert!(net.now.since(start) <= Duration::from_millis(800));
}

/// A publisher and two holders that know each other.
fn two_holders() -> (Net, SocketAddr, [SocketAddr; 2]) {
    let mut net = Net::new(37);
    let [publisher, first, second] =
        [1, 2, 3].map(|port| net.add(&format!("127.0.0.1:{port}"), Config::default()));
    for node in [publisher, second] {
        net.run(node, |node, now| node.bootstrap(now, &[Path::direct(first)]));
    }
    net.run_for(Duration::from_secs(1));
    (net, publisher, [first, second])
}

/// Gives an operation of the publisher 800 ms, and lets nothing of the second holder, or of both,
/// arrive once somebody has stored something: how it ends, how many stored, and after how long.
fn cut_off(
    both: bool,
    command: impl FnOnce(&mut Node, Instant) -> OperationId,
) -> (Outcome, u32, Duration) {
    let (mut net, publisher, [first, second]) = two_holders();
    let now = net.now;
    let operation = command(net.node(publisher), now);
    net.node(publisher).set_deadline(now, operation, Duration::from_millis(800));
    for _ in 0..10_000 {
        while let Some(event) = net.node(publisher).poll_event() {
            match event {
                Event::Stored { peer, .. } if both || peer.path.remote == first => {
                    net.cut = Some((second, publisher));
                    if both {
                        net.nodes.remove(&first);
                    }
                }
                Event::Done { operation: done, outcome, totals, .. } if done == operation => {
                    return (outcome, totals.stored, net.now.since(now));
                }
                _ => {}
            }
        }
        net.step();
    }
    panic!("it does not end");
}

/// One of two holders acknowledged: what is stored is stored. A word that nobody stored is not.
#[test]
fn what_is_stored_by_the_deadline_counts() {
    let time = Duration::from_millis(800);
    let item = Item::Immutable(Value::new(*b"in time").expect("it is short"));
    let put = cut_off(false, |node, now| node.put(now, item, PutOptions::default()).expect("room"));
    assert_eq!(put, (Outcome::Success, 1, time));
    let entry = SearchEntry::new("one two", 1, [1; 32]).expect("a name");
    let (outcome, _, after) =
        cut_off(true, |node, now| node.publish(now, entry, false).expect("words"));
    assert_eq!((outcome, after), (Outcome::DeadlineExceeded, time));
}

/// With nobody to store with there is no reason to hurry: somebody may answer yet.
#[test]
fn a_store_without_a_holder_has_all_the_time() {
    let (mut net, publisher, holders) = two_holders();
    for holder in holders {
        net.nodes.remove(&holder);
    }
    let (start, time) = (net.now, Duration::from_millis(800));
    let item = Item::Immutable(Value::new(*b"in time").expect("it is short"));
    let (outcome, _) = net.run(publisher, |node, now| {
        let operation = node.put(now, item, PutOptions::default()).expect("it has room");
        node.set_deadline(now, operation, time);
        operation
    });
    assert_eq!((outcome, net.now.since(start)), (Outcome::DeadlineExceeded, time));
}

/// A name of many words is a lookup and its stores for each: the deadline is for one of them.
#[test]
fn every_word_of_a_name_has_all_the_time() {
    let mut net = Net::new(37);
    let mut config = Config::default();
    config.deadline = Duration::from_secs(6);
    let publisher = net.add("127.0.0.1:1", config);
    let holder = net.add("127.0.0.1:2", Config::default());
    net.run(publisher, |node, now| node.bootstrap(now, &[Path::direct(holder)]));
    // Somebody who died without notice holds up every lookup until its hard timeout.
    let dead = net.add("127.0.0.1:3", Config::default());
    net.run(dead, |node, now| node.bootstrap(now, &[Path::direct(holder)]));
    net.run_for(Duration::from_secs(1));
    net.nodes.remove(&dead);
    let entry = SearchEntry::new("one two three four five six", 1, [1; 32]).expect("a name");
    let (outcome, events) =
        net.run(publisher, |node, now| node.publish(now, entry, false).expect("words"));
    let stored = events.iter().filter(|event| matches!(event, Event::Stored { .. })).count();
    assert_eq!((outcome, stored), (Outcome::Success, 6));
}

/// On a public network a restored node is a client until it is shown to be reached again.
#[test]
fn a_restored_node_finds_out_anew_whether_it_is_reached() {
    let now = Instant::from_secs(1);
    let mut node = Node::new(Config::default(), Id::new([1; 20]), [1; 32], now);
    let local = "8.8.8.8:4000".parse().expect("an address");
    node.link_up(now, LinkId(0), local, Families::V4, 1500);
    assert!(!node.health().server);
    let state = node.export_state(now);
    let restored = Node::restore(Config::default(), &state, [2; 32], now, HOUR).expect("a state");
    assert!(!restored.health().server);
    let mut private = Node::new(Config::default(), Id::new([1; 20]), [1; 32], now);
    private.link_up(now, LinkId(0), "10.0.0.1:1".parse().expect("one"), Families::V4, 1500);
    let state = private.export_state(now);
    let restored = Node::restore(Config::default(), &state, [2; 32], now, HOUR).expect("a state");
    assert!(restored.health().server);
}

/// A state is of one network; what an early program wrote does not say of which.
#[test]
fn a_state_belongs_to_its_network() {
    let now = Instant::from_secs(1);
    let of = |name: &str| {
        let mut config = Config::default();
        config.network = Network::Native(name.to_owned());
        config
    };
    let node = Node::new(of("one"), Id::new([1; 20]), [1; 32], now);
    let state = node.export_state(now);
    let restored = |config, state: &[u8]| Node::restore(config, state, [2; 32], now, HOUR).err();
    assert_eq!(restored(of("one"), &state), None);
    assert_eq!(restored(of("another"), &state), Some(StateError::OtherNetwork));
    assert_eq!(restored(Config::mainline(), &state), Some(StateError::OtherNetwork));
    let early = &state[..state.len() - 16];
    let early = [early, &blake3::hash(early).as_bytes()[..8]].concat();
    assert_eq!(restored(of("another"), &early), None);
}

/// One owner of addresses does not fill an answer.
#[test]
fn answers_name_few_of_one_prefix() {
    let (mut net, addrs) = Net::joined(38, 24, |n| match n {
        0..12 => format!("9.9.9.{}:4000", 1 + n),
        _ => format!("8.8.{n}.1:4000"),
    });
    for node in net.nodes.values_mut() {
        assert!(matches!(node.config().role, Role::Auto));
    }
    let asker = Path::direct("7.7.7.7:4000".parse().expect("an address"));
    let mut named = Vec::new();
    for addr in addrs {
        let (native, now) = (Native::new("kadlet"), net.now);
        let query = Query::about(Id::ZERO, Method::FindNode);
        let mut bytes = Vec::new();
        let id = Id::new([9; 20]);
        native.encode(&Message::new(&[1; 8], id, Body::Query(query)), None, &mut bytes);
        let node = net.node(addr);
        node.handle_datagram(now, asker, &bytes).expect("a question");
        let answer = core::iter::from_fn(|| node.poll_transmit()).find(|it| it.path == asker);
        let answer = answer.expect("it is answered");
        let message = native.decode(&answer.payload).expect("a message");
        let Body::Response(response) = message.body else { panic!("no answer") };
        named.push(response.nodes.iter().map(|node| Prefix::of(node.address.ip())).collect());
    }
    let most = |prefixes: &Vec<Prefix>| {
        let count = |prefix| prefixes.iter().filter(|other| **other == prefix).count();
        prefixes.iter().map(|prefix| count(*prefix)).max().unwrap_or(0)
    };
    let counts: Vec<usize> = named.iter().map(most).collect();
    assert!(counts.iter().all(|count| *count <= 4), "{counts:?}");
}

/// Who is reached by others and not by us gets a signal through who named it, as soon as it is
/// silent: nobody waits until it is given up.
#[test]
fn a_signal_does_not_wait_for_a_silent_target() {
    let (mut net, addrs) = Net::local(40, 3);
    let (sender, target) = (addrs[1], addrs[2]);
    net.cut = Some((sender, target));
    let id = net.node(target).id();
    let begun = net.now;
    let (outcome, _) = net.run(sender, |node, now| node.signal(now, id, b"hello").expect("short"));
    assert_eq!(outcome, Outcome::Success);
    assert!(net.now.since(begun) < Duration::from_secs(2), "{:?}", net.now.since(begun));
    net.wait_for(
        target,
        |event| matches!(event, Event::Signal { payload, .. } if payload == b"hello"),
    );
}

/// A client is in nobody's table: what answers its signal goes where that came from.
#[test]
fn a_client_gets_the_answer_to_its_signal() {
    let (mut net, addrs) = Net::local(41, 10);
    let mut config = Config::default();
    config.role = Role::Client;
    let client = net.add("127.0.0.1:9", config);
    net.run(client, |node, now| node.bootstrap(now, &[Path::direct(addrs[0])]));
    let (ours, theirs) = (net.node(client).id(), net.node(addrs[3]).id());
    let (outcome, _) = net.run(client, |node, now| node.signal(now, theirs, b"1").expect("short"));
    assert_eq!(outcome, Outcome::Success);
    net.wait_for(addrs[3], |event| matches!(event, Event::Signal { .. }));
    let (outcome, _) = net.run(addrs[3], |node, now| node.signal(now, ours, b"2").expect("short"));
    assert_eq!(outcome, Outcome::Success);
    net.wait_for(client, |event| matches!(event, Event::Signal { payload, .. } if payload == b"2"));
    // Who never heard of it does not find it.
    let (outcome, _) = net.run(addrs[5], |node, now| node.signal(now, ours, b"3").expect("short"));
    assert_eq!(outcome, Outcome::Absent);
}

/// What is meant for one address goes to nobody else: not to whoever could hand it on, nor to the
/// same id at another address.
#[test]
fn a_signal_for_one_address_goes_nowhere_else() {
    let (mut net, addrs) = Net::local(42, 10);
    let (sender, target, other) = (addrs[1], addrs[2], addrs[3]);
    let id = net.node(target).id();
    let at = |addr| {
        move |node: &mut Node, now| {
            node.signal_at(now, id, Path::direct(addr), b"for you").expect("short")
        }
    };
    let heard = |net: &mut Net| -> Vec<SocketAddr> {
        let mut signalled = |addr: &SocketAddr| {
            let mut events = core::iter::from_fn(|| net.node(*addr).poll_event());
            events.any(|event| matches!(event, Event::Signal { .. }))
        };
        addrs.iter().copied().filter(|addr| signalled(addr)).collect()
    };
    let asked = |events: &[Event]| -> Vec<SocketAddr> {
        let asked = |event: &Event| match event {
            Event::Asked { peer, .. } => Some(peer.path.remote),
            _ => None,
        };
        events.iter().filter_map(asked).collect()
    };
    let (outcome, events) = net.run(sender, at(target));
    assert_eq!((outcome, asked(&events)), (Outcome::Success, vec![target]));
    assert_eq!(heard(&mut net), [target]);
    // Somebody else lives there, who knows the target well.
    let (outcome, events) = net.run(sender, at(other));
    assert_eq!((outcome, asked(&events)), (Outcome::NoAnswer, vec![other]));
    assert_eq!(heard(&mut net), []);
    // Others could reach it, and are not asked to.
    net.cut = Some((sender, target));
    let (outcome, events) = net.run(sender, at(target));
    assert_eq!((outcome, asked(&events)), (Outcome::NoAnswer, vec![target]));
    assert_eq!(heard(&mut net), []);
}

/// Nor to whom a node names before it knows that its answers arrive.
#[test]
fn a_signal_for_a_stranger_at_one_address_goes_nowhere_else() {
    let (mut net, addrs) = Net::joined(43, 30, |i| format!("9.{i}.0.1:4000"));
    let sender = net.add("8.8.0.1:4000", Config::default());
    let id = net.node(addrs[2]).id();
    let path = Path::direct(addrs[2]);
    let (outcome, events) =
        net.run(sender, |node, now| node.signal_at(now, id, path, b"for you").expect("short"));
    assert_eq!(outcome, Outcome::Success);
    let asked = |event: &Event| matches!(event, Event::Asked { peer, .. } if peer.path != path);
    assert!(!events.iter().any(asked), "{events:?}");
}

/// A network of which every second node has died, and a node of it that has noticed.
fn half_dead() -> (Net, SocketAddr, Config) {
    let mut config = Config::default();
    (config.table.k, config.lookup.k) = (8, 8);
    let (mut net, addrs) = Net::joined_with(41, 80, |i| format!("127.0.0.1:{}", 1000 + i), &config);
    for dead in addrs.iter().skip(1).step_by(2) {
        net.nodes.remove(dead);
    }
    let asker = addrs[0];
    for _ in 0..6 {
        let target = Id::random(&mut net.rng);
        net.run(asker, |node, now| node.find_node(now, target));
    }
    (net, asker, config)
}

/// Gaps beside the key are of no interest any more.
#[test]
fn a_found_value_ends_its_lookup_at_once() {
    let (mut net, asker, _) = half_dead();
    let holders: Vec<_> = net.nodes.keys().copied().filter(|addr| *addr != asker).collect();
    for (number, writer) in (0_u8..).zip(holders.into_iter().take(12)) {
        let item = Item::Immutable(Value::new([number; 9]).expect("it is short"));
        let key = item.key();
        net.run(writer, |node, now| node.put(now, item, PutOptions::default()).expect("room"));
        let now = net.now;
        let operation = net.node(asker).get(now, GetQuery::new(key));
        let (mut found, mut is_over) = (None, false);
        while !is_over {
            net.step();
            let now = net.now;
            while let Some(event) = net.node(asker).poll_event() {
                match event {
                    Event::Value { .. } => found = Some(now),
                    Event::Done { operation: done, .. } => is_over |= done == operation,
                    _ => {}
                }
            }
        }
        assert_eq!(found, Some(net.now), "value {number}");
    }
}

/// Where contacts die, whom they kept out of the answers is looked for while they are waited for,
/// and not after.
#[test]
fn what_the_dead_crowded_out_is_looked_for_meanwhile() {
    let (mut net, asker, config) = half_dead();
    let wire = Native::new("kadlet");
    // Before the first silent one is given up, which takes three more repetitions.
    let soon = 2 * config.requests.short_min + 5 * STEP;
    let mut in_time = Vec::new();
    for _ in 0..6 {
        let (target, start) = (Id::random(&mut net.rng), net.now);
        let operation = net.node(asker).find_node(start, target);
        let is_end = |event| matches!(event, Event::Done { operation: it, .. } if it == operation);
        let mut beside = None;
        while !core::iter::from_fn(|| net.node(asker).poll_event()).any(is_end) {
            net.step();
            let about_others = net.wire.iter().find(|(_, from, _, payload)| {
                let query = wire.decode(payload).ok().map(|message| message.body);
                let about = |query: &Query<'_>| query.target.is_some_and(|it| it != target);
                *from == asker && matches!(query, Some(Body::Query(query)) if about(&query))
            });
            beside = beside.or(about_others.map(|(at, ..)| at.since(start)));
        }
        in_time.extend(beside.map(|after| after <= soon));
    }
    assert!(in_time.len() >= 4 && in_time.iter().all(|it| *it), "{in_time:?}");
}
