//! What others stored here: bounded, fair, and never older than its publisher allowed.
//!
//! - *Age.* A record's lifetime counts from its publication. Every record travels with its age, so
//!   handing it on makes nothing younger; only its publisher, with age 0, does (mistake 15).
//! - *Room.* The whole store has caps, every public prefix a quota, every list under one key a
//!   limit. Where one is reached, the heaviest source loses first, of its records the one whose key
//!   is farthest from our own id: a full store neither refuses newcomers nor can be flushed
//!   (mistake 27). A newcomer that would be lost at once is refused.
//! - *Charge.* A record is charged to who stored it; if another stores the same, to the lighter of
//!   the two, so that a publisher is not dragged down by who repeats its records.
//! - *Truth.* Values certify themselves and are republished, handed over and copied. Providers and
//!   search entries are not: a holder cannot speak for them (Kademlia's own rules, section 2.5, hand
//!   on everything, and so hand on lies). A copy on a lookup's path is no authority: it is dropped
//!   early, and neither handed on nor journalled (mistake 17).
//! - *Time.* What has expired is not there, whether or not it has been swept up yet.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::config::{Shared, StoreConfig};
use crate::id::Id;
use crate::record::{Form, Provider, SearchEntry, SearchFilter, SignedValue, Value, Verified};
use crate::rng::{Resting, Rng};
use crate::time::Instant;

mod admit;
mod saved;
mod shelves;
#[cfg(test)]
mod tests;
mod upkeep;

pub use saved::{BadRecord, Imported, NewerVersion, RecordName, StoreChange};
use shelves::{Held, Kind, Place, Record, Shelves};
pub use upkeep::{Certified, Due, Handover};

/// Who brings a record, and how old it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Who is charged for it.
    pub from: SocketAddr,
    /// Time since its publisher last published it; zero if the publisher itself brings it. Whoever
    /// rounds, rounds up: a record that gets younger on its way never dies.
    pub age: Duration,
}

impl Origin {
    /// From the publisher itself.
    #[must_use]
    pub const fn publisher(from: SocketAddr) -> Self {
        Self { from, age: Duration::ZERO }
    }
}

/// What storing did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stored {
    /// It was not there.
    New,
    /// It was there, and may live longer now.
    Renewed,
    /// It took the place of what was there.
    Replaced,
    /// It was there, and better: a copy of what is held with authority.
    Kept,
}

/// Why a record was not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refused {
    /// Older than such a record may get.
    Expired,
    /// A provider that is not the sender's own address.
    ForeignAddress,
    /// A search entry whose name does not carry the word of this key.
    ForeignKey,
    /// A signed value with a lower sequence number than the one held, or with the same and
    /// something else in it.
    StaleSequence {
        /// The one held.
        current: u64,
    },
    /// The sequence number held is not the one the writer expects.
    CasMismatch {
        /// The one held.
        current: u64,
    },
    /// The sender's prefix has its share of the store.
    SourceQuota,
    /// The key has as many records as it may, and the sender more of them than others.
    KeyFull,
    /// The store is full, and the sender its heaviest source.
    StoreFull,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("older than such a record may get"),
            Self::ForeignAddress => f.write_str("not the sender's own address"),
            Self::ForeignKey => f.write_str("the name does not carry the word of this key"),
            Self::StaleSequence { current } => {
                write!(f, "sequence number not newer than {current}")
            }
            Self::CasMismatch { current } => write!(f, "the sequence number held is {current}"),
            Self::SourceQuota => f.write_str("the sender's prefix has its share of the store"),
            Self::KeyFull => f.write_str("no room under this key"),
            Self::StoreFull => f.write_str("no room"),
        }
    }
}

impl core::error::Error for Refused {}

/// A value that is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HeldValue<'a> {
    /// The value.
    pub value: &'a Value,
    /// Time since its publisher last published it; meaningless for a copy.
    pub age: Duration,
    /// Whether it was stored here, and not only copied here on a lookup's path.
    pub authoritative: bool,
}

/// What is held, and what happened so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct StoreStats {
    /// Immutable values held, copies included.
    pub values: u32,
    /// Path copies among them.
    pub copies: u32,
    /// Signed values held.
    pub signed: u32,
    /// Providers held.
    pub providers: u32,
    /// Search entries held.
    pub entries: u32,
    /// Bytes of all records, each with 400 bytes of bookkeeping.
    pub bytes: u64,
    /// Sources that records are charged to.
    pub sources: u32,
    /// Records that gave way to others.
    pub evicted: u64,
    /// Records that reached the end of their lifetime.
    pub expired: u64,
    /// Stores refused: too old.
    pub refused_expired: u64,
    /// Stores refused: another's address, or a key that the name does not have.
    pub refused_foreign: u64,
    /// Stores refused: sequence number.
    pub refused_stale: u64,
    /// Stores refused: compare-and-swap.
    pub refused_cas: u64,
    /// Stores refused: the source's quota.
    pub refused_quota: u64,
    /// Stores refused: no room under the key or in the store.
    pub refused_full: u64,
}

