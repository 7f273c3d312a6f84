//! Who enters, who stays, who gives way.

use super::*;

/// Mistake 6: the own id in the table.
#[test]
fn the_own_id_is_refused() {
    let own = id(7, 7);
    let mut table = RoutingTable::new(own, config());
    let me = local(own, 1);
    assert_eq!(table.verified(at(0), me, None), Admission::Refused(Refusal::OwnId));
    assert_eq!(table.heard(at(0), own, me.path), Heard::Ignored);
    table.restore(
        at(0),
        Duration::ZERO,
        [SavedContact { contact: me, age: Duration::ZERO, rtt: None }],
    );
    assert!(table.is_empty() && table.next_ping(at(0)).is_none());
    // A contact whose id becomes ours.
    let other = local(id(8, 8), 2);
    table.verified(at(0), other, None);
    table.set_own(at(0), other.id);
    assert!(table.is_empty());
}

/// Mistake 9: contacts put straight into buckets.
#[test]
fn what_speaks_unasked_enters_by_its_answer_only() {
    let mut table = RoutingTable::new(Id::ZERO, config());
    let stranger = local(id(9, 9), 1);
    assert_eq!(table.heard(at(0), stranger.id, stranger.path), Heard::Candidate);
    assert!(table.is_empty());
    assert_eq!(table.closest(stranger.id, Filter::default().or_doubtful()).next(), None);
    assert_eq!(table.next_ping(at(0)), Some(stranger));
    assert_eq!(table.verified(at(1), stranger, None), Admission::Inserted);
    assert!(table.get(stranger.id).is_some_and(|entry| entry.live));
}

/// Mistake 10: live old contacts evicted, most and least recently seen swapped.
#[test]
fn the_old_stay_and_the_least_recently_seen_stands_first() {
    let mut table = with_full_far_half();
    let [a, b, c, d] = [0x80, 0x81, 0x82, 0x83].map(|first| id(first, 0));
    let newcomer = local(id(0x84, 0), 50);
    assert_eq!(table.verified(at(200), newcomer, None), Admission::Replacement);
    assert_eq!(far_half(&table), ([a, b, c, d].into(), [newcomer.id].into()));
    assert_eq!(table.verified(at(201), local(a, 0), None), Admission::Updated);
    assert_eq!(table.heard(at(202), c, local(c, 2).path), Heard::Touched);
    assert_eq!(far_half(&table).0, [b, d, a, c]);
    // The ping that is due goes to the front.
    let due = pings(&mut table, at(1_150)).into_iter().find(|contact| contact.id.bit(0));
    assert_eq!(due.map(|contact| contact.id), Some(b));
}

/// Mistake 10: a ping for every unsolicited packet.
#[test]
fn strangers_cost_a_full_bucket_no_ping() {
    let mut table = with_full_far_half();
    for n in 0..100 {
        let stranger = local(id(0xc0 + (n as u8 & 15), 1 + n as u8), 600 + n);
        assert_eq!(table.heard(at(200), stranger.id, stranger.path), Heard::Ignored);
    }
    assert_eq!(table.next_ping(at(200)), None);
    // And where there is a place, they are bounded.
    let mut table = RoutingTable::new(Id::ZERO, config());
    let heard = (0..100).filter(|n| {
        let stranger = local(id(*n as u8, 1), 600 + n);
        table.heard(at(200), stranger.id, stranger.path) == Heard::Candidate
    });
    assert_eq!(heard.count(), TableConfig::default().candidates);
}

/// Questions with forged addresses, as many as may wait, keep nobody out whose address is not.
#[test]
fn who_has_shown_its_address_takes_the_place_of_who_may_be_forged() {
    let mut table = RoutingTable::new(Id::ZERO, config());
    let most = TableConfig::default().candidates as u16;
    let stranger = |n: u16| local(id(n as u8, 1), 600 + n);
    for n in 0..most {
        let forged = stranger(n);
        assert_eq!(table.heard(at(0), forged.id, forged.path), Heard::Candidate);
    }
    let [unshown, shown] = [most, most + 1].map(stranger);
    assert_eq!(table.heard(at(0), unshown.id, unshown.path), Heard::Ignored);
    assert_eq!(table.heard_from(at(0), shown.id, shown.path, true), Heard::Candidate);
    assert_eq!(table.candidates.len(), usize::from(most));
    // Those who have shown theirs do not drive out each other.
    for n in most + 2..3 * most {
        let next = stranger(n);
        table.heard_from(at(0), next.id, next.path, true);
    }
    assert!(table.candidates.iter().all(|it| it.shown));
    assert!(table.candidates.iter().any(|it| it.contact.id == shown.id));
}

