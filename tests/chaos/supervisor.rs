//! Keeps a reader running: starts the next one when one is gone, each with habits of its own.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pgoutput_decoder_host::Position;
use pgoutput_decoder_tests::chaos::history::{Note, What};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::reader::NO_SPACE;
use crate::writer::{Work, connect};

/// Who runs readers.
pub(crate) struct Supervisor {
    pub(crate) folder: PathBuf,
    pub(crate) work: Arc<Work>,
    /// Of the database, through the proxy.
    pub(crate) through: String,
    pub(crate) slot: String,
    pub(crate) version: u32,
    pub(crate) two_phase: bool,
    /// Readers started so far.
    pub(crate) started: usize,
    pub(crate) random: StdRng,
    /// How the next reader is kept from keeping much on disk.
    pub(crate) starved: Option<Starved>,
    pub(crate) child: Option<Child>,
}

/// What ends the disk space for undecided transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Starved {
    /// A file system that is full for a while.
    Disk,
    /// `stash_max_bytes`: the reader ends.
    Limit,
}

impl Supervisor {
    /// Lets time pass, with a reader all the while.
    pub(crate) async fn pause(&mut self, pause: Duration) {
        let step = Duration::from_millis(5);
        let mut passed = Duration::ZERO;
        loop {
            self.keep_reading().await;
            if passed >= pause {
                return;
            }
            sleep(step.min(pause)).await;
            passed += step;
        }
    }

