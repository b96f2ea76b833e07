//! The slot.

use super::check::{Answer, Check, Patient, Verdict};
use crate::error::{create_slot_sql, drop_slot_sql, quote_identifier};

pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "slot",
        since: 0,
        question: "
            SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1) AS there
            WHERE $1 <> ''",
        judge: slot,
    },
    Check {
        code: "slot-plugin",
        since: 0,
        question: "
            SELECT coalesce(plugin, slot_type) AS plugin
            FROM pg_replication_slots WHERE slot_name = $1",
        judge: slot_plugin,
    },
    Check {
        code: "slot-database",
        since: 0,
        question: "
            SELECT database, database = current_database() AS ours
            FROM pg_replication_slots WHERE slot_name = $1 AND slot_type = 'logical'",
        judge: slot_database,
    },
    Check {
        code: "slot-lost",
        since: 13,
        question: "
            SELECT s.wal_status AS status, to_jsonb(s) ->> 'invalidation_reason' AS reason
            FROM pg_replication_slots s WHERE s.slot_name = $1",
        judge: slot_lost,
    },
    Check {
        code: "slot-in-use",
        since: 0,
        question: "
            SELECT s.active, s.active_pid, a.application_name AS application,
                   coalesce(host(a.client_addr), 'this machine') AS address,
                   a.application_name = current_setting('application_name') AS ours,
                   to_jsonb(s) ->> 'inactive_since' AS since
            FROM pg_replication_slots s
            LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
            WHERE s.slot_name = $1",
        judge: slot_in_use,
    },
    Check {
        code: "slot-wal-left",
        since: 13,
        question: "
            SELECT s.wal_status AS status, s.safe_wal_size AS safe,
                   pg_size_pretty(s.safe_wal_size) AS left, l.setting::bigint AS limit_mb
            FROM pg_replication_slots s, pg_settings l
            WHERE s.slot_name = $1 AND s.wal_status <> 'lost' AND l.name = 'max_slot_wal_keep_size'
              AND (to_jsonb(s) ->> 'invalidation_reason') IS NULL",
        judge: slot_wal_left,
    },
    Check {
        code: "slot-lag",
        since: 0,
        question: "
            SELECT s.active, pg_wal_lsn_diff(wal.lsn, s.restart_lsn) > 1024 ^ 3 AS far,
                   pg_size_pretty(pg_wal_lsn_diff(wal.lsn, s.restart_lsn)) AS kept,
                   pg_size_pretty(pg_wal_lsn_diff(wal.lsn, s.confirmed_flush_lsn)) AS unread
            FROM pg_replication_slots s
            CROSS JOIN (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                    ELSE pg_current_wal_lsn() END) AS wal(lsn)
            WHERE s.slot_name = $1 AND s.restart_lsn IS NOT NULL",
        judge: slot_lag,
    },
    Check {
        code: "slot-two-phase",
        since: 15,
        question: "
            SELECT s.two_phase FROM pg_replication_slots s
            WHERE s.slot_name = $1 AND s.plugin = 'pgoutput'",
        judge: slot_two_phase,
    },
    Check {
        code: "slot-failover",
        since: 17,
        question: "
            SELECT s.failover,
                   EXISTS (SELECT FROM pg_replication_slots
                           WHERE slot_type = 'physical') AS standbys
            FROM pg_replication_slots s
            WHERE s.slot_name = $1 AND s.slot_type = 'logical' AND NOT s.temporary
              AND NOT pg_is_in_recovery()",
        judge: slot_failover,
    },
];

fn slot(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let name = &patient.config.slot;
    Some(if answer.first()?.flag("there") {
        Verdict::ok(name.clone())
    } else {
        Verdict::error(format!("{name} does not exist")).sql(create_slot_sql(name))
    })
}

fn slot_plugin(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let plugin = answer.first()?.text("plugin");
    Some(match plugin {
        "pgoutput" => Verdict::ok(plugin),
        "physical" => Verdict::error("a physical slot, which a standby needs")
            .advice("choose another name for ours"),
        _ => Verdict::error(format!("{plugin}, not pgoutput: somebody else's"))
            .advice("choose another name for ours"),
    })
}

