//! Records as a host keeps them: one by one as they change, or all at once.
//!
//! Ages are durations, since the next start has another epoch. Every record carries a checksum, so
//! that what a disk damaged is noticed, dropped and named, and the rest goes on. The first byte of
//! every form is its version.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Held, Origin, Place, Record, Refused, Store};
use crate::contact::PackedAddr;
use crate::id::Id;
use crate::record::{SearchEntry, SignedValue, Transports, Value};
use crate::time::Instant;

/// The version of both forms.
const VERSION: u8 = 1;
/// Bytes of a record's checksum (BLAKE3, cut): against damage, not against an attacker, who could
/// write the whole file anew.
const CHECKSUM: usize = 8;

/// What a record is called in a host's own storage: the same name means the same place, so that
/// the newer one overwrites. Stays the same over restarts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName([u8; Self::LEN]);

impl RecordName {
    /// Length in bytes: key, kind, and what tells apart the records of one key.
    pub const LEN: usize = Id::LEN + 1 + 16;

    /// The bytes; names of one key begin with it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    fn of(place: Place, record: &Record) -> Self {
        let mut hasher = blake3::Hasher::new();
        match record {
            Record::Value { .. } | Record::Signed(_) => {}
            Record::Provider { addr: PackedAddr { ip, port }, .. } => {
                hasher.update(ip).update(&port.to_be_bytes());
            }
            Record::Entry(indexed) => {
                let entry = &indexed.entry;
                hasher.update(entry.content()).update(&entry.size().to_be_bytes());
                // The name's length, at most 255, keeps what follows it apart from it.
                hasher.update(&[entry.name().len() as u8]);
                hasher.update(entry.name().as_bytes()).update(entry.extra());
            }
        }
        let hash = hasher.finalize();
        let key = place.key();
        let parts = [key.as_bytes().as_slice(), &[place.kind() as u8], hash.as_bytes()];
        let mut name = [0; Self::LEN];
        for (to, from) in name.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        Self(name)
    }
}

impl fmt::Debug for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a host writes down so that acknowledged records survive its end.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[must_use]
pub enum StoreChange {
    /// Keep this, with the time at which it was written: [`Store::import_record`] wants to know how
    /// long ago that was.
    Stored {
        /// Under which name.
        name: RecordName,
        /// What.
        record: Vec<u8>,
    },
    /// Drop what has this name.
    Removed {
        /// Which name.
        name: RecordName,
    },
    /// More changes than the journal holds came before this: replace everything by
    /// [`Store::export`], or by the changes from here on and what they leave out is lost.
    Lost,
}

/// What an import brought back.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Imported {
    /// Records stored.
    pub stored: u32,
    /// Records that meanwhile got too old.
    pub expired: u32,
    /// Records that today's caps and quotas have no room for.
    pub refused: u32,
    /// Records that are not what was written.
    pub damaged: u32,
}

/// The export was written by a later version; nothing of it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewerVersion(pub u8);

impl fmt::Display for NewerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "written in form {}, this version knows forms up to {VERSION}", self.0)
    }
}

impl core::error::Error for NewerVersion {}

/// Why a record was not brought back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BadRecord {
    /// Not what was written, or not a record.
    Damaged,
    /// Written by a later version.
    Newer(NewerVersion),
    /// Read, and refused: too old by now, or no room.
    Refused(Refused),
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("damaged"),
            Self::Newer(newer) => newer.fmt(f),
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl core::error::Error for BadRecord {}

impl Store {
    /// The next change to make durable. Empty unless
    /// [`StoreConfig::max_changes`](crate::config::StoreConfig::max_changes) is set. A host that
    /// must not forget what it acknowledged writes these down before it sends.
    pub fn poll_change(&mut self) -> Option<StoreChange> {
        self.changes.pop_front()
    }

    /// All records but path copies, with their ages.
    #[must_use]
    pub fn export(&self, now: Instant) -> Vec<u8> {
        let mut out = alloc::vec![VERSION];
        for (place, held) in self.shelves.iter() {
            if held.record.is_copy() || held.expires <= now {
                continue;
            }
            let record = self.write(now, *place, held);
            // A record has at most 1.2 kB.
            out.extend_from_slice(&(record.len() as u16).to_be_bytes());
            out.extend_from_slice(&record);
        }
        out
    }

