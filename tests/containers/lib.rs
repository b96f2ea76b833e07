//! A `PostgreSQL` in a container of its own, by testcontainers.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test stops where its server is not as expected"
)]

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use testcontainers::core::{IntoContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt, TestcontainersError};
use tokio::process::Command;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

/// What a server says once its container may be used.
const READY: &str = "database system is ready to accept connections";

/// Between finding a free port and listening on it, another process may take it.
const START_ATTEMPTS: u32 = 5;

/// `EX_UNAVAILABLE`, sysexits.h: what `scripts/postgres image` ends with where Docker is not.
const UNAVAILABLE: i32 = 69;

/// Long enough for the slowest machine, short enough to notice.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The name of an image with a server, made if need be.
///
/// # Errors
///
/// Docker does not answer; the error says how that shows.
pub async fn image() -> Result<String, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/postgres");
    let mut command = Command::new(script);
    let output = command.arg("image").stdin(Stdio::null()).output().await;
    let output = output.expect("scripts/postgres cannot be started");
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.code() == Some(UNAVAILABLE) {
        return Err(said);
    }
    assert!(output.status.success(), "{said}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A server that is there until this is removed or dropped.
#[derive(Debug)]
pub struct Container {
    container: ContainerAsync<GenericImage>,
    /// On this machine. It stays the same over restarts: Docker would choose another.
    port: u16,
}

impl Container {
    /// Starts one of this image, with these options of `postgres`.
    pub async fn start(image: &str, options: &[&str]) -> Self {
        let (name, tag) = image.rsplit_once(':').expect("the image has no tag");
        let mut attempt = 1;
        loop {
            let port = free_port();
            let image =
                GenericImage::new(name, tag).with_wait_for(WaitFor::message_on_stderr(READY));
            let request = image
                .with_env_var("POSTGRES_PASSWORD", PASSWORD)
                .with_cmd(options.iter().copied())
                .with_mapped_port(port, 5432.tcp())
                .with_host_config_modifier(|host| {
                    let bindings = host
                        .port_bindings
                        .iter_mut()
                        .flat_map(|ports| ports.values_mut());
                    for binding in bindings.flatten().flatten() {
                        binding.host_ip = Some(Ipv4Addr::LOCALHOST.to_string());
                    }
                });
            match request.start().await {
                Ok(container) => {
                    let started = Self { container, port };
                    started.ready().await;
                    return started;
                }
                Err(TestcontainersError::Client(_)) if attempt < START_ATTEMPTS => attempt += 1,
                Err(error) => panic!("no container starts: {error}"),
            }
        }
    }

    /// `postgresql://user:password@host:port/database`, of the superuser.
    #[must_use]
    pub fn url(&self) -> String {
        let host = Ipv4Addr::LOCALHOST;
        format!(
            "postgresql://postgres:{PASSWORD}@{host}:{}/postgres",
            self.port
        )
    }

    /// A connection for SQL.
    ///
    /// # Errors
    ///
    /// The server does not accept it.
    pub async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// `docker stop` and `docker start`: the server shuts down, and is started again.
    pub async fn restart(&self) {
        self.again(None).await;
    }

    /// `docker stop -t 0` and `docker start`: all of the server is killed at once.
    pub async fn kill_and_start(&self) {
        self.again(Some(0)).await;
    }

    /// `docker pause`: connections stay, and nobody answers.
    pub async fn pause(&self) {
        self.container.pause().await.expect("it is not paused");
    }

    /// `docker unpause`
    pub async fn unpause(&self) {
        self.container.unpause().await.expect("it stays paused");
    }

    /// Ends the server and removes the container.
    pub async fn remove(self) {
        self.container.rm().await.expect("it is not removed");
    }

    async fn again(&self, grace_s: Option<i32>) {
        let stopped = self.container.stop_with_timeout(grace_s).await;
        stopped.expect("it does not stop");
        self.container
            .start()
            .await
            .expect("it does not start again");
        self.ready().await;
    }

    /// Until it accepts connections.
    async fn ready(&self) {
        let accepted = async {
            while self.connect().await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, accepted)
            .await
            .expect("it accepts no connection");
    }
}

/// The port is open to this machine alone.
const PASSWORD: &str = "for-tests";

fn free_port() -> u16 {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("no port is free");
    probe.local_addr().expect("it is bound").port()
}
