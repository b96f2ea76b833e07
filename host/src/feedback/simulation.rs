//! Feedback and resume against a model of a walsender, with a clock that is moved by hand.
//!
//! The server keeps a slot and sends what PostgreSQL would: transactions whole at their commit,
//! streamed ones in segments before it, prepared ones at their PREPARE, messages of no transaction,
//! keepalives. The link between the two is cut at any message, either way; the server crashes, and
//! forgets confirmations that it has not written; it shuts down; the client's process is killed and
//! begins anew, or ends cleanly. The consumer takes events late, and acknowledges some of them by
//! position, some by LSN.
//!
//! Checked at every step: nothing is confirmed that the consumer has not acknowledged and the
//! server would not send again; within a process events come in order, each once; between processes
//! none is missed, and none comes again that was confirmed. In the end, once all is quiet: nothing
//! is missing, and everything is confirmed. A server that shuts down is not held up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::server::{Record, Sent, Server, Walsender, What, positions};
use super::*;

mod server;

/// What is planted in the client, to see that the checks would find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Events are acknowledged when they come, not when they are dealt with.
    AcknowledgedOnReceipt,
    /// What comes again is told by its commit LSN alone.
    BareLsn,
    /// A PREPARE holds nothing.
    PrepareConfirmed,
    /// A prepared transaction is taken for decided before its events are known.
    DecidedEarly,
    /// A keepalive is taken for news in the middle of a transaction.
    TransactionForgotten,
    /// A clean stop does not tell the server what was acknowledged last.
    LastWordLost,
    /// The server is answered, and waited for, when it is shutting down.
    DeafToShutdown,
}

/// The client's process: what is gone when it is killed.
struct Process {
    feedback: Feedback,
    /// As the receive task has it.
    handed: Option<Position>,
    stash: BTreeMap<u32, (Lsn, u32)>,
    queue: VecDeque<(Lsn, Position)>,
    /// Delivered, in order, and how many of them were dealt with.
    delivered: Vec<(Lsn, Position)>,
    dealt_with: usize,
    in_transaction: bool,
    blocked: bool,
}

struct World {
    fault: Fault,
    random: StdRng,
    now: Duration,
    server: Server,
    process: Process,
    /// Every event that was committed: where the server would have to start to send it.
    committed: BTreeMap<Position, u64>,
    /// By the consumer, whatever process.
    acknowledged: BTreeSet<Position>,
    dealt_with: BTreeSet<Position>,
    /// What was confirmed when the process began.
    confirmed_before: u64,
    /// Whole transactions the consumer had acknowledged when the process before ended cleanly.
    clean: BTreeSet<Position>,
    /// How often the link was cut in the middle of a transaction.
    cuts_within: u32,
}

const HOLDS_UP: Duration = Duration::from_secs(1);

impl World {
    fn new(seed: u64, fault: Fault) -> Self {
        let start = 100;
        let mut world = Self {
            fault,
            random: StdRng::seed_from_u64(seed),
            now: Duration::ZERO,
            server: Server {
                log: Vec::new(),
                end: start,
                confirmed: start,
                written: start,
                prepared: BTreeMap::new(),
                next_xid: 700,
                sender: None,
                stopping: false,
            },
            process: Process::new(start),
            committed: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            dealt_with: BTreeSet::new(),
            confirmed_before: start,
            clean: BTreeSet::new(),
            cuts_within: 0,
        };
        world.connect();
        world
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.random.random_range(0..bound)
    }

    /// One thing happens, to somebody.
    fn step(&mut self) -> Result<(), String> {
        let passed = self.below(60);
        self.now += Duration::from_millis(u64::from(passed));
        match self.below(1000) {
            0..150 => self.server.write(&mut self.random, &mut self.committed),
            150..350 => self.server.send(),
            350..600 => {
                let messages = self.below(6);
                self.read(messages)?;
            }
            600..700 => self.server_reads()?,
            700..800 => self.deliver()?,
            800..920 => self.acknowledge()?,
            920..950 => self.server.keepalive(self.now, false),
            950..975 => self.cut()?,
            975..982 => self.crash()?,
            982..990 => self.kill()?,
            990..995 => self.end_cleanly()?,
            _ => self.shut_down()?,
        }
        if self.server.sender.is_none() && self.below(3) == 0 {
            self.connect();
        }
        self.confirm();
        self.check()
    }

