//! Which tables, columns and messages have a part in events, and which columns make up the key.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::OptionError;
use crate::options::{Format, boolean, error};
use crate::patterns::{Filter, Patterns};

/// Debezium's include and exclude lists, and `message.key.columns`.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    schemas: Filter,
    /// By `schema.table`.
    tables: Filter,
    /// Tables that are included whatever the lists say.
    signals: Patterns,
    /// `table.ignore.builtin`.
    ignore_builtin: bool,
    /// By `schema.table.column`.
    columns: Filter,
    /// By prefix.
    messages: Filter,
    /// Each matches key columns, as `schema.table.column`.
    key_columns: Vec<Patterns>,
}

impl Selection {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            schemas: Filter::default(),
            tables: Filter::default(),
            signals: Patterns::default(),
            ignore_builtin: format == Format::Debezium,
            columns: Filter::default(),
            messages: Filter::default(),
            key_columns: Vec::new(),
        }
    }

    /// Takes an option, if it is one of these.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<bool, OptionError> {
        match name {
            "schema.include.list" => self.schemas.set_include(name, value)?,
            "schema.exclude.list" => self.schemas.set_exclude(name, value)?,
            "table.include.list" => self.tables.set_include(name, value)?,
            "table.exclude.list" => self.tables.set_exclude(name, value)?,
            "table.ignore.builtin" => self.ignore_builtin = boolean(name, value)?,
            "signal.data.collection" => self.signals = Patterns::parse(name, value)?,
            "column.include.list" => self.columns.set_include(name, value)?,
            "column.exclude.list" => self.columns.set_exclude(name, value)?,
            "message.prefix.include.list" => self.messages.set_include(name, value)?,
            "message.prefix.exclude.list" => self.messages.set_exclude(name, value)?,
            "message.key.columns" => self.key_columns = key_columns(name, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(crate) fn includes_table(&self, schema: &str, table: &str) -> bool {
        let name = || format!("{schema}.{table}");
        let listed = self.schemas.includes(schema) && self.tables.includes(&name());
        (listed && !(self.ignore_builtin && is_builtin(schema, table)))
            || self.signals.matches(&name())
    }

    /// `table` is `schema.table`.
    pub(crate) fn includes_column(&self, table: &str, column: &str) -> bool {
        self.columns.includes(&format!("{table}.{column}"))
    }

    pub(crate) fn includes_message(&self, prefix: &str) -> bool {
        self.messages.includes(prefix)
    }

    /// The key's columns where they are chosen, in the order of the option; `table` is
    /// `schema.table`.
    pub(crate) fn key_columns<'a>(
        &self,
        table: &str,
        columns: &(impl Iterator<Item = &'a str> + Clone),
    ) -> Vec<&'a str> {
        let mut chosen = Vec::new();
        for patterns in &self.key_columns {
            for column in columns.clone() {
                if patterns.matches(&format!("{table}.{column}")) && !chosen.contains(&column) {
                    chosen.push(column);
                }
            }
        }
        chosen
    }
}

/// Tables of the server and of `PostGIS`, and temporary ones.
fn is_builtin(schema: &str, table: &str) -> bool {
    let schema_is = |name: &str| schema.eq_ignore_ascii_case(name);
    schema_is("pg_catalog")
        || schema_is("information_schema")
        || table.eq_ignore_ascii_case("spatial_ref_sys")
        || schema.starts_with("pg_temp")
}

/// `tables:column,column;…`, where `tables` is an expression for `schema.table`.
fn key_columns(option: &str, value: &str) -> Result<Vec<Patterns>, OptionError> {
    let malformed = || error(option, "expected schema.table:column,column;…");
    let mut chosen = Vec::new();
    // As Java splits: without what is empty at the end.
    for part in value.trim_end_matches(';').split(';') {
        let (table, columns) = part.split_once(':').ok_or_else(malformed)?;
        let columns: Vec<&str> = columns.split(',').collect();
        if table.is_empty()
            || columns
                .iter()
                .any(|column| column.is_empty() || column.contains(':'))
        {
            return Err(malformed());
        }
        for column in columns {
            let pattern: String = format!("{table}.{}", column.trim());
            chosen.push(Patterns::parse(option, &pattern)?);
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(options: &[(&str, &str)]) -> Selection {
        let mut selection = Selection::new(Format::Debezium);
        for (name, value) in options {
            assert!(selection.set(name, value).unwrap(), "{name}");
        }
        selection
    }

    #[test]
    fn tables_are_chosen_by_schema_and_by_name() {
        let chosen = selection(&[
            ("schema.exclude.list", "audit"),
            ("table.include.list", "public\\.t.*"),
        ]);
        assert!(chosen.includes_table("public", "t1"));
        assert!(!chosen.includes_table("public", "u"));
        let chosen = selection(&[("schema.include.list", "public")]);
        assert!(chosen.includes_table("public", "t"));
        assert!(!chosen.includes_table("audit", "t"));
    }

    #[test]
    fn tables_of_signals_are_always_chosen_and_builtin_ones_never() {
        let options = [
            ("table.include.list", "public.t"),
            ("signal.data.collection", "public.s"),
        ];
        assert!(selection(&options).includes_table("public", "s"));
        assert!(!selection(&[]).includes_table("public", "spatial_ref_sys"));
        let all = selection(&[("table.ignore.builtin", "false")]);
        assert!(all.includes_table("public", "spatial_ref_sys"));
        assert!(Selection::new(Format::Native).includes_table("public", "spatial_ref_sys"));
    }

    #[test]
    fn key_columns_come_in_the_options_order() {
        let chosen = selection(&[("message.key.columns", "public.m:nm, id;(.*).k:a;")]);
        let columns = ["id", "x", "nm", "a"].into_iter();
        assert_eq!(chosen.key_columns("public.m", &columns), ["nm", "id"]);
        assert_eq!(chosen.key_columns("s.k", &columns), ["a"]);
        assert!(chosen.key_columns("public.other", &columns).is_empty());
    }

    #[test]
    fn key_columns_are_refused_by_name() {
        for value in ["", "public.m", "public.m:", ":id", "public.m:a,,b", "m:a:b"] {
            let refused = Selection::new(Format::Native).set("message.key.columns", value);
            assert_eq!(refused.unwrap_err().name, "message.key.columns", "{value}");
        }
    }
}
