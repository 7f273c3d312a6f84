//! What a node gives out, as canonical JSON. serde_json's maps are sorted by key.

use core::fmt::{Display, Write as _};
use core::time::Duration;

use kadlet_core::record::{Item, SearchEntry, SignedValue};
use kadlet_core::wire::ErrorCode;
use kadlet_core::{
    Asked, Change, Contact, Entry, Event, Family, Health, OperationProgress, Outcome, Path,
    PeerFailure, RoutingTable, Stats, StoreChange, Totals,
};
use serde_json::{Value, json};

/// The events that traces have to contain.
pub(crate) const EVENTS: [&str; 12] = [
    "started",
    "asked",
    "answered",
    "failed",
    "provider",
    "value",
    "hit",
    "stored",
    "done",
    "signal",
    "address_seen",
    "offline",
];

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

fn text(what: impl Display) -> Value {
    Value::String(what.to_string())
}

pub(crate) fn micros(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap()
}

pub(crate) fn path(path: Path) -> Value {
    json!({"link": path.link.0, "remote": text(path.remote)})
}

pub(crate) fn contact(contact: &Contact) -> Value {
    json!({
        "id": text(contact.id),
        "path": path(contact.path),
        "capabilities": contact.capabilities.0,
    })
}

pub(crate) fn contacts(all: &[Contact]) -> Value {
    all.iter().map(contact).collect()
}

fn asked(peer: Asked) -> Value {
    json!({"id": peer.id.map(text), "path": path(peer.path)})
}

/// An immutable value is its bytes; a signed one has parts.
pub(crate) fn item(item: &Item) -> Value {
    match item {
        Item::Immutable(value) => text(hex(value.as_bytes())),
        Item::Signed(signed) => signed_value(signed),
    }
}

pub(crate) fn signed_value(signed: &SignedValue) -> Value {
    json!({
        "public_key": hex(signed.public_key()),
        "salt": hex(signed.salt()),
        "seq": signed.seq(),
        "value": hex(signed.value()),
        "signature": hex(signed.signature()),
        "extra": hex(signed.extra()),
    })
}

pub(crate) fn entry(entry: &SearchEntry) -> Value {
    json!({
        "name": entry.name(),
        "size": entry.size(),
        "content": hex(entry.content()),
        "extra": hex(entry.extra()),
    })
}

fn refused(code: ErrorCode, seq: Option<u64>) -> Value {
    json!({"code": code.name(), "number": code.number(), "seq": seq})
}

fn reason(reason: PeerFailure) -> Value {
    match reason {
        PeerFailure::Refused { code, seq } => refused(code, seq),
        other => text(other.name()),
    }
}

fn outcome(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Refused { code, seq } => refused(code, seq),
        other => text(other.name()),
    }
}

fn totals(totals: &Totals) -> Value {
    json!({
        "asked": totals.asked,
        "answered": totals.answered,
        "failed": totals.failed,
        "found": totals.found,
        "stored": totals.stored,
        "store_attempts": totals.store_attempts,
        "hops": totals.hops,
        "datagrams": totals.datagrams,
        "bytes_sent": totals.bytes_sent,
        "bytes_received": totals.bytes_received,
        "elapsed": micros(totals.elapsed),
    })
}

