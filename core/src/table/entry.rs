//! What can be read of a table: contacts with their history, buckets, and what is saved of them.

use core::time::Duration;

use super::{RoutingTable, pause_secs};
use crate::bucket::{Bucket, Clock, Packed};
use crate::contact::Contact;
use crate::id::Id;
use crate::time::Instant;

/// A contact and what the table knows of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Whom and where.
    pub contact: Contact,
    /// When it was last seen or, with failures, when the last of them was counted. Whole seconds,
    /// not before the epoch; what is more than nine hours ago may be told as nine hours ago.
    pub seen: Instant,
    /// How long its last answer took, within an eighth.
    pub rtt: Option<Duration>,
    /// How often it failed to answer since it last answered; at most 15.
    pub failures: u8,
    /// Whether it may be handed on: it answered when it was last asked. A replacement never is.
    pub live: bool,
}

/// One bucket, to look at.
#[derive(Clone, Copy, Debug)]
pub struct BucketView<'a> {
    table: &'a RoutingTable,
    bucket: &'a Bucket,
}

impl<'a> BucketView<'a> {
    /// How many leading bits all ids of the range share: 0 is the whole space.
    #[must_use]
    pub const fn depth(&self) -> u32 {
        self.bucket.depth
    }

    /// An id with the leading bits of the range, zeros behind them: its lowest id.
    #[must_use]
    pub fn first(&self) -> Id {
        self.bucket.first(self.table.own)
    }

    /// Whether `id` lies in the range.
    #[must_use]
    pub fn covers(&self, id: Id) -> bool {
        let distance = self.table.own.distance(id).high_bits();
        (self.bucket.start..=self.bucket.end()).contains(&distance)
    }

    /// Its contacts, least recently seen first.
    pub fn contacts(&self) -> impl ExactSizeIterator<Item = Entry> + use<'a> {
        let table = self.table;
        self.bucket.contacts.iter().map(|contact| table.entry(contact))
    }

    /// Who waits for a place, newest first.
    pub fn replacements(&self) -> impl ExactSizeIterator<Item = Entry> + use<'a> {
        let table = self.table;
        let waiting = self.bucket.replacements.iter();
        waiting.map(|contact| Entry { live: false, ..table.entry(contact) })
    }

    /// When a lookup last went through the range, or when the range was made.
    #[must_use]
    pub const fn refreshed(&self) -> Instant {
        self.bucket.refreshed
    }
}

/// A contact as it is saved over a restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SavedContact {
    /// Whom and where.
    pub contact: Contact,
    /// How long ago it was last seen; whole seconds, told up to nine hours.
    pub age: Duration,
    /// How long its last answer took.
    pub rtt: Option<Duration>,
}

impl RoutingTable {
    /// What the table knows of a contact; none if it is not in a bucket.
    #[must_use]
    pub fn get(&self, id: Id) -> Option<Entry> {
        let bucket = &self.buckets[self.locate(id)];
        bucket.position(id).map(|position| self.entry(&bucket.contacts[position]))
    }

    /// All contacts, nearest bucket first and within it least recently seen first.
    pub fn iter(&self) -> impl Iterator<Item = Entry> {
        self.buckets().flat_map(|bucket| bucket.contacts())
    }

    /// The buckets, nearest first.
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = BucketView<'_>> {
        self.buckets.iter().map(move |bucket| BucketView { table: self, bucket })
    }

    /// The contacts worth saving: all but the stale.
    pub fn export(&self, now: Instant) -> impl Iterator<Item = SavedContact> {
        let contacts = self.buckets.iter().flat_map(|bucket| &bucket.contacts);
        let contacts = contacts.filter(|contact| !contact.is_stale(self.config.stale_after));
        let tick = self.clock.stamp(now);
        contacts.map(move |contact| SavedContact {
            contact: contact.contact(),
            age: Duration::from_secs(tick.saturating_sub(contact.stamp).into()),
            rtt: contact.rtt(),
        })
    }

    /// Takes contacts back, saved `elapsed` ago.
    ///
    /// They have their places again and serve our own lookups ([`Filter::doubtful`]), but nobody
    /// knows whether they still live: they are pinged before any other, are not handed on until
    /// they answer, and give way at the first failure.
    ///
    /// [`Filter::doubtful`]: super::Filter::doubtful
    pub fn restore(
        &mut self,
        now: Instant,
        elapsed: Duration,
        saved: impl IntoIterator<Item = SavedContact>,
    ) {
        let tick = self.tick(now);
        for SavedContact { contact, age, rtt } in saved {
            let stamp = tick.saturating_sub(pause_secs(age.saturating_add(elapsed)));
            let restored = Packed::new(&contact, stamp, rtt).unconfirmed();
            if contact.id != self.own && self.get(contact.id).is_none() {
                self.readmit(now, restored);
            }
        }
    }

    fn readmit(&mut self, now: Instant, restored: Packed) {
        if self.holder(&restored).is_some() {
            return;
        }
        if self.is_empty() {
            self.start_refreshing(now);
        }
        let at = self.locate(restored.id);
        self.forget_waiting(at, restored.id);
        let kin = self.addresses.around(&restored).kin;
        self.place(now, restored, kin);
        self.ping_no_later_than(now);
    }

    fn entry(&self, contact: &Packed) -> Entry {
        Entry {
            contact: contact.contact(),
            seen: self.clock.moment(contact.stamp, 0),
            rtt: contact.rtt(),
            failures: contact.failures(),
            live: contact.is_live(self.config.doubtful_after),
        }
    }
}

/// Ages are told as far back as stamps reach.
const _: () = assert!(Clock::REACH as u32 >= 9 * 3_600);
