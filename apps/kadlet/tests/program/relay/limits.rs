//! What a client may send, and what becomes of the rest.

use alloc::collections::BTreeMap;
use core::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use kadlet::relay::{Counters, Relay, Settings};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::client::{Client, Door, frame, ping, within};
use super::{peer, received, relay};

/// How many datagrams arrive at a peer before one that is known to be the last.
async fn arrived(peer: &tokio::net::UdpSocket, last: &[u8]) -> usize {
    let mut count = 0;
    while received(peer).await.1 != last {
        count += 1;
    }
    count
}

/// The counters, once they are as expected: what was sent has been seen then.
pub(super) async fn settled(relay: &Relay, expected: impl Fn(&Counters) -> bool) -> Counters {
    within(async {
        loop {
            let counters = relay.counters();
            if expected(&counters) {
                return counters;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

async fn client(change: impl FnOnce(&mut Settings)) -> (Relay, Client) {
    let (relay, address) = relay(change).await;
    let client = Client::connect(address, &Door::new("x")).await;
    (relay, client)
}

#[tokio::test]
async fn what_may_not_go_there_does_not_go() {
    let (relay, mut client) = client(|settings| settings.allow_private = false).await;
    let (socket, there) = peer().await;
    // What is told at once: how many, and the last of them.
    let refusals: [(&str, &[&str]); 3] = [
        ("destination_private", &["10.0.0.1:6881", "[::1]:6881", "224.0.0.1:6881", "PEER"]),
        ("destination_port", &["8.8.8.8:53", "8.8.8.8:11211"]),
        ("destination_family", &["[2600::1]:6881"]),
    ];
    for (_, addresses) in refusals {
        for to in addresses {
            let to = to.replace("PEER", &there.to_string()).parse().unwrap();
            client.send(to, &ping("x")).await;
        }
    }
    let mut told = BTreeMap::new();
    while told.values().map(|(count, _)| count).sum::<u64>() < 7 {
        let note = client.dropped().await;
        let (count, last) = told.entry(note["reason"].to_string()).or_default();
        *count += note["count"].as_u64().unwrap();
        *last = note["to"].clone();
    }
    for (reason, addresses) in refusals {
        let last = addresses[addresses.len() - 1].replace("PEER", &there.to_string());
        let expected = (addresses.len() as u64, json!(last));
        assert_eq!(told[&json!(reason).to_string()], expected, "{reason}");
    }
    let dropped = relay.counters().dropped;
    assert_eq!((dropped.destination_private, dropped.destination_port), (4, 2));
    assert_eq!(relay.counters().datagrams_out, 0);
    assert!(socket.try_recv(&mut [0; 1]).is_err(), "nothing arrived");
}

#[tokio::test]
async fn what_has_not_the_shape_is_not_passed() {
    let (relay, mut client) = client(|_| {}).await;
    let (socket, there) = peer().await;
    let (datagram, other) = (ping("x"), ping("y"));
    let mut long = datagram.clone();
    long.resize(1_233, 0);
    let bad = [
        vec![],
        vec![4],
        vec![4, 127, 0, 0, 1, 9],
        [&[5], &frame(there, &datagram)[1..]].concat(),
        frame(there, &[]),
        frame(there, &datagram[..43]),
        frame(there, &other),
        frame(there, b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"),
    ];
    let count = bad.len() as u64;
    for frame in bad {
        client.send_frame(frame).await;
    }
    let text = Message::text("hello");
    within(client.socket.send(text)).await.unwrap();
    client.send(there, &long).await;
    client.send(there, &datagram).await;
    assert_eq!(received(&socket).await.1, datagram, "and nothing else");
    let dropped = relay.counters().dropped;
    assert_eq!((dropped.malformed, dropped.too_long), (count + 1, 1));
    // A frame that nobody could have meant ends the connection.
    client.send_frame(vec![4; 5_000]).await;
    assert_eq!(client.closed().await, 1009);
}

#[tokio::test]
async fn rates_hold_and_are_said() {
    let (relay, mut client) = client(|settings| settings.limits.datagrams_per_second = 10).await;
    let (_socket, there) = peer().await;
    for _ in 0..30 {
        client.send(there, &ping("x")).await;
    }
    let passed = |counters: &Counters| counters.datagrams_out + counters.dropped.unanswered;
    let counters = settled(&relay, |it| passed(it) + it.dropped.rate == 30).await;
    // Two seconds' worth, and whatever the test took in seconds.
    assert!((20..=29).contains(&passed(&counters)), "{counters:?}");
    while client.dropped().await["reason"] != "rate" {}
}

#[tokio::test]
async fn bytes_hold_both_ways() {
    let (relay, mut client) = client(|settings| {
        settings.limits.bytes_per_second = 1_000;
        settings.limits.unanswered = 100;
    })
    .await;
    let (socket, there) = peer().await;
    let mut datagram = ping("x");
    datagram.resize(993, 0);
    for _ in 0..5 {
        client.send(there, &datagram).await;
    }
    let counters = settled(&relay, |it| it.datagrams_out + it.dropped.bytes == 5).await;
    assert!((2..=4).contains(&counters.datagrams_out), "{counters:?}");
    assert_eq!(client.dropped().await["reason"], "bytes");
    for _ in 0..5 {
        socket.send_to(&datagram, client.address()).await.unwrap();
    }
    client.datagram().await;
    client.datagram().await;
    let dropped = counters.dropped.bytes;
    let counters = settled(&relay, |it| it.datagrams_in + it.dropped.bytes == dropped + 5).await;
    assert!((2..=4).contains(&counters.datagrams_in), "{counters:?}");
}

/// What others send is no reason to hold a client up.
#[tokio::test]
async fn a_flood_from_outside_stays_outside() {
    let (relay, mut client) = client(|settings| settings.limits.datagrams_per_second = 10).await;
    let (socket, there) = peer().await;
    for _ in 0..100 {
        socket.send_to(&ping("x"), client.address()).await.unwrap();
    }
    settled(&relay, |it| it.dropped.rate >= 11).await;
    client.send(there, &ping("x")).await;
    settled(&relay, |it| it.datagrams_out == 1).await;
    let counters = relay.counters();
    assert!(counters.datagrams_in < 30 && counters.dropped.rate < 80, "{counters:?}");
}

#[tokio::test]
async fn one_source_has_the_rates_of_few_clients() {
    let (relay, address) = relay(|settings| {
        settings.limits.spare_local = false;
        settings.limits.datagrams_per_second = 10;
        settings.limits.rates_per_source = 2;
        settings.limits.unanswered = 100;
    })
    .await;
    let (_socket, there) = peer().await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::connect(address, &Door::new("x")).await);
    }
    for client in &mut clients {
        for _ in 0..20 {
            client.send(there, &ping("x")).await;
        }
    }
    let counters = settled(&relay, |it| it.datagrams_out + it.dropped.rate == 100).await;
    assert!((40..=60).contains(&counters.datagrams_out), "{counters:?}");
}

#[tokio::test]
async fn whoever_does_not_answer_is_not_flooded() {
    let (relay, mut client) = client(|_| {}).await;
    let (socket, there) = peer().await;
    for _ in 0..50 {
        client.send(there, &ping("x")).await;
    }
    let note = client.dropped().await;
    assert_eq!((&note["reason"], &note["to"]), (&"unanswered".into(), &there.to_string().into()));
    settled(&relay, |it| it.datagrams_out == 6 && it.dropped.unanswered == 44).await;
    // Once it has answered it may be asked more at once.
    socket.send_to(&ping("x"), client.address()).await.unwrap();
    client.datagram().await;
    for _ in 0..64 {
        client.send(there, &ping("x")).await;
    }
    let mut last = ping("x");
    last.push(0);
    socket.send_to(&ping("x"), client.address()).await.unwrap();
    client.datagram().await;
    client.send(there, &last).await;
    assert_eq!(arrived(&socket, &last).await, 6 + 64);
}

#[tokio::test]
async fn not_everybody_can_be_written_to_at_once() {
    let (relay, mut client) = client(|settings| settings.limits.destinations = 3).await;
    let mut peers = Vec::new();
    for _ in 0..5 {
        peers.push(peer().await);
    }
    for (_, there) in &peers {
        client.send(*there, &ping("x")).await;
    }
    assert_eq!(client.dropped().await["reason"], "destinations");
    client.send(peers[0].1, &ping("x")).await;
    received(&peers[0].0).await;
    received(&peers[0].0).await;
    settled(&relay, |it| it.dropped.destinations == 2).await;
}

#[tokio::test]
async fn whoever_sends_nothing_is_sent_away() {
    let (relay, client) = client(|settings| settings.limits.idle = Duration::from_secs(1)).await;
    assert_eq!(client.closed().await, 4408);
    assert_eq!(relay.counters().closed_idle, 1);
}

/// A client that does not read holds up nobody and costs nothing.
#[tokio::test]
async fn a_slow_reader_costs_what_others_cost() {
    let (mut program, address) =
        super::program(&["--datagrams-per-second", "1000000", "--bytes-per-second", "1000000000"]);
    let mut slow = Client::connect(address, &Door::new("x")).await;
    let mut other = Client::connect(address, &Door::new("x")).await;
    let before = resident(program.pid());
    let (socket, there) = peer().await;
    let mut datagram = ping("x");
    datagram.resize(1_200, 0);
    // 60 MB for somebody who does not read; after each part the other client is served.
    for _ in 0..100 {
        for _ in 0..500 {
            socket.send_to(&datagram, slow.address()).await.unwrap();
        }
        other.send(there, &ping("x")).await;
        received(&socket).await;
        socket.send_to(&ping("x"), other.address()).await.unwrap();
        assert_eq!(other.datagram().await.0, there);
    }
    let after = resident(program.pid());
    assert!(after < before + (8 << 20), "{before} → {after} bytes");
    // It has what fitted into the buffers of the system, and is a client like others still.
    slow.send(there, &ping("x")).await;
    received(&socket).await;
    let last = ping("x");
    socket.send_to(&last, slow.address()).await.unwrap();
    let mut got = 0;
    while within(slow.socket.next()).await.is_some_and(|it| it.is_ok_and(|it| it.len() > 1_000)) {
        got += 1;
    }
    assert!(got > 0 && got < 50_000, "{got}");
    crate::common::kill(program.pid(), "-TERM");
    program.wait_for("counters");
}

/// What a process has in memory, bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
