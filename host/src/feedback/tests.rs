use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const INTERVAL: Duration = Duration::from_secs(10);

fn at(commit_lsn: u64, index: u32) -> Position {
    Position {
        commit_lsn: Lsn(commit_lsn),
        index,
        sub: 0,
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn ping(wal_end: u64, sent_at_us: i64, reply_requested: bool) -> Keepalive {
    Keepalive {
        wal_end: Lsn(wal_end),
        sent_at_us,
        reply_requested,
    }
}

/// Connected at 0 ms, first status sent.
fn connected() -> Feedback {
    let mut feedback = Feedback::new(Lsn(10), INTERVAL);
    feedback.start(Lsn(10));
    feedback.connected(ms(0), INTERVAL);
    assert!(feedback.poll(ms(0)).is_some());
    feedback
}

/// A transaction whose changes have LSNs `commit - events ..`.
fn transaction(feedback: &mut Feedback, commit: u64, end: u64, events: u32) {
    feedback.begin(0);
    for index in 0..events {
        feedback.event(at(commit, index));
    }
    feedback.commit(Lsn(end));
    deliver(feedback, commit, events);
}

fn deliver(feedback: &mut Feedback, commit: u64, events: u32) {
    let lsn = |index: u32| Lsn(commit - u64::from(events) + u64::from(index));
    feedback.delivered((0..events).map(|index| (lsn(index), at(commit, index))));
}

#[test]
fn confirms_the_end_of_a_transaction_when_its_last_event_is_acknowledged() {
    let mut feedback = connected();
    transaction(&mut feedback, 100, 120, 3);
    feedback.acknowledge(at(100, 0)).unwrap();
    feedback.acknowledge(at(100, 1)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(10));
    assert!(
        feedback.acknowledge(at(100, 2)).unwrap(),
        "the server should be told sooner"
    );
    assert_eq!(feedback.confirmed(), Lsn(120));
    feedback.acknowledge(at(100, 0)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(120));
}

#[test]
fn an_event_acknowledged_before_its_commit_is_read_is_confirmed_with_the_commit() {
    let mut feedback = connected();
    feedback.begin(0);
    feedback.event(at(100, 0));
    deliver(&mut feedback, 100, 1);
    feedback.acknowledge(at(100, 0)).unwrap();
    feedback.keepalive(ms(1), ping(99, 0, false));
    assert_eq!(feedback.confirmed(), Lsn(10), "the transaction is open");
    assert!(feedback.is_commit_missing());
    feedback.event(at(100, 1));
    assert!(!feedback.is_commit_missing(), "an event is missing, too");
    feedback.delivered([(Lsn(99), at(100, 1))].into_iter());
    feedback.acknowledge(at(100, 1)).unwrap();
    feedback.commit(Lsn(120));
    assert_eq!(feedback.confirmed(), Lsn(120));
}

#[test]
fn what_brings_no_events_rides_along_with_what_precedes_it() {
    let mut feedback = connected();
    transaction(&mut feedback, 100, 120, 0);
    assert_eq!(feedback.confirmed(), Lsn(120));
    transaction(&mut feedback, 200, 220, 1);
    transaction(&mut feedback, 300, 320, 0);
    feedback.keepalive(ms(1), ping(400, 0, false));
    assert_eq!(feedback.confirmed(), Lsn(120));
    feedback.acknowledge(at(200, 0)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(400));
    feedback.keepalive(ms(2), ping(500, 0, false));
    assert_eq!(feedback.confirmed(), Lsn(500));
}

#[test]
fn a_message_of_no_transaction_holds_back_what_follows() {
    let mut feedback = connected();
    feedback.event(at(150, 0));
    feedback.delivered([(Lsn(150), at(150, 0))].into_iter());
    feedback.keepalive(ms(1), ping(180, 0, false));
    assert_eq!(feedback.confirmed(), Lsn(10));
    feedback.acknowledge(at(150, 0)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(180));
    feedback.event(at(190, 0));
    feedback.delivered([(Lsn(190), at(190, 0))].into_iter());
    // A transaction whose commit record begins where the message ends.
    feedback.begin(0);
    feedback.event(at(190, 1));
    feedback.commit(Lsn(200));
    feedback.acknowledge(at(190, 0)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(190));
}

#[test]
fn a_message_after_a_cut_transaction_is_not_taken_for_part_of_it() {
    let mut feedback = connected();
    feedback.begin(0);
    feedback.connected(ms(5), INTERVAL);
    feedback.event(at(50, 0));
    feedback.begin(0);
    feedback.commit(Lsn(120));
    assert_eq!(feedback.confirmed(), Lsn(10));
    feedback.delivered([(Lsn(50), at(50, 0))].into_iter());
    feedback.acknowledge(at(50, 0)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(120));
}

#[test]
fn refuses_what_was_not_delivered() {
    let mut feedback = connected();
    assert!(matches!(
        feedback.acknowledge(at(1, 0)),
        Err(Error::Acknowledge { .. })
    ));
    assert!(matches!(
        feedback.acknowledge_lsn(Lsn(100)),
        Err(Error::Acknowledge { .. })
    ));
    transaction(&mut feedback, 100, 120, 2);
    feedback.begin(0);
    feedback.event(at(200, 0));
    feedback.event(at(200, 1));
    feedback.delivered([(Lsn(190), at(200, 0))].into_iter());
    assert!(matches!(
        feedback.acknowledge(at(200, 1)),
        Err(Error::Acknowledge { .. })
    ));
    assert!(matches!(
        feedback.acknowledge_lsn(Lsn(200)),
        Err(Error::Acknowledge { .. })
    ));
    assert_eq!(feedback.confirmed(), Lsn(10));
    feedback.acknowledge_lsn(Lsn(190)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(120));
    feedback.acknowledge_lsn(Lsn(190)).unwrap();
    feedback.acknowledge_lsn(Lsn(50)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(120));
}

#[test]
fn an_lsn_stands_for_a_change_a_commit_or_an_end() {
    for lsn in [99, 100, 120] {
        let mut feedback = connected();
        transaction(&mut feedback, 100, 120, 2);
        transaction(&mut feedback, 200, 220, 2);
        feedback.acknowledge_lsn(Lsn(lsn)).unwrap();
        assert_eq!(feedback.confirmed(), Lsn(120), "{lsn}");
    }
    // Changes of concurrent transactions: commit order counts, not the order of their LSNs.
    let mut feedback = connected();
    for (commit, end, change) in [(100, 120, 90), (200, 220, 80)] {
        feedback.begin(0);
        feedback.event(at(commit, 0));
        feedback.commit(Lsn(end));
        feedback.delivered([(Lsn(change), at(commit, 0))].into_iter());
    }
    feedback.acknowledge_lsn(Lsn(80)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(220));
}

#[test]
fn events_that_share_an_lsn_are_acknowledged_one_by_one() {
    let mut feedback = connected();
    feedback.begin(0);
    feedback.event(at(100, 1));
    feedback.commit(Lsn(120));
    feedback.delivered([(Lsn(90), at(100, 0)), (Lsn(90), at(100, 1))].into_iter());
    feedback.acknowledge_lsn(Lsn(90)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(10));
    feedback.acknowledge_lsn(Lsn(90)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(120));
}

#[test]
fn a_transaction_sent_again_is_no_news() {
    let mut feedback = connected();
    transaction(&mut feedback, 100, 120, 2);
    feedback.begin(0);
    feedback.event(at(200, 0));
    feedback.delivered([(Lsn(199), at(200, 0))].into_iter());
    feedback.connected(ms(5), INTERVAL);
    assert!(!feedback.is_commit_missing());
    feedback.keepalive(ms(5), ping(90, 0, false));
    for (commit, end) in [(100, 120), (200, 220)] {
        feedback.begin(0);
        feedback.event(at(commit, 0));
        feedback.event(at(commit, 1));
        feedback.commit(Lsn(end));
    }
    feedback.delivered([(Lsn(199), at(200, 1))].into_iter());
    assert_eq!(feedback.confirmed(), Lsn(10));
    feedback.acknowledge(at(100, 1)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(120));
    feedback.acknowledge(at(200, 1)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(220));
}

#[test]
fn asks_for_a_keepalive_every_second_of_silence_and_not_while_blocked() {
    let mut feedback = connected();
    assert_eq!(feedback.poll(ms(999)), None);
    assert_eq!(feedback.deadline(), ms(1000));
    assert!(feedback.poll(ms(1000)).unwrap().reply);
    feedback.keepalive(ms(1001), ping(50, 0, false));
    // The answer moved the confirmation: that is told, without asking again.
    let told = feedback.poll(feedback.deadline()).unwrap();
    assert_eq!((told.confirmed, told.reply), (Lsn(50), false));
    assert_eq!(feedback.deadline(), ms(2001));
    feedback.received(ms(1900), Lsn(60));
    assert_eq!(feedback.deadline(), ms(2900));
    feedback.set_blocked(ms(2000), true);
    assert_eq!(feedback.deadline(), ms(1100) + INTERVAL);
    let silent = feedback.poll(ms(11_100)).unwrap();
    assert!(!silent.reply, "the answer would not be read");
    feedback.set_blocked(ms(12_000), false);
    assert_eq!(feedback.deadline(), ms(13_000));
}

#[test]
fn answers_at_once_when_asked() {
    let mut feedback = connected();
    feedback.keepalive(ms(3), ping(50, 0, true));
    let answer = feedback.poll(ms(3)).unwrap();
    assert_eq!(answer.confirmed, Lsn(50));
    assert_eq!(feedback.poll(ms(3)), None);
}

#[test]
fn a_confirmation_travels_within_a_tenth_of_a_second_and_not_more_often() {
    let mut feedback = connected();
    let mut sent = 0;
    for millisecond in 1..1000 {
        transaction(&mut feedback, millisecond * 100, millisecond * 100 + 50, 1);
        feedback.received(ms(millisecond), Lsn(millisecond * 100 + 50));
        feedback.acknowledge(at(millisecond * 100, 0)).unwrap();
        assert!(feedback.deadline() <= ms(millisecond + 100));
        sent += u32::from(feedback.poll(ms(millisecond)).is_some());
    }
    assert_eq!(sent, 9);
}

#[test]
fn knows_a_server_that_is_stopping_from_one_that_is_waiting() {
    let mut feedback = connected();
    transaction(&mut feedback, 100, 120, 1);
    for half_timeout in 0..20 {
        feedback.keepalive(ms(0), ping(200, half_timeout * 1_000_000, true));
    }
    assert!(!feedback.is_server_stopping(), "read late, sent in peace");
    for microseconds in 0..8 {
        feedback.keepalive(ms(0), ping(200, 30_000_000 + microseconds * 100, true));
    }
    assert!(feedback.is_server_stopping());
    feedback.acknowledge(at(100, 0)).unwrap();
    assert!(!feedback.is_server_stopping(), "it has what it waits for");
}

#[test]
fn what_was_told_just_before_the_server_was_gone_may_not_be_known() {
    for (gone_at, known) in [(ms(10), false), (ms(5_000), false), (ms(5_010), true)] {
        let mut feedback = connected();
        feedback.gone(ms(0));
        assert!(feedback.is_told(), "there was nothing to tell");
        transaction(&mut feedback, 100, 120, 1);
        feedback.acknowledge(at(100, 0)).unwrap();
        let update = feedback.farewell();
        feedback.told(ms(10), update);
        feedback.gone(gone_at);
        assert_eq!(feedback.is_told(), known);
        // Said again over the next connection.
        feedback.told(gone_at, update);
        assert!(feedback.is_told());
    }
}

#[test]
fn what_was_told_is_known() {
    let mut feedback = connected();
    assert!(feedback.is_told());
    transaction(&mut feedback, 100, 120, 1);
    feedback.acknowledge(at(100, 0)).unwrap();
    assert!(!feedback.is_told());
    let farewell = feedback.farewell();
    feedback.told(ms(10), farewell);
    assert!(feedback.is_told());
    // A position that follows a quiet server has nothing to lose.
    feedback.keepalive(ms(1), ping(200, 1, false));
    assert_eq!(feedback.confirmed(), Lsn(200));
    assert!(feedback.is_told());
    // Acknowledged before the commit was read.
    feedback.begin(0);
    feedback.event(at(300, 0));
    feedback.delivered([(Lsn(290), at(300, 0))].into_iter());
    feedback.acknowledge(at(300, 0)).unwrap();
    assert!(feedback.is_told());
    feedback.commit(Lsn(320));
    assert!(!feedback.is_told());
}

#[test]
fn a_consumer_that_never_acknowledges_costs_bounded_memory() {
    let mut feedback = connected();
    let transactions = 1_000_000;
    for number in 1..=transactions {
        transaction(&mut feedback, number * 100, number * 100 + 50, 1);
        assert!(feedback.pending.len() <= PENDING_MAX);
        assert!(feedback.changes.len() <= CHANGES_MAX);
    }
    assert_eq!(feedback.confirmed(), Lsn(10));
    feedback.acknowledge(at(transactions * 100, 0)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(transactions * 100 + 50));
}

/// A random run, and what really happened in it, kept apart from the state machine.
struct Run {
    random: StdRng,
    feedback: Feedback,
    now: Duration,
    /// The end of WAL.
    lsn: u64,
    /// End LSN and last event of every transaction with events, by commit LSN.
    transactions: BTreeMap<u64, (u64, Position)>,
    undelivered: VecDeque<(Lsn, Position)>,
    delivered: Option<Position>,
    acknowledged: Option<Position>,
    /// LSNs of PREPAREs that are not decided, by xid.
    prepared: BTreeMap<u32, u64>,
    /// Of those that were committed, with the last event and the end.
    committed: Vec<(u64, Position, u64)>,
    confirmed: Lsn,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            feedback: connected(),
            now: ms(0),
            lsn: 20,
            transactions: BTreeMap::new(),
            undelivered: VecDeque::new(),
            delivered: None,
            acknowledged: None,
            prepared: BTreeMap::new(),
            committed: Vec::new(),
            confirmed: Lsn(0),
        }
    }

    fn step(&mut self) {
        self.now += ms(self.random.random_range(0..400));
        match self.random.random_range(0..12) {
            0..4 => {
                self.transaction();
            }
            10 => {
                let xid = u32::try_from(self.lsn).unwrap();
                self.feedback.prepared(xid, Lsn(self.lsn + 5));
                self.prepared.insert(xid, self.lsn + 5);
                self.lsn += 20;
            }
            11 => self.decide(),
            4 => self.message(),
            5 => {
                self.lsn += 100;
                let keepalive = ping(self.lsn, 0, self.random.random());
                self.feedback.keepalive(self.now, keepalive);
            }
            6..8 => {
                let count = self.random.random_range(0..=self.undelivered.len());
                self.deliver(count);
            }
            _ => self.acknowledge(),
        }
        self.check();
        if let Some(update) = self.feedback.poll(self.now) {
            assert_eq!(update.confirmed, self.confirmed);
            assert!(update.received >= update.confirmed);
        }
        assert!(
            self.feedback.deadline() > self.now,
            "it has something to say still"
        );
        assert!(self.feedback.deadline() <= self.now + INTERVAL);
    }

    /// A transaction, cut by a reconnection now and then and sent again whole.
    fn transaction(&mut self) -> Option<Position> {
        let (change, commit, end) = (Lsn(self.lsn + 1), self.lsn + 50, self.lsn + 60);
        let events = self.random.random_range(0..4_u32);
        let mut known = 0;
        if self.random.random_range(0..8) == 0 {
            known = self.random.random_range(0..=events);
            self.feedback.begin(0);
            for index in 0..known {
                self.feedback.event(at(commit, index));
                self.undelivered.push_back((change, at(commit, index)));
            }
            self.feedback.connected(self.now, INTERVAL);
            for (&xid, &lsn) in &self.prepared {
                self.feedback.prepared(xid, Lsn(lsn));
            }
            let keepalive = ping(self.lsn, 0, self.random.random());
            self.feedback.keepalive(self.now, keepalive);
            self.check();
        }
        self.feedback.begin(0);
        for index in 0..events {
            self.feedback.event(at(commit, index));
            if index >= known {
                self.undelivered.push_back((change, at(commit, index)));
            }
        }
        if let Some(last) = events.checked_sub(1) {
            self.transactions.insert(commit, (end, at(commit, last)));
        }
        self.feedback.commit(Lsn(end));
        self.feedback.received(self.now, Lsn(commit));
        self.lsn = end;
        events.checked_sub(1).map(|last| at(commit, last))
    }

    /// Commits or rolls back the oldest prepared transaction.
    fn decide(&mut self) {
        let Some((&xid, &lsn)) = self.prepared.first_key_value() else {
            return;
        };
        if self.random.random()
            && let Some(last) = self.transaction()
        {
            self.committed.push((lsn, last, self.lsn));
        }
        self.prepared.remove(&xid);
        self.feedback.decided(xid);
    }

    /// A message of no transaction.
    fn message(&mut self) {
        let lsn = self.lsn + 10;
        self.feedback.event(at(lsn, 0));
        self.undelivered.push_back((Lsn(lsn), at(lsn, 0)));
        self.transactions.insert(lsn, (lsn, at(lsn, 0)));
        self.lsn = lsn + 10;
    }

    fn deliver(&mut self, count: usize) {
        let batch: Vec<_> = self.undelivered.drain(..count).collect();
        self.delivered = batch
            .last()
            .map(|(_, position)| *position)
            .or(self.delivered);
        self.feedback.delivered(batch.into_iter());
    }

    /// Something between the first event and the last one delivered.
    fn acknowledge(&mut self) {
        let Some(last) = self.delivered else { return };
        let back = self.random.random_range(0..300);
        let index = self.random.random_range(0..4);
        let position = last.min(at(last.commit_lsn.0.saturating_sub(back), index));
        self.acknowledged = self.acknowledged.max(Some(position));
        self.feedback.acknowledge(position).unwrap();
    }

    /// Confirmed never falls and never passes an event that was not acknowledged.
    fn check(&mut self) {
        let confirmed = self.feedback.confirmed();
        assert!(confirmed >= self.confirmed, "it fell");
        self.confirmed = confirmed;
        let mut ended = self
            .transactions
            .values()
            .filter(|(end, _)| *end <= confirmed.0);
        assert!(
            ended.all(|(_, last)| Some(*last) <= self.acknowledged),
            "{confirmed}"
        );
        let undecided = self.prepared.values();
        let committed = self.committed.iter();
        // Nor does it stop between a PREPARE and its commit.
        let open = committed
            .filter(|(_, last, end)| Some(*last) > self.acknowledged || confirmed.0 < *end);
        let mut held = undecided.chain(open.map(|(lsn, ..)| lsn));
        assert!(held.all(|lsn| confirmed.0 <= *lsn), "{confirmed}");
    }

    /// Everything delivered and acknowledged, then silence: confirmed reaches the end of WAL.
    fn finish(mut self) {
        while !self.prepared.is_empty() {
            self.decide();
            self.check();
        }
        self.deliver(self.undelivered.len());
        if let Some(last) = self.delivered {
            self.feedback.acknowledge(last).unwrap();
        }
        let asked = (0..3).any(|_| {
            self.now = self.feedback.deadline().max(self.now);
            self.feedback
                .poll(self.now)
                .is_some_and(|update| update.reply)
        });
        assert!(asked, "nobody asked");
        self.feedback
            .keepalive(self.now, ping(self.lsn + 1000, 0, false));
        assert_eq!(self.feedback.confirmed(), Lsn(self.lsn + 1000));
    }
}

