//! One node and what its host keeps for it.

use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;

use kadlet_core::{Event, Families, Family, Instant, Node, Path, Rng, Transmit};

use crate::hostile::{Conspiracy, Member, Reaction};
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

/// What sits at an address.
#[derive(Debug)]
pub(crate) enum Machine {
    /// A node that runs.
    Node(Box<Node>),
    /// Somebody who only collects what arrives: tests speak for it.
    Listener(Vec<(Path, Vec<u8>)>),
    /// Nobody any more.
    Gone,
}

/// A machine in the network.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) machine: Machine,
    pub(crate) addresses: [Option<SocketAddr>; 2],
    /// Where a running node stands in the list of those that run.
    pub(crate) place: usize,
    /// Whether its cable is in.
    pub(crate) connected: bool,
    /// The NAT or firewall before it.
    pub(crate) gate: Option<Box<Gate>>,
    /// When its line is free again, where lines are narrow.
    pub(crate) lines: Lines,
    /// When it came.
    pub(crate) born: Instant,
    /// The earliest time for which a wake-up lies in the queue.
    pub(crate) armed: Option<Instant>,
    /// Wake-ups in a row that left the deadline where it was.
    pub(crate) spins: u32,
    pub(crate) rewrite: Option<Rewrite>,
    /// Whose machine it is, if an attacker's.
    pub(crate) conspiracy: Option<Arc<Conspiracy>>,
    pub(crate) traffic: Traffic,
    /// Events that belong to no operation.
    pub(crate) notices: Vec<Event>,
}

impl Host {
    pub(crate) const fn new(machine: Machine, addresses: [Option<SocketAddr>; 2]) -> Self {
        Self {
            machine,
            addresses,
            place: 0,
            connected: true,
            gate: None,
            lines: Lines::NEW,
            born: Instant::EPOCH,
            armed: None,
            spins: 0,
            rewrite: None,
            conspiracy: None,
            traffic: Traffic { datagrams_out: 0, bytes_out: 0, datagrams_in: 0, bytes_in: 0 },
            notices: Vec::new(),
        }
    }

    /// What an attacker makes of a datagram that arrives here.
    pub(crate) fn react(&self, from: &Path, payload: &[u8]) -> Reaction {
        let (Some(conspiracy), Some(node)) = (&self.conspiracy, self.node()) else {
            return Reaction::Pass;
        };
        let Some(address) = self.address(Family::V4) else { return Reaction::Pass };
        conspiracy.react(Member { id: node.id(), address }, from.remote, payload)
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

    pub(crate) const fn address(&self, family: Family) -> Option<SocketAddr> {
        match family {
            Family::V4 => self.addresses[0],
            Family::V6 => self.addresses[1],
        }
    }

    pub(crate) fn families(&self) -> Families {
        Family::ALL
            .into_iter()
            .filter(|family| self.address(*family).is_some())
            .fold(Families::NONE, |set, family| set.union(Families::only(family)))
    }
}
