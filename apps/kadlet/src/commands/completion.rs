//! `kadlet completion`: for the shell, what can be typed.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;

/// Print a script that completes the command line
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  kadlet completion bash > \
                        ~/.local/share/bash-completion/completions/kadlet")]
pub(crate) struct Options {
    /// The shell to complete in
    shell: Shell,
}

pub(crate) fn run(options: &Options) {
    clap_complete::generate(options.shell, &mut Cli::command(), "kadlet", &mut std::io::stdout());
}