    /// Adds what [`export`](Self::export) wrote `elapsed` ago. Damaged records are counted and left
    /// out; where even the lengths are damaged, what follows is lost and counts as one.
    ///
    /// # Errors
    /// Written by a later version.
    pub fn import(
        &mut self,
        now: Instant,
        elapsed: Duration,
        bytes: &[u8],
    ) -> Result<Imported, NewerVersion> {
        let mut imported = Imported::default();
        let Some((version, mut rest)) = bytes.split_first() else {
            return Ok(Imported { damaged: 1, ..imported });
        };
        if *version > VERSION {
            return Err(NewerVersion(*version));
        }
        while !rest.is_empty() {
            let record = rest
                .split_first_chunk()
                .and_then(|(len, behind)| behind.split_at_checked(u16::from_be_bytes(*len).into()));
            let Some((record, behind)) = record else {
                imported.damaged += 1;
                break;
            };
            rest = behind;
            match self.import_record(now, elapsed, record) {
                Ok(()) => imported.stored += 1,
                Err(BadRecord::Refused(Refused::Expired)) => imported.expired += 1,
                Err(BadRecord::Refused(_)) => imported.refused += 1,
                Err(BadRecord::Damaged | BadRecord::Newer(_)) => imported.damaged += 1,
            }
        }
        Ok(imported)
    }

    /// Adds one record of [`StoreChange::Stored`] that was written `elapsed` ago. It is not
    /// journalled again; what it pushes out is. Signatures were checked before it was written.
    ///
    /// # Errors
    /// See [`BadRecord`]; what is not brought back can be dropped.
    pub fn import_record(
        &mut self,
        now: Instant,
        elapsed: Duration,
        bytes: &[u8],
    ) -> Result<(), BadRecord> {
        let (key, record, origin) = self.read(bytes)?;
        let origin = Origin { age: origin.age.saturating_add(elapsed), ..origin };
        let (_, place) = self.settle(now, key, record, origin).map_err(BadRecord::Refused)?;
        if self.shelves.get(place).is_some_and(|held| held.due().is_some()) {
            // Who starts again does not hand on everything in the same second (mistake 15).
            let interval = u64::try_from(self.config.republish.as_micros()).unwrap_or(u64::MAX);
            let turn = now + Duration::from_micros(self.rng.draw(|rng| rng.below(interval)));
            self.shelves.set_due(place, Some(turn));
        }
        Ok(())
    }

    pub(super) fn journal_stored(&mut self, now: Instant, place: Place) {
        if self.config.max_changes == 0 {
            return;
        }
        let Some(held) = self.shelves.get(place).filter(|held| !held.record.is_copy()) else {
            return;
        };
        let name = RecordName::of(place, &held.record);
        let record = self.write(now, place, held);
        self.journal(StoreChange::Stored { name, record });
    }

    pub(super) fn journal_removed(&mut self, place: Place, record: &Record) {
        if self.config.max_changes > 0 && !record.is_copy() {
            self.journal(StoreChange::Removed { name: RecordName::of(place, record) });
        }
    }

    fn journal(&mut self, change: StoreChange) {
        if self.changes.len() >= self.config.max_changes as usize {
            self.changes.clear();
            self.changes.push_back(StoreChange::Lost);
        }
        self.changes.push_back(change);
    }

    fn write(&self, now: Instant, place: Place, held: &Held) -> Vec<u8> {
        let PackedAddr { ip: from_ip, port: from_port } = held.from().into();
        let age = u64::try_from(self.age(now, held).as_micros()).unwrap_or(u64::MAX);
        let saved = Saved {
            key: *place.key().as_bytes(),
            from_ip,
            from_port,
            age,
            body: SavedBody::of(&held.record),
        };
        let mut bytes = alloc::vec![VERSION];
        // Writing to memory cannot fail, and nothing here has a length that postcard cannot say.
        bytes.extend(postcard::to_allocvec(&saved).unwrap_or_default());
        let hash = blake3::hash(&bytes);
        bytes.extend(hash.as_bytes().iter().take(CHECKSUM));
        bytes
    }

