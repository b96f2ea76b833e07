//! Files of plugins: what is none, which one it is, and that it changes.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use pgoutput_decoder_host::records::Batch;
use pgoutput_decoder_host::{Plugin, PluginLimits, Plugins};
use pgoutput_decoder_tests::guest;

use super::{NATIVE, batches, hostile, made};

fn refused(plugin: Plugin) -> String {
    let limits = plugin;
    match Plugins::load(&[limits], true, |_| {}) {
        Ok(_) => panic!("it was loaded"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_no_plugin_says_why() {
    let wasm = std::fs::read(guest("hostile")).unwrap();
    let decoder = refused(Plugin::bytes(pgoutput_decoder_host::COMPONENT));
    assert!(
        decoder.contains("it exports no pgoutput:plugin/transform@0.1.0"),
        "{decoder}"
    );
    assert!(
        decoder.contains("pgoutput:decoder/decoding@0.1.0"),
        "{decoder}"
    );
    let text = refused(Plugin::bytes(*b"#!/usr/bin/env python3\n"));
    assert!(text.ends_with("it is not WebAssembly"), "{text}");
    let missing = refused(Plugin::file(Path::new("/none/such.wasm")));
    assert!(
        missing.starts_with("plugin /none/such.wasm: its file cannot be read: "),
        "{missing}"
    );
    let cut = refused(Plugin::bytes(&wasm[..wasm.len() / 2]));
    assert!(cut.contains("it is no plugin that can be used"), "{cut}");
    let bad_day = refused(hostile("refuse"));
    assert!(
        bad_day.ends_with("it refuses its configuration: it is a bad day"),
        "{bad_day}"
    );
    let key = refused(Plugin::file(guest("mask")).config("public.customers.email"));
    assert!(key.ends_with("a line key=… is missing"), "{key}");
    let tiny = PluginLimits {
        memory_max_bytes: 64 << 10,
        ..PluginLimits::default()
    };
    let tiny = refused(hostile("keep").limits(tiny));
    assert!(tiny.contains("memory limit of 65536 bytes"), "{tiny}");
}

#[test]
fn a_file_is_the_one_that_was_pinned() {
    let other = "00".repeat(32);
    let refused = refused(hostile("keep").sha256(&other));
    assert!(
        refused.contains(&format!("and {other} was asked for")),
        "{refused}"
    );
    let found = refused.split("its SHA-256 is ").nth(1).unwrap();
    let found = found.split(',').next().unwrap().to_uppercase();
    assert!(Plugins::load(&[hostile("keep").sha256(&found)], true, |_| {}).is_ok());
}

#[test]
fn a_file_that_changes_is_used_and_a_bad_one_refused() {
    let folder = std::env::temp_dir().join(format!("plugin-{}-changes", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("plugin.wasm");
    let put = |guest_name: &str| std::fs::copy(guest(guest_name), &file).unwrap();
    let batches = batches(NATIVE);
    let all: usize = batches.iter().map(Batch::len).sum();
    let left = |chain: &mut Plugins| {
        let mut left = 0;
        for mut batch in batches.clone() {
            chain.apply(&mut batch).unwrap();
            left += batch.len();
        }
        left
    };

    put("soft-deletes");
    // A column that there is not, and a word.
    let plugin = Plugin::file(&file).config("drop");
    let pinned = plugin.clone().sha256(&hash("soft-deletes"));
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let shown = Arc::clone(&lines);
    let mut chain = Plugins::load(&[plugin], true, move |line| {
        shown.lock().unwrap().push(line.text.clone());
    })
    .unwrap();
    let mut pinned = Plugins::load(&[pinned], true, |_| {}).unwrap();
    assert_eq!(left(&mut chain), all);
    // The same again is nothing new.
    std::fs::File::open(&file)
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH)
        .unwrap();
    chain.reload();
    put("hostile");
    chain.reload();
    pinned.reload();
    assert_eq!(left(&mut chain), 0);
    assert_eq!(left(&mut pinned), all);

    // What may be in the middle of being written is looked at once more.
    std::fs::write(&file, "no plugin").unwrap();
    chain.reload();
    assert_eq!(chain.status()[0].refused, 0);
    chain.reload();
    assert_eq!(left(&mut chain), 0);
    std::fs::remove_file(&file).unwrap();
    chain.reload();
    let status = &chain.status()[0];
    assert_eq!((status.reloads, status.refused), (1, 1));
    assert_eq!(
        (&*status.name, &status.sha256),
        ("hostile", &hash("hostile"))
    );
    let lines = lines.lock().unwrap();
    let expected = [
        "its file has changed: version 0.1.0 from here on",
        "its file has changed and is not used: it is no plugin that can be used: it is not \
         WebAssembly; what it was goes on",
    ];
    assert_eq!(*lines, expected);
    std::fs::remove_dir_all(folder).unwrap();
}

fn hash(name: &str) -> String {
    let plugin = Plugin::file(guest(name)).config("keep");
    let chain = Plugins::load(&[plugin], true, |_| {}).unwrap();
    chain.status().remove(0).sha256
}

#[test]
fn a_file_of_settings_says_how_a_plugin_is_used() {
    let place = std::env::temp_dir().join(format!("plugin-{}.json", std::process::id()));
    let wasm = guest("mask");
    let settings = format!(
        r#"{{"file": {wasm:?}, "config": "key=k\npublic.customers.email", "on_error": "skip",
            "cpu_max_ms": 20, "memory_max_bytes": 16777216}}"#
    );
    std::fs::write(&place, settings).unwrap();
    let masked = made(NATIVE, &[Plugin::open(&place).unwrap()]);
    assert!(masked.status[0].changed > 3, "{:?}", masked.status);
    for (text, reason) in [
        ("{", "line 1, column 1: not as expected"),
        (r#"{"file": "x", "colour": "secret"}"#, "not as expected"),
        (
            r#"{"file": "x", "on_error": "secret"}"#,
            "on_error: expected \"stop\"",
        ),
    ] {
        std::fs::write(&place, text).unwrap();
        let error = Plugin::open(&place).unwrap_err().to_string();
        assert!(
            error.contains(reason) && !error.contains("secret"),
            "{error}"
        );
    }
    std::fs::remove_file(&place).unwrap();
}
