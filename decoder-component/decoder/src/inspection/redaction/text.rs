//! Values in text form, by what their types' text looks like.
//!
//! Whatever the type, no letter and no digit is left but those that take others' place, and the
//! words of [`WORDS`]: a value that is not what its type says gives nothing away.

use alloc::vec::Vec;

use super::json;
use crate::inspection::memory::Form;
use crate::limits::INSPECTED_DEPTH_MAX;
use crate::value::is_json;
use crate::value::wire::kind::Kind;

pub(super) fn redact(text: &mut [u8], form: Form) {
    by_form(text, form, 0);
}

/// Makes a redacted value another one of its type, and not of its length.
pub(super) fn distinguish(text: &mut [u8], form: Form) {
    let kind = if form.kind == Kind::Array {
        form.element
    } else {
        form.kind
    };
    let (taken, other) = match kind {
        Kind::Bits => (b'1', b'0'),
        Kind::Bool => (b't', b'f'),
        _ => (b'1', b'2'),
    };
    // Not where an array begins, and not the `x` of `\x11`.
    let bounds = bounds_bytes(text);
    let mut before = 0;
    for byte in text.iter_mut().skip(bounds) {
        if *byte == taken || *byte == b'x' && before != b'\\' {
            *byte = if *byte == taken { other } else { b'y' };
            return;
        }
        before = *byte;
    }
}

fn by_form(text: &mut [u8], form: Form, depth: u8) {
    match form.kind {
        Kind::Array => array(text, form, depth),
        Kind::Bits
        | Kind::Cube
        | Kind::Float4
        | Kind::Float8
        | Kind::Geometric(_)
        | Kind::HalfVector
        | Kind::Int2
        | Kind::Int4
        | Kind::Int8
        | Kind::Interval
        | Kind::Money
        | Kind::Multirange(_)
        | Kind::Numeric
        | Kind::Range(_)
        | Kind::Snapshot
        | Kind::SparseVector
        | Kind::Tid
        | Kind::Time
        | Kind::TimeTz
        | Kind::Unsigned4
        | Kind::Unsigned8
        | Kind::Vector
        | Kind::Words => with_words(text),
        Kind::Bool => boolean(text),
        Kind::Date | Kind::Timestamp | Kind::TimestampTz => date(text),
        Kind::Bytea => bytes(text),
        Kind::Geometry | Kind::Inet | Kind::Lsn | Kind::MacAddress(_) | Kind::Uuid => {
            hexadecimal(text);
        }
        Kind::Hstore => hstore(text),
        Kind::Text | Kind::Versioned if form.json => json::redact(text),
        Kind::Composite => {
            if !structured(text, depth) {
                plain(text);
            }
        }
        Kind::Unknown => guessed(text, depth),
        Kind::Char
        | Kind::Registered { .. }
        | Kind::Text
        | Kind::TsQuery
        | Kind::TsVector
        | Kind::Versioned => plain(text),
    }
}

pub(super) fn plain(text: &mut [u8]) {
    for byte in text {
        *byte = plain_byte(*byte);
    }
}

#[inline]
pub(super) fn plain_byte(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => b'1',
        _ if is_letter(byte) => b'x',
        _ => byte,
    }
}

/// Whether it is of a word: letters, and what is of no text, or not of ASCII.
fn is_letter(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | 0x7F.. | 0..=8 | 11 | 12 | 14..=31)
}

/// Numbers, times and what is made of them.
pub(super) fn with_words(text: &mut [u8]) {
    only_but(text, |word| WORDS.contains(&word));
}

/// Redacts all but some words.
fn only_but(text: &mut [u8], stays: impl Fn(&[u8]) -> bool) {
    let mut rest = text;
    while !rest.is_empty() {
        let letters = count(rest, |byte| is_letter(*byte));
        let (word, behind) = rest.split_at_mut(letters);
        if !stays(word) {
            word.fill(b'x');
        }
        let others = count(behind, |byte| !is_letter(*byte));
        let (others, behind) = behind.split_at_mut(others);
        plain(others);
        rest = behind;
    }
}

/// A year that nanoseconds since 1970 have is one of those afterwards, too.
fn date(text: &mut [u8]) {
    let usual = matches!(
        text,
        [b'1', b'7'..=b'9', b'0'..=b'9', b'0'..=b'9', b'-', ..]
            | [b'2', b'0' | b'1', b'0'..=b'9', b'0'..=b'9', b'-', ..]
            | [b'2', b'2', b'0'..=b'5', b'0'..=b'9', b'-', ..]
    );
    with_words(text);
    if let (true, [century, ..]) = (usual, text) {
        *century = b'2';
    }
}

