//! Nodes that share nothing but a queue of datagrams.

extern crate alloc;

#[cfg(feature = "mainline")]
mod amplification;
mod asked;
mod clients;
mod keeping_up;
mod liars;
#[cfg(feature = "mainline")]
mod mainline;
#[cfg(feature = "mainline")]
mod manners;
mod net;
#[cfg(feature = "mainline")]
mod old;
#[cfg(feature = "mainline")]
mod outsiders;
#[cfg(feature = "mainline")]
mod refusals;
#[cfg(feature = "mainline")]
mod strangers;

use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::record::{Form, Item, SearchEntry, SearchQuery, SignedValue, Value};
use kadlet_core::wire::ErrorCode;
use kadlet_core::{
    Announcement, CommandError, Config, Event, Family, GetQuery, Id, Instant, Network, Node,
    OperationId, Outcome, Path, PeerFailure, PutOptions, Role,
};
use net::Net;

fn values(events: &[Event]) -> Vec<&Item> {
    let mut found = Vec::new();
    for event in events {
        if let Event::Value { item, .. } = event {
            found.push(item);
        }
    }
    found
}

#[test]
fn every_lookup_ends_with_the_true_closest() {
    let (mut net, addrs) = Net::local(1, 60);
    for from in addrs.iter().copied().take(40) {
        let target = Id::random(&mut net.rng);
        let (_, events) = net.run(from, |node, now| node.find_node(now, target));
        let Some(Event::Done { closest, .. }) = events.last() else { panic!("no end") };
        let found: Vec<Id> = closest.iter().map(|contact| contact.id).collect();
        assert_eq!(found, net.closest(target, 20, from));
    }
    assert_eq!(net.rejected, []);
}

#[test]
fn a_value_put_by_one_is_got_by_all() {
    let (mut net, addrs) = Net::local(2, 40);
    let item = Item::Immutable(Value::new(*b"hello").expect("short"));
    let (outcome, events) = net.run(addrs[3], |node, now| {
        node.put(now, item.clone(), PutOptions::default()).expect("a good value")
    });
    assert_eq!(outcome, Outcome::Success);
    let stored = events.iter().filter(|event| matches!(event, Event::Stored { .. })).count();
    assert_eq!(stored, 20);
    for addr in &addrs {
        let (outcome, events) =
            net.run(*addr, |node, now| node.get(now, GetQuery::new(item.key())));
        assert_eq!((outcome, values(&events)), (Outcome::Success, vec![&item]));
        // The first that has it is enough: the others of the k closest are not asked.
        let asked = events.iter().filter(|event| matches!(event, Event::Asked { .. })).count();
        assert!(asked <= 6, "{asked} asked");
    }
    let absent = GetQuery::new(Id::random(&mut net.rng));
    let (outcome, _) = net.run(addrs[5], |node, now| node.get(now, absent));
    assert_eq!(outcome, Outcome::Absent);
}

#[test]
fn signed_values_follow_sequence_numbers() {
    let (mut net, addrs) = Net::local(3, 30);
    let sign = |seq, value: &[u8]| {
        Item::Signed(SignedValue::sign(&[9; 32], b"feed", seq, value).expect("short"))
    };
    let put = |net: &mut Net, item: Item, options| {
        net.run(addrs[1], |node, now| node.put(now, item, options).expect("well signed")).0
    };
    let swap = PutOptions::compare_and_swap;
    assert_eq!(put(&mut net, sign(5, b"five"), PutOptions::default()), Outcome::Success);
    let stale = Outcome::Refused { code: ErrorCode::StaleSequence, seq: Some(5) };
    assert_eq!(put(&mut net, sign(4, b"four"), PutOptions::default()), stale);
    assert_eq!(put(&mut net, sign(5, b"other"), PutOptions::default()), stale);
    let mismatch = Outcome::Refused { code: ErrorCode::CasMismatch, seq: Some(5) };
    assert_eq!(put(&mut net, sign(6, b"six"), swap(4)), mismatch);
    assert_eq!(put(&mut net, sign(6, b"six"), swap(5)), Outcome::Success);
    let key = sign(6, b"").key();
    let (_, events) = net.run(addrs[9], |node, now| node.get(now, GetQuery::new(key)));
    assert_eq!(values(&events).last(), Some(&&sign(6, b"six")));
}

