//! `kadlet get`: a file by its link, from several providers at once.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use kadlet::core::content::{ContentId, Link, Rejection, RequestFailure, safe_file_name};
use kadlet::{Dht, FetchFailure, FetchOptions, FetchProgress, Fetched, HostPort, SharedFile};
use serde_json::json;

use crate::cli::Common;
use crate::codes::Code;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Bar;
use crate::session;
use crate::stop::Stop;
use crate::tree::{Tree, TreeError, TreeFile};

/// Fetch a file, or a shared folder, by its link
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kadlet get 'magnet:?xt=urn:blake3:…&dn=song.flac&x.pe=192.168.1.5:4000'\n  \
                        kadlet get LINK -o ~/Music/song.flac\n\n\
                        Every piece is verified. An interrupted fetch goes on where it was."
)]
pub(crate) struct Options {
    /// The link, as kadlet share or kadlet search printed it; quote it for the shell
    link: Link,
    /// Where to put it: a name, or a folder that is there [default: the name in the link, here]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    session::needs_own_network(&options.common, "files, it is for torrents")?;
    let mut stop = Stop::listen();
    let output = output.of_work();
    let link = &options.link;
    let target = target(link, options.output.as_deref())?;
    let contacts: Vec<HostPort> = link.contacts().iter().map(|it| HostPort::from(*it)).collect();
    let interrupted = "interrupted: the same command goes on where it was";
    let interrupted = || Err(Failure::new(Code::Interrupted, interrupted));
    let dht = tokio::select! {
        dht = session::client(&options.common, &contacts, output) => dht?,
        () = stop.requested() => return interrupted(),
    };
    let result = tokio::select! {
        result = fetch_link(&dht, link, &target, output) => result,
        () = stop.requested() => interrupted(),
    };
    dht.stop().await;
    result
}

async fn fetch_link(dht: &Dht, link: &Link, target: &Path, output: Output) -> Result<(), Failure> {
    if Tree::is_named_by(link) {
        return fetch_tree(dht, link, target, output).await;
    }
    let options = FetchOptions::default();
    let fetched = fetch_one(dht, link.id(), link.size(), target, options, output).await;
    fetched.map(drop).map_err(failure)
}

/// A shared folder: its list first, then the files that are not there yet.
async fn fetch_tree(dht: &Dht, link: &Link, target: &Path, output: Output) -> Result<(), Failure> {
    let _made = Made::folder(target).map_err(|error| Failure::io(target.display(), &error))?;
    let list = target.join(Tree::FILE_NAME);
    if !list.exists() {
        let mut options = FetchOptions::default();
        options.config.max_size = Tree::MAX_LEN;
        let fetched = fetch_one(dht, link.id(), link.size(), &list, options, output).await;
        fetched.map_err(failure)?;
    }
    let tree = read_tree(&list, link.id())?;
    let mut missing = None;
    let mut whole = Whole::default();
    let mut gone = Gone::default();
    let mut later = Vec::new();
    for (file, path) in tree.files.iter().zip(tree.paths_in(target)) {
        // A list that somebody shared along with the rest: this folder's own is there.
        if path == list {
            continue;
        }
        if is_there(&path, file).await {
            whole.add(file, None);
            continue;
        }
        if path != file.path_in(target) {
            // Escaped: it is a stranger's.
            output.note(format_args!(
                "{:?}: another file of the folder has its name here; it becomes {}",
                file.path,
                path.display()
            ));
        }
        if let Err(error) = path.parent().map_or(Ok(()), std::fs::create_dir_all) {
            let failure = Failure::io(path.display(), &error);
            output.partial_failure(path.display(), &failure);
            missing = Some(failure);
            continue;
        }
        match fetch_file(dht, file, &path, FetchOptions::default(), &mut gone, output).await {
            Ok(fetched) => whole.add(file, Some(&fetched)),
            Err(FetchFailure::AllDropped(dropped)) if dropped.iter().any(Gone::is_gone) => {
                later.push((file, path));
            }
            // One file that nobody has, or that has no place, does not keep the others back.
            Err(error) => {
                let failure = failure(error);
                output.partial_failure(path.display(), &failure);
                missing = Some(failure);
            }
        }
    }
    // Who was gone may be back by now: one try finds out.
    let mut gone = Gone::default();
    for (file, path) in later {
        let mut options = FetchOptions::default();
        options.config.failures = 1;
        match fetch_file(dht, file, &path, options, &mut gone, output).await {
            Ok(fetched) => whole.add(file, Some(&fetched)),
            Err(error) => {
                let failure = failure(error);
                output.partial_failure(path.display(), &failure);
                missing = Some(failure);
            }
        }
    }
    if let Some(missing) = missing {
        return Err(missing);
    }
    whole.say(target, output);
    Ok(())
}

