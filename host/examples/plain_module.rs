//! The decoder's core module without SIMD, for runtimes that have none: `plain_module FILE`.
//!
//! `RUSTC`, `CARGO` and `HOST` say which compiler there is, as they do for build scripts.

use std::path::{Path, PathBuf};

#[path = "../build/wasm.rs"]
#[expect(dead_code, reason = "build scripts use the rest")]
mod wasm;

fn main() -> Result<(), String> {
    let file = std::env::args()
        .nth(1)
        .ok_or("a file to write is expected")?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().map_err(|error| error.to_string())?;
    let target: PathBuf = root.join("target/component-plain");
    let package = "pgoutput-decoder-component";
    let folder = wasm::compile(&root, &root, &[package], &target, "-simd128")?;
    let module = folder.join("pgoutput_decoder_component.wasm");
    std::fs::copy(module, &file).map_err(|error| format!("{file}: {error}"))?;
    Ok(())
}
