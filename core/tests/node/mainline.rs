//! The same node in Mainline: what BEPs 5, 32, 33, 42, 43, 44 and 51 ask of one that others meet.

use alloc::collections::BTreeSet;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use kadlet_core::config::AddressIds;
use kadlet_core::record::{Form, Item, SignedValue, Value};
use kadlet_core::wire::mainline::{Mainline, bep42, bep44};
use kadlet_core::wire::{
    Body, ErrorCode, Failure, Item as WireItem, Message, Method, Query, Response, SignedItem,
};
use kadlet_core::{
    Announcement, Config, Event, Families, Family, GetQuery, Id, Instant, LinkId, Node, Outcome,
    Path, PutOptions, Rejected, Role,
};

use crate::net::Net;
use crate::values;

const NOW: Instant = Instant::from_secs(1);
pub(crate) const STRANGER: Id = Id::new([7; 20]);

fn network(seed: u8, n: u32) -> (Net, Vec<SocketAddr>) {
    Net::joined_with(seed, n, |i| format!("127.0.0.1:{}", 1000 + i), &Config::mainline())
}

// ---- between nodes of ours ----------------------------------------------------------------------

#[test]
fn lookups_end_with_the_true_closest() {
    let (mut net, addrs) = network(1, 60);
    for from in addrs.iter().copied().take(40) {
        let target = Id::random(&mut net.rng);
        let (_, events) = net.run(from, |node, now| node.find_node(now, target));
        let Some(Event::Done { closest, .. }) = events.last() else { panic!("no end") };
        let found: Vec<Id> = closest.iter().map(|contact| contact.id).collect();
        assert_eq!(found, net.closest(target, 8, from));
    }
}

#[test]
fn values_of_every_type_are_kept_as_they_came() {
    let (mut net, addrs) = network(2, 30);
    for value in [b"12:Hello World!".as_slice(), b"i-7e", b"l3:abcdee", b"d1:ai1ee"] {
        let item = Item::Immutable(Value::of(Form::Bencode, value).expect("bencode"));
        assert_eq!(item.key(), bep44::immutable_key(value));
        let (outcome, _) = net.run(addrs[3], |node, now| {
            node.put(now, item.clone(), PutOptions::default()).expect("ours")
        });
        assert_eq!(outcome, Outcome::Success);
        let (_, events) = net.run(addrs[20], |node, now| node.get(now, GetQuery::new(item.key())));
        assert_eq!(values(&events), [&item]);
    }
    // The longest there is: it leaves no room for nodes, and arrives.
    let longest = [b"996:".as_slice(), &[b'x'; 996]].concat();
    let item = Item::Immutable(Value::of(Form::Bencode, longest).expect("1,000 bytes"));
    let put = |node: &mut Node, now| node.put(now, item.clone(), PutOptions::default());
    net.run(addrs[3], |node, now| put(node, now).expect("ours"));
    let (_, events) = net.run(addrs[20], |node, now| node.get(now, GetQuery::new(item.key())));
    assert_eq!(values(&events), [&item]);
}

/// The wire carries no age: what holders handed on would outlive everybody who wants it (mistake 15).
#[test]
fn a_value_that_nobody_puts_again_dies() {
    let (mut net, addrs) = network(5, 20);
    let item = Item::Immutable(Value::of(Form::Bencode, *b"5:hello").expect("bencode"));
    let key = item.key();
    let put = |net: &mut Net| {
        let (outcome, _) = net.run(addrs[3], |node, now| {
            node.put(now, item.clone(), PutOptions::default()).expect("ours")
        });
        assert_eq!(outcome, Outcome::Success);
    };
    let is_there = |net: &mut Net| {
        let (_, events) = net.run(addrs[12], |node, now| node.get(now, GetQuery::new(key)));
        values(&events) == [&item]
    };
    put(&mut net);
    net.run_for(Duration::from_secs(115 * 60));
    assert!(is_there(&mut net));
    net.run_for(Duration::from_secs(10 * 60));
    assert!(!is_there(&mut net));
    put(&mut net);
    assert!(is_there(&mut net));
}

