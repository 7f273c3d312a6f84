//! What the classics stand on: who is at which place, and how long a segment takes between two
//! machines.

use core::time::Duration;

use kadlet_core::Instant;

use super::Cost;
use crate::draw::Draw;
use crate::host::NodeIndex;
use crate::link::LinkModel;

/// The least retransmission timeout (RFC 6298, section 2.4).
const RETRANSMISSION: Duration = Duration::from_secs(1);
/// A connection whose segment is lost so often in a row is as good as cut; bounds the loop.
const ATTEMPTS: u32 = 8;

/// A machine at a place. Places are numbered from 0 and stay; machines come and go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Host {
    /// The place, which has the files.
    pub place: u32,
    /// The machine, never used twice.
    pub machine: NodeIndex,
}

/// Links and machines.
#[derive(Clone, Debug)]
pub struct Ground {
    seed: u64,
    link: LinkModel,
    /// The machine at each place, while it runs.
    machines: Vec<Option<NodeIndex>>,
    /// Segments sent from each place, and from elsewhere.
    sent: Vec<u64>,
}

impl Ground {
    /// A place for each of these machines. Only times, loss and pairs apart of the link model hold:
    /// what TCP hides (duplicates, reordering) costs nothing here.
    #[must_use]
    pub fn new(seed: u64, link: LinkModel, machines: &[NodeIndex]) -> Self {
        let sent = vec![0; machines.len() + 1];
        Self { seed, link, machines: machines.iter().copied().map(Some).collect(), sent }
    }

    /// Places, empty ones too.
    #[must_use]
    pub const fn places(&self) -> usize {
        self.machines.len()
    }

    /// Who is at a place.
    #[must_use]
    pub fn at(&self, place: u32) -> Option<Host> {
        let machine = self.machines.get(place as usize).copied().flatten()?;
        Some(Host { place, machine })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn runs(&self, host: Host) -> bool {
        self.at(host.place) == Some(host)
    }

    /// Puts a machine into a place, or takes the one there away.
    pub fn set(&mut self, place: u32, machine: Option<NodeIndex>) {
        if let Some(there) = self.machines.get_mut(place as usize) {
            *there = machine;
        }
    }

    /// The round-trip time between two machines.
    #[must_use]
    pub fn round_trip(&self, a: NodeIndex, b: NodeIndex) -> Duration {
        self.link.rtt.between(self.seed, a, b)
    }

    /// How long a message is on its way, and what it costs: lost segments come again.
    pub fn send(&mut self, from: Host, to: NodeIndex, payload: u64) -> (Duration, Cost) {
        // The last counter is of whoever has no place.
        let counter = (from.place as usize).min(self.machines.len());
        self.sent[counter] += 1;
        let mut draw = Draw::new(self.seed, from.machine, self.sent[counter]);
        let (once, mut late, mut cost) = (Cost::tcp(payload), Duration::ZERO, Cost::default());
        for attempt in 0..ATTEMPTS {
            cost.add(once);
            if let [Some(delay), _] = self.link.delays(self.seed, from.machine, to, &mut draw) {
                return (late + delay, cost);
            }
            late += RETRANSMISSION * (1 << attempt);
        }
        (late, cost)
    }

    /// Whether a connection between two machines can come about at all.
    #[must_use]
    pub fn can_connect(&self, a: NodeIndex, b: NodeIndex) -> bool {
        !self.link.pairs.are_apart(self.seed, a, b) && !self.link.pairs.are_apart(self.seed, b, a)
    }
}

/// A TCP stream delivers in order: nothing arrives before what was sent earlier.
pub(super) fn in_order(clear: &mut Instant, arrival: Instant) -> Instant {
    *clear = (*clear).max(arrival);
    *clear
}
