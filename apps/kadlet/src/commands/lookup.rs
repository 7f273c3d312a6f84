//! `kadlet lookup`: one lookup, step by step.

use std::time::Instant;

use clap::Args;
use kadlet::core::{Event, Id, Outcome};
use serde_json::{Value, json};

use crate::cli::Common;
use crate::codes::Code;
use crate::failure::Failure;
use crate::output::{Output, millis};
use crate::session;

/// Find the nodes closest to an id
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  kadlet lookup b35a3a4ce532bf9fea88312f8b549b2d106e0491 \
                        --trace --bootstrap 192.168.1.5:4000")]
pub(crate) struct Options {
    /// The id or key to look up, 40 hexadecimal digits
    id: Id,
    /// Show each step: whom, when, what came back
    #[arg(long)]
    trace: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    let dht = session::client(&options.common, &[], output).await?;
    let started = Instant::now();
    let mut operation = dht.lookup(options.id);
    while let Some(event) = operation.next().await {
        let event = event?;
        if let Event::Done { outcome, closest, totals, .. } = event {
            for contact in &closest {
                let distance = options.id.common_prefix(contact.id);
                output.event(
                    json!({
                        "event": "closest",
                        "id": contact.id.to_string(),
                        "addr": contact.addr().to_string(),
                        "shared_bits": distance,
                    }),
                    format_args!("{}  {}  {distance} bits shared", contact.id, contact.addr()),
                );
            }
            output.event(
                json!({
                    "event": "done",
                    "closest": closest.len(),
                    "asked": totals.asked,
                    "answered": totals.answered,
                    "failed": totals.failed,
                    "hops": totals.hops,
                    "datagrams": totals.datagrams,
                    "bytes_sent": totals.bytes_sent,
                    "bytes_received": totals.bytes_received,
                    "ms": millis(totals.elapsed),
                }),
                format_args!(
                    "{} closest; {} asked, {} answered, {} failed, {} hops, {:.1?}",
                    closest.len(),
                    totals.asked,
                    totals.answered,
                    totals.failed,
                    totals.hops,
                    totals.elapsed
                ),
            );
            dht.stop().await;
            return match outcome {
                Outcome::Success => Ok(()),
                Outcome::NoPeers => Err(kadlet::Error::NoPeers.into()),
                Outcome::DeadlineExceeded => Err(kadlet::Error::TimedOut.into()),
                _ if !closest.is_empty() => Ok(()),
                _ => Err(kadlet::Error::NoAnswer.into()),
            };
        }
        if options.trace
            && let Some((object, text)) = step(&event)
        {
            let at = started.elapsed();
            output.event(at_time(object, at), format_args!("{:>9.1?}  {text}", at));
        }
    }
    Err(Failure::new(Code::NoAnswer, "the lookup ended without a result"))
}

fn at_time(mut object: Value, at: core::time::Duration) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.insert("at_ms".to_owned(), millis(at));
    }
    object
}

/// One step, for programs and for people.
fn step(event: &Event) -> Option<(Value, String)> {
    let peer = |peer: &kadlet::core::Asked| {
        let id = peer.id.map(|id| id.to_string());
        (id.clone(), peer.path.remote.to_string(), id.unwrap_or_else(|| "?".to_owned()))
    };
    match event {
        Event::Asked { peer: asked, .. } => {
            let (id, addr, name) = peer(asked);
            let text = format!("asked     {name} at {addr}");
            Some((json!({"event": "asked", "id": id, "addr": addr}), text))
        }
        Event::Answered { peer: asked, rtt, named, .. } => {
            let (id, addr, name) = peer(asked);
            let contacts: Vec<Value> = named
                .iter()
                .map(|contact| {
                    json!({"id": contact.id.to_string(), "addr": contact.addr().to_string()})
                })
                .collect();
            let text = format!("answered  {name} at {addr} after {rtt:.1?}: {} named", named.len());
            Some((
                json!({
                    "event": "answered",
                    "id": id,
                    "addr": addr,
                    "rtt_ms": millis(*rtt),
                    "named": contacts,
                }),
                text,
            ))
        }
        Event::Failed { peer: asked, reason, .. } => {
            let (id, addr, name) = peer(asked);
            let reason = reason_name(*reason);
            let text = format!("failed    {name} at {addr}: {reason}");
            Some((json!({"event": "failed", "id": id, "addr": addr, "reason": reason}), text))
        }
        _ => None,
    }
}

/// Why a peer gave no usable answer, in a word; docs/cli.md lists them.
const fn reason_name(reason: kadlet::core::PeerFailure) -> &'static str {
    use kadlet::core::PeerFailure as F;
    match reason {
        F::Timeout => "timeout",
        F::PathFailed => "unreachable",
        F::Refused { .. } => "refused",
        F::WrongId => "wrong_id",
        F::Invalid => "invalid",
        F::Ourselves => "ourselves",
        F::NoToken => "no_token",
        F::OtherNetwork => "other_network",
        _ => "other",
    }
}
