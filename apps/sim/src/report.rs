//! What became of an operation.

use core::fmt;
use core::time::Duration;

use kadlet_core::record::Item;
use kadlet_core::{Contact, Event, Id, Instant, OperationId, Outcome, Totals};

use crate::host::NodeIndex;

/// An operation of one node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Operation {
    /// Whose.
    pub node: NodeIndex,
    /// Which.
    pub id: OperationId,
}

/// Everything a node said of an operation, with the time at which it did.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    events: Vec<(Instant, Event)>,
}

impl Report {
    /// From events of which the last is `Done`.
    pub(crate) const fn new(events: Vec<(Instant, Event)>) -> Self {
        Self { events }
    }

    /// The events, in order, with their times.
    #[must_use]
    pub fn events(&self) -> &[(Instant, Event)] {
        &self.events
    }

    /// How it ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.done().0
    }

    /// The closest that answered, nearest first.
    #[must_use]
    pub fn closest(&self) -> &[Contact] {
        self.done().1
    }

    /// Their ids.
    #[must_use]
    pub fn closest_ids(&self) -> Vec<Id> {
        self.closest().iter().map(|contact| contact.id).collect()
    }

    /// What it cost.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.done().2
    }

    /// The values found, in order.
    pub fn values(&self) -> impl Iterator<Item = &Item> {
        self.events.iter().filter_map(|(_, event)| match event {
            Event::Value { item, .. } => Some(item),
            _ => None,
        })
    }

    /// The addresses that have the content, in order.
    pub fn providers(&self) -> impl Iterator<Item = core::net::SocketAddr> {
        self.events.iter().filter_map(|(_, event)| match event {
            Event::Provider { address, .. } => Some(*address),
            _ => None,
        })
    }

    /// The names found, in order.
    pub fn hits(&self) -> impl Iterator<Item = &str> {
        self.events.iter().filter_map(|(_, event)| match event {
            Event::Hit { entry, .. } => Some(entry.name()),
            _ => None,
        })
    }

    /// The keys under which something was stored, one for each holder that acknowledged.
    pub fn stored(&self) -> impl Iterator<Item = Id> {
        self.events.iter().filter_map(|(_, event)| match event {
            Event::Stored { key, .. } => Some(*key),
            _ => None,
        })
    }

    fn done(&self) -> (Outcome, &[Contact], Totals) {
        match self.events.last() {
            Some((_, Event::Done { outcome, closest, totals, .. })) => (*outcome, closest, *totals),
            other => unreachable!("a report ends with Done, not with {other:?}"),
        }
    }
}

/// The network was run for as long as it was allowed to, and what was waited for did not happen.
#[derive(Clone, PartialEq, Debug)]
pub struct NotAtRest {
    /// What was waited for.
    pub waiting_for: Vec<Operation>,
    /// For how long, in virtual time.
    pub waited: Duration,
    /// What the first of them said so far.
    pub events: Vec<(Instant, Event)>,
}

impl fmt::Display for NotAtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {:?} not done: {:?}; ", self.waited, self.waiting_for)?;
        write!(f, "the first said: {:?}", self.events)
    }
}

impl core::error::Error for NotAtRest {}
