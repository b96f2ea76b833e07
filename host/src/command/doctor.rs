//! `doctor`: everything that must be right, asked in one pass.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{ArgMatches, Args};
use pgoutput_decoder_host::doctor::{Finding, Level, Report, diagnose};

use super::connection::Connection;
use super::failure::Failure;
use super::protocol::Protocol;
use super::source::publications;
use super::terminal::{self, Style};

/// What `doctor` is told.
#[derive(Args)]
#[command(
    about = "Checks everything that must be right for a stream, and says what mends it",
    after_help = "Changes nothing. Give it what `stream` is given.\n\
        Exit code: 0 no error found, 1 some, 3 the server cannot be reached."
)]
pub(crate) struct Arguments {
    /// Replication slot to look at
    #[arg(
        long,
        env = "PGOUTPUT_SLOT",
        value_name = "NAME",
        hide_env_values = true
    )]
    slot: Option<String>,
    /// Publication to look at; may be repeated, or separated by commas in the environment
    #[arg(
        long,
        env = "PGOUTPUT_PUBLICATION",
        value_name = "NAME",
        hide_env_values = true
    )]
    publication: Vec<String>,
    /// One object: the server, and its findings with code, level, text, sql and advice
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    protocol: Protocol,
    #[command(flatten)]
    connection: Connection,
}

/// Examines and reports.
pub(crate) async fn run(arguments: Arguments, given: &ArgMatches) -> Result<ExitCode, Failure> {
    let mut config = arguments.connection.config(given)?;
    if let Some(slot) = &arguments.slot {
        config = config.slot(slot);
    }
    for publication in publications(&arguments.publication, given) {
        config = config.publication(publication);
    }
    let report = diagnose(&arguments.protocol.apply(config)).await?;
    let mut out = io::stdout().lock();
    if arguments.json {
        let json = serde_json::to_string_pretty(&report).map_err(io::Error::from)?;
        writeln!(out, "{json}")?;
    } else {
        let width = terminal::width().unwrap_or(WIDTH_OF_A_FILE);
        print(&mut out, &report, Style::of(&io::stdout()), width)?;
        let left_out = match (&arguments.slot, arguments.publication.is_empty()) {
            (None, true) => Some("slot and publication"),
            (None, false) => Some("the slot"),
            (Some(_), true) => Some("the publication"),
            (Some(_), false) => None,
        };
        if let Some(what) = left_out.filter(|_| report.reachable) {
            writeln!(
                out,
                "not looked at: {what}; --slot and --publication name them"
            )?;
        }
    }
    Ok(if !report.reachable {
        ExitCode::from(UNREACHABLE)
    } else if report.count(Level::Error) > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn print(out: &mut impl Write, report: &Report, style: Style, width: usize) -> io::Result<()> {
    let Report {
        address,
        database,
        role,
        ..
    } = report;
    let head = format!("{address}, database {database}, role {role}");
    writeln!(out, "{}", style.bold(&terminal::printable(&head)))?;
    let codes = report.findings.iter().map(|finding| finding.code.len());
    let code_columns = codes.max().unwrap_or_default();
    for finding in &report.findings {
        print_finding(out, finding, style, code_columns, width)?;
    }
    for line in wrap(&summary(report), width) {
        writeln!(out, "{}", style.bold(line))?;
    }
    Ok(())
}

/// How many findings are how bad, and which: they are far apart.
fn summary(report: &Report) -> String {
    let counts = [Level::Error, Level::Warning, Level::Unknown];
    let mut counts: Vec<_> = counts
        .into_iter()
        .filter_map(|level| {
            let found = report.findings.iter().filter(|found| found.level == level);
            let codes: Vec<_> = found.map(|finding| finding.code).collect();
            let count = match (codes.len(), level) {
                (0, _) => return None,
                (1, _) | (_, Level::Unknown) => format!("{} {}", codes.len(), word(level)),
                (count, _) => format!("{count} {}s", word(level)),
            };
            Some(format!("{count}: {}", codes.join(", ")))
        })
        .collect();
    // What is good to know is good.
    let good = report.count(Level::Ok) + report.count(Level::Info);
    if good > 0 {
        counts.push(format!("{good} good"));
    }
    counts.join("; ")
}

/// A line, and where something is to be done, what, below it.
fn print_finding(
    out: &mut impl Write,
    finding: &Finding,
    style: Style,
    code_columns: usize,
    width: usize,
) -> io::Result<()> {
    let level = format!("{:<7}", word(finding.level));
    let level = match finding.level {
        Level::Ok => style.green(&level),
        Level::Info => style.cyan(&level),
        Level::Warning | Level::Unknown => style.yellow(&level),
        Level::Error => style.red(&level),
    };
    let margin = 7 + 2 + code_columns + 2;
    let text = terminal::printable(&finding.text);
    let mut lines = wrap(&text, width.saturating_sub(margin)).into_iter();
    let first = lines.next().unwrap_or_default();
    let code = finding.code;
    writeln!(out, "{level}  {code:<code_columns$}  {first}")?;
    for line in lines {
        writeln!(out, "{:margin$}{line}", "")?;
    }
    let shown = finding.sql.get(..SQL_MAX).unwrap_or(&finding.sql);
    for statement in shown {
        // On one line each, whatever its width: to be copied.
        writeln!(
            out,
            "{:9}{}",
            "",
            style.bold(&terminal::printable(statement))
        )?;
    }
    let mut advice = finding.advice.clone().unwrap_or_default();
    if finding.sql.len() > shown.len() {
        let more = finding.sql.len() - shown.len();
        let separator = if advice.is_empty() { "" } else { "; " };
        advice = format!("and {more} more statements, see --json{separator}{advice}");
    }
    for line in wrap(&terminal::printable(&advice), width.saturating_sub(9)) {
        writeln!(out, "{:9}{}", "", style.dim(line))?;
    }
    Ok(())
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Info => "info",
        Level::Unknown => "unknown",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

/// Lines of at most `columns`, broken between words; none of no text.
fn wrap(text: &str, columns: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let mut end = rest.len();
        if terminal::columns(rest) > columns {
            let fits = rest
                .match_indices(' ')
                .map(|(index, _)| index)
                .take_while(|&index| {
                    terminal::columns(rest.get(..index).unwrap_or(rest)) <= columns
                });
            // A word that is too long has a line of its own.
            end = fits.last().or_else(|| rest.find(' ')).unwrap_or(rest.len());
        }
        let (line, after) = rest.split_at(end);
        lines.push(line);
        rest = after.trim_start();
    }
    lines
}

/// No connection, and so no answer to anything.
const UNREACHABLE: u8 = 3;

/// Statements shown of one finding; a database may have thousands of tables.
const SQL_MAX: usize = 5;

/// Where nobody says how wide a line may be.
const WIDTH_OF_A_FILE: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("a bc def", 4), ["a bc", "def"]);
        assert_eq!(wrap("abcdef gh", 3), ["abcdef", "gh"]);
        assert_eq!(wrap("高橋 花子", 5), ["高橋", "花子"]);
        assert_eq!(wrap("", 5), [""; 0]);
    }
}
