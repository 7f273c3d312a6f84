//! The folder that `--out` names.

use std::fs;
use std::path::Path;

use kadlet_sim::Page;

use crate::Failure;

/// Makes it, and sees before the runs whether it can be written to.
pub(super) fn prepare(dir: &Path) -> Result<(), Failure> {
    let probe = dir.join(".kadlet-sim");
    fs::create_dir_all(dir).map_err(|error| unwritable(dir, &error))?;
    fs::write(&probe, "")
        .and_then(|()| fs::remove_file(&probe))
        .map_err(|error| unwritable(dir, &error))
}

/// Writes the files of a report.
pub(super) fn write(dir: &Path, pages: &[Page]) -> Result<(), Failure> {
    for (name, text) in pages {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|error| unwritable(&path, &error))?;
    }
    Ok(())
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("--out: {} cannot be written: {error}", path.display()))
}
