//! The routing table's figures in docs/benchmarks.md: 10,000 random ids offered, k = 20.
//!
//! `closest` is a reply's content: live contacts with their addresses, without the asker.
//! `touch` is an answer of somebody in the table, `offer` one of anybody of the 10,000, most of
//! whom meet a full bucket.
#![allow(missing_docs, reason = "criterion's macro makes a public function")]

use core::hint::black_box;
use core::net::SocketAddr;
use core::time::Duration;

use arrayvec::ArrayVec;
use criterion::{Criterion, criterion_group, criterion_main};
use kadlet_core::config::TableConfig;
use kadlet_core::{Contact, Filter, Id, Instant, Rng, RoutingTable};

const OFFERED: usize = 10_000;

fn offered(rng: &mut Rng) -> Vec<Contact> {
    (0..OFFERED)
        .map(|_| {
            let [a, b, c, d] = rng.bytes();
            let address = SocketAddr::from(([a % 100 + 11, b, c, d], 6881));
            Contact::new(Id::random(rng), address)
        })
        .collect()
}

/// A table to which all were offered, a millisecond apart.
fn filled(own: Id, offered: &[Contact]) -> RoutingTable {
    let mut table = RoutingTable::new(own, TableConfig::default());
    for (contact, millis) in offered.iter().zip(0..) {
        let _ = table.verified(Instant::from_millis(millis), *contact, None);
    }
    table
}

fn routing_table(c: &mut Criterion) {
    let mut rng = Rng::from_seed([1; 32]);
    let offered = offered(&mut rng);
    let own = Id::random(&mut rng);
    let mut table = filled(own, &offered);
    let targets: Vec<_> = (0..4096).map(|_| Id::random(&mut rng)).collect();
    let mut known: Vec<_> = table.iter().map(|entry| entry.contact).collect();
    rng.shuffle(&mut known);
    let rtt = Some(Duration::from_millis(40));

    let mut group = c.benchmark_group(format!("table of {}", table.len()));
    for count in [20, 8] {
        let mut targets = targets.iter().cycle();
        let mut out = [Contact::new(own, known[0].addr()); 20];
        group.bench_function(format!("closest {count}"), |b| {
            b.iter(|| {
                let target = *targets.next().expect("a cycle");
                let closest = table.closest(target, Filter::answering(own));
                black_box(closest.fill(&mut out[..count]));
                black_box(&out);
            });
        });
    }
    let mut targets = targets.iter().cycle();
    group.bench_function("closest 20, one by one", |b| {
        b.iter(|| {
            let target = *targets.next().expect("a cycle");
            let closest = table.closest(target, Filter::answering(own));
            black_box(closest.take(20).collect::<ArrayVec<_, 20>>())
        });
    });
    let now = Instant::from_secs(20);
    let mut again = known.iter().cycle();
    group.bench_function("touch", |b| {
        b.iter(|| table.verified(now, *again.next().expect("a cycle"), rtt));
    });
    let mut again = known.iter().cycle();
    group.bench_function("heard", |b| {
        b.iter(|| {
            let contact = again.next().expect("a cycle");
            table.heard(now, contact.id, contact.path)
        });
    });
    let mut again = offered.iter().cycle();
    group.bench_function("offer", |b| {
        b.iter(|| table.verified(now, *again.next().expect("a cycle"), rtt));
    });
    group.bench_function("offer 10,000 to an empty table", |b| {
        b.iter(|| filled(own, &offered));
    });
    group.finish();
}

criterion_group!(benches, routing_table);
criterion_main!(benches);
