//! Runs in a row: which seeds, on which servers, and what they add up to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pgoutput_decoder_tests::Server;
use pgoutput_decoder_tests::chaos::history::Place;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::run::{Outcome, Run};
use crate::writer::connect;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many runs, over all versions together.
    #[arg(long, default_value_t = 20)]
    runs: u64,
    /// The first seed. Without it, those behind the ones that the summary has, which then has them
    /// too.
    #[arg(long)]
    seed: Option<u64>,
    /// PostgreSQL's major versions.
    #[arg(long, value_delimiter = ',', default_value = "14,18")]
    version: Vec<u32>,
    /// Servers of each version at a time.
    #[arg(long, default_value_t = 2)]
    servers: u64,
    /// Keeps the logs of runs that are right, too.
    #[arg(long)]
    keep: bool,
    /// Ends at the first run that is wrong.
    #[arg(long)]
    until_wrong: bool,
}

/// What all runs so far add up to: the file that is tracked.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Summary {
    versions: BTreeMap<u32, Sum>,
}

/// Of one version of PostgreSQL.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Sum {
    /// Runs of the seeds from 1 to this one.
    seeds: u64,
    /// Those with a violation, until they are right in a run that was asked for with SEED.
    wrong: BTreeSet<u64>,
    /// Events that were committed.
    events: usize,
    /// Events that were given again to a later reader, inside the stated window.
    again: usize,
    /// Processes that read.
    readers: usize,
    /// Where faults hit.
    hits: BTreeMap<String, usize>,
    /// How many there were of each kind.
    faults: BTreeMap<String, usize>,
    /// The day of the last run.
    last: String,
}

/// Runs that are waited for, and those that are done, in one version.
struct Series {
    version: u32,
    seeds: Range<u64>,
    /// Done, and behind one that is not.
    ahead: BTreeMap<u64, Sum>,
    /// All up to there are in the sums.
    done: u64,
    total: Sum,
}

/// What all versions share.
struct Whole {
    tracked: Mutex<Summary>,
    /// Done so far.
    runs: AtomicU64,
    /// No more are begun.
    over: AtomicBool,
}

/// A few seeds on each server, for every change.
pub(crate) async fn few() -> usize {
    all(&Arguments {
        runs: 20,
        seed: Some(1),
        version: vec![14, 18],
        servers: 2,
        keep: false,
        until_wrong: false,
    })
    .await
}

/// All runs, one line each, on all servers at once. Returns how many are wrong.
pub(crate) async fn all(arguments: &Arguments) -> usize {
    let began = clock::unix_us();
    let whole = Arc::new(Whole {
        tracked: Mutex::new(Summary::read()),
        runs: AtomicU64::new(0),
        over: AtomicBool::new(false),
    });
    let mut all = Vec::new();
    let mut running = Vec::new();
    let versions = u64::try_from(arguments.version.len()).unwrap();
    for &version in &arguments.version {
        let known = whole.tracked.lock().unwrap().sum(version).seeds;
        let first = arguments.seed.unwrap_or(known + 1);
        let runs = arguments.runs.div_ceil(versions);
        let series = Arc::new(Mutex::new(Series {
            version,
            seeds: first..first + runs,
            ahead: BTreeMap::new(),
            done: first - 1,
            total: Sum::default(),
        }));
        all.push(Arc::clone(&series));
        for _ in 0..arguments.servers.min(runs) {
            let (series, whole) = (Arc::clone(&series), Arc::clone(&whole));
            running.push(tokio::spawn(on_a_server(arguments.clone(), series, whole)));
        }
    }
    for server in running {
        server.await.unwrap();
    }
    let mut total = Sum::default();
    let mut wrong = 0;
    for series in all {
        let of_version = series.lock().unwrap().total.clone();
        wrong += of_version.wrong.len();
        total.join(of_version);
    }
    let seconds = Duration::from_micros(clock::unix_us() - began).as_secs();
    println!("{} runs, {wrong} wrong, in {seconds} s", total.seeds);
    println!("{}", total.report());
    if arguments.seed.is_none() {
        println!("tests/chaos/summary.json has them now");
    }
    wrong
}

