//! Frames of transactions that came before they were decided: kept by transaction, in the order
//! they came, without being understood; in memory, and beyond a bound in files.
//!
//! Theory of operation. What is kept of a transaction is a sequence of runs: the xid of a
//! subtransaction, a length, and so many bytes of whole frames. The latest runs are in memory,
//! those before them in the transaction's file where it has one. A subtransaction that is discarded
//! is remembered by its xid, and its runs are passed over when they are read: nothing is rewritten.
//!
//! A file has no name: it is unlinked as soon as it is made, so that its space is given back with
//! the transaction, the stream or the process, however that ends.
//!
//! Invariants: a run lies in memory as a whole or in the file as a whole; `memory_bytes` and
//! `file_bytes` are the sums over the transactions.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rand::RngExt;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::lsn::Lsn;

pub(crate) use self::replay::Replay;

mod replay;

/// What the decoder said to keep.
#[derive(Debug, Default)]
pub(crate) struct Stash {
    limits: StashLimits,
    transactions: BTreeMap<u32, Kept>,
    memory_bytes: usize,
    file_bytes: u64,
}

/// Where a stash goes and how large it may become.
#[derive(Clone, Debug)]
pub(crate) struct StashLimits {
    /// Where its files are made.
    pub(crate) directory: PathBuf,
    /// Beyond it, a transaction's frames go to a file: the largest's first.
    pub(crate) memory_max_bytes: usize,
    /// Bytes in all files together.
    pub(crate) file_max_bytes: u64,
}

impl Default for StashLimits {
    fn default() -> Self {
        Self {
            directory: std::env::temp_dir(),
            memory_max_bytes: 32 << 20,
            file_max_bytes: 16 << 30,
        }
    }
}

/// Why frames cannot be kept or given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StashError {
    /// A file cannot be made, written or read.
    #[error("{doing} a file in {}: {io}", directory.display())]
    File {
        /// Where the file is.
        directory: PathBuf,
        /// What was tried: "making", "writing" or "reading".
        doing: &'static str,
        /// What the operating system said.
        io: io::Error,
    },
    /// The files are as large as they may be.
    #[error("its files would exceed stash_max_bytes, which is {limit_bytes}")]
    Full {
        /// The limit.
        limit_bytes: u64,
    },
}

/// What is kept of a transaction.
#[derive(Debug, Default)]
struct Kept {
    /// Runs that are not in the file.
    runs: Vec<u8>,
    /// Subtransaction and length of the last of them.
    last: Option<(u32, usize)>,
    file: Option<File>,
    file_bytes: u64,
    discarded: HashSet<u32>,
}

