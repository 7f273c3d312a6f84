//! A fetch: which piece from whom next, who lied, and what is still missing.
//!
//! Rules:
//! 1. The hash list first, from one provider, and from a further one each
//!    [`hedge_after`](FetchConfig::hedge_after) without an outcome. A list that does not hash to the
//!    id drops its giver. One that does is on trial until its giver's *last* piece matches it: that
//!    proves the size (see the hash list's notes), and until then nobody else can be blamed.
//! 2. Then pieces in ascending order, each to the provider that will have it soonest, as many ahead
//!    as its measured rate is worth.
//! 3. A wrong piece drops its giver for good; its other pieces go to others.
//! 4. A request without progress, or slower than a minimum, fails. A provider that fails is asked
//!    again later and later, one request at a time, and dropped after a few failures in a row.
//! 5. When every missing piece is in flight, those that are expected last are asked of a second,
//!    faster provider; the first answer wins and the other request is cancelled. When no more
//!    requests may be in flight, much faster providers take the place of slow ones.
//! 6. Who named a provider counts in its turn: everybody's first comes before anybody's second, so
//!    that one list of a hundred dead addresses holds up nobody. When all places are taken by slow
//!    providers, one after the other gives way to somebody who was not asked yet.
//! 7. It ends when every piece is verified, or when no provider is left and the host said that none
//!    will come.
//!
//! The contract is the node's: time, bytes and what happened go in; then drain requests,
//! cancellations and events and read the deadline again. The polls are pure pops.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{Bitmap, ContentId, HashList, ListError, PIECE_LEN, PieceVerifier, Resume};
use crate::config::FetchConfig;
use crate::id::Id;
use crate::sort::sort_by_key;
use crate::sorted::Map;
use crate::time::Instant;

mod event;
mod outcome;
mod provider;
mod schedule;

pub use event::{
    FetchError, FetchEvent, ProviderStats, Rejection, Request, RequestFailure, RequestId, Verdict,
    Want,
};
use provider::{Provider, Turn};

/// A file being fetched from several providers.
///
/// ```
/// use kadlet_core::config::FetchConfig;
/// use kadlet_core::content::{Fetch, FetchEvent, HashListBuilder, Verdict, Want};
/// use kadlet_core::{Id, Instant};
///
/// let file = b"a file that somebody shares".repeat(60_000);
/// let mut builder = HashListBuilder::new();
/// builder.update(&file);
/// let list = builder.finish();
///
/// let now = Instant::EPOCH; // a host says what time it is
/// let mut fetch = Fetch::new(FetchConfig::default(), list.id(), None)?;
/// let holder = Id::new([7; 20]); // of `Event::Provider`
/// fetch.provider_found(now, "10.0.0.1:8080".parse()?, holder);
/// fetch.no_more_providers(now);
///
/// let mut got = vec![0; file.len()];
/// while let Some(request) = fetch.poll_request() {
///     // A host asks over HTTP; this one is the provider too.
///     let verdict = match request.want {
///         Want::HashList { .. } => fetch.list_received(now, request.id, &list.encode()),
///         Want::Piece { range, .. } => {
///             let range = range.start as usize..range.end as usize;
///             got[range.clone()].copy_from_slice(&file[range.clone()]);
///             fetch.piece_received(now, request.id, &file[range])
///         }
///         _ => unreachable!(),
///     };
///     assert_eq!(verdict, Verdict::Accepted);
/// }
/// assert_eq!(got, file);
/// assert!(std::iter::from_fn(|| fetch.poll_event()).any(|event| event == FetchEvent::Done));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Fetch {
    config: FetchConfig,
    id: ContentId,
    /// What the link says. A provider that says otherwise is not believed.
    expected_size: Option<u64>,
    now: Instant,
    /// The true one.
    list: Option<HashList>,
    /// Pieces that were verified.
    have: Bitmap,
    /// Those, and the ones in flight.
    claimed: Bitmap,
    /// No piece below is unclaimed.
    cursor: u32,
    providers: Map<SocketAddr, Provider>,
    /// Found when `providers` was full, or gone from it for somebody else.
    waiting: Vec<(SocketAddr, Turn)>,
    /// How many providers each has named.
    named: Vec<(Id, u32)>,
    dropped: Map<SocketAddr, Rejection>,
    flights: Map<RequestId, Flight>,
    /// When a further provider is asked for its list.
    next_trial: Instant,
    /// When a slow provider may give its place to one that waits.
    next_exchange: Instant,
    next_request: u64,
    found: u64,
    exhausted: bool,
    over: bool,
    requests: VecDeque<Request>,
    cancels: VecDeque<RequestId>,
    events: VecDeque<FetchEvent>,
}

