//! Carrying operations on: whom to ask next, what follows a lookup, how it ends.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Node;
use super::operation::{Kind, Operation, Purpose, Stage, Whose};
use crate::contact::{Capabilities, Contact, Families, Family, Path};
use crate::event::{Asked, Event, OperationId, Outcome, PeerFailure, Transmit};
use crate::id::{Distance, Id};
use crate::limit::Cost;
use crate::lookup::{Lookup, Step};
use crate::table::Filter;
use crate::time::Instant;
use crate::wire::native::Native;
use crate::wire::{Body, Message, Method, Query};

/// Starved operations that go on in one call: each may ask k contacts.
const AT_ONCE: usize = 16;

/// So many times k contacts a lookup starts from. At half of them dead, all of 32 are dead once in
/// four thousand million.
const START: usize = 4;

impl Node {
    /// Does whatever can be done for an operation now: asks, stores, goes on to its next key, ends.
    pub(super) fn drive(&mut self, now: Instant, id: u64) {
        if let Some(operation) = self.operations.remove(&id) {
            self.drive_on(now, id, operation);
        }
    }

    /// The same for an operation that is out of the map, into which it goes back.
    pub(super) fn drive_on(&mut self, now: Instant, id: u64, mut operation: Box<Operation>) {
        let outcome = self.advance_operation(now, id, &mut operation);
        self.operations.insert(id, operation);
        if let Some(outcome) = outcome {
            self.finish(now, id, outcome);
        }
    }

    /// Ends after at most one pass over the operation's keys: every turn consumes one of them.
    fn advance_operation(
        &mut self,
        now: Instant,
        id: u64,
        operation: &mut Operation,
    ) -> Option<Outcome> {
        loop {
            match operation.stage {
                Stage::Contacting => {
                    return (operation.pending == 0).then(|| operation.outcome());
                }
                Stage::Looking => {
                    self.read_pages(now, id, operation);
                    if !self.step_lookup(now, id, operation) {
                        return None;
                    }
                    self.lookup_done(now, id, operation);
                    if operation.stage == Stage::Looking {
                        return Some(operation.outcome());
                    }
                }
                Stage::Storing => {
                    self.send_stores(now, id, operation);
                    if operation.pending > 0 || !operation.to_store.is_empty() {
                        return None;
                    }
                    let Some(target) = operation.targets.pop_front() else {
                        return Some(operation.outcome());
                    };
                    self.go_on_to(now, id, operation, target);
                }
            }
        }
    }

    /// Asks whom the lookup wants asked. True once it is over and no page is outstanding.
    fn step_lookup(&mut self, now: Instant, id: u64, operation: &mut Operation) -> bool {
        loop {
            if self.requests.is_full() {
                self.starved.insert(id);
                return false;
            }
            match operation.lookup.next() {
                Step::Wait => {
                    self.ask_about_gaps_meanwhile(now, id, operation);
                    return false;
                }
                // A silent bootstrap address does not hold up a join that others made possible.
                Step::Done if matches!(operation.kind, Kind::Bootstrap) => {
                    return operation.entries.values().all(|slow| *slow);
                }
                Step::Done if operation.pending > 0 || !operation.to_read.is_empty() => {
                    return false;
                }
                Step::Done if self.looks_around(now, id, operation) => return false,
                Step::Done if operation.lookup.ended_early() => return true,
                Step::Done => {
                    // Also of those who answered only after the others had been asked.
                    let beside = self.config.lookup.beside;
                    return self.ask_about_gaps(now, id, operation, beside + beside / 2);
                }
                // Barred and not put off: whoever names a thousand addresses of one prefix could
                // else hold the lookup up until its deadline.
                Step::Ask(contact) if !self.may_ask(now, operation, &contact) => {
                    operation.lookup.failed(contact.id, contact.addr());
                }
                Step::Ask(contact) => self.ask_step(now, id, operation, contact, false),
            }
        }
    }

    /// Whoever lists addresses of a victim must not make us knock at them: contacts that have not
    /// shown themselves are asked within a budget of their prefix and of who named them.
    fn may_ask(&mut self, now: Instant, operation: &Operation, contact: &Contact) -> bool {
        let addr = contact.addr();
        if !self.limits.allow(now, Cost::Question, addr) {
            return false;
        }
        if !self.config.limits.enforce.holds_for(addr.ip()) || self.proofs.is_proven(now, &addr) {
            return true;
        }
        match operation.lookup.namer(contact) {
            Some(named_by) => self.limits.allow(now, Cost::Candidate { named_by }, addr),
            // From our own table.
            None => true,
        }
    }

