//! `kadlet.sim`: the simulator's runs as rows.

use core::time::Duration;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};

use kadlet_sim::results::{Executed, Follow, Plan, Run, most_memory};
use kadlet_sim::scenario::LIBRARY;
use kadlet_sim::{Scenario, Watch, memory};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::invalid;

/// Stops what runs when Python is interrupted.
#[derive(Default)]
struct Interrupt(Mutex<(bool, Vec<Watch>)>);

impl Interrupt {
    fn stop(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        state.1.iter().for_each(Watch::stop);
    }
}

impl Follow for Interrupt {
    fn begins(&self, _: usize, watch: &Watch) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.push(watch.clone());
        !state.0
    }
    fn ended(&self, _: usize, _: &Run) {}
}

/// Names and texts of the scenarios that come with the simulator.
#[pyfunction]
pub(crate) fn sim_library() -> Vec<(&'static str, &'static str)> {
    LIBRARY.to_vec()
}

/// Runs a scenario; a row for each combination of settings and seed. An exception of one that fails,
/// and of an interrupt, has the rows of those that had ended.
#[pyfunction]
pub(crate) fn sim_run<'py>(
    py: Python<'py>,
    name: &str,
    text: Option<&str>,
    sets: Vec<(String, Vec<String>)>,
    seeds: Vec<u64>,
    threads: usize,
    force: bool,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let scenario = match text {
        Some(text) => Scenario::parse(name, text, name),
        None => Scenario::named(name),
    };
    let plan = Plan::new(scenario.map_err(invalid)?, sets, seeds);
    let runs = plan.runs().map_err(invalid)?;
    if !force {
        memory::fits(most_memory(&runs, threads)).map_err(|too_large| {
            invalid(format!("{too_large}: run with fewer nodes or threads, or with force=True"))
        })?;
    }
    let interrupt = Interrupt::default();
    let (plan, runs, stop) = (&plan, &runs, &interrupt);
    let (rows, problem) = py.detach(|| {
        std::thread::scope(|scope| {
            let (end, ended) = channel();
            scope.spawn(move || {
                // Nobody waits any more if the call was interrupted.
                let _ = end.send(plan.execute(runs, threads, stop));
            });
            let mut problem = None;
            loop {
                match ended.recv_timeout(Duration::from_millis(50)) {
                    Ok(Executed { rows, failure }) => {
                        // Of those that were interrupted it is no news that they failed.
                        let failure = failure.map(|it| PyRuntimeError::new_err(it.to_string()));
                        break (rows, problem.or(failure));
                    }
                    Err(RecvTimeoutError::Disconnected) => {
                        let failure = PyRuntimeError::new_err("a run has failed");
                        break (Vec::new(), problem.or(Some(failure)));
                    }
                    Err(RecvTimeoutError::Timeout) if problem.is_none() => {
                        problem = Python::attach(|py| py.check_signals()).err();
                        if problem.is_some() {
                            stop.stop();
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                }
            }
        })
    });
    let rows = rows.iter().map(|run| row(py, run)).collect::<PyResult<Vec<_>>>()?;
    let Some(problem) = problem else { return Ok(rows) };
    problem.value(py).setattr("rows", rows)?;
    Err(problem)
}

fn row<'py>(py: Python<'py>, run: &Run) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    row.set_item("scenario", &run.scenario)?;
    row.set_item("seed", run.seed)?;
    for (key, value) in &run.settings {
        row.set_item(key, value)?;
    }
    for figure in &run.figures.0 {
        // What is not a number is nothing, as in the CSV.
        row.set_item(figure.name, Some(figure.value).filter(|value| value.is_finite()))?;
        if let Some((name, of)) = figure.denominator() {
            row.set_item(name, of)?;
        }
    }
    Ok(row)
}
