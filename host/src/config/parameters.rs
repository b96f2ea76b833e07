//! libpq's connection parameters, by its names: which there are, what each may be, and which
//! environment variable stands for it. What cannot be served is refused by name; a value is never
//! quoted.

use std::collections::BTreeMap;
use std::fmt;

use super::Secret;
use crate::error::Error;

/// Parameters that were given, each checked by itself.
#[derive(Clone, Default)]
pub(crate) struct Parameters(BTreeMap<&'static str, Secret>);

impl Parameters {
    /// Gives a parameter; the last one counts.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a name that libpq does not know, one that is not served here,
    /// and a value it cannot have.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let keyword = keyword(name).ok_or_else(|| {
            Error::configuration(name, "not a connection parameter; they have libpq's names")
        })?;
        keyword.check(value)?;
        self.put(keyword.name, value);
        Ok(())
    }

    /// Gives a parameter that [`Self::check`] will look at.
    pub(super) fn put(&mut self, name: &'static str, value: &str) {
        self.0.insert(name, Secret(value.to_owned()));
    }

    /// Whether every parameter can be what it is.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut given = self.0.iter();
        given.try_for_each(|(name, value)| match keyword(name) {
            Some(keyword) => keyword.check(&value.0),
            None => Ok(()),
        })
    }

    /// What was given for `name`. As in libpq, what is empty counts as not given.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        Some(value.0.as_str()).filter(|value| !value.is_empty())
    }

    /// Takes what is not here from `others`; what is empty here stays so.
    pub(crate) fn complete(&mut self, others: &Self) {
        for (name, value) in &others.0 {
            self.0.entry(name).or_insert_with(|| value.clone());
        }
    }

    /// What `variable` says libpq's environment variables are.
    pub(crate) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let mut parameters = Self::default();
        for keyword in KEYWORDS {
            let Some(name) = keyword.variable else {
                continue;
            };
            if let Some(value) = variable(name) {
                let set = parameters.set(keyword.name, &value);
                set.map_err(|error| match error {
                    Error::Configuration { setting, reason } => {
                        Error::configuration(&format!("{setting}, from {name}"), reason)
                    }
                    error => error,
                })?;
            }
        }
        // The former name of sslmode=require, which libpq still knows.
        if parameters.get("sslmode").is_none()
            && variable("PGREQUIRESSL").is_some_and(|value| value.starts_with('1'))
        {
            parameters.set("sslmode", "require")?;
        }
        Ok(parameters)
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in &self.0 {
            if SHOWN.contains(name) {
                map.entry(name, &value.0);
            } else {
                map.entry(name, value);
            }
        }
        map.finish()
    }
}

/// Whether libpq has a parameter of this name.
pub(crate) fn is_known(name: &str) -> bool {
    keyword(name).is_some()
}

fn keyword(name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.name == name)
}

struct Keyword {
    name: &'static str,
    variable: Option<&'static str>,
    value: Value,
}

/// What a parameter may be.
enum Value {
    /// One of these.
    Choice(&'static [&'static str]),
    /// UTF-8, which is what the events are in.
    Encoding,
    /// libpq's list of login methods.
    Methods,
    /// A whole number.
    Number,
    /// Port numbers between commas.
    Ports,
    /// A number of seconds.
    Seconds,
    Text,
    /// Why there is no such thing here.
    Unserved(&'static str),
}

impl Keyword {
    fn check(&self, value: &str) -> Result<(), Error> {
        let name = self.name;
        let wrong = |reason: &str| Err(Error::configuration(name, reason));
        if value.contains('\0') {
            return wrong("must not hold a zero byte");
        }
        if value.is_empty() {
            return Ok(());
        }
        match &self.value {
            Value::Choice(choices) if choices.contains(&value) => Ok(()),
            Value::Choice([choices @ .., last]) => {
                let choices = choices.join(", ");
                let or = if choices.is_empty() { "" } else { " or " };
                wrong(&format!("{choices}{or}{last} is expected"))
            }
            Value::Choice([]) | Value::Text => Ok(()),
            Value::Encoding => {
                let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
                match plain.to_ascii_lowercase().as_str() {
                    "utf8" | "unicode" | "auto" => Ok(()),
                    _ => wrong("UTF8 is expected: events are Unicode"),
                }
            }
            Value::Methods => super::server::methods(value).map(drop),
            Value::Number => match value.parse::<i32>() {
                Ok(_) => Ok(()),
                Err(_) => wrong("a whole number is expected"),
            },
            Value::Ports => ports(value).map(drop),
            Value::Seconds => seconds(value).map(drop),
            Value::Unserved(why) => wrong(why),
        }
    }
}

