//! The event queue: what happens next, and in which order if at the same time.

use alloc::collections::BinaryHeap;
use core::cmp::Ordering;

use core::net::SocketAddr;

use kadlet_core::Instant;

use crate::host::NodeIndex;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A datagram arrives.
    Arrive(Arrival),
    /// A node may have asked to be woken now.
    Wake { node: NodeIndex },
    /// A node's session ends.
    Leave { node: NodeIndex },
}

/// A datagram at the end of its way.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) from: NodeIndex,
    pub(crate) to: NodeIndex,
    /// Where it seems to come from.
    pub(crate) source: SocketAddr,
    /// Which port of the receiver it was sent to.
    pub(crate) port: u16,
    /// Whether it has been through the receiver's line.
    pub(crate) is_through: bool,
    pub(crate) payload: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    sequence: u64,
    what: Happening,
}

/// The earliest first; of those at the same time the one that was scheduled first, so that the
/// order never depends on how the heap lies in memory.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Entry>,
    sequence: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Instant, what: Happening) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.heap.push(Entry { at, sequence, what });
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Instant, Happening)> {
        self.heap.pop().map(|entry| (entry.at, entry.what))
    }
}

impl Ord for Entry {
    /// Reversed: the heap gives its greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_first_then_first_come() {
        let mut queue = Queue::default();
        for (at, node) in [(5, 0), (3, 1), (5, 2), (3, 3), (4, 4)] {
            queue.push(Instant::from_secs(at), Happening::Wake { node: NodeIndex(node) });
        }
        let order = core::iter::from_fn(|| queue.pop()).map(|(_, what)| match what {
            Happening::Wake { node } => node.0,
            other => panic!("nobody scheduled {other:?}"),
        });
        assert_eq!(order.collect::<Vec<_>>(), [1, 3, 4, 0, 2]);
    }
}
