//! What must hold of the decoder whatever it is given.
//!
//! Everything here is made of bytes taken as decisions ([`Choices`]), so one generator serves the
//! property tests, which give it random bytes by seed, and the fuzz targets in `src/bin`, which
//! give it what a fuzzer finds. The functions of [`target`] panic where something does not hold.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a check fails by panicking"
)]
#![expect(
    clippy::return_self_not_must_use,
    reason = "messages are put together in one expression"
)]

mod caller;
mod choices;
mod history;
mod inspection;
mod program;
mod recorded;
mod server;
pub mod target;
mod value;
mod wire;

pub use caller::{Call, Caller, Line};
pub use choices::{Choices, random_bytes};
pub use history::{History, facts};
pub use inspection::{Inspected, inspect};
pub use program::program;
pub use recorded::Recording;
pub use server::{Protocol, frames};
pub use wire::{Cell, Column, FRAME_HEAD_BYTES, Message, frame};

/// Runs a target on the files named on the command line.
pub fn run_files(target: target::Target) -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        target(&std::fs::read(path)?);
    }
    Ok(())
}
