//! The UDP ports that clients get: opened at random, rested before somebody else has them.

use alloc::collections::BTreeMap;
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use kadlet_core::Family;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// The receive buffer of a client's port: half a second of its rate. What comes while a client
/// reads slowly waits there and nowhere else, and is lost when it is full.
const RECEIVE_BUFFER: usize = 128 << 10;

/// How many ports are tried: with a thousand of sixteen thousand in use the first free one is
/// among them.
const TRIES: u16 = 512;

/// One address of this machine, and as what others see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local {
    pub(super) bind: IpAddr,
    pub(super) seen: IpAddr,
}

/// One UDP port of a client.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) udp: UdpSocket,
    /// Where others reach it.
    pub(super) seen: SocketAddr,
}

impl Port {
    pub(super) const fn family(&self) -> Family {
        Family::of(&self.seen)
    }
}

/// Where ports are opened.
#[derive(Debug)]
pub(super) struct Ports {
    locals: Vec<Local>,
    range: RangeInclusive<u16>,
    rest: Duration,
    /// Ports that somebody had, until when nobody else gets them.
    resting: Mutex<BTreeMap<u16, Instant>>,
}

impl Ports {
    pub(super) fn new(locals: Vec<Local>, range: RangeInclusive<u16>, rest: Duration) -> Self {
        Self { locals, range, rest, resting: Mutex::default() }
    }

    /// One port, of the same number in each family.
    ///
    /// # Errors
    /// `AddrInUse` if none is left; otherwise what the system says.
    pub(super) fn open(&self, now: Instant) -> io::Result<Vec<Port>> {
        let mut random = [0; 2];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let (first, last) = (*self.range.start(), *self.range.end());
        let count = u32::from(last.saturating_sub(first)) + 1;
        let start = u32::from(u16::from_ne_bytes(random)) % count;
        for step in 0..count.min(u32::from(TRIES)) {
            let offset = u16::try_from((start + step) % count).unwrap_or(0);
            let port = first + offset;
            if self.is_resting(port, now) {
                continue;
            }
            let opened: io::Result<Vec<_>> =
                self.locals.iter().map(|local| bind(*local, port)).collect();
            match opened {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                opened => return opened,
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    fn is_resting(&self, port: u16, now: Instant) -> bool {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        match resting.get(&port) {
            Some(until) if *until > now => true,
            Some(_) => {
                resting.remove(&port);
                false
            }
            None => false,
        }
    }

    /// The port's client is gone for good.
    pub(super) fn rest(&self, port: u16, now: Instant) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.insert(port, now + self.rest);
    }
}

/// Opens a UDP socket on one address.
pub(super) fn bind(local: Local, port: u16) -> io::Result<Port> {
    let address = SocketAddr::new(local.bind, port);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A smaller buffer than asked for loses datagrams under load, nothing else.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let udp = UdpSocket::from_std(socket.into())?;
    let seen = SocketAddr::new(local.seen, udp.local_addr()?.port());
    Ok(Port { udp, seen })
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[tokio::test]
    async fn a_port_rests_before_somebody_else_gets_it() {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let local = Local { bind: ip, seen: ip };
        // Whatever is free now, and no other.
        let free = bind(local, 0).expect("a port").seen.port();
        let ports = Ports::new(vec![local], free..=free, Duration::from_secs(600));
        let now = Instant::now();
        let open = |at| ports.open(at).map(|ports| ports[0].seen.port());
        let first = ports.open(now).expect("it is free");
        assert_eq!(open(now).map_err(|error| error.kind()), Err(io::ErrorKind::AddrInUse));
        ports.rest(free, now);
        drop(first);
        let almost = now + Duration::from_secs(599);
        assert_eq!(open(almost).map_err(|error| error.kind()), Err(io::ErrorKind::AddrInUse));
        assert_eq!(open(now + Duration::from_secs(600)).expect("rested"), free);
    }
}
