//! The listening side: connections, TLS, and which request goes where.

use alloc::sync::Arc;
use core::convert::Infallible;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::time::Instant;

use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use kadlet_core::{Family, Scope};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::connections::Connections;
use super::counters::{Counters, Tally, add};
use super::error::RelayError;
use super::limits::Limits;
use super::ports::{Local, Ports, bind};
use super::sessions::Sessions;
use super::settings::{Origin, Settings};
use super::web::{Web, plain};
use super::{fetch, stun, tls, upgrade};
use crate::by_source::Counted;
use crate::error::StartError;
use crate::patient::Patient;
use crate::sockets::outward_ip;
use crate::tcp;

/// Connections beyond those of clients: pages being loaded, fetches, refusals.
const BESIDES: usize = 512;

/// Whoever has sent no whole request head for so long, or is not done with TLS, is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// How long nothing is accepted after an error of accepting: for lack of descriptors, or a
/// connection that broke before it was taken.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a stopping relay waits for its connections to close.
const STOPPING: Duration = Duration::from_secs(5);

/// How often a free port is looked for that is free for both, TCP and UDP.
const PAIRS: usize = 16;

pub(super) type Body = Either<Full<Bytes>, fetch::Passed>;

/// What all connections have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) sessions: Sessions,
    pub(super) tally: Arc<Tally>,
    pub(super) fetches: Arc<Semaphore>,
    pub(super) token: Option<String>,
    pub(super) origins: Vec<Origin>,
    pub(super) allow_private: bool,
    /// Whether clients' ports have public addresses.
    pub(super) public: bool,
    /// Where STUN is answered.
    pub(super) stun: Option<SocketAddr>,
    pub(super) stopping: watch::Receiver<bool>,
    proxies: Vec<IpAddr>,
    web: Option<Web>,
    connections: Connections,
    slots: Arc<Semaphore>,
}

/// A relay, running until it is stopped or dropped.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    listening: Vec<SocketAddr>,
    scheme: &'static str,
    tasks: JoinSet<()>,
}

impl Relay {
    /// Opens the sockets and starts to serve.
    ///
    /// # Errors
    /// What is wrong with the settings, or with the machine; nothing is left behind.
    pub async fn start(settings: Settings) -> Result<Self, RelayError> {
        let tls = settings.tls.clone().map(|files| tls::watched(files, settings.tls_reread));
        let tls = tls.transpose()?;
        let (acceptor, renewal) = tls.unzip();
        let web = settings.web.as_deref().map(Web::read).transpose()?;
        let locals = locals(&settings)?;
        let (listeners, stun_sockets) = open(&settings.listen, &locals)?;
        let stun_seen: Vec<_> = stun_sockets.iter().map(|port| port.seen).collect();
        let limits = settings.limits.clone();
        let public = locals.iter().any(|it| Scope::of(it.seen) == Some(Scope::Public));
        let ports = Ports::new(locals, settings.ports.clone(), limits.port_rest);
        let tally = Arc::new(Tally::default());
        let (stop, stopping) = watch::channel(false);
        let shared = Arc::new(Shared {
            sessions: Sessions::new(limits.clone(), ports, public, Arc::clone(&tally)),
            tally,
            fetches: Arc::new(Semaphore::new(limits.fetches_in_all)),
            slots: Arc::new(Semaphore::new(limits.clients + BESIDES)),
            connections: Connections::new(&limits, settings.proxies.clone()),
            limits,
            token: settings.token,
            origins: settings.origins,
            allow_private: settings.allow_private,
            public,
            stun: stun_seen.first().copied(),
            stopping,
            proxies: settings.proxies,
            web,
        });
        let mut tasks = JoinSet::new();
        for port in stun_sockets {
            let tally = Arc::clone(&shared.tally);
            tasks.spawn(stun::serve(port.udp, shared.limits.clone(), tally));
        }
        tasks.spawn(tidy(Arc::clone(&shared)));
        renewal.map(|renewal| tasks.spawn(renewal));
        let mut listening = Vec::new();
        for listener in listeners {
            listening.push(listener.local_addr().map_err(|error| StartError::Socket {
                address: (Ipv4Addr::UNSPECIFIED, 0).into(),
                error,
            })?);
            tasks.spawn(accept(listener, acceptor.clone(), Arc::clone(&shared)));
        }
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        Ok(Self { shared, stop, listening, scheme, tasks })
    }

