//! Records in a whole network: stored by one, found by another.

use alloc::collections::BTreeSet;

use kadlet_core::record::{Item, SearchEntry, SearchQuery};
use kadlet_core::wire::ErrorCode;
use kadlet_core::{Announcement, Family, GetQuery, Outcome, PutOptions};
use kadlet_sim::{Network, NodeIndex, Report};

use crate::{HOUR, K, MINUTE, immutable, network, signed, signed_key};

fn put(net: &mut Network, node: NodeIndex, value: Item, options: PutOptions) -> Report {
    let operation = net.command(node, |node, now| {
        node.put(now, value, options).expect("a value that can be stored")
    });
    net.wait(operation).expect("a put ends")
}

fn get(net: &mut Network, node: NodeIndex, query: GetQuery) -> Report {
    let operation = net.command(node, |node, now| node.get(now, query));
    net.wait(operation).expect("a get ends")
}

fn search(net: &mut Network, node: NodeIndex, text: &str) -> Report {
    let query = SearchQuery::parse(text).expect("words to search for");
    let operation = net.command(node, |node, now| node.search(now, query));
    net.wait(operation).expect("a search ends")
}

fn publish(net: &mut Network, node: NodeIndex, name: &str, number: u8) -> Report {
    let entry = SearchEntry::new(name, 1_000, [number; 32]).expect("a short name");
    let operation =
        net.command(node, |node, now| node.publish(now, entry, false).expect("a name with words"));
    net.wait(operation).expect("a publication ends")
}

/// Everything that was put is got back by random others, and lies with the true k closest.
#[test]
fn values_are_found_by_anybody() {
    let mut net = network(40, 150);
    for number in 0..20_u8 {
        let value = immutable(&vec![number; 1 + usize::from(number) * 40]);
        let key = value.key();
        let (writer, reader) = (net.random_live(), net.random_live());
        let stored = put(&mut net, writer, value.clone(), PutOptions::default());
        assert_eq!(stored.outcome(), Outcome::Success);
        assert!(stored.totals().stored as usize >= K);
        let report = get(&mut net, reader, GetQuery::new(key));
        assert_eq!(report.outcome(), Outcome::Success);
        assert_eq!(report.values().collect::<Vec<_>>(), [&value]);
    }
}

/// Nobody has it: those asked say so, which is another outcome than nobody being there.
#[test]
fn what_nobody_stored_is_absent() {
    let mut net = network(41, 60);
    let (reader, key) = (net.random_live(), net.random_id());
    assert_eq!(get(&mut net, reader, GetQuery::new(key)).outcome(), Outcome::Absent);
    let providers = net.command(reader, |node, now| node.providers(now, key));
    assert_eq!(net.wait(providers).expect("it ends").outcome(), Outcome::Absent);
    assert_eq!(search(&mut net, reader, "nothing").outcome(), Outcome::Absent);
}

/// Signed values: the greatest sequence number wins, an older one is refused with the number held,
/// and compare-and-swap takes only the number named.
#[test]
fn signed_values_move_forward_only() {
    let mut net = network(42, 120);
    let (writer, reader) = (net.random_live(), net.random_live());
    let key = signed_key(7, b"feed");
    for seq in [1, 2, 5] {
        let value = signed(7, b"feed", seq, format!("number {seq}").as_bytes());
        assert_eq!(
            put(&mut net, writer, value.clone(), PutOptions::default()).outcome(),
            Outcome::Success
        );
        let report = get(&mut net, reader, GetQuery::new(key));
        assert_eq!(report.values().last(), Some(&value));
    }
    let stale = put(&mut net, writer, signed(7, b"feed", 4, b"too old"), PutOptions::default());
    assert_eq!(stale.outcome(), Outcome::Refused { code: ErrorCode::StaleSequence, seq: Some(5) });
    let wrong = PutOptions::compare_and_swap(2);
    let wrong = put(&mut net, writer, signed(7, b"feed", 6, b"mismatch"), wrong);
    assert_eq!(wrong.outcome(), Outcome::Refused { code: ErrorCode::CasMismatch, seq: Some(5) });
    let right = PutOptions::compare_and_swap(5);
    let right = put(&mut net, writer, signed(7, b"feed", 6, b"match"), right);
    assert_eq!(right.outcome(), Outcome::Success);
    let report = get(&mut net, reader, GetQuery::new(key));
    assert_eq!(report.values().last().map(Item::as_bytes), Some(&b"match"[..]));
    let mut newer = GetQuery::new(key);
    newer.newer_than = Some(6);
    assert_eq!(get(&mut net, reader, newer).values().count(), 0);
}

/// Several providers of one content, all found by another node, at their own addresses.
#[test]
fn providers_are_found_with_their_addresses() {
    let mut net = network(43, 120);
    let key = net.random_id();
    let sharers: BTreeSet<_> = (0..5).map(|_| net.random_live()).collect();
    let mut expected = BTreeSet::new();
    for sharer in &sharers {
        let mut announcement = Announcement::http(8_080);
        announcement.renew = false;
        let operation = net.command(*sharer, |node, now| node.announce(now, key, announcement));
        let report = net.wait(operation).expect("an announcement ends");
        assert!(report.totals().stored as usize >= K);
        let mut address = net.address(*sharer, Family::V4);
        address.set_port(8_080);
        expected.insert(address);
    }
    let reader = net.random_live();
    let operation = net.command(reader, |node, now| node.providers(now, key));
    let report = net.wait(operation).expect("it ends");
    assert_eq!(report.providers().collect::<BTreeSet<_>>(), expected);
    assert_eq!(report.totals().found as usize, expected.len());
}

