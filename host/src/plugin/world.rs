//! What a file is that is said to be a plugin: looked at before anything of it runs.

use std::borrow::Cow;
use std::fmt;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::PluginError;

/// The interface that makes a component a plugin, and the newest version of it there is here. Those
/// of the same first number and not newer are understood.
const INTERFACE: &str = "pgoutput:plugin/transform@";
const VERSION: [u64; 3] = [0, 1, 0];

const WIT: &str = include_str!("../../../wit/plugin/plugin.wit");

/// What a component may import: the first is ours, the others are there and grant nothing.
const IMPORTS: [&str; 2] = ["pgoutput:plugin/log@", "wasi:"];

/// What a plugin's file says of itself before anything of it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PluginFile {
    /// Its size.
    pub bytes: usize,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// The version of `pgoutput:plugin` it was made for.
    pub interface: String,
    /// The interfaces it imports.
    pub imports: Vec<String>,
}

/// What a component imports, and the version of the interface it was made for.
pub(super) fn inspect(wasm: &[u8]) -> Result<(String, Vec<String>), PluginError> {
    let component = component(wasm)?;
    let names = Names::of(&component).map_err(|reason| PluginError::NotAPlugin { reason })?;
    let interface = names.version().unwrap_or_default().to_owned();
    Ok((interface, names.imports))
}

/// The bytes of a component. A core module is made one: where no compiler left its world in it, it
/// gets that of plugins; what it wants of WASI's first preview is made of the second's.
pub(super) fn component(wasm: &[u8]) -> Result<Cow<'_, [u8]>, PluginError> {
    let refused = |reason: String| PluginError::NotAPlugin { reason };
    let component = match wasm.first_chunk::<8>() {
        Some(b"\0asm\x0d\0\x01\0") => Cow::Borrowed(wasm),
        Some(b"\0asm\x01\0\0\0") => {
            // What makes components takes a module's word for it.
            wasmparser::validate(wasm)
                .map_err(|error| refused(format!("it is not whole: {error}")))?;
            let encoded = encode(wasm).map_err(|error| {
                refused(format!(
                    "a core module that cannot be made a component: {error}"
                ))
            })?;
            Cow::Owned(encoded)
        }
        _ => return Err(refused("it is not WebAssembly".to_owned())),
    };
    let names = Names::of(&component).map_err(refused)?;
    names.check()?;
    Ok(component)
}

fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    use wasmparser::{Parser, Payload};
    let (mut has_world, mut wants_preview1) = (false, false);
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(told)? {
            Payload::CustomSection(section) => {
                has_world |= section.name().starts_with("component-type");
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    wants_preview1 |= import.map_err(told)?.module == PREVIEW1;
                }
            }
            _ => {}
        }
    }
    let mut module = module.to_vec();
    if !has_world {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("plugin.wit", WIT).map_err(told)?;
        let world = resolve
            .select_world(&[package], Some("plugin"))
            .map_err(told)?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .map_err(told)?;
    }
    let mut encoder = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .map_err(told)?;
    if wants_preview1 {
        encoder = encoder
            .adapter(PREVIEW1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
            .map_err(told)?;
    }
    encoder.encode().map_err(told)
}

/// An error with its causes.
fn told(error: impl fmt::Display) -> String {
    format!("{error:#}")
}

/// What the component imports and exports.
#[derive(Debug, Default)]
struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Names {
    fn of(component: &[u8]) -> Result<Self, String> {
        use wasmparser::{Parser, Payload};
        let mut names = Self::default();
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload.map_err(|error| format!("it is not whole: {error}"))?;
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        let import = import.map_err(|error| error.to_string())?;
                        names.imports.push(import.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        let export = export.map_err(|error| error.to_string())?;
                        names.exports.push(export.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(names)
    }

    /// Of the interface that it exports.
    fn version(&self) -> Option<&str> {
        let exports = self.exports.iter();
        exports
            .filter_map(|name| name.strip_prefix(INTERFACE))
            .max()
    }

    fn check(&self) -> Result<(), PluginError> {
        let Some(version) = self.version() else {
            let exports = match self.exports.as_slice() {
                [] => "nothing".to_owned(),
                names => names.join(", "),
            };
            let reason = format!(
                "it exports no {INTERFACE}{}, which makes a component a plugin, but {exports}",
                text(VERSION)
            );
            return Err(PluginError::NotAPlugin { reason });
        };
        let understood = parse(version)
            .is_some_and(|found| found.first() == VERSION.first() && found <= VERSION);
        if !understood {
            return Err(PluginError::Version {
                found: version.to_owned(),
                newest: text(VERSION),
            });
        }
        let known = |name: &String| IMPORTS.iter().any(|known| name.starts_with(known));
        match self.imports.iter().find(|name| !known(name)) {
            None => Ok(()),
            Some(name) => Err(PluginError::NotAPlugin {
                reason: format!("it imports {name}: a plugin is given a log, and nothing else"),
            }),
        }
    }
}

fn parse(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

fn text([major, minor, patch]: [u64; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}
