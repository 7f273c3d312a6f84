//! One node with what its host knows of it, and what must hold after every call.

use alloc::collections::BTreeSet;
use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::wire::{Body, Malformed, Wire};
use kadlet_core::{
    Change, Config, Event, Families, Family, Id, Instant, Node, OperationId, Path, Rejected,
    StoreChange, Transmit,
};

use super::Datagram;
use crate::input::Input;

/// Calls after which a deadline must lie ahead. Each does a bounded amount of work: here there are
/// a dozen records, as many operations, and 32 newcomers that each may get all records.
pub(super) const TURNS: usize = 1_000;

/// An answer to an address without proof is at most this many times as long as the question.
const AMPLIFICATION: usize = 3;

pub(super) struct Host {
    pub(super) node: Node,
    pub(super) addresses: [SocketAddr; 2],
    seed: u8,
    started: BTreeSet<OperationId>,
    done: BTreeSet<OperationId>,
    /// Who has shown, or may have shown, that it receives what we send.
    proven: BTreeSet<SocketAddr>,
    record: Vec<u8>,
}

impl Host {
    pub(super) fn new(
        config: &Config,
        index: u8,
        addresses: [SocketAddr; 2],
        now: Instant,
    ) -> Self {
        let id = Id::new([index * 100 + 1; Id::LEN]);
        Self {
            node: Node::new(config.clone(), id, [index; 32], now),
            addresses,
            seed: index,
            started: BTreeSet::new(),
            done: BTreeSet::new(),
            proven: BTreeSet::new(),
            record: Vec::new(),
        }
    }

    pub(super) const fn address(&self, family: Family) -> SocketAddr {
        match family {
            Family::V4 => self.addresses[0],
            Family::V6 => self.addresses[1],
        }
    }

    /// A datagram arrives; gives what is sent because of it.
    pub(super) fn hear(&mut self, now: Instant, wire: &Wire, datagram: &Datagram) -> Vec<Transmit> {
        let from = datagram.from;
        let before = self.node.health();
        let events = (self.started.len(), self.done.len());
        let result = self.node.handle_datagram(now, Path::direct(from), &datagram.payload);
        let sent = self.drain(wire);
        if let Err(reason) = result
            && !tells_something(reason)
        {
            assert_eq!(self.node.health(), before, "{reason:?} changed something");
            assert_eq!((self.started.len(), self.done.len()), events, "{reason:?}");
            // Mainline tells whoever is waiting that its question cannot be read.
            let due = usize::from(wire.waiting(&datagram.payload).is_some());
            let to_it = sent.iter().all(|it| it.path.remote == from);
            assert!(sent.len() <= due && to_it, "{reason:?} was answered");
        }
        let message = wire.decode(&datagram.payload);
        if let Ok(message) = &message {
            let answered = result.is_ok() && !matches!(message.body, Body::Query(_));
            if answered || message.cookie.is_some() {
                self.proven.insert(from);
            }
        }
        let held_to_it = self.node.config().amplification.holds_for(from.ip());
        if held_to_it && !self.proven.contains(&from) {
            let back = sent.iter().filter(|it| it.path.remote == from);
            let bytes: usize = back.map(|it| it.payload.len()).sum();
            let most = AMPLIFICATION * datagram.payload.len();
            assert!(bytes <= most, "{bytes} bytes for {}", datagram.payload.len());
        }
        self.check();
        sent
    }

    /// Empties the queues, and looks at everything that comes out.
    pub(super) fn drain(&mut self, wire: &Wire) -> Vec<Transmit> {
        let sent: Vec<Transmit> = core::iter::from_fn(|| self.node.poll_transmit()).collect();
        assert!(sent.len() <= self.node.config().max_transmits);
        for transmit in &sent {
            self.look_at(wire, transmit);
        }
        let mut told = 0;
        while let Some(event) = self.node.poll_event() {
            told += usize::from(!matches!(event, Event::Done { .. }));
            self.note(&event);
        }
        assert!(told <= self.node.config().max_events);
        let mut changes = 0;
        while let Some(change) = self.node.poll_change() {
            changes += 1;
            if let Change::Record(StoreChange::Stored { record, .. }) = change {
                self.record = record;
            }
        }
        // One that says that contacts changed, one that says that changes were lost.
        assert!(changes <= 2 + self.node.config().store.max_changes);
        sent
    }

