//! Many runs of a scenario: seeds and settings, the rows they give, and what these say together.

mod plots;
mod report;
mod rows;

use alloc::sync::Arc;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

pub use rows::{Interval, interval, to_csv, to_json_lines};

use crate::experiment::figures::Figures;
use crate::memory::estimate_memory;
use crate::page::Page;
use crate::scenario::{Scenario, ScenarioError};
use crate::watch::Watch;

/// What is run: a scenario with every combination of settings, for every seed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As the file says it.
    pub scenario: Scenario,
    /// Keys and the values each takes in turn; those of the file first.
    pub sets: Vec<(String, Vec<String>)>,
    /// Seeds.
    pub seeds: Vec<u64>,
}

/// One run.
#[derive(Clone, PartialEq, Debug)]
pub struct Run {
    /// The scenario's name.
    pub scenario: String,
    /// The keys that were set, and their values.
    pub settings: Vec<(String, String)>,
    /// Its seed.
    pub seed: u64,
    /// What came of it.
    pub figures: Figures,
}

/// What came of many runs.
#[derive(Clone, Debug)]
pub struct Executed {
    /// Those that ended.
    pub rows: Vec<Run>,
    /// The first that did not, which was the end of them all.
    pub failure: Option<Failure>,
}

/// A run that did not come to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Its settings and its seed, as they are typed.
    pub run: String,
    /// Why.
    pub why: String,
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the run with {} failed: {}", self.run, self.why)
    }
}

/// One run that is to be done.
#[derive(Clone, Debug)]
pub struct Todo {
    /// With its settings.
    pub scenario: Scenario,
    /// The keys that are set.
    pub settings: Vec<(String, String)>,
    /// Its seed.
    pub seed: u64,
}

impl Todo {
    /// Its settings and its seed, as they are typed.
    fn typed(&self) -> String {
        let sets = self.settings.iter().map(|(key, value)| format!("--set \"{key}={value}\""));
        sets.chain([format!("--seed {}", self.seed)]).collect::<Vec<_>>().join(" ")
    }
}

/// Bytes that these runs take at most on so many threads, about ([`estimate_memory`]).
#[must_use]
pub fn most_memory(runs: &[Todo], threads: usize) -> u64 {
    let of = |Todo { scenario, .. }: &Todo| {
        let nodes =
            estimate_memory(scenario.most_nodes(), &scenario.config(), scenario.addresses());
        nodes.saturating_add(scenario.bytes_of_values())
    };
    let most = runs.iter().map(of).max().unwrap_or(0);
    most.saturating_mul(threads.min(runs.len()) as u64)
}

impl Plan {
    /// A scenario with what is swept in its file, and with these settings instead or beside.
    #[must_use]
    pub fn new(scenario: Scenario, sets: Vec<(String, Vec<String>)>, seeds: Vec<u64>) -> Self {
        let of_file =
            scenario.sweeps.iter().filter(|(key, _)| sets.iter().all(|(it, _)| it != key));
        let sets = of_file.cloned().chain(sets.iter().cloned()).collect();
        Self { scenario, sets, seeds }
    }

    /// All runs, by settings and seed.
    ///
    /// # Errors
    /// If a setting cannot be, or does not go with the others.
    pub fn runs(&self) -> Result<Vec<Todo>, ScenarioError> {
        let mut combinations = vec![(self.scenario.clone(), Vec::new())];
        for (key, values) in &self.sets {
            let mut next = Vec::with_capacity(combinations.len() * values.len());
            for (scenario, settings) in &combinations {
                let mut seen = Vec::with_capacity(values.len());
                for value in values {
                    let (mut scenario, mut settings) = (scenario.clone(), settings.clone());
                    scenario.set(key, value)?;
                    // Runs that are counted twice would make figures look surer than they are.
                    if seen.contains(&scenario) {
                        let origin = format!("--set {key}={}", values.join(","));
                        let what = format!("{value} is there twice");
                        return Err(ScenarioError { origin, line: None, what });
                    }
                    seen.push(scenario.clone());
                    settings.push((key.clone(), value.clone()));
                    next.push((scenario, settings));
                }
            }
            combinations = next;
        }
        let mut runs = Vec::with_capacity(combinations.len() * self.seeds.len());
        for (scenario, settings) in combinations {
            scenario.check().map_err(|what| {
                let said: Vec<_> =
                    settings.iter().map(|(key, value)| format!("--set {key}={value}")).collect();
                let origin = if said.is_empty() { scenario.name.clone() } else { said.join(" ") };
                ScenarioError { origin, line: None, what }
            })?;
            for seed in &self.seeds {
                runs.push(Todo {
                    scenario: scenario.clone(),
                    settings: settings.clone(),
                    seed: *seed,
                });
            }
        }
        Ok(runs)
    }

