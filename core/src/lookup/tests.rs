//! The rules, each by the least that shows it. The laws, on whole networks, are in [`laws`].

mod laws;
mod liars;
mod network;
mod pace;

use super::*;
use crate::contact::Capabilities;
use network::{addr, contact, id};

const TARGET: Id = Id::ZERO;

fn config(k: usize, alpha: usize) -> LookupConfig {
    LookupConfig { k, alpha, ..LookupConfig::default() }
}

fn lookup(config: LookupConfig, start: impl IntoIterator<Item = Contact>) -> Lookup {
    let mut lookup = Lookup::new(TARGET, Id::new([0xff; 20]), Families::BOTH, config);
    lookup.start(start);
    lookup
}

/// All that may be asked now, by the number of their id.
fn asked(lookup: &mut Lookup) -> Vec<u16> {
    core::iter::from_fn(|| asked_next(lookup)).collect()
}

/// The one to be asked now, of several the nearest.
fn asked_next(lookup: &mut Lookup) -> Option<u16> {
    match lookup.next() {
        Step::Ask(contact) => Some(network::number(contact.id)),
        Step::Wait | Step::Done => None,
    }
}

fn answer(lookup: &mut Lookup, n: u16, closer: impl IntoIterator<Item = u16>) -> bool {
    let closer = closer.into_iter().map(contact);
    lookup.answered(id(n), addr(n), Capabilities::NONE, closer)
}

fn found(lookup: &Lookup) -> Vec<u16> {
    lookup.closest().map(|found| network::number(found.contact.id)).collect()
}

/// Mistake 1: ending when a round brings nothing closer.
#[test]
fn it_ends_when_the_k_closest_answered_and_not_before() {
    let mut lookup = lookup(config(3, 1), [contact(10)]);
    assert_eq!(asked(&mut lookup), [10]);
    answer(&mut lookup, 10, [20, 30, 40]);
    // Nothing is closer than 10, and yet two of the three closest are to be asked: at once, as one
    // answer (α = 1) brought nothing closer.
    assert_eq!(asked(&mut lookup), [20, 30]);
    answer(&mut lookup, 20, [15]);
    assert_eq!(asked(&mut lookup), [15]);
    answer(&mut lookup, 15, []);
    assert_eq!(lookup.next(), Step::Done, "10, 15 and 20 answered; 30 is none of them");
    assert!(lookup.is_done());
}

/// Rule: α in flight, as long as answers bring closer contacts.
#[test]
fn alpha_questions_are_in_flight_until_nothing_closer_comes() {
    let mut lookup = lookup(config(8, 3), (50..60).map(contact));
    assert_eq!(asked(&mut lookup), [50, 51, 52]);
    answer(&mut lookup, 50, [40]);
    assert_eq!(asked(&mut lookup), [40]);
    for n in [51, 52] {
        answer(&mut lookup, n, [45]);
    }
    assert_eq!(asked(&mut lookup), [45, 53], "two answers brought nothing closer: still three");
    answer(&mut lookup, 40, []);
    assert_eq!(asked(&mut lookup), [54, 55], "the third: all of the eight closest");
    answer(&mut lookup, 45, [1, 2, 3, 4]);
    assert!(asked(&mut lookup).is_empty(), "closer again: 53, 54 and 55 hold the three slots");
}

/// Mistake 2: a shortlist of k that counts dead contacts.
#[test]
fn a_dead_contact_gives_its_place_to_the_next() {
    let mut lookup = lookup(config(2, 2), (1..6).map(contact));
    assert_eq!(asked(&mut lookup), [1, 2]);
    lookup.failed(id(1), addr(1));
    lookup.failed(id(2), addr(2));
    assert_eq!(asked(&mut lookup), [3, 4]);
    answer(&mut lookup, 3, []);
    answer(&mut lookup, 4, []);
    assert_eq!(lookup.next(), Step::Done);
    assert_eq!(found(&lookup), [3, 4]);
}

/// Mistake 3: waiting for a whole round, so that one silent contact stalls the lookup.
#[test]
fn one_silent_contact_stalls_nothing() {
    let mut lookup = lookup(config(8, 2), [contact(100), contact(101)]);
    assert_eq!(asked(&mut lookup), [100, 101]);
    for n in (10..100).rev() {
        let named = if n == 99 { 101 } else { n + 1 };
        answer(&mut lookup, named, [n]);
        assert_eq!(asked(&mut lookup), [n], "100 is silent all the time");
    }
}

