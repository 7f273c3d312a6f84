//! From a request to a connection: who may have one, and how those who may not are told.
//!
//! A page learns nothing of an upgrade that fails. So it is accepted, and the connection closed at
//! once with a code and a reason.

use alloc::sync::Arc;
use core::net::IpAddr;
use std::time::Instant;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::client::{self, Socket};
use super::counters::add;
use super::frame::PROTOCOL;
use super::http::{Shared, Slot};
use super::metered::Metered;
use super::sessions::{Full as NoRoom, Session, SessionId};
use super::settings::Origin;
use super::shape::Network;
use super::text;
use super::web::plain;

/// Why there is no connection: a code of ours (docs/relay.md), and words for whoever reads a log.
#[derive(PartialEq, Eq, Debug)]
struct Refusal(u16, String);

impl Refusal {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        // A close frame has 125 bytes, two of them the code.
        while reason.len() > 123 {
            reason.pop();
        }
        Self(code, reason)
    }
}

/// Answers a request for a WebSocket from `ip`; the connection goes on by itself.
pub(super) fn answer(
    shared: &Arc<Shared>,
    mut request: Request<Incoming>,
    ip: IpAddr,
    slot: Arc<Slot>,
) -> Response<Full<Bytes>> {
    let Some(accept) = accept_key(&request) else {
        let mut response =
            plain(StatusCode::UPGRADE_REQUIRED, "this is where WebSockets are opened\n");
        let upgrade = HeaderValue::from_static("websocket");
        response.headers_mut().insert(header::UPGRADE, upgrade);
        return response;
    };
    let offered = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL).cloned();
    let admitted = admit(shared, request.method(), request.uri().query(), request.headers(), ip);
    let upgrade = hyper::upgrade::on(&mut request);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        // The client that went away before it was answered has its session for the grace time.
        let socket = match upgrade.await {
            Ok(upgraded) => {
                let config = Some(client::web_socket_config());
                let stream = Metered::new(TokioIo::new(upgraded), &shared.limits);
                Some(Socket::from_raw_socket(stream, Role::Server, config).await)
            }
            Err(_) => None,
        };
        match (admitted, socket) {
            (Ok((session, resumed)), socket) => converse(&shared, session, resumed, socket).await,
            (Err(Refusal(code, reason)), socket) => {
                tracing::debug!(code, reason, "refused");
                add(&shared.tally.refused, 1);
                if let Some(socket) = socket {
                    client::refuse(socket, code, reason).await;
                }
            }
        }
        drop(slot);
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(protocol) = chosen(offered.as_ref()) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

async fn converse(
    shared: &Arc<Shared>,
    session: Arc<Session>,
    resumed: bool,
    socket: Option<Socket>,
) {
    let over = match socket {
        Some(socket) => {
            let _connected = Connected::new(shared);
            client::serve(socket, &session, resumed, shared).await
        }
        None => false,
    };
    shared.sessions.release(session.id, over, Instant::now());
}

/// Counts a client while it is here.
struct Connected<'a>(&'a Shared);

impl<'a> Connected<'a> {
    fn new(shared: &'a Shared) -> Self {
        add(&shared.tally.clients, 1);
        Self(shared)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.tally.clients.fetch_sub(1, core::sync::atomic::Ordering::Relaxed);
    }
}

/// The answer to the handshake's riddle; none if this is no handshake.
fn accept_key<B>(request: &Request<B>) -> Option<HeaderValue> {
    let headers = request.headers();
    let says = |name: HeaderName, word: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    let handshake = request.method() == Method::GET
        && says(header::CONNECTION, "upgrade")
        && says(header::UPGRADE, "websocket")
        && says(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| handshake)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()
}

/// Our subprotocol if it is offered; otherwise whatever is, for the sake of being understood when
/// the connection is closed.
fn chosen(offered: Option<&HeaderValue>) -> Option<HeaderValue> {
    let offered = offered?.to_str().ok()?;
    let mut all = offered.split(',').map(str::trim);
    let name = all.clone().find(|name| *name == PROTOCOL).or_else(|| all.next())?;
    HeaderValue::from_str(name).ok()
}

