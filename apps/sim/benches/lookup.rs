//! What one lookup costs in processor time, all the nodes that it asks included: the network has no
//! delay that a clock could see.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use kadlet_core::Config;
use kadlet_sim::{Network, SimConfig};

fn lookups(c: &mut Criterion) {
    let mut group = c.benchmark_group("lookup in a simulated network");
    for nodes in [200, 1_000] {
        let mut net = Network::new(SimConfig::with_seed(1));
        net.grow(nodes, &Config::default()).expect("all nodes join");
        let net = core::cell::RefCell::new(net);
        group.bench_function(format!("{nodes} nodes"), |b| {
            b.iter_batched(
                || {
                    let mut net = net.borrow_mut();
                    (net.random_live(), net.random_id())
                },
                |(asker, target)| {
                    let mut net = net.borrow_mut();
                    let lookup = net.command(asker, |node, now| node.find_node(now, target));
                    net.wait(lookup).expect("a lookup ends")
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, lookups);
criterion_main!(benches);
