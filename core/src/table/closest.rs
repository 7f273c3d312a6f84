//! The contacts closest to a point, in exact order and without allocation.
//!
//! Seen from any point, the ranges of the buckets follow each other without gap or overlap:
//! everybody in one is closer than everybody in the next. So the walk goes from bucket to bucket,
//! and only within one is there anything to sort.

use core::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;

use super::{MAX_K, RoutingTable, high_bits};
use crate::bucket::{Bucket, Packed};
use crate::contact::{Capabilities, Contact, Prefix, Scope};
use crate::id::Id;
use crate::sort::sort_few_by_key;

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
    /// Contacts by their distance from `target`, closest first: all of them, should anybody go on
    /// asking.
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
            ranked: [0; MAX_K],
            count: 0,
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
    /// Positions in `bucket`, closest first, as many as `count`.
    ranked: [u8; MAX_K],
    count: usize,
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

    /// Writes them to `out` until it is full; how many that were. The same as taking them one by
    /// one, but every contact is built where it stays: twice as fast.
    pub fn fill(mut self, out: &mut [Contact]) -> usize {
        let mut filled = 0;
        for slot in out {
            let Some(contact) = self.next_packed() else {
                break;
            };
            contact.unpack_into(slot);
            filled += 1;
        }
        filled
    }

    #[inline]
    fn next_packed(&mut self) -> Option<&'a Packed> {
        loop {
            if self.taken < self.count {
                let position = self.ranked[self.taken % MAX_K];
                self.taken += 1;
                return self.bucket.get(usize::from(position));
            }
            self.advance()?;
        }
    }

    /// Goes to the next bucket. None if there is none.
    fn advance(&mut self) -> Option<()> {
        let towards = high_bits(self.target) ^ high_bits(self.table.own);
        let range = self.next_range?;
        let bucket = &self.table.buckets[self.table.locate_distance(range ^ towards)];
        // The range as seen from the target: as wide, and it starts at `range`.
        let width = bucket.end() - bucket.start;
        self.next_range = range.checked_add(width).and_then(|last| last.checked_add(1));
        self.bucket = &bucket.contacts;
        self.taken = 0;
        self.order(bucket);
        Some(())
    }

    /// Puts the positions of the bucket's contacts that count into order.
    fn order(&mut self, bucket: &Bucket) {
        let target = high_bits(self.target);
        let except = self.filter.except.map_or(0, high_bits);
        let mut positions = [0_u8; MAX_K];
        let mut keys = [[i32::MAX; LANES]; MAX_K / LANES];
        let mut count = 0;
        for (position, contact) in bucket.contacts.iter().enumerate().take(MAX_K) {
            let id = high_bits(contact.id);
            if !contact.is_live(self.doubtful_from)
                || !contact.capabilities().include(self.filter.capabilities)
                || (id == except && self.filter.except == Some(contact.id))
            {
                continue;
            }
            // All distances agree in their first bits, as many as the bucket is deep: the 32 behind
            // them decide. Compared as signed numbers, which every processor can do in lanes.
            let distance = (id ^ target).checked_shl(bucket.depth).unwrap_or(0);
            keys[count / LANES][count % LANES] = (distance >> 32) as i32 ^ i32::MIN;
            positions[count] = position as u8;
            count += 1;
        }
        self.count = count;
        if rank(&keys, count, &mut self.ranked) {
            for at in &mut self.ranked[..count] {
                *at = positions[usize::from(*at)];
            }
            return;
        }
        // Ids that agree so far were made to: compare whole distances.
        self.ranked = positions;
        let distance = |at: &u8| self.target.distance(bucket.contacts[usize::from(*at)].id);
        sort_few_by_key(&mut self.ranked[..count], distance);
    }
}

/// How many keys are compared at once.
const LANES: usize = 8;

/// Writes to `ranked` which of the first `count` keys comes first, second, … False if some are
/// equal.
///
/// A key's rank is the number of smaller keys: for the few that a bucket holds, counting them
/// without a branch is faster than sorting.
fn rank(keys: &[[i32; LANES]; MAX_K / LANES], count: usize, ranked: &mut [u8; MAX_K]) -> bool {
    let mut sum = 0;
    for (at, lanes) in keys.iter().enumerate().take(count.div_ceil(LANES)) {
        let mut ranks = [0_i32; LANES];
        for key in keys.as_flattened().iter().take(count) {
            // By index: an iterator costs calls where code is to be small, as in a page.
            let mut lane = 0;
            while lane < LANES {
                ranks[lane] += i32::from(*key < lanes[lane]);
                lane += 1;
            }
        }
        for (lane, rank) in ranks.iter().enumerate().take(count - at * LANES) {
            sum += *rank as usize;
            ranked[*rank as usize % MAX_K] = (at * LANES + lane) as u8;
        }
    }
    // 0 + 1 + 2 + …, or less if two share a rank.
    sum == count * count.saturating_sub(1) / 2
}

impl Iterator for Closest<'_> {
    type Item = Contact;

    #[inline]
    fn next(&mut self) -> Option<Contact> {
        self.next_packed().map(Packed::contact)
    }
}

/// See [`Closest::diverse`].
#[derive(Clone, Debug)]
pub struct Diverse<'a> {
    contacts: Closest<'a>,
    per_prefix: usize,
    seen: ArrayVec<Prefix, MAX_K>,
}

impl Diverse<'_> {
    /// Tells of the first `most` of them that somebody whose address is of scope `asking` may be told
    /// of. The same as taking them one by one, but no contact is built that is then taken to pieces.
    pub(crate) fn name(
        mut self,
        most: usize,
        asking: Option<Scope>,
        mut tell: impl FnMut(Id, SocketAddr, Capabilities),
    ) {
        let mut told = 0;
        while told < most {
            let Some(contact) = self.contacts.next_packed() else { return };
            let ip = contact.ip();
            let scope = Scope::of(ip);
            if !self.passes(ip, scope) {
                continue;
            }
            if scope.zip(asking).is_some_and(|(scope, asking)| scope.may_be_named_by(asking)) {
                tell(contact.id, contact.remote(), contact.capabilities());
                told += 1;
            }
        }
    }

    /// Whether there is room for one more of its prefix.
    #[inline]
    fn passes(&mut self, ip: IpAddr, scope: Option<Scope>) -> bool {
        if !self.contacts.table.limits(scope) {
            return true;
        }
        let prefix = Prefix::of(ip);
        self.seen.iter().filter(|other| **other == prefix).count() < self.per_prefix
            && self.seen.try_push(prefix).is_ok()
    }
}

impl Iterator for Diverse<'_> {
    type Item = Contact;

    fn next(&mut self) -> Option<Contact> {
        loop {
            let contact = self.contacts.next()?;
            let ip = contact.addr().ip();
            if self.passes(ip, Scope::of(ip)) {
                return Some(contact);
            }
        }
    }
}
