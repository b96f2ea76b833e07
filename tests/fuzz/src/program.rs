//! A stream as a fuzz target takes it: so framed that a changed byte is one of a message.

use pgoutput_decoder::{
    Attribute, ColumnFacts, Facts, Options, RelationFacts, TypeFacts, TypeKind,
};

use crate::choices::Choices;
use crate::wire::frame;

/// What the decoder is told to do, by number.
pub(crate) const OPTIONS: [&[(&str, &str)]; 8] = [
    &[("format", "native")],
    &[("format", "debezium")],
    &[
        ("format", "debezium"),
        ("include.unknown.datatypes", "true"),
        ("binary.handling.mode", "hex"),
        ("decimal.handling.mode", "string"),
        ("hstore.handling.mode", "map"),
        ("interval.handling.mode", "string"),
        ("time.precision.mode", "isostring"),
        ("skipped.operations", "none"),
    ],
    &[
        ("format", "debezium"),
        ("schemas.enable", "true"),
        ("provide.transaction.metadata", "true"),
        ("skipped.operations", "none"),
    ],
    &[
        ("format", "native"),
        ("decimal.handling.mode", "double"),
        ("time.precision.mode", "nanoseconds"),
    ],
    &[
        ("format", "debezium"),
        ("decimal.handling.mode", "double"),
        ("time.precision.mode", "connect"),
        ("binary.handling.mode", "base64-url-safe"),
        ("money.fraction.digits", "1"),
    ],
    &[
        ("format", "debezium"),
        ("time.precision.mode", "nanoseconds"),
        ("include.unknown.datatypes", "true"),
        ("tombstones.on.delete", "false"),
        ("skipped.operations", "u"),
    ],
    &[
        ("format", "native"),
        ("decimal.handling.mode", "precise"),
        ("time.precision.mode", "microseconds"),
        ("provide.transaction.metadata", "true"),
    ],
];

/// One of them.
pub(crate) fn options(choices: &mut Choices<'_>) -> Options {
    Options::parse(choices.of(&OPTIONS).iter().copied()).unwrap()
}

/// What the frames' target is given to decode these messages with the options of this number.
pub fn program<'m>(options: u8, messages: impl IntoIterator<Item = &'m [u8]>) -> Vec<u8> {
    let mut program = vec![options, FRAMED, OF_CATALOG];
    for message in messages {
        let length = u16::try_from(message.len()).unwrap();
        program.extend(length.to_le_bytes());
        program.extend(message);
    }
    program
}

/// The second byte: messages with their lengths follow, or else the stream itself.
pub(crate) const FRAMED: u8 = 1;

/// The third byte: facts are those of `value.rs`, or else none, or some that were made up.
const OF_CATALOG: u8 = 0;

/// The frames of messages with their lengths.
pub(crate) fn frames_of(choices: &mut Choices<'_>) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut lsn = 0x1000;
    while !choices.is_empty() {
        let length = usize::from(choices.u16());
        let message = choices.bytes(length);
        lsn += 8;
        // As the server sends those that are of no place.
        let of_none = matches!(message.first(), Some(b'R' | b'Y'));
        frames.push(frame(if of_none { 0 } else { lsn }, message));
    }
    frames
}

/// Facts of types that were made up, which may be made of one another in any way.
pub(crate) fn facts(choices: &mut Choices<'_>) -> Facts {
    match choices.byte() % 3 {
        OF_CATALOG => crate::value::catalog(&pgoutput_decoder::Question::default()),
        1 => Facts::default(),
        _ => made_up(choices),
    }
}

/// Those, and of a relation of which is asked, in the form of an answer.
pub(crate) fn with_relation(facts: &Facts, question: &pgoutput_decoder::Question) -> Facts {
    let column = |name: &str| ColumnFacts {
        name: name.to_owned(),
        type_oid: 23,
        typmod: -1,
        not_null: true,
        default: Some("'1'::text".to_owned()),
    };
    Facts {
        types: facts.types.clone(),
        relations: vec![RelationFacts {
            oid: question.relation,
            namespace: question.namespace.clone(),
            name: question.name.clone(),
            columns: ["id", "c", "v", "n"].map(column).to_vec(),
            primary_key: vec!["id".to_owned()],
            unique_indexes: Vec::new(),
        }],
    }
}

fn made_up(choices: &mut Choices<'_>) -> Facts {
    let some_type = |choices: &mut Choices<'_>| match choices.below(24) {
        one @ 0..16 => FIRST_MADE_UP + u32::try_from(one).unwrap(),
        16..20 => choices.of(&crate::value::TYPES[..60]),
        _ => 0,
    };
    let mut types = Vec::new();
    for nth in 0..choices.below(16) {
        let kind = choices.of(&[
            TypeKind::Base,
            TypeKind::Composite,
            TypeKind::Domain,
            TypeKind::Enumeration,
            TypeKind::Multirange,
            TypeKind::Range,
        ]);
        let attribute = |type_oid| Attribute {
            name: "a".to_owned(),
            type_oid,
            typmod: -1,
        };
        types.push(TypeFacts {
            oid: FIRST_MADE_UP + u32::try_from(nth).unwrap(),
            namespace: "public".to_owned(),
            name: choices
                .of(&["t", "hstore", "vector", "sparsevec", "ltree", "cube"])
                .to_owned(),
            kind,
            element: some_type(choices),
            delimiter: choices.of(&[',', ';', 'é']),
            base: some_type(choices),
            base_typmod: choices.of(&[-1, 0, 6, 0x0004_0002, i32::MAX]),
            subtype: some_type(choices),
            labels: vec!["l".to_owned()],
            attributes: (0..choices.below(4))
                .map(|_| attribute(some_type(choices)))
                .collect(),
        });
    }
    Facts {
        types,
        relations: Vec::new(),
    }
}

/// Of the types of `value.rs`, too.
const FIRST_MADE_UP: u32 = 20_001;
