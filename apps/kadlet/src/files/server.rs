//! The provider's side: `GET /blake3/<hex>` with `Range`, and `GET /blake3/<hex>/hashes`.
//!
//! Any page may fetch (CORS `*`): contents are public, and who fetches them verifies them.

use alloc::sync::Arc;
use core::convert::Infallible;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::ops::Range;
use core::task::Poll;
use core::time::Duration;

use http_body_util::channel::{Channel, Sender};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use kadlet_core::content::{ContentId, PIECE_LEN};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::shares::{Content, Shelf};
use crate::by_source::{BySource, Counted, is_local};
use crate::error::out_of_descriptors;
use crate::patient::Patient;

/// Connections at once; further ones wait in the system's queue. Each may hold a piece in memory.
const CONNECTIONS: usize = 256;

/// Those of one source: an IPv4 /24 or an IPv6 /48. 64: as many as a relay has fetches under way, and
/// a quarter of what there is. Loopback and private networks have all.
const OF_ONE_SOURCE: usize = 64;

/// How long nothing is accepted after an error of accepting; doubles up to [`LONGEST_PAUSE`]. It was
/// one connection that broke before it was taken, or there are no descriptors left, which is not
/// over in a moment.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often a file is opened again for which there was no descriptor: three seconds in all, after
/// which a fetcher had better ask somebody else.
const OPENINGS: u32 = 9;

/// Whoever has sent no whole request head for so long is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// Whoever takes nothing of an answer for so long has gone, and others wait for the place.
pub(super) const STALLED: Duration = Duration::from_secs(30);

type Body = Either<Full<Bytes>, Channel<Bytes, std::io::Error>>;

