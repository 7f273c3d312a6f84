//! What this machine offers: files that are hashed once and checked whenever they are served.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use hyper::body::Bytes;
use kadlet_core::content::{ContentId, HashList, HashListBuilder};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::{listeners, server};
use crate::error::{StartError, out_of_descriptors};
use crate::tcp;

/// Read at once while hashing.
const BLOCK: usize = 256 << 10;

/// Files that change while they are hashed are hashed again, this often.
const ATTEMPTS: u32 = 3;

/// Least time between two times that a lack of descriptors is said.
const STARVED_INTERVAL: Duration = Duration::from_secs(60);

/// Something that can be served: its hash list, and where its bytes come from.
///
/// Implemented by files; a host that keeps content elsewhere implements it for that.
pub trait Content: Send + Sync + 'static {
    /// The list that its bytes are checked against by whoever fetches it.
    fn list(&self) -> &HashList;

    /// The bytes of one range, which lies within one piece.
    ///
    /// # Errors
    /// They cannot be read, or are not what they were when the list was made.
    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>>;
}

/// A file as it was when it was hashed.
#[derive(Debug)]
pub struct SharedFile {
    path: PathBuf,
    list: HashList,
    stamp: Stamp,
}

/// What tells that a file has been written to since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { len: metadata.len(), modified: metadata.modified().ok() })
    }
}

impl SharedFile {
    /// Reads and hashes a file; takes as long as reading it does. `progress` is told how many
    /// bytes were hashed since the last call.
    ///
    /// # Errors
    /// It is missing, unreadable, no regular file, or does not stop changing.
    pub fn hash(path: &Path, mut progress: impl FnMut(u64)) -> Result<Self, ShareError> {
        let error = |kind| ShareError { path: path.to_owned(), kind };
        let metadata = std::fs::metadata(path).map_err(|refusal| {
            error(match std::fs::read_link(path) {
                Ok(target) => ShareProblem::BrokenLink(target, refusal),
                Err(_) => ShareProblem::Io(refusal),
            })
        })?;
        if !metadata.is_file() {
            return Err(error(ShareProblem::NotAFile));
        }
        for _ in 0..ATTEMPTS {
            let mut file = File::open(path).map_err(|it| error(ShareProblem::Io(it)))?;
            let before = Stamp::of(&file).map_err(|it| error(ShareProblem::Io(it)))?;
            let mut builder = HashListBuilder::new();
            let mut block = vec![0; BLOCK];
            loop {
                let read = file.read(&mut block).map_err(|it| error(ShareProblem::Io(it)))?;
                if read == 0 {
                    break;
                }
                builder.update(&block[..read]);
                progress(read as u64);
            }
            let after = Stamp::of(&file).map_err(|it| error(ShareProblem::Io(it)))?;
            let list = builder.finish();
            if before == after && list.size() == after.len {
                return Ok(Self { path: path.to_owned(), list, stamp: after });
            }
        }
        Err(error(ShareProblem::Changing))
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> ContentId {
        self.list.id()
    }

    /// Its size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.list.size()
    }
}

impl Content for SharedFile {
    fn list(&self) -> &HashList {
        &self.list
    }

    /// A piece that no longer has its hash is not served, whatever the time stamp says.
    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let changed = || io::Error::other("the file has changed since it was shared");
        let file = File::open(&self.path)?;
        if Stamp::of(&file)? != self.stamp {
            return Err(changed());
        }
        let index =
            u32::try_from(range.start / kadlet_core::content::PIECE_LEN).map_err(|_| changed())?;
        let piece = self.list.range(index).ok_or_else(changed)?;
        let mut bytes = vec![0; usize::try_from(piece.end - piece.start).map_err(|_| changed())?];
        read_exact_at(&file, &mut bytes, piece.start)?;
        if !self.list.verify_piece(index, &bytes) {
            return Err(changed());
        }
        let from = usize::try_from(range.start - piece.start).map_err(|_| changed())?;
        let to = usize::try_from(range.end - piece.start).map_err(|_| changed())?;
        bytes.truncate(to);
        Ok(bytes.split_off(from))
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(not(unix))]
fn read_exact_at(mut file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    use std::io::Seek as _;
    file.seek(io::SeekFrom::Start(at))?;
    file.read_exact(bytes)
}