#[test]
fn a_signed_value_with_salt_is_replaced_by_a_higher_number() {
    let (mut net, addrs) = network(3, 30);
    let sign = |seq, value: &[u8]| {
        SignedValue::sign_for(Form::Bencode, &[9; 32], b"salt", seq, value).expect("bencode")
    };
    let key = sign(1, b"1:a").key();
    assert_eq!(key, bep44::signed_key(&SignedValue::public_key_of(&[9; 32]), b"salt"));
    let put = |net: &mut Net, value: SignedValue, cas| {
        let mut options = PutOptions::default();
        options.cas = cas;
        let item = Item::Signed(value);
        net.run(addrs[3], |node, now| node.put(now, item, options).expect("ours")).0
    };
    assert_eq!(put(&mut net, sign(1, b"1:a"), None), Outcome::Success);
    assert_eq!(put(&mut net, sign(2, b"1:b"), Some(1)), Outcome::Success);
    let refused = |outcome| match outcome {
        Outcome::Refused { code, .. } => Some(code),
        _ => None,
    };
    assert_eq!(refused(put(&mut net, sign(3, b"1:c"), Some(1))), Some(ErrorCode::CasMismatch));
    assert_eq!(refused(put(&mut net, sign(1, b"1:a"), None)), Some(ErrorCode::StaleSequence));
    assert_eq!(refused(put(&mut net, sign(2, b"1:x"), None)), Some(ErrorCode::StaleSequence));
    // The salt does not travel with the answer: who asks has to know it.
    let mut query = GetQuery::new(key);
    query.salt = b"salt".to_vec();
    let (_, events) = net.run(addrs[20], |node, now| node.get(now, query));
    assert_eq!(values(&events), [&Item::Signed(sign(2, b"1:b"))]);
}

#[test]
fn peers_are_found_and_counted_and_their_keys_sampled() {
    let (mut net, addrs) = network(4, 40);
    let hash = Id::new([0x42; 20]);
    let announce = |net: &mut Net, from: SocketAddr, complete| {
        let announcement = Announcement::torrent(Some(6881), complete);
        net.run(from, |node, now| node.announce(now, hash, announcement)).0
    };
    assert_eq!(announce(&mut net, addrs[1], true), Outcome::Success);
    assert_eq!(announce(&mut net, addrs[2], false), Outcome::Success);
    let (_, events) = net.run(addrs[30], |node, now| node.providers(now, hash));
    let peers: BTreeSet<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Provider { address, .. } => Some(*address),
            _ => None,
        })
        .collect();
    // Both have one address here: the last word counts.
    assert_eq!(peers, ["127.0.0.1:6881".parse().expect("an address")].into());

    let (outcome, events) = net.run(addrs[30], |node, now| node.scrape(now, hash));
    let swarm = events.iter().find_map(|event| match event {
        Event::Swarm { seeds, peers, .. } => Some((*seeds, *peers)),
        _ => None,
    });
    assert_eq!((outcome, swarm), (Outcome::Success, Some((0, 1))));

    let sample = |net: &mut Net| {
        let (_, events) = net.run(addrs[30], |node, now| node.sample(now, hash));
        let keys = events.into_iter().filter_map(|event| match event {
            Event::Sample { keys, interval, total, .. } => {
                assert!(interval <= Duration::from_secs(21_600) && total >= keys.len() as u64);
                Some(keys)
            }
            _ => None,
        });
        keys.collect::<Vec<_>>()
    };
    let first = sample(&mut net);
    assert!(first.iter().flatten().any(|key| *key == hash), "{first:?}");
    assert!(first.len() >= 8, "all near it answered, those without keys too");
    // Nobody is asked again before its interval is over.
    assert_eq!(sample(&mut net).len(), 0);
    net.run_for(Duration::from_secs(3_601));
    assert!(sample(&mut net).len() >= 8);
}

/// BEP 43: whoever does not serve is in nobody's table.
#[test]
fn a_read_only_node_is_served_and_never_inserted() {
    let (mut net, addrs) = network(5, 10);
    let mut config = Config::mainline();
    config.role = Role::Client;
    let client = net.add("127.0.0.1:9000", config);
    let id = net.node(client).id();
    net.run(client, |node, now| node.bootstrap(now, &[Path::direct(addrs[0])]));
    net.run_for(Duration::from_secs(60));
    // It answers nothing: some would take it for one that stays.
    let mut datagram = Vec::new();
    let ping = Body::Query(Query::new(Method::Ping { nonce: None }));
    Mainline.encode(&Message::new(b"qq", STRANGER, ping), &mut datagram);
    let (now, from) = (net.now, Path::direct("127.0.0.1:7".parse().expect("an address")));
    assert_eq!(net.node(client).handle_datagram(now, from, &datagram), Ok(()));
    assert_eq!(net.node(client).stats().queries_answered, 0);
    assert!(net.node(client).table(Family::V4).len() >= 8);
    for addr in addrs {
        assert!(net.node(addr).table(Family::V4).get(id).is_none());
    }
}

