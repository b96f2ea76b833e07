//! Random histories of a server.

use pgoutput_decoder_fuzz::{
    Choices, FRAME_HEAD_BYTES, History, Protocol, frames, random_bytes, target,
};

const SEEDS: u64 = 200;

fn decisions(seed: u64) -> Vec<u8> {
    random_bytes(
        seed,
        200 + usize::try_from(seed).unwrap_or_default() % 8 * 400,
    )
}

#[test]
fn every_protocol_gives_the_events_of_protocol_1() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        target::histories(&decisions(seed));
    }
}

#[test]
fn histories_hold_what_they_are_to_try() {
    let mut kinds = std::collections::BTreeMap::new();
    for seed in 0..SEEDS {
        let bytes = decisions(seed);
        let history = History::generate(&mut Choices::new(&bytes[3..]));
        for frame in frames(&history, Protocol::Four) {
            *kinds
                .entry(char::from(frame[FRAME_HEAD_BYTES]))
                .or_insert(0) += 1;
        }
    }
    println!("{kinds:?}");
    for kind in "BCIUDTMRYOSEcAbPKrp".chars() {
        assert!(
            kinds.get(&kind).is_some_and(|count| *count > 20),
            "{kind}: {kinds:?}"
        );
    }
}