    fn look_at(&self, wire: &Wire, transmit: &Transmit) {
        let most = match wire {
            Wire::Native(_) => 1_232,
            _ => 1_500,
        };
        assert!(transmit.payload.len() <= most, "{} bytes", transmit.payload.len());
        assert!(kadlet_core::is_usable(transmit.path.remote), "{}", transmit.path.remote);
        let message = wire.decode(&transmit.payload);
        let message = message.unwrap_or_else(|why| {
            panic!("we sent what we cannot read: {why}: {:02x?}", transmit.payload)
        });
        // Mainline's errors name nobody.
        let anonymous = matches!((wire, &message.body), (Wire::Mainline(_), Body::Error(_)));
        // BEP 42 gives a node an id for each family.
        let own = self.node.table(transmit.path.family()).own();
        assert_eq!(message.sender, (!anonymous).then_some(own));
    }

    /// `Started` first, `Done` last, nothing after it.
    fn note(&mut self, event: &Event) {
        let Some(operation) = event.operation() else { return };
        if matches!(event, Event::Started { .. }) {
            assert!(self.started.insert(operation), "{operation} started twice");
        }
        assert!(!self.done.contains(&operation), "after its end: {event:?}");
        if let Event::Done { .. } = event {
            self.done.insert(operation);
        } else {
            // Told only if there was room for its start.
            let lost = self.node.stats().events_lost > 0;
            assert!(lost || self.started.contains(&operation), "before its start: {event:?}");
        }
    }

    /// What holds whatever happened.
    pub(super) fn check(&self) {
        let config = self.node.config();
        for family in Family::ALL {
            let table = self.node.table(family);
            assert!(table.get(self.node.id()).is_none(), "ourselves in our table");
            let mut contacts = 0;
            for bucket in table.buckets() {
                contacts += bucket.contacts().len();
                assert!(bucket.contacts().len() <= config.table.k);
                assert!(bucket.replacements().len() <= config.table.replacements);
                for entry in bucket.contacts().chain(bucket.replacements()) {
                    assert_ne!(entry.contact.id, self.node.id());
                    assert!(bucket.covers(entry.contact.id));
                    assert_eq!(Family::of(&entry.contact.addr()), family);
                    assert!(kadlet_core::is_usable(entry.contact.addr()));
                }
            }
            assert_eq!(contacts, table.len());
        }
        let health = self.node.health();
        assert!(health.records <= config.store.max_records);
        assert!(health.publications <= config.max_publications);
    }

    pub(super) fn running(&self) -> Vec<OperationId> {
        self.started.difference(&self.done).copied().collect()
    }

    pub(super) fn is_done(&self, operation: OperationId) -> bool {
        self.done.contains(&operation)
    }

    /// Writes the state down and begins again from it.
    pub(super) fn restart(&mut self, now: Instant, elapsed: Duration, input: &mut Input<'_>) {
        let mut state = self.node.export_state(now);
        let config = self.node.config().clone();
        if input.bit() {
            let at = input.below(state.len().min(256));
            state[at] ^= 1 | input.byte();
            let restored = Node::restore(config, &state, [0; 32], now, elapsed);
            assert!(restored.is_err(), "damage that nobody noticed");
            return;
        }
        self.seed = self.seed.wrapping_add(3);
        let node = Node::restore(config, &state, [self.seed; 32], now, elapsed);
        let node = node.expect("what was exported can be restored");
        assert_eq!(node.id(), self.node.id());
        assert!(node.health().records <= self.node.health().records);
        for family in Family::ALL {
            assert!(node.table(family).len() <= self.node.table(family).len());
        }
        self.node = node;
        self.started.clear();
        self.done.clear();
        self.proven.clear();
    }

    /// Gives back the last record that was to be kept, perhaps damaged.
    pub(super) fn restore_record(
        &mut self,
        now: Instant,
        elapsed: Duration,
        input: &mut Input<'_>,
    ) {
        let mut record = self.record.clone();
        if input.bit() && !record.is_empty() {
            let at = input.below(record.len().min(256));
            record[at] = input.byte();
        }
        self.node.restore_record(now, &record, elapsed).ok();
    }

    pub(super) fn shut_down(&mut self, now: Instant) {
        self.node.shutdown(now);
        while let Some(event) = self.node.poll_event() {
            self.note(&event);
        }
        assert!(self.running().is_empty(), "not ended by the shutdown");
        assert_eq!(self.node.poll_timeout(), None);
        let heard = self.node.handle_datagram(now, Path::direct(self.addresses[0]), b"");
        assert_eq!(heard, Err(Rejected::Closed));
        self.node.link_up(now, kadlet_core::LinkId(0), self.addresses[0], Families::BOTH, 0);
        assert_eq!(self.node.poll_timeout(), None);
    }
}

/// Whether what was dropped nevertheless said something: that one whom we asked is somebody else,
/// is ourselves, or lives in another network.
const fn tells_something(reason: Rejected) -> bool {
    matches!(
        reason,
        Rejected::WrongId
            | Rejected::OwnId
            | Rejected::Malformed(Malformed::OtherNetwork | Malformed::OtherVersion)
    )
}
