//! A chat server on a loopback address that answers as a test says, from the answers in `tests/vlm`, and keeps what it
//! was asked.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub authorization: String,
    pub body: Value,
    pub at: Instant,
    /// Requests under way when it came, itself included.
    pub together: usize,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// The folder with answers.
pub fn folder() -> PathBuf {
    crate::root().join("tests/vlm")
}

impl Answer {
    /// A file of `tests/vlm`, `vllm/200_chat.json`; its name gives the status.
    pub fn file(name: &str) -> Self {
        let path = folder().join(name);
        let status = path.file_name().unwrap().to_str().unwrap().split('_').next().unwrap().parse().unwrap();
        let body = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { status, headers: Vec::new(), body }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

type Script = Box<dyn Fn(&Asked, usize) -> Answer + Send + Sync>;

/// A running server.
pub struct Chat {
    /// `http://127.0.0.1:PORT`
    pub base: String,
    shared: Arc<Shared>,
}

struct Shared {
    script: Script,
    slow: Duration,
    asked: Mutex<Vec<Asked>>,
    under_way: Mutex<usize>,
}

impl Chat {
    /// A server whose list of models is that of `server`; chats are answered by `script`, which also gets how many chats
    /// there were before. Each takes `slow`.
    pub fn start(
        server: &str,
        slow: Duration,
        script: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let models = Answer::file(&format!("{server}/200_models.json"));
        let script: Script = Box::new(move |asked, before| match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/v1/models") => models.clone(),
            ("POST", "/v1/chat/completions") => script(asked, before),
            _ => Answer { status: 404, headers: Vec::new(), body: b"no such path".to_vec() },
        });
        let shared = Arc::new(Shared { script, slow, asked: Mutex::default(), under_way: Mutex::default() });
        let served = shared.clone();
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = served.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { base, shared }
    }

    /// Everything that was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Chats that were asked for.
    pub fn chats(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|a| a.method == "POST").collect()
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (mut length, mut authorization) = (0, String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "authorization" => value.trim().clone_into(&mut authorization),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let together = {
            let mut under_way = self.under_way.lock().unwrap();
            *under_way += 1;
            *under_way
        };
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let asked = Asked { method, path, authorization, body, at: Instant::now(), together };
        let before = {
            let mut all = self.asked.lock().unwrap();
            let before = all.iter().filter(|a| a.method == "POST").count();
            all.push(asked.clone());
            before
        };
        let answer = (self.script)(&asked, before);
        if asked.method == "POST" {
            std::thread::sleep(self.slow);
        }
        *self.under_way.lock().unwrap() -= 1;
        let length = answer.body.len();
        let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\ncontent-length: {length}\r\n", answer.status);
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&answer.body));
    }
}