#[test]
fn providers_are_found_and_each_is_told_once() {
    let (mut net, addrs) = Net::local(4, 50);
    let key = Id::random(&mut net.rng);
    for addr in &addrs[..30] {
        let (outcome, _) =
            net.run(*addr, |node, now| node.announce(now, key, Announcement::http(80)));
        assert_eq!(outcome, Outcome::Success);
    }
    // All nodes sit at one IP address here, and say the same port: they are one provider.
    let (outcome, events) = net.run(addrs[49], |node, now| node.providers(now, key));
    let found: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Provider { address, .. } => Some(*address),
            _ => None,
        })
        .collect();
    assert_eq!(
        (outcome, found),
        (Outcome::Success, vec!["127.0.0.1:80".parse().expect("an address")])
    );
}

/// Port 0 is no port, and is not said on the wire.
#[test]
fn an_announcement_of_port_0_is_of_the_port_its_datagrams_come_from() {
    let (mut net, addrs) = Net::local(18, 30);
    let key = Id::random(&mut net.rng);
    net.run(addrs[3], |node, now| node.announce(now, key, Announcement::http(0)));
    let (_, events) = net.run(addrs[9], |node, now| node.providers(now, key));
    let here =
        |event: &Event| matches!(event, Event::Provider { address, .. } if *address == addrs[3]);
    assert!(events.iter().any(here), "{events:?}");
}

#[test]
fn a_file_is_found_by_all_words_of_a_query() {
    let (mut net, addrs) = Net::local(5, 40);
    let names = ["Blue Danube.ogg", "blue moon.ogg", "Danube map.pdf"];
    for (i, name) in (0_u8..).zip(names) {
        let entry = SearchEntry::new(name, 7, [i; 32]).expect("a short name");
        let (outcome, _) = net
            .run(addrs[2], |node, now| node.publish(now, entry, false).expect("a name with words"));
        assert_eq!(outcome, Outcome::Success);
    }
    let mut search = |words: &str| {
        let query = SearchQuery::parse(words).expect("words");
        let (outcome, events) = net.run(addrs[30], |node, now| node.search(now, query));
        let hits = events.iter().filter_map(|event| match event {
            Event::Hit { entry, .. } => Some(entry.name().to_string()),
            _ => None,
        });
        let mut hits: Vec<_> = hits.collect();
        hits.sort();
        (outcome, hits)
    };
    assert_eq!(search("danube BLUE").1, ["Blue Danube.ogg"]);
    assert_eq!(search("ogg").1, ["Blue Danube.ogg", "blue moon.ogg"]);
    assert_eq!(search("blue pdf").0, Outcome::Absent);
}

/// "Nobody has it" and "could not ask" are different.
#[test]
fn nobody_to_ask_is_no_absence() {
    let mut net = Net::new(6);
    let alone = net.add("127.0.0.1:1", Config::default());
    let key = Id::random(&mut net.rng);
    let (outcome, _) = net.run(alone, |node, now| node.get(now, GetQuery::new(key)));
    assert_eq!(outcome, Outcome::NoPeers);
    let nobody = Path::direct("127.0.0.1:2".parse().expect("an address"));
    let (outcome, events) = net.run(alone, |node, now| node.bootstrap(now, &[nobody]));
    assert_eq!(outcome, Outcome::NoAnswer);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Failed { peer, .. } if peer.path == nobody))
    );
}

