//! Being asked to stop: Ctrl-C, the system's request, a terminal that is closed.
//!
//! Commands that leave something to tidy up listen before they start anything: a signal that comes
//! in the first moment is not lost, and does not end them in the middle. All others end as the
//! system has it.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from when it is made.
pub(crate) struct Stop {
    #[cfg(unix)]
    signals: Vec<Signal>,
}

impl Stop {
    #[cfg(unix)]
    pub(crate) fn listen() -> Self {
        let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
        if !hangup_is_ignored() {
            kinds.push(SignalKind::hangup());
        }
        // A signal that cannot be listened to ends us in the system's own way.
        Self { signals: kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect() }
    }

    #[cfg(not(unix))]
    pub(crate) const fn listen() -> Self {
        Self {}
    }

    /// Ends when it is time to stop.
    #[cfg(unix)]
    pub(crate) async fn requested(&mut self) {
        core::future::poll_fn(|cx| {
            let mut signals = self.signals.iter_mut();
            if signals.any(|signal| signal.poll_recv(cx).is_ready()) {
                return core::task::Poll::Ready(());
            }
            core::task::Poll::Pending
        })
        .await;
    }

    #[cfg(not(unix))]
    pub(crate) async fn requested(&mut self) {
        // A system without signals stops us in its own way.
        if tokio::signal::ctrl_c().await.is_err() {
            core::future::pending::<()>().await;
        }
    }
}

/// Whether somebody wants us to outlive the terminal: `nohup` has the signal ignored, which
/// listening to it would undo.
#[cfg(target_os = "linux")]
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The lowest bit is signal 1, SIGHUP.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_none_or(|it| it & 1 == 1)
}

/// Nothing safe tells: then a terminal that is closed ends us in the system's own way.
#[cfg(all(unix, not(target_os = "linux")))]
const fn hangup_is_ignored() -> bool {
    true
}