    /// Where it listens, with the ports that the system chose.
    #[must_use]
    pub fn listening(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// Where it is reached: never a wildcard.
    #[must_use]
    pub fn reached_at(&self) -> Vec<SocketAddr> {
        let reached = |at: &SocketAddr| SocketAddr::new(seen(at.ip()), at.port());
        self.listening.iter().map(reached).collect()
    }

    /// `https` with a certificate, else `http`; a WebSocket's scheme goes with it.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Where STUN is answered.
    #[must_use]
    pub fn stun(&self) -> Option<SocketAddr> {
        self.shared.stun
    }

    /// Whether its clients' nodes have public addresses: few of them can serve others then.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.shared.public
    }

    /// What it has done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.tally.read()
    }

    /// Takes nobody any more, tells every client, and waits up to 5 s until they are gone.
    pub async fn stop(mut self) {
        // Somebody listens: we hold a receiver ourselves.
        let _ = self.stop.send(true);
        let slots = u32::try_from(self.shared.limits.clients + BESIDES).unwrap_or(u32::MAX);
        let gone = self.shared.slots.acquire_many(slots);
        let _ = tokio::time::timeout(STOPPING, gone).await;
        self.tasks.shutdown().await;
    }
}

/// The addresses of clients' ports: one of each family at most.
fn locals(settings: &Settings) -> Result<Vec<Local>, RelayError> {
    let listening = settings.listen.iter().map(SocketAddr::ip);
    let given = !settings.udp.is_empty();
    let wanted: Vec<IpAddr> = if given { settings.udp.clone() } else { listening.collect() };
    let mut locals: Vec<Local> = Vec::new();
    let family = |ip: IpAddr| Family::of(&SocketAddr::new(ip, 0));
    for bind in wanted {
        if locals.iter().all(|local| family(local.bind) != family(bind)) {
            let external = settings.external.iter().find(|ip| family(**ip) == family(bind));
            locals.push(Local { bind, seen: external.copied().unwrap_or_else(|| seen(bind)) });
        } else if given {
            return Err(RelayError::Addresses("UDP ports are opened on one address of a family"));
        }
    }
    if locals.is_empty() {
        return Err(RelayError::Addresses("a relay needs an address to listen on"));
    }
    Ok(locals)
}

/// An address as others see it: a wildcard is none.
fn seen(ip: IpAddr) -> IpAddr {
    if !ip.is_unspecified() {
        return ip;
    }
    let outward = outward_ip(Family::of(&SocketAddr::new(ip, 0)));
    if Scope::of(outward).is_some() {
        return outward;
    }
    match ip {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => core::net::Ipv6Addr::LOCALHOST.into(),
    }
}

type Opened = (Vec<TcpListener>, Vec<super::ports::Port>);

