//! The commands: each starts an operation and gives its id at once; what they take, and why one
//! cannot be carried out.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::Node;
use super::operation::{Announcement, Kind, Operation, Whose};
use crate::config::Role;
use crate::contact::{Capabilities, Contact, Families, Path, Scope};
use crate::event::{Event, OperationId, Outcome, Totals};
use crate::id::Id;
use crate::record::{Item, SearchEntry, SearchQuery};
use crate::time::Instant;

/// How to read a value.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct GetQuery {
    /// The key.
    pub key: Id,
    /// The salt of a signed value, where known: Mainline's answers do not repeat it.
    pub salt: Vec<u8>,
    /// Only a signed value with a greater sequence number.
    pub newer_than: Option<u64>,
}

impl GetQuery {
    /// Whatever is under this key.
    #[must_use]
    pub const fn new(key: Id) -> Self {
        Self { key, salt: Vec::new(), newer_than: None }
    }
}

/// How to store a value.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct PutOptions {
    /// Signed values: holders take it only over the value with this sequence number.
    pub cas: Option<u64>,
    /// Store it again, until the operation is cancelled; a signed value also until one with a higher
    /// sequence number is put under its key.
    pub renew: bool,
}

impl PutOptions {
    /// Renewed until cancelled.
    #[must_use]
    pub const fn renewed() -> Self {
        Self { cas: None, renew: true }
    }

    /// Only over the value with this sequence number.
    #[must_use]
    pub const fn compare_and_swap(seq: u64) -> Self {
        Self { cas: Some(seq), renew: false }
    }
}

/// Why a command cannot be carried out: the caller's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CommandError {
    /// The signature does not fit key, salt, sequence number and value.
    BadSignature,
    /// The value is one of another network's: [`Form`](crate::record::Form).
    OtherForm,
    /// There is no word in the name that it could be found by.
    NoWords,
    /// A sequence number that the network's wire cannot carry.
    SequenceTooHigh {
        /// The highest it can.
        limit: u64,
    },
    /// The signal has more bytes than fit into one datagram.
    SignalTooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadSignature => f.write_str("the signature does not fit the value"),
            Self::OtherForm => f.write_str("the value is one of another network's"),
            Self::NoWords => f.write_str(
                "there is no word in the name: it needs letters or digits to be found by",
            ),
            Self::SequenceTooHigh { limit } => {
                write!(f, "sequence numbers of this network go up to {limit}")
            }
            Self::SignalTooLong { len, limit } => {
                write!(f, "the signal has {len} bytes, at most {limit} fit into a datagram")
            }
        }
    }
}

impl core::error::Error for CommandError {}