/// Mistake 10: two pings racing for one bucket.
#[test]
fn one_ping_a_bucket_at_a_time() {
    let mut table = RoutingTable::new(Id::ZERO, config());
    let [a, b] = [local(id(1, 1), 1), local(id(2, 2), 2)];
    table.heard(at(0), a.id, a.path);
    table.heard(at(0), b.id, b.path);
    assert_eq!(table.next_ping(at(0)), Some(a));
    assert_eq!(table.next_ping(at(0)), None);
    assert_eq!(table.poll_timeout(), Some(at(30)));
    table.failed(at(5), a.id, a.addr());
    assert_eq!(table.next_ping(at(5)), Some(b));
    // An outcome that is never told bars the bucket for a while only.
    table.heard(at(6), a.id, a.path);
    assert_eq!(table.next_ping(at(34)), None);
    assert_eq!(table.next_ping(at(35)), Some(a));
}

/// Mistake 11: replacements never promoted.
#[test]
fn the_newest_replacement_takes_the_place_of_a_stale_contact() {
    let patient = TableConfig { questionable_after: Duration::from_secs(3_600), ..config() };
    let mut table = with_full_far_half_of(patient);
    for n in 0..6_u16 {
        let waiting = local(id(0x90 + n as u8, 0), 50 + n);
        assert_eq!(table.verified(at(200 + u64::from(n)), waiting, None), Admission::Replacement);
    }
    let (contacts, waiting) = far_half(&table);
    assert_eq!(waiting, [0x95, 0x94, 0x93, 0x92].map(|first| id(first, 0)), "newest first, four");
    let dead = table.get(contacts[1]).expect("a contact").contact;
    let (_, failure) = fail_until_stale(&mut table, dead, at(300));
    assert_eq!(failure, Failure::Replaced(local(waiting[0], 55)));
    let (contacts, waiting) = far_half(&table);
    assert!(!contacts.contains(&dead.id) && contacts.contains(&id(0x95, 0)));
    assert_eq!(waiting.len(), 3);
}

/// Mistake 11: replacements promoted unverified. One that answered long ago is pinged first.
#[test]
fn an_old_replacement_is_pinged_before_it_is_promoted() {
    let mut table = with_full_far_half();
    let waiting = local(id(0x90, 0), 50);
    table.verified(at(200), waiting, None);
    let (contacts, _) = far_half(&table);
    let dead = table.get(contacts[1]).expect("a contact").contact;
    let (now, failure) = fail_until_stale(&mut table, dead, at(2_000));
    assert_eq!(failure, Failure::Stale);
    assert!(table.get(waiting.id).is_none());
    let ping = pings(&mut table, now).into_iter().find(|contact| contact.id.bit(0));
    assert_eq!(ping, Some(waiting));
    assert_eq!(table.verified(now, waiting, None), Admission::Inserted);
    let (contacts, waiting) = far_half(&table);
    assert!(!contacts.contains(&dead.id) && waiting.is_empty());
}

#[test]
fn a_replacement_that_fails_is_dropped() {
    let mut table = with_full_far_half();
    let waiting = local(id(0x90, 0), 50);
    table.verified(at(200), waiting, None);
    assert_eq!(table.failed(at(201), waiting.id, waiting.addr()), Failure::Dropped);
    assert!(far_half(&table).1.is_empty());
}

/// Mistake 4, as far as the table goes: a failed contact comes back by its answer alone.
#[test]
fn a_failed_contact_is_not_handed_on_until_it_answers() {
    let mut table = RoutingTable::new(Id::ZERO, config());
    let contact = local(id(9, 9), 1);
    table.verified(at(0), contact, None);
    assert_eq!(table.failed(at(10), contact.id, contact.addr()), Failure::Counted(1));
    assert_eq!(table.heard(at(11), contact.id, contact.path), Heard::Ignored);
    assert_eq!(table.closest(contact.id, Filter::default()).next(), None);
    assert_eq!(table.closest(contact.id, Filter::default().or_doubtful()).next(), Some(contact));
    assert_eq!(table.verified(at(12), contact, None), Admission::Updated);
    assert_eq!(table.closest(contact.id, Filter::default()).next(), Some(contact));
}

