//! The state folder: what a node must not forget, kept safe while it runs.
//!
//! ```text
//! DIR/lock           held by the process that works with the folder; its process id
//! DIR/kadlet.redb    version, network, id, contacts, records held for others, own shares
//! DIR/status.json    what `kadlet status` shows, while a node runs
//! ```
//!
//! Rules:
//! - A record is committed before the datagram that acknowledges it leaves ([`crate::driver`]). One
//!   commit takes everything that came while the last one was under way, so their number does not
//!   grow with the load.
//! - Contacts are exported at most once a second and only when they changed: losing a second of
//!   them costs nothing.
//! - Wall-clock time is kept beside the state only to know for how long the node was away.
//! - What cannot be written is not acknowledged, and said aloud; the node goes on, and writes
//!   everything as soon as it can ([`writer`]).
//! - A folder is of one network, that of the node that first worked with it: what one was told is
//!   not another's to know.
//! - What cannot be read is moved aside under another name, said aloud, and never written over.

use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use kadlet_core::Id;
use redb::{
    Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase as _, ReadableTable as _,
    StorageError, TableDefinition, TableError, WriteTransaction,
};

use crate::error::DataError;

mod journal;
mod shares;
mod writer;

pub(crate) use journal::{Committed, Journal, Report, Write};
pub use shares::KeptShares;

/// Version of the folder's contents. A later one is refused, an earlier one is converted.
const VERSION: u32 = 1;

/// The store's file.
const STORE: &str = "kadlet.redb";

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const SHARES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("shares");

/// Numbers of damaged files kept beside each other; more than this and a person should look.
const MOST_DAMAGED: u32 = 1_000;

/// A folder that is ours until dropped.
#[derive(Debug)]
pub(crate) struct Data {
    /// None while it cannot be opened.
    db: Option<Database>,
    dir: PathBuf,
    network: String,
    id: Option<Id>,
    /// Which file the store is: another one of the same name is not ours.
    identity: Identity,
    /// The lock lasts as long as this file is open.
    lock: Option<File>,
}

/// What a folder held when it was opened.
#[derive(Default, Debug)]
pub(crate) struct Kept {
    /// The network that all of it is of. Early folders do not say.
    network: Option<String>,
    pub(crate) id: Option<Id>,
    /// The node's exported state, and for how long it has been lying there.
    pub(crate) state: Option<(Vec<u8>, Duration)>,
    /// Records held for others, each with its age in the folder.
    pub(crate) records: Vec<(Vec<u8>, Vec<u8>, Duration)>,
    pub(crate) shares: Vec<(String, Vec<u8>)>,
    /// What could not be read, in words for a person.
    pub(crate) damage: Vec<String>,
}

impl Data {
    /// Opens a folder of this network, which is made if it does not exist, and reads what it holds.
    pub(crate) fn open(dir: &Path, network: &str) -> Result<(Self, Kept), DataError> {
        let io_at = |path: &Path| {
            let path = path.to_owned();
            move |error| DataError::Io { path, error }
        };
        fs::create_dir_all(dir).map_err(io_at(dir))?;
        let lock = lock(dir)?;
        let file = dir.join(STORE);
        refuse_newer(&file, dir)?;
        let (db, mut kept) = match open_and_read(&file, dir) {
            Ok(opened) => opened,
            Err(Problem::Damaged(reason)) => {
                let aside = move_aside(&file).map_err(io_at(&file))?;
                let (db, mut kept) =
                    open_and_read(&file, dir).map_err(|problem| match problem {
                        Problem::Damaged(reason) => {
                            DataError::Store { dir: dir.to_owned(), reason }
                        }
                        Problem::Final(error) => error,
                    })?;
                kept.damage.push(format!(
                    "{} is damaged ({reason}): moved to {}, going on without what it held",
                    file.display(),
                    aside.display()
                ));
                (db, kept)
            }
            Err(Problem::Final(error)) => return Err(error),
        };
        if let Some(found) = kept.network.take_if(|found| found != network) {
            return Err(DataError::OtherNetwork {
                dir: dir.to_owned(),
                found,
                asked: network.to_owned(),
            });
        }
        kept.damage.sort();
        let data = Self {
            db: Some(db),
            dir: dir.to_owned(),
            network: network.to_owned(),
            id: kept.id,
            identity: identity(&file).map_err(io_at(&file))?,
            lock: Some(lock),
        };
        Ok((data, kept))
    }

