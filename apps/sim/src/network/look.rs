//! Looking at a network.

use core::net::SocketAddr;

use kadlet_core::{Event, Families, Family, Id, Instant, Node, Rng};

use super::{Counters, Network};
use crate::host::{Host, NodeIndex, Traffic};
use crate::trace::Trace;

/// Looking at it.
impl Network {
    /// The virtual clock.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The nodes that run, in no particular order.
    #[must_use]
    pub fn live(&self) -> &[NodeIndex] {
        &self.live
    }

    /// A node that runs.
    ///
    /// # Panics
    /// If there is none.
    pub fn random_live(&mut self) -> NodeIndex {
        assert!(!self.live.is_empty(), "nobody is left");
        // Below the length of a vector, so it fits usize.
        self.live[self.rng.below(self.live.len() as u64) as usize]
    }

    /// A point of the key space.
    pub fn random_id(&mut self) -> Id {
        Id::random(&mut self.rng)
    }

    /// The generator, for what a scenario draws itself.
    pub const fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// A node, to be read.
    ///
    /// # Panics
    /// If it has been killed.
    #[must_use]
    pub fn node(&self, node: NodeIndex) -> &Node {
        let Some(node) = self.host(node).node() else { panic!("{node} does not run") };
        node
    }

    /// A node's address.
    ///
    /// # Panics
    /// If it has none of this family.
    #[must_use]
    pub fn address(&self, node: NodeIndex, family: Family) -> SocketAddr {
        let Some(address) = self.address_of(node, family) else {
            panic!("{node} has no address in {family:?}")
        };
        address
    }

    /// The families a node has addresses in.
    #[must_use]
    pub fn families(&self, node: NodeIndex) -> Families {
        self.host(node).interface.families
    }

    /// The truth, by brute force: the ids of the `k` running servers with an IPv4 address that are
    /// closest to a target, nearest first, `asker` itself left out.
    #[must_use]
    pub fn closest_live(&self, target: Id, k: usize, asker: NodeIndex) -> Vec<Id> {
        self.closest_live_in(Family::V4, target, k, asker)
    }

    /// [`Self::closest_live`] among the nodes with an address in this family.
    #[must_use]
    pub fn closest_live_in(
        &self,
        family: Family,
        target: Id,
        k: usize,
        asker: NodeIndex,
    ) -> Vec<Id> {
        let others = self
            .live
            .iter()
            .filter(|node| **node != asker && self.families(**node).contains(family));
        let mut ids: Vec<Id> = others
            .map(|node| self.node(*node))
            .filter(|node| node.health().server)
            .map(Node::id)
            .collect();
        ids.sort_unstable_by_key(|id| id.distance(target));
        ids.truncate(k);
        ids
    }

    /// Who runs under an id.
    #[must_use]
    pub fn find(&self, id: Id) -> Option<NodeIndex> {
        self.live.iter().copied().find(|node| self.node(*node).id() == id)
    }

    /// What a node said beside its operations, the first 64 of it.
    #[must_use]
    pub fn notices(&self, node: NodeIndex) -> &[Event] {
        self.host(node).extras.as_ref().map_or(&[], |extras| &extras.notices)
    }

    /// What a node has sent and received.
    #[must_use]
    pub fn traffic(&self, node: NodeIndex) -> Traffic {
        self.host(node).interface.traffic
    }

    /// What all machines have sent and received, those that left too.
    #[must_use]
    pub fn traffic_of_all(&self) -> Traffic {
        let mut sum = Traffic::default();
        let hosts = self.shards.iter().flat_map(|shard| &shard.hosts);
        hosts.for_each(|host| sum.add(&host.interface.traffic));
        sum
    }

    /// What happened in the whole network.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut sum = Counters { replaced: self.replaced, ..Counters::default() };
        self.shards.iter().for_each(|shard| sum.add(&shard.counters));
        sum
    }

    /// A number over every datagram and event so far, if [`SimConfig::trace`](crate::SimConfig::trace) is set.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        let mut sum = Trace::default();
        self.shards.iter().for_each(|shard| sum.add(&shard.trace));
        sum.hash()
    }

    pub(super) fn address_of(&self, node: NodeIndex, family: Family) -> Option<SocketAddr> {
        self.host(node).interface.address(self.config.addresses, family)
    }

    /// # Panics
    /// If this network has no such node.
    pub(super) fn host(&self, node: NodeIndex) -> &Host {
        let (place, shards) = (node.0 as usize, self.shards.len());
        let Some(host) = self.shards[place % shards].hosts.get(place / shards) else {
            panic!("there is no {node}")
        };
        host
    }

    pub(super) fn host_mut(&mut self, node: NodeIndex) -> &mut Host {
        let (place, shards) = (node.0 as usize, self.shards.len());
        let Some(host) = self.shards[place % shards].hosts.get_mut(place / shards) else {
            panic!("there is no {node}")
        };
        host
    }

    pub(super) fn running(&mut self, node: NodeIndex) -> &mut Node {
        let Some(running) = self.host_mut(node).node_mut() else { panic!("{node} does not run") };
        running
    }
}
