//! Operations, and letting time pass.

use core::time::Duration;

use kadlet_core::{Event, Family, Instant, Node, OperationId, Path, Rng, Transmit};

use super::{Churn, Network};
use crate::draw::Draw;
use crate::host::{Machine, NodeIndex};
use crate::queue::Happening;
use crate::report::{NotAtRest, Operation, Report};

/// Wake-ups in a row that change nothing before a node counts as broken.
const MAX_SPINS: u32 = 1_000;
/// Notices kept of a node: tests look at the first few.
const MAX_NOTICES: usize = 64;

/// Operations, and letting time pass.
impl Network {
    /// Gives a node a command and watches the operation it starts.
    ///
    /// # Panics
    /// If the node has been killed.
    pub fn command(
        &mut self,
        node: NodeIndex,
        command: impl FnOnce(&mut Node, Instant) -> OperationId,
    ) -> Operation {
        let now = self.now;
        let id = command(self.running(node), now);
        let operation = Operation { node, id };
        self.watched.insert(operation, Vec::new());
        self.attend(node);
        operation
    }

    /// Gives a node something to do that starts no operation, or may fail to.
    ///
    /// # Panics
    /// If the node has been killed.
    pub fn with<T>(&mut self, node: NodeIndex, act: impl FnOnce(&mut Node, Instant) -> T) -> T {
        let now = self.now;
        let result = act(self.running(node), now);
        self.attend(node);
        result
    }

    /// Runs until the operation is done and gives what was said of it.
    ///
    /// # Errors
    /// If it is not done after [`SimConfig::patience`], or its node was killed.
    pub fn wait(&mut self, operation: Operation) -> Result<Report, NotAtRest> {
        let start = self.now;
        let limit = start + self.config.patience;
        while !self.is_done(operation) {
            if !self.watched.contains_key(&operation) || !self.step(limit) {
                return Err(NotAtRest {
                    waiting_for: vec![operation],
                    waited: self.now.since(start),
                    events: self.watched.remove(&operation).unwrap_or_default(),
                });
            }
        }
        Ok(Report::new(self.watched.remove(&operation).unwrap_or_default()))
    }

    /// Runs until all of the operations are done.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_all(
        &mut self,
        operations: impl IntoIterator<Item = Operation>,
    ) -> Result<Vec<Report>, NotAtRest> {
        operations.into_iter().map(|operation| self.wait(operation)).collect()
    }

    /// Whether a watched operation is done.
    #[must_use]
    pub fn is_done(&self, operation: Operation) -> bool {
        let events = self.watched.get(&operation);
        matches!(events.and_then(|events| events.last()), Some((_, Event::Done { .. })))
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Lets time pass until something is so, or `limit` has passed: whether it is so.
    pub fn run_until(&mut self, limit: Duration, mut so: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !so(self) {
            if !self.step(end) {
                return so(self);
            }
        }
        true
    }

    /// Sends a datagram as a listener (or as if from any host).
    pub fn send_from(&mut self, from: NodeIndex, to: NodeIndex, payload: Vec<u8>) {
        if let Some(remote) = self.host(to).address(Family::V4) {
            self.transmit(from, Transmit { path: Path::direct(remote), payload });
        }
    }

    /// Takes what has arrived at a listener.
    pub fn heard(&mut self, listener: NodeIndex) -> Vec<(Path, Vec<u8>)> {
        match &mut self.host_mut(listener).machine {
            Machine::Listener(heard) => core::mem::take(heard),
            Machine::Node(_) | Machine::Gone => Vec::new(),
        }
    }

    /// Lets the next thing happen unless it lies behind `end`; then the clock stands at `end`.
    fn step(&mut self, end: Instant) -> bool {
        if self.queue.next_at().is_none_or(|at| at > end) {
            self.now = self.now.max(end);
            return false;
        }
        let Some((at, what)) = self.queue.pop() else { return false };
        self.now = self.now.max(at);
        match what {
            Happening::Arrive(arrival) => self.arrive(arrival),
            Happening::Wake { node } => self.wake(node, at),
            Happening::Leave { node } => self.leave(node),
        }
        true
    }

    /// # Panics
    /// If the node asks for the same deadline again and again: a host would spin.
    fn wake(&mut self, index: NodeIndex, at: Instant) {
        let now = self.now;
        let host = self.host_mut(index);
        if host.armed != Some(at) {
            return; // An earlier wake-up has been put in its place.
        }
        host.armed = None;
        let Some(node) = host.node_mut() else { return };
        if node.poll_timeout().is_some_and(|deadline| deadline <= now) {
            node.handle_timeout(now);
            let again = node.poll_timeout().is_some_and(|deadline| deadline <= now);
            host.spins = if again { host.spins + 1 } else { 0 };
            assert!(host.spins < MAX_SPINS, "{index} asks to be woken at {now:?} for ever");
        }
        self.attend(index);
    }

    fn leave(&mut self, node: NodeIndex) {
        let Some(Churn { sessions, options }) = &self.churn else { return };
        let (sessions, options) = (*sessions, options.clone());
        self.kill(node);
        let (newcomer, join) = self.add_newcomer(options);
        if let Some(join) = join {
            self.watched.remove(&join);
        }
        let end = sessions.end_of_newcomer(self.now, &mut self.rng);
        self.queue.push(end, Happening::Leave { node: newcomer });
        self.counters.replaced += 1;
    }

    /// Drains a node after it was called, and arms its next wake-up.
    pub(super) fn attend(&mut self, index: NodeIndex) {
        while let Some(transmit) = self.host_mut(index).node_mut().and_then(Node::poll_transmit) {
            let host = self.host_mut(index);
            match host.rewrite {
                None => self.transmit(index, transmit),
                Some(rewrite) => {
                    let sent = host.traffic.datagrams_out;
                    let mut draw = Draw::new(!self.config.seed, index, sent);
                    let mut rng = Rng::from_seed(draw.bytes());
                    for transmit in rewrite(&mut rng, transmit) {
                        self.transmit(index, transmit);
                    }
                }
            }
        }
        while let Some(event) = self.host_mut(index).node_mut().and_then(Node::poll_event) {
            self.note(index, event);
        }
        while self.host_mut(index).node_mut().and_then(Node::poll_change).is_some() {}
        let now = self.now;
        let host = self.host_mut(index);
        let Some(deadline) = host.node().and_then(Node::poll_timeout) else { return };
        let deadline = deadline.max(now);
        if host.armed.is_none_or(|armed| deadline < armed) {
            host.armed = Some(deadline);
            self.queue.push(deadline, Happening::Wake { node: index });
        }
    }

    fn note(&mut self, node: NodeIndex, event: Event) {
        if self.config.trace {
            self.trace.event(self.now, node, &event);
        }
        if let Some(id) = event.operation() {
            if let Some(events) = self.watched.get_mut(&Operation { node, id }) {
                events.push((self.now, event));
            }
        } else {
            let notices = &mut self.host_mut(node).notices;
            if notices.len() < MAX_NOTICES {
                notices.push(event);
            }
        }
    }
}
