//! Values of every type in both forms in which the server sends them, as its output and send
//! functions write them, made without the decoder's code.

mod nested;
mod text;

use pgoutput_decoder::{Attribute, Facts, Question, TypeFacts, TypeKind};

use self::nested::{array, composite, element_of, hstore, multirange, numbers, range};
use self::text::{date, float4, float8, interval, numeric, time, time_zone, timestamp};
use crate::choices::Choices;

/// A value's text, and its binary form.
pub(crate) type Forms = (Vec<u8>, Vec<u8>);

/// Types whose values can be made.
pub(crate) const TYPES: &[u32] = &[
    16,
    17,
    18,
    19,
    20,
    21,
    22,
    23,
    25,
    26,
    27,
    28,
    29,
    30,
    114,
    142,
    600,
    601,
    602,
    603,
    604,
    628,
    650,
    700,
    701,
    718,
    774,
    790,
    829,
    869,
    1042,
    1043,
    1082,
    1083,
    1114,
    1184,
    1186,
    1266,
    1560,
    1562,
    1700,
    2950,
    2970,
    3220,
    3614,
    3615,
    3802,
    3904,
    3906,
    3908,
    3910,
    3912,
    3926,
    4072,
    4451,
    4532,
    4533,
    4534,
    4535,
    4536,
    5038,
    5069,
    1000,
    1001,
    1002,
    1005,
    1007,
    1009,
    1014,
    1015,
    1016,
    1020,
    1021,
    1022,
    1028,
    1041,
    1115,
    1182,
    1183,
    1185,
    1187,
    1231,
    1270,
    1561,
    1563,
    199,
    2951,
    3643,
    3807,
    3905,
    3907,
    6150,
    ENUM,
    DOMAIN,
    COMPOSITE,
    COMPOSITES,
    RANGE,
    HSTORE,
    VECTOR,
    MULTIRANGE,
    OUTER,
    DOMAINS,
    HALF_VECTOR,
    SPARSE_VECTOR,
    LTREE,
    CUBE,
    CITEXT,
];

const ENUM: u32 = 20_001;
const DOMAIN: u32 = 20_002;
const COMPOSITE: u32 = 20_003;
const COMPOSITES: u32 = 20_004;
const RANGE: u32 = 20_005;
const HSTORE: u32 = 20_006;
const VECTOR: u32 = 20_007;
const MULTIRANGE: u32 = 20_008;
const OUTER: u32 = 20_009;
const DOMAINS: u32 = 20_010;
const HALF_VECTOR: u32 = 20_011;
const SPARSE_VECTOR: u32 = 20_012;
const LTREE: u32 = 20_013;
const CUBE: u32 = 20_014;
const CITEXT: u32 = 20_015;

const COMPOSITE_PARTS: &[u32] = &[23, 25, 1182];
const OUTER_PARTS: &[u32] = &[COMPOSITE, 1700, 17, DOMAINS];

/// What the catalogs say of these types, and of a relation nothing.
pub(crate) fn catalog(_: &Question) -> Facts {
    let plain = |oid: u32, name: &str, kind: TypeKind| TypeFacts {
        oid,
        namespace: "public".to_owned(),
        name: name.to_owned(),
        kind,
        element: 0,
        delimiter: ',',
        base: 0,
        base_typmod: -1,
        subtype: 0,
        labels: Vec::new(),
        attributes: Vec::new(),
    };
    let parts = |types: &[u32]| {
        let attribute = |(index, type_oid): (usize, &u32)| Attribute {
            name: format!("a{index}\""),
            type_oid: *type_oid,
            typmod: -1,
        };
        types.iter().enumerate().map(attribute).collect::<Vec<_>>()
    };
    let array = |oid, name, element| TypeFacts {
        element,
        ..plain(oid, name, TypeKind::Base)
    };
    let of_subtype = |oid, name, kind, subtype| TypeFacts {
        subtype,
        ..plain(oid, name, kind)
    };
    let types = vec![
        TypeFacts {
            labels: vec!["sad".to_owned(), "so, so".to_owned()],
            ..plain(ENUM, "mood", TypeKind::Enumeration)
        },
        TypeFacts {
            base: 1007,
            ..plain(DOMAIN, "numbers", TypeKind::Domain)
        },
        TypeFacts {
            attributes: parts(COMPOSITE_PARTS),
            ..plain(COMPOSITE, "inner", TypeKind::Composite)
        },
        array(COMPOSITES, "_inner", COMPOSITE),
        of_subtype(RANGE, "textrange", TypeKind::Range, 25),
        plain(HSTORE, "hstore", TypeKind::Base),
        plain(VECTOR, "vector", TypeKind::Base),
        of_subtype(MULTIRANGE, "textmultirange", TypeKind::Multirange, 25),
        TypeFacts {
            attributes: parts(OUTER_PARTS),
            ..plain(OUTER, "outer", TypeKind::Composite)
        },
        array(DOMAINS, "_numbers", DOMAIN),
        plain(HALF_VECTOR, "halfvec", TypeKind::Base),
        plain(SPARSE_VECTOR, "sparsevec", TypeKind::Base),
        plain(LTREE, "ltree", TypeKind::Base),
        plain(CUBE, "cube", TypeKind::Base),
        plain(CITEXT, "citext", TypeKind::Base),
    ];
    Facts {
        types,
        relations: Vec::new(),
    }
}