/// A request on its way.
#[derive(Debug)]
struct Flight {
    provider: SocketAddr,
    task: Task,
    started: Instant,
    /// Bytes that came.
    received: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Task {
    List,
    /// The last piece of a list on trial.
    Proof(u32),
    Piece(u32),
}

impl Fetch {
    /// A fetch of `id`. With a `size`, as a link gives it, providers that speak of another are
    /// dropped; without, the size is what the true hash list says.
    ///
    /// # Errors
    /// If the size is beyond [`max_size`](FetchConfig::max_size).
    pub fn new(config: FetchConfig, id: ContentId, size: Option<u64>) -> Result<Self, FetchError> {
        let limit = config.max_size.min(HashList::MAX_SIZE);
        if let Some(size) = size.filter(|size| *size > limit) {
            return Err(FetchError::TooLarge { size, limit });
        }
        let mut fetch = Self {
            config,
            id,
            expected_size: size,
            now: Instant::EPOCH,
            list: None,
            have: Bitmap::new(0),
            claimed: Bitmap::new(0),
            cursor: 0,
            providers: Map::new(),
            waiting: Vec::new(),
            named: Vec::new(),
            dropped: Map::new(),
            flights: Map::new(),
            next_trial: Instant::EPOCH,
            next_exchange: Instant::EPOCH,
            next_request: 0,
            found: 0,
            exhausted: false,
            over: false,
            requests: VecDeque::new(),
            cancels: VecDeque::new(),
            events: VecDeque::new(),
        };
        // Nobody is needed for a file without bytes.
        let empty = super::HashListBuilder::new().finish();
        if id == empty.id() && size.is_none_or(|size| size == 0) {
            fetch.adopt(empty);
            fetch.finish_if_full();
        }
        Ok(fetch)
    }

    /// A fetch that has the true list already, and the pieces in `have`, which the host verified on
    /// disk against that list. Only the others are fetched.
    ///
    /// # Errors
    /// If the size is beyond [`max_size`](FetchConfig::max_size), or `have` is a set of another
    /// number of pieces.
    pub fn resume(config: FetchConfig, list: HashList, have: Bitmap) -> Result<Self, FetchError> {
        let (expected, found) = (list.pieces(), have.len());
        if expected != found {
            return Err(FetchError::WrongBitmap { expected, found });
        }
        let mut fetch = Self::new(config, list.id(), Some(list.size()))?;
        if !fetch.over {
            fetch.adopt(list);
            fetch.claimed = have.clone();
            fetch.have = have;
            fetch.finish_if_full();
        }
        Ok(fetch)
    }

    // What the host hears of.

    /// `namer` says that somebody has the content: the [`holder`](crate::Event::Provider) that a
    /// node heard of it from, any id for what its user knows. False if that is no news, or too much
    /// of it.
    pub fn provider_found(&mut self, now: Instant, addr: SocketAddr, namer: Id) -> bool {
        self.advance(now);
        if self.over || self.dropped.contains_key(&addr) || self.is_liars(addr) {
            return false;
        }
        let at = self.named.iter().position(|(known, _)| *known == namer);
        let at = at.or_else(|| {
            // When so many have named somebody, whoever comes now comes after all of them.
            let has_room = self.named.len() < self.config.known;
            has_room.then(|| {
                self.named.push((namer, 0));
                self.named.len() - 1
            })
        });
        let rank = at.and_then(|at| self.named.get(at)).map_or(Turn::LAST - 1, |(_, count)| *count);
        let asked = self.providers.get_mut(&addr).map(|provider| &mut provider.turn);
        let waiting = self.waiting.iter_mut().find(|(known, _)| *known == addr);
        let turn = asked.or(waiting.map(|(_, turn)| turn));
        let is_news = turn.is_none();
        if let Some(turn) = turn {
            // A liar that names everybody else's late does not make them late.
            if rank >= turn.rank {
                return false;
            }
            turn.rank = rank;
        } else {
            let known = self.providers.len() + self.waiting.len() + self.dropped.len();
            if known >= self.config.known && !self.forget_somebody() && !self.forget_last(rank) {
                return false;
            }
            self.waiting.push((addr, Turn { rank, order: self.found }));
            self.found += 1;
        }
        if let Some(count) = at.and_then(|at| self.named.get_mut(at)).map(|(_, count)| count) {
            *count += 1;
        }
        self.schedule();
        is_news
    }

