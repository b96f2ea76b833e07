//! A standby that has everything its primary says it has done, its failover slots too.

use std::time::Duration;

use pgoutput_decoder_tests::Server;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_postgres::Client;

use crate::writer::connect;

/// A standby that waits to be promoted.
pub(crate) struct Standby {
    server: Server,
    synchronizing: JoinHandle<()>,
}

impl Standby {
    /// Makes one, and has the primary wait for it with everything: with commits, and with what it
    /// sends of them.
    pub(crate) async fn of(primary: &Server) -> Self {
        let options = ["--set", "wal_retrieve_retry_interval=100ms"];
        let server = primary.standby(&options).await;
        let name = server.directory.file_name().unwrap().to_str().unwrap();
        let slot = name.replace('-', "_").to_lowercase();
        let sql = session(primary).await;
        for (setting, value) in [
            ("synchronized_standby_slots", slot.as_str()),
            ("synchronous_standby_names", "*"),
        ] {
            let set = format!("ALTER SYSTEM SET {setting} = '{value}'");
            sql.batch_execute(&set).await.unwrap();
        }
        sql.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        let url = server.url.clone();
        let synchronizing = tokio::spawn(async move {
            loop {
                // What cannot be brought over now, for the primary has gone, can be later.
                if let Some(sql) = connect(&url).await {
                    while sql.batch_execute(SYNCHRONIZE).await.is_ok() {
                        sleep(Duration::from_millis(150)).await;
                    }
                }
                sleep(Duration::from_millis(150)).await;
            }
        });
        Self {
            server,
            synchronizing,
        }
    }

    /// Waits until it has all the primary's failover slots.
    pub(crate) async fn follow(&self, primary: &Server) {
        let (primary, standby) = (session(primary).await, session(&self.server).await);
        let here = "SELECT count(*) FROM pg_replication_slots WHERE failover";
        let there = "SELECT count(*) FROM pg_replication_slots WHERE synced AND NOT temporary";
        let count = async |sql: &Client, query: &str| -> i64 {
            sql.query_one(query, &[]).await.unwrap().get(0)
        };
        for _ in 0..FOLLOWS_WITHIN_MS / 20 {
            if count(&standby, there).await == count(&primary, here).await {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("the standby does not get the slots");
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.port
    }

    /// It takes writes from now on.
    pub(crate) async fn promote(self) -> Server {
        self.synchronizing.abort();
        self.server.promote().await;
        self.server
    }
}

async fn session(server: &Server) -> Client {
    loop {
        if let Some(sql) = connect(&server.url).await {
            return sql;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Failover slots are there from this version on.
pub(crate) const FAILOVER_SINCE: u32 = 17;

const SYNCHRONIZE: &str = "SELECT pg_sync_replication_slots()";

const FOLLOWS_WITHIN_MS: u64 = 10_000;