/// A value of one of [`TYPES`].
#[expect(clippy::too_many_lines, reason = "a few lines for each type")]
pub(crate) fn value(type_oid: u32, choices: &mut Choices<'_>) -> Forms {
    let c = choices;
    match type_oid {
        16 => {
            let yes = c.below(2);
            (vec![b"ft"[yes]], vec![u8::from(yes == 1)])
        }
        17 => {
            let bytes = c.bytes(9).to_vec();
            (format!("\\x{}", hex(&bytes)).into(), bytes)
        }
        18 => {
            let byte = c.byte();
            let text = match byte {
                0 => Vec::new(),
                128.. => format!("\\{byte:03o}").into(),
                _ => vec![byte],
            };
            (text, vec![byte])
        }
        19 | 25 | 142 | 1042 | 1043 | CITEXT => both(words(c)),
        ENUM => both(c.of(&["sad", "so, so"]).to_owned()),
        114 => both(json(c).to_owned()),
        3802 => versioned(json(c)),
        4072 => versioned("$.\"a\""),
        LTREE => versioned(c.of(&["a.b", "top", ""])),
        20 => number(&c.i64()),
        21 => number(&low_half(low_half(c.i64()))),
        23 => number(&low_half(c.i64())),
        26 | 28 | 29 => number(&c.u32()),
        5069 => number(&c.u64()),
        22 => numbers(21, c),
        30 => numbers(26, c),
        27 => {
            let (block, offset) = (c.u32(), c.u16());
            let binary = [&block.to_be_bytes()[..], &offset.to_be_bytes()].concat();
            (format!("({block},{offset})").into(), binary)
        }
        700 => {
            let number = f32::from_bits(c.u32() | ODD);
            (float4(number).into(), number.to_be_bytes().into())
        }
        701 => {
            let number = double(c);
            (float8(number).into(), number.to_be_bytes().into())
        }
        600..=604 | 628 | 718 => geometric(type_oid, c),
        650 | 869 => address(type_oid == 650, c),
        774 => mac_address(c.array::<8>()),
        829 => mac_address(c.array::<6>()),
        790 => money(c.i64()),
        1082 => {
            let days = low_half(c.i64());
            (date(days).into(), days.to_be_bytes().into())
        }
        1083 => {
            let us = time_of_day(c);
            (time(us).into(), us.to_be_bytes().into())
        }
        1266 => {
            let us = time_of_day(c);
            let zone = i32::from(c.u16()) * 2 % (16 * 3600) * c.of(&[1, -1]);
            let text = time(us) + &time_zone(zone);
            (
                text.into(),
                [&us.to_be_bytes()[..], &zone.to_be_bytes()].concat(),
            )
        }
        1114 | 1184 => {
            let us = c.i64();
            (
                timestamp(us, type_oid == 1184).into(),
                us.to_be_bytes().into(),
            )
        }
        1186 => {
            let (us, days, months) = (c.i64(), low_half(c.i64()), low_half(c.i64()));
            let text = interval(us, days, months);
            let parts = [
                &us.to_be_bytes()[..],
                &days.to_be_bytes(),
                &months.to_be_bytes(),
            ];
            (text.into(), parts.concat())
        }
        1560 | 1562 => bits(c),
        1700 => numeric(c),
        2950 => {
            let uuid = c.array::<16>();
            let digits = hex(&uuid);
            let groups = [
                &digits[..8],
                &digits[8..12],
                &digits[12..16],
                &digits[16..20],
                &digits[20..],
            ];
            (groups.join("-").into(), uuid.into())
        }
        2970 | 5038 => snapshot(c),
        3220 => {
            let lsn = c.u64();
            let text = format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF);
            (text.into(), lsn.to_be_bytes().into())
        }
        3614 => text_search_vector(c),
        3615 => text_search_query(c),
        3904 => range(23, c),
        3906 => range(1700, c),
        3908 => range(1114, c),
        3910 => range(1184, c),
        3912 => range(1082, c),
        3926 => range(20, c),
        RANGE => range(25, c),
        4451 => multirange(3904, c),
        4532 => multirange(3906, c),
        4533 => multirange(3908, c),
        4534 => multirange(3910, c),
        4535 => multirange(3912, c),
        4536 => multirange(3926, c),
        MULTIRANGE => multirange(RANGE, c),
        DOMAIN => value(1007, c),
        COMPOSITE => composite(COMPOSITE_PARTS, c),
        OUTER => composite(OUTER_PARTS, c),
        HSTORE => hstore(c),
        VECTOR => vector(c),
        HALF_VECTOR => {
            // 1.5, -2, 0 and the largest.
            let (text, bits) = c.of(&[
                ("1.5", 0x3E00_u16),
                ("-2", 0xC000),
                ("0", 0),
                ("65504", 0x7BFF),
            ]);
            let binary = [&[0, 1, 0, 0][..], &bits.to_be_bytes()].concat();
            (format!("[{text}]").into(), binary)
        }
        SPARSE_VECTOR => {
            let number = f32::from(c.byte()) / 4.0;
            let binary = [
                &7_u32.to_be_bytes()[..],
                &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4],
            ];
            let binary = [&binary.concat()[..], &number.to_be_bytes()].concat();
            (format!("{{5:{}}}/7", float4(number)).into(), binary)
        }
        CUBE => {
            let number = double(c);
            let binary = [&0x8000_0001_u32.to_be_bytes()[..], &number.to_be_bytes()].concat();
            (format!("({})", float8(number)).into(), binary)
        }
        _ => array(element_of(type_oid), c),
    }
}

