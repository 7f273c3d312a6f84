//! Republication and hand-over, with brute force as the oracle.

use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

const MINUTE: Duration = Duration::from_secs(60);

/// Mistake 15: "all holders republishing in the same second". Rule: a holder that received the
/// record within the hour skips its turn. Twenty holders that received it in the same second, two
/// days, a second on the way: about one republication an hour, and hardly ever two at once.
#[test]
fn one_of_many_holders_republishes() {
    const SECOND: Duration = Duration::from_secs(1);
    let at = value(1).key();
    let mut holders: Vec<Store> = (0..20)
        .map(|n| Store::new(StoreConfig::default(), key(n), Rng::from_seed([n; 32])))
        .collect();
    for holder in &mut holders {
        let _ = put_at(holder, at, 1, public(1, 1));
    }
    let mut turns: Vec<Instant> = Vec::new();
    for second in 0..48 * 3_600 {
        let now = START + SECOND * second;
        let due: Vec<Due> =
            holders.iter_mut().filter_map(|holder| holder.next_republish(now)).collect();
        for due in due {
            assert_eq!(due.age, now.since(START));
            turns.push(now);
            for (n, holder) in holders.iter_mut().enumerate() {
                let origin = Origin { from: public(2, n as u8), age: due.age + SECOND };
                let _ = holder.put_value(now + SECOND, due.key, value(1), origin);
            }
        }
    }
    let all = turns.len();
    turns.dedup();
    for (earlier, later) in turns.iter().zip(turns.iter().skip(1)) {
        assert!(later.since(*earlier) >= HOUR - SECOND, "{earlier:?} {later:?}");
    }
    assert!((44..=48).contains(&turns.len()), "{}", turns.len());
    assert!(all <= turns.len() + 5, "{} of {all} at once", all - turns.len());
}

/// Mistake 16, for holders: a record that is about to expire is not handed on, and none is handed on
/// after it expired.
#[test]
fn what_is_about_to_expire_is_not_handed_on() {
    let mut store = store(|_| ());
    let at = value(1).key();
    let origin = Origin { from: public(1, 1), age: HOUR * 47 - MINUTE * 20 };
    let _ = store.put_value(START, at, value(1), origin);
    let mut last = START;
    for minute in 0..100 {
        let now = START + MINUTE * minute;
        if let Some(due) = store.next_republish(now) {
            assert!(due.age + StoreConfig::default().lookup < HOUR * 48);
            last = now;
        }
        let mut handover = Handover::new(key(0xff));
        let handed = store.next_handover(now, &mut handover, 20, |_| []);
        assert_eq!(handed.is_some(), minute < 78, "{minute}");
    }
    assert!(last > START);
}

#[test]
fn providers_entries_and_copies_are_nobody_elses_to_hand_on() {
    let mut store = store(|_| ());
    let _ = store.put_provider(START, key(1), provider(public(1, 1)), public(1, 1));
    let word = Word::parse("whale").expect("a word").key();
    let _ = store.put_entry(START, word, entry("whale"), public(1, 1));
    let _ = store.put_copy(START, key(2), value(1), HOUR * 6, public(1, 1));
    assert!((0..50).all(|hour| store.next_republish(START + HOUR * hour).is_none()));
    let mut handover = Handover::new(key(3));
    assert_eq!(store.next_handover(START, &mut handover, 20, |_| []), None);
    assert!(handover.is_done());
    let change = signed(1, b"signed");
    let at = change.as_signed().key();
    let _ = store.put_signed(START, at, change.clone(), None, Origin::publisher(public(1, 1)));
    let due = store.next_handover(START, &mut Handover::new(key(3)), 20, |_| []);
    let record = Certified::Signed(Box::new(change.into_signed()));
    assert_eq!(due, Some(Due { key: at, record, age: Duration::ZERO }));
}