/// A search for several words finds the names that carry all of them, whatever their order, and no
/// others.
#[test]
fn searches_find_names_with_all_words() {
    let mut net = network(44, 120);
    let names = [
        "Nordic Winter Light.flac",
        "winter olympics 1994 opening.mkv",
        "light years - final report.pdf",
        "Winter light over Tromsø.jpg",
    ];
    for (number, name) in names.iter().enumerate() {
        let sharer = net.random_live();
        publish(&mut net, sharer, name, number as u8);
    }
    let mut found = |text| {
        let reader = net.random_live();
        search(&mut net, reader, text).hits().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let set = |picked: &[usize]| picked.iter().map(|i| names[*i].to_owned()).collect();
    assert_eq!(found("winter"), set(&[0, 1, 3]));
    assert_eq!(found("LIGHT winter"), set(&[0, 3]));
    assert_eq!(found("tromsø light winter"), set(&[3]));
    assert_eq!(found("winter report"), set(&[]));
}

/// More hits than a datagram carries come page by page, all of them.
#[test]
fn long_lists_come_in_pages() {
    let mut net = network(45, 60);
    let sharer = net.random_live();
    let names: BTreeSet<String> =
        (0..60).map(|number| format!("common song number{number:02}.ogg")).collect();
    for (number, name) in names.iter().enumerate() {
        publish(&mut net, sharer, name, number as u8);
    }
    let reader = net.random_live();
    let hits: BTreeSet<_> = search(&mut net, reader, "common").hits().map(str::to_owned).collect();
    assert_eq!(names.difference(&hits).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(hits.len(), names.len());
}

/// Mistakes 15 and 16: a value lives for 48 hours after its publisher last published it, however
/// often holders hand it on, and not longer. Its publisher is gone.
#[test]
fn values_outlive_their_publisher_and_not_their_lifetime() {
    let mut net = network(46, 40);
    let writer = net.random_live();
    let value = immutable(b"a message in a bottle");
    let key = value.key();
    put(&mut net, writer, value.clone(), PutOptions::default());
    net.kill(writer);
    net.run_for(HOUR * 47);
    let reader = net.random_live();
    let report = get(&mut net, reader, GetQuery::new(key));
    assert_eq!(report.values().collect::<Vec<_>>(), [&value]);
    net.run_for(HOUR * 2);
    let reader = net.random_live();
    assert_eq!(get(&mut net, reader, GetQuery::new(key)).outcome(), Outcome::Absent);
}

/// A publisher that stays renews, so that its announcement outlives the lifetime of a provider;
/// one that has withdrawn is forgotten.
#[test]
fn announcements_are_renewed_until_withdrawn() {
    let mut net = network(47, 40);
    let (sharer, key) = (net.random_live(), net.random_id());
    let operation =
        net.command(sharer, |node, now| node.announce(now, key, Announcement::http(80)));
    net.wait(operation).expect("an announcement ends");
    net.run_for(HOUR * 30);
    let reader = net.random_live();
    let count = |net: &mut Network| {
        let operation = net.command(reader, |node, now| node.providers(now, key));
        net.wait(operation).expect("it ends").providers().count()
    };
    assert_eq!(count(&mut net), 1);
    assert!(net.with(sharer, |node, now| node.cancel(now, operation.id)));
    net.run_for(HOUR * 14);
    assert_eq!(count(&mut net), 0);
}

/// Mistake 18: a newcomer that is among the k closest to a record gets it, without its publisher.
#[test]
fn newcomers_take_records_over() {
    let mut net = network(48, 60);
    let writer = net.random_live();
    let value = immutable(b"handed over");
    let key = value.key();
    put(&mut net, writer, value, PutOptions::default());
    net.kill(writer);
    let mut options = kadlet_sim::NodeOptions::new(kadlet_core::Config::default());
    // The closest of all from now on.
    options.id = Some(key.with_flipped(159));
    let newcomer = net.add_node(options);
    let through = net.random_live();
    let join = net.join(newcomer, &[through]);
    net.wait(join).expect("joining ends");
    net.run_for(MINUTE);
    assert_eq!(net.node(newcomer).health().records, 1);
}

/// Cancelling ends an operation's traffic.
#[test]
fn a_cancelled_operation_sends_nothing_more() {
    let mut net = network(49, 100);
    net.run_for(MINUTE);
    let (asker, target) = (net.random_live(), net.random_id());
    let operation = net.command(asker, |node, now| node.find_node(now, target));
    assert!(net.with(asker, |node, now| node.cancel(now, operation.id)));
    let report = net.wait(operation).expect("it is over");
    assert_eq!(report.outcome(), Outcome::Cancelled);
    let before = net.traffic(asker).datagrams_out;
    net.run_for(crate::SECOND);
    // Answers that arrive now are nobody's: no step follows from them.
    assert!(net.traffic(asker).datagrams_out - before < 5);
}
