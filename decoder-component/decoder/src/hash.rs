//! What `column.mask.hash.…` makes of a value.

use alloc::vec::Vec;

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

/// A hash with its salt.
#[derive(Clone, Debug)]
pub(crate) struct Hash {
    digest: fn(&[&[u8]]) -> Vec<u8>,
    salt: Vec<u8>,
    version: HashVersion,
}

/// What is hashed behind the salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashVersion {
    /// The string as Java serializes objects.
    V1,
    /// Its UTF-8.
    V2,
}

/// By Java's names, besides which it knows `SHA` and `SHA1`.
pub(crate) const ALGORITHMS: &[&str] = &[
    "MD5",
    "SHA-1",
    "SHA-224",
    "SHA-256",
    "SHA-384",
    "SHA-512",
    "SHA-512/224",
    "SHA-512/256",
];

impl Hash {
    /// None: the algorithm is none of [`ALGORITHMS`].
    pub(crate) fn new(algorithm: &str, salt: &str, version: HashVersion) -> Option<Self> {
        let digest = match algorithm.to_ascii_uppercase().as_str() {
            "MD5" => digest::<Md5>,
            "SHA" | "SHA1" | "SHA-1" => digest::<Sha1>,
            "SHA-224" => digest::<Sha224>,
            "SHA-256" => digest::<Sha256>,
            "SHA-384" => digest::<Sha384>,
            "SHA-512" => digest::<Sha512>,
            "SHA-512/224" => digest::<Sha512_224>,
            "SHA-512/256" => digest::<Sha512_256>,
            _ => return None,
        };
        Some(Self {
            digest,
            salt: salt.as_bytes().to_vec(),
            version,
        })
    }

    /// The digest of a string, in hexadecimal.
    pub(crate) fn of(&self, text: &str) -> Vec<u8> {
        let digest = match self.version {
            HashVersion::V1 => (self.digest)(&[&self.salt, &serialized(text)]),
            HashVersion::V2 => (self.digest)(&[&self.salt, text.as_bytes()]),
        };
        let digit = |nibble: u8| match nibble {
            0..=9 => b'0' + nibble,
            _ => b'a' + nibble - 10,
        };
        digest
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect()
    }
}

fn digest<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut digest = D::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().to_vec()
}

/// `java.io.ObjectOutputStream`'s stream of one `String`.
fn serialized(text: &str) -> Vec<u8> {
    const STREAM_MAGIC_AND_VERSION: &[u8] = &[0xac, 0xed, 0, 5];
    const TC_STRING: u8 = 0x74;
    const TC_LONGSTRING: u8 = 0x7c;

    let text = modified_utf8(text);
    let mut stream = STREAM_MAGIC_AND_VERSION.to_vec();
    if let Ok(length) = u16::try_from(text.len()) {
        stream.push(TC_STRING);
        stream.extend_from_slice(&length.to_be_bytes());
    } else {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        stream.push(TC_LONGSTRING);
        stream.extend_from_slice(&length.to_be_bytes());
    }
    stream.extend_from_slice(&text);
    stream
}

/// Java's: each half of a surrogate pair by itself, and zero in two bytes.
fn modified_utf8(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for unit in text.encode_utf16() {
        let [high, low] = unit.to_be_bytes();
        let middle = (high & 0x0f) << 2 | low >> 6;
        match unit {
            1..=0x7f => bytes.push(low),
            0 | 0x80..=0x7ff => bytes.extend_from_slice(&[0xc0 | middle, 0x80 | low & 0x3f]),
            _ => bytes.extend_from_slice(&[0xe0 | high >> 4, 0x80 | middle, 0x80 | low & 0x3f]),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn of(algorithm: &str, version: HashVersion, text: &str) -> String {
        let hash = Hash::new(algorithm, "", version).unwrap();
        String::from_utf8(hash.of(text)).unwrap()
    }

    #[test]
    fn every_algorithm_by_javas_name() {
        // The digests of nothing, as the standards give them.
        let start = [
            ("md5", "d41d8cd98f00b204e9800998ecf8427e", 32),
            ("SHA", "da39a3ee5e6b4b0d3255bfef95601890", 40),
            ("SHA-224", "d14a028c2a3a2bc9476102bb288234c4", 56),
            ("SHA-256", "e3b0c44298fc1c149afbf4c8996fb924", 64),
            ("SHA-384", "38b060a751ac96384cd9327eb1b1e36a", 96),
            ("SHA-512", "cf83e1357eefb8bdf1542850d66d8007", 128),
            ("SHA-512/224", "6ed0dd02806fa89e25de060c19d3ac86", 56),
            ("SHA-512/256", "c672b8d1ef56ed28ab87c3622c511406", 64),
        ];
        for (algorithm, digest, digits) in start {
            let hash = of(algorithm, HashVersion::V2, "");
            assert!(hash.starts_with(digest), "{algorithm}: {hash}");
            assert_eq!(hash.len(), digits, "{algorithm}");
        }
        for algorithm in ALGORITHMS {
            assert!(Hash::new(algorithm, "", HashVersion::V1).is_some());
        }
        assert!(Hash::new("SHA3-256", "", HashVersion::V1).is_none());
    }

    #[test]
    fn strings_are_serialized_as_java_does() {
        assert_eq!(
            serialized("aé€"),
            b"\xac\xed\0\x05t\0\x06a\xc3\xa9\xe2\x82\xac"
        );
        assert_eq!(modified_utf8("\0"), b"\xc0\x80");
        assert_eq!(modified_utf8("😀"), b"\xed\xa0\xbd\xed\xb8\x80");
        let long = serialized(&"x".repeat(65_536));
        assert_eq!(
            long.get(..13).unwrap(),
            b"\xac\xed\0\x05|\0\0\0\0\0\x01\0\0"
        );
    }
}
