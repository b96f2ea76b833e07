//! Histories made by hand: good ones, and one for everything that can be wrong.

use super::*;
use crate::chaos::history::{Confirm, FAST_BEFORE_17, Unit};

/// A transaction of three events at 0/100, prepared between 0/50 and 0/60, one of one at 0/200, a
/// message of none that ends where the last transaction's commit begins, at 0/300.
fn committed() -> History {
    let unit = |lsn, xid, labels: &[&str]| Unit {
        lsn: Lsn(lsn),
        xid,
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
    };
    History {
        truth: vec![
            unit(0x100, 7, &["c a 1", "u a 2", "d a #1"]),
            unit(0x200, 8, &["c a 3"]),
            unit(0x300, 0, &["m 4"]),
            unit(0x300, 9, &["c a 5", "c a 6"]),
        ],
        confirmed_at_end: Lsn(0x400),
        ..History::default()
    }
}

/// One more reader, which finds the slot at `slot` and notes these lines.
fn reader(mut history: History, slot: u64, notes: &str) -> History {
    let notes = notes.lines().map(|line| line.trim().parse().unwrap());
    history.readers.push(Reader {
        slot: Lsn(slot),
        notes: notes.collect(),
    });
    history
}

fn confirm(mut history: History, at_us: u64, lsn: u64) -> History {
    let lsn = Lsn(lsn);
    history.confirms.push(Confirm { at_us, lsn });
    history
}

fn kinds(history: &History) -> Vec<Kind> {
    let violations = check(history).violations;
    violations.iter().map(|wrong| wrong.kind).collect()
}

const FIRST: &str = "10 start each
    11 event 0/100:1 c a 1
    12 event 0/100:2 u a 2
    13 event 0/100:3 d a #1
    14 acknowledge 0/100:3
    15 acknowledged 0/100:3";

const REST: &str = "20 start each
    21 event 0/200:1 c a 3
    22 event 0/300:0 m 4
    23 event 0/300:1 c a 5
    24 event 0/300:2 c a 6
    25 acknowledge 0/300:2
    26 acknowledged 0/300:2
    27 stopped";

#[test]
fn everything_in_order_is_right() {
    let history = reader(reader(committed(), 0, FIRST), 0x108, REST);
    let history = confirm(confirm(history, 16, 0x108), 28, 0x400);
    let verdict = check(&history);
    assert_eq!(verdict.violations, []);
    assert_eq!((verdict.events, verdict.duplicates), (7, 0));
}

#[test]
fn what_was_not_confirmed_may_come_again() {
    let history = reader(committed(), 0, FIRST);
    let all = format!("{}\n{}", FIRST.replace("10 start", "16 start"), &REST[14..]);
    let verdict = check(&reader(history, 0, &all));
    assert_eq!(verdict.violations, []);
    assert_eq!(verdict.duplicates, 3);
}

#[test]
fn a_gap_is_missing() {
    let cut = FIRST.replace("12 event 0/100:2 u a 2\n", "");
    let history = reader(reader(committed(), 0, &cut), 0x108, REST);
    assert_eq!(kinds(&history)[0], Kind::Missing);
}

#[test]
fn a_transaction_nobody_was_given_is_missing() {
    let cut = REST.replace("21 event 0/200:1 c a 3\n", "");
    let history = reader(reader(committed(), 0, FIRST), 0x108, &cut);
    assert_eq!(kinds(&history)[0], Kind::Missing);
    // At the beginning, in the middle of a reader, and at the end.
    let at_once = format!("{FIRST}\n{}", cut.replace("20 start each\n", ""));
    let history = reader(committed(), 0, &at_once);
    assert_eq!(kinds(&history)[0], Kind::Missing);
    let history = reader(committed(), 0, FIRST);
    assert_eq!(kinds(&history), [Kind::Missing]);
}

#[test]
fn what_was_given_but_not_acknowledged_must_come_again() {
    let taken = FIRST.replace("14 acknowledge 0/100:3", "14 acknowledge 0/100:2");
    let history = reader(reader(committed(), 0, &taken), 0x108, REST);
    assert_eq!(kinds(&history), [Kind::Missing]);
}

#[test]
fn a_swap_is_reordered() {
    let swapped = FIRST
        .replace("0/100:1 c a 1", "0/100:1 u a 2")
        .replace("0/100:2 u a 2", "0/100:2 c a 1");
    let swapped = reader(reader(committed(), 0, &swapped), 0x108, REST);
    assert_eq!(kinds(&swapped)[0], Kind::Missing);
    let back = FIRST.replace("0/100:3 d a #1", "0/100:1 u a 2");
    let history = reader(reader(committed(), 0, &back), 0x108, REST);
    assert_eq!(kinds(&history)[0], Kind::Reordered);
}