/// Mistake 3: a slow contact frees its slot early.
#[test]
fn a_slow_contact_frees_its_slot() {
    let mut lookup = lookup(config(8, 1), [contact(5), contact(6), contact(7)]);
    assert_eq!(asked(&mut lookup), [5]);
    assert!(lookup.slow(id(5), addr(5)));
    assert_eq!(asked(&mut lookup), [6]);
    assert!(!lookup.slow(id(5), addr(5)), "it has no slot to free");
    assert!(asked(&mut lookup).is_empty());
    assert_eq!(lookup.progress().in_flight, 2);
}

/// Nobody waits for who is silent for longer than answers take; the next one takes its place.
#[test]
fn a_silent_contact_is_waited_for_no_longer() {
    // Somebody asked just now, and silent at once: its slot is free.
    let mut hasty = lookup(config(2, 1), [contact(5), contact(6)]);
    assert_eq!(asked(&mut hasty), [5]);
    assert!(hasty.silent(id(5), addr(5)));
    assert_eq!(asked(&mut hasty), [6]);
    assert!(hasty.failed(id(5), addr(5)) && !answer(&mut hasty, 5, []));

    let mut lookup = lookup(config(2, 1), [contact(5), contact(6), contact(7)]);
    assert_eq!(asked(&mut lookup), [5]);
    lookup.slow(id(5), addr(5));
    assert_eq!(asked(&mut lookup), [6]);
    answer(&mut lookup, 6, [5]);
    assert_eq!(asked(&mut lookup), [7]);
    assert!(lookup.silent(id(5), addr(5)));
    assert!(!lookup.silent(id(5), addr(5)) && !lookup.slow(id(5), addr(5)), "it is known");
    assert_eq!(lookup.next(), Step::Wait, "for 7");
    answer(&mut lookup, 7, [5]);
    assert_eq!(lookup.next(), Step::Done, "whoever names it");
    assert_eq!(found(&lookup), [6, 7]);
    assert_eq!(lookup.progress().in_flight, 1);
    assert!(answer(&mut lookup, 5, []), "its answer is welcome all the same");
    assert_eq!(found(&lookup), [5, 6, 7]);
}

/// Mistake 13: late answers dropped.
#[test]
fn a_late_answer_counts() {
    let mut lookup = lookup(config(2, 1), [contact(5), contact(6)]);
    assert_eq!(asked(&mut lookup), [5]);
    lookup.slow(id(5), addr(5));
    assert_eq!(asked(&mut lookup), [6]);
    answer(&mut lookup, 6, []);
    assert_eq!(lookup.next(), Step::Wait, "5 is one of the two closest and may still answer");
    assert!(answer(&mut lookup, 5, [4]));
    assert_eq!(asked(&mut lookup), [4]);
    answer(&mut lookup, 4, []);
    assert_eq!(lookup.next(), Step::Done);
    assert_eq!(found(&lookup), [4, 5, 6]);
}

/// Mistake 4: a failed contact coming back in through somebody's later reply.
#[test]
fn a_failed_contact_never_returns() {
    let mut lookup = lookup(config(3, 2), [contact(1), contact(9)]);
    assert_eq!(asked(&mut lookup), [1, 9]);
    assert!(lookup.failed(id(1), addr(1)));
    answer(&mut lookup, 9, [1, 5]);
    lookup.start([contact(1)]);
    assert_eq!(asked(&mut lookup), [5]);
    assert!(!answer(&mut lookup, 1, [2]), "nor does it answer after the hard timeout");
    answer(&mut lookup, 5, [1]);
    assert_eq!(lookup.next(), Step::Done);
    assert_eq!(found(&lookup), [5, 9]);
}

/// Mistake 5: comparing only bucket indices, or little-endian.
#[test]
fn within_one_bucket_the_closer_comes_first() {
    // One bucket (2^15..2^16), and the little-endian order is the reverse.
    let in_bucket = [0x8003, 0x8102, 0x8201, 0x8300];
    let mut lookup = lookup(config(4, 4), in_bucket.into_iter().rev().map(contact));
    assert_eq!(asked(&mut lookup), in_bucket);
}

