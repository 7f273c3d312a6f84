//! Who is connected: sessions that outlive a connection for a while, counted in all and by source.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kadlet_core::Prefix;
use tokio::sync::{Semaphore, watch};

use super::counters::Tally;
use super::destinations::Destinations;
use super::limits::{Flow, Limits, Rate};
use super::ports::{Port, Ports};
use super::shape::Network;

/// Ports of one source, those that rest included, for each client that it may have. 4: every one of
/// its clients may go and come anew three times while a port rests, and 64 sources together do not
/// use up the 16,384 ports that there are.
pub(super) const PORTS_PER_CLIENT: usize = 4;

/// A secret that only its client knows.
pub(super) type SessionId = [u8; 16];

/// What one client has of the relay.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) network: Network,
    /// One for each address family that the relay has.
    pub(super) ports: Vec<Port>,
    /// Whether this client's node may serve others: on a public network not many can.
    pub(super) serve: bool,
    /// What its source may take with others; none where sources are not counted.
    pub(super) source: Option<Arc<Source>>,
    /// Held by the connection that the session has at present.
    pub(super) traffic: Arc<tokio::sync::Mutex<Traffic>>,
    /// The number of the latest connection that wants to have it.
    pub(super) claims: watch::Sender<u64>,
    /// Whom it writes to, by datagrams and by fetches.
    destinations: Mutex<Destinations>,
    /// Whether its port is to rest: anybody may know it, for it has sent a datagram. So it is after
    /// a fetch: whoever begins a session for each few fetches has no end of them else.
    pub(super) sent: AtomicBool,
    pub(super) fetches: Arc<Semaphore>,
    /// Fetches begun, and bytes fetched.
    pub(super) asked: Mutex<Rate>,
    pub(super) fetched: Mutex<Rate>,
    prefix: Option<Prefix>,
}

impl Session {
    /// A number for a connection that wants to have the session: from now on it is the latest.
    pub(super) fn claim(&self) -> u64 {
        let mut number = 0;
        self.claims.send_modify(|latest| {
            *latest += 1;
            number = *latest;
        });
        number
    }

    pub(super) fn destinations(&self) -> MutexGuard<'_, Destinations> {
        self.destinations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client sent and got of late.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) out: Flow,
    pub(super) into: Flow,
    pub(super) last_sent: Instant,
}

/// What one source may take, all its clients together.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) out: Mutex<Flow>,
    pub(super) into: Mutex<Flow>,
    pub(super) fetches: Arc<Semaphore>,
    pub(super) asked: Mutex<Rate>,
}

/// Why there is no session.
#[derive(Debug)]
pub(super) enum Full {
    /// Too many clients in all.
    All,
    /// Too many from this source.
    Source,
    /// Too many ports of this source rest.
    Resting,
    /// No port, or no descriptor.
    Port(io::Error),
}

/// All sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    limits: Limits,
    ports: Ports,
    /// Whether clients' nodes count under a public prefix.
    public: bool,
    tally: Arc<Tally>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    sessions: BTreeMap<SessionId, Entry>,
    sources: BTreeMap<Prefix, BySource>,
    serving: usize,
}

/// What is counted of one source.
#[derive(Debug)]
struct BySource {
    clients: usize,
    /// Until when ports of earlier clients rest, the next one first.
    resting: VecDeque<Instant>,
    source: Arc<Source>,
}

#[derive(Debug)]
struct Entry {
    session: Arc<Session>,
    /// Connections that have it or wait for it.
    holders: usize,
    /// Since when there are none.
    parked: Option<Instant>,
}

