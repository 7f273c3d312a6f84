//! The steps, in the order in which `cargo xtask test` runs them: quick ones first.
//!
//! A step is an entry in [`all`] and a function. The function asks [`Context`] for what it needs
//! (a missing tool ends it as skipped) and runs commands (a failing one ends it as failed).

use std::path::PathBuf;

use crate::browser;
use crate::context::{Context, run};
use crate::javascript;
use crate::mainline;
use crate::mutations;
use crate::python;
use crate::readme;
use crate::runner::{Step, Stop};

/// The program that runs a simulated network and compares its trace hash.
const TRACE: &str = "apps/sim/src/bin/trace.rs";

/// Features that are off unless asked for.
const OFF: &str = "kadlet/webrtc";

/// `cargo test` of everything, with those features: one build for the tests and for the program that
/// other steps run. Without them everything passes clippy too.
const TEST: [&str; 5] = ["test", "--workspace", "--locked", "--features", OFF];

/// Every step there is.
pub(crate) fn all() -> Vec<Step> {
    let mut steps = vec![
        step("fmt", "formatted", fmt),
        step("clippy", "no lint in any crate, test or example", clippy),
        step("docs", "rustdoc without a warning", docs),
        step("deny", "licences, banned crates, sources", deny),
        step("rust", "cargo test of the whole workspace", rust),
        step("embedded", "the core builds for thumbv7em-none-eabi", thumbv7em),
        step("wasm", "the core builds for wasm32-unknown-unknown", wasm32),
    ];
    let here = Context::new();
    // Parts that join the house one after the other.
    for (sign, later) in [
        (TRACE, step("trace", "the same run on wasm32 under Node.js, bit for bit", trace_wasm)),
        (TRACE, step("miri", "the same run on a big-endian machine, bit for bit", trace_miri)),
        (
            "core/tests/second",
            step("protocol", "docs/protocol.md, golden files and nodes agree", protocol),
        ),
        (
            "bindings-python/pyproject.toml",
            step("python", "the Python package's tests", python::tests),
        ),
        (
            "apps/kadlet/tests/mainline",
            step("mainline", "one network with libtorrent and bittorrent-dht", mainline::tests),
        ),
        (
            "bindings-wasm/Cargo.toml",
            step("wasm", "the JavaScript package's tests", javascript::tests),
        ),
        ("bindings-wasm/web", step("browser", "the page in a real Chromium", browser::tests)),
        (
            "apps/kadlet/tests/mainline",
            step("mainline", "a node in Chromium in one network with libtorrent", mainline::page),
        ),
    ] {
        if here.root.join(sign).exists() {
            steps.push(later);
        }
    }
    steps.push(step("relay", "the relay behind nginx, as docs/relay.md says", relay));
    steps.push(step("readme", "every block of README.md runs", readme::blocks));
    let fuzz = step("fuzz", "libFuzzer on one target or all of them", fuzz);
    steps.push(Step { in_test: false, ..fuzz });
    let web = step("web", "the page, in bindings-wasm/dist/web", browser::build);
    steps.push(Step { in_test: false, ..web });
    let dist = step("dist", "wheel and sdist of the Python package in target/dist", python::dist);
    steps.push(Step { in_test: false, ..dist });
    let npm = step("dist", "the npm package in target/dist", javascript::dist);
    steps.push(Step { in_test: false, ..npm });
    let rules =
        step("mutations", "each rule's test notices the change that breaks it", mutations::all);
    steps.push(Step { in_test: false, ..rules });
    steps.push(Step { in_test: false, ..step("bench", "cargo bench of the workspace", bench) });
    steps
}

/// A step of `cargo xtask test`.
fn step(kind: &'static str, name: &'static str, run: fn(&Context) -> Result<(), Stop>) -> Step {
    Step { kind, name, in_test: true, run }
}

fn fmt(cx: &Context) -> Result<(), Stop> {
    run(&mut cx.cargo(&["fmt", "--all", "--check"]))
}

fn clippy(cx: &Context) -> Result<(), Stop> {
    // What a feature adds has lints of its own, and so has what is left without it.
    for features in ["", OFF] {
        let what = ["clippy", "--workspace", "--all-targets", "--locked", "--features", features];
        run(cx.cargo(&what).args(["--", "-D", "warnings"]))?;
    }
    Ok(())
}

fn docs(cx: &Context) -> Result<(), Stop> {
    let doc = ["doc", "--workspace", "--no-deps", "--locked", "--features", OFF];
    run(cx.cargo(&doc).env("RUSTDOCFLAGS", "-D warnings"))
}

fn deny(cx: &Context) -> Result<(), Stop> {
    let program = cx.needs_deny()?;
    run(cx.command(program).args(["check", "licenses", "bans", "sources"]))?;
    println!("not checked: advisories; where github.com is reachable: cargo deny check advisories");
    Ok(())
}