/// Seeds that nobody else runs, one after the other, on a server of their own.
async fn on_a_server(arguments: Arguments, series: Arc<Mutex<Series>>, whole: Arc<Whole>) {
    let version = series.lock().unwrap().version;
    let mut server = Server::start(&["--version", &version.to_string()]).await;
    let sql = connect(&server.url).await.unwrap();
    let today = sql.query_one("SELECT current_date::text", &[]).await;
    let today: String = today.unwrap().get(0);
    drop(sql);
    while !whole.over.load(Ordering::Relaxed) {
        let Some(seed) = series.lock().unwrap().seeds.next() else {
            return;
        };
        let run = Run::new(&mut server, version, seed).await;
        let outcome = run.run(arguments.keep).await;
        print!("{}", outcome.report());
        whole.runs.fetch_add(1, Ordering::Relaxed);
        if arguments.until_wrong && outcome.is_bad() && !whole.over.swap(true, Ordering::Relaxed) {
            let runs = whole.runs.load(Ordering::Relaxed);
            println!(
                "caught by run {runs}, seed {seed} on {version}: {}",
                outcome.wrong()
            );
        }
        let mut series = series.lock().unwrap();
        let mut tracked = whole.tracked.lock().unwrap();
        if arguments.seed.is_some() {
            tracked.run_again(version, &outcome);
        }
        let done = series.add(&outcome);
        if arguments.seed.is_none() && done.seeds > 0 {
            let sum = tracked.sum(version);
            sum.join(done);
            sum.last.clone_from(&today);
            tracked.write();
        }
    }
}

impl Series {
    /// Returns what may be added to the summary: no run before it is missing.
    fn add(&mut self, outcome: &Outcome) -> Sum {
        let mut sum = Sum::default();
        sum.add(outcome);
        self.total.join(sum.clone());
        self.ahead.insert(outcome.seed, sum);
        let mut whole = Sum::default();
        while let Some(sum) = self.ahead.remove(&(self.done + 1)) {
            self.done += 1;
            whole.join(sum);
        }
        whole
    }
}

impl Summary {
    fn path() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("chaos/summary.json")
    }

    fn read() -> Self {
        let text = std::fs::read_to_string(Self::path());
        text.map_or_else(
            |_| Self::default(),
            |text| serde_json::from_str(&text).unwrap(),
        )
    }

    /// At once, so that runs can be ended anywhere.
    fn write(&self) {
        let text = serde_json::to_string_pretty(self).unwrap() + "\n";
        std::fs::write(Self::path(), text).unwrap();
    }

    /// A seed that was wrong, and may be right now.
    fn run_again(&mut self, version: u32, outcome: &Outcome) {
        if !outcome.is_bad() && self.sum(version).wrong.remove(&outcome.seed) {
            self.write();
        }
    }

    fn sum(&mut self, version: u32) -> &mut Sum {
        self.versions.entry(version).or_default()
    }
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        if outcome.is_bad() {
            self.wrong.insert(outcome.seed);
        }
        self.events += outcome.verdict.events;
        self.again += outcome.verdict.duplicates;
        self.readers += outcome.readers;
        for ((place, kind), count) in &outcome.verdict.hits {
            *self.hits.entry(place.name().to_owned()).or_default() += count;
            *self.faults.entry(kind.clone()).or_default() += count;
        }
    }

    fn join(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.wrong.extend(other.wrong);
        self.events += other.events;
        self.again += other.again;
        self.readers += other.readers;
        for (into, from) in [
            (&mut self.hits, other.hits),
            (&mut self.faults, other.faults),
        ] {
            for (name, count) in from {
                *into.entry(name).or_default() += count;
            }
        }
    }

    /// The sum, and the histogram of where faults hit.
    fn report(&self) -> String {
        let mut lines = vec![format!(
            "{} events, {} given again, {} readers",
            self.events, self.again, self.readers
        )];
        let count_of = |place: Place| self.hits.get(place.name()).copied().unwrap_or(0);
        let most = Place::ALL.map(count_of).into_iter().max().unwrap_or(0);
        lines.push("where the faults hit:".to_owned());
        for place in Place::ALL {
            let count = count_of(place);
            let bar = "#".repeat((count * 50).div_ceil(most.max(1)));
            lines.push(format!("  {:16}{count:6} {bar}", place.name()));
        }
        lines.push("what they were:".to_owned());
        for (kind, count) in &self.faults {
            lines.push(format!("  {kind:26}{count:6}"));
        }
        lines.join("\n")
    }
}
