//! TCP sockets that listen, with errors that say what to change.

use core::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::error::StartError;

/// Connections that wait to be taken, as for tokio's own listeners.
const BACKLOG: i32 = 1_024;

/// Listens at one address; `v6_only`: an IPv6 wildcard leaves IPv4 alone.
pub(crate) fn listen(address: SocketAddr, v6_only: bool) -> Result<TcpListener, StartError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() && v6_only {
            socket.set_only_v6(true)?;
        }
        // What is left of the connections of a process before us does not keep the port.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|error| StartError::socket(address, error))
}
