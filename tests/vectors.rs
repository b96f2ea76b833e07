//! Every case of `vectors/`, every capture of it, through both engines: the events must be those
//! that Debezium wrote; so must those with schemas, as far as they are known.
//!
//! `expected_failures.txt` names what does not hold yet. A name in it that passes is an error, so
//! the list can only get shorter; `BLESS=1 make vectors` takes out what passes and adds nothing.
//!
//! `--score` prints a line a capture instead of a line a test, and the score.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use pgoutput_decoder_host::engine::EngineKind;
use pgoutput_decoder_tests::{Case, Comparison, Deviation, cases, compare, folder};

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

const ENGINES: [(EngineKind, &str); 2] = [
    (EngineKind::Native, "native"),
    (EngineKind::Component, "component"),
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
    expected_failures: BTreeSet<String>,
}

impl Vectors {
    fn read() -> Result<Self, String> {
        let text = std::fs::read_to_string(list()).map_err(|error| error.to_string())?;
        let names = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Self {
            cases: cases()?,
            deviations: Deviation::read(&folder().join("deviations.toml"))?,
            expected_failures: names.map(str::to_owned).collect(),
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

    fn run(
        &self,
        case: &Case,
        capture: &str,
        engine: EngineKind,
        schemas: bool,
    ) -> Result<Comparison, String> {
        let recorded = case.read(schemas)?;
        let actual = case.decode(&recorded, &format!("{capture}.jsonl"), engine, schemas)?;
        let deviations = self.of_case(case);
        let mut comparison = compare(recorded.events, actual, &deviations);
        // The plain capture shows each of them; an entry that nothing meets is out of date.
        let met = &comparison.deviations;
        let unmet = (0..deviations.len()).filter(|index| !met.contains(index));
        let unmet: Vec<_> = unmet.filter_map(|index| deviations.get(index)).collect();
        if let ("pgoutput", false, Some(deviation)) = (capture, schemas, unmet.first()) {
            return Err(format!(
                "deviations.toml: column {} is not met",
                deviation.column
            ));
        }
        comparison.differences.truncate(DIFFERENCES_MAX);
        Ok(comparison)
    }

    fn of_case(&self, case: &Case) -> Vec<Deviation> {
        let of_case = |deviation: &&Deviation| deviation.case == case.name;
        self.deviations.iter().filter(of_case).cloned().collect()
    }
}

fn trials() -> Result<Vec<Trial>, String> {
    let vectors = Arc::new(Vectors::read()?);
    let mut trials = Vec::new();
    let mut unknown = vectors.expected_failures.clone();
    for (case, capture) in vectors.captures() {
        for Run {
            engine,
            schemas,
            name,
            ..
        } in runs(case, capture)
        {
            let fails = unknown.remove(&name);
            let (vectors, case) = (Arc::clone(&vectors), case.clone());
            let capture = capture.to_owned();
            trials.push(Trial::test(name, move || {
                let failure = failure(&vectors.run(&case, &capture, engine, schemas));
                match (failure, fails) {
                    (None, false) | (Some(_), true) => Ok(()),
                    (Some(failure), false) => Err(Failed::from(failure)),
                    (None, true) => Err(Failed::from(
                        "it passes: take it out of expected_failures.txt (BLESS=1 make vectors)",
                    )),
                }
            }));
        }
    }
    trials.push(Trial::test("expected_failures.txt", move || {
        if unknown.is_empty() {
            return Ok(());
        }
        Err(Failed::from(format!("no such tests: {unknown:?}")))
    }));
    Ok(trials)
}

/// One way to decode a capture.
struct Run {
    engine: EngineKind,
    schemas: bool,
    /// `case/capture/engine`, with `+schemas` behind the capture where they are wanted.
    name: String,
    label: String,
}

/// The ways to decode a capture: with either engine, without schemas and with them.
fn runs(case: &Case, capture: &str) -> Vec<Run> {
    let mut runs = Vec::new();
    for schemas in [false, true] {
        let suffix = if schemas { "+schemas" } else { "" };
        if schemas && (!case.has_schemas || exempt(&case.name, &format!("{capture}{suffix}"))) {
            continue;
        }
        for (engine, engine_name) in ENGINES {
            runs.push(Run {
                engine,
                schemas,
                name: format!("{}/{capture}{suffix}/{engine_name}", case.name),
                label: format!("{engine_name}{suffix}"),
            });
        }
    }
    runs
}

/// The first differences, if there are any.
fn failure(outcome: &Result<Comparison, String>) -> Option<String> {
    match outcome {
        Err(error) => Some(error.clone()),
        Ok(comparison) if comparison.is_equal() => None,
        Ok(comparison) => {
            let (equal, expected) = (comparison.equal, comparison.expected);
            Some(format!(
                "{}\n{equal}/{expected} events equal",
                comparison.differences.join("\n")
            ))
        }
    }
}

fn score() -> Result<ExitCode, String> {
    let vectors = Vectors::read()?;
    let bless = std::env::var_os("BLESS").is_some_and(|value| value == "1");
    let mut expected_failures = vectors.expected_failures.clone();
    let mut unknown = expected_failures.clone();
    let mut surprises = Vec::new();
    let (mut equal, mut captures) = (0, 0);
    let mut deviations = 0;
    let mut stdout = io::stdout().lock();
    let mut print = |line: String| writeln!(stdout, "{line}").map_err(|error| error.to_string());
    for (case, capture) in vectors.captures() {
        let mut line = format!("{:58}", format!("{}/{capture}", case.name));
        let mut all_equal = true;
        let mut met = 0;
        for Run {
            engine,
            schemas,
            name,
            label,
        } in runs(case, capture)
        {
            let outcome = vectors.run(case, capture, engine, schemas);
            let failure = failure(&outcome);
            unknown.remove(&name);
            all_equal &= failure.is_none();
            let figures = outcome.as_ref().map_or_else(
                |_| "error".to_owned(),
                |comparison| format!("{}/{}", comparison.equal, comparison.expected),
            );
            line = format!("{line}  {label} {figures:9}");
            met = met.max(outcome.map_or(0, |comparison| comparison.deviations.len()));
            match (failure, expected_failures.contains(&name)) {
                (Some(failure), false) => surprises.push(format!("{name}: fails\n{failure}")),
                (None, true) if bless => {
                    expected_failures.remove(&name);
                }
                (None, true) => surprises.push(format!("{name}: passes, though it is listed")),
                (None, false) | (Some(_), true) => {}
            }
        }
        captures += 1;
        equal += usize::from(all_equal);
        deviations += met;
        print(line.trim_end().to_owned())?;
    }
    for name in unknown {
        expected_failures.remove(&name);
        if !bless {
            surprises.push(format!("{name}: is listed, and there is no such test"));
        }
    }
    for surprise in &surprises {
        print(format!("\n{surprise}"))?;
    }
    print(format!(
        "vectors: {equal}/{captures} captures equal, {deviations} deviations"
    ))?;
    if bless {
        shorten(&expected_failures)?;
    }
    Ok(if surprises.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Writes the list without the names that are not in `left`; comments stay.
fn shorten(left: &BTreeSet<String>) -> Result<(), String> {
    let text = std::fs::read_to_string(list()).map_err(|error| error.to_string())?;
    let stays = |line: &&str| line.is_empty() || line.starts_with('#') || left.contains(*line);
    let lines: Vec<&str> = text.lines().filter(stays).collect();
    std::fs::write(list(), lines.join("\n") + "\n").map_err(|error| error.to_string())
}

fn list() -> PathBuf {
    folder().join("expected_failures.txt")
}

fn exempt(case: &str, capture: &str) -> bool {
    let matches = |pattern: &str, name: &str| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    };
    EXEMPT
        .iter()
        .any(|(cases, captures, _)| matches(cases, case) && matches(captures, capture))
}
