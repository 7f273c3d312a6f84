//! What a large network costs: grows it, runs it with churn and lookups, and says how many
//! datagrams were handled a second, and how much memory that took.
//!
//! `cargo run --release -p kadlet-sim --example scale -- NODES [MINUTES [SEED [THREADS [K]]]]`
#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

use core::time::Duration;
use std::time::Instant;

use kadlet_core::Config;
use kadlet_sim::{Network, NodeOptions, Sessions, SimConfig};

/// See the feature in Cargo.toml.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Of each node, on average: lookups of its user beside those that keep its table.
const LOOKUPS_AN_HOUR: u64 = 6;
/// After so many virtual minutes it says how far it is.
const STAGE: u64 = 10;

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().expect("a number"));
    let nodes = args.next().unwrap_or(10_000);
    let minutes = args.next().unwrap_or(60);
    let seed = args.next().unwrap_or(1);
    let threads = args.next().unwrap_or(1);

    let start = Instant::now();
    let mut settings = Config::default();
    if let Some(k) = args.next() {
        (settings.table.k, settings.lookup.k) = (k as usize, k as usize);
    }
    let options = NodeOptions::new(settings);
    let mut config = SimConfig::with_seed(seed);
    config.threads = threads as usize;
    let mut net = Network::new(config);
    net.grow_with(nodes as usize, &options).expect("all nodes join");
    report("joined", &net, start, 0);

    let (start, sent) = (Instant::now(), net.counters().sent);
    net.start_churn(Sessions::MEASURED, options, &[]);
    let mut owed = 0;
    for tenth in 1..=minutes * 60 * 10 {
        owed += nodes * LOOKUPS_AN_HOUR;
        while owed >= 36_000 {
            owed -= 36_000;
            let (node, target) = (net.random_live(), net.random_id());
            net.with(node, |node, now| node.find_node(now, target));
        }
        net.run_for(Duration::from_millis(100));
        if tenth % (STAGE * 60 * 10) == 0 || tenth == minutes * 60 * 10 {
            report("lived", &net, start, sent);
        }
    }
}

fn report(what: &str, net: &Network, start: Instant, sent: u64) {
    let wall = start.elapsed().as_secs_f64();
    let sent = net.counters().sent - sent;
    let processor = processor_seconds();
    println!(
        "{what}: {} nodes at {:.0} s, {wall:.1} s wall, {processor:.1} s processor in all, \
         {sent} datagrams, {:.0} a second, at most {} MB, {:.1} kB a node",
        net.live().len(),
        net.now().as_micros() as f64 / 1e6,
        sent as f64 / wall,
        memory("VmHWM:") / 1_000,
        memory("VmRSS:") as f64 / net.live().len() as f64,
    );
}

/// Linux: a line of /proc/self/status, in kB.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    found.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Linux: user and system time of this process, in seconds (ticks of 10 ms).
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
