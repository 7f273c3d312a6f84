//! The state folder where things go wrong: no room, gone, damaged, of a later version.

use std::fs;
use std::path::Path;

use redb::{Database, TableDefinition};

use crate::common::{Node, ask, network, network_of, run};
use crate::files::{bare, get, link, text};

fn data(dir: &Path) -> [&str; 2] {
    ["--data", text(dir)]
}

fn stored_key(node: &Node, value: &str) -> String {
    let stored = ask(node, &["put", value]).succeeded();
    stored.event("stored")["key"].as_str().unwrap().to_owned()
}

/// Waits for a warning with this code.
#[track_caller]
fn warned(node: &mut Node, code: &str) -> String {
    let warning = node.wait_for("warning");
    assert_eq!(warning["code"], code, "{warning}");
    warning["message"].as_str().unwrap().to_owned()
}

/// A disk that is full, as far as the program can tell: no file may be written.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_kept_is_not_acknowledged_until_there_is_room() {
    use rlimit::{INFINITY, Resource};
    let name = network("no-room");
    let dir = tempfile::tempdir().unwrap();
    let listen = ["node", "--json", "--no-lan", "--listen", "127.0.0.1:0", "--network", &name];
    let all = [&listen[..], &data(dir.path())].concat();
    let mut node = Node::spawn_limited(&name, "-S -f unlimited", &all).listens();
    let before = stored_key(&node, "before");
    node.limit(Resource::FSIZE, 0);
    let refused = ask(&node, &["put", "meanwhile", "--timeout", "2"]);
    assert!(refused.events("stored").is_empty() && refused.status != Some(0), "{refused:?}");
    assert!(warned(&mut node, "data_unwritable").contains("make room"));
    // The rest goes on, what it holds already among it.
    ask(&node, &["value", &before]).succeeded();
    node.limit(Resource::FSIZE, INFINITY);
    warned(&mut node, "data_written");
    let after = stored_key(&node, "after");
    let id = node.id.clone();
    node.kill();
    let node = Node::start(&name, &data(dir.path()));
    assert_eq!(node.id, id);
    for key in [before, after] {
        ask(&node, &["value", &key]).succeeded();
    }
}

/// What was so before the disk was full is not shown as what is so now; and whoever asks by the
/// folder still finds the node.
#[cfg(target_os = "linux")]
#[test]
fn a_status_that_cannot_be_written_is_not_shown() {
    use rlimit::{INFINITY, Resource};
    let name = network("old-status");
    let dir = tempfile::tempdir().unwrap();
    let listen = ["node", "--json", "--no-lan", "--listen", "127.0.0.1:0", "--network", &name];
    let all = [&listen[..], &data(dir.path())].concat();
    let mut node = Node::spawn_limited(&name, "-S -f unlimited", &all).listens();
    let status = || run(&[&["status", "--json"][..], &data(dir.path())].concat());
    status().succeeded();
    node.limit(Resource::FSIZE, 0);
    let wait_for = |wanted: bool, node: &mut Node| {
        while dir.path().join("status.json").exists() != wanted {
            assert!(!node.has_ended(), "it is as it was");
            std::thread::sleep(core::time::Duration::from_millis(10));
        }
    };
    wait_for(false, &mut node);
    let message = status();
    assert!(message.failed(3, "no_node")["message"].as_str().unwrap().contains("cannot write it"));
    let lookup = ["lookup", &node.id, "--json", "--no-lan", "--network", &name];
    let found = run(&[&lookup[..], &data(dir.path())].concat()).succeeded();
    assert_eq!(found.event("done")["answered"], 1);
    node.limit(Resource::FSIZE, INFINITY);
    wait_for(true, &mut node);
    status().succeeded();
    assert_eq!(node.stop(), Some(0));
    for gone in ["status.json", "status.json.old", "status.json.new"] {
        assert!(!dir.path().join(gone).exists(), "{gone}");
    }
}

/// A log that cannot be written is no reason to leave those who rely on the node.
#[cfg(target_os = "linux")]
#[test]
fn a_node_that_cannot_speak_goes_on() {
    let name = network("full-log");
    let dir = tempfile::tempdir().unwrap();
    let listen = ["node", "--json", "--no-lan", "--listen", "127.0.0.1:0", "--network", &name];
    let mut node = Node::spawn_without_room(&name, &[&listen[..], &data(dir.path())].concat());
    // The line that says where it listens is lost; the folder says it too, a second later.
    while !dir.path().join("status.json").exists() {
        assert!(!node.has_ended(), "it gave up");
        std::thread::sleep(core::time::Duration::from_millis(10));
    }
    let status = run(&[&["status", "--json"][..], &data(dir.path())].concat()).succeeded();
    assert_eq!(status.event("status")["running"], true);
    assert_eq!(node.stop(), Some(0));
    // What is asked once has nothing else to do than to answer.
    let asked = ["completion", "bash"];
    assert_eq!(Node::spawn_without_room(&name, &asked).ended(), Some(2));
}

