//! What can go wrong, whose fault it is, and what to do about it. Never holds a cell value or a
//! password.

mod hint;

use std::io;
use std::path::PathBuf;

use crate::config::Cause;
use crate::connection::{AuthenticationProblem, TlsProblem};
use crate::engine::{DecodeError, EngineError};
use crate::lsn::Lsn;
use crate::plugin::PluginError;
use crate::records::{Position, RecordError};
use crate::stash::StashError;

use self::hint::{RAISE_MEMORY, publication_sql};
pub(crate) use self::hint::{create_slot_sql, drop_slot_sql, hint_for};

/// Everything that ends a stream or keeps it from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was to be acknowledged has not been delivered.
    #[error("cannot acknowledge {asked}: {}", delivered_text(*.delivered))]
    Acknowledge {
        /// The position or LSN asked for, as text.
        asked: String,
        /// The last event delivered, if there was one.
        delivered: Option<Position>,
    },
    /// A login that was not gone through with: by our own rules, or for lack of a password.
    #[error("logging in at {address}: {problem}")]
    Authentication {
        /// `host:port`, or the path of the socket.
        address: String,
        /// What was wrong.
        problem: AuthenticationProblem,
    },
    /// A setting that is missing or cannot be what it was given as.
    #[error("{setting}: {reason}")]
    Configuration {
        /// The setting's name.
        setting: String,
        /// What is wrong and what is allowed: for people.
        reason: String,
    },
    /// The network, before or after the server was reached.
    #[error("{doing} at {address}: {io}")]
    Connection {
        /// `host:port`, or the path of the socket.
        address: String,
        /// What was tried, for example "connecting to the server".
        doing: &'static str,
        /// What the operating system said.
        io: io::Error,
    },
    /// A frame the decoder cannot make sense of. Nothing behind it was acknowledged.
    #[error("cannot decode: {0}")]
    Decoding(DecodeError),
    /// The decoder's task ended without an error of its own.
    #[error("the stream's task ended unexpectedly")]
    Ended,
    /// The sandbox: a decoder that trapped or exceeded a limit, or options it refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The sandbox, twice in a row at the same place: nothing from there on was acknowledged.
    #[error("{error}, at or behind the frame with LSN {lsn}{}", limit_text(.error))]
    EngineAt {
        /// The first of the frames that were to be decoded.
        lsn: Lsn,
        /// What happened.
        error: EngineError,
    },
    /// None of several hosts will do.
    #[error("none of the hosts will do: {}", list_text(.tried))]
    Hosts {
        /// Why not, of one after the other.
        tried: Vec<Error>,
    },
    /// The callback that was to give a password failed.
    #[error("logging in at {address}: the password's callback failed")]
    Password {
        /// `host:port`, or the path of the socket.
        address: String,
        /// What it failed with.
        #[source]
        error: Cause,
    },
    /// A change that is to be parked could not be. Nothing behind it was acknowledged.
    #[error("cannot park a change: writing {}: {io}", file.display())]
    Park {
        /// Where it was to be written.
        file: PathBuf,
        /// What the operating system said.
        io: io::Error,
    },
    /// A plugin cannot be used, or failed. Nothing from that event on was acknowledged.
    #[error("plugin {plugin}{}: {error}", at_text(.at.as_ref()))]
    Plugin {
        /// Its name, or its file where it has not said that yet.
        plugin: String,
        /// The event it failed at, and the topic of that, where it is one event's fault.
        at: Option<(Position, String)>,
        /// What happened.
        error: PluginError,
    },
    /// What the server sent is not the replication protocol.
    #[error("replication protocol: {reason}")]
    Protocol {
        /// What was expected and what came: for people.
        reason: String,
    },
    /// A publication that does not exist in the database.
    #[error(
        "publication {publication:?} does not exist in database {database:?}; \
         to make it: {}", publication_sql(.publication)
    )]
    PublicationNotFound {
        /// `pg_publication.pubname`.
        publication: String,
        /// Where it was looked for.
        database: String,
    },
    /// What the decoder returned is not packed records.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// An error response of the server.
    #[error("{doing}: {message} (SQLSTATE {sqlstate}){}", hint_text(.hint.as_deref()))]
    Server {
        /// Five characters, see PostgreSQL's appendix A.
        sqlstate: String,
        /// The primary message.
        message: String,
        /// The server's DETAIL. Not part of the text of this error: it may quote a value.
        detail: Option<String>,
        /// The server's HINT, or ours where the server has none.
        hint: Option<String>,
        /// What was tried, for example "logging in".
        doing: &'static str,
    },
    /// A server of another kind than `target_session_attrs` asks for.
    #[error(
        "the server at {address} is {found}, and target_session_attrs={wanted} asks for others"
    )]
    SessionAttributes {
        /// `host:port`, or the path of the socket.
        address: String,
        /// `target_session_attrs`
        wanted: &'static str,
        /// What it is: for people.
        found: &'static str,
    },
    /// The server is not the one the stream began with.
    #[error(
        "the server's system identifier is {found}, the stream began on {expected}: \
         this is another cluster, whose LSNs mean nothing here"
    )]
    ServerChanged {
        /// `system_identifier` at the first connection.
        expected: String,
        /// `system_identifier` now.
        found: String,
    },
    /// The server's WAL ends before what it sent or was told to forget.
    #[error(
        "the server's WAL ends at {found}, and {known} has been reached already: \
         it was restored to an earlier point; make a new slot and take a new snapshot"
    )]
    ServerRewound {
        /// What had been delivered or confirmed.
        known: Lsn,
        /// `xlogpos` of `IDENTIFY_SYSTEM`.
        found: Lsn,
    },
    /// A slot that the stream was connected to and that does not exist any more.
    #[error(
        "replication slot {slot:?} does not exist any more: it was dropped, or this is a promoted \
         standby to which it was not synchronized; changes committed behind {confirmed} cannot be \
         had from a new one"
    )]
    SlotGone {
        /// `pg_replication_slots.slot_name`.
        slot: String,
        /// What this stream confirmed last.
        confirmed: Lsn,
    },
    /// A slot that does not exist.
    #[error("replication slot {slot:?} does not exist; to make it: {}", create_slot_sql(.slot))]
    SlotNotFound {
        /// `pg_replication_slots.slot_name`.
        slot: String,
    },
    /// A slot that exists and cannot be used.
    #[error("replication slot {slot:?} {problem}")]
    SlotUnusable {
        /// `pg_replication_slots.slot_name`.
        slot: String,
        /// Why not.
        problem: SlotProblem,
    },
    /// A standby that has not come as far as the stream has. It will, if it is this server's.
    #[error(
        "the server is a standby whose WAL ends at {found}, and {known} has been reached already"
    )]
    StandbyBehind {
        /// What had been delivered or confirmed.
        known: Lsn,
        /// `xlogpos` of `IDENTIFY_SYSTEM`.
        found: Lsn,
    },
    /// The server has another history than the one from which events came: some of those that were
    /// handed over have never happened there, and others may have instead.
    #[error(
        "the server is on timeline {found}, which parts at {fork} from timeline {expected}, of \
         which events up to {handed} were handed over: a standby that lagged behind was promoted, \
         or a backup was restored, and what was handed over beyond {fork} is lost there"
    )]
    TimelineChanged {
        /// The timeline streamed from before.
        expected: u32,
        /// `timeline` now.
        found: u32,
        /// Up to where the two are the same.
        fork: Lsn,
        /// The last event handed over.
        handed: Position,
    },
    /// The server is on a timeline that was left behind: a former primary that still runs, or a
    /// standby that is not there yet.
    #[error(
        "the server is on timeline {found}, the stream has been on {reached}, which replaced it: \
         this is a former primary, or a standby that has not followed yet"
    )]
    TimelineFormer {
        /// The timeline streamed from before.
        reached: u32,
        /// `timeline` now.
        found: u32,
    },
    /// No TLS, or none with somebody who can be trusted.
    #[error("TLS with the server at {address}: {problem}")]
    Tls {
        /// `host:port`.
        address: String,
        /// What was wrong.
        problem: TlsProblem,
    },
    /// Frames of a transaction that is not decided yet cannot be kept. Nothing of it, or behind
    /// it, was confirmed.
    #[error("cannot keep transaction {xid} until it is decided, at LSN {lsn}: {error}")]
    Stash {
        /// The transaction.
        xid: u32,
        /// The first of the frames that were to be kept or given back.
        lsn: Lsn,
        /// What happened.
        error: StashError,
    },
    /// `wal_level` is too low for logical replication.
    #[error(
        "the server's wal_level is {wal_level:?}, logical replication needs \"logical\"; \
         to change it: ALTER SYSTEM SET wal_level = logical; then restart the server"
    )]
    WalLevel {
        /// The setting's value.
        wal_level: String,
    },
}

