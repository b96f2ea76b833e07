//! From a connection to a session: start-up and login, by the rules the settings have for it.

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use super::connector::Endpoint;
use super::problem::AuthenticationProblem;
use super::session::Session;
use super::wire::{Reply, Wire, server_error};
use crate::config::{ChannelBinding, Found, Host, Secret, Server, look_up};
use crate::error::{CONNECTING, Error, LOGGING_IN};

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The stream.
    Replication,
    /// Questions to the catalogs.
    Catalog,
    /// SQL of the commands.
    Client,
}

/// Who can read what goes over the wire.
pub(super) enum Privacy {
    /// Everybody on the way.
    None,
    /// Nobody but this machine: a Unix socket.
    Local,
    /// The server alone, whose certificate's hash this is where it has one.
    Tls(Option<Vec<u8>>),
}

/// Why a login failed.
pub(super) struct Failed {
    pub(super) error: Error,
    /// The server had not asked for anything yet: it may want TLS, or none.
    pub(super) unasked: bool,
}

/// Logs in.
pub(super) async fn log_in(
    wire: Wire,
    server: &Server,
    endpoint: Endpoint,
    privacy: &Privacy,
    purpose: Purpose,
) -> Result<Session, Failed> {
    let host = endpoint.host.clone();
    let mut session = Session {
        wire,
        endpoint,
        parameters: Vec::new(),
        key: None,
    };
    let mut login = Login {
        wire: &mut session.wire,
        server,
        host: &host,
        privacy,
        doing: purpose.doing(),
        asked: false,
        bound: false,
    };
    let entered = match login.start_up(purpose).await {
        Ok(()) => login.authenticate().await,
        Err(error) => Err(error),
    };
    let unasked = !login.asked;
    entered.map_err(|error| Failed { error, unasked })?;
    match session.settle(purpose.doing()).await {
        Ok(()) => Ok(session),
        Err(error) => Err(Failed {
            error,
            unasked: false,
        }),
    }
}

struct Login<'a> {
    wire: &'a mut Wire,
    server: &'a Server,
    host: &'a Host,
    privacy: &'a Privacy,
    doing: &'static str,
    /// The server has asked for something.
    asked: bool,
    /// The server has proved over this very TLS connection that it knows the password.
    bound: bool,
}

