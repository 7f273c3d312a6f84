//! The table of behaviour under conditions: success, hops, messages and time of lookups against
//! size, loss and dead contacts, kept as a snapshot.
//!
//! A seeded simulation has no noise, so the table is compared exactly. Whoever changes the
//! behaviour writes a new one with `UPDATE_SNAPSHOTS=1 cargo test -p kadlet-sim conditions` and
//! says in the commit why it is better.

use core::fmt::Write;
use core::time::Duration;

use kadlet_core::Config;
use kadlet_sim::{Network, SimConfig};

use crate::{K, MINUTE, lookup};

const LOOKUPS: usize = 40;

/// From the start of one lookup to the next, longer than they take: tables heal meanwhile, and a
/// faster lookup must not be the worse for it.
const PACE: Duration = Duration::from_secs(10);

const HEAD: &str = "\
# 40 lookups a row, one every 10 s, from random nodes for random targets; k = 20, alpha = 4, d = 1;
# round trips log-normal, median 156 ms. true: ended with exactly the k closest living nodes. found:
# of all those nodes. hops, asked, datagrams, ms: median; p95 ms: of 40.
 nodes  loss  dead  true  found  hops  asked  sent    ms  p95 ms
";

/// Medians over sorted samples.
fn quantile(samples: &mut [u128], percent: usize) -> u128 {
    samples.sort_unstable();
    samples[(samples.len() - 1) * percent / 100]
}

fn row(net: &mut Network, nodes: usize, loss: u32, dead: usize, table: &mut String) {
    net.link_mut().loss = loss * 10_000;
    let (mut right, mut found) = (0, 0);
    let [mut hops, mut asked, mut sent, mut times] = [const { Vec::new() }; 4];
    for _ in 0..LOOKUPS {
        let next = net.now() + PACE;
        let (asker, target) = (net.random_live(), net.random_id());
        let report = lookup(net, asker, target);
        let (got, truth) = (report.closest_ids(), net.closest_live(target, K, asker));
        right += usize::from(got == truth);
        found += truth.iter().filter(|id| got.contains(id)).count();
        let totals = report.totals();
        hops.push(u128::from(totals.hops));
        asked.push(u128::from(totals.asked));
        sent.push(u128::from(totals.datagrams));
        times.push(totals.elapsed.as_millis());
        net.run_for(next.since(net.now()));
    }
    let found = found * 1_000 / (LOOKUPS * K.min(nodes - nodes * dead / 100 - 1));
    let [hops, asked, sent] = [hops, asked, sent].map(|mut list| quantile(&mut list, 50));
    let (median, tail) = (quantile(&mut times, 50), quantile(&mut times, 95));
    let share = format!("{}.{} %", found / 10, found % 10);
    writeln!(
        table,
        "{nodes:>6} {loss:>3} % {dead:>3} % {right:>2}/{LOOKUPS} {share:>7} {hops:>4} {asked:>6} \
         {sent:>5} {median:>5} {tail:>7}"
    )
    .expect("a string takes everything");
}

#[test]
fn conditions() {
    let mut table = HEAD.to_owned();
    for (nodes, seed) in [(100, 1), (500, 2), (2_000, 3)] {
        let mut net = Network::new(SimConfig::with_seed(seed));
        net.grow(nodes, &Config::default()).expect("all nodes join");
        net.run_for(MINUTE);
        for loss in [0, 2, 5, 10, 20] {
            row(&mut net, nodes, loss, 0, &mut table);
        }
        let mut gone = 0;
        for dead in [10, 25, 50] {
            while gone < nodes * dead / 100 {
                let victim = net.random_live();
                net.kill(victim);
                gone += 1;
            }
            row(&mut net, nodes, 0, dead, &mut table);
            // Half an hour would repair the tables: these rows show what the first lookups meet.
            net.run_for(Duration::from_secs(1));
        }
    }
    kadlet_sim::snapshot::check("conditions.txt", &table);
}
