//! The program `kadlet`: a thin layer over the library of the same name.

extern crate alloc;

use std::process::ExitCode;

use clap::Parser as _;

mod cli;
mod codes;
mod commands;
mod demo;
mod failure;
mod output;
mod progress;
mod session;
mod stop;
mod tree;

use cli::Cli;
use codes::Code;
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    log_to_stderr(cli.verbose);
    let output = Output::new(cli.json);
    // One node needs one thread; the demo's many, and a relay's clients, share the machine's
    // processors.
    let mut builder = match cli.command {
        cli::Command::Demo(_) | cli::Command::Relay(_) => {
            tokio::runtime::Builder::new_multi_thread()
        }
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = match spare_descriptors().and_then(|()| builder.enable_all().build()) {
        Ok(runtime) => runtime,
        Err(error) => return output.failure(&Failure::io("the runtime", &error)),
    };
    let result = runtime.block_on(commands::run(cli.command, output));
    // A name server that does not answer must not keep us here.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.failure(&failure),
    }
}

/// The runtime takes its descriptors in a way that knows no error: whether it can is found out before.
fn spare_descriptors() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        /// Twice what the runtime of today opens, signals included.
        const PAIRS: usize = 6;
        let pairs = (0..PAIRS).map(|_| std::os::unix::net::UnixStream::pair());
        pairs.collect::<std::io::Result<Vec<_>>>()?;
    }
    Ok(())
}

/// Says what is wrong with the command line, in the form that the caller reads.
fn refuse(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if error.use_stderr() && json {
        let text = error.render().to_string();
        let message = text.trim_start_matches("error: ").trim_end();
        return Output::new(true).failure(&Failure::new(Code::Usage, message));
    }
    // Neither is there anything else to do if this cannot be printed.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

/// Warnings for everybody, everything else for those who ask; `KADLET_LOG` takes the filters of
/// tracing-subscriber.
fn log_to_stderr(verbose: bool) {
    let default = if verbose { "kadlet=debug" } else { "kadlet=warn" };
    let filter = tracing_subscriber::EnvFilter::try_from_env("KADLET_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Where standard error is closed, saying so there would be a panic.
        .log_internal_errors(false)
        .with_target(false)
        .without_time()
        .init();
}
