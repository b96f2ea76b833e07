//! Debezium's single message transform `ExtractNewRecordState`: the row in place of its envelope.

mod json;
mod schema;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use self::json::member;
pub(crate) use self::schema::Wrapped;
use crate::error::OptionError;
use crate::options::{Format, boolean, error, one_of};
use crate::record::Parts;
use crate::relation::write_name;
use crate::schema::Opening;

/// The transform's options, gathered by the name it is given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transforms {
    /// `transforms`: none, or one.
    name: Option<String>,
    /// `transforms.<name>.<option>`, whatever the name.
    options: Vec<(String, String)>,
}

/// The transform: what becomes of events.
#[derive(Clone, Debug)]
pub(crate) struct Unwrap {
    deletes: Deletes,
    fields: Vec<Field>,
    headers: Vec<Field>,
    replace_null: bool,
}

/// `delete.tombstone.handling.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deletes {
    Drop,
    Rewrite,
    RewriteWithTombstone,
    /// Its null has a schema.
    Tombstone,
    ToTombstone,
}

/// One of `add.fields` or `add.headers`.
#[derive(Clone, Debug)]
struct Field {
    /// The block that has it; none: the envelope itself.
    block: Option<&'static str>,
    name: String,
    /// What it is called in the event.
    output: String,
}

/// What became of an event.
#[derive(Debug)]
pub(crate) enum Unwrapped {
    Dropped,
    Null,
    /// With where in its value the rows are.
    Row(Parts),
}

/// What stands before the parts of unwrapped events that have schemas of their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnwrappedOpenings {
    /// Before the null of a deletion.
    pub(crate) deleted: Opening,
    /// Before the headers that are added, in order.
    headers: Vec<Opening>,
    /// Before the op that is added to a tombstone.
    tombstone_op: Opening,
}

/// An envelope, part by part.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    /// All of it.
    pub(crate) value: &'a [u8],
    /// Where `before` and `after` are in it, each empty or null where there is none.
    pub(crate) before: &'a [u8],
    pub(crate) after: &'a [u8],
}

impl Transforms {
    /// Takes an option, if it is one of these.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<bool, OptionError> {
        if name == "transforms" {
            let names = value.split(',').map(str::trim);
            let mut names = names.filter(|name| !name.is_empty());
            self.name = names.next().map(Into::into);
            if names.next().is_some() {
                return Err(error(name, "expected one transform"));
            }
        } else if let Some(option) = name.strip_prefix("transforms.") {
            self.options.push((option.to_owned(), value.to_owned()));
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// The transform that was asked for.
    pub(crate) fn unwrap(&self, format: Format) -> Result<Option<Unwrap>, OptionError> {
        let Some(name) = &self.name else {
            return match self.options.first() {
                Some((option, _)) => {
                    let name = format!("transforms.{option}");
                    Err(error(&name, "transforms names no such transform"))
                }
                None => Ok(None),
            };
        };
        if format == Format::Native {
            return Err(error(
                "transforms",
                "only events of Debezium's format have envelopes to unwrap",
            ));
        }
        let mut unwrap = Unwrap::default();
        let mut typed = false;
        let (mut fields, mut headers) = ("", "");
        let (mut fields_prefix, mut headers_prefix) = ("__", "__");
        for (option, value) in &self.options {
            let full = format!("transforms.{option}");
            let own = option
                .strip_prefix(name.as_str())
                .and_then(|rest| rest.strip_prefix('.'))
                .ok_or_else(|| error(&full, "transforms names no such transform"))?;
            match own {
                "type" => {
                    one_of(&full, value, &[(CLASS, ())])?;
                    typed = true;
                }
                "delete.tombstone.handling.mode" => {
                    unwrap.deletes = one_of(&full, value, DELETES)?;
                }
                "add.fields" => fields = value,
                "add.fields.prefix" => fields_prefix = value,
                "add.headers" => headers = value,
                "add.headers.prefix" => headers_prefix = value,
                "replace.null.with.default" => unwrap.replace_null = boolean(&full, value)?,
                // Nothing here sets the header that these want.
                "drop.fields.header.name"
                | "drop.fields.from.key"
                | "drop.fields.keep.schema.compatible" => {}
                "route.by.field" if value.is_empty() => {}
                "route.by.field" => return Err(error(&full, "a topic is that of its table here")),
                _ => return Err(error(&full, "no such option")),
            }
        }
        if !typed {
            return Err(error(
                &format!("transforms.{name}.type"),
                &format!("expected {CLASS}"),
            ));
        }
        let option = |own| format!("transforms.{name}.{own}");
        unwrap.fields = parse_fields(&option("add.fields"), fields_prefix, fields)?;
        unwrap.headers = parse_fields(&option("add.headers"), headers_prefix, headers)?;
        Ok(Some(unwrap))
    }
}

impl Default for Unwrap {
    fn default() -> Self {
        Self {
            deletes: Deletes::Tombstone,
            fields: Vec::new(),
            headers: Vec::new(),
            replace_null: true,
        }
    }
}

impl Unwrap {
    /// Whether rows show defaults in place of NULL for the transform's sake.
    pub(crate) fn replaces_null(&self) -> bool {
        self.replace_null && self.rewrites()
    }

