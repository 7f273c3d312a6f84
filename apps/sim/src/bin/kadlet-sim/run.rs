//! `kadlet-sim run`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use kadlet_sim::Scenario;
use kadlet_sim::results::{Executed, Plan, most_memory, to_csv, to_json_lines};

use crate::follow::{Followed, Progress};
use crate::{Failure, STOPPED, folder, memory, say};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// A scenario of the library, or a file that ends with .toml.
    scenario: String,
    /// Sets a key, to several values in turn: alpha=3,5,8. May be given for several keys.
    #[arg(long = "set", value_name = "KEY=VALUE,…")]
    sets: Vec<String>,
    /// Runs with each of the seeds from 1 to N.
    #[arg(long, value_name = "N", conflicts_with = "seed")]
    seeds: Option<u64>,
    /// Runs with this one seed.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Threads that work; the results are the same for any number. As many as there are cores
    /// without it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Writes rows (CSV and JSON lines), summary, report and plots into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Prints one JSON object a run.
    #[arg(long)]
    json: bool,
    /// Runs although the estimate says that it does not fit into memory.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let plan = plan(arguments)?;
    let runs = plan.runs().map_err(Failure::usage)?;
    let threads = match arguments.threads {
        Some(0) => return Err(Failure::usage("--threads 0: at least one thread has to work")),
        Some(threads) => threads,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    if !arguments.force {
        memory::fits(most_memory(&runs, threads), "fewer nodes")?;
    }
    if let Some(dir) = &arguments.out {
        folder::prepare(dir)?;
    }

    let followed = Followed::new(runs.len());
    let told = followed.clone();
    ctrlc::set_handler(move || {
        if told.stop() {
            std::process::exit(STOPPED.into());
        }
    })
    .map_err(|error| Failure { code: 1, message: format!("Ctrl-C cannot be caught: {error}") })?;
    let progress = Progress::start(followed.clone());
    let done = plan.execute(&runs, threads, &*followed);
    progress.end();
    let Executed { rows, failure } = done;

    let written = match (&arguments.out, arguments.json) {
        // What lies there of an earlier run is not to be lost for nothing.
        (Some(_), _) if rows.is_empty() => "no run had ended, and nothing was written".to_owned(),
        (Some(dir), json) => {
            let pages = plan.report(&rows, &command(arguments));
            folder::write(dir, &pages)?;
            if json {
                say(&to_json_lines(&rows))?;
            } else {
                let report = pages.iter().find(|(name, _)| name == "report.md");
                let table =
                    report.map_or("", |(_, text)| text.split("\n![").next().unwrap_or(text));
                say(&format!("{}\n\nWritten to {}.\n", table.trim_end(), dir.display()))?;
            }
            format!("the runs that had ended are in {}", dir.display())
        }
        (None, true) => {
            say(&to_json_lines(&rows))?;
            "the runs that had ended were printed".to_owned()
        }
        (None, false) if runs.len() > 1 && !rows.is_empty() => {
            say(&to_csv(&rows))?;
            "the runs that had ended were printed".to_owned()
        }
        (None, false) => {
            for row in &rows {
                say(&row.figures.to_string())?;
            }
            "no run had ended".to_owned()
        }
    };
    if let Some(failure) = failure {
        return Err(Failure { code: 1, message: format!("{failure}; {written}") });
    }
    if followed.is_stopped() {
        let message = format!("stopped after {} of {} runs: {written}", rows.len(), runs.len());
        return Err(Failure { code: STOPPED, message });
    }
    Ok(())
}

fn plan(arguments: &Arguments) -> Result<Plan, Failure> {
    let scenario = scenario(&arguments.scenario)?;
    let mut sets: Vec<(String, Vec<String>)> = Vec::new();
    for set in &arguments.sets {
        let Some((key, values)) = set.split_once('=') else {
            return Err(Failure::usage(format!(
                "--set {set}: expected KEY=VALUE, or KEY=VALUE,VALUE,… for several"
            )));
        };
        let (key, values) =
            (key.trim(), values.split(',').map(|it| it.trim().to_owned()).collect());
        if sets.iter().any(|(known, _)| known == key) {
            return Err(Failure::usage(format!(
                "--set {set}: {key} is set twice; write {key}=A,B for both"
            )));
        }
        sets.push((key.to_owned(), values));
    }
    let seeds = match (arguments.seeds, arguments.seed) {
        (Some(0), _) => return Err(Failure::usage("--seeds 0: at least one seed has to be run")),
        (Some(count @ 1_000_001..), _) => {
            return Err(Failure::usage(format!("--seeds {count}: at most 1,000,000 at once")));
        }
        (Some(count), _) => (1..=count).collect(),
        (None, seed) => vec![seed.unwrap_or(1)],
    };
    Ok(Plan::new(scenario, sets, seeds))
}

fn scenario(named: &str) -> Result<Scenario, Failure> {
    let path = Path::new(named);
    if path.extension().is_none_or(|it| it != "toml") {
        return Scenario::named(named).map_err(Failure::usage);
    }
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("{named} cannot be read: {error}; `kadlet-sim list` names the scenarios that need no file"))
    })?;
    let name = path.file_stem().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    Scenario::parse(&name, &text, named).map_err(Failure::usage)
}

/// What gives the same again.
fn command(arguments: &Arguments) -> String {
    let mut words = vec!["kadlet-sim run".to_owned(), arguments.scenario.clone()];
    words.extend(arguments.sets.iter().map(|set| match set.contains(' ') {
        true => format!("--set '{set}'"),
        false => format!("--set {set}"),
    }));
    words.extend(arguments.seeds.map(|count| format!("--seeds {count}")));
    words.extend(arguments.seed.map(|seed| format!("--seed {seed}")));
    words.join(" ")
}
