//! Plugins in a stream from a real server: what becomes of the changes they fail at, and that the
//! server hears from us whatever they do.

use std::fs;

use pgoutput_decoder_host::{OnUndecodable, Plugin, PluginLimits, State};
use pgoutput_decoder_tests::guest;

use super::health::Warnings;
use super::two_phase::{SETUP, confirmed_up_to};
use super::undecodable::{TRANSACTIONS, parked};
use super::*;

fn hostile(config: &str) -> Plugin {
    Plugin::file(guest("hostile")).config(config)
}

fn insert(from: i64, count: i64) -> String {
    format!(
        "INSERT INTO item SELECT n, repeat('x', 100)
         FROM generate_series({from}, {from} + {count} - 1) n;"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_a_plugin_that_fails_stops_the_stream_and_nothing_is_lost() {
    let place = Place::new("plugged_stop", SETUP).await;
    let config = place.config().plugin(hostile("trap 3"));
    let mut stream = config.connect().await.unwrap();
    place.run(&insert(1, 1)).await;
    place.run(&insert(2, 3)).await;
    let before = events(&mut stream, 2).await;
    for event in &before {
        stream.acknowledger().acknowledge(event.position()).unwrap();
    }
    let error = timeout(PATIENCE, stream.next_batch())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Plugin);
    let error = error.to_string();
    assert!(error.starts_with("plugin hostile, at event "), "{error}");
    assert!(error.contains(".public.item: it trapped: "), "{error}");
    assert!(!error.contains("xxx"), "{error}");
    let status = stream.status();
    assert_eq!(status.state, State::Failed);
    assert!(status.plugins[0].traps > 0, "{:?}", status.plugins);
    let _ = stream.stop().await;
    assert!(place.confirmed().await <= before[1].position().commit_lsn);

    // A plugin that can deal with it gets it again, and what came with it.
    let config = place.config().plugin(hostile("keep"));
    let mut stream = config.connect().await.unwrap();
    let again = events(&mut stream, 3).await;
    assert_eq!(again.iter().map(id).collect::<Vec<_>>(), [2, 3, 4]);
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_a_plugin_fails_at_are_skipped_or_parked_in_whatever_transaction() {
    for parks in [false, true] {
        let name = if parks {
            "plugged_park"
        } else {
            "plugged_skip"
        };
        let place = Place::new(name, SETUP).await;
        let (file, warnings) = (place.file(), Warnings::default());
        let mut from = 1;
        let numbers: Vec<String> = TRANSACTIONS
            .iter()
            .flat_map(|(_, _, _, count)| {
                from += count;
                [from - count + 2, from - count + count / 2]
            })
            .map(|number| number.to_string())
            .collect();
        let policy = if parks {
            OnUndecodable::Park(file.clone())
        } else {
            OnUndecodable::Skip
        };
        let plugin = hostile(&format!("trap {}", numbers.join(" "))).on_error(policy);
        // Another sees what is left.
        let config = place.config().plugin(plugin).plugin(hostile("keep"));
        let config = config.two_phase(true).stash_memory_max_bytes(100_000);
        let mut stream = warnings.of(config).connect().await.unwrap();
        let mut from = 1;
        for (begin, end, decide, count) in TRANSACTIONS {
            let (end, decide) = (place.named(end), place.named(decide));
            place
                .run(&format!("{begin}; {} {end}", insert(from, count)))
                .await;
            place.run(&decide).await;
            let left = usize::try_from(count - 2).unwrap();
            let all = events(&mut stream, left).await;
            let expected = (from..from + count).filter(|n| ![2, count / 2].contains(&(n - from)));
            let expected: Vec<i64> = expected.collect();
            assert_eq!(all.iter().map(id).collect::<Vec<_>>(), expected);
            for (event, n) in all.iter().zip(expected) {
                assert_eq!(i64::from(event.position().index), n - from + 1);
            }
            // Not acknowledged: it comes again, and is not passed over again.
            place.cut().await;
            let last = all.last().unwrap().position();
            place.run(&insert(-from, 1)).await;
            let next = events(&mut stream, 1).await.remove(0);
            stream.acknowledger().acknowledge(last).unwrap();
            stream.acknowledger().acknowledge(next.position()).unwrap();
            confirmed_up_to(&place, Lsn(next.position().commit_lsn.0 + 1)).await;
            from += count;
        }
        let status = stream.status();
        let count = u64::try_from(numbers.len()).unwrap();
        let [plugin, _] = status.plugins.as_slice() else {
            panic!("{status:?}");
        };
        let passed_over = (plugin.skipped, plugin.parked);
        assert_eq!(passed_over, if parks { (0, count) } else { (count, 0) });
        assert_eq!((status.skipped, status.parked), (0, 0));
        let warnings = warnings.all();
        assert_eq!(warnings.len(), numbers.len(), "{warnings:?}");
        let word = if parks { "parked" } else { "skipped" };
        for warning in warnings {
            let expected =
                format!("a change that a plugin failed at was {word}: message 'I' of public.item");
            assert!(warning.starts_with(&expected), "{warning}");
            assert!(
                warning.contains(": plugin hostile: it trapped: "),
                "{warning}"
            );
        }
        stream.stop().await.unwrap();
        if parks {
            let found: Vec<String> = parked(&file)
                .iter()
                .map(|event| id(event).to_string())
                .collect();
            assert_eq!(found, numbers);
            fs::remove_file(&file).unwrap();
        }
        place.leave().await;
    }
}

/// The server would cut us off after a second.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_hears_from_us_while_a_plugin_spins() {
    let place = Place::new("plugged_spin", SETUP).await;
    let database = "ALTER DATABASE plugged_spin SET wal_sender_timeout = '1s'";
    place.run(database).await;
    let limits = PluginLimits {
        cpu_max: Duration::from_secs(4),
        wall_max: Duration::from_mins(1),
        ..PluginLimits::default()
    };
    let plugin = hostile("spin 2")
        .limits(limits)
        .on_error(OnUndecodable::Skip);
    let mut stream = place.config().plugin(plugin).connect().await.unwrap();
    place.run(&insert(1, 1)).await;
    place.run(&insert(2, 1)).await;
    place.run(&insert(3, 1)).await;
    let left = events(&mut stream, 2).await;
    assert_eq!(left.iter().map(id).collect::<Vec<_>>(), [1, 3]);
    let status = stream.status();
    assert_eq!(status.reconnects, 0, "{status:?}");
    assert!(status.plugins[0].out_of_time > 0 && status.plugins[0].skipped == 1);
    stream.stop().await.unwrap();
    place.leave().await;
}