fn boolean(text: &mut [u8]) {
    if let [byte @ (b't' | b'f')] = text {
        *byte = b't';
    } else {
        plain(text);
    }
}

fn bytes(text: &mut [u8]) {
    match text {
        [b'\\', b'x', digits @ ..] => hexadecimal(digits),
        // As it was before 9.0: characters, and octal digits.
        _ => plain(text),
    }
}

fn hexadecimal(text: &mut [u8]) {
    for byte in text {
        *byte = if byte.is_ascii_hexdigit() {
            b'1'
        } else {
            plain_byte(*byte)
        };
    }
}

/// `"a"=>"1", "b"=>NULL`
fn hstore(text: &mut [u8]) {
    let mut rest = text;
    while !rest.is_empty() {
        let outside = count(rest, |byte| *byte != b'"');
        let (outside, behind) = rest.split_at_mut(outside);
        only_but(outside, |word| word == NULL);
        rest = quoted(behind, b'\\', &mut plain);
    }
}

/// `{a,"b c",NULL}`, `[0:1]={1,2}`
fn array(text: &mut [u8], form: Form, depth: u8) {
    let elements = form.elements();
    let bounds = bounds_bytes(text);
    let (_, mut rest) = text.split_at_mut(bounds);
    let delimiter = form.delimiter;
    let mut element = |text: &mut [u8]| by_form(text, elements, depth + 1);
    while let Some(first) = rest.first() {
        if *first == b'"' {
            rest = quoted(rest, b'\\', &mut element);
            continue;
        }
        let end = |byte: &u8| *byte == delimiter || matches!(byte, b'{' | b'}' | b'"');
        let bare = count(rest, |byte| !end(byte));
        let (value, behind) = rest.split_at_mut(bare);
        if value != NULL {
            element(value);
        }
        rest = skip_delimiter(behind);
    }
}

/// `(a,"b ""c""",)`
fn composite(text: &mut [u8], depth: u8) {
    let mut rest = text;
    let mut field = |text: &mut [u8]| guessed(text, depth + 1);
    while let Some(first) = rest.first() {
        if *first == b'"' {
            rest = quoted(rest, b'"', &mut field);
            continue;
        }
        let bare = count(rest, |byte| !matches!(byte, b'(' | b')' | b',' | b'"'));
        let (value, behind) = rest.split_at_mut(bare);
        field(value);
        rest = skip_delimiter(behind);
    }
}

/// Skips what ended a value, but for a quote, with which the next one begins.
fn skip_delimiter(text: &mut [u8]) -> &mut [u8] {
    let delimiter = text.first().is_some_and(|byte| *byte != b'"');
    text.split_at_mut(usize::from(delimiter)).1
}

/// Redacts a composite or an array, if it may be one.
fn structured(text: &mut [u8], depth: u8) -> bool {
    if depth >= INSPECTED_DEPTH_MAX {
        return false;
    }
    match text {
        [b'(', .., b')'] => composite(text, depth),
        [b'{', .., b'}'] => array(text, Form::of(Kind::Array), depth),
        [b'[', .., b'}'] if bounds_bytes(text) > 0 => array(text, Form::of(Kind::Array), depth),
        _ => return false,
    }
    true
}

/// A value of any type: what reads it must find it to be of the same one.
fn guessed(text: &mut [u8], depth: u8) {
    let may_be_json = text.starts_with(b"{") || text.starts_with(b"[");
    if may_be_json && is_json(text) {
        return json::redact(text);
    }
    if structured(text, depth) {
        // With other digits it may be some, and is to be the same when it is redacted again.
        if may_be_json && is_json(text) {
            json::redact(text);
        }
        return;
    }
    match &*text {
        [b't' | b'f'] => boolean(text),
        [b'\\', b'x', digits @ ..] if digits.iter().all(u8::is_ascii_hexdigit) => bytes(text),
        _ if is_uuid(text) => hexadecimal(text),
        _ if is_of_words(text) => with_words(text),
        _ => plain(text),
    }
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether it may be a number, a time or alike: a word of their own, or digits and such words.
fn is_of_words(text: &[u8]) -> bool {
    if !text.iter().any(u8::is_ascii_digit) {
        let word = text.strip_prefix(b"-").unwrap_or(text);
        return LONE_WORDS.contains(&word);
    }
    text.split(|byte| !is_letter(*byte))
        .all(|word| word.is_empty() || WORDS.contains(&word))
}

/// Redacts what is between the quotes that a text begins with, and gives what is behind them. A
/// quote within is escaped with a backslash, or also with another quote.
fn quoted<'a>(text: &'a mut [u8], escape: u8, redact: &mut dyn FnMut(&mut [u8])) -> &'a mut [u8] {
    let [b'"', rest @ ..] = text else {
        return text;
    };
    let (mut end, mut escapes) = (0, false);
    let behind = loop {
        match rest.get(end..).unwrap_or_default() {
            [] => break end,
            [b'\\', _, ..] => {
                escapes = true;
                end += 2;
            }
            [b'"', b'"', ..] if escape == b'"' => {
                escapes = true;
                end += 2;
            }
            [b'"', ..] => break end + 1,
            _ => end += 1,
        }
    };
    let (inside, behind) = rest.split_at_mut(behind);
    let inside = inside.get_mut(..end).unwrap_or_default();
    if escapes {
        through_escapes(inside, escape, redact);
    } else {
        redact(inside);
    }
    behind
}

