//! Two runs whose trace is recorded: what shows that the core gives the same bytes on every
//! platform.
//!
//! The recorded hashes lie in `tests/snapshots/`; the program `trace` compares them on targets that
//! have neither files nor a test harness.

use alloc::string::String;
use core::fmt::Write;
use core::time::Duration;

use kadlet_core::record::{Item, Value};
use kadlet_core::{Config, GetQuery, PutOptions};

use crate::churn::Sessions;
use crate::distribution::Weibull;
use crate::link::LinkModel;
use crate::network::{Network, NodeOptions, SimConfig};

/// A network that grows, and then lives with loss, duplicates and churn while its nodes look up,
/// put and get.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct GoldenRun {
    /// How many nodes.
    pub nodes: usize,
    /// Intervals of 10 virtual seconds that are recorded.
    pub intervals: u32,
    /// Operations begun in each of them.
    pub operations: u32,
    /// The file with the recorded hashes.
    pub file: &'static str,
    /// What is in it.
    pub recorded: &'static str,
}

/// 500 nodes.
pub const FULL: GoldenRun = GoldenRun {
    nodes: 500,
    intervals: 12,
    operations: 10,
    file: "trace-500.txt",
    recorded: include_str!("../tests/snapshots/trace-500.txt"),
};

/// Few nodes, for machines that are emulated.
pub const SMALL: GoldenRun = GoldenRun {
    nodes: 5,
    intervals: 1,
    operations: 3,
    file: "trace-5.txt",
    recorded: include_str!("../tests/snapshots/trace-5.txt"),
};

impl GoldenRun {
    /// The trace hash after the joining and after each interval.
    #[must_use]
    pub fn hashes(&self) -> Vec<u64> {
        let mut config = SimConfig::with_seed(500);
        config.link = LinkModel::lossy();
        config.trace = true;
        let mut net = Network::new(config);
        let options = NodeOptions::new(Config::default());
        // Whoever does not end its joining shows in the hash.
        let _ = net.grow_with(self.nodes, &options);
        let mut hashes = vec![net.trace_hash()];
        // Sessions of some minutes: about a third of the nodes is replaced during the run.
        let sessions = Sessions(Weibull { shape: 0.5, scale: 150.0 });
        net.start_churn(sessions, options, &[]);
        let mut keys = Vec::new();
        for _ in 0..self.intervals {
            for turn in 0..self.operations {
                let (node, target) = (net.random_live(), net.random_id());
                net.with(node, |node, now| {
                    let _ = match turn % 3 {
                        0 => {
                            let Ok(value) = Value::new(target.as_bytes()) else { return };
                            keys.push(value.key());
                            node.put(now, Item::Immutable(value), PutOptions::default())
                        }
                        1 => Ok(node.find_node(now, target)),
                        _ => {
                            let key = keys.last().copied().unwrap_or(target);
                            Ok(node.get(now, GetQuery::new(key)))
                        }
                    };
                });
            }
            net.run_for(Duration::from_secs(10));
            hashes.push(net.trace_hash());
        }
        hashes
    }

    /// The first interval, counted from 1, whose hash is not the recorded one; 0 if there is none.
    #[must_use]
    pub fn first_difference(&self) -> usize {
        let now = to_text(&self.hashes());
        if now == self.recorded {
            return 0;
        }
        1 + now.lines().zip(self.recorded.lines()).take_while(|(a, b)| a == b).count()
    }
}

/// One hash a line.
#[must_use]
pub fn to_text(hashes: &[u64]) -> String {
    hashes.iter().fold(String::new(), |mut text, hash| {
        // A string takes everything.
        let _ = writeln!(text, "{hash:016x}");
        text
    })
}
