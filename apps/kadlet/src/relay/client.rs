//! One client's connection: frames one way, datagrams the other, and nothing kept in between.
//!
//! Whatever the WebSocket does not take stays in the UDP socket's buffer, which the system bounds
//! and empties by losing datagrams, as a network does. So a client that reads slowly costs no more
//! than another one.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::mem::MaybeUninit;
use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::PoisonError;
use std::time::Instant;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kadlet_core::Family;
use serde_json::{Value, json};
use tokio::io::ReadBuf;
use tokio::sync::OwnedMutexGuard;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::counters::{Reason, add};
use super::destinations::{self, Way};
use super::frame;
use super::http::Shared;
use super::limits::Over;
use super::metered::Metered;
use super::sessions::{Session, Traffic};
use super::shape;

pub(super) type Socket = WebSocketStream<Metered<TokioIo<Upgraded>>>;

/// How many pings a client may leave unanswered.
const PINGS: u32 = 3;

/// How long a closing connection is waited for.
const CLOSING: Duration = Duration::from_secs(2);

/// How long an earlier connection of the same session may take to give it up.
const HANDING_OVER: Duration = Duration::from_secs(5);

/// Frames handled before others have their turn.
const BATCH: usize = 64;

/// Notes that wait to be sent; a client that does not read needs no more of them.
const NOTES: usize = 16;

/// What a connection may keep in memory. Our longest frame has 1,519 bytes; one that is longer is
/// told so, one of more than 4 KiB ends the connection.
pub(super) fn web_socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(4 << 10)
        .max_write_buffer_size(16 << 10)
        .max_message_size(Some(4 << 10))
        .max_frame_size(Some(4 << 10))
}

/// Why a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// The client closed it, and does not come back.
    Finished,
    /// It broke, or the client closed it and may come back.
    Gone,
    TooBig,
    Idle,
    Taken,
    Stopping,
}

impl End {
    /// What the client is told; nothing where nobody listens.
    fn close_frame(self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Finished | Self::Gone => return None,
            Self::TooBig => (1009, "a frame has at most 4096 bytes"),
            Self::Idle => (4408, "nothing was sent for too long"),
            Self::Taken => (4409, "another connection has this session"),
            Self::Stopping => (4503, "the relay is stopping"),
        };
        Some(CloseFrame { code: CloseCode::from(code), reason: reason.into() })
    }
}

/// Closes a connection that did not come about.
pub(super) async fn refuse(mut socket: Socket, code: u16, reason: String) {
    let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
    close(&mut socket, Some(frame)).await;
}

async fn close(socket: &mut Socket, frame: Option<CloseFrame>) {
    let closing = async {
        let said = match frame {
            Some(frame) => socket.close(Some(frame)).await,
            // The answer to the client's own goodbye, if there was one.
            None => socket.flush().await,
        };
        if said.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = tokio::time::timeout(CLOSING, closing).await;
}

/// Serves a client until its connection ends. The session is released by the caller; returned is
/// whether it is over.
pub(super) async fn serve(
    mut socket: Socket,
    session: &Arc<Session>,
    resumed: bool,
    shared: &Shared,
) -> bool {
    let claim = session.claim();
    let mut claims = session.claims.subscribe();
    let seat = Arc::clone(&session.traffic).lock_owned();
    let end = match tokio::time::timeout(HANDING_OVER, seat).await {
        Err(_) => End::Taken,
        Ok(traffic) => {
            let mut stopping = shared.stopping.clone();
            let mut client = Client::new(&mut socket, session, resumed, shared, traffic);
            let second = Duration::from_secs(1);
            let first = tokio::time::Instant::now() + second;
            let mut clock = tokio::time::interval_at(first, second);
            loop {
                let end = tokio::select! {
                    biased;
                    // Both end only with the relay itself.
                    _ = stopping.wait_for(|stopping| *stopping) => Some(End::Stopping),
                    _ = claims.wait_for(|latest| *latest != claim) => Some(End::Taken),
                    _ = clock.tick() => client.tick(Instant::now()),
                    end = core::future::poll_fn(|cx| client.poll(cx)) => Some(end),
                };
                if let Some(end) = end {
                    break end;
                }
            }
        }
    };
    tracing::debug!(?end, "a client is gone");
    if end == End::Idle {
        add(&shared.tally.closed_idle, 1);
    }
    close(&mut socket, end.close_frame()).await;
    matches!(end, End::Finished | End::Idle)
}

/// Why a frame is not passed on, and where it was to go.
type Refused = (Reason, Option<SocketAddr>);

struct Client<'a> {
    socket: &'a mut Socket,
    session: &'a Session,
    shared: &'a Shared,
    traffic: OwnedMutexGuard<Traffic>,
    notes: VecDeque<Message>,
    /// What was not passed on since it was last said.
    dropped: [(u32, Option<SocketAddr>); Reason::ALL.len()],
    heard: Instant,
    seconds: u32,
    /// Frames over the rate within this second.
    over: u32,
    /// Datagrams over the rate within this second.
    flooded: u32,
    /// The port that is read first, so that neither family starves the other.
    turn: usize,
}

