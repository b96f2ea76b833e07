//! Compiled components, kept on disk: compiling the decoder takes most of a second of CPU, loading
//! its image a few milliseconds.
//!
//! An image is machine code that is run as it is. It is read from a folder of the user's own alone,
//! under the hash of what it was made of and for, and only if it is whole. Where there is no such
//! folder, or its disk is full, components are compiled each time, and nobody is bothered.

use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::RngExt;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::capture::hex;

const CHECKSUM_BYTES: usize = 32;
/// Images of versions that are no longer in use go this long after they were made. One that is
/// in use is made again.
const KEPT: Duration = Duration::from_hours(90 * 24);

/// The component, from its image where there is one.
pub(crate) fn component(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Component> {
    match cache().and_then(Folder::open) {
        Some(folder) => folder.component(engine, wasm),
        None => Component::from_binary(engine, wasm),
    }
}

/// Where the user's programs keep what can be made again.
fn cache() -> Option<PathBuf> {
    let caches = match std::env::var_os("XDG_CACHE_HOME") {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ if cfg!(target_os = "macos") => std::env::home_dir()?.join("Library/Caches"),
        _ => std::env::home_dir()?.join(".cache"),
    };
    caches
        .is_absolute()
        .then(|| caches.join("pgoutput-decoder"))
}

/// A folder that its owner alone, who is this process's user, can read or write.
struct Folder(PathBuf);

impl Folder {
    fn open(path: PathBuf) -> Option<Self> {
        // Whatever goes wrong here is seen by what follows.
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        let facts = fs::symlink_metadata(&path).ok()?;
        let ours = facts.is_dir()
            && facts.uid() == rustix::process::geteuid().as_raw()
            && facts.mode() & 0o777 == 0o700;
        ours.then_some(Self(path))
    }

    fn component(&self, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Component> {
        let path = self.0.join(name(engine, wasm));
        if let Some(component) = load(engine, &path) {
            return Ok(component);
        }
        let component = Component::from_binary(engine, wasm)?;
        // Nothing is lost but time if it cannot be kept.
        let _ = self.store(&path, &component.serialize()?);
        Ok(component)
    }

    /// Writes the image under a name of its own first: others see all of it or nothing.
    fn store(&self, path: &Path, image: &[u8]) -> io::Result<()> {
        let random: u64 = rand::rng().random();
        let partial = path.with_extension(format!("{random:016x}"));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&partial)?;
        let written = file
            .write_all(&Sha256::digest(image))
            .and_then(|()| file.write_all(image))
            .and_then(|()| fs::rename(&partial, path));
        if written.is_err() {
            let _ = fs::remove_file(&partial);
            return written;
        }
        let now = file.metadata()?.modified()?;
        for entry in fs::read_dir(&self.0)?.flatten() {
            let age = now.duration_since(entry.metadata()?.modified()?);
            if age.is_ok_and(|age| age > KEPT) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

#[expect(
    unsafe_code,
    reason = "loading machine code is what an image is for; see the module for whose it may be"
)]
fn load(engine: &Engine, path: &Path) -> Option<Component> {
    let bytes = fs::read(path).ok()?;
    let (checksum, image) = bytes.split_at_checked(CHECKSUM_BYTES)?;
    if *checksum != *Sha256::digest(image) {
        return None;
    }
    // SAFETY: these are the bytes of `Component::serialize`, which this program wrote: nobody
    // else may write to the folder, and the checksum says they are whole. wasmtime itself
    // checks that they were made for this engine.
    unsafe { Component::deserialize(engine, image) }.ok()
}

/// Names what the image depends on: the component, and of the engine wasmtime's version, its
/// settings and the processor's features.
fn name(engine: &Engine, wasm: &[u8]) -> String {
    let mut compatible = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut compatible);
    let mut name = Sha256::new();
    name.update(compatible.finish().to_le_bytes());
    name.update(wasm);
    hex(&name.finalize()) + ".image"
}

#[cfg(test)]
mod tests;