    /// The receive task reads so many messages, where the queue has room for what they bring.
    fn read(&mut self, messages: u32) -> Result<(), String> {
        for _ in 0..messages {
            let blocked = self.process.queue.len() > 20;
            self.process.set_blocked(self.now, blocked);
            let Some(sender) = &mut self.server.sender else {
                return Ok(());
            };
            if blocked {
                return Ok(());
            }
            let Some(sent) = sender.wire.pop_front() else {
                return Ok(());
            };
            self.receive(sent)?;
        }
        Ok(())
    }

    fn receive(&mut self, sent: Sent) -> Result<(), String> {
        let (now, fault) = (self.now, self.fault);
        let process = &mut self.process;
        let feedback = &mut process.feedback;
        match sent {
            Sent::Begin => {
                process.in_transaction = true;
                feedback.begin(0);
            }
            Sent::Event(lsn, position) => {
                feedback.received(now, lsn);
                process.event(lsn, position, fault);
            }
            Sent::Commit { end } => {
                process.in_transaction = false;
                feedback.received(now, end);
                feedback.commit(end);
            }
            Sent::Segment { lsn } => feedback.received(now, lsn),
            Sent::Prepare { xid, lsn, events } => {
                feedback.received(now, lsn);
                if fault != Fault::PrepareConfirmed {
                    feedback.prepared(xid, lsn);
                }
                process.stash.insert(xid, (lsn, events));
            }
            Sent::CommitPrepared { xid, commit, end } => {
                let Some((_, events)) = process.stash.remove(&xid) else {
                    return Err(format!("the changes of {xid} were confirmed, and are gone"));
                };
                feedback.received(now, end);
                if fault == Fault::DecidedEarly {
                    feedback.decided(xid);
                }
                feedback.begin(0);
                for position in positions(commit, events) {
                    process.event(Lsn(commit), position, fault);
                }
                process.feedback.commit(end);
                process.feedback.decided(xid);
            }
            Sent::RollbackPrepared { xid } => {
                process.stash.remove(&xid);
                feedback.decided(xid);
            }
            Sent::Keepalive(keepalive) => {
                if fault == Fault::TransactionForgotten {
                    feedback.commit(keepalive.wal_end);
                }
                feedback.keepalive(now, keepalive);
            }
        }
        if fault == Fault::AcknowledgedOnReceipt {
            let events: Vec<_> = process.queue.iter().copied().collect();
            process.feedback.delivered(events.iter().copied());
            if let Some((_, last)) = events.last() {
                let _ = process.feedback.acknowledge(*last);
            }
        }
        Ok(())
    }

    /// The consumer takes some of what is there.
    fn deliver(&mut self) -> Result<(), String> {
        let count = usize::try_from(self.below(8)).unwrap();
        let process = &mut self.process;
        let count = count.min(process.queue.len());
        let batch: Vec<_> = process.queue.drain(..count).collect();
        process.feedback.delivered(batch.iter().copied());
        for (lsn, position) in batch {
            if let Some((_, last)) = process.delivered.last()
                && *last >= position
            {
                return Err(format!("{position} came behind {last}"));
            }
            if self.committed[&position] < self.confirmed_before {
                return Err(format!("{position} came again, though it was confirmed"));
            }
            if self.clean.contains(&position) {
                return Err(format!("{position} came again after a clean stop"));
            }
            process.delivered.push((lsn, position));
        }
        Ok(())
    }

    /// The consumer deals with some of what it has, and says so.
    fn acknowledge(&mut self) -> Result<(), String> {
        let rest = self.process.delivered.len() - self.process.dealt_with;
        if rest == 0 {
            return Ok(());
        }
        let count = 1 + self.below(u32::try_from(rest).unwrap());
        self.acknowledge_next(usize::try_from(count).unwrap())
    }

