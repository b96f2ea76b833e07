//! What to tell the server, and when: a state machine without a socket and without a clock.
//!
//! Theory of operation. The receive task reports what it reads in stream order: `begin`, `event`,
//! `commit`, `keepalive`. Every transaction with events becomes one entry of `pending`: the
//! position of its last event, and the LSN that may be confirmed once that event has been
//! acknowledged. What brings no events (an empty transaction, a keepalive) extends the entry
//! before it, or is confirmed at once where there is none. Where streaming was asked to start
//! behind what is confirmed, nothing is confirmed before that start is passed.
//!
//! What is dealt with is confirmed, but for prepared transactions: a server to which a PREPARE was
//! confirmed sends only the COMMIT PREPARED after a restart. So nothing behind a PREPARE is
//! confirmed until its transaction is decided and everything that was pending then, its own events
//! among it, has been acknowledged. Nor does a confirmation stop between a PREPARE and what
//! decided it, where another prepared transaction holds it: the decision would come once more, and
//! what was prepared would not. That outlasts a connection: acknowledgements go on without one, and
//! the server, asked to start before the PREPARE, sends it again.
//!
//! Invariants: `confirmed` never falls, but where a server's new timeline begins before it; it
//! never passes the end of a transaction with an event that has not been acknowledged, nor moves
//! behind a PREPARE but past its decision; while a transaction is open nothing behind its begin is
//! confirmed. `write` is what was received; `flush`
//! and `apply` are what is confirmed.
//!
//! Times are durations since an arbitrary start that the caller chooses and keeps.

use std::collections::VecDeque;
use std::time::Duration;

use crate::error::Error;
use crate::lsn::Lsn;
use crate::records::Position;
use crate::status::Outstanding;

/// One Standby Status Update, without the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StandbyStatusUpdate {
    /// Last WAL byte + 1 received.
    pub(crate) received: Lsn,
    /// Last WAL byte + 1 dealt with: nothing before it is wanted again.
    pub(crate) confirmed: Lsn,
    /// Whether the server is to answer at once.
    pub(crate) reply: bool,
}

/// Decides what is confirmed and when the server is told.
#[derive(Debug)]
pub(crate) struct Feedback {
    /// How often the server hears from us at least.
    interval: Duration,
    received: Lsn,
    confirmed: Lsn,
    /// Everything before it is dealt with: confirmed, but for what a prepared transaction holds.
    done: Lsn,
    /// Transactions of which the server would not send the changes again, as long as `confirmed`
    /// has not passed what decides them.
    prepared: Vec<Prepared>,
    /// What was confirmed and has been on the wire.
    told: Lsn,
    /// When that was.
    told_at: Duration,
    /// What was confirmed when events last counted for it: until it is told, they come again.
    owed: Lsn,
    /// Transactions with events that have not all been acknowledged, oldest first.
    pending: VecDeque<Pending>,
    open: Open,
    /// The last event of a transaction whose commit has not been read, though it came over a
    /// connection that is gone.
    unfinished: Option<Position>,
    /// When the open transaction was committed, or the one before it.
    begun_us: i64,
    /// Where streaming was asked to start.
    from: Lsn,
    /// Nothing that comes is dealt with any more.
    halted: bool,
    /// The last event handed to the consumer.
    delivered: Option<Position>,
    /// The highest LSN among the changes handed to the consumer.
    delivered_lsn: Lsn,
    /// Everything up to it is dealt with.
    acknowledged: Option<Position>,
    /// LSNs of the changes delivered last and not acknowledged, for `acknowledge_lsn`.
    changes: VecDeque<(Lsn, Position)>,
    /// What the server knows, and since when; `None` on a new connection.
    sent: Option<(StandbyStatusUpdate, Duration)>,
    /// When the server was last asked for a keepalive.
    asked_at: Duration,
    /// When anything was last received.
    received_at: Duration,
    reply_requested: bool,
    /// Whether the receive task is kept from reading: then an answer would not be seen.
    blocked: bool,
    /// Requests for a reply in quick succession, all with the same end of WAL and with nothing
    /// else in between: the last one, and how many.
    requests: Option<(Keepalive, u32)>,
}

/// What the server says when it has nothing to send, or wants to hear from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keepalive {
    /// Everything before it has been sent.
    pub(crate) wal_end: Lsn,
    /// The server's clock, µs since 2000-01-01.
    pub(crate) sent_at_us: i64,
    /// Whether it wants an answer at once.
    pub(crate) reply_requested: bool,
}

