//! The files of the demo: those of a folder, or some that it writes itself.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use kadlet::core::Rng;

/// More than this is not taken: it would not fit into the minute and a half that the demo takes.
pub(crate) const MAX_BYTES: u64 = 4 << 30;
/// Files taken at most.
pub(crate) const MAX_FILES: usize = 10_000;

/// Files written where no folder is given.
const FILES: usize = 2_000;
/// One of them is this large, to be fetched from several providers at once.
const LARGE: u64 = 256 << 20;

/// A file to be shared.
#[derive(Clone, Debug)]
pub(crate) struct DemoFile {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    pub(crate) size: u64,
}

/// What is there, and what of it is taken.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    pub(crate) files: Vec<DemoFile>,
    pub(crate) bytes: u64,
    /// Files and bytes that did not fit.
    pub(crate) left_out: (usize, u64),
}

impl Collection {
    /// The files below `folder`, in the order of their paths, as many as fit.
    pub(crate) fn of(folder: &Path) -> io::Result<Self> {
        let mut paths = Vec::new();
        walk(folder, &mut paths)?;
        paths.sort();
        let mut collection = Self::default();
        for path in paths {
            let size = path.metadata()?.len();
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

    /// Writes files of mixed sizes into `folder`. The same seed writes the same.
    pub(crate) fn write(folder: &Path, seed: u64, mut progress: impl FnMut()) -> io::Result<Self> {
        let mut seed_bytes = [0; 32];
        seed_bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::from_seed(seed_bytes);
        let mut collection = Self::default();
        for number in 0..FILES {
            let (name, size) = if number == 0 {
                ("Long Winter - a film in one take.mkv".to_owned(), LARGE + 4_321)
            } else {
                (name(number, &mut rng), size(&mut rng))
            };
            let path = folder.join(&name);
            write_random(&path, size, &mut rng)?;
            collection.bytes += size;
            collection.files.push(DemoFile { path, name, size });
            progress();
        }
        Ok(collection)
    }
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), paths)?;
        } else if kind.is_file() {
            paths.push(entry.path());
        }
    }
    Ok(())
}

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

fn write_random(path: &Path, size: u64, rng: &mut Rng) -> io::Result<()> {
    let mut file = io::BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
    let mut block = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        rng.fill(&mut block[..part]);
        file.write_all(&block[..part])?;
        left -= part as u64;
    }
    file.flush()
}
