//! Prepared transactions: nothing behind a PREPARE is confirmed until its transaction is decided
//! and its events are acknowledged, so that the server always sends it again.

use super::trouble::restart;
use super::*;

pub(super) const SETUP: &str = "
    CREATE TABLE item (id int PRIMARY KEY, name text);
    CREATE PUBLICATION p FOR TABLE item;
    DO $$ BEGIN EXECUTE format(
        'ALTER DATABASE %I SET logical_decoding_work_mem = ''64kB''', current_database()
    ); END $$;";

impl Place {
    async fn prepare(&self, gid: &str, from: i32, to: i32) {
        let sql = format!(
            "BEGIN;
             INSERT INTO item SELECT n, repeat('x', 100) FROM generate_series({from}, {to}) n;
             PREPARE TRANSACTION '{gid}'"
        );
        self.run(&sql).await;
    }

    pub(super) async fn wal_end(&self) -> Lsn {
        let text: String = self.value("SELECT pg_current_wal_flush_lsn()::text").await;
        text.parse().unwrap()
    }
}

/// Waits until the slot is confirmed up to `lsn`.
pub(super) async fn confirmed_up_to(place: &Place, lsn: Lsn) {
    timeout(PATIENCE, async {
        while place.confirmed().await < lsn {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{lsn} is never confirmed"));
}

/// All of it, acknowledged.
async fn taken(stream: &mut Stream, count: usize) -> Vec<i64> {
    let all = events(stream, count).await;
    let last = all.last().unwrap().position();
    stream.acknowledger().acknowledge(last).unwrap();
    all.iter().map(id).collect()
}

fn ids(from: i64, to: i64) -> Vec<i64> {
    (from..=to).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_at_commit_prepared_and_hold_their_prepare_until_acknowledged() {
    let place = Place::new("two_phase_commit", SETUP).await;
    let mut stream = place.config().two_phase(true).connect().await.unwrap();
    let sql = "SELECT two_phase FROM pg_replication_slots WHERE slot_name = 'two_phase_commit'";
    assert!(place.value::<bool>(sql).await);
    // One that is streamed and then prepared, and one that is prepared in one piece.
    for (gid, rows) in [("large", 5000), ("small", 3)] {
        let before = place.wal_end().await;
        confirmed_up_to(&place, before).await;
        place.prepare(gid, 1, rows).await;
        let prepared = place.wal_end().await;
        // Later transactions come, are acknowledged, and do not move it.
        place.run("INSERT INTO item VALUES (100000)").await;
        assert_eq!(taken(&mut stream, 1).await, [100_000]);
        sleep(Duration::from_millis(2500)).await;
        let confirmed = place.confirmed().await;
        assert!(
            before <= confirmed && confirmed < prepared,
            "{gid}: {confirmed}"
        );
        // Nor does the commit, before its events are acknowledged.
        place.run(&format!("COMMIT PREPARED '{gid}'")).await;
        let committed = place.wal_end().await;
        let all = events(&mut stream, usize::try_from(rows).unwrap()).await;
        assert_eq!(all.iter().map(id).collect::<Vec<_>>(), ids(1, rows.into()));
        sleep(Duration::from_millis(2500)).await;
        assert_eq!(place.confirmed().await, confirmed, "{gid}");
        let last = all.last().unwrap();
        assert!(last.position().commit_lsn > prepared);
        stream.acknowledger().acknowledge(last.position()).unwrap();
        confirmed_up_to(&place, committed).await;
        place.run("DELETE FROM item").await;
        let deleted = events(&mut stream, usize::try_from(rows).unwrap() + 1).await;
        stream
            .acknowledger()
            .acknowledge(deleted.last().unwrap().position())
            .unwrap();
    }
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rolled_back_never_comes_and_holds_nothing() {
    let place = Place::new("two_phase_rollback", SETUP).await;
    let mut stream = place.config().two_phase(true).connect().await.unwrap();
    for rows in [5000, 3] {
        place.prepare("gone", 1, rows).await;
        let prepared = place.wal_end().await;
        sleep(Duration::from_millis(1500)).await;
        assert!(place.confirmed().await < prepared);
        place.run("ROLLBACK PREPARED 'gone'").await;
        confirmed_up_to(&place, place.wal_end().await).await;
        nothing_more(&place, &mut stream).await;
    }
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_between_prepare_and_commit_loses_nothing() {
    let place = Place::new("two_phase_stop", SETUP).await;
    let two_phase = || {
        place
            .config()
            .two_phase(true)
            .stash_memory_max_bytes(100_000)
    };
    for rows in [5000, 3] {
        let mut stream = two_phase().connect().await.unwrap();
        place.prepare("later", 1, rows).await;
        let prepared = place.wal_end().await;
        place.run("INSERT INTO item VALUES (100000)").await;
        assert_eq!(taken(&mut stream, 1).await, [100_000]);
        stream.stop().await.unwrap();
        assert!(place.confirmed().await < prepared);
        // Once more while it is undecided: what was committed since comes again, and only that.
        let mut stream = two_phase().connect().await.unwrap();
        assert_eq!(taken(&mut stream, 1).await, [100_000]);
        place.cut().await;
        nothing_more(&place, &mut stream).await;
        stream.stop().await.unwrap();
        assert!(place.confirmed().await < prepared);

        // Whether the next one asks for it or not: the slot is that way for good.
        place.run("COMMIT PREPARED 'later'").await;
        let mut stream = place.stream().await;
        let all = events(&mut stream, 1 + 1 + usize::try_from(rows).unwrap()).await;
        assert_eq!((id(&all[0]), &*all[1].topic().table), (100_000, "marker"));
        assert_eq!(
            all[2..].iter().map(id).collect::<Vec<_>>(),
            ids(1, rows.into())
        );
        stream
            .acknowledger()
            .acknowledge(all.last().unwrap().position())
            .unwrap();
        stream.stop().await.unwrap();
        assert!(place.confirmed().await > all.last().unwrap().position().commit_lsn);
        let mut stream = place.stream().await;
        nothing_more(&place, &mut stream).await;
        place.run("DELETE FROM item").await;
        let deleted = events(&mut stream, 1 + usize::try_from(rows).unwrap()).await;
        stream
            .acknowledger()
            .acknowledge(deleted.last().unwrap().position())
            .unwrap();
        stream.stop().await.unwrap();
    }
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_undecided_does_not_make_the_server_send_half_of_another() {
    let place = Place::new("two_phase_overlap", SETUP).await;
    let two_phase = || place.config().two_phase(true);
    for rows in [5000, 3] {
        let mut stream = two_phase().connect().await.unwrap();
        place.prepare("first", 1, rows).await;
        let prepared = place.wal_end().await;
        place.prepare("second", 10_001, 10_003).await;
        place.run("COMMIT PREPARED 'first'").await;
        let count = usize::try_from(rows).unwrap();
        assert_eq!(taken(&mut stream, count).await, ids(1, rows.into()));
        // Within a process it is not handed over again, to the next one it is.
        place.cut().await;
        nothing_more(&place, &mut stream).await;
        stream.stop().await.unwrap();
        assert!(place.confirmed().await < prepared);
        let mut stream = two_phase().connect().await.unwrap();
        let all = events(&mut stream, count + 1).await;
        assert_eq!(
            all[..count].iter().map(id).collect::<Vec<_>>(),
            ids(1, rows.into())
        );
        place.run("COMMIT PREPARED 'second'").await;
        assert_eq!(taken(&mut stream, 3).await, ids(10_001, 10_003));
        confirmed_up_to(&place, place.wal_end().await).await;
        place.run("DELETE FROM item").await;
        let deleted = events(&mut stream, count + 3).await;
        let last = deleted.last().unwrap().position();
        stream.acknowledger().acknowledge(last).unwrap();
        stream.stop().await.unwrap();
    }
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_between_prepare_and_commit_loses_and_repeats_nothing() {
    let server = Server::start(&[]).await;
    let place = Place::at(&server.url, "two_phase_restart", SETUP).await;
    let mut stream = place.config().two_phase(true).connect().await.unwrap();
    for (mode, rows) in [("immediate", 5000), ("fast", 5000), ("immediate", 3)] {
        let again = || connect(&place.url, Some(place.name));
        let insert = format!(
            "BEGIN; INSERT INTO item SELECT n, repeat('x', 100) FROM generate_series(1, {rows}) n;
             PREPARE TRANSACTION 'x'"
        );
        let sql = again().await;
        sql.batch_execute(&insert).await.unwrap();
        sql.batch_execute("INSERT INTO item VALUES (100000)")
            .await
            .unwrap();
        assert_eq!(taken(&mut stream, 1).await, [100_000]);
        sleep(Duration::from_millis(500)).await;
        restart(&server, mode).await;
        let sql = again().await;
        sql.batch_execute("COMMIT PREPARED 'x'").await.unwrap();
        assert_eq!(
            taken(&mut stream, usize::try_from(rows).unwrap()).await,
            ids(1, rows.into())
        );
        sql.batch_execute("DELETE FROM item").await.unwrap();
        let deleted = events(&mut stream, 1 + usize::try_from(rows).unwrap()).await;
        stream
            .acknowledger()
            .acknowledge(deleted.last().unwrap().position())
            .unwrap();
    }
    stream.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_before_two_phase_was_asked_for_comes_too() {
    let place = Place::new("two_phase_before", SETUP).await;
    place.prepare("early", 1, 5000).await;
    place.run("INSERT INTO item VALUES (100000)").await;
    let mut stream = place.stream().await;
    assert_eq!(taken(&mut stream, 1).await, [100_000]);
    confirmed_up_to(&place, place.wal_end().await).await;
    stream.stop().await.unwrap();
    let mut stream = place.config().two_phase(true).connect().await.unwrap();
    place.run("COMMIT PREPARED 'early'").await;
    assert_eq!(taken(&mut stream, 5000).await, ids(1, 5000));
    confirmed_up_to(&place, place.wal_end().await).await;
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_prepare_somebody_else_confirmed_is_an_error_that_says_what_to_do() {
    let place = Place::new("two_phase_lost", SETUP).await;
    let two_phase = || place.config().two_phase(true);
    two_phase().connect().await.unwrap().stop().await.unwrap();
    place.prepare("lost", 1, 3).await;
    let end = place.wal_end().await;
    let advance = format!(
        "SELECT pg_replication_slot_advance('{}', '{end}')",
        place.name
    );
    place.run(&advance).await;
    let confirmed = place.confirmed().await;
    let mut stream = two_phase().connect().await.unwrap();
    place.run("INSERT INTO item VALUES (100000)").await;
    assert_eq!(taken(&mut stream, 1).await, [100_000]);
    place.run("COMMIT PREPARED 'lost'").await;
    place.run("INSERT INTO item VALUES (100001)").await;
    let error = timeout(PATIENCE, stream.next_batch())
        .await
        .unwrap()
        .unwrap_err();
    let Error::SlotUnusable {
        problem: SlotProblem::PrepareConfirmed { end_lsn, .. },
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(
        (error.class(), error.sqlstate()),
        (ErrorClass::Server, Some("55000"))
    );
    sleep(Duration::from_millis(1500)).await;
    stream.stop().await.unwrap();
    let stopped_at = place.confirmed().await;
    assert!(
        confirmed < stopped_at && stopped_at < *end_lsn,
        "{stopped_at}"
    );
    let hint = error.hint().unwrap();
    place.run(hint.split_once(": ").unwrap().1).await;
    let mut stream = two_phase().connect().await.unwrap();
    assert_eq!(taken(&mut stream, 1).await, [100_001]);
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_behind_a_prepare_does_not_pass_it_over() {
    let place = Place::new("two_phase_start", SETUP).await;
    let two_phase = || place.config().two_phase(true);
    let mut stream = two_phase().connect().await.unwrap();
    for rows in [5000, 3] {
        place.prepare("early", 1, rows).await;
        let prepared = place.wal_end().await;
        place.run("INSERT INTO item VALUES (100000)").await;
        assert_eq!(taken(&mut stream, 1).await, [100_000]);
        stream.stop().await.unwrap();
        // A consumer that keeps the place itself wants nothing a second time.
        let start = place.wal_end().await;
        stream = two_phase().start_lsn(start).connect().await.unwrap();
        place.run("INSERT INTO item VALUES (100001)").await;
        assert_eq!(taken(&mut stream, 1).await, [100_001]);
        sleep(Duration::from_millis(1500)).await;
        assert!(
            place.confirmed().await < prepared,
            "what is undecided is lost"
        );
        place.run("COMMIT PREPARED 'early'").await;
        let count = usize::try_from(rows).unwrap();
        assert_eq!(taken(&mut stream, count).await, ids(1, rows.into()));
        confirmed_up_to(&place, place.wal_end().await).await;
        place.run("DELETE FROM item").await;
        let deleted = events(&mut stream, count + 2).await;
        stream
            .acknowledger()
            .acknowledge(deleted.last().unwrap().position())
            .unwrap();
    }
    stream.stop().await.unwrap();
    place.leave().await;
}
