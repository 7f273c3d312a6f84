//! The network: hosts, the queue between them, and the clock that jumps from event to event.
//!
//! The loop of every host is the same: hand the node what happened, drain what it sends and says,
//! ask for its deadline, and put a wake-up into the queue if that is earlier than the one which
//! lies there. A wake-up that has become too early asks again instead of waking (lazy deletion):
//! there is rarely more than one of a node in the queue.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::{Config, Event, Families, Id, Instant, Rejected, Rng};

use crate::address::AddressPlan;
use crate::churn::Sessions;
use crate::host::{Host, NodeIndex, Rewrite};
use crate::hostile::Conspiracy;
use crate::link::LinkModel;
use crate::nat::NatModel;
use crate::queue::Queue;
use crate::report::Operation;
use crate::trace::Trace;

mod build;
mod ground;
mod look;
mod passage;
mod run;

/// What a simulated network is made of.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct SimConfig {
    /// All randomness follows from it.
    pub seed: u64,
    /// The network between the nodes.
    pub link: LinkModel,
    /// What stands before the nodes.
    pub nat: NatModel,
    /// From which range the addresses are.
    pub addresses: AddressPlan,
    /// How long [`Network::wait`] runs, in virtual time: far above every timeout of an operation.
    pub patience: Duration,
    /// Whether [`Network::trace_hash`] is kept; costs some microseconds an event.
    pub trace: bool,
}

impl SimConfig {
    /// An office network with the internet's round-trip times and nothing lost.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self {
            seed,
            link: LinkModel::default(),
            nat: NatModel::NONE,
            addresses: AddressPlan::Private,
            patience: Duration::from_secs(600),
            trace: false,
        }
    }
}

/// What is particular about one node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeOptions {
    /// Its settings.
    pub config: Config,
    /// Its id; drawn if none.
    pub id: Option<Id>,
    /// The families it has addresses in.
    pub families: Families,
    /// What becomes of its datagrams.
    pub rewrite: Option<Rewrite>,
    /// Whose machine it is, if an attacker's (IPv4 only).
    pub hostile: Option<Arc<Conspiracy>>,
    /// Its IPv4 address, if not the one that the plan of the network gives it.
    pub address: Option<SocketAddr>,
}

impl NodeOptions {
    /// A node with these settings, a random id and an IPv4 address.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        let (id, families, rewrite) = (None, Families::V4, None);
        Self { config, id, families, rewrite, hostile: None, address: None }
    }
}

/// What happened in the whole network.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams sent by anybody.
    pub sent: u64,
    /// Datagrams that reached a machine, duplicates too.
    pub delivered: u64,
    /// Datagrams the network lost.
    pub lost: u64,
    /// Datagrams to addresses where nobody is, or across a partition.
    pub undeliverable: u64,
    /// What nodes refused, by reason.
    pub rejected: BTreeMap<Rejected, u64>,
    /// Nodes that left and were replaced.
    pub replaced: u64,
}

struct Churn {
    sessions: Sessions,
    options: NodeOptions,
}

/// A network of nodes.
pub struct Network {
    config: SimConfig,
    rng: Rng,
    now: Instant,
    queue: Queue,
    hosts: Vec<Host>,
    /// Machines at addresses that are not in the plan.
    elsewhere: BTreeMap<SocketAddr, NodeIndex>,
    /// Running nodes that answer others or not: from here come random choices.
    live: Vec<NodeIndex>,
    watched: BTreeMap<Operation, Vec<(Instant, Event)>>,
    /// Where nodes stand in a partition; side 0 is not named.
    sides: BTreeMap<NodeIndex, u8>,
    churn: Option<Churn>,
    counters: Counters,
    trace: Trace,
}
