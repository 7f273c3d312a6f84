//! A crowd next to a key: whoever asks for the key is told of the crowd and of nobody else, for an
//! answer has room for the k closest, and honest nodes cannot tell who is honest.
//!
//! The k closest of a key that lie much closer than k nodes are expected to, going by the size of
//! the network, are such a crowd. The rest of the region is then looked up by targets of its own:
//! the region is the part of the key space that shares a prefix with the key, and the crowd sits
//! deep in it, so each of the parts beside it (a half, a quarter, an eighth …) has a target for
//! which its own nodes are the closest. Nobody deeper in the region is asked about it: the crowd would
//! name itself. Who answers there and lies within the region joins the lookup of the key, to be asked
//! about the key itself.

use alloc::vec::Vec;

use super::Node;
use super::operation::{Kind, Operation, Whose};
use crate::contact::{Contact, Family};
use crate::event::Outcome;
use crate::time::Instant;

/// The k closest within this fraction of the distance that holds k nodes are a crowd. At 4, with
/// k = 20, one region in ten million is so crowded by chance.
const DENSE: u64 = 4;

/// Parts of the region that are looked up: a half, a quarter, and so on to 1/32. What is left holds
/// less than one node of 20.
const PARTS: u32 = 5;

impl Node {
    /// Starts looking up the rest of the region if the lookup, otherwise over, ended in a crowd; once
    /// for each key. True while that is under way.
    pub(super) fn looks_around(
        &mut self,
        now: Instant,
        id: u64,
        operation: &mut Operation,
    ) -> bool {
        if operation.lookup.ended_early() {
            self.end_parts(now, operation);
            return false;
        }
        if !operation.looked_around && self.is_crowded(operation) {
            operation.looked_around = true;
            self.look_around(now, id, operation);
        }
        !operation.parts.is_empty()
    }

    fn is_crowded(&self, operation: &Operation) -> bool {
        let Some(bound) = operation.region else { return false };
        let k = self.config.lookup.k;
        Family::ALL.into_iter().any(|family| {
            let last = operation.lookup.closest_of(family).nth(k.saturating_sub(1));
            last.is_some_and(|found| {
                let distance = found.contact.id.distance(operation.target);
                distance.high_bits() < bound.high_bits() / DENSE
            })
        })
    }

    fn look_around(&mut self, now: Instant, id: u64, operation: &mut Operation) {
        let Some(bound) = operation.region else { return };
        let families = self.families();
        let outermost = bound.leading_zeros();
        for prefix in outermost..outermost.saturating_add(PARTS) {
            if self.operations.len() >= self.config.max_operations {
                return;
            }
            let key = operation.target;
            let target = key.random_beside(prefix, &mut self.rng);
            let kind = Kind::Part { of: id, key };
            let part = self.begin(now, kind, Whose::Upkeep, target, Default::default(), families);
            operation.parts.push(part);
            // Its first step, which may be its last, has to find this operation in its place.
            self.starved.insert(part);
        }
    }

    /// A part of a region was looked up: who answered there and lies in the region is asked too.
    pub(super) fn part_done(&mut self, now: Instant, part: u64, done: &Operation, of: u64) {
        let answered: Vec<Contact> = done.lookup.closest().map(|found| found.contact).collect();
        self.with_operation(now, of, |_, operation| {
            let ours = operation.parts.contains(&part);
            operation.parts.retain(|running| *running != part);
            if ours && let Some(bound) = operation.region {
                let key = operation.target;
                let within = |contact: &Contact| contact.id.distance(key) <= bound;
                operation.lookup.start(answered.into_iter().filter(within));
            }
        });
    }

    /// What is still under way for an operation that is over stops.
    pub(super) fn end_parts(&mut self, now: Instant, operation: &mut Operation) {
        for part in core::mem::take(&mut operation.parts) {
            self.finish(now, part, Outcome::Cancelled);
        }
    }
}
