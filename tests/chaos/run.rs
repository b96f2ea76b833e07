//! One run: a fresh database, some seconds of trouble, and the comparison.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pgoutput_decoder_tests::Server;
use pgoutput_decoder_tests::chaos::checker::{Verdict, check};
use pgoutput_decoder_tests::chaos::history::{Confirm, Fault, History, Prepared, Unit};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;
use tokio_postgres::Client;

use crate::clock;
use crate::proxy::Proxy;
use crate::standby::{FAILOVER_SINCE, Standby};
use crate::supervisor::Supervisor;
use crate::truth;
use crate::writer::{self, Fate, Work, Writer, connect};

/// What one run came to.
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    version: u32,
    pub(crate) verdict: Verdict,
    pub(crate) readers: usize,
    seconds: f64,
    /// What the rig itself did not do as it should.
    rig: Vec<String>,
}

impl Outcome {
    pub(crate) fn is_bad(&self) -> bool {
        !self.rig.is_empty() || !self.verdict.violations.is_empty()
    }

    /// The first thing that is wrong, in a word.
    pub(crate) fn wrong(&self) -> String {
        match self.verdict.violations.first() {
            Some(violation) => format!("{:?}", violation.kind),
            None => self.rig.join(", "),
        }
    }

    /// A line, and one for everything that is wrong.
    pub(crate) fn report(&self) -> String {
        let mut report = self.line() + "\n";
        for problem in &self.rig {
            let _ = writeln!(report, "    rig: {problem}");
        }
        for violation in &self.verdict.violations {
            let _ = writeln!(report, "    {violation}");
        }
        if self.is_bad() {
            let (seed, version) = (self.seed, self.version);
            let folder = folder(version, seed);
            let _ = writeln!(report, "    its logs: {}", folder.display());
            let _ = writeln!(
                report,
                "    again: make chaos RUNS=1 SEED={seed} VERSION={version}"
            );
        }
        report
    }

    fn line(&self) -> String {
        let mut faults = String::new();
        for ((place, kind), count) in &self.verdict.hits {
            let _ = write!(faults, "{kind} in {}", place.name());
            if *count > 1 {
                let _ = write!(faults, " x{count}");
            }
            faults.push_str(", ");
        }
        format!(
            "seed {:4} on {}: {:5} events, {:5} again, {:2} readers, {:4.1} s, {}: {}",
            self.seed,
            self.version,
            self.verdict.events,
            self.verdict.duplicates,
            self.readers,
            self.seconds,
            if self.is_bad() { "WRONG" } else { "right" },
            faults.trim_end_matches(", ")
        )
    }
}

pub(crate) struct Run<'server> {
    pub(crate) server: &'server mut Server,
    /// Of a run in which the server is lost.
    pub(crate) standby: Option<Standby>,
    pub(crate) random: StdRng,
    pub(crate) work: Arc<Work>,
    pub(crate) proxy: Proxy,
    pub(crate) reading: Supervisor,
    pub(crate) faults: Vec<Fault>,
    seed: u64,
    pub(crate) version: u32,
    database: String,
    began: u64,
}