impl<'a> Client<'a> {
    fn new(
        socket: &'a mut Socket,
        session: &'a Session,
        resumed: bool,
        shared: &'a Shared,
        mut traffic: OwnedMutexGuard<Traffic>,
    ) -> Self {
        let now = Instant::now();
        traffic.last_sent = now;
        let hello = hello(session, resumed, shared);
        Self {
            socket,
            session,
            shared,
            traffic,
            notes: VecDeque::from([text(&hello)]),
            dropped: Default::default(),
            heard: now,
            seconds: 0,
            over: 0,
            flooded: 0,
            turn: 0,
        }
    }

    /// Once a second: notes, pings, and whether it is over.
    fn tick(&mut self, now: Instant) -> Option<End> {
        self.seconds = self.seconds.wrapping_add(1);
        (self.over, self.flooded) = (0, 0);
        for reason in Reason::ALL {
            let (count, to) = self.dropped[*reason as usize];
            if count > 0 && self.notes.len() < NOTES {
                self.dropped[*reason as usize] = (0, None);
                self.notes.push_back(text(&frame::dropped(*reason, to, count)));
            }
        }
        let silent = self.shared.limits.silent;
        let ping_after = u32::try_from((silent / PINGS).as_secs()).unwrap_or(u32::MAX).max(1);
        if self.seconds.is_multiple_of(ping_after) && self.notes.len() < NOTES {
            self.notes.push_back(Message::Ping(Bytes::new()));
        }
        if now.duration_since(self.heard) >= silent {
            return Some(End::Gone);
        }
        let idle = now.duration_since(self.traffic.last_sent) >= self.shared.limits.idle;
        idle.then_some(End::Idle)
    }

