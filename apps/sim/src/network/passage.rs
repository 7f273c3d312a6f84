//! The way of a datagram from the sender's machine into the queue, and from the queue into the
//! receiver's: where models of the network have their place.
//!
//! There are two doors, and each sees one machine only, for the machines of a network may be
//! shared out among threads:
//!
//! * [`depart`]: what becomes of a datagram as it leaves. It may change what the sender keeps
//!   (a mapping of its NAT, when its uplink is free again), may read the models in [`SimConfig`],
//!   and may not look at the receiver, of which only the number is known.
//! * [`admit`]: whether a datagram gets through as it arrives. It may change what the receiver
//!   keeps, and knows of the sender nothing but its number and the address it came from.
//!
//! What lies between pairs of nodes (round-trip times, pairs that cannot reach each other) is a hash
//! of the seed and the two numbers; what is random about one datagram comes from its [`Draw`].

use alloc::collections::BTreeMap;
use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::{Family, LinkId, Path, Transmit};

use super::{Network, SimConfig};
use crate::draw::Draw;
use crate::host::{Host, Machine, NodeIndex};
use crate::hostile::Reaction;
use crate::queue::{Arrival, Happening};

/// What becomes of a datagram that leaves a machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// Goes to an address where nobody can be, or the sender's cable is out.
    Undeliverable,
    /// Lost on the way.
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

/// A datagram leaves `from` for `remote`.
fn depart(
    config: &SimConfig,
    elsewhere: &BTreeMap<SocketAddr, NodeIndex>,
    sender: &Host,
    from: NodeIndex,
    remote: SocketAddr,
    draw: &mut Draw,
) -> Fate {
    let to = config.addresses.node(remote).or_else(|| elsewhere.get(&remote).copied());
    let (Some(source), Some(to), true) =
        (sender.address(Family::of(&remote)), to, sender.connected)
    else {
        return Fate::Undeliverable;
    };
    match config.link.delays(config.seed, from, to, draw) {
        [Some(delay), again] => Fate::Arrives { to, source, delay, again },
        [None, _] => Fate::Lost,
    }
}

/// Whether a datagram gets into the machine it was sent to.
fn admit(receiver: &Host, arrival: &Arrival) -> bool {
    receiver.connected
        && !matches!(receiver.machine, Machine::Gone)
        // A machine has the address only if it has one of the family at all.
        && receiver.address(Family::of(&arrival.source)).is_some()
}

impl Network {
    pub(super) fn transmit(&mut self, from: NodeIndex, transmit: Transmit) {
        let Transmit { path, payload } = transmit;
        if self.config.trace {
            self.trace.datagram(self.now, from, &path, &payload);
        }
        self.counters.sent += 1;
        let now = self.now;
        let host = self.host_mut(from);
        host.traffic.datagrams_out += 1;
        host.traffic.bytes_out += payload.len() as u64;
        let mut draw = Draw::new(self.config.seed, from, self.host(from).traffic.datagrams_out);
        let (sender, elsewhere) = (self.host(from), &self.elsewhere);
        match depart(&self.config, elsewhere, sender, from, path.remote, &mut draw) {
            Fate::Undeliverable => self.counters.undeliverable += 1,
            Fate::Lost => self.counters.lost += 1,
            Fate::Arrives { to, source, delay, again } => {
                if let Some(again) = again {
                    let arrival = Arrival { from, to, source, payload: payload.clone() };
                    self.queue.push(now + again, Happening::Arrive(arrival));
                }
                let arrival = Arrival { from, to, source, payload };
                self.queue.push(now + delay, Happening::Arrive(arrival));
            }
        }
    }

    pub(super) fn arrive(&mut self, arrival: Arrival) {
        let now = self.now;
        let side = self.sides.get(&arrival.from).copied().unwrap_or_default();
        let to = arrival.to;
        let same_side = self.sides.get(&to).copied().unwrap_or_default() == side;
        let Some(host) = self.hosts.get_mut(to.0 as usize).filter(|_| same_side) else {
            self.counters.undeliverable += 1;
            return;
        };
        if !admit(host, &arrival) {
            self.counters.undeliverable += 1;
            return;
        }
        host.traffic.datagrams_in += 1;
        host.traffic.bytes_in += arrival.payload.len() as u64;
        self.counters.delivered += 1;
        let path = Path { link: LinkId(0), remote: arrival.source };
        match host.react(&path, &arrival.payload) {
            Reaction::Pass => {}
            Reaction::Silence => return,
            Reaction::Say(payload) => return self.transmit(to, Transmit { path, payload }),
        }
        match &mut host.machine {
            Machine::Node(node) => {
                if let Err(reason) = node.handle_datagram(now, path, &arrival.payload) {
                    *self.counters.rejected.entry(reason).or_insert(0) += 1;
                }
                self.attend(to);
            }
            Machine::Listener(heard) => heard.push((path, arrival.payload)),
            Machine::Gone => {}
        }
    }
}
