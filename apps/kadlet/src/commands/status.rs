//! `kadlet status`: how a running node is.
//!
//! A node with a folder writes `status.json` there every second, by renaming, so that a reader sees
//! one whole state or another; whether the node still runs is told by its lock on the folder. When
//! the disk is full, what it could write last is not how it is: it goes to `status.json.old`, where
//! clients find the addresses, which do not change. Of a node elsewhere one can only see what it
//! answers to everybody.

use core::time::Duration;
use std::fs;
use std::io;
use std::path::Path;

use clap::Args;
use kadlet::core::Family;
use kadlet::{AttemptResult, Dht, HostPort};
use serde_json::{Value, json};

use crate::cli::Common;
use crate::codes::{Code, Warning};
use crate::failure::Failure;
use crate::output::{Output, attempt, millis};
use crate::session;

/// The file.
const FILE: &str = "status.json";

/// What it becomes when there is no room for the next.
const OLD: &str = "status.json.old";

/// How often it is written.
const INTERVAL: Duration = Duration::from_secs(1);

/// Show how a running node is
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kadlet status --data ~/.kadlet\n  \
                        kadlet status --bootstrap 192.168.1.5:4000")]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    let common = &options.common;
    if let Some(dir) = &common.data {
        if !common.bootstrap.is_empty() {
            let text = "the status of which node? --data DIR shows that of this machine's, \
                        --bootstrap HOST:PORT asks another: leave out one of them";
            return Err(Failure::new(Code::Usage, text));
        }
        return show(dir, output);
    }
    if common.bootstrap.is_empty() {
        return Err(Failure::new(
            Code::Usage,
            "whose status? expected --data DIR of a node on this machine, or --bootstrap HOST:PORT \
             of any node",
        ));
    }
    ask(common, output).await
}

/// Asks each address.
async fn ask(common: &Common, output: Output) -> Result<(), Failure> {
    let dht = session::start(session::builder(common).client().lan(false), output).await?;
    let joined = dht.contact(&common.bootstrap).await?;
    for each in &joined.attempts {
        let mut object = attempt(each);
        if let (Some(fields), AttemptResult::Answered { id, rtt }) =
            (object.as_object_mut(), &each.result)
        {
            fields.insert("id".to_owned(), id.to_string().into());
            fields.insert("rtt_ms".to_owned(), millis(*rtt));
        }
        if let Some(fields) = object.as_object_mut() {
            fields.insert("event".to_owned(), "status".into());
            fields.insert("running".to_owned(), each.is_ok().into());
        }
        output.event(object, each);
    }
    dht.stop().await;
    Ok(())
}

/// Shows what the node that works with the folder has written down.
fn show(dir: &Path, output: Output) -> Result<(), Failure> {
    let Some(holder) = kadlet::folder_in_use(dir) else {
        return Err(Failure::new(
            Code::NoNode,
            format_args!(
                "no node works with {0}; start one with: kadlet node --data {0}",
                dir.display()
            ),
        ));
    };
    let status = read(dir, FILE, holder).ok_or_else(|| {
        let text = "has not said how it is yet, or cannot write it there";
        Failure::new(
            Code::NoNode,
            format_args!("the node that works with {} {text}", dir.display()),
        )
    })?;
    let field = |name: &str| match status.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => {
            list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        Some(Value::Null) | None => "not known".to_owned(),
        Some(other) => other.to_string(),
    };
    let mut text = String::new();
    for (name, key) in [
        ("id", "id"),
        ("addresses", "addrs"),
        ("network", "network"),
        ("process", "pid"),
        ("contacts", "contacts"),
        ("serves others", "server"),
        ("reachable", "reachable"),
        ("offline", "offline"),
        ("network size", "network_size"),
        ("records held", "records"),
        ("own records", "publications"),
        ("datagrams in", "datagrams_in"),
        ("datagrams out", "datagrams_out"),
    ] {
        text.push_str(&format!("{name:<14} {}\n", field(key)));
    }
    output.event(status, text.trim_end());
    Ok(())
}

