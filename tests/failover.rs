//! Failover to a standby, by slots that are synchronized to it (PostgreSQL 17), and streaming from
//! a standby itself (PostgreSQL 16).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::gate::{Gate, set, slot_of, standby_of, wait_until};
use super::trouble::error_of;
use super::*;

const SETUP: &str = "
    CREATE TABLE item (id int PRIMARY KEY, name text);
    CREATE PUBLICATION p FOR TABLE item;";

/// A stream from the place's slot, which is one that outlasts a failover, and is on the standby:
/// a new one is once it has moved.
async fn streaming(place: &Place, standby: &Server, gate: &Gate) -> Stream {
    drop_slot(&place.sql, place.name).await;
    let name = place.name;
    let slot = format!(
        "SELECT pg_create_logical_replication_slot('{name}', 'pgoutput', failover => true)"
    );
    place.run(&slot).await;
    let stream = place.config_at(gate).connect().await.unwrap();
    let logging = log_snapshots(place).await;
    let synchronized = format!(
        "SELECT synced AND NOT temporary AND invalidation_reason IS NULL
         FROM pg_replication_slots WHERE slot_name = '{name}'"
    );
    wait_until(standby, &synchronized).await;
    logging.abort();
    stream
}

/// Lets the primary's slots, and those made on a standby, come forward.
async fn log_snapshots(place: &Place) -> tokio::task::JoinHandle<()> {
    let sql = connect(&place.url, Some(place.name)).await;
    tokio::spawn(async move {
        loop {
            sql.batch_execute("SELECT pg_log_standby_snapshot()")
                .await
                .unwrap();
            sleep(Duration::from_millis(100)).await;
        }
    })
}

