//! Nodes of one local network find each other by multicast.
//!
//! A node says "here" when it starts, every few minutes, and when somebody asks; whoever looks for
//! contacts says "ask". Both are one short datagram to one group, and nothing is ever answered to a
//! single address: nobody can be flooded through it.
//!
//! ```text
//! 0   4   "KLAN"
//! 4   1   version, 1
//! 5   1   kind: 0 ask, 1 here
//! 6   8   BLAKE3 of the network's name, the first bytes
//! 14  2   UDP port of the node, big-endian; 0 in "ask"
//! 16  8   drawn at random by the sender: how it knows its own datagrams
//! ```
//!
//! What is heard is a hint from anybody in the building: only private and loopback senders count,
//! the address is the sender's own, and the node is asked like any bootstrap address before it is
//! believed. A node on loopback speaks and listens on loopback alone.

use alloc::collections::VecDeque;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use kadlet_core::{Scope, is_usable};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::Instant;

/// The group: from the block for one organisation (RFC 2365), the last bytes are "KD".
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 75, 68);
/// The group's port: unassigned by IANA.
const PORT: u16 = 27_468;
const MAGIC: &[u8; 4] = b"KLAN";
const VERSION: u8 = 1;
const LENGTH: usize = 24;

/// Least time between two datagrams of ours: a thousand nodes in one network then make at most a
/// thousand small datagrams a second, and only while somebody keeps asking.
const QUIET: Duration = Duration::from_secs(1);
/// Time between two "here" that nobody asked for.
const REPEAT: Duration = Duration::from_secs(300);
/// Addresses remembered, so that nobody is contacted for every datagram.
const REMEMBERED: usize = 256;
/// New addresses that are contacted in a minute: enough to join, few enough that a joker who makes
/// addresses up costs little.
const A_MINUTE: u32 = 16;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Ask,
    Here,
}

/// Our voice and ear in the local network.
#[derive(Debug)]
pub(crate) struct Lan {
    udp: UdpSocket,
    /// By which interfaces we speak, and our port there.
    interfaces: Vec<(Ipv4Addr, u16)>,
    network: [u8; 8],
    nonce: [u8; 8],
    /// Whether we are somebody to be found.
    is_found: bool,
    last_sent: Option<Instant>,
    /// What should be said as soon as the quiet time is over.
    pending: Option<Kind>,
    timer: core::pin::Pin<Box<tokio::time::Sleep>>,
    known: VecDeque<SocketAddr>,
    minute: Instant,
    this_minute: u32,
}

impl Lan {
    /// Joins the group. `bound` is where the node's IPv4 sockets listen; `is_found` if it is to be
    /// found there.
    pub(crate) fn join(
        network: &str,
        nonce: [u8; 8],
        bound: &[SocketAddr],
        is_found: bool,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        // Several nodes of one machine listen to the same group.
        socket.set_reuse_address(true)?;
        #[cfg(all(unix, not(target_os = "linux")))]
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
        let mut refusal = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let mut interfaces: Vec<(Ipv4Addr, u16)> = Vec::new();
        for (interface, port) in bound.iter().flat_map(interfaces_of) {
            // Of two sockets at one interface the first is enough to find us.
            if interfaces.iter().any(|(other, _)| *other == interface) {
                continue;
            }
            match socket.join_multicast_v4(&GROUP, &interface) {
                Ok(()) => interfaces.push((interface, port)),
                Err(error) => refusal = error,
            }
        }
        if interfaces.is_empty() {
            return Err(refusal);
        }
        // Ourselves among others on this machine; our own are told apart by the nonce.
        socket.set_multicast_loop_v4(true)?;
        // Never beyond the next router.
        socket.set_multicast_ttl_v4(1)?;
        let now = Instant::now();
        Ok(Self {
            udp: UdpSocket::from_std(socket.into())?,
            interfaces,
            network: network_tag(network),
            nonce,
            is_found,
            last_sent: None,
            pending: is_found.then_some(Kind::Here),
            timer: Box::pin(tokio::time::sleep_until(now)),
            known: VecDeque::new(),
            minute: now,
            this_minute: 0,
        })
    }

    /// Asks who is there.
    pub(crate) fn ask(&mut self) {
        self.pending = Some(Kind::Ask);
        self.speak();
    }

