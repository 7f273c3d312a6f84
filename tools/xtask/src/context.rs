//! Where things are on this machine, and how to call them.
//!
//! Everything a step may need is asked for by a `needs_*` method, which gives the tool or says what
//! is missing and what to type. Nothing is looked for before a step needs it.

use core::time::Duration;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::runner::Stop;

/// The repository on this machine.
pub(crate) struct Context {
    /// The repository's root.
    pub(crate) root: PathBuf,
    /// Where builds and downloads go.
    pub(crate) target: PathBuf,
    /// What was typed behind the name of a step that takes arguments.
    pub(crate) arguments: Vec<String>,
}

impl Context {
    pub(crate) fn new() -> Self {
        // Two levels above tools/xtask.
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.ancestors().nth(2).unwrap_or(here).to_path_buf();
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(dir));
        Self { root, target, arguments: Vec::new() }
    }

    /// A command in the repository's root, without what `cargo run` put into our environment.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        for (name, _) in std::env::vars_os() {
            let ours = name.to_string_lossy();
            if ours.starts_with("CARGO_PKG_") || ours.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command
    }

    /// `cargo` of the pinned toolchain with these arguments.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("cargo");
        command.args(arguments);
        command
    }

    /// `cargo` of the nightly toolchain, for Miri alone.
    pub(crate) fn nightly_cargo(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("cargo");
        // Set by the rustup that started us, and stronger than a `+nightly` further down.
        command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").arg("+nightly").args(arguments);
        command
    }

    /// The pinned toolchain's standard library for another target.
    pub(crate) fn needs_target(&self, target: &str) -> Result<(), Stop> {
        let output = self.command("rustc").args(["--print", "sysroot"]).output();
        let sysroot = output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
        let library = Path::new(&sysroot.unwrap_or_default()).join("lib/rustlib").join(target);
        if library.join("lib").is_dir() {
            return Ok(());
        }
        Err(Stop::Missing {
            what: format!("no standard library for {target}"),
            install: format!("rustup target add {target}"),
        })
    }

    /// A program that answers when called with `probe`.
    pub(crate) fn needs_program(
        &self,
        program: &Path,
        probe: &str,
        install: &str,
    ) -> Result<(), Stop> {
        if quiet(self.command(program).arg(probe)) {
            return Ok(());
        }
        Err(Stop::Missing { what: format!("no {}", program.display()), install: install.into() })
    }

    /// Node.js.
    pub(crate) fn needs_node(&self) -> Result<(), Stop> {
        self.needs_program(Path::new("node"), "--version", "apt-get install nodejs (18 or newer)")
    }

    /// nginx: by `KADLET_NGINX`, on the path, or where Debian has it for the administrator alone.
    pub(crate) fn needs_nginx(&self) -> Result<PathBuf, Stop> {
        let said = std::env::var_os("KADLET_NGINX").map(PathBuf::from);
        said.into_iter()
            .chain(["nginx", "/usr/sbin/nginx"].map(PathBuf::from))
            .find(|program| quiet(self.command(program).arg("-v")))
            .ok_or_else(|| Stop::Missing {
                what: "no nginx".into(),
                install: "apt-get install nginx-light (2 MB), or KADLET_NGINX=PATH".into(),
            })
    }

    /// Python 3.
    pub(crate) fn needs_python(&self) -> Result<(), Stop> {
        self.needs_program(Path::new("python3"), "--version", "apt-get install python3-venv")
    }

    /// Miri on a nightly toolchain.
    pub(crate) fn needs_miri(&self) -> Result<(), Stop> {
        if quiet(&mut self.nightly_cargo(&["miri", "--version"])) {
            return Ok(());
        }
        Err(Stop::Missing {
            what: "no nightly toolchain with Miri".into(),
            install: "rustup toolchain install nightly --profile minimal -c miri,rust-src".into(),
        })
    }

    /// cargo-fuzz.
    pub(crate) fn needs_fuzz(&self) -> Result<(), Stop> {
        if quiet(&mut self.cargo(&["fuzz", "--version"])) {
            return Ok(());
        }
        Err(Stop::Missing {
            what: "no cargo-fuzz".into(),
            install: "cargo install cargo-fuzz --locked (1 minute; wants a C++ compiler)".into(),
        })
    }

    /// cargo-deny: on the path, or where `.ci/run` builds it.
    pub(crate) fn needs_deny(&self) -> Result<PathBuf, Stop> {
        let ours = self.target.join("tools/bin/cargo-deny");
        [PathBuf::from("cargo-deny"), ours]
            .into_iter()
            .find(|program| quiet(self.command(program).arg("--version")))
            .ok_or_else(|| Stop::Missing {
                what: "no cargo-deny".into(),
                install: "cargo install --locked --debug cargo-deny@0.20.2 --root target/tools \
                          (1 minute, 30 MB)"
                    .into(),
            })
    }

    /// tools/wasm-bindgen, which writes the JavaScript glue; built once, of the version it is
    /// locked to.
    pub(crate) fn needs_wasm_bindgen(&self) -> Result<PathBuf, Stop> {
        let build = self.target.join("wasm-bindgen");
        if !build.exists() {
            println!("building tools/wasm-bindgen (5 MB from crates.io, 1 minute)");
        }
        let manifest = self.root.join("tools/wasm-bindgen/Cargo.toml");
        let arguments = ["build", "--quiet", "--locked", "--manifest-path"];
        run(self.cargo(&arguments).arg(manifest).arg("--target-dir").arg(&build)).map_err(
            |_| Stop::Missing {
                what: "wasm-bindgen cannot be fetched and built".into(),
                install: "cargo fetch --manifest-path tools/wasm-bindgen/Cargo.toml".into(),
            },
        )?;
        Ok(build.join("debug/kadlet-wasm-bindgen"))
    }

    /// What the lock file in this folder names, in its `node_modules`.
    pub(crate) fn needs_npm(&self, folder: &Path) -> Result<(), Stop> {
        self.needs_program(Path::new("npm"), "--version", "apt-get install npm")?;
        let lock = folder.join("package-lock.json");
        let wanted = std::fs::read(&lock)
            .map_err(|why| Stop::Failed(format!("{}: {why}", lock.display())))?;
        // What is installed already is not fetched again, so that a second run works offline.
        let have = folder.join("node_modules/installed.json");
        if std::fs::read(&have).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        println!("fetching from npm into {}/node_modules (150 MB, 30 s)", folder.display());
        let ci = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
        run(self.command("npm").args(ci).current_dir(folder)).map_err(|_| Stop::Missing {
            what: "npm packages cannot be fetched".into(),
            install: format!("cd {} && npm {}", folder.display(), ci.join(" ")),
        })?;
        std::fs::write(&have, wanted).map_err(|why| Stop::Failed(why.to_string()))
    }

    /// A Python environment of our own under `target/` with these packages.
    pub(crate) fn needs_venv(&self, packages: &[&str]) -> Result<PathBuf, Stop> {
        self.needs_python()?;
        let venv = self.target.join("venv");
        let python = venv.join("bin/python");
        if !python.exists() {
            println!("making a Python environment in {} (5 s)", venv.display());
            run(self.command("python3").args(["-m", "venv"]).arg(&venv)).map_err(|_| {
                Stop::Missing {
                    what: "no Python module venv".into(),
                    install: "apt-get install python3-venv".into(),
                }
            })?;
        }
        // What is installed already is not fetched again, so that a second run works offline.
        let have = venv.join("installed.txt");
        let wanted = packages.join("\n");
        if std::fs::read_to_string(&have).is_ok_and(|installed| installed == wanted) {
            return Ok(python);
        }
        println!("fetching from PyPI: {} (at most 30 MB, 20 s)", packages.join(" "));
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(self.command(&python).args(pip).args(packages)).map_err(|_| Stop::Missing {
            what: "Python packages cannot be fetched".into(),
            install: format!("{} {} {}", python.display(), pip.join(" "), packages.join(" ")),
        })?;
        std::fs::write(&have, wanted).map_err(|why| Stop::Failed(why.to_string()))?;
        Ok(python)
    }
}

/// Runs a command whose output goes to the terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), Stop> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Stop::Failed(format!("{} ended with {status}", show(command)))),
        Err(why) => Err(Stop::Failed(format!("{} did not start: {why}", show(command)))),
    }
}

/// Runs a command, and ends it if it takes longer than `limit`.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<(), Stop> {
    let mut child = command.spawn().map_err(|why| Stop::Failed(format!("did not start: {why}")))?;
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(Stop::Failed(format!("ended with {status}"))),
            Ok(None) if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                // It may have ended by itself in between: then there is nothing left to kill.
                let _ = child.kill();
                let _ = child.wait();
                let why = format!("took longer than {} s and was ended", limit.as_secs());
                return Err(Stop::Failed(why));
            }
            Err(why) => return Err(Stop::Failed(why.to_string())),
        }
    }
}

/// Whether a command can be had and succeeds; its output is nobody's business.
fn quiet(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

fn show(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
