//! The smallest network there is: nodes and a queue of datagrams, each of which arrives after a
//! millisecond, in order, unless the test says otherwise. Loss, churn and size are the simulator's.

use alloc::collections::{BTreeMap, VecDeque};
use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::{Config, Event, Id, Instant, Node, OperationId, Outcome, Path, Rejected, Rng};

/// Nodes by address, and what is on its way between them.
pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) nodes: BTreeMap<SocketAddr, Node>,
    pub(crate) wire: VecDeque<(Instant, SocketAddr, SocketAddr, Vec<u8>)>,
    pub(crate) rng: Rng,
    pub(crate) rejected: Vec<Rejected>,
    /// From here to there nothing arrives.
    pub(crate) cut: Option<(SocketAddr, SocketAddr)>,
}

pub(crate) const STEP: Duration = Duration::from_millis(1);

impl Net {
    pub(crate) fn new(seed: u8) -> Self {
        Self {
            now: Instant::from_secs(1),
            nodes: BTreeMap::new(),
            wire: VecDeque::new(),
            rng: Rng::from_seed([seed; 32]),
            rejected: Vec::new(),
            cut: None,
        }
    }

    pub(crate) fn add(&mut self, addr: &str, config: Config) -> SocketAddr {
        let addr: SocketAddr = addr.parse().expect("an address");
        let id = Id::random(&mut self.rng);
        let seed = self.rng.bytes();
        self.nodes.insert(addr, Node::new(config, id, seed, self.now));
        addr
    }

    /// `n` nodes that joined by the first of them.
    pub(crate) fn joined(
        seed: u8,
        n: u32,
        addr: impl Fn(u32) -> String,
    ) -> (Self, Vec<SocketAddr>) {
        Self::joined_with(seed, n, addr, &Config::default())
    }

    pub(crate) fn joined_with(
        seed: u8,
        n: u32,
        addr: impl Fn(u32) -> String,
        config: &Config,
    ) -> (Self, Vec<SocketAddr>) {
        let mut net = Self::new(seed);
        let addrs: Vec<_> = (0..n).map(|i| net.add(&addr(i), config.clone())).collect();
        for addr in &addrs[1..] {
            let (outcome, _) =
                net.run(*addr, |node, now| node.bootstrap(now, &[Path::direct(addrs[0])]));
            assert_eq!(outcome, Outcome::Success);
        }
        (net, addrs)
    }

    pub(crate) fn local(seed: u8, n: u32) -> (Self, Vec<SocketAddr>) {
        Self::joined(seed, n, |i| format!("127.0.0.1:{}", 1000 + i))
    }

    pub(crate) fn node(&mut self, addr: SocketAddr) -> &mut Node {
        self.nodes.get_mut(&addr).expect("a node there")
    }

    /// Carries datagrams and time on until `addr` reports the end of the operation.
    pub(crate) fn run(
        &mut self,
        addr: SocketAddr,
        command: impl FnOnce(&mut Node, Instant) -> OperationId,
    ) -> (Outcome, Vec<Event>) {
        let now = self.now;
        let operation = command(self.node(addr), now);
        let mut events = Vec::new();
        for _ in 0..1_000_000 {
            while let Some(event) = self.node(addr).poll_event() {
                if let Event::Done { operation: done, outcome, .. } = &event
                    && *done == operation
                {
                    let outcome = *outcome;
                    events.push(event);
                    return (outcome, events);
                }
                events.push(event);
            }
            self.step();
        }
        panic!("the operation does not end");
    }

    /// Carries datagrams and time on until an event of `addr` is the one wanted.
    pub(crate) fn wait_for(&mut self, addr: SocketAddr, mut wanted: impl FnMut(&Event) -> bool) {
        for _ in 0..1_000_000 {
            while let Some(event) = self.node(addr).poll_event() {
                if wanted(&event) {
                    return;
                }
            }
            self.step();
        }
        panic!("the event does not come");
    }

    /// What is due next: a datagram or a deadline.
    pub(crate) fn step(&mut self) {
        for (addr, node) in &mut self.nodes {
            while let Some(transmit) = node.poll_transmit() {
                assert!(transmit.payload.len() <= 1452, "a datagram of {}", transmit.payload.len());
                let at = self.now + STEP;
                self.wire.push_back((at, *addr, transmit.path.remote, transmit.payload));
            }
        }
        let deadline = self.nodes.values().filter_map(Node::poll_timeout).min();
        let arrival = self.wire.front().map(|(at, ..)| *at);
        match (arrival, deadline) {
            (Some(at), deadline) if deadline.is_none_or(|deadline| at <= deadline) => {
                let (at, from, to, payload) = self.wire.pop_front().expect("one is there");
                self.now = self.now.max(at);
                let now = self.now;
                if self.cut != Some((from, to))
                    && let Some(node) = self.nodes.get_mut(&to)
                    && let Err(reason) = node.handle_datagram(now, Path::direct(from), &payload)
                {
                    self.rejected.push(reason);
                }
            }
            (_, Some(deadline)) => {
                self.now = self.now.max(deadline);
                let now = self.now;
                for node in self.nodes.values_mut() {
                    if node.poll_timeout().is_some_and(|at| at <= now) {
                        node.handle_timeout(now);
                    }
                }
            }
            (_, None) => panic!("nothing will ever happen again"),
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
            for node in self.nodes.values_mut() {
                while node.poll_event().is_some() {}
            }
        }
    }

    /// The ids of the `k` live nodes closest to a key, by brute force.
    pub(crate) fn closest(&self, key: Id, k: usize, except: SocketAddr) -> Vec<Id> {
        let others = self.nodes.iter().filter(|(addr, _)| **addr != except);
        let mut ids: Vec<Id> = others.map(|(_, node)| node.id()).collect();
        ids.sort_by_key(|id| id.distance(key));
        ids.truncate(k);
        ids
    }
}
