//! Files of native providers, passed on to pages.

use core::net::SocketAddr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use kadlet::core::content::ContentId;

use super::client::{Client, Door, GUARD, ping};
use super::limits::settled;
use super::{program, relay};
use crate::common::{Node, network_of};
use crate::files::{PIECE, list_of, noise, text};
use crate::http::http;

/// A client of a relay, for its session.
fn client(runtime: &tokio::runtime::Runtime, relay: SocketAddr) -> Client {
    runtime.block_on(Client::connect(relay, &Door::new("x")))
}

#[test]
fn a_page_fetches_through_the_relay() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let nodes = network_of(1, "relay-fetch");
    let dir = tempfile::tempdir().unwrap();
    let bytes = noise(17, 2 * PIECE + 1000);
    fs::write(dir.path().join("file"), &bytes).unwrap();
    let mut sharer = Node::share(&nodes[0], &[text(&dir.path().join("file"))]);
    let provider = sharer.wait_for("shared")["http"].as_str().unwrap().to_owned();
    let (_relay, address) = program(&[]);
    let client = client(&runtime, address);
    let (list, relay) = (list_of(&bytes), address.to_string());
    let (id, session) = (list.id(), client.session().to_owned());
    let path = format!("/fetch/{provider}/blake3/{id}");
    let ask = |method: &str, path: &str, headers: &str| {
        http(&relay, &format!("{method} {path}?session={session} HTTP/1.1{headers}"))
    };

    let (status, head, body) = ask("GET", &path, "\r\nRange: bytes=1048570-2097160");
    assert!(status == 206 && body == bytes[1_048_570..2_097_161], "{head}");
    for line in [
        &format!("content-range: bytes 1048570-2097160/{}", bytes.len()),
        "content-length: 1048591",
        "access-control-allow-origin: *",
        "access-control-expose-headers: content-range, content-length, kadlet-relay, retry-after",
        "cache-control: no-store",
        "content-type: application/octet-stream",
        "content-disposition: attachment",
        "x-content-type-options: nosniff",
        "sandbox",
    ] {
        assert!(head.contains(line), "no {line}: {head}");
    }
    let (status, head, body) = ask("GET", &format!("{path}/hashes"), "");
    assert!(status == 200 && body == list.encode(), "{head}");
    let (status, head, body) = ask("HEAD", &path, "\r\nRange: bytes=0-9");
    assert!(status == 206 && body.is_empty() && head.contains("content-length: 10"), "{head}");
    let (status, head, _) = ask("OPTIONS", &path, "");
    assert!(status == 204 && head.contains("access-control-allow-headers: range"), "{head}");
    assert_eq!(ask("POST", &path, "\r\nContent-Length: 0").0, 405);

    // What the provider says to a question that it cannot answer.
    let other = ContentId::of(b"not shared");
    let none = format!("/fetch/{provider}/blake3/{other}/hashes");
    assert_eq!(ask("GET", &none, "").0, 404);
    assert_eq!(ask("GET", &path, "\r\nRange: bytes=9000000-9000001").0, 416);
    // What is not asked at all.
    for headers in ["", "\r\nRange: bytes=5-", "\r\nRange: bytes=0-99999999"] {
        assert_eq!(ask("GET", &path, headers).0, 400, "{headers}");
    }
    for bad in ["/fetch/", "/fetch/x/blake3/y", &format!("/fetch/{provider}/{id}")] {
        assert_eq!(ask("GET", bad, "").0, 404, "{bad}");
    }
    assert_eq!(ask("GET", &format!("/fetch/127.0.0.1:80/blake3/{id}/hashes"), "").0, 403);
    for session in ["", "?session=", &format!("?session={}", "0".repeat(32))] {
        let (status, head, _) = http(&relay, &format!("GET {path}/hashes{session} HTTP/1.1"));
        assert!(status == 403 && head.contains("access-control-allow-origin: *"), "{head}");
    }
    assert_eq!(sharer.stop(), Some(0));
    assert_eq!(ask("GET", &format!("{path}/hashes"), "").0, 502);
}

#[test]
fn private_providers_are_not_asked() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut relay = Node::spawn("", &["relay", "--json", "--listen", "127.0.0.1:0"]);
    let address = relay.wait_for("listening")["addr"].as_str().unwrap().to_owned();
    let client = client(&runtime, address.parse().unwrap());
    let id = ContentId::of(b"");
    for provider in ["127.0.0.1:4000", "10.0.0.1:4000", "[::1]:4000", "169.254.169.254:4000"] {
        let path = format!("/fetch/{provider}/blake3/{id}/hashes?session={}", client.session());
        assert_eq!(http(&address, &format!("GET {path} HTTP/1.1")).0, 403, "{provider}");
    }
}

