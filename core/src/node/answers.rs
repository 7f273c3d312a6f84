//! Answers, and silence.
//!
//! Only an answer that fits a question of ours by transaction, path and id is believed, and then
//! only about its sender: whoever it names is a candidate until it has answered itself.

use alloc::vec::Vec;
use core::time::Duration;

use super::Node;
use super::operation::{Kind, Operation, Purpose, Stage, Whose, secs, travelling};
use crate::contact::{Capabilities, Contact, Family, Path, Scope};
use crate::event::{Asked, Event, OperationId, PeerFailure, Rejected};
use crate::id::Id;
use crate::limit::Cost;
use crate::record::Item;
use crate::requests::{Answered, Expired, Mismatch, Request};
use crate::table::Admission;
use crate::time::Instant;
use crate::wire::{Body, ErrorCode, Failure, List, Message, Method, NodeInfo, Query, Response};

impl Node {
    pub(super) fn handle_response(
        &mut self,
        now: Instant,
        path: Path,
        message: &Message<'_>,
        response: &Response<'_>,
        len: usize,
    ) -> Result<(), Rejected> {
        let answered = self.match_answer(now, path, message)?;
        let sender = self.know_sender(now, path, message, &answered);
        let operation = answered.request.purpose.operation();
        if let Some(operation) = operation.and_then(|id| self.operations.get_mut(&id)) {
            operation.totals.bytes_received += len as u64;
        }
        match answered.request.purpose {
            Purpose::Bootstrap { operation } => {
                self.bootstrap_answered(now, operation, sender, &answered, response);
            }
            Purpose::Step { operation, contact, with_cookie } => {
                if response.short && !with_cookie && message.cookie.is_some() {
                    self.ask_again_with_cookie(now, operation, sender, contact, response);
                } else {
                    self.step_answered(
                        now,
                        operation,
                        sender,
                        &answered,
                        (message.client, response),
                    );
                }
            }
            Purpose::Beside { operation, point } => {
                self.beside_answered(now, operation, point, sender, response);
            }
            Purpose::Page { operation, page } => {
                self.page_answered(now, operation, sender, page, response);
            }
            Purpose::Store { operation, .. } | Purpose::Signal { operation } => {
                self.stored(now, operation, sender);
            }
            Purpose::Offer { item, age } => self.offer_answered(now, sender, &item, age, response),
            // It has a cookie for us with each answer to a question without one that fits.
            Purpose::DialBack => self.dial_back_answered(now, sender, message.cookie.is_some()),
            Purpose::Check | Purpose::Probe | Purpose::Forward => {}
        }
        Ok(())
    }

    pub(super) fn handle_failure(
        &mut self,
        now: Instant,
        path: Path,
        message: &Message<'_>,
        failure: &Failure<'_>,
    ) -> Result<(), Rejected> {
        let answered = self.match_answer(now, path, message)?;
        // An error is an answer: its sender is alive (mistake 25).
        let sender = self.know_sender(now, path, message, &answered);
        let reason = PeerFailure::Refused { code: failure.code, seq: failure.seq };
        match answered.request.purpose {
            Purpose::Step { operation, contact, .. } => {
                self.report_failure(operation, sender.id, path, reason);
                self.with_operation(now, operation, |_, running| {
                    running.totals.answered += 1;
                    let none = core::iter::empty();
                    running.lookup.answered(contact.id, contact.addr(), sender.capabilities, none);
                    if running.kind.stores() {
                        running.lookup.leave_out(contact.id, contact.addr());
                    }
                });
            }
            Purpose::Store { operation, .. } | Purpose::Signal { operation } => {
                self.report_failure(operation, sender.id, path, reason);
                self.with_operation(now, operation, |_, running| {
                    running.pending = running.pending.saturating_sub(1);
                    running.refused(failure.code, failure.seq);
                });
            }
            purpose => {
                // Whoever refuses a ping and does not say who it is has shown nothing. A contact that
                // does so each time would be pinged each time, and nobody else of its bucket.
                if matches!(purpose, Purpose::Check)
                    && message.sender.is_none()
                    && let Some(id) = answered.request.expected
                {
                    self.table_mut(path.family()).failed(now, id, path.remote);
                }
                self.give_up(now, &purpose, path, Some(sender.id), reason);
            }
        }
        Ok(())
    }