impl<'server> Run<'server> {
    pub(crate) async fn new(server: &'server mut Server, version: u32, seed: u64) -> Self {
        let began = clock::unix_us();
        let mut random = StdRng::seed_from_u64(seed);
        let database = format!("chaos_{seed}");
        let folder = folder(version, seed);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let two_phase = version >= 15 && random.random_bool(0.3);
        let fails_over = version >= FAILOVER_SINCE && random.random_bool(0.15);
        let proxy = Proxy::start(server.port).await;
        let url = at(&server.url, server.port, &database);
        let sql = admin(server).await;
        sql.batch_execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"))
            .await
            .unwrap();
        sql.batch_execute(&format!("CREATE DATABASE {database}"))
            .await
            .unwrap();
        let settings = format!(
            "ALTER DATABASE {database} SET logical_decoding_work_mem = '64kB';
             ALTER DATABASE {database} SET wal_sender_timeout = '2s'"
        );
        sql.batch_execute(&settings).await.unwrap();
        let sql = connect(&url).await.unwrap();
        sql.batch_execute(writer::SETUP).await.unwrap();
        // Between it and the slots there is no transaction: else it could not take them over.
        let standby = if fails_over {
            Some(Standby::of(server).await)
        } else {
            None
        };
        for (slot, two_phase) in [(truth::SLOT, false), ("reader", two_phase)] {
            let failover = if fails_over { ", true" } else { "" };
            let make = format!(
                "SELECT pg_create_logical_replication_slot(
                     '{slot}_{seed}', 'pgoutput', false, {two_phase}{failover})"
            );
            sql.batch_execute(&make).await.unwrap();
        }
        if let Some(standby) = &standby {
            standby.follow(server).await;
        }
        let through = at(&server.url, proxy.port, &database) + "?sslmode=disable";
        let work = Arc::new(Work::at(&url));
        let reading = Supervisor {
            folder,
            work: Arc::clone(&work),
            through,
            slot: format!("reader_{seed}"),
            version,
            two_phase,
            started: 0,
            random: StdRng::seed_from_u64(seed ^ 0x5EED),
            starved: None,
            child: None,
        };
        Self {
            server,
            standby,
            random,
            work,
            proxy,
            reading,
            faults: Vec::new(),
            seed,
            version,
            database,
            began,
        }
    }

    /// Of the database.
    pub(crate) fn url(&self) -> String {
        at(&self.server.url, self.server.port, &self.database)
    }

    pub(crate) async fn run(mut self, keep: bool) -> Outcome {
        let mut rig = Vec::new();
        let writers = self.random.random_range(1..4_u64);
        let writing: Vec<_> = (0..writers)
            .map(|index| {
                let seed = self.seed * 16 + index;
                let writer = Writer::new(&self.work, seed);
                tokio::spawn(writer.write())
            })
            .collect();
        let harms = self.random.random_range(2..6);
        let lost = self.random.random_range(0..harms);
        for harm in 0..harms {
            let pause = self.random.random_range(50..500);
            self.reading.pause(Duration::from_millis(pause)).await;
            if harm == lost && self.standby.is_some() {
                self.promote().await;
            } else {
                self.harm().await;
            }
        }
        self.work.stop.store(true, Ordering::Relaxed);
        for writer in writing {
            writer.await.unwrap();
        }
        self.finish().await;
        if !self.caught_up().await {
            rig.push("the last reader never came to the end".to_owned());
        }
        self.reading.stop().await;
        rig.extend(self.record().await);
        let history = History::read(&self.reading.folder).unwrap();
        let verdict = check(&history);
        let outcome = Outcome {
            seed: self.seed,
            version: self.version,
            readers: history.readers.len(),
            verdict,
            seconds: Duration::from_micros(clock::unix_us() - self.began).as_secs_f64(),
            rig,
        };
        self.leave(keep || outcome.is_bad()).await;
        outcome
    }

    /// Decides what is still prepared, and commits what all wait for.
    async fn finish(&mut self) {
        let sql = loop {
            if let Some(sql) = connect(&self.work.url()).await {
                break sql;
            }
            self.reading.pause(Duration::from_millis(20)).await;
        };
        let query = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()";
        for row in sql.query(query, &[]).await.unwrap() {
            let gid: String = row.get(0);
            let commit = format!("COMMIT PREPARED '{gid}'");
            sql.batch_execute(&commit).await.unwrap();
        }
        let number = self.work.next_number();
        sql.batch_execute(&format!(
            "BEGIN; INSERT INTO number VALUES ({number}, txid_current());
             INSERT INTO account VALUES (0, 'end'); COMMIT"
        ))
        .await
        .unwrap();
    }

    /// Whether a reader comes to the last event, in good time.
    async fn caught_up(&mut self) -> bool {
        for _ in 0..CATCH_UP_MS / 20 {
            self.reading.pause(Duration::from_millis(20)).await;
            if self.reading.has_noted("c account end") {
                return true;
            }
        }
        false
    }

    /// Writes down what readers do not: returns what the rig itself finds odd.
    async fn record(&mut self) -> Vec<String> {
        let folder = self.reading.folder.clone();
        let confirmed = self.reading.confirmed().await;
        let slots = fs::read_to_string(folder.join("slot.log")).unwrap_or_default();
        fs::write(folder.join("slot.log"), format!("{slots}end {confirmed}\n")).unwrap();
        let sql = connect(&self.work.url()).await.unwrap();
        let units = truth::read(&sql, &format!("{}_{}", truth::SLOT, self.seed)).await;
        let mut text = String::new();
        for unit in &units {
            unit.write(&mut text);
        }
        fs::write(folder.join("truth.log"), text).unwrap();
        let seen = {
            let seen = self.proxy.seen();
            let confirms = seen.confirms.iter();
            let confirms: String = confirms.map(Confirm::line).collect();
            let streamed: Vec<String> = seen.streamed.iter().map(u32::to_string).collect();
            let streamed = streamed.join("\n") + "\n";
            let wire = seen.wire.clone();
            [
                ("confirm.log", confirms),
                ("streamed.log", streamed),
                ("wire.log", wire),
            ]
        };
        let mut faults = std::mem::take(&mut self.faults);
        faults.append(&mut self.proxy.seen().cuts);
        faults.sort_by_key(|fault| fault.at_us);
        let faults: String = faults.iter().map(Fault::line).collect();
        let prepared: String = if self.reading.two_phase {
            self.work
                .written()
                .prepared
                .iter()
                .map(Prepared::line)
                .collect()
        } else {
            String::new()
        };
        let rest = [("fault.log", faults), ("prepared.log", prepared)];
        for (name, text) in seen.into_iter().chain(rest) {
            fs::write(folder.join(name), text).unwrap();
        }
        self.compare(&sql, &units).await
    }

    /// The truth as the second slot has it, and as the writers and a table have it.
    async fn compare(&self, sql: &Client, units: &[Unit]) -> Vec<String> {
        let rows = sql.query("SELECT number, xid FROM number", &[]).await;
        let committed: HashMap<u64, u32> = rows
            .unwrap()
            .iter()
            .map(|row| {
                let (number, xid): (i64, i64) = (row.get(0), row.get(1));
                let xid = u32::try_from(xid & 0xFFFF_FFFF).unwrap();
                (u64::try_from(number).unwrap(), xid)
            })
            .collect();
        let of_xid: HashMap<u32, &Unit> = units.iter().map(|unit| (unit.xid, unit)).collect();
        let mut odd = Vec::new();
        for (number, transaction) in &self.work.written().transactions {
            let xid = committed.get(number);
            match (transaction.fate, xid) {
                (Fate::Committed, None) | (Fate::RolledBack, Some(_)) => {
                    odd.push(format!("transaction {number}: {:?}", transaction.fate));
                }
                _ => {}
            }
            let Some(xid) = xid else { continue };
            let mut said = transaction.labels.clone();
            let mut found = of_xid
                .get(xid)
                .map_or_else(Vec::new, |unit| unit.labels.clone());
            // Of a statement that changes many rows, the server chooses the order.
            said.sort_unstable();
            found.sort_unstable();
            if said != found {
                odd.push(format!(
                    "transaction {number} ({xid}) has {} events, the server sends {}",
                    said.len(),
                    found.len()
                ));
            }
        }
        odd
    }

    async fn leave(self, keep: bool) {
        let sql = admin(self.server).await;
        for slot in [truth::SLOT, "reader"] {
            let drop = format!("SELECT pg_drop_replication_slot('{slot}_{}')", self.seed);
            for _ in 0..200 {
                if sql.batch_execute(&drop).await.is_ok() {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.database);
        sql.batch_execute(&drop).await.unwrap();
        if !keep {
            let _ = fs::remove_dir_all(&self.reading.folder);
        }
    }
}

/// Where a run leaves its logs.
fn folder(version: u32, seed: u64) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos/{version}-{seed}"))
}

async fn admin(server: &Server) -> Client {
    loop {
        if let Some(sql) = connect(&server.url).await {
            return sql;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// The server's URL with another port and database.
fn at(url: &str, port: u16, database: &str) -> String {
    let (login, _) = url.rsplit_once('@').unwrap();
    format!("{login}@127.0.0.1:{port}/{database}")
}

/// How long the last reader may take to the end.
const CATCH_UP_MS: u64 = 20_000;
