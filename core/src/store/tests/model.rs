//! Random operations against a list that is searched from end to end: same answers, same contents,
//! same losers.

use core::cmp::Reverse;

use proptest::prelude::*;

use super::super::shelves::Source;
use super::*;

#[derive(Clone, Debug)]
enum Op {
    Provider { key: u8, from: u8, http: bool },
    Value { n: u8, from: u8, age: u8 },
    Copy { n: u8, from: u8, minutes: u8 },
    Signed { seq: u8, other: bool, cas: Option<u8>, from: u8, age: u8 },
    Entry { name: u8, from: u8 },
    Wait { minutes: u16 },
    Expire,
    Turn,
}

fn op() -> impl Strategy<Value = Op> {
    let from = 0_u8..8;
    prop_oneof![
        4 => (0_u8..3, from.clone(), any::<bool>())
            .prop_map(|(key, from, http)| Op::Provider { key, from, http }),
        4 => (0_u8..20, from.clone(), 0_u8..50)
            .prop_map(|(n, from, age)| Op::Value { n, from, age }),
        1 => (0_u8..20, from.clone(), 0_u8..90)
            .prop_map(|(n, from, minutes)| Op::Copy { n, from, minutes }),
        3 => (0_u8..6, any::<bool>(), proptest::option::of(0_u8..6), from.clone(), 0_u8..50)
            .prop_map(|(seq, other, cas, from, age)| Op::Signed { seq, other, cas, from, age }),
        3 => (0_u8..9, from).prop_map(|(name, from)| Op::Entry { name, from }),
        1 => (0_u16..2_000).prop_map(|minutes| Op::Wait { minutes }),
        1 => Just(Op::Expire),
        1 => Just(Op::Turn),
    ]
}

/// Two prefixes with two hosts each where n is even, four nodes of one machine where it is odd.
fn source(n: u8) -> SocketAddr {
    if n.is_multiple_of(2) { public(n / 4, n) } else { local(n.into()) }
}

const NAMES: [&str; 9] = [
    "whale one.ogg",
    "whale two.ogg",
    "blue whale",
    "whale blue",
    "a whale",
    "b whale",
    "c whale",
    "d whale blue",
    "e whale",
];

fn word() -> Word {
    Word::parse("whale").expect("a word")
}

struct Listed {
    place: Place,
    record: Record,
    from: SocketAddr,
    expires: Instant,
    taken_over: bool,
}

struct Model {
    config: StoreConfig,
    list: Vec<Listed>,
    /// Who stored when, and where, the latest last.
    log: Vec<(Source, Place)>,
}

impl Model {
    fn source(&self, addr: SocketAddr) -> Source {
        Source::of(self.config.enforce, addr)
    }

    fn load(&self, source: Source) -> (u64, u32) {
        let of = self.list.iter().filter(|listed| self.source(listed.from) == source);
        of.fold((0, 0), |(bytes, n), listed| (bytes + listed.record.cost(), n + 1))
    }

    fn put(
        &mut self,
        now: Instant,
        place: Place,
        record: Record,
        from: SocketAddr,
        lifetime: Duration,
        age: Duration,
    ) -> Result<Stored, Refused> {
        if age >= lifetime {
            return Err(Refused::Expired);
        }
        self.list.retain(|listed| listed.place != place || listed.expires > now);
        let mut new =
            Listed { place, record, from, expires: now + (lifetime - age), taken_over: false };
        let mut stored = Stored::New;
        let at = self.list.iter().position(|listed| listed.place == place);
        let before = at.map(|at| self.list.remove(at));
        if let Some(before) = &before {
            stored = match (&before.record, &new.record) {
                (Record::Value { copy: false, .. }, Record::Value { copy: true, .. }) => {
                    Stored::Kept
                }
                (Record::Value { copy: true, .. }, Record::Value { copy: false, .. }) => {
                    Stored::Replaced
                }
                (Record::Signed(a), Record::Signed(b)) if b.seq() > a.seq() => Stored::Replaced,
                _ => Stored::Renewed,
            };
        }
        if let Some(before) = before {
            let (charged, other) = (self.source(before.from), self.source(from));
            if stored == Stored::Kept {
                self.list.push(before);
                return Ok(stored);
            }
            if stored == Stored::Renewed {
                new.expires = new.expires.max(before.expires);
                let with_it = |source| {
                    let own = if source == charged { before.record.cost() } else { 0 };
                    self.load(source).0 + own
                };
                let lighter = with_it(other) < with_it(charged);
                if !(lighter && self.fits(other, &new.record)) {
                    new.from = before.from;
                }
                new.taken_over = before.taken_over || charged != self.source(new.from);
            }
            if !self.fits(self.source(new.from), &new.record) {
                self.list.push(before);
                return Err(Refused::SourceQuota);
            }
        } else if !self.fits(self.source(from), &new.record) {
            return Err(Refused::SourceQuota);
        }
        self.log.push((self.source(new.from), place));
        self.list.push(new);
        self.make_room(place, stored)
    }

