//! Coming back, and leaving for good.

use core::time::Duration;

use super::client::{Client, Door, ping, within};
use super::{peer, received, relay};

fn again(client: &Client) -> Door<'static> {
    Door::new("x").with("session", client.session())
}

#[tokio::test]
async fn whoever_comes_back_has_his_port() {
    let (relay, address) = relay(|_| {}).await;
    let (socket, there) = peer().await;
    let client = Client::connect(address, &Door::new("x")).await;
    let (door, mine) = (again(&client), client.address());
    assert_eq!(client.hello["resumed"], false);
    // The line breaks; what comes meanwhile waits.
    drop(client);
    socket.send_to(&ping("x"), mine).await.unwrap();
    let mut client = Client::connect(address, &door).await;
    assert_eq!((&client.hello["resumed"], client.address()), (&true.into(), mine));
    assert_eq!(client.datagram().await, (there, ping("x")));
    // A page that is loaded anew says that it goes away.
    client.close(1001).await;
    let client = Client::connect(address, &door).await;
    assert_eq!((&client.hello["resumed"], client.address()), (&true.into(), mine));
    // Another network's datagrams are another client's.
    let other = Door::new("y").with("session", client.session());
    assert_eq!(Client::connect(address, &other).await.hello["resumed"], false);
    // Whoever leaves on purpose is gone.
    client.close(1000).await;
    let client = Client::connect(address, &door).await;
    assert_eq!(client.hello["resumed"], false);
    assert_ne!(client.address(), mine);
    assert_eq!((relay.counters().opened, relay.counters().resumed), (3, 2));
}

/// A line that was cut without a word: nobody answers the pings.
#[tokio::test]
async fn whoever_does_not_answer_pings_is_not_there() {
    let (relay, address) = relay(|settings| settings.limits.silent = Duration::from_secs(3)).await;
    let mut here = Client::connect(address, &Door::new("x")).await;
    let gone = Client::connect(address, &Door::new("x")).await;
    let door = again(&gone);
    // Whoever reads answers by reading.
    let reading = tokio::spawn(async move { here.datagram().await });
    within(async {
        while relay.counters().clients > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!((relay.counters().sessions, reading.is_finished()), (2, false));
    // He may come back.
    assert_eq!(Client::connect(address, &door).await.hello["resumed"], true);
    reading.abort();
}

#[tokio::test]
async fn the_latest_connection_has_the_session() {
    let (_relay, address) = relay(|_| {}).await;
    let (socket, there) = peer().await;
    let first = Client::connect(address, &Door::new("x")).await;
    let door = again(&first);
    let mut second = Client::connect(address, &door).await;
    assert_eq!((&second.hello["resumed"], second.address()), (&true.into(), first.address()));
    assert_eq!(first.closed().await, 4409);
    socket.send_to(&ping("x"), second.address()).await.unwrap();
    assert_eq!(second.datagram().await, (there, ping("x")));
}

#[tokio::test]
async fn a_port_rests_when_its_client_is_gone() {
    // Two ports, of which the second is never somebody else's here.
    let (_socket, free) = peer().await;
    let port = free.port();
    drop(_socket);
    let (relay, address) = relay(|settings| {
        settings.ports = port..=port;
        settings.limits.grace = Duration::from_secs(1);
        settings.limits.port_rest = Duration::from_secs(3);
    })
    .await;
    let mut client = Client::connect(address, &Door::new("x")).await;
    assert_eq!(client.address().port(), port);
    let door = again(&client);
    // A port that nobody heard of would be free at once.
    let (socket, there) = peer().await;
    client.send(there, &ping("x")).await;
    received(&socket).await;
    client.close(1001).await;
    let (code, reason) = super::client::refused(address, &Door::new("x")).await;
    assert_eq!((code, reason.contains("port")), (4429, true));
    // Within the grace time it is its own client's; then nobody's; then anybody's.
    Client::connect(address, &door).await.close(1001).await;
    within(async {
        while relay.counters().sessions > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let (code, _) = super::client::refused(address, &door).await;
    assert_eq!(code, 4429);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let client = Client::connect(address, &door).await;
    assert_eq!((&client.hello["resumed"], client.address().port()), (&false.into(), port));
}

#[tokio::test]
async fn a_relay_that_stops_says_so() {
    let (relay, address) = relay(|_| {}).await;
    let one = Client::connect(address, &Door::new("x")).await;
    let two = Client::connect(address, &Door::new("x")).await;
    let stopping = tokio::spawn(relay.stop());
    assert_eq!((one.closed().await, two.closed().await), (4503, 4503));
    within(stopping).await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