    pub(crate) fn keeps_tombstones(&self) -> bool {
        self.deletes == Deletes::RewriteWithTombstone
    }

    /// Appends what the event's value is to be, unless that is null.
    pub(crate) fn write(&self, op: u8, envelope: &Envelope<'_>, out: &mut Vec<u8>) -> Unwrapped {
        let (row, deleted) = match (op, self.deletes) {
            (b't', _) | (b'd', Deletes::Drop) => return Unwrapped::Dropped,
            (b'd', Deletes::Tombstone | Deletes::ToTombstone) => return Unwrapped::Null,
            (b'd', _) => (envelope.before, b"\"true\"".as_slice()),
            _ => (envelope.after, b"\"false\"".as_slice()),
        };
        let start = out.len();
        out.extend_from_slice(row.strip_suffix(b"}").unwrap_or(row));
        if self.rewrites() {
            write_member("__deleted", deleted, start, out);
        }
        for field in &self.fields {
            if let Some(value) = field.value(envelope) {
                write_member(&field.output, value, start, out);
            }
        }
        out.push(b'}');
        let whole = start..out.len();
        Unwrapped::Row(if op == b'd' {
            Parts {
                before: whole,
                ..Parts::default()
            }
        } else {
            Parts {
                after: whole,
                ..Parts::default()
            }
        })
    }

    /// Adds headers to an event's own. A tombstone has those of the deletion before it, but for the
    /// op, which it has by itself. `openings` are those of the headers, where they have schemas.
    pub(crate) fn add_headers(
        &self,
        envelope: &Envelope<'_>,
        tombstone: bool,
        openings: &UnwrappedOpenings,
        headers: &mut Vec<u8>,
    ) {
        if headers.pop().is_none() {
            return;
        }
        for (index, header) in self.headers.iter().enumerate() {
            let Some(value) = header.value(envelope) else {
                continue;
            };
            let opening = if tombstone && header.name == "op" {
                Some(&openings.tombstone_op)
            } else {
                openings.headers.get(index)
            };
            write_member_name(&header.output, 0, headers);
            if let Some(opening) = opening {
                opening.open(headers);
            }
            headers.extend_from_slice(value);
            if let Some(opening) = opening {
                opening.close(headers);
            }
        }
        headers.push(b'}');
    }

    pub(crate) fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    fn rewrites(&self) -> bool {
        matches!(
            self.deletes,
            Deletes::Rewrite | Deletes::RewriteWithTombstone
        )
    }
}

impl Field {
    /// None: there is no such field, and nothing is added.
    fn value<'a>(&self, envelope: &Envelope<'a>) -> Option<&'a [u8]> {
        let in_envelope = || member(envelope.value, &self.name);
        let Some(block) = self.block else {
            return in_envelope();
        };
        let held = member(envelope.value, block).unwrap_or(NULL);
        if held != NULL {
            return match member(held, &self.name) {
                // Debezium leaves it to the schema's default, which is not taken here.
                Some(b"\"false\"") if (block, &*self.name) == ("source", "snapshot") => Some(NULL),
                value => value.or_else(in_envelope),
            };
        }
        // The block's schema has its fields whether it is there or not.
        let known = match block {
            "transaction" => TRANSACTION_FIELDS.contains(&self.name.as_str()),
            "before" => member(envelope.after, &self.name).is_some(),
            _ => member(envelope.before, &self.name).is_some(),
        };
        if known { Some(NULL) } else { in_envelope() }
    }
}