    /// Keeps the node's id, and of which network it is.
    pub(crate) fn keep_id(&mut self, id: Id) -> Result<(), DataError> {
        self.id = Some(id);
        let write = |db: &Database| -> Result<(), redb::Error> {
            let transaction = db.begin_write()?;
            self.write_identity(&transaction)?;
            transaction.commit()?;
            Ok(())
        };
        self.guarded(write).map_err(|reason| DataError::Store { dir: self.dir.clone(), reason })
    }

    fn write_identity(&self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        let mut meta = transaction.open_table(META)?;
        meta.insert("network", self.network.as_bytes())?;
        if let Some(id) = &self.id {
            meta.insert("id", id.as_bytes().as_slice())?;
        }
        Ok(())
    }

    /// Works with the store, which answers some failures of its disk with a panic.
    fn guarded(
        &self,
        work: impl FnOnce(&Database) -> Result<(), redb::Error>,
    ) -> Result<(), String> {
        let Some(db) = &self.db else { return Err("the store is not open".to_owned()) };
        match catch_unwind(AssertUnwindSafe(|| work(db))) {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the store gave up".to_owned()),
        }
    }

    /// Lets go of the store, which may have failed in the middle of a write.
    fn close(&mut self) {
        let db = self.db.take();
        // It has said what is wrong with it before.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(db)));
    }

    /// Opens the store that is there, or a new one.
    fn open_again(&mut self) -> Result<(), String> {
        let file = self.dir.join(STORE);
        let (db, _) = open_and_read(&file, &self.dir).map_err(|problem| match problem {
            Problem::Damaged(reason) => format!("{} is damaged ({reason})", file.display()),
            Problem::Final(error) => error.to_string(),
        })?;
        self.identity = identity(&file).map_err(|error| error.to_string())?;
        self.db = Some(db);
        Ok(())
    }
}

/// What tells a file from another one that comes to have its name.
type Identity = Option<(u64, u64)>;

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path)?;
    Ok(Some((metadata.dev(), metadata.ino())))
}

/// Elsewhere a file that is open cannot be deleted.
#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|_| None)
}

/// Why a store was not opened.
enum Problem {
    /// Its contents make no sense.
    Damaged(String),
    /// Nothing that moving it aside would mend.
    Final(DataError),
}

impl Problem {
    fn of(error: redb::Error, dir: &Path) -> Self {
        match error {
            redb::Error::Corrupted(reason) => Self::Damaged(reason),
            redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. } => {
                Self::Damaged("its tables are not those of kadlet".to_owned())
            }
            // The magic number at the start of the file is wrong.
            redb::Error::Io(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Self::Damaged(error.to_string())
            }
            redb::Error::DatabaseAlreadyOpen => {
                Self::Final(DataError::InUse { dir: dir.to_owned(), pid: None })
            }
            redb::Error::Io(error) => Self::Final(DataError::Io { path: dir.join(STORE), error }),
            other => {
                Self::Final(DataError::Store { dir: dir.to_owned(), reason: other.to_string() })
            }
        }
    }
}

/// The store answers damage in most places with an error and in some with a panic; both mean that
/// the file is not what it was.
fn open_and_read(file: &Path, dir: &Path) -> Result<(Database, Kept), Problem> {
    let attempt = catch_unwind(AssertUnwindSafe(|| {
        let db = Database::create(file).map_err(DatabaseErrorExt::into_error)?;
        let kept = read(&db, dir)?;
        Ok::<_, ReadError>((db, kept))
    }));
    match attempt {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(ReadError::Store(error))) => Err(Problem::of(error, dir)),
        Ok(Err(ReadError::Data(error))) => Err(Problem::Final(error)),
        Err(_) => Err(Problem::Damaged("its pages contradict each other".to_owned())),
    }
}

/// Why a store could not be read.
enum ReadError {
    Store(redb::Error),
    Data(DataError),
}

impl<E: Into<redb::Error>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

/// One conversion that the store's own error type has no name for.
trait DatabaseErrorExt {
    fn into_error(self) -> ReadError;
}

impl DatabaseErrorExt for DatabaseError {
    fn into_error(self) -> ReadError {
        match self {
            Self::RepairAborted => {
                ReadError::Store(redb::Error::Corrupted("it could not be repaired".to_owned()))
            }
            Self::Storage(StorageError::Corrupted(reason)) => {
                ReadError::Store(redb::Error::Corrupted(reason))
            }
            other => ReadError::Store(other.into()),
        }
    }
}

