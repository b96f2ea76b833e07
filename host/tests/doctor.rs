//! `doctor` as people and programs run it: what it prints, and how it ends.
#![cfg(feature = "command")]
#![expect(clippy::unwrap_used, reason = "how a test fails")]

use std::env;
use std::process::Command;

use serde_json::Value;

/// Exit code, stdout and stderr, in an environment that says nothing about servers.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgoutput-decoder"));
    command.args(arguments);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    let output = command.output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Runs SQL, each statement on its own.
fn sql(url: &str, statements: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let connecting = tokio_postgres::connect(url, tokio_postgres::NoTls);
        let (client, connection) = connecting.await.unwrap();
        let driver = tokio::spawn(connection);
        for statement in statements {
            client.batch_execute(statement).await.unwrap();
        }
        drop(client);
        driver.await.unwrap().unwrap();
    });
}

#[test]
fn what_is_missing_is_printed_in_the_order_in_which_it_is_made() {
    let server = env::var("PGOUTPUT_TEST_URL")
        .expect("run under scripts/postgres: it starts a server and sets PGOUTPUT_TEST_URL");
    let making = [
        "DROP DATABASE IF EXISTS command_doctor",
        "CREATE DATABASE command_doctor",
    ];
    sql(&server, &making);
    let (server_only, _) = server.rsplit_once('/').unwrap();
    let url = format!("{server_only}/command_doctor");
    sql(&url, &["CREATE TABLE item (id int PRIMARY KEY)"]);
    let asked = [url.as_str(), "--slot", "command_doctor", "--publication"];
    let with = |first: &str, more: &[&str]| {
        let all = [&[first], &asked[..], &["Item's"], more].concat();
        run(&all)
    };

    let (code, report, _) = with("doctor", &[]);
    assert_eq!(code, 1, "{report}");
    let last = report.lines().last().unwrap();
    assert!(last.starts_with("2 errors: publication, slot; "), "{last}");
    assert!(last.ends_with(" good"), "{last}");
    let place = |text: &str| report.find(text).unwrap_or_else(|| panic!("{report}"));
    let publication = place("CREATE PUBLICATION \"Item's\" FOR ALL TABLES;");
    let slot = place("SELECT pg_create_logical_replication_slot('command_doctor', 'pgoutput');");
    assert!(publication < slot, "{report}");
    // Nothing is said of the tables of no publication.
    assert!(!report.contains("row-filter"), "{report}");
    assert!(!report.contains('\x1b'), "no colours in a pipe: {report}");

    let (code, _, told) = with("stream", &[]);
    assert_eq!(code, 1);
    assert!(told.contains("pgoutput-decoder doctor"), "{told}");

    let (code, report, _) = with("doctor", &["--json"]);
    assert_eq!(code, 1);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["reachable"], true);
    let findings = report["findings"].as_array().unwrap();
    let wrong = findings.iter().filter(|found| found["level"] == "error");
    for finding in wrong {
        for statement in finding["sql"].as_array().unwrap() {
            sql(&url, &[statement.as_str().unwrap()]);
        }
    }
    let (code, report, _) = with("doctor", &[]);
    assert_eq!(code, 0, "{report}");
    let is_there = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        words == ["ok", "publication-tables", "Item's:", "1"]
    };
    assert!(report.lines().any(is_there), "{report}");
    sql(&url, &["SELECT pg_drop_replication_slot('command_doctor')"]);
    sql(&server, &["DROP DATABASE command_doctor"]);
}

#[test]
fn a_server_that_cannot_be_reached_is_another_exit_code() {
    // Nobody has ever listened at port 1.
    let url = "postgresql://ann:hunter2@127.0.0.1:1/shop";
    let (code, report, told) = run(&["doctor", url]);
    assert_eq!((code, told.as_str()), (3, ""));
    assert!(report.contains("error    connection  "), "{report}");
    assert!(
        report.contains("check that it listens at 127.0.0.1:1"),
        "{report}"
    );
    let (code, json, _) = run(&["doctor", url, "--json"]);
    assert_eq!(code, 3);
    let parsed: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed["reachable"], false);
    assert_eq!(parsed["findings"][0]["code"], "connection");
    assert!(!format!("{report}{json}").contains("hunter2"));
    // A setting that cannot be is neither.
    let (code, _, told) = run(&["doctor", "nonsense"]);
    assert_eq!(code, 1);
    assert!(told.starts_with("error: url: "), "{told}");
}
