//! Nodes, values, providers and lookups; addresses and folders that cannot be used.

#[cfg(unix)]
use std::io::Write as _;
use std::net::UdpSocket;

use kadlet::core::Announcement;
use kadlet::{Dht, Error};

use crate::common::{Node, ask, network, network_of, run};
use crate::files::{bare, link, text};

const KEY: &str = "00000000000000000000000000000000000000ff";

#[test]
fn a_value_goes_from_one_process_to_another() {
    let nodes = network_of(5, "value");
    let stored = ask(&nodes[1], &["put", "hello world"]).succeeded();
    let stored = stored.event("stored");
    assert!(stored["nodes"].as_u64().unwrap() >= 1, "{stored}");
    let key = stored["key"].as_str().unwrap();
    assert_eq!(key.len(), 40);
    let value = ask(&nodes[4], &["value", key]).succeeded();
    assert_eq!(value.event("value")["value"], "68656c6c6f20776f726c64");
    assert_eq!(value.event("value")["key"], key);
    // For people: the bytes themselves.
    let plain = ["value", key, "--no-lan", "--bootstrap", &nodes[2].addr];
    let plain = run(&[&plain[..], &["--network", &nodes[2].network]].concat()).succeeded();
    assert_eq!(plain.stdout, b"hello world");
}

#[test]
fn a_value_from_a_file_and_one_that_nobody_has() {
    let nodes = network_of(2, "file");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("value");
    std::fs::write(&file, [0, 1, 2, 0xff]).unwrap();
    let argument = format!("@{}", file.display());
    let stored = ask(&nodes[0], &["put", &argument]).succeeded();
    let key = stored.event("stored")["key"].as_str().unwrap().to_owned();
    assert_eq!(ask(&nodes[1], &["value", &key]).succeeded().event("value")["value"], "000102ff");
    ask(&nodes[1], &["value", KEY]).failed(1, "not_found");
}

#[test]
fn signed_values_are_replaced_in_order_only() {
    let nodes = network_of(4, "signed");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("me.key");
    let file = file.to_str().unwrap();
    let put = |more: &[&str]| ask(&nodes[1], &[&["put"], more, &["--key", file]].concat());
    let first = put(&["one", "--salt", "s", "--new-key"]).succeeded();
    let key = first.event("stored")["key"].as_str().unwrap().to_owned();
    assert_eq!(first.event("stored")["seq"], 1);
    // One more than the stored one, without being told.
    let second = put(&["two", "--salt", "s"]).succeeded();
    assert_eq!(
        (&second.event("stored")["key"], &second.event("stored")["seq"]),
        (&key.as_str().into(), &2.into())
    );
    let stale = put(&["three", "--salt", "s", "--seq", "1"]);
    assert_eq!(stale.failed(1, "stale_sequence")["seq"], 2);
    let swap = put(&["four", "--salt", "s", "--seq", "9", "--cas", "1"]);
    assert_eq!(swap.failed(1, "cas_mismatch")["seq"], 2);
    put(&["five", "--salt", "s", "--cas", "2"]).succeeded();
    let value = ask(&nodes[3], &["value", &key]).succeeded();
    let value = value.event("value");
    assert_eq!((&value["value"], &value["seq"]), (&"66697665".into(), &3.into()));
    assert_eq!(value["signed"], true);
}

#[test]
fn who_announces_is_found() {
    let nodes = network_of(5, "peers");
    ask(&nodes[2], &["peers", KEY]).failed(1, "not_found");
    let announced = ask(&nodes[1], &["announce", KEY, "--port", "8080"]).succeeded();
    assert!(announced.event("announced")["nodes"].as_u64().unwrap() >= 1);
    let peers = ask(&nodes[3], &["peers", KEY]).succeeded();
    assert_eq!(peers.event("peer")["addr"], "127.0.0.1:8080");
    assert_eq!(peers.event("done")["peers"], 1);
}

