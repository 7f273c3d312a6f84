//! Mainline, spoken with programs that nobody here wrote: libtorrent from PyPI, bittorrent-dht from
//! npm. Both sides wait for each other's timeouts, so the two run at the same time.

use std::fs;
use std::path::PathBuf;

use crate::browser::needs_chromium;
use crate::context::{Context, run};
use crate::runner::Stop;
use crate::steps::program;
use crate::{javascript, python};

/// Where the tests lie.
const TESTS: &str = "apps/kadlet/tests/mainline";

const PYTEST: [&str; 5] = ["-m", "pytest", "--quiet", "-p", "no:cacheprovider"];

/// The other program from npm, at a version: 20 packages, 2 MB.
const NPM: &str = "bittorrent-dht@11.0.12";

/// `cargo xtask mainline`.
pub(crate) fn tests(cx: &Context) -> Result<(), Stop> {
    cx.needs_node()?;
    // The Python package itself is one of the nodes.
    let python = python::installed(cx)?;
    let (program, npm) = (program(cx)?, needs_npm(cx)?);
    let tests = cx.root.join(TESTS);
    let mut javascript = cx.command("node");
    let other = tests.join("bittorrent_dht.test.mjs");
    javascript.arg("--test").arg(other).env("KADLET_PROGRAM", &program).env("KADLET_NPM", npm);
    let started = javascript.spawn();
    let mut javascript =
        started.map_err(|why| Stop::Failed(format!("node did not start: {why}")))?;
    let others = ["test_libtorrent.py", "test_addresses.py"].map(|name| tests.join(name));
    let libtorrent =
        run(cx.command(python).args(PYTEST).args(others).env("KADLET_PROGRAM", program));
    let status = javascript.wait().map_err(|why| Stop::Failed(why.to_string()))?;
    libtorrent?;
    if status.success() {
        return Ok(());
    }
    Err(Stop::Failed(format!("the tests with bittorrent-dht ended with {status}")))
}

/// `cargo xtask mainline`, its second part: a node in a page.
pub(crate) fn page(cx: &Context) -> Result<(), Stop> {
    let chromium = needs_chromium(cx)?;
    let python = python::installed(cx)?;
    javascript::build(cx)?;
    let mut tests = cx.command(python);
    tests.args(PYTEST).arg(cx.root.join(TESTS).join("test_browser.py"));
    tests.env("KADLET_PROGRAM", program(cx)?).env("KADLET_CHROMIUM", chromium);
    run(tests.env("KADLET_JS", cx.root.join("bindings-wasm")))
}

/// A folder under `target/` with the other program in it.
fn needs_npm(cx: &Context) -> Result<PathBuf, Stop> {
    let folder = cx.target.join("mainline-npm");
    // What is installed already is not fetched again, so that a second run works offline.
    let have = folder.join("installed.txt");
    if fs::read_to_string(&have).is_ok_and(|installed| installed == NPM) {
        return Ok(folder);
    }
    println!("fetching {NPM} from npm (2 MB, 3 s)");
    fs::create_dir_all(&folder).map_err(|why| Stop::Failed(why.to_string()))?;
    let install = ["install", "--no-save", "--no-audit", "--no-fund", "--silent", "--prefix"];
    run(cx.command("npm").args(install).arg(&folder).arg(NPM)).map_err(|_| Stop::Missing {
        what: "npm packages cannot be fetched".into(),
        install: format!("npm {} {} {NPM}", install.join(" "), folder.display()),
    })?;
    fs::write(&have, NPM).map_err(|why| Stop::Failed(why.to_string()))?;
    Ok(folder)
}
