//! The files of the demo: those of a folder, or some that it writes itself.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use kadlet::core::Rng;
use kadlet::core::record::{SearchEntry, words};

/// More than this is not taken: it would not fit into the minute and a half that the demo takes.
pub(crate) const MAX_BYTES: u64 = 4 << 30;
/// Files taken at most.
pub(crate) const MAX_FILES: usize = 10_000;

/// Files written where no folder is given.
const FILES: usize = 2_000;
/// One of them is this large, to be fetched from several providers at once.
const LARGE: u64 = 256 << 20;

/// A largest file below this is fetched too quickly for several providers to have a part in it.
const LARGE_ENOUGH: u64 = 32 << 20;
/// Then one of this size is added.
const ADDED: u64 = 64 << 20;

/// A file to be shared.
#[derive(Clone, Debug)]
pub(crate) struct DemoFile {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    pub(crate) size: u64,
}

impl DemoFile {
    /// Whether the name can be published: it has words, and nothing that a name cannot have.
    pub(crate) fn is_findable(&self) -> bool {
        words(&self.name).next().is_some() && SearchEntry::new(&self.name, 0, [0; 32]).is_ok()
    }
}

/// What is there, and what of it is taken.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    pub(crate) files: Vec<DemoFile>,
    pub(crate) bytes: u64,
    /// Files and bytes that did not fit.
    pub(crate) left_out: (usize, u64),
    /// What cannot be read, and why.
    pub(crate) unreadable: Vec<String>,
}

impl Collection {
    /// The files below `folder`, in the order of their paths, as many as fit.
    ///
    /// # Errors
    /// The folder itself cannot be read; what is wrong below it is noted.
    pub(crate) fn of(folder: &Path) -> io::Result<Self> {
        let mut paths = Vec::new();
        let mut collection = Self::default();
        walk(folder, &mut paths, &mut collection.unreadable)?;
        paths.sort();
        for path in paths {
            // Opened, because that is what sharing it takes.
            let size = match fs::File::open(&path).and_then(|file| file.metadata()) {
                Ok(metadata) => metadata.len(),
                Err(error) => {
                    collection.unreadable.push(format!("{}: {error}", path.display()));
                    continue;
                }
            };
            let fits = collection.files.len() < MAX_FILES && collection.bytes + size <= MAX_BYTES;
            if fits {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                collection.bytes += size;
                collection.files.push(DemoFile { path, name, size });
            } else {
                collection.left_out.0 += 1;
                collection.left_out.1 += size;
            }
        }
        Ok(collection)
    }

    /// Whether none of the files shows what fetching from several providers is.
    pub(crate) fn lacks_a_large_one(&self) -> bool {
        self.files.iter().all(|file| file.size < LARGE_ENOUGH)
    }

    /// Writes one more file into `folder`, large enough to come from several providers.
    pub(crate) fn add_large(&mut self, folder: &Path, seed: u64, stop: &Halt) -> io::Result<()> {
        let name = FILM.to_owned();
        let path = folder.join(&name);
        write_random(&path, ADDED, &mut rng(seed), stop)?;
        self.bytes += ADDED;
        self.files.push(DemoFile { path, name, size: ADDED });
        Ok(())
    }

    /// Writes files of mixed sizes into `folder`. The same seed writes the same.
    pub(crate) fn write(
        folder: &Path,
        seed: u64,
        stop: &Halt,
        mut progress: impl FnMut(),
    ) -> io::Result<Self> {
        let mut rng = rng(seed);
        let mut collection = Self::default();
        for number in 0..FILES {
            let (name, size) = if number == 0 {
                (FILM.to_owned(), LARGE + 4_321)
            } else {
                (name(number, &mut rng), size(&mut rng))
            };
            let path = folder.join(&name);
            write_random(&path, size, &mut rng, stop)?;
            collection.bytes += size;
            collection.files.push(DemoFile { path, name, size });
            progress();
        }
        Ok(collection)
    }
}

/// Ends work on a thread that nobody can interrupt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Halt(Arc<AtomicBool>);

impl Halt {
    pub(crate) fn halt(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// # Errors
    /// It is time to end.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }
}

fn rng(seed: u64) -> Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Rng::from_seed(bytes)
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>, unreadable: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            if let Err(error) = walk(&path, paths, unreadable) {
                unreadable.push(format!("{}: {error}", path.display()));
            }
        } else if kind.is_file() {
            paths.push(path);
        }
    }
    Ok(())
}

/// The largest file.
const FILM: &str = "Long Winter - a film in one take.mkv";

const MOODS: [&str; 24] = [
    "Amber", "Bitter", "Blue", "Brave", "Broken", "Crimson", "Distant", "Electric", "Empty",
    "Gentle", "Golden", "Hidden", "Hollow", "Icy", "Late", "Lonely", "Lucky", "Patient", "Quiet",
    "Restless", "Rusty", "Silver", "Slow", "Wild",
];

const THINGS: [&str; 36] = [
    "Anchor",
    "Bridge",
    "Canyon",
    "Clock",
    "Comet",
    "Danube",
    "Desert",
    "Dream",
    "Engine",
    "Ferry",
    "Forest",
    "Garden",
    "Harbour",
    "Highway",
    "Island",
    "Journey",
    "Kitchen",
    "Lantern",
    "Letter",
    "Lighthouse",
    "Meadow",
    "Mirror",
    "Mountain",
    "Orchard",
    "Parade",
    "Postcard",
    "Railway",
    "River",
    "Shadow",
    "Station",
    "Storm",
    "Street",
    "Summer",
    "Tower",
    "Valley",
    "Window",
];

const KINDS: [(&str, &str); 8] = [
    ("song", "flac"),
    ("song", "ogg"),
    ("photo", "jpg"),
    ("scan", "pdf"),
    ("notes", "txt"),
    ("recording", "opus"),
    ("map", "svg"),
    ("story", "epub"),
];

fn pick<'a, T>(list: &'a [T], rng: &mut Rng) -> &'a T {
    // An index below the length of a slice.
    &list[rng.below(list.len() as u64) as usize]
}

fn name(number: usize, rng: &mut Rng) -> String {
    let (kind, ending) = pick(&KINDS, rng);
    format!("{} {} - {kind} {number:04}.{ending}", pick(&MOODS, rng), pick(&THINGS, rng))
}

/// From 0 bytes to 2 MiB, small ones more often: each power of two as likely as the next.
fn size(rng: &mut Rng) -> u64 {
    let exponent = rng.below(22);
    rng.below(1 << exponent)
}

fn write_random(path: &Path, size: u64, rng: &mut Rng, stop: &Halt) -> io::Result<()> {
    stop.check()?;
    let mut file = io::BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
    let mut block = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        stop.check()?;
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        rng.fill(&mut block[..part]);
        file.write_all(&block[..part])?;
        left -= part as u64;
    }
    file.flush()
}
