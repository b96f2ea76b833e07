//! Who a server is, and whether what came from one may be continued on another: by its system
//! identifier and by the history of its timelines. Sans I/O.
//!
//! Theory of operation. A cluster's WAL is a tree: recovery that ends, as a standby's does when it
//! is promoted, begins a new timeline at the LSN where it left the former one. Two servers have
//! the same WAL up to where their lineages part, and different WAL, at the same LSNs, from there
//! on. So a stream goes on where everything handed over lies before that fork. What was confirmed
//! beyond it held no event on the former timeline, but may on the new one: it is not confirmed any
//! more. What was handed over beyond it has never happened, as far as the new timeline goes, and
//! what happened instead would be taken for known: that is an error.

use crate::error::Error;
use crate::lsn::Lsn;
use crate::records::Position;

/// What a server says of itself in a session that is to stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) system_identifier: String,
    pub(crate) lineage: Lineage,
    /// Where its WAL ends.
    pub(crate) xlogpos: Lsn,
    /// It is a standby.
    pub(crate) in_recovery: bool,
    /// `pg_postmaster_start_time()`: with the system identifier, this very server process.
    pub(crate) started_at: String,
}

/// A timeline and those it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lineage {
    pub(crate) timeline: u32,
    /// Those before it, oldest first, each with the LSN at which it was left. `None` where the
    /// server does not have the history any more.
    ancestors: Option<Vec<(u32, Lsn)>>,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    /// The last event handed over, or passed over because it was asked to be.
    pub(crate) handed: Option<Position>,
    /// Everything handed over lies in the WAL before it.
    pub(crate) end: Lsn,
    pub(crate) confirmed: Lsn,
}

impl Identity {
    /// Whether a stream that came to `reached` here may go on at `found`. Returns the LSN behind
    /// which the two differ, if they do.
    pub(crate) fn recognize(&self, found: &Self, reached: Reached) -> Result<Option<Lsn>, Error> {
        if self.system_identifier != found.system_identifier {
            return Err(Error::ServerChanged {
                expected: self.system_identifier.clone(),
                found: found.system_identifier.clone(),
            });
        }
        // A standby goes on streaming when it is promoted: what it sent is its own history.
        let fork = if self.started_at == found.started_at {
            None
        } else {
            self.lineage.fork(&found.lineage)
        };
        let Some(fork) = fork else {
            found.reaches(reached.end.max(reached.confirmed))?;
            return Ok(None);
        };
        let (expected, timeline) = (self.lineage.timeline, found.lineage.timeline);
        if let Some(handed) = reached.handed
            && reached.end > fork
        {
            return Err(Error::TimelineChanged {
                expected,
                found: timeline,
                fork,
                handed,
            });
        }
        if self.lineage.comes_from(timeline) {
            return Err(Error::TimelineFormer {
                reached: expected,
                found: timeline,
            });
        }
        found.reaches(reached.end.max(reached.confirmed.min(fork)))?;
        Ok(Some(fork))
    }

    /// An error if this server's WAL ends before `known`, which a stream has come to.
    pub(crate) fn reaches(&self, known: Lsn) -> Result<(), Error> {
        let found = self.xlogpos;
        if known <= found {
            return Ok(());
        }
        Err(if self.in_recovery {
            Error::StandbyBehind { known, found }
        } else {
            Error::ServerRewound { known, found }
        })
    }
}

impl Lineage {
    /// Timeline `timeline` with the contents of its history file, where there is one.
    pub(crate) fn new(timeline: u32, history: Option<&str>) -> Result<Self, Error> {
        let ancestors = match history {
            None if timeline == 1 => Some(Vec::new()),
            None => None,
            Some(history) => Some(parse(history).ok_or_else(|| {
                Error::protocol(format!("the history of timeline {timeline} cannot be read"))
            })?),
        };
        Ok(Self {
            timeline,
            ancestors,
        })
    }

    /// The LSN up to which `self` and `other` are the same; `None` where neither ends.
    pub(crate) fn fork(&self, other: &Self) -> Option<Lsn> {
        let (Some(ours), Some(theirs)) = (&self.ancestors, &other.ancestors) else {
            // Nothing is known but the numbers.
            return (self.timeline != other.timeline).then_some(Lsn(0));
        };
        let whole = |ancestors: &[(u32, Lsn)], timeline| {
            let own = (timeline, Lsn(u64::MAX));
            ancestors.iter().copied().chain([own]).collect::<Vec<_>>()
        };
        let ours = whole(ours, self.timeline);
        let theirs = whole(theirs, other.timeline);
        let mut common = Lsn(0);
        for ((our_timeline, our_end), (their_timeline, their_end)) in ours.into_iter().zip(theirs) {
            if our_timeline != their_timeline {
                return Some(common);
            }
            if our_end != their_end {
                return Some(our_end.min(their_end));
            }
            common = our_end;
        }
        None
    }

    fn comes_from(&self, timeline: u32) -> bool {
        let ancestors = self.ancestors.iter().flatten();
        ancestors.into_iter().any(|(older, _)| *older == timeline)
    }
}

