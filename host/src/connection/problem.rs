//! Why a server was not entered: what is wrong with its TLS, or with how it asks for a login.

use tokio_rustls::rustls::{self, AlertDescription, CertificateError, PeerIncompatible};

/// Why there is no TLS with the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsProblem {
    /// The server refused us in the handshake.
    #[error("the server refused the handshake: {alert}")]
    Alert {
        /// Its alert, in the words of TLS.
        alert: String,
    },
    /// A certificate that cannot be used for another reason than those below.
    #[error("the server's certificate cannot be used: {reason}")]
    Certificate {
        /// What is wrong: for people.
        reason: String,
    },
    /// The server wants a certificate and got none, or none it accepts.
    #[error("the server does not accept the client certificate, or wants one: {alert}")]
    ClientCertificate {
        /// Its alert, in the words of TLS.
        alert: String,
    },
    /// The certificate's time is over.
    #[error("the server's certificate has expired")]
    Expired,
    /// The certificate is another host's.
    #[error("the server's certificate is not for {host:?} but for {}", names(.presented))]
    Name {
        /// The host connected to.
        host: String,
        /// Whom the certificate is for.
        presented: Vec<String>,
    },
    /// The certificate's time has not come.
    #[error("the server's certificate is not valid yet")]
    NotYetValid,
    /// What the server sent is not the protocol.
    #[error("{reason}")]
    Protocol {
        /// What was wrong: for people.
        reason: String,
    },
    /// The certificate was revoked.
    #[error("the server's certificate has been revoked")]
    Revoked,
    /// The certificate comes from nobody we were told to trust.
    #[error("the server's certificate comes from an unknown issuer")]
    UnknownIssuer,
    /// The server has no TLS.
    #[error("the server does not support TLS")]
    Unsupported,
}

/// Why the login was not gone through with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationProblem {
    /// Channel binding was required and is not to be had.
    #[error("channel binding is required, and {reason}")]
    ChannelBinding {
        /// Why not: for people.
        reason: &'static str,
    },
    /// The server wants the password in clear where others can read it.
    #[error("the server asks for the password in clear over a connection without TLS")]
    Cleartext,
    /// The server wants a login that `require_auth` does not allow.
    #[error("the server asks for {asked}, which require_auth does not allow")]
    Method {
        /// The method, as `require_auth` has it.
        asked: &'static str,
    },
    /// There is no password.
    #[error(
        "the server asks for a password and none was given{}",
        passfile_text(.open_passfile.as_deref())
    )]
    NoPassword {
        /// A password file that is not read since others may read it.
        open_passfile: Option<String>,
    },
    /// The server answered our proof with a wrong one of its own, or not as SCRAM has it.
    #[error("the server does not know the password itself, or breaks SCRAM's rules: {reason}")]
    Server {
        /// What was wrong: for people.
        reason: String,
    },
    /// A login that is not implemented.
    #[error("the server asks for {asked}, which is not supported")]
    Unsupported {
        /// What it asks for.
        asked: String,
    },
}

impl TlsProblem {
    /// What rustls found.
    pub(super) fn of(error: &rustls::Error, host: &str) -> Self {
        use rustls::Error as E;
        let alert = |alert: &AlertDescription| format!("{alert:?}");
        match error {
            E::InvalidCertificate(wrong) => Self::of_certificate(wrong, host),
            E::AlertReceived(
                received @ (AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRequired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::DecryptError
                | AlertDescription::UnknownCA
                | AlertDescription::UnsupportedCertificate),
            ) => Self::ClientCertificate {
                alert: alert(received),
            },
            E::AlertReceived(received) => Self::Alert {
                alert: alert(received),
            },
            E::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
                Self::Protocol {
                    reason: "the server has neither TLS 1.2 nor TLS 1.3".to_owned(),
                }
            }
            error => Self::Protocol {
                reason: error.to_string(),
            },
        }
    }

    fn of_certificate(wrong: &CertificateError, host: &str) -> Self {
        use CertificateError as C;
        match wrong {
            C::Expired | C::ExpiredContext { .. } => Self::Expired,
            C::NotValidYet | C::NotValidYetContext { .. } => Self::NotYetValid,
            C::Revoked => Self::Revoked,
            C::UnknownIssuer => Self::UnknownIssuer,
            C::NotValidForName => Self::Name {
                host: host.to_owned(),
                presented: Vec::new(),
            },
            C::NotValidForNameContext { presented, .. } => Self::Name {
                host: host.to_owned(),
                presented: presented.clone(),
            },
            wrong => Self::Certificate {
                reason: wrong.to_string(),
            },
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::ClientCertificate { .. } => {
                "give a certificate that the server's ssl_ca_file signed: sslcert, sslkey"
            }
            Self::Expired | Self::NotYetValid => {
                "give the server a certificate that is valid now, and check both clocks"
            }
            Self::Name { .. } => {
                "connect by a name the certificate has, or use sslmode=verify-ca, which does not \
                 look at names"
            }
            Self::UnknownIssuer => {
                "name the certificate of the authority that signed it: sslrootcert"
            }
            Self::Unsupported => {
                "set ssl = on at the server, or use sslmode=prefer, which does without"
            }
            Self::Revoked => "give the server another certificate",
            _ => return None,
        })
    }
}

impl AuthenticationProblem {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::ChannelBinding { .. } => {
                "have the server ask for scram-sha-256 over TLS, or use channel_binding=prefer"
            }
            Self::Cleartext => {
                "use sslmode=require or better, or scram-sha-256 in pg_hba.conf; \
                 require_auth=password sends it all the same"
            }
            Self::Method { .. } => "change pg_hba.conf, or require_auth",
            Self::NoPassword { .. } => {
                "give the role's password, or let the server trust it in pg_hba.conf"
            }
            Self::Unsupported { .. } => "use scram-sha-256 in pg_hba.conf",
            Self::Server { .. } => return None,
        })
    }
}

fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "another".to_owned();
    }
    presented.join(", ")
}

fn passfile_text(path: Option<&str>) -> String {
    match path {
        Some(path) => format!(" ({path} is not read: others may read it; chmod 600 {path})"),
        None => String::new(),
    }
}