fn parse_fields(option: &str, prefix: &str, list: &str) -> Result<Vec<Field>, OptionError> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let field = |text: &str| {
        let malformed = || error(option, "expected field, block.field or either with :name");
        let mut parts = text.trim().split(':');
        let path = parts.next().unwrap_or_default();
        let renamed = parts.next();
        if parts.next().is_some() {
            return Err(malformed());
        }
        let (block, name, output) = match path.split_once('.') {
            None => (block_of(path), path, path.to_owned()),
            Some((block, rest)) => {
                let block = BLOCKS
                    .iter()
                    .find(|known| **known == block)
                    .ok_or_else(|| error(option, &format!("events have no block {block}")))?;
                let name = rest.split('.').next().unwrap_or_default();
                (Some(*block), name, format!("{block}_{name}"))
            }
        };
        if name.is_empty() {
            return Err(malformed());
        }
        Ok(Field {
            block,
            name: name.to_owned(),
            output: format!("{prefix}{}", renamed.unwrap_or(&output)),
        })
    };
    list.split(',').map(field).collect()
}

/// Where a field is looked for that is given without its block.
fn block_of(name: &str) -> Option<&'static str> {
    match name {
        _ if TRANSACTION_FIELDS.contains(&name) => Some("transaction"),
        "op" | "ts_ms" | "ts_us" | "ts_ns" => None,
        _ => Some("source"),
    }
}

/// Appends a member to an object that begins at `start` and is not closed.
fn write_member(name: &str, value: &[u8], start: usize, out: &mut Vec<u8>) {
    write_member_name(name, start, out);
    out.extend_from_slice(value);
}

fn write_member_name(name: &str, start: usize, out: &mut Vec<u8>) {
    if out.len() > start.saturating_add(1) {
        out.push(b',');
    }
    write_name(name, Format::Debezium, out);
    out.push(b':');
}

