//! Nodes behind a relay, in a network of native ones.

use kadlet::core::record::{Item, Value};
use kadlet::core::{Event, GetQuery, Id, Outcome, PutOptions};

use super::client::{Client, Door, Relayed, ping};
use super::{peer, program, received, relay};
use crate::common::{ask, kill, network_of};

#[test]
fn a_node_behind_a_relay_is_a_node_like_any_other() {
    let nodes = network_of(4, "relayed");
    let network = nodes[0].network.clone();
    let stored = ask(&nodes[1], &["put", "from a native node"]).succeeded();
    let key: Id = stored.event("stored")["key"].as_str().unwrap().parse().unwrap();
    let (mut program, address) = program(&[]);

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (node, put) = runtime.block_on(async {
        let mut node = Relayed::start(address, &network, Id::new([7; 20]), [7; 32]).await;
        node.bootstrap(&nodes[2].addr);
        node.until(|event| matches!(event, Event::Done { .. }).then_some(())).await;
        let now = node.now();
        let get = node.node.get(now, GetQuery::new(key));
        let item = node
            .until(|event| match event {
                Event::Value { operation, item, .. } if operation == get => Some(item),
                _ => None,
            })
            .await;
        let Item::Immutable(value) = item else { panic!("it is not signed") };
        assert_eq!(value.as_bytes(), b"from a native node");

        let item = Item::Immutable(Value::new("from behind a relay").unwrap());
        let (now, put) = (node.now(), item.key());
        let operation = node.node.put(now, item, PutOptions::default()).unwrap();
        let outcome = node
            .until(|event| match event {
                Event::Done { operation: it, outcome, .. } if it == operation => Some(outcome),
                _ => None,
            })
            .await;
        assert_eq!(outcome, Outcome::Success);
        (node, put)
    });
    let told = ask(&nodes[0], &["value", &put.to_string()]).succeeded();
    assert_eq!(told.event("value")["value"], "66726f6d20626568696e6420612072656c6179");

    // It serves others as well: a lookup of its id asks it, at the relay's address, and it answers.
    let id = node.node.id().to_string();
    let expected = node.client.address().to_string();
    let serving = std::thread::spawn(move || {
        let mut node = node;
        runtime.block_on(async {
            // Until the relay stops, which the test asks for when the lookup is done.
            let served = node.until(|_| None::<()>);
            tokio::time::timeout(core::time::Duration::from_secs(15), served).await
        })
    });
    let found = ask(&nodes[3], &["lookup", &id, "--trace"]).succeeded();
    let answered = found.events("answered");
    assert!(answered.iter().any(|it| it["id"] == *id && it["addr"] == *expected), "{found:?}");
    kill(program.pid(), "-TERM");
    let counters = program.wait_for("counters");
    assert!(counters["datagrams_in"].as_u64() > Some(0) && counters["opened"] == 1, "{counters}");
    assert_eq!(program.ended(), Some(0));
    assert!(serving.join().is_err(), "the connection was closed under it");
}

#[tokio::test]
async fn datagrams_pass_unchanged_both_ways() {
    let (_relay, address) = relay(|_| {}).await;
    let mut client = Client::connect(address, &Door::new("x")).await;
    let (socket, there) = peer().await;
    let mut datagram = ping("x");
    datagram.extend([0xab; 1_000]);
    client.send(there, &datagram).await;
    assert_eq!(received(&socket).await, (client.address(), datagram.clone()));
    // Anybody may write to the client's port, as to any node's.
    let (stranger, other) = peer().await;
    stranger.send_to(&ping("x"), client.address()).await.unwrap();
    assert_eq!(client.datagram().await, (other, ping("x")));
    // Neither is it cut short, nor is what is no datagram of a node passed on.
    datagram.resize(1_232, 1);
    for bad in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xfe; 1_233], &[]] {
        socket.send_to(bad, client.address()).await.unwrap();
    }
    socket.send_to(&datagram, client.address()).await.unwrap();
    assert_eq!(client.datagram().await, (there, datagram));
}

#[tokio::test]
async fn a_relay_of_both_families_gives_a_port_of_each() {
    let Ok(six) = tokio::net::UdpSocket::bind("[::1]:0").await else {
        // A machine without IPv6 has nothing to relay to.
        return;
    };
    let listen = ["127.0.0.1:0", "[::1]:0"].map(|address| address.parse().unwrap());
    let (_relay, address) = relay(|settings| settings.listen = listen.to_vec()).await;
    let mut client = Client::connect(address, &Door::new("x")).await;
    let addresses: Vec<core::net::SocketAddr> = client.hello["addresses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|address| address.as_str().unwrap().parse().unwrap())
        .collect();
    assert!(addresses[0].is_ipv4() && addresses[1].is_ipv6(), "{addresses:?}");
    assert_eq!(addresses[0].port(), addresses[1].port());
    let (four, there) = peer().await;
    client.send(there, &ping("x")).await;
    assert_eq!(received(&four).await, (addresses[0], ping("x")));
    client.send(six.local_addr().unwrap(), &ping("x")).await;
    assert_eq!(received(&six).await, (addresses[1], ping("x")));
    four.send_to(&ping("x"), addresses[0]).await.unwrap();
    assert_eq!(client.datagram().await.0, there);
    six.send_to(&ping("x"), addresses[1]).await.unwrap();
    assert_eq!(client.datagram().await.0, six.local_addr().unwrap());
}

#[tokio::test]
async fn two_clients_of_one_relay_meet() {
    let (_relay, address) = relay(|_| {}).await;
    let mut one = Client::connect(address, &Door::new("x")).await;
    let mut two = Client::connect(address, &Door::new("x")).await;
    assert_ne!(one.address(), two.address());
    one.send(two.address(), &ping("x")).await;
    assert_eq!(two.datagram().await, (one.address(), ping("x")));
    two.send(one.address(), &ping("x")).await;
    assert_eq!(one.datagram().await, (two.address(), ping("x")));
}

#[tokio::test]
async fn mainline_is_relayed_by_its_own_shape() {
    let (_relay, address) = relay(|_| {}).await;
    let door = Door { query: "network=mainline".to_owned(), ..Door::new("x") };
    let mut client = Client::connect(address, &door).await;
    assert_eq!(client.hello["mtu"], 1_500);
    let (socket, there) = peer().await;
    let krpc = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
    client.send(there, &ping("x")).await;
    client.send(there, krpc).await;
    assert_eq!(received(&socket).await, (client.address(), krpc.to_vec()));
    assert_eq!(client.dropped().await["reason"], "malformed");
    let answer = b"d1:rd2:id20:0123456789abcdefghije1:t2:aa1:y1:re";
    socket.send_to(&ping("x"), client.address()).await.unwrap();
    socket.send_to(answer, client.address()).await.unwrap();
    assert_eq!(client.datagram().await, (there, answer.to_vec()));
}