/// Everything written on the primary so far has been replayed on the standby.
async fn caught_up(place: &Place, standby: &Server) {
    let end: String = place.value("SELECT pg_current_wal_lsn()::text").await;
    let replayed = format!("pg_last_wal_replay_lsn() >= '{end}'");
    wait_until(standby, &replayed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_under_load_loses_and_repeats_nothing() {
    let primary = Server::start(&[]).await;
    let place = Place::at(&primary.url, "failover_load", SETUP).await;
    let standby = standby_of(&primary).await;
    // Nothing is sent that the standby does not have.
    set(&primary, "synchronized_standby_slots", &slot_of(&standby)).await;
    set(&primary, "synchronous_standby_names", "*").await;
    let gate = Gate::to(primary.port).await;
    let mut stream = streaming(&place, &standby, &gate).await;

    // What is committed is on the standby, too; what failed with the primary may or may not be.
    let dead = Arc::new(AtomicBool::new(false));
    let writing = {
        let (dead, sql) = (
            Arc::clone(&dead),
            connect(&place.url, Some(place.name)).await,
        );
        tokio::spawn(async move {
            let mut next = 1;
            while !dead.load(Ordering::Relaxed) {
                let ten = format!(
                    "INSERT INTO item SELECT n, 'x' FROM generate_series({next}, {next} + 9) n"
                );
                if sql.batch_execute(&ten).await.is_err() {
                    break;
                }
                next += 10;
            }
            next
        })
    };
    let acknowledger = stream.acknowledger();
    let mut expected = 1;
    let mut take = async |stream: &mut Stream, last: i64| {
        while expected <= last {
            let batch = timeout(PATIENCE, stream.next_batch()).await;
            let batch = batch.unwrap_or_else(|_| panic!("nothing after {expected}"));
            for event in batch.unwrap().expect("the stream has ended").events() {
                assert_eq!(id(&event), expected);
                expected += 1;
                if expected % 70 == 0 {
                    acknowledger.acknowledge(event.position()).unwrap();
                }
            }
        }
    };
    take(&mut stream, 2000).await;
    primary.stop("immediate").await;
    dead.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    gate.lead_to(standby.port);
    // Still a standby: its copy of the slot cannot be used yet.
    sleep(Duration::from_secs(1)).await;
    standby.promote().await;
    let place = place.on(&standby.url).await;
    let last: i32 = place.value("SELECT max(id) FROM item").await;
    let (from, to) = (last + 1, last + 500);
    let more =
        format!("INSERT INTO item SELECT n, 'on the other' FROM generate_series({from}, {to}) n");
    place.run(&more).await;
    take(&mut stream, i64::from(to)).await;
    nothing_more(&place, &mut stream).await;
    stream.stop().await.unwrap();
    let mut stream = place.stream().await;
    nothing_more(&place, &mut stream).await;
    stream.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_lacks_what_was_handed_over_is_an_error() {
    let primary = Server::start(&[]).await;
    let place = Place::at(&primary.url, "failover_lag", SETUP).await;
    let standby = standby_of(&primary).await;
    let gate = Gate::to(primary.port).await;
    let mut stream = streaming(&place, &standby, &gate).await;
    place.run("INSERT INTO item VALUES (1)").await;
    let event = events(&mut stream, 1).await.remove(0);
    caught_up(&place, &standby).await;
    standby.stop("immediate").await;
    place.run("INSERT INTO item VALUES (2)").await;
    let lost = events(&mut stream, 1).await.remove(0);
    primary.stop("immediate").await;
    standby.restart("immediate").await;
    standby.promote().await;
    let there = place.on(&standby.url).await;
    there.run("INSERT INTO item VALUES (3)").await;
    gate.lead_to(standby.port);
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
    assert_eq!(*handed, lost.position());
    assert!(event.position().commit_lsn < *fork && *fork <= lost.position().commit_lsn);
    assert!(error.hint().unwrap().contains("new snapshot"), "{error}");
    let _ = stream.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_confirmed_without_events_beyond_the_fork_is_no_hole() {
    let primary = Server::start(&[]).await;
    let place = Place::at(&primary.url, "failover_quiet", SETUP).await;
    let standby = standby_of(&primary).await;
    let gate = Gate::to(primary.port).await;
    let mut stream = streaming(&place, &standby, &gate).await;
    place.run("INSERT INTO item VALUES (1)").await;
    let event = events(&mut stream, 1).await.remove(0);
    stream.acknowledger().acknowledge(event.position()).unwrap();
    caught_up(&place, &standby).await;
    standby.stop("immediate").await;
    // A megabyte that is not published: confirmed, and never on the standby.
    place
        .run("CREATE TABLE noise AS SELECT generate_series(1, 20000) n")
        .await;
    let noisy: String = place.value("SELECT pg_current_wal_lsn()::text").await;
    two_phase::confirmed_up_to(&place, noisy.parse().unwrap()).await;
    primary.stop("immediate").await;
    standby.restart("immediate").await;
    standby.promote().await;
    let there = place.on(&standby.url).await;
    // At LSNs that were confirmed on the other timeline.
    there.run("INSERT INTO item VALUES (2)").await;
    let end: String = there.value("SELECT pg_current_wal_lsn()::text").await;
    assert!(end.parse::<Lsn>().unwrap() < noisy.parse().unwrap());
    gate.lead_to(standby.port);
    let event = events(&mut stream, 1).await.remove(0);
    assert_eq!(id(&event), 2);
    stream.acknowledger().acknowledge(event.position()).unwrap();
    two_phase::confirmed_up_to(&there, Lsn(event.position().commit_lsn.0 + 1)).await;

    // The former primary comes back: it is not streamed from any more.
    primary.restart("immediate").await;
    gate.lead_to(primary.port);
    place
        .reconnected()
        .await
        .run("INSERT INTO item VALUES (4)")
        .await;
    let error = error_of(&mut stream).await;
    assert!(
        matches!(
            &error,
            Error::TimelineChanged {
                expected: 2,
                found: 1,
                ..
            }
        ),
        "{error:?}"
    );
    let _ = stream.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_not_on_the_promoted_standby_is_an_error() {
    let primary = Server::start(&[]).await;
    let place = Place::at(&primary.url, "failover_gone", SETUP).await;
    let standby = standby_of(&primary).await;
    let gate = Gate::to(primary.port).await;
    let mut stream = place.config_at(&gate).connect().await.unwrap();
    place.run("INSERT INTO item VALUES (1)").await;
    events(&mut stream, 1).await;
    caught_up(&place, &standby).await;
    primary.stop("immediate").await;
    standby.promote().await;
    gate.lead_to(standby.port);
    let error = error_of(&mut stream).await;
    assert!(matches!(&error, Error::SlotGone { .. }), "{error:?}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("failover => true") && hint.contains("sync_replication_slots"));
    let _ = stream.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_streams_and_goes_on_when_it_is_promoted() {
    let primary = Server::start(&[]).await;
    let place = Place::at(&primary.url, "failover_standby", SETUP).await;
    let standby = standby_of(&primary).await;
    caught_up(&place, &standby).await;
    let there = place.on(&standby.url).await;
    // A slot of the standby's own; it waits for what the primary logs of running transactions.
    let logging = log_snapshots(&place).await;
    let name = place.name;
    let own = format!("SELECT pg_create_logical_replication_slot('{name}_own', 'pgoutput')");
    there.run(&own).await;
    logging.abort();
    let config = there.config().slot("failover_standby_own");
    let mut stream = config.connect().await.unwrap();
    let acknowledger = stream.acknowledger();
    let take = async |stream: &mut Stream, number: i64| {
        let event = events(stream, 1).await.remove(0);
        assert_eq!(id(&event), number);
        acknowledger.acknowledge(event.position()).unwrap();
    };
    place.run("INSERT INTO item VALUES (1)").await;
    take(&mut stream, 1).await;
    standby.promote().await;
    for number in 2..=3 {
        there
            .run(&format!("INSERT INTO item VALUES ({number})"))
            .await;
        take(&mut stream, number).await;
    }
    // It has noticed; and so what it handed over is no news of another timeline.
    sleep(Duration::from_secs(7)).await;
    there.run("INSERT INTO item VALUES (4)").await;
    take(&mut stream, 4).await;
    standby.stop("immediate").await;
    standby.restart("immediate").await;
    let there = there.reconnected().await;
    there.run("INSERT INTO item VALUES (5)").await;
    take(&mut stream, 5).await;
    stream.stop().await.unwrap();
}

/// The primary is away for a moment, and the other host is a standby without the slot.
async fn waits_for_the_primary(version: Option<&'static str>) {
    let options: Vec<&str> = version
        .iter()
        .flat_map(|version| ["--version", version])
        .collect();
    let primary = Server::start(&options).await;
    let place = Place::at(&primary.url, "failover_hosts", SETUP).await;
    let standby = primary.standby(&[]).await;
    let ports = format!("{},{}", primary.port, standby.port);
    let config = place.config().host("127.0.0.1,127.0.0.1");
    let config = config.parameter("port", &ports).unwrap();
    let mut stream = config.connect().await.unwrap();
    place.run("INSERT INTO item VALUES (1)").await;
    events(&mut stream, 1).await;
    caught_up(&place, &standby).await;
    primary.stop("immediate").await;
    let early = timeout(Duration::from_secs(3), stream.next_batch()).await;
    assert!(early.is_err(), "{early:?}");
    primary.restart("fast").await;
    let place = place.reconnected().await;
    place.run("INSERT INTO item VALUES (2)").await;
    assert_eq!(id(&events(&mut stream, 1).await[0]), 2);
    // What is gone from the primary is gone.
    let dropped = async {
        loop {
            place.cut().await;
            let slot = "SELECT pg_drop_replication_slot('failover_hosts')";
            if place.sql.batch_execute(slot).await.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, dropped).await.unwrap();
    let error = error_of(&mut stream).await;
    assert!(matches!(&error, Error::SlotGone { .. }), "{error:?}");
    let _ = stream.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_without_the_slot_is_not_taken_for_its_primary() {
    waits_for_the_primary(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_is_one_that_has_no_logical_slots_at_all() {
    waits_for_the_primary(Some("15")).await;
}