const CLASS: &str = "io.debezium.transforms.ExtractNewRecordState";
const NULL: &[u8] = b"null";
const BLOCKS: &[&str] = &["after", "before", "source", "transaction"];
const TRANSACTION_FIELDS: &[&str] = &["id", "total_order", "data_collection_order"];
const DELETES: &[(&str, Deletes)] = &[
    ("drop", Deletes::Drop),
    ("tombstone", Deletes::Tombstone),
    ("rewrite", Deletes::Rewrite),
    ("rewrite-with-tombstone", Deletes::RewriteWithTombstone),
    ("delete-to-tombstone", Deletes::ToTombstone),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn unwrap(options: &[(&str, &str)]) -> Result<Option<Unwrap>, OptionError> {
        let mut transforms = Transforms::default();
        transforms.set("transforms", "flat")?;
        transforms.set("transforms.flat.type", CLASS)?;
        for (name, value) in options {
            transforms.set(&format!("transforms.flat.{name}"), value)?;
        }
        transforms.unwrap(Format::Debezium)
    }

    fn envelope() -> Envelope<'static> {
        Envelope {
            value: concat!(
                r#"{"before":{"id":1,"x":"}\""},"after":null,"source":{"lsn":7,"table":"t"},"#,
                r#""transaction":null,"op":"d","ts_ms":5}"#
            )
            .as_bytes(),
            before: br#"{"id":1,"x":"}\""}"#,
            after: NULL,
        }
    }

    fn written(op: u8, options: &[(&str, &str)]) -> Option<String> {
        let envelope = Envelope {
            after: if op == b'd' { NULL } else { b"{\"id\":2}" },
            ..envelope()
        };
        let mut out = Vec::new();
        let unwrap = unwrap(options).unwrap().unwrap();
        match unwrap.write(op, &envelope, &mut out) {
            Unwrapped::Dropped => None,
            Unwrapped::Null | Unwrapped::Row(_) => Some(String::from_utf8(out).unwrap()),
        }
    }

    #[test]
    fn deletes_by_mode() {
        let mode = |mode| [("delete.tombstone.handling.mode", mode)];
        assert_eq!(written(b'd', &[]).unwrap(), "");
        assert_eq!(written(b'd', &mode("delete-to-tombstone")).unwrap(), "");
        assert_eq!(written(b'd', &mode("drop")), None);
        let rewritten = r#"{"id":1,"x":"}\"","__deleted":"true"}"#;
        for mode in [mode("rewrite"), mode(" Rewrite-With-Tombstone")] {
            assert_eq!(written(b'd', &mode).unwrap(), rewritten);
            assert_eq!(
                written(b'c', &mode).unwrap(),
                "{\"id\":2,\"__deleted\":\"false\"}"
            );
        }
        assert_eq!(written(b'u', &[]).unwrap(), "{\"id\":2}");
        assert_eq!(written(b't', &mode("rewrite")), None);
        let keeps = |mode| unwrap(&[mode]).unwrap().unwrap().keeps_tombstones();
        let [rewrite] = mode("rewrite-with-tombstone");
        assert!(keeps(rewrite) && !keeps(("add.fields", "op")));
    }

    #[test]
    fn fields_come_from_where_debezium_finds_them() {
        let fields = |list| written(b'c', &[("add.fields", list)]).unwrap();
        assert_eq!(
            fields("op, table,source.lsn,lsn:LSN,ts_ms"),
            concat!(
                r#"{"id":2,"__op":"d","__table":"t","__source_lsn":7,"#,
                r#""__LSN":7,"__ts_ms":5}"#
            )
        );
        assert_eq!(
            fields("total_order,transaction.id,nowhere,source"),
            concat!(
                r#"{"id":2,"__total_order":null,"__transaction_id":null,"#,
                r#""__source":{"lsn":7,"table":"t"}}"#
            )
        );
        assert_eq!(
            fields("before.x,after.id,after.y"),
            r#"{"id":2,"__before_x":"}\"","__after_id":null}"#
        );
        let options = [("add.fields", "op"), ("add.fields.prefix", "meta.")];
        assert_eq!(
            written(b'c', &options).unwrap(),
            r#"{"id":2,"meta.op":"d"}"#
        );
    }

    #[test]
    fn headers_are_added_to_those_there_are() {
        let unwrap = unwrap(&[("add.headers", "op,lsn")]).unwrap().unwrap();
        let mut headers = b"{\"a\":1}".to_vec();
        let none = UnwrappedOpenings::default();
        unwrap.add_headers(&envelope(), false, &none, &mut headers);
        assert_eq!(headers, br#"{"a":1,"__op":"d","__lsn":7}"#);
        let mut headers = b"{}".to_vec();
        unwrap.add_headers(&envelope(), true, &none, &mut headers);
        assert_eq!(headers, br#"{"__op":"d","__lsn":7}"#);
    }

    #[test]
    fn refused_by_name() {
        let refused = |name: &str, value| {
            let refused = unwrap(&[(name, value)]).unwrap_err();
            assert_eq!(refused.name, format!("transforms.flat.{name}"), "{value}");
        };
        refused("type", "org.apache.kafka.connect.transforms.RegexRouter");
        refused("delete.tombstone.handling.mode", "keep");
        refused("add.fields", "foo.bar");
        refused("add.fields", "a:b:c");
        refused("add.headers", "op,");
        refused("replace.null.with.default", "yes");
        refused("route.by.field", "id");
        refused("no.such.option", "");
        let mut transforms = Transforms::default();
        transforms.set("transforms.other.type", CLASS).unwrap();
        let error = transforms.unwrap(Format::Debezium).unwrap_err();
        assert_eq!(error.name, "transforms.other.type");
        transforms.set("transforms", "flat").unwrap();
        assert!(transforms.unwrap(Format::Debezium).is_err());
        assert!(transforms.unwrap(Format::Native).is_err());
        assert!(transforms.set("transforms", "a,b").is_err());
    }
}
