//! `kadlet search`: files whose names carry all words, as they arrive.

use clap::Args;
use kadlet::core::content::Link;
use kadlet::core::record::SearchQuery;
use serde_json::json;

use crate::cli::Common;
use crate::codes::Code;
use crate::failure::Failure;
use crate::output::Output;
use crate::session;

/// Find files by words of their names
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  kadlet search holiday 2024 --bootstrap 192.168.1.5:4000\n\n\
                        Each line is a link to type after: kadlet get")]
pub(crate) struct Options {
    /// Words that the name must carry, all of them
    #[arg(value_name = "WORD", required = true)]
    words: Vec<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    session::needs_own_network(&options.common, "search by words")?;
    let text = options.words.join(" ");
    // Before anything is started.
    SearchQuery::parse(&text).map_err(kadlet::Error::Query)?;
    let dht = session::client(&options.common, &[], output).await?;
    let mut hits = 0_u64;
    // Whoever follows the link starts where we did.
    let contacts = session::contacts_for_links(&dht).await;
    let mut results = dht.search(&text)?;
    while let Some(hit) = results.next().await {
        let hit = match hit {
            Ok(hit) => hit,
            // What was found before the time was up is found.
            Err(_) if hits > 0 => break,
            Err(error) => return Err(error.into()),
        };
        hits += 1;
        let mut link = Link::new(hit.content).with_name(&hit.name).with_size(hit.size);
        for contact in &contacts {
            link = link.with_contact(*contact);
        }
        output.event(
            json!({
                "event": "hit",
                "name": hit.name,
                "size": hit.size,
                "link": link.to_string(),
                "holder": hit.holder.to_string(),
            }),
            format_args!("{}\t{} bytes\n  {link}", hit.name, hit.size),
        );
    }
    let asked = results.summary().map_or(0, |summary| summary.totals.asked);
    output.event(json!({"event": "done", "hits": hits, "asked": asked}), "");
    dht.stop().await;
    if hits == 0 {
        return Err(Failure::new(
            Code::NotFound,
            format_args!("no file has all of these words in its name; {asked} nodes were asked"),
        ));
    }
    output.note(format_args!("{hits} files, {asked} nodes asked"));
    Ok(())
}
