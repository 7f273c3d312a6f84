//! UDP sockets: opened with what a DHT needs, and with errors that say what to change.
//!
//! One socket per address family, each a link of its own for the core: a wildcard IPv6 socket that
//! also takes IPv4 would show IPv4 peers in IPv6 clothes, which the core rightly refuses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;

use kadlet_core::{Families, Family, LinkId, Path, is_usable};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::error::StartError;

/// Wanted size of the receive buffer, bytes: 2,000 datagrams of the usual size, which is what
/// arrives while a busy machine runs something else for 50 ms at 40,000 datagrams a second. The
/// system may grant less.
const RECEIVE_BUFFER: usize = 1 << 20;

/// The core's word for what one datagram may measure on the way; IPv6 guarantees 1280, Ethernet
/// carries 1500.
const MTU: u16 = 1500;

/// One socket, and what the core knows it as.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) udp: UdpSocket,
    /// As bound, with the port the system chose.
    pub(crate) bound: SocketAddr,
}

impl Link {
    /// Binds a socket for each address. With none: any port of both families, where IPv6 may be
    /// missing.
    pub(crate) fn open_all(listen: &[SocketAddr]) -> Result<Vec<Self>, StartError> {
        let mut links = Vec::new();
        if listen.is_empty() {
            links.push(Self::open(LinkId(0), SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?);
            let port = links.first().map_or(0, |link| link.bound.port());
            let wildcard = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
            // The same port for both is a convenience, and a machine without IPv6 is no error.
            let v6 = Self::open(LinkId(1), wildcard(port))
                .or_else(|_| Self::open(LinkId(1), wildcard(0)));
            links.extend(v6.ok());
            return Ok(links);
        }
        for (i, address) in listen.iter().enumerate() {
            let id = LinkId(u16::try_from(i).unwrap_or(u16::MAX));
            links.push(Self::open(id, *address)?);
        }
        Ok(links)
    }

    fn open(id: LinkId, address: SocketAddr) -> Result<Self, StartError> {
        let named = |error: io::Error| StartError::socket(address, error);
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))
            .map_err(named)?;
        if address.is_ipv6() {
            socket.set_only_v6(true).map_err(named)?;
        }
        // A smaller buffer than asked for loses datagrams under load, nothing else.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        socket.set_nonblocking(true).map_err(named)?;
        socket.bind(&address.into()).map_err(named)?;
        let udp = UdpSocket::from_std(socket.into()).map_err(named)?;
        let bound = udp.local_addr().map_err(named)?;
        Ok(Self { id, udp, bound })
    }

    /// The address at which others on this machine, and where possible beyond it, reach the
    /// socket: a wildcard is no address that one could type elsewhere.
    pub(crate) fn reached_at(&self) -> SocketAddr {
        if !self.bound.ip().is_unspecified() {
            return self.bound;
        }
        let outward = outward_ip(Family::of(&self.bound));
        let reached = SocketAddr::new(outward, self.bound.port());
        if is_usable(reached) {
            return reached;
        }
        let loopback = match Family::of(&self.bound) {
            Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        SocketAddr::new(loopback, self.bound.port())
    }

    /// The path to `remote` by this link.
    pub(crate) const fn path(&self, remote: SocketAddr) -> Path {
        Path { link: self.id, remote }
    }

    /// The families that this link reaches.
    pub(crate) const fn families(&self) -> Families {
        Families::only(Family::of(&self.bound))
    }

    /// What the core is told of the link's size.
    pub(crate) const fn mtu(&self) -> u16 {
        MTU
    }

    /// Whether an address can be written to from this socket at all: a socket bound to this
    /// machine's loopback reaches nothing else.
    pub(crate) fn reaches(&self, remote: SocketAddr) -> bool {
        Family::of(&self.bound) == Family::of(&remote)
            && (!self.bound.ip().is_loopback() || remote.ip().is_loopback())
    }
}

/// The address that the system would send from to the internet; connecting a UDP socket sends
/// nothing. Unspecified where there is no route.
pub(crate) fn outward_ip(family: Family) -> IpAddr {
    let (any, outside): (IpAddr, IpAddr) = match family {
        Family::V4 => (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(1, 1, 1, 1).into()),
        Family::V6 => (
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111).into(),
        ),
    };
    std::net::UdpSocket::bind((any, 0))
        .and_then(|socket| {
            socket.connect((outside, 53))?;
            socket.local_addr()
        })
        .map_or(any, |local| local.ip())
}

/// Whether an error of a send says that the path does not work, rather than that our side is
/// short of something for a moment.
pub(crate) fn is_path_failure(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::ConnectionRefused
            | K::ConnectionReset
            | K::HostUnreachable
            | K::NetworkUnreachable
            | K::NetworkDown
            | K::AddrNotAvailable
            | K::PermissionDenied
            | K::InvalidInput
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    #[test]
    fn a_taken_port_is_named() {
        runtime().block_on(async {
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let first = Link::open(LinkId(0), any).expect("a socket");
            let second = Link::open(LinkId(1), first.bound).expect_err("the port is taken");
            assert!(
                matches!(second, StartError::AddressInUse { address } if address == first.bound)
            );
        });
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        runtime().block_on(async {
            let elsewhere = SocketAddr::from((Ipv4Addr::new(198, 51, 100, 7), 0));
            let error = Link::open(LinkId(0), elsewhere).expect_err("not our address");
            assert!(matches!(error, StartError::AddressUnavailable { .. }), "{error}");
        });
    }

    #[test]
    fn a_wildcard_is_reached_at_an_address_that_can_be_typed() {
        runtime().block_on(async {
            for link in Link::open_all(&[]).expect("sockets") {
                assert!(link.bound.ip().is_unspecified());
                assert!(is_usable(link.reached_at()), "{}", link.reached_at());
            }
        });
    }

    #[test]
    fn loopback_reaches_loopback_alone() {
        runtime().block_on(async {
            let link =
                Link::open(LinkId(0), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("bound");
            assert!(link.reaches("127.0.0.9:1".parse().expect("an address")));
            assert!(!link.reaches("8.8.8.8:1".parse().expect("an address")));
            assert!(!link.reaches("[::1]:1".parse().expect("an address")));
        });
    }
}
