use std::os::unix::fs::MetadataExt;

use super::*;

/// A frame of `bytes` bytes in all, filled with `tag`.
fn frame(tag: u8, bytes: usize) -> Vec<u8> {
    let mut frame = vec![tag; bytes];
    frame[0] = b'd';
    frame[1..5].copy_from_slice(&u32::try_from(bytes - 1).unwrap().to_be_bytes());
    frame
}

/// A directory of one test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name: u64 = rand::rng().random();
        let path = std::env::temp_dir().join(format!("stash-test-{name:x}"));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn stash(&self, memory_max_bytes: usize, file_max_bytes: u64) -> Stash {
        Stash::new(StashLimits {
            directory: self.0.clone(),
            memory_max_bytes,
            file_max_bytes,
        })
    }

    fn is_empty(&self) -> bool {
        self.0.read_dir().unwrap().next().is_none()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir(&self.0).unwrap();
    }
}

/// All that comes back, and in how many pieces.
fn replay(stash: &mut Stash, xid: u32) -> (Vec<u8>, usize) {
    let mut replay = stash.replay(xid).expect("nothing was kept");
    let (mut all, mut pieces) = (Vec::new(), 0);
    while replay.fill().unwrap() {
        assert!(!replay.frames().is_empty());
        all.extend_from_slice(replay.frames());
        replay.consume(replay.frames().len());
        pieces += 1;
    }
    (all, pieces)
}

fn file_of(stash: &Stash, xid: u32) -> Option<&File> {
    stash.transactions[&xid].file.as_ref()
}

#[test]
fn what_is_kept_comes_back_in_order_without_what_was_discarded() {
    let folder = Folder::new();
    for memory_max_bytes in [1 << 20, 5_000, 0] {
        let mut stash = folder.stash(memory_max_bytes, 1 << 30);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for round in 0..100 {
            let of_first = [frame(1, 300), frame(round, 40)].concat();
            stash.keep(7, 7, &of_first).unwrap();
            first.extend(of_first);
            for subxid in 8..11 {
                let kept = frame(round, 100 + usize::try_from(subxid).unwrap());
                stash.keep(7, subxid, &kept).unwrap();
                if subxid != 9 {
                    first.extend(kept);
                }
            }
            stash.keep(20, 20, &frame(round, 77)).unwrap();
            second.extend(frame(round, 77));
        }
        assert!(stash.memory_bytes <= memory_max_bytes);
        stash.discard(7, 9);
        // Of a transaction that is not here, or has nothing of it.
        stash.discard(8, 8);
        stash.discard(8, 9);
        stash.discard(20, 9);
        assert_eq!(replay(&mut stash, 7).0, first, "{memory_max_bytes}");
        assert_eq!(replay(&mut stash, 20).0, second, "{memory_max_bytes}");
        assert!(stash.replay(7).is_none(), "it comes back once");
        assert_eq!((stash.memory_bytes, stash.file_bytes), (0, 0));
        assert!(folder.is_empty());
    }
}

#[test]
fn pieces_are_whole_frames_and_as_large_as_the_decoder_takes_them() {
    let folder = Folder::new();
    for memory_max_bytes in [1 << 30, 0] {
        let mut stash = folder.stash(memory_max_bytes, 1 << 30);
        for _ in 0..1000 {
            stash.keep(1, 1, &frame(0, 1000)).unwrap();
        }
        let mut replay = stash.replay(1).unwrap();
        let mut pieces = 0;
        while replay.fill().unwrap() {
            let bytes = replay.frames().len();
            assert!(bytes.is_multiple_of(1000) && bytes <= RUN_BYTES, "{bytes}");
            // Used up in two steps, as after a question.
            replay.consume(1000);
            assert_eq!(replay.frames().len(), bytes - 1000);
            replay.consume(bytes - 1000);
            pieces += 1;
        }
        assert_eq!(pieces, 1000 / (RUN_BYTES / 1000) + 1);
        // One that is larger comes alone.
        for bytes in [100, 3 * RUN_BYTES, 100] {
            stash.keep(2, 2, &frame(0, bytes)).unwrap();
        }
        let (all, pieces) = self::replay(&mut stash, 2);
        assert_eq!((all.len(), pieces), (3 * RUN_BYTES + 200, 3));
    }
}

