//! What is done to the reader, the link and the server.

use std::process::Command;
use std::time::Duration;

use pgoutput_decoder_tests::chaos::history::{
    BACKEND_KILLED, FAST_BEFORE_17, Fault, PROMOTION, SERVER_IMMEDIATE, Wire,
};
use rand::RngExt;
use tokio::time::sleep;

use crate::clock;
use crate::proxy::Side;
use crate::run::Run;
use crate::supervisor::{Starved, has_namespaces};
use crate::writer::connect;

impl Run<'_> {
    /// Does one thing to the reader, the link or the server.
    pub(crate) async fn harm(&mut self) {
        match self.random.random_range(0..100) {
            0..=24 => {
                self.aim().await;
                self.hit("reader killed");
                self.reading.kill();
            }
            25..=32 => {
                self.hit("reader stopped");
                self.reading.stop().await;
            }
            33..=42 => {
                self.aim().await;
                self.hit("walsender terminated");
                let sql = connect(&self.work.url()).await.unwrap();
                let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_replication";
                sql.batch_execute(terminate).await.unwrap();
            }
            43..=60 => {
                let bytes = self.random.random_range(1..60_000);
                self.proxy.cut_behind(bytes).await;
            }
            61..=66 => {
                self.aim().await;
                let (name, side) = if self.random.random_bool(0.5) {
                    ("half closed to the reader", Side::Reader)
                } else {
                    ("half closed to the server", Side::Server)
                };
                self.hit(name);
                self.proxy.half_close(side);
            }
            67..=71 => {
                self.hit("link frozen");
                let pause = self.random.random_range(100..900);
                self.proxy.freeze(Duration::from_millis(pause));
                self.reading.pause(Duration::from_millis(pause)).await;
            }
            72..=76 => {
                self.hit("link slow");
                let pause = self.random.random_range(100..600);
                self.proxy.slow_down(Duration::from_millis(pause));
            }
            77..=82 => {
                self.aim().await;
                self.hit(SERVER_IMMEDIATE);
                self.server.restart("immediate").await;
            }
            83..=86 => {
                self.aim().await;
                let forgets = self.version < 17;
                self.hit(if forgets {
                    FAST_BEFORE_17
                } else {
                    "server fast"
                });
                self.server.restart("fast").await;
            }
            87..=90 => {
                self.aim().await;
                self.hit(BACKEND_KILLED);
                self.kill_a_backend().await;
            }
            91..=93 => self.freeze_the_reader().await,
            _ => {
                self.hit("reader killed");
                self.reading.kill();
                let disk = self.random.random_bool(0.5) && has_namespaces();
                let (kind, starved) = if disk {
                    ("disk full", Starved::Disk)
                } else {
                    ("stash full", Starved::Limit)
                };
                self.reading.starved = Some(starved);
                let first = self.reading.started;
                for _ in 0..STARVED_MS / 50 {
                    self.reading.pause(Duration::from_millis(50)).await;
                    if self.reading.has_starved(first) {
                        self.hit(kind);
                        break;
                    }
                }
                if !disk {
                    self.hit("reader killed");
                    self.reading.kill();
                }
            }
        }
    }

    /// Waits for a moment: any, or one inside of a transaction.
    async fn aim(&mut self) {
        let inside = self.random.random_bool(0.85);
        for _ in 0..self.random.random_range(0..400) {
            sleep(Duration::from_millis(1)).await;
            let wire = self.proxy.wire();
            if inside && wire.is_some_and(|wire| wire != Wire::Between) {
                return;
            }
        }
    }

    fn hit(&mut self, kind: &str) {
        let wire = self.proxy.wire().unwrap_or_default();
        self.faults.push(Fault {
            at_us: clock::unix_us(),
            kind: kind.to_owned(),
            wire,
        });
    }

    async fn kill_a_backend(&mut self) {
        let sql = connect(&self.work.url()).await.unwrap();
        let query = "SELECT pid FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let rows = sql.query(query, &[]).await.unwrap();
        if let Some(row) = rows.get(self.random.random_range(0..rows.len().max(1))) {
            signal("-KILL", &row.get::<_, i32>(0).to_string());
            // The postmaster takes a moment to see it.
            self.reading.pause(Duration::from_millis(300)).await;
        }
    }

    /// A process that gets no time at all, for longer than the server is patient.
    async fn freeze_the_reader(&mut self) {
        let Some(process) = self.reading.process() else {
            return;
        };
        self.hit("reader frozen");
        signal("-STOP", &process.to_string());
        sleep(Duration::from_millis(2_500)).await;
        signal("-CONT", &process.to_string());
    }

    /// The server is lost, and its standby takes its place.
    pub(crate) async fn promote(&mut self) {
        let Some(standby) = self.standby.take() else {
            return;
        };
        self.aim().await;
        self.hit(PROMOTION);
        self.server.stop("immediate").await;
        // What connects may find it before it is a primary.
        if self.random.random_bool(0.5) {
            self.proxy.lead_to(standby.port());
        }
        let lost = std::mem::replace(self.server, standby.promote().await);
        drop(lost);
        self.proxy.lead_to(self.server.port);
        let url = self.url();
        self.work.move_to(&url);
    }
}

fn signal(signal: &str, process: &str) {
    let sent = Command::new("kill").args([signal, process]).status();
    // Whoever is gone already needs no signal.
    let _ = sent.unwrap();
}

/// How long a reader may take to fill the space there is.
const STARVED_MS: u64 = 1_500;
