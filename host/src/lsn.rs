//! A log sequence number, and its text form.

use std::fmt;
use std::str::FromStr;

/// A position in the write-ahead log, in bytes. Prints and parses as `PostgreSQL`'s `pg_lsn` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// The text is not of the form `X/X`, two hexadecimal numbers of at most 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an LSN: two hexadecimal numbers of at most 8 digits are expected, as in 0/28E1250")]
pub struct LsnParseError;

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = LsnParseError;

    fn from_str(text: &str) -> Result<Self, LsnParseError> {
        let half = |digits: &str| {
            // from_str_radix takes a sign; pg_lsn does not.
            if digits.starts_with('+') {
                return Err(LsnParseError);
            }
            u32::from_str_radix(digits, 16).map_err(|_| LsnParseError)
        };
        let (high, low) = text.split_once('/').ok_or(LsnParseError)?;
        Ok(Self((u64::from(half(high)?) << 32) | u64::from(half(low)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_as_pg_lsn() {
        for text in ["0/0", "0/28E1250", "FFFFFFFF/FFFFFFFF", "16/B374D848"] {
            assert_eq!(text.parse::<Lsn>().unwrap().to_string(), text);
        }
        assert_eq!("0/28e1250".parse(), Ok(Lsn(0x28E_1250)));
        for text in [
            "",
            "zzz",
            "0",
            "0/",
            "/0",
            "0/100000000",
            "+1/0",
            "1/2/3",
            "42",
        ] {
            assert_eq!(text.parse::<Lsn>(), Err(LsnParseError), "{text}");
        }
    }
}
