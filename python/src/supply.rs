//! Events on their way from the pump to consumers: what is decoded and not handed out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pgoutput_decoder_host::{Batch, Event, Lsn};

/// How much is fetched ahead: a batch more than fits. Whoever handed each over by itself would have
/// threads wake each other for each.
const AHEAD_BYTES: usize = 512 * 1024;

/// In the order of the stream: what was gathered, then `current`, then `ready`.
#[derive(Default)]
pub(crate) struct Supply {
    /// Taken together and not handed out yet: for a batch or a transaction that is not complete,
    /// or whose consumer was cancelled.
    gathered: VecDeque<Event>,
    gathered_bytes: usize,
    current: Option<Batch>,
    /// The index in `current` of the next event.
    next: usize,
    /// Fetched ahead.
    ready: VecDeque<Batch>,
    ready_bytes: usize,
    /// Commit LSN of the last transaction whose events are all here, or were.
    ended: Option<Lsn>,
}

/// How much a batch may be.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// At least 1.
    pub(crate) events_max: usize,
    /// Of the events' JSON. A batch has at least one event, however large.
    pub(crate) bytes_max: usize,
    /// How long events may wait for others.
    pub(crate) wait: Duration,
}

/// What there is of a transaction.
pub(crate) enum Part {
    Whole(Vec<Event>),
    /// As many events as may be held; there are more.
    Beginning(Vec<Event>),
    /// Not enough to say.
    Unknown,
}

/// The next event of a transaction.
pub(crate) enum OfTransaction {
    Event(Event),
    End,
    Unknown,
}

impl Supply {
    pub(crate) fn has_room(&self) -> bool {
        self.ready_bytes < AHEAD_BYTES
    }

    /// Whether nothing was fetched ahead.
    pub(crate) fn has_none_ready(&self) -> bool {
        self.ready.is_empty()
    }

    /// Whether it is time to fetch more, once there was no room.
    pub(crate) fn is_low(&self) -> bool {
        self.ready_bytes < AHEAD_BYTES / 2
    }

    /// Takes a batch, for which there is room; whether there is anything new for who waits for
    /// events.
    pub(crate) fn offer(&mut self, batch: Batch) -> bool {
        self.ended = self.ended.max(batch.last_commit());
        if batch.is_empty() {
            return false;
        }
        self.ready_bytes += batch.bytes();
        self.ready.push_back(batch);
        true
    }

    /// Whether the next event is the first one of a batch.
    pub(crate) fn is_at_boundary(&self) -> bool {
        self.gathered.is_empty() && !self.ready.is_empty() && self.is_used_up()
    }

    /// The next event.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        if let Some(event) = self.gathered.pop_front() {
            self.gathered_bytes -= bytes(&event);
            return Some(event);
        }
        let event = self.peek()?;
        self.next += 1;
        Some(event)
    }

    /// Events up to the bounds, if there are as many; else what there is from `deadline` on, which
    /// is set when the first is there. With `hurry` at once.
    pub(crate) fn batch(
        &mut self,
        bounds: Bounds,
        now: Instant,
        deadline: &mut Option<Instant>,
        hurry: bool,
    ) -> Vec<Event> {
        let is_full = loop {
            if self.gathered.len() >= bounds.events_max || self.gathered_bytes >= bounds.bytes_max {
                break true;
            }
            if !self.gather() {
                break false;
            }
        };
        if self.gathered.is_empty() {
            return Vec::new();
        }
        let due = *deadline.get_or_insert(now + bounds.wait);
        if !is_full && !hurry && now < due {
            return Vec::new();
        }
        let mut room = bounds.bytes_max;
        let fits = self.gathered.iter().take_while(|event| {
            let before = room;
            room = room.saturating_sub(bytes(event));
            before == bounds.bytes_max || bytes(event) <= before
        });
        let count = fits.take(bounds.events_max).count();
        self.take(count)
    }

    /// The next transaction, of which no more than `events_max` events are held.
    pub(crate) fn transaction(&mut self, events_max: usize) -> Part {
        if self.gathered.is_empty() {
            self.gather();
        }
        let Some(first) = self.gathered.front() else {
            return Part::Unknown;
        };
        let commit_lsn = first.position().commit_lsn;
        if !first.transactional() {
            return Part::Whole(self.take(1));
        }
        // Transactions come one after the other.
        let mut count = match self.gathered.back() {
            Some(last) if is_of(last, commit_lsn) => self.gathered.len(),
            _ => self
                .gathered
                .iter()
                .take_while(|event| is_of(event, commit_lsn))
                .count(),
        };
        let has_more = loop {
            if count < self.gathered.len() {
                break false;
            }
            match self.peek() {
                Some(event) if !is_of(&event, commit_lsn) => break false,
                Some(_) if count >= events_max => break true,
                Some(_) => {
                    self.gather();
                    count += 1;
                }
                None if self.ended >= Some(commit_lsn) => break false,
                None => return Part::Unknown,
            }
        };
        if has_more || count > events_max {
            return Part::Beginning(self.take(events_max));
        }
        Part::Whole(self.take(count))
    }

    /// The next event if it is of this transaction.
    pub(crate) fn of_transaction(&mut self, commit_lsn: Lsn) -> OfTransaction {
        let next = self.gathered.front().cloned();
        match next.or_else(|| self.peek()) {
            Some(event) if is_of(&event, commit_lsn) => self
                .pop()
                .map_or(OfTransaction::Unknown, OfTransaction::Event),
            Some(_) => OfTransaction::End,
            None if self.ended >= Some(commit_lsn) => OfTransaction::End,
            None => OfTransaction::Unknown,
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn is_used_up(&self) -> bool {
        self.current
            .as_ref()
            .is_none_or(|batch| self.next >= batch.len())
    }

    /// The next event that is not gathered.
    fn peek(&mut self) -> Option<Event> {
        if self.is_used_up()
            && let Some(batch) = self.ready.pop_front()
        {
            self.ready_bytes -= batch.bytes();
            self.current = Some(batch);
            self.next = 0;
        }
        self.current.as_ref()?.event(self.next)
    }

    fn gather(&mut self) -> bool {
        let Some(event) = self.peek() else {
            return false;
        };
        self.next += 1;
        self.gathered_bytes += bytes(&event);
        self.gathered.push_back(event);
        true
    }

    fn take(&mut self, count: usize) -> Vec<Event> {
        let taken: Vec<Event> = self.gathered.drain(..count).collect();
        self.gathered_bytes -= taken.iter().map(bytes).sum::<usize>();
        taken
    }
}

fn bytes(event: &Event) -> usize {
    event.value().map_or(0, str::len)
}

fn is_of(event: &Event, commit_lsn: Lsn) -> bool {
    event.transactional() && event.position().commit_lsn == commit_lsn
}