impl Node {
    /// Joins a network: asks these addresses for contacts, looks up our own id and then refreshes
    /// every bucket farther away than the closest neighbour, so that others learn of us too
    /// (section 2.3). What each address answered comes as [`Event::Answered`] or
    /// [`Event::Failed`]; without addresses, contacts already in the table are used. While nobody
    /// answers, the addresses given of late are tried again, at growing intervals.
    pub fn bootstrap(&mut self, now: Instant, addresses: &[Path]) -> OperationId {
        let now = self.advance(now);
        if addresses.iter().any(|path| Scope::of(path.remote.ip()) == Some(Scope::Public)) {
            self.reach.on_public_network();
        }
        for path in addresses {
            self.used = self.used.union(Families::only(path.family()));
        }
        self.remember_entries(addresses);
        let families = self.families();
        let whose = Whose::Callers;
        let id = self.begin(now, Kind::Bootstrap, whose, self.id(), VecDeque::new(), families);
        self.ask_entries(now, id, addresses);
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

    /// How many have the content with this key? Mainline alone can say (BEP 33): one
    /// [`Event::Swarm`] before the end.
    #[cfg(feature = "mainline")]
    pub fn scrape(&mut self, now: Instant, key: Id) -> OperationId {
        self.start(now, Kind::Scrape(Default::default()), key)
    }

    /// Which keys do the nodes around `target` hold providers of? On Mainline (BEP 51) an
    /// [`Event::Sample`] of each that has not been asked within its interval.
    #[cfg(feature = "mainline")]
    pub fn sample(&mut self, now: Instant, target: Id) -> OperationId {
        self.start(now, Kind::Sample, target)
    }

    /// Tells the nodes closest to `key` that the content is to be had from us.
    pub fn announce(
        &mut self,
        now: Instant,
        key: Id,
        mut announcement: Announcement,
    ) -> OperationId {
        // On the wire 0 is no port, and such an announcement no message.
        announcement.port = announcement.port.filter(|port| *port != 0);
        let kind = Kind::Announce(announcement);
        let id = self.store(now, kind.clone(), [key].into(), announcement.renew.then_some(kind));
        if announcement.renew && !self.closed {
            self.provided.insert(key, (id.0, announcement));
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
    /// The value is one of another network's, the signature of a signed one does not fit, or its
    /// sequence number or the one it is to replace is higher than the network's wire can say.
    pub fn put(
        &mut self,
        now: Instant,
        item: Item,
        options: PutOptions,
    ) -> Result<OperationId, CommandError> {
        if item.form() != self.wire.form() {
            return Err(CommandError::OtherForm);
        }
        if let Item::Signed(signed) = &item
            && !signed.verify()
        {
            return Err(CommandError::BadSignature);
        }
        let limit = self.wire.max_sequence();
        if item.seq().max(options.cas) > Some(limit) {
            return Err(CommandError::SequenceTooHigh { limit });
        }
        let key = item.key();
        // A renewal finds the value itself stored: there is nothing to compare with.
        let renewed =
            options.renew.then(|| Kind::Put { item: item.clone(), cas: None, age: Duration::ZERO });
        let kind = Kind::Put { item, cas: options.cas, age: Duration::ZERO };
        Ok(self.store(now, kind, [key].into(), renewed))
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
        let keys: VecDeque<Id> = entry.words().map(|word| word.key()).collect();
        if keys.is_empty() {
            return Err(CommandError::NoWords);
        }
        let kind = Kind::Publish(entry);
        Ok(self.store(now, kind.clone(), keys, renew.then_some(kind)))
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
        self.send_signal_to(now, target, None, payload)
    }

    /// Sends a few hundred bytes to the node with the id `target` if it answers at `path`, and to
    /// nobody else: who answers what they say receives there. [`Outcome::NoAnswer`] if it does not.
    ///
    /// # Errors
    /// The payload does not fit into one datagram.
    pub fn signal_at(
        &mut self,
        now: Instant,
        target: Id,
        path: Path,
        payload: &[u8],
    ) -> Result<OperationId, CommandError> {
        self.used = self.used.union(Families::only(path.family()));
        self.send_signal_to(now, target, Some(path), payload)
    }

    fn send_signal_to(
        &mut self,
        now: Instant,
        target: Id,
        at: Option<Path>,
        payload: &[u8],
    ) -> Result<OperationId, CommandError> {
        if payload.len() > MAX_SIGNAL {
            return Err(CommandError::SignalTooLong { len: payload.len(), limit: MAX_SIGNAL });
        }
        Ok(self.start(
            now,
            Kind::Signal { payload: payload.to_vec(), at: at.map(Box::new) },
            target,
        ))
    }

    /// Ends an operation and its traffic, and the renewal of what it published. False if there was
    /// neither.
    pub fn cancel(&mut self, now: Instant, operation: OperationId) -> bool {
        let now = self.advance(now);
        let published = self.withdraw(now, operation.0);
        let running = self.operations.contains_key(&operation.0);
        if running {
            self.finish(now, operation.0, Outcome::Cancelled);
        }
        published || running
    }

    /// Gives an operation this much time from now on; the words of a name that are left share it. What
    /// stores looks for holders in three quarters of a key's time, and then stores with those that it
    /// knows, or with the first one that answers. False if it is not running.
    pub fn set_deadline(&mut self, now: Instant, operation: OperationId, after: Duration) -> bool {
        let now = self.advance(now);
        let Some(running) = self.operations.get_mut(&operation.0) else { return false };
        running.has_own_deadline = true;
        running.give_time(operation.0, &mut self.alarms, now, after);
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
        while let Some((&id, _)) = self.operations.iter().next() {
            self.finish(now, id, Outcome::Cancelled);
        }
        self.publications.clear();
        self.provided.clear();
        self.renewals.clear();
        self.unheard.clear();
        self.closed = true;
    }

    fn start(&mut self, now: Instant, kind: Kind, target: Id) -> OperationId {
        self.store(now, kind, [target].into(), None)
    }

    /// Starts an operation over these keys, one after the other, of which there is at least one; and
    /// has it done again as `renewed` until it is cancelled.
    fn store(
        &mut self,
        now: Instant,
        kind: Kind,
        mut keys: VecDeque<Id>,
        renewed: Option<Kind>,
    ) -> OperationId {
        let now = self.advance(now);
        let all = keys.clone();
        let first = keys.pop_front().unwrap_or(Id::ZERO);
        // Stored once and not again, it would be gone by tomorrow, and its owner would not know.
        if renewed.is_some() && self.publications.len() >= self.config.max_publications {
            let refused = self.next_id();
            self.end_at_once(refused, Outcome::Overloaded);
            return refused;
        }
        let families = self.families();
        let id = self.begin(now, kind, Whose::Callers, first, keys, families);
        // Before its first step, which may be its last.
        if let Some(kind) = renewed {
            self.keep_renewing(now, id, kind, all);
        }
        self.drive(now, id);
        OperationId(id)
    }

    /// Makes an operation whose lookup starts from the tables; `drive` gets it going.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        kind: Kind,
        whose: Whose,
        target: Id,
        targets: VecDeque<Id>,
        families: Families,
    ) -> u64 {
        let next = self.next_id();
        let id = next.0;
        if self.closed {
            self.end_at_once(next, Outcome::Cancelled);
            return id;
        }
        if self.operations.len() >= self.config.max_operations && !self.end_a_refresh(now) {
            self.end_at_once(next, Outcome::Overloaded);
            return id;
        }
        let region = self.region(&kind);
        let mut lookup = self.new_lookup(&kind, target, families, region);
        if let Kind::Signal { at, .. } = &kind {
            let from = || self.signallers.iter().find(|(id, _)| *id == target).map(|(_, it)| *it);
            // As one that has to be asked first: whoever signalled may have borrowed the address.
            let first = at.as_deref().copied().or_else(from);
            lookup.start(first.map(|path| Contact {
                id: target,
                path,
                capabilities: Capabilities::NONE,
            }));
        }
        let deadline = now + self.config.deadline;
        let mut operation = Operation::new(kind, whose, target, lookup, now, deadline);
        operation.targets = targets;
        operation.region = region;
        operation.give_time(id, &mut self.alarms, now, self.config.deadline);
        self.operations.insert(id, Box::new(operation));
        if whose == Whose::Callers {
            self.push_event(Event::Started { operation: OperationId(id) });
        } else {
            self.background += 1;
        }
        self.answer_from_own_store(now, id);
        id
    }

    /// Makes room for an operation: the oldest refresh can wait. False if there is none.
    fn end_a_refresh(&mut self, now: Instant) -> bool {
        let mut running = self.operations.iter();
        let oldest = running.find(|(_, operation)| matches!(operation.kind, Kind::Refresh));
        let Some((&oldest, _)) = oldest else { return false };
        self.finish(now, oldest, Outcome::Cancelled);
        true
    }

    /// An operation that cannot begin says so and is over.
    const fn next_id(&mut self) -> OperationId {
        let id = self.next_operation;
        self.next_operation += 1;
        self.stats.operations += 1;
        OperationId(id)
    }

    fn end_at_once(&mut self, operation: OperationId, outcome: Outcome) {
        let (closest, totals) = (Vec::new(), Totals::default());
        self.push_event(Event::Started { operation });
        self.push_event(Event::Done { operation, outcome, closest, totals });
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
