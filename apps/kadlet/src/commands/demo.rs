//! `kadlet demo`: the main job on one machine in one go.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use kadlet::SharedFile;
use kadlet::core::record::words;
use kadlet::core::{Event, Id, Rng};
use serde_json::json;
use tokio::task::JoinSet;

use crate::codes::Code;
use crate::demo::files::{Collection, DemoFile, Halt, MAX_BYTES, MAX_FILES};
use crate::demo::network::{Load, Member, Network, Plan};
use crate::demo::report::{Report, percentiles};
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Bar;
use crate::stop::Stop;

mod fetching;

use fetching::{fetch_all, fetch_large};

/// Searches that are compared with the demo's own list.
const SEARCHES: usize = 40;
/// Lookups that are compared with the truth.
const LOOKUPS: usize = 100;
/// Tries to remove the temporary files, 20 ms apart.
const REMOVALS: u32 = 100;
/// Names of things that are left out, before the rest is only counted.
const NAMED: usize = 5;
/// Descriptors that a node takes, connections included, and those that the fetches take.
const DESCRIPTORS: u64 = 8;

/// Show the main job: join, share, search, fetch, and survive
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kadlet demo\n  kadlet demo ~/Pictures --seed 7\n\n\
                        Everything happens on this machine, over real sockets on loopback. Exit \
                        status 0 only if every step was as it should be.")]
pub(crate) struct Options {
    /// Share the files of this folder instead of 2,000 that the demo writes itself
    dir: Option<PathBuf>,
    /// Draws who shares what, who lies and who dies
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many nodes
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(8..=256))]
    nodes: u16,
}

pub(crate) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    let mut stop = Stop::listen();
    // Its temporary files go whoever listens.
    let output = output.of_work();
    let wanted = u64::from(options.nodes) * DESCRIPTORS + 256;
    let limit = rlimit::increase_nofile_limit(wanted).unwrap_or(0);
    if limit < wanted {
        return Err(Failure::new(
            Code::NoDescriptors,
            format_args!(
                "{} nodes need {wanted} open files at once and this session may have {limit}: \
                 raise it (ulimit -n {wanted}), or take fewer nodes (--nodes)",
                options.nodes
            ),
        ));
    }
    let folder = tempfile::Builder::new()
        .prefix("kadlet-demo-")
        .tempdir()
        .map_err(|error| Failure::io("the folder for temporary files", &error))?;
    let halt = Halt::default();
    let result = tokio::select! {
        result = show(&options, folder.path(), &halt, output) => result,
        () = stop.requested() => Err(Failure::new(Code::Interrupted, "interrupted")),
    };
    halt.halt();
    match (remove(folder).await, result) {
        (Ok(()), result) => result,
        // What went wrong before is what the person should hear of first.
        (Err(error), Err(mut failure)) => {
            failure.message += &format!("; and of the temporary files: {}", error.message);
            Err(failure)
        }
        (Err(error), Ok(())) => Err(error),
    }
}

