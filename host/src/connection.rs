//! The replication connection up to the stream. What streams is `replication.rs`; how a server is
//! reached, and a session made of it, is in the modules below, for every connection alike.

mod certificate;
mod connector;
mod key;
mod login;
mod problem;
mod session;
mod tls;
mod transport;
mod watched;
mod window;
mod wire;

use std::time::Duration;

use postgres_protocol::message::backend::Message;

use crate::config::Config;
use crate::error::{Error, quote_identifier, quote_literal};
use crate::identity::{Identity, Lineage};
use crate::lsn::Lsn;
use crate::replication::{Receiver, Sender};
use crate::stream::Clock;

pub(crate) use self::connector::{Connector, Endpoint, Place, late};
pub(crate) use self::login::Purpose;
pub use self::problem::{AuthenticationProblem, TlsProblem};
pub(crate) use self::session::Session;
pub(crate) use self::transport::{ReadHalf, WriteHalf};
pub(crate) use self::watched::Watch;
use self::wire::Reply;
pub(crate) use self::wire::{
    Bound, HEADER_BYTES, READ_BYTES, Whole, closed, server_error, whole_message,
};

/// A connection in replication mode, before it streams.
pub(crate) struct Connection {
    session: Session,
    /// What the server is asked for besides who it is.
    facts: Facts,
}

/// What a streaming connection has to know of its server.
struct Facts {
    started: String,
    in_recovery: bool,
    /// Its patience with this session; `None` where it has no end.
    wal_sender_timeout: Option<Duration>,
}

impl Connection {
    /// Connects and logs in: at `endpoint`, or wherever the settings lead.
    pub(crate) async fn open(
        connector: &Connector,
        endpoint: Option<&Endpoint>,
    ) -> Result<Self, Error> {
        let mut session = match endpoint {
            Some(endpoint) => connector.open_at(endpoint, Purpose::Replication).await?,
            None => connector.open(Purpose::Replication).await?,
        };
        let mut row = session
            .wire
            .row(FACTS, "asking the server")
            .await?
            .into_iter();
        let started = row.next().flatten().unwrap_or_default();
        let in_recovery = row.next().flatten().as_deref() == Some("t");
        let milliseconds = row.next().flatten().and_then(|text| text.parse().ok());
        let facts = Facts {
            started,
            in_recovery,
            wal_sender_timeout: milliseconds
                .filter(|&milliseconds| milliseconds > 0)
                .map(Duration::from_millis),
        };
        Ok(Self { session, facts })
    }

    /// Runs a simple query and returns the columns of its only row.
    pub(crate) async fn row(
        &mut self,
        sql: &str,
        doing: &'static str,
    ) -> Result<Vec<Option<String>>, Error> {
        self.session.wire.row(sql, doing).await
    }

    /// The process that serves us, as whom we connected to has it.
    pub(crate) fn process_id(&self) -> Option<i32> {
        self.session.key.map(|(process_id, _)| process_id)
    }

    /// Which server it is.
    pub(crate) fn place(&self) -> Place {
        Place {
            endpoint: self.session.endpoint.clone(),
            started: self.facts.started.clone(),
        }
    }

    /// Asks who the server is.
    pub(crate) async fn identify(&mut self) -> Result<Identity, Error> {
        let row = self
            .row("IDENTIFY_SYSTEM", "identifying the server")
            .await?;
        let mut row = row.into_iter();
        let (Some(system_identifier), Some(timeline), Some(xlogpos)) = (
            row.next().flatten(),
            row.next().flatten().and_then(|text| text.parse().ok()),
            row.next().flatten().and_then(|text| text.parse().ok()),
        ) else {
            return Err(Error::protocol(
                "IDENTIFY_SYSTEM answered without identifier, timeline or end of WAL",
            ));
        };
        let history = self.history(timeline).await?;
        Ok(Identity {
            system_identifier,
            lineage: Lineage::new(timeline, history.as_deref())?,
            xlogpos,
            in_recovery: self.facts.in_recovery,
            started_at: self.facts.started.clone(),
        })
    }

    /// The history of a timeline, where the server still has it. The first has none.
    async fn history(&mut self, timeline: u32) -> Result<Option<String>, Error> {
        if timeline == 1 {
            return Ok(None);
        }
        let command = format!("TIMELINE_HISTORY {timeline}");
        match self.row(&command, "reading a timeline's history").await {
            Ok(row) => Ok(row.into_iter().nth(1).flatten()),
            // undefined_file
            Err(error) if error.sqlstate() == Some("58P01") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the server calls its version.
    pub(crate) fn server_version(&self) -> Option<String> {
        self.session.parameter("server_version").map(str::to_owned)
    }

    /// The server's patience with this session; `None` where it has no end.
    pub(crate) fn wal_sender_timeout(&self) -> Option<Duration> {
        self.facts.wal_sender_timeout
    }

    /// Starts streaming at `start`, or where the slot stands if that is later.
    pub(crate) async fn start_replication(
        self,
        config: &Config,
        start: Lsn,
        clock: Clock,
    ) -> Result<(Receiver, Sender), Error> {
        let slot = config.slot.as_str();
        let options = config.wishes.options(self.session.server_major())?;
        let command = start_replication(slot, &config.publications, start, &options);
        let doing = "starting replication";
        let mut wire = self.session.wire;
        wire.send_query(&command, doing).await?;
        loop {
            match wire.read_message(doing).await? {
                Reply::CopyBoth => break,
                Reply::Message(Message::ErrorResponse(body)) => {
                    let error = server_error(&body, doing, &wire.login);
                    return Err(match error {
                        // undefined_object: publications are looked up later, by the plugin
                        Error::Server { sqlstate, .. } if sqlstate == "42704" => {
                            Error::SlotNotFound {
                                slot: slot.to_owned(),
                            }
                        }
                        error => error,
                    });
                }
                Reply::Message(_) => {}
            }
        }
        let watch = wire.transport.prepare();
        let (read, write) = wire.transport.into_halves();
        let sender = Sender::new(write, wire.address.clone());
        let receiver = Receiver::new(
            read,
            watch,
            wire.buffer,
            config.message_max_bytes,
            wire.address,
            wire.login,
            clock,
        );
        Ok((receiver, sender))
    }
}

fn start_replication(
    slot: &str,
    publications: &[String],
    start: Lsn,
    options: &[(&str, &str)],
) -> String {
    let names: Vec<_> = publications
        .iter()
        .map(|name| quote_identifier(name))
        .collect();
    let mut command = format!(
        "START_REPLICATION SLOT {} LOGICAL {start} (publication_names {}",
        quote_identifier(slot),
        quote_literal(&names.join(","))
    );
    for (name, value) in options {
        command.push_str(", ");
        command.push_str(name);
        command.push(' ');
        command.push_str(&quote_literal(value));
    }
    command.push(')');
    command
}

/// When the server was started, whether it is a standby, and `wal_sender_timeout`: `pg_settings`
/// has it in milliseconds, SHOW in whatever unit reads best.
const FACTS: &str = "
SELECT pg_catalog.pg_postmaster_start_time()::text, pg_catalog.pg_is_in_recovery(),
       (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout')";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_replication_grammar() {
        let names = ["shop".to_owned(), "My\"Pub".to_owned(), "a,b'c".to_owned()];
        assert_eq!(
            start_replication("s", &names, Lsn(0x16_B374_D848), &[("binary", "true")]),
            "START_REPLICATION SLOT \"s\" LOGICAL 16/B374D848 (publication_names \
             '\"shop\",\"My\"\"Pub\",\"a,b''c\"', binary 'true')"
        );
    }
}
