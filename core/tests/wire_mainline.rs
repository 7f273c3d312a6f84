//! KRPC against the vectors of the BEPs, against what misled other parsers, and against itself.
//!
//! The files in `golden/mainline/` are lines of fields between ` | `; `#` begins a comment.
#![cfg(feature = "mainline")]

use core::net::{IpAddr, SocketAddr};

use kadlet_core::wire::bencode::Reader;
use kadlet_core::wire::mainline::{MAX_DATAGRAM, Mainline, bep33, bep42, bep44};
use kadlet_core::wire::{
    Body, ErrorCode, Failure, Item, List, Malformed, Message, Method, NodeInfo, Peer, Query,
    Response, Samples, SignedItem, Wire,
};
use kadlet_core::{Capabilities, Families, Id, Rng};
use proptest::prelude::*;

// ---- helpers ----------------------------------------------------------------------------------

/// The lines of a golden file, each cut into its fields.
fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split('|').map(str::trim).collect())
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex"))
        .collect()
}

fn unhex_array<const N: usize>(text: &str) -> [u8; N] {
    unhex(text).try_into().expect("a known length")
}

fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    Mainline.encode(message, &mut out);
    out
}

fn decode(datagram: &[u8]) -> Result<Message<'_>, Malformed> {
    Mainline.decode(datagram)
}

const ID: &[u8; 20] = b"abcdefghij0123456789";
const TARGET: &[u8; 20] = b"mnopqrstuvwxyz123456";

/// A query as bytes: `arguments` stand behind the id.
fn query(method: &str, arguments: &[u8]) -> Vec<u8> {
    let method = format!("e1:q{}:{method}1:t2:aa1:y1:qe", method.len());
    [b"d1:ad2:id20:", &ID[..], arguments, method.as_bytes()].concat()
}

/// A response as bytes: `fields` stand behind the id.
fn response(fields: &[u8]) -> Vec<u8> {
    [b"d1:rd2:id20:", &ID[..], fields, b"e1:t2:aa1:y1:re"].concat()
}

fn asked(datagram: &[u8]) -> Query<'_> {
    match decode(datagram).map(|message| message.body) {
        Ok(Body::Query(query)) => query,
        other => panic!("{other:?}"),
    }
}

fn answered(datagram: &[u8]) -> Response<'_> {
    match decode(datagram).map(|message| message.body) {
        Ok(Body::Response(response)) => response,
        other => panic!("{other:?}"),
    }
}

/// Refused, and its sender is told so.
fn refused(datagram: &[u8], why: Malformed) {
    assert_eq!(decode(datagram), Err(why), "{}", datagram.escape_ascii());
    assert_eq!(Mainline.query_transaction(datagram), Some(&b"aa"[..]));
}