/// Why a slot that exists cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlotProblem {
    /// Somebody streams from it, so that it cannot be dropped.
    #[error(
        "is in use by process {pid} ({application_name:?}); stop that first, or: \
         SELECT pg_terminate_backend({pid});"
    )]
    Active {
        /// `pg_replication_slots.active_pid`.
        pid: i32,
        /// What it calls itself; empty where that may not be seen.
        application_name: String,
    },
    /// It belongs to another database of the server.
    #[error("belongs to database {database:?}: connect to that one")]
    Database {
        /// `pg_replication_slots.database`.
        database: String,
    },
    /// WAL it needs is gone, or it was invalidated for another reason.
    #[error("is lost ({reason}): drop it, make a new one and take a new snapshot")]
    Lost {
        /// `invalidation_reason` where the server has it, else `wal_status`.
        reason: String,
    },
    /// Somebody else confirmed more than this stream did: changes in between would be missing.
    #[error(
        "was confirmed up to {found} by somebody else, or dropped and made anew, while this stream \
         had confirmed {confirmed}: the changes in between cannot be had any more"
    )]
    Moved {
        /// `confirmed_flush_lsn` now.
        found: Lsn,
        /// What this stream confirmed last.
        confirmed: Lsn,
    },
    /// It is not on a standby that was reached in place of its server, or cannot be used there.
    #[error(
        "cannot be used on this server, which is a standby: its primary is waited for, or this \
         one's promotion"
    )]
    NotOnStandby,
    /// It is a physical slot.
    #[error("is a physical one: a logical one with plugin pgoutput is needed")]
    Physical,
    /// It is a logical slot of another output plugin.
    #[error("has the output plugin {plugin:?}: pgoutput is needed")]
    Plugin {
        /// `pg_replication_slots.plugin`.
        plugin: String,
    },
    /// Somebody else confirmed a transaction's PREPARE, or enabled `two_phase` and moved on: of
    /// the transaction only its COMMIT PREPARED comes.
    #[error(
        "was confirmed past the PREPARE of transaction {xid} by somebody else: it is committed \
         before {end_lsn}, and its changes cannot be had any more; take a new snapshot"
    )]
    PrepareConfirmed {
        /// The transaction.
        xid: u32,
        /// Where its COMMIT PREPARED ends.
        end_lsn: Lsn,
    },
    /// It is a copy that a standby keeps of its primary's.
    #[error(
        "is being synchronized from the primary, on this standby: it can be used there, and here \
         once this server is promoted"
    )]
    Synchronizing,
    /// It was temporary, and the connection it lived in is lost.
    #[error(
        "was a temporary one and is gone with its connection: the changes behind {confirmed} \
         cannot be had any more; start again, or make one that stays"
    )]
    Temporary {
        /// What this stream confirmed last.
        confirmed: Lsn,
    },
}