fn both(text: String) -> Forms {
    (text.clone().into(), text.into())
}

fn versioned(text: &str) -> Forms {
    (text.into(), format!("\u{1}{text}").into())
}

/// Text that wants quotes, escapes and care.
fn words(c: &mut Choices<'_>) -> String {
    const PIECES: [&str; 20] = [
        "", "a", "b c", "\"", "\\", ",", "{", "}", "(", ")", "NULL", "é", "😀", "\n", "'", ";",
        "[", "=>", "\u{1}", "null",
    ];
    (0..c.below(4)).map(|_| c.of(&PIECES)).collect()
}

fn json(c: &mut Choices<'_>) -> &'static str {
    const TEXTS: [&str; 7] = [
        "{}",
        "[1, 2.50, -1e400]",
        r#"{"a": {"b": [null, true]}, "a": "\u00e9\\\""}"#,
        "\"😀 é\"",
        "0",
        "[[[[]]]]",
        "{\"k\": \"\\n\"}",
    ];
    c.of(&TEXTS)
}

trait Number: std::fmt::Display {
    fn to_wire(&self) -> Vec<u8>;
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Number for $number {
            fn to_wire(&self) -> Vec<u8> {
                self.to_be_bytes().into()
            }
        }
    )*};
}

numbers!(i16 i32 i64 u32 u64);

fn number(number: &impl Number) -> Forms {
    (number.to_string().into(), number.to_wire())
}

/// The lower half, as if it were a number of its own.
fn low_half<N: Halves>(number: N) -> N::Half {
    number.low_half()
}

trait Halves {
    type Half;
    fn low_half(self) -> Self::Half;
}

