//! Mainline as it is: half of the contacts dead, and nodes that answer anything.

use kadlet_core::{Config, Id, Rng, Transmit};
use kadlet_sim::{Network, NodeIndex, SimConfig};

use crate::{HOUR, MINUTE, lookup};

/// BEP 5.
const K: usize = 8;

fn network(seed: u64, nodes: usize) -> (Network, Vec<NodeIndex>) {
    let mut net = Network::new(SimConfig::with_seed(seed));
    let all = net.grow(nodes, &Config::mainline()).expect("all of them join");
    net.run_for(MINUTE);
    (net, all)
}

/// What nodes answer that do not speak the protocol, or not well: noise, uTP, half of a message,
/// one with a byte changed, an error.
fn garbage(rng: &mut Rng, mut transmit: Transmit) -> Vec<Transmit> {
    let payload = &mut transmit.payload;
    match rng.below(5) {
        0 => payload.iter_mut().for_each(|byte| *byte = rng.next_u32() as u8),
        1 => *payload = vec![0x41, 2, 0x4f, 0x4d, 0, 0, 0, 0],
        2 => payload.truncate(payload.len() / 2),
        3 => {
            let at = rng.below(payload.len() as u64) as usize;
            payload[at] ^= 1 << rng.below(8);
        }
        _ => *payload = b"d1:eli202e6:serverE1:t4:aaaa1:y1:ee".to_vec(),
    }
    vec![transmit]
}

/// The truth among those that answer: the ids of the k closest, the asker left out.
fn closest(net: &Network, honest: &[NodeIndex], target: Id, asker: NodeIndex) -> Vec<Id> {
    let others = honest.iter().filter(|node| **node != asker);
    let mut ids: Vec<Id> = others.map(|node| net.node(*node).id()).collect();
    ids.sort_unstable_by_key(|id| id.distance(target));
    ids.truncate(K);
    ids
}

/// Of the k closest that answer, how many 40 lookups find, in thousandths.
fn found(net: &mut Network, honest: &[NodeIndex]) -> usize {
    let (mut found, mut all) = (0, 0);
    for _ in 0..40 {
        let asker = honest[net.rng().below(honest.len() as u64) as usize];
        let target = net.random_id();
        let closest_ids = lookup(net, asker, target).closest_ids();
        let truth = closest(net, honest, target, asker);
        found += truth.iter().filter(|id| closest_ids.contains(id)).count();
        all += truth.len();
    }
    found * 1_000 / all
}

#[test]
fn with_half_of_the_contacts_dead_lookups_find_the_living() {
    let (mut net, all) = network(90, 200);
    let (dead, alive) = all.split_at(100);
    for node in dead {
        net.kill(*node);
    }
    // At once: an answer has eight places, and the dead have half of them.
    let at_once = found(&mut net, alive);
    assert!(at_once >= 750, "{at_once} of 1,000");
    net.run_for(HOUR);
    assert_eq!(found(&mut net, alive), 1_000);
}

#[test]
fn with_a_fifth_answering_garbage_lookups_find_the_others() {
    let (mut net, all) = network(91, 200);
    let (broken, honest) = all.split_at(40);
    for node in broken {
        net.set_rewrite(*node, Some(garbage));
    }
    let at_once = found(&mut net, honest);
    assert!(at_once >= 900, "{at_once} of 1,000");
    net.run_for(HOUR);
    // Some of what they send is a good answer: they stay in tables, and in the way.
    let later = found(&mut net, honest);
    assert!(later >= 950, "{later} of 1,000");
    for node in honest {
        assert!(net.node(*node).health().contacts.iter().any(|(_, contacts)| *contacts > 20));
    }
}
