//! The contacts closest to a point, in exact order and without allocation.
//!
//! Seen from any point, the ranges of the buckets follow each other without gap or overlap: everybody
//! in one is closer than everybody in the next. So the walk goes from bucket to bucket, and only within
//! one is there anything to sort.

use arrayvec::ArrayVec;

use super::{MAX_K, RoutingTable, high_bits};
use crate::bucket::{Bucket, Packed};
use crate::contact::{Capabilities, Contact, Prefix};
use crate::id::Id;

/// Which contacts count. The default: every live one.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct Filter {
    /// Only those that say they can do all of this.
    pub capabilities: Capabilities,
    /// Not this one: whoever asks knows itself.
    pub except: Option<Id>,
    /// Also those that are not to be handed on: restored and not yet asked, or failing. For our own
    /// lookups, whose answers show what they are worth.
    pub doubtful: bool,
}

impl Filter {
    /// What to tell `asker`: live contacts other than itself.
    #[must_use]
    pub const fn answering(asker: Id) -> Self {
        Self { capabilities: Capabilities::NONE, except: Some(asker), doubtful: false }
    }

    /// The same, but only contacts that can do all of `capabilities`.
    #[must_use]
    pub const fn capable(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// The same, and contacts that are not to be handed on.
    #[must_use]
    pub const fn or_doubtful(mut self) -> Self {
        self.doubtful = true;
        self
    }
}

impl RoutingTable {
    /// Contacts by their distance from `target`, closest first: all of them, should anybody go on asking.
    ///
    /// The first `k` are the `k` closest the table holds, whatever buckets they are in (mistake 8).
    #[must_use]
    #[inline]
    pub fn closest(&self, target: Id, filter: Filter) -> Closest<'_> {
        Closest {
            table: self,
            target,
            filter,
            doubtful_from: if filter.doubtful { u8::MAX } else { self.config.doubtful_after },
            bucket: &[],
            order: ArrayVec::new(),
            taken: 0,
            next_range: Some(0),
        }
    }
}

/// See [`RoutingTable::closest`].
#[derive(Clone, Debug)]
pub struct Closest<'a> {
    table: &'a RoutingTable,
    target: Id,
    filter: Filter,
    doubtful_from: u8,
    bucket: &'a [Packed],
    /// Positions in `bucket`, closest first.
    order: ArrayVec<u8, MAX_K>,
    taken: usize,
    /// The distance from the target at which the next bucket's range starts; none after the last.
    next_range: Option<u64>,
}

impl<'a> Closest<'a> {
    /// The same, with at most `per_prefix` contacts of one address prefix, where the table limits
    /// prefixes; of limited addresses at most 64 in all.
    #[must_use]
    pub const fn diverse(self, per_prefix: usize) -> Diverse<'a> {
        Diverse { contacts: self, per_prefix, seen: ArrayVec::new_const() }
    }

    /// Goes to the next bucket. None if there is none.
    fn advance(&mut self) -> Option<()> {
        let towards = high_bits(self.target) ^ high_bits(self.table.own);
        let range = self.next_range?;
        let bucket = &self.table.buckets[self.table.locate_distance(range ^ towards)];
        // The range as seen from the target: as wide, and it starts at `range`.
        self.next_range =
            (bucket.end() - bucket.start).checked_add(1).and_then(|width| range.checked_add(width));
        self.bucket = &bucket.contacts;
        self.taken = 0;
        self.sort(bucket);
        Some(())
    }

    /// Sorts the bucket's contacts that count.
    fn sort(&mut self, bucket: &Bucket) {
        const INDEX: u64 = MAX_K as u64 - 1;
        let target = high_bits(self.target);
        // All distances agree in their first bits, as many as the bucket is deep: the next 58 decide, and
        // the position takes the place of the last 6.
        let mut keys: ArrayVec<u64, MAX_K> = ArrayVec::new();
        for (position, contact) in bucket.contacts.iter().enumerate().take(MAX_K) {
            if self.counts(contact) {
                let distance = high_bits(contact.id) ^ target;
                let distance = distance.checked_shl(bucket.depth).unwrap_or(0);
                keys.push(distance & !INDEX | position as u64);
            }
        }
        keys.sort_unstable();
        self.order = keys.iter().map(|key| (key & INDEX) as u8).collect();
        if keys.is_sorted_by(|a, b| a & !INDEX < b & !INDEX) {
            return;
        }
        // Ids that agree so far were made to: compare whole distances.
        let contacts = &bucket.contacts;
        self.order.sort_unstable_by_key(|at| self.target.distance(contacts[usize::from(*at)].id));
    }

    fn counts(&self, contact: &Packed) -> bool {
        contact.is_live(self.doubtful_from)
            && contact.capabilities().include(self.filter.capabilities)
            && self.filter.except != Some(contact.id)
    }
}

impl Iterator for Closest<'_> {
    type Item = Contact;

    fn next(&mut self) -> Option<Contact> {
        loop {
            if let Some(position) = self.order.get(self.taken) {
                self.taken += 1;
                return self.bucket.get(usize::from(*position)).map(Packed::contact);
            }
            self.advance()?;
        }
    }
}

/// See [`Closest::diverse`].
#[derive(Clone, Debug)]
pub struct Diverse<'a> {
    contacts: Closest<'a>,
    per_prefix: usize,
    seen: ArrayVec<Prefix, MAX_K>,
}

impl Iterator for Diverse<'_> {
    type Item = Contact;

    fn next(&mut self) -> Option<Contact> {
        let Self { contacts, per_prefix, seen } = self;
        let table = contacts.table;
        contacts.find(|contact| {
            let ip = contact.addr().ip();
            if !table.is_limited(ip) {
                return true;
            }
            let prefix = Prefix::of(ip);
            seen.iter().filter(|other| **other == prefix).count() < *per_prefix
                && seen.try_push(prefix).is_ok()
        })
    }
}
