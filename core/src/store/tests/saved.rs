//! What is written comes back, older by the time between; what is damaged is noticed.

use alloc::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

fn filled() -> Store {
    let mut store = store(|config| config.max_changes = 100);
    let _ = put_at(&mut store, value(1).key(), 1, public(1, 1));
    let at = signed(1, b"").as_signed().key();
    let origin = Origin { from: local(9), age: HOUR };
    let _ = store.put_signed(START, at, signed(3, b"three"), None, origin);
    let _ = store.put_provider(START, key(1), provider(public(1, 2)), public(1, 2));
    let v6: SocketAddr = "[2a00:1::5]:80".parse().expect("an address");
    let _ = store.put_provider(START, key(1), provider(v6), v6);
    let word = Word::parse("größe").expect("a word").key();
    let odd = SearchEntry::with_extra("Größe.txt", 7, [3; 32], [1, 2, 3]).expect("a name");
    let _ = store.put_entry(START, word, odd, public(2, 1));
    let _ = store.put_copy(START, key(2), value(2), HOUR, public(1, 1));
    store
}

/// Everything a store holds, with what is left of its life.
fn contents(store: &Store, now: Instant) -> Vec<(Id, alloc::string::String, Duration)> {
    let held = store.shelves.iter().filter(|(_, held)| !held.record.is_copy());
    let mut all: Vec<_> = held
        .map(|(place, held)| {
            let said = alloc::format!("{:?} from {}", held.record, held.from());
            (place.key(), said, held.expires.since(now))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn what_is_exported_comes_back_older() {
    let before = filled();
    let bytes = before.export(START + HOUR);
    // Another process, whose epoch is its start, three hours later.
    let (now, elapsed) = (Instant::from_secs(5), HOUR * 3);
    let mut after = Store::new(StoreConfig::default(), Id::ZERO, Rng::from_seed([2; 32]));
    let imported = after.import(now, elapsed, &bytes);
    assert_eq!(imported, Ok(Imported { stored: 5, ..Imported::default() }));
    assert_eq!(contents(&after, now), contents(&before, START + HOUR * 4));
    after.shelves.assert_consistent();
    let mut late = Store::new(StoreConfig::default(), Id::ZERO, Rng::from_seed([2; 32]));
    let imported = late.import(now, HOUR * 20, &bytes);
    assert_eq!(imported, Ok(Imported { stored: 2, expired: 3, ..Imported::default() }));
}

/// The host's database is a map from names to records; it ends up with what the store holds.
#[test]
fn the_journal_keeps_a_copy_up_to_date() {
    let mut store = filled();
    store.config.max_records = 6;
    let mut database = BTreeMap::new();
    let mut write_down = |store: &mut Store, now| {
        while let Some(change) = store.poll_change() {
            match change {
                StoreChange::Stored { name, record } => {
                    database.insert(name, (record, now));
                }
                StoreChange::Removed { name } => {
                    assert!(database.remove(&name).is_some(), "{name:?} was never stored");
                }
                StoreChange::Lost => panic!("the journal was drained"),
            }
        }
    };
    write_down(&mut store, START);
    for n in 10..20 {
        let now = START + HOUR * n;
        store.expire(now);
        let _ = store.put_value(now, value(n).key(), value(n), Origin::publisher(local(1)));
        write_down(&mut store, now);
    }
    let now = START + HOUR * 19;
    let mut again = Store::new(StoreConfig::default(), Id::ZERO, Rng::from_seed([2; 32]));
    for (record, written) in database.values() {
        assert_eq!(again.import_record(START, now.since(*written), record), Ok(()));
    }
    assert_eq!(contents(&again, START), contents(&store, now));
    assert!(store.stats().evicted > 0 && store.stats().expired > 0);
}

#[test]
fn a_journal_that_nobody_reads_is_bounded() {
    let mut store = store(|config| config.max_changes = 10);
    for n in 0..1_000 {
        let _ = put_at(&mut store, value(n).key(), n, local(1));
        assert!(store.changes.len() <= 11);
    }
    assert_eq!(store.poll_change(), Some(StoreChange::Lost));
    let mut silent = self::store(|_| ());
    let _ = put_at(&mut silent, value(1).key(), 1, local(1));
    assert_eq!(silent.poll_change(), None);
}

#[test]
fn a_later_version_is_named() {
    let mut bytes = filled().export(START);
    bytes[0] = 9;
    let mut store = store(|_| ());
    assert_eq!(store.import(START, Duration::ZERO, &bytes), Err(NewerVersion(9)));
    assert_eq!(store.stats().bytes, 0);
}

proptest! {
    /// A damaged bit costs the record it is in, and is counted; a damaged length costs the rest.
    #[test]
    fn damage_is_noticed(at in 1_usize..600, bit in 0..8, cut in any::<bool>()) {
        let before = filled();
        let mut bytes = before.export(START);
        prop_assume!(at < bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1_u8 << bit;
        }
        let mut after = store(|_| ());
        let imported = after.import(START, Duration::ZERO, &bytes).expect("version 1");
        // A cut between two records cannot be told from a shorter export.
        prop_assert!(imported.damaged >= 1 || cut);
        prop_assert!(imported.stored < 5);
        let all = contents(&before, START);
        for record in contents(&after, START) {
            prop_assert!(all.contains(&record));
        }
    }

    #[test]
    fn nothing_panics_on_rubbish(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut store = store(|_| ());
        let _ = store.import(START, HOUR, &bytes);
        prop_assert!(store.import_record(START, HOUR, &bytes).is_err());
        // Rubbish with a right checksum, which only a fuzzer writes.
        let mut sealed = alloc::vec![1];
        sealed.extend(&bytes);
        let hash = blake3::hash(&sealed);
        sealed.extend(hash.as_bytes().iter().take(8));
        let _ = store.import_record(START, HOUR, &sealed);
        store.shelves.assert_consistent();
    }
}

/// A file that somebody else wrote must not make us tell a value under a key that is not its own.
#[test]
fn a_record_under_a_foreign_key_is_damaged() {
    let mut store = store(|config| config.max_changes = 8);
    let from = public(1, 1);
    put_at(&mut store, key(1), 1, from).expect("room");
    let signed = signed(1, b"signed");
    store.put_signed(START, key(2), signed, None, Origin::publisher(from)).expect("room");
    let mut other = super::store(|_| ());
    while let Some(change) = store.poll_change() {
        let StoreChange::Stored { record, .. } = change else { panic!("{change:?}") };
        let read = other.import_record(START, Duration::ZERO, &record);
        assert_eq!(read, Err(BadRecord::Damaged));
    }
    assert_eq!(other.stats().values + other.stats().signed, 0);
}
