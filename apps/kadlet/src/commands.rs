//! The subcommands, one file each: options, help with an example, and what it does.

pub(crate) mod announce;
pub(crate) mod completion;
pub(crate) mod demo;
pub(crate) mod get;
pub(crate) mod lookup;
pub(crate) mod node;
pub(crate) mod peers;
pub(crate) mod put;
pub(crate) mod relay;
pub(crate) mod sample;
pub(crate) mod search;
pub(crate) mod share;
pub(crate) mod status;
pub(crate) mod value;

use crate::cli::Command;
use crate::failure::Failure;
use crate::output::Output;

/// Carries out a command.
pub(crate) async fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Node(options) => node::run(options, output).await,
        Command::Demo(options) => demo::run(options, output).await,
        Command::Share(options) => share::run(options, output).await,
        Command::Get(options) => get::run(options, output).await,
        Command::Search(options) => search::run(options, output).await,
        Command::Put(options) => put::run(options, output).await,
        Command::Value(options) => value::run(options, output).await,
        Command::Announce(options) => announce::run(options, output).await,
        Command::Peers(options) => peers::run(options, output).await,
        Command::Sample(options) => sample::run(options, output).await,
        Command::Lookup(options) => lookup::run(options, output).await,
        Command::Relay(options) => relay::run(options, output).await,
        Command::Status(options) => status::run(options, output).await,
        Command::Completion(options) => {
            completion::run(&options, output);
            Ok(())
        }
    }
}
