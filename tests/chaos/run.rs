//! One run: a fresh database, some seconds of trouble, and the comparison.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pgoutput_decoder_tests::Server;
use pgoutput_decoder_tests::chaos::checker::{Verdict, check};
use pgoutput_decoder_tests::chaos::history::{Confirm, Fault, History, Prepared, Unit, Wire};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;
use tokio_postgres::Client;

use crate::clock;
use crate::proxy::{Proxy, Side};
use crate::supervisor::Supervisor;
use crate::truth;
use crate::writer::{self, Fate, Work, Writer, connect};

/// What one run came to.
pub(crate) struct Outcome {
    seed: u64,
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
    server: &'server Server,
    seed: u64,
    version: u32,
    random: StdRng,
    database: String,
    /// Of the database.
    url: String,
    work: Arc<Work>,
    proxy: Proxy,
    reading: Supervisor,
    faults: Vec<Fault>,
    began: u64,
}

impl<'server> Run<'server> {
    pub(crate) async fn new(server: &'server Server, version: u32, seed: u64) -> Self {
        let began = clock::unix_us();
        let mut random = StdRng::seed_from_u64(seed);
        let database = format!("chaos_{seed}");
        let folder = folder(version, seed);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let two_phase = version >= 15 && random.random_bool(0.3);
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
        for (slot, two_phase) in [(truth::SLOT, false), ("reader", two_phase)] {
            let make = format!(
                "SELECT pg_create_logical_replication_slot('{slot}_{seed}', 'pgoutput', false,
                                                           {two_phase})"
            );
            sql.batch_execute(&make).await.unwrap();
        }
        let through = at(&server.url, proxy.port, &database) + "?sslmode=disable";
        let reading = Supervisor {
            folder,
            url: url.clone(),
            through,
            slot: format!("reader_{seed}"),
            version,
            two_phase,
            started: 0,
            random: StdRng::seed_from_u64(seed ^ 0x5EED),
            starved: false,
            child: None,
        };
        Self {
            server,
            seed,
            version,
            random,
            database,
            url,
            work: Arc::default(),
            proxy,
            reading,
            faults: Vec::new(),
            began,
        }
    }

    pub(crate) async fn run(mut self, keep: bool) -> Outcome {
        let mut rig = Vec::new();
        let writers = self.random.random_range(1..4_u64);
        let writing: Vec<_> = (0..writers)
            .map(|index| {
                let seed = self.seed * 16 + index;
                let writer = Writer::new(&self.work, &self.url, seed, true);
                tokio::spawn(writer.write())
            })
            .collect();
        for _ in 0..self.random.random_range(2..6) {
            let pause = self.random.random_range(50..500);
            self.reading.pause(Duration::from_millis(pause)).await;
            self.harm().await;
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

    /// Does one thing to the reader, the link or the server.
    async fn harm(&mut self) {
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
                let sql = connect(&self.url).await.unwrap();
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
                self.hit("server immediate");
                self.server.restart("immediate").await;
            }
            83..=86 => {
                self.aim().await;
                self.hit("server fast");
                self.server.restart("fast").await;
            }
            87..=90 => {
                self.aim().await;
                self.hit("backend killed");
                self.kill_a_backend().await;
            }
            91..=93 => self.freeze_the_reader().await,
            _ => {
                self.reading.kill();
                self.reading.starved = true;
                self.reading.pause(Duration::from_millis(700)).await;
                self.hit("stash full");
                self.reading.kill();
            }
        }
    }

    /// Waits for a moment: any, or one inside of a transaction.
    async fn aim(&mut self) {
        let inside = self.random.random_bool(0.7);
        for _ in 0..self.random.random_range(0..200) {
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
        let sql = connect(&self.url).await.unwrap();
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

    /// Decides what is still prepared, and commits what all wait for.
    async fn finish(&mut self) {
        let sql = loop {
            if let Some(sql) = connect(&self.url).await {
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
        let sql = connect(&self.url).await.unwrap();
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
            let streamed = streamed.join(
                "
",
            ) + "
";
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

fn signal(signal: &str, process: &str) {
    let sent = Command::new("kill").args([signal, process]).status();
    // Whoever is gone already needs no signal.
    let _ = sent.unwrap();
}

/// How long the last reader may take to the end.
const CATCH_UP_MS: u64 = 20_000;
