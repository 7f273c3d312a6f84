//! A client of a relay, and a node behind it: what a page has, in Rust.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use kadlet::core::wire::native::Native;
use kadlet::core::wire::{Body, Message as Wire, Method, Query};
use kadlet::core::{Config, Event, Families, Id, Instant, LinkId, Network, Node, Path};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Longest wait for anything: what takes longer hangs.
pub(crate) const GUARD: Duration = Duration::from_secs(20);

/// What a WebSocket runs over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

type Socket = WebSocketStream<Box<dyn Stream>>;

/// Waits for something, not for ever.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, future).await.expect("it does not hang")
}

/// A ping of a network.
pub(crate) fn ping(network: &str) -> Vec<u8> {
    let message =
        Wire::new(b"12345678", Id::ZERO, Body::Query(Query::new(Method::Ping { nonce: None })));
    let mut datagram = Vec::new();
    Native::new(network).encode(&message, None, &mut datagram);
    datagram
}

/// What a network's datagrams carry in their headers, in hexadecimal digits.
pub(crate) fn network_id(network: &str) -> String {
    ping(network)[4..12].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A frame with a datagram for `to`.
pub(crate) fn frame(to: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    let ip = match to.ip() {
        IpAddr::V4(ip) => [&[4], &ip.octets()[..]].concat(),
        IpAddr::V6(ip) => [&[6], &ip.octets()[..]].concat(),
    };
    [&ip[..], &to.port().to_be_bytes(), datagram].concat()
}

fn unframe(frame: &[u8]) -> (SocketAddr, Vec<u8>) {
    let (ip, rest): (IpAddr, _) = match frame[0] {
        4 => (<[u8; 4]>::try_from(&frame[1..5]).expect("four bytes").into(), &frame[5..]),
        _ => (<[u8; 16]>::try_from(&frame[1..17]).expect("sixteen bytes").into(), &frame[17..]),
    };
    let port = u16::from_be_bytes([rest[0], rest[1]]);
    (SocketAddr::new(ip, port), rest[2..].to_vec())
}

/// What is asked for at the door.
pub(crate) struct Door<'a> {
    pub(crate) query: String,
    pub(crate) protocol: Option<&'a str>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Door<'_> {
    /// What a well-behaved client says.
    pub(crate) fn new(network: &str) -> Self {
        Self {
            query: format!("network={}", network_id(network)),
            protocol: Some("kadlet-relay.1"),
            headers: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.query += &format!("&{name}={value}");
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A connection to a relay.
pub(crate) struct Client {
    pub(crate) socket: Socket,
    pub(crate) hello: Value,
}

impl Client {
    /// Connects, and reads the hello.
    pub(crate) async fn connect(relay: SocketAddr, door: &Door<'_>) -> Self {
        Self::greeted(dial(relay, door).await).await
    }

    /// The same over a connection that is there already.
    pub(crate) async fn over(stream: Box<dyn Stream>, url: &str, door: &Door<'_>) -> Self {
        Self::greeted(within(upgrade(stream, url, door)).await.expect("upgraded")).await
    }

    async fn greeted(mut socket: Socket) -> Self {
        let hello = match within(socket.next()).await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("no hello: {other:?}"),
        };
        Self { socket, hello }
    }

    /// The client's UDP address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.hello["addresses"][0].as_str().expect("text").parse().expect("an address")
    }

    pub(crate) fn session(&self) -> &str {
        self.hello["session"].as_str().expect("text")
    }

    pub(crate) async fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.send_frame(frame(to, datagram)).await;
    }

    pub(crate) async fn send_frame(&mut self, frame: Vec<u8>) {
        within(self.socket.send(Message::Binary(frame.into()))).await.expect("sent");
    }

    /// The next message that is no ping.
    pub(crate) async fn next(&mut self) -> Option<Result<Message, Error>> {
        within(async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => return other,
                }
            }
        })
        .await
    }

    /// The next datagram, and who sent it.
    pub(crate) async fn datagram(&mut self) -> (SocketAddr, Vec<u8>) {
        loop {
            match self.next().await {
                Some(Ok(Message::Binary(frame))) => return unframe(&frame),
                Some(Ok(Message::Text(_))) => {}
                other => panic!("no datagram: {other:?}"),
            }
        }
    }

    /// The next note about datagrams that were dropped.
    pub(crate) async fn dropped(&mut self) -> Value {
        loop {
            match self.next().await {
                Some(Ok(Message::Text(text))) => {
                    let note: Value = serde_json::from_str(&text).expect("JSON");
                    assert_eq!(note["type"], "dropped");
                    return note;
                }
                Some(Ok(Message::Binary(_))) => {}
                other => panic!("no note: {other:?}"),
            }
        }
    }

    /// With which code the relay closes the connection.
    pub(crate) async fn closed(mut self) -> u16 {
        closed(&mut self.socket).await.code.into()
    }

    /// Closes the connection, and waits until the relay has.
    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        within(self.socket.close(Some(frame))).await.expect("closed");
        let mut answered = false;
        while let Some(Ok(message)) = self.next().await {
            answered = message.is_close();
        }
        assert!(answered, "a goodbye is answered");
    }
}

