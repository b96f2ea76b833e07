//! The commands that look at a recording, as a user runs them.
#![cfg(feature = "command")]
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "how a test fails"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn shop() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/recordings/shop.pgrec")
}

fn run(arguments: &[&str], file: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgoutput-decoder"));
    let (verb, rest) = arguments.split_first().unwrap();
    command.arg(verb).arg(file).args(rest).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The beginning of the shop's recording.
fn cut(name: &str, bytes: usize) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pgoutput-{name}-{}.pgrec", std::process::id()));
    let whole = std::fs::read(shop()).unwrap();
    std::fs::write(&path, &whole[..bytes]).unwrap();
    path
}

#[test]
fn replay_writes_what_was_recorded_with_its_options() {
    let output = run(&["replay"], &shop());
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = stdout(&output);
    assert!(lines.lines().count() > 800);
    assert!(
        lines.starts_with("{\"topic\":\"demo.pgoutput_demo."),
        "{lines:.80}"
    );
    let plain = stdout(&run(&["replay", "--format", "native"], &shop()));
    assert!(plain.contains("\"connector\":\"pgoutput-decoder\""));

    let path = cut("replay", 20_000);
    let output = run(&["replay"], &path);
    assert_eq!(output.status.code(), Some(1));
    assert!(lines.starts_with(&stdout(&output)) && !output.stdout.is_empty());
    assert!(
        stderr(&output).contains(": the file ends inside of it"),
        "{}",
        stderr(&output)
    );
    std::fs::remove_file(path).unwrap();
}

#[test]
fn diff_shows_what_options_change() {
    let output = run(&["diff"], &shop());
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stdout(&output).contains(" the same, 0 differ"),
        "{}",
        stdout(&output)
    );
    let other = ["diff", "--right-option", "decimal.handling.mode=double"];
    let output = run(&other, &shop());
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(
        text.contains("- after.price  \"") && text.contains("+ after.price  "),
        "{text}"
    );
    let wrong = run(
        &["diff", "--right-option", "decimal.handling.mode=x"],
        &shop(),
    );
    assert!(stderr(&wrong).contains("option decimal.handling.mode: expected one of"));
    let foreign = run(&["diff", "--right-decoder", file!()], &shop());
    assert_eq!(foreign.status.code(), Some(1));
}

#[test]
fn inspect_shows_what_is_there_down_to_each_byte() {
    let text = stdout(&run(&["inspect"], &shop()));
    for part in [
        "PostgreSQL 18",
        "transactions, the largest of",
        "Insert",
        "pgoutput_demo.orders",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let messages = stdout(&run(&["inspect", "--messages"], &shop()));
    assert!(messages.lines().count() > 1000);
    let fields = stdout(&run(&["inspect", "--message", "3"], &shop()));
    assert!(
        fields.contains("relation oid") && fields.contains("server clock"),
        "{fields}"
    );
    let none = run(&["inspect", "--message", "999999"], &shop());
    assert_eq!(none.status.code(), Some(1));
    assert!(stderr(&none).contains("there is no message 999999: the recording has"));
}

#[test]
fn what_is_recorded_again_can_be_redacted() {
    let path = std::env::temp_dir().join(format!("pgoutput-redacted-{}.pgrec", std::process::id()));
    let out = path.to_string_lossy();
    let output = run(&["replay", "--record", &out, "--redact"], &shop());
    assert!(output.status.success(), "{}", stderr(&output));
    let redacted = run(&["replay"], &path);
    let lines = |output: &Output| stdout(output).lines().count();
    assert_eq!(lines(&redacted), lines(&output));
    assert!(stdout(&output).contains("Mouse") && !stdout(&redacted).contains("Mouse"));
    assert!(stdout(&run(&["inspect"], &path)).contains("values redacted"));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_playground_without_a_page_says_how_to_have_one() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgoutput-decoder"));
    let output = command
        .args(["playground", "--page", "/nowhere"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("make playground builds it"),
        "{}",
        stderr(&output)
    );
}