// ---- asked by a stranger ------------------------------------------------------------------------

pub(crate) struct Asked {
    pub(crate) node: Node,
    pub(crate) from: Path,
    now: Instant,
}

impl Asked {
    pub(crate) fn new(config: Config) -> Self {
        Self::at(config, "127.0.0.1:7")
    }

    pub(crate) fn at(config: Config, from: &str) -> Self {
        let node = Node::new(config, Id::new([1; 20]), [2; 32], NOW);
        Self { node, from: Path::direct(from.parse().expect("an address")), now: NOW }
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// What is answered to a datagram, if anything is.
    pub(crate) fn say(&mut self, datagram: &[u8]) -> (Result<(), Rejected>, Option<Vec<u8>>) {
        let result = self.node.handle_datagram(self.now, self.from, datagram);
        let mut answer = None;
        while let Some(transmit) = self.node.poll_transmit() {
            // Beside the answer it may ping whoever is new.
            if Mainline.decode(&transmit.payload).is_ok_and(|m| !matches!(m.body, Body::Query(_))) {
                assert_eq!(transmit.path, self.from);
                assert!(answer.replace(transmit.payload).is_none(), "two answers");
            }
        }
        (result, answer)
    }

    pub(crate) fn ask(&mut self, query: Query<'_>) -> Vec<u8> {
        let mut datagram = Vec::new();
        let mut message = Message::new(b"qq", STRANGER, Body::Query(query));
        message.client = true;
        Mainline.encode(&message, &mut datagram);
        let (result, answer) = self.say(&datagram);
        result.expect("a question");
        answer.expect("an answer")
    }

    pub(crate) fn token(&mut self, target: Id) -> Option<Vec<u8>> {
        let answer = self.ask(Query::about(target, Method::Get { newer_than: None }));
        response(&answer).token.map(<[u8]>::to_vec)
    }

    /// Announces itself as a peer, which must be taken.
    pub(crate) fn announce(&mut self, hash: Id, token: &[u8], seed: bool) {
        self.announce_as(hash, token, seed, 6_881);
    }

    fn announce_as(&mut self, hash: Id, token: &[u8], seed: bool, port: u16) {
        let (port, implied_port, transports) = (Some(port), false, 0);
        let method = Method::Announce { token, port, implied_port, transports, seed };
        assert_eq!(code(&self.ask(Query::about(hash, method))), None);
    }

    /// The error by which a put is refused, if it is.
    pub(crate) fn put(
        &mut self,
        target: Option<Id>,
        item: WireItem<'_>,
        token: &[u8],
    ) -> Option<ErrorCode> {
        self.put_over(target, item, token, None)
    }

    fn put_over(
        &mut self,
        target: Option<Id>,
        item: WireItem<'_>,
        token: &[u8],
        cas: Option<u64>,
    ) -> Option<ErrorCode> {
        let method = Method::Put { token, item, cas, age: 0, lifetime: None };
        let mut query = Query::new(method);
        query.target = target;
        let answer = self.ask(query);
        code(&answer)
    }
}

pub(crate) fn response(datagram: &[u8]) -> Response<'_> {
    match Mainline.decode(datagram).expect("an answer").body {
        Body::Response(response) => response,
        other => panic!("no response: {other:?}"),
    }
}

pub(crate) fn code(datagram: &[u8]) -> Option<ErrorCode> {
    match Mainline.decode(datagram).expect("an answer").body {
        Body::Error(Failure { code, .. }) => Some(code),
        _ => None,
    }
}

