//! The thread that commits, and what it does when the folder can no longer be written.
//!
//! A full disk, a folder that was deleted, a disk that is gone: what was not written is reported as
//! such, so that nobody acknowledges it, and the store is opened again at growing intervals. It
//! refuses everything after its first failed write until then. Once it takes writes again, what is
//! ours alone is written first (id, shares), and the driver is asked for the whole state: the
//! records that came meanwhile are in it.

use alloc::collections::BTreeMap;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::mpsc as blocking;
use std::time::Instant;

use tokio::sync::mpsc;

use super::journal::{Batch, Committed, Report, Write};
use super::{Data, META, RECORDS, SHARES, date};
use crate::error::DataError;

/// How soon the store is opened again after a failed write; doubles up to [`LONGEST_WAIT`].
/// Opening reads all of it, which takes some tenths of a second for a full one.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// A person who has made room waits for no longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// The folder cannot be written at present.
struct Trouble {
    reason: String,
    /// When to open the store again.
    again: Instant,
    wait: Duration,
}

/// Whether what is handed over gets written.
enum Condition {
    Good,
    Bad(Trouble),
    /// The store takes writes again, and the whole state is not among them yet.
    Recovering(Trouble),
}

/// The thread's end of the store.
pub(super) struct Writer {
    data: Data,
    /// All of our own shares: what could not be written is written when there is room, into a new
    /// folder too.
    shares: BTreeMap<String, Vec<u8>>,
    condition: Condition,
    reports: mpsc::UnboundedSender<Report>,
}

impl Writer {
    pub(super) fn new(
        data: Data,
        shares: &[(String, Vec<u8>)],
        reports: mpsc::UnboundedSender<Report>,
    ) -> Self {
        let shares = shares.iter().cloned().collect();
        Self { data, shares, condition: Condition::Good, reports }
    }

    /// Commits what comes until nobody is left to send anything.
    pub(super) fn run(mut self, incoming: &blocking::Receiver<Batch>) {
        loop {
            let received = match &self.condition {
                Condition::Bad(trouble) => {
                    let wait = trouble.again.saturating_duration_since(Instant::now());
                    incoming.recv_timeout(wait)
                }
                _ => incoming.recv().map_err(|_| blocking::RecvTimeoutError::Disconnected),
            };
            match received {
                Ok(mut batch) => {
                    while let Ok(next) = incoming.try_recv() {
                        batch.append(next);
                    }
                    self.take(batch);
                }
                Err(blocking::RecvTimeoutError::Timeout) => self.recover(),
                Err(blocking::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, batch: Batch) {
        for write in &batch.writes {
            match write {
                Write::Share { key, bytes: Some(bytes) } => {
                    self.shares.insert(key.clone(), bytes.clone());
                }
                Write::Share { key, bytes: None } => {
                    self.shares.remove(key);
                }
                _ => {}
            }
        }
        if let Condition::Bad(trouble) = &self.condition
            && (batch.last || trouble.again <= Instant::now())
        {
            self.recover();
        }
        let result = match &self.condition {
            Condition::Bad(trouble) => Err(trouble.reason.clone()),
            _ => self.data.commit(&batch.writes),
        };
        let contacts = batch.writes.iter().rev().find_map(|write| match write {
            Write::State { contacts, .. } => Some(*contacts),
            _ => None,
        });
        match &result {
            Ok(()) if contacts.is_some() => self.is_well(),
            Ok(()) => {}
            Err(reason) => self.is_ill(reason.clone()),
        }
        let ok = result.is_ok();
        for done in batch.done {
            let result = result.clone();
            let named = |reason| DataError::Store { dir: self.data.dir.clone(), reason };
            // Whoever asked may have lost interest.
            let _ = done.send(result.map_err(named));
        }
        self.report(Report::Committed(Committed { batch: batch.number, ok, contacts }));
    }

    /// Opens the store again, and writes what is ours alone.
    fn recover(&mut self) {
        let result = self.data.reopen().and_then(|()| self.data.restore(&self.shares));
        match result {
            Ok(()) => {
                let good = core::mem::replace(&mut self.condition, Condition::Good);
                if let Condition::Bad(trouble) = good {
                    self.condition = Condition::Recovering(trouble);
                }
                self.report(Report::TakesWrites);
            }
            Err(reason) => self.is_ill(reason),
        }
    }

    fn is_ill(&mut self, reason: String) {
        let wait = match &self.condition {
            Condition::Good => {
                self.report(Report::Unwritable(reason.clone()));
                FIRST_WAIT
            }
            // Nothing was tried meanwhile.
            Condition::Bad(trouble) if trouble.again > Instant::now() => return,
            Condition::Bad(trouble) | Condition::Recovering(trouble) => {
                (trouble.wait * 2).min(LONGEST_WAIT)
            }
        };
        tracing::debug!(%reason, dir = %self.data.dir.display(), "the state could not be written");
        self.condition = Condition::Bad(Trouble { reason, again: Instant::now() + wait, wait });
    }

    /// The whole state is safe.
    fn is_well(&mut self) {
        if matches!(self.condition, Condition::Recovering(_)) {
            self.condition = Condition::Good;
            self.report(Report::Written);
        }
    }

    fn report(&self, report: Report) {
        // A driver that is gone has stopped caring.
        let _ = self.reports.send(report);
    }
}

impl Data {
    /// Durable when it returns: the store syncs the file with every commit.
    pub(super) fn commit(&self, writes: &[Write]) -> Result<(), String> {
        self.is_still_there()?;
        self.guarded(|db| {
            let transaction = db.begin_write()?;
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
        })
    }

    /// Writes network, id and shares as they are now, whatever is there of them.
    fn restore(&self, shares: &BTreeMap<String, Vec<u8>>) -> Result<(), String> {
        self.guarded(|db| {
            let transaction = db.begin_write()?;
            self.write_identity(&transaction)?;
            transaction.delete_table(SHARES)?;
            {
                let mut table = transaction.open_table(SHARES)?;
                for (key, bytes) in shares {
                    table.insert(key.as_str(), bytes.as_slice())?;
                }
            }
            transaction.commit()?;
            Ok(())
        })
    }

    /// A file that was deleted takes writes and keeps none of them.
    fn is_still_there(&self) -> Result<(), String> {
        let file = self.dir.join(super::STORE);
        match super::identity(&file) {
            Ok(identity) if identity == self.identity => Ok(()),
            Ok(_) => Err(format!("{} was replaced by another file", file.display())),
            Err(error) => Err(format!("{}: {error}", file.display())),
        }
    }

    /// Opens the store anew; makes it if somebody has deleted it.
    fn reopen(&mut self) -> Result<(), String> {
        self.close();
        if self.is_still_there().is_err() {
            let file: PathBuf = self.dir.join(super::STORE);
            if file.exists() {
                return self.is_still_there();
            }
            // Another process may have taken the new folder meanwhile.
            self.lock = None;
            std::fs::create_dir_all(&self.dir).map_err(|error| error.to_string())?;
            self.lock = Some(super::lock(&self.dir).map_err(|error| error.to_string())?);
        }
        self.open_again()
    }
}
