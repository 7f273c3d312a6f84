//! `kadlet share --forget`: what was kept is not shared any more at the next start.
//!
//! Without a node, and so without a word to anybody: holders forget in their own time.

use std::path::{Path, PathBuf};

use kadlet::{KeptShares, StartError};
use serde_json::json;

use super::kept::{Kept, plain};
use crate::cli::Common;
use crate::codes::{Code, Warning};
use crate::failure::Failure;
use crate::output::Output;

/// Kept shares that are named where the one that was meant is not among them.
const NAMED: usize = 5;

/// All of them, or none.
pub(super) fn run(files: &[PathBuf], common: &Common, output: Output) -> Result<(), Failure> {
    // Required by the command line.
    let dir = common.data.as_deref().unwrap_or(Path::new("."));
    let refused = |error| Failure::from(StartError::from(error));
    let mut kept = KeptShares::open(dir, &common.network).map_err(refused)?;
    for damage in kept.damage() {
        output.warning(Warning::DataDamaged, damage);
    }
    let mut keys = Vec::new();
    let mut paths = Vec::new();
    for file in files {
        let path = plain(file).map_err(|error| Failure::io(file.display(), &error))?;
        if paths.contains(&path) {
            continue;
        }
        let before = keys.len();
        keys.extend(Kept::keys(kept.shares(), &path).map(str::to_owned));
        if keys.len() == before {
            return Err(unknown(&path, dir, &kept));
        }
        paths.push(path);
    }
    kept.forget(&keys).map_err(refused)?;
    for path in paths {
        let path = path.display().to_string();
        output.event(
            json!({"event": "forgotten", "path": path}),
            format_args!("{path}: not shared any more"),
        );
    }
    Ok(())
}

fn unknown(path: &Path, dir: &Path, kept: &KeptShares) -> Failure {
    let all = Kept::all(kept.shares());
    let mut names: Vec<_> = all.keys().take(NAMED).map(|path| path.display().to_string()).collect();
    if all.len() > NAMED {
        names.push(format!("{} more", all.len() - NAMED));
    }
    let there = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    Failure::new(
        Code::Usage,
        format_args!(
            "{} is not among the shares that {} keeps ({there}): nothing was forgotten",
            path.display(),
            dir.display()
        ),
    )
}
