//! What a relation looks like, prepared so that a row is copied rather than computed: literals for
//! names, a rendering for each column, JSON for whatever is not sent.

mod comparison;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::InvalidValue;
use crate::facts::{ColumnFacts, RelationFacts};
use crate::json::{self, append};
use crate::mapping::{Mapper, Mapping};
use crate::message::{Cell, RelationBody};
use crate::options::{Format, Options};
use crate::record::{RecordTooLong, TOPIC_ID_BYTES, Topic, TopicColumn, write_topic};
use crate::room::{Padded, Room};
use crate::schema::{Opening, RelationSchemas, SchemaColumn};
use crate::value::{Rendering, Types, Usual};

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
    /// It is selected: without, it has no events.
    pub(crate) included: bool,
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
    /// Which values need no more than this to be written; none where values are mapped.
    usual: Usual,
    rendering: Rendering,
    /// JSON for NULL, and for what was not sent.
    null: Vec<u8>,
    nullable: bool,
    /// JSON of a value may give way to something else: to what `mapping` makes of it, or to `null`
    /// where the format cannot express it, which is treated like NULL.
    stands_in: bool,
    mapping: Option<Box<Mapping>>,
    /// JSON for a TOASTed value that was not sent.
    unavailable: Vec<u8>,
    in_identity: bool,
}

/// Bytes written again and again: padded, so that most are copied by one store of constant size.
#[derive(Clone, Debug)]
enum Literal {
    Short(Padded<32>),
    Long(Vec<u8>),
}

/// What a row or a key is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'t, 'a> {
    pub(crate) cells: &'t [Cell<'a>],
    /// The whole old tuple, if there is one: what is unchanged is taken from it.
    pub(crate) filled: Option<&'t [Cell<'a>]>,
    /// Some cells are of values that were not sent.
    pub(crate) incomplete: bool,
    /// The cells hold the replica identity only, and nothing is shown of other columns.
    pub(crate) identity_only: bool,
    /// What the cells' values are a part of.
    pub(crate) around: &'a [u8],
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
        let qualified_name = format!("{}.{}", body.namespace, body.name);
        let selection = &options.selection;
        let included = selection.includes_table(body.namespace, body.name);
        // Debezium reads no facts of columns that are not selected.
        let known = |name: &str| {
            facts
                .and_then(|facts| facts.columns.iter().find(|known| known.name == name))
                .filter(|_| selection.includes_column(&qualified_name, name))
        };
        let names: Vec<Cow<'_, str>> = body
            .columns
            .iter()
            .map(|column| sent_name(column.name, options))
            .collect();
        let sent = |column: &Column| names.get(column.tuple_index).map_or("", AsRef::as_ref);
        let resolved = resolve_columns(body, &names, known, types, options);
        let mut key_names =
            selection.key_columns(&qualified_name, &names.iter().map(AsRef::as_ref));
        if key_names.is_empty() {
            key_names = facts.map(key_columns).unwrap_or_default();
        }
        let key: Vec<Column> = key_names
            .iter()
            .filter_map(|name| {
                resolved
                    .iter()
                    .find(|column| sent(column) == *name)
                    .cloned()
            })
            .collect();
        let has_key = key_names
            .iter()
            .any(|name| names.iter().any(|sent| sent == name));
        let mut columns = resolved;
        columns.retain(|column| selection.includes_column(&qualified_name, sent(column)));
        let mapper = |column: &Column| {
            let type_oid = body.columns.get(column.tuple_index)?.type_oid;
            let type_name = || types.name(type_oid);
            options
                .mappings
                .of(&qualified_name, sent(column), type_name)
        };
        for column in &mut columns {
            if let Some(mapper) = mapper(column) {
                column.map(mapper, body, types);
            }
        }
        let topic = topic_name(body, options);
        let mut schemas = RelationSchemas::default();
        if options.schemas.any() {
            let key: Vec<_> = key
                .iter()
                .filter_map(|column| described(column, sent(column), body, known))
                .collect();
            let row: Vec<_> = columns
                .iter()
                .filter_map(|column| {
                    Some(SchemaColumn {
                        mapper: mapper(column),
                        ..described(column, sent(column), body, known)?
                    })
                })
                .collect();
            let key = has_key.then_some(key.as_slice());
            schemas = RelationSchemas::new(&topic, key, &row, types, options);
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
                columns: topic_columns(body, &columns, &key),
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
            included,
            qualified_name,
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
    #[inline]
    pub(crate) fn write_row<'a>(
        &self,
        row: &Row<'_, 'a>,
        unchanged: &mut Vec<u32>,
        out: &mut Vec<u8>,
    ) -> Result<(), Box<InvalidCell<'a>>> {
        write_object(&self.columns, row, out)?;
        if row.incomplete {
            let columns = (0..).zip(&self.columns);
            let indexes = columns.filter(|(_, column)| {
                matches!(
                    cell(row.cells, column.tuple_index, row.filled),
                    Cell::Unchanged
                )
            });
            unchanged.extend(indexes.map(|(index, _)| index));
        }
        Ok(())
    }

    /// Writes the key as a JSON object, or nothing where the relation has none.
    #[inline]
    pub(crate) fn write_key<'a>(
        &self,
        row: &Row<'_, 'a>,
        out: &mut Vec<u8>,
    ) -> Result<(), Box<InvalidCell<'a>>> {
        if !self.has_key {
            return Ok(());
        }
        let row = Row {
            identity_only: false,
            ..*row
        };
        write_object(&self.key, &row, out)
    }
}

