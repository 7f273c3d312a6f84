//! Contacts that somebody made up.

use super::*;
use crate::contact::Path;

/// Invented contacts next to the target: each costs whoever named it, and once nothing of its word
/// is worth anything the others it named wait for everybody else.
#[test]
fn whoever_invents_contacts_is_soon_believed_no_more() {
    let mut lookup = lookup(config(3, 3), [contact(500), contact(501)]);
    assert_eq!(asked(&mut lookup), [500, 501]);
    answer(&mut lookup, 500, 1..=20);
    assert_eq!(asked(&mut lookup), [1, 2]);
    for (n, more) in [(1, &[3][..]), (2, &[4]), (3, &[5, 6])] {
        lookup.slow(id(n), addr(n));
        assert_eq!(asked(&mut lookup), more, "one in twenty answers is slow");
    }
    lookup.failed(id(4), addr(4));
    assert!(asked(&mut lookup).is_empty(), "four: 7 and the others can wait");
    answer(&mut lookup, 501, [100, 101, 102, 7]);
    assert_eq!(asked(&mut lookup), [7, 100], "who is named by somebody else as well is not theirs");
    answer(&mut lookup, 7, []);
    assert_eq!(asked(&mut lookup), [8], "of one that answers they all profit");
}

/// A lookup in which one of three names a hundred who are none, and how many of these it asked.
fn led_astray(config: LookupConfig) -> (Lookup, u32) {
    let mut lookup = lookup(config, [contact(500), contact(501), contact(502)]);
    assert_eq!(asked(&mut lookup), [500, 501, 502]);
    answer(&mut lookup, 500, 1..=100);
    answer(&mut lookup, 501, []);
    answer(&mut lookup, 502, []);
    let mut invented = 0;
    while lookup.next() != Step::Done {
        for n in 1..=100 {
            invented += u32::from(lookup.failed(id(n), addr(n)));
        }
    }
    (lookup, invented)
}

/// Whom liars alone name is asked in the end, for it may be all there is; k of them, if all are silent.
#[test]
fn invented_contacts_do_not_keep_a_lookup_from_ending() {
    let (lookup, invented) = led_astray(config(3, 3));
    assert_eq!(found(&lookup), [500, 501, 502]);
    assert!(lookup.progress().cut_short);
    assert!((4 + 3..=4 + 3 + 3).contains(&invented), "{invented}: credit, in flight, k in the end");
}

/// A victim's address under sixty ids is asked once, and a good node's once more under its own.
#[test]
fn an_address_is_settled_once_for_all_ids() {
    let at = |n, port| Contact::new(id(n), addr(port));
    let victims = (1..60).map(|n| at(n, 600));
    let goods = (100..160).map(|n| at(n, 601));
    let mut lookup = lookup(config(3, 3), victims.chain(goods).chain([contact(900)]));
    assert_eq!(asked(&mut lookup), [1, 100, 900]);
    lookup.silent(id(1), addr(600));
    answer(&mut lookup, 900, []);
    assert_eq!(lookup.next(), Step::Wait, "for 100: whether 600 is silent is not waited for");
    lookup.settle_address(addr(601), Some(id(150)));
    lookup.failed(id(100), addr(601));
    assert_eq!(asked(&mut lookup), [150]);
    lookup.settle_address(addr(600), None);
    lookup.failed(id(1), addr(600));
    lookup.heard(Some((id(900), addr(900))), [at(201, 600), at(202, 601)]);
    lookup.answered(id(150), addr(601), Capabilities::NONE, []);
    assert_eq!(lookup.next(), Step::Done);
    assert_eq!(lookup.progress().asked, 4);
}

/// Without credit nobody is judged: what is invented is asked, one after another.
#[test]
fn without_credit_whoever_invents_contacts_is_believed() {
    let mut config = config(3, 3);
    config.credit = 0;
    let (lookup, invented) = led_astray(config);
    assert_eq!(invented, 100);
    assert!(!lookup.progress().cut_short);
}