impl Login<'_> {
    async fn start_up(&mut self, purpose: Purpose) -> Result<(), Error> {
        let mut parameters = vec![
            ("user", self.server.user.as_str()),
            ("database", self.server.database.as_str()),
            ("application_name", self.server.application_name.as_str()),
        ];
        if let Some(options) = &self.server.options {
            parameters.push(("options", options));
        }
        parameters.extend(PINNED);
        parameters.extend(purpose.parameters());
        let mut out = BytesMut::new();
        frontend::startup_message(parameters, &mut out)
            .map_err(|io| self.wire.io(self.doing, io))?;
        self.wire.write(&out, self.doing).await
    }

    async fn authenticate(&mut self) -> Result<(), Error> {
        let methods = self.server.methods;
        loop {
            let Reply::Message(message) = self.wire.read_message(self.doing).await? else {
                return Err(Error::protocol("streaming began before the login ended"));
            };
            match message {
                Message::AuthenticationOk => return self.is_enough(),
                Message::AuthenticationCleartextPassword => {
                    self.allow(methods.password, "password")?;
                    if matches!(self.privacy, Privacy::None) && !methods.cleartext {
                        return Err(self.problem(AuthenticationProblem::Cleartext));
                    }
                    let password = self.password().await?;
                    self.answer(password.0.as_bytes()).await?;
                }
                Message::AuthenticationMd5Password(body) => {
                    self.allow(methods.md5, "md5")?;
                    let password = self.password().await?;
                    let user = self.server.user.as_bytes();
                    let hash = md5_hash(user, password.0.as_bytes(), body.salt());
                    self.answer(hash.as_bytes()).await?;
                }
                Message::AuthenticationSasl(body) => {
                    self.asked = true;
                    let offered: Vec<String> = body
                        .mechanisms()
                        .map(|mechanism| Ok(mechanism.to_owned()))
                        .collect()
                        .map_err(|io| self.wire.io(self.doing, io))?;
                    self.scram(&offered).await?;
                }
                Message::ErrorResponse(body) => {
                    return Err(server_error(&body, self.doing, &self.wire.login));
                }
                Message::NoticeResponse(_) => {}
                message => {
                    let asked = match message {
                        Message::AuthenticationGss
                        | Message::AuthenticationSspi
                        | Message::AuthenticationKerberosV5 => "GSSAPI, SSPI or Kerberos",
                        _ => "a login of another kind than password, md5 and scram-sha-256",
                    };
                    self.asked = true;
                    return Err(self.problem(AuthenticationProblem::Unsupported {
                        asked: asked.to_owned(),
                    }));
                }
            }
        }
    }

    /// The server is content: are we?
    fn is_enough(&self) -> Result<(), Error> {
        if !self.asked && !self.server.methods.none {
            let asked = "none";
            return Err(self.problem(AuthenticationProblem::Method { asked }));
        }
        if self.server.channel_binding == ChannelBinding::Require && !self.bound {
            let reason = "the server let us in without";
            return Err(self.problem(AuthenticationProblem::ChannelBinding { reason }));
        }
        Ok(())
    }

    /// The server asks for a password in some way.
    fn allow(&mut self, allowed: bool, asked: &'static str) -> Result<(), Error> {
        self.asked = true;
        if !allowed {
            return Err(self.problem(AuthenticationProblem::Method { asked }));
        }
        if self.server.channel_binding == ChannelBinding::Require && asked != SCRAM {
            let reason = "the server asks for the password in a way that has none";
            return Err(self.problem(AuthenticationProblem::ChannelBinding { reason }));
        }
        Ok(())
    }

    async fn scram(&mut self, offered: &[String]) -> Result<(), Error> {
        self.allow(self.server.methods.scram, SCRAM)?;
        let offers = |mechanism| offered.iter().any(|offered| offered == mechanism);
        let required = self.server.channel_binding == ChannelBinding::Require;
        let certificate = match self.privacy {
            Privacy::Tls(certificate) if self.server.channel_binding != ChannelBinding::Disable => {
                certificate.as_ref()
            }
            _ => None,
        };
        let (mechanism, binding) = match certificate {
            Some(hash) if offers(sasl::SCRAM_SHA_256_PLUS) => (
                sasl::SCRAM_SHA_256_PLUS,
                sasl::ChannelBinding::tls_server_end_point(hash.clone()),
            ),
            _ if required => {
                let reason = match self.privacy {
                    Privacy::Tls(Some(_)) => "the server does not offer it",
                    Privacy::Tls(None) => "the server's certificate has no hash defined for it",
                    _ => "there is none without TLS",
                };
                return Err(self.problem(AuthenticationProblem::ChannelBinding { reason }));
            }
            // Says that we could: a server that could as well knows then that somebody in between
            // has taken its offer away.
            Some(_) => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unrequested()),
            None => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
        };
        if !offers(mechanism) {
            return Err(self.problem(AuthenticationProblem::Unsupported {
                asked: offered.join(", "),
            }));
        }
        let password = self.password().await?;
        let scram = sasl::ScramSha256::new(password.0.as_bytes(), binding);
        self.exchange(scram, mechanism).await?;
        self.bound = mechanism == sasl::SCRAM_SHA_256_PLUS;
        Ok(())
    }

    async fn exchange(
        &mut self,
        mut scram: sasl::ScramSha256,
        mechanism: &str,
    ) -> Result<(), Error> {
        let mut out = BytesMut::new();
        frontend::sasl_initial_response(mechanism, scram.message(), &mut out)
            .map_err(|io| self.wire.io(self.doing, io))?;
        self.wire.write(&out, self.doing).await?;
        loop {
            match self.wire.read_message(self.doing).await? {
                Reply::Message(Message::AuthenticationSaslContinue(body)) => {
                    scram
                        .update(body.data())
                        .map_err(|io| self.broken(&io.to_string()))?;
                    out.clear();
                    frontend::sasl_response(scram.message(), &mut out)
                        .map_err(|io| self.wire.io(self.doing, io))?;
                    self.wire.write(&out, self.doing).await?;
                }
                Reply::Message(Message::AuthenticationSaslFinal(body)) => {
                    let finished = scram.finish(body.data());
                    return finished.map_err(|io| self.broken(&io.to_string()));
                }
                Reply::Message(Message::ErrorResponse(body)) => {
                    return Err(server_error(&body, self.doing, &self.wire.login));
                }
                Reply::Message(Message::NoticeResponse(_)) => {}
                _ => return Err(self.broken("it broke off the exchange")),
            }
        }
    }

    async fn answer(&mut self, password: &[u8]) -> Result<(), Error> {
        let mut out = BytesMut::new();
        frontend::password_message(password, &mut out)
            .map_err(|io| self.wire.io(self.doing, io))?;
        self.wire.write(&out, self.doing).await
    }

    /// The password as it is now: given, asked for, or from the password file.
    async fn password(&mut self) -> Result<Secret, Error> {
        if let Some(password) = &self.server.password {
            let asked = password.get().await;
            let password = asked.map_err(|error| Error::Password {
                address: self.wire.address.clone(),
                error,
            })?;
            return if password.0.contains('\0') {
                Err(Error::configuration(
                    "password",
                    "must not hold a zero byte",
                ))
            } else if password.0.is_empty() {
                Err(self.problem(AuthenticationProblem::NoPassword {
                    open_passfile: None,
                }))
            } else {
                Ok(password)
            };
        }
        let file = self.server.passfile.as_deref();
        let found = file.map(|file| look_up(file, self.server.whom(self.host)));
        let open_passfile = match found {
            Some(Found::Password(password)) => return Ok(password),
            Some(Found::Open(path)) => Some(path.display().to_string()),
            Some(Found::Nothing) | None => None,
        };
        Err(self.problem(AuthenticationProblem::NoPassword { open_passfile }))
    }

    fn broken(&self, reason: &str) -> Error {
        self.problem(AuthenticationProblem::Server {
            reason: reason.to_owned(),
        })
    }

    fn problem(&self, problem: AuthenticationProblem) -> Error {
        Error::Authentication {
            address: self.wire.address.clone(),
            problem,
        }
    }
}

