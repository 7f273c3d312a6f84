//! The network: hosts, the queue between them, and the clock that jumps from event to event.
//!
//! The loop of every host is the same: hand the node what happened, drain what it sends and says,
//! ask for its deadline, and put a wake-up into the queue if that is earlier than the one which
//! lies there. A wake-up that has become too early asks again instead of waking (lazy deletion):
//! there is rarely more than one of a node in the queue.

use alloc::collections::BTreeMap;
use core::time::Duration;

use kadlet_core::{
    Config, Event, Families, Family, Id, Instant, LinkId, Node, OperationId, Path, Rejected, Rng,
    Transmit,
};

use crate::address::AddressPlan;
use crate::churn::Sessions;
use crate::host::{Host, Machine, NodeIndex, Rewrite, Traffic};
use crate::link::LinkModel;
use crate::queue::{Happening, Queue};
use crate::report::{NotAtRest, Operation, Report};
use crate::trace::Trace;

/// What a simulated network is made of.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct SimConfig {
    /// All randomness follows from it.
    pub seed: u64,
    /// The network between the nodes.
    pub link: LinkModel,
    /// From which range the addresses are.
    pub addresses: AddressPlan,
    /// How long [`Network::wait`] runs, in virtual time: far above every timeout of an operation.
    pub patience: Duration,
    /// Whether [`Network::trace_hash`] is kept; costs some microseconds an event.
    pub trace: bool,
}

impl SimConfig {
    /// An office network with the internet's round-trip times and nothing lost.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self {
            seed,
            link: LinkModel::default(),
            addresses: AddressPlan::Private,
            patience: Duration::from_secs(600),
            trace: false,
        }
    }
}

/// What is particular about one node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeOptions {
    /// Its settings.
    pub config: Config,
    /// Its id; drawn if none.
    pub id: Option<Id>,
    /// The families it has addresses in.
    pub families: Families,
    /// What becomes of its datagrams.
    pub rewrite: Option<Rewrite>,
}

impl NodeOptions {
    /// A node with these settings, a random id and an IPv4 address.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self { config, id: None, families: Families::V4, rewrite: None }
    }
}

/// What happened in the whole network.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams sent by anybody.
    pub sent: u64,
    /// Datagrams that reached a machine, duplicates too.
    pub delivered: u64,
    /// Datagrams the network lost.
    pub lost: u64,
    /// Datagrams to addresses where nobody is, or across a partition.
    pub undeliverable: u64,
    /// What nodes refused, by reason.
    pub rejected: BTreeMap<Rejected, u64>,
    /// Nodes that left and were replaced.
    pub replaced: u64,
}

struct Churn {
    sessions: Sessions,
    options: NodeOptions,
}

/// A network of nodes.
pub struct Network {
    config: SimConfig,
    rng: Rng,
    now: Instant,
    queue: Queue,
    hosts: Vec<Host>,
    /// Running nodes that answer others or not: from here come random choices.
    live: Vec<NodeIndex>,
    watched: BTreeMap<Operation, Vec<(Instant, Event)>>,
    churn: Option<Churn>,
    counters: Counters,
    trace: Trace,
}

/// Wake-ups in a row that change nothing before a node counts as broken.
const MAX_SPINS: u32 = 1_000;
/// Notices kept of a node: tests look at the first few.
const MAX_NOTICES: usize = 64;
/// Nodes that a newcomer is told of.
const INTRODUCTIONS: usize = 3;

