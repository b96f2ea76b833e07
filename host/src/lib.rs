//! Streams PostgreSQL's WAL into the sandboxed decoder and hands out change events.
//!
//! [`Config`] says what to stream, [`Config::connect`] starts, [`Stream::next_batch`] returns
//! events, and [`Acknowledger::acknowledge`] lets the server forget them:
//!
//! ```no_run
//! # async fn tail() -> Result<(), pgoutput_decoder_host::Error> {
//! use pgoutput_decoder_host::Config;
//!
//! let config = Config::parse("postgresql://postgres:secret@localhost/shop")?;
//! let mut stream = config.slot("shop").publication("shop").connect().await?;
//! let acknowledger = stream.acknowledger();
//! while let Some(batch) = stream.next_batch().await? {
//!     for event in batch.events() {
//!         println!("{} {}", event.topic().name, event.value().unwrap_or("null"));
//!         acknowledger.acknowledge(event.position())?;
//!     }
//! }
//! stream.stop().await
//! # }
//! ```

mod backoff;
mod catalog;
mod config;
mod connection;
mod driver;
mod error;
mod feedback;
mod identity;
#[cfg(unix)]
mod image;
mod lsn;
mod pace;
mod plugin;
mod protocol;
mod queue;
mod replication;
mod sandbox;
mod shadow;
mod slot;
mod start;
mod stash;
mod status;
mod stream;
mod undecodable;

pub mod capture;
pub mod doctor;
pub mod engine;
pub mod facts;
pub mod frames;
pub mod inspection;
pub mod recording;
pub mod records;
pub mod slots;

pub use config::{Config, CreateSlot, Password};
pub use connection::{AuthenticationProblem, TlsProblem};
pub use engine::{DecodeError, EngineError, EngineKind};
pub use error::{Error, ErrorClass, SlotProblem};
pub use lsn::{Lsn, LsnParseError};
pub use plugin::{
    Plugin, PluginError, PluginFile, PluginLevel, PluginLimits, PluginLine, PluginStatus, Plugins,
};
pub use protocol::{Origin, Streaming};
pub use records::{Attribute, Batch, Column, Event, Position, Shape, Topic};
pub use sandbox::COMPONENT;
pub use shadow::{Shadow, ShadowStatus};
pub use slots::Slots;
pub use stash::StashError;
pub use status::{State, Status};
pub use stream::{Acknowledger, Monitor, Stopper, Stream};
pub use undecodable::OnUndecodable;