impl Sessions {
    pub(super) fn new(limits: Limits, ports: Ports, public: bool, tally: Arc<Tally>) -> Self {
        Self { limits, ports, public, tally, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new session for a client at `ip`; it has one holder.
    pub(super) fn open(
        &self,
        network: Network,
        ip: IpAddr,
        now: Instant,
    ) -> Result<Arc<Session>, Full> {
        let mut id = SessionId::default();
        getrandom::fill(&mut id)
            .map_err(|error| Full::Port(io::Error::other(error.to_string())))?;
        let prefix = self.limits.count(ip).then(|| Prefix::of(ip));
        let mut inner = self.inner();
        self.make_room(&mut inner, prefix, now)?;
        let ports = self.ports.open(now).map_err(Full::Port)?;
        let source = prefix.map(|prefix| self.source(&mut inner, prefix, now));
        let serve =
            !self.public || (network != Network::Mainline && inner.serving < self.limits.serving);
        inner.serving += usize::from(serve);
        let traffic = Traffic {
            out: Flow::new(&self.limits, 1, now),
            into: Flow::new(&self.limits, 1, now),
            last_sent: now,
        };
        let session = Arc::new(Session {
            id,
            network,
            ports,
            serve,
            source,
            traffic: Arc::new(tokio::sync::Mutex::new(traffic)),
            claims: watch::Sender::new(0),
            destinations: Mutex::new(Destinations::new(now)),
            sent: AtomicBool::new(false),
            fetches: Arc::new(Semaphore::new(self.limits.fetches)),
            asked: Mutex::new(Rate::new(self.limits.fetches_per_second, now)),
            fetched: Mutex::new(Rate::new(self.limits.fetched_bytes_per_second, now)),
            prefix,
        });
        let entry = Entry { session: Arc::clone(&session), holders: 1, parked: None };
        inner.sessions.insert(id, entry);
        self.count(&inner);
        super::counters::add(&self.tally.opened, 1);
        Ok(session)
    }

    fn source(&self, inner: &mut Inner, prefix: Prefix, now: Instant) -> Arc<Source> {
        let flow = || Mutex::new(Flow::new(&self.limits, self.limits.rates_per_source, now));
        let fresh = || BySource {
            clients: 0,
            resting: VecDeque::new(),
            source: Arc::new(Source {
                out: flow(),
                into: flow(),
                fetches: Arc::new(Semaphore::new(self.limits.fetches_per_source)),
                asked: Mutex::new(Rate::new(self.limits.fetches_per_second_of_source(), now)),
            }),
        };
        let of = inner.sources.entry(prefix).or_insert_with(fresh);
        of.clients += 1;
        Arc::clone(&of.source)
    }

    /// Whoever is waited for gives way to whoever is here.
    fn make_room(
        &self,
        inner: &mut Inner,
        prefix: Option<Prefix>,
        now: Instant,
    ) -> Result<(), Full> {
        if let Some(prefix) = prefix
            && let Some(of) = inner.sources.get_mut(&prefix)
        {
            of.rest_is_over(now);
            // Whoever gives way below lets his port rest, which makes no room among these.
            let most = self.limits.clients_per_source.saturating_mul(PORTS_PER_CLIENT);
            if of.clients + of.resting.len() >= most {
                return Err(Full::Resting);
            }
            if of.clients >= self.limits.clients_per_source {
                let longest = longest_parked(inner, |it| it.prefix == Some(prefix));
                self.remove(inner, longest.ok_or(Full::Source)?, now);
            }
        }
        if inner.sessions.len() >= self.limits.clients {
            let longest = longest_parked(inner, |_| true);
            self.remove(inner, longest.ok_or(Full::All)?, now);
        }
        Ok(())
    }

    /// The session that somebody knows, with one holder more.
    pub(super) fn resume(&self, id: SessionId, network: Network) -> Option<Arc<Session>> {
        let mut inner = self.inner();
        let entry = inner.sessions.get_mut(&id)?;
        if entry.session.network != network {
            return None;
        }
        entry.holders += 1;
        entry.parked = None;
        super::counters::add(&self.tally.resumed, 1);
        Some(Arc::clone(&entry.session))
    }

    /// The session, for a fetch.
    pub(super) fn find(&self, id: SessionId) -> Option<Arc<Session>> {
        self.inner().sessions.get(&id).map(|entry| Arc::clone(&entry.session))
    }

    /// A holder is gone; `over` says that nobody will come back.
    pub(super) fn release(&self, id: SessionId, over: bool, now: Instant) {
        let mut inner = self.inner();
        let Some(entry) = inner.sessions.get_mut(&id) else { return };
        entry.holders = entry.holders.saturating_sub(1);
        if entry.holders > 0 {
            return;
        }
        entry.parked = Some(now);
        if over {
            self.remove(&mut inner, id, now);
        }
    }

    /// Ends those whose time of grace is over, and forgets sources that owe nothing. To be called
    /// every second or so.
    pub(super) fn tidy(&self, now: Instant) {
        let mut inner = self.inner();
        let grace = self.limits.grace;
        let gone = |entry: &Entry| {
            entry.parked.is_some_and(|since| now.saturating_duration_since(since) >= grace)
        };
        let over: Vec<_> =
            inner.sessions.iter().filter(|(_, entry)| gone(entry)).map(|(id, _)| *id).collect();
        for id in over {
            self.remove(&mut inner, id, now);
        }
        let most = self.limits.fetches_per_source;
        inner.sources.retain(|_, of| {
            of.rest_is_over(now);
            // A fetch may outlast its session.
            let fetches = of.source.fetches.available_permits() < most;
            of.clients > 0 || !of.resting.is_empty() || fetches || !of.source.is_idle(now)
        });
    }

    fn remove(&self, inner: &mut Inner, id: SessionId, now: Instant) {
        let Some(Entry { session, .. }) = inner.sessions.remove(&id) else { return };
        // Nobody learned of a port that nothing was sent from.
        let rests = session.sent.load(Ordering::Relaxed);
        if let Some(port) = session.ports.first().filter(|_| rests) {
            self.ports.rest(port.seen.port(), now);
        }
        inner.serving = inner.serving.saturating_sub(usize::from(session.serve));
        if let Some(of) = session.prefix.and_then(|prefix| inner.sources.get_mut(&prefix)) {
            of.clients = of.clients.saturating_sub(1);
            if rests {
                of.resting.push_back(now + self.limits.port_rest);
            }
        }
        self.count(inner);
    }

    fn count(&self, inner: &Inner) {
        let sessions = inner.sessions.len() as u64;
        self.tally.sessions.store(sessions, Ordering::Relaxed);
    }
}

impl BySource {
    fn rest_is_over(&mut self, now: Instant) {
        while self.resting.front().is_some_and(|until| *until <= now) {
            self.resting.pop_front();
        }
    }
}

impl Source {
    fn is_idle(&self, now: Instant) -> bool {
        let idle =
            |flow: &Mutex<Flow>| flow.lock().unwrap_or_else(PoisonError::into_inner).is_idle(now);
        idle(&self.out) && idle(&self.into)
    }
}

fn longest_parked(inner: &Inner, of: impl Fn(&Session) -> bool) -> Option<SessionId> {
    let parked = inner.sessions.iter().filter(|(_, entry)| of(&entry.session));
    parked.filter_map(|(id, entry)| Some((entry.parked?, *id))).min().map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::super::ports::Local;
    use super::*;
    use core::net::Ipv4Addr;
    use core::time::Duration;

    #[tokio::test]
    async fn ports_that_rest_count_with_their_source() {
        let limits = Limits { clients_per_source: 2, ..Limits::default() };
        let rest = limits.port_rest;
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let local = Local { bind: here, seen: here };
        let ports = Ports::new(vec![local], 49_152..=65_535, rest);
        let sessions = Sessions::new(limits, ports, false, Arc::default());
        let now = Instant::now();
        let come_and_go = |ip: &str, sent: bool, at: Instant| {
            let network = "mainline".parse().expect("a network");
            let session = sessions.open(network, ip.parse().expect("an address"), at)?;
            session.sent.store(sent, Ordering::Relaxed);
            sessions.release(session.id, true, at);
            Ok::<_, Full>(())
        };
        let most = 2 * PORTS_PER_CLIENT;
        // Nobody knows of these, and they do not rest.
        for _ in 0..2 * most {
            come_and_go("8.8.8.8", false, now).expect("room");
        }
        for _ in 0..most {
            come_and_go("8.8.8.8", true, now).expect("room");
        }
        let almost = now + rest - Duration::from_secs(1);
        for at in [now, almost] {
            assert!(matches!(come_and_go("8.8.8.9", false, at), Err(Full::Resting)));
            sessions.tidy(almost);
        }
        come_and_go("8.8.9.8", true, now).expect("another source");
        for _ in 0..2 * most {
            come_and_go("192.168.1.1", true, now).expect("a neighbour");
        }
        come_and_go("8.8.8.8", true, now + rest).expect("rested");
        sessions.tidy(now + 2 * rest);
        assert!(sessions.inner().sources.is_empty());
    }
}
