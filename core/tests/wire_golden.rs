//! Golden datagrams of draft 1: what is sent and read today is what was sent and read when the
//! draft was made. tests/second, written from docs/protocol.md alone, reads the same file.
//!
//! A case that is no longer the same means a new draft with its own magic and its own folder, but
//! for what has to be mended while the draft is not frozen. Cases are added by
//! `KADLET_BLESS=1 cargo test -p kadlet-core --test wire_golden`, which writes the file anew.
#![expect(clippy::unwrap_used, reason = "tests")]

use core::fmt::{Display, Write as _};

use kadlet_core::wire::native::Native;
use kadlet_core::wire::{
    Body, ErrorCode, Failure, Hit, Item, List, Message, Method, NodeInfo, Peer, Query, Response,
    SignedItem,
};
use kadlet_core::{Capabilities, Families, Id};

const GOLDEN: &str = include_str!("golden/draft-1/datagrams.txt");

const HEAD: &str = "\
# Datagrams of the network \"example\". Written by tests/wire_golden.rs; docs/protocol.md says how.
# One a line: name, bytes, and what they say, or why they are none; separated by tabs.
";

fn wire() -> Native {
    Native::new("example")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

/// What a message says, in words that tests/second finds as well.
#[derive(Default)]
struct Words(String);

impl Words {
    fn word(&mut self, word: impl Display) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        write!(self.0, "{word}").unwrap();
    }

    fn say(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.word(format_args!("{name}={value}"));
        }
    }

    fn list<T>(&mut self, name: &str, list: impl Iterator<Item = T>, say: impl Fn(T) -> String) {
        let list: Vec<String> = list.map(say).collect();
        if !list.is_empty() {
            self.say(name, Some(list.join(",")));
        }
    }

    fn item(&mut self, item: Item<'_>) {
        match item {
            Item::Immutable(value) => self.say("value", Some(hex(value))),
            Item::Signed(signed) => {
                self.say("public_key", Some(hex(signed.public_key)));
                self.say("signature", Some(hex(signed.signature)));
                self.say("signed_seq", Some(signed.seq));
                self.say("salt", Some(hex(signed.salt)));
                self.say("value", Some(hex(signed.value)));
                self.say("extra", Some(hex(signed.extra)));
            }
        }
    }
}

fn node(node: NodeInfo) -> String {
    format!("{}@{}/{}", node.id, node.address, node.capabilities.0)
}

fn hit(hit: Hit<'_>) -> String {
    let (name, content, extra) = (hex(hit.name.as_bytes()), hex(hit.content), hex(hit.extra));
    format!("{name}/{}/{content}/{extra}", hit.size)
}

/// `None` for a number that stands for nothing.
fn nonzero(number: u32) -> Option<u32> {
    (number != 0).then_some(number)
}

fn describe(message: &Message<'_>) -> String {
    let mut words = Words::default();
    let (kind, method) = match &message.body {
        Body::Query(query) => ("query", query.method.code()),
        Body::Response(response) => ("response", response.method),
        Body::Error(failure) => ("error", failure.method),
    };
    words.word(kind);
    words.word(method);
    words.say("transaction", Some(hex(message.transaction)));
    words.say("sender", message.sender);
    if message.client {
        words.word("client");
    }
    words.say("capabilities", message.capabilities.map(|bits| bits.0));
    words.say("cookie", message.cookie.map(|cookie| hex(&cookie)));
    words.say("observed", message.observed);
    match &message.body {
        Body::Query(query) => describe_query(query, &mut words),
        Body::Response(response) => describe_response(response, &mut words),
        Body::Error(failure) => {
            words.say("code", Some(failure.code.number()));
            words.say("text", Some(hex(failure.text.as_bytes())));
            words.say("seq", failure.seq);
        }
    }
    words.0
}