/// Who may come in, with which session, and whether it is an earlier one.
fn admit(
    shared: &Shared,
    method: &Method,
    query: Option<&str>,
    headers: &HeaderMap,
    ip: IpAddr,
) -> Result<(Arc<Session>, bool), Refusal> {
    debug_assert_eq!(method, Method::GET, "accept_key looked");
    let query = query.unwrap_or_default();
    check_origin(&shared.origins, headers)?;
    check_token(shared.token.as_deref(), text::parameter(query, "token").as_deref())?;
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|it| it.to_str().ok());
    if !offered.unwrap_or_default().split(',').any(|name| name.trim() == PROTOCOL) {
        return Err(Refusal::new(4400, "expected the subprotocol kadlet-relay.1"));
    }
    let expected = "expected network=, 16 hexadecimal digits or mainline";
    let network: Network = text::parameter(query, "network")
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| Refusal::new(4400, expected))?;
    if let Some(id) = text::parameter(query, "session") {
        let expected = "expected session= with 32 hexadecimal digits";
        let id: SessionId = text::from_hex(&id).ok_or_else(|| Refusal::new(4400, expected))?;
        if let Some(session) = shared.sessions.resume(id, network) {
            return Ok((session, true));
        }
    }
    match shared.sessions.open(network, ip, Instant::now()) {
        Ok(session) => Ok((session, false)),
        Err(NoRoom::All) => Err(Refusal::new(4429, "the relay has as many clients as it may")),
        Err(NoRoom::Source) => Err(Refusal::new(4429, "too many clients from your address")),
        Err(NoRoom::Resting) => {
            let reason = "too many clients from your address came and went: wait some minutes";
            Err(Refusal::new(4429, reason))
        }
        Err(NoRoom::Port(error)) => {
            Err(Refusal::new(4429, format!("the relay has no port left: {error}")))
        }
    }
}

fn check_token(ours: Option<&str>, theirs: Option<&str>) -> Result<(), Refusal> {
    let Some(ours) = ours else { return Ok(()) };
    let Some(theirs) = theirs else {
        return Err(Refusal::new(4401, "this relay wants a token"));
    };
    // Hashes are compared in constant time: nobody learns a token letter by letter.
    if blake3::hash(ours.as_bytes()) == blake3::hash(theirs.as_bytes()) {
        return Ok(());
    }
    Err(Refusal::new(4401, "wrong token"))
}

/// Whoever is no page says no origin and could say any.
fn check_origin(allowed: &[Origin], headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or("null");
    let admitted = if allowed.is_empty() {
        is_ours(origin, headers)
    } else {
        allowed.iter().any(|allowed| allowed.admits(origin))
    };
    if admitted {
        return Ok(());
    }
    Err(Refusal::new(4403, format!("this relay was not started with --origin {origin}")))
}

/// Whether a page was served by us, as far as one can know: under a name that the relay was not
/// told, a page of somebody else's may come (his name server says today that the name is his
/// address, and tomorrow that it is ours). Addresses and `localhost` cannot be turned so.
fn is_ours(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let same =
        origin.split_once("://").is_some_and(|(_, theirs)| theirs.eq_ignore_ascii_case(host));
    same && is_literal(host)
}

/// Whether `host` (with a port or without) is an address or `localhost`.
pub(super) fn is_literal(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allowed: &[&str], origin: &str, host: &str) -> bool {
        let allowed: Vec<_> = allowed.iter().map(|text| text.parse().expect("an origin")).collect();
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().expect("a header"));
        headers.insert(header::HOST, host.parse().expect("a header"));
        check_origin(&allowed, &headers).is_ok()
    }

    #[test]
    fn pages_of_others_are_turned_away() {
        for host in ["127.0.0.1:4680", "[::1]:4680", "localhost:4680", "203.0.113.5"] {
            assert!(check(&[], &format!("http://{host}"), host), "{host}");
            assert!(check(&[], &format!("https://{host}"), host), "{host}");
            assert!(!check(&[], "http://example.org", host), "{host}");
            assert!(!check(&[], "null", host), "{host}");
        }
        assert!(!check(&[], "http://127.0.0.1:8000", "127.0.0.1:4680"), "another port");
        // A name that leads to us today.
        assert!(!check(&[], "http://evil.example:4680", "evil.example:4680"));
        assert!(check(&["http://relay.example"], "http://relay.example", "relay.example"));
        assert!(!check(&["http://relay.example"], "http://127.0.0.1:4680", "127.0.0.1:4680"));
        assert!(check(&["*"], "null", "relay.example"));
    }

    #[test]
    fn only_the_token_itself_will_do() {
        assert_eq!(check_token(None, None), Ok(()));
        assert_eq!(check_token(None, Some("x")), Ok(()));
        assert_eq!(check_token(Some("secret"), Some("secret")), Ok(()));
        for wrong in [None, Some(""), Some("secre"), Some("secret "), Some("Secret")] {
            assert!(check_token(Some("secret"), wrong).is_err_and(|refusal| refusal.0 == 4401));
        }
    }

    #[test]
    fn a_reason_fits_into_a_close_frame() {
        let Refusal(_, reason) = Refusal::new(4403, "ä".repeat(200));
        assert!(reason.len() <= 123);
    }
}
