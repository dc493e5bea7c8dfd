//! A server that behaves badly, one way for each path.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A running server.
pub(crate) struct Bad {
    pub(crate) port: u16,
    /// Requests that came.
    asked: Arc<AtomicUsize>,
}

impl Bad {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = count.clone();
                std::thread::spawn(move || {
                    let _ = serve(stream, port, &count);
                });
            }
        });
        Self { port, asked }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn serve(mut stream: TcpStream, port: u16, count: &AtomicUsize) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while let Some(Ok(line)) = lines.next() {
        if line.is_empty() {
            break;
        }
    }
    count.fetch_add(1, Ordering::Relaxed);
    let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let head = |rest: &str| format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{rest}\r\n");
    let redirect =
        |to: &str| format!("HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    match path.as_str() {
        "good" => stream.write_all((head("content-length: 4\r\n") + "good").as_bytes()),
        // One byte a second.
        "drip" => {
            stream.write_all(head("content-length: 1000\r\n").as_bytes())?;
            drip(&mut stream)
        }
        "drip-head" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nx-drip: ")?;
            drip(&mut stream)
        }
        "silence" => {
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        }
        "endless" => {
            stream.write_all(head("").as_bytes())?;
            pour(&mut stream, &[b'x'; 65536])
        }
        "endless-headers" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            pour(&mut stream, b"x-more: and more and more\r\n")
        }
        "long-header" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nx-long: ")?;
            pour(&mut stream, &[b'x'; 65536])
        }
        "lies-more" => stream.write_all((head("content-length: 1000000\r\n") + "short").as_bytes()),
        "lies-less" => stream.write_all((head("content-length: 3\r\n") + "longer than it says").as_bytes()),
        "lies-huge" => stream.write_all((head("content-length: 99999999999999\r\n") + "x").as_bytes()),
        "lies-negative" => stream.write_all((head("content-length: -5\r\n") + "x").as_bytes()),
        "chunk-bomb" => stream.write_all((head("transfer-encoding: chunked\r\n") + "ffffffffffffffff\r\nx").as_bytes()),
        "round" => stream.write_all(redirect("/round").as_bytes()),
        "to-name" => stream.write_all(redirect(&format!("http://localhost:{port}/good")).as_bytes()),
        "to-metadata" => stream.write_all(redirect("http://169.254.169.254/latest/meta-data").as_bytes()),
        "to-file" => stream.write_all(redirect("file:///etc/passwd").as_bytes()),
        // A kilobyte that says it is a gigabyte when unpacked: nobody asked for packed answers.
        "packed" => {
            let body = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255].into_iter().chain([0; 1000]).collect::<Vec<u8>>();
            let packed = format!("content-encoding: gzip\r\ncontent-length: {}\r\n", body.len());
            stream.write_all(head(&packed).as_bytes())?;
            stream.write_all(&body)
        }
        "no-http" => stream.write_all(b"220 mail.example ESMTP\r\n"),
        "bomb.png" => {
            let mut body =
                b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\xea\x60\0\0\xea\x60\x08\x06\0\0\0\x80\xd2\x75\x42\0\0\0\0IDAT"
                    .to_vec();
            body.extend([0x35, 0xaf, 6, 0x1e]);
            stream.write_all(head(&format!("content-length: {}\r\n", body.len())).as_bytes())?;
            stream.write_all(&body)
        }
        _ => stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
    }
}

fn drip(stream: &mut TcpStream) -> std::io::Result<()> {
    for _ in 0..60 {
        stream.write_all(b"x")?;
        stream.flush()?;
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// As much as is taken, up to a gigabyte.
fn pour(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    for _ in 0..(1 << 30) / bytes.len() {
        stream.write_all(bytes)?;
    }
    Ok(())
}
