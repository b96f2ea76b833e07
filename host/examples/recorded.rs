//! A recording's events, hashed or timed, as each host of the decoder does it:
//! `recorded [--native] (--digest | --bench) FILE...`.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pgoutput_decoder_host::capture::CatalogAt;
use pgoutput_decoder_host::engine::EngineKind;
use pgoutput_decoder_host::recording::Recording;
use pgoutput_decoder_host::records::Event;
use serde_json::json;
use sha2::{Digest, Sha256};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let (flags, files): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with("--"));
    let has = |name: &str| flags.iter().any(|flag| flag == name);
    let kind = if has("--native") {
        EngineKind::Native
    } else {
        EngineKind::Component
    };
    let mut code = ExitCode::SUCCESS;
    for file in &files {
        let path = Path::new(file);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let line = if has("--bench") {
            let (events, seconds) = bench(path, kind)?;
            json!({"file": name, "events": events, "seconds": seconds})
        } else {
            let mut hash = Sha256::new();
            let mut events = 0_u64;
            let result = each(path, kind, |event| {
                events += 1;
                hash.update(event_line(event));
            });
            let mut sha256 = String::new();
            for byte in hash.finalize() {
                write!(sha256, "{byte:02x}")?;
            }
            match result {
                Ok(()) => json!({"file": name, "events": events, "sha256": sha256}),
                Err(error) => {
                    code = ExitCode::FAILURE;
                    let error = error.to_string();
                    json!({"file": name, "events": events, "sha256": sha256, "error": error})
                }
            }
        };
        writeln!(io::stdout(), "{line}")?;
    }
    Ok(code)
}

fn each(path: &Path, kind: EngineKind, mut take: impl FnMut(&Event)) -> Result<(), Box<dyn Error>> {
    let recording = Recording::open(path, None, CatalogAt::Stream)?;
    let mut replay = recording.replay(kind, &[])?;
    while let Some(batch) = replay.next_batch()? {
        for event in batch.events() {
            take(&event);
        }
    }
    Ok(())
}

/// Events, and the median of the seconds that a pass takes.
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn bench(path: &Path, kind: EngineKind) -> Result<(u64, f64), Box<dyn Error>> {
    let mut passes = Vec::new();
    let mut events = 0;
    for _ in 0..=PASSES {
        let (mut count, mut bytes) = (0, 0);
        let begun = Instant::now();
        each(path, kind, |event| {
            let parts = [event.key(), event.value(), Some(event.headers())];
            bytes += parts.iter().flatten().map(|part| part.len()).sum::<usize>();
            bytes += event.topic().name.len();
            count += 1;
        })?;
        passes.push(begun.elapsed());
        std::hint::black_box(bytes);
        events = count;
    }
    // The first one warms up.
    passes.remove(0);
    passes.sort_unstable();
    let median = passes
        .get(passes.len() / 2)
        .map_or(0.0, Duration::as_secs_f64);
    Ok((events, median))
}

/// As the command writes it.
fn event_line(event: &Event) -> String {
    let topic = serde_json::Value::from(event.topic().name.as_str());
    let line = format!(
        "{{\"topic\":{topic},\"key\":{},\"value\":{},\"headers\":{}}}",
        event.key().unwrap_or("null"),
        event.value().unwrap_or("null"),
        event.headers(),
    );
    line.replace(['\n', '\r'], " ") + "\n"
}

const PASSES: usize = 7;