/// Redacts what the text stands for. No quote and no backslash comes or goes by that.
fn through_escapes(escaped: &mut [u8], escape: u8, redact: &mut dyn FnMut(&mut [u8])) {
    let mut meant = Vec::with_capacity(escaped.len());
    unescaped(escaped, escape, |byte| meant.push(*byte));
    redact(&mut meant);
    let mut redacted = meant.into_iter();
    unescaped(escaped, escape, |byte| {
        *byte = redacted.next().unwrap_or(*byte);
    });
}

fn unescaped(escaped: &mut [u8], escape: u8, mut byte: impl FnMut(&mut u8)) {
    let mut bytes = escaped.iter_mut().peekable();
    while let Some(first) = bytes.next() {
        let escapes = *first == b'\\' || *first == escape;
        match bytes.next_if(|_| escapes) {
            Some(second) => byte(second),
            None => byte(first),
        }
    }
}

/// Bytes of `[0:1][2:3]=`; none if a text does not begin so.
fn bounds_bytes(text: &[u8]) -> usize {
    let bounds = count(text, |byte| {
        matches!(byte, b'0'..=b'9' | b'-' | b':' | b'[' | b']')
    });
    match text.get(bounds..) {
        Some([b'=', b'{', ..]) if text.starts_with(b"[") => bounds + 1,
        _ => 0,
    }
}

/// Of the bytes in front that are so.
fn count(text: &[u8], is_so: impl Fn(&u8) -> bool) -> usize {
    text.iter().take_while(|byte| is_so(byte)).count()
}

const NULL: &[u8] = b"NULL";

/// Of numbers, times, intervals, ranges and JSON.
const WORDS: &[&[u8]] = &[
    b"BC",
    b"E",
    b"Infinity",
    b"NaN",
    b"day",
    b"days",
    b"e",
    b"empty",
    b"false",
    b"infinity",
    b"mon",
    b"mons",
    b"null",
    b"true",
    b"year",
    b"years",
];