/// Serves until it is dropped, which cuts every connection; `stalled` is [`STALLED`].
pub(super) async fn serve(listeners: Vec<TcpListener>, shelf: Arc<Shelf>, stalled: Duration) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let sources = BySource::default();
    let mut connections = JoinSet::new();
    let mut pause = PAUSE;
    let mut turn = 0;
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        turn += 1;
        let (stream, ip) = match accept(&listeners, turn).await {
            Ok((stream, peer)) => (stream, peer.ip()),
            Err(error) => {
                if out_of_descriptors(&error) {
                    shelf.starve();
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
        };
        pause = PAUSE;
        while connections.try_join_next().is_some() {}
        let counted = if is_local(ip) {
            Counted::default()
        } else if let Some(counted) = sources.enter(ip, OF_ONE_SOURCE) {
            counted
        } else {
            continue;
        };
        // Small answers do not wait for acknowledgements.
        let _ = stream.set_nodelay(true);
        let shelf = Arc::clone(&shelf);
        connections.spawn(async move {
            let _place = (slot, counted);
            let service = service_fn(|request| {
                let shelf = Arc::clone(&shelf);
                async move { Ok::<_, Infallible>(answer(&shelf, &request)) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            let stream = TokioIo::new(Patient::new(stream, stalled));
            // A client that goes away in the middle is no event here.
            let _ = http.serve_connection(stream, service).await;
        });
    }
}

/// The next connection at any address; each is looked at first in its turn, so that a crowd at one
/// keeps nobody out at another.
async fn accept(
    listeners: &[TcpListener],
    turn: usize,
) -> std::io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|cx| {
        let (later, first) = listeners.split_at(turn % listeners.len().max(1));
        let mut all = first.iter().chain(later);
        all.find_map(|listener| match listener.poll_accept(cx) {
            Poll::Ready(accepted) => Some(Poll::Ready(accepted)),
            Poll::Pending => None,
        })
        .unwrap_or(Poll::Pending)
    })
    .await
}

fn answer(shelf: &Arc<Shelf>, request: &Request<Incoming>) -> Response<Body> {
    let mut response = match *request.method() {
        Method::GET | Method::HEAD => find(shelf, request),
        Method::OPTIONS => empty(StatusCode::NO_CONTENT),
        _ => {
            let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
            let allow = HeaderValue::from_static("GET, HEAD, OPTIONS");
            response.headers_mut().insert(header::ALLOW, allow);
            response
        }
    };
    open_to_pages(response.headers_mut());
    if request.method() == Method::HEAD {
        *response.body_mut() = Either::Left(Full::default());
    }
    response
}

/// Lets a page of any origin fetch pieces (docs/content.md), and take them for nothing but bytes.
pub(crate) fn open_to_pages(headers: &mut HeaderMap) {
    let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
    say(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    say(header::ACCESS_CONTROL_ALLOW_HEADERS, "range");
    say(header::ACCESS_CONTROL_EXPOSE_HEADERS, "content-range, content-length");
    say(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
}

fn find(shelf: &Arc<Shelf>, request: &Request<Incoming>) -> Response<Body> {
    let Some((id, hashes)) = parse_path(request.uri().path()) else {
        return empty(StatusCode::NOT_FOUND);
    };
    if hashes {
        let Some(list) = shelf.list(id) else { return empty(StatusCode::NOT_FOUND) };
        let len = list.len() as u64;
        let mut response = with_body(StatusCode::OK, len, Either::Left(Full::from(list)));
        // Bytes under a hash never change, nor does the list that the hash has.
        describe(response.headers_mut(), id);
        return response;
    }
    let Some(content) = shelf.get(id) else { return empty(StatusCode::NOT_FOUND) };
    let size = content.list().size();
    match request.headers().get(header::RANGE).map(|value| parse_range(value, size)) {
        None => send(shelf, request, content, 0..size, StatusCode::OK),
        Some(Some(range)) => send(shelf, request, content, range, StatusCode::PARTIAL_CONTENT),
        Some(None) => {
            let mut response = empty(StatusCode::RANGE_NOT_SATISFIABLE);
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
                response.headers_mut().insert(header::CONTENT_RANGE, value);
            }
            response
        }
    }
}

fn send(
    shelf: &Arc<Shelf>,
    request: &Request<Incoming>,
    content: Arc<dyn Content>,
    range: Range<u64>,
    status: StatusCode,
) -> Response<Body> {
    let (id, size) = (content.list().id(), content.list().size());
    let body = if request.method() == Method::HEAD {
        // Nothing is read for it.
        Either::Left(Full::default())
    } else {
        let (sender, body) = Channel::new(1);
        tokio::spawn(pump(Arc::clone(shelf), content, range.clone(), sender));
        Either::Right(body)
    };
    let mut response = with_body(status, range.end - range.start, body);
    let headers = response.headers_mut();
    describe(headers, id);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if status == StatusCode::PARTIAL_CONTENT {
        let said = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
        if let Ok(value) = HeaderValue::from_str(&said) {
            headers.insert(header::CONTENT_RANGE, value);
        }
    }
    response
}

/// What is said of everything that its hash names.
fn describe(headers: &mut HeaderMap, id: ContentId) {
    let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
    say(header::CONTENT_TYPE, "application/octet-stream");
    say(header::CACHE_CONTROL, "public, max-age=31536000, immutable");
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{id}\"")) {
        headers.insert(header::ETAG, tag);
    }
}

/// Reads piece by piece, each only when the one before is on its way.
async fn pump(
    shelf: Arc<Shelf>,
    content: Arc<dyn Content>,
    range: Range<u64>,
    mut sender: Sender<Bytes, std::io::Error>,
) {
    let mut at = range.start;
    while at < range.end {
        let end = range.end.min((at / PIECE_LEN + 1) * PIECE_LEN);
        let read = read(&shelf, &content, at..end).await;
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                // For a lack of ours the file is not to blame.
                if !out_of_descriptors(&error) {
                    shelf.withdraw(content.list().id());
                }
                return sender.abort(error);
            }
        };
        shelf.count(bytes.len());
        if sender.send_data(Bytes::from(bytes)).await.is_err() {
            return;
        }
        at = end;
    }
}

/// Reads a range, again and again if all that lacks is a descriptor.
pub(super) async fn read(
    shelf: &Shelf,
    content: &Arc<dyn Content>,
    range: Range<u64>,
) -> std::io::Result<Vec<u8>> {
    let mut pause = PAUSE;
    let mut openings = 1;
    loop {
        let (reader, range) = (Arc::clone(content), range.clone());
        let read = tokio::task::spawn_blocking(move || reader.read(range)).await;
        match read {
            Ok(Err(error)) if out_of_descriptors(&error) && openings < OPENINGS => {
                shelf.starve();
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                openings += 1;
            }
            Ok(read) => return read,
            // The runtime is on its way down.
            Err(_) => return Err(std::io::Error::other("reading was cancelled")),
        }
    }
}

