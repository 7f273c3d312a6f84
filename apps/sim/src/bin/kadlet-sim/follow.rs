//! Progress of long runs, and Ctrl-C.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    total: usize,
    ended: AtomicUsize,
    stopped: AtomicBool,
    running: Mutex<Vec<(usize, Watch)>>,
    /// Datagrams of runs that have ended.
    datagrams: Mutex<u64>,
}

impl Followed {
    pub(super) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { total, ..Self::default() })
    }

    /// Ends what runs and begins nothing more; whether that was said before.
    pub(super) fn stop(&self) -> bool {
        let before = self.stopped.swap(true, Ordering::SeqCst);
        self.lock().iter().for_each(|(_, watch)| watch.stop());
        before
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(usize, Watch)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, since: Instant) -> String {
        let (running, now) = {
            let running = self.lock();
            (
                running.iter().map(|(_, watch)| watch.datagrams()).sum::<u64>(),
                running.iter().map(|(_, watch)| watch.now()).max(),
            )
        };
        let datagrams = running + *self.datagrams.lock().unwrap_or_else(PoisonError::into_inner);
        let (elapsed, ended) = (since.elapsed().as_secs_f64(), self.ended.load(Ordering::Relaxed));
        let mut line = format!("{ended} of {} runs", self.total);
        if let Some(now) = now {
            line += &format!("; virtual time {}", clock(now));
        }
        line += &format!("; {:.0} datagrams/s", datagrams as f64 / elapsed.max(0.001));
        if let Some(bytes) = memory::resident() {
            line += &format!("; {}", memory::size(bytes));
        }
        if ended > 0 {
            let left = elapsed / ended as f64 * (self.total - ended) as f64;
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
        self.lock().push((number, watch.clone()));
        // Whoever stopped in between did not see this one.
        !self.is_stopped()
    }

    fn ended(&self, number: usize, _: &Run) {
        let mut running = self.lock();
        if let Some(place) = running.iter().position(|(one, _)| *one == number) {
            let (_, watch) = running.swap_remove(place);
            *self.datagrams.lock().unwrap_or_else(PoisonError::into_inner) += watch.datagrams();
        }
        self.ended.fetch_add(1, Ordering::Relaxed);
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
