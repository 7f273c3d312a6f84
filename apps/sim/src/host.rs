//! One node and what its host keeps for it.

use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;

use kadlet_core::{Event, Families, Family, Instant, Node, OperationId, Path, Rng, Transmit};

use crate::address::AddressPlan;
use crate::queue::Order;

use crate::hostile::{Conspiracy, Reaction};
use crate::link::Lines;
use crate::nat::Gate;

/// Names a node of a network; never used twice, whoever leaves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeIndex(pub u32);

impl fmt::Display for NodeIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

/// Changes what a node sends, to play another version of it: gets each datagram and gives those
/// that leave instead.
pub type Rewrite = fn(&mut Rng, Transmit) -> Vec<Transmit>;

/// What a node has sent and received.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Traffic {
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Datagrams that arrived.
    pub datagrams_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
}

impl Traffic {
    pub(crate) const fn add(&mut self, other: &Self) {
        self.datagrams_out += other.datagrams_out;
        self.bytes_out += other.bytes_out;
        self.datagrams_in += other.datagrams_in;
        self.bytes_in += other.bytes_in;
    }
}

/// What sits at an address.
#[derive(Clone, Debug)]
pub(crate) enum Machine {
    /// A node that runs.
    Node(Box<Node>),
    /// Somebody who only collects what arrives: tests speak for it.
    Listener(Vec<(Path, Vec<u8>)>),
    /// Nobody any more.
    Gone,
}

/// What the network sees of a machine: the models in `network/passage.rs` may keep things here.
#[derive(Clone, Debug)]
pub(crate) struct Interface {
    pub(crate) index: NodeIndex,
    /// In which it has an address.
    pub(crate) families: Families,
    /// Its IPv4 address, if not the one of the plan.
    pub(crate) elsewhere: Option<Box<SocketAddr>>,
    /// Whether its cable is in.
    pub(crate) connected: bool,
    /// The NAT or firewall before it.
    pub(crate) gate: Option<Box<Gate>>,
    /// When its line is free again, where lines are narrow.
    pub(crate) lines: Lines,
    pub(crate) traffic: Traffic,
    /// Events of the queue that it has caused.
    pub(crate) caused: u32,
}

impl Interface {
    pub(crate) fn address(&self, plan: AddressPlan, family: Family) -> Option<SocketAddr> {
        let planned = || plan.address(self.index, family);
        self.families.contains(family).then(|| match (&self.elsewhere, family) {
            (Some(own), Family::V4) => **own,
            _ => planned(),
        })
    }

    /// The place in the queue of what it causes next.
    pub(crate) const fn next_order(&mut self) -> Order {
        self.caused = self.caused.wrapping_add(1);
        Order::new(self.index, self.caused)
    }
}

/// What a node says of an operation, as far as somebody wants to know.
#[derive(Clone, Debug)]
pub(crate) enum Watched {
    /// All of it.
    All(Vec<(Instant, Event)>),
    /// Only its end: of 100,000 nodes that join nobody reads the rest.
    End(Option<(Instant, Event)>),
}

impl Watched {
    pub(crate) fn note(&mut self, now: Instant, event: Event) {
        match self {
            Self::All(events) => events.push((now, event)),
            Self::End(end) if matches!(event, Event::Done { .. }) => *end = Some((now, event)),
            Self::End(_) => {}
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::All(events) => matches!(events.last(), Some((_, Event::Done { .. }))),
            Self::End(end) => end.is_some(),
        }
    }

    pub(crate) fn into_events(self) -> Vec<(Instant, Event)> {
        match self {
            Self::All(events) => events,
            Self::End(end) => end.into_iter().collect(),
        }
    }
}

/// What few machines have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    pub(crate) rewrite: Option<Rewrite>,
    /// Events that belong to no operation.
    pub(crate) notices: Vec<Event>,
    /// A handful at most: who runs more of its own has tests written for it.
    pub(crate) watched: Vec<(OperationId, Box<Watched>)>,
}

impl Extras {
    pub(crate) fn watch(&mut self, id: OperationId, watched: Watched) {
        self.watched.push((id, Box::new(watched)));
    }

    pub(crate) fn watched(&self, id: OperationId) -> Option<&Watched> {
        self.watched.iter().find(|(other, _)| *other == id).map(|(_, watched)| &**watched)
    }

    pub(crate) fn watched_mut(&mut self, id: OperationId) -> Option<&mut Watched> {
        self.watched.iter_mut().find(|(other, _)| *other == id).map(|(_, watched)| &mut **watched)
    }

    /// Stops watching; an empty list gives its room back.
    pub(crate) fn forget(&mut self, id: OperationId) -> Option<Watched> {
        let at = self.watched.iter().position(|(other, _)| *other == id)?;
        let (_, watched) = self.watched.swap_remove(at);
        if self.watched.is_empty() {
            self.watched = Vec::new();
        }
        Some(*watched)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rewrite.is_none() && self.notices.is_empty() && self.watched.is_empty()
    }
}

/// A machine in the network. Kept for ever, whoever leaves, so it is small.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) machine: Machine,
    pub(crate) interface: Interface,
    /// The earliest time for which a wake-up lies in the queue.
    pub(crate) armed: Option<Instant>,
    /// Where a running node stands in the list of those that run.
    pub(crate) place: u32,
    /// Wake-ups in a row that left the deadline where it was.
    pub(crate) spins: u32,
    /// Events it said, counted for the trace only.
    pub(crate) said: u64,
    /// When it came.
    pub(crate) born: Instant,
    /// Whose machine it is, if an attacker's.
    pub(crate) conspiracy: Option<Arc<Conspiracy>>,
    pub(crate) extras: Option<Box<Extras>>,
}

impl Host {
    pub(crate) const fn new(machine: Machine, index: NodeIndex, families: Families) -> Self {
        Self {
            machine,
            interface: Interface {
                index,
                families,
                elsewhere: None,
                connected: true,
                gate: None,
                lines: Lines::NEW,
                traffic: Traffic { datagrams_out: 0, bytes_out: 0, datagrams_in: 0, bytes_in: 0 },
                caused: 0,
            },
            armed: None,
            place: 0,
            spins: 0,
            said: 0,
            born: Instant::EPOCH,
            conspiracy: None,
            extras: None,
        }
    }

    pub(crate) fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// What an attacker makes of a datagram that arrives here.
    pub(crate) fn react(&self, plan: AddressPlan, from: &Path, payload: &[u8]) -> Reaction {
        let (Some(conspiracy), Some(node)) = (&self.conspiracy, self.node()) else {
            return Reaction::Pass;
        };
        let Some(address) = self.interface.address(plan, Family::V4) else {
            return Reaction::Pass;
        };
        conspiracy.react((node, address), from.remote, payload)
    }

    /// The node, while it runs.
    pub(crate) fn node(&self) -> Option<&Node> {
        match &self.machine {
            Machine::Node(node) => Some(node),
            Machine::Listener(_) | Machine::Gone => None,
        }
    }

    pub(crate) fn node_mut(&mut self) -> Option<&mut Node> {
        match &mut self.machine {
            Machine::Node(node) => Some(node),
            Machine::Listener(_) | Machine::Gone => None,
        }
    }
}
