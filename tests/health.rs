//! What a stream says of itself, how much it holds, and when its consumer may still speak.

use std::sync::{Arc, Mutex};

use pgoutput_decoder_host::{Monitor, State, Status};

use super::*;

/// What the stream warned of so far.
#[derive(Clone, Default)]
pub(super) struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    pub(super) fn of(&self, config: Config) -> Config {
        let warnings = Arc::clone(&self.0);
        config.on_warning(move |text| warnings.lock().unwrap().push(text.to_owned()))
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Waits until the status is as wanted.
async fn status_when(monitor: &Monitor, wanted: impl Fn(&Status) -> bool) -> Status {
    let waiting = async {
        loop {
            let status = monitor.status();
            if wanted(&status) {
                return status;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| panic!("{:?}", monitor.status()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_tells_what_was_received_delivered_and_confirmed() {
    let place = Place::new("health_status", SHOP).await;
    let mut stream = place.stream().await;
    let monitor = stream.monitor();
    let idle = status_when(&monitor, |status| status.publishes_tables.is_some()).await;
    assert_eq!(idle.state, State::Streaming);
    assert_eq!(idle.publishes_tables, Some(true));
    let wal_status = (major(&place.sql).await >= 13).then_some("reserved");
    assert_eq!(idle.wal_status.as_deref(), wal_status);
    assert_eq!((idle.delivered, idle.outstanding_events), (None, 0));
    assert!(idle.lag_s == 0.0 && idle.last_error.is_none(), "{idle}");

    place.run("INSERT INTO item VALUES (1), (2)").await;
    place.run("INSERT INTO item VALUES (3)").await;
    let three = events(&mut stream, 3).await;
    sleep(Duration::from_millis(300)).await;
    let behind = monitor.status();
    assert_eq!(behind.delivered, Some(three[2].position()));
    assert_eq!(
        (behind.outstanding_events, behind.outstanding_transactions),
        (3, 2)
    );
    assert!(behind.lag_s > 0.2 && behind.lag_s < 20.0, "{behind}");
    assert!(behind.lag_bytes > 0 && behind.received_lsn >= three[2].lsn());
    assert!(behind.to_string().contains("3 events of 2 transactions"));

    let acknowledger = stream.acknowledger();
    acknowledger.acknowledge(three[0].position()).unwrap();
    let half = monitor.status();
    assert_eq!(
        (half.outstanding_events, half.outstanding_transactions),
        (2, 2)
    );
    acknowledger.acknowledge(three[2].position()).unwrap();
    let done = monitor.status();
    assert_eq!(
        (done.outstanding_events, done.outstanding_transactions),
        (0, 0)
    );
    assert!(done.confirmed_lsn > three[2].position().commit_lsn);

    assert!(place.cut().await);
    let again = status_when(&monitor, |status| status.reconnects == 1).await;
    assert_eq!(again.state, State::Streaming);
    assert!(again.last_error.is_some(), "{again}");
    stream.stop().await.unwrap();
    assert_eq!(monitor.status().state, State::Stopped);
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_and_a_publication_without_tables_are_told() {
    let place = Place::new("health_empty", "CREATE PUBLICATION p").await;
    let warnings = Warnings::default();
    let mut stream = warnings.of(place.config()).connect().await.unwrap();
    let monitor = stream.monitor();
    let empty = status_when(&monitor, |status| status.publishes_tables.is_some()).await;
    assert_eq!(
        (empty.state, empty.publishes_tables),
        (State::Streaming, Some(false))
    );
    assert!(empty.to_string().contains("no tables"), "{empty}");
    let [warning] = &warnings.all()[..] else {
        panic!("{:?}", warnings.all())
    };
    assert!(warning.contains("the publication has no tables"));

    // Of each kind there is: by name, by schema (from 15 on), all.
    let version = major(&place.sql).await;
    for publication in [
        "ALTER PUBLICATION p ADD TABLE item",
        "ALTER PUBLICATION p SET TABLES IN SCHEMA public",
        "DROP PUBLICATION p; CREATE PUBLICATION p FOR ALL TABLES",
    ] {
        if version < 15 && publication.contains("SCHEMA") {
            continue;
        }
        place
            .run("CREATE TABLE IF NOT EXISTS item (id int PRIMARY KEY)")
            .await;
        place.run(publication).await;
        let before = monitor.status().reconnects;
        assert!(place.cut().await);
        let wanted =
            |status: &Status| status.reconnects > before && status.publishes_tables == Some(true);
        status_when(&monitor, wanted).await;
        place.run("DROP TABLE item").await;
        let before = monitor.status().reconnects;
        assert!(place.cut().await);
        let wanted =
            |status: &Status| status.reconnects > before && status.publishes_tables == Some(false);
        status_when(&monitor, wanted).await;
    }
    drop_slot(&place.sql, place.name).await;
    let error = timeout(PATIENCE, stream.next_batch()).await.unwrap();
    let error = error.unwrap_err().to_string();
    let failed = monitor.status();
    assert_eq!(
        (failed.state, failed.last_error),
        (State::Failed, Some(error))
    );
    stream.stop().await.unwrap();
    assert_eq!(monitor.status().state, State::Failed);
    place.leave().await;
}

/// Large rows, and very many small ones: what is decoded ahead stays within its bound, and the rest
/// stays with the server, whose patience is not tried.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_for_a_slow_consumer_is_bounded_in_bytes() {
    let place = Place::new("health_bounds", SHOP).await;
    let patience = "ALTER DATABASE health_bounds SET wal_sender_timeout = '2s'";
    place.run(patience).await;
    let mut from = 1;
    for (rows, bytes) in [(40, 3 << 20), (200_000, 1)] {
        let mut stream = place.stream().await;
        let monitor = stream.monitor();
        let insert = format!(
            "INSERT INTO item SELECT n, repeat('x', {bytes})
             FROM generate_series({from}, {from} + {rows} - 1) n"
        );
        place.run(&insert).await;
        let walsender = place.walsender().await;
        let waiting = |status: &Status| status.state == State::Waiting;
        status_when(&monitor, waiting).await;
        let mut most = 0;
        for _ in 0..60 {
            sleep(Duration::from_millis(50)).await;
            most = most.max(monitor.status().queued_bytes);
        }
        assert!(monitor.status().state == State::Waiting);
        assert!(most > 0 && most <= 8 << 20, "{most}");
        assert_eq!(place.walsender().await, walsender, "the server gave up");
        let all = events(&mut stream, rows).await;
        assert_eq!(id(&all[rows - 1]), from + i64::try_from(rows).unwrap() - 1);
        stream
            .acknowledger()
            .acknowledge(all[rows - 1].position())
            .unwrap();
        assert_eq!(monitor.status().queued_bytes, 0);
        stream.stop().await.unwrap();
        from += i64::try_from(rows).unwrap();
    }
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_stopped_may_acknowledge_what_it_is_at() {
    let place = Place::new("health_stopper", SHOP).await;
    let mut stream = place.stream().await;
    place.run("INSERT INTO item VALUES (1)").await;
    let event = events(&mut stream, 1).await.remove(0);
    stream.stopper().stop();
    assert!(stream.next_batch().await.unwrap().is_none());
    // Longer than it takes to say good-bye.
    sleep(Duration::from_millis(1500)).await;
    stream.acknowledger().acknowledge(event.position()).unwrap();
    stream.stop().await.unwrap();
    assert!(place.confirmed().await > event.position().commit_lsn);
    place.leave().await;
}
