//! What is confirmed, as it is on the wire: every status update that the stream sends.

use std::sync::{Arc, Mutex};

use super::relay::{relay, untouched};
use super::*;

/// A Standby Status Update.
#[derive(Clone, Copy, Debug)]
struct Update {
    write: Lsn,
    flush: Lsn,
    apply: Lsn,
    sent_at_us: i64,
    reply_requested: bool,
}

/// A way to the server on which status updates are noted.
#[derive(Clone, Default)]
struct Tap(Arc<Mutex<Vec<Update>>>);

impl Tap {
    /// Its port.
    async fn open(&self, target: u16) -> u16 {
        let tap = self.clone();
        let noting = move || {
            let (tap, mut started) = (tap.clone(), false);
            let requests = move |held: &mut [u8]| tap.note(held, &mut started);
            (requests, untouched)
        };
        relay(target, noting).await
    }

    /// How many bytes the whole messages are. Those before the session has started have no kind.
    fn note(&self, messages: &[u8], started: &mut bool) -> usize {
        let mut pending = messages;
        loop {
            let whole = messages.len() - pending.len();
            let kind = usize::from(*started);
            let Some(length) = pending.get(kind..).and_then(<[u8]>::first_chunk::<4>) else {
                return whole;
            };
            let length = kind + usize::try_from(u32::from_be_bytes(*length)).unwrap();
            let Some((message, rest)) = pending.split_at_checked(length) else {
                return whole;
            };
            pending = rest;
            // A wish for TLS, which is 8 bytes long, comes before the start.
            *started |= length > 8;
            if message[0] == b'd' && message[5] == b'r' {
                let eight = |at: usize| *message[at..].first_chunk::<8>().unwrap();
                let lsn = |at| Lsn(u64::from_be_bytes(eight(at)));
                self.0.lock().unwrap().push(Update {
                    write: lsn(6),
                    flush: lsn(14),
                    apply: lsn(22),
                    sent_at_us: i64::from_be_bytes(eight(30)),
                    reply_requested: message[38] == 1,
                });
            }
        }
    }

    fn all(&self) -> Vec<Update> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for an update that confirms as much.
    async fn flushed(&self, lsn: Lsn) {
        let waiting = async {
            while self.all().last().is_none_or(|update| update.flush < lsn) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("{lsn} is not among {:?}", self.all()));
    }
}

impl Place {
    async fn tapped(&self, tap: &Tap) -> Config {
        let port = tap.open(self.port()).await;
        self.config().host("127.0.0.1").port(port)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn write_is_what_was_received_and_flush_and_apply_are_whole_transactions() {
    let place = Place::new("wire_positions", SHOP).await;
    let tap = Tap::default();
    let config = place.tapped(&tap).await;
    let config = config.status_interval(Duration::from_millis(100));
    let mut stream = config.connect().await.unwrap();
    let acknowledger = stream.acknowledger();
    let mut done = Lsn(0);
    for from in [1, 4, 7] {
        let insert = format!("INSERT INTO item SELECT generate_series({from}, {from} + 2)");
        place.run(&insert).await;
        let all = events(&mut stream, 3).await;
        let commit_lsn = all[0].position().commit_lsn;
        // Nothing, and then a part of it, is acknowledged.
        for part in [None, Some(0), Some(1)] {
            if let Some(part) = part {
                acknowledger.acknowledge(all[part].position()).unwrap();
            }
            let before = tap.all().len();
            sleep(Duration::from_millis(700)).await;
            let told = tap.all();
            assert!(told.len() > before, "the server hears nothing");
            for update in &told[before..] {
                assert!(update.write > commit_lsn, "{update:?} at {commit_lsn}");
                assert!(update.flush <= commit_lsn, "{update:?} at {commit_lsn}");
            }
        }
        acknowledger.acknowledge(all[2].position()).unwrap();
        tap.flushed(Lsn(commit_lsn.0 + 1)).await;
        assert!(commit_lsn > done);
        done = commit_lsn;
    }
    stream.stop().await.unwrap();
    let told = tap.all();
    assert!(told.is_sorted_by_key(|update| update.flush), "{told:?}");
    for update in &told {
        assert_eq!(update.flush, update.apply);
        assert!(update.flush <= update.write, "{update:?}");
    }
    assert_eq!(place.confirmed().await, told.last().unwrap().flush);
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_server_is_asked_every_second_and_what_others_write_is_confirmed() {
    // On a server of its own: where others write, it speaks unasked.
    let server = Server::start(&[]).await;
    let place = Place::at(&server.url, "wire_idle", SHOP).await;
    place.run("CREATE TABLE unpublished (n int)").await;
    let tap = Tap::default();
    let mut stream = place.tapped(&tap).await.connect().await.unwrap();
    sleep(Duration::from_millis(5500)).await;
    let mut asked = tap.all();
    asked.retain(|update| update.reply_requested);
    assert!(asked.len() >= 3, "{asked:?}");
    for pair in asked.windows(2) {
        let passed_us = pair[1].sent_at_us - pair[0].sent_at_us;
        assert!(passed_us > 900_000, "{asked:?}");
    }
    place.run("INSERT INTO unpublished VALUES (1)").await;
    let end: String = place.value("SELECT pg_current_wal_flush_lsn()::text").await;
    tap.flushed(end.parse().unwrap()).await;
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_transaction_is_told_to_who_asks_for_it_and_to_nobody_else() {
    let place = Place::new("wire_ends", SHOP).await;
    for asked in [true, false] {
        let config = place.config().transaction_ends(asked);
        let mut stream = config.connect().await.unwrap();
        let acknowledger = stream.acknowledger();
        for id in 1..=40 {
            place.run(&format!("INSERT INTO item VALUES ({id})")).await;
            let (mut seen, mut ended) = (None, None);
            while seen.is_none() || (asked && ended < seen) {
                let batch = timeout(PATIENCE, stream.next_batch()).await;
                let batch = batch.expect("the end is not told").unwrap().unwrap();
                assert!(asked || !batch.is_empty());
                for event in batch.events() {
                    seen = Some(event.position().commit_lsn);
                    acknowledger.acknowledge(event.position()).unwrap();
                }
                ended = ended.max(batch.last_commit());
            }
        }
        stream.stop().await.unwrap();
        place.run("TRUNCATE item").await;
        let mut rest = place.stream().await;
        let truncate = events(&mut rest, 1).await.remove(0);
        rest.acknowledger()
            .acknowledge(truncate.position())
            .unwrap();
        rest.stop().await.unwrap();
    }
    place.leave().await;
}
