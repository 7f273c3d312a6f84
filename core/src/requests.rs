//! Outstanding requests: who was asked what, which answer belongs to it, and when to stop waiting.
//!
//! Rules:
//! - A transaction id cannot be guessed, and an answer counts only if id, path and sender fit
//!   (mistake 21).
//! - Three timeouts, all measured (mistake 13): after the short one somebody else is asked meanwhile;
//!   after the silent one, when answers do not take so long, nobody waits any more; an answer still
//!   counts until the hard one.
//! - One datagram in fifty is lost, so a silent request may be repeated, each time under an id of
//!   its own: every answer tells its round trip, and none is mistaken for a faster one's (Karn's
//!   ambiguity). However often it was sent, it is one request: one answer ends it, and it dies once.
//! - Silence counts against a contact only while others can be heard: after ten requests in a row
//!   without an answer it is we who are offline (mistake 12). A request that was sent before the
//!   last answer came shows nothing of that kind, for our link worked after it was sent.

mod round_trips;
#[cfg(test)]
mod tests;

use core::time::Duration;

use arrayvec::ArrayVec;

use crate::config::{RequestConfig, Shared};
use crate::contact::Path;
use crate::id::Id;
use crate::rng::Rng;
use crate::sorted::{Map, Set};
use crate::time::Instant;
use round_trips::RoundTrips;

/// A question that waits for its answer, or did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Request<T> {
    /// The id that the answer has to carry.
    pub transaction: u64,
    /// Where it was sent, and where the answer has to come from.
    pub path: Path,
    /// Who has to answer; none if whoever sits there may (bootstrap addresses).
    pub expected: Option<Id>,
    /// When it was sent.
    pub sent: Instant,
    /// What it was for.
    pub purpose: T,
}

/// A question and its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Answered<T> {
    /// The question.
    pub request: Request<T>,
    /// From the question, or that repetition of it which was answered, to the answer.
    pub round_trip: Duration,
    /// Whether the answer came after the short timeout, which had been reported.
    pub was_slow: bool,
}

/// Why an answer belongs to no request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Mismatch<T> {
    /// No request has this transaction id: never sent, answered, cancelled, or dead.
    Unknown,
    /// The request went elsewhere. It still waits: whoever this is cannot end it.
    WrongPath,
    /// The right address answered under another id than expected: the contact is stale. The request
    /// has ended.
    WrongId(Request<T>),
}

/// A timeout that passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Expired<T> {
    /// The short one, once per request and once more for every repetition. The answer still counts.
    Slow(Request<T>),
    /// The silent one, once per request, after all repetitions: answers do not take so long. Should
    /// one come all the same, it counts.
    Silent(Request<T>),
    /// The hard one. The request has ended.
    Dead(Request<T>),
}

/// The timeouts that a request sent now would get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Timeouts {
    /// Until somebody else is asked meanwhile.
    pub short: Duration,
    /// Until nobody waits for the answer any more; later if the request is repeated.
    pub silent: Duration,
    /// Until the request is dead.
    pub hard: Duration,
}

/// All requests outstanding; `T` is what the owner needs to remember of each.
///
/// ```
/// use kadlet_core::{Expired, Id, Instant, Path, Requests, Rng, config::RequestConfig};
///
/// let mut requests = Requests::new(RequestConfig::default());
/// let mut rng = Rng::from_seed([7; 32]);
/// let (peer, path) = (Id::new([1; 20]), Path::direct(([127, 0, 0, 1], 4000).into()));
///
/// let at = Instant::from_secs(1);
/// let transaction = requests.start(at, path, Some(peer), "ping", &mut rng).expect("room");
/// let late = requests.poll_timeout().expect("a timeout is due");
/// assert!(matches!(requests.poll(late), Some(Expired::Slow(_))));
///
/// let answered = requests.answer(late, transaction, path, peer).expect("a match");
/// assert_eq!((answered.request.purpose, answered.was_slow), ("ping", true));
/// ```
#[derive(Clone, Debug)]
pub struct Requests<T> {
    config: Shared<RequestConfig>,
    outstanding: Map<u64, Outstanding<T>>,
    /// Ids of repetitions: of which request, and when it was sent.
    repeated: Map<u64, (u64, Instant)>,
    /// The next timeout of each request.
    deadlines: Set<(Instant, u64)>,
    round_trips: RoundTrips,
    /// When the last answer came.
    heard: Option<Instant>,
    silent: u32,
}

