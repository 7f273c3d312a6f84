//! Folders: shared as a whole, fetched into a folder that is there or not, hostile ones too.

use alloc::sync::Arc;
use core::net::SocketAddr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use kadlet::core::content::{ContentId, Link};
use kadlet::{SharedFile, Shares};
use socket2::{Domain, Socket, Type};
use tokio::runtime::Runtime;

use crate::common::{Ended, Node, ask, network_of};
use crate::files::{Gate, PIECE, Provider, assert_holds_only, bare, get, link, noise, part, text};

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
    let warning = sharer.wait_for("warning");
    assert!(warning["message"].as_str().unwrap().contains("link.txt"), "{warning}");
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
    // The list, the files, and at the end the folder.
    let done = got.events("done");
    assert_eq!(done.len(), 5);
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let whole = |ended: &Ended| {
        let last = ended.lines.last().unwrap();
        assert_eq!((&last["path"], &last["bytes"]), (&text(&target).into(), &bytes.into()));
        assert_eq!(last["providers"], last["from"].as_array().unwrap().len());
        (last["fetched"].as_u64().unwrap(), last["providers"].as_u64().unwrap())
    };
    assert_eq!(whole(&got), (bytes as u64, 1));
    // Again: it is all there.
    let again = get(&nodes[2], &link, &target).succeeded();
    assert_eq!((again.events("done").len(), whole(&again)), (1, (0, 0)));
    for (name, bytes) in &files {
        let name = name.replace('\n', "_");
        assert!(fs::read(target.join(&name)).unwrap() == *bytes, "{name}");
    }
    assert_holds_only(&target.join("disc 1"), &["first song.txt", "second_song.txt"]);
    // Who has it now shares the same under the same hash: the list that lies there is none of it.
    let mut second = Node::share(&nodes[2], &[text(&target)]);
    let again = loop {
        let shared = second.wait_for("shared");
        if shared["path"] == text(&target) {
            break self::link(&shared);
        }
    };
    let id = |link: &str| link.parse::<Link>().unwrap().id();
    assert_eq!(id(&again), id(&link));
    drop(second);
    // A second time only what is missing comes; what is wrong is named and left alone.
    fs::remove_file(target.join("disc 1/first song.txt")).unwrap();
    fs::write(target.join("cover art.txt"), [b'x'; 100]).unwrap();
    let again = get(&nodes[2], &link, &target);
    again.failed(2, "target_exists");
    assert_eq!(again.event("done")["path"], text(&target.join("disc 1/first song.txt")));
    assert!(again.event("warning")["message"].as_str().unwrap().contains("cover art.txt"));
    assert_eq!(fs::read(target.join("cover art.txt")).unwrap(), [b'x'; 100]);
}

