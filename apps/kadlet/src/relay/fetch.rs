//! A file of a native provider, for a page that may not connect there: one from `https` may not
//! fetch from `http`.
//!
//! Only the two paths that a provider has (docs/content.md) are asked for, only of addresses that
//! datagrams may be sent to, only for a client of ours, and no redirect is followed. What comes back
//! is bytes, whatever the other end calls them: it must not become a part of our page.

use alloc::sync::Arc;
use core::convert::Infallible;
use core::error::Error;
use core::net::SocketAddr;
use core::pin::Pin;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt as _, Either, Empty, Full};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kadlet_core::content::ContentId;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::JoinSet;

use super::counters::{Reason, add};
use super::destinations::{self, Way};
use super::http::{Body, Shared};
use super::limits::{Limits, Rate};
use super::sessions::Session;
use super::text;
use super::web::plain;
use crate::files::open_to_pages;

/// A provider that does not take a connection in this time, or answer in the next, will not.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// A page that takes nothing for so long has gone.
const STALLED: Duration = Duration::from_secs(30);

/// Slower than this, in bytes a second, a fetch is given up: places are few. A page's piece of 1 MiB
/// may take a minute and a half.
const LEAST_RATE: u64 = 16 << 10;

/// How long a provider is waited for until it has sent what it sends at that rate. On the whole alone
/// it could send next to nothing for half an hour. 16 s: a mobile network's pauses are shorter.
const WINDOW: Duration = Duration::from_secs(16);

/// Longest range, bytes: a page asks for pieces of 1 MiB.
const MOST: u64 = 16 << 20;

/// Longest list of hashes, bytes: that of a file of a terabyte.
const MOST_HASHES: u64 = 32 << 20;

/// What may be held of an answer at once.
const BUFFER: usize = 64 << 10;

/// Says why, in answers that are the relay's own words and not the provider's.
const REASON: HeaderName = HeaderName::from_static("kadlet-relay");

/// One of the relay's limits.
const BUSY: &str = "busy";

/// What a page may read of an answer.
const EXPOSED: &str = "content-range, content-length, kadlet-relay, retry-after";

/// What is asked of whom.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Wanted {
    provider: SocketAddr,
    path: String,
    hashes: bool,
}