/// A store of a later version is not opened for writing, which alone would change it. Whatever else
/// is wrong with it shows when it is.
fn refuse_newer(file: &Path, dir: &Path) -> Result<(), DataError> {
    let look = || -> Result<u32, ReadError> {
        let db = ReadOnlyDatabase::open(file).map_err(DatabaseErrorExt::into_error)?;
        let meta = db.begin_read()?.open_table(META)?;
        let version = meta.get("version")?;
        Ok(version.map_or(VERSION, |version| version_in(version.value())))
    };
    match catch_unwind(AssertUnwindSafe(look)) {
        Ok(Ok(found)) if found > VERSION => Err(newer(dir, found)),
        _ => Ok(()),
    }
}

/// What is no number is of a version that nobody knows.
fn version_in(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(u32::MAX, u32::from_le_bytes)
}

fn newer(dir: &Path, found: u32) -> DataError {
    DataError::Newer { dir: dir.to_owned(), found, known: VERSION }
}

/// Reads everything, and marks a new store with the version.
fn read(db: &Database, dir: &Path) -> Result<Kept, ReadError> {
    let mut kept = Kept::default();
    let transaction = db.begin_read()?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            drop(transaction);
            initialise(db)?;
            return Ok(kept);
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(version) = meta.get("version")? {
        let found = version_in(version.value());
        if found > VERSION {
            return Err(ReadError::Data(newer(dir, found)));
        }
    }
    if let Some(network) = meta.get("network")? {
        kept.network = Some(String::from_utf8_lossy(network.value()).into_owned());
    }
    if let Some(id) = meta.get("id")? {
        kept.id = Id::from_slice(id.value());
    }
    if let Some(state) = meta.get("state")? {
        kept.state = dated(state.value()).map(|(age, bytes)| (bytes.to_vec(), age));
    }
    for entry in transaction.open_table(RECORDS)?.iter()? {
        let (key, value) = entry?;
        match dated(value.value()) {
            Some((age, bytes)) => {
                kept.records.push((key.value().to_vec(), bytes.to_vec(), age));
            }
            None => kept.damage.push("a record is damaged and was left alone".to_owned()),
        }
    }
    for entry in transaction.open_table(SHARES)?.iter()? {
        let (key, value) = entry?;
        kept.shares.push((key.value().to_owned(), value.value().to_vec()));
    }
    Ok(kept)
}

fn initialise(db: &Database) -> Result<(), ReadError> {
    let transaction = db.begin_write()?;
    transaction.open_table(META)?.insert("version", VERSION.to_le_bytes().as_slice())?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(SHARES)?;
    transaction.commit()?;
    Ok(())
}

/// Bytes with the second of the wall clock in which they were written.
fn date(bytes: &[u8]) -> Vec<u8> {
    let mut dated = unix_seconds().to_le_bytes().to_vec();
    dated.extend_from_slice(bytes);
    dated
}

/// The bytes in what [`date`] made, and their age: zero if the wall clock went back meanwhile.
fn dated(bytes: &[u8]) -> Option<(Duration, &[u8])> {
    let (at, rest) = bytes.split_first_chunk()?;
    let age = unix_seconds().saturating_sub(u64::from_le_bytes(*at));
    Some((Duration::from_secs(age), rest))
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Takes the folder for this process.
fn lock(dir: &Path) -> Result<File, DataError> {
    let path = dir.join("lock");
    let named = |error| DataError::Io { path: path.clone(), error };
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(named)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(DataError::InUse { dir: dir.to_owned(), pid: holder(&mut file) });
        }
        Err(TryLockError::Error(error)) => return Err(named(error)),
    }
    file.set_len(0).map_err(named)?;
    file.rewind().map_err(named)?;
    write!(file, "{}", std::process::id()).map_err(named)?;
    Ok(file)
}

/// The process that has a folder at present, if one has: its id as far as it said.
pub(crate) fn in_use_by(dir: &Path) -> Option<Option<u32>> {
    let mut file = File::open(dir.join("lock")).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(holder(&mut file)),
        _ => None,
    }
}

fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Gives a file a name that no other file has.
fn move_aside(file: &Path) -> io::Result<PathBuf> {
    for number in 1..MOST_DAMAGED {
        let aside = file.with_extension(format!("redb.damaged-{number}"));
        if !aside.exists() {
            fs::rename(file, &aside)?;
            return Ok(aside);
        }
    }
    Err(io::Error::other("too many damaged files lie beside it"))
}

#[cfg(test)]
mod tests;
