//! Changes that cannot be decoded: spoiled on the wire in whatever transaction they are, or larger
//! than the decoder's memory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pgoutput_decoder_host::capture::CatalogAt;
use pgoutput_decoder_host::engine::EngineKind;
use pgoutput_decoder_host::recording::Recording;
use pgoutput_decoder_host::{OnUndecodable, State};

use super::health::Warnings;
use super::relay::{relay, spoiling, untouched};
use super::two_phase::confirmed_up_to;
use super::*;

/// What is spoiled wherever it comes from the server, and what with: no UTF-8.
const SOUND: &[u8] = b"spoil-me";
const SPOILED: &[u8] = b"spoil-\xff\xfe";

const SETUP: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE TABLE item (id int PRIMARY KEY, name text, feeling mood);
    CREATE TABLE other (id int PRIMARY KEY, feeling mood);
    CREATE PUBLICATION p FOR TABLE item, other;
    DO $$ BEGIN EXECUTE format(
        'ALTER DATABASE %I SET logical_decoding_work_mem = ''64kB''', current_database()
    ); END $$;";

/// Rows of which the third, and the one in the middle, are spoiled.
fn rows(from: i64, count: i64) -> String {
    format!(
        "INSERT INTO other VALUES ({from}, 'glad');
         INSERT INTO item SELECT n, CASE WHEN n - {from} IN (2, {count} / 2) THEN 'spoil-me' END
                 || repeat('x', 100), 'sad'
         FROM generate_series({from}, {from} + {count} - 1) n;"
    )
}

/// What is to be done with them: in pieces or at once, streamed or not, prepared or not.
pub(crate) const TRANSACTIONS: [(&str, &str, &str, i64); 5] = [
    ("BEGIN", "COMMIT", "", 10),
    ("BEGIN", "COMMIT", "", 5000),
    ("BEGIN; SAVEPOINT s", "COMMIT", "", 5000),
    ("BEGIN", PREPARE, COMMIT, 10),
    ("BEGIN", PREPARE, COMMIT, 5000),
];

/// Its name is the server's, and not the place's alone: `named` makes one.
const PREPARE: &str = "PREPARE TRANSACTION '{name}'";
const COMMIT: &str = "COMMIT PREPARED '{name}'";

impl Place {
    pub(crate) fn named(&self, statement: &str) -> String {
        statement.replace("{name}", self.name)
    }

    async fn spoiled(&self) -> Config {
        let port = relay(self.port(), || (untouched, spoiling(SOUND, SPOILED))).await;
        self.config().host("127.0.0.1").port(port).two_phase(true)
    }

    pub(crate) fn file(&self) -> PathBuf {
        let name = format!("pgoutput-{}-{}", self.name, std::process::id());
        std::env::temp_dir().join(name)
    }
}

/// The events of a file of parked changes, and their positions.
pub(crate) fn parked(file: &Path) -> Vec<Event> {
    let recording = Recording::open(file, None, CatalogAt::Stream).unwrap();
    let native = [("format".to_owned(), "native".to_owned())];
    let mut replay = recording.replay(EngineKind::Component, &native).unwrap();
    let mut events = Vec::new();
    while let Some(batch) = replay.next_batch().unwrap() {
        events.extend(batch.events());
    }
    events
}