/// BEP 44's codes, and which of two faults is named.
#[test]
fn a_put_with_a_wrong_field_gets_the_right_code_in_the_right_order() {
    let mut asked = Asked::new(Config::mainline());
    let secret = [9; 32];
    let sign = |seq, value: &[u8]| {
        SignedValue::sign_for(Form::Bencode, &secret, b"salt", seq, value).expect("bencode")
    };
    let good = sign(5, b"1:a");
    let key = good.key();
    let token = asked.token(key).expect("a token");
    let of = |signed: &SignedValue,
              signature: &[u8; 64],
              salt: &[u8],
              value: &[u8],
              token: &[u8],
              cas: Option<u64>,
              asked: &mut Asked| {
        let mut item = SignedItem::new(signed.public_key(), signed.seq(), value, signature);
        item.salt = salt;
        asked.put_over(Some(key), WireItem::Signed(item), token, cas)
    };
    let wrong = [0; 64];
    let long = [b"997:".as_slice(), &[b'x'; 997]].concat();
    let salt = [b's'; 65];
    let put = |signed: &SignedValue, asked: &mut Asked| {
        of(signed, signed.signature(), b"salt", signed.value(), &token, None, asked)
    };
    assert_eq!(put(&good, &mut asked), None);
    // 205 before 207 before 203 (token) before 206 before 301 before 302.
    let all = of(&good, &wrong, &salt, &long, b"forged", Some(1), &mut asked);
    assert_eq!(all, Some(ErrorCode::ValueTooLarge));
    let all = of(&good, &wrong, &salt, b"1:a", b"forged", Some(1), &mut asked);
    assert_eq!(all, Some(ErrorCode::SaltTooLarge));
    let all = of(&good, &wrong, b"salt", b"1:a", b"forged", Some(1), &mut asked);
    assert_eq!(all, Some(ErrorCode::Protocol));
    let older = sign(4, b"1:a");
    let all = of(&older, &wrong, b"salt", b"1:a", &token, Some(1), &mut asked);
    assert_eq!(all, Some(ErrorCode::BadSignature));
    let all = of(&older, older.signature(), b"salt", b"1:a", &token, Some(1), &mut asked);
    assert_eq!(all, Some(ErrorCode::CasMismatch));
    assert_eq!(put(&older, &mut asked), Some(ErrorCode::StaleSequence));
    assert_eq!(put(&sign(5, b"1:b"), &mut asked), Some(ErrorCode::StaleSequence));
    assert_eq!(put(&good, &mut asked), None, "the same again refreshes it");
    // `cas` is about what is stored; where nothing is, it says nothing.
    let other = SignedValue::sign_for(Form::Bencode, &secret, b"", 1, b"1:a").expect("bencode");
    let token = asked.token(other.key()).expect("a token");
    let item = SignedItem::new(other.public_key(), 1, b"1:a", other.signature());
    assert_eq!(asked.put_over(Some(other.key()), WireItem::Signed(item), &token, Some(77)), None);
}

#[test]
fn a_put_need_not_name_its_target_nor_keep_its_id() {
    let mut asked = Asked::new(Config::mainline());
    let key = bep44::immutable_key(b"5:hello");
    let token = asked.token(key).expect("a token");
    assert!(token.len() <= 20);
    assert_eq!(asked.put(None, WireItem::Immutable(b"5:hello"), &token), None);
    // Another id, as some draw one for every store; another target is another key.
    let put = Method::Put {
        token: &token,
        item: WireItem::Immutable(b"5:hello"),
        cas: None,
        age: 0,
        lifetime: None,
    };
    let mut datagram = Vec::new();
    let message =
        Message::new(b"qq", Id::new([8; 20]), Body::Query(Query::about(key, put.clone())));
    Mainline.encode(&message, &mut datagram);
    let (_, answer) = asked.say(&datagram);
    assert_eq!(code(&answer.expect("an answer")), None);
    let other = Some(Id::new([3; 20]));
    let refused = asked.put(other, WireItem::Immutable(b"5:hello"), &token);
    assert_eq!(refused, Some(ErrorCode::Protocol));
    assert_eq!(asked.put(None, WireItem::Immutable(b"5:other"), &token), Some(ErrorCode::Protocol));
    let answer = asked.ask(Query::about(key, Method::Get { newer_than: None }));
    assert_eq!(response(&answer).item, Some(WireItem::Immutable(b"5:hello")));
}

/// With `seq`, only a greater one brings the value; the number is said all the same.
#[test]
fn what_is_not_newer_is_not_sent() {
    let mut asked = Asked::new(Config::mainline());
    let signed = SignedValue::sign_for(Form::Bencode, &[9; 32], b"", 5, b"1:a").expect("bencode");
    let key = signed.key();
    let token = asked.token(key).expect("a token");
    let item = SignedItem::new(signed.public_key(), 5, b"1:a", signed.signature());
    assert_eq!(asked.put(Some(key), WireItem::Signed(item), &token), None);
    for (than, comes) in [(4, true), (5, false), (6, false)] {
        let answer = asked.ask(Query::about(key, Method::Get { newer_than: Some(than) }));
        let response = response(&answer);
        assert_eq!(response.item.is_some(), comes, "than {than}");
        assert!(comes || response.seq == Some(5));
    }
}

