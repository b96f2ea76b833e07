//! What a stream is told before it starts: parsed once, valid thereafter.

mod parameters;
mod parse;
mod password;
mod pgpass;
mod server;
mod service;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::backoff::Reconnect;
use crate::connection::Connector;
use crate::engine::{EngineKind, Limits};
use crate::error::Error;
use crate::lsn::Lsn;
use crate::plugin::{Plugin, PluginLine};
use crate::protocol::{Origin, Streaming, Wishes};
use crate::recording::Recorder;
use crate::records::Position;
use crate::shadow::Shadow;
use crate::slots::SlotWait;
use crate::start::Start;
use crate::stash::{self, StashLimits};
use crate::stream::Stream;
use crate::undecodable::{self, OnUndecodable};

use self::parameters::Parameters;
pub(crate) use self::password::Cause;
pub use self::password::Password;
pub(crate) use self::pgpass::{Found, look_up};
pub(crate) use self::server::{
    ChannelBinding, File, Host, Roots, Server, SslMode, TargetSessionAttrs, TlsSettings,
};
use self::server::{Environment, Sources};

/// What to connect to, what to stream and how. Made by [`Config::new`] or [`Config::parse`],
/// completed by the methods below, used up by [`Config::connect`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens until it connects"]
pub struct Config {
    parameters: Parameters,
    /// Counts instead of the parameter.
    password: Option<Password>,
    environment: Option<Environment>,
    pub(crate) slot: String,
    pub(crate) publications: Vec<String>,
    pub(crate) create_slot: CreateSlot,
    pub(crate) on_slot_wait: Notice<SlotWait>,
    pub(crate) start: Option<Start>,
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
    pub(crate) on_undecodable: OnUndecodable,
    pub(crate) on_warning: Notice<str>,
    pub(crate) transaction_ends: bool,
    pub(crate) plugins: Vec<Plugin>,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) shadow: Option<Shadow>,
    pub(crate) on_plugin_line: Notice<PluginLine>,
}

/// Who is told of something; nobody, by default.
pub(crate) struct Notice<T: ?Sized>(Arc<dyn Fn(&T) + Send + Sync>);

impl<T: ?Sized> Notice<T> {
    pub(crate) fn to(tell: impl Fn(&T) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn tell(&self, what: &T) {
        (self.0)(what);
    }
}

impl<T: ?Sized> Clone for Notice<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized> Default for Notice<T> {
    fn default() -> Self {
        Self::to(|_| {})
    }
}

impl<T: ?Sized> fmt::Debug for Notice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notice")
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

/// A password, or an option's value, which may be one: its `Debug` form says nothing.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Config {
    /// One database, everything else as libpq has it by default: the user is whoever runs this,
    /// the password comes from `~/.pgpass`, TLS is used where the server has it. But the host is
    /// `localhost`, port 5432, where libpq would look for a socket first.
    pub fn new(database: &str) -> Self {
        let mut parameters = Parameters::default();
        parameters.put("dbname", database);
        Self {
            parameters,
            password: None,
            environment: None,
            slot: String::new(),
            publications: Vec::new(),
            create_slot: CreateSlot::No,
            on_slot_wait: Notice::default(),
            start: None,
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
            on_undecodable: OnUndecodable::Stop,
            on_warning: Notice::default(),
            transaction_ends: false,
            plugins: Vec::new(),
            recorder: None,
            shadow: None,
            on_plugin_line: Notice::default(),
        }
    }

