//! Lookups end with the true k closest, whoever asks for whatever.

use core::time::Duration;

use kadlet_core::{Config, Event, Families, Outcome, Role};
use kadlet_sim::{AddressPlan, LinkModel, Network, NodeOptions, Rtt, SimConfig};

use crate::{HOUR, K, MINUTE, lookup, network, quality};

/// Mistakes 1, 2, 5 and 8: a lookup that ends when a round brings nothing closer, counts dead
/// contacts, compares by bucket, or is answered from one bucket misses some of the k closest.
#[test]
fn every_lookup_ends_with_the_true_k_closest() {
    let mut net = network(1, 300);
    let quality = quality(&mut net, 100);
    assert!(quality.is_perfect(), "{quality:?}");
}

/// Ids of nodes as targets, the asker's own among them: the node itself is what is found, except
/// by itself (mistake 6).
#[test]
fn lookups_for_nodes_find_them() {
    let mut net = network(2, 150);
    for _ in 0..30 {
        let (asker, other) = (net.random_live(), net.random_live());
        for target in [net.node(asker).id(), net.node(other).id()] {
            let found = lookup(&mut net, asker, target).closest_ids();
            assert_eq!(found, net.closest_live(target, K, asker));
            assert!(!found.contains(&net.node(asker).id()));
        }
    }
}

/// Fewer nodes than k: all of them are found (mistake 8: fewer than k though more are known).
#[test]
fn a_small_network_is_found_whole() {
    for count in [2, 3, 7, 21] {
        let mut net = network(3, count);
        let (asker, target) = (net.random_live(), net.random_id());
        let report = lookup(&mut net, asker, target);
        assert_eq!(report.outcome(), Outcome::Success);
        assert_eq!(report.closest_ids(), net.closest_live(target, K, asker), "{count} nodes");
    }
}

/// Nobody to ask is not the same as nobody there (mistake 29).
#[test]
fn a_lookup_without_contacts_says_so() {
    let mut net = Network::new(SimConfig::with_seed(4));
    let loner = net.add_node(NodeOptions::new(Config::default()));
    let target = net.random_id();
    assert_eq!(lookup(&mut net, loner, target).outcome(), Outcome::NoPeers);
}

/// Mistakes 1 and 2 again, where it hurts: half of all nodes die at once, so that half of every
/// answer is dead and nobody knows it yet. Most of the living are found nevertheless; after an hour
/// of upkeep all of them are, though nobody new has come.
#[test]
fn dead_contacts_do_not_hide_the_closest() {
    let mut net = network(5, 200);
    for _ in 0..100 {
        let victim = net.random_live();
        net.kill(victim);
    }
    let shaken = quality(&mut net, 30);
    assert!(shaken.found >= 800, "{shaken:?}");
    net.run_for(HOUR);
    let settled = quality(&mut net, 30);
    assert!(settled.is_perfect(), "{settled:?}");
}

/// Mistake 3: a lookup that waits for a whole round takes a hard timeout (2 s and more) for every
/// round with a silent contact in it: with a third of the contacts dead that is most of seven
/// rounds and more. Slow contacts free their slot early here.
#[test]
fn silent_contacts_do_not_stall_a_lookup() {
    let mut config = SimConfig::with_seed(6);
    config.link.rtt = Rtt::Constant(Duration::from_millis(100));
    let mut net = Network::new(config);
    net.grow(150, &Config::default()).expect("all nodes join");
    net.run_for(MINUTE);
    for _ in 0..50 {
        let victim = net.random_live();
        net.kill(victim);
    }
    for _ in 0..20 {
        let (asker, target) = (net.random_live(), net.random_id());
        let totals = lookup(&mut net, asker, target).totals();
        assert!(totals.elapsed < Duration::from_secs(15), "{totals:?}");
    }
}

/// Loss, duplicates and datagrams that overtake each other cost time, not results.
#[test]
fn lookups_survive_a_bad_network() {
    let mut net = network(7, 200);
    *net.link_mut() = LinkModel::lossy();
    net.link_mut().jitter = Duration::from_millis(400);
    net.link_mut().duplication = 100_000;
    let quality = quality(&mut net, 50);
    assert!(quality.found >= 950, "{quality:?}");
}

/// Nobody is asked twice in one lookup, nobody is asked who is us (mistakes 4 and 6), and what an
/// operation says begins with `Started` and ends with `Done`.
#[test]
fn nobody_is_asked_twice() {
    let mut net = network(8, 200);
    for _ in 0..10 {
        let (asker, target) = (net.random_live(), net.random_id());
        let own = net.node(asker).id();
        let report = lookup(&mut net, asker, target);
        let mut asked: Vec<_> = report
            .events()
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Asked { peer, .. } => Some(*peer),
                _ => None,
            })
            .collect();
        let questions = asked.len();
        asked.sort_unstable();
        asked.dedup();
        assert_eq!(asked.len(), questions);
        assert!(asked.iter().all(|peer| peer.id != Some(own)));
        assert!(matches!(report.events().first(), Some((_, Event::Started { .. }))));
        assert_eq!(report.totals().asked as usize, questions);
        assert_eq!(report.totals().failed, 0);
    }
}

/// On public addresses, with cookies, diversity and all limits in force.
#[test]
fn lookups_on_public_addresses() {
    let mut config = SimConfig::with_seed(9);
    config.addresses = AddressPlan::Public;
    let mut net = Network::new(config);
    let mut settings = Config::default();
    settings.role = Role::Server;
    net.grow(200, &settings).expect("all nodes join");
    net.run_for(MINUTE);
    let quality = quality(&mut net, 40);
    assert!(quality.is_perfect(), "{quality:?}");
}

/// One table a family: in a network of IPv4, IPv6 and both kinds of node, a lookup ends with the k
/// closest of every family that the asker has.
#[test]
fn families_are_looked_up_apart() {
    let mut net = Network::new(SimConfig::with_seed(10));
    let mut options = NodeOptions::new(Config::default());
    options.families = Families::BOTH;
    net.grow_with(60, &options).expect("nodes with both join");
    for families in [Families::V4, Families::V6] {
        options.families = families;
        net.grow_with(40, &options).expect("nodes with one family join");
    }
    net.run_for(MINUTE);
    for _ in 0..20 {
        let (asker, target) = (net.random_live(), net.random_id());
        let report = lookup(&mut net, asker, target);
        for family in net.families(asker).iter() {
            let found: Vec<_> = report
                .closest()
                .iter()
                .filter(|contact| contact.path.family() == family)
                .map(|contact| contact.id)
                .collect();
            assert_eq!(found, net.closest_live_in(family, target, K, asker), "{family:?}");
        }
    }
}
