//! Runs in a row: which seeds, on which servers, and what they add up to.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use pgoutput_decoder_tests::Server;
use pgoutput_decoder_tests::chaos::history::Place;
use serde::{Deserialize, Serialize};

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
    /// Keeps the logs of runs that are right, too.
    #[arg(long)]
    keep: bool,
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
    /// Runs with a violation.
    wrong: u64,
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

/// A few seeds on each server, for every change.
pub(crate) async fn few() -> ExitCode {
    all(&Arguments {
        runs: 20,
        seed: Some(1),
        version: vec![14, 18],
        keep: false,
    })
    .await
}

/// All runs, one line each, on all servers at once.
pub(crate) async fn all(arguments: &Arguments) -> ExitCode {
    let tracked = Arc::new(Mutex::new(Summary::read()));
    let mut series = Vec::new();
    let versions = u64::try_from(arguments.version.len()).unwrap();
    for &version in &arguments.version {
        let summary = arguments.seed.is_none().then(|| Arc::clone(&tracked));
        let known = tracked.lock().unwrap().sum(version).seeds;
        let first = arguments.seed.unwrap_or(known + 1);
        let seeds = first..first + arguments.runs.div_ceil(versions);
        series.push(tokio::spawn(on(version, seeds, summary, arguments.keep)));
    }
    let mut total = Sum::default();
    for of_version in series {
        total.join(of_version.await.unwrap());
    }
    println!("{}", total.report());
    if arguments.seed.is_none() {
        println!("tests/chaos/summary.json has them now");
    }
    if total.wrong > 0 {
        println!("{} runs are wrong", total.wrong);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Some seeds on one server.
async fn on(
    version: u32,
    seeds: std::ops::Range<u64>,
    summary: Option<Arc<Mutex<Summary>>>,
    keep: bool,
) -> Sum {
    let mut sum = Sum::default();
    let server = Server::start(&["--version", &version.to_string()]).await;
    let sql = connect(&server.url).await.unwrap();
    let today = sql.query_one("SELECT current_date::text", &[]).await;
    let today: String = today.unwrap().get(0);
    drop(sql);
    for seed in seeds {
        let outcome = Run::new(&server, version, seed).await.run(keep).await;
        print!("{}", outcome.report());
        if let Some(summary) = &summary {
            let mut summary = summary.lock().unwrap();
            let sum = summary.sum(version);
            sum.add(&outcome);
            sum.seeds = seed;
            sum.last.clone_from(&today);
            summary.write();
        }
        sum.add(&outcome);
        sum.seeds += 1;
    }
    sum
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

    fn sum(&mut self, version: u32) -> &mut Sum {
        self.versions.entry(version).or_default()
    }
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        self.wrong += u64::from(outcome.is_bad());
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
        self.wrong += other.wrong;
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
            "{} runs, {} wrong: {} events, {} again, {} readers",
            self.seeds, self.wrong, self.events, self.again, self.readers
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
