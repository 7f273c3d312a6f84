//! The relay: as a program, and in this process where its limits have to be others.

mod client;
mod door;
mod fetch;
mod limits;
mod machine;
mod nodes;
mod pages;
mod sessions;

use core::net::{Ipv4Addr, SocketAddr};

use kadlet::relay::{Relay, Settings};
use tokio::net::UdpSocket;

use crate::common::Node;
use client::within;

/// A relay of this process on loopback, which may be written to.
async fn relay(change: impl FnOnce(&mut Settings)) -> (Relay, SocketAddr) {
    let mut settings = Settings::new(vec![(Ipv4Addr::LOCALHOST, 0).into()]);
    settings.allow_private = true;
    change(&mut settings);
    let relay = Relay::start(settings).await.expect("it starts");
    let address = relay.listening()[0];
    (relay, address)
}

/// The program, on loopback, which may be written to.
fn program(arguments: &[&str]) -> (Node, SocketAddr) {
    let all = ["relay", "--json", "--listen", "127.0.0.1:0", "--allow-private"];
    let mut node = Node::spawn("", &[&all[..], arguments].concat());
    let listening = node.wait_for("listening");
    let address = listening["addr"].as_str().expect("text").parse().expect("an address");
    (node, address)
}

/// A socket of somebody on the network.
async fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

/// The next datagram that arrives there, and from where.
async fn received(peer: &UdpSocket) -> (SocketAddr, Vec<u8>) {
    let mut buffer = [0; 2_048];
    let (len, from) = within(peer.recv_from(&mut buffer)).await.expect("received");
    (from, buffer[..len].to_vec())
}
