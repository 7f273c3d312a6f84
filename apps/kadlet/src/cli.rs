//! The command line: what can be said, and what is wrong with what was said.

use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use kadlet::core::wire::mainline::magnet::{self, Torrent};
use kadlet::core::{Id, ParseIdError};
use kadlet::{DEFAULT_NETWORK, HostPort, MAINLINE};

use crate::commands;

/// Find and keep things together, without a server in the middle.
#[derive(Parser, Debug)]
#[command(name = "kadlet", version, about, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Exit status: 0 done · 1 not found, or refused · 2 cannot be started as \
                        asked · 3 nobody to ask.")]
pub(crate) struct Cli {
    /// Print one JSON object a line instead of text (docs/cli.md)
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more on standard error
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Demo(commands::demo::Options),
    Node(commands::node::Options),
    Share(commands::share::Options),
    Search(commands::search::Options),
    Get(commands::get::Options),
    Put(commands::put::Options),
    Value(commands::value::Options),
    Announce(commands::announce::Options),
    Peers(commands::peers::Options),
    Sample(commands::sample::Options),
    Lookup(commands::lookup::Options),
    Status(commands::status::Options),
    Relay(commands::relay::Options),
    Completion(commands::completion::Options),
}

/// What every command that meets the network takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub(crate) struct Common {
    /// A node to start from, by address or name; can be given several times
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) bootstrap: Vec<HostPort>,
    /// Where to listen; port 0 is any free one; can be given several times [default: everywhere]
    #[arg(long, value_name = "IP:PORT", value_parser = listen_address)]
    pub(crate) listen: Vec<SocketAddr>,
    /// Name of the network; networks with different names never meet; mainline is BitTorrent's
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NETWORK, value_parser = network_name)]
    pub(crate) network: String,
    /// Folder that keeps the node's state over restarts
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Longest time for one operation
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Neither look for nodes in the local network nor be found there
    #[arg(long)]
    pub(crate) no_lan: bool,
}

impl Common {
    /// Whether it is BitTorrent's network that is meant.
    pub(crate) fn is_mainline(&self) -> bool {
        self.network == MAINLINE
    }

    /// Whether the node cannot leave this machine or its office.
    pub(crate) fn stays_local(&self) -> bool {
        let local = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
        };
        !self.listen.is_empty() && self.listen.iter().all(|address| local(address.ip()))
    }
}

/// A key: 40 hexadecimal digits, or on Mainline a magnet link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum KeyArgument {
    Key(Id),
    Torrent(Torrent),
}

impl FromStr for KeyArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("magnet:") {
            return magnet::parse(text).map(Self::Torrent).map_err(|error| error.to_string());
        }
        text.parse().map(Self::Key).map_err(|error: ParseIdError| error.to_string())
    }
}

/// An address of this machine.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| {
        "expected IP:PORT, such as 0.0.0.0:4000, 127.0.0.1:0 or [::]:4000".to_owned()
    })?;
    if address.ip().is_multicast() {
        return Err("a multicast address is nobody's own: expected an address of this machine, \
                    or 0.0.0.0 for all of them"
            .to_owned());
    }
    Ok(address)
}

fn network_name(text: &str) -> Result<String, String> {
    let problem = match text.chars().count() {
        0 => "the name is empty",
        1..=64 if text.chars().any(char::is_control) => "there is a control character in it",
        1..=64 => return Ok(text.to_owned()),
        _ => "the name is too long",
    };
    Err(format!("{problem}; expected 1 to 64 characters"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    /// A day: what takes longer is no question any more.
    const MOST: f64 = 86_400.0;
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= MOST => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected seconds, more than 0 and at most 86400".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let example = format!("kadlet {}", command.get_name());
            assert!(help.contains(&example), "{} has no example", command.get_name());
        }
    }

    #[test]
    fn what_is_wrong_with_an_option_is_said() {
        assert!(listen_address("4000").is_err_and(|error| error.contains("IP:PORT")));
        assert!(listen_address("224.0.0.1:0").is_err_and(|error| error.contains("multicast")));
        assert!(network_name("").is_err() && network_name(&"x".repeat(65)).is_err());
        for bad in ["0", "-1", "nan", "inf", "x", "1e9"] {
            assert!(seconds(bad).is_err_and(|error| error.contains("86400")), "{bad}");
        }
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
    }
}
