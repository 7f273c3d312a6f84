//! Datagrams on their way out: sent at once, or kept for a moment while a socket is full.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll};
use std::io;

use kadlet_core::{Path, Transmit};

use super::Counters;
use crate::sockets::{Link, is_path_failure};

/// Datagrams kept while a socket's send buffer is full, for all sockets together: one turn of a
/// busy node makes fewer. Beyond it they are lost, as they would be on the way.
const BACKLOG: usize = 1024;

/// The sockets, and what waits for them.
#[derive(Debug)]
pub(super) struct Outbox {
    links: Vec<Link>,
    backlog: VecDeque<Transmit>,
    failed: Vec<Path>,
    counters: Arc<Counters>,
}

impl Outbox {
    pub(super) const fn new(links: Vec<Link>, counters: Arc<Counters>) -> Self {
        Self { links, backlog: VecDeque::new(), failed: Vec::new(), counters }
    }

    pub(super) fn links(&self) -> &[Link] {
        &self.links
    }

    /// The path to an address by the first link that reaches it.
    pub(super) fn path_to(&self, remote: SocketAddr) -> Option<Path> {
        self.links.iter().find(|link| link.reaches(remote)).map(|link| link.path(remote))
    }

    /// A path that turned out not to work and was not yet reported.
    pub(super) fn failed(&mut self) -> Option<Path> {
        self.failed.pop()
    }

    /// Sends a datagram now, or after those that wait already, so that nothing overtakes.
    pub(super) fn send(&mut self, transmit: Transmit) {
        if self.backlog.is_empty() && self.try_send(&transmit) {
            return;
        }
        if self.backlog.len() < BACKLOG {
            self.backlog.push_back(transmit);
        } else {
            self.counters.sends_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends what waits. Whether any of it left.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let mut sent = false;
        while let Some(transmit) = self.backlog.front() {
            let ready = match self.link(transmit.path) {
                Some(link) => link.udp.poll_send_ready(cx),
                None => Poll::Ready(Ok(())),
            };
            if ready.is_pending() {
                break;
            }
            let Some(transmit) = self.backlog.pop_front() else { break };
            if self.try_send(&transmit) {
                sent = true;
            } else {
                // Readiness was stale: the next turn of the loop registers for the real one.
                self.backlog.push_front(transmit);
            }
        }
        sent
    }

    fn link(&self, path: Path) -> Option<&Link> {
        self.links.iter().find(|link| link.id == path.link)
    }

    /// False if the socket is full. A failure of any other kind is noted, and done with.
    fn try_send(&mut self, transmit: &Transmit) -> bool {
        let Some(link) = self.link(transmit.path) else {
            self.counters.sends_lost.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        match link.udp.try_send_to(&transmit.payload, transmit.path.remote) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                self.counters.send_errors.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, remote = %transmit.path.remote, "a send failed");
                if is_path_failure(&error) {
                    self.failed.push(transmit.path);
                }
                true
            }
        }
    }
}
