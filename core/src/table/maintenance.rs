//! Upkeep: whom to ping, which ranges to look up, and when (Maymounkov and Mazières 2002, sections
//! 2.3 and 4.1).
//!
//! Both deadlines are lower bounds that cost nothing to read: what makes something due earlier
//! moves them; what makes it due later does not, and the next call finds out and sets them right.

use alloc::vec::Vec;
use core::time::Duration;

use super::{LEAST_PATIENCE, RoutingTable, pause_secs};
use crate::bucket::{Bucket, Packed};
use crate::contact::Contact;
use crate::id::Id;
use crate::rng::Rng;
use crate::time::Instant;

/// Where contacts come and go they are doubted sooner: each that answers after a while lets us wait
/// longer for the next by one part in so many, and each that is silent shorter. Balanced where one in
/// two hundred is dead, so that few dead are handed on, and where few die little is sent.
const LIVED: u32 = 256;
const DIED: u32 = 2;

/// Rows of a table's only bucket that are looked up after joining, at most. Whoever was met on the way
/// lies in the first few; only those who invent contacts next to us leave more of them empty.
const ROWS_OF_ONE_BUCKET: usize = 8;

/// When nobody is there to be doubted.
const NEVER: Instant = Instant::from_micros(u64::MAX);

impl RoutingTable {
    /// Whom to ping now; ask again until there is nobody. The outcome is to be told by `verified`
    /// or `failed`; until then nobody else of the same bucket is offered (mistake 10).
    ///
    /// In this order: a replacement for a stale contact or a free place; contacts that nobody has
    /// heard of for as long as they tend to live, that were restored, or that failed and had their
    /// pause; candidates.
    pub fn next_ping(&mut self, now: Instant) -> Option<Contact> {
        if self.ping_at.is_none_or(|at| now < at) {
            return None;
        }
        let tick = self.tick(now);
        let mut next = None;
        for at in 0..self.buckets.len() {
            let quiet_until = self.buckets[at].quiet_until;
            if quiet_until > now {
                sooner(&mut next, quiet_until);
                continue;
            }
            if let Some(contact) = self.choose(at, now, tick, &mut next) {
                self.buckets[at].begin_ping(contact.id, now + self.config.ping_timeout);
                return Some(contact);
            }
        }
        // Stamps end after 136 years, and lie behind us from then on: the host is not to be woken in
        // vain for ever.
        self.ping_at = next.map(|at| if at <= now { now + Duration::from_secs(1) } else { at });
        None
    }

    /// Whom to ping in one bucket, or else when somebody will be due.
    fn choose(
        &mut self,
        at: usize,
        now: Instant,
        tick: u16,
        next: &mut Option<Instant>,
    ) -> Option<Contact> {
        let bucket = &self.buckets[at];
        if (self.has_room(at) || bucket.steady() < bucket.contacts.len())
            && let Some(waiting) = bucket.replacements.first()
        {
            return Some(waiting.contact());
        }
        if bucket.doubt_at <= now {
            let mut first = None;
            for contact in &bucket.contacts {
                let pause = self.pause(contact);
                if contact.is_unconfirmed() && contact.failures() == 0
                    || tick.saturating_sub(contact.stamp) > pause
                {
                    return Some(contact.contact());
                }
                sooner(&mut first, self.clock.moment(contact.stamp, pause + 1));
            }
            // Whoever comes sets it back.
            self.buckets[at].doubt_at = first.unwrap_or(NEVER);
        }
        if self.buckets[at].doubt_at < NEVER {
            sooner(next, self.buckets[at].doubt_at);
        }
        self.choose_candidate(at)
    }

    fn choose_candidate(&mut self, at: usize) -> Option<Contact> {
        while let Some(oldest) =
            self.candidates.iter().position(|it| self.locate(it.contact.id) == at)
        {
            let candidate = self.candidates.remove(oldest).contact;
            if self.has_place(at) && !self.is_crowded(at, &candidate) {
                return Some(candidate.contact());
            }
        }
        None
    }

    /// Seconds after its stamp for which a contact is not pinged.
    fn pause(&self, contact: &Packed) -> u16 {
        match contact.failures() {
            0 => pause_secs(self.patience),
            _ => self.config.pause_after_failures_of(contact),
        }
    }

    /// A contact answered that nobody had heard of for so many seconds: the next are trusted longer.
    pub(super) fn lived(&mut self, unheard: u16) {
        if unheard > pause_secs(self.patience / 2) {
            let longer = self.patience.saturating_add(self.patience / LIVED);
            self.patience = longer.min(self.config.questionable_after);
        }
    }