/// What each of them does at row 2, under each policy: the others come, and the server, which would
/// cut us off after half a second, hears from us also after that.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_plugin_does_the_stream_lives_on() {
    const WORDS: [&str; 9] = [
        "spin",
        "hog",
        "trap",
        "liar",
        "flood",
        "flood-json",
        "utf8",
        "deep-recursion",
        "host-call-storm",
    ];
    let (stops, skips, parks) = tokio::join!(
        Place::new("plugged_stops", SETUP),
        Place::new("plugged_skips", SETUP),
        Place::new("plugged_parks", SETUP),
    );
    let park = OnUndecodable::Park(parks.file());
    let mut from = 1;
    for word in WORDS {
        tokio::join!(
            hostile_at(&stops, word, from, OnUndecodable::Stop),
            hostile_at(&skips, word, from, OnUndecodable::Skip),
            hostile_at(&parks, word, from, park.clone()),
        );
        from += 10;
    }
    let found: Vec<i64> = parked(&parks.file()).iter().map(id).collect();
    let expected: Vec<i64> = (0..).map(|n| n * 10 + 2).take(WORDS.len()).collect();
    assert_eq!(found, expected);
    fs::remove_file(parks.file()).unwrap();
    for place in [stops, skips, parks] {
        place.leave().await;
    }
}

