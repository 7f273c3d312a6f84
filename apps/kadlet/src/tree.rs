//! The list of a shared folder: what one link for all of it leads to.
//!
//! Text, so that a person can read it: a first line that says what it is, then a line for each file:
//! 64 hexadecimal digits, a space, the size in bytes, a space, the path inside the folder with `/`
//! between its parts. It is shared and fetched like any file; its link's name ends with `/`.

use alloc::collections::BTreeSet;
use core::fmt::{self, Write as _};
use core::ops::Bound;
use std::fs::File;
use std::io::Read as _;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use kadlet::core::content::{ContentId, Link, safe_file_name};

/// How the list begins.
const HEADER: &str = "kadlet folder 1";

/// A folder's files.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Tree {
    pub(crate) files: Vec<TreeFile>,
}

/// One file of a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TreeFile {
    pub(crate) id: ContentId,
    pub(crate) size: u64,
    /// Inside the folder, `/` between its parts; from a stranger, so not to be used as it is.
    pub(crate) path: String,
}

impl TreeFile {
    /// Where the file belongs below `folder`, and never anywhere else, unless another has its name.
    pub(crate) fn path_in(&self, folder: &Path) -> PathBuf {
        let parts = self.path.split('/').filter(|part| !part.is_empty());
        // In one buffer: a stranger's path can have millions of parts.
        parts.fold(folder.to_owned(), |mut path, part| {
            path.push(safe_file_name(part, self.id));
            path
        })
    }

    /// The same with so many digits of its id in the name, before the ending.
    fn path_apart(&self, path: &Path, digits: usize) -> PathBuf {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (stem, ending) = match name.rfind('.').and_then(|dot| name.split_at_checked(dot)) {
            Some((stem, ending)) if ending.len() <= MAX_ENDING => (stem, ending),
            _ => (&*name, ""),
        };
        let id = self.id.to_string();
        path.with_file_name(format!("{stem}-{}{ending}", id.get(..digits).unwrap_or(&id)))
    }
}

/// Longest ending that digits are put before, its dot included.
const MAX_ENDING: usize = 16;

/// Digits of the id in the name of a file whose own is taken, more where those are taken too. The
/// last leave room in the 255 bytes of a name for the 200 of a safe one and for `.part.list.new`.
const DIGITS: [usize; 3] = [8, 16, 32];

impl Tree {
    /// What the list is called where a folder was fetched to.
    pub(crate) const FILE_NAME: &str = "kadlet-folder.txt";

    /// Files in one list at most: more is a mistake, not a folder.
    pub(crate) const MAX_FILES: usize = 100_000;

    /// Longest list that is fetched, in bytes: room for the most files with paths of 250 bytes. It
    /// is read into memory.
    pub(crate) const MAX_LEN: u64 = 32 << 20;

    /// Where each file belongs below `folder`: in the order of the list, so that it is the same
    /// every time. Names can be equal once they are safe (`.env` and `_env`), or for a file system
    /// that does not tell `A` from `a`: a folder has it before a file (`.a/x` and `_a`), the first
    /// file before the others, and those have one with digits of their ids. Of files with the same
    /// bytes too it may come to the same place, where they are one.
    pub(crate) fn paths_in(&self, folder: &Path) -> Vec<PathBuf> {
        let list = folder.join(Self::FILE_NAME);
        let own: Vec<_> =
            self.files.iter().map(|file| beside_list(file.path_in(folder), &list)).collect();
        // The folders are not listed one by one: of a stranger's paths there could be too many.
        let all: BTreeSet<_> = own.iter().map(|path| folded(path)).collect();
        let is_folder = |path: &str| {
            let inside = format!("{path}{MAIN_SEPARATOR}");
            let next = all.range::<str, _>((Bound::Included(&*inside), Bound::Unbounded)).next();
            next.is_some_and(|next| next.starts_with(&inside))
        };
        let mut taken = BTreeSet::from([folded(&list)]);
        let mut take = |path: &Path| {
            let path = folded(path);
            !is_folder(&path) && taken.insert(path)
        };
        let place = |(file, own): (&TreeFile, PathBuf)| {
            // A list that somebody shared along with the rest: this folder's own is there.
            if own == list || take(&own) {
                return own;
            }
            let mut apart = DIGITS.map(|digits| file.path_apart(&own, digits)).into_iter();
            let free = apart.find(|path| take(path));
            free.unwrap_or_else(|| file.path_apart(&own, DIGITS[DIGITS.len() - 1]))
        };
        self.files.iter().zip(own).map(place).collect()
    }

