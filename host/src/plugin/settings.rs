//! A plugin and how it is used, from a file of JSON.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::undecodable::OnUndecodable;

use super::{Plugin, PluginLimits};

/// The members of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Relative to the file that says so.
    file: String,
    config: Option<Value>,
    on_error: Option<String>,
    sha256: Option<String>,
    memory_max_bytes: Option<usize>,
    cpu_max_ms: Option<u64>,
    wall_max_ms: Option<u64>,
    fuel: Option<u64>,
    output_max_bytes: Option<usize>,
    log_lines_max: Option<u32>,
}

/// A plugin by its file; or as a file that ends in `.json` says.
pub(super) fn open(path: &Path) -> Result<Plugin, Error> {
    if path.extension().is_none_or(|extension| extension != "json") {
        return Ok(Plugin::file(path));
    }
    let refused =
        |reason: String| Error::configuration("plugin", format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|io| refused(io.to_string()))?;
    // serde's own words would quote what stands there, and the configuration may be a secret.
    let settings: Settings = serde_json::from_str(&text).map_err(|error| {
        refused(format!(
            "line {}, column {}: not as expected: {{\"file\": \"mask.wasm\", \"config\": …, \
             \"on_error\": \"stop\", \"sha256\": …, \"memory_max_bytes\": …, \"cpu_max_ms\": …, \
             \"wall_max_ms\": …, \"fuel\": …, \"output_max_bytes\": …, \"log_lines_max\": …}}",
            error.line(),
            error.column()
        ))
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut plugin = Plugin::file(folder.join(&settings.file));
    plugin = match settings.config {
        None | Some(Value::Null) => plugin,
        Some(Value::String(text)) => plugin.config(&text),
        Some(value) => plugin.config(&value.to_string()),
    };
    if let Some(policy) = settings.on_error {
        let policy = OnUndecodable::parse("on_error", &policy);
        let policy = policy.map_err(|error| refused(error.to_string()))?;
        plugin = plugin.on_error(policy);
    }
    if let Some(hash) = settings.sha256 {
        plugin = plugin.sha256(&hash);
    }
    let known = PluginLimits::default();
    let ms = |ms: Option<u64>, known| ms.map_or(known, Duration::from_millis);
    Ok(plugin.limits(PluginLimits {
        memory_max_bytes: settings.memory_max_bytes.unwrap_or(known.memory_max_bytes),
        cpu_max: ms(settings.cpu_max_ms, known.cpu_max),
        wall_max: ms(settings.wall_max_ms, known.wall_max),
        fuel: settings.fuel,
        output_max_bytes: settings.output_max_bytes.unwrap_or(known.output_max_bytes),
        log_lines_max: settings.log_lines_max.unwrap_or(known.log_lines_max),
    }))
}
