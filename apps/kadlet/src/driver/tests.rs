use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::net::UdpSocket;

use kadlet_core::{Config, Id, LinkId, Outcome, Path, PeerFailure, Totals};

use super::*;
use crate::dht::Dht;
use crate::operation::Operation;

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

async fn dht() -> Dht {
    Dht::builder().listen(loopback()).start().await.expect("a node")
}

async fn end_of(mut operation: Operation) -> Outcome {
    while let Some(event) = operation.next().await {
        if let Ok(Event::Done { outcome, .. }) = event {
            return outcome;
        }
    }
    panic!("the operation ended without an end");
}

/// Mistake 30: a receive error that belongs to an earlier send ending the socket loop.
#[test]
fn a_refused_datagram_does_not_end_the_loop() {
    block_on(async {
        let [link] = Link::open_all(&[loopback()]).expect("a socket").try_into().expect("one");
        // A second handle to the same socket: connected, it hears what became of its datagrams.
        let same: UdpSocket =
            socket2::SockRef::from(&link.udp).try_clone().expect("a handle").into();
        let (commands, incoming) = mpsc::unbounded_channel();
        let counters = Arc::new(Counters::default());
        let clock = Clock::start();
        let node = Node::new(Config::default(), Id::new([1; 20]), [1; 32], clock.now());
        let driver = Driver::new(Parts {
            node,
            links: vec![link],
            clock,
            commands: incoming,
            notices: broadcast::channel(1).0,
            journal: None,
            #[cfg(feature = "webrtc")]
            channels: false,
            lan: None,
            lan_found: watch::channel(0).0,
            counters: Arc::clone(&counters),
            unwritable: watch::channel(None).0,
        });
        let running = tokio::spawn(driver.run());

        let dead = UdpSocket::bind(loopback()).expect("a socket").local_addr().expect("bound");
        same.connect(dead).expect("UDP connects to anything");
        same.send(b"is anybody there?").expect("the refusal comes later");
        // It lies before the next datagram, from the one address that is still heard.
        let revived = UdpSocket::bind(dead).expect("free again");
        revived.send_to(b"late", same.local_addr().expect("bound")).expect("room");
        while counters.receive_errors.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }

        // The loop goes on: a node that lives is met over the same socket.
        let peer = dht().await;
        same.connect(peer.local_addr()).expect("UDP connects to anything");
        let path = Path::direct(peer.local_addr());
        let (events, receiver) = mpsc::channel(64);
        let start: Start = Box::new(move |node, now| Ok(node.bootstrap(now, &[path])));
        let ticket = Ticket(0);
        let wish = Command::Start { ticket, start, events, trace: false };
        commands.send(wish).map_err(drop).expect("the loop runs");
        let operation = Operation::new(receiver, ticket, commands.clone());
        assert_eq!(end_of(operation).await, Outcome::Success);
        assert!(!running.is_finished());
    });
}

/// Mistake 30, the other half: an error of a send belongs to that path, and is told to the node.
#[test]
fn a_send_that_fails_fails_its_path_at_once() {
    block_on(async {
        let (ours, peer) = (dht().await, dht().await);
        // From a loopback socket nothing can be sent there.
        let beyond = Path { link: LinkId(0), remote: "8.8.8.8:53".parse().expect("an address") };
        let mut operation = ours.start(true, move |node, now| Ok(node.bootstrap(now, &[beyond])));
        let mut reasons = Vec::new();
        while let Some(event) = operation.next().await {
            if let Ok(Event::Failed { reason, .. }) = event {
                reasons.push(reason);
            }
        }
        assert_eq!(reasons, [PeerFailure::PathFailed]);
        assert_eq!(ours.host_stats().send_errors, 1);
        ours.bootstrap(&[peer.local_addr().into()]).await.expect("the loop goes on");
    });
}

#[test]
fn leaving_an_operation_ends_it_in_the_core() {
    block_on(async {
        let ours = dht().await;
        let silent = UdpSocket::bind(loopback()).expect("a socket");
        let path = Path::direct(silent.local_addr().expect("bound"));
        let mut operation = ours.start(true, move |node, now| Ok(node.bootstrap(now, &[path])));
        // The question is out, and no answer will come.
        while !matches!(operation.next().await, Some(Ok(Event::Asked { .. }))) {}
        assert_eq!(ours.health().await.expect("it runs").operations, 1);
        drop(operation);
        assert_eq!(ours.health().await.expect("it runs").operations, 0);
    });
}

#[test]
fn the_last_handle_stops_the_node_and_frees_its_port() {
    block_on(async {
        let ours = dht().await;
        let address = ours.local_addr();
        let lookup = ours.lookup(Id::new([3; 20]));
        drop(ours);
        // An operation is a handle too.
        assert!(UdpSocket::bind(address).is_err());
        drop(lookup);
        while UdpSocket::bind(address).is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn after_a_shutdown_everything_says_so() {
    block_on(async {
        let ours = dht().await;
        ours.shutdown().await;
        let handle = ours.clone();
        assert_eq!(handle.get(Id::ZERO).await, Err(Error::Closed));
        assert_eq!(handle.health().await.err(), Some(Error::Closed));
        handle.shutdown().await;
        UdpSocket::bind(ours.local_addr()).expect("the port is free");
    });
}

#[test]
fn a_receiver_that_does_not_keep_up_still_hears_the_end() {
    let (events, mut receiver) = mpsc::channel(3);
    let sink = Sink { ticket: Ticket(0), events, trace: false };
    let operation = OperationId(7);
    for _ in 0..10 {
        let (address, transports) = (loopback(), kadlet_core::record::Transports::NONE);
        sink.send(Event::Provider { operation, address, transports, holder: Id::ZERO });
    }
    sink.send(Event::Done {
        operation,
        outcome: Outcome::Success,
        closest: Vec::new(),
        totals: Totals::default(),
    });
    let mut heard = Vec::new();
    while let Ok(Ok(event)) = receiver.try_recv() {
        heard.push(event);
    }
    assert_eq!(heard.len(), 3);
    assert!(matches!(heard.last(), Some(Event::Done { .. })));
}

#[test]
fn a_share_is_safe_as_soon_as_that_is_said() {
    block_on(async {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let start = || Dht::builder().listen(loopback()).data(dir.path()).start();
        let ours = start().await.expect("a node");
        ours.keep_share("one", b"1".to_vec()).await.expect("room");
        ours.keep_share("two", b"2".to_vec()).await.expect("room");
        ours.forget_share("one").await.expect("room");
        // As a kill would leave it: what lies in the folder at this moment.
        let copy = tempfile::tempdir().expect("a temporary folder");
        let (from, to) = (dir.path().join("kadlet.redb"), copy.path().join("kadlet.redb"));
        std::fs::copy(from, to).expect("room");
        let after =
            Dht::builder().listen(loopback()).data(copy.path()).start().await.expect("a node");
        assert_eq!(after.kept_shares(), [("two".to_owned(), b"2".to_vec())]);
        assert_eq!(after.id(), ours.id());
        assert!(after.damage().is_empty());
    });
}
