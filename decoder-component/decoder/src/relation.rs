//! What a relation looks like, prepared so that a row is copied rather than computed: literals for
//! names, a rendering for each column, JSON for whatever is not sent.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::InvalidValue;
use crate::facts::{ColumnFacts, RelationFacts};
use crate::json::{self, append};
use crate::message::{Cell, RelationBody};
use crate::options::{Format, Options};
use crate::record::{RecordTooLong, TOPIC_ID_BYTES, Topic, TopicColumn, write_topic};
use crate::schema::{Opening, RelationSchemas, SchemaColumn};
use crate::value::{Rendering, Types};

/// The topic id of logical messages.
pub(crate) const MESSAGE_TOPIC_ID: u32 = 0;

/// One version of a relation.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    pub(crate) topic_id: u32,
    /// The row's columns, in order; those the format leaves out are not among them.
    columns: Vec<Column>,
    /// The key's columns, in order.
    key: Vec<Column>,
    /// Whether there is a key: one of columns the format leaves out is an empty object.
    has_key: bool,
    /// `"schema":"public","table":"t"`, for the source block.
    pub(crate) source: Vec<u8>,
    pub(crate) schemas: RelationSchemas,
    /// How many columns its tuples have.
    pub(crate) tuple_columns: usize,
    /// `public.t`, for errors.
    pub(crate) qualified_name: String,
    topic_record: Vec<u8>,
}

/// One column of a row or a key.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Where it stands in a tuple.
    tuple_index: usize,
    /// `,"name":`
    literal: Literal,
    rendering: Rendering,
    /// JSON for NULL, and for what was not sent.
    null: Vec<u8>,
    /// `null` is something else than null.
    null_stands_in: bool,
    /// JSON for a TOASTed value that was not sent.
    unavailable: Vec<u8>,
    in_identity: bool,
}

/// Bytes written again and again: padded, so that most are copied by one store of constant size.
#[derive(Clone, Debug)]
enum Literal {
    Short { padded: [u8; 32], len: u8 },
    Long(Vec<u8>),
}

/// Which tuple a row is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Row<'c, 'a> {
    /// Every column, as sent.
    Old,
    /// An old tuple that holds the replica identity only.
    Identity,
    /// Every column; unchanged ones are taken from the old tuple where it has them.
    New { old: Option<&'c [Cell<'a>]> },
}

/// A value in a tuple that is none of its column's type.
#[derive(Debug)]
pub(crate) struct InvalidCell<'a> {
    pub(crate) column: String,
    pub(crate) value: &'a [u8],
    pub(crate) invalid: InvalidValue,
}

impl Relation {
    /// Puts together what the stream says with what the catalogs know, if they know anything.
    pub(crate) fn new(
        body: &RelationBody<'_>,
        facts: Option<&RelationFacts>,
        types: &Types,
        options: &Options,
        topic_id: u32,
    ) -> Result<Self, RecordTooLong> {
        let resolved: Vec<_> = body
            .columns
            .iter()
            .enumerate()
            .map(|(tuple_index, column)| {
                let known = facts
                    .and_then(|facts| facts.columns.iter().find(|known| known.name == column.name));
                Rendering::resolve(column.type_oid, column.typmod, types, options).map(
                    |rendering| {
                        let null = null_json(&rendering, known, options);
                        Column {
                            name: column.name.to_owned(),
                            tuple_index,
                            literal: Literal::member(column.name, options.format),
                            null_stands_in: null != b"null",
                            null,
                            unavailable: rendering.unavailable(),
                            rendering,
                            in_identity: column.in_identity,
                        }
                    },
                )
            })
            .collect();
        let key_names = facts.map(key_columns).unwrap_or_default();
        let key: Vec<Column> = key_names
            .iter()
            .filter_map(|name| {
                resolved
                    .iter()
                    .flatten()
                    .find(|column| column.name == **name)
                    .cloned()
            })
            .collect();
        let has_key = key_names
            .iter()
            .any(|name| body.columns.iter().any(|column| column.name == *name));
        let columns: Vec<Column> = resolved.into_iter().flatten().collect();
        let topic_columns = columns
            .iter()
            .filter_map(|column| {
                let known =
                    facts.and_then(|facts| facts.columns.iter().find(|k| k.name == column.name));
                body.columns
                    .get(column.tuple_index)
                    .map(|sent| TopicColumn {
                        name: &column.name,
                        type_oid: column.rendering.type_oid(),
                        typmod: sent.typmod,
                        shape: column.rendering.shape(),
                        in_key: key.iter().any(|part| part.name == column.name),
                        nullable: known.is_none_or(|known| !known.not_null),
                    })
            })
            .collect();
        let topic = topic_name(body, options);
        let mut schemas = RelationSchemas::default();
        if options.schemas.any() {
            let (key, row) = (
                described(&key, body, facts),
                described(&columns, body, facts),
            );
            let key = has_key.then_some(key.as_slice());
            schemas = RelationSchemas::new(&topic, body, key, &row, types, options);
        }
        let mut topic_record = Vec::new();
        write_topic(
            &Topic {
                id: 0,
                relation: body.oid,
                name: &topic,
                namespace: body.namespace,
                table: body.name,
                headers: &constant_headers(options),
                columns: topic_columns,
            },
            &mut topic_record,
        )?;
        let mut source = b"\"schema\":".to_vec();
        write_name(body.namespace, options.format, &mut source);
        source.extend_from_slice(b",\"table\":");
        write_name(body.name, options.format, &mut source);
        Ok(Self {
            topic_id,
            columns,
            key,
            has_key,
            source,
            schemas,
            tuple_columns: body.columns.len(),
            qualified_name: format!("{}.{}", body.namespace, body.name),
            topic_record,
        })
    }