/// The transaction whose commit has not been read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// It has no event yet.
    Empty,
    /// Its last event so far.
    Last(Position),
    /// There is none.
    No,
}

/// A transaction that was prepared.
#[derive(Clone, Copy, Debug)]
struct Prepared {
    xid: u32,
    /// Where its PREPARE begins: the last LSN from which the server would send it.
    prepare_lsn: Lsn,
    decided: Option<Decided>,
}

/// How a prepared transaction was committed or rolled back.
#[derive(Clone, Copy, Debug)]
struct Decided {
    /// What must be acknowledged before it is dealt with.
    last: Option<Position>,
    /// What may be confirmed then: it lies behind the decision.
    end: Lsn,
}

/// Transactions, merged where there are very many, whose events have not all been acknowledged.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// The last event.
    last: Position,
    /// What may be confirmed once it is acknowledged.
    end: Lsn,
    /// When the first of them was committed, µs since 1970-01-01; as good as that where they are
    /// merged.
    committed_us: i64,
}

/// A walsender reads what it is told when it has nothing to send, or cannot: by then it has.
const UNREAD_MAX: Duration = Duration::from_secs(5);

impl Feedback {
    /// Streaming is to start at `from` or later; `interval` is the longest silence.
    pub(crate) fn new(from: Lsn, interval: Duration) -> Self {
        Self {
            interval,
            received: Lsn(0),
            confirmed: Lsn(0),
            done: Lsn(0),
            prepared: Vec::new(),
            told: Lsn(0),
            told_at: Duration::ZERO,
            owed: Lsn(0),
            pending: VecDeque::new(),
            open: Open::No,
            unfinished: None,
            begun_us: 0,
            from,
            halted: false,
            delivered: None,
            delivered_lsn: Lsn(0),
            acknowledged: None,
            changes: VecDeque::new(),
            sent: None,
            asked_at: Duration::ZERO,
            received_at: Duration::ZERO,
            reply_requested: false,
            blocked: false,
            requests: None,
        }
    }

    /// The slot stands at `lsn`: nothing before it will come.
    pub(crate) fn start(&mut self, lsn: Lsn) {
        self.received = self.received.max(lsn);
        self.confirmed = self.confirmed.max(lsn);
        self.done = self.confirmed;
        self.told = self.confirmed;
    }

    /// Everything up to `position` counts as acknowledged; `at_slot`: streaming starts where the
    /// slot stands all the same.
    pub(crate) fn pass_over(&mut self, position: Position, at_slot: bool) {
        if at_slot {
            self.from = Lsn(0);
        }
        self.acknowledged = self.acknowledged.max(Some(position));
    }

    /// The server is on a timeline that left the former one at `lsn`, behind every event that
    /// came. What was confirmed beyond held none; on this timeline it may.
    pub(crate) fn rewind(&mut self, lsn: Lsn) {
        for known in [
            &mut self.received,
            &mut self.confirmed,
            &mut self.done,
            &mut self.told,
            &mut self.owed,
            &mut self.from,
        ] {
            *known = lsn.min(*known);
        }
        for pending in &mut self.pending {
            pending.end = pending.end.min(lsn);
        }
        self.prepared.retain(|prepared| prepared.prepare_lsn < lsn);
    }

    /// Where to start streaming.
    pub(crate) fn from(&self) -> Lsn {
        self.from.max(self.confirmed)
    }

    /// From now on what comes is passed over: none of it is confirmed.
    pub(crate) fn halt(&mut self) {
        self.halted = true;
    }

    /// A new connection: the server starts again behind what is confirmed.
    pub(crate) fn connected(&mut self, now: Duration, interval: Duration) {
        self.interval = interval;
        self.open = Open::No;
        self.sent = None;
        self.asked_at = now;
        self.received_at = now;
        self.reply_requested = false;
        self.blocked = false;
        self.requests = None;
    }

    /// WAL up to `lsn` has been read from the socket.
    pub(crate) fn received(&mut self, now: Duration, lsn: Lsn) {
        self.received = self.received.max(lsn);
        self.received_at = now;
        self.requests = None;
    }

    /// A transaction begins that was committed at this time, µs since 1970-01-01.
    pub(crate) fn begin(&mut self, commit_ts_us: i64) {
        self.open = Open::Empty;
        self.begun_us = commit_ts_us;
    }

