//! Recorded streams that were damaged: every prefix and every flipped byte of a message ends in
//! records that keep the contract, or in an error that stays, and what comes next is still decoded.
#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may fail by panicking, and says where"
)]

use pgoutput_decoder::{Facts, Options, Question};
use pgoutput_decoder_fuzz::{Caller, FRAME_HEAD_BYTES, Recording, frame};

/// Tries damaged messages in each place of a stream; every so many bytes of it one.
fn damage(recording: &Recording, options: &[(&str, &str)], step: usize) -> [u64; 2] {
    let answer = |question: &Question| Facts {
        types: recording.facts.types.clone(),
        relations: recording
            .facts
            .relations
            .iter()
            .filter(|relation| relation.oid == question.relation)
            .cloned()
            .collect(),
    };
    let mut whole = Caller::new(Options::parse(options.iter().copied()).unwrap(), &answer);
    let mut tried = [0; 2];
    let mut next = 0;
    for bytes in &recording.frames {
        let (_, message) = bytes.split_at(FRAME_HEAD_BYTES);
        let lsn = u64::from_be_bytes(bytes[6..14].try_into().unwrap());
        while next < message.len() {
            let mask = [0x01, 0x80, 0xFF, 1 << (next % 8)][next % 4];
            let mut flipped = message.to_vec();
            flipped[next] ^= mask;
            for damaged in [&message[..next], &flipped] {
                let mut caller = whole.clone();
                caller.pass(&frame(lsn, damaged));
                tried[usize::from(caller.errors.is_empty())] += 1;
            }
            next += step;
        }
        next -= message.len();
        whole.pass(bytes);
        whole.lines.clear();
    }
    assert_eq!(whole.errors, [], "{}", recording.name);
    tried
}

fn damage_all(step: usize) -> [u64; 2] {
    let mut sum = [0, 0];
    for recording in Recording::all(&[]) {
        for options in [
            &[("format", "native")],
            &[("schemas.enable", "true")],
            &[("include.unknown.datatypes", "true")],
        ] {
            println!("{} {options:?}", recording.name);
            let tried = damage(&recording, options, step);
            sum = [sum[0] + tried[0], sum[1] + tried[1]];
        }
    }
    println!("{} damaged messages were refused, {} not", sum[0], sum[1]);
    sum
}

#[test]
fn damaged_messages_end_in_events_or_in_an_error() {
    let [refused, accepted] = damage_all(211);
    assert!(
        refused > 10_000 && accepted > 10_000,
        "{refused}, {accepted}"
    );
}

#[test]
#[ignore = "takes minutes: `make test-full`"]
fn every_prefix_and_every_byte() {
    damage_all(1);
}