/// After a restart the turns are spread, not all at once (mistake 15).
#[test]
fn turns_are_spread_after_an_import() {
    let mut before = store(|_| ());
    for n in 0..1_000 {
        let _ = put_at(&mut before, value(n).key(), n, local(n as u16));
    }
    let mut store = Store::new(StoreConfig::default(), Id::ZERO, Rng::from_seed([9; 32]));
    let imported = store.import(START, Duration::ZERO, &before.export(START));
    assert_eq!(imported.map(|imported| imported.stored), Ok(1_000));
    for minute in 0..60 {
        let now = START + MINUTE * (minute + 1);
        let turns = core::iter::from_fn(|| store.next_republish(now)).count();
        assert!((1..60).contains(&turns), "{turns} in minute {minute}");
    }
}

proptest! {
    /// Mistake 18: "all k holders handing records to a newcomer, or none". Everybody knows everybody
    /// and holds what it should; the newcomer gets each record of whose k closest it is one, from
    /// exactly one holder.
    #[test]
    fn a_newcomer_gets_each_of_its_records_once(
        seed: [u8; 32], nodes in 1_usize..40, records in 0_u32..60, k in 1_usize..9,
        work in 1_u32..100,
    ) {
        let mut rng = Rng::from_seed(seed);
        let ids: Vec<Id> = (0..nodes).map(|_| Id::random(&mut rng)).collect();
        let newcomer = Id::random(&mut rng);
        let closest = |key: Id, among: &[Id]| {
            let mut among = among.to_vec();
            among.sort_by_key(|id| id.distance(key));
            among.truncate(k);
            among
        };
        let everybody: Vec<Id> = ids.iter().copied().chain([newcomer]).collect();
        let mut expected = Vec::new();
        let mut stores: Vec<Store> = ids.iter().map(|id| {
            let config = StoreConfig { work_per_call: work, ..StoreConfig::default() };
            Store::new(config, *id, rng.fork())
        }).collect();
        for n in 0..records {
            let at = value(n).key();
            for id in closest(at, &ids) {
                let holder = ids.iter().position(|other| *other == id).expect("one of them");
                let _ = put_at(&mut stores[holder], at, n, local(1));
            }
            if closest(at, &everybody).contains(&newcomer) {
                expected.push(at);
            }
        }
        let mut handed = Vec::new();
        for (id, store) in ids.iter().zip(&stores) {
            let mut handover = Handover::new(newcomer);
            let mut calls = 0;
            while !handover.is_done() {
                // The table does not have ourselves; it may have the newcomer already.
                let others: Vec<Id> = everybody.iter().copied().filter(|other| other != id).collect();
                let due = store.next_handover(START, &mut handover, k, |key| closest(key, &others));
                handed.extend(due.map(|due| due.key));
                calls += 1;
                prop_assert!(calls <= 2 * records + 2);
            }
        }
        handed.sort();
        expected.sort();
        prop_assert_eq!(handed, expected);
    }
}

/// A store full of others' ranges is passed over in few looks.
#[test]
fn foreign_ranges_fall_away_at_the_first_look() {
    let mut rng = Rng::from_seed([3; 32]);
    let own = Id::ZERO;
    let contacts: Vec<Id> = (0..160).map(|bit| own.random_beside(bit, &mut rng)).collect();
    let mut store = store(|_| ());
    for n in 0..5_000 {
        let _ = put_at(&mut store, Id::random(&mut rng), n, local(1));
    }
    let mut looks = 0;
    let mut handover = Handover::new(Id::random(&mut rng));
    while !handover.is_done() {
        let _ = store.next_handover(START, &mut handover, 20, |_| {
            looks += 1;
            contacts.iter().copied()
        });
    }
    assert!(looks < 40, "{looks}");
}

/// Whoever brings a value from before its last publication has handed it on to nobody since.
#[test]
fn a_stranger_does_not_keep_a_holder_from_handing_on() {
    let mut store = store(|_| ());
    let (it, minute, mut turns) = (value(1), Duration::from_secs(60), 0);
    put_at(&mut store, it.key(), 1, public(1, 1)).expect("room");
    for minutes in 1..46 * 60 {
        let now = START + minute * minutes;
        if minutes % 50 == 0 {
            let origin = Origin { from: public(2, 1), age: HOUR * 47 };
            assert_eq!(store.put_value(now, it.key(), it.clone(), origin), Ok(Stored::Renewed));
        }
        turns += core::iter::from_fn(|| store.next_republish(now)).count();
    }
    assert!(turns > 30, "{turns} turns in 46 hours");
}
