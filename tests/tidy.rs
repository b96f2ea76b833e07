//! What keeps the repository in order and no compiler checks.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops where it finds no repository"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const LINES_MAX: usize = 700;
const COLUMNS_MAX: usize = 100;

/// Our crates, and which of ours each may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("pgoutput-decoder", &[]),
    ("pgoutput-decoder-component", &["pgoutput-decoder"]),
    ("pgoutput-decoder-containers", &[]),
    // A host of its own.
    ("pgoutput-decoder-example", &[]),
    ("pgoutput-decoder-fuzz", &["pgoutput-decoder"]),
    // Only the feature `native`: the host has the component as bytes.
    ("pgoutput-decoder-host", &["pgoutput-decoder (optional)"]),
    ("pgoutput-decoder-python", &["pgoutput-decoder-host"]),
    (
        "pgoutput-decoder-tests",
        &[
            "pgoutput-decoder",
            "pgoutput-decoder-fuzz",
            "pgoutput-decoder-host",
        ],
    ),
];

/// Names that say nothing about what is in a file.
const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "misc", "util", "utils"];

/// Left-overs, cut in two so that this file does not contain them.
const LEFT_OVERS: &[(&str, &str)] = &[
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X"),
    ("dbg", "!("),
    ("to", "do!("),
    ("unimpl", "emented!("),
    ("#[ign", "ore]"),
];

/// Folders of machines this was written on, cut likewise.
const MACHINE_PATHS: &[(&str, &str)] = &[("/wo", "rk/"), ("/ro", "ot/")];

/// What each folder of `vectors/` holds besides its captures.
const VECTOR_FILES: &[&str] = &[
    "capture.json",
    "case.json",
    "catalog.json",
    "connector.json",
    "events.jsonl",
    "setup.sql",
    "workload.sql",
];