/// Answers `/fetch/IP:PORT/blake3/…`.
pub(super) async fn answer(shared: &Arc<Shared>, request: &Request<Incoming>) -> Response<Body> {
    let mut response = match *request.method() {
        Method::GET | Method::HEAD => match fetch(shared, request).await {
            Ok(response) => response,
            Err(refused) => refused.answer(),
        },
        Method::OPTIONS => {
            let mut response = Response::new(Either::Left(Full::default()));
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        _ => {
            let words = "only GET, HEAD and OPTIONS\n";
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, words).map(Either::Left);
            let allow = HeaderValue::from_static("GET, HEAD, OPTIONS");
            response.headers_mut().insert(header::ALLOW, allow);
            response
        }
    };
    open_to_pages(response.headers_mut());
    let mut say =
        |name, value| response.headers_mut().insert(name, HeaderValue::from_static(value));
    say(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    // Nobody has looked yet whether the bytes are right: a lie must not be kept.
    say(header::CACHE_CONTROL, "no-store");
    let policy = HeaderValue::from_static("default-src 'none'; sandbox");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    if request.method() == Method::HEAD {
        *response.body_mut() = Either::Left(Full::default());
    }
    response
}

/// Why there is no file; no `reason` where the provider says so.
#[derive(Clone, Copy)]
struct Refused {
    status: StatusCode,
    reason: Option<&'static str>,
    words: &'static str,
}

impl Refused {
    const fn ours(status: StatusCode, reason: &'static str, words: &'static str) -> Self {
        Self { status, reason: Some(reason), words }
    }

    /// The relay has too much to do for this page just now.
    const fn busy(words: &'static str) -> Self {
        Self::ours(StatusCode::TOO_MANY_REQUESTS, BUSY, words)
    }

    const fn theirs(status: StatusCode, words: &'static str) -> Self {
        Self { status, reason: None, words }
    }

    fn answer(self) -> Response<Body> {
        let mut response = plain(self.status, self.words).map(Either::Left);
        let Some(reason) = self.reason else { return response };
        let headers = response.headers_mut();
        headers.insert(REASON, HeaderValue::from_static(reason));
        if reason == BUSY {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

async fn fetch(
    shared: &Arc<Shared>,
    request: &Request<Incoming>,
) -> Result<Response<Body>, Refused> {
    use StatusCode as S;
    let words = "expected /fetch/IP:PORT/blake3/<hex> or …/hashes\n";
    let malformed = Refused::ours(S::NOT_FOUND, "path", words);
    let wanted = parse(request.uri().path()).ok_or(malformed)?;
    let words = "expected session= of a client that is connected\n";
    let stranger = Refused::ours(S::FORBIDDEN, "session", words);
    let session = text::parameter(request.uri().query().unwrap_or_default(), "session")
        .and_then(|id| text::from_hex(&id))
        .and_then(|id| shared.sessions.find(id))
        .ok_or(stranger)?;
    let elsewhere =
        Refused::ours(S::FORBIDDEN, "address", "the relay does not connect to this address\n");
    destinations::permitted(wanted.provider, shared.allow_private).map_err(|_| elsewhere)?;
    let range = request.headers().get(header::RANGE);
    let most = match range.and_then(length) {
        _ if wanted.hashes => MOST_HASHES,
        Some(length) if length <= MOST => length,
        _ => {
            let words = "expected a range of at most 16 MiB\n";
            return Err(Refused::ours(S::BAD_REQUEST, "range", words));
        }
    };
    let busy = Refused::busy("too many fetches at once\n");
    let ours = Arc::clone(&session.fetches).try_acquire_owned().map_err(|_| busy)?;
    let source = session.source.as_ref().map(|it| Arc::clone(&it.fetches).try_acquire_owned());
    let crowded = Refused::busy("too many fetches at once from your address\n");
    let source = source.transpose().map_err(|_| crowded)?;
    let all = Arc::clone(&shared.fetches).try_acquire_owned().map_err(|_| busy)?;
    let now = Instant::now();
    let asked = [Some(&session.asked), session.source.as_ref().map(|it| &it.asked)];
    if !begins(asked.into_iter().flatten(), now) {
        return Err(Refused::busy("too many fetches a second\n"));
    }
    // Nobody scans networks by fetching, either.
    let counted = session.destinations().send(Way::Fetch, wanted.provider, &shared.limits, now);
    counted.map_err(too_much)?;
    session.sent.store(true, Ordering::Relaxed);
    add(&shared.tally.fetches, 1);
    let asked = question(request.method(), &wanted, range.filter(|_| !wanted.hashes));
    let (driver, answer) = ask(wanted.provider, asked).await?;
    // Any server on the web says that it has nothing of the kind: only a provider has answered.
    if matches!(answer.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
        session.destinations().heard(Way::Fetch, wanted.provider, Instant::now());
    }
    let shared = Arc::clone(shared);
    let slots = (ours, source, all);
    let passing = Passing { shared, session, _slots: slots, _driver: driver };
    pass_on(passing, answer, most, request.method() == Method::HEAD)
}

/// Counts one more fetch at each rate, if all of them have room for it.
fn begins<'a>(rates: impl Iterator<Item = &'a Mutex<Rate>>, now: Instant) -> bool {
    let mut rates: Vec<_> =
        rates.map(|rate| rate.lock().unwrap_or_else(PoisonError::into_inner)).collect();
    let has = rates.iter().all(|rate| rate.has(1, now));
    rates.iter_mut().filter(|_| has).for_each(|rate| rate.take(1, now));
    has
}

/// A destination's limit.
fn too_much(reason: Reason) -> Refused {
    match reason {
        Reason::Unanswered => {
            let words = "this provider has not answered: wait 10 seconds\n";
            Refused::ours(StatusCode::TOO_MANY_REQUESTS, "unanswered", words)
        }
        _ => Refused::busy("you write to too many addresses: wait a minute\n"),
    }
}

/// The provider and the path at it.
fn parse(path: &str) -> Option<Wanted> {
    let path = text::unescape(path)?;
    let (provider, content) = path.strip_prefix("/fetch/")?.split_once('/')?;
    let rest = content.strip_prefix("blake3/")?;
    let (hex, hashes) = match rest.strip_suffix("/hashes") {
        Some(hex) => (hex, true),
        None => (rest, false),
    };
    let id: ContentId = hex.parse().ok()?;
    let path = format!("/blake3/{id}{}", if hashes { "/hashes" } else { "" });
    Some(Wanted { provider: provider.parse().ok()?, path, hashes })
}

/// How much a range asks for; none if it is no single range with both ends.
fn length(range: &HeaderValue) -> Option<u64> {
    let (first, last) = range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten()
    };
    number(last)?.checked_sub(number(first)?)?.checked_add(1)
}

/// The request to the provider: nothing of the page's own but the range.
fn question(
    method: &Method,
    wanted: &Wanted,
    range: Option<&HeaderValue>,
) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method.clone();
    // Hexadecimal digits and addresses always make a path and a header.
    if let Ok(uri) = wanted.path.parse() {
        *request.uri_mut() = uri;
    }
    let headers = request.headers_mut();
    if let Ok(host) = wanted.provider.to_string().parse() {
        headers.insert(header::HOST, host);
    }
    if let Some(range) = range {
        headers.insert(header::RANGE, range.clone());
    }
    request
}

/// Moves a connection's bytes until it is dropped.
type Driver = JoinSet<()>;

async fn ask(
    provider: SocketAddr,
    request: Request<Empty<Bytes>>,
) -> Result<(Driver, Response<Incoming>), Refused> {
    use StatusCode as S;
    let words = "the provider does not take a connection\n";
    let unreachable = Refused::ours(S::BAD_GATEWAY, "unreachable", words);
    let silent = Refused::ours(S::GATEWAY_TIMEOUT, "silent", "the provider does not answer\n");
    let malformed =
        Refused::ours(S::BAD_GATEWAY, "malformed", "the provider does not speak HTTP\n");
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(provider))
        .await
        .map_err(|_| unreachable)?
        .map_err(|_| unreachable)?;
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.max_buf_size(BUFFER);
    let (mut sender, connection) =
        http.handshake(TokioIo::new(stream)).await.map_err(|_| malformed)?;
    let mut driver = Driver::new();
    driver.spawn(async move {
        // How it ends is seen where its answer is read.
        let _ = connection.await;
    });
    let answer = tokio::time::timeout(HEAD_TIMEOUT, sender.send_request(request));
    Ok((driver, answer.await.map_err(|_| silent)?.map_err(|_| malformed)?))
}