    /// The next thing that happened: an address to contact, or nothing in particular.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<SocketAddr>> {
        self.speak();
        let due = match (self.pending, self.last_sent) {
            (Some(_), Some(last)) => last + QUIET,
            (Some(_), None) => Instant::now(),
            (None, Some(last)) if self.is_found => last + REPEAT,
            (None, _) => Instant::now() + REPEAT,
        };
        if self.pending.is_some() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(due);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            if self.pending.is_none() {
                self.pending = self.is_found.then_some(Kind::Here);
            }
            return Poll::Ready(None);
        }
        if self.udp.poll_recv_ready(cx).is_pending() {
            return Poll::Pending;
        }
        let mut buffer = [0; LENGTH + 1];
        match self.udp.try_recv_from(&mut buffer) {
            Ok((length, sender)) => {
                Poll::Ready(self.hear(buffer.get(..length).unwrap_or_default(), sender))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Ready(None),
            Err(error) => {
                tracing::debug!(%error, "the local network could not be heard");
                Poll::Ready(None)
            }
        }
    }

    /// Says what is pending, unless it would be too much.
    fn speak(&mut self) {
        let Some(kind) = self.pending else { return };
        if self.last_sent.is_some_and(|last| last.elapsed() < QUIET) {
            return;
        }
        self.pending = None;
        self.last_sent = Some(Instant::now());
        for (interface, port) in &self.interfaces {
            let datagram = self.datagram(kind, *port);
            let socket = socket2::SockRef::from(&self.udp);
            let sent = socket
                .set_multicast_if_v4(interface)
                .and_then(|()| socket.send_to(&datagram, &SocketAddr::from((GROUP, PORT)).into()));
            if let Err(error) = sent {
                tracing::debug!(%error, %interface, "nothing could be said in the local network");
            }
        }
    }

    fn datagram(&self, kind: Kind, port: u16) -> [u8; LENGTH] {
        let port = match kind {
            Kind::Ask => 0,
            Kind::Here => port,
        };
        let parts: [&[u8]; 5] =
            [MAGIC, &[VERSION, kind as u8], &self.network, &port.to_be_bytes(), &self.nonce];
        let mut datagram = [0; LENGTH];
        for (byte, part) in datagram.iter_mut().zip(parts.into_iter().flatten()) {
            *byte = *part;
        }
        datagram
    }

    /// The address to contact because of a datagram, if there is a reason to.
    fn hear(&mut self, datagram: &[u8], sender: SocketAddr) -> Option<SocketAddr> {
        let heard = Heard::parse(datagram)?;
        if heard.network != self.network
            || heard.nonce == self.nonce
            || !matches!(Scope::of(sender.ip()), Some(Scope::Loopback | Scope::Private))
        {
            return None;
        }
        if heard.kind == Kind::Ask {
            // Said once the quiet time is over, however many ask meanwhile.
            self.pending = self.pending.or(self.is_found.then_some(Kind::Here));
            return None;
        }
        let address = SocketAddr::new(sender.ip(), heard.port);
        if !is_usable(address) || self.known.contains(&address) {
            return None;
        }
        if self.minute.elapsed() >= Duration::from_secs(60) {
            self.minute = Instant::now();
            self.this_minute = 0;
        }
        if self.this_minute >= A_MINUTE {
            return None;
        }
        self.this_minute += 1;
        if self.known.len() >= REMEMBERED {
            self.known.pop_front();
        }
        self.known.push_back(address);
        Some(address)
    }
}

/// A datagram of the group, taken apart.
#[derive(PartialEq, Eq, Debug)]
struct Heard {
    kind: Kind,
    network: [u8; 8],
    port: u16,
    nonce: [u8; 8],
}

impl Heard {
    fn parse(datagram: &[u8]) -> Option<Self> {
        let rest = datagram.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
        let (kind, rest) = rest.split_first()?;
        let kind = match kind {
            0 => Kind::Ask,
            1 => Kind::Here,
            _ => return None,
        };
        let (network, rest) = rest.split_first_chunk()?;
        let (port, rest) = rest.split_first_chunk()?;
        let nonce = rest.try_into().ok()?;
        Some(Self { kind, network: *network, port: u16::from_be_bytes(*port), nonce })
    }
}

