//! The event queue: what happens next, and in which order if at the same time.
//!
//! A hierarchical timing wheel (Varghese and Lauck 1987): 64 slots of about a millisecond, 64 of 64
//! of those, and so on. What comes soon is put into its slot, which is sorted only when its turn
//! has come; what comes later moves one wheel inward at a time. The order follows from time, who
//! caused it and that one's counter, never from how things lie in memory or when they were put in.

use core::net::SocketAddr;

use kadlet_core::Instant;

use crate::host::NodeIndex;

/// Something that will happen.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// A datagram arrives.
    Arrive(Arrival),
    /// A node may have asked to be woken now.
    Wake(NodeIndex),
}

/// A datagram at the end of its way.
#[derive(Clone, Debug)]
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

/// The place of an event among those of the same time: who caused it, and its counter. No two
/// events have the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Order(u64);

impl Order {
    pub(crate) const fn new(cause: NodeIndex, counter: u32) -> Self {
        Self((cause.0 as u64) << 32 | counter as u64)
    }

    const fn cause(self) -> NodeIndex {
        NodeIndex((self.0 >> 32) as u32)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    /// Microseconds.
    at: u64,
    order: Order,
    /// Where the datagram lies, or [`WAKE`].
    parcel: u32,
}

impl Entry {
    /// 1.024 ms: at 100,000 nodes about a hundred events, few enough to be sorted in the cache.
    const fn tick(&self) -> u64 {
        self.at >> 10
    }
}

/// No datagram: the cause is to be woken.
const WAKE: u32 = u32::MAX;
/// Slots of a wheel are numbered by so many bits of the tick.
const BITS: u32 = 6;
/// Enough wheels for all ticks that there are: 54 bits.
const WHEELS: usize = 9;
/// From this wheel on (slots of four seconds) an emptied slot gives its room back: it is needed
/// again after minutes only.
const SPARSE: usize = 2;

#[derive(Clone, Debug)]
struct Wheel {
    slots: [Vec<Entry>; 1 << BITS],
    /// Which slots have something in them.
    taken: u64,
}

impl Default for Wheel {
    fn default() -> Self {
        Self { slots: [const { Vec::new() }; 1 << BITS], taken: 0 }
    }
}

/// Events in the order in which they happen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    /// The tick up to which everything lies in `current`.
    tick: u64,
    /// What happens next, latest first.
    current: Vec<Entry>,
    wheels: [Wheel; WHEELS],
    parcels: Vec<Arrival>,
    /// Places in `parcels` that are free.
    free: Vec<u32>,
}

impl Queue {
    /// A datagram is under way.
    pub(crate) fn push_arrival(&mut self, at: Instant, order: Order, arrival: Arrival) {
        let parcel = match self.free.pop() {
            Some(place) => {
                self.parcels[place as usize] = arrival;
                place
            }
            None => {
                self.parcels.push(arrival);
                // Memory ends long before 2^32 datagrams under way.
                (self.parcels.len() - 1) as u32
            }
        };
        self.insert(Entry { at: at.as_micros(), order, parcel });
    }

    /// `order` names who is to be woken.
    pub(crate) fn push_wake(&mut self, at: Instant, order: Order) {
        self.insert(Entry { at: at.as_micros(), order, parcel: WAKE });
    }

    /// When the next event is and where it stands among those of its time.
    pub(crate) fn next(&mut self) -> Option<(Instant, Order)> {
        if self.current.is_empty() {
            self.turn();
        }
        self.current.last().map(|entry| (Instant::from_micros(entry.at), entry.order))
    }

    /// The next event, if it is before `end`.
    pub(crate) fn pop_before(&mut self, end: Instant) -> Option<(Instant, Happening)> {
        if self.current.is_empty() {
            self.turn();
        }
        let entry = self.current.pop_if(|entry| entry.at < end.as_micros())?;
        let what = if entry.parcel == WAKE {
            Happening::Wake(entry.order.cause())
        } else {
            self.free.push(entry.parcel);
            let parcel = &mut self.parcels[entry.parcel as usize];
            let payload = core::mem::take(&mut parcel.payload);
            Happening::Arrive(Arrival { payload, ..*parcel })
        };
        Some((Instant::from_micros(entry.at), what))
    }

