//! What can be wrong on the relay's machine; TLS and STUN.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::path::Path;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::Message;

use super::client::{Client, Door, upgrade, within};
use super::{peer, program, received, relay};
use crate::common::run;
use crate::files::text;

/// Writes a certificate for `localhost` and its key.
fn certificate(dir: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

#[tokio::test]
async fn a_client_comes_in_by_tls() {
    let dir = tempfile::tempdir().unwrap();
    let trusted = certificate(dir.path());
    let files = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let (relay, address) = relay(|settings| settings.tls = Some(files)).await;
    assert_eq!(relay.scheme(), "https");
    let connect = async || connect(address, &trusted).await;
    let stream = within(connect()).await.expect("the certificate is the one that was given");
    let door = Door::new("x");
    let client = Client::over(Box::new(stream), "wss://localhost", &door).await;
    assert_eq!(client.hello["type"], "hello");
    // Whoever does not speak TLS is not served, and does no harm.
    let plain = TcpStream::connect(address).await.unwrap();
    let plain = within(upgrade(Box::new(plain), "ws://localhost", &door)).await;
    assert!(plain.is_err());
    within(connect()).await.expect("others come in still");
}

/// By TLS, if the relay has this certificate.
async fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Renewed, as certificates are every few weeks; and what cannot be used harms nobody.
#[tokio::test]
async fn a_certificate_is_read_again_when_it_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let old = certificate(dir.path());
    let files = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let certificate_file = files.0.clone();
    let (_relay, address) = relay(|settings| {
        settings.tls = Some(files);
        settings.tls_reread = Duration::from_millis(5);
    })
    .await;
    let stream = within(connect(address, &old)).await.expect("the one that was given");
    let mut early = Client::over(Box::new(stream), "wss://localhost", &Door::new("x")).await;
    fs::write(&certificate_file, "half of").unwrap();
    for _ in 0..20 {
        within(connect(address, &old)).await.expect("the one of before is kept");
    }
    let new = certificate(dir.path());
    within(async { while connect(address, &new).await.is_err() {} }).await;
    within(connect(address, &old)).await.expect_err("it has been replaced");
    early.socket.send(Message::Ping(Vec::new().into())).await.unwrap();
    let pong = within(early.socket.next()).await;
    assert!(matches!(pong, Some(Ok(Message::Pong(_)))), "connections of before go on: {pong:?}");
}

#[test]
fn what_is_wrong_with_the_start_is_said() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path());
    let path = |name: &str| text(&dir.path().join(name)).to_owned();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    fs::write(dir.path().join("other"), "not PEM").unwrap();
    let (other, missing) = (path("other"), path("missing"));
    let foreign = rcgen::KeyPair::generate().unwrap().serialize_pem();
    fs::write(dir.path().join("foreign.pem"), foreign).unwrap();
    let foreign = path("foreign.pem");
    fs::create_dir(dir.path().join("empty")).unwrap();
    let (empty, token) = (path("empty"), format!("@{missing}"));
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = tcp.local_addr().unwrap().to_string();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = socket.local_addr().unwrap().to_string();

    let start = |listen: &str, arguments: &[&str]| {
        run(&[&["relay", "--json", "--listen", listen], arguments].concat())
    };
    let any = "127.0.0.1:0";
    let wrong: [(&str, &[&str], &str, &str); 17] = [
        (&taken, &[], "address_in_use", &taken[10..]),
        (&udp, &[], "address_in_use", &udp[10..]),
        ("198.51.100.7:0", &[], "address_unavailable", "198.51.100.7"),
        ("4680", &[], "usage", "IP:PORT"),
        (any, &["--tls-cert", &cert], "usage", "--tls-key"),
        (any, &["--tls-cert", &missing, "--tls-key", &key], "tls_files", &missing),
        (any, &["--tls-cert", &cert, "--tls-key", &missing], "tls_files", &missing),
        (any, &["--tls-cert", &other, "--tls-key", &key], "tls_files", &other),
        (any, &["--tls-cert", &cert, "--tls-key", &other], "tls_files", &other),
        (any, &["--tls-cert", &cert, "--tls-key", &foreign], "tls_files", &foreign),
        (any, &["--web", &missing], "web_folder", &missing),
        (any, &["--web", &empty], "web_folder", &empty),
        (any, &["--web", &cert], "web_folder", &cert),
        (any, &["--token", ""], "usage", "token"),
        (any, &["--token", &token], "io", &missing),
        (any, &["--origin", "https://example.org/page"], "usage", "https://example.org"),
        (any, &["--ports", "80-90"], "usage", "FIRST-LAST"),
    ];
    for (listen, arguments, code, named) in wrong {
        let ended = start(listen, arguments);
        let error = ended.failed(2, code);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(named), "{arguments:?}: {message}");
    }
    assert!(
        start(any, &["--udp", "127.0.0.1", "--udp", "127.0.0.2"]).failed(2, "usage")["message"]
            .as_str()
            .unwrap()
            .contains("family")
    );
    // More clients than there can be descriptors.
    let many = crate::common::Node::spawn_limited(
        "",
        "-n 256",
        &["relay", "--json", "--listen", any, "--max-clients", "1000"],
    );
    assert_eq!(many.ended(), Some(2));
}

