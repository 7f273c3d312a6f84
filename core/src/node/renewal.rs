//! Keeping what we published alive: renewals, and another try where nobody took it.
//!
//! A publication is renewed well before holders forget it (mistake 16), each at a time of its own
//! (mistake 15), and a few at once: a node that shares ten thousand files must not send for all of
//! them in one second. If no holder took it, at its first time or at a renewal, it is tried again
//! within minutes: its owner believes it to be out there. If nobody answered at all, because there
//! was no network yet or it was gone, it is tried as soon as somebody does.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::Node;
use super::operation::{Kind, Operation, Whose};
use crate::event::{Event, OperationId, Outcome};
use crate::id::Id;
use crate::time::Instant;

/// Operations that the node runs for itself at once: renewals, republications. With a second for
/// each, 32 renew 100,000 records in an hour; and as many datagrams a second as one person's lookups.
const AT_ONCE: usize = 32;

/// How long after nobody took a record it is tried again; doubles with every further failure, up to
/// the interval of renewals.
const RETRY: Duration = Duration::from_secs(60);

/// The shortest time between two publications of one record.
const LEAST: Duration = Duration::from_secs(1);

/// How long after the first answer what nobody heard is tried: whoever has just come back joins
/// first, and then knows who is closest.
const SETTLE: Duration = Duration::from_secs(1);

/// A record of our own that is renewed: the operation that published it names it.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    kind: Kind,
    targets: VecDeque<Id>,
    due: Instant,
    /// The operation that publishes it at present.
    running: Option<u64>,
    /// How often in a row nobody took it.
    misses: u32,
    /// When it was last tried early because somebody answered.
    hastened: Option<Instant>,
}

impl Node {
    pub(super) fn keep_renewing(
        &mut self,
        now: Instant,
        operation: u64,
        kind: Kind,
        targets: VecDeque<Id>,
    ) {
        if !self.operations.contains_key(&operation) {
            return;
        }
        let running = Some(operation);
        let publication =
            Publication { kind, targets, due: now, running, misses: 0, hastened: None };
        self.publications.insert(operation, publication);
        self.schedule_renewal(now, operation);
    }

    /// A newer version of a signed value is stored: its older ones are renewed no more. Holders would
    /// refuse them, or take them again once the newer one has expired.
    fn supersede(&mut self, now: Instant, key: Id, seq: u64) {
        let is_older = |kind: &Kind| match kind {
            Kind::Put { item, .. } => item.seq().is_some_and(|renewed| renewed < seq),
            _ => false,
        };
        while let Some((&id, _)) =
            self.publications.iter().find(|(_, it)| it.targets.contains(&key) && is_older(&it.kind))
        {
            self.withdraw(now, id);
        }
    }

    /// When it is to be published next.
    fn schedule_renewal(&mut self, now: Instant, id: u64) {
        let Some(publication) = self.publications.get_mut(&id) else { return };
        let store = &self.config.store;
        let lifetime = match &publication.kind {
            Kind::Announce(_) => store.provider_lifetime,
            Kind::Publish(_) => store.entry_lifetime,
            _ => store.value_lifetime,
        };
        // Records may live for less than it takes to store them, if the caller says so: what is due
        // again at the same moment would hold up everything.
        let interval = self.config.renew_after.min(store.renewal(lifetime)).max(LEAST);
        let doublings = publication.misses.saturating_sub(1).min(16);
        let wait = match publication.misses {
            0 => interval,
            _ => RETRY.saturating_mul(1 << doublings).min(interval),
        };
        self.renewals.remove(&(publication.due, id));
        publication.due = now + self.rng.jitter(wait);
        self.renewals.insert((publication.due, id));
    }

    /// Somebody answers: what nobody heard need not wait any longer. A few with each answer; trying
    /// them brings further answers. Not twice in a minute, or one whose holders are all gone would
    /// never rest.
    pub(super) fn hasten_unheard(&mut self, now: Instant) {
        for _ in 0..AT_ONCE {
            let Some(id) = self.unheard.pop_first() else { return };
            let Some(publication) = self.publications.get_mut(&id) else { continue };
            let due = now + SETTLE;
            if publication.hastened.is_some_and(|last| now < last + RETRY) || publication.due <= due
            {
                continue;
            }
            publication.hastened = Some(now);
            self.renewals.remove(&(publication.due, id));
            publication.due = due;
            self.renewals.insert((due, id));
        }
    }

    /// We are reached elsewhere than before. Holders name our old address until they are told the
    /// new one, which is as soon as somebody answers.
    pub(super) fn announce_anew(&mut self) {
        for (id, publication) in self.publications.iter_mut() {
            if matches!(publication.kind, Kind::Announce(_)) {
                publication.hastened = None;
                self.unheard.insert(*id);
            }
        }
    }

    /// When the next record is to be renewed, if there is room for that at present.
    pub(super) fn next_renewal(&self) -> Option<Instant> {
        self.renewals.first().map(|(due, _)| *due).filter(|_| self.has_room_for_upkeep())
    }

    /// Whether the node may begin another operation for itself.
    pub(super) fn has_room_for_upkeep(&self) -> bool {
        self.background < AT_ONCE && self.operations.len() < self.config.max_operations
    }

    pub(super) fn renew(&mut self, now: Instant) {
        while let Some(&(due, id)) = self.renewals.first()
            && due <= now
            && self.has_room_for_upkeep()
        {
            self.schedule_renewal(now, id);
            let Some(publication) = self.publications.get(&id) else { continue };
            // It takes longer than its interval: once is enough.
            if publication.running.is_some() {
                continue;
            }
            let (kind, mut targets) = (publication.kind.clone(), publication.targets.clone());
            let Some(first) = targets.pop_front() else { continue };
            let whose = Whose::Renewal(id);
            let operation = self.begin(now, kind, whose, first, targets, self.families());
            if let Some(publication) = self.publications.get_mut(&id) {
                publication.running = Some(operation);
            }
            self.drive(now, operation);
        }
    }

    /// An operation that may have published something is over.
    pub(super) fn published(
        &mut self,
        now: Instant,
        id: u64,
        operation: &Operation,
        outcome: Outcome,
    ) {
        if operation.totals.stored > 0
            && let Kind::Put { item, .. } = &operation.kind
            && let Some(seq) = item.seq()
        {
            self.supersede(now, item.key(), seq);
        }
        let renews = match operation.whose {
            Whose::Renewal(publication) => publication,
            Whose::Callers => id,
            Whose::Upkeep => return,
        };
        let Some(publication) = self.publications.get_mut(&renews) else { return };
        publication.running = None;
        let stored = operation.totals.stored;
        let missed = stored == 0;
        let news = (publication.misses > 0) != missed;
        publication.misses = if missed { publication.misses.saturating_add(1) } else { 0 };
        if missed {
            self.schedule_renewal(now, renews);
            if operation.totals.answered == 0 {
                self.unheard.insert(renews);
            }
        }
        // How the first time went is said by its `Done`.
        if operation.whose != Whose::Callers && news {
            self.push_event(Event::Renewed { operation: OperationId(renews), outcome, stored });
        }
    }

    /// Publishes it no more, and stops at once if it is under way. False if it was not published.
    pub(super) fn withdraw(&mut self, now: Instant, id: u64) -> bool {
        self.provided.retain(|_, (operation, _)| *operation != id);
        let Some(publication) = self.publications.remove(&id) else { return false };
        self.renewals.remove(&(publication.due, id));
        self.unheard.remove(&id);
        if let Some(running) = publication.running.filter(|running| *running != id) {
            self.finish(now, running, Outcome::Cancelled);
        }
        true
    }
}