/// What was kept for one network is not told to another.
#[test]
fn a_folder_belongs_to_one_network() {
    let name = network("one");
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&name, &data(dir.path()));
    let id = node.id.clone();
    assert_eq!(node.stop(), Some(0));
    let other = ["--no-lan", "--json", "--network", "another"];
    for command in [&["node"][..], &["put", "hello"]] {
        let refused = run(&[command, &other, &data(dir.path())].concat());
        let message = refused.failed(2, "data_other_network")["message"].as_str().unwrap();
        assert!(message.contains(&name) && message.contains("nothing was changed"), "{message}");
    }
    assert_eq!(Node::start(&name, &data(dir.path())).id, id);
}

/// Nobody given answers, and nobody kept: that is no joining.
#[test]
fn who_reaches_nobody_does_not_say_that_it_joined() {
    let name = network("nobody-there");
    let dir = tempfile::tempdir().unwrap();
    let first = Node::start(&name, &[]);
    let node = Node::join(&first, &data(dir.path()));
    assert_eq!(node.stop(), Some(0));
    let gone = first.addr.clone();
    // As long as the kept contact is there, an address that is not does no harm.
    let also = ["--bootstrap", "127.0.0.1:9"];
    let mut node = Node::start(&name, &[&also[..], &data(dir.path())].concat());
    node.wait_for("joined");
    assert_eq!(node.stop(), Some(0));
    first.kill();
    let bootstrap = ["--bootstrap", &gone];
    let mut node = Node::start(&name, &[&bootstrap[..], &data(dir.path())].concat());
    assert!(warned(&mut node, "bootstrap_failed").contains(&gone));
    assert!(warned(&mut node, "no_answer").contains("kept contacts"));
    assert_eq!(node.stop(), Some(0));
}

/// A folder that is not there when the program starts cannot be written either.
#[cfg(target_os = "linux")]
#[test]
fn a_node_does_not_start_where_it_could_not_keep_anything() {
    let name = network("no-room-at-all");
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["node", "--json", "--no-lan", "--network", &name];
    let all = [&arguments[..], &data(dir.path())].concat();
    let mut node = Node::spawn_limited(&name, "-S -f 0", &all);
    let error = node.wait_for("error");
    assert_eq!(error["code"], "io");
    assert!(error["message"].as_str().unwrap().contains(text(dir.path())), "{error}");
    assert_eq!(node.ended(), Some(2));
    // Nor below a file.
    let file = dir.path().join("file");
    fs::write(&file, "mine").unwrap();
    let below = file.join("folder");
    for bad in [&file, &below] {
        let error = run(&[&arguments[..], &data(bad)].concat());
        let message = error.failed(2, "io")["message"].as_str().unwrap();
        assert!(message.contains(text(bad)), "{message}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn a_folder_that_is_deleted_under_a_node_is_named_and_made_anew() {
    let nodes = network_of(2, "deleted");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("state");
    let source = dir.path().join("kept.txt");
    fs::write(&source, "kept").unwrap();
    let sharing = [&data(&folder)[..], &[text(&source)]].concat();
    let mut sharer = Node::share(&nodes[0], &sharing);
    let shared = bare(&link(&sharer.wait_for("shared")));
    fs::remove_dir_all(&folder).unwrap();
    // Something to be written comes.
    stored_key(&nodes[1], "something");
    loop {
        let warning = sharer.wait_for("warning");
        match warning["code"].as_str().unwrap() {
            // The file that says how it is has no place either.
            "io" => {}
            "data_unwritable" => {
                assert!(warning["message"].as_str().unwrap().contains(text(&folder)), "{warning}");
            }
            code => {
                assert_eq!(code, "data_written");
                break;
            }
        }
    }
    let id = sharer.id.clone();
    sharer.kill();
    // With everything that was in it.
    let mut sharer = Node::share(&nodes[0], &data(&folder));
    assert_eq!(sharer.id, id);
    sharer.wait_for("shared");
    get(&nodes[1], &shared, &dir.path().join("copy")).succeeded();
}

/// A store that is damaged is moved aside and said, one of a later version is left alone.
#[test]
fn a_store_that_cannot_be_read_is_never_written_over() {
    let name = network("damaged");
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("kadlet.redb");
    for (number, junk) in [&b"this is no store"[..], &[0; 8192]].into_iter().enumerate() {
        fs::write(&store, junk).unwrap();
        let arguments = ["node", "--json", "--no-lan", "--listen", "127.0.0.1:0"];
        let all = [&arguments[..], &["--network", &name], &data(dir.path())].concat();
        let mut node = Node::spawn(&name, &all);
        let message = warned(&mut node, "data_damaged");
        node.wait_for("listening");
        assert_eq!(node.stop(), Some(0));
        let aside = dir.path().join(format!("kadlet.redb.damaged-{}", number + 1));
        assert!(message.contains(text(&aside)), "{message}");
        assert_eq!(fs::read(&aside).unwrap(), junk);
    }
    let meta: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    {
        let later = Database::open(&store).unwrap();
        let transaction = later.begin_write().unwrap();
        transaction.open_table(meta).unwrap().insert("version", &[9, 0, 0, 0][..]).unwrap();
        transaction.commit().unwrap();
    }
    let before = fs::read(&store).unwrap();
    let refused = run(&[&["node", "--json", "--network", &name][..], &data(dir.path())].concat());
    let message = refused.failed(2, "data_newer")["message"].as_str().unwrap();
    assert!(message.contains("format 9"), "{message}");
    assert!(fs::read(&store).unwrap() == before, "it was changed");
}
