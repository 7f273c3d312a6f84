//! Fetching as users meet it: from several providers, among them some that lie, fall silent or go.

use alloc::sync::Arc;
use std::fs;
use std::sync::{Condvar, Mutex};

use kadlet::core::content::{ContentId, Link, PIECE_LEN};
use serde_json::Value;

use crate::common::{Node, kill, network, network_of, run};
use crate::files::{
    Gate, PIECE, Provider, assert_holds_only, get, link, list_of, noise, part, silent, text,
};

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
    // Nor does an empty folder stay, but one that was there.
    let link = Link::new(ContentId::of(b"nobody has this")).with_name("folder/").to_string();
    get(&nodes[1], &link, &dir.path().join("folder")).failed(1, "not_found");
    assert_holds_only(dir.path(), &[]);
    fs::create_dir(dir.path().join("there")).unwrap();
    get(&nodes[1], &link, &dir.path().join("there")).failed(1, "not_found");
    assert_holds_only(dir.path(), &["there"]);
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

/// `kadlet get … | head -1`: what was asked for is the file and not the line, and the exit status
/// says whether it is there.
#[test]
fn a_fetch_that_nobody_listens_to_ends_with_its_own_status() {
    for (lies, status) in [(false, 0), (true, 1)] {
        let nodes = network_of(1, "unheard-fetch");
        let bytes = Arc::new(noise(22, 3 * PIECE));
        let unheard = Gate::default();
        let (own, after) = (Arc::clone(&bytes), unheard.clone());
        let _provider = Provider::serve(&nodes[0], &bytes, move |range| {
            after.wait();
            let right = part(&own, &range);
            Ok(if lies { vec![0; right.len()] } else { right })
        });
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let link = Link::new(ContentId::of(&bytes)).to_string();
        let arguments = ["get", &link, "-o", text(&target), "--json", "--no-lan"];
        let network = ["--network", &nodes[0].network, "--bootstrap", &nodes[0].addr];
        let mut getting = Node::spawn("", &[&arguments[..], &network].concat());
        getting.wait_for("provider");
        getting.unheard();
        unheard.open();
        assert_eq!((getting.ended(), target.exists()), (Some(status), !lies));
    }
}

/// Hours of another fetch lie there, under the name that this one would take.
#[test]
fn what_is_left_of_another_fetch_is_not_written_over() {
    let nodes = network_of(1, "left-over");
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (noise(23, 2 * PIECE), noise(24, 2 * PIECE));
    let [_one, _two] = [&first, &second].map(|bytes| {
        let own = bytes.clone();
        Provider::serve(&nodes[0], bytes, move |range| Ok(part(&own, &range)))
    });
    let [first_link, second_link] =
        [&first, &second].map(|bytes| Link::new(ContentId::of(bytes)).to_string());
    let target = dir.path().join("file");
    let left = dir.path().join("file.part");
    fs::write(&left, &first[..PIECE]).unwrap();
    fs::write(dir.path().join("file.part.list"), list_of(&first).encode()).unwrap();
    let refused = get(&nodes[0], &second_link, &target);
    let message = refused.failed(2, "target_exists")["message"].as_str().unwrap();
    assert!(message.contains(text(&left)) && message.contains("-o"), "{message}");
    assert!(refused.events("provider").is_empty(), "{refused:?}");
    assert!(fs::read(&left).unwrap() == first[..PIECE]);
    let got = get(&nodes[0], &first_link, &target).succeeded();
    assert_eq!(got.event("done")["fetched"], PIECE_LEN);
    assert_holds_only(dir.path(), &["file"]);
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
    // With room it goes on, and leaves nothing beside the file.
    get(&nodes[0], &link, &target).succeeded();
    assert_eq!(fs::read(&target).unwrap(), fs::read(&source).unwrap());
    assert_holds_only(dir.path(), &["source", "target"]);
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
