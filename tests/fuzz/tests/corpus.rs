//! What the fuzz targets found worth keeping, without a fuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pgoutput_decoder_fuzz::target::TARGETS;

/// Of all tracked files.
const BYTES_MAX: u64 = 1 << 20;

#[test]
fn every_file_of_the_corpus_passes_its_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let entries = fs::read_dir(&folder).unwrap();
    let folders: BTreeSet<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        folders.iter().eq(TARGETS.iter().map(|(name, _)| name)),
        "{folders:?}"
    );
    let mut bytes = 0;
    for (name, target) in TARGETS {
        let mut files = 0;
        for entry in fs::read_dir(folder.join(name)).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            let input = fs::read(&path).unwrap();
            target(&input);
            bytes += u64::try_from(input.len()).unwrap();
            files += 1;
        }
        assert!(files > 5, "{files} files of {name}");
    }
    assert!(bytes < BYTES_MAX, "{bytes} bytes");
}
