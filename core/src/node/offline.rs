//! Joining by addresses, and coming back when nobody answers.
//!
//! When everything times out it is we who are offline: nobody is evicted (mistake 12), nothing is
//! stored anywhere, and at growing intervals a contact and the addresses we once joined by are tried.
//! The first answer ends it. A node whose bootstrap addresses were all silent is in the same place:
//! it was started before them, or before its network was there.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::Node;
use super::operation::{Kind, Purpose, Stage, Whose};
use crate::contact::{Capabilities, Contact, Families, Path, is_usable};
use crate::event::{Asked, Event, OperationId, PeerFailure};
use crate::id::Id;
use crate::sorted::Set;
use crate::time::Instant;
use crate::wire::{Method, Query};

/// How soon somebody is tried again while we seem to be offline; doubles up to 160 s, which a
/// person who turned the network on again still waits for.
const KNOCK: Duration = Duration::from_secs(10);
const DOUBLINGS: u32 = 4;

/// How often somebody who speaks to us while we seem to be offline is asked back: whoever it is,
/// something does arrive.
const GREETING: Duration = Duration::from_secs(1);

/// Addresses kept to join by again, the latest: a link carries at most sixteen.
const MAX_ENTRIES: usize = 32;

/// That nothing answers, and what is done about it.
#[derive(Clone, Debug, Default)]
pub(super) struct Offline {
    since: Option<Instant>,
    /// When to try again whether somebody answers.
    knock: Option<Instant>,
    knocks: u32,
    /// When somebody who spoke to us was last asked back.
    greeted: Option<Instant>,
    /// Who is to be asked back, and since when.
    greeting: Option<(Instant, Contact)>,
    /// Addresses to join by, oldest first.
    entries: VecDeque<Path>,
}

impl Offline {
    pub(super) const fn is(&self) -> bool {
        self.since.is_some()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let greeting = self.greeting.map(|(since, _)| since);
        [self.knock, greeting].into_iter().flatten().min()
    }
}

impl Node {
    /// Keeps the latest addresses to join by.
    pub(super) fn remember_entries(&mut self, addresses: &[Path]) {
        for path in addresses.iter().filter(|path| is_usable(path.remote)) {
            self.offline.entries.retain(|known| known != path);
            if self.offline.entries.len() >= MAX_ENTRIES {
                self.offline.entries.pop_front();
            }
            self.offline.entries.push_back(*path);
        }
    }

    /// Asks the addresses of a bootstrap, each once.
    pub(super) fn ask_entries(&mut self, now: Instant, id: u64, addresses: &[Path]) {
        let paths: Set<Path> = addresses.iter().copied().collect();
        for path in paths.iter() {
            self.used = self.used.union(Families::only(path.family()));
        }
        let Some(mut operation) = self.operations.remove(&id) else { return };
        if !paths.is_empty() {
            operation.stage = Stage::Contacting;
        }
        for &path in paths.iter() {
            let (operation_id, peer) = (OperationId(id), Asked { id: None, path });
            let query = Query::about(self.id(), Method::FindNode);
            let sent = if is_usable(path.remote) {
                self.tell(&operation, Event::Asked { operation: operation_id, peer });
                operation.totals.asked += 1;
                self.ask(now, path, None, query, Purpose::Bootstrap { operation: id })
            } else {
                None
            };
            if operation.count_sent(sent) {
                operation.pending += 1;
                operation.entries.insert(path, false);
            } else {
                let reason = PeerFailure::PathFailed;
                self.tell(&operation, Event::Failed { operation: operation_id, peer, reason });
            }
        }
        self.operations.insert(id, operation);
        self.drive(now, id);
    }

    pub(super) fn set_offline(&mut self, now: Instant, offline: bool) {
        if self.offline.is() == offline {
            return;
        }
        self.offline.since = offline.then_some(now);
        self.offline.knock = offline.then_some(now + KNOCK);
        self.offline.knocks = 0;
        self.offline.greeting = None;
        for table in &mut self.tables {
            table.set_frozen(offline);
        }
        self.push_event(Event::Offline { offline });
    }

    /// A bootstrap is over. With nobody to ask and addresses that were silent, we are as good as
    /// offline.
    pub(super) fn joined(&mut self, now: Instant, answered: bool) {
        let alone = self.tables.iter().all(|table| table.is_empty());
        if !answered && alone && !self.offline.entries.is_empty() {
            self.set_offline(now, true);
        }
    }

    /// While nothing answers, one contact at a time is tried, and whoever we once joined by.
    pub(super) fn knock(&mut self, now: Instant) {
        if let Some((_, contact)) = self.offline.greeting.take() {
            self.check(now, contact);
        }
        if self.offline.knock.is_none_or(|due| now < due) {
            return;
        }
        self.offline.knocks = self.offline.knocks.saturating_add(1);
        let wait = KNOCK.saturating_mul(1 << self.offline.knocks.min(DOUBLINGS));
        self.offline.knock = Some(now + self.rng.jitter(wait));
        if let Some(contact) = self.random_contact(|_| true) {
            self.check(now, contact);
        }
        if self.offline.entries.is_empty()
            || self.operations.len() >= self.config.max_operations
            || self.operations.iter().any(|(_, it)| matches!(it.kind, Kind::Bootstrap))
        {
            return;
        }
        let entries: Vec<Path> = self.offline.entries.iter().copied().collect();
        let (whose, families) = (Whose::Upkeep, self.families());
        let id = self.begin(now, Kind::Bootstrap, whose, self.id(), VecDeque::new(), families);
        self.ask_entries(now, id, &entries);
    }

    /// Somebody speaks to us while nothing seems to answer: it is asked back. Not at once: question
    /// and answer together would be more than an address without proof may get for its own.
    pub(super) fn greet(&mut self, now: Instant, id: Id, path: Path) {
        if self.offline.greeted.is_some_and(|last| now < last + GREETING) {
            return;
        }
        self.offline.greeted = Some(now);
        self.offline.greeting = Some((now, Contact { id, path, capabilities: Capabilities::NONE }));
    }
}
