//! The command whose stash has a full disk: a real file system of one megabyte.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "a test stops where its server is not as expected"
)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use std::{env, fs, thread};

use serde_json::Value;
use tokio_postgres::{Client, NoTls};

const PATIENCE: Duration = Duration::from_mins(1);

/// A file system that nobody else sees, with a file that fills it, and the command beside it.
const FULL: &str = "mount -t tmpfs -o size=1m none \"$1\" &&
    { dd if=/dev/zero of=\"$1/ballast\" bs=1k count=2000 2>/dev/null; true; } &&
    directory=$1 && shift && exec \"$@\" --stash-directory \"$directory\"";

/// Lines of a pipe, as they come.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            if line.is_err() || sender.send(line.unwrap_or_default()).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn confirmed(sql: &Client) -> String {
    let query = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots
                 WHERE slot_name = 'disk_full'";
    sql.query_one(query, &[]).await.unwrap().get(0)
}

fn end(mut child: Child) {
    let _ = Command::new("kill").arg(child.id().to_string()).status();
    assert!(child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for_and_nothing_is_lost() {
    let directory = env::temp_dir().join(format!("pgoutput-disk-full-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let may = |script: &str| {
        let unshared = Command::new("unshare")
            .args(["-rm", "sh", "-c", script, "sh"])
            .arg(&directory)
            .stderr(Stdio::null())
            .status();
        unshared.is_ok_and(|status| status.success())
    };
    if !may("mount -t tmpfs -o size=1m none \"$1\"") {
        println!("skipped: this machine lets nobody mount a file system of their own");
        fs::remove_dir(&directory).unwrap();
        return;
    }
    let url = env::var("PGOUTPUT_TEST_URL").expect("run under scripts/postgres");
    let (sql, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    for statement in [
        "CREATE TABLE disk_full (id int PRIMARY KEY, note text)",
        "ALTER TABLE disk_full ALTER note SET STORAGE EXTERNAL",
        "CREATE PUBLICATION disk_full FOR TABLE disk_full",
        "SELECT pg_create_logical_replication_slot('disk_full', 'pgoutput')",
        "INSERT INTO disk_full VALUES (0, 'before')",
    ] {
        sql.batch_execute(statement).await.unwrap();
    }
    let mut child = Command::new("unshare")
        .args(["-rm", "sh", "-c", FULL, "sh"])
        .arg(&directory)
        .arg(env!("CARGO_BIN_EXE_pgoutput-decoder"))
        .args([
            "stream",
            "--slot",
            "disk_full",
            "--publication",
            "disk_full",
        ])
        .arg(&url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (output, told) = (
        lines(child.stdout.take().unwrap()),
        lines(child.stderr.take().unwrap()),
    );
    let id = |line: String| {
        let event: Value = serde_json::from_str(&line).unwrap();
        event["key"]["id"].as_i64().unwrap()
    };
    assert_eq!(id(output.recv_timeout(PATIENCE).unwrap()), 0);

    // Far more than the 32 MiB that are kept in memory.
    let insert = "INSERT INTO disk_full SELECT n, repeat('x', 10000)
                  FROM generate_series(1, 8000) n";
    sql.batch_execute(insert).await.unwrap();
    let warning = told.recv_timeout(PATIENCE).unwrap();
    assert!(warning.contains("writing a file in"), "{warning}");
    assert!(warning.contains("free space there"), "{warning}");
    let before = confirmed(&sql).await;
    Command::new("kill")
        .args(["-USR1", &child.id().to_string()])
        .status()
        .unwrap();
    let status = told.recv_timeout(PATIENCE).unwrap();
    assert!(status.starts_with("reconnecting: "), "{status}");
    assert!(status.contains("last error: "), "{status}");
    assert!(output.try_recv().is_err(), "the disk was not full");

    let seen = format!("/proc/{}/root{}", child.id(), directory.display());
    fs::remove_file(Path::new(&seen).join("ballast")).unwrap();
    let enlarge = format!("mount -o remount,size=200m {}", directory.display());
    let enlarged = Command::new("nsenter")
        .args(["--preserve-credentials", "-U", "-m", "-t"])
        .arg(child.id().to_string())
        .args(["sh", "-c", &enlarge])
        .status();
    assert!(enlarged.unwrap().success());
    assert_eq!(confirmed(&sql).await, before, "it was confirmed");
    for expected in 1..=8000 {
        assert_eq!(id(output.recv_timeout(PATIENCE).unwrap()), expected);
    }
    end(child);
    assert_ne!(confirmed(&sql).await, before);
    for statement in [
        "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
         WHERE slot_name = 'disk_full' AND active",
        "SELECT pg_drop_replication_slot('disk_full')",
        "DROP PUBLICATION disk_full",
        "DROP TABLE disk_full",
    ] {
        sql.batch_execute(statement).await.unwrap();
    }
    fs::remove_dir(&directory).unwrap();
}
