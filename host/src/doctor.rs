//! Everything that must be right for a stream, asked in one pass and changed by none of it.
//!
//! A check is an entry of a table ([`check::Check`]): a code that stays, a question in SQL, a
//! judgement and what mends it. Each stands for itself: what a server is too old for is left out,
//! what the role may not see is [`Level::Unknown`], and neither ends the pass.

use serde::Serialize;
use tokio_postgres::types::Type;

use crate::catalog::{Catalog, Parameter};
use crate::config::Config;
use crate::connection::Connector;
use crate::error::{Error, ErrorClass};

mod access;
mod check;
mod published;
mod server;
mod slot;
mod wal;

use self::check::{Answer, Check, Patient, Verdict};

/// How bad a finding is, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Not wrong, and good to know.
    Info,
    /// The role may not see it, or the server did not say.
    Unknown,
    /// It works, and may not for long, or not as expected.
    Warning,
    /// A stream does not start, does not last, or holds up the server.
    Error,
}

/// What one check found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Which check: stays the same for ever.
    pub code: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found: for people.
    pub text: String,
    /// Statements that mend it, to be run one by one.
    pub sql: Vec<String>,
    /// What to do besides, or instead: for people.
    pub advice: Option<String>,
}

/// All findings, in the order of [`codes`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Which server was asked: `host:port`, or the path of the socket.
    pub address: String,
    /// The database.
    pub database: String,
    /// The role.
    pub role: String,
    /// Whether it could be asked anything at all.
    pub reachable: bool,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings are of this level.
    pub fn count(&self, level: Level) -> usize {
        let of = |finding: &&Finding| finding.level == level;
        self.findings.iter().filter(of).count()
    }

    /// The finding with this code, if the check applies.
    pub fn find(&self, code: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.code == code)
    }
}

/// The codes of all checks.
pub fn codes() -> impl Iterator<Item = &'static str> {
    let access = [access::CONNECTION, access::REPLICATION, access::POOLER];
    let rest = tables().map(|check| check.code);
    access.into_iter().chain(rest).chain([access::CLOCK])
}

/// Asks the server of `config` everything that matters to a stream. Checks of the slot and of the
/// publications are made where `config` names them. Changes nothing; opens two connections.
///
/// # Errors
/// [`Error::Configuration`] where `config` names no server. One that cannot be reached is a
/// finding.
pub async fn diagnose(config: &Config) -> Result<Report, Error> {
    let connector = Connector::new(config.server()?);
    let login = connector.login();
    let mut report = Report {
        address: connector.address(),
        database: login.database,
        role: login.user,
        reachable: false,
        findings: Vec::new(),
    };
    let limit = connector.connect_timeout();
    let mut catalog = Catalog::new(config, connector);
    let patient = match admit(config, &mut catalog).await {
        Ok(patient) => patient,
        Err(error) => {
            report
                .findings
                .push(access::unreachable(&error).finding(access::CONNECTION));
            return Ok(report);
        }
    };
    report.reachable = true;
    let mut findings = Vec::new();
    let mut lost = None;
    for check in tables().filter(|check| check.since <= patient.major) {
        let verdict = match &lost {
            None => examine(&patient, &mut catalog, check).await,
            Some(text) => Ok(Some(Verdict::unknown(String::clone(text)))),
        };
        let verdict = verdict.unwrap_or_else(|error| {
            let text = lost.insert(format!("the connection was lost: {error}"));
            Some(Verdict::unknown(String::clone(text)))
        });
        findings.extend(verdict.map(|verdict| verdict.finding(check.code)));
    }
    let clock = access::clock(&mut catalog).await;
    report
        .findings
        .push(Verdict::ok("open").finding(access::CONNECTION));
    // Last, so that its walsender is not counted, and shown first.
    report
        .findings
        .extend(access::replication(&catalog, limit).await);
    report.findings.append(&mut findings);
    report.findings.push(clock.finding(access::CLOCK));
    Ok(report)
}

fn tables() -> impl Iterator<Item = &'static Check> {
    [
        access::CHECKS,
        server::CHECKS,
        wal::CHECKS,
        // What is made in this order is as it should be.
        published::CHECKS,
        slot::CHECKS,
    ]
    .into_iter()
    .flatten()
}

/// Connects and learns what all checks need.
async fn admit<'c>(config: &'c Config, catalog: &mut Catalog) -> Result<Patient<'c>, Error> {
    catalog.open().await?;
    let publications: [Parameter<'_>; 1] = [(&config.publications, Type::TEXT_ARRAY)];
    let rows = catalog.query(ADMIT, &publications).await?;
    let row = rows.first();
    let row = row.ok_or_else(|| Error::protocol("the server does not say its version"))?;
    let major: i32 = catalog.get(row, 0)?;
    Ok(Patient {
        config,
        major: u32::try_from(major).unwrap_or_default(),
        role: catalog.get(row, 1)?,
        published: catalog.get(row, 3)?,
    })
}

/// What one check comes to, if it applies.
///
/// # Errors
/// The connection's: there is no use in asking on.
async fn examine(
    patient: &Patient<'_>,
    catalog: &mut Catalog,
    check: &Check,
) -> Result<Option<Verdict>, Error> {
    let Config {
        slot, publications, ..
    } = patient.config;
    let sql = format!(
        "SELECT coalesce(jsonb_agg(to_jsonb(answer)), '[]')::text FROM ({}) AS answer",
        check.question
    );
    let parameters: [Parameter<'_>; 2] = [(slot, Type::TEXT), (publications, Type::TEXT_ARRAY)];
    let answered = match catalog.query(&sql, &parameters).await {
        Ok(rows) => match rows.first() {
            Some(row) => catalog.get::<String>(row, 0),
            None => Ok("[]".to_owned()),
        },
        Err(error) => Err(error),
    };
    match answered {
        Ok(json) => Ok(match serde_json::from_str::<Answer>(&json) {
            Ok(answer) => (check.judge)(patient, &answer),
            Err(error) => Some(Verdict::unknown(format!("no answer to read: {error}"))),
        }),
        Err(error) if error.class() == ErrorClass::Transient => Err(error),
        Err(error) => Ok(Some(Verdict::unknown(error.to_string()))),
    }
}

/// Names are then looked up in the system's schema alone, and those of others are printed with
/// theirs.
const ADMIT: &str = "
SELECT pg_catalog.current_setting('server_version_num')::int / 10000,
       pg_catalog.quote_ident(current_user),
       pg_catalog.set_config('search_path', 'pg_catalog', false),
       EXISTS (SELECT FROM pg_catalog.pg_publication p WHERE p.pubname = ANY ($1))";