/// Port numbers; what is empty between two commas is the default one.
pub(super) fn ports(list: &str) -> Result<Vec<u16>, Error> {
    let port = |text: &str| match text.trim().parse() {
        _ if text.trim().is_empty() => Ok(PORT),
        Ok(port) if port > 0 => Ok(port),
        _ => Err(Error::configuration(
            "port",
            "a number from 1 to 65535 is expected",
        )),
    };
    list.split(',').map(port).collect()
}

/// Seconds as libpq has them, and fractions besides.
pub(super) fn seconds(text: &str) -> Result<f64, Error> {
    match text.trim().parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Ok(seconds),
        _ => Err(Error::configuration(
            "connect_timeout",
            "a number of seconds is expected",
        )),
    }
}

/// `DEF_PGPORT`, `pg_config.h`.
pub(super) const PORT: u16 = 5432;

/// Whose values may be printed. Those of the others may hold secrets, or are nobody's business.
const SHOWN: [&str; 6] = ["dbname", "host", "hostaddr", "port", "sslmode", "user"];

const NO_GSSAPI: Value = Value::Unserved("GSSAPI is not supported: leave it out");
const NO_OAUTH: Value = Value::Unserved(
    "OAuth is not supported: leave it out, or give the token as a password the server accepts",
);
const SWITCH: Value = Value::Choice(&["0", "1"]);