/// A folder that we have made, which goes where nothing came into it.
struct Made<'a>(Option<&'a Path>);

impl<'a> Made<'a> {
    fn folder(path: &'a Path) -> std::io::Result<Self> {
        match std::fs::create_dir(path) {
            Ok(()) => Ok(Self(Some(path))),
            Err(_) if path.is_dir() => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            // It stays where something is in it.
            let _ = std::fs::remove_dir(path);
        }
    }
}

/// Providers that could not be reached or stayed silent: what took seconds to find out for one file
/// holds for the next ones, of which there can be thousands.
#[derive(Default)]
struct Gone(BTreeMap<SocketAddr, Rejection>);

impl Gone {
    /// As many as one fetch knows: a stranger can name any number.
    const MAX: usize = 1024;

    fn is_gone((_, reason): &(SocketAddr, Rejection)) -> bool {
        use RequestFailure::{Silent, Unreachable};
        matches!(reason, Rejection::Failing(Unreachable | Silent))
    }

    /// Remembers those among the dropped.
    fn note(&mut self, dropped: &[(SocketAddr, Rejection)]) {
        let room = Self::MAX.saturating_sub(self.0.len());
        self.0.extend(dropped.iter().copied().filter(Self::is_gone).take(room));
    }
}

/// One file of a folder, without those that are gone, and who is gone besides.
async fn fetch_file(
    dht: &Dht,
    file: &TreeFile,
    path: &Path,
    mut options: FetchOptions,
    gone: &mut Gone,
    output: Output,
) -> Result<Fetched, FetchFailure> {
    options.gone.clone_from(&gone.0);
    let fetched = fetch_one(dht, file.id, Some(file.size), path, options, output).await;
    match &fetched {
        Ok(fetched) => gone.note(&fetched.rejected),
        Err(FetchFailure::AllDropped(dropped)) => gone.note(dropped),
        Err(_) => {}
    }
    fetched
}

/// What a folder's files come to, its list not counted.
#[derive(Default)]
struct Whole {
    files: usize,
    /// Those of them that came now.
    came: usize,
    bytes: u64,
    fetched: u64,
    from: BTreeSet<SocketAddr>,
}

impl Whole {
    /// A file that is there, and how it came if it came now.
    fn add(&mut self, file: &TreeFile, fetched: Option<&Fetched>) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(file.size);
        if let Some(fetched) = fetched {
            self.came += 1;
            self.fetched = self.fetched.saturating_add(fetched.fetched);
            self.from.extend(fetched.providers.keys());
        }
    }

    /// All of it is there.
    fn say(&self, folder: &Path, output: Output) {
        let Self { files, came, bytes, fetched, from } = self;
        let path = folder.display().to_string();
        let from: Vec<String> = from.iter().map(SocketAddr::to_string).collect();
        let now = match came {
            0 => "all of it was there".to_owned(),
            _ => format!("{fetched} of them now, from {} providers", from.len()),
        };
        output.event(
            json!({
                "event": "done",
                "path": path,
                "bytes": bytes,
                "fetched": fetched,
                "providers": from.len(),
                "from": from,
            }),
            format_args!("{path}: {files} files, {bytes} bytes: {now}"),
        );
    }
}

/// The list in the folder, which an earlier fetch may have left there, of this folder or another.
fn read_tree(path: &Path, id: ContentId) -> Result<Tree, Failure> {
    let refused = |error| Failure::io(path.display(), &error);
    let len = path.metadata().map_err(refused)?.len();
    let text =
        if len > Tree::MAX_LEN { Vec::new() } else { std::fs::read(path).map_err(refused)? };
    if ContentId::of(&text) != id {
        return Err(Failure::new(
            Code::TargetExists,
            format_args!(
                "{} is there already and is another folder's: name another target",
                path.display()
            ),
        ));
    }
    let tree = core::str::from_utf8(&text).map_err(|_| TreeError::NoFolder);
    tree.and_then(Tree::parse)
        .map_err(|error| Failure::new(Code::Refused, format_args!("{}: {error}", path.display())))
}

