//! Writes on their way into the store: gathered by the driver, committed by a thread of its own.
//!
//! A commit waits for the disk, which the driver must not. The driver hands over batches, numbered
//! in order, and hears of each when it is safe; the thread takes all that have gathered into one
//! commit.

use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::mpsc as blocking;
use std::thread;

use kadlet_core::{Instant, Node};
use tokio::sync::{mpsc, oneshot};

use super::Data;
use super::writer::Writer;
use crate::error::DataError;

/// Least time between two exports of the contacts.
const STATE_INTERVAL: Duration = Duration::from_secs(1);

/// The core's export has the records in it too, which are journalled one by one anyway: a full
/// store of 32 MiB is exported every two minutes instead of every second, a small one at once.
const BYTES_A_SECOND: u64 = 256 << 10;

/// One change of the store.
#[derive(Debug)]
pub(crate) enum Write {
    /// A record held for others; none: it is gone.
    Record { key: Vec<u8>, bytes: Option<Vec<u8>> },
    /// The node's exported state, with this many contacts in it.
    State { bytes: Vec<u8>, contacts: u64 },
    /// A share of our own; none: it is gone.
    Share { key: String, bytes: Option<Vec<u8>> },
}

/// What the thread says.
#[derive(Debug)]
pub(crate) enum Report {
    /// A batch has been through the store.
    Committed(Committed),
    /// Nothing can be written any more, for this reason.
    Unwritable(String),
    /// The store takes writes again: the whole state is wanted.
    TakesWrites,
    /// Everything is safe again.
    Written,
}

/// A batch has been through the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committed {
    /// Its number; those before it have been too.
    pub(crate) batch: u64,
    /// Whether it is safe there.
    pub(crate) ok: bool,
    /// How many contacts the state in it has, if there is one.
    pub(crate) contacts: Option<u64>,
}

type Done = oneshot::Sender<Result<(), DataError>>;

/// What goes to the thread at once.
pub(super) struct Batch {
    pub(super) number: u64,
    pub(super) writes: Vec<Write>,
    pub(super) done: Vec<Done>,
    /// Whether nothing follows.
    pub(super) last: bool,
}

impl Batch {
    /// Makes one of two.
    pub(super) fn append(&mut self, next: Self) {
        self.number = next.number;
        self.writes.extend(next.writes);
        self.done.extend(next.done);
        self.last |= next.last;
    }
}

/// The driver's end of the store.
pub(crate) struct Journal {
    batches: blocking::Sender<Batch>,
    reports: mpsc::UnboundedReceiver<Report>,
    writes: Vec<Write>,
    done: Vec<Done>,
    /// Whether a record is among the writes: then nothing may be acknowledged before them.
    holds: bool,
    number: u64,
    state_due: Option<Instant>,
    /// Not before this.
    next_state: Instant,
}

impl Journal {
    /// Starts the thread. It ends when the journal is closed or dropped, after its last commit.
    pub(crate) fn start(data: Data, shares: &[(String, Vec<u8>)]) -> std::io::Result<Self> {
        let (batches, incoming) = blocking::channel();
        let (report, reports) = mpsc::unbounded_channel();
        let writer = Writer::new(data, shares, report);
        thread::Builder::new()
            .name("kadlet-journal".to_owned())
            .spawn(move || writer.run(&incoming))?;
        Ok(Self {
            batches,
            reports,
            writes: Vec::new(),
            done: Vec::new(),
            holds: false,
            number: 0,
            state_due: None,
            next_state: Instant::EPOCH,
        })
    }

    pub(crate) fn record_stored(&mut self, key: &[u8], bytes: Vec<u8>) {
        self.writes.push(Write::Record { key: key.to_vec(), bytes: Some(bytes) });
        self.holds = true;
    }

    /// A record that comes back after a crash although it had expired does no harm: nothing waits
    /// for its removal.
    pub(crate) fn record_removed(&mut self, key: &[u8]) {
        self.writes.push(Write::Record { key: key.to_vec(), bytes: None });
    }

    /// The core made more changes in one call than its journal holds: the whole state, records
    /// included, is written instead of them.
    pub(crate) fn changes_lost(&mut self, node: &Node, now: Instant) {
        self.state(node, now);
        self.holds = true;
    }

    pub(crate) fn contacts_changed(&mut self, now: Instant) {
        self.state_due.get_or_insert(self.next_state.max(now));
    }

    /// When the state should be exported next.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.state_due
    }

    /// Exports the state now.
    pub(crate) fn state(&mut self, node: &Node, now: Instant) {
        self.state_due = None;
        let contacts = crate::dht::contacts_of(&node.health());
        let contacts = u64::try_from(contacts).unwrap_or(u64::MAX);
        let bytes = node.export_state(now);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let pause = Duration::from_secs(length / BYTES_A_SECOND).max(STATE_INTERVAL);
        self.next_state = now + pause;
        self.writes.push(Write::State { bytes, contacts });
    }

    /// Adds a write of the host's own; `done` hears when it is safe.
    pub(crate) fn write(&mut self, write: Write, done: Done) {
        self.writes.push(write);
        self.done.push(done);
    }

    /// Hands what has gathered to the thread. The number of the batch that must be committed
    /// before anything is acknowledged, if there is one.
    pub(crate) fn flush(&mut self) -> Option<u64> {
        self.send(false)
    }

    fn send(&mut self, last: bool) -> Option<u64> {
        if self.writes.is_empty() {
            return None;
        }
        self.number += 1;
        let holds = core::mem::take(&mut self.holds);
        let writes = core::mem::take(&mut self.writes);
        let done = core::mem::take(&mut self.done);
        // If the thread is gone no commit is ever reported, and nothing is acknowledged.
        let _ = self.batches.send(Batch { number: self.number, writes, done, last });
        holds.then_some(self.number)
    }

    /// The next thing that the thread says.
    pub(crate) fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        match self.reports.poll_recv(cx) {
            Poll::Ready(Some(report)) => Poll::Ready(report),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Writes the last state, and returns when everything is safe, or cannot be made so. What the
    /// thread says is told.
    pub(crate) async fn close(mut self, node: &Node, now: Instant, mut tell: impl FnMut(Report)) {
        self.state(node, now);
        self.send(true);
        drop(self.batches);
        while let Some(report) = self.reports.recv().await {
            tell(report);
        }
    }
}
