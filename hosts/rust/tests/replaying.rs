//! Recordings: good ones, damaged ones, and a folder of them.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use std::collections::BTreeMap;
use std::env;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use pgoutput_decoder_example::{
    Blocks, Content, Decoder, Error, JsonLines, Program, Record, RecordingError, Replay, Step,
    Stream, decoding::DecodeErrorKind,
};
use serde_json::Value;

static PROGRAM: LazyLock<Program> = LazyLock::new(|| {
    let wasm = env::var("PGOUTPUT_DECODER_WASM");
    let wasm = wasm.unwrap_or_else(|_| format!("{ROOT}/../../target/wasm/decoder.wasm"));
    Program::load(wasm.as_ref()).unwrap()
});

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const ENUM: &[u8] = include_bytes!("recordings/enum.pgrec");
/// Protocol 4, with subtransactions, some of them aborted.
const STREAMED: &[u8] = include_bytes!("recordings/streamed.pgrec");

#[test]
fn recordings_are_decoded_as_by_every_other_host() {
    assert_eq!(compare(&Path::new(ROOT).join("tests/recordings")), 2);
    if let Some(folder) = env::var_os("PGOUTPUT_DECODER_RECORDINGS") {
        let equal = compare(folder.as_ref());
        eprintln!("{equal} recordings are equal");
    }
}

#[test]
fn a_streamed_transaction_is_stashed_and_replayed() {
    let blocks = Blocks::new(STREAMED).unwrap().map(Result::unwrap);
    let mut stream = None;
    let (mut events, mut facts) = (0, BTreeMap::new());
    for block in blocks {
        match block.content {
            Content::Head(head) => {
                let options: Vec<_> = head.options().collect();
                stream = Some(Stream::new(Decoder::open(&PROGRAM, &options).unwrap()));
            }
            Content::Facts(relation, answer) => {
                facts.insert(relation, answer);
            }
            Content::Frames(frames) => {
                // One frame a call: the division of the frames makes no difference.
                let stream = stream.as_mut().unwrap();
                for frame in split(&frames) {
                    let mut frame = frame;
                    while let Some(step) = stream.advance(&mut frame, block.received_us).unwrap() {
                        match step {
                            Step::Records => {
                                let records = stream.records().map(Result::unwrap);
                                events += records.filter(is_event).count();
                            }
                            Step::Unknown(question) => {
                                stream.learn(&facts[&question.relation]).unwrap();
                            }
                        }
                    }
                    assert!(frame.is_empty());
                }
            }
            Content::End | Content::Other(_) => {}
        }
    }
    let lines = String::from_utf8(replay(STREAMED).0).unwrap();
    assert_eq!(events, lines.lines().count());
    assert_eq!(events, 664);
}

#[test]
fn what_is_sound_is_decoded_wherever_the_file_ends() {
    let (whole, error) = replay(ENUM);
    assert!(error.is_none(), "{error:?}");
    for length in 0..ENUM.len() {
        let (lines, error) = replay(&ENUM[..length]);
        assert!(whole.starts_with(&lines), "{length} bytes");
        match error {
            Some(Error::Recording(RecordingError::Foreign)) => assert!(length < 12),
            Some(Error::Recording(
                RecordingError::Block { number, offset, .. }
                | RecordingError::Unended { number, offset },
            )) => assert!(number < 100 && usize::try_from(offset).unwrap() <= length),
            other => panic!("{length} bytes: {other:?}"),
        }
    }
}

#[test]
fn no_flipped_byte_gives_other_events_silently() {
    let (whole, _) = replay(ENUM);
    for at in 0..ENUM.len() {
        let mut damaged = ENUM.to_vec();
        damaged[at] ^= 0xFF;
        let (lines, error) = replay(&damaged);
        assert!(whole.starts_with(&lines), "byte {at}");
        // The two zeros behind the version are not looked at.
        assert!(error.is_some() || matches!(at, 10 | 11), "byte {at}");
    }
}

#[test]
fn foreign_files_and_later_versions_are_refused() {
    let text = |bytes: &[u8]| replay(bytes).1.unwrap().to_string();
    assert_eq!(text(b"{\"lsn\": 1}"), "not a recording");
    let mut later = ENUM.to_vec();
    later[8] = 2;
    assert_eq!(
        text(&later),
        "format 2 of recordings, and this is a reader of format 1"
    );
    let end = ENUM.len() - 24;
    let unended = text(&ENUM[..end]);
    assert!(
        unended.ends_with(&format!("at byte {end}, without its end")),
        "{unended}"
    );
    let cut = text(&ENUM[..=end]);
    assert!(
        cut.ends_with(&format!("at byte {end}: the file ends inside it")),
        "{cut}"
    );
}

