//! What to do about an error, for people.

use std::io;

use crate::engine::EngineError;
use crate::stash::StashError;

use super::{CONNECTING, Error, LOGGING_IN, Login, SlotProblem, quote_identifier, quote_literal};

impl Error {
    /// What to do about it, for people: mostly the SQL to run.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Connection {
                address, doing, io, ..
            } if *doing == CONNECTING => Some(connection_hint(address, io)),
            Self::Authentication { problem, .. } => problem.hint().map(str::to_owned),
            Self::Hosts { tried } => tried.iter().find_map(Self::hint),
            Self::Tls { problem, .. } => problem.hint().map(str::to_owned),
            Self::EngineAt {
                error: EngineError::Memory { .. },
                ..
            } => Some(RAISE_MEMORY.to_owned()),
            Self::PublicationNotFound { publication, .. } => Some(publication_sql(publication)),
            Self::Server { hint, .. } => hint.clone(),
            Self::SlotNotFound { slot } => Some(create_slot_sql(slot)),
            Self::SlotUnusable {
                slot,
                problem: SlotProblem::PrepareConfirmed { end_lsn, .. },
            } => Some(format!(
                "to go on behind it: SELECT pg_replication_slot_advance({}, '{end_lsn}');",
                quote_literal(slot)
            )),
            Self::Park { file, .. } => Some(format!(
                "free space there, or let {} be written to",
                file.display()
            )),
            Self::SlotUnusable {
                slot,
                problem: SlotProblem::Lost { reason },
            } => Some(lost_hint(slot, reason)),
            Self::SlotUnusable {
                problem: SlotProblem::Synchronizing | SlotProblem::NotOnStandby,
                ..
            } => {
                Some("of several hosts, target_session_attrs=primary finds the primary".to_owned())
            }
            Self::SlotUnusable {
                problem: SlotProblem::Moved { .. },
                ..
            }
            | Self::TimelineChanged { .. }
            | Self::ServerRewound { .. } => Some(SNAPSHOT.to_owned()),
            Self::SlotGone { .. } => Some(format!(
                "{SNAPSHOT}; for slots that outlast a failover (PostgreSQL 17): make them with \
                 failover => true, and set sync_replication_slots = on on the standby"
            )),
            Self::Stash { error, .. } => Some(stash_hint(error).to_owned()),
            Self::WalLevel { .. } => {
                Some("ALTER SYSTEM SET wal_level = logical; then restart the server".to_owned())
            }
            _ => None,
        }
    }
}

/// What to do where the server itself gives no hint.
pub(crate) fn hint_for(sqlstate: &str, login: &Login, doing: &str) -> Option<String> {
    let user = quote_identifier(&login.user);
    let database = quote_identifier(&login.database);
    let hint = match sqlstate {
        "28P01" => format!(
            "check the password of role {user}; to set it: ALTER ROLE {user} PASSWORD '...';"
        ),
        "28000" => "check the role's name and pg_hba.conf".to_owned(),
        "3D000" => {
            format!("check the database's name; to make it: CREATE DATABASE {database};")
        }
        // The ordinary connection, which comes first, may be refused for nothing else.
        "42501" if doing == CONNECTING => {
            format!("the role may not connect: GRANT CONNECT ON DATABASE {database} TO {user};")
        }
        "42501" => {
            format!("the role needs the REPLICATION attribute: ALTER ROLE {user} REPLICATION;")
        }
        "53300" => "raise max_connections or max_wal_senders".to_owned(),
        "55006" => "another consumer is streaming from this slot".to_owned(),
        // Of a server's own there is none while we connect.
        "08P01" if doing == CONNECTING || doing == LOGGING_IN => {
            "connect to PostgreSQL itself: a connection pooler passes no replication on".to_owned()
        }
        _ => return None,
    };
    Some(hint)
}

/// What helps where changes cannot be had any more.
const SNAPSHOT: &str = "drop the slot, make a new one and take a new snapshot";

/// What to do about a slot that is lost, and against the next time.
fn lost_hint(slot: &str, reason: &str) -> String {
    let setting = match reason {
        "idle_timeout" => "idle_replication_slot_timeout lets a slot be idle longer",
        "rows_removed" => "hot_standby_feedback = on keeps the rows a standby's slot needs",
        "wal_level_insufficient" => "the primary needs wal_level = logical",
        // wal_removed, and before 17 lost
        _ => "a larger max_slot_wal_keep_size retains more",
    };
    format!("{} and for the next one: {setting}", drop_slot_sql(slot))
}

pub(super) const RAISE_MEMORY: &str = "raise memory_max_bytes";

fn connection_hint(address: &str, io: &io::Error) -> String {
    match io.kind() {
        io::ErrorKind::ConnectionRefused => format!(
            "start the server, or check that it listens at {address} (listen_addresses, port)"
        ),
        io::ErrorKind::TimedOut => {
            format!("check host and port, and that the network lets one reach {address}")
        }
        _ => format!("check host and port: {address}"),
    }
}

pub(crate) fn drop_slot_sql(slot: &str) -> String {
    format!("SELECT pg_drop_replication_slot({});", quote_literal(slot))
}

pub(crate) fn create_slot_sql(slot: &str) -> String {
    format!(
        "SELECT pg_create_logical_replication_slot({}, 'pgoutput');",
        quote_literal(slot)
    )
}

pub(super) fn publication_sql(publication: &str) -> String {
    format!(
        "CREATE PUBLICATION {} FOR ALL TABLES;",
        quote_identifier(publication)
    )
}

fn stash_hint(error: &StashError) -> &'static str {
    match error {
        StashError::File { .. } => {
            "free space there, or name a directory that has it: stash_directory; or set \
             streaming to off, and the server keeps open transactions itself"
        }
        StashError::Full { .. } => {
            "raise stash_max_bytes, or set streaming to off, and the server keeps open \
             transactions itself"
        }
    }
}
