//! The experiments with hostile nodes, each at a small size with exactly expected results.
//!
//! A seeded simulation has no noise. Whoever changes the behaviour writes the files anew with
//! `UPDATE_SNAPSHOTS=1 cargo test -p kadlet-sim --test hostile` and says in the commit why they are
//! better.

extern crate alloc;

use core::fmt::Write;

use kadlet_core::Config;
use kadlet_sim::experiment::flood::Flood;
use kadlet_sim::experiment::sybil::{Harm, Share, Sybil};
use kadlet_sim::experiment::versions::Versions;
use kadlet_sim::hostile::{Addresses, Strategy};
use kadlet_sim::snapshot;

/// A network of k = 8: as small as a network can be in which lookups have somewhere to go.
fn small(config: &mut Config) {
    (config.table.k, config.lookup.k) = (8, 8);
}

fn share(share: Share) -> String {
    format!("{:>7}", format!("{}/{}", share.count, share.of))
}

fn row(table: &mut String, what: &str, harm: &Harm) {
    writeln!(
        table,
        "{what:<34}{}{}{}{}{}",
        share(harm.found),
        share(harm.held),
        share(harm.eclipsed),
        share(harm.reached),
        share(harm.closest),
    )
    .expect("a string takes everything");
}

const HEAD: &str = "what                                found   held   ecl.  reach closest\n";

/// Hostile nodes at random places: a third, every strategy, by one path and by eight.
#[test]
fn sybil_random() {
    let mut table = HEAD.to_owned();
    for strategy in Strategy::ALL {
        for paths in [1, 8] {
            let mut sybil = Sybil::random(100, 33, strategy).paths(paths);
            small(&mut sybil.config);
            sybil.keys = 5;
            let harm = sybil.run(1).expect("it ends");
            row(&mut table, &format!("{}, d = {paths}", strategy.name()), &harm);
            if paths == 8 {
                assert!(harm.found.value() >= 0.8, "{}: {harm:?}", strategy.name());
            }
        }
    }
    snapshot::check("hostile-sybil-random.txt", &table);
}

/// A crowd next to each key: with the defences off the values are gone, as they are elsewhere; with
/// them on, crowds in few prefixes and crowds with a prefix for each node are got around.
#[test]
fn sybil_targeted() {
    let mut table = HEAD.to_owned();
    for strategy in [Strategy::Silent, Strategy::ClosestLies, Strategy::Forgetful] {
        let mut sybil = Sybil::targeted(150, 20, strategy);
        small(&mut sybil.config);
        (sybil.keys, sybil.readers) = (3, 4);
        let undefended = sybil.clone().undefended().run(1).expect("it ends");
        row(&mut table, &format!("{}, undefended", strategy.name()), &undefended);
        if strategy != Strategy::Silent {
            assert_eq!(undefended.eclipsed.value(), 1.0, "the attack is broken");
        }
        for addresses in [Addresses::Spread, Addresses::Prefixes(3)] {
            sybil.addresses = addresses;
            let harm = sybil.run(1).expect("it ends");
            row(&mut table, &format!("{}, {addresses:?}", strategy.name()), &harm);
            assert!(harm.eclipsed.value() <= 0.2, "{}: {harm:?}", strategy.name());
            assert_eq!(harm.held.value(), 1.0, "{}: nobody honest has it", strategy.name());
        }
    }
    snapshot::check("hostile-sybil-targeted.txt", &table);
}

/// Contacts that are none, and providers that have nothing.
#[test]
fn poison() {
    let mut sybil = Sybil::random(100, 10, Strategy::Poison);
    small(&mut sybil.config);
    sybil.keys = 10;
    let harm = sybil.run(1).expect("it ends");
    snapshot::check("hostile-poison.txt", &format!("{harm:#?}\n"));
}

/// A third of the nodes names contacts that are none. With the defences off lookups end without a quarter
/// of the closest; and where whoever names such contacts is believed whatever becomes of them, stores
/// and whole lookups chase more of them.
#[test]
fn inventors_are_judged() {
    let mut table = HEAD.replace('\n', "  ms for all  overdue\n");
    let mut sybil = Sybil::random(250, 33, Strategy::Poison);
    sybil.keys = 3;
    let mut run = |what: &str, sybil: &Sybil| {
        let harm = sybil.run(1).expect("it ends");
        row(&mut table, what, &harm);
        let millis = harm.whole_millis / harm.overdue.of;
        table.insert_str(table.len() - 1, &format!("{millis:>12}  {}", share(harm.overdue)));
        (harm, millis)
    };
    let (off, _) = run("undefended", &sybil.clone().undefended());
    let (mut believed, mut judged) = (sybil.clone().paths(8), sybil.paths(8));
    believed.config.lookup.credit = 0;
    let (_, slow) = run("believed, d = 8", &believed);
    let (on, fast) = run("judged, d = 8", &judged);
    judged.config.lookup.paths = 1;
    run("judged, d = 1", &judged);
    snapshot::check("hostile-inventors.txt", &table);
    assert!(off.closest.value() <= 0.75 && 4 * slow >= 5 * fast, "the attack is broken");
    assert!(on.closest.value() >= 0.95 && on.found.value() == 1.0, "{on:?}");
}

/// A later version beside today's, few of it and most of it: nothing is lost.
#[test]
fn mixed_versions() {
    let mut table = String::new();
    for percent in [0, 10, 50, 90] {
        let mut versions = Versions::new(80, percent);
        small(&mut versions.config);
        let harmony = versions.run(1).expect("it ends");
        assert_eq!((harmony.exact.value(), harmony.found.value()), (1.0, 1.0), "{percent} %");
        writeln!(table, "{percent:>2} % {harmony:?}").expect("a string takes everything");
    }
    snapshot::check("hostile-mixed-versions.txt", &table);
}

/// Where there are fewer than k others, it is enough that all of them keep a value.
#[test]
fn few_nodes_store_as_often_as_they_can() {
    let mut versions = Versions::new(5, 40);
    small(&mut versions.config);
    versions.operations = 3;
    let harmony = versions.run(1).expect("it ends");
    assert_eq!(harmony.stored, Share { count: 12, of: 12 });
}

/// Two thousand datagrams a second at one node, none of them any good.
#[test]
fn flood() {
    let burden = Flood::new(60, 400, 2_000).run(1).expect("it ends");
    assert_eq!(burden.exact.value(), 1.0);
    assert_eq!(burden.records, 0);
    assert!(burden.amplification <= 300, "{}", burden.amplification);
    snapshot::check("hostile-flood.txt", &format!("{burden:#?}\n"));
}