/// A history file: a line for each ancestor with its number, the LSN where it was left, and why
/// (`readTimeLineHistory`, timeline.c).
fn parse(history: &str) -> Option<Vec<(u32, Lsn)>> {
    let lines = history.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split_ascii_whitespace();
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(timeline: u32, history: &str) -> Lineage {
        Lineage::new(timeline, (timeline > 1).then_some(history)).unwrap()
    }

    fn server(lineage: Lineage, xlogpos: u64) -> Identity {
        let started_at = format!("{lineage:?} {xlogpos}");
        Identity {
            system_identifier: "7".to_owned(),
            lineage,
            xlogpos: Lsn(xlogpos),
            in_recovery: false,
            started_at,
        }
    }

    fn reached(end: u64, confirmed: u64) -> Reached {
        Reached {
            handed: Some(Position {
                commit_lsn: Lsn(end - 1),
                index: 1,
                sub: 0,
            }),
            end: Lsn(end),
            confirmed: Lsn(confirmed),
        }
    }

    const SECOND: &str = "1\t0/500\tno recovery target specified\n";
    const THIRD: &str = "# by hand\n1\t0/500\tno recovery target specified\n\n2\t0/900\tbefore\n";

    #[test]
    fn lineages_part_where_one_was_left() {
        let (first, second) = (lineage(1, ""), lineage(2, SECOND));
        let third = lineage(3, THIRD);
        let sibling = lineage(2, "1\t0/600\tanother standby\n");
        for (ours, theirs, fork) in [
            (&first, &first, None),
            (&first, &second, Some(0x500)),
            (&first, &third, Some(0x500)),
            (&second, &third, Some(0x900)),
            (&third, &third, None),
            (&second, &sibling, Some(0x500)),
            (&third, &sibling, Some(0x500)),
        ] {
            assert_eq!(ours.fork(theirs), fork.map(Lsn), "{ours:?} {theirs:?}");
            assert_eq!(theirs.fork(ours), fork.map(Lsn), "{theirs:?} {ours:?}");
        }
        let unknown = Lineage::new(3, None).unwrap();
        assert_eq!(unknown.fork(&third), None);
        assert_eq!(unknown.fork(&second), Some(Lsn(0)));
        assert!(Lineage::new(2, Some("1 nonsense")).is_err());
    }

    #[test]
    fn a_stream_goes_on_where_all_it_handed_over_lies_before_the_fork() {
        let former = server(lineage(1, ""), 0x700);
        let promoted = server(lineage(2, SECOND), 0x520);
        for (end, confirmed, fork) in [
            (0x100, 0x100, Some(Some(0x500))),
            (0x500, 0x500, Some(Some(0x500))),
            // The former server's WAL held no events from there on.
            (0x4F0, 0x600, Some(Some(0x500))),
            (0x501, 0x100, None),
        ] {
            let recognized = former.recognize(&promoted, reached(end, confirmed));
            match fork {
                Some(fork) => assert_eq!(recognized.unwrap(), fork.map(Lsn)),
                None => assert!(matches!(
                    recognized,
                    Err(Error::TimelineChanged { expected: 1, found: 2, fork, .. })
                        if fork == Lsn(0x500)
                )),
            }
        }
    }

    #[test]
    fn the_same_standby_after_its_promotion_is_its_own_history() {
        let standby = server(lineage(1, ""), 0x700);
        let mut promoted = server(lineage(2, SECOND), 0x800);
        promoted.started_at.clone_from(&standby.started_at);
        let recognized = standby.recognize(&promoted, reached(0x780, 0x780));
        assert_eq!(recognized.unwrap(), None);
    }

    #[test]
    fn another_cluster_an_earlier_end_and_a_former_primary_are_told_apart() {
        let primary = server(lineage(2, SECOND), 0x700);
        let mut other = primary.clone();
        other.system_identifier = "8".to_owned();
        let refused = |found: &Identity, end, confirmed| {
            primary
                .recognize(found, reached(end, confirmed))
                .unwrap_err()
        };
        let error = refused(&other, 1, 1);
        assert!(matches!(error, Error::ServerChanged { .. }), "{error:?}");

        let rewound = server(lineage(2, SECOND), 0x6FF);
        for (end, confirmed) in [(0x700, 1), (1, 0x700)] {
            let error = refused(&rewound, end, confirmed);
            assert!(matches!(error, Error::ServerRewound { .. }), "{error:?}");
        }
        let mut standby = rewound;
        standby.in_recovery = true;
        let error = refused(&standby, 0x700, 1);
        assert!(matches!(error, Error::StandbyBehind { .. }), "{error:?}");
        assert!(error.is_transient());

        // Nothing was handed over since the promotion; else it is a fork like any other.
        let former = server(lineage(1, ""), 0x900);
        let error = refused(&former, 0x500, 0x700);
        assert!(matches!(error, Error::TimelineFormer { .. }), "{error:?}");
        assert!(error.is_transient());
        let error = refused(&former, 0x501, 0x700);
        assert!(matches!(error, Error::TimelineChanged { .. }), "{error:?}");
    }
}
