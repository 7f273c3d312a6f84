//! The native wire: one find_node answer with 8 contacts, decoded and encoded.
//!
//! `read` decodes and then looks at every contact, which decoding alone only validates.
#![expect(clippy::unwrap_used, reason = "a benchmark may fail")]

use core::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use kadlet_core::wire::native::Native;
use kadlet_core::wire::{Body, List, Message, Method, NodeInfo, Query, Response};
use kadlet_core::{Capabilities, Id, Rng};

fn contacts(rng: &mut Rng) -> Vec<NodeInfo> {
    let node = |_| NodeInfo {
        id: Id::random(rng),
        address: (rng.bytes::<4>(), rng.next_u32() as u16).into(),
        capabilities: Capabilities::STORE,
    };
    (0..8).map(node).collect()
}

fn wire(c: &mut Criterion) {
    let mut rng = Rng::from_seed([1; 32]);
    let wire = Native::new("benchmark");
    let contacts = contacts(&mut rng);
    let (transaction, sender, target) = (rng.bytes::<8>(), Id::random(&mut rng), Id::ZERO);

    let mut response = Response::default();
    response.nodes = List::new(&contacts);
    let answer = Message::new(&transaction, sender, Body::Response(response));
    let mut datagram = Vec::new();
    wire.encode(&answer, None, &mut datagram);

    let mut group = c.benchmark_group("native");
    group.bench_function("decode find_node answer", |b| {
        b.iter(|| wire.decode(black_box(&datagram)).is_ok());
    });
    group.bench_function("read find_node answer", |b| {
        b.iter(|| {
            let message = wire.decode(black_box(&datagram)).unwrap();
            let Body::Response(response) = message.body else { panic!("an answer") };
            response.nodes.iter().for_each(|node| {
                black_box(node);
            });
        });
    });
    group.bench_function("encode find_node answer", |b| {
        b.iter(|| {
            let mut out = Vec::new();
            wire.encode(black_box(&answer), None, &mut out);
            out
        });
    });

    let find = Body::Query(Query::about(target, Method::FindNode));
    let query = Message::new(&transaction, sender, find);
    let mut datagram = Vec::new();
    wire.encode(&query, None, &mut datagram);
    group.bench_function("decode find_node", |b| {
        b.iter(|| wire.decode(black_box(&datagram)).is_ok());
    });
    group.bench_function("encode find_node", |b| {
        b.iter(|| {
            let mut out = Vec::new();
            wire.encode(black_box(&query), None, &mut out);
            out
        });
    });
    group.finish();
}

criterion_group!(benches, wire);
criterion_main!(benches);
