//! Debezium's options, by its own names and with its defaults, parsed once.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::OptionError;
use crate::mapping::Mappings;
use crate::names::NameAdjustment;
use crate::schema::SchemaOptions;
use crate::selection::Selection;
use crate::unwrap::{Transforms, Unwrap};

/// How events are rendered. Valid once made.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one of Debezium's switches"
)]
pub struct Options {
    pub(crate) format: Format,
    pub(crate) topic_prefix: String,
    pub(crate) topic_delimiter: String,
    pub(crate) database: String,
    pub(crate) decimal: DecimalMode,
    pub(crate) time: TimeMode,
    pub(crate) interval: IntervalMode,
    pub(crate) hstore: HstoreMode,
    pub(crate) binary: BinaryMode,
    pub(crate) money_fraction_digits: u16,
    pub(crate) include_unknown: bool,
    pub(crate) unavailable: Vec<u8>,
    pub(crate) tombstones: bool,
    pub(crate) skipped: Skipped,
    pub(crate) replace_null_with_default: bool,
    pub(crate) transaction_metadata: bool,
    pub(crate) schemas: SchemaOptions,
    pub(crate) transaction_topic: String,
    pub(crate) skip_unchanged: bool,
    /// Decimals are JSON numbers, `converter.decimal.format`.
    pub(crate) decimal_numbers: bool,
    pub(crate) context_headers: bool,
    pub(crate) field_names: NameAdjustment,
    pub(crate) selection: Selection,
    pub(crate) mappings: Mappings,
    /// Taken from `transforms` when all options are known.
    pub(crate) unwrap: Option<Unwrap>,
    transforms: Transforms,
    /// Debezium's defects too, `debezium.compatibility`.
    pub(crate) strict: bool,
    ignored: Vec<String>,
}

/// Which events: Debezium's own, or the plain ones described in ARCHITECTURE.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Debezium,
    Native,
}

/// `decimal.handling.mode`; `Exact` is the native format's JSON number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecimalMode {
    Precise,
    Double,
    String,
    Exact,
}

/// `time.precision.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeMode {
    Adaptive,
    AdaptiveTimeMicroseconds,
    Connect,
    IsoString,
    Microseconds,
    Nanoseconds,
}

/// `interval.handling.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntervalMode {
    Numeric,
    String,
}

/// `hstore.handling.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HstoreMode {
    Json,
    Map,
}

/// `binary.handling.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BinaryMode {
    Bytes,
    Base64,
    Base64UrlSafe,
    Hex,
}

/// `skipped.operations`: ops without events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Skipped(Vec<u8>);

impl Skipped {
    pub(crate) fn contains(&self, op: u8) -> bool {
        self.0.contains(&op)
    }
}

impl Default for Options {
    /// Debezium 3.6's defaults.
    fn default() -> Self {
        Self {
            format: Format::Debezium,
            topic_prefix: "pgoutput-decoder".to_owned(),
            topic_delimiter: ".".to_owned(),
            database: String::new(),
            decimal: DecimalMode::Precise,
            time: TimeMode::Adaptive,
            interval: IntervalMode::Numeric,
            hstore: HstoreMode::Json,
            binary: BinaryMode::Bytes,
            money_fraction_digits: 2,
            include_unknown: false,
            unavailable: b"__debezium_unavailable_value".to_vec(),
            tombstones: true,
            skipped: Skipped(b"t".to_vec()),
            replace_null_with_default: true,
            transaction_metadata: false,
            schemas: SchemaOptions::default(),
            transaction_topic: "transaction".to_owned(),
            skip_unchanged: false,
            decimal_numbers: false,
            context_headers: true,
            field_names: NameAdjustment::None,
            selection: Selection::new(Format::Debezium),
            mappings: Mappings::default(),
            unwrap: None,
            transforms: Transforms::default(),
            strict: false,
            ignored: Vec::new(),
        }
    }
}

