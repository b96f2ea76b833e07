//! What the server is and how it is set up.

use super::check::{Answer, Check, Patient, Verdict};

pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "version",
        since: 0,
        question: "SELECT current_setting('server_version') AS version",
        judge: version,
    },
    Check {
        code: "protocol",
        since: 0,
        question: "SELECT",
        judge: protocol,
    },
    Check {
        code: "wal-level",
        since: 0,
        question: "SELECT current_setting('wal_level') AS wal_level",
        judge: wal_level,
    },
    Check {
        code: "standby",
        since: 0,
        question: "
            SELECT pg_is_in_recovery() AS standby,
                   current_setting('hot_standby_feedback')::bool AS feedback",
        judge: standby,
    },
    Check {
        code: "wal-senders",
        since: 0,
        question: "
            SELECT current_setting('max_wal_senders')::int AS max,
                   (SELECT count(*) FROM pg_stat_get_wal_senders()) AS used,
                   EXISTS (SELECT FROM pg_replication_slots
                           WHERE slot_name = $1 AND active) AS ours",
        judge: wal_senders,
    },
    Check {
        code: "replication-slots",
        since: 0,
        question: "
            SELECT current_setting('max_replication_slots')::int AS max, count(*) AS used,
                   coalesce(bool_or(slot_name = $1), false) AS ours
            FROM pg_replication_slots",
        judge: replication_slots,
    },
    Check {
        code: "wal-sender-timeout",
        since: 0,
        question: "
            SELECT setting::bigint AS ms FROM pg_settings WHERE name = 'wal_sender_timeout'",
        judge: wal_sender_timeout,
    },
    Check {
        code: "synchronous-standby-names",
        since: 0,
        question: "
            SELECT current_setting('synchronous_standby_names') AS names,
                   current_setting('synchronous_commit') IN ('off', 'local') AS off,
                   current_setting('application_name') AS ours",
        judge: synchronous_standby_names,
    },
    Check {
        code: "decoding-memory",
        since: 13,
        question: "
            SELECT setting::bigint AS kb,
                   pg_size_pretty(setting::bigint * 1024) AS size
            FROM pg_settings WHERE name = 'logical_decoding_work_mem'",
        judge: decoding_memory,
    },
    Check {
        code: "encoding",
        since: 0,
        question: "SELECT current_setting('server_encoding') AS encoding",
        judge: encoding,
    },
    Check {
        code: "long-transactions",
        since: 0,
        question: "
            SELECT a.pid, a.usename AS role,
                   extract(epoch FROM clock_timestamp() - a.xact_start)::bigint AS age_s,
                   may.see
            FROM (SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS see) AS may
            LEFT JOIN pg_stat_activity a
              ON a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
             AND clock_timestamp() - a.xact_start
                 > CASE WHEN $1 = '' OR EXISTS (SELECT FROM pg_replication_slots
                                                WHERE slot_name = $1)
                        THEN interval '5 min' ELSE interval '5 s' END
            ORDER BY a.xact_start LIMIT 5",
        judge: long_transactions,
    },
    Check {
        code: "prepared-transactions",
        since: 0,
        question: "
            SELECT quote_literal(p.gid) AS gid, p.owner, quote_ident(p.database) AS database,
                   extract(epoch FROM clock_timestamp() - p.prepared)::bigint AS age_s
            FROM pg_prepared_xacts p
            WHERE clock_timestamp() - p.prepared
                  > CASE WHEN $1 = '' OR EXISTS (SELECT FROM pg_replication_slots
                                                 WHERE slot_name = $1)
                         THEN interval '5 min' ELSE interval '5 s' END
            ORDER BY p.prepared LIMIT 5",
        judge: prepared_transactions,
    },
];

fn version(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let version = answer.first()?.text("version");
    Some(match patient.major {
        ..12 => Verdict::error(format!("PostgreSQL {version}: 12 or later is needed")),
        _ => Verdict::ok(format!("PostgreSQL {version}")),
    })
}

#[expect(clippy::unnecessary_wraps, reason = "as every judge")]
fn protocol(patient: &Patient<'_>, _: &Answer) -> Option<Verdict> {
    Some(match patient.config.wishes.options(patient.major) {
        Ok(options) => {
            let of = |name| {
                let mut named = options.iter().filter(|(known, _)| *known == name);
                named.next().map_or("off", |(_, value)| value)
            };
            let (version, streaming) = (of("proto_version"), of("streaming"));
            Verdict::ok(format!("version {version}, streaming {streaming}"))
        }
        Err(error) => Verdict::error(error.to_string()).advice("do without, or update the server"),
    })
}

fn wal_level(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let level = answer.first()?.text("wal_level");
    Some(if level == "logical" {
        Verdict::ok(level)
    } else {
        Verdict::error(format!(
            "{level}: without logical, no change can be decoded"
        ))
        .setting_at_start("wal_level", "logical")
    })
}

fn standby(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    Some(if !row.flag("standby") {
        Verdict::ok("no, a primary")
    } else if patient.major < 16 {
        Verdict::error("a standby, which has logical slots from PostgreSQL 16 on")
            .advice("connect to the primary")
    } else if row.flag("feedback") {
        Verdict::ok("yes, and the primary keeps what its slots need")
    } else {
        Verdict::error("a standby without feedback: the primary's VACUUM invalidates its slots")
            .setting("hot_standby_feedback", "on")
            .advice("and let the standby have a physical slot on the primary, primary_slot_name")
    })
}

fn wal_senders(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    room(answer, "max_wal_senders", "there is none left for us")
}

fn replication_slots(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    room(answer, "max_replication_slots", "none can be made")
}

