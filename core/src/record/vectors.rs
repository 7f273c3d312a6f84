//! Keys, signatures and words as docs/protocol.md and tests/golden/draft-1/records.txt have them: what a
//! second implementation must reproduce.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;

const GOLDEN: &str = include_str!("../../tests/golden/draft-1/records.txt");

const NAMES: [&str; 14] = [
    "Song of the Sea.mp3",
    "The_Sea - the SEA (1987).FLAC",
    "camelCase and snake_case",
    "ΟΔΟΣ οδός ς",
    "İstanbul ISTANBUL ıssız",
    "cafe\u{301} café",
    "Straße STRASSE",
    "東京タワー、夜.jpg",
    "Ⅻ ½ x² 0xFF",
    "don't e-mail me@example.org",
    "Pneumonoultramicroscopicsilicovolcanoconiosis",
    "\u{200f}עברית‎ العربية",
    "🐋 whale🐋song",
    "...---...",
];

fn vectors() -> String {
    let mut out = String::from(
        "# Records: keys, signatures, words. Written by record/vectors.rs; docs/protocol.md says how\n\
         # they come about. One case a line, fields separated by tabs, bytes in hexadecimal.\n\
         # value, its key\n",
    );
    let mut line = |parts: &[&dyn fmt::Display]| {
        let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
        out.push_str(&(parts.join("\t") + "\n"));
    };
    for value in [&b""[..], b"hello", &[0xff; 896]] {
        line(&[&"value", &Hex(value), &Value::new(value).expect("short").key()]);
    }
    line(&[&"# secret, salt, sequence number, value, public key, key, message, signature"]);
    let cases: [(&[u8], u64, &[u8]); 3] =
        [(b"", 1, b"hello"), (b"feed", 2, b""), (&[1; 64], u64::MAX, b"third")];
    for (salt, seq, value) in cases {
        let secret = [seq as u8; 32];
        let signed = SignedValue::sign(&secret, salt, seq, value).expect("short");
        assert!(signed.verify());
        line(&[
            &"signed",
            &Hex(&secret),
            &Hex(salt),
            &seq,
            &Hex(value),
            &Hex(signed.public_key()),
            &signed.key(),
            &Hex(&signed.message()),
            &Hex(signed.signature()),
        ]);
    }
    line(&[&"# name, its words"]);
    for name in NAMES {
        let words: Vec<String> = words(name).map(|word| word.to_string()).collect();
        line(&[&"words", &name, &words.join(" ")]);
    }
    line(&[&"# word, its key"]);
    for word in ["sea", "1987", "οδοσ", "東京タワー"] {
        line(&[&"keyword", &word, &Word::parse(word).expect("a word").key()]);
    }
    out
}

#[test]
fn the_vectors_hold() {
    let made = vectors();
    for (number, (golden, made)) in GOLDEN.lines().zip(made.lines()).enumerate() {
        assert_eq!(golden, made, "tests/golden/draft-1/records.txt, line {}", number + 1);
    }
    assert_eq!(GOLDEN.lines().count(), made.lines().count(), "\n{made}");
}
