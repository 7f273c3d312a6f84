//! The standard library's map as the model.

use alloc::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Large values make small chunks: 16 entries, so that they split and join often.
type Value = (u32, [u64; 40]);
/// Small ones: 128.
type Small = u16;

#[derive(Clone, Debug)]
enum Do {
    Insert(u16),
    OrInsert(u16),
    /// Rising keys: what comes in order fills its chunks.
    Append(u8),
    Remove(u16),
    PopFirst,
    PopFirsts(u8),
    /// Keeps the keys that leave this rest when divided by that.
    Retain(u16, u16),
    Range(Bound<u16>, Bound<u16>),
    Touch(u16),
}

fn bound() -> impl Strategy<Value = Bound<u16>> {
    let key = 0_u16..600;
    prop_oneof![
        key.clone().prop_map(Bound::Included),
        key.prop_map(Bound::Excluded),
        Just(Bound::Unbounded)
    ]
}

fn step() -> impl Strategy<Value = Do> {
    let key = 0_u16..600;
    prop_oneof![
        20 => key.clone().prop_map(Do::Insert),
        5 => key.clone().prop_map(Do::OrInsert),
        4 => any::<u8>().prop_map(Do::Append),
        12 => key.clone().prop_map(Do::Remove),
        2 => Just(Do::PopFirst),
        1 => any::<u8>().prop_map(Do::PopFirsts),
        1 => (1_u16..5, 0_u16..5).prop_map(|(by, rest)| Do::Retain(by, rest)),
        4 => (bound(), bound()).prop_map(|(from, to)| Do::Range(from, to)),
        4 => key.prop_map(Do::Touch),
    ]
}

impl<K: Ord, V> Map<K, V> {
    fn assert_sound(&self) {
        let chunks: Vec<_> = core::iter::once(&self.first).chain(&self.rest).collect();
        assert_eq!(self.len, chunks.iter().map(|chunk| chunk.len()).sum::<usize>());
        assert!(self.keys().is_sorted_by(|a, b| a < b));
        assert!(self.rest.is_empty() || !self.first.is_empty());
        for chunk in &chunks {
            assert!((1..=Self::MOST).contains(&chunk.len()) || self.len == 0);
            assert!(chunk.capacity() <= Self::MOST + Self::MOST / 4);
        }
        for pair in chunks.windows(2) {
            assert!(pair[0].len() + pair[1].len() > Self::MOST / 2, "too empty to be two");
        }
    }
}

/// What [`BTreeMap::range`] refuses: there are no keys between such bounds.
fn is_backwards(from: Bound<u16>, to: Bound<u16>) -> bool {
    match (from, to) {
        (Bound::Excluded(from), Bound::Excluded(to)) => from >= to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from > to,
        _ => false,
    }
}

fn check<V: Clone + PartialEq + fmt::Debug>(steps: Vec<Do>, value: impl Fn(u32) -> V) {
    let (mut map, mut model) = (Map::new(), BTreeMap::new());
    for (n, step) in steps.into_iter().enumerate() {
        let new = || value(n as u32);
        match step {
            Do::Insert(key) => assert_eq!(map.insert(key, new()), model.insert(key, new())),
            Do::OrInsert(key) => {
                assert_eq!(map.or_insert(key, new()), model.entry(key).or_insert(new()));
            }
            Do::Append(many) => {
                let last = model.keys().next_back().copied().unwrap_or(0);
                for key in (last..u16::MAX).take(many.into()).skip(1) {
                    assert_eq!(map.insert(key, new()), model.insert(key, new()));
                }
            }
            Do::Remove(key) => assert_eq!(map.remove(&key), model.remove(&key)),
            Do::PopFirst => assert_eq!(map.pop_first(), model.pop_first()),
            Do::PopFirsts(many) => {
                for _ in 0..many {
                    assert_eq!(map.pop_first(), model.pop_first());
                }
            }
            Do::Retain(by, rest) => {
                map.retain(|key, _| key % by == rest);
                model.retain(|key, _| key % by == rest);
            }
            Do::Range(from, to) => {
                let found = map.range((from, to));
                if is_backwards(from, to) {
                    assert_eq!(found.count(), 0);
                } else {
                    assert!(found.eq(model.range((from, to))));
                    assert!(map.range((from, to)).rev().eq(model.range((from, to)).rev()));
                }
            }
            Do::Touch(key) => {
                assert_eq!(map.get(&key), model.get(&key));
                assert_eq!(map.contains_key(&key), model.contains_key(&key));
                if let (Some(a), Some(b)) = (map.get_mut(&key), model.get_mut(&key)) {
                    (*a, *b) = (new(), new());
                }
            }
        }
        map.assert_sound();
        assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
    }
    assert!(map.iter().eq(model.iter()));
    assert!(map.iter().rev().eq(model.iter().rev()));
    assert!(map.values().eq(model.values()));
    assert!(map.iter_mut().eq(model.iter_mut()));
    map.clear();
    assert!(map.is_empty() && map.iter().next().is_none() && map.pop_first().is_none());
}

/// Miri takes its time.
const STEPS: usize = if cfg!(miri) { 60 } else { 400 };
const CASES: u32 = if cfg!(miri) { 4 } else { 64 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn it_does_as_the_model(steps in proptest::collection::vec(step(), 1..STEPS)) {
        check::<Value>(steps.clone(), |n| (n, [u64::from(n); 40]));
        check::<Small>(steps, |n| n as u16);
    }

    #[test]
    fn a_set_is_a_map_of_nothing(keys in proptest::collection::vec(0_u16..300, 0..300)) {
        let model: alloc::collections::BTreeSet<_> = keys.iter().copied().collect();
        let mut set: Set<_> = keys.iter().copied().collect();
        prop_assert!(set.iter().eq(model.iter()));
        prop_assert_eq!((set.first(), set.last()), (model.first(), model.last()));
        prop_assert!(set.range(50..=200).eq(model.range(50..=200)));
        for key in keys {
            let was_there = set.range(key..=key).next().is_some();
            prop_assert_eq!(set.insert(key), !was_there);
            prop_assert!(set.remove(&key) && !set.remove(&key));
        }
        prop_assert!(set.is_empty() && set.pop_first().is_none());
    }
}

/// What holds few must not cost much: most of a node's maps are empty or nearly so.
#[test]
fn few_entries_take_little_memory() {
    let mut map = Map::<u64, u64>::new();
    assert_eq!((map.first.capacity(), map.rest.capacity()), (0, 0));
    map.insert(1, 1);
    assert_eq!((map.first.capacity(), map.rest.capacity()), (4, 0));
    map.remove(&1);
    assert_eq!(map.first.capacity(), 4, "64 bytes stay: what comes and goes needs them again");
    for n in 0..10_000 {
        map.insert(n, n);
    }
    let chunks = core::iter::once(&map.first).chain(&map.rest);
    let room: usize = chunks.map(Vec::capacity).sum();
    assert!(room <= 10_000 + Map::<u64, u64>::MOST, "what comes in order fills its chunks: {room}");
    map.retain(|n, _| *n == 77);
    assert_eq!((map.first.capacity(), map.rest.capacity()), (1, 0));
    map.insert(78, 78);
    map.retain(|_, _| false);
    assert_eq!((map.first.capacity(), map.rest.capacity()), (0, 0));
}
