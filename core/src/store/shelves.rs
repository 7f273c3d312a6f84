//! The records and everything they are found by, kept in step: by place, by expiry, by the next
//! republication, by source.
//!
//! Nothing here decides; it answers in O(log n) who is heaviest, what of his lies farthest, and what
//! is due first.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::config::Enforce;
use crate::contact::Prefix;
use crate::id::{Distance, Id};
use crate::record::{Provider, SearchEntry, SignedValue, Value, Word};
use crate::time::Instant;

/// What keeping a record costs beside its own bytes: measured at 230 to 320 bytes (the places in
/// five trees, two thirds full, and the allocator's rounding).
pub(super) const OVERHEAD: u64 = 256;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    Value,
    Signed,
    Provider,
    Entry,
}

impl Kind {
    pub(super) const LAST: Self = Self::Entry;

    /// Whether others can check such a record, so that a holder may hand it on.
    pub(super) const fn certifies_itself(self) -> bool {
        matches!(self, Self::Value | Self::Signed)
    }
}

/// Where a record lies. `slot` tells apart those of one kind under one key; values have slot 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub(super) key: Id,
    pub(super) kind: Kind,
    pub(super) slot: u32,
}

#[derive(Clone, Debug)]
pub(super) enum Record {
    Value { value: Value, copy: bool },
    // Boxed: thousands of providers would pay for the largest variant.
    Signed(Box<SignedValue>),
    Provider(Provider),
    Entry(Box<Indexed>),
}

/// A search entry and which words its name may carry.
#[derive(Clone, Debug)]
pub(super) struct Indexed {
    pub(super) entry: SearchEntry,
    pub(super) marks: Marks,
}

/// A set of words in 128 bits: a name without a word's bit does not carry the word, so most entries
/// are passed over without splitting their names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Marks(u128);

impl Marks {
    pub(super) fn of(words: impl Iterator<Item = Word>) -> Self {
        // FNV-1a: a guess that is checked, so nothing is gained by making words collide.
        let hash = |word: Word| {
            word.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| {
                (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
            })
        };
        Self(words.fold(0, |marks, word| marks | 1 << (hash(word) >> 25)))
    }

    pub(super) const fn may_carry(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

impl Record {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Value { .. } => Kind::Value,
            Self::Signed(_) => Kind::Signed,
            Self::Provider(_) => Kind::Provider,
            Self::Entry(_) => Kind::Entry,
        }
    }

    pub(super) const fn is_copy(&self) -> bool {
        matches!(self, Self::Value { copy: true, .. })
    }

    /// What it counts for in quotas and caps, in bytes.
    pub(super) fn cost(&self) -> u64 {
        let payload = match self {
            Self::Value { value, .. } => value.as_bytes().len(),
            Self::Signed(signed) => 32 + 64 + 8 + signed.payload_len(),
            Self::Provider(_) => 20,
            Self::Entry(indexed) => 40 + indexed.entry.name().len() + indexed.entry.extra().len(),
        };
        payload as u64 + OVERHEAD
    }

    /// Whether `other` says the same about the same, so that it takes this one's place.
    pub(super) fn has_identity_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value { .. }, Self::Value { .. }) | (Self::Signed(_), Self::Signed(_)) => true,
            (Self::Provider(a), Self::Provider(b)) => a.addr == b.addr,
            (Self::Entry(a), Self::Entry(b)) => a.entry == b.entry,
            _ => false,
        }
    }
}

/// A record as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) record: Record,
    /// Who is charged for it.
    pub(super) from: SocketAddr,
    pub(super) expires: Instant,
    /// When to hand it on again, if it certifies itself.
    pub(super) due: Option<Instant>,
}

/// Whom records are charged to: an owner of addresses where quotas hold against him, and one node
/// where they do not, since a machine's or an office's nodes share their prefix by nature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Source {
    Prefix(Prefix),
    Address(SocketAddr),
}

impl Source {
    pub(super) fn of(enforce: Enforce, addr: SocketAddr) -> Self {
        if enforce.holds_for(addr.ip()) {
            Self::Prefix(Prefix::of(addr.ip()))
        } else {
            Self::Address(addr)
        }
    }

