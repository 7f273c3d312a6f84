//! Scripts and styles that stand in a page itself, as a content security policy names them (CSP
//! Level 3, 6.7.2.2): by the SHA-256 hash of their text.
//!
//! What is found too much, in a comment for example, allows nothing that is not in the file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// ` 'sha256-…'` for each `element` of the page that has its text inside.
pub(super) fn hashes(page: &str, element: &str) -> String {
    // What a browser hashes has the line ends that its parser makes.
    let page = page.replace("\r\n", "\n").replace('\r', "\n");
    let hash = |text: &str| format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let mut hashes: Vec<String> = texts(&page, element).into_iter().map(hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes.concat()
}

fn texts<'a>(page: &'a str, element: &str) -> Vec<&'a str> {
    // Letters keep their places.
    let lower = page.to_ascii_lowercase();
    let (opening, closing) = (format!("<{element}"), format!("</{element}"));
    let (mut texts, mut at) = (Vec::new(), 0);
    while let Some(found) = lower[at..].find(&opening) {
        let attributes = at + found + opening.len();
        at = attributes;
        if !lower[attributes..]
            .starts_with(|next: char| next.is_ascii_whitespace() || "/>".contains(next))
        {
            // The name of another element goes on here.
            continue;
        }
        let Some(len) = end_of_tag(&lower[attributes..]) else { break };
        let start = attributes + len + 1;
        let Some(len) = lower[start..].find(&closing) else { break };
        if !names_source(&lower[attributes..start - 1]) {
            texts.push(&page[start..start + len]);
        }
        at = start + len;
    }
    texts
}

/// Where the `>` of a tag is: none of those in quotes.
fn end_of_tag(rest: &str) -> Option<usize> {
    let mut quote = None;
    rest.find(|next| match (quote, next) {
        (None, '>') => true,
        (None, '"' | '\'') => {
            quote = Some(next);
            false
        }
        (Some(open), _) if open == next => {
            quote = None;
            false
        }
        _ => false,
    })
}

/// Whether the text is elsewhere.
fn names_source(attributes: &str) -> bool {
    attributes.split_ascii_whitespace().any(|it| it == "src" || it.starts_with("src="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_the_tags_is_found() {
        for (page, expected) in [
            ("<script>a</script>", &["a"][..]),
            ("<SCRIPT type=module>\nA > b\n</Script ><script>c</script>", &["\nA > b\n", "c"]),
            ("<script data-x=\"a>b\">c</script>", &["c"]),
            ("<script src=\"a.js\"></script><script\nsrc=b></script>", &[]),
            ("<scripts>a</scripts><script", &[]),
            ("<script>never closed", &[]),
            ("no script, ä", &[]),
            ("ä<script>ä</script>", &["ä"]),
        ] {
            assert_eq!(texts(page, "script"), expected, "{page}");
        }
    }

    /// Carriage returns are gone before a browser hashes.
    #[test]
    fn line_ends_do_not_matter() {
        let hash = hashes("<style>a\nb</style>", "style");
        assert_eq!(hashes("<style>a\r\nb</style><style>a\rb</style>", "style"), hash);
        assert!(hash.starts_with(" 'sha256-") && hash.ends_with("='"), "{hash}");
    }
}