/// Mistake 20: who is there, given three false addresses by a liar who was quicker.
#[test]
fn a_namer_gives_an_id_one_address() {
    let at = |port| Contact::new(id(1), addr(port));
    let mut lookup = lookup(config(3, 3), [contact(500), contact(501)]);
    assert_eq!(asked(&mut lookup), [500, 501]);
    lookup.answered(id(500), addr(500), Capabilities::NONE, [at(201), at(202), at(203)]);
    assert_eq!(asked(&mut lookup), [1]);
    lookup.answered(id(501), addr(501), Capabilities::NONE, [at(1)]);
    lookup.heard(Some((id(500), addr(500))), [at(204), at(205), at(206)]);
    lookup.silent(id(1), addr(201));
    assert_eq!(lookup.next(), Step::Ask(at(1)));
    answer(&mut lookup, 1, []);
    assert_eq!(lookup.next(), Step::Done);
    assert_eq!(lookup.progress().asked, 4);
}

/// Of several liars each gives one: whoever has more credit is heard all the same.
#[test]
fn an_address_of_those_with_less_credit_gives_way() {
    let at = |port| Contact::new(id(1), addr(port));
    let mut lookup = lookup(config(5, 5), (500..505).map(contact));
    assert_eq!(asked(&mut lookup), [500, 501, 502, 503, 504]);
    let mut asks = Vec::new();
    for n in 500..504 {
        lookup.answered(id(n), addr(n), Capabilities::NONE, [at(n - 300), contact(n - 400)]);
        asks.extend(asked(&mut lookup));
    }
    assert_eq!(asks, [1, 100, 101, 102], "1 at 200; 201 to 203 wait");
    for n in [100, 101, 102] {
        lookup.failed(id(n), addr(n));
    }
    answer(&mut lookup, 504, [110]);
    assert_eq!(asked(&mut lookup), [103, 110]);
    lookup.heard(Some((id(504), addr(504))), [at(1)]);
    assert!(!lookup.waiting().any(|it| it == addr(1)), "nothing good has come of 504 either");
    answer(&mut lookup, 110, []);
    lookup.heard(Some((id(504), addr(504))), [at(1)]);
    let waiting: Vec<_> = lookup.waiting().collect();
    assert_eq!(waiting, [addr(202), addr(203), addr(1)], "201 gave way");
}

/// A liar who has just come is worth no more than an honest one of whom some were dead.
#[test]
fn nobody_new_drives_a_true_address_out() {
    let at = |port| Contact::new(id(50), addr(port));
    let mut lookup = lookup(config(5, 5), (500..505).map(contact));
    assert_eq!(asked(&mut lookup), [500, 501, 502, 503, 504]);
    let near = (10..15).map(contact);
    lookup.answered(id(500), addr(500), Capabilities::NONE, near.chain([at(50)]));
    for n in [501, 502] {
        lookup.answered(id(n), addr(n), Capabilities::NONE, [at(n - 300), contact(n - 481)]);
    }
    assert_eq!(asked(&mut lookup), [10, 11, 12]);
    for n in [10, 11] {
        lookup.failed(id(n), addr(n));
    }
    lookup.answered(id(503), addr(503), Capabilities::NONE, [at(203)]);
    assert!(lookup.waiting().any(|it| it == addr(50)));
    assert!(!lookup.waiting().any(|it| it == addr(203)));
}

/// What was named on other paths is no way around the number of addresses that an id may have.
#[test]
fn addresses_of_an_id_are_counted_on_each_path() {
    let at = |port| Contact::new(id(1), addr(port));
    let mut lookup = lookup(LookupConfig { paths: 8, ..config(8, 1) }, (500..508).map(contact));
    assert_eq!(asked(&mut lookup), [500, 501, 502, 503, 504, 505, 506, 507]);
    for n in 501..508 {
        lookup.answered(id(n), addr(n), Capabilities::NONE, [at(n - 300)]);
    }
    lookup.answered(id(500), addr(500), Capabilities::NONE, (201..208).map(at));
    let waiting = lookup.candidates.groups().map(|group| group.open(0).count()).max();
    assert_eq!(waiting, Some(1), "of one namer one address");
}

