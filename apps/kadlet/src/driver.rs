//! The task that owns a [`Node`] and its sockets: bytes and time in, bytes and events out.
//!
//! The loop in words: poll the commands, the sockets, the store's acknowledgements, the local
//! network and the timer; whenever one of them had something, tell the node and then drain it.
//! Nothing of the protocol is decided here.
//!
//! Rules:
//! - A socket error never ends the loop (mistake 30). One that a send gave is told to the node as a
//!   failed path; one that a receive gave belongs to an earlier send, nobody knows which, and is
//!   counted.
//! - Everything that is drained together is sent together, and only after the records among it
//!   are committed: whoever gets an acknowledgement can rely on it ([`crate::data`]).
//! - No allocation, no channel and no timer registration for a datagram: batches are drained
//!   until the socket is empty, and the timer is armed again only when a deadline moves forward.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::future::poll_fn;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::HashMap;
use std::io;

use kadlet_core::{Change, Event, Instant, Node, OperationId, StoreChange, Transmit};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Sleep;

use crate::clock::Clock;
use crate::data::{Committed, Journal, Report};
use crate::error::Error;
use crate::lan::Lan;
use crate::sockets::Link;

#[cfg(feature = "webrtc")]
mod channels;
mod command;
mod outbox;

pub(crate) use command::{Command, Start, Ticket};
use outbox::Outbox;

/// Datagrams taken from one socket before the node is drained: enough to share the cost of a
/// wake-up, few enough that answers do not wait (64 at 1 µs each).
const BATCH: usize = 64;

/// Longest datagram that is looked at; both wires stay below, and a longer one arrives cut to a
/// length that is still too long for them.
const LONGEST: usize = 2048;

/// Longest wait, so that a clock that was stopped (a laptop that slept) is noticed.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Datagrams kept while their records are written; at 5 ms a commit and 100,000 datagrams a
/// second. Beyond it they are lost: an acknowledgement that is lost is no lie.
const HELD: usize = 4096;

/// Counters of the host's side; the node's own are in its `Stats`.
#[derive(Default, Debug)]
pub(crate) struct Counters {
    pub(crate) receive_errors: AtomicU64,
    pub(crate) send_errors: AtomicU64,
    pub(crate) sends_lost: AtomicU64,
    pub(crate) write_failures: AtomicU64,
    pub(crate) contacts_kept: AtomicU64,
}

/// Where the events of one operation go.
#[derive(Debug)]
struct Sink {
    ticket: Ticket,
    events: mpsc::Sender<Result<Event, Error>>,
    /// Whether each step is wanted, or results only.
    trace: bool,
}

impl Sink {
    /// Hands an event on. A receiver that does not keep up loses steps and results, never the end:
    /// the last place of the channel is kept for it.
    fn send(&self, event: Event) {
        let step = matches!(
            event,
            Event::Started { .. }
                | Event::Asked { .. }
                | Event::Answered { .. }
                | Event::Failed { .. }
        );
        let last = matches!(event, Event::Done { .. });
        if (step && !self.trace) || (!last && self.events.capacity() <= 1) {
            return;
        }
        // A receiver that is gone has sent its cancellation already.
        let _ = self.events.try_send(Ok(event));
    }
}