impl Halves for i64 {
    type Half = i32;
    fn low_half(self) -> i32 {
        let [.., a, b, c, d] = self.to_be_bytes();
        i32::from_be_bytes([a, b, c, d])
    }
}

impl Halves for i32 {
    type Half = i16;
    fn low_half(self) -> i16 {
        let [.., a, b] = self.to_be_bytes();
        i16::from_be_bytes([a, b])
    }
}

/// For odd fractions Rust's shortest digits are the server's: digits that lie half-way to another
/// number are never those of an odd one, and never the server's.
const ODD: u32 = 1;

fn double(c: &mut Choices<'_>) -> f64 {
    match c.below(4) {
        0 => f64::from(c.byte()),
        1 => f64::from(low_half(c.i64())) / 64.0,
        _ => f64::from_bits(c.u64() | u64::from(ODD)),
    }
}

fn time_of_day(c: &mut Choices<'_>) -> i64 {
    let us = c.u64() % 86_400_000_001;
    i64::try_from(us - us % c.of(&[1, 1000, 1_000_000])).unwrap()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], bytes].concat()
}

fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.concat()
}

fn mac_address<const N: usize>(bytes: [u8; N]) -> Forms {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    (pairs.join(":").into(), bytes.into())
}

fn address(cidr: bool, c: &mut Choices<'_>) -> Forms {
    let (text, bytes, bits_max) = if c.below(2) == 0 {
        let address = c.array::<4>();
        let parts = address.map(|byte| byte.to_string());
        (parts.join("."), address.to_vec(), 32)
    } else {
        // What begins with zeros is spelled in ways of its own.
        let mut address = c.array::<16>();
        address[0] |= 0x20;
        let text = std::net::Ipv6Addr::from(address).to_string();
        (text, address.to_vec(), 128)
    };
    let bits = u8::try_from(c.below(bits_max + 1)).unwrap();
    let mask = if usize::from(bits) != bits_max || cidr {
        format!("/{bits}")
    } else {
        String::new()
    };
    let family = if bits_max == 32 { 2 } else { 3 };
    let length = u8::try_from(bytes.len()).unwrap();
    let head = [family, bits, u8::from(cidr), length];
    ((text + &mask).into(), [&head[..], &bytes].concat())
}

fn money(cents: i64) -> Forms {
    let digits = (cents.unsigned_abs() / 100).to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    let sign = if cents < 0 { "-" } else { "" };
    let text = format!("{sign}${text}.{:02}", cents.unsigned_abs() % 100);
    (text.into(), cents.to_be_bytes().into())
}

fn bits(c: &mut Choices<'_>) -> Forms {
    let count = c.below(20);
    let bits: Vec<u8> = (0..count).map(|_| c.byte() & 1).collect();
    let mut binary = u32::try_from(count).unwrap().to_be_bytes().to_vec();
    for byte in bits.chunks(8) {
        let set = byte.iter().enumerate().map(|(at, bit)| bit << (7 - at));
        binary.push(set.sum());
    }
    (bits.iter().map(|bit| b'0' + bit).collect(), binary)
}

fn snapshot(c: &mut Choices<'_>) -> Forms {
    let (first, end) = (c.u64() >> 1, c.u64() >> 1);
    let within: Vec<u64> = (0..c.below(3)).map(|_| c.u64() >> 1).collect();
    let mut binary = u32::try_from(within.len()).unwrap().to_be_bytes().to_vec();
    for xid in [first, end].iter().chain(&within) {
        binary.extend(xid.to_be_bytes());
    }
    let within: Vec<String> = within.iter().map(u64::to_string).collect();
    (format!("{first}:{end}:{}", within.join(",")).into(), binary)
}

