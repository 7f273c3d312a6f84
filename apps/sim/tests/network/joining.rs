//! Joining, and who is known to whom afterwards.

use core::time::Duration;

use kadlet_core::{Config, Event, Family, Network as NetworkName, Outcome, PeerFailure, Role};
use kadlet_sim::{Network, NodeOptions, SimConfig};

use crate::{HOUR, K, MINUTE, lookup, network};

/// Mistake 14: the neighbourhood of the own id must be complete: every node knows the k that are
/// closest to it. At once who joins, after an hour's refresh who was there before.
#[test]
fn everybody_knows_its_neighbours() {
    let mut net = network(20, 150);
    net.run_for(HOUR);
    for node in net.live() {
        let own = net.node(*node).id();
        let known = net.node(*node).closest(own, Family::V4);
        let known: Vec<_> = known.iter().map(|contact| contact.id).collect();
        assert_eq!(known, net.closest_live(own, K, *node), "{node}");
    }
}

/// Mistake 23: who looks up nothing but its own id at joining becomes known to those around it
/// alone. In a network so small that nobody's buckets are full, a newcomer that refreshes the
/// farther buckets too is known to everybody.
#[test]
fn others_learn_of_a_newcomer() {
    let mut net = network(22, 36);
    let (newcomer, through) = (net.add_node(NodeOptions::new(Config::default())), net.live()[0]);
    let join = net.join(newcomer, &[through]);
    let report = net.wait(join).expect("joining ends");
    assert_eq!(report.outcome(), Outcome::Success);
    net.run_for(MINUTE);
    let id = net.node(newcomer).id();
    let strangers = net.live().iter().filter(|node| {
        let closest = net.node(**node).closest(id, Family::V4);
        **node != newcomer && closest.first().is_none_or(|contact| contact.id != id)
    });
    assert_eq!(strangers.count(), 0);
}

/// One dead bootstrap address among living ones delays nothing and is reported (mistake 29).
#[test]
fn joining_tells_what_each_address_answered() {
    let mut net = network(22, 30);
    let dead = net.live()[3];
    net.kill(dead);
    let alive = net.live()[0];
    let newcomer = net.add_node(NodeOptions::new(Config::default()));
    let join = net.join(newcomer, &[dead, alive]);
    let report = net.wait(join).expect("joining ends");
    assert_eq!(report.outcome(), Outcome::Success);
    let address = net.address(alive, Family::V4);
    assert!(report.events().iter().any(|(_, event)| matches!(
        event,
        Event::Answered { peer, .. } if peer.path.remote == address
    )));
}

/// Nobody answers: that is said, address by address (mistake 29).
#[test]
fn joining_through_the_dead_fails_with_reasons() {
    let mut net = network(23, 5);
    let dead = [net.live()[0], net.live()[1]];
    for node in dead {
        net.kill(node);
    }
    let newcomer = net.add_node(NodeOptions::new(Config::default()));
    let join = net.join(newcomer, &dead);
    let report = net.wait(join).expect("joining ends");
    assert_eq!(report.outcome(), Outcome::NoAnswer);
    let timeouts = report
        .events()
        .iter()
        .filter(|(_, event)| matches!(event, Event::Failed { reason: PeerFailure::Timeout, .. }));
    assert_eq!(timeouts.count(), 2);
}

/// Two networks with different names never merge, whoever is told of whom.
#[test]
fn networks_with_different_names_never_merge() {
    let mut net = Network::new(SimConfig::with_seed(24));
    let mut other = Config::default();
    other.network = NetworkName::Native("another".into());
    let ours = net.grow(30, &Config::default()).expect("they join");
    let stranger = net.add_node(NodeOptions::new(other.clone()));
    let join = net.join(stranger, &ours[..3]);
    let report = net.wait(join).expect("joining ends");
    assert_eq!(report.outcome(), Outcome::NoAnswer);
    let theirs: Vec<_> = (0..20)
        .map(|_| {
            let node = net.add_node(NodeOptions::new(other.clone()));
            let join = net.join(node, &[stranger, ours[0]]);
            net.wait(join).expect("joining ends");
            node
        })
        .collect();
    net.run_for(MINUTE);
    for (side, strangers) in [(&ours, &theirs), (&theirs, &ours)] {
        let foreign: Vec<_> = strangers.iter().map(|node| net.node(*node).id()).collect();
        for node in side {
            for id in &foreign {
                let closest = net.node(*node).closest(*id, Family::V4);
                assert!(closest.iter().all(|contact| contact.id != *id), "{node} knows {id}");
            }
        }
    }
}

/// Client mode: a client looks up, is served, and is in nobody's table.
#[test]
fn a_client_is_served_and_never_inserted() {
    let mut net = network(25, 100);
    let mut client = Config::default();
    client.role = Role::Client;
    let clients = net.grow(10, &client).expect("clients join");
    for client in &clients {
        let target = net.random_id();
        let found = lookup(&mut net, *client, target).closest_ids();
        assert_eq!(found, net.closest_live(target, K, *client));
    }
    net.run_for(MINUTE * 30);
    for client in clients {
        let id = net.node(client).id();
        for node in net.live() {
            let closest = net.node(*node).closest(id, Family::V4);
            assert!(closest.iter().all(|contact| contact.id != id), "{node} keeps a client");
        }
    }
}

/// A network at rest costs little: no more than some datagrams a minute and node, and what is sent
/// is answered.
#[test]
fn an_idle_network_is_quiet() {
    let mut net = network(26, 100);
    net.run_for(MINUTE * 30);
    let before = net.counters().sent;
    net.run_for(MINUTE * 60);
    let per_node_and_minute = (net.counters().sent - before) / (100 * 60);
    assert!(per_node_and_minute <= 30, "{per_node_and_minute} datagrams a minute and node");
}

/// The same calls give the same bytes: two runs with one seed, and one with another.
#[test]
fn one_seed_one_run() {
    let run = |seed| {
        let mut config = SimConfig::with_seed(seed);
        config.trace = true;
        let mut net = Network::new(config);
        net.grow(20, &Config::default()).expect("they join");
        net.run_for(Duration::from_secs(30));
        net.trace_hash()
    };
    assert_eq!(run(27), run(27));
    assert_ne!(run(27), run(28));
}
