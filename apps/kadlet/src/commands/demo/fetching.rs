//! The demo's fetches: one large file from several providers, then everything that is left.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::time::Instant;

use kadlet::{FetchFailure, FetchOptions, FetchProgress, Fetched, SharedFile};
use serde_json::json;
use tokio::task::JoinSet;

use super::{broken, size};
use crate::codes::Code;
use crate::demo::files::DemoFile;
use crate::demo::network::{Network, Plan};
use crate::demo::report::{Report, percentiles};
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Bar;

/// Files fetched at once.
const FETCHES: usize = 24;
/// Bytes fetched at once, though one file at least: they lie in the folder for temporary files, which
/// is memory on some systems.
const FETCHED_AT_ONCE: u64 = 256 << 20;

#[expect(clippy::too_many_arguments, reason = "a scene with all its actors")]
pub(super) async fn fetch_large(
    dht: &kadlet::Dht,
    file: &DemoFile,
    shared: &Arc<SharedFile>,
    liar: Option<SocketAddr>,
    folder: &Path,
    sharers: &[usize],
    network: &Network,
    report: &mut Report,
    output: Output,
) -> Result<(), Failure> {
    report.step(
        "fetch",
        format_args!("It fetches “{}” ({}) from several at once", file.name, size(file.size)),
    );
    let expected: BTreeSet<SocketAddr> = sharers
        .iter()
        .filter_map(|node| network.member(*node))
        .map(|it| it.shares.addr())
        .collect();
    let target = folder.join("large");
    let mut bar = Bar::bytes(output, "fetch");
    let mut providers = BTreeSet::new();
    let begun = Instant::now();
    let fetched =
        kadlet::fetch(
            dht,
            shared.id(),
            &target,
            FetchOptions::default(),
            |progress| match progress {
                FetchProgress::Provider(addr) => _ = providers.insert(addr),
                FetchProgress::Size { size, .. } => bar.begin(size, 0),
                FetchProgress::Piece { bytes, .. } => bar.advance(bytes),
                _ => {}
            },
        )
        .await;
    bar.finish();
    let seconds = begun.elapsed().as_secs_f64();
    report.check(
        providers == expected,
        format_args!("{} providers found, all there are", providers.len()),
    );
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(error) => {
            report.check(false, format_args!("the fetch ended well: {error}"));
            return Ok(());
        }
    };
    report.say(format_args!("{} providers gave pieces", fetched.providers.len()));
    for (addr, reason) in &fetched.rejected {
        report.say(format_args!("dropped {addr}: it {reason}"));
    }
    let dropped: Vec<SocketAddr> = fetched.rejected.iter().map(|(addr, _)| *addr).collect();
    let found_out =
        liar.is_some_and(|liar| dropped == [liar] && !fetched.providers.contains_key(&liar));
    report.check(
        found_out,
        "the one that served wrong bytes was found out, and nobody else was dropped",
    );
    report.check(file.size < 8 << 20 || fetched.providers.len() > 1, "pieces came from several");
    let same = is_same(&file.path, &target).await?;
    report.check(same, "what was fetched is what was shared, byte for byte");
    let rate = file.size as f64 / seconds / 1e6;
    report.measure(
        "large file",
        format_args!("{} in {seconds:.1} s, {rate:.0} MB/s", size(file.size)),
        json!({"bytes": file.size, "seconds": seconds}),
    );
    Ok(())
}

/// Everything that somebody still has is found and fetched; the rest is said not to be there.
pub(super) async fn fetch_all(
    dht: &kadlet::Dht,
    plan: &Plan,
    files: &[DemoFile],
    shared: &[Arc<SharedFile>],
    folder: &Path,
    report: &mut Report,
    output: Output,
) -> Result<(), Failure> {
    report.step(
        "survive",
        "It fetches every file there still is; before one is given up, each provider is asked four \
         times in seven seconds",
    );
    let begun = Instant::now();
    let mut bar = Bar::count(output, "files", files.len() as u64);
    let mut tasks: JoinSet<(usize, PathBuf, Result<Fetched, FetchFailure>, Duration)> =
        JoinSet::new();
    let (mut fetched, mut lost, mut wrong, mut bytes) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut times = Vec::new();
    // The large one is there already.
    let mut waiting = (0..files.len()).peekable();
    let mut in_flight = 0;
    loop {
        while tasks.len() < FETCHES
            && let Some(file) = waiting.peek().copied()
            && (tasks.is_empty() || in_flight + files[file].size <= FETCHED_AT_ONCE)
        {
            waiting.next();
            in_flight += files[file].size;
            let (dht, id) = (dht.clone(), shared[file].id());
            let target = folder.join(format!("fetched-{file}"));
            tasks.spawn(async move {
                let begun = Instant::now();
                let result =
                    kadlet::fetch(&dht, id, &target, FetchOptions::default(), |_| {}).await;
                (file, target, result, begun.elapsed())
            });
        }
        let Some(ended) = tasks.join_next().await else { break };
        let (file, target, result, time) = ended.map_err(broken)?;
        bar.advance(1);
        in_flight -= files[file].size;
        match result {
            Ok(_) => {
                let same = is_same(&files[file].path, &target).await?;
                wrong += u64::from(!same || !plan.survives(file));
                (fetched, bytes) = (fetched + 1, bytes + files[file].size);
                times.push(time);
                std::fs::remove_file(&target)
                    .map_err(|error| Failure::io(target.display(), &error))?;
            }
            Err(FetchFailure::NoProviders { .. } | FetchFailure::AllDropped(_)) => {
                lost += 1;
                if plan.survives(file) {
                    wrong += 1;
                    report.say(format_args!("not fetched: {}", files[file].name));
                }
            }
            Err(error) => return Err(Failure::new(Code::Io, error)),
        }
    }
    bar.finish();
    let seconds = begun.elapsed().as_secs_f64();
    let surviving = (0..files.len()).filter(|file| plan.survives(*file)).count() as u64;
    report.check(
        wrong == 0,
        format_args!(
            "{fetched} files fetched and compared byte for byte, {lost} reported as gone; \
         the list says {surviving} and {}",
            files.len() as u64 - surviving
        ),
    );
    let (p50, p95) = percentiles(&mut times);
    report.measure(
        "after the deaths",
        format_args!("{fetched} files, {} in {seconds:.1} s; a file {p50:.0} ms median, {p95:.0} ms p95", size(bytes)),
        json!({"fetched": fetched, "gone": lost, "bytes": bytes, "seconds": seconds, "p50_ms": p50, "p95_ms": p95}),
    );
    Ok(())
}

async fn is_same(a: &Path, b: &Path) -> Result<bool, Failure> {
    let (a, b) = (a.to_owned(), b.to_owned());
    let compare = move || -> std::io::Result<bool> {
        use std::io::Read as _;
        let (mut a, mut b) = (std::fs::File::open(a)?, std::fs::File::open(b)?);
        if a.metadata()?.len() != b.metadata()?.len() {
            return Ok(false);
        }
        let (mut left, mut right) = (vec![0; 1 << 18], vec![0; 1 << 18]);
        loop {
            let read = a.read(&mut left)?;
            if read == 0 {
                return Ok(true);
            }
            b.read_exact(&mut right[..read])?;
            if left[..read] != right[..read] {
                return Ok(false);
            }
        }
    };
    let compared = tokio::task::spawn_blocking(compare).await.map_err(broken)?;
    compared.map_err(|error| Failure::io("comparing", &error))
}
