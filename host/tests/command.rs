//! The command as people run it: its output, its errors and its exit codes.
#![cfg(feature = "command")]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "how a test fails")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The command, in an environment that says nothing about servers.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgoutput-decoder"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("PG") || name == "NO_COLOR" {
            command.env_remove(name);
        }
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// Exit code and what was said on stderr.
fn failure(arguments: &[&str]) -> (i32, String) {
    let output = run(arguments);
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn vector(case: &str, file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/vectors")
        .join(case)
        .join(file);
    assert!(path.exists(), "{} is missing", path.display());
    path.to_str().unwrap().to_owned()
}

/// A file of this test's own.
fn file(name: &str, text: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("command");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// `decode` of a vector, with more arguments.
fn decode(case: &str, arguments: &[&str]) -> Output {
    let (capture, catalog) = (vector(case, "pgoutput.jsonl"), vector(case, "catalog.json"));
    let mut all = vec!["decode", "--catalog", &catalog];
    if !arguments.contains(&"--capture") {
        all.extend(["--capture", &capture]);
    }
    all.extend(arguments);
    run(&all)
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn decode_writes_what_debezium_wrote_with_either_engine() {
    let options = file("debezium.json", r#"{"topic.prefix": "app"}"#);
    let arguments = [
        "--options",
        &options,
        "--database",
        "c_ecommerce",
        "--engine",
    ];
    let with = |engine| decode("ecommerce", &[&arguments[..], &[engine]].concat());
    let (component, native) = (with("component"), with("native"));
    assert_eq!(String::from_utf8_lossy(&component.stderr), "");
    assert!(component.status.success());
    assert_eq!(lines(&component), lines(&native));
    assert!(
        component.stdout == native.stdout,
        "the same JSON, written differently"
    );

    let expected = fs::read_to_string(vector("ecommerce", "events.jsonl")).unwrap();
    let expected: Vec<Value> = expected
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events = lines(&component);
    assert_eq!(events.len(), expected.len());
    for (event, expected) in events.iter().zip(&expected) {
        assert_eq!(event["topic"], expected["topic"]);
        assert_eq!(event["key"], expected["key"]);
        assert_eq!(event["value"].get("op"), expected["value"].get("op"));
        assert!(event["headers"].is_object());
    }
}

#[test]
fn decode_gives_the_same_each_time() {
    let once = decode("schema-change-live", &[]);
    assert!(once.status.success() && !once.stdout.is_empty());
    let again = decode("schema-change-live", &["--catalog-at", "stream"]);
    assert_eq!(lines(&once), lines(&again));
    // At the end of that case the tables have other keys and defaults.
    let end = decode("schema-change-live", &["--catalog-at", "end"]);
    assert_ne!(lines(&once), lines(&end));
}

#[test]
fn decode_writes_a_line_an_event_whatever_line_breaks_json_has() {
    let case = "types-scalar-json";
    let capture = fs::read_to_string(vector(case, "pgoutput.jsonl")).unwrap();
    // The space behind a name and its colon.
    let broken = capture.replace("223a20", "223a0a");
    assert_ne!(broken, capture);
    let capture = file("line-breaks.jsonl", &broken);
    let flags = ["--format", "native", "--engine", "native", "--capture"];
    let with = |capture: &str| lines(&decode(case, &[&flags[..], &[capture]].concat()));
    let rows = |capture: &str| -> Vec<Value> {
        let events = with(capture);
        events
            .iter()
            .map(|event| event["value"]["after"].clone())
            .collect()
    };
    let expected = rows(&vector(case, "pgoutput.jsonl"));
    assert!(expected.iter().any(Value::is_object));
    assert_eq!(rows(&capture), expected);
}

#[test]
fn decode_takes_options_from_file_and_flags() {
    let options = file(
        "options.json",
        r#"{"topic.prefix":"p","database.dbname":"wrong","tombstones.on.delete":false,
            "money.fraction.digits":3,"plugin.name":"pgoutput","poll.interval.ms":20}"#,
    );
    let output = decode("ecommerce", &["--options", &options, "--database", "right"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "notice: options of Debezium without a meaning here, ignored: \
         plugin.name, poll.interval.ms\n"
    );
    let events = lines(&output);
    assert!(
        events
            .iter()
            .all(|event| event["value"]["source"]["db"] == "right")
    );
    assert!(
        events
            .iter()
            .all(|event| event["topic"].as_str().unwrap().starts_with("p."))
    );

    let native = lines(&decode(
        "ecommerce",
        &["--format", "native", "--options", &options],
    ));
    assert_eq!(
        native[0]["value"]["source"]["connector"],
        "pgoutput-decoder"
    );
    assert_eq!(native[0]["value"]["source"]["db"], "wrong");
}

#[test]
fn decode_writes_schemas_when_told_to() {
    let options = file(
        "schemas.json",
        r#"{"topic.prefix":"app","value.converter.schemas.enable":false}"#,
    );
    let arguments = ["--options", &options, "--catalog-at", "end"];
    let plain = lines(&decode("ecommerce", &arguments));
    let with = lines(&decode(
        "ecommerce",
        &[&arguments[..], &["--schemas"]].concat(),
    ));
    let expected = fs::read_to_string(vector("ecommerce", "events.schema.jsonl")).unwrap();
    let expected: Vec<Value> = expected
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((plain.len(), with.len()), (expected.len(), expected.len()));
    for ((plain, with), expected) in plain.iter().zip(&with).zip(&expected) {
        assert_eq!(with["key"], expected["key"]);
        assert_eq!(with["key"]["payload"], plain["key"]);
        assert_eq!(with["value"].get("schema"), expected["value"].get("schema"));
        assert_eq!(with["value"]["payload"]["after"], plain["value"]["after"]);
    }
    let output = decode("ecommerce", &["--schemas", "--format", "native"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stderr).lines().next(),
        Some("error: option schemas.enable: the native format has no schemas")
    );
}

#[test]
fn decode_names_the_option_that_is_wrong() {
    let with = |name: &str, text: &str| {
        let output = decode("ecommerce", &["--options", &file(name, text)]);
        assert!(output.stdout.is_empty());
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(
        with("name.json", r#"{"decimal.mode":"string"}"#),
        (1, "error: option decimal.mode: no such option\n".to_owned())
    );
    let (code, error) = with("value.json", r#"{"decimal.handling.mode":"exactly"}"#);
    assert_eq!(code, 1);
    assert_eq!(
        error,
        "error: option decimal.handling.mode: expected one of precise, double, string\n"
    );
    let (code, error) = with("kind.json", r#"{"decimal.handling.mode":["string"]}"#);
    assert_eq!(code, 1);
    assert!(
        error.ends_with(
            "kind.json: option decimal.handling.mode: a string, number or boolean was expected\n"
        ),
        "{error}"
    );
    let (code, error) = with("broken.json", "{\n  \"database.password\": hunter2\n}");
    assert_eq!(code, 1);
    assert!(
        error.ends_with("broken.json: not JSON, line 2, column 24\n"),
        "{error}"
    );
}

#[test]
fn decode_says_which_file_and_line_is_wrong() {
    let catalog = vector("ecommerce", "catalog.json");
    let good = fs::read_to_string(vector("ecommerce", "pgoutput.jsonl")).unwrap();
    let of = |capture: &str, catalog: &str| {
        failure(&["decode", "--capture", capture, "--catalog", catalog])
    };

    let (code, error) = of("nowhere.jsonl", &catalog);
    assert_eq!(code, 1);
    assert!(
        error.starts_with("error: cannot read nowhere.jsonl: No such file or directory"),
        "{error}"
    );

    let corrupt = file(
        "hex.jsonl",
        &good.replacen("\"hex\": \"49", "\"hex\": \"4x", 1),
    );
    let (code, error) = of(&corrupt, &catalog);
    assert_eq!(code, 1);
    assert_eq!(
        error,
        format!("error: {corrupt}, line 3: expected pairs of hexadecimal digits in \"hex\"\n")
    );

    let no_json = file("catalog.json", "{\"stages\": [}");
    let (code, error) = of(&vector("ecommerce", "pgoutput.jsonl"), &no_json);
    assert_eq!(code, 1);
    assert_eq!(
        error,
        format!(
            "error: {no_json}: not a catalog with stages of types and relations: \
             expected value at line 1 column 13\n"
        )
    );
}

#[test]
fn decode_writes_what_came_before_a_message_it_cannot_decode() {
    let good = fs::read_to_string(vector("ecommerce", "pgoutput.jsonl")).unwrap();
    let mut messages: Vec<_> = good.lines().map(str::to_owned).collect();
    // The second insert loses its last byte.
    let second = messages
        .iter()
        .enumerate()
        .filter(|(_, m)| m.contains("\"hex\": \"49"))
        .nth(1);
    let (index, message) = second
        .map(|(index, message)| (index, message.clone()))
        .unwrap();
    messages[index] = message.replace("\"}", "").trim_end().to_owned();
    let length = messages[index].len();
    messages[index].truncate(length - 2);
    messages[index].push_str("\"}");
    let lsn = serde_json::from_str::<Value>(&messages[index]).unwrap()["lsn"].clone();
    let capture = file("truncated.jsonl", &messages.join("\n"));

    for engine in ["component", "native"] {
        let catalog = vector("ecommerce", "catalog.json");
        let output = run(&[
            "decode",
            "--capture",
            &capture,
            "--catalog",
            &catalog,
            "--engine",
            engine,
        ]);
        assert_eq!(output.status.code(), Some(1));
        let events = lines(&output);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["value"]["op"], "c");
        let error = String::from_utf8(output.stderr).unwrap();
        let place = format!("error: {capture}, line {}: ", index + 1);
        assert!(error.starts_with(&place), "{error}");
        for part in [
            lsn.as_str().unwrap(),
            "message 'I'",
            "byte ",
            "truncated",
            "\nhint: ",
        ] {
            assert!(error.contains(part), "{part:?} is missing in {error}");
        }
        assert!(!error.contains("grace@example.com"));
    }
}

#[test]
fn wrong_usage_is_told_with_exit_code_2() {
    for (arguments, expected) in [
        (&["decode"][..], "--capture <FILE>"),
        (
            &[
                "decode",
                "--capture",
                "c",
                "--catalog",
                "d",
                "--catalog-at",
                "now",
            ],
            "stream, end",
        ),
        (&["stream", "--publication", "p"], "--slot <NAME>"),
        (&["stream", "--slot", "s"], "--publication <NAME>"),
        (
            &[
                "stream",
                "--slot",
                "s",
                "--publication",
                "p",
                "--start-lsn",
                "zzz",
            ],
            "0/28E1250",
        ),
        (
            &[
                "stream",
                "--slot",
                "s",
                "--publication",
                "p",
                "--option",
                "x",
            ],
            "NAME=VALUE",
        ),
        (
            &[
                "stream",
                "--slot",
                "s",
                "--publication",
                "p",
                "--port",
                "70000",
            ],
            "70000",
        ),
        (
            &["stream", "--slot=s", "--publication=p", "--streaming=1"],
            "\"off\", \"on\" or \"parallel\"",
        ),
        (&["demo", "--seconds", "0"], "1..=3600"),
        (&["perform"], "unrecognized subcommand"),
        (&[], "Usage: pgoutput-decoder <COMMAND>"),
    ] {
        let (code, error) = failure(arguments);
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn help_names_every_variable_and_default() {
    let help = String::from_utf8(run(&["stream", "--help"]).stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "PGHOST",
        "PGPORT",
        "PGUSER",
        "PGPASSWORD",
        "PGDATABASE",
        "PGOUTPUT_URL",
        "PGOUTPUT_SLOT",
        "PGOUTPUT_PUBLICATION",
        "PGOUTPUT_FORMAT",
        "PGOUTPUT_OUTPUT",
        "PGOUTPUT_OPTIONS",
        "PGOUTPUT_START_LSN",
        "PGOUTPUT_STREAMING",
        "PGOUTPUT_BINARY",
        "PGOUTPUT_TWO_PHASE",
        "PGOUTPUT_ORIGIN",
        "PGOUTPUT_STASH_DIRECTORY",
        "PGOUTPUT_STASH_MAX_BYTES",
        "[default: any]",
        "[default: native]",
        "[default: json]",
        "[default: 5432]",
    ] {
        assert!(help.contains(part), "{part} is missing in\n{help}");
    }
    let mut secret = command(&["stream", "--help"]);
    let help = secret.env("PGPASSWORD", "hunter2").output().unwrap().stdout;
    assert!(!String::from_utf8(help).unwrap().contains("hunter2"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = command(&[
        "decode",
        "--capture",
        &vector("txn-large", "pgoutput.jsonl"),
        "--catalog",
        &vector("txn-large", "catalog.json"),
    ])
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut first = String::new();
    BufReader::with_capacity(64, child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    assert!(first.starts_with("{\"topic\":"));
}

#[test]
fn a_server_that_is_not_there_is_named_and_the_password_is_not() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0");
    let port = listener.unwrap().local_addr().unwrap().port();
    let url = format!("postgresql://ann:hunter2@127.0.0.1:{port}/shop");
    for arguments in [
        &["stream", &url, "--slot", "s", "--publication", "p"][..],
        &["demo", "--url", &url],
    ] {
        let (code, error) = failure(arguments);
        assert_eq!(code, 1, "{error}");
        assert!(error.contains("refused"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
    }
    let mut streaming = command(&["stream", &url, "--slot", "s", "--publication", "p"]);
    streaming.env("PGOUTPUT_URL", "postgresql://127.0.0.1:1/another");
    streaming.env("PGOUTPUT_BINARY", "1");
    let error = String::from_utf8(streaming.output().unwrap().stderr).unwrap();
    assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
    assert_eq!(
        failure(&["demo", &url, "--url", &url]),
        (
            1,
            "error: url: given twice, with --url and without\n".to_owned()
        )
    );
}

mod with_a_server {
    use super::*;

    /// The server of the test run: `scripts/postgres run -- cargo test …`.
    fn url() -> String {
        env::var("PGOUTPUT_TEST_URL")
            .expect("run under scripts/postgres: it starts a server and sets PGOUTPUT_TEST_URL")
    }

    /// Runs SQL with tokio-postgres; each statement on its own.
    fn sql(statements: &[&str]) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url(), tokio_postgres::NoTls)
                .await
                .unwrap();
            let driver = tokio::spawn(connection);
            for statement in statements {
                client.batch_execute(statement).await.unwrap();
            }
            drop(client);
            driver.await.unwrap().unwrap();
        });
    }

    /// A table, a publication and a slot of one name, removed in the end.
    struct Stage(&'static str);

    impl Stage {
        fn new(name: &'static str) -> Self {
            sql(&[
                &format!("CREATE TABLE {name} (id int PRIMARY KEY, price numeric)"),
                &format!("CREATE PUBLICATION {name} FOR TABLE {name}"),
                &format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"),
            ]);
            Self(name)
        }

        fn insert(&self, from: u32, to: u32) {
            let name = self.0;
            sql(&[&format!(
                "INSERT INTO {name} SELECT i, 7.50 FROM generate_series({from},{to}) i"
            )]);
        }

        fn stream(&self, more: &[&str]) -> Command {
            let mut command = command(&["stream", "--slot", self.0, "--publication", self.0]);
            command
                .args(more)
                .arg(url())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            command
        }
    }

    impl Drop for Stage {
        fn drop(&mut self) {
            // A failed test says enough by itself; its server goes away with the run.
            if std::thread::panicking() {
                return;
            }
            let name = self.0;
            sql(&[
                // The server lets go of the slot a little after the command has gone.
                &format!(
                    "DO $$ BEGIN FOR i IN 1..100 LOOP EXIT WHEN NOT EXISTS (SELECT FROM \
                     pg_replication_slots WHERE slot_name = '{name}' AND active); \
                     PERFORM pg_sleep(0.1); END LOOP; END $$"
                ),
                &format!("SELECT pg_drop_replication_slot('{name}')"),
                &format!("DROP PUBLICATION {name}"),
                &format!("DROP TABLE {name}"),
            ]);
        }
    }

    fn interrupt(child: &std::process::Child, signal: &str) {
        let done = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(done.success());
    }

    #[test]
    fn stream_goes_on_where_the_last_run_was_interrupted() {
        let stage = Stage::new("command_stream");
        let mut next = 1;
        for signal in ["-INT", "-TERM"] {
            stage.insert(next, next + 99);
            let mut child = stage.stream(&[]).spawn().unwrap();
            let mut stdout = BufReader::new(child.stdout.take().unwrap());
            for id in next..next + 100 {
                let mut line = String::new();
                stdout.read_line(&mut line).unwrap();
                let event: Value = serde_json::from_str(&line).unwrap();
                assert_eq!(event["key"]["id"], id);
                assert_eq!(event["value"]["after"]["price"].to_string(), "7.50");
                assert_eq!(event["topic"], "pgoutput-decoder.public.command_stream");
            }
            interrupt(&child, signal);
            let output = child.wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
            assert_eq!(output.status.code(), Some(0));
            next += 100;
        }
    }

    #[test]
    fn stream_ends_quietly_when_its_reader_does() {
        let stage = Stage::new("command_pipe");
        stage.insert(1, 20_000);
        let mut child = stage.stream(&["--output", "pretty"]).spawn().unwrap();
        let mut line = String::new();
        BufReader::with_capacity(64, child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(
            line.contains("INSERT public.command_pipe  id=1  price=7.50"),
            "{line}"
        );
        assert!(!line.contains('\x1b'), "no colours in a pipe: {line}");
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(output.status.code(), Some(0));
    }

    #[test]
    fn stream_notices_that_its_reader_is_gone_while_nothing_happens() {
        let stage = Stage::new("command_quiet");
        stage.insert(1, 1);
        let mut child = stage.stream(&[]).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(output.status.code(), Some(0));
    }

    #[test]
    fn stream_says_what_to_run_where_slot_or_publication_is_missing() {
        let url = url();
        let (code, error) = failure(&["stream", &url, "--slot", "no_slot", "--publication", "p"]);
        assert_eq!(code, 1);
        assert!(
            error.contains("SELECT pg_create_logical_replication_slot('no_slot', 'pgoutput');"),
            "{error}"
        );
        let stage = Stage::new("command_missing");
        let (code, error) = failure(&["stream", &url, "--slot", stage.0, "--publication", "No P"]);
        assert_eq!(code, 1);
        assert!(
            error.contains("CREATE PUBLICATION \"No P\" FOR ALL TABLES;"),
            "{error}"
        );
    }

    #[test]
    fn flags_come_before_the_url_and_the_url_before_the_environment() {
        let stage = Stage::new("command_flags");
        let mut streaming = stage.stream(&["--database", "no_such_database"]);
        let output = streaming.env("PGDATABASE", "another").output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.contains("no_such_database") && error.contains("3D000"),
            "{error}"
        );

        stage.insert(1, 1);
        let mut streaming = stage.stream(&[]);
        let streaming = streaming
            .env("PGDATABASE", "another")
            .env("PGHOST", "host.invalid");
        let mut child = streaming.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("{\"topic\":"), "{line}");
        interrupt(&child, "-INT");
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn demo_counts_every_change_and_leaves_nothing_behind() {
        let output = run(&["demo", &url(), "--seconds", "2"]);
        let _ = std::io::stderr().write_all(&output.stderr);
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).unwrap();
        for part in [
            "INSERT",
            "UPDATE",
            "\"op\": \"u\"",
            "every committed change arrived",
            "p99",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
        let left = "DO $$ BEGIN ASSERT NOT EXISTS (SELECT FROM pg_replication_slots \
                    WHERE slot_name ~ 'demo') AND NOT EXISTS (SELECT FROM pg_publication \
                    WHERE pubname ~ 'demo') AND to_regnamespace('pgoutput_demo') IS NULL; END $$";
        sql(&[left]);
    }
}
