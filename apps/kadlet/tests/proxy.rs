//! The relay behind nginx, as docs/relay.md says: its own command and its own configuration, with
//! ports and paths of this machine.
//!
//! Not part of `cargo test`, which needs nothing but Rust: `cargo xtask relay` runs it, with the path
//! of nginx in `KADLET_NGINX`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

extern crate alloc;

#[expect(dead_code, reason = "the tests of the program use all of it")]
#[path = "program/relay/client.rs"]
mod client;
#[expect(dead_code, reason = "the tests of the program use all of it")]
#[path = "program/common.rs"]
mod common;

use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use client::{Client, Door, Stream, ping, within};
use common::Node;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, UdpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const NAME: &str = "relay.example.org";
const DOCS: &str = include_str!("../../../docs/relay.md");

/// The only block of the documentation with this mark.
fn block(mark: &str) -> &'static str {
    let start = format!("```{mark}\n");
    let (_, rest) = DOCS.split_once(&start).expect("the block");
    assert!(!rest.contains(&start), "there are several");
    rest.split_once("```").expect("its end").0
}

/// The documented command with this machine's address, and ports that are free here.
fn relay(web: &Path) -> Node {
    let line = block("sh").trim().strip_prefix("kadlet ").expect("one command").to_owned();
    let line = line.replace("127.0.0.1:4680", "127.0.0.1:0").replace("203.0.113.5", "127.0.0.1");
    let mut arguments: Vec<&str> = line.split(' ').collect();
    assert_eq!(arguments.pop(), Some("page"));
    arguments.push(web.to_str().unwrap());
    arguments.extend(["--json", "--allow-private", "--max-clients-per-source", "1"]);
    Node::spawn("", &arguments)
}

/// nginx with the documented server, as an ordinary process that ends with the test.
struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Nginx {
    fn start(dir: &Path, relay: &str) -> Self {
        // The port may be taken between being found and being used.
        for _ in 0..5 {
            if let Some(nginx) = Self::try_start(dir, relay) {
                return nginx;
            }
        }
        let log = fs::read_to_string(dir.join("error.log")).unwrap_or_default();
        panic!("nginx does not start: {log}");
    }

    fn try_start(dir: &Path, relay: &str) -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let path = dir.display();
        let mut server = block("nginx").to_owned();
        for (documented, ours) in [
            ("listen 443 ssl", format!("listen {address} ssl")),
            ("/etc/ssl/relay.example.org/fullchain.pem", format!("{path}/cert.pem")),
            ("/etc/ssl/relay.example.org/privkey.pem", format!("{path}/key.pem")),
            ("127.0.0.1:4680", relay.to_owned()),
        ] {
            assert!(server.contains(documented), "the block does not say {documented}");
            server = server.replace(documented, &ours);
        }
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("    {kind}_temp_path {path}/{kind};\n"))
            .concat();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {path}/pid;\nerror_log {path}/error.log;\n\
             events {{}}\nhttp {{\n{temporary}{server}}}\n"
        );
        fs::write(dir.join("nginx.conf"), config).unwrap();
        let nginx = std::env::var_os("KADLET_NGINX").expect("the path of nginx in KADLET_NGINX");
        let mut child = Command::new(nginx)
            .arg("-p")
            .arg(dir)
            .arg("-e")
            .arg(dir.join("error.log"))
            .arg("-c")
            .arg(dir.join("nginx.conf"))
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx starts");
        // It listens, or it ends.
        while child.try_wait().unwrap().is_none() {
            if std::net::TcpStream::connect(address).is_ok() {
                return Some(Self { child, address });
            }
            std::thread::sleep(core::time::Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connections to nginx that trust its certificate.
struct Browser {
    tls: TlsConnector,
    nginx: SocketAddr,
}

impl Browser {
    fn new(trusted: CertificateDer<'static>, nginx: SocketAddr) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(trusted).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { tls: TlsConnector::from(Arc::new(config)), nginx }
    }

    /// From one of this machine's many loopback addresses.
    async fn connect(&self, from: &str) -> Box<dyn Stream> {
        let from: IpAddr = from.parse().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let stream = within(socket.connect(self.nginx)).await.unwrap();
        let stream = within(self.tls.connect(ServerName::try_from(NAME).unwrap(), stream)).await;
        Box::new(stream.unwrap())
    }

    async fn get(&self, path: &str) -> String {
        let mut stream = self.connect("127.0.0.1").await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
        within(stream.write_all(request.as_bytes())).await.unwrap();
        let mut answer = Vec::new();
        // A server that ends TLS by ending TCP has said everything all the same.
        let _ = within(stream.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn door() -> Door<'static> {
    Door::new("x").header("origin", "https://relay.example.org")
}

#[tokio::test]
async fn the_documented_proxy_works() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let web = dir.path().join("web");
    fs::create_dir(&web).unwrap();
    fs::write(web.join("index.html"), "the page").unwrap();
    let mut relay = relay(&web);
    let address = relay.wait_for("listening")["addr"].as_str().unwrap().to_owned();
    let nginx = Nginx::start(dir.path(), &address);
    let browser = Browser::new(made.cert.der().clone(), nginx.address);

    let page = browser.get("/").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.ends_with("the page"), "{page}");
    assert!(page.contains("wasm-unsafe-eval"), "{page}");
    let counters = browser.get("/counters").await;
    assert!(
        counters.starts_with("HTTP/1.1 403"),
        "the proxy is no part of this machine: {counters}"
    );

    // Datagrams go both ways.
    let url = format!("wss://{NAME}");
    let stream = browser.connect("127.0.0.1").await;
    let mut client = Client::over(stream, &url, &door()).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send(peer.local_addr().unwrap(), &ping("x")).await;
    let mut buffer = [0; 2_048];
    let (len, from) = within(peer.recv_from(&mut buffer)).await.unwrap();
    assert_eq!((&buffer[..len], from), (&ping("x")[..], client.address()));
    peer.send_to(&buffer[..len], from).await.unwrap();
    assert_eq!(client.datagram().await.1, ping("x"));

    // Clients count by their own addresses, and not by what they say.
    let forged = door().header("x-forwarded-for", "9.9.9.9");
    let stream = browser.connect("127.0.0.2").await;
    assert_eq!(client::refused_over(stream, &url, &forged).await.0, 4429);
    let stream = browser.connect("127.0.1.1").await;
    Client::over(stream, &url, &door()).await;
    // And a page from elsewhere is told that it may not.
    let elsewhere = Door::new("x").header("origin", "https://example.org");
    let stream = browser.connect("127.0.2.1").await;
    assert_eq!(client::refused_over(stream, &url, &elsewhere).await.0, 4403);

    common::kill(relay.pid(), "-TERM");
    assert_eq!(client.closed().await, 4503);
    assert_eq!(relay.ended(), Some(0));
}
