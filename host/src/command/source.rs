//! What is streamed: from which slot, with which options, how.

use std::path::PathBuf;

use clap::{ArgMatches, Args};
use pgoutput_decoder_host::{Config, CreateSlot, OnUndecodable};

use super::connection::Connection;
use super::failure::Failure;
use super::protocol::Protocol;
use super::resume::Resume;
use super::{Format, options, slot};

/// A stream, and its connection.
#[derive(Args)]
pub(crate) struct Source {
    /// Replication slot with plugin pgoutput
    #[arg(
        long,
        env = "PGOUTPUT_SLOT",
        value_name = "NAME",
        hide_env_values = true
    )]
    slot: String,
    /// Makes the slot if it is missing: yes; or temporary: a new one that is gone afterwards
    #[arg(
        long,
        env = "PGOUTPUT_CREATE_SLOT",
        value_name = "WHICH",
        hide_env_values = true
    )]
    #[arg(num_args = 0..=1, require_equals = true)]
    #[arg(
        default_value = "no",
        default_missing_value = "yes",
        hide_default_value = true
    )]
    create_slot: CreateSlot,
    /// Publication; may be repeated, or separated by commas in the environment
    #[arg(
        long,
        env = "PGOUTPUT_PUBLICATION",
        value_name = "NAME",
        hide_env_values = true
    )]
    #[arg(required = true)]
    publication: Vec<String>,
    /// Events as Debezium's, or plain ones
    #[arg(long, value_enum, env = "PGOUTPUT_FORMAT", hide_env_values = true)]
    #[arg(value_name = "FORMAT", default_value_t = Format::Native)]
    format: Format,
    /// An option of Debezium's; may be repeated
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = options::pair)]
    option: Vec<(String, String)>,
    /// JSON object of such options; --option wins over it
    #[arg(
        long,
        env = "PGOUTPUT_OPTIONS",
        value_name = "FILE",
        hide_env_values = true
    )]
    options: Option<PathBuf>,
    #[command(flatten)]
    resume: Resume,
    /// Changes that cannot be decoded: stop, skip or park:FILE, which decode reads [default: stop]
    #[arg(
        long,
        env = "PGOUTPUT_ON_UNDECODABLE",
        value_name = "WHAT",
        hide_env_values = true
    )]
    on_undecodable: Option<OnUndecodable>,
    /// Memory the decoder may have [default: 2 GiB]
    #[arg(
        long,
        env = "PGOUTPUT_MEMORY_MAX_BYTES",
        value_name = "BYTES",
        hide_env_values = true
    )]
    memory_max_bytes: Option<usize>,
    #[command(flatten)]
    protocol: Protocol,
    #[command(flatten)]
    connection: Connection,
}

impl Source {
    /// What the flags, the files and the environment say. `given` tells what of it stood on the
    /// command line.
    pub(crate) fn config(&self, given: &ArgMatches) -> Result<Config, Failure> {
        let mut config = self
            .connection
            .config(given)?
            .slot(&self.slot)
            .create_slot(self.create_slot)
            .on_slot_wait(slot::notice_wait);
        for publication in publications(&self.publication, given) {
            config = config.publication(publication);
        }
        if let Some(policy) = &self.on_undecodable {
            config = config.on_undecodable(policy.clone());
        }
        if let Some(bytes) = self.memory_max_bytes {
            config = config.memory_max_bytes(bytes);
        }
        config = self.protocol.apply(self.resume.apply(config));
        config = config.option("format", self.format.option());
        let from_file = match &self.options {
            Some(path) => options::read(path)?,
            None => Vec::new(),
        };
        for (name, value) in from_file.iter().chain(&self.option) {
            config = config.option(name, value);
        }
        Ok(config)
    }
}

/// Those of the flags, each as it is; or those of the environment, between commas.
pub(crate) fn publications<'a>(
    names: &'a [String],
    given: &ArgMatches,
) -> Box<dyn Iterator<Item = &'a str> + 'a> {
    use clap::parser::ValueSource;
    let names = names.iter().map(String::as_str);
    if given.value_source("publication") == Some(ValueSource::EnvVariable) {
        return Box::new(names.flat_map(|list| list.split(',')));
    }
    Box::new(names)
}
