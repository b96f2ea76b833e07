//! A gate in front of servers: it leads to one or another, or nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;

/// Where clients connect, in place of a server's own address.
pub(super) struct Gate {
    pub(super) port: u16,
    /// 0: nowhere.
    target: Arc<AtomicU16>,
    cut: watch::Sender<()>,
}

impl Gate {
    pub(super) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Arc::new(AtomicU16::new(target));
        let (cut, cutting) = watch::channel(());
        let leads_to = Arc::clone(&target);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = leads_to.load(Ordering::Relaxed);
                let mut cutting = cutting.clone();
                cutting.mark_unchanged();
                tokio::spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", target));
                    let Ok(mut server) = server.await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = cutting.changed() => {}
                    }
                });
            }
        });
        Self { port, target, cut }
    }

    /// Cuts every connection; new ones go to `target`.
    pub(super) fn lead_to(&self, target: u16) {
        self.target.store(target, Ordering::Relaxed);
        self.cut.send_replace(());
    }

    /// Cuts every connection, and those that are tried.
    pub(super) fn close(&self) {
        self.lead_to(0);
    }
}

impl Place {
    pub(super) fn port(&self) -> u16 {
        let login: tokio_postgres::Config = self.url.parse().unwrap();
        login.get_ports()[0]
    }

    /// Through the gate.
    pub(super) fn config_at(&self, gate: &Gate) -> Config {
        self.config().host("127.0.0.1").port(gate.port)
    }

    /// The same place, when its server was restarted or is another one.
    pub(super) async fn reconnected(&self) -> Self {
        self.on(&self.url).await
    }

    pub(super) async fn on(&self, url: &str) -> Self {
        Self {
            name: self.name,
            url: url.to_owned(),
            sql: connect(url, Some(self.name)).await,
        }
    }
}

/// Sets what takes a reload alone.
pub(super) async fn set(server: &Server, name: &str, value: &str) {
    let sql = connect(&server.url, None).await;
    let statement = format!("ALTER SYSTEM SET {name} = '{value}'");
    sql.batch_execute(&statement).await.unwrap();
    sql.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}

/// A standby that keeps copies of its primary's failover slots, from PostgreSQL 17 on.
pub(super) async fn standby_of(primary: &Server) -> Server {
    let mut settings = vec!["wal_receiver_status_interval=1s"];
    if major(&connect(&primary.url, None).await).await >= 17 {
        settings.push("sync_replication_slots=on");
    }
    let options: Vec<_> = settings.iter().flat_map(|set| ["--set", set]).collect();
    primary.standby(&options).await
}

/// The name of the slot it streams from its primary by.
pub(super) fn slot_of(standby: &Server) -> String {
    let name = standby.directory.file_name().unwrap().to_str().unwrap();
    name.replace('-', "_").to_lowercase()
}

/// Waits until `condition` holds there.
pub(super) async fn wait_until(server: &Server, condition: &str) {
    let sql = connect(&server.url, None).await;
    let statement = format!("SELECT coalesce(({condition}), false)");
    timeout(PATIENCE, async {
        while !sql
            .query_one(&statement, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
        {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("never: {condition}"));
}
