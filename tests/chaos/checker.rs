//! Compares what readers were given and what the server was told with what was committed. A pure
//! function of a [`History`].
//!
//! What must hold: every reader is given a run of consecutive events, without a gap, a swap or a
//! repetition, that begins with a transaction and no later than behind what had been acknowledged;
//! the last one reaches the end. A reader is given nothing of a transaction that the slot had been
//! confirmed past, nor, after a clean stop, anything of one that was acknowledged whole; one with a
//! start position is given what comes next, and nothing else. And the
//! server is never told to forget a transaction before all of it was acknowledged, nor a PREPARE
//! before its transaction was.
#![expect(
    clippy::indexing_slicing,
    reason = "units and events are counted once, and by that alone looked up"
)]

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use pgoutput_decoder_host::{Lsn, Position};

use super::history::{
    BACKEND_KILLED, CRASHES, Fault, History, Place, Prepared, Reader, What, Wire,
};

#[cfg(test)]
mod tests;

/// What the comparison came to.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What must not be.
    pub violations: Vec<Violation>,
    /// Events of the history.
    pub events: usize,
    /// Events that were given again to a later reader, all inside the stated window.
    pub duplicates: usize,
    /// Where each fault hit.
    pub hits: BTreeMap<(Place, String), usize>,
}

/// Something that must not be, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What it is.
    pub kind: Kind,
    /// Which reader, counted from 0; of a confirmation, the last that had begun.
    pub reader: usize,
    /// For people.
    pub text: String,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The server was told to forget what had not been acknowledged.
    ConfirmedEarly,
    /// Given again by the same process, or outside the window.
    Duplicated,
    /// A process ended with an error that nothing called for.
    Failed,
    /// Never committed, or taken back.
    Leaked,
    /// After a clean stop the slot had not been confirmed past what was acknowledged.
    LastAcknowledgementLost,
    /// Never given.
    Missing,
    /// A PREPARE was confirmed before its transaction was acknowledged.
    PrepareConfirmedEarly,
    /// Given behind what came after it.
    Reordered,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (reader {}): {}", self.kind, self.reader, self.text)
    }
}

/// Compares.
pub fn check(history: &History) -> Verdict {
    let mut checker = Checker::new(history);
    for (index, reader) in history.readers.iter().enumerate() {
        checker.read(index, reader);
    }
    checker.end();
    checker.confirms();
    checker.place_faults();
    checker.verdict
}

struct Checker<'a> {
    history: &'a History,
    /// For each unit, how many events lie before it; one more for the end.
    before: Vec<usize>,
    /// Where an event stands in the truth, once one was given.
    known: HashMap<Position, usize>,
    /// How many events, counted from the first, were acknowledged, and since when.
    acknowledged: Vec<(u64, usize)>,
    /// How many events, counted from the first, had been given to the reader, and when.
    given: Vec<(u64, usize)>,
    /// When each reader began.
    began: Vec<u64>,
    /// The furthest any reader has come.
    furthest: usize,
    /// When a reader stopped cleanly and what was acknowledged then, unless another came since.
    clean: Option<(u64, usize)>,
    /// What readers did to themselves.
    stalls: Vec<Fault>,
    verdict: Verdict,
}

impl<'a> Checker<'a> {
    fn new(history: &'a History) -> Self {
        let mut before = vec![0];
        for unit in &history.truth {
            before.push(before[before.len() - 1] + unit.labels.len());
        }
        let events = before[before.len() - 1];
        Self {
            history,
            before,
            known: HashMap::new(),
            acknowledged: vec![(0, 0)],
            given: vec![(0, 0)],
            began: Vec::new(),
            furthest: 0,
            clean: None,
            stalls: Vec::new(),
            verdict: Verdict {
                events,
                ..Verdict::default()
            },
        }
    }

