//! The cases of `vectors/`: what was recorded, and what an engine makes of it.

use std::path::{Path, PathBuf};

use pgoutput_decoder_host::capture::{Capture, Catalog, CatalogAt};
use pgoutput_decoder_host::engine::{Engine, EngineKind};
use pgoutput_decoder_host::recording::{Recorder, Replay};
use pgoutput_decoder_host::records::Event;
use serde_json::{Map, Value};

use crate::comparison::parse_lines;

/// The folder with one folder a case.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// One workload, what Debezium made of it, and the streams recorded of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name of its folder.
    pub name: String,
    folder: PathBuf,
    /// What a user's file for Debezium would hold.
    options: Vec<(String, String)>,
    at: CatalogAt,
    /// Files of the streams, by name.
    pub captures: Vec<String>,
    /// Whether Debezium's events are known with their schemas, too.
    pub has_schemas: bool,
}

/// A case's files, read.
pub struct Recorded {
    /// Debezium's events; with schemas a sample, whose members `event` say which they are.
    pub events: Vec<Value>,
    catalog: Catalog,
}

/// All cases by name.
pub fn cases() -> Result<Vec<Case>, String> {
    let folder = folder();
    let entries = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut folders: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort_unstable();
    folders.into_iter().map(Case::open).collect()
}

impl Case {
    fn open(folder: PathBuf) -> Result<Self, String> {
        let capture = object(&folder.join("capture.json"))?;
        let mut config = member(&capture, "debezium_config");
        config.extend(object(&folder.join("connector.json"))?);
        if let Some(database) = capture.get("database") {
            config.insert("database.dbname".to_owned(), database.clone());
        }
        Ok(Self {
            name: folder
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            options: config
                .into_iter()
                .map(|(name, value)| (name, text(&value)))
                .collect(),
            // Debezium came when the workload was over, unless it ran beside it.
            at: match capture.get("mode").and_then(Value::as_str) {
                Some("posthoc") => CatalogAt::End,
                _ => CatalogAt::Stream,
            },
            captures: member(&capture, "captures")
                .into_iter()
                .map(|(file, _)| file)
                .collect(),
            has_schemas: folder.join(SCHEMAS).exists(),
            folder,
        })
    }

    /// Reads the files that all captures share.
    pub fn read(&self, schemas: bool) -> Result<Recorded, String> {
        let path = self
            .folder
            .join(if schemas { SCHEMAS } else { "events.jsonl" });
        let events = std::fs::read_to_string(&path).map_err(|error| error.to_string());
        let events = events.and_then(|text| parse_lines(&text));
        Ok(Recorded {
            events: events.map_err(|error| format!("{}: {error}", path.display()))?,
            catalog: Catalog::open(&self.folder.join("catalog.json")).map_err(chain)?,
        })
    }

    /// Decodes a capture, with `more` options than the case's. What could be decoded before an
    /// error is lost with it.
    pub fn decode(
        &self,
        recorded: &Recorded,
        capture: &str,
        engine: EngineKind,
        more: &[(&str, &str)],
    ) -> Result<Vec<Value>, String> {
        let mut options = self.options.clone();
        let more = more.iter().copied();
        options.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let capture = Capture::open(&self.folder.join(capture)).map_err(chain)?;
        let mut replay = Replay::new(&capture, &recorded.catalog, self.at, |_| {
            Engine::open(engine, &options)
        });
        let mut events = Vec::new();
        while let Some(batch) = replay.next_batch().map_err(chain)? {
            for event in batch.events() {
                events.push(line(&event)?);
            }
        }
        Ok(events)
    }
}

impl Case {
    /// Records a capture, as a host of another kind may replay it; and what it gives.
    pub fn record(&self, capture: &str, recorder: &Recorder) -> Result<Vec<Event>, String> {
        let catalog = Catalog::open(&self.folder.join("catalog.json")).map_err(chain)?;
        let capture = Capture::open(&self.folder.join(capture)).map_err(chain)?;
        let replay = Replay::new(&capture, &catalog, self.at, |_| {
            Engine::open(EngineKind::Native, &self.options)
        });
        let mut replay = replay.recorder(recorder.clone(), &self.options);
        let mut events = Vec::new();
        while let Some(batch) = replay.next_batch().map_err(chain)? {
            events.extend(batch.events());
        }
        Ok(events)
    }
}

/// Debezium's events with their schemas.
const SCHEMAS: &str = "events.schema.jsonl";

/// An event as `events.jsonl` has it.
fn line(event: &Event) -> Result<Value, String> {
    let json = |text: Option<&str>| match text {
        None => Ok(Value::Null),
        Some(text) => serde_json::from_str(text).map_err(|e| format!("not JSON, {e}: {text}")),
    };
    Ok(Value::Object(Map::from_iter([
        ("topic".to_owned(), Value::from(event.topic().name.as_str())),
        ("key".to_owned(), json(event.key())?),
        ("value".to_owned(), json(event.value())?),
        ("headers".to_owned(), json(Some(event.headers()))?),
    ])))
}

fn object(path: &Path) -> Result<Map<String, Value>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    let value = text.and_then(|text| serde_json::from_str(&text).map_err(|e| e.to_string()));
    value.map_err(|error| format!("{}: {error}", path.display()))
}

fn member(object: &Map<String, Value>, name: &str) -> Map<String, Value> {
    object
        .get(name)
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// The error and what caused it, in one line.
fn chain(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