#[test]
fn a_lookup_shows_its_steps_and_finds_the_closest() {
    let nodes = network_of(6, "lookup");
    let found = ask(&nodes[0], &["lookup", KEY, "--trace"]).succeeded();
    // All nodes are among the k closest of so small a network.
    let mut closest: Vec<_> =
        found.events("closest").iter().map(|one| one["id"].as_str().unwrap()).collect();
    closest.sort_unstable();
    let mut all: Vec<_> = nodes.iter().map(|node| node.id.as_str()).collect();
    all.sort_unstable();
    assert_eq!(closest, all);
    let done = found.event("done");
    assert_eq!(done["asked"], found.events("asked").len());
    assert_eq!(done["answered"], found.events("answered").len());
    for answered in found.events("answered") {
        assert!(answered["rtt_ms"].as_f64().unwrap() > 0.0, "{answered}");
        assert!(answered["at_ms"].as_f64().unwrap() > 0.0, "{answered}");
    }
}

#[test]
fn one_shot_commands_are_never_servers() {
    let nodes = network_of(2, "client");
    for _ in 0..3 {
        ask(&nodes[0], &["lookup", KEY]).succeeded();
    }
    // Nobody names the clients, which are gone: the two nodes are all there is to ask.
    let found = ask(&nodes[1], &["lookup", KEY]).succeeded();
    assert_eq!(found.events("closest").len(), 2);
    assert_eq!(found.event("done")["asked"], 2);
}

#[test]
fn a_search_without_hits_says_so() {
    let nodes = network_of(2, "search");
    let found = ask(&nodes[0], &["search", "nothing", "like", "this"]);
    found.failed(1, "not_found");
    assert_eq!(found.event("done")["hits"], 0);
    ask(&nodes[0], &["search", "!!!"]).failed(2, "no_words");
}

#[test]
fn nobody_to_ask_says_what_to_type() {
    for command in [&["value", KEY][..], &["put", "x"], &["peers", KEY], &["lookup", KEY]] {
        let name = network("nobody");
        let alone = run(&[command, &["--json", "--no-lan", "--network", &name]].concat());
        let error = alone.failed(3, "no_contacts");
        assert!(error["message"].as_str().unwrap().contains("--bootstrap HOST:PORT"), "{error}");
    }
}

/// Mistake 29: "0 nodes" without a reason.
#[test]
fn each_bootstrap_address_that_fails_has_a_reason() {
    let nodes = network_of(2, "bootstrap");
    let other = Node::start(&network("another"), &[]);
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    let bad =
        ["--bootstrap", &silent, "--bootstrap", &other.addr, "--bootstrap", "nowhere.invalid:1"];
    let name = nodes[0].network.as_str();
    let common = ["--json", "--no-lan", "--network", name];
    let alone = run(&[&["value", KEY][..], &common, &bad].concat());
    let error = alone.failed(3, "bootstrap_failed");
    let results: Vec<_> = error["attempts"].as_array().unwrap().iter().collect();
    assert_eq!(results.len(), 3);
    for (attempt, (given, result)) in results.iter().zip([
        (silent.as_str(), "timeout"),
        (other.addr.as_str(), "other_network"),
        ("nowhere.invalid:1", "unresolved"),
    ]) {
        assert_eq!((&attempt["given"], &attempt["result"]), (&given.into(), &result.into()));
    }
    // One that works is enough; the others are warned of.
    let found = ask(&nodes[0], &[&["lookup", KEY][..], &bad].concat()).succeeded();
    assert_eq!(found.events("warning").len(), 3);
    assert_eq!(found.events("closest").len(), 2);
    // A node behaves the same way.
    let node = run(&[&["node", "--listen", "127.0.0.1:0"][..], &common, &bad].concat());
    node.failed(3, "bootstrap_failed");
}

