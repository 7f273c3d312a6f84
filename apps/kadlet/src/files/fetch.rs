//! Fetching one content into one file: the core's fetch machine, driven over HTTP.

use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};

use alloc::collections::BTreeMap;
#[cfg(feature = "webrtc")]
use alloc::collections::BTreeSet;
use kadlet_core::config::FetchConfig;
use kadlet_core::content::{
    ContentId, Fetch, FetchError, FetchEvent, PieceVerifier, Rejection, Request, RequestFailure,
    RequestId, Verdict, Want,
};
use kadlet_core::record::Transports;
use kadlet_core::{Id, Instant};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::client::{Client, Failed};
use super::partial::{self, Partial};
use crate::dht::Dht;
use crate::error::{Error, StartError, out_of_descriptors};

/// Pieces between two notes of what is there: a crash costs no more than these.
const NOTE_EVERY: u32 = 16;

/// How to fetch.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FetchOptions {
    /// The machine's own settings.
    pub config: FetchConfig,
    /// The size in bytes that the link gives.
    pub size: Option<u64>,
    /// Providers that are known beforehand.
    pub providers: Vec<SocketAddr>,
    /// Providers that are not asked, and why: another fetch has found out a moment ago.
    pub gone: BTreeMap<SocketAddr, Rejection>,
}

/// What happens on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FetchProgress {
    /// Somebody has it.
    Provider(SocketAddr),
    /// Somebody is not asked any more.
    Rejected {
        /// Who.
        provider: SocketAddr,
        /// Why.
        reason: Rejection,
    },
    /// Its size is known, and how much of it is there.
    Size {
        /// Bytes in all.
        size: u64,
        /// Bytes that an earlier fetch left.
        resumed: u64,
    },
    /// A piece was verified and written.
    Piece {
        /// Who gave it.
        provider: SocketAddr,
        /// Its bytes.
        bytes: u64,
    },
}

/// A file that was fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes that came over the network in this fetch.
    pub fetched: u64,
    /// Who gave how many pieces.
    pub providers: BTreeMap<SocketAddr, u32>,
    /// Who was dropped, and why.
    pub rejected: Vec<(SocketAddr, Rejection)>,
}

/// Why a fetch ended without the file.
#[derive(Debug)]
#[non_exhaustive]
pub enum FetchFailure {
    /// Nobody who could be asked offers it.
    NoProviders {
        /// What the lookup ended with, if it did not simply find nobody.
        lookup: Option<Error>,
    },
    /// Every provider was dropped.
    AllDropped(Vec<(SocketAddr, Rejection)>),
    /// The target is there already.
    TargetExists(PathBuf),
    /// Where the parts would be put lies what is left of another fetch, which could go on with it.
    LeftOver(PathBuf),
    /// The disk refuses.
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The link asks for what cannot be fetched.
    Machine(FetchError),
}

