//! Contacts that somebody made up.

use super::*;

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

/// Whom liars alone name is asked in the end, for it may be all there is; k of them, if all are silent.
#[test]
fn invented_contacts_do_not_keep_a_lookup_from_ending() {
    let mut lookup = lookup(config(3, 3), [contact(500), contact(501), contact(502)]);
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
    assert_eq!(invented, 100);
    assert!(!lookup.progress().cut_short);
}
