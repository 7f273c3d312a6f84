//! The four datagrams of docs/benchmarks.md, read and written by Kadlet, mainline and bt_bencode.
//!
//! Prints the datagrams in hex, and then for each line that comes in one round: nanoseconds for
//! everyone, every message and both ways. `run.py` puts libtorrent's rounds between.

use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::time::Instant;

use kadlet_core::wire::mainline::Mainline;
use kadlet_core::wire::{
    Body, Item, List, Message, Method, NodeInfo, Peer, Query, Response, SignedItem,
};
use kadlet_core::{Capabilities, Families, Id, Rng};

/// The median of nine times so many runs, in nanoseconds a run.
fn measure<T>(runs: u32, mut run: impl FnMut() -> T) -> f64 {
    let mut times = [0.0; 9];
    for time in &mut times {
        let start = Instant::now();
        for _ in 0..runs {
            // By reference: what comes out need not be moved once more.
            black_box(&run());
        }
        *time = start.elapsed().as_secs_f64() * 1e9 / f64::from(runs);
    }
    times.sort_by(f64::total_cmp);
    times[4]
}

fn main() -> io::Result<()> {
    let mut rng = Rng::from_seed([44; 32]);
    let nodes: Vec<_> = (0..8)
        .map(|_| NodeInfo {
            id: Id::random(&mut rng),
            address: SocketAddr::from((rng.bytes::<4>(), 6881)),
            capabilities: Capabilities::NONE,
        })
        .collect();
    let peers: Vec<_> = (0..50)
        .map(|_| Peer { address: SocketAddr::from((rng.bytes::<4>(), 51413)), transports: 0 })
        .collect();
    let sender = Id::random(&mut rng);
    let value = [b"996:".as_slice(), &[b'x'; 996]].concat();
    let mut find_node = Response::default();
    find_node.nodes = List::new(&nodes);
    find_node.listed = Families::V4;
    let mut get_peers = find_node.clone();
    get_peers.token = Some(b"aoeusnth");
    get_peers.providers = List::new(&peers);
    let mut get = find_node.clone();
    get.token = Some(b"aoeusnth");
    get.item = Some(Item::Signed(SignedItem::new(&[7; 32], 1, &value, &[9; 64])));
    let method = Method::Announce {
        token: b"aoeusnth",
        port: Some(6881),
        implied_port: true,
        transports: 0,
        seed: false,
    };
    let announce = Query::about(Id::random(&mut rng), method);
    let bodies = [
        ("find_node reply", Body::Response(find_node)),
        ("get_peers reply", Body::Response(get_peers)),
        ("announce_peer", Body::Query(announce)),
        ("get reply", Body::Response(get)),
    ];
    let messages = bodies.map(|(name, body)| {
        let mut message = Message::new(b"tttt", sender, body);
        message.version = Some(b"KL01");
        let mut datagram = Vec::new();
        Mainline.encode(&message, &mut datagram);
        assert_eq!(Mainline.decode(&datagram).as_ref(), Ok(&message));
        (name, message, datagram)
    });
    let mut out = io::stdout().lock();
    for (name, _, datagram) in &messages {
        let hex: String = datagram.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "{name}\t{hex}")?;
    }
    writeln!(out)?;
    out.flush()?;
    for line in io::stdin().lock().lines() {
        line?;
        for (name, message, datagram) in &messages {
            let theirs = mainline::Message::from_bytes(datagram).expect("what everyone reads");
            let tree: bt_bencode::Value = bt_bencode::from_slice(datagram).expect("bencode");
            // It says `ro` = 0 everywhere, so that its datagrams are seven bytes longer.
            let written = theirs.to_bytes().expect("what it read");
            assert_eq!(written.len(), datagram.len() + 7);
            assert_eq!(&bt_bencode::to_vec(&tree).expect("a tree"), datagram);
            let times = [
                ("kadlet decode", measure(2_000, || Mainline.decode(black_box(datagram)))),
                (
                    "kadlet encode",
                    measure(2_000, || {
                        let mut out = Vec::new();
                        Mainline.encode(black_box(message), &mut out);
                        out
                    }),
                ),
                ("a copy", measure(2_000, || black_box(datagram).clone())),
                (
                    "mainline decode",
                    measure(200, || mainline::Message::from_bytes(black_box(datagram))),
                ),
                ("mainline encode", measure(200, || black_box(&theirs).to_bytes())),
                (
                    "bt_bencode decode",
                    measure(200, || {
                        bt_bencode::from_slice::<bt_bencode::Value>(black_box(datagram))
                    }),
                ),
                ("bt_bencode encode", measure(200, || bt_bencode::to_vec(black_box(&tree)))),
            ];
            for (what, time) in times {
                writeln!(out, "{name}\t{what}\t{time}")?;
            }
        }
        writeln!(out)?;
        out.flush()?;
    }
    Ok(())
}