async fn hostile_at(place: &Place, word: &str, from: i64, policy: OnUndecodable) {
    let name = place.name;
    let database = format!("ALTER DATABASE {name} SET wal_sender_timeout = '500ms'");
    place.run(&database).await;
    let stops = policy == OnUndecodable::Stop;
    let plugin = hostile(&format!("{word} {}", from + 1))
        .limits(PluginLimits {
            // Longer than the server waits.
            cpu_max: Duration::from_millis(700),
            wall_max: Duration::from_mins(1),
            output_max_bytes: 256 << 10,
            ..PluginLimits::default()
        })
        .on_error(policy);
    let config = place.config().plugin(plugin);
    let mut stream = config.connect().await.unwrap();
    place.run(&insert(from, 1)).await;
    place.run(&insert(from + 1, 3)).await;
    let left = if stops { 1 } else { 3 };
    let all = events(&mut stream, left).await;
    let expected = [from, from + 2, from + 3];
    assert_eq!(
        all.iter().map(id).collect::<Vec<_>>(),
        expected[..left],
        "{word}"
    );
    for event in &all {
        stream.acknowledger().acknowledge(event.position()).unwrap();
    }
    if stops {
        let error = timeout(PATIENCE, stream.next_batch()).await.unwrap();
        assert_eq!(error.unwrap_err().class(), ErrorClass::Plugin, "{word}");
    }
    sleep(Duration::from_millis(700)).await;
    assert!(place.walsender().await > 0);
    let status = stream.status();
    assert_eq!(status.reconnects, 0, "{word}: {status:?}");
    let plugin = &status.plugins[0];
    let passed_over = plugin.skipped + plugin.parked;
    assert_eq!(passed_over, u64::from(!stops), "{word}: {plugin:?}");
    let failures = plugin.out_of_time
        + plugin.out_of_memory
        + plugin.out_of_output
        + plugin.traps
        + plugin.wrong_answers;
    assert!(failures > 0, "{word}: {plugin:?}");
    let _ = stream.stop().await;
    if stops {
        // Whoever comes next gets what was not acknowledged, and goes on.
        let config = place.config().plugin(hostile("keep"));
        let mut stream = config.connect().await.unwrap();
        let rest = events(&mut stream, 3).await;
        assert_eq!(
            rest.iter().map(id).collect::<Vec<_>>(),
            [from + 1, from + 2, from + 3]
        );
        let last = rest[2].position();
        stream.acknowledger().acknowledge(last).unwrap();
        stream.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_resumes_in_the_middle_of_what_one_change_became() {
    let place = Place::new("plugged_resume", SETUP).await;
    let config = || place.config().plugin(hostile("emit"));
    let mut stream = config().connect().await.unwrap();
    place.run(&insert(1, 4)).await;
    let all = events(&mut stream, 12).await;
    let positions: Vec<_> = all.iter().map(Event::position).collect();
    assert_eq!((positions[4].index, positions[4].sub), (2, 1));
    stream.stop().await.unwrap();
    let mut stream = config()
        .start_position(positions[4])
        .connect()
        .await
        .unwrap();
    let rest = events(&mut stream, 7).await;
    assert_eq!(
        rest.iter().map(Event::position).collect::<Vec<_>>(),
        positions[5..]
    );
    stream.stop().await.unwrap();
    place.leave().await;
}

#[tokio::test]
async fn what_is_no_plugin_is_told_before_anything_is_streamed() {
    let place = Place::new("plugged_none", SETUP).await;
    for (plugin, reason) in [
        (
            Plugin::file("/none/such.wasm"),
            "plugin /none/such.wasm: its file cannot be read",
        ),
        (
            hostile("refuse"),
            "it refuses its configuration: it is a bad day",
        ),
        (
            hostile("keep").on_error(OnUndecodable::Park("/none/such/file".into())),
            "on_error: cannot write to /none/such/file",
        ),
    ] {
        let error = place
            .config()
            .plugin(plugin)
            .connect()
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(reason), "{error}");
    }
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_becomes_events_of_its_own() {
    let place = Place::new("plugged_outbox", SETUP).await;
    let outbox = "
        CREATE TABLE outbox (id uuid PRIMARY KEY, aggregatetype text, aggregateid text, type text,
            payload jsonb);
        ALTER PUBLICATION p ADD TABLE outbox;";
    place.run(outbox).await;
    let config = place.config().plugin(Plugin::file(guest("outbox")));
    let mut stream = config.connect().await.unwrap();
    let sql = r#"
        BEGIN;
        INSERT INTO outbox VALUES
            ('0e1c9d7e-0000-4000-8000-000000000001', 'order', 'a"1', 'OrderCreated', '{"n": 1.10}');
        DELETE FROM outbox;
        INSERT INTO item VALUES (1);
        COMMIT;"#;
    place.run(sql).await;
    let [event, item] = &events(&mut stream, 2).await[..] else {
        panic!("two events");
    };
    assert_eq!(event.topic().name, "outbox.event.order");
    assert_eq!(event.key(), Some(r#""a\"1""#));
    assert_eq!(event.value(), Some(r#"{"n": 1.10}"#));
    let headers = r#"{"type":"OrderCreated","id":"0e1c9d7e-0000-4000-8000-000000000001"}"#;
    assert_eq!(event.headers(), headers);
    assert_eq!((event.position().index, item.position().index), (1, 3));
    stream.stop().await.unwrap();
    place.leave().await;
}

/// `RELOADS` of them, while somebody writes all the while. Nothing is lost or doubled.
#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_whose_file_changes_is_used_from_a_commit_on() {
    let reloads = std::env::var("RELOADS").map_or(12, |count| count.parse().unwrap());
    let place = Place::new("plugged_reload", SETUP).await;
    let file = place.file().with_extension("wasm");
    // One after the other takes the file's place, and each lets everything through.
    let versions = ["hostile", "soft-deletes"].map(|name| fs::read(guest(name)).unwrap());
    let put = |number: u64| {
        let [one, other] = &versions;
        let new = file.with_extension("new");
        fs::write(&new, if number.is_multiple_of(2) { one } else { other }).unwrap();
        fs::rename(new, &file).unwrap();
    };
    put(0);
    let plugin = Plugin::file(&file).config("keep");
    let mut stream = place.config().plugin(plugin).connect().await.unwrap();
    let sql = connect(&place.url, Some(place.name)).await;
    let (enough, mut is_enough) = tokio::sync::oneshot::channel();
    let writer = tokio::spawn(async move {
        // Some transactions fit into a batch, some do not.
        let counts = [1, 10, 100, 2_000].into_iter().cycle();
        let mut next = 1;
        for count in counts {
            sql.batch_execute(&insert(next, count)).await.unwrap();
            next += count;
            if is_enough.try_recv().is_ok() {
                break;
            }
        }
        next
    });
    let (mut number, mut expected) = (0, 1);
    while number < reloads {
        number += 1;
        put(number);
        while stream.status().plugins[0].reloads < number {
            let batch = timeout(PATIENCE, stream.next_batch()).await.unwrap();
            for event in batch.unwrap().unwrap().events() {
                assert_eq!(id(&event), expected);
                expected += 1;
                stream.acknowledger().acknowledge(event.position()).unwrap();
            }
        }
    }
    enough.send(()).unwrap();
    let end = writer.await.unwrap();
    let rest = usize::try_from(end - expected).unwrap();
    let ids: Vec<i64> = events(&mut stream, rest).await.iter().map(id).collect();
    assert_eq!(ids, (expected..end).collect::<Vec<_>>());

    // A bad one is refused.
    fs::write(&file, "no plugin").unwrap();
    while stream.status().plugins[0].refused == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    place.run(&insert(end, 1)).await;
    assert_eq!(id(&events(&mut stream, 1).await[0]), end);
    let status = stream.status();
    let plugin = &status.plugins[0];
    assert_eq!((plugin.reloads, plugin.refused), (reloads, 1));
    assert_eq!((status.state, status.reconnects), (State::Streaming, 0));
    stream.stop().await.unwrap();
    fs::remove_file(file).unwrap();
    place.leave().await;
}
