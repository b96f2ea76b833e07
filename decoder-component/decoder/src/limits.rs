//! Every bound of the decoder, each with PostgreSQL's name for it where it has one.

/// `MaxTupleAttributeNumber`, `access/htup_details.h`; a table has at most 1,600.
pub const COLUMNS_MAX: u16 = 1664;

/// `NAMEDATALEN - 1`, `pg_config_manual.h`, in the server's encoding; UTF-8 may take four bytes
/// for each of them.
pub const NAME_BYTES_MAX: usize = 63 * 4;

/// `MAX_RONAME_LEN`, `replication/origin.h`; four bytes of UTF-8 for each.
pub const ORIGIN_BYTES_MAX: usize = 512 * 4;

/// `GIDSIZE - 1`, `access/xact.h`; four bytes of UTF-8 for each.
pub const GID_BYTES_MAX: usize = 199 * 4;

/// Relations a decoder remembers. A server announces those that change, and no more often than
/// they do; a database with more published tables than this has not been seen.
pub const RELATIONS_MAX: usize = 1 << 20;

/// Parentheses and brackets in one another in a regular expression.
pub const PATTERN_DEPTH_MAX: usize = 50;

/// Parts of a regular expression, repeated ones counted each time: what matching a character costs.
pub const PATTERN_PARTS_MAX: usize = 10_000;

/// Characters of a mask: it is kept for each column that it covers.
pub const MASK_CHARS_MAX: usize = 1 << 16;

/// Records after which a call ends, whatever it was given: a few bytes in binary form may stand for
/// very many, and neither the memory nor the time of a call may depend on how many such a peer
/// sends. A usual batch gives a tenth of this.
pub const CALL_RECORDS_BYTES: usize = 8 << 20;

/// `MaxAllocSize`, `utils/memutils.h`: no value and no message is larger.
pub const MESSAGE_BYTES_MAX: usize = 0x3FFF_FFFF;

/// `MAXDIM`, `utils/array.h`: arrays within arrays of one value.
pub const DIMENSIONS_MAX: usize = 6;

/// Digits of a `numeric` before the point: of a weight, which is an `int16`, `DEC_DIGITS` each,
/// `utils/adt/numeric.c`.
pub const NUMERIC_INTEGER_DIGITS_MAX: usize = (0x7FFF + 1) * 4;

/// `NUMERIC_DSCALE_MAX`, `utils/adt/numeric.c`: digits behind the point.
pub const NUMERIC_FRACTION_DIGITS_MAX: usize = 0x3FFF;

/// Domains over domains and composites in composites that are looked into: the server has no
/// bound. What is deeper is shown as its text.
pub const TYPE_DEPTH_MAX: usize = 32;

/// Attributes and elements a column's type is made of, all that is within it counted, as often as
/// it is in it: a type that has another twice, which has another twice, and so on, is made of more
/// parts than a memory holds. What is beyond is shown as its text.
pub const TYPE_PARTS_MAX: usize = 1 << 11;

/// Arrays and objects in one another in `json`. PostgreSQL's parser is recursive and ends at
/// `max_stack_depth`, far below this.
pub const JSON_DEPTH_MAX: usize = 1 << 20;

/// Values within a value in binary form: the server has no bound but its stack.
pub const WIRE_DEPTH_MAX: u8 = 64;

/// Text of a value in binary form, together with [`WIRE_TEXT_GROWTH_MAX`]: quotes within quotes
/// are doubled again and again, and a `numeric` may have 131,072 digits of which none is sent, so
/// a small value can stand for a text that no memory holds.
pub const WIRE_TEXT_BYTES_MAX: usize = 16 << 20;

/// Bytes of text for each byte in binary form, beyond [`WIRE_TEXT_BYTES_MAX`].
pub const WIRE_TEXT_GROWTH_MAX: usize = 16;

/// Relations of one Truncate that an inspector names; the OIDs of the others are one field.
pub const INSPECTED_RELATIONS_MAX: usize = 1 << 12;

/// Characters of a field that an inspector shows, and of a name that is none of PostgreSQL's.
pub const INSPECTED_CHARS_MAX: usize = 256;

/// Values within a value that an inspector looks into, to redact it: beyond, it is text.
pub const INSPECTED_DEPTH_MAX: u8 = 8;
