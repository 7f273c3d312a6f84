//! The tree of buckets: which one an id falls into, when one splits, who moves up when one empties.
//!
//! Distances from the own id are numbers, so the leaves of the tree are intervals and a sorted
//! vector is the whole tree. The first leaf holds the own id. The distances with equally many
//! leading zeros are a *row*: one bucket in the plain tree, several where the relaxed or the
//! accelerated rule split.

use super::{ROWS, RoutingTable};
use crate::bucket::{Packed, high_bits, pause_secs};
use crate::id::Id;
use crate::time::Instant;

impl RoutingTable {
    /// The bucket whose range holds `id`.
    #[inline]
    pub(super) fn locate(&self, id: Id) -> usize {
        self.locate_distance(high_bits(id) ^ high_bits(self.own))
    }

    #[inline]
    pub(super) fn locate_distance(&self, distance: u64) -> usize {
        let row = distance.leading_zeros() as usize;
        let (end, begin) = (usize::from(self.rows[row]), usize::from(self.rows[row + 1]));
        if end <= begin + 1 {
            return begin;
        }
        let buckets = &self.buckets[begin..end];
        begin + buckets.partition_point(|bucket| bucket.start <= distance) - 1
    }

    /// Brings `rows` up to date after buckets were made.
    pub(super) fn index_rows(&mut self) {
        let buckets = &self.buckets;
        let holding = |distance| buckets.partition_point(|bucket| bucket.start <= distance) - 1;
        for (row, end) in self.rows.iter_mut().enumerate() {
            let index = match row {
                0 => buckets.len(),
                // The distance that follows the row's last one.
                1..ROWS => holding(1 << (ROWS - 1 - row)),
                _ => 0,
            };
            // 64 levels of at most 2^8 buckets each.
            *end = index as u16;
        }
    }

    /// Whether the rules let a full bucket split.
    pub(super) fn may_split(&self, at: usize) -> bool {
        let bucket = &self.buckets[at];
        if bucket.depth >= self.config.max_depth {
            return false;
        }
        bucket.holds_own()
            || !bucket.depth.is_multiple_of(self.config.b)
            || self.is_in_neighbourhood(bucket.start)
    }

    /// The relaxed rule: whether the smallest subtree around the own id that holds `k` contacts
    /// reaches as far as the range that starts at `start`.
    fn is_in_neighbourhood(&self, start: u64) -> bool {
        let k = self.config.k;
        // The subtree that holds `start` but not our own id, and all that is nearer than it.
        let (first, last) =
            (1_u64 << 63 >> start.leading_zeros(), u64::MAX >> start.leading_zeros());
        let mut nearer = 0;
        let mut buckets = self.buckets.iter();
        for bucket in buckets.by_ref().take_while(|bucket| bucket.start < first) {
            nearer += bucket.steady();
            if nearer >= k {
                return false;
            }
        }
        let within = self.buckets.iter().take_while(|bucket| bucket.start <= last);
        within.map(|bucket| bucket.contacts.len()).sum::<usize>() < self.config.neighbourhood * k
    }

    /// Whether a bucket has a free place.
    ///
    /// What the relaxed rule split while the table was young counts as one bucket again once the
    /// neighbourhood has shrunk: nobody has to leave, but the parts do not fill up.
    pub(super) fn has_room(&self, at: usize) -> bool {
        let bucket = &self.buckets[at];
        if bucket.contacts.len() >= self.config.k {
            return false;
        }
        let levels = self.levels_as_part(at);
        if levels == 0 || self.is_in_neighbourhood(bucket.start) {
            return true;
        }
        let rest = u64::MAX.checked_shr(bucket.depth - levels).unwrap_or(0);
        let (first, last) = (bucket.start & !rest, bucket.start | rest);
        let parts = self.buckets.iter().filter(|part| (first..=last).contains(&part.start));
        parts.map(|part| part.contacts.len()).sum::<usize>() < self.config.k
    }

    /// How many levels below the bucket that it would be a part of, had only the other rules split.
    pub(super) fn levels_as_part(&self, at: usize) -> u32 {
        let bucket = &self.buckets[at];
        if bucket.holds_own() {
            return 0;
        }
        let whole = (bucket.start.leading_zeros() + 1).next_multiple_of(self.config.b);
        bucket.depth.saturating_sub(whole)
    }

    pub(super) fn split(&mut self, now: Instant, at: usize) {
        let far = self.buckets[at].split(self.own, self.config.stale_after);
        self.refresh_at = self.refresh_at.min(far.refresh_due(self.config.refresh_after));
        if self.buckets.len() == self.buckets.capacity() {
            self.buckets.reserve_exact(2);
        }
        self.buckets.insert(at + 1, far);
        self.index_rows();
        self.fill(now, at);
        self.fill(now, at + 1);
    }

    /// Whether a newcomer to this bucket would enter.
    pub(super) fn has_place(&self, at: usize) -> bool {
        let bucket = &self.buckets[at];
        self.has_room(at) || bucket.steady() < bucket.contacts.len() || self.may_split(at)
    }

    /// Removes a contact.
    pub(super) fn take(&mut self, at: usize, position: usize) -> Packed {
        let contact = self.buckets[at].contacts.remove(position);
        self.addresses.remove(&contact);
        self.buckets[at].recount(self.config.stale_after);
        contact
    }

    /// Gives the free places of a bucket to replacements, at once or after they have been pinged.
    pub(super) fn fill(&mut self, now: Instant, at: usize) {
        while self.has_room(at) {
            if self.buckets[at].replacements.is_empty() {
                return;
            }
            let Some(waiting) = self.promotable(at, self.clock.stamp(now)) else {
                return self.ping_no_later_than(now);
            };
            let promoted = self.buckets[at].replacements.remove(waiting);
            self.enter(at, promoted);
        }
    }

    /// The newest replacement that may enter without being asked again.
    pub(super) fn promotable(&self, at: usize, tick: u16) -> Option<usize> {
        let lately = pause_secs(self.patience);
        self.buckets[at].replacements.iter().position(|waiting| {
            waiting.is_sound()
                && tick.saturating_sub(waiting.stamp) <= lately
                && self.holder(waiting).is_none()
                && !self.is_crowded(at, waiting)
        })
    }
}
