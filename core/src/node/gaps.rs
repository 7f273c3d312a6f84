//! Questions about what lies beside a lookup's target, where dead contacts have left it gaps
//! ([`Lookup::gaps`](crate::Lookup)).

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::Node;
use super::operation::{Aside, Kind, Operation, Purpose};
use crate::contact::{Contact, Family};
use crate::id::Id;
use crate::limit::Cost;
use crate::time::Instant;
use crate::wire::{Method, Query, Response};

impl Node {
    /// Asks those close to each subtree that may hold somebody whom nobody had room to name, once
    /// each and at most `count` about one subtree. True if no answer is waited for.
    pub(super) fn ask_about_gaps(
        &mut self,
        now: Instant,
        id: u64,
        operation: &mut Operation,
        count: usize,
    ) -> bool {
        if count == 0 {
            return true;
        }
        for (point, contact) in to_ask(operation, count) {
            let asked = contact.addr();
            operation.beside.push(Aside { point, asked, waits: false });
            if !self.limits.allow(now, Cost::Question, asked) {
                continue;
            }
            // What is known there is asked for, and not what is kept: the lookup itself asks those
            // who are found.
            let mut query = Query::about(point, Method::FindNode);
            query.want = self.families();
            let purpose = Purpose::Beside { operation: id, point };
            let sent = self.ask(now, contact.path, Some(contact.id), query, purpose);
            let sent = operation.count_sent(sent);
            if let Some(aside) = operation.beside.last_mut() {
                aside.waits = sent;
            }
        }
        !operation.beside.iter().any(|aside| aside.waits)
    }

    /// The same while the lookup waits for somebody silent: by the time he is given up, those whom he
    /// kept out of the answers have been asked. Where contacts do not die, a silent one is slow, and
    /// has kept nobody out.
    pub(super) fn ask_about_gaps_meanwhile(
        &mut self,
        now: Instant,
        id: u64,
        operation: &mut Operation,
    ) {
        if !matches!(operation.kind, Kind::Refresh | Kind::Bootstrap)
            && operation.lookup.is_held_up()
            && self.requests.meets_dead()
        {
            self.ask_about_gaps(now, id, operation, self.config.lookup.beside);
        }
    }

    pub(super) fn beside_answered(
        &mut self,
        now: Instant,
        id: u64,
        point: Id,
        sender: Contact,
        response: &Response<'_>,
    ) {
        let named = self.usable(sender.path, &response.nodes);
        self.with_operation(now, id, |_, operation| {
            operation.end_aside(point, sender.addr());
            operation.lookup.heard(Some((sender.id, sender.addr())), named);
            operation.lookup.resume();
        });
    }
}

impl Operation {
    /// An answer about a point beside the target is not waited for any more.
    pub(super) fn end_aside(&mut self, point: Id, asked: SocketAddr) {
        let mut asides = self.beside.iter_mut();
        let aside = asides.find(|aside| aside.point == point && aside.asked == asked);
        if let Some(aside) = aside {
            aside.waits = false;
        }
    }
}

/// Whom to ask about which point: so many of each, with those who were asked.
fn to_ask(operation: &Operation, count: usize) -> Vec<(Id, Contact)> {
    let mut wanted = Vec::new();
    for family in Family::ALL {
        for (point, count) in operation.lookup.gaps(family, count) {
            let about = || operation.beside.iter().filter(move |aside| aside.point == point);
            let room = count.saturating_sub(about().count());
            let near = operation.lookup.closest_to(point, family, count).into_iter();
            let fresh = |contact: &Contact| about().all(|aside| aside.asked != contact.addr());
            wanted.extend(near.filter(fresh).take(room).map(|contact| (point, contact)));
        }
    }
    wanted
}
