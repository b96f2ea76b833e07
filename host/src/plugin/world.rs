//! What a file is that is said to be a plugin: looked at before anything of it runs.

use std::borrow::Cow;

use wit_component::ComponentEncoder;

use super::PluginError;

/// The interface that makes a component a plugin, and the newest version of it there is here. Those
/// of the same first number and not newer are understood.
const INTERFACE: &str = "pgoutput:plugin/transform@";
const VERSION: [u64; 3] = [0, 1, 0];

/// What a component may import: the first is ours, the others are there and grant nothing.
const IMPORTS: [&str; 2] = ["pgoutput:plugin/log@", "wasi:"];

/// The bytes of a component. A core module in which a compiler left its world, as most do, is made
/// one.
pub(super) fn component(wasm: &[u8]) -> Result<Cow<'_, [u8]>, PluginError> {
    let refused = |reason: String| PluginError::NotAPlugin { reason };
    let component = match wasm.first_chunk::<8>() {
        Some(b"\0asm\x0d\0\x01\0") => Cow::Borrowed(wasm),
        Some(b"\0asm\x01\0\0\0") => {
            // What makes components takes a module's word for it.
            wasmparser::validate(wasm)
                .map_err(|error| refused(format!("it is not whole: {error}")))?;
            let encoded = ComponentEncoder::default()
                .validate(true)
                .module(wasm)
                .and_then(|mut encoder| encoder.encode());
            Cow::Owned(encoded.map_err(|error| {
                refused(format!(
                    "a core module that cannot be made a component: {error:#}"
                ))
            })?)
        }
        _ => return Err(refused("it is not WebAssembly".to_owned())),
    };
    let names = Names::of(&component).map_err(refused)?;
    names.check()?;
    Ok(component)
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

    fn check(&self) -> Result<(), PluginError> {
        let versions = self
            .exports
            .iter()
            .filter_map(|name| name.strip_prefix(INTERFACE));
        let Some(version) = versions.max() else {
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
