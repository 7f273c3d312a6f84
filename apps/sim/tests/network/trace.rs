//! The same calls give the same bytes on every platform.

use kadlet_sim::golden;

/// The full run; `cargo xtask trace` compares the same on wasm32, and a smaller one under Miri on
/// a big-endian machine.
#[test]
fn the_trace_is_the_recorded_one() {
    for run in [golden::SMALL, golden::FULL] {
        kadlet_sim::snapshot::check(run.file, &golden::to_text(&run.hashes()));
    }
}
