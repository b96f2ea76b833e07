//! Frames of transactions that came before they were decided, in memory.

use std::collections::{BTreeMap, VecDeque};

use crate::error::{Error, Result};

/// What the decoder said to keep: by transaction, whole frames in the order they came, each run of
/// one subtransaction.
#[derive(Default)]
pub struct Stash {
    transactions: BTreeMap<u32, Vec<(u32, Vec<u8>)>>,
    bytes: usize,
}

impl Stash {
    /// Keeps whole frames of a subtransaction, or of the transaction itself.
    pub fn keep(&mut self, xid: u32, subxid: u32, frames: &[u8]) -> Result<()> {
        self.bytes = self.bytes.saturating_add(frames.len());
        if self.bytes > BYTES_MAX {
            return Err(Error::StashFull {
                limit_bytes: BYTES_MAX,
            });
        }
        let runs = self.transactions.entry(xid).or_default();
        match runs.last_mut() {
            Some((of, run)) if *of == subxid && run.len() + frames.len() <= RUN_BYTES => {
                run.extend_from_slice(frames);
            }
            _ => runs.push((subxid, frames.to_vec())),
        }
        Ok(())
    }

    /// Forgets a subtransaction, or all of the transaction if it is its own xid.
    pub fn discard(&mut self, xid: u32, subxid: u32) {
        if xid == subxid {
            self.take(xid);
        } else if let Some(runs) = self.transactions.get_mut(&xid) {
            let of_it = runs.extract_if(.., |(of, _)| *of == subxid);
            self.bytes -= of_it.map(|(_, run)| run.len()).sum::<usize>();
        }
    }

    /// Takes out what was kept of a transaction; `None` if that is nothing.
    pub fn take(&mut self, xid: u32) -> Option<Runs> {
        let runs = self.transactions.remove(&xid)?;
        self.bytes -= runs.iter().map(|(_, run)| run.len()).sum::<usize>();
        let runs = runs.into_iter().map(|(_, run)| run).collect();
        Some(Runs { runs, used: 0 })
    }
}

/// What was kept of a transaction, on its way back.
#[derive(Default)]
pub struct Runs {
    runs: VecDeque<Vec<u8>>,
    /// Bytes of the first that are used up.
    used: usize,
}

impl Runs {
    /// The oldest frames: what the decoder is to be given next.
    pub fn first(&self) -> Option<&[u8]> {
        self.runs.front()?.get(self.used..)
    }

    /// Done with so many bytes of those.
    pub fn use_up(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(bytes);
        if self.first().is_none_or(<[u8]>::is_empty) {
            self.runs.pop_front();
            self.used = 0;
        }
    }
}

/// Of all transactions together.
const BYTES_MAX: usize = 1 << 30;

/// Runs are put together up to this: it is what the decoder is given at a time.
const RUN_BYTES: usize = 64 * 1024;
