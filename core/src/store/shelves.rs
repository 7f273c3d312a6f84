//! The records and everything they are found by, kept in step: by place, by expiry, by the next
//! republication, by source.
//!
//! Nothing here decides; it answers in O(log n) who is heaviest, what of his lies farthest, and what
//! is due first.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;
use core::net::SocketAddr;

use crate::config::Enforce;
use crate::contact::{PackedAddr, Prefix};
use crate::id::{Distance, Id};
use crate::record::{SearchEntry, SignedValue, Transports, Value, Word};
use crate::sort::sort_by_key;
use crate::sorted::{Map, Set};
use crate::time::Instant;

/// What keeping a record costs beside its own bytes. Measured with 20,000 records of as many sources:
/// 320 bytes of a value, 340 of a provider, 470 of a search entry, whose words lie beside it (its
/// places in seven trees that are two thirds full).
pub(super) const OVERHEAD: u64 = 400;

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

/// Where a record lies: under which key, of which kind, and in which slot, which tells apart those
/// of one kind under one key. Each record has its place in four trees, so kind and slot share a word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    key: Id,
    /// The kind in the highest two bits, the slot in the others.
    shelf: u32,
}

const _: () = assert!(size_of::<(Instant, Place)>() == 32);

impl Place {
    /// Above every slot that a record has.
    pub(super) const LAST_SLOT: u32 = (1 << Self::SLOT_BITS) - 1;
    const SLOT_BITS: u32 = 30;

    pub(super) const fn new(key: Id, kind: Kind, slot: u32) -> Self {
        // Cursors are strangers' numbers: what is above the last is behind all there is.
        let slot = if slot < Self::LAST_SLOT { slot } else { Self::LAST_SLOT };
        Self { key, shelf: (kind as u32) << Self::SLOT_BITS | slot }
    }

    /// Where values lie: there is one of a kind under a key.
    pub(super) const fn only(key: Id, kind: Kind) -> Self {
        Self::new(key, kind, 0)
    }

    pub(super) const fn key(&self) -> Id {
        self.key
    }

    pub(super) const fn kind(&self) -> Kind {
        match self.shelf >> Self::SLOT_BITS {
            0 => Kind::Value,
            1 => Kind::Signed,
            2 => Kind::Provider,
            _ => Kind::Entry,
        }
    }

    pub(super) const fn slot(&self) -> u32 {
        self.shelf & Self::LAST_SLOT
    }
}

#[derive(Clone, Debug)]
pub(super) enum Record {
    Value { value: Value, copy: bool },
    // Boxed: thousands of providers would pay for the largest variant.
    Signed(Box<SignedValue>),
    Provider { addr: PackedAddr, transports: Transports },
    Entry(Box<Indexed>),
}

/// A search entry and the words of its name.
#[derive(Clone, Debug)]
pub(super) struct Indexed {
    pub(super) entry: SearchEntry,
    pub(super) marks: Marks,
}

/// A set of words, each as 32 bits of a keyed hash, sorted: who does not carry a word is passed over
/// without splitting names, and nobody can make words that look like others.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Marks(Box<[u32]>);

/// What follows from a secret stays out of logs.
impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} words", self.0.len())
    }
}

impl Marks {
    pub(super) fn of(words: impl Iterator<Item = Word>, hash: impl Fn(&[u8]) -> u32) -> Self {
        let mut marks: Vec<u32> = words.map(|word| hash(word.as_str().as_bytes())).collect();
        sort_by_key(&mut marks, |mark| u64::from(*mark));
        Self(marks.into_boxed_slice())
    }

    pub(super) fn carry(&self, wanted: &Self) -> bool {
        wanted.0.iter().all(|mark| self.0.binary_search(mark).is_ok())
    }
}

impl Record {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Value { .. } => Kind::Value,
            Self::Signed(_) => Kind::Signed,
            Self::Provider { .. } => Kind::Provider,
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
            Self::Provider { .. } => 20,
            Self::Entry(indexed) => 40 + indexed.entry.name().len() + indexed.entry.extra().len(),
        };
        payload as u64 + OVERHEAD
    }

    /// Whether `other` says the same about the same, so that it takes this one's place.
    pub(super) fn has_identity_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value { .. }, Self::Value { .. }) | (Self::Signed(_), Self::Signed(_)) => true,
            (Self::Provider { addr: a, .. }, Self::Provider { addr: b, .. }) => a == b,
            (Self::Entry(a), Self::Entry(b)) => a.entry == b.entry,
            _ => false,
        }
    }
}

