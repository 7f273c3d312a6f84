//! The routing table, held to its laws and to the mistakes others made.

mod diversity;
mod entry;
mod laws;
mod memory;
mod restart;
mod splitting;
mod upkeep;

use super::*;
use crate::contact::{Capabilities, Prefix};
use crate::id::Distance;
use crate::rng::Rng;
use alloc::collections::BTreeSet;
use alloc::vec;
use proptest::prelude::*;

const K: usize = 4;

fn config() -> TableConfig {
    TableConfig { k: K, ..TableConfig::default() }
}

fn rng(seed: u8) -> Rng {
    Rng::from_seed([seed; 32])
}

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

/// The `n`th node on this machine.
fn local(id: Id, n: u16) -> Contact {
    Contact::new(id, SocketAddr::from(([127, 0, 0, 1], 1 + n)))
}

/// A node on the internet, `n` telling the prefix and `host` the address in it.
fn public(id: Id, n: u16, host: u8) -> Contact {
    let [a, b] = n.to_be_bytes();
    Contact::new(id, SocketAddr::from(([80, a, b, host], 4000)))
}

fn id(first: u8, rest: u8) -> Id {
    let mut bytes = [rest; 20];
    bytes[0] = first;
    Id::new(bytes)
}

/// A table around zero whose far half is full: contacts 0x80, 0x81, … at ports 1, 2, …
fn with_full_far_half() -> RoutingTable {
    with_full_far_half_of(config())
}

fn with_full_far_half_of(config: TableConfig) -> RoutingTable {
    let mut table = RoutingTable::new(Id::ZERO, config);
    for n in 0..5 * K as u16 {
        // Enough on our side that the far half is no neighbourhood.
        assert_eq!(
            table.verified(at(n.into()), local(id(1, n as u8), 500 + n), None),
            Admission::Inserted
        );
    }
    for n in 0..K as u16 {
        let far = local(id(0x80 + n as u8, 0), n);
        assert_eq!(table.verified(at(100 + u64::from(n)), far, None), Admission::Inserted);
    }
    table
}

fn far_half(table: &RoutingTable) -> (Vec<Id>, Vec<Id>) {
    let far = table.buckets().last().expect("a bucket");
    assert!(far.covers(id(0x80, 0)) && !far.covers(Id::ZERO));
    (
        far.contacts().map(|c| c.contact.id).collect(),
        far.replacements().map(|c| c.contact.id).collect(),
    )
}

/// Whom the table would have pinged now, whatever comes of it; enough to see that it goes on and on.
fn pings(table: &mut RoutingTable, now: Instant) -> Vec<Contact> {
    core::iter::from_fn(|| table.next_ping(now)).take(200).collect()
}

/// Lets a contact fail until it is stale; the time of the last failure.
fn fail_until_stale(
    table: &mut RoutingTable,
    contact: Contact,
    mut now: Instant,
) -> (Instant, Failure) {
    for n in 1..=5 {
        let failure = table.failed(now, contact.id, contact.addr());
        if n == 5 {
            return (now, failure);
        }
        assert_eq!(failure, Failure::Counted(n));
        now = now + Duration::from_secs(15 << (n - 1)) + Duration::from_secs(1);
    }
    unreachable!("five failures")
}

fn crowd(config: TableConfig, n: u16) -> RoutingTable {
    let mut rng = rng(9);
    let mut table = RoutingTable::new(Id::random(&mut rng), config);
    for i in 0..n {
        table.verified(at(0), local(Id::random(&mut rng), i), None);
    }
    table
}

/// What holds after any sequence of calls.
fn check(table: &RoutingTable) {
    let config = table.config();
    let mut next = Some(0);
    for bucket in &table.buckets {
        assert_eq!(Some(bucket.start), next, "ranges follow each other");
        next = bucket.end().checked_add(1);
        assert!(bucket.depth <= config.max_depth);
        assert!(bucket.contacts.len() <= config.k);
        assert!(bucket.replacements.len() <= config.replacements);
        let stale = bucket.contacts.iter().filter(|c| c.is_stale(config.stale_after)).count();
        assert_eq!(bucket.steady(), bucket.contacts.len() - stale);
        for contact in bucket.contacts.iter().chain(&bucket.replacements) {
            assert_ne!(contact.id, table.own, "mistake 6");
            let distance = table.own.distance(contact.id).high_bits();
            assert!((bucket.start..=bucket.end()).contains(&distance), "in its range");
        }
        let sound: Vec<_> =
            bucket.contacts.iter().filter(|c| c.is_sound()).map(|c| c.stamp).collect();
        assert!(sound.is_sorted(), "least recently seen first");
        let prefixes =
            bucket.contacts.iter().filter(|c| table.is_limited(c.ip())).map(Packed::prefix);
        assert!(most_of_one(prefixes) <= config.per_prefix_in_bucket);
    }
    assert_eq!(next, None, "and cover the space");
    let contacts: Vec<_> = table.iter().collect();
    assert_eq!(contacts.len(), table.len());
    let ids: BTreeSet<_> = contacts.iter().map(|c| c.contact.id).collect();
    let paths: BTreeSet<_> = contacts.iter().map(|c| c.contact.path).collect();
    assert_eq!((ids.len(), paths.len()), (table.len(), table.len()), "mistake 20");
    let waiting = table.buckets().flat_map(|bucket| bucket.replacements()).map(|c| c.contact.id);
    let waiting: Vec<_> = waiting.collect();
    assert!(waiting.iter().all(|id| !ids.contains(id)));
    assert_eq!(waiting.iter().collect::<BTreeSet<_>>().len(), waiting.len());
    assert!(table.candidates.len() <= config.candidates);
    assert!(table.candidates.iter().all(|c| !ids.contains(&c.contact.id)));
    let limited = contacts.iter().map(|c| c.contact.addr().ip()).filter(|ip| table.is_limited(*ip));
    assert!(most_of_one(limited.map(Prefix::of)) <= config.per_prefix_in_table);
}

fn most_of_one(prefixes: impl Iterator<Item = Prefix>) -> usize {
    let mut prefixes: Vec<_> = prefixes.collect();
    prefixes.sort_unstable();
    prefixes.chunk_by(|a, b| a == b).map(<[_]>::len).max().unwrap_or(0)
}
