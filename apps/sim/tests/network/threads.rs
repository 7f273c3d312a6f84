//! The same run, whatever the number of threads.

use core::time::Duration;

use kadlet_core::Config;
use kadlet_sim::experiment::sybil::public;
use kadlet_sim::hostile::{Conspiracy, Strategy};
use kadlet_sim::{
    AddressPlan, Bandwidth, Counters, LinkModel, NatModel, Network, NodeOptions, Rtt, Sessions,
    SimConfig, Weibull,
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

/// What can be seen of a network in which a third of the nodes knows at once what one of them knows,
/// and what lookups tell them comes from several sides at a time.
fn attacked(threads: usize, strategy: Strategy) -> (u64, Counters) {
    let mut config = SimConfig::with_seed(91);
    (config.threads, config.trace, config.addresses) = (threads, true, AddressPlan::Public);
    let mut net = Network::new(config);
    let settings = public();
    let conspiracy = Conspiracy::new(strategy, &settings, 60, [92; 32]);
    let honest = net.grow(40, &settings).expect("all nodes join");
    let mut options = NodeOptions::new(settings);
    options.hostile = Some(conspiracy.clone());
    net.grow_with(20, &options).expect("all nodes join");
    conspiracy.wake();
    for _ in 0..2 {
        let target = net.random_id();
        for node in &honest {
            net.with(*node, |node, now| node.find_node(now, target));
        }
        net.run_for(MINUTE / 6);
    }
    (net.trace_hash(), net.counters())
}

#[test]
fn threads_change_nothing_for_an_attacker() {
    for strategy in [Strategy::ForgedLies, Strategy::Poison] {
        assert_eq!(attacked(1, strategy), attacked(3, strategy), "{strategy:?}");
    }
}
