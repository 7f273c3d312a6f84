//! One bucket: the contacts of one range of distances, and who waits for a place among them
//! (Maymounkov and Mazières 2002, sections 2.2 and 4.1).
//!
//! Contacts stand least recently seen first, so that the front is whom to doubt. Behind a full
//! bucket wait a few replacements, newest first; they are never handed on. A bucket knows its range
//! and its order; who may enter is for the table to say.

mod packed;

use alloc::vec::Vec;
use core::time::Duration;

pub(crate) use packed::{AddressKey, Clock, Packed, pause_secs};

use crate::contact::Prefix;
use crate::id::Id;
use crate::time::Instant;

/// The contacts whose distance from the own id starts with the `depth` first bits of `start`.
///
/// Ranges are told apart by the 64 most significant bits of the distance, which is as deep as a
/// table splits.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    /// The smallest distance of the range, its 64 most significant bits.
    pub(crate) start: u64,
    pub(crate) depth: u32,
    /// How many contacts are stale; see [`Bucket::recount`].
    stale: u8,
    /// What part of a quarter of the refresh interval this bucket is early by, in 256ths.
    pub(crate) early: u8,
    /// Least recently seen first.
    pub(crate) contacts: Vec<Packed>,
    /// Newest first.
    pub(crate) replacements: Vec<Packed>,
    /// When a lookup last went through the range.
    pub(crate) refreshed: Instant,
    /// Whom `next_ping` gave out last: the 64 most significant bits of its id.
    pinged: u64,
    /// Until when nobody else of this bucket is pinged.
    pub(crate) quiet_until: Instant,
    /// No contact is to be doubted before: until then nobody need look at them. Set back by what
    /// may bring the moment nearer, a contact that comes or fails.
    pub(crate) doubt_at: Instant,
}

impl Bucket {
    /// The bucket of the whole space.
    pub(crate) const fn whole(refreshed: Instant) -> Self {
        Self {
            start: 0,
            depth: 0,
            stale: 0,
            early: 0,
            contacts: Vec::new(),
            replacements: Vec::new(),
            refreshed,
            pinged: 0,
            quiet_until: Instant::EPOCH,
            doubt_at: Instant::EPOCH,
        }
    }

    /// Whether the range holds our own id.
    pub(crate) const fn holds_own(&self) -> bool {
        self.start == 0
    }

    /// The largest distance of the range, its 64 most significant bits.
    pub(crate) const fn end(&self) -> u64 {
        match u64::MAX.checked_shr(self.depth) {
            Some(rest) => self.start | rest,
            None => self.start,
        }
    }

    /// The lowest id of the range around `own`.
    pub(crate) fn first(&self, own: Id) -> Id {
        let shared = !u64::MAX.checked_shr(self.depth).unwrap_or(0);
        let high = ((high_bits(own) ^ self.start) & shared).to_be_bytes();
        let mut bytes = [0; Id::LEN];
        bytes.iter_mut().zip(high).for_each(|(byte, high)| *byte = high);
        Id::new(bytes)
    }

    /// Contacts that are not stale.
    pub(crate) fn steady(&self) -> usize {
        self.contacts.len() - usize::from(self.stale)
    }

    /// Counts the stale contacts again, after anything that may have changed their number.
    pub(crate) fn recount(&mut self, stale_after: u8) {
        let stale = self.contacts.iter().filter(|contact| contact.is_stale(stale_after)).count();
        // A bucket has at most 64 contacts.
        self.stale = stale as u8;
    }

    /// The least recently seen of the stale contacts.
    pub(crate) fn stalest(&self, stale_after: u8) -> Option<usize> {
        if self.stale == 0 {
            return None;
        }
        self.contacts.iter().position(|contact| contact.is_stale(stale_after))
    }

    #[inline]
    pub(crate) fn position(&self, id: Id) -> Option<usize> {
        let high = high_bits(id);
        // The first 8 bytes tell almost all apart.
        self.contacts.iter().position(|other| high_bits(other.id) == high && other.id == id)
    }

    pub(crate) fn remove_replacement(&mut self, id: Id) {
        self.replacements.retain(|waiting| waiting.id != id);
    }

    /// Contacts of one address prefix.
    pub(crate) fn count_prefix(&self, prefix: Prefix) -> usize {
        self.contacts.iter().filter(|contact| contact.prefix() == prefix).count()
    }

    /// Makes the contact at `position` the most recently seen.
    #[inline]
    pub(crate) fn move_to_back(&mut self, position: usize) {
        if let Some(behind) = self.contacts.get_mut(position..)
            && behind.len() > 1
        {
            behind.rotate_left(1);
        }
    }

    /// Adds a contact behind all that were seen before it; there will be at most `most`.
    pub(crate) fn insert(&mut self, contact: Packed, most: usize) {
        let before = self.contacts.iter().rposition(|other| other.stamp <= contact.stamp);
        // Not by doubling: half of the memory of an idle node would be room for nobody.
        if self.contacts.len() == self.contacts.capacity() {
            self.contacts.reserve_exact(most.saturating_sub(self.contacts.len()).clamp(1, 4));
        }
        self.contacts.insert(before.map_or(0, |before| before + 1), contact);
    }

    /// Puts a verified contact in front of those that wait; the oldest beyond `most` leave.
    pub(crate) fn wait(&mut self, contact: Packed, most: usize) {
        self.replacements.truncate(most.saturating_sub(1));
        if self.replacements.len() == self.replacements.capacity() {
            self.replacements.reserve_exact(1);
        }
        self.replacements.insert(0, contact);
    }

    /// Splits off the farther half. `own` is the id that distances are counted from.
    pub(crate) fn split(&mut self, own: Id, stale_after: u8) -> Self {
        let half = 1_u64 << 63 >> self.depth;
        let farther = |contact: &mut Packed| own.distance(contact.id).high_bits() & half != 0;
        self.depth += 1;
        let start = self.start | half;
        // Any number will do that differs from bucket to bucket and from node to node: the top 8
        // bits of a multiplicative hash.
        let early = (start ^ high_bits(own)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        let mut far = Self {
            start,
            early: early as u8,
            contacts: self.contacts.extract_if(.., farther).collect(),
            replacements: self.replacements.extract_if(.., farther).collect(),
            ..*self
        };
        for part in [&mut *self, &mut far] {
            part.contacts.shrink_to_fit();
            part.replacements.shrink_to_fit();
            part.recount(stale_after);
        }
        far
    }

    /// Gives `id` out to be pinged: nobody else of this bucket is, until the outcome is known.
    pub(crate) const fn begin_ping(&mut self, id: Id, until: Instant) {
        self.pinged = high_bits(id);
        self.quiet_until = until;
    }

    /// Notes the outcome of a ping: from `quiet_until` on the next may go. False if it was not `id`
    /// that was pinged.
    #[inline]
    pub(crate) fn end_ping(&mut self, id: Id, quiet_until: Instant) -> bool {
        let pinged = self.quiet_until > Instant::EPOCH && self.pinged == high_bits(id);
        if pinged {
            self.quiet_until = quiet_until;
        }
        pinged
    }

    /// When the bucket is to be refreshed.
    pub(crate) fn refresh_due(&self, refresh_after: Duration) -> Instant {
        // 1024 = 4 · 256: a quarter in 256ths.
        self.refreshed + (refresh_after - (refresh_after / 1024).saturating_mul(self.early.into()))
    }
}

/// The 64 most significant bits of an id.
#[inline]
pub(crate) const fn high_bits(id: Id) -> u64 {
    match id.as_bytes().first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => 0,
    }
}
