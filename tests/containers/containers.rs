//! The command beside a server in a container, over the port Docker maps: what it writes when the
//! container is restarted, killed or paused. Without Docker it says so, and runs nothing.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test stops where its server is not as expected"
)]

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use pgoutput_decoder_containers::{Container, PATIENCE, image};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

/// A server with these soon gives up on a reader that does not answer.
const OPTIONS: &[&str] = &["-c", "wal_sender_timeout=2s"];

/// Longer than that.
const PAUSE: Duration = Duration::from_secs(4);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each has a container of its own, and some measure time.
    arguments.test_threads.get_or_insert(2);
    let runtime = Runtime::new().unwrap();
    let image = if arguments.list {
        Err("only listed".to_owned())
    } else {
        runtime.block_on(image())
    };
    let trials = [
        Trouble::None,
        Trouble::Restart,
        Trouble::Kill,
        Trouble::Pause,
    ];
    let trials = trials.map(|trouble| {
        let (image, runtime) = (image.clone(), runtime.handle().clone());
        Trial::ignorable_test(trouble.name(), move || match image {
            Ok(image) => runtime
                .block_on(runtime.spawn(streams_on(image, trouble)))
                .map(|()| Completion::Completed)
                .map_err(|_| Failed::without_message()),
            Err(reason) => Ok(Completion::ignored_with(reason)),
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// What befalls a container.
#[derive(Clone, Copy)]
enum Trouble {
    None,
    Restart,
    Kill,
    Pause,
}

impl Trouble {
    fn name(self) -> &'static str {
        match self {
            Self::None => "a_stream_over_the_mapped_port",
            Self::Restart => "a_container_that_is_restarted",
            Self::Kill => "a_container_that_is_killed",
            Self::Pause => "a_container_that_is_paused",
        }
    }
}

async fn streams_on(image: String, trouble: Trouble) {
    let container = Container::start(&image, OPTIONS).await;
    let sql = "CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t;";
    let client = container.connect().await.unwrap();
    client.batch_execute(sql).await.unwrap();
    let slot = "SELECT pg_create_logical_replication_slot('s', 'pgoutput')";
    client.batch_execute(slot).await.unwrap();

    let mut reader = Reader::start(&container);
    insert(&container, 1..=10).await;
    reader.reads(1..=10).await;
    match trouble {
        Trouble::None => (),
        Trouble::Restart => container.restart().await,
        Trouble::Kill => container.kill_and_start().await,
        Trouble::Pause => {
            container.pause().await;
            sleep(PAUSE).await;
            container.unpause().await;
        }
    }
    insert(&container, 11..=20).await;
    reader.reads(11..=20).await;
    reader.stop().await;

    // Nothing comes again, and nothing was left out.
    insert(&container, 21..=21).await;
    let mut reader = Reader::start(&container);
    reader.reads(21..=21).await;
    reader.stop().await;
    container.remove().await;
}

/// A transaction a row.
async fn insert(container: &Container, ids: RangeInclusive<i32>) {
    let client = container.connect().await.unwrap();
    for id in ids {
        let sql = "INSERT INTO t VALUES ($1)";
        client.execute(sql, &[&id]).await.unwrap();
    }
}

/// `pgoutput-decoder stream`
struct Reader {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Reader {
    fn start(container: &Container) -> Self {
        let mut process = Command::new(command())
            .args(["stream", &container.url(), "--slot=s", "--publication=p"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The next events are of these rows.
    async fn reads(&mut self, ids: RangeInclusive<i32>) {
        for id in ids {
            let line = timeout(PATIENCE, self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("nothing comes, at {id}"));
            let line = line.unwrap().expect("the command has ended");
            let event: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(event["value"]["after"]["id"], id, "{line}");
        }
    }

    /// SIGTERM: it acknowledges what it has written, and ends.
    async fn stop(mut self) {
        let pid = self.process.id().unwrap().to_string();
        let sent = Command::new("kill").arg(&pid).status().await.unwrap();
        assert!(sent.success(), "kill {pid}");
        let ended = timeout(PATIENCE, self.process.wait()).await;
        let status = ended.expect("it does not end").unwrap();
        assert!(status.success(), "{status}");
        assert_eq!(self.lines.next_line().await.unwrap(), None);
    }
}

/// Built by `make build` into the folder above this program's.
fn command() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let path = this.ancestors().nth(2).unwrap().join("pgoutput-decoder");
    assert!(path.exists(), "{} is missing: make build", path.display());
    path
}
