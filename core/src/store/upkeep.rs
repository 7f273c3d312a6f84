//! What a store does by itself: let records expire, hand them on again, and hand them to newcomers.
//!
//! Republication (Kademlia, section 2.5): a holder that did not receive a record within the last
//! hour stores it again with the k closest, which all count that as receiving it. So one of k
//! holders does the work, and jitter decides which (mistake 15).
//!
//! Hand-over: a new node that is among the k closest to a key gets the record from the one holder
//! that is itself closest to the key: not from all, not from none (mistake 18). What the table knows
//! is asked for every key that could be ours to hand over; whole ranges in which some contact is
//! closer than we are fall away at the first look.

use alloc::boxed::Box;
use core::ops::Bound;
use core::time::Duration;

use super::{Held, Kind, Place, Record, Store};
use crate::id::Id;
use crate::record::{SignedValue, Value};
use crate::time::Instant;

/// A record that others can check, so that a holder may hand it on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Certified {
    /// An immutable value.
    Value(Value),
    /// A signed value.
    Signed(Box<SignedValue>),
}

/// A record to be stored with others.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[must_use]
pub struct Due {
    /// Under which key.
    pub key: Id,
    /// What.
    pub record: Certified,
    /// Time since its publisher last published it: it travels with the record.
    pub age: Duration,
}

/// How far the hand-over to one newcomer has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handover {
    newcomer: Id,
    /// Everything up to here has been looked at.
    behind: Option<Place>,
    done: bool,
}

impl Handover {
    /// Nothing handed over yet.
    #[must_use]
    pub const fn new(newcomer: Id) -> Self {
        Self { newcomer, behind: None, done: false }
    }

    /// To whom.
    #[must_use]
    pub const fn newcomer(&self) -> Id {
        self.newcomer
    }

    /// Whether every record has been looked at.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.done
    }
}

impl Store {
    /// When [`expire`](Self::expire) or [`next_republish`](Self::next_republish) has something to
    /// do. May change after any call that takes `&mut self`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let firsts = [self.shelves.first_expiry(), self.shelves.first_due()];
        firsts.into_iter().flatten().map(|(at, _)| at).min()
    }

    /// When [`expire`](Self::expire) alone has something to do: for a node that has nobody to store
    /// anything with at present. May change after any call that takes `&mut self`.
    #[must_use]
    pub fn poll_expiry(&self) -> Option<Instant> {
        self.shelves.first_expiry().map(|(at, _)| at)
    }

    /// Sweeps up what has expired, at most [`work_per_call`](crate::config::StoreConfig::work_per_call)
    /// records; if there are more, [`poll_timeout`](Self::poll_timeout) stays in the past.
    pub fn expire(&mut self, now: Instant) {
        for _ in 0..self.config.work_per_call.max(1) {
            match self.shelves.first_expiry() {
                Some((at, place)) if at <= now => self.drop_expired(place),
                _ => return,
            }
        }
    }

    /// The next record whose turn it is to be stored again with the k closest to its key. None may
    /// mean that the work of one call is done: [`poll_timeout`](Self::poll_timeout) knows.
    pub fn next_republish(&mut self, now: Instant) -> Option<Due> {
        for _ in 0..self.config.work_per_call.max(1) {
            let (_, place) = self.shelves.first_due().filter(|(at, _)| *at <= now)?;
            let outlives = self.shelves.get(place).is_some_and(|held| self.outlives(now, held));
            let turn = outlives.then(|| self.next_turn(now));
            self.shelves.set_due(place, turn);
            if outlives && let Some(held) = self.shelves.get(place) {
                return self.certified(now, place, held);
            }
        }
        None
    }

    /// The next record that the newcomer gets from us: one to whose key it is among the k closest,
    /// and we are closer than all others. `closest` names the k closest contacts of the table to a
    /// key; the newcomer may be among them. None may mean that the work of one call is done:
    /// [`Handover::is_done`] knows.
    ///
    /// The newcomer gives out a token before it stores, so nothing is marked as handed over here.
    pub fn next_handover<I: IntoIterator<Item = Id>>(
        &self,
        now: Instant,
        handover: &mut Handover,
        k: usize,
        mut closest: impl FnMut(Id) -> I,
    ) -> Option<Due> {
        for _ in 0..self.config.work_per_call.max(1) {
            let start = handover.behind.map_or(Bound::Unbounded, Bound::Excluded);
            let Some((place, held)) = self.shelves.range((start, Bound::Unbounded)).next() else {
                handover.done = true;
                return None;
            };
            handover.behind = Some(*place);
            if !place.kind().certifies_itself() {
                handover.behind = Some(last_of(place.key()));
                continue;
            }
            let (key, newcomer, own) = (place.key(), handover.newcomer, self.shelves.own());
            let before_newcomer = |id: Id| id.distance(key) < newcomer.distance(key);
            let mut closer = usize::from(before_newcomer(own));
            let mut responsible = None;
            for id in closest(key).into_iter().filter(|id| *id != newcomer && *id != own) {
                closer += usize::from(before_newcomer(id));
                if id.distance(key) < own.distance(key) {
                    responsible = Some(id);
                    break;
                }
            }
            if let Some(id) = responsible {
                // Where the two part, this key is on the other's side. So are all keys that agree
                // with it up to there.
                handover.behind = Some(last_of(last_within(key, own.common_prefix(id) + 1)));
                continue;
            }
            if closer < k
                && self.outlives(now, held)
                && let Some(due) = self.certified(now, *place, held)
            {
                return Some(due);
            }
        }
        None
    }

    /// When a record received or handed on now has its next turn: after the full interval, in which
    /// another holder's turn makes ours unnecessary, and up to a quarter more.
    pub(super) fn next_turn(&mut self, now: Instant) -> Instant {
        let interval = self.config.republish;
        now + interval + interval.saturating_sub(self.rng.draw(|rng| rng.jitter(interval)))
    }

    /// Whether a record lives long enough to be handed on: longer than a lookup and its stores take.
    fn outlives(&self, now: Instant, held: &Held) -> bool {
        held.expires.since(now) > self.config.lookup
    }

    fn certified(&self, now: Instant, place: Place, held: &Held) -> Option<Due> {
        let record = match &held.record {
            Record::Value { value, copy: false } => Certified::Value(value.clone()),
            Record::Signed(signed) => Certified::Signed(signed.clone()),
            Record::Value { copy: true, .. } | Record::Provider { .. } | Record::Entry(_) => {
                return None;
            }
        };
        Some(Due { key: place.key(), record, age: self.age(now, held) })
    }
}

/// The last place there can be under a key.
const fn last_of(key: Id) -> Place {
    Place::new(key, Kind::LAST, Place::LAST_SLOT)
}

/// The last key that shares the first `prefix` bits with `key`.
fn last_within(key: Id, prefix: u32) -> Id {
    let mut bytes = *key.as_bytes();
    for (byte, first) in bytes.iter_mut().zip((0_u32..).step_by(8)) {
        // Of each byte the bits behind the prefix.
        *byte |= 0xff_u8.checked_shr(prefix.saturating_sub(first)).unwrap_or(0);
    }
    Id::new(bytes)
}