/// 203 for a question one cannot read, silence for what is none, and nothing changed by either.
#[test]
fn malformed_questions_are_answered_and_nothing_else_is() {
    let mut asked = Asked::new(Config::mainline());
    let id = "20:abcdefghij0123456789";
    let due = [
        "d1:ade1:q4:ping1:t2:aa1:y1:qe".to_string(),
        "d1:ad2:id19:abcdefghij012345678e1:q4:ping1:t2:aa1:y1:qe".to_string(),
        format!("d1:ad2:id{id}6:target3:abce1:q9:find_node1:t2:aa1:y1:qe"),
        format!("d1:ad2:id{id}9:info_hashi3ee1:q9:get_peers1:t2:aa1:y1:qe"),
        format!(
            "d1:ad2:id{id}9:info_hash{id}4:porti6881e5:tokeni1ee1:q13:announce_peer1:t2:aa1:y1:qe"
        ),
        format!("d1:ad2:id{id}9:info_hash{id}4:porti6881ee1:q13:announce_peer1:t2:aa1:y1:qe"),
        format!(
            "d1:ad2:id{id}9:info_hash{id}4:porti70000e5:token1:xe1:q13:announce_peer1:t2:aa1:y1:qe"
        ),
        format!("d1:ad2:id{id}5:token1:x1:vd1:bi1e1:ai1eee1:q3:put1:t2:aa1:y1:qe"),
        format!("d1:ad2:id{id}e1:t2:aa1:y1:qe"),
    ];
    for query in &due {
        let (result, answer) = asked.say(query.as_bytes());
        assert!(matches!(result, Err(Rejected::Malformed(_))), "{query}: {result:?}");
        let answer = answer.unwrap_or_else(|| panic!("{query}: silence"));
        assert_eq!(code(&answer), Some(ErrorCode::Protocol), "{query}");
        assert!(answer.windows(7).any(|part| part == b"1:t2:aa"), "{query}");
    }
    let ours = format!("d1:rd2:id{id}e1:t2:aa1:y1:re");
    let silent = [
        "",
        "d",
        "de",
        "d1:rde1:t1:t1:y1:re",
        "d1:t0:1:y0:e",
        "1111111111:",
        "d2000000001,",
        "d1:d2000000000:",
        "d1000000001:",
        "10000000000000000000:",
        "d20000000100",
        "d1:01000000001:",
        "\x41\x02\x4f\x4d\0\0\0\0",
        "i3e",
        "le",
        &ours,
        "d1:eli201e5:errore1:t2:aa1:y1:ee",
        "d1:t2:aa1:y1:ze",
    ];
    let nested = "l".repeat(400);
    for datagram in silent.into_iter().chain([nested.as_str()]) {
        let (result, answer) = asked.say(datagram.as_bytes());
        assert!(result.is_err(), "{datagram}");
        assert_eq!(answer, None, "{datagram}");
    }
    assert_eq!(asked.node.table(Family::V4).len(), 0);
    assert_eq!(asked.node.store_stats().bytes, 0);

    // Who is read-only answers nothing (BEP 43).
    let mut config = Config::mainline();
    config.role = Role::Client;
    let mut asked = Asked::new(config);
    for query in &due {
        let (result, answer) = asked.say(query.as_bytes());
        assert!(matches!(result, Err(Rejected::Malformed(_))), "{query}: {result:?}");
        assert_eq!(answer, None, "{query}");
    }
}

#[test]
fn an_unknown_method_with_a_target_is_answered_like_find_node() {
    let mut asked = Asked::new(Config::mainline());
    let id = "20:abcdefghij0123456789";
    for key in ["6:target", "9:info_hash"] {
        let query = format!("d1:ad2:id{id}{key}{id}e1:q4:novo1:t3:abc1:y1:qe");
        let (_, answer) = asked.say(query.as_bytes());
        let answer = answer.expect("an answer");
        assert!(response(&answer).listed.contains(Family::V4), "`nodes` is there, empty or not");
        // BEP 42: our own address as the answerer sees it.
        let message = Mainline.decode(&answer).expect("an answer");
        assert_eq!(message.observed, Some(asked.from.remote));
        assert_eq!(message.transaction, b"abc");
    }
    let (_, answer) = asked.say(format!("d1:ad2:id{id}e1:q4:novo1:t1:a1:y1:qe").as_bytes());
    assert_eq!(code(&answer.expect("an answer")), Some(ErrorCode::UnknownMethod));
}

