//! Who is answered.

use crate::support::Server;
use std::process::Command;

#[test]
fn other_sites_pages_are_refused() {
    let server = Server::start(&[]);
    let post = |headers: &[(&str, &str)]| server.send("POST", "/interrupt", headers, b"").status;
    assert_eq!(post(&[]), 200);
    assert_eq!(post(&[("origin", "https://evil.example")]), 403);
    assert_eq!(post(&[("host", "evil.example")]), 403);
    assert_eq!(post(&[("sec-fetch-site", "cross-site")]), 403);
    let handshake = "GET /ws HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\norigin: https://evil.example\r\n\r\n";
    assert!(server.raw(handshake.as_bytes()).starts_with(b"HTTP/1.1 403"));
}

#[test]
fn beyond_this_machine_a_token_is_needed() {
    let server = Server::start(&["--listen", "0.0.0.0"]);
    let token = std::fs::read_to_string(server.base.join("user/anagama-token")).unwrap();
    assert_eq!(token.len(), 48);
    assert_eq!(server.get("/object_info").status, 401);
    assert_eq!(server.get(&format!("/queue?token={token}")).status, 200);
    let bearer = format!("Bearer {token}");
    assert_eq!(server.send("GET", "/queue", &[("authorization", &bearer)], b"").status, 200);
    let page = server.send("GET", "/", &[("accept", "text/html")], b"");
    assert!(page.status == 401 && page.text().contains("<form"));
    let login = server.send("POST", "/anagama/login", &[], format!("token={token}").as_bytes());
    let cookie = login.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(server.send("GET", "/queue", &[("cookie", &cookie)], b"").status, 200);
    assert!(!server.get(&format!("/system_stats?token={token}")).text().contains(&token));
    assert!(!server.log().contains(&token));
}

#[test]
fn two_servers_do_not_share_a_queue() {
    let server = Server::start(&[]);
    let second = Command::new(env!("CARGO_BIN_EXE_anagama"))
        .args(["serve", "--port", "0", "--base-directory"])
        .arg(&server.base)
        .env("HOME", &server.base)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another server uses"));
}

#[test]
fn https_is_spoken_with_a_certificate() {
    let made = tempfile::tempdir().unwrap();
    let (certificate, key) = (made.path().join("c.pem"), made.path().join("k.pem"));
    let openssl = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout"])
        .args([key.as_os_str(), "-out".as_ref(), certificate.as_os_str()])
        .output();
    if !openssl.is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: https_is_spoken_with_a_certificate: openssl is not here");
        return;
    }
    let arguments = ["--tls-certfile", certificate.to_str().unwrap(), "--tls-keyfile", key.to_str().unwrap()];
    let server = Server::start(&arguments);
    let url = format!("https://127.0.0.1:{}/features", server.port);
    match Command::new("curl").args(["-ks", &url]).output() {
        Ok(answer) => assert!(String::from_utf8_lossy(&answer.stdout).contains("max_upload_size")),
        Err(_) => eprintln!("SKIPPED: https_is_spoken_with_a_certificate: curl is not here"),
    }
}