/// Everything the task works with.
pub(crate) struct Driver {
    node: Node,
    outbox: Outbox,
    clock: Clock,
    commands: mpsc::UnboundedReceiver<Command>,
    sinks: HashMap<OperationId, Sink>,
    tickets: HashMap<Ticket, OperationId>,
    notices: broadcast::Sender<Event>,
    journal: Option<Journal>,
    /// What waits for a commit, with the batch it waits for.
    held: VecDeque<(u64, Transmit)>,
    #[cfg(feature = "webrtc")]
    channels: channels::Held,
    lan: Option<Lan>,
    /// How many nodes of the local network have answered us.
    lan_found: watch::Sender<usize>,
    lan_operations: Vec<OperationId>,
    sleep: Pin<Box<Sleep>>,
    /// When the sleep ends.
    armed: Instant,
    counters: Arc<Counters>,
    /// Why the state folder cannot be written, while it cannot.
    unwritable: watch::Sender<Option<String>>,
    closing: Option<oneshot::Sender<()>>,
    closed: bool,
}

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) node: Node,
    pub(crate) links: Vec<Link>,
    pub(crate) clock: Clock,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) notices: broadcast::Sender<Event>,
    pub(crate) journal: Option<Journal>,
    /// Whether others may open data channels with us.
    #[cfg(feature = "webrtc")]
    pub(crate) channels: bool,
    pub(crate) lan: Option<Lan>,
    pub(crate) lan_found: watch::Sender<usize>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) unwritable: watch::Sender<Option<String>>,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            #[cfg(feature = "webrtc")]
            channels: channels::Held::new(&parts),
            node: parts.node,
            outbox: Outbox::new(parts.links, Arc::clone(&parts.counters)),
            clock: parts.clock,
            commands: parts.commands,
            sinks: HashMap::new(),
            tickets: HashMap::new(),
            notices: parts.notices,
            journal: parts.journal,
            held: VecDeque::new(),
            lan: parts.lan,
            lan_found: parts.lan_found,
            lan_operations: Vec::new(),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed: Instant::EPOCH,
            counters: parts.counters,
            unwritable: parts.unwritable,
            closing: None,
            closed: false,
        }
    }

    /// Runs until a command ends it or nobody is left to give one.
    pub(crate) async fn run(mut self) {
        for link in self.outbox.links() {
            let now = self.now();
            self.node.link_up(now, link.id, link.reached_at(), link.families(), link.mtu());
        }
        poll_fn(|cx| self.poll(cx)).await;
        let now = self.now();
        if let Some(journal) = self.journal.take() {
            journal.close(&self.node, now, |report| _ = self.note(report)).await;
        }
        if let Some(closing) = self.closing.take() {
            let _ = closing.send(());
        }
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Works until everything that could wake the task has been registered for waking it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = self.now();
            let mut worked = self.poll_commands(cx, now);
            worked |= self.poll_sockets(cx, now);
            worked |= self.poll_journal(cx, now);
            worked |= self.poll_lan(cx, now);
            worked |= self.poll_timer(now);
            self.drain(now);
            #[cfg(feature = "webrtc")]
            {
                worked |= self.poll_channels(cx, now);
            }
            worked |= self.outbox.poll(cx);
            if self.closed {
                return Poll::Ready(());
            }
            if !worked && self.arm(cx) {
                return Poll::Pending;
            }
        }
    }

    fn poll_commands(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut worked = false;
        for _ in 0..BATCH {
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => self.obey(now, command),
                // Every handle was dropped: nobody can want anything any more.
                Poll::Ready(None) => self.close(now),
                Poll::Pending => break,
            }
            worked = true;
            if self.closed {
                break;
            }
        }
        worked
    }

    fn obey(&mut self, now: Instant, command: Command) {
        match command {
            Command::Start { ticket, start, events, trace } => match start(&mut self.node, now) {
                Ok(operation) => {
                    self.tickets.insert(ticket, operation);
                    self.sinks.insert(operation, Sink { ticket, events, trace });
                }
                Err(error) => {
                    let _ = events.try_send(Err(error));
                }
            },
            Command::Leave(ticket) => {
                if let Some(operation) = self.tickets.remove(&ticket) {
                    self.sinks.remove(&operation);
                    self.node.cancel(now, operation);
                }
            }
            Command::Withdraw(operation) => {
                self.node.cancel(now, operation);
            }
            Command::Inspect(look) => look(&self.node, now),
            Command::Write(write, done) => match &mut self.journal {
                Some(journal) => journal.write(write, done),
                None => {
                    let _ = done.send(Ok(()));
                }
            },
            Command::AskLan => {
                if let Some(lan) = &mut self.lan {
                    lan.ask();
                }
            }
            #[cfg(feature = "webrtc")]
            Command::Channels(wish) => self.channels.wish(wish, now),
            Command::Shutdown(done) => {
                self.closing = Some(done);
                self.close(now);
            }
        }
    }

    fn close(&mut self, now: Instant) {
        self.node.shutdown(now);
        #[cfg(feature = "webrtc")]
        self.close_channels(now);
        self.closed = true;
    }

    fn poll_sockets(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut worked = false;
        let mut buffer = [0; LONGEST];
        for link in self.outbox.links() {
            if link.udp.poll_recv_ready(cx).is_pending() {
                continue;
            }
            worked = true;
            for _ in 0..BATCH {
                match link.udp.try_recv_from(&mut buffer) {
                    Ok((length, remote)) => {
                        let datagram = buffer.get(..length).unwrap_or_default();
                        #[cfg(feature = "webrtc")]
                        if self.channels.takes(link.id, remote, datagram, now) {
                            continue;
                        }
                        // Counted by the node, by reason: there is nothing else to do about it.
                        let _ = self.node.handle_datagram(now, link.path(remote), datagram);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        self.counters.receive_errors.fetch_add(1, Ordering::Relaxed);
                        tracing::debug!(%error, bound = %link.bound, "a receive failed");
                    }
                }
            }
        }
        worked
    }

    /// Sends what waited for the commits that are now done.
    fn poll_journal(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut worked = false;
        while let Some(journal) = &mut self.journal
            && let Poll::Ready(report) = journal.poll_report(cx)
        {
            worked = true;
            if matches!(report, Report::TakesWrites) {
                // What was lost meanwhile is in it.
                journal.changes_lost(&self.node, now);
            }
            if let Some(Committed { batch, ok, .. }) = self.note(report) {
                while self.held.front().is_some_and(|(held, _)| *held <= batch) {
                    let Some((_, transmit)) = self.held.pop_front() else { break };
                    // What was not written is not acknowledged either.
                    if ok {
                        self.send(transmit);
                    }
                }
            }
        }
        worked
    }

    /// Counts what the store says, and tells those who want to know; a commit is given back.
    fn note(&self, report: Report) -> Option<Committed> {
        match report {
            Report::Committed(committed) => {
                if !committed.ok {
                    self.counters.write_failures.fetch_add(1, Ordering::Relaxed);
                } else if let Some(contacts) = committed.contacts {
                    self.counters.contacts_kept.store(contacts, Ordering::Relaxed);
                }
                return Some(committed);
            }
            Report::Unwritable(reason) => _ = self.unwritable.send_replace(Some(reason)),
            Report::Written => _ = self.unwritable.send_replace(None),
            Report::TakesWrites => {}
        }
        None
    }

    fn poll_lan(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(lan) = &mut self.lan else { return false };
        let mut worked = false;
        while let Poll::Ready(found) = lan.poll(cx) {
            worked = true;
            let Some(address) = found else { continue };
            let Some(path) = self.outbox.path_to(address) else { continue };
            tracing::debug!(%address, "heard of a node in the local network");
            let operation = self.node.bootstrap(now, &[path]);
            self.lan_operations.push(operation);
        }
        worked
    }

    fn poll_timer(&mut self, now: Instant) -> bool {
        let due = self.node.poll_timeout().is_some_and(|deadline| deadline <= now);
        if due {
            self.node.handle_timeout(now);
        }
        due
    }

    /// Makes sure that the task wakes for the node's next deadline. False if it is over already.
    fn arm(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.now();
        let wait_until = now + LONGEST_WAIT;
        let mut wanted = self.node.poll_timeout().map_or(wait_until, |at| at.min(wait_until));
        if let Some(journal) = &self.journal {
            wanted = journal.deadline().map_or(wanted, |at| at.min(wanted));
        }
        #[cfg(feature = "webrtc")]
        {
            wanted = self.channels.deadline().map_or(wanted, |at| at.min(wanted));
        }
        if wanted <= now {
            return false;
        }
        // A sleep that ends too early costs one idle turn; moving it back each time costs more.
        if self.armed <= now || wanted < self.armed || self.sleep.is_elapsed() {
            self.armed = wanted;
            // The timer's unit is the millisecond and it rounds up, as it must.
            self.sleep.as_mut().reset(self.clock.moment(wanted));
        }
        self.sleep.as_mut().poll(cx).is_pending()
    }

    /// Takes everything the node has to give, until it has nothing more.
    fn drain(&mut self, now: Instant) {
        loop {
            let batch = self.drain_changes(now);
            while let Some(transmit) = self.node.poll_transmit() {
                match batch {
                    None => self.send(transmit),
                    Some(batch) if self.held.len() < HELD => self.held.push_back((batch, transmit)),
                    Some(_) => {
                        self.counters.sends_lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            while let Some(event) = self.node.poll_event() {
                self.dispatch(event);
            }
            let Some(path) = self.outbox.failed() else { return };
            self.node.handle_path_failed(now, path);
        }
    }

    /// By the channel to its address, where there is one, else over the socket.
    fn send(&mut self, transmit: Transmit) {
        #[cfg(feature = "webrtc")]
        if self.channels.send(&transmit) {
            return;
        }
        self.outbox.send(transmit);
    }

    /// Hands the changes to the journal; the batch that must be committed before anything goes out.
    fn drain_changes(&mut self, now: Instant) -> Option<u64> {
        let Some(journal) = &mut self.journal else {
            while self.node.poll_change().is_some() {}
            return None;
        };
        while let Some(change) = self.node.poll_change() {
            match change {
                Change::Record(StoreChange::Stored { name, record }) => {
                    journal.record_stored(name.as_bytes(), record);
                }
                Change::Record(StoreChange::Removed { name }) => {
                    journal.record_removed(name.as_bytes());
                }
                Change::Record(_) => journal.changes_lost(&self.node, now),
                Change::Contacts => journal.contacts_changed(now),
                _ => {}
            }
        }
        if journal.deadline().is_some_and(|due| due <= now) {
            journal.state(&self.node, now);
        }
        journal.flush()
    }

    fn dispatch(&mut self, event: Event) {
        #[cfg(feature = "webrtc")]
        if self.channels.heard(&event, self.now()) {
            return;
        }
        let Some(operation) = event.operation() else {
            // Nobody listens: nobody wanted to know.
            let _ = self.notices.send(event);
            return;
        };
        if let Some(place) = self.lan_operations.iter().position(|lan| *lan == operation) {
            match event {
                Event::Answered { .. } => self.lan_found.send_modify(|found| *found += 1),
                Event::Done { .. } => {
                    self.lan_operations.swap_remove(place);
                }
                _ => {}
            }
            return;
        }
        if let Event::Done { .. } = event {
            if let Some(sink) = self.sinks.remove(&operation) {
                self.tickets.remove(&sink.ticket);
                sink.send(event);
            }
        } else if let Some(sink) = self.sinks.get(&operation) {
            sink.send(event);
        }
    }
}

#[cfg(test)]
mod tests;
