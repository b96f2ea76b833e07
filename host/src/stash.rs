//! Frames of transactions that came before they were decided: kept by transaction, in the order
//! they came, without being understood.

use std::collections::HashMap;

use crate::lsn::Lsn;

/// What the decoder said to keep.
#[derive(Debug, Default)]
pub(crate) struct Stash {
    transactions: HashMap<u32, Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    subxid: u32,
    /// Whole frames.
    frames: Vec<u8>,
}

impl Stash {
    /// Keeps whole frames of a subtransaction, or of the transaction itself.
    pub(crate) fn keep(&mut self, xid: u32, subxid: u32, frames: &[u8]) {
        let kept = self.transactions.entry(xid).or_default();
        match kept.last_mut() {
            Some(last) if last.subxid == subxid => last.frames.extend_from_slice(frames),
            _ => kept.push(Kept {
                subxid,
                frames: frames.to_vec(),
            }),
        }
    }

    /// Forgets a subtransaction, or all of the transaction if it is its own xid.
    pub(crate) fn discard(&mut self, xid: u32, subxid: u32) {
        if xid == subxid {
            self.transactions.remove(&xid);
        } else if let Some(kept) = self.transactions.get_mut(&xid) {
            kept.retain(|kept| kept.subxid != subxid);
        }
    }

    /// What was kept of a transaction, oldest first. It stays kept until it is discarded.
    pub(crate) fn replay(&self, xid: u32) -> Vec<Vec<u8>> {
        let kept = self.transactions.get(&xid).into_iter().flatten();
        kept.map(|kept| kept.frames.clone()).collect()
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
