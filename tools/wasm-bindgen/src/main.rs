//! `kadlet-wasm-bindgen IN.wasm OUT-DIR`: writes the module and its JavaScript and TypeScript glue.
//!
//! The same as the program `wasm-bindgen --target web`, but pinned by a lock file of ours.
#![forbid(unsafe_code)]

mod order;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use walrus::Module;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, out] = arguments.as_slice() else {
        eprintln!("usage: kadlet-wasm-bindgen IN.wasm OUT-DIR");
        return ExitCode::from(2);
    };
    let module = fs::read(input).map_err(anyhow::Error::from).and_then(without_references);
    let made = module.and_then(|module| {
        Bindgen::new()
            .input_bytes("kadlet", module)
            .out_name("kadlet")
            .typescript(true)
            .remove_name_section(true)
            .remove_producers_section(true)
            .web(true)?
            .generate(out)?;
        let module = Path::new(out).join("kadlet_bg.wasm");
        Ok(fs::write(&module, order::reordered(&fs::read(&module)?)?)?)
    });
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {input}: {why:#}");
            ExitCode::FAILURE
        }
    }
}

/// The standard library comes built for references, and so does what wasm-bindgen brings (other
/// target features than the library's would keep the compiler from optimising over the border).
/// But nothing that crosses shall be one: `tools/xtask/src/javascript.rs` says why.
fn without_references(mut module: Vec<u8>) -> Result<Vec<u8>> {
    // The module says what it uses: `+` and the feature's name, of 15 bytes.
    const KNOWN: &[u8] = b"+\x0freference-types";
    if let Some(at) = module.windows(KNOWN.len()).position(|it| it == KNOWN) {
        module[at] = b'-';
    }
    // The glue keeps values in an array that begins with 1,024 places it does not use, and with
    // four constants: where those end is asked here as if it were a table of references.
    const CONSTANTS_END: i32 = 1_024 + 4;
    let mut module = Module::from_buffer(&module)?;
    let from = ("__wbindgen_externref_xform__", "__wbindgen_externref_statics_end");
    if let Ok(asked) = module.imports.get_func(from.0, from.1) {
        module.replace_imported_func(asked, |(body, _)| {
            body.i32_const(CONSTANTS_END);
        })?;
    }
    Ok(module.emit_wasm())
}
