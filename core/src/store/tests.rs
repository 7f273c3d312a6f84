//! The rules by name; `model` has the store as a list that is searched from end to end.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::*;
use crate::config::Enforce;
use crate::record::{SearchQuery, Transports, Word};

mod model;
mod saved;
mod upkeep;

const HOUR: Duration = Duration::from_secs(3_600);
const START: Instant = Instant::from_secs(1_000_000);

fn store(change: impl FnOnce(&mut StoreConfig)) -> Store {
    let mut config = StoreConfig::default();
    change(&mut config);
    Store::new(config, Id::ZERO, Rng::from_seed([1; 32]))
}

/// A host of prefix 20.`prefix`.0.
fn public(prefix: u8, host: u8) -> SocketAddr {
    SocketAddr::from(([20, prefix, 0, host], 6881))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn key(first: u8) -> Id {
    let mut bytes = [0; 20];
    bytes[0] = first;
    Id::new(bytes)
}

fn value(n: u32) -> Value {
    Value::new(n.to_be_bytes()).expect("short")
}

fn signed(seq: u64, bytes: &[u8]) -> Verified {
    let signed = SignedValue::sign(&[5; 32], b"", seq, bytes).expect("short");
    Verified::check(signed).expect("signed just now")
}

fn provider(addr: SocketAddr) -> Provider {
    Provider { addr, transports: Transports::HTTP }
}

fn entry(name: &str) -> SearchEntry {
    SearchEntry::new(name, 1, [0; 32]).expect("a name")
}

fn put_at(store: &mut Store, key: Id, n: u32, from: SocketAddr) -> Result<Stored, Refused> {
    store.put_value(START, key, value(n), Origin::publisher(from))
}

#[test]
fn a_provider_speaks_for_its_own_address_only() {
    let mut store = store(|_| ());
    let mut put = |addr, from| store.put_provider(START, key(1), provider(addr), from);
    let mut other_port = public(1, 1);
    other_port.set_port(80);
    assert_eq!(put(other_port, public(1, 1)), Ok(Stored::New));
    assert_eq!(put(public(1, 2), public(1, 1)), Err(Refused::ForeignAddress));
    assert_eq!(put(other_port, public(1, 1)), Ok(Stored::Renewed));
    assert_eq!(store.stats().refused_foreign, 1);
}

#[test]
fn an_entry_lies_under_its_own_words_only() {
    let mut store = store(|_| ());
    let mut put = |word: &str| {
        let key = Word::parse(word).expect("a word").key();
        store.put_entry(START, key, entry("Blue Whale.ogg"), public(1, 1))
    };
    assert_eq!(put("whale"), Ok(Stored::New));
    assert_eq!(put("ogg"), Ok(Stored::New));
    assert_eq!(put("shark"), Err(Refused::ForeignKey));
}

#[test]
fn sequence_numbers_only_grow() {
    let mut store = store(|_| ());
    let at = signed(1, b"").as_signed().key();
    let mut put = |seq, bytes: &[u8], cas| {
        store.put_signed(START, at, signed(seq, bytes), cas, Origin::publisher(public(1, 1)))
    };
    // Nothing is held: there is nothing to compare with.
    assert_eq!(put(5, b"five", Some(4)), Ok(Stored::New));
    assert_eq!(put(4, b"four", None), Err(Refused::StaleSequence { current: 5 }));
    assert_eq!(put(5, b"other", None), Err(Refused::StaleSequence { current: 5 }));
    assert_eq!(put(5, b"five", None), Ok(Stored::Renewed));
    assert_eq!(put(6, b"six", Some(4)), Err(Refused::CasMismatch { current: 5 }));
    assert_eq!(put(6, b"six", Some(5)), Ok(Stored::Replaced));
    let held = store.signed(START, at).cloned().expect("stored");
    assert_eq!((held.seq(), held.value()), (6, b"six".as_slice()));
    assert!(store.recognise(START, at, &held).is_some());
    assert!(store.recognise(START, at, signed(6, b"xis").as_signed()).is_none());
    let stats = store.stats();
    assert_eq!((stats.refused_stale, stats.refused_cas, stats.signed), (2, 1, 1));
    // Who replaces what has expired need not be newer than it.
    let late = START + HOUR * 49;
    assert_eq!(store.judge_signed(late, at, signed(1, b"").as_signed(), None), Ok(Stored::New));
}

/// Mistake 15: "lifetime restarted by every republication, so that data never dies".
#[test]
fn handing_on_makes_nothing_younger() {
    let mut stores: Vec<Store> = (0..4).map(|_| store(|_| ())).collect();
    let at = value(1).key();
    let mut alive = Vec::new();
    let _ = put_at(&mut stores[0], at, 1, public(1, 1));
    for hour in 0..60_u32 {
        let now = START + HOUR * hour;
        // Everybody hands it to everybody.
        for from in 0..stores.len() {
            let Some(age) = stores[from].value(now, at).map(|held| held.age) else { continue };
            for to in &mut stores {
                let origin = Origin { from: public(2, from as u8), age };
                let _ = to.put_value(now, at, value(1), origin);
            }
        }
        if stores.iter().any(|store| store.value(now, at).is_some()) {
            alive.push(hour);
        }
    }
    assert_eq!(alive, (0..48).collect::<Vec<_>>());
}

#[test]
fn a_publisher_makes_its_record_younger() {
    let mut store = store(|_| ());
    let at = value(1).key();
    let _ = put_at(&mut store, at, 1, public(1, 1));
    let later = START + HOUR * 24;
    let put = |store: &mut Store, hours| {
        let origin = Origin { from: public(1, 1), age: HOUR * hours };
        store.put_value(later, at, value(1), origin)
    };
    assert_eq!(put(&mut store, 0), Ok(Stored::Renewed));
    // An older one that arrives late takes nothing away.
    assert_eq!(put(&mut store, 30), Ok(Stored::Renewed));
    assert_eq!(put(&mut store, 48), Err(Refused::Expired));
    assert_eq!(store.value(later, at).map(|held| held.age), Some(Duration::ZERO));
    assert!(store.value(later + HOUR * 47, at).is_some());
}

/// Mistake 16: "expiry equal to republication". Whatever is set, a publisher renews twice before
/// its record expires, with time for a lookup.
#[test]
fn records_expire_well_after_their_renewal() {
    let config = StoreConfig::default();
    for lifetime in [config.value_lifetime, config.provider_lifetime, config.entry_lifetime] {
        assert!(config.renewal(lifetime) * 2 + config.lookup <= lifetime);
        assert!(config.republish * 2 + config.lookup < lifetime);
    }
    assert_eq!(config.renewal(config.provider_lifetime), HOUR * 6);
    for minutes in [1, 3, 10, 60, 360] {
        let lifetime = Duration::from_secs(60 * minutes);
        let renewal = config.renewal(lifetime);
        assert!(renewal * 2 + config.lookup.min(lifetime) <= lifetime, "{minutes}");
    }
    // And a provider that renews every 6 hours is never missing, one renewal lost or not.
    let mut store = store(|_| ());
    let at = |hours| START + HOUR * hours;
    for renewed in [0, 6, 18] {
        let _ = store.put_provider(at(renewed), key(1), provider(public(1, 1)), public(1, 1));
    }
    for hour in 0..31 {
        store.expire(at(hour));
        let found = store.providers(at(hour), key(1), 0).count();
        assert_eq!(found, usize::from(hour < 31), "{hour}");
    }
    assert_eq!(store.providers(at(31), key(1), 0).count(), 0);
}

/// Mistake 17: "path copies with the full lifetime; copies treated as authoritative".
#[test]
fn a_copy_is_short_lived_and_no_authority() {
    let config = StoreConfig::default();
    let at = value(1).key();
    for between in [0, 1, 5, 40, 200] {
        let mut store = store(|_| ());
        let lifetime = config.copy_lifetime(between);
        assert!(lifetime <= config.copy / 2_u32.pow(between.min(31)));
        let put = store.put_copy(START, at, value(1), lifetime, public(1, 1));
        if lifetime.is_zero() {
            assert_eq!(put, Err(Refused::Expired));
            continue;
        }
        assert_eq!(put, Ok(Stored::New));
        assert_eq!(store.value(START, at).map(|held| held.authoritative), Some(false));
        let micro = Duration::from_micros(1);
        assert!(store.value(START + lifetime - micro, at).is_some());
        assert!(store.value(START + lifetime, at).is_none());
    }
    let mut store = store(|_| ());
    let mut copy = |hours| store.put_copy(START, at, value(1), HOUR * hours, public(1, 1));
    // Whatever lifetime somebody names, a copy does not get the full one.
    assert_eq!(copy(1_000), Ok(Stored::New));
    assert!(store.value(START + HOUR * 6, at).is_none());
    assert!(store.next_republish(START + HOUR * 5).is_none());
    assert_eq!(put_at(&mut store, at, 1, public(1, 1)), Ok(Stored::Replaced));
    assert_eq!(store.value(START, at).map(|held| held.authoritative), Some(true));
    let kept = store.put_copy(START, at, value(1), HOUR, public(1, 1));
    assert_eq!(kept, Ok(Stored::Kept));
    assert!(store.value(START + HOUR * 47, at).is_some());
    assert_eq!(store.stats().copies, 0);
}

/// Mistake 27: "a full store that refuses newcomers (an attacker fills it first)".
#[test]
fn a_full_store_takes_newcomers_at_the_cost_of_the_heaviest() {
    let mut store = store(|config| config.max_records = 1_000);
    for n in 0..1_000 {
        let from = public(if n < 600 { 1 } else { 2 }, n as u8);
        assert!(put_at(&mut store, value(n).key(), n, from).is_ok());
    }
    for n in 1_000..1_100 {
        assert_eq!(put_at(&mut store, value(n).key(), n, public(3, 3)), Ok(Stored::New));
    }
    let held = |range: core::ops::Range<u32>| {
        range.filter(|n| store.value(START, value(*n).key()).is_some()).count()
    };
    assert_eq!((held(0..600), held(600..1_000), held(1_000..1_100)), (500, 400, 100));
    assert_eq!(store.stats().evicted, 100);
}

/// Mistake 27: "or drops at random (an attacker flushes it)". Who floods a full store loses its own.
#[test]
fn a_flood_flushes_only_itself() {
    for enforce in [Enforce::Public, Enforce::Nobody] {
        let mut store = store(|config| {
            config.max_records = 1_000;
            config.enforce = enforce;
        });
        for n in 0..500 {
            // Fifty sources with ten records each.
            assert!(put_at(&mut store, value(n).key(), n, public((n / 10) as u8, 1)).is_ok());
        }
        for n in 500..20_000 {
            let _ = put_at(&mut store, value(n).key(), n, public(200, 1));
        }
        let held = (0..500).filter(|n| store.value(START, value(*n).key()).is_some()).count();
        assert_eq!(held, 500);
        assert!(store.stats().values <= 1_000);
    }
}

#[test]
fn of_the_heaviest_the_farthest_goes_first() {
    let mut store = store(|config| config.max_records = 4);
    for first in [0x80, 0x10, 0xff, 0x01] {
        assert_eq!(put_at(&mut store, key(first), 1, public(1, 1)), Ok(Stored::New));
    }
    assert_eq!(put_at(&mut store, key(0x40), 1, public(1, 1)), Ok(Stored::New));
    assert!(store.value(START, key(0xff)).is_none());
    // What would be lost at once is refused, and nobody is charged for it.
    assert_eq!(put_at(&mut store, key(0xf0), 1, public(1, 1)), Err(Refused::StoreFull));
    assert_eq!(store.stats().evicted, 1);
    // With another id other keys are far.
    store.set_own(key(0xff));
    assert_eq!(put_at(&mut store, key(0xf0), 1, public(1, 1)), Ok(Stored::New));
    assert!(store.value(START, key(0x01)).is_none());
    store.shelves.assert_consistent();
}

/// Rule: quotas by source prefix. Mistake 28: private networks and tests have them off.
#[test]
fn a_prefix_has_a_quota_where_quotas_hold() {
    let stored = |enforce, from: fn(u32) -> SocketAddr| {
        let mut store = store(|config| {
            config.max_source_records = 10;
            config.enforce = enforce;
        });
        let outcome = |n: &u32| put_at(&mut store, value(*n).key(), *n, from(*n)).is_ok();
        let stored = (0..100).filter(outcome).count();
        assert_eq!(store.stats().refused_quota, 100 - stored as u64);
        stored
    };
    assert_eq!(stored(Enforce::Public, |n| public(1, n as u8)), 10);
    assert_eq!(stored(Enforce::Public, |n| public(n as u8, 1)), 100);
    assert_eq!(stored(Enforce::Public, |n| local(1 + n as u16)), 100);
    assert_eq!(stored(Enforce::Everybody, |n| local(1 + n as u16)), 10);
    assert_eq!(stored(Enforce::Nobody, |n| public(1, n as u8)), 100);
}

#[test]
fn bytes_count_as_records_do() {
    let mut store = store(|config| config.max_source_bytes = 3_000);
    let mut put = |n: u8| {
        let value = Value::new([n; 896]).expect("short enough");
        store.put_value(START, value.key(), value, Origin::publisher(public(1, 1)))
    };
    assert_eq!((put(1), put(2)), (Ok(Stored::New), Ok(Stored::New)));
    assert_eq!(put(3), Err(Refused::SourceQuota));
    // What replaces a record pays for the difference only.
    assert_eq!(put(2), Ok(Stored::Renewed));
    let mut store = self::store(|config| config.max_bytes = 3_000);
    for n in 0..100_u8 {
        let value = Value::new([n; 896]).expect("short enough");
        let from = public(n, 1);
        let _ = store.put_value(START, value.key(), value, Origin::publisher(from));
        assert!(store.stats().bytes <= 3_000);
    }
}

#[test]
fn a_crowded_key_keeps_the_sources_apart() {
    let mut store = store(|config| config.max_providers = 100);
    let mut put = |addr| store.put_provider(START, key(1), provider(addr), addr);
    // One prefix takes all it can get, then others come.
    for host in 0..200 {
        let _ = put(public(1, host));
    }
    for prefix in 2..100 {
        assert_eq!(put(public(prefix, 1)), Ok(Stored::New), "{prefix}");
    }
    assert!((0..200).any(|host| put(public(1, host)) == Err(Refused::KeyFull)));
    let of_one = store
        .providers(START, key(1), 0)
        .filter(|(_, provider)| provider.addr.ip().to_string().starts_with("20.1."))
        .count();
    assert_eq!((of_one, store.stats().providers), (2, 100));
}

/// Whoever stores again what somebody else has under a popular key becomes the one to pay for it. That
/// must not be how it goes.
#[test]
fn who_floods_a_key_loses_what_it_stored_last() {
    let mut store = store(|config| config.max_entries = 100);
    let (victim, attacker) = (public(1, 1), public(2, 1));
    let put = |store: &mut Store, at, name: &str, from| {
        store.put_entry(at, Word::parse("word").expect("a word").key(), entry(name), from)
    };
    let names: Vec<_> = (0..30).map(|n| alloc::format!("word v{n}")).collect();
    for name in &names {
        assert!(put(&mut store, START, name, victim).is_ok());
    }
    let mut now = START;
    for name in names.iter().take(15) {
        now = now + Duration::from_secs(1);
        assert_eq!(put(&mut store, now, name, attacker), Ok(Stored::Renewed));
    }
    for n in 0..200 {
        now = now + Duration::from_secs(1);
        let _ = put(&mut store, now, &alloc::format!("word a{n}"), attacker);
    }
    let filter = SearchFilter::parse("word");
    let found = store.search(now, Word::parse("word").expect("a word").key(), &filter, 0);
    let of_victim = found.filter(|(_, entry)| entry.name().starts_with("word v")).count();
    assert_eq!(of_victim, 30);
}

#[test]
fn who_repeats_a_record_does_not_drag_its_publisher_down() {
    let mut store = store(|config| config.max_records = 100);
    let (heavy, publisher) = (public(1, 1), public(2, 1));
    for n in 0..90 {
        assert!(put_at(&mut store, value(n).key(), n, heavy).is_ok());
    }
    // The farthest key of all is the heavy source's until the publisher stores it too.
    assert!(put_at(&mut store, key(0xff), 7, heavy).is_ok());
    assert_eq!(put_at(&mut store, key(0xff), 7, publisher), Ok(Stored::Renewed));
    for n in 90..200 {
        let _ = put_at(&mut store, value(n).key(), n, heavy);
    }
    assert!(store.value(START, key(0xff)).is_some());
    store.shelves.assert_consistent();
}

#[test]
fn pages_meet_everything_once() {
    let mut store = store(|_| ());
    let addrs: Vec<_> = (0..250).map(|host| public(host, 1)).collect();
    for addr in &addrs {
        let _ = store.put_provider(START, key(1), provider(*addr), *addr);
    }
    let (mut seen, mut cursor) = (Vec::new(), 0);
    loop {
        let page: Vec<_> = store.providers(START, key(1), cursor).take(30).collect();
        let Some((last, _)) = page.last() else { break };
        cursor = *last;
        seen.extend(page.iter().map(|(_, provider)| provider.addr));
        // Those seen leave and come back, others come: the walk goes on where it was.
        for addr in seen.iter().take(10).copied().chain([public(251, 1)]) {
            let _ = store.put_provider(START + HOUR, key(1), provider(addr), addr);
        }
    }
    seen.retain(|addr| *addr != public(251, 1));
    seen.sort();
    assert_eq!(seen, addrs);
    // Cursors are strangers' numbers: none leads to what lies elsewhere.
    for after in [Place::LAST_SLOT - 1, Place::LAST_SLOT, 1 << 31, u32::MAX] {
        assert_eq!(store.providers(START, key(1), after).count(), 0);
    }
}

#[test]
fn a_search_filters_at_the_holder() {
    let mut store = store(|_| ());
    let names = ["Blue Whale.ogg", "blue_whale_2.OGG", "Whale song, blue.mp3", "Whale.txt"];
    let at = Word::parse("whale").expect("a word").key();
    for (n, name) in names.iter().enumerate() {
        let put = store.put_entry(START, at, entry(name), public(n as u8, 1));
        assert_eq!(put, Ok(Stored::New));
    }
    let found = |text: &str, now| {
        let query = SearchQuery::parse(text).expect("words");
        assert_eq!(query.key(), at);
        let mut found: Vec<_> =
            store.search(now, at, query.filter(), 0).map(|(_, entry)| entry.name()).collect();
        found.sort();
        found
    };
    assert_eq!(
        found("whale blue", START),
        ["Blue Whale.ogg", "Whale song, blue.mp3", "blue_whale_2.OGG"]
    );
    assert_eq!(found("OGG blue Whale", START), ["Blue Whale.ogg", "blue_whale_2.OGG"]);
    assert_eq!(found("whale shark", START), [""; 0]);
    assert_eq!(found("whale", START).len(), 4);
    assert_eq!(found("whale", START + HOUR * 13), [""; 0]);
}

#[test]
fn sweeping_is_bounded_and_what_expired_is_gone_before_it() {
    let mut store = store(|config| config.work_per_call = 10);
    for n in 0..25 {
        let _ = put_at(&mut store, value(n).key(), n, public(n as u8, 1));
    }
    assert_eq!(store.poll_timeout().map(|at| at < START + HOUR * 2), Some(true));
    let end = START + HOUR * 48;
    assert!(store.value(end, value(0).key()).is_none());
    assert!(store.next_republish(end).is_none());
    for left in [15, 5, 0] {
        store.expire(end);
        assert_eq!(store.stats().values, left);
        assert_eq!(store.poll_timeout().is_some(), left > 0);
    }
    assert_eq!(store.stats().expired, 25);
}

/// Of a known name and content anybody can say other sizes.
#[test]
fn four_sizes_of_a_name_do_not_keep_the_true_entry_out() {
    let mut store = store(|_| ());
    let key = Word::parse("whale").expect("a word").key();
    let entry = |size| SearchEntry::new("Blue Whale.ogg", size, [9; 32]).expect("a name");
    for size in 1..=4 {
        assert_eq!(store.put_entry(START, key, entry(size), public(1, 1)), Ok(Stored::New));
    }
    assert_eq!(store.put_entry(START, key, entry(1_234), public(2, 1)), Ok(Stored::New));
}

/// Ports cost nothing: a machine has a few places in a list, and its latest ports have them.
#[test]
fn a_machine_has_a_few_ports_in_a_list() {
    for (machine, kept) in [("20.1.1.1", 4), ("2a00:1:2:3::4", 4), ("127.0.0.1", 50)] {
        let mut store = store(|_| ());
        let ip: core::net::IpAddr = machine.parse().expect("an address");
        for port in 1..=50 {
            let (now, addr) = (START + Duration::from_secs(port), SocketAddr::new(ip, port as u16));
            assert_eq!(store.put_provider(now, key(1), provider(addr), addr), Ok(Stored::New));
        }
        let honest = public(2, 1);
        assert_eq!(store.put_provider(START, key(1), provider(honest), honest), Ok(Stored::New));
        let mut ports: Vec<_> = store
            .providers(START, key(1), 0)
            .filter(|(_, it)| it.addr.ip() == ip)
            .map(|(_, it)| it.addr.port())
            .collect();
        ports.sort_unstable();
        assert_eq!(ports, Vec::from_iter(51 - kept..=50), "{machine}");
        assert!(store.providers(START, key(1), 0).any(|(_, it)| it.addr == honest));
        store.shelves.assert_consistent();
    }
}

/// Whoever stores somebody else's record again while little of his is held is charged for it, and by a
/// flood of his own he would be the heaviest.
#[test]
fn who_takes_a_record_over_and_floods_loses_its_own_first() {
    let mut store = store(|config| config.max_records = 100);
    // The farthest from our own id goes first.
    let far = (0..).map(value).find(|it| it.key().as_bytes()[0] >= 0xf8).expect("one in 32");
    let (key, put) = (far.key(), |store: &mut Store, value: Value, from| {
        store.put_value(START, value.key(), value, Origin::publisher(from))
    });
    assert_eq!(put(&mut store, far.clone(), public(1, 1)), Ok(Stored::New));
    assert_eq!(put(&mut store, far, public(2, 1)), Ok(Stored::Renewed));
    for n in 0..110 {
        let _ = put(&mut store, value(1_000_000 + n), public(2, 1));
    }
    assert!(store.value(START, key).is_some());
    store.shelves.assert_consistent();
}

/// The same under one word, where what expires last goes first.
#[test]
fn who_takes_an_entry_over_and_floods_its_word_loses_its_own_first() {
    let mut store = store(|config| config.max_entries = 100);
    let key = Word::parse("whale").expect("a word").key();
    let named = |n: u32| entry(&alloc::format!("whale {n}"));
    let mut now = START;
    let mut put = |store: &mut Store, n, from| {
        now = now + Duration::from_secs(1);
        store.put_entry(now, key, named(n), from)
    };
    assert_eq!(put(&mut store, 0, public(1, 1)), Ok(Stored::New));
    assert_eq!(put(&mut store, 0, public(2, 1)), Ok(Stored::Renewed));
    for n in 1..100 {
        assert_eq!(put(&mut store, n, public(2, 1)), Ok(Stored::New));
    }
    assert_eq!(put(&mut store, 0, public(2, 1)), Ok(Stored::Renewed));
    assert_eq!(put(&mut store, 1_000, public(3, 1)), Ok(Stored::New));
    let all = SearchFilter::default();
    assert!(store.search(now, key, &all, 0).any(|(_, it)| *it == named(0)));
}
