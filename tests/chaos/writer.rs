//! Commits numbered transactions of every shape, and keeps what each of them does and how it ended
//! as far as the server's answers tell.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgoutput_decoder_host::Lsn;
use pgoutput_decoder_tests::chaos::history::Prepared;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;
use tokio_postgres::{Client, NoTls};

/// What a database has before anything is written. `number` is not published: it tells which
/// transactions were committed, whatever answers were lost.
pub(crate) const SETUP: &str = "
    CREATE TABLE account (id bigint PRIMARY KEY, tag text, filler text);
    CREATE TABLE ledger (id bigint PRIMARY KEY, tag text, amount numeric(12,2));
    ALTER TABLE ledger REPLICA IDENTITY FULL;
    CREATE TABLE document (id bigint PRIMARY KEY, tag text, body text);
    ALTER TABLE document ALTER COLUMN body SET STORAGE EXTERNAL;
    CREATE TABLE trail (id bigint, tag text);
    CREATE TABLE number (number bigint PRIMARY KEY, xid bigint);
    CREATE PUBLICATION p FOR TABLE account, ledger, document, trail;";

/// What all writers of a run share.
pub(crate) struct Work {
    /// Where the database is. Another server may take its place.
    url: Mutex<String>,
    pub(crate) stop: AtomicBool,
    number: AtomicU64,
    id: AtomicI64,
    written: Mutex<Written>,
}

/// What was tried.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) transactions: BTreeMap<u64, Transaction>,
    pub(crate) prepared: Vec<Prepared>,
}

/// A transaction and what became of it.
pub(crate) struct Transaction {
    pub(crate) labels: Vec<String>,
    pub(crate) fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Committed,
    RolledBack,
    /// Its answer was lost.
    Unknown,
}

impl Work {
    pub(crate) fn at(url: &str) -> Self {
        Self {
            url: Mutex::new(url.to_owned()),
            stop: AtomicBool::new(false),
            number: AtomicU64::new(0),
            id: AtomicI64::new(0),
            written: Mutex::default(),
        }
    }

    pub(crate) fn url(&self) -> String {
        lock(&self.url).clone()
    }

    pub(crate) fn move_to(&self, url: &str) {
        url.clone_into(&mut lock(&self.url));
    }

    pub(crate) fn written(&self) -> MutexGuard<'_, Written> {
        lock(&self.written)
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// So many ids in a row, of which this is the first.
    fn ids(&self, count: i64) -> i64 {
        self.id.fetch_add(count, Ordering::Relaxed) + 1
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn ended(&self, number: u64, labels: Vec<String>, fate: Fate) {
        let transaction = Transaction { labels, fate };
        self.written().transactions.insert(number, transaction);
    }
}

/// One session that writes.
pub(crate) struct Writer {
    work: Arc<Work>,
    random: StdRng,
    sql: Option<Client>,
    /// Rows that are surely there, by table.
    rows: [Vec<i64>; 3],
    /// Those that were, before the transaction.
    rows_before: [Vec<i64>; 3],
    undecided: Vec<Undecided>,
}

struct Undecided {
    number: u64,
    labels: Vec<String>,
    prepared: Prepared,
}

/// A transaction before it is sent: its statements and what it is to be seen as.
struct Script {
    number: u64,
    statements: Vec<String>,
    labels: Vec<String>,
}

const TABLES: [&str; 3] = ["account", "ledger", "document"];

impl Writer {
    pub(crate) fn new(work: &Arc<Work>, seed: u64) -> Self {
        Self {
            work: Arc::clone(work),
            random: StdRng::seed_from_u64(seed),
            sql: None,
            rows: [const { Vec::new() }; 3],
            rows_before: [const { Vec::new() }; 3],
            undecided: Vec::new(),
        }
    }

