//! What a server sends of a history, in each protocol version: the model of PostgreSQL's
//! `reorderbuffer.c` and `pgoutput.c` that the decoder is compared with.

use std::collections::BTreeMap;

use crate::history::{Change, History, Row, Step, columns, table_name, table_oid};
use crate::wire::{Commit, Message};

/// What was agreed on with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Transactions come whole, when they are committed.
    One,
    /// `streaming 'on'`
    Two,
    /// And `two_phase 'on'`.
    Three,
    /// `streaming 'parallel'`, and `two_phase 'on'`.
    Four,
}

/// The frames of a history.
pub fn frames(history: &History, protocol: Protocol) -> Vec<Vec<u8>> {
    let mut server = Server {
        protocol,
        frames: Vec::new(),
        announced: BTreeMap::new(),
        transactions: BTreeMap::new(),
    };
    for step in &history.steps {
        server.step(step);
    }
    server.frames
}

/// How many columns each table had when it was announced last.
type Announced = BTreeMap<usize, usize>;

struct Server {
    protocol: Protocol,
    frames: Vec<Vec<u8>>,
    announced: Announced,
    transactions: BTreeMap<u32, Transaction>,
}

#[derive(Default)]
struct Transaction {
    first_lsn: u64,
    /// Those not rolled back.
    changes: Vec<Sent>,
    /// A segment of it was sent.
    streamed: bool,
    /// A prepare of it was sent.
    prepared: bool,
    /// A streamed transaction is told of all its tables, whatever others were told.
    announced: Announced,
}

struct Sent {
    subxid: u32,
    lsn: u64,
    change: Change,
    /// In a segment.
    streamed: bool,
}

