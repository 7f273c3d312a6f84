//! The runs that are recorded: a few nodes, a queue of datagrams, one node that is watched.

use alloc::collections::{BTreeMap, VecDeque};
use core::net::SocketAddr;

use kadlet_core::record::SignedValue;
use kadlet_core::{Id, Node, Rng};
use serde_json::{Value, json};

use crate::calls::{path, perform, unhex};
use crate::words::{hex, signed_value};

/// A datagram takes a millisecond.
const STEP: u64 = 1_000;

struct Net {
    now: u64,
    rng: Rng,
    nodes: BTreeMap<SocketAddr, Option<Node>>,
    deadlines: BTreeMap<SocketAddr, u64>,
    /// Time of arrival, from, to, bytes in hexadecimal.
    wire: VecDeque<(u64, SocketAddr, SocketAddr, String)>,
    watched: SocketAddr,
    lines: Vec<(Value, Value)>,
    /// Operations that ended at the node that was called last.
    done: Vec<Value>,
}

fn public(i: u8) -> SocketAddr {
    SocketAddr::from(([20 + i, i, 1, 1], 4000))
}

fn direct(remote: SocketAddr) -> Value {
    json!({"link": 0, "remote": remote.to_string()})
}

impl Net {
    /// `n` nodes, of which the one that is watched keeps a journal.
    fn new(seed: u8, n: u8, watched: u8, network: Option<&str>) -> Self {
        let mut net = Self {
            now: 1_000_000,
            rng: Rng::from_seed([seed; 32]),
            nodes: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            wire: VecDeque::new(),
            watched: public(watched),
            lines: Vec::new(),
            done: Vec::new(),
        };
        for i in 0..n {
            let config = json!({
                "network": network,
                // On public addresses a node that finds its role out is a client at first.
                "role": if i == watched { "auto" } else { "server" },
                "capabilities": 3,
                "deadline": 60_000_000,
                "max_changes": if i == watched { 64 } else { 0 },
            });
            let (id, seed) = (net.id(), hex(&net.rng.bytes::<32>()));
            net.nodes.insert(public(i), None);
            net.call(i, "new", json!({"config": config, "id": id, "seed": seed}));
            net.call(
                i,
                "link_up",
                json!({
                    "link": 0,
                    "local": public(i).to_string(),
                    "families": ["ipv4"],
                    "mtu": 1400,
                }),
            );
        }
        net
    }

    fn id(&mut self) -> String {
        Id::random(&mut self.rng).to_string()
    }

    fn perform(&mut self, addr: SocketAddr, mut call: Value) -> Value {
        call["now"] = json!(self.now);
        let node = self.nodes.get_mut(&addr).unwrap();
        let out = perform(node, &call);
        for transmit in out["transmits"].as_array().into_iter().flatten() {
            let to = path(&transmit["path"]).remote;
            let payload = transmit["payload"].as_str().unwrap().to_string();
            self.wire.push_back((self.now + STEP, addr, to, payload));
        }
        for event in out["events"].as_array().into_iter().flatten() {
            if event["type"] == "done" {
                self.done.push(json!([addr.to_string(), event["operation"], event["outcome"]]));
            }
        }
        match out["deadline"].as_u64() {
            Some(at) => self.deadlines.insert(addr, at),
            None => self.deadlines.remove(&addr),
        };
        if addr == self.watched {
            self.lines.push((call, out.clone()));
        }
        out
    }

    /// Calls a verb and gives what it returns.
    fn call(&mut self, node: u8, verb: &str, arguments: Value) -> Value {
        let mut call = arguments;
        call["call"] = json!(verb);
        self.perform(public(node), call)["returns"].clone()
    }

    /// Hands a node a datagram that nobody sent.
    fn inject(&mut self, node: u8, from: &str, datagram: &[u8]) -> Value {
        let path = json!({"link": 0, "remote": from});
        self.call(node, "handle_datagram", json!({"path": path, "datagram": hex(datagram)}))
    }