fn describe_query(query: &Query<'_>, words: &mut Words) {
    words.say("target", query.target);
    words.say("want", nonzero(query.want.bits().into()));
    words.say("mask", nonzero(query.mask.0));
    match &query.method {
        Method::Ping { nonce } => words.say("nonce", *nonce),
        Method::GetProviders { page, .. } => words.say("page", nonzero(*page)),
        Method::Announce { token, port, transports, .. } => {
            words.say("token", Some(hex(token)));
            words.say("port", *port);
            words.say("transports", nonzero((*transports).into()));
        }
        Method::Get { newer_than } => words.say("newer_than", *newer_than),
        Method::Put { token, item, cas, age, lifetime } => {
            words.say("token", Some(hex(token)));
            words.say("cas", *cas);
            words.say("age", nonzero(*age));
            words.say("lifetime", *lifetime);
            words.item(*item);
        }
        Method::Search { words: further, page } => {
            words.say("page", nonzero(*page));
            words.say("words", (!further.is_empty()).then_some(hex(further.as_bytes())));
        }
        Method::Publish { token, entry } => {
            words.say("token", Some(hex(token)));
            words.say("entry", Some(hit(*entry)));
        }
        Method::Signal { origin, payload } => {
            words.say("origin", origin.map(node));
            words.say("payload", Some(hex(payload)));
        }
        Method::DialBack { nonce } => words.say("nonce", Some(nonce)),
        Method::Probe { address, nonce } => {
            words.say("nonce", Some(nonce));
            words.say("address", Some(address));
        }
        Method::Unknown { .. } => words.word("unknown"),
        _ => {}
    }
}

fn describe_response(response: &Response<'_>, words: &mut Words) {
    if response.unsupported {
        words.word("unsupported");
    }
    if response.short {
        words.word("short");
    }
    words.say("token", response.token.map(hex));
    words.say("page", response.next_page);
    words.say("seq", response.seq);
    if let Some(item) = response.item {
        words.item(item);
    }
    words.list("nodes", response.nodes.iter(), node);
    words.list("providers", response.providers.iter(), |peer| {
        format!("{}/{}", peer.address, peer.transports)
    });
    words.list("hits", response.hits.iter(), hit);
}

/// The file as it would be written today.
struct File(String);

impl File {
    fn line(&mut self, name: &str, datagram: &[u8]) {
        let says = match wire().decode(datagram) {
            Ok(message) => describe(&message),
            Err(reason) => format!("none: {reason:?}"),
        };
        writeln!(self.0, "{name}\t{}\t{says}", hex(datagram)).unwrap();
    }

    /// A message as we send it: read again, it is the same.
    fn message(&mut self, name: &str, message: &Message<'_>) -> Vec<u8> {
        let datagram = encode(message);
        assert_eq!(wire().decode(&datagram).map(|m| describe(&m)), Ok(describe(message)), "{name}");
        self.line(name, &datagram);
        datagram
    }

    fn query(&mut self, name: &str, query: Query<'_>) -> Vec<u8> {
        self.message(name, &from_asker(Body::Query(query)))
    }

    fn response(&mut self, name: &str, method: &Method<'_>, response: Response<'_>) -> Vec<u8> {
        let mut response = response;
        response.method = method.code();
        self.message(name, &from_answerer(Body::Response(response)))
    }
}

fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut datagram = Vec::new();
    wire().encode(message, None, &mut datagram);
    datagram
}

const ASKER: Id = Id::new(*b"asker asker asker as");
const ANSWERER: Id = Id::new(*b"answerer answerer an");
const TARGET: Id = Id::new(*b"target target target");
const TOKEN: &[u8] = b"token token token to";

