//! What a stream is told before it starts: parsed once, valid thereafter.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{EngineKind, Limits};
use crate::error::{Error, Login};
use crate::lsn::Lsn;
use crate::protocol::{Origin, Streaming, Wishes};
use crate::slots::SlotWait;
use crate::stash::{self, StashLimits};
use crate::stream::Stream;

/// What to connect to, what to stream and how. Made by [`Config::new`] or [`Config::parse`],
/// completed by the methods below, used up by [`Config::connect`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens until it connects"]
pub struct Config {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    pub(crate) database: String,
    pub(crate) application_name: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) slot: String,
    pub(crate) publications: Vec<String>,
    pub(crate) create_slot: CreateSlot,
    pub(crate) on_slot_wait: SlotWaitNotice,
    pub(crate) start_lsn: Lsn,
    pub(crate) wishes: Wishes,
    pub(crate) stash: StashLimits,
    /// `stash.directory` is not the default.
    stash_directory_given: bool,
    options: Vec<(String, Secret)>,
    pub(crate) engine: EngineKind,
    pub(crate) status_interval: Duration,
    pub(crate) receive_timeout: Duration,
    pub(crate) reconnect: Reconnect,
    pub(crate) message_max_bytes: usize,
    pub(crate) memory_max_bytes: usize,
}

/// How a lost connection is made again: exponential backoff with full jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// Upper bound of the first wait; each further one doubles it. Default 100 ms.
    pub delay_min: Duration,
    /// Upper bound of every wait. Default 10 s.
    pub delay_max: Duration,
    /// Attempts in a row that may fail before the stream gives up with the last error; `None`,
    /// the default, never gives up, `Some(0)` does not try again at all.
    pub attempts_max: Option<u32>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            delay_min: Duration::from_millis(100),
            delay_max: Duration::from_secs(10),
            attempts_max: None,
        }
    }
}

/// Whether a stream makes its slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CreateSlot {
    /// It must exist.
    #[default]
    No,
    /// It is made anew and ends with the connection: nothing is left behind, and where the
    /// connection breaks, the stream ends.
    Temporary,
    /// It is made if it does not exist, and stays.
    Yes,
}

impl FromStr for CreateSlot {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "no" => Ok(Self::No),
            "temporary" => Ok(Self::Temporary),
            "yes" => Ok(Self::Yes),
            _ => {
                let reason = "expected \"yes\", \"temporary\" or \"no\"";
                Err(Error::configuration("create_slot", reason))
            }
        }
    }
}

/// Who is told what making a slot waits for.
#[derive(Clone)]
pub(crate) struct SlotWaitNotice(pub(crate) Arc<dyn Fn(&SlotWait) + Send + Sync>);

impl Default for SlotWaitNotice {
    fn default() -> Self {
        Self(Arc::new(|_| {}))
    }
}

impl fmt::Debug for SlotWaitNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlotWaitNotice")
    }
}