    /// What is due next: a datagram or a deadline.
    fn step(&mut self) {
        let deadline = self.deadlines.iter().map(|(addr, at)| (*at, *addr)).min();
        let arrival = self.wire.front().map(|(at, ..)| *at);
        match (arrival, deadline) {
            (Some(at), deadline) if deadline.is_none_or(|(deadline, _)| at <= deadline) => {
                let (at, from, to, datagram) = self.wire.pop_front().unwrap();
                self.now = self.now.max(at);
                if self.nodes.contains_key(&to) {
                    let call = json!({
                        "call": "handle_datagram", "path": direct(from), "datagram": datagram,
                    });
                    self.perform(to, call);
                }
            }
            (_, Some((at, addr))) => {
                self.now = self.now.max(at);
                self.perform(addr, json!({"call": "handle_timeout"}));
            }
            (_, None) => panic!("nothing will ever happen again"),
        }
    }

    /// Calls a verb, and carries datagrams and time on until its operation has ended.
    fn run(&mut self, node: u8, verb: &str, arguments: Value) -> Value {
        self.done.clear();
        let operation = self.call(node, verb, arguments);
        let addr = json!(public(node).to_string());
        for _ in 0..100_000 {
            if let Some(done) =
                self.done.iter().find(|done| done[0] == addr && done[1] == operation)
            {
                return done[2].clone();
            }
            self.step();
        }
        panic!("{verb} does not end");
    }

    /// Lets time pass, and with it whatever nodes do of their own accord.
    fn rest(&mut self, micros: u64) {
        let end = self.now + micros;
        while self.now < end {
            self.step();
        }
    }

    fn join(&mut self, n: u8) {
        for i in 1..n {
            let joined = self.run(i, "bootstrap", json!({"addresses": [direct(public(0))]}));
            assert_eq!(joined, "success");
        }
    }
}

fn get(key: &str) -> Value {
    json!({"key": key, "salt": "", "newer_than": null})
}

fn put(item: &Value, cas: Option<u64>) -> Value {
    json!({"item": item, "cas": cas, "renew": false})
}

/// Every verb on the native wire.
pub(crate) fn native() -> Vec<(Value, Value)> {
    let mut net = Net::new(1, 7, 1, Some("kadlet"));
    net.join(7);
    // Meanwhile strangers are asked to reach the watched node, which makes it a server.
    net.rest(20_000_000);
    values(&mut net);
    contents(&mut net);
    signed_values(&mut net);
    hostile_datagrams(&mut net);
    losses(&mut net);
    reads_and_end(&mut net);
    net.lines
}

fn values(net: &mut Net) {
    assert_eq!(net.run(1, "put", put(&json!(hex(b"hello")), None)), "success");
    let hello = kadlet_core::record::Value::new(*b"hello").unwrap().key().to_string();
    assert_eq!(net.run(4, "get", get(&hello)), "success");
    assert_eq!(net.run(1, "get", get(&hello)), "success");
    assert_eq!(net.run(2, "put", put(&json!(hex(b"")), None)), "success");
    let empty = kadlet_core::record::Value::new(*b"").unwrap().key().to_string();
    assert_eq!(net.run(1, "get", get(&empty)), "success");
    let absent = net.id();
    assert_eq!(net.run(1, "get", get(&absent)), "absent");
    let long = json!(hex(&[0; 897]));
    assert!(net.call(1, "put", put(&long, None))["error"].is_string());
}

fn contents(net: &mut Net) {
    let key = net.id();
    let announce =
        |port: Option<u16>| json!({"key": key, "port": port, "transports": 1, "renew": false});
    assert_eq!(net.run(2, "announce", announce(Some(80))), "success");
    assert_eq!(net.run(1, "providers", json!({"key": key})), "success");
    assert_eq!(net.run(1, "announce", announce(None)), "success");
    assert_eq!(net.run(3, "providers", json!({"key": key})), "success");

    let entry =
        |name: &str| json!({"name": name, "size": 7, "content": hex(&[7; 32]), "extra": ""});
    let published = json!({"entry": entry("Blue Dänube.ogg"), "renew": false});
    assert_eq!(net.run(3, "publish", published), "success");
    assert_eq!(net.run(1, "search", json!({"query": "dänube BLUE"})), "success");
    let published = json!({"entry": entry("blue moon.ogg"), "renew": true});
    assert_eq!(net.run(1, "publish", published), "success");
    assert_eq!(net.run(5, "search", json!({"query": "moon"})), "success");
    assert!(net.call(1, "search", json!({"query": "?!"}))["error"].is_string());
    let wordless = json!({"entry": entry("…"), "renew": false});
    assert!(net.call(1, "publish", wordless)["error"].is_string());
}