/// One question by UDP and its answer.
async fn ask(socket: &UdpSocket, relay: SocketAddr, request: &[u8]) -> Vec<u8> {
    socket.send_to(request, relay).await.unwrap();
    received(socket).await.1
}

fn binding_request(attributes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(attributes.len()).unwrap();
    let cookie = [0x21, 0x12, 0xa4, 0x42];
    [&[0, 1, 0, length][..], &cookie, b"transaction!", attributes].concat()
}

#[tokio::test]
async fn stun_says_where_one_is() {
    let (_program, relay) = program(&[]);
    let client = Client::connect(relay, &Door::new("x")).await;
    let stun: SocketAddr = client.hello["stun"].as_str().unwrap().parse().unwrap();
    assert_eq!(stun, relay);
    let (socket, here) = peer().await;
    // Whatever is sent before it is no request, and is not answered.
    let good = binding_request(&[]);
    let mut indication = good.clone();
    indication[1] = 0x11;
    let mut old = good.clone();
    old[4] = 0;
    let lying = [&good[..3], &[200], &good[4..]].concat();
    let hostile = binding_request(&[0x80, 0x22, 0xff, 0xff]);
    let long = [&good[..], &[0; 1_400]].concat();
    for bad in [&[][..], &good[..19], &indication, &old, &lying, &hostile, &long, b"x"] {
        socket.send_to(bad, relay).await.unwrap();
    }
    let answer = ask(&socket, relay, &good).await;
    assert_eq!((answer.len(), &answer[..2]), (32, &[1, 1][..]));
    assert_eq!(answer[4..20], good[4..]);
    let port = u16::from_be_bytes([answer[26] ^ 0x21, answer[27] ^ 0x12]);
    let ip: Vec<u8> =
        answer[28..].iter().zip([0x21, 0x12, 0xa4, 0x42]).map(|(a, b)| a ^ b).collect();
    assert_eq!((&ip[..], port), (&[127, 0, 0, 1][..], here.port()));
    let unknown = ask(&socket, relay, &binding_request(&[0, 0x24, 0, 4, 1, 2, 3, 4])).await;
    assert_eq!(unknown[..2], [1, 0x11]);
}

#[tokio::test]
async fn stun_is_no_amplifier() {
    let (relay, address) = relay(|settings| {
        settings.limits.spare_local = false;
        settings.limits.stun_per_second = 5;
    })
    .await;
    let (socket, _) = peer().await;
    for _ in 0..100 {
        socket.send_to(&binding_request(&[]), address).await.unwrap();
    }
    within(async {
        while relay.counters().stun + relay.counters().stun_dropped < 100 {
            tokio::time::sleep(core::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let answered = relay.counters().stun;
    assert!((10..=20).contains(&answered), "{answered}");
}
