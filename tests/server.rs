//! Servers of one test alone, with the settings, standbys and misfortunes it needs:
//! `scripts/postgres start` and its other verbs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

/// A server that is there until this is dropped, or this process is gone, however that happens.
#[derive(Debug, Deserialize)]
pub struct Server {
    /// `postgresql://user:password@host:port/database`, of a superuser.
    pub url: String,
    /// An address of the loopback interface.
    pub host: String,
    /// It stays the same over restarts.
    pub port: u16,
    /// The superuser's password.
    pub password: String,
    /// Of the postmaster that was started first.
    pub pid: u32,
    /// All the server's files are in here; the other verbs of `scripts/postgres` are given it.
    pub directory: PathBuf,
    /// The data directory.
    pub data: PathBuf,
    /// What the server says.
    pub log: PathBuf,
}

impl Server {
    /// Starts one with these options of `scripts/postgres start`, such as
    /// `["--version", "14", "--set", "wal_sender_timeout=2s"]`.
    ///
    /// # Panics
    ///
    /// As all of these do, where the server does not do what it is told to.
    pub async fn start(options: &[&str]) -> Self {
        Self::told(&obey("start", None, options).await)
    }

    /// Starts a physical standby of this one, with a slot there, with options of `start`.
    pub async fn standby(&self, options: &[&str]) -> Self {
        Self::told(&obey("standby", Some(&self.directory), options).await)
    }

    /// As `pg_ctl stop -m MODE` does: `fast` waits for every walsender, `immediate` is a crash.
    pub async fn stop(&self, mode: &str) {
        obey("stop", Some(&self.directory), &["-m", mode]).await;
    }

    /// As `pg_ctl restart -m MODE` does; also starts one that is stopped.
    pub async fn restart(&self, mode: &str) {
        obey("restart", Some(&self.directory), &["-m", mode]).await;
    }

    /// Makes a primary of a standby; it takes writes afterwards.
    pub async fn promote(&self) {
        obey("promote", Some(&self.directory), &[]).await;
    }

    #[expect(clippy::expect_used, reason = "a test stops where it has no server")]
    fn told(facts: &str) -> Self {
        serde_json::from_str(facts).expect("scripts/postgres does not say what it started")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where it fails, the server's guard removes it when this process is gone.
        let _ = command("remove", Some(&self.directory), &[]).status();
    }
}

fn command(verb: &str, directory: Option<&Path>, options: &[&str]) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/postgres"));
    command.arg(verb).args(directory).args(options);
    command.stdin(Stdio::null());
    command
}

/// What the verb prints. Other tasks of this thread go on meanwhile.
#[expect(
    clippy::expect_used,
    reason = "a test stops where its server is not as expected"
)]
async fn obey(verb: &str, directory: Option<&Path>, options: &[&str]) -> String {
    let mut command = command(verb, directory, options);
    command.stderr(Stdio::inherit());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("nobody panics there")
        .expect("scripts/postgres cannot be started");
    assert!(output.status.success(), "scripts/postgres {verb} fails");
    String::from_utf8(output.stdout).expect("scripts/postgres prints text")
}