#[test]
fn a_client_is_served_and_never_inserted() {
    let (mut net, addrs) = Net::local(7, 10);
    let mut config = Config::default();
    config.role = Role::Client;
    let client = net.add("127.0.0.1:9", config);
    let (outcome, _) = net.run(client, |node, now| node.bootstrap(now, &[Path::direct(addrs[0])]));
    assert_eq!(outcome, Outcome::Success);
    net.run_for(Duration::from_secs(120));
    let id = net.node(client).id();
    for addr in addrs {
        assert!(net.node(addr).table(Family::V4).get(id).is_none());
    }
}

#[test]
fn networks_with_different_names_never_merge() {
    let mut net = Net::new(8);
    let named = |name: &str| {
        let mut config = Config::default();
        config.network = kadlet_core::Network::Native(name.to_string());
        config
    };
    let a = net.add("127.0.0.1:1", named("one"));
    let b = net.add("127.0.0.1:2", named("two"));
    let (outcome, events) = net.run(a, |node, now| node.bootstrap(now, &[Path::direct(b)]));
    assert_eq!(outcome, Outcome::NoAnswer);
    // It is said that there is somebody, but of another network.
    let said =
        |event: &Event| matches!(event, Event::Failed { reason: PeerFailure::OtherNetwork, .. });
    assert!(events.iter().any(said));
    assert!(net.node(a).table(Family::V4).is_empty() && net.node(b).table(Family::V4).is_empty());
}

/// Public addresses: cookies, short answers and diversity are on, and everything still works.
#[test]
fn a_public_network_works_with_all_protections_on() {
    let (mut net, addrs) = Net::joined(9, 40, |i| format!("{}.{}.1.1:4000", 20 + i, i));
    let item = Item::Immutable(Value::new(*b"hello").expect("short"));
    let (outcome, _) = net.run(addrs[3], |node, now| {
        node.put(now, item.clone(), PutOptions::default()).expect("a good value")
    });
    assert_eq!(outcome, Outcome::Success);
    let (outcome, events) =
        net.run(addrs[20], |node, now| node.get(now, GetQuery::new(item.key())));
    assert_eq!((outcome, values(&events)), (Outcome::Success, vec![&item]));
}

#[test]
fn state_survives_a_restart() {
    let (mut net, addrs) = Net::local(10, 25);
    let item = Item::Immutable(Value::new(*b"kept").expect("short"));
    net.run(addrs[0], |node, now| {
        node.put(now, item.clone(), PutOptions::default()).expect("good")
    });
    let now = net.now;
    let state = net.node(addrs[7]).export_state(now);
    let (id, held) = (net.node(addrs[7]).id(), net.node(addrs[7]).health().records);
    let elapsed = Duration::from_secs(60);
    let restored = Node::restore(Config::default(), &state, [77; 32], now, elapsed);
    let mut restored = restored.expect("our own state");
    assert_eq!((restored.id(), restored.health().records), (id, held));
    assert!(restored.table(Family::V4).len() >= 20);
    restored.find_node(now, Id::ZERO);
    assert!(restored.poll_transmit().is_some(), "restored contacts are asked");
    for cut in 0..state.len() {
        assert!(Node::restore(Config::default(), &state[..cut], [7; 32], now, elapsed).is_err());
    }
}

/// Found by fuzzing: the turn of a record to be stored again was a deadline that nothing did away
/// with while there was nobody to store it with.
#[test]
fn a_node_that_is_offline_sleeps() {
    let (mut net, addrs) = Net::local(21, 3);
    let item = Item::Immutable(Value::new(*b"kept").expect("short"));
    net.run(addrs[1], |node, now| node.put(now, item, PutOptions::default()).expect("good"));
    net.nodes.retain(|addr, _| *addr == addrs[0]);
    let (mut now, mut calls, mut offline) = (net.now, 0, false);
    let end = now + Duration::from_secs(4 * 3_600);
    let node = net.node(addrs[0]);
    assert_eq!(node.health().records, 1);
    while now < end {
        now = now.max(node.poll_timeout().expect("it knocks"));
        node.handle_timeout(now);
        while node.poll_transmit().is_some() {}
        while let Some(event) = node.poll_event() {
            offline |= event == Event::Offline { offline: true };
        }
        calls += 1;
        // A knock every ten seconds and its two timeouts, and what came before.
        assert!(calls < 6_000, "woken for nothing at {now:?}");
    }
    assert!(offline);
}