    /// Writes until the work is over, and decides what it had prepared.
    pub(crate) async fn write(mut self) {
        while !self.work.is_over() {
            match self.random.random_range(0..100) {
                0..=29 => self.small().await,
                30..=41 => self.bulk().await,
                42..=49 => self.large().await,
                50..=61 => self.nested().await,
                62..=69 => self.toasted().await,
                70..=73 => self.truncate().await,
                74..=81 => self.message().await,
                82..=84 => self.nothing().await,
                85..=92 => self.prepare().await,
                93..=95 => {
                    let pause = self.random.random_range(100..600);
                    sleep(Duration::from_millis(pause)).await;
                }
                _ => self.decide().await,
            }
            let pause = self.random.random_range(0..30);
            sleep(Duration::from_millis(pause)).await;
        }
        while !self.undecided.is_empty() {
            self.decide().await;
        }
    }

    fn script(&mut self) -> Script {
        self.rows_before.clone_from(&self.rows);
        Script {
            number: self.work.next_number(),
            statements: Vec::new(),
            labels: Vec::new(),
        }
    }

    async fn small(&mut self) {
        let mut script = self.script();
        for _ in 0..self.random.random_range(1..6) {
            self.row(&mut script);
        }
        self.run(script, false).await;
    }

    async fn bulk(&mut self) {
        let mut script = self.script();
        for _ in 0..self.random.random_range(1..3) {
            let count = self.random.random_range(10..150);
            self.many(&mut script, count);
        }
        self.run(script, false).await;
    }

    /// One that the server streams while it is open, in pieces between which others commit.
    async fn large(&mut self) {
        let mut script = self.script();
        for piece in 0..self.random.random_range(2..5) {
            let count = self.random.random_range(200..700);
            let kept = script.labels.len();
            let nested = self.random.random_bool(0.4);
            if nested {
                script.statements.push(format!("SAVEPOINT s{piece}"));
            }
            self.many(&mut script, count);
            if nested {
                self.leave(&mut script, piece, kept);
            }
        }
        self.run(script, true).await;
    }

    async fn nested(&mut self) {
        let mut script = self.script();
        self.row(&mut script);
        let mut marks = Vec::new();
        for name in 0..self.random.random_range(1..5) {
            script.statements.push(format!("SAVEPOINT s{name}"));
            marks.push((name, script.labels.len()));
            for _ in 0..self.random.random_range(1..4) {
                self.row(&mut script);
            }
            while self.random.random_bool(0.4)
                && let Some((name, kept)) = marks.pop()
            {
                self.leave(&mut script, name, kept);
            }
        }
        self.row(&mut script);
        let slowly = self.random.random_bool(0.3);
        self.run(script, slowly).await;
    }

    /// Takes a savepoint back or releases it.
    fn leave(&mut self, script: &mut Script, name: usize, kept: usize) {
        if self.random.random_bool(0.5) {
            script.labels.truncate(kept);
            script.statements.push(format!("ROLLBACK TO s{name}"));
            // What was changed in it is not known any more to be as it was.
            self.rows = [const { Vec::new() }; 3];
        } else {
            script.statements.push(format!("RELEASE s{name}"));
        }
    }

    async fn toasted(&mut self) {
        let mut script = self.script();
        let (number, id) = (script.number, self.work.ids(1));
        let length = self.random.random_range(3_000..60_000);
        script.statements.push(format!(
            "INSERT INTO document VALUES ({id}, '{number}.{id}', repeat('x', {length}))"
        ));
        script.labels.push(format!("c document {number}.{id}"));
        if let Some(&old) = self.rows[2].last() {
            script.statements.push(format!(
                "UPDATE document SET tag = '{number}.{old}' WHERE id = {old}"
            ));
            script.labels.push(format!("u document {number}.{old}"));
        }
        self.rows[2].push(id);
        self.run(script, false).await;
    }

    async fn truncate(&mut self) {
        let mut script = self.script();
        if self.random.random_bool(0.5) {
            self.row(&mut script);
        }
        script.statements.push("TRUNCATE trail".to_owned());
        script.labels.push("t trail".to_owned());
        self.run(script, false).await;
    }

    async fn message(&mut self) {
        let mut script = self.script();
        let (number, length) = (script.number, self.random.random_range(0..3_000));
        let transactional = self.random.random_bool(0.5);
        let statement = format!(
            "SELECT pg_logical_emit_message({transactional}, '{number}', repeat('m', {length}))"
        );
        if !transactional {
            // Of no transaction: whether it was written, the truth alone knows.
            let _ = self.begin(&statement).await;
            return;
        }
        self.row(&mut script);
        script.statements.push(statement);
        script.labels.push(format!("m {number}"));
        self.row(&mut script);
        self.run(script, false).await;
    }

