//! What is read and written again is the same.

use core::str;

use kadlet_core::content::{HashList, HashListBuilder, Link, Resume};
use kadlet_core::record::{SearchFilter, SearchQuery};
use kadlet_core::wire::bencode::{Reader, Value, is_canonical, put_bytes};
use kadlet_core::wire::native::{MAX_DATAGRAM, MAX_TEXT};
use kadlet_core::wire::{Body, Message, Method, Wire};

use crate::state::with_checksum;
use crate::wires;

/// States the laws of every format that is both read and written.
pub fn round_trip(data: &[u8]) {
    for wire in wires() {
        datagram(&wire, data);
    }
    if is_canonical(data) {
        let mut again = Vec::new();
        let read = write_again(&mut Reader::new(data), &mut again);
        assert!(read.is_some() && again == data, "bencode: {again:02x?}");
    }
    content(data);
    if let Ok(text) = str::from_utf8(data) {
        if let Ok(link) = text.parse::<Link>() {
            assert_eq!(link.to_string().parse(), Ok(link));
        }
        let filter = SearchFilter::parse(text);
        assert_eq!(SearchFilter::parse(&filter.to_text()), filter);
        if let Ok(query) = SearchQuery::parse(text) {
            assert!(query.filter().to_text().len() <= SearchFilter::MAX_TEXT);
        }
    }
}

fn datagram(wire: &Wire, data: &[u8]) {
    let Ok(message) = wire.decode(data) else { return };
    if !is_written_whole(wire, &message) {
        return;
    }
    let mut bytes = Vec::new();
    wire.encode(&message, None, &mut bytes);
    assert_eq!(wire.encoded_len(&message), bytes.len());
    let again = wire.decode(&bytes);
    assert_eq!(again.as_ref(), Ok(&message), "written as {bytes:02x?}");
    if matches!(wire, Wire::Native(_)) {
        assert!(bytes.len() <= MAX_DATAGRAM);
        // A number has one form and unknown fields are left out: what we write is no longer.
        assert!(bytes.len() <= data.len());
        // Grease changes nothing of what is said.
        let mut greased = Vec::new();
        wire.encode(&message, Some(u32::from(data[0])), &mut greased);
        assert!(greased.len() <= MAX_DATAGRAM);
        assert_eq!(wire.decode(&greased).as_ref(), Ok(&message), "greased: {greased:02x?}");
    }
}

/// Whether we write everything that we read. Left out: texts longer than ours, and questions that
/// were understood in part, of which only the target is kept.
fn is_written_whole(wire: &Wire, message: &Message<'_>) -> bool {
    match &message.body {
        Body::Error(failure) => failure.text.len() <= MAX_TEXT,
        Body::Query(query) => match (&query.method, wire) {
            (Method::Unknown { code, .. }, Wire::Native(_)) => !(1..=12).contains(code),
            (Method::Unknown { .. }, _) => false,
            _ => true,
        },
        Body::Response(_) => true,
    }
}

/// A second writer of bencode, which knows nothing of how the core reads it.
fn write_again(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Option<()> {
    match reader.rest().first()? {
        b'l' => {
            reader.list().ok()?;
            out.push(b'l');
            while !reader.at_end() {
                write_again(reader, out)?;
            }
            out.push(b'e');
        }
        b'd' => {
            reader.dictionary().ok()?;
            out.push(b'd');
            let mut last = None;
            while let Some(key) = reader.key().ok()? {
                assert!(last < Some(key), "keys in order, none twice");
                last = Some(key);
                put_bytes(out, key);
                write_again(reader, out)?;
            }
            out.push(b'e');
        }
        _ => {
            let before = *reader;
            match reader.value().ok()? {
                Value::Bytes(bytes) => put_bytes(out, bytes),
                Value::Integer(number) => out.extend_from_slice(format!("i{number}e").as_bytes()),
                // Beyond 64 bits: as it came.
                Value::Other => out.extend_from_slice(reader.since(before.rest())),
            }
        }
    }
    Some(())
}

fn content(data: &[u8]) {
    for note in [data, &with_checksum(data)] {
        if let Ok(resume) = Resume::decode(note) {
            assert_eq!(resume.encode(), note);
        }
    }
    let mut builder = HashListBuilder::new();
    builder.update(data);
    let list = builder.finish();
    assert_eq!(HashList::decode(&list.encode(), list.id(), u64::MAX).as_ref(), Ok(&list));
    assert_eq!(list.id().as_bytes(), blake3::hash(data).as_bytes());
}