    /// Whether events of the one may name the other's topic.
    pub(crate) fn same_topic(&self, other: &Self) -> bool {
        self.topic_record == other.topic_record
    }

    pub(crate) fn write_topic_record(&self, records: &mut Vec<u8>) {
        let start = records.len();
        records.extend_from_slice(&self.topic_record);
        if let Some(place) = records
            .get_mut(start..)
            .and_then(|record| record.get_mut(TOPIC_ID_BYTES))
        {
            place.copy_from_slice(&self.topic_id.to_le_bytes());
        }
    }

    /// Writes the row as a JSON object. Unchanged columns' indexes in the row are added to
    /// `unchanged`.
    pub(crate) fn write_row<'a>(
        &self,
        cells: &[Cell<'a>],
        row: Row<'_, 'a>,
        format: Format,
        unchanged: &mut Vec<u32>,
        out: &mut Vec<u8>,
    ) -> Result<(), InvalidCell<'a>> {
        let start = out.len();
        // Debezium shows columns that an old tuple does not hold; plainly they are not there.
        let only_identity = matches!(row, Row::Identity) && format == Format::Native;
        for (index, column) in self.columns.iter().enumerate() {
            if only_identity && !column.in_identity {
                continue;
            }
            let mut cell = cells.get(column.tuple_index).copied().unwrap_or(Cell::Null);
            if let (Cell::Unchanged, Row::New { old: Some(old) }) = (cell, row) {
                cell = old.get(column.tuple_index).copied().unwrap_or(cell);
            }
            if let Cell::Unchanged = cell
                && let Ok(index) = u32::try_from(index)
            {
                unchanged.push(index);
            }
            column.write(cell, out)?;
        }
        close_object(start, out);
        Ok(())
    }

    /// Writes the key as a JSON object, or nothing where the relation has none.
    pub(crate) fn write_key<'a>(
        &self,
        cells: &[Cell<'a>],
        out: &mut Vec<u8>,
    ) -> Result<(), InvalidCell<'a>> {
        if !self.has_key {
            return Ok(());
        }
        let start = out.len();
        for column in &self.key {
            column.write(
                cells.get(column.tuple_index).copied().unwrap_or(Cell::Null),
                out,
            )?;
        }
        close_object(start, out);
        Ok(())
    }
}

impl Literal {
    /// What stands before the value of member `name`.
    fn member(name: &str, format: Format) -> Self {
        let mut bytes = b",".to_vec();
        write_name(name, format, &mut bytes);
        bytes.push(b':');
        let mut padded = [0; 32];
        match (padded.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(&bytes);
                Self::Short { padded, len }
            }
            _ => Self::Long(bytes),
        }
    }

    /// The name with its quotes.
    fn name(&self) -> &[u8] {
        let bytes = match self {
            Self::Short { padded, len } => padded.get(..usize::from(*len)).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        };
        bytes
            .strip_prefix(b",")
            .and_then(|name| name.strip_suffix(b":"))
            .unwrap_or_default()
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Short { padded, len } => {
                let end = out.len().saturating_add(usize::from(*len));
                out.extend_from_slice(padded);
                out.truncate(end);
            }
            Self::Long(bytes) => append(bytes, out),
        }
    }
}

impl Column {
    #[inline]
    fn write<'a>(&self, cell: Cell<'a>, out: &mut Vec<u8>) -> Result<(), InvalidCell<'a>> {
        self.literal.write(out);
        match cell {
            Cell::Text(value) | Cell::Binary(value) => {
                let start = out.len();
                if let Cell::Text(text) = cell {
                    self.rendering.write_text(text, out)
                } else {
                    self.rendering.write_binary(value, out)
                }
                .map_err(|invalid| InvalidCell {
                    column: self.name.clone(),
                    value,
                    invalid,
                })?;
                // A value the format cannot express is null, and treated like one.
                if self.null_stands_in && out.get(start..) == Some(b"null") {
                    out.truncate(start);
                    out.extend_from_slice(&self.null);
                }
            }
            Cell::Null => append(&self.null, out),
            Cell::Unchanged => append(&self.unavailable, out),
        }
        Ok(())
    }
}