impl Session {
    /// Reads on until the server waits for queries.
    async fn settle(&mut self, doing: &'static str) -> Result<(), Error> {
        loop {
            match self.wire.read_message(doing).await? {
                Reply::Message(Message::ReadyForQuery(_)) => return Ok(()),
                Reply::Message(Message::ErrorResponse(body)) => {
                    return Err(server_error(&body, doing, &self.wire.login));
                }
                Reply::Message(Message::ParameterStatus(body)) => {
                    if let (Ok(name), Ok(value)) = (body.name(), body.value()) {
                        self.parameters.push((name.to_owned(), value.to_owned()));
                    }
                }
                Reply::Message(Message::BackendKeyData(body)) => {
                    self.key = Some((body.process_id(), body.secret_key()));
                }
                _ => {}
            }
        }
    }
}

impl Purpose {
    /// What is done while such a session is made.
    pub(super) fn doing(self) -> &'static str {
        match self {
            Self::Replication => LOGGING_IN,
            Self::Catalog | Self::Client => CONNECTING,
        }
    }

    fn parameters(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Replication => &[
                ("replication", "database"),
                // A warning while streaming is how we hear of a publication that was dropped.
                ("client_min_messages", "warning"),
                // A role's or database's own are for other sessions.
                ("lock_timeout", "0"),
                ("statement_timeout", "0"),
            ],
            // `pg_get_expr` locks the table whose default it prints, from 18 on: whoever keeps it
            // locked must not stop the stream.
            Self::Catalog => &[("lock_timeout", "2s"), ("statement_timeout", "0")],
            Self::Client => &[],
        }
    }
}

/// Settings that change the text of values: a database's own must not change an event.
const PINNED: [(&str, &str); 6] = [
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO"),
    ("extra_float_digits", "3"),
    ("intervalstyle", "postgres"),
    ("timezone", "UTC"),
];

/// As `require_auth` has it.
const SCRAM: &str = "scram-sha-256";
