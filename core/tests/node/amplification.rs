//! How much longer Mainline's answers are than their questions, where nobody has shown that they go to
//! who asked: that is what somebody who forges addresses gains by asking us.

use alloc::collections::BTreeSet;
use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::config::Rate;
use kadlet_core::wire::Item;
use kadlet_core::wire::mainline::bep44;
use kadlet_core::{Config, Id, Path};

use crate::mainline::Asked;
use crate::manners::{HASH, crowded_with, v6};

/// An address of `prefix` that asks or announces.
fn of(prefix: u8, n: u8) -> SocketAddr {
    SocketAddr::from(([prefix, n, 1, 1], 6881))
}

/// A node with contacts and peers of either family, more keys than a sample has, and a long value; and
/// the key of that.
fn full() -> (Asked, Id) {
    let mut config = Config::mainline();
    // What bounds the number of questions is another thing.
    config.limits.queries_per_host = Rate::new(1_000_000, 1_000_000);
    config.limits.queries_per_prefix = Rate::new(1_000_000, 1_000_000);
    let mut asked = crowded_with(config);
    let announce = |asked: &mut Asked, from: SocketAddr, hash: Id| {
        asked.from = Path::direct(from);
        let token = asked.token(hash).expect("a token");
        asked.announce(hash, &token, false);
    };
    for n in 0..100 {
        announce(&mut asked, of(12, n), HASH);
        announce(&mut asked, v6(100 + n), HASH);
        announce(&mut asked, of(13, n), Id::new([n; 20]));
    }
    let value = [b"996:".as_slice(), &[b'x'; 996]].concat();
    let key = bep44::immutable_key(&value);
    let token = asked.token(key).expect("a token");
    assert_eq!(asked.put(Some(key), Item::Immutable(&value), &token), None);
    (asked, key)
}

/// A question as short as it can be. `fields` stand between `id` and `want`.
fn question(method: &str, fields: &[&[u8]], want: &str) -> Vec<u8> {
    let (fields, name) = (fields.concat(), format!("e1:q{}:{method}", method.len()));
    let parts =
        [b"d1:ad2:id20:jihgfedcba9876543210", &fields[..], want.as_bytes(), name.as_bytes()];
    [&parts.concat()[..], b"1:t1:x1:y1:qe"].concat()
}

/// The shortest questions there are, by what they ask; no good ones among them.
fn questions(key: Id) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![
        ("nothing".to_owned(), b"d1:t1:x1:y1:qe".to_vec()),
        ("ping without id".to_owned(), b"d1:q4:ping1:t1:x1:y1:qe".to_vec()),
        ("an unknown method".to_owned(), question("?", &[], "")),
    ];
    let field = |name: &str, id: Id| {
        [format!("{}:{name}20:", name.len()).as_bytes(), id.as_bytes()].concat()
    };
    let (target, wanted, hash) =
        (field("target", HASH), field("target", key), field("info_hash", HASH));
    for want in ["", "4:wantl2:n4e", "4:wantl2:n6e", "4:wantl2:n42:n6e"] {
        let mut add = |method: &str, fields: &[&[u8]]| {
            let shown: Vec<_> =
                fields.iter().skip(1).map(|it| String::from_utf8_lossy(it)).collect();
            let what = format!("{method} {} {want}", shown.concat());
            all.push((what, question(method, fields, want)));
        };
        add("ping", &[]);
        add("find_node", &[&target]);
        add("?", &[&target]);
        add("get_peers", &[&hash]);
        add("get_peers", &[&hash, b"6:noseedi1e"]);
        add("get_peers", &[&hash, b"6:scrapei1e"]);
        add("get", &[&wanted]);
        add("get", &[b"3:seqi0e", &wanted]);
        add("sample_infohashes", &[&target]);
        add("announce_peer", &[&hash, b"4:porti1e5:token1:x"]);
        add("put", &[&wanted, b"5:token1:x1:v0:"]);
    }
    all
}

/// Five and a half times, whatever is asked; beyond that there is stored data alone, of which a prefix
/// gets 8 kB a second.
#[test]
fn nobody_gains_much_by_asking_with_an_address_that_is_not_his() {
    for family in ["v4", "v6"] {
        let (mut asked, key) = full();
        let questions = questions(key);
        let (mut beyond, mut longer) = (0.0, BTreeSet::new());
        // Ten questions of each kind a second.
        for round in 0..600 {
            for (what, question) in &questions {
                let address = match family {
                    "v4" => format!("9.9.9.{}:7", round % 200),
                    _ => format!("[2a00:1:2:3::{}]:7", round % 200),
                };
                asked.from = Path::direct(address.parse().expect("an address"));
                let length = asked.say(question).1.map_or(0, |answer| answer.len()) as f64;
                let bound = 5.5 * question.len() as f64;
                beyond += (length - bound).max(0.0);
                if length > bound {
                    longer.insert(what.as_str());
                }
            }
            asked.wait(Duration::from_millis(100));
        }
        assert!(beyond <= 61.0 * 8_000.0, "{family}: {beyond} bytes beyond, by {longer:?}");
        let stored = |what: &str| what.starts_with("get") || what.starts_with("sample");
        assert!(longer.iter().all(|what| stored(what)), "{family}: {longer:?}");
        assert!(longer.iter().any(|what| what.starts_with("get ")), "{family}: {longer:?}");
    }
}
