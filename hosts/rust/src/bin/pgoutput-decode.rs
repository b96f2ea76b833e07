//! Replays recordings: the same events as every other host of the decoder.

use std::env;
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pgoutput_decoder_example::{Event, JsonLines, Program, Replay};
use serde_json::json;
use sha2::{Digest, Sha256};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report(&chain(error.as_ref()));
            ExitCode::from(2)
        }
    }
}

/// Whether all went well.
fn run() -> Outcome<bool> {
    let mut files: Vec<String> = env::args().skip(1).collect();
    let mode = files.first().filter(|first| first.starts_with("--"));
    let mode = mode.cloned().unwrap_or_default();
    if !mode.is_empty() {
        files.remove(0);
    }
    if files.is_empty() || !["", "--digest", "--bench"].contains(&mode.as_str()) {
        report("usage: pgoutput-decode [--digest | --bench] FILE...");
        return Ok(false);
    }
    let wasm = env::var("PGOUTPUT_DECODER_WASM").unwrap_or_else(|_| DEFAULT_WASM.to_owned());
    let program = Program::load(wasm.as_ref())?;
    let mut out = io::stdout().lock();
    let mut sound = true;
    for file in &files {
        let path = Path::new(file);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match mode.as_str() {
            "--bench" => {
                let (events, seconds) = bench(&program, path)?;
                let line = json!({ "file": name, "events": events, "seconds": seconds });
                writeln!(out, "{line}")?;
            }
            "--digest" => {
                let mut digest = Sha256::new();
                let (events, decoded) = lines(&program, path, |lines| {
                    digest.update(lines);
                    Ok(())
                });
                let sha256: Vec<_> = digest
                    .finalize()
                    .iter()
                    .map(|b| format!("{b:02x}"))
                    .collect();
                let sha256 = sha256.concat();
                let mut line = json!({ "file": name, "events": events, "sha256": sha256 });
                if let (Err(error), Some(line)) = (decoded, line.as_object_mut()) {
                    line.insert("error".to_owned(), chain(error.as_ref()).into());
                    sound = false;
                }
                writeln!(out, "{line}")?;
            }
            _ => {
                let (_, decoded) = lines(&program, path, |lines| out.write_all(lines));
                if let Err(error) = decoded {
                    if is_closed(error.as_ref()) {
                        return Ok(sound);
                    }
                    report(&format!("{}: {}", path.display(), chain(error.as_ref())));
                    sound = false;
                }
            }
        }
    }
    out.flush()?;
    Ok(sound)
}

/// Passes on a recording's events as lines; how many there were before an error, too.
fn lines(
    program: &Program,
    path: &Path,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> (u64, Outcome<()>) {
    let (mut lines, mut buffer, mut events) = (JsonLines::default(), Vec::new(), 0);
    let decoded = decode(program, path, |event| {
        lines.write(&mut buffer, event);
        events += 1;
        if buffer.len() >= WRITE_BYTES {
            write(&buffer)?;
            buffer.clear();
        }
        Ok(())
    });
    let written = write(&buffer).map_err(Into::into);
    (events, decoded.and(written))
}

fn decode(
    program: &Program,
    path: &Path,
    mut each: impl FnMut(&Event<'_>) -> io::Result<()>,
) -> Outcome<()> {
    let recording = BufReader::new(File::open(path)?);
    let mut replay = Replay::new(program, recording, Vec::new())?;
    while replay.advance()? {
        for event in replay.events() {
            each(&event?)?;
        }
    }
    Ok(())
}

/// How many events there are, and the median of the seconds a pass takes.
#[expect(
    clippy::disallowed_methods,
    reason = "to measure time is what it is for"
)]
fn bench(program: &Program, path: &Path) -> Outcome<(u64, f64)> {
    let mut passes = Vec::new();
    let mut events = 0;
    let begun = Instant::now();
    // The first is for warming up.
    while passes.len() < 6 || begun.elapsed() < BENCH_TIME && passes.len() < 1000 {
        events = 0;
        let start = Instant::now();
        decode(program, path, |event| {
            events += 1;
            black_box((&event.topic.name, event.key, event.value, event.headers()));
            Ok(())
        })?;
        passes.push(start.elapsed());
    }
    passes.remove(0);
    passes.sort_unstable();
    let median = passes.get(passes.len() / 2).copied().unwrap_or_default();
    Ok((events, median.as_secs_f64()))
}

/// Whether the reader of the output has gone away, as `head` does.
fn is_closed(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// An error and its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

#[expect(clippy::print_stderr, reason = "a command's messages")]
fn report(message: &str) {
    eprintln!("pgoutput-decode: {message}");
}

const DEFAULT_WASM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../target/wasm/decoder.wasm"
);

const WRITE_BYTES: usize = 64 * 1024;

const BENCH_TIME: Duration = Duration::from_secs(2);
