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
use crate::engine::{
    Attribute, ColumnFacts, Facts, Question, RelationFacts, TypeFacts, TypeKind, UniqueIndex,
};
use crate::error::{CONNECTING, Error, Login, hint_for};

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
        let own = self.relation(question.relation).await?;
        let mut relations: Vec<_> = own.into_iter().collect();
        let named = |facts: &RelationFacts| {
            facts.namespace == question.namespace && facts.name == question.name
        };
        if !relations.iter().any(named) {
            let name: [Parameter<'_>; 2] = [
                (&question.namespace, Type::TEXT),
                (&question.name, Type::TEXT),
            ];
            for row in self.query(RELATION_NAMED, &name).await? {
                let oid = self.get(&row, 0)?;
                relations.extend(self.relation(oid).await?);
            }
        }
        let mut oids = question.types.clone();
        oids.extend(
            relations
                .iter()
                .flat_map(|relation| &relation.columns)
                .map(|c| c.type_),
        );
        let types = self.types(&oids).await?;
        Ok(Facts { types, relations })
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

    async fn relation(&mut self, oid: u32) -> Result<Option<RelationFacts>, Error> {
        let parameter: [Parameter<'_>; 1] = [(&oid, Type::OID)];
        let rows = self.query(RELATION, &parameter).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let (namespace, name) = (self.get(row, 0)?, self.get(row, 1)?);
        let primary_key = self.get(row, 2)?;
        let mut columns = Vec::new();
        for row in self.columns(oid).await? {
            columns.push(ColumnFacts {
                name: self.get(&row, 0)?,
                type_: self.get(&row, 1)?,
                typmod: self.get(&row, 2)?,
                not_null: self.get(&row, 3)?,
                default: self.get(&row, 4)?,
            });
        }
        let mut unique_indexes = Vec::new();
        for row in self.query(UNIQUE_INDEXES, &parameter).await? {
            unique_indexes.push(UniqueIndex {
                name: self.get(&row, 0)?,
                expression: self.get(&row, 1)?,
                columns: self.get(&row, 2)?,
            });
        }
        Ok(Some(RelationFacts {
            oid,
            namespace,
            name,
            columns,
            primary_key,
            unique_indexes,
        }))
    }

    async fn columns(&mut self, oid: u32) -> Result<Vec<Row>, Error> {
        let with_defaults = self.wants_defaults;
        let parameters: [Parameter<'_>; 2] = [(&oid, Type::OID), (&with_defaults, Type::BOOL)];
        match self.query(COLUMNS, &parameters).await {
            // Somebody has locked the table, for as long as they like. The stream goes on without
            // its columns' defaults, until the server describes the table again.
            Err(error) if error.sqlstate() == Some(SqlState::LOCK_NOT_AVAILABLE.code()) => {
                self.query(COLUMNS, &[(&oid, Type::OID), (&false, Type::BOOL)])
                    .await
            }
            columns => columns,
        }
    }

    async fn types(&mut self, oids: &[u32]) -> Result<Vec<TypeFacts>, Error> {
        if oids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.query(TYPES, &[(&oids, Type::OID_ARRAY)]).await?;
        rows.iter().map(|row| self.type_facts(row)).collect()
    }

    fn type_facts(&self, row: &Row) -> Result<TypeFacts, Error> {
        let kind: String = self.get(row, 3)?;
        let delimiter: String = self.get(row, 5)?;
        let names: Vec<String> = self.get(row, 10)?;
        let types: Vec<u32> = self.get(row, 11)?;
        let typmods: Vec<i32> = self.get(row, 12)?;
        let attributes = names.into_iter().zip(types).zip(typmods);
        Ok(TypeFacts {
            oid: self.get(row, 0)?,
            namespace: self.get(row, 1)?,
            name: self.get(row, 2)?,
            kind: match kind.as_str() {
                "c" => TypeKind::Composite,
                "d" => TypeKind::Domain,
                "e" => TypeKind::Enumeration,
                "m" => TypeKind::Multirange,
                "p" => TypeKind::Pseudo,
                "r" => TypeKind::Range,
                _ => TypeKind::Base,
            },
            element: self.get(row, 4)?,
            delimiter: delimiter.chars().next().unwrap_or(','),
            base: self.get(row, 6)?,
            base_typmod: self.get(row, 7)?,
            subtype: self.get(row, 8)?,
            labels: self.get(row, 9)?,
            attributes: attributes
                .map(|((name, type_), typmod)| Attribute {
                    name,
                    type_,
                    typmod,
                })
                .collect(),
        })
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

const RELATION: &str = "
SELECT n.nspname::text, c.relname::text,
       ARRAY(SELECT a.attname::text
             FROM pg_catalog.pg_index i
             CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts
             ORDER BY k.place)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1";

const RELATION_NAMED: &str = "
SELECT c.oid
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::name AND c.relname = $2::name";

const COLUMNS: &str = "
SELECT a.attname::text, a.atttypid, a.atttypmod,
       a.attnotnull OR (t.typtype = 'd' AND t.typnotnull),
       CASE WHEN $2 THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum";

/// With the columns an index only includes: Debezium takes those for its key, too.
const UNIQUE_INDEXES: &str = "
SELECT c.relname::text, i.indexprs IS NOT NULL,
       ARRAY(SELECT a.attname::text
             FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             ORDER BY k.place)
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1 AND i.indisunique AND NOT i.indisprimary
ORDER BY c.relname";

/// Multiranges and `typsubscript` came with 14: `to_jsonb` reads a column that may not be
/// there.
const TYPES: &str = "
WITH RECURSIVE ranges AS (
  SELECT r.rngtypid AS oid, r.rngsubtype AS subtype FROM pg_catalog.pg_range r
  UNION ALL
  SELECT (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::oid, r.rngsubtype FROM pg_catalog.pg_range r
), needed AS (
  SELECT unnest($1) AS oid
  UNION
  SELECT part.oid
  FROM needed
  JOIN pg_catalog.pg_type t ON t.oid = needed.oid
  CROSS JOIN LATERAL (
    SELECT t.typelem
    UNION ALL
    SELECT t.typbasetype
    UNION ALL
    SELECT ranges.subtype FROM ranges WHERE ranges.oid = t.oid
    UNION ALL
    SELECT a.atttypid
    FROM pg_catalog.pg_attribute a
    WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
  ) AS part(oid)
  WHERE part.oid <> 0
)
SELECT t.oid, n.nspname::text, t.typname::text, t.typtype::text,
       CASE WHEN t.typlen = -1
             AND coalesce(pg_catalog.to_jsonb(t) ->> 'typsubscript', 'array_subscript_handler')
                 LIKE '%array\\_subscript\\_handler'
            THEN t.typelem ELSE 0::oid END,
       t.typdelim::text, t.typbasetype, t.typtypmod,
       coalesce((SELECT ranges.subtype FROM ranges WHERE ranges.oid = t.oid), 0::oid),
       ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e
             WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
             WHERE t.typtype = 'c' AND a.attrelid = t.typrelid
               AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
       ARRAY(SELECT a.atttypid FROM pg_catalog.pg_attribute a
             WHERE t.typtype = 'c' AND a.attrelid = t.typrelid
               AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
       ARRAY(SELECT a.atttypmod FROM pg_catalog.pg_attribute a
             WHERE t.typtype = 'c' AND a.attrelid = t.typrelid
               AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
FROM needed
JOIN pg_catalog.pg_type t ON t.oid = needed.oid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
ORDER BY t.oid";
