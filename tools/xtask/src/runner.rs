//! Runs steps one after the other, measures them, and says at the end what passed.
//!
//! A step that fails does not stop the ones behind it. The last line is for machines:
//! `N passed, N failed, N skipped`.

use core::time::Duration;
use std::process::ExitCode;
use std::time::Instant;

use crate::context::Context;

/// One named check or build step.
pub(crate) struct Step {
    /// The word that `cargo xtask` runs it by; several steps may share it.
    pub(crate) kind: &'static str,
    /// What it checks, for people.
    pub(crate) name: &'static str,
    /// Whether `cargo xtask test` runs it.
    pub(crate) in_test: bool,
    /// The work.
    pub(crate) run: fn(&Context) -> Result<(), Stop>,
}

/// Why a step did not pass.
pub(crate) enum Stop {
    /// It found something wrong.
    Failed(String),
    /// This machine lacks something: what, and the line to type.
    Missing { what: String, install: String },
}

enum State {
    Passed,
    Failed,
    Skipped,
}

/// Keeps the score.
pub(crate) struct Runner {
    no_skip: bool,
    rows: Vec<(State, Duration, String)>,
}

impl Runner {
    /// With `no_skip` a skipped step makes the whole run fail.
    pub(crate) fn new(no_skip: bool) -> Self {
        Self { no_skip, rows: Vec::new() }
    }

    /// Runs one step; its output goes straight to the terminal.
    pub(crate) fn run(&mut self, context: &Context, step: &Step) {
        println!("\n── {}: {}", step.kind, step.name);
        let start = Instant::now();
        let result = (step.run)(context);
        let took = start.elapsed();
        let title = format!("{}: {}", step.kind, step.name);
        let (state, row) = match result {
            Ok(()) => (State::Passed, title),
            Err(Stop::Failed(why)) => {
                println!("failed: {why}");
                (State::Failed, format!("{title}\n       {why}"))
            }
            Err(Stop::Missing { what, install }) => {
                println!("SKIPPED: {what}; to have it: {install}");
                (State::Skipped, format!("{title}\n       {what}; to have it: {install}"))
            }
        };
        self.rows.push((state, took, row));
    }

    /// Prints the table and the last line.
    pub(crate) fn finish(self) -> ExitCode {
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        println!("\n── summary");
        for (state, took, row) in &self.rows {
            let word = match state {
                State::Passed => {
                    passed += 1;
                    "ok  "
                }
                State::Failed => {
                    failed += 1;
                    "FAIL"
                }
                State::Skipped => {
                    skipped += 1;
                    "SKIP"
                }
            };
            println!("{word} {:>6.1} s  {row}", took.as_secs_f64());
        }
        let skip_counts = self.no_skip && skipped > 0;
        if skip_counts {
            println!("a skipped step is a failure here (CI=true or --no-skip)");
        }
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        if failed > 0 || skip_counts { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}