/// What a fetch holds while it lasts.
struct Passing {
    shared: Arc<Shared>,
    session: Arc<Session>,
    _slots: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>, OwnedSemaphorePermit),
    _driver: Driver,
}

/// A body that is passed on: whoever fills it learns when nobody takes it any more.
#[derive(Debug)]
pub(super) struct Passed {
    channel: Channel<Bytes, io::Error>,
    _taken: oneshot::Sender<Infallible>,
}

impl hyper::body::Body for Passed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.channel).poll_frame(cx)
    }
}

/// The provider's answer as ours.
fn pass_on(
    passing: Passing,
    answer: Response<Incoming>,
    most: u64,
    head: bool,
) -> Result<Response<Body>, Refused> {
    use StatusCode as S;
    let status = answer.status();
    match status {
        S::OK | S::PARTIAL_CONTENT => {}
        S::NOT_FOUND | S::GONE | S::RANGE_NOT_SATISFIABLE => {
            return Err(Refused::theirs(status, "the provider has nothing of the kind\n"));
        }
        S::TOO_MANY_REQUESTS | S::SERVICE_UNAVAILABLE => {
            return Err(Refused::theirs(status, "the provider has too much to do\n"));
        }
        // A redirect is none: it could lead anywhere.
        _ => {
            let words = "the provider gives an answer that is none\n";
            return Err(Refused::ours(S::BAD_GATEWAY, "malformed", words));
        }
    }
    let says = answer.headers().get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok());
    let length: Option<u64> = says.and_then(|length| length.parse().ok());
    let Some(length) = length.filter(|length| *length <= most) else {
        let words = "the provider sends more than was asked for\n";
        return Err(Refused::ours(S::BAD_GATEWAY, "malformed", words));
    };
    let (parts, incoming) = answer.into_parts();
    let body = if head {
        Either::Left(Full::default())
    } else {
        let (sender, channel) = Channel::new(1);
        let (taken, left) = oneshot::channel();
        let pump = pump(passing, incoming, length, sender);
        tokio::spawn(async move {
            // A page that leaves gives its place back, whatever its provider does.
            tokio::select! {
                () = pump => {}
                _ = left => {}
            }
        });
        Either::Right(Passed { channel, _taken: taken })
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    for name in [header::CONTENT_RANGE, header::ETAG] {
        if let Some(value) = parts.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
    say(header::CONTENT_TYPE, "application/octet-stream");
    say(header::CONTENT_DISPOSITION, "attachment");
    Ok(response)
}

/// Passes the body on, at the session's rate, as fast as the page takes it.
async fn pump(passing: Passing, body: Incoming, length: u64, mut sender: Sender<Bytes, io::Error>) {
    let Limits { fetched_bytes_per_second, fetches, .. } = passing.shared.limits;
    // Nor is anybody to blame for the session's own rate.
    let share = u64::from(fetched_bytes_per_second) / (fetches.max(1) as u64);
    let most = STALLED + Duration::from_secs(length / LEAST_RATE.min(share).max(1));
    let copied = tokio::time::timeout(most, copy(&passing, body, length, &mut sender)).await;
    if let Err(error) = copied.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        sender.abort(error);
    }
}