/// The records of one node that others stored there.
///
/// The caller has checked that a record belongs under its key ([`Value::key`], or what another
/// wire says) and that the writer showed a token.
///
/// ```
/// use core::time::Duration;
/// use kadlet_core::record::Value;
/// use kadlet_core::{Id, Instant, Origin, Rng, Store, Stored, config::StoreConfig};
///
/// let mut store = Store::new(StoreConfig::default(), Id::ZERO, Rng::from_seed([7; 32]));
/// let (now, from) = (Instant::EPOCH, "192.168.1.9:6881".parse()?);
/// let value = Value::new(*b"hello")?;
///
/// let stored = store.put_value(now, value.key(), value.clone(), Origin::publisher(from));
/// assert_eq!(stored, Ok(Stored::New));
/// let later = now + Duration::from_secs(47 * 3_600);
/// assert_eq!(store.value(later, value.key()).map(|held| held.value), Some(&value));
/// assert!(store.value(later + Duration::from_secs(3_600), value.key()).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    config: Shared<StoreConfig>,
    /// Of the values that are read back from where a host kept them.
    form: Form,
    shelves: Shelves,
    rng: Resting,
    /// Orders the records under a key, so that nobody can choose to be on the first page.
    order: [u8; 16],
    changes: VecDeque<StoreChange>,
    stats: StoreStats,
}

impl Store {
    /// An empty store of the node `own`.
    #[must_use]
    pub fn new(config: impl Into<Shared<StoreConfig>>, own: Id, mut rng: Rng) -> Self {
        let config = config.into();
        Self {
            shelves: Shelves::new(own, config.enforce),
            order: rng.bytes(),
            rng: Resting::of(&rng),
            changes: VecDeque::new(),
            stats: StoreStats::default(),
            form: Form::Native,
            config,
        }
    }

    /// The same for the values of another network.
    #[must_use]
    pub fn with_form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Our own id is another from now on: what is farthest from it, and what is ours to hand over,
    /// changes.
    pub fn set_own(&mut self, own: Id) {
        self.shelves.set_own(own);
    }

    /// Stores that `from` has the content of `key`. Storing it again renews it.
    ///
    /// # Errors
    /// See [`Refused`]; an address other than the sender's is [`Refused::ForeignAddress`], its port
    /// is free.
    pub fn put_provider(
        &mut self,
        now: Instant,
        key: Id,
        provider: Provider,
        from: SocketAddr,
    ) -> Result<Stored, Refused> {
        if provider.addr.ip() != from.ip() {
            return self.refuse(Refused::ForeignAddress);
        }
        let Provider { addr, transports } = provider;
        let record = Record::Provider { addr: addr.into(), transports };
        self.make_place(now, key, &record);
        self.admit(now, key, record, Origin::publisher(from))
    }