/// Answers one request after the other with these texts.
fn provider(answers: Vec<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4_096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn a_provider_that_lies_leads_nowhere() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_relay, address) = program(&[]);
    let client = client(&runtime, address);
    let answers = [
        ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 502),
        ("HTTP/1.1 206 Partial Content\r\nContent-Length: 11\r\n\r\n01234567890", 502),
        ("HTTP/1.1 206 Partial Content\r\n\r\nfor ever", 502),
        ("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 502),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 503),
        ("SSH-2.0-OpenSSH\r\n", 502),
        ("", 502),
        // Nothing that it says about itself is handed on.
        (
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\nContent-Type: text/html\r\n\
             Set-Cookie: a=b\r\n\r\n0123456789",
            206,
        ),
    ];
    let there = provider(answers.iter().map(|(answer, _)| (*answer).to_owned()).collect());
    let id = ContentId::of(b"");
    let path = format!("/fetch/{there}/blake3/{id}?session={}", client.session());
    for (answer, expected) in answers {
        let request = format!("GET {path} HTTP/1.1\r\nRange: bytes=0-9");
        let (status, head, _) = http(&address.to_string(), &request);
        assert_eq!(status, expected, "{answer}");
        assert!(!head.contains("set-cookie") && !head.contains("text/html"), "{head}");
    }
}

/// A page holds what its provider says against the provider, and nothing that the relay says.
#[test]
fn what_the_relay_says_itself_is_known_from_what_a_provider_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_relay, relay_at) = runtime.block_on(relay(|settings| settings.limits.unanswered = 1));
    let (_full, full) = runtime.block_on(relay(|settings| settings.limits.fetches = 0));
    // Status, reason, and when to come again.
    let ask = |relay: SocketAddr, path: &str, headers: &str| {
        let (status, head, _) = http(&relay.to_string(), &format!("GET {path} HTTP/1.1{headers}"));
        assert!(head.contains("cache-control: no-store"), "{head}");
        let line = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let reason = line("kadlet-relay: ").map(str::to_owned);
        (status, reason, line("retry-after: ").map(str::to_owned))
    };
    let ours = |status, reason: &str| (status, Some(reason.to_owned()), None);
    let busy = (429, Some("busy".to_owned()), Some("1".to_owned()));
    let one = client(&runtime, relay_at);
    let other = client(&runtime, full);
    let file = format!("blake3/{}", ContentId::of(b""));
    let (session, foreign) = (one.session(), other.session());
    let at = |there: SocketAddr| format!("/fetch/{there}/{file}/hashes?session={session}");

    let said = ["404 No", "416 No", "429 Busy", "503 Busy", "200 OK"].map(|status| {
        format!(
            "HTTP/1.1 {status}\r\nKadlet-Relay: busy\r\nRetry-After: 9\r\nCache-Control: public, \
             immutable\r\nContent-Length: 0\r\n\r\n"
        )
    });
    for (said, status) in said.into_iter().zip([404, 416, 429, 503, 200]) {
        let there = provider(vec![said]);
        assert_eq!(ask(relay_at, &at(there), ""), (status, None, None));
    }
    let there = provider(vec!["HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_owned()]);
    assert_eq!(ask(relay_at, &at(there), ""), ours(502, "malformed"));
    // Nobody listens there.
    let there = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(ask(relay_at, &at(there), ""), ours(502, "unreachable"));
    assert_eq!(ask(relay_at, &at(there), ""), ours(429, "unanswered"));
    let path = format!("/fetch/{there}/{file}?session={session}");
    assert_eq!(ask(relay_at, &path, "\r\nRange: bytes=5-"), ours(400, "range"));
    assert_eq!(ask(relay_at, &path.replace(session, foreign), ""), ours(403, "session"));
    let private = format!("/fetch/127.0.0.1:80/{file}/hashes?session={session}");
    assert_eq!(ask(relay_at, &private, ""), ours(403, "address"));
    assert_eq!(ask(relay_at, "/fetch/", ""), ours(404, "path"));
    assert_eq!(ask(full, &at(there).replace(session, foreign), ""), busy);
}

#[test]
fn nobody_is_wearied_by_fetches() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_relay, relay) = runtime.block_on(relay(|settings| {
        settings.limits.fetches_per_second = 1;
        settings.limits.unanswered = 2;
    }));
    let id = ContentId::of(b"");
    let ask = |client: &Client, provider: SocketAddr| {
        let path = format!("/fetch/{provider}/blake3/{id}/hashes?session={}", client.session());
        let (status, _, body) = http(&relay.to_string(), &format!("GET {path} HTTP/1.1"));
        (status, String::from_utf8(body).unwrap())
    };
    // What every server on the web says is no provider's answer.
    let elsewhere = provider(vec!["HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_owned(); 2]);
    let asking = client(&runtime, relay);
    assert_eq!([(); 2].map(|()| ask(&asking, elsewhere).0), [404; 2]);
    let list = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n01234567".to_owned();
    let right = provider(vec![list; 60]);
    // A burst of two seconds' worth, and then one a second: sixty are more than a minute's.
    let fast = client(&runtime, relay);
    let mut answers = (0..60).map(|_| ask(&fast, right));
    let (status, words) = answers.find(|(status, _)| *status != 200).unwrap();
    assert!(status == 429 && words.contains("a second"), "{status} {words}");
    // Its two seconds are long over.
    let (status, words) = loop {
        let (status, words) = ask(&asking, elsewhere);
        if !words.contains("a second") {
            break (status, words);
        }
    };
    assert!(status == 429 && words.contains("not answered"), "{status} {words}");
}

#[test]
fn fetches_are_counted_by_source_and_by_provider() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let proxy = "127.0.0.1".parse().unwrap();
    let (_relay, relay) = runtime.block_on(relay(|settings| {
        settings.proxies = vec![proxy];
        settings.limits.fetches_per_source = 1;
        settings.limits.destinations = 1;
        settings.limits.unanswered = 2;
    }));
    let from = |ip| {
        let door = Door::new("x").header("x-forwarded-for", ip);
        runtime.block_on(Client::connect(relay, &door))
    };
    let clients = [from("8.8.8.1"), from("8.8.8.2"), from("8.8.9.1")];
    let [one, two, other] = clients.each_ref().map(|client| client.session().to_owned());
    let id = ContentId::of(b"");
    let ask = |session: &str, provider: SocketAddr| {
        let path = format!("/fetch/{provider}/blake3/{id}/hashes?session={session}");
        let (status, _, body) = http(&relay.to_string(), &format!("GET {path} HTTP/1.1"));
        (status, String::from_utf8(body).unwrap())
    };

    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = slow.local_addr().unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| ask(&one, there).0);
        let (held, _) = slow.accept().unwrap();
        let (status, words) = ask(&two, there);
        assert!(status == 429 && words.contains("from your address"), "{status} {words}");
        let third = scope.spawn(|| ask(&other, there).0);
        let (mut stream, _) = slow.accept().unwrap();
        let _ = stream.read(&mut [0; 4_096]);
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
        assert_eq!(third.join().unwrap(), 404);
        drop(held);
        assert_eq!(first.join().unwrap(), 502);
    });
    drop(slow);

    // Nobody listens there any more.
    let another = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(ask(&two, there).0, 502, "what was refused before does not count");
    let (status, words) = ask(&two, another);
    assert!(status == 429 && words.contains("addresses"), "{status} {words}");
    assert_eq!(ask(&two, there).0, 502);
    let (status, words) = ask(&two, there);
    assert!(status == 429 && words.contains("not answered"), "{status} {words}");
}