impl Server {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Change {
                xid,
                subxid,
                lsn,
                change,
            } => {
                let transaction = self.transactions.entry(*xid).or_default();
                if transaction.first_lsn == 0 {
                    transaction.first_lsn = *lsn;
                }
                transaction.changes.push(Sent {
                    subxid: *subxid,
                    lsn: *lsn,
                    change: change.clone(),
                    streamed: false,
                });
            }
            Step::Flush { xid } => {
                if self.protocol >= Protocol::Two {
                    self.stream(*xid);
                }
            }
            Step::SubAbort { xid, subxid, lsn } => self.sub_abort(*xid, *subxid, *lsn),
            Step::Abort { xid, lsn } => self.abort(*xid, *lsn),
            Step::Prepare { xid, lsn } => {
                if self.protocol >= Protocol::Three {
                    self.prepare(*xid, *lsn);
                }
            }
            Step::Commit { xid, commit } => self.commit(*xid, *commit),
            Step::RollbackPrepared { xid, lsn } => {
                let transaction = self.transactions.get(xid);
                if transaction.is_some_and(|transaction| transaction.prepared) {
                    self.transactions.remove(xid);
                    let message = Message::new(b'r')
                        .u8(0)
                        .u64(*lsn)
                        .u64(*lsn + 8)
                        .i64(1)
                        .i64(2);
                    let message = message.u32(*xid).cstr("gid");
                    self.frames.push(message.frame(*lsn));
                } else {
                    self.abort(*xid, *lsn);
                }
            }
            Step::Message { lsn, content } => {
                let message = Message::new(b'M').u8(0).u64(*lsn).cstr("p").sized(content);
                self.frames.push(message.frame(*lsn));
            }
        }
    }

    /// Sends a segment of what was not sent yet.
    fn stream(&mut self, xid: u32) {
        let Some(mut transaction) = self.transactions.remove(&xid) else {
            return;
        };
        if !transaction.prepared && transaction.changes.iter().any(|change| !change.streamed) {
            let first = !transaction.streamed;
            let start = Message::new(b'S').u32(xid).u8(u8::from(first));
            self.frames.push(start.frame(transaction.first_lsn));
            if first {
                self.origin(xid, transaction.first_lsn);
            }
            let mut announced = std::mem::take(&mut transaction.announced);
            for sent in &mut transaction.changes {
                if !sent.streamed {
                    sent.streamed = true;
                    self.change(sent, Some((xid, sent.subxid)), &mut announced);
                }
            }
            self.frames.push(Message::new(b'E').frame(0));
            transaction.announced = announced;
            transaction.streamed = true;
        }
        self.transactions.insert(xid, transaction);
    }

    fn sub_abort(&mut self, xid: u32, subxid: u32, lsn: u64) {
        let Some(transaction) = self.transactions.get_mut(&xid) else {
            return;
        };
        let of = |sent: &Sent| sent.subxid == subxid;
        let streamed = transaction
            .changes
            .iter()
            .any(|sent| of(sent) && sent.streamed);
        transaction.changes.retain(|sent| !of(sent));
        if streamed {
            self.stream_abort(xid, subxid, lsn);
        }
    }

    fn abort(&mut self, xid: u32, lsn: u64) {
        let gone = self.transactions.remove(&xid);
        if gone.is_some_and(|transaction| transaction.streamed) {
            self.stream_abort(xid, xid, lsn);
        }
    }

    fn stream_abort(&mut self, xid: u32, subxid: u32, lsn: u64) {
        let mut message = Message::new(b'A').u32(xid).u32(subxid);
        if self.protocol == Protocol::Four {
            message = message.u64(lsn).i64(5);
        }
        self.frames.push(message.frame(lsn));
    }

    fn prepare(&mut self, xid: u32, lsn: u64) {
        self.finish_stream(xid);
        let transaction = self.transactions.entry(xid).or_default();
        transaction.prepared = true;
        let prepared = |kind: u8| {
            Message::new(kind)
                .u8(0)
                .u64(lsn)
                .u64(lsn + 8)
                .i64(3)
                .u32(xid)
                .cstr("gid")
        };
        if transaction.streamed {
            self.frames.push(prepared(b'p').frame(lsn));
            return;
        }
        let first_lsn = transaction.first_lsn;
        let changes = std::mem::take(&mut transaction.changes);
        let begin = Message::new(b'b')
            .u64(lsn)
            .u64(lsn + 8)
            .i64(3)
            .u32(xid)
            .cstr("gid");
        self.frames.push(begin.frame(first_lsn));
        self.origin(xid, first_lsn);
        self.changes(&changes);
        self.frames.push(prepared(b'P').frame(lsn));
    }

    fn commit(&mut self, xid: u32, commit: Commit) {
        self.finish_stream(xid);
        let transaction = self.transactions.remove(&xid).unwrap_or_default();
        let lsn = commit.end_lsn;
        if transaction.prepared {
            let message = Message::new(b'K').commit(commit).u32(xid).cstr("gid");
            self.frames.push(message.frame(lsn));
        } else if transaction.streamed {
            let message = Message::new(b'c').u32(xid).commit(commit);
            self.frames.push(message.frame(lsn));
            self.announced.extend(transaction.announced);
        } else {
            let begin = Message::new(b'B').u64(commit.lsn).i64(commit.ts).u32(xid);
            self.frames.push(begin.frame(transaction.first_lsn));
            self.origin(xid, transaction.first_lsn);
            self.changes(&transaction.changes);
            self.frames
                .push(Message::new(b'C').commit(commit).frame(lsn));
        }
    }

    /// A transaction of which segments were sent is sent to its end as such.
    fn finish_stream(&mut self, xid: u32) {
        if self
            .transactions
            .get(&xid)
            .is_some_and(|transaction| transaction.streamed)
        {
            self.stream(xid);
        }
    }

    /// One transaction in three was replicated from elsewhere.
    fn origin(&mut self, xid: u32, lsn: u64) {
        if xid.is_multiple_of(3) {
            // It begins as if it named the next transaction, and names none.
            let origin = Message::new(b'O').u32(xid + 1).u32(xid);
            self.frames.push(origin.cstr("elsewhere").frame(lsn));
        }
    }

    fn changes(&mut self, changes: &[Sent]) {
        let mut announced = std::mem::take(&mut self.announced);
        for sent in changes {
            self.change(sent, None, &mut announced);
        }
        self.announced = announced;
    }

    fn change(&mut self, sent: &Sent, streamed: Option<(u32, u32)>, announced: &mut Announced) {
        let subxid = streamed.map(|(_, subxid)| subxid);
        let lsn = sent.lsn;
        let mut tell = |table: usize, count: usize, frames: &mut Vec<Vec<u8>>| {
            if announced.insert(table, count) == Some(count) {
                return;
            }
            if count > 2 {
                let of_type = Message::of(b'Y', subxid)
                    .u32(20_001)
                    .cstr("public")
                    .cstr("mood");
                frames.push(of_type.frame(0));
            }
            let message = Message::of(b'R', subxid).u32(table_oid(table));
            frames.push(
                message
                    .columns(&table_name(table), &columns(count))
                    .frame(0),
            );
        };
        let tell_of = |row: &Row| (row.table, row.columns);
        let message = match &sent.change {
            Change::Insert(row) => {
                let (table, count) = tell_of(row);
                tell(table, count, &mut self.frames);
                let message = Message::of(b'I', subxid).u32(table_oid(table));
                message.tuple(b'N', &row.cells)
            }
            Change::Update(old, row) => {
                let (table, count) = tell_of(row);
                tell(table, count, &mut self.frames);
                let mut message = Message::of(b'U', subxid).u32(table_oid(table));
                if let Some((kind, cells)) = old {
                    message = message.tuple(*kind, cells);
                }
                message.tuple(b'N', &row.cells)
            }
            Change::Delete(kind, row) => {
                let (table, count) = tell_of(row);
                tell(table, count, &mut self.frames);
                let message = Message::of(b'D', subxid).u32(table_oid(table));
                message.tuple(*kind, &row.cells)
            }
            Change::Truncate(tables) => {
                let count = u32::try_from(tables.len()).unwrap();
                let mut message = Message::of(b'T', subxid).u32(count).u8(0);
                for (table, columns) in tables {
                    tell(*table, *columns, &mut self.frames);
                    message = message.u32(table_oid(*table));
                }
                message
            }
            Change::Message(content) => {
                // It names the transaction, not the subtransaction.
                let message = Message::of(b'M', streamed.map(|(xid, _)| xid))
                    .u8(1)
                    .u64(lsn);
                message.cstr("p").sized(content)
            }
        };
        self.frames.push(message.frame(lsn));
    }
}
