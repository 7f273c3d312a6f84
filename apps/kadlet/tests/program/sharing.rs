//! Sharing as users meet it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use kadlet::core::content::{ContentId, Link};

use crate::common::{Node, ask, kill, network, network_of, run};
use crate::files::{PIECE, assert_holds_only, bare, get, link, noise, text};

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
    let warning = core::iter::from_fn(|| sharer.next()).find(|event| {
        assert_ne!(event["event"], "changed", "{event}");
        event["event"] == "warning"
    });
    let warning = warning.unwrap();
    assert_eq!(warning["code"], "withdrawn");
    assert!(warning["message"].as_str().unwrap().contains(text(&source)), "{warning}");
}

/// Whatever reads a node's lines may end before it.
#[cfg(target_os = "linux")]
#[test]
fn a_node_that_nobody_listens_to_goes_on() {
    let nodes = network_of(2, "unheard");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("draft.txt");
    fs::write(&source, "first").unwrap();
    let mut sharer = Node::share(&nodes[0], &["-v", text(&source)]);
    let old = bare(&link(&sharer.wait_for("shared")));
    sharer.unheard();
    fs::write(&source, "second").unwrap();
    // It says that the file has changed, and cannot.
    get(&nodes[1], &old, &dir.path().join("early")).failed(1, "no_provider_left");
    let new = Link::new(ContentId::of(b"second")).to_string();
    let target = dir.path().join("target");
    while get(&nodes[1], &new, &target).status != Some(0) {
        assert!(!sharer.has_ended(), "it gave up");
    }
    assert_eq!(fs::read(&target).unwrap(), b"second");
    assert_eq!(sharer.stop(), Some(0));
}