    /// An event of the open transaction, or one that belongs to none and is as old as the
    /// transaction before it, or younger.
    pub(crate) fn event(&mut self, position: Position) {
        if self.open != Open::No {
            self.open = Open::Last(position);
            self.unfinished = self.unfinished.max(Some(position));
        } else if self.is_news(position) {
            // A message of no transaction has no commit. Its LSN is the end of its record
            // (`logicalmsg_decode`, decode.c), so that it is not sent again where streaming starts
            // there. The next record may begin there and be a commit: none of it is confirmed.
            let end = position.commit_lsn;
            self.push(Pending {
                last: position,
                end,
                committed_us: self.begun_us,
            });
        }
    }

    /// The open transaction ends; `end_lsn` is what may be confirmed when all of it is done.
    pub(crate) fn commit(&mut self, end_lsn: Lsn) {
        let open = std::mem::replace(&mut self.open, Open::No);
        if let Open::Last(last) = open
            && Some(last) >= self.unfinished
        {
            self.unfinished = None;
        }
        let before = self.confirmed;
        match open {
            // Otherwise it was sent again: its entry is there, or it is confirmed.
            Open::Last(last) if self.is_news(last) => self.push(Pending {
                last,
                end: end_lsn,
                committed_us: self.begun_us,
            }),
            _ => self.extend(end_lsn),
        }
        if open != Open::Empty {
            self.owe(before);
        }
    }

    /// A transaction is prepared: the server sends it only from `prepare_lsn` or before. One behind
    /// which something is confirmed is dealt with, and was sent again; or it was prepared before
    /// `two_phase`, and the server sends it at its COMMIT PREPARED as often as it sends that.
    pub(crate) fn prepared(&mut self, xid: u32, prepare_lsn: Lsn) {
        if prepare_lsn < self.confirmed {
            return;
        }
        let again = |known: &Prepared| (known.xid, known.prepare_lsn) == (xid, prepare_lsn);
        if !self.prepared.iter().any(again) {
            self.prepared.push(Prepared {
                xid,
                prepare_lsn,
                decided: None,
            });
        }
    }

    /// A transaction was rolled back, or its events, if it had any, have come.
    pub(crate) fn decided(&mut self, xid: u32) {
        if self.prepared.is_empty() {
            return;
        }
        let last = self.pending.back();
        let decided = Decided {
            last: last.map(|pending| pending.last),
            end: last.map_or(self.done, |pending| pending.end),
        };
        for prepared in &mut self.prepared {
            // Sent again, it is what it was.
            if prepared.xid == xid {
                prepared.decided.get_or_insert(decided);
            }
        }
        let before = self.confirmed;
        self.confirm();
        self.owe(before);
    }

    /// The server says how far it has come.
    pub(crate) fn keepalive(&mut self, now: Duration, keepalive: Keepalive) {
        self.received = self.received.max(keepalive.wal_end);
        self.received_at = now;
        self.reply_requested |= keepalive.reply_requested;
        self.requests = keepalive.reply_requested.then(|| match self.requests {
            Some((last, count))
                if last.wal_end == keepalive.wal_end
                    && keepalive.sent_at_us.saturating_sub(last.sent_at_us) < IN_A_ROW_US =>
            {
                (keepalive, count.saturating_add(1))
            }
            _ => (keepalive, 1),
        });
        if self.open == Open::No && !self.halted {
            self.extend(keepalive.wal_end);
        }
    }

    /// These events, each with the LSN of its change, have been handed to the consumer.
    pub(crate) fn delivered(&mut self, changes: impl Iterator<Item = (Lsn, Position)>) {
        for (lsn, position) in changes {
            self.delivered = Some(position);
            self.delivered_lsn = self.delivered_lsn.max(lsn);
            self.changes.push_back((lsn, position));
        }
        let excess = self.changes.len().saturating_sub(CHANGES_MAX);
        self.changes.drain(..excess);
    }