    /// A transaction with nothing for anybody.
    async fn nothing(&mut self) {
        let script = self.script();
        self.run(script, false).await;
    }

    /// One row is written, changed or deleted.
    fn row(&mut self, script: &mut Script) {
        let number = script.number;
        let table = self.random.random_range(0..4);
        let Some(&name) = TABLES.get(table) else {
            let id = self.work.ids(1);
            let insert = format!("INSERT INTO trail VALUES ({id}, '{number}.{id}')");
            script.statements.push(insert);
            script.labels.push(format!("c trail {number}.{id}"));
            return;
        };
        let old = self.rows[table].len();
        match self.random.random_range(0..3) {
            0 if old > 0 => {
                let id = self.rows[table][self.random.random_range(0..old)];
                script.statements.push(format!(
                    "UPDATE {name} SET tag = '{number}.{id}' WHERE id = {id}"
                ));
                script.labels.push(format!("u {name} {number}.{id}"));
            }
            1 if old > 0 => {
                let at = self.random.random_range(0..old);
                let id = self.rows[table].swap_remove(at);
                let delete = format!("DELETE FROM {name} WHERE id = {id}");
                script.statements.push(delete);
                script.labels.push(format!("d {name} #{id}"));
            }
            _ => {
                let id = self.work.ids(1);
                let insert = format!("INSERT INTO {name} VALUES ({id}, '{number}.{id}')");
                script.statements.push(insert);
                script.labels.push(format!("c {name} {number}.{id}"));
                self.rows[table].push(id);
            }
        }
    }

    /// One statement writes many rows, and perhaps another changes or deletes them.
    fn many(&mut self, script: &mut Script, count: i64) {
        let number = script.number;
        let first = self.work.ids(count);
        let last = first + count - 1;
        let length = self.random.random_range(20..300);
        script.statements.push(format!(
            "INSERT INTO account SELECT i, '{number}.' || i, repeat('x', {length})
             FROM generate_series({first}, {last}) AS i"
        ));
        let written = (first..=last).map(|id| format!("c account {number}.{id}"));
        script.labels.extend(written);
        let some = first..=first + count / 5;
        let clause = format!("WHERE id BETWEEN {} AND {}", some.start(), some.end());
        match self.random.random_range(0..4) {
            0 => {
                script.statements.push(format!(
                    "UPDATE account SET tag = '{number}.' || id {clause}"
                ));
                let changed = some.map(|id| format!("u account {number}.{id}"));
                script.labels.extend(changed);
            }
            1 => {
                let delete = format!("DELETE FROM account {clause}");
                script.statements.push(delete);
                let deleted = some.map(|id| format!("d account #{id}"));
                script.labels.extend(deleted);
            }
            _ => {}
        }
    }

    /// Sends a transaction and ends it in some way.
    async fn run(&mut self, script: Script, slowly: bool) {
        let end = match self.random.random_range(0..20) {
            0 => "ROLLBACK",
            1 => "",
            _ => "COMMIT",
        };
        let mut sent = self.open(&script, slowly).await;
        if sent && end.is_empty() {
            // The writer dies.
            self.sql = None;
            sent = false;
        }
        let fate = if !sent {
            Fate::RolledBack
        } else if !self.send(end).await {
            Fate::Unknown
        } else if end == "COMMIT" {
            Fate::Committed
        } else {
            Fate::RolledBack
        };
        match fate {
            Fate::Committed => {}
            Fate::RolledBack => {
                self.rows.clone_from(&self.rows_before);
                self.send("ROLLBACK").await;
            }
            Fate::Unknown => self.rows = [const { Vec::new() }; 3],
        }
        self.work.ended(script.number, script.labels, fate);
    }