#[test]
fn cancelling_stops_the_traffic() {
    let (mut net, addrs) = Net::local(11, 20);
    let now = net.now;
    let key = Id::random(&mut net.rng);
    let node = net.node(addrs[4]);
    let operation = node.providers(now, key);
    while node.poll_transmit().is_some() {}
    assert!(node.cancel(now, operation));
    assert!(!node.cancel(now, operation));
    let done = core::iter::from_fn(|| node.poll_event())
        .any(|event| matches!(event, Event::Done { outcome: Outcome::Cancelled, .. }));
    assert!(done);
    assert!(node.poll_transmit().is_none());
    assert!(node.operation(operation).is_none());
}

/// Mistake 17 and section 4.1: a copy goes to the closest that did not have the value.
#[test]
fn a_found_value_is_copied_to_the_lookups_path_where_that_is_on() {
    let holders = |path_copies: bool| {
        let mut net = Net::new(12);
        let mut config = Config::default();
        (config.table.k, config.lookup.k) = (4, 4);
        config.path_copies = path_copies;
        let addrs: Vec<_> =
            (0..60).map(|i| net.add(&format!("127.0.0.1:{}", 1000 + i), config.clone())).collect();
        for addr in &addrs[1..] {
            net.run(*addr, |node, now| node.bootstrap(now, &[Path::direct(addrs[0])]));
        }
        let item = Item::Immutable(Value::new(*b"popular").expect("short"));
        net.run(addrs[1], |node, now| {
            node.put(now, item.clone(), PutOptions::default()).expect("good")
        });
        for addr in &addrs[20..40] {
            net.run(*addr, |node, now| node.get(now, GetQuery::new(item.key())));
        }
        net.run_for(Duration::from_secs(5));
        net.nodes.values().map(|node| node.health().records).sum::<u32>()
    };
    let (without, with) = (holders(false), holders(true));
    assert!(with > without, "{with} holders with copies, {without} without");
}

/// The seam for a second wire: BEP 5's own examples pass through the same node.
#[cfg(feature = "mainline")]
#[test]
fn bep_5_examples_are_answered_by_the_same_node() {
    let mut config = Config::default();
    config.network = Network::Mainline;
    let mut net = Net::new(13);
    let server = net.add("127.0.0.1:6881", config.clone());
    let client = net.add("127.0.0.1:6882", config);
    let (outcome, _) = net.run(client, |node, now| node.bootstrap(now, &[Path::direct(server)]));
    assert_eq!(outcome, Outcome::Success);
    let now = net.now;
    let from = Path::direct("127.0.0.1:7000".parse().expect("an address"));
    let node = net.node(server);
    while node.poll_transmit().is_some() {}
    let id = *node.id().as_bytes();
    let mut answer = |query: &[u8]| {
        node.handle_datagram(now, from, query).expect("an example of BEP 5");
        node.poll_transmit().expect("an answer").payload
    };
    let contains = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|it| it == part);
    let pong = answer(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe");
    assert!(contains(&pong, &[b"d2:id20:".as_slice(), &id].concat()));
    assert!(contains(&pong, b"1:t2:aa") && pong.ends_with(b"1:y1:re"));
    let nodes = answer(
        b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
    );
    assert!(contains(&nodes, b"5:nodes26:"), "the client that bootstrapped is known by now");
}