    /// Everything up to `position` is dealt with. Returns whether the server should be told sooner
    /// than `deadline` said before.
    pub(crate) fn acknowledge(&mut self, position: Position) -> Result<bool, Error> {
        if self.acknowledged >= Some(position) {
            return Ok(false);
        }
        if self.delivered.is_none_or(|delivered| position > delivered) {
            return Err(self.undelivered(position.to_string()));
        }
        self.acknowledged = self.acknowledged.max(Some(position));
        while self
            .changes
            .front()
            .is_some_and(|(_, change)| *change <= position)
        {
            self.changes.pop_front();
        }
        let (before, unsent) = (self.confirmed, self.unsent());
        while let Some(pending) = self.pending.front()
            && pending.last <= position
        {
            self.done = self.done.max(pending.end);
            self.pending.pop_front();
        }
        self.confirm();
        self.owe(before);
        Ok(self.unsent() && !unsent)
    }

    /// Everything of the transactions that end at or before `lsn` is dealt with, or everything up
    /// to the first event delivered and not yet acknowledged whose change has this LSN.
    pub(crate) fn acknowledge_lsn(&mut self, lsn: Lsn) -> Result<bool, Error> {
        let change = self.changes.iter().find(|(change, _)| *change == lsn);
        if let Some(&(_, position)) = change {
            return self.acknowledge(position);
        }
        let whole = |pending: &&Pending| Some(pending.last) <= self.delivered;
        let end = self
            .pending
            .iter()
            .take_while(whole)
            .map(|p| p.end.max(p.last.commit_lsn))
            .last();
        if lsn
            > self
                .done
                .max(self.delivered_lsn)
                .max(end.unwrap_or_default())
        {
            return Err(self.undelivered(lsn.to_string()));
        }
        let before = |pending: &&Pending| whole(pending) && pending.last.commit_lsn <= lsn;
        match self.pending.iter().take_while(before).last() {
            Some(&Pending { last, .. }) => self.acknowledge(last),
            None => Ok(false),
        }
    }

    /// Whether the receive task waits for the consumer instead of reading.
    pub(crate) fn set_blocked(&mut self, now: Duration, blocked: bool) {
        self.blocked = blocked;
        self.received_at = now;
    }

    /// What to send now, if anything.
    pub(crate) fn poll(&mut self, now: Duration) -> Option<StandbyStatusUpdate> {
        if self.deadline() > now {
            return None;
        }
        let reply = self.ask_at().is_some_and(|at| at <= now);
        if reply {
            self.asked_at = now;
        }
        self.reply_requested = false;
        let update = self.status(reply);
        self.sent = Some((update, now));
        Some(update)
    }

    /// When `poll` will have something to send, unless something happens before.
    pub(crate) fn deadline(&self) -> Duration {
        let Some((_, sent_at)) = self.sent else {
            return Duration::ZERO;
        };
        if self.reply_requested {
            return Duration::ZERO;
        }
        let mut deadline = sent_at.saturating_add(self.interval);
        if self.unsent() {
            deadline = deadline.min(sent_at + CONFIRM_WITHIN);
        }
        self.ask_at().map_or(deadline, |at| deadline.min(at))
    }

    /// The last word to the server.
    pub(crate) fn farewell(&self) -> StandbyStatusUpdate {
        self.status(false)
    }

    /// Whether every event that came of a transaction without its commit has been acknowledged, so
    /// that all that keeps it from being confirmed may be that.
    pub(crate) fn is_commit_missing(&self) -> bool {
        self.unfinished.is_some() && self.acknowledged >= self.unfinished
    }

    /// `update` is on the wire.
    pub(crate) fn told(&mut self, now: Duration, update: StandbyStatusUpdate) {
        if update.confirmed > self.told {
            self.told = update.confirmed;
            self.told_at = now;
        }
    }

    /// The connection is gone, and the server did not take leave: what it was told last it may not
    /// have read.
    pub(crate) fn gone(&mut self, now: Duration) {
        if now < self.told_at.saturating_add(UNREAD_MAX) {
            self.told = Lsn(0);
        }
    }

    /// Whether the server knows everything that was confirmed, but for WAL without events.
    pub(crate) fn is_told(&self) -> bool {
        self.told >= self.owed
    }

    /// What the server may forget.
    pub(crate) fn confirmed(&self) -> Lsn {
        self.confirmed
    }

    /// What was received and not dealt with.
    pub(crate) fn outstanding(&self) -> Outstanding {
        let open = matches!(self.open, Open::Last(last) if self.is_news(last));
        let oldest = self.pending.front().map(|pending| pending.committed_us);
        Outstanding {
            events: self.changes.len(),
            transactions: self.pending.len() + usize::from(open),
            oldest_us: oldest.or(open.then_some(self.begun_us)),
            received: self.received.max(self.confirmed),
            received_at: self.received_at,
            delivered: self.delivered,
            confirmed: self.confirmed,
            blocked: self.blocked,
        }
    }

