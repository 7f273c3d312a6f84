//! What is refreshed and pinged, and when.

use super::*;

/// Mistake 23: joining without refreshing the farther buckets.
#[test]
fn joining_refreshes_every_bucket_beyond_the_closest_neighbour() {
    let mut table = crowd(config(), 500);
    let own = table.own();
    let closest = table.closest(own, Filter::default()).next().expect("a contact").id;
    let ids = table.refresh_beyond(at(5), closest, &mut rng(1));
    for bucket in table.buckets() {
        let farther = !bucket.covers(closest) && !bucket.covers(own);
        assert_eq!(ids.iter().filter(|id| bucket.covers(**id)).count(), usize::from(farther));
        assert_eq!(bucket.refreshed() == at(5), farther);
    }
    assert!(ids.iter().all(|id| own.distance(*id) > own.distance(closest)));
}

/// Where exactly k answer a newcomer, its one bucket is full and has not split: whoever is farther than
/// the farthest of them is in no bucket of its own, and would not learn of us.
#[test]
fn joining_refreshes_the_rows_that_k_neighbours_left_out() {
    let mut table = RoutingTable::new(Id::ZERO, config());
    for (n, first) in [0x10, 0x20, 0x21, 0x3f].into_iter().enumerate() {
        let ids = table.refresh_beyond(at(4), id(0x10, 0), &mut rng(1));
        assert_eq!(ids.len(), 0, "with fewer than k, all there are");
        let contact = local(id(first, 0), n as u16);
        assert_eq!(table.verified(at(5), contact, None), Admission::Inserted);
    }
    let ids = table.refresh_beyond(at(5), id(0x10, 0), &mut rng(1));
    let rows = ids.iter().map(|id| table.own().common_prefix(*id));
    assert!(rows.eq([0, 1, 2]), "two that are empty, and the one of the farthest");
}

/// Traffic counts as refreshing, and refreshes are spread.
#[test]
fn a_bucket_in_use_is_not_refreshed_and_refreshes_are_apart() {
    let mut table = crowd(config(), 500);
    let busy = table.own().with_flipped(0);
    let (mut last, mut refreshed) = (None, 0);
    // Found after a suspension: everything is due at once.
    for now in 10_000..10_600 {
        table.touched(at(now), busy);
        if let Some(id) = table.next_refresh(at(now), &mut rng(1)) {
            assert!(id.bit(0) == table.own().bit(0));
            assert!(last.is_none_or(|last| now - last >= 10));
            (last, refreshed) = (Some(now), refreshed + 1);
        }
    }
    assert_eq!(refreshed, table.buckets().len() - 1);
}

#[test]
fn an_idle_table_wants_nothing() {
    let mut table = RoutingTable::new(Id::ZERO, config());
    assert_eq!(table.poll_timeout(), None);
    assert_eq!(table.next_ping(at(90_000)), None);
    assert_eq!(table.next_refresh(at(90_000), &mut rng(0)), None);
    assert_eq!(table.closest(Id::ZERO, Filter::default()).next(), None);
}

/// Of those pinged one in `one_in` is dead, or only its answer is lost: how long the table waits before it doubts a contact, once
/// it knows that.
fn patience_where_one_in(one_in: usize, dead: bool) -> Duration {
    let mut table = crowd(config(), 100);
    let (mut now, mut strangers, mut pings) = (at(0), 100_u16, 0);
    let mut waited = Vec::new();
    let mut rng = rng(3);
    while now < at(36_000) {
        while let Some(contact) = table.next_ping(now) {
            // Nobody knows whether one that waits for a place would be taken for alive.
            let Some(entry) = table.get(contact.id) else {
                table.verified(now, contact, None);
                continue;
            };
            pings += 1;
            if pings % one_in != 0 {
                table.verified(now, contact, None);
                waited.push(now.since(entry.seen));
                continue;
            }
            let failed = table.failed(now, contact.id, contact.addr());
            assert_eq!(failed, Failure::Counted(1));
            if !dead {
                table.verified(now + Duration::from_secs(16), contact, None);
                continue;
            }
            // Somebody else comes in its place.
            table.remove(now, contact.id);
            strangers += 1;
            table.verified(now, local(Id::random(&mut rng), strangers), None);
        }
        table.next_refresh(now, &mut rng);
        now = table.poll_timeout().expect("a deadline").max(now + Duration::from_secs(1));
    }
    let lately = waited.split_off(waited.len() * 3 / 4);
    lately.iter().sum::<Duration>() / lately.len() as u32
}

/// Until it has seen who lives and who dies, a table waits a third of the longest.
#[test]
fn a_new_table_does_not_trust_for_long() {
    let mut table = RoutingTable::new(Id::ZERO, config());
    let first = local(id(0x80, 0), 1);
    table.verified(at(0), first, None);
    assert_eq!((table.next_ping(at(299)), table.next_ping(at(302))), (None, Some(first)));
}

/// Where contacts die they are doubted sooner, so that few dead are handed on; where they live they
/// are left alone, and where datagrams are lost too.
#[test]
fn contacts_are_doubted_the_sooner_the_more_of_them_die() {
    let waited = [5_000, 220, 4].map(|one_in| patience_where_one_in(one_in, true).as_secs());
    assert!((850..=910).contains(&waited[0]), "{waited:?}");
    assert!((320..850).contains(&waited[1]), "{waited:?}");
    assert!((300..=320).contains(&waited[2]), "{waited:?}");
    let lost = patience_where_one_in(10, false).as_secs();
    assert!(lost > 800, "{lost}");
}

#[test]
fn waking_at_every_deadline_pings_everybody_in_time_and_sleeps_between() {
    let mut table = crowd(config(), 500);
    let (mut now, mut in_vain, mut pings) = (at(0), 0, 0);
    while now < at(7_200) {
        let mut work = 0;
        while let Some(contact) = table.next_ping(now) {
            table.verified(now, contact, Some(Duration::from_millis(3)));
            work += 1;
        }
        pings += work;
        work += usize::from(table.next_refresh(now, &mut rng(0)).is_some());
        let deadline = table.poll_timeout().expect("a deadline");
        assert!(deadline > now, "the table comes to rest");
        (now, in_vain) = (deadline, in_vain + usize::from(work == 0));
        let oldest = table.iter().map(|entry| now.since(entry.seen)).max();
        assert!(oldest <= Some(Duration::from_secs(901)));
    }
    assert!(in_vain < 200, "{in_vain}");
    // Nobody dies: each once in a quarter of an hour, but for the first rounds.
    assert!(pings < 11 * table.len(), "{pings}");
    assert!(table.iter().all(|entry| entry.rtt == Some(Duration::from_micros(2_816))));
}
