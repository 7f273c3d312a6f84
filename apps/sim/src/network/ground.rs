//! The ground that the nodes stand on: who reaches whom, how long it takes, who is behind what.

use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::Family;

use super::{Network, SimConfig};
use crate::host::{Machine, NodeIndex};
use crate::nat::Nat;

/// The ground they stand on.
impl Network {
    /// What the network is made of.
    #[must_use]
    pub const fn config(&self) -> &SimConfig {
        &self.config
    }

    /// The round-trip time between two nodes, without jitter and waiting lines.
    #[must_use]
    pub fn round_trip(&self, a: NodeIndex, b: NodeIndex) -> Duration {
        self.config.link.rtt.between(self.config.seed, a, b)
    }

    /// What stands before a node, also of one that is still to come.
    #[must_use]
    pub fn nat(&self, node: NodeIndex) -> Nat {
        self.config.nat.class(self.config.seed, node)
    }

    /// Whether a question of `asker` would get to `node`, over IPv4 and if nothing is lost: both
    /// run, their cables are in, the pair is not apart and no gate is closed.
    #[must_use]
    pub fn reaches(&self, asker: NodeIndex, node: NodeIndex) -> bool {
        let (from, to) = (&self.host(asker).interface, self.host(node));
        let (Some(source), Some(own)) =
            (self.address_of(asker, Family::V4), self.address_of(node, Family::V4))
        else {
            return false;
        };
        let side = |node| self.sides.get(&node).copied().unwrap_or_default();
        asker != node
            && matches!(to.machine, Machine::Node(_))
            && from.connected
            && to.interface.connected
            && side(asker) == side(node)
            && !self.config.link.pairs.are_apart(self.config.seed, asker, node)
            && to
                .interface
                .gate
                .as_ref()
                .is_none_or(|gate| gate.admits(self.now, own, own.port(), source))
    }

    /// Who is at an address, of those that ever were.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Option<NodeIndex> {
        let node = self.elsewhere.get(&address).copied();
        let node = node.or_else(|| self.config.addresses.node(address))?;
        (node.0 < self.machines).then_some(node)
    }

    /// Whether a node came less than so long ago.
    #[must_use]
    pub fn is_new(&self, node: NodeIndex, than: Duration) -> bool {
        self.now.since(self.host(node).born) < than
    }

    /// Whether a node has left.
    #[must_use]
    pub fn has_left(&self, node: NodeIndex) -> bool {
        matches!(self.host(node).machine, Machine::Gone)
    }
}
