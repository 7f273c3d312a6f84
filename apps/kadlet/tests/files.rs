//! Sharing and fetching as users meet it: child processes on loopback, and providers that do what
//! no program of ours would.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use core::ops::Range;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Condvar, Mutex};

use common::{Ended, Node, ask, kill, network, network_of, run};
use kadlet::core::Announcement;
use kadlet::core::content::{ContentId, HashList, HashListBuilder, Link, PIECE_LEN};
use kadlet::{Content, Dht, Shares};
use serde_json::Value;
use tokio::runtime::Runtime;

/// A piece, as a length in memory.
const PIECE: usize = PIECE_LEN as usize;

/// Bytes that repeat nowhere, a different sequence for each seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = core::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}

fn list_of(bytes: &[u8]) -> HashList {
    let mut builder = HashListBuilder::new();
    builder.update(bytes);
    builder.finish()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The link in an event.
fn link(event: &Value) -> String {
    event["link"].as_str().unwrap().to_owned()
}

/// The link without the contacts in it: who uses it has to find the provider.
fn bare(link: &str) -> String {
    link.split("&x.pe=").next().unwrap().to_owned()
}

fn get(node: &Node, link: &str, target: &Path) -> Ended {
    ask(node, &["get", link, "-o", text(target)])
}

/// Nothing but `names` is in the folder: no target, and nothing half done.
#[track_caller]
fn assert_holds_only(folder: &Path, names: &[&str]) {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, names);
}

/// What a provider in this process does when it is asked for bytes.
type Read = dyn Fn(Range<u64>) -> io::Result<Vec<u8>> + Send + Sync;

struct Scripted {
    list: HashList,
    read: Box<Read>,
}

impl Content for Scripted {
    fn list(&self) -> &HashList {
        &self.list
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        (self.read)(range)
    }
}

fn part(bytes: &[u8], range: &Range<u64>) -> Vec<u8> {
    bytes[range.start as usize..range.end as usize].to_vec()
}

/// A provider in this process: a node that announces, and what is behind the port it names.
struct Provider {
    runtime: Option<Runtime>,
    shares: Option<Shares>,
    _dht: Dht,
}

impl Provider {
    /// Serves `bytes` under their list as `read` says, and announces that.
    fn serve(
        node: &Node,
        bytes: &[u8],
        read: impl Fn(Range<u64>) -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let runtime = Runtime::new().unwrap();
        let shares = runtime.block_on(Shares::listen("127.0.0.1:0".parse().unwrap())).unwrap();
        let list = list_of(bytes);
        let dht = announce(&runtime, node, list.id(), shares.addr().port());
        shares.add(Arc::new(Scripted { list, read: Box::new(read) }));
        Self { runtime: Some(runtime), shares: Some(shares), _dht: dht }
    }

    /// Announces a port, whatever is behind it.
    fn at_port(node: &Node, id: ContentId, port: u16) -> Self {
        let runtime = Runtime::new().unwrap();
        let dht = announce(&runtime, node, id, port);
        Self { runtime: Some(runtime), shares: None, _dht: dht }
    }

    fn addr(&self) -> String {
        self.shares.as_ref().unwrap().addr().to_string()
    }

    /// Gone at once: its connections break.
    fn vanish(&mut self) {
        self.shares = None;
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // Reads that wait for something are not waited for.
        self.runtime.take().unwrap().shutdown_background();
    }
}

fn announce(runtime: &Runtime, node: &Node, id: ContentId, port: u16) -> Dht {
    runtime.block_on(async {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let dht = Dht::builder().listen(loopback).network(&node.network).start().await.unwrap();
        dht.bootstrap(&[node.addr.parse().unwrap()]).await.unwrap();
        dht.announce(id.key(), Announcement::http(port)).await.unwrap();
        dht
    })
}

/// Something that happens once, and lets those who wait for it go on.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }
}