    /// Whether a link leads to a folder.
    pub(crate) fn is_named_by(link: &Link) -> bool {
        link.name().is_some_and(|name| name.ends_with('/'))
    }

    /// Whether the file there begins as a list does.
    pub(crate) fn is_at(path: &Path) -> bool {
        let mut first = [0; HEADER.len() + 1];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut first));
        read.is_ok() && first.strip_suffix(b"\n") == Some(HEADER.as_bytes())
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\n");
        for TreeFile { id, size, path } in &self.files {
            // A line is a line: whoever fetches makes the same of such characters.
            let path = path.replace(char::is_control, "_");
            // Writing into memory does not fail.
            let _ = writeln!(text, "{id} {size} {path}");
        }
        text
    }

    pub(crate) fn parse(text: &str) -> Result<Self, TreeError> {
        let mut lines = text.lines().zip(1..);
        if lines.next().map(|(line, _)| line) != Some(HEADER) {
            return Err(TreeError::NoFolder);
        }
        let mut files = Vec::new();
        for (line, number) in lines {
            let mut parts = line.splitn(3, ' ');
            let mut part = || parts.next().ok_or(TreeError::Line(number));
            let (id, size, path) = (part()?, part()?, part()?);
            files.push(TreeFile {
                id: id.parse().map_err(|_| TreeError::Line(number))?,
                size: size.parse().map_err(|_| TreeError::Line(number))?,
                path: path.to_owned(),
            });
            if files.len() > Self::MAX_FILES {
                return Err(TreeError::TooMany);
            }
        }
        Ok(Self { files })
    }
}

/// A path as file systems compare it that do not tell `A` from `a`.
fn folded(path: &Path) -> String {
    path.to_string_lossy().to_lowercase()
}

/// The same path, but for one in a folder that has the name of the list, which cannot be both: it
/// becomes one in `kadlet-folder.txt_`.
fn beside_list(path: PathBuf, list: &Path) -> PathBuf {
    let Some(root) = list.parent() else { return path };
    let mut inside = path.strip_prefix(root).unwrap_or(&path).components();
    let Some(first) = inside.next() else { return path };
    let rest = inside.as_path();
    if rest.as_os_str().is_empty() || folded(&root.join(first)) != folded(list) {
        return path;
    }
    let mut name = first.as_os_str().to_owned();
    name.push("_");
    root.join(name).join(rest)
}

