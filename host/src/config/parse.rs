//! Connection strings as libpq has them: a URL, or `keyword=value` pairs. Nothing of one is ever
//! quoted, but a parameter's name where it cannot be a piece of a password.

use super::parameters::{Parameters, is_known};
use crate::error::Error;

/// Parses either form.
pub(super) fn parse(text: &str) -> Result<Parameters, Error> {
    let url = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme));
    match url {
        Some(rest) => parse_url(rest),
        None if text.trim().is_empty() || (text.contains('=') && !text.contains("://")) => {
            parse_keywords(text)
        }
        None => Err(Error::configuration(
            "url",
            "postgresql://… is expected, or keywords and values like host=… dbname=…",
        )),
    }
}

/// `USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?NAME=VALUE&…`, all of it optional.
fn parse_url(rest: &str) -> Result<Parameters, Error> {
    let mut parameters = Parameters::default();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    // The password may hold an '@' that is not encoded: the last one ends it.
    let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    if !user.is_empty() {
        parameters.set("user", &percent_decode("user", user)?)?;
    }
    if let Some(password) = password {
        parameters.set("password", &percent_decode("password", password)?)?;
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for address in address.split(',') {
        let (host, port) = split_address(address)?;
        hosts.push(percent_decode("host", host)?);
        ports.push(percent_decode("port", port)?);
    }
    for (name, list) in [("host", hosts), ("port", ports)] {
        if list.iter().any(|part| !part.is_empty()) {
            parameters.set(name, &list.join(","))?;
        }
    }
    if !database.is_empty() {
        parameters.set("dbname", &percent_decode("dbname", database)?)?;
    }
    let mut rest = query;
    let mut number = 0;
    let mut after_password = false;
    while !rest.is_empty() {
        let (pair, others) = rest.split_once('&').unwrap_or((rest, ""));
        number += 1;
        if !pair.is_empty() {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| Error::configuration("url", "a parameter is written name=value"))?;
            let name = percent_decode("url", name)?;
            // An '@' in the query says that a password was cut in two at its '?'.
            let shown = !after_password && !query.contains('@') && is_word(&name);
            if !is_known(&name) && name != "ssl" {
                return Err(unknown(&name, number, shown));
            }
            let value = percent_decode(&name, value)?;
            let (name, value) = match (name.as_str(), value.as_str()) {
                // JDBC's way to say it, which libpq takes, too.
                ("ssl", "true") => ("sslmode", "require"),
                pair => pair,
            };
            parameters.set(name, value)?;
            after_password |= name.contains("password");
        }
        rest = others;
    }
    Ok(parameters)
}

/// Host and port, of which either may be empty; an IPv6 address is in brackets.
fn split_address(address: &str) -> Result<(&str, &str), Error> {
    let Some(rest) = address.strip_prefix('[') else {
        return Ok(address.rsplit_once(':').unwrap_or((address, "")));
    };
    let bracket = || Error::configuration("host", "'[' without ']'");
    let (host, port) = rest.split_once(']').ok_or_else(bracket)?;
    match port.strip_prefix(':') {
        Some(port) => Ok((host, port)),
        None if port.is_empty() => Ok((host, port)),
        None => Err(Error::configuration("port", "':' is expected behind ']'")),
    }
}

/// `NAME = VALUE`, between white space; a value with white space in it stands between `'`, and `\`
/// takes what follows as it is.
fn parse_keywords(text: &str) -> Result<Parameters, Error> {
    let mut parameters = Parameters::default();
    let mut rest = text.trim_start();
    let mut number = 0;
    let mut after_password = false;
    while !rest.is_empty() {
        number += 1;
        let end = rest.find(|c: char| c == '=' || c.is_ascii_whitespace());
        let (name, behind) = rest.split_at(end.unwrap_or(rest.len()));
        let value = behind.trim_start().strip_prefix('=').ok_or_else(|| {
            let reason = format!(
                "'=' is missing behind parameter {number}; a value with spaces is written \
                 'like this'"
            );
            Error::configuration("url", reason)
        })?;
        let (value, behind) = take_value(value.trim_start())?;
        if !is_known(name) {
            return Err(unknown(name, number, !after_password && is_word(name)));
        }
        parameters.set(name, &value)?;
        after_password |= name.contains("password");
        rest = behind.trim_start();
    }
    Ok(parameters)
}

/// The value `text` begins with, and what comes behind it.
fn take_value(text: &str) -> Result<(String, &str), Error> {
    let quoted = text.strip_prefix('\'');
    let text = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\'' if quoted.is_some() => return Ok((value, characters.as_str())),
            '\\' => value.extend(characters.next().map(|(_, character)| character)),
            space if quoted.is_none() && space.is_ascii_whitespace() => {
                return Ok((value, text.get(index..).unwrap_or_default()));
            }
            character => value.push(character),
        }
    }
    if quoted.is_some() {
        return Err(Error::configuration(
            "url",
            "a value's closing ' is missing",
        ));
    }
    Ok((value, ""))
}

fn unknown(name: &str, number: usize, shown: bool) -> Error {
    let reason = "not a connection parameter; they have libpq's names";
    if shown {
        return Error::configuration(name, reason);
    }
    Error::configuration("url", format!("parameter {number} is {reason}"))
}

fn is_word(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// Decodes `%XX`; `part` names what is decoded in the error.
fn percent_decode(part: &str, text: &str) -> Result<String, Error> {
    let invalid =
        || Error::configuration(part, "'%' starts two hexadecimal digits; write % as %25");
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_first_chunk::<2>().ok_or_else(invalid)?;
        let digits = std::str::from_utf8(digits).map_err(|_| invalid())?;
        if digits.starts_with('+') {
            return Err(invalid());
        }
        decoded.push(u8::from_str_radix(digits, 16).map_err(|_| invalid())?);
        rest = tail;
    }
    String::from_utf8(decoded).map_err(|_| Error::configuration(part, "must be UTF-8"))
}

const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];
