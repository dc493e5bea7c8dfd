//! What a client may send over a WebSocket: frames that are right, and frames whose heads lie. Source: RFC 6455, §5.

use super::json::{change, odd};
use super::prompts::Corpus;
use super::shake;
use crate::limits::Random;
use crate::support::Server;
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What the server may say without a job of the client's.
const SAID: [&str; 2] = ["status", "feature_flags"];

/// A few messages.
pub(super) fn make(random: &mut Random, corpus: &Corpus) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=random.next(5) {
        message(random, corpus, &mut bytes);
    }
    if random.next(6) == 0 {
        shake(random, &mut bytes);
    }
    bytes
}

fn message(random: &mut Random, corpus: &Corpus, bytes: &mut Vec<u8>) {
    match random.next(8) {
        0 => frame(random, FIN | PING, b"are you there", bytes),
        1 => {
            let long = vec![b'p'; random.next(200)];
            frame(random, FIN | PONG, &long, bytes);
        }
        2 => {
            let code = [1000, 1001, 1005, 999, 4000, 65535][random.next(6)] as u16;
            let mut payload = code.to_be_bytes().to_vec();
            payload.truncate(random.next(3));
            frame(random, FIN | CLOSE, &payload, bytes);
        }
        3 => {
            // Now and then more than the server takes.
            let size = if random.next(60) == 0 { (1 << 20) + 1 } else { random.next(70_000) };
            frame(random, FIN | BINARY, &vec![0xA5; size], bytes);
        }
        4 => {
            let text = text(random, corpus);
            let cut = random.next(text.len() + 1);
            frame(random, TEXT, &text[..cut], bytes);
            if random.next(4) == 0 {
                frame(random, FIN | PING, b"between", bytes);
            }
            frame(random, FIN | CONTINUATION, &text[cut..], bytes);
        }
        _ => {
            let text = text(random, corpus);
            frame(random, FIN | TEXT, &text, bytes);
        }
    }
}

/// What clients say, changed or not; sometimes no UTF-8.
fn text(random: &mut Random, corpus: &Corpus) -> Vec<u8> {
    let mut value = match random.next(4) {
        0 => odd(random),
        1 => corpus.body(random).clone(),
        _ => json!({"type": "feature_flags", "data": {"supports_preview_metadata": true}}),
    };
    for _ in 0..random.next(3) {
        let other = corpus.body(random);
        change(random, &mut value, other);
    }
    let mut bytes = value.to_string().into_bytes();
    if random.next(10) == 0 {
        bytes.push(0xFF);
    }
    bytes
}

/// One frame; one in six has a head that is wrong.
fn frame(random: &mut Random, first: u8, payload: &[u8], bytes: &mut Vec<u8>) {
    let lie = if random.next(6) == 0 { random.next(6) } else { usize::MAX };
    let first = match lie {
        0 => random.next(256) as u8,
        1 => first ^ FIN,
        _ => first,
    };
    let masked = lie != 2;
    let length = match lie {
        3 => payload.len() as u64 + 1 + random.next(300) as u64,
        4 => [1 << 63, u64::MAX, 1 << 40, 1 << 20, 0][random.next(5)],
        _ => payload.len() as u64,
    };
    let mask = if masked { 0x80 } else { 0 };
    bytes.push(first);
    // Lengths may be written longer than they need, which the standard forbids.
    let wide = lie == 5;
    match length {
        0..=125 if !wide => bytes.push(mask | length as u8),
        0..=65_535 if !wide || random.next(2) == 0 => {
            bytes.push(mask | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    let key = if masked { [7, 0x80, 0xFF, 0x31] } else { [0; 4] };
    if masked {
        bytes.extend(key);
    }
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// Sends them all, and reads to the end.
pub(super) fn check(server: &Server, random: &mut Random, bytes: &[u8]) {
    let id = ["fuzz", "", "a%20b%00", "%F0%9F%8F%BA", &"x".repeat(300)][random.next(5)].to_owned();
    let handshake = format!(
        "GET /ws?clientId={id} HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(handshake.as_bytes()).unwrap();
    // The answer comes first: what follows may end the connection so that nothing more is heard.
    let mut answer = vec![0; 1];
    stream.read_exact(&mut answer).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let whole = match stream.read_to_end(&mut answer) {
        Ok(_) => true,
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("the connection does not end")
        }
        // A server that has read enough does not wait for the rest.
        Err(_) => false,
    };
    let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else {
        assert!(!whole, "no answer to the handshake");
        return;
    };
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
    let mut rest = &answer[end + 4..];
    let mut said = Vec::new();
    while let Some((opcode, payload, more)) = read(rest) {
        if opcode == TEXT {
            said.push(serde_json::from_slice::<Value>(payload).unwrap());
        }
        rest = more;
    }
    assert!(rest.is_empty() || !whole, "half a frame: {}", rest.escape_ascii());
    for message in &said {
        assert!(message["type"].as_str().is_some_and(|kind| SAID.contains(&kind)), "{message}");
    }
    if let Some(first) = said.first() {
        assert!(first["data"]["sid"].is_string(), "{first}");
    }
}

/// A frame of the server's, and what follows; none if there is no whole one.
fn read(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [first, second, ..] = *bytes else { return None };
    assert_eq!(first & 0xF0, FIN, "fragments or extensions that nobody asked for");
    assert!(matches!(first & 0x0F, TEXT | BINARY | CLOSE | PING | PONG), "opcode {}", first & 0x0F);
    assert_eq!(second & 0x80, 0, "servers do not mask");
    let (length, head) = match second {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()), 10),
        short => (u64::from(short), 2),
    };
    let end = head + usize::try_from(length).unwrap();
    Some((first & 0x0F, bytes.get(head..end)?, &bytes[end..]))
}