    /// Starts a reader where there is none. Waits for a server.
    pub(crate) async fn keep_reading(&mut self) {
        if let Some(child) = &mut self.child {
            if child.try_wait().unwrap().is_none() {
                return;
            }
            self.child = None;
            // A server that is not there need not be asked at once.
            sleep(Duration::from_millis(20)).await;
        }
        let confirmed = self.confirmed().await;
        let name = format!("reader-{}", self.started);
        self.started += 1;
        let mut slots = fs::OpenOptions::new();
        let slots = slots.create(true).append(true);
        let mut slots = slots.open(self.folder.join("slot.log")).unwrap();
        writeln!(slots, "{name} {confirmed}").unwrap();
        let reader = std::env::current_exe().unwrap();
        let mut command = Command::new(&reader);
        if self.starved == Some(Starved::Disk) {
            command = Command::new("unshare");
            command.args(["-rm", "sh", "-ec", ON_A_SMALL_DISK]);
            command.arg(self.small_disk()).arg(reader);
        }
        command.arg("read").arg(self.folder.join(name + ".log"));
        command.arg(&self.through).arg(&self.slot);
        command.args(self.habits());
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let complaints = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("readers.err"));
        command.stderr(complaints.unwrap());
        self.child = Some(command.spawn().unwrap());
    }

    /// Where the slot stands, by the server's word.
    pub(crate) async fn confirmed(&self) -> String {
        loop {
            if let Some(sql) = connect(&self.work.url()).await {
                let query = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots
                             WHERE slot_name = $1";
                if let Ok(row) = sql.query_one(query, &[&self.slot]).await {
                    return row.get(0);
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the reader at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks the reader to end, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        drop(child.stdin.take());
        for _ in 0..STOP_MS {
            if child.try_wait().unwrap().is_some() {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The process, unless it is gone.
    pub(crate) fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether the reader noted an event with this label just now.
    pub(crate) fn has_noted(&self, label: &str) -> bool {
        let last = self.started.saturating_sub(1);
        let path = self.folder.join(format!("reader-{last}.log"));
        let mut tail = String::new();
        let read = File::open(path).and_then(|mut log| {
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
            log.read_to_string(&mut tail)
        });
        read.is_ok() && tail.contains(&format!(" {label}\n"))
    }

    /// Whether a reader, of those from `first` on, wanted space that was not there.
    pub(crate) fn has_starved(&self, first: usize) -> bool {
        (first..self.started).any(|reader| {
            let log = self.folder.join(format!("reader-{reader}.log"));
            let text = fs::read_to_string(&log).unwrap_or_default();
            text.contains(NO_SPACE) || log.with_extension("full").exists()
        })
    }

    /// Everything readers noted so far.
    fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        for reader in 0..self.started {
            let path = self.folder.join(format!("reader-{reader}.log"));
            let text = fs::read_to_string(path).unwrap_or_default();
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            notes.extend(whole.lines().map(|line| line.parse::<Note>().unwrap()));
        }
        notes
    }

    /// The furthest any reader was given something: what a consumer has who stores it with the
    /// data.
    fn given(&self) -> Option<Position> {
        let events = self.notes().into_iter().filter_map(|note| match note.what {
            What::Event(position, _) => Some(position),
            _ => None,
        });
        events.max()
    }

    fn small_disk(&self) -> PathBuf {
        let directory = self.folder.join("disk");
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    /// The next reader's arguments.
    fn habits(&mut self) -> Vec<String> {
        let stored = if self.random.random_bool(0.25) {
            self.given()
        } else {
            None
        };
        let starved = self.starved.take();
        let disk = (starved == Some(Starved::Disk)).then(|| self.small_disk());
        let random = &mut self.random;
        let habit = match random.random_range(0..7) {
            0 | 1 => "each".to_owned(),
            2 => "batch".to_owned(),
            3 => format!("every:{}", random.random_range(2..300)),
            4 => format!("behind:{}", random.random_range(1..40)),
            5 => format!("behind:{}", random.random_range(40..2_000)),
            _ => format!("after:{}", random.random_range(20..700)),
        };
        let mut arguments = vec!["--habit".to_owned(), habit];
        let mut give = |name: &str, value: Option<String>| {
            arguments.push(format!("--{name}"));
            arguments.extend(value);
        };
        // One that is to fill its disk hurries.
        if starved.is_none() && random.random_bool(0.7) {
            let every = random.random_range(1..25_u32);
            give("pause-every", Some(every.to_string()));
        }
        if random.random_bool(0.06) {
            let after = random.random_range(1..400_u32);
            give("stall-after", Some(after.to_string()));
            give("stall-ms", Some("2600".to_owned()));
        }
        if random.random_bool(0.6) {
            give("acknowledge-at-stop", None);
        }
        if random.random_bool(0.3) {
            give("binary", None);
        }
        if random.random_bool(0.3) {
            give("native", None);
        }
        if self.two_phase {
            give("two-phase", None);
        }
        match random.random_range(0..6) {
            _ if starved.is_some() => {}
            0 => give("streaming", Some("off".to_owned())),
            1 => give("streaming", Some("on".to_owned())),
            2 if self.version >= 16 => give("streaming", Some("parallel".to_owned())),
            _ => {}
        }
        if let Some(disk) = disk {
            give("stash-directory", Some(disk.display().to_string()));
        }
        match starved {
            Some(Starved::Limit) => {
                give("stash-memory", Some("20000".to_owned()));
                give("stash-max", Some("20000".to_owned()));
            }
            Some(Starved::Disk) => give("stash-memory", Some("20000".to_owned())),
            None if random.random_bool(0.5) => give("stash-memory", Some("30000".to_owned())),
            None => {}
        }
        if let Some(position) = stored {
            give("start-position", Some(position.to_string()));
        }
        arguments
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a process may mount a file system that only it sees.
pub(crate) fn has_namespaces() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let mut tried = Command::new("unshare");
        tried.args(["-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]);
        tried.stdout(Stdio::null()).stderr(Stdio::null());
        tried.status().is_ok_and(|status| status.success())
    })
}

/// Its first argument is the directory, the others are what to run there. After a while somebody
/// makes space.
const ON_A_SMALL_DISK: &str = r#"
mount -t tmpfs -o size=32k tmpfs "$0"
{ sleep 2; mount -o remount,size=256m "$0"; } &
exec "$@""#;

/// A stop takes as long as a server that is gone may make it take.
const STOP_MS: u32 = 12_000;

/// Behind the last event there are acknowledgements only.
const TAIL_BYTES: u64 = 4_096;
