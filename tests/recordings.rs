//! Recordings: every vector gives the same events from one, and one that is damaged gives what is
//! sound and says where it is not.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use pgoutput_decoder_host::capture::CatalogAt;
use pgoutput_decoder_host::engine::{EngineKind, Facts};
use pgoutput_decoder_host::inspection::Inspector;
use pgoutput_decoder_host::recording::{
    Content, Head, Reader, Recorder, Recording, RecordingError, ReplayError, Writer,
};
use pgoutput_decoder_host::records::Event;
use pgoutput_decoder_tests::{Case, cases};
use serde_json::Value;

/// A folder of one test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("pgoutput-recordings-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn shop() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/recordings/shop.pgrec")
}

/// The events that come, and why no more do.
fn replayed(path: &Path, kind: EngineKind) -> (Vec<Event>, Result<(), ReplayError>) {
    let recording = Recording::open(path, None, CatalogAt::Stream).unwrap();
    let mut replay = recording.replay(kind, &[]).unwrap();
    let mut events = Vec::new();
    loop {
        match replay.next_batch() {
            Ok(Some(batch)) => events.extend(batch.events()),
            Ok(None) => return (events, Ok(())),
            Err(error) => return (events, Err(error)),
        }
    }
}

fn shown(events: &[Event]) -> Vec<[Option<String>; 4]> {
    let text = |text: Option<&str>| text.map(str::to_owned);
    let parts = |event: &Event| {
        [
            Some(event.topic().name.clone()),
            text(event.key()),
            text(event.value()),
            text(Some(event.headers())),
        ]
    };
    events.iter().map(parts).collect()
}

/// Each capture of each case, recorded.
fn each_recorded(folder: &Folder, mut check: impl FnMut(&Case, &str, &Path, &[Event])) -> usize {
    let mut count = 0;
    for case in cases().unwrap() {
        for capture in &case.captures {
            let path = folder.file("recording.pgrec");
            let recorder = Recorder::open(&path).unwrap();
            let events = case.record(capture, &recorder).unwrap();
            recorder.end().unwrap();
            check(&case, capture, &path, &events);
            fs::remove_file(path).unwrap();
            count += 1;
        }
    }
    count
}

#[test]
fn every_vector_gives_the_same_events_from_a_recording() {
    let folder = Folder::new("vectors");
    let count = each_recorded(&folder, |case, capture, path, events| {
        let (again, result) = replayed(path, EngineKind::Component);
        let name = format!("{}, {capture}", case.name);
        assert!(result.is_ok(), "{name}: {result:?}");
        assert!(shown(events) == shown(&again), "{name}");
    });
    assert!(count > 250, "{count} captures");
}

#[test]
fn what_is_redacted_gives_events_of_the_same_kinds() {
    let folder = Folder::new("redacted");
    let mut differ = 0;
    each_recorded(&folder, |case, capture, path, events| {
        let name = format!("{}, {capture}", case.name);
        let recording = Recording::open(path, None, CatalogAt::Stream).unwrap();
        let redacted = path.with_extension("redacted");
        let recorder = Recorder::open(&redacted).unwrap().redacting(true);
        let options = recording.options().to_vec();
        let replay = recording.replay(EngineKind::Native, &[]).unwrap();
        let mut replay = replay.recorder(recorder.clone(), &options);
        while replay.next_batch().unwrap().is_some() {}
        recorder.end().unwrap();
        let (again, result) = replayed(&redacted, EngineKind::Native);
        assert!(result.is_ok(), "{name}: {result:?}");
        let ops = |events: &[Event]| -> Vec<_> {
            let ops = events.iter();
            ops.map(|event| (event.op(), event.topic().name.clone()))
                .collect()
        };
        assert!(ops(events) == ops(&again), "{name}");
        for (event, redacted) in events.iter().zip(&again) {
            for (before, after) in [
                (event.before(), redacted.before()),
                (event.after(), redacted.after()),
            ] {
                let kinds = [before, after].map(kinds);
                assert_eq!(kinds[0], kinds[1], "{name}");
                differ += usize::from(before != after);
            }
        }
        fs::remove_file(redacted).unwrap();
    });
    assert!(differ > 10_000, "{differ} rows are other than they were");
}

/// Names of a row's members, and whether each is null.
fn kinds(row: Option<&str>) -> Option<Vec<(String, bool)>> {
    let Value::Object(row) = serde_json::from_str(row?).unwrap() else {
        return None;
    };
    let kinds = row.into_iter();
    Some(kinds.map(|(name, value)| (name, value.is_null())).collect())
}

#[test]
fn a_recording_that_is_cut_gives_what_is_whole() {
    let folder = Folder::new("cut");
    let whole = fs::read(shop()).unwrap();
    let (all, result) = replayed(&shop(), EngineKind::Native);
    result.unwrap();
    let all = shown(&all);
    let path = folder.file("cut.pgrec");
    let mut seen = Vec::new();
    // Every byte of the first blocks, and some of the rest.
    for length in (12..whole.len()).filter(|&length| length < 2000 || length % 97 == 0) {
        fs::write(&path, &whole[..length]).unwrap();
        let opened = Recording::open(&path, None, CatalogAt::Stream);
        let Ok(recording) = opened else {
            // Not even its head is whole.
            assert!(length < 700, "{length} bytes are refused");
            continue;
        };
        drop(recording);
        let (events, result) = replayed(&path, EngineKind::Native);
        let error = result.unwrap_err().to_string();
        assert!(
            error.contains("the file ends inside of it") || error.contains("without its end"),
            "{length}: {error}"
        );
        let events = shown(&events);
        assert!(events == all[..events.len()], "{length}");
        seen.push(events.len());
    }
    assert!(seen.is_sorted() && seen.len() > 500 && seen[seen.len() - 1] > all.len() / 4);
}