/// Mistake 6: the own id asked in a lookup.
#[test]
fn the_own_id_is_never_asked() {
    let own = Contact::new(id(3), addr(77));
    let mut lookup = Lookup::new(TARGET, own.id, Families::V4, config(4, 3));
    lookup.start([own, contact(8)]);
    assert_eq!(asked(&mut lookup), [8]);
    lookup.answered(id(8), addr(8), Capabilities::NONE, [own, contact(3)]);
    assert_eq!(lookup.next(), Step::Done);
}

/// Mistake 20: several addresses per id.
#[test]
fn an_id_counts_once_at_the_first_address_that_answers() {
    let at = |port| Contact::new(id(1), addr(port));
    let mut lookup = lookup(config(2, 3), [at(201), at(202), at(203), contact(7)]);
    assert_eq!(asked(&mut lookup), [1, 7], "one address of an id at a time");
    lookup.failed(id(1), addr(201));
    assert_eq!(lookup.next(), Step::Ask(at(202)), "a false address does not bury the id");
    lookup.slow(id(1), addr(202));
    assert_eq!(lookup.next(), Step::Ask(at(203)));
    answer(&mut lookup, 7, [8]);
    assert!(lookup.answered(id(1), addr(203), Capabilities::NONE, [at(204)]));
    assert_eq!(
        lookup.next(),
        Step::Done,
        "1 and 7: the id fills one place, and is not asked again"
    );
    assert!(lookup.answered(id(1), addr(202), Capabilities::NONE, []));
    assert_eq!(found(&lookup), [1, 7]);
    assert_eq!(lookup.closest().next().map(|found| found.contact), Some(at(203)));
}

/// Mistake 20: one id does not crowd out others by the number of its addresses.
#[test]
fn an_id_has_room_for_a_new_address_once_one_failed() {
    let at = |port| Contact::new(id(1), addr(port));
    let mut lookup = lookup(config(1, 3), (201..300).map(at));
    for port in 201..204 {
        assert_eq!(lookup.next(), Step::Ask(at(port)));
        lookup.failed(id(1), addr(port));
    }
    assert_eq!(lookup.next(), Step::Done, "three waited");
    let mut lookup = self::lookup(config(1, 3), (201..204).map(at));
    let _ = lookup.next();
    lookup.failed(id(1), addr(201));
    lookup.start([at(300)]);
    assert!((202..=203).chain([300]).all(|port| {
        let is_next = lookup.next() == Step::Ask(at(port));
        lookup.failed(id(1), addr(port));
        is_next
    }));
}

/// Mistake 20: several ids per address.
#[test]
fn an_address_is_asked_under_one_id_at_a_time() {
    let named = |n| Contact::new(id(n), addr(201));
    let mut lookup = lookup(config(4, 4), [named(1), named(2), named(3), contact(9)]);
    assert_eq!(asked(&mut lookup), [1, 9]);
    assert!(lookup.failed(id(1), addr(201)), "somebody else answered there, say");
    assert_eq!(asked(&mut lookup), [2]);
    answer(&mut lookup, 9, []);
    assert_eq!(lookup.next(), Step::Wait, "3 may be there, if 2 is not");
    lookup.answered(id(2), addr(201), Capabilities::NONE, []);
    assert_eq!(lookup.next(), Step::Done, "2 is there, so 3 is not");
    assert_eq!(found(&lookup), [2, 9]);
}

/// Mistake 25: an error reply to an unknown extension counted as a dead node.
#[test]
fn an_answer_without_contacts_is_an_answer() {
    let mut lookup = lookup(config(2, 2), [contact(1), contact(2), contact(3)]);
    assert_eq!(asked(&mut lookup), [1, 2]);
    answer(&mut lookup, 1, []);
    answer(&mut lookup, 2, []);
    assert_eq!(lookup.next(), Step::Done);
    assert_eq!((found(&lookup), lookup.progress().failed), (std::vec![1, 2], 0));
}

