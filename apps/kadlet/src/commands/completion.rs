//! `kadlet completion`: for the shell, what can be typed.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use serde_json::json;

use crate::cli::Cli;
use crate::output::Output;

/// Print a script that completes the command line
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kadlet completion bash > ~/.local/share/bash-completion/completions/kadlet\n  \
                  kadlet completion fish > ~/.config/fish/completions/kadlet.fish\n  \
                  kadlet completion zsh > ~/.zfunc/_kadlet\n\n\
                  zsh looks where fpath says: fpath=(~/.zfunc $fpath), before compinit."
)]
pub(crate) struct Options {
    /// The shell to complete in
    shell: Shell,
}

pub(crate) fn run(options: &Options, output: Output) {
    // Into memory, because clap does not know of readers that leave.
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "kadlet", &mut script);
    let text = String::from_utf8_lossy(&script);
    let shell = options.shell.to_string();
    output.bytes(json!({"event": "completion", "shell": shell, "script": text}), &script);
}