    /// Addresses that lead nowhere cost nothing to name, so that they make room again. False if there
    /// is none.
    fn forget_somebody(&mut self) -> bool {
        let useless = self.dropped.iter().find(|(_, reason)| !reason.is_lie());
        let Some(addr) = useless.map(|(addr, _)| *addr) else { return false };
        self.dropped.remove(&addr).is_some()
    }

    /// Whoever waits behind `rank` and was not asked yet makes room: the longest list does not keep
    /// out whom others name.
    fn forget_last(&mut self, rank: u32) -> bool {
        let new = self.waiting.iter().enumerate().filter(|(_, (_, turn))| turn.rank < Turn::LAST);
        let last = new.max_by_key(|(_, (_, turn))| *turn).filter(|(_, (_, turn))| turn.rank > rank);
        let Some(at) = last.map(|(at, _)| at) else { return false };
        self.waiting.swap_remove(at);
        true
    }

    /// No further provider will be found: with none left, the fetch fails.
    pub fn no_more_providers(&mut self, now: Instant) {
        self.advance(now);
        self.exhausted = true;
        self.schedule();
    }

    /// `bytes` more of an answer came: how the rate is measured and silence told from slowness. What
    /// was reported here is not counted again when the answer is handed in.
    pub fn progressed(&mut self, now: Instant, request: RequestId, bytes: u64) {
        self.advance(now);
        let Some(flight) = self.flights.get_mut(&request) else {
            return;
        };
        flight.received = flight.received.saturating_add(bytes);
        if let Some(provider) = self.providers.get_mut(&flight.provider)
            && provider.heard(self.now, bytes, &self.config)
        {
            self.schedule();
        }
    }

    /// A hash list came, whole or cut off at its `max_len`. Accepted, it is still on trial.
    pub fn list_received(&mut self, now: Instant, request: RequestId, bytes: &[u8]) -> Verdict {
        self.advance(now);
        let Some((addr, Task::List)) = self.flight(request) else {
            return Verdict::Unwanted;
        };
        self.end(request, bytes.len() as u64);
        let rejection = match HashList::decode(bytes, self.id, self.config.max_size) {
            Ok(list) => match self.expected_size {
                Some(expected) if expected != list.size() => {
                    Some(Rejection::WrongSize { expected, claimed: list.size() })
                }
                _ => {
                    self.try_list(addr, list);
                    None
                }
            },
            Err(ListError::TooLarge { size, limit }) => Some(Rejection::TooLarge { size, limit }),
            // Cut off by the host, as it was told: there is more of it than the link's size allows.
            Err(error @ ListError::Length { size: claimed, found, .. })
                if found >= self.max_list_len() =>
            {
                match self.expected_size {
                    Some(expected) if expected < claimed => {
                        Some(Rejection::WrongSize { expected, claimed })
                    }
                    _ => Some(Rejection::WrongList(error)),
                }
            }
            Err(error) => Some(Rejection::WrongList(error)),
        };
        if let Some(reason) = rejection {
            self.drop_provider(addr, reason);
        }
        self.schedule();
        if rejection.is_some() { Verdict::Rejected } else { Verdict::Accepted }
    }

    /// A piece came, whole.
    pub fn piece_received(&mut self, now: Instant, request: RequestId, bytes: &[u8]) -> Verdict {
        let Some(mut verifier) = self.verifier(request) else {
            self.advance(now);
            return Verdict::Unwanted;
        };
        verifier.update(bytes);
        self.piece_checked(now, request, &verifier)
    }

    /// What checks the piece of `request` as it arrives, for hosts that hold no whole pieces: feed
    /// it, and hand it to [`piece_checked`](Self::piece_checked). None if nobody waits for it.
    #[must_use]
    pub fn verifier(&self, request: RequestId) -> Option<PieceVerifier> {
        let (addr, task) = self.flight(request)?;
        match task {
            Task::List => None,
            Task::Piece(index) => self.list.as_ref()?.piece_verifier(index),
            Task::Proof(index) => {
                self.providers.get(&addr)?.candidate.as_ref()?.piece_verifier(index)
            }
        }
    }

