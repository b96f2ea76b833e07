//! Compiles crates to WebAssembly, for build scripts: with a toolchain that has the target's
//! standard library or can build it from source.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TARGET: &str = "wasm32-unknown-unknown";

/// What every runtime of components has; of others, not all.
pub(crate) const FEATURES: &str = "+simd128";
const NO_TOOLCHAIN: &str = "no Rust toolchain found here can build the decoder component for \
    wasm32-unknown-unknown. With rustup: `rustup target add wasm32-unknown-unknown`. On Debian: \
    `apt install rustc-web cargo-web rust-web-src rust-web-llvm lld-19`. Or let \
    PGOUTPUT_DECODER_COMPONENT name a component already built";

/// A folder for all that is compiled to WebAssembly. It lies beside the outer profiles'
/// directories, target/{debug,release}/build/<package>/out, so that profiles and feature sets share
/// one build. A cargo with a lock of its own cannot wait for the outer one, which waits for this
/// program.
pub(crate) fn shared_target(out: &Path) -> PathBuf {
    out.ancestors().nth(4).unwrap_or(out).join("component")
}

/// Compiles packages of the workspace in `folder`, and returns where their modules are. `root` is
/// the repository; `features` are those of WebAssembly, as `+simd128`.
#[expect(
    clippy::print_stderr,
    reason = "cargo shows what a build script writes there"
)]
pub(crate) fn compile(
    root: &Path,
    folder: &Path,
    packages: &[&str],
    target: &Path,
    features: &str,
) -> Result<PathBuf, String> {
    let toolchain = Toolchain::find().ok_or(NO_TOOLCHAIN)?;
    let mut cargo = Command::new(&toolchain.cargo);
    for (name, _) in env::vars_os() {
        if !inherited(&name) {
            cargo.env_remove(name);
        }
    }
    cargo
        .args(["build", "--locked", "--quiet", "--profile", "component"])
        .args(["--target", TARGET])
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .arg("--manifest-path")
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .current_dir(root)
        .env("RUSTC", &toolchain.rustc)
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            toolchain.flags(root, target, features),
        );
    if toolchain.from_source {
        cargo
            .args(["-Z", "build-std=std,panic_abort"])
            .env("RUSTC_BOOTSTRAP", "1");
    }
    let output = cargo
        .output()
        .map_err(|error| format!("{}: {error}", toolchain.cargo.display()))?;
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(format!(
            "building {} with {} failed ({}); its messages are below",
            packages.join(", "),
            toolchain.rustc.display(),
            output.status
        ));
    }
    Ok(target.join(TARGET).join("component"))
}

/// A compiler that can make WebAssembly, and its cargo.
struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    sysroot: PathBuf,
    /// Whether the standard library has to be built: only its source is installed.
    from_source: bool,
    /// Where the compiler brings no linker of its own.
    linker: Option<PathBuf>,
}

impl Toolchain {
    /// The one building the host where it can, else the distribution's: Debian's compiler and
    /// rustup's live side by side. A compiled standard library is preferred to its source.
    fn find() -> Option<Self> {
        let outer = PathBuf::from(env::var_os("RUSTC")?);
        let compilers = [outer.clone(), PathBuf::from("/usr/bin/rustc")];
        let sysroots: Vec<_> = compilers
            .iter()
            .filter_map(|rustc| Some((rustc, sysroot(rustc)?)))
            .collect();
        let has_library = |sysroot: &Path| {
            fs::read_dir(sysroot.join("lib/rustlib").join(TARGET).join("lib"))
                .into_iter()
                .flatten()
                .flatten()
                .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
        };
        let has_source = |sysroot: &Path| {
            sysroot
                .join("lib/rustlib/src/rust/library/Cargo.lock")
                .is_file()
        };
        let compiled = sysroots.iter().find(|(_, sysroot)| has_library(sysroot));
        let from_source = compiled.is_none();
        let (rustc, sysroot) =
            compiled.or_else(|| sysroots.iter().find(|(_, sysroot)| has_source(sysroot)))?;
        let cargo = if **rustc == outer {
            PathBuf::from(env::var_os("CARGO")?)
        } else {
            rustc.with_file_name("cargo")
        };
        let mut lld = sysroots
            .iter()
            .map(|(_, sysroot)| sysroot)
            .filter_map(|at| rust_lld(at));
        let linker = match rust_lld(sysroot) {
            Some(_) => None,
            None => lld.next().or_else(|| (14..30).rev().find_map(wasm_ld)),
        };
        Some(Self {
            cargo,
            rustc: (*rustc).clone(),
            sysroot: sysroot.clone(),
            from_source,
            linker,
        })
    }

    /// Flags for rustc, in the form of `CARGO_ENCODED_RUSTFLAGS`.
    fn flags(&self, workspace: &Path, target: &Path, features: &str) -> OsString {
        let mut flags = vec![OsString::from(format!("-Ctarget-feature={features}"))];
        if let Some(linker) = &self.linker {
            flags.push(concat("-Clinker=", linker.as_os_str(), ""));
        }
        // Paths end up in panic messages: the bytes must not depend on where they were built.
        // Of several that fit, rustc takes the last.
        let mut remap = |from: &Path, to: &str| {
            flags.push(concat(
                "--remap-path-prefix=",
                from.as_os_str(),
                &format!("={to}"),
            ));
        };
        remap(&self.sysroot.join("lib/rustlib/src/rust"), "/rust");
        remap(workspace, "/workspace");
        remap(target, "/target");
        for registry in registries() {
            remap(&registry, "/registry");
        }
        flags.join(OsStr::new("\x1f"))
    }
}

/// Whether the cargo that builds the component gets to see this variable. What configures the
/// outer build is not for it: flags, profiles, features, wrappers, coverage.
fn inherited(name: &OsStr) -> bool {
    const PREFIXES: &[&str] = &[
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_LLVM_COV",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "DEP_",
        "RUSTC",
        "RUSTDOC",
    ];
    const NAMES: &[&str] = &[
        "CARGO_ENCODED_RUSTFLAGS",
        "CLIPPY_ARGS",
        "LLVM_PROFILE_FILE",
        "RUSTFLAGS",
        "TARGET",
    ];
    let name = name.to_string_lossy();
    !NAMES.contains(&&*name) && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    let Output { status, stdout, .. } = Command::new(rustc)
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    let path = String::from_utf8(stdout).ok()?;
    status.success().then(|| PathBuf::from(path.trim_end()))
}

/// The linker that rustup's toolchains bring along, and rustc finds by itself there.
fn rust_lld(sysroot: &Path) -> Option<PathBuf> {
    let host = env::var_os("HOST")?;
    let path = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
    path.is_file().then_some(path)
}

/// LLVM's own linker, as distributions name it.
fn wasm_ld(version: u32) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(format!("wasm-ld-{version}")))
        .find(|path| path.is_file())
}

/// Where cargo unpacks the crates of registries; the directories' names differ between mirrors.
fn registries() -> Vec<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let source = home.unwrap_or_default().join("registry/src");
    fs::read_dir(source)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

fn concat(before: &str, path: &OsStr, after: &str) -> OsString {
    let mut whole = OsString::from(before);
    whole.push(path);
    whole.push(after);
    whole
}
