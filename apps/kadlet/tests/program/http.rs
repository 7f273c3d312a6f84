//! The provider's side as any page meets it: docs/content.md, section HTTP.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use kadlet::core::content::{ContentId, Link};

use crate::common::{Node, ask, network_of, run};
use crate::files::{PIECE, list_of, noise, text};

/// One request and its answer, by hand: status, head in lower case, body.
pub(crate) fn http(addr: &str, request: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(stream, "{request}\r\nHost: {addr}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}

/// What is announced is one port, to everybody who reaches one of the node's sockets.
#[test]
fn the_bytes_are_served_wherever_the_node_listens() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        // A machine without IPv6 has one address to serve at.
        return;
    }
    let nodes = network_of(1, "everywhere");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("file");
    fs::write(&source, "the same everywhere").unwrap();
    let at = |address: &str, id: ContentId| {
        let (status, _, body) = http(address, &format!("GET /blake3/{id} HTTP/1.1"));
        assert_eq!((status, body.as_slice()), (200, &b"the same everywhere"[..]), "{address}");
    };
    let id = ContentId::of(b"the same everywhere");
    let mut sharer = Node::share(&nodes[0], &["--listen", "[::1]:0", text(&source)]);
    let shared = sharer.wait_for("shared")["http"].as_str().unwrap().to_owned();
    let port = shared.strip_prefix("127.0.0.1:").unwrap();
    for address in [&shared, &format!("[::1]:{port}")] {
        at(address, id);
    }
    // Who speaks IPv6 alone finds it there.
    let target = dir.path().join("target");
    let by_v6 = ["get", &Link::new(id).to_string(), "-o", text(&target), "--json", "--no-lan"];
    let v6 = sharer.addrs[1].as_str();
    let from = ["--listen", "[::1]:0", "--bootstrap", v6, "--network", &nodes[0].network];
    let got = run(&[&by_v6[..], &from].concat()).succeeded();
    assert_eq!(got.event("done")["from"], serde_json::json!([format!("[::1]:{port}")]));
    drop(sharer);
    // Where it is told to, at one port too.
    let (first, second) = (format!("127.0.0.1:{port}"), "[::1]:0".to_owned());
    let mut sharer = Node::share(&nodes[0], &["--http", &second, "--http", &first, text(&source)]);
    let shared = sharer.wait_for("shared")["http"].as_str().unwrap().to_owned();
    assert_eq!(shared, format!("[::1]:{port}"));
    for address in [&first, &shared] {
        at(address, id);
    }
    let two = ["share", text(&source), "--http", "127.0.0.1:4000", "--http", "[::1]:4001"];
    let message = ask(&nodes[0], &two);
    assert!(message.failed(2, "usage")["message"].as_str().unwrap().contains("two ports"));
}

/// docs/content.md, section HTTP.
#[test]
fn the_bytes_are_served_as_documented() {
    let nodes = network_of(1, "http");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("file");
    let bytes = noise(16, PIECE + 1000);
    fs::write(&source, &bytes).unwrap();
    let mut sharer = Node::share(&nodes[0], &[text(&source)]);
    let addr = sharer.wait_for("shared")["http"].as_str().unwrap().to_owned();
    let list = list_of(&bytes);
    let id = list.id();
    let file = format!("/blake3/{id}");
    let (size, last) = (bytes.len(), bytes.len() - 1);

    let (status, head, body) = http(&addr, &format!("GET {file} HTTP/1.1"));
    assert!(status == 200 && body == bytes);
    for line in [
        "access-control-allow-origin: *",
        "accept-ranges: bytes",
        "content-type: application/octet-stream",
        &format!("content-length: {size}"),
        &format!("etag: \"{id}\""),
        "cache-control: public, max-age=31536000, immutable",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    for (range, from, to) in [
        (format!("bytes=0-{last}"), 0, size),
        ("bytes=1048570-1048580".to_owned(), 1_048_570, 1_048_581),
        ("bytes=1048576-".to_owned(), PIECE, size),
        ("bytes=-1".to_owned(), last, size),
        (format!("bytes={last}-{}", u64::MAX), last, size),
    ] {
        let (status, head, body) = http(&addr, &format!("GET {file} HTTP/1.1\r\nRange: {range}"));
        assert!(status == 206 && body == bytes[from..to], "{range}: {head}");
        let said = format!("content-range: bytes {from}-{}/{size}", to - 1);
        assert!(head.contains(&said), "{range}: {head}");
        assert!(head.contains("access-control-expose-headers: content-range"), "{head}");
        let (status, head, body) = http(&addr, &format!("HEAD {file} HTTP/1.1\r\nRange: {range}"));
        assert!(status == 206 && body.is_empty() && head.contains(&said), "{range}: {head}");
        assert!(head.contains(&format!("content-length: {}", to - from)), "{range}: {head}");
    }
    let (status, head, body) = http(&addr, &format!("GET {file}/hashes HTTP/1.1"));
    assert!(status == 200 && body == list.encode(), "{head}");
    let (status, head, body) = http(&addr, &format!("HEAD {file}/hashes HTTP/1.1"));
    assert!(status == 200 && body.is_empty(), "{head}");
    assert!(head.contains(&format!("content-length: {}", list.encode().len())), "{head}");

    for range in [format!("bytes={size}-"), "bytes=5-4".to_owned(), "bytes=-0".to_owned()] {
        let (status, head, body) = http(&addr, &format!("GET {file} HTTP/1.1\r\nRange: {range}"));
        assert!(status == 416 && body.is_empty(), "{range}: {head}");
        assert!(head.contains(&format!("content-range: bytes */{size}")), "{head}");
    }
    let other = ContentId::of(b"not shared");
    for path in [&format!("/blake3/{other}"), &format!("/blake3/{other}/hashes"), "/", "/../file"] {
        let (status, head, _) = http(&addr, &format!("GET {path} HTTP/1.1"));
        assert!(status == 404 && head.contains("access-control-allow-origin: *"), "{path}: {head}");
    }
    let (status, head, _) = http(&addr, &format!("OPTIONS {file} HTTP/1.1"));
    assert!(status == 204 && head.contains("access-control-allow-headers: range"), "{head}");
    let (status, head, _) = http(&addr, &format!("POST {file} HTTP/1.1\r\nContent-Length: 0"));
    assert!(status == 405 && head.contains("allow: get, head, options"), "{head}");
}
