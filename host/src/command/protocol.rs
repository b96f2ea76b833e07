//! How the server is asked to send, and where what is not decided yet is kept.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use pgoutput_decoder_host::{Config, Origin, Streaming};

/// Settings that change how events come, and none of them.
#[derive(Args)]
#[command(next_help_heading = "Replication")]
pub(crate) struct Protocol {
    /// Large transactions while they are open: off, on or parallel [default: on, from 14 on]
    #[arg(
        long,
        env = "PGOUTPUT_STREAMING",
        value_name = "WHEN",
        hide_env_values = true
    )]
    streaming: Option<Streaming>,
    /// Values in binary, which is cheaper for the server; from 14 on
    #[arg(
        long,
        env = "PGOUTPUT_BINARY",
        value_parser = BoolishValueParser::new(),
        hide_env_values = true
    )]
    binary: bool,
    /// Prepared transactions when they are prepared: changes the slot for good; from 15 on
    #[arg(
        long,
        env = "PGOUTPUT_TWO_PHASE",
        value_parser = BoolishValueParser::new(),
        hide_env_values = true
    )]
    two_phase: bool,
    /// Changes from any origin, or none: only those made on the server itself; from 16 on
    #[arg(
        long,
        env = "PGOUTPUT_ORIGIN",
        value_name = "WHICH",
        default_value = "any",
        hide_env_values = true
    )]
    origin: Origin,
    /// Where open transactions go beyond 32 MiB [default: the system's temporary directory]
    #[arg(
        long,
        env = "PGOUTPUT_STASH_DIRECTORY",
        value_name = "DIR",
        hide_env_values = true
    )]
    stash_directory: Option<PathBuf>,
    /// Bytes they may take there [default: 16 GiB]
    #[arg(
        long,
        env = "PGOUTPUT_STASH_MAX_BYTES",
        value_name = "BYTES",
        hide_env_values = true
    )]
    stash_max_bytes: Option<u64>,
}

impl Protocol {
    /// `config` with these settings.
    pub(crate) fn apply(&self, config: Config) -> Config {
        let mut config = config
            .binary(self.binary)
            .two_phase(self.two_phase)
            .origin(self.origin);
        if let Some(streaming) = self.streaming {
            config = config.streaming(streaming);
        }
        if let Some(directory) = &self.stash_directory {
            config = config.stash_directory(directory);
        }
        if let Some(bytes) = self.stash_max_bytes {
            config = config.stash_max_bytes(bytes);
        }
        config
    }
}
