//! The fetcher's side of HTTP: one request, its answer as it comes, no redirects.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::sync::{Mutex, PoisonError};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kadlet_core::content::{ContentId, RequestFailure, Want};
use tokio::net::TcpStream;

use crate::error::out_of_descriptors;

/// A connection that does not come about in this time will not.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long we wait for a descriptor of our own; a provider is not to blame for it.
const STARVED: Duration = Duration::from_secs(5);

/// Time between two tries to get one: others give theirs back in milliseconds or not at all.
const STARVED_PAUSE: Duration = Duration::from_millis(100);

/// Connections kept for the next request.
const IDLE: usize = 8;

type Connection = SendRequest<Empty<Bytes>>;

/// Why a request brought nothing.
#[derive(Debug)]
pub(super) enum Failed {
    /// The provider, or the way there.
    There(RequestFailure),
    /// This machine.
    Here(io::Error),
}

impl From<RequestFailure> for Failed {
    fn from(failure: RequestFailure) -> Self {
        Self::There(failure)
    }
}

/// Connections that wait for their next request, by provider.
#[derive(Default)]
pub(super) struct Client {
    idle: Mutex<BTreeMap<SocketAddr, Vec<Connection>>>,
}

impl Client {
    /// Asks `provider`, and hands on each part of the answer with what `take` makes of it.
    pub(super) async fn get(
        &self,
        provider: SocketAddr,
        id: ContentId,
        want: &Want,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Failed> {
        let (mut connection, fresh) = self.connection(provider).await?;
        let response = match connection.send_request(request(provider, id, want)).await {
            // A connection that was kept may have been closed at the other end meanwhile.
            Err(_) if !fresh => {
                connection = connect(provider).await?;
                connection.send_request(request(provider, id, want)).await
            }
            result => result,
        };
        let mut response = response.map_err(|_| RequestFailure::Disconnected)?;
        check(&response, want)?;
        let mut room = match want {
            Want::HashList { max_len } => *max_len,
            Want::Piece { range, .. } => range.end - range.start,
            _ => 0,
        };
        while let Some(frame) = response.frame().await {
            let frame = frame.map_err(|_| RequestFailure::Disconnected)?;
            let Some(data) = frame.data_ref() else { continue };
            // More than was asked for cannot be right, and is not read.
            let len = data.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            take(&data[..len]);
            room -= len as u64;
            if len < data.len() {
                return Ok(());
            }
        }
        self.keep(provider, connection);
        Ok(())
    }

    async fn connection(&self, to: SocketAddr) -> Result<(Connection, bool), Failed> {
        let kept = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.get_mut(&to).and_then(Vec::pop)
        };
        match kept {
            Some(connection) if !connection.is_closed() => Ok((connection, false)),
            _ => Ok((connect(to).await?, true)),
        }
    }

    fn keep(&self, to: SocketAddr, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry(to).or_default();
        if kept.len() < IDLE && !connection.is_closed() {
            kept.push(connection);
        }
    }
}

async fn connect(to: SocketAddr) -> Result<Connection, Failed> {
    let stream = open(to).await?;
    // Requests are small and must not wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    let (sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|_| RequestFailure::Disconnected)?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn open(to: SocketAddr) -> Result<TcpStream, Failed> {
    let starved = tokio::time::Instant::now() + STARVED;
    loop {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(to)).await;
        match connected {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) if out_of_descriptors(&error) => {
                if tokio::time::Instant::now() >= starved {
                    return Err(Failed::Here(error));
                }
                tokio::time::sleep(STARVED_PAUSE).await;
            }
            _ => return Err(RequestFailure::Unreachable.into()),
        }
    }
}

fn request(provider: SocketAddr, id: ContentId, want: &Want) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    let (path, range) = match want {
        Want::Piece { range, .. } => (
            format!("/blake3/{id}"),
            Some(format!("bytes={}-{}", range.start, range.end.saturating_sub(1))),
        ),
        _ => (format!("/blake3/{id}/hashes"), None),
    };
    // Hexadecimal digits and numbers always make a path and a header.
    if let Ok(uri) = path.parse() {
        *request.uri_mut() = uri;
    }
    let headers = request.headers_mut();
    if let Ok(host) = provider.to_string().parse() {
        headers.insert(header::HOST, host);
    }
    if let Some(range) = range.and_then(|range| range.parse().ok()) {
        headers.insert(header::RANGE, range);
    }
    request
}

/// Whether the answer is one to this question. A redirect is none: it could lead anywhere.
fn check(response: &Response<Incoming>, want: &Want) -> Result<(), RequestFailure> {
    match (response.status(), want) {
        (StatusCode::OK, Want::HashList { .. }) => Ok(()),
        (StatusCode::PARTIAL_CONTENT, Want::Piece { range, .. }) => {
            let said = response.headers().get(header::CONTENT_RANGE);
            let start = format!("bytes {}-{}/", range.start, range.end.saturating_sub(1));
            match said.and_then(|value| value.to_str().ok()) {
                Some(said) if said.starts_with(&start) => Ok(()),
                _ => Err(RequestFailure::Malformed),
            }
        }
        (StatusCode::NOT_FOUND | StatusCode::GONE, _) => Err(RequestFailure::NotFound),
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, _) => {
            Err(RequestFailure::Busy)
        }
        _ => Err(RequestFailure::Malformed),
    }
}
