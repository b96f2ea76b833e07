//! A stream that is recorded, or has a shadow: what they have is what the stream gave.

use pgoutput_decoder_host::capture::CatalogAt;
use pgoutput_decoder_host::engine::{DecoderFile, EngineKind};
use pgoutput_decoder_host::recording::{Recorder, Recording};
use pgoutput_decoder_host::{COMPONENT, Shadow};

use super::health::Warnings;
use super::*;

const SETUP: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE TABLE item (id int PRIMARY KEY, name text, feeling mood, at timestamptz DEFAULT now());
    CREATE PUBLICATION p FOR TABLE item;
    DO $$ BEGIN
        IF current_setting('server_version_num')::int >= 130000 THEN
            EXECUTE format(
                'ALTER DATABASE %I SET logical_decoding_work_mem = ''64kB''', current_database()
            );
        END IF;
    END $$;";

/// Small ones, a table that changes, one that is streamed where the server can, one rolled back.
const HISTORY: &[&str] = &[
    "INSERT INTO item SELECT n, 'first', 'glad' FROM generate_series(1, 5) n",
    "ALTER TABLE item ADD note text DEFAULT 'new'",
    "UPDATE item SET name = 'other' WHERE id < 3",
    "INSERT INTO item SELECT n, repeat('x', 90), 'sad' FROM generate_series(100, 1500) n",
    "BEGIN; INSERT INTO item SELECT n, 'never' FROM generate_series(2000, 3500) n; ROLLBACK",
    "DELETE FROM item WHERE id = 1",
];

const COUNT: usize = 5 + 2 + 1401 + 1;

fn file(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("pgoutput-{name}-{}", std::process::id()))
}

/// Without when it was made.
fn shown(event: &Event) -> String {
    let (before, after) = (event.before(), event.after());
    format!(
        "{} {:?} {before:?} {after:?} {:?}",
        event.position(),
        event.key(),
        event.source()
    )
}

async fn acknowledge_all(stream: &mut Stream, count: usize) -> Vec<Event> {
    let all = events(stream, count).await;
    let last = all.last().expect("there are some").position();
    stream.acknowledger().acknowledge(last).unwrap();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_has_what_the_stream_gave_over_lost_connections_too() {
    let place = Place::new("recorded", SETUP).await;
    let path = file("recorded");
    let recorder = Recorder::open(&path).unwrap();
    let config = place.config().recorder(recorder.clone());
    let mut stream = config.connect().await.unwrap();
    let mut all = Vec::new();
    for round in 0..3 {
        for statement in HISTORY {
            place.run(statement).await;
        }
        // Not acknowledged in the first round: it comes again.
        all.extend(match round {
            0 => events(&mut stream, COUNT).await,
            _ => acknowledge_all(&mut stream, COUNT).await,
        });
        place.run("TRUNCATE item; ALTER TABLE item DROP note").await;
        all.extend(events(&mut stream, 1).await);
        recorder.sync().unwrap();
        assert!(place.cut().await);
    }
    let _ = stream.stop().await;
    recorder.end().unwrap();

    let recording = Recording::open(&path, None, CatalogAt::Stream).unwrap();
    let mut replay = recording.replay(EngineKind::Native, &[]).unwrap();
    let mut again = Vec::new();
    while let Some(batch) = replay.next_batch().unwrap() {
        again.extend(batch.events());
    }
    let [all, again] = [all, again].map(|events| events.iter().map(shown).collect::<Vec<_>>());
    assert_eq!(all.len(), again.len());
    assert!(all == again);
    std::fs::remove_file(path).unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_is_the_same_differs_nowhere_and_one_that_is_not_is_counted() {
    let place = Place::new("shadowed", SETUP).await;
    let path = file("shadow.wasm");
    // One that writes another name into each event.
    let mut other = COMPONENT.to_vec();
    let name = b"snapshot\":";
    let places: Vec<_> = (0..other.len() - name.len())
        .filter(|&at| other[at..].starts_with(name))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        other[at] = b'S';
    }
    for (wasm, differs) in [(COMPONENT, false), (other.as_slice(), true)] {
        std::fs::write(&path, wasm).unwrap();
        let shadow = Shadow::new(DecoderFile::open(&path).unwrap());
        let warnings = Warnings::default();
        let config = warnings.of(place.config().shadow(shadow.clone()));
        let mut stream = config.connect().await.unwrap();
        for statement in HISTORY {
            place.run(statement).await;
        }
        let first = events(&mut stream, COUNT).await;
        assert!(place.cut().await);
        place.run("TRUNCATE item; ALTER TABLE item DROP note").await;
        let last = events(&mut stream, 1).await.remove(0);
        stream.acknowledger().acknowledge(last.position()).unwrap();
        stream.stop().await.unwrap();
        shadow.wait();
        let status = shadow.status();
        assert_eq!(status.failed, None);
        assert_eq!(status.events, u64::try_from(first.len() + 1).unwrap());
        assert_eq!(status.differences, if differs { status.events } else { 0 });
        let told = warnings.all();
        let told = told
            .iter()
            .filter(|line| line.starts_with("the shadow decoder gives another"));
        let told = told.count();
        assert_eq!(told, if differs { 10 } else { 0 });
    }
    std::fs::remove_file(path).unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_breaks_down_leaves_the_stream_as_it_is() {
    let place = Place::new("shadow_broken", SETUP).await;
    let path = file("broken.wasm");
    std::fs::write(&path, b"\0asm not really").unwrap();
    let error = DecoderFile::open(&path)
        .err()
        .expect("it is no component")
        .to_string();
    assert!(
        error.contains("not a component that exports pgoutput:decoder/decoding"),
        "{error}"
    );
    std::fs::remove_file(path).unwrap();
    place.leave().await;
}