/// Nobody's forged address gets more than some five times the question; what is stored has a budget.
#[test]
fn answers_are_short_and_stored_data_has_a_budget() {
    let mut asked = Asked::at(Config::mainline(), "8.8.8.8:7");
    let hash = Id::new([0x42; 20]);
    for n in 0..100_u8 {
        asked.from = Path::direct(SocketAddr::new(IpAddr::from([9, 9, n, 1]), 6881));
        let token = asked.token(hash).expect("a token");
        asked.announce(hash, &token, n < 30);
    }
    asked.from = Path::direct("8.8.8.8:7".parse().expect("an address"));
    let peers = |no_seeds| Method::GetProviders { page: 0, scrape: false, no_seeds };
    let answer = asked.ask(Query::about(hash, peers(false)));
    assert_eq!(response(&answer).providers.len(), 28);
    assert!(answer.len() <= 400, "{}", answer.len());
    // BEP 33: filters instead, as often as the budget of 8 kB a second allows.
    let scrape = Method::GetProviders { page: 0, scrape: true, no_seeds: false };
    let filters = (0..40)
        .filter(|_| response(&asked.ask(Query::about(hash, scrape.clone()))).seed_filter.is_some())
        .count();
    assert!((15..=16).contains(&filters), "{filters}");
    let held = asked.ask(Query::about(hash, peers(true)));
    assert_eq!(response(&held).providers.len(), 28, "of the 70 that are no seeds");
}

// ---- BEP 42 -------------------------------------------------------------------------------------

fn valid(ip: [u8; 4], n: u8) -> Id {
    bep42::id_for(Id::new([n; 20]), ip.into())
}

#[test]
fn with_enforcement_a_wrong_id_is_served_and_gets_no_token() {
    for (ids, gets) in [(AddressIds::Prefer, true), (AddressIds::Enforce, false)] {
        let mut config = Config::mainline();
        config.address_ids = ids;
        let mut asked = Asked::at(config, "9.9.9.9:7");
        assert!(!bep42::is_valid(STRANGER, [9, 9, 9, 9].into()));
        assert_eq!(asked.token(Id::new([3; 20])).is_some(), gets, "{ids:?}");
    }
}

const OURS: &str = "124.31.75.21:6881";

fn server_at(ours: SocketAddr) -> Node {
    let mut config = Config::mainline();
    config.role = Role::Server;
    let mut node = Node::new(config, Id::new([1; 20]), [2; 32], NOW);
    node.link_up(NOW, LinkId(0), ours, Families::V4, 1_500);
    node
}

/// The addresses newly believed.
fn believed(events: &[Event]) -> Vec<SocketAddr> {
    let address = |event: &Event| match event {
        Event::AddressSeen { address } => Some(*address),
        _ => None,
    };
    events.iter().filter_map(address).collect()
}

/// Asks the node at `ip`, which says that we are `observed`.
fn vote(node: &mut Node, ip: [u8; 4], observed: SocketAddr) -> Vec<Event> {
    let path = Path::direct(SocketAddr::new(ip.into(), 6881));
    node.bootstrap(NOW, &[path]);
    let question = loop {
        let question = node.poll_transmit().expect("a question");
        if question.path == path {
            break question;
        }
    };
    let asked = Mainline.decode(&question.payload).expect("ours");
    let mut answer =
        Message::new(asked.transaction, valid(ip, ip[3]), Body::Response(Response::default()));
    answer.observed = Some(observed);
    let mut datagram = Vec::new();
    Mainline.encode(&answer, &mut datagram);
    node.handle_datagram(NOW, question.path, &datagram).expect("an answer");
    core::iter::from_fn(|| node.poll_event()).collect()
}

/// Three voters, one family's id.
#[test]
fn our_id_follows_from_the_address_that_others_see() {
    let ours: SocketAddr = OURS.parse().expect("an address");
    let mut node = server_at(ours);
    for (n, ip) in [[9, 9, 9, 9], [8, 8, 8, 8], [7, 7, 7, 7]].into_iter().enumerate() {
        let believed = believed(&vote(&mut node, ip, ours));
        assert_eq!(believed, [ours][..usize::from(n == 2)], "three agree");
        assert_eq!(bep42::is_valid(node.id(), ours.ip()), n == 2);
    }
    assert_eq!(node.table(Family::V4).own(), node.id());
}