#[test]
fn a_file_is_ours_alone_has_no_name_and_goes_with_its_transaction() {
    let folder = Folder::new();
    let mut stash = folder.stash(10_000, 1 << 30);
    for xid in 1..4 {
        stash.keep(xid, xid, &frame(0, 4_000)).unwrap();
    }
    // The largest went, and only that.
    let spilled: Vec<u32> = (1..4)
        .filter(|xid| file_of(&stash, *xid).is_some())
        .collect();
    assert_eq!(spilled, [3]);
    let metadata = file_of(&stash, 3).unwrap().metadata().unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o600);
    assert_eq!(metadata.nlink(), 0, "it has a name");
    assert_eq!(metadata.len(), stash.file_bytes);
    assert!(folder.is_empty());

    // From now on it is written a large piece at a time.
    stash.keep(3, 3, &frame(1, 100)).unwrap();
    assert_eq!(
        file_of(&stash, 3).unwrap().metadata().unwrap().len(),
        metadata.len()
    );
    stash.discard(3, 3);
    assert_eq!(stash.file_bytes, 0);
    assert_eq!(stash.transactions.len(), 2);
    stash.clear();
    assert!(stash.replay(1).is_none());
    assert_eq!((stash.memory_bytes, stash.file_bytes), (0, 0));
}

#[test]
fn the_files_of_many_transactions_do_not_grow_for_ever() {
    let folder = Folder::new();
    let mut stash = folder.stash(0, 100_000);
    for xid in 0..200 {
        for _ in 0..9 {
            stash.keep(xid, xid, &frame(0, 10_000)).unwrap();
        }
        if xid % 2 == 0 {
            stash.discard(xid, xid);
        } else {
            assert_eq!(replay(&mut stash, xid).0.len(), 90_000);
        }
    }
}

#[test]
fn a_limit_or_a_directory_that_cannot_be_used_is_an_error_that_says_so() {
    let folder = Folder::new();
    let mut stash = folder.stash(0, 25_000);
    stash.keep(1, 1, &frame(0, 20_000)).unwrap();
    let error = stash.keep(2, 2, &frame(0, 10_000)).unwrap_err();
    assert!(
        matches!(
            error,
            StashError::Full {
                limit_bytes: 25_000
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("stash_max_bytes"), "{error}");

    let nowhere = folder.0.join("nowhere");
    let mut stash = Stash::new(StashLimits {
        directory: nowhere.clone(),
        memory_max_bytes: 0,
        file_max_bytes: 1 << 30,
    });
    let error = stash.keep(1, 1, &frame(0, 100)).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("making a file in ") && text.contains("nowhere"),
        "{text}"
    );
    assert!(check(&nowhere).is_err() && check(&folder.0).is_ok());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    // Writing to it fails as if no space were left.
    let full = OpenOptions::new().read(true).write(true).open("/dev/full");
    let folder = Folder::new();
    let mut stash = folder.stash(0, 1 << 30);
    stash.keep(1, 1, &frame(0, 100)).unwrap();
    stash.transactions.get_mut(&1).unwrap().file = Some(full.unwrap());
    let error = stash.keep(1, 1, &frame(0, 100)).unwrap_err();
    let StashError::File { doing, io, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((*doing, io.kind()), ("writing", io::ErrorKind::StorageFull));
}

#[test]
fn frames_are_found_by_their_lengths() {
    let mut relation = frame(0, 40);
    relation[6..14].copy_from_slice(&[0; 8]);
    let mut insert = frame(0, 40);
    insert[6..14].copy_from_slice(&7_u64.to_be_bytes());
    let frames = [relation, insert].concat();
    assert_eq!(frame_bytes(&frames), 40);
    assert_eq!(frame_bytes(&frames[..30]), 30);
    assert_eq!(first_lsn(&frames), Lsn(7));
    assert_eq!(first_lsn(&frames[..40]), Lsn(0));
}
