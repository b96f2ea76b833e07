//! Where a stream begins, if not where its slot stands.

use std::fmt;

use crate::error::Error;
use crate::lsn::Lsn;
use crate::records::Position;

/// Which events are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Those of transactions committed before it.
    Lsn(Lsn),
    /// Those up to it.
    Position(Position),
}

impl Start {
    /// The last position passed over, if there can be one.
    pub(crate) fn passed(self) -> Option<Position> {
        match self {
            Self::Lsn(lsn) => lsn.0.checked_sub(1).map(|before| Position {
                commit_lsn: Lsn(before),
                index: u32::MAX,
                sub: u32::MAX,
            }),
            Self::Position(position) => Some(position),
        }
    }

    /// From where the server is to send: the transaction of a position is wanted from its
    /// beginning, to be counted.
    pub(crate) fn lsn(self) -> Lsn {
        match self {
            Self::Lsn(lsn) => lsn,
            Self::Position(position) => position.commit_lsn,
        }
    }

    /// Everything passed over lies in the WAL before it: a transaction's commit begins at its
    /// position, a message of none, which comes before any change, ends there.
    pub(crate) fn end(self) -> Lsn {
        match self {
            Self::Lsn(lsn) => lsn,
            Self::Position(Position {
                commit_lsn, index, ..
            }) => Lsn(commit_lsn.0.saturating_add(u64::from(index > 0))),
        }
    }

    /// An error where the server's WAL, which ends at `end`, does not come that far.
    pub(crate) fn check(self, end: Lsn) -> Result<(), Error> {
        if self.end() <= end {
            return Ok(());
        }
        let (setting, at) = match self {
            Self::Lsn(lsn) => ("start_lsn", lsn.to_string()),
            Self::Position(position) => ("start_position", position.to_string()),
        };
        Err(Error::configuration(
            setting,
            format!(
                "{at} lies behind the server's WAL, which ends at {end}: it comes from another \
                 server, or this one was restored to an earlier point"
            ),
        ))
    }
}

/// The setting and what it was given.
impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lsn(lsn) => write!(f, "start_lsn {lsn}"),
            Self::Position(position) => write!(f, "start_position {position}"),
        }
    }
}
