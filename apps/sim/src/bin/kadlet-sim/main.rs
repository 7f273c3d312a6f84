//! `kadlet-sim`: networks of unmodified nodes in virtual time, as a command.

extern crate alloc;

mod compare;
mod folder;
mod follow;
mod memory;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// See the feature in Cargo.toml.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code for what was typed or written wrong.
const USAGE: u8 = 2;
/// Exit code for what was stopped by Ctrl-C (128 + SIGINT).
const STOPPED: u8 = 130;

/// Simulates networks of unmodified Kadlet nodes in virtual time.
#[derive(Parser, Debug)]
#[command(name = "kadlet-sim", version, about, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Names the scenarios that come with the simulator.
    List,
    /// Prints a scenario's file, to be changed and run.
    Show {
        /// Its name.
        scenario: String,
    },
    /// Lists the keys of scenario files: what each takes, and what it is without.
    Keys,
    /// Runs a scenario: one of the library by its name, or a file that ends with .toml.
    Run(run::Arguments),
    /// Kademlia, Napster and Gnutella side by side: a report with tables and plots.
    Compare(compare::Arguments),
}

/// What ends the program early.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn usage(message: impl core::fmt::Display) -> Self {
        Self { code: USAGE, message: message.to_string() }
    }
}

#[expect(clippy::print_stderr, reason = "a program says why it ends")]
fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::List => list(),
        Command::Show { scenario } => show(&scenario),
        Command::Keys => keys(),
        Command::Run(arguments) => run::run(&arguments),
        Command::Compare(arguments) => compare::compare(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            eprintln!("kadlet-sim: {message}");
            ExitCode::from(code)
        }
    }
}

/// Writes to standard output; a reader that has gone is no failure.
fn say(text: &str) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write, stdout};
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure { code: 1, message: format!("standard output: {error}") })
        }
        _ => Ok(()),
    }
}

fn list() -> Result<(), Failure> {
    use kadlet_sim::scenario::{LIBRARY, Scenario};
    let mut out = String::new();
    for (name, _) in LIBRARY {
        let scenario = Scenario::named(name).map_err(Failure::usage)?;
        out += &format!("{name:<18} {}\n", scenario.about);
    }
    say(&out)
}

fn show(name: &str) -> Result<(), Failure> {
    use kadlet_sim::scenario::{LIBRARY, Scenario};
    Scenario::named(name).map_err(Failure::usage)?;
    let text = LIBRARY.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| *text);
    say(text)
}

fn keys() -> Result<(), Failure> {
    use kadlet_sim::scenario::{KEYS, Kind};
    let mut out = String::new();
    for key in KEYS {
        let kinds: Vec<_> = key.kinds.iter().copied().map(Kind::name).collect();
        let kinds = if kinds.is_empty() { "all".to_owned() } else { kinds.join(", ") };
        out += &format!(
            "{} = {}\n    {} Takes {}. Kinds: {kinds}.\n",
            key.name, key.default, key.about, key.takes
        );
    }
    say(&out)
}
