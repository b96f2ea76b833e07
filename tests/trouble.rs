//! What a stream does when others lock, drop, restart or restore what it needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::relay::{relay, untouched};
use super::*;

/// Within the time a server has to stop in, whoever is connected.
pub(super) async fn restart(server: &Server, mode: &str) {
    let restarting = timeout(Duration::from_secs(20), server.restart(mode));
    restarting.await.expect("somebody holds it up");
}

pub(super) async fn error_of(stream: &mut Stream) -> Error {
    let next = timeout(PATIENCE, stream.next_batch()).await;
    next.expect("the stream goes on").unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_behind_the_servers_wal_is_refused_and_the_slot_stays_where_it_is() {
    let place = Place::new("trouble_start", SHOP).await;
    place.run("INSERT INTO item VALUES (1)").await;
    place.run("INSERT INTO item VALUES (2)").await;
    let before = place.confirmed().await;
    let config = place.config().start_lsn(Lsn(0xFFFF_0000_0000));
    let error = config.connect().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Caller, "{error:?}");
    assert!(error.to_string().contains("FFFF/0"), "{error}");
    assert_eq!(place.confirmed().await, before);

    let now = "SELECT pg_current_wal_insert_lsn()::text";
    let start: Lsn = place.value::<String>(now).await.parse().unwrap();
    place.run("INSERT INTO item VALUES (3)").await;
    let mut stream = place.config().start_lsn(start).connect().await.unwrap();
    let event = events(&mut stream, 1).await.remove(0);
    assert_eq!(id(&event), 3);
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(place.confirmed().await, before, "nothing is acknowledged");
    stream.acknowledger().acknowledge(event.position()).unwrap();
    stream.stop().await.unwrap();
    assert!(place.confirmed().await > event.position().commit_lsn);
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_falls_silent_before_it_streams_is_given_up() {
    let place = Place::new("trouble_silent", SHOP).await;
    let stalled = Arc::new(AtomicBool::new(false));
    // A connection that would stream while `stalled` is silent from then on.
    let stalls = Arc::clone(&stalled);
    let stalling = move || {
        const COMMAND: &[u8] = b"START_REPLICATION";
        let (stalls, mut silent) = (Arc::clone(&stalls), false);
        let requests = move |held: &mut [u8]| {
            let starts = held.windows(COMMAND.len()).any(|w| w == COMMAND);
            silent |= starts && stalls.swap(false, Ordering::Relaxed);
            if silent { 0 } else { held.len() }
        };
        (requests, untouched)
    };
    let port = relay(place.port(), stalling).await;
    let config = place.config().host("127.0.0.1").port(port);
    let config = config.connect_timeout(Duration::from_secs(2));
    let mut stream = config.connect().await.unwrap();
    place.run("INSERT INTO item VALUES (1)").await;
    assert_eq!(id(&events(&mut stream, 1).await[0]), 1);
    stalled.store(true, Ordering::Relaxed);
    assert!(place.cut().await);
    place.run("INSERT INTO item VALUES (2)").await;
    assert_eq!(id(&events(&mut stream, 1).await[0]), 2);
    assert!(!stalled.load(Ordering::Relaxed), "nothing was stalled");
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_is_dropped_meanwhile_ends_the_stream() {
    let place = Place::new("trouble_publication", SHOP).await;
    for cut in [false, true] {
        let mut stream = place.stream().await;
        place
            .run("INSERT INTO item SELECT count(*) FROM item")
            .await;
        let event = events(&mut stream, 1).await.remove(0);
        stream.acknowledger().acknowledge(event.position()).unwrap();
        place.run("DROP PUBLICATION p").await;
        if cut {
            place.cut().await;
        } else {
            place.run("INSERT INTO item VALUES (100)").await;
        }
        let error = error_of(&mut stream).await;
        assert!(
            matches!(&error, Error::PublicationNotFound { publication, .. } if publication == "p"),
            "{error:?}"
        );
        // The last acknowledgement may not have been read before the cut: that may be said, too.
        let _ = stream.stop().await;
        place.run("CREATE PUBLICATION p FOR TABLE item").await;
        if !cut && major(&place.sql).await < 18 {
            // The slot stands at a change from before.
            let mut stream = place.stream().await;
            let error = loop {
                // The last event, where its acknowledgement did not arrive.
                match timeout(PATIENCE, stream.next_batch()).await.unwrap() {
                    Ok(again) => assert!(again.is_some(), "the stream has ended"),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.sqlstate(), Some("42704"), "{error:?}");
            assert!(error.hint().unwrap().contains("start_lsn"), "{error:?}");
            stream.stop().await.unwrap();
            let now: String = place.value("SELECT pg_current_wal_lsn()::text").await;
            let over = place.config().start_lsn(now.parse().unwrap());
            let mut stream = over.connect().await.unwrap();
            nothing_more(&place, &mut stream).await;
            stream.stop().await.unwrap();
        }
    }
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_arrives_or_the_error_says_where_and_what_to_do() {
    let place = Place::new("trouble_large", SHOP).await;
    let bytes = 160 << 20;
    let insert = format!("INSERT INTO item VALUES (1, repeat('x', {bytes}))");
    place.run(&insert).await;

    let small = place.config().memory_max_bytes(64 << 20);
    let mut stream = small.connect().await.unwrap();
    let error = error_of(&mut stream).await;
    let Error::EngineAt { lsn, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(*lsn > Lsn(0) && error.to_string().contains(&lsn.to_string()));
    assert!(error.hint().unwrap().contains("memory_max_bytes"));
    stream.stop().await.unwrap();

    let mut stream = place.stream().await;
    let event = events(&mut stream, 1).await.remove(0);
    assert!(event.after().unwrap().len() > bytes);
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_does_not_stop_the_stream() {
    let place = Place::new("trouble_locked", SHOP).await;
    let other = "
        CREATE TABLE other (id int PRIMARY KEY DEFAULT 7);
        ALTER PUBLICATION p ADD TABLE other;
        INSERT INTO other VALUES (1);
        INSERT INTO item VALUES (2);
        ALTER ROLE CURRENT_USER IN DATABASE trouble_locked SET lock_timeout = '1ms';
        ALTER ROLE CURRENT_USER IN DATABASE trouble_locked SET statement_timeout = '1ms';";
    place.run(other).await;
    let locking = connect(&place.url, Some(place.name)).await;
    locking
        .batch_execute("BEGIN; LOCK TABLE other IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    for format in ["native", "debezium"] {
        let mut stream = place
            .config()
            .option("format", format)
            .connect()
            .await
            .unwrap();
        let events = timeout(Duration::from_secs(10), events(&mut stream, 2)).await;
        let ids: Vec<_> = events.unwrap().iter().map(id).collect();
        assert_eq!(ids, [1, 2], "{format}");
        stream.stop().await.unwrap();
    }
    drop(locking);
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_say_what_to_do() {
    let place = Place::new("trouble_hints", SHOP).await;
    let role = "
        DROP ROLE IF EXISTS \"Hint\";
        CREATE ROLE \"Hint\" LOGIN REPLICATION PASSWORD 'hunter2';
        REVOKE CONNECT ON DATABASE trouble_hints FROM public;";
    place.run(role).await;
    let refused = async |config: Config| {
        let error = config.connect().await.unwrap_err();
        (error.hint().unwrap(), error)
    };
    let (hint, error) = refused(place.config().port(1)).await;
    assert!(
        hint.contains(":1") && hint.contains("start the server"),
        "{hint}"
    );
    assert_eq!(error.class(), ErrorClass::Transient);
    let (hint, _) = refused(place.config().host("nowhere.invalid")).await;
    assert!(hint.contains("nowhere.invalid"), "{hint}");
    let (hint, _) = refused(place.config().user("Hint").password("wrong")).await;
    assert!(hint.contains("ALTER ROLE \"Hint\" PASSWORD"), "{hint}");
    let (hint, _) = refused(place.config().database("No where")).await;
    assert!(hint.contains("CREATE DATABASE \"No where\""), "{hint}");
    let login: tokio_postgres::Config = place.url.parse().unwrap();
    let url = format!(
        "postgresql://Hint@127.0.0.1:{}/postgres",
        login.get_ports()[0]
    );
    let config = Config::parse(&url).unwrap().slot("s").publication("p");
    let (hint, error) = refused(config).await;
    assert!(matches!(error, Error::Authentication { .. }), "{error:?}");
    assert!(hint.contains("password"), "{hint}");
    assert_eq!(error.class(), ErrorClass::Server);

    let config = || place.config().user("Hint").password("hunter2");
    let (hint, error) = refused(config()).await;
    assert_eq!(error.sqlstate(), Some("42501"), "{error}");
    let (_, grant) = hint.split_once(": ").unwrap();
    place.run(grant).await;
    config().connect().await.unwrap().stop().await.unwrap();
    place
        .run("DROP OWNED BY \"Hint\"; DROP ROLE \"Hint\"")
        .await;
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_ends_where_a_commit_begins_does_not_confirm_it() {
    // Of its own: what others write might come between the two.
    let server = Server::start(&[]).await;
    let place = Place::at(&server.url, "trouble_message", SHOP).await;
    let mut stream = place.stream().await;
    let open = connect(&place.url, Some(place.name)).await;
    for number in 1..=3 {
        let insert = format!("BEGIN; INSERT INTO item VALUES ({number})");
        open.batch_execute(&insert).await.unwrap();
        place
            .run("SELECT pg_logical_emit_message(false, 'before', '')")
            .await;
        open.batch_execute("COMMIT").await.unwrap();
        let both = events(&mut stream, 2).await;
        assert_eq!(ops(&both), "mc");
        let [message, change] = [&both[0], &both[1]].map(Event::position);
        stream.acknowledger().acknowledge(message).unwrap();
        stream.stop().await.unwrap();
        assert_eq!(place.confirmed().await, message.commit_lsn);
        stream = place.stream().await;
        let again = events(&mut stream, 1).await.remove(0);
        assert_eq!((id(&again), again.position()), (number, change));
        stream.acknowledger().acknowledge(change).unwrap();
        // The server's own records come between the two now and then.
        if message.commit_lsn == change.commit_lsn {
            stream.stop().await.unwrap();
            return;
        }
    }
    panic!("something always came between");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_consumer_holds_up_a_server_that_is_stopping() {
    let server = Server::start(&[]).await;
    let broken = Place::at(&server.url, "trouble_broken", SHOP).await;
    let mut ended = broken.stream().await;
    broken.run("INSERT INTO item VALUES (1)").await;
    let event = events(&mut ended, 1).await.remove(0);
    broken.run("DROP PUBLICATION p").await;
    broken.run("INSERT INTO item VALUES (2)").await;
    let error = error_of(&mut ended).await;
    assert!(
        matches!(&error, Error::PublicationNotFound { .. }),
        "{error:?}"
    );

    let slow = Place::at(&server.url, "trouble_stalled", SHOP).await;
    let mut stalled = slow.stream().await;
    let rows = 60_000;
    let insert = format!("INSERT INTO item SELECT generate_series(1, {rows}), repeat('x', 1000)");
    slow.run(&insert).await;
    let first = events_of_a_batch(&mut stalled).await;
    sleep(Duration::from_secs(2)).await;
    // Their catalog connections alone: the server goes on.
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE application_name = 'pgoutput-decoder' AND backend_type = 'client backend'";
    assert_eq!(slow.value::<i64>(cut).await, 2);
    let walsender = slow.walsender().await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(slow.walsender().await, walsender, "it was taken for a stop");

    // Neither has acknowledged anything, and nobody stops them.
    restart(&server, "fast").await;
    ended.acknowledger().acknowledge(event.position()).unwrap();
    let unsent = ended.stop().await.unwrap_err();
    assert!(matches!(&unsent, Error::Connection { .. }), "{unsent:?}");
    let rest = events(&mut stalled, rows - first).await;
    assert_eq!(id(rest.last().unwrap()), i64::try_from(rows).unwrap());

    // Recovery from an archive begins another timeline.
    let archive = connect(&server.url, None).await;
    let command = "ALTER SYSTEM SET restore_command = 'false'";
    archive.batch_execute(command).await.unwrap();
    // Else it may be met while it still recovers, on the timeline before.
    let no_standby = "ALTER SYSTEM SET hot_standby = off";
    archive.batch_execute(no_standby).await.unwrap();
    std::fs::write(server.data.join("recovery.signal"), "").unwrap();
    restart(&server, "fast").await;
    // pg_ctl does not wait for that where there is no hot standby.
    accepting(&server).await;
    // All that was handed over lies before it: the stream goes on.
    slow.reconnected()
        .await
        .run("DELETE FROM item WHERE id = 1")
        .await;
    let deleted = events(&mut stalled, 1).await;
    assert_eq!(ops(&deleted), "d");
    let acknowledger = stalled.acknowledger();
    acknowledger.acknowledge(deleted[0].position()).unwrap();
    stalled.stop().await.unwrap();
}

async fn accepting(server: &Server) {
    let accepted = async {
        while tokio_postgres::connect(&server.url, NoTls).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, accepted).await.expect("it does not");
}

async fn events_of_a_batch(stream: &mut Stream) -> usize {
    let batch = timeout(PATIENCE, stream.next_batch()).await.unwrap();
    batch.unwrap().expect("the stream has ended").len()
}
