//! How many are asked at once where contacts are silent, and whom the dead keep out of the answers.

use super::*;

fn silent(lookup: &mut Lookup, numbers: impl IntoIterator<Item = u16>) {
    for n in numbers {
        assert!(lookup.slow(id(n), addr(n)));
    }
}

/// Rule: α counts answers that are expected.
#[test]
fn where_contacts_are_silent_more_are_asked_at_once() {
    let mut lookup = lookup(config(8, 4), (100..160).map(contact));
    assert_eq!(asked(&mut lookup), [100, 101, 102, 103]);
    silent(&mut lookup, 100..104);
    assert_eq!(asked(&mut lookup).len(), 6, "4 of 12 are silent, 8 presumed to answer: 4 · 12 / 8");
    silent(&mut lookup, 104..110);
    assert_eq!(asked(&mut lookup).len(), 9, "10 of 18");
    silent(&mut lookup, 110..119);
    assert_eq!(asked(&mut lookup).len(), 10, "but never more than two and a half times α");
}

/// Who answers late was slow, and not dead.
#[test]
fn a_late_answer_takes_its_silence_back() {
    let mut lookup = lookup(config(8, 4), (100..160).map(contact));
    assert_eq!(asked(&mut lookup), [100, 101, 102, 103]);
    silent(&mut lookup, 100..104);
    for n in 100..104 {
        // Always somebody closer, so that it is α who may be asked.
        assert!(answer(&mut lookup, n, [200 - n]));
    }
    assert_eq!(asked(&mut lookup).len(), 4);
}

/// What died of late counts before anything was asked.
#[test]
fn a_lookup_among_the_dead_begins_with_more_questions() {
    let mut lookup = lookup(config(8, 4), (100..160).map(contact));
    lookup.presume_dead(500);
    assert_eq!(asked(&mut lookup).len(), 8);
    let mut lookup = self::lookup(config(8, 4), (100..160).map(contact));
    lookup.presume_dead(u32::MAX);
    assert_eq!(asked(&mut lookup).len(), 10, "two and a half times α, whatever is said");
}

/// Rule: k counts answers that are expected as well, and nobody is waited for in vain.
#[test]
fn so_many_are_asked_that_k_answers_are_expected() {
    let mut lookup = lookup(config(8, 1), (1..60).map(contact));
    lookup.presume_dead(500);
    assert_eq!(asked(&mut lookup), [1, 2]);
    answer(&mut lookup, 1, []);
    let last = asked(&mut lookup);
    assert!((10..14).contains(&last.len()), "some twelve, for eight answers: {last:?}");
    for n in (2..9).filter(|n| *n == 2 || last.contains(n)) {
        answer(&mut lookup, n, []);
    }
    assert_eq!(lookup.next(), Step::Done, "the eight closest answered; the others were in reserve");
}

/// Rule: the nearest of all has answered, and knows nobody closer: nothing closer will come.
#[test]
fn the_nearest_ones_answer_opens_the_last_step() {
    let mut lookup = lookup(config(8, 3), (50..70).map(contact));
    assert_eq!(asked(&mut lookup), [50, 51, 52]);
    answer(&mut lookup, 51, [60]);
    assert_eq!(asked(&mut lookup), [53], "50 is nearer and has not answered");
    answer(&mut lookup, 50, [51]);
    assert_eq!(asked(&mut lookup), [54, 55, 56, 57]);
    answer(&mut lookup, 52, [10, 11, 12, 13, 14]);
    assert!(
        asked(&mut lookup).is_empty(),
        "closer ones after all: α again, and five are under way"
    );
}

/// Where many of the k closest are silent, the subtrees beside the target are to be asked about;
/// where one is, nobody is missing.
#[test]
fn many_silent_contacts_leave_gaps_and_one_does_not() {
    let mut lookup = lookup(config(8, 8), (1..9).map(contact));
    assert_eq!(asked(&mut lookup), [1, 2, 3, 4, 5, 6, 7, 8]);
    silent(&mut lookup, [1]);
    for n in 3..9 {
        answer(&mut lookup, n, []);
    }
    let points = |lookup: &Lookup| lookup.gaps(Family::V4, 8).count();
    assert_eq!((lookup.is_held_up(), points(&lookup)), (false, 0), "one of eight");
    silent(&mut lookup, [2]);
    assert!(lookup.is_held_up(), "nobody is under way but who is silent");
    assert!(points(&lookup) > 0, "two of eight");
    lookup.failed(id(1), addr(1));
    lookup.silent(id(2), addr(2));
    assert!(points(&lookup) > 0, "given up or not");
}