fn from_asker(body: Body<'_>) -> Message<'_> {
    let mut message = Message::new(b"question", ASKER, body);
    message.capabilities = Some(Capabilities::STORE);
    message
}

fn from_answerer(body: Body<'_>) -> Message<'_> {
    let mut message = Message::new(b"question", ANSWERER, body);
    message.capabilities = Some(Capabilities::STORE.union(Capabilities::SIGNAL));
    message.cookie = Some(*b"a cookie");
    message.observed = Some("127.0.0.1:4242".parse().unwrap());
    message
}

fn nodes() -> Vec<NodeInfo> {
    let node = |id: &[u8; 20], address: &str, bits| NodeInfo {
        id: Id::new(*id),
        address: address.parse().unwrap(),
        capabilities: Capabilities(bits),
    };
    vec![
        node(b"first node first nod", "127.0.0.2:6881", 1),
        node(b"second node second n", "8.8.8.8:65535", 0),
        node(b"third node third nod", "[2a00:1450::68]:1", 0xffff_ffff),
    ]
}

fn peers() -> Vec<Peer> {
    let peer = |address: &str, transports| Peer { address: address.parse().unwrap(), transports };
    vec![peer("127.0.0.3:8080", 1), peer("[2a00:1450::69]:443", 3)]
}

fn written_today() -> String {
    let mut file = File(HEAD.into());
    queries(&mut file);
    answers(&mut file);
    growth(&mut file);
    refused(&mut file);
    file.0
}

fn queries(file: &mut File) {
    file.message(
        "ping",
        &Message::new(b"question", ASKER, {
            Body::Query(Query::new(Method::Ping { nonce: None }))
        }),
    );
    let mut client =
        Message::new(b"question", ASKER, Body::Query(Query::about(TARGET, Method::FindNode)));
    client.client = true;
    file.message("find_node of a client", &client);
    let mut find = Query::about(TARGET, Method::FindNode);
    find.want = Families::BOTH;
    find.mask = Capabilities(300);
    let mut find = from_asker(Body::Query(find));
    find.cookie = Some(*b"a cookie");
    file.message("find_node, all of it", &find);
    let nonce = 0x0102_0304_0506_0708;
    file.query("ping, reached", Query::new(Method::Ping { nonce: Some(nonce) }));

    let about = |method| Query::about(TARGET, method);
    let providers = |page| Method::GetProviders { page, scrape: false, no_seeds: false };
    file.query("get_providers", about(providers(0)));
    file.query("get_providers, next page", about(providers(128)));
    let announce = |port, transports| Method::Announce {
        token: TOKEN,
        port,
        implied_port: false,
        transports,
        seed: false,
    };
    file.query("announce", about(announce(None, 0)));
    file.query("announce, all of it", about(announce(Some(8080), 3)));
    file.query("get", about(Method::Get { newer_than: None }));
    file.query("get, if newer", about(Method::Get { newer_than: Some(u64::MAX) }));
    let put = |item, cas, age, lifetime| Method::Put { token: TOKEN, item, cas, age, lifetime };
    file.query("put", Query::new(put(Item::Immutable(b"hello"), None, 0, None)));
    let signed = signed();
    file.query("put, a copy", about(put(Item::Immutable(b"hello"), None, 0, Some(600))));
    file.query("put, signed", about(put(Item::Signed(signed), Some(6), 3600, None)));
    // Value and extra together have what a value may have.
    let value = [0xab; 896 - 5];
    let mut largest = signed;
    (largest.salt, largest.value, largest.seq) = (&[0xcd; 64], &value, u64::MAX);
    let mut query = Query::about(
        TARGET,
        Method::Put {
            token: &[b't'; 32],
            item: Item::Signed(largest),
            cas: Some(u64::MAX),
            age: u32::MAX,
            lifetime: Some(u32::MAX),
        },
    );
    query.want = Families::BOTH;
    query.mask = Capabilities(u32::MAX);
    let mut message = from_asker(Body::Query(query));
    message.capabilities = Some(Capabilities(u32::MAX));
    message.cookie = Some(*b"a cookie");
    file.message("put, the largest", &message);
    // Over a limit: it is read, to be answered with errors 207 and 205.
    let too_long = [0xcd; 65];
    let mut over = signed;
    over.salt = &too_long;
    file.query("put, a salt over its limit", about(put(Item::Signed(over), None, 0, None)));
    let too_large = [0xab; 897];
    file.query("put, over its limit", about(put(Item::Immutable(&too_large), None, 0, None)));
    file.query("search", about(Method::Search { words: "", page: 0 }));
    file.query("search, all of it", about(Method::Search { words: "blå hval", page: 2 }));
    file.query("publish", about(Method::Publish { token: TOKEN, entry: hits()[1] }));
    file.query("signal", about(Method::Signal { origin: None, payload: b"offer" }));
    let origin = nodes()[2];
    file.query(
        "signal, handed on",
        about(Method::Signal { origin: Some(origin), payload: b"offer" }),
    );
    file.query("dial_back", Query::new(Method::DialBack { nonce }));
    let address = "192.0.2.7:6881".parse().unwrap();
    file.query("probe", Query::new(Method::Probe { address, nonce }));
}

fn signed() -> SignedItem<'static> {
    let mut signed = SignedItem::new(&[0x11; 32], 7, b"signed value", &[0x22; 64]);
    signed.salt = b"salt";
    signed.extra = b"later";
    signed
}

fn hits() -> [Hit<'static>; 2] {
    let mut later = Hit::new("Blå hval.ogg", 0, &[0x44; 32]);
    later.extra = b"later";
    [Hit::new("Blue Whale.mp3", 5_000_000_000, &[0x33; 32]), later]
}

fn answers(file: &mut File) {
    let (nodes, peers, hits) = (nodes(), peers(), hits());
    let empty = Response::default;
    let find = Method::FindNode;
    let bare = empty_response(Method::Ping { nonce: None }.code());
    file.message("ping answered", &Message::new(b"question", ANSWERER, Body::Response(bare)));

    let mut response = empty();
    response.nodes = List::new(&nodes);
    file.response("find_node answered", &find, response);
    let mut response = empty();
    response.nodes = List::new(&nodes[..1]);
    response.short = true;
    file.response("find_node answered in short", &find, response);

    let mut response = empty();
    response.nodes = List::new(&nodes[..2]);
    response.token = Some(TOKEN);
    response.providers = List::new(&peers);
    response.next_page = Some(1);
    let providers = Method::GetProviders { page: 0, scrape: false, no_seeds: false };
    file.response("get_providers answered", &providers, response);

    let get = Method::Get { newer_than: None };
    let mut response = empty();
    response.nodes = List::new(&nodes[..1]);
    response.token = Some(TOKEN);
    file.response("get answered, no value", &get, response.clone());
    response.item = Some(Item::Immutable(b"hello"));
    file.response("get answered", &get, response.clone());
    response.item = Some(Item::Signed(signed()));
    file.response("get answered, signed", &get, response.clone());
    response.item = None;
    response.seq = Some(7);
    file.response("get answered, not newer", &get, response);

    let search = Method::Search { words: "", page: 0 };
    let mut response = empty();
    response.token = Some(TOKEN);
    response.hits = List::new(&hits);
    response.next_page = Some(3);
    file.response("search answered", &search, response);
    let put =
        Method::Put { token: TOKEN, item: Item::Immutable(b""), cas: None, age: 0, lifetime: None };
    file.response("put answered", &put, empty());

    for code in [201, 202, 203, 204, 205, 206, 207, 301, 302, 401, 402, 999] {
        let mut failure = Failure::new(ErrorCode::from_number(code));
        failure.method = put.code();
        failure.seq = matches!(code, 301 | 302).then_some(8);
        let failure = Message::new(b"question", ANSWERER, Body::Error(failure));
        file.message(&format!("error {code}"), &failure);
    }
    let mut failure = Failure::new(ErrorCode::StaleSequence);
    (failure.method, failure.seq) = (put.code(), Some(u64::MAX));
    file.message("error, all it may say", &from_answerer(Body::Error(failure)));
}

fn empty_response(method: u16) -> Response<'static> {
    let mut response = Response::default();
    response.method = method;
    response
}