/// The addresses of the node that works with the folder, which is the process `holder`.
pub(crate) fn addresses_in(dir: &Path, holder: Option<u32>) -> Vec<HostPort> {
    let status = read(dir, FILE, holder).or_else(|| read(dir, OLD, holder));
    let Some(status) = status else { return Vec::new() };
    let addresses = status.get("addrs").and_then(Value::as_array);
    addresses.into_iter().flatten().filter_map(|address| address.as_str()?.parse().ok()).collect()
}

/// What `holder` has written there, and not a node before it that was killed.
fn read(dir: &Path, file: &str, holder: Option<u32>) -> Option<Value> {
    let status: Value = serde_json::from_slice(&fs::read(dir.join(file)).ok()?).ok()?;
    let is_its = holder.is_none_or(|holder| status["pid"] == holder);
    is_its.then_some(status)
}

/// Writes down how the node is, for the first time: whoever is told that it listens finds it.
pub(crate) async fn begin(dht: &Dht, common: &Common, output: Output) {
    if let Some(dir) = &common.data
        && let Err(error) = write(dht, &common.network, dir).await
    {
        refused(dir, &error, output);
    }
}

/// Writes down how the node is, every second for as long as this is polled. Without a folder
/// nothing.
pub(crate) async fn keep(dht: &Dht, common: &Common, output: Output) {
    let Some(dir) = &common.data else { return core::future::pending().await };
    let mut said = false;
    loop {
        tokio::time::sleep(INTERVAL).await;
        match write(dht, &common.network, dir).await {
            Ok(()) => said = false,
            // A folder that takes nothing at all is named as such already.
            Err(_) if said || dht.unwritable().borrow().is_some() => {}
            Err(error) => {
                refused(dir, &error, output);
                said = true;
            }
        }
    }
}

fn refused(dir: &Path, error: &io::Error, output: Output) {
    output.warning(Warning::Io, format_args!("{}: {error}", dir.join(FILE).display()));
}

async fn write(dht: &Dht, network: &str, dir: &Path) -> io::Result<()> {
    let (Ok(health), Ok(stats)) = (dht.health().await, dht.stats().await) else { return Ok(()) };
    let count = |wanted| {
        health.contacts.iter().find(|(family, _)| *family == wanted).map_or(0, |(_, n)| *n)
    };
    let host = dht.host_stats();
    let rejected: serde_json::Map<String, Value> = stats
        .rejected
        .iter()
        .map(|(reason, count)| (reason.to_string(), (*count).into()))
        .collect();
    let status = json!({
        "event": "status",
        "running": true,
        "id": dht.id().to_string(),
        "addr": dht.local_addr().to_string(),
        "addrs": dht.local_addrs().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "network": network,
        "pid": std::process::id(),
        "contacts": count(Family::V4) + count(Family::V6),
        "contacts_v4": count(Family::V4),
        "contacts_v6": count(Family::V6),
        "contacts_kept": host.contacts_kept,
        "server": health.server,
        "reachable": health.reachable,
        "offline": health.offline,
        "network_size": health.network_size,
        "records": health.records,
        "publications": health.publications,
        "operations": health.operations,
        "datagrams_in": stats.datagrams_in,
        "datagrams_out": stats.datagrams_out,
        "rejected": rejected,
        "receive_errors": host.receive_errors,
        "send_errors": host.send_errors,
        "sends_lost": host.sends_lost,
        "write_failures": host.write_failures,
        "unwritable": *dht.unwritable().borrow(),
    });
    let draft = dir.join(format!("{FILE}.new"));
    let file = dir.join(FILE);
    let written = fs::write(&draft, status.to_string()).and_then(|()| fs::rename(&draft, &file));
    if written.is_err() {
        // Neither has to be there.
        let _ = fs::remove_file(&draft);
        let _ = fs::rename(&file, dir.join(OLD));
    }
    written
}

/// Of a node that has stopped nothing is shown.
pub(crate) fn remove(dir: &Path) {
    // It says the same to everybody without the lock.
    for file in [FILE, OLD] {
        let _ = fs::remove_file(dir.join(file));
    }
}
