//! Servers' certificates: whether one is trusted, whom it is for, and its hash. The chain is
//! webpki's business; here is what libpq does besides.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Tag, Tagged};

/// Looks at a server's certificate as `sslmode` wants it.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// `None` where whoever answers is taken for the server.
    pub(super) trust: Option<Trust>,
}

/// Who is trusted.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) chains: Arc<WebPkiServerVerifier>,
    /// The roots themselves: a server may have one of them for its certificate, as with one that
    /// signed itself.
    pub(super) roots: Vec<CertificateDer<'static>>,
    /// Whom the certificate must be for, if that matters.
    pub(super) host: Option<String>,
}

impl Trust {
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let named = if self.roots.iter().any(|root| root == end_entity) {
            is_valid_at(end_entity, now)?;
            match &self.host {
                Some(_) => ParsedCertificate::try_from(end_entity)
                    .and_then(|certificate| verify_server_name(&certificate, name)),
                None => Ok(()),
            }
        } else {
            // The chain is looked at before the name.
            let verified =
                self.chains
                    .verify_server_cert(end_entity, intermediates, name, &[], now);
            match verified {
                // One that signed itself is mostly an authority's, which webpki minds first.
                Err(error) if !is_about_name(&error) && is_self_issued(end_entity) => {
                    Err(CertificateError::UnknownIssuer.into())
                }
                verified => verified.map(drop),
            }
        };
        match (named, &self.host) {
            (Err(error), None) if is_about_name(&error) => Ok(()),
            (Err(error), Some(host)) if is_about_name(&error) => {
                let name = common_name_alone(end_entity);
                match name {
                    Some(name) if is_for(&name, host) => Ok(()),
                    Some(name) => Err(not_for(host, name).unwrap_or(error)),
                    None => Err(error),
                }
            }
            (named, _) => named,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(trust) = &self.trust {
            trust.verify(end_entity, intermediates, server_name, now)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The certificate's hash as `tls-server-end-point` has it, RFC 5929, section 4.1; `None` where
/// that defines none.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let parsed = CertificateInner::<Raw>::from_der(certificate).ok()?;
    let algorithm = parsed.signature_algorithm();
    let hash = match signature_hash(algorithm.oid)? {
        Hash::OfParameters => {
            // RSASSA-PSS-params, RFC 8017, appendix A.2.3: the hash comes first, or it is SHA-1.
            let parameters = algorithm.parameters.as_ref()?.value();
            let oid = parameters.strip_prefix(&[0xA0])?.get(3..)?;
            let length = usize::from(*oid.get(1)?);
            let oid = ObjectIdentifier::from_bytes(oid.get(2..2 + length)?).ok()?;
            named_hash(oid)?
        }
        hash => hash,
    };
    Some(match hash {
        Hash::Sha224 => Sha224::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
        Hash::Sha256 | Hash::OfParameters => Sha256::digest(certificate).to_vec(),
    })
}

enum Hash {
    OfParameters,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

fn signature_hash(oid: ObjectIdentifier) -> Option<Hash> {
    Some(match oid.to_string().as_str() {
        // md5, sha1, sha256 WithRSAEncryption, ecdsa-with-SHA1, ecdsa-with-SHA256: what is weaker
        // than SHA-256 counts as that.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Hash::Sha256,
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" => Hash::Sha224,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Hash::Sha384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Hash::Sha512,
        "1.2.840.113549.1.1.10" => Hash::OfParameters,
        _ => return None,
    })
}

fn named_hash(oid: ObjectIdentifier) -> Option<Hash> {
    Some(match oid.to_string().as_str() {
        "1.3.14.3.2.26" | "2.16.840.1.101.3.4.2.1" => Hash::Sha256,
        "2.16.840.1.101.3.4.2.4" => Hash::Sha224,
        "2.16.840.1.101.3.4.2.2" => Hash::Sha384,
        "2.16.840.1.101.3.4.2.3" => Hash::Sha512,
        _ => return None,
    })
}

fn is_about_name(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
}

fn is_self_issued(certificate: &[u8]) -> bool {
    parsed(certificate).is_ok_and(|parsed| {
        let certificate = parsed.tbs_certificate();
        certificate.issuer() == certificate.subject()
    })
}

fn not_for(host: &str, presented: String) -> Option<Error> {
    let expected = ServerName::try_from(host.to_owned()).ok()?;
    let wrong = CertificateError::NotValidForNameContext {
        expected,
        presented: vec![presented],
    };
    Some(wrong.into())
}

fn is_valid_at(certificate: &[u8], now: UnixTime) -> Result<(), Error> {
    let parsed = parsed(certificate)?;
    let validity = parsed.tbs_certificate().validity();
    let now = Duration::from_secs(now.as_secs());
    if now < validity.not_before.to_unix_duration() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.to_unix_duration() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

fn parsed(certificate: &[u8]) -> Result<CertificateInner<Raw>, Error> {
    CertificateInner::from_der(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

/// The subject's common name, where the certificate has no names of the kind that replaced it.
fn common_name_alone(certificate: &[u8]) -> Option<String> {
    let parsed = parsed(certificate).ok()?;
    let certificate = parsed.tbs_certificate();
    let mut extensions = certificate.extensions().into_iter().flatten();
    if extensions.any(|extension| extension.extn_id == SUBJECT_ALT_NAME) {
        return None;
    }
    let mut attributes = certificate.subject().iter();
    let value = &attributes.find(|part| part.oid == COMMON_NAME)?.value;
    let text = match value.tag() {
        Tag::Utf8String => Utf8StringRef::try_from(value).ok()?.as_str().to_owned(),
        Tag::PrintableString => PrintableStringRef::try_from(value)
            .ok()?
            .as_str()
            .to_owned(),
        Tag::TeletexString => TeletexStringRef::try_from(value).ok()?.as_str().to_owned(),
        Tag::Ia5String => Ia5StringRef::try_from(value).ok()?.as_str().to_owned(),
        _ => return None,
    };
    (!text.contains('\0')).then_some(text)
}

/// Whether a common name is that of `host`; `*` stands for one whole label, the first.
fn is_for(name: &str, host: &str) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some((suffix, (_, domain))) = name.strip_prefix("*.").zip(host.split_once('.')) else {
        return false;
    };
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    !is_address && suffix.contains('.') && suffix.eq_ignore_ascii_case(domain)
}

/// id-ce-subjectAltName, RFC 5280, section 4.2.1.6
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// id-at-commonName, RFC 5280, appendix A.1
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_label() {
        for (name, host, expected) in [
            ("db.example", "DB.example", true),
            ("db.example", "other.example", false),
            ("*.example.com", "db.example.com", true),
            ("*.example.com", "a.db.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.com", "example.com", false),
            ("*", "localhost", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("*.0.0.1", "127.0.0.1", false),
        ] {
            assert_eq!(is_for(name, host), expected, "{name} for {host}");
        }
    }
}
