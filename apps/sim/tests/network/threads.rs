//! The same run, whatever the number of threads.

use core::time::Duration;

use kadlet_core::Config;
use kadlet_sim::{
    Bandwidth, Counters, LinkModel, NatModel, Network, NodeOptions, Rtt, Sessions, SimConfig,
    Weibull,
};

use crate::MINUTE;

/// What can be seen of a run in which everything happens that concerns more than one machine:
/// nodes come and go, a partition, operations waited for, NATs, narrow lines, loss, duplicates.
fn run(threads: usize, rtt: Rtt) -> (Vec<u64>, Counters, Vec<Duration>) {
    let mut config = SimConfig::with_seed(90);
    config.threads = threads;
    config.trace = true;
    config.link = LinkModel::lossy();
    config.link.rtt = rtt;
    config.link.bandwidth = Some(Bandwidth::HOUSEHOLD);
    config.link.duplication = 50_000;
    config.nat =
        NatModel { shares: [700_000, 0, 100_000, 100_000, 100_000, 0], ..NatModel::MEASURED };
    let mut net = Network::new(config);
    let options = NodeOptions::new(Config::default());
    let nodes = net.grow_with(80, &options).expect("all nodes join");
    let mut hashes = vec![net.trace_hash()];
    let mut times = Vec::new();
    net.start_churn(Sessions(Weibull { shape: 0.5, scale: 200.0 }), options, &nodes[..20]);
    for round in 0..6_u8 {
        for node in &nodes[..10] {
            net.set_side(*node, round % 2);
        }
        for _ in 0..10 {
            let (node, target) = (net.random_live(), net.random_id());
            net.with(node, |node, now| node.find_node(now, target));
        }
        net.run_for(MINUTE / 4);
        let target = net.random_id();
        let lookup = net.command(nodes[0], |node, now| node.find_node(now, target));
        times.push(net.wait(lookup).expect("a lookup ends").totals().elapsed);
        hashes.push(net.trace_hash());
    }
    (hashes, net.counters(), times)
}

#[test]
fn threads_change_nothing() {
    for rtt in [Rtt::INTERNET, Rtt::Constant(Duration::ZERO)] {
        let one = run(1, rtt);
        assert!(one.1.replaced > 10 && one.1.lost > 100, "too little happens: {:?}", one.1);
        for threads in [2, 3] {
            let several = run(threads, rtt);
            assert_eq!(one.0, several.0, "{threads} threads, {rtt:?}");
            assert_eq!((&one.1, &one.2), (&several.1, &several.2), "{threads} threads, {rtt:?}");
        }
    }
}