/// Removes the temporary files. A thread that nobody can interrupt may be writing its last one.
async fn remove(folder: tempfile::TempDir) -> Result<(), Failure> {
    let path = folder.keep();
    let mut refusal = None;
    for _ in 0..REMOVALS {
        match std::fs::remove_dir_all(&path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !path.exists() => {
                return Ok(());
            }
            Err(error) => refusal = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    refusal.map_or(Ok(()), |error| Err(Failure::io(path.display(), &error)))
}

async fn show(
    options: &Options,
    folder: &Path,
    halt: &Halt,
    output: Output,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut report = Report::new(output);
    let files = collect(options, folder, &report, halt, output).await?;
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&options.seed.to_le_bytes());
    // Apart from what the files are drawn from, so that --seed means the same for a folder.
    seed[31] = 1;
    let mut rng = Rng::from_seed(seed);
    let large = (0..files.len()).max_by_key(|i| files[*i].size).unwrap_or(0);
    let mut plan = Plan::draw(options.nodes.into(), files.len(), large, &mut rng);
    let shared = hash(&files, &mut report, halt, output).await?;
    plan.unite(&shared);
    let mut network = join(options, &mut report, output).await?;
    share(&network, &plan, &files, &shared, &mut report, output).await?;
    lookups(&network, &mut report, &mut rng).await?;
    let fetcher = |network: &Network| {
        network
            .member(plan.fetcher)
            .map(|member| member.dht.clone())
            .ok_or_else(|| Failure::new(Code::Usage, "the fetcher has gone"))
    };
    let dht = fetcher(&network)?;
    searches(&dht, &files, &shared, large, &mut report, &mut rng).await?;
    let liar = network.member(plan.liar).map(|member| member.shares.addr());
    fetch_large(
        &dht,
        &files[large],
        &shared[large],
        liar,
        folder,
        &plan.sharers[large],
        &network,
        &mut report,
        output,
    )
    .await?;
    kill(&mut network, &plan, &files, &mut report);
    fetch_all(&dht, &plan, &files, &shared, folder, &mut report, output).await?;
    report.measure("files", files.len(), files.len().into());
    report.finish(begun.elapsed()).map_err(|message| Failure::new(Code::NotAsExpected, message))
}

/// The files: those of the folder, or freshly written ones.
async fn collect(
    options: &Options,
    folder: &Path,
    report: &Report,
    halt: &Halt,
    output: Output,
) -> Result<Vec<DemoFile>, Failure> {
    let target = folder.join("shared");
    std::fs::create_dir(&target).map_err(|error| Failure::io(target.display(), &error))?;
    let (seed, path, halt) = (options.seed, target.clone(), halt.clone());
    let mut collection = if let Some(dir) = &options.dir {
        let collection = Collection::of(dir).map_err(|error| Failure::io(dir.display(), &error))?;
        for problem in collection.unreadable.iter().take(NAMED) {
            report.say(format_args!("left out, it cannot be read: {problem}"));
        }
        let more = collection.unreadable.len().saturating_sub(NAMED);
        if more > 0 {
            report.say(format_args!("and {more} others"));
        }
        if collection.files.is_empty() {
            let message = format_args!("{}: there is no file to share in it", dir.display());
            return Err(Failure::new(Code::NothingShared, message));
        }
        collection
    } else {
        report.step("files", "Writing files of mixed sizes to share");
        let bar = Bar::count(output, "files", 2_000);
        let (path, halt) = (path.clone(), halt.clone());
        let writing = move || Collection::write(&path, seed, &halt, || bar.advance(1));
        let written = tokio::task::spawn_blocking(writing).await.map_err(broken)?;
        written.map_err(|error| Failure::io(target.display(), &error))?
    };
    let (files, bytes) = collection.left_out;
    if files > 0 {
        report.say(format_args!(
            "the demo takes at most {MAX_FILES} files and {}: {files} files with {} are left out",
            size(MAX_BYTES),
            size(bytes)
        ));
    }
    if collection.lacks_a_large_one() {
        let adding = move || {
            let added = collection.add_large(&path, seed, &halt);
            (collection, added)
        };
        let (with_large, added) = tokio::task::spawn_blocking(adding).await.map_err(broken)?;
        added.map_err(|error| Failure::io(target.display(), &error))?;
        collection = with_large;
        report.say(
            "none of them is large enough to come from several nodes: one of 64 MiB is added, in a \
             folder for temporary files",
        );
    }
    report.say(format_args!("{} files, {}", collection.files.len(), size(collection.bytes)));
    Ok(collection.files)
}

/// Every file is hashed once; its sharers serve it from the same place on the disk.
async fn hash(
    files: &[DemoFile],
    report: &mut Report,
    halt: &Halt,
    output: Output,
) -> Result<Vec<Arc<SharedFile>>, Failure> {
    report.step("hash", "Hashing them (BLAKE3)");
    let begun = Instant::now();
    let total: u64 = files.iter().map(|file| file.size).sum();
    let bar = Bar::bytes(output, "hash");
    bar.begin(total, 0);
    let paths: Vec<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
    let halt = halt.clone();
    let hashing = move || {
        let hash = |path: &PathBuf| {
            halt.check().map_err(|error| Failure::io(path.display(), &error))?;
            let hashed = SharedFile::hash(path, |bytes| bar.advance(bytes));
            hashed.map(Arc::new).map_err(|error| Failure::new(Code::Io, error))
        };
        paths.iter().map(hash).collect::<Result<Vec<_>, _>>()
    };
    let shared = tokio::task::spawn_blocking(hashing).await.map_err(broken)??;
    report.measure(
        "hashed",
        format_args!("{} in {:.1} s", size(total), begun.elapsed().as_secs_f64()),
        json!(total),
    );
    Ok(shared)
}

async fn join(options: &Options, report: &mut Report, output: Output) -> Result<Network, Failure> {
    let nodes = usize::from(options.nodes);
    report.step("join", format_args!("{nodes} nodes join one network, each knowing one address"));
    let begun = Instant::now();
    let name = format!("demo-{}-{}", std::process::id(), options.seed);
    let entry = Network::start_member(&name, None).await?;
    let address = entry.dht.local_addr();
    let mut network = Network { members: vec![Some(entry)] };
    let bar = Bar::count(output, "joined", nodes as u64);
    for _ in 1..nodes {
        network.members.push(Some(Network::start_member(&name, Some(address)).await?));
        bar.advance(1);
    }
    drop(bar);
    let mut fewest = usize::MAX;
    for (_, member) in network.living() {
        fewest = fewest.min(crate::session::contacts(&member.dht).await);
    }
    report.check(fewest > 0, format_args!("every node has contacts: {fewest} at least"));
    report.measure(
        "join",
        format_args!("{nodes} nodes in {:.2} s", begun.elapsed().as_secs_f64()),
        json!(begun.elapsed().as_secs_f64()),
    );
    Ok(network)
}

async fn share(
    network: &Network,
    plan: &Plan,
    files: &[DemoFile],
    shared: &[Arc<SharedFile>],
    report: &mut Report,
    output: Output,
) -> Result<(), Failure> {
    let shares: usize = plan.sharers.iter().map(Vec::len).sum();
    report.step("share", format_args!(
        "{} files are shared, by {:.1} nodes each: served, announced, published under their words",
        files.len(), shares as f64 / files.len() as f64
    ));
    let begun = Instant::now();
    let mut loads: BTreeMap<usize, Load> = BTreeMap::new();
    for (file, sharers) in plan.sharers.iter().enumerate() {
        for node in sharers {
            let name = Some(&files[file]).filter(|file| file.is_findable());
            let entry = (Arc::clone(&shared[file]), name.map(|file| file.name.clone()));
            loads.entry(*node).or_default().0.push(entry);
        }
    }
    let bar = Arc::new(Bar::count(output, "shared", shares as u64));
    let mut tasks = JoinSet::new();
    for (node, load) in loads {
        let Some(Member { dht, shares }) = network.member(node) else { continue };
        let (bar, lies) = (Arc::clone(&bar), node == plan.liar);
        tasks.spawn(load.share(dht.clone(), shares.clone(), lies, move || bar.advance(1)));
    }
    let mut stored = 0;
    while let Some(result) = tasks.join_next().await {
        stored += result.map_err(broken)??;
    }
    drop(bar);
    let seconds = begun.elapsed().as_secs_f64();
    report.check(stored > 0, format_args!("{stored} records stored with holders"));
    report.measure(
        "share",
        format_args!("{shares} shares, {stored} records in {seconds:.1} s"),
        json!({"shares": shares, "records": stored, "seconds": seconds}),
    );
    Ok(())
}

/// Lookups of random targets, each compared with the truth: the demo knows all ids.
async fn lookups(network: &Network, report: &mut Report, rng: &mut Rng) -> Result<(), Failure> {
    report.step("lookup", format_args!("{LOOKUPS} lookups of random targets"));
    let ids: Vec<Id> = network.living().map(|(_, member)| member.dht.id()).collect();
    let members: Vec<&Member> = network.living().map(|(_, member)| member).collect();
    let (mut exact, mut hops, mut datagrams, mut times) = (0, 0, 0, Vec::new());
    for _ in 0..LOOKUPS {
        let target = Id::random(rng);
        // Below a count of members, so it fits.
        let member = members[rng.below(members.len() as u64) as usize];
        let mut truth: Vec<Id> = ids.iter().copied().filter(|id| *id != member.dht.id()).collect();
        truth.sort_by_key(|id| id.distance(target));
        let begun = Instant::now();
        let mut lookup = member.dht.lookup(target);
        while let Some(event) = lookup.next().await {
            if let Event::Done { closest, totals, .. } = event? {
                times.push(begun.elapsed());
                let found: Vec<Id> = closest.iter().map(|contact| contact.id).collect();
                exact += usize::from(!found.is_empty() && truth.starts_with(&found));
                hops += totals.hops;
                datagrams += totals.datagrams;
            }
        }
    }
    let (p50, p95) = percentiles(&mut times);
    report.check(exact == LOOKUPS, format_args!("{exact} of {LOOKUPS} found the true closest"));
    let mean = |sum: u32| f64::from(sum) / LOOKUPS as f64;
    report.measure(
        "lookup",
        format_args!(
            "{:.1} hops, {:.1} messages, {p50:.2} ms median, {p95:.2} ms p95",
            mean(hops),
            mean(datagrams)
        ),
        json!({"hops": mean(hops), "messages": mean(datagrams), "p50_ms": p50, "p95_ms": p95}),
    );
    Ok(())
}

/// Searches by two words of some file's name; what must come out is known.
async fn searches(
    dht: &kadlet::Dht,
    files: &[DemoFile],
    shared: &[Arc<SharedFile>],
    large: usize,
    report: &mut Report,
    rng: &mut Rng,
) -> Result<(), Failure> {
    report.step("search", "A node that shares nothing looks for files by words");
    let named: Vec<BTreeSet<String>> = files
        .iter()
        .map(|file| {
            let words = words(&file.name).filter(|_| file.is_findable());
            words.map(|word| word.as_str().to_owned()).collect()
        })
        .collect();
    let (mut right, mut done, mut times) = (0, 0, Vec::new());
    // Few files are looked for more than once; the large one has a name that is searched for.
    let drawn = (0..4 * SEARCHES).map(|_| rng.below(files.len() as u64) as usize);
    for file in drawn.collect::<Vec<_>>().into_iter().chain([large]) {
        if done == SEARCHES {
            break;
        }
        let mut query: Vec<String> = named[file].iter().cloned().collect();
        rng.shuffle(&mut query);
        query.truncate(2);
        let fits = |words: &BTreeSet<String>| query.iter().all(|word| words.contains(word));
        let expected: BTreeSet<_> =
            (0..files.len()).filter(|i| fits(&named[*i])).map(|i| shared[i].id()).collect();
        // Of a word that hundreds of names carry one gets a part, and asks for more words.
        if query.is_empty() || expected.len() > 25 {
            continue;
        }
        done += 1;
        let begun = Instant::now();
        let mut found = BTreeSet::new();
        let mut results = dht.search(&query.join(" "))?;
        while let Some(hit) = results.next().await {
            found.insert(hit?.content);
        }
        times.push(begun.elapsed());
        right += usize::from(found == expected);
        if done == 1 {
            report.say(format_args!("“{}” finds {} files", query.join(" "), found.len()));
        }
    }
    let (p50, p95) = percentiles(&mut times);
    report.check(
        right == done && done > 0,
        format_args!("{right} of {done} searches found exactly what there is"),
    );
    report.measure(
        "search",
        format_args!("{p50:.2} ms median, {p95:.2} ms p95"),
        json!({"searches": done, "p50_ms": p50, "p95_ms": p95}),
    );
    Ok(())
}

fn kill(network: &mut Network, plan: &Plan, files: &[DemoFile], report: &mut Report) {
    let before = network.living().count();
    report
        .step("death", format_args!("{} of {before} nodes die without goodbye", plan.doomed.len()));
    network.kill(&plan.doomed);
    let lost = (0..files.len()).filter(|file| !plan.survives(*file)).count();
    report.say(format_args!(
        "of {} files {lost} have no honest sharer left: they must be reported as such",
        files.len()
    ));
}

fn broken(error: tokio::task::JoinError) -> Failure {
    Failure::new(Code::Io, format_args!("a task of the demo broke: {error}"))
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "kB", "MB", "GB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1_000.0 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}
