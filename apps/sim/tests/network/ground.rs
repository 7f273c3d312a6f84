//! What stands between the nodes: NATs, pairs that are apart, narrow lines.

use core::time::Duration;

use kadlet_core::{Config, Outcome};
use kadlet_sim::{Bandwidth, Nat, NatModel, Network, NodeIndex, NodeOptions, Pairs, SimConfig};

use crate::{MINUTE, lookup};

fn grown(config: SimConfig, nodes: usize) -> Network {
    let mut net = Network::new(config);
    net.grow(nodes, &Config::default()).expect("all nodes join");
    net.run_for(MINUTE);
    net
}

/// Whether `asker` hears from `node` when it joins through nobody else.
fn gets_an_answer(net: &mut Network, asker: NodeIndex, node: NodeIndex) -> bool {
    let join = net.join(asker, &[node]);
    net.wait(join).expect("a join ends").totals().answered > 0
}

/// A stranger reaches who is open, and whoever sits behind a full cone and has spoken lately; the
/// gates of all others are closed to it, though they answer those they wrote to.
#[test]
fn strangers_reach_whom_the_gate_lets_them() {
    let mut config = SimConfig::with_seed(70);
    config.nat = NatModel::MEASURED;
    let mut net = grown(config, 120);
    let stranger = net.add_node(NodeOptions::new(Config::default()));
    let mut seen = [(0, 0); 6];
    for node in net.live().to_vec() {
        if node == stranger {
            continue;
        }
        let class = net.nat(node);
        let expected = net.reaches(stranger, node);
        let answered = gets_an_answer(&mut net, stranger, node);
        assert_eq!(answered, expected, "{class:?}");
        let place = Nat::ALL.iter().position(|it| *it == class).expect("one of them");
        seen[place].0 += u32::from(answered);
        seen[place].1 += 1;
    }
    let [open, cone, others @ ..] = seen;
    assert!(open.0 == open.1 && open.1 > 25, "{open:?}");
    assert!(cone.0 > 0, "{cone:?}");
    // The stranger itself talks to them once others name it.
    for (answered, of) in others {
        assert!(answered * 4 < of, "{answered} of {of} behind closed gates");
    }
}

#[test]
fn who_is_apart_hears_nothing_and_lookups_go_around() {
    let mut config = SimConfig::with_seed(71);
    config.link.pairs = Pairs::MEASURED;
    let mut net = grown(config, 100);
    let (mut apart, mut there) = (0, 0);
    for _ in 0..30 {
        let (asker, target) = (net.random_live(), net.random_id());
        let report = lookup(&mut net, asker, target);
        assert_eq!(report.outcome(), Outcome::Success);
        for contact in report.closest() {
            let node = net.find(contact.id).expect("nobody leaves");
            apart += u32::from(!net.reaches(asker, node));
            there += 1;
        }
    }
    assert_eq!((apart, there), (0, 30 * 20));
    assert!(net.counters().undeliverable > 100, "{:?}", net.counters());
}

/// Lines of 20 kB/s: lookups take longer than where lines are wide and still find everybody; lines
/// of 1 kB/s drop what a lookup sends at once.
#[test]
fn narrow_lines_slow_down_and_drop() {
    let mut times = Vec::new();
    for rate in [1_000_000, 20_000, 1_000] {
        let mut net = grown(SimConfig::with_seed(72), 80);
        net.link_mut().bandwidth = Some(Bandwidth { up: rate, down: rate, ..Bandwidth::HOUSEHOLD });
        let before = net.counters().lost;
        let asker = net.random_live();
        let mut elapsed = Duration::ZERO;
        for _ in 0..10 {
            let target = net.random_id();
            elapsed += lookup(&mut net, asker, target).totals().elapsed;
        }
        times.push((elapsed, net.counters().lost - before));
    }
    let [(wide, none), (narrow, few), (slow, many)] = times[..] else { panic!("three rates") };
    assert_eq!((none, few), (0, 0));
    assert!(wide < narrow && narrow < slow, "{wide:?} {narrow:?} {slow:?}");
    assert!(many > 10, "{many}");
}
