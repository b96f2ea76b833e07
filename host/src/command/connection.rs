//! Which server: flags before the URL before the environment before libpq's defaults.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use pgoutput_decoder_host::{Config, Error};

use super::failure::Failure;

/// How to reach the server.
#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The same as --url
    #[arg(value_name = "URL")]
    positional: Option<String>,
    /// postgresql://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, value_name = "URL", env = "PGOUTPUT_URL", hide_env_values = true)]
    url: Option<String>,
    /// Host name, address or socket directory
    #[arg(
        long,
        env = "PGHOST",
        default_value = "localhost",
        hide_env_values = true
    )]
    host: String,
    /// TCP port
    #[arg(long, env = "PGPORT", default_value_t = 5432, hide_env_values = true)]
    port: u16,
    /// Role; needs the REPLICATION attribute
    #[arg(
        long,
        env = "PGUSER",
        default_value = "postgres",
        hide_env_values = true
    )]
    user: String,
    /// Password; others on this machine can see a flag
    #[arg(long, env = "PGPASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Database [default: the role's name]
    #[arg(long, env = "PGDATABASE", hide_env_values = true)]
    database: Option<String>,
}

impl Connection {
    /// For the replication stream. `given` tells what of it stood on the command line.
    pub(crate) fn stream_config(&self, given: &ArgMatches) -> Result<Config, Error> {
        let Some(url) = self.url(given)? else {
            let database = self.database.as_deref().unwrap_or(&self.user);
            let config = Config::new(database)
                .host(&self.host)
                .port(self.port)
                .user(&self.user);
            return Ok(match &self.password {
                Some(password) => config.password(password),
                None => config,
            });
        };
        let mut config = Config::parse(url)?;
        if flag(given, "host") {
            config = config.host(&self.host);
        }
        if flag(given, "port") {
            config = config.port(self.port);
        }
        if flag(given, "user") {
            config = config.user(&self.user);
        }
        if let Some(database) = self.database.as_ref().filter(|_| flag(given, "database")) {
            config = config.database(database);
        }
        if let Some(password) = self.password_beside(url, given) {
            config = config.password(password);
        }
        Ok(config)
    }

    /// For ordinary SQL on the same server.
    pub(crate) fn sql_config(&self, given: &ArgMatches) -> Result<tokio_postgres::Config, Failure> {
        let mut config = tokio_postgres::Config::new();
        let url = self.url(given)?;
        if let Some(url) = url {
            // tokio-postgres quotes what it does not understand, which may be the password:
            // the stream's own parser is asked first, and its errors are the ones shown.
            let _ = Config::parse(url)?;
            config = url.parse().map_err(|source| Failure::Database {
                doing: "url",
                source,
            })?;
        }
        if url.is_none() || flag(given, "host") {
            config.host(&self.host);
        }
        if url.is_none() || flag(given, "port") {
            config.port(self.port);
        }
        if url.is_none() || flag(given, "user") {
            config.user(&self.user);
        }
        if let Some(database) = self
            .database
            .as_ref()
            .filter(|_| url.is_none() || flag(given, "database"))
        {
            config.dbname(database);
        }
        let password = match url {
            Some(url) => self.password_beside(url, given),
            None => self.password.as_deref(),
        };
        if let Some(password) = password {
            config.password(password);
        }
        config.application_name("pgoutput-decoder demo");
        Ok(config)
    }

    fn url(&self, given: &ArgMatches) -> Result<Option<&str>, Error> {
        if self.positional.is_some() && flag(given, "url") {
            return Err(Error::Configuration {
                setting: "url".to_owned(),
                reason: "given twice, with --url and without".to_owned(),
            });
        }
        Ok(self.positional.as_deref().or(self.url.as_deref()))
    }

    /// The password to use with `url`: the flag's, or the environment's where the URL has none.
    fn password_beside(&self, url: &str, given: &ArgMatches) -> Option<&str> {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let login = authority.rsplit_once('@');
        let has_one = login.is_some_and(|(login, _)| login.contains(':'))
            || url
                .split(['?', '&'])
                .skip(1)
                .any(|pair| pair.starts_with("password="));
        self.password
            .as_deref()
            .filter(|_| flag(given, "password") || !has_one)
    }
}

/// `host:port` of `config`, for messages.
pub(crate) fn address(config: &tokio_postgres::Config) -> String {
    use tokio_postgres::config::Host;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    format!("{host}:{}", config.get_ports().first().unwrap_or(&5432))
}

fn flag(given: &ArgMatches, name: &str) -> bool {
    given.value_source(name) == Some(ValueSource::CommandLine)
}
