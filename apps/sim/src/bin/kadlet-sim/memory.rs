//! What fits into this machine.

pub(super) use kadlet_sim::memory::{resident, size};

use crate::Failure;

/// Refuses what would take more bytes than are free. `smaller` is what would take fewer.
pub(super) fn fits(most: u64, smaller: &str) -> Result<(), Failure> {
    kadlet_sim::memory::fits(most).map_err(|too_large| {
        let smaller = format!("run with {smaller}, with fewer --threads, or with --force");
        Failure::usage(format!("{too_large}: {smaller}"))
    })
}