    /// Everything of a transaction but its end.
    async fn open(&mut self, script: &Script, slowly: bool) -> bool {
        let number = script.number;
        let first = format!("BEGIN; INSERT INTO number VALUES ({number}, txid_current())");
        if !slowly {
            let all = [&[first], script.statements.as_slice()]
                .concat()
                .join(";\n");
            return self.begin(&all).await;
        }
        if !self.begin(&first).await {
            return false;
        }
        for statement in &script.statements {
            if !self.send(statement).await {
                return false;
            }
            let pause = self.random.random_range(0..20);
            sleep(Duration::from_millis(pause)).await;
        }
        true
    }

    async fn prepare(&mut self) {
        let mut script = self.script();
        // It holds its locks for long: only rows of its own.
        let count = *[3, 30, 600].get(self.random.random_range(0..3)).unwrap();
        self.many(&mut script, count);
        let number = script.number;
        let mut known = None;
        let mut done = false;
        if self.open(&script, false).await {
            known = self.xid_and_wal_end().await;
            done = self.send(&format!("PREPARE TRANSACTION 'g{number}'")).await;
        }
        let Some((xid, from)) = known else {
            self.send("ROLLBACK").await;
            self.work.ended(number, script.labels, Fate::RolledBack);
            return;
        };
        let to = match self.xid_and_wal_end().await {
            Some((_, to)) if done => Some(to),
            _ => None,
        };
        self.undecided.push(Undecided {
            number,
            labels: script.labels,
            prepared: Prepared {
                xid,
                from,
                to,
                until: None,
            },
        });
        if self.random.random_bool(0.3) {
            self.sql = None;
        }
    }

    /// Commits or rolls back what was prepared first.
    async fn decide(&mut self) {
        if self.undecided.is_empty() {
            return;
        }
        let mut undecided = self.undecided.remove(0);
        let verb = if self.random.random_bool(0.7) {
            "COMMIT"
        } else {
            "ROLLBACK"
        };
        let sql = format!("{verb} PREPARED 'g{}'", undecided.number);
        let done = self.begin(&sql).await;
        let fate = match (done, verb) {
            // It was never prepared, or the answer was lost.
            (false, _) => Fate::Unknown,
            (true, "COMMIT") => Fate::Committed,
            (true, _) => Fate::RolledBack,
        };
        let until = self.xid_and_wal_end().await.map(|(_, until)| until);
        undecided.prepared.until = until.filter(|_| done);
        self.work.written().prepared.push(undecided.prepared);
        self.work.ended(undecided.number, undecided.labels, fate);
    }

    /// Sends statements that begin something, in a new session where there is none.
    async fn begin(&mut self, statements: &str) -> bool {
        self.session().await;
        self.send(statements).await
    }

    /// Sends statements; whether the server says that all of them are done.
    async fn send(&mut self, statements: &str) -> bool {
        // Never in another session than the one that began: outside of its transaction each would
        // be committed by itself.
        let Some(sql) = &self.sql else {
            return false;
        };
        match sql.batch_execute(statements).await {
            Ok(()) => true,
            Err(error) => {
                if error.code().is_none() {
                    self.sql = None;
                }
                false
            }
        }
    }

    async fn xid_and_wal_end(&mut self) -> Option<(u32, Lsn)> {
        let sql = self.sql.as_ref()?;
        let query = "SELECT txid_current_if_assigned(), pg_current_wal_insert_lsn()::text";
        let row = sql.query_one(query, &[]).await.ok()?;
        let (xid, lsn): (Option<i64>, String) = (row.get(0), row.get(1));
        let xid = u32::try_from(xid.unwrap_or(0) & 0xFFFF_FFFF).unwrap();
        Some((xid, lsn.parse().unwrap()))
    }

    /// Sees to it that there is a session, as long as there is a server.
    async fn session(&mut self) {
        if self.sql.as_ref().is_none_or(Client::is_closed) {
            self.sql = None;
            for _ in 0..200 {
                if let Some(sql) = connect(&self.work.url()).await {
                    self.sql = Some(sql);
                    break;
                }
                sleep(Duration::from_millis(25)).await;
            }
        }
    }
}

/// A session, unless the server takes none.
pub(crate) async fn connect(url: &str) -> Option<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
    tokio::spawn(connection);
    let patience = "SET lock_timeout = '300ms'; SET statement_timeout = '20s'";
    client.batch_execute(patience).await.ok()?;
    Some(client)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
