//! What keeps WAL, and what takes it away from a slot.

use super::check::{Answer, Check, Patient, Verdict};

pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "wal-keep-limit",
        since: 13,
        question: "
            SELECT setting::bigint AS mb, current_setting(name) AS size
            FROM pg_settings WHERE name = 'max_slot_wal_keep_size'",
        judge: wal_keep_limit,
    },
    Check {
        code: "idle-slot-timeout",
        since: 18,
        question: "
            SELECT setting <> '0' AS set, current_setting(name) AS time
            FROM pg_settings WHERE name = 'idle_replication_slot_timeout'",
        judge: idle_slot_timeout,
    },
    Check {
        code: "synchronized-standby-slots",
        since: 17,
        question: "
            SELECT current_setting('synchronized_standby_slots') AS names,
                   array_agg(trim(BOTH ' \"' FROM w.name)) FILTER (WHERE s.active IS NOT TRUE)
                     AS absent,
                   coalesce(string_agg(quote_ident(trim(BOTH ' \"' FROM w.name)), ', ')
                            FILTER (WHERE s.active), '''''') AS present
            FROM string_to_table(current_setting('synchronized_standby_slots'), ',') AS w(name)
            LEFT JOIN pg_replication_slots s ON s.slot_name = trim(BOTH ' \"' FROM w.name)",
        judge: synchronized_standby_slots,
    },
    Check {
        code: "other-slots",
        since: 0,
        question: "
            SELECT s.slot_name AS slot, quote_literal(s.slot_name) AS quoted,
                   pg_size_pretty(pg_wal_lsn_diff(wal.lsn, s.restart_lsn)) AS kept
            FROM pg_replication_slots s
            CROSS JOIN (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                    ELSE pg_current_wal_lsn() END) AS wal(lsn)
            WHERE s.slot_name <> $1 AND NOT s.active
              AND pg_wal_lsn_diff(wal.lsn, s.restart_lsn) > 1024 ^ 3
            ORDER BY s.restart_lsn",
        judge: other_slots,
    },
];

fn wal_keep_limit(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    Some(if row.number("mb")? < 0 {
        Verdict::warning("no limit: a consumer that stays away fills the server's disk")
            .setting("max_slot_wal_keep_size", "'64GB'")
            .advice("choose what the disk can spare: a slot that is behind further is lost")
    } else {
        Verdict::ok(format!("{} at most", row.text("size")))
    })
}

fn idle_slot_timeout(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    Some(if row.flag("set") {
        Verdict::warning(format!(
            "a slot is lost when its consumer is away for {}",
            row.text("time")
        ))
        .setting("idle_replication_slot_timeout", "0")
    } else {
        Verdict::ok("none")
    })
}

fn synchronized_standby_slots(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    let absent: Vec<_> = row.texts("absent").collect();
    Some(if row.text("names").is_empty() {
        Verdict::ok("none")
    } else if absent.is_empty() {
        Verdict::ok(row.text("names"))
    } else {
        Verdict::error(format!(
            "{} not in use: streams from failover slots wait for it",
            absent.join(", ")
        ))
        .setting("synchronized_standby_slots", row.text("present"))
        .advice("or start its standby")
    })
}

#[expect(clippy::unnecessary_wraps, reason = "as every judge")]
fn other_slots(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let Some(row) = answer.first() else {
        return Some(Verdict::ok("none keeps much"));
    };
    let quoted = answer.texts("quoted").into_iter();
    Some(
        Verdict::warning(format!(
            "nobody reads {}; WAL kept by the furthest behind: {}",
            answer.list("slot"),
            row.text("kept")
        ))
        .sqls(quoted.map(|slot| format!("SELECT pg_drop_replication_slot({slot});")))
        .advice("but not if the consumer will come back: it loses its place"),
    )
}
