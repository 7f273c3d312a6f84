//! Compares the trace of a recorded run on whatever this is compiled for: exit status 0 if it is
//! the recorded one, or the number of the first interval that differs.
//!
//! WebAssembly without a host has no arguments, no output and no files: its `main` is exported, and
//! what it gives is all there is (`cargo xtask trace`). With the argument `small`, the small run.

use std::process::ExitCode;

use kadlet_sim::golden;

fn main() -> ExitCode {
    let small = std::env::args().nth(1).is_some_and(|run| run == "small");
    let run = if small { golden::SMALL } else { golden::FULL };
    // A handful of intervals.
    ExitCode::from(run.first_difference() as u8)
}