/// Datagrams of later versions: everything known of them counts.
fn growth(file: &mut File) {
    let find = encode(&from_asker(Body::Query(Query::about(TARGET, Method::FindNode))));
    let answer = {
        let nodes = nodes();
        let mut response = empty_response(Method::FindNode.code());
        response.nodes = List::new(&nodes);
        encode(&from_answerer(Body::Response(response)))
    };
    let with = |datagram: &[u8], field: &[u8]| [datagram, field].concat();
    let mut greased = Vec::new();
    let message = wire().decode(&find).unwrap();
    wire().encode(&message, Some(0x0400_0003), &mut greased);
    file.line("later: a reserved field", &greased);
    file.line("later: an unknown field", &with(&find, b"\x90\x03\x03abc"));
    file.line("later: an unknown field twice", &with(&find, b"\x90\x03\x01a\x90\x03\x01b"));
    file.line("later: an unknown critical field", &with(&find, b"\x91\x03\x03abc"));
    // Tag 17, the nonce, means nothing to find_node.
    file.line("later: a field of another method", &with(&find, b"\x22\x0812345678"));
    file.line("later: a critical field of another method", &with(&find, b"\x23\x0812345678"));
    file.line("later: a known critical field", &[&find[..44], b"\x03", &find[45..]].concat());
    // Tag 4, the asker's address, is what answers say.
    file.line("later: a field of answers in a query", &with(&find, b"\x08\x01\x09"));
    file.line("later: a critical field of answers in a query", &with(&find, b"\x09\x01\x09"));
    file.line(
        "later: an unknown critical field and no target",
        &with(&find[..44], b"\x91\x03\x00"),
    );
    let bare_find = [&find[..44], &find[44..66]].concat();
    file.line("later: capabilities that are none", &with(&bare_find, b"\x04\x01\x00"));
    file.line("later: unknown families", &with(&find, b"\x0a\x01\xfc"));
    file.line("later: method 12", &{
        let mut method = find.clone();
        method[15] = 12;
        method
    });
    let mut method = find.clone();
    method[14..16].copy_from_slice(&Native::reserved_method(4).to_be_bytes());
    file.line("later: a reserved method", &method);
    let query = Method::Unknown { code: Native::reserved_method(4), name: &[] };
    let query = Message::new(b"question", ASKER, Body::Query(Query::about(TARGET, query)));
    let mut both = Vec::new();
    wire().encode(&query, Some(3), &mut both);
    file.line("later: a reserved method and a reserved field", &both);
    let mut bare = method[..44].to_vec();
    bare[14..16].copy_from_slice(&500_u16.to_be_bytes());
    file.line("later: an unknown method without target", &bare);
    let mut flags = find.clone();
    flags[13] = 0xf8;
    file.line("later: unknown flags", &flags);
    let mut unsupported = answer.clone();
    unsupported[13] = 2;
    unsupported[14..16].copy_from_slice(&Native::reserved_method(4).to_be_bytes());
    file.line("later: a reserved method answered", &unsupported);
    file.line("later: an answer with an unknown field", &with(&answer, b"\x90\x03\x03abc"));
    let mut reversed = find[..44].to_vec();
    reversed.extend_from_slice(&find[66..]);
    reversed.extend_from_slice(&find[44..66]);
    file.line("later: fields in another order", &reversed);
    // A node with two bytes after its capabilities, and one at an address of a third kind.
    let longer = b"\x32\x37\x1eAAAAAAAAAAAAAAAAAAAA\x00\x7f\x00\x00\x01\x00\x01\x01zz\
                   \x17BBBBBBBBBBBBBBBBBBBB\x02zz";
    let bare = encode(&from_answerer(Body::Response(empty_response(2))));
    file.line("later: nodes with more to say", &with(&bare, longer));
    // And so with a provider.
    let longer = b"\x34\x10\x0a\x00\x7f\x00\x00\x01\x00\x01\x81zz\x04\x02zzz";
    file.line("later: providers with more to say", &with(&bare, longer));
    // Without the cookie, the field before the address.
    let short = &bare[..47];
    let strange = with(short, b"\x08\x04\x02zzz");
    file.line("later: an observed address of a third kind", &strange);
    let mut error = bare[..44].to_vec();
    error[12] = 2;
    let longer = with(&error, b"\x30\x08\xcd\x01\x03bigzz");
    file.line("later: an error with more to say", &longer);
    let text = [&b"\x30\x44\xcd\x01\x41"[..], &[b'x'; 65]].concat();
    file.line("later: an error with a longer text", &with(&error, &text));
}

