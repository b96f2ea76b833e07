//! Every `sslmode` with servers of every kind, and every login: against a real server with
//! certificates of our own authority.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pgoutput_decoder_host::{Config, ErrorClass, Password};
use pgoutput_decoder_tests::Server;
use rcgen::KeyPair;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::authority::{Authority, self_signed};
use super::{Folder, PATIENCE, SECRET, entered, kind, set_mode, version};

/// A server whose certificate can be changed, and what a client of it needs.
struct Stage {
    server: Server,
    socket: String,
    files: Folder,
    right: Authority,
    wrong: Authority,
    key: KeyPair,
    admin: Client,
    lines: Vec<String>,
    wrong_lines: usize,
}

impl Stage {
    async fn new(name: &str) -> Self {
        let files = Folder::new(name);
        let (right, wrong) = (Authority::new("right"), Authority::new("wrong"));
        let key = KeyPair::generate().unwrap();
        let server_crt = files.write("server.crt", &right.certify("x", &[HOST], &key));
        let server_key = files.write("server.key", &key.serialize_pem());
        let right_crt = files.write("right.crt", &right.pem());
        files.write("wrong.crt", &wrong.pem());
        files.write("right.crl", &right.revoke_all());
        let key_of_client = KeyPair::from_pem(&key_file("plain")).unwrap();
        files.write("client.crt", &right.certify("cert", &[], &key_of_client));
        for name in ["plain", "pkcs8", "pkcs8-des3", "legacy", "legacy-des3"] {
            files.write(&format!("{name}.key"), &key_file(name));
        }
        let open = files.write("open.key", &key_file("plain"));
        set_mode(open.as_ref(), 0o644);

        let socket = format!("@pgoutput-test-{name}-{}", std::process::id());
        let (version, sockets) = (version(), format!("unix_socket_directories={socket}"));
        let mut options = vec!["--version", &version];
        let settings = [
            "ssl=on",
            "ssl_cert_file=server.crt",
            "ssl_key_file=server.key",
            "ssl_ca_file=right.crt",
        ];
        for setting in settings {
            options.extend(["--set", setting]);
        }
        if has_abstract_sockets() {
            options.extend(["--set", &sockets]);
        }
        for line in ACCESS {
            options.extend(["--hba", line]);
        }
        let placed = [
            format!("server.crt={server_crt}"),
            format!("server.key={server_key}"),
            format!("right.crt={right_crt}"),
        ];
        for file in &placed {
            options.extend(["--file", file]);
        }
        let server = Server::start(&options).await;
        let admin = Config::parse(&server.url).unwrap();
        let admin = admin.parameter("sslmode", "disable").unwrap();
        let admin = admin.client().await.unwrap();
        admin.batch_execute(ROLES).await.unwrap();
        Self {
            server,
            socket,
            files,
            right,
            wrong,
            key,
            admin,
            lines: Vec::new(),
            wrong_lines: 0,
        }
    }