    fn acknowledge_next(&mut self, count: usize) -> Result<(), String> {
        let by_lsn = self.below(4) == 0;
        let process = &mut self.process;
        let from = process.dealt_with;
        process.dealt_with += count;
        let done = process.delivered[from..from + count].to_vec();
        let &(lsn, last) = done.last().unwrap();
        self.dealt_with
            .extend(done.iter().map(|(_, position)| position));
        let said = if by_lsn {
            process.feedback.acknowledge_lsn(lsn)
        } else {
            process.feedback.acknowledge(last)
        };
        said.map_err(|error| format!("{last} is refused: {error}"))?;
        let mut acknowledged = from + count;
        if by_lsn {
            // Of several events with one LSN, the first that is not acknowledged is meant.
            let before = &process.delivered[..acknowledged];
            let first = (from..acknowledged).find(|at| before[*at].0 == lsn);
            acknowledged = first.map_or(acknowledged, |first| first + 1);
            process.dealt_with = acknowledged;
        }
        let earlier = process.delivered[..acknowledged].iter();
        self.acknowledged
            .extend(earlier.map(|(_, position)| position));
        if self.below(20) == 0 {
            let beyond = Position {
                sub: u32::MAX,
                ..self.process.delivered.last().unwrap().1
            };
            if self.process.feedback.acknowledge(beyond).is_ok() {
                return Err(format!("{beyond} was never delivered, and not refused"));
            }
        }
        Ok(())
    }

    /// The feedback task says what it has to say.
    fn confirm(&mut self) {
        while let Some(update) = self.process.feedback.poll(self.now) {
            if let Some(sender) = &mut self.server.sender {
                sender.statuses.push_back(update);
                self.process.feedback.told(self.now, update);
            }
        }
    }

    /// The server reads the statuses that have come.
    fn server_reads(&mut self) -> Result<(), String> {
        while let Some(sender) = &mut self.server.sender
            && let Some(update) = sender.statuses.pop_front()
        {
            self.told(update)?;
            if update.reply || self.server.stopping {
                let stopping = self.server.stopping;
                self.server.keepalive(self.now, stopping);
            }
        }
        Ok(())
    }

    fn told(&mut self, update: StandbyStatusUpdate) -> Result<(), String> {
        if update.received < update.confirmed {
            return Err(format!("{update:?} confirms what was not received"));
        }
        let server = &mut self.server;
        server.confirmed = server.confirmed.max(update.confirmed.0);
        if self.random.random_range(0..4) == 0 {
            server.written = server.confirmed;
        }
        Ok(())
    }

    /// The link breaks: of what is under way, some arrives.
    fn cut(&mut self) -> Result<(), String> {
        if self.server.sender.is_none() {
            return Ok(());
        }
        let arrives = self.below(10);
        self.read(arrives)?;
        self.cuts_within += u32::from(self.process.in_transaction);
        let Some(mut sender) = self.server.sender.take() else {
            return Ok(());
        };
        let arrives = usize::try_from(self.below(3)).unwrap();
        for update in sender.statuses.drain(..).take(arrives) {
            self.told(update)?;
        }
        self.process.disconnected();
        Ok(())
    }

    /// As `pg_ctl restart -m immediate` does: what is not on disk is forgotten.
    fn crash(&mut self) -> Result<(), String> {
        self.cut()?;
        self.server.confirmed = self.server.written;
        Ok(())
    }

    /// As `kill -9` does to the client.
    fn kill(&mut self) -> Result<(), String> {
        self.cut()?;
        self.begin_anew(BTreeSet::new());
        Ok(())
    }

    /// The consumer stops the stream, having acknowledged all it has.
    fn end_cleanly(&mut self) -> Result<(), String> {
        if self.server.sender.is_none() {
            return Ok(());
        }
        // As the receive task does when it is stopped: what is acknowledged may lack its commit.
        while self.process.feedback.is_commit_missing() {
            let Some(sender) = &mut self.server.sender else {
                break;
            };
            let all = sender.next == self.server.log.len();
            match sender.wire.pop_front() {
                Some(sent) => self.receive(sent)?,
                None if all => break,
                None => self.server.send(),
            }
        }
        self.server_reads()?;
        let undecided = !self.process.feedback.prepared.is_empty();
        let all = self.process.dealt_with == self.process.delivered.len()
            && self.process.queue.is_empty();
        if self.fault != Fault::LastWordLost {
            let farewell = self.process.feedback.farewell();
            self.told(farewell)?;
        }
        self.server.sender = None;
        let had = self.process.delivered.iter().map(|(_, position)| *position);
        let clean = if all && !undecided {
            had.collect()
        } else {
            BTreeSet::new()
        };
        self.begin_anew(clean);
        Ok(())
    }

