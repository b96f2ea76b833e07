//! Plugins that were built for tests.

use std::path::PathBuf;

/// The file of an example in `examples/plugins`, or of a fixture in `tests/plugins`.
pub fn guest(name: &str) -> PathBuf {
    let module = name.replace('-', "_");
    PathBuf::from(env!("GUESTS")).join(format!("{module}.wasm"))
}
