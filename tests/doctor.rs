//! What the doctor finds in a database that is set up wrong, and that what it says mends it: each
//! check is broken, and then its own SQL is run.

use pgoutput_decoder_host::doctor::{Finding, Level, Report, codes, diagnose};

use super::relay::{relay, untouched};
use super::*;

pub(super) fn finding<'r>(report: &'r Report, code: &str) -> &'r Finding {
    report
        .find(code)
        .unwrap_or_else(|| panic!("{code} does not apply: {report:?}"))
}

/// The finding, which must be as bad as that.
pub(super) async fn found(config: &Config, code: &str, level: Level) -> Finding {
    let report = diagnose(config).await.unwrap();
    let finding = finding(&report, code);
    assert_eq!(finding.level, level, "{finding:?}");
    finding.clone()
}

/// Runs what the finding says, each statement by itself, in the database of `sql`.
pub(super) async fn mend(sql: &Client, finding: &Finding) {
    assert!(!finding.sql.is_empty(), "nothing to run: {finding:?}");
    for statement in &finding.sql {
        let run = sql.batch_execute(statement).await;
        run.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
}

/// It is found, its SQL is run, and it is gone.
pub(super) async fn found_and_mended(config: &Config, sql: &Client, code: &str, level: Level) {
    let finding = found(config, code, level).await;
    mend(sql, &finding).await;
    found(config, code, Level::Ok).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_wrong_with_what_is_right() {
    let place = Place::new("doctor_right", SHOP).await;
    let report = diagnose(&place.config()).await.unwrap();
    assert!(report.reachable);
    assert_eq!(report.count(Level::Error), 0, "{report:?}");
    assert_eq!(report.count(Level::Unknown), 0, "{report:?}");
    let found: Vec<_> = report.findings.iter().map(|found| found.code).collect();
    let in_order: Vec<_> = codes().filter(|code| found.contains(code)).collect();
    assert_eq!(found, in_order);
    if major(&place.sql).await >= 18 {
        assert_eq!(found, codes().collect::<Vec<_>>());
    }
    // Without slot and publication, what can be said of the server alone.
    let config = Config::parse(&place.url).unwrap().database(place.name);
    let report = diagnose(&config).await.unwrap();
    assert!(report.find("wal-level").is_some());
    for code in ["slot", "slot-lag", "publication", "replica-identity"] {
        assert!(report.find(code).is_none(), "{code}");
    }
    place.leave().await;
}

/// Code, how bad, the version it takes, and what breaks it.
const BROKEN: &[(&str, Level, i32, &str)] = &[
    (
        "replica-identity",
        Level::Error,
        12,
        "CREATE TABLE \"Key less\" (id int); ALTER PUBLICATION p ADD TABLE \"Key less\"",
    ),
    (
        "replica-identity",
        Level::Error,
        12,
        "ALTER TABLE item REPLICA IDENTITY NOTHING",
    ),
    (
        "replica-identity",
        Level::Error,
        12,
        "CREATE TABLE late (id int PRIMARY KEY DEFERRABLE); ALTER PUBLICATION p ADD TABLE late",
    ),
    (
        "replica-identity",
        Level::Error,
        13,
        "CREATE TABLE whole (id int) PARTITION BY RANGE (id);
         CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (9);
         ALTER PUBLICATION p ADD TABLE whole",
    ),
    (
        "publication-operations",
        Level::Warning,
        12,
        "ALTER PUBLICATION p SET (publish = 'insert, delete')",
    ),
    (
        "publication-tables",
        Level::Error,
        12,
        "ALTER PUBLICATION p DROP TABLE item",
    ),
    (
        "row-filter",
        Level::Error,
        15,
        "ALTER PUBLICATION p SET TABLE item WHERE (price > 1 AND id > 1)",
    ),
    (
        "column-list",
        Level::Error,
        15,
        "ALTER PUBLICATION p SET TABLE item (name, price)",
    ),
    (
        "column-list",
        Level::Error,
        15,
        "ALTER TABLE item REPLICA IDENTITY FULL;
         ALTER PUBLICATION p SET TABLE item (id) WHERE (id > 3)",
    ),
    (
        "column-lists-differ",
        Level::Error,
        15,
        "CREATE PUBLICATION q FOR TABLE item (id, name)",
    ),
    (
        "unpublished-tables",
        Level::Warning,
        12,
        "DROP PUBLICATION p; CREATE PUBLICATION p FOR ALL TABLES;
         CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY)",
    ),
    (
        "partition-root",
        Level::Info,
        13,
        "CREATE TABLE whole (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (9);
         ALTER PUBLICATION p ADD TABLE whole",
    ),
    (
        "generated-columns",
        Level::Info,
        18,
        "CREATE TABLE twice (id int PRIMARY KEY, two int GENERATED ALWAYS AS (id * 2) STORED);
         ALTER PUBLICATION p ADD TABLE twice",
    ),
    ("publication", Level::Error, 12, "DROP PUBLICATION p"),
    (
        "slot",
        Level::Error,
        12,
        "SELECT pg_drop_replication_slot('doctor_broken')",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_publications_is_found_and_mended() {
    for &(code, level, since, breaking) in BROKEN {
        let place = Place::new("doctor_broken", SHOP).await;
        if major(&place.sql).await < since {
            place.leave().await;
            continue;
        }
        let mut config = place.config();
        if code == "column-lists-differ" {
            config = config.publication("q");
        } else {
            let report = diagnose(&config).await.unwrap();
            let before = finding(&report, code);
            assert_eq!(before.level, Level::Ok, "{before:?}");
        }
        place.run(breaking).await;
        found_and_mended(&config, &place.sql, code, level).await;
        // What was mended can be streamed, changes of a row included.
        if level == Level::Error {
            drop_slot(&place.sql, place.name).await;
            let slot = "SELECT pg_create_logical_replication_slot('doctor_broken', 'pgoutput')";
            place.run(slot).await;
            let mut stream = config.connect().await.unwrap();
            place.run("INSERT INTO item VALUES (4, 'cup', 2)").await;
            place.run("UPDATE item SET name = 'mug', price = 3").await;
            let both = events(&mut stream, 2).await;
            assert_eq!(ops(&both), "cu", "{code}");
            stream.stop().await.unwrap();
        }
        place.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_may_not_is_found_and_mended() {
    let place = Place::new("doctor_role", SHOP).await;
    let roles = "DROP ROLE IF EXISTS \"Doctor\"; CREATE ROLE \"Doctor\" LOGIN PASSWORD 'hunter2'";
    place.run(roles).await;
    let config = place.config().user("Doctor").password("hunter2");
    let report = diagnose(&config).await.unwrap();
    assert!(!format!("{report:?}").contains("hunter2"));
    let refused = finding(&report, "replication-connection");
    assert_eq!(refused.level, Level::Error);
    assert!(refused.text.contains("42501"), "{refused:?}");
    assert_eq!(finding(&report, "pooler").level, Level::Unknown);

    found_and_mended(&config, &place.sql, "role-replication", Level::Error).await;
    found(&config, "replication-connection", Level::Ok).await;
    found_and_mended(&config, &place.sql, "long-transactions", Level::Unknown).await;
    found_and_mended(&config, &place.sql, "select-right", Level::Info).await;
    // The server ends a session a moment after its client.
    let left = "SELECT FROM pg_stat_activity WHERE usename = 'Doctor'";
    timeout(PATIENCE, async {
        while !place.sql.query(left, &[]).await.unwrap().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("its sessions last");
    place.run("ALTER ROLE \"Doctor\" CONNECTION LIMIT 1").await;
    found_and_mended(&config, &place.sql, "connections", Level::Error).await;
    place
        .run("ALTER DATABASE doctor_role CONNECTION LIMIT 1")
        .await;
    // A superuser is let in all the same.
    found(&place.config(), "connections", Level::Ok).await;
    place
        .run("ALTER DATABASE doctor_role CONNECTION LIMIT -1")
        .await;

    let wrong = place.config().user("Doctor").password("wrong");
    let report = diagnose(&wrong).await.unwrap();
    assert!(!report.reachable);
    let [refused] = &report.findings[..] else {
        panic!("{report:?}")
    };
    assert_eq!((refused.code, refused.level), ("connection", Level::Error));
    assert!(
        refused.advice.as_ref().unwrap().contains("PASSWORD"),
        "{refused:?}"
    );
    let ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'Doctor'";
    place.run(ending).await;
    place
        .run("DROP OWNED BY \"Doctor\"; DROP ROLE \"Doctor\"")
        .await;
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_not_ours_is_found() {
    let place = Place::new("doctor_slot", SHOP).await;
    let other = Place::new("doctor_slot_other", SHOP).await;
    let elsewhere = place.config().slot(other.name);
    let advice = found(&elsewhere, "slot-database", Level::Error).await;
    assert!(advice.text.contains(other.name), "{advice:?}");
    found(&elsewhere.database(other.name), "slot-database", Level::Ok).await;
    other.leave().await;

    place
        .run("SELECT pg_create_physical_replication_slot('doctor_slot_physical')")
        .await;
    let physical = place.config().slot("doctor_slot_physical");
    found(&physical, "slot-plugin", Level::Error).await;
    found(&place.config(), "slot-plugin", Level::Ok).await;
    place
        .run("SELECT pg_drop_replication_slot('doctor_slot_physical')")
        .await;

    // Ours is as it should be; another's is in the way.
    let mut stream = place.stream().await;
    let ours = found(&place.config(), "slot-in-use", Level::Ok).await;
    assert!(ours.text.contains("pgoutput-decoder"), "{ours:?}");
    let stranger = place.config().application_name("another");
    found(&stranger, "slot-in-use", Level::Warning).await;
    stream.stop().await.unwrap();
    let once = place.config().reconnect_attempts_max(0);
    let mut stream = once.connect().await.unwrap();
    let held = found(&stranger, "slot-in-use", Level::Warning).await;
    mend(&place.sql, &held).await;
    assert!(stream.next_batch().await.is_err(), "it goes on");
    stream.stop().await.ok();
    found(&stranger, "slot-in-use", Level::Ok).await;

    if major(&place.sql).await >= 15 {
        drop_slot(&place.sql, place.name).await;
        let two_phase = "SELECT pg_create_logical_replication_slot('doctor_slot', 'pgoutput',
                                                                  false, true)";
        place.run(two_phase).await;
        found(&place.config(), "slot-two-phase", Level::Warning).await;
        let asked = place.config().two_phase(true);
        found(&asked, "slot-two-phase", Level::Ok).await;
    }
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_that_the_server_cannot_meet_are_found() {
    let place = Place::new("doctor_wishes", SHOP).await;
    let wishes = place.config().two_phase(true).binary(true);
    let level = if major(&place.sql).await >= 15 {
        Level::Ok
    } else {
        Level::Error
    };
    found(&wishes, "protocol", level).await;
    found(&place.config(), "protocol", Level::Ok).await;

    drop_database(&place.sql, "doctor_ascii").await;
    let ascii = "CREATE DATABASE doctor_ascii
                 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    place.run(ascii).await;
    let config = place.config().database("doctor_ascii");
    found(&config, "encoding", Level::Warning).await;
    found(&place.config(), "encoding", Level::Ok).await;
    drop_database(&place.sql, "doctor_ascii").await;
    place.leave().await;
}

/// A pooler's answers: the key of the session is one of its own.
fn pooled(held: &mut [u8]) -> usize {
    const KEY: &[u8] = b"K\0\0\0\x0c";
    if let Some(at) = held.windows(KEY.len()).position(|w| w == KEY) {
        held[at + KEY.len() + 3] ^= 1;
    }
    held.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_between_is_found() {
    let place = Place::new("doctor_pooler", SHOP).await;
    let port = relay(place.port(), || (untouched, pooled)).await;
    let pooled = place.config().host("127.0.0.1").port(port);
    let finding = found(&pooled, "pooler", Level::Warning).await;
    assert!(finding.advice.is_some(), "{finding:?}");
    found(&place.config(), "pooler", Level::Ok).await;
    place.leave().await;
}

#[test]
fn the_docs_list_every_code_and_every_code_has_a_test() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let page = read("docs/doctor.md");
    let (_, section) = page.split_once("## What the doctor looks at").unwrap();
    let section = section.split("\n#").next().unwrap();
    let listed: Vec<_> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let codes: Vec<_> = codes().collect();
    assert_eq!(listed, codes);
    let mut tests = read("tests/doctor.rs") + &read("tests/doctor_server.rs");
    // Those that no throw-away server can be made to fail.
    for path in ["host/src/doctor/access.rs", "host/src/doctor/server.rs"] {
        tests += read(path).split_once("mod tests").unwrap().1;
    }
    for code in codes {
        let quoted = format!("\"{code}\"");
        assert!(tests.contains(&quoted), "{code}");
    }
}