#[test]
fn a_file_is_shared_found_by_words_and_fetched() {
    let nodes = network_of(3, "main-job");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("Summer Holiday 2024.mov");
    let bytes = noise(1, 3 * PIECE + 12_345);
    fs::write(&source, &bytes).unwrap();
    let mut sharer = Node::share(&nodes[1], &[text(&source)]);
    let shared = sharer.wait_for("shared");
    assert_eq!(
        (&shared["path"], &shared["size"]),
        (&text(&source).into(), &(bytes.len() as u64).into())
    );
    assert!(link(&shared).starts_with(&format!("magnet:?xt=urn:blake3:{}", ContentId::of(&bytes))));

    let found = ask(&nodes[2], &["search", "holiday", "SUMMER"]).succeeded();
    let hit = found.event("hit");
    assert_eq!(
        (&hit["name"], &hit["size"]),
        (&"Summer Holiday 2024.mov".into(), &(bytes.len() as u64).into())
    );
    assert_eq!(found.event("done")["hits"], 1);
    assert!(found.event("done")["asked"].as_u64().unwrap() >= 1);
    // Both words have to be there.
    ask(&nodes[2], &["search", "holiday", "winter"]).failed(1, "not_found");

    // The link of the hit needs no other option, and names the file.
    let into = tempfile::tempdir().unwrap();
    let arguments = ["get", &link(hit), "-o", text(into.path()), "--json", "--no-lan"];
    let got = run(&[&arguments[..], &["--network", &nodes[0].network]].concat()).succeeded();
    let target = into.path().join("Summer Holiday 2024.mov");
    assert_eq!(fs::read(&target).unwrap(), bytes);
    let done = got.event("done");
    assert_eq!(
        (&done["path"], &done["bytes"], &done["providers"]),
        (&text(&target).into(), &(bytes.len() as u64).into(), &1.into())
    );
    assert_eq!(got.event("provider")["addr"], shared["http"]);
    assert_holds_only(into.path(), &["Summer Holiday 2024.mov"]);
    assert_eq!(sharer.stop(), Some(0));
}

#[test]
fn several_providers_give_their_parts() {
    let nodes = network_of(3, "several");
    let bytes = Arc::new(noise(2, 16 * PIECE - 1));
    // Who is ahead waits for the others, so that none of them can do all of it.
    let counts = Arc::new((Mutex::new([0_u32; 3]), Condvar::new()));
    let providers: Vec<_> = (0..3)
        .map(|me| {
            let (bytes, counts) = (Arc::clone(&bytes), Arc::clone(&counts));
            Provider::serve(&nodes[me], &bytes.clone(), move |range| {
                let mut all = counts.0.lock().unwrap();
                all[me] += 1;
                counts.1.notify_all();
                let ahead = |all: &mut [u32; 3]| all.iter().any(|count| *count + 2 < all[me]);
                drop(counts.1.wait_while(all, ahead).unwrap());
                Ok(part(&bytes, &range))
            })
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("file");
    let link = Link::new(ContentId::of(&bytes)).to_string();
    let got = get(&nodes[1], &link, &target).succeeded();
    assert_eq!(fs::read(&target).unwrap(), *bytes);
    let mut said: Vec<_> = got.event("done")["from"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect();
    let mut all: Vec<_> = providers.iter().map(Provider::addr).collect();
    said.sort_unstable();
    all.sort_unstable();
    assert_eq!(said, all);
    assert_eq!(got.events("provider").len(), 3);
}

#[test]
fn a_lying_provider_is_found_out_and_the_file_is_right() {
    let nodes = network_of(3, "liar");
    let bytes = noise(3, 6 * PIECE);
    let asked = Gate::default();
    let lie = asked.clone();
    let liar = Provider::serve(&nodes[0], &bytes, move |range| {
        lie.open();
        Ok(vec![0; (range.end - range.start) as usize])
    });
    let right = bytes.clone();
    let _honest = Provider::serve(&nodes[1], &bytes, move |range| {
        // Else it could be through before anybody asks the liar.
        asked.wait();
        Ok(part(&right, &range))
    });
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("file");
    let got = get(&nodes[2], &Link::new(ContentId::of(&bytes)).to_string(), &target).succeeded();
    assert_eq!(fs::read(&target).unwrap(), bytes);
    let rejected = got.event("rejected");
    assert_eq!(rejected["addr"], liar.addr());
    assert!(rejected["reason"].as_str().unwrap().contains("wrong"), "{rejected}");
    assert_eq!(got.event("done")["providers"], 1);
}

/// Takes connections and never says anything; each is told of.
fn silent() -> (TcpListener, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken, connections) = channel();
    let accept = listener.try_clone().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = accept.accept() {
            if taken.send(stream).is_err() {
                return;
            }
        }
    });
    (listener, connections)
}

