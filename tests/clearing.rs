//! What a test leaves behind goes, whoever still uses it and whatever the server's version is.

use super::*;

/// Also takes it from a stream whose connection is not gone yet.
pub(super) async fn drop_slot(client: &Client, slot: &str) {
    let using = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
                 WHERE slot_name = $1 AND active";
    let dropping = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
                    WHERE slot_name = $1";
    for _ in 0..50 {
        client.query(using, &[&slot]).await.unwrap();
        if client.query(dropping, &[&slot]).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("slot {slot} is never free");
}

/// If there is one. `WITH (FORCE)` came with PostgreSQL 13.
pub(super) async fn drop_database(client: &Client, name: &str) {
    let using = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    let dropping = format!("DROP DATABASE IF EXISTS {name}");
    for _ in 0..50 {
        client.query(using, &[&name]).await.unwrap();
        if client.batch_execute(&dropping).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("database {name} is never free");
}
