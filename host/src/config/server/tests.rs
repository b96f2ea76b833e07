use super::*;
use crate::config::parse::parse;

fn of(text: &str) -> Result<Server, Error> {
    with(text, &Environment::default(), None)
}

fn with(text: &str, environment: &Environment, home: Option<&Path>) -> Result<Server, Error> {
    let given = parse(text)?;
    Server::new(&Sources {
        given: &given,
        password: None,
        environment: Some(environment),
        home,
        user: &|| Some("me".to_owned()),
    })
}

fn environment(pairs: &[(&str, &str)]) -> Environment {
    let variable = |name: &str| {
        let pair = pairs.iter().find(|(known, _)| *known == name);
        pair.map(|(_, value)| (*value).to_owned())
    };
    Environment {
        parameters: Parameters::of_environment(variable).unwrap(),
        system_directory: variable("PGSYSCONFDIR").map(PathBuf::from),
    }
}

async fn password(server: &Server) -> String {
    server.password.as_ref().unwrap().get().await.unwrap().0
}

#[tokio::test]
async fn urls_are_read_as_libpq_reads_them() {
    let server = of("postgresql://ann:p%40ss@db.example:6543/shop").unwrap();
    assert_eq!(server.address(), "db.example:6543");
    assert_eq!((&*server.user, &*server.database), ("ann", "shop"));
    assert_eq!(password(&server).await, "p@ss");

    let server = of("postgres://").unwrap();
    assert_eq!(server.address(), "localhost:5432");
    assert_eq!((&*server.user, &*server.database), ("me", "me"));

    let server = of("postgresql://ann@[::1]:1234/?connect_timeout=3").unwrap();
    assert_eq!(server.address(), "[::1]:1234");
    assert_eq!(server.database, "ann");
    assert_eq!(server.connect_timeout, Duration::from_secs(3));

    let server = of("postgresql:///d?host=/run/pg&application_name=a%20b").unwrap();
    assert_eq!(server.address(), "/run/pg/.s.PGSQL.5432");
    assert_eq!(server.application_name, "a b");

    let server = of("postgresql://a:b@c@h/d").unwrap();
    assert_eq!(password(&server).await, "b@c");

    let server = of("postgresql://%2Frun%2Fpg:7/d?ssl=true").unwrap();
    assert_eq!(server.address(), "/run/pg/.s.PGSQL.7");
    assert_eq!(server.tls.mode, SslMode::Require);
}