    /// Does them on so many threads; rows come in the order of [`Self::runs`] for any number of
    /// them. `follow` is given every run's [`Watch`] when it begins, with its number, and its row
    /// when it has ended. A run that is stopped gives no row; after one that fails no other begins.
    pub fn execute(&self, runs: &[Todo], threads: usize, follow: &(dyn Follow + Sync)) -> Executed {
        let threads = threads.max(1);
        // Runs side by side; what is left of the threads goes into the runs themselves.
        let beside = threads.min(runs.len().max(1));
        let each = (threads / beside).max(1);
        let next = AtomicUsize::new(0);
        let rows: Vec<Mutex<Option<Run>>> = runs.iter().map(|_| Mutex::new(None)).collect();
        let failure: Mutex<Option<(usize, Failure)>> = Mutex::new(None);
        let failed = || failure.lock().unwrap_or_else(PoisonError::into_inner);
        std::thread::scope(|scope| {
            for _ in 0..beside {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let (Some(todo), Some(place)) = (runs.get(number), rows.get(number)) else {
                            break;
                        };
                        let watch = Watch::default();
                        if failed().is_some() || !follow.begins(number, &watch) {
                            break;
                        }
                        // What the runs before have given is worth keeping even if this one panics;
                        // nothing of it is used again.
                        let run = || todo.scenario.run(todo.seed, each, &watch);
                        let done = std::panic::catch_unwind(AssertUnwindSafe(run));
                        let why = match done {
                            _ if watch.is_stopped() => continue,
                            Ok(Ok(figures)) => {
                                let run = Run {
                                    scenario: todo.scenario.name.clone(),
                                    settings: todo.settings.clone(),
                                    seed: todo.seed,
                                    figures,
                                };
                                follow.ended(number, &run);
                                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
                                continue;
                            }
                            Ok(Err(error)) => error.to_string(),
                            Err(_) => "it panicked, which is a bug of the simulator".to_owned(),
                        };
                        let mut first = failed();
                        if first.as_ref().is_none_or(|(earlier, _)| number < *earlier) {
                            *first = Some((number, Failure { run: todo.typed(), why }));
                        }
                    }
                });
            }
        });
        let ended = rows
            .into_iter()
            .filter_map(|row| row.into_inner().unwrap_or_else(PoisonError::into_inner));
        let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        Executed { rows: ended.collect(), failure: failure.map(|(_, failure)| failure) }
    }

    /// The plan whose scenario has the values that do not change from run to run.
    fn as_run(&self) -> Self {
        let mut plan = self.clone();
        for (key, values) in &self.sets {
            if let [value] = &values[..] {
                // It has been set so before the runs.
                let _ = plan.scenario.set(key, value);
            }
        }
        plan
    }

    /// The value of a key, or all that it takes in turn.
    fn value(&self, key: &str) -> String {
        let swept = self.sets.iter().find(|(set, values)| set == key && values.len() > 1);
        match swept {
            Some((_, values)) => values.join(", "),
            None => {
                let values = self.scenario.values();
                let found = values.iter().find(|(name, _)| *name == key);
                found.map(|(_, value)| value.to_string()).unwrap_or_default()
            }
        }
    }

    /// The files that say what came of it: rows, summary, report and plots. `command` is what gives
    /// the same again.
    #[must_use]
    pub fn report(&self, runs: &[Run], command: &str) -> Vec<Page> {
        let plan = &self.as_run();
        let plots = plots::plots(plan, runs);
        let mut files = vec![
            ("runs.jsonl".to_owned(), to_json_lines(runs)),
            ("runs.csv".to_owned(), to_csv(runs)),
            ("summary.csv".to_owned(), rows::summary_csv(runs)),
            ("report.md".to_owned(), report::report(plan, runs, command, &plots)),
        ];
        files.extend(plots.into_iter().map(|(name, plot)| (format!("{name}.svg"), plot.svg())));
        files
    }
}

/// Somebody who follows many runs.
pub trait Follow {
    /// A run begins; whether it may.
    fn begins(&self, number: usize, watch: &Watch) -> bool;
    /// It has ended.
    fn ended(&self, number: usize, run: &Run);
}

/// Nobody.
impl Follow for () {
    fn begins(&self, _: usize, _: &Watch) -> bool {
        true
    }
    fn ended(&self, _: usize, _: &Run) {}
}

/// A scenario that is followed through an `Arc`, for hosts that share it.
impl<T: Follow + ?Sized> Follow for Arc<T> {
    fn begins(&self, number: usize, watch: &Watch) -> bool {
        (**self).begins(number, watch)
    }
    fn ended(&self, number: usize, run: &Run) {
        (**self).ended(number, run);
    }
}
