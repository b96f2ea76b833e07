//! One short line an event, for people: time, operation, table, key, and what changed.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use pgoutput_decoder_host::records::Event;
use serde_json::value::RawValue;

use super::terminal::{Style, columns, fit, printable};

/// Members of a JSON object in their order, their values as written.
pub(crate) type Row = Vec<(String, String)>;

/// Lays out events, in columns as wide as what they have held so far.
pub(crate) struct Pretty {
    style: Style,
    line_columns_max: Option<usize>,
    tables_only: bool,
    word_columns: usize,
    relation_columns: usize,
    key_columns: usize,
}

impl Pretty {
    /// For `stream`; lines are cut to `width` where there is one.
    pub(crate) fn new(stream: &impl IsTerminal, width: Option<usize>) -> Self {
        Self {
            style: Style::of(stream),
            line_columns_max: width,
            tables_only: false,
            word_columns: "INSERT".len(),
            relation_columns: 0,
            key_columns: 0,
        }
    }

    /// Leaves out the names of schemas, and has room for `tables` from the first line on.
    #[must_use]
    pub(crate) fn for_tables(mut self, tables: &[&str]) -> Self {
        self.tables_only = true;
        self.relation_columns = tables.iter().map(|table| columns(table)).max().unwrap_or(0);
        self.key_columns = KEY_COLUMNS_USUAL;
        self
    }

    /// Appends the event's line.
    pub(crate) fn write(&mut self, buffer: &mut Vec<u8>, event: &Event) {
        let style = self.style;
        let topic = event.topic();
        // Messages and transaction metadata have no relation.
        let relation = match &topic.schema {
            _ if topic.table.is_empty() => topic.name.clone(),
            _ if self.tables_only => topic.table.clone(),
            schema => format!("{schema}.{}", topic.table),
        };
        let relation = fit(&printable(&relation), RELATION_COLUMNS_MAX).into_owned();
        let key = event.key().map(row).unwrap_or_default();
        let key_text = fit(&joined(&key), KEY_COLUMNS_MAX).into_owned();
        self.relation_columns = self.relation_columns.max(columns(&relation));
        self.key_columns = self.key_columns.max(columns(&key_text));

        let time = time_of_day(event.commit_ts_us());
        let (word, paint): (_, fn(Style, &str) -> std::borrow::Cow<'_, str>) = match event.op() {
            Some('c') => ("INSERT", Style::green),
            Some('r') => ("READ", Style::cyan),
            Some('u') => ("UPDATE", Style::yellow),
            Some('d') => ("DELETE", Style::red),
            Some('t') => ("TRUNCATE", Style::red),
            Some('m') => ("MESSAGE", Style::cyan),
            _ => ("TOMBSTONE", Style::dim),
        };
        self.word_columns = self.word_columns.max(word.len());
        let word = format!("{word:<0$}", self.word_columns);
        let relation_pad = " ".repeat(self.relation_columns - columns(&relation));
        let key_pad = " ".repeat(self.key_columns - columns(&key_text));
        let taken = time.len() + 1 + word.len() + 1 + self.relation_columns + 2;
        let taken = taken + self.key_columns + 2;
        let room = match self.line_columns_max {
            Some(width) => width.saturating_sub(taken).max(DETAIL_COLUMNS_MIN),
            None => usize::MAX,
        };
        let detail = fit(&detail(event, &key), room).into_owned();
        let detail = if event.op() == Some('u') {
            detail.into()
        } else {
            style.dim(&detail)
        };
        let line = format!(
            "{} {} {}{relation_pad}  {}{key_pad}  {detail}",
            style.dim(&time),
            paint(style, &word),
            relation,
            style.bold(&key_text),
        );
        buffer.extend_from_slice(line.trim_end().as_bytes());
        buffer.push(b'\n');
    }
}

