//! Progress of long runs, and Ctrl-C.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{IsTerminal, Write, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use kadlet_sim::Watch;
use kadlet_sim::results::{Follow, Run};

use crate::memory;

/// What all threads know of the runs.
#[derive(Default)]
pub(super) struct Followed {
    /// What part of all the work each run is, about.
    shares: Vec<f64>,
    stopped: AtomicBool,
    runs: Mutex<Runs>,
}

#[derive(Default)]
struct Runs {
    running: Vec<(usize, Watch)>,
    ended: usize,
    /// The datagrams of those that have ended, and what part of the work they were.
    datagrams: u64,
    share: f64,
}

impl Followed {
    /// So many runs that take equally long.
    pub(super) fn new(total: usize) -> Arc<Self> {
        // Far below 2^53 of them.
        Self::with_shares(vec![1.0 / total.max(1) as f64; total])
    }

    /// Runs that are about these parts of the work.
    pub(super) fn with_shares(shares: Vec<f64>) -> Arc<Self> {
        Arc::new(Self { shares, ..Self::default() })
    }

    /// Ends what runs and begins nothing more; whether that was said before.
    pub(super) fn stop(&self) -> bool {
        let before = self.stopped.swap(true, Ordering::SeqCst);
        self.lock().running.iter().for_each(|(_, watch)| watch.stop());
        before
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    pub(super) fn begin(&self, number: usize, watch: &Watch) {
        self.lock().running.push((number, watch.clone()));
    }

    pub(super) fn end(&self, number: usize) {
        let mut runs = self.lock();
        if let Some(place) = runs.running.iter().position(|(one, _)| *one == number) {
            let (_, watch) = runs.running.swap_remove(place);
            runs.datagrams += watch.datagrams();
        }
        runs.ended += 1;
        runs.share += self.share(number);
    }

    fn share(&self, number: usize) -> f64 {
        self.shares.get(number).copied().unwrap_or(0.0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, since: Instant) -> String {
        let (elapsed, runs) = (since.elapsed().as_secs_f64(), self.lock());
        let mut line = format!("{} of {} runs", runs.ended, self.shares.len());
        let watches = || runs.running.iter().map(|(_, watch)| watch);
        // Of the one that has most left to do.
        let left = |(number, watch): &&(usize, Watch)| {
            self.share(*number) * (1.0 - watch.share().unwrap_or(0.0))
        };
        let longest = runs.running.iter().max_by(|a, b| left(a).total_cmp(&left(b)));
        if let Some((_, watch)) = longest {
            line += &format!("; virtual time {}", clock(watch.now()));
        }
        let datagrams = runs.datagrams + watches().map(Watch::datagrams).sum::<u64>();
        line += &format!("; {:.0} datagrams/s", datagrams as f64 / elapsed.max(0.001));
        if let Some(bytes) = memory::resident() {
            line += &format!("; {}", memory::size(bytes));
        }
        let part = |(number, watch): &(usize, Watch)| Some(self.share(*number) * watch.share()?);
        let done = runs.share + runs.running.iter().filter_map(part).sum::<f64>();
        if done > 0.0 {
            let left = elapsed / done * (1.0 - done).max(0.0);
            line += &format!("; about {} left", clock(Duration::from_secs_f64(left)));
        }
        line
    }
}

impl Follow for Followed {
    fn begins(&self, number: usize, watch: &Watch) -> bool {
        if self.is_stopped() {
            return false;
        }
        self.begin(number, watch);
        // Whoever stopped in between did not see this one.
        !self.is_stopped()
    }

    fn ended(&self, number: usize, _: &Run) {
        self.end(number);
    }
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// Says how far the runs are: on a terminal in one line that changes, elsewhere every ten seconds.
pub(super) struct Progress {
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl Progress {
    pub(super) fn start(followed: Arc<Followed>) -> Self {
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            let (since, terminal) = (Instant::now(), stderr().is_terminal());
            let mut shown = false;
            let mut pause = Duration::from_millis(if terminal { 500 } else { 1_000 });
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                pause = Duration::from_millis(if terminal { 500 } else { 10_000 });
                let line = followed.line(since);
                // Nobody is there to be told that telling fails.
                let _ = if terminal {
                    write!(stderr(), "\r\x1b[K{line}")
                } else {
                    writeln!(stderr(), "{line}")
                };
                shown = terminal;
            }
            if shown {
                let _ = writeln!(stderr());
            }
        });
        Self { end, thread }
    }

    pub(super) fn end(self) {
        drop(self.end);
        // It only prints.
        let _ = self.thread.join();
    }
}