/// A false address that one path asked and got no answer from bars no other path from the true one.
#[test]
fn an_id_misplaced_on_one_path_is_found_on_another() {
    let at = |port| Contact::new(id(1), addr(port));
    let paths = LookupConfig { paths: 2, ..config(2, 2) };
    let mut lookup = lookup(paths, [contact(100), contact(101)]);
    assert_eq!(asked(&mut lookup), [100, 101]);
    lookup.answered(id(100), addr(100), Capabilities::NONE, [at(201)]);
    assert_eq!(lookup.next(), Step::Ask(at(201)));
    lookup.answered(id(101), addr(101), Capabilities::NONE, [at(1)]);
    assert_eq!(lookup.next(), Step::Wait, "an id belongs to the path that asks it");
    lookup.silent(id(1), addr(201));
    assert_eq!(lookup.next(), Step::Ask(at(1)));
    answer(&mut lookup, 1, []);
    assert_eq!(lookup.next(), Step::Done);
    assert_eq!(found(&lookup), [1, 100, 101]);
}

/// Whoever owns one network of addresses and names ids next to the target, as many as there is room
/// for, drives nobody out: neither our own contacts nor whom others name afterwards.
#[test]
fn one_owner_of_addresses_does_not_fill_the_list() {
    let at = |n: u16, ip: [u8; 4]| {
        let path = Path::direct(SocketAddr::from((ip, 1_000 + n)));
        Contact { path, ..contact(n) }
    };
    let liars = [500, 501, 502, 503];
    let liar = |n: u16| at(n, [20, 1, 1, (n - 499) as u8]);
    let honest = |n: u16| at(n, [30, (n % 250) as u8, 1, 1]);
    let dead = |n: u16| at(n, [40, n as u8, 1, 1]);
    let start = liars.into_iter().map(liar).chain([honest(504)]);
    let mut lookup = lookup(config(20, 5), start);
    assert_eq!(asked(&mut lookup), [500, 501, 502, 503, 504]);
    for (n, first) in liars.into_iter().zip([1, 33, 65, 97]) {
        let liar = liar(n);
        let named = (first..first + 32).map(dead);
        lookup.answered(liar.id, liar.addr(), Capabilities::NONE, named);
    }
    let named = (200..220).map(honest);
    lookup.answered(id(504), honest(504).addr(), Capabilities::NONE, named);
    let mut reached = 0;
    while let Step::Ask(contact) = lookup.next() {
        if network::number(contact.id) < 200 {
            lookup.silent(contact.id, contact.addr());
            lookup.failed(contact.id, contact.addr());
        } else {
            reached += 1;
            lookup.answered(contact.id, contact.addr(), Capabilities::NONE, []);
        }
    }
    assert!(lookup.is_done());
    assert_eq!(reached, 20);
}

/// Those next to the target that answer only just before they are given up, and then name the next of
/// their kind, hold nobody up until the deadline.
#[test]
fn a_chain_of_the_slow_does_not_hold_a_lookup() {
    let mut lookup = lookup(config(3, 3), [contact(500), contact(501), contact(502)]);
    assert_eq!(asked(&mut lookup), [500, 501, 502]);
    answer(&mut lookup, 500, [100]);
    for n in [501, 502] {
        answer(&mut lookup, n, []);
    }
    let mut chain = 0;
    for n in (1..=100).rev() {
        let waiting = asked(&mut lookup);
        if waiting.is_empty() {
            break;
        }
        assert_eq!(waiting, [n]);
        chain += 1;
        lookup.slow(id(n), addr(n));
        assert!(asked(&mut lookup).is_empty());
        if lookup.is_done() {
            break;
        }
        answer(&mut lookup, n, [n - 1]);
    }
    assert_eq!((chain, lookup.is_done()), (4, true));
    assert_eq!(found(&lookup).len(), 6);
}
