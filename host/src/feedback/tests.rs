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
    feedback.begin();
    for index in 0..events {
        feedback.event(at(commit, index));
    }
    feedback.commit(Lsn(commit), Lsn(end));
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
    feedback.begin();
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
    feedback.commit(Lsn(100), Lsn(120));
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
    feedback.acknowledge(at(190, 0)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(191));
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
    feedback.begin();
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
        feedback.begin();
        feedback.event(at(commit, 0));
        feedback.commit(Lsn(commit), Lsn(end));
        feedback.delivered([(Lsn(change), at(commit, 0))].into_iter());
    }
    feedback.acknowledge_lsn(Lsn(80)).unwrap();
    assert_eq!(feedback.confirmed(), Lsn(220));
}

#[test]
fn events_that_share_an_lsn_are_acknowledged_one_by_one() {
    let mut feedback = connected();
    feedback.begin();
    feedback.event(at(100, 1));
    feedback.commit(Lsn(100), Lsn(120));
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
    feedback.begin();
    feedback.event(at(200, 0));
    feedback.delivered([(Lsn(199), at(200, 0))].into_iter());
    feedback.connected(ms(5), INTERVAL);
    feedback.keepalive(ms(5), ping(90, 0, false));
    for (commit, end) in [(100, 120), (200, 220)] {
        feedback.begin();
        feedback.event(at(commit, 0));
        feedback.event(at(commit, 1));
        feedback.commit(Lsn(commit), Lsn(end));
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
fn what_was_told_is_known() {
    let mut feedback = connected();
    assert!(feedback.is_told());
    transaction(&mut feedback, 100, 120, 1);
    feedback.acknowledge(at(100, 0)).unwrap();
    assert!(!feedback.is_told());
    let farewell = feedback.farewell();
    feedback.told(farewell);
    assert!(feedback.is_told());
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

/// What really happened in a random run, kept apart from the state machine.
#[derive(Default)]
struct World {
    /// End LSN and last event of every transaction with events, by commit LSN.
    transactions: BTreeMap<u64, (u64, Position)>,
    acknowledged: Option<Position>,
}

impl World {
    /// No unacknowledged event may end at or before what is confirmed.
    fn allows(&self, confirmed: Lsn) -> bool {
        self.transactions
            .values()
            .filter(|(end, _)| *end <= confirmed.0)
            .all(|(_, last)| Some(*last) <= self.acknowledged)
    }
}

#[test]
fn random_runs_never_confirm_what_is_not_acknowledged_and_always_get_on() {
    for seed in 0..400 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut feedback = connected();
        let mut world = World::default();
        let mut now = ms(0);
        let mut lsn = 20_u64;
        let mut last_confirmed = Lsn(0);
        let mut undelivered: VecDeque<(Lsn, Position)> = VecDeque::new();
        let mut delivered: Option<Position> = None;
        for _ in 0..300 {
            now += ms(random.random_range(0..400));
            match random.random_range(0..10) {
                0..4 => {
                    // A transaction, cut by a reconnection now and then and sent again whole.
                    let (commit, end) = (lsn + 50, lsn + 60);
                    let events = random.random_range(0..4_u32);
                    let cut = random.random_range(0..8) == 0;
                    let mut known = 0;
                    if cut {
                        known = random.random_range(0..=events);
                        feedback.begin();
                        for index in 0..known {
                            feedback.event(at(commit, index));
                            undelivered.push_back((Lsn(lsn + 1), at(commit, index)));
                        }
                        feedback.connected(now, INTERVAL);
                        feedback.keepalive(now, ping(lsn, 0, random.random()));
                        assert!(world.allows(feedback.confirmed()), "seed {seed}");
                    }
                    feedback.begin();
                    for index in 0..events {
                        feedback.event(at(commit, index));
                        if index >= known {
                            undelivered.push_back((Lsn(lsn + 1), at(commit, index)));
                        }
                    }
                    if let Some(last) = events.checked_sub(1) {
                        world.transactions.insert(commit, (end, at(commit, last)));
                    }
                    feedback.commit(Lsn(commit), Lsn(end));
                    feedback.received(now, Lsn(commit));
                    lsn = end;
                }
                4 => {
                    lsn += 10;
                    feedback.event(at(lsn, 0));
                    undelivered.push_back((Lsn(lsn), at(lsn, 0)));
                    world.transactions.insert(lsn, (lsn + 1, at(lsn, 0)));
                    lsn += 10;
                }
                5 => {
                    lsn += 100;
                    feedback.keepalive(now, ping(lsn, 0, random.random()));
                }
                6..8 => {
                    let count = random.random_range(0..=undelivered.len());
                    let batch: Vec<_> = undelivered.drain(..count).collect();
                    delivered = batch.last().map(|(_, position)| *position).or(delivered);
                    feedback.delivered(batch.into_iter());
                }
                _ => {
                    let Some(last) = delivered else { continue };
                    let commit_lsn = last
                        .commit_lsn
                        .0
                        .saturating_sub(random.random_range(0..300));
                    let position = last.min(at(commit_lsn, random.random_range(0..4)));
                    world.acknowledged = world.acknowledged.max(Some(position));
                    feedback.acknowledge(position).unwrap();
                }
            }
            let confirmed = feedback.confirmed();
            assert!(confirmed >= last_confirmed, "seed {seed}: fell");
            assert!(
                world.allows(confirmed),
                "seed {seed}: {confirmed} is not acknowledged"
            );
            last_confirmed = confirmed;
            if let Some(update) = feedback.poll(now) {
                assert_eq!(update.confirmed, confirmed);
                assert!(update.received >= update.confirmed, "seed {seed}");
            }
            assert!(
                feedback.deadline() > now,
                "seed {seed}: says it has something to say"
            );
            assert!(feedback.deadline() <= now + INTERVAL);
        }
        // Everything delivered and acknowledged, then silence: confirmed reaches the end of WAL.
        let rest: Vec<_> = undelivered.drain(..).collect();
        delivered = rest.last().map(|(_, position)| *position).or(delivered);
        feedback.delivered(rest.into_iter());
        if let Some(last) = delivered {
            feedback.acknowledge(last).unwrap();
        }
        let asked = (0..3).any(|_| {
            now = feedback.deadline().max(now);
            feedback.poll(now).is_some_and(|update| update.reply)
        });
        assert!(asked, "seed {seed}: nobody asked");
        feedback.keepalive(now, ping(lsn + 1000, 0, false));
        assert_eq!(feedback.confirmed(), Lsn(lsn + 1000), "seed {seed}");
    }
}
