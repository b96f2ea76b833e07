//! The key of a client's certificate: plain, or encrypted in either of OpenSSL's two ways.

use std::io;
use std::path::Path;

use aes::{Aes128, Aes192, Aes256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use des::TdesEde3;
use md5::{Digest, Md5};
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::Decode;
use pkcs8::der::pem::PemLabel;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{
    PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};

use crate::config::Secret;
use crate::error::Error;

/// Reads the key in the file at `path`.
pub(super) fn read(
    path: &Path,
    password: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, Error> {
    let unreadable = |io: io::Error| wrong(path, &io.to_string());
    is_private(path).map_err(unreadable)?;
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return PrivateKeyDer::try_from(bytes).map_err(|_| wrong(path, "is no private key"));
    };
    let Some(pem) = Pem::of(text) else {
        return Err(wrong(path, "is no private key"));
    };
    if pem.label == ENCRYPTED_PKCS8 || pem.encryption.is_some() {
        let password = password.filter(|password| !password.0.is_empty());
        let password = password.ok_or_else(|| {
            Error::configuration(
                "sslpassword",
                format!(
                    "the key in {} is encrypted, and none was given",
                    path.display()
                ),
            )
        })?;
        let decrypted = pem.decrypt(password.0.as_bytes());
        return decrypted.map_err(|unusable| match unusable {
            Unusable::Cipher => wrong(path, "is encrypted in a way that is not supported"),
            Unusable::Password => Error::configuration(
                "sslpassword",
                format!("does not decrypt the key in {}", path.display()),
            ),
        });
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| wrong(path, "is no private key"))
}

/// As libpq has it: the key must be of no use to anybody else on this machine.
#[cfg(unix)]
fn is_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let facts = std::fs::metadata(path)?;
    let others = if facts.uid() == 0 { 0o037 } else { 0o077 };
    if facts.is_file() && facts.mode() & others != 0 {
        let text = "others may read it: chmod 600, or 640 if it belongs to root";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

#[cfg(not(unix))]
fn is_private(_path: &Path) -> io::Result<()> {
    Ok(())
}

fn wrong(path: &Path, reason: &str) -> Error {
    Error::configuration("sslkey", format!("{}: {reason}", path.display()))
}

enum Unusable {
    Cipher,
    Password,
}

/// The first private key of a text.
struct Pem<'a> {
    label: &'a str,
    /// `DEK-Info`: the cipher and its initial vector, of OpenSSL's own older way.
    encryption: Option<(&'a str, &'a str)>,
    bytes: Vec<u8>,
}

impl<'a> Pem<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let label = lines.find_map(|line| {
            let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
            label.ends_with("PRIVATE KEY").then_some(label)
        })?;
        let (mut encryption, mut body) = (None, String::new());
        for line in lines.take_while(|line| !line.starts_with("-----END ")) {
            match line.split_once(':') {
                Some(("DEK-Info", value)) => encryption = value.trim().split_once(','),
                Some(_) => {}
                None => body.push_str(line),
            }
        }
        let bytes = STANDARD.decode(body).ok()?;
        Some(Self {
            label,
            encryption,
            bytes,
        })
    }

    fn decrypt(&self, password: &[u8]) -> Result<PrivateKeyDer<'static>, Unusable> {
        let Some((cipher, vector)) = self.encryption else {
            let key = EncryptedPrivateKeyInfoRef::from_der(&self.bytes);
            let key = key.map_err(|_| Unusable::Cipher)?.decrypt(password);
            let key = key.map_err(|error| match error {
                pkcs8::Error::EncryptedPrivateKey(
                    pkcs8::pkcs5::Error::AlgorithmParametersInvalid { .. }
                    | pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. },
                ) => Unusable::Cipher,
                _ => Unusable::Password,
            })?;
            return Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into());
        };
        let vector = from_hex(vector).ok_or(Unusable::Cipher)?;
        let plain = match cipher {
            "AES-128-CBC" => plain::<cbc::Decryptor<Aes128>>(password, &vector, 16, &self.bytes),
            "AES-192-CBC" => plain::<cbc::Decryptor<Aes192>>(password, &vector, 24, &self.bytes),
            "AES-256-CBC" => plain::<cbc::Decryptor<Aes256>>(password, &vector, 32, &self.bytes),
            "DES-EDE3-CBC" => plain::<cbc::Decryptor<TdesEde3>>(password, &vector, 24, &self.bytes),
            _ => return Err(Unusable::Cipher),
        };
        let plain = plain.ok_or(Unusable::Password)?;
        match self.label {
            "RSA PRIVATE KEY" => Ok(PrivatePkcs1KeyDer::from(plain).into()),
            "EC PRIVATE KEY" => Ok(PrivateSec1KeyDer::from(plain).into()),
            _ => Err(Unusable::Cipher),
        }
    }
}

fn plain<C: KeyIvInit + BlockModeDecrypt>(
    password: &[u8],
    vector: &[u8],
    key_bytes: usize,
    bytes: &[u8],
) -> Option<Vec<u8>> {
    let key = stretch(password, vector.get(..8)?, key_bytes);
    let cipher = C::new_from_slices(&key, vector).ok()?;
    cipher.decrypt_padded_vec::<Pkcs7>(bytes).ok()
}

/// `EVP_BytesToKey` with MD5 and one round, which is what OpenSSL makes of such a key's password.
fn stretch(password: &[u8], salt: &[u8], bytes: usize) -> Vec<u8> {
    let mut key = Vec::new();
    let mut last: Vec<u8> = Vec::new();
    while key.len() < bytes {
        last = Md5::new()
            .chain_update(&last)
            .chain_update(password)
            .chain_update(salt)
            .finalize()
            .to_vec();
        key.extend_from_slice(&last);
    }
    key.truncate(bytes);
    key
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = text.chars().map(digit).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

const ENCRYPTED_PKCS8: &str = EncryptedPrivateKeyInfoRef::PEM_LABEL;