impl Options {
    /// Parses pairs of Debezium property name and value. `format` (`debezium` or `native`) chooses
    /// the defaults of the others, wherever it stands.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, OptionError> {
        let pairs: Vec<_> = pairs.into_iter().collect();
        let mut options = Self::default();
        for &(name, value) in pairs.iter().filter(|(name, _)| *name == "format") {
            options = match value {
                "debezium" => Self::default(),
                "native" => Self::native(),
                _ => return Err(not_one_of(name, &["debezium", "native"])),
            };
        }
        // It is for all converters; options of one of them come before it, wherever it stands.
        for &(name, value) in pairs.iter().filter(|(name, _)| *name == "schemas.enable") {
            let enabled = options.schemas_enabled(name, value)?;
            options.schemas.keys = enabled;
            options.schemas.values = enabled;
            options.schemas.headers = enabled;
        }
        for (name, value) in pairs {
            options.set(name, value)?;
        }
        options.unwrap = options.transforms.unwrap(options.format)?;
        Ok(options)
    }

    /// Options that were given, are Debezium's, and have no meaning to a decoder.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Whether rows show defaults in place of NULL.
    pub(crate) fn replaces_null(&self) -> bool {
        self.replace_null_with_default || self.unwrap.as_ref().is_some_and(Unwrap::replaces_null)
    }

    fn native() -> Self {
        Self {
            format: Format::Native,
            decimal: DecimalMode::Exact,
            time: TimeMode::IsoString,
            interval: IntervalMode::String,
            hstore: HstoreMode::Map,
            include_unknown: true,
            tombstones: false,
            skipped: Skipped::default(),
            selection: Selection::new(Format::Native),
            ..Self::default()
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), OptionError> {
        match name {
            "format" => {}
            "topic.prefix" => self.topic_prefix = topic_part(name, value)?,
            "topic.delimiter" => self.topic_delimiter = topic_part(name, value)?,
            "database.dbname" => value.clone_into(&mut self.database),
            "decimal.handling.mode" => {
                self.decimal = one_of(
                    name,
                    value,
                    &[
                        ("precise", DecimalMode::Precise),
                        ("double", DecimalMode::Double),
                        ("string", DecimalMode::String),
                    ],
                )?;
            }
            "time.precision.mode" => {
                self.time = one_of(
                    name,
                    value,
                    &[
                        ("adaptive", TimeMode::Adaptive),
                        (
                            "adaptive_time_microseconds",
                            TimeMode::AdaptiveTimeMicroseconds,
                        ),
                        ("connect", TimeMode::Connect),
                        ("isostring", TimeMode::IsoString),
                        ("microseconds", TimeMode::Microseconds),
                        ("nanoseconds", TimeMode::Nanoseconds),
                    ],
                )?;
            }
            "interval.handling.mode" => {
                self.interval = one_of(
                    name,
                    value,
                    &[
                        ("numeric", IntervalMode::Numeric),
                        ("string", IntervalMode::String),
                    ],
                )?;
            }
            "hstore.handling.mode" => {
                self.hstore = one_of(
                    name,
                    value,
                    &[("json", HstoreMode::Json), ("map", HstoreMode::Map)],
                )?;
            }
            "binary.handling.mode" => {
                self.binary = one_of(
                    name,
                    value,
                    &[
                        ("bytes", BinaryMode::Bytes),
                        ("base64", BinaryMode::Base64),
                        ("base64-url-safe", BinaryMode::Base64UrlSafe),
                        ("hex", BinaryMode::Hex),
                    ],
                )?;
            }
            "money.fraction.digits" => {
                self.money_fraction_digits = value
                    .parse()
                    .map_err(|_| error(name, "expected a whole number"))?;
            }
            "include.unknown.datatypes" => self.include_unknown = boolean(name, value)?,
            "unavailable.value.placeholder" => {
                self.unavailable = placeholder(value).ok_or_else(|| {
                    error(name, "expected pairs of hexadecimal digits after \"hex:\"")
                })?;
            }
            "tombstones.on.delete" => self.tombstones = boolean(name, value)?,
            "skipped.operations" => self.skipped = skipped(name, value)?,
            "converter.replace.null.with.default" => {
                self.replace_null_with_default = boolean(name, value)?;
            }
            "provide.transaction.metadata" => self.transaction_metadata = boolean(name, value)?,
            _ if self.set_of_schemas(name, value)? => {}
            _ if self.set_more(name, value)? => {}
            _ if self.selection.set(name, value)? => {}
            _ if self.mappings.set(name, value)? => {}
            _ if self.transforms.set(name, value)? => {}
            _ if is_ignored(name) => self.ignored.push(name.to_owned()),
            _ => return Err(error(name, "no such option")),
        }
        Ok(())
    }

    /// Takes an option of schemas.
    fn set_of_schemas(&mut self, name: &str, value: &str) -> Result<bool, OptionError> {
        match name {
            // Of all converters: it was taken before those of one of them.
            "schemas.enable" => {}
            "key.converter.schemas.enable" => {
                self.schemas.keys = self.schemas_enabled(name, value)?;
            }
            "value.converter.schemas.enable" => {
                self.schemas.values = self.schemas_enabled(name, value)?;
            }
            "header.converter.schemas.enable" => {
                self.schemas.headers = self.schemas_enabled(name, value)?;
            }
            "schema.name.adjustment.mode" => {
                self.schemas.name_adjustment = one_of(name, value, ADJUSTMENTS)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn schemas_enabled(&self, name: &str, value: &str) -> Result<bool, OptionError> {
        let enabled = boolean(name, value)?;
        if enabled && self.format == Format::Native {
            return Err(error(name, "the native format has no schemas"));
        }
        Ok(enabled)
    }

    /// Takes an option, if it is one of these.
    fn set_more(&mut self, name: &str, value: &str) -> Result<bool, OptionError> {
        match name {
            "topic.transaction" => self.transaction_topic = topic_part(name, value)?,
            "skip.messages.without.change" => self.skip_unchanged = boolean(name, value)?,
            "converter.decimal.format" => {
                self.decimal_numbers =
                    one_of(name, value, &[("BASE64", false), ("NUMERIC", true)])?;
            }
            "extended.headers.enabled" => self.context_headers = boolean(name, value)?,
            "field.name.adjustment.mode" => self.field_names = one_of(name, value, ADJUSTMENTS)?,
            "debezium.compatibility" => {
                self.strict = one_of(name, value, &[("default", false), ("strict", true)])?;
            }
            // Java classes: only what Debezium has by default is known here.
            "converters" | "post.processors" => one_of(name, value, &[("", ())])?,
            "sourceinfo.struct.maker" => one_of(name, value, &[(SOURCE_INFO, ())])?,
            "topic.naming.strategy" => one_of(name, value, &[(TOPIC_NAMING, ())])?,
            "transaction.metadata.factory" => one_of(name, value, &[(TRANSACTION_FACTORY, ())])?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

const ADJUSTMENTS: &[(&str, NameAdjustment)] = &[
    ("none", NameAdjustment::None),
    ("avro", NameAdjustment::Avro),
    ("avro_unicode", NameAdjustment::AvroUnicode),
];
const SOURCE_INFO: &str = "io.debezium.connector.postgresql.PostgresSourceInfoStructMaker";
const TOPIC_NAMING: &str = "io.debezium.schema.SchemaTopicNamingStrategy";
const TRANSACTION_FACTORY: &str =
    "io.debezium.pipeline.txmetadata.DefaultTransactionMetadataFactory";

/// Debezium's own options for what the decoder has no part in: connecting, snapshots, Kafka.
fn is_ignored(name: &str) -> bool {
    const PREFIXES: &[&str] = &[
        "bootstrap.",
        "connection.",
        "custom.metric.",
        "database.",
        "driver.",
        "errors.",
        "event.converting.",
        "event.processing.",
        "executor.",
        "guardrail.",
        "header.converter",
        "heartbeat.",
        "incremental.snapshot.",
        "internal.",
        "key.converter",
        "legacy.",
        "lsn.flush.",
        "notification.",
        "offset.",
        "openlineage.",
        "producer.",
        "publication.",
        "query.",
        "queue.",
        "record.processing.",
        "replica.identity.",
        "schema.history.",
        "sensitive.",
        "signal.",
        "slot.",
        "snapshot.",
        "ssl.",
        "statistics.",
        "task.management.",
        "topic.creation.",
        "topic.heartbeat.",
        "topic.key.",
        "value.converter",
    ];
    const NAMES: &[&str] = &[
        "connector.class",
        "config.action.reload",
        "converter.schemas.cache.size",
        "exactly.once.support",
        "flush.lsn.source",
        "include.schema.changes",
        // The connector for PostgreSQL reads no comments.
        "include.schema.comments",
        "max.batch.size",
        "max.queue.size",
        "max.queue.size.in.bytes",
        "name",
        "plugin.name",
        "poll.dispatch.interval.ms",
        "poll.interval.ms",
        "publish.via.partition.root",
        "read.only",
        "retriable.restart.connector.wait.ms",
        "schema.refresh.mode",
        "status.update.interval.ms",
        "streaming.delay.ms",
        "tasks.max",
        "tasks.max.enforce",
        "topic.cache.size",
        "topic.regex",
        "topic.replacement",
        "unknown.properties.ignored",
        "xmin.fetch.interval.ms",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

pub(crate) fn error(name: &str, reason: &str) -> OptionError {
    OptionError {
        name: without_salt(name).to_owned(),
        reason: reason.to_owned(),
    }
}

/// A name as it may be shown: the salt of a hash, which stands at its end, is a secret.
fn without_salt(name: &str) -> &str {
    const BEFORE_SALT: &str = ".with.salt.";
    let shown = name.find(BEFORE_SALT).map(|at| at + BEFORE_SALT.len());
    shown.and_then(|end| name.get(..end)).unwrap_or(name)
}

pub(crate) fn not_one_of(name: &str, allowed: &[&str]) -> OptionError {
    error(name, &format!("expected one of {}", allowed.join(", ")))
}

/// In capitals or not, as Debezium takes its words.
pub(crate) fn one_of<T: Copy>(
    name: &str,
    value: &str,
    allowed: &[(&str, T)],
) -> Result<T, OptionError> {
    allowed
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(value.trim()))
        .map(|(_, mode)| *mode)
        .ok_or_else(|| {
            not_one_of(
                name,
                &allowed.iter().map(|(word, _)| *word).collect::<Vec<_>>(),
            )
        })
}

pub(crate) fn boolean(name: &str, value: &str) -> Result<bool, OptionError> {
    one_of(name, value, &[("true", true), ("false", false)])
}

/// What goes into names of topics as it is.
fn topic_part(name: &str, value: &str) -> Result<String, OptionError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if value.is_empty() || !value.bytes().all(fits) {
        return Err(error(
            name,
            "expected letters, digits, dots, underscores and hyphens",
        ));
    }
    Ok(value.to_owned())
}

fn skipped(name: &str, value: &str) -> Result<Skipped, OptionError> {
    if value == "none" {
        return Ok(Skipped::default());
    }
    let operation = |word: &str| match word.trim().as_bytes() {
        &[op @ (b'c' | b'u' | b'd' | b't' | b'r')] => Ok(op),
        _ => Err(error(
            name,
            "expected \"none\", or c, u, d, t, r separated by commas",
        )),
    };
    // As Java splits: without what is empty at the end.
    let words = value.trim_end_matches(',').split(',');
    Ok(Skipped(words.map(operation).collect::<Result<_, _>>()?))
}

fn placeholder(value: &str) -> Option<Vec<u8>> {
    let Some(digits) = value.strip_prefix("hex:") else {
        return Some(value.as_bytes().to_vec());
    };
    if !digits.is_ascii() || digits.len() % 2 != 0 {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| {
            digits
                .get(at..at + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn refuses_unknown_names_and_values_by_name() {
        let parse = |name, value| Options::parse([(name, value)]).map(|_| ());
        assert_eq!(parse("decimal.handling.mode", "double"), Ok(()));
        let bad = parse("decimal.handling.mode", "exact").unwrap_err();
        assert_eq!(
            bad.to_string(),
            "option decimal.handling.mode: expected one of precise, double, string"
        );
        assert_eq!(
            parse("decimal.mode", "double").unwrap_err().to_string(),
            "option decimal.mode: no such option"
        );
    }

    #[test]
    fn salts_and_values_are_not_repeated() {
        for (name, value) in [
            ("column.mask.hash.CRC.with.salt.secret", "a"),
            ("column.mask.hash.MD5.with.salt.secret", "("),
            ("column.mask.hashing.MD5.with.salt.secret", "a"),
            ("table.include.list", "public.a,secret("),
            ("message.key.columns", "secret(:a"),
        ] {
            let refused = Options::parse([(name, value)]).unwrap_err();
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
    }

    #[test]
    fn words_are_taken_as_debezium_takes_them() {
        let parse = |name, value| Options::parse([(name, value)]);
        let options = parse("decimal.handling.mode", " String").unwrap();
        assert_eq!(options.decimal, DecimalMode::String);
        assert!(!parse("tombstones.on.delete", "FALSE").unwrap().tombstones);
        let skipped = parse("skipped.operations", "r, u,").unwrap().skipped;
        assert!(skipped.contains(b'r') && skipped.contains(b'u'));
        for (name, value) in [
            ("skipped.operations", "c,none"),
            ("skipped.operations", "C"),
            ("skipped.operations", ""),
            ("topic.prefix", ""),
            ("topic.prefix", "a b"),
            ("topic.delimiter", "::"),
            ("topic.transaction", "ä"),
            ("tombstones.on.delete", "yes"),
        ] {
            assert_eq!(parse(name, value).unwrap_err().name, name);
        }
    }

    #[test]
    fn notices_what_has_no_meaning_here() {
        let options =
            Options::parse([("plugin.name", "pgoutput"), ("topic.prefix", "app")]).unwrap();
        assert_eq!(options.ignored(), ["plugin.name"]);
        assert_eq!(options.topic_prefix, "app");
    }

    #[test]
    fn schemas_are_for_each_converter_or_for_all() {
        let parse = |pairs: &[(&str, &str)]| Options::parse(pairs.iter().copied());
        let all = ("schemas.enable", "true");
        let schemas = |pairs: &[_]| {
            let schemas = parse(pairs).unwrap().schemas;
            (schemas.keys, schemas.values, schemas.headers)
        };
        assert_eq!(schemas(&[]), (false, false, false));
        assert_eq!(schemas(&[all]), (true, true, true));
        let without_keys = ("key.converter.schemas.enable", "false");
        assert_eq!(schemas(&[without_keys, all]), (false, true, true));
        let values = ("value.converter.schemas.enable", "true");
        assert_eq!(schemas(&[values]), (false, true, false));
        assert_eq!(
            parse(&[all, ("format", "native")]).unwrap_err().to_string(),
            "option schemas.enable: the native format has no schemas"
        );
    }

    #[test]
    fn format_chooses_defaults_wherever_it_stands() {
        let options =
            Options::parse([("time.precision.mode", "connect"), ("format", "native")]).unwrap();
        assert_eq!(options.time, TimeMode::Connect);
        assert_eq!(options.decimal, DecimalMode::Exact);
    }
}
