//! Letting a record in: where it goes, how long it stays, who is charged, and who has to give way.

use alloc::boxed::Box;
use core::hash::Hasher;
use core::net::SocketAddr;
use core::time::Duration;

use siphasher::sip::SipHasher24;

use super::shelves::{Held, Indexed, Kind, Marks, Place, Record};
use super::{Origin, Refused, Store, Stored};
use crate::id::Id;
use crate::record::{Form, SearchEntry, Word};
use crate::time::Instant;

/// How many slots a record's hash gives it to choose from: with a thousand records under one key
/// two meet in one slot once in four thousand times, five in a row never.
const PROBES: u32 = 4;

impl Store {
    pub(super) fn lifetime(&self, record: &Record) -> Duration {
        match record {
            Record::Value { copy: true, .. } => self.config.copy,
            Record::Value { .. } | Record::Signed(_) => self.config.value_lifetime,
            Record::Provider { .. } => self.config.provider_lifetime,
            Record::Entry(_) => self.config.entry_lifetime,
        }
    }

    pub(super) fn age(&self, now: Instant, held: &Held) -> Duration {
        self.lifetime(&held.record).saturating_sub(held.expires.since(now))
    }

    /// Stores a record that belongs where it is to go, and journals it.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        key: Id,
        record: Record,
        origin: Origin,
    ) -> Result<Stored, Refused> {
        match self.settle(now, key, record, origin) {
            Ok((stored, place)) => {
                if stored != Stored::Kept {
                    self.journal_stored(now, place);
                }
                Ok(stored)
            }
            Err(refused) => self.refuse(refused),
        }
    }

    /// Puts the record into its place and lets whoever is heaviest pay for the room.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        key: Id,
        record: Record,
        Origin { from, age }: Origin,
    ) -> Result<(Stored, Place), Refused> {
        let lifetime = self.lifetime(&record);
        let left = lifetime.checked_sub(age).filter(|left| !left.is_zero());
        let mut expires = now + left.ok_or(Refused::Expired)?;
        let said = expires;
        let kind = record.kind();
        let place = self.place(now, key, &record).ok_or(Refused::KeyFull)?;
        if self.shelves.get(place).is_some_and(|held| held.expires <= now) {
            self.drop_expired(place);
        }
        let (mut stored, mut payer) = (Stored::New, from);
        if let Some(held) = self.shelves.get(place) {
            match (&held.record, &record) {
                (Record::Value { copy: false, .. }, Record::Value { copy: true, .. }) => {
                    return Ok((Stored::Kept, place));
                }
                (Record::Value { copy: true, .. }, Record::Value { copy: false, .. }) => {
                    stored = Stored::Replaced;
                }
                (Record::Signed(held), Record::Signed(new)) if new.seq() > held.seq() => {
                    stored = Stored::Replaced;
                }
                // The same again: whoever knows of a later publication is right.
                _ => {
                    stored = Stored::Renewed;
                    expires = expires.max(held.expires);
                    payer = held.from();
                    if self.is_lighter(from, payer) && self.fits_quota(place, &record, from) {
                        payer = from;
                    }
                }
            }
        }
        if !self.fits_quota(place, &record, payer) {
            return Err(Refused::SourceQuota);
        }
        let before = self.shelves.remove(place);
        let renewed = before.as_ref().filter(|_| stored == Stored::Renewed);
        // Charged to another than whoever brought it first.
        let taken_over = renewed.is_some_and(|held| {
            held.taken_over || self.shelves.source(held.from()) != self.shelves.source(payer)
        });
        // Whoever brings it from before its last publication handed it on to nobody since: a stranger who
        // does so now and then would else keep us from ever doing it.
        let kept = renewed.filter(|held| said + self.config.republish < held.expires);
        let due = kept.and_then(Held::due);
        let newcomer = before.is_none().then_some(place);
        let record = match (stored, before) {
            // Of two signatures over the same the first stays: its holders recognise it.
            (Stored::Renewed, Some(Held { record: held @ Record::Signed(_), .. })) => held,
            _ => record,
        };
        // Mainline's wire carries no age: what its holders handed on would never die. Publishers come
        // again there (BEP 44).
        let is_handed_on =
            kind.certifies_itself() && !record.is_copy() && self.form == Form::Native;
        let due = is_handed_on.then(|| due.unwrap_or_else(|| self.next_turn(now)));
        let mut held = Held::new(record, payer, expires, due);
        held.taken_over = taken_over;
        self.shelves.insert(place, held);
        self.make_room(key, kind, newcomer);
        if self.shelves.get(place).is_some() {
            return Ok((stored, place));
        }
        let in_crowd =
            !kind.certifies_itself() && self.shelves.crowd(key, kind) >= self.crowd_limit(kind);
        Err(if in_crowd { Refused::KeyFull } else { Refused::StoreFull })
    }

    /// Where the record lies, or a free place for it. None where strangers' records fill all places
    /// that it may have.
    pub(super) fn place(&self, now: Instant, key: Id, record: &Record) -> Option<Place> {
        let is_same = |place: &Place| {
            let held = self.shelves.get(*place);
            held.is_some_and(|held| held.record.has_identity_of(record))
        };
        let mut places = self.places(key, record);
        let free = || self.places(key, record).find(|place| self.alive(now, *place).is_none());
        if record.kind().certifies_itself() {
            places.next()
        } else {
            places.find(is_same).or_else(free)
        }
    }

    /// Where the record may lie.
    fn places(&self, key: Id, record: &Record) -> impl Iterator<Item = Place> + use<> {
        let kind = record.kind();
        let hash = match record {
            Record::Value { .. } | Record::Signed(_) => None,
            // All ports of a machine have the same few places: nobody fills a list with his own.
            Record::Provider { addr, .. } if self.shelves.source((*addr).into()).has_quota() => {
                Some(self.hash([&addr.machine()]))
            }
            Record::Provider { addr, .. } => Some(self.hash([&addr.ip, &addr.port.to_be_bytes()])),
            // All that tells two entries apart: anybody can say other sizes of a known name and
            // content, and as many as there are places would keep the true one out.
            Record::Entry(indexed) => {
                let entry = &indexed.entry;
                let (size, name) = (entry.size().to_be_bytes(), entry.name().as_bytes());
                // The name's length, at most 255, keeps what follows it apart from it.
                let len = [name.len() as u8];
                Some(self.hash([entry.content(), &size, &len, name, entry.extra()]))
            }
        };
        // Cursor 0 means the start, and the last slot what is behind the end.
        let first = hash.map(|hash| 1 + hash % (Place::LAST_SLOT - PROBES));
        let probes = first.map_or(0..0, |first| first..first + PROBES);
        let only = hash.is_none().then(|| Place::only(key, kind));
        only.into_iter().chain(probes.map(move |slot| Place::new(key, kind, slot)))
    }

    /// Lets the port that a machine named first make room for the one it names now, if it has taken up
    /// all of its places.
    pub(super) fn make_place(&mut self, now: Instant, key: Id, provider: &Record) {
        if self.place(now, key, provider).is_some() {
            return;
        }
        let machine = |record: &Record| match record {
            Record::Provider { addr, .. } => Some(addr.machine()),
            _ => None,
        };
        let held = self.places(key, provider).filter_map(|at| Some((at, self.shelves.get(at)?)));
        let own = held.filter(|(_, held)| machine(&held.record) == machine(provider));
        if let Some((oldest, _)) = own.min_by_key(|(_, held)| held.expires) {
            self.stats.evicted += 1;
            self.take_out(oldest);
        }
    }

    /// A search entry, with its words ready to be searched for.
    pub(super) fn index(&self, entry: SearchEntry) -> Record {
        let marks = self.marks(entry.words());
        Record::Entry(Box::new(Indexed { entry, marks }))
    }

    pub(super) fn marks(&self, words: impl Iterator<Item = Word>) -> Marks {
        Marks::of(words, |word| self.hash([word]))
    }

    fn hash<const N: usize>(&self, parts: [&[u8]; N]) -> u32 {
        let mut hasher = SipHasher24::new_with_key(&self.order);
        parts.iter().for_each(|part| hasher.write(part));
        // The high half of 64 bits fits 32.
        (hasher.finish() >> 32) as u32
    }

    fn is_lighter(&self, one: SocketAddr, other: SocketAddr) -> bool {
        let bytes = |addr| self.shelves.load(self.shelves.source(addr)).bytes;
        bytes(one) < bytes(other)
    }

    /// Whether the payer's quota has room for the record in place of what lies there.
    fn fits_quota(&self, place: Place, record: &Record, payer: SocketAddr) -> bool {
        let source = self.shelves.source(payer);
        let mut load = self.shelves.load(source);
        load.records += 1;
        load.bytes += record.cost();
        let held =
            self.shelves.get(place).filter(|held| self.shelves.source(held.from()) == source);
        if let Some(held) = held {
            load.records -= 1;
            load.bytes -= held.record.cost();
        }
        let config = &self.config;
        !source.has_quota()
            || load.records <= config.max_source_records && load.bytes <= config.max_source_bytes
    }

    fn crowd_limit(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Provider => self.config.max_providers,
            Kind::Entry => self.config.max_entries,
            Kind::Value | Kind::Signed => u32::MAX,
        }
    }

    /// The heaviest lose until every limit is kept: one record under the key, and in the whole as
    /// many as one record can push out. A newcomer that loses was never there.
    fn make_room(&mut self, key: Id, kind: Kind, newcomer: Option<Place>) {
        loop {
            let total = self.shelves.total();
            let loser = if self.shelves.crowd(key, kind) > self.crowd_limit(kind) {
                self.shelves.heaviest_in_crowd(key, kind)
            } else if total.records > self.config.max_records || total.bytes > self.config.max_bytes
            {
                self.shelves.heaviest().and_then(|source| self.shelves.farthest_of(source))
            } else {
                None
            };
            let Some(loser) = loser else { return };
            if Some(loser) == newcomer {
                self.shelves.remove(loser);
            } else {
                self.stats.evicted += 1;
                self.take_out(loser);
            }
        }
    }

    pub(super) fn drop_expired(&mut self, place: Place) {
        self.stats.expired += 1;
        self.take_out(place);
    }

    fn take_out(&mut self, place: Place) {
        if let Some(held) = self.shelves.remove(place) {
            self.journal_removed(place, &held.record);
        }
    }

    pub(super) const fn refuse<T>(&mut self, refused: Refused) -> Result<T, Refused> {
        let count = match refused {
            Refused::Expired => &mut self.stats.refused_expired,
            Refused::ForeignAddress | Refused::ForeignKey => &mut self.stats.refused_foreign,
            Refused::StaleSequence { .. } => &mut self.stats.refused_stale,
            Refused::CasMismatch { .. } => &mut self.stats.refused_cas,
            Refused::SourceQuota => &mut self.stats.refused_quota,
            Refused::KeyFull | Refused::StoreFull => &mut self.stats.refused_full,
        };
        *count += 1;
        Err(refused)
    }
}
