//! Transactions that come while they are open: streamed by the server, kept in memory and in
//! files, replayed at their commit.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pgoutput_decoder_host::{StashError, Streaming};

use super::trouble::restart;
use super::two_phase::confirmed_up_to;
use super::*;

/// With this little memory the server streams what has more than some hundred changes.
const STREAM: &str = "
    CREATE TABLE item (id int PRIMARY KEY, name text, price numeric(10,2), at timestamptz);
    CREATE PUBLICATION p FOR TABLE item;
    DO $$ BEGIN EXECUTE format(
        'ALTER DATABASE %I SET logical_decoding_work_mem = ''64kB''', current_database()
    ); END $$;";

/// A directory of one test for its stash.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The files this process has open that were made there, by what their descriptors say.
    fn open_files(&self) -> Vec<std::fs::Metadata> {
        let of_ours = |descriptor: &Path| {
            let target = std::fs::read_link(descriptor).ok()?;
            let ours = target.starts_with(&self.0);
            ours.then(|| std::fs::metadata(descriptor))
                .and_then(Result::ok)
        };
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
        descriptors
            .filter_map(|entry| of_ours(&entry.unwrap().path()))
            .collect()
    }

    /// Waits until so many files are open there.
    async fn wait_for(&self, files: usize) -> Vec<std::fs::Metadata> {
        for _ in 0..600 {
            let open = self.open_files();
            if open.len() == files {
                return open;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("{} files are open, not {files}", self.open_files().len());
    }

    fn is_empty(&self) -> bool {
        self.0.read_dir().unwrap().next().is_none()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// What an event says, but for the clock.
fn told(event: &Event) -> Value {
    let mut value = json_of(event.value());
    if let Some(value) = value.as_object_mut() {
        for clock in ["ts_ms", "ts_us", "ts_ns"] {
            value.remove(clock);
        }
    }
    json!([
        event.topic().name,
        event.position().to_string(),
        event.lsn().0,
        event.xid(),
        event.commit_ts_us(),
        json_of(event.key()),
        value
    ])
}

async fn all_told(config: Config, count: usize) -> Vec<Value> {
    let mut stream = config.connect().await.unwrap();
    let told: Vec<_> = events(&mut stream, count).await.iter().map(told).collect();
    stream.stop().await.unwrap();
    told
}

/// The slot, of which everything can be read several times, has streamed so many transactions.
async fn streamed(place: &Place) -> i64 {
    let sql = format!(
        "SELECT stream_txns FROM pg_stat_replication_slots WHERE slot_name = '{}'",
        place.name
    );
    // The walsender tells of it when it ends.
    for _ in 0..100 {
        let count = place.value(&sql).await;
        if count > 0 {
            return count;
        }
        sleep(Duration::from_millis(50)).await;
    }
    0
}

fn insert(from: u32, to: u32) -> String {
    format!(
        "INSERT INTO item SELECT n, repeat('x', 100 + n % 7), n / 7.0, '2024-02-29 12:00+00'
         FROM generate_series({from}, {to}) n"
    )
}

/// To keep open transactions in files of `folder` beyond 100 kB.
fn spilling(place: &Place, folder: &Folder) -> Config {
    place
        .config()
        .stash_directory(&folder.0)
        .stash_memory_max_bytes(100_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn streamed_transactions_give_the_events_they_give_in_one_piece() {
    let place = Place::new("streaming_same", STREAM).await;
    let another = connect(&place.url, Some(place.name)).await;
    // A message of no transaction has the time of the last one, or the clock's.
    place.run("INSERT INTO item VALUES (40001, 'first')").await;
    // Two at a time, savepoints in both, rolled back or not, a message among them, and one that is
    // rolled back whole.
    place.run("BEGIN").await;
    place.run(&insert(1, 2000)).await;
    another.batch_execute("BEGIN").await.unwrap();
    another
        .batch_execute(&insert(10_001, 12_000))
        .await
        .unwrap();
    place.run("SAVEPOINT a").await;
    place.run(&insert(2001, 4000)).await;
    place
        .run("SELECT pg_logical_emit_message(true, 'm', 'transactional')")
        .await;
    place.run("SAVEPOINT b").await;
    place.run(&insert(4001, 6000)).await;
    another.batch_execute("SAVEPOINT a").await.unwrap();
    another
        .batch_execute(&insert(12_001, 14_000))
        .await
        .unwrap();
    place
        .run("SELECT pg_logical_emit_message(false, 'm', 'at once')")
        .await;
    place.run("ROLLBACK TO b").await;
    place
        .run("UPDATE item SET price = 1 WHERE id <= 1000")
        .await;
    another
        .batch_execute("ROLLBACK TO a; DELETE FROM item WHERE id % 2 = 0")
        .await
        .unwrap();
    place.run("COMMIT").await;
    another.batch_execute("COMMIT").await.unwrap();
    place
        .run(&format!("BEGIN; {}; ROLLBACK", insert(20_001, 22_000)))
        .await;
    place.run("INSERT INTO item VALUES (30000, 'last')").await;

    let count = 1 + 1 + 4000 + 1 + 1000 + 2000 + 1000 + 1;
    let expected = all_told(place.config().streaming(Streaming::Off), count).await;
    assert_eq!(expected[1][6]["op"], "m");
    assert_eq!(expected[count - 1][5]["id"], 30_000);
    let version = "SELECT current_setting('server_version_num')::int";
    let parallel = if place.value::<i32>(version).await < 160_000 {
        Streaming::On
    } else {
        Streaming::Parallel
    };
    let folder = Folder::new(place.name);
    let spilling = || spilling(&place, &folder).stash_memory_max_bytes(10_000);
    for (name, config) in [
        ("by default", place.config()),
        ("on", place.config().streaming(Streaming::On)),
        ("parallel", place.config().streaming(parallel)),
        ("from files", spilling()),
        ("in binary, from files", spilling().binary(true)),
        (
            "in binary, in one piece",
            place.config().binary(true).streaming(Streaming::Off),
        ),
    ] {
        let all = all_told(config, count).await;
        for (number, (found, expected)) in all.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "{name}, event {number}");
        }
    }
    assert!(streamed(&place).await >= 3, "nothing was streamed");
    assert!(folder.is_empty() && folder.open_files().is_empty());
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_a_segment_of_its_own_with_random_savepoints() {
    let place = Place::new("streaming_random", STREAM).await;
    let immediate = "ALTER DATABASE streaming_random
        SET debug_logical_replication_streaming = 'immediate'";
    place.run(immediate).await;
    let mut seed = 42_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push((connect(&place.url, Some(place.name)).await, 0));
    }
    for id in 0..400 {
        let session = usize::try_from(random(3)).unwrap();
        let (client, depth) = &mut sessions[session];
        let step = match (random(8), *depth) {
            (0, 0) => format!("INSERT INTO item VALUES ({id}, 'alone')"),
            (_, 0) => {
                *depth = 1;
                format!("BEGIN; INSERT INTO item VALUES ({id}, 'first')")
            }
            (0, 1) => {
                *depth = 0;
                "ROLLBACK".to_owned()
            }
            (1, _) => {
                *depth = 0;
                "COMMIT".to_owned()
            }
            (2 | 3, _) => {
                *depth += 1;
                format!("SAVEPOINT s{depth}; INSERT INTO item VALUES ({id}, 'sub')")
            }
            (4, 2..) => {
                let back = format!("ROLLBACK TO s{depth}");
                *depth -= 1;
                back
            }
            (5, 2..) => {
                let release = format!("RELEASE s{depth}");
                *depth -= 1;
                release
            }
            _ => format!("INSERT INTO item VALUES ({id}, 'more')"),
        };
        client
            .batch_execute(&step)
            .await
            .unwrap_or_else(|error| panic!("{step}: {error}"));
    }
    for (client, depth) in sessions {
        if depth > 0 {
            client.batch_execute("COMMIT").await.unwrap();
        }
    }
    let count: i64 = place.value("SELECT count(*) FROM item").await;
    let count = usize::try_from(count).unwrap();
    assert!(count > 100, "{count} rows are too few");
    let expected = all_told(place.config().streaming(Streaming::Off), count).await;
    for streaming in [Streaming::On, Streaming::Parallel] {
        let config = place
            .config()
            .streaming(streaming)
            .stash_memory_max_bytes(200);
        assert_eq!(all_told(config, count).await, expected);
    }
    assert!(streamed(&place).await > 10);
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stash_file_is_ours_alone_and_gone_when_it_is_not_needed() {
    let place = Place::new("streaming_files", STREAM).await;
    let folder = Folder::new(place.name);
    let config = || spilling(&place, &folder);
    let mut stream = config().connect().await.unwrap();
    for end in ["COMMIT", "ROLLBACK"] {
        place.run("BEGIN").await;
        place.run(&insert(1, 10_000)).await;
        // It has a name for the moment it takes to make it.
        let nameless = async {
            while folder.wait_for(1).await[0].nlink() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, nameless).await.expect("it has a name");
        assert_eq!(folder.wait_for(1).await[0].mode() & 0o777, 0o600);
        let grown = async {
            while folder.wait_for(1).await[0].len() <= 100_000 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, grown).await.expect("little is in it");
        assert!(folder.is_empty(), "it has a name");
        // What is open does not hold back the confirmation of what is behind it.
        let begun: String = place.value("SELECT pg_current_wal_lsn()::text").await;
        let other = connect(&place.url, Some(place.name)).await;
        other
            .batch_execute("SELECT pg_logical_emit_message(true, 'other', '')")
            .await
            .unwrap();
        let message = events(&mut stream, 1).await.remove(0);
        stream
            .acknowledger()
            .acknowledge(message.position())
            .unwrap();
        let begun: Lsn = begun.parse().unwrap();
        confirmed_up_to(&place, begun).await;
        place.run(end).await;
        if end == "COMMIT" {
            let all = events(&mut stream, 10_000).await;
            assert_eq!(id(&all[9_999]), 10_000);
            stream
                .acknowledger()
                .acknowledge(all[9_999].position())
                .unwrap();
            place.run("TRUNCATE item").await;
            assert_eq!(ops(&events(&mut stream, 1).await), "t");
        }
        folder.wait_for(0).await;
    }
    // By stopping, and by dropping.
    for stop in [true, false] {
        place.run("BEGIN").await;
        place.run(&insert(1, 10_000)).await;
        folder.wait_for(1).await;
        if stop {
            stream.stop().await.unwrap();
        }
        drop(stream);
        folder.wait_for(0).await;
        place.run("ROLLBACK").await;
        stream = config().connect().await.unwrap();
    }
    stream.stop().await.unwrap();
    let error = config()
        .stash_directory(folder.0.join("nowhere"))
        .connect()
        .await
        .unwrap_err();
    assert!(
        error.to_string().starts_with("stash_directory: "),
        "{error}"
    );
    assert_eq!(error.class(), ErrorClass::Caller);
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stash_that_is_full_ends_the_stream_and_confirms_nothing() {
    let place = Place::new("streaming_full", STREAM).await;
    let folder = Folder::new(place.name);
    let config = || spilling(&place, &folder);
    let mut stream = config().stash_max_bytes(1_000_000).connect().await.unwrap();
    place.run("INSERT INTO item VALUES (0, 'before')").await;
    place.run("BEGIN").await;
    place.run(&insert(1, 10_000)).await;
    let before = events(&mut stream, 1).await.remove(0);
    let next = timeout(PATIENCE, stream.next_batch()).await.unwrap();
    let error = next.unwrap_err();
    let Error::Stash {
        xid,
        lsn,
        error: StashError::Full {
            limit_bytes: 1_000_000,
        },
    } = &error
    else {
        panic!("{error:?}")
    };
    let open: i64 = place
        .value("SELECT pg_current_xact_id()::text::bigint")
        .await;
    assert!(i64::from(*xid) == open && *lsn > before.lsn(), "{error}");
    assert!(error.hint().unwrap().contains("stash_max_bytes"));
    assert!(folder.open_files().is_empty());
    let commit = place.wal_end().await;
    place.run("COMMIT").await;
    // What came before can still be acknowledged, and nothing behind what came is confirmed: that
    // may lie behind the change that did not fit, for the server sends those of a block later.
    stream
        .acknowledger()
        .acknowledge(before.position())
        .unwrap();
    sleep(Duration::from_millis(1500)).await;
    stream.stop().await.unwrap();
    let confirmed = place.confirmed().await;
    assert!(
        confirmed > before.position().commit_lsn && confirmed <= commit,
        "{confirmed}"
    );

    let mut stream = config().connect().await.unwrap();
    let all = events(&mut stream, 10_000).await;
    assert_eq!((id(&all[0]), id(&all[9_999])), (1, 10_000));
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_may_leave_in_the_middle_of_a_replay() {
    let place = Place::new("streaming_leave", STREAM).await;
    let folder = Folder::new(place.name);
    let config = || spilling(&place, &folder);
    let rows = 50_000;
    place.run(&insert(1, rows)).await;
    let before = place.confirmed().await;
    for everything_acknowledged in [false, true] {
        let mut stream = config().connect().await.unwrap();
        let batch = timeout(PATIENCE, stream.next_batch()).await.unwrap();
        let last = batch.unwrap().unwrap().events().last().unwrap();
        assert!(id(&last) < i64::from(rows));
        if everything_acknowledged {
            stream.acknowledger().acknowledge(last.position()).unwrap();
        }
        timeout(Duration::from_secs(5), stream.stop())
            .await
            .unwrap()
            .unwrap();
        assert!(folder.open_files().is_empty());
        assert_eq!(
            place.confirmed().await,
            before,
            "half a transaction was confirmed"
        );
    }
    // A tired one, whose stream is stopped from elsewhere.
    let mut stream = config().connect().await.unwrap();
    let stopper = stream.stopper();
    let batch = timeout(PATIENCE, stream.next_batch()).await.unwrap();
    let first = batch.unwrap().unwrap().event(0).unwrap();
    assert_eq!(id(&first), 1);
    sleep(Duration::from_millis(500)).await;
    stopper.stop();
    stream.stop().await.unwrap();

    let mut stream = config().connect().await.unwrap();
    let all = events(&mut stream, usize::try_from(rows).unwrap()).await;
    let ids: BTreeSet<_> = all.iter().map(id).collect();
    assert_eq!(ids.len(), all.len());
    stream
        .acknowledger()
        .acknowledge(all.last().unwrap().position())
        .unwrap();
    nothing_more(&place, &mut stream).await;
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test]
async fn one_thread_is_enough_for_a_stash_in_files() {
    let place = Place::new("streaming_thread", STREAM).await;
    let config = place.config().stash_memory_max_bytes(100_000);
    let mut stream = config.connect().await.unwrap();
    place.run(&insert(1, 20_000)).await;
    let all = events(&mut stream, 20_000).await;
    assert_eq!(id(&all[19_999]), 20_000);
    stream.stop().await.unwrap();
    assert!(streamed(&place).await > 0);
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_an_open_transaction_or_in_a_replay_loses_and_repeats_nothing() {
    let server = Server::start(&[]).await;
    let place = Place::at(&server.url, "streaming_crash", STREAM).await;
    let folder = Folder::new(place.name);
    let config = spilling(&place, &folder).status_interval(Duration::from_millis(200));
    let mut stream = config.connect().await.unwrap();
    place.run("INSERT INTO item VALUES (0, 'before')").await;
    let before = events(&mut stream, 1).await.remove(0);
    stream
        .acknowledger()
        .acknowledge(before.position())
        .unwrap();
    place.run("BEGIN").await;
    place.run(&insert(1, 20_000)).await;
    folder.wait_for(1).await;
    // The transaction dies with the server, and so does what was kept of it.
    restart(&server, "immediate").await;
    folder.wait_for(0).await;

    let again = connect(&place.url, Some(place.name)).await;
    again.batch_execute(&insert(1, 20_000)).await.unwrap();
    let first = events_of_a_batch(&mut stream).await;
    assert!(!folder.open_files().is_empty(), "nothing is being replayed");
    restart(&server, "immediate").await;
    // The replay has ended, though nobody reads: what is left of it comes from the server again.
    let place = place.reconnected().await;
    place.walsender().await;
    place.run("INSERT INTO item VALUES (20001, 'after')").await;
    let rest = events(&mut stream, 20_001 - first.len()).await;
    let ids: Vec<_> = first.iter().chain(&rest).map(id).collect();
    assert!(ids.iter().copied().eq(1..=20_001), "{} events", ids.len());
    stream
        .acknowledger()
        .acknowledge(rest.last().unwrap().position())
        .unwrap();
    stream.stop().await.unwrap();
}

async fn events_of_a_batch(stream: &mut Stream) -> Vec<Event> {
    let batch = timeout(PATIENCE, stream.next_batch()).await.unwrap();
    batch
        .unwrap()
        .expect("the stream has ended")
        .events()
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_again_and_again_loses_and_repeats_nothing_of_streamed_ones() {
    let place = Place::new("streaming_cut", STREAM).await;
    let config = place.config().stash_memory_max_bytes(100_000);
    let mut stream = config.connect().await.unwrap();
    let filling = connect(&place.url, Some(place.name)).await;
    let filler = tokio::spawn(async move {
        for first in (1..60_001).step_by(6000) {
            let middle = first + 2999;
            let sql = format!(
                "BEGIN; {}; SAVEPOINT a; {}; ROLLBACK TO a; {}; COMMIT",
                insert(first, middle),
                insert(100_001, 102_000),
                insert(middle + 1, first + 5999)
            );
            filling.batch_execute(&sql).await.unwrap();
        }
    });
    let acknowledger = stream.acknowledger();
    let (mut expected, mut cuts) = (1, 0);
    let mut last = None;
    while expected <= 60_000 {
        for event in events_of_a_batch(&mut stream).await {
            assert_eq!(id(&event), expected, "after {cuts} cuts");
            expected += 1;
            last = Some(event.position());
            if expected % 777 == 0 {
                acknowledger.acknowledge(event.position()).unwrap();
            }
            if expected % 4000 == 0 && place.cut().await {
                cuts += 1;
            }
        }
    }
    assert!(cuts >= 3, "{cuts} cuts are too few");
    filler.await.unwrap();
    acknowledger.acknowledge(last.unwrap()).unwrap();
    nothing_more(&place, &mut stream).await;
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_taken_back_before_it_comes_again_moves_nothing() {
    let server = Server::start(&[]).await;
    let place = Place::at(&server.url, "streaming_message", STREAM).await;
    let mut stream = place.config().connect().await.unwrap();
    let other = connect(&place.url, Some(place.name)).await;
    place.run("BEGIN").await;
    place.run(&insert(1, 1000)).await;
    place.run("SAVEPOINT a").await;
    place
        .run("SELECT pg_logical_emit_message(true, 'm', 'of a')")
        .await;
    place.run(&insert(100_001, 102_000)).await;
    place.run("ROLLBACK TO a").await;
    // What is confirmed lies behind the rollback: from there on the server streams, a second time,
    // only what was not rolled back before.
    other
        .batch_execute("SELECT pg_logical_emit_message(true, 'other', '')")
        .await
        .unwrap();
    let message = events(&mut stream, 1).await.remove(0);
    stream
        .acknowledger()
        .acknowledge(message.position())
        .unwrap();
    // Its commit ends behind where it begins.
    confirmed_up_to(&place, Lsn(message.position().commit_lsn.0 + 1)).await;
    place.run(&insert(1001, 40_000)).await;
    place.run("COMMIT").await;
    // Behind the message, and in the middle of the replay.
    let mut all = Vec::new();
    while all.len() < 2000 {
        all.extend(events_of_a_batch(&mut stream).await);
    }
    assert!(all.len() < 30_000, "nothing is being replayed");
    restart(&server, "fast").await;
    let is_last = |event: &Event| event.op() == Some('c') && id(event) == 40_000;
    while !all.last().is_some_and(is_last) {
        all.extend(events_of_a_batch(&mut stream).await);
    }
    let (messages, changes): (Vec<_>, Vec<_>) =
        all.iter().partition(|event| event.op() == Some('m'));
    assert_eq!(messages.len(), 1, "it was not streamed");
    let ids = changes.into_iter().map(id);
    assert!(ids.eq(1..=40_000), "{} events", all.len());
    stream.stop().await.unwrap();
}
