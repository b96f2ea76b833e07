//! The server of the simulation: what it logs, its slot, and what its walsender sends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use super::super::{Keepalive, StandbyStatusUpdate};
use crate::lsn::Lsn;
use crate::records::Position;

/// What the server logged, in the order of its LSNs.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Where it begins: what decides whether it is sent from a start.
    pub(super) lsn: u64,
    pub(super) end: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// A commit of so many events; with a segment sent before it where it was streamed.
    Commit {
        events: u32,
        segment: Option<u64>,
    },
    /// A transaction is prepared.
    Prepare {
        xid: u32,
        events: u32,
    },
    CommitPrepared {
        xid: u32,
        prepare: usize,
    },
    RollbackPrepared {
        xid: u32,
    },
    /// A message of no transaction.
    Message,
    /// Nothing that is published.
    Noise,
}

/// What is on the wire to the client.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sent {
    Begin,
    Event(Lsn, Position),
    Commit {
        end: Lsn,
    },
    Segment {
        lsn: Lsn,
    },
    Prepare {
        xid: u32,
        lsn: Lsn,
        events: u32,
    },
    /// It is preceded by the stashed transaction's events.
    CommitPrepared {
        xid: u32,
        commit: u64,
        end: Lsn,
    },
    RollbackPrepared {
        xid: u32,
    },
    Keepalive(Keepalive),
}

/// The server, and its slot.
pub(super) struct Server {
    pub(super) log: Vec<Record>,
    pub(super) end: u64,
    /// `confirmed_flush_lsn`, in memory and on disk.
    pub(super) confirmed: u64,
    pub(super) written: u64,
    /// Prepared and undecided, with their records.
    pub(super) prepared: BTreeMap<u32, usize>,
    pub(super) next_xid: u32,
    pub(super) sender: Option<Walsender>,
    pub(super) stopping: bool,
}

pub(super) struct Walsender {
    pub(super) start: u64,
    /// Index of the next record to send.
    pub(super) next: usize,
    /// `sentPtr`
    pub(super) sent: u64,
    /// Segments of these commits have been sent.
    pub(super) segments: BTreeSet<u64>,
    /// Not read by the client yet.
    pub(super) wire: VecDeque<Sent>,
    /// Not read by the server yet.
    pub(super) statuses: VecDeque<StandbyStatusUpdate>,
}

impl Server {
    /// Somebody commits, prepares, decides, or writes what is not published.
    pub(super) fn write(&mut self, random: &mut StdRng, committed: &mut BTreeMap<Position, u64>) {
        let mut below = |bound: u32| random.random_range(0..bound);
        let lsn = self.end + u64::from(below(50));
        let end = lsn + 10;
        let events = below(8);
        let at = self.log.len();
        let what = match below(10) {
            0..4 => What::Commit {
                events,
                segment: (below(3) == 0).then_some(self.end),
            },
            4 => {
                let xid = self.next_xid;
                self.next_xid += 1;
                self.prepared.insert(xid, at);
                What::Prepare { xid, events }
            }
            5 | 6 => match self.prepared.pop_first() {
                Some((xid, prepare)) if below(3) > 0 => What::CommitPrepared { xid, prepare },
                Some((xid, _)) => What::RollbackPrepared { xid },
                None => What::Noise,
            },
            7 => What::Message,
            _ => What::Noise,
        };
        let held = match &what {
            What::Commit { events, .. } => Some((lsn, *events)),
            What::CommitPrepared { prepare, .. } => match &self.log[*prepare].what {
                What::Prepare { events, .. } => Some((self.log[*prepare].lsn, *events)),
                _ => None,
            },
            What::Message => {
                committed.insert(message(end), lsn);
                None
            }
            _ => None,
        };
        if let Some((needed, events)) = held {
            for position in positions(lsn, events) {
                committed.insert(position, needed);
            }
        }
        self.log.push(Record { lsn, end, what });
        self.end = end;
    }

    /// The walsender goes on by a record.
    pub(super) fn send(&mut self) {
        let Self { log, sender, .. } = self;
        let Some(sender) = sender else { return };
        // A part of a streamed transaction that is not committed yet, or never heard of.
        let ahead = log.get(sender.next..).unwrap_or_default();
        for record in ahead.iter().take(2) {
            if let What::Commit {
                segment: Some(lsn), ..
            } = record.what
                && record.lsn >= sender.start
                && sender.segments.insert(record.lsn)
            {
                sender.wire.push_back(Sent::Segment { lsn: Lsn(lsn) });
            }
        }
        if let Some(record) = log.get(sender.next) {
            sender.next += 1;
            let before = std::mem::replace(&mut sender.sent, record.end);
            if record.lsn >= sender.start {
                let wire = &mut sender.wire;
                let end = Lsn(record.end);
                match record.what {
                    What::Commit { events, .. } => {
                        wire.push_back(Sent::Begin);
                        let mut changes = changes(record.lsn, events);
                        wire.extend(changes.by_ref().take(2));
                        // It says where it stood before, while it sends something large.
                        wire.push_back(Sent::Keepalive(Keepalive {
                            wal_end: Lsn(before),
                            sent_at_us: 0,
                            reply_requested: false,
                        }));
                        wire.extend(changes);
                        wire.push_back(Sent::Commit { end });
                    }
                    What::Prepare { xid, events } => wire.push_back(Sent::Prepare {
                        xid,
                        lsn: Lsn(record.lsn),
                        events,
                    }),
                    What::CommitPrepared { xid, .. } => wire.push_back(Sent::CommitPrepared {
                        xid,
                        commit: record.lsn,
                        end,
                    }),
                    What::RollbackPrepared { xid } => {
                        wire.push_back(Sent::RollbackPrepared { xid });
                    }
                    What::Message => {
                        wire.push_back(Sent::Event(end, message(record.end)));
                    }
                    What::Noise => {}
                }
            }
        }
    }

    /// It says how far it has come.
    pub(super) fn keepalive(&mut self, now: Duration, reply_requested: bool) {
        let sent_at_us = i64::try_from(now.as_micros()).unwrap();
        if let Some(sender) = &mut self.sender {
            sender.wire.push_back(Sent::Keepalive(Keepalive {
                wal_end: Lsn(sender.sent),
                sent_at_us,
                reply_requested,
            }));
        }
    }
}

/// Several events share an LSN, as those of a COPY do, and a change may be more than one event.
pub(super) fn positions(commit: u64, events: u32) -> impl Iterator<Item = Position> {
    (0..events).map(move |event| Position {
        commit_lsn: Lsn(commit),
        index: event / 2 + 1,
        sub: event % 2,
    })
}

fn changes(commit: u64, events: u32) -> impl Iterator<Item = Sent> {
    positions(commit, events).map(move |position| Sent::Event(Lsn(commit - 1), position))
}

/// Its LSN is the end of its record: the next one may begin there.
pub(super) fn message(lsn: u64) -> Position {
    Position {
        commit_lsn: Lsn(lsn),
        index: 0,
        sub: 0,
    }
}