#[test]
fn a_page_that_leaves_gives_its_place_back() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_relay, relay) = runtime.block_on(relay(|settings| settings.limits.fetches = 1));
    let client = client(&runtime, relay);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = silent.local_addr().unwrap();
    let (id, session) = (ContentId::of(b""), client.session());
    for _ in 0..2 {
        let mut page = TcpStream::connect(relay).unwrap();
        let path = format!("/fetch/{there}/blake3/{id}/hashes?session={session}");
        write!(page, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let (mut provider, _) = silent.accept().unwrap();
        assert!(provider.read(&mut [0; 4_096]).unwrap() > 0);
        provider.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nbegun").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"begun") {
            let mut byte = [0];
            page.read_exact(&mut byte).unwrap();
            answer.extend(byte);
        }
        drop(page);
        // Long before the provider is given up for its silence.
        provider.set_read_timeout(Some(GUARD / 2)).unwrap();
        assert_eq!(provider.read(&mut [0; 1]).expect("the relay hangs up"), 0);
    }
}

/// The UDP port that a web server has the number of is not its own.
#[test]
fn who_answers_fetches_has_not_answered_datagrams() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (running, relay) = runtime.block_on(relay(|_| {}));
    let mut client = client(&runtime, relay);
    let list = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned();
    let there = provider(vec![list; 3]);
    let (id, session) = (ContentId::of(b""), client.session().to_owned());
    let request = format!("GET /fetch/{there}/blake3/{id}/hashes?session={session} HTTP/1.1");
    for _ in 0..3 {
        assert_eq!(http(&relay.to_string(), &request).0, 200);
        runtime.block_on(async {
            for _ in 0..20 {
                client.send(there, &ping("x")).await;
            }
        });
    }
    let counters = runtime.block_on(settled(&running, |counters| {
        counters.datagrams_out + counters.dropped.unanswered == 60
    }));
    assert!(counters.datagrams_out < 10, "{counters:?}");
}
