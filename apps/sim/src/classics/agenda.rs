//! What happens next; of what happens at the same time, what was planned first.

use alloc::collections::BinaryHeap;
use core::cmp::Ordering;

use kadlet_core::Instant;

#[derive(Clone, Debug)]
struct Entry<T> {
    at: Instant,
    sequence: u64,
    what: T,
}

#[derive(Clone, Debug)]
pub(super) struct Agenda<T> {
    heap: BinaryHeap<Entry<T>>,
    sequence: u64,
}

impl<T> Agenda<T> {
    pub(super) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), sequence: 0 }
    }

    pub(super) fn push(&mut self, at: Instant, what: T) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.heap.push(Entry { at, sequence, what });
    }

    /// The next one, if it is not behind `end`.
    pub(super) fn pop_until(&mut self, end: Instant) -> Option<(Instant, T)> {
        if self.heap.peek()?.at > end {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at, entry.what))
    }
}

impl<T> Ord for Entry<T> {
    /// Reversed: the heap gives its greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}
