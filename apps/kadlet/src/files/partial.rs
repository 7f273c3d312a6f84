//! A file that is being fetched: pieces where they belong, a note of which are there, and the final
//! name only when all are.

use core::ops::Range;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use kadlet_core::content::{Bitmap, ContentId, HashList, Resume};

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
    /// and right. None if there is nothing usable; it is overwritten then.
    pub(super) fn resume(&mut self, id: ContentId, max_size: u64) -> Option<(HashList, Bitmap)> {
        let list = HashList::decode(&fs::read(&self.list).ok()?, id, max_size).ok()?;
        let note = Resume::decode(&fs::read(&self.note).ok()?).ok()?;
        if note.id != id || note.size != list.size() {
            return None;
        }
        let mut file = OpenOptions::new().read(true).write(true).open(&self.data).ok()?;
        let mut have = Bitmap::new(list.pieces());
        let mut bytes = Vec::new();
        for index in note.have.iter() {
            // The note was written before the disk failed, or after: the bytes decide.
            if read_piece(&mut file, &list, index, &mut bytes).is_ok()
                && list.verify_piece(index, &bytes)
            {
                have.insert(index);
            }
        }
        self.file = Some(file);
        Some((list, have))
    }

    /// Begins anew, with this list.
    pub(super) fn start(&mut self, list: &HashList) -> io::Result<()> {
        write_whole(&self.list, &list.encode())?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&self.data)?;
        file.set_len(list.size())?;
        self.file = Some(file);
        Ok(())
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
        if let Some(file) = self.file.take() {
            file.sync_all()?;
        }
        // Unlike a rename this does not replace what has come there meanwhile.
        match fs::hard_link(&self.data, &self.target) {
            Ok(()) => fs::remove_file(&self.data)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // File systems without links.
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
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&new, path)
}
