//! Which host, which of its addresses, with or without TLS: the one way to a server, for the
//! stream's own connection and for every other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom;
use tokio_postgres::Client;

use super::login::{Failed, Privacy, Purpose, log_in};
use super::session::Session;
use super::tls::{Answer, Tls};
use super::transport::{Address, Socket, Transport};
use super::watched::Watched;
use super::wire::Wire;
use crate::config::{Host, Server, SslMode, TargetSessionAttrs};
use crate::error::{CONNECTING, Error, Login};

/// Makes sessions with the server, or with whichever of several is the one wanted.
pub(crate) struct Connector {
    server: Server,
}

/// One address of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(super) host: Host,
    address: Address,
}

/// A server that was reached, and that can be told from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) endpoint: Endpoint,
    /// `pg_postmaster_start_time`: two servers behind one address differ in it.
    pub(crate) started: String,
}

impl Connector {
    pub(crate) fn new(server: Server) -> Arc<Self> {
        Arc::new(Self { server })
    }

    /// All hosts, for messages.
    pub(crate) fn address(&self) -> String {
        self.server.address()
    }

    pub(crate) fn has_several_hosts(&self) -> bool {
        self.server.hosts.len() > 1
    }

    pub(crate) fn database(&self) -> &str {
        &self.server.database
    }

    pub(crate) fn login(&self) -> Login {
        self.server.login()
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.server.connect_timeout
    }

    /// A session for whoever speaks tokio-postgres.
    pub(crate) async fn client(&self) -> Result<Client, Error> {
        let session = self.open(Purpose::Client).await?;
        let (client, ended) = session.into_client().await?;
        tokio::spawn(ended);
        Ok(client)
    }

    /// A session on the first server that can be reached and is of the kind asked for.
    pub(crate) async fn open(&self, purpose: Purpose) -> Result<Session, Error> {
        let wanted = self.server.target_session_attrs;
        if wanted == TargetSessionAttrs::PreferStandby
            && let Ok(session) = self.search(purpose, TargetSessionAttrs::Standby).await
        {
            return Ok(session);
        }
        self.search(purpose, wanted).await
    }

    /// A session at exactly this address.
    pub(crate) async fn open_at(
        &self,
        endpoint: &Endpoint,
        purpose: Purpose,
    ) -> Result<Session, Error> {
        let attempt = self.attempt(endpoint, purpose);
        self.in_time(endpoint.host.address(), attempt).await
    }

    async fn search(&self, purpose: Purpose, wanted: TargetSessionAttrs) -> Result<Session, Error> {
        let mut hosts: Vec<_> = self.server.hosts.iter().collect();
        if self.server.load_balance {
            hosts.shuffle(&mut rand::rng());
        }
        let mut tried = Vec::new();
        for host in hosts {
            let addresses = async {
                let found = Address::resolve(host, self.server.load_balance).await;
                found.map_err(|io| Error::Connection {
                    address: host.address(),
                    doing: CONNECTING,
                    io,
                })
            };
            let addresses = match self.in_time(host.address(), addresses).await {
                Ok(addresses) => addresses,
                Err(error) => {
                    tried.push(error);
                    continue;
                }
            };
            for address in addresses {
                let endpoint = Endpoint {
                    host: host.clone(),
                    address,
                };
                let attempt = async {
                    let session = self.attempt(&endpoint, purpose).await?;
                    session.if_it_is(wanted).await
                };
                match self.in_time(host.address(), attempt).await {
                    Err(error) if is_about_this_server(&error) => tried.push(error),
                    result => return result,
                }
            }
        }
        match tried.pop() {
            // A name's several addresses are one server's, mostly.
            Some(last) if self.server.hosts.len() == 1 || tried.is_empty() => Err(last),
            last => {
                tried.extend(last);
                Err(Error::Hosts { tried })
            }
        }
    }

    /// `attempt`, but no longer than it may take.
    async fn in_time<T>(
        &self,
        address: String,
        attempt: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let limit = self.server.connect_timeout;
        let done = tokio::time::timeout(limit, attempt).await;
        done.unwrap_or_else(|_| Err(late(address, CONNECTING, limit)))
    }

    async fn attempt(&self, endpoint: &Endpoint, purpose: Purpose) -> Result<Session, Error> {
        let ways: &[bool] = match (&endpoint.address, self.server.tls.mode) {
            (Address::Unix(_), _) | (_, SslMode::Disable) => &[false],
            (_, SslMode::Allow) => &[false, true],
            (_, SslMode::Prefer) => &[true, false],
            _ => &[true],
        };
        let mut first = None;
        for with_tls in ways {
            match (self.enter(endpoint, *with_tls, purpose).await, first) {
                (Ok(session), _) => return Ok(session),
                (Err(failed), None) if failed.unasked => first = Some(failed.error),
                // The server minds the way we come: what it said to the first is what matters.
                (Err(failed), Some(error)) if failed.unasked => return Err(error),
                (Err(failed), _) => return Err(failed.error),
            }
        }
        Err(first.unwrap_or(Error::Ended))
    }

