//! `kadlet share`: files and folders, served and announced until stopped.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::cell::RefCell;
use core::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use kadlet::core::content::{ContentId, HashListBuilder, Link};
use kadlet::core::{Announcement, Event, OperationId};
use kadlet::{DataError, Dht, Error, Publication, ShareError, SharedFile, Shares};
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::UnboundedReceiver;

use super::node::{join, listening, tell};
use super::status;
use crate::cli::{Common, listen_address};
use crate::codes::{Code, Warning};
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Bar;
use crate::session;
use crate::stop::Stop;
use crate::tree::{Tree, TreeError, TreeFile};

mod forget;
mod kept;

use kept::Kept;

/// Share files and folders until stopped
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kadlet share song.flac --bootstrap 192.168.1.5:4000\n  \
                        kadlet share ~/Music --data ~/.kadlet\n\n\
                        A folder gets a link for each file and one for all of it. With --data and \
                        no file, what was shared before is shared again, until it is forgotten:\n  \
                        kadlet share --forget ~/Music --data ~/.kadlet")]
pub(crate) struct Options {
    /// Files and folders
    #[arg(value_name = "FILE", required_unless_present = "data")]
    files: Vec<PathBuf>,
    /// Whoever has the link can fetch, and nobody finds it by words
    #[arg(long)]
    unlisted: bool,
    /// Share these no more at the next start with this --data, and end; no node may work with it
    #[arg(long, requires = "files", requires = "data")]
    #[arg(conflicts_with_all = ["unlisted", "http"])]
    forget: bool,
    /// Where to serve the bytes over HTTP; can be given several times, with one port [default: the
    /// node's own addresses, any free port]
    #[arg(long, value_name = "IP:PORT", value_parser = listen_address)]
    http: Vec<SocketAddr>,
    /// Serve pages by data channels as well, which reach them through NATs
    #[cfg(feature = "webrtc")]
    #[arg(long, conflicts_with = "forget")]
    webrtc: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    session::needs_own_network(&options.common, "files, it is for torrents")?;
    needs_one_port(&options.http)?;
    if options.forget {
        return forget::run(&options.files, &options.common, output);
    }
    let mut stop = Stop::listen();
    let output = output.of_work();
    let common = &options.common;
    let mut builder = session::builder(common);
    #[cfg(feature = "webrtc")]
    {
        builder = builder.webrtc(options.webrtc);
    }
    if let Some(dir) = &common.data {
        builder = builder.data(dir);
    }
    let dht = session::start(builder, output).await?;
    let mut here = options.http.clone();
    if here.is_empty() {
        // Beside each of the node's sockets: they announce one port, whoever hears it from which.
        here.extend_from_slice(dht.bound_addrs());
        here.iter_mut().for_each(|address| address.set_port(0));
    }
    let shares = Shares::listen_all(&here).await?;
    #[cfg(feature = "webrtc")]
    if options.webrtc {
        shares.serve_by_channel(&dht);
    }
    status::begin(&dht, common, output).await;
    listening(&dht, output);
    let result = tokio::select! {
        result = serve(&dht, &shares, &options, output) => result,
        () = status::keep(&dht, common, output) => Ok(()),
        () = watch_descriptors(&shares, output) => Ok(()),
        () = stop.requested() => Ok(()),
    };
    dht.stop().await;
    if let Some(dir) = &common.data {
        status::remove(dir);
    }
    result
}

/// Refuses what no announcement could say.
fn needs_one_port(http: &[SocketAddr]) -> Result<(), Failure> {
    let mut ports = http.iter().map(SocketAddr::port).filter(|port| *port != 0);
    let port = ports.next();
    if ports.all(|other| Some(other) == port) {
        return Ok(());
    }
    let text =
        "two ports with --http: announcements name one for all addresses, give each the same";
    Err(Failure::new(Code::Usage, text))
}

/// Says when others have to wait for a lack of ours.
async fn watch_descriptors(shares: &Shares, output: Output) {
    let mut starved = shares.starved();
    while starved.changed().await.is_ok() {
        output.warning(
            Warning::NoDescriptors,
            "no file descriptors are left: whoever fetches from here has to wait; raise the limit \
             (ulimit -n 4096)",
        );
    }
    core::future::pending().await
}

