//! Questions to the server's catalogs: types and relations for the decoder, slots and publications
//! for the stream. One ordinary connection, opened when it is needed and again when it is lost.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::config::Config;
use crate::connection::{Connection, Connector, Endpoint, Place, Purpose, late};
use crate::engine::{Facts, Question};
use crate::error::{CONNECTING, Error, Login, hint_for};
use crate::facts;

/// The catalog connection.
pub(crate) struct Catalog {
    connector: Arc<Connector>,
    pub(crate) database: String,
    login: Login,
    /// Whether the decoder has a use for columns' defaults.
    wants_defaults: bool,
    client: Option<Client>,
    /// Where `client` leads.
    at: Option<Place>,
    /// Where the stream is, once there is one.
    stream_at: Option<Place>,
    ended: watch::Receiver<bool>,
}

/// A query's parameter with its type.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl Catalog {
    /// Connects to nothing yet.
    pub(crate) fn new(config: &Config, connector: Arc<Connector>) -> Self {
        Self {
            database: connector.database().to_owned(),
            login: connector.login(),
            wants_defaults: config
                .decoder_options(connector.database())
                .iter()
                .any(|(name, value)| name == "format" && value != "native"),
            connector,
            client: None,
            at: None,
            stream_at: None,
            ended: watch::channel(true).1,
        }
    }

    /// Where it is connected to.
    pub(crate) fn endpoint(&self) -> Option<&Endpoint> {
        self.at.as_ref().map(|place| &place.endpoint)
    }

    /// A replication connection to the same server.
    pub(crate) async fn replication(&self) -> Result<Connection, Error> {
        Connection::open(&self.connector, self.endpoint()).await
    }

    /// Asks from now on the server the stream is on.
    pub(crate) fn follow(&mut self, stream_at: Place) {
        if self.at.as_ref().map(|at| &at.started) != Some(&stream_at.started) {
            self.client = None;
        }
        self.stream_at = Some(stream_at);
    }

    /// What the catalogs have of a relation and of types. What is gone is not in the answer.
    pub(crate) async fn facts(&mut self, question: &Question) -> Result<Facts, Error> {
        match self.ask(question, self.wants_defaults).await {
            // Somebody has locked the table, for as long as they like. The stream goes on without
            // its columns' defaults, until the server describes the table again.
            Err(error) if error.sqlstate() == Some(SqlState::LOCK_NOT_AVAILABLE.code()) => {
                self.ask(question, false).await
            }
            facts => facts,
        }
    }

    async fn ask(&mut self, question: &Question, with_defaults: bool) -> Result<Facts, Error> {
        let Question {
            relation,
            namespace,
            name,
            types,
        } = question;
        let parameters: [Parameter<'_>; 5] = [
            (relation, Type::OID),
            (namespace, Type::TEXT),
            (name, Type::TEXT),
            (types, Type::OID_ARRAY),
            (&with_defaults, Type::BOOL),
        ];
        let rows = self.query(facts::SQL, &parameters).await?;
        let text: Option<String> = rows.first().map(|row| self.get(row, 0)).transpose()?;
        facts::parse(&text.unwrap_or_default())
            .map_err(|error| Error::protocol(format!("the catalogs are not as expected: {error}")))
    }

    /// Runs a query, once more on a new connection if the one at hand turns out to be lost.
    pub(crate) async fn query(
        &mut self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        if self
            .client
            .as_ref()
            .is_some_and(|client| !client.is_closed())
        {
            match self.query_once(sql, parameters).await {
                // Not after a time-out: the next one would take as long.
                Err(error) if error.is_transient() && self.client.is_some() => {}
                result => return result,
            }
        }
        self.open().await?;
        self.query_once(sql, parameters).await
    }

    /// Waits until the server shuts down. It ends an ordinary connection at once, one that streams
    /// only when that has been read to its end.
    pub(crate) async fn server_stopping(&mut self) {
        loop {
            let mut ended = self.ended.clone();
            // An error says that it has ended as well.
            let _ = ended.wait_for(|ended| *ended).await;
            // It may have been ended alone: a server that shuts down takes no other.
            match self.open().await {
                Ok(()) => {}
                Err(error) if error.sqlstate() == Some(SqlState::CANNOT_CONNECT_NOW.code()) => {
                    return;
                }
                Err(_) => tokio::time::sleep(REOPEN_AFTER).await,
            }
        }
    }

    /// Whether the connection was lost, or ended by the server.
    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Whether the server is a standby.
    pub(crate) async fn in_recovery(&mut self) -> Result<bool, Error> {
        let rows = self.query("SELECT pg_catalog.pg_is_in_recovery()", &[]);
        let rows = rows.await?;
        rows.first().map_or(Ok(true), |row| self.get(row, 0))
    }

    /// Opens the connection anew.
    pub(crate) async fn open(&mut self) -> Result<(), Error> {
        self.client = None;
        let session = match &self.stream_at {
            Some(place) => {
                let session = self.connector.open_at(&place.endpoint, Purpose::Catalog);
                session.await?
            }
            None => self.connector.open(Purpose::Catalog).await?,
        };
        let endpoint = session.endpoint().clone();
        let (client, connection) = session.into_client().await?;
        let (ending, ended) = watch::channel(false);
        tokio::spawn(async move {
            connection.await;
            ending.send_replace(true);
        });
        let prepared = tokio::time::timeout(QUERY_MAX, client.query_typed(PREPARE, &[])).await;
        let rows = match prepared {
            Ok(rows) => rows.map_err(|error| self.error(&error, CONNECTING))?,
            Err(_) => return Err(late(self.connector.address(), CONNECTING, QUERY_MAX)),
        };
        let started = rows.first().map(|row| self.get(row, 0)).transpose()?;
        let place = Place {
            endpoint,
            started: started.unwrap_or_default(),
        };
        if let Some(stream_at) = &self.stream_at
            && stream_at.started != place.started
        {
            let text = "another server answers there than the one that streams";
            return Err(self.failed(CONNECTING, io::ErrorKind::ConnectionAborted, text));
        }
        self.client = Some(client);
        self.at = Some(place);
        self.ended = ended;
        Ok(())
    }

    async fn query_once(
        &mut self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        let doing = "reading the catalogs";
        let Some(client) = &self.client else {
            return Err(self.lost(doing));
        };
        let rows = tokio::time::timeout(QUERY_MAX, client.query_typed(sql, parameters)).await;
        match rows {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => Err(self.error(&error, doing)),
            Err(_) => {
                self.client = None;
                Err(late(self.connector.address(), doing, QUERY_MAX))
            }
        }
    }

    pub(crate) fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
        &self,
        row: &'a Row,
        column: usize,
    ) -> Result<T, Error> {
        row.try_get(column)
            .map_err(|error| self.error(&error, "reading the catalogs"))
    }

    fn error(&self, error: &tokio_postgres::Error, doing: &'static str) -> Error {
        if let Some(db) = error.as_db_error() {
            let sqlstate = db.code().code().to_owned();
            return Error::Server {
                hint: db
                    .hint()
                    .map(str::to_owned)
                    .or_else(|| hint_for(&sqlstate, &self.login, doing)),
                message: db.message().to_owned(),
                detail: db.detail().map(str::to_owned),
                sqlstate,
                doing,
            };
        }
        if error.is_closed() {
            return self.lost(doing);
        }
        let cause = std::error::Error::source(error);
        if let Some(io) = cause.and_then(|cause| cause.downcast_ref::<io::Error>()) {
            return self.failed(doing, io.kind(), &io.to_string());
        }
        let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        Error::protocol(format!("{doing}: {error}{cause}"))
    }

    fn lost(&self, doing: &'static str) -> Error {
        let kind = io::ErrorKind::ConnectionAborted;
        self.failed(doing, kind, "the connection was lost")
    }

    fn failed(&self, doing: &'static str, kind: io::ErrorKind, text: &str) -> Error {
        Error::Connection {
            address: self.connector.address(),
            doing,
            io: io::Error::new(kind, text),
        }
    }
}

/// The longest a catalog query may take; it reads a few rows by index.
const QUERY_MAX: Duration = Duration::from_mins(1);

/// How long to wait before opening the connection again, when it could not be.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// When the server was started; and the settings that came with 14 and 17, where it has them.
const PREPARE: &str = "
SELECT pg_catalog.pg_postmaster_start_time()::text,
       (SELECT count(pg_catalog.set_config(s.name, '0', false))
        FROM pg_catalog.pg_settings s
        WHERE s.name IN ('idle_session_timeout', 'transaction_timeout'))";