/// Why a file cannot be shared.
#[derive(Debug)]
pub struct ShareError {
    path: PathBuf,
    kind: ShareProblem,
}

#[derive(Debug)]
enum ShareProblem {
    Io(io::Error),
    BrokenLink(PathBuf, io::Error),
    NotAFile,
    Changing,
}

impl fmt::Display for ShareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            ShareProblem::Io(error) if out_of_descriptors(error) => {
                write!(f, "{path}: {}", StartError::NoDescriptors)
            }
            ShareProblem::Io(error) => write!(f, "{path}: {error}"),
            ShareProblem::BrokenLink(target, error) => {
                write!(f, "{path}: a link to {}: {error}", target.display())
            }
            ShareProblem::NotAFile => write!(f, "{path}: neither a file nor a folder"),
            ShareProblem::Changing => {
                write!(f, "{path}: it is being written to; share it when that has ended")
            }
        }
    }
}

impl core::error::Error for ShareError {}

/// The server and what it serves. Ends when the last clone is dropped.
#[derive(Clone)]
pub struct Shares {
    shelf: Arc<Shelf>,
    addr: SocketAddr,
    addrs: Arc<[SocketAddr]>,
    _server: Arc<Server>,
}

/// What is served, by its id.
pub(super) struct Shelf {
    contents: RwLock<BTreeMap<ContentId, Shelved>>,
    withdrawn: Mutex<Vec<mpsc::UnboundedSender<ContentId>>>,
    served: Mutex<u64>,
    starved: watch::Sender<Option<Instant>>,
}

/// A content, and its list as it is sent: once in memory, however many ask for it.
struct Shelved {
    content: Arc<dyn Content>,
    list: OnceLock<Bytes>,
}

struct Server(AbortHandle);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shares").field("addrs", &self.addrs).finish_non_exhaustive()
    }
}

impl Shares {
    /// Serves over HTTP at `listen`; port 0 is any free one.
    ///
    /// # Errors
    /// The address is taken, not of this machine, or no descriptors are left.
    pub async fn listen(listen: SocketAddr) -> Result<Self, StartError> {
        Self::listen_all(&[listen]).await
    }

    /// Serves over HTTP at several addresses and one port, which an announcement names for all of
    /// a node's sockets: the one that the addresses have, or any that is free at each of them.
    ///
    /// # Errors
    /// There are two ports or no address among them, one is taken, not of this machine, or no
    /// descriptors are left.
    pub async fn listen_all(listen: &[SocketAddr]) -> Result<Self, StartError> {
        let listeners = listeners::at_one_port(listen, tcp::listen)?;
        let addr = |listener: &TcpListener| {
            listener.local_addr().map_err(|error| StartError::socket(listeners::NOWHERE, error))
        };
        let addrs = listeners.iter().map(addr).collect::<Result<Arc<[_]>, _>>()?;
        let shelf = Arc::new(Shelf::new());
        let task = tokio::spawn(server::serve(listeners, Arc::clone(&shelf), server::STALLED));
        let addr = addrs.first().copied().unwrap_or(listeners::NOWHERE);
        Ok(Self { shelf, addr, addrs, _server: Arc::new(Server(task.abort_handle())) })
    }

    /// Where it is served: the first of the addresses.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it is served: all of the addresses, which have one port.
    #[must_use]
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Serves by the data channels of this node as well: what is added is to be had from its address.
    #[cfg(feature = "webrtc")]
    pub fn serve_by_channel(&self, dht: &crate::Dht) {
        dht.serve_by_channel(super::channel::Shelves::new(Arc::clone(&self.shelf)));
    }