/// With no replacement at hand a stale contact is only flagged; newcomers take its place, and it
/// backs off exponentially meanwhile.
#[test]
fn a_stale_contact_keeps_its_place_until_somebody_needs_it() {
    let mut table = with_full_far_half();
    let (contacts, _) = far_half(&table);
    let dead = table.get(contacts[2]).expect("a contact").contact;
    let (now, failure) = fail_until_stale(&mut table, dead, at(200));
    assert_eq!(failure, Failure::Stale);
    assert!(table.get(dead.id).is_some_and(|entry| entry.failures == 5 && !entry.live));
    assert_eq!(table.verified(now, local(id(0x99, 0), 60), None), Admission::Inserted);
    assert!(table.get(dead.id).is_none());
}

/// A contact that fails is not asked again before an exponentially growing delay.
#[test]
fn failures_back_off_exponentially() {
    let mut table = RoutingTable::new(Id::ZERO, config());
    let contact = local(id(9, 9), 1);
    table.verified(at(0), contact, None);
    let (mut now, mut pauses) = (1_000, Vec::new());
    for failures in 1..=12 {
        assert_eq!(table.next_ping(at(now)), Some(contact));
        table.failed(at(now), contact.id, contact.addr());
        assert_eq!(table.get(contact.id).map(|entry| entry.failures), Some(failures));
        // What was on its way at the same time is the same failure.
        assert_eq!(table.failed(at(now + 1), contact.id, contact.addr()), Failure::Ignored);
        let failed = now;
        while table.next_ping(at(now)).is_none() {
            assert!(table.is_backing_off(at(now), contact.id));
            // A refresh may be due as well.
            table.next_refresh(at(now), &mut rng(0));
            let deadline = table.poll_timeout().expect("a deadline");
            assert!(deadline > at(now));
            now = u64::from((deadline + Duration::from_micros(999_999)).as_secs());
        }
        assert!(!table.is_backing_off(at(now), contact.id));
        pauses.push(now - failed - 1);
        // Let the ping just given out run into its time limit.
        now += 31;
    }
    assert_eq!(pauses, [15, 30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600, 3_600]);
}

/// Mistake 12: the table emptied while our own link was down.
#[test]
fn a_frozen_table_loses_nobody() {
    let mut table = with_full_far_half();
    table.verified(at(200), local(id(0x90, 0), 50), None);
    let before: Vec<_> = table.iter().map(|entry| entry.contact).collect();
    table.set_frozen(true);
    for now in 300..20_000 {
        // Every ping fails, and still not everybody is pinged all the time.
        let pings = pings(&mut table, at(now));
        assert!(pings.len() <= table.buckets.len());
        for contact in pings {
            assert_eq!(table.failed(at(now), contact.id, contact.addr()), Failure::Ignored);
            assert_eq!(table.next_ping(at(now)).map(|next| table.locate(next.id)), None);
        }
        assert_eq!(table.next_refresh(at(now), &mut rng(0)), None);
    }
    assert_eq!(table.iter().map(|entry| entry.contact).collect::<Vec<_>>(), before);
    assert!(table.iter().all(|entry| entry.live));
    table.set_frozen(false);
    let contact = before[0];
    assert_eq!(table.failed(at(20_000), contact.id, contact.addr()), Failure::Counted(1));
}

/// Mistake 20: several addresses per id, several ids per address; and unsolicited traffic that
/// rewrites an address.
#[test]
fn an_id_has_one_address_and_an_address_one_id() {
    let mut table = RoutingTable::new(Id::ZERO, config());
    let (node, moved, renamed) = (local(id(9, 9), 1), local(id(9, 9), 2), local(id(8, 8), 1));
    table.verified(at(0), node, None);
    assert_eq!(table.heard(at(1), moved.id, moved.path), Heard::Ignored);
    assert_eq!(table.heard(at(1), renamed.id, renamed.path), Heard::Ignored);
    assert_eq!(table.verified(at(1), moved, None), Admission::Refused(Refusal::IdTaken));
    assert_eq!(table.verified(at(1), renamed, None), Admission::Refused(Refusal::AddressTaken));
    assert_eq!(table.failed(at(1), moved.id, moved.addr()), Failure::Ignored);
    assert_eq!(table.iter().map(|entry| entry.contact).collect::<Vec<_>>(), [node]);
    // Once it fails, the word of the one that answers counts.
    table.failed(at(2), node.id, node.addr());
    assert_eq!(table.verified(at(3), moved, None), Admission::Inserted);
    assert_eq!(table.iter().map(|entry| entry.contact).collect::<Vec<_>>(), [moved]);
    table.failed(at(4), moved.id, moved.addr());
    assert_eq!(table.verified(at(5), local(id(8, 8), 2), None), Admission::Inserted);
    assert_eq!(table.len(), 1);
}
