//! Where a stream starts, and how long it tries to go on.

use std::time::Duration;

use clap::Args;
use pgoutput_decoder_host::{Config, Lsn, Position};

/// Settings of starting and starting again.
#[derive(Args)]
#[command(next_help_heading = "Resuming")]
pub(crate) struct Resume {
    /// Passes over what was committed before [default: starts where the slot stands]
    #[arg(
        long,
        env = "PGOUTPUT_START_LSN",
        value_name = "X/X",
        hide_env_values = true
    )]
    start_lsn: Option<Lsn>,
    /// Passes over everything up to this event, as its position was written down before
    #[arg(
        long,
        env = "PGOUTPUT_START_POSITION",
        value_name = "X/X:N",
        conflicts_with = "start_lsn",
        hide_env_values = true
    )]
    start_position: Option<Position>,
    /// Longest wait between attempts to make a lost connection again [default: 10]
    #[arg(
        long,
        env = "PGOUTPUT_RECONNECT_DELAY_MAX",
        value_name = "SECONDS",
        value_parser = seconds,
        hide_env_values = true
    )]
    reconnect_delay_max: Option<Duration>,
    /// Attempts in a row that may fail [default: any number]
    #[arg(
        long,
        env = "PGOUTPUT_RECONNECT_ATTEMPTS_MAX",
        value_name = "COUNT",
        hide_env_values = true
    )]
    reconnect_attempts_max: Option<u32>,
    /// How long they may fail [default: for ever]
    #[arg(
        long,
        env = "PGOUTPUT_RECONNECT_TIME_MAX",
        value_name = "SECONDS",
        value_parser = seconds,
        hide_env_values = true
    )]
    reconnect_time_max: Option<Duration>,
}

impl Resume {
    /// `config` with these settings.
    pub(crate) fn apply(&self, mut config: Config) -> Config {
        if let Some(lsn) = self.start_lsn {
            config = config.start_lsn(lsn);
        }
        if let Some(position) = self.start_position {
            config = config.start_position(position);
        }
        if let Some(delay) = self.reconnect_delay_max {
            config = config.reconnect_delay_max(delay);
        }
        if let Some(attempts) = self.reconnect_attempts_max {
            config = config.reconnect_attempts_max(attempts);
        }
        if let Some(time) = self.reconnect_time_max {
            config = config.reconnect_time_max(time);
        }
        config
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().map(Duration::try_from_secs_f64);
    match number {
        Ok(Ok(duration)) => Ok(duration),
        _ => Err("a number of seconds is expected".to_owned()),
    }
}