    /// Stores an immutable value.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn put_value(
        &mut self,
        now: Instant,
        key: Id,
        value: Value,
        origin: Origin,
    ) -> Result<Stored, Refused> {
        self.admit(now, key, Record::Value { value, copy: false }, origin)
    }

    /// Keeps a copy of a value that a lookup found elsewhere, for `lifetime` and never longer than
    /// [`StoreConfig::copy`]. Only immutable values: of a mutable one a copy would outlive its truth.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn put_copy(
        &mut self,
        now: Instant,
        key: Id,
        value: Value,
        lifetime: Duration,
        from: SocketAddr,
    ) -> Result<Stored, Refused> {
        let age = self.config.copy.saturating_sub(lifetime);
        self.admit(now, key, Record::Value { value, copy: true }, Origin { from, age })
    }

    /// What [`put_signed`](Self::put_signed) would say if there is room: asked before a signature is
    /// checked, since that costs more than everything else here.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn judge_signed(
        &self,
        now: Instant,
        key: Id,
        signed: &SignedValue,
        cas: Option<u64>,
    ) -> Result<Stored, Refused> {
        let Some(held) = self.signed(now, key) else { return Ok(Stored::New) };
        let current = held.seq();
        if cas.is_some_and(|expected| expected != current) {
            return Err(Refused::CasMismatch { current });
        }
        match signed.seq().cmp(&current) {
            core::cmp::Ordering::Greater => Ok(Stored::Replaced),
            core::cmp::Ordering::Equal if signed.says_the_same_as(held) => Ok(Stored::Renewed),
            _ => Err(Refused::StaleSequence { current }),
        }
    }

    /// A signed value as checked, without checking it, if it is bit for bit the one held: other
    /// holders bring it back every hour.
    #[must_use]
    pub fn recognise(&self, now: Instant, key: Id, signed: &SignedValue) -> Option<Verified> {
        self.signed(now, key).filter(|held| *held == signed).cloned().map(Verified::trusted)
    }

    /// Stores a signed value: a higher sequence number replaces a lower one. With `cas`, only if the
    /// number held is that one, or none is held (BEP 44).
    ///
    /// # Errors
    /// See [`Refused`]; both refusals by sequence number name the one held.
    pub fn put_signed(
        &mut self,
        now: Instant,
        key: Id,
        signed: Verified,
        cas: Option<u64>,
        origin: Origin,
    ) -> Result<Stored, Refused> {
        if let Err(refused) = self.judge_signed(now, key, signed.as_signed(), cas) {
            return self.refuse(refused);
        }
        self.admit(now, key, Record::Signed(Box::new(signed.into_signed())), origin)
    }

    /// Stores a search entry under the key of one of its name's words. Storing it again renews it.
    ///
    /// # Errors
    /// See [`Refused`]; a key of no word of the name is [`Refused::ForeignKey`].
    pub fn put_entry(
        &mut self,
        now: Instant,
        key: Id,
        entry: SearchEntry,
        from: SocketAddr,
    ) -> Result<Stored, Refused> {
        if !entry.words().any(|word| word.key() == key) {
            return self.refuse(Refused::ForeignKey);
        }
        let record = self.index(entry);
        self.admit(now, key, record, Origin::publisher(from))
    }

    /// Providers of `key` behind the cursor `after` (0: from the start), each with the cursor that
    /// goes on after it. The order stays while records come and go, so a walk through the pages
    /// meets whatever was there all the time exactly once.
    pub fn providers(
        &self,
        now: Instant,
        key: Id,
        after: u32,
    ) -> impl Iterator<Item = (u32, Provider)> {
        self.list(now, key, Kind::Provider, after).filter_map(|(slot, record)| match record {
            Record::Provider { addr, transports } => {
                Some((slot, Provider { addr: (*addr).into(), transports: *transports }))
            }
            _ => None,
        })
    }

    /// At most `most` keys that providers are held of, drawn evenly, and how many there are in all.
    /// Looks at every such key.
    pub fn sample_providers(&self, now: Instant, most: usize, rng: &mut Rng) -> (Vec<Id>, u64) {
        let (mut drawn, mut total) = (Vec::with_capacity(most), 0_u64);
        for key in self.shelves.keys_of(Kind::Provider) {
            // Whoever has expired and is not swept up yet is nobody.
            if self.list(now, key, Kind::Provider, 0).next().is_none() {
                continue;
            }
            total += 1;
            // Every key seen so far has the same chance to be among those drawn (Vitter 1985).
            if drawn.len() < most {
                drawn.push(key);
            } else if let Ok(place) = usize::try_from(rng.below(total))
                && let Some(drawn) = drawn.get_mut(place)
            {
                *drawn = key;
            }
        }
        (drawn, total)
    }

    /// Search entries of `key` whose names carry all words of `filter`, paged like
    /// [`providers`](Self::providers).
    pub fn search<'a, 'f>(
        &'a self,
        now: Instant,
        key: Id,
        filter: &'f SearchFilter,
        after: u32,
    ) -> impl Iterator<Item = (u32, &'a SearchEntry)> + use<'a, 'f> {
        let wanted = self.marks(filter.words().iter().copied());
        self.list(now, key, Kind::Entry, after).filter_map(move |(slot, record)| match record {
            Record::Entry(indexed) => {
                // Equal hashes are no proof, and a proof costs too much to look for it first.
                let carries = indexed.marks.carry(&wanted) && filter.matches(&indexed.entry);
                carries.then_some((slot, &indexed.entry))
            }
            _ => None,
        })
    }

    /// The immutable value under `key`.
    #[must_use]
    pub fn value(&self, now: Instant, key: Id) -> Option<HeldValue<'_>> {
        let held = self.alive(now, Place::only(key, Kind::Value))?;
        let Record::Value { value, copy } = &held.record else { return None };
        Some(HeldValue { value, age: self.age(now, held), authoritative: !copy })
    }

    /// The signed value under `key`; whoever asks for newer ones only compares [`SignedValue::seq`].
    #[must_use]
    pub fn signed(&self, now: Instant, key: Id) -> Option<&SignedValue> {
        match &self.alive(now, Place::only(key, Kind::Signed))?.record {
            Record::Signed(signed) => Some(signed),
            _ => None,
        }
    }

    /// What is held, and what happened since the start.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let shelves = &self.shelves;
        StoreStats {
            values: shelves.count(Kind::Value),
            copies: shelves.copies(),
            signed: shelves.count(Kind::Signed),
            providers: shelves.count(Kind::Provider),
            entries: shelves.count(Kind::Entry),
            bytes: shelves.total().bytes,
            // No more sources than records, which are counted in a u32.
            sources: shelves.sources() as u32,
            ..self.stats
        }
    }

    fn alive(&self, now: Instant, place: Place) -> Option<&Held> {
        self.shelves.get(place).filter(|held| held.expires > now)
    }

    fn list(
        &self,
        now: Instant,
        key: Id,
        kind: Kind,
        after: u32,
    ) -> impl Iterator<Item = (u32, &Record)> {
        let at = |slot| Place::new(key, kind, slot);
        let behind = at(after.saturating_add(1));
        self.shelves
            .range(behind..=at(Place::LAST_SLOT))
            .filter(move |(_, held)| held.expires > now)
            .map(|(place, held)| (place.slot(), &held.record))
    }
}
