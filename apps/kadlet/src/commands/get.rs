//! `kadlet get`: a file by its link, from several providers at once.

use core::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use kadlet::core::content::{ContentId, Link, safe_file_name};
use kadlet::{Dht, FetchFailure, FetchOptions, FetchProgress, Fetched, HostPort};
use serde_json::json;

use crate::cli::Common;
use crate::failure::{Code, Failure};
use crate::output::Output;
use crate::progress::Bar;
use crate::session;
use crate::tree::Tree;

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
    let link = &options.link;
    let target = target(link, options.output.as_deref())?;
    let contacts: Vec<HostPort> = link.contacts().iter().map(|it| HostPort::from(*it)).collect();
    let dht = session::client(&options.common, &contacts, output).await?;
    let result = tokio::select! {
        result = fetch_link(&dht, link, &target, output) => result,
        () = super::node::stopped() => Err(Failure::new(
            Code::Interrupted,
            "interrupted: the same command goes on where it was",
        )),
    };
    dht.shutdown().await;
    result
}

async fn fetch_link(dht: &Dht, link: &Link, target: &Path, output: Output) -> Result<(), Failure> {
    if Tree::is_named_by(link) {
        return fetch_tree(dht, link, target, output).await;
    }
    fetch_one(dht, link.id(), link.size(), target, output).await.map(drop)
}

/// A shared folder: its list first, then the files that are not there yet.
async fn fetch_tree(dht: &Dht, link: &Link, target: &Path, output: Output) -> Result<(), Failure> {
    let refused = |error| Failure::io(target.display(), &error);
    std::fs::create_dir_all(target).map_err(refused)?;
    let list = target.join(Tree::FILE_NAME);
    if !list.exists() {
        fetch_one(dht, link.id(), link.size(), &list, output).await?;
    }
    let text = std::fs::read_to_string(&list).map_err(refused)?;
    let tree = Tree::parse(&text).map_err(|error| {
        Failure::new(Code::Refused, format_args!("{}: {error}", list.display()))
    })?;
    let mut missing = None;
    for file in &tree.files {
        let path = file.path_in(target);
        if path.metadata().is_ok_and(|metadata| metadata.len() == file.size) {
            continue;
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(refused)?;
        }
        // One file that nobody has does not keep the others back.
        if let Err(failure) = fetch_one(dht, file.id, Some(file.size), &path, output).await {
            output.warning(
                failure.code.name(),
                format_args!("{}: {}", path.display(), failure.message),
            );
            missing = Some(failure);
        }
    }
    missing.map_or(Ok(()), Err)
}

async fn fetch_one(
    dht: &Dht,
    id: ContentId,
    size: Option<u64>,
    target: &Path,
    output: Output,
) -> Result<Fetched, Failure> {
    let mut options = FetchOptions::default();
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
    let fetched = result.map_err(failure)?;
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
        None => return Ok(target),
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
    };
    if !folder.is_dir() {
        return Err(Failure::new(
            Code::Usage,
            format_args!("there is no folder {}: make it first, or name another", folder.display()),
        ));
    }
    Ok(target)
}

fn failure(error: FetchFailure) -> Failure {
    match error {
        FetchFailure::NoProviders { lookup: Some(error) } => error.into(),
        FetchFailure::NoProviders { .. } => Failure::new(Code::NotFound, error),
        FetchFailure::AllDropped(_) => Failure::new(Code::NoProviderLeft, error),
        FetchFailure::TargetExists(_) => Failure::new(Code::TargetExists, error),
        FetchFailure::Io { .. } => Failure::new(Code::Io, error),
        _ => Failure::new(Code::Usage, error),
    }
}