    /// A datagram of another network or version. Its question is told so in our own words, which
    /// its sender cannot read either, but knows by the frozen header that they are not its own: a
    /// bootstrap address of another network is named, and does not look dead.
    pub(super) fn handle_foreign(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        let wire = self.wire.clone();
        let Some((is_query, transaction)) = wire.foreign(datagram) else { return };
        if is_query {
            if self.limits.allow(now, Cost::Query, path.remote) {
                let failure = Body::Error(Failure::new(ErrorCode::Protocol));
                self.send(path, &Message::new(transaction, self.own_id(path.family()), failure));
            }
            return;
        }
        let Some(number) = transaction_number(transaction) else { return };
        let expected = self.requests.request(number).map(|request| request.expected);
        if let Some(expected) = expected
            && let Ok(answered) =
                self.requests.answer(now, number, path, expected.unwrap_or(Id::ZERO))
        {
            self.set_offline(now, false);
            // As one that answers under another id: it would else stay for ever, for no question to it
            // goes unanswered.
            if let Some(id) = expected {
                self.forget(now, id, path);
            }
            let reason = PeerFailure::OtherNetwork;
            self.give_up(now, &answered.request.purpose, path, expected, reason);
        }
    }

    /// Our own id: a reflection, or a bootstrap address that is ourselves.
    pub(super) fn handle_own_id(
        &mut self,
        now: Instant,
        path: Path,
        message: &Message<'_>,
    ) -> Result<(), Rejected> {
        let asked = transaction_number(message.transaction)
            .filter(|_| !matches!(message.body, Body::Query(_)))
            .filter(|number| {
                self.requests.request(*number).is_some_and(|it| it.expected.is_none())
            });
        if let (Some(transaction), Some(sender)) = (asked, message.sender)
            && let Ok(answered) = self.requests.answer(now, transaction, path, sender)
        {
            let reason = PeerFailure::Ourselves;
            self.give_up(now, &answered.request.purpose, path, Some(sender), reason);
        }
        Err(Rejected::OwnId)
    }

    fn match_answer(
        &mut self,
        now: Instant,
        path: Path,
        message: &Message<'_>,
    ) -> Result<Answered<Purpose>, Rejected> {
        let transaction = transaction_number(message.transaction).ok_or(Rejected::Unsolicited)?;
        // Mainline's errors name no sender: the transaction and the path must do.
        let expected = || self.requests.request(transaction).and_then(|request| request.expected);
        let sender = message.sender.or_else(expected).unwrap_or(Id::ZERO);
        match self.requests.answer(now, transaction, path, sender) {
            Ok(answered) => {
                self.stats.answers += 1;
                self.set_offline(now, false);
                self.hasten_unheard(now);
                Ok(answered)
            }
            Err(Mismatch::Unknown) => Err(Rejected::Unsolicited),
            Err(Mismatch::WrongPath) => Err(Rejected::WrongAddress),
            Err(Mismatch::WrongId(request)) => {
                self.set_offline(now, false);
                if let Some(stale) = request.expected {
                    self.forget(now, stale, path);
                }
                // Somebody is there all the same, and receives what we send.
                if message.cookie.is_some() || self.minds_proof(path.remote.ip()) {
                    self.proofs.prove(now, path.remote);
                }
                let Request { purpose, expected, .. } = request;
                self.settle_address(&purpose, path, message.sender);
                self.give_up(now, &purpose, path, expected, PeerFailure::WrongId);
                Err(Rejected::WrongId)
            }
        }
    }

    /// Takes a contact out of the table, if it is there at this very address: whoever answers
    /// elsewhere under its id shows nothing about it. One that waits for a place goes as if it had
    /// not answered, or it would be pinged again and again.
    fn forget(&mut self, now: Instant, id: Id, path: Path) {
        let table = self.table_mut(path.family());
        match table.get(id) {
            Some(entry) if entry.contact.path == path => {
                table.remove(now, id);
            }
            Some(_) => {}
            None => {
                table.failed(now, id, path.remote);
            }
        }
    }

