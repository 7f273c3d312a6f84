//! Building a network, and what happens to its nodes.

use alloc::collections::{BTreeMap, BinaryHeap, VecDeque};
use core::cmp::Reverse;
use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::{Config, Families, Family, Id, Instant, LinkId, Node, Path, Rng};

use super::pace::Pace;
use super::shard::Shard;
use super::{Churn, Network, NodeOptions, SimConfig};
use crate::churn::Sessions;
use crate::host::{Host, Machine, NodeIndex, Rewrite};
use crate::hostile::Member;
use crate::link::LinkModel;
use crate::report::{NotAtRest, Operation};

/// Nodes that a newcomer is told of.
const INTRODUCTIONS: usize = 3;
/// Threads in one run at most: more than any machine has to spare for it.
const MAX_THREADS: usize = 256;
/// The simulated networks carry what every IPv6 network does.
const MTU: u16 = 1_232;

/// Building, and what happens to nodes.
impl Network {
    /// An empty network at time 0.
    #[must_use]
    pub fn new(config: SimConfig) -> Self {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&config.seed.to_le_bytes());
        let shards = config.threads.clamp(1, MAX_THREADS);
        Self {
            rng: Rng::from_seed(seed),
            now: Instant::EPOCH,
            shards: (0..shards).map(|number| Shard::new(number, shards)).collect(),
            pace: Pace::default(),
            leaving: BinaryHeap::new(),
            live: Vec::new(),
            machines: 0,
            sides: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            attacked: false,
            churn: None,
            replaced: 0,
            config,
        }
    }

    /// Adds a node that knows nobody.
    pub fn add_node(&mut self, options: NodeOptions) -> NodeIndex {
        let id = options.id.unwrap_or_else(|| Id::random(&mut self.rng));
        let node = Node::new(options.config.clone(), id, self.rng.bytes(), self.now);
        self.add_running(node, options)
    }

    /// Puts a node into the network.
    pub(super) fn add_running(&mut self, mut node: Node, options: NodeOptions) -> NodeIndex {
        let (plan, families) = (self.config.addresses, options.families);
        let index = NodeIndex(self.machines);
        let mut host = Host::new(Machine::Gone, index, families);
        if let Some(own) = options.address.filter(|_| families.contains(Family::V4)) {
            host.interface.elsewhere = Some(Box::new(own));
            self.elsewhere.insert(own, index);
        }
        let [v4, v6] = Family::ALL.map(|family| host.interface.address(plan, family));
        if let Some(local) = v4.or(v6) {
            node.link_up(self.now, LinkId(0), local, families, MTU);
        }
        if let (Some(conspiracy), Some(address)) = (options.hostile, v4) {
            conspiracy.enlist(Member { id: node.id(), address });
            host.conspiracy = Some(conspiracy);
            self.attacked = true;
        }
        if options.rewrite.is_some() {
            host.extras().rewrite = options.rewrite;
        }
        host.machine = Machine::Node(Box::new(node));
        host.interface.gate = self.config.nat.gate(self.config.seed, index).map(Box::new);
        host.born = self.now;
        // Fewer than 2^32, as their indices are.
        host.place = self.live.len() as u32;
        self.add_host(host);
        self.live.push(index);
        self.attend(index);
        index
    }

    /// Adds somebody who only listens: what arrives there is for [`Self::heard`], and
    /// [`Self::send_from`] speaks for it.
    pub fn add_listener(&mut self) -> NodeIndex {
        let index = NodeIndex(self.machines);
        self.add_host(Host::new(Machine::Listener(Vec::new()), index, Families::V4));
        index
    }

    /// [`Self::add_listener`] at an IPv4 address that the plan of the network does not give out.
    pub fn add_listener_at(&mut self, address: SocketAddr) -> NodeIndex {
        let index = self.add_listener();
        self.host_mut(index).interface.elsewhere = Some(Box::new(address));
        self.elsewhere.insert(address, index);
        index
    }

    fn add_host(&mut self, host: Host) {
        let shard = self.machines as usize % self.shards.len();
        self.shards[shard].hosts.push(host);
        self.machines += 1;
    }

    /// Adds `count` nodes one after the other, each of which joins through nodes that were there
    /// before it, and runs until all have joined.
    ///
    /// # Errors
    /// If one of them does not end its joining.
    pub fn grow(&mut self, count: usize, config: &Config) -> Result<Vec<NodeIndex>, NotAtRest> {
        self.grow_with(count, &NodeOptions::new(config.clone()))
    }

    /// [`Self::grow`] with nodes of which more than the settings is particular.
    ///
    /// # Errors
    /// If one of them does not end its joining.
    pub fn grow_with(
        &mut self,
        count: usize,
        options: &NodeOptions,
    ) -> Result<Vec<NodeIndex>, NotAtRest> {
        self.grow_each(core::iter::repeat_with(|| options.clone()).take(count))
    }

    /// [`Self::grow`] with a node for each of these.
    ///
    /// # Errors
    /// If one of them does not end its joining.
    pub fn grow_each(
        &mut self,
        options: impl Iterator<Item = NodeOptions>,
    ) -> Result<Vec<NodeIndex>, NotAtRest> {
        let mut nodes = Vec::with_capacity(options.size_hint().0);
        let mut joining = VecDeque::new();
        for options in options {
            let (node, join) = self.add_newcomer(options);
            nodes.push(node);
            if let Some(join) = join {
                self.watch_end(join);
                joining.push_back(join);
            }
            while joining.front().is_some_and(|join| self.is_done(*join)) {
                joining.pop_front().map(|join| self.forget(join));
            }
            self.run_for(pause(self.live.len()));
        }
        for join in joining {
            self.wait(join)?;
        }
        Ok(nodes)
    }

    /// Has `node` join through others; the operation is watched.
    pub fn join(&mut self, node: NodeIndex, through: &[NodeIndex]) -> Operation {
        let families = self.families(node);
        let paths: Vec<Path> = through
            .iter()
            .flat_map(|other| families.iter().filter_map(|f| self.address_of(*other, f)))
            .map(Path::direct)
            .collect();
        self.command(node, |node, now| node.bootstrap(now, &paths))
    }

    /// Ends a node without goodbye; datagrams to it vanish from now on.
    pub fn kill(&mut self, node: NodeIndex) {
        let address = self.address_of(node, Family::V4);
        let host = self.host_mut(node);
        let place = host.place;
        if let (Some(conspiracy), Some(address)) = (host.conspiracy.take(), address) {
            conspiracy.dismiss(address);
        }
        if let Some(extras) = &mut host.extras {
            extras.watched = Vec::new();
        }
        if matches!(core::mem::replace(&mut host.machine, Machine::Gone), Machine::Node(_)) {
            self.live.swap_remove(place as usize);
            if let Some(moved) = self.live.get(place as usize).copied() {
                self.host_mut(moved).place = place;
            }
        }
    }

    /// Pulls out a node's cable, or puts it back; the node is not told.
    pub fn set_connected(&mut self, node: NodeIndex, connected: bool) {
        self.host_mut(node).interface.connected = connected;
    }

    /// From now on what a node sends is changed by `rewrite`.
    pub fn set_rewrite(&mut self, node: NodeIndex, rewrite: Option<Rewrite>) {
        self.host_mut(node).extras().rewrite = rewrite;
    }

    /// Puts a node on one side of a partition: datagrams pass only between nodes of the same side.
    /// All begin on side 0.
    pub fn set_side(&mut self, node: NodeIndex, side: u8) {
        if side == 0 {
            self.sides.remove(&node);
        } else {
            self.sides.insert(node, side);
        }
    }

    /// The network between the nodes, to be changed while it runs.
    pub const fn link_mut(&mut self) -> &mut LinkModel {
        &mut self.config.link
    }

    /// From now on nodes leave when their session ends, and a newcomer with these options joins in
    /// the place of each. The nodes in `stay` never leave.
    pub fn start_churn(&mut self, sessions: Sessions, options: NodeOptions, stay: &[NodeIndex]) {
        self.start_churn_of(sessions, vec![options], stay);
    }

    /// [`Self::start_churn`] with newcomers that are of these kinds in turn.
    ///
    /// # Panics
    /// If there is no kind.
    pub fn start_churn_of(
        &mut self,
        sessions: Sessions,
        newcomers: Vec<NodeOptions>,
        stay: &[NodeIndex],
    ) {
        assert!(!newcomers.is_empty(), "who leaves is replaced by somebody");
        for node in self.live.clone() {
            if !stay.contains(&node) {
                let end = sessions.end_of_present(self.now, &mut self.rng);
                self.leaving.push(Reverse((end, node)));
            }
        }
        self.churn = Some(Churn { sessions, newcomers });
    }

    /// Nobody leaves any more.
    pub fn stop_churn(&mut self) {
        self.churn = None;
    }

    pub(super) fn add_newcomer(&mut self, options: NodeOptions) -> (NodeIndex, Option<Operation>) {
        let mut through = Vec::with_capacity(INTRODUCTIONS);
        // In a network of both families some nodes are of no use to some.
        for _ in 0..8 * INTRODUCTIONS.min(self.live.len()) {
            let node = self.random_live();
            let shared = self.families(node).bits() & options.families.bits();
            if shared != 0 && !through.contains(&node) && through.len() < INTRODUCTIONS {
                through.push(node);
            }
        }
        let node = self.add_node(options);
        let join = (!through.is_empty()).then(|| self.join(node, &through));
        (node, join)
    }
}

/// How long until the next newcomer comes: more than ten a second, or one of a hundred nodes, would
/// find nobody ready. So a network of 100,000 has grown in 9 minutes.
fn pause(live: usize) -> Duration {
    Duration::from_micros(100_000_000 / (live as u64).max(1_000))
}