/// Those that are values by themselves.
const LONE_WORDS: &[&[u8]] = &[
    b"Infinity",
    b"NaN",
    b"empty",
    b"false",
    b"infinity",
    b"null",
    b"true",
];

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;
    use crate::inspection::memory::Memory;

    fn redacted(type_oid: u32, text: &str) -> String {
        let mut memory = Memory::default();
        for (oid, namespace, name) in [
            (20_001, "public", "mood"),
            (20_002, "public", "hstore"),
            (20_003, "public", "_hstore"),
            (20_004, "pg_catalog", "numeric"),
            (20_005, "pg_catalog", "_bool"),
            (20_006, "public", "vector"),
        ] {
            memory.announce(oid, namespace, name);
        }
        let form = memory.form(type_oid);
        let mut bytes = text.as_bytes().to_vec();
        redact(&mut bytes, form);
        let once = bytes.clone();
        redact(&mut bytes, form);
        assert_eq!(bytes, once, "{text}");
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn texts_of_every_kind() {
        for (type_oid, text, expected) in SAMPLES {
            assert_eq!(redacted(*type_oid, text), *expected, "{type_oid} {text}");
        }
    }

    #[test]
    fn what_is_not_of_its_type_gives_nothing_away() {
        for type_oid in 16..4600 {
            for text in [
                "Secret 42",
                "{Secret,\"a\\\"b",
                "[Secret",
                "(Secret",
                "\\Secret",
                "ü",
            ] {
                let redacted = redacted(type_oid, text);
                let kept = |c: char| matches!(c, 'x' | '1') || !c.is_alphanumeric();
                assert!(redacted.chars().all(kept), "{type_oid} {redacted}");
            }
        }
    }

    #[test]
    fn nesting_has_a_bound() {
        let deep = "(".repeat(1000) + "Secret" + &")".repeat(1000);
        assert!(redacted(20_001, &deep).contains("xxxxxx"));
        assert!(redacted(20_000, &deep).contains("xxxxxx"));
    }

    #[test]
    fn equal_values_are_told_apart() {
        for (type_oid, text, expected) in [
            (23, "-11", "-21"),
            (1700, "1.1e11", "2.1e11"),
            (25, "xxx!", "yxx!"),
            (16, "t", "f"),
            (1560, "111", "011"),
            (1082, "2111-11-11", "2211-11-11"),
            (3802, "{\"x\": true}", "{\"y\": true}"),
            (23, "NaN", "NaN"),
            (17, r"\x11", r"\x21"),
            (1000, "[1:2]={t,t}", "[1:2]={f,t}"),
        ] {
            let mut bytes = text.as_bytes().to_vec();
            distinguish(&mut bytes, Memory::default().form(type_oid));
            assert_eq!(bytes, expected.as_bytes(), "{text}");
        }
    }

    /// Type, text, redacted text.
    #[rustfmt::skip]
    const SAMPLES: &[(u32, &str, &str)] = &[
        (25, "Grüße, 42!\n", "xxxxxxx, 11!\n"),
        (23, "-2147483648", "-1111111111"),
        (701, "1.5e-07", "1.1e-11"),
        (1700, "NaN", "NaN"),
        (1700, "-Infinity", "-Infinity"),
        (16, "f", "t"),
        (17, r"\xdeadBEEF00", r"\x1111111111"),
        (17, r"a\\b\377", r"x\\x\111"),
        (1560, "0101", "1111"),
        (790, "-$1,234.56", "-$1,111.11"),
        (1082, "0044-03-15 BC", "1111-11-11 BC"),
        (1184, "2024-02-29 23:59:59.5+05:30", "2111-11-11 11:11:11.1+11:11"),
        (1114, "-infinity", "-infinity"),
        (1186, "-1 years +2 mons -3 days +04:05:06", "-1 years +1 mons -1 days +11:11:11"),
        (2950, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "11111111-1111-1111-1111-111111111111"),
        (869, "2001:db8::ff/64", "1111:111::11/11"),
        (829, "08:00:2b:01:02:03", "11:11:11:11:11:11"),
        (3220, "16/B374D848", "11/11111111"),
        (600, "(1.5,-2e+20)", "(1.1,-1e+11)"),
        (3904, "[10,20)", "[11,11)"),
        (3904, "empty", "empty"),
        (3908, "[\"2024-01-01 00:00:00\",infinity]", "[\"1111-11-11 11:11:11\",infinity]"),
        (1007, "[0:2]={1,NULL,-3}", "[0:2]={1,NULL,-1}"),
        (1000, "{t,f,NULL}", "{t,t,NULL}"),
        (1009, r#"{NULL,"NULL",a1,"b \"c\\ d",{e}}"#, r#"{NULL,"xxxx",x1,"x \"x\\ x",{x}}"#),
        (1001, r#"{"\\xff00",NULL}"#, r#"{"\\x1111",NULL}"#),
        (1020, "(1,2),(3,4);(5,6),(7,8)", "(1,1),(1,1);(1,1),(1,1)"),
        (3807, r#"{"{\"a\": [true, \"b\\n1\"]}",NULL}"#, r#"{"{\"x\": [true, \"x\\n1\"]}",NULL}"#),
        (30, "1 22 333", "1 11 111"),
        (18, "a", "x"),
        (142, "<a b='1'>ü</a>", "<x x='1'>xx</x>"),
        (3614, "'fat':2A 'rat':3", "'xxx':1x 'xxx':1"),
        (20_001, "happy", "xxxxx"),
        (20_001, "true", "xxxx"),
        (20_001, "{\"very happy\",sad,NULL}", "{\"xxxx xxxxx\",xxx,NULL}"),
        (20_001, r#"("Main ""St"" 5",5,t,"(1,""a b"")",,"{1,NULL}","{""a"": [true]}")"#,
            r#"("xxxx ""xx"" 1",1,t,"(1,""x x"")",,"{1,NULL}","{""x"": [true]}")"#),
        (20_001, r#"("2024-01-01 00:00:00 BC",1e5,NaN,"1 year 2 days","\\xff",years)"#,
            r#"("1111-11-11 11:11:11 BC",1e1,NaN,"1 year 1 days","\\x11",xxxxx)"#),
        (20_002, r#""a"=>"1", "NULL"=>NULL, "b\"c"=>"d\\e""#,
            r#""x"=>"1", "xxxx"=>NULL, "x\"x"=>"x\\x""#),
        (20_003, r#"{"\"a\"=>NULL",NULL}"#, r#"{"\"x\"=>NULL",NULL}"#),
        (20_004, "1.50", "1.11"),
        (20_005, "{f}", "{t}"),
        (20_006, "[1,2.5e-05]", "[1,1.1e-11]"),
        (20_000, "1e5", "1e1"),
        (20_000, "plain text", "xxxxx xxxx"),
    ];
}
