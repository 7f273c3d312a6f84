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

use super::{Data, META, RECORDS, SHARES, date};
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
struct Batch {
    number: u64,
    writes: Vec<Write>,
    done: Vec<Done>,
}

/// The driver's end of the store.
pub(crate) struct Journal {
    batches: blocking::Sender<Batch>,
    committed: mpsc::UnboundedReceiver<Committed>,
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
    pub(crate) fn start(data: Data) -> std::io::Result<Self> {
        let (batches, incoming) = blocking::channel();
        let (reports, committed) = mpsc::unbounded_channel();
        thread::Builder::new()
            .name("kadlet-journal".to_owned())
            .spawn(move || run(&data, &incoming, &reports))?;
        Ok(Self {
            batches,
            committed,
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
        if self.writes.is_empty() {
            return None;
        }
        self.number += 1;
        let holds = core::mem::take(&mut self.holds);
        let writes = core::mem::take(&mut self.writes);
        let done = core::mem::take(&mut self.done);
        // If the thread is gone no commit is ever reported, and nothing is acknowledged.
        let _ = self.batches.send(Batch { number: self.number, writes, done });
        holds.then_some(self.number)
    }

    /// The next batch that has been through the store.
    pub(crate) fn poll_committed(&mut self, cx: &mut Context<'_>) -> Poll<Committed> {
        match self.committed.poll_recv(cx) {
            Poll::Ready(Some(committed)) => Poll::Ready(committed),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Writes the last state, and returns when everything is safe.
    pub(crate) async fn close(mut self, node: &Node, now: Instant) {
        self.state(node, now);
        self.flush();
        drop(self.batches);
        while self.committed.recv().await.is_some() {}
    }
}

fn run(
    data: &Data,
    incoming: &blocking::Receiver<Batch>,
    reports: &mpsc::UnboundedSender<Committed>,
) {
    while let Ok(mut batch) = incoming.recv() {
        while let Ok(next) = incoming.try_recv() {
            batch.number = next.number;
            batch.writes.extend(next.writes);
            batch.done.extend(next.done);
        }
        let result = commit(data, &batch.writes);
        if let Err(error) = &result {
            tracing::error!(%error, dir = %data.dir.display(), "the state could not be written");
        }
        for done in batch.done {
            let result =
                result.as_ref().map_or_else(|error| Err(data.store_error(error)), |()| Ok(()));
            // Whoever asked may have lost interest.
            let _ = done.send(result);
        }
        let contacts = batch.writes.iter().rev().find_map(|write| match write {
            Write::State { contacts, .. } => Some(*contacts),
            _ => None,
        });
        let committed = Committed { batch: batch.number, ok: result.is_ok(), contacts };
        if reports.send(committed).is_err() {
            return;
        }
    }
}

/// Durable when it returns: the store syncs the file with every commit.
fn commit(data: &Data, writes: &[Write]) -> Result<(), redb::Error> {
    let transaction = data.db.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        let mut records = transaction.open_table(RECORDS)?;
        let mut shares = transaction.open_table(SHARES)?;
        for write in writes {
            match write {
                Write::Record { key, bytes: Some(bytes) } => {
                    records.insert(key.as_slice(), date(bytes).as_slice())?;
                }
                Write::Record { key, bytes: None } => {
                    records.remove(key.as_slice())?;
                }
                Write::State { bytes, .. } => {
                    meta.insert("state", date(bytes).as_slice())?;
                }
                Write::Share { key, bytes: Some(bytes) } => {
                    shares.insert(key.as_str(), bytes.as_slice())?;
                }
                Write::Share { key, bytes: None } => {
                    shares.remove(key.as_str())?;
                }
            }
        }
    }
    transaction.commit()?;
    Ok(())
}