/// Refused in silence.
fn dropped(datagram: &[u8], why: Malformed) {
    assert_eq!(decode(datagram), Err(why), "{}", datagram.escape_ascii());
    assert_eq!(Mainline.query_transaction(datagram), None);
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

// ---- the vectors of the BEPs ------------------------------------------------------------------

/// Every datagram of BEP 5 is read, says what it says, and is written again byte for byte.
#[test]
fn bep05_datagrams_are_read_and_written_byte_for_byte() {
    let mut count = 0;
    for fields in lines(include_str!("golden/mainline/bep05.txt")) {
        let (name, datagram) = (fields[0], unhex(fields[1]));
        let message = decode(&datagram).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(encode(&message), datagram, "{name}");
        if let Some(ip) = fields.get(2).and_then(|more| more.strip_prefix("ip ")) {
            assert_eq!(message.observed, Some(address(ip)), "{name}");
        }
        if let Some(peers) = fields.get(2).and_then(|more| more.strip_prefix("peers ")) {
            let peers: Vec<_> = peers.split(' ').map(address).collect();
            let found: Vec<_> = answered(&datagram).providers.iter().map(|p| p.address).collect();
            assert_eq!(found, peers, "{name}");
        }
        count += 1;
    }
    assert_eq!(count, 13);
}

#[test]
fn bep05_queries_are_typed() {
    let mut seen = Vec::new();
    for fields in lines(include_str!("golden/mainline/bep05.txt")).take(8) {
        let datagram = unhex(fields[1]);
        let message = decode(&datagram).expect(fields[0]);
        assert_eq!(message.transaction, b"aa");
        if let Body::Query(query) = message.body {
            assert_eq!(message.sender, Some(Id::new(*ID)));
            seen.push(format!("{:?} {:?}", query.target, query.method));
        }
    }
    let announce = Method::Announce {
        token: b"aoeusnth",
        port: Some(6881),
        implied_port: true,
        transports: 0,
        seed: false,
    };
    let get_peers = Method::GetProviders { page: 0, scrape: false, no_seeds: false };
    let target = Some(Id::new(*TARGET));
    let expected = [
        (None, Method::Ping { nonce: None }),
        (target, Method::FindNode),
        (target, get_peers),
        (target, announce),
    ];
    assert_eq!(seen, expected.map(|(target, method)| format!("{target:?} {method:?}")));
}

/// The reply seen in the wild that names one node eight times: eight entries, one address.
#[test]
fn a_node_list_is_read_as_it_is() {
    let last = lines(include_str!("golden/mainline/bep05.txt")).last().expect("a line");
    let datagram = unhex(last[1]);
    let nodes: Vec<_> = answered(&datagram).nodes.iter().collect();
    assert_eq!(nodes.len(), 8);
    assert_eq!(nodes[0].id, "67a312defb7d429086bfdcd5a209684ee13f5961".parse().expect("an id"));
    assert_eq!(nodes[0].address, address("92.190.54.11:51413"));
    assert!(nodes.iter().all(|node| *node == nodes[0]));
    assert_eq!(decode(&datagram).expect("a message").version, Some(&[0x4a, 0x42, 0, 0][..]));
}

#[test]
fn bep33_filter_and_estimate() {
    let mut filter = bep33::Filter::default();
    for last in 0..=255 {
        filter.insert(IpAddr::from([192, 0, 2, last]));
    }
    for last in 0..=0x3e7 {
        filter.insert(IpAddr::from([0x2001, 0x0db8, 0, 0, 0, 0, 0, last]));
    }
    let golden: Vec<_> = lines(include_str!("golden/mainline/bep33.txt")).collect();
    assert_eq!(filter.as_bytes(), &unhex_array(golden[0][1]));
    let estimate: f64 = golden[1][1].parse().expect("a number");
    // The BEP cuts the number off behind four digits.
    assert!((filter.estimate() - estimate).abs() < 0.0001, "{}", filter.estimate());
}

#[test]
fn bep33_filters_unite_and_stay_finite() {
    let (mut one, mut two) = (bep33::Filter::default(), bep33::Filter::default());
    one.insert(IpAddr::from([192, 0, 2, 1]));
    two.insert(IpAddr::from([192, 0, 2, 2]));
    let mut both = one.clone();
    both.insert(IpAddr::from([192, 0, 2, 2]));
    one.unite(&two);
    assert_eq!(one, both);
    assert!(bep33::Filter::new([0xff; 256]).estimate().is_finite());
    // c = min(m - 1, zero bits), as the BEP has it: an empty filter counts half an address.
    assert!((bep33::Filter::default().estimate() - 0.5).abs() < 1e-9);
}

#[test]
fn bep42_ids_follow_from_addresses() {
    for fields in lines(include_str!("golden/mainline/bep42.txt")) {
        match *fields.as_slice() {
            ["valid", ip, rand, masked, crc, id] => {
                let (ip, id): (IpAddr, Id) = (ip.parse().expect("ip"), id.parse().expect("id"));
                assert!(bep42::is_valid(id, ip), "{ip}");
                assert_eq!(bep42::id_for(id, ip), id);
                assert_eq!(id.as_bytes()[19], rand.parse::<u8>().expect("a byte"));
                // Bit 20 is the last that counts.
                assert!(!bep42::is_valid(id.with_flipped(20), ip));
                assert!(bep42::is_valid(id.with_flipped(21), ip));
                // The masked address is where the vector says that it is.
                let r = masked[..1].parse::<u8>().unwrap_or(12) >> 1;
                assert_eq!(r, id.as_bytes()[19] & 7, "{masked}");
                assert_eq!(&crc[..5], &id.to_string()[..5]);
            }
            ["invalid", ip, id] => {
                let (ip, id): (IpAddr, Id) = (ip.parse().expect("ip"), id.parse().expect("id"));
                assert!(!bep42::is_valid(id, ip), "{ip}");
                assert!(bep42::is_valid(bep42::id_for(id, ip), ip));
            }
            ["exempt", network] => {
                let (ip, _) = network.split_once('/').expect("a network");
                let ip = ip.parse().expect("an address");
                assert!(bep42::is_exempt(ip), "{ip}");
                assert!(bep42::is_valid(Id::ZERO, ip), "{ip}");
            }
            _ => panic!("{fields:?}"),
        }
    }
    // The first and last addresses of an exempt network, and the first outside.
    for (ip, exempt) in [
        ("172.31.255.255", true),
        ("172.32.0.0", false),
        ("fe80::1", true),
        ("febf::1", true),
        ("fec0::1", false),
        ("fd00::1", false),
        ("::2", false),
        ("::ffff:10.0.0.1", true),
    ] {
        assert_eq!(bep42::is_exempt(ip.parse().expect("an address")), exempt, "{ip}");
    }
}

#[test]
fn bep44_keys_and_signed_bytes() {
    let mut public_key = [0; 32];
    let mut checked = 0;
    for fields in lines(include_str!("golden/mainline/bep44.txt")) {
        match *fields.as_slice() {
            ["public_key", key] => public_key = unhex_array(key),
            ["private_key_expanded", _] => {}
            ["mutable", _, v, salt, seq, signed, target, signature] => {
                let (v, salt) = (unhex(v), unhex(salt));
                let bytes = bep44::signed_bytes(&salt, seq.parse().expect("a number"), &v);
                assert_eq!(bytes, unhex(signed));
                assert_eq!(bep44::signed_key(&public_key, &salt).to_string(), target);
                let key = ed25519_dalek::VerifyingKey::from_bytes(&public_key).expect("a key");
                let signature = ed25519_dalek::Signature::from_bytes(&unhex_array(signature));
                key.verify_strict(&bytes, &signature).expect("the BEP's own signature");
                checked += 1;
            }
            ["immutable", _, v, target] => {
                assert_eq!(bep44::immutable_key(&unhex(v)).to_string(), target);
                checked += 1;
            }
            _ => panic!("{fields:?}"),
        }
    }
    assert_eq!(checked, 3);
}

// ---- malformed.json ---------------------------------------------------------------------------

#[test]
fn what_crashed_others_is_refused() {
    let mut count = 0;
    for fields in lines(include_str!("golden/mainline/malformed.txt")) {
        if let ["ascii", datagram] = *fields.as_slice() {
            assert!(decode(datagram.as_bytes()).is_err(), "{datagram}");
            assert_eq!(Mainline.query_transaction(datagram.as_bytes()), None, "{datagram}");
            count += 1;
        }
    }
    assert_eq!(count, 10);
}

/// One case for each shape that malformed.txt describes, under the words it uses.
#[test]
fn what_misled_others_is_met() {
    let sixteen: [(&str, fn()); 16] = [
        ("a 3-byte target", || {
            refused(&query("find_node", b"6:target3:abc"), Malformed::BadField);
            refused(&query("get", b"6:target3:abc"), Malformed::BadField);
            refused(&query("get_peers", b"9:info_hash3:abc"), Malformed::BadField);
            // An unknown method's is not even looked at: there is no target then.
            assert_eq!(asked(&query("vote", b"6:target3:abc")).target, None);
        }),
        ("an id of 19 or of 21 bytes", || {
            for id in ["19:abcdefghij012345678", "21:abcdefghij01234567890"] {
                let query = format!("d1:ad2:id{id}e1:q4:ping1:t2:aa1:y1:qe");
                refused(query.as_bytes(), Malformed::BadField);
                let response = format!("d1:rd2:id{id}e1:t2:aa1:y1:re");
                dropped(response.as_bytes(), Malformed::BadField);
            }
        }),
        ("an integer where a string stands: token, info_hash, id, t", || {
            let (hash, port) = (b"9:info_hash20:mnopqrstuvwxyz123456", b"4:porti6881e");
            let token = [&hash[..], port, b"5:tokeni7e"].concat();
            refused(&query("announce_peer", &token), Malformed::BadField);
            dropped(&response(b"5:tokeni7e"), Malformed::BadField);
            refused(&query("get_peers", b"9:info_hashi7e"), Malformed::BadField);
            refused(b"d1:ad2:idi7ee1:q4:ping1:t2:aa1:y1:qe", Malformed::BadField);
            dropped(b"d1:rd2:idi7ee1:t2:aa1:y1:re", Malformed::BadField);
            let t = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:ti7e1:y1:qe";
            dropped(t, Malformed::BadField);
        }),
        ("an 18-byte ip", || {
            let seen = address("[2001:db8::7]:6881");
            let mut message =
                Message::new(b"aa", Id::new(*ID), Body::Response(Response::default()));
            message.observed = Some(seen);
            let datagram = encode(&message);
            assert!(datagram.starts_with(b"d2:ip18:"));
            assert_eq!(decode(&datagram).map(|message| message.observed), Ok(Some(seen)));
            // Of another length or type it says nothing, and the rest counts.
            for ip in ["4:abcd", "i7e", "le"] {
                let datagram = format!("d2:ip{ip}1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re");
                assert_eq!(decode(datagram.as_bytes()).map(|m| m.observed), Ok(None), "{ip}");
            }
        }),
        ("a v of 6 bytes (valid, kept opaque)", || {
            let datagram = b"d1:rd2:id20:abcdefghij0123456789e1:t2:aa1:v6:\0\xff\x80xyz1:y1:re";
            let message = decode(datagram).expect("a message");
            assert_eq!(message.version, Some(&b"\0\xff\x80xyz"[..]));
            assert_eq!(encode(&message), datagram);
        }),
        ("a values list that mixes 6- and 18-byte entries", || {
            let mixed = [
                &b"6:valuesl6:axje.u18:"[..],
                &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x1a, 0xe1],
                b"3:abci5ele6:idhtnme",
            ]
            .concat();
            let datagram = response(&mixed);
            let peers: Vec<_> = answered(&datagram).providers.iter().map(|p| p.address).collect();
            let expected = ["97.120.106.101:11893", "[2001:db8::9]:6881", "105.100.104.116:28269"];
            assert_eq!(peers, expected.map(address));
        }),
        ("nodes whose length is no multiple of 26", || {
            for length in [1, 9, 25, 27, 51, 53] {
                let nodes = format!("5:nodes{length}:{}", "x".repeat(length));
                let datagram = response(nodes.as_bytes());
                assert!(answered(&datagram).nodes.is_empty(), "{length}");
            }
            let nodes6 = format!("6:nodes637:{}", "x".repeat(37));
            assert!(answered(&response(nodes6.as_bytes())).nodes.is_empty());
        }),
        ("a response that is our own query reflected", || {
            // It stays a query: nothing outstanding is matched by it.
            let ours = encode(&Message::new(
                b"tttt",
                Id::new(*ID),
                Body::Query(Query::about(Id::new(*TARGET), Method::FindNode)),
            ));
            assert!(matches!(decode(&ours).expect("ours").body, Body::Query(_)));
        }),
        ("a response that carries our own id", || {
            // Well-formed; the node refuses it, which knows its own id.
            assert_eq!(decode(&response(b"")).map(|m| m.sender), Ok(Some(Id::new(*ID))));
        }),
        ("a datagram shorter than 15 bytes", || {
            let whole = query("ping", b"");
            for length in 0..15 {
                assert!(decode(&whole[..length]).is_err(), "{length}");
                assert_eq!(Mainline.query_transaction(&whole[..length]), None);
            }
        }),
        ("source port 0", || {
            // A port is the node's to judge where it comes from a socket; one that is announced is
            // judged here.
            let rest = b"9:info_hash20:mnopqrstuvwxyz1234564:porti0e5:token1:x";
            refused(&query("announce_peer", rest), Malformed::BadNumber);
        }),
        ("nesting 400 deep", || {
            let deep = ["l".repeat(400), "e".repeat(400)].concat();
            dropped(&query("ping", format!("1:z{deep}").as_bytes()), Malformed::TooDeep);
            let deep = ["d1:a".repeat(400), "0:".into(), "e".repeat(400)].concat();
            dropped(&response(format!("1:v{deep}").as_bytes()), Malformed::TooDeep);
            dropped(format!("d1:z{deep}e").as_bytes(), Malformed::TooDeep);
        }),
        ("a key given twice", || {
            let id = "2:id20:abcdefghij0123456789";
            for twice in [
                format!("d1:ad{id}{id}e1:q4:ping1:t2:aa1:y1:qe"),
                format!("d1:ad{id}e1:q4:ping1:q4:ping1:t2:aa1:y1:qe"),
                format!("d1:ad{id}e1:q4:ping1:t2:aa1:t2:aa1:y1:qe"),
                format!("d1:ad{id}e1:ad{id}e1:q4:ping1:t2:aa1:y1:qe"),
                format!("d1:ad{id}1:zi1e1:zi1ee1:q4:ping1:t2:aa1:y1:qe"),
                format!("d1:ad{id}e1:q4:ping1:t2:aa1:y1:q1:z0:1:z0:e"),
                format!("d1:ad{id}e1:q4:ping1:t2:aa1:x0:1:y1:q1:w0:1:x0:e"),
                format!("d1:rd{id}5:nodes0:5:nodes0:e1:t2:aa1:y1:re"),
                format!("d1:rd{id}1:vd1:ai1e1:ai1eee1:t2:aa1:y1:re"),
            ] {
                assert_eq!(decode(twice.as_bytes()), Err(Malformed::Duplicate), "{twice}");
            }
        }),
        ("keys out of order (accepted: real clients send them)", || {
            let datagram = b"d1:y1:q1:t2:aa1:q9:find_node1:ad6:target20:mnopqrstuvwxyz123456\
                2:id20:abcdefghij01234567891:z0:1:b0:ee";
            assert_eq!(asked(datagram).target, Some(Id::new(*TARGET)));
            assert_eq!(decode(datagram).map(|m| m.sender), Ok(Some(Id::new(*ID))));
        }),
        ("a leading zero in a length", || {
            let datagram = b"d1:ad2:id020:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
            dropped(datagram, Malformed::BadNumber);
            dropped(&response(b"5:token02:ab"), Malformed::BadNumber);
        }),
        ("trailing bytes after the dictionary", || {
            let datagram = [&query("ping", b"")[..], b"\0"].concat();
            assert_eq!(decode(&datagram), Err(Malformed::Trailing));
        }),
    ];
    let described: Vec<_> = lines(include_str!("golden/mainline/malformed.txt"))
        .filter(|fields| fields[0] == "described")
        .map(|fields| fields[1])
        .collect();
    assert_eq!(described, sixteen.map(|(name, _)| name));
    for (_, case) in sixteen {
        case();
    }
}

