//! Where to connect and by which rules: libpq's parameters put together, with defaults for what
//! nobody gave.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::parameters::{PORT, Parameters, ports, seconds};
use super::password::Password;
use super::{Secret, pgpass, service};
use crate::error::{Error, Login};

/// Everything about reaching and entering the server. Not yet any file but the service's.
pub(crate) struct Server {
    /// At least one.
    pub(crate) hosts: Vec<Host>,
    pub(crate) load_balance: bool,
    pub(crate) target_session_attrs: TargetSessionAttrs,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) application_name: String,
    /// Command-line options for the server process.
    pub(crate) options: Option<String>,
    pub(crate) password: Option<Password>,
    pub(crate) passfile: Option<PathBuf>,
    /// For one attempt at one address.
    pub(crate) connect_timeout: Duration,
    pub(crate) keepalive: Option<Keepalive>,
    pub(crate) tcp_user_timeout: Option<Duration>,
    pub(crate) tls: TlsSettings,
    pub(crate) channel_binding: ChannelBinding,
    pub(crate) methods: Methods,
}

/// One of the hosts given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Name, address or socket directory; what certificates and passwords are for.
    pub(crate) name: String,
    /// `hostaddr`: where it is, without asking for the name's address.
    pub(crate) address: Option<String>,
    pub(crate) port: u16,
}

/// Which servers will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetSessionAttrs {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// `keepalives_idle`, `keepalives_interval`, `keepalives_count`: the system's where not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keepalive {
    pub(crate) idle: Duration,
    pub(crate) interval: Option<Duration>,
    pub(crate) count: Option<u32>,
}

/// The parameters that begin with `ssl`.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "libpq's switches")]
pub(crate) struct TlsSettings {
    pub(crate) mode: SslMode,
    /// `sslnegotiation=direct`.
    pub(crate) direct: bool,
    pub(crate) roots: Roots,
    pub(crate) certificate: File,
    pub(crate) key: File,
    pub(crate) key_password: Option<Secret>,
    pub(crate) revoked: File,
    /// Of 1.2 and 1.3, those allowed.
    pub(crate) tls12: bool,
    pub(crate) tls13: bool,
    pub(crate) sni: bool,
    /// `sslcertmode`: a client's certificate may be shown.
    pub(crate) show_certificate: bool,
}

/// A file that was named, which must be there; or the default one, which may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum File {
    Given(PathBuf),
    Default(Option<PathBuf>),
}

/// Whom a server's certificate must come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    File(File),
    System,
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// libpq's `channel_binding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

/// How the server may have us log in: `require_auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set")]
pub(crate) struct Methods {
    pub(crate) none: bool,
    pub(crate) password: bool,
    pub(crate) md5: bool,
    pub(crate) scram: bool,
    /// `password` was named, and so a password may be sent where others can read it.
    pub(crate) cleartext: bool,
}

/// What a server is put together from.
pub(super) struct Sources<'a> {
    pub(super) given: &'a Parameters,
    pub(super) password: Option<&'a Password>,
    pub(super) environment: Option<&'a Environment>,
    /// The user's home directory.
    pub(super) home: Option<&'a Path>,
    /// The user's name, for whom nobody named one.
    pub(super) user: &'a dyn Fn() -> Option<String>,
}

/// What the environment says.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    pub(super) parameters: Parameters,
    /// `PGSYSCONFDIR`
    pub(super) system_directory: Option<PathBuf>,
}

impl Server {
    pub(super) fn new(sources: &Sources<'_>) -> Result<Self, Error> {
        let parameters = sources.parameters()?;
        let text = |name: &str| parameters.get(name).map(str::to_owned);
        let path = |name: &str| parameters.get(name).map(PathBuf::from);
        let user = text("user").or_else(sources.user).ok_or_else(|| {
            Error::configuration(
                "user",
                "none is given, and the system does not tell who runs this",
            )
        })?;
        let in_home = |name: &str| sources.home.map(|home| home.join(name));
        Ok(Self {
            hosts: hosts(&parameters)?,
            load_balance: parameters.get("load_balance_hosts") == Some("random"),
            target_session_attrs: TargetSessionAttrs::of(&parameters),
            database: text("dbname").unwrap_or_else(|| user.clone()),
            user,
            application_name: text("application_name")
                .or_else(|| text("fallback_application_name"))
                .unwrap_or_else(|| "pgoutput-decoder".to_owned()),
            options: text("options"),
            password: sources
                .password
                .cloned()
                .or_else(|| parameters.get("password").map(Password::from)),
            passfile: path("passfile").or_else(|| in_home(".pgpass")),
            connect_timeout: connect_timeout(&parameters)?,
            keepalive: keepalive(&parameters),
            tcp_user_timeout: number(&parameters, "tcp_user_timeout")
                .map(|ms| Duration::from_millis(u64::from(ms))),
            tls: TlsSettings::of(&parameters, sources.home)?,
            channel_binding: match parameters.get("channel_binding") {
                Some("disable") => ChannelBinding::Disable,
                Some("require") => ChannelBinding::Require,
                _ => ChannelBinding::Prefer,
            },
            methods: parameters
                .get("require_auth")
                .map_or(Ok(Methods::ANY), methods)?,
        })
    }