    fn last_stored(&self, source: Source, place: impl Fn(&Place) -> bool) -> Option<usize> {
        self.log.iter().rposition(|(who, at)| *who == source && place(at))
    }

    fn fits(&self, source: Source, record: &Record) -> bool {
        let (bytes, records) = self.load(source);
        matches!(source, Source::Address(_))
            || bytes + record.cost() <= self.config.max_source_bytes
                && records < self.config.max_source_records
    }

    fn make_room(&mut self, place: Place, stored: Stored) -> Result<Stored, Refused> {
        let limit = match place.kind() {
            Kind::Provider => self.config.max_providers,
            Kind::Entry => self.config.max_entries,
            _ => u32::MAX,
        };
        let mut lost = Ok(stored);
        loop {
            self.list.sort_by_key(|listed| listed.place);
            let beside = |listed: &&Listed| {
                (listed.place.key(), listed.place.kind()) == (place.key(), place.kind())
            };
            let loser = if self.list.iter().filter(beside).count() as u32 > limit {
                let weight = |source: &Source| {
                    let of = self.list.iter().filter(beside);
                    let count = of.filter(|listed| self.source(listed.from) == *source).count();
                    let there = |at: &Place| (at.key(), at.kind()) == (place.key(), place.kind());
                    (count, Reverse(self.last_stored(*source, there)))
                };
                let heaviest = self
                    .list
                    .iter()
                    .filter(beside)
                    .map(|listed| self.source(listed.from))
                    .max_by_key(weight);
                let of = self
                    .list
                    .iter()
                    .filter(beside)
                    .filter(|listed| Some(self.source(listed.from)) == heaviest);
                let newest = of.max_by_key(|it| (!it.taken_over, it.expires, it.place.slot()));
                let newest = newest.map(|it| it.place);
                (newest, Refused::KeyFull)
            } else if self.list.len() as u32 > self.config.max_records
                || self.list.iter().map(|listed| listed.record.cost()).sum::<u64>()
                    > self.config.max_bytes
            {
                let heaviest =
                    self.list.iter().map(|listed| self.source(listed.from)).max_by_key(|source| {
                        let last = self.last_stored(*source, |_| true);
                        (self.load(*source).0, Reverse(last))
                    });
                let of =
                    self.list.iter().filter(|listed| Some(self.source(listed.from)) == heaviest);
                let farthest = of.max_by_key(|listed| {
                    (
                        !listed.taken_over,
                        Id::ZERO.distance(listed.place.key()),
                        listed.place.kind(),
                        listed.place.slot(),
                    )
                });
                (farthest.map(|listed| listed.place), Refused::StoreFull)
            } else {
                return lost;
            };
            if loser.0 == Some(place) {
                lost = Err(loser.1);
            }
            self.list.retain(|listed| Some(listed.place) != loser.0);
        }
    }
}