// ---- what is malformed, and who is told so ----------------------------------------------------

/// No reply to what is no bencode, to a missing `y`, to responses and errors: uTP and others share
/// the port.
#[test]
fn silence_for_what_is_no_query() {
    dropped(b"", Malformed::NotOurs);
    dropped(b"\x41\x02\xcd\x5e\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0", Malformed::NotOurs);
    dropped(b"i7e", Malformed::NotOurs);
    dropped(b"le", Malformed::NotOurs);
    dropped(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aae", Malformed::Missing);
    dropped(b"d1:t2:aa1:y1:re", Malformed::Missing);
    dropped(b"d1:t2:aa1:y1:ee", Malformed::Missing);
    dropped(b"d1:t2:aa1:y1:xe", Malformed::BadField);
    dropped(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:y1:qe", Malformed::Missing);
    dropped(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t0:1:y1:qe", Malformed::BadField);
    let padded =
        query("ping", format!("1:z{MAX_DATAGRAM}:{}", "z".repeat(MAX_DATAGRAM)).as_bytes());
    dropped(&padded, Malformed::TooLong);
}

/// 203 for a query with something missing or wrong in it.
#[test]
fn an_error_for_a_query_that_is_none() {
    refused(b"d1:t2:aa1:y1:qe", Malformed::Missing);
    refused(b"d1:q4:ping1:t2:aa1:y1:qe", Malformed::Missing);
    refused(b"d1:ade1:q4:ping1:t2:aa1:y1:qe", Malformed::Missing);
    refused(b"d1:a0:1:q4:ping1:t2:aa1:y1:qe", Malformed::BadField);
    refused(b"d1:ad2:id20:abcdefghij0123456789e1:t2:aa1:y1:qe", Malformed::Missing);
    refused(&query("find_node", b""), Malformed::Missing);
    refused(&query("get_peers", b"6:target20:mnopqrstuvwxyz123456"), Malformed::Missing);
    let announce = |rest: &str| {
        query("announce_peer", format!("9:info_hash20:mnopqrstuvwxyz123456{rest}").as_bytes())
    };
    refused(&announce("4:porti1e"), Malformed::Missing);
    refused(&announce("5:token1:x"), Malformed::Missing);
    refused(&announce("4:porti-1e5:token1:x"), Malformed::BadNumber);
    refused(&announce("4:porti65536e5:token1:x"), Malformed::BadNumber);
    refused(&announce("4:port4:68815:token1:x"), Malformed::BadField);
    let failure = Failure::new(ErrorCode::Protocol);
    let mut error = Message::new(b"aa", Id::ZERO, Body::Error(failure));
    error.sender = None;
    assert_eq!(encode(&error), b"d1:eli203e14:protocol errore1:t2:aa1:y1:ee");
}

/// `t` is opaque: 1 to 20 bytes in the field, any bytes, echoed as they came.
#[test]
fn transaction_ids_are_echoed() {
    for length in 1..=20 {
        let t: Vec<u8> = (0..length).map(|i| 255 - i * 13).collect();
        let ping = encode(&Message::new(
            &t,
            Id::new(*ID),
            Body::Query(Query::new(Method::Ping { nonce: None })),
        ));
        let asked = decode(&ping).expect("a ping");
        assert_eq!(asked.transaction, t);
        let pong = encode(&Message::new(
            asked.transaction,
            Id::new(*TARGET),
            Body::Response(Response::default()),
        ));
        assert_eq!(decode(&pong).map(|m| m.transaction), Ok(&t[..]));
    }
    // Some clients drop any other length of ours.
    assert_eq!(Wire::Mainline(Mainline).transaction_bytes(), 4);
}

// ---- the extensions ---------------------------------------------------------------------------

/// BEP 32: `want`, unknown names ignored, and both lists in one answer.
#[test]
fn both_families() {
    let want = |list: &str| {
        let arguments = format!("6:target20:mnopqrstuvwxyz1234564:want{list}");
        asked(&query("find_node", arguments.as_bytes())).want
    };
    assert_eq!(want("l2:n4e"), Families::V4);
    assert_eq!(want("l2:n6e"), Families::V6);
    assert_eq!(want("l2:n62:n42:n82:n4i7ee"), Families::BOTH);
    assert_eq!(want("le"), Families::NONE);
    assert_eq!(want("2:n4"), Families::NONE);

    let node = |address: SocketAddr| NodeInfo {
        id: Id::new(*TARGET),
        address,
        capabilities: Capabilities::NONE,
    };
    let (v4, v6) = (node(address("1.2.3.4:5")), node(address("[2001:db8::1]:6")));
    let nodes = [v6, v4];
    let mut response = Response::default();
    response.nodes = List::new(&nodes);
    let datagram = encode(&Message::new(b"aa", Id::new(*ID), Body::Response(response)));
    let found = answered(&datagram);
    assert_eq!(found.nodes.iter().collect::<Vec<_>>(), [v4, v6]);
    assert_eq!(found.listed, Families::BOTH);
}

/// Wherever the first address of IPv6 stands: nothing is left out, and every length is right.
#[test]
fn lists_of_both_families_are_written_whole() {
    let v4 = |n: u8| SocketAddr::from(([10, 0, 0, n], 6881));
    let v6 = |n: u8| SocketAddr::from(([0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n], 6881));
    for first_v6 in 0..=12_u8 {
        let addresses: Vec<_> =
            (0..12).map(|n| if n >= first_v6 { v6(n) } else { v4(n) }).rev().collect();
        for addresses in [addresses.clone(), addresses.into_iter().rev().collect()] {
            let nodes: Vec<_> = addresses
                .iter()
                .map(|address| NodeInfo {
                    id: Id::new(*TARGET),
                    address: *address,
                    capabilities: Capabilities::NONE,
                })
                .collect();
            let peers: Vec<_> =
                addresses.iter().map(|it| Peer { address: *it, transports: 0 }).collect();
            let mut reply = Response::default();
            reply.nodes = List::new(&nodes);
            reply.providers = List::new(&peers);
            reply.token = Some(&[7; 20]);
            let mut message = Message::new(b"aa", Id::new(*ID), Body::Response(reply));
            message.observed = Some(v6(99));
            let datagram = encode(&message);
            let found = answered(&datagram);
            let values: Vec<_> = found.providers.iter().map(|peer| peer.address).collect();
            assert_eq!(values, addresses);
            let mut listed: Vec<_> = found.nodes.iter().map(|node| node.address).collect();
            let mut expected = addresses;
            listed.sort();
            expected.sort();
            assert_eq!(listed, expected);
            assert_eq!(encode(&decode(&datagram).expect("our own")), datagram);
        }
    }
}

/// The first client of all put its peers into one string of the list.
#[test]
fn peers_in_one_string() {
    let two = ["97.120.106.101:11893", "105.100.104.116:28269"].map(address);
    let found = |fields: &[u8]| {
        let datagram = response(fields);
        let reply = answered(&datagram);
        let peers: Vec<_> = reply.providers.iter().map(|peer| peer.address).collect();
        (peers, encode(&decode(&datagram).expect("just read")) == datagram)
    };
    assert_eq!(found(b"6:valuesl12:axje.uidhtnme"), (two.to_vec(), true));
    // Written as a list of one again, and said by nobody who could mind.
    assert_eq!(found(b"6:values12:axje.uidhtnm"), (two.to_vec(), false));
    // An address of IPv6, and what is no whole number of addresses.
    assert_eq!(found(b"6:valuesl18:axje.uidhtnmabcdefe").0.len(), 1);
    for none in ["l13:axje.uidhtnmxe", "13:axje.uidhtnmx", "0:", "l0:e", "i7e", "de"] {
        assert_eq!(found(format!("6:values{none}").as_bytes()).0, [], "{none}");
    }
}

/// Some clients do not bootstrap from an answer without the key `nodes`, be it empty.
#[test]
fn an_empty_node_list_is_sent() {
    let mut response = Response::default();
    response.listed = Families::V4;
    let message = Message::new(b"aa", Id::new(*ID), Body::Response(response));
    let datagram = encode(&message);
    assert_eq!(datagram, b"d1:rd2:id20:abcdefghij01234567895:nodes0:e1:t2:aa1:y1:re");
    assert_eq!(decode(&datagram), Ok(message));
}

/// BEP 33: the flags of a query, the filters of an answer, which stand before all other keys.
#[test]
fn scrapes() {
    let ask = query("get_peers", b"9:info_hash20:mnopqrstuvwxyz1234566:noseedi1e6:scrapei1e");
    let method = Method::GetProviders { page: 0, scrape: true, no_seeds: true };
    assert_eq!(asked(&ask).method, method);
    assert_eq!(encode(&decode(&ask).expect("a query")), ask);
    let (seeds, peers) = ([1; 256], [2; 256]);
    let mut response = Response::default();
    (response.seed_filter, response.peer_filter) = (Some(&seeds), Some(&peers));
    let message = Message::new(b"aa", Id::new(*ID), Body::Response(response));
    let datagram = encode(&message);
    assert!(datagram.starts_with(b"d1:rd4:BFpe256:\x02\x02"));
    assert_eq!(decode(&datagram), Ok(message));
    dropped(&self::response(b"4:BFsd2:ab"), Malformed::BadField);
}

/// BEP 43: `ro` stands at the top of queries; some say explicitly that they are not.
#[test]
fn read_only_nodes_say_so() {
    let mut message =
        Message::new(b"aa", Id::new(*ID), Body::Query(Query::new(Method::Ping { nonce: None })));
    message.client = true;
    let datagram = encode(&message);
    assert_eq!(datagram, b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping2:roi1e1:t2:aa1:y1:qe");
    assert_eq!(decode(&datagram), Ok(message));
    let no = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping2:roi0e1:t2:aa1:y1:qe";
    assert_eq!(decode(no).map(|m| m.client), Ok(false));
}

/// BEP 44: `put` with or without `target`, with values of any type, and the order of its checks as
/// far as it is the wire's: shape first, then sizes, and a negative number only after those.
#[test]
fn puts() {
    let put = |rest: &str| query("put", rest.as_bytes());
    let key = "1:k32:kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
    let sig = format!("3:sig64:{}", "s".repeat(64));
    let target = "6:target20:mnopqrstuvwxyz123456";

    let immutable = put("5:token2:tt1:vd1:ali1ei2eee");
    let Method::Put { token: b"tt", item: Item::Immutable(b"d1:ali1ei2eee"), cas: None, .. } =
        asked(&immutable).method
    else {
        panic!("{:?}", asked(&immutable));
    };
    assert_eq!(asked(&immutable).target, None);
    assert_eq!(encode(&decode(&immutable).expect("a put")), immutable);

    let id = "d1:ad3:casi6e2:id20:abcdefghij0123456789";
    let signed = format!(
        "{id}{key}4:salt3:foo3:seqi7e{sig}{target}5:token2:tt1:v1:xe1:q3:put1:t2:aa1:y1:qe"
    );
    let Method::Put { item: Item::Signed(item), cas: Some(6), .. } =
        asked(signed.as_bytes()).method
    else {
        panic!("{:?}", asked(signed.as_bytes()));
    };
    assert_eq!((item.public_key, item.salt, item.seq), (&[b'k'; 32], &b"foo"[..], 7));
    assert_eq!((item.signature, item.value), (&[b's'; 64], &b"1:x"[..]));
    assert_eq!(encode(&decode(signed.as_bytes()).expect("a put")), signed.as_bytes());

    refused(&put("5:token2:tt"), Malformed::Missing);
    refused(&put("1:v1:x"), Malformed::Missing);
    refused(&put(&format!("{key}3:seqi1e5:token2:tt1:v1:x")), Malformed::Missing);
    refused(&put(&format!("{key}{sig}5:token2:tt1:v1:x")), Malformed::Missing);
    refused(&put(&format!("1:k2:kk3:seqi1e{sig}5:token2:tt1:v1:x")), Malformed::BadField);
    refused(&put(&format!("{key}3:seqi1e3:sig2:ss5:token2:tt1:v1:x")), Malformed::BadField);
    refused(&put(&format!("{key}3:seqi-1e{sig}5:token2:tt1:v1:x")), Malformed::BadNumber);
    refused(&put("3:casi-1e5:token2:tt1:v1:x"), Malformed::BadNumber);
    // A value that others would write in another way would get another key there.
    refused(&put("5:token2:tt1:vd1:bi1e1:ai2ee"), Malformed::BadField);

    // Sizes are the node's to refuse, with 205 and 207, and before a negative number.
    let long = format!("{key}4:salt65:{}3:seqi-1e{sig}5:token2:tt1:v1:x", "s".repeat(65));
    assert!(
        matches!(asked(&put(&long)).method, Method::Put { item: Item::Signed(i), .. } if i.salt.len() == 65)
    );
    let long = format!("{key}3:seqi-1e{sig}5:token2:tt1:v997:{}", "v".repeat(997));
    assert!(
        matches!(asked(&put(&long)).method, Method::Put { item: Item::Signed(i), .. } if i.value.len() == 1001)
    );
}

/// BEP 44: what an answer to `get` can be.
#[test]
fn values_come_as_they_were_put() {
    let newer = query("get", b"3:seqi4e6:target20:mnopqrstuvwxyz123456");
    assert_eq!(asked(&newer).method, Method::Get { newer_than: Some(4) });
    assert_eq!(encode(&decode(&newer).expect("a get")), newer);
    let any = query("get", b"3:seqi-1e6:target20:mnopqrstuvwxyz123456");
    assert_eq!(asked(&any).method, Method::Get { newer_than: None });

    assert_eq!(answered(&response(b"1:vli1e1:ae")).item, Some(Item::Immutable(b"li1e1:ae")));
    let only_seq = response(b"3:seqi9e");
    assert_eq!((answered(&only_seq).item, answered(&only_seq).seq), (None, Some(9)));
    let (key, sig) = ("1:k32:kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", "s".repeat(64));
    let signed = response(format!("{key}3:seqi9e3:sig64:{sig}5:token1:t1:v1:x").as_bytes());
    let item = SignedItem::new(&[b'k'; 32], 9, b"1:x", &[b's'; 64]);
    assert_eq!(answered(&signed).item, Some(Item::Signed(item)));
    assert_eq!(encode(&decode(&signed).expect("an answer")), signed);
    dropped(&response(format!("{key}3:seqi9e1:v1:x").as_bytes()), Malformed::Missing);
    dropped(&response(format!("{key}3:sig64:{sig}1:v1:x").as_bytes()), Malformed::Missing);
    dropped(&response(b"1:vd1:bi1e1:ai2ee"), Malformed::BadField);
}

/// Tokens: up to 128 bytes are accepted; an answer with a longer one still counts as an answer.
#[test]
fn long_tokens() {
    let with =
        |length: usize| response(format!("5:token{length}:{}", "t".repeat(length)).as_bytes());
    assert_eq!(answered(&with(128)).token.map(<[u8]>::len), Some(128));
    assert_eq!(answered(&with(129)).token, None);
}

/// BEP 51: the list is there even if it is empty.
#[test]
fn samples() {
    let ask = query("sample_infohashes", b"6:target20:mnopqrstuvwxyz123456");
    assert_eq!(asked(&ask).method, Method::SampleKeys);
    assert_eq!(encode(&decode(&ask).expect("a query")), ask);
    let keys = [Id::new(*ID), Id::new(*TARGET)];
    for keys in [&keys[..], &[]] {
        let mut response = Response::default();
        response.samples = Some(Samples { keys: List::new(keys), total: 7_000, interval: 21_600 });
        response.listed = Families::V4;
        let message = Message::new(b"aa", Id::new(*ID), Body::Response(response));
        assert_eq!(decode(&encode(&message)), Ok(message));
    }
    let wrong = response(b"8:intervali99999e7:samples3:abc");
    let samples = answered(&wrong).samples.expect("samples");
    assert_eq!((samples.keys.len(), samples.total, samples.interval), (0, 0, 21_600));
}

/// A method of a later time keeps its target, whatever types its other arguments have.
#[test]
fn unknown_methods_keep_their_target() {
    for key in ["6:target", "9:info_hash"] {
        let later = query(
            "vote",
            format!("4:port2:xx3:seqle{key}20:mnopqrstuvwxyz1234561:vi7e").as_bytes(),
        );
        let asked = asked(&later);
        assert_eq!(asked.method, Method::Unknown { code: 0, name: b"vote" });
        assert_eq!(asked.target, Some(Id::new(*TARGET)));
    }
    assert_eq!(asked(&query("vote", b"")).target, None);
}

#[test]
fn unknown_keys_are_ignored() {
    let later = b"d1:ad2:id20:abcdefghij01234567893:newd1:xleee1:q4:ping1:t2:aa1:y1:q1:zi5ee";
    assert_eq!(decode(later), decode(&query("ping", b"")));
    assert_eq!(answered(&response(b"3:newi-5e5:other2:xx")), Response::default());
}

/// Mistake 25: an error reply is an answer, whatever its number and text.
#[test]
fn errors_are_answers() {
    for (datagram, code, text) in [
        (
            &b"d1:eli204e14:Method Unknowne1:t2:aa1:y1:ee"[..],
            ErrorCode::UnknownMethod,
            "Method Unknown",
        ),
        (b"d1:eli302e0:e1:t2:aa1:y1:ee", ErrorCode::StaleSequence, ""),
        (b"d1:eli999ee1:t2:aa1:y1:ee", ErrorCode::Other(999), ""),
        (b"d1:eli201e4:ab\xff\xfei1ee1:t2:aa1:y1:ee", ErrorCode::Generic, "ab"),
    ] {
        match decode(datagram).expect("an error").body {
            Body::Error(failure) => assert_eq!((failure.code, failure.text), (code, text)),
            other => panic!("{other:?}"),
        }
    }
}

/// What Mainline has no word for asks what it has: the contacts near the target.
#[test]
fn what_mainline_cannot_say() {
    let search = Query::about(Id::new(*TARGET), Method::Search { words: "a b", page: 0 });
    let datagram = encode(&Message::new(b"aa", Id::new(*ID), Body::Query(search)));
    assert_eq!(asked(&datagram), Query::about(Id::new(*TARGET), Method::FindNode));
    let get = Query::about(Id::new(*TARGET), Method::Get { newer_than: Some(u64::MAX) });
    let datagram = encode(&Message::new(b"aa", Id::new(*ID), Body::Query(get)));
    let highest = Method::Get { newer_than: Some(i64::MAX as u64) };
    assert_eq!(asked(&datagram), Query::about(Id::new(*TARGET), highest));
    let probe = Query::new(Method::DialBack { nonce: 7 });
    let datagram = encode(&Message::new(b"aa", Id::new(*ID), Body::Query(probe)));
    assert_eq!(asked(&datagram), Query::new(Method::Ping { nonce: None }));
}

// ---- laws -------------------------------------------------------------------------------------

/// What a message is made of, owned, so that proptest can make it up.
#[derive(Clone, Debug)]
struct Parts {
    kind: u8,
    transaction: Vec<u8>,
    ids: [[u8; 20]; 2],
    bytes: Vec<u8>,
    numbers: [u64; 3],
    flags: [bool; 4],
    families: u8,
    v4: Vec<([u8; 20], [u8; 4], u16)>,
    v6: Vec<([u8; 20], [u8; 16], u16)>,
    arrays: (Vec<u8>, Option<SocketAddr>),
}

fn parts() -> impl Strategy<Value = Parts> {
    let small = || prop::collection::vec(any::<u8>(), 0..30);
    let address = prop_oneof![
        any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
        any::<([u8; 16], u16)>().prop_map(SocketAddr::from),
    ];
    (
        (0_u8..14, prop::collection::vec(any::<u8>(), 1..=20), any::<[[u8; 20]; 2]>(), small()),
        (any::<[u32; 3]>(), any::<[bool; 4]>(), 0_u8..4),
        prop::collection::vec(any::<([u8; 20], [u8; 4], u16)>(), 0..10),
        prop::collection::vec(any::<([u8; 20], [u8; 16], u16)>(), 0..10),
        (prop::collection::vec(any::<u8>(), 256), prop::option::of(address)),
    )
        .prop_map(|(first, second, v4, v6, arrays)| Parts {
            kind: first.0,
            transaction: first.1,
            ids: first.2,
            bytes: first.3,
            // All lengths of numbers, up to 63 bits.
            numbers: second.0.map(|n| u64::MAX >> 1 >> (n % 63)),
            flags: second.1,
            families: second.2,
            v4,
            v6,
            arrays,
        })
}

/// Builds the message and hands it to `check`: it borrows from what is built here.
fn with_message<R>(parts: &Parts, check: impl FnOnce(&Message<'_>) -> R) -> R {
    let [a, b, c, d] = parts.flags;
    let [x, y, z] = parts.numbers;
    let target = Id::new(parts.ids[1]);
    let value = [parts.bytes.len().to_string().as_bytes(), b":", &parts.bytes].concat();
    let filter: &[u8; 256] = parts.arrays.0.as_slice().try_into().expect("256 bytes");
    let (public_key, _) = filter.split_first_chunk().expect("enough");
    let (_, signature) = filter.split_last_chunk().expect("enough");
    let nodes: Vec<_> = parts
        .v4
        .iter()
        .map(|(id, ip, port)| (id, SocketAddr::from((*ip, *port))))
        .chain(parts.v6.iter().map(|(id, ip, port)| (id, SocketAddr::from((*ip, *port)))))
        .map(|(id, address)| NodeInfo {
            id: Id::new(*id),
            address,
            capabilities: Capabilities::NONE,
        })
        .collect();
    let peers: Vec<_> =
        nodes.iter().map(|node| Peer { address: node.address, transports: 0 }).collect();
    let keys: Vec<_> = nodes.iter().map(|node| node.id).collect();
    let salt = if parts.kind < 14 && b { &parts.bytes[..] } else { &[] };
    let mut signed = SignedItem::new(public_key, x, &value, signature);
    signed.salt = salt;
    let item = if a { Item::Signed(signed) } else { Item::Immutable(&value) };
    let port = u16::try_from(x % 65_535).expect("a port") + 1;

    let query = |method| match method {
        Method::Ping { .. } => Query::new(method),
        method => Query::about(target, method),
    };
    let mut body = match parts.kind {
        0 => Body::Query(query(Method::Ping { nonce: None })),
        1 => Body::Query(query(Method::FindNode)),
        2 => Body::Query(query(Method::GetProviders { page: 0, scrape: a, no_seeds: b })),
        3 => Body::Query(query(Method::Announce {
            token: &parts.bytes,
            port: (a || !b).then_some(port),
            implied_port: b,
            transports: 0,
            seed: c,
        })),
        4 => Body::Query(query(Method::Get { newer_than: a.then_some(x) })),
        5 => {
            let cas = c.then_some(y);
            let token = &parts.bytes;
            Body::Query(query(Method::Put { token, item, cas, age: 0, lifetime: None }))
        }
        6 => Body::Query(query(Method::SampleKeys)),
        7 => Body::Query(query(Method::Unknown { code: 0, name: b"a_later_method" })),
        8 => Body::Error(Failure::new(ErrorCode::from_number(port))),
        _ => {
            let mut response = Response::default();
            if a {
                response.nodes = List::new(&nodes);
            }
            response.listed = Families::from_bits(parts.families)
                .union(if a && !parts.v4.is_empty() { Families::V4 } else { Families::NONE })
                .union(if a && !parts.v6.is_empty() { Families::V6 } else { Families::NONE });
            response.token = b.then_some(&parts.bytes);
            if c {
                response.providers = List::new(&peers);
            }
            match parts.kind {
                9 => response.item = Some(Item::Immutable(&value)),
                10 => {
                    response.item =
                        Some(Item::Signed(SignedItem::new(public_key, x, &value, signature)));
                }
                11 => response.seq = Some(y),
                12 => {
                    let interval = u32::try_from(z % 21_601).expect("hours");
                    let keys = List::new(if d { &keys } else { &[] });
                    response.samples = Some(Samples { keys, total: y, interval });
                }
                _ => {
                    response.seed_filter = d.then_some(filter);
                    response.peer_filter = Some(filter);
                }
            }
            Body::Response(response)
        }
    };
    let is_query = matches!(body, Body::Query(_));
    if let Body::Query(query) = &mut body {
        query.want = Families::from_bits(parts.families);
    }
    let mut message = Message::new(&parts.transaction, Id::new(parts.ids[0]), body);
    message.client = is_query && d;
    message.observed = parts.arrays.1;
    message.version = c.then_some(b"KL\0\x01");
    if matches!(message.body, Body::Error(_)) {
        message.sender = None;
    }
    if let Body::Error(failure) = &mut message.body {
        failure.seq = None;
    }
    check(&message)
}

/// All that a message says, as text: messages of different lifetimes do not compare.
fn said(message: &impl core::fmt::Debug) -> String {
    format!("{message:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 1_000 }))]

    /// decode(encode(m)) == m, and encode(decode(x)) == x: what we write is canonical.
    #[test]
    fn messages_survive_the_way_there_and_back(parts in parts()) {
        with_message(&parts, |message| {
            let datagram = encode(message);
            let found = decode(&datagram);
            prop_assert_eq!(said(&found), said(&Ok::<_, Malformed>(message)), "{}", datagram.escape_ascii());
            prop_assert_eq!(encode(&found.expect("just read")), datagram.as_slice());
            prop_assert!(kadlet_core::wire::bencode::is_canonical(&datagram));
            let is_query = matches!(message.body, Body::Query(_));
            prop_assert_eq!(
                Mainline.query_transaction(&datagram),
                is_query.then_some(message.transaction)
            );
            Ok(())
        })?;
    }

    /// Keys in any order say the same: the quick way through the usual order and the slow one.
    #[test]
    fn keys_in_any_order_say_the_same(parts in parts(), seed in any::<[u8; 32]>()) {
        with_message(&parts, |message| {
            let datagram = encode(message);
            let mut rng = Rng::from_seed(seed);
            let shuffled = shuffled(&datagram, 2, &mut rng);
            prop_assert_eq!(shuffled.len(), datagram.len());
            let (found, expected) = (decode(&shuffled), decode(&datagram));
            prop_assert_eq!(said(&found), said(&expected), "{}", shuffled.escape_ascii());
            Ok(())
        })?;
    }

    /// One byte changed, cut, doubled or put in: an answer, no panic, and what is read can be
    /// written and read again.
    #[test]
    fn broken_datagrams_are_read_or_refused(
        parts in parts(), seed in any::<[u8; 32]>(), changes in 1_usize..4,
    ) {
        with_message(&parts, |message| {
            let mut datagram = encode(message);
            let mut rng = Rng::from_seed(seed);
            for _ in 0..changes {
                let at = usize::try_from(rng.below(datagram.len() as u64)).expect("small");
                match rng.below(5) {
                    0 => datagram[at] ^= 1 << rng.below(8),
                    1 => datagram[at] = b"0123456789ilde:-"[usize::try_from(rng.below(16)).expect("small")],
                    2 => datagram.truncate(at.max(1)),
                    3 => datagram.insert(at, b"019ilde:"[usize::try_from(rng.below(8)).expect("small")]),
                    _ => datagram.extend_from_within(at..),
                }
            }
            read_all(&datagram)
        })?;
    }

    #[test]
    fn random_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_all(&bytes)?;
    }

    #[test]
    fn random_bencode_is_read_or_refused(text in "d(1:[aqrtyvexz]|2:id|5:nodes|6:values|[0-9]{1,2}:|i-?[0-9]{1,3}e|[lde]|[a-z]{2}){0,30}") {
        read_all(text.as_bytes())?;
    }

    /// A random id with its beginning changed is valid, and stays random behind it.
    #[test]
    fn bep42_makes_valid_ids(bytes in any::<[u8; 20]>(), ip in any::<[u8; 4]>()) {
        let (random, ip) = (Id::new(bytes), IpAddr::from(ip));
        let id = bep42::id_for(random, ip);
        prop_assert!(bep42::is_valid(id, ip));
        prop_assert_eq!(&id.as_bytes()[3..], &bytes[3..]);
        prop_assert_eq!(id.as_bytes()[2] & 7, bytes[2] & 7);
    }
}

/// The same dictionary with its keys in another order, and those that lie in it, so many levels
/// deep.
fn shuffled(dictionary: &[u8], levels: u32, rng: &mut Rng) -> Vec<u8> {
    let mut reader = Reader::new(dictionary);
    if levels == 0 || reader.dictionary().is_err() {
        return dictionary.to_vec();
    }
    let mut entries = Vec::new();
    loop {
        let start = reader.rest();
        let Some(key) = reader.key().expect("our own") else { break };
        let key_and_length = reader.since(start);
        let value = reader.raw().expect("our own").bytes;
        // A value of BEP 44 is what it is.
        let value = if key == b"v" { value.to_vec() } else { shuffled(value, levels - 1, rng) };
        entries.push([key_and_length, &value].concat());
    }
    for i in (1..entries.len()).rev() {
        entries.swap(i, usize::try_from(rng.below(i as u64 + 1)).expect("small"));
    }
    [b"d", entries.concat().as_slice(), b"e"].concat()
}

/// Reads a datagram and everything in it.
fn read_all(datagram: &[u8]) -> Result<(), TestCaseError> {
    let _ = Mainline.query_transaction(datagram);
    if let Ok(message) = decode(datagram) {
        if let Body::Response(response) = &message.body {
            prop_assert!(response.nodes.len() <= datagram.len() / 26);
            prop_assert!(response.providers.len() <= datagram.len() / 8);
            prop_assert!(
                response.samples.as_ref().map_or(0, |s| s.keys.len()) <= datagram.len() / 20
            );
        }
        // Once written it is canonical, and says the same.
        let again = encode(&message);
        let read = decode(&again);
        prop_assert_eq!(read.as_ref(), Ok(&message), "{}", datagram.escape_ascii());
        prop_assert_eq!(encode(&read.expect("just read")), again);
    }
    Ok(())
}