async fn closed(socket: &mut Socket) -> CloseFrame {
    loop {
        match within(socket.next()).await {
            Some(Ok(Message::Close(frame))) => return frame.expect("with a code"),
            Some(Ok(_)) => {}
            other => panic!("not closed in good order: {other:?}"),
        }
    }
}

/// Connects to a relay that says no: with which code, and why.
pub(crate) async fn refused(relay: SocketAddr, door: &Door<'_>) -> (u16, String) {
    let stream = within(TcpStream::connect(relay)).await.expect("it listens");
    refused_over(Box::new(stream), &format!("ws://{relay}"), door).await
}

/// The same over a connection that is there already.
pub(crate) async fn refused_over(
    stream: Box<dyn Stream>,
    url: &str,
    door: &Door<'_>,
) -> (u16, String) {
    let mut socket = within(upgrade(stream, url, door)).await.expect("upgraded");
    let frame = closed(&mut socket).await;
    (frame.code.into(), frame.reason.to_string())
}

async fn dial(relay: SocketAddr, door: &Door<'_>) -> Socket {
    let stream = within(TcpStream::connect(relay)).await.expect("it listens");
    within(upgrade(Box::new(stream), &format!("ws://{relay}"), door)).await.expect("upgraded")
}

/// Opens a WebSocket over a stream.
pub(crate) async fn upgrade(
    stream: Box<dyn Stream>,
    url: &str,
    door: &Door<'_>,
) -> Result<Socket, Error> {
    let mut request = format!("{url}/relay?{}", door.query).into_client_request()?;
    let headers = request.headers_mut();
    if let Some(protocol) = door.protocol {
        headers.insert("sec-websocket-protocol", protocol.parse().expect("a header"));
    }
    for (name, value) in &door.headers {
        headers.insert(*name, value.parse().expect("a header"));
    }
    Ok(tokio_tungstenite::client_async(request, stream).await?.0)
}

/// A node behind a relay.
pub(crate) struct Relayed {
    pub(crate) node: Node,
    pub(crate) client: Client,
    start: std::time::Instant,
}

impl Relayed {
    pub(crate) async fn start(relay: SocketAddr, network: &str, id: Id, seed: [u8; 32]) -> Self {
        let client = Client::connect(relay, &Door::new(network)).await;
        let mut config = Config::default();
        config.network = Network::Native(network.to_owned());
        let mut node = Node::new(config, id, seed, Instant::EPOCH);
        node.link_up(Instant::EPOCH, LinkId(0), client.address(), Families::V4, 1_500);
        Self { node, client, start: std::time::Instant::now() }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::EPOCH + self.start.elapsed()
    }

    pub(crate) fn bootstrap(&mut self, node: &str) {
        let node = Path::direct(node.parse().expect("an address"));
        self.node.bootstrap(self.now(), &[node]);
    }

    /// Goes on until an event is the one that is waited for.
    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        within(async {
            loop {
                while let Some(transmit) = self.node.poll_transmit() {
                    self.client.send(transmit.path.remote, &transmit.payload).await;
                }
                while let Some(event) = self.node.poll_event() {
                    if let Some(found) = wanted(event) {
                        return found;
                    }
                }
                self.step().await;
            }
        })
        .await
    }

    /// Waits for a message or for the node's deadline.
    async fn step(&mut self) {
        let now = self.now();
        let wait = self.node.poll_timeout().map(|at| at.since(now));
        let message = tokio::time::timeout(wait.unwrap_or(GUARD), self.client.next()).await;
        let now = self.now();
        match message {
            Ok(Some(Ok(Message::Binary(frame)))) => {
                let (from, datagram) = unframe(&frame);
                // What is wrong with a datagram is counted by the node.
                let _ = self.node.handle_datagram(now, Path::direct(from), &datagram);
            }
            Ok(Some(Ok(_))) => {}
            Ok(other) => panic!("the relay is gone: {other:?}"),
            Err(_) => self.node.handle_timeout(now),
        }
    }
}
