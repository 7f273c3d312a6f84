//! What is shared: hashed, announced and said, kept over restarts, and withdrawn when it changes.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::cell::RefCell;
use core::time::Duration;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use kadlet::core::content::{ContentId, HashListBuilder, Link};
use kadlet::core::{Announcement, Event, OperationId};
use kadlet::{Content, DataError, Dht, Error, Publication, ShareError, SharedFile, Shares};
use serde_json::json;
use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Options;
use super::kept::{Kept, plain};
use crate::codes::Warning;
use crate::commands::node::tell;
use crate::output::Output;
use crate::progress::Bar;
use crate::tree::{Tree, TreeError, TreeFile};

/// Publications at once. What they take is the time until nodes that are gone have not answered:
/// one after the other, a folder of some thousand files would take an hour.
const PUBLICATIONS: usize = 16;

/// From the first change in a folder to its new list: whoever fetches the folder finds one changed
/// file after the other, and each list is a link of its own.
const GATHER: Duration = Duration::from_secs(5);

/// What is shared, and how it is withdrawn.
pub(super) struct Sharer<'a> {
    pub(super) dht: &'a Dht,
    pub(super) shares: &'a Shares,
    pub(super) output: Output,
    /// How it is to be had.
    pub(super) announcements: Vec<Announcement>,
    /// Files with the same bytes are one content. Borrowed for a moment at a time: one task shares
    /// the next while it attends to what is shared.
    pub(super) shared: RefCell<BTreeMap<ContentId, Vec<Shared>>>,
    /// What is served and not published yet, in the order of its turns.
    pub(super) waiting: RefCell<VecDeque<Place>>,
    /// Something has begun to wait.
    pub(super) queued: Notify,
}

/// One of what is shared.
type Place = (ContentId, Arc<Path>);

/// One file or folder that is announced, or about to be.
pub(super) struct Shared {
    path: Arc<Path>,
    size: u64,
    listed: bool,
    kind: Kind,
    operations: Vec<OperationId>,
}

/// What it is that is shared.
#[derive(Clone)]
enum Kind {
    /// A file by its own name.
    File,
    /// A file of this folder, which is the same wherever it is held.
    FileOf(Arc<Path>),
    /// A folder: its list.
    Folder,
}

