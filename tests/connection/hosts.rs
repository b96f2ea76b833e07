//! Several hosts: one that is dead, a standby and a primary.

use pgoutput_decoder_host::{Config, Error, ErrorClass};
use pgoutput_decoder_tests::Server;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::kind;

/// The port of the server we get to.
async fn port(config: &Config) -> Result<i32, Error> {
    let client = config.client().await?;
    let sql = "SELECT inet_server_port()";
    Ok(client.query_one(sql, &[]).await.unwrap().get(0))
}

fn config(servers: &[&Server], text: &str) -> Config {
    let password = &servers.first().unwrap().password;
    // Nobody has ever listened at port 1.
    let mut ports = vec!["1".to_owned()];
    ports.extend(servers.iter().map(|server| server.port.to_string()));
    let hosts = vec!["127.0.0.1"; ports.len()].join(",");
    let text = format!(
        "host={hosts} port={} user=postgres password={password} dbname=postgres {text}",
        ports.join(",")
    );
    Config::parse(&text).unwrap()
}

async fn the_one_wanted_is_found(version: Option<&str>) {
    let options: Vec<&str> = version
        .iter()
        .flat_map(|version| ["--version", version])
        .collect();
    let primary = Server::start(&options).await;
    let standby = primary.standby(&[]).await;
    let ports = (i32::from(primary.port), i32::from(standby.port));
    let at = |wanted: &str, servers: &[&Server]| {
        config(servers, &format!("target_session_attrs={wanted}"))
    };
    for order in [[&standby, &primary], [&primary, &standby]] {
        for (wanted, expected) in [
            ("read-write", ports.0),
            ("primary", ports.0),
            ("read-only", ports.1),
            ("standby", ports.1),
            ("prefer-standby", ports.1),
            ("any", i32::from(order[0].port)),
        ] {
            let config = at(wanted, &order);
            assert_eq!(port(&config).await.unwrap(), expected, "{wanted}");
        }
    }
    assert_eq!(
        port(&at("prefer-standby", &[&primary])).await.unwrap(),
        ports.0
    );
    let error = port(&at("primary", &[&standby])).await.unwrap_err();
    assert_eq!(kind(&error), "Hosts");
    assert_eq!(error.class(), ErrorClass::Transient);
    let told = error.to_string();
    assert!(
        told.contains("refused") && told.contains("a standby"),
        "{told}"
    );

    primary.stop("immediate").await;
    let order = [&primary, &standby];
    let error = port(&at("read-write", &order)).await.unwrap_err();
    assert_eq!(
        error.class(),
        ErrorClass::Transient,
        "nothing may be written yet: {error}"
    );
    standby.promote().await;
    assert_eq!(port(&at("read-write", &order)).await.unwrap(), ports.1);
    let error = port(&at("standby", &order)).await.unwrap_err();
    assert!(error.to_string().contains("a primary"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_of_the_kind_asked_for_is_found_before_and_after_a_promotion() {
    the_one_wanted_is_found(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_tell_its_kind_is_asked() {
    the_one_wanted_is_found(Some("13")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_fails_is_not_tried_elsewhere() {
    let url = std::env::var("PGOUTPUT_TEST_URL").unwrap();
    let server: tokio_postgres::Config = url.parse().unwrap();
    let port = server.get_ports().first().unwrap();
    let text = format!("host=127.0.0.1,127.0.0.1 port={port},1 user=postgres password=hunter2");
    let error = Config::parse(&text).unwrap().client().await.unwrap_err();
    assert_eq!(kind(&error), "28P01");
}

/// Passes everything on to the server of the test run.
fn pass_on(mut client: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
    let server = test_server();
    tokio::spawn(async move {
        let port = *server.get_ports().first().unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tokio::io::copy_bidirectional(&mut client, &mut server).await
    });
}

fn test_server() -> tokio_postgres::Config {
    std::env::var("PGOUTPUT_TEST_URL").unwrap().parse().unwrap()
}

fn password() -> String {
    let server = test_server();
    String::from_utf8(server.get_password().unwrap().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_may_be_an_ipv6_address() {
    let listener = match TcpListener::bind("[::1]:0").await {
        Ok(listener) => listener,
        Err(error) => {
            println!("not tried: this machine has no IPv6 ({error})");
            return;
        }
    };
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            pass_on(client);
        }
    });
    let password = password();
    for text in [
        format!("postgresql://postgres:{password}@[::1]:{port}/postgres"),
        format!("host=::1 port={port} user=postgres password={password} dbname=postgres"),
        format!("host=no.such.host hostaddr=::1 port={port} user=postgres password={password}"),
    ] {
        let config = Config::parse(&text).unwrap();
        let found = super::hosts::port(&config).await;
        assert!(found.is_ok(), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_may_be_a_sockets_directory() {
    // The path of a socket may have 107 bytes.
    let directory = std::env::temp_dir().join(format!("pgoutput-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let listener = UnixListener::bind(directory.join(".s.PGSQL.7000")).unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            pass_on(client);
        }
    });
    let (path, password) = (directory.to_str().unwrap(), password());
    for text in [
        format!("host={path} port=7000 user=postgres password={password}"),
        format!(
            "postgresql://postgres:{password}@{}:7000",
            path.replace('/', "%2F")
        ),
        // Whoever reads the machine's memory reads it all: TLS is not asked for.
        format!("host={path} port=7000 user=postgres password={password} sslmode=prefer"),
    ] {
        let config = Config::parse(&text).unwrap();
        let found = port(&config).await;
        assert!(found.is_ok(), "{found:?}");
    }
    std::fs::remove_dir_all(&directory).unwrap();
    let text = format!("host={path} port=7000 user=postgres password={password}");
    let error = port(&Config::parse(&text).unwrap()).await.unwrap_err();
    assert_eq!(kind(&error), "Connection");
    assert!(error.to_string().contains(".s.PGSQL.7000"), "{error}");
}