    fn insert(&mut self, entry: Entry) {
        let tick = entry.tick();
        if tick <= self.tick {
            let place = self.current.partition_point(|other| *other > entry);
            self.current.insert(place, entry);
            return;
        }
        // The wheel of the highest digit in which the tick differs from the present one.
        let wheel = (63 - (tick ^ self.tick).leading_zeros()) / BITS;
        let slot = (tick >> (wheel * BITS)) as usize & ((1 << BITS) - 1);
        let wheel = &mut self.wheels[wheel as usize];
        wheel.taken |= 1 << slot;
        wheel.slots[slot].push(entry);
    }

    /// Goes on to the next tick that has events.
    fn turn(&mut self) {
        while self.current.is_empty() {
            let Some(at) = self.wheels.iter().position(|wheel| wheel.taken != 0) else { return };
            let wheel = &mut self.wheels[at];
            // All that is in a wheel lies ahead of the present slot: the lowest comes first.
            let slot = wheel.taken.trailing_zeros() as usize;
            wheel.taken &= !(1 << slot);
            let shift = at as u32 * BITS;
            let above = self.tick >> shift >> BITS << BITS;
            self.tick = (above | slot as u64) << shift;
            if at == 0 {
                core::mem::swap(&mut self.current, &mut wheel.slots[slot]);
                self.current.sort_unstable_by(|a, b| b.cmp(a));
                return;
            }
            let mut entries = core::mem::take(&mut wheel.slots[slot]);
            for entry in entries.drain(..) {
                self.insert(entry);
            }
            if at < SPARSE {
                self.wheels[at].slots[slot] = entries;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kadlet_core::Rng;

    fn popped(queue: &mut Queue, end: u64) -> Option<(u64, u32)> {
        queue.pop_before(Instant::from_micros(end)).map(|(at, what)| match what {
            Happening::Wake(node) => (at.as_micros(), node.0),
            Happening::Arrive(arrival) => (at.as_micros(), arrival.from.0),
        })
    }

    #[test]
    fn earliest_first_then_by_cause_and_counter() {
        let mut queue = Queue::default();
        for (at, cause, counter) in [(5, 1, 0), (3, 7, 0), (5, 0, 9), (3, 2, 1), (4, 4, 4)] {
            queue.push_wake(Instant::from_secs(at), Order::new(NodeIndex(cause), counter));
        }
        let order: Vec<_> =
            core::iter::from_fn(|| popped(&mut queue, u64::MAX)).map(|(_, node)| node).collect();
        assert_eq!(order, [2, 7, 4, 0, 1]);
    }

    /// Whatever is put in whenever, it comes out as it would from a sorted list; times from
    /// microseconds to months, some of them before what was looked at last.
    #[test]
    fn it_agrees_with_a_sorted_list() {
        let mut rng = Rng::from_seed([5; 32]);
        let (mut queue, mut list) = (Queue::default(), alloc::collections::BTreeSet::new());
        let mut now = 0;
        for counter in 0..20_000_u32 {
            let reach = rng.below(43);
            let (at, cause) = (now + rng.below(1 << reach), rng.below(50) as u32);
            let order = Order::new(NodeIndex(cause), counter);
            if rng.one_in(2) {
                queue.push_wake(Instant::from_micros(at), order);
            } else {
                let source = "10.0.0.1:1".parse().expect("a test address");
                let (from, to, payload) = (NodeIndex(cause), NodeIndex(0), Vec::new());
                let arrival = Arrival { from, to, source, port: 1, is_through: false, payload };
                queue.push_arrival(Instant::from_micros(at), order, arrival);
            }
            list.insert((at, order));
            let next = list.first().map(|(at, order)| (Instant::from_micros(*at), *order));
            assert_eq!(queue.next(), next);
            let reach = rng.below(30);
            let end = now + rng.below(1 << reach);
            while let Some((at, order)) = list.pop_first() {
                if at >= end {
                    list.insert((at, order));
                    break;
                }
                assert_eq!(popped(&mut queue, end), Some((at, order.cause().0)));
            }
            assert_eq!(popped(&mut queue, end), None);
            now = end;
        }
        while let Some((at, order)) = list.pop_first() {
            assert_eq!(popped(&mut queue, u64::MAX), Some((at, order.cause().0)));
        }
        assert_eq!(queue.next(), None);
        assert_eq!(queue.free.len(), queue.parcels.len());
    }
}
