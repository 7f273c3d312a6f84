//! Search: words of names, entries, and queries.
//!
//! # Words
//!
//! A name's words are found like this, and a query's in the same way:
//!
//! 1. Every character is lower-cased by Unicode's simple and special mappings without context
//!    (as `char::to_lowercase` does); ς becomes σ, so that the capital form finds both.
//! 2. Characters from U+0300 to U+036F (combining marks) are dropped.
//! 3. What is then alphabetic or numeric (`char::is_alphanumeric`) belongs to a word; everything
//!    else separates words. `camelCase` is one word; `song.mp3` has two, the extension is one.
//! 4. A word longer than 32 bytes of UTF-8 is cut after the last character that ends within them.
//! 5. The first 32 different words count.
//!
//! There is no compatibility normalisation (NFKC) here, whose tables are larger than the rest of
//! the core. Hosts should hand over names in NFC; a decomposed letter (as old Apple file systems
//! wrote them) loses its marks by rule 2 and becomes the plain letter. Languages that are written
//! without spaces have one word from one punctuation mark to the next. What is small and what is
//! capital follows Unicode 17; what is alphabetic or numeric follows the tables of the Rust release
//! that built the program (Unicode 17 at the time of writing): about a character that was assigned
//! since, two versions may disagree, and then do not find each other's word.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use arrayvec::{ArrayString, ArrayVec};

use super::lower::lower;
use super::{Field, InvalidRecord, MAX_ENTRY_EXTRA, MAX_NAME, context, derive};
use crate::id::Id;

/// Bytes in a word at most: longer than the longest words of most languages, and 32 of them with
/// their spaces are four times what a name may have.
pub const MAX_WORD: usize = 32;

/// Different words of one text that count, at most: each is a key to publish under.
pub const MAX_WORDS: usize = 32;

/// A normalised word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(ArrayString<MAX_WORD>);

impl Word {
    /// The word, if `text` is one and already in its normal form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let word = Scan(text).next()?;
        (word.as_str() == text).then_some(word)
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key under which entries with this word in their name lie.
    #[must_use]
    pub fn key(&self) -> Id {
        derive(context::KEYWORD, &[self.0.as_bytes()])
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The different words of a text, normalised, in the order in which they come first.
///
/// ```
/// let words: Vec<_> = kadlet_core::record::words("The_Sea - the SEA (1987).FLAC").collect();
/// let words: Vec<_> = words.iter().map(|word| word.as_str()).collect();
/// assert_eq!(words, ["the", "sea", "1987", "flac"]);
/// ```
#[must_use]
pub const fn words(text: &str) -> Words<'_> {
    Words { scan: Scan(text), seen: ArrayVec::new_const() }
}

/// Iterates over the words of a text; made by [`words`].
#[derive(Clone, Debug)]
pub struct Words<'a> {
    scan: Scan<'a>,
    seen: ArrayVec<Word, MAX_WORDS>,
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        if self.seen.is_full() {
            return None;
        }
        let word = self.scan.by_ref().find(|word| !self.seen.contains(word))?;
        self.seen.push(word);
        Some(word)
    }
}

/// All words of the rest of a text, repeated ones too.
#[derive(Clone, Debug)]
struct Scan<'a>(&'a str);

impl Iterator for Scan<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        let mut word = ArrayString::new();
        let mut full = false;
        let mut rest = self.0.chars();
        for c in rest.by_ref() {
            // Most characters, in most of the time.
            if c.is_ascii_alphanumeric() {
                full = full || word.try_push(c.to_ascii_lowercase()).is_err();
                continue;
            }
            if is_mark(c) {
                continue;
            }
            let c = lower(c);
            if !c.is_alphanumeric() {
                if word.is_empty() {
                    continue;
                }
                break;
            }
            full = full || word.try_push(if c == 'ς' { 'σ' } else { c }).is_err();
        }
        self.0 = rest.as_str();
        (!word.is_empty()).then_some(Word(word))
    }
}

pub(super) const fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

/// A file that exists: kept under the key of each word of its name.
///
/// ```
/// use kadlet_core::record::{SearchEntry, SearchQuery};
///
/// let entry = SearchEntry::new("Blue Whale.ogg", 1_234, [9; 32])?;
/// let query = SearchQuery::parse("whale, BLUE!")?;
/// assert!(query.matches(&entry));
/// assert!(entry.words().any(|word| word == query.primary()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SearchEntry {
    content: [u8; 32],
    size: u64,
    // Kept by the thousand: nothing to spare.
    name: Box<str>,
    extra: Box<[u8]>,
}

