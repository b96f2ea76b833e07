//! Whether and how we get in.

use std::time::Duration;

use super::Finding;
use super::check::{Answer, Check, Patient, Verdict};
use crate::catalog::Catalog;
use crate::error::Error;
use crate::stream::Clock;

pub(super) const CONNECTION: &str = "connection";
pub(super) const REPLICATION: &str = "replication-connection";
pub(super) const POOLER: &str = "pooler";
pub(super) const CLOCK: &str = "clock";

pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "tls",
        since: 0,
        question: "
            SELECT s.ssl, s.version, s.cipher,
                   coalesce(inet_client_addr() << '127.0.0.0/8' OR inet_client_addr() = '::1',
                            true) AS local
            FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()",
        judge: tls,
    },
    Check {
        code: "password-encryption",
        since: 0,
        question: "SELECT current_setting('password_encryption') AS method",
        judge: password_encryption,
    },
    Check {
        code: "role-replication",
        since: 0,
        question: "
            SELECT r.rolsuper, r.rolreplication, cloud.rolname AS cloud,
                   coalesce(pg_has_role(cloud.oid, 'MEMBER'), false) AS member
            FROM pg_roles r
            LEFT JOIN pg_roles cloud ON cloud.rolname = 'rds_replication'
            WHERE r.rolname = current_user",
        judge: role_replication,
    },
    Check {
        code: "connections",
        since: 0,
        question: "
            SELECT r.rolsuper, r.rolconnlimit, d.datconnlimit, quote_ident(d.datname) AS database,
                   current_setting('max_connections')::int
                     - current_setting('superuser_reserved_connections')::int
                     - coalesce(current_setting('reserved_connections', true)::int, 0)
                     - (SELECT sum(numbackends)::int FROM pg_stat_database) AS free
            FROM pg_roles r, pg_database d
            WHERE r.rolname = current_user AND d.datname = current_database()",
        judge: connections,
    },
];

/// The server answers nothing.
pub(super) fn unreachable(error: &Error) -> Verdict {
    let verdict = failed(error);
    match error.sqlstate() {
        Some(PROTOCOL_VIOLATION) => verdict.advice(PAST_POOLER),
        _ => verdict,
    }
}

/// Opens a replication connection, and looks whether it ends at PostgreSQL itself.
pub(super) async fn replication(catalog: &Catalog, limit: Duration) -> [Finding; 2] {
    let asking = async {
        let mut connection = catalog.replication().await?;
        let identity = connection.identify().await?;
        let row = connection.row(PROCESS, "asking who serves us").await?;
        Ok::<_, Error>((identity, row, connection.process_id()))
    };
    let (connected, pooler) = match tokio::time::timeout(limit, asking).await {
        Ok(Ok((identity, row, told))) => {
            let text = format!("open, on timeline {}", identity.lineage.timeline);
            let process: Option<i32> = row
                .into_iter()
                .next()
                .flatten()
                .and_then(|text| text.parse().ok());
            (Verdict::ok(text), pooled(told, process))
        }
        Ok(Err(error)) => {
            let refused = error.sqlstate() == Some(PROTOCOL_VIOLATION);
            let pooler = if refused {
                Verdict::error("something that is not PostgreSQL refuses replication connections")
                    .advice(PAST_POOLER)
            } else {
                Verdict::unknown("there is no replication connection to look at")
            };
            (failed(&error), pooler)
        }
        Err(_) => (
            Verdict::error(format!("no answer within {} s", limit.as_secs_f32())),
            Verdict::unknown("there is no replication connection to look at"),
        ),
    };
    [connected.finding(REPLICATION), pooler.finding(POOLER)]
}

/// PostgreSQL tells the process that serves us; whoever stands in between, a key of its own.
fn pooled(told: Option<i32>, process: Option<i32>) -> Verdict {
    if told.is_none() || process.is_none() {
        return Verdict::unknown("the server does not say which process serves us");
    }
    if told == process {
        return Verdict::ok("none in between");
    }
    Verdict::warning("a connection pooler or proxy stands between us and PostgreSQL")
        .advice(PAST_POOLER)
}

/// Compares the clocks of the two machines.
pub(super) async fn clock(catalog: &mut Catalog) -> Verdict {
    let before = Clock::unix_us();
    let asked = catalog.query(NOW, &[]).await;
    let after = Clock::unix_us();
    let server = asked.and_then(|rows| match rows.first() {
        Some(row) => catalog.get::<i64>(row, 0),
        None => Err(Error::protocol("the server does not say what time it is")),
    });
    match server {
        Ok(server) => skew(before, server, after),
        Err(error) => Verdict::unknown(error.to_string()),
    }
}

/// Whether the server's clock was at `server` somewhere between `before` and `after`.
fn skew(before: i64, server: i64, after: i64) -> Verdict {
    let (early, late) = (before - server, server - after);
    let skew = Duration::from_micros(early.max(late).max(0).unsigned_abs());
    if skew <= SKEW_MAX {
        return Verdict::ok("the same as the server's");
    }
    let side = if late > 0 { "ahead of" } else { "behind" };
    Verdict::warning(format!(
        "the server's clock is {:.1} s {side} ours: lags in seconds are wrong by that",
        skew.as_secs_f64()
    ))
    .advice("synchronise both machines, with NTP for example")
}

