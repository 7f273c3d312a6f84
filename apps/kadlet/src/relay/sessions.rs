//! Who is connected: sessions that outlive a connection for a while, counted in all and by source.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::IpAddr;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kadlet_core::{Prefix, Scope};
use tokio::sync::{Semaphore, watch};

use super::counters::Tally;
use super::destinations::Destinations;
use super::limits::{Flow, Limits, Rate};
use super::ports::{Port, Ports};
use super::shape::Network;

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
    pub(super) fetches: Arc<Semaphore>,
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
}

/// What a client sent and got of late.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) out: Flow,
    pub(super) into: Flow,
    pub(super) destinations: Destinations,
    pub(super) last_sent: Instant,
}

/// What one source may take, all its clients together.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) out: Mutex<Flow>,
    pub(super) into: Mutex<Flow>,
}

/// Why there is no session.
#[derive(Debug)]
pub(super) enum Full {
    /// Too many clients in all.
    All,
    /// Too many from this source.
    Source,
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
    sources: BTreeMap<Prefix, (usize, Arc<Source>)>,
    serving: usize,
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
        let prefix = self.counts(ip).then(|| Prefix::of(ip));
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
            destinations: Destinations::new(now),
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
            fetches: Arc::new(Semaphore::new(self.limits.fetches)),
            fetched: Mutex::new(Rate::new(self.limits.fetched_bytes_per_second, now)),
            prefix,
        });
        let entry = Entry { session: Arc::clone(&session), holders: 1, parked: None };
        inner.sessions.insert(id, entry);
        self.count(&inner);
        super::counters::add(&self.tally.opened, 1);
        Ok(session)
    }

    /// Whether clients at `ip` are counted by their source.
    fn counts(&self, ip: IpAddr) -> bool {
        !self.limits.spare_local || Scope::of(ip) == Some(Scope::Public)
    }

    fn source(&self, inner: &mut Inner, prefix: Prefix, now: Instant) -> Arc<Source> {
        let flow = || Mutex::new(Flow::new(&self.limits, self.limits.rates_per_source, now));
        let fresh = || (0, Arc::new(Source { out: flow(), into: flow() }));
        let (clients, source) = inner.sources.entry(prefix).or_insert_with(fresh);
        *clients += 1;
        Arc::clone(source)
    }

    /// Whoever is waited for gives way to whoever is here.
    fn make_room(
        &self,
        inner: &mut Inner,
        prefix: Option<Prefix>,
        now: Instant,
    ) -> Result<(), Full> {
        if let Some(prefix) = prefix {
            let clients = inner.sources.get(&prefix).map_or(0, |(clients, _)| *clients);
            if clients >= self.limits.clients_per_source {
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
        inner.sources.retain(|_, (clients, source)| *clients > 0 || !source.is_idle(now));
    }

    fn remove(&self, inner: &mut Inner, id: SessionId, now: Instant) {
        let Some(Entry { session, .. }) = inner.sessions.remove(&id) else { return };
        if let Some(port) = session.ports.first() {
            self.ports.rest(port.seen.port(), now);
        }
        inner.serving = inner.serving.saturating_sub(usize::from(session.serve));
        if let Some((clients, _)) = session.prefix.and_then(|prefix| inner.sources.get_mut(&prefix))
        {
            *clients = clients.saturating_sub(1);
        }
        self.count(inner);
    }

    fn count(&self, inner: &Inner) {
        let sessions = inner.sessions.len() as u64;
        self.tally.sessions.store(sessions, core::sync::atomic::Ordering::Relaxed);
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