impl SearchEntry {
    /// An entry without extra fields.
    ///
    /// # Errors
    /// No name, one over [`MAX_NAME`] bytes, or one with control characters.
    pub fn new(
        name: impl Into<String>,
        size: u64,
        content: [u8; 32],
    ) -> Result<Self, InvalidRecord> {
        Self::with_extra(name, size, content, Vec::new())
    }

    /// An entry with the fields of later versions as they arrived.
    ///
    /// # Errors
    /// As [`new`](Self::new), or extra fields over [`MAX_ENTRY_EXTRA`] bytes.
    pub fn with_extra(
        name: impl Into<String>,
        size: u64,
        content: [u8; 32],
        extra: impl Into<Vec<u8>>,
    ) -> Result<Self, InvalidRecord> {
        let (name, extra) = (name.into(), extra.into());
        Field::Name.check(name.len(), MAX_NAME)?;
        Field::Extra.check(extra.len(), MAX_ENTRY_EXTRA)?;
        if name.is_empty() {
            return Err(InvalidRecord::NoName);
        }
        if let Some((position, _)) = name.char_indices().find(|(_, c)| c.is_control()) {
            return Err(InvalidRecord::ControlCharacter { position });
        }
        Ok(Self { content, size, name: name.into(), extra: extra.into() })
    }

    /// The file's name, for people; it may contain anything but control characters, so it is no
    /// path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// BLAKE3 of the file.
    #[must_use]
    pub const fn content(&self) -> &[u8; 32] {
        &self.content
    }

    /// Fields of later versions, byte for byte.
    #[must_use]
    pub fn extra(&self) -> &[u8] {
        &self.extra
    }

    /// The words of the name: the entry is published under the key of each.
    pub fn words(&self) -> impl Iterator<Item = Word> {
        words(&self.name)
    }
}

/// What somebody looks for: files whose names carry all of these words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SearchQuery {
    primary: Word,
    filter: SearchFilter,
}

impl SearchQuery {
    /// The query for all words of `text`.
    ///
    /// # Errors
    /// No word in it, or more than fit into a datagram.
    pub fn parse(text: &str) -> Result<Self, InvalidQuery> {
        let mut words: Vec<Word> = words(text).collect();
        // Long words are rare words: the shortest list to look through. Of several, the first.
        let primary = words.iter().rev().max_by_key(|word| word.0.len()).copied();
        let primary = primary.ok_or(InvalidQuery::NoWords)?;
        words.retain(|word| *word != primary);
        let filter = SearchFilter { words };
        let len = filter.text_len();
        if len > SearchFilter::MAX_TEXT {
            return Err(InvalidQuery::TooLong { len, limit: SearchFilter::MAX_TEXT });
        }
        Ok(Self { primary, filter })
    }

    /// The word whose key is looked up: the longest.
    #[must_use]
    pub const fn primary(&self) -> Word {
        self.primary
    }

    /// The key to look up.
    #[must_use]
    pub fn key(&self) -> Id {
        self.primary.key()
    }

    /// The other words, which the holder filters by before it answers.
    #[must_use]
    pub const fn filter(&self) -> &SearchFilter {
        &self.filter
    }

    /// Whether the entry's name carries all words: a holder's answer is checked too.
    #[must_use]
    pub fn matches(&self, entry: &SearchEntry) -> bool {
        words(entry.name()).any(|word| word == self.primary) && self.filter.matches(entry)
    }
}

/// The further words of a search, which a holder filters by.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SearchFilter {
    words: Vec<Word>,
}

impl SearchFilter {
    /// Bytes in the words and the spaces between them at most, as they travel.
    pub const MAX_TEXT: usize = 255;

    /// Reads the words of a message. What is not in normal form is normalised: the sender may know
    /// other characters than we do.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self { words: words(text).collect() }
    }

    /// The words as they travel: separated by one space.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.text_len());
        for word in &self.words {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word.as_str());
        }
        text
    }

    const fn text_len(&self) -> usize {
        let (mut len, mut words) = (0, self.words.as_slice());
        while let [word, rest @ ..] = words {
            len += word.0.len() + !rest.is_empty() as usize;
            words = rest;
        }
        len
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &[Word] {
        &self.words
    }

    /// Whether the entry's name carries all words. Looks at the same first 32 different words of
    /// the name that it is published under.
    #[must_use]
    pub fn matches(&self, entry: &SearchEntry) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let names: ArrayVec<Word, MAX_WORDS> = entry.words().collect();
        self.words.iter().all(|word| names.contains(word))
    }
}

