//! How much memory a network will take, before it is built, and whether there is as much.
//!
//! A node is a struct, the contacts in its table and what waits to replace them; around it are
//! operations, datagrams under way and the host. What each takes was measured
//! (docs/benchmarks.md, "Simulator scale"), and a test holds the sum against what the allocator
//! counts.

mod free;

use core::fmt;

use kadlet_core::{Config, Node};

use crate::address::AddressPlan;
pub use free::resident;

/// Bytes of a contact in a table: itself, and the room that its bucket has to grow.
const CONTACT: f64 = 64.0;
/// Bytes of an entry in the index of addresses.
const ADDRESS: f64 = 9.0;
/// Bytes of a bucket without its contacts.
const BUCKET: f64 = 140.0;
/// Replacements that wait behind a full bucket, and their bytes.
const WAITING: f64 = 4.0 * 48.0;
/// Bytes for each contact of what is remembered of addresses on public networks: who has shown that
/// it receives our datagrams, and what each has cost.
const SOURCES: f64 = 200.0;
/// Bytes of what else a node holds: the size of the network, votes on its address, its questions
/// and operations, the host around it, datagrams under way.
const AROUND: f64 = 7_000.0;
/// What the allocator needs for itself and loses between.
const ALLOCATOR: f64 = 1.15;
/// Bytes of the program.
const PROGRAM: f64 = 16e6;

/// Bytes that a network of so many nodes with these settings takes, running and looking up, records
/// not counted. Meant to be somewhat too much: what does not fit is refused before it is begun.
#[must_use]
pub fn estimate_memory(nodes: usize, config: &Config, addresses: AddressPlan) -> u64 {
    let (n, k) = (nodes as f64, config.table.k.max(1) as f64);
    // Every halving of the distance to the own id is one bucket, until fewer than k are left; those
    // and the k of the bucket beside are kept all.
    let halvings = libm::log2((n / k).max(1.0));
    let contacts = (k * (halvings + 2.0)).min(n);
    let mut node = size_of::<Node>() as f64
        + AROUND
        + contacts * (CONTACT + ADDRESS)
        + (halvings + 1.0) * (BUCKET + WAITING);
    if addresses == AddressPlan::Public {
        node += contacts * SOURCES;
    }
    // Far below 2^53, whatever the count.
    (PROGRAM + n * node * ALLOCATOR) as u64
}

/// What does not fit into memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLarge {
    /// Bytes that it would take, about.
    pub takes: u64,
    /// Bytes that are free, or could be.
    pub free: u64,
}

/// Refuses what would take more bytes than are free, where the system says how many these are.
///
/// # Errors
/// If they do not fit.
pub fn fits(takes: u64) -> Result<(), TooLarge> {
    match free::free() {
        Some(free) if takes > free => Err(TooLarge { takes, free }),
        _ => Ok(()),
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { takes, free } = *self;
        write!(f, "this would take about {} of memory and {} are free", size(takes), size(free))
    }
}

impl core::error::Error for TooLarge {}

/// So many bytes, in words.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes / 1_000),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_nodes_and_larger_buckets_take_more() {
        let mut config = Config::default();
        let of = |nodes, config: &Config| estimate_memory(nodes, config, AddressPlan::Private);
        let (small, large) = (of(1_000, &config), of(100_000, &config));
        assert!(large > 100 * (small - PROGRAM as u64), "{small} {large}");
        assert!(estimate_memory(1_000, &config, AddressPlan::Public) > small);
        config.table.k = 8;
        assert!(of(100_000, &config) < large);
        assert!(of(0, &config) > 0);
    }
}
