//! The commands: each starts an operation and gives its id at once.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::operation::{Announcement, Entry, Kind, Operation, Purpose, Stage};
use super::{CommandError, GetQuery, Node, Publication, PutOptions};
use crate::config::Role;
use crate::contact::{Families, Path, Scope};
use crate::event::{Asked, Event, OperationId, Outcome, PeerFailure, Totals};
use crate::id::Id;
use crate::record::{Item, SearchEntry, SearchQuery};
use crate::time::Instant;
use crate::wire::{Method, Query};

impl Node {
    /// Joins a network: asks these addresses for contacts, looks up our own id and then refreshes
    /// every bucket farther away than the closest neighbour, so that others learn of us too
    /// (section 2.3). What each address answered comes as [`Event::Answered`] or
    /// [`Event::Failed`]; without addresses, contacts already in the table are used.
    pub fn bootstrap(&mut self, now: Instant, addresses: &[Path]) -> OperationId {
        let now = self.advance(now);
        if addresses.iter().any(|path| Scope::of(path.remote.ip()) == Some(Scope::Public)) {
            self.reach.on_public_network();
        }
        for path in addresses {
            self.used = self.used.union(Families::only(path.family()));
        }
        let families = self.families();
        let id = self.begin(now, Kind::Bootstrap, self.id(), VecDeque::new(), families);
        if self.closed {
            return OperationId(id);
        }
        let mut paths: Vec<Path> = addresses.to_vec();
        paths.sort_unstable();
        paths.dedup();
        if let Some(operation) = self.operations.get_mut(&id)
            && !paths.is_empty()
        {
            operation.stage = Stage::Contacting;
        }
        for path in paths {
            if !crate::contact::is_usable(path.remote) {
                self.push_event(Event::Failed {
                    operation: OperationId(id),
                    peer: Asked { id: None, path },
                    reason: PeerFailure::PathFailed,
                });
                continue;
            }
            let query = Query::about(self.id(), Method::FindNode);
            let peer = Asked { id: None, path };
            self.push_event(Event::Asked { operation: OperationId(id), peer });
            let sent = self.ask(now, path, None, query, Purpose::Bootstrap { operation: id });
            let Some(operation) = self.operations.get_mut(&id) else { continue };
            operation.totals.asked += 1;
            if operation.count_sent(sent) {
                operation.pending += 1;
                operation.entries.insert(path, Entry::ASKED);
            }
        }
        self.drive(now, id);
        OperationId(id)
    }

    /// Looks up the contacts closest to `target`: [`Event::Done`] names them.
    pub fn find_node(&mut self, now: Instant, target: Id) -> OperationId {
        self.start(now, Kind::FindNode, target)
    }

    /// Who has the content with this key? [`Event::Provider`] for each, as they are heard of.
    pub fn providers(&mut self, now: Instant, key: Id) -> OperationId {
        self.start(now, Kind::Providers, key)
    }

    /// Tells the nodes closest to `key` that the content is to be had from us.
    pub fn announce(&mut self, now: Instant, key: Id, announcement: Announcement) -> OperationId {
        let id = self.start(now, Kind::Announce(announcement), key);
        if announcement.renew && !self.closed {
            self.provided.insert(key, (id.0, announcement));
            self.keep_renewing(now, id, Kind::Announce(announcement), [key].into());
        }
        id
    }

    /// Reads the value under a key. The first valid immutable value ends the operation; of signed
    /// values the one with the highest sequence number among the closest holders is wanted, each
    /// better one comes as [`Event::Value`].
    pub fn get(&mut self, now: Instant, query: GetQuery) -> OperationId {
        let GetQuery { key, salt, newer_than } = query;
        self.start(now, Kind::Get { salt, newer_than }, key)
    }

    /// Stores a value with the nodes closest to its key.
    ///
    /// # Errors
    /// The signature of a signed value does not fit.
    pub fn put(
        &mut self,
        now: Instant,
        item: Item,
        options: PutOptions,
    ) -> Result<OperationId, CommandError> {
        if let Item::Signed(signed) = &item
            && !signed.verify()
        {
            return Err(CommandError::BadSignature);
        }
        let key = item.key();
        let kind = Kind::Put { item: item.clone(), cas: options.cas, age: Duration::ZERO };
        let id = self.start(now, kind, key);
        if options.renew {
            // A renewal finds the value itself stored: there is nothing to compare with.
            let kind = Kind::Put { item, cas: None, age: Duration::ZERO };
            self.keep_renewing(now, id, kind, [key].into());
        }
        Ok(id)
    }

    /// Searches for files whose names carry every word of the query: [`Event::Hit`] for each.
    pub fn search(&mut self, now: Instant, query: SearchQuery) -> OperationId {
        let (key, filter) = (query.key(), query.filter().to_text());
        self.start(now, Kind::Search { query, filter }, key)
    }

    /// Lets a file be found by every word of its name.
    ///
    /// # Errors
    /// There is no word in its name.
    pub fn publish(
        &mut self,
        now: Instant,
        entry: SearchEntry,
        renew: bool,
    ) -> Result<OperationId, CommandError> {
        let all: VecDeque<Id> = entry.words().map(|word| word.key()).collect();
        let mut keys = all.clone();
        let first = keys.pop_front().ok_or(CommandError::NoWords)?;
        let now = self.advance(now);
        let kind = Kind::Publish(entry);
        let id = self.begin(now, kind.clone(), first, keys, self.families());
        self.drive(now, id);
        let id = OperationId(id);
        if renew {
            self.keep_renewing(now, id, kind, all);
        }
        Ok(id)
    }