    /// A contact is silent that nobody had heard of for so many seconds: the next are trusted less.
    pub(super) fn died(&mut self, now: Instant, unheard: u16) {
        if unheard <= pause_secs(self.patience / 2) {
            return;
        }
        let least = self.config.questionable_after / LEAST_PATIENCE;
        self.patience_before = self.patience;
        self.patience = (self.patience - self.patience / DIED).max(least);
        // All are to be doubted earlier than was thought.
        self.buckets.iter_mut().for_each(|bucket| bucket.doubt_at = Instant::EPOCH);
        self.ping_no_later_than(now);
    }

    /// A contact that was silent answers the next question: a datagram was lost and nobody is dead,
    /// so that [`died`](Self::died) is taken back.
    pub(super) fn was_alive(&mut self) {
        self.patience = self.patience.max(self.patience_before);
    }

    /// An id to look up so that a bucket nobody looked through for `refresh_after` learns of
    /// newcomers and loses its dead; ask again until there is none. Counts as refreshed from now.
    ///
    /// Due times are spread over a quarter of the interval, and two refreshes are at least
    /// `refresh_spacing` apart.
    pub fn next_refresh(&mut self, now: Instant, rng: &mut Rng) -> Option<Id> {
        if !self.refreshes() || now < self.refresh_at {
            return None;
        }
        let after = self.config.refresh_after;
        let most_overdue = self.buckets.iter_mut().min_by_key(|b| b.refresh_due(after))?;
        if now < most_overdue.refresh_due(after) {
            self.refresh_at = most_overdue.refresh_due(after);
            return None;
        }
        let id = refresh(most_overdue, self.own, now, rng);
        let next = self.buckets.iter().map(|bucket| bucket.refresh_due(after)).min();
        self.refresh_at = (now + self.config.refresh_spacing).max(next.unwrap_or(now));
        Some(id)
    }

    /// The ids to look up after joining: one for every bucket farther away than `closest`, our
    /// closest neighbour, so that those there learn of us (mistake 23). They count as refreshed
    /// from now.
    ///
    /// A full table of one bucket has nobody beyond it, and there may be more than the k that joining
    /// found: then it is one id for each row that is as far away as the farthest of them, or farther.
    pub fn refresh_beyond(&mut self, now: Instant, closest: Id, rng: &mut Rng) -> Vec<Id> {
        let (own, distance) = (self.own, self.own.distance(closest).high_bits());
        let farther = self.buckets.iter_mut().filter(|bucket| bucket.start > distance);
        let mut ids: Vec<Id> = farther.map(|bucket| refresh(bucket, own, now, rng)).collect();
        if let [only] = self.buckets.as_slice()
            && only.contacts.len() >= self.config.k
        {
            let farthest = only.contacts.iter().map(|it| own.common_prefix(it.id)).min();
            let rows = (0..=farthest.unwrap_or(0)).take(ROWS_OF_ONE_BUCKET);
            ids.extend(rows.map(|row| own.random_beside(row, rng)));
        }
        ids
    }

    /// A lookup for `target` goes on, which refreshes the bucket it falls into.
    pub fn touched(&mut self, now: Instant, target: Id) {
        let at = self.locate(target);
        self.buckets[at].refreshed = now;
    }

    /// When `next_ping` or `next_refresh` may next have something; none while there is nobody to
    /// ask. May be earlier than need be. May change with every call that takes `now`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let refresh_at = self.refreshes().then_some(self.refresh_at);
        match (self.ping_at, refresh_at) {
            (Some(ping), Some(refresh)) => Some(ping.min(refresh)),
            (ping, refresh) => ping.or(refresh),
        }
    }

    /// Whether refreshing makes sense: there is somebody to ask, and we are not offline.
    const fn refreshes(&self) -> bool {
        !self.is_empty() && !self.frozen
    }

    /// The first contact came: nothing was due while there was nobody to ask.
    pub(super) fn start_refreshing(&mut self, now: Instant) {
        self.buckets.iter_mut().for_each(|bucket| bucket.refreshed = now);
        self.refresh_at = now;
    }

    pub(super) fn ping_no_later_than(&mut self, at: Instant) {
        sooner(&mut self.ping_at, at);
    }

    /// The outcome of a ping of `id` is known, if it was given out.
    #[inline]
    pub(super) fn end_ping(&mut self, at: usize, id: Id, now: Instant, quiet_until: Instant) {
        if self.buckets[at].end_ping(id, quiet_until) {
            self.ping_no_later_than(now);
        }
    }
}

/// An id drawn from the bucket's range.
fn refresh(bucket: &mut Bucket, own: Id, now: Instant, rng: &mut Rng) -> Id {
    bucket.refreshed = now;
    // The low 8 bits of a draw.
    bucket.early = rng.next_u32() as u8;
    bucket.first(own).random_within(bucket.depth, rng)
}

/// Moves a deadline to `at` if that is earlier.
fn sooner(deadline: &mut Option<Instant>, at: Instant) {
    if deadline.is_none_or(|deadline| at < deadline) {
        *deadline = Some(at);
    }
}
