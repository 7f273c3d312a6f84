//! What strangers send a node of Mainline: every shape that misled others, and puts with every
//! field wrong in turn.

use alloc::collections::BTreeMap;

use kadlet_core::record::{Form, SignedValue};
use kadlet_core::wire::ErrorCode;
use kadlet_core::wire::mainline::bep44;
use kadlet_core::{Config, Family, Id, Path, Rejected};

use crate::mainline::{Asked, STRANGER, code, response};

/// A dictionary of bencode, by its keys; the values are bencode.
type Fields = BTreeMap<&'static str, Vec<u8>>;

fn string(bytes: &[u8]) -> Vec<u8> {
    [bytes.len().to_string().as_bytes(), b":", bytes].concat()
}

fn integer(number: i64) -> Vec<u8> {
    format!("i{number}e").into_bytes()
}

fn dictionary(fields: &Fields) -> Vec<u8> {
    let mut out = vec![b'd'];
    for (key, value) in fields {
        out.extend([string(key.as_bytes()), value.clone()].concat());
    }
    out.push(b'e');
    out
}

/// A question with these arguments.
fn question(method: &str, arguments: &Fields) -> Vec<u8> {
    dictionary(&Fields::from([
        ("a", dictionary(arguments)),
        ("q", string(method.as_bytes())),
        ("ro", integer(1)),
        ("t", string(b"qq")),
        ("y", string(b"q")),
    ]))
}

// ---- malformed.json -----------------------------------------------------------------------------

/// 203 where a question is named as one, silence for all else, and nothing changed by either.
#[test]
fn every_malformed_row_leaves_a_node_as_it_was() {
    let mut asked = Asked::new(Config::mainline());
    let mut rows = 0;
    for line in include_str!("../golden/mainline/malformed.txt").lines() {
        if let Some(datagram) = line.strip_prefix("ascii | ") {
            let (result, answer) = asked.say(datagram.as_bytes());
            assert!(matches!(result, Err(Rejected::Malformed(_))), "{datagram}: {result:?}");
            assert_eq!(answer, None, "{datagram}");
            rows += 1;
        }
    }
    assert_eq!(rows, 10);
    let id = "2:id20:abcdefghij0123456789";
    let ping = |inside: &str| format!("d1:ad{id}{inside}e1:q4:ping1:t2:aa1:y1:qe");
    let find = |target: &str| format!("d1:ad{id}6:target{target}e1:q9:find_node1:t2:aa1:y1:qe");
    let answer = |inside: &str| format!("d1:rd{id}{inside}e1:t4:aaaa1:y1:re");
    let deep = ["l".repeat(400), "e".repeat(400)].concat();
    let twenty = "20:mnopqrstuvwxyz123456";
    for (datagram, due) in [
        (find("3:abc"), true),
        (find("i7e"), true),
        (find("19:mnopqrstuvwxyz12345"), true),
        (find("21:mnopqrstuvwxyz1234567"), true),
        ("d1:ad2:id19:abcdefghij012345678e1:q4:ping1:t2:aa1:y1:qe".into(), true),
        ("d1:ad2:id21:abcdefghij01234567890e1:q4:ping1:t2:aa1:y1:qe".into(), true),
        ("d1:ad2:idi7ee1:q4:ping1:t2:aa1:y1:qe".into(), true),
        (format!("d1:ad{id}9:info_hashi7ee1:q9:get_peers1:t2:aa1:y1:qe"), true),
        (
            format!(
                "d1:ad{id}9:info_hash{twenty}4:porti0e5:token1:xe1:q13:announce_peer1:t2:aa1:y1:qe"
            ),
            true,
        ),
        // It is seen whose question it is.
        (ping("") + "x", true),
        // What of it is bencode cannot be told: nobody is told anything.
        (ping("").replace("1:t2:aa", "1:ti7e"), false),
        (ping("").replace("2:id20", "2:id020"), false),
        (ping(id), false),
        (ping(&format!("1:z{deep}")), false),
        (ping("")[..14].into(), false),
        // Answers that nobody asked for.
        (answer(""), false),
        (answer("5:nodes27:abcdefghijklmnopqrstuvwxyza"), false),
        (answer("6:valuesl6:axje.u18:abcdefghijklmnopqre"), false),
        (format!("d2:ip18:abcdefghijklmnopqr1:rd{id}e1:t4:aaaa1:v6:abcdef1:y1:re"), false),
    ] {
        let (result, answer) = asked.say(datagram.as_bytes());
        assert!(result.is_err(), "{datagram}: {result:?}");
        let told = answer.map(|answer| code(&answer));
        assert_eq!(told, due.then_some(Some(ErrorCode::Protocol)), "{datagram}");
    }
    // Our own words come back, and our own id in somebody's answer.
    let own = Fields::from([("id", string(asked.node.id().as_bytes()))]);
    let answer =
        Fields::from([("r", dictionary(&own)), ("t", string(b"aaaa")), ("y", string(b"r"))]);
    for ours in [question("ping", &own), dictionary(&answer)] {
        assert_eq!(asked.say(&ours), (Err(Rejected::OwnId), None));
    }
    asked.from = Path::direct("127.0.0.1:0".parse().expect("an address"));
    assert_eq!(asked.say(ping("").as_bytes()), (Err(Rejected::BadSource), None));
    assert_eq!(asked.node.table(Family::V4).len(), 0);
    assert_eq!((asked.node.store_stats().bytes, asked.node.stats().queries_answered), (0, 0));
}