#[test]
fn what_cannot_be_started_says_why() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, code, said) in [
        (&["node", "--listen", &taken][..], "address_in_use", "choose another"),
        (&["node", "--listen", "198.51.100.7:0"], "address_unavailable", "0.0.0.0"),
        (&["node", "--listen", "here"], "usage", "IP:PORT"),
        (&["node", "--bootstrap", "127.0.0.1"], "usage", "port is missing"),
        (&["node", "--timeout", "0"], "usage", "more than 0"),
        (&["share", "x", "--http", "here"], "usage", "IP:PORT"),
        (&["put", "x", "--key", "k", "--salt", &"s".repeat(65)], "value_too_long", "64"),
        (&["node", "--network", ""], "usage", "1 to 64"),
        (&["node", "--client", "--server"], "usage", "--server"),
        (&["value", "abc"], "usage", "40 hexadecimal digits"),
        (&["peers", &"g".repeat(40)], "usage", "character 1"),
        (&["announce", KEY, "--port", "0"], "usage", "1..=65535"),
        (&["announce", KEY], "usage", "--port"),
        (&["put", &"x".repeat(897)], "value_too_long", "896"),
        (&["put", "@/does/not/exist"], "io", "/does/not/exist"),
        (&["put", "x", "--key", "/does/not/exist"], "key_file", "--new-key"),
        (&["put", "x", "--seq", "1"], "usage", "--key"),
        (&["status"], "usage", "--data DIR"),
        (&["frobnicate"], "usage", "frobnicate"),
    ] {
        let ended = run(&[arguments, &["--json"]].concat());
        let error = ended.failed(2, code);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(said), "{arguments:?}: {message}");
        assert!(ended.events("listening").is_empty(), "something was started: {ended:?}");
    }
}

/// A hostile or broken peer ends nothing, and neither does one that is gone (mistake 30).
#[test]
fn junk_and_dead_peers_do_not_end_a_node() {
    let mut nodes = network_of(4, "junk");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in [0, 1, 20, 100, 1232, 1233, 9000] {
        let junk: Vec<u8> = (0..length).map(|i| (i * 31 % 251) as u8).collect();
        socket.send_to(&junk, &nodes[0].addr).unwrap();
    }
    // Without goodbye: datagrams to it come back as refused.
    nodes.pop().unwrap().kill();
    let stored = ask(&nodes[1], &["put", "still here"]).succeeded();
    let key = stored.event("stored")["key"].as_str().unwrap().to_owned();
    let value = ask(&nodes[0], &["value", &key]).succeeded();
    assert_eq!(value.event("value")["value"], "7374696c6c2068657265");
}

#[test]
fn a_node_stops_when_asked_and_keeps_its_id() {
    let name = network("id");
    let dir = tempfile::tempdir().unwrap();
    let data = ["--data", dir.path().to_str().unwrap()];
    let first = Node::start(&name, &data);
    let id = first.id.clone();
    assert_eq!(first.stop(), Some(0));
    assert!(!dir.path().join("status.json").exists());
    let second = Node::start(&name, &data);
    assert_eq!(second.id, id);
    second.kill();
    assert_eq!(Node::start(&name, &data).id, id);
}

#[test]
fn a_folder_in_use_is_named_and_its_node_can_be_asked() {
    let name = network("in-use");
    let dir = tempfile::tempdir().unwrap();
    let data = ["--data", dir.path().to_str().unwrap()];
    run(&[&["status", "--json"][..], &data].concat()).failed(3, "no_node");
    let first = Node::start(&name, &data);
    let _second = Node::join(&first, &[]);
    let refused = run(&[&["node", "--json"][..], &data].concat());
    let message = refused.failed(2, "data_in_use")["message"].as_str().unwrap();
    assert!(message.contains(&first.pid().to_string()), "{message}");
    let status = run(&[&["status", "--json"][..], &data].concat()).succeeded();
    let status = status.event("status");
    assert_eq!(
        (&status["id"], &status["addr"]),
        (&first.id.as_str().into(), &first.addr.as_str().into())
    );
    // The folder stands for its node.
    let common = ["--json", "--no-lan", "--network", &name];
    let found = run(&[&["lookup", KEY][..], &common, &data].concat()).succeeded();
    assert_eq!(found.events("closest").len(), 2);
    let asked = ask(&first, &["status"]).succeeded();
    assert_eq!(asked.event("status")["id"], first.id.as_str());
}

#[test]
fn contacts_survive_a_kill() {
    let nodes = network_of(3, "contacts");
    let dir = tempfile::tempdir().unwrap();
    let data = ["--data", dir.path().to_str().unwrap()];
    let kept = Node::join(&nodes[0], &data);
    // The contacts are exported within a second of their change, and joining has changed them;
    // a status that shows them was written after.
    let status = || run(&[&["status", "--json"][..], &data].concat());
    while status().event("status")["contacts_kept"] != 3 {}
    let id = kept.id.clone();
    kept.kill();
    let mut back = Node::start(&nodes[0].network, &data);
    assert_eq!(back.id, id);
    assert_eq!(back.wait_for("joined")["contacts"], 3);
}