    /// Does what there is to do, both ways.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let ended = self.poll_client(cx).or_else(|| self.poll_network(cx));
        ended.map_or(Poll::Pending, Poll::Ready)
    }

    /// From the client to the network.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Option<End> {
        // Whoever sends twice what may pass waits for the next second.
        let most = self.shared.limits.datagrams_per_second;
        for _ in 0..BATCH {
            if self.over > most {
                return None;
            }
            let Poll::Ready(frame) = self.socket.poll_next_unpin(cx) else { return None };
            let now = Instant::now();
            self.heard = now;
            match frame {
                Some(Ok(Message::Close(frame))) => {
                    // Somebody who leaves on purpose says so; a page that goes away says 1001.
                    let normal = frame.is_none_or(|frame| frame.code == CloseCode::Normal);
                    return Some(if normal { End::Finished } else { End::Gone });
                }
                Some(Ok(message)) => {
                    if let Err((reason, to)) = self.take(&message, now) {
                        self.over += u32::from(reason.is_rate());
                        self.refuse(reason, to);
                    }
                }
                Some(Err(Error::Capacity(_))) => return Some(End::TooBig),
                Some(Err(_)) | None => return Some(End::Gone),
            }
        }
        cx.waker().wake_by_ref();
        None
    }

    /// One message of the client. It counts, whatever becomes of it.
    fn take(&mut self, message: &Message, now: Instant) -> Result<(), Refused> {
        let out = &mut self.traffic.out;
        out.has(message.len(), now).map_err(|over| (over.into(), None))?;
        out.take(message.len(), now);
        match message {
            Message::Binary(frame) => self.pass(frame, now),
            // Nothing of the kind is agreed.
            Message::Text(_) => Err((Reason::Malformed, None)),
            _ => Ok(()),
        }
    }

    /// One frame to the network, or why not.
    fn pass(&mut self, frame: &[u8], now: Instant) -> Result<(), Refused> {
        let (to, datagram) = frame::decode(frame).ok_or((Reason::Malformed, None))?;
        let refused = |reason| (reason, Some(to));
        if datagram.len() > self.session.network.mtu() {
            return Err(refused(Reason::TooLong));
        }
        if !self.session.network.sends(datagram) {
            return Err(refused(Reason::Malformed));
        }
        destinations::permitted(to, self.shared.allow_private).map_err(refused)?;
        let port = self.session.ports.iter().find(|port| port.family() == Family::of(&to));
        let port = port.ok_or(refused(Reason::DestinationFamily))?;
        if let Some(source) = &self.session.source {
            let mut flow = source.out.lock().unwrap_or_else(PoisonError::into_inner);
            flow.has(frame.len(), now).map_err(|over| refused(over.into()))?;
            flow.take(frame.len(), now);
        }
        self.session
            .destinations()
            .send(Way::Datagram, to, &self.shared.limits, now)
            .map_err(refused)?;
        self.session.sent.store(true, Ordering::Relaxed);
        self.traffic.last_sent = now;
        // What the system does not take now is lost, as on any network.
        if port.udp.try_send_to(datagram, to).is_ok() {
            add(&self.shared.tally.datagrams_out, 1);
            add(&self.shared.tally.bytes_out, datagram.len());
        }
        Ok(())
    }

    /// From the network, and from us, to the client.
    fn poll_network(&mut self, cx: &mut Context<'_>) -> Option<End> {
        let mut left = BATCH;
        loop {
            match self.socket.poll_ready_unpin(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Some(End::Gone),
                Poll::Pending => return None,
            }
            let next = self.notes.pop_front().or_else(|| self.receive(cx, &mut left));
            let Some(message) = next else { break };
            if self.socket.start_send_unpin(message).is_err() {
                return Some(End::Gone);
            }
        }
        if left == 0 {
            cx.waker().wake_by_ref();
        }
        match self.socket.poll_flush_unpin(cx) {
            Poll::Ready(Err(_)) => Some(End::Gone),
            _ => None,
        }
    }

    /// The next datagram that the client is to have.
    fn receive(&mut self, cx: &mut Context<'_>, left: &mut usize) -> Option<Message> {
        let session = self.session;
        let count = session.ports.len();
        self.turn = self.turn.wrapping_add(1);
        for number in 0..count {
            let port = session.ports.get((self.turn + number) % count)?;
            // As many again as may pass, and the rest of the second is the system's: it loses what
            // does not fit into its buffer, at less cost than ours.
            while *left > 0 && self.flooded <= self.shared.limits.datagrams_per_second {
                // One byte more than the longest: whatever is longer is seen to be.
                let mut buffer = [MaybeUninit::uninit(); shape::LONGEST + 1];
                let mut read = ReadBuf::uninit(&mut buffer);
                let from = match port.udp.poll_recv_from(cx, &mut read) {
                    Poll::Ready(Ok(from)) => from,
                    // What became of an earlier datagram is nobody's business here.
                    Poll::Ready(Err(_)) => {
                        *left -= 1;
                        continue;
                    }
                    Poll::Pending => break,
                };
                *left -= 1;
                match self.admit(from, read.filled(), Instant::now()) {
                    Ok(()) => {
                        let frame = frame::encode(from, read.filled());
                        return Some(Message::Binary(frame.into()));
                    }
                    Err(reason) => {
                        self.flooded += 1;
                        self.refuse(reason, None);
                    }
                }
            }
        }
        None
    }

    /// Whether a datagram goes to the client.
    fn admit(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> Result<(), Reason> {
        if datagram.len() > self.session.network.mtu() {
            return Err(Reason::TooLong);
        }
        if !self.session.network.receives(datagram) {
            return Err(Reason::Malformed);
        }
        let traffic = &mut *self.traffic;
        traffic.into.has(datagram.len(), now)?;
        if let Some(source) = &self.session.source {
            let mut flow = source.into.lock().unwrap_or_else(PoisonError::into_inner);
            flow.has(datagram.len(), now)?;
            flow.take(datagram.len(), now);
        }
        traffic.into.take(datagram.len(), now);
        self.session.destinations().heard(Way::Datagram, from, now);
        add(&self.shared.tally.datagrams_in, 1);
        add(&self.shared.tally.bytes_in, datagram.len());
        Ok(())
    }

    fn refuse(&mut self, reason: Reason, to: Option<SocketAddr>) {
        self.shared.tally.refuse(reason);
        let (count, last) = &mut self.dropped[reason as usize];
        *count = count.saturating_add(1);
        *last = to.or(*last);
    }
}

impl From<Over> for Reason {
    fn from(over: Over) -> Self {
        match over {
            Over::Datagrams => Self::Rate,
            Over::Bytes => Self::Bytes,
        }
    }
}

fn text(note: &Value) -> Message {
    Message::text(note.to_string())
}

/// What a client is told first.
fn hello(session: &Session, resumed: bool, shared: &Shared) -> Value {
    let addresses: Vec<_> = session.ports.iter().map(|port| port.seen.to_string()).collect();
    let limits = &shared.limits;
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    json!({
        "type": "hello",
        "version": 1,
        "addresses": addresses,
        "session": super::text::hex(&session.id),
        "resumed": resumed,
        "mtu": session.network.mtu(),
        "stun": shared.stun.map(|address| address.to_string()),
        "public": shared.public,
        "serve": session.serve,
        "grace_ms": millis(limits.grace),
        "limits": {
            "datagrams_per_second": limits.datagrams_per_second,
            "bytes_per_second": limits.bytes_per_second,
            "destinations": limits.destinations,
            "idle_ms": millis(limits.idle),
        },
    })
}