/// BEP 32: one node, a list of peers for each family.
#[test]
fn peers_are_listed_over_the_family_that_they_have() {
    let mut asked = Asked::new(Config::mainline());
    let id = string(STRANGER.as_bytes());
    let key = Fields::from([("id", id), ("info_hash", string(&[5; 20]))]);
    let mut listed = Vec::new();
    for from in ["127.0.0.1:7", "[::1]:8"] {
        asked.from = Path::direct(from.parse().expect("an address"));
        let (_, answer) = asked.say(&question("get_peers", &key));
        let answer = answer.expect("an answer");
        let token = response(&answer).token.expect("a token").to_vec();
        let announce = Fields::from([("port", integer(6881)), ("token", string(&token))]);
        let (_, answer) = asked
            .say(&question("announce_peer", &announce.into_iter().chain(key.clone()).collect()));
        assert_eq!(code(&answer.expect("an answer")), None);
    }
    for from in ["127.0.0.1:7", "[::1]:8"] {
        asked.from = Path::direct(from.parse().expect("an address"));
        let (_, answer) = asked.say(&question("get_peers", &key));
        let answer = answer.expect("an answer");
        listed
            .push(response(&answer).providers.iter().map(|peer| peer.address).collect::<Vec<_>>());
    }
    let peers =
        ["127.0.0.1:6881", "[::1]:6881"].map(|peer| vec![peer.parse().expect("an address")]);
    assert_eq!(listed, peers);
}

// ---- put ----------------------------------------------------------------------------------------

const SECRET: [u8; 32] = [9; 32];

fn sign(salt: &[u8], seq: u64, value: &[u8]) -> SignedValue {
    SignedValue::sign_for(Form::Bencode, &SECRET, salt, seq, value).expect("within the limits")
}

/// A node that keeps a signed value, and what replaces it.
struct Kept {
    asked: Asked,
    token: Vec<u8>,
}

impl Kept {
    fn new() -> Self {
        let mut asked = Asked::new(Config::mainline());
        let key = bep44::signed_key(&SignedValue::public_key_of(&SECRET), b"salt");
        let token = asked.token(key).expect("a token");
        let mut kept = Self { asked, token };
        let first = kept.put(&[]);
        assert_eq!(kept.code(&first), None);
        kept
    }

    /// The arguments of a good put, but for the faults; signed last, so that none of them is a wrong
    /// signature too.
    fn put(&self, faults: &[&str]) -> Fields {
        let has = |fault: &str| faults.contains(&fault);
        let salt = if has("salt") { vec![b's'; 65] } else { b"salt".to_vec() };
        let value =
            if has("v") { [b"997:".as_slice(), &[b'x'; 997]].concat() } else { b"1:a".to_vec() };
        let seq = if has("old seq") { 4 } else { 5 };
        // What is too long cannot be signed; nor does it come to that.
        let signature = match (has("v"), has("salt")) {
            (false, false) => *sign(&salt, seq, &value).signature(),
            _ => [0; 64],
        };
        let signature = if has("sig") { [0; 64] } else { signature };
        let token = if has("token") { b"forged" } else { self.token.as_slice() };
        let mut fields = Fields::from([
            ("id", string(STRANGER.as_bytes())),
            ("k", string(&SignedValue::public_key_of(&SECRET))),
            ("salt", string(&salt)),
            ("seq", integer(if has("negative seq") { -1 } else { seq as i64 })),
            ("sig", string(&signature)),
            ("token", string(token)),
            ("v", value),
        ]);
        if has("cas") {
            fields.insert("cas", integer(1));
        }
        fields
    }

    /// The error that a put is answered with, if it is.
    fn code(&mut self, arguments: &Fields) -> Option<ErrorCode> {
        let (_, answer) = self.asked.say(&question("put", arguments));
        code(&answer.expect("an answer"))
    }
}