    /// Sends a few hundred bytes to the node with the id `target`, straight or through the contact
    /// that named it.
    ///
    /// # Errors
    /// The payload does not fit into one datagram.
    pub fn signal(
        &mut self,
        now: Instant,
        target: Id,
        payload: &[u8],
    ) -> Result<OperationId, CommandError> {
        if payload.len() > MAX_SIGNAL {
            return Err(CommandError::SignalTooLong { len: payload.len(), limit: MAX_SIGNAL });
        }
        Ok(self.start(now, Kind::Signal(payload.to_vec()), target))
    }

    /// Ends an operation and its traffic, and the renewal of what it published. False if there was
    /// neither.
    pub fn cancel(&mut self, now: Instant, operation: OperationId) -> bool {
        let now = self.advance(now);
        let published = self.withdraw(operation.0);
        let running = self.operations.contains_key(&operation.0);
        if running {
            self.finish(now, operation.0, Outcome::Cancelled);
        }
        published || running
    }

    /// Gives an operation this much time from now on. False if it is not running.
    pub fn set_deadline(&mut self, now: Instant, operation: OperationId, after: Duration) -> bool {
        let now = self.advance(now);
        let Some(running) = self.operations.get_mut(&operation.0) else { return false };
        self.deadlines.remove(&(running.deadline, operation.0));
        running.deadline = now + after;
        self.deadlines.insert((running.deadline, operation.0));
        true
    }

    /// Takes another id, for both families: BEP 42 asks for it when our address is known. Contacts
    /// stay, sorted anew; others meet us as a new node.
    pub fn set_id(&mut self, now: Instant, id: Id) {
        let now = self.advance(now);
        self.ids = [id; 2];
        for table in &mut self.tables {
            table.set_own(now, id);
        }
        self.store.set_own(id);
    }

    /// Ends everything: operations are cancelled, nothing is answered any more.
    pub fn shutdown(&mut self, now: Instant) {
        let now = self.advance(now);
        while let Some((&id, _)) = self.operations.first_key_value() {
            self.finish(now, id, Outcome::Cancelled);
        }
        self.publications.clear();
        self.provided.clear();
        self.renewals.clear();
        self.closed = true;
    }

    fn start(&mut self, now: Instant, kind: Kind, target: Id) -> OperationId {
        let now = self.advance(now);
        let families = self.families();
        let id = self.begin(now, kind, target, VecDeque::new(), families);
        self.drive(now, id);
        OperationId(id)
    }

    /// Makes an operation whose lookup starts from the tables; `drive` gets it going.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        kind: Kind,
        target: Id,
        targets: VecDeque<Id>,
        families: Families,
    ) -> u64 {
        let id = self.next_operation;
        self.next_operation += 1;
        self.stats.operations += 1;
        if self.closed {
            self.end_at_once(OperationId(id));
            return id;
        }
        let region = self.region(&kind);
        let lookup = self.new_lookup(&kind, target, families, region);
        let deadline = now + self.config.deadline;
        let internal = kind.is_internal();
        let mut operation = Operation::new(kind, target, lookup, now, deadline);
        operation.targets = targets;
        operation.region = region;
        self.operations.insert(id, operation);
        self.deadlines.insert((deadline, id));
        if !internal {
            self.push_event(Event::Started { operation: OperationId(id) });
        }
        self.answer_from_own_store(now, id);
        id
    }

    /// A node that is shut down does nothing more, and says so.
    fn end_at_once(&mut self, operation: OperationId) {
        let (closest, totals) = (Vec::new(), Totals::default());
        self.push_event(Event::Started { operation });
        let outcome = Outcome::Cancelled;
        self.push_event(Event::Done { operation, outcome, closest, totals });
    }

    fn keep_renewing(
        &mut self,
        now: Instant,
        operation: OperationId,
        kind: Kind,
        targets: VecDeque<Id>,
    ) {
        if self.closed || self.publications.len() >= self.config.max_publications {
            return;
        }
        let first = self.now;
        self.publications.insert(operation.0, Publication { kind, targets, due: first });
        self.schedule_renewal(now, operation.0);
    }

    pub(super) fn schedule_renewal(&mut self, now: Instant, id: u64) {
        let due = now + self.rng.jitter(self.config.renew_after);
        if let Some(publication) = self.publications.get_mut(&id) {
            self.renewals.remove(&(publication.due, id));
            publication.due = due;
            self.renewals.insert((due, id));
        }
    }

    fn withdraw(&mut self, id: u64) -> bool {
        self.provided.retain(|_, (operation, _)| *operation != id);
        let Some(publication) = self.publications.remove(&id) else { return false };
        self.renewals.remove(&(publication.due, id));
        true
    }

    /// Whether we ask to be left out of tables.
    pub(super) fn is_client(&self) -> bool {
        match self.config.role {
            Role::Client => true,
            Role::Server => false,
            Role::Auto => self.reach.advises_client(),
        }
    }
}

/// What fits beside header, target and the origin that is filled in on the way.
pub(super) const MAX_SIGNAL: usize = 1024;
