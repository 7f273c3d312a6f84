//! `kadlet-wasm-bindgen IN.wasm OUT-DIR`: writes the module and its JavaScript and TypeScript glue.
//!
//! The same as the program `wasm-bindgen --target web`, but pinned by a lock file of ours.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, out] = arguments.as_slice() else {
        eprintln!("usage: kadlet-wasm-bindgen IN.wasm OUT-DIR");
        return ExitCode::from(2);
    };
    let module = match std::fs::read(input) {
        Ok(module) => without_references(module),
        Err(why) => {
            eprintln!("error: {input}: {why}");
            return ExitCode::FAILURE;
        }
    };
    let made = Bindgen::new()
        .input_bytes("kadlet", module)
        .out_name("kadlet")
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .web(true)
        .and_then(|bindgen| bindgen.generate(out));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why:#}");
            ExitCode::FAILURE
        }
    }
}

/// The standard library comes built for references, and the module says so, although nothing in it
/// that crosses is one (`tools/xtask/src/javascript.rs` says why): `+` and the feature's name, of 15
/// bytes.
fn without_references(mut module: Vec<u8>) -> Vec<u8> {
    const KNOWN: &[u8] = b"+\x0freference-types";
    if let Some(at) = module.windows(KNOWN.len()).position(|it| it == KNOWN) {
        module[at] = b'-';
    }
    module
}