    fn begin_anew(&mut self, clean: BTreeSet<Position>) {
        self.process = Process::new(self.server.confirmed);
        self.confirmed_before = self.server.confirmed;
        self.clean = clean;
    }

    /// `pg_ctl stop -m fast`: the walsender sends what there is, and waits until all of it is
    /// confirmed, asking for it; it must not have to wait.
    fn shut_down(&mut self) -> Result<(), String> {
        if self.server.sender.is_none() {
            return Ok(());
        }
        self.server.stopping = true;
        let began = self.now;
        loop {
            self.now += Duration::from_millis(1);
            self.server.send();
            self.read(8)?;
            let now = self.now;
            // Its catalog connection ends at once, which says so to one who does not read.
            let blocked = self.process.queue.len() > 20;
            let deaf = self.fault == Fault::DeafToShutdown;
            if !deaf && (blocked || self.process.feedback.is_server_stopping()) {
                let farewell = self.process.feedback.farewell();
                self.told(farewell)?;
                break;
            }
            self.process.set_blocked(now, blocked);
            self.confirm();
            self.server_reads()?;
            let Some(sender) = &self.server.sender else {
                break;
            };
            if sender.next == self.server.log.len() {
                if self.server.confirmed >= sender.sent {
                    break;
                }
                self.server.keepalive(self.now, true);
            }
            if now > began + HOLDS_UP {
                return Err("the server is held up".to_owned());
            }
        }
        self.server.stopping = false;
        self.server.sender = None;
        self.server.written = self.server.confirmed;
        self.process.disconnected();
        Ok(())
    }

    /// As the driver does: at the slot, or where the process has come.
    fn connect(&mut self) {
        let server = &mut self.server;
        let start = server.confirmed.max(self.process.feedback.from().0);
        server.sender = Some(Walsender {
            start,
            next: 0,
            sent: start,
            segments: BTreeSet::new(),
            wire: VecDeque::new(),
            statuses: VecDeque::new(),
        });
        self.process.feedback.connected(self.now, INTERVAL);
    }

    /// Nothing is confirmed that would be missed.
    fn check(&self) -> Result<(), String> {
        let confirmed = self
            .process
            .feedback
            .confirmed()
            .0
            .max(self.server.confirmed);
        for (position, needed) in &self.committed {
            if *needed < confirmed && !self.acknowledged.contains(position) {
                return Err(format!("{position} was confirmed with {confirmed:X}"));
            }
        }
        for (xid, record) in &self.server.prepared {
            let prepare = &self.server.log[*record];
            if prepare.lsn < confirmed && !matches!(prepare.what, What::Prepare { events: 0, .. }) {
                return Err(format!("{xid} is undecided, and was confirmed"));
            }
        }
        Ok(())
    }

    /// What was confirmed and is over need not be looked at again.
    fn forget(&mut self) {
        let floor = self.server.written;
        let done =
            |position: &Position, needed: &u64| *needed < floor && position.commit_lsn.0 < floor;
        let kept = |position: &Position| {
            self.committed
                .get(position)
                .is_some_and(|needed| !done(position, needed))
        };
        self.acknowledged.retain(kept);
        let dealt_with = &self.dealt_with;
        let missing = self
            .committed
            .iter()
            .filter(|(position, needed)| done(position, needed) && !dealt_with.contains(position));
        assert_eq!(missing.count(), 0, "they are checked at every step");
        self.committed
            .retain(|position, needed| !done(position, needed));
        let committed = &self.committed;
        self.dealt_with
            .retain(|position| committed.contains_key(position));
    }