    pub(super) const fn has_quota(self) -> bool {
        matches!(self, Self::Prefix(_))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(super) struct Load {
    /// Decides who is heaviest.
    pub(super) bytes: u64,
    pub(super) records: u32,
}

/// Who has how many records of one kind under one key.
#[derive(Clone, Default, Debug)]
struct Crowd {
    records: u32,
    /// Sorted by source.
    sources: Vec<(Source, u32)>,
}

#[derive(Clone, Debug)]
pub(super) struct Shelves {
    own: Id,
    enforce: Enforce,
    held: BTreeMap<Place, Held>,
    expiries: BTreeSet<(Instant, Place)>,
    dues: BTreeSet<(Instant, Place)>,
    /// Each source's records, the one farthest from our own id last.
    by_source: BTreeSet<(Source, Distance, Kind, u32)>,
    loads: BTreeMap<Source, Load>,
    by_load: BTreeSet<(u64, Source)>,
    crowds: BTreeMap<(Id, Kind), Crowd>,
    counts: [u32; 4],
    copies: u32,
    total: Load,
}

impl Shelves {
    pub(super) const fn new(own: Id, enforce: Enforce) -> Self {
        Self {
            own,
            enforce,
            held: BTreeMap::new(),
            expiries: BTreeSet::new(),
            dues: BTreeSet::new(),
            by_source: BTreeSet::new(),
            loads: BTreeMap::new(),
            by_load: BTreeSet::new(),
            crowds: BTreeMap::new(),
            counts: [0; 4],
            copies: 0,
            total: Load { bytes: 0, records: 0 },
        }
    }

    /// Distances are counted from `own` from now on.
    pub(super) fn set_own(&mut self, own: Id) {
        self.own = own;
        self.by_source = self
            .held
            .iter()
            .map(|(place, held)| {
                let source = Source::of(self.enforce, held.from);
                (source, own.distance(place.key), place.kind, place.slot)
            })
            .collect();
    }

    pub(super) const fn own(&self) -> Id {
        self.own
    }

    pub(super) const fn total(&self) -> Load {
        self.total
    }

    pub(super) const fn copies(&self) -> u32 {
        self.copies
    }

    pub(super) fn count(&self, kind: Kind) -> u32 {
        self.counts.get(kind as usize).copied().unwrap_or(0)
    }

    pub(super) fn sources(&self) -> usize {
        self.loads.len()
    }

    pub(super) fn source(&self, addr: SocketAddr) -> Source {
        Source::of(self.enforce, addr)
    }

    pub(super) fn load(&self, source: Source) -> Load {
        self.loads.get(&source).copied().unwrap_or_default()
    }

    pub(super) fn get(&self, place: Place) -> Option<&Held> {
        self.held.get(&place)
    }

    /// The records in a range of places, in their order.
    pub(super) fn range(
        &self,
        range: impl core::ops::RangeBounds<Place>,
    ) -> impl Iterator<Item = (&Place, &Held)> {
        self.held.range(range)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Place, &Held)> {
        self.held.iter()
    }

    pub(super) fn first_expiry(&self) -> Option<(Instant, Place)> {
        self.expiries.first().copied()
    }

    pub(super) fn first_due(&self) -> Option<(Instant, Place)> {
        self.dues.first().copied()
    }

    /// Puts a record where none is.
    pub(super) fn insert(&mut self, place: Place, held: Held) {
        debug_assert!(!self.held.contains_key(&place), "{place:?} is taken");
        self.account(place, &held, true);
        self.held.insert(place, held);
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Held> {
        let held = self.held.remove(&place)?;
        self.account(place, &held, false);
        Some(held)
    }

    pub(super) fn set_due(&mut self, place: Place, due: Option<Instant>) {
        if let Some(held) = self.held.get_mut(&place) {
            if let Some(before) = held.due {
                self.dues.remove(&(before, place));
            }
            self.dues.extend(due.map(|due| (due, place)));
            held.due = due;
        }
    }

    /// The source with the most bytes.
    pub(super) fn heaviest(&self) -> Option<Source> {
        self.by_load.last().map(|(_, source)| *source)
    }

    /// The record of `source` whose key is farthest from our own id: the one that others are
    /// likeliest to hold too.
    pub(super) fn farthest_of(&self, source: Source) -> Option<Place> {
        let first = (source, Distance::ZERO, Kind::Value, 0);
        let last = (source, Distance::MAX, Kind::LAST, u32::MAX);
        let (_, distance, kind, slot) = *self.by_source.range(first..=last).next_back()?;
        let key = self.own.distance(Id::new(*distance.as_bytes()));
        Some(Place { key: Id::new(*key.as_bytes()), kind, slot })
    }

    /// How many records of one kind lie under a key; not counted for values.
    pub(super) fn crowd(&self, key: Id, kind: Kind) -> u32 {
        self.crowds.get(&(key, kind)).map_or(0, |crowd| crowd.records)
    }

    /// Of the records of one kind under a key, the one to lose first: of the source that has most
    /// of them, and most in all if several do, the one that was not renewed for longest.
    pub(super) fn heaviest_in_crowd(&self, key: Id, kind: Kind) -> Option<Place> {
        let crowd = self.crowds.get(&(key, kind))?;
        let (heaviest, _) =
            crowd.sources.iter().max_by_key(|(source, count)| (*count, self.load(*source)))?;
        let at = |slot| Place { key, kind, slot };
        self.held
            .range(at(0)..=at(u32::MAX))
            .filter(|(_, held)| self.source(held.from) == *heaviest)
            .min_by_key(|(_, held)| held.expires)
            .map(|(place, _)| *place)
    }

    /// Enters a record into every index, or takes it out of every one.
    fn account(&mut self, place: Place, held: &Held, enters: bool) {
        let source = self.source(held.from);
        let cost = held.record.cost();
        let in_source = (source, self.own.distance(place.key), place.kind, place.slot);
        let change = |load: &mut Load| {
            if enters {
                load.bytes += cost;
                load.records += 1;
            } else {
                load.bytes -= cost;
                load.records -= 1;
            }
        };
        if enters {
            self.expiries.insert((held.expires, place));
            self.dues.extend(held.due.map(|due| (due, place)));
            self.by_source.insert(in_source);
        } else {
            self.expiries.remove(&(held.expires, place));
            if let Some(due) = held.due {
                self.dues.remove(&(due, place));
            }
            self.by_source.remove(&in_source);
        }
        let load = self.loads.entry(source).or_default();
        self.by_load.remove(&(load.bytes, source));
        change(load);
        if load.records == 0 {
            self.loads.remove(&source);
        } else {
            self.by_load.insert((load.bytes, source));
        }
        change(&mut self.total);
        let step = |count: &mut u32| *count = if enters { *count + 1 } else { *count - 1 };
        if let Some(count) = self.counts.get_mut(place.kind as usize) {
            step(count);
        }
        if held.record.is_copy() {
            step(&mut self.copies);
        }
        if !place.kind.certifies_itself() {
            self.account_in_crowd((place.key, place.kind), source, enters);
        }
    }

    fn account_in_crowd(&mut self, shelf: (Id, Kind), source: Source, enters: bool) {
        let crowd = self.crowds.entry(shelf).or_default();
        let found = crowd.sources.binary_search_by_key(&source, |(source, _)| *source);
        match (found, enters) {
            (Ok(at), true) => {
                if let Some((_, count)) = crowd.sources.get_mut(at) {
                    *count += 1;
                }
            }
            (Err(at), true) => crowd.sources.insert(at, (source, 1)),
            (Ok(at), false) => match crowd.sources.get_mut(at) {
                Some((_, count)) if *count > 1 => *count -= 1,
                _ => {
                    crowd.sources.remove(at);
                }
            },
            (Err(_), false) => debug_assert!(false, "{source:?} is not in the crowd"),
        }
        crowd.records = if enters { crowd.records + 1 } else { crowd.records - 1 };
        if crowd.records == 0 {
            self.crowds.remove(&shelf);
        }
    }
}

#[cfg(test)]
impl Shelves {
    /// Every index says what the records say.
    pub(super) fn assert_consistent(&self) {
        let mut again = Self::new(self.own, self.enforce);
        for (place, held) in &self.held {
            assert_eq!(place.kind, held.record.kind());
            again.insert(*place, held.clone());
        }
        assert_eq!(again.expiries, self.expiries);
        assert_eq!(again.dues, self.dues);
        assert_eq!(again.by_source, self.by_source);
        assert_eq!(again.loads, self.loads);
        assert_eq!(again.by_load, self.by_load);
        assert_eq!(
            (again.counts, again.copies, again.total),
            (self.counts, self.copies, self.total)
        );
        let crowds = |shelves: &Self| -> Vec<_> {
            let of = |crowd: &Crowd| (crowd.records, crowd.sources.clone());
            shelves.crowds.iter().map(|(shelf, crowd)| (*shelf, of(crowd))).collect()
        };
        assert_eq!(crowds(&again), crowds(self));
    }
}
