//! No descriptors left: named, waited for, and nobody else's fault.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use kadlet::core::content::ContentId;
use rlimit::Resource;

use crate::common::{Node, network, network_of};
use crate::files::{PIECE, get, link, noise, text};

/// Fewer than any process has open: nothing further can be opened.
const NONE: u64 = 3;
/// As many as the program needs, and more.
const ENOUGH: u64 = 256;

#[test]
fn who_fetches_waits_until_there_are_descriptors() {
    let nodes = network_of(2, "descriptors");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("file");
    let bytes = noise(20, 100_000);
    fs::write(&source, &bytes).unwrap();
    let mut sharer = Node::share(&nodes[0], &[text(&source)]);
    let shared = sharer.wait_for("shared");
    sharer.limit(Resource::NOFILE, NONE);
    let target = dir.path().join("target");
    std::thread::scope(|scope| {
        let got = scope.spawn(|| get(&nodes[1], &link(&shared), &target).succeeded());
        let warning = sharer.wait_for("warning");
        assert_eq!(warning["code"], "no_descriptors");
        assert!(warning["message"].as_str().unwrap().contains("ulimit"), "{warning}");
        sharer.limit(Resource::NOFILE, ENOUGH);
        assert!(got.join().unwrap().events("rejected").is_empty());
    });
    assert_eq!(fs::read(&target).unwrap(), bytes);
}

/// A connection that is there already asks for a file that cannot be opened for now: it is not
/// taken for one that has changed.
#[test]
fn a_file_that_has_no_descriptor_is_still_shared() {
    let nodes = network_of(1, "opening");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("file");
    fs::write(&source, "all of it").unwrap();
    let mut sharer = Node::share(&nodes[0], &[text(&source)]);
    let addr = sharer.wait_for("shared")["http"].as_str().unwrap().to_owned();
    let mut stream = BufReader::new(TcpStream::connect(&addr).unwrap());
    let path = format!("/blake3/{}", ContentId::of(b"all of it"));
    let head = |method: &str, stream: &mut BufReader<TcpStream>| {
        write!(stream.get_mut(), "{method} {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").unwrap();
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).unwrap();
        }
    };
    // Answered: the connection has been taken.
    head("HEAD", &mut stream);
    sharer.limit(Resource::NOFILE, NONE);
    head("GET", &mut stream);
    assert_eq!(sharer.wait_for("warning")["code"], "no_descriptors");
    sharer.limit(Resource::NOFILE, ENOUGH);
    let mut body = [0; 9];
    stream.read_exact(&mut body).unwrap();
    assert_eq!(&body, b"all of it");
}

#[test]
fn a_command_that_gets_none_says_what_to_change() {
    let name = network("none-at-all");
    let listen = ["node", "--json", "--no-lan", "--listen", "127.0.0.1:0", "--network", &name];
    // From none beyond the standard three to one too few.
    let mut refused = 0;
    for limit in 3..64 {
        let mut node = Node::spawn_limited(&name, &format!("-n {limit}"), &listen);
        // With the least of all the system does not even load the program.
        let Some(first) = node.next() else {
            assert_eq!((refused, node.ended()), (0, Some(127)));
            continue;
        };
        if first["event"] == "listening" {
            break;
        }
        assert_eq!((&first["event"], &first["code"]), (&"error".into(), &"no_descriptors".into()));
        assert!(first["message"].as_str().unwrap().contains("ulimit"), "{first}");
        assert_eq!(node.ended(), Some(2));
        refused += 1;
    }
    assert!((1..60).contains(&refused), "{refused}");
    let mut demo = Node::spawn_limited(&name, "-n 100", &["demo", "--json"]);
    assert_eq!(demo.wait_for("error")["code"], "no_descriptors");
    assert_eq!(demo.ended(), Some(2));
}

/// Neither the file nor its provider is to blame.
#[test]
fn a_fetch_that_gets_none_says_what_to_change_and_goes_on_with_more() {
    let nodes = network_of(1, "starved");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("file");
    let bytes = noise(21, 3 * PIECE);
    fs::write(&source, &bytes).unwrap();
    let mut sharer = Node::share(&nodes[0], &[text(&source)]);
    let link = link(&sharer.wait_for("shared"));
    let target = dir.path().join("target");
    let fetch = ["get", &link, "-o", text(&target), "--json", "--no-lan"];
    // More sockets than the runtime asks for beforehand, so that the connection is the one too many.
    let sockets = ["--listen", "127.0.0.1:0"].repeat(12);
    let all = [&fetch[..], &["--network", &nodes[0].network], &sockets].concat();
    let mut refused = 0;
    for limit in 3..64 {
        let mut getting = Node::spawn_limited("", &format!("-n {limit}"), &all);
        let Some(last) = core::iter::from_fn(|| getting.next()).last() else {
            assert_eq!((refused, getting.ended()), (0, Some(127)));
            continue;
        };
        if last["event"] == "done" {
            break;
        }
        assert_eq!((getting.ended(), &last["code"]), (Some(2), &"no_descriptors".into()), "{last}");
        refused += 1;
    }
    assert!((1..60).contains(&refused), "{refused}");
    assert_eq!(fs::read(&target).unwrap(), bytes);
}