impl Sharer<'_> {
    /// Shares what was kept and what is given; whether anything could be.
    pub(super) async fn share_all(&self, options: &Options) -> bool {
        let mut any = false;
        let mut given = Vec::new();
        for path in &options.files {
            match plain(path) {
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
    pub(super) async fn attend(
        &self,
        mut withdrawn: UnboundedReceiver<ContentId>,
        mut notices: Receiver<Event>,
    ) {
        let mut stale = BTreeSet::new();
        let gathered = tokio::time::sleep(GATHER);
        tokio::pin!(gathered);
        loop {
            tokio::select! {
                changed = withdrawn.recv() => match changed {
                    Some(id) => {
                        let was_stale = !stale.is_empty();
                        self.changed(id, &mut stale).await;
                        if !was_stale {
                            gathered.as_mut().reset(tokio::time::Instant::now() + GATHER);
                        }
                    }
                    None => return,
                },
                () = &mut gathered, if !stale.is_empty() => {
                    for folder in core::mem::take(&mut stale) {
                        self.list_anew(folder);
                    }
                }
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
            self.share_file(path, listed, Kind::File).await.map_err(|error| error.to_string())
        };
        result.map_err(|error| self.output.warning(Warning::NotShared, error)).is_ok()
    }

    async fn share_file(&self, path: &Path, listed: bool, kind: Kind) -> Result<(), ShareError> {
        let file = self.hash(path).await?;
        self.offer(path.into(), file, listed, kind);
        Ok(())
    }

    /// Serves a content from now on, and has it published when its turn comes.
    fn offer(&self, path: Arc<Path>, content: Arc<dyn Content>, listed: bool, kind: Kind) {
        let (id, size) = (content.list().id(), content.list().size());
        self.shares.add(content);
        let place = (id, Arc::clone(&path));
        // Its link leads to all of the files, whether they have had their turns or not.
        let is_first = matches!(kind, Kind::Folder);
        let shared = Shared { path, size, listed, kind, operations: Vec::new() };
        self.shared.borrow_mut().entry(id).or_default().push(shared);
        let mut waiting = self.waiting.borrow_mut();
        if is_first {
            waiting.push_front(place);
        } else {
            waiting.push_back(place);
        }
        self.queued.notify_one();
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
        let folder: Arc<Path> = folder.into();
        for path in files {
            let kind = Kind::FileOf(Arc::clone(&folder));
            if let Err(error) = self.share_file(&path, listed, kind).await {
                self.output.warning(Warning::NotShared, error);
            }
        }
        // As many of the files as there is room for have their turns before it.
        tokio::task::yield_now().await;
        let list = Arc::new(self.list_of(&folder));
        // The files have their own search words; the folder is reached by its link.
        self.offer(folder, list, false, Kind::Folder);
        Ok(())
    }

    /// The list of a folder's files as they are shared now, in the order of their paths.
    fn list_of(&self, folder: &Arc<Path>) -> InMemory {
        let mut files = Vec::new();
        for (id, of_id) in &*self.shared.borrow() {
            let of_folder = |kind: &_| matches!(kind, Kind::FileOf(it) if Arc::ptr_eq(it, folder));
            let of_folder = of_id.iter().filter(|shared| of_folder(&shared.kind));
            files.extend(of_folder.map(|shared| (Arc::clone(&shared.path), *id, shared.size)));
        }
        files.sort();
        let file = |(path, id, size): (Arc<Path>, _, _)| {
            let inside = path.strip_prefix(&**folder).unwrap_or(&path);
            let parts: Vec<_> =
                inside.components().map(|it| it.as_os_str().to_string_lossy()).collect();
            TreeFile { id, size, path: parts.join("/") }
        };
        let tree = Tree { files: files.into_iter().map(file).collect() };
        let text = tree.to_text().into_bytes();
        let mut builder = HashListBuilder::new();
        builder.update(&text);
        InMemory { list: builder.finish(), text }
    }

    /// Publishes what is shared, several at once, and says the links in the order in which that was
    /// begun. Goes on until the node stops.
    pub(super) async fn publish_all(&self) {
        let mut running = FuturesOrdered::new();
        loop {
            while running.len() < PUBLICATIONS {
                let Some(place) = self.waiting.borrow_mut().pop_front() else { break };
                running.push_back(self.publish(place));
            }
            tokio::select! {
                biased;
                Some(place) = running.next() => self.say(&place),
                () = self.queued.notified() => {}
            }
        }
    }

    /// Announces a content and its words.
    async fn publish(&self, place: Place) -> Place {
        let (id, path) = &place;
        let of = |shared: &Shared| (shared.name(), shared.size, shared.listed);
        // What has changed meanwhile has another link, which is said when it is shared.
        let Some((name, size, listed)) = self.look(&place, of) else { return place };
        let announcing = async {
            for announcement in &self.announcements {
                let announced = self.dht.keep_announced(id.key(), *announcement).await;
                if !self.note(Warning::NotAnnounced, path, *id, announced) {
                    return;
                }
            }
        };
        let publishing = async {
            if listed {
                let published = self.dht.keep_published(&name, size, *id.as_bytes()).await;
                self.note(Warning::NotPublished, path, *id, published);
            }
        };
        tokio::join!(biased; announcing, publishing);
        place
    }

    /// Says the link of what was published and has not changed meanwhile.
    fn say(&self, place: &Place) {
        let (id, path) = place;
        let Some((name, size)) = self.look(place, |shared| (shared.name(), shared.size)) else {
            return;
        };
        let mut link = Link::new(*id).with_name(&name).with_size(size);
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

    /// Says that a link leads nowhere any more, and that another one follows.
    fn say_changed(&self, path: &Path) {
        let path = path.display().to_string();
        self.output.event(
            json!({"event": "changed", "path": path}),
            format_args!("{path} has changed: what it is now is shared"),
        );
    }

    /// What is at a place; none if that has another content by now.
    fn look<T>(&self, (id, path): &Place, look: impl FnOnce(&Shared) -> T) -> Option<T> {
        self.shared.borrow().get(id)?.iter().find(|shared| shared.path == *path).map(look)
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
        let Some(shared) = of_id.find(|shared| *shared.path == *path) else {
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

    /// Takes a file or folder out of what is shared and renewed.
    fn take(&self, id: ContentId, path: &Path) -> Option<Shared> {
        let mut all = self.shared.borrow_mut();
        let of_id = all.get_mut(&id)?;
        let at = of_id.iter().position(|shared| *shared.path == *path)?;
        let taken = of_id.remove(at);
        if of_id.is_empty() {
            all.remove(&id);
        }
        for operation in &taken.operations {
            self.dht.withdraw(*operation);
        }
        Some(taken)
    }

    /// A file is not what it was: what it is now is shared instead. Another one with the same bytes
    /// may still be. The lists of the folders that it is in become stale.
    async fn changed(&self, id: ContentId, stale: &mut BTreeSet<Arc<Path>>) {
        let paths = |of_id: &Vec<Shared>| of_id.iter().map(|it| Arc::clone(&it.path)).collect();
        let paths: Vec<Arc<Path>> = self.shared.borrow().get(&id).map(paths).unwrap_or_default();
        for path in paths {
            let result = self.hash(&path).await;
            if let Ok(file) = &result
                && file.id() == id
            {
                self.shares.add(Arc::<SharedFile>::clone(file));
                continue;
            }
            let Some(shared) = self.take(id, &path) else { continue };
            if let Kind::FileOf(folder) = &shared.kind {
                stale.insert(Arc::clone(folder));
            }
            match result {
                Ok(file) => {
                    self.say_changed(&path);
                    self.offer(path, file, shared.listed, shared.kind);
                }
                Err(error) => self.output.warning(Warning::Withdrawn, error),
            }
        }
    }

    /// Shares the list of a folder's files as they are now instead of the one whose link leads to
    /// some that are not there any more.
    fn list_anew(&self, folder: Arc<Path>) {
        let is_its = |shared: &Shared| matches!(shared.kind, Kind::Folder) && shared.path == folder;
        let of = |(id, of_id): (&ContentId, &Vec<Shared>)| of_id.iter().any(is_its).then_some(*id);
        // One whose files are still being hashed has no list yet.
        let Some(before) = self.shared.borrow().iter().find_map(of) else { return };
        let list = Arc::new(self.list_of(&folder));
        if list.list.id() == before {
            return;
        }
        self.take(before, &folder);
        // Another folder with the same files has the same list.
        if !self.shared.borrow().contains_key(&before) {
            self.shares.remove(before);
        }
        self.say_changed(&folder);
        self.offer(folder, list, false, Kind::Folder);
    }
}

impl Shared {
    /// What it is called in its link and its words.
    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        if matches!(self.kind, Kind::Folder) { format!("{name}/") } else { name.into_owned() }
    }
}

/// A content that is no file: the list of a folder.
struct InMemory {
    list: kadlet::core::content::HashList,
    text: Vec<u8>,
}

impl Content for InMemory {
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
