//! The files that runs leave behind, and the pieces of Markdown and JSON that all of them are made
//! of.

use core::fmt::Write;

/// A file: its name and what is in it.
pub type Page = (String, String);

/// Cells of a column that begin at its left: words.
pub(crate) const LEFT: &str = "---";
/// Cells of a column that end at its right: numbers.
pub(crate) const RIGHT: &str = "---:";

/// A table in Markdown: the columns, each with how its cells lie, and the cells row by row.
pub(crate) fn table(
    columns: &[(&str, &str)],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let (titles, rules): (Vec<_>, Vec<_>) =
        columns.iter().map(|(title, rule)| ((*title).to_owned(), (*rule).to_owned())).unzip();
    rows.into_iter().fold(row(&titles) + &row(&rules), |text, cells| text + &row(&cells))
}

/// A plot in Markdown, with words for those who do not see it.
pub(crate) fn picture(file: &str, alt: &str) -> String {
    format!("![{alt}]({file}.svg)\n")
}

/// A number from which the same one is read again; none for what is not a number.
pub(crate) fn number(value: f64) -> Option<String> {
    value.is_finite().then(|| value.to_string())
}

/// A number in JSON, which has no word for what is not one.
pub(crate) fn json_number(value: f64) -> String {
    number(value).unwrap_or_else(|| "null".to_owned())
}

/// A string in JSON.
pub(crate) fn json_string(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => {
                // A string takes everything.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// An object in JSON, of names and values that are JSON already.
pub(crate) fn json_object<N: AsRef<str>>(members: impl IntoIterator<Item = (N, String)>) -> String {
    let members: Vec<_> = members
        .into_iter()
        .map(|(name, value)| format!("{}:{value}", json_string(name.as_ref())))
        .collect();
    format!("{{{}}}", members.join(","))
}
