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

/// What 40 lookups came to.
struct Found {
    /// Of the k closest that answer properly, those found, in thousandths.
    share: usize,
    /// Of those the ones that are missing although somebody farther away was found.
    missed: usize,
    datagrams: u32,
}

fn found(net: &mut Network, honest: &[NodeIndex]) -> Found {
    let (mut found, mut all, mut missed, mut datagrams) = (0, 0, 0, 0);
    for _ in 0..40 {
        let asker = honest[net.rng().below(honest.len() as u64) as usize];
        let target = net.random_id();
        let report = lookup(net, asker, target);
        let closest_ids = report.closest_ids();
        let truth = closest(net, honest, target, asker);
        let farthest = closest_ids.get(K - 1).map(|id| id.distance(target));
        for id in &truth {
            let is_found = closest_ids.contains(id);
            found += usize::from(is_found);
            let has_place = farthest.is_none_or(|farthest| id.distance(target) < farthest);
            missed += usize::from(!is_found && has_place);
        }
        all += truth.len();
        datagrams += report.totals().datagrams;
    }
    Found { share: found * 1_000 / all, missed, datagrams: datagrams / 40 }
}

/// At once, before anybody knows who is dead: an answer has eight places, and the dead have half of
/// them.
#[test]
fn with_half_of_the_contacts_dead_lookups_find_the_living() {
    let (mut net, all) = network(90, 200);
    let (dead, alive) = all.split_at(100);
    for node in dead {
        net.kill(*node);
    }
    let at_once = found(&mut net, alive);
    assert_eq!((at_once.share, at_once.missed), (1_000, 0));
    assert!(at_once.datagrams <= 60, "{} a lookup", at_once.datagrams);
    net.run_for(HOUR);
    let later = found(&mut net, alive);
    assert_eq!((later.share, later.missed), (1_000, 0));
    assert!(later.datagrams <= 20, "{} a lookup", later.datagrams);
}

/// Some of what the others send is a good answer: they stay in tables, and have a place among the
/// eight as often. Nobody honest is missed who is closer than the farthest that was found.
#[test]
fn with_a_fifth_answering_garbage_lookups_find_the_others() {
    let (mut net, all) = network(91, 200);
    let (broken, honest) = all.split_at(40);
    for node in broken {
        net.set_rewrite(*node, Some(garbage));
    }
    let at_once = found(&mut net, honest);
    assert_eq!(at_once.missed, 0);
    assert!(at_once.share >= 900, "{} of 1,000", at_once.share);
    net.run_for(HOUR);
    let later = found(&mut net, honest);
    assert_eq!(later.missed, 0);
    assert!(later.share >= 950, "{} of 1,000", later.share);
    for node in honest {
        assert!(net.node(*node).health().contacts.iter().any(|(_, contacts)| *contacts > 20));
    }
}