async fn serve(
    dht: &Dht,
    shares: &Shares,
    options: &Options,
    output: Output,
) -> Result<(), Failure> {
    // What becomes known while it joins is told below.
    let notices = dht.notices();
    join(dht, &options.common, output).await?;
    if dht.kept_shares().is_empty() && !options.unlisted {
        output.note(
            "From now on the names of these files and this machine's address are public. \
             --unlisted publishes no names.",
        );
    }
    let http = Announcement::http(shares.addr().port());
    #[cfg(feature = "webrtc")]
    let by_channel = options.webrtc.then(Announcement::data_channel);
    #[cfg(not(feature = "webrtc"))]
    let by_channel = None;
    let announcements = core::iter::once(http).chain(by_channel).collect();
    let shared = RefCell::default();
    let sharer = Sharer { dht, shares, output, announcements, shared };
    // Hashing can take hours, in which what is shared already changes.
    let sharing = sharer.share_all(options);
    let attending = sharer.attend(shares.withdrawn(), notices);
    tokio::pin!(sharing, attending);
    tokio::select! {
        // A publication is remembered before what becomes of it is heard.
        biased;
        shared = &mut sharing => {
            if !shared {
                return Err(Failure::new(Code::NothingShared, "nothing could be shared"));
            }
        }
        () = &mut attending => return Ok(()),
    }
    attending.await;
    Ok(())
}

/// What is shared, and how it is withdrawn.
struct Sharer<'a> {
    dht: &'a Dht,
    shares: &'a Shares,
    output: Output,
    /// How it is to be had.
    announcements: Vec<Announcement>,
    /// Files with the same bytes are one content. Borrowed for a moment at a time: one task shares
    /// the next while it attends to what is shared.
    shared: RefCell<BTreeMap<ContentId, Vec<Shared>>>,
}

/// One file or folder that is announced, or about to be.
struct Shared {
    path: PathBuf,
    listed: bool,
    operations: Vec<OperationId>,
}

