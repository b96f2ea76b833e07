//! Where we do better than Debezium, on purpose: `vectors/deviations.toml`.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// One place where Debezium loses or corrupts data and we do not.
#[derive(Clone, Debug)]
pub struct Deviation {
    /// Folder of the case.
    pub case: String,
    /// Column of the row or the key.
    pub column: String,
    /// What Debezium prints.
    pub debezium: Value,
    /// What we print.
    pub ours: Value,
    /// Why ours is better.
    pub why: String,
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
    case: String,
    column: String,
    debezium: String,
    ours: String,
    why: String,
}

impl Deviation {
    /// Reads `deviations.toml`.
    pub fn read(path: &Path) -> Result<Vec<Self>, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(text: &str) -> Result<Vec<Self>, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let json = |text: &str| serde_json::from_str(text).map_err(|e| format!("{text}: {e}"));
        let deviation = |entry: Entry| {
            Ok(Self {
                debezium: json(&entry.debezium)?,
                ours: json(&entry.ours)?,
                case: entry.case,
                column: entry.column,
                why: entry.why,
            })
        };
        file.deviation.into_iter().map(deviation).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_in_strings() {
        let text = "[[deviation]]\ncase = 'a'\ncolumn = 'c'\ndebezium = 'null'\nours = '\"x\"'\n\
                    why = 'the name is lost'\n";
        let deviations = Deviation::parse(text).unwrap();
        assert_eq!(deviations.len(), 1);
        assert_eq!(deviations[0].debezium, Value::Null);
        assert_eq!(deviations[0].ours, Value::from("x"));
        assert!(Deviation::parse(&text.replace("'null'", "'nul'")).is_err());
        assert!(Deviation::parse(&text.replace("why", "because")).is_err());
        assert!(Deviation::parse("# none\n").unwrap().is_empty());
    }
}