/// Whose fault an error is, and so who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// This library's: please report it.
    Bug,
    /// The caller's: a wrong setting or a wrong call.
    Caller,
    /// A plugin's.
    Plugin,
    /// The server's, or of how it is set up.
    Server,
    /// Nobody's: trying again may help.
    Transient,
}

impl Error {
    /// Whose fault this is. A stream tries again by itself where this is `Transient`.
    pub fn class(&self) -> ErrorClass {
        match self {
            // Somebody may make room.
            Self::Stash {
                error: StashError::File { io, .. },
                ..
            } if is_full(io) => ErrorClass::Transient,
            Self::Park { io, .. } if is_full(io) => ErrorClass::Transient,
            Self::Park { .. }
            | Self::Acknowledge { .. }
            | Self::Configuration { .. }
            | Self::Stash { .. }
            | Self::Engine(EngineError::Option(_))
            | Self::EngineAt {
                error: EngineError::Memory { .. },
                ..
            } => ErrorClass::Caller,
            // A socket that may not be used.
            Self::Connection { io, .. } if io.kind() == io::ErrorKind::PermissionDenied => {
                ErrorClass::Server
            }
            // What the callback gets its passwords from may be back in a moment.
            Self::Connection { .. }
            | Self::Password { .. }
            | Self::SessionAttributes { .. }
            | Self::StandbyBehind { .. }
            | Self::TimelineFormer { .. }
            | Self::SlotUnusable {
                problem: SlotProblem::Synchronizing | SlotProblem::NotOnStandby,
                ..
            } => ErrorClass::Transient,
            Self::Hosts { tried } => {
                let mut classes = tried.iter().map(Self::class);
                let lasting = classes.find(|class| *class == ErrorClass::Transient);
                lasting.unwrap_or(ErrorClass::Server)
            }
            Self::Ended | Self::Engine(_) | Self::EngineAt { .. } | Self::Records(_) => {
                ErrorClass::Bug
            }
            Self::Plugin { .. } => ErrorClass::Plugin,
            Self::Server { sqlstate, .. } if is_transient(sqlstate) => ErrorClass::Transient,
            Self::Authentication { .. }
            | Self::Decoding(_)
            | Self::Protocol { .. }
            | Self::PublicationNotFound { .. }
            | Self::Server { .. }
            | Self::ServerChanged { .. }
            | Self::ServerRewound { .. }
            | Self::SlotGone { .. }
            | Self::SlotNotFound { .. }
            | Self::SlotUnusable { .. }
            | Self::TimelineChanged { .. }
            | Self::Tls { .. }
            | Self::WalLevel { .. } => ErrorClass::Server,
        }
    }