#[tokio::test]
async fn keywords_are_read_as_libpq_reads_them() {
    let text = r"host = db.example port=6543 dbname='my shop' user=a\ b password='it\'s \\'";
    let server = of(text).unwrap();
    assert_eq!(server.address(), "db.example:6543");
    assert_eq!((&*server.user, &*server.database), ("a b", "my shop"));
    assert_eq!(password(&server).await, r"it's \");
    assert_eq!(of("").unwrap().address(), "localhost:5432");
    assert!(of("password=''").unwrap().password.is_none());
}

#[test]
fn several_hosts_have_ports_and_addresses_of_their_own() {
    let addresses = |text: &str| of(text).unwrap().address();
    let url = "postgresql://a:1,b,[::1]:3/d?target_session_attrs=primary";
    assert_eq!(addresses(url), "a:1,b:5432,[::1]:3");
    assert_eq!(addresses("host=a,b port=7"), "a:7,b:7");
    assert_eq!(addresses("host=a,,c port=1,,3"), "a:1,localhost:5432,c:3");
    assert_eq!(addresses("host=@pg"), "@pg/.s.PGSQL.5432");
    let server = of("host=a,b hostaddr=10.0.0.1,10.0.0.2 port=1,2").unwrap();
    let expected = Host {
        name: "b".to_owned(),
        address: Some("10.0.0.2".to_owned()),
        port: 2,
    };
    assert_eq!(server.hosts[1], expected);
    for wrong in ["host=a,b port=1,2,3", "host=a,b hostaddr=10.0.0.1"] {
        assert!(
            matches!(of(wrong), Err(Error::Configuration { .. })),
            "{wrong}"
        );
    }
}

#[test]
fn what_is_not_understood_is_refused_and_not_quoted() {
    for text in [
        "mysql://ann:hunter2@h/d",
        "mysql://ann:hunter2@h/d?x=y",
        "hunter2",
        "postgresql://ann:hunter2%zz@h/d",
        "postgresql://ann:hunter2@h:0/d",
        "postgresql://ann:hunter2@h:port/d",
        "postgresql://ann:hunter2@[::1/d",
        "postgresql://ann:hunter2@h/d?sslmode=yes",
        "postgresql://ann:hunter2@h/d?nonsense=1",
        "postgresql://ann:hunter2@h/d?flag",
        "postgresql://ann:x?hunter2=y@h/d",
        "postgresql://h/d?password=x&hunter=2&hunter2=y",
        "password=x hunter2=y",
        "password=x hunter2",
        "password='hunter2",
        "sslmode=hunter2",
        "sslsni=hunter2",
        "port=hunter2",
        "connect_timeout=hunter2",
        "require_auth=hunter2",
        "keepalives=hunter2",
        "krbsrvname=hunter2",
        "gssencmode=require",
        "sslcrldir=hunter2",
        "replication=hunter2",
        "client_encoding=hunter2",
        "sslrootcert=system sslmode=require",
        "sslnegotiation=direct",
        "ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2",
        "service=x servicefile=/nonexistent/hunter",
    ] {
        let Err(error) = of(text) else {
            panic!("{text} is taken");
        };
        assert!(
            matches!(error, Error::Configuration { .. }),
            "{text}: {error:?}"
        );
        let told = error.to_string();
        assert!(!told.contains("hunter2"), "{text}: {told}");
    }
    let told = of("postgresql://h/d?nonsense=1").err().unwrap().to_string();
    assert!(told.starts_with("nonsense: "), "{told}");
}

#[test]
fn what_is_given_comes_before_the_service_and_that_before_the_environment() {
    let directory = std::env::temp_dir().join(format!("pgoutput-service-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("pg_service.conf");
    std::fs::write(&file, "[shop]\nhost=service\nport=2\nuser=service\n").unwrap();
    let environment = environment(&[
        ("PGHOST", "environment"),
        ("PGPORT", "3"),
        ("PGUSER", "environment"),
        ("PGDATABASE", "environment"),
        ("PGAPPNAME", "environment"),
        ("PGSERVICE", "shop"),
        ("PGSYSCONFDIR", directory.to_str().unwrap()),
    ]);
    let server = with("host=given", &environment, None).unwrap();
    assert_eq!(server.address(), "given:2");
    assert_eq!(
        (&*server.user, &*server.database),
        ("service", "environment")
    );
    assert_eq!(server.application_name, "environment");

    let other = "host=given service=other";
    let told = with(other, &environment, None).err().unwrap().to_string();
    assert!(
        told.contains("there is no definition of service \"other\""),
        "{told}"
    );

    std::fs::rename(&file, directory.join(".pg_service.conf")).unwrap();
    let server = with("service=shop", &Environment::default(), Some(&directory)).unwrap();
    assert_eq!(server.address(), "service:2");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn the_users_files_are_libpqs() {
    let home = Path::new("/home/ann");
    let server = with("", &Environment::default(), Some(home)).unwrap();
    assert_eq!(server.passfile, Some(home.join(".pgpass")));
    let certificate = home.join(".postgresql/postgresql.crt");
    assert_eq!(server.tls.certificate, File::Default(Some(certificate)));
    assert_eq!(server.tls.mode, SslMode::Prefer);
    let server = of("sslrootcert=system").unwrap();
    assert_eq!(server.tls.mode, SslMode::VerifyFull);
}

#[test]
fn login_methods_are_a_list_or_one_of_exceptions() {
    let scram = methods("scram-sha-256").unwrap();
    assert!(scram.scram && !scram.none && !scram.password && !scram.md5);
    let others = methods("!password, !md5").unwrap();
    assert!(others.scram && others.none && !others.password && !others.md5);
    assert!(!methods("!md5").unwrap().cleartext && methods("password").unwrap().cleartext);
    for wrong in ["md5,!none", "x", "!x", "md5,"] {
        assert!(methods(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn time_without_end_is_a_year() {
    let limit = |text: &str| of(text).unwrap().connect_timeout;
    assert_eq!(limit(""), Duration::from_secs(10));
    assert_eq!(limit("connect_timeout=0"), FOR_EVER);
    assert_eq!(limit("connect_timeout=-1"), FOR_EVER);
    assert_eq!(limit("connect_timeout=99999999999999999999999"), FOR_EVER);
    assert_eq!(limit("connect_timeout=0.5"), Duration::from_millis(500));
}
