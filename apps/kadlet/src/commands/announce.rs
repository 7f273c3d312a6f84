//! `kadlet announce`: say that a content is to be had from this machine.

use clap::Args;
use kadlet::core::Announcement;
use serde_json::json;

use crate::cli::{Common, KeyArgument};
use crate::failure::Failure;
use crate::output::Output;
use crate::session;

/// Announce that the content with a key is served from this machine
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kadlet announce b35a3a4ce532bf9fea88312f8b549b2d106e0491 \
                        --port 8080 --bootstrap 192.168.1.5:4000\n  \
                        kadlet announce 'magnet:?xt=urn:btih:…' --network mainline --port 6881\n\n\
                        It is forgotten after some hours unless it is announced again. To share \
                        files, serving and renewing included: kadlet share")]
pub(crate) struct Options {
    /// The content's key, 40 hexadecimal digits; on Mainline an info-hash or a magnet link
    key: KeyArgument,
    /// The TCP port of this machine at which the content is served: over HTTP, on Mainline over
    /// BitTorrent
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// All of it is there: a seed (Mainline)
    #[arg(long)]
    seed: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    let mainline = options.common.is_mainline();
    if options.seed || matches!(options.key, KeyArgument::Torrent(_)) {
        session::needs_mainline(&options.common, "there are neither magnet links nor seeds")?;
    }
    let dht = session::client(&options.common, &[], output).await?;
    let key = session::torrent(&dht, &options.key).await?;
    let mut announcement = Announcement::http(options.port);
    if mainline {
        announcement = Announcement::torrent(Some(options.port), options.seed);
    }
    announcement.renew = false;
    let stored = dht.announce(key, announcement).await?;
    output.event(
        json!({
            "event": "announced",
            "key": stored.key.to_string(),
            "port": options.port,
            "nodes": stored.nodes,
            "asked": stored.attempted,
        }),
        format_args!("announced with {} of {} nodes", stored.nodes, stored.attempted),
    );
    dht.stop().await;
    Ok(())
}
