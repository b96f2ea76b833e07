//! Which server: flags before the connection string before the environment before libpq's defaults.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use pgoutput_decoder_host::{Config, Error};

/// How to reach the server. What is said nowhere comes from libpq's environment variables and
/// files, PGSSLMODE, PGSERVICE and ~/.pgpass among them.
#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The same as --url
    #[arg(value_name = "URL")]
    positional: Option<String>,
    /// postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full, with any of libpq's
    /// parameters, all optional and otherwise from its PG… variables; or 'host=… dbname=…'
    #[arg(long, value_name = "URL", env = "PGOUTPUT_URL", hide_env_values = true)]
    url: Option<String>,
    /// Host name, address or socket directory, or several between commas [env: PGHOST=] [default:
    /// localhost]
    #[arg(long)]
    host: Option<String>,
    /// TCP port [env: PGPORT=] [default: 5432]
    #[arg(long)]
    port: Option<u16>,
    /// Role; needs the REPLICATION attribute [env: PGUSER=] [default: who runs this]
    #[arg(long)]
    user: Option<String>,
    /// Password; others on this machine can see a flag [env: PGPASSWORD=] [default: in ~/.pgpass]
    #[arg(long)]
    password: Option<String>,
    /// Database [env: PGDATABASE=] [default: the role's name]
    #[arg(long)]
    database: Option<String>,
}

impl Connection {
    /// Where to connect. `given` tells what of it stood on the command line.
    pub(crate) fn config(&self, given: &ArgMatches) -> Result<Config, Error> {
        let url_is_flag = given.value_source("url") == Some(ValueSource::CommandLine);
        if self.positional.is_some() && url_is_flag {
            return Err(Error::Configuration {
                setting: "url".to_owned(),
                reason: "given twice, with --url and without".to_owned(),
            });
        }
        let url = self.positional.as_deref().or(self.url.as_deref());
        let mut config = Config::parse(url.unwrap_or_default())?.environment()?;
        if let Some(host) = &self.host {
            config = config.host(host);
        }
        if let Some(port) = self.port {
            config = config.port(port);
        }
        if let Some(user) = &self.user {
            config = config.user(user);
        }
        if let Some(password) = &self.password {
            config = config.password(password.as_str());
        }
        if let Some(database) = &self.database {
            config = config.database(database);
        }
        Ok(config)
    }
}
