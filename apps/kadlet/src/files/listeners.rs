//! TCP sockets at several addresses and one port.
//!
//! An announcement names one port, and goes out from all of a node's sockets: whoever heard of it
//! over IPv6, or by another interface, comes to the same port there.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::io;

use tokio::net::TcpListener;

use crate::error::StartError;

/// No address at all.
pub(super) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// So often a port is looked for that is free at each address.
const ATTEMPTS: usize = 5;

/// A listener for each address, by `bind`, which is told whether an IPv6 wildcard is to leave IPv4
/// alone.
pub(super) fn at_one_port(
    listen: &[SocketAddr],
    mut bind: impl FnMut(SocketAddr, bool) -> Result<TcpListener, StartError>,
) -> Result<Vec<TcpListener>, StartError> {
    let addresses = distinct(listen);
    let Some((first, others)) = addresses.split_first() else {
        return Err(refused(NOWHERE, "no address to listen at"));
    };
    let mut ports = listen.iter().map(SocketAddr::port).filter(|port| *port != 0);
    let port = ports.next().unwrap_or(0);
    if ports.any(|other| other != port) {
        return Err(refused(*first, "two ports, and announcements name one"));
    }
    // Beside an IPv4 address the IPv6 wildcard would take its port; alone it serves both where the
    // system has it so.
    let v6_only = addresses.iter().any(SocketAddr::is_ipv4);
    let at = |address: &SocketAddr, port| {
        let mut address = *address;
        address.set_port(port);
        address
    };
    // Kept until there is a better one, so that the system does not give the same port again.
    let mut unfit = Vec::new();
    loop {
        let listener = bind(at(first, port), v6_only)?;
        let chosen = listener.local_addr().map_err(|error| StartError::socket(*first, error))?;
        let rest = others.iter().map(|other| bind(at(other, chosen.port()), v6_only));
        match rest.collect::<Result<Vec<_>, _>>() {
            Ok(rest) => return Ok(core::iter::once(listener).chain(rest).collect()),
            Err(StartError::AddressInUse { .. }) if port == 0 && unfit.len() + 1 < ATTEMPTS => {
                unfit.push(listener);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Each address once, and none that a wildcard has already: with one port they are the same.
fn distinct(listen: &[SocketAddr]) -> Vec<SocketAddr> {
    let has_all = |ip: IpAddr| {
        let same = |other: &&SocketAddr| other.is_ipv4() == ip.is_ipv4();
        listen.iter().filter(same).any(|other| other.ip().is_unspecified())
    };
    let mut distinct: Vec<SocketAddr> = Vec::new();
    for address in listen {
        let ip = address.ip();
        let is_in_another = !ip.is_unspecified() && has_all(ip);
        if !is_in_another && !distinct.iter().any(|other| other.ip() == ip) {
            distinct.push(*address);
        }
    }
    distinct
}

fn refused(address: SocketAddr, why: &str) -> StartError {
    StartError::socket(address, io::Error::new(io::ErrorKind::InvalidInput, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::listen as bind;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn what_a_wildcard_has_is_not_listened_at_twice() {
        let given = ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::1]:0", "127.0.0.2:0"];
        assert_eq!(distinct(&addresses(&given)), addresses(&["[::1]:0", "0.0.0.0:0"]));
        let given = ["[::]:0", "127.0.0.1:0", "[::1]:0"];
        assert_eq!(distinct(&addresses(&given)), addresses(&["[::]:0", "127.0.0.1:0"]));
    }

    /// Refuses the second address so often, as if others had the port there.
    fn taken(times: usize) -> Result<Vec<TcpListener>, StartError> {
        let listen = addresses(&["127.0.0.1:0", "127.0.0.2:0"]);
        let mut left = times;
        at_one_port(&listen, |address, v6_only| {
            if address.ip() == listen[1].ip() && left > 0 {
                left -= 1;
                return Err(StartError::AddressInUse { address });
            }
            bind(address, v6_only)
        })
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_port_that_is_taken_at_one_address_is_left_for_another() {
        let listeners = taken(ATTEMPTS - 1).expect("one that is free");
        let ports = listeners.iter().map(|it| it.local_addr().expect("bound").port());
        let ports: Vec<_> = ports.collect();
        assert!(ports.len() == 2 && ports[0] == ports[1] && ports[0] != 0, "{ports:?}");
        let error = taken(ATTEMPTS).expect_err("taken again and again");
        assert!(matches!(error, StartError::AddressInUse { .. }), "{error}");
    }

    #[tokio::test]
    async fn there_is_one_port() {
        for (listen, said) in
            [(&["127.0.0.1:4000", "[::1]:4001"][..], "two ports"), (&[], "no address")]
        {
            let error = at_one_port(&addresses(listen), bind).expect_err("not possible");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