#[test]
fn nodes_of_one_machine_find_each_other_without_an_address() {
    let name = network("lan");
    let first = Node::start(&name, &["--lan"]);
    let here = ["--json", "--network", &name, "--listen", "127.0.0.1:0"];
    let found = run(&[&["lookup", KEY][..], &here].concat()).succeeded();
    assert_eq!(found.event("closest")["id"], first.id.as_str());
}

/// The addresses in a link are those of the day on which it was made.
#[test]
fn a_link_whose_addresses_are_gone_is_looked_for_nearby() {
    let name = network("old-link");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "here").unwrap();
    let mut share = Node::start_as("share", &name, &["--lan", text(&file)]);
    let link = bare(&link(&share.wait_for("shared")));
    let stale = format!("{link}&x.pe=127.0.0.1:9");
    let target = dir.path().join("target");
    let all = ["get", &stale, "-o", text(&target), "--json", "--network", &name];
    run(&[&all[..], &["--listen", "127.0.0.1:0"]].concat()).succeeded();
    assert_eq!(std::fs::read(&target).unwrap(), b"here");
    // Not where nobody is to be looked for.
    std::fs::remove_file(&target).unwrap();
    run(&[&all[..], &["--no-lan"]].concat()).failed(3, "bootstrap_failed");
}

/// What a node that was killed has written down is not another's. (On Windows nobody can read who
/// holds a file that is locked.)
#[cfg(unix)]
#[test]
fn what_a_killed_node_has_said_is_not_believed() {
    let name = network("killed");
    let dir = tempfile::tempdir().unwrap();
    let data = ["--data", text(dir.path())];
    let node = Node::start(&name, &data);
    assert!(dir.path().join("status.json").exists());
    node.kill();
    // Another command has the folder now, which says nothing of itself there.
    let mut lock = std::fs::File::options().write(true).open(dir.path().join("lock")).unwrap();
    lock.lock().unwrap();
    lock.set_len(0).unwrap();
    write!(lock, "{}", std::process::id()).unwrap();
    let status = run(&[&["status", "--json"][..], &data].concat());
    let message = status.failed(3, "no_node")["message"].as_str().unwrap();
    assert!(message.contains("has not said how it is yet"), "{message}");
    let put = ["put", "hello", "--json", "--no-lan", "--network", &name];
    run(&[&put[..], &data].concat()).failed(2, "data_in_use");
}

#[test]
fn help_and_completion_are_there() {
    let help = run(&["--help"]).succeeded();
    let text = String::from_utf8(help.stdout).unwrap();
    for command in ["node", "put", "value", "announce", "peers", "lookup", "search", "status"] {
        assert!(text.contains(command), "{command}");
        let help = run(&[command, "--help"]).succeeded();
        assert!(String::from_utf8(help.stdout).unwrap().contains("Example"), "{command}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(&["completion", shell]).succeeded();
        assert!(String::from_utf8(script.stdout).unwrap().contains("lookup"), "{shell}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let nodes = network_of(2, "pipe");
    // Reads one line and closes the pipe.
    let lookup = format!(
        "lookup {KEY} --trace --no-lan --network {} --bootstrap {}",
        nodes[0].network, nodes[0].addr
    );
    for arguments in [&lookup, "completion bash", "--help"] {
        let command = format!("{} {arguments} | head -1", env!("CARGO_BIN_EXE_kadlet"));
        let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}

/// The library: what it is too busy for is no silence of others.
#[test]
fn a_node_that_does_all_it_may_says_so() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let builder = Dht::builder().listen("127.0.0.1:0".parse().unwrap());
        let dht = builder.config(|config| config.max_operations = 0).start().await.unwrap();
        let key = KEY.parse().unwrap();
        assert_eq!(dht.find_node(key).await, Err(Error::Overloaded));
        assert_eq!(dht.get(key).await, Err(Error::Overloaded));
        let announced = dht.keep_announced(key, Announcement::http(80)).await;
        assert_eq!(announced, Err(Error::Overloaded));
        assert_eq!(dht.health().await.unwrap().publications, 0);
    });
}
