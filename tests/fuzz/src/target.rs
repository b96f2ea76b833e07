//! What must hold, a function of bytes each: fuzz targets, and what property tests call.

use pgoutput_decoder::inspection::Inspector;
use pgoutput_decoder::{DecodeErrorKind, Decoder, Options, Question};

use crate::caller::{Caller, Line};
use crate::choices::{Choices, random_bytes};
use crate::history::{self, History};
use crate::inspection::inspect;
use crate::program::{self, FRAMED, options};
use crate::server::{Protocol, frames as frames_of};
use crate::value::{self, TYPES, value};
use crate::wire::{Cell, Column, Message};

/// A target.
pub type Target = fn(&[u8]);

/// All targets by name, which is the name of their programs and of their corpora.
pub const TARGETS: [(&str, Target); 5] = [
    ("cells", cells),
    ("forms", forms),
    ("frames", frames),
    ("histories", histories),
    ("restore", restore),
];

/// Any frames end in records that keep the contract, or in an error that stays; and it does not
/// matter in how many calls they come. An inspector finds all of their bytes.
pub fn frames(bytes: &[u8]) {
    let choices = &mut Choices::new(bytes);
    let options = options(choices);
    let framed = choices.byte() == FRAMED;
    let facts = program::facts(choices);
    let answer = |question: &Question| program::with_relation(&facts, question);
    let mut whole = Caller::new(options.clone(), &answer);
    if !framed {
        let bytes = choices.rest();
        whole.pass(bytes);
        let found = Inspector::new().messages(bytes);
        assert_eq!(
            found.iter().map(|message| message.bytes).sum::<usize>(),
            bytes.len()
        );
        Inspector::new().redact(&mut bytes.to_vec());
        return;
    }
    let frames = program::frames_of(choices);
    whole.pass(&frames.concat());
    let mut one_by_one = Caller::new(options, &answer);
    let mut inspector = Inspector::new();
    for frame in &frames {
        one_by_one.pass(frame);
        inspect(&mut inspector, frame);
    }
    assert_eq!(whole.lines, one_by_one.lines);
    assert_eq!(whole.errors, one_by_one.errors);
}

/// Any bytes as a value of any type, in either form, become JSON or an error about the value.
pub fn cells(bytes: &[u8]) {
    let choices = &mut Choices::new(bytes);
    let options = options(choices);
    let type_oid = match choices.u16() {
        oid if choices.below(4) == 0 => u32::from(oid),
        number => TYPES[usize::from(number) % TYPES.len()],
    };
    let typmod = choices.of(&[-1, 0, 1, 5, 0x000A_0006, 0x000A_07FF, i32::MAX, i32::MIN]);
    let binary = choices.below(2) == 1;
    let value = choices.rest().to_vec();
    let cell = if binary {
        Cell::Binary(value)
    } else {
        Cell::Text(value)
    };
    decoded_cell(options, type_oid, typmod, cell);
}