#[test]
fn a_recording_that_is_damaged_says_so() {
    let folder = Folder::new("damaged");
    let whole = fs::read(shop()).unwrap();
    let (all, _) = replayed(&shop(), EngineKind::Native);
    let all = shown(&all);
    let path = folder.file("damaged.pgrec");
    for at in (12..whole.len()).filter(|at| *at < 1500 || at % 53 == 0) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&path, &damaged).unwrap();
        if Recording::open(&path, None, CatalogAt::Stream).is_err() {
            assert!(at < 800, "byte {at} makes it no recording");
            continue;
        }
        let (events, result) = replayed(&path, EngineKind::Native);
        let error = result.unwrap_err().to_string();
        assert!(error.contains(", block "), "{at}: {error}");
        let events = shown(&events);
        assert!(events == all[..events.len()], "{at}");
    }
}

#[test]
fn what_is_no_recording_or_of_a_later_format_is_refused() {
    let folder = Folder::new("foreign");
    let path = folder.file("x.pgrec");
    let whole = fs::read(shop()).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = Recording::open(&path, None, CatalogAt::Stream)
            .err()
            .unwrap();
        error.to_string().replace(&path.display().to_string(), "x")
    };
    let mut later = whole.clone();
    later[8] = 2;
    assert_eq!(
        refused(&later),
        "x: format 2 of recordings, and this is a reader of format 1: take a later \
         pgoutput-decoder"
    );
    assert_eq!(refused(&whole[..11]), "x: not a recording");
    assert!(refused(b"PK\x03\x04").contains("x, line 1: expected"));
    assert!(Reader::open(&folder.file("none")).is_err());
}

#[test]
fn what_a_killed_recorder_left_is_cut_off_and_continued() {
    let folder = Folder::new("continued");
    let path = folder.file("x.pgrec");
    let whole = fs::read(shop()).unwrap();
    fs::write(&path, &whole[..whole.len() - 40]).unwrap();
    let recorder = Recorder::open(&path).unwrap();
    assert!(recorder.cut_bytes() > 0);
    let recording = Recording::open(&shop(), None, CatalogAt::Stream).unwrap();
    let options = recording.options().to_vec();
    let replay = recording.replay(EngineKind::Native, &[]).unwrap();
    let mut replay = replay.recorder(recorder.clone(), &options);
    while replay.next_batch().unwrap().is_some() {}
    recorder.end().unwrap();
    // The same came again, from the beginning: it is given once.
    let (events, result) = replayed(&path, EngineKind::Native);
    result.unwrap();
    let (all, _) = replayed(&shop(), EngineKind::Native);
    assert!(shown(&events) == shown(&all));

    fs::write(&path, "something else").unwrap();
    let error = Recorder::open(&path).unwrap_err().to_string();
    assert!(error.ends_with("not a recording"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"something else");
}

#[test]
fn blocks_are_read_as_they_were_written() {
    let head = Head::new(&[("format".to_owned(), "native".to_owned())]);
    let facts = Facts {
        types: Vec::new(),
        relations: Vec::new(),
    };
    let mut frame = vec![b'd', 0, 0, 0, 30, b'w'];
    frame.resize(31, 7);
    let mut writer = Writer::new(Vec::new()).unwrap();
    writer.head(&head, 1).unwrap();
    for at in 2..6000 {
        writer.frames(&frame, at).unwrap();
    }
    writer.facts(16, &facts, 6000).unwrap();
    let file = writer.end(6001).unwrap();
    let mut reader = Reader::new(Path::new("x"), file.as_slice()).unwrap();
    let (mut frames, mut offset) = (0, 12);
    let mut kinds = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        assert_eq!(block.offset, offset);
        offset += block.stored_bytes;
        match block.content {
            Content::Head(found) => assert_eq!(*found, head),
            Content::Frames(content) => {
                assert!(content.len() <= 64 * 1024);
                frames += content.len() / 31;
                kinds.push('f');
            }
            Content::Facts { relation, .. } => {
                assert_eq!(relation, 16);
                kinds.push('q');
            }
            other => kinds.push(if other == Content::End { 'e' } else { '?' }),
        }
    }
    assert_eq!(frames, 5998);
    assert_eq!(kinds, ['f', 'f', 'q', 'f', 'e']);
    assert_eq!(offset, u64::try_from(file.len()).unwrap());
    assert!(matches!(
        Reader::new(Path::new("x"), &file[..file.len() - 24]).and_then(|mut reader| {
            while reader.next_block()?.is_some() {}
            Ok(())
        }),
        Err(RecordingError::Unended { number: 5, .. })
    ));
}

#[test]
fn an_inspector_names_what_each_byte_of_a_frame_is() {
    let mut reader = Reader::open(&shop()).unwrap();
    let mut inspector = Inspector::open().unwrap();
    let mut messages = 0;
    while let Some(block) = reader.next_block().unwrap() {
        let Content::Frames(frames) = block.content else {
            continue;
        };
        for message in inspector.messages(&frames).unwrap() {
            assert_eq!(message.problem, None);
            let start = usize::try_from(message.offset).unwrap();
            let end = start + usize::try_from(message.bytes).unwrap();
            let mut at = 0;
            for field in inspector.fields(&frames[start..end]).unwrap() {
                assert_eq!(field.offset, at);
                at += field.bytes;
            }
            assert_eq!(at, message.bytes);
            messages += 1;
        }
    }
    assert!(messages > 800, "{messages}");
}