/// Rule: d paths, each contact on one path only, so liars mislead the path that asked them.
#[test]
fn a_liar_misleads_its_own_path_only() {
    let paths = LookupConfig { paths: 2, ..config(2, 2) };
    let mut lookup = lookup(paths, [contact(100), contact(101)]);
    assert_eq!(asked(&mut lookup), [100, 101]);
    // The liar at 100 names the honest 50 too, hoping to keep the other path from it, and its own
    // friends, who are nearer than anybody and answer with silence of the polite kind.
    answer(&mut lookup, 100, [1, 2, 50]);
    assert_eq!(asked(&mut lookup), [1, 2]);
    answer(&mut lookup, 1, []);
    answer(&mut lookup, 2, []);
    assert_eq!(lookup.next(), Step::Wait);
    answer(&mut lookup, 101, [50, 60]);
    assert_eq!(asked(&mut lookup), [50, 60]);
    answer(&mut lookup, 50, [2, 40]);
    assert_eq!(asked(&mut lookup), [40], "2 belongs to the other path");
    answer(&mut lookup, 60, []);
    answer(&mut lookup, 40, []);
    assert_eq!(lookup.next(), Step::Done);
    assert_eq!(found(&lookup), [1, 2, 40, 50, 60, 100, 101]);
}

#[test]
fn one_paths_flood_displaces_nothing_of_anothers() {
    let paths = LookupConfig { paths: 2, candidates: 0, ..config(2, 1) };
    let mut lookup = lookup(paths, [contact(1000), contact(1001)]);
    assert_eq!(asked(&mut lookup), [1000, 1001]);
    answer(&mut lookup, 1001, [900, 901]);
    assert_eq!(asked(&mut lookup), [900]);
    for page in 0..20 {
        let flood = (0..6).map(|n| contact(800 - 6 * page - n));
        lookup.heard(Some((id(1000), addr(1000))), flood);
    }
    assert!(lookup.candidates.iter().count() <= 4 + 2 * 6, "six wait per path (k times 3)");
    answer(&mut lookup, 900, []);
    assert_eq!(asked(&mut lookup), [901]);
}

/// The bound on candidates never costs one of the k closest.
#[test]
fn the_farthest_waiting_candidate_gives_way() {
    let small = LookupConfig { candidates: 0, addresses_per_id: 1, ..config(4, 4) };
    let mut lookup = lookup(small, (100..200).chain(50..60).map(contact));
    assert_eq!(lookup.candidates.iter().count(), 4);
    assert_eq!(asked(&mut lookup), [50, 51, 52, 53]);
}

#[test]
fn questions_are_bounded() {
    let few = LookupConfig { questions: 5, ..config(2, 1) };
    let mut lookup = lookup(few, [contact(1000)]);
    for n in (0..1000).rev() {
        if asked(&mut lookup).is_empty() {
            break;
        }
        // Always somebody closer, who does not exist.
        answer(&mut lookup, n + 1, [n]);
    }
    assert!(lookup.is_done());
    assert_eq!((lookup.progress().asked, lookup.progress().cut_short), (5, true));
}

/// Capability masks choose the closest *capable*; the way leads through all.
#[test]
fn only_declared_capabilities_count() {
    let store = Capabilities::STORE;
    let hinted = |n, capabilities| Contact { capabilities, ..contact(n) };
    let start = [
        hinted(1, Capabilities::NONE),
        hinted(2, store),
        hinted(3, Capabilities::NONE),
        hinted(4, store),
        hinted(5, store),
        hinted(6, store),
    ];
    let mut lookup = lookup(config(2, 9), []).with_mask(store);
    lookup.start(start);
    assert_eq!(
        asked(&mut lookup),
        [1, 2, 4],
        "the two closest, and the two closest said to be able"
    );
    lookup.answered(id(1), addr(1), store, []);
    lookup.answered(id(2), addr(2), Capabilities::NONE, []);
    assert_eq!(lookup.next(), Step::Wait);
    lookup.answered(id(4), addr(4), Capabilities::NONE, [contact(7)]);
    assert_eq!(asked(&mut lookup), [5]);
    lookup.answered(id(5), addr(5), store.union(Capabilities(1 << 31)), []);
    assert_eq!(lookup.next(), Step::Done);
    assert_eq!(found(&lookup), [1, 5]);
}