fn room(answer: &Answer, setting: &str, full: &str) -> Option<Verdict> {
    let row = answer.first()?;
    let (max, used) = (row.number("max")?, row.number("used")?);
    let text = format!("{used} of {max} in use");
    Some(if used < max || row.flag("ours") {
        Verdict::ok(text)
    } else {
        Verdict::error(format!("{text}: {full}")).setting_at_start(setting, &(max + 10).to_string())
    })
}

fn wal_sender_timeout(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let ms = answer.first()?.number("ms")?;
    Some(match ms {
        0 => Verdict::warning(
            "none: where a consumer's machine dies, its slot stays in use, for hours maybe",
        )
        .setting("wal_sender_timeout", "'60s'"),
        ..1000 => Verdict::warning(format!("{ms} ms: a busy network ends the stream"))
            .setting("wal_sender_timeout", "'60s'"),
        _ => Verdict::ok(format!("{} s", ms / 1000)),
    })
}

fn synchronous_standby_names(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    let (names, ours) = (row.text("names"), row.text("ours"));
    let names = standby_names(names);
    let named = names.iter().any(|name| name.eq_ignore_ascii_case(ours));
    let any = names.iter().any(|name| name == "*");
    Some(if names.is_empty() {
        Verdict::ok("none")
    } else if !named && !any {
        Verdict::ok(format!("{ours:?} is not among them"))
    } else {
        let how = if named {
            "is among them"
        } else {
            "is among them, as * is all"
        };
        let text = format!("{ours:?} {how}: every COMMIT may wait for our consumer");
        let verdict = if row.flag("off") {
            Verdict::warning(text)
        } else {
            Verdict::error(text)
        };
        if named {
            verdict.advice("give the stream another application_name")
        } else {
            verdict
                .advice("name the standbys themselves: ALTER SYSTEM SET synchronous_standby_names")
        }
    })
}

/// The names in `FIRST 1 (a, "b")`, `ANY 2 (…)`, `1 (…)` or a plain list.
fn standby_names(setting: &str) -> Vec<String> {
    let list = match setting.split_once('(') {
        // A quoted name may have one.
        Some((before, rest)) if !before.contains('"') => {
            rest.rsplit_once(')').map_or(rest, |(list, _)| list)
        }
        _ => setting,
    };
    let mut names = vec![String::new()];
    let mut quoted = false;
    for c in list.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(String::new()),
            c if c.is_whitespace() && !quoted => {}
            c => {
                if let Some(name) = names.last_mut() {
                    name.push(c);
                }
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn decoding_memory(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    let size = row.text("size");
    Some(if row.number("kb")? < 1024 {
        Verdict::warning(format!(
            "{size}: small transactions are taken for large ones"
        ))
        .setting("logical_decoding_work_mem", "'64MB'")
    } else {
        Verdict::ok(size)
    })
}

fn encoding(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let encoding = answer.first()?.text("encoding");
    Some(match encoding {
        "UTF8" => Verdict::ok(encoding),
        "SQL_ASCII" => Verdict::warning("SQL_ASCII: text that is not UTF-8 ends the stream")
            .advice("move to a database with ENCODING 'UTF8'"),
        _ => Verdict::ok(format!("{encoding}, sent as UTF8")),
    })
}

fn long_transactions(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    let Some(pid) = row.number("pid") else {
        if row.flag("see") {
            return Some(Verdict::ok("none"));
        }
        let grant = format!("GRANT pg_read_all_stats TO {};", patient.role);
        let unseen = Verdict::unknown("the role does not see those of other roles");
        return Some(unseen.sql(grant));
    };
    let age_s = row.number("age_s")?;
    let ending = answer.rows.iter().filter_map(|row| row.number("pid"));
    Some(
        Verdict::warning(format!(
            "process {pid} of role {} has one open for {age_s} s: WAL is kept since, and a slot \
             that is made waits for it",
            row.text("role")
        ))
        .sqls(ending.map(|pid| format!("SELECT pg_terminate_backend({pid});"))),
    )
}

fn prepared_transactions(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let Some(row) = answer.first() else {
        return Some(Verdict::ok("none"));
    };
    let (gid, database) = (row.text("gid"), row.text("database"));
    let gids = answer.texts("gid").into_iter();
    Some(
        Verdict::warning(format!(
            "{gid} of role {} waits since {} s in database {database}: WAL is kept since, and a \
             slot that is made waits for it",
            row.text("owner"),
            row.number("age_s")?
        ))
        .sqls(gids.map(|gid| format!("ROLLBACK PREPARED {gid};")))
        .advice(format!(
            "in database {database}; or COMMIT PREPARED: whoever prepared it knows"
        )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_standbys_are_read_as_postgresql_does() {
        for (setting, expected) in [
            ("", vec![]),
            ("a", vec!["a"]),
            ("a, B", vec!["a", "B"]),
            ("FIRST 2 (a, \"b c\")", vec!["a", "b c"]),
            ("any 1 (*)", vec!["*"]),
            ("1 (a)", vec!["a"]),
            ("\"a(b\", \"c,d\"", vec!["a(b", "c,d"]),
        ] {
            assert_eq!(standby_names(setting), expected, "{setting}");
        }
    }

    #[test]
    fn old_servers_are_refused() {
        let config = crate::config::Config::new("d");
        let level = |major| {
            let patient = Patient {
                config: &config,
                major,
                role: "r".to_owned(),
                published: true,
            };
            let answer = serde_json::from_str(r#"[{"version":"x"}]"#).unwrap();
            version(&patient, &answer).unwrap().finding("version").level
        };
        assert_eq!(level(11), super::super::Level::Error);
        assert_eq!(level(12), super::super::Level::Ok);
    }
}