    /// No more happens: everything arrives, is dealt with, and is confirmed.
    fn settle(mut self) -> Result<u32, String> {
        while let Some((xid, prepare)) = self.server.prepared.pop_first() {
            let lsn = self.server.end;
            if let What::Prepare { events, .. } = self.server.log[prepare].what {
                for position in positions(lsn, events) {
                    self.committed
                        .insert(position, self.server.log[prepare].lsn);
                }
            }
            self.server.log.push(Record {
                lsn,
                end: lsn + 10,
                what: What::CommitPrepared { xid, prepare },
            });
            self.server.end = lsn + 10;
        }
        // What others write.
        self.server.end += 100;
        let (lsn, end) = (self.server.end - 100, self.server.end);
        self.server.log.push(Record {
            lsn,
            end,
            what: What::Noise,
        });
        if self.server.sender.is_none() {
            self.connect();
        }
        for _ in 0..self.server.log.len() {
            self.server.send();
        }
        let settled = self.now + Duration::from_secs(30);
        while self.now < settled {
            self.now += Duration::from_millis(50);
            self.read(50)?;
            self.deliver()?;
            let rest = self.process.delivered.len() - self.process.dealt_with;
            if rest > 0 {
                self.acknowledge_next(rest)?;
            }
            self.confirm();
            self.server_reads()?;
            self.check()?;
        }
        if let Some(missing) = self
            .committed
            .keys()
            .find(|at| !self.dealt_with.contains(at))
        {
            return Err(format!("{missing} never came"));
        }
        if self.server.confirmed != self.server.end {
            let (confirmed, end) = (self.server.confirmed, self.server.end);
            return Err(format!(
                "{confirmed:X} is confirmed of {end:X}, and all is quiet"
            ));
        }
        Ok(self.cuts_within)
    }
}

impl Process {
    /// One that has just looked at the slot.
    fn new(confirmed: u64) -> Self {
        let mut feedback = Feedback::new(Lsn(0), INTERVAL);
        feedback.start(Lsn(confirmed));
        Self {
            feedback,
            handed: None,
            stash: BTreeMap::new(),
            queue: VecDeque::new(),
            delivered: Vec::new(),
            dealt_with: 0,
            in_transaction: false,
            blocked: false,
        }
    }

    fn set_blocked(&mut self, now: Duration, blocked: bool) {
        if self.blocked != blocked {
            self.blocked = blocked;
            self.feedback.set_blocked(now, blocked);
        }
    }

    fn event(&mut self, lsn: Lsn, position: Position, fault: Fault) {
        self.feedback.event(position);
        let news = if fault == Fault::BareLsn {
            self.handed
                .is_none_or(|handed| position.commit_lsn > handed.commit_lsn)
                || self.in_transaction
                    && self
                        .queue
                        .back()
                        .is_some_and(|(_, last)| last.commit_lsn == position.commit_lsn)
        } else {
            is_news(position, self.handed)
        };
        if news {
            self.handed = Some(position);
            self.queue.push_back((lsn, position));
        }
    }

    fn disconnected(&mut self) {
        self.stash.clear();
        self.in_transaction = false;
        self.blocked = false;
    }
}

const INTERVAL: Duration = Duration::from_secs(10);

/// Runs a world; how often its link was cut in the middle of a transaction, or what was wrong.
fn run(seed: u64, steps: u32, fault: Fault) -> Result<u32, String> {
    let mut world = World::new(seed, fault);
    for step in 0..steps {
        world
            .step()
            .map_err(|wrong| format!("step {step}: {wrong}"))?;
        if step % 64 == 0 {
            world.forget();
        }
    }
    world.settle()
}

#[test]
fn nothing_is_lost_repeated_or_confirmed_early_whatever_happens() {
    let (seeds, steps) = (4000, 500);
    let mut within = 0;
    for seed in 0..seeds {
        match run(seed, steps, Fault::None) {
            Ok(cuts) => within += cuts,
            Err(wrong) => panic!("seed {seed}, {wrong}"),
        }
    }
    println!("{seeds} seeds, {steps} steps each, {within} cuts within a transaction");
    assert!(within > 2000, "{within}");
}

#[test]
fn a_planted_fault_is_found() {
    for fault in [
        Fault::AcknowledgedOnReceipt,
        Fault::BareLsn,
        Fault::PrepareConfirmed,
        Fault::DecidedEarly,
        Fault::TransactionForgotten,
        Fault::LastWordLost,
        Fault::DeafToShutdown,
    ] {
        let found = (0..50).find_map(|seed| Some((seed, run(seed, 500, fault).err()?)));
        let (seed, wrong) = found.unwrap_or_else(|| panic!("{fault:?} is not found"));
        println!("{fault:?}: seed {seed}, {wrong}");
    }
}
