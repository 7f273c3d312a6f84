//! The JavaScript package: its build, its tests, and what is published of it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::context::{Context, run};
use crate::python::{emptied, list};
use crate::readme;
use crate::runner::Stop;
use crate::steps::program;

const WASM32: &str = "wasm32-unknown-unknown";

/// SHA-512 (for signatures) in its small form. And copies of more than 16 bytes by `memory.copy`,
/// where LLVM would write out up to 32. Functions of up to three times the size that `z` allows are
/// inlined: smaller in the end, and half as fast again. What is done to the whole at the end is done
/// to every crate before: what only then is seen to be of no use goes too.
///
/// No target feature is named: code that was built with others than the standard library is neither
/// inlined into it nor rid of the arguments that nobody reads, such as the place of a panic. So the
/// module is built for references to values of JavaScript, and `tools/wasm-bindgen` takes them out:
/// Node.js 20 aborts ("unreachable code" in its deoptimizer) where it has inlined a call into wasm
/// that gives one.
const RUSTFLAGS: &str = "-Cllvm-args=-max-store-memcpy=2 -Cllvm-args=-inline-threshold=15 \
    -Cpasses=lto<Oz> --cfg sha2_backend_soft=\"compact\"";

/// `cargo xtask wasm`.
pub(crate) fn tests(cx: &Context) -> Result<(), Stop> {
    build(cx)?;
    let bindings = cx.root.join("bindings-wasm");
    let mut tests = cx.command("node");
    // One by one: what `--test` makes of a folder differs between versions.
    tests.args(["--test", "--experimental-websocket"]).args(tests_in(&bindings.join("tests"))?);
    run(tests.current_dir(&bindings).env("KADLET_PROGRAM", program(cx)?))?;
    let with_mainline = cx.target.join("wasm-mainline");
    core(cx, "mainline", &with_mainline)?;
    run(cx.command("node").arg("tools/size.js").arg(with_mainline).current_dir(&bindings))
}

/// The test files that lie in this folder itself.
pub(crate) fn tests_in(folder: &Path) -> Result<Vec<PathBuf>, Stop> {
    let is_test = |path: &PathBuf| path.to_string_lossy().ends_with(".test.js");
    Ok(list(folder)?.into_iter().filter(is_test).collect())
}

/// Both builds of the core and the host around them, in `bindings-wasm/pkg` and `dist`.
pub(crate) fn build(cx: &Context) -> Result<(), Stop> {
    cx.needs_node()?;
    cx.needs_target(WASM32)?;
    let bindings = cx.root.join("bindings-wasm");
    cx.needs_npm(&bindings)?;
    // What a page loads, and what has all of the core.
    for (features, folder) in [("", "pkg"), ("full", "pkg/full")] {
        core(cx, features, &bindings.join(folder))?;
    }
    let tsc = "node_modules/typescript/bin/tsc";
    for script in [tsc, "tools/inline.js"] {
        run(cx.command("node").arg(script).current_dir(&bindings))?;
    }
    Ok(())
}

/// One build of the core with its glue.
fn core(cx: &Context, features: &str, folder: &Path) -> Result<(), Stop> {
    let bindgen = cx.needs_wasm_bindgen()?;
    let mut cargo = cx.cargo(&["build", "--package", "kadlet-wasm", "--locked"]);
    cargo.args(["--profile", "wasm", "--target", WASM32, "--features", features]);
    run(cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", RUSTFLAGS))?;
    let module = cx.target.join(WASM32).join("wasm/kadlet_wasm.wasm");
    run(cx.command(bindgen).arg(module).arg(folder))
}

/// `cargo xtask dist`: the package in `target/dist`, beside the wheel.
pub(crate) fn dist(cx: &Context) -> Result<(), Stop> {
    build(cx)?;
    let out = cx.target.join("dist");
    fs::create_dir_all(&out).map_err(|why| Stop::Failed(format!("{}: {why}", out.display())))?;
    let pack = ["pack", "--loglevel=error", "--pack-destination"];
    run(cx.command("npm").args(pack).arg(&out).current_dir(cx.root.join("bindings-wasm")))?;
    let package = out.join(concat!("kadlet-", env!("CARGO_PKG_VERSION"), ".tgz"));
    try_package(cx, &package)
}

/// Installs the package where there is nothing else, on a path without Rust, and runs README.md's
/// lines there.
fn try_package(cx: &Context, package: &Path) -> Result<(), Stop> {
    let empty = emptied(cx, "npm")?;
    let manifest = "{ \"private\": true, \"type\": \"module\" }\n";
    fs::write(empty.join("package.json"), manifest).map_err(|why| Stop::Failed(why.to_string()))?;
    let install = ["install", "--offline", "--no-audit", "--no-fund", "--loglevel=error"];
    run(cx.command("npm").args(install).arg(package).current_dir(&empty))?;
    let node = on_path("node").ok_or_else(|| Stop::Failed("node is on no path".into()))?;
    readme::blocks_of(cx, "js", || {
        let mut command = cx.command(&node);
        command.args(["--input-type=module", "--eval"]).env("PATH", "").current_dir(&empty);
        command
    })
}

/// Where the system finds a program.
fn on_path(program: &str) -> Option<PathBuf> {
    let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(&name)).find(|file| file.is_file())
}
