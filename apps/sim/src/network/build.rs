//! Building a network, and what happens to its nodes.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::{Config, Family, Id, Instant, LinkId, Node, OperationId, Path, Rng};

use super::{Churn, Counters, Network, NodeOptions, SimConfig};
use crate::churn::Sessions;
use crate::host::{Host, Machine, NodeIndex, Rewrite};
use crate::hostile::Member;
use crate::link::LinkModel;
use crate::queue::{Happening, Queue};
use crate::report::{NotAtRest, Operation};
use crate::trace::Trace;

/// Nodes that a newcomer is told of.
pub(super) const INTRODUCTIONS: usize = 3;
/// The simulated networks carry what every IPv6 network does.
const MTU: u16 = 1_232;

/// Building, and what happens to nodes.
impl Network {
    /// An empty network at time 0.
    #[must_use]
    pub fn new(config: SimConfig) -> Self {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&config.seed.to_le_bytes());
        Self {
            rng: Rng::from_seed(seed),
            now: Instant::EPOCH,
            queue: Queue::default(),
            hosts: Vec::new(),
            elsewhere: BTreeMap::new(),
            live: Vec::new(),
            watched: BTreeMap::new(),
            sides: BTreeMap::new(),
            churn: None,
            counters: Counters::default(),
            trace: Trace::default(),
            config,
        }
    }

    /// Adds a node that knows nobody.
    pub fn add_node(&mut self, options: NodeOptions) -> NodeIndex {
        let id = options.id.unwrap_or_else(|| Id::random(&mut self.rng));
        let mut node = Node::new(options.config, id, self.rng.bytes(), self.now);
        let index = self.next_index();
        let plan = self.config.addresses;
        let mut addresses = Family::ALL
            .map(|family| options.families.contains(family).then(|| plan.address(index, family)));
        if let ([Some(v4), _], Some(own)) = (&mut addresses, options.address) {
            *v4 = own;
            self.elsewhere.insert(own, index);
        }
        if let Some(local) = addresses.into_iter().flatten().next() {
            node.link_up(self.now, LinkId(0), local, options.families, MTU);
        }
        let mut host = Host::new(Machine::Node(Box::new(node)), addresses);
        host.rewrite = options.rewrite;
        if let (Some(conspiracy), [Some(address), _]) = (options.hostile, addresses) {
            conspiracy.enlist(Member { id, address });
            host.conspiracy = Some(conspiracy);
        }
        host.gate = self.config.nat.gate(self.config.seed, index).map(Box::new);
        host.born = self.now;
        host.place = self.live.len();
        self.hosts.push(host);
        self.live.push(index);
        self.attend(index);
        index
    }

    /// Adds somebody who only listens: what arrives there is for [`Self::heard`], and
    /// [`Self::send_from`] speaks for it.
    pub fn add_listener(&mut self) -> NodeIndex {
        let index = self.next_index();
        let address = self.config.addresses.address(index, Family::V4);
        self.hosts.push(Host::new(Machine::Listener(Vec::new()), [Some(address), None]));
        index
    }

    /// [`Self::add_listener`] at an IPv4 address that the plan of the network does not give out.
    pub fn add_listener_at(&mut self, address: SocketAddr) -> NodeIndex {
        let index = self.next_index();
        self.hosts.push(Host::new(Machine::Listener(Vec::new()), [Some(address), None]));
        self.elsewhere.insert(address, index);
        index
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
        let mut nodes = Vec::with_capacity(count);
        let mut joins = Vec::new();
        for _ in 0..count {
            let (node, join) = self.add_newcomer(options.clone());
            nodes.push(node);
            joins.extend(join);
            // Ten newcomers a second and more while the network is young would find nobody ready.
            self.run_for(Duration::from_millis(100));
        }
        for join in joins {
            self.wait(join)?;
        }
        Ok(nodes)
    }

    /// Has `node` join through others; the operation is watched.
    pub fn join(&mut self, node: NodeIndex, through: &[NodeIndex]) -> Operation {
        let families = self.host(node).families();
        let paths: Vec<Path> = through
            .iter()
            .flat_map(|other| families.iter().filter_map(|f| self.host(*other).address(f)))
            .map(Path::direct)
            .collect();
        self.command(node, |node, now| node.bootstrap(now, &paths))
    }

    /// Ends a node without goodbye; datagrams to it vanish from now on.
    pub fn kill(&mut self, node: NodeIndex) {
        let host = self.host_mut(node);
        let place = host.place;
        let (conspiracy, address) = (host.conspiracy.take(), host.address(Family::V4));
        if let (Some(conspiracy), Some(address)) = (conspiracy, address) {
            conspiracy.dismiss(address);
        }
        let host = self.host_mut(node);
        if matches!(core::mem::replace(&mut host.machine, Machine::Gone), Machine::Node(_)) {
            self.live.swap_remove(place);
            if let Some(moved) = self.live.get(place).copied() {
                self.host_mut(moved).place = place;
            }
        }
        let (first, last) = (OperationId(0), OperationId(u64::MAX));
        let keys = Operation { node, id: first }..=Operation { node, id: last };
        let gone: Vec<_> = self.watched.range(keys).map(|(operation, _)| *operation).collect();
        for operation in gone {
            self.watched.remove(&operation);
        }
    }

    /// Pulls out a node's cable, or puts it back; the node is not told.
    pub fn set_connected(&mut self, node: NodeIndex, connected: bool) {
        self.host_mut(node).connected = connected;
    }

    /// From now on what a node sends is changed by `rewrite`.
    pub fn set_rewrite(&mut self, node: NodeIndex, rewrite: Option<Rewrite>) {
        self.host_mut(node).rewrite = rewrite;
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
        for node in self.live.clone() {
            if !stay.contains(&node) {
                let end = sessions.end_of_present(self.now, &mut self.rng);
                self.queue.push(end, Happening::Leave { node });
            }
        }
        self.churn = Some(Churn { sessions, options });
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
            let shared = self.host(node).families().bits() & options.families.bits();
            if shared != 0 && !through.contains(&node) && through.len() < INTRODUCTIONS {
                through.push(node);
            }
        }
        let node = self.add_node(options);
        let join = (!through.is_empty()).then(|| self.join(node, &through));
        (node, join)
    }

    pub(super) fn next_index(&self) -> NodeIndex {
        NodeIndex(u32::try_from(self.hosts.len()).unwrap_or(u32::MAX))
    }
}
