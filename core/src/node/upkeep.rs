//! What happens of its own accord: timeouts, refreshes, pings, renewals, republication, expiry.
//!
//! One deadline for all of it ([`Node::poll_timeout`]): the earliest of what the parts say. Each
//! call does a bounded amount of work and leaves the rest to a deadline that has already come.

use alloc::boxed::Box;
use core::time::Duration;

use super::Node;
use super::operation::{Kind, ONLY_TOKEN, Purpose, Whose};
use crate::config::Role;
use crate::contact::{Contact, Family};
use crate::record::{Form, Item};
use crate::sorted::Set;
use crate::store::{Certified, Handover};
use crate::table::{Entry, Filter};
use crate::time::Instant;
use crate::wire::{Method, Query};

/// Pieces of one kind of upkeep done in one call.
const AT_ONCE: usize = 32;

/// Time between two records handed over to newcomers: with 65,536 records and one newcomer a second
/// a holder still sends no more than fifty of them a second.
const HANDOVER_SPACING: Duration = Duration::from_millis(20);

impl Node {
    pub(super) fn keep_up(&mut self, now: Instant) {
        self.expire_requests(now, None);
        self.end_overdue(now);
        if self.offline.is() {
            self.knock(now);
        } else {
            self.ping_contacts(now);
            self.refresh_buckets(now);
            self.renew(now);
            self.republish(now);
            self.hand_over(now);
            self.check_reachability(now);
        }
        self.store.expire(now);
        self.feed_starved(now);
    }

    /// The earliest deadline of all parts.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let awake = !self.offline.is();
        // What nothing can be begun for must not wake the host; it is looked at when there is room.
        let stores = awake && self.has_room_for_upkeep();
        // Whoever was given a role has nothing to find out.
        let finds_role = awake && self.config.role == Role::Auto;
        let first = |set: &Set<(Instant, u64)>| set.first().map(|(due, _)| *due);
        let all = [
            self.requests.poll_timeout(),
            first(&self.alarms),
            if stores { self.store.poll_timeout() } else { self.store.poll_expiry() },
            (!self.handovers.is_empty()).then_some(self.next_handover).filter(|_| awake),
            self.next_renewal().filter(|_| awake),
            (!self.starved.is_empty() && !self.requests.is_full()).then_some(self.now),
            self.reach.poll_timeout().filter(|_| finds_role),
            self.table(Family::V4).poll_timeout().filter(|_| awake),
            self.table(Family::V6).poll_timeout().filter(|_| awake),
            self.offline.poll_timeout(),
        ];
        // Asked after every datagram, and a minimum of numbers takes no branch.
        let never = u64::MAX;
        let least = all.iter().map(|due| due.map_or(never, Instant::as_micros)).min();
        least.filter(|due| *due != never).map(Instant::from_micros)
    }

    fn end_overdue(&mut self, now: Instant) {
        while let Some(&(alarm, id)) = self.alarms.first()
            && alarm <= now
        {
            self.alarms.remove(&(alarm, id));
            let Some(operation) = self.operations.get_mut(&id) else { continue };
            if alarm == operation.deadline {
                let outcome = operation.overdue();
                self.finish(now, id, outcome);
                continue;
            }
            operation.alarm = operation.deadline;
            self.alarms.insert((operation.alarm, id));
            operation.hurries = true;
            operation.hasten_store();
            self.drive(now, id);
        }
    }

    fn ping_contacts(&mut self, now: Instant) {
        for family in Family::ALL {
            for _ in 0..AT_ONCE {
                let Some(contact) = self.table_mut(family).next_ping(now) else { break };
                self.check(now, contact);
            }
        }
    }

    /// Is this contact alive, and is it who we think?
    pub(super) fn check(&mut self, now: Instant, contact: Contact) {
        let query = Query::new(Method::Ping { nonce: None });
        self.ask(now, contact.path, Some(contact.id), query, Purpose::Check);
    }

    /// A contact that passes, each with the same chance.
    pub(super) fn random_contact(&mut self, passes: impl Fn(&Entry) -> bool) -> Option<Contact> {
        let all = || self.tables.iter().flat_map(|table| table.iter());
        let count = all().filter(&passes).count();
        let chosen = self.rng.below(count as u64);
        let all = || self.tables.iter().flat_map(|table| table.iter());
        // Below a count of contacts, so it fits.
        all().filter(&passes).nth(chosen as usize).map(|entry| entry.contact)
    }

    fn refresh_buckets(&mut self, now: Instant) {
        for family in Family::ALL {
            // Nothing is drawn in vain: a call that comes early changes nothing.
            if self.table(family).poll_timeout().is_none_or(|due| now < due) {
                continue;
            }
            for _ in 0..AT_ONCE {
                let mut rng = self.rng.fork();
                let Some(target) = self.table_mut(family).next_refresh(now, &mut rng) else {
                    break;
                };
                self.refresh(now, target);
            }
        }
    }

    fn republish(&mut self, now: Instant) {
        while self.has_room_for_upkeep() {
            let Some(due) = self.store.next_republish(now) else { return };
            let kind = Kind::Republish { item: item_of(due.record), age: due.age };
            let (whose, families) = (Whose::Upkeep, self.families());
            let operation = self.begin(now, kind, whose, due.key, Default::default(), families);
            self.drive(now, operation);
        }
    }

    /// Somebody is new in the table: it may be among the closest to records that we hold.
    pub(super) fn hand_over_to(&mut self, newcomer: Contact) {
        // See `Store::settle`: where values are not handed on, newcomers get none either.
        if self.wire.form() != Form::Native {
            return;
        }
        let held = self.store.stats();
        if held.values + held.signed > 0 && self.handovers.len() < AT_ONCE {
            self.handovers.push_back((Handover::new(newcomer.id), newcomer));
        }
    }

    /// A newcomer gets the records it is now among the closest to, from the one holder that is
    /// itself closest to the key (mistake 18).
    fn hand_over(&mut self, now: Instant) {
        if now < self.next_handover {
            return;
        }
        let Some((mut handover, newcomer)) = self.handovers.pop_front() else { return };
        let (table, k) = (self.table(newcomer.path.family()), self.config.lookup.k);
        let closest = |key| table.closest(key, Filter::default()).take(k).map(|contact| contact.id);
        let due = self.store.next_handover(now, &mut handover, k, closest);
        if !handover.is_done() {
            self.handovers.push_front((handover, newcomer));
        }
        if let Some(due) = due {
            self.next_handover = now + HANDOVER_SPACING;
            let query = Query::about(due.key, Method::Get { newer_than: Some(ONLY_TOKEN) });
            let item = Box::new(item_of(due.record));
            let purpose = Purpose::Offer { item, age: due.age };
            self.ask(now, newcomer.path, Some(newcomer.id), query, purpose);
        }
    }
}

fn item_of(record: Certified) -> Item {
    match record {
        Certified::Value(value) => Item::Immutable(value),
        Certified::Signed(signed) => Item::Signed(*signed),
    }
}
