//! `kadlet sample`: info-hashes that Mainline's nodes know.

use alloc::collections::BTreeSet;

use clap::Args;
use kadlet::core::Id;
use serde_json::json;

use crate::cli::Common;
use crate::codes::Code;
use crate::failure::Failure;
use crate::output::Output;
use crate::session;

/// Lookups in a row that bring nothing new before the walk ends: every node nearby has named a
/// sample, and is not to be asked again for a while.
const IN_VAIN: u32 = 8;

/// Walk through Mainline and list info-hashes that its nodes know
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  kadlet sample --network mainline --count 100\n\n\
                        Nodes name a few of those they know, others after an interval of theirs, \
                        which is kept. BEP 51.")]
pub(crate) struct Options {
    /// Stop after so many
    #[arg(long, default_value = "1000", value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Look near this id only, 40 hexadecimal digits [default: everywhere]
    #[arg(long, value_name = "ID")]
    target: Option<Id>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    session::needs_mainline(&options.common, "nodes name no keys they hold")?;
    let dht = session::client(&options.common, &[], output).await?;
    let (mut known, mut holders, mut vain) = (BTreeSet::new(), BTreeSet::new(), 0);
    'walk: while vain < IN_VAIN {
        let target = match options.target {
            Some(target) => target,
            None => session::random_id()?,
        };
        vain += 1;
        let mut samples = dht.sample(target);
        while let Some(sample) = samples.next().await {
            let sample = match sample {
                Ok(sample) => sample,
                Err(_) if !holders.is_empty() => break,
                Err(error) => return Err(error.into()),
            };
            holders.insert(sample.holder);
            for key in sample.keys {
                if !known.insert(key) {
                    continue;
                }
                vain = 0;
                let holder = sample.holder.to_string();
                let object = json!({"event": "key", "key": key.to_string(), "holder": holder});
                output.event(object, key);
                if known.len() as u64 >= options.count {
                    break 'walk;
                }
            }
        }
        if options.target.is_some() {
            break;
        }
    }
    let (keys, nodes) = (known.len(), holders.len());
    output.event(json!({"event": "done", "keys": keys, "nodes": nodes}), "");
    dht.stop().await;
    if known.is_empty() {
        let text = format_args!("{nodes} nodes named a sample, and no key was in any of them");
        return Err(Failure::new(Code::NotFound, text));
    }
    Ok(())
}