/// Whether a file of a folder is there and right: an earlier fetch left it, or its owner has it.
async fn is_there(path: &Path, file: &TreeFile) -> bool {
    if !path.metadata().is_ok_and(|metadata| metadata.len() == file.size) {
        return false;
    }
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || SharedFile::hash(&path, |_| {})).await;
    hashed.is_ok_and(|hashed| hashed.is_ok_and(|hashed| hashed.id() == file.id))
}

async fn fetch_one(
    dht: &Dht,
    id: ContentId,
    size: Option<u64>,
    target: &Path,
    mut options: FetchOptions,
    output: Output,
) -> Result<Fetched, FetchFailure> {
    options.size = size;
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut bar = Bar::bytes(output, &name);
    let result = kadlet::fetch(dht, id, target, options, |progress| match progress {
        FetchProgress::Provider(addr) => {
            output.event(json!({"event": "provider", "addr": addr.to_string()}), "")
        }
        FetchProgress::Rejected { provider, reason } => bar.suspend(|| {
            let reason = reason.to_string();
            output.event(
                json!({"event": "rejected", "addr": provider.to_string(), "reason": reason}),
                format_args!("dropped {provider}: it {reason}"),
            );
        }),
        FetchProgress::Size { size, resumed } => bar.begin(size, resumed),
        FetchProgress::Piece { bytes, .. } => bar.advance(bytes),
        _ => {}
    })
    .await;
    bar.finish();
    let fetched = result?;
    let path = fetched.path.display().to_string();
    let providers: Vec<String> = fetched.providers.keys().map(SocketAddr::to_string).collect();
    output.event(
        json!({
            "event": "done",
            "path": path,
            "bytes": fetched.size,
            "fetched": fetched.fetched,
            "providers": providers.len(),
            "from": providers,
        }),
        format_args!("{path}: {} bytes from {} providers", fetched.size, providers.len()),
    );
    Ok(fetched)
}

/// Where it goes: never by more of the link's name than one safe component.
fn target(link: &Link, given: Option<&Path>) -> Result<PathBuf, Failure> {
    let name = || safe_file_name(link.name().unwrap_or_default().trim_end_matches('/'), link.id());
    let target = match given {
        None => PathBuf::from(name()),
        // A folder is fetched into the folder that is named, whether it is there or not.
        Some(path) if path.is_dir() && !Tree::is_named_by(link) => path.join(name()),
        Some(path) => path.to_owned(),
    };
    let folder = match target.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        // The root of the file system.
        None => &target,
    };
    // `new/` means a folder, as it does for cp; only a shared folder makes its own.
    let is_folder = target.as_os_str().as_encoded_bytes().ends_with(b"/");
    let missing = if is_folder && !Tree::is_named_by(link) { &target } else { folder };
    if !missing.is_dir() {
        return Err(Failure::new(
            Code::Usage,
            format_args!(
                "there is no folder {}: make it first, or name another",
                missing.display()
            ),
        ));
    }
    // Before anything is started. A folder is fetched into what is there of it.
    if target.symlink_metadata().is_ok() && !(Tree::is_named_by(link) && target.is_dir()) {
        return Err(failure(FetchFailure::TargetExists(target)));
    }
    Ok(target)
}

fn failure(error: FetchFailure) -> Failure {
    match error {
        FetchFailure::NoProviders { lookup: Some(error) } => error.into(),
        FetchFailure::NoProviders { .. } => Failure::new(Code::NotFound, error),
        FetchFailure::AllDropped(_) => Failure::new(Code::NoProviderLeft, error),
        FetchFailure::TargetExists(_) => Failure::new(Code::TargetExists, error),
        FetchFailure::LeftOver(_) => Failure::new(Code::TargetExists, format_args!("{error} (-o)")),
        FetchFailure::Io { error: ref system, .. } if kadlet::out_of_descriptors(system) => {
            Failure::new(Code::NoDescriptors, error)
        }
        FetchFailure::Io { .. } => Failure::new(Code::Io, error),
        _ => Failure::new(Code::Usage, error),
    }
}