/// Rule: stores and reads cover the region.
#[test]
fn a_widened_lookup_asks_the_whole_region() {
    let region = LookupConfig { region: 3, ..config(2, 9) };
    let mut lookup = lookup(region, (1..30).map(contact));
    assert_eq!(asked(&mut lookup), [1, 2]);
    answer(&mut lookup, 1, []);
    answer(&mut lookup, 2, []);
    assert_eq!(lookup.next(), Step::Done);
    lookup.widen(id(4).distance(TARGET));
    assert_eq!(asked(&mut lookup), [3, 4]);
    lookup.widen(id(20).distance(TARGET));
    assert_eq!(asked(&mut lookup), [5], "k and three more");
    for n in [3, 4, 5] {
        assert_eq!(lookup.next(), Step::Wait);
        answer(&mut lookup, n, []);
    }
    assert_eq!(lookup.next(), Step::Done);
    assert_eq!(lookup.closest_of(Family::V4).count(), 5);
}

/// Who crowds a key would name nobody else to those who look for what the crowd hides.
#[test]
fn a_crowd_is_asked_nothing_about_what_it_surrounds() {
    // 16 to 31 share more bits with 16 than the target 0 does.
    let mut lookup =
        Lookup::new(TARGET, Id::new([0xff; 20]), Families::BOTH, config(3, 9)).around(id(16));
    lookup.start([17, 31, 40].map(contact));
    assert_eq!(asked(&mut lookup), [40]);
    answer(&mut lookup, 40, [16, 20, 5, 33]);
    assert_eq!(asked(&mut lookup), [5, 33]);
}

/// Rule: address diversity in lookups; loopback and private networks are spared.
#[test]
fn one_prefix_does_not_fill_the_lookup() {
    let at = |net: [u8; 3], n: u16| {
        let [a, b, c] = net;
        Contact::new(id(n), ([a, b, c, n as u8], 6881).into())
    };
    let mut lookup = self::lookup(config(4, 9), (1..9).map(|n| at([8, 8, 8], n)));
    lookup.config.per_prefix = 2;
    lookup.start([at([9, 9, 9], 20)]);
    assert_eq!(asked(&mut lookup), [1, 2], "two of one /24, until one of them fails");
    lookup.failed(id(1), at([8, 8, 8], 1).addr());
    assert_eq!(asked(&mut lookup), [3]);
    for n in [2, 3] {
        lookup.answered(id(n), at([8, 8, 8], n).addr(), Capabilities::NONE, []);
    }
    assert_eq!(asked(&mut lookup), [20]);
    let mut local = self::lookup(config(8, 9), (1..9).map(|n| at([192, 168, 0], n)));
    local.config.per_prefix = 2;
    assert_eq!(asked(&mut local).len(), 8);
}

#[test]
fn each_family_has_its_own_k_closest() {
    let v6 = |n: u16| Contact::new(id(n), ([0xfd00, 0, 0, 0, 0, 0, 0, n], 6881).into());
    let mut lookup =
        lookup(config(2, 9), [1, 2, 3, 4].map(contact).into_iter().chain([1, 8].map(v6)));
    assert_eq!(asked(&mut lookup), [1, 1, 2, 8]);
    let mut v4_only = Lookup::new(TARGET, id(99), Families::V4, config(2, 9));
    v4_only.start([v6(1), contact(5)]);
    assert_eq!(asked(&mut v4_only), [5]);
}

/// A narrower scope is never believed from a wider one, and what is no address is not asked.
#[test]
fn who_cannot_know_an_address_is_not_believed() {
    let public = Contact::new(id(50), ([8, 8, 8, 8], 6881).into());
    let mut lookup = lookup(config(9, 9), [public]);
    assert_eq!(lookup.next(), Step::Ask(public));
    let port_zero = Contact::new(id(2), ([8, 8, 4, 4], 0).into());
    let multicast = Contact::new(id(3), ([224, 0, 0, 1], 6881).into());
    let other = Contact::new(id(4), ([8, 8, 4, 4], 6881).into());
    let named = [contact(1), port_zero, multicast, other];
    lookup.answered(id(50), public.addr(), Capabilities::NONE, named);
    assert_eq!(asked(&mut lookup), [4]);
}

#[test]
fn a_lookup_that_found_what_it_was_for_asks_no_more() {
    let mut lookup = lookup(config(9, 2), (1..9).map(contact));
    assert_eq!(asked(&mut lookup), [1, 2]);
    lookup.finish_early();
    assert_eq!(lookup.next(), Step::Done);
    assert!(answer(&mut lookup, 1, [30]), "a late answer is taken note of");
    lookup.widen(Distance::MAX);
    assert_eq!(lookup.next(), Step::Done);
    assert_eq!(found(&lookup), [1]);
}

