//! Somebody in between, or in the server's place: what is sent to them, and what is believed.

use std::sync::{Arc, Mutex};

use pgoutput_decoder_host::{Config, ErrorClass};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::{PATIENCE, SECRET, entered, kind};

/// Answers each thing it is sent with the next of `answers`; what it was sent.
async fn impostor(answers: &'static [&'static [u8]]) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let hearing = Arc::clone(&hearing);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                for answer in answers.iter().chain(std::iter::repeat(&&b""[..])) {
                    match client.read(&mut buffer).await {
                        Ok(bytes) if bytes > 0 => {
                            hearing.lock().unwrap().extend_from_slice(&buffer[..bytes]);
                        }
                        _ => return,
                    }
                    if client.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, heard)
}

fn config(port: u16, text: &str) -> Config {
    let text = format!("host=127.0.0.1 port={port} user=ann password=hunter2 {text}");
    let config = Config::parse(&text).unwrap().slot("s").publication("p");
    config.connect_timeout(std::time::Duration::from_secs(5))
}

fn has(heard: &Mutex<Vec<u8>>, text: &[u8]) -> bool {
    heard
        .lock()
        .unwrap()
        .windows(text.len())
        .any(|window| window == text)
}

const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

#[tokio::test]
async fn what_comes_in_clear_behind_the_answer_to_a_wish_for_tls_is_not_believed() {
    let (port, heard) = impostor(&[b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"]).await;
    let found = entered(&config(port, "sslmode=require")).await;
    assert_eq!(found, "Protocol");
    assert!(!has(&heard, b"ann"), "a login was begun in clear");
}

#[tokio::test]
async fn an_error_before_tls_is_not_shown() {
    let (port, _) = impostor(&[b"E\0\0\0\x19SFATAL\0Mhunter2 is here\0\0"]).await;
    for mode in ["prefer", "require"] {
        let config = config(port, &format!("sslmode={mode}"));
        let error = config.client().await.unwrap_err();
        assert_eq!(kind(&error), "Connection");
        assert_eq!(error.class(), ErrorClass::Transient, "it may pass");
    }
}

#[tokio::test]
async fn a_server_that_has_no_tls_after_all_hears_no_login() {
    let (port, heard) = impostor(&[b"N", OK]).await;
    for mode in [
        "require",
        "verify-ca sslrootcert=system",
        "verify-full sslrootcert=system",
    ] {
        if Config::parse(&format!("sslmode={mode}")).is_err() {
            continue;
        }
        let found = entered(&config(port, &format!("sslmode={mode}"))).await;
        assert!(
            ["Unsupported", "sslmode", "sslrootcert"].contains(&&*found),
            "{mode}: {found}"
        );
    }
    assert!(!has(&heard, b"ann"), "a login was begun in clear");
}

#[tokio::test]
async fn nobody_is_told_the_password_in_clear() {
    // AuthenticationCleartextPassword
    let (port, heard) = impostor(&[b"N", b"R\0\0\0\x08\0\0\0\x03", OK]).await;
    let config = config(port, "sslmode=prefer");
    assert_eq!(entered(&config).await, "Cleartext");
    let error = timeout(PATIENCE, config.connect())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(kind(&error), "Cleartext");
    assert!(has(&heard, b"ann") && !has(&heard, SECRET.as_bytes()));
}

#[tokio::test]
async fn who_asks_for_nothing_has_proved_nothing() {
    let (port, _) = impostor(&[OK]).await;
    for (wish, expected) in [
        ("channel_binding=require", "ChannelBinding"),
        ("require_auth=scram-sha-256", "Method"),
        ("require_auth=!none", "Method"),
    ] {
        let found = entered(&config(port, &format!("sslmode=disable {wish}"))).await;
        assert_eq!(found, expected, "{wish}");
    }
}

#[tokio::test]
async fn scram_without_the_servers_proof_is_no_login() {
    // AuthenticationSASL with SCRAM-SHA-256, and then AuthenticationOk.
    const SASL: &[u8] = b"R\0\0\0\x17\0\0\0\x0ASCRAM-SHA-256\0\0";
    let (port, _) = impostor(&[SASL, OK]).await;
    assert_eq!(entered(&config(port, "sslmode=disable")).await, "Server");
}
