//! Who may come in, and how those who may not are told.

use core::net::SocketAddr;

use super::client::{Client, Door, refused};
use super::relay;
use crate::http::http;

async fn code(relay: SocketAddr, door: Door<'_>) -> u16 {
    refused(relay, &door).await.0
}

#[tokio::test]
async fn only_those_with_the_token_come_in() {
    let (_relay, address) = relay(|settings| settings.token = Some("se/cret".to_owned())).await;
    assert_eq!(code(address, Door::new("x")).await, 4401);
    assert_eq!(code(address, Door::new("x").with("token", "")).await, 4401);
    assert_eq!(code(address, Door::new("x").with("token", "se%2Fcre")).await, 4401);
    Client::connect(address, &Door::new("x").with("token", "se%2Fcret")).await;
}

#[tokio::test]
async fn only_pages_that_may_come_in() {
    let (_relay, address) = relay(|_| {}).await;
    let from = |origin: &str| Door::new("x").header("origin", origin);
    let (code_, reason) = refused(address, &from("https://example.org")).await;
    assert_eq!((code_, reason.contains("--origin https://example.org")), (4403, true));
    assert_eq!(code(address, from("null")).await, 4403);
    Client::connect(address, &from(&format!("http://{address}"))).await;
    Client::connect(address, &Door::new("x")).await;

    let origins = vec!["https://example.org".parse().unwrap()];
    let (_other, address) = relay(|settings| settings.origins = origins).await;
    Client::connect(address, &from("https://example.org")).await;
    assert_eq!(code(address, from("https://example.org:8443")).await, 4403);
    assert_eq!(code(address, from(&format!("http://{address}"))).await, 4403);
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_told_so() {
    let (relay, address) = relay(|_| {}).await;
    let without = |query: &str| Door { query: query.to_owned(), ..Door::new("x") };
    for query in ["", "network=", "network=00", "network=x", "network=00112233445566zz"] {
        assert_eq!(code(address, without(query)).await, 4400, "{query}");
    }
    for session in ["", "00", &"g".repeat(32), &"0".repeat(34)] {
        assert_eq!(code(address, Door::new("x").with("session", session)).await, 4400, "{session}");
    }
    // Whatever subprotocol is offered is taken, so that the reason arrives.
    for protocol in [None, Some("chat, superchat")] {
        assert_eq!(code(address, Door { protocol, ..Door::new("x") }).await, 4400);
    }
    let counters = relay.counters();
    assert_eq!((counters.refused, counters.opened), (11, 0));
    // Half of a handshake is none.
    let asked = tokio::task::spawn_blocking(move || {
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        [
            "GET /relay HTTP/1.1".to_owned(),
            format!("GET /relay HTTP/1.1\r\n{upgrade}\r\n{key}"),
            format!("GET /relay HTTP/1.1\r\n{upgrade}\r\n{key}\r\nSec-WebSocket-Version: 8"),
            format!("POST /relay HTTP/1.1\r\n{upgrade}\r\n{key}\r\nSec-WebSocket-Version: 13"),
        ]
        .map(|request| http(&address.to_string(), &request).0)
    });
    assert_eq!(asked.await.unwrap(), [426; 4]);
}

/// All clients of a relay share its prefix, of which a node's table takes ten.
#[tokio::test]
async fn on_a_public_network_few_serve() {
    let (_relay, address) = relay(|settings| {
        settings.external = vec!["8.8.8.8".parse().unwrap()];
        settings.limits.serving = 1;
    })
    .await;
    let mainline = Door { query: "network=mainline".to_owned(), ..Door::new("x") };
    let only = Client::connect(address, &mainline).await;
    assert_eq!((&only.hello["public"], &only.hello["serve"]), (&true.into(), &false.into()));
    assert_eq!(only.address().ip().to_string(), "8.8.8.8");
    assert_eq!(only.hello["stun"], format!("8.8.8.8:{}", address.port()));
    let first = Client::connect(address, &Door::new("x")).await;
    let second = Client::connect(address, &Door::new("x")).await;
    assert_eq!((&first.hello["serve"], &second.hello["serve"]), (&true.into(), &false.into()));
    // A place that becomes free is the next one's.
    first.close(1000).await;
    assert_eq!(Client::connect(address, &Door::new("x")).await.hello["serve"], true);
    // On a private network all do.
    let (_relay, address) = relay(|settings| settings.limits.serving = 0).await;
    let client = Client::connect(address, &Door::new("x")).await;
    assert_eq!((&client.hello["public"], &client.hello["serve"]), (&false.into(), &true.into()));
}

#[tokio::test]
async fn clients_are_counted_in_all_and_by_source() {
    let (_relay, address) = relay(|settings| settings.limits.clients = 2).await;
    let one = Client::connect(address, &Door::new("x")).await;
    let _two = Client::connect(address, &Door::new("x")).await;
    assert_eq!(code(address, Door::new("x")).await, 4429);
    // Whoever may come back gives way to somebody who is here.
    one.close(1001).await;
    Client::connect(address, &Door::new("x")).await;

    let proxy = "127.0.0.1".parse().unwrap();
    let (_relay, address) = relay(|settings| {
        settings.limits.clients_per_source = 1;
        settings.proxies = vec![proxy];
    })
    .await;
    let from = |ip: &str| Door::new("x").header("x-forwarded-for", ip);
    let _here = Client::connect(address, &from("9.9.9.9, 8.8.8.1")).await;
    let (code, reason) = refused(address, &from("8.8.8.2")).await;
    assert_eq!((code, reason.contains("address")), (4429, true));
    let _other = Client::connect(address, &from("8.8.9.1")).await;
    // This machine and its neighbours are one source by nature.
    let _one = Client::connect(address, &from("192.168.1.1")).await;
    let _two = Client::connect(address, &from("192.168.1.2")).await;
}
