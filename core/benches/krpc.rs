//! KRPC read and written: the four datagrams of the figures in docs/benchmarks.md.
//!
//! `decode` validates and types the whole datagram; lists stay runs of bytes. `decode and read`
//! also takes every node, peer and value out of them. `encode` starts from nodes and peers as the
//! routing table and the store have them, and from a buffer without capacity: one allocation.
#![allow(missing_docs, reason = "criterion's macro makes a public function")]

#[path = "krpc/datagrams.rs"]
mod datagrams;

use core::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kadlet_core::wire::Body;
use kadlet_core::wire::mainline::Mainline;

fn krpc(c: &mut Criterion) {
    let parts = datagrams::Parts::new();
    for (name, message, datagram) in parts.messages() {
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
