//! KRPC read and written: the four datagrams of the figures in docs/benchmarks.md.
//!
//! `decode` validates and types the whole datagram; lists stay runs of bytes. `decode and read`
//! also takes every node, peer and value out of them. `encode` starts from nodes and peers as the
//! routing table and the store have them, and from a buffer without capacity: one allocation.
#![allow(missing_docs, reason = "criterion's macro makes a public function")]

use core::hint::black_box;
use core::net::SocketAddr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kadlet_core::wire::mainline::Mainline;
use kadlet_core::wire::{
    Body, Item, List, Message, Method, NodeInfo, Peer, Query, Response, SignedItem,
};
use kadlet_core::{Capabilities, Families, Id, Rng};

fn krpc(c: &mut Criterion) {
    let mut rng = Rng::from_seed([44; 32]);
    let nodes: Vec<_> = (0..8)
        .map(|_| NodeInfo {
            id: Id::random(&mut rng),
            address: SocketAddr::from((rng.bytes::<4>(), 6881)),
            capabilities: Capabilities::NONE,
        })
        .collect();
    let peers: Vec<_> = (0..50)
        .map(|_| Peer { address: SocketAddr::from((rng.bytes::<4>(), 51413)), transports: 0 })
        .collect();
    let sender = Id::random(&mut rng);
    let value = [b"996:".as_slice(), &[b'x'; 996]].concat();

    let mut find_node = Response::default();
    find_node.nodes = List::new(&nodes);
    find_node.listed = Families::V4;
    let mut get_peers = find_node.clone();
    get_peers.token = Some(b"aoeusnth");
    get_peers.providers = List::new(&peers);
    let mut get = find_node.clone();
    get.token = Some(b"aoeusnth");
    get.item = Some(Item::Signed(SignedItem::new(&[7; 32], 1, &value, &[9; 64])));
    let announce = Query::about(
        Id::random(&mut rng),
        Method::Announce {
            token: b"aoeusnth",
            port: Some(6881),
            implied_port: true,
            transports: 0,
            seed: false,
        },
    );
    for (name, body) in [
        ("find_node reply", Body::Response(find_node)),
        ("get_peers reply, 50 values", Body::Response(get_peers)),
        ("announce_peer", Body::Query(announce)),
        ("get reply, 1,000 B", Body::Response(get)),
    ] {
        let mut message = Message::new(b"tttt", sender, body);
        message.version = Some(b"KL01");
        let mut datagram = Vec::new();
        Mainline.encode(&message, &mut datagram);
        let mut group = c.benchmark_group(format!("{name} ({} B)", datagram.len()));
        group.throughput(Throughput::Bytes(datagram.len() as u64));
        group.bench_function("decode", |b| b.iter(|| Mainline.decode(black_box(&datagram))));
        group.bench_function("decode and read", |b| {
            b.iter(|| {
                let message = Mainline.decode(black_box(&datagram)).expect("our own datagram");
                if let Body::Response(response) = &message.body {
                    response.nodes.iter().for_each(|node| {
                        black_box(node);
                    });
                    response.providers.iter().for_each(|peer| {
                        black_box(peer);
                    });
                }
                message.transaction.len()
            });
        });
        group.bench_function("encode", |b| {
            b.iter(|| {
                let mut out = Vec::new();
                Mainline.encode(black_box(&message), &mut out);
                out
            });
        });
        group.finish();
    }
}

criterion_group!(benches, krpc);
criterion_main!(benches);
