//! `kadlet peers`: who has a content.

use clap::Args;
use kadlet::Dht;
use kadlet::core::Id;
use kadlet::core::record::Transports;
use serde_json::json;

use crate::cli::{Common, KeyArgument};
use crate::codes::Code;
use crate::failure::Failure;
use crate::output::Output;
use crate::session;

/// List who has the content with a key
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kadlet peers b35a3a4ce532bf9fea88312f8b549b2d106e0491 \
                        --bootstrap 192.168.1.5:4000\n  \
                        kadlet peers 'magnet:?xt=urn:btih:…' --network mainline --scrape")]
pub(crate) struct Options {
    /// The content's key, 40 hexadecimal digits; on Mainline an info-hash or a magnet link
    key: KeyArgument,
    /// Ask how many there are instead of who they are (Mainline)
    #[arg(long)]
    scrape: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    if options.scrape || matches!(options.key, KeyArgument::Torrent(_)) {
        session::needs_mainline(&options.common, "there are neither magnet links nor scrapes")?;
    }
    let dht = session::client(&options.common, &[], output).await?;
    let key = session::torrent(&dht, &options.key).await?;
    if options.scrape {
        scrape(&dht, key, output).await?;
        dht.stop().await;
        return Ok(());
    }
    let mut peers = 0_u64;
    let mut results = dht.providers(key);
    while let Some(provider) = results.next().await {
        let provider = match provider {
            Ok(provider) => provider,
            // What was found before the time was up is found.
            Err(_) if peers > 0 => break,
            Err(error) => return Err(error.into()),
        };
        peers += 1;
        output.event(
            json!({
                "event": "peer",
                "addr": provider.address.to_string(),
                "transports": names(provider.transports),
                "holder": provider.holder.to_string(),
            }),
            provider.address,
        );
    }
    let asked = results.summary().map_or(0, |summary| summary.totals.asked);
    output.event(json!({"event": "done", "peers": peers, "asked": asked}), "");
    dht.stop().await;
    if peers == 0 {
        return Err(Failure::new(
            Code::NotFound,
            format_args!("nobody has announced this key; {asked} nodes were asked"),
        ));
    }
    Ok(())
}

async fn scrape(dht: &Dht, key: Id, output: Output) -> Result<(), Failure> {
    let Some((seeds, others)) = dht.scrape(key).await? else {
        return Err(Failure::new(Code::NotFound, "no node that was asked knows a peer of it"));
    };
    output.event(
        json!({"event": "swarm", "key": key.to_string(), "seeds": seeds, "peers": others}),
        format_args!("about {seeds} seeds and {others} others"),
    );
    Ok(())
}

/// The ways to fetch that have a name.
fn names(transports: Transports) -> Vec<&'static str> {
    [
        (Transports::HTTP, "http"),
        (Transports::DATA_CHANNEL, "data-channel"),
        (Transports::COMPLETE, "complete"),
    ]
    .into_iter()
    .filter(|(bit, _)| transports.contains(*bit))
    .map(|(_, name)| name)
    .collect()
}