    /// A piece came, whole, and went through the [`verifier`](Self::verifier) of this very request;
    /// any other is [`Unwanted`](Verdict::Unwanted).
    pub fn piece_checked(
        &mut self,
        now: Instant,
        request: RequestId,
        verifier: &PieceVerifier,
    ) -> Verdict {
        self.advance(now);
        let (Some((addr, Task::Piece(index) | Task::Proof(index))), Some(own)) =
            (self.flight(request), self.verifier(request))
        else {
            return Verdict::Unwanted;
        };
        if !own.checks_the_same_as(verifier) {
            return Verdict::Unwanted;
        }
        let is_right = verifier.finish();
        self.end(request, own.remaining().saturating_sub(verifier.remaining()));
        if is_right {
            self.piece_is_right(addr, index);
        } else {
            self.drop_provider(addr, Rejection::WrongPiece { index });
        }
        self.schedule();
        if is_right { Verdict::Accepted } else { Verdict::Rejected }
    }

    /// A request brought nothing. The piece goes to somebody else, the provider rests.
    pub fn request_failed(&mut self, now: Instant, request: RequestId, failure: RequestFailure) {
        self.advance(now);
        let Some((addr, _)) = self.flight(request) else {
            return;
        };
        self.end(request, 0);
        self.fail_provider(addr, failure);
        self.schedule();
    }

    /// The host found piece `index` on its own disk and verified it against [`list`](Self::list).
    /// False if there is no list yet, no such piece, or it was there already.
    pub fn piece_on_disk(&mut self, now: Instant, index: u32) -> bool {
        self.advance(now);
        let fresh = !self.over && self.list.is_some() && self.have.insert(index);
        if fresh {
            self.claimed.insert(index);
            self.cancel_where(|flight| flight.task == Task::Piece(index));
            self.finish_if_full();
            self.schedule();
        }
        fresh
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come. Early or twice does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        while let Some((addr, failure)) = self.overdue() {
            self.cancel_where(|flight| flight.provider == addr);
            self.fail_provider(addr, failure);
        }
        self.schedule();
    }

    // What the host does.

    /// The next request to make.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// The next request to end: its answer is not needed any more.
    pub fn poll_cancel(&mut self) -> Option<RequestId> {
        self.cancels.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<FetchEvent> {
        self.events.pop_front()
    }

    // What the host may look at.

    /// What is being fetched.
    #[must_use]
    pub const fn id(&self) -> ContentId {
        self.id
    }

    /// The true hash list, once it is certain.
    #[must_use]
    pub const fn list(&self) -> Option<&HashList> {
        self.list.as_ref()
    }

    /// The verified pieces; none out of none before the list is certain.
    #[must_use]
    pub const fn have(&self) -> &Bitmap {
        &self.have
    }

    /// What to keep beside the partial file, once the list is certain.
    #[must_use]
    pub fn resume_note(&self) -> Option<Resume> {
        let size = self.list.as_ref()?.size();
        Some(Resume { id: self.id, size, have: self.have.clone() })
    }

    /// Whether the fetch is done or has failed.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// The providers that are asked, in the order in which they were found.
    #[must_use]
    pub fn providers(&self) -> Vec<ProviderStats> {
        let mut all: Vec<_> = self.providers.iter().collect();
        sort_by_key(&mut all, |(_, provider)| provider.turn.order);
        let stats = |(addr, provider): (&SocketAddr, &Provider)| ProviderStats {
            addr: *addr,
            verified: provider.verified,
            in_flight: provider.in_flight,
            rate: provider.rate(),
            failures: provider.failures,
        };
        all.into_iter().map(stats).collect()
    }

    /// The providers that were dropped, with the reasons.
    pub fn rejected(&self) -> impl Iterator<Item = (SocketAddr, Rejection)> {
        self.dropped.iter().map(|(addr, reason)| (*addr, *reason))
    }

    // What both do.

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn flight(&self, request: RequestId) -> Option<(SocketAddr, Task)> {
        self.flights.get(&request).map(|flight| (flight.provider, flight.task))
    }
}

#[cfg(test)]
mod tests;