impl Literal {
    /// What stands before the value of member `name`.
    fn member(name: &str, format: Format) -> Self {
        let mut bytes = b",".to_vec();
        write_name(name, format, &mut bytes);
        bytes.push(b':');
        Padded::new(&bytes).map_or(Self::Long(bytes), Self::Short)
    }

    /// The name with its quotes.
    fn name(&self) -> &[u8] {
        let bytes = match self {
            Self::Short(padded) => padded.as_slice(),
            Self::Long(bytes) => bytes,
        };
        bytes
            .strip_prefix(b",")
            .and_then(|name| name.strip_suffix(b":"))
            .unwrap_or_default()
    }

    #[inline]
    fn write(&self, room: &mut Room<'_>) {
        match self {
            Self::Short(padded) => room.put_padded(padded),
            Self::Long(bytes) => room.with(|out| append(bytes, out)),
        }
    }
}

impl Column {
    #[expect(
        clippy::inline_always,
        reason = "room stays in registers from column to column"
    )]
    #[inline(always)]
    fn write<'a>(
        &self,
        cell: Cell<'a>,
        around: &[u8],
        room: &mut Room<'_>,
    ) -> Result<(), Box<InvalidCell<'a>>> {
        self.literal.write(room);
        match cell {
            Cell::Text(text) if self.usual.write(text, around, room) => Ok(()),
            _ => room.with(|out| self.write_any(cell, out)),
        }
    }

    #[inline(never)]
    fn write_any<'a>(&self, cell: Cell<'a>, out: &mut Vec<u8>) -> Result<(), Box<InvalidCell<'a>>> {
        match cell {
            Cell::Text(value) | Cell::Binary(value) => {
                let start = out.len();
                if let Cell::Text(text) = cell {
                    self.rendering.write_text(text, out)
                } else {
                    self.rendering.write_binary(value, out)
                }
                .map_err(|invalid| {
                    Box::new(InvalidCell {
                        column: self.name.clone(),
                        value,
                        invalid,
                    })
                })?;
                if self.stands_in && (self.mapping.is_some() || out.get(start..) == Some(b"null")) {
                    self.stand_in(start, out);
                }
            }
            Cell::Null => append(&self.null, out),
            Cell::Unchanged => append(&self.unavailable, out),
        }
        Ok(())
    }

    /// Replaces the JSON of a value by what is shown in its place.
    #[cold]
    fn stand_in(&self, start: usize, out: &mut Vec<u8>) {
        if out.get(start..) == Some(b"null") {
            out.truncate(start);
            out.extend_from_slice(&self.null);
        } else if let Some(mapping) = &self.mapping {
            mapping.apply(start, out);
        }
    }

    /// Values are mapped from here on, if the mapper has anything to do with the column's type,
    /// and so is what is shown for those that are not sent.
    fn map(&mut self, mapper: &Mapper, body: &RelationBody<'_>, types: &Types) {
        let sent = body.columns.get(self.tuple_index);
        let length = sent.map(|sent| types.source_type(sent.type_oid, sent.typmod).length);
        let mapping = length.and_then(|length| Mapping::new(mapper, &self.rendering, length));
        let Some(mapping) = mapping else {
            return;
        };
        // Debezium's bytes in place of an unchanged value are not those that it cuts.
        if !matches!(mapping, Mapping::TruncateBytes(_)) {
            mapping.apply(0, &mut self.unavailable);
        }
        let mapping = self.mapping.insert(Box::new(mapping));
        // A default shown for NULL is the schema's, which knows of no mapping.
        if !self.nullable || matches!(**mapping, Mapping::Mask(_)) {
            mapping.apply(0, &mut self.null);
        }
        self.stands_in = true;
        self.usual = Usual::NOTHING;
    }
}