fn slot_database(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    let database = row.text("database");
    Some(if row.flag("ours") {
        Verdict::ok(database)
    } else {
        Verdict::error(format!("it has the changes of database {database}"))
            .advice("connect to that one, or choose another name for ours")
    })
}

fn slot_lost(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    let reason = match (row.text("reason"), row.text("status")) {
        ("", "lost") => "wal_removed",
        ("", _) => return Some(Verdict::ok("no")),
        (reason, _) => reason,
    };
    let name = &patient.config.slot;
    Some(
        Verdict::error(format!(
            "it was invalidated ({reason}): its changes are gone"
        ))
        .sql(drop_slot_sql(name))
        .sql(create_slot_sql(name))
        .advice("then take a new snapshot of the tables"),
    )
}

fn slot_in_use(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    if !row.flag("active") {
        let since = match row.text("since") {
            "" => String::new(),
            since => format!(", since {since}"),
        };
        return Some(Verdict::ok(format!("by nobody{since}")));
    }
    let pid = row.number("active_pid")?;
    let (application, address) = (row.text("application"), row.text("address"));
    let text = format!("by process {pid}, {application:?} from {address}");
    Some(if row.flag("ours") {
        Verdict::ok(text)
    } else {
        Verdict::warning(format!("{text}: another consumer, which keeps ours out"))
            .sql(format!("SELECT pg_terminate_backend({pid});"))
            .advice("or let it stop by itself")
    })
}

fn slot_wal_left(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    let (Some(safe), limit_mb @ 0..) = (row.number("safe"), row.number("limit_mb")?) else {
        return Some(Verdict::ok("no limit"));
    };
    let left = row.text("left");
    let raise = format!("'{}MB'", limit_mb.max(512).saturating_mul(2));
    let start = "and start its consumer, or see why it does not keep up";
    Some(if row.text("status") == "unreserved" || safe <= 0 {
        Verdict::error("none: the next checkpoint takes away what it needs")
            .setting("max_slot_wal_keep_size", &raise)
            .advice(start)
    } else if safe / 1024 / 1024 < limit_mb / 4 {
        Verdict::warning(format!("{left} of {limit_mb} MB until it is lost"))
            .setting("max_slot_wal_keep_size", &raise)
            .advice(start)
    } else {
        Verdict::ok(format!("{left} of {limit_mb} MB"))
    })
}

fn slot_lag(_: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    let text = format!("{} unread, {} kept", row.text("unread"), row.text("kept"));
    Some(if !row.flag("far") {
        Verdict::ok(text)
    } else if row.flag("active") {
        Verdict::warning(text)
            .advice("see whether its consumer keeps up, and long-transactions above")
    } else {
        Verdict::warning(format!("{text}, and nobody reads it"))
            .advice("start its consumer, or drop it: pgoutput-decoder slot drop")
    })
}

fn slot_two_phase(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let on = answer.first()?.flag("two_phase");
    Some(match (on, patient.config.wishes.two_phase) {
        (false, false) => Verdict::ok("off"),
        (true, true) => Verdict::ok("on"),
        (false, true) => Verdict::info("off: the stream switches it on, for good"),
        (true, false) => Verdict::warning(
            "on, though not asked for: what is prepared holds back what is confirmed",
        )
        .advice("ask for it, two_phase; or make another slot"),
    })
}

fn slot_failover(patient: &Patient<'_>, answer: &Answer) -> Option<Verdict> {
    let row = answer.first()?;
    Some(if row.flag("failover") {
        Verdict::ok("on")
    } else if !row.flag("standbys") {
        Verdict::ok("off, and there is no standby")
    } else {
        let name = quote_identifier(&patient.config.slot);
        Verdict::warning("off: after a failover, the slot and its changes are gone")
            .sql(format!("ALTER_REPLICATION_SLOT {name} (FAILOVER true);"))
            .advice(
                "in a replication session, psql 'replication=database', while nobody reads it; \
                 the standby needs sync_replication_slots = on",
            )
    })
}
