//! `target::restore`, to be fuzzed; built otherwise, it runs the files it is given.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pgoutput_decoder_fuzz::target::restore(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    pgoutput_decoder_fuzz::run_files(pgoutput_decoder_fuzz::target::restore)
}