/// What the columns' schemas are made of.
fn described<'a>(
    columns: &'a [Column],
    body: &'a RelationBody<'_>,
    facts: Option<&'a RelationFacts>,
) -> Vec<SchemaColumn<'a>> {
    let describe = |column: &'a Column| {
        let sent = body.columns.get(column.tuple_index)?;
        Some(SchemaColumn {
            member: column.literal.name(),
            sent,
            known: facts.and_then(|facts| facts.columns.iter().find(|k| k.name == sent.name)),
            rendering: &column.rendering,
        })
    };
    columns.iter().filter_map(describe).collect()
}

/// The topic record of `<prefix>.message`, where logical messages go.
pub(crate) fn write_message_topic(
    options: &Options,
    records: &mut Vec<u8>,
) -> Result<(), RecordTooLong> {
    let topic = Topic {
        id: MESSAGE_TOPIC_ID,
        relation: 0,
        name: &sanitized(&format!("{}.message", options.topic_prefix)),
        namespace: "",
        table: "",
        headers: b"{}",
        columns: Vec::new(),
    };
    write_topic(&topic, records)
}

/// Headers every data event of Debezium's carries. `runId`, random for each run, is left out: the
/// decoder is deterministic.
pub(crate) fn write_constant_headers(options: &Options, out: &mut Vec<u8>) {
    let opening = Opening::of_string_header(options);
    for (name, value) in [
        (
            b"\"__debezium.context.connectorLogicalName\":".as_slice(),
            options.topic_prefix.as_str(),
        ),
        (b",\"__debezium.context.taskId\":", "0"),
        (b",\"__debezium.context.connectorName\":", "postgresql"),
    ] {
        out.extend_from_slice(name);
        opening.open(out);
        write_name(value, options.format, out);
        opening.close(out);
    }
}

/// Names were checked to be UTF-8 when they were parsed.
pub(crate) fn write_name(name: &str, format: Format, out: &mut Vec<u8>) {
    let escape = json::Escape::for_format(format);
    let written = json::write_string(name.as_bytes(), escape, out);
    debug_assert!(written.is_ok(), "a str is UTF-8");
}

fn constant_headers(options: &Options) -> Vec<u8> {
    let mut headers = b"{".to_vec();
    if options.format == Format::Debezium {
        write_constant_headers(options, &mut headers);
    }
    headers.push(b'}');
    headers
}

/// Columns are written with a comma before each; the first one's becomes the brace.
#[inline]
fn close_object(start: usize, out: &mut Vec<u8>) {
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

fn null_json(rendering: &Rendering, known: Option<&ColumnFacts>, options: &Options) -> Vec<u8> {
    let (Some(known), Format::Debezium) = (known, options.format) else {
        return b"null".to_vec();
    };
    if !known.not_null && !options.replace_null_with_default {
        return b"null".to_vec();
    }
    let default = known
        .default
        .as_deref()
        .and_then(|expression| rendering.default(expression));
    match default {
        Some(default) => default,
        None if known.not_null => rendering.fallback(),
        None => b"null".to_vec(),
    }
}

/// The facts of a relation. Debezium looks it up by name: one that was renamed since is gone for
/// it, and one that has the name now stands in for it.
pub(crate) fn facts_of<'f>(
    facts: &'f BTreeMap<u32, RelationFacts>,
    body: &RelationBody<'_>,
    format: Format,
) -> Option<&'f RelationFacts> {
    let named =
        |facts: &&RelationFacts| facts.namespace == body.namespace && facts.name == body.name;
    let own = facts.get(&body.oid);
    match format {
        Format::Debezium => own.filter(named).or_else(|| facts.values().find(named)),
        Format::Native => own,
    }
}

/// The primary key's columns, or those of the first unique index by name without expressions.
fn key_columns(facts: &RelationFacts) -> Vec<&str> {
    let mut columns = &facts.primary_key;
    if columns.is_empty() {
        let first = facts
            .unique_indexes
            .iter()
            .filter(|index| !index.expression)
            .min_by(|one, two| one.name.cmp(&two.name));
        columns = first.map_or(columns, |index| &index.columns);
    }
    columns.iter().map(String::as_str).collect()
}

fn topic_name(body: &RelationBody<'_>, options: &Options) -> String {
    let delimiter = &options.topic_delimiter;
    sanitized(&format!(
        "{}{delimiter}{}{delimiter}{}",
        options.topic_prefix, body.namespace, body.name
    ))
}

/// Kafka's alphabet for topics; every other character, counted in UTF-16, becomes an underscore.
pub(crate) fn sanitized(name: &str) -> String {
    let mut sanitized = String::with_capacity(name.len());
    for character in name.chars() {
        if character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-') {
            sanitized.push(character);
        } else {
            sanitized.extend(core::iter::repeat_n('_', character.len_utf16()));
        }
    }
    sanitized
}
