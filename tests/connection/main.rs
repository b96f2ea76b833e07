//! Every way to reach a server and to be let in, and every way not to be. Needs a superuser's URL
//! in `PGOUTPUT_TEST_URL`, and servers of its own. `make test-tls` prints the tables of TLS and
//! logins.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops where its server is not as expected"
)]

mod authority;
mod hosts;
mod impostor;
mod matrix;

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pgoutput_decoder_host::{Config, Error};

/// Long enough for the slowest machine, short enough to notice.
const PATIENCE: Duration = Duration::from_secs(30);

/// A part of every secret in these tests, and of nothing else.
const SECRET: &str = "hunter2";

/// How we get in: "tls" or "plain", or what kind of error there is instead. It and all it is
/// caused by are free of secrets.
async fn entered(config: &Config) -> String {
    match config.client().await {
        Ok(client) => {
            let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            let row = client.query_one(sql, &[]).await.unwrap();
            let way = if row.get(0) { "tls" } else { "plain" };
            way.to_owned()
        }
        Err(error) => kind(&error),
    }
}

fn kind(error: &Error) -> String {
    let mut told = format!("{error} {error:?} {}", error.hint().unwrap_or_default());
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told} {error} {error:?}");
        cause = error.source();
    }
    assert!(!told.contains(SECRET), "{told}");
    let variant = |problem: String| {
        let end = problem.find(|c: char| !c.is_alphanumeric());
        problem[..end.unwrap_or(problem.len())].to_owned()
    };
    match error {
        Error::Authentication { problem, .. } => variant(format!("{problem:?}")),
        Error::Configuration { setting, .. } => setting.clone(),
        Error::Server { sqlstate, .. } => sqlstate.clone(),
        Error::Tls { problem, .. } => variant(format!("{problem:?}")),
        error => variant(format!("{error:?}")),
    }
}

/// A folder of one test alone, with one version of servers.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("{name}-{}", version());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// A file that nobody else may read.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        set_mode(Path::new(&path), 0o600);
        path
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The version of servers that have SSL.
fn version() -> String {
    std::env::var("PGOUTPUT_TEST_PG_VERSION").unwrap_or_else(|_| "18".to_owned())
}
