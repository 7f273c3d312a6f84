//! Questions about what lies beside a lookup's target, where dead contacts have left it gaps
//! ([`Lookup::gaps`](crate::Lookup)).

use alloc::vec::Vec;

use super::Node;
use super::operation::{Operation, Purpose};
use crate::contact::{Contact, Family};
use crate::id::Id;
use crate::limit::Cost;
use crate::time::Instant;
use crate::wire::{Method, Query, Response};

impl Node {
    /// Asks those close to each subtree that may hold somebody whom nobody had room to name, once
    /// each. True if nobody is left to ask.
    pub(super) fn ask_about_gaps(
        &mut self,
        now: Instant,
        id: u64,
        operation: &mut Operation,
    ) -> bool {
        let count = self.config.lookup.beside;
        if count == 0 {
            return true;
        }
        for (point, contact) in to_ask(operation, count) {
            operation.beside.push((point, contact.addr()));
            if !self.limits.allow(now, Cost::Question, contact.addr()) {
                continue;
            }
            // What is known there is asked for, and not what is kept: the lookup itself asks those
            // who are found.
            let mut query = Query::about(point, Method::FindNode);
            query.want = self.families();
            let purpose = Purpose::Beside { operation: id };
            let sent = self.ask(now, contact.path, Some(contact.id), query, purpose);
            operation.pending += u32::from(operation.count_sent(sent));
        }
        operation.pending == 0
    }

    pub(super) fn beside_answered(
        &mut self,
        now: Instant,
        id: u64,
        sender: Contact,
        response: &Response<'_>,
    ) {
        let named = self.usable(sender.path, &response.nodes);
        self.with_operation(now, id, |_, operation| {
            operation.pending = operation.pending.saturating_sub(1);
            operation.lookup.heard(Some((sender.id, sender.addr())), named);
            operation.lookup.resume();
        });
    }
}

/// Whom to ask about what, without those who were.
fn to_ask(operation: &Operation, count: usize) -> Vec<(Id, Contact)> {
    let mut wanted = Vec::new();
    for family in Family::ALL {
        for point in operation.lookup.gaps(family) {
            let near = operation.lookup.closest_to(point, family, count).into_iter();
            let fresh = |contact: &Contact| !operation.beside.contains(&(point, contact.addr()));
            wanted.extend(near.filter(fresh).map(|contact| (point, contact)));
        }
    }
    wanted
}
