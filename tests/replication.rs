//! Streams from a real PostgreSQL: what arrives, what is confirmed, and what happens when the
//! connection is cut. Needs a superuser's URL in `PGOUTPUT_TEST_URL`.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test stops where its server is not as expected"
)]

use std::time::Duration;

use pgoutput_decoder_host::{Config, Error, ErrorClass, Event, Lsn, Position, SlotProblem, Stream};
use pgoutput_decoder_tests::Server;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

use clearing::{drop_database, drop_slot};

/// Long enough for the slowest machine, short enough to notice.
const PATIENCE: Duration = Duration::from_secs(30);
mod clearing;
mod doctor;
mod doctor_server;
mod failover;
mod gate;
mod health;
mod plugged;
mod recorded;
mod relay;
mod resume;
mod slots;
mod streaming;
mod trouble;
mod two_phase;
mod undecodable;
mod wire;

/// A database, a slot and a publication `p` of one test.
struct Place {
    name: &'static str,
    url: String,
    sql: Client,
}

impl Place {
    /// A fresh database in which `setup` was run, with publication `p` and a slot.
    async fn new(name: &'static str, setup: &str) -> Self {
        let url = std::env::var("PGOUTPUT_TEST_URL").unwrap_or_else(|_| {
            panic!("PGOUTPUT_TEST_URL is not set: run `make test`, which starts a server")
        });
        Self::at(&url, name, setup).await
    }

    /// The same on another server.
    async fn at(url: &str, name: &'static str, setup: &str) -> Self {
        let url = url.to_owned();
        let admin = connect(&url, None).await;
        drop_slot(&admin, name).await;
        drop_database(&admin, name).await;
        admin
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        let sql = connect(&url, Some(name)).await;
        sql.batch_execute(setup).await.unwrap();
        let slot = format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')");
        sql.batch_execute(&slot).await.unwrap();
        Self { name, url, sql }
    }

    fn config(&self) -> Config {
        let config = Config::parse(&self.url).unwrap().database(self.name);
        config.slot(self.name).publication("p")
    }

    async fn stream(&self) -> Stream {
        self.config().connect().await.unwrap()
    }

    async fn run(&self, sql: &str) {
        self.sql.batch_execute(sql).await.unwrap();
    }

