//! The Python package: its tests, and what is published of it.
//!
//! Both end with a wheel in an environment that has nothing else, on a path without Rust, where the
//! Python blocks of README.md run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::context::{Context, run};
use crate::readme;
use crate::runner::Stop;
use crate::steps::program;

const PACKAGES: [&str; 8] = [
    "libtorrent>=2.0.9,<3",
    "maturin>=1.9.4,<2",
    "mypy>=1.15,<3",
    "pytest>=8,<9",
    "rich>=13,<16",
    "ruff>=0.9,<1",
    "trio>=0.30,<1",
    "uvloop>=0.21,<1",
];

/// A Python in which the package is installed as it stands here.
pub(crate) fn installed(cx: &Context) -> Result<PathBuf, Stop> {
    let python = cx.needs_venv(&PACKAGES)?;
    let mut maturin = cx.command(&python);
    maturin.args(["-m", "maturin", "develop", "--locked", "--quiet"]);
    maturin.current_dir(cx.root.join("bindings-python"));
    // maturin installs into the environment it is told of.
    run(maturin.env("VIRTUAL_ENV", cx.target.join("venv")))?;
    Ok(python)
}

/// `cargo xtask python`.
pub(crate) fn tests(cx: &Context) -> Result<(), Stop> {
    let python = installed(cx)?;
    let module = |arguments: &[&str]| {
        let mut command = cx.command(&python);
        command.arg("-m").args(arguments).current_dir(cx.root.join("bindings-python"));
        command
    };
    run(&mut module(&["ruff", "check", "--quiet", "."]))?;
    run(&mut module(&["ruff", "format", "--quiet", "--check", "python", "tests"]))?;
    run(&mut module(&["mypy"]))?;
    let stub = ["mypy.stubtest", "kadlet._native", "--mypy-config-file", "pyproject.toml"];
    run(&mut module(&stub))?;
    run(module(&["pytest", "--quiet"]).env("KADLET_PROGRAM", program(cx)?))?;
    // The same build once more, as a wheel.
    let wheels = emptied(cx, "wheel")?;
    run(module(&["maturin", "build", "--locked", "--quiet", "--out"]).arg(&wheels))?;
    try_wheel(cx, &python, &wheels)
}

/// `cargo xtask dist`.
pub(crate) fn dist(cx: &Context) -> Result<(), Stop> {
    let python = cx.needs_venv(&PACKAGES)?;
    let out = emptied(cx, "dist")?;
    // The wheel is built from the sdist, which has fewer members than the lock file knows: it is cut
    // there, and `--locked` would not have it.
    let build = ["-m", "maturin", "build", "--release", "--strip", "--sdist", "--out"];
    let mut maturin = cx.command(&python);
    run(maturin.args(build).arg(&out).current_dir(cx.root.join("bindings-python")))?;
    try_wheel(cx, &python, &out)?;
    for file in list(&out)? {
        println!("{}", file.display());
    }
    Ok(())
}

/// Installs the wheel in this folder where there is nothing else, and runs README.md's lines there.
fn try_wheel(cx: &Context, pip: &Path, folder: &Path) -> Result<(), Stop> {
    let files = list(folder)?;
    let wheel = files.iter().find(|file| file.extension().is_some_and(|it| it == "whl"));
    let none = || Stop::Failed(format!("no wheel in {}", folder.display()));
    let wheel = wheel.ok_or_else(none)?;
    let empty = emptied(cx, "wheel-venv")?;
    run(cx.command(pip).args(["-m", "venv", "--without-pip"]).arg(&empty))?;
    let python = empty.join("bin/python");
    let install = ["install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"];
    run(cx.command(pip).args(["-m", "pip", "--python"]).arg(&python).args(install).arg(wheel))?;
    readme::python_blocks(cx, || {
        let mut command = cx.command(&python);
        // No Rust, and no source of the package beside the program.
        command.env("PATH", empty.join("bin")).current_dir(&empty);
        command
    })
}

/// A folder of this name under `target/` with nothing in it.
pub(crate) fn emptied(cx: &Context, name: &str) -> Result<PathBuf, Stop> {
    let folder = cx.target.join(name);
    let refused = |why: std::io::Error| Stop::Failed(format!("{}: {why}", folder.display()));
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(refused)?;
    }
    fs::create_dir_all(&folder).map_err(refused)?;
    Ok(folder)
}

pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>, Stop> {
    let refused = |why: std::io::Error| Stop::Failed(format!("{}: {why}", folder.display()));
    let entries = fs::read_dir(folder).map_err(refused)?;
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.map_err(refused)?.path());
    }
    files.sort();
    Ok(files)
}