/// The link of a folder is dead for a file that has changed: there is a new one, which is said.
#[test]
fn a_folder_whose_files_change_gets_a_new_link() {
    let nodes = network_of(2, "folder-changes");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("album");
    fs::create_dir(&source).unwrap();
    for name in ["draft", "gone", "same"] {
        fs::write(source.join(name), name).unwrap();
    }
    let mut sharer = Node::share(&nodes[0], &["--unlisted", text(&source)]);
    let mut folder = || loop {
        let event = sharer.next().unwrap();
        if event["path"] == text(&source) {
            break event;
        }
    };
    let shared = folder();
    let old = bare(&link(&shared));
    fs::write(source.join("draft"), "final").unwrap();
    fs::remove_file(source.join("gone")).unwrap();
    // Whoever asks for them finds out.
    for file in ["draft", "gone"] {
        let mut stream = TcpStream::connect(shared["http"].as_str().unwrap()).unwrap();
        let id = ContentId::of(file.as_bytes());
        write!(stream, "GET /blake3/{id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .unwrap();
        // Broken off or refused.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // Both changes are in one list.
    assert_eq!(folder()["event"], "changed");
    let new = bare(&link(&folder()));
    let target = dir.path().join("copy");
    get(&nodes[1], &new, &target).succeeded();
    assert_holds_only(&target, &["draft", "kadlet-folder.txt", "same"]);
    assert_eq!(fs::read(target.join("draft")).unwrap(), b"final");
    // What led to the files as they were leads nowhere.
    get(&nodes[1], &old, &dir.path().join("late")).failed(1, "no_provider_left");
}

/// Names that differ where they were shared and are equal where they are fetched.
#[test]
fn files_whose_names_become_equal_are_all_fetched() {
    let nodes = network_of(2, "equal-names");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("project");
    fs::create_dir(&source).unwrap();
    let names = [
        ".dir/x",
        ".env",
        "README",
        "Readme",
        "_dir",
        "_env",
        "a:b.txt",
        "a_b.txt",
        "kadlet-folder.txt/y",
    ];
    for name in names {
        fs::create_dir_all(source.join(name).parent().unwrap()).unwrap();
        fs::write(source.join(name), name).unwrap();
    }
    let mut sharer = Node::share(&nodes[0], &[text(&source)]);
    let link = loop {
        let shared = sharer.wait_for("shared");
        if shared["path"] == text(&source) {
            break bare(&link(&shared));
        }
    };
    let target = dir.path().join("copy");
    get(&nodes[1], &link, &target).succeeded();
    let fetched = || {
        let entries = [".", "_dir", "kadlet-folder.txt_"]
            .into_iter()
            .flat_map(|folder| fs::read_dir(target.join(folder)).unwrap())
            .map(|entry| entry.unwrap().path());
        let texts = entries.filter(|path| path.is_file() && !path.ends_with("kadlet-folder.txt"));
        let mut texts: Vec<_> = texts.map(|path| fs::read_to_string(path).unwrap()).collect();
        texts.sort_unstable();
        texts
    };
    assert_eq!(fetched(), names);
    assert_eq!(fs::read(target.join("_env")).unwrap(), b".env");
    let digits = &ContentId::of(b"a_b.txt").to_string()[..8];
    assert_eq!(fs::read(target.join(format!("a_b-{digits}.txt"))).unwrap(), b"a_b.txt");
    // Nothing is missing a second time.
    drop(sharer);
    let again = get(&nodes[1], &link, &target).succeeded();
    assert_eq!(again.event("done")["fetched"], 0);
    assert_eq!(fetched(), names);
}

/// That a provider is gone is found out once for all files, and whether it is back at the end.
#[test]
fn a_provider_that_is_gone_holds_up_one_file_of_a_folder() {
    let nodes = network_of(2, "gone-folder");
    let dir = tempfile::tempdir().unwrap();
    let names = ["one", "two", "three"];
    // Nobody else has the port, and nobody listens there.
    let port = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    port.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let addr = port.local_addr().unwrap().as_socket().unwrap();
    let ids = names.map(|name| ContentId::of(name.as_bytes()));
    let _announced = ids.map(|id| Provider::at_port(&nodes[0], id, addr.port()));
    let back = Gate::default();
    let until = back.clone();
    let _last = Provider::serve(&nodes[0], b"last", move |range| {
        until.wait();
        Ok(part(b"last", &range))
    });
    let mut list = "kadlet folder 1\n".to_owned();
    for name in names.iter().chain(&["last"]) {
        list += &format!("{} {} {name}\n", ContentId::of(name.as_bytes()), name.len());
    }
    let list = list.into_bytes();
    let served = list.clone();
    let _list = Provider::serve(&nodes[0], &list, move |range| Ok(part(&served, &range)));
    let link = Link::new(ContentId::of(&list)).with_name("folder/").to_string();
    let target = dir.path().join("copy");
    let arguments = ["get", &link, "-o", text(&target), "--json", "--no-lan"];
    let network = ["--network", &nodes[0].network, "--bootstrap", &nodes[0].addr];
    let mut getting = Node::spawn("", &[&arguments[..], &network].concat());
    assert_eq!(getting.wait_for("rejected")["addr"], addr.to_string());
    drop(port);
    let runtime = Runtime::new().unwrap();
    let shares = runtime.block_on(Shares::listen(addr)).unwrap();
    for name in names {
        let source = dir.path().join(name);
        fs::write(&source, name).unwrap();
        shares.add(Arc::new(SharedFile::hash(&source, |_| {}).unwrap()));
    }
    back.open();
    let mut done = Vec::new();
    while let Some(event) = getting.next() {
        assert!(!["rejected", "warning"].contains(&event["event"].as_str().unwrap()), "{event}");
        if event["event"] == "done" {
            done.push(event["path"].as_str().unwrap().to_owned());
        }
    }
    let expected = ["last", "one", "two", "three", ""];
    assert_eq!(
        done,
        expected.map(|name| text(&target.join(name)).trim_end_matches('/').to_owned())
    );
    assert_eq!(getting.ended(), Some(0));
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
        // A folder where another file of the list would be, and one where a file is already.
        "sub/file/below",
        "mine/below",
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
    fs::create_dir(&target).unwrap();
    fs::write(target.join("mine"), "mine").unwrap();
    let got = get(&nodes[1], &link, &target);
    assert_eq!(got.status, Some(2), "{got:?}");
    assert!(got.event("warning")["message"].as_str().unwrap().contains("mine/below"), "{got:?}");
    assert_eq!(fs::read(target.join("mine")).unwrap(), b"mine");
    assert_holds_only(&outer, &["target"]);
    assert_holds_only(dir.path(), &["file", "outer"]);
    let apart = format!("sub/file-{}", &id.to_string()[..8]);
    for inside in [&apart, "sub/file/below", "last"] {
        assert_eq!(fs::read(target.join(inside)).unwrap(), b"owned", "{inside}");
    }
    // Another folder does not mix with it, nor does its list pass for the other's.
    let other = b"kadlet folder 1\n".to_vec();
    let served = other.clone();
    let _other = Provider::serve(&nodes[0], &other, move |range| Ok(part(&served, &range)));
    let link = Link::new(ContentId::of(&other)).with_name("other/").to_string();
    get(&nodes[1], &link, &target).failed(2, "target_exists");
}
