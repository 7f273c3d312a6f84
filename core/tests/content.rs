//! The vectors of `docs/content.md`, which lie in `golden/content.txt` for every language to replay.

extern crate alloc;

use alloc::collections::BTreeMap;
use core::fmt::Write as _;

use kadlet_core::Id;
use kadlet_core::content::{
    Bitmap, ContentId, HashList, HashListBuilder, Link, LinkError, Resume, safe_file_name,
};

const VECTORS: &str = include_str!("golden/content.txt");
const DOCUMENT: &str = include_str!("../../docs/content.md");

type Fields<'a> = BTreeMap<&'a str, &'a str>;

/// The vectors of one kind: `kind name=value name=value…`, values without spaces.
fn vectors(kind: &str) -> impl Iterator<Item = Fields<'static>> {
    VECTORS.lines().filter_map(move |line| {
        let mut words = line.split(' ');
        (words.next() == Some(kind))
            .then(|| words.map(|word| word.split_once('=').expect("name=value")).collect())
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    let digits = pairs.map(|pair| core::str::from_utf8(pair).expect("ASCII"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("two digits")).collect()
}

fn unhex_text(text: &str) -> String {
    String::from_utf8(unhex(text)).expect("UTF-8")
}

/// The input of BLAKE3's own test vectors: 0, 1, … 250, 0, 1, …
fn file(size: usize) -> Vec<u8> {
    (0..=250).cycle().take(size).collect()
}

#[test]
fn the_document_shows_the_vectors() {
    let block = DOCUMENT.split("```text vectors\n").nth(1).expect("a block of vectors");
    let (block, _) = block.split_once("```").expect("its end");
    assert_eq!(block, VECTORS, "docs/content.md and core/tests/golden/content.txt differ");
}

#[test]
fn files() {
    let mut seen = 0;
    for vector in vectors("file") {
        let bytes = file(vector["size"].parse().expect("a size"));
        let mut builder = HashListBuilder::new();
        builder.update(&bytes);
        let list = builder.finish();
        assert_eq!(list.id().to_string(), vector["id"]);
        assert_eq!(list.id(), ContentId::of(&bytes));
        assert_eq!(list.id().key(), vector["key"].parse::<Id>().expect("a key"));
        assert_eq!(hex(&list.encode()), vector["list"]);
        assert_eq!(HashList::decode(&unhex(vector["list"]), list.id(), u64::MAX), Ok(list));
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn links() {
    let mut seen = 0;
    for vector in vectors("link") {
        let link: Link = vector["text"].parse().expect(vector["text"]);
        assert_eq!(link.id().to_string(), vector["id"]);
        assert_eq!(link.name().map(str::to_owned), vector.get("name").map(|name| unhex_text(name)));
        assert_eq!(
            link.size().map(|size| size.to_string()).as_deref(),
            vector.get("size").copied()
        );
        let contacts: Vec<_> = link.contacts().iter().map(ToString::to_string).collect();
        assert_eq!(contacts.join(","), vector.get("contacts").copied().unwrap_or_default());
        if let Some(canonical) = vector.get("canonical") {
            assert_eq!(link.to_string(), *canonical);
        }
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn texts_that_are_no_links() {
    let mut seen = 0;
    for vector in vectors("badlink") {
        let error = vector["text"].parse::<Link>().expect_err(vector["text"]);
        let name = match error {
            LinkError::NoMagnet => "scheme",
            LinkError::NoTopic => "no-topic",
            LinkError::OtherTopic(_) => "other-topic",
            LinkError::Id(_) => "id",
            LinkError::TwoIds => "two-ids",
            LinkError::Size(_) => "size",
            LinkError::TwoSizes => "two-sizes",
            LinkError::Contact(_) => "contact",
            LinkError::Escape { .. } => "escape",
            LinkError::Utf8 { .. } => "utf-8",
            other => panic!("{other}"),
        };
        assert_eq!(name, vector["error"], "{}", vector["text"]);
        seen += 1;
    }
    assert_eq!(seen, 10);
}

#[test]
fn names() {
    let mut seen = 0;
    for vector in vectors("name") {
        let id = vector["id"].parse().expect("an id");
        assert_eq!(safe_file_name(&unhex_text(vector["from"]), id), unhex_text(vector["to"]));
        seen += 1;
    }
    assert_eq!(seen, 6);
}

#[test]
fn resume_notes() {
    let mut seen = 0;
    for vector in vectors("resume") {
        let size: u64 = vector["size"].parse().expect("a size");
        let mut have = Bitmap::new(vector["pieces"].parse().expect("a number"));
        for index in vector["have"].split(',') {
            assert!(have.insert(index.parse().expect("a piece")));
        }
        let note = Resume { id: vector["id"].parse().expect("an id"), size, have };
        assert_eq!(hex(&note.encode()), vector["bytes"]);
        assert_eq!(Resume::decode(&unhex(vector["bytes"])), Ok(note));
        seen += 1;
    }
    assert_eq!(seen, 1);
}
