//! The page, and its tests in a real Chromium.

use std::path::{Path, PathBuf};

use crate::context::{Context, run};
use crate::javascript;
use crate::runner::Stop;
use crate::steps::program;

/// Where Chromium lies on the systems that have it.
const USUAL: [&str; 7] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/snap/bin/chromium",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// `cargo xtask web`: the package, and the page in `bindings-wasm/dist/web`.
pub(crate) fn build(cx: &Context) -> Result<(), Stop> {
    javascript::build(cx)?;
    let node = |arguments: &[&str]| {
        let mut command = cx.command("node");
        command.args(arguments).current_dir(cx.root.join("bindings-wasm"));
        command
    };
    run(&mut node(&["node_modules/typescript/bin/tsc", "-p", "web"]))?;
    run(&mut node(&["tools/web.js"]))
}

/// `cargo xtask browser`. Pictures of what was seen lie in `target/screenshots`.
pub(crate) fn tests(cx: &Context) -> Result<(), Stop> {
    let chromium = needs_chromium(cx)?;
    build(cx)?;
    let bindings = cx.root.join("bindings-wasm");
    let files = javascript::tests_in(&bindings.join("tests/browser"))?;
    let mut tests = cx.command("node");
    tests.args(["--test", "--test-concurrency=1"]).args(files).current_dir(bindings);
    tests.env("KADLET_CHROMIUM", chromium).env("KADLET_PROGRAM", program(cx)?);
    run(tests.env("CARGO_TARGET_DIR", &cx.target))
}

/// Chromium: what `KADLET_CHROMIUM` names, or one in the usual places.
pub(crate) fn needs_chromium(cx: &Context) -> Result<PathBuf, Stop> {
    let install = "apt-get install --no-install-recommends chromium (or set KADLET_CHROMIUM)";
    if let Some(named) = std::env::var_os("KADLET_CHROMIUM") {
        cx.needs_program(Path::new(&named), "--version", install)?;
        return Ok(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = USUAL.iter().map(Path::new);
    // An absolute name stays what it is when it is joined.
    let mut places =
        usual.flat_map(|name| std::env::split_paths(&path).map(move |dir| dir.join(name)));
    places
        .find(|place| place.is_file())
        .ok_or_else(|| Stop::Missing { what: "no Chromium".into(), install: install.into() })
}
