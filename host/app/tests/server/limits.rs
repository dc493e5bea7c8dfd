//! Requests that are wrong, too large, or broken off.

use crate::support::{Answer, Server};
use std::io::Write;
use std::net::TcpStream;

/// Memory of a process in kB.
pub(crate) fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn chunked_and_pipelined_requests_are_understood() {
    let server = Server::start(&[]);
    let text = "POST /settings HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n\
        4\r\n{\"a\"\r\n3;x=y\r\n:1}\r\n0\r\ntrailer: x\r\n\r\n\
        GET /settings HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answer = String::from_utf8(server.raw(text.as_bytes())).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert!(answer.ends_with("{\"a\":1}"), "{answer}");
    let asks = "POST /settings HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    let answer = server.raw(asks.as_bytes());
    assert!(answer.starts_with(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"));
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let server = Server::start(&["--max-upload-size", "0.1"]);
    let status = |text: &str| Answer::parse(&server.raw(text.as_bytes())).status;
    assert_eq!(status("POST /upload/image HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999\r\n\r\n"), 413);
    assert_eq!(status("POST /settings HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999\r\n\r\n"), 413);
    assert_eq!(
        status("POST /settings HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nfffffff\r\n"),
        413
    );
    assert_eq!(status(&format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(70_000))), 431);
    assert_eq!(
        status("GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"),
        400
    );
}

/// Uploads that break off behind their first MiB: with a length, in chunks, in the middle of a chunk's size.
fn broken_uploads(server: &Server, count: usize) {
    let form = "--B\r\nContent-Disposition: form-data; name=\"image\"; filename=\"half.png\"\r\n\r\n";
    for number in 0..count {
        let path = ["/upload/image", "/upload/mask", "/userdata/half.json"][number % 3];
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=B\r\n");
        let framing = match number % 4 {
            0 => "transfer-encoding: chunked\r\n\r\n200000\r\n",
            1 => "transfer-encoding: chunked\r\n\r\n1\r\n-\r\n100000\r\n",
            _ => "content-length: 50000000\r\n\r\n",
        };
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.write_all(format!("{head}{framing}{form}").as_bytes()).unwrap();
        // The server may have refused by now.
        let _ = stream.write_all(&vec![b'x'; 1 << 20]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let server = Server::start(&[]);
    let settled = || {
        assert_eq!(server.get("/features").status, 200);
        std::thread::sleep(std::time::Duration::from_millis(300));
        resident(server.pid())
    };
    broken_uploads(&server, 40);
    let before = settled();
    broken_uploads(&server, 160);
    let after = settled();
    assert!(after < before + 40_000, "memory grew from {before} kB to {after} kB");
    for folder in ["input", "temp", "user/default"] {
        let left: Vec<_> = std::fs::read_dir(server.base.join(folder)).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
    // All the room for bodies has been given back.
    let whole = crate::files::upload(&server, "whole.png", &vec![b'x'; 90 << 20], &[]);
    assert_eq!(whole.status, 200, "{}", whole.text());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// Numbers that look random, the same each time. Source: G. Marsaglia, «Xorshift RNGs», 2003.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

#[test]
#[cfg(target_os = "linux")]
fn ten_thousand_malformed_requests_do_no_harm() {
    let server = Server::start(&[]);
    let seeds = [
        "POST /prompt HTTP/1.1\r\nhost: localhost\r\ncontent-length: 102\r\nconnection: close\r\n\r\n\
            {\"prompt\":{\"1\":{\"class_type\":\"SaveImage\",\"inputs\":{\"images\":[\"1\",0],\"filename_prefix\":[1,2]}}},\"front\":1}",
        "POST /prompt HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n8\r\n{\"a\":[[[\r\n0\r\n\r\n",
        "GET /ws?clientId=x HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\u{1}\u{5}hello\u{8}\u{0}",
        "POST /upload/image HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=B\r\ncontent-length: 70\r\n\
            connection: close\r\n\r\n--B\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a\"\r\n\r\nx",
        "GET /view?filename=%00%ff../x&subfolder=%2e%2e HTTP/1.1\r\nhost: localhost\r\nrange: bytes=9-1\r\nconnection: close\r\n\r\n",
        "GET /api/jobs?limit=1&offset=99999999999 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    ];
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut send = |count: usize| {
        for _ in 0..count {
            let mut bytes = seeds[random.next(seeds.len())].as_bytes().to_vec();
            for _ in 0..=random.next(4) {
                if bytes.is_empty() {
                    break;
                }
                let at = random.next(bytes.len());
                match random.next(4) {
                    0 => bytes[at] = random.next(256) as u8,
                    1 => drop(bytes.remove(at)),
                    2 => bytes.insert(at, random.next(256) as u8),
                    _ => bytes.truncate(at + 1),
                }
            }
            let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
            let _ = stream.write_all(&bytes);
            // Some wait for the answer, some are gone at once.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            if random.next(8) == 0 {
                let _ = std::io::Read::read(&mut stream, &mut [0; 64]);
            }
        }
    };
    send(2_000);
    let before = resident(server.pid());
    send(8_000);
    assert_eq!(server.get("/features").status, 200);
    std::thread::sleep(std::time::Duration::from_millis(500));
    let after = resident(server.pid());
    assert!(after < before + 20_000, "memory grew from {before} kB to {after} kB");
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
}