#[derive(Clone, Debug)]
struct Outstanding<T> {
    request: Request<T>,
    /// Its key in `deadlines`.
    deadline: Instant,
    /// Until when it waits in all.
    hard: Instant,
    stage: Stage,
    /// Whether the host said that the path does not work.
    path_failed: bool,
    repetitions: ArrayVec<u64, MAX_REPEATS>,
}

/// Which timeouts have passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// None since it was sent, or sent again.
    Fresh,
    /// The short one.
    Slow,
    /// The silent one.
    Silent,
}

/// More would be no better than a new request.
const MAX_REPEATS: usize = 4;

impl<T> Requests<T> {
    /// No request yet, and no round trip measured. An id length in `config` out of range is taken as
    /// the nearest within.
    #[must_use]
    pub fn new(config: impl Into<Shared<RequestConfig>>) -> Self {
        let config = config.into().corrected(|config| {
            config.transaction_bytes = config.transaction_bytes.clamp(1, 8);
            // With half of all ids free a draw finds one at once; the cap matters to one-byte ids only.
            let half = 1_usize.checked_shl(8 * u32::from(config.transaction_bytes) - 1);
            config.outstanding = config.outstanding.min(half.unwrap_or(usize::MAX));
        });
        Self {
            outstanding: Map::new(),
            repeated: Map::new(),
            deadlines: Set::new(),
            round_trips: RoundTrips::new(config.memory),
            heard: None,
            silent: 0,
            config,
        }
    }

    /// Notes a request that is sent now, and draws its transaction id: as many random bytes as the
    /// configuration says, in the low bits.
    ///
    /// # Errors
    /// Gives `purpose` back if as many requests as allowed are outstanding.
    pub fn start(
        &mut self,
        now: Instant,
        path: Path,
        expected: Option<Id>,
        purpose: T,
        rng: &mut Rng,
    ) -> Result<u64, T> {
        if self.is_full() {
            return Err(purpose);
        }
        let transaction = self.draw(rng);
        let Timeouts { short, hard, .. } = self.timeouts();
        let deadline = now + short;
        let request = Request { transaction, path, expected, sent: now, purpose };
        let hard = now + hard;
        let outstanding = Outstanding {
            request,
            deadline,
            hard,
            stage: Stage::Fresh,
            path_failed: false,
            repetitions: ArrayVec::new(),
        };
        self.outstanding.insert(transaction, outstanding);
        self.deadlines.insert((deadline, transaction));
        Ok(transaction)
    }

    /// Notes that a slow request is sent once more, and draws the id of that repetition; the hard
    /// timeout stays, and in front of it comes another short one. All but the last repetition have
    /// half of it: more than one datagram in a row is seldom lost, so that soon enough silence says
    /// what it means.
    ///
    /// None if it is not silent yet, has been repeated [`RequestConfig::repeats`] times, would die
    /// before an answer could come, or if as many requests as allowed are outstanding.
    pub fn repeat(&mut self, now: Instant, transaction: u64, rng: &mut Rng) -> Option<u64> {
        if self.is_full() {
            return None;
        }
        let short = self.timeouts().short;
        let drawn = self.draw(rng);
        let outstanding = self.outstanding.get_mut(&transaction)?;
        let most = usize::from(self.config.repeats).min(MAX_REPEATS);
        let is_last = outstanding.repetitions.len() + 1 >= most;
        let next = now + if is_last { short } else { short / 2 };
        if outstanding.stage != Stage::Slow
            || outstanding.path_failed
            || outstanding.repetitions.len() >= most
            || next > outstanding.hard
        {
            return None;
        }
        outstanding.repetitions.push(drawn);
        self.deadlines.remove(&(outstanding.deadline, transaction));
        outstanding.stage = Stage::Fresh;
        outstanding.deadline = next;
        self.deadlines.insert((next, transaction));
        self.repeated.insert(drawn, (transaction, now));
        Some(drawn)
    }

