//! A file that is being fetched: pieces where they belong, a note of which are there, and the final
//! name only when all are.
//!
//! Beside the target lie `.part` with the bytes, `.part.list` with their hashes and `.part.note`
//! with what is known to be there. One process works with them at a time: it holds a lock on
//! `.part`. Other programs call their files `.part` too: what lies there without a list of hashes is
//! not ours, for the list is written first, and it is not touched. Nor is what lies there with the
//! list of another content: somebody may want to go on with that. A list that is damaged helps
//! nobody to go on, and keeps nobody from beginning anew.

use core::error::Error;
use core::fmt;
use core::ops::Range;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use kadlet_core::content::{Bitmap, ContentId, HashList, ListError, Resume};

/// The partial file of one target, and what lies beside it.
#[derive(Debug)]
pub(super) struct Partial {
    target: PathBuf,
    data: PathBuf,
    note: PathBuf,
    list: PathBuf,
    file: Option<File>,
}

impl Partial {
    pub(super) fn of(target: &Path) -> Self {
        let beside = |ending: &str| {
            let mut name = target.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        Self {
            target: target.to_owned(),
            data: beside(".part"),
            note: beside(".part.note"),
            list: beside(".part.list"),
            file: None,
        }
    }

    /// What an earlier fetch of the same content left: its list, and the pieces that are on the disk
    /// and right. None if there is nothing usable; it is overwritten then. None also when it is no
    /// longer `wanted`, which is asked before each piece: all of them are read and hashed.
    ///
    /// # Errors
    /// Another process fetches into the same file, what is there is none of a fetch or of another
    /// one ([`is_of_another`]), or the disk refuses.
    pub(super) fn resume(
        &mut self,
        id: ContentId,
        max_size: u64,
        wanted: impl Fn() -> bool,
    ) -> io::Result<Option<(HashList, Bitmap)>> {
        self.refuse_foreign()?;
        let Ok(mut file) = OpenOptions::new().read(true).write(true).open(&self.data) else {
            return Ok(None);
        };
        lock(&file)?;
        if has_another_name(&file)? {
            return Ok(None);
        }
        self.refuse_of_another(&file, id)?;
        let Some(list) = read_list(&self.list, id, max_size) else { return Ok(None) };
        // The list is written before the bytes of an earlier, longer content are cut off.
        file.set_len(list.size())?;
        let note = fs::read(&self.note).ok().and_then(|bytes| Resume::decode(&bytes).ok());
        let noted = note.filter(|note| note.id == id && note.size == list.size());
        let is_noted = |index| noted.as_ref().is_some_and(|note| note.have.contains(index));
        let mut have = Bitmap::new(list.pieces());
        let mut bytes = Vec::new();
        for index in 0..list.pieces() {
            if !wanted() {
                return Ok(None);
            }
            // A process that was killed noted nothing of its last pieces. A piece that was never
            // written begins with zeros, and hashing a disk full of them would take minutes.
            if !is_noted(index) && begins_with_zeros(&mut file, &list, index) {
                continue;
            }
            // The note was written before the disk failed, or after: the bytes decide.
            if read_piece(&mut file, &list, index, &mut bytes).is_ok()
                && list.verify_piece(index, &bytes)
            {
                have.insert(index);
            }
        }
        self.file = Some(file);
        Ok(Some((list, have)))
    }

    /// Begins anew, with this list.
    ///
    /// # Errors
    /// Another process fetches into the same file or has just done so, what is there is none of a
    /// fetch or of another one ([`is_of_another`]), or the disk refuses.
    pub(super) fn start(&mut self, list: &HashList) -> io::Result<()> {
        self.refuse_foreign()?;
        // What is in it goes when the lock is ours, not before.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&self.data)?;
        lock(&file)?;
        if self.target.symlink_metadata().is_ok() {
            // Whoever had the lock before us was through: what we opened may be the target itself.
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if has_another_name(&file)? {
            fs::remove_file(&self.data)?;
            file = options.open(&self.data)?;
            lock(&file)?;
        } else {
            self.refuse_of_another(&file, list.id())?;
        }
        write_whole(&self.list, &list.encode())?;
        // The note is of what lay here before. It may not be there.
        let _ = fs::remove_file(&self.note);
        file.set_len(0)?;
        file.set_len(list.size())?;
        self.file = Some(file);
        Ok(())
    }

    /// Bytes at `.part` without a list beside them are somebody's, and so is a link or a folder.
    fn refuse_foreign(&self) -> io::Result<()> {
        let Ok(data) = self.data.symlink_metadata() else { return Ok(()) };
        if data.is_file() && (data.len() == 0 || self.list.is_file()) {
            return Ok(());
        }
        Err(io::Error::other(
            "this is not what a fetch of ours left: move it away, or name another target",
        ))
    }

    /// Bytes at `.part` beside a list that is one, and of another content.
    fn refuse_of_another(&self, file: &File, id: ContentId) -> io::Result<()> {
        let metadata = file.metadata()?;
        if metadata.len() == 0 || is_hole(&metadata) {
            return Ok(());
        }
        let list = fs::read(&self.list).unwrap_or_default();
        match HashList::decode(&list, id, u64::MAX) {
            Err(ListError::NotOfThisId) => Err(io::Error::other(OfAnother)),
            _ => Ok(()),
        }
    }

    pub(super) const fn is_started(&self) -> bool {
        self.file.is_some()
    }

    /// Writes one verified piece.
    pub(super) fn write(&mut self, range: &Range<u64>, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("nothing was begun"))?;
        file.seek(SeekFrom::Start(range.start))?;
        file.write_all(bytes)
    }

    /// Notes which pieces are there: after a crash at most what came since is fetched again.
    pub(super) fn note(&mut self, note: &Resume) -> io::Result<()> {
        write_whole(&self.note, &note.encode())
    }

    /// All pieces are there: the file gets its name, and what lay beside it goes.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        // The lock lasts until the name is given.
        let file = self.file.take();
        if let Some(file) = &file {
            file.sync_all()?;
        }
        // Unlike a rename this does not replace what has come there meanwhile.
        match fs::hard_link(&self.data, &self.target) {
            Ok(()) => fs::remove_file(&self.data)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // File systems without links: a look is less than a link, and better than nothing.
            Err(_) if self.target.symlink_metadata().is_ok() => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            Err(_) => fs::rename(&self.data, &self.target)?,
        }
        let _ = fs::remove_file(&self.note);
        let _ = fs::remove_file(&self.list);
        Ok(())
    }