/// An error as a verdict: its hint apart from its text.
fn failed(error: &Error) -> Verdict {
    let text = match error {
        Error::Server {
            sqlstate,
            message,
            doing,
            ..
        } => format!("{doing}: {message} (SQLSTATE {sqlstate})"),
        error => error.to_string(),
    };
    match error.hint() {
        Some(hint) => Verdict::error(text).advice(hint),
        None => Verdict::error(text),
    }
}

fn tls(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    Some(if row.flag("ssl") {
        Verdict::ok(format!("{}, {}", row.text("version"), row.text("cipher")))
    } else if row.flag("local") {
        Verdict::ok("none, on this machine alone")
    } else {
        Verdict::warning("the connection is not encrypted: changes cross the network as they are")
            .advice("connect with sslmode=verify-full; the server needs ssl = on and a certificate")
    })
}

fn password_encryption(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let method = answer.first()?.text("method");
    Some(if method == "scram-sha-256" {
        Verdict::ok(method)
    } else {
        Verdict::warning(format!(
            "{method}: new passwords are kept as hashes that can be used"
        ))
        .setting("password_encryption", "'scram-sha-256'")
        .advice("then set the roles' passwords again")
    })
}

fn role_replication(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    let role = &patient.role;
    Some(if row.flag("rolreplication") {
        Verdict::ok(format!("role {role} may replicate"))
    } else if row.flag("rolsuper") {
        Verdict::ok(format!(
            "role {role} is a superuser; REPLICATION would be enough"
        ))
    } else if row.flag("member") {
        Verdict::ok(format!("role {role} is a member of rds_replication"))
    } else {
        let verdict = Verdict::error(format!("role {role} may not replicate"));
        if row.text("cloud").is_empty() {
            verdict.sql(format!("ALTER ROLE {role} REPLICATION;"))
        } else {
            verdict.sql(format!("GRANT rds_replication TO {role};"))
        }
    })
}

fn connections(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    let too_few = |limit: &str| {
        let limit = row.number(limit).unwrap_or(-1);
        (0..2).contains(&limit) && !row.flag("rolsuper")
    };
    let needs = "a stream needs two connections";
    let (role, database) = (&patient.role, row.text("database"));
    Some(if too_few("rolconnlimit") {
        Verdict::error(format!("{needs}, and role {role} may not have as many"))
            .sql(format!("ALTER ROLE {role} CONNECTION LIMIT -1;"))
    } else if too_few("datconnlimit") {
        Verdict::error(format!(
            "{needs}, and database {database} does not take as many"
        ))
        .sql(format!("ALTER DATABASE {database} CONNECTION LIMIT -1;"))
    } else {
        // Ours is among those that are not free now.
        match row.number("free")? {
            free @ ..2 => Verdict::warning(format!(
                "{} more connections fit into the server",
                free.max(0)
            ))
            .sql("ALTER SYSTEM SET max_connections = 200;")
            .advice("then restart the server; or find out who holds so many: pg_stat_activity"),
            free => Verdict::ok(format!("{free} free")),
        }
    })
}

/// `protocol_violation`: what poolers answer to startup parameters that they do not know.
const PROTOCOL_VIOLATION: &str = "08P01";

const PAST_POOLER: &str = "connect to PostgreSQL itself: poolers pass no replication connections \
    on, or not for long";

/// More is not the network.
const SKEW_MAX: Duration = Duration::from_secs(1);

const PROCESS: &str = "SELECT pg_catalog.pg_backend_pid()";

const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::config::Config;

    #[test]
    fn clocks_may_differ_by_what_the_network_takes() {
        let level = |before, server, after| skew(before, server, after).finding("clock").level;
        assert_eq!(level(0, 0, 0), Level::Ok);
        // It took five seconds to answer.
        assert_eq!(level(0, 4_000_000, 5_000_000), Level::Ok);
        assert_eq!(level(0, 1_000_000, 0), Level::Ok);
        assert_eq!(level(0, 1_000_001, 0), Level::Warning);
        assert_eq!(level(1_000_001, 0, 2_000_000), Level::Warning);
        let late = skew(0, 3_500_000, 1_000_000).finding("clock");
        assert!(late.text.contains("2.5 s ahead of ours"), "{}", late.text);
        let early = skew(3_000_000, 0, 4_000_000).finding("clock");
        assert!(early.text.contains("3.0 s behind ours"), "{}", early.text);
    }

    #[test]
    fn only_what_stays_on_the_machine_goes_without_tls() {
        let config = Config::new("d");
        let patient = Patient {
            config: &config,
            major: 18,
            role: "r".to_owned(),
            published: true,
        };
        let level = |json: &str| {
            let answer = serde_json::from_str(json).unwrap();
            tls(&patient, &answer).unwrap().finding("tls").level
        };
        assert_eq!(level(r#"[{"ssl":false,"local":true}]"#), Level::Ok);
        assert_eq!(level(r#"[{"ssl":false,"local":false}]"#), Level::Warning);
        let on = r#"[{"ssl":true,"local":false,"version":"TLSv1.3","cipher":"c"}]"#;
        assert_eq!(level(on), Level::Ok);
    }
}