    /// Takes note of who answered: proof of its address, its cookie for us, its place in the table.
    fn know_sender(
        &mut self,
        now: Instant,
        path: Path,
        message: &Message<'_>,
        answered: &Answered<Purpose>,
    ) -> Contact {
        if message.cookie.is_some() || self.minds_proof(path.remote.ip()) {
            self.proofs.prove(now, path.remote);
        }
        if let Some(cookie) = message.cookie {
            self.proofs.keep_cookie(&path.remote, cookie);
        }
        let id = message.sender.or(answered.request.expected).unwrap_or(Id::ZERO);
        let capabilities = message.capabilities.unwrap_or(Capabilities::NONE);
        let sender = Contact { id, path, capabilities };
        if let Some(observed) = message.observed {
            self.note_observed(now, observed, path.remote);
        }
        if message.client || !self.counts(id, path.remote) {
            self.forget(now, id, path);
        } else if message.sender.is_some() {
            let rtt = Some(answered.round_trip);
            let admission = self.table_mut(path.family()).verified(now, sender, rtt);
            #[cfg(feature = "mainline")]
            let preferred = self.prefer(now, sender, admission);
            #[cfg(not(feature = "mainline"))]
            let preferred = false;
            if preferred || matches!(admission, Admission::Inserted) {
                self.contacts_changed = true;
                self.hand_over_to(sender);
            }
        }
        sender
    }

    fn bootstrap_answered(
        &mut self,
        now: Instant,
        id: u64,
        sender: Contact,
        answered: &Answered<Purpose>,
        response: &Response<'_>,
    ) {
        let named = self.usable(sender.path, &response.nodes);
        let peer = Asked { id: Some(sender.id), path: sender.path };
        self.with_operation(now, id, |node, operation| {
            operation.pending = operation.pending.saturating_sub(1);
            operation.entries.remove(&sender.path);
            operation.totals.answered += 1;
            node.tell_of(operation, || Event::Answered {
                operation: OperationId(id),
                peer,
                rtt: answered.round_trip,
                named: named.clone(),
            });
            operation.stage = Stage::Looking;
            operation.lookup.start([sender]);
            operation.lookup.heard(Some((sender.id, sender.addr())), named);
        });
    }

    /// The asked node wants proof that its answers arrive here: it gets it at once. What little it
    /// said counts already, so the lookup goes on meanwhile.
    fn ask_again_with_cookie(
        &mut self,
        now: Instant,
        id: u64,
        sender: Contact,
        contact: Contact,
        response: &Response<'_>,
    ) {
        let mut named = self.usable(sender.path, &response.nodes);
        self.with_operation(now, id, |node, operation| {
            operation.kind.leave_out(&mut named);
            operation.lookup.heard(Some((contact.id, contact.addr())), named);
            node.ask_step(now, id, operation, contact, true);
        });
    }