    /// A transaction id that is not in use.
    fn draw(&self, rng: &mut Rng) -> u64 {
        let mask = u64::MAX >> (64 - 8 * u32::from(self.config.transaction_bytes));
        loop {
            let drawn = rng.next_u64() & mask;
            if !self.outstanding.contains_key(&drawn) && !self.repeated.contains_key(&drawn) {
                return drawn;
            }
        }
    }

    /// The request that a transaction id belongs to, its own or a repetition's, and when that was
    /// sent.
    fn origin(&self, transaction: u64) -> Option<(u64, Instant)> {
        let own = self.outstanding.get(&transaction).map(|it| (transaction, it.request.sent));
        own.or_else(|| self.repeated.get(&transaction).copied())
    }

    /// Matches an answer with its request, which ends.
    ///
    /// # Errors
    /// Says what does not fit. Only [`Mismatch::WrongId`] ends the request.
    pub fn answer(
        &mut self,
        now: Instant,
        transaction: u64,
        path: Path,
        sender: Id,
    ) -> Result<Answered<T>, Mismatch<T>> {
        let (transaction, sent) = self.origin(transaction).ok_or(Mismatch::Unknown)?;
        let outstanding = self.outstanding.get(&transaction).ok_or(Mismatch::Unknown)?;
        if outstanding.request.path != path {
            return Err(Mismatch::WrongPath);
        }
        let outstanding = self.end(transaction).ok_or(Mismatch::Unknown)?;
        let was_slow = outstanding.stage != Stage::Fresh || !outstanding.repetitions.is_empty();
        let request = outstanding.request;
        let round_trip = now.since(sent);
        self.round_trips.observe(round_trip);
        self.heard = self.heard.max(Some(now));
        self.silent = 0;
        if request.expected.is_some_and(|expected| expected != sender) {
            return Err(Mismatch::WrongId(request));
        }
        Ok(Answered { request, round_trip, was_slow })
    }

    /// The next timeout that passed by `now`; to be called until it gives none.
    pub fn poll(&mut self, now: Instant) -> Option<Expired<T>>
    where
        T: Clone,
    {
        let (deadline, transaction) = self.deadlines.first().copied()?;
        if deadline > now {
            return None;
        }
        let measured = self.timeouts();
        let outstanding = self.outstanding.get_mut(&transaction)?;
        if outstanding.stage == Stage::Silent || outstanding.path_failed {
            let outstanding = self.end(transaction)?;
            if !outstanding.path_failed {
                self.round_trips.observe_death();
            }
            // A path that fails counts as well: with our own network gone every send is refused.
            if self.heard.is_none_or(|heard| outstanding.request.sent >= heard) {
                self.silent = self.silent.saturating_add(1);
            }
            return Some(Expired::Dead(outstanding.request));
        }
        let is_slow = outstanding.stage == Stage::Fresh;
        let sent = outstanding.request.sent;
        // The first requests of a node know no measurement when they are sent, but now they may: a
        // node that joins need not wait longer for the dead ones among them than for later ones.
        outstanding.hard = outstanding.hard.min(sent + measured.hard);
        (outstanding.stage, outstanding.deadline) = if is_slow {
            (Stage::Slow, (sent + measured.silent).max(deadline).min(outstanding.hard))
        } else {
            (Stage::Silent, outstanding.hard)
        };
        let (next, request) = (outstanding.deadline, outstanding.request.clone());
        self.deadlines.remove(&(deadline, transaction));
        self.deadlines.insert((next, transaction));
        Some(if is_slow { Expired::Slow(request) } else { Expired::Silent(request) })
    }

    /// When [`Requests::poll`] will next have something; changes with every other call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Notes that the host cannot send on `path`, or was told that nobody listens there: its
    /// requests are dead at the next [`Requests::poll`].
    pub fn path_failed(&mut self, now: Instant, path: Path) {
        for (transaction, outstanding) in self.outstanding.iter_mut() {
            if outstanding.request.path == path {
                self.deadlines.remove(&(outstanding.deadline, *transaction));
                outstanding.deadline = outstanding.deadline.min(now);
                outstanding.path_failed = true;
                self.deadlines.insert((outstanding.deadline, *transaction));
            }
        }
    }

    /// The paths by which questions wait for an answer, some of them more than once.
    pub fn paths(&self) -> impl Iterator<Item = Path> {
        self.outstanding.values().map(|outstanding| outstanding.request.path)
    }