fn check(store: &Store, model: &mut Model, now: Instant) {
    store.shelves.assert_consistent();
    model.list.sort_by_key(|listed| listed.place);
    let said = |place: Place, record: &Record, from: SocketAddr, expires: Instant| {
        alloc::format!("{place:?} {record:?} {from} {expires:?}")
    };
    let held: Vec<_> = store
        .shelves
        .iter()
        .map(|(place, held)| said(*place, &held.record, held.from(), held.expires))
        .collect();
    let listed: Vec<_> =
        model.list.iter().map(|l| said(l.place, &l.record, l.from, l.expires)).collect();
    assert_eq!(held, listed);
    let stats = store.stats();
    let config = &model.config;
    assert!(stats.values + stats.signed + stats.providers + stats.entries <= config.max_records);
    assert!(stats.bytes <= config.max_bytes);
    for listed in &model.list {
        let (bytes, records) = model.load(model.source(listed.from));
        if matches!(model.source(listed.from), Source::Prefix(_)) {
            assert!(bytes <= config.max_source_bytes && records <= config.max_source_records);
        }
        // What can be read is what has not expired.
        let (at, alive) = (listed.place.key(), listed.expires > now);
        match &listed.record {
            Record::Value { .. } => assert_eq!(store.value(now, at).is_some(), alive),
            Record::Signed(_) => assert_eq!(store.signed(now, at).is_some(), alive),
            Record::Provider { addr, transports } => {
                let provider = Provider { addr: (*addr).into(), transports: *transports };
                let mut found = store.providers(now, at, 0);
                assert_eq!(found.any(|(_, other)| other == provider), alive);
            }
            Record::Entry(indexed) => {
                let filter = SearchFilter::parse("blue");
                let wanted = alive && indexed.entry.name().contains("blue");
                let mut found = store.search(now, at, &filter, 0);
                assert_eq!(found.any(|(_, other)| *other == indexed.entry), wanted);
            }
        }
    }
    let first = model.list.iter().map(|listed| listed.expires).min();
    assert!(store.poll_timeout() <= first || first.is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_store_is_a_list_with_rules(
        ops in proptest::collection::vec(op(), 1..80),
        records in 3_u32..14, per_source in 2_u32..8, per_key in 1_u32..5, bytes in 1_500_u64..6_000,
        enforce in prop_oneof![Just(Enforce::Public), Just(Enforce::Everybody), Just(Enforce::Nobody)],
    ) {
        let mut store = store(|config| {
            config.max_records = records;
            config.max_bytes = bytes;
            config.max_source_records = per_source;
            config.max_source_bytes = bytes / 2;
            config.max_providers = per_key;
            config.max_entries = per_key;
            config.enforce = enforce;
        });
        let config = store.config.clone();
        let mut model = Model { config: StoreConfig::clone(&config), list: Vec::new(), log: Vec::new() };
        let mut now = START;
        for op in ops {
            match op {
                Op::Provider { key: first, from, http } => {
                    let addr = source(from);
                    let provider = Provider { addr, transports: Transports(http.into()) };
                    let record = Record::Provider { addr: addr.into(), transports: provider.transports };
                    let place = store.place(now, key(first), &record).expect("few records");
                    let expected = model.put(
                        now, place, record, addr, config.provider_lifetime, Duration::ZERO,
                    );
                    prop_assert_eq!(store.put_provider(now, key(first), provider, addr), expected);
                }
                Op::Value { n, from, age } => {
                    let (value, age) = (value(n.into()), HOUR * age.into());
                    let record = Record::Value { value: value.clone(), copy: false };
                    let place = Place::only(value.key(), Kind::Value);
                    let from = source(from);
                    let expected =
                        model.put(now, place, record, from, config.value_lifetime, age);
                    let origin = Origin { from, age };
                    prop_assert_eq!(store.put_value(now, value.key(), value, origin), expected);
                }
                Op::Copy { n, from, minutes } => {
                    let value = value(n.into());
                    let record = Record::Value { value: value.clone(), copy: true };
                    let place = Place::only(value.key(), Kind::Value);
                    let (from, life) = (source(from), Duration::from_secs(60) * minutes.into());
                    let expected = model.put(now, place, record, from, life, Duration::ZERO);
                    prop_assert_eq!(store.put_copy(now, value.key(), value, life, from), expected);
                }
                Op::Signed { seq, other, cas, from, age } => {
                    let change = signed(seq.into(), if other { b"other" } else { b"one" });
                    let (at, cas) = (change.as_signed().key(), cas.map(u64::from));
                    let place = Place::only(at, Kind::Signed);
                    let held = model.list.iter()
                        .find(|listed| listed.place == place && listed.expires > now);
                    let refused = held.and_then(|held| {
                        let Record::Signed(held) = &held.record else { return None };
                        let (current, seq) = (held.seq(), u64::from(seq));
                        if cas.is_some_and(|cas| cas != current) {
                            return Some(Refused::CasMismatch { current });
                        }
                        let same = seq == current && held.value() == change.as_signed().value();
                        (seq <= current && !same).then_some(Refused::StaleSequence { current })
                    });
                    let (from, age) = (source(from), HOUR * age.into());
                    let record = Record::Signed(Box::new(change.as_signed().clone()));
                    let expected = match refused {
                        Some(refused) => Err(refused),
                        None => model.put(now, place, record, from, config.value_lifetime, age),
                    };
                    let origin = Origin { from, age };
                    prop_assert_eq!(store.put_signed(now, at, change, cas, origin), expected);
                }
                Op::Entry { name, from } => {
                    let entry = entry(NAMES[usize::from(name)]);
                    let record = store.index(entry.clone());
                    let (at, from) = (word().key(), source(from));
                    let place = store.place(now, at, &record).expect("few records");
                    let expected =
                        model.put(now, place, record, from, config.entry_lifetime, Duration::ZERO);
                    prop_assert_eq!(store.put_entry(now, at, entry, from), expected);
                }
                Op::Wait { minutes } => now = now + Duration::from_secs(60) * minutes.into(),
                Op::Expire => {
                    store.expire(now);
                    model.list.retain(|listed| listed.expires > now);
                }
                Op::Turn => {
                    if let Some(due) = store.next_republish(now) {
                        prop_assert!(due.age < config.value_lifetime);
                        prop_assert!(model.list.iter().any(|listed| listed.place.key() == due.key));
                    }
                }
            }
            check(&store, &mut model, now);
        }
    }
}