fn signed_values(net: &mut Net) {
    let secret = [9; 32];
    let mut sign = |seq: u64, value: &[u8]| {
        let call =
            json!({"secret": hex(&secret), "salt": hex(b"feed"), "seq": seq, "value": hex(value)});
        net.call(1, "sign", call)
    };
    let (one, two, three) = (sign(1, b"one"), sign(2, b"two"), sign(3, b"three"));
    // The greatest number there is: languages whose numbers are floats have to carry it too.
    let last = sign(u64::MAX - 1, b"last");
    assert_eq!(one, signed_value(&SignedValue::sign(&secret, b"feed", 1, b"one").unwrap()));
    assert_eq!(net.run(1, "put", put(&one, None)), "success");
    assert_eq!(net.run(1, "put", put(&two, Some(1))), "success");
    let refused = |code: &str, number| json!({"code": code, "number": number, "seq": 2});
    assert_eq!(net.run(1, "put", put(&three, Some(1))), refused("cas_mismatch", 301));
    assert_eq!(net.run(1, "put", put(&one, None)), refused("stale_sequence", 302));
    let key = SignedValue::key_of(&SignedValue::public_key_of(&secret), b"feed").to_string();
    let newer = json!({"key": key, "salt": hex(b"feed"), "newer_than": 1});
    assert_eq!(net.run(1, "get", newer), "success");
    assert_eq!(net.run(1, "put", put(&last, None)), "success");
    assert_eq!(net.run(1, "get", get(&key)), "success");
    let mut forged = last;
    forged["seq"] = json!(5);
    assert!(net.call(1, "put", put(&forged, None))["error"].is_string());
}

