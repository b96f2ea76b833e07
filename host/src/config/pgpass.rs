//! The password file: `HOST:PORT:DATABASE:USER:PASSWORD` a line, the first that fits counts.

use std::path::{Path, PathBuf};

use super::Secret;

/// Whom a password is for.
#[derive(Clone, Copy)]
pub(crate) struct Whom<'a> {
    /// Name, address or socket directory.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) database: &'a str,
    pub(crate) user: &'a str,
}

/// What the file says.
pub(crate) enum Found {
    Password(Secret),
    /// There is no file, or no line that fits.
    Nothing,
    /// Others may read the file, so it is not read.
    Open(PathBuf),
}

/// Looks a password up in the file at `path`.
pub(crate) fn look_up(path: &Path, whom: Whom<'_>) -> Found {
    let Ok(facts) = std::fs::metadata(path) else {
        return Found::Nothing;
    };
    if !facts.is_file() {
        return Found::Nothing;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if facts.permissions().mode() & 0o077 != 0 {
            return Found::Open(path.to_owned());
        }
    }
    let Ok(text) = std::fs::read_to_string(path) else {
        return Found::Nothing;
    };
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    match lines.find_map(|line| password(line, whom)) {
        Some(password) => Found::Password(Secret(password)),
        None => Found::Nothing,
    }
}

/// The line's password, if it fits.
fn password(line: &str, whom: Whom<'_>) -> Option<String> {
    let port = whom.port.to_string();
    let is_socket = whom.host.starts_with(['/', '@']);
    let (host, rest) = field(line);
    let fits = |field: &Field, wanted: &str| field.any || field.text == wanted;
    let here = fits(&host, whom.host) || is_socket && fits(&host, "localhost");
    if !here {
        return None;
    }
    let (of_port, rest) = field(rest?);
    let (database, rest) = field(rest?);
    let (user, rest) = field(rest?);
    let fits = fits(&of_port, &port) && fits(&database, whom.database) && fits(&user, whom.user);
    // What stands behind one more ':' is a remark of the file's owner.
    let (password, _) = field(rest.filter(|_| fits)?);
    Some(password.text).filter(|text| !text.is_empty())
}

struct Field {
    text: String,
    any: bool,
}

/// The field `line` begins with, and what comes behind its ':'; `\` takes what follows as it is.
fn field(line: &str) -> (Field, Option<&str>) {
    let mut text = String::new();
    let mut escaped = false;
    let mut characters = line.chars();
    let mut ended = false;
    while let Some(character) = characters.next() {
        match character {
            ':' => {
                ended = true;
                break;
            }
            '\\' => {
                escaped = true;
                text.extend(characters.next());
            }
            character => text.push(character),
        }
    }
    let any = text == "*" && !escaped;
    (Field { text, any }, ended.then_some(characters.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<String> {
        let whom = Whom {
            host: "db.example",
            port: 5433,
            database: "shop",
            user: "a:b",
        };
        password(line, whom)
    }

    #[test]
    fn the_first_four_fields_choose_and_escapes_are_undone() {
        for (line, expected) in [
            (r"db.example:5433:shop:a\:b:se\:cr\\et", Some(r"se:cr\et")),
            (r"*:*:*:*:x", Some("x")),
            (r"*:*:*:*:x:a remark", Some("x")),
            (r"\*:*:*:*:x", None),
            (r"other:*:*:*:x", None),
            (r"*:5432:*:*:x", None),
            (r"*:*:*:a:x", None),
            (r"*:*:*:*:", None),
            (r"*:*:*:*", None),
            ("", None),
        ] {
            assert_eq!(found(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn a_socket_is_localhost_too() {
        let whom = Whom {
            host: "/run/postgresql",
            port: 5432,
            database: "shop",
            user: "ann",
        };
        for line in ["localhost:*:*:*:x", "/run/postgresql:*:*:*:x"] {
            assert_eq!(password(line, whom).as_deref(), Some("x"), "{line}");
        }
        assert_eq!(password("remote:*:*:*:x", whom), None);
    }
}