    /// The SQLSTATE, where the server gave one or would have.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Server { sqlstate, .. } => Some(sqlstate),
            // undefined_object, object_not_in_prerequisite_state
            Self::PublicationNotFound { .. }
            | Self::SlotGone { .. }
            | Self::SlotNotFound { .. } => Some("42704"),
            Self::SlotUnusable { .. } | Self::WalLevel { .. } => Some("55000"),
            _ => None,
        }
    }

    /// The same, met while something else was done.
    pub(crate) fn while_doing(mut self, now: &'static str) -> Self {
        if let Self::Server { doing, .. } | Self::Connection { doing, .. } = &mut self {
            *doing = now;
        }
        self
    }

    /// The same with what helps here.
    pub(crate) fn with_hint(mut self, helps: &str) -> Self {
        if let Self::Server { hint, .. } = &mut self {
            *hint = Some(helps.to_owned());
        }
        self
    }

    pub(crate) fn is_transient(&self) -> bool {
        self.class() == ErrorClass::Transient
    }

    pub(crate) fn configuration(setting: &str, reason: impl Into<String>) -> Self {
        Self::Configuration {
            setting: setting.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn protocol(reason: impl Into<String>) -> Self {
        Self::Protocol {
            reason: reason.into(),
        }
    }
}

fn is_full(io: &io::Error) -> bool {
    matches!(
        io.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// SQLSTATEs after which the same request may succeed a little later.
fn is_transient(sqlstate: &str) -> bool {
    // 08: connection exceptions; protocol_violation would be one again
    (sqlstate.starts_with("08") && sqlstate != "08P01")
        || matches!(
            sqlstate,
            "40001" // serialization_failure: a standby's conflict with recovery
                | "40P01" // deadlock_detected: likewise
                | "53000" // insufficient_resources
                | "53100" // disk_full: of the server, which spills transactions
                | "53200" // out_of_memory
                | "53300" // too_many_connections
                | "55006" // object_in_use: the slot's former walsender is not gone yet
                | "57014" // query_canceled: by pg_cancel_backend, the limits are off
                | "57P01" // admin_shutdown
                | "57P02" // crash_shutdown
                | "57P03" // cannot_connect_now
                | "57P04" // database_dropped: also a standby's conflict with recovery
                | "57P05" // idle_session_timeout
                | "58000" // system_error
                | "58030" // io_error
        )
}

/// Who connects to what, for hints.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) database: String,
}

/// What is done when a replication connection turns out to be refused.
pub(crate) const LOGGING_IN: &str = "logging in";

/// What is done when an address turns out to be unreachable.
pub(crate) const CONNECTING: &str = "connecting to the server";

/// A name as SQL and the replication grammar take it, whatever characters it has.
pub(crate) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string literal for the replication grammar, which knows no backslash escapes.
pub(crate) fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn delivered_text(delivered: Option<Position>) -> String {
    match delivered {
        Some(position) => format!("only events up to {position} have been delivered"),
        None => "no event has been delivered yet".to_owned(),
    }
}

fn limit_text(error: &EngineError) -> String {
    match error {
        EngineError::Memory { .. } => format!("; {RAISE_MEMORY}"),
        _ => String::new(),
    }
}

fn at_text(at: Option<&(Position, String)>) -> String {
    match at {
        Some((position, topic)) => format!(", at event {position} of {topic}"),
        None => String::new(),
    }
}

fn list_text(errors: &[Error]) -> String {
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

fn hint_text(hint: Option<&str>) -> String {
    hint.map(|hint| format!("; {hint}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(sqlstate: &str) -> Error {
        Error::Server {
            sqlstate: sqlstate.to_owned(),
            message: "m".to_owned(),
            detail: Some("Key (id)=(7) exists".to_owned()),
            hint: Some("try again".to_owned()),
            doing: "logging in",
        }
    }

    #[test]
    fn class_follows_the_sqlstate_and_never_the_text() {
        for transient in ["57P01", "57P02", "57P03", "08006", "53300", "55006"] {
            assert_eq!(
                server(transient).class(),
                ErrorClass::Transient,
                "{transient}"
            );
        }
        for lasting in ["08P01", "28P01", "3D000", "42704", "42501", "XX000"] {
            assert_eq!(server(lasting).class(), ErrorClass::Server, "{lasting}");
        }
    }

    #[test]
    fn texts_say_what_to_do_and_quote_no_detail() {
        let slot = Error::SlotNotFound {
            slot: "s".to_owned(),
        };
        assert_eq!(
            slot.to_string(),
            "replication slot \"s\" does not exist; to make it: \
             SELECT pg_create_logical_replication_slot('s', 'pgoutput');"
        );
        let publication = Error::PublicationNotFound {
            publication: "My\"Pub".to_owned(),
            database: "shop".to_owned(),
        };
        assert_eq!(
            publication.hint().unwrap(),
            "CREATE PUBLICATION \"My\"\"Pub\" FOR ALL TABLES;"
        );
        assert_eq!(
            server("28P01").to_string(),
            "logging in: m (SQLSTATE 28P01); try again"
        );
    }
}