    /// Forgets the requests whose purpose is no longer pursued; how many those were.
    pub fn cancel(&mut self, mut is_moot: impl FnMut(&T) -> bool) -> usize {
        let before = self.outstanding.len();
        let (deadlines, repeated) = (&mut self.deadlines, &mut self.repeated);
        self.outstanding.retain(|transaction, outstanding| {
            let stays = !is_moot(&outstanding.request.purpose);
            if !stays {
                deadlines.remove(&(outstanding.deadline, *transaction));
                for id in &outstanding.repetitions {
                    repeated.remove(id);
                }
            }
            stays
        });
        before - self.outstanding.len()
    }

    /// Gives requests another purpose: what comes of them is for somebody else from now on.
    pub fn repurpose(&mut self, mut anew: impl FnMut(&T) -> Option<T>) {
        for outstanding in self.outstanding.values_mut() {
            if let Some(purpose) = anew(&outstanding.request.purpose) {
                outstanding.request.purpose = purpose;
            }
        }
    }

    /// The request with this transaction id, its own or a repetition's, if it still waits.
    #[must_use]
    pub fn request(&self, transaction: u64) -> Option<&Request<T>> {
        let (transaction, _) = self.origin(transaction)?;
        self.outstanding.get(&transaction).map(|outstanding| &outstanding.request)
    }

    /// How many requests wait; repetitions are not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outstanding.len()
    }

    /// Whether no request waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// Whether [`Requests::start`] would be refused.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.outstanding.len() + self.repeated.len() >= self.config.outstanding
    }

    /// The timeouts a request sent now would get: measured, within their limits, and none longer than
    /// the next.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        let config = &self.config;
        let enough = |samples: u32| self.round_trips.total() >= samples;
        let quantile = |permille: u32| self.round_trips.quantile(permille);
        let percent = |of: Duration, percent: u32| of.saturating_mul(percent) / 100;
        let longest = if enough(config.hard_samples) { quantile(990) } else { None };
        let hard = longest.map_or(config.hard_initial, |of| percent(of, config.hard_percent));
        let hard = hard.min(config.hard_max).max(config.hard_min);
        let short = if enough(config.samples) { quantile(config.short_quantile) } else { None };
        let short = short.map_or(config.short_initial, |of| percent(of, config.short_percent));
        let short = short.min(config.short_max).max(config.short_min).min(hard);
        let silent = longest.filter(|_| self.meets_dead());
        let silent = silent.map_or(hard, |of| percent(of, config.silent_percent));
        let silent = silent.min(hard).max(short);
        Timeouts { short, silent, hard }
    }

    /// The time within which `permille` thousandths of the answers of late came, to 9 %; none before
    /// the first.
    #[must_use]
    pub fn round_trip(&self, permille: u32) -> Option<Duration> {
        self.round_trips.quantile(permille)
    }

    /// Whether so many requests died of late that silence is to be taken for death.
    pub(crate) fn meets_dead(&self) -> bool {
        self.deaths() >= self.config.silent_from
    }

    /// How many of a thousand requests died of late.
    pub(crate) fn deaths(&self) -> u32 {
        self.round_trips.deaths(1_000)
    }

    /// How many requests in a row, sent since the last answer, died in silence.
    #[must_use]
    pub fn silent_streak(&self) -> u32 {
        self.silent
    }

    /// A request that has just died, sent at this time, says nothing of our own line: whom it was for
    /// may never have been there.
    pub(crate) fn forget_silence(&mut self, sent: Instant) {
        if self.heard.is_none_or(|heard| sent >= heard) {
            self.silent = self.silent.saturating_sub(1);
        }
    }

    /// Whether it looks as if we were offline, so that silence is no evidence against anybody.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.silent >= self.config.offline_after
    }

    fn end(&mut self, transaction: u64) -> Option<Outstanding<T>> {
        let outstanding = self.outstanding.remove(&transaction)?;
        self.deadlines.remove(&(outstanding.deadline, transaction));
        for id in &outstanding.repetitions {
            self.repeated.remove(id);
        }
        if self.outstanding.is_empty() {
            // An empty tree holds on to a leaf, here of 2.5 kB: a node is idle most of the time.
            self.outstanding.clear();
            self.repeated.clear();
            self.deadlines.clear();
        }
        Some(outstanding)
    }
}