    /// Serves this content from now on.
    pub fn add(&self, content: Arc<dyn Content>) {
        self.shelf.add(content);
    }

    /// Serves it no longer.
    pub fn remove(&self, id: ContentId) {
        self.shelf.write().remove(&id);
    }

    /// The ids of contents that were found changed when somebody asked for them, and are not served
    /// any more: to be hashed again, or withdrawn. None of them is lost, and no more of them wait
    /// than were added.
    #[must_use]
    pub fn withdrawn(&self) -> mpsc::UnboundedReceiver<ContentId> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.shelf.withdrawn.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    /// When connections or files had to wait because the process may open no further files; changes
    /// once a minute at most while that goes on.
    #[must_use]
    pub fn starved(&self) -> watch::Receiver<Option<Instant>> {
        self.shelf.starved.subscribe()
    }

    /// Bytes of content served so far.
    #[must_use]
    pub fn bytes_served(&self) -> u64 {
        *self.shelf.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    pub(super) fn new() -> Self {
        Self {
            contents: RwLock::default(),
            withdrawn: Mutex::default(),
            served: Mutex::default(),
            starved: watch::channel(None).0,
        }
    }

    pub(super) fn add(&self, content: Arc<dyn Content>) {
        let id = content.list().id();
        self.write().insert(id, Shelved { content, list: OnceLock::new() });
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<ContentId, Shelved>> {
        self.contents.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, id: ContentId, take: impl FnOnce(&Shelved) -> T) -> Option<T> {
        self.contents.read().unwrap_or_else(PoisonError::into_inner).get(&id).map(take)
    }

    pub(super) fn get(&self, id: ContentId) -> Option<Arc<dyn Content>> {
        self.with(id, |shelved| Arc::clone(&shelved.content))
    }

    /// The list of a content's hashes, encoded.
    pub(super) fn list(&self, id: ContentId) -> Option<Bytes> {
        let encoded = |content: &Arc<dyn Content>| content.list().encode().into();
        self.with(id, |Shelved { content, list }| list.get_or_init(|| encoded(content)).clone())
    }

    /// A content that cannot be read as it was is not offered any more.
    pub(super) fn withdraw(&self, id: ContentId) {
        if self.write().remove(&id).is_some() {
            // Nobody listens: then nobody hashes it again.
            let mut listeners = self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner);
            listeners.retain(|listener| listener.send(id).is_ok());
        }
    }

    /// There was no descriptor.
    pub(super) fn starve(&self) {
        self.starved.send_if_modified(|last| {
            let news = last.is_none_or(|last| last.elapsed() >= STARVED_INTERVAL);
            if news {
                *last = Some(Instant::now());
            }
            news
        });
    }

    pub(super) fn count(&self, bytes: usize) {
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) += bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Empty(HashList);

    impl Content for Empty {
        fn list(&self) -> &HashList {
            &self.0
        }

        fn read(&self, _: Range<u64>) -> io::Result<Vec<u8>> {
            Ok(Vec::new())
        }
    }

    /// A folder whose every file is written to while nobody has time to hash any of them again.
    #[tokio::test]
    async fn every_content_that_has_changed_is_said() {
        let shares = Shares::listen(([127, 0, 0, 1], 0).into()).await.expect("a port");
        let mut withdrawn = shares.withdrawn();
        drop(shares.withdrawn());
        let mut ids = Vec::new();
        for number in 0..1_000_u32 {
            let mut builder = HashListBuilder::new();
            builder.update(&number.to_le_bytes());
            let list = builder.finish();
            ids.push(list.id());
            shares.add(Arc::new(Empty(list)));
        }
        for id in &ids {
            shares.shelf.withdraw(*id);
        }
        let mut said = Vec::new();
        while let Ok(id) = withdrawn.try_recv() {
            said.push(id);
        }
        assert!(said == ids, "{} of {} are said", said.len(), ids.len());
    }
}