/// Who holds a whole prefix has one vote.
#[test]
fn nobody_chooses_our_id_by_voting_often() {
    let elsewhere: SocketAddr = "1.2.3.4:5".parse().expect("an address");
    let mut node = server_at(OURS.parse().expect("an address"));
    for n in 1..40 {
        assert_eq!(believed(&vote(&mut node, [9, 9, 9, n], elsewhere)), []);
    }
    assert_eq!(node.id(), Id::new([1; 20]));
}

/// Some who err do not outvote the others, and an address that has changed is believed in the end.
#[test]
fn most_voters_decide_about_our_address() {
    let ours: SocketAddr = OURS.parse().expect("an address");
    let moved: SocketAddr = "124.31.75.22:6881".parse().expect("an address");
    let mut node = server_at(ours);
    for n in 1..=4 {
        assert_eq!(believed(&vote(&mut node, [n, 1, 1, 1], ours)), [ours][..usize::from(n == 3)]);
    }
    for n in 11..=14 {
        assert_eq!(believed(&vote(&mut node, [n, 1, 1, 1], moved)), [], "four of eight");
    }
    assert!(bep42::is_valid(node.id(), ours.ip()));
    assert_eq!(believed(&vote(&mut node, [15, 1, 1, 1], moved)), [moved]);
    assert!(bep42::is_valid(node.id(), moved.ip()));
}

/// A full bucket has room for a node whose id follows from its address.
#[test]
fn a_node_with_the_right_id_takes_the_place_of_one_without() {
    let mut config = Config::mainline();
    config.role = Role::Server;
    config.limits.questions_per_host = None;
    // In the half of the space that our own id is not in, so that no bucket splits.
    let mut node = Node::new(config, Id::new([0; 20]), [2; 32], NOW);
    let meet = |node: &mut Node, n: u8, id: Id| {
        let path = Path::direct(SocketAddr::new([9, n, 1, 1].into(), 6881));
        node.bootstrap(NOW, &[path]);
        let question = loop {
            let question = node.poll_transmit().expect("a question");
            if question.path == path {
                break question;
            }
        };
        let asked = Mainline.decode(&question.payload).expect("ours");
        let answer = Body::Response(Response::default());
        let mut datagram = Vec::new();
        Mainline.encode(&Message::new(asked.transaction, id, answer), &mut datagram);
        node.handle_datagram(NOW, path, &datagram).expect("an answer");
    };
    let wrong = |n: u8| Id::new([0x80 | n; 20]);
    // Enough neighbours that those far away are no longer all kept.
    for n in 1..=12 {
        meet(&mut node, 100 + n, Id::new([n; 20]));
    }
    for n in 0..40 {
        meet(&mut node, n, wrong(n));
    }
    let full = node.table(Family::V4).len();
    let upper = (0..=255_u8).find_map(|n| {
        let id = valid([9, 200, 1, 1], n);
        (id.as_bytes()[0] >= 0x80).then_some(id)
    });
    let newcomer = upper.expect("one of eight beginnings");
    meet(&mut node, 200, newcomer);
    assert!(node.table(Family::V4).get(newcomer).is_some());
    assert_eq!(node.table(Family::V4).len(), full);
}

/// Strangers that ask are proof that they reach us: until then we are read-only on a public network.
#[test]
fn a_question_from_a_stranger_makes_a_server() {
    let mut asked = Asked::at(Config::mainline(), "9.9.9.9:7");
    let ours = "124.31.75.21:6881".parse().expect("an address");
    asked.node.link_up(NOW, LinkId(0), ours, Families::V4, 1_500);
    assert!(!asked.node.health().server);
    asked.token(Id::new([3; 20]));
    assert!(asked.node.health().server);
    // It is told with our address, as soon as that is believed, and once.
    let told = |events: &[Event]| {
        let reached = Event::Reachable { address: ours, reachable: true };
        events.iter().filter(|event| **event == reached).count()
    };
    for n in 1..=5 {
        let events = vote(&mut asked.node, [n, 1, 1, 1], ours);
        assert_eq!(told(&events), usize::from(n == 3));
    }
}