    pub(super) fn data_path(&self) -> &Path {
        &self.data
    }
}

/// Whether nothing was ever written: of a fetch that had the list and no piece nothing is lost.
#[cfg(unix)]
fn is_hole(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::blocks(metadata) == 0
}

#[cfg(not(unix))]
const fn is_hole(_: &fs::Metadata) -> bool {
    false
}

/// What is there is what is left of another fetch.
#[derive(Debug)]
struct OfAnother;

impl fmt::Display for OfAnother {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is what is left of another fetch")
    }
}

impl Error for OfAnother {}

/// Whether an error says that what is there is what is left of another fetch.
pub(super) fn is_of_another(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<OfAnother>())
}

/// Keeps other processes from the partial file for as long as it is open.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::other("another process is fetching into this file"))
        }
        // Also on file systems without locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// Whether the bytes are somebody's under another name: a process that was killed between giving
/// the file its name and taking away this one leaves both, and the person may have moved his.
#[cfg(unix)]
fn has_another_name(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(file.metadata()?.nlink() > 1)
}

/// Elsewhere the number of names is not to be had.
#[cfg(not(unix))]
fn has_another_name(_: &File) -> io::Result<bool> {
    Ok(false)
}

fn read_list(path: &Path, id: ContentId, max_size: u64) -> Option<HashList> {
    HashList::decode(&fs::read(path).ok()?, id, max_size).ok()
}