pub(crate) fn event(event: &Event) -> Value {
    let mut said = match event {
        Event::Started { operation } => json!({"operation": operation.0}),
        Event::Asked { operation, peer } => {
            json!({"operation": operation.0, "peer": asked(*peer)})
        }
        Event::Answered { operation, peer, rtt, named } => json!({
            "operation": operation.0,
            "peer": asked(*peer),
            "rtt": micros(*rtt),
            "named": contacts(named),
        }),
        Event::Failed { operation, peer, reason: why } => {
            json!({"operation": operation.0, "peer": asked(*peer), "reason": reason(*why)})
        }
        Event::Provider { operation, address, transports, holder } => json!({
            "operation": operation.0,
            "address": text(address),
            "transports": transports.0,
            "holder": text(holder),
        }),
        Event::Value { operation, item: value, holder } => {
            json!({"operation": operation.0, "item": item(value), "holder": text(holder)})
        }
        Event::Hit { operation, entry: hit, holder } => {
            json!({"operation": operation.0, "entry": entry(hit), "holder": text(holder)})
        }
        Event::Stored { operation, peer, key } => {
            json!({"operation": operation.0, "peer": asked(*peer), "key": text(key)})
        }
        Event::Done { operation, outcome: how, closest, totals: cost } => json!({
            "operation": operation.0,
            "outcome": outcome(*how),
            "closest": contacts(closest),
            "totals": totals(cost),
        }),
        Event::Signal { from, payload } => {
            json!({"from": contact(from), "payload": hex(payload)})
        }
        Event::AddressSeen { address } => json!({"address": text(address)}),
        Event::Reachable { address, reachable } => {
            json!({"address": text(address), "reachable": reachable})
        }
        Event::Offline { offline } => json!({"offline": offline}),
        _ => panic!("an event without words: {event:?}"),
    };
    said["type"] = text(event.name());
    said
}

pub(crate) fn change(change: &Change) -> Value {
    match change {
        Change::Contacts => json!({"type": "contacts"}),
        Change::Record(StoreChange::Stored { name, record }) => {
            json!({"type": "record_stored", "name": hex(name.as_bytes()), "record": hex(record)})
        }
        Change::Record(StoreChange::Removed { name }) => {
            json!({"type": "record_removed", "name": hex(name.as_bytes())})
        }
        Change::Record(StoreChange::Lost) => json!({"type": "records_lost"}),
        _ => panic!("a change without words: {change:?}"),
    }
}

fn table_entry(entry: &Entry) -> Value {
    json!({
        "contact": contact(&entry.contact),
        "seen": entry.seen.as_micros(),
        "rtt": entry.rtt.map(micros),
        "failures": entry.failures,
        "live": entry.live,
    })
}

pub(crate) fn table(table: &RoutingTable) -> Value {
    table
        .buckets()
        .map(|bucket| {
            json!({
                "depth": bucket.depth(),
                "first": text(bucket.first()),
                "refreshed": bucket.refreshed().as_micros(),
                "contacts": bucket.contacts().map(|entry| table_entry(&entry)).collect::<Value>(),
                "replacements":
                    bucket.replacements().map(|entry| table_entry(&entry)).collect::<Value>(),
            })
        })
        .collect()
}

pub(crate) fn progress(progress: &OperationProgress) -> Value {
    json!({
        "totals": totals(&progress.totals),
        "in_flight": progress.in_flight,
        "remaining": micros(progress.remaining),
    })
}

pub(crate) fn health(health: &Health) -> Value {
    let contacts = health.contacts.map(|(family, n)| (family.name().to_string(), json!(n)));
    json!({
        "contacts": Value::Object(contacts.into_iter().collect()),
        "offline": health.offline,
        "server": health.server,
        "reachable": health.reachable,
        "network_size": health.network_size,
        "records": health.records,
        "publications": health.publications,
        "operations": health.operations,
    })
}

pub(crate) fn stats(stats: &Stats) -> Value {
    let rejected = stats.rejected.iter().map(|(why, n)| (why.name().to_string(), json!(n)));
    json!({
        "datagrams_in": stats.datagrams_in,
        "bytes_in": stats.bytes_in,
        "datagrams_out": stats.datagrams_out,
        "bytes_out": stats.bytes_out,
        "queries_answered": stats.queries_answered,
        "answers": stats.answers,
        "timeouts": stats.timeouts,
        "rejected": Value::Object(rejected.collect()),
        "shortened": stats.shortened,
        "transmits_lost": stats.transmits_lost,
        "events_lost": stats.events_lost,
        "operations": stats.operations,
    })
}

pub(crate) fn family(name: &str) -> Family {
    Family::ALL.into_iter().find(|family| family.name() == name).unwrap()
}