#[test]
fn a_silent_provider_is_passed_over() {
    let nodes = network_of(3, "silent");
    let bytes = noise(4, 4 * PIECE);
    let id = ContentId::of(&bytes);
    let (listener, connections) = silent();
    let _silent = Provider::at_port(&nodes[0], id, listener.local_addr().unwrap().port());
    let right = bytes.clone();
    let connections = Mutex::new(connections);
    let kept = Mutex::new(Vec::new());
    let honest = Provider::serve(&nodes[1], &bytes, move |range| {
        let mut kept = kept.lock().unwrap();
        if kept.is_empty() {
            kept.push(connections.lock().unwrap().recv().unwrap());
        }
        Ok(part(&right, &range))
    });
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("file");
    let got = get(&nodes[2], &Link::new(id).to_string(), &target).succeeded();
    assert_eq!(fs::read(&target).unwrap(), bytes);
    assert_eq!(got.event("done")["from"], serde_json::json!([honest.addr()]));
    assert_eq!(got.events("provider").len(), 2);
}

#[test]
fn a_provider_that_goes_in_the_middle_is_replaced() {
    let nodes = network_of(3, "gone");
    let bytes = Arc::new(noise(5, 8 * PIECE));
    let (half, gone) = (Gate::default(), Gate::default());
    let served = Mutex::new(0);
    let (own, halfway, after) = (Arc::clone(&bytes), half.clone(), gone.clone());
    let mut first = Provider::serve(&nodes[0], &bytes, move |range| {
        let mut served = served.lock().unwrap();
        *served += 1;
        if *served > 3 {
            halfway.open();
            after.wait();
        }
        Ok(part(&own, &range))
    });
    let (own, before) = (Arc::clone(&bytes), gone.clone());
    let second = Provider::serve(&nodes[1], &bytes, move |range| {
        before.wait();
        Ok(part(&own, &range))
    });
    let (first_addr, second_addr) = (first.addr(), second.addr());
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("file");
    let link = Link::new(ContentId::of(&bytes)).to_string();
    let got = std::thread::scope(|scope| {
        let getting = scope.spawn(|| get(&nodes[2], &link, &target).succeeded());
        half.wait();
        first.vanish();
        gone.open();
        getting.join().unwrap()
    });
    assert_eq!(fs::read(&target).unwrap(), *bytes);
    let from = got.event("done")["from"].as_array().unwrap();
    assert!(from.contains(&first_addr.into()) && from.contains(&second_addr.into()), "{from:?}");
}

#[test]
fn when_no_provider_is_left_each_is_named_with_its_reason() {
    let nodes = network_of(2, "none-left");
    let bytes = noise(6, 2 * PIECE);
    let liar =
        Provider::serve(&nodes[0], &bytes, |range| Ok(vec![1; (range.end - range.start) as usize]));
    // Says that it has it, and has something else.
    let other = Provider::serve(&nodes[0], b"something else", |_| Ok(Vec::new()));
    let port = other.shares.as_ref().unwrap().addr().port();
    let _other = Provider::at_port(&nodes[1], ContentId::of(&bytes), port);
    let dir = tempfile::tempdir().unwrap();
    let link = Link::new(ContentId::of(&bytes)).to_string();
    let got = get(&nodes[1], &link, &dir.path().join("file"));
    let message = got.failed(1, "no_provider_left")["message"].as_str().unwrap();
    for addr in [liar.addr(), other.addr()] {
        assert!(message.contains(&addr), "{message}");
        assert!(got.events("rejected").iter().any(|it| it["addr"] == addr), "{got:?}");
    }
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "something was left");
}

#[test]
fn what_nobody_has_is_not_found() {
    let nodes = network_of(2, "nobody");
    let dir = tempfile::tempdir().unwrap();
    let link = Link::new(ContentId::of(b"nobody has this")).to_string();
    get(&nodes[1], &link, &dir.path().join("file")).failed(1, "not_found");
    assert_holds_only(dir.path(), &[]);
}

