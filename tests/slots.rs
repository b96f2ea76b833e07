//! Slots that are made when asked for, and what making one waits for.

use std::sync::{Arc, Mutex};

use pgoutput_decoder_host::slots::{Blocker, NewSlot, SlotWait};
use pgoutput_decoder_host::{CreateSlot, Slots};

use super::trouble::restart;
use super::*;

/// A database with publication `p` and no slot.
async fn without_slot(name: &'static str) -> Place {
    let place = Place::new(name, SHOP).await;
    drop_slot(&place.sql, name).await;
    place
}

impl Place {
    async fn slots(&self) -> Slots {
        Slots::connect(&self.config()).await.unwrap()
    }

    /// Whether there is a slot of its name.
    async fn has_slot(&self) -> bool {
        let sql = "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)";
        let row = self.sql.query_one(sql, &[&self.name]).await.unwrap();
        row.get(0)
    }

    async fn until_no_slot(&self) {
        let gone = async {
            while self.has_slot().await {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, gone).await.expect("the slot stays");
    }
}

fn problem(error: &Error) -> &SlotProblem {
    match error {
        Error::SlotUnusable { problem, .. } => problem,
        error => panic!("{error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_makes_its_slot_once_and_only_when_asked() {
    let place = without_slot("slots_made").await;
    let error = place.config().connect().await.unwrap_err();
    assert!(matches!(error, Error::SlotNotFound { .. }), "{error:?}");
    let config = || place.config().create_slot(CreateSlot::Yes);
    let error = config()
        .start_lsn(Lsn(1))
        .connect()
        .await
        .expect_err("a hole");
    assert!(
        matches!(&error, Error::Configuration { setting, .. } if setting == "create_slot"),
        "{error:?}"
    );
    let absent = place.config().publication("absent");
    let error = absent.create_slot(CreateSlot::Yes).connect().await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, Error::PublicationNotFound { .. }),
        "{error:?}"
    );
    assert!(!place.has_slot().await, "it would be of no use");

    let mut stream = config().connect().await.unwrap();
    place.run("INSERT INTO item VALUES (1)").await;
    assert_eq!(id(&events(&mut stream, 1).await[0]), 1);
    stream.stop().await.unwrap();
    // Nothing was acknowledged: it is the same slot.
    place.run("INSERT INTO item VALUES (2)").await;
    let mut stream = config().connect().await.unwrap();
    let again = events(&mut stream, 2).await;
    assert_eq!((id(&again[0]), id(&again[1])), (1, 2));

    // One that goes missing took changes with it.
    while place.has_slot().await {
        place.cut().await;
        let dropping = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
                        WHERE slot_name = $1 AND NOT active";
        let _ = place.sql.query(dropping, &[&place.name]).await;
    }
    let error = timeout(PATIENCE, stream.next_batch()).await.unwrap();
    let error = error.unwrap_err();
    assert!(matches!(error, Error::SlotGone { .. }), "{error:?}");
    assert!(!place.has_slot().await, "a hole");
    stream.stop().await.ok();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_slot_leaves_nothing_behind_and_no_hole() {
    let place = without_slot("slots_temporary").await;
    let config = || place.config().create_slot(CreateSlot::Temporary);
    let mut stream = config().connect().await.unwrap();
    let info = place.slots().await.show(place.name).await.unwrap();
    assert!(info.temporary && info.active, "{info:?}");
    place.run("INSERT INTO item VALUES (1)").await;
    assert_eq!(id(&events(&mut stream, 1).await[0]), 1);
    let taken = config().connect().await.unwrap_err();
    assert_eq!(taken.sqlstate(), Some("42710"), "{taken:?}");
    stream.stop().await.unwrap();
    place.until_no_slot().await;

    let mut stream = config().connect().await.unwrap();
    assert!(place.cut().await);
    let error = timeout(PATIENCE, stream.next_batch()).await.unwrap();
    let error = error.unwrap_err();
    assert!(
        matches!(problem(&error), SlotProblem::Temporary { .. }),
        "{error:?}"
    );
    stream.stop().await.ok();
    place.until_no_slot().await;
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_made_listed_shown_and_dropped() {
    let place = without_slot("slots_verbs").await;
    let mut slots = place.slots().await;
    let missing = slots.show(place.name).await.unwrap_err();
    assert!(matches!(missing, Error::SlotNotFound { .. }), "{missing:?}");
    let missing = slots.drop(place.name).await.unwrap_err();
    assert!(matches!(missing, Error::SlotNotFound { .. }), "{missing:?}");

    let made = slots.create(&NewSlot::new(place.name), |_| {}).await;
    let made = made.unwrap();
    assert_eq!(made.plugin.as_deref(), Some("pgoutput"));
    assert_eq!(made.database.as_deref(), Some(place.name));
    assert!(!made.temporary && !made.active);
    let major: i32 = place
        .value("SELECT current_setting('server_version_num')::int / 10000")
        .await;
    assert_eq!(made.failover, (major >= 17).then_some(true));
    assert_eq!(made.two_phase, (major >= 14).then_some(false));
    let again = slots.create(&NewSlot::new(place.name), |_| {}).await;
    assert_eq!(again.unwrap_err().sqlstate(), Some("42710"));
    let names: Vec<_> = slots.list().await.unwrap();
    assert!(names.iter().any(|info| info.slot_name == place.name));

    let mut stream = place.stream().await;
    let shown = slots.show(place.name).await.unwrap();
    let holder = shown.holder.expect("nobody streams");
    assert_eq!(holder.application_name.as_deref(), Some("pgoutput-decoder"));
    let held = slots.drop(place.name).await.unwrap_err();
    assert!(
        matches!(problem(&held), SlotProblem::Active { pid, .. } if *pid == holder.pid),
        "{held:?}"
    );
    stream.stop().await.unwrap();
    place.walsender_gone().await;
    slots.drop(place.name).await.unwrap();
    assert!(!place.has_slot().await);

    let physical = "SELECT pg_create_physical_replication_slot('slots_physical')";
    place.run(physical).await;
    let error = slots.drop("slots_physical").await.unwrap_err();
    assert_eq!(problem(&error), &SlotProblem::Physical);
    place
        .run("SELECT pg_drop_replication_slot('slots_physical')")
        .await;

    if major >= 17 {
        let new = NewSlot::new(place.name).failover(false).two_phase(true);
        let made = slots.create(&new, |_| {}).await.unwrap();
        assert_eq!((made.failover, made.two_phase), (Some(false), Some(true)));
    }
    place.leave().await;
}

impl Place {
    async fn walsender_gone(&self) {
        let sql = "SELECT active FROM pg_replication_slots WHERE slot_name = $1";
        let gone = async {
            while self
                .sql
                .query_one(sql, &[&self.name])
                .await
                .unwrap()
                .get::<_, bool>(0)
            {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, gone).await.expect("it stays in use");
    }
}

/// Makes a slot while `blocking` is open; what it was told, and whether it was made after `end`.
async fn waits(place: &Place, blocking: &str, end: &str) -> SlotWait {
    let other = connect(&place.url, Some(place.name)).await;
    other.batch_execute(blocking).await.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let config = place
        .config()
        .create_slot(CreateSlot::Yes)
        .connect_timeout(Duration::from_secs(1))
        .on_slot_wait(move |wait| telling.lock().unwrap().push(wait.clone()));
    let connecting = tokio::spawn(config.connect());
    let wait = async {
        loop {
            if let Some(wait) = told.lock().unwrap().first().cloned() {
                return wait;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let wait = timeout(PATIENCE, wait).await.expect("it does not say");
    assert!(!connecting.is_finished(), "{wait}");
    other.batch_execute(end).await.unwrap();
    let mut stream = timeout(PATIENCE, connecting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    stream.stop().await.unwrap();
    drop_slot(&place.sql, place.name).await;
    wait
}

#[tokio::test(flavor = "multi_thread")]
async fn making_a_slot_says_what_it_waits_for() {
    let server = Server::start(&[]).await;
    let place = Place::at(&server.url, "slots_wait", SHOP).await;
    drop_slot(&place.sql, place.name).await;
    let open = "SET application_name = 'slow'; BEGIN; INSERT INTO item VALUES (1)";
    let wait = waits(&place, open, "COMMIT").await;
    let Blocker::Transaction { pid, whose, .. } = &wait.until else {
        panic!("{wait:?}")
    };
    assert!(
        whose.contains("slow") && whose.contains("idle in transaction"),
        "{whose}"
    );
    let mend = format!("SELECT pg_terminate_backend({pid});");
    assert!(wait.to_string().ends_with(&mend), "{wait}");

    let prepared = "BEGIN; INSERT INTO item VALUES (2); PREPARE TRANSACTION 'it''s'";
    let wait = waits(&place, prepared, "ROLLBACK PREPARED 'it''s'").await;
    assert!(
        matches!(&wait.until, Blocker::Prepared { gid, .. } if gid == "it's"),
        "{wait:?}"
    );
    assert!(
        wait.to_string().ends_with("ROLLBACK PREPARED 'it''s';"),
        "{wait}"
    );

    if major(&place.sql).await < 14 {
        return;
    }
    // Given up, it is not made behind our back: the server notices, from 14 on.
    let other = connect(&place.url, Some(place.name)).await;
    let open = "BEGIN; INSERT INTO item VALUES (3)";
    other.batch_execute(open).await.unwrap();
    let config = place.config().create_slot(CreateSlot::Yes);
    let given_up = timeout(Duration::from_secs(1), config.connect()).await;
    assert!(given_up.is_err(), "it did not wait");
    if place.has_slot().await {
        place.until_no_slot().await;
    }
    other.batch_execute("COMMIT").await.unwrap();
    sleep(Duration::from_millis(200)).await;
    assert!(!place.has_slot().await, "it was made after all");
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_cannot_be_made_says_what_helps() {
    let server = Server::start(&[]).await;
    let place = Place::at(&server.url, "slots_refused", SHOP).await;
    drop_slot(&place.sql, place.name).await;
    let config = || place.config().create_slot(CreateSlot::Yes);
    place.run("CREATE ROLE plain LOGIN PASSWORD 'p'").await;
    let error = config().user("plain").password("p").connect().await;
    let error = error.unwrap_err();
    assert_eq!(error.sqlstate(), Some("42501"), "{error}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("ALTER ROLE \"plain\" REPLICATION;"), "{hint}");

    let settings = "ALTER SYSTEM SET max_replication_slots = 1";
    place.run(settings).await;
    restart(&server, "fast").await;
    let place = Place::at(&server.url, "slots_full", SHOP).await;
    let other = place.config().slot("slots_other");
    let other = other.create_slot(CreateSlot::Yes);
    let error = other.connect().await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("53400"), "{error}");
    assert!(error.hint().unwrap().contains("max_replication_slots"));
    drop_slot(&place.sql, place.name).await;

    place.run("ALTER SYSTEM SET wal_level = replica").await;
    restart(&server, "fast").await;
    let place = || Config::parse(&server.url).unwrap().database("slots_full");
    let config = place().slot("slots_other").publication("p");
    let error = config.create_slot(CreateSlot::Yes).connect().await;
    assert!(
        matches!(&error, Err(Error::WalLevel { wal_level }) if wal_level == "replica"),
        "{error:?}"
    );
}