/// A record as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) record: Record,
    from: PackedAddr,
    pub(super) expires: Instant,
    /// [`NEVER`] if it is not handed on.
    due: Instant,
    /// Whether another than who is charged had brought it before. He loses what he brought himself
    /// first: else whoever takes over a record and then floods would drive it out.
    pub(super) taken_over: bool,
}

const _: () = assert!(size_of::<(Place, Held)>() <= 96);

/// The end of time.
const NEVER: Instant = Instant::from_micros(u64::MAX);

impl Held {
    pub(super) fn new(
        record: Record,
        from: SocketAddr,
        expires: Instant,
        due: Option<Instant>,
    ) -> Self {
        Self { record, from: from.into(), expires, due: due.unwrap_or(NEVER), taken_over: false }
    }

    /// Its place among the records of the source with this number.
    const fn rank(&self, source: u64) -> u64 {
        rank(source, self.taken_over)
    }

    /// Who is charged for it.
    pub(super) fn from(&self) -> SocketAddr {
        self.from.into()
    }

    /// When to hand it on again, if it certifies itself.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.due < NEVER).then_some(self.due)
    }
}

/// See [`Held::rank`].
const fn rank(source: u64, taken_over: bool) -> u64 {
    // Sources are counted from 0.
    source << 1 | !taken_over as u64
}

/// Whom records are charged to: an owner of addresses where quotas hold against him, and one node
/// where they do not, since a machine's or an office's nodes share their prefix by nature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Source {
    Prefix(Prefix),
    Address(PackedAddr),
}

impl Source {
    pub(super) fn of(enforce: Enforce, addr: SocketAddr) -> Self {
        // What we keep of our own has no address, and no stranger behind it.
        if enforce.holds_for(addr.ip()) && !addr.ip().is_unspecified() {
            Self::Prefix(Prefix::of(addr.ip()))
        } else {
            Self::Address(addr.into())
        }
    }

