//! What the demo measured, and whether every step was as it should be.

use core::fmt;
use core::time::Duration;

use serde_json::{Map, Value, json};

use crate::output::Output;

/// The steps so far, each checked.
#[derive(Debug)]
pub(crate) struct Report {
    output: Output,
    failed: Vec<String>,
    checks: u64,
    table: Vec<(&'static str, String, Value)>,
}

impl Report {
    pub(crate) const fn new(output: Output) -> Self {
        Self { output, failed: Vec::new(), checks: 0, table: Vec::new() }
    }

    /// Begins a step.
    pub(crate) fn step(&self, name: &str, text: impl fmt::Display) {
        let text = text.to_string();
        self.output.event(
            json!({"event": "step", "step": name, "message": text}),
            format_args!("\n• {text}"),
        );
    }

    /// Says something about the present step.
    pub(crate) fn say(&self, text: impl fmt::Display) {
        let text = text.to_string();
        self.output.event(json!({"event": "said", "message": text}), format_args!("    {text}"));
    }

    /// Checks something; the demo goes on, and fails in the end.
    pub(crate) fn check(&mut self, holds: bool, what: impl fmt::Display) {
        self.checks += 1;
        let what = what.to_string();
        let mark = if holds { "✓" } else { "✗ NOT SO:" };
        self.output.event(
            json!({"event": "check", "ok": holds, "message": what}),
            format_args!("    {mark} {what}"),
        );
        if !holds {
            self.failed.push(what);
        }
    }

    /// A row of the table at the end.
    pub(crate) fn measure(&mut self, name: &'static str, text: impl fmt::Display, value: Value) {
        self.table.push((name, text.to_string(), value));
    }

    /// Prints the table. What was not so, if anything.
    pub(crate) fn finish(self, elapsed: Duration) -> Result<(), String> {
        let width = self.table.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
        let mut text = String::from("\n");
        let mut fields = Map::new();
        for (name, shown, value) in &self.table {
            text += &format!("  {name:<width$}  {shown}\n");
            fields.insert(name.replace(' ', "_"), value.clone());
        }
        let (checks, failed) = (self.checks, self.failed.len());
        text += &format!("\n{checks} checks, {failed} failed, {:.1} s", elapsed.as_secs_f64());
        fields.insert("event".to_owned(), "done".into());
        fields.insert("checks".to_owned(), checks.into());
        fields.insert("failed".to_owned(), failed.into());
        fields.insert("seconds".to_owned(), json!(elapsed.as_secs_f64()));
        self.output.event(Value::Object(fields), text);
        if self.failed.is_empty() { Ok(()) } else { Err(self.failed.join("; ")) }
    }
}

/// Median and 95th percentile of times, in milliseconds.
pub(crate) fn percentiles(times: &mut [Duration]) -> (f64, f64) {
    times.sort_unstable();
    let at = |share: usize| {
        let index = (times.len() * share / 100).min(times.len().saturating_sub(1));
        times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
    };
    (at(50), at(95))
}
