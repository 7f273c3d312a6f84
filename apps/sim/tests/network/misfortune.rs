//! Churn, cables that are pulled, networks that split.

use alloc::collections::BTreeSet;

use kadlet_core::{Config, Event, Family, GetQuery, PutOptions};
use kadlet_sim::{LinkModel, Network, NodeOptions, Sessions, Weibull};

use crate::{HOUR, K, MINUTE, immutable, lookup, network, quality};

/// Nodes come and go as measured, and some datagrams are lost: lookups still find the true k
/// closest, and values survive without their publisher.
#[test]
fn lookups_and_values_survive_churn() {
    let mut net = network(60, 150);
    let values: Vec<_> = (0..20_u8).map(|number| immutable(&[number; 100])).collect();
    for value in &values {
        let writer = net.random_live();
        let operation = net.command(writer, |node, now| {
            node.put(now, value.clone(), PutOptions::default()).expect("a good value")
        });
        net.wait(operation).expect("a put ends");
    }
    *net.link_mut() = LinkModel::lossy();
    net.start_churn(Sessions::MEASURED, NodeOptions::new(Config::default()), &[]);
    let mut found = 0;
    for _ in 0..12 {
        net.run_for(MINUTE * 10);
        found += quality(&mut net, 5).found;
    }
    assert!(net.counters().replaced > 40, "{} replaced", net.counters().replaced);
    assert!(found / 12 >= 950, "{found} of 12,000");
    for value in values {
        let reader = net.random_live();
        let query = GetQuery::new(value.key());
        let operation = net.command(reader, |node, now| node.get(now, query));
        let report = net.wait(operation).expect("a get ends");
        assert_eq!(report.values().collect::<Vec<_>>(), [&value]);
    }
}

/// Mistake 12: with our own cable out everything times out, and nobody is to blame. Nine contacts
/// may fall silent before it is clear that it is we who are offline (after ten in a row); all
/// others are handed on for the whole night as before.
#[test]
fn a_pulled_cable_empties_no_table() {
    let mut net = network(61, 120);
    let victim = net.random_live();
    let samples: Vec<_> = (0..20).map(|_| net.random_id()).collect();
    let known = |net: &Network| -> BTreeSet<_> {
        samples.iter().flat_map(|id| net.node(victim).closest(*id, Family::V4)).collect()
    };
    let before = known(&net);
    net.set_connected(victim, false);
    for _ in 0..20 {
        let target = net.random_id();
        lookup(&mut net, victim, target);
        net.run_for(MINUTE * 10);
    }
    assert!(net.node(victim).health().offline);
    assert!(net.notices(victim).contains(&Event::Offline { offline: true }));
    let lost = before.difference(&known(&net)).count();
    assert!(lost < 10, "{lost} of {} contacts are lost", before.len());
    net.set_connected(victim, true);
    net.run_for(MINUTE * 5);
    assert!(!net.node(victim).health().offline);
    let target = net.random_id();
    assert_eq!(lookup(&mut net, victim, target).closest_ids(), net.closest_live(target, K, victim));
}

/// The whole network is down for a night: in the morning everybody still knows everybody.
#[test]
fn a_night_without_network_costs_nothing() {
    let mut net = network(62, 80);
    let all = net.live().to_vec();
    for node in &all {
        net.set_connected(*node, false);
    }
    net.run_for(HOUR * 8);
    for node in &all {
        net.set_connected(*node, true);
    }
    net.run_for(MINUTE * 10);
    let quality = quality(&mut net, 20);
    assert!(quality.is_perfect(), "{quality:?}");
}

/// A partition that heals: both halves work while it lasts, and are one network again afterwards.
#[test]
fn a_partition_heals() {
    let mut net = network(63, 100);
    let half: Vec<_> = net.live().iter().copied().step_by(2).collect();
    for node in &half {
        net.set_side(*node, 1);
    }
    net.run_for(MINUTE * 20);
    for node in &half {
        net.set_side(*node, 0);
    }
    net.run_for(HOUR * 2);
    let quality = quality(&mut net, 20);
    assert!(quality.is_perfect(), "{quality:?}");
}

/// Mistakes 10 and 11: contacts that died give way to those that live, through useful traffic
/// alone: after some hours of churn and lookups tables hold mostly living contacts.
#[test]
fn dead_contacts_leave_the_tables() {
    let mut net = network(64, 150);
    let quick = Sessions(Weibull { shape: 1.0, scale: 3_600.0 });
    net.start_churn(quick, NodeOptions::new(Config::default()), &[]);
    net.run_for(HOUR * 3);
    net.stop_churn();
    net.run_for(HOUR);
    let (mut dead, mut all) = (0, 0);
    for node in net.live() {
        let target = net.node(*node).id();
        for contact in net.node(*node).closest(target, Family::V4) {
            all += 1;
            dead += usize::from(net.find(contact.id).is_none());
        }
    }
    assert!(dead * 50 <= all, "{dead} of {all} neighbours are dead");
}