/// Fetches `bytes` until some of it is on the disk, ends the process by `signal`, and fetches the
/// rest: gives the bytes that the second process fetched.
fn interrupt(name: &str, signal: &str, bytes: &Arc<Vec<u8>>) -> u64 {
    let nodes = network_of(2, name);
    let (middle, ended) = (Gate::default(), Gate::default());
    let reads = Mutex::new(0_u32);
    let (own, reached, after) = (Arc::clone(bytes), middle.clone(), ended.clone());
    let _provider = Provider::serve(&nodes[0], bytes, move |range| {
        let count = {
            let mut reads = reads.lock().unwrap();
            *reads += 1;
            *reads
        };
        if count > 8 {
            // It asks for at most four at once: five are written.
            reached.open();
            after.wait();
        }
        Ok(part(&own, &range))
    });
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("file");
    let link = Link::new(ContentId::of(bytes)).to_string();
    let arguments = ["get", &link, "-o", text(&target), "--json", "--no-lan"];
    let network = ["--network", &nodes[0].network, "--bootstrap", &nodes[0].addr];
    let getting = Node::spawn(&nodes[0].network, &[&arguments[..], &network].concat());
    middle.wait();
    kill(getting.pid(), signal);
    let status = getting.ended();
    assert_eq!(status, (signal == "-INT").then_some(1));
    assert!(!target.exists(), "a partial file under the final name");
    ended.open();
    let got = get(&nodes[1], &link, &target).succeeded();
    assert_eq!(fs::read(&target).unwrap(), **bytes);
    assert_holds_only(dir.path(), &["file"]);
    got.event("done")["fetched"].as_u64().unwrap()
}

#[test]
fn a_fetch_that_was_killed_goes_on_where_it_was() {
    let bytes = Arc::new(noise(7, 12 * PIECE));
    let fetched = interrupt("killed", "-KILL", &bytes);
    assert!(fetched <= 7 * PIECE_LEN, "{fetched} bytes were fetched again");
}

#[test]
fn a_fetch_that_was_interrupted_goes_on_where_it_was() {
    let bytes = Arc::new(noise(8, 12 * PIECE));
    let fetched = interrupt("interrupted", "-INT", &bytes);
    assert!(fetched <= 7 * PIECE_LEN, "{fetched} bytes were fetched again");
}

/// What is wrong is said before anything is started: there is nobody to ask here.
#[test]
fn what_cannot_be_fetched_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path().join("there");
    fs::write(&there, "mine").unwrap();
    let good = Link::new(ContentId::of(b"x")).with_name("there").to_string();
    let folder = Link::new(ContentId::of(b"x")).with_name("there/").to_string();
    let short = "magnet:?xt=urn:blake3:abcd";
    let twice = format!("{good}&xt=urn:blake3:{}", "0".repeat(64));
    for (link, target, code, said) in [
        (good.as_str(), "there", "target_exists", "there already"),
        (&good, "", "target_exists", "there already"),
        (&folder, "there", "target_exists", "there already"),
        (&good, "missing/file", "usage", "make it first"),
        (&good, "missing/", "usage", "make it first"),
        (&good, "there/file", "usage", "no folder"),
        ("hello", "new", "usage", "magnet:"),
        ("magnet:?dn=x", "new", "usage", "urn:blake3"),
        (short, "new", "usage", "64"),
        (&twice, "new", "usage", "two"),
        (&good.replace("blake3:", "blake3:x"), "new", "usage", "64"),
    ] {
        let path = format!("{}/{target}", text(dir.path()));
        let name = network("why");
        let got = run(&["get", link, "-o", &path, "--json", "--no-lan", "--network", &name]);
        let message = got.failed(2, code)["message"].as_str().unwrap();
        assert!(message.contains(said), "{link} {target}: {message}");
        assert_eq!(got.lines.len(), 1, "{got:?}");
    }
    assert_eq!(fs::read(&there).unwrap(), b"mine");
    assert_holds_only(dir.path(), &["there"]);
}

/// A disk that is full, as far as the program can tell: no file may grow beyond a megabyte.
#[test]
fn a_full_disk_is_named_and_leaves_no_file() {
    let nodes = network_of(2, "disk");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::write(&source, noise(9, 3 * PIECE)).unwrap();
    let mut sharer = Node::share(&nodes[1], &[text(&source)]);
    let link = link(&sharer.wait_for("shared"));
    let target = dir.path().join("target");
    let command = format!(
        "trap '' XFSZ; ulimit -f 1024; exec {} get '{link}' -o {} --json --no-lan --network {}",
        env!("CARGO_BIN_EXE_kadlet"),
        target.display(),
        nodes[0].network,
    );
    let output = std::process::Command::new("bash").args(["-c", &command]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["code"], "io");
    assert!(last["message"].as_str().unwrap().contains(text(&target)), "{last}");
    assert!(!target.exists());
}

