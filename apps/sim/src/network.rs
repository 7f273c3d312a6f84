//! The network: machines shared out among shards, and the clock that jumps from event to event.
//!
//! What happens at one machine follows from what happened there before and what arrives; everything
//! random about a datagram follows from its sender and number. So the order in which machines are
//! run matters only as far as one can reach the other in the meantime, and that takes a datagram's
//! least delay: threads may run their shards alone for so long (`network/windows.rs`) and the
//! result is that of one thread. What concerns more than one machine (a node leaves and another
//! comes, commands, partitions) happens while the threads rest.

use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::sync::Arc;
use core::cmp::Reverse;
use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::{Config, Families, Id, Instant, Rejected, Rng};

use crate::address::AddressPlan;
use crate::churn::Sessions;
use crate::host::{NodeIndex, Rewrite};
use crate::hostile::Conspiracy;
use crate::link::LinkModel;
use crate::nat::NatModel;
use crate::watch::Watch;

mod build;
mod ground;
mod look;
mod pace;
mod passage;
mod run;
mod shard;
mod windows;

use pace::Pace;
use passage::Ground;
use shard::Shard;

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
    /// How many threads may run the nodes. The results do not depend on it; where one is quicker,
    /// in small networks or beside other work, the others rest.
    pub threads: usize,
    /// Who follows the run, and may stop it.
    pub watch: Option<Watch>,
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
            threads: 1,
            watch: None,
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

impl Counters {
    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.undeliverable += other.undeliverable;
        for (reason, count) in &other.rejected {
            *self.rejected.entry(*reason).or_insert(0) += count;
        }
        self.replaced += other.replaced;
    }
}

#[derive(Clone)]
struct Churn {
    sessions: Sessions,
    /// What newcomers are in turn; not empty.
    newcomers: Vec<NodeOptions>,
}

/// A network of nodes.
#[derive(Clone)]
pub struct Network {
    config: SimConfig,
    rng: Rng,
    now: Instant,
    shards: Vec<Shard>,
    pace: Pace,
    /// Who leaves when: only while no thread runs.
    leaving: BinaryHeap<Reverse<(Instant, NodeIndex)>>,
    /// Running nodes that answer others or not: from here come random choices.
    live: Vec<NodeIndex>,
    /// How many machines there ever were.
    machines: u32,
    /// Where nodes stand in a partition; side 0 is not named.
    sides: BTreeMap<NodeIndex, u8>,
    /// Machines at addresses that are not in the plan.
    elsewhere: BTreeMap<SocketAddr, NodeIndex>,
    /// Whether there ever were machines of an attacker: they share what they know at once.
    attacked: bool,
    churn: Option<Churn>,
    replaced: u64,
}

impl Network {
    /// What the threads share, and the shards.
    const fn parts(&mut self) -> (Ground<'_>, &mut Vec<Shard>) {
        let ground = Ground {
            config: &self.config,
            sides: &self.sides,
            elsewhere: &self.elsewhere,
            shards: self.shards.len() as u32,
        };
        (ground, &mut self.shards)
    }
}
