//! The four datagrams of the figures in docs/benchmarks.md, of `krpc.rs` here and of
//! `tools/bench/krpc`: what is compared is the same.

use core::net::SocketAddr;

use kadlet_core::wire::mainline::Mainline;
use kadlet_core::wire::{
    Body, Item, List, Message, Method, NodeInfo, Peer, Query, Response, SignedItem,
};
use kadlet_core::{Capabilities, Families, Id, Rng};

/// What the messages refer to.
pub(crate) struct Parts {
    sender: Id,
    info_hash: Id,
    nodes: Vec<NodeInfo>,
    peers: Vec<Peer>,
    value: Vec<u8>,
}

impl Parts {
    pub(crate) fn new() -> Self {
        let mut rng = Rng::from_seed([44; 32]);
        let nodes = (0..8)
            .map(|_| NodeInfo {
                id: Id::random(&mut rng),
                address: SocketAddr::from((rng.bytes::<4>(), 6881)),
                capabilities: Capabilities::NONE,
            })
            .collect();
        let peers = (0..50)
            .map(|_| Peer { address: SocketAddr::from((rng.bytes::<4>(), 51413)), transports: 0 })
            .collect();
        let value = [b"996:".as_slice(), &[b'x'; 996]].concat();
        let [sender, info_hash] = [(); 2].map(|()| Id::random(&mut rng));
        Self { sender, info_hash, nodes, peers, value }
    }

    /// The messages, each with its name and as a datagram.
    pub(crate) fn messages(&self) -> [(&'static str, Message<'_>, Vec<u8>); 4] {
        let mut find_node = Response::default();
        find_node.nodes = List::new(&self.nodes);
        find_node.listed = Families::V4;
        let mut get_peers = find_node.clone();
        get_peers.token = Some(b"aoeusnth");
        get_peers.providers = List::new(&self.peers);
        let mut get = find_node.clone();
        get.token = Some(b"aoeusnth");
        get.item = Some(Item::Signed(SignedItem::new(&[7; 32], 1, &self.value, &[9; 64])));
        let method = Method::Announce {
            token: b"aoeusnth",
            port: Some(6881),
            implied_port: true,
            transports: 0,
            seed: false,
        };
        [
            ("find_node reply", Body::Response(find_node)),
            ("get_peers reply", Body::Response(get_peers)),
            ("announce_peer", Body::Query(Query::about(self.info_hash, method))),
            ("get reply", Body::Response(get)),
        ]
        .map(|(name, body)| {
            let mut message = Message::new(b"tttt", self.sender, body);
            message.version = Some(b"KL01");
            let mut datagram = Vec::new();
            Mainline.encode(&message, &mut datagram);
            assert_eq!(Mainline.decode(&datagram).as_ref(), Ok(&message));
            (name, message, datagram)
        })
    }
}