/// A value's text and its binary form become the same.
pub fn forms(bytes: &[u8]) {
    let choices = &mut Choices::new(bytes);
    let options = options(choices);
    let type_oid = choices.of(TYPES);
    let typmod = choices.of(&[-1, -1, 3]);
    let (text, binary) = value(type_oid, choices);
    let shown = String::from_utf8_lossy(&text).into_owned();
    let of_text = decoded_cell(options.clone(), type_oid, typmod, Cell::Text(text));
    let of_binary = decoded_cell(options, type_oid, typmod, Cell::Binary(binary));
    if of_text != of_binary {
        let event = |lines: Option<Vec<Line>>| {
            lines.map(|lines| match lines.last() {
                Some(Line::Event { record, .. }) => String::from_utf8_lossy(record).into_owned(),
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(
            event(of_text),
            event(of_binary),
            "{shown} of type {type_oid}"
        );
    }
}

/// What comes of a row of one column, none if its value is refused.
fn decoded_cell(options: Options, type_oid: u32, typmod: i32, cell: Cell) -> Option<Vec<Line>> {
    const RELATION: u32 = 16_400;
    let columns = [Column {
        in_identity: true,
        name: "c".to_owned(),
        type_oid,
        typmod,
    }];
    let relation = Message::new(b'R').u32(RELATION).columns("t", &columns);
    let insert = Message::new(b'I').u32(RELATION).tuple(b'N', &[cell]);
    let mut caller = Caller::new(options, &value::catalog);
    caller.pass(&Message::new(b'B').u64(0x200).i64(0).u32(7).frame(0x100));
    caller.pass(&relation.frame(0));
    assert_eq!(caller.errors, []);
    caller.pass(&insert.frame(0x101));
    match caller.errors.as_slice() {
        [] => Some(caller.lines),
        [error] => {
            assert_eq!(error.kind, DecodeErrorKind::Value, "{error}");
            assert_eq!(error.message_type, Some(b'I'));
            assert_eq!(error.offset, 13, "where the value begins");
            None
        }
        errors => panic!("{errors:?}"),
    }
}

/// A history gives the same events however it is sent, however that is cut into calls, and if it is
/// cut off and resumed behind any commit.
pub fn histories(bytes: &[u8]) {
    let choices = &mut Choices::new(bytes);
    let options = options(choices);
    let (cuts, restart) = (choices.byte(), choices.byte());
    let history = History::generate(choices);
    let decode = |frames: &[Vec<u8>], caller: &mut Caller<'_>| {
        for call in split(frames, cuts) {
            // What is known ahead is not asked for.
            if cuts % 2 == 1 {
                caller.learn(history::all_facts());
            }
            caller.pass(&call.concat());
        }
        assert_eq!(caller.errors, []);
    };
    let new = || Caller::new(options.clone(), &history::facts);
    let mut plain = new();
    plain.pass(&frames_of(&history, Protocol::One).concat());
    assert_eq!(plain.errors, []);
    assert!(plain.undecided().is_empty(), "protocol 1 stashes nothing");

    let commits = history.commits();
    let restart = commits
        .get(usize::from(restart) % commits.len().max(1))
        .map(|at| at + 1);
    for protocol in [
        Protocol::One,
        Protocol::Two,
        Protocol::Three,
        Protocol::Four,
    ] {
        let mut whole = new();
        let frames = frames_of(&history, protocol);
        decode(&frames, &mut whole);
        let mut inspector = Inspector::new();
        for frame in &frames {
            let message = inspect(&mut inspector, frame).message;
            assert_eq!(message.problem, None);
        }
        assert_eq!(plain.lines, whole.lines, "{protocol:?}");
        let undecided = whole.undecided();
        assert!(
            undecided.iter().all(|xid| history.undecided.contains(xid)),
            "{protocol:?}: of what is decided nothing is kept: {undecided:?}"
        );
        let Some(at) = restart else { continue };
        let mut first = new();
        decode(&frames_of(&history.until(at), protocol), &mut first);
        let mut second = new().restored(&first.save());
        decode(&frames_of(&history.resumed_at(at), protocol), &mut second);
        let lines = [first.lines, second.lines].concat();
        assert_eq!(plain.lines, lines, "{protocol:?}, resumed at {at}");
    }
}

/// Frames in calls of a few each; which, the seed decides.
fn split(frames: &[Vec<u8>], seed: u8) -> Vec<&[Vec<u8>]> {
    let mut calls = Vec::new();
    let mut rest = frames;
    for length in random_bytes(u64::from(seed), frames.len()) {
        let length = 1 + usize::from(length) % (1 + usize::from(seed % 8));
        let (call, behind) = rest.split_at(length.min(rest.len()));
        calls.push(call);
        rest = behind;
    }
    calls
}

/// Any bytes are refused, or restore a decoder that saves the same.
pub fn restore(bytes: &[u8]) {
    let new = || Decoder::new(Options::parse([("format", "debezium")]).unwrap());
    let mut decoder = new();
    let fresh = decoder.save();
    if decoder.restore(bytes).is_err() {
        assert_eq!(decoder.save(), fresh, "what is refused changes nothing");
        return;
    }
    assert_eq!(decoder.save(), bytes);
    let mut caller = Caller::new(Options::parse([]).unwrap(), &value::catalog).restored(bytes);
    let logical = Message::new(b'M').u8(0).u64(1).cstr("p").sized(b"c");
    caller.pass(&logical.frame(1));
    assert_eq!(caller.errors, []);
    assert_eq!(caller.lines.len(), 1);
}