/// By which interfaces a socket that is bound so reaches others, and its port.
fn interfaces_of(bound: &SocketAddr) -> impl Iterator<Item = (Ipv4Addr, u16)> {
    let ips = match bound.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => [Some(Ipv4Addr::LOCALHOST), None],
        IpAddr::V4(ip) if !ip.is_unspecified() => [Some(ip), None],
        // The system's default interface, and this machine.
        IpAddr::V4(any) => [Some(any), Some(Ipv4Addr::LOCALHOST)],
        IpAddr::V6(_) => [None, None],
    };
    let port = bound.port();
    ips.into_iter().flatten().map(move |ip| (ip, port))
}

fn network_tag(network: &str) -> [u8; 8] {
    let hash = blake3::derive_key("kadlet 2026 local network discovery", network.as_bytes());
    let (tag, _) = hash.split_at(8);
    tag.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::poll_fn;

    async fn lan(network: &str, nonce: u8, port: Option<u16>) -> Lan {
        let bound = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(1)));
        Lan::join(network, [nonce; 8], &[bound], port.is_some()).expect("multicast on loopback")
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    #[test]
    fn a_datagram_survives_its_way() {
        runtime().block_on(async {
            let lan = lan("there and back", 7, Some(4000)).await;
            let heard = Heard::parse(&lan.datagram(Kind::Here, 4000)).expect("our own");
            assert_eq!(
                heard,
                Heard {
                    kind: Kind::Here,
                    network: network_tag("there and back"),
                    port: 4000,
                    nonce: [7; 8]
                }
            );
        });
        assert_eq!(Heard::parse(b"KLAN\x02"), None);
        assert_eq!(Heard::parse(&[0; 24]), None);
        assert_eq!(Heard::parse(b""), None);
    }

    #[test]
    fn only_private_senders_of_our_network_count_and_only_once() {
        runtime().block_on(async {
            let mut ours = lan("who counts", 1, None).await;
            let here = lan("who counts", 2, Some(4000)).await.datagram(Kind::Here, 4000);
            let other = lan("another", 3, Some(4000)).await.datagram(Kind::Here, 4000);
            let neighbour: SocketAddr = "192.168.1.7:27468".parse().expect("an address");
            let stranger: SocketAddr = "8.8.8.8:27468".parse().expect("an address");
            assert_eq!(ours.hear(&other, neighbour), None);
            assert_eq!(ours.hear(&here, stranger), None);
            let found: SocketAddr = "192.168.1.7:4000".parse().expect("an address");
            assert_eq!(ours.hear(&here, neighbour), Some(found));
            assert_eq!(ours.hear(&here, neighbour), None);
        });
    }

    #[test]
    fn made_up_addresses_are_limited() {
        runtime().block_on(async {
            let mut ours = lan("made up", 1, None).await;
            let other = lan("made up", 2, Some(1)).await;
            let neighbour: SocketAddr = "192.168.1.7:27468".parse().expect("an address");
            let heard = (1..1000)
                .filter(|port| ours.hear(&other.datagram(Kind::Here, *port), neighbour).is_some())
                .count();
            assert_eq!(heard, A_MINUTE as usize);
        });
    }

    /// Real multicast, on the loopback interface of this machine, which is not the first where the
    /// node listens: nobody here has the first.
    #[test]
    fn who_asks_hears_who_is_there() {
        runtime().block_on(async {
            let network = format!("test {}", std::process::id());
            let elsewhere = SocketAddr::from(([198, 51, 100, 7], 4001));
            let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
            let also_here = SocketAddr::from((Ipv4Addr::LOCALHOST, 4002));
            let bound = [elsewhere, here, also_here];
            let mut node = Lan::join(&network, [1; 8], &bound, true).expect("one interface");
            let mut asker = lan(&network, 2, None).await;
            asker.ask();
            let found = poll_fn(|cx| {
                // The node works beside; it never hears anything but the question.
                while let Poll::Ready(found) = node.poll(cx) {
                    assert_eq!(found, None);
                }
                loop {
                    match asker.poll(cx) {
                        Poll::Ready(None) => {}
                        other => return other,
                    }
                }
            });
            let found = tokio::time::timeout(Duration::from_secs(60), found).await;
            assert_eq!(found.expect("in time"), Some(SocketAddr::from(([127, 0, 0, 1], 4000))));
        });
    }
}