/// What happened to the row, besides its key.
fn detail(event: &Event, key: &Row) -> String {
    let before = event.before().map(row).unwrap_or_default();
    let after = event.after().map(row).unwrap_or_default();
    let unchanged = unchanged(event);
    let is_key = |name: &str| key.iter().any(|(known, _)| known == name);
    let shown: Row = match event.op() {
        Some('u') if !before.is_empty() => {
            let old: BTreeMap<_, _> = before.into_iter().collect();
            let change = |(name, new): (String, String)| match old.get(&name) {
                _ if unchanged.contains(&name) => None,
                Some(old) if *old == new => None,
                Some(old) => Some((name, format!("{} → {}", short(old), short(&new)))),
                None if is_key(&name) => None,
                None => Some((name, short(&new))),
            };
            after.into_iter().filter_map(change).collect()
        }
        Some('m') => message(event),
        _ => {
            let row = if after.is_empty() { before } else { after };
            row.into_iter()
                .filter(|(name, _)| !is_key(name) && !unchanged.contains(name))
                .map(|(name, value)| (name, short(&value)))
                .collect()
        }
    };
    shown
        .iter()
        .map(|(name, value)| format!("{}={value}", printable(name)))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Names of the columns whose `TOAST` value was not sent.
fn unchanged(event: &Event) -> Vec<String> {
    let columns = &event.topic().columns;
    event
        .unchanged()
        .filter_map(|index| columns.get(usize::try_from(index).ok()?))
        .map(|column| column.name.clone())
        .collect()
}

/// A logical message's content.
fn message(event: &Event) -> Row {
    let value = event.value().map(row).unwrap_or_default();
    let message = value.into_iter().find(|(name, _)| name == "message");
    let members = message
        .map(|(_, message)| row(&message))
        .unwrap_or_default();
    members
        .into_iter()
        .filter(|(name, _)| name != "prefix")
        .map(|(name, value)| (name, short(&value)))
        .collect()
}

/// The members of a JSON object; none of anything else.
pub(crate) fn row(json: &str) -> Row {
    struct Members;
    impl<'de> serde::de::Visitor<'de> for Members {
        type Value = Row;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
            let mut row = Row::new();
            while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                // Between tokens the server's own json may have line breaks.
                row.push((name, value.get().replace(['\n', '\r'], " ")));
            }
            Ok(row)
        }
    }
    let mut json = serde_json::Deserializer::from_str(json);
    serde::Deserializer::deserialize_map(&mut json, Members).unwrap_or_default()
}

fn joined(row: &Row) -> String {
    let pairs = row
        .iter()
        .map(|(name, value)| format!("{}={}", printable(name), short(value)));
    pairs.collect::<Vec<_>>().join(" ")
}

/// A JSON value as short as can be read: plain words without their quotes.
fn short(json: &str) -> String {
    let bare = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let plain = bare.filter(|text| {
        !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "\\\"=→".contains(c))
    });
    fit(&printable(plain.unwrap_or(json)), VALUE_COLUMNS_MAX).into_owned()
}

/// `HH:MM:SS.mmm`, UTC.
fn time_of_day(us: i64) -> String {
    let ms = us.div_euclid(1000).rem_euclid(86_400_000);
    let (s, ms) = (ms / 1000, ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

const RELATION_COLUMNS_MAX: usize = 40;
const KEY_COLUMNS_MAX: usize = 32;
const KEY_COLUMNS_USUAL: usize = 20;
const VALUE_COLUMNS_MAX: usize = 40;
const DETAIL_COLUMNS_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short_and_steer_nothing() {
        assert_eq!(short("\"paid\""), "paid");
        assert_eq!(short("\"two words\""), "\"two words\"");
        assert_eq!(short("\"\""), "\"\"");
        assert_eq!(short("\"a\u{9b}b\""), "a\u{FFFD}b");
        assert_eq!(short("1299.90"), "1299.90");
        assert_eq!(columns(&short(&"9".repeat(100))), VALUE_COLUMNS_MAX);
    }

    #[test]
    fn rows_keep_order_and_spelling() {
        let expected = [("b", "1.50"), ("a", "null"), ("c", "{\"x\": [1]}")];
        let row = row("{\"b\":1.50,\"a\":null,\"c\":{\"x\":\n[1]}}");
        assert!(
            row.iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .eq(expected)
        );
        assert!(super::row("null").is_empty());
    }

    #[test]
    fn time_of_day_is_that_of_utc() {
        assert_eq!(time_of_day(1_795_233_312_205_911), "03:55:12.205");
        assert_eq!(time_of_day(-1000), "23:59:59.999");
    }
}
