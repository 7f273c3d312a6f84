//! A network of which one node is real: the others are ids in a sorted list, and answer out of the
//! buckets that they would have. A million of them cost 20 MB, and a real node that joins gets the
//! table that it would have among as many real ones.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use kadlet_core::wire::native::Native;
use kadlet_core::wire::{Body, List, Message, Method, NodeInfo, Query, Response, Wire};
use kadlet_core::{
    Capabilities, Config, Event, Id, Instant, Network, Node, OperationId, Path, Rng, Role,
};

/// Where the addresses begin: 256 to each, so that no two share a prefix.
const FIRST: u32 = 0x0b00_0000;
const PORT: u16 = 6881;
const NAME: &str = "benchmark";
const ROUND_TRIP: Duration = Duration::from_millis(40);

pub(crate) struct World {
    /// In order; the index is in the address.
    ids: Vec<Id>,
    k: usize,
    wire: Wire,
}

impl World {
    pub(crate) fn new(nodes: usize, k: usize) -> Self {
        let mut rng = Rng::from_seed([9; 32]);
        let mut ids: Vec<_> = (0..nodes).map(|_| Id::random(&mut rng)).collect();
        ids.sort_unstable();
        Self { ids, k, wire: Wire::Native(Native::new(NAME)) }
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default();
        config.network = Network::Native(NAME.into());
        config.role = Role::Server;
        config.table.k = self.k;
        config.lookup.k = self.k;
        config
    }

    /// The id and address of one of them.
    pub(crate) fn node(&self, index: usize) -> (Id, SocketAddr) {
        let offset = u32::try_from(index).expect("fewer than 2^20") << 8;
        let ip = Ipv4Addr::from_bits(FIRST + offset);
        (self.ids[index], SocketAddr::from((ip, PORT)))
    }

    fn id_at(&self, address: SocketAddr) -> Option<Id> {
        let IpAddr::V4(ip) = address.ip() else { return None };
        self.ids.get((ip.to_bits().checked_sub(FIRST)? >> 8) as usize).copied()
    }

    /// Whom a node knows next to a point: the bucket of its table that the point falls into. Of the
    /// ids there it has k, drawn once and for all, or all if there are no more.
    fn known(&self, node: Id, target: Id) -> Vec<NodeInfo> {
        let mut range = 0..self.ids.len();
        let depth = node.common_prefix(target).saturating_add(1).min(Id::BITS);
        for bit in 0..depth {
            let ones = range.start + self.ids[range.clone()].partition_point(|id| !id.bit(bit));
            let half = if target.bit(bit) { ones..range.end } else { range.start..ones };
            if half.len() < self.k {
                break;
            }
            range = half;
        }
        let mut indices: Vec<_> = range.collect();
        if indices.len() > self.k {
            let mut seed = [0; 32];
            seed[..Id::LEN].copy_from_slice(node.as_bytes());
            seed[31] = u8::try_from(depth).unwrap_or(u8::MAX);
            let mut rng = Rng::from_seed(seed);
            let count = indices.len() as u64;
            let drawn = (0..self.k).map(|_| indices[rng.below(count) as usize]).collect();
            indices = drawn;
        }
        indices.sort_unstable_by_key(|index| self.ids[*index].distance(target));
        indices.dedup();
        let info = |index: usize| {
            let (id, address) = self.node(index);
            NodeInfo { id, address, capabilities: Capabilities::STORE }
        };
        indices.into_iter().map(info).collect()
    }

    /// What the node at this address answers; nothing where none is, or to another question.
    fn answer(&self, at: SocketAddr, datagram: &[u8]) -> Option<Vec<u8>> {
        let sender = self.id_at(at)?;
        let question = self.wire.decode(datagram).ok()?;
        let Body::Query(query) = &question.body else { return None };
        let nodes = query.target.map(|target| self.known(sender, target)).unwrap_or_default();
        let mut response = Response::default();
        response.method = query.method.code();
        response.nodes = List::new(&nodes);
        let mut message = Message::new(question.transaction, sender, Body::Response(response));
        message.capabilities = Some(Capabilities::STORE);
        let mut answer = Vec::new();
        self.wire.encode(&message, None, &mut answer);
        Some(answer)
    }

    /// A datagram with a question of the node with this index.
    pub(crate) fn question(&self, index: usize, target: Id, cookie: Option<[u8; 8]>) -> Vec<u8> {
        let (sender, _) = self.node(index);
        let query = Query::about(target, Method::FindNode);
        let mut message = Message::new(b"01234567", sender, Body::Query(query));
        message.cookie = cookie;
        let mut datagram = Vec::new();
        self.wire.encode(&message, None, &mut datagram);
        datagram
    }

    pub(crate) fn cookie_in(&self, datagram: &[u8]) -> Option<[u8; 8]> {
        self.wire.decode(datagram).ok()?.cookie
    }

    /// A node that has joined.
    pub(crate) fn joined(&self, seed: u8) -> (Node, Instant) {
        let mut now = Instant::from_secs(1);
        let id = Id::random(&mut Rng::from_seed([seed; 32]));
        let mut node = Node::new(self.config(), id, [seed; 32], now);
        let (_, entry) = self.node(0);
        let operation = node.bootstrap(now, &[Path::direct(entry)]);
        while !self.carry(&mut node, &mut now, Some(operation)) {}
        (node, now)
    }

    /// Lets a node live until then.
    pub(crate) fn live(&self, node: &mut Node, now: &mut Instant, until: Instant) {
        while *now < until {
            self.carry(node, now, None);
        }
    }

    /// Answers all that a node has asked, or goes on to its next deadline. Whether the operation is
    /// over.
    fn carry(&self, node: &mut Node, now: &mut Instant, operation: Option<OperationId>) -> bool {
        let sent: Vec<_> = core::iter::from_fn(|| node.poll_transmit()).collect();
        if sent.is_empty() {
            *now = node.poll_timeout().map_or(*now, |due| due.max(*now));
            node.handle_timeout(*now);
        } else {
            *now = *now + ROUND_TRIP;
        }
        for transmit in sent {
            if let Some(answer) = self.answer(transmit.path.remote, &transmit.payload) {
                // One that is refused is as one that was lost.
                let _ = node.handle_datagram(*now, transmit.path, &answer);
            }
        }
        let mut is_over = false;
        while let Some(event) = node.poll_event() {
            is_over |= matches!(event, Event::Done { operation: id, .. } if Some(id) == operation);
        }
        while node.poll_change().is_some() {}
        is_over
    }
}
