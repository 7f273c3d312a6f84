//! Operations, and letting time pass.

use core::cmp::Reverse;
use core::time::Duration;

use kadlet_core::{Event, Family, Instant, Node, OperationId, Path, Transmit};

use super::passage::Ground;
use super::shard::Shard;
use super::{Churn, Network, windows};
use crate::host::{Machine, NodeIndex, Watched};
use crate::report::{NotAtRest, Operation, Report};
use crate::watch::Watch;

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
        self.host_mut(node).extras().watch(id, Watched::All(Vec::new()));
        self.attend(node);
        Operation { node, id }
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
    /// If it is not done after [`SimConfig::patience`](crate::SimConfig::patience), or its node was killed.
    pub fn wait(&mut self, operation: Operation) -> Result<Report, NotAtRest> {
        let start = self.now;
        let limit = start + self.config.patience;
        while !self.is_done(operation) {
            if self.is_stopped() || self.watched(operation).is_none() || !self.step(limit) {
                return Err(NotAtRest {
                    waiting_for: vec![operation],
                    waited: self.now.since(start),
                    events: self.forget(operation),
                });
            }
        }
        self.tell();
        Ok(Report::new(self.forget(operation)))
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
        self.watched(operation).is_some_and(Watched::is_done)
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.tell();
        if self.is_stopped() {
            return;
        }
        let end = self.now + time;
        while let Some(leaves) = self.next_leave().filter(|at| *at <= end) {
            if !self.run_watched(leaves) {
                return;
            }
            self.now = self.now.max(leaves);
            self.leave();
        }
        // Up to and with the end.
        if self.run_watched(end + Duration::from_micros(1)) {
            self.now = self.now.max(end);
        }
    }

    /// [`Self::run_before`] in parts, between which whoever follows the run is told where it is and
    /// may stop it: whether it went on to the end.
    fn run_watched(&mut self, end: Instant) -> bool {
        const PART: Duration = Duration::from_secs(10);
        if self.config.watch.is_some() {
            while self.now + PART < end {
                let next = self.now + PART;
                self.run_before(next);
                self.now = next;
                self.tell();
                if self.is_stopped() {
                    return false;
                }
            }
        }
        self.run_before(end);
        true
    }

    /// Tells whoever follows the run how much longer it will be.
    pub(crate) fn expect(&self, more: Duration) {
        if let Some(watch) = &self.config.watch {
            watch.expect(self.now + more);
        }
    }

    /// Tells whoever follows the run how much longer it will be if it goes on as it did since `began`,
    /// in which time `done` of `of` equal parts were done.
    pub(crate) fn expect_as_since(&self, began: Instant, done: usize, of: usize) {
        let (took, left) = (self.now.since(began).as_micros(), of.saturating_sub(done));
        if let Some(more) = (took * left as u128).checked_div(done as u128) {
            self.expect(Duration::from_micros(more as u64));
        }
    }

    fn tell(&self) {
        if let Some(watch) = &self.config.watch {
            watch.note(self.now, self.shards.iter().map(|shard| shard.counters.sent).sum());
        }
    }

    fn is_stopped(&self) -> bool {
        self.config.watch.as_ref().is_some_and(Watch::is_stopped)
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
        let Some(remote) = self.address_of(to, Family::V4) else { return };
        let transmit = Transmit { path: Path::direct(remote), payload };
        let now = self.now;
        self.shard_of(from, |shard, ground| shard.send(ground, now, from, transmit));
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
        let nexts = self.shards.iter_mut().map(|shard| shard.queue.next());
        let next = nexts.enumerate().filter_map(|(shard, next)| Some((next?, shard))).min();
        let leaves = self.next_leave();
        match next {
            Some(((at, _), shard)) if at <= end && leaves.is_none_or(|leaves| at < leaves) => {
                let (ground, shards) = self.parts();
                shards[shard].step_before(&ground, at + Duration::from_micros(1));
                windows::deliver(shards);
                self.now = self.now.max(at);
            }
            _ => match leaves.filter(|leaves| *leaves <= end) {
                Some(leaves) => {
                    self.now = self.now.max(leaves);
                    self.leave();
                }
                None => {
                    self.now = self.now.max(end);
                    return false;
                }
            },
        }
        true
    }

    /// Lets everything happen at the nodes that happens before `end`; nobody leaves before.
    fn run_before(&mut self, end: Instant) {
        let attacked = self.attacked;
        let mut pace = core::mem::take(&mut self.pace);
        let (ground, shards) = self.parts();
        if let [shard] = &mut **shards {
            shard.run_before(&ground, end);
        } else if attacked || !windows::run_before(shards, &ground, &mut pace, end) {
            // An attacker's machines know at once what one of them knows, or links leave no time in
            // which threads could work apart.
            while let Some(last) = end.as_micros().checked_sub(1)
                && self.step(Instant::from_micros(last))
            {}
        }
        self.pace = pace;
    }

    fn next_leave(&self) -> Option<Instant> {
        self.leaving.peek().map(|Reverse((at, _))| *at)
    }

    /// Whose session ends next leaves, and somebody comes instead.
    fn leave(&mut self) {
        let Some(Reverse((_, node))) = self.leaving.pop() else { return };
        let Some(Churn { sessions, newcomers }) = &self.churn else { return };
        // The remainder is below the length of a list.
        let next = (self.replaced % newcomers.len().max(1) as u64) as usize;
        let Some(options) = newcomers.get(next).cloned() else { return };
        let sessions = *sessions;
        self.kill(node);
        let (newcomer, join) = self.add_newcomer(options);
        if let Some(join) = join {
            self.forget(join);
        }
        let end = sessions.end_of_newcomer(self.now, &mut self.rng);
        self.leaving.push(Reverse((end, newcomer)));
        self.replaced += 1;
    }

    /// Drains a node after it was called, and arms its next wake-up.
    pub(super) fn attend(&mut self, node: NodeIndex) {
        let now = self.now;
        self.shard_of(node, |shard, ground| shard.attend(ground, now, node));
    }

    fn shard_of(&mut self, node: NodeIndex, act: impl FnOnce(&mut Shard, &Ground<'_>)) {
        let (ground, shards) = self.parts();
        let shard = node.0 as usize % shards.len();
        act(&mut shards[shard], &ground);
        windows::deliver(shards);
    }

    fn watched(&self, operation: Operation) -> Option<&Watched> {
        self.host(operation.node).extras.as_ref()?.watched(operation.id)
    }

    /// From now on only the end of an operation is kept.
    pub(super) fn watch_end(&mut self, operation: Operation) {
        let extras = self.host_mut(operation.node).extras();
        if let Some(watched) = extras.watched_mut(operation.id) {
            let last = core::mem::replace(watched, Watched::End(None)).into_events().pop();
            if let Some((at, event)) = last {
                watched.note(at, event);
            }
        }
    }

    /// Stops watching an operation; what was said of it.
    pub(super) fn forget(&mut self, operation: Operation) -> Vec<(Instant, Event)> {
        let extras = &mut self.host_mut(operation.node).extras;
        let found = extras.as_mut().and_then(|extras| extras.forget(operation.id));
        if extras.as_ref().is_some_and(|extras| extras.is_empty()) {
            *extras = None;
        }
        found.map(Watched::into_events).unwrap_or_default()
    }
}