#[test]
fn the_same_twice_in_a_process_is_duplicated() {
    let twice = FIRST.replace("13 event", "13 event 0/100:2 u a 2\n13 event");
    let history = reader(reader(committed(), 0, &twice), 0x108, REST);
    assert_eq!(kinds(&history)[0], Kind::Duplicated);
}

#[test]
fn what_was_confirmed_may_not_come_again() {
    let history = reader(committed(), 0, FIRST);
    let again = format!("{}\n{}", FIRST.replace("10 start", "16 start"), &REST[14..]);
    let history = reader(history, 0x108, &again);
    assert_eq!(kinds(&history), [Kind::Duplicated]);
}

#[test]
fn what_was_rolled_back_is_leaked() {
    let leaked = FIRST.replace("13 event 0/100:3 d a #1", "13 event 0/100:3 c a 99");
    let history = reader(reader(committed(), 0, &leaked), 0x108, REST);
    assert_eq!(kinds(&history)[0], Kind::Leaked);
    let nowhere = REST.replace("21 event 0/200:1 c a 3", "21 event 0/180:1 c a 3");
    let history = reader(reader(committed(), 0, FIRST), 0x108, &nowhere);
    assert_eq!(kinds(&history)[0], Kind::Leaked);
}

#[test]
fn a_confirmation_ahead_of_the_acknowledgement_is_early() {
    let good = reader(reader(committed(), 0, FIRST), 0x108, REST);
    assert_eq!(
        kinds(&confirm(good.clone(), 13, 0x101)),
        [Kind::ConfirmedEarly]
    );
    assert_eq!(kinds(&confirm(good.clone(), 14, 0x101)), []);
    assert_eq!(
        kinds(&confirm(good.clone(), 24, 0x301)),
        [Kind::ConfirmedEarly]
    );
    // A server told where a message ends does not send it again.
    assert_eq!(kinds(&confirm(good, 21, 0x300)), [Kind::ConfirmedEarly]);
    // Where the message ends, the last transaction's commit begins.
    let by_message = REST.replace("23 event", "22 acknowledge 0/300:0\n23 event");
    let history = reader(reader(committed(), 0, FIRST), 0x108, &by_message);
    assert_eq!(kinds(&confirm(history.clone(), 23, 0x300)), []);
    assert_eq!(kinds(&confirm(history, 23, 0x301)), [Kind::ConfirmedEarly]);
}

#[test]
fn a_prepare_is_not_confirmed_before_its_transaction() {
    let mut good = reader(reader(committed(), 0, FIRST), 0x108, REST);
    good.prepared.push(Prepared {
        xid: 7,
        from: Lsn(0x50),
        to: Some(Lsn(0x60)),
        until: Some(Lsn(0x108)),
    });
    assert_eq!(kinds(&confirm(good.clone(), 12, 0x50)), []);
    assert_eq!(kinds(&confirm(good.clone(), 16, 0x101)), []);
    assert_eq!(
        kinds(&confirm(good.clone(), 12, 0x61)),
        [Kind::PrepareConfirmedEarly]
    );
    // Of one that is rolled back, nothing is needed.
    good.prepared[0].xid = 70;
    assert_eq!(kinds(&confirm(good, 12, 0x61)), []);
}

#[test]
fn after_a_clean_stop_nothing_acknowledged_comes_again() {
    let stopped = format!("{FIRST}\n16 stopped");
    let again = format!("{}\n{}", FIRST.replace("10 start", "17 start"), &REST[14..]);
    let history = reader(reader(committed(), 0, &stopped), 0, &again);
    assert_eq!(kinds(&history), [Kind::LastAcknowledgementLost]);
    // Unless the server crashed meanwhile.
    for (kind, wrong) in [
        ("server immediate", &[][..]),
        (FAST_BEFORE_17, &[]),
        ("server fast", &[Kind::LastAcknowledgementLost]),
    ] {
        let mut crashed = history.clone();
        crashed.faults.push(Fault {
            at_us: 17,
            kind: kind.to_owned(),
            wire: Wire::Between,
        });
        crashed.readers[1].notes[1].at_us = 18;
        assert_eq!(kinds(&crashed), wrong, "{kind}");
    }
    // Or a prepared transaction holds it back.
    let mut held = history.clone();
    held.prepared.push(Prepared {
        xid: 8,
        from: Lsn(0x90),
        to: None,
        until: Some(Lsn(0x208)),
    });
    assert_eq!(kinds(&held), []);
    // The last reader's too.
    let mut last = reader(reader(committed(), 0, FIRST), 0x108, REST);
    last.confirmed_at_end = Lsn(0x300);
    assert_eq!(kinds(&last), [Kind::LastAcknowledgementLost]);
}