/// Building, and what happens to nodes.
impl Network {
    /// An empty network at time 0.
    #[must_use]
    pub fn new(config: SimConfig) -> Self {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&config.seed.to_le_bytes());
        Self {
            rng: Rng::from_seed(seed),
            now: Instant::EPOCH,
            queue: Queue::default(),
            hosts: Vec::new(),
            live: Vec::new(),
            watched: BTreeMap::new(),
            churn: None,
            counters: Counters::default(),
            trace: Trace::default(),
            config,
        }
    }

    /// Adds a node that knows nobody.
    pub fn add_node(&mut self, options: NodeOptions) -> NodeIndex {
        let id = options.id.unwrap_or_else(|| Id::random(&mut self.rng));
        let mut node = Node::new(options.config, id, self.rng.bytes(), self.now);
        let index = self.next_index();
        let plan = self.config.addresses;
        let addresses = Family::ALL
            .map(|family| options.families.contains(family).then(|| plan.address(index, family)));
        if let Some(local) = addresses.into_iter().flatten().next() {
            node.link_up(self.now, LinkId(0), local, options.families, MTU);
        }
        let mut host = Host::new(Machine::Node(Box::new(node)), addresses);
        host.rewrite = options.rewrite;
        host.place = self.live.len();
        self.hosts.push(host);
        self.live.push(index);
        self.attend(index);
        index
    }

    /// Adds somebody who only listens: what arrives there is for [`Self::heard`], and
    /// [`Self::send_from`] speaks for it.
    pub fn add_listener(&mut self) -> NodeIndex {
        let index = self.next_index();
        let address = self.config.addresses.address(index, Family::V4);
        self.hosts.push(Host::new(Machine::Listener(Vec::new()), [Some(address), None]));
        index
    }

    /// Adds `count` nodes one after the other, each of which joins through nodes that were there
    /// before it, and runs until all have joined.
    ///
    /// # Errors
    /// If one of them does not end its joining.
    pub fn grow(&mut self, count: usize, config: &Config) -> Result<Vec<NodeIndex>, NotAtRest> {
        self.grow_with(count, &NodeOptions::new(config.clone()))
    }

    /// [`Self::grow`] with nodes of which more than the settings is particular.
    ///
    /// # Errors
    /// If one of them does not end its joining.
    pub fn grow_with(
        &mut self,
        count: usize,
        options: &NodeOptions,
    ) -> Result<Vec<NodeIndex>, NotAtRest> {
        let mut nodes = Vec::with_capacity(count);
        let mut joins = Vec::new();
        for _ in 0..count {
            let (node, join) = self.add_newcomer(options.clone());
            nodes.push(node);
            joins.extend(join);
            // Ten newcomers a second and more while the network is young would find nobody ready.
            self.run_for(Duration::from_millis(100));
        }
        for join in joins {
            self.wait(join)?;
        }
        Ok(nodes)
    }

    /// Has `node` join through others; the operation is watched.
    pub fn join(&mut self, node: NodeIndex, through: &[NodeIndex]) -> Operation {
        let families = self.host(node).families();
        let paths: Vec<Path> = through
            .iter()
            .flat_map(|other| families.iter().filter_map(|f| self.host(*other).address(f)))
            .map(Path::direct)
            .collect();
        self.command(node, |node, now| node.bootstrap(now, &paths))
    }

    /// Ends a node without goodbye; datagrams to it vanish from now on.
    pub fn kill(&mut self, node: NodeIndex) {
        let host = self.host_mut(node);
        let place = host.place;
        if matches!(core::mem::replace(&mut host.machine, Machine::Gone), Machine::Node(_)) {
            self.live.swap_remove(place);
            if let Some(moved) = self.live.get(place).copied() {
                self.host_mut(moved).place = place;
            }
        }
        let (first, last) = (OperationId(0), OperationId(u64::MAX));
        let keys = Operation { node, id: first }..=Operation { node, id: last };
        let gone: Vec<_> = self.watched.range(keys).map(|(operation, _)| *operation).collect();
        for operation in gone {
            self.watched.remove(&operation);
        }
    }

    /// Pulls out a node's cable, or puts it back; the node is not told.
    pub fn set_connected(&mut self, node: NodeIndex, connected: bool) {
        self.host_mut(node).connected = connected;
    }

    /// From now on what a node sends is changed by `rewrite`.
    pub fn set_rewrite(&mut self, node: NodeIndex, rewrite: Option<Rewrite>) {
        self.host_mut(node).rewrite = rewrite;
    }

    /// Puts a node on one side of a partition: datagrams pass only between nodes of the same side.
    /// All begin on side 0.
    pub fn set_side(&mut self, node: NodeIndex, side: u8) {
        self.host_mut(node).side = side;
    }

    /// The network between the nodes, to be changed while it runs.
    pub const fn link_mut(&mut self) -> &mut LinkModel {
        &mut self.config.link
    }

    /// From now on nodes leave when their session ends, and a newcomer with these options joins in
    /// the place of each. The nodes in `stay` never leave.
    pub fn start_churn(&mut self, sessions: Sessions, options: NodeOptions, stay: &[NodeIndex]) {
        for node in self.live.clone() {
            if !stay.contains(&node) {
                let end = sessions.end_of_present(self.now, &mut self.rng);
                self.queue.push(end, Happening::Leave { node });
            }
        }
        self.churn = Some(Churn { sessions, options });
    }

    /// Nobody leaves any more.
    pub fn stop_churn(&mut self) {
        self.churn = None;
    }

    fn add_newcomer(&mut self, options: NodeOptions) -> (NodeIndex, Option<Operation>) {
        let mut through = Vec::with_capacity(INTRODUCTIONS);
        // In a network of both families some nodes are of no use to some.
        for _ in 0..8 * INTRODUCTIONS.min(self.live.len()) {
            let node = self.random_live();
            let shared = self.host(node).families().bits() & options.families.bits();
            if shared != 0 && !through.contains(&node) && through.len() < INTRODUCTIONS {
                through.push(node);
            }
        }
        let node = self.add_node(options);
        let join = (!through.is_empty()).then(|| self.join(node, &through));
        (node, join)
    }

    fn next_index(&self) -> NodeIndex {
        NodeIndex(u32::try_from(self.hosts.len()).unwrap_or(u32::MAX))
    }
}