/// `/blake3/<64 hexadecimal digits>`, and whether `/hashes` follows.
pub(super) fn parse_path(path: &str) -> Option<(ContentId, bool)> {
    let rest = path.strip_prefix("/blake3/")?;
    let (hex, hashes) = match rest.strip_suffix("/hashes") {
        Some(hex) => (hex, true),
        None => (rest, false),
    };
    Some((hex.parse().ok()?, hashes))
}

/// One range of bytes, as RFC 9110 section 14.1.2 has it; none if it cannot be satisfied, or is
/// several.
fn parse_range(value: &HeaderValue, size: u64) -> Option<Range<u64>> {
    let (first, last) = value.to_str().ok()?.trim().strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first.trim(), last.trim()) {
        ("", suffix) => size.saturating_sub(suffix.parse().ok()?)..size,
        (first, "") => first.parse().ok()?..size,
        (first, last) => {
            let last: u64 = last.parse().ok()?;
            first.parse().ok()?..last.saturating_add(1).min(size)
        }
    };
    (range.start < range.end).then_some(range)
}

fn empty(status: StatusCode) -> Response<Body> {
    with_body(status, 0, Either::Left(Full::default()))
}

fn with_body(status: StatusCode, len: u64, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use kadlet_core::content::{HashList, HashListBuilder};
    use tokio::io::AsyncWriteExt as _;
    use tokio::sync::mpsc;

    /// Zeros; says when nobody holds it any more.
    struct Zeros(HashList, mpsc::UnboundedSender<()>);

    impl Content for Zeros {
        fn list(&self) -> &HashList {
            &self.0
        }

        fn read(&self, range: Range<u64>) -> std::io::Result<Vec<u8>> {
            let len = usize::try_from(range.end - range.start).map_err(std::io::Error::other)?;
            Ok(vec![0; len])
        }
    }

    impl Drop for Zeros {
        fn drop(&mut self) {
            let _ = self.1.send(());
        }
    }

    #[tokio::test]
    async fn whoever_does_not_read_loses_his_place() {
        // More than the system's buffers hold.
        const SIZE: usize = 64 << 20;
        let mut builder = HashListBuilder::new();
        builder.update(&vec![0; SIZE]);
        let (sender, mut gone) = mpsc::unbounded_channel();
        let content = Arc::new(Zeros(builder.finish(), sender));
        let id = content.list().id();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let shelf = Arc::new(Shelf::new());
        shelf.add(content);
        tokio::spawn(serve(vec![listener], Arc::clone(&shelf), Duration::from_millis(50)));
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET /blake3/{id} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        // Whoever waits for something to read has it.
        stream.readable().await.expect("answered");
        shelf.withdraw(id);
        // A test that waits longer hangs.
        let given_up = tokio::time::timeout(Duration::from_secs(60), gone.recv()).await;
        assert_eq!(given_up, Ok(Some(())), "the place is still his");
    }

    #[test]
    fn paths_are_read_strictly() {
        let hex = "ab".repeat(32);
        assert!(parse_path(&format!("/blake3/{hex}")).is_some_and(|(_, hashes)| !hashes));
        assert!(parse_path(&format!("/blake3/{hex}/hashes")).is_some_and(|(_, hashes)| hashes));
        for bad in ["/", "/blake3/", "/blake3/ab", "/blake3/../../etc/passwd"] {
            assert!(parse_path(bad).is_none(), "{bad}");
        }
        assert!(parse_path(&format!("/blake3/{hex}/")).is_none());
    }

    #[test]
    fn ranges_are_those_of_http() {
        let range = |text: &'static str| parse_range(&HeaderValue::from_static(text), 100);
        assert_eq!(range("bytes=0-9"), Some(0..10));
        assert_eq!(range("bytes=90-"), Some(90..100));
        assert_eq!(range("bytes=-10"), Some(90..100));
        assert_eq!(range("bytes=50-1000"), Some(50..100));
        for bad in ["bytes=100-", "bytes=9-0", "bytes=a-b", "0-9", "bytes=0-1,3-4", "bytes=-0"] {
            assert_eq!(range(bad), None, "{bad}");
        }
    }
}