    /// Follows one reader through the truth.
    fn read(&mut self, index: usize, reader: &Reader) {
        let began = reader.notes.first().map_or(0, |note| note.at_us);
        self.began.push(began);
        let clean = self.clean.take();
        // What comes next; none before the first event, and after a violation.
        let mut next = None;
        let mut last: Option<Position> = None;
        let mut lost = false;
        // The most this process acknowledged by itself.
        let mut own = 0;
        let mut arguments = "";
        for note in &reader.notes {
            match &note.what {
                What::Start { arguments: given } => {
                    arguments = given;
                    // It counts as acknowledged, and what comes is what follows it. Confirmed it
                    // is with something behind it, which need not come before a stop.
                    if let Some(position) = start_position(given)
                        && let Some(&at) = self.known.get(&position)
                    {
                        self.acknowledge(note.at_us, at);
                        next = Some(at + 1);
                        last = Some(position);
                    }
                }
                What::Event(..) if lost => {}
                What::Event(position, label) => {
                    let expected = match next {
                        Some(next) => Ok(next),
                        None => self.first(index, note.at_us, *position, reader.slot, clean),
                    };
                    let found =
                        expected.and_then(|next| self.follow(index, next, last, *position, label));
                    match found {
                        Ok(at) => {
                            self.known.insert(*position, at);
                            self.verdict.duplicates += usize::from(at < self.furthest);
                            self.furthest = self.furthest.max(at + 1);
                            self.given.push((note.at_us, at + 1));
                            next = Some(at + 1);
                            last = Some(*position);
                        }
                        Err(violation) => {
                            self.verdict.violations.push(violation);
                            lost = true;
                        }
                    }
                }
                What::Acknowledge(position) => {
                    if let Some(&at) = self.known.get(position) {
                        self.acknowledge(note.at_us, at);
                        own = own.max(at + 1);
                    }
                }
                What::Stalls => {
                    let at_us = note.at_us;
                    self.stalls.push(Fault {
                        at_us,
                        kind: "consumer stalled".to_owned(),
                        wire: Wire::Between,
                    });
                }
                What::Acknowledged(_) | What::Unsent => {}
                What::Failed { class, text } => {
                    let full = arguments.contains("stash") && text.contains("cannot keep");
                    if class != "transient" && !full {
                        self.wrong(Kind::Failed, index, text.clone());
                    }
                }
                What::Stopped => {
                    self.clean = Some((note.at_us, own));
                }
            }
        }
    }

    /// Where a reader begins whose first event has this position.
    fn first(
        &mut self,
        index: usize,
        at_us: u64,
        position: Position,
        slot: Lsn,
        clean: Option<(u64, usize)>,
    ) -> Result<usize, Violation> {
        let violation = |kind, text| Violation {
            kind,
            reader: index,
            text,
        };
        let Some(unit) = self.unit(position) else {
            let text = format!("begins with {position}, where nothing was committed");
            return Err(violation(Kind::Leaked, text));
        };
        let (at, began) = (self.before[unit], self.began[index]);
        let acknowledged = self.acknowledged_at(began);
        if at > acknowledged {
            let text = format!(
                "begins with {position}, event {at}; acknowledged were {acknowledged}: {}",
                self.label(acknowledged)
            );
            return Err(violation(Kind::Missing, text));
        }
        if position.commit_lsn < slot {
            if !self.crashed(began, at_us) {
                let text = format!("{position} comes again, confirmed was {slot}");
                self.wrong(Kind::Duplicated, index, text);
            }
        } else if let Some((stopped, acknowledged)) = clean
            && self.before[unit + 1] <= acknowledged
            && !self.may_come_again(unit, stopped, at_us)
        {
            let text = format!("{position} comes again after a clean stop, {slot} was confirmed");
            self.wrong(Kind::LastAcknowledgementLost, index, text);
        }
        Ok(at)
    }