    async fn enter(
        &self,
        endpoint: &Endpoint,
        with_tls: bool,
        purpose: Purpose,
    ) -> Result<Session, Failed> {
        let lasting = |error| Failed {
            error,
            unasked: false,
        };
        let host = &endpoint.host;
        let socket = endpoint.address.connect(&self.server).await;
        let socket = socket.map_err(|io| {
            lasting(Error::Connection {
                address: host.address(),
                doing: CONNECTING,
                io,
            })
        })?;
        let (transport, privacy): (Box<dyn Transport>, _) = match socket {
            #[cfg(unix)]
            Socket::Unix(socket) => (Box::new(Watched::new(socket)), Privacy::Local),
            Socket::Tcp(socket) if !with_tls => (Box::new(Watched::new(socket)), Privacy::None),
            Socket::Tcp(socket) => {
                let (settings, host) = (self.server.tls.clone(), host.clone());
                let read = tokio::task::spawn_blocking(move || Tls::read(&settings, &host)).await;
                let tls = read.unwrap_or(Err(Error::Ended)).map_err(lasting)?;
                match tls.ask(socket).await {
                    Ok(Answer::Tls { stream, end_point }) => (stream, Privacy::Tls(end_point)),
                    Ok(Answer::Unsupported(socket)) if self.server.tls.mode <= SslMode::Prefer => {
                        (Box::new(Watched::new(socket)), Privacy::None)
                    }
                    Ok(Answer::Unsupported(_)) => {
                        return Err(lasting(Error::Tls {
                            address: endpoint.host.address(),
                            problem: super::TlsProblem::Unsupported,
                        }));
                    }
                    Err(error) => {
                        let unasked = matches!(error, Error::Tls { .. });
                        return Err(Failed { error, unasked });
                    }
                }
            }
        };
        let wire = Wire::new(transport, endpoint.host.address(), self.server.login());
        let mut failed = match log_in(wire, &self.server, endpoint.clone(), &privacy, purpose).await
        {
            Ok(session) => return Ok(session),
            Err(failed) => failed,
        };
        // Without TLS already, or refused for something else than how we come.
        let other_way = with_tls == matches!(privacy, Privacy::Tls(_));
        failed.unasked &= other_way && matches!(failed.error, Error::Server { .. });
        Err(failed)
    }
}

impl Session {
    /// This session, if its server is of the kind `wanted`.
    async fn if_it_is(mut self, wanted: TargetSessionAttrs) -> Result<Self, Error> {
        use TargetSessionAttrs as Wanted;
        if matches!(wanted, Wanted::Any | Wanted::PreferStandby) {
            return Ok(self);
        }
        let (standby, read_only) = if self.server_major() >= 14 {
            let is_on = |name| self.parameter(name) == Some("on");
            let standby = is_on("in_hot_standby");
            (standby, standby || is_on("default_transaction_read_only"))
        } else {
            let doing = "asking what kind of server it is";
            let row = self.wire.row(KIND, doing).await?;
            let mut row = row
                .into_iter()
                .map(|value| value.as_deref() == Some("true"));
            (row.next() == Some(true), row.next() == Some(true))
        };
        let fits = match wanted {
            Wanted::Any | Wanted::PreferStandby => true,
            Wanted::ReadWrite => !read_only,
            Wanted::ReadOnly => read_only,
            Wanted::Primary => !standby,
            Wanted::Standby => standby,
        };
        if fits {
            return Ok(self);
        }
        let address = self.wire.address.clone();
        self.end().await;
        Err(Error::SessionAttributes {
            address,
            wanted: wanted.name(),
            found: match (standby, read_only) {
                (true, _) => "a standby",
                (false, true) => "a read-only primary",
                (false, false) => "a primary",
            },
        })
    }
}

/// Whether another server may do better: not where a login failed, which is everywhere the same.
fn is_about_this_server(error: &Error) -> bool {
    match error {
        Error::Connection { .. } | Error::SessionAttributes { .. } | Error::Tls { .. } => true,
        error => matches!(error, Error::Server { .. }) && error.is_transient(),
    }
}

pub(crate) fn late(address: String, doing: &'static str, limit: Duration) -> Error {
    let text = format!("no answer within {} s", limit.as_secs_f32());
    Error::Connection {
        address,
        doing,
        io: io::Error::new(io::ErrorKind::TimedOut, text),
    }
}

/// Before 14 the server does not tell by itself.
const KIND: &str = "SELECT pg_catalog.pg_is_in_recovery()::text,
       (pg_catalog.current_setting('transaction_read_only') = 'on')::text";
