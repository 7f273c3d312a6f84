//! Names that can be read aloud: common words are short (as in every language), and no two numbers
//! give the same word.

const CONSONANTS: [&str; 16] =
    ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z"];
const VOWELS: [&str; 5] = ["a", "e", "i", "o", "u"];
const SYLLABLES: u32 = 80;

/// The word with this number: two syllables for the first 6,400, three for the next half million.
pub(super) fn of_word(number: u32) -> String {
    let mut word = String::new();
    let (mut rest, mut syllables) = (number, 2);
    let mut room = SYLLABLES * SYLLABLES;
    while rest >= room {
        rest -= room;
        room = room.saturating_mul(SYLLABLES);
        syllables += 1;
    }
    for _ in 0..syllables {
        let syllable = (rest % SYLLABLES) as usize;
        word.push_str(CONSONANTS[syllable % CONSONANTS.len()]);
        word.push_str(VOWELS[syllable / CONSONANTS.len()]);
        rest /= SYLLABLES;
    }
    word
}

/// A file's name.
pub(super) fn of_file(words: &[u32]) -> String {
    words.iter().map(|word| of_word(*word)).collect::<Vec<_>>().join(" ")
}
