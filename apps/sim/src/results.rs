//! Many runs of a scenario: seeds and settings, the rows they give, and what these say together.

mod plots;
mod report;
mod rows;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

pub use rows::{Interval, interval, to_csv, to_json_lines};

use crate::experiment::figures::Figures;
use crate::page::Page;
use crate::report::NotAtRest;
use crate::scenario::{Scenario, ScenarioError};
use crate::watch::Watch;

/// What is run: a scenario with every combination of settings, for every seed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As the file says it.
    pub scenario: Scenario,
    /// Keys and the values each takes in turn.
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

impl Plan {
    /// All runs, by settings and seed.
    ///
    /// # Errors
    /// If a setting cannot be, or does not go with the others.
    pub fn runs(&self) -> Result<Vec<Todo>, ScenarioError> {
        let mut combinations = vec![(self.scenario.clone(), Vec::new())];
        for (key, values) in &self.sets {
            let mut next = Vec::with_capacity(combinations.len() * values.len());
            for (scenario, settings) in &combinations {
                for value in values {
                    let (mut scenario, mut settings) = (scenario.clone(), settings.clone());
                    scenario.set(key, value)?;
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
    /// when it has ended. A run that is stopped gives no row.
    ///
    /// # Errors
    /// The first run that did not come to rest of itself.
    pub fn execute(
        &self,
        runs: &[Todo],
        threads: usize,
        follow: &(dyn Follow + Sync),
    ) -> Result<Vec<Run>, NotAtRest> {
        let threads = threads.max(1);
        // Runs side by side; what is left of the threads goes into the runs themselves.
        let beside = threads.min(runs.len().max(1));
        let each = (threads / beside).max(1);
        let next = AtomicUsize::new(0);
        let rows: Vec<Mutex<Option<Result<Run, NotAtRest>>>> =
            runs.iter().map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            for _ in 0..beside {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let (Some(todo), Some(place)) = (runs.get(number), rows.get(number)) else {
                            break;
                        };
                        let watch = Watch::default();
                        if !follow.begins(number, &watch) {
                            break;
                        }
                        let done = todo.scenario.run(todo.seed, each, &watch);
                        let row = match done {
                            _ if watch.is_stopped() => None,
                            Ok(figures) => Some(Ok(Run {
                                scenario: todo.scenario.name.clone(),
                                settings: todo.settings.clone(),
                                seed: todo.seed,
                                figures,
                            })),
                            Err(error) => Some(Err(error)),
                        };
                        if let Some(Ok(run)) = &row {
                            follow.ended(number, run);
                        }
                        *place.lock().unwrap_or_else(PoisonError::into_inner) = row;
                    }
                });
            }
        });
        rows.into_iter()
            .filter_map(|row| row.into_inner().unwrap_or_else(PoisonError::into_inner))
            .collect()
    }

    /// The files that say what came of it: rows, summary, report and plots. `command` is what gives
    /// the same again.
    #[must_use]
    pub fn report(&self, runs: &[Run], command: &str) -> Vec<Page> {
        let plots = plots::plots(&self.scenario, runs);
        let mut files = vec![
            ("runs.jsonl".to_owned(), to_json_lines(runs)),
            ("runs.csv".to_owned(), to_csv(runs)),
            ("summary.csv".to_owned(), rows::summary_csv(runs)),
            ("report.md".to_owned(), report::report(&self.scenario, runs, command, &plots)),
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