/// What is stored must be readable: bencode's integers have a sign, the native wire's have none.
#[cfg(feature = "mainline")]
#[test]
fn a_sequence_number_that_the_wire_cannot_say_is_refused() {
    let limit = i64::MAX as u64;
    let put = |network, seq, cas| {
        let form = if network == Network::Mainline { Form::Bencode } else { Form::Native };
        let mut config = Config::default();
        config.network = network;
        let mut node = Node::new(config, Id::ZERO, [1; 32], Instant::EPOCH);
        let signed = SignedValue::sign_for(form, &[1; 32], b"", seq, b"1:v").expect("a value");
        let mut options = PutOptions::default();
        options.cas = cas;
        node.put(Instant::EPOCH, Item::Signed(signed), options).err()
    };
    let refused = Some(CommandError::SequenceTooHigh { limit });
    assert_eq!(put(Network::Mainline, limit, Some(limit)), None);
    assert_eq!(put(Network::Mainline, limit + 1, None), refused);
    assert_eq!(put(Network::Mainline, 1, Some(limit + 1)), refused);
    assert_eq!(put(Network::Native("n".into()), u64::MAX, Some(u64::MAX)), None);
}

/// Nothing else is ever sent twice; but of one bootstrap address everything depends on it.
#[test]
fn a_join_survives_the_loss_of_its_first_datagrams() {
    let mut net = Net::new(14);
    let server = net.add("127.0.0.1:1", Config::default());
    let joiner = net.add("127.0.0.1:2", Config::default());
    let now = net.now;
    net.node(joiner).bootstrap(now, &[Path::direct(server)]);
    let lost = net.node(joiner).poll_transmit();
    assert!(lost.is_some());
    let events = net.run(joiner, |_, _| OperationId(0)).1;
    let answered = events.iter().filter(
        |event| matches!(event, Event::Answered { peer, .. } if peer.path == Path::direct(server)),
    );
    assert!(answered.count() > 0, "{events:?}");
    assert!(matches!(events.last(), Some(Event::Done { outcome: Outcome::Success, .. })));
}

/// Who shares alone is asked itself: by a client too, which is nobody's contact.
#[test]
fn who_shares_alone_is_found() {
    let mut net = Net::new(16);
    let sharer = net.add("127.0.0.1:1", Config::default());
    let mut config = Config::default();
    config.role = Role::Client;
    let client = net.add("127.0.0.2:2", config);
    let key = Id::random(&mut net.rng);
    let entry = SearchEntry::new("lonely song.flac", 7, [7; 32]).expect("a short name");
    net.run(sharer, |node, now| node.announce(now, key, Announcement::http(80)));
    net.run(sharer, |node, now| node.publish(now, entry, true).expect("a name with words"));
    net.run(client, |node, now| node.bootstrap(now, &[Path::direct(sharer)]));
    let (_, events) = net.run(client, |node, now| node.providers(now, key));
    let expected: SocketAddr = "127.0.0.1:80".parse().expect("an address");
    let here =
        |event: &Event| matches!(event, Event::Provider { address, .. } if *address == expected);
    assert!(events.iter().any(here), "{events:?}");
    let query = SearchQuery::parse("lonely").expect("a word");
    let (outcome, _) = net.run(client, |node, now| node.search(now, query));
    assert_eq!(outcome, Outcome::Success);
}