fn geometric(type_oid: u32, c: &mut Choices<'_>) -> Forms {
    let mut binary = Vec::new();
    let mut numbers = |count: usize, c: &mut Choices<'_>| -> Vec<String> {
        let mut number = || {
            let number = double(c);
            binary.extend(number.to_be_bytes());
            float8(number)
        };
        (0..count).map(|_| number()).collect()
    };
    let points = |numbers: &[String]| {
        let pairs = numbers
            .chunks(2)
            .map(|pair| format!("({},{})", pair[0], pair[1]));
        pairs.collect::<Vec<_>>().join(",")
    };
    let text = match type_oid {
        600 => points(&numbers(2, c)),
        601 => format!("[{}]", points(&numbers(4, c))),
        603 => points(&numbers(4, c)),
        628 => format!("{{{}}}", numbers(3, c).join(",")),
        718 => {
            let numbers = numbers(3, c);
            format!("<{},{}>", points(&numbers[..2]), numbers[2])
        }
        _ => {
            let count = 1 + c.below(3);
            let closed = type_oid == 604 || c.below(2) == 1;
            let numbers = numbers(2 * count, c);
            let mut head = Vec::new();
            if type_oid == 602 {
                head.push(u8::from(closed));
            }
            head.extend(u32::try_from(count).unwrap().to_be_bytes());
            binary.splice(..0, head);
            let points = points(&numbers);
            if closed {
                format!("({points})")
            } else {
                format!("[{points}]")
            }
        }
    };
    (text.into(), binary)
}

fn lexeme(c: &mut Choices<'_>) -> (String, Vec<u8>) {
    let word = words(c).replace('\u{1}', "") + "x";
    let text = format!("'{}'", word.replace('\\', "\\\\").replace('\'', "''"));
    (text, [word.as_bytes(), b"\0"].concat())
}

fn text_search_vector(c: &mut Choices<'_>) -> Forms {
    let count = c.below(3);
    let mut binary = u32::try_from(count).unwrap().to_be_bytes().to_vec();
    let mut texts = Vec::new();
    for _ in 0..count {
        let (mut text, word) = lexeme(c);
        binary.extend(word);
        let places = c.below(3);
        binary.extend(u16::try_from(places).unwrap().to_be_bytes());
        for place in 0..places {
            let (weight, letter) = c.of(&[(0_u16, ""), (1, "C"), (2, "B"), (3, "A")]);
            let position = 1 + u16::from(c.byte());
            let before = if place == 0 { ':' } else { ',' };
            text = format!("{text}{before}{position}{letter}");
            binary.extend((weight << 14 | position).to_be_bytes());
        }
        texts.push(text);
    }
    (texts.join(" ").into(), binary)
}

fn text_search_query(c: &mut Choices<'_>) -> Forms {
    let operand = |c: &mut Choices<'_>| {
        let (text, word) = lexeme(c);
        let (weights, marks) = c.of(&[
            ([0, 0], ""),
            ([0, 1], ":*"),
            ([9, 0], ":AD"),
            ([4, 1], ":*B"),
        ]);
        (text + marks, [&[1][..], &weights, &word].concat())
    };
    let (one, one_binary) = operand(c);
    let (two, two_binary) = operand(c);
    let (text, items) = match c.below(6) {
        0 => return (Vec::new(), vec![0; 4]),
        1 => (one, vec![one_binary]),
        2 => (format!("!{one}"), vec![vec![2, 1], one_binary]),
        // The right operand comes first.
        3 => (
            format!("{one} & {two}"),
            vec![vec![2, 2], two_binary, one_binary],
        ),
        4 => {
            let text = format!("{one} & ( {two} | {one} )");
            let items = vec![
                vec![2, 2],
                vec![2, 3],
                one_binary.clone(),
                two_binary,
                one_binary,
            ];
            (text, items)
        }
        _ => (
            format!("{one} <3> {two}"),
            vec![vec![2, 4, 0, 3], two_binary, one_binary],
        ),
    };
    let count = u32::try_from(items.len()).unwrap();
    (
        text.into(),
        [&count.to_be_bytes()[..], &items.concat()].concat(),
    )
}

fn vector(c: &mut Choices<'_>) -> Forms {
    let numbers: Vec<f32> = (0..=c.below(3))
        .map(|_| f32::from_bits(c.u32() & 0x7F7F_FFFF | ODD))
        .collect();
    let count = u16::try_from(numbers.len()).unwrap();
    let mut binary = [&count.to_be_bytes()[..], &[0, 0]].concat();
    for number in &numbers {
        binary.extend(number.to_be_bytes());
    }
    let texts: Vec<String> = numbers.into_iter().map(float4).collect();
    (format!("[{}]", texts.join(",")).into(), binary)
}
