//! Every case of `vectors/`, every capture of it, through both engines: the events must be those
//! that Debezium wrote; so must those with schemas, as far as they are known.
//!
//! `--score` prints a line a capture instead of a line a test, and the score.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use pgoutput_decoder_host::engine::EngineKind;
use pgoutput_decoder_tests::{
    Allowed, Case, Comparison, Deviation, cases, compare, folder, matches,
};

/// Captures that cannot be compared: case, or its beginning before `*`; captures, likewise; why.
const EXEMPT: &[(&str, &str, &str)] = &[
    (
        "heartbeat*",
        "*",
        "heartbeats come from the connector's clock and its own server connection",
    ),
    (
        "incremental-snapshot",
        "*",
        "its rows were read from the server, not from the stream",
    ),
    (
        "key-types",
        "pgoutput+default",
        "a key of type name, which is always null, has no changes with Debezium",
    ),
    (
        "key-types",
        "pgoutput.binary+default",
        "a key of type name, which is always null, has no changes with Debezium",
    ),
    (
        "key-types-modes",
        "pgoutput+default",
        "a key of type name, which is always null, has no changes with Debezium",
    ),
    (
        "schema-change-live",
        "pgoutput+schemas",
        "Debezium was sent a Relation that is not in the capture, and read enumerations earlier",
    ),
    (
        "snapshot-*",
        "*",
        "its rows were read from the server, not from the stream",
    ),
    (
        "timetz-seconds-offset",
        "*",
        "Debezium crashes, and how much it writes before is a race",
    ),
    (
        "txn-origin*",
        "pgoutput.origin-none",
        "the server left out rows that Debezium was sent",
    ),
    (
        "txn-stream-message-in-aborted-savepoint",
        "pgoutput.v*",
        "streamed, the message carries the top-level xid and cannot be withdrawn",
    ),
];

/// Differences shown of one capture.
const DIFFERENCES_MAX: usize = 10;

fn main() -> ExitCode {
    let outcome = if std::env::args().any(|argument| argument == "--score") {
        score()
    } else {
        trials().map(|trials| libtest_mimic::run(&Arguments::from_args(), trials).exit_code())
    };
    outcome.unwrap_or_else(|error| {
        // Nobody is left to tell if this fails.
        let _ = writeln!(io::stderr(), "vectors: {error}");
        ExitCode::FAILURE
    })
}

/// What is the same for all tests.
struct Vectors {
    cases: Vec<Case>,
    deviations: Vec<Deviation>,
}

impl Vectors {
    fn read() -> Result<Self, String> {
        Ok(Self {
            cases: cases()?,
            deviations: Deviation::read(&folder().join("deviations.toml"))?,
        })
    }

    /// Cases with those of their captures that can be compared.
    fn captures(&self) -> impl Iterator<Item = (&Case, &str)> {
        self.cases.iter().flat_map(|case| {
            let captures = case
                .captures
                .iter()
                .filter_map(|file| file.strip_suffix(".jsonl"));
            captures
                .filter(|capture| !exempt(&case.name, capture))
                .map(move |name| (case, name))
        })
    }

    fn run(&self, case: &Case, capture: &str, run: Run) -> Result<Comparison, String> {
        let recorded = case.read(run.schemas)?;
        let mut options = Vec::new();
        if run.schemas {
            options.push(("schemas.enable", "true"));
        }
        let mut allowed = Vec::new();
        if run.strict {
            options.push(("debezium.compatibility", "strict"));
        } else {
            let deviations = self.deviations.iter();
            allowed.extend(deviations.flat_map(|deviation| deviation.of_case(&case.name)));
        }
        let file = format!("{capture}.jsonl");
        let actual = case.decode(&recorded, &file, run.engine, &options)?;
        let mut comparison = compare(recorded.events, actual, &allowed);
        // The plain capture shows the example; one that nothing meets is out of date.
        let met = |index: usize| comparison.met.contains(&index);
        let mut examples = allowed.iter().enumerate();
        let unmet = examples.find(|(index, of)| of.example.is_some() && !met(*index));
        if let ("pgoutput", Some((_, unmet))) = (capture, unmet) {
            let Allowed { table, column, .. } = unmet;
            return Err(format!("deviations.toml: {table}.{column} is not met"));
        }
        comparison.differences.truncate(DIFFERENCES_MAX);
        Ok(comparison)
    }
}