impl fmt::Display for FetchFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProviders { lookup: None } => f.write_str("nobody offers it"),
            Self::NoProviders { lookup: Some(error) } => {
                write!(f, "no provider could be found: {error}")
            }
            Self::AllDropped(providers) => {
                f.write_str("no provider is left")?;
                for (index, (provider, reason)) in providers.iter().enumerate() {
                    write!(f, "{} {provider} {reason}", if index == 0 { ":" } else { ";" })?;
                }
                Ok(())
            }
            Self::TargetExists(path) => {
                write!(f, "{} is there already: move it away or name another", path.display())
            }
            Self::LeftOver(path) => write!(
                f,
                "{} is what is left of another fetch: remove it, or name another target",
                path.display()
            ),
            Self::Io { path, error } if out_of_descriptors(error) => {
                write!(f, "{}: {}", path.display(), StartError::NoDescriptors)
            }
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Machine(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for FetchFailure {}

impl FetchFailure {
    /// What the partial file says.
    fn of_partial(partial: &Partial, error: io::Error) -> Self {
        let path = partial.data_path().to_owned();
        if partial::is_of_another(&error) { Self::LeftOver(path) } else { Self::Io { path, error } }
    }
}

/// What a request's task reports.
enum Report {
    Progress(RequestId, u64),
    Ended(Box<Ended>),
}

/// An answer, whole or broken off.
struct Ended {
    request: Request,
    result: Result<Vec<u8>, Failed>,
    check: Option<PieceVerifier>,
}

/// Finds who has `id`, fetches it from several at once, verifies every piece, and leaves the file
/// at `target`. An interrupted fetch goes on where it was: what is on the disk is verified and not
/// fetched again. Dropping the future stops the traffic.
///
/// # Errors
/// Nobody has it, all who said so were dropped, or the disk refuses. A partial file is never left
/// under the final name.
pub async fn fetch(
    dht: &Dht,
    id: ContentId,
    target: &Path,
    options: FetchOptions,
    mut progress: impl FnMut(FetchProgress),
) -> Result<Fetched, FetchFailure> {
    if target.symlink_metadata().is_ok() {
        return Err(FetchFailure::TargetExists(target.to_owned()));
    }
    let mut driver = Driver::new(dht, id, target, &options).await?;
    if let Some(list) = driver.machine.list() {
        progress(FetchProgress::Size { size: list.size(), resumed: driver.resumed() });
    }
    for provider in options.providers {
        driver.found(provider, Id::ZERO, &mut progress);
    }
    let mut lookup = dht.providers(id.key());
    let mut searching = true;
    let mut lookup_error = None;
    loop {
        driver.start_requests();
        if let Some(end) = driver.drain(&mut progress)? {
            return match end {
                End::Done => driver.finish(),
                End::Failed(mut providers) => {
                    providers.append(&mut driver.passed_over);
                    if providers.is_empty() {
                        return Err(FetchFailure::NoProviders { lookup: lookup_error });
                    }
                    Err(FetchFailure::AllDropped(providers))
                }
            };
        }
        let deadline = driver.machine.poll_timeout();
        let wait = deadline.map_or(Duration::from_secs(60), |at| at.since(driver.now()));
        tokio::select! {
            found = lookup.next(), if searching => match found {
                Some(Ok(found)) if found.transports.contains(Transports::HTTP) => {
                    driver.found(found.address, found.holder, &mut progress);
                }
                #[cfg(feature = "webrtc")]
                Some(Ok(found)) if found.transports.contains(Transports::DATA_CHANNEL) => {
                    driver.by_channel.insert(found.address);
                    driver.found(found.address, found.holder, &mut progress);
                }
                Some(Ok(_)) => {}
                other => {
                    searching = false;
                    lookup_error = other.and_then(Result::err);
                    driver.machine.no_more_providers(driver.now());
                }
            },
            Some(report) = driver.reports.recv() => driver.handle(report)?,
            () = tokio::time::sleep(wait) => driver.machine.handle_timeout(driver.now()),
        }
    }
}

enum End {
    Done,
    Failed(Vec<(SocketAddr, Rejection)>),
}

struct Driver {
    machine: Fetch,
    partial: Partial,
    target: PathBuf,
    client: Arc<Client>,
    #[cfg(feature = "webrtc")]
    dht: Dht,
    /// Providers that are reached by a data channel, and not over HTTP.
    #[cfg(feature = "webrtc")]
    by_channel: BTreeSet<SocketAddr>,
    started: std::time::Instant,
    running: BTreeMap<RequestId, AbortHandle>,
    report: mpsc::UnboundedSender<Report>,
    reports: mpsc::UnboundedReceiver<Report>,
    /// Verified pieces of a list that is on trial: written once the list is certain.
    held: Vec<(core::ops::Range<u64>, Vec<u8>)>,
    since_note: u32,
    fetched: u64,
    resumed: u64,
    providers: BTreeMap<SocketAddr, u32>,
    /// Providers that are not asked, until they are named.
    gone: BTreeMap<SocketAddr, Rejection>,
    /// Those that were.
    passed_over: Vec<(SocketAddr, Rejection)>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        for task in self.running.values() {
            task.abort();
        }
        // What is there is noted, so that the next fetch goes on from here.
        if self.partial.is_started()
            && !self.machine.is_over()
            && let Some(note) = self.machine.resume_note()
        {
            let _ = self.partial.note(&note);
        }
    }
}

