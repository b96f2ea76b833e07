//! Where we do better than Debezium, on purpose: `vectors/deviations.toml`.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// One rule of Debezium's that loses or corrupts data, and that we do not follow.
#[derive(Clone, Debug)]
pub struct Deviation {
    /// PostgreSQL's type whose values it is about.
    pub type_name: String,
    /// Columns of rows or keys that may show it, as `case/table.column`; the case may be the
    /// beginning of several before `*`. In the first one stands the example.
    columns: Vec<String>,
    /// What Debezium prints of the example.
    pub debezium: Value,
    /// What we print.
    pub ours: Value,
    /// Why ours is better.
    pub why: String,
}

/// What a deviation says of one column.
#[derive(Clone, Copy, Debug)]
pub struct Allowed<'a> {
    /// Name of the table.
    pub table: &'a str,
    /// Name of the column.
    pub column: &'a str,
    /// What Debezium and what we print in one row of it.
    pub example: Option<(&'a Value, &'a Value)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    deviation: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(rename = "type")]
    type_name: String,
    column: String,
    debezium: String,
    ours: String,
    why: String,
    /// Further columns.
    #[serde(default)]
    also: Vec<String>,
}

impl Deviation {
    /// Reads `deviations.toml`.
    pub fn read(path: &Path) -> Result<Vec<Self>, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(text: &str) -> Result<Vec<Self>, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.deviation.len() > ENTRIES_MAX {
            return Err(format!("more than {ENTRIES_MAX} entries"));
        }
        let json = |text: &str| serde_json::from_str(text).map_err(|e| format!("{text}: {e}"));
        let deviation = |entry: Entry| {
            let columns = [entry.column].into_iter().chain(entry.also);
            let columns: Vec<String> = columns.collect();
            if let Some(name) = columns.iter().find(|name| split(name).is_none()) {
                return Err(format!("{name}: no case/table.column"));
            }
            Ok(Self {
                type_name: entry.type_name,
                columns,
                debezium: json(&entry.debezium)?,
                ours: json(&entry.ours)?,
                why: entry.why,
            })
        };
        file.deviation.into_iter().map(deviation).collect()
    }

    /// What it says of the columns of a case.
    pub fn of_case<'a>(&'a self, case: &'a str) -> impl Iterator<Item = Allowed<'a>> {
        let columns = self.columns.iter().enumerate();
        columns.filter_map(move |(index, name)| {
            let (cases, table, column) = split(name)?;
            matches(cases, case).then_some(Allowed {
                table,
                column,
                example: (index == 0).then_some((&self.debezium, &self.ours)),
            })
        })
    }
}

/// Case, table and column.
fn split(name: &str) -> Option<(&str, &str, &str)> {
    let (cases, column) = name.split_once('/')?;
    let (table, column) = column.split_once('.')?;
    Some((cases, table, column))
}

/// Whether `name` is what `pattern` says: all of it, or its beginning before `*`.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

/// Rules of Debezium's that are not followed: more would be another product.
const ENTRIES_MAX: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/debezium.md's table has these rows and no others.
    #[test]
    fn the_docs_list_all_of_them() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(folder.join("../docs/debezium.md")).unwrap();
        let heading = "| type | Debezium | here | why |\n|---|---|---|---|\n";
        let (_, behind) = page.split_once(heading).unwrap();
        let table: Vec<&str> = behind
            .lines()
            .take_while(|line| line.starts_with('|'))
            .collect();
        let text = std::fs::read_to_string(folder.join("vectors/deviations.toml")).unwrap();
        let entries = toml::from_str::<File>(&text).unwrap().deviation;
        let rows: Vec<String> = entries
            .iter()
            .map(|entry| {
                format!(
                    "| `{}` | `{}` | `{}` | {} |",
                    entry.type_name, entry.debezium, entry.ours, entry.why
                )
            })
            .collect();
        assert_eq!(table, rows);
    }

    #[test]
    fn values_are_json_in_strings() {
        let text = "[[deviation]]\ntype = 'name'\ncolumn = 'a/t.c'\ndebezium = 'null'\n\
                    ours = '\"x\"'\nwhy = 'the name is lost'\nalso = ['b*/t.d', 'bb/u.e']\n";
        let deviations = Deviation::parse(text).unwrap();
        assert_eq!(deviations.len(), 1);
        assert_eq!(deviations[0].debezium, Value::Null);
        assert_eq!(deviations[0].ours, Value::from("x"));
        let columns = |case| -> Vec<_> {
            let allowed = deviations[0].of_case(case);
            allowed
                .map(|allowed| (allowed.table, allowed.column, allowed.example.is_some()))
                .collect()
        };
        assert_eq!(columns("a"), [("t", "c", true)]);
        assert_eq!(columns("bb"), [("t", "d", false), ("u", "e", false)]);
        assert_eq!(columns("bc"), [("t", "d", false)]);
        assert!(Deviation::parse(&text.replace("'null'", "'nul'")).is_err());
        assert!(Deviation::parse(&text.replace("why", "because")).is_err());
        assert!(Deviation::parse(&text.replace("b*/t", "b*")).is_err());
        assert!(Deviation::parse(&text.repeat(13)).is_err());
        assert!(Deviation::parse("# none\n").unwrap().is_empty());
    }
}