/// Why a text is no query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InvalidQuery {
    /// No letter and no digit.
    NoWords,
    /// The words beside the longest one have more bytes than a query can carry.
    TooLong {
        /// How many, with a space between words.
        len: usize,
        /// How many it can carry.
        limit: usize,
    },
}

impl fmt::Display for InvalidQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWords => f.write_str("a search needs at least one letter or digit"),
            Self::TooLong { len, limit } => {
                write!(f, "the words of a search may have {limit} bytes, these have {len}")
            }
        }
    }
}

impl core::error::Error for InvalidQuery {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use proptest::prelude::*;

    use super::*;

    fn list(text: &str) -> Vec<String> {
        words(text).map(|word| word.to_string()).collect()
    }

    proptest! {
        #[test]
        fn words_are_in_normal_form_and_few(text in any::<String>()) {
            let found: Vec<Word> = words(&text).collect();
            prop_assert!(found.len() <= MAX_WORDS);
            for word in &found {
                prop_assert_eq!(Word::parse(word.as_str()), Some(*word));
            }
            // Normalising what is normal changes nothing.
            let joined = SearchFilter { words: found.clone() }.to_text();
            prop_assert_eq!(words(&joined).collect::<Vec<_>>(), found);
        }

        #[test]
        fn a_name_is_found_by_any_of_its_words(name in "[a-zA-Zé0-9_ .-]{1,60}", pick: u8) {
            let entry = SearchEntry::new(name.clone(), 1, [0; 32]).expect("a short name");
            let found: Vec<Word> = words(&name).collect();
            prop_assume!(!found.is_empty());
            let some: Vec<&str> = found.iter().enumerate()
                .filter(|(i, _)| i % 8 == 0 || pick & 1 << (i % 8) != 0)
                .map(|(_, word)| word.as_str()).collect();
            let query = SearchQuery::parse(&some.join(" ")).expect("at least one word");
            prop_assert!(query.matches(&entry));
            let other = SearchQuery::parse(&(some.join(" ") + " ölandt")).expect("words");
            prop_assert!(!other.matches(&entry));
        }
    }

    /// No lower-case form splits a word or changes when lower-cased again.
    #[test]
    fn every_character_has_one_normal_form() {
        for c in '\0'..=char::MAX {
            let once: String = Scan(&c.to_string()).map(|word| word.to_string()).collect();
            let twice: String = Scan(&once).map(|word| word.to_string()).collect();
            assert_eq!(once, twice, "{c:?}");
            assert_eq!(once.is_empty(), !c.is_alphanumeric() || is_mark(c), "{c:?}");
        }
    }

    #[test]
    fn long_words_are_cut_at_a_character() {
        let long = "é".repeat(40);
        assert_eq!(list(&long), ["é".repeat(16)]);
        assert_eq!(list(&("x".to_string() + &long)), ["x".to_string() + &"é".repeat(15)]);
        // What is cut from two words makes them the same word.
        assert_eq!(list(&alloc::format!("{long}a {long}b")).len(), 1);
    }

    #[test]
    fn the_longest_word_is_looked_up() {
        let query = SearchQuery::parse("A grey Seal").expect("words");
        assert_eq!(query.primary().as_str(), "grey");
        assert_eq!(query.filter().to_text(), "a seal");
        assert_eq!(SearchQuery::parse(" -!- "), Err(InvalidQuery::NoWords));
        let many: String = (0..32).map(|n| alloc::format!("longest{n} ")).collect();
        let too_long = InvalidQuery::TooLong { len: 10 * 8 + 21 * 9 + 30, limit: 255 };
        assert_eq!(SearchQuery::parse(&many), Err(too_long));
    }

    #[test]
    fn a_bad_entry_says_why() {
        let error = |name: &str, extra: usize| {
            SearchEntry::with_extra(name, 0, [0; 32], alloc::vec![0; extra]).err()
        };
        let too_long = |field, len, limit| Some(InvalidRecord::TooLong { field, len, limit });
        assert_eq!(error("", 0), Some(InvalidRecord::NoName));
        assert_eq!(error(&"x".repeat(256), 0), too_long(Field::Name, 256, 255));
        assert_eq!(error("x", 129), too_long(Field::Extra, 129, 128));
        assert_eq!(error("é\u{1b}[2J", 0), Some(InvalidRecord::ControlCharacter { position: 2 }));
        assert_eq!(error(&"x".repeat(255), 128), None);
    }
}