#[test]
fn what_a_crash_made_the_server_forget_may_come_again() {
    // The slot stood behind it, when it was looked at.
    let again = format!("{}\n{}", FIRST.replace("10 start", "16 start"), &REST[14..]);
    let mut history = reader(reader(committed(), 0, FIRST), 0x108, &again);
    history.readers[1].notes[1].at_us = 18;
    assert_eq!(kinds(&history), [Kind::Duplicated]);
    history.faults.push(Fault {
        at_us: 17,
        kind: "promotion".to_owned(),
        wire: Wire::Between,
    });
    assert_eq!(kinds(&history), []);
}

#[test]
fn a_start_position_is_followed_by_what_comes_next() {
    let first = FIRST.replace("14 acknowledge 0/100:3\n    15 acknowledged 0/100:3", "");
    let from = |position: &str, rest: &str| {
        let start = format!("20 start each --start-position {position} --binary");
        let rest = rest.replace("20 start each", &start);
        kinds(&reader(reader(committed(), 0, first.trim()), 0, &rest))
    };
    assert_eq!(from("0/100:3", REST), []);
    let within = REST.replace("21 event", "21 event 0/100:3 d a #1\n21 event");
    assert_eq!(from("0/100:2", &within), []);
    assert_eq!(from("0/100:3", &within), [Kind::Duplicated]);
    assert_eq!(from("0/100:2", REST)[0], Kind::Missing);
    let gap = REST.replace("21 event 0/200:1 c a 3\n", "");
    assert_eq!(from("0/100:3", &gap)[0], Kind::Missing);
    // One that is given nothing has nothing to confirm it with.
    let nothing = "16 start each --start-position 0/100:3\n17 stopped";
    let history = reader(reader(committed(), 0, first.trim()), 0, nothing);
    let again = format!(
        "{}\n{}",
        first.trim().replace("10 start", "18 start"),
        &REST[14..]
    );
    assert_eq!(kinds(&reader(history, 0, &again)), []);
}

#[test]
fn an_error_nobody_called_for_is_a_failure() {
    let failed = |text: &str| {
        let first = format!("{FIRST}\n16 {text}");
        kinds(&reader(reader(committed(), 0, &first), 0x108, REST))
    };
    assert_eq!(failed("failed bug the stream's task ended"), [Kind::Failed]);
    assert_eq!(failed("failed transient connecting: refused"), []);
    let full = "failed caller cannot keep transaction 7 until it is decided";
    assert_eq!(failed(full), [Kind::Failed]);
    let starved = FIRST.replace("start each", "start each --stash-max 20000");
    let history = reader(committed(), 0, &format!("{starved}\n16 {full}"));
    assert_eq!(kinds(&reader(history, 0x108, REST)), []);
}

#[test]
fn a_fault_is_placed_by_link_and_reader() {
    let mut history = reader(reader(committed(), 0, FIRST), 0x108, REST);
    history.streamed.insert(9);
    let fault = |at_us, wire| Fault {
        at_us,
        kind: "cut".to_owned(),
        wire,
    };
    history.faults = vec![
        fault(9, Wire::Between),
        fault(11, Wire::Between),
        fault(13, Wire::Transaction),
        fault(14, Wire::Streamed),
        fault(23, Wire::Between),
        fault(30, Wire::Between),
    ];
    let stalls = "22 stalls".parse().unwrap();
    history.readers[1].notes.insert(2, stalls);
    let hits: Vec<_> = check(&history).hits.into_iter().collect();
    let cut = |place, count| ((place, "cut".to_owned()), count);
    let expected = [
        ((Place::Between, "consumer stalled".to_owned()), 1),
        cut(Place::Between, 2),
        cut(Place::Replay, 1),
        cut(Place::Streamed, 1),
        cut(Place::Transaction, 2),
    ];
    assert_eq!(hits, expected);
}

#[test]
fn a_history_is_read_as_it_was_written() {
    let folder = std::env::temp_dir().join(format!("chaos-history-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut history = reader(reader(committed(), 0, FIRST), 0x108, REST);
    history = confirm(history, 16, 0x108);
    history.streamed.insert(9);
    history.prepared.push(Prepared {
        xid: 7,
        from: Lsn(0x50),
        to: None,
        until: Some(Lsn(0x108)),
    });
    history.faults.push(Fault {
        at_us: 12,
        kind: "reader killed".to_owned(),
        wire: Wire::Streamed,
    });
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let mut truth = String::new();
    for unit in &history.truth {
        unit.write(&mut truth);
    }
    write("truth.log", &truth);
    write("slot.log", "reader-0 0/0\nreader-1 0/108\nend 0/400\n");
    for (index, reader) in history.readers.iter().enumerate() {
        let mut text = String::new();
        for note in &reader.notes {
            note.write(&mut text);
        }
        // The last line of one that was killed.
        text.push_str("28 event 0/4");
        write(&format!("reader-{index}.log"), &text);
    }
    write("confirm.log", "16 0/108\n");
    write("streamed.log", "9\n");
    write("prepared.log", &history.prepared[0].line());
    write("fault.log", &history.faults[0].line());
    let read = History::read(&folder).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(read, history);
}