    fn read(&self, bytes: &[u8]) -> Result<(Id, Record, Origin), BadRecord> {
        let (said, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(BadRecord::Damaged)?;
        if !blake3::hash(said).as_bytes().starts_with(checksum) {
            return Err(BadRecord::Damaged);
        }
        let (version, body) = said.split_first().ok_or(BadRecord::Damaged)?;
        if *version > VERSION {
            return Err(BadRecord::Newer(NewerVersion(*version)));
        }
        let (saved, rest): (Saved<'_>, _) =
            postcard::take_from_bytes(body).map_err(|_| BadRecord::Damaged)?;
        let key = Id::new(saved.key);
        let record = saved.body.into_record(self).filter(|record| {
            rest.is_empty()
                && match record {
                    Record::Value { value, .. } => value.key() == key,
                    Record::Signed(signed) => signed.key() == key,
                    Record::Entry(it) => it.entry.words().any(|word| word.key() == key),
                    Record::Provider { .. } => true,
                }
        });
        let origin = Origin {
            from: PackedAddr { ip: saved.from_ip, port: saved.from_port }.into(),
            age: Duration::from_micros(saved.age),
        };
        Ok((Id::new(saved.key), record.ok_or(BadRecord::Damaged)?, origin))
    }
}

/// Version 1 of a record. A later version gets a type of its own; this one stays as it is.
#[derive(Serialize, Deserialize)]
struct Saved<'a> {
    key: [u8; 20],
    from_ip: [u8; 16],
    from_port: u16,
    /// Microseconds.
    age: u64,
    #[serde(borrow)]
    body: SavedBody<'a>,
}

#[derive(Serialize, Deserialize)]
enum SavedBody<'a> {
    Value(&'a [u8]),
    Signed {
        public_key: [u8; 32],
        salt: &'a [u8],
        seq: u64,
        value: &'a [u8],
        signature: &'a [u8],
        extra: &'a [u8],
    },
    Provider {
        ip: [u8; 16],
        port: u16,
        transports: u8,
    },
    Entry {
        name: Cow<'a, str>,
        size: u64,
        content: [u8; 32],
        extra: &'a [u8],
    },
}

impl<'a> SavedBody<'a> {
    fn of(record: &'a Record) -> Self {
        match record {
            Record::Value { value, .. } => Self::Value(value.as_bytes()),
            Record::Signed(signed) => Self::Signed {
                public_key: *signed.public_key(),
                salt: signed.salt(),
                seq: signed.seq(),
                value: signed.value(),
                signature: signed.signature(),
                extra: signed.extra(),
            },
            Record::Provider { addr: PackedAddr { ip, port }, transports } => {
                Self::Provider { ip: *ip, port: *port, transports: transports.0 }
            }
            Record::Entry(indexed) => Self::Entry {
                name: Cow::Borrowed(indexed.entry.name()),
                size: indexed.entry.size(),
                content: *indexed.entry.content(),
                extra: indexed.entry.extra(),
            },
        }
    }

    fn into_record(self, store: &Store) -> Option<Record> {
        Some(match self {
            Self::Value(bytes) => {
                Record::Value { value: Value::of(store.form, bytes).ok()?, copy: false }
            }
            Self::Signed { public_key, salt, seq, value, signature, extra } => {
                let signature = signature.try_into().ok()?;
                let form = store.form;
                let signed = SignedValue::of(form, public_key, salt, seq, value, signature, extra);
                Record::Signed(Box::new(signed.ok()?))
            }
            Self::Provider { ip, port, transports } => Record::Provider {
                addr: PackedAddr { ip, port },
                transports: Transports(transports),
            },
            Self::Entry { name, size, content, extra } => {
                let name = String::from(name);
                store.index(SearchEntry::with_extra(name, size, content, extra).ok()?)
            }
        })
    }
}