/// One way to decode a capture.
#[derive(Clone, Copy)]
struct Run {
    engine: EngineKind,
    schemas: bool,
    /// Bug for bug. Without it, as users have it, the columns in `deviations.toml` differ and no
    /// others.
    strict: bool,
    label: &'static str,
}

const RUNS: [Run; 5] = [
    Run::new(EngineKind::Native, false, true, "native"),
    Run::new(EngineKind::Component, false, true, "component"),
    Run::new(EngineKind::Native, true, true, "native+schemas"),
    Run::new(EngineKind::Component, true, true, "component+schemas"),
    Run::new(EngineKind::Native, false, false, "default"),
];

impl Run {
    const fn new(engine: EngineKind, schemas: bool, strict: bool, label: &'static str) -> Self {
        Self {
            engine,
            schemas,
            strict,
            label,
        }
    }
}

/// The ways to decode a capture: with schemas where Debezium's are known.
fn runs(case: &Case, capture: &str) -> impl Iterator<Item = Run> {
    let schemas = case.has_schemas && !exempt(&case.name, &format!("{capture}+schemas"));
    let default = !exempt(&case.name, &format!("{capture}+default"));
    let runs = RUNS.into_iter();
    runs.filter(move |run| (schemas || !run.schemas) && (default || run.strict))
}

fn trials() -> Result<Vec<Trial>, String> {
    let vectors = Arc::new(Vectors::read()?);
    let mut trials = Vec::new();
    for (case, capture) in vectors.captures() {
        for run in runs(case, capture) {
            let (vectors, case, capture) = (Arc::clone(&vectors), case.clone(), capture.to_owned());
            let name = format!("{}/{capture}/{}", case.name, run.label);
            trials.push(Trial::test(name, move || {
                let outcome = vectors.run(&case, &capture, run);
                failure(outcome).map_or(Ok(()), |text| Err(text.into()))
            }));
        }
    }
    Ok(trials)
}

/// The first differences, if there are any.
fn failure(outcome: Result<Comparison, String>) -> Option<String> {
    match outcome {
        Err(error) => Some(error),
        Ok(comparison) if comparison.is_equal() => None,
        Ok(comparison) => {
            let (equal, expected) = (comparison.equal, comparison.expected);
            let differences = comparison.differences.join("\n");
            Some(format!("{differences}\n{equal}/{expected} events equal"))
        }
    }
}

fn score() -> Result<ExitCode, String> {
    let vectors = Vectors::read()?;
    let mut failures = Vec::new();
    let (mut equal, mut captures) = (0, 0);
    let mut stdout = io::stdout().lock();
    let mut print = |line: String| writeln!(stdout, "{line}").map_err(|error| error.to_string());
    for (case, capture) in vectors.captures() {
        let mut line = format!("{:58}", format!("{}/{capture}", case.name));
        let before = failures.len();
        for run in runs(case, capture) {
            let outcome = vectors.run(case, capture, run);
            let figures = outcome.as_ref().map_or_else(
                |_| "error".to_owned(),
                |comparison| format!("{}/{}", comparison.equal, comparison.expected),
            );
            line = format!("{line}  {} {figures:9}", run.label);
            if let Some(failure) = failure(outcome) {
                let label = run.label;
                failures.push(format!("{}/{capture}/{label}: fails\n{failure}", case.name));
            }
        }
        captures += 1;
        equal += usize::from(failures.len() == before);
        print(line.trim_end().to_owned())?;
    }
    for failure in &failures {
        print(format!("\n{failure}"))?;
    }
    let deviations = vectors.deviations.len();
    print(format!(
        "vectors: {equal}/{captures} captures equal, {deviations} deviations"
    ))?;
    Ok(if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn exempt(case: &str, capture: &str) -> bool {
    EXEMPT
        .iter()
        .any(|(cases, captures, _)| matches(cases, case) && matches(captures, capture))
}