/// A large folder takes its time; meanwhile what is shared already is seen to.
#[test]
fn a_file_that_changes_while_others_are_hashed_is_shared_anew() {
    /// All of it a hole, and nothing that is hashed within a test.
    const LARGE: u64 = 1 << 40;
    let nodes = network_of(1, "meanwhile");
    let dir = tempfile::tempdir().unwrap();
    let (draft, folder) = (dir.path().join("draft.txt"), dir.path().join("folder"));
    fs::write(&draft, "first").unwrap();
    fs::create_dir(&folder).unwrap();
    fs::File::create(folder.join("large")).unwrap().set_len(LARGE).unwrap();
    let mut sharer = Node::share(&nodes[0], &["--unlisted", text(&draft), text(&folder)]);
    let shared = sharer.wait_for("shared");
    fs::write(&draft, "second").unwrap();
    // Whoever asks for it finds out.
    let mut stream = TcpStream::connect(shared["http"].as_str().unwrap()).unwrap();
    let id = ContentId::of(b"first");
    write!(stream, "GET /blake3/{id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut said = core::iter::from_fn(|| sharer.next());
    let changed = said.find(|event| {
        assert_ne!(event["path"], text(&folder), "it was not seen to");
        event["event"] == "changed"
    });
    assert_eq!(changed.unwrap()["path"], text(&draft));
    let again = said.find(|event| event["event"] == "shared" && event["path"] == text(&draft));
    assert!(link(&again.unwrap()).contains(&ContentId::of(b"second").to_string()));
}

/// Nodes that are gone make every publication last: neither the files nor the folder's link wait
/// until it is over for all that come before.
#[test]
fn a_folder_has_its_link_before_all_of_its_files_are_published() {
    const FILES: usize = 60;
    let nodes = network_of(6, "beside");
    for node in &nodes[2..] {
        kill(node.pid(), "-STOP");
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("album");
    fs::create_dir(&folder).unwrap();
    for number in 0..FILES {
        fs::write(folder.join(format!("{number:02}")), number.to_string()).unwrap();
    }
    let mut sharer = Node::share(&nodes[0], &["--unlisted", text(&folder)]);
    let mut files = 0;
    let shared = loop {
        let shared = sharer.wait_for("shared");
        if shared["path"] == text(&folder) {
            break shared;
        }
        assert_eq!(shared["path"], text(&folder.join(format!("{files:02}"))));
        files += 1;
    };
    assert!(files < FILES, "the link came last");
    let mut stream = TcpStream::connect(shared["http"].as_str().unwrap()).unwrap();
    let id = ContentId::of((FILES - 1).to_string().as_bytes());
    write!(stream, "GET /blake3/{id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("59"), "{answer}");
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
    let broken = dir.path().join("broken.txt");
    std::os::unix::fs::symlink("nowhere at all", &broken).unwrap();
    let all = [text(&missing), device, text(&broken), text(&good)];
    let mut sharer = Node::share(&nodes[0], &all);
    for named in [text(&missing), device, "nowhere at all"] {
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

/// A folder whose name is typed with a slash at its end is no other folder: that it is not listed
/// any more holds for the share that was kept of it before.
#[test]
fn a_path_is_shared_once_however_it_is_typed() {
    let name = network("typed");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("album");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("whisper.txt"), "hush").unwrap();
    let data = dir.path().join("data");
    let data = ["--data", text(&data)];
    // Alone: whoever would publish words says that nobody takes them.
    let share = |arguments: &[&str]| {
        let mut sharer = Node::start_as("share", &name, &[&data[..], arguments].concat());
        let mut listed = false;
        for path in [source.join("whisper.txt"), source.clone()] {
            loop {
                let event = sharer.next().unwrap();
                listed |= event["code"] == "not_published";
                if event["event"] == "shared" {
                    assert_eq!(event["path"], text(&path));
                    break;
                }
            }
        }
        kill(sharer.pid(), "-TERM");
        let more = core::iter::from_fn(|| sharer.next()).find(|it| it["event"] == "shared");
        assert_eq!(more, None);
        listed
    };
    let slash = format!("{}/", text(&source));
    assert!(share(&[text(&source), &slash]));
    assert!(!share(&[&slash, "--unlisted"]));
    assert!(!share(&[]));
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

/// A disk that is away for a day ends nothing that was kept, also if the share on it is asked for
/// again meanwhile. What was never shared is not kept.
#[test]
fn a_share_that_fails_is_as_kept_as_it_was() {
    let name = network("away");
    let dir = tempfile::tempdir().unwrap();
    let [here, disk, never] = ["here.txt", "disk.txt", "never.txt"].map(|it| dir.path().join(it));
    fs::write(&here, "here").unwrap();
    fs::write(&disk, "away").unwrap();
    let data = dir.path().join("data");
    let data = ["--data", text(&data)];
    let share = |arguments: &[&str]| {
        let mut sharer = Node::start_as("share", &name, &[&data[..], arguments].concat());
        let mut said = Vec::new();
        while !said.contains(&("shared", text(&here).to_owned())) {
            let event = sharer.next().unwrap();
            let refused = event["code"] == "not_shared";
            let path = &event[if refused { "message" } else { "path" }];
            let path = path.as_str().unwrap_or_default().split(": ").next().unwrap();
            if refused || event["event"] == "shared" {
                said.push((if refused { "refused" } else { "shared" }, path.to_owned()));
            }
        }
        assert_eq!(sharer.stop(), Some(0));
        said
    };
    let said = |what, path: &Path| (what, text(path).to_owned());
    assert_eq!(share(&[text(&disk), text(&here)]), [said("shared", &disk), said("shared", &here)]);
    fs::remove_file(&disk).unwrap();
    let again = share(&[text(&disk), text(&never), text(&here)]);
    assert_eq!(again, [said("refused", &disk), said("refused", &never), said("shared", &here)]);
    fs::write(&disk, "back").unwrap();
    assert_eq!(share(&[]), [said("shared", &disk), said("shared", &here)]);
}

#[test]
fn what_was_kept_is_forgotten_when_asked() {
    let name = network("forget");
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one.txt"), dir.path().join("two"));
    fs::write(&one, "first").unwrap();
    fs::create_dir(&two).unwrap();
    let data = dir.path().join("data");
    let data = ["--data", text(&data)];
    let mut sharer =
        Node::start_as("share", &name, &[&data[..], &[text(&one), text(&two)]].concat());
    for path in [&one, &two] {
        assert_eq!(sharer.wait_for("shared")["path"], text(path));
    }
    let forget = |files: &[&str], network: &str| {
        run(&[&["share", "--forget", "--json", "--network", network], &data[..], files].concat())
    };
    // The folder is the node's as long as it runs, and its network's for ever.
    forget(&[text(&two)], &name).failed(2, "data_in_use");
    assert_eq!(sharer.stop(), Some(0));
    forget(&[text(&two)], "another").failed(2, "data_other_network");
    // All or nothing.
    let three = dir.path().join("three");
    let unknown = forget(&[text(&two), text(&three)], &name);
    let message = unknown.failed(2, "usage")["message"].as_str().unwrap();
    assert!(message.contains(text(&three)) && message.contains(text(&one)), "{message}");
    assert!(unknown.events("forgotten").is_empty(), "{unknown:?}");
    // It need not be there any more, nor typed as it was.
    fs::remove_dir(&two).unwrap();
    let typed = format!("{}/", text(&two));
    let forgotten = forget(&[&typed, text(&two)], &name).succeeded();
    assert_eq!(forgotten.event("forgotten")["path"], text(&two));
    let mut sharer = Node::start_as("share", &name, &data);
    let told = core::iter::from_fn(|| sharer.next()).find(|it| {
        assert_ne!(it["code"], "not_shared", "{it}");
        it["event"] == "shared"
    });
    assert_eq!(told.unwrap()["path"], text(&one));
    kill(sharer.pid(), "-TERM");
    assert_eq!(core::iter::from_fn(|| sharer.next()).find(|it| it["event"] == "shared"), None);
    forget(&[text(&two)], &name).failed(2, "usage");
    // Neither does it make a folder, nor work without one.
    let nowhere = dir.path().join("nowhere");
    let mistyped = ["share", "--forget", "--json", text(&one), "--data", text(&nowhere)];
    run(&mistyped).failed(2, "io");
    assert!(!nowhere.exists());
    run(&mistyped[..4]).failed(2, "usage");
    run(&["share", "--forget", "--json", "--data", data[1]]).failed(2, "usage");
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

/// Started before there is anybody: what it shares is known as soon as somebody comes.
#[test]
fn what_was_shared_alone_is_announced_when_somebody_comes() {
    let name = network("early");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("early bird.txt");
    fs::write(&source, "worm").unwrap();
    let mut sharer = Node::start_as("share", &name, &[text(&source)]);
    for code in ["not_announced", "not_published"] {
        assert_eq!(sharer.wait_for("warning")["code"], code);
    }
    let shared = bare(&link(&sharer.wait_for("shared")));
    let node = Node::join(&sharer, &[]);
    // The content and the words of its name.
    for _ in 0..2 {
        let announced = sharer.wait_for("announced");
        assert_eq!(announced["path"], text(&source));
        assert!(announced["nodes"].as_u64().unwrap() >= 1, "{announced}");
    }
    let found = ask(&node, &["search", "early", "bird"]).succeeded();
    assert_eq!(found.event("hit")["size"], 4);
    get(&node, &shared, &dir.path().join("copy")).succeeded();
}