/// Writes columns as a JSON object. The sandbox passes few arguments in registers, and a word on
/// the stack delays the callee by as much as a short value takes: so there are no more of them.
fn write_object<'a>(
    columns: &[Column],
    row: &Row<'_, 'a>,
    out: &mut Vec<u8>,
) -> Result<(), Box<InvalidCell<'a>>> {
    let mut room = Room::behind(out);
    let start = room.len();
    for column in columns {
        if row.identity_only && !column.in_identity {
            continue;
        }
        let cell = cell(row.cells, column.tuple_index, row.filled);
        column.write(cell, row.around, &mut room)?;
    }
    if room.len() > start {
        room.replace(start, b'{');
    } else {
        room.put(b"{", 1);
    }
    room.put(b"}", 1);
    Ok(())
}

/// A column's cell; an unchanged one is taken from the old tuple where that is given.
#[inline]
fn cell<'a>(cells: &[Cell<'a>], index: usize, filled: Option<&[Cell<'a>]>) -> Cell<'a> {
    match (cells.get(index).copied().unwrap_or(Cell::Null), filled) {
        (Cell::Unchanged, Some(old)) => old.get(index).copied().unwrap_or(Cell::Unchanged),
        (cell, _) => cell,
    }
}

/// A column's name as Debezium reads it: under strict compatibility without quotes around it, which
/// then is the name of no column in the catalogs.
fn sent_name<'a>(name: &'a str, options: &Options) -> Cow<'a, str> {
    if options.strict && options.format == Format::Debezium {
        for quote in ["'", "\"", "`"] {
            let inside = name
                .strip_prefix(quote)
                .and_then(|rest| rest.strip_suffix(quote));
            if let Some(inside) = inside {
                return Cow::Owned(inside.replace(&quote.repeat(2), quote));
            }
        }
    }
    Cow::Borrowed(name)
}

/// The columns that the format shows.
fn resolve_columns<'f>(
    body: &RelationBody<'_>,
    names: &[Cow<'_, str>],
    known: impl Fn(&str) -> Option<&'f ColumnFacts>,
    types: &Types,
    options: &Options,
) -> Vec<Column> {
    let sent = body.columns.iter().enumerate().zip(names);
    sent.filter_map(|((tuple_index, column), sent)| {
        let known = known(sent);
        let not_null = known.is_some_and(|known| known.not_null);
        let default = known.and_then(|known| known.default.as_deref());
        let name = options.field_names.field(sent);
        let rendering = Rendering::resolve(column.type_oid, column.typmod, types, options)?;
        let null = null_json(&rendering, not_null, default, options);
        Some(Column {
            literal: Literal::member(&name, options.format),
            name: name.into_owned(),
            tuple_index,
            nullable: !not_null,
            stands_in: null != b"null",
            mapping: None,
            null,
            unavailable: rendering.unavailable(),
            usual: rendering.usual(),
            rendering,
            in_identity: column.in_identity,
        })
    })
    .collect()
}

fn topic_columns<'c>(
    body: &RelationBody<'_>,
    columns: &'c [Column],
    key: &[Column],
) -> Vec<TopicColumn<'c>> {
    let topic_column = |column: &'c Column| {
        let index = column.tuple_index;
        Some(TopicColumn {
            name: &column.name,
            type_oid: column.rendering.type_oid(),
            typmod: body.columns.get(index)?.typmod,
            shape: column.rendering.shape(),
            in_key: key.iter().any(|part| part.tuple_index == index),
            nullable: column.nullable,
        })
    };
    columns.iter().filter_map(topic_column).collect()
}

/// What a column's schema is made of, as far as it depends on no mapper. None: there is no such
/// column, which does not happen.
fn described<'a>(
    column: &'a Column,
    name: &'a str,
    body: &'a RelationBody<'_>,
    known: impl Fn(&str) -> Option<&'a ColumnFacts>,
) -> Option<SchemaColumn<'a>> {
    let sent = body.columns.get(column.tuple_index)?;
    Some(SchemaColumn {
        member: column.literal.name(),
        name,
        type_oid: sent.type_oid,
        typmod: sent.typmod,
        optional: column.nullable,
        default: known(name).and_then(|known| known.default.as_deref()),
        rendering: &column.rendering,
        mapper: None,
    })
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
    if options.format == Format::Native || !options.context_headers {
        return;
    }
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

pub(crate) fn constant_headers(options: &Options) -> Vec<u8> {
    let mut headers = b"{".to_vec();
    write_constant_headers(options, &mut headers);
    headers.push(b'}');
    headers
}

/// Columns are written with a comma before each; the first one's becomes the brace.
#[inline]
fn null_json(
    rendering: &Rendering,
    not_null: bool,
    default: Option<&str>,
    options: &Options,
) -> Vec<u8> {
    if options.format == Format::Native || !(not_null || options.replaces_null()) {
        return b"null".to_vec();
    }
    match default.and_then(|expression| rendering.default(expression)) {
        Some(default) => default,
        None if not_null => rendering.fallback(),
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
