//! Everything that reads bytes of strangers, or of a disk that may have lost some.
//!
//! The only law is that it returns: no panic, no overflow, no endless loop, nothing allotted that
//! the input did not pay for. Whatever was read is walked over, since lists are read lazily.

use core::hint::black_box;
use core::str;
use core::time::Duration;

use kadlet_core::content::{ContentId, HashList, Link, PIECE_LEN, Resume, safe_file_name};
use kadlet_core::record::{SearchEntry, SearchFilter, SearchQuery, words};
use kadlet_core::wire::bencode::{Reader, is_canonical};
use kadlet_core::wire::mainline::Mainline;
use kadlet_core::wire::{Body, Message, Method};
use kadlet_core::{Config, Id, Instant, Node};

use crate::state::with_checksum;
use crate::{native, wires};

/// Hands the bytes to every decoder there is.
pub fn decode(data: &[u8]) {
    datagram(data);
    bencode(data);
    content(data);
    state(data);
    if let Ok(text) = str::from_utf8(data) {
        self::text(text);
    }
}

fn datagram(data: &[u8]) {
    for wire in wires() {
        match wire.decode(data) {
            Ok(message) => walk(&message),
            Err(_) => {
                black_box(wire.foreign(data));
            }
        }
    }
    black_box(Mainline.query_transaction(data));
    // Magic and network are twelve bytes that nobody guesses.
    if let Some((_, rest)) = data.split_first_chunk::<12>() {
        let whole = [&start()[..], rest].concat();
        if let Ok(message) = native().decode(&whole) {
            walk(&message);
        }
    }
}

/// How every datagram of the native wire begins.
fn start() -> Vec<u8> {
    let ping = kadlet_core::wire::Query::new(Method::Ping { nonce: None });
    let mut bytes = Vec::new();
    native().encode(&Message::new(&[0; 8], Id::ZERO, Body::Query(ping)), None, &mut bytes);
    bytes.truncate(12);
    bytes
}

fn walk(message: &Message<'_>) {
    // Reads every list to its end.
    if let Body::Response(response) = &message.body {
        assert_eq!(response.nodes.iter().count(), response.nodes.len());
        assert_eq!(response.providers.iter().count(), response.providers.len());
        assert_eq!(response.hits.iter().count(), response.hits.len());
        if let Some(samples) = &response.samples {
            assert_eq!(samples.keys.iter().count(), samples.keys.len());
        }
    }
    black_box(format!("{message:?}"));
}

fn bencode(data: &[u8]) {
    let (mut raw, mut value) = (Reader::new(data), Reader::new(data));
    let read = raw.raw();
    // Two ways over the same value see the same.
    assert_eq!(read.map(|raw| raw.bytes.len()).is_ok(), value.value().is_ok());
    assert_eq!(raw.rest(), value.rest());
    let whole = read.is_ok_and(|raw| raw.canonical && raw.bytes.len() == data.len());
    assert_eq!(is_canonical(data), whole);
}

fn content(data: &[u8]) {
    // The list of a file of one piece is its id; of a longer one, the id is given first.
    for (id, list) in [(data.get(8..), data), (Some(data), data.get(32..).unwrap_or_default())] {
        if let Some(id) = id.and_then(|id| id.first_chunk())
            && let Ok(list) = HashList::decode(list, ContentId::new(*id), u64::MAX)
        {
            assert_eq!(u64::from(list.pieces()), list.size().div_ceil(PIECE_LEN));
            black_box(list.verify_piece(0, data));
        }
    }
    for note in [data, &with_checksum(data)] {
        if let Ok(note) = Resume::decode(note) {
            assert!(note.have.iter().count() <= note.have.len() as usize);
        }
    }
}

fn state(data: &[u8]) {
    // Not hours of upkeep: that of a few calls.
    const CALLS: usize = 8;
    let now = Instant::from_secs(1);
    for bytes in [data, &with_checksum(data)] {
        let config = Config::default();
        let Ok(mut node) = Node::restore(config, bytes, [1; 32], now, Duration::from_secs(1))
        else {
            continue;
        };
        for _ in 0..CALLS {
            let Some(deadline) = node.poll_timeout() else { break };
            node.handle_timeout(deadline);
            while node.poll_transmit().is_some() {}
        }
        black_box(node.export_state(now));
    }
    let mut node = Node::new(Config::default(), Id::ZERO, [1; 32], now);
    if node.restore_record(now, data, Duration::ZERO).is_ok() {
        assert_eq!(node.health().records, 1);
    }
}

fn text(text: &str) {
    black_box(text.parse::<Link>()).ok();
    black_box(text.parse::<ContentId>()).ok();
    black_box(text.parse::<Id>()).ok();
    let safe = safe_file_name(text, ContentId::of(b""));
    assert!(!safe.is_empty() && safe.len() <= 200 && !safe.contains(['/', '\\', '\0']));
    // What is safe stays as it is.
    assert_eq!(safe_file_name(&safe, ContentId::of(b"")), safe);
    black_box(words(text).count());
    black_box(SearchFilter::parse(text));
    if let (Ok(query), Ok(entry)) = (SearchQuery::parse(text), SearchEntry::new(text, 0, [0; 32])) {
        // A file is found by its own name.
        assert!(query.matches(&entry), "{text:?}");
    }
}
