//! What the doctor finds on a server that is set up wrong, and that what it says mends it. Each
//! test has a server of its own.

use pgoutput_decoder_host::doctor::{Level, diagnose};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::doctor::{finding, found, found_and_mended, mend};
use super::*;

/// Code, how bad, the version it takes, and the setting that breaks it.
const SETTINGS: &[(&str, Level, i32, &str)] = &[
    (
        "wal-sender-timeout",
        Level::Warning,
        12,
        "wal_sender_timeout = 0",
    ),
    (
        "wal-sender-timeout",
        Level::Warning,
        12,
        "wal_sender_timeout = '500ms'",
    ),
    (
        "wal-keep-limit",
        Level::Warning,
        13,
        "max_slot_wal_keep_size = -1",
    ),
    (
        "idle-slot-timeout",
        Level::Warning,
        18,
        "idle_replication_slot_timeout = '1d'",
    ),
    (
        "decoding-memory",
        Level::Warning,
        13,
        "logical_decoding_work_mem = '64kB'",
    ),
    (
        "password-encryption",
        Level::Warning,
        12,
        "password_encryption = 'md5'",
    ),
    (
        "synchronized-standby-slots",
        Level::Error,
        17,
        "synchronized_standby_slots = 'doctor_away'",
    ),
];

async fn set(sql: &Client, setting: &str) {
    let command = format!("ALTER SYSTEM SET {setting}");
    sql.batch_execute(&command).await.unwrap();
    sql.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_wrong_are_found_and_mended() {
    let server = Server::start(&[]).await;
    let place = Place::at(&server.url, "doctor_settings", SHOP).await;
    let physical = "SELECT pg_create_physical_replication_slot('doctor_away')";
    place.run(physical).await;
    let major = major(&place.sql).await;
    for &(code, level, since, setting) in SETTINGS {
        if major >= since {
            set(&place.sql, setting).await;
            found_and_mended(&place.config(), &place.sql, code, level).await;
        }
    }

    let code = "synchronous-standby-names";
    set(
        &place.sql,
        "synchronous_standby_names = 'FIRST 1 (Away, \"PGoutput-decoder\")'",
    )
    .await;
    found(&place.config(), code, Level::Error).await;
    let renamed = place.config().application_name("shop");
    found(&renamed, code, Level::Ok).await;
    set(&place.sql, "synchronous_standby_names = '*'").await;
    found(&renamed, code, Level::Error).await;
    set(&place.sql, "synchronous_commit = local").await;
    found(&renamed, code, Level::Warning).await;
    set(&place.sql, "synchronous_standby_names = ''").await;
    found(&renamed, code, Level::Ok).await;

    if major >= 17 {
        drop_slot(&place.sql, place.name).await;
        let alone = "SELECT pg_create_logical_replication_slot('doctor_settings', 'pgoutput')";
        place.run(alone).await;
        let finding = found(&place.config(), "slot-failover", Level::Warning).await;
        let [command] = &finding.sql[..] else {
            panic!("{finding:?}")
        };
        replication_command(&server, place.name, command).await;
        found(&place.config(), "slot-failover", Level::Ok).await;
    }
}

/// Runs a command in a replication session, which the server lets anybody of this machine have.
async fn replication_command(server: &Server, database: &str, command: &str) {
    let trusting = "host all all 127.0.0.1/32 trust\n";
    std::fs::write(server.data.join("pg_hba.conf"), trusting).unwrap();
    server.restart("fast").await;
    let mut socket = TcpStream::connect((server.host.as_str(), server.port))
        .await
        .unwrap();
    let parameters = format!("user\0postgres\0database\0{database}\0replication\0database\0\0");
    let mut greeting = 196_608_u32.to_be_bytes().to_vec();
    greeting.extend(parameters.as_bytes());
    let length = |bytes: &[u8]| u32::try_from(bytes.len() + 4).unwrap().to_be_bytes();
    socket
        .write_all(&[&length(&greeting), &greeting[..]].concat())
        .await
        .unwrap();
    let query = [command.as_bytes(), b"\0"].concat();
    let query = [b"Q", &length(&query)[..], &query, b"X\0\0\0\x04"].concat();
    socket.write_all(&query).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("ALTER_REPLICATION_SLOT"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_of_what_takes_a_restart_is_found_and_mended() {
    let options = [
        "--set",
        "max_wal_senders=1",
        "--set",
        "max_replication_slots=1",
    ];
    let server = Server::start(&options).await;
    let place = Place::at(&server.url, "doctor_full", SHOP).await;
    let stream = place.stream().await;
    let other = || place.config().slot("doctor_other");
    let senders = found(&other(), "wal-senders", Level::Error).await;
    let slots = found(&other(), "replication-slots", Level::Error).await;
    // The one there is, is ours.
    found(&place.config(), "wal-senders", Level::Ok).await;
    found(&place.config(), "replication-slots", Level::Ok).await;
    mend(&place.sql, &senders).await;
    mend(&place.sql, &slots).await;
    drop(stream);
    drop_slot(&place.sql, place.name).await;
    place.run("ALTER SYSTEM SET wal_level = replica").await;
    place.run("ALTER SYSTEM SET max_connections = 8").await;
    server.restart("fast").await;

    let config = || Config::parse(&server.url).unwrap().database("doctor_full");
    let report = diagnose(&config().slot("doctor_other").publication("p"))
        .await
        .unwrap();
    for code in ["wal-senders", "replication-slots"] {
        assert_eq!(finding(&report, code).level, Level::Ok, "{report:?}");
    }
    let level = finding(&report, "wal-level");
    assert_eq!(level.level, Level::Error);
    let sql = connect(&server.url, Some("doctor_full")).await;
    mend(&sql, level).await;
    // Three of eight are reserved, and the doctor has one.
    let mut held = vec![sql];
    while held.len() < 3 {
        held.push(connect(&server.url, None).await);
    }
    let connections = found(&config(), "connections", Level::Warning).await;
    mend(&held[0], &connections).await;
    drop(held);
    server.restart("fast").await;
    found(&config(), "connections", Level::Ok).await;
    found(&config(), "wal-level", Level::Ok).await;
}

/// Writes as much WAL as so many segments.
async fn segments(sql: &Client, count: usize) {
    for _ in 0..count {
        let segment = "SELECT pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()";
        sql.query(segment, &[]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_falls_behind_is_found_before_it_is_lost() {
    let server = Server::start(&[]).await;
    let place = Place::at(&server.url, "doctor_behind", SHOP).await;
    place
        .run("SELECT pg_create_logical_replication_slot('doctor_idle', 'pgoutput')")
        .await;
    found(&place.config(), "slot-lag", Level::Ok).await;
    found(&place.config(), "other-slots", Level::Ok).await;
    // A segment has 16 MB.
    segments(&place.sql, 66).await;
    found(&place.config(), "slot-lag", Level::Warning).await;
    found_and_mended(&place.config(), &place.sql, "other-slots", Level::Warning).await;
    drop_slot(&place.sql, place.name).await;
    let again = "SELECT pg_create_logical_replication_slot('doctor_behind', 'pgoutput')";
    place.run(again).await;
    found(&place.config(), "slot-lag", Level::Ok).await;

    if major(&place.sql).await < 13 {
        return;
    }
    set(&place.sql, "max_slot_wal_keep_size = '256MB'").await;
    found(&place.config(), "slot-wal-left", Level::Ok).await;
    segments(&place.sql, 14).await;
    found_and_mended(&place.config(), &place.sql, "slot-wal-left", Level::Warning).await;
    set(&place.sql, "max_slot_wal_keep_size = '1MB'").await;
    let gone = async {
        let code = "slot-wal-left";
        while diagnose(&place.config())
            .await
            .unwrap()
            .find(code)
            .unwrap()
            .level
            != Level::Error
        {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("it is still safe");
    segments(&place.sql, 5).await;
    place.run("CHECKPOINT").await;
    let lost = found(&place.config(), "slot-lost", Level::Error).await;
    assert!(
        lost.advice.as_ref().unwrap().contains("snapshot"),
        "{lost:?}"
    );
    mend(&place.sql, &lost).await;
    found(&place.config(), "slot-lost", Level::Ok).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_made_after_the_slot_is_found() {
    let server = Server::start(&[]).await;
    let place = Place::at(&server.url, "doctor_after", SHOP).await;
    let code = "publication-after-slot";
    found(&place.config(), code, Level::Ok).await;
    place
        .run("DROP PUBLICATION p; CREATE PUBLICATION p FOR TABLE item")
        .await;
    let level = Level::Warning;
    let config = place.config();
    found(&config, code, level).await;
    let behind = "SELECT pg_create_logical_replication_slot('doctor_behind', 'pgoutput')";
    place.run(behind).await;
    // Its catalog_xmin may be the other's.
    found(&config.clone().slot("doctor_behind"), code, Level::Info).await;
    place
        .run("SELECT pg_drop_replication_slot('doctor_behind')")
        .await;
    let finding = found(&config, code, level).await;
    // A slot is dropped by nobody who has not read what that loses.
    assert!(finding.sql.is_empty(), "{finding:?}");
    let advice = finding.advice.unwrap();
    for statement in advice
        .split("; ")
        .filter_map(|part| part.split_once("SELECT "))
    {
        place.run(&format!("SELECT {}", statement.1)).await;
    }
    found(&config, code, Level::Ok).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_hold_up_a_slot_are_found_and_ended() {
    let server = Server::start(&[]).await;
    let place = Place::at(&server.url, "doctor_open", SHOP).await;
    drop_slot(&place.sql, place.name).await;
    let prepared = "BEGIN; INSERT INTO item VALUES (1); PREPARE TRANSACTION 'it''s'";
    place.run(prepared).await;
    let other = connect(&server.url, Some(place.name)).await;
    other
        .batch_execute("BEGIN; INSERT INTO item VALUES (2)")
        .await
        .unwrap();
    for code in ["long-transactions", "prepared-transactions"] {
        found(&place.config(), code, Level::Ok).await;
    }
    // Shorter ones hold up nobody for long.
    sleep(Duration::from_millis(5200)).await;
    for code in ["long-transactions", "prepared-transactions"] {
        found_and_mended(&place.config(), &place.sql, code, Level::Warning).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_found_and_mended() {
    let server = Server::start(&[]).await;
    let primary = Place::at(&server.url, "doctor_standby", SHOP).await;
    let standby = server.standby(&["--set", "hot_standby_feedback=off"]).await;
    let config = Config::parse(&standby.url).unwrap().database(primary.name);
    let config = config.slot(primary.name).publication("p");
    let there = async {
        while !diagnose(&config).await.unwrap().reachable {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, there)
        .await
        .expect("the database does not come");
    let finding = found(&config, "standby", Level::Error).await;
    if major(&primary.sql).await < 16 {
        assert!(finding.advice.unwrap().contains("primary"));
        return;
    }
    let sql = connect(&standby.url, Some(primary.name)).await;
    mend(&sql, &finding).await;
    found(&config, "standby", Level::Ok).await;
    // No check asks what a standby cannot answer.
    let report = diagnose(&config).await.unwrap();
    assert_eq!(report.count(Level::Unknown), 0, "{report:?}");
    found(&primary.config(), "standby", Level::Ok).await;
}
