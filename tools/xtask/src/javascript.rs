//! The JavaScript package: its build, its tests, and what is published of it.

use crate::context::{Context, run};
use crate::runner::Stop;
use crate::steps::program;

const WASM32: &str = "wasm32-unknown-unknown";

/// Without references to values of JavaScript: Node.js 20 aborts ("unreachable code" in its
/// deoptimizer) where it has inlined a call into wasm that gives one. SHA-512 (for signatures) in
/// its small form.
const RUSTFLAGS: &str = "-Ctarget-feature=-reference-types --cfg sha2_backend_soft=\"compact\"";

/// `cargo xtask wasm`.
pub(crate) fn tests(cx: &Context) -> Result<(), Stop> {
    build(cx)?;
    let bindings = cx.root.join("bindings-wasm");
    let node = ["--test", "--experimental-websocket", "tests/"];
    let mut tests = cx.command("node");
    tests.args(node).current_dir(&bindings).env("KADLET_PROGRAM", program(cx)?);
    run(&mut tests)?;
    run(cx.command("node").arg("tools/size.js").current_dir(&bindings))
}

/// Both builds of the core and the host around them, in `bindings-wasm/pkg` and `dist`.
fn build(cx: &Context) -> Result<(), Stop> {
    cx.needs_node()?;
    cx.needs_target(WASM32)?;
    let bindings = cx.root.join("bindings-wasm");
    cx.needs_npm(&bindings)?;
    let bindgen = cx.needs_wasm_bindgen()?;
    let module = cx.target.join(WASM32).join("wasm/kadlet_wasm.wasm");
    // What a page loads, and what has all of the core.
    for (features, folder) in [("", "pkg"), ("full", "pkg/full")] {
        let mut cargo = cx.cargo(&["build", "--package", "kadlet-wasm", "--locked"]);
        cargo.args(["--profile", "wasm", "--target", WASM32, "--features", features]);
        run(cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", RUSTFLAGS))?;
        run(cx.command(&bindgen).arg(&module).arg(bindings.join(folder)))?;
    }
    let tsc = "node_modules/typescript/bin/tsc";
    for script in [tsc, "tools/inline.js"] {
        run(cx.command("node").arg(script).current_dir(&bindings))?;
    }
    Ok(())
}
