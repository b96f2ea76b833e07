//! Where a stream goes on: behind a position it is told, or where it was, and never over a hole.

use super::gate::{Gate, set};
use super::trouble::{error_of, restart};
use super::two_phase::confirmed_up_to;
use super::*;

const SETUP: &str = "
    CREATE TABLE item (id int PRIMARY KEY, name text);
    CREATE TABLE other (id int PRIMARY KEY);
    CREATE PUBLICATION p FOR TABLE item, other;
    DO $$ BEGIN
        IF current_setting('server_version_num')::int >= 130000 THEN
            EXECUTE format(
                'ALTER DATABASE %I SET logical_decoding_work_mem = ''64kB''', current_database()
            );
        END IF;
    END $$;";

#[expect(
    clippy::disallowed_methods,
    reason = "measures how long something takes"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Many events of one LSN, several tables, savepoints, messages of both kinds, one that is
/// streamed, one that is prepared.
const HISTORY: &[&str] = &[
    "INSERT INTO item SELECT n, 'many' FROM generate_series(1, 5) n",
    "INSERT INTO other VALUES (1)",
    "BEGIN; INSERT INTO item VALUES (6), (7); SAVEPOINT a; INSERT INTO other VALUES (2);
     ROLLBACK TO a; UPDATE item SET id = 8 WHERE id = 6; DELETE FROM item WHERE id = 7; COMMIT",
    "SELECT pg_logical_emit_message(false, 'm', 'at once')",
    "BEGIN; SELECT pg_logical_emit_message(true, 'm', 'first'); INSERT INTO other VALUES (3);
     SELECT pg_logical_emit_message(true, 'm', 'last'); COMMIT",
    "INSERT INTO item SELECT n, repeat('x', 100) FROM generate_series(101, 1100) n",
    "BEGIN; INSERT INTO item SELECT n, 'prepared' FROM generate_series(21, 23) n;
     PREPARE TRANSACTION 'resume'",
    "INSERT INTO other VALUES (4)",
    "COMMIT PREPARED 'resume'",
    "TRUNCATE other",
];

