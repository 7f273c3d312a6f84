//! What fits into this machine.

use std::fs;

use crate::Failure;

/// Refuses what would take more bytes than are free, where the system says how many these are.
/// `smaller` is what would take fewer.
pub(super) fn fits(most: u64, smaller: &str) -> Result<(), Failure> {
    match available() {
        Some(available) if most > available => Err(Failure::usage(format!(
            "this would take about {} of memory and {} are free: run with {smaller}, with fewer --threads, or with --force",
            size(most),
            size(available),
        ))),
        _ => Ok(()),
    }
}

/// Bytes that are free, or could be; none where the system does not say.
fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    kilobytes(&text, "MemAvailable:")
}

/// Bytes that this process has in memory; none where the system does not say.
pub(super) fn resident() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    kilobytes(&text, "VmRSS:")
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let number: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(number * 1_024)
}

/// In words.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes / 1_000),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
