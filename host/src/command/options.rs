//! Decoder options from files and flags, and the notice about those that mean nothing here.

use std::io::{self, Write};
use std::path::Path;

use serde_json::Value;

use super::failure::Failure;
use super::terminal::Style;

/// Reads a JSON object of Debezium's property names; values are strings, numbers or booleans. As
/// Kafka Connect is sent a connector, the object may be its member `config`.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|source| Failure::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(&text).map_err(|expected| Failure::Options {
        path: path.to_owned(),
        expected,
    })
}

/// `NAME=VALUE` of a flag.
pub(crate) fn pair(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE is expected, as in decimal.handling.mode=string"),
    }
}

/// An option, instead of one of the same name.
pub(crate) fn set(options: &mut Vec<(String, String)>, name: &str, value: &str) {
    options.retain(|(known, _)| known != name);
    options.push((name.to_owned(), value.to_owned()));
}

/// Says once on stderr which options were taken and have no effect.
pub(crate) fn notice_ignored(ignored: &[String]) {
    if !ignored.is_empty() {
        let style = Style::of(&io::stderr());
        let names = ignored.join(", ");
        // A notice nobody can read is no reason to stop.
        let _ = writeln!(
            io::stderr().lock(),
            "{}: options of Debezium without a meaning here, ignored: {names}",
            style.yellow("notice")
        );
    }
}

fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        // Line and column only: what stands there may be a password.
        format!("not JSON, line {}, column {}", error.line(), error.column())
    })?;
    let Value::Object(mut members) = value else {
        return Err("a JSON object of option names and values was expected".to_owned());
    };
    if let Some(Value::Object(config)) = members.get_mut("config") {
        members = std::mem::take(config);
    }
    let text = |(name, value)| match value {
        Value::String(text) => Ok((name, text)),
        Value::Bool(value) => Ok((name, value.to_string())),
        Value::Number(value) => Ok((name, value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(format!(
            "option {name}: a string, number or boolean was expected"
        )),
    };
    members.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_as_they_are_written() {
        let options = parse(r#"{"a.b":"x","n":2.50,"t":true}"#).unwrap();
        let pairs: Vec<_> = options
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(pairs, [("a.b", "x"), ("n", "2.50"), ("t", "true")]);
    }

    #[test]
    fn a_connector_as_kafka_connect_is_sent_it_is_taken() {
        let options = parse(r#"{"name":"shop","config":{"topic.prefix":"x"}}"#).unwrap();
        assert_eq!(options, [("topic.prefix".to_owned(), "x".to_owned())]);
        assert!(parse(r#"{"config":"x"}"#).is_ok(), "refused as an option");
    }

    #[test]
    fn what_is_no_option_is_refused_by_name_and_place() {
        assert_eq!(
            parse("{\"a\":\n}").unwrap_err(),
            "not JSON, line 2, column 1"
        );
        assert_eq!(
            parse("[]").unwrap_err(),
            "a JSON object of option names and values was expected"
        );
        assert_eq!(
            parse("{\"a\":null}").unwrap_err(),
            "option a: a string, number or boolean was expected"
        );
        assert_eq!(pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }
}