#[test]
fn random_runs_never_confirm_what_is_not_acknowledged_and_always_get_on() {
    for seed in 0..400 {
        println!("seed {seed}");
        let mut run = Run::new(seed);
        for _ in 0..300 {
            run.step();
        }
        run.finish();
    }
}

#[test]
fn nothing_behind_a_prepare_is_confirmed_until_its_transaction_is_dealt_with() {
    let mut feedback = connected();
    feedback.prepared(7, Lsn(50));
    transaction(&mut feedback, 100, 120, 1);
    feedback.acknowledge(at(100, 0)).unwrap();
    feedback.keepalive(ms(1), ping(200, 0, false));
    assert_eq!(feedback.confirmed(), Lsn(50));
    // Without a connection, and over the next, where the server sends it again.
    feedback.connected(ms(2), INTERVAL);
    feedback.prepared(7, Lsn(50));
    assert_eq!((feedback.confirmed(), feedback.from()), (Lsn(50), Lsn(50)));
    // It is committed, and its events are not acknowledged yet.
    transaction(&mut feedback, 300, 320, 2);
    feedback.decided(7);
    feedback.keepalive(ms(3), ping(400, 0, false));
    feedback.acknowledge(at(300, 0)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(50));
    feedback.acknowledge(at(300, 1)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(400));

    // Rolled back.
    feedback.prepared(8, Lsn(450));
    feedback.keepalive(ms(4), ping(500, 0, false));
    assert_eq!(feedback.confirmed(), Lsn(450));
    feedback.decided(8);
    assert_eq!(feedback.confirmed(), Lsn(500));

    // Sent only now, though it was prepared long ago, or sent again: it holds nothing.
    feedback.prepared(9, Lsn(20));
    feedback.keepalive(ms(5), ping(600, 0, false));
    assert_eq!(feedback.confirmed(), Lsn(600));
    transaction(&mut feedback, 700, 720, 1);
    feedback.decided(9);
    feedback.acknowledge(at(700, 0)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(720));
}