    /// Where in the truth an event is that should be the one at `next`.
    fn follow(
        &self,
        index: usize,
        next: usize,
        last: Option<Position>,
        position: Position,
        label: &str,
    ) -> Result<usize, Violation> {
        let violation = |kind, text| {
            Err(Violation {
                kind,
                reader: index,
                text,
            })
        };
        let Some(unit) = self.unit(position) else {
            let text = format!("{position} {label}: nothing was committed there");
            return violation(Kind::Leaked, text);
        };
        let is = |at: usize| {
            (self.before[unit]..self.before[unit + 1]).contains(&at) && self.label(at) == label
        };
        if last.is_none_or(|last| position > last) && is(next) {
            return Ok(next);
        }
        let expected = self.label(next);
        let text = format!("{position} {label}, where event {next}, {expected}, is expected");
        if last.is_some_and(|last| position <= last) {
            let again = self.known.get(&position).is_some_and(|at| is(*at));
            let kind = if again {
                Kind::Duplicated
            } else {
                Kind::Reordered
            };
            return violation(kind, text);
        }
        let mut within = self.before[unit]..self.before[unit + 1];
        let kind = match within.find(|at| self.label(*at) == label) {
            Some(at) if at > next => Kind::Missing,
            Some(_) => Kind::Reordered,
            None => Kind::Leaked,
        };
        violation(kind, text)
    }

    /// Whether everything has come, and been confirmed.
    fn end(&mut self) {
        let last = self.history.readers.len().saturating_sub(1);
        let given = self.given[self.given.len() - 1].1;
        let lost = !self.verdict.violations.is_empty();
        if given < self.verdict.events && !lost {
            let text = format!(
                "{given} of {} events came; next were {}",
                self.verdict.events,
                self.label(given)
            );
            self.wrong(Kind::Missing, last, text);
        }
        // As if one more reader began now.
        if let Some((stopped, acknowledged)) = self.clean
            && let Some(unit) = self
                .before
                .partition_point(|at| *at <= acknowledged)
                .checked_sub(2)
            && let Some(told) = self.history.truth.get(unit)
            && !told.is_before(self.history.confirmed_at_end)
            && !self.may_come_again(unit, stopped, u64::MAX)
        {
            let text = format!(
                "{} was acknowledged, the slot was left at {}",
                told.lsn, self.history.confirmed_at_end
            );
            self.wrong(Kind::LastAcknowledgementLost, last, text);
        }
    }

    /// Whether a transaction that was acknowledged before a clean stop may come again: the server
    /// forgot, or a prepared transaction holds what was confirmed back.
    fn may_come_again(&self, unit: usize, stopped: u64, until: u64) -> bool {
        let lsn = self.history.truth[unit].lsn;
        self.crashed(stopped, until)
            || self.history.prepared.iter().any(|held| {
                let decided = held.until.unwrap_or(Lsn(u64::MAX));
                let pending = self
                    .committed(held)
                    .is_some_and(|unit| self.before[unit + 1] > self.acknowledged_at(stopped));
                held.from < lsn && (lsn < decided || pending)
            })
    }

    /// Whether the server may have forgotten then how far its slot was confirmed.
    fn crashed(&self, from: u64, until: u64) -> bool {
        // From a backend's death to the server's, some time passes.
        let time = from.saturating_sub(CRASH_US)..until;
        let mut faults = self.history.faults.iter();
        faults.any(|fault| {
            let late = fault.kind == BACKEND_KILLED || fault.at_us >= from;
            CRASHES.contains(&fault.kind.as_str()) && late && time.contains(&fault.at_us)
        })
    }