    pub(crate) fn login(&self) -> Login {
        Login {
            user: self.user.clone(),
            database: self.database.clone(),
        }
    }

    /// Whom `host` asks a password of.
    pub(crate) fn whom<'a>(&'a self, host: &'a Host) -> pgpass::Whom<'a> {
        pgpass::Whom {
            host: &host.name,
            port: host.port,
            database: &self.database,
            user: &self.user,
        }
    }

    /// All hosts, for messages.
    pub(crate) fn address(&self) -> String {
        let addresses: Vec<_> = self.hosts.iter().map(Host::address).collect();
        addresses.join(",")
    }
}

impl Host {
    /// `host:port`, or the socket's path: for messages.
    pub(crate) fn address(&self) -> String {
        if self.is_socket() {
            return format!("{}/.s.PGSQL.{}", self.name, self.port);
        }
        if self.name.contains(':') {
            return format!("[{}]:{}", self.name, self.port);
        }
        format!("{}:{}", self.name, self.port)
    }

    /// A directory, or with `@` the name of a socket without a file.
    pub(crate) fn is_socket(&self) -> bool {
        self.address.is_none() && self.name.starts_with(['/', '@'])
    }
}

impl Sources<'_> {
    /// Given ones before the service's before the environment's.
    fn parameters(&self) -> Result<Parameters, Error> {
        self.given.check()?;
        let mut parameters = self.given.clone();
        let environment = self.environment.map(|environment| &environment.parameters);
        let either = |name: &str| {
            let given = self.given.get(name);
            given.or_else(|| environment.and_then(|environment| environment.get(name)))
        };
        if let Some(name) = either("service") {
            let directory = self
                .environment
                .and_then(|environment| environment.system_directory.as_deref());
            let file = either("servicefile").map(Path::new);
            let service = service::read(name, file, self.home, directory)?;
            parameters.complete(&service);
        }
        if let Some(environment) = environment {
            parameters.complete(environment);
        }
        Ok(parameters)
    }
}

impl TargetSessionAttrs {
    fn of(parameters: &Parameters) -> Self {
        match parameters.get("target_session_attrs") {
            Some("read-write") => Self::ReadWrite,
            Some("read-only") => Self::ReadOnly,
            Some("primary") => Self::Primary,
            Some("standby") => Self::Standby,
            Some("prefer-standby") => Self::PreferStandby,
            _ => Self::Any,
        }
    }

    /// libpq's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::PreferStandby => "prefer-standby",
        }
    }
}

impl TlsSettings {
    fn of(parameters: &Parameters, home: Option<&Path>) -> Result<Self, Error> {
        let file = |name: &str, default: &str| match parameters.get(name) {
            Some(path) => File::Given(path.into()),
            None => File::Default(home.map(|home| home.join(".postgresql").join(default))),
        };
        let roots = match parameters.get("sslrootcert") {
            Some("system") => Roots::System,
            _ => Roots::File(file("sslrootcert", "root.crt")),
        };
        let mode = match parameters.get("sslmode") {
            Some("disable") => SslMode::Disable,
            Some("allow") => SslMode::Allow,
            Some("prefer") => SslMode::Prefer,
            Some("require") => SslMode::Require,
            Some("verify-ca") => SslMode::VerifyCa,
            Some("verify-full") => SslMode::VerifyFull,
            _ if roots == Roots::System => SslMode::VerifyFull,
            _ => SslMode::Prefer,
        };
        if roots == Roots::System && mode != SslMode::VerifyFull {
            return Err(Error::configuration(
                "sslmode",
                "with sslrootcert=system, verify-full is expected: anybody has a certificate of \
                 the system's roots",
            ));
        }
        let direct = parameters.get("sslnegotiation") == Some("direct");
        if direct && mode < SslMode::Require {
            return Err(Error::configuration(
                "sslmode",
                "with sslnegotiation=direct, require, verify-ca or verify-full is expected",
            ));
        }
        let least = parameters.get("ssl_min_protocol_version");
        let most = parameters.get("ssl_max_protocol_version");
        let (tls12, tls13) = (least != Some("TLSv1.3"), most != Some("TLSv1.2"));
        if !tls12 && !tls13 {
            return Err(Error::configuration(
                "ssl_min_protocol_version",
                "is higher than ssl_max_protocol_version",
            ));
        }
        Ok(Self {
            mode,
            direct,
            roots,
            certificate: file("sslcert", "postgresql.crt"),
            key: file("sslkey", "postgresql.key"),
            key_password: parameters
                .get("sslpassword")
                .map(|password| Secret(password.to_owned())),
            revoked: file("sslcrl", "root.crl"),
            tls12,
            tls13,
            sni: parameters.get("sslsni") != Some("0"),
            show_certificate: parameters.get("sslcertmode") != Some("disable"),
        })
    }
}