#[test]
fn what_one_prepared_transaction_holds_does_not_split_another() {
    let mut feedback = connected();
    feedback.prepared(7, Lsn(50));
    feedback.prepared(8, Lsn(60));
    transaction(&mut feedback, 100, 120, 1);
    feedback.decided(7);
    feedback.acknowledge(at(100, 0)).unwrap();
    // From 60 on, the server would send what commits 7 and not its changes.
    assert_eq!(feedback.confirmed(), Lsn(50));
    feedback.connected(ms(1), INTERVAL);
    feedback.prepared(7, Lsn(50));
    feedback.prepared(8, Lsn(60));
    transaction(&mut feedback, 100, 120, 1);
    feedback.decided(7);
    feedback.keepalive(ms(2), ping(130, 0, false));
    assert_eq!(feedback.confirmed(), Lsn(50));
    // Rolled back: neither is in the way of the other any more.
    feedback.decided(8);
    assert_eq!(feedback.confirmed(), Lsn(130));
}

#[test]
fn a_start_ahead_is_not_confirmed_before_it_is_passed() {
    let mut feedback = Feedback::new(Lsn(50), INTERVAL);
    feedback.start(Lsn(10));
    feedback.connected(ms(0), INTERVAL);
    assert_eq!(feedback.from(), Lsn(50));
    assert_eq!(feedback.poll(ms(0)).unwrap().confirmed, Lsn(10));
    feedback.keepalive(ms(1), ping(49, 0, false));
    assert_eq!(feedback.confirmed(), Lsn(10));
    feedback.keepalive(ms(2), ping(60, 0, false));
    assert_eq!((feedback.confirmed(), feedback.from()), (Lsn(60), Lsn(60)));
}

#[test]
fn what_comes_after_a_halt_is_not_confirmed_but_acknowledging_goes_on() {
    let mut feedback = connected();
    transaction(&mut feedback, 100, 120, 1);
    feedback.halt();
    feedback.keepalive(ms(1), ping(200, 0, true));
    assert_eq!(feedback.deadline(), Duration::ZERO, "it wants an answer");
    feedback.acknowledge(at(100, 0)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(120));
    feedback.keepalive(ms(2), ping(300, 0, false));
    assert_eq!(feedback.confirmed(), Lsn(120));
}

#[test]
fn an_endless_interval_is_no_overflow() {
    let mut feedback = Feedback::new(Lsn(10), Duration::MAX);
    feedback.connected(ms(5), Duration::MAX);
    assert!(feedback.poll(ms(5)).is_some());
    assert_eq!(feedback.deadline(), ms(5) + ASK_EVERY);
}