/// Others take the address of a peer as it is written.
#[test]
fn who_provides_names_itself_by_an_address_of_its_own() {
    let key = Id::new([3; 20]);
    let mut config = Config::mainline();
    config.role = Role::Server;
    let mut asked = Asked::at(config, "9.9.9.9:7");
    asked.node.announce(NOW, key, Announcement::torrent(Some(4_321), true));
    let named = |asked: &mut Asked| {
        let question = Method::GetProviders { page: 0, scrape: false, no_seeds: false };
        let answer = asked.ask(Query::about(key, question));
        let peers: Vec<_> = response(&answer).providers.iter().map(|peer| peer.address).collect();
        peers
    };
    assert_eq!(named(&mut asked), [], "it knows none");
    for (local, known) in [("0.0.0.0:6881", false), ("10.0.0.1:6881", false), (OURS, true)] {
        let local = local.parse().expect("an address");
        asked.node.link_up(NOW, LinkId(0), local, Families::V4, 1_500);
        let expected = "124.31.75.21:4321".parse().ok().filter(|_| known);
        assert_eq!(named(&mut asked), Vec::from_iter(expected), "{local}");
    }
    let local = "10.0.0.1:6881".parse().expect("an address");
    asked.node.link_up(NOW, LinkId(0), local, Families::V4, 1_500);
    for n in 1..=3 {
        vote(&mut asked.node, [n, 1, 1, 1], "124.31.75.21:99".parse().expect("an address"));
    }
    while asked.node.poll_transmit().is_some() {}
    assert_eq!(named(&mut asked), ["124.31.75.21:4321".parse().expect("an address")]);
}

/// An answer has room for 28 peers and no second page: each begins somewhere else, and who announces
/// all ports of one address does not fill it.
#[test]
fn of_many_peers_everybody_is_told_sometimes() {
    let key = Id::new([3; 20]);
    let mut config = Config::mainline();
    config.role = Role::Server;
    let mut asked = Asked::at(config, "9.9.9.9:7");
    let announce = |asked: &mut Asked, from: [u8; 4], port: u16| {
        asked.from = Path::direct(SocketAddr::from((from, port)));
        let token = asked.token(key).expect("a token");
        asked.announce_as(key, &token, false, port);
        // A source asks so often in a second.
        asked.wait(Duration::from_millis(100));
    };
    for n in 1..=60 {
        announce(&mut asked, [9, n, 1, 1], 6_881);
    }
    for n in 0..200 {
        announce(&mut asked, [8, 8, 8, 8], 1_000 + n);
    }
    let (mut told, mut of_one) = (BTreeSet::new(), 0);
    for n in 1..=60 {
        asked.from = Path::direct(SocketAddr::from(([7, n, 1, 1], 7)));
        let question = Method::GetProviders { page: 0, scrape: false, no_seeds: false };
        let answer = asked.ask(Query::about(key, question));
        let peers: Vec<_> = response(&answer).providers.iter().map(|peer| peer.address).collect();
        of_one = of_one.max(peers.iter().filter(|it| it.ip().to_string() == "8.8.8.8").count());
        told.extend(peers.into_iter().filter(|it| it.ip().to_string() != "8.8.8.8"));
    }
    assert_eq!(told.len(), 60);
    assert_eq!(of_one, 3);
}

/// libtorrent bans whoever sends it 50 packets in 10 seconds.
#[test]
fn one_address_is_not_asked_too_often() {
    let mut config = Config::mainline();
    config.role = Role::Server;
    let mut node = Node::new(config, Id::new([1; 20]), [2; 32], NOW);
    let path = Path::direct("9.9.9.9:6881".parse().expect("an address"));
    let id = valid([9, 9, 9, 9], 1);
    let mut sent = 0_u32;
    node.bootstrap(NOW, &[path]);
    for tick in 0..100_u64 {
        let now = NOW + Duration::from_millis(100 * tick);
        node.find_node(now, Id::new([tick as u8; 20]));
        node.handle_timeout(now);
        while let Some(question) = node.poll_transmit() {
            sent += u32::from(question.path == path);
            let asked = Mainline.decode(&question.payload).expect("ours");
            let answer = Body::Response(Response::default());
            let mut datagram = Vec::new();
            Mainline.encode(&Message::new(asked.transaction, id, answer), &mut datagram);
            let _ = node.handle_datagram(now, path, &datagram);
        }
        while node.poll_event().is_some() {}
    }
    assert!((20..50).contains(&sent), "{sent} in 10 s");
}