    /// One question of a lookup.
    pub(super) fn ask_step(
        &mut self,
        now: Instant,
        id: u64,
        operation: &mut Operation,
        contact: Contact,
        with_cookie: bool,
    ) {
        let purpose = Purpose::Step { operation: id, contact, with_cookie };
        if !with_cookie {
            operation.totals.asked += 1;
            let peer = Asked { id: Some(contact.id), path: contact.path };
            self.tell(operation, Event::Asked { operation: OperationId(id), peer });
        }
        let mut query = self.lookup_query(operation, 0);
        #[cfg(feature = "mainline")]
        if matches!(operation.kind, Kind::Sample) && !self.may_sample(now, &contact.addr()) {
            query.method = Method::FindNode;
        }
        // A method that will never mean anything asks like find_node, so that nobody forgets to
        // answer those of a later version.
        if matches!(operation.kind, Kind::Refresh)
            && self.rng.one_in(self.config.grease_one_in.into())
        {
            let code = Native::reserved_method(self.rng.next_u32());
            query.method = Method::Unknown { code, name: &[] };
        }
        let sent = self.ask(now, contact.path, Some(contact.id), query, purpose);
        if !operation.count_sent(sent) {
            operation.lookup.failed(contact.id, contact.addr());
        }
    }

    /// The question for one page, with what every find-style question carries.
    pub(super) fn lookup_query<'a>(&self, operation: &'a Operation, page: u32) -> Query<'a> {
        let mut query = Query::about(operation.target, operation.kind.method(page));
        let reached = self.families();
        query.want = reached;
        query.mask = self.mask(&operation.kind);
        query
    }

    fn mask(&self, kind: &Kind) -> Capabilities {
        if self.wire.has_capabilities() { kind.mask() } else { Capabilities::NONE }
    }

    fn lookup_done(&mut self, now: Instant, id: u64, operation: &mut Operation) {
        operation.keep_closest(self.config.lookup.k);
        operation.totals.hops = operation.totals.hops.max(operation.lookup.progress().hops);
        if operation.lookup.progress().answered > 0 {
            for family in Family::ALL {
                self.table_mut(family).touched(now, operation.target);
            }
        }
        // Of targets that we drew ourselves alone, our own id among them: others choose which keys are stored and asked for,
        // and who crowds around them must not make the network look larger than it is.
        if matches!(operation.kind, Kind::Refresh | Kind::Bootstrap) {
            // Of the family with more of them: the smaller network would count as the larger one.
            let [v4, v6] = Family::ALL.map(|family| {
                operation.closest.iter().filter(|it| it.path.family() == family).count()
            });
            let family = if v6 > v4 { Family::V6 } else { Family::V4 };
            let found = operation.closest.iter().filter(|it| it.path.family() == family);
            self.estimate.observe(operation.target, found.map(|contact| contact.id));
        }
        match &operation.kind {
            Kind::Bootstrap => self.refresh_after_join(now, operation),
            Kind::Signal { .. } => self.send_signal(now, id, operation),
            kind if kind.stores() => {
                operation.stage = Stage::Storing;
                self.queue_stores(id, operation);
            }
            _ => {}
        }
    }

    /// Takes up the operation's next key: a lookup of its own, with all the time of the first.
    fn go_on_to(&mut self, now: Instant, id: u64, operation: &mut Operation, target: Id) {
        // What is still open was about the key before.
        self.abandon(id, operation);
        // Late answers of the silent are about it too, and no token of theirs is for the next.
        self.requests.repurpose(|it| (it.operation() == Some(id)).then_some(Purpose::Check));
        operation.target = target;
        operation.tokens.clear();
        operation.stage = Stage::Looking;
        operation.stored_before = operation.totals.stored;
        operation.beside.clear();
        operation.looked_around = false;
        operation.region = self.region(&operation.kind);
        operation.lookup =
            self.new_lookup(&operation.kind, target, self.families(), operation.region);
        let left = operation.deadline.since(now);
        let time = if operation.has_own_deadline { left } else { self.config.deadline };
        operation.give_time(id, &mut self.alarms, now, time);
    }

    /// Every one of the closest that gave a token is to keep the record.
    fn queue_stores(&mut self, id: u64, operation: &mut Operation) {
        let holders = core::mem::take(&mut operation.closest);
        for contact in &holders {
            if operation.tokens.contains_key(&(contact.id, contact.addr())) {
                operation.to_store.push_back(*contact);
                continue;
            }
            let peer = Asked { id: Some(contact.id), path: contact.path };
            let (operation_id, reason) = (OperationId(id), PeerFailure::NoToken);
            self.tell(operation, Event::Failed { operation: operation_id, peer, reason });
        }
        operation.closest = holders;
    }

    /// Hands the record to those who are to keep it, as far as there is room for requests.
    fn send_stores(&mut self, now: Instant, id: u64, operation: &mut Operation) {
        while let Some(contact) = operation.to_store.front().copied() {
            if self.requests.is_full() {
                self.starved.insert(id);
                return;
            }
            operation.to_store.pop_front();
            let key = (contact.id, contact.addr());
            let Some(token) = operation.tokens.get(&key) else { continue };
            let own_port = self.own_port(contact.path);
            let query = Query::about(
                operation.target,
                operation.kind.store_method(token, own_port, now.since(operation.started)),
            );
            let purpose = Purpose::Store { operation: id, contact };
            let sent = self.ask(now, contact.path, Some(contact.id), query, purpose);
            operation.totals.store_attempts += 1;
            if operation.count_sent(sent) {
                operation.pending += 1;
            }
        }
    }

    /// Our own port, where announcements have to name one (BEP 5).
    fn own_port(&self, path: Path) -> Option<u16> {
        let port =
            self.links.get(&path.link).map(|link| link.local.port()).filter(|port| *port != 0);
        port.filter(|_| !self.wire.has_capabilities())
    }

    /// Asks for the pages that are to be read, as far as there is room for requests.
    fn read_pages(&mut self, now: Instant, id: u64, operation: &mut Operation) {
        while let Some((contact, page)) = operation.to_read.front().copied() {
            if self.requests.is_full() {
                self.starved.insert(id);
                return;
            }
            operation.to_read.pop_front();
            let query = self.lookup_query(operation, page);
            let purpose = Purpose::Page { operation: id, page };
            let sent = self.ask(now, contact.path, Some(contact.id), query, purpose);
            if operation.count_sent(sent) {
                operation.pending += 1;
            }
        }
    }

    /// Sends a silent question of an operation once more, if that may help.
    pub(super) fn repeat(&mut self, now: Instant, transaction: u64, purpose: &Purpose) {
        let Some(id) = purpose.operation() else { return };
        let Some(mut operation) = self.operations.remove(&id) else { return };
        self.repeat_for(now, transaction, purpose, &mut operation);
        self.operations.insert(id, operation);
    }

    fn repeat_for(
        &mut self,
        now: Instant,
        transaction: u64,
        purpose: &Purpose,
        operation: &mut Operation,
    ) {
        let Some((path, expected)) =
            self.requests.request(transaction).map(|r| (r.path, r.expected))
        else {
            return;
        };
        let query = match purpose {
            // While somebody else has answered, a silent entry point holds nobody up.
            Purpose::Bootstrap { .. } if operation.stage == Stage::Contacting => {
                Query::about(self.id(), Method::FindNode)
            }
            Purpose::Step { contact, .. }
                if operation.stage == Stage::Looking && self.may_ask(now, operation, contact) =>
            {
                self.lookup_query(operation, 0)
            }
            Purpose::Page { page, .. } => self.lookup_query(operation, *page),
            Purpose::Store { contact, .. } => {
                let key = (contact.id, contact.addr());
                let Some(token) = operation.tokens.get(&key) else { return };
                let own_port = self.own_port(contact.path);
                Query::about(
                    operation.target,
                    operation.kind.store_method(token, own_port, now.since(operation.started)),
                )
            }
            _ => return,
        };
        let repeated = self.requests.repeat(now, transaction, &mut self.rng);
        let sent = repeated.map(|transaction| self.send_query(path, transaction, query));
        debug_assert!(expected.is_some() || matches!(purpose, Purpose::Bootstrap { .. }));
        operation.count_sent(sent);
    }

    /// Lets operations go on that waited for requests to end, as long as there is room.
    pub(super) fn feed_starved(&mut self, now: Instant) {
        for _ in 0..AT_ONCE {
            if self.requests.is_full() {
                return;
            }
            let Some(id) = self.starved.pop_first() else { return };
            self.drive(now, id);
        }
    }

    /// Straight to the target if it answered, else through whoever named it.
    fn send_signal(&mut self, now: Instant, id: u64, operation: &mut Operation) {
        let Kind::Signal { payload, .. } = &operation.kind else { return };
        let direct = operation.closest.iter().find(|contact| contact.id == operation.target);
        let Some(to) = direct.copied().or(operation.namer) else { return };
        let query = Query::about(operation.target, Method::Signal { origin: None, payload });
        let sent = self.ask(now, to.path, Some(to.id), query, Purpose::Signal { operation: id });
        operation.totals.store_attempts += 1;
        if operation.count_sent(sent) {
            operation.pending += 1;
        }
        operation.stage = Stage::Storing;
    }

    /// The join's last step (section 2.3): buckets farther away than the closest neighbour are
    /// refreshed, or the nodes there never learn of us (mistake 23).
    fn refresh_after_join(&mut self, now: Instant, operation: &Operation) {
        if operation.closest.is_empty() {
            return;
        }
        for family in self.families().iter() {
            let own = self.own_id(family);
            let of_family = |contact: &&Contact| contact.path.family() == family;
            let neighbours = operation.closest.iter().filter(of_family).map(|contact| contact.id);
            let Some(closest) = neighbours.min_by_key(|id| id.distance(own)) else { continue };
            let mut rng = self.rng.fork();
            for target in self.table_mut(family).refresh_beyond(now, closest, &mut rng) {
                self.refresh(now, target);
            }
        }
    }

    pub(super) fn refresh(&mut self, now: Instant, target: Id) {
        if self.operations.len() < self.config.max_operations {
            let (whose, families) = (Whose::Upkeep, self.families());
            let id = self.begin(now, Kind::Refresh, whose, target, Default::default(), families);
            self.drive(now, id);
        }
    }

    /// How far from a key its records are kept: where k honest nodes are expected. An attacker who
    /// crowds the k closest places does not own what lies between them and that distance.
    pub(super) fn region(&self, kind: &Kind) -> Option<Distance> {
        let k = u32::try_from(self.config.lookup.k).unwrap_or(u32::MAX);
        if kind.covers_region() && self.config.region { self.estimate.region(k) } else { None }
    }

    /// A lookup that starts from the closest contacts of our tables.
    pub(super) fn new_lookup(
        &self,
        kind: &Kind,
        target: Id,
        families: Families,
        region: Option<Distance>,
    ) -> Lookup {
        let config = self.config.lookup.clone();
        let k = config.k;
        let mask = self.mask(kind);
        let mut lookup = Lookup::new(target, self.id(), families, config).with_mask(mask);
        if let Kind::Part { key, .. } = kind {
            lookup = lookup.around(*key);
        }
        lookup.presume_dead(self.requests.deaths());
        if let Some(bound) = region {
            lookup.widen(bound);
        }
        if matches!(kind, Kind::Signal { at: Some(_), .. }) {
            return lookup;
        }
        for family in families.iter() {
            // Those beyond the k closest are asked where nearer ones fail: a lookup whose first
            // contacts are all dead would else end, in the midst of a table that others are in.
            let most = k.saturating_mul(START);
            let table = self.table(family);
            let sound: Vec<Contact> = table.closest(target, Filter::default()).take(most).collect();
            // Whoever failed of late is only in the way, unless there is nobody else.
            if sound.len() < k {
                let all = table.closest(target, Filter::default().or_doubtful());
                lookup.start(all.take(most));
            }
            lookup.start(sound);
        }
        lookup
    }

    /// Ends an operation: its traffic stops, and `Done` is the last that is heard of it.
    pub(super) fn finish(&mut self, now: Instant, id: u64, outcome: Outcome) {
        let Some(mut operation) = self.operations.remove(&id) else { return };
        // What was taken back is for nobody.
        if operation.totals.stored == 0 && outcome != Outcome::Cancelled {
            self.keep_own_entry(now, &operation);
        }
        self.starved.remove(&id);
        if operation.whose != Whose::Callers {
            self.background = self.background.saturating_sub(1);
        }
        self.alarms.remove(&(operation.alarm, id));
        self.abandon(id, &operation);
        if operation.closest.is_empty() {
            operation.keep_closest(self.config.lookup.k);
        }
        // Bootstrap addresses that were silent until now: said, before the end is.
        for (&path, _) in core::mem::take(&mut operation.entries).iter() {
            let (peer, reason) = (Asked { id: None, path }, PeerFailure::Timeout);
            self.tell(&operation, Event::Failed { operation: OperationId(id), peer, reason });
        }
        self.end_parts(now, &mut operation);
        match operation.kind {
            Kind::Part { of, .. } => self.part_done(now, id, &operation, of),
            Kind::Bootstrap if outcome != Outcome::Cancelled => {
                self.joined(now, operation.totals.answered > 0);
            }
            _ => self.published(now, id, &operation, outcome),
        }
        #[cfg(feature = "mainline")]
        self.tell_swarm(id, &operation);
        let mut totals = operation.totals;
        totals.elapsed = now.since(operation.started);
        let closest = core::mem::take(&mut operation.closest);
        self.tell(&operation, Event::Done { operation: OperationId(id), outcome, closest, totals });
    }

    /// Forgets the questions of an operation, but for those to contacts that are as good as dead: when
    /// their time is up the table is to know.
    fn abandon(&mut self, id: u64, operation: &Operation) {
        let lookup = &operation.lookup;
        let waits_beside = operation.beside.iter().any(|aside| aside.waits);
        if operation.pending == 0 && lookup.progress().in_flight == 0 && !waits_beside {
            return;
        }
        self.requests.cancel(|purpose| {
            purpose.operation() == Some(id)
                && !matches!(purpose, Purpose::Step { contact, .. }
                    if lookup.is_silent(contact.id, contact.addr()))
        });
    }

    /// There is nobody to keep our search entry: then we do, for whoever comes and asks us.
    fn keep_own_entry(&mut self, now: Instant, operation: &Operation) {
        let Kind::Publish(entry) = &operation.kind else { return };
        let own = super::queries::itself(Family::V4, 0);
        for word in entry.words() {
            // Without room for it there is nothing to be done about it.
            let _ = self.store.put_entry(now, word.key(), entry.clone(), own);
        }
    }

    /// Sends a question and remembers what it was for. Gives the bytes sent, or none if as many
    /// questions as allowed are open.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        path: Path,
        expected: Option<Id>,
        query: Query<'_>,
        purpose: Purpose,
    ) -> Option<usize> {
        let transaction = self.requests.start(now, path, expected, purpose, &mut self.rng).ok()?;
        Some(self.send_query(path, transaction, query))
    }

    fn send_query(&mut self, path: Path, transaction: u64, query: Query<'_>) -> usize {
        let bytes = transaction.to_be_bytes();
        let own = bytes.len() - self.wire.transaction_bytes();
        let mut message = Message::new(
            bytes.get(own..).unwrap_or(&bytes),
            self.own_id(path.family()),
            Body::Query(query),
        );
        message.client = self.is_client();
        message.capabilities = Some(self.config.capabilities);
        message.cookie = self.proofs.cookie(&path.remote);
        self.reach.wrote(self.now, path.remote);
        self.send(path, &message)
    }

    /// Encodes and queues one datagram; gives its length.
    pub(super) fn send(&mut self, path: Path, message: &Message<'_>) -> usize {
        let grease = self.rng.one_in(self.config.grease_one_in.into()).then(|| self.rng.next_u32());
        // What goes to an address that has shown nothing has been cut to its room already.
        let is_cut = message.cookie.is_some() && !matches!(message.body, Body::Query(_));
        let grease = grease.filter(|_| !is_cut);
        let mut payload = Vec::new();
        self.wire.encode(message, grease, &mut payload);
        self.stats.datagrams_out += 1;
        self.stats.bytes_out += payload.len() as u64;
        let len = payload.len();
        if self.transmits.len() < self.config.max_transmits {
            self.transmits.push_back(Transmit { path, payload });
        } else {
            self.stats.transmits_lost += 1;
        }
        len
    }

    /// An event of an operation that takes work to put together, unless the node runs it for
    /// itself.
    pub(super) fn tell_of(&mut self, operation: &Operation, event: impl FnOnce() -> Event) {
        if operation.whose == Whose::Callers {
            self.push_event(event());
        }
    }

    /// An event of an operation, unless the node runs it for itself.
    pub(super) fn tell(&mut self, operation: &Operation, event: Event) {
        if operation.whose == Whose::Callers {
            self.push_event(event);
        }
    }
}