impl Stash {
    pub(crate) fn new(limits: StashLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Keeps whole frames of a subtransaction, or of the transaction itself. After an error the
    /// stash is to be cleared: it lacks these.
    pub(crate) fn keep(&mut self, xid: u32, subxid: u32, frames: &[u8]) -> Result<(), StashError> {
        let kept = self.transactions.entry(xid).or_default();
        let before = kept.runs.len();
        kept.append(subxid, frames);
        self.memory_bytes += kept.runs.len() - before;
        if kept.file.is_some() && kept.runs.len() >= WRITE_BYTES {
            self.write(xid)?;
        }
        while self.memory_bytes > self.limits.memory_max_bytes {
            let sizes = self.transactions.iter();
            let sizes = sizes.map(|(xid, kept)| (kept.runs.len(), *xid));
            match sizes.max() {
                Some((1.., largest)) => self.write(largest)?,
                _ => break,
            }
        }
        Ok(())
    }

    /// Forgets a subtransaction, or all of the transaction if it is its own xid.
    pub(crate) fn discard(&mut self, xid: u32, subxid: u32) {
        if xid != subxid {
            if let Some(kept) = self.transactions.get_mut(&xid) {
                kept.discarded.insert(subxid);
            }
        } else if let Some(kept) = self.transactions.remove(&xid) {
            self.memory_bytes -= kept.runs.len();
            self.file_bytes -= kept.file_bytes;
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.transactions.clear();
        self.memory_bytes = 0;
        self.file_bytes = 0;
    }

    /// Takes out what was kept of a transaction; `None` if that is nothing.
    pub(crate) fn replay(&mut self, xid: u32) -> Option<Replay> {
        let kept = self.transactions.remove(&xid)?;
        self.memory_bytes -= kept.runs.len();
        self.file_bytes -= kept.file_bytes;
        Some(Replay::new(xid, kept, &self.limits.directory))
    }

    /// Moves what is kept of a transaction from memory to its file.
    fn write(&mut self, xid: u32) -> Result<(), StashError> {
        let Some(kept) = self.transactions.get_mut(&xid) else {
            return Ok(());
        };
        let bytes = u64::try_from(kept.runs.len()).unwrap_or(u64::MAX);
        let limit_bytes = self.limits.file_max_bytes;
        if bytes > limit_bytes.saturating_sub(self.file_bytes) {
            return Err(StashError::Full { limit_bytes });
        }
        let directory = &self.limits.directory;
        let failed = |doing| {
            move |io| StashError::File {
                directory: directory.clone(),
                doing,
                io,
            }
        };
        let file = match kept.file.take() {
            Some(file) => file,
            None => blocking(|| nameless_file(directory)).map_err(failed("making"))?,
        };
        let written = blocking(|| write_at(&file, kept.file_bytes, &kept.runs));
        kept.file = Some(file);
        written.map_err(failed("writing"))?;
        self.memory_bytes -= kept.runs.len();
        self.file_bytes += bytes;
        kept.file_bytes += bytes;
        kept.last = None;
        kept.runs = Vec::new();
        Ok(())
    }
}

impl Kept {
    fn append(&mut self, subxid: u32, frames: &[u8]) {
        let bytes = match self.last {
            Some((last, bytes)) if last == subxid && bytes + frames.len() <= RUN_BYTES => {
                let start = self.runs.len() - bytes - HEAD_BYTES;
                let bytes = bytes + frames.len();
                if let Some(head) = self.runs.get_mut(start..start + HEAD_BYTES) {
                    head.copy_from_slice(&Head { subxid, bytes }.to_bytes());
                }
                bytes
            }
            _ => {
                let bytes = frames.len();
                self.runs
                    .extend_from_slice(&Head { subxid, bytes }.to_bytes());
                bytes
            }
        };
        self.runs.extend_from_slice(frames);
        self.last = Some((subxid, bytes));
    }
}

/// What comes before a run.
#[derive(Clone, Copy)]
struct Head {
    subxid: u32,
    bytes: usize,
}

impl Head {
    fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let bytes = u64::try_from(self.bytes).unwrap_or(u64::MAX);
        let mut head = [0; HEAD_BYTES];
        let (subxid, length) = head.split_at_mut(4);
        subxid.copy_from_slice(&self.subxid.to_le_bytes());
        length.copy_from_slice(&bytes.to_le_bytes());
        head
    }

    fn from_bytes(head: [u8; HEAD_BYTES]) -> Option<Self> {
        let (subxid, length) = head.split_first_chunk::<4>()?;
        let bytes = u64::from_le_bytes(length.try_into().ok()?);
        Some(Self {
            subxid: u32::from_le_bytes(*subxid),
            bytes: usize::try_from(bytes).ok()?,
        })
    }
}

/// Writes behind what is there, and leaves the file to be read from its beginning.
fn write_at(mut file: &File, start: u64, bytes: &[u8]) -> io::Result<()> {
    let at = file.seek(SeekFrom::Start(start));
    let written = at.and_then(|_| file.write_all(bytes));
    written.and(file.rewind())
}

/// A new file for us alone, which is gone when it is closed.
fn nameless_file(directory: &Path) -> io::Result<File> {
    let name: u128 = rand::rng().random();
    let path = directory.join(format!("pgoutput-decoder-{name:032x}"));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let file = options.mode(0o600).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    }
    #[cfg(windows)]
    {
        use std::os::windows::fs::OpenOptionsExt;
        const FILE_FLAG_DELETE_ON_CLOSE: u32 = 0x0400_0000;
        options
            .share_mode(0)
            .custom_flags(FILE_FLAG_DELETE_ON_CLOSE)
            .open(&path)
    }
}

/// Whether files can be made in `directory`.
pub(crate) fn check(directory: &Path) -> io::Result<()> {
    nameless_file(directory).map(|_| ())
}

/// Does something that may take long where other tasks can be moved to another thread for it.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(work)
        }
        _ => work(),
    }
}

/// Bytes of the first frame, all there are if it is cut short.
pub(crate) fn frame_bytes(frames: &[u8]) -> usize {
    let length = frames.get(1..).and_then(<[u8]>::first_chunk::<4>);
    let length = length.map_or(u32::MAX, |length| u32::from_be_bytes(*length));
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    bytes.saturating_add(1).min(frames.len())
}

/// The LSN of the first frame that has one of its own: Relation and Type are sent with 0/0.
pub(crate) fn first_lsn(mut frames: &[u8]) -> Lsn {
    while let Some(lsn) = frames.get(6..).and_then(<[u8]>::first_chunk::<8>) {
        let lsn = Lsn(u64::from_be_bytes(*lsn));
        if lsn != Lsn(0) {
            return lsn;
        }
        frames = frames.get(frame_bytes(frames)..).unwrap_or_default();
    }
    Lsn(0)
}

/// Subtransaction and length.
const HEAD_BYTES: usize = 12;

/// Runs are put together up to this: it is what the decoder is given at a time.
const RUN_BYTES: usize = 64 * 1024;

/// What is written at a time once a transaction has a file.
const WRITE_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