async fn copy(
    passing: &Passing,
    mut body: Incoming,
    mut left: u64,
    sender: &mut Sender<Bytes, io::Error>,
) -> io::Result<()> {
    let mut pace = Pace::default();
    while left > 0 {
        let Ok(data) = pace.next(&mut body).await?.into_data() else { continue };
        left = left.checked_sub(data.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
        add(&passing.shared.tally.fetched_bytes, data.len());
        let wait = {
            let fetched = &passing.session.fetched;
            let mut rate = fetched.lock().unwrap_or_else(PoisonError::into_inner);
            rate.owe(data.len(), Instant::now())
        };
        tokio::time::sleep(wait).await;
        let sent = tokio::time::timeout(STALLED, sender.send_data(data)).await;
        sent.map_err(|_| io::ErrorKind::TimedOut)?.map_err(io::Error::other)?;
    }
    Ok(())
}

/// Whether a provider is fast enough. Only waiting for it counts: that the page or the session's
/// rate holds it up is not its fault.
#[derive(Default)]
struct Pace {
    waited: Duration,
    came: u64,
}

impl Pace {
    /// The next part of a body; an error if too little came in the time.
    async fn next<B>(&mut self, body: &mut B) -> io::Result<Frame<Bytes>>
    where
        B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
    {
        let begun = tokio::time::Instant::now();
        let left = WINDOW.saturating_sub(self.waited);
        let frame = tokio::time::timeout(left, body.frame()).await;
        let frame = frame.map_err(|_| io::ErrorKind::TimedOut)?;
        let frame = frame.ok_or(io::ErrorKind::UnexpectedEof)?.map_err(io::Error::other)?;
        self.waited += begun.elapsed();
        self.came += frame.data_ref().map_or(0, |data| data.len() as u64);
        if self.came >= LEAST_RATE * WINDOW.as_secs() {
            *self = Self::default();
        }
        Ok(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_providers_paths_are_asked_for() {
        let hex = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        let four = parse(&format!("/fetch/1.2.3.4:5/blake3/{hex}")).expect("a provider");
        assert!(four.path == format!("/blake3/{hex}") && !four.hashes);
        let six = parse(&format!("/fetch/%5B::1%5D:5/blake3/{hex}/hashes")).expect("a provider");
        assert_eq!((six.provider, six.hashes), ("[::1]:5".parse().expect("an address"), true));
        for bad in [
            format!("/fetch/example.org:80/blake3/{hex}"),
            format!("/fetch/1.2.3.4/blake3/{hex}"),
            format!("/fetch/1.2.3.4:5/{hex}"),
            format!("/fetch/1.2.3.4:5/blake3/{hex}/x"),
            format!("/fetch/1.2.3.4:5/blake3/{hex}/../x"),
            format!("/fetch/1.2.3.4:5/blake3/{hex}%0d%0aX:y"),
            "/fetch/1.2.3.4:5/blake3/".to_owned(),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_range_has_two_ends() {
        let length = |text: &'static str| length(&HeaderValue::from_static(text));
        assert_eq!(length("bytes=0-0"), Some(1));
        assert_eq!(length("bytes=10-19"), Some(10));
        for bad in ["bytes=1-", "bytes=-1", "bytes=2-1", "bytes=+1-2", "bytes=0-1,2-3", "0-1"] {
            assert_eq!(length(bad), None, "{bad}");
        }
        assert_eq!(length("bytes=0-18446744073709551615"), None);
    }

    /// When a provider is given up, if it is, that sends so many bytes every so many seconds to a
    /// page that takes each time as long as said.
    async fn given_up(bytes: usize, every: u64, page: u64) -> Option<u64> {
        let (mut sender, mut body) = Channel::<Bytes, io::Error>::new(1);
        let provider = tokio::spawn(async move {
            // For an hour.
            for _ in 0..3_600 / every {
                tokio::time::sleep(Duration::from_secs(every)).await;
                if sender.send_data(vec![0; bytes].into()).await.is_err() {
                    return;
                }
            }
        });
        let begun = tokio::time::Instant::now();
        let mut pace = Pace::default();
        let error = loop {
            match pace.next(&mut body).await {
                Ok(_) => tokio::time::sleep(Duration::from_secs(page)).await,
                Err(error) => break error.kind(),
            }
        };
        provider.abort();
        (error == io::ErrorKind::TimedOut).then(|| begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_is_given_up_within_seconds_and_not_for_a_slow_page() {
        assert_eq!(given_up(1, 25, 0).await, Some(16));
        for slow in [1, 15 << 10] {
            assert!(given_up(slow, 1, 0).await.is_some_and(|at| at < 30), "{slow}");
        }
        for (bytes, every) in [(20 << 10, 1), (256 << 10, 15)] {
            assert_eq!(given_up(bytes, every, 0).await, None, "{bytes}");
        }
        assert_eq!(given_up(20 << 10, 1, 10).await, None);
    }
}