    /// Gives the server another certificate.
    async fn change(&self, certificate: &str) {
        std::fs::write(self.server.data.join("server.crt"), certificate).unwrap();
        let loaded = "SELECT pg_conf_load_time()::text";
        let before: String = self.admin.query_one(loaded, &[]).await.unwrap().get(0);
        self.admin
            .batch_execute("SELECT pg_reload_conf()")
            .await
            .unwrap();
        let reloaded = async {
            loop {
                let url = Config::parse(&self.server.url).unwrap();
                let new = url.parameter("sslmode", "disable").unwrap();
                let new = new.client().await.unwrap();
                let now: String = new.query_one(loaded, &[]).await.unwrap().get(0);
                if now != before {
                    return;
                }
                sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, reloaded).await.expect("it reads nothing");
    }

    /// `text` are keywords and values; files are named without their folder.
    fn config(&self, text: &str) -> Config {
        let mut whole = format!(
            "host={HOST} hostaddr=127.0.0.1 port={} dbname=postgres",
            self.server.port
        );
        for pair in text.split(' ') {
            let (name, value) = pair.split_once('=').unwrap();
            let value = match name {
                "sslrootcert" if value == "system" => value.to_owned(),
                "sslrootcert" | "sslcert" | "sslkey" | "sslcrl" => self.files.path(value),
                _ => value.to_owned(),
            };
            whole = format!("{whole} {name}='{value}'");
        }
        Config::parse(&whole).unwrap()
    }

    async fn row(&mut self, server: &str, text: &str, expected: &str) {
        self.row_of(server, text, text, expected).await;
    }

    /// A row of which another text is shown.
    async fn row_of(&mut self, server: &str, text: &str, shown: &str, expected: &str) {
        let found = entered(&self.config(text)).await;
        let shown = shown.replace(SECRET, "…");
        let mark = if found == expected {
            String::new()
        } else {
            format!("  <- {expected} is expected")
        };
        self.wrong_lines += usize::from(found != expected);
        let line = format!("{server:<12} {shown:<SHOWN$} {found}{mark}");
        self.lines.push(line);
    }

    /// Prints the table in one piece: other tests print, too.
    fn finish(&self, title: &str) {
        let count = self.lines.len();
        let head = format!("{:<12} {:<SHOWN$} outcome", "server", "connection");
        let table = self.lines.join("\n");
        let table = format!("\n{title}: {count} rows\n\n{head}\n{table}\n");
        println!("{table}");
        assert_eq!(self.wrong_lines, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sslmode_is_what_libpq_makes_of_it() {
    const LOGIN: &str = "user=scram password=hunter2-scram";
    let mut stage = Stage::new("tls-modes").await;
    let certificates = [
        (
            "good",
            stage.right.certify("x", &["other", HOST], &stage.key),
        ),
        (
            "other name",
            stage.right.certify(HOST, &["other"], &stage.key),
        ),
        ("only a CN", stage.right.certify(HOST, &[], &stage.key)),
        (
            "star as CN",
            stage.right.certify("*.example.test", &[], &stage.key),
        ),
        ("other CN", stage.right.certify("other", &[], &stage.key)),
        ("expired", stage.right.certify_expired(&[HOST], &stage.key)),
        ("other CA", stage.wrong.certify(HOST, &[HOST], &stage.key)),
    ];
    for (server, certificate) in certificates {
        stage.change(&certificate).await;
        // What a chain and then a name is worth.
        let chain = match server {
            "expired" => "Expired",
            "other CA" => "UnknownIssuer",
            _ => "tls",
        };
        let name = match server {
            "other name" | "other CN" => "Name",
            _ => chain,
        };
        for (mode, expected) in [
            ("sslmode=disable", "plain"),
            ("sslmode=allow", "plain"),
            ("sslmode=prefer", "tls"),
            ("sslmode=require", "tls"),
            ("sslmode=require sslrootcert=right.crt", chain),
            ("sslmode=verify-ca sslrootcert=right.crt", chain),
            ("sslmode=verify-full sslrootcert=right.crt", name),
        ] {
            stage
                .row(server, &format!("{mode} {LOGIN}"), expected)
                .await;
        }
    }
    let own = self_signed(HOST, &stage.key);
    stage.files.write("own.crt", &own);
    let expired = stage.right.certify_expired(&[HOST], &stage.key);
    stage.files.write("expired.crt", &expired);
    stage.change(&own).await;
    for (mode, expected) in [
        ("sslmode=verify-full sslrootcert=own.crt", "tls"),
        ("sslmode=verify-full sslrootcert=right.crt", "UnknownIssuer"),
        ("sslmode=verify-full sslrootcert=system", "UnknownIssuer"),
        ("sslrootcert=system", "UnknownIssuer"),
    ] {
        let expected = if mode.ends_with("system") && !has_system_roots() {
            "sslrootcert"
        } else {
            expected
        };
        stage
            .row("self-signed", &format!("{mode} {LOGIN}"), expected)
            .await;
    }
    stage.change(&expired).await;
    let mode = "sslmode=verify-ca sslrootcert=expired.crt";
    stage
        .row("expired", &format!("{mode} {LOGIN}"), "Expired")
        .await;

    let good = stage.right.certify("x", &[HOST], &stage.key);
    stage.change(&good).await;
    let direct = version().parse::<u32>().unwrap() >= 17;
    for (mode, expected) in [
        // As libpq does: a server that is not to be trusted is not to be trusted with TLS.
        ("sslmode=prefer sslrootcert=wrong.crt", "plain"),
        ("sslmode=verify-ca", "sslrootcert"),
        ("sslmode=require sslrootcert=missing.crt", "sslrootcert"),
        ("sslmode=require sslrootcert=server.key", "sslrootcert"),
        (
            "sslmode=verify-ca sslrootcert=right.crt sslcrl=right.crl",
            "Revoked",
        ),
        ("sslmode=require sslsni=0", "tls"),
        ("sslmode=require ssl_max_protocol_version=TLSv1.2", "tls"),
        ("sslmode=require ssl_min_protocol_version=TLSv1.3", "tls"),
        (
            "sslmode=require sslnegotiation=direct",
            if direct { "tls" } else { "Connection" },
        ),
        ("sslmode=disable channel_binding=require", "ChannelBinding"),
    ] {
        stage
            .row("good", &format!("{mode} {LOGIN}"), expected)
            .await;
    }
    stage.finish("Every sslmode, with servers' certificates of every kind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_gets_what_sslmode_allows() {
    let url = std::env::var("PGOUTPUT_TEST_URL").unwrap();
    for (mode, expected) in [
        ("disable", "plain"),
        ("allow", "plain"),
        ("prefer", "plain"),
        ("require", "Unsupported"),
    ] {
        let config = Config::parse(&url).unwrap();
        let config = config.parameter("sslmode", mode).unwrap();
        assert_eq!(entered(&config).await, expected, "{mode}");
    }
}

/// Logins, and what comes of each with and without TLS.
fn logins(token: &str) -> Vec<(String, &'static str, &'static str)> {
    let long = format!("user=long password={token} channel_binding=require");
    let clear = format!("user=clear password={token}");
    let key = |name: &str, password: &str| {
        format!("user=cert sslcert=client.crt sslkey={name}.key sslpassword={password}")
    };
    vec![
        (
            "user=scram password=hunter2-scram".to_owned(),
            "tls",
            "plain",
        ),
        (
            "user=scram password=hunter2-wrong".to_owned(),
            "28P01",
            "28P01",
        ),
        (
            "user=scram password=hunter2-scram channel_binding=require".to_owned(),
            "tls",
            "ChannelBinding",
        ),
        (
            "user=scram password=hunter2-scram channel_binding=disable".to_owned(),
            "tls",
            "plain",
        ),
        (
            "user=scram password=hunter2-scram require_auth=md5".to_owned(),
            "Method",
            "Method",
        ),
        (long, "tls", "ChannelBinding"),
        ("user=md5 password=hunter2-md5".to_owned(), "tls", "plain"),
        (
            "user=md5 password=hunter2-md5 channel_binding=require".to_owned(),
            "ChannelBinding",
            "ChannelBinding",
        ),
        (
            "user=md5 password=hunter2-md5 require_auth=!md5".to_owned(),
            "Method",
            "Method",
        ),
        (clear.clone(), "tls", "Cleartext"),
        (format!("{clear} require_auth=password"), "tls", "plain"),
        (
            format!("{clear} channel_binding=require"),
            "ChannelBinding",
            "ChannelBinding",
        ),
        ("user=trusted".to_owned(), "tls", "plain"),
        (
            "user=trusted require_auth=!none".to_owned(),
            "Method",
            "Method",
        ),
        (
            "user=trusted channel_binding=require".to_owned(),
            "ChannelBinding",
            "ChannelBinding",
        ),
        (
            "user=scram passfile=/nonexistent".to_owned(),
            "NoPassword",
            "NoPassword",
        ),
        (
            "user=tlsonly password=hunter2-scram".to_owned(),
            "tls",
            "28000",
        ),
        (
            "user=plainonly password=hunter2-scram".to_owned(),
            "28000",
            "plain",
        ),
        (key("plain", ""), "tls", "28000"),
        (key("pkcs8", SECRET), "tls", "28000"),
        (key("pkcs8-des3", SECRET), "tls", "28000"),
        (key("legacy", SECRET), "tls", "28000"),
        (key("legacy-des3", SECRET), "tls", "28000"),
        (key("pkcs8", ""), "sslpassword", "28000"),
        (key("pkcs8", "hunter2-wrong"), "sslpassword", "28000"),
        (key("legacy", "hunter2-wrong"), "sslpassword", "28000"),
        (key("open", ""), "sslkey", "28000"),
        (
            format!("{} require_auth=none", key("plain", "")),
            "tls",
            "28000",
        ),
        (
            format!("{} sslcertmode=disable", key("plain", "")),
            "28000",
            "28000",
        ),
        ("user=cert".to_owned(), "28000", "28000"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_what_both_sides_allow() {
    let mut stage = Stage::new("tls-logins").await;
    let token = format!("{SECRET}{}", "t".repeat(4000));
    let alter = format!("ALTER ROLE clear PASSWORD '{token}'; ALTER ROLE long PASSWORD '{token}'");
    stage.admin.batch_execute(&alter).await.unwrap();
    for (login, with_tls, without) in logins(&token) {
        let login = login.replace(&token, "TOKEN");
        let full = |mode: &str| format!("{mode} {login}").replace("TOKEN", &token);
        let mode = "sslmode=verify-full sslrootcert=right.crt";
        let shown = format!("{mode} {login}");
        stage.row_of("good", &full(mode), &shown, with_tls).await;
        let mode = "sslmode=disable";
        let shown = format!("{mode} {login}");
        stage.row_of("good", &full(mode), &shown, without).await;
    }
    // The other way is tried where the server minds the first before it asks for anything.
    for (login, expected) in [
        ("sslmode=allow user=tlsonly password=hunter2-scram", "tls"),
        (
            "sslmode=prefer user=plainonly password=hunter2-scram",
            "plain",
        ),
        ("sslmode=prefer user=nobody password=hunter2-scram", "28000"),
        ("sslmode=allow user=scram password=hunter2-wrong", "28P01"),
    ] {
        stage.row("good", login, expected).await;
    }
    if has_abstract_sockets() {
        let (port, socket) = (stage.server.port, stage.socket.clone());
        for (login, expected) in [
            ("user=scram password=hunter2-scram", "plain"),
            ("user=clear password=TOKEN", "plain"),
            (
                "user=scram password=hunter2-scram sslmode=verify-full",
                "plain",
            ),
            (
                "user=scram password=hunter2-scram channel_binding=require",
                "ChannelBinding",
            ),
        ] {
            let login = login.replace("TOKEN", &token);
            let text = format!("host={socket} port={port} dbname=postgres {login}");
            let config = Config::parse(&text).unwrap();
            let found = entered(&config).await;
            assert_eq!(found, expected, "over a socket: {login}");
            let shown = login.replace(&token, "TOKEN").replace(SECRET, "…");
            stage
                .lines
                .push(format!("{:<12} {shown:<SHOWN$} {found}", "Unix socket"));
        }
    }
    stage.finish("Every login, with TLS and without");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_all_tls_and_asks_for_its_password_every_time() {
    let stage = Stage::new("tls-stream").await;
    let setup = "ALTER ROLE scram REPLICATION; CREATE TABLE item (id int PRIMARY KEY);
         CREATE PUBLICATION p FOR TABLE item";
    let slot = "SELECT pg_create_logical_replication_slot('s', 'pgoutput')";
    stage.admin.batch_execute(setup).await.unwrap();
    stage.admin.batch_execute(slot).await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let password = |number: usize| format!("{SECRET}-{number}");
    let change = |number| format!("ALTER ROLE scram PASSWORD '{}'", password(number));
    stage.admin.batch_execute(&change(0)).await.unwrap();
    // Each password is good until the next is made, which is when the stream has to reconnect.
    let current = Arc::new(AtomicUsize::new(0));
    let (count, number) = (Arc::clone(&asked), Arc::clone(&current));
    let callback = Password::ask(move || {
        count.fetch_add(1, Ordering::Relaxed);
        let number = number.load(Ordering::Relaxed);
        async move { Ok::<_, std::io::Error>(format!("{SECRET}-{number}")) }
    });
    let text = "user=scram sslmode=verify-full sslrootcert=right.crt channel_binding=require";
    let config = stage
        .config(text)
        .password(callback)
        .slot("s")
        .publication("p");
    assert!(!format!("{config:?}").contains(SECRET));
    let mut stream = config.connect().await.unwrap();
    let before = asked.load(Ordering::Relaxed);
    assert_eq!(before, 2, "once for each connection");
    let ssl = "SELECT count(*), count(*) FILTER (WHERE ssl) FROM pg_stat_activity
               JOIN pg_stat_ssl USING (pid) WHERE usename = 'scram'";
    for round in 1..=2 {
        let insert = format!("INSERT INTO item VALUES ({round})");
        stage.admin.batch_execute(&insert).await.unwrap();
        let batch = timeout(PATIENCE, stream.next_batch()).await;
        assert_eq!(batch.unwrap().unwrap().unwrap().len(), 1);
        let row = stage.admin.query_one(ssl, &[]).await.unwrap();
        let (all, with_tls): (i64, i64) = (row.get(0), row.get(1));
        assert!(all >= 2 && all == with_tls, "{with_tls} of {all}");
        current.store(round, Ordering::Relaxed);
        stage.admin.batch_execute(&change(round)).await.unwrap();
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'scram'";
        stage.admin.query(cut, &[]).await.unwrap();
    }
    stage
        .admin
        .batch_execute("INSERT INTO item VALUES (3)")
        .await
        .unwrap();
    let batch = timeout(PATIENCE, stream.next_batch()).await;
    assert_eq!(batch.unwrap().unwrap().unwrap().len(), 1);
    assert!(asked.load(Ordering::Relaxed) > before);
    stream.stop().await.unwrap();

    let failing =
        Password::ask(|| async { Err::<String, _>(std::io::Error::other("the vault is closed")) });
    let error = stage
        .config(text)
        .password(failing)
        .client()
        .await
        .unwrap_err();
    assert_eq!(kind(&error), "Password");
    assert_eq!(error.class(), ErrorClass::Transient);
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "the vault is closed");
    let slow = Password::ask(std::future::pending::<Result<String, std::io::Error>>);
    let config = stage
        .config(&format!("{text} connect_timeout=0.3"))
        .password(slow);
    let error = config.client().await.unwrap_err();
    assert!(
        error.to_string().contains("no answer within 0.3 s"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_file_counts_unless_others_may_read_it() {
    let stage = Stage::new("tls-passfile").await;
    let line = format!("{HOST}:{}:*:scram:hunter2-scram\n", stage.server.port);
    let file = stage.files.write("pgpass", &line);
    let config = || {
        let config = stage.config("user=scram sslmode=require");
        config.parameter("passfile", &file).unwrap()
    };
    assert_eq!(entered(&config()).await, "tls");
    set_mode(file.as_ref(), 0o640);
    let error = config().client().await.unwrap_err();
    assert_eq!(kind(&error), "NoPassword");
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

fn key_file(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("connection/keys");
    std::fs::read_to_string(folder.join(format!("{name}.key"))).unwrap()
}

fn has_abstract_sockets() -> bool {
    cfg!(target_os = "linux") && version().parse::<u32>().unwrap() >= 14
}

fn has_system_roots() -> bool {
    std::path::Path::new("/etc/ssl/certs/ca-certificates.crt").exists()
}

/// Columns for the widest connection string.
const SHOWN: usize = 118;

/// It does not exist: `hostaddr` says where it is.
const HOST: &str = "db.example.test";

const ACCESS: [&str; 8] = [
    "local all all scram-sha-256",
    "host all md5 all md5",
    "host all clear all password",
    "host all trusted all trust",
    "hostssl all cert all cert",
    "hostssl all tlsonly all scram-sha-256",
    "hostnossl all plainonly all scram-sha-256",
    "host all postgres,scram,long all scram-sha-256",
];

const ROLES: &str = "
    SET password_encryption = 'scram-sha-256';
    CREATE ROLE scram LOGIN PASSWORD 'hunter2-scram';
    CREATE ROLE tlsonly LOGIN PASSWORD 'hunter2-scram';
    CREATE ROLE plainonly LOGIN PASSWORD 'hunter2-scram';
    CREATE ROLE clear LOGIN;
    CREATE ROLE long LOGIN;
    CREATE ROLE cert LOGIN;
    CREATE ROLE trusted LOGIN;
    SET password_encryption = 'md5';
    CREATE ROLE md5 LOGIN PASSWORD 'hunter2-md5';
    RESET password_encryption;";