/// A password, or an option's value, which may be one: its `Debug` form says nothing.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Config {
    /// The defaults of libpq for one database: `localhost:5432`, user `postgres`, no password.
    pub fn new(database: &str) -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 5432,
            user: "postgres".to_owned(),
            password: None,
            database: database.to_owned(),
            application_name: "pgoutput-decoder".to_owned(),
            connect_timeout: Duration::from_secs(10),
            slot: String::new(),
            publications: Vec::new(),
            create_slot: CreateSlot::No,
            on_slot_wait: SlotWaitNotice::default(),
            start_lsn: Lsn(0),
            wishes: Wishes::default(),
            stash: StashLimits::default(),
            stash_directory_given: false,
            options: Vec::new(),
            engine: EngineKind::Component,
            status_interval: Duration::from_secs(10),
            receive_timeout: Duration::from_mins(1),
            reconnect: Reconnect::default(),
            // MaxAllocSize, utils/memutils.h: no message of the server is larger.
            message_max_bytes: 1 << 30,
            memory_max_bytes: Limits::default().memory_max_bytes,
        }
    }

    /// Parses a connection URL: `postgresql://user:password@host:port/database?parameter=value`,
    /// every part percent-decoded and optional. Parameters: `application_name`, `connect_timeout`
    /// (seconds; 0 waits for ever), `sslmode` (`disable`, `allow` or `prefer`), and `host`, `port`,
    /// `user`, `password`, `dbname` for those who rather write them there.
    ///
    /// # Errors
    /// [`Error::Configuration`] naming the part that cannot be understood; it never quotes the
    /// URL, which may hold a password.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let rest = url
            .strip_prefix("postgresql://")
            .or_else(|| url.strip_prefix("postgres://"))
            .ok_or_else(|| Error::configuration("url", "postgresql://… is expected"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        // The password may hold an '@' that is not encoded: the last one ends it.
        let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let mut config = Self::new("");
        config.set_address(address)?;
        if !user.is_empty() {
            config.user = percent_decode("user", user)?;
        }
        if let Some(password) = password {
            config.password = Some(Secret(percent_decode("password", password)?));
        }
        config.database = percent_decode("database", database)?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| Error::configuration("url", "a parameter is written name=value"))?;
            config.set_parameter(name, percent_decode(name, value)?)?;
        }
        if config.database.is_empty() {
            config.database.clone_from(&config.user);
        }
        Ok(config)
    }

    /// Host name, address, or the directory of the server's socket where it starts with `/`.
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// TCP port; default 5432.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Role to log in as.
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// Password of the role. Never printed.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(Secret(password.to_owned()));
        self
    }

    /// Database the slot belongs to.
    pub fn database(mut self, database: &str) -> Self {
        database.clone_into(&mut self.database);
        self
    }

    /// What `pg_stat_replication.application_name` shows.
    pub fn application_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.application_name);
        self
    }

    /// Time for one attempt to connect, log in and start streaming; default 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Replication slot: logical, with plugin `pgoutput`. It must exist, unless
    /// [`Config::create_slot`] says otherwise.
    pub fn slot(mut self, slot: &str) -> Self {
        slot.clone_into(&mut self.slot);
        self
    }

    /// Whether the slot is made where it is missing; default [`CreateSlot::No`]. Only when the
    /// stream starts: one that goes missing later took changes with it, and is an error.
    pub fn create_slot(mut self, create: CreateSlot) -> Self {
        self.create_slot = create;
        self
    }

    /// Told now and again what making the slot waits for, if it takes more than some seconds.
    pub fn on_slot_wait(mut self, notice: impl Fn(&SlotWait) + Send + Sync + 'static) -> Self {
        self.on_slot_wait = SlotWaitNotice(Arc::new(notice));
        self
    }

    /// A publication, exactly as `pg_publication` has its name; may be given several times.
    pub fn publication(mut self, publication: &str) -> Self {
        self.publications.push(publication.to_owned());
        self
    }

    /// Where to start. The server starts at the slot's confirmed LSN where that is later; an LSN
    /// it has not reached yet is refused. What lies before is confirmed with the first
    /// acknowledgement or keepalive behind it.
    pub fn start_lsn(mut self, lsn: Lsn) -> Self {
        self.start_lsn = lsn;
        self
    }

    /// How transactions come that the server has no memory for before they are committed; by
    /// default [`Streaming::On`], where the server has it. The events are the same and come in the
    /// same order. On: a large transaction has arrived when it commits, in memory of ours up to
    /// [`Config::stash_memory_max_bytes`] and then in a file. Off: the server keeps it on its disk
    /// and sends it then.
    ///
    /// One thing PostgreSQL cannot take back once it is streamed: a transactional logical message
    /// (`pg_logical_emit_message`) of a savepoint that is rolled back later. Off never sends it.
    pub fn streaming(mut self, streaming: Streaming) -> Self {
        self.wishes.streaming = Some(streaming);
        self
    }

    /// Whether values are sent in binary where their types have such a form: cheaper for the
    /// server, the same events, but for `regclass` and its like, whose binary form is a number.
    /// Default no. PostgreSQL 14.
    pub fn binary(mut self, binary: bool) -> Self {
        self.wishes.binary = binary;
        self
    }

    /// Whether transactions are sent when they are prepared (`PREPARE TRANSACTION`), not only when
    /// they are committed. Default no. PostgreSQL 15. Events come after the commit either way.
    ///
    /// Once asked for, **the slot stays that way for good**, also for other consumers. And while a
    /// transaction is prepared, nothing behind its PREPARE is confirmed: the server retains WAL
    /// from there on, and a program that starts again gets what was committed since once more.
    pub fn two_phase(mut self, two_phase: bool) -> Self {
        self.wishes.two_phase = two_phase;
        self
    }

    /// Which changes are sent, by where they come from; default all. [`Origin::None`] leaves out
    /// what was replicated to the server. PostgreSQL 16.
    pub fn origin(mut self, origin: Origin) -> Self {
        self.wishes.origin = origin;
        self
    }

    /// Where transactions that are not decided yet are kept beyond
    /// [`Config::stash_memory_max_bytes`]; by default the system's directory for temporary files,
    /// which on some systems is memory. The files have mode 0600 and no name: nothing is left
    /// behind, however the process ends.
    pub fn stash_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.stash.directory = directory.into();
        self.stash_directory_given = true;
        self
    }

    /// Memory for transactions that are not decided yet, all together; default 32 MiB.
    pub fn stash_memory_max_bytes(mut self, bytes: usize) -> Self {
        self.stash.memory_max_bytes = bytes;
        self
    }

    /// Bytes of files for transactions that are not decided yet, all together; default 16 GiB.
    /// What would exceed it ends the stream with [`Error::Stash`].
    pub fn stash_max_bytes(mut self, bytes: u64) -> Self {
        self.stash.file_max_bytes = bytes;
        self
    }

    /// An option of the decoder by Debezium's property name, or `format`. The last one counts.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.retain(|(known, _)| known != name);
        self.options
            .push((name.to_owned(), Secret(value.to_owned())));
        self
    }

    /// Which decoder: the sandboxed component, or the one linked in.
    pub fn engine(mut self, engine: EngineKind) -> Self {
        self.engine = engine;
        self
    }

    /// How often the server hears from us at least; default 10 s, never more than half of its
    /// `wal_sender_timeout`. A confirmation that has moved is sent within 100 ms all the same.
    pub fn status_interval(mut self, interval: Duration) -> Self {
        self.status_interval = interval;
        self
    }

    /// How long the server may be silent, though asked every second, before the connection counts
    /// as lost; default 60 s. Not counted while the consumer does not read.
    pub fn receive_timeout(mut self, timeout: Duration) -> Self {
        self.receive_timeout = timeout;
        self
    }

    /// How a lost connection is made again.
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Largest message taken from the server; default 1 GiB, which no server exceeds.
    pub fn message_max_bytes(mut self, bytes: usize) -> Self {
        self.message_max_bytes = bytes;
        self
    }

    /// Memory the sandboxed decoder may have; default 2 GiB, at most 4 GiB. None of it is taken
    /// before it is needed. The default is enough for a text of 500 MiB or a `bytea` of 300 MiB in
    /// one row: a text needs about four times its length.
    pub fn memory_max_bytes(mut self, bytes: usize) -> Self {
        self.memory_max_bytes = bytes;
        self
    }

    /// Connects, checks that slot and publications are there, and starts streaming. Must be
    /// called inside a tokio runtime, whose tasks go on until the stream is stopped or dropped.
    ///
    /// # Errors
    /// At once for whatever is wrong now, with the SQL that helps; only a server that is still
    /// starting up is asked again, for at most a minute.
    pub async fn connect(self) -> Result<Stream, Error> {
        self.check()?;
        Stream::connect(self).await
    }

    /// `host:port`, or the socket's path: for messages.
    pub(crate) fn address(&self) -> String {
        if self.host.starts_with('/') {
            return format!("{}/.s.PGSQL.{}", self.host, self.port);
        }
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }

    /// The decoder's options with our defaults for those not given.
    pub(crate) fn decoder_options(&self) -> Vec<(String, String)> {
        let given = self.options.iter();
        let mut options: Vec<_> = given
            .map(|(name, value)| (name.clone(), value.0.clone()))
            .collect();
        for (name, value) in [
            ("format", "native"),
            ("database.dbname", self.database.as_str()),
        ] {
            if !options.iter().any(|(known, _)| known == name) {
                options.push((name.to_owned(), value.to_owned()));
            }
        }
        options
    }

    pub(crate) fn login(&self) -> Login {
        Login {
            user: self.user.clone(),
            database: self.database.clone(),
        }
    }

    /// What the decoder may use.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            memory_max_bytes: self.memory_max_bytes,
            ..Limits::default()
        }
    }

    fn check(&self) -> Result<(), Error> {
        let mut texts = vec![
            ("host", &self.host),
            ("user", &self.user),
            ("database", &self.database),
            ("slot", &self.slot),
        ];
        if self.publications.is_empty() {
            return Err(Error::configuration(
                "publication",
                "at least one is needed",
            ));
        }
        texts.extend(self.publications.iter().map(|name| ("publication", name)));
        for (setting, text) in texts {
            if text.is_empty() {
                return Err(Error::configuration(setting, "must not be empty"));
            }
            if text.contains('\0') {
                return Err(Error::configuration(setting, "must not hold a zero byte"));
            }
        }
        let password = self
            .password
            .as_ref()
            .map_or("", |password| password.0.as_str());
        if password.contains('\0') || self.application_name.contains('\0') {
            let setting = if password.contains('\0') {
                "password"
            } else {
                "application_name"
            };
            return Err(Error::configuration(setting, "must not hold a zero byte"));
        }
        if self.stash_directory_given {
            let usable = stash::check(&self.stash.directory);
            usable.map_err(|io| {
                Error::configuration("stash_directory", format!("cannot make files there: {io}"))
            })?;
        }
        if self.status_interval.is_zero() {
            return Err(Error::configuration(
                "status_interval",
                "must be longer than nothing",
            ));
        }
        Ok(())
    }

    fn set_address(&mut self, address: &str) -> Result<(), Error> {
        if address.contains(',') {
            return Err(Error::configuration(
                "host",
                "one host is expected, not a list",
            ));
        }
        let (host, port) = if let Some(rest) = address.strip_prefix('[') {
            let (host, port) = rest
                .split_once(']')
                .ok_or_else(|| Error::configuration("host", "'[' without ']'"))?;
            (host, port.strip_prefix(':').unwrap_or(port))
        } else {
            address.rsplit_once(':').unwrap_or((address, ""))
        };
        if !host.is_empty() {
            self.host = percent_decode("host", host)?;
        }
        if !port.is_empty() {
            self.port = parse_port(port)?;
        }
        Ok(())
    }

    fn set_parameter(&mut self, name: &str, value: String) -> Result<(), Error> {
        match name {
            "application_name" => self.application_name = value,
            "connect_timeout" => {
                let seconds = value
                    .parse()
                    .map_err(|_| Error::configuration(name, "a number of seconds is expected"))?;
                // libpq: 0 waits for ever. A year is as good and fits every clock.
                let seconds = if seconds == 0 { 31_536_000 } else { seconds };
                self.connect_timeout = Duration::from_secs(seconds);
            }
            "dbname" => self.database = value,
            "host" => self.host = value,
            "password" => self.password = Some(Secret(value)),
            "port" => self.port = parse_port(&value)?,
            "sslmode" if matches!(value.as_str(), "disable" | "allow" | "prefer") => {}
            "sslmode" => {
                return Err(Error::configuration(
                    name,
                    "this version speaks no TLS: disable, allow or prefer is expected",
                ));
            }
            "user" => self.user = value,
            _ => {
                return Err(Error::configuration(
                    name,
                    "not a known parameter; known are application_name, connect_timeout, dbname, \
                     host, password, port, sslmode and user",
                ));
            }
        }
        Ok(())
    }
}