impl Sharer<'_> {
    /// Shares what was kept and what is given; whether anything could be.
    async fn share_all(&self, options: &Options) -> bool {
        let mut any = false;
        let mut given = Vec::new();
        for path in &options.files {
            match kept::plain(path) {
                Ok(path) if given.contains(&path) => {}
                Ok(path) => given.push(path),
                Err(error) => {
                    let path = path.display();
                    self.output.warning(Warning::Io, format_args!("{path}: {error}"));
                }
            }
        }
        for (path, listed) in Kept::all(self.dht.kept_shares()) {
            if !given.contains(&path) {
                // One that cannot be shared stays kept: its disk may be back next time. What was
                // unlisted does not come into the open by a restart, and nothing does with
                // --unlisted.
                any |= self.share(&path, listed && !options.unlisted).await;
            }
        }
        for path in given {
            any |= self.share_and_keep(&path, !options.unlisted).await;
        }
        any
    }

    /// Sees to what is shared until the node stops.
    async fn attend(
        &self,
        mut withdrawn: UnboundedReceiver<ContentId>,
        mut notices: Receiver<Event>,
    ) {
        loop {
            tokio::select! {
                changed = withdrawn.recv() => match changed {
                    Some(id) => self.changed(id).await,
                    None => return,
                },
                notice = notices.recv() => match notice {
                    Ok(Event::Renewed { operation, stored, .. }) => self.renewed(operation, stored),
                    Ok(notice) => tell(&notice, self.output),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    /// Shares it from now on, over restarts: kept before it is said to be shared.
    async fn share_and_keep(&self, path: &Path, listed: bool) -> bool {
        let before = Kept::all(self.dht.kept_shares()).remove(path);
        let mut kept = self.keep(path, listed).await;
        let is_shared = self.share(path, listed).await;
        if !is_shared && kept.is_ok() {
            kept = match before {
                // It stays kept: its disk may be back next time. Whether it is unlisted counts
                // either way, so that nothing comes into the open by a failure.
                Some(before) => self.keep(path, before && listed).await,
                None => self.dht.forget_share(&Kept::key(path)).await,
            };
        }
        if let Err(error) = kept {
            let path = path.display();
            let what = if is_shared {
                "is shared, and would be forgotten at a restart"
            } else {
                "is not shared, and what is kept of it could not be changed"
            };
            self.output.warning(Warning::DataUnwritable, format_args!("{path} {what}: {error}"));
        }
        is_shared
    }

    /// Keeps a share, and nothing else of its path.
    async fn keep(&self, path: &Path, listed: bool) -> Result<(), DataError> {
        let key = Kept::key(path);
        self.dht.keep_share(&key, Kept { path: path.to_owned(), listed }.value()).await?;
        for other in Kept::keys(self.dht.kept_shares(), path).filter(|other| **other != key) {
            self.dht.forget_share(other).await?;
        }
        Ok(())
    }

    /// A file or a folder; what cannot be shared is named, and the others go on.
    async fn share(&self, path: &Path, listed: bool) -> bool {
        let result = if path.is_dir() {
            self.share_folder(path, listed).await
        } else {
            self.share_file(path, listed).await.map(drop).map_err(|error| error.to_string())
        };
        result.map_err(|error| self.output.warning(Warning::NotShared, error)).is_ok()
    }

    async fn share_file(&self, path: &Path, listed: bool) -> Result<Arc<SharedFile>, ShareError> {
        let file = self.hash(path).await?;
        self.offer(path, &file, listed).await;
        Ok(file)
    }

    async fn offer(&self, path: &Path, file: &Arc<SharedFile>, listed: bool) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.shares.add(Arc::<SharedFile>::clone(file));
        self.publish(path, file.id(), file.size(), &name, listed).await;
    }

    async fn hash(&self, path: &Path) -> Result<Arc<SharedFile>, ShareError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bar = Bar::bytes(self.output, &name);
        bar.begin(path.metadata().map_or(0, |metadata| metadata.len()), 0);
        let path = path.to_owned();
        let task = tokio::task::spawn_blocking(move || {
            SharedFile::hash(&path, |bytes| bar.advance(bytes)).map(Arc::new)
        });
        match task.await {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// A large tree, or a disk at a distance, takes its time.
    async fn list(&self, folder: &Path) -> Vec<PathBuf> {
        let (folder, output) = (folder.to_owned(), self.output);
        let task = tokio::task::spawn_blocking(move || {
            let mut files = Vec::new();
            list_files(&folder, &mut files, output);
            files
        });
        match task.await {
            Ok(files) => files,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Every file below, in the order of their paths; links are not followed, for they may lead out
    /// of what the person meant to share.
    async fn share_folder(&self, folder: &Path, listed: bool) -> Result<(), String> {
        let mut tree = Tree::default();
        let mut files = self.list(folder).await;
        // A list that a fetch of the folder left is none of its files: the same files have the same
        // link, whoever shares them.
        files.retain(|path| *path != folder.join(Tree::FILE_NAME) || !Tree::is_at(path));
        let refused =
            |why| format!("{}: {why}: share parts of it by their own names", folder.display());
        if files.len() > Tree::MAX_FILES {
            return Err(refused(TreeError::TooMany));
        }
        // A line has a hash, a size of at most 20 digits, and a path.
        let inside =
            |path: &PathBuf| path.strip_prefix(folder).map_or(0, |it| it.as_os_str().len());
        let line = |path: &PathBuf| inside(path) as u64 + 88;
        if files.iter().map(line).sum::<u64>() > Tree::MAX_LEN {
            return Err(refused(TreeError::TooLong));
        }
        files.sort();
        for path in files {
            match self.share_file(&path, listed).await {
                Ok(file) => {
                    let inside = path.strip_prefix(folder).unwrap_or(&path);
                    let parts: Vec<_> =
                        inside.components().map(|it| it.as_os_str().to_string_lossy()).collect();
                    tree.files.push(TreeFile {
                        id: file.id(),
                        size: file.size(),
                        path: parts.join("/"),
                    });
                }
                Err(error) => self.output.warning(Warning::NotShared, error),
            }
        }
        let text = tree.to_text().into_bytes();
        let mut builder = HashListBuilder::new();
        builder.update(&text);
        let list = builder.finish();
        let (id, size) = (list.id(), list.size());
        self.shares.add(Arc::new(InMemory { list, text }));
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The files have their own search words; the folder is reached by its link.
        self.publish(folder, id, size, &format!("{name}/"), false).await;
        Ok(())
    }

    /// Announces a content and its words, and says its link.
    async fn publish(&self, path: &Path, id: ContentId, size: u64, name: &str, listed: bool) {
        let shared = Shared { path: path.to_owned(), listed, operations: Vec::new() };
        self.shared.borrow_mut().entry(id).or_default().push(shared);
        // What has changed meanwhile has another link, which is said when it is shared.
        for announcement in &self.announcements {
            let announced = self.dht.keep_announced(id.key(), *announcement).await;
            if !self.note(Warning::NotAnnounced, path, id, announced) {
                return;
            }
        }
        if listed {
            let published = self.dht.keep_published(name, size, *id.as_bytes()).await;
            if !self.note(Warning::NotPublished, path, id, published) {
                return;
            }
        }
        let mut link = Link::new(id).with_name(name).with_size(size);
        for addr in self.dht.local_addrs() {
            link = link.with_contact(*addr);
        }
        self.output.event(
            json!({
                "event": "shared",
                "path": path.display().to_string(),
                "link": link.to_string(),
                "size": size,
                "http": self.shares.addr().to_string(),
            }),
            format_args!("{}\n  {link}", path.display()),
        );
    }

    /// Remembers a publication; that nobody took it is said, and tried again by the node. False if
    /// the path has another content by now: then the publication ends.
    fn note(
        &self,
        code: Warning,
        path: &Path,
        id: ContentId,
        published: Result<Publication, Error>,
    ) -> bool {
        let (operation, failed) = match published {
            Ok(Publication { operation, first }) => (Some(operation), first.err()),
            Err(error) => (None, Some(error)),
        };
        let mut all = self.shared.borrow_mut();
        let mut of_id = all.get_mut(&id).into_iter().flatten();
        let Some(shared) = of_id.find(|shared| shared.path == path) else {
            if let Some(operation) = operation {
                self.dht.withdraw(operation);
            }
            return false;
        };
        shared.operations.extend(operation);
        if let Some(error) = failed {
            self.output.warning(code, format_args!("{}: {error}", path.display()));
        }
        true
    }

    /// A publication goes otherwise than the time before.
    fn renewed(&self, operation: OperationId, stored: u32) {
        let of = |shared: &&Shared| shared.operations.contains(&operation);
        let all = self.shared.borrow();
        let Some(shared) = all.values().flatten().find(of) else { return };
        let path = shared.path.display();
        if stored == 0 {
            let message = format_args!("{path}: nobody took it this time; it is tried again");
            return self.output.warning(Warning::NotAnnounced, message);
        }
        self.output.event(
            json!({"event": "announced", "path": path.to_string(), "nodes": stored}),
            format_args!("{path}: known to others now"),
        );
    }

    /// Takes a file or folder out of what is shared.
    fn take(&self, id: ContentId, path: &Path) -> Option<Shared> {
        let mut all = self.shared.borrow_mut();
        let of_id = all.get_mut(&id)?;
        let at = of_id.iter().position(|shared| shared.path == path)?;
        let taken = of_id.remove(at);
        if of_id.is_empty() {
            all.remove(&id);
        }
        Some(taken)
    }

    /// A file is not what it was: what it is now is shared instead. Another one with the same bytes
    /// may still be.
    async fn changed(&self, id: ContentId) {
        let paths = |shared: &Vec<Shared>| shared.iter().map(|it| it.path.clone()).collect();
        let paths: Vec<PathBuf> = self.shared.borrow().get(&id).map(paths).unwrap_or_default();
        for path in paths {
            let result = self.hash(&path).await;
            if let Ok(file) = &result
                && file.id() == id
            {
                self.shares.add(Arc::<SharedFile>::clone(file));
                continue;
            }
            let Some(shared) = self.take(id, &path) else { continue };
            for operation in shared.operations {
                self.dht.withdraw(operation);
            }
            let said = shared.path.display().to_string();
            self.output.event(
                json!({"event": "changed", "path": said}),
                format_args!("{said} has changed: what it is now is shared"),
            );
            match result {
                Ok(file) => self.offer(&shared.path, &file, shared.listed).await,
                Err(error) => self.output.warning(Warning::Withdrawn, error),
            }
        }
    }
}

/// A content that is no file: the list of a folder.
struct InMemory {
    list: kadlet::core::content::HashList,
    text: Vec<u8>,
}

impl kadlet::Content for InMemory {
    fn list(&self) -> &kadlet::core::content::HashList {
        &self.list
    }

    fn read(&self, range: core::ops::Range<u64>) -> std::io::Result<Vec<u8>> {
        let outside = || std::io::Error::other("outside of the list");
        let start = usize::try_from(range.start).map_err(std::io::Error::other)?;
        let end = usize::try_from(range.end).map_err(std::io::Error::other)?;
        self.text.get(start..end).map(<[u8]>::to_vec).ok_or_else(outside)
    }
}

fn list_files(folder: &Path, files: &mut Vec<PathBuf>, output: Output) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            return output
                .warning(Warning::NotShared, format_args!("{}: {error}", folder.display()));
        }
    };
    for entry in entries {
        let (path, kind) = match entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))) {
            Ok(entry) => entry,
            Err(error) => {
                output.warning(Warning::NotShared, format_args!("{}: {error}", folder.display()));
                continue;
            }
        };
        if kind.is_dir() {
            list_files(&path, files, output);
        } else if kind.is_file() {
            files.push(path);
        } else {
            let problem = if kind.is_symlink() {
                "a link, which could lead anywhere: share what it leads to by its own name"
            } else {
                "neither a file nor a folder"
            };
            output.warning(Warning::NotShared, format_args!("{}: {problem}", path.display()));
        }
    }
}
