//! What a browser gets over HTTP.

use std::fs;

use super::program;
use crate::files::text;
use crate::http::http;

#[test]
fn the_page_is_served_and_nothing_else() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let dir = outside.path().join("web");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("index.html"), "<!doctype html>").unwrap();
    fs::write(dir.join("node.js"), "export {}").unwrap();
    fs::write(dir.join("core.wasm"), "\0asm").unwrap();
    let (_relay, address) = program(&["--web", text(&dir)]);
    let address = address.to_string();
    let get = |path: &str| http(&address, &format!("GET {path} HTTP/1.1"));
    for (path, kind, bytes) in [
        ("/", "text/html; charset=utf-8", &b"<!doctype html>"[..]),
        ("/node.js", "text/javascript; charset=utf-8", b"export {}"),
        ("/core.wasm?v=1", "application/wasm", b"\0asm"),
    ] {
        let (status, head, body) = get(path);
        assert!(status == 200 && body == bytes, "{path}: {head}");
        for line in [
            &format!("content-type: {kind}"),
            "x-content-type-options: nosniff",
            "script-src 'self' 'wasm-unsafe-eval'",
            "connect-src 'self' ws: wss: http: https:",
        ] {
            assert!(head.contains(line), "{path}: no {line} in {head}");
        }
        assert!(!head.contains("unsafe-inline") && !head.contains("'unsafe-eval'"), "{head}");
    }
    let (status, head, body) = http(&address, "HEAD / HTTP/1.1");
    assert!(status == 200 && body.is_empty() && head.contains("content-length: 15"), "{head}");
    for path in ["/../secret", "/%2e%2e/secret", "/web/../../secret", "/nothing", "//", "/secret"] {
        assert_eq!(get(path).0, 404, "{path}");
    }
    let (status, head, _) = http(&address, "POST / HTTP/1.1\r\nContent-Length: 0");
    assert!(status == 405 && head.contains("allow: get, head"), "{head}");
}

#[test]
fn the_counters_are_for_this_machine() {
    let (_relay, address) = program(&[]);
    let address = address.to_string();
    let (status, _, body) = http(&address, "GET /counters HTTP/1.1");
    let counters: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert!(status == 200 && counters["clients"] == 0 && counters["dropped"]["rate"] == 0);
    for header in ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: ::1"] {
        let request = format!("GET /counters HTTP/1.1\r\n{header}");
        assert_eq!(http(&address, &request).0, 403, "{header}");
    }
    // A page whose name leads here.
    let name = "GET /counters HTTP/1.1\r\nHost: evil.example";
    assert_ne!(http(&address, name).0, 200);
    // There is no page here.
    assert_eq!(http(&address, "GET / HTTP/1.1").0, 404);
}
