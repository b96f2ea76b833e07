//! The service file: named groups of parameters.

use std::io;
use std::path::{Path, PathBuf};

use super::parameters::Parameters;
use crate::error::Error;

/// The parameters of service `name`: from `file` where one is named, else from the user's own
/// file, else from the system's in `directory`.
pub(super) fn read(
    name: &str,
    file: Option<&Path>,
    home: Option<&Path>,
    directory: Option<&Path>,
) -> Result<Parameters, Error> {
    let own = file.map(Path::to_owned);
    let own = own.or_else(|| home.map(|home| home.join(".pg_service.conf")));
    let system = directory.map_or_else(
        || SYSTEM_DIRECTORIES.iter().map(PathBuf::from).collect(),
        |directory| vec![directory.to_owned()],
    );
    let system = system
        .into_iter()
        .map(|directory| directory.join("pg_service.conf"));
    for path in own.into_iter().chain(system) {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(io) if io.kind() == io::ErrorKind::NotFound && Some(path.as_path()) != file => {
                continue;
            }
            Err(io) => {
                let reason = format!("cannot read {}: {io}", path.display());
                return Err(Error::configuration("servicefile", reason));
            }
        };
        if let Some(parameters) = parse(&text, name, &path)? {
            return Ok(parameters);
        }
    }
    let reason = format!("there is no definition of service {name:?}");
    Err(Error::configuration("service", reason))
}

/// The group `[name]` of the file, if it has one.
fn parse(text: &str, name: &str, path: &Path) -> Result<Option<Parameters>, Error> {
    let mut found = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(group) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            if group.strip_suffix(']') == Some(name) {
                found = Some(Parameters::default());
            }
            continue;
        }
        let Some(parameters) = &mut found else {
            continue;
        };
        let at = || format!("{}, line {}", path.display(), index + 1);
        let wrong =
            |reason: &str| Error::configuration("servicefile", format!("{}: {reason}", at()));
        let (keyword, value) = line
            .split_once('=')
            .ok_or_else(|| wrong("NAME=VALUE is expected"))?;
        if matches!(keyword, "service" | "servicefile") {
            return Err(wrong("a service cannot refer to another"));
        }
        parameters
            .set(keyword, value)
            .map_err(|error| match error {
                Error::Configuration { reason, .. } => wrong(&reason),
                error => error,
            })?;
    }
    Ok(found)
}

/// Where builds of PostgreSQL look, `PQsysconfdir`.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/etc/postgresql-common", "/etc/postgresql", "/etc"];

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
# ours
[shop]
host=db.example
sslmode=verify-full

[other]
host=other.example
";

    #[test]
    fn a_service_is_its_group_alone() {
        let path = Path::new("pg_service.conf");
        let parameters = parse(FILE, "shop", path).unwrap().unwrap();
        assert_eq!(parameters.get("host"), Some("db.example"));
        assert_eq!(parameters.get("sslmode"), Some("verify-full"));
        assert!(parse(FILE, "none", path).unwrap().is_none());
    }

    #[test]
    fn what_is_wrong_is_told_by_its_place_and_not_quoted() {
        for text in [
            "[s]\npassword",
            "[s]\nhunter2=x",
            "[s]\nservice=t",
            "[s]\nsslsni=hunter2",
        ] {
            let error = parse(text, "s", Path::new("f")).unwrap_err().to_string();
            assert!(error.starts_with("servicefile: f, line 2: "), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