    fn step_answered(
        &mut self,
        now: Instant,
        id: u64,
        sender: Contact,
        answered: &Answered<Purpose>,
        (is_client, response): (bool, &Response<'_>),
    ) {
        let mut named = self.usable(sender.path, &response.nodes);
        self.with_operation(now, id, |node, operation| {
            operation.totals.answered += 1;
            operation.kind.leave_out(&mut named);
            if matches!(operation.kind, Kind::Signal { .. })
                && operation.namer.is_none()
                && named.iter().any(|named| named.id == operation.target)
            {
                operation.namer = Some(sender);
            }
            node.tell_of(operation, || Event::Answered {
                operation: OperationId(id),
                peer: Asked { id: Some(sender.id), path: sender.path },
                rtt: answered.round_trip,
                named: named.clone(),
            });
            operation.lookup.answered(sender.id, sender.addr(), sender.capabilities, named);
            // Where nobody says beforehand who stores: the record goes to the k closest of those who
            // do (BEP 44).
            let keeps_nothing = operation.kind.stores()
                && !node.wire.has_capabilities()
                && response.token.is_none();
            if is_client || keeps_nothing {
                operation.lookup.leave_out(sender.id, sender.addr());
            }
            if keeps_nothing {
                let peer = Asked { id: Some(sender.id), path: sender.path };
                let (operation_id, reason) = (OperationId(id), PeerFailure::NoToken);
                node.tell(operation, Event::Failed { operation: operation_id, peer, reason });
            }
            operation.hasten_signal();
            let copies = node.config.path_copies && response.item.is_none();
            if (operation.kind.stores() || copies)
                && !is_client
                && let Some(token) = response.token
            {
                operation.tokens.insert((sender.id, sender.addr()), token.to_vec());
                operation.hasten_store();
            }
            node.take_results(now, id, operation, sender, 0, response);
        });
    }

    fn page_answered(
        &mut self,
        now: Instant,
        id: u64,
        sender: Contact,
        page: u32,
        response: &Response<'_>,
    ) {
        self.with_operation(now, id, |node, operation| {
            operation.pending = operation.pending.saturating_sub(1);
            node.take_results(now, id, operation, sender, page, response);
        });
    }

    fn stored(&mut self, now: Instant, id: u64, sender: Contact) {
        self.with_operation(now, id, |node, operation| {
            operation.pending = operation.pending.saturating_sub(1);
            operation.totals.stored += 1;
            node.tell(
                operation,
                Event::Stored {
                    operation: OperationId(id),
                    peer: Asked { id: Some(sender.id), path: sender.path },
                    key: operation.target,
                },
            );
        });
    }

    /// The newcomer gave a token: it gets the record.
    fn offer_answered(
        &mut self,
        now: Instant,
        sender: Contact,
        item: &Item,
        age: Duration,
        response: &Response<'_>,
    ) {
        let Some(token) = response.token else { return };
        let (key, item, age) = (item.key(), travelling(item), secs(age));
        let method = Method::Put { token, item, cas: None, age, lifetime: None };
        self.ask(now, sender.path, Some(sender.id), Query::about(key, method), Purpose::Forward);
    }

    /// The contacts in an answer that may be believed for now: a usable address of a scope that its
    /// sender may name, of a family we reach, and not ourselves.
    pub(super) fn usable(&self, from: Path, nodes: &List<'_, NodeInfo>) -> Vec<Contact> {
        let families = self.families();
        let asked = Scope::of(from.remote.ip());
        let [v4, v6] = Family::ALL.map(|family| self.link_for(from.link, family));
        // As many as an answer of k contacts names: room for more is made when they are there.
        let mut usable = Vec::with_capacity(self.config.table.k.min(super::queries::MAX_NODES));
        for node in nodes.iter() {
            let (scope, family) = (Scope::of(node.address.ip()), Family::of(&node.address));
            let passes = node.address.port() != 0
                && scope.zip(asked).is_some_and(|(scope, asked)| scope.may_be_named_by(asked))
                && families.contains(family)
                && !self.ids.contains(&node.id)
                && self.counts(node.id, node.address);
            if !passes {
                continue;
            }
            let link = if family == Family::V4 { v4 } else { v6 };
            let path = Path { link, remote: node.address };
            usable.push(Contact { id: node.id, path, capabilities: node.capabilities });
            if usable.len() == 2 * super::queries::MAX_NODES {
                break;
            }
        }
        usable
    }

    /// Timeouts that passed.
    pub(super) fn expire_requests(&mut self, now: Instant, failed_path: Option<Path>) {
        while let Some(expired) = self.requests.poll(now) {
            match expired {
                Expired::Slow(request) => self.handle_slow(now, &request),
                Expired::Silent(request) => self.handle_silent(now, &request),
                Expired::Dead(request) => {
                    self.stats.timeouts += 1;
                    let reason = if failed_path == Some(request.path) {
                        PeerFailure::PathFailed
                    } else {
                        PeerFailure::Timeout
                    };
                    self.handle_dead(now, request, reason);
                }
            }
        }
        if self.requests.is_offline() {
            self.set_offline(now, true);
        }
    }

    fn handle_slow(&mut self, now: Instant, request: &Request<Purpose>) {
        match request.purpose {
            Purpose::Step { operation, contact, .. } => {
                self.with_operation(now, operation, |_, running| {
                    running.lookup.slow(contact.id, contact.addr());
                    running.target_silent |= contact.id == running.target;
                    running.hasten_signal();
                });
            }
            Purpose::Bootstrap { operation } => {
                self.with_operation(now, operation, |_, running| {
                    if let Some(slow) = running.entries.get_mut(&request.path) {
                        *slow = true;
                    }
                });
            }
            _ => {}
        }
        self.repeat(now, request.transaction, &request.purpose);
    }

    /// Whoever is asked in a lookup and silent for so long is dead, or as good as that: the lookup goes
    /// on without.
    fn handle_silent(&mut self, now: Instant, request: &Request<Purpose>) {
        match request.purpose {
            Purpose::Step { operation, contact, .. } => {
                self.with_operation(now, operation, |_, running| {
                    running.lookup.silent(contact.id, contact.addr());
                });
            }
            Purpose::Beside { operation, point } => {
                self.with_operation(now, operation, |_, running| {
                    running.end_aside(point, request.path.remote);
                });
            }
            _ => {}
        }
    }

    fn handle_dead(&mut self, now: Instant, request: Request<Purpose>, reason: PeerFailure) {
        let Request { path, expected, purpose, sent, .. } = request;
        // Strangers name such addresses, and forge them, or have us ask for them.
        let is_named = match purpose {
            Purpose::Probe | Purpose::Forward => true,
            Purpose::Check => expected.is_none_or(|id| self.table(path.family()).get(id).is_none()),
            _ => false,
        };
        if is_named {
            self.requests.forget_silence(sent);
        }
        // Before the table counts it: with our own link down, nobody is to blame.
        if self.requests.is_offline() {
            self.set_offline(now, true);
        }
        if let Some(id) = expected {
            self.table_mut(path.family()).failed(now, id, path.remote);
        }
        self.settle_address(&purpose, path, None);
        self.give_up(now, &purpose, path, expected, reason);
    }

    /// What a lookup learns of an address besides: who is there, if anybody is.
    fn settle_address(&mut self, purpose: &Purpose, path: Path, who: Option<Id>) {
        if let Purpose::Step { operation, .. } = purpose
            && let Some(operation) = self.operations.get_mut(operation)
        {
            operation.lookup.settle_address(path.remote, who);
        }
    }

    /// No usable answer will come to this request.
    fn give_up(
        &mut self,
        now: Instant,
        purpose: &Purpose,
        path: Path,
        expected: Option<Id>,
        reason: PeerFailure,
    ) {
        let Some(id) = purpose.operation() else { return };
        if matches!(purpose, Purpose::Bootstrap { .. }) {
            return self.give_up_entry(now, id, path, expected, reason);
        }
        self.push_failure(id, Asked { id: expected, path }, reason);
        self.with_operation(now, id, |_, operation| {
            operation.totals.failed += 1;
            match purpose {
                Purpose::Step { contact, .. } => {
                    operation.lookup.failed(contact.id, contact.addr());
                    operation.target_silent |= contact.id == operation.target;
                    operation.hasten_signal();
                }
                Purpose::Beside { point, .. } => operation.end_aside(*point, path.remote),
                _ => {
                    operation.pending = operation.pending.saturating_sub(1);
                    // If it was a page, somebody else's list is read to its end.
                    operation.reader = None;
                }
            }
        });
    }

    /// A bootstrap address failed.
    fn give_up_entry(
        &mut self,
        now: Instant,
        id: u64,
        path: Path,
        expected: Option<Id>,
        reason: PeerFailure,
    ) {
        self.with_operation(now, id, |node, operation| {
            operation.pending = operation.pending.saturating_sub(1);
            operation.entries.remove(&path);
            operation.totals.failed += 1;
            let peer = Asked { id: expected, path };
            node.tell(operation, Event::Failed { operation: OperationId(id), peer, reason });
        });
    }

    fn report_failure(&mut self, operation: u64, id: Id, path: Path, reason: PeerFailure) {
        self.push_failure(operation, Asked { id: Some(id), path }, reason);
    }

    fn push_failure(&mut self, operation: u64, peer: Asked, reason: PeerFailure) {
        if self.operations.get(&operation).is_some_and(|it| it.whose == Whose::Callers) {
            self.push_event(Event::Failed { operation: OperationId(operation), peer, reason });
        }
    }

    /// Changes an operation and carries it on.
    pub(super) fn with_operation(
        &mut self,
        now: Instant,
        id: u64,
        change: impl FnOnce(&mut Self, &mut Operation),
    ) {
        // Out of the map while it is worked on, once for both: its steps need the whole node.
        let Some(mut operation) = self.operations.remove(&id) else { return };
        change(self, &mut operation);
        self.drive_on(now, id, operation);
    }
}

/// Our own transaction ids are big-endian numbers of 4 or 8 bytes.
fn transaction_number(bytes: &[u8]) -> Option<u64> {
    if bytes.len() > 8 {
        return None;
    }
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
