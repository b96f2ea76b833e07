//! The command where a change cannot be decoded: `stream` parks it, `decode` decodes it later.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::{env, fs};

use serde_json::Value;
use tokio_postgres::NoTls;

const NAME: &str = "command_undecodable";

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_pgoutput-decoder"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stream_parks_decode_decodes() {
    let url = env::var("PGOUTPUT_TEST_URL").expect("run under scripts/postgres");
    let (sql, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    for statement in [
        &format!("CREATE TABLE {NAME} (id int PRIMARY KEY, note text)"),
        &format!("CREATE PUBLICATION {NAME} FOR TABLE {NAME}"),
        &format!("SELECT pg_create_logical_replication_slot('{NAME}', 'pgoutput')"),
        &format!(
            "INSERT INTO {NAME} SELECT n, repeat('x', CASE n WHEN 2 THEN 16 << 20 ELSE 1 END)
             FROM generate_series(1, 3) n"
        ),
    ] {
        sql.batch_execute(statement).await.unwrap();
    }
    let file = env::temp_dir().join(format!("pgoutput-{NAME}-{}", std::process::id()));
    let mut child = command()
        .args(["stream", "--slot", NAME, "--publication", NAME])
        .args(["--memory-max-bytes", "25165824", "--on-undecodable"])
        .arg(format!("park:{}", file.display()))
        .arg(&url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for expected in [1, 3] {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["key"]["id"], expected);
    }
    let _ = Command::new("kill").arg(child.id().to_string()).status();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    let told = String::from_utf8(ended.stderr).unwrap();
    let told: Vec<_> = told.lines().collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let words = "warning: a change that cannot be decoded was parked: message 'I' of \
                 public.command_undecodable at LSN ";
    assert!(told.concat().starts_with(words), "{told:?}");

    let decoded = command()
        .args(["decode", "--format", "native", "--capture"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(decoded.status.success(), "{decoded:?}");
    let event: Value = serde_json::from_slice(&decoded.stdout).unwrap();
    assert_eq!(event["key"]["id"], 2);
    let note = event["value"]["after"]["note"].as_str().unwrap();
    assert_eq!(note.len(), 16 << 20);
    fs::remove_file(&file).unwrap();
    for statement in [
        &format!(
            "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
             WHERE slot_name = '{NAME}' AND active"
        ),
        &format!("SELECT pg_drop_replication_slot('{NAME}')"),
        &format!("DROP PUBLICATION {NAME}"),
        &format!("DROP TABLE {NAME}"),
    ] {
        sql.batch_execute(statement).await.unwrap();
    }
}