    /// Parses a connection string as libpq does: a URL,
    /// `postgresql://user:password@host:port,host:port/database?parameter=value`, every part
    /// percent-decoded and optional; or `host=a,b dbname=shop password='p w'`. The parameters are
    /// libpq's, and so is their meaning: several hosts with `target_session_attrs` and
    /// `load_balance_hosts`, Unix sockets, `service`, `passfile`, `sslmode` and everything else
    /// about TLS, `channel_binding`, `require_auth`, and more. Those for which there is no support
    /// (GSSAPI, OAuth, `sslcrldir`, `requirepeer` and a few others) are refused.
    ///
    /// What differs: `connect_timeout` is 10 s unless given, and holds from the first packet until
    /// the login is done; without a host it is `localhost`; a file that is named must be there; and
    /// a password in clear is sent through TLS or a Unix socket only, unless `require_auth` names
    /// `password`.
    ///
    /// # Errors
    /// [`Error::Configuration`] naming the part that cannot be understood; it never quotes the
    /// string, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self {
            parameters: parse::parse(text)?,
            ..Self::new("")
        })
    }

    /// Takes what is not given otherwise from libpq's environment variables, as they are now:
    /// `PGHOST`, `PGUSER`, `PGPASSWORD`, `PGSSLMODE`, `PGSERVICE` and so on. Nothing else reads
    /// them.
    ///
    /// # Errors
    /// [`Error::Configuration`] for one that cannot be what it is set to.
    pub fn environment(mut self) -> Result<Self, Error> {
        let parameters = Parameters::of_environment(|name| std::env::var(name).ok())?;
        let system_directory = std::env::var_os("PGSYSCONFDIR").map(PathBuf::from);
        self.environment = Some(Environment {
            parameters,
            system_directory,
        });
        Ok(self)
    }

    /// One of libpq's connection parameters by its name: `config.parameter("sslmode", "require")`.
    ///
    /// # Errors
    /// [`Error::Configuration`] for one there is not, or that cannot have this value.
    pub fn parameter(mut self, name: &str, value: &str) -> Result<Self, Error> {
        if name == "password" {
            self.password = None;
        }
        self.parameters.set(name, value)?;
        Ok(self)
    }

    /// Whether libpq has a connection parameter of this name.
    pub fn is_parameter(name: &str) -> bool {
        parameters::is_known(name)
    }

    /// Host name, address, or the directory of the server's socket where it starts with `/`; or
    /// several of them between commas, which are tried in order.
    pub fn host(mut self, host: &str) -> Self {
        self.parameters.put("host", host);
        self
    }

    /// TCP port; default 5432.
    pub fn port(mut self, port: u16) -> Self {
        self.parameters.put("port", &port.to_string());
        self
    }

    /// Role to log in as.
    pub fn user(mut self, user: &str) -> Self {
        self.parameters.put("user", user);
        self
    }

    /// Password of the role, or whom to ask for it: [`Password::ask`]. Never printed.
    pub fn password(mut self, password: impl Into<Password>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Database the slot belongs to; by default the one named as the role.
    pub fn database(mut self, database: &str) -> Self {
        self.parameters.put("dbname", database);
        self
    }

    /// What `pg_stat_replication.application_name` shows.
    pub fn application_name(mut self, name: &str) -> Self {
        self.parameters.put("application_name", name);
        self
    }

    /// Time for one attempt to connect to one address and log in, and then for starting to stream;
    /// default 10 s, zero is for ever.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        let seconds = timeout.as_secs_f64().to_string();
        self.parameters.put("connect_timeout", &seconds);
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

    /// Told now and again what making the slot waits for, or who is using it, if that takes more
    /// than some seconds.
    pub fn on_slot_wait(mut self, notice: impl Fn(&SlotWait) + Send + Sync + 'static) -> Self {
        self.on_slot_wait = Notice::to(notice);
        self
    }

    /// A publication, exactly as `pg_publication` has its name; may be given several times.
    pub fn publication(mut self, publication: &str) -> Self {
        self.publications.push(publication.to_owned());
        self
    }

    /// Passes over everything up to this event: for a consumer that stores the position of the last
    /// event with what it made of it, and so gets each event once, whatever happens in between.
    /// Works in the middle of a transaction. What is passed over counts as acknowledged.
    ///
    /// The position is compared, never searched for: it is the same whatever the options, as long
    /// as server and publications are. One that lies behind the server's WAL is refused. Replaces
    /// [`Config::start_lsn`].
    pub fn start_position(mut self, position: Position) -> Self {
        self.start = Some(Start::Position(position));
        self
    }

    /// Passes over transactions committed before this LSN, where the slot does not stand behind it
    /// anyway; an LSN the server has not reached yet is refused. What lies before is confirmed with
    /// the first acknowledgement or keepalive behind it. Replaces [`Config::start_position`].
    pub fn start_lsn(mut self, lsn: Lsn) -> Self {
        self.start = Some(Start::Lsn(lsn));
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

    /// Upper bound of the waits between attempts to make a lost connection again; default 10 s.
    /// They are random, up to a bound that doubles from 100 ms, and stays below half a second in
    /// the first minute of an outage.
    pub fn reconnect_delay_max(mut self, delay: Duration) -> Self {
        self.reconnect.delay_max = delay;
        self
    }

    /// Attempts in a row to make a lost connection again that may fail before the stream ends with
    /// the last error; by default it never gives up. 0 does not try again at all.
    pub fn reconnect_attempts_max(mut self, attempts: u32) -> Self {
        self.reconnect.attempts_max = Some(attempts);
        self
    }

    /// How long they may fail before the stream ends with the last error; by default it never gives
    /// up.
    pub fn reconnect_time_max(mut self, time: Duration) -> Self {
        self.reconnect.time_max = Some(time);
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

    /// What is done with a change that cannot be decoded; default [`OnUndecodable::Stop`].
    pub fn on_undecodable(mut self, policy: OnUndecodable) -> Self {
        self.on_undecodable = policy;
        self
    }

    /// Whether there is a batch without events where a transaction ends, all of whose events came
    /// before: for who does something at a transaction's end. Default no.
    pub fn transaction_ends(mut self, ends: bool) -> Self {
        self.transaction_ends = ends;
        self
    }

    /// A plugin that events go through; may be given several times: each gets what those before it
    /// made.
    pub fn plugin(mut self, plugin: Plugin) -> Self {
        self.plugins.push(plugin);
        self
    }

    /// Records the stream, before plugins and as it is replayed: see [`crate::recording`]. What is
    /// acknowledged before [`Recorder::sync`] may be missing in the recording after a crash.
    pub fn recorder(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Another decoder that is given the same, and whose events are compared with the stream's;
    /// differences are counted, and the first ones are warned of.
    pub fn shadow(mut self, shadow: Shadow) -> Self {
        self.shadow = Some(shadow);
        self
    }

    /// Who gets the lines that plugins log. Called by the task that receives: it must not take
    /// long. By default nobody.
    pub fn on_plugin_line(mut self, tell: impl Fn(&PluginLine) + Send + Sync + 'static) -> Self {
        self.on_plugin_line = Notice::to(tell);
        self
    }

    /// Who is told, in a line, what needs somebody's attention while the stream goes on: a slot
    /// that nears its invalidation, a publication without tables, a full disk, a change passed
    /// over. Called by the task that receives: it must not take long. By default nobody.
    pub fn on_warning(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_warning = Notice::to(tell);
        self
    }

    /// Connects, checks that slot and publications are there, and starts streaming. Must be
    /// called inside a tokio runtime, whose tasks go on until the stream is stopped or dropped.
    ///
    /// # Errors
    /// At once for whatever is wrong now, with the SQL that helps. Only a server that is still
    /// starting up, and a slot that is in use, as it is by a session of ours that was cut off until
    /// the server notices, are asked again, for about a minute at most.
    pub async fn connect(self) -> Result<Stream, Error> {
        self.check()?;
        let connector = Connector::new(self.server()?);
        Stream::connect(self, connector).await
    }

    /// An ordinary session on the server, made by the same rules as the stream's: for what the
    /// commands ask of it.
    #[doc(hidden)]
    pub async fn client(&self) -> Result<tokio_postgres::Client, Error> {
        Connector::new(self.server()?).client().await
    }

    /// Where to connect, everything considered.
    pub(crate) fn server(&self) -> Result<Server, Error> {
        Server::new(&Sources {
            given: &self.parameters,
            password: self.password.as_ref(),
            environment: self.environment.as_ref(),
            home: std::env::home_dir().as_deref(),
            user: &|| whoami::username().ok(),
        })
    }

    /// The decoder's options with our defaults for those not given.
    pub(crate) fn decoder_options(&self, database: &str) -> Vec<(String, String)> {
        let given = self.options.iter();
        let mut options: Vec<_> = given
            .map(|(name, value)| (name.clone(), value.0.clone()))
            .collect();
        for (name, value) in [("format", "native"), ("database.dbname", database)] {
            if !options.iter().any(|(known, _)| known == name) {
                options.push((name.to_owned(), value.to_owned()));
            }
        }
        options
    }

    /// Whether events have the native format.
    pub(crate) fn is_native(&self) -> bool {
        let format = self.options.iter().find(|(name, _)| name == "format");
        format.is_none_or(|(_, format)| format.0 == "native")
    }

    /// Whether changes may be passed over that cannot be dealt with.
    pub(crate) fn passes_over(&self) -> bool {
        let mut policies = self.policies();
        policies.any(|(_, policy)| *policy != OnUndecodable::Stop)
    }

    /// Whether some of them are parked.
    pub(crate) fn parks(&self) -> bool {
        let mut policies = self.policies();
        policies.any(|(_, policy)| matches!(policy, OnUndecodable::Park(_)))
    }

    /// Every policy, and the setting that it is.
    fn policies(&self) -> impl Iterator<Item = (&'static str, &OnUndecodable)> {
        let plugins = self.plugins.iter();
        let plugins = plugins.map(|plugin| ("on_error", plugin.policy()));
        plugins.chain([("on_undecodable", &self.on_undecodable)])
    }

    /// What the decoder may use.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            memory_max_bytes: self.memory_max_bytes,
            ..Limits::default()
        }
    }

    fn check(&self) -> Result<(), Error> {
        let mut texts = vec![("slot", &self.slot)];
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
        if self.stash_directory_given {
            let usable = stash::check(&self.stash.directory);
            usable.map_err(|io| {
                Error::configuration("stash_directory", format!("cannot make files there: {io}"))
            })?;
        }
        for (setting, policy) in self.policies() {
            if let OnUndecodable::Park(file) = policy {
                undecodable::open(file).map_err(|io| {
                    let reason = format!("cannot write to {}: {io}", file.display());
                    Error::configuration(setting, reason)
                })?;
            }
        }
        if self.status_interval.is_zero() {
            return Err(Error::configuration(
                "status_interval",
                "must be longer than nothing",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let options = config.decoder_options("shop");
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
