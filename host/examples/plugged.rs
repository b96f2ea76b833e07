//! What a filter costs a stream from a real server: events a second with it and without, round by
//! round.
//!
//! `scripts/postgres run -- cargo run --release -p pgoutput-decoder-host --example plugged --
//! soft_deletes.wasm`
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement may fail by panicking, prints its table and reads the clock"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use pgoutput_decoder_host::{Config, Plugin};
use tokio_postgres::NoTls;

const NAME: &str = "plugged";
const ROWS: u32 = 400_000;
/// Of which as many are dropped.
const DROPPED: u32 = ROWS / 10;
const ROWS_PER_TRANSACTION: u32 = 100;
const ROUNDS: usize = 11;

#[tokio::main]
async fn main() {
    let plugin = PathBuf::from(std::env::args().nth(1).unwrap());
    let url = std::env::var("PGOUTPUT_TEST_URL").unwrap();
    let (sql, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    for statement in [
        format!(
            "CREATE TABLE {NAME} (id int8 PRIMARY KEY, note text, name varchar(100),
                total numeric(10,2), paid bool, created_at timestamptz)"
        ),
        format!("CREATE PUBLICATION {NAME} FOR TABLE {NAME}"),
        format!("SELECT pg_create_logical_replication_slot('{NAME}', 'pgoutput')"),
        format!(
            "DO $$ BEGIN FOR i IN 0..{ROWS} / {ROWS_PER_TRANSACTION} - 1 LOOP
                INSERT INTO {NAME} SELECT n, 'note ' || n || ': leave it at the door',
                    'customer-' || n % 1000, n % 10000 + 0.5, n % 10 = 0, now()
                FROM generate_series(i * {ROWS_PER_TRANSACTION} + 1,
                    (i + 1) * {ROWS_PER_TRANSACTION}) n;
                COMMIT;
            END LOOP; END $$"
        ),
    ] {
        sql.batch_execute(&statement).await.unwrap();
    }
    let config = Config::parse(&url).unwrap().slot(NAME).publication(NAME);
    let mut rounds = [Vec::new(), Vec::new()];
    // Nothing is acknowledged, so each round has the same rows; the first one warms up.
    for round in 0..=ROUNDS {
        let plain = seconds(config.clone(), ROWS).await;
        let filter = Plugin::file(&plugin).config("paid");
        let plugged = seconds(config.clone().plugin(filter), ROWS - DROPPED).await;
        if round > 0 {
            rounds[0].push(plain);
            rounds[1].push(plugged);
        }
    }
    let ratio = rounds[0].iter().zip(&rounds[1]);
    let mut ratios: Vec<f64> = ratio.map(|(plain, plugged)| plain / plugged).collect();
    ratios.sort_by(f64::total_cmp);
    let [plain, plugged] = rounds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        f64::from(ROWS) / seconds[ROUNDS / 2]
    });
    println!("rows a second from a server, medians of {ROUNDS} alternated rounds");
    println!(
        "no plugin {plain:.0}, Rust filter {plugged:.0}, of it {:.3}",
        ratios[ROUNDS / 2]
    );
    for statement in [
        format!("SELECT pg_drop_replication_slot('{NAME}')"),
        format!("DROP PUBLICATION {NAME}"),
        format!("DROP TABLE {NAME}"),
    ] {
        sql.batch_execute(&statement).await.unwrap();
    }
}

/// Until as many events have come, from the first one on.
async fn seconds(config: Config, events: u32) -> f64 {
    let mut stream = config.connect().await.unwrap();
    let (mut left, mut begun) = (events, None);
    while left > 0 {
        let batch = tokio::time::timeout(Duration::from_mins(1), stream.next_batch()).await;
        let batch = batch.unwrap().unwrap().unwrap();
        begun.get_or_insert_with(Instant::now);
        left -= u32::try_from(batch.len()).unwrap();
    }
    let seconds = begun.unwrap().elapsed().as_secs_f64();
    stream.stop().await.unwrap();
    seconds
}
