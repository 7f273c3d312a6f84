//! What old clients say, byte for byte as their encoders put it: those who know BEP 5 and nothing
//! else, or were there before it was written down. Each is answered, and each answer counts.

use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::wire::mainline::Mainline;
use kadlet_core::wire::{Body, Method};
use kadlet_core::{Announcement, Config, Event, Family, Id, Instant, Node, Outcome, Path, Role};

use crate::mainline::{Asked, code, response};

const NOW: Instant = Instant::from_secs(1);
const HASH: Id = Id::new([0x42; 20]);

// ---- they ask -----------------------------------------------------------------------------------

/// The question with an id, a key and a token where its text says so.
fn filled(text: &[u8], token: &[u8]) -> Vec<u8> {
    let words = [
        (&b"ID"[..], b"20:abcdefghij0123456789".to_vec()),
        (b"HASH", [&b"20:"[..], HASH.as_bytes()].concat()),
        (b"TOKEN", [token.len().to_string().as_bytes(), b":", token].concat()),
    ];
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some((first, tail)) = rest.split_first() {
        let word = words.iter().find_map(|(word, with)| Some((with, rest.strip_prefix(*word)?)));
        match word {
            Some((with, behind)) => {
                out.extend_from_slice(with);
                rest = behind;
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

/// What each sends for the same four questions, with the transaction it expects back.
const QUESTIONS: [(&str, &[u8], &[u8]); 19] = [
    // jech/dht (Transmission): two letters and a number as transaction, `v` before `y`.
    ("jech ping", b"d1:ad2:idIDe1:q4:ping1:t4:pn\x01\xff1:v4:JC\0\x001:y1:qe", b"pn\x01\xff"),
    (
        "jech find_node",
        b"d1:ad2:idID6:targetHASH4:wantl2:n42:n6ee1:q9:find_node1:t4:fn\0\x001:y1:qe",
        b"fn\0\0",
    ),
    ("jech get_peers", b"d1:ad2:idID9:info_hashHASHe1:q9:get_peers1:t4:gp\0\x071:y1:qe", b"gp\0\x07"),
    (
        "jech announce_peer",
        b"d1:ad2:idID9:info_hashHASH4:porti6881e5:tokenTOKENe1:q13:announce_peer1:t4:ap\0\x071:y1:qe",
        b"ap\0\x07",
    ),
    // rTorrent: one byte.
    ("rTorrent ping", b"d1:ad2:idIDe1:q4:ping1:t1:\xe91:y1:qe", b"\xe9"),
    ("rTorrent find_node", b"d1:ad2:idID6:targetHASHe1:q9:find_node1:t1:\x001:y1:qe", b"\0"),
    (
        "rTorrent announce_peer",
        b"d1:ad2:idID9:info_hashHASH4:porti6890e5:tokenTOKENe1:q13:announce_peer1:t1:\x011:y1:qe",
        b"\x01",
    ),
    ("aria2", b"d1:ad2:idID9:info_hashHASHe1:q9:get_peers1:t4:\x01\x02\x03\x041:v4:A2\0\x031:y1:qe", b"\x01\x02\x03\x04"),
    // The first one in Python: `t` in one byte, later ten digits as text.
    ("BitTorrent 4", b"d1:ad2:idID9:info_hashHASHe1:q9:get_peers1:t1:01:y1:qe", b"0"),
    ("KTorrent", b"d1:ad2:idIDe1:q4:ping1:t1:\x801:v4:KT\x03\x021:y1:qe", b"\x80"),
    // A version that is no string, as nobody forbade.
    ("version as a number", b"d1:ad2:idIDe1:q4:ping1:t2:ab1:vi7e1:y1:qe", b"ab"),
    ("µTorrent", b"d1:ad2:idID6:targetHASHe1:q9:find_node1:t4:\0\0\0\x011:v4:UT\x52\x091:y1:qe", b"\0\0\0\x01"),
    // Its port counts only where the sender's does not.
    (
        "port 0 and implied_port",
        b"d1:ad2:idID12:implied_porti1e9:info_hashHASH4:porti0e5:tokenTOKENe1:q13:announce_peer1:t2:ap1:y1:qe",
        b"ap",
    ),
    (
        "libtorrent's name and seed",
        b"d1:ad2:idID12:implied_porti0e9:info_hashHASH1:n5:a.iso4:porti6881e4:seedi1e5:tokenTOKENe1:q13:announce_peer1:t2:ap1:v4:LT\x01\x001:y1:qe",
        b"ap",
    ),
    ("keys as they come", b"d1:y1:q1:t8:abcdefgh1:q9:get_peers1:ad9:info_hashHASH2:idIDee", b"abcdefgh"),
    ("a long transaction", b"d1:ad2:idIDe1:q4:ping1:t20:abcdefghijklmnopqrst1:v6:BC01521:y1:qe", b"abcdefghijklmnopqrst"),
    ("ro said to be 0", b"d1:ad2:idIDe1:q4:ping2:roi0e1:t2:ab1:y1:qe", b"ab"),
    ("want as a string", b"d1:ad2:idID6:targetHASH4:want2:n4e1:q9:find_node1:t2:ab1:y1:qe", b"ab"),
    ("flags as strings", b"d1:ad2:idID9:info_hashHASH6:noseed1:16:scrape1:0e1:q9:get_peers1:t2:ab1:y1:qe", b"ab"),
];

#[test]
fn old_clients_are_answered_under_their_own_transaction() {
    let mut asked = Asked::new(Config::mainline());
    let token = asked.token(HASH).expect("a token");
    assert!(token.len() <= 20);
    for (who, question, transaction) in QUESTIONS {
        let datagram = filled(question, &token);
        let (result, answer) = asked.say(&datagram);
        assert_eq!(result, Ok(()), "{who}: {}", datagram.escape_ascii());
        let answer = answer.unwrap_or_else(|| panic!("{who}: silence"));
        assert_eq!(code(&answer), None, "{who}");
        let said = Mainline.decode(&answer).expect("an answer");
        assert_eq!(said.transaction, transaction, "{who}");
        // What parsers that search for these very bytes look for.
        for part in [&b"1:rd2:id20:"[..], b"1:y1:re"] {
            assert!(answer.windows(part.len()).any(|it| it == part), "{who}");
        }
        assert!(answer.len() <= 1_024, "{who}");
    }
    let (_, answer) =
        asked.say(&filled(b"d1:ad2:idID9:info_hashHASHe1:q9:get_peers1:t2:gp1:y1:qe", b""));
    let answer = answer.expect("an answer");
    let mut peers: Vec<_> =
        response(&answer).providers.iter().map(|peer| peer.address.port()).collect();
    peers.sort_unstable();
    assert_eq!(peers, [7, 6881, 6890], "the port of the datagram where `implied_port` says so");
}

// ---- they answer --------------------------------------------------------------------------------

/// Looks peers up and announces where the only contact answers `get_peers` with `fields` behind
/// its id: what was found, how the announcement ended, and the token that came back with it.
fn told(fields: &[u8]) -> (Vec<SocketAddr>, Outcome, Option<Vec<u8>>) {
    let mut config = Config::mainline();
    config.role = Role::Server;
    let mut node = Node::new(config, Id::new([1; 20]), [2; 32], NOW);
    let path = Path::direct("127.0.0.9:6881".parse().expect("an address"));
    let id = Id::new([9; 20]);
    node.bootstrap(NOW, &[path]);
    let (mut peers, mut shown, mut ends) = (Vec::new(), None, Vec::new());
    for (step, announces) in [(0, false), (1, false), (2, true)] {
        let mut now = NOW + Duration::from_secs(60 * step);
        match (step, announces) {
            (0, _) => {}
            (_, false) => drop(node.providers(now, HASH)),
            (_, true) => drop(node.announce(now, HASH, Announcement::torrent(Some(6881), false))),
        }
        for _ in 0..100 {
            node.handle_timeout(now);
            while let Some(question) = node.poll_transmit() {
                let asked = Mainline.decode(&question.payload).expect("ours");
                let Body::Query(query) = &asked.body else { continue };
                let said: &[u8] = match query.method {
                    Method::GetProviders { .. } => fields,
                    Method::Announce { token, .. } => {
                        shown = Some(token.to_vec());
                        b""
                    }
                    Method::FindNode => b"5:nodes0:",
                    _ => b"",
                };
                // Without `v`, `ip` and what else is newer.
                let t = asked.transaction;
                let answer = [
                    b"d1:rd2:id20:",
                    &id.as_bytes()[..],
                    said,
                    b"e1:t",
                    t.len().to_string().as_bytes(),
                    b":",
                    t,
                    b"1:y1:re",
                ]
                .concat();
                assert_eq!(node.handle_datagram(now, path, &answer), Ok(()));
            }
            while let Some(event) = node.poll_event() {
                match event {
                    Event::Provider { address, .. } => peers.push(address),
                    Event::Done { outcome, .. } => ends.push(outcome),
                    _ => {}
                }
            }
            now = now + Duration::from_millis(500);
        }
    }
    let entry = node.table(Family::V4).get(id).expect("a contact");
    assert!(entry.live && entry.failures == 0, "whatever it says, it answers");
    peers.sort_unstable();
    peers.dedup();
    (peers, ends.pop().expect("an end"), shown)
}

#[test]
fn old_answers_count() {
    let two = ["10.0.0.1:6881", "10.0.0.2:6882"].map(|peer| peer.parse().expect("an address"));
    let run = [&[10, 0, 0, 1, 0x1a, 0xe1][..], &[10, 0, 0, 2, 0x1a, 0xe2]];
    let own = [&b"6:valuesl6:"[..], run[0], b"6:", run[1], b"e"].concat();
    let token = b"5:token4:abcd";
    for (who, fields) in [
        // rTorrent, and others before BEP 32: peers or nodes, never both.
        ("peers without nodes", [token, &own[..]].concat()),
        // The first one in Python: all peers in one string of the list.
        ("peers in one string", [token, &b"6:valuesl12:"[..], run[0], run[1], b"e"].concat()),
        ("peers in no list", [token, &b"6:values12:"[..], run[0], run[1]].concat()),
        // libtorrent before 0.14: nodes once more, each a string.
        (
            "nodes2",
            [&b"5:nodes0:6:nodes2l26:abcdefghijklmnopqrstuvwxyze"[..], token, &own].concat(),
        ),
        ("keys as they come", [&own[..], token, b"5:nodes0:"].concat()),
        ("a port of its own", [&b"5:nodes0:1:pi6881e"[..], token, &own].concat()),
        ("nodes cut short", [&b"5:nodes9:abcdefghi"[..], token, &own].concat()),
        ("a peer that is none", [token, &own[..own.len() - 1], b"5:abcdei7ee"].concat()),
    ] {
        let (peers, outcome, shown) = told(&fields);
        assert_eq!(peers, two, "{who}");
        assert_eq!((outcome, shown.as_deref()), (Outcome::Success, Some(&b"abcd"[..])), "{who}");
    }
    // Neither peers nor nodes nor token: an answer, and nobody to announce to.
    let (peers, outcome, shown) = told(b"");
    assert_eq!((peers.len(), shown), (0, None));
    assert_ne!(outcome, Outcome::Success);
}