#[test]
fn dependencies_point_inward() {
    let metadata = output(
        "cargo",
        &["metadata", "--format-version=1", "--no-deps", "--locked"],
    );
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let ours: BTreeMap<&str, &Value> = array(&metadata["packages"])
        .map(|package| (package["name"].as_str().unwrap(), package))
        .collect();
    let known: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        ours.keys().copied().collect::<Vec<_>>(),
        known,
        "crates of the workspace"
    );
    for (name, allowed) in ARROWS {
        for dependency in array(&ours[name]["dependencies"]) {
            let of = dependency["name"].as_str().unwrap();
            let optional = if dependency["optional"] == true {
                " (optional)"
            } else {
                ""
            };
            assert!(
                !ours.contains_key(of) || allowed.contains(&format!("{of}{optional}").as_str()),
                "{name} must not depend on {of}{optional}"
            );
        }
    }
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    for (path, text) in texts(&["toml"]) {
        // Plugins, which users copy, and peers are crates of their own.
        let folders = [
            "examples",
            "host/templates",
            "tests/bench/clients",
            "tests/plugins",
        ];
        let is_apart = folders.iter().any(|folder| path.starts_with(folder));
        if path.ends_with("Cargo.toml") && text.contains("[package]") && !is_apart {
            assert!(
                text.contains("[lints]\nworkspace = true"),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn the_decoder_has_no_standard_library() {
    let path = root().join("decoder-component/decoder/src/lib.rs");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.lines().any(|line| line == "#![no_std]"));
    for (path, text) in texts(&["rs"]) {
        let name = path.to_string_lossy();
        if name.starts_with("decoder-component/decoder/src/") {
            let before_tests = text.split("#[cfg(test)]").next().unwrap();
            assert!(!before_tests.contains("extern crate std"), "{name}");
        }
    }
}

#[test]
fn files_and_lines_are_short() {
    let mut long = Vec::new();
    for (path, text) in texts(&["py", "pyi", "rs", "wit"]) {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            long.push(format!("{}: {lines} lines", path.display()));
        }
        for (index, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            // A table of a documentation comment cannot be broken.
            if columns > COLUMNS_MAX && !line.trim_start().starts_with("/// |") {
                long.push(format!(
                    "{}:{}: {columns} columns",
                    path.display(),
                    index + 1
                ));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn nothing_is_left_over() {
    let mut found = Vec::new();
    for (path, text) in texts(&["md", "py", "pyi", "rs", "sh", "toml", "wit", ""]) {
        for (index, line) in text.lines().enumerate() {
            for (start, end) in LEFT_OVERS {
                if line.contains(&format!("{start}{end}")) {
                    found.push(format!("{}:{}: {start}{end}", path.display(), index + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn files_are_named_for_what_is_in_them() {
    for path in tracked() {
        for part in path.with_extension("").components() {
            let part = part.as_os_str().to_string_lossy();
            assert!(!EMPTY_NAMES.contains(&part.as_ref()), "{}", path.display());
        }
    }
}

#[test]
fn one_file_reads_the_clock() {
    let clocks = ["Instant", "SystemTime"].map(|clock| format!("{clock}::{}(", "now"));
    for (path, text) in texts(&["rs"]) {
        let reads = clocks.iter().any(|clock| text.contains(clock));
        // Elsewhere, measurements and pauses, each with its reason, and the command line.
        let exempt = text.contains("clippy::disallowed_methods") && text.contains("reason = ")
            || path.starts_with("host/src/command");
        assert!(
            !reads || exempt || path == Path::new("host/src/stream.rs"),
            "{} reads the clock",
            path.display()
        );
        assert!(
            !path.starts_with("decoder-component/decoder/src") || !text.contains("std::time"),
            "{} knows of clocks",
            path.display()
        );
    }
}

#[test]
fn vectors_are_complete() {
    let folder = root().join("tests/vectors");
    let mut cases = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let case = entry.unwrap().path();
        if !case.is_dir() {
            continue;
        }
        cases += 1;
        let text = std::fs::read_to_string(case.join("capture.json")).unwrap();
        let capture: Value = serde_json::from_str(&text).unwrap();
        let captures = capture["captures"].as_object().unwrap().keys().cloned();
        let named: BTreeSet<String> = captures.collect();
        assert!(!named.is_empty(), "{}: no captures", case.display());
        let files: BTreeSet<String> = std::fs::read_dir(&case)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        for file in VECTOR_FILES {
            assert!(
                files.contains(*file),
                "{}: {file} is missing",
                case.display()
            );
        }
        let recorded: BTreeSet<String> = files
            .into_iter()
            .filter(|file| file.starts_with("pgoutput"))
            .collect();
        assert_eq!(
            recorded,
            named,
            "{}: captures and capture.json",
            case.display()
        );
    }
    assert!(cases >= 172, "{cases} cases");
}

#[test]
fn no_machine_is_named() {
    for path in tracked() {
        // Some files are no text: they name nothing.
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else {
            continue;
        };
        for (start, end) in MACHINE_PATHS {
            let name = format!("{start}{end}");
            let line = text.lines().position(|line| line.contains(&name));
            assert!(
                line.is_none(),
                "{}:{}: {name}",
                path.display(),
                line.unwrap_or(0) + 1
            );
        }
    }
}

#[test]
fn every_command_is_documented_and_exists() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let mut targets = BTreeSet::new();
    for line in makefile.lines() {
        let Some((name, rest)) = line.split_once(':') else {
            continue;
        };
        let is_target = !name.is_empty()
            && !rest.starts_with('=')
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if is_target {
            assert!(rest.contains(" ## "), "make {name} is not documented");
            assert!(
                makefile.contains(&format!(".PHONY: {name}\n")),
                "make {name} is not phony"
            );
            targets.insert(name);
        }
    }
    assert!(targets.contains("test"), "{targets:?}");
    for (path, text) in texts(&["md"]) {
        for named in text.split("`make ").skip(1) {
            let name = named
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
                .next();
            let name = name.unwrap_or_default();
            assert!(
                targets.contains(name),
                "{}: there is no make {name}",
                path.display()
            );
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Files under version control, and those that will be.
fn tracked() -> Vec<PathBuf> {
    let listed = [
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let names = output("git", &listed);
    let names = names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from);
    // A file that was removed is listed until that is committed.
    let files: Vec<PathBuf> = names.filter(|path| root().join(path).is_file()).collect();
    assert!(files.len() > 100, "git lists {} files", files.len());
    files
}

/// The text files with one of these extensions, the recorded data of `vectors/` left out.
fn texts(extensions: &[&str]) -> impl Iterator<Item = (PathBuf, String)> {
    let wanted = |path: &PathBuf| {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let recorded = path.starts_with("tests/vectors") && path.components().count() > 3
            || path.starts_with("tests/fuzz/corpus");
        extensions.contains(&extension.as_ref()) && !recorded
    };
    let paths: Vec<PathBuf> = tracked().into_iter().filter(wanted).collect();
    paths.into_iter().filter_map(|path| {
        let text = std::fs::read_to_string(root().join(&path)).ok()?;
        Some((path, text))
    })
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}