    async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        self.sql.query_one(sql, &[]).await.unwrap().get(0)
    }

    async fn confirmed(&self) -> Lsn {
        let sql = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1";
        let row = self.sql.query_one(sql, &[&self.name]).await.unwrap();
        let text: String = row.get(0);
        text.parse().unwrap()
    }

    /// The process that streams from the slot, once there is one.
    async fn walsender(&self) -> i32 {
        let sql = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1";
        timeout(PATIENCE, async {
            loop {
                let row = self.sql.query_one(sql, &[&self.name]).await.unwrap();
                if let Some(pid) = row.get::<_, Option<i32>>(0) {
                    return pid;
                }
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("nobody streams from the slot")
    }

    /// Ends the process that streams from the slot; whether there was one.
    async fn cut(&self) -> bool {
        let sql = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
                   WHERE slot_name = $1 AND active";
        !self.sql.query(sql, &[&self.name]).await.unwrap().is_empty()
    }

    /// Leaves nothing behind.
    async fn leave(self) {
        drop_slot(&self.sql, self.name).await;
        drop(self.sql);
        let admin = connect(&self.url, None).await;
        drop_database(&admin, self.name).await;
    }
}

async fn connect(url: &str, database: Option<&str>) -> Client {
    let mut config: tokio_postgres::Config = url.parse().unwrap();
    if let Some(database) = database {
        config.dbname(database);
    }
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The server's major version.
async fn major(sql: &Client) -> i32 {
    let version = "SELECT current_setting('server_version_num')::int / 10000";
    sql.query_one(version, &[]).await.unwrap().get(0)
}

/// The next `count` events.
async fn events(stream: &mut Stream, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        let batch = timeout(PATIENCE, stream.next_batch()).await;
        let batch = batch.unwrap_or_else(|_| panic!("{} of {count} events came", events.len()));
        events.extend(batch.unwrap().expect("the stream has ended").events());
    }
    assert_eq!(events.len(), count);
    assert!(
        events.is_sorted_by_key(Event::position),
        "not in the order of their positions"
    );
    events
}

/// Nothing comes but what happens from now on; that is acknowledged.
async fn nothing_more(place: &Place, stream: &mut Stream) {
    place.run(MARKER).await;
    let marker = events(stream, 1).await.remove(0);
    assert_eq!(marker.topic().table, "marker", "{marker:?}");
    let acknowledger = stream.acknowledger();
    acknowledger.acknowledge(marker.position()).unwrap();
}

fn json_of(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

fn id(event: &Event) -> i64 {
    json_of(event.after())["id"].as_i64().unwrap()
}

fn ops(events: &[Event]) -> String {
    events
        .iter()
        .map(|event| event.op().unwrap_or('-'))
        .collect()
}

const SHOP: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE TABLE item (id int PRIMARY KEY, name text, price numeric(10,2), feeling mood);
    CREATE PUBLICATION p FOR TABLE item;";

/// A change of no other table: a message has no place in protocol 1.
const MARKER: &str = "
    CREATE TABLE IF NOT EXISTS marker (n int);
    DO $$ BEGIN ALTER PUBLICATION p ADD TABLE marker; EXCEPTION WHEN OTHERS THEN END $$;
    INSERT INTO marker VALUES (1);";

const CHANGES: &str = "
    INSERT INTO item VALUES (1, 'cup', 7.50, 'glad');
    UPDATE item SET price = 8 WHERE id = 1;
    UPDATE item SET id = 2 WHERE id = 1;
    DELETE FROM item WHERE id = 2;
    TRUNCATE item;";

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_change_arrives_in_the_native_format() {
    let place = Place::new("replication_native", SHOP).await;
    let mut stream = place.stream().await;
    assert!(stream.ignored_options().is_empty());
    place.run(CHANGES).await;
    let events = events(&mut stream, 5).await;
    assert_eq!(ops(&events), "cuudt");
    let topic = events[0].topic();
    assert_eq!(
        (topic.schema.as_str(), topic.table.as_str()),
        ("public", "item")
    );
    let expected = r#"{"id":1,"name":"cup","price":7.50,"feeling":"glad"}"#;
    assert_eq!(events[0].after(), Some(expected));
    assert_eq!(json_of(events[0].key()), json!({"id": 1}));
    assert_eq!(json_of(events[1].after())["price"].to_string(), "8.00");
    assert_eq!(json_of(events[2].before()), json!({"id": 1}));
    assert_eq!(json_of(events[2].after())["id"], 2);
    assert_eq!(json_of(events[3].before()), json!({"id": 2}));
    let source = json_of(events[3].source());
    assert_eq!(source["db"], place.name);
    assert_eq!(source["lsn"], events[3].lsn().0);
    // Every statement of the batch was one transaction: they are one, with five changes.
    let first = events[0].position();
    for (index, event) in (first.index..).zip(&events) {
        assert_eq!(event.position(), Position { index, ..first });
    }
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_change_arrives_in_debeziums_format() {
    let place = Place::new("replication_debezium", SHOP).await;
    let config = place
        .config()
        .option("format", "debezium")
        .option("topic.prefix", "shop");
    let mut stream = config
        .option("skipped.operations", "none")
        .connect()
        .await
        .unwrap();
    place.run(CHANGES).await;
    // A key change is a delete, a tombstone and a create; a delete has its tombstone too.
    let events = events(&mut stream, 8).await;
    assert_eq!(ops(&events), "cud-cd-t");
    assert!(
        events
            .iter()
            .all(|event| event.topic().name == "shop.public.item")
    );
    assert_eq!(events[3].value(), None);
    let first = events[0].position().index;
    let places = events.iter().map(|event| {
        let position = event.position();
        (position.index - first, position.sub)
    });
    let expected = [
        (0, 0),
        (1, 0),
        (2, 0),
        (2, 1),
        (2, 2),
        (3, 0),
        (3, 1),
        (4, 0),
    ];
    assert!(places.eq(expected), "{events:?}");
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_with_the_sql_that_makes_it() {
    let place = Place::new("replication_missing", "CREATE TABLE t (id int PRIMARY KEY)").await;
    let error = place.config().slot("nowhere").connect().await.unwrap_err();
    assert!(
        matches!(&error, Error::SlotNotFound { slot } if slot == "nowhere"),
        "{error:?}"
    );
    assert!(
        error.to_string().contains(&error.hint().unwrap()),
        "{error}"
    );

    let error = place.config().connect().await.unwrap_err();
    assert!(
        matches!(&error, Error::PublicationNotFound { publication, .. } if publication == "p"),
        "{error:?}"
    );
    assert_eq!(
        (error.class(), error.sqlstate()),
        (ErrorClass::Server, Some("42704"))
    );
    place.run(&error.hint().unwrap()).await;
    let mut stream = place.stream().await;
    place.run("INSERT INTO t VALUES (1)").await;
    assert_eq!(id(&events(&mut stream, 1).await[0]), 1);
    stream.stop().await.unwrap();

    place
        .run("SELECT pg_create_physical_replication_slot('replication_physical')")
        .await;
    let error = place
        .config()
        .slot("replication_physical")
        .connect()
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            Error::SlotUnusable {
                problem: SlotProblem::Physical,
                ..
            }
        ),
        "{error:?}"
    );
    place
        .run("SELECT pg_drop_replication_slot('replication_physical')")
        .await;

    let error = place
        .config()
        .database("template1")
        .connect()
        .await
        .unwrap_err();
    let database = Error::SlotUnusable {
        slot: place.name.to_owned(),
        problem: SlotProblem::Database {
            database: place.name.to_owned(),
        },
    };
    assert_eq!(error.to_string(), database.to_string());

    let error = place
        .config()
        .option("nonsense", "1")
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Caller, "{error:?}");
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_or_login_is_an_error_at_once_without_the_password() {
    let place = Place::new("replication_login", SHOP).await;
    let role = "
        DROP ROLE IF EXISTS \"Login Only\";
        CREATE ROLE \"Login Only\" LOGIN PASSWORD 'hunter2';";
    place.run(role).await;
    let refused = async |config: Config| {
        let error = timeout(PATIENCE, config.connect())
            .await
            .unwrap()
            .unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{error:?}"
        );
        error
    };
    let error = refused(place.config().password("hunter2")).await;
    assert_eq!(error.sqlstate(), Some("28P01"), "{error}");
    let error = refused(place.config().database("replication_nowhere")).await;
    assert_eq!(error.sqlstate(), Some("3D000"), "{error}");
    let error = refused(place.config().port(1)).await;
    assert!(matches!(&error, Error::Connection { address, .. } if address.ends_with(":1")));
    let error = refused(place.config().host("nowhere.invalid")).await;
    assert!(matches!(&error, Error::Connection { .. }), "{error}");

    let config = || place.config().user("Login Only").password("hunter2");
    let error = refused(config()).await;
    assert_eq!(error.sqlstate(), Some("42501"), "{error}");
    let hint = error.hint().unwrap();
    place
        .run(
            hint.split_once("ALTER")
                .map(|(_, sql)| format!("ALTER{sql}"))
                .unwrap()
                .as_str(),
        )
        .await;
    config().connect().await.unwrap().stop().await.unwrap();
    place.run("DROP ROLE \"Login Only\"").await;
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_may_have_capitals_quotes_and_commas() {
    let setup = r#"
        CREATE SCHEMA "Sch,ema";
        CREATE TABLE "Sch,ema"."My ""Table'" ("I d" int PRIMARY KEY, "va,l" text);
        CREATE TABLE other (id int PRIMARY KEY);
        CREATE PUBLICATION "My ""Pub', 1" FOR TABLE "Sch,ema"."My ""Table'";
        CREATE PUBLICATION p FOR TABLE other;"#;
    let place = Place::new("replication_names", setup).await;
    let mut stream = place
        .config()
        .publication("My \"Pub', 1")
        .connect()
        .await
        .unwrap();
    place
        .run(r#"INSERT INTO "Sch,ema"."My ""Table'" VALUES (1, 'x')"#)
        .await;
    place.run("INSERT INTO other VALUES (2)").await;
    let events = events(&mut stream, 2).await;
    let topic = events[0].topic();
    assert_eq!(
        (topic.schema.as_str(), topic.table.as_str()),
        ("Sch,ema", "My \"Table'")
    );
    assert_eq!(json_of(events[0].after()), json!({"I d": 1, "va,l": "x"}));
    assert_eq!(id(&events[1]), 2);
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_confirmed_by_stop_and_does_not_come_again() {
    let place = Place::new("replication_confirm", SHOP).await;
    let mut stream = place.stream().await;
    for number in 1..=3 {
        let two = number * 10 + 1;
        place
            .run(&format!("INSERT INTO item VALUES ({number}), ({two})"))
            .await;
    }
    let all = events(&mut stream, 6).await;
    let acknowledger = stream.acknowledger();
    let beyond = Position {
        index: 9,
        ..all[5].position()
    };
    for refused in [
        acknowledger.acknowledge(beyond),
        acknowledger.acknowledge_lsn(Lsn(u64::MAX)),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(&error, Error::Acknowledge { .. }), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Caller);
    }
    // All of the first transaction, half of the second: rounded down.
    acknowledger.acknowledge(all[2].position()).unwrap();
    stream.stop().await.unwrap();
    assert!(stream.next_batch().await.unwrap().is_none());
    // Other databases' WAL between the transactions may be confirmed as well.
    let confirmed = place.confirmed().await;
    assert!(confirmed > all[1].position().commit_lsn, "{confirmed}");
    assert!(confirmed <= all[2].position().commit_lsn, "{confirmed}");

    let mut stream = place.stream().await;
    let again = events(&mut stream, 4).await;
    assert_eq!(again.iter().map(id).collect::<Vec<_>>(), [2, 21, 3, 31]);
    assert_eq!(again[0].position(), all[2].position());
    stream
        .acknowledger()
        .acknowledge_lsn(again[3].lsn())
        .unwrap();
    stream.stop().await.unwrap();
    let confirmed = place.confirmed().await;
    assert!(confirmed > again[3].position().commit_lsn, "{confirmed}");

    let mut stream = place.stream().await;
    nothing_more(&place, &mut stream).await;
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_again_and_again_loses_and_repeats_nothing() {
    let place = Place::new("replication_cut", SHOP).await;
    let mut stream = place.stream().await;
    // One large transaction, then many small ones, acknowledged now and then.
    place
        .run("INSERT INTO item SELECT n, 'large' FROM generate_series(1, 20000) n")
        .await;
    let filling = connect(&place.url, Some(place.name)).await;
    let filler = tokio::spawn(async move {
        for first in (20_001..30_001).step_by(20) {
            let last = first + 19;
            let sql = format!("INSERT INTO item SELECT generate_series({first}, {last})");
            filling.batch_execute(&sql).await.unwrap();
        }
    });
    let acknowledger = stream.acknowledger();
    let mut expected = 1;
    let mut last: Option<Position> = None;
    let mut cuts = 0;
    while expected <= 30_000 {
        let batch = timeout(PATIENCE, stream.next_batch()).await;
        let batch = batch.unwrap_or_else(|_| panic!("nothing after {expected}"));
        for event in batch.unwrap().expect("the stream has ended").events() {
            assert_eq!(id(&event), expected, "after {cuts} cuts");
            assert!(Some(event.position()) > last);
            last = Some(event.position());
            expected += 1;
            if expected % 777 == 0 {
                acknowledger.acknowledge(event.position()).unwrap();
            }
            // Between two cuts there may be no walsender: the stream reads on once we do.
            if expected % 1000 == 0 && place.cut().await {
                cuts += 1;
            }
        }
    }
    assert!(cuts >= 3, "{cuts} cuts are too few");
    filler.await.unwrap();
    acknowledger.acknowledge(last.unwrap()).unwrap();
    nothing_more(&place, &mut stream).await;
    stream.stop().await.unwrap();
    let mut stream = place.stream().await;
    nothing_more(&place, &mut stream).await;
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_slot_is_confirmed_past_what_is_not_published() {
    let place = Place::new("replication_idle", SHOP).await;
    let mut stream = place.stream().await;
    place.run("INSERT INTO item VALUES (1)").await;
    let first = events(&mut stream, 1).await;
    place.run("CREATE TABLE noise (n int)").await;
    place
        .run("INSERT INTO noise SELECT generate_series(1, 10000)")
        .await;
    let text: String = place.value("SELECT pg_current_wal_flush_lsn()::text").await;
    let noisy: Lsn = text.parse().unwrap();
    sleep(Duration::from_millis(2500)).await;
    assert!(
        place.confirmed().await <= first[0].position().commit_lsn,
        "an event is outstanding"
    );
    stream
        .acknowledger()
        .acknowledge(first[0].position())
        .unwrap();
    let reached = timeout(Duration::from_secs(5), async {
        while place.confirmed().await < noisy {
            sleep(Duration::from_millis(50)).await;
        }
    });
    reached
        .await
        .expect("confirmed_flush_lsn does not follow an idle stream");
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_reaches_the_server_soon_and_without_stop() {
    let place = Place::new("replication_soon", SHOP).await;
    let mut stream = place.stream().await;
    place.run("INSERT INTO item VALUES (1)").await;
    let event = events(&mut stream, 1).await.remove(0);
    stream.acknowledger().acknowledge(event.position()).unwrap();
    // Without it, it would travel with the next status, 10 s later.
    let reached = timeout(Duration::from_secs(5), async {
        while place.confirmed().await <= event.position().commit_lsn {
            sleep(Duration::from_millis(10)).await;
        }
    });
    reached.await.expect("not confirmed at once");
    // Dropped instead of stopped: the slot is free soon all the same.
    drop(stream);
    timeout(PATIENCE, async {
        while place.config().connect().await.is_err() {}
    })
    .await
    .unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_ends_a_waiting_next_batch() {
    let place = Place::new("replication_stop", SHOP).await;
    let mut stream = place.stream().await;
    let stopper = stream.stopper();
    let waiting = tokio::spawn(async move { (stream.next_batch().await, stream) });
    sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    stopper.stop();
    let (batch, mut stream) = timeout(Duration::from_secs(2), waiting)
        .await
        .unwrap()
        .unwrap();
    assert!(batch.unwrap().is_none());
    timeout(Duration::from_secs(2), stream.stop())
        .await
        .expect("stop takes long")
        .unwrap();
    stream.stop().await.unwrap();
    let active = format!(
        "SELECT active FROM pg_replication_slots WHERE slot_name = '{}'",
        place.name
    );
    assert!(
        !place.value::<bool>(&active).await,
        "the slot is still in use"
    );
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_does_not_read_keeps_its_connection() {
    let place = Place::new("replication_slow", SHOP).await;
    let statement = format!(
        "ALTER DATABASE {} SET wal_sender_timeout = '2s'",
        place.name
    );
    place.run(&statement).await;
    let mut stream = place.stream().await;
    // Far more than batches, buffers and sockets hold.
    let rows = 60_000;
    let long = "repeat('x', 1000)";
    place
        .run(&format!(
            "INSERT INTO item SELECT generate_series(1, {rows}), {long}"
        ))
        .await;
    let first = timeout(PATIENCE, stream.next_batch())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let walsender = place.walsender().await;
    sleep(Duration::from_secs(7)).await;
    assert_eq!(
        place.walsender().await,
        walsender,
        "the server gave up on us"
    );
    let rest = events(&mut stream, rows - first.len()).await;
    assert_eq!(id(rest.last().unwrap()), i64::try_from(rows).unwrap());
    assert_eq!(place.walsender().await, walsender);
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_dropped_meanwhile_ends_the_stream() {
    let place = Place::new("replication_dropped", SHOP).await;
    let mut stream = place.stream().await;
    place.run("INSERT INTO item VALUES (1)").await;
    events(&mut stream, 1).await;
    drop_slot(&place.sql, place.name).await;
    let error = timeout(PATIENCE, stream.next_batch())
        .await
        .unwrap()
        .unwrap_err();
    assert!(matches!(&error, Error::SlotGone { .. }), "{error:?}");
    assert!(stream.next_batch().await.unwrap().is_none());
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logical_messages_arrive_and_are_confirmed() {
    let place = Place::new("replication_messages", SHOP).await;
    let mut stream = place.stream().await;
    place
        .run("SELECT pg_logical_emit_message(false, 'note', 'now')")
        .await;
    place
        .run("SELECT pg_logical_emit_message(true, 'note', 'with commit')")
        .await;
    let messages = events(&mut stream, 2).await;
    assert_eq!(ops(&messages), "mm");
    assert_eq!(
        [messages[0].transactional(), messages[1].transactional()],
        [false, true]
    );
    stream
        .acknowledger()
        .acknowledge(messages[1].position())
        .unwrap();
    stream.stop().await.unwrap();
    let mut stream = place.stream().await;
    nothing_more(&place, &mut stream).await;
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test]
async fn one_thread_is_enough() {
    let place = Place::new("replication_thread", SHOP).await;
    let mut stream = place.stream().await;
    place.run(CHANGES).await;
    assert_eq!(ops(&events(&mut stream, 5).await), "cuudt");
    stream.stop().await.unwrap();
    place.leave().await;
}