impl Driver {
    #[cfg_attr(not(feature = "webrtc"), expect(unused_variables, reason = "for data channels"))]
    async fn new(
        dht: &Dht,
        id: ContentId,
        target: &Path,
        options: &FetchOptions,
    ) -> Result<Self, FetchFailure> {
        let mut partial = Partial::of(target);
        let config = options.config.clone();
        // Hashing what is there can take minutes, in which others want to run, a signal's handler
        // among them; and it ends with us.
        let waiting = Arc::new(());
        let waits = Arc::downgrade(&waiting);
        let reading = tokio::task::spawn_blocking(move || {
            let left = partial.resume(id, config.max_size, || waits.strong_count() > 0);
            (partial, config, left)
        });
        let (partial, config, left) = match reading.await {
            Ok(read) => read,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let left = left.map_err(|error| FetchFailure::of_partial(&partial, error))?;
        let (machine, resumed) = match left {
            Some((list, have)) => {
                let bytes = have.iter().filter_map(|index| list.range(index));
                let resumed = bytes.map(|range| range.end - range.start).sum();
                (Fetch::resume(config, list, have), resumed)
            }
            None => (Fetch::new(config, id, options.size), 0),
        };
        let (report, reports) = mpsc::unbounded_channel();
        Ok(Self {
            machine: machine.map_err(FetchFailure::Machine)?,
            partial,
            target: target.to_owned(),
            client: Arc::default(),
            #[cfg(feature = "webrtc")]
            dht: dht.clone(),
            #[cfg(feature = "webrtc")]
            by_channel: BTreeSet::new(),
            started: std::time::Instant::now(),
            running: BTreeMap::new(),
            report,
            reports,
            held: Vec::new(),
            since_note: 0,
            fetched: 0,
            resumed,
            providers: BTreeMap::new(),
            gone: options.gone.clone(),
            passed_over: Vec::new(),
        })
    }

    /// The machine's time begins with the fetch.
    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    const fn resumed(&self) -> u64 {
        self.resumed
    }

    fn found(&mut self, provider: SocketAddr, namer: Id, progress: &mut impl FnMut(FetchProgress)) {
        if let Some(reason) = self.gone.remove(&provider) {
            self.passed_over.push((provider, reason));
        }
        if self.passed_over.iter().any(|(passed, _)| *passed == provider) {
            return;
        }
        if self.machine.provider_found(self.now(), provider, namer) {
            progress(FetchProgress::Provider(provider));
        }
    }

    fn start_requests(&mut self) {
        while let Some(cancelled) = self.machine.poll_cancel() {
            if let Some(task) = self.running.remove(&cancelled) {
                task.abort();
            }
        }
        while let Some(request) = self.machine.poll_request() {
            let (client, report) = (Arc::clone(&self.client), self.report.clone());
            let (id, number) = (self.machine.id(), request.id);
            let mut check = self.machine.verifier(number);
            #[cfg(feature = "webrtc")]
            let channel = self.by_channel.contains(&request.provider).then(|| self.dht.clone());
            let task = tokio::spawn(async move {
                let mut bytes = Vec::new();
                let take = |part: &[u8]| {
                    // Checked as it comes: the hash is done when the last byte is there.
                    if let Some(check) = &mut check {
                        check.update(part);
                    }
                    bytes.extend_from_slice(part);
                    let _ = report.send(Report::Progress(number, part.len() as u64));
                };
                #[cfg(feature = "webrtc")]
                let result = match channel {
                    Some(dht) => super::channel::get(&dht, id, &request, take).await,
                    None => client.get(request.provider, id, &request.want, take).await,
                };
                #[cfg(not(feature = "webrtc"))]
                let result = client.get(request.provider, id, &request.want, take).await;
                let result = result.map(|()| bytes);
                let _ = report.send(Report::Ended(Box::new(Ended { request, result, check })));
            });
            self.running.insert(number, task.abort_handle());
        }
    }

    fn handle(&mut self, report: Report) -> Result<(), FetchFailure> {
        let now = self.now();
        let (request, result, check) = match report {
            Report::Progress(request, bytes) => {
                self.machine.progressed(now, request, bytes);
                return Ok(());
            }
            Report::Ended(ended) => (ended.request, ended.result, ended.check),
        };
        self.running.remove(&request.id);
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(Failed::There(failure)) => {
                self.machine.request_failed(now, request.id, failure);
                return Ok(());
            }
            Err(Failed::Here(error)) => {
                return Err(FetchFailure::Io { path: self.target.clone(), error });
            }
        };
        match (&request.want, check) {
            (Want::HashList { .. }, _) => {
                // Whether it was right is told by events.
                let _ = self.machine.list_received(now, request.id, &bytes);
            }
            (Want::Piece { range, .. }, Some(check)) => {
                if check.remaining() > 0 {
                    self.machine.request_failed(now, request.id, RequestFailure::Disconnected);
                    return Ok(());
                }
                if self.machine.piece_checked(now, request.id, &check) == Verdict::Accepted {
                    self.fetched += bytes.len() as u64;
                    self.held.push((range.clone(), bytes));
                    return self.write_held();
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Writes what is certain. The last piece can come before the list is: it proves the list.
    fn write_held(&mut self) -> Result<(), FetchFailure> {
        let Some(list) = self.machine.list() else { return Ok(()) };
        let partial = &mut self.partial;
        if !partial.is_started()
            && let Err(error) = partial.start(list)
        {
            return Err(FetchFailure::of_partial(partial, error));
        }
        for (range, bytes) in self.held.drain(..) {
            if let Err(error) = partial.write(&range, &bytes) {
                return Err(FetchFailure::of_partial(partial, error));
            }
            self.since_note += 1;
        }
        if self.since_note >= NOTE_EVERY
            && let Some(note) = self.machine.resume_note()
        {
            self.since_note = 0;
            if let Err(error) = partial.note(&note) {
                return Err(FetchFailure::of_partial(partial, error));
            }
        }
        Ok(())
    }

    fn drain(
        &mut self,
        progress: &mut impl FnMut(FetchProgress),
    ) -> Result<Option<End>, FetchFailure> {
        while let Some(event) = self.machine.poll_event() {
            match event {
                FetchEvent::ListVerified { size, .. } => {
                    self.write_held()?;
                    progress(FetchProgress::Size { size, resumed: 0 });
                }
                FetchEvent::PieceVerified { provider, index } => {
                    *self.providers.entry(provider).or_insert(0) += 1;
                    let range = self.machine.list().and_then(|list| list.range(index));
                    let bytes = range.map_or(0, |range| range.end - range.start);
                    progress(FetchProgress::Piece { provider, bytes });
                }
                FetchEvent::ProviderRejected { provider, reason } => {
                    progress(FetchProgress::Rejected { provider, reason });
                }
                FetchEvent::Done => return Ok(Some(End::Done)),
                FetchEvent::Failed { providers } => return Ok(Some(End::Failed(providers))),
                _ => {}
            }
        }
        Ok(None)
    }

    fn finish(mut self) -> Result<Fetched, FetchFailure> {
        // An empty file has no piece that would have begun it.
        self.write_held()?;
        let size = self.machine.list().map_or(0, |list| list.size());
        match self.partial.finish() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(FetchFailure::TargetExists(self.target.clone()));
            }
            Err(error) => return Err(FetchFailure::Io { path: self.target.clone(), error }),
        }
        Ok(Fetched {
            path: self.target.clone(),
            size,
            fetched: self.fetched,
            providers: core::mem::take(&mut self.providers),
            rejected: self.machine.rejected().collect(),
        })
    }
}
