//! The way of a datagram from the sender's machine into the queue, and from the queue into the
//! receiver's: where models of the network have their place.
//!
//! There are two doors, and each sees one machine only, for the machines of a network are shared
//! out among threads:
//!
//! * [`depart`]: what becomes of a datagram as it leaves. It may change what the sender's
//!   [`Interface`] keeps (a mapping of its NAT, when its uplink is free again), may read the models
//!   in [`SimConfig`](super::SimConfig), and may not look at the receiver, of which only the number
//!   is known.
//! * [`admit`]: whether a datagram gets through as it arrives. It may change what the receiver's
//!   [`Interface`] keeps, and knows of the sender nothing but its number and the address it came
//!   from.
//!
//! What lies between pairs of nodes (round-trip times, pairs that cannot reach each other) is a hash
//! of the seed and the two numbers; what is random about one datagram comes from its [`Draw`]. The
//! delay is never below [`LinkModel::least_delay`](crate::LinkModel).

use alloc::collections::BTreeMap;
use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::{Family, Instant};

use super::SimConfig;
use crate::draw::Draw;
use crate::host::{Interface, NodeIndex};
use crate::queue::Arrival;

/// What all machines stand on: read while threads run, changed only between.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) config: &'a SimConfig,
    /// Where nodes stand in a partition; side 0 is not named.
    pub(super) sides: &'a BTreeMap<NodeIndex, u8>,
    /// Machines at addresses that are not in the plan.
    pub(super) elsewhere: &'a BTreeMap<SocketAddr, NodeIndex>,
    /// Among how many shards the machines are shared out.
    pub(super) shards: u32,
}

impl Ground<'_> {
    fn side(&self, node: NodeIndex) -> u8 {
        self.sides.get(&node).copied().unwrap_or_default()
    }
}

/// What becomes of a datagram that leaves a machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// Goes to an address where nobody can be or that nothing from here reaches, or the sender's
    /// cable is out.
    Undeliverable,
    /// Lost on the way, or no room in the sender's line.
    Lost,
    /// Arrives once or twice.
    Arrives {
        /// At whom.
        to: NodeIndex,
        /// Where it seems to come from.
        source: SocketAddr,
        /// How long it takes.
        delay: Duration,
        /// And its duplicate.
        again: Option<Duration>,
    },
}

/// A datagram of so many bytes leaves a machine for `remote`.
pub(super) fn depart(
    ground: &Ground<'_>,
    now: Instant,
    sender: &mut Interface,
    (remote, bytes): (SocketAddr, usize),
    draw: &mut Draw,
) -> Fate {
    let config = ground.config;
    let to = ground.elsewhere.get(&remote).copied().or_else(|| config.addresses.machine(remote));
    let own = sender.address(config.addresses, Family::of(&remote));
    let (Some(own), Some(to), true) = (own, to, sender.connected) else {
        return Fate::Undeliverable;
    };
    let source = match &mut sender.gate {
        Some(gate) => gate.leave(now, own, remote),
        None => own,
    };
    if config.link.pairs.are_apart(config.seed, sender.index, to) {
        return Fate::Undeliverable;
    }
    let departure = match &config.link.bandwidth {
        Some(line) => sender.lines.leave(line, now, bytes),
        None => Some(now),
    };
    let Some(departure) = departure else { return Fate::Lost };
    let waits = departure.since(now);
    match config.link.delays(config.seed, sender.index, to, draw) {
        [Some(delay), again] => {
            let again = again.map(|again| waits + again);
            Fate::Arrives { to, source, delay: waits + delay, again }
        }
        [None, _] => Fate::Lost,
    }
}

/// Whether a datagram gets into the machine it was sent to.
pub(super) fn admit(
    ground: &Ground<'_>,
    now: Instant,
    receiver: &Interface,
    arrival: &Arrival,
) -> bool {
    // A machine has the address only if it has one of the family at all.
    let own = receiver.address(ground.config.addresses, Family::of(&arrival.source));
    let Some(own) = own.filter(|_| receiver.connected) else { return false };
    ground.side(arrival.from) == ground.side(receiver.index)
        && match &receiver.gate {
            Some(gate) => gate.admits(now, own, arrival.port, arrival.source),
            None => arrival.port == own.port(),
        }
}