/// Whether a piece looks as if it had never been written.
fn begins_with_zeros(file: &mut File, list: &HashList, index: u32) -> bool {
    let Some(range) = list.range(index) else { return true };
    // Few files have so many zeros in a row at a whole megabyte; such a piece is fetched again.
    let mut bytes = [0; 64];
    let len = bytes.len().min(usize::try_from(range.end - range.start).unwrap_or(bytes.len()));
    let (start, _) = bytes.split_at_mut(len);
    let read = file.seek(SeekFrom::Start(range.start)).and_then(|_| file.read_exact(start));
    read.is_err() || bytes == [0; 64]
}

fn read_piece(file: &mut File, list: &HashList, index: u32, bytes: &mut Vec<u8>) -> io::Result<()> {
    let range = list.range(index).ok_or_else(|| io::Error::other("no such piece"))?;
    bytes.resize(usize::try_from(range.end - range.start).map_err(io::Error::other)?, 0);
    file.seek(SeekFrom::Start(range.start))?;
    file.read_exact(bytes)
}

/// Writes a small file so that it is there whole or as it was before.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&new, path)
    };
    write().inspect_err(|_| {
        // Half of it is of use to nobody; it may not even be there.
        let _ = fs::remove_file(&new);
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;
    use kadlet_core::content::{HashListBuilder, PIECE_LEN};

    const PIECE: usize = PIECE_LEN as usize;
    const MAX: u64 = 1 << 40;

    /// Four pieces, the last one short, none like another.
    fn content() -> (Vec<u8>, HashList) {
        let bytes: Vec<u8> =
            (0..3 * PIECE + 100).map(|at| (at / PIECE + at % 251) as u8 + 1).collect();
        let mut builder = HashListBuilder::new();
        builder.update(&bytes);
        (bytes, builder.finish())
    }

    fn write(partial: &mut Partial, list: &HashList, bytes: &[u8], index: u32) {
        let range = list.range(index).unwrap();
        partial.write(&range, &bytes[range.start as usize..range.end as usize]).unwrap();
    }

    fn note(list: &HashList, pieces: &[u32]) -> Resume {
        let mut have = Bitmap::new(list.pieces());
        for index in pieces {
            have.insert(*index);
        }
        Resume { id: list.id(), size: list.size(), have }
    }

    fn resumed(target: &Path, list: &HashList) -> Option<Vec<u32>> {
        let left = Partial::of(target).resume(list.id(), MAX, || true).unwrap();
        left.map(|(_, have)| have.iter().collect())
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn all_pieces_make_the_file_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let (bytes, list) = content();
        let mut partial = Partial::of(&target);
        assert!(!partial.is_started());
        partial.start(&list).unwrap();
        for index in [3, 0, 2, 1] {
            assert!(!target.exists());
            write(&mut partial, &list, &bytes, index);
        }
        partial.note(&note(&list, &[0, 1, 2, 3])).unwrap();
        partial.finish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), bytes);
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn pieces_that_nobody_noted_are_found_and_holes_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let (bytes, list) = content();
        assert_eq!(resumed(&target, &list), None);
        let mut partial = Partial::of(&target);
        partial.start(&list).unwrap();
        write(&mut partial, &list, &bytes, 3);
        partial.note(&note(&list, &[3])).unwrap();
        write(&mut partial, &list, &bytes, 1);
        drop(partial);
        assert_eq!(resumed(&target, &list), Some(vec![1, 3]));
        // Without a note, too.
        fs::remove_file(dir.path().join("file.part.note")).unwrap();
        assert_eq!(resumed(&target, &list), Some(vec![1, 3]));
    }

    #[test]
    fn the_bytes_decide_and_not_the_note() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let (bytes, list) = content();
        let mut partial = Partial::of(&target);
        partial.start(&list).unwrap();
        for index in 0..4 {
            write(&mut partial, &list, &bytes, index);
        }
        partial.note(&note(&list, &[0, 1, 2, 3])).unwrap();
        partial.write(&(PIECE_LEN + 5..PIECE_LEN + 6), &[0]).unwrap();
        drop(partial);
        assert_eq!(resumed(&target, &list), Some(vec![0, 2, 3]));
        // A file that was cut.
        let data = OpenOptions::new().write(true).open(dir.path().join("file.part")).unwrap();
        data.set_len(2 * PIECE_LEN).unwrap();
        drop(data);
        assert_eq!(resumed(&target, &list), Some(vec![0]));
    }

    #[test]
    fn a_piece_of_zeros_counts_once_it_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let bytes = vec![0; 2 * PIECE];
        let mut builder = HashListBuilder::new();
        builder.update(&bytes);
        let list = builder.finish();
        let mut partial = Partial::of(&target);
        partial.start(&list).unwrap();
        partial.note(&note(&list, &[1])).unwrap();
        drop(partial);
        assert_eq!(resumed(&target, &list), Some(vec![1]));
    }

    #[test]
    fn what_is_left_of_another_content_is_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let (bytes, list) = content();
        let mut partial = Partial::of(&target);
        partial.start(&list).unwrap();
        write(&mut partial, &list, &bytes, 0);
        partial.note(&note(&list, &[0])).unwrap();
        drop(partial);
        let mut builder = HashListBuilder::new();
        builder.update(&bytes[..2 * PIECE]);
        let other = builder.finish();
        let refused = || {
            let mut partial = Partial::of(&target);
            let resumed = partial.resume(other.id(), MAX, || true).unwrap_err();
            let started = partial.start(&other).unwrap_err();
            assert!(is_of_another(&resumed) && is_of_another(&started), "{resumed}; {started}");
        };
        refused();
        // Without its note, too: a process that was killed early left none.
        fs::remove_file(dir.path().join("file.part.note")).unwrap();
        refused();
        assert_eq!(resumed(&target, &list), Some(vec![0]));
        // Whoever works with it is another matter.
        let mut first = Partial::of(&target);
        first.resume(list.id(), MAX, || true).unwrap().unwrap();
        let busy = Partial::of(&target).resume(other.id(), MAX, || true).unwrap_err();
        assert!(!is_of_another(&busy) && busy.to_string().contains("another process"), "{busy}");
        drop(first);
        // Nobody goes on with a list that is damaged.
        fs::write(dir.path().join("file.part.list"), &list.encode()[..50]).unwrap();
        assert_eq!(resumed(&target, &other), None);
        let mut partial = Partial::of(&target);
        partial.start(&other).unwrap();
        partial.note(&note(&other, &[])).unwrap();
        drop(partial);
        // The old bytes are gone.
        assert_eq!(resumed(&target, &other), Some(vec![]));
        // Nor is there anything to lose of a fetch that had its list and no piece.
        #[cfg(unix)]
        assert_eq!(resumed(&target, &list), None);
        // Or where there are no bytes.
        fs::write(dir.path().join("file.part"), "").unwrap();
        assert_eq!(resumed(&target, &list), None);
        Partial::of(&target).start(&list).unwrap();
        // The note was of what lay there.
        assert_eq!(names(dir.path()), ["file.part", "file.part.list"]);
    }

    #[test]
    fn a_longer_content_that_lay_there_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let (bytes, list) = content();
        let mut partial = Partial::of(&target);
        partial.start(&list).unwrap();
        for index in 0..4 {
            write(&mut partial, &list, &bytes, index);
        }
        drop(partial);
        // The machine lost its power after the list was written, before the file was cut.
        let data = OpenOptions::new().write(true).open(dir.path().join("file.part")).unwrap();
        data.set_len(5 * PIECE_LEN).unwrap();
        drop(data);
        let mut partial = Partial::of(&target);
        let (_, have) = partial.resume(list.id(), MAX, || true).unwrap().unwrap();
        assert_eq!(have.iter().count(), 4);
        partial.finish().unwrap();
        assert!(fs::read(&target).unwrap() == bytes);
    }

    /// Whoever left does not keep the disk busy, nor the next fetch out.
    #[test]
    fn what_nobody_waits_for_is_hashed_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let (bytes, list) = content();
        let mut partial = Partial::of(&target);
        partial.start(&list).unwrap();
        for index in 0..4 {
            write(&mut partial, &list, &bytes, index);
        }
        drop(partial);
        let asked = core::cell::Cell::new(0);
        let wanted = || {
            asked.set(asked.get() + 1);
            asked.get() < 3
        };
        let mut left = Partial::of(&target);
        assert!(left.resume(list.id(), MAX, wanted).unwrap().is_none());
        assert_eq!(asked.get(), 3);
        assert_eq!(resumed(&target, &list), Some(vec![0, 1, 2, 3]));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_got_its_name_is_not_touched_again() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let (bytes, list) = content();
        let mut partial = Partial::of(&target);
        partial.start(&list).unwrap();
        for index in 0..4 {
            write(&mut partial, &list, &bytes, index);
        }
        drop(partial);
        // The process was killed before it took away `.part`, and the person has moved the file.
        let moved = dir.path().join("moved");
        fs::hard_link(dir.path().join("file.part"), &moved).unwrap();
        assert_eq!(resumed(&target, &list), None);
        let mut partial = Partial::of(&target);
        partial.start(&list).unwrap();
        write(&mut partial, &list, &vec![0xff; bytes.len()], 0);
        assert!(fs::read(&moved).unwrap() == bytes);
        // The new one is as locked as the old one was.
        let other = Partial::of(&target).start(&list).unwrap_err().to_string();
        assert!(other.contains("another process"), "{other}");
    }

    #[test]
    fn what_came_there_meanwhile_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let (bytes, list) = content();
        let mut partial = Partial::of(&target);
        partial.start(&list).unwrap();
        for index in 0..4 {
            write(&mut partial, &list, &bytes, index);
        }
        fs::write(&target, "mine").unwrap();
        let refused = |result: io::Result<()>| result.unwrap_err().kind();
        assert_eq!(refused(partial.finish()), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"mine");
        // What was fetched is still there.
        assert_eq!(resumed(&target, &list), Some(vec![0, 1, 2, 3]));
        assert_eq!(refused(Partial::of(&target).start(&list)), io::ErrorKind::AlreadyExists);
        assert_eq!(resumed(&target, &list), Some(vec![0, 1, 2, 3]));
    }

    #[test]
    fn what_others_call_so_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let (_, list) = content();
        let refused = || {
            let mut partial = Partial::of(&target);
            let resumed = partial.resume(list.id(), MAX, || true).unwrap_err().to_string();
            assert!(resumed.contains("name another target"), "{resumed}");
            assert_eq!(partial.start(&list).unwrap_err().to_string(), resumed);
        };
        let part = dir.path().join("file.part");
        fs::write(&part, "mine").unwrap();
        refused();
        assert_eq!(fs::read(&part).unwrap(), b"mine");
        fs::remove_file(&part).unwrap();
        fs::create_dir(&part).unwrap();
        refused();
        fs::remove_dir(&part).unwrap();
        #[cfg(unix)]
        {
            let elsewhere = dir.path().join("elsewhere");
            fs::write(&elsewhere, "").unwrap();
            std::os::unix::fs::symlink(&elsewhere, &part).unwrap();
            refused();
            fs::remove_file(&part).unwrap();
        }
        // A fetch that was killed before it wrote the list leaves nothing in it.
        fs::write(&part, "").unwrap();
        assert_eq!(resumed(&target, &list), None);
        Partial::of(&target).start(&list).unwrap();
    }

    #[test]
    fn a_note_that_cannot_be_written_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let (_, list) = content();
        let mut partial = Partial::of(&target);
        partial.start(&list).unwrap();
        // What has the name cannot be replaced.
        fs::create_dir(dir.path().join("file.part.note")).unwrap();
        partial.note(&note(&list, &[0])).unwrap_err();
        assert_eq!(names(dir.path()), ["file.part", "file.part.list", "file.part.note"]);
    }

    #[test]
    fn two_do_not_write_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let (bytes, list) = content();
        let mut first = Partial::of(&target);
        first.start(&list).unwrap();
        write(&mut first, &list, &bytes, 2);
        let mut second = Partial::of(&target);
        assert!(
            second
                .resume(list.id(), MAX, || true)
                .unwrap_err()
                .to_string()
                .contains("another process")
        );
        assert!(second.start(&list).unwrap_err().to_string().contains("another process"));
        drop(first);
        assert_eq!(resumed(&target, &list), Some(vec![2]));
    }
}