#[test]
fn hops_are_counted_from_the_start_contacts() {
    let mut lookup = lookup(config(2, 1), [contact(100)]);
    assert_eq!(lookup.progress(), Progress::default());
    for (n, closer) in [(100, 50), (50, 20), (20, 20)] {
        assert_eq!(asked(&mut lookup), [n]);
        answer(&mut lookup, n, [closer]);
    }
    assert_eq!(lookup.next(), Step::Done);
    assert_eq!(lookup.closest().map(|found| found.hop).collect::<Vec<_>>(), [3, 2, 1]);
    let expected = Progress { asked: 3, answered: 3, hops: 3, ..Progress::default() };
    assert_eq!(lookup.progress(), expected);
}

#[test]
fn without_contacts_it_is_done_at_once() {
    assert_eq!(lookup(config(20, 3), []).next(), Step::Done);
}

/// In every answer a dead contact has the place of a living one.
#[test]
fn what_the_dead_crowded_out_is_asked_for() {
    let points =
        |lookup: &Lookup| lookup.gaps(Family::V4, 8).map(|(point, _)| point).collect::<Vec<_>>();
    let mut lookup = lookup(config(2, 4), [1, 2, 4, 8].map(contact));
    assert_eq!(asked(&mut lookup), [1, 2]);
    lookup.failed(id(1), addr(1));
    answer(&mut lookup, 2, []);
    assert_eq!(asked(&mut lookup), [4]);
    assert_eq!(points(&lookup), [id(4), id(2)], "from the second of the living to that of all");
    lookup.failed(id(4), addr(4));
    assert_eq!(asked(&mut lookup), [8]);
    answer(&mut lookup, 8, []);
    assert_eq!(lookup.next(), Step::Done);
    // From that of the second of the living inwards.
    assert_eq!(points(&lookup), [id(8), id(4), id(2)]);
    let near = lookup.closest_to(id(8), Family::V4, 1);
    assert_eq!(near.iter().map(|contact| contact.id).collect::<Vec<_>>(), [id(8)]);
    lookup.heard(Some((id(8), addr(8))), [contact(3)]);
    assert_eq!(lookup.next(), Step::Done, "hearsay alone opens nothing");
    lookup.resume();
    assert_eq!(asked(&mut lookup), [3]);
    answer(&mut lookup, 3, []);
    assert_eq!(found(&lookup), [2, 3, 8]);
    assert_eq!(points(&lookup), [id(2)], "2 and 3 are it");
}

/// Where nobody failed the k closest named each other, and where there are fewer all were named.
#[test]
fn without_a_dead_contact_among_the_closest_nothing_is_asked_besides() {
    let mut lookup = lookup(config(2, 4), [1, 2, 4].map(contact));
    assert_eq!(asked(&mut lookup), [1, 2]);
    answer(&mut lookup, 1, []);
    answer(&mut lookup, 2, []);
    assert_eq!(lookup.gaps(Family::V4, 8).count(), 0);
    let mut few = self::lookup(config(8, 4), [1, 2].map(contact));
    assert_eq!(asked(&mut few), [1, 2]);
    few.failed(id(1), addr(1));
    answer(&mut few, 2, []);
    assert_eq!(few.gaps(Family::V4, 8).count(), 0);
}

/// The fewer are dead, the fewer are asked besides: nobody is, while it may be one in eight.
#[test]
fn few_dead_are_asked_about_in_few_questions() {
    let counts = |dead: u16| {
        let mut lookup = lookup(config(16, 64), (0..64).map(contact));
        while let Some(n) = asked_next(&mut lookup) {
            if n < dead {
                lookup.failed(id(n), addr(n));
            } else {
                answer(&mut lookup, n, []);
            }
        }
        let mut counts: Vec<_> = lookup.gaps(Family::V4, 16).map(|(_, count)| count).collect();
        counts.dedup();
        counts
    };
    assert_eq!(counts(2), []);
    assert_eq!(counts(3), [6], "twice 3 of 19, of 16");
    assert_eq!(counts(8), [11], "twice 8 of 24");
    assert_eq!(counts(16), [16]);
    assert_eq!(counts(32), [16], "and no more");
}
