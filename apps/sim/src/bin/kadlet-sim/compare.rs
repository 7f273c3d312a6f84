//! `kadlet-sim compare`: runs the comparison and writes its report, anew whenever a size is done, so
//! that whoever stops it early has what there is.

use alloc::sync::Arc;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Args;
use kadlet_sim::compare::{Comparison, Progress, Row};
use kadlet_sim::{AddressPlan, estimate_memory};

use crate::follow::{self, Followed};
use crate::{Failure, STOPPED, folder, memory, say};

/// Bytes of the copies of one record and their bookkeeping, k = 1, that a node has on average, as
/// measured with 30,000 nodes and k = 20.
const RECORDS: u64 = 11_500;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Numbers of nodes, each at least 100
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "100,300,1000,3000,10000,30000,100000",
        value_parser = clap::value_parser!(u32).range(100..=1_000_000)
    )]
    sizes: Vec<u32>,
    /// All randomness follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Contacts in a bucket of Kademlia's, and nodes that keep a copy; BitTorrent has 8
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=20))]
    k: u16,
    /// Where report.md, rows.jsonl and the plots go
    #[arg(long, default_value = "compare", value_name = "DIR")]
    out: PathBuf,
    /// Threads that networks run on beside each other, and that share the largest; the results do
    /// not depend on it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Runs although the estimate says that it does not fit into memory
    #[arg(long)]
    force: bool,
}

pub(super) fn compare(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { sizes, seed, k, out, threads, force } = arguments;
    let mut comparison = Comparison::new(seed);
    comparison.sizes = sizes;
    let k = usize::from(k);
    (comparison.kademlia.table.k, comparison.kademlia.lookup.k) = (k, k);
    let threads = usize::from(threads);
    if !force {
        memory::fits(most_memory(&comparison, threads), "smaller --sizes or --k")?;
    }
    folder::prepare(&out)?;
    // Held while files are written: whoever stops the comparison finds them whole. How many there are.
    let writing = Arc::new(Mutex::new(0));
    exit_on_ctrl_c(&writing, &out)?;
    let start = Instant::now();
    let followed = Followed::with_shares(comparison.shares());
    let write = |rows: &[Row]| {
        // An older report is not to be lost for one without a row.
        if rows.is_empty() {
            return;
        }
        let mut written = writing.lock().unwrap_or_else(PoisonError::into_inner);
        match folder::write(&out, &comparison.report(rows)) {
            Ok(()) => *written = rows.len(),
            Err(Failure { message, .. }) => note(&message),
        }
    };
    let told = |progress: &Progress<'_>| {
        let seconds = start.elapsed().as_secs();
        match *progress {
            Progress::Begins { part, what, watch } => {
                followed.begin(part, watch);
                note(&format!("{seconds:>6} s  begins: {what}"));
            }
            Progress::Ended { part, what, rows } => {
                followed.end(part);
                note(&format!("{seconds:>6} s  ended:  {what}"));
                write(rows);
            }
            Progress::Halfway { rows } => write(rows),
        }
    };
    let shown = follow::Progress::start(followed.clone());
    let done = comparison.run(threads, &told);
    shown.end();
    let rows = done.map_err(|why| Failure { code: 1, message: why.to_string() })?;
    let _whole = writing.lock();
    folder::write(&out, &comparison.report(&rows))?;
    say(&format!("Written to {}.\n", out.join("report.md").display()))
}

/// Ctrl-C ends the program at once: what had ended by then has been written already.
fn exit_on_ctrl_c(writing: &Arc<Mutex<usize>>, out: &Path) -> Result<(), Failure> {
    let (writing, out) = (Arc::clone(writing), out.to_owned());
    ctrlc::set_handler(move || {
        let written = writing.lock().unwrap_or_else(PoisonError::into_inner);
        note(&match *written {
            0 => "kadlet-sim: stopped: no part had ended, and nothing was written".to_owned(),
            _ => format!("kadlet-sim: stopped: what had been measured is in {}", out.display()),
        });
        std::process::exit(STOPPED.into());
    })
    .map_err(|error| Failure { code: 1, message: format!("Ctrl-C cannot be caught: {error}") })
}

/// A line for the person at the terminal; one who has closed it is not told.
fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Bytes of the networks that run at once: at worst the largest, each of them with the copy that one
/// of the misfortunes takes. That has no room to grow, and takes half as much (12.2 GB in all beside
/// 7.9, with 30,000 nodes).
fn most_memory(comparison: &Comparison, threads: usize) -> u64 {
    let mut sizes = comparison.sizes.clone();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.dedup();
    let network = |nodes: u32| {
        estimate_memory(nodes as usize, &comparison.kademlia, AddressPlan::Private)
            + u64::from(nodes) * RECORDS * comparison.kademlia.lookup.k as u64
    };
    sizes.into_iter().take(threads).map(|nodes| network(nodes) * 8 / 5).sum()
}