fn refused(file: &mut File) {
    let find = encode(&from_asker(Body::Query(Query::about(TARGET, Method::FindNode))));
    let answer = encode(&from_answerer(Body::Response(empty_response(2))));
    let with = |datagram: &[u8], field: &[u8]| [datagram, field].concat();
    let at = |position: usize, byte: u8| {
        let mut datagram = find.clone();
        datagram[position] = byte;
        datagram
    };
    file.line("none: empty", b"");
    file.line("none: a KRPC ping", b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe");
    file.line("none: another draft", &at(3, 2));
    file.line("none: another network", &at(4, 0));
    file.line("none: half a header", &find[..30]);
    file.line("none: an unknown kind", &at(12, 3));
    file.line("none: too long", &with(&find, &[0; 1233 - 69]));
    file.line("none: cut in a field", &find[..60]);
    file.line("none: a field without length", &with(&find, b"\x90\x03"));
    file.line("none: an overlong tag", &with(&find, b"\x90\x83\x00\x00"));
    file.line("none: a tag over 16 bits", &with(&find, b"\x90\x83\x04\x00"));
    file.line("none: an overlong length", &with(&find, b"\x90\x03\x80\x00"));
    file.line("none: an overlong number", &with(&find, b"\x0c\x02\x81\x00"));
    file.line("none: a number over 32 bits", &with(&find, b"\x0c\x05\xff\xff\xff\xff\x1f"));
    let over = b"\x14\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
    file.line("none: a number over 64 bits", &with(&find, over));
    file.line("none: a number with more behind it", &with(&find, b"\x0c\x02\x01\x01"));
    file.line("none: a known field twice", &with(&find, b"\x04\x01\x01"));
    file.line("none: a target of 19 bytes", &with(&find[..44], &[&[2, 19][..], &[0; 19]].concat()));
    file.line("none: find_node without target", &find[..44]);
    file.line("none: a token of 33 bytes", &with(&answer, &[&[14, 33][..], &[0; 33]].concat()));
    file.line("none: a node of 27 bytes", &with(&answer, &[&[50, 28, 27][..], &[0; 27]].concat()));
    file.line("none: a name that is no text", &with(&find, b"\x20\x01\xff"));
    let signed = [&b"\x2a\x00\x2c\x63"[..], &[0; 99]].concat();
    file.line("none: a value and a signed one", &with(&answer, &signed));
    let value = [&b"\x2a\x81\x07"[..], &[0; 897]].concat();
    file.line("none: a value of 897 bytes", &with(&answer, &value));
    let signed = [&b"\x2c\xa4\x01"[..], &[0; 97], &[65], &[0; 66]].concat();
    file.line("none: a salt of 65 bytes", &with(&answer, &signed));
    let entry = [&b"\x2e\xa3\x02\x80\x02"[..], &[b'a'; 256], &[0; 33]].concat();
    file.line("none: a name of 256 bytes", &with(&find, &entry));
    let entry = [&b"\x2e\xa3\x01\x00\x00"[..], &[0; 32 + 129]].concat();
    file.line("none: an entry with 129 bytes more to say", &with(&find, &entry));
    file.line("none: an answer with an unknown critical field", &with(&answer, b"\x91\x03\x00"));
    // Tag 1, the target, is what queries say.
    let target = &[&b"\x03\x14"[..], &[0; 20]].concat();
    file.line("none: an answer with a critical field of queries", &with(&answer, target));
    let elsewhere = [&at(4, 0)[..], &[0; 1233 - 69]].concat();
    file.line("none: another network, too long", &elsewhere);
    file.line("none: tag 0 twice", &with(&find, b"\x00\x00\x00\x00"));
    file.line("none: a port over 16 bits", &with(&find, b"\x1c\x03\x80\x80\x04"));
    file.line("none: a probe of an address of a third kind", &{
        let mut probe = find[..44].to_vec();
        probe[15] = 11;
        with(&probe, b"\x22\x0812345678\x24\x04\x02zzz")
    });
    file.line(
        "none: an address with more behind it",
        &with(&answer[..47], b"\x08\x08\x00\x7f\0\0\x01\0\x01z"),
    );
    file.line(
        "none: a critical field and a bad one",
        &with(&find, b"\x91\x03\x00\x0c\x02\x81\x00"),
    );
    let mut error = answer;
    error[12] = 2;
    file.line("none: an error without a reason", &error);
}

#[test]
fn datagrams_are_what_they_were() {
    let today = written_today();
    if std::env::var_os("KADLET_BLESS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/draft-1/datagrams.txt");
        return std::fs::write(file, today).unwrap();
    }
    for (number, (golden, today)) in GOLDEN.lines().zip(today.lines()).enumerate() {
        assert_eq!(golden, today, "tests/golden/draft-1/datagrams.txt, line {}", number + 1);
    }
    assert_eq!(GOLDEN.lines().count(), today.lines().count(), "\n{today}");
}

/// Whatever is read and says nothing unknown is written as it was.
#[test]
fn what_is_canonical_is_written_as_it_was_read() {
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    };
    let mut seen = 0;
    for line in GOLDEN.lines().filter(|line| !line.starts_with('#')) {
        let mut parts = line.split('\t');
        let (name, datagram) = (parts.next().unwrap(), bytes(parts.next().unwrap()));
        if !name.starts_with("later: ") && !name.starts_with("none: ") {
            assert_eq!(encode(&wire().decode(&datagram).unwrap()), datagram, "{name}");
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}
