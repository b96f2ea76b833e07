//! Random values of every type.

use pgoutput_decoder_fuzz::{random_bytes, target};

#[test]
fn text_and_binary_form_give_the_same() {
    for seed in 0..20_000 {
        let bytes = random_bytes(seed, 96);
        println!("seed {seed}");
        target::forms(&bytes);
    }
}

#[test]
fn any_bytes_are_a_value_or_none() {
    for seed in 0..20_000 {
        let length = usize::try_from(seed % 64).unwrap_or_default();
        target::cells(&random_bytes(seed, 6 + length));
    }
}
