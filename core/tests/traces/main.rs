//! Golden traces: every call that was made on a node, and everything that came of it.
//!
//! The files in `golden/draft-1/traces/` are what all languages are held to: this test, `pytest` in
//! bindings-python and `node --test` in bindings-wasm replay them and compare byte for byte. After
//! an intended change of behaviour all of them are written anew by
//!
//! ```text
//! KADLET_BLESS=1 cargo test -p kadlet-core --test traces
//! ```
//!
//! One call a line, as canonical JSON (keys sorted, no spaces, integers only):
//! `{"in":{"call":VERB,"now":…,ARGUMENTS},"out":{"changes":…,"deadline":…,"events":…,"returns":…,"transmits":…}}`.
//! A trace begins with `new` or `restore`, which make the node. Everything is polled after every
//! call, until nothing is left; `deadline` is what `poll_timeout` says then. Moments and durations
//! are microseconds; bytes and ids are hexadecimal; addresses and paths read `IP:PORT` and
//! `{"link":…,"remote":"IP:PORT"}`; what an error says is `{"error":TEXT}`. Tags are those of
//! `core/src/names.rs`.
#![cfg(feature = "mainline")]
#![expect(clippy::unwrap_used, reason = "tests")]

extern crate alloc;

mod calls;
mod scenario;
mod words;

use std::path::PathBuf;

use serde_json::Value;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/draft-1/traces").join(name)
}

fn line(call: &Value, out: &Value) -> String {
    format!("{{\"in\":{call},\"out\":{out}}}\n")
}

/// What is recorded: a file's name, and the run that makes its lines.
type Recording = (&'static str, fn() -> Vec<(Value, Value)>);

const RECORDINGS: [Recording; 3] = [
    ("native.jsonl", scenario::native),
    ("restored.jsonl", scenario::restored),
    ("mainline.jsonl", scenario::mainline),
];

/// Writes all traces anew.
const BLESS: &str = "KADLET_BLESS=1 cargo test -p kadlet-core --test traces";

#[test]
fn a_seeded_run_is_the_recorded_one() {
    for (name, run) in RECORDINGS {
        let text: String = run().iter().map(|(call, out)| line(call, out)).collect();
        if std::env::var_os("KADLET_BLESS").is_some() {
            std::fs::write(file(name), &text).unwrap();
        }
        let recorded = std::fs::read_to_string(file(name)).unwrap();
        for (number, (now, then)) in text.lines().zip(recorded.lines()).enumerate() {
            assert_eq!(now, then, "{name}:{}; intended? {BLESS}", number + 1);
        }
        assert_eq!(text.len(), recorded.len(), "{name} has another length");
    }
}

/// Nothing but what the file says is needed to get the same outputs: no network, no scenario.
#[test]
fn a_recorded_node_does_the_same_again() {
    if std::env::var_os("KADLET_BLESS").is_some() {
        // The files are being written at this moment.
        return;
    }
    for (name, _) in RECORDINGS {
        let mut node = None;
        for (number, recorded) in std::fs::read_to_string(file(name)).unwrap().lines().enumerate() {
            let parsed: Value = serde_json::from_str(recorded).unwrap();
            let out = calls::perform(&mut node, &parsed["in"]);
            assert_eq!(line(&parsed["in"], &out).trim_end(), recorded, "{name}:{}", number + 1);
        }
    }
}

/// A trace that leaves a verb out holds no language to it.
#[test]
fn every_verb_and_every_event_is_in_a_trace() {
    if std::env::var_os("KADLET_BLESS").is_some() {
        return;
    }
    let all: String =
        RECORDINGS.iter().map(|(name, _)| std::fs::read_to_string(file(name)).unwrap()).collect();
    for verb in calls::VERBS {
        assert!(all.contains(&format!("\"call\":\"{verb}\"")), "no trace calls {verb}");
    }
    for event in words::EVENTS {
        assert!(all.contains(&format!("\"type\":\"{event}\"")), "no trace has the event {event}");
    }
}
