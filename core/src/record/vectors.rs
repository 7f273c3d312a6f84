//! Keys, signatures and words as docs/protocol.md and tests/golden/draft-1/records.txt have them: what a
//! second implementation must reproduce. `KADLET_BLESS=1 cargo test -p kadlet-core --lib vectors`
//! writes the file anew.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ed25519_dalek::{Signer as _, SigningKey};

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

/// Salt, sequence number, value and extra of a signed value.
type Signed<'a> = (&'a [u8], u64, &'a [u8], &'a [u8]);

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
    line(&[&"# secret, salt, sequence number, value, extra, public key, key, message, signature"]);
    let cases: [Signed<'_>; 5] = [
        (b"", 1, b"hello", b""),
        (b"feed", 2, b"", b""),
        (&[1; 64], u64::MAX, b"third", b""),
        // With fields of later versions, which the signature covers.
        (b"feed", 3, b"hello", b"later"),
        (b"", 4, &[0xab; 600], &[0xcd; 296]),
    ];
    for (salt, seq, value, extra) in cases {
        let secret = [seq as u8; 32];
        let pair = SigningKey::from_bytes(&secret);
        let with = |signature| {
            let public_key = pair.verifying_key().to_bytes();
            SignedValue::new(public_key, salt, seq, value, signature, extra).expect("short")
        };
        let signed = with(pair.sign(&with([0; 64]).message()).to_bytes());
        assert!(signed.verify());
        line(&[
            &"signed",
            &Hex(&secret),
            &Hex(salt),
            &seq,
            &Hex(value),
            &Hex(extra),
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
    if std::env::var_os("KADLET_BLESS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/draft-1/records.txt");
        return std::fs::write(file, made).expect("a file to write");
    }
    for (number, (golden, made)) in GOLDEN.lines().zip(made.lines()).enumerate() {
        assert_eq!(golden, made, "tests/golden/draft-1/records.txt, line {}", number + 1);
    }
    assert_eq!(GOLDEN.lines().count(), made.lines().count(), "\n{made}");
}
