//! What was stashed of one transaction, on its way back.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use super::{HEAD_BYTES, Head, Kept, RUN_BYTES, StashError, blocking};

/// Frames of a transaction, oldest first, without those of discarded subtransactions. Its file is
/// gone when it is dropped.
pub(crate) struct Replay {
    xid: u32,
    runs: Box<dyn Read + Send + Sync>,
    discarded: HashSet<u32>,
    directory: PathBuf,
    /// A run whose head was read and did not fit.
    next: Option<Head>,
    frames: Vec<u8>,
    /// Bytes of `frames` used up.
    used: usize,
}

impl Replay {
    pub(super) fn new(xid: u32, kept: Kept, directory: &Path) -> Self {
        let in_memory = Cursor::new(kept.runs);
        let runs: Box<dyn Read + Send + Sync> = match kept.file {
            Some(file) => {
                let file = InPlace(file).take(kept.file_bytes);
                Box::new(BufReader::with_capacity(READ_BYTES, file).chain(in_memory))
            }
            None => Box::new(in_memory),
        };
        Self {
            xid,
            runs,
            discarded: kept.discarded,
            directory: directory.to_owned(),
            next: None,
            frames: Vec::new(),
            used: 0,
        }
    }

    /// Of the transaction.
    pub(crate) fn xid(&self) -> u32 {
        self.xid
    }

    /// Sees to it that there are frames, as many as the decoder is usually given; `false` at the
    /// end.
    pub(crate) fn fill(&mut self) -> Result<bool, StashError> {
        if self.used < self.frames.len() {
            return Ok(true);
        }
        self.used = 0;
        self.frames.clear();
        // A single large frame is no reason to keep so much.
        self.frames.shrink_to(RUN_BYTES);
        let read = self.read();
        read.map_err(|io| StashError::File {
            directory: self.directory.clone(),
            doing: "reading",
            io,
        })
    }

    /// What is to be decoded next: whole frames.
    pub(crate) fn frames(&self) -> &[u8] {
        self.frames.get(self.used..).unwrap_or_default()
    }

    /// Done with so many bytes of them.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.used += bytes;
    }

    fn read(&mut self) -> io::Result<bool> {
        while let Some(head) = self.head()? {
            if self.discarded.contains(&head.subxid) {
                let bytes = u64::try_from(head.bytes).unwrap_or(u64::MAX);
                io::copy(&mut self.runs.by_ref().take(bytes), &mut io::sink())?;
                continue;
            }
            let start = self.frames.len();
            if start > 0 && start + head.bytes > RUN_BYTES {
                self.next = Some(head);
                break;
            }
            self.frames.resize(start + head.bytes, 0);
            if let Some(run) = self.frames.get_mut(start..) {
                self.runs.read_exact(run)?;
            }
        }
        Ok(!self.frames.is_empty())
    }

    fn head(&mut self) -> io::Result<Option<Head>> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        let mut head = [0; HEAD_BYTES];
        let (first, rest) = head.split_at_mut(1);
        // A file that is read to its end never says that it was interrupted.
        if self.runs.read(first)? == 0 {
            return Ok(None);
        }
        self.runs.read_exact(rest)?;
        Ok(Head::from_bytes(head))
    }
}

/// A file read from its beginning, the other tasks moved out of the way.
struct InPlace(File);

impl Read for InPlace {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        blocking(|| self.0.read(buffer))
    }
}

/// What is read from a file at a time.
const READ_BYTES: usize = 1024 * 1024;