/// The simulated networks carry what every IPv6 network does.
const MTU: u16 = 1_232;

/// Operations, and letting time pass.
impl Network {
    /// Gives a node a command and watches the operation it starts.
    ///
    /// # Panics
    /// If the node has been killed.
    pub fn command(
        &mut self,
        node: NodeIndex,
        command: impl FnOnce(&mut Node, Instant) -> OperationId,
    ) -> Operation {
        let now = self.now;
        let id = command(self.running(node), now);
        let operation = Operation { node, id };
        self.watched.insert(operation, Vec::new());
        self.attend(node);
        operation
    }

    /// Gives a node something to do that starts no operation, or may fail to.
    ///
    /// # Panics
    /// If the node has been killed.
    pub fn with<T>(&mut self, node: NodeIndex, act: impl FnOnce(&mut Node, Instant) -> T) -> T {
        let now = self.now;
        let result = act(self.running(node), now);
        self.attend(node);
        result
    }

    /// Runs until the operation is done and gives what was said of it.
    ///
    /// # Errors
    /// If it is not done after [`SimConfig::patience`], or its node was killed.
    pub fn wait(&mut self, operation: Operation) -> Result<Report, NotAtRest> {
        let start = self.now;
        let limit = start + self.config.patience;
        while !self.is_done(operation) {
            if !self.watched.contains_key(&operation) || !self.step(limit) {
                return Err(NotAtRest {
                    waiting_for: vec![operation],
                    waited: self.now.since(start),
                    events: self.watched.remove(&operation).unwrap_or_default(),
                });
            }
        }
        Ok(Report::new(self.watched.remove(&operation).unwrap_or_default()))
    }