fn hostile_datagrams(net: &mut Net) {
    let heard = net.lines.iter().rev().find(|(call, _)| call["call"] == "handle_datagram");
    let (path, datagram) = {
        let (call, _) = heard.unwrap();
        (call["path"]["remote"].as_str().unwrap().to_string(), unhex(&call["datagram"]))
    };
    let noise: [u8; 100] = net.rng.bytes();
    let mut rejected = vec![
        net.inject(1, &path, b""),
        net.inject(1, &path, b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"),
        net.inject(1, &path, &noise),
        net.inject(1, &path, &datagram),
        net.inject(1, "20.0.1.1:0", &datagram),
        net.inject(1, &path, &[0; 1600]),
    ];
    for cut in (1..datagram.len()).step_by(7) {
        rejected.push(net.inject(1, &path, &datagram[..cut]));
    }
    for at in (0..datagram.len()).step_by(5) {
        let mut changed = datagram.clone();
        changed[at] ^= 1 << (at % 8);
        rejected.push(net.inject(1, &path, &changed));
    }
    assert!(rejected.iter().filter(|reason| reason.is_string()).count() > 20);
}

fn losses(net: &mut Net) {
    let target = net.nodes[&public(3)].as_ref().unwrap().id().to_string();
    let signal = json!({"target": target, "payload": hex(b"offer")});
    assert_eq!(net.run(1, "signal", signal), "success");
    let target = net.nodes[&public(1)].as_ref().unwrap().id().to_string();
    let signal = json!({"target": target, "payload": hex(b"answer")});
    assert_eq!(net.run(3, "signal", signal), "success");
    let long = json!({"target": target, "payload": hex(&[0; 1025])});
    assert!(net.call(1, "signal", long)["error"].is_string());

    // One falls silent, one refuses, and an operation is given up.
    net.nodes.remove(&public(5));
    net.deadlines.remove(&public(5));
    let target = net.id();
    net.run(1, "find_node", json!({"target": target}));
    net.nodes.remove(&public(6));
    net.deadlines.remove(&public(6));
    let operation = net.call(1, "find_node", json!({"target": target}));
    net.call(1, "handle_path_failed", json!({"path": direct(public(6))}));
    net.call(1, "operation", json!({"operation": operation}));
    let after = json!({"operation": operation, "after": 500_000});
    assert_eq!(net.call(1, "set_deadline", after), true);
    assert_eq!(net.call(1, "cancel", json!({"operation": operation})), true);
    assert_eq!(net.call(1, "cancel", json!({"operation": operation})), false);
    net.call(1, "operation", json!({"operation": operation}));

    // Then nobody is there any more.
    for other in [0, 2, 3, 4] {
        net.nodes.remove(&public(other));
        net.deadlines.remove(&public(other));
    }
    for _ in 0..3 {
        net.run(1, "find_node", json!({"target": target}));
    }
}

fn reads_and_end(net: &mut Net) {
    for verb in ["id", "config", "stats", "health", "estimate"] {
        net.call(1, verb, json!({}));
    }
    net.call(1, "table", json!({"family": "ipv4"}));
    net.call(1, "table", json!({"family": "ipv6"}));
    let target = net.id();
    net.call(1, "closest", json!({"target": target, "family": "ipv4"}));
    net.call(1, "export_state", json!({}));
    let (id, key) = (net.id(), net.id());
    net.call(1, "set_id", json!({"id": id}));
    net.call(1, "link_down", json!({"link": 0}));
    net.call(1, "providers", json!({"key": key}));
    net.call(1, "shutdown", json!({}));
    assert_eq!(net.inject(1, "20.0.1.1:4000", b""), "closed");
    net.call(1, "stats", json!({}));
}

/// A node that comes back from what another run exported and wrote down.
pub(crate) fn restored() -> Vec<(Value, Value)> {
    let mut net = Net::new(2, 4, 1, Some("kadlet"));
    net.join(4);
    net.rest(20_000_000);
    assert_eq!(net.run(2, "put", put(&json!(hex(b"kept")), None)), "success");
    let state = net.call(1, "export_state", json!({}));
    let records: Vec<Value> = net
        .lines
        .iter()
        .flat_map(|(_, out)| out["changes"].as_array().into_iter().flatten())
        .filter(|change| change["type"] == "record_stored")
        .map(|change| change["record"].clone())
        .collect();
    assert!(!records.is_empty());
    let config = net.lines[0].0["config"].clone();
    net.lines.clear();
    let seed = hex(&net.rng.bytes::<32>());
    let mut restore = json!({
        "config": config, "state": state, "seed": seed, "elapsed": 60_000_000,
    });
    net.call(1, "restore", restore.clone());
    net.call(1, "table", json!({"family": "ipv4"}));
    net.call(1, "health", json!({}));
    for record in records {
        net.call(1, "restore_record", json!({"record": record, "elapsed": 60_000_000}));
    }
    net.call(1, "restore_record", json!({"record": "00", "elapsed": 0}));
    let key = kadlet_core::record::Value::new(*b"kept").unwrap().key().to_string();
    assert_eq!(net.run(3, "get", get(&key)), "success");
    let target = net.id();
    assert_eq!(net.run(1, "find_node", json!({"target": target})), "success");
    // Cut in the middle: an error, and the node that was there stays.
    let text = state.as_str().unwrap();
    restore["state"] = json!(text[..text.len() / 4 * 2]);
    assert!(net.call(1, "restore", restore)["error"].is_string());
    net.lines
}

/// The other wire: a node of BitTorrent's Mainline DHT joins, looks up, and is asked.
pub(crate) fn mainline() -> Vec<(Value, Value)> {
    let mut net = Net::new(3, 4, 1, None);
    net.join(4);
    let target = net.id();
    assert_eq!(net.run(1, "find_node", json!({"target": target})), "success");
    let path = public(2).to_string();
    net.inject(1, &path, b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe");
    net.inject(1, &path, b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping");
    net.inject(1, &path, b"i0e");
    net.lines
}
