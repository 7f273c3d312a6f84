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

use kadlet_core::{Family, Instant, LinkId, Path, Transmit};

use super::{Network, SimConfig};
use crate::draw::Draw;
use crate::host::{Host, Machine, NodeIndex};
use crate::hostile::Reaction;
use crate::queue::{Arrival, Happening};

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

/// A datagram leaves `from` for `remote`.
fn depart(
    config: &SimConfig,
    elsewhere: &BTreeMap<SocketAddr, NodeIndex>,
    now: Instant,
    sender: &mut Host,
    from: NodeIndex,
    (remote, bytes): (SocketAddr, usize),
    draw: &mut Draw,
) -> Fate {
    let to = elsewhere.get(&remote).copied().or_else(|| config.addresses.machine(remote));
    let (Some(own), Some(to), true) = (sender.address(Family::of(&remote)), to, sender.connected)
    else {
        return Fate::Undeliverable;
    };
    let source = match &mut sender.gate {
        Some(gate) => gate.leave(now, own, remote),
        None => own,
    };
    if config.link.pairs.are_apart(config.seed, from, to) {
        return Fate::Undeliverable;
    }
    let departure = match &config.link.bandwidth {
        Some(line) => sender.lines.leave(line, now, bytes),
        None => Some(now),
    };
    let Some(departure) = departure else { return Fate::Lost };
    let waits = departure.since(now);
    match config.link.delays(config.seed, from, to, draw) {
        [Some(delay), again] => {
            let again = again.map(|again| waits + again);
            Fate::Arrives { to, source, delay: waits + delay, again }
        }
        [None, _] => Fate::Lost,
    }
}

/// Whether a datagram gets into the machine it was sent to.
fn admit(receiver: &Host, now: Instant, arrival: &Arrival) -> bool {
    // A machine has the address only if it has one of the family at all.
    let Some(own) = receiver.address(Family::of(&arrival.source)) else { return false };
    receiver.connected
        && !matches!(receiver.machine, Machine::Gone)
        && match &receiver.gate {
            Some(gate) => gate.admits(now, own, arrival.port, arrival.source),
            None => arrival.port == own.port(),
        }
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
        let Some(sender) = self.hosts.get_mut(from.0 as usize) else { return };
        let what = (path.remote, payload.len());
        match depart(&self.config, &self.elsewhere, now, sender, from, what, &mut draw) {
            Fate::Undeliverable => self.counters.undeliverable += 1,
            Fate::Lost => self.counters.lost += 1,
            Fate::Arrives { to, source, delay, again } => {
                let (port, is_through) = (path.remote.port(), false);
                if let Some(again) = again {
                    let payload = payload.clone();
                    let arrival = Arrival { from, to, source, port, is_through, payload };
                    self.queue.push(now + again, Happening::Arrive(arrival));
                }
                let arrival = Arrival { from, to, source, port, is_through, payload };
                self.queue.push(now + delay, Happening::Arrive(arrival));
            }
        }
    }

    pub(super) fn arrive(&mut self, mut arrival: Arrival) {
        let now = self.now;
        let side = self.sides.get(&arrival.from).copied().unwrap_or_default();
        let to = arrival.to;
        let same_side = self.sides.get(&to).copied().unwrap_or_default() == side;
        let Some(host) = self.hosts.get_mut(to.0 as usize).filter(|_| same_side) else {
            self.counters.undeliverable += 1;
            return;
        };
        if !admit(host, now, &arrival) {
            self.counters.undeliverable += 1;
            return;
        }
        if let Some(line) = self.config.link.bandwidth.filter(|_| !arrival.is_through) {
            match host.lines.enter(&line, now, arrival.payload.len()) {
                Some(at) => {
                    arrival.is_through = true;
                    self.queue.push(at, Happening::Arrive(arrival));
                }
                None => self.counters.lost += 1,
            }
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