#[test]
fn the_command_goes_on_behind_a_damaged_file() {
    let cut = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cut.pgrec");
    std::fs::write(&cut, &ENUM[..ENUM.len() - 24]).unwrap();
    let whole = Path::new(ROOT).join("tests/recordings/enum.pgrec");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgoutput-decode"));
        let output = command.args(arguments).arg(&cut).arg(&whole).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).unwrap()
    };
    let digests = run(&["--digest"]);
    let digests: Vec<Value> = digests
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        digests[0]["sha256"], digests[1]["sha256"],
        "only the end is missing"
    );
    assert!(digests[0].get("error").is_some() && digests[1].get("error").is_none());
    let lines = replay(ENUM).0;
    assert_eq!(run(&[]).into_bytes(), [lines.clone(), lines].concat());
}

#[test]
fn a_stream_that_is_connected_again_gives_no_event_twice() {
    let twice = [ENUM, &ENUM[12..]].concat();
    let (lines, error) = replay(&twice);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(lines, replay(ENUM).0);
}

#[test]
fn a_frame_that_cannot_be_decoded_is_reported_and_can_be_skipped() {
    let mut stream = Stream::new(Decoder::open(&PROGRAM, &[]).unwrap());
    let frame = |message: &[u8]| {
        let length = u32::try_from(29 + message.len()).unwrap();
        [b"d", &length.to_be_bytes()[..], b"w", &[0; 24], message].concat()
    };
    let bad = frame(b"?");
    let begin = frame(&[b"B", &[1; 20][..]].concat());
    let frames = [bad, begin].concat();
    let mut rest = frames.as_slice();
    for _ in 0..2 {
        match stream.advance(&mut rest, 0).unwrap_err() {
            Error::Decode(error) => assert_eq!(error.kind, DecodeErrorKind::Unsupported),
            other => panic!("{other:?}"),
        }
        assert_eq!(rest.len(), frames.len());
    }
    stream.skip(&mut rest).unwrap();
    while stream.advance(&mut rest, 0).unwrap().is_some() {}
    assert!(rest.is_empty());
}

#[test]
fn options_are_checked_and_a_decoder_is_saved_and_restored() {
    let option = |name: &str, value: &str| [(name.to_owned(), value.to_owned())];
    let refused = Decoder::open(&PROGRAM, &option("decimal.handling.mode", "?"))
        .err()
        .unwrap();
    assert!(
        refused.to_string().starts_with("decimal.handling.mode: "),
        "{refused}"
    );
    let mut decoder = Decoder::open(&PROGRAM, &option("slot.name", "s")).unwrap();
    assert_eq!(decoder.ignored_options().unwrap(), ["slot.name"]);
    let saved = decoder.save().unwrap();
    decoder.restore(&saved).unwrap();
    assert!(matches!(decoder.restore(b"?"), Err(Error::Restore(_))));
    assert!(
        Program::load(Path::new(ROOT))
            .err()
            .unwrap()
            .source()
            .is_some()
    );
}

/// The lines that come of a recording, and why there are no more.
fn replay(recording: &[u8]) -> (Vec<u8>, Option<Error>) {
    let (mut lines, mut json_lines) = (Vec::new(), JsonLines::default());
    let mut decode = || {
        let mut replay = Replay::new(&PROGRAM, recording, Vec::new())?;
        while replay.advance()? {
            for event in replay.events() {
                json_lines.write(&mut lines, &event?);
            }
        }
        Ok(())
    };
    let error = decode().err();
    (lines, error)
}

/// Compares what the command says of a folder's recordings with its `expected.json`.
fn compare(folder: &Path) -> usize {
    let expected = std::fs::read(folder.join("expected.json")).unwrap();
    let expected: BTreeMap<String, Value> = serde_json::from_slice(&expected).unwrap();
    let files: Vec<PathBuf> = expected
        .keys()
        .map(|name| folder.join(format!("{name}.pgrec")))
        .collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgoutput-decode"));
    let output = command.arg("--digest").args(files).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        lines.lines().count(),
        expected.len(),
        "{output:?}",
        output = output.stderr
    );
    for (line, (name, expected)) in lines.lines().zip(&expected) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["file"], format!("{name}.pgrec"));
        assert_eq!(
            (&line["events"], &line["sha256"]),
            (&expected["events"], &expected["sha256"]),
            "{name}: {line}"
        );
        assert_eq!(
            line.get("error").is_some(),
            expected["code"] != 0,
            "{name}: {line}"
        );
    }
    expected.len()
}

fn is_event(record: &Record<'_>) -> bool {
    matches!(record, Record::Event(_))
}

/// Frames apart.
fn split(mut frames: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_be_bytes(*frames.get(1..)?.first_chunk()?);
        let (frame, rest) = frames.split_at(1 + usize::try_from(length).unwrap());
        frames = rest;
        Some(frame)
    })
}