/// The listeners, and the UDP sockets for STUN at the first one's port.
fn open(listen: &[SocketAddr], locals: &[Local]) -> Result<Opened, RelayError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let listeners: Result<Vec<_>, StartError> =
            listen.iter().map(|address| tcp::listen(*address, true)).collect();
        let listeners = listeners?;
        let first = listeners.first().and_then(|first| first.local_addr().ok());
        let port = first.map_or(0, |first| first.port());
        let stun: Result<Vec<_>, StartError> = locals
            .iter()
            .map(|local| {
                let address = SocketAddr::new(local.bind, port);
                bind(*local, port).map_err(|error| StartError::socket(address, error))
            })
            .collect();
        let chosen = listen.first().is_some_and(|address| address.port() != 0);
        match stun {
            Ok(stun) => return Ok((listeners, stun)),
            // The system chose a port that is free for TCP alone.
            Err(StartError::AddressInUse { .. }) if !chosen && tries < PAIRS => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends what is over, once a second.
async fn tidy(shared: Arc<Shared>) {
    let mut clock = tokio::time::interval(Duration::from_secs(1));
    loop {
        clock.tick().await;
        shared.sessions.tidy(Instant::now());
    }
}

/// Takes connections until the relay stops, and keeps those it has until they end.
async fn accept(
    listener: TcpListener,
    acceptor: Option<watch::Receiver<TlsAcceptor>>,
    shared: Arc<Shared>,
) {
    let mut connections = JoinSet::new();
    let mut stopping = shared.stopping.clone();
    loop {
        let taken = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => break,
            taken = take(&listener, &shared.slots) => taken,
        };
        while connections.try_join_next().is_some() {}
        let Some((permit, stream, peer)) = taken else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // One source alone must not hold all places.
        let Some(counted) = shared.connections.enter(peer.ip()) else { continue };
        let slot = Slot { _permit: permit, _counted: counted };
        // Datagrams do not wait for acknowledgements.
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        let acceptor = acceptor.as_ref().map(|current| current.borrow().clone());
        connections.spawn(async move {
            // Whoever takes nothing is no more there than whoever says nothing.
            let stream = Patient::new(stream, shared.limits.silent);
            let Some(acceptor) = acceptor else { return serve(stream, peer, slot, shared).await };
            let secured = tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await;
            if let Ok(Ok(stream)) = secured {
                serve(stream, peer, slot, shared).await;
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

type Taken = (OwnedSemaphorePermit, TcpStream, SocketAddr);

async fn take(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<Taken> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    let (stream, peer) = listener.accept().await.ok()?;
    Some((slot, stream, peer))
}

/// What a connection takes of the relay, until it ends.
#[derive(Debug)]
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

async fn serve<S>(stream: S, peer: SocketAddr, slot: Slot, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let slot = Arc::new(slot);
    let mut stopping = shared.stopping.clone();
    let service = service_fn(move |request| {
        let (shared, slot) = (Arc::clone(&shared), Arc::clone(&slot));
        async move { Ok::<_, Infallible>(route(&shared, request, peer.ip(), slot).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(16 << 10);
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = core::pin::pin!(connection);
    // A client that goes away in the middle is no event here.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

async fn route(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
    peer: IpAddr,
    slot: Arc<Slot>,
) -> Response<Body> {
    add(&shared.tally.requests, 1);
    match request.uri().path() {
        "/relay" => {
            let ip = speaker(&shared.proxies, peer, request.headers());
            upgrade::answer(shared, request, ip, slot).map(Either::Left)
        }
        "/counters" => counters(shared, &request, peer).map(Either::Left),
        path if path.starts_with("/fetch/") => fetch::answer(shared, &request).await,
        _ => match &shared.web {
            Some(web) => web.answer(&request).map(Either::Left),
            None => {
                plain(StatusCode::NOT_FOUND, "this is a relay without a page\n").map(Either::Left)
            }
        },
    }
}

/// What a proxy adds.
const FORWARDED: [HeaderName; 3] = [
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
];

/// The address on whose behalf a request comes: a proxy of ours adds it to the end of the list, and
/// whatever stands before was said by somebody else.
fn speaker(proxies: &[IpAddr], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let peer = peer.to_canonical();
    if !proxies.contains(&peer) {
        return peer;
    }
    let lists = headers.get_all(&FORWARDED[1]);
    let last = lists.iter().next_back().and_then(|list| list.to_str().ok());
    let said = last.and_then(|list| list.rsplit(',').next()?.trim().parse().ok());
    said.map_or(peer, |ip: IpAddr| ip.to_canonical())
}

/// The relay's own numbers, for this machine alone: not for whoever comes through a proxy on it,
/// nor for a page that found a name for its address.
fn counters<B>(shared: &Shared, request: &Request<B>, peer: IpAddr) -> Response<Full<Bytes>> {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let forwarded = FORWARDED.iter().any(|name| headers.contains_key(name));
    if !peer.to_canonical().is_loopback() || forwarded || !upgrade::is_literal(host) {
        return plain(
            StatusCode::FORBIDDEN,
            "the counters are shown on the relay's machine alone\n",
        );
    }
    let mut response = Response::new(Full::from(shared.tally.read().to_json().to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proxy_of_ours_speaks_for_others() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "9.9.9.9".parse().expect("a header"));
        headers.append("x-forwarded-for", "8.8.8.8, 1.2.3.4".parse().expect("a header"));
        let ours = [ip("127.0.0.1")];
        assert_eq!(speaker(&ours, ip("127.0.0.1"), &headers), ip("1.2.3.4"));
        assert_eq!(speaker(&ours, ip("127.0.0.2"), &headers), ip("127.0.0.2"));
        assert_eq!(speaker(&[], ip("127.0.0.1"), &headers), ip("127.0.0.1"));
        headers.append("x-forwarded-for", "::ffff:1.2.3.5".parse().expect("a header"));
        assert_eq!(speaker(&ours, ip("::ffff:127.0.0.1"), &headers), ip("1.2.3.5"));
        headers.append("x-forwarded-for", "unknown".parse().expect("a header"));
        assert_eq!(speaker(&ours, ip("127.0.0.1"), &headers), ip("127.0.0.1"));
    }
}