#[test]
fn an_empty_file_is_a_file() {
    let nodes = network_of(2, "empty");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("nothing at all.txt");
    fs::write(&source, "").unwrap();
    let mut sharer = Node::share(&nodes[0], &[text(&source)]);
    let shared = sharer.wait_for("shared");
    assert_eq!(shared["size"], 0);
    let target = dir.path().join("target");
    let got = get(&nodes[1], &bare(&link(&shared)), &target).succeeded();
    assert_eq!(got.event("done")["bytes"], 0);
    assert_eq!(fs::read(&target).unwrap(), b"");
}

#[test]
fn a_file_that_changes_is_never_served_wrong() {
    let nodes = network_of(2, "changes");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("draft.txt");
    let first = noise(10, PIECE + 1);
    fs::write(&source, &first).unwrap();
    let mut sharer = Node::share(&nodes[0], &[text(&source)]);
    let old = bare(&link(&sharer.wait_for("shared")));
    let modified = source.metadata().unwrap().modified().unwrap();

    // Of the same length, and the time stamp says that nothing happened.
    let second = noise(11, PIECE + 1);
    fs::write(&source, &second).unwrap();
    fs::File::options().write(true).open(&source).unwrap().set_modified(modified).unwrap();
    let target = dir.path().join("target");
    get(&nodes[1], &old, &target).failed(1, "no_provider_left");
    assert!(!target.exists());
    assert_eq!(sharer.wait_for("changed")["path"], text(&source));
    let new = bare(&link(&sharer.wait_for("shared")));
    assert!(new.contains(&ContentId::of(&second).to_string()), "{new}");
    get(&nodes[1], &new, &target).succeeded();
    assert_eq!(fs::read(&target).unwrap(), second);

    // Gone: named, and nothing is served any more.
    fs::remove_file(&source).unwrap();
    get(&nodes[1], &new, &dir.path().join("again")).failed(1, "no_provider_left");
    sharer.wait_for("changed");
    let warning = sharer.wait_for("warning");
    assert_eq!(warning["code"], "withdrawn");
    assert!(warning["message"].as_str().unwrap().contains(text(&source)), "{warning}");
}

/// Two files with the same bytes are one content: that one of them changes takes nothing away.
#[test]
fn the_twin_of_a_changed_file_is_still_shared() {
    let nodes = network_of(2, "twins");
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one.txt"), dir.path().join("two.txt"));
    fs::write(&one, "the same").unwrap();
    fs::write(&two, "the same").unwrap();
    let mut sharer = Node::share(&nodes[0], &[text(&one), text(&two)]);
    let old = bare(&link(&sharer.wait_for("shared")));
    sharer.wait_for("shared");
    fs::write(&two, "not the same").unwrap();
    // Whoever comes in this moment may come too early.
    get(&nodes[1], &old, &dir.path().join("early"));
    assert_eq!(sharer.wait_for("changed")["path"], text(&two));
    assert_eq!(sharer.wait_for("shared")["path"], text(&two));
    let target = dir.path().join("target");
    get(&nodes[1], &old, &target).succeeded();
    assert_eq!(fs::read(&target).unwrap(), b"the same");
}

#[test]
fn a_file_that_cannot_be_shared_is_named_and_the_others_go_on() {
    let nodes = network_of(2, "missing");
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.txt");
    let good = dir.path().join("good.txt");
    fs::write(&good, "good").unwrap();
    // Neither a file nor a folder: what reads it would wait for ever.
    let device = "/dev/zero";
    let mut sharer = Node::share(&nodes[0], &[text(&missing), device, text(&good)]);
    for named in [text(&missing), device] {
        let warning = sharer.wait_for("warning");
        assert_eq!(warning["code"], "not_shared");
        assert!(warning["message"].as_str().unwrap().contains(named), "{warning}");
    }
    assert_eq!(sharer.wait_for("shared")["path"], text(&good));
    let none = ask(&nodes[0], &["share", text(&missing), "--listen", "127.0.0.1:0"]);
    none.failed(2, "nothing_shared");
    assert!(none.event("warning")["message"].as_str().unwrap().contains(text(&missing)));
}

