//! Who is asked for what next, and when something has to be done though nothing arrives.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::{
    Fetch, FetchEvent, Flight, HashList, PIECE_LEN, Provider, Request, RequestFailure, RequestId,
    Task, Turn, Want,
};
use crate::sort::sort_by_key;
use crate::time::Instant;

/// How much faster a provider must be to take the place of another's request in flight: below that
/// the bytes thrown away cost more than is won.
const PREEMPT_FACTOR: u64 = 4;

/// How long a provider's list, or the piece that proves it, is waited for while somebody who was never
/// asked waits for the place, and how long it takes from one slow provider that gives its place away to
/// the next. A megabyte in this time is a slow line's.
pub(super) const TRIAL: Duration = Duration::from_secs(10);

/// How much sooner a second request must be expected to end to be worth its bytes.
const COPY_FACTOR: u64 = 2;

/// Whether one that waits was not asked yet.
fn is_new((_, turn): (SocketAddr, Turn)) -> bool {
    turn.rank < Turn::LAST
}

impl Fetch {
    /// When [`handle_timeout`](Self::handle_timeout) is due; never if none. May change after every
    /// call that takes a time.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let hedge = self.config.hedge_after;
        let ends = self.flights.values().map(|flight| self.deadline(flight).0);
        let rests = self.providers.values().map(|provider| provider.not_before);
        // A copy is worth it once its holder is silent, a place is free for another once it is old.
        let in_line = self.list.is_some() && (self.is_endgame() || self.is_crowded());
        let hedges = self.flights.values().filter(|_| in_line).flat_map(|flight| {
            let stalls = flight.started + self.config.stall_timeout;
            [self.quiet_since(flight) + hedge, flight.started + hedge, stalls]
        });
        let trying = self.list.is_none() && !self.flights.is_empty();
        let trial = trying.then_some(self.next_trial);
        let old = self.flights.values().filter(|_| trying).map(|flight| flight.started + TRIAL);
        let exchange = (self.list.is_some() && self.is_full()).then_some(self.next_exchange);
        let exchange = exchange.filter(|_| self.first_waiting().is_some_and(is_new));
        let later = rests.chain(hedges).chain(trial).chain(old).chain(exchange);
        let later = later.filter(|time| *time > self.now);
        ends.chain(later).min()
    }

    /// Gives out whatever can be given out now, and notices the end.
    pub(super) fn schedule(&mut self) {
        if self.over {
            return;
        }
        self.admit();
        if self.list.is_some() {
            self.give_pieces();
        } else {
            self.give_trials();
        }
        if self.exhausted && self.providers.is_empty() {
            self.over = true;
            let providers = self.rejected().collect();
            self.events.push_back(FetchEvent::Failed { providers });
        }
    }

    /// Lets waiting providers in, as far as there is room or somebody gives way.
    fn admit(&mut self) {
        while let Some((addr, turn)) = self.first_waiting() {
            if self.is_full() && !self.put_back(turn) && !(is_new((addr, turn)) && self.exchange())
            {
                return;
            }
            self.waiting.retain(|(waiting, _)| *waiting != addr);
            self.providers.insert(addr, Provider::new(turn, self.now));
        }
    }

    fn is_full(&self) -> bool {
        self.providers.len() >= self.config.providers.max(1)
    }

    fn first_waiting(&self) -> Option<(SocketAddr, Turn)> {
        self.waiting.iter().min_by_key(|(_, turn)| *turn).copied()
    }

    /// Somebody who has a place and was not asked yet gives it to one whose turn is before.
    fn put_back(&mut self, before: Turn) -> bool {
        let idle = self.providers.iter().filter(|(_, provider)| provider.last_asked.is_none());
        let last = idle.map(|(addr, provider)| (provider.turn, *addr)).max();
        let Some((turn, addr)) = last.filter(|(turn, _)| *turn > before) else { return false };
        self.providers.remove(&addr);
        self.waiting.push((addr, turn));
        true
    }

    /// The slowest provider gives its place away and is last in line, without blame. One at a time:
    /// whoever came last must have shown how fast it is, or be gone, for most that wait may be dead.
    fn exchange(&mut self) -> bool {
        if self.list.is_none() || self.now < self.next_exchange {
            return false;
        }
        // Those of whom nothing is known come first.
        let rated = self.providers.iter().map(|(addr, it)| (it.rate(), it.turn, *addr));
        let Some((Some(rate), turn, addr)) = rated.min() else { return false };
        if rate.saturating_mul(PREEMPT_FACTOR) > self.config.assumed_rate {
            return false;
        }
        self.cancel_where(|flight| flight.provider == addr);
        self.providers.remove(&addr);
        self.waiting.push((addr, Turn { rank: Turn::LAST, ..turn }));
        self.next_exchange = self.now + TRIAL;
        true
    }

    /// Asks for hash lists: one provider, then another one each `hedge_after`.
    fn give_trials(&mut self) {
        // Before the list is certain a provider has at most one request.
        while self.flights.is_empty() || self.next_trial <= self.now {
            let free = self.providers.iter().filter(|(_, p)| p.has_room(&self.config, self.now));
            let Some((addr, provider)) =
                free.min_by_key(|(_, p)| (p.failures, p.last_asked, p.turn))
            else {
                return;
            };
            let (addr, is_new) = (*addr, provider.last_asked.is_none());
            let all_taken = self.flights.len() >= self.config.trials.max(1);
            if all_taken && !(is_new && self.end_slowest_trial()) {
                return;
            }
            self.start(addr, Task::List);
            self.next_trial = self.now + self.config.hedge_after;
        }
    }

    /// Ends the old trial that has brought least, without blame. Eight that take minutes for the one
    /// piece would else hold up everybody who has not been asked yet.
    fn end_slowest_trial(&mut self) -> bool {
        let old = self.flights.iter().filter(|(_, flight)| flight.started + TRIAL <= self.now);
        let slowest = old.min_by_key(|(_, flight)| flight.received);
        let Some((id, holder)) = slowest.map(|(id, flight)| (*id, flight.provider)) else {
            return false;
        };
        self.cancel(id);
        if let Some(holder) = self.providers.get_mut(&holder) {
            holder.candidate = None;
            holder.rest(self.now, self.config.backoff);
        }
        true
    }

    /// Asks for pieces, as long as somebody has room.
    fn give_pieces(&mut self) {
        while let Some(addr) = self.soonest() {
            if self.is_crowded() && !self.make_room_for(addr) {
                return;
            }
            let Some(index) = self.claimed.first_missing(self.cursor) else {
                return self.give_copies();
            };
            self.cursor = index.saturating_add(1);
            self.start(addr, Task::Piece(index));
        }
    }

    /// Asks a second provider for pieces that would else come last.
    fn give_copies(&mut self) {
        while !self.is_crowded() {
            let Some((addr, index)) = self.best_copy() else {
                return;
            };
            self.start(addr, Task::Piece(index));
        }
    }

    /// Who would have one more piece soonest; of equals, who was not asked for longest.
    fn soonest(&self) -> Option<SocketAddr> {
        let free = self.providers.iter().filter(|(_, p)| p.has_room(&self.config, self.now));
        let key = |p: &Provider| (p.failures, self.next_end(p), p.last_asked, p.turn);
        free.min_by_key(|(_, p)| key(p)).map(|(addr, _)| *addr)
    }

    /// When a provider would be through with one more piece, in microseconds from now.
    fn next_end(&self, provider: &Provider) -> u64 {
        provider.micros_for(PIECE_LEN * u64::from(provider.in_flight + 1), &self.config)
    }

    /// When a request in flight will be answered, in microseconds from now; never, as far as one
    /// can tell, if its provider fell silent.
    fn expected_end(&self, flight: &Flight) -> u64 {
        let Some(provider) = self.providers.get(&flight.provider) else {
            return u64::MAX;
        };
        if self.now.since(self.quiet_since(flight)) >= self.config.hedge_after {
            return u64::MAX;
        }
        let left = PIECE_LEN.saturating_sub(flight.received);
        provider.micros_for(left.saturating_mul(u64::from(provider.in_flight)), &self.config)
    }

    /// The piece in flight that is expected last, with somebody who would have it much sooner.
    fn best_copy(&self) -> Option<(SocketAddr, u32)> {
        let mut late: Vec<_> = self.flights.values().collect();
        sort_by_key(&mut late, |flight| u64::MAX - self.expected_end(flight));
        late.into_iter().find_map(|flight| {
            let Task::Piece(index) = flight.task else {
                return None;
            };
            let holders = || self.flights.values().filter(|other| other.task == flight.task);
            // Two that let a piece trickle would else hold it for minutes, and everybody up.
            let old =
                |holder: &&Flight| self.now.since(holder.started) >= self.config.stall_timeout;
            let (old, all) = (holders().filter(old).count(), holders().count());
            let copies = self.config.copies;
            if all - old >= copies || all >= (2 * copies).saturating_sub(1) {
                return None;
            }
            let limit = self.expected_end(flight) / COPY_FACTOR;
            self.providers
                .iter()
                .filter(|(_, provider)| provider.has_room(&self.config, self.now))
                .filter(|(addr, _)| holders().all(|holder| holder.provider != **addr))
                .map(|(addr, provider)| (self.next_end(provider), provider.turn, *addr))
                .filter(|(end, ..)| *end < limit)
                .min()
                .map(|(_, _, addr)| (addr, index))
        })
    }

    /// Takes the slowest old request from its provider, if `addr` is so much faster that this pays.
    fn make_room_for(&mut self, addr: SocketAddr) -> bool {
        let Some(newcomer) = self.providers.get(&addr) else {
            return false;
        };
        // Who was asked before must have shown its rate; who never was is taken for an ordinary one,
        // once: providers that all need long for their first bytes would else displace each other
        // for ever.
        let rate = match (newcomer.rate(), newcomer.last_asked) {
            (Some(rate), _) => rate,
            (None, None) => self.config.assumed_rate,
            (None, Some(_)) => return false,
        };
        let hedge = self.config.hedge_after;
        let old = self.flights.iter().filter(|(_, flight)| {
            flight.provider != addr && self.now.since(flight.started) >= hedge
        });
        let rated = old.filter_map(|(id, flight)| {
            let holder = self.providers.get(&flight.provider)?;
            Some((holder.rate().unwrap_or(0), *id, flight.provider))
        });
        let Some((slowest, id, holder)) = rated.min() else {
            return false;
        };
        if slowest.saturating_mul(PREEMPT_FACTOR) > rate {
            return false;
        }
        self.cancel(id);
        if let Some(holder) = self.providers.get_mut(&holder) {
            // Else it would take the place right back.
            holder.rest(self.now, self.config.backoff);
        }
        true
    }

    /// Whether no further request may be in flight.
    fn is_crowded(&self) -> bool {
        self.flights.len() >= self.config.in_flight.max(1)
    }

    /// Whether every missing piece is in flight.
    fn is_endgame(&self) -> bool {
        self.claimed.is_full()
    }

    /// Since when nothing came from the provider of a request in flight.
    fn quiet_since(&self, flight: &Flight) -> Instant {
        let heard = self.providers.get(&flight.provider).map(|provider| provider.last_heard);
        heard.unwrap_or_default().max(flight.started)
    }

    /// When a request in flight has failed, and how.
    fn deadline(&self, flight: &Flight) -> (Instant, RequestFailure) {
        let silent = self.quiet_since(flight) + self.config.stall_timeout;
        // Nothing else goes on before the list is there: whoever lets it trickle, or the piece that
        // proves it, has no time of a whole piece.
        let bytes = if self.list.is_none() { flight.received } else { PIECE_LEN };
        let micros = bytes.saturating_mul(1_000_000) / self.config.min_rate.max(1);
        let slow = flight.started + self.config.stall_timeout + Duration::from_micros(micros);
        if slow < silent {
            (slow, RequestFailure::TooSlow)
        } else {
            (silent, RequestFailure::Silent)
        }
    }

    /// A provider with a request that has failed by now.
    pub(super) fn overdue(&self) -> Option<(SocketAddr, RequestFailure)> {
        self.flights.values().find_map(|flight| {
            let (deadline, failure) = self.deadline(flight);
            (deadline <= self.now).then_some((flight.provider, failure))
        })
    }

    pub(super) fn max_list_len(&self) -> u64 {
        HashList::encoded_len(self.expected_size.unwrap_or(self.config.max_size))
    }

    /// Sends a request on its way.
    pub(super) fn start(&mut self, addr: SocketAddr, task: Task) {
        let max_len = self.max_list_len();
        let Some(provider) = self.providers.get_mut(&addr) else {
            return;
        };
        let range = |list: Option<&HashList>, index| list.and_then(|list| list.range(index));
        let want = match task {
            Task::List => Some(Want::HashList { max_len }),
            Task::Piece(index) => {
                range(self.list.as_ref(), index).map(|range| Want::Piece { index, range })
            }
            Task::Proof(index) => {
                range(provider.candidate.as_ref(), index).map(|range| Want::Piece { index, range })
            }
        };
        let Some(want) = want else {
            return;
        };
        provider.started(self.now);
        if let Task::Piece(index) = task {
            self.claimed.insert(index);
        }
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.flights.insert(id, Flight { provider: addr, task, started: self.now, received: 0 });
        self.requests.push_back(Request { id, provider: addr, want });
    }

    /// A request ended, after `total` bytes as far as they were not reported before.
    pub(super) fn end(&mut self, request: RequestId, total: u64) {
        let Some(flight) = self.flights.remove(&request) else {
            return;
        };
        if let Some(provider) = self.providers.get_mut(&flight.provider) {
            let rest = total.saturating_sub(flight.received);
            if rest > 0 {
                provider.heard(self.now, rest, &self.config);
            }
            provider.ended(self.now);
        }
        if let Task::Piece(index) = flight.task
            && !self.have.contains(index)
            && self.flights.values().all(|other| other.task != flight.task)
        {
            self.claimed.remove(index);
            self.cursor = self.cursor.min(index);
        }
    }

    /// Ends a request whose answer is not needed.
    fn cancel(&mut self, request: RequestId) {
        self.end(request, 0);
        // The host need not hear of one that it has not taken yet.
        let queued = self.requests.len();
        self.requests.retain(|waiting| waiting.id != request);
        if self.requests.len() == queued {
            self.cancels.push_back(request);
        }
    }

    /// Ends all requests of which this is true.
    pub(super) fn cancel_where(&mut self, which: impl Fn(&Flight) -> bool) {
        let ids: Vec<_> =
            self.flights.iter().filter(|(_, flight)| which(flight)).map(|(id, _)| *id).collect();
        for id in ids {
            self.cancel(id);
        }
    }
}