fn parse_port(text: &str) -> Result<u16, Error> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(Error::configuration(
            "port",
            "a number from 1 to 65535 is expected",
        )),
    }
}

/// Decodes `%XX`; `part` names what is decoded in the error.
fn percent_decode(part: &str, text: &str) -> Result<String, Error> {
    let invalid =
        || Error::configuration(part, "'%' starts two hexadecimal digits; write % as %25");
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_first_chunk::<2>().ok_or_else(invalid)?;
        let digits = std::str::from_utf8(digits).map_err(|_| invalid())?;
        if digits.starts_with('+') {
            return Err(invalid());
        }
        decoded.push(u8::from_str_radix(digits, 16).map_err(|_| invalid())?);
        rest = tail;
    }
    String::from_utf8(decoded).map_err(|_| Error::configuration(part, "must be UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_urls_as_libpq_does() {
        let config = Config::parse("postgresql://ann:p%40ss@db.example:6543/shop").unwrap();
        assert_eq!((config.host.as_str(), config.port), ("db.example", 6543));
        assert_eq!(
            (config.user.as_str(), config.database.as_str()),
            ("ann", "shop")
        );
        assert_eq!(config.password.as_ref().unwrap().0, "p@ss");

        let config = Config::parse("postgres://").unwrap();
        assert_eq!((config.host.as_str(), config.port), ("localhost", 5432));
        assert_eq!(
            (config.user.as_str(), config.database.as_str()),
            ("postgres", "postgres")
        );

        let config = Config::parse("postgresql://ann@[::1]:1234/?connect_timeout=3").unwrap();
        assert_eq!((config.host.as_str(), config.port), ("::1", 1234));
        assert_eq!(config.database, "ann");
        assert_eq!(config.connect_timeout, Duration::from_secs(3));
        assert_eq!(config.address(), "[::1]:1234");

        let config = Config::parse("postgresql:///d?host=/run/pg&application_name=a%20b").unwrap();
        assert_eq!(config.address(), "/run/pg/.s.PGSQL.5432");
        assert_eq!(config.application_name, "a b");

        let config = Config::parse("postgresql://a:b@c@h/d").unwrap();
        assert_eq!(config.password.unwrap().0, "b@c");
    }

    #[test]
    fn refuses_what_it_does_not_understand_without_quoting_it() {
        for url in [
            "mysql://ann:hunter2@h/d",
            "postgresql://ann:hunter2%zz@h/d",
            "postgresql://ann:hunter2@h:0/d",
            "postgresql://ann:hunter2@h:port/d",
            "postgresql://ann:hunter2@h,i/d",
            "postgresql://ann:hunter2@[::1/d",
            "postgresql://ann:hunter2@h/d?sslmode=require",
            "postgresql://ann:hunter2@h/d?nonsense=1",
            "postgresql://ann:hunter2@h/d?flag",
        ] {
            let error = Config::parse(url).unwrap_err();
            assert!(
                matches!(error, Error::Configuration { .. }),
                "{url}: {error:?}"
            );
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn debug_hides_the_password() {
        let config = Config::new("d").password("hunter2").slot("s");
        let config = config.option("database.password", "hunter2");
        let text = format!("{config:?}");
        assert!(text.contains("***") && !text.contains("hunter2"), "{text}");
        assert!(text.contains("database.password"), "{text}");
    }

    #[test]
    fn options_have_defaults_and_the_last_one_counts() {
        let config = Config::new("shop")
            .option("format", "native")
            .option("format", "debezium");
        let options = config.decoder_options();
        let expected = [("format", "debezium"), ("database.dbname", "shop")];
        assert!(
            options
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .eq(expected)
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = |config: Config| match config.check() {
            Err(Error::Configuration { setting, .. }) => setting,
            other => panic!("{other:?}"),
        };
        assert_eq!(missing(Config::new("d").slot("s")), "publication");
        assert_eq!(missing(Config::new("d").publication("p")), "slot");
        assert_eq!(
            missing(Config::new("d").slot("s").publication("p\0")),
            "publication"
        );
    }
}
