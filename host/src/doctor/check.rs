//! What a check is made of.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Finding, Level};
use crate::config::Config;

/// One thing that must be right.
pub(super) struct Check {
    pub(super) code: &'static str,
    /// The major version from which on it makes sense; 0 for all.
    pub(super) since: u32,
    /// A query with $1 the slot's name and $2 the publications'. Names are found in `pg_catalog`
    /// alone.
    pub(super) question: &'static str,
    /// What its rows mean; `None` where there is nothing to judge.
    pub(super) judge: fn(&Patient<'_>, &Answer) -> Option<Verdict>,
}

/// Who is examined.
pub(super) struct Patient<'c> {
    pub(super) config: &'c Config,
    /// The server's major version.
    pub(super) major: u32,
    /// The role, quoted where it has to be.
    pub(super) role: String,
    /// Of the publications, there is one.
    pub(super) published: bool,
}

/// The rows of the question.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
}

/// A row by the names of its columns. A column that is NULL is empty, nothing or no.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Row(Map<String, Value>);

impl Answer {
    pub(super) fn first(&self) -> Option<&Row> {
        self.rows.first()
    }

    /// A column of all rows.
    pub(super) fn texts(&self, name: &str) -> Vec<&str> {
        self.rows.iter().map(|row| row.text(name)).collect()
    }

    /// A column of all rows as [`list`] has it.
    pub(super) fn list(&self, name: &str) -> String {
        list(&self.texts(name))
    }
}

/// With commas between, cut short where they are many.
pub(super) fn list(texts: &[&str]) -> String {
    let shown = texts.get(..LISTED_MAX).unwrap_or(texts).join(", ");
    match texts.len().checked_sub(LISTED_MAX) {
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}

impl Row {
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Elements of an array.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let elements = self.0.get(name).and_then(Value::as_array);
        elements.into_iter().flatten().filter_map(Value::as_str)
    }
}

/// What a check comes to.
pub(super) struct Verdict {
    level: Level,
    text: String,
    sql: Vec<String>,
    advice: Option<String>,
}

impl Verdict {
    fn new(level: Level, text: impl Into<String>) -> Self {
        Self {
            level,
            text: text.into(),
            sql: Vec::new(),
            advice: None,
        }
    }

    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self::new(Level::Ok, text)
    }

    pub(super) fn info(text: impl Into<String>) -> Self {
        Self::new(Level::Info, text)
    }

    pub(super) fn unknown(text: impl Into<String>) -> Self {
        Self::new(Level::Unknown, text)
    }

    pub(super) fn warning(text: impl Into<String>) -> Self {
        Self::new(Level::Warning, text)
    }

    pub(super) fn error(text: impl Into<String>) -> Self {
        Self::new(Level::Error, text)
    }

    /// With a statement that mends it, behind those it has.
    pub(super) fn sql(mut self, statement: impl Into<String>) -> Self {
        self.sql.push(statement.into());
        self
    }

    /// With a statement for each.
    pub(super) fn sqls(mut self, statements: impl IntoIterator<Item = String>) -> Self {
        self.sql.extend(statements);
        self
    }

    /// With a setting that mends it and takes effect at once.
    pub(super) fn setting(self, name: &str, value: &str) -> Self {
        self.sql(format!("ALTER SYSTEM SET {name} = {value};"))
            .sql("SELECT pg_reload_conf();")
    }

    /// With a setting that mends it and needs a restart.
    pub(super) fn setting_at_start(self, name: &str, value: &str) -> Self {
        self.sql(format!("ALTER SYSTEM SET {name} = {value};"))
            .advice("then restart the server")
    }

    /// With what to do besides or instead.
    pub(super) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(super) fn finding(self, code: &'static str) -> Finding {
        let Self {
            level,
            text,
            sql,
            advice,
        } = self;
        Finding {
            code,
            level,
            text,
            sql,
            advice,
        }
    }
}

/// More names than that tell nobody more.
const LISTED_MAX: usize = 5;