/// Undoes what the way to the server did.
fn mend(file: &Path) {
    let (sound, spoiled) = ("73706f696c2d6d65", "73706f696c2dfffe");
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(spoiled));
    fs::write(file, text.replace(spoiled, sound)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_the_stream_stops_before_it() {
    let place = Place::new("undecodable_stop", SETUP).await;
    let mut stream = place.spoiled().await.connect().await.unwrap();
    place.run("INSERT INTO other VALUES (1, 'sad')").await;
    let first = events(&mut stream, 1).await.remove(0);
    stream.acknowledger().acknowledge(first.position()).unwrap();
    place.run(&rows(2, 10)).await;
    let before = events(&mut stream, 3).await;
    stream
        .acknowledger()
        .acknowledge(before[2].position())
        .unwrap();
    let error = timeout(PATIENCE, stream.next_batch()).await.unwrap();
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("UTF-8") && !error.contains("spoil"),
        "{error}"
    );
    let status = stream.status();
    assert_eq!((status.state, status.skipped), (State::Failed, 0));
    stream.stop().await.unwrap();
    let confirmed = place.confirmed().await;
    assert!(confirmed > first.position().commit_lsn);
    assert!(confirmed <= before[0].position().commit_lsn);
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_skipped_is_counted_and_leaves_its_place_empty() {
    let place = Place::new("undecodable_skip", SETUP).await;
    let warnings = Warnings::default();
    let config = place.spoiled().await.on_undecodable(OnUndecodable::Skip);
    let config = config.stash_memory_max_bytes(100_000);
    let mut stream = warnings.of(config).connect().await.unwrap();
    let mut from = 1;
    let mut skipped = 0;
    for (begin, end, decide, count) in TRANSACTIONS {
        let (end, decide) = (place.named(end), place.named(decide));
        place
            .run(&format!("{begin}; {} {end}", rows(from, count)))
            .await;
        place.run(&decide).await;
        skipped += 2;
        let all = events(&mut stream, usize::try_from(count - 1).unwrap()).await;
        let mut expected: Vec<_> = (from..from + count).collect();
        expected.retain(|n| ![2, count / 2].contains(&(n - from)));
        assert_eq!(all[1..].iter().map(id).collect::<Vec<_>>(), expected);
        // They have their index all the same.
        for (event, n) in all[1..].iter().zip(expected) {
            assert_eq!(i64::from(event.position().index), n - from + 2);
        }
        let last = all.last().unwrap().position();
        stream.acknowledger().acknowledge(last).unwrap();
        confirmed_up_to(&place, Lsn(last.commit_lsn.0 + 1)).await;
        let status = stream.status();
        assert_eq!((status.skipped, status.parked), (skipped, 0));
        from += count;
    }
    let warnings = warnings.all();
    assert_eq!(u64::try_from(warnings.len()).unwrap(), skipped);
    for warning in warnings {
        assert!(
            warning.contains("skipped: message 'I' of public.item at LSN"),
            "{warning}"
        );
        assert!(
            !warning.contains("spoil") && !warning.contains("xxx"),
            "{warning}"
        );
    }
    // None of it comes again.
    place.cut().await;
    nothing_more(&place, &mut stream).await;
    assert_eq!(stream.status().skipped, skipped);
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_can_be_decoded_later() {
    let place = Place::new("undecodable_park", SETUP).await;
    let file = place.file();
    let config = place.spoiled().await.stash_memory_max_bytes(100_000);
    let config = config.on_undecodable(OnUndecodable::Park(file.clone()));
    let mut stream = config.connect().await.unwrap();
    let mut from = 1;
    let mut expected = Vec::new();
    for (begin, end, decide, count) in TRANSACTIONS {
        let (end, decide) = (place.named(end), place.named(decide));
        place
            .run(&format!("{begin}; {} {end}", rows(from, count)))
            .await;
        place.run(&decide).await;
        let all = events(&mut stream, usize::try_from(count - 1).unwrap()).await;
        let commit_lsn = all[0].position().commit_lsn;
        expected.extend([2, count / 2].map(|n| (from + n, commit_lsn)));
        // Not acknowledged: it comes again, and is not parked again.
        place.cut().await;
        let last = all.last().unwrap().position();
        // Its table changes, too.
        place
            .run(&format!("ALTER TABLE item ADD extra_{from} int"))
            .await;
        place
            .run(&format!("INSERT INTO other VALUES (-{from}, 'sad')"))
            .await;
        let next = events(&mut stream, 1).await.remove(0);
        stream.acknowledger().acknowledge(last).unwrap();
        stream.acknowledger().acknowledge(next.position()).unwrap();
        assert_eq!(
            stream.status().parked,
            u64::try_from(expected.len()).unwrap()
        );
        from += count;
    }
    stream.stop().await.unwrap();
    mend(&file);
    let parked = parked(&file);
    let found: Vec<_> = parked
        .iter()
        .map(|event| (id(event), event.position().commit_lsn))
        .collect();
    assert_eq!(found, expected);
    for event in &parked {
        let after = json_of(event.after());
        assert_eq!(after["name"], format!("spoil-me{}", "x".repeat(100)));
        assert_eq!(after["feeling"], "sad");
    }
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    fs::remove_file(&file).unwrap();
    place.leave().await;
}

/// The decoder breaks down: it is replaced, and the change that broke it found among the others.
#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_decoder_is_parked_as_well() {
    let place = Place::new("undecodable_large", SETUP).await;
    let file = place.file();
    let config = || {
        let config = place.config().memory_max_bytes(24 << 20).two_phase(true);
        config.on_undecodable(OnUndecodable::Park(file.clone()))
    };
    let mut stream = config().connect().await.unwrap();
    let mut from = 1;
    let mut parked_ids = Vec::new();
    for (begin, end, decide, count) in [TRANSACTIONS[0], TRANSACTIONS[2], TRANSACTIONS[3]] {
        let (end, decide) = (place.named(end), place.named(decide));
        let large = from + 4;
        let sql = format!(
            "{begin};
             INSERT INTO item SELECT n, repeat('x', CASE n WHEN {large} THEN 16 << 20 ELSE 100 END)
             FROM generate_series({from}, {from} + {count} - 1) n; {end}"
        );
        place.run(&sql).await;
        place.run(&decide).await;
        let all = events(&mut stream, usize::try_from(count - 1).unwrap()).await;
        let expected: Vec<_> = (from..from + count).filter(|n| *n != large).collect();
        assert_eq!(all.iter().map(id).collect::<Vec<_>>(), expected);
        let last = all.last().unwrap().position();
        assert_eq!(i64::from(last.index), count);
        stream.acknowledger().acknowledge(last).unwrap();
        parked_ids.push(large);
        from += count;
        let status = stream.status();
        assert_eq!(
            status.parked,
            u64::try_from(parked_ids.len()).unwrap(),
            "{status}"
        );
    }
    stream.stop().await.unwrap();
    let parked = parked(&file);
    assert_eq!(parked.iter().map(id).collect::<Vec<_>>(), parked_ids);
    let after = json_of(parked[0].after());
    assert_eq!(after["name"].as_str().unwrap().len(), 16 << 20);
    fs::remove_file(&file).unwrap();
    place.leave().await;
}

#[tokio::test]
async fn where_nothing_can_be_parked_nothing_is_streamed() {
    let place = Place::new("undecodable_where", SETUP).await;
    let nowhere = OnUndecodable::Park("/none/such/file".into());
    let error = place.config().on_undecodable(nowhere).connect().await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("on_undecodable") && error.contains("/none/such/file"),
        "{error}"
    );
    place.leave().await;
}