fn rust(cx: &Context) -> Result<(), Stop> {
    run(&mut cx.cargo(&TEST))
}

fn thumbv7em(cx: &Context) -> Result<(), Stop> {
    core_for(cx, "thumbv7em-none-eabi")
}

fn wasm32(cx: &Context) -> Result<(), Stop> {
    core_for(cx, "wasm32-unknown-unknown")
}

fn core_for(cx: &Context, target: &str) -> Result<(), Stop> {
    cx.needs_target(target)?;
    run(&mut cx.cargo(&["build", "--package", "kadlet-core", "--locked", "--target", target]))
}

/// `main` of the program is what WebAssembly exports: it gives 0, or the first interval of the run
/// whose hash is not the recorded one.
const CALL_MAIN: &str = "
const module = new WebAssembly.Module(require('node:fs').readFileSync(process.argv[1]));
const differs = new WebAssembly.Instance(module).exports.main(0, 0);
if (differs) console.log(`the traces differ from interval ${differs} on`);
process.exit(differs);
";

fn trace_wasm(cx: &Context) -> Result<(), Stop> {
    cx.needs_node()?;
    cx.needs_target("wasm32-unknown-unknown")?;
    let target = ["--target", "wasm32-unknown-unknown"];
    // Without the command line: signals and terminals are not to be had there.
    let program = ["--package", "kadlet-sim", "--bin", "trace", "--no-default-features"];
    run(cx.cargo(&["build", "--locked"]).args(program).args(target))?;
    let wasm = cx.target.join("wasm32-unknown-unknown/debug/trace.wasm");
    run(cx.command("node").args(["-e", CALL_MAIN]).arg(wasm))
}

fn trace_miri(cx: &Context) -> Result<(), Stop> {
    cx.needs_miri()?;
    let target = ["--target", "s390x-unknown-linux-gnu"];
    // Without the command line: signals and terminals are not to be had there.
    let program = ["--package", "kadlet-sim", "--bin", "trace", "--no-default-features"];
    let small = ["--", "small"];
    run(cx.nightly_cargo(&["miri", "run", "--locked"]).args(program).args(target).args(small))
}

fn protocol(cx: &Context) -> Result<(), Stop> {
    cx.needs_python()?;
    let program = program(cx)?;
    run(cx.command("python3").args(["-B", "core/tests/second", "--node"]).arg(program))
}

/// The program, as the tests build it, who have built it already: a build of its own would be of
/// everything.
pub(crate) fn program(cx: &Context) -> Result<PathBuf, Stop> {
    run(cx.cargo(&TEST).arg("--no-run"))?;
    Ok(cx.target.join("debug").join(format!("kadlet{}", std::env::consts::EXE_SUFFIX)))
}

fn relay(cx: &Context) -> Result<(), Stop> {
    let nginx = cx.needs_nginx()?;
    // Of the whole workspace: of one package alone everything would be built anew.
    run(cx.cargo(&TEST).args(["--test", "proxy"]).env("KADLET_NGINX", nginx))
}

/// What `fuzz/libfuzzer/` has programs for.
const FUZZ_TARGETS: [&str; 3] = ["decode", "round_trip", "operations"];

/// `cargo xtask fuzz [TARGET] [SECONDS]`: all targets, a minute each, unless said otherwise. That
/// the corpus does no harm is part of `cargo test`.
fn fuzz(cx: &Context) -> Result<(), Stop> {
    let (mut targets, mut seconds) = (FUZZ_TARGETS.to_vec(), 60);
    for argument in &cx.arguments {
        match FUZZ_TARGETS.iter().find(|target| *target == argument) {
            Some(target) => targets = vec![*target],
            None => {
                let number = argument.parse();
                let what = format!("no fuzz target and no number of seconds: {argument}");
                seconds = number.map_err(|_| Stop::Failed(what))?;
            }
        }
    }
    cx.needs_fuzz()?;
    for target in targets {
        // New inputs go here; what of them is worth keeping is merged later (fuzz/README.md).
        let found = cx.target.join("fuzz").join(target);
        std::fs::create_dir_all(&found).map_err(|why| Stop::Failed(why.to_string()))?;
        let ours = format!("fuzz/corpus/{target}");
        let cargo = ["fuzz", "run", "--fuzz-dir", "fuzz/libfuzzer", "--sanitizer", "none", target];
        let time = format!("-max_total_time={seconds}");
        run(cx.cargo(&cargo).arg(found).args([&ours, "--", &time]))?;
    }
    Ok(())
}

fn bench(cx: &Context) -> Result<(), Stop> {
    run(&mut cx.cargo(&["bench", "--workspace", "--locked"]))
}
