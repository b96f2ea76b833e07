//! A stream that is damaged on its way: a real PostgreSQL behind a relay that changes one byte.
//! Needs a superuser's URL in `PGOUTPUT_TEST_URL`.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test stops where its server is not as expected"
)]

mod relay;

use std::time::Duration;

use pgoutput_decoder_host::{Config, Error, ErrorClass, Event, Lsn};
use tokio::time::timeout;
use tokio_postgres::NoTls;

use relay::{relay, spoiling, untouched};

const PATIENCE: Duration = Duration::from_secs(30);

/// A text column as pgoutput sends it: its kind, its length, its value. And with a kind that does
/// not exist.
const COLUMN: &[u8] = b"t\0\0\0\x06SECRET";
const DAMAGED: &[u8] = b"z\0\0\0\x06SECRET";

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_cannot_be_decoded_comes_after_the_events_before_it_and_is_not_confirmed() {
    let url = std::env::var("PGOUTPUT_TEST_URL")
        .unwrap_or_else(|_| panic!("PGOUTPUT_TEST_URL is not set: run `make test`"));
    let login: tokio_postgres::Config = url.parse().unwrap();
    let (sql, connection) = login.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let clean = "
        DROP PUBLICATION IF EXISTS damage;
        DROP TABLE IF EXISTS damage;
        SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
        WHERE slot_name = 'damage';";
    let setup = "
        CREATE TABLE damage (id int PRIMARY KEY, note text);
        CREATE PUBLICATION damage FOR TABLE damage;";
    let slot = "SELECT pg_create_logical_replication_slot('damage', 'pgoutput')";
    for statements in [clean, setup, slot] {
        sql.batch_execute(statements).await.unwrap();
    }
    for note in ["good", "better", "SECRET", "never seen"] {
        let insert = format!("INSERT INTO damage SELECT count(*), '{note}' FROM damage");
        sql.batch_execute(&insert).await.unwrap();
    }

    let damaging = || (untouched, spoiling(COLUMN, DAMAGED));
    let port = relay(login.get_ports()[0], damaging).await;
    let config = Config::parse(&url).unwrap().host("127.0.0.1").port(port);
    let mut stream = config
        .slot("damage")
        .publication("damage")
        .connect()
        .await
        .unwrap();

    let mut events: Vec<Event> = Vec::new();
    let error = loop {
        match timeout(PATIENCE, stream.next_batch()).await.unwrap() {
            Ok(batch) => events.extend(batch.expect("the stream has ended").events()),
            Err(error) => break error,
        }
    };
    let Error::Decoding(decoding) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(events.len(), 2);
    assert!(decoding.lsn > events[1].position().commit_lsn.0);
    assert_eq!(decoding.message_type, Some(b'I'));
    assert_eq!(error.class(), ErrorClass::Server);
    assert!(
        !format!("{error} {error:?}").contains("SECRET"),
        "{error:?}"
    );

    // What came before can still be acknowledged; what was damaged comes again.
    stream
        .acknowledger()
        .acknowledge(events[1].position())
        .unwrap();
    assert!(stream.next_batch().await.unwrap().is_none());
    stream.stop().await.unwrap();
    let confirmed = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots
                     WHERE slot_name = 'damage'";
    let confirmed: String = sql.query_one(confirmed, &[]).await.unwrap().get(0);
    let confirmed: Lsn = confirmed.parse().unwrap();
    assert!(confirmed > events[1].position().commit_lsn, "{confirmed}");
    assert!(confirmed.0 <= decoding.lsn, "{confirmed}");

    let config = Config::parse(&url)
        .unwrap()
        .slot("damage")
        .publication("damage");
    let mut stream = config.connect().await.unwrap();
    let batch = timeout(PATIENCE, stream.next_batch())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let again = batch.event(0).unwrap();
    assert!(again.after().unwrap().contains("SECRET"));
    stream.stop().await.unwrap();
    sql.batch_execute(clean).await.unwrap();
}