#[test]
fn unlisted_files_are_found_by_their_link_only_and_stay_so() {
    let nodes = network_of(3, "unlisted");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("secret.txt");
    fs::write(&source, "hush").unwrap();
    let data = dir.path().join("data");
    let mut sharer = Node::share(&nodes[0], &[text(&source), "--unlisted", "--data", text(&data)]);
    let link = bare(&link(&sharer.wait_for("shared")));
    ask(&nodes[1], &["search", "secret"]).failed(1, "not_found");
    get(&nodes[1], &link, &dir.path().join("first")).succeeded();
    sharer.kill();
    // What was unlisted does not come into the open by a restart.
    let mut sharer = Node::share(&nodes[0], &["--data", text(&data)]);
    sharer.wait_for("shared");
    ask(&nodes[1], &["search", "secret"]).failed(1, "not_found");
    get(&nodes[1], &link, &dir.path().join("second")).succeeded();
}

#[test]
fn shares_survive_a_kill() {
    let nodes = network_of(2, "restart");
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one.txt"), dir.path().join("two.txt"));
    fs::write(&one, "first").unwrap();
    fs::write(&two, "second").unwrap();
    let data = ["--data", text(&dir.path().join("data"))].map(str::to_owned);
    let data = [data[0].as_str(), data[1].as_str()];
    let mut sharer = Node::share(&nodes[0], &[&data[..], &[text(&one), text(&two)]].concat());
    let links = [0, 1].map(|_| bare(&link(&sharer.wait_for("shared"))));
    sharer.kill();
    fs::remove_file(&two).unwrap();
    let mut sharer = Node::share(&nodes[0], &data);
    assert_eq!(bare(&link(&sharer.wait_for("shared"))), links[0]);
    let target = dir.path().join("target");
    get(&nodes[1], &links[0], &target).succeeded();
    assert_eq!(fs::read(&target).unwrap(), b"first");
}

#[test]
fn a_folder_is_shared_as_a_whole() {
    let nodes = network_of(3, "folder");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("album");
    fs::create_dir_all(source.join("disc 1/empty")).unwrap();
    let files = [
        ("cover art.txt", noise(12, 100)),
        ("disc 1/first song.txt", noise(13, PIECE + 7)),
        ("disc 1/second\nsong.txt", noise(14, 10)),
    ];
    for (name, bytes) in &files {
        fs::write(source.join(name), bytes).unwrap();
    }
    // Leads out of what the person meant to share.
    fs::write(dir.path().join("private.txt"), "private").unwrap();
    std::os::unix::fs::symlink(dir.path().join("private.txt"), source.join("link.txt")).unwrap();
    let mut sharer = Node::share(&nodes[0], &[text(&source)]);
    for (name, _) in &files {
        assert_eq!(sharer.wait_for("shared")["path"], text(&source.join(name)));
    }
    let shared = sharer.wait_for("shared");
    assert_eq!(shared["path"], text(&source));
    let link = bare(&link(&shared));
    assert!(Link::name(&link.parse().unwrap()).unwrap().ends_with("album/"), "{link}");
    ask(&nodes[1], &["search", "first", "song"]).succeeded();
    ask(&nodes[1], &["search", "private"]).failed(1, "not_found");

    let target = dir.path().join("copy");
    let got = get(&nodes[2], &link, &target).succeeded();
    assert_eq!(got.events("done").len(), 4);
    for (name, bytes) in &files {
        let name = name.replace('\n', "_");
        assert!(fs::read(target.join(&name)).unwrap() == *bytes, "{name}");
    }
    assert_holds_only(&target.join("disc 1"), &["first song.txt", "second_song.txt"]);
    // A second time only what is missing comes; what is wrong is named and left alone.
    fs::remove_file(target.join("disc 1/first song.txt")).unwrap();
    fs::write(target.join("cover art.txt"), [b'x'; 100]).unwrap();
    let again = get(&nodes[2], &link, &target);
    again.failed(2, "target_exists");
    assert_eq!(again.event("done")["path"], text(&target.join("disc 1/first song.txt")));
    assert!(again.event("warning")["message"].as_str().unwrap().contains("cover art.txt"));
    assert_eq!(fs::read(target.join("cover art.txt")).unwrap(), [b'x'; 100]);
}