impl SslMode {
    /// libpq's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl Methods {
    /// A password in clear goes through TLS or a Unix socket alone.
    pub(crate) const ANY: Self = Self {
        none: true,
        password: true,
        md5: true,
        scram: true,
        cleartext: false,
    };
}

/// libpq's `require_auth`: a list of methods, or one of methods that will not do, each behind `!`.
pub(super) fn methods(list: &str) -> Result<Methods, Error> {
    let wrong = |reason: &str| Error::configuration("require_auth", reason);
    let negated = list.trim_start().starts_with('!');
    let mut methods = Methods {
        none: negated,
        password: negated,
        md5: negated,
        scram: negated,
        cleartext: false,
    };
    for method in list.split(',').map(str::trim) {
        let name = method.strip_prefix('!');
        if name.is_some() != negated {
            return Err(wrong("all methods or none of them are behind a '!'"));
        }
        match name.unwrap_or(method) {
            "none" => methods.none = !negated,
            "password" => (methods.password, methods.cleartext) = (!negated, !negated),
            "md5" => methods.md5 = !negated,
            "scram-sha-256" => methods.scram = !negated,
            // We never do them.
            "gss" | "sspi" | "oauth" => {}
            _ => {
                return Err(wrong(
                    "a list of none, password, md5, scram-sha-256, gss, sspi and oauth is expected",
                ));
            }
        }
    }
    Ok(methods)
}

/// `host`, `hostaddr` and `port`, each one or a list of the same length.
fn hosts(parameters: &Parameters) -> Result<Vec<Host>, Error> {
    let list = |name: &str| -> Vec<String> {
        let list = parameters.get(name).map(|list| list.split(','));
        list.into_iter()
            .flatten()
            .map(|one| one.trim().to_owned())
            .collect()
    };
    let (names, addresses) = (list("host"), list("hostaddr"));
    let ports = parameters.get("port").map_or(Ok(vec![PORT]), ports)?;
    let count = names.len().max(addresses.len()).max(1);
    if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
        let reason = format!("{} addresses for {} hosts", addresses.len(), names.len());
        return Err(Error::configuration("hostaddr", reason));
    }
    if ports.len() != 1 && ports.len() != count {
        let reason = format!("{} ports for {count} hosts", ports.len());
        return Err(Error::configuration("port", reason));
    }
    let host = |index: usize| {
        let given = |list: &[String]| list.get(index).filter(|one| !one.is_empty()).cloned();
        let address = given(&addresses);
        Host {
            name: given(&names)
                .or_else(|| address.clone())
                .unwrap_or_else(|| "localhost".to_owned()),
            address,
            port: *ports.get(index).or(ports.first()).unwrap_or(&PORT),
        }
    };
    Ok((0..count).map(host).collect())
}

fn connect_timeout(parameters: &Parameters) -> Result<Duration, Error> {
    let Some(text) = parameters.get("connect_timeout") else {
        return Ok(CONNECT_TIMEOUT);
    };
    // libpq: what is not positive waits for ever. A year is as good and fits every clock.
    let seconds = seconds(text)?;
    if seconds <= 0.0 {
        return Ok(FOR_EVER);
    }
    Ok(Duration::try_from_secs_f64(seconds).map_or(FOR_EVER, |limit| limit.min(FOR_EVER)))
}

fn keepalive(parameters: &Parameters) -> Option<Keepalive> {
    let seconds = |name| number(parameters, name).map(|s| Duration::from_secs(u64::from(s)));
    if parameters
        .get("keepalives")
        .is_some_and(|on| on.parse() == Ok(0))
    {
        return None;
    }
    Some(Keepalive {
        idle: seconds("keepalives_idle").unwrap_or(KEEPALIVES_IDLE),
        interval: seconds("keepalives_interval"),
        count: number(parameters, "keepalives_count"),
    })
}

/// A positive number; libpq has 0 mean the system's default.
fn number(parameters: &Parameters, name: &str) -> Option<u32> {
    let number = parameters.get(name)?.parse().ok()?;
    (number > 0).then_some(number)
}

/// For one attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const FOR_EVER: Duration = Duration::from_hours(365 * 24);

/// An idle connection whose peer is silently gone is noticed after about so long.
const KEEPALIVES_IDLE: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests;
