//! Writes what fuzzing `frames` and `cells` begins with: the messages, and the values in them, of
//! every recorded stream. Takes the folder to make.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use pgoutput_decoder_fuzz::{Recording, program};

/// Of one file.
const BYTES_MAX: usize = 4000;

fn main() -> io::Result<()> {
    let folder: PathBuf = std::env::args_os().nth(1).unwrap_or_default().into();
    let (frames, cells) = (folder.join("frames"), folder.join("cells"));
    fs::create_dir_all(&frames)?;
    fs::create_dir_all(&cells)?;
    let mut values = BTreeSet::new();
    for (number, recording) in Recording::all(&[]).enumerate() {
        let mut bytes = 0;
        let messages: Vec<&[u8]> = recording
            .messages()
            .take_while(|message| {
                bytes += message.len();
                bytes < BYTES_MAX
            })
            .collect();
        let options = u8::try_from(number % 8).unwrap_or_default();
        write(&frames, number, &program(options, messages.iter().copied()))?;
        values.extend(messages.iter().flat_map(|message| inserted(message)));
    }
    for (number, value) in values.iter().enumerate() {
        // Options, type, whether it is one of those that can be made, typmod, form.
        let options = u8::try_from(number % 8).unwrap_or_default();
        let of_type = u8::try_from(number % 107).unwrap_or_default();
        write(
            &cells,
            number,
            &[&[options, of_type, 0, 1, 0, 0], value.as_slice()].concat(),
        )?;
    }
    Ok(())
}

fn write(folder: &Path, number: usize, bytes: &[u8]) -> io::Result<()> {
    fs::write(folder.join(number.to_string()), bytes)
}

/// The values of an Insert of protocol 1.
fn inserted(message: &[u8]) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    let [b'I', _, _, _, _, b'N', _, _, rest @ ..] = message else {
        return values;
    };
    let mut rest = rest;
    while let Some((kind, behind)) = rest.split_first() {
        rest = behind;
        if let (b't' | b'b', Some((length, behind))) = (kind, rest.split_first_chunk()) {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let Some((value, behind)) = behind.split_at_checked(length) else {
                break;
            };
            rest = behind;
            if length < 200 {
                values.push(value.to_vec());
            }
        }
    }
    values
}
