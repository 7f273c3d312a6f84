//! `cargo xtask`: every check and build step of the repository by one command.
//!
//! `cargo xtask test` runs all checks in order; `cargo xtask NAME…` runs those of one kind. What a
//! step fetches lies under `target/`; nothing here calls a system package manager, asks for root
//! or changes a toolchain. What cannot be had on a machine is skipped, with the line to type.
//! How to add a step: one entry and one function in `steps.rs`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal"
)]

extern crate alloc;

mod browser;
mod context;
mod javascript;
mod mainline;
mod mutations;
mod python;
mod readme;
mod runner;
mod steps;

use std::process::ExitCode;

use context::Context;
use runner::{Runner, Step};

const USAGE: &str = "\
usage: cargo xtask [--no-skip] test       every check, in order
       cargo xtask [--no-skip] NAME…      the steps of these kinds only
       cargo xtask fuzz [TARGET] [SECONDS]
                                          libFuzzer on one target or all (60 s each)
       cargo xtask mutations [WORDS]      breaks each rule of core/tests/rules.txt in a copy,
                                          and sees its test fail
       cargo xtask list                   what there is

With --no-skip, or CI=true in the environment, a skipped step is a failure.";

fn main() -> ExitCode {
    let mut no_skip = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let mut kinds = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--no-skip" => no_skip = true,
            "-h" | "--help" => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            _ => kinds.push(argument),
        }
    }
    let mut context = Context::new();
    if kinds.first().is_some_and(|kind| kind == "fuzz" || kind == "mutations") {
        context.arguments = kinds.split_off(1);
    }
    let Some(chosen) = choose(&kinds) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if kinds == ["list"] {
        for step in &chosen {
            let when = if step.in_test { "" } else { " (not part of `test`)" };
            println!("{:10} {}{when}", step.kind, step.name);
        }
        return ExitCode::SUCCESS;
    }
    let mut runner = Runner::new(no_skip);
    for step in &chosen {
        runner.run(&context, step);
    }
    runner.finish()
}

/// The steps that the arguments name; `None` if one of them names nothing.
fn choose(kinds: &[String]) -> Option<Vec<Step>> {
    let all = steps::all();
    match kinds {
        [] => None,
        [only] if only == "list" => Some(all),
        [only] if only == "test" => Some(all.into_iter().filter(|step| step.in_test).collect()),
        _ => {
            let known = |kind: &String| all.iter().any(|step| step.kind == *kind);
            if let Some(unknown) = kinds.iter().find(|kind| !known(kind)) {
                eprintln!("error: there is no step `{unknown}`; `cargo xtask list` shows them all");
                return None;
            }
            Some(all.into_iter().filter(|step| kinds.iter().any(|k| k == step.kind)).collect())
        }
    }
}
