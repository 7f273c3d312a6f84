//! What the state folder keeps of a share: its path, and whether it has search words.
//!
//! The key is the path, written as [`plain`] has it. One that is no UTF-8, which Unix allows, has
//! its bytes in the value too, after a zero byte that no path contains.

use alloc::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// What is kept of a share that has no search words; of others nothing.
const UNLISTED: &[u8] = b"unlisted";

/// How the key of a path begins that is no UTF-8; no absolute path begins so.
const BYTES: &str = "bytes:";

/// A path as it is kept and shared: absolute, and the same however it is typed. `Music/` is
/// `Music`; what `..` means is the system's to say, which may follow links there. It is asked where
/// the path ends so: what is shared has a name.
pub(super) fn plain(path: &Path) -> io::Result<PathBuf> {
    let path: PathBuf = std::path::absolute(path)?.components().collect();
    if path.file_name().is_none() { path.canonicalize() } else { Ok(path) }
}

/// A share that outlives a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    pub(super) listed: bool,
}

impl Kept {
    pub(super) fn key(path: &Path) -> String {
        path.to_str().map_or_else(
            || format!("{BYTES}{}", path.as_os_str().as_encoded_bytes().escape_ascii()),
            str::to_owned,
        )
    }

    /// What is kept, each path once. Earlier versions kept `Music` and `Music/` side by side, and
    /// `Music/..` as it is: what was unlisted once stays so.
    pub(super) fn all(kept: &[(String, Vec<u8>)]) -> BTreeMap<PathBuf, bool> {
        let mut all = BTreeMap::new();
        for (key, value) in kept {
            let Self { path, listed } = Self::read(key, value);
            *all.entry(path).or_insert(true) &= listed;
        }
        all
    }

    /// The keys under which a path is kept.
    pub(super) fn keys<'a>(
        kept: &'a [(String, Vec<u8>)],
        path: &Path,
    ) -> impl Iterator<Item = &'a str> {
        let is_its = move |(key, value): &&(String, Vec<u8>)| Self::read(key, value).path == path;
        kept.iter().filter(is_its).map(|(key, _)| key.as_str())
    }

    pub(super) fn value(&self) -> Vec<u8> {
        let mut value = if self.listed { Vec::new() } else { UNLISTED.to_vec() };
        if self.path.to_str().is_none() {
            value.push(0);
            value.extend_from_slice(self.path.as_os_str().as_encoded_bytes());
        }
        value
    }

    pub(super) fn read(key: &str, value: &[u8]) -> Self {
        let mut parts = value.splitn(2, |byte| *byte == 0);
        let listed = parts.next() != Some(UNLISTED);
        let path = parts.next().and_then(path_of).unwrap_or_else(|| PathBuf::from(key));
        // What is not there any more stays as it was kept.
        Self { path: plain(&path).unwrap_or(path), listed }
    }
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere there is none")]
fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    core::str::from_utf8(bytes).ok().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives(path: &Path, listed: bool) {
        let kept = Kept { path: path.to_owned(), listed };
        assert_eq!(Kept::read(&Kept::key(path), &kept.value()), kept);
    }

    #[test]
    fn a_share_survives_the_folder() {
        for listed in [true, false] {
            survives(Path::new("/music/a song.flac"), listed);
        }
    }

    #[test]
    fn a_path_is_kept_once_however_it_is_typed() {
        let typed = ["/music/album", "/music/album/", "/music//album/.", "/music/./album"];
        for path in typed {
            let plain = plain(Path::new(path)).expect("it is absolute");
            assert_eq!(plain.as_os_str(), "/music/album", "{path}");
        }
        let kept = |path: &str, listed| {
            let path = PathBuf::from(path);
            (Kept::key(&path), Kept { path, listed }.value())
        };
        // As earlier versions kept them.
        let all = [kept(typed[0], true), kept("/music/other", true), kept(typed[1], false)];
        let once = [("/music/album", false), ("/music/other", true)];
        let once = once.map(|(path, listed)| (PathBuf::from(path), listed));
        assert_eq!(Kept::all(&all), BTreeMap::from(once));
        let keys: Vec<_> = Kept::keys(&all, Path::new(typed[0])).collect();
        assert_eq!(keys, typed[..2]);
    }

    #[test]
    fn a_path_that_ends_in_dots_has_a_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let music = dir.path().canonicalize().expect("it is there").join("music");
        let album = music.join("album");
        std::fs::create_dir_all(&album).expect("a folder");
        let typed = album.join("..");
        assert_eq!(plain(&typed).expect("it is there").as_os_str(), music.as_os_str());
        // As earlier versions kept it.
        let all = [(Kept::key(&typed), Kept { path: typed.clone(), listed: false }.value())];
        assert_eq!(Kept::all(&all), BTreeMap::from([(music.clone(), false)]));
        assert_eq!(Kept::keys(&all, &music).next(), Some(&*Kept::key(&typed)));
    }

    #[cfg(unix)]
    #[test]
    fn so_does_one_whose_path_is_no_text() {
        let path = path_of(b"/music/caf\xe9.flac").expect("bytes are a path here");
        let other = path_of(b"/music/caf\xe8.flac").expect("bytes are a path here");
        assert_ne!(Kept::key(&path), Kept::key(&other));
        for listed in [true, false] {
            survives(&path, listed);
        }
    }
}