    /// Whether the server does nothing any more but ask for a confirmation that cannot be given
    /// yet: it is shutting down and waits for us (`WalSndDone`, walsender.c).
    pub(crate) fn is_server_stopping(&self) -> bool {
        self.requests.is_some_and(|(last, count)| {
            count >= STOPPING_REQUESTS && self.confirmed < last.wal_end
        })
    }

    fn status(&self, reply: bool) -> StandbyStatusUpdate {
        // What is confirmed has been received, though no message started there.
        let received = self.received.max(self.confirmed);
        StandbyStatusUpdate {
            received,
            confirmed: self.confirmed,
            reply,
        }
    }

    fn is_news(&self, position: Position) -> bool {
        let last = self.pending.back().map(|pending| pending.last);
        is_news(position, self.acknowledged) && is_news(position, last)
    }

    fn push(&mut self, pending: Pending) {
        self.pending.push_back(pending);
        if self.pending.len() > PENDING_MAX {
            // Confirmations become coarser by one transaction, never wrong.
            let mut odd = false;
            let last = pending.last;
            self.pending.retain(|pending| {
                odd = !odd;
                !odd || pending.last == last
            });
        }
    }

    /// Everything behind the last entry and before `lsn` came without events.
    fn extend(&mut self, lsn: Lsn) {
        match self.pending.back_mut() {
            Some(pending) => pending.end = pending.end.max(lsn),
            None if lsn < self.from => {}
            None => {
                self.done = self.done.max(lsn);
                self.confirm();
            }
        }
    }

    /// Confirms what is dealt with, as far as no prepared transaction is in the way.
    fn confirm(&mut self) {
        let mut done = self.done;
        // What one of them holds back may come to lie before the decision of another.
        while let Some(held) = self
            .prepared
            .iter()
            .filter(|prepared| self.holds(prepared, done))
            .map(|prepared| prepared.prepare_lsn)
            .min()
        {
            done = held;
        }
        self.confirmed = self.confirmed.max(done);
        let (confirmed, acknowledged) = (self.confirmed, self.acknowledged);
        self.prepared.retain(|prepared| {
            prepared
                .decided
                .is_none_or(|decided| decided.last > acknowledged || decided.end > confirmed)
        });
    }

    /// What has been confirmed since `before` were events.
    fn owe(&mut self, before: Lsn) {
        if self.confirmed > before {
            self.owed = self.confirmed;
        }
    }

    /// Whether a prepared transaction is in the way of confirming `lsn`.
    fn holds(&self, prepared: &Prepared, lsn: Lsn) -> bool {
        lsn > prepared.prepare_lsn
            && prepared
                .decided
                .is_none_or(|decided| decided.last > self.acknowledged || decided.end > lsn)
    }

    fn unsent(&self) -> bool {
        self.sent
            .is_none_or(|(update, _)| update.confirmed < self.confirmed)
    }

    /// When to ask for a keepalive: a second after the last sign of life or the last question.
    fn ask_at(&self) -> Option<Duration> {
        (!self.blocked).then(|| self.received_at.max(self.asked_at) + ASK_EVERY)
    }

    fn undelivered(&self, asked: String) -> Error {
        Error::Acknowledge {
            asked,
            delivered: self.delivered,
        }
    }
}

/// Whether an event at `position` comes behind the last one that is known: a position tells that,
/// an LSN, which events share, does not.
pub(crate) fn is_news(position: Position, known: Option<Position>) -> bool {
    Some(position) > known
}

/// How long a confirmation that has moved may wait for others to travel with it.
const CONFIRM_WITHIN: Duration = Duration::from_millis(100);

/// How long the server may be silent before it is asked for a keepalive.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Entries of `pending` kept: 2.5 MiB.
const PENDING_MAX: usize = 65_536;

/// Entries of `changes` kept: 1.5 MiB.
const CHANGES_MAX: usize = 65_536;

/// A server that is not stopping asks once in half a `wal_sender_timeout`; one that is asks again
/// as soon as it is answered.
const STOPPING_REQUESTS: u32 = 8;

/// The longest time between two of those.
const IN_A_ROW_US: i64 = 500_000;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
