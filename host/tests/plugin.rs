//! `plugin` as people run it: what it writes, says of a plugin, and measures.
#![cfg(feature = "command")]
#![expect(clippy::unwrap_used, reason = "how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    in_folder(Path::new("."), arguments)
}

fn in_folder(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pgoutput-decoder"))
        .arg("plugin")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// Its exit code, and what it said.
fn said(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// What does as its configuration says.
fn plugin() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/plugins/first.wasm");
    path.to_str().unwrap().to_owned()
}

/// A folder of this test's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_check_says_what_a_plugin_is_and_what_it_changed() {
    let (code, out, err) = said(run(&["check", &plugin(), "--config", "drop 2"]));
    assert_eq!((code, err.as_str()), (0, ""));
    for line in [
        "hostile 0.1.0\n",
        "  interface  pgoutput:plugin 0.1.0\n",
        "  imports    pgoutput:plugin/log@0.1.0\n",
        "c pgoutput-decoder.public.customers {\"id\":2}  0/4FE0E1E0:2\n    - dropped\n",
        "\n26 events: 24 as they were, 0 changed, 2 dropped, 0 made\n",
        " of 32 MiB; longest batch ",
    ] {
        assert!(out.contains(line), "{line}\n{out}");
    }
    assert_eq!(out.matches("- dropped").count(), 2);
    assert!(!out.contains('\x1b'), "colours in a pipe");

    let (_, out, _) = said(run(&["check", &plugin(), "--config", "route 2"]));
    let lines = "    - topic  \"pgoutput-decoder.public.customers\"\n    + topic  \"elsewhere\"\n";
    assert!(out.contains(lines), "{out}");
    let (_, out, _) = said(run(&["check", &plugin(), "--config", "emit 2"]));
    let lines = "    - dropped\n    + a 1 {\"n\":1}\n    + b 1 {\"n\":1}\n    + a 1 {\"n\":1}\n\n";
    assert!(out.contains(lines), "{out}");
    let (_, out, _) = said(run(&["check", &plugin(), "--config", "flood 2"]));
    assert!(out.contains("    - value  {\"before\":"), "{out}");
    let (_, out, _) = said(run(&["check", &plugin(), "--config", "drop"]));
    assert!(out.contains("\n… and 6 more: --all shows them\n"), "{out}");
    let (_, out, _) = said(run(&["check", &plugin(), "--config", "drop", "--all"]));
    assert_eq!(out.matches("- dropped").count(), 26);
}

#[test]
fn a_check_fails_where_the_plugin_does() {
    let (code, out, err) = said(run(&["check", &plugin(), "--config", "trap 2"]));
    assert_eq!(code, 1);
    assert!(out.starts_with("hostile 0.1.0\n"), "{out}");
    let expected = "error: plugin hostile, at event 0/4FE0E1E0:2 of \
                    pgoutput-decoder.public.customers: it trapped: ";
    assert!(err.contains(expected), "{err}");
    let (code, _, err) = said(run(&["check", file!()]));
    assert_eq!(code, 1);
    assert!(
        err.contains("cannot be read") || err.contains("it is not WebAssembly"),
        "{err}"
    );
    let (code, _, err) = said(run(&["check", &plugin(), "--config", "refuse"]));
    assert_eq!(code, 1);
    assert!(
        err.contains("it refuses its configuration: it is a bad day"),
        "{err}"
    );
}

#[test]
fn a_plugin_is_measured() {
    let (code, out, err) = said(run(&[
        "bench",
        &plugin(),
        "--config",
        "keep",
        "--seconds",
        "0",
    ]));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains(" ns an event beside no plugin, "), "{out}");
    assert!(
        out.contains("26 events in 6 batches; it was asked about "),
        "{out}"
    );
}

#[test]
fn a_new_plugin_has_its_name_and_the_interface() {
    let folder = folder("new");
    for language in ["rust", "javascript", "python", "c", "go"] {
        let name = format!("my-{language}");
        let (code, out, err) = said(in_folder(&folder, &["new", "--language", language, &name]));
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(
            out.contains(&format!("pgoutput-decoder plugin check {name}.wasm")),
            "{out}"
        );
        let wit = fs::read_to_string(folder.join(&name).join("wit/plugin.wit")).unwrap();
        assert!(wit.contains("package pgoutput:plugin@0.1.0;"));
        for file in ["Makefile", "README.md"] {
            let text = fs::read_to_string(folder.join(&name).join(file)).unwrap();
            assert!(text.contains(&format!("{name}.wasm")), "{text}");
            assert!(!text.contains("NAME"), "{text}");
        }
        // What is there is somebody's work.
        let (code, _, err) = said(in_folder(&folder, &["new", "--language", language, &name]));
        assert_eq!(code, 1);
        assert!(err.contains(&format!("cannot write {name}: ")), "{err}");
    }
    for name in ["", "-x", "Plugin", "a b", "../x"] {
        let (code, _, err) = said(in_folder(
            &folder,
            &["new", "--language", "rust", "--", name],
        ));
        assert_eq!(code, 2, "{name}: {err}");
    }
}