#[test]
fn a_hostile_folder_stays_inside_and_loses_only_its_bad_entries() {
    let nodes = network_of(2, "hostile");
    let dir = tempfile::tempdir().unwrap();
    let outer = dir.path().join("outer");
    fs::create_dir(&outer).unwrap();
    let source = dir.path().join("file");
    fs::write(&source, "owned").unwrap();
    let mut sharer = Node::share(&nodes[0], &[text(&source)]);
    sharer.wait_for("shared");
    let id = ContentId::of(b"owned");
    let absolute = dir.path().join("absolute");
    let paths = [
        "../escaped",
        "a/../../../escaped",
        text(&absolute),
        "sub/file",
        // A folder where a file is.
        "sub/file/below",
        "last",
    ];
    let mut list = "kadlet folder 1\n".to_owned();
    for path in paths {
        list += &format!("{id} 5 {path}\n");
    }
    let list = list.into_bytes();
    let served = list.clone();
    let _provider = Provider::serve(&nodes[0], &list, move |range| Ok(part(&served, &range)));
    let link = Link::new(ContentId::of(&list)).with_name("nice/").to_string();
    let target = outer.join("target");
    let got = get(&nodes[1], &link, &target);
    assert_eq!(got.status, Some(2), "{got:?}");
    assert!(got.event("warning")["message"].as_str().unwrap().contains("below"), "{got:?}");
    assert_holds_only(&outer, &["target"]);
    assert_holds_only(dir.path(), &["file", "outer"]);
    for inside in ["sub/file", "last"] {
        assert_eq!(fs::read(target.join(inside)).unwrap(), b"owned", "{inside}");
    }
    // Another folder does not mix with it, nor does its list pass for the other's.
    let other = b"kadlet folder 1\n".to_vec();
    let served = other.clone();
    let _other = Provider::serve(&nodes[0], &other, move |range| Ok(part(&served, &range)));
    let link = Link::new(ContentId::of(&other)).with_name("other/").to_string();
    get(&nodes[1], &link, &target).failed(2, "target_exists");
}

/// Two processes that write the same partial file would each take the other's pieces away.
#[test]
fn one_target_is_fetched_by_one_process() {
    let nodes = network_of(2, "twice");
    let bytes = Arc::new(noise(15, 6 * PIECE));
    let (middle, ended) = (Gate::default(), Gate::default());
    let reads = Mutex::new(0_u32);
    let (own, reached, after) = (Arc::clone(&bytes), middle.clone(), ended.clone());
    let _provider = Provider::serve(&nodes[0], &bytes, move |range| {
        let mut reads = reads.lock().unwrap();
        *reads += 1;
        if *reads == 3 {
            drop(reads);
            reached.open();
            after.wait();
        }
        Ok(part(&own, &range))
    });
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("file");
    let link = Link::new(ContentId::of(&bytes)).to_string();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| get(&nodes[0], &link, &target).succeeded());
        middle.wait();
        let second = get(&nodes[1], &link, &target);
        let message = second.failed(2, "io")["message"].as_str().unwrap();
        assert!(message.contains("another process"), "{message}");
        ended.open();
        first.join().unwrap();
    });
    assert_eq!(fs::read(&target).unwrap(), *bytes);
}

/// One request and its answer, by hand: status, head in lower case, body.
fn http(addr: &str, request: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(stream, "{request}\r\nHost: {addr}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
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
/// A network of one: there is nobody to announce to, and still the link works.
#[test]
fn who_shares_alone_is_fetched_from() {
    let name = network("alone");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("lonely.txt");
    fs::write(&source, "lonely").unwrap();
    let mut sharer = Node::start_as("share", &name, &[text(&source)]);
    let link = link(&sharer.wait_for("shared"));
    let target = dir.path().join("target");
    get(&sharer, &link, &target).succeeded();
    assert_eq!(fs::read(&target).unwrap(), b"lonely");
    let found = ask(&sharer, &["search", "lonely"]).succeeded();
    assert_eq!(found.event("hit")["size"], 6);
}
