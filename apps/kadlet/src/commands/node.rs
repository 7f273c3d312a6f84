//! `kadlet node`: a node until stopped.

use clap::Args;
use kadlet::Dht;
use kadlet::core::Event;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::status;
use crate::cli::Common;
use crate::codes::Warning;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::session;
use crate::stop::Stop;

/// Run a node until it is stopped
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kadlet node --listen 0.0.0.0:4000 --data ~/.kadlet\n  \
                        kadlet node --bootstrap 192.168.1.5:4000\n\n\
                        The first node of a network needs no --bootstrap. Stop it with Ctrl-C.")]
pub(crate) struct Options {
    /// Serve others without finding out first whether they can reach us
    #[arg(long, conflicts_with = "client")]
    server: bool,
    /// Ask others without serving them
    #[arg(long, visible_alias = "read-only")]
    client: bool,
    /// Hold data channels with pages, and so reach them without a relay
    #[cfg(feature = "webrtc")]
    #[arg(long)]
    webrtc: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    let mut stop = Stop::listen();
    let output = output.of_work();
    let common = &options.common;
    #[cfg(feature = "webrtc")]
    if options.webrtc {
        session::needs_own_network(common, "data channels")?;
    }
    let mut builder = session::builder(common);
    if options.server {
        builder = builder.server();
    }
    if options.client {
        builder = builder.client();
    }
    #[cfg(feature = "webrtc")]
    {
        builder = builder.webrtc(options.webrtc);
    }
    if let Some(dir) = &common.data {
        builder = builder.data(dir);
    }
    let dht = session::start(builder, output).await?;
    status::begin(&dht, common, output).await;
    listening(&dht, output);
    let result = tokio::select! {
        result = serve(&dht, common, output) => result,
        () = status::keep(&dht, common, output) => Ok(()),
        () = stop.requested() => Ok(()),
    };
    dht.stop().await;
    if let Some(dir) = &common.data {
        status::remove(dir);
    }
    result
}

/// The line that says where the node is to be found: every command that stays prints it.
pub(crate) fn listening(dht: &Dht, output: Output) {
    let addresses: Vec<String> = dht.local_addrs().iter().map(ToString::to_string).collect();
    output.event(
        json!({
            "event": "listening",
            "addr": dht.local_addr().to_string(),
            "id": dht.id().to_string(),
            "addrs": addresses,
        }),
        format_args!("listening on {} as {}", addresses.join(" and "), dht.id()),
    );
}

async fn serve(dht: &Dht, common: &Common, output: Output) -> Result<(), Failure> {
    let mut notices = dht.notices();
    join(dht, common, output).await?;
    loop {
        match notices.recv().await {
            Ok(notice) => tell(&notice, output),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

pub(crate) async fn join(dht: &Dht, common: &Common, output: Output) -> Result<(), Failure> {
    let kept = session::contacts(dht).await;
    let given = session::entries(common, kept);
    let none_of = |error: &dyn core::fmt::Display| format!("none of {kept} kept contacts: {error}");
    let attempts = if given.is_empty() {
        if kept == 0 {
            // The first node of its network, or one that its neighbours will find.
            return Ok(());
        }
        if let Err(error) = dht.rejoin().await {
            output.warning(Warning::NoAnswer, none_of(&error));
            return Ok(());
        }
        Vec::new()
    } else {
        match dht.bootstrap(&given).await {
            Ok(joined) => joined.attempts,
            // Those who were kept may be there.
            Err(error) if kept > 0 => {
                if let Err(none) = dht.rejoin().await {
                    session::warn_of_failed(&error.attempts, output);
                    output.warning(Warning::NoAnswer, none_of(&none));
                    return Ok(());
                }
                error.attempts
            }
            Err(error) => return Err(error.into()),
        }
    };
    session::warn_of_failed(&attempts, output);
    let contacts = session::contacts(dht).await;
    let attempts: Vec<_> = attempts.iter().map(output::attempt).collect();
    output.event(
        json!({"event": "joined", "contacts": contacts, "attempts": attempts}),
        format_args!("joined: {contacts} contacts"),
    );
    Ok(())
}

/// What becomes of the node as a whole.
pub(crate) fn tell(notice: &Event, output: Output) {
    match notice {
        Event::AddressSeen { address } => output.event(
            json!({"event": "address_seen", "addr": address.to_string()}),
            format_args!("others see this node at {address}"),
        ),
        Event::Reachable { address, reachable } => output.event(
            json!({"event": "reachable", "addr": address.to_string(), "reachable": reachable}),
            if *reachable {
                format!("others reach this node at {address}: it serves them from now on")
            } else {
                format!("others do not reach this node at {address}: it asks without serving")
            },
        ),
        Event::Offline { offline } => output.event(
            json!({"event": "offline", "offline": offline}),
            if *offline { "nobody answers any more: offline" } else { "online again" },
        ),
        _ => {}
    }
}