/// Why a text is no list of a folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TreeError {
    NoFolder,
    Line(usize),
    TooMany,
    TooLong,
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFolder => write!(f, "no folder's list: it does not begin with {HEADER:?}"),
            Self::Line(number) => {
                write!(f, "line {number} is not a file's hash, size and path")
            }
            Self::TooMany => write!(f, "more than {} files", Tree::MAX_FILES),
            Self::TooLong => write!(f, "its list is longer than {} MiB", Tree::MAX_LEN >> 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(path: &str) -> Tree {
        let id = ContentId::of(b"x");
        Tree { files: vec![TreeFile { id, size: 1, path: path.to_owned() }] }
    }

    #[test]
    fn text_and_back() {
        let tree = tree("songs/first song.flac");
        assert_eq!(Tree::parse(&tree.to_text()), Ok(tree));
        assert_eq!(Tree::parse("hello"), Err(TreeError::NoFolder));
        assert_eq!(Tree::parse(&format!("{HEADER}\nab 1 x")), Err(TreeError::Line(2)));
    }

    #[test]
    fn a_list_is_known_by_its_first_line() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(Tree::FILE_NAME);
        assert!(!Tree::is_at(&path));
        for (text, is_list) in [
            (tree("a").to_text(), true),
            (Tree::default().to_text(), true),
            (format!("{HEADER}0\n"), false),
            (HEADER.to_owned(), false),
            ("my songs\n".to_owned(), false),
        ] {
            std::fs::write(&path, &text).expect("a file");
            assert_eq!(Tree::is_at(&path), is_list, "{text}");
        }
    }

    #[test]
    fn a_name_cannot_make_a_line_of_its_own() {
        let text = tree("a\nb\r").to_text();
        assert_eq!(Tree::parse(&text), Ok(tree("a_b_")));
    }

    #[test]
    fn no_two_files_have_one_place() {
        let names = [
            ".env",
            "_env",
            "a:b.txt",
            "a_b.txt",
            "a?b.txt",
            "Readme",
            "README",
            "sub/x",
            "SUB/X",
            "sub/y",
            "kadlet-folder.txt",
            "Kadlet-Folder.TXT",
            "_env",
            "_env",
            "_env",
            "_env",
        ];
        let id = |index: usize| ContentId::of(&[index.min(12) as u8]);
        let file = |(index, name): (usize, &&str)| TreeFile {
            id: id(index),
            size: 1,
            path: (*name).to_owned(),
        };
        let tree = Tree { files: names.iter().enumerate().map(file).collect() };
        let apart = |index: usize, stem: &str, ending: &str, digits: usize| {
            format!("{stem}-{}{ending}", &id(index).to_string()[..digits])
        };
        let expected = [
            "_env".to_owned(),
            apart(1, "_env", "", 8),
            "a_b.txt".to_owned(),
            apart(3, "a_b", ".txt", 8),
            apart(4, "a_b", ".txt", 8),
            "Readme".to_owned(),
            apart(6, "README", "", 8),
            "sub/x".to_owned(),
            apart(8, "SUB/X", "", 8),
            "sub/y".to_owned(),
            "kadlet-folder.txt".to_owned(),
            apart(11, "Kadlet-Folder", ".TXT", 8),
            // The same bytes under the same name, again and again.
            apart(12, "_env", "", 8),
            apart(12, "_env", "", 16),
            apart(12, "_env", "", 32),
            apart(12, "_env", "", 32),
        ];
        let folder = Path::new("/tmp/here");
        assert_eq!(tree.paths_in(folder), expected.map(|path| folder.join(path)));
    }

    #[test]
    fn no_file_has_the_place_of_a_folder() {
        let names = [
            "foo",
            "foo./y",
            ".a/x",
            "_A",
            "q?/w",
            "q_",
            "q_ ",
            "kadlet-folder.txt/own",
            "Kadlet-Folder.TXT/own",
            "kadlet-folder.txt_",
            "deep/er/z",
            "deep",
            "deep/er",
            "deeper",
        ];
        let id = |index: usize| ContentId::of(&[index as u8]);
        let file = |(index, name): (usize, &&str)| TreeFile {
            id: id(index),
            size: 1,
            path: (*name).to_owned(),
        };
        let tree = Tree { files: names.iter().enumerate().map(file).collect() };
        let apart = |index: usize, stem: &str, ending: &str| {
            format!("{stem}-{}{ending}", &id(index).to_string()[..8])
        };
        let expected = [
            apart(0, "foo", ""),
            "foo/y".to_owned(),
            "_a/x".to_owned(),
            apart(3, "_A", ""),
            "q_/w".to_owned(),
            apart(5, "q_", ""),
            apart(6, "q_", ""),
            "kadlet-folder.txt_/own".to_owned(),
            apart(8, "Kadlet-Folder.TXT_/own", ""),
            apart(9, "kadlet-folder", ".txt_"),
            "deep/er/z".to_owned(),
            apart(11, "deep", ""),
            apart(12, "deep/er", ""),
            "deeper".to_owned(),
        ];
        let folder = Path::new("/tmp/here");
        assert_eq!(tree.paths_in(folder), expected.map(|path| folder.join(path)));
    }

    #[test]
    fn a_name_with_digits_has_room() {
        let long = format!("{}.flac", "x".repeat(300));
        let tree = tree(&long);
        let own = tree.paths_in(Path::new("/tmp/here")).remove(0);
        let apart = tree.files[0].path_apart(&own, DIGITS[DIGITS.len() - 1]);
        let name = apart.file_name().unwrap_or_default().len();
        assert!(name > 200 && name + ".part.list.new".len() <= 255, "{name}");
    }

    #[test]
    fn no_path_leaves_the_folder() {
        let folder = Path::new("/tmp/here");
        for bad in ["../../etc/passwd", "/etc/passwd", "a/../../b", "..", "C:\\x"] {
            let path = tree(bad).paths_in(folder).remove(0);
            assert!(path.starts_with(folder), "{}", path.display());
            assert!(!path.components().any(|part| part.as_os_str() == ".."), "{}", path.display());
        }
    }
}
