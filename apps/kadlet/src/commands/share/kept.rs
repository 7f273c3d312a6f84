//! What the state folder keeps of a share: its path, and whether it has search words.
//!
//! The key is the path. One that is no UTF-8, which Unix allows, has its bytes in the value too, after
//! a zero byte that no path contains.

use std::path::{Path, PathBuf};

/// What is kept of a share that has no search words; of others nothing.
const UNLISTED: &[u8] = b"unlisted";

/// How the key of a path begins that is no UTF-8; no absolute path begins so.
const BYTES: &str = "bytes:";

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
        Self { path, listed }
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
