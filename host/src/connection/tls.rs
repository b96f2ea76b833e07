//! TLS as `sslmode` and its companions want it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::certificate::{Trust, Verifier, end_point};
use super::key;
use super::problem::TlsProblem;
use super::watched::Watched;
use crate::config::{File, Host, Roots, SslMode, TlsSettings};
use crate::error::Error;

/// What the files say, for one host.
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    host: Host,
    direct: bool,
    named: bool,
}

/// What the server says to a wish for TLS.
pub(super) enum Answer {
    Tls {
        stream: Box<TlsStream<Watched<TcpStream>>>,
        /// The hash of the server's certificate, for channel binding.
        end_point: Option<Vec<u8>>,
    },
    /// It has none; the connection can be used without.
    Unsupported(TcpStream),
}

impl Tls {
    /// Reads the files: those that were renewed since count. Blocks.
    pub(super) fn read(settings: &TlsSettings, host: &Host) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier {
            algorithms: provider.signature_verification_algorithms,
            trust: trust(settings, host, &provider)?,
        };
        let versions: Vec<_> = [(settings.tls12, &TLS12), (settings.tls13, &TLS13)]
            .into_iter()
            .filter_map(|(allowed, version)| allowed.then_some(version))
            .collect();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| Error::configuration("ssl_min_protocol_version", error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let certificate = settings.certificate.bytes("sslcert")?;
        let mut config = match certificate.filter(|_| settings.show_certificate) {
            None => builder.with_no_client_auth(),
            Some((path, bytes)) => {
                let chain = certificates("sslcert", path, &bytes)?;
                let (File::Given(key) | File::Default(Some(key))) = &settings.key else {
                    let reason = format!("{} needs a key, and none is given", path.display());
                    return Err(Error::configuration("sslkey", reason));
                };
                let key = key::read(key, settings.key_password.as_ref())?;
                let with = builder.with_client_auth_cert(chain, key);
                with.map_err(|error| Error::configuration("sslkey", error.to_string()))?
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_sni = settings.sni;
        Ok(Self {
            config: Arc::new(config),
            host: host.clone(),
            direct: settings.direct,
            named: settings.mode == SslMode::VerifyFull,
        })
    }

    /// Makes TLS of a connection, if the server has it.
    pub(super) async fn ask(&self, mut socket: TcpStream) -> Result<Answer, Error> {
        if !self.direct {
            socket
                .write_all(&SSL_REQUEST)
                .await
                .map_err(|io| self.io(io))?;
            // One byte and no more: what came behind it in clear would not be the server's
            // (CVE-2021-23222), and is left to TLS, which makes nothing of it.
            match socket.read_u8().await.map_err(|io| self.io(io))? {
                b'S' => {}
                b'N' => return Ok(Answer::Unsupported(socket)),
                // Of a server without the means for another session, mostly: it may have them in a
                // moment. Not from anybody known, so not shown (CVE-2024-10977).
                b'E' => {
                    let text = "the server answered the request for TLS with an error";
                    return Err(self.io(io::Error::new(io::ErrorKind::ConnectionAborted, text)));
                }
                _ => {
                    return Err(self.problem(TlsProblem::Protocol {
                        reason: "the server answered the request for TLS with something else"
                            .to_owned(),
                    }));
                }
            }
        }
        let name = self.name(&socket)?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector
            .connect(name, Watched::new(socket))
            .await
            .map_err(|io| {
                let problem = problem(&io, &self.host.name);
                problem.map_or_else(|| self.io(io), |problem| self.problem(problem))
            })?;
        let (_, session) = stream.get_ref();
        if self.direct && session.alpn_protocol() != Some(ALPN) {
            return Err(self.problem(TlsProblem::Protocol {
                reason: "who answers is not PostgreSQL 17 or newer, which sslnegotiation=direct \
                         needs"
                    .to_owned(),
            }));
        }
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        Ok(Answer::Tls {
            end_point: certificate.and_then(|certificate| end_point(certificate)),
            stream: Box::new(stream),
        })
    }

    /// The host's name; where it can be none and does not matter, its address.
    fn name(&self, socket: &TcpStream) -> Result<ServerName<'static>, Error> {
        match ServerName::try_from(self.host.name.clone()) {
            Ok(name) => Ok(name),
            Err(_) if self.named => Err(Error::configuration(
                "host",
                "sslmode=verify-full needs a name that can stand in a certificate",
            )),
            Err(_) => {
                let address = socket.peer_addr().map_err(|io| self.io(io))?;
                Ok(ServerName::IpAddress(address.ip().into()))
            }
        }
    }

    fn problem(&self, problem: TlsProblem) -> Error {
        Error::Tls {
            address: self.host.address(),
            problem,
        }
    }

    fn io(&self, io: io::Error) -> Error {
        Error::Connection {
            address: self.host.address(),
            doing: "negotiating TLS",
            io,
        }
    }
}

impl File {
    /// The file's path and content, if there is one.
    fn bytes(&self, setting: &str) -> Result<Option<(&Path, Vec<u8>)>, Error> {
        let (path, given) = match self {
            Self::Given(path) => (path, true),
            Self::Default(Some(path)) => (path, false),
            Self::Default(None) => return Ok(None),
        };
        match std::fs::read(path) {
            Ok(bytes) => Ok(Some((path, bytes))),
            Err(io)
                if !given
                    && matches!(
                        io.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) =>
            {
                Ok(None)
            }
            Err(io) => {
                let reason = format!("cannot read {}: {io}", path.display());
                Err(Error::configuration(setting, reason))
            }
        }
    }
}

/// Whom the settings trust; `None` for anybody. As in libpq, a file of roots makes `require` mean
/// `verify-ca`.
fn trust(
    settings: &TlsSettings,
    host: &Host,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Trust>, Error> {
    let roots = match &settings.roots {
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() {
                let reason = "the system has no trusted roots where they are looked for";
                return Err(Error::configuration("sslrootcert", reason));
            }
            found.certs
        }
        Roots::File(file) => match file.bytes("sslrootcert")? {
            Some((path, bytes)) => certificates("sslrootcert", path, &bytes)?,
            None if settings.mode >= SslMode::VerifyCa => {
                let reason = format!(
                    "sslmode={} needs a file of trusted roots: name one, put it at \
                     ~/.postgresql/root.crt, or use sslrootcert=system",
                    settings.mode.name()
                );
                return Err(Error::configuration("sslrootcert", reason));
            }
            None => return Ok(None),
        },
    };
    let mut store = RootCertStore::empty();
    // One of the system's that cannot be read is no reason not to trust the others.
    store.add_parsable_certificates(roots.iter().cloned());
    let mut builder =
        WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
    if let Some((path, bytes)) = settings.revoked.bytes("sslcrl")? {
        let lists: Result<Vec<_>, _> =
            CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
        let lists = lists.map_err(|_| {
            let reason = format!("{} is no list of revoked certificates", path.display());
            Error::configuration("sslcrl", reason)
        })?;
        builder = builder.with_crls(lists);
    }
    let chains = builder
        .build()
        .map_err(|error| Error::configuration("sslrootcert", error.to_string()))?;
    Ok(Some(Trust {
        chains,
        roots,
        host: (settings.mode == SslMode::VerifyFull).then(|| host.name.clone()),
    }))
}

fn certificates(
    setting: &str,
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match parsed {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => {
            let reason = format!("{} holds no certificate", path.display());
            Err(Error::configuration(setting, reason))
        }
    }
}

/// What rustls said, if it is what `io` tells of.
pub(super) fn problem(io: &io::Error, host: &str) -> Option<TlsProblem> {
    let error = io.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(TlsProblem::of(error, host))
}

/// Length and `NEGOTIATE_SSL_CODE`, libpq/pqcomm.h.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F];

/// `PG_ALPN_PROTOCOL`, libpq/pqcomm.h
const ALPN: &[u8] = b"postgresql";