/// However much it shares, and only while it does.
#[test]
fn who_shares_alone_keeps_its_own_entries() {
    let mut net = Net::new(17);
    let sharer = net.add("127.0.0.1:1", Config::default());
    let mut entries = 0;
    for number in 0..300 {
        let name = format!("the song number {number} of many");
        let entry = SearchEntry::new(&*name, 7, [7; 32]).expect("a short name");
        entries += entry.words().count() as u32;
        net.run(sharer, |node, now| node.publish(now, entry, true).expect("a name with words"));
    }
    assert_eq!(net.node(sharer).store_stats().entries, entries);
    // A stranger who answers nothing: the publication goes on until it is taken back.
    let mut other = Net::new(18);
    let publisher = other.add("127.0.0.1:1", Config::default());
    let helper = other.add("127.0.0.2:2", Config::default());
    other.run(publisher, |node, now| node.bootstrap(now, &[Path::direct(helper)]));
    let entry = SearchEntry::new("withdrawn song", 7, [7; 32]).expect("a short name");
    let now = other.now;
    let node = other.node(publisher);
    let operation = node.publish(now, entry, true).expect("a name with words");
    assert!(node.cancel(now, operation));
    assert_eq!(node.store_stats().entries, 0);
}

/// Records that live for no longer than it takes to store them are renewed every second or so.
#[test]
fn what_is_due_again_at_once_does_not_hold_the_node_up() {
    let mut config = Config::default();
    config.store.provider_lifetime = Duration::from_secs(60);
    let mut net = Net::new(19);
    let lonely = net.add("127.0.0.1:1", config);
    net.run(lonely, |node, now| node.announce(now, Id::ZERO, Announcement::http(80)));
    let now = net.now + Duration::from_secs(60);
    let node = net.node(lonely);
    node.handle_timeout(now);
    assert!(node.poll_timeout().is_some_and(|due| due > now));
}

/// What is due while the caller has as many operations as may be is done when there is room.
#[test]
fn a_renewal_waits_for_room() {
    let mut config = Config::default();
    config.max_operations = 4;
    let mut net = Net::new(20);
    let busy = net.add("127.0.0.1:1", config);
    let other = net.add("127.0.0.2:2", Config::default());
    net.run(busy, |node, now| node.bootstrap(now, &[Path::direct(other)]));
    let entry = SearchEntry::new("some song", 7, [7; 32]).expect("a short name");
    let key = entry.words().next().expect("a word").key();
    net.run(busy, |node, now| node.publish(now, entry, true).expect("a name with words"));
    // Past every renewal, and before the record's end.
    net.now = net.now + Duration::from_secs(6 * 3_600);
    let now = net.now;
    let stored = net.node(busy).stats().datagrams_out;
    let node = net.node(busy);
    for _ in 0..4 {
        let _ = node.find_node(now, key);
    }
    node.handle_timeout(now);
    for _ in 0..200 {
        net.step();
        while let Some(event) = net.node(busy).poll_event() {
            let overloaded = Outcome::Overloaded;
            assert!(!matches!(event, Event::Done { outcome, .. } if outcome == overloaded));
        }
    }
    assert!(net.node(busy).stats().datagrams_out > stored);
    // The holder heard of it anew: it keeps it for longer than the first time.
    net.now = net.now + Duration::from_secs(8 * 3_600);
    let (now, holder) = (net.now, net.node(other));
    holder.handle_timeout(now);
    assert_eq!(holder.store_stats().entries, 2);
}

/// Each holder lists in an order of its own: one list is read to its end whatever it brings.
#[test]
fn long_lists_are_read_whole() {
    let (mut net, addrs) = Net::local(17, 24);
    for i in 0..100_u8 {
        let entry = SearchEntry::new(format!("common song {i}.ogg"), 7, [i; 32]).expect("short");
        net.run(addrs[2], |node, now| node.publish(now, entry, false).expect("words"));
    }
    let query = SearchQuery::parse("common").expect("a word");
    let (_, events) = net.run(addrs[20], |node, now| node.search(now, query));
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Hit { .. })).count(), 100);
    let key = Id::random(&mut net.rng);
    for port in 1..=200 {
        net.run(addrs[3], |node, now| {
            let mut announcement = Announcement::http(port);
            announcement.renew = false;
            node.announce(now, key, announcement)
        });
    }
    let (_, events) = net.run(addrs[21], |node, now| node.providers(now, key));
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Provider { .. })).count(), 200);
}
