//! Every stream of `tests/vectors` that was recorded as text and with `binary 'true'`: both forms
//! give the same records.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

use pgoutput_decoder::{DecodeErrorKind, Decoder, Facts, Stop};
use pgoutput_decoder_fuzz::Recording;

/// Streams recorded in both forms.
fn pairs() -> impl Iterator<Item = (Recording, Recording)> {
    let binary = Recording::all(&["pgoutput.binary.jsonl"]);
    binary.map(|binary| (binary.other("pgoutput.jsonl").unwrap(), binary))
}

/// Records of one frame.
fn decoded(decoder: &mut Decoder, frame: &[u8]) -> Result<Vec<u8>, DecodeErrorKind> {
    let mut records = Vec::new();
    loop {
        match decoder.decode(frame, 0, &mut records).stop {
            None => return Ok(records),
            Some(Stop::Unknown(_)) => decoder.learn(Facts::default()),
            Some(Stop::Replay(_)) => return Err(DecodeErrorKind::Sequence),
            Some(Stop::Failed(error)) => {
                decoder.skip();
                return Err(error.kind);
            }
        }
    }
}

/// Types whose send format is an OID, and whose text is a name.
fn is_registered(type_oid: u32) -> bool {
    matches!(
        type_oid,
        24 | 2202..=2206 | 3734 | 3769 | 4089 | 4096 | 4191
    )
}

/// The relation a Relation or a change is of, and whether it has a column whose text is a name.
fn registered(frame: &[u8], known: &mut Vec<u32>) -> bool {
    let message = &frame[30..];
    let relation = || u32::from_be_bytes(message[1..5].try_into().unwrap());
    match message[0] {
        b'R' => {
            let names: Vec<usize> = (5..message.len()).filter(|at| message[*at] == 0).collect();
            let mut at = names[1] + 4;
            while at < message.len() {
                at += 1;
                at += message[at..].iter().position(|byte| *byte == 0).unwrap() + 1;
                let type_oid = u32::from_be_bytes(message[at..at + 4].try_into().unwrap());
                if is_registered(type_oid) {
                    known.push(relation());
                }
                at += 8;
            }
            false
        }
        b'I' | b'U' | b'D' => known.contains(&relation()),
        _ => false,
    }
}

const OPTIONS: [&[(&str, &str)]; 3] = [
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
    ],
];

#[test]
fn both_forms_give_the_same_records() {
    let mut count = 0;
    for (of_text, of_binary) in pairs() {
        count += 1;
        for options in OPTIONS {
            let mut decoders = [of_text.decoder(options), of_binary.decoder(options)];
            let mut known = Vec::new();
            let name = &of_text.name;
            assert_eq!(of_text.frames.len(), of_binary.frames.len(), "{name}");
            for (text, binary) in of_text.frames.iter().zip(&of_binary.frames) {
                let registered = registered(binary, &mut known);
                let [of_text, of_binary] = &mut decoders;
                let of_text = decoded(of_text, text);
                let of_binary = decoded(of_binary, binary);
                assert!(of_text.is_ok() || of_binary.is_ok(), "{name}");
                if !registered && of_text != of_binary {
                    let shown = |records: Result<Vec<u8>, _>| {
                        records.map(|records| String::from_utf8_lossy(&records).into_owned())
                    };
                    assert_eq!(shown(of_text), shown(of_binary), "{name}");
                }
            }
        }
    }
    assert!(count > 60, "{count} pairs");
}