    pub(super) const fn has_quota(self) -> bool {
        matches!(self, Self::Prefix(_))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Load {
    /// Decides who is heaviest.
    pub(super) bytes: u64,
    pub(super) records: u32,
}

/// A source as the indexes know it: a number is shorter than an address.
#[derive(Clone, Copy, Debug)]
struct Account {
    number: u64,
    load: Load,
    /// When it last stored something, by our own count: of two that are equally heavy the one that
    /// did not for longer loses first, or a full store would be closed to whoever is equal.
    touched: u64,
}

impl Account {
    const fn rank(&self) -> (u64, Reverse<u64>, u64) {
        (self.load.bytes, Reverse(self.touched), self.number)
    }
}

/// Who has how many records of one kind under one key.
#[derive(Clone, Default, Debug)]
struct Crowd {
    records: u32,
    /// Sorted by number.
    members: Vec<Member>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Member {
    number: u64,
    records: u32,
    touched: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Shelves {
    own: Id,
    enforce: Enforce,
    held: Map<Place, Held>,
    expiries: Set<(Instant, Place)>,
    dues: Set<(Instant, Place)>,
    /// Each source's records, by [`Held::rank`]: those it brought itself last, and of them the one
    /// farthest from our own id.
    by_source: Set<(u64, Distance, u32)>,
    accounts: Map<Source, Account>,
    by_load: Set<(u64, Reverse<u64>, u64)>,
    crowds: Map<(Id, Kind), Crowd>,
    counts: [u32; 4],
    copies: u32,
    total: Load,
    /// Counts what is entered; numbers sources.
    entered: u64,
}

impl Shelves {
    pub(super) const fn new(own: Id, enforce: Enforce) -> Self {
        Self {
            own,
            enforce,
            held: Map::new(),
            expiries: Set::new(),
            dues: Set::new(),
            by_source: Set::new(),
            accounts: Map::new(),
            by_load: Set::new(),
            crowds: Map::new(),
            counts: [0; 4],
            copies: 0,
            total: Load { bytes: 0, records: 0 },
            entered: 0,
        }
    }

    /// Distances are counted from `own` from now on.
    pub(super) fn set_own(&mut self, own: Id) {
        self.own = own;
        let of = |(place, held): (&Place, &Held)| {
            let number = self.number(held.from())?;
            Some((held.rank(number), own.distance(place.key), place.shelf))
        };
        self.by_source = self.held.iter().filter_map(of).collect();
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
        self.accounts.len()
    }

    pub(super) fn source(&self, addr: SocketAddr) -> Source {
        Source::of(self.enforce, addr)
    }

    pub(super) fn load(&self, source: Source) -> Load {
        self.accounts.get(&source).map(|account| account.load).unwrap_or_default()
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
            if let Some(before) = held.due() {
                self.dues.remove(&(before, place));
            }
            self.dues.extend(due.map(|due| (due, place)));
            held.due = due.unwrap_or(NEVER);
        }
    }

    /// The source with the most bytes.
    pub(super) fn heaviest(&self) -> Option<u64> {
        self.by_load.last().map(|(_, _, number)| *number)
    }

    /// The record of a source whose key is farthest from our own id: the one that others are
    /// likeliest to hold too.
    pub(super) fn farthest_of(&self, number: u64) -> Option<Place> {
        let first = (rank(number, true), Distance::ZERO, 0);
        let last = (rank(number, false), Distance::MAX, u32::MAX);
        let (_, distance, shelf) = *self.by_source.range(first..=last).next_back()?;
        let key = self.own.distance(Id::new(*distance.as_bytes()));
        Some(Place { key: Id::new(*key.as_bytes()), shelf })
    }

    /// The keys under which records of this kind lie; not for values.
    pub(super) fn keys_of(&self, kind: Kind) -> impl Iterator<Item = Id> {
        self.crowds.keys().filter(move |(_, of)| *of == kind).map(|(key, _)| *key)
    }

    /// How many records of one kind lie under a key; not counted for values.
    pub(super) fn crowd(&self, key: Id, kind: Kind) -> u32 {
        self.crowds.get(&(key, kind)).map_or(0, |crowd| crowd.records)
    }

    /// Of the records of one kind under a key, the one to lose first: of the source that has most
    /// of them there, and that stored none there for longest if several do, the one that expires
    /// last. Who floods loses what it stored last, and nothing that it took over by storing again what
    /// others had there.
    pub(super) fn heaviest_in_crowd(&self, key: Id, kind: Kind) -> Option<Place> {
        let members = &self.crowds.get(&(key, kind))?.members;
        let heaviest = members.iter().max_by_key(|m| (m.records, Reverse(m.touched)))?.number;
        let distance = self.own.distance(key);
        let of = |taken_over| {
            let rank = rank(heaviest, taken_over);
            let at = |slot| (rank, distance, Place::new(key, kind, slot).shelf);
            self.by_source
                .range(at(0)..=at(Place::LAST_SLOT))
                .map(|(.., shelf)| Place { key, shelf: *shelf })
                .max_by_key(|place| self.held.get(place).map(|held| held.expires))
        };
        of(false).or_else(|| of(true))
    }

    fn number(&self, addr: SocketAddr) -> Option<u64> {
        self.accounts.get(&self.source(addr)).map(|account| account.number)
    }

    /// Enters a record into every index, or takes it out of every one.
    fn account(&mut self, place: Place, held: &Held, enters: bool) {
        let cost = held.record.cost();
        let change = |load: &mut Load| {
            if enters {
                load.bytes += cost;
                load.records += 1;
            } else {
                load.bytes -= cost;
                load.records -= 1;
            }
        };
        self.entered += u64::from(enters);
        let source = self.source(held.from());
        let fresh = Account { number: self.entered, load: Load::default(), touched: 0 };
        let account = self.accounts.or_insert(source, fresh);
        let number = account.number;
        self.by_load.remove(&account.rank());
        change(&mut account.load);
        if enters {
            account.touched = self.entered;
        }
        if account.load.records > 0 {
            self.by_load.insert(account.rank());
        } else {
            self.accounts.remove(&source);
        }
        change(&mut self.total);
        let in_source = (held.rank(number), self.own.distance(place.key), place.shelf);
        if enters {
            self.expiries.insert((held.expires, place));
            self.dues.extend(held.due().map(|due| (due, place)));
            self.by_source.insert(in_source);
        } else {
            self.expiries.remove(&(held.expires, place));
            if let Some(due) = held.due() {
                self.dues.remove(&(due, place));
            }
            self.by_source.remove(&in_source);
        }
        let step = |count: &mut u32| *count = if enters { *count + 1 } else { *count - 1 };
        if let Some(count) = self.counts.get_mut(place.kind() as usize) {
            step(count);
        }
        if held.record.is_copy() {
            step(&mut self.copies);
        }
        if !place.kind().certifies_itself() {
            self.account_in_crowd((place.key, place.kind()), number, enters);
        }
    }

    fn account_in_crowd(&mut self, shelf: (Id, Kind), number: u64, enters: bool) {
        let crowd = self.crowds.or_insert(shelf, Crowd::default());
        let found = crowd.members.binary_search_by_key(&number, |member| member.number);
        match (found, enters) {
            (Ok(at), true) => {
                if let Some(member) = crowd.members.get_mut(at) {
                    member.records += 1;
                    member.touched = self.entered;
                }
            }
            (Err(at), true) => {
                // Most keys have one provider: no room for four at once.
                if crowd.members.is_empty() {
                    crowd.members.reserve_exact(1);
                }
                crowd.members.insert(at, Member { number, records: 1, touched: self.entered });
            }
            (Ok(at), false) => match crowd.members.get_mut(at) {
                Some(member) if member.records > 1 => member.records -= 1,
                _ => {
                    crowd.members.remove(at);
                }
            },
            (Err(_), false) => debug_assert!(false, "source {number} is not in the crowd"),
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
        use alloc::collections::{BTreeMap, BTreeSet};

        let sum = |records: &[&Held]| {
            let bytes = records.iter().map(|held| held.record.cost()).sum();
            Load { bytes, records: records.len() as u32 }
        };
        let all: Vec<&Held> = self.held.values().collect();
        assert_eq!(self.total, sum(&all));
        assert_eq!(self.copies as usize, all.iter().filter(|h| h.record.is_copy()).count());
        let mut by_source: BTreeMap<Source, Vec<&Held>> = BTreeMap::new();
        let mut crowds: BTreeMap<(Id, Kind), BTreeMap<u64, u32>> = BTreeMap::new();
        let mut indexes = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (place, held) in self.held.iter() {
            let (source, kind) = (self.source(held.from()), held.record.kind());
            let number = self.accounts.get(&source).expect("who is charged").number;
            assert_eq!(place.kind(), kind);
            by_source.entry(source).or_default().push(held);
            if !kind.certifies_itself() {
                *crowds.entry((place.key, kind)).or_default().entry(number).or_default() += 1;
            }
            indexes.0.insert((held.expires, *place));
            indexes.1.extend(held.due().map(|due| (due, *place)));
            indexes.2.insert((held.rank(number), self.own.distance(place.key), place.shelf));
        }
        assert!(indexes.0.iter().eq(self.expiries.iter()));
        assert!(indexes.1.iter().eq(self.dues.iter()));
        assert!(indexes.2.iter().eq(self.by_source.iter()));
        let loads: BTreeMap<_, _> = by_source.iter().map(|(s, held)| (*s, sum(held))).collect();
        assert_eq!(loads, self.accounts.iter().map(|(s, account)| (*s, account.load)).collect());
        let ranks: BTreeSet<_> = self.accounts.values().map(Account::rank).collect();
        assert!(ranks.iter().eq(self.by_load.iter()));
        let members = self.crowds.iter().map(|(shelf, crowd)| {
            assert!(crowd.members.is_sorted_by_key(|m| m.number), "{crowd:?}");
            assert_eq!(crowd.records, crowd.members.iter().map(|m| m.records).sum::<u32>());
            (*shelf, crowd.members.iter().map(|m| (m.number, m.records)).collect())
        });
        assert_eq!(crowds, members.collect());
        for kind in [Kind::Value, Kind::Signed, Kind::Provider, Kind::Entry] {
            let count = self.held.keys().filter(|place| place.kind() == kind).count();
            assert_eq!(self.count(kind) as usize, count);
        }
    }
}