/// In the order of libpq's `PQconninfoOptions`, `fe-connect.c`.
const KEYWORDS: &[Keyword] = &[
    at("service", "PGSERVICE", Value::Text),
    at("servicefile", "PGSERVICEFILE", Value::Text),
    at("user", "PGUSER", Value::Text),
    at("password", "PGPASSWORD", Value::Text),
    at("passfile", "PGPASSFILE", Value::Text),
    at(
        "channel_binding",
        "PGCHANNELBINDING",
        Value::Choice(&["disable", "prefer", "require"]),
    ),
    at("connect_timeout", "PGCONNECT_TIMEOUT", Value::Seconds),
    at("dbname", "PGDATABASE", Value::Text),
    at("host", "PGHOST", Value::Text),
    at("hostaddr", "PGHOSTADDR", Value::Text),
    at("port", "PGPORT", Value::Ports),
    at("client_encoding", "PGCLIENTENCODING", Value::Encoding),
    at("options", "PGOPTIONS", Value::Text),
    at("application_name", "PGAPPNAME", Value::Text),
    of("fallback_application_name", Value::Text),
    of("keepalives", Value::Number),
    of("keepalives_idle", Value::Number),
    of("keepalives_interval", Value::Number),
    of("keepalives_count", Value::Number),
    of("tcp_user_timeout", Value::Number),
    at(
        "sslmode",
        "PGSSLMODE",
        Value::Choice(&[
            "disable",
            "allow",
            "prefer",
            "require",
            "verify-ca",
            "verify-full",
        ]),
    ),
    at(
        "sslnegotiation",
        "PGSSLNEGOTIATION",
        Value::Choice(&["postgres", "direct"]),
    ),
    // libpq takes it and does nothing, too.
    at("sslcompression", "PGSSLCOMPRESSION", SWITCH),
    at("sslcert", "PGSSLCERT", Value::Text),
    at("sslkey", "PGSSLKEY", Value::Text),
    at(
        "sslcertmode",
        "PGSSLCERTMODE",
        Value::Choice(&["disable", "allow"]),
    ),
    of("sslpassword", Value::Text),
    at("sslrootcert", "PGSSLROOTCERT", Value::Text),
    at("sslcrl", "PGSSLCRL", Value::Text),
    at(
        "sslcrldir",
        "PGSSLCRLDIR",
        Value::Unserved("not supported: name one file of revocation lists with sslcrl"),
    ),
    at("sslsni", "PGSSLSNI", SWITCH),
    at(
        "requirepeer",
        "PGREQUIREPEER",
        Value::Unserved("not supported: the socket's directory must belong to whom you trust"),
    ),
    at("require_auth", "PGREQUIREAUTH", Value::Methods),
    at(
        "min_protocol_version",
        "PGMINPROTOCOLVERSION",
        Value::Choice(&["3.0"]),
    ),
    at(
        "max_protocol_version",
        "PGMAXPROTOCOLVERSION",
        Value::Choice(&["3.0", "3.2", "latest"]),
    ),
    at(
        "ssl_min_protocol_version",
        "PGSSLMINPROTOCOLVERSION",
        Value::Choice(&["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]),
    ),
    at(
        "ssl_max_protocol_version",
        "PGSSLMAXPROTOCOLVERSION",
        Value::Choice(&["TLSv1.2", "TLSv1.3"]),
    ),
    at(
        "gssencmode",
        "PGGSSENCMODE",
        Value::Choice(&["disable", "prefer"]),
    ),
    at("krbsrvname", "PGKRBSRVNAME", NO_GSSAPI),
    at("gsslib", "PGGSSLIB", NO_GSSAPI),
    at("gssdelegation", "PGGSSDELEGATION", NO_GSSAPI),
    of("replication", Value::Choice(&["database"])),
    at(
        "target_session_attrs",
        "PGTARGETSESSIONATTRS",
        Value::Choice(&[
            "any",
            "read-write",
            "read-only",
            "primary",
            "standby",
            "prefer-standby",
        ]),
    ),
    at(
        "load_balance_hosts",
        "PGLOADBALANCEHOSTS",
        Value::Choice(&["disable", "random"]),
    ),
    of(
        "scram_client_key",
        Value::Unserved("not supported: give the password"),
    ),
    of(
        "scram_server_key",
        Value::Unserved("not supported: give the password"),
    ),
    of("oauth_issuer", NO_OAUTH),
    of("oauth_client_id", NO_OAUTH),
    of("oauth_client_secret", NO_OAUTH),
    of("oauth_scope", NO_OAUTH),
    of(
        "sslkeylogfile",
        Value::Unserved("not supported: it would write the session's keys to a file"),
    ),
];

const fn at(name: &'static str, variable: &'static str, value: Value) -> Keyword {
    Keyword {
        name,
        variable: Some(variable),
        value,
    }
}

const fn of(name: &'static str, value: Value) -> Keyword {
    Keyword {
        name,
        variable: None,
        value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_has_libpqs_names_and_is_checked_as_everything_is() {
        let of = |name: &'static str, value: &'static str| {
            Parameters::of_environment(move |asked| (asked == name).then(|| value.to_owned()))
        };
        let parameters = of("PGHOST", "a,b").unwrap();
        assert_eq!(parameters.get("host"), Some("a,b"));
        let parameters = of("PGREQUIRESSL", "1").unwrap();
        assert_eq!(parameters.get("sslmode"), Some("require"));
        let error = of("PGSSLMODE", "hunter2").unwrap_err().to_string();
        assert!(error.starts_with("sslmode, from PGSSLMODE: "), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        let error = of("PGGSSLIB", "gssapi").unwrap_err().to_string();
        assert!(error.contains("GSSAPI is not supported"), "{error}");
    }

    #[test]
    fn what_was_given_is_not_taken_from_elsewhere() {
        let mut given = Parameters::default();
        given.set("host", "").unwrap();
        given.set("user", "ann").unwrap();
        let mut others = Parameters::default();
        for (name, value) in [("host", "h"), ("user", "bob"), ("port", "1")] {
            others.set(name, value).unwrap();
        }
        given.complete(&others);
        assert_eq!(given.get("host"), None);
        assert_eq!(given.get("user"), Some("ann"));
        assert_eq!(given.get("port"), Some("1"));
    }

    #[test]
    fn a_choice_names_what_there_is() {
        let error = Parameters::default().set("sslsni", "x").unwrap_err();
        assert_eq!(error.to_string(), "sslsni: 0 or 1 is expected");
        let error = Parameters::default().set("client_encoding", "LATIN1");
        assert!(error.unwrap_err().to_string().contains("UTF8"));
        Parameters::default()
            .set("client_encoding", "utf-8")
            .unwrap();
    }
}