    /// Compares what the server was told with what had been acknowledged.
    fn confirms(&mut self) {
        let mut highest = Lsn(0);
        for confirm in &self.history.confirms {
            if confirm.lsn <= highest {
                continue;
            }
            highest = confirm.lsn;
            let acknowledged = self.acknowledged_at(confirm.at_us);
            let units = self
                .history
                .truth
                .partition_point(|unit| unit.is_before(confirm.lsn));
            let reader = self.began.partition_point(|began| *began <= confirm.at_us);
            let reader = reader.saturating_sub(1);
            if self.before[units] > acknowledged {
                let text = format!(
                    "{} was confirmed when {acknowledged} of the {} events before were dealt with",
                    confirm.lsn, self.before[units]
                );
                self.wrong(Kind::ConfirmedEarly, reader, text);
                break;
            }
            let early = self.history.prepared.iter().find(|held| {
                held.to.is_some_and(|to| to < confirm.lsn)
                    && self.committed(held).is_some_and(|unit| {
                        let events = self.before[unit]..self.before[unit + 1];
                        !events.is_empty() && events.end > acknowledged
                    })
            });
            if let Some(held) = early {
                let text = format!(
                    "{} was confirmed before transaction {} was, prepared behind {}",
                    confirm.lsn, held.xid, held.from
                );
                self.wrong(Kind::PrepareConfirmedEarly, reader, text);
                break;
            }
        }
    }

    fn place_faults(&mut self) {
        for fault in self.history.faults.iter().chain(&self.stalls) {
            let place = self.place(fault);
            let key = (place, fault.kind.clone());
            *self.verdict.hits.entry(key).or_default() += 1;
        }
    }

    /// Where a fault hit: the link tells, and the reader where it was behind the link.
    fn place(&self, fault: &Fault) -> Place {
        if fault.wire == Wire::Streamed {
            return Place::Streamed;
        }
        let given = self.given.partition_point(|(at, _)| *at <= fault.at_us);
        let given = self.given[given.saturating_sub(1)].1;
        let unit = self.before.partition_point(|at| *at <= given);
        let unit = unit.saturating_sub(1);
        let inside = self.before[unit] < given && unit < self.history.truth.len();
        match inside.then(|| self.history.truth[unit].xid) {
            Some(xid) if self.history.streamed.contains(&xid) => Place::Replay,
            Some(_) => Place::Transaction,
            None if fault.wire == Wire::Transaction => Place::Transaction,
            None => Place::Between,
        }
    }

    fn committed(&self, held: &Prepared) -> Option<usize> {
        self.history
            .truth
            .iter()
            .position(|unit| unit.xid == held.xid)
    }

    /// The unit an event of this position is of. Where a message of no transaction ends, the
    /// commit of one may begin: they share an LSN, and the message is its beginning.
    fn unit(&self, position: Position) -> Option<usize> {
        let truth = &self.history.truth;
        let first = truth.partition_point(|unit| unit.lsn < position.commit_lsn);
        let here = |at: &usize| {
            truth
                .get(*at)
                .is_some_and(|unit| unit.lsn == position.commit_lsn)
        };
        let is_message = (position.index, position.sub) == (0, 0);
        (first..first + 2)
            .filter(here)
            .find(|at| (truth[*at].xid == 0) == is_message)
    }

    fn label(&self, at: usize) -> &str {
        let unit = self.before.partition_point(|before| *before <= at);
        let unit = unit.saturating_sub(1);
        let labels = self.history.truth.get(unit).map(|unit| &unit.labels);
        let label = labels.and_then(|labels| labels.get(at - self.before[unit]));
        label.map_or("nothing", String::as_str)
    }

    fn acknowledge(&mut self, at_us: u64, at: usize) {
        let so_far = self.acknowledged_at(u64::MAX);
        self.acknowledged.push((at_us, so_far.max(at + 1)));
    }

    fn acknowledged_at(&self, at_us: u64) -> usize {
        let since = self.acknowledged.partition_point(|(at, _)| *at <= at_us);
        self.acknowledged[since.saturating_sub(1)].1
    }

    fn wrong(&mut self, kind: Kind, reader: usize, text: String) {
        self.verdict
            .violations
            .push(Violation { kind, reader, text });
    }
}

/// Of a reader's arguments.
fn start_position(arguments: &str) -> Option<Position> {
    let (_, rest) = arguments.split_once("--start-position ")?;
    rest.split(' ').next()?.parse().ok()
}

/// How long a server may take to notice that a backend died.
const CRASH_US: u64 = 1_000_000;
