//! `PostgreSQL`'s logical replication stream decoded into Debezium change events, by the
//! WebAssembly component of pgoutput-decoder in wasmtime. Read [`Decoder`] first: that is all a
//! host must do. The rest reads what it returns, and replays recordings.
//!
//! ```no_run
//! use pgoutput_decoder_example::{Program, Replay};
//!
//! let program = Program::load("target/wasm/decoder.wasm".as_ref())?;
//! let recording = std::io::BufReader::new(std::fs::File::open("shop.pgrec")?);
//! let mut replay = Replay::new(&program, recording, Vec::new())?;
//! while replay.advance()? {
//!     for event in replay.events() {
//!         let event = event?;
//!         println!("{} {:?} {:?}", event.topic.name, event.key, event.value);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decoder;
mod error;
mod event;
mod facts;
mod fields;
mod json_lines;
mod recording;
mod records;
mod replay;
mod stash;
mod stream;

pub use self::decoder::{Decoder, Program, catalog, decoding};
pub use self::error::{Error, RecordError, RecordingError, Result};
pub use self::event::{Event, Lsn, Position, Record, Topic, Transaction};
pub use self::json_lines::JsonLines;
pub use self::recording::{Block, Blocks, Content, Head};
pub use self::records::{Records, Topics};
pub use self::replay::{Events, Replay};
pub use self::stash::{Runs, Stash};
pub use self::stream::{Step, Stream};