/// BEP 44's order of checks: of two faults the earlier one is named.
#[test]
fn of_two_faults_of_a_put_the_earlier_is_named() {
    let mut kept = Kept::new();
    let faults = [
        ("v", ErrorCode::ValueTooLarge),
        ("salt", ErrorCode::SaltTooLarge),
        ("token", ErrorCode::Protocol),
        ("negative seq", ErrorCode::Protocol),
        ("sig", ErrorCode::BadSignature),
        ("cas", ErrorCode::CasMismatch),
        ("old seq", ErrorCode::StaleSequence),
    ];
    let before = kept.asked.node.store_stats().bytes;
    for (n, (fault, expected)) in faults.iter().enumerate() {
        for (later, _) in &faults[n..] {
            let put = kept.put(&[fault, later]);
            assert_eq!(kept.code(&put), Some(*expected), "{fault} and {later}");
        }
        // And of all that come after it.
        let all: Vec<_> = faults[n..].iter().map(|(fault, _)| *fault).collect();
        let put = kept.put(&all);
        assert_eq!(kept.code(&put), Some(*expected), "all from {fault} on");
    }
    assert_eq!(kept.asked.node.store_stats().bytes, before);
}

/// Every field wrong in every way, all others right.
#[test]
fn every_field_of_a_put_wrong_in_turn_gets_its_code() {
    let mut kept = Kept::new();
    let good = kept.put(&[]);
    assert_eq!(kept.code(&good), None, "the same again");
    let protocol = ErrorCode::Protocol;
    let other = SignedValue::public_key_of(&[8; 32]);
    let target = Id::new([3; 20]);
    let [text, number] = [string(b"5"), integer(5)];
    for (field, wrong, expected) in [
        ("id", None, protocol),
        ("id", Some(string(&[7; 19])), protocol),
        ("id", Some(string(&[7; 21])), protocol),
        ("id", Some(number.clone()), protocol),
        ("token", None, protocol),
        ("token", Some(number.clone()), protocol),
        ("token", Some(string(b"")), protocol),
        ("token", Some(string(&[b'x'; 129])), protocol),
        ("token", Some(string(&[b'x'; 8])), protocol),
        ("v", None, protocol),
        // Not canonical: whoever hashes it otherwise finds another key.
        ("v", Some(b"d1:bi1e1:ai1ee".to_vec()), protocol),
        ("v", Some(string(&[b'x'; 997])), ErrorCode::ValueTooLarge),
        ("v", Some(string(b"b")), ErrorCode::BadSignature),
        ("k", Some(string(&[7; 31])), protocol),
        ("k", Some(string(&[7; 33])), protocol),
        ("k", Some(number.clone()), protocol),
        // Of another key, for which the token is not.
        ("k", Some(string(&other)), protocol),
        ("sig", None, protocol),
        ("sig", Some(string(&[0; 63])), protocol),
        ("sig", Some(string(&[0; 65])), protocol),
        ("sig", Some(number.clone()), protocol),
        ("sig", Some(string(&[0; 64])), ErrorCode::BadSignature),
        ("seq", None, protocol),
        ("seq", Some(text.clone()), protocol),
        ("seq", Some(integer(-1)), protocol),
        ("seq", Some(integer(i64::MIN)), protocol),
        ("seq", Some(b"i9223372036854775808e".to_vec()), protocol),
        ("seq", Some(integer(6)), ErrorCode::BadSignature),
        ("seq", Some(integer(4)), ErrorCode::BadSignature),
        ("salt", Some(number), protocol),
        ("salt", Some(string(&[b's'; 65])), ErrorCode::SaltTooLarge),
        // Another salt is another key.
        ("salt", Some(string(b"pepper")), protocol),
        ("salt", None, protocol),
        ("cas", Some(text.clone()), protocol),
        ("cas", Some(integer(-1)), protocol),
        ("cas", Some(integer(4)), ErrorCode::CasMismatch),
        ("cas", Some(integer(6)), ErrorCode::CasMismatch),
        ("target", Some(string(b"abc")), protocol),
        ("target", Some(text), protocol),
        ("target", Some(string(target.as_bytes())), protocol),
    ] {
        let mut put = good.clone();
        match &wrong {
            Some(value) => put.insert(field, value.clone()),
            None => put.remove(field),
        };
        let said = wrong.as_deref().map(String::from_utf8_lossy);
        assert_eq!(kept.code(&put), Some(expected), "{field}: {said:?}");
    }
    // Without a key it is no signed value but an immutable one, whose token is another.
    let mut put = good;
    put.remove("k");
    assert_eq!(kept.code(&put), Some(protocol));
    assert_eq!(kept.asked.node.store_stats().signed, 1);
}
