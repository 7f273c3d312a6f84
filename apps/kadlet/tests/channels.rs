//! Data channels between native nodes on loopback (feature `webrtc`).

extern crate alloc;

use alloc::sync::Arc;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use kadlet::core::content::ContentId;
use kadlet::core::wire::native::Native;
use kadlet::core::wire::{Body, Message, Method, NodeInfo, Query};
use kadlet::core::{Announcement, Capabilities, Id, Outcome};
use kadlet::{ChannelStats, DEFAULT_NETWORK, Dht, FetchOptions, SharedFile, Shares};

/// A test that waits longer hangs.
const GUARD: Duration = Duration::from_secs(60);

fn block_on(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(GUARD, test).await.expect("the test hangs");
    });
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// A node that others may dial, in the network of the first.
async fn node(first: Option<&Dht>) -> Dht {
    let node = Dht::builder().listen(loopback()).webrtc(true).start().await.expect("a node");
    if let Some(first) = first {
        node.bootstrap(&[first.local_addr().into()]).await.expect("it joins");
    }
    node
}

/// Waits until the counters are as wanted.
async fn until(dht: &Dht, wanted: impl Fn(ChannelStats) -> bool) -> ChannelStats {
    loop {
        let stats = dht.channel_stats().await;
        if wanted(stats) {
            return stats;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn datagrams_go_straight_and_by_udp_again_when_the_channel_breaks() {
    block_on(async {
        let ours = node(None).await;
        let theirs = node(Some(&ours)).await;
        // Nobody dials whom UDP reaches.
        assert_eq!(theirs.channel_stats().await, ChannelStats::default());
        assert!(theirs.connect(ours.local_addr()).await);
        until(&ours, |stats| stats.open == 1).await;
        assert!(theirs.connect(ours.local_addr()).await, "there is one already");
        let key = theirs.put(b"straight").await.expect("somebody is there").key;
        let stats = theirs.channel_stats().await;
        assert!(stats.direct > 0, "{stats:?}");
        assert_eq!((stats.offered, stats.opened, stats.failed), (1, 1, 0));
        until(&ours, |stats| stats.direct > 0 && stats.accepted == 1).await;

        ours.disconnect(theirs.local_addr());
        let stats = until(&theirs, |stats| stats.open == 0).await;
        let value = theirs.get(key).await.expect("UDP is there").expect("it is kept");
        assert_eq!(value.as_bytes(), b"straight");
        let (put, _) = (theirs.put(b"by UDP").await, ours.find_node(theirs.id()).await);
        put.expect("somebody is there");
        assert_eq!(theirs.channel_stats().await.direct, stats.direct);
        // By the other one: an offer may be made once a second.
        assert!(ours.connect(theirs.local_addr()).await, "it is dialled again");
    });
}

#[test]
fn a_peer_that_stops_says_farewell() {
    block_on(async {
        let ours = node(None).await;
        let theirs = node(Some(&ours)).await;
        assert!(ours.connect(theirs.local_addr()).await);
        until(&theirs, |stats| stats.open == 1).await;
        theirs.shutdown().await;
        until(&ours, |stats| stats.open == 0).await;
    });
}

#[test]
fn signals_that_are_none_change_nothing() {
    block_on(async {
        let ours = node(None).await;
        let theirs = node(Some(&ours)).await;
        assert!(theirs.connect(ours.local_addr()).await);
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../docs/webrtc.json")).expect("JSON");
        let mut hostile = 0;
        for vector in vectors["signals"].as_array().expect("a list") {
            if vector["valid"] == true {
                continue;
            }
            hostile += 1;
            let payload = vector["payload"].as_str().expect("text").as_bytes().to_vec();
            assert_eq!(signal(&theirs, &ours, payload).await, Outcome::Success);
        }
        assert!(hostile > 50);
        // An answer to nothing that was said.
        let mut answer = vectors["signals"][6]["payload"].as_str().expect("text").to_owned();
        assert!(answer.starts_with("kadlet-rtc.2 answer"));
        answer += "\nhost 127.0.0.1 5000 1";
        signal(&theirs, &ours, answer.into_bytes()).await;
        let stats = until(&ours, |stats| stats.malformed == hostile && stats.refused == 1).await;
        assert_eq!((stats.open, stats.accepted), (1, 1));
        theirs.put(b"still there").await.expect("somebody is there");
    });
}

/// Whoever hands a signal on says who it is of, and may have made that up.
#[test]
fn an_offer_in_another_s_name_comes_to_no_channel_and_nobody_else_is_told_its_answer() {
    block_on(async {
        let ours = node(None).await;
        let named = node(Some(&ours)).await;
        let other = node(Some(&ours)).await;
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../docs/webrtc.json")).expect("JSON");
        let mut offer = vectors["signals"][0]["payload"].as_str().expect("text").to_owned();
        assert!(offer.starts_with("kadlet-rtc.2 offer"));
        offer += "\nhost 127.0.0.1 5000 1";
        // An id that is known, and an address at which another one answers.
        let origin = NodeInfo {
            id: named.id(),
            address: other.local_addr(),
            capabilities: Capabilities::NONE,
        };
        let method = Method::Signal { origin: Some(origin), payload: offer.as_bytes() };
        let query = Body::Query(Query::about(ours.id(), method));
        let mut datagram = Vec::new();
        let message = Message::new(b"12345678", Id::new([7; 20]), query);
        Native::new(DEFAULT_NETWORK).encode(&message, None, &mut datagram);
        let stranger = tokio::net::UdpSocket::bind(loopback()).await.expect("a port");
        stranger.send_to(&datagram, ours.local_addr()).await.expect("it is sent");

        let stats = until(&ours, |stats| stats.failed == 1).await;
        assert_eq!((stats.accepted, stats.opened, stats.open), (1, 0, 0));
        // An answer to nothing that they said would be refused.
        for node in [&named, &other] {
            assert_eq!(node.channel_stats().await, ChannelStats::default());
        }
    });
}

async fn signal(from: &Dht, to: &Dht, payload: Vec<u8>) -> Outcome {
    let target = to.id();
    let mut operation = from.start(false, move |node, now| Ok(node.signal(now, target, &payload)?));
    while let Some(event) = operation.next().await {
        if let Ok(kadlet::core::Event::Done { outcome, .. }) = event {
            return outcome;
        }
    }
    panic!("the operation ended without an end");
}

#[test]
fn a_provider_of_channels_alone_is_fetched_from() {
    block_on(async {
        let ours = node(None).await;
        let theirs = node(Some(&ours)).await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        // Three pieces, the last of them short.
        let bytes: Vec<u8> = (0..(5 << 19) + 7).map(|at: u32| (at % 251) as u8).collect();
        std::fs::write(&path, &bytes).expect("room");
        let file = Arc::new(SharedFile::hash(&path, |_| {}).expect("a file"));
        let id = file.id();
        assert_eq!(id, ContentId::of(&bytes));
        let shares = Shares::listen(loopback()).await.expect("a server");
        shares.add(file);
        shares.serve_by_channel(&theirs);
        let mut by_channel = Announcement::data_channel();
        by_channel.renew = false;
        theirs.announce(id.key(), by_channel).await.expect("somebody is there");

        // Who fetches is a client, which is in nobody's table.
        let client = Dht::builder().listen(loopback()).client().start().await.expect("a node");
        client.contact(&[ours.local_addr().into()]).await.expect("it is there");
        let target = folder.path().join("fetched");
        let fetched = kadlet::fetch(&client, id, &target, FetchOptions::default(), |_| {}).await;
        let fetched = fetched.expect("it is fetched");
        assert_eq!(std::fs::read(&target).expect("it is there"), bytes);
        assert_eq!(fetched.providers.keys().collect::<Vec<_>>(), [&theirs.local_addr()]);
        assert_eq!(shares.bytes_served(), bytes.len() as u64);
        assert_eq!(client.channel_stats().await.opened, 1);

        // What is not shared any more is not found, and nobody hangs for it.
        shares.remove(id);
        let again = folder.path().join("again");
        let fetched = kadlet::fetch(&client, id, &again, FetchOptions::default(), |_| {}).await;
        assert!(fetched.is_err() && !again.exists());
    });
}