#[tokio::test(flavor = "multi_thread")]
async fn behind_any_event_exactly_the_rest_comes() {
    let place = Place::new("resume_any", SETUP).await;
    // Passing over confirms: each way has a slot of its own.
    let mut slots = vec!["resume_any", "resume_any_1", "resume_any_2"];
    let version = major(&place.sql).await;
    if version < 15 {
        slots.pop(); // two_phase
    }
    for slot in &slots[1..] {
        drop_slot(&place.sql, slot).await;
        let sql = format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')");
        place.run(&sql).await;
    }
    for statement in HISTORY {
        for statement in statement.split(';') {
            place.run(statement).await;
        }
    }
    let messages = if version < 14 { 0 } else { 3 };
    let count = 5 + 1 + 2 + 2 + messages + 1 + 1000 + 3 + 1 + 1;
    let mut stream = place.stream().await;
    let all = events(&mut stream, count).await;
    stream.stop().await.unwrap();
    let positions: Vec<_> = all.iter().map(Event::position).collect();
    let streaming = |config: Config, way: usize| match way {
        0 => config,
        1 => config.streaming(pgoutput_decoder_host::Streaming::Off),
        _ => config.two_phase(true),
    };
    // Every one of them, but of the thousand a few.
    for (way, slot) in slots.into_iter().enumerate() {
        for (number, &position) in positions.iter().enumerate() {
            if (20..1000).contains(&number) && number % 97 > 0 {
                continue;
            }
            let config = streaming(place.config().slot(slot), way);
            let mut stream = config.start_position(position).connect().await.unwrap();
            let rest = events(&mut stream, count - number - 1).await;
            let expected = &positions[number + 1..];
            assert!(
                rest.iter()
                    .map(Event::position)
                    .eq(expected.iter().copied())
            );
            stream.stop().await.unwrap();
        }
        drop_slot(&place.sql, slot).await;
    }
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_passed_over_counts_as_acknowledged() {
    let place = Place::new("resume_confirm", SETUP).await;
    place.run("INSERT INTO item VALUES (1), (2), (3)").await;
    let mut stream = place.stream().await;
    let all = events(&mut stream, 3).await;
    stream.stop().await.unwrap();
    let before = place.confirmed().await;

    // In the middle: what is not acknowledged yet holds it.
    let start = |position| place.config().start_position(position);
    let mut stream = start(all[1].position()).connect().await.unwrap();
    // The last position stored may be acknowledged once more.
    let acknowledger = stream.acknowledger();
    acknowledger.acknowledge(all[1].position()).unwrap();
    let rest = events(&mut stream, 1).await;
    assert_eq!(id(&rest[0]), 3);
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(place.confirmed().await, before);
    stream.stop().await.unwrap();

    let mut stream = start(all[2].position()).connect().await.unwrap();
    confirmed_up_to(&place, Lsn(all[2].position().commit_lsn.0 + 1)).await;
    nothing_more(&place, &mut stream).await;
    stream.stop().await.unwrap();

    let beyond = Position {
        commit_lsn: Lsn(0xFFFF_0000_0000),
        index: 1,
        sub: 0,
    };
    let confirmed = place.confirmed().await;
    let error = start(beyond).connect().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Caller, "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("start_position: FFFF/0:1 "), "{text}");
    assert_eq!(place.confirmed().await, confirmed);
    place.leave().await;
}

/// A stream through a gate that has handed over and confirmed one event, and the gate closed.
async fn cut_off(place: &Place, gate: &Gate) -> Stream {
    let mut stream = place.config_at(gate).connect().await.unwrap();
    place
        .run("INSERT INTO item SELECT count(*) FROM item")
        .await;
    let event = events(&mut stream, 1).await.remove(0);
    stream.acknowledger().acknowledge(event.position()).unwrap();
    confirmed_up_to(place, Lsn(event.position().commit_lsn.0 + 1)).await;
    gate.close();
    let inactive = "SELECT NOT active FROM pg_replication_slots WHERE slot_name = $1";
    timeout(PATIENCE, async {
        while !place
            .sql
            .query_one(inactive, &[&place.name])
            .await
            .unwrap()
            .get::<_, bool>(0)
        {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_made_anew_or_moved_by_somebody_else_is_an_error_and_not_a_hole() {
    let place = Place::new("resume_anew", SETUP).await;
    let own = place.port();
    let gate = Gate::to(own).await;
    let anew = "SELECT pg_drop_replication_slot('resume_anew');
                SELECT pg_create_logical_replication_slot('resume_anew', 'pgoutput')";
    let moved = "SELECT pg_replication_slot_advance('resume_anew', pg_current_wal_insert_lsn())";
    for behind_us in [anew, moved] {
        gate.lead_to(own);
        let mut stream = cut_off(&place, &gate).await;
        place
            .run("INSERT INTO other SELECT count(*) FROM other")
            .await;
        for statement in behind_us.split(';') {
            place.run(statement).await;
        }
        gate.lead_to(own);
        let error = error_of(&mut stream).await;
        let Error::SlotUnusable {
            problem: SlotProblem::Moved { found, confirmed },
            ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert!(found > confirmed, "{error}");
        assert!(error.hint().unwrap().contains("new snapshot"));
        assert_eq!(error.class(), ErrorClass::Server);
        // The last acknowledgement may not have been read before the cut: that may be said, too.
        let _ = stream.stop().await;
    }
    gate.lead_to(own);
    let mut stream = cut_off(&place, &gate).await;
    place
        .run("SELECT pg_drop_replication_slot('resume_anew')")
        .await;
    gate.lead_to(own);
    let error = error_of(&mut stream).await;
    assert!(matches!(&error, Error::SlotGone { .. }), "{error:?}");
    assert_eq!(error.sqlstate(), Some("42704"));
    let _ = stream.stop().await;
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_lost_is_an_error_that_says_why_and_what_to_do() {
    let server = Server::start(&[]).await;
    let place = Place::at(&server.url, "resume_lost", SETUP).await;
    let gate = Gate::to(server.port).await;
    let lost = async |stream: &mut Stream, reason: &str, setting: &str| {
        let error = error_of(stream).await;
        assert!(
            matches!(
                &error,
                Error::SlotUnusable { problem: SlotProblem::Lost { reason: found }, .. }
                    if found == reason
            ),
            "{error:?}"
        );
        let hint = error.hint().unwrap();
        assert!(hint.contains(setting), "{hint}");
        assert!(hint.contains("pg_drop_replication_slot('resume_lost')"));
        // The last acknowledgement may not have been read before the cut: that may be said, too.
        let _ = stream.stop().await;
    };
    let again = "SELECT pg_drop_replication_slot('resume_lost');
                 SELECT pg_create_logical_replication_slot('resume_lost', 'pgoutput')";

    let version = major(&place.sql).await;

    // While nobody streams, and the server has a time limit for that.
    if version >= 18 {
        let mut stream = cut_off(&place, &gate).await;
        set(&server, "idle_replication_slot_timeout", "1s").await;
        sleep(Duration::from_secs(2)).await;
        place.run("CHECKPOINT").await;
        gate.lead_to(server.port);
        lost(&mut stream, "idle_timeout", "idle_replication_slot_timeout").await;
        set(&server, "idle_replication_slot_timeout", "0").await;
        for statement in again.split(';') {
            place.run(statement).await;
        }
    }

    // While it streams: an event is outstanding, and WAL is written.
    let mut stream = place.config_at(&gate).connect().await.unwrap();
    place.run("INSERT INTO item VALUES (100)").await;
    events(&mut stream, 1).await;
    set(&server, "max_slot_wal_keep_size", "1MB").await;
    for _ in 0..4 {
        place.run("SELECT pg_switch_wal()").await;
        place
            .run("CREATE TABLE noise (n int); DROP TABLE noise")
            .await;
    }
    place.run("CHECKPOINT").await;
    // Which of them it is, the server says from 17 on.
    let reason = if version < 17 { "lost" } else { "wal_removed" };
    lost(&mut stream, reason, "max_slot_wal_keep_size").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_restored_to_an_earlier_point_is_an_error() {
    let server = Server::start(&[]).await;
    let place = Place::at(&server.url, "resume_restored", SETUP).await;
    let gate = Gate::to(server.port).await;
    // A backup that is recovered to its end: another timeline from there on.
    let restored = server.standby(&[]).await;
    restored.stop("immediate").await;
    std::fs::remove_file(restored.data.join("standby.signal")).unwrap();
    std::fs::write(restored.data.join("recovery.signal"), "").unwrap();
    let file = restored.data.join("postgresql.auto.conf");
    let settings = std::fs::read_to_string(&file).unwrap();
    let more = "primary_conninfo = ''\nrestore_command = 'false'\nhot_standby = off";
    std::fs::write(&file, format!("{settings}\n{more}\n")).unwrap();
    // A copy of the files: the same timeline, ends earlier.
    server.stop("fast").await;
    let copy = server.data.with_file_name("copy");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&server.data, &copy])
        .status();
    assert!(copied.unwrap().success());
    server.restart("fast").await;

    let place = place.reconnected().await;
    let mut stream = place.config_at(&gate).connect().await.unwrap();
    place.run("INSERT INTO item VALUES (1)").await;
    events(&mut stream, 1).await;
    server.stop("fast").await;
    restored.restart("fast").await;
    gate.lead_to(restored.port);
    let error = error_of(&mut stream).await;
    let Error::TimelineChanged {
        expected: 1,
        found: 2,
        fork,
        handed,
    } = &error
    else {
        panic!("{error:?}")
    };
    assert!(handed.commit_lsn >= *fork, "{error}");
    assert!(error.to_string().contains(&fork.to_string()));
    stream.stop().await.unwrap();
    restored.stop("immediate").await;

    // The copy in place of the data.
    server.restart("fast").await;
    gate.lead_to(server.port);
    let mut stream = place.config_at(&gate).connect().await.unwrap();
    events(&mut stream, 1).await;
    server.stop("fast").await;
    std::fs::rename(&server.data, server.data.with_file_name("later")).unwrap();
    std::fs::rename(&copy, &server.data).unwrap();
    server.restart("fast").await;
    let error = error_of(&mut stream).await;
    assert!(matches!(&error, Error::ServerRewound { .. }), "{error:?}");
    let _ = stream.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_in_use_is_waited_for() {
    let place = Place::new("resume_in_use", SETUP).await;
    let mut holder = place.stream().await;
    let config = place
        .config()
        .reconnect_time_max(Duration::from_millis(700));
    let began = now();
    let error = config.connect().await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("55006"), "{error:?}");
    assert!(began.elapsed() >= Duration::from_millis(600));

    let (told, mut notices) = tokio::sync::mpsc::unbounded_channel();
    let config = place.config().on_slot_wait(move |wait| {
        told.send(wait.to_string()).unwrap();
    });
    let waiting = tokio::spawn(config.connect());
    let notice = timeout(PATIENCE, notices.recv()).await.unwrap().unwrap();
    let holder_pid = place.walsender().await;
    let expected = format!("\"resume_in_use\" is in use by process {holder_pid} (");
    assert!(notice.contains(&expected), "{notice}");
    assert!(!waiting.is_finished());
    holder.stop().await.unwrap();
    let mut stream = timeout(Duration::from_secs(3), waiting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gives_up_when_it_is_told_to_and_says_why() {
    let place = Place::new("resume_give_up", SETUP).await;
    let own = place.port();
    let gate = Gate::to(own).await;
    for (config, least, most) in [
        (place.config_at(&gate).reconnect_attempts_max(3), 0, 2000),
        (
            place
                .config_at(&gate)
                .reconnect_time_max(Duration::from_secs(1)),
            900,
            3000,
        ),
    ] {
        gate.lead_to(own);
        let mut stream = config.connect().await.unwrap();
        let began = now();
        gate.close();
        let error = error_of(&mut stream).await;
        assert!(matches!(&error, Error::Connection { .. }), "{error:?}");
        let lasted = began.elapsed().as_millis();
        assert!((least..most).contains(&lasted), "{lasted} ms");
        stream.stop().await.unwrap();
    }
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_refused_for_a_while_does_not_end_the_stream() {
    let place = Place::new("resume_password", SETUP).await;
    let role = "
        DROP ROLE IF EXISTS rotating;
        CREATE ROLE rotating LOGIN REPLICATION PASSWORD 'first';";
    place.run(role).await;
    let config = place.config().user("rotating").password("first");
    let mut stream = config.connect().await.unwrap();
    place.run("INSERT INTO item VALUES (1)").await;
    events(&mut stream, 1).await;
    place.run("ALTER ROLE rotating PASSWORD 'second'").await;
    assert!(place.cut().await);
    place.run("INSERT INTO item VALUES (2)").await;
    let early = timeout(Duration::from_secs(2), stream.next_batch()).await;
    assert!(early.is_err(), "{early:?}");
    place.run("ALTER ROLE rotating PASSWORD 'first'").await;
    assert_eq!(id(&events(&mut stream, 1).await[0]), 2);
    stream.stop().await.unwrap();
    place.run("DROP ROLE rotating").await;
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_event_comes_within_a_second_of_a_restarted_server() {
    let server = Server::start(&[]).await;
    let mut place = Place::at(&server.url, "resume_soon", SETUP).await;
    let mut stream = place.stream().await;
    for (number, down) in [0, 3, 8].into_iter().enumerate() {
        server.stop("immediate").await;
        sleep(Duration::from_secs(down)).await;
        server.restart("fast").await;
        place = place.reconnected().await;
        let accepted = now();
        place
            .run("INSERT INTO item SELECT count(*) FROM item")
            .await;
        let event = events(&mut stream, 1).await.remove(0);
        let took = accepted.elapsed();
        assert_eq!(id(&event), i64::try_from(number).unwrap());
        assert!(took < Duration::from_secs(1), "{took:?} after {down} s");
        println!(
            "first event {} ms after {down} s of outage",
            took.as_millis()
        );
    }
    stream.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_made_again_while_the_consumer_does_not_read() {
    let place = Place::new("resume_stalled", SETUP).await;
    let own = place.port();
    let gate = Gate::to(own).await;
    let config = place.config_at(&gate);
    let config = config.status_interval(Duration::from_millis(500));
    let mut stream = config.connect().await.unwrap();
    // Streamed, and so replayed at its commit.
    let rows = 50_000;
    let insert =
        format!("INSERT INTO item SELECT n, repeat('x', 100) FROM generate_series(1, {rows}) n");
    place.run(&insert).await;
    let first = timeout(PATIENCE, stream.next_batch()).await.unwrap();
    let first = first.unwrap().unwrap().len();
    let walsender = place.walsender().await;
    gate.lead_to(own);
    // It is noticed, and another session holds the slot, though nothing is read.
    timeout(Duration::from_secs(10), async {
        while place.walsender().await == walsender {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the connection is not made again");
    let rest = events(&mut stream, rows - first).await;
    assert_eq!(id(rest.last().unwrap()), i64::try_from(rows).unwrap());
    let last = rest.last().unwrap().position();
    stream.acknowledger().acknowledge(last).unwrap();
    nothing_more(&place, &mut stream).await;
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_does_not_hold_up_a_server_that_is_stopping() {
    let server = Server::start(&[]).await;
    let place = Place::at(&server.url, "resume_replay", SETUP).await;
    let mut stream = place.stream().await;
    let rows = 200_000;
    let insert =
        format!("INSERT INTO item SELECT n, repeat('x', 100) FROM generate_series(1, {rows}) n");
    place.run(&insert).await;
    let reading = tokio::spawn(async move {
        let (mut count, mut last) = (0, None);
        while count < rows {
            let batch = timeout(PATIENCE, stream.next_batch()).await.unwrap();
            for event in batch.unwrap().unwrap().events() {
                count += 1;
                assert_eq!(id(&event), count);
                last = Some(event.position());
            }
            // Slow, and never so slow that there is room for nothing.
            sleep(Duration::from_millis(5)).await;
        }
        stream.acknowledger().acknowledge(last.unwrap()).unwrap();
        stream.stop().await.unwrap();
    });
    sleep(Duration::from_millis(500)).await;
    assert!(!reading.is_finished());
    let began = now();
    restart(&server, "fast").await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    reading.await.unwrap();
}