    /// Runs until all of the operations are done.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_all(
        &mut self,
        operations: impl IntoIterator<Item = Operation>,
    ) -> Result<Vec<Report>, NotAtRest> {
        operations.into_iter().map(|operation| self.wait(operation)).collect()
    }

    /// Whether a watched operation is done.
    #[must_use]
    pub fn is_done(&self, operation: Operation) -> bool {
        let events = self.watched.get(&operation);
        matches!(events.and_then(|events| events.last()), Some((_, Event::Done { .. })))
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Lets time pass until something is so, or `limit` has passed: whether it is so.
    pub fn run_until(&mut self, limit: Duration, mut so: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !so(self) {
            if !self.step(end) {
                return so(self);
            }
        }
        true
    }

    /// Sends a datagram as a listener (or as if from any host).
    pub fn send_from(&mut self, from: NodeIndex, to: NodeIndex, payload: Vec<u8>) {
        if let Some(remote) = self.host(to).address(Family::V4) {
            self.transmit(from, Transmit { path: Path::direct(remote), payload });
        }
    }

    /// Takes what has arrived at a listener.
    pub fn heard(&mut self, listener: NodeIndex) -> Vec<(Path, Vec<u8>)> {
        match &mut self.host_mut(listener).machine {
            Machine::Listener(heard) => core::mem::take(heard),
            Machine::Node(_) | Machine::Gone => Vec::new(),
        }
    }

    /// Lets the next thing happen unless it lies behind `end`; then the clock stands at `end`.
    fn step(&mut self, end: Instant) -> bool {
        if self.queue.next_at().is_none_or(|at| at > end) {
            self.now = self.now.max(end);
            return false;
        }
        let Some((at, what)) = self.queue.pop() else { return false };
        self.now = self.now.max(at);
        match what {
            Happening::Arrive { to, path, payload } => self.arrive(to, path, payload),
            Happening::Wake { node } => self.wake(node, at),
            Happening::Leave { node } => self.leave(node),
        }
        true
    }

    fn arrive(&mut self, to: NodeIndex, path: Path, payload: Vec<u8>) {
        let now = self.now;
        let host = self.host_mut(to);
        if !host.connected || matches!(host.machine, Machine::Gone) {
            self.counters.undeliverable += 1;
            return;
        }
        host.traffic.datagrams_in += 1;
        host.traffic.bytes_in += payload.len() as u64;
        match &mut host.machine {
            Machine::Node(node) => {
                let result = node.handle_datagram(now, path, &payload);
                self.counters.delivered += 1;
                if let Err(reason) = result {
                    *self.counters.rejected.entry(reason).or_insert(0) += 1;
                }
                self.attend(to);
            }
            Machine::Listener(heard) => {
                heard.push((path, payload));
                self.counters.delivered += 1;
            }
            Machine::Gone => {}
        }
    }

    /// # Panics
    /// If the node asks for the same deadline again and again: a host would spin.
    fn wake(&mut self, index: NodeIndex, at: Instant) {
        let now = self.now;
        let host = self.host_mut(index);
        if host.armed != Some(at) {
            return; // An earlier wake-up has been put in its place.
        }
        host.armed = None;
        let Some(node) = host.node_mut() else { return };
        if node.poll_timeout().is_some_and(|deadline| deadline <= now) {
            node.handle_timeout(now);
            let again = node.poll_timeout().is_some_and(|deadline| deadline <= now);
            host.spins = if again { host.spins + 1 } else { 0 };
            assert!(host.spins < MAX_SPINS, "{index} asks to be woken at {now:?} for ever");
        }
        self.attend(index);
    }

    fn leave(&mut self, node: NodeIndex) {
        let Some(Churn { sessions, options }) = &self.churn else { return };
        let (sessions, options) = (*sessions, options.clone());
        self.kill(node);
        let (newcomer, join) = self.add_newcomer(options);
        if let Some(join) = join {
            self.watched.remove(&join);
        }
        let end = sessions.end_of_newcomer(self.now, &mut self.rng);
        self.queue.push(end, Happening::Leave { node: newcomer });
        self.counters.replaced += 1;
    }

    /// Drains a node after it was called, and arms its next wake-up.
    fn attend(&mut self, index: NodeIndex) {
        while let Some(transmit) = self.host_mut(index).node_mut().and_then(Node::poll_transmit) {
            let host = self.host_mut(index);
            match host.rewrite {
                None => self.transmit(index, transmit),
                Some(rewrite) => {
                    for transmit in rewrite(&mut self.rng, transmit) {
                        self.transmit(index, transmit);
                    }
                }
            }
        }
        while let Some(event) = self.host_mut(index).node_mut().and_then(Node::poll_event) {
            self.note(index, event);
        }
        while self.host_mut(index).node_mut().and_then(Node::poll_change).is_some() {}
        let now = self.now;
        let host = self.host_mut(index);
        let Some(deadline) = host.node().and_then(Node::poll_timeout) else { return };
        let deadline = deadline.max(now);
        if host.armed.is_none_or(|armed| deadline < armed) {
            host.armed = Some(deadline);
            self.queue.push(deadline, Happening::Wake { node: index });
        }
    }

    fn transmit(&mut self, from: NodeIndex, transmit: Transmit) {
        let Transmit { path: Path { link, remote }, payload } = transmit;
        if self.config.trace {
            self.trace.datagram(self.now, from, &Path { link, remote }, &payload);
        }
        self.counters.sent += 1;
        let host = self.host_mut(from);
        host.traffic.datagrams_out += 1;
        host.traffic.bytes_out += payload.len() as u64;
        let (side, connected) = (host.side, host.connected);
        let source = host.address(Family::of(&remote));
        let to = self.config.addresses.node(remote);
        // A machine has the address only if it has one of the family at all.
        let reached = to.filter(|to| {
            self.hosts.get(to.0 as usize).is_some_and(|host| {
                host.side == side && host.address(Family::of(&remote)) == Some(remote)
            })
        });
        let (Some(to), Some(source), true) = (reached, source, connected) else {
            self.counters.undeliverable += 1;
            return;
        };
        let delays = self.config.link.delays(self.config.seed, from, to, &mut self.rng);
        match delays {
            [Some(first), again] => {
                let path = Path { link: LinkId(0), remote: source };
                if let Some(again) = again {
                    let payload = payload.clone();
                    self.queue.push(self.now + again, Happening::Arrive { to, path, payload });
                }
                self.queue.push(self.now + first, Happening::Arrive { to, path, payload });
            }
            [None, _] => self.counters.lost += 1,
        }
    }

    fn note(&mut self, node: NodeIndex, event: Event) {
        if self.config.trace {
            self.trace.event(self.now, node, &event);
        }
        if let Some(id) = event.operation() {
            if let Some(events) = self.watched.get_mut(&Operation { node, id }) {
                events.push((self.now, event));
            }
        } else {
            let notices = &mut self.host_mut(node).notices;
            if notices.len() < MAX_NOTICES {
                notices.push(event);
            }
        }
    }
}

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
    pub fn address(&self, node: NodeIndex, family: Family) -> core::net::SocketAddr {
        let Some(address) = self.host(node).address(family) else {
            panic!("{node} has no address in {family:?}")
        };
        address
    }

    /// The families a node has addresses in.
    #[must_use]
    pub fn families(&self, node: NodeIndex) -> Families {
        self.host(node).families()
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
            .filter(|node| **node != asker && self.host(**node).address(family).is_some());
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
        &self.host(node).notices
    }

    /// What a node has sent and received.
    #[must_use]
    pub fn traffic(&self, node: NodeIndex) -> Traffic {
        self.host(node).traffic
    }

    /// What happened in the whole network.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A number over every datagram and event so far, in order, if [`SimConfig::trace`] is set.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// # Panics
    /// If this network has no such node.
    fn host(&self, node: NodeIndex) -> &Host {
        let Some(host) = self.hosts.get(node.0 as usize) else { panic!("there is no {node}") };
        host
    }

    fn host_mut(&mut self, node: NodeIndex) -> &mut Host {
        let Some(host) = self.hosts.get_mut(node.0 as usize) else { panic!("there is no {node}") };
        host
    }

    fn running(&mut self, node: NodeIndex) -> &mut Node {
        let Some(running) = self.host_mut(node).node_mut() else { panic!("{node} does not run") };
        running
    }
}
