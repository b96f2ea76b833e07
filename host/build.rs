//! Builds the decoder component and leaves it at `OUT_DIR/decoder.wasm`, for `sandbox.rs` to embed.
//!
//! The component is compiled for wasm32-unknown-unknown by a cargo of its own, with a toolchain
//! that has that target's standard library or can build it from source. Where
//! `PGOUTPUT_DECODER_COMPONENT` names a component already built, it is taken as it is, and so is
//! the `decoder.wasm` that Python's source distribution has instead of the component's sources.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wasm::shared_target;

#[path = "build/wasm.rs"]
mod wasm;

const PREBUILT: &str = "PGOUTPUT_DECODER_COMPONENT";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed={PREBUILT}");
    let out = PathBuf::from(variable("OUT_DIR")?);
    let component = if let Some(prebuilt) = env::var_os(PREBUILT) {
        println!("cargo::rerun-if-changed={}", prebuilt.display());
        read(Path::new(&prebuilt))?
    } else {
        let host = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
        let workspace = host
            .parent()
            .ok_or("the host crate has no parent directory")?;
        for source in ["Cargo.lock", "Cargo.toml", "decoder-component", "wit"] {
            println!(
                "cargo::rerun-if-changed={}",
                workspace.join(source).display()
            );
        }
        let packed = workspace.join("decoder.wasm");
        if workspace.join("decoder-component/Cargo.toml").is_file() {
            encode(&read(&compile(workspace, &out)?)?)?
        } else if packed.is_file() {
            read(&packed)?
        } else {
            let workspace = workspace.display();
            return Err(format!(
                "{workspace} has no decoder-component directory: let {PREBUILT} name a component"
            ));
        }
    };
    let path = out.join("decoder.wasm");
    fs::write(&path, component).map_err(|error| format!("{}: {error}", path.display()))
}

/// The core module as a component, validated.
fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| format!("the compiled decoder is no component: {error:#}"))
}

/// Compiles the component's core module and returns its path.
fn compile(workspace: &Path, out: &Path) -> Result<PathBuf, String> {
    let target = shared_target(out);
    let folder = wasm::compile(
        workspace,
        workspace,
        &["pgoutput-decoder-component"],
        &target,
        wasm::FEATURES,
    )?;
    Ok(folder.join("pgoutput_decoder_component.wasm"))
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set: this is a build script"))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
