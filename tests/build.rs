//! Builds the plugins that tests use, examples and hostile ones, as core modules with their world
//! in them. `pgoutput_decoder_tests::guest` finds them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[path = "../host/build/wasm.rs"]
mod wasm;

const GUESTS: &[&str] = &[
    "flatten",
    "hostile",
    "mask",
    "outbox",
    "route",
    "soft-deletes",
];

fn main() -> ExitCode {
    match run() {
        Ok(folder) => {
            println!("cargo::rustc-env=GUESTS={}", folder.display());
            ExitCode::SUCCESS
        }
        Err(message) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<PathBuf, String> {
    let variable = |name: &str| std::env::var_os(name).ok_or(format!("{name} is not set"));
    let tests = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let root = tests.parent().ok_or("the crate has no parent directory")?;
    let folder = root.join("examples/plugins");
    // Others there are in other languages, and may have much of their toolchains in their folders.
    let ours = ["Cargo.toml", "Cargo.lock"].iter().chain(GUESTS);
    let ours = ours
        .map(|name| folder.join(name))
        .filter(|path| path.exists());
    let shared = ["tests/plugins", "wit/plugin"].map(|path| root.join(path));
    for source in ours.chain(shared) {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    let target = wasm::shared_target(Path::new(&out));
    wasm::compile(root, &folder, GUESTS, &target, wasm::FEATURES)
}
